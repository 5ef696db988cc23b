// The cases of test/cases/search/*.json: given these resources, this request finds these. Each file's resources are
// loaded once into each store, and each search goes over a real socket, as GET and as POST _search.
// https://hl7.org/fhir/R4/search.html
import { readdirSync, readFileSync } from 'node:fs';
import { Agent, type RequestOptions, request } from 'node:http';
import t from 'tap';
import { createApp } from '../../src/app.ts';
import type { Clock } from '../../src/base/clock.ts';
import { readConfig } from '../../src/config.ts';
import type { Store } from '../../src/store/store.ts';
import { baseUrl, nextLink, type Reply } from '../support/engine.ts';
import { onBothStores, type Test } from '../support/stores.ts';

/** One file. Resources are written at their `meta.lastUpdated` where they have one, so they stand in order of it. */
interface CaseFile {
  specification: string;
  /** Zone of the server; UTC when absent. */
  timeZone?: string;
  /** Time of the searches; that of the last write when absent. */
  now?: string;
  /** Counting stops here instead of at the server's own limit. */
  countMax?: number;
  resources: { resourceType: string; id: string; meta?: { lastUpdated?: string } }[];
  /** Sentence → URL → what it finds; a list is short for `ids`. Characters that no URL has are escaped on the way. */
  groups: Record<string, Record<string, readonly string[] | Expected>>;
}

interface Expected {
  /** 200 when absent. */
  status?: number;
  /** Ids of the matches, in any order. */
  ids?: readonly string[];
  /** "Type/id" of the matches, in any order. */
  refs?: readonly string[];
  /** Ids of the matches, in this order. */
  ordered?: readonly string[];
  /** "Type/id" of what is included, in any order. */
  included?: readonly string[];
  /** "Type/id" of a match or an included resource → all of it but meta.versionId and meta.lastUpdated. */
  content?: Record<string, object>;
  /** The whole body, in the same way: of a read or vread, which are asked by GET alone. */
  body?: object;
  /** null: there is none. */
  total?: number | null;
  /** Whether there is a next page. */
  next?: boolean;
  /** Regular expression for the self link. */
  self?: string;
  /** Regular expression for the diagnostics of the outcome, which is the body or an entry. */
  diagnostics?: string;
  /** Code of the first issue. */
  code?: string;
  /** The Prefer header. */
  prefer?: string;
}

const folder = new URL('../cases/search/', import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith('.json'));

t.setTimeout(240_000);

await onBothStores(t, async (t, adapter) => {
  t.setTimeout(120_000);
  for (const name of files) {
    const file = JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as CaseFile;
    await t.test(`${name}, ${file.specification}`, async (t) => {
      const clock = setClock();
      const { store, close } = await adapter.open(clock);
      t.teardown(close);
      const ask = await served(t, store, clock, file);
      await load(file, ask, clock);
      for (const [sentence, cases] of Object.entries(file.groups)) {
        await t.test(sentence, async (t) => {
          const asked = Object.entries(cases).map(([url, given]) => askedTwice(ask, url, given));
          for (const { expected, replies } of await Promise.all(asked)) {
            for (const [title, reply] of replies) compare(t, reply, expected, title);
          }
        });
      }
    });
  }
});

// ---- the server ----

interface SetClock extends Clock {
  set(ms: number): void;
}

function setClock(): SetClock {
  let now = Date.UTC(2000, 0, 1);
  let ids = 0;
  const set = (ms: number): void => {
    now = ms;
  };
  return { now: () => now, newId: () => `made-${++ids}`, set };
}

type Ask = (method: string, url: string, body?: string, headers?: Record<string, string>) => Promise<Reply>;

/** The whole server on a store and a port of its own; how to ask it. */
async function served(t: Test, store: Store, clock: Clock, { timeZone = 'UTC', countMax }: CaseFile): Promise<Ask> {
  const config = readConfig({
    CARELOOM_AUTH: 'off',
    CARELOOM_LOG_LEVEL: 'silent',
    CARELOOM_TIME_ZONE: timeZone,
    CARELOOM_BASE_URL: baseUrl,
  });
  const app = await createApp(config, { store: countMax === undefined ? store : countingTo(countMax, store), clock });
  const server = await app.server();
  const { port } = new URL(await server.listen({ host: '127.0.0.1', port: 0 }));
  const agent = new Agent({ keepAlive: true });
  t.teardown(async () => {
    agent.destroy();
    await server.close(100);
  });
  return (method, url, body, headers = {}) => exchange({ method, port, path: `/fhir/${url}`, headers, agent }, body);
}

function countingTo(max: number, store: Store): Store {
  const count: Store['count'] = (alias, options, filter) =>
    store.count(alias, { ...options, cap: Math.min(max, options.cap) }, filter);
  return new Proxy(store, {
    get(target, name) {
      const value: unknown = name === 'count' ? count : Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

function exchange(options: RequestOptions, body: string | undefined): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request({ ...options, host: '127.0.0.1' }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        const headers = response.headers as Record<string, string>;
        resolve({ status: response.statusCode ?? 0, headers, text, json: text === '' ? undefined : JSON.parse(text) });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

async function load({ resources, now }: CaseFile, ask: Ask, clock: SetClock): Promise<void> {
  for (const resource of resources) {
    if (resource.meta?.lastUpdated !== undefined) clock.set(Date.parse(resource.meta.lastUpdated));
    const headers = { 'Content-Type': 'application/fhir+json' };
    const name = `${resource.resourceType}/${resource.id}`;
    const reply = await ask('PUT', name, JSON.stringify(resource), headers);
    if (reply.status !== 201) throw new Error(`${name}: ${reply.text}`);
  }
  if (now !== undefined) clock.set(Date.parse(now));
}

// ---- a case ----

/** Cases are written to be read: spaces, quotes and letters beyond ASCII are escaped here. */
function sendable(text: string): string {
  return text.replace(/[^\x21-\x7e]|["<>\\^`{}]/gu, encodeURIComponent);
}

/** The answers to a case by what was asked: GET and, where that is possible, POST _search. */
async function askedTwice(
  ask: Ask,
  url: string,
  given: readonly string[] | Expected,
): Promise<{ expected: Expected; replies: [string, Reply][] }> {
  const expected: Expected = 'length' in given ? { ids: given } : given;
  const headers: Record<string, string> = expected.prefer === undefined ? {} : { Prefer: expected.prefer };
  const replies: [string, Reply][] = [
    [`GET ${url.slice(0, 200)}`, await ask('GET', sendable(url), undefined, headers)],
  ];
  // On a path that leads nowhere, _search does not either, but as the id of a resource to post to.
  if (expected.status === 404 || expected.body !== undefined) return { expected, replies };
  const [path = '', ...rest] = url.split('?');
  const form = rest.join('?');
  const posted = `${path === '' ? '' : `${path}/`}_search`;
  const formHeaders = { ...headers, 'Content-Type': 'application/x-www-form-urlencoded' };
  const reply = await ask('POST', posted, sendable(form), formHeaders);
  return { expected, replies: [...replies, [`POST ${posted} ${form.slice(0, 200)}`, reply]] };
}

function compare(t: Test, reply: Reply, expected: Expected, title: string): void {
  const { status = 200 } = expected;
  if (reply.status !== status) {
    t.fail(`${title}: ${reply.status} instead of ${status}: ${reply.text.slice(0, 300)}`);
    return;
  }
  const found: Expected = { status };
  if (expected.ids !== undefined) found.ids = refs(reply, 'match').map(idOf).sort();
  if (expected.refs !== undefined) found.refs = refs(reply, 'match').sort();
  if (expected.ordered !== undefined) found.ordered = refs(reply, 'match').map(idOf);
  if (expected.included !== undefined) found.included = refs(reply, 'include').sort();
  if (expected.content !== undefined) found.content = contents(reply, Object.keys(expected.content));
  if (expected.body !== undefined) found.body = unstamped(reply.json);
  if (expected.total !== undefined) found.total = reply.json.total ?? null;
  if (expected.next !== undefined) found.next = nextLink(reply) !== undefined;
  const { self, diagnostics, prefer, ...wanted } = expected;
  for (const list of ['ids', 'refs', 'included'] as const) {
    if (wanted[list] !== undefined) wanted[list] = [...wanted[list]].sort();
  }
  const issues = issuesIn(reply);
  if (expected.code !== undefined && issues[0] !== undefined) found.code = issues[0].code;
  t.strictSame(found, { status, ...wanted }, title);
  if (self !== undefined) t.match(linkTo(reply, 'self'), new RegExp(self), `${title}: the self link`);
  if (diagnostics !== undefined) {
    t.match(issues.map((issue) => issue.diagnostics).join('\n'), new RegExp(diagnostics), `${title}: the diagnostics`);
  }
}

interface Entry {
  resource: { resourceType: string; id: string; issue?: IssueJson[] };
  search: { mode: string };
}

interface IssueJson {
  code: string;
  diagnostics: string;
}

function entries(reply: Reply): Entry[] {
  return reply.json.entry ?? [];
}

function idOf(ref: string): string {
  return ref.slice(ref.indexOf('/') + 1);
}

function refOf({ resource }: Entry): string {
  return `${resource.resourceType}/${resource.id}`;
}

function refs(reply: Reply, mode: 'match' | 'include'): string[] {
  return entries(reply)
    .filter(({ search }) => search.mode === mode)
    .map(refOf);
}

function contents(reply: Reply, wanted: readonly string[]): Record<string, object> {
  const found = entries(reply).filter((entry) => wanted.includes(refOf(entry)));
  return Object.fromEntries(found.map((entry) => [refOf(entry), unstamped(entry.resource)]));
}

function unstamped(resource: object): object {
  const { meta, ...others } = resource as { meta?: Record<string, unknown> };
  const { versionId, lastUpdated, ...kept } = meta ?? {};
  return Object.keys(kept).length === 0 ? others : { ...others, meta: kept };
}

function issuesIn(reply: Reply): IssueJson[] {
  if (reply.json.resourceType === 'OperationOutcome') return reply.json.issue;
  return entries(reply).flatMap(({ search, resource }) => (search.mode === 'outcome' ? (resource.issue ?? []) : []));
}

function linkTo(reply: Reply, relation: string): string | undefined {
  return reply.json.link.find((link: { relation: string }) => link.relation === relation)?.url;
}

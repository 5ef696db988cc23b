// The cases of test/cases/search/*.json: given these resources, this request finds these. Each file's resources are
// loaded once, and each search is asked as GET and as POST _search. https://hl7.org/fhir/R4/search.html
import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import type { Clock } from '../../src/base/clock.ts';
import { engineOn, nextLink, type Reply, type TestEngine } from '../support/engine.ts';
import { onBothStores } from '../support/stores.ts';

type Test = typeof t;

/** One file. Resources are written at their `meta.lastUpdated` where they have one, so they stand in order of it. */
interface CaseFile {
  specification: string;
  /** Zone of the server; UTC when absent. */
  timeZone?: string;
  /** Time of the searches; that of the last write when absent. */
  now?: string;
  resources: { resourceType: string; id: string; meta?: { lastUpdated?: string } }[];
  /** Sentence → URL → what it finds; a list is short for `ids`. */
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
  /** null: there is none. */
  total?: number | null;
  /** Whether there is a next page. */
  next?: boolean;
  /** The whole self link. */
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
      const tested = await engineOn(store, { clock, timeZone: file.timeZone ?? 'UTC' });
      await load(file, tested, clock);
      for (const [sentence, cases] of Object.entries(file.groups)) {
        await t.test(sentence, async (t) => {
          for (const [url, expected] of Object.entries(cases)) await check(t as Test, tested, url, expected);
        });
      }
    });
  }
});

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

async function load({ resources, now }: CaseFile, { ask }: TestEngine, clock: SetClock): Promise<void> {
  for (const resource of resources) {
    if (resource.meta?.lastUpdated !== undefined) clock.set(Date.parse(resource.meta.lastUpdated));
    const reply = await ask('PUT', `${resource.resourceType}/${resource.id}`, resource);
    if (reply.status !== 201) throw new Error(`${resource.resourceType}/${resource.id}: ${reply.text}`);
  }
  if (now !== undefined) clock.set(Date.parse(now));
}

async function check(t: Test, tested: TestEngine, url: string, given: readonly string[] | Expected): Promise<void> {
  const expected: Expected = 'length' in given ? { ids: given } : given;
  const headers = expected.prefer === undefined ? {} : { Prefer: expected.prefer };
  compare(t, await tested.ask('GET', url, undefined, headers), expected, `GET ${url.slice(0, 200)}`);
  const [path = '', form = ''] = url.split('?');
  // On a path that leads nowhere, _search does not either, but as the id of a resource to post to.
  if (expected.status === 404) return;
  const posted = `${path === '' ? '' : `${path}/`}_search`;
  compare(t, await tested.ask('POST', posted, form, headers), expected, `POST ${posted} ${form.slice(0, 200)}`);
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

function refs(reply: Reply, mode: 'match' | 'include'): string[] {
  return entries(reply)
    .filter(({ search }) => search.mode === mode)
    .map(({ resource }) => `${resource.resourceType}/${resource.id}`);
}

function issuesIn(reply: Reply): IssueJson[] {
  if (reply.json.resourceType === 'OperationOutcome') return reply.json.issue;
  return entries(reply).flatMap(({ search, resource }) => (search.mode === 'outcome' ? (resource.issue ?? []) : []));
}

function linkTo(reply: Reply, relation: string): string | undefined {
  return reply.json.link.find((link: { relation: string }) => link.relation === relation)?.url;
}

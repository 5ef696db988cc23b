// Random resources, random searches: what the engine finds on each store is what a slow matcher finds that looks at the
// resources themselves; the order asked for holds; pages joined together are the whole; parts of resources are the parts
// asked for. CARELOOM_SEED repeats a run, CARELOOM_PROPERTY_MS gives each store more time.
import { isDeepStrictEqual } from 'node:util';
import t from 'tap';
import type { Clock } from '../../src/base/clock.ts';
import { loadDefinitions } from '../../src/model/definitions.ts';
import { queryOf } from '../support/criteria-query.ts';
import { baseUrl, engineOn, matchIds, nextLink, type Reply, type TestEngine } from '../support/engine.ts';
import { type MadeOrder, type MadeSearch, SearchMaker } from '../support/random-criteria.ts';
import { madeTypes, randomResource, randomTerminology, terminologyCount } from '../support/random-resources.ts';
import { below, pick, type Random, seeded } from '../support/random-search.ts';
import { madeIds } from '../support/random-values.ts';
import type { SlowCriterion, SlowFilter, StoredResource } from '../support/slow-criteria.ts';
import { compareValues, SlowSearch, type SlowSortValue } from '../support/slow-search.ts';
import { subsetOf } from '../support/slow-subset.ts';
import { onBothStores } from '../support/stores.ts';

const TIME_ZONE = 'America/New_York';
const CHANGES = 60;
const SEARCHES = 100;
/** Instants of the past that are searched. */
const PAST_MAX = 4;
/** After so many failures the rest would only repeat them. */
const FAILURES_MAX = 5;

const seed = Number(process.env.CARELOOM_SEED ?? Math.floor(Math.random() * 2 ** 31));
const timeMs = Number(process.env.CARELOOM_PROPERTY_MS ?? 12_000);
const definitions = loadDefinitions();

interface SteppedClock extends Clock {
  step(ms: number): void;
}

function steppedClock(): SteppedClock {
  let now = Date.UTC(2024, 1, 28, 23, 0, 0);
  let ids = 0;
  const step = (ms: number): void => {
    now += ms;
  };
  return { now: () => now, newId: () => `made-${++ids}`, step };
}

class Run {
  searches = 0;
  found = 0;
  hits = 0;
  readonly #tested: TestEngine;
  readonly #slow: SlowSearch;
  readonly #clock: SteppedClock;
  readonly #random: Random;
  readonly #maker: SearchMaker;
  /** What was there at some instants, the last ones. */
  readonly #past = new Map<number, SlowSearch>();
  /** Searches by the kinds of their criteria. */
  readonly kinds = new Map<string, number>();

  constructor(tested: TestEngine, slow: SlowSearch, clock: SteppedClock, random: Random) {
    this.#maker = new SearchMaker(random, slow, definitions);
    this.#tested = tested;
    this.#slow = slow;
    this.#clock = clock;
    this.#random = random;
  }

  /** Stores the code system and the value sets that searches name. */
  async begin(): Promise<void> {
    for (let at = 0; at < terminologyCount; at++) await this.#put(randomTerminology(this.#random, at));
  }

  async #put(resource: Record<string, unknown>): Promise<void> {
    const reply = accepted(await this.#tested.ask('PUT', `${resource.resourceType}/${resource.id}`, resource));
    this.#slow.put(reply.json as StoredResource);
  }

  /** Creates, updates or deletes a resource, or does several of these in one transaction. */
  async change(): Promise<void> {
    const random = this.#random;
    this.#clock.step(pick(random, [1, 1, 1000, 60_000, 3_600_000]));
    if (random() < 0.02) this.#remember();
    if (random() < 0.02) {
      await this.#put(randomTerminology(random, below(random, terminologyCount)));
      return;
    }
    const type = pick(random, madeTypes);
    const id = pick(random, madeIds);
    if (random() < 0.2) {
      accepted(await this.#tested.ask('DELETE', `${type}/${id}`));
      this.#slow.delete(type, id);
    } else if (random() < 0.8) {
      await this.#put(randomResource(random, type, id));
    } else await this.#transaction(type);
  }

  /** An instant that lies after what was written and before what will be, also where stamps run ahead of the clock. */
  #remember(): void {
    this.#past.set(this.#clock.now() + 1000, this.#slow.snapshot());
    this.#clock.step(2000);
    const [oldest] = this.#past.keys();
    if (this.#past.size > PAST_MAX && oldest !== undefined) this.#past.delete(oldest);
  }

  async #transaction(type: string): Promise<void> {
    const random = this.#random;
    const ids = new Set(Array.from({ length: 1 + below(random, 4) }, () => pick(random, madeIds)));
    const entry = [...ids].map((id) =>
      random() < 0.3
        ? { request: { method: 'DELETE', url: `${type}/${id}` } }
        : { resource: randomResource(random, type, id), request: { method: 'PUT', url: `${type}/${id}` } },
    );
    accepted(await this.#tested.ask('POST', '', { resourceType: 'Bundle', type: 'transaction', entry }));
    for (const id of ids) {
      const reply = await this.#tested.ask('GET', `${type}/${id}`);
      if (reply.status === 200) this.#slow.put(reply.json as StoredResource);
      else this.#slow.delete(type, id);
    }
  }

  /** One search by both; what is wrong with it in words, or undefined. */
  async compare(): Promise<string | undefined> {
    const made = this.#maker.search([...this.#past.keys()]);
    for (const kind of new Set(kindsOf(made))) this.kinds.set(kind, (this.kinds.get(kind) ?? 0) + 1);
    // Pages cost a request each, so not every search is paged.
    const pageSize = this.#random() < 0.4 ? 1 + below(this.#random, 5) : undefined;
    const wrong = await this.#difference(made, pageSize);
    return wrong && `${await this.#shrunk(made, wrong, pageSize)}\nfirst seen with GET ${urlOf(made)}`;
  }

  /** What is wrong with the same search less every criterion, value and sort key that it fails without. */
  async #shrunk(made: MadeSearch, wrong: string, pageSize: number | undefined): Promise<string> {
    for (const smaller of smallerSearches(made)) {
      const still = await this.#difference(smaller, pageSize);
      if (still !== undefined) return this.#shrunk(smaller, still, pageSize);
    }
    return wrong;
  }

  async #difference(made: MadeSearch, pageSize: number | undefined): Promise<string | undefined> {
    const url = urlOf(made);
    const reply = await this.#tested.ask('GET', `${url}${url.includes('?') ? '&' : '?'}_count=500`);
    if (reply.status !== 200) return `GET ${url} is ${reply.status}: ${reply.text.slice(0, 500)}`;
    const ids = matchIds(reply);
    const slow = this.#slowFor(made);
    const expected = slow.search(made.type, made.criteria, this.#clock.now()).map(({ id }) => id);
    this.searches++;
    this.hits += ids.length;
    if (ids.length > 0) this.found++;
    const missed = expected.filter((id) => !ids.includes(id));
    const wrong = ids.filter((id) => !expected.includes(id));
    if (new Set(ids).size !== ids.length) return `GET ${url} finds one twice: ${ids.join(' ')}`;
    if (missed.length + wrong.length > 0) {
      const lines = [...missed, ...wrong].slice(0, 3).map((id) => {
        const resource = slow.resources.get(`${made.type}/${id}`);
        return `${missed.includes(id) ? 'missed' : 'should not be found'}: ${JSON.stringify(resource)}`;
      });
      return `GET ${url} (now ${new Date(this.#clock.now()).toISOString()})\n${lines.join('\n')}`;
    }
    if (reply.json.total !== ids.length) return `GET ${url} finds ${ids.length} and says ${reply.json.total}`;
    const misorder = this.#misorder(made, ids) ?? this.#miscut(made, reply);
    return misorder !== undefined || pageSize === undefined ? misorder : this.#pagesDiffer(url, ids, pageSize);
  }

  #slowFor({ asOf }: MadeSearch): SlowSearch {
    return (asOf === undefined ? undefined : this.#past.get(asOf)) ?? this.#slow;
  }

  /** A resource of which another part is shown than was asked for. */
  #miscut(made: MadeSearch, reply: Reply): string | undefined {
    const { type, selection } = made;
    const { resources } = this.#slowFor(made);
    for (const { resource } of reply.json.entry ?? []) {
      const stored = resources.get(`${type}/${resource.id}`);
      if (stored === undefined) continue;
      const expected = selection === undefined ? stored : subsetOf(stored, selection, definitions);
      if (isDeepStrictEqual(resource, expected)) continue;
      return `${JSON.stringify(selection)} of ${type} shows\n${JSON.stringify(resource)}\ninstead of\n${JSON.stringify(expected)}`;
    }
    return undefined;
  }

  /** Two neighbours that stand in the wrong order. */
  #misorder(made: MadeSearch, ids: readonly string[]): string | undefined {
    const slow = this.#slowFor(made);
    const resources = ids.map((id) => slow.resources.get(`${made.type}/${id}`));
    for (let at = 1; at < resources.length; at++) {
      const [before, after] = [resources[at - 1], resources[at]];
      if (before === undefined || after === undefined || this.#mayPrecede(made.sort, before, after)) continue;
      return `GET ${urlOf(made)} puts ${before.id} before ${after.id}:\n${JSON.stringify(before)}\n${JSON.stringify(after)}`;
    }
    return undefined;
  }

  #mayPrecede(sort: MadeSearch['sort'], before: StoredResource, after: StoredResource): boolean {
    for (const order of sort) {
      const { descending } = order;
      const [a, b]: SlowSortValue[] = [before, after].map((one) =>
        'chain' in order
          ? this.#slow.chainedSortValue(one, order.chain, descending)
          : this.#slow.sortValue(one, order.code, descending),
      );
      const [type, code] =
        'chain' in order ? [order.chain.target, order.chain.next] : [before.resourceType, order.code];
      const parameter = this.#slow.parameter(type, code);
      if (a === undefined || b === undefined) return true;
      if (a === null || b === null) {
        if (a === b) continue;
        // Where undated resources stand in an ascending order of dates is for the server to choose; all else comes last.
        return b === null || (parameter.type === 'date' && !('chain' in order));
      }
      const sign = compareValues(a, b);
      if (sign !== 0) return descending ? sign > 0 : sign < 0;
      // Texts alike but for case and accents, codes of several systems, numbers in several units, and dates that begin
      // together but do not end together may have an order of their own.
      if (typeof a === 'string' || parameter.type === 'date' || parameter.type === 'quantity') return true;
    }
    return true;
  }

  async #pagesDiffer(url: string, ids: readonly string[], size: number): Promise<string | undefined> {
    const joined: string[] = [];
    let next: string | undefined = `${url}${url.includes('?') ? '&' : '?'}_count=${size}`;
    for (let pages = 0; next !== undefined && pages <= ids.length; pages++) {
      const reply: Reply = await this.#tested.ask('GET', next);
      if (reply.status !== 200) return `a page of ${url} is ${reply.status}: ${reply.text.slice(0, 300)}`;
      joined.push(...matchIds(reply));
      next = nextLink(reply);
    }
    if (joined.join(' ') === ids.join(' ')) return undefined;
    return `GET ${url} in pages of ${size} gives ${joined.join(' ')}\nand in one page ${ids.join(' ')}`;
  }
}

function accepted(reply: Reply): Reply {
  if (reply.status < 300) return reply;
  throw new Error(`the made-up resource was refused, ${reply.status}: ${reply.text.slice(0, 500)}`);
}

function urlOf({ type, criteria, sort, selection, asOf }: MadeSearch): string {
  const parts = criteria.map(queryOf);
  if (sort.length > 0) parts.push(`_sort=${sort.map(orderText)}`);
  if (asOf !== undefined) parts.push(`_asOf=${new Date(asOf).toISOString()}`);
  if (selection?.kind === 'elements') parts.push(`_elements=${selection.elements}`);
  else if (selection !== undefined) parts.push(`_summary=${selection.kind}`);
  return parts.length === 0 ? type : `${type}?${parts.join('&')}`;
}

function orderText(order: MadeOrder): string {
  const name = 'chain' in order ? `${order.chain.code}:${order.chain.target}.${order.chain.next}` : order.code;
  return `${order.descending ? '-' : ''}${name}`;
}

function kindsOf({ criteria, sort, asOf }: MadeSearch): string[] {
  return [
    ...criteria.flatMap(kindsIn),
    ...(asOf === undefined ? [] : ['_asOf']),
    ...(sort.some((order) => 'chain' in order) ? ['sorted by a chain'] : []),
  ];
}

/** What a criterion consists of, for the count of what was tried. */
function kindsIn(criterion: SlowCriterion): string[] {
  switch (criterion.kind) {
    case 'chain':
    case 'has':
      return [criterion.kind, ...kindsIn(criterion.next)];
    case 'parameter':
      return [
        criterion.modifier === undefined || /^[A-Z]/.test(criterion.modifier) ? 'plain' : `:${criterion.modifier}`,
      ];
    default:
      return [criterion.kind];
  }
}

function* smallerSearches(made: MadeSearch): Generator<MadeSearch> {
  const { criteria, sort, selection, ...rest } = made;
  if (selection !== undefined) yield { ...rest, criteria, sort };
  for (const at of sort.keys()) yield { ...made, sort: sort.toSpliced(at, 1) };
  for (const [at, criterion] of criteria.entries()) {
    yield { ...made, criteria: criteria.toSpliced(at, 1) };
    for (const smaller of smallerCriteria(criterion)) yield { ...made, criteria: criteria.toSpliced(at, 1, smaller) };
  }
}

function* smallerCriteria(criterion: SlowCriterion): Generator<SlowCriterion> {
  switch (criterion.kind) {
    case 'chain':
    case 'has':
      for (const next of smallerCriteria(criterion.next)) yield { ...criterion, next };
      return;
    case 'parameter':
      if (criterion.values.length < 2) return;
      for (const at of criterion.values.keys()) yield { ...criterion, values: criterion.values.toSpliced(at, 1) };
      return;
    case 'composite':
      if (criterion.values.length < 2) return;
      for (const at of criterion.values.keys()) yield { ...criterion, values: criterion.values.toSpliced(at, 1) };
      return;
    case 'filter':
      for (const filter of smallerFilters(criterion.filter)) yield { ...criterion, filter };
      return;
    case 'words': {
      const { asked } = criterion;
      if (asked.kind !== 'and' && asked.kind !== 'or') return;
      for (const one of asked.of) if (one.kind !== 'not') yield { ...criterion, asked: one };
      return;
    }
    case 'list':
      if (criterion.ids.length > 1) for (const id of criterion.ids) yield { ...criterion, ids: [id] };
  }
}

function* smallerFilters(filter: SlowFilter): Generator<SlowFilter> {
  switch (filter.kind) {
    case 'and':
    case 'or':
      yield filter.left;
      yield filter.right;
      for (const left of smallerFilters(filter.left)) yield { ...filter, left };
      for (const right of smallerFilters(filter.right)) yield { ...filter, right };
      return;
    case 'not':
      yield filter.of;
      for (const of of smallerFilters(filter.of)) yield { ...filter, of };
      return;
    case 'step': {
      const { where, ...without } = filter;
      if (where === undefined) return;
      yield without;
      for (const smaller of smallerFilters(where)) yield { ...filter, where: smaller };
    }
  }
}

t.setTimeout(0);

await onBothStores(t, async (t, adapter) => {
  const clock = steppedClock();
  const { store, close } = await adapter.open(clock);
  t.teardown(close);
  t.setTimeout(0);
  const tested = await engineOn(store, { clock, timeZone: TIME_ZONE });
  const slow = new SlowSearch({ definitions, baseUrl, timeZone: TIME_ZONE });
  const run = new Run(tested, slow, clock, seeded(seed));

  await t.test(`random searches find what the slow matcher finds (seed ${seed})`, async (t) => {
    t.setTimeout(2 * timeMs + 60_000);
    const end = performance.now() + timeMs;
    let failures = 0;
    await run.begin();
    do {
      for (let left = CHANGES; left > 0; left--) await run.change();
      for (let left = SEARCHES; left > 0 && failures < FAILURES_MAX; left--) {
        const problem = await run.compare();
        if (problem === undefined) continue;
        failures++;
        t.fail(problem);
      }
    } while (performance.now() < end && failures < FAILURES_MAX);
    t.comment(`${run.searches} searches, ${run.hits} resources found, in ${run.found} searches something`);
    t.comment(
      [...run.kinds]
        .sort()
        .map(([kind, count]) => `${kind} ${count}`)
        .join(', '),
    );
    t.strictSame(await Array.fromAsync(store.verify({})), [], 'rows and index agree');
    t.ok(run.found > run.searches / 10, 'enough of the searches find something');
  });
});

// The store contract against a slow matcher: random rows, conditions, orders and filters. A failure prints its seed;
// CARELOOM_SEED repeats it.
import type { Filter, HistorySearch, Key, Search, Store } from '../../src/store/store.ts';
import { everything, MemoryStore, sortValues } from '../support/memory-store.ts';
import {
  below,
  pick,
  type Random,
  randomCondition,
  randomFilter,
  randomOrder,
  randomWrite,
  seeded,
  types,
} from '../support/random-search.ts';
import type { OpenedStore, OpenStore, Test } from './made-up.ts';
import { BUDGET, commit, deletion, manualClock, paged, write } from './made-up.ts';

const ROUNDS = 6;
const WRITES = 40;
const SEARCHES = 60;
const HISTORIES = 25;

/** A version as the slow matcher remembers it; a deletion keeps the keys of what was deleted. */
interface Version {
  type: string;
  id: string;
  version: number;
  lastUpdated: number;
  keys: readonly Key[];
}

export async function storeRandom(t: Test, open: OpenStore): Promise<void> {
  const seed = Number(process.env.CARELOOM_SEED ?? below(Math.random, 2 ** 31));
  await t.test(`random searches find what a slow matcher finds (seed ${seed})`, async (inner) => {
    const opened = await open(manualClock());
    inner.teardown(() => opened.close());
    const random = seeded(seed);
    const memory = new MemoryStore();
    const versions: Version[] = [];
    const instants = [0];
    for (let round = 0; round < ROUNDS; round++) {
      for (let at = 0; at < WRITES; at++) {
        const changed = await change(random, opened, memory, versions);
        if (changed !== undefined) instants.push(changed);
      }
      for (let at = 0; at < SEARCHES; at++) await compare(inner as Test, random, opened, memory, instants);
      for (let at = 0; at < HISTORIES; at++) await compareHistory(inner as Test, random, opened.store, versions);
    }
    inner.same(await Array.fromAsync(opened.store.verify({})), []);
  });
}

/** The instant of a random change. */
async function change(
  random: Random,
  { store }: OpenedStore,
  memory: MemoryStore,
  versions: Version[],
): Promise<number | undefined> {
  const made = randomWrite(random, (type, id) => {
    const { body, stampAt } = write(type, id);
    return { body, stampAt };
  });
  const { type, id, ord, keys, terms } = made;
  const chance = random();
  const isDeleted = chance < 0.15;
  // Deleted and made again in one commit: two versions at once.
  const writes = isDeleted ? [deletion(type, id)] : chance < 0.25 ? [deletion(type, id), made] : [made];
  const written = await commit(store, ...writes);
  let last: number | undefined;
  for (const [at, { version, lastUpdated }] of written.entries()) {
    if (version === 0) continue;
    const kept = writes[at]?.body === null ? (memory.rows.get(`${type}/${id}`)?.keys ?? []) : keys;
    versions.push({ type, id, version, lastUpdated, keys: kept });
    last = lastUpdated;
  }
  if (isDeleted) memory.delete(type, id);
  else memory.put({ type, id, lastUpdated: last ?? 0, ord, keys, terms });
  return last;
}

async function compareHistory(t: Test, random: Random, store: Store, versions: readonly Version[]): Promise<void> {
  const asked = randomHistory(random, versions);
  const rule: Key | undefined = random() < 0.5 ? undefined : `a.tok${below(random, 4)}`;
  const filter: Filter = { of: () => (rule === undefined ? { kind: 'all' } : { kind: 'key', key: rule }) };
  const expected = versions.filter((one) => isShown(one, asked, versions, rule)).reverse();
  const found: string[] = [];
  for (let after: string | undefined, page = 0; page === 0 || after !== undefined; page++) {
    const { rows, next } = await store.history({ ...asked, ...(after === undefined ? {} : { after }) }, filter);
    found.push(...rows.map(named));
    after = next;
  }
  if (JSON.stringify(found) !== JSON.stringify(expected.map(named))) {
    t.fail('history', { asked, rule, found, expected: expected.map(named) });
  }
  t.pass();
}

const named = ({ type, id, version }: Pick<Version, 'type' | 'id' | 'version'>): string => `${type}/${id}/${version}`;

function randomHistory(random: Random, versions: readonly Version[]): HistorySearch {
  const instant = (): number => pick(random, versions).lastUpdated + below(random, 3) - 1;
  const [from, to] = [instant(), instant()];
  return {
    limit: pick(random, [1, 4, 30, 500]),
    budgetMs: BUDGET,
    ...(random() < 0.5
      ? { type: pick(random, types), ...(random() < 0.4 ? { id: pick(random, versions).id } : {}) }
      : {}),
    ...(random() < 0.3 ? { since: instant() } : {}),
    ...(random() < 0.3 ? { until: instant() } : {}),
    ...(random() < 0.5 ? { current: random() < 0.3 ? { from, to: from + 1 } : { from, to } } : {}),
    ...(random() < 0.4 ? { of: Array.from({ length: below(random, 6) }, () => pick(random, versions)) } : {}),
  };
}

function isShown(one: Version, asked: HistorySearch, versions: readonly Version[], rule: Key | undefined): boolean {
  const { type, id, since, until, current, of } = asked;
  const own = versions.filter((other) => other.type === one.type && other.id === one.id);
  const replaced = own.find((other) => other.version === one.version + 1)?.lastUpdated ?? Number.POSITIVE_INFINITY;
  return (
    (type === undefined || one.type === type) &&
    (id === undefined || one.id === id) &&
    (since === undefined || one.lastUpdated >= since) &&
    (until === undefined || one.lastUpdated <= until) &&
    (of === undefined || of.some((other) => other.type === one.type && other.id === one.id)) &&
    (rule === undefined || (one.keys.includes(rule) && own.at(-1)?.keys.includes(rule) === true)) &&
    (current === undefined ||
      (current.from < current.to &&
        one.lastUpdated < current.to &&
        replaced > current.from &&
        one.lastUpdated < replaced))
  );
}

async function compare(
  t: Test,
  random: Random,
  { store }: OpenedStore,
  memory: MemoryStore,
  instants: readonly number[],
): Promise<void> {
  const filter = randomFilter(random, instants);
  const asked: Search = {
    type: pick(random, types),
    where: randomCondition(random, 3, instants),
    order: randomOrder(random),
    limit: pick(random, [1, 3, 10, 100]),
    budgetMs: BUDGET,
  };
  const expected = memory.search(asked, filter);
  const found = await paged(store, asked, { filter });
  const byId = new Map(expected.map((row) => [row.id, row]));
  const title = { asked, rules: types.map((type) => filter.of(type)) };
  const order = asked.order.length > 0 ? asked.order : ([{ by: 'ord', descending: true }] as const);
  const values = (ids: readonly string[]): unknown[] =>
    ids.map((id) => sortValues(order, byId.get(id) ?? { type: '', id, keys: [], ord: 0, lastUpdated: 0 }));
  const ids = found.map((row) => row.id);
  const isSame =
    ids.length === expected.length &&
    new Set(ids).size === ids.length &&
    ids.every((id) => byId.has(id)) &&
    JSON.stringify(values(ids)) === JSON.stringify(values(expected.map((row) => row.id)));
  if (!isSame) t.fail('search', { ...title, found: ids.join(' '), expected: expected.map((row) => row.id).join(' ') });
  const count = await store.count(asked, { cap: 1_000, budgetMs: BUDGET }, filter);
  if (count.count !== expected.length) t.fail('count', { ...title, count, expected: expected.length });
  const any = pick(random, [...memory.rows.values()]);
  const isVisible = memory
    .search({ type: any.type, where: filter.of(any.type), order: [] }, everything)
    .some((row) => row.id === any.id);
  const read = await store.read(any.type, any.id, filter);
  if ((read !== undefined) !== isVisible) t.fail('read', { ...title, id: any.id, isVisible });
  t.pass();
}

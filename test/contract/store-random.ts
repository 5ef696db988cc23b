// The store contract against a slow matcher: random rows, conditions, orders and filters. A failure prints its seed;
// CARELOOM_SEED repeats it.
import type { Search } from '../../src/store/store.ts';
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

export async function storeRandom(t: Test, open: OpenStore): Promise<void> {
  const seed = Number(process.env.CARELOOM_SEED ?? below(Math.random, 2 ** 31));
  await t.test(`random searches find what a slow matcher finds (seed ${seed})`, async (inner) => {
    const opened = await open(manualClock());
    inner.teardown(() => opened.close());
    const random = seeded(seed);
    const memory = new MemoryStore();
    const instants = [0];
    for (let round = 0; round < ROUNDS; round++) {
      for (let at = 0; at < WRITES; at++) instants.push(await change(random, opened, memory));
      for (let at = 0; at < SEARCHES; at++) await compare(inner as Test, random, opened, memory, instants);
    }
    inner.same(await Array.fromAsync(opened.store.verify({})), []);
  });
}

async function change(random: Random, { store }: OpenedStore, memory: MemoryStore): Promise<number> {
  const made = randomWrite(random, (type, id) => {
    const { body, stampAt } = write(type, id);
    return { body, stampAt };
  });
  if (random() < 0.15) {
    await commit(store, deletion(made.type, made.id));
    memory.delete(made.type, made.id);
    return 0;
  }
  const [written] = await commit(store, made);
  const lastUpdated = written?.lastUpdated ?? 0;
  memory.put({ type: made.type, id: made.id, lastUpdated, ord: made.ord, keys: made.keys });
  return lastUpdated;
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

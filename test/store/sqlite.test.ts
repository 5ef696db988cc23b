// The SQLite store: the contract, and what only this adapter has.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { isDeepStrictEqual } from 'node:util';
import t from 'tap';
import type { Position } from '../../src/store/cursor.ts';
import type { Plan, Probe } from '../../src/store/planner.ts';
import { orderOf, plan } from '../../src/store/planner.ts';
import type { Stretch } from '../../src/store/sqlite/find.ts';
import { fewMatches, sortedPage, walkStep } from '../../src/store/sqlite/find.ts';
import { openSqliteStore } from '../../src/store/sqlite/open.ts';
import { openReader } from '../../src/store/sqlite/schema.ts';
import { Connection } from '../../src/store/sqlite/sql.ts';
import { Thread } from '../../src/store/sqlite/thread.ts';
import type { OpenStore, Test } from '../contract/made-up.ts';
import { commit, manualClock, refused, write } from '../contract/made-up.ts';
import { storeContract } from '../contract/store.ts';
import { MemoryStore, sortValues } from '../support/memory-store.ts';
import {
  below,
  pick,
  randomCondition,
  randomFilter,
  randomOrder,
  randomWrite,
  seeded,
  types,
} from '../support/random-search.ts';

const open: OpenStore = async (clock) => {
  const folder = mkdtempSync(join(tmpdir(), 'careloom-sqlite-'));
  const path = join(folder, 'test.db');
  let store = await openSqliteStore({ path, clock });
  const behind = (statements: string): void => {
    const db = new DatabaseSync(path);
    db.exec(statements);
    db.close();
  };
  return {
    store,
    async reopen() {
      await store.close();
      store = await openSqliteStore({ path, clock });
      return store;
    },
    async close() {
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    },
    damage: async () => behind("DELETE FROM idx WHERE rid = 3 AND k = 'a.tok1'"),
    pretendNewer: async () => behind("UPDATE setting SET value = '99' WHERE name = 'schema'"),
  };
};

await storeContract(t, 'SQLite', open);

await t.test('every plan of a search finds the same, in steps of any size', async (test) => {
  const seed = Number(process.env.CARELOOM_SEED ?? Math.floor(Math.random() * 2 ** 31));
  const random = seeded(seed);
  const folder = mkdtempSync(join(tmpdir(), 'careloom-sqlite-'));
  const path = join(folder, 'test.db');
  const store = await openSqliteStore({ path, clock: manualClock() });
  const connection = new Connection(openReader(path, { isMapped: true }));
  test.teardown(async () => {
    connection.close();
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const instants = [0];
  const memory = new MemoryStore();
  for (let at = 0; at < 300; at++) {
    const made = randomWrite(random, (type, id) => ({ body: write(type, id).body, stampAt: write(type, id).stampAt }));
    const [written] = await commit(store, made);
    instants.push(written?.lastUpdated ?? 0);
    memory.put({ ...made, lastUpdated: written?.lastUpdated ?? 0 });
  }
  // Counts that are made up lead the planner to every choice it has.
  const probe: Probe = {
    walksKeys: true,
    count: (_source, _type, cap) => Math.floor(cap * Math.min(1, random() * 1.5)),
    few: (found, options) => (random() < 0.5 ? undefined : fewMatches(connection, found, options)),
  };
  const kinds = new Map<string, number>();
  for (let at = 0; at < 1_000; at++) {
    const filter = randomFilter(random, instants);
    const asked = {
      type: pick(random, types),
      where: randomCondition(random, 3, instants),
      order: randomOrder(random),
    };
    const chosen = await plan(asked, filter, probe);
    const kind =
      chosen.kind === 'walk'
        ? `walk ${chosen.by.kind}`
        : chosen.kind === 'sort'
          ? `sort ${chosen.source.kind}`
          : 'none';
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    const found = rowsOfPlan(connection, chosen, { limit: 1 + below(random, 5), candidates: 1 + below(random, 8) });
    const expected = memory.search(asked, filter);
    const order = orderOf(asked);
    const values = found.map((id) => sortValues(order, memory.rows.get(`${asked.type}/${id}`) ?? missing(id)));
    const isSame =
      new Set(found).size === expected.length &&
      found.length === expected.length &&
      isDeepStrictEqual(
        values,
        expected.map((row) => sortValues(order, row)),
      );
    if (!isSame) test.fail('plan', { seed, asked, chosen, found, expected: expected.map((row) => row.id) });
  }
  for (const kind of [
    'walk ord',
    'walk lastUpdated',
    'walk keys',
    'sort ids',
    'sort keys',
    'sort lastUpdated',
    'sort type',
  ]) {
    test.ok(kinds.get(kind), `${kind} was among the plans`);
  }
});

function rowsOfPlan(connection: Connection, chosen: Plan, options: { limit: number; candidates: number }): string[] {
  const ids: string[] = [];
  const shape = { bodyless: true, keysOf: [] };
  let after: Position | undefined;
  for (;;) {
    if (chosen.kind === 'none') return ids;
    const step =
      chosen.kind === 'sort'
        ? sortedPage(connection, chosen, { after, limit: options.limit, shape, late: () => {} })
        : walkStep(connection, chosen, { after, ...options, shape });
    ids.push(...step.rows.map((row) => row.id));
    const last = step.rows.at(-1);
    const isFull = step.rows.length === options.limit && last !== undefined;
    after = isFull ? { values: last.at, tie: last.rid } : (step as Stretch).resume;
    if (after === undefined) return ids;
  }
}

function missing(id: string): never {
  throw new Error(`${id} was found, but is not there`);
}

await t.test('a thread that died is started again', async (test) => {
  const folder = mkdtempSync(join(tmpdir(), 'careloom-sqlite-'));
  const path = join(folder, 'test.db');
  const thread = new Thread('reader-worker', path);
  await refused(test as Test, thread.ask({ kind: 'stats' }), 'unavailable');
  const store = await openSqliteStore({ path, clock: manualClock() });
  test.same(await thread.ask({ kind: 'stats' }), { ok: [] });
  await thread.close();
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

await t.test('a file that cannot be opened is unavailable', async (test) => {
  const folder = mkdtempSync(join(tmpdir(), 'careloom-sqlite-'));
  writeFileSync(join(folder, 'text.db'), 'this is no database, but it is long enough to be taken for one'.repeat(20));
  await refused(test as Test, openSqliteStore({ path: join(folder, 'text.db'), clock: manualClock() }), 'unavailable');
  rmSync(folder, { recursive: true, force: true });
});

// The SQLite store: the contract, and what only this adapter has.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { isDeepStrictEqual } from 'node:util';
import t from 'tap';
import type { Position } from '../../src/store/cursor.ts';
import type { Plan, Probe } from '../../src/store/planner.ts';
import { orderOf, plan } from '../../src/store/planner.ts';
import type { Stretch } from '../../src/store/sqlite/find.ts';
import { fewMatches, keysIn, ordsIn, sortedPage, walkStep } from '../../src/store/sqlite/find.ts';
import { openSqliteStore } from '../../src/store/sqlite/open.ts';
import { openReader, SCHEMA_VERSION } from '../../src/store/sqlite/schema.ts';
import { Connection } from '../../src/store/sqlite/sql.ts';
import { tokensOf } from '../../src/store/sqlite/terms.ts';
import { Thread } from '../../src/store/sqlite/thread.ts';
import type { AuditRow, Condition, Store } from '../../src/store/store.ts';
import type { OpenStore, Test } from '../contract/made-up.ts';
import {
  collected,
  commit,
  deletion,
  foundIds,
  key,
  manualClock,
  refused,
  search,
  write,
} from '../contract/made-up.ts';
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
    another: () => openSqliteStore({ path, clock }),
    forge: async (change) => forgeAudit(path, change),
    damage: async () => behind("DELETE FROM idx WHERE rid = 3 AND k = 'a.tok1'"),
    pretendNewer: async () => behind("UPDATE setting SET value = '99' WHERE name = 'schema'"),
  };
};

function forgeAudit(path: string, change: (rows: AuditRow[]) => AuditRow[]): void {
  const db = new DatabaseSync(path);
  db.exec('DROP TRIGGER IF EXISTS audit_update; DROP TRIGGER IF EXISTS audit_delete;');
  const chain = String(db.prepare("SELECT value FROM setting WHERE name = 'chain'").get()?.value);
  const found = db.prepare('SELECT seq, at, agent, patients, body, hash FROM audit ORDER BY seq').all();
  const rows = found.map(({ seq, at, agent, patients, body, hash }) => ({
    chain,
    seq: Number(seq),
    at: Number(at),
    agent: String(agent),
    patients: JSON.parse(String(patients)),
    body: String(body),
    hash: Buffer.from(hash as Uint8Array).toString('hex'),
  }));
  db.exec('BEGIN; DELETE FROM audit;');
  const insert = db.prepare('INSERT INTO audit (seq, at, agent, patients, body, hash) VALUES (?, ?, ?, ?, ?, ?)');
  for (const { seq, at, agent, patients, body, hash } of change(rows)) {
    insert.run(seq, at, agent, JSON.stringify(patients), body, Buffer.from(hash, 'hex'));
  }
  db.exec('COMMIT');
  db.close();
}

// Some thousand commits, each flushed to disk.
t.setTimeout(240_000);
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
    overlaps: true,
    count: (_source, _type, cap) => Math.floor(cap * Math.min(1, random() * 1.5)),
    keysIn: (range, max) => (random() < 0.5 ? undefined : keysIn(connection, range, max)),
    ordsIn: (range, max) => (random() < 0.3 ? undefined : ordsIn(connection, range, max)),
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
    'sort term',
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

interface Fresh {
  path: string;
  store: Store;
  /** Does something to the file that the store knows nothing of. */
  behind(statements: string): void;
  rows(query: string): unknown[];
  reopen(): Promise<Store>;
}

/** A store that goes with the test. */
async function fresh(test: Test): Promise<Fresh> {
  const path = join(mkdtempSync(join(tmpdir(), 'careloom-sqlite-')), 'test.db');
  const clock = manualClock();
  const made: Fresh = {
    path,
    store: await openSqliteStore({ path, clock }),
    behind(statements) {
      const db = new DatabaseSync(path, { defensive: false });
      db.exec(statements);
      db.close();
    },
    rows(query) {
      const db = new DatabaseSync(path, { readOnly: true });
      const rows = db.prepare(query).all();
      db.close();
      return rows;
    },
    async reopen() {
      await made.store.close();
      made.store = await openSqliteStore({ path, clock });
      return made.store;
    },
  };
  test.teardown(async () => {
    await made.store.close();
    rmSync(dirname(path), { recursive: true, force: true });
  });
  return made;
}

const and = (...of: Condition[]): Condition => ({ kind: 'and', of });
const term = (value: string, prefix?: true): Condition => ({
  kind: 'term',
  term: value,
  ...(prefix === undefined ? {} : { prefix }),
});

/** Takes away what schema 3 and 4 added. */
const NO_AUDIT = `DROP TABLE audit; DROP TABLE audit_patient; DROP TABLE audit_segment; DROP TABLE audit_packed;
  DROP TABLE audit_name; DROP TABLE audit_purged; DELETE FROM setting WHERE name = 'chain';`;

/** Takes away what schema 4 added, and puts back what it took away. */
const NO_SEGMENTS = `DROP TABLE audit_segment; DROP TABLE audit_packed; DROP TABLE audit_name; DROP TABLE audit_purged;
  ${['audit_delete', 'audit_patient_delete', 'audit_replace'].map((name) => `DROP TRIGGER ${name};`).join('')}
  ${['audit', 'audit_patient'].map((table) => `CREATE TRIGGER ${table}_delete BEFORE DELETE ON ${table} BEGIN SELECT 1; END;`).join('')}
  CREATE TRIGGER audit_replace BEFORE INSERT ON audit BEGIN SELECT 1; END;`;

await t.test('a file of schema 1 is brought up to date: it has no terms until it is indexed anew', async (test) => {
  const made = await fresh(test as Test);
  await commit(made.store, write('Alpha', 'a', { keys: ['a.tok1'], text: 'x'.repeat(20_000) }), write('Alpha', 'b'));
  await commit(made.store, deletion('Alpha', 'b'));
  await made.store.close();
  made.behind(`DROP TABLE term_entry; DROP TABLE term; ALTER TABLE resource DROP COLUMN terms; ${NO_AUDIT}
    UPDATE setting SET value = '1' WHERE name = 'schema'`);
  const store = await made.reopen();
  test.same(made.rows("SELECT value FROM setting WHERE name = 'schema'"), [{ value: String(SCHEMA_VERSION) }]);
  test.same(await foundIds(store, search(key('a.tok1'))), ['a']);
  test.same(await foundIds(store, search(term('one'))), []);
  test.same(await collected(store.verify({})), []);
  const { rows } = await store.scan({ limit: 10 });
  const indexed = rows.map((row) => ({ ...row, keys: row.allKeys, terms: ['one', 'two'] }));
  test.equal(await store.reindex(indexed), 1);
  test.same(await foundIds(store, search(and(key('a.tok1'), term('one')))), ['a']);
  await commit(store, write('Alpha', 'a', { terms: ['two'] }), write('Alpha', 'b', { terms: ['two'] }));
  test.same((await foundIds(store, search(term('two')))).sort(), ['a', 'b']);
  test.same(await foundIds(store, search(term('one'))), []);
  test.same(await collected(store.verify({})), []);
});

await t.test('a file of schema 2 is brought up to date: its audit record begins then', async (test) => {
  const made = await fresh(test as Test);
  await commit(made.store, write('Alpha', 'a'));
  await made.store.close();
  made.behind(`${NO_AUDIT} UPDATE setting SET value = '2' WHERE name = 'schema'`);
  const store = await made.reopen();
  test.same(made.rows("SELECT value FROM setting WHERE name = 'schema'"), [{ value: String(SCHEMA_VERSION) }]);
  test.same(await store.audit.heads(), []);
  await store.commit({
    writes: [write('Alpha', 'a')],
    audit: [{ at: 1, patients: ['p'], agent: 'system', body: '{}' }],
  });
  test.match(await store.audit.heads(), [{ seq: 1 }]);
  test.same(await collected(store.verify({})), []);
});

await t.test('a file of schema 3 is brought up to date: its audit record can be sealed', async (test) => {
  const made = await fresh(test as Test);
  await made.store.audit.append([{ at: 1, patients: ['p'], agent: 'system', body: '{}' }]);
  await made.store.close();
  made.behind(`${NO_SEGMENTS} UPDATE setting SET value = '3' WHERE name = 'schema'`);
  const store = await made.reopen();
  test.throws(() => made.behind('DELETE FROM audit'), { message: /never changed/ });
  test.match(await collected(store.audit.seal({ before: 2 })), [{ from: 1, to: 1 }]);
  test.same(await collected(store.verify({})), []);
});

await t.test('sealed rows refuse to be changed', async (test) => {
  const made = await fresh(test as Test);
  await made.store.audit.append([1, 2, 3].map((at) => ({ at, patients: ['p'], agent: 'system', body: '{}' })));
  for await (const { to } of made.store.audit.seal({ before: 4, rowsMax: 1 })) if (to === 2) break;
  test.equal(made.rows('SELECT seq FROM audit').length, 1);
  test.equal(made.rows('SELECT seq FROM audit_patient').length, 1);
  for (const change of [
    'DELETE FROM audit',
    'DELETE FROM audit_patient',
    "INSERT INTO audit VALUES (2, 1, '', '[]', '{}', x'00')",
    'UPDATE audit_segment SET last = 3',
    'DELETE FROM audit_segment',
    'INSERT OR REPLACE INTO audit_segment SELECT * FROM audit_segment WHERE first = 2',
    "INSERT INTO audit_segment VALUES (3, 3, x'00', x'00', 3, 3, 3, 1, 0)",
    "UPDATE audit_packed SET rows = x'00'",
    'DELETE FROM audit_packed',
    "INSERT OR REPLACE INTO audit_packed VALUES (1, x'00')",
    'DELETE FROM audit_name',
    'UPDATE audit_name SET first = 2',
    "INSERT INTO audit_purged VALUES (2, '')",
  ]) {
    test.throws(() => made.behind(change), { message: /never changed/ }, change);
  }
  const [first] = await collected(made.store.audit.segments((await made.store.audit.heads())[0]?.chain ?? ''));
  test.equal(first === undefined ? false : await made.store.audit.purge(first, 'signed'), true);
  for (const change of [
    'DELETE FROM audit_purged',
    "UPDATE audit_purged SET signed = ''",
    "INSERT OR REPLACE INTO audit_purged VALUES (1, '')",
    "INSERT INTO audit_packed VALUES (1, x'00')",
  ]) {
    test.throws(() => made.behind(change), { message: /never changed/ }, change);
  }
  test.same(await collected(made.store.verify({})), []);
});

await t.test('the audit record refuses to be changed', async (test) => {
  const made = await fresh(test as Test);
  await made.store.audit.append([{ at: 1, patients: ['p'], agent: 'system', body: '{}' }]);
  for (const change of [
    "UPDATE audit SET body = ''",
    'UPDATE audit SET at = 2 WHERE seq = 1',
    'DELETE FROM audit',
    "INSERT OR REPLACE INTO audit VALUES (1, 1, '', '[]', '{}', x'00')",
    "INSERT INTO audit VALUES (1, 1, '', '[]', '{}', x'00') ON CONFLICT DO UPDATE SET body = ''",
    "UPDATE audit_patient SET patient = 'q'",
    'DELETE FROM audit_patient',
  ]) {
    test.throws(() => made.behind(change), { message: /never changed/ }, change);
  }
  test.match((await made.store.audit.rows({ descending: false, limit: 9 })).rows, [{ body: '{}', patients: ['p'] }]);
});

await t.test('verify compares the lists of patients with the rows of the audit record', async (test) => {
  const made = await fresh(test as Test);
  const entries = [1, 2, 3].map((at) => ({ at, patients: ['p', `p${at}`], agent: 'system', body: '{}' }));
  await made.store.audit.append(entries);
  made.behind(`DROP TRIGGER audit_patient_delete; DELETE FROM audit_patient WHERE patient = 'p' AND seq = 2;
    INSERT INTO audit_patient VALUES ('q', 1, 1), ('p', 5, 3), ('p', 9, 9)`);
  test.same(await collected(made.store.verify({})), [
    'audit row 2: not among the rows of one of its patients',
    'audit row 3: among the rows of a patient that it does not name',
    'audit row 9: among the rows of a patient that it does not name',
    'audit row 1: among the rows of a patient that it does not name',
  ]);
});

await t.test('verify tells of an audit row whose list of patients is no list', async (test) => {
  const made = await fresh(test as Test);
  await made.store.audit.append([{ at: 1, patients: [], agent: 'system', body: '{}' }]);
  for (const list of ['nonsense', '{"a":1}', '']) {
    made.behind(`DROP TRIGGER IF EXISTS audit_update; UPDATE audit SET patients = '${list}'`);
    const problems = await collected(made.store.verify({}));
    test.ok(
      problems.some((problem) => problem.includes('row 1 changed')),
      list,
    );
    test.same((await made.store.audit.rows({ descending: false, limit: 9 })).rows[0]?.patients, [list]);
  }
});

await t.test('a write without terms does not touch their index', async (test) => {
  const made = await fresh(test as Test);
  const index = (): unknown[] => [
    ...made.rows('SELECT id, hex(block) FROM term_data'),
    ...made.rows('SELECT * FROM term_docsize'),
  ];
  const empty = index();
  await commit(made.store, write('Alpha', 'a', { keys: ['a.tok1'] }), write('Alpha', 'b'));
  await commit(made.store, write('Alpha', 'a'), deletion('Alpha', 'b'));
  test.same(index(), empty);
  await commit(made.store, write('Alpha', 'c', { terms: ['one', 'two'] }));
  const filled = index();
  test.notSame(filled, empty);
  await commit(
    made.store,
    write('Alpha', 'c', { terms: ['one', 'two'], keys: ['a.tok1'], text: 'new' }),
    write('Alpha', 'b'),
  );
  test.same(index(), filled, 'nor does an update that keeps them');
});

await t.test('dry runs do not make time pass', async (test) => {
  const { store } = await fresh(test as Test);
  const [first] = await commit(store, write('Alpha', 'a'));
  const next = (first?.lastUpdated ?? 0) + 1;
  for (let at = 0; at < 5; at++) {
    const [would] = await store.commit({ writes: [write('Alpha', 'a')], dryRun: true });
    test.equal(would?.lastUpdated, next);
  }
  test.equal((await commit(store, write('Alpha', 'a')))[0]?.lastUpdated, next);
});

await t.test('verify finds an index of terms that does not fit', async (test) => {
  const made = await fresh(test as Test);
  const terms = ['one', 'two'];
  await commit(made.store, ...['a', 'b', 'c'].map((id) => write('Alpha', id, { terms })));
  test.same(await collected(made.store.verify({})), []);
  made.behind('DELETE FROM term WHERE rowid = 1');
  test.same(await collected(made.store.verify({})), [
    'Alpha row 1: its terms are not in the index',
    'terms: the rows have 6, the index has 4',
  ]);
  made.behind("UPDATE resource SET terms = '' WHERE rid IN (1, 2)");
  test.same(await collected(made.store.verify({})), [
    'terms: an entry does not belong to row 2',
    'terms: the rows have 2, the index has 4',
  ]);
  made.behind("UPDATE term_data SET block = x'0004' WHERE id > 100");
  test.match((await collected(made.store.verify({})))[0], /^terms: /);
});

await t.test("two openings of a file see each other's terms", async (test) => {
  const made = await fresh(test as Test);
  const second = await openSqliteStore({ path: made.path, clock: manualClock() });
  for (let at = 0; at < 10; at++) {
    const [writes, reads] = at % 2 === 0 ? [made.store, second] : [second, made.store];
    await commit(writes, write('Alpha', 'a', { terms: [`t${at}`] }));
    test.same(await foundIds(reads, search(term('t', true))), ['a']);
    test.same(await foundIds(reads, search(term(`t${at}`))), ['a']);
  }
  test.same(await collected(second.verify({})), []);
  await second.close();
});

await t.test('tokens are equal, or begin with one another, just as their terms do', async (test) => {
  const seed = Number(process.env.CARELOOM_SEED ?? Math.floor(Math.random() * 2 ** 31));
  const random = seeded(seed);
  const chars = [...'aAbZ0^_~. \t"\'\\*{|}é', '\0', '\x7f', '\ud83d', '\ude00', '\uffff', '~0041', '^a'];
  const text = (): string => Array.from({ length: below(random, 4) }, () => pick(random, chars)).join('');
  const token = (value: string): string => tokensOf([value]).slice(1, -1);
  for (let at = 0; at < 20_000; at++) {
    const [a, b] = [text(), text()];
    if ((token(a) === token(b)) !== (a === b)) test.fail('equal', { seed, a, b });
    if (token(a).startsWith(token(b)) !== a.startsWith(b)) test.fail('beginning', { seed, a, b });
    if (!/^[a-z0-9!#-&(-@[-_{-~]+$/.test(token(a))) test.fail('characters', { seed, a });
  }
  test.equal(tokensOf(['a b', 'C']), ' .a^_b .^c ');
  test.equal(tokensOf([]), '');
});

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

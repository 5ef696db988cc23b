// The MongoDB store: the contract, and what only this adapter has: several processes on one database, a server that
// goes away and comes back, plans that stay with their index.
import { MongoClient } from 'mongodb';
import t from 'tap';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { openMongoStore } from '../../src/store/mongo/open.ts';
import type { AuditRow, Change, Store, StoreError } from '../../src/store/store.ts';
import {
  all,
  BUDGET,
  bodyOf,
  commit,
  DAY,
  deletion,
  failure,
  foundIds,
  key,
  manualClock,
  type OpenStore,
  search,
  type Test,
  write,
} from '../contract/made-up.ts';
import { storeContract } from '../contract/store.ts';
import { everything } from '../support/memory-store.ts';
import { sharedMongod, startMongod, withDatabase } from '../support/mongod.ts';

const auditEntry = { at: 1, patients: ['p'], agent: 'system', body: '{}' };

// Some thousand transactions, each flushed to disk.
t.setTimeout(240_000);
const mongod = await sharedMongod();
if (mongod.skip === undefined) {
  const open = opener(mongod.url);
  await storeContract(t, 'MongoDB', open);
  await t.test('MongoDB: several processes', (inner) => several(inner as Test, mongod.url));
  await t.test('MongoDB: plans', (inner) => plans(inner as Test, mongod.url));
  await t.test('MongoDB: an older layout', (inner) => olderLayout(inner as Test, mongod.url));
  await t.test('MongoDB: outages', (inner) => outages(inner as Test));
  await mongod.stop();
} else {
  await t.test('MongoDB', { skip: mongod.skip }, async () => {});
}

function opener(freshUrl: () => string): OpenStore {
  return async (clock) => {
    const url = freshUrl();
    let store = await openMongoStore({ url, clock });
    return {
      store,
      async reopen() {
        await store.close();
        store = await openMongoStore({ url, clock });
        return store;
      },
      async close() {
        await store.close();
        await behind(url, (client) => client.db().dropDatabase());
      },
      another: () => openMongoStore({ url, clock }),
      forge: (change) => behind(url, (client) => forgeAudit(client, change)),
      damage: () => behind(url, (client) => client.db().collection('history').deleteOne({ id: 'r1' })),
      pretendNewer: () =>
        behind(url, (client) =>
          client
            .db()
            .collection('setting')
            .updateOne({ _id: 'schema' as never }, { $set: { n: 99 } }),
        ),
    };
  };
}

async function forgeAudit(client: MongoClient, change: (rows: AuditRow[]) => AuditRow[]): Promise<void> {
  const audit = client.db().collection('audit');
  const found = await audit.find({}, { promoteBuffers: true }).sort({ chain: 1, seq: 1 }).toArray();
  const rows = found.map(({ _id, hash, ...row }) => ({ ...row, hash: Buffer.from(hash).toString('hex') }) as AuditRow);
  await audit.deleteMany({});
  await audit.insertMany(change(rows).map(({ hash, ...row }) => ({ ...row, hash: Buffer.from(hash, 'hex') })));
}

/** Does something to the database that the store knows nothing of. */
async function behind(url: string, work: (client: MongoClient) => Promise<unknown>): Promise<void> {
  const client = new MongoClient(url);
  try {
    await work(client);
  } finally {
    await client.close();
  }
}

async function opened(test: Test, url: string, clock: Clock = systemClock): Promise<Store> {
  const store = await openMongoStore({ url, clock });
  test.teardown(() => store.close());
  return store;
}

async function kindOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'done',
    (error: StoreError) => error.kind ?? String(error),
  );
}

// ---- several processes -------------------------------------------------------------------------------------------

async function several(test: Test, freshUrl: () => string): Promise<void> {
  await test.test('processes that open one empty database at once agree', async (inner) => {
    const url = freshUrl();
    const stores = await Promise.all([1, 2, 3].map(() => opened(inner as Test, url)));
    for (const store of stores) await store.ping();
  });
  await test.test('of commits with the same check one wins, whichever process makes it', async (inner) => {
    const url = freshUrl();
    const stores = await Promise.all([1, 2, 3].map(() => opened(inner as Test, url)));
    for (const where of [key('a.tok1'), { kind: 'span', from: 'a.tok', to: 'a.tol' } as const]) {
      const check = { type: 'Alpha', where, filter: everything, ids: [], atMost: 2 };
      const name = where.kind;
      const errors = await Promise.all(
        stores.flatMap((store, at) =>
          Array.from({ length: 6 }, (_, nth) =>
            failure(store, { writes: [write('Alpha', `${name}${at}-${nth}`, { keys: ['a.tok1'] })], checks: [check] }),
          ),
        ),
      );
      const winners = errors.filter((error) => error === undefined).length;
      inner.equal(winners, where.kind === 'key' ? 1 : 0, 'the second round finds what the first one left');
      inner.ok(errors.every((error) => error === undefined || error.kind === 'check'));
    }
  });
  await test.test('of updates that expect the same version one wins', async (inner) => {
    const url = freshUrl();
    const stores = await Promise.all([1, 2].map(() => opened(inner as Test, url)));
    const [first] = stores;
    if (first === undefined) return;
    await commit(first, write('Alpha', 'a'));
    const errors = await Promise.all(
      stores.flatMap((store) =>
        Array.from({ length: 16 }, () => failure(store, { writes: [write('Alpha', 'a', { expect: 1 })] })),
      ),
    );
    inner.equal(errors.filter((error) => error === undefined).length, 1);
    inner.ok(errors.every((error) => error === undefined || error.kind === 'version'));
    await Promise.all(stores.flatMap((store) => Array.from({ length: 10 }, () => commit(store, write('Alpha', 'b')))));
    inner.equal((await first.read('Alpha', 'b', everything))?.version, 20, 'updates that expect nothing all count');
    inner.same(await Array.fromAsync(first.verify({})), []);
  });
  await test.test('of creates of the same id one wins', async (inner) => {
    const url = freshUrl();
    const stores = await Promise.all([1, 2].map(() => opened(inner as Test, url)));
    const errors = await Promise.all(
      stores.flatMap((store) =>
        Array.from({ length: 8 }, () => failure(store, { writes: [write('Alpha', 'a', { expect: 'absent' })] })),
      ),
    );
    inner.equal(errors.filter((error) => error === undefined).length, 1);
    inner.ok(errors.every((error) => error === undefined || error.kind === 'version'));
  });
  await test.test('the versions of a resource follow in time though the clocks of processes differ', async (inner) => {
    const url = freshUrl();
    const ahead = await opened(inner as Test, url, { ...systemClock, now: () => Date.now() + DAY });
    const behindTime = await opened(inner as Test, url);
    const [first] = await commit(ahead, write('Alpha', 'a'));
    const [second] = await commit(behindTime, write('Alpha', 'a'));
    inner.ok((second?.lastUpdated ?? 0) > (first?.lastUpdated ?? 0));
    const history = await ahead.history({ type: 'Alpha', limit: 10, budgetMs: BUDGET }, everything);
    inner.same(
      history.rows.map((row) => row.version),
      [2, 1],
    );
  });
  await test.test('a reader of the outbox misses nothing while several processes write', async (inner) => {
    const url = freshUrl();
    const stores = await Promise.all([1, 2, 3].map(() => opened(inner as Test, url)));
    const [reader] = stores;
    if (reader === undefined) return;
    const seen: Change[] = [];
    const state = { isWriting: true };
    const reading = (async () => {
      for (let isLast = false; !isLast; ) {
        isLast = !state.isWriting;
        for (;;) {
          const changes = await reader.outbox.after(seen.at(-1)?.seq ?? '', 7);
          seen.push(...changes);
          if (changes.length < 7) break;
        }
      }
    })();
    const writers = stores.flatMap((store, at) =>
      Array.from({ length: 3 }, async (_, nth) => {
        for (let turn = 0; turn < 12; turn += 1) {
          await commit(store, write('Alpha', `own${at}-${nth}-${turn}`), write('Beta', `shared${turn % 3}`));
        }
      }),
    );
    await Promise.all(writers);
    state.isWriting = false;
    await reading;
    inner.equal(seen.length, 3 * 3 * 12 * 2, 'each change once');
    inner.same(
      seen.map((change) => change.seq),
      [...new Set(seen.map((change) => change.seq))].sort(),
      'seq grows',
    );
    for (const id of ['shared0', 'shared1', 'shared2']) {
      const versions = seen.filter((change) => change.id === id).map((change) => change.version);
      inner.same(
        versions,
        versions.map((_, at) => at + 1),
        'a later version comes later',
      );
    }
  });
}

// ---- plans -------------------------------------------------------------------------------------------------------

async function plans(test: Test, freshUrl: () => string): Promise<void> {
  const url = freshUrl();
  const store = await opened(test, url);
  const writes = Array.from({ length: 600 }, (_, at) =>
    write('Alpha', `r${at}`, {
      keys: [`a.tok${at % 3}`, `a.pat${at % 20}`, `a.key${at}`],
      ord: at * DAY,
      ...(at === 7 ? { terms: ['w.rare', 'w.word'] } : {}),
    }),
  );
  await store.commit({ writes });
  /** What the server says it did for the queries of `work`. */
  const queries = { ns: /\.resource$/, op: { $in: ['query', 'command'] } };
  const profiled = async (
    work: () => Promise<unknown>,
    filter: object = queries,
  ): Promise<Record<string, unknown>[]> => {
    const entries: Record<string, unknown>[] = [];
    await behind(url, async (client) => {
      await client.db().setProfilingLevel('all');
      await work();
      await client.db().setProfilingLevel('off');
      entries.push(...(await client.db().collection('system.profile').find(filter).toArray()));
      await client.db().collection('system.profile').drop();
    });
    return entries;
  };
  await test.test('a page of a list is read from the index in order', async (inner) => {
    for (const descending of [true, false]) {
      const order = [{ by: 'ord', descending }] as const;
      const page = await store.search(search(key('a.tok1'), { order, limit: 20 }), everything);
      const next = page.next ?? '';
      const entries = await profiled(async () => {
        const second = await store.search(search(key('a.tok1'), { order, limit: 20, after: next }), everything);
        inner.equal(second.rows.length, 20);
      });
      inner.equal(entries.length, 1);
      inner.match(entries[0], { planSummary: 'IXSCAN { idx: 1, ord: 1, tie: 1 }' });
      inner.notOk(entries[0]?.hasSortStage, 'nothing is sorted');
      inner.ok(Number(entries[0]?.docsExamined) <= 22, 'the page starts where the last one ended');
    }
  });
  await test.test('merged lists are read in order too', async (inner) => {
    const either = { kind: 'or', of: [key('a.pat1'), key('a.pat2'), key('a.pat3')] } as const;
    const entries = await profiled(() => store.search(search(either, { limit: 10 }), everything));
    const last = entries.at(-1);
    inner.notOk(last?.hasSortStage);
    inner.ok(Number(last?.docsExamined) <= 20);
  });
  await test.test('a second key is checked on the rows of the first', async (inner) => {
    const both = { kind: 'and', of: [key('a.tok1'), key('a.pat1')] } as const;
    const entries = await profiled(() => store.search(search(both, { limit: 50 }), everything));
    const last = entries.at(-1);
    inner.match(last, { planSummary: 'IXSCAN { idx: 1, ord: 1, tie: 1 }' });
    inner.equal(Number(last?.docsExamined), 30, 'the shorter list');
  });
  await test.test('a page by lastUpdated walks its index', async (inner) => {
    const order = [{ by: 'lastUpdated', descending: true }] as const;
    const entries = await profiled(() => store.search(search(all, { order, limit: 10 }), everything));
    inner.match(entries[0], { planSummary: 'IXSCAN { t: 1, lu: 1, tie: 1 }' });
    inner.notOk(entries[0]?.hasSortStage);
  });
  await test.test('slices are checked within the span', async (inner) => {
    const within = { kind: 'slices', of: [{ at: 6, length: 1, atLeast: '3', atMost: '4' }] } as const;
    const sliced = { kind: 'span', from: 'a.key2', to: 'a.key3', within } as const;
    const entries = await profiled(async () => {
      inner.equal((await foundIds(store, search(sliced))).length, 22);
    });
    const last = entries.at(-1);
    inner.match(last, { planSummary: 'IXSCAN { idx: 1, ord: 1, tie: 1 }' });
    inner.equal(Number(last?.docsExamined), 111, 'what lies in the span, nothing else');
  });
  await test.test('terms have an index of their own, in which only rows with terms are', async (inner) => {
    const found = { kind: 'term', term: 'w.rare' } as const;
    const entries = await profiled(async () => {
      inner.same(await foundIds(store, search(found)), ['r7']);
    });
    const last = entries.at(-1);
    inner.match(last, { planSummary: 'IXSCAN { terms: 1 }' });
    inner.equal(Number(last?.docsExamined), 1);
    await behind(url, async (client) => {
      const { keysPerIndex } = await client.db().command({ validate: 'resource' });
      inner.equal(keysPerIndex.terms_1, 2);
    });
  });
  await test.test('a page in the order of keys costs no more than a few pages', async (inner) => {
    for (const descending of [false, true]) {
      const order = [{ by: 'keys', prefix: 'a.key', descending }] as const;
      for (const where of [all, key('a.tok1')]) {
        const page = await store.search(search(where, { order, limit: 10, explain: true }), everything);
        inner.equal(page.explanation?.plan, 'walk');
        inner.ok((page.explanation?.examined ?? 600) <= 170, `${page.explanation?.examined} looked at`);
        const after = page.next ?? '';
        const second = await store.search(search(where, { order, limit: 10, after, explain: true }), everything);
        inner.ok((second.explanation?.examined ?? 600) <= 170, 'the page starts where the last one ended');
      }
    }
  });
  await test.test('a range of time is counted on the index alone, and remembered', async (inner) => {
    const since = { kind: 'lastUpdated', from: 1 } as const;
    const scans = async (): Promise<unknown[]> => {
      const entries = await profiled(() => store.search(search(since, { limit: 10 }), everything));
      return entries
        .filter(({ planSummary }) => planSummary === 'IXSCAN { t: 1, lu: 1, tie: 1 }')
        .map(({ docsExamined }) => docsExamined);
    };
    inner.same(await scans(), [0, 600], 'counted, then collected');
    inner.same(await scans(), [600]);
  });
  await test.test('a page of the audit record walks the index of what is asked for', async (inner) => {
    const ofAudit = { ns: /\.audit$/, op: { $in: ['query', 'command'] } };
    const rows = Array.from({ length: 300 }, (_, n) => ({
      at: n,
      patients: [`p${n % 3}`],
      agent: `a${n % 2}`,
      body: '{}',
    }));
    for (let from = 0; from < 300; from += 50) await store.audit.append(rows.slice(from, from + 50));
    for (const asked of [{}, { patient: 'p1' }, { agent: 'a1' }, { from: 40 }]) {
      const first = { ...asked, descending: true, limit: 10 };
      const { next = '' } = await store.audit.rows(first);
      const [entry] = await profiled(() => store.audit.rows({ ...first, after: next }), ofAudit);
      inner.notOk(entry?.hasSortStage, JSON.stringify(asked));
      inner.ok(Number(entry?.docsExamined) <= 12, `${entry?.docsExamined} looked at for ${JSON.stringify(asked)}`);
    }
    const [entry] = await profiled(async () => inner.ok((await store.audit.heads()).length >= 1), ofAudit);
    inner.match(entry?.planSummary, /^DISTINCT_SCAN/);
    inner.ok(Number(entry?.keysExamined) <= 12, `${entry?.keysExamined} entries looked at for the heads`);
  });
  await test.test(
    'audit rows of one turn share an insert, and those of commits that share a transaction',
    async (inner) => {
      const before = await store.audit.heads();
      const inserts = await profiled(
        () => Promise.all(Array.from({ length: 16 }, () => store.audit.append([auditEntry]))),
        {
          ns: /\.audit$/,
          op: 'insert',
        },
      );
      inner.equal(inserts.length, 1);
      await Promise.all(
        Array.from({ length: 16 }, (_, at) =>
          store.commit({ writes: [write('Gamma', `b${at}`, { expect: 'absent' })], audit: [auditEntry] }),
        ),
      );
      const added = (heads: typeof before): number => heads.reduce((sum, { seq }) => sum + seq, 0);
      const after = await store.audit.heads();
      inner.equal(added(after) - added(before), 32);
      inner.equal(after.length, before.length, 'one after the other, they extend the same chain');
    },
  );
  await test.test('reads of one turn share a find', async (inner) => {
    const entries = await profiled(async () => {
      const rows = await Promise.all(Array.from({ length: 16 }, (_, at) => store.read('Alpha', `r${at}`, everything)));
      inner.ok(rows.every((row) => row !== undefined));
    });
    inner.equal(entries.length, 1);
  });
  await test.test('creates of one turn share a transaction', async (inner) => {
    await Promise.all(
      Array.from({ length: 16 }, (_, at) => commit(store, write('Beta', `b${at}`, { expect: 'absent' }))),
    );
    await behind(url, async (client) => {
      const entries = await client.db().collection('outbox').countDocuments({ 'changes.t': 'Beta' });
      inner.equal(entries, 1);
    });
  });
  await test.test('threat 27: a search that takes longer than it may is too costly', async (inner) => {
    const where = { kind: 'not', of: { kind: 'refers', prefix: 'a.pat', to: { type: 'Alpha', where: all } } } as const;
    inner.equal(await kindOf(store.search(search(where, { budgetMs: 0 }), everything)), 'too-costly');
    const order = [{ by: 'keys', prefix: 'a.key', descending: false }] as const;
    inner.equal(await kindOf(store.search(search(where, { order, budgetMs: 4 }), everything)), 'too-costly');
    inner.equal((await foundIds(store, search(where, { limit: 500 }))).length, 500);
  });
  await test.test('threat 25: a cursor carries nothing but values', async (inner) => {
    for (const after of [
      'x',
      Buffer.from('{"$gt":""}').toString('base64url'),
      Buffer.from('[1,{"$gt":1}]').toString('base64url'),
    ]) {
      inner.equal(await kindOf(store.search(search(all, { after }), everything)), 'cursor');
    }
  });
}

// ---- layouts -----------------------------------------------------------------------------------------------------

/** Makes the database what the first layout was: no terms, and past versions that do not say until when they held. */
async function olderLayout(test: Test, freshUrl: () => string): Promise<void> {
  const url = freshUrl();
  const first = await openMongoStore({ url, clock: systemClock });
  for (const turn of [1, 2, 3])
    await commit(first, write('Alpha', 'a', { text: `${turn}` }), write('Beta', `b${turn}`));
  await commit(first, deletion('Alpha', 'a'));
  const at = (await first.readVersion('Alpha', 'a', 2, everything))?.lastUpdated ?? 0;
  await first.close();
  await behind(url, async (client) => {
    const [resource, history] = [client.db().collection('resource'), client.db().collection('history')];
    await resource.dropIndex('terms_1');
    await history.dropIndex('t_1_lu_1_tie_1_until_1');
    await history.createIndex({ t: 1, lu: 1, tie: 1 });
    await history.updateMany({}, { $unset: { until: '' } });
    await client.db().dropCollection('audit');
    await client
      .db()
      .collection('setting')
      .updateOne({ _id: 'schema' as never }, { $set: { n: 1 } });
  });
  const [store] = await Promise.all([1, 2, 3].map(() => opened(test, url)));
  if (store === undefined) return;
  await test.test('is brought up to date, by several processes at once', async (inner) => {
    inner.same(await Array.fromAsync(store.verify({})), []);
    const asked = { type: 'Alpha', current: { from: at, to: at + 1 }, limit: 10, budgetMs: BUDGET };
    inner.same(
      (await store.history(asked, everything)).rows.map((row) => row.version),
      [2],
    );
    await commit(store, write('Alpha', 'c', { terms: ['w.word'] }));
    inner.same(await foundIds(store, search({ kind: 'term', term: 'w.word' })), ['c']);
    await behind(url, async (client) => {
      const names = (await client.db().collection('history').indexes()).map(({ name }) => name);
      inner.same(names, ['_id_', 't_1_lu_1_tie_1_until_1']);
      const ofAudit = (await client.db().collection('audit').indexes()).map(({ name }) => name);
      inner.same(ofAudit.length, 5);
    });
    await store.audit.append([auditEntry]);
    inner.match(await store.audit.heads(), [{ seq: 1 }]);
    inner.same(await Array.fromAsync(store.verify({})), []);
  });
}

// ---- outages -----------------------------------------------------------------------------------------------------

async function outages(test: Test): Promise<void> {
  const own = await startMongod();
  test.teardown(() => own.stop());
  const url = withDatabase(own.url);
  const store = await opened(test, url, manualClock());
  await test.test(
    'what was committed is there after a power cut, and the store comes back by itself',
    async (inner) => {
      await Promise.all(
        Array.from({ length: 30 }, (_, at) =>
          store.commit({ writes: [write('Alpha', `a${at}`, { text: `${at}` })], audit: [auditEntry] }),
        ),
      );
      await Promise.all(Array.from({ length: 30 }, () => store.audit.append([auditEntry])));
      await own.restart();
      const ids = await recovered(() => foundIds(store, search(all)));
      inner.equal(ids.length, 30);
      inner.equal(bodyOf(await store.read('Alpha', 'a7', everything))?.text, '7');
      await recovered(() => store.commit({ writes: [write('Alpha', 'later')], audit: [auditEntry] }));
      await recovered(() => store.audit.append([auditEntry]));
      inner.ok((await store.audit.rows({ descending: false, limit: 100 })).rows.length >= 62);
      inner.same(await Array.fromAsync(store.verify({})), []);
    },
  );
  await test.test('without a server everything is unavailable, soon', async (inner) => {
    await own.kill();
    const started = performance.now();
    const kinds = await Promise.all([
      kindOf(store.read('Alpha', 'a1', everything)),
      kindOf(store.search(search(all), everything)),
      kindOf(commit(store, write('Alpha', 'b'))),
      kindOf(store.records.get('code', 'x')),
      kindOf(store.outbox.after('', 1)),
      kindOf(store.history({ limit: 1, budgetMs: BUDGET }, everything)),
      kindOf(store.audit.append([auditEntry])),
      kindOf(store.audit.rows({ descending: false, limit: 1 })),
      kindOf(store.audit.heads()),
      kindOf(store.ping()),
      kindOf(openMongoStore({ url, clock: systemClock })),
    ]);
    inner.same(new Set(kinds), new Set(['unavailable']));
    inner.ok(performance.now() - started < 15_000);
    await own.restart();
    await recovered(() => store.ping());
    await recovered(() => store.audit.append([auditEntry]));
    inner.same(await Array.fromAsync(store.verify({})), []);
  });
  await test.test('a standalone server is refused with the reason', async (inner) => {
    const alone = await startMongod({ replicaSet: false });
    inner.teardown(() => alone.stop());
    await inner.rejects(openMongoStore({ url: alone.url, clock: systemClock }), {
      kind: 'unavailable',
      message: /replica set of one node/,
    });
  });
  await test.test('the name of a store tells no secret', async (inner) => {
    const [scheme = '', rest = ''] = url.split('//');
    const named = await kindOf(openMongoStore({ url: `${scheme}//user:secret@${rest}`, clock: systemClock }));
    inner.not(named, 'done');
    inner.notMatch(store.name, /secret|replicaSet/);
    inner.match(store.name, /^MongoDB 127\.0\.0\.1:\d+\/test_/);
  });
}

/** Tries while the driver finds out that the server is back. */
async function recovered<T>(work: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const { kind } = error as StoreError;
      if (kind !== 'unavailable' || performance.now() > deadline) throw error;
    }
  }
}

// The store contract, first half: commits, versions, history, records, outbox, upkeep.
import { everything } from '../support/memory-store.ts';
import type { OpenStore, Test } from './made-up.ts';
import {
  all,
  BUDGET,
  bodyOf,
  collected,
  commit,
  DAY,
  deletion,
  failure,
  foundIds,
  idsOf,
  key,
  refused,
  START,
  search,
  skipped,
  write,
} from './made-up.ts';
import { type Case, runCases } from './run-cases.ts';

const versions: Case = async (t, { store }, clock) => {
  const [created] = await commit(store, write('Alpha', 'a', { text: 'one' }));
  t.match(created, { version: 1, created: true });
  t.ok((created?.lastUpdated ?? 0) >= clock.now(), 'lastUpdated is the time of the commit');
  const [updated] = await commit(store, write('Alpha', 'a', { text: 'two' }));
  t.match(updated, { version: 2, created: false });
  t.ok((updated?.lastUpdated ?? 0) > (created?.lastUpdated ?? 0), 'lastUpdated grows though the clock stands still');
  const current = await store.read('Alpha', 'a', everything);
  t.same(bodyOf(current), {
    resourceType: 'Alpha',
    id: 'a',
    meta: { versionId: '2', lastUpdated: new Date(updated?.lastUpdated ?? 0).toISOString() },
    text: 'two',
  });
  t.match(current, { type: 'Alpha', id: 'a', version: 2, lastUpdated: updated?.lastUpdated });
  t.equal(bodyOf(await store.readVersion('Alpha', 'a', 1, everything))?.text, 'one');
  t.equal(bodyOf(await store.readVersion('Alpha', 'a', 2, everything))?.text, 'two');
  t.equal(await store.readVersion('Alpha', 'a', 3, everything), undefined);
  t.equal(await store.readVersion('Alpha', 'a', 0, everything), undefined);
  t.equal(await store.read('Alpha', 'none', everything), undefined);
  t.equal(await store.read('Beta', 'a', everything), undefined, 'an id belongs to its type');
};

const deletions: Case = async (t, { store }) => {
  await commit(store, write('Alpha', 'a', { keys: ['a.tok1'] }));
  const [deleted] = await commit(store, deletion('Alpha', 'a'));
  t.match(deleted, { version: 2, created: false });
  t.match(await store.read('Alpha', 'a', everything), { version: 2, body: null });
  t.match(await store.readVersion('Alpha', 'a', 2, everything), { version: 2, body: null });
  t.equal(bodyOf(await store.readVersion('Alpha', 'a', 1, everything))?.id, 'a');
  t.same(await store.readMany([{ type: 'Alpha', id: 'a' }], everything), [undefined]);
  t.same(await foundIds(store, search(all)), []);
  t.same(await foundIds(store, search(all, { order: [{ by: 'lastUpdated', descending: true }] })), []);
  t.same(await foundIds(store, search({ kind: 'ids', ids: ['a'] })), []);
  t.match((await commit(store, deletion('Alpha', 'a')))[0], { version: 0, created: false }, 'deleted already');
  t.match((await commit(store, deletion('Alpha', 'none')))[0], { version: 0, created: false }, 'never there');
  t.match((await store.read('Alpha', 'a', everything))?.version, 2);
  t.match((await commit(store, write('Alpha', 'a', { expect: 'absent' })))[0], { version: 3, created: true });
  t.same(await foundIds(store, search(all)), ['a']);
  t.match((await commit(store, deletion('Alpha', 'a'), write('Alpha', 'a')))[1], { version: 5, created: true });
  t.same(idsOf(await store.history({ type: 'Alpha', id: 'a', limit: 10, budgetMs: BUDGET }, everything)).length, 5);
};

const expectations: Case = async (t, { store }) => {
  await commit(store, write('Alpha', 'a'), write('Alpha', 'gone'));
  await commit(store, deletion('Alpha', 'gone'));
  const failed = (...writes: Parameters<typeof commit>[1][]): ReturnType<typeof failure> => failure(store, { writes });
  t.same(await failed(write('Alpha', 'a', { expect: 'absent' })), { kind: 'version', at: 0 });
  t.same(await failed(write('Alpha', 'x'), write('Alpha', 'a', { expect: 2 })), { kind: 'version', at: 1 });
  t.same(await failed(write('Alpha', 'new', { expect: 1 })), { kind: 'version', at: 0 });
  t.same(await failed(write('Alpha', 'gone', { expect: 2 })), { kind: 'version', at: 0 }, 'deleted is not live');
  t.same(await failed(deletion('Alpha', 'a', 7)), { kind: 'version', at: 0 });
  t.equal(await store.read('Alpha', 'x', everything), undefined, 'nothing of a failed commit stays');
  t.match((await commit(store, write('Alpha', 'a', { expect: 1 })))[0], { version: 2 });
  t.match((await commit(store, deletion('Alpha', 'a', 2)))[0], { version: 3 });
};

const atomicity: Case = async (t, { store }) => {
  await commit(store, write('Alpha', 'a', { keys: ['a.tok1'] }));
  const before = await store.outbox.after('', 100);
  const writes = [
    write('Alpha', 'a', { keys: ['a.tok2'] }),
    write('Alpha', 'b', { keys: ['a.tok2'] }),
    deletion('Alpha', 'a'),
    write('Alpha', 'c', { expect: 9 }),
  ];
  t.same(await failure(store, { writes }), { kind: 'version', at: 3 });
  t.same(await foundIds(store, search(key('a.tok2'))), []);
  t.same(await foundIds(store, search(key('a.tok1'))), ['a']);
  t.equal((await store.read('Alpha', 'a', everything))?.version, 1);
  t.equal(await store.readVersion('Alpha', 'a', 2, everything), undefined);
  t.equal(await store.read('Alpha', 'b', everything), undefined);
  t.same(await store.outbox.after('', 100), before);
  t.same(await collected(store.verify({})), []);
  t.same(await commit(store), [], 'an empty commit is no error');
};

const checks: Case = async (t, { store }) => {
  const check = { type: 'Alpha', where: key('a.tok1'), filter: everything, ids: [] as string[], atMost: 2 };
  t.match(await store.commit({ writes: [write('Alpha', 'a', { keys: ['a.tok1'] })], checks: [check] }), [
    { version: 1 },
  ]);
  const second = { writes: [write('Alpha', 'b', { keys: ['a.tok1'] })], checks: [check] };
  t.same(await failure(store, second), { kind: 'check', at: 0 });
  t.equal(await store.read('Alpha', 'b', everything), undefined);
  const holds = { ...check, ids: ['a'] };
  const other = { ...check, type: 'Beta', where: all };
  t.same(await failure(store, { writes: [write('Beta', 'z')], checks: [holds, { ...other, ids: ['y'] }] }), {
    kind: 'check',
    at: 1,
  });
  t.equal(await failure(store, { writes: [write('Beta', 'z')], checks: [holds, other] }), undefined);
  const blind = { ...check, filter: { of: () => ({ kind: 'none' }) as const } };
  t.equal(
    await failure(store, { writes: [write('Beta', 'y')], checks: [blind] }),
    undefined,
    'a check sees through its filter',
  );
  const ranged = { ...check, where: { kind: 'span', from: 'a.tok', to: 'a.tol' } as const };
  t.same(await failure(store, { writes: [write('Beta', 'x')], checks: [ranged] }), { kind: 'check', at: 0 });
};

const dryRuns: Case = async (t, { store }) => {
  const [first] = await commit(
    store,
    write('Alpha', 'a', { keys: ['a.tok1'], terms: ['one'], text: 'one', ord: DAY }),
    write('Alpha', 'b', { keys: ['a.tok1'] }),
  );
  await commit(store, deletion('Alpha', 'b'));
  const state = async (): Promise<unknown> => ({
    a: await store.read('Alpha', 'a', everything),
    versions: await store.history({ limit: 100, budgetMs: BUDGET }, everything),
    changes: await store.outbox.after('', 100),
    found: await foundIds(store, search(key('a.tok1'))),
    fresh: await foundIds(store, search(key('a.tok9'))),
    terms: await foundIds(store, search({ kind: 'term', term: 'one' })),
    freshTerms: await foundIds(store, search({ kind: 'term', term: 'nine' })),
    stats: [...(await store.stats())],
  });
  const before = await state();
  const writes = [
    write('Alpha', 'a', { keys: ['a.tok9'], terms: ['nine'], expect: 1 }),
    write('Alpha', 'b', { keys: ['a.tok9'], expect: 'absent' }),
    write('Alpha', 'new', { keys: ['a.tok9'], terms: ['nine'], expect: 'absent' }),
    write('Alpha', 'new', { keys: ['a.tok9'] }),
    deletion('Alpha', 'a'),
    deletion('Alpha', 'none'),
  ];
  const check = { type: 'Alpha', where: key('a.tok1'), filter: everything, ids: ['a'], atMost: 2 };
  const answer = await store.commit({ writes, checks: [check], dryRun: true });
  t.match(answer, [
    { version: 2, created: false },
    { version: 3, created: true },
    { version: 1, created: true },
    { version: 2, created: false },
    { version: 3, created: false },
    { version: 0, created: false },
  ]);
  t.ok((answer[0]?.lastUpdated ?? 0) > (first?.lastUpdated ?? 0), 'with the instant that it would have had');
  t.same(await state(), before, 'and leaves the store as it was');
  const refusal = { writes: [...writes, write('Alpha', 'a', { expect: 1 })], dryRun: true } as const;
  t.same(await failure(store, refusal), { kind: 'version', at: 6 }, 'it sees its own writes');
  const unfit = { ...check, ids: [] };
  t.same(await failure(store, { writes, checks: [check, unfit], dryRun: true }), { kind: 'check', at: 1 });
  t.same(await store.commit({ writes: [], dryRun: true }), []);
  t.same(await state(), before);
  t.same(await collected(store.verify({})), []);
  t.match(
    await store.commit({ writes, checks: [check] }),
    answer.map(({ version, created }) => ({ version, created })),
    'what it foretold',
  );
};

const dryRunsAmongOthers: Case = async (t, { store }) => {
  await commit(store, write('Alpha', 'a', { keys: ['a.tok1'] }));
  const answers = await Promise.all(
    Array.from({ length: 60 }, (_, at) => {
      const name = `${at % 3 === 0 ? 'dry' : 'real'}${at}`;
      const writes = [
        write('Alpha', name, { keys: ['a.tok1'], terms: [name] }),
        write('Beta', 'b'),
        write('Gamma', 'same'),
      ];
      return store.commit(at % 3 === 0 ? { writes, dryRun: true } : { writes });
    }),
  );
  t.ok(answers.every(([written]) => written?.version === 1 && written.created));
  const found = await foundIds(store, search(key('a.tok1')));
  t.same(
    found.sort(),
    ['a', ...Array.from({ length: 60 }, (_, at) => `real${at}`).filter((_, at) => at % 3 > 0)].sort(),
  );
  t.same(await foundIds(store, search({ kind: 'term', term: 'dry', prefix: true })), []);
  t.equal((await foundIds(store, search({ kind: 'term', term: 'real', prefix: true }))).length, 40);
  t.equal((await store.read('Beta', 'b', everything))?.version, 40, 'only those that were meant count');
  t.equal((await store.outbox.after('', 1_000)).length, 121);
  const versions = answers
    .flatMap(([, beta], at) => (at % 3 === 0 ? [] : [beta?.version]))
    .sort((a = 0, b = 0) => a - b);
  t.same(
    versions,
    Array.from({ length: 40 }, (_, at) => at + 1),
  );
  t.same(await collected(store.verify({})), []);
};

const races: Case = async (t, { store }) => {
  const check = { type: 'Alpha', where: key('a.tok1'), filter: everything, ids: [], atMost: 2 };
  const creates = Array.from({ length: 32 }, (_, at) =>
    failure(store, { writes: [write('Alpha', `n${at}`, { keys: ['a.tok1'], expect: 'absent' })], checks: [check] }),
  );
  const created = await Promise.all(creates);
  t.equal(created.filter((error) => error === undefined).length, 1, 'one of 32 creates with the same check wins');
  t.ok(created.every((error) => error === undefined || error.kind === 'check'));
  t.equal((await foundIds(store, search(key('a.tok1')))).length, 1);
  await commit(store, write('Beta', 'b'));
  const updated = await Promise.all(
    Array.from({ length: 32 }, (_, at) =>
      failure(store, { writes: [write('Beta', 'b', { text: `${at}`, expect: 1 })] }),
    ),
  );
  t.equal(updated.filter((error) => error === undefined).length, 1, 'one of 32 updates of the same version wins');
  t.ok(updated.every((error) => error === undefined || error.kind === 'version'));
  t.equal((await store.read('Beta', 'b', everything))?.version, 2);
  const same = await Promise.all(
    Array.from({ length: 32 }, () => failure(store, { writes: [write('Beta', 'c', { expect: 'absent' })] })),
  );
  t.equal(same.filter((error) => error === undefined).length, 1, 'one of 32 creates of the same id wins');
  await Promise.all(Array.from({ length: 32 }, () => commit(store, write('Beta', 'd'))));
  t.equal((await store.read('Beta', 'd', everything))?.version, 32, 'updates that expect nothing all count');
};

const readYourWrites: Case = async (t, { store }) => {
  for (let at = 0; at < 20; at++) {
    await commit(store, write('Alpha', `a${at}`, { keys: ['a.tok1', `a.key${at}`], ord: at * DAY }));
    t.ok(await store.read('Alpha', `a${at}`, everything));
    t.same(await foundIds(store, search(key(`a.key${at}`))), [`a${at}`]);
    t.equal(
      (await store.count({ type: 'Alpha', where: all }, { cap: 100, budgetMs: BUDGET }, everything)).count,
      at + 1,
    );
  }
  t.same((await store.stats()).get('Alpha'), 20);
};

const many: Case = async (t, { store }) => {
  await commit(store, write('Alpha', 'a'), write('Beta', 'b'), write('Alpha', 'c'));
  const refs = [
    { type: 'Beta', id: 'b' },
    { type: 'Alpha', id: 'none' },
    { type: 'Alpha', id: 'c' },
    { type: 'Beta', id: 'b' },
    { type: 'Alpha', id: 'a' },
  ];
  const rows = await store.readMany(refs, everything);
  t.same(
    rows.map((row) => row?.id),
    ['b', undefined, 'c', 'b', 'a'],
  );
  t.equal(bodyOf(rows[2])?.id, 'c');
  const noBeta = { of: (type: string) => ({ kind: type === 'Beta' ? 'none' : 'all' }) as const };
  t.same(
    (await store.readMany(refs, noBeta)).map((row) => row?.id),
    [undefined, undefined, 'c', undefined, 'a'],
  );
  t.same(await store.readMany([], everything), []);
};

const bigBodies: Case = async (t, { store }) => {
  const text = `${'ä😀x'.repeat(800_000)}end`;
  await commit(store, write('Alpha', 'big', { text, keys: ['a.tok1'] }), write('Alpha', 'small'));
  t.equal(bodyOf(await store.read('Alpha', 'big', everything))?.text, text);
  const page = await store.search(search(key('a.tok1')), everything);
  t.equal(bodyOf(page.rows[0])?.text, text);
  const bare = await store.search(search(key('a.tok1'), { bodyless: true }), everything);
  t.equal(bare.rows[0]?.body?.length, 0);
};

const records: Case = async (t, { store }, clock) => {
  const put = (id: string, value: string, expect: number, expires?: number): Promise<number | undefined> =>
    store.records.put({ kind: 'code', id, value, ...(expires === undefined ? {} : { expires }) }, expect);
  t.equal(await store.records.get('code', 'a'), undefined);
  t.equal(await put('a', '1', 0), 1);
  t.equal(await put('a', '2', 0), undefined, 'taken');
  t.equal(await put('a', '2', 1), 2);
  t.equal(await put('a', '3', 1), undefined, 'another was faster');
  t.same(await store.records.get('code', 'a'), { kind: 'code', id: 'a', version: 2, value: '2' });
  t.equal(await store.records.get('other', 'a'), undefined);
  t.equal(await store.records.remove('code', 'a', 1), false);
  t.equal(await store.records.remove('code', 'a', 2), true);
  t.equal(await store.records.remove('code', 'a'), false);
  const winners = await Promise.all(Array.from({ length: 32 }, (_, at) => put('race', `${at}`, 0)));
  t.equal(winners.filter((version) => version !== undefined).length, 1);
  await put('short', 'x', 0, START + 1_000);
  t.match(await store.records.get('code', 'short'), { value: 'x', expires: START + 1_000 });
  clock.set(START + 2_000);
  t.equal(await store.records.get('code', 'short'), undefined, 'expired counts as absent');
  t.same(
    (await store.records.list('code', { limit: 10 })).map((record) => record.id),
    ['race'],
  );
  t.ok(await put('short', 'y', 0, START + 3_000), 'an expired one can be put anew');
  t.equal((await store.records.get('code', 'short'))?.value, 'y');
  clock.set(START + 4_000);
  t.equal(await store.records.sweep(), 1);
  t.equal(await store.records.sweep(), 0);
  for (const id of ['c', 'b', 'd']) await put(id, '1', 0);
  t.same(
    (await store.records.list('code', { limit: 2 })).map((record) => record.id),
    ['b', 'c'],
  );
  t.same(
    (await store.records.list('code', { after: 'c', limit: 9 })).map((record) => record.id),
    ['d', 'race'],
  );
};

const outbox: Case = async (t, { store }) => {
  await commit(store, write('Alpha', 'a'), write('Beta', 'b'));
  await commit(store, deletion('Alpha', 'a'));
  await commit(store, deletion('Alpha', 'none'));
  const changes = await store.outbox.after('', 100);
  t.same(
    changes.map(({ type, id, version }) => `${type}/${id}/${version}`),
    ['Alpha/a/1', 'Beta/b/1', 'Alpha/a/2'],
  );
  t.same(await store.outbox.after('', 1), changes.slice(0, 1));
  t.same(await store.outbox.after(changes[0]?.seq ?? '', 100), changes.slice(1));
  t.same(await store.outbox.after(changes[2]?.seq ?? '', 100), []);
  await store.outbox.forget(changes[2]?.seq ?? '');
  t.same(await store.outbox.after('', 100), []);
  await commit(store, write('Alpha', 'z'));
  t.match(
    await store.outbox.after(changes[2]?.seq ?? '', 100),
    [{ type: 'Alpha', id: 'z', version: 1 }],
    'numbers are not used again',
  );
};

const upkeep: Case = async (t, { store }) => {
  for (let at = 0; at < 25; at++)
    await commit(
      store,
      write(at % 5 === 0 ? 'Beta' : 'Alpha', `r${at}`, { keys: ['a.tok1', `a.key${at}`], ord: at * DAY }),
    );
  await commit(store, deletion('Alpha', 'r1'));
  t.same([...(await store.stats())].sort(), [
    ['Alpha', 19],
    ['Beta', 5],
  ]);
  for (const [type, expected] of [
    ['Alpha', 19],
    ['Beta', 5],
    [undefined, 24],
  ] as const) {
    const seen = new Set<string>();
    let after: string | undefined;
    do {
      const page = await store.scan({
        ...(type === undefined ? {} : { type }),
        limit: 4,
        ...(after === undefined ? {} : { after }),
      });
      for (const row of page.rows) seen.add(`${row.type}/${row.id}`);
      t.ok(page.rows.every((row) => row.allKeys.includes(`@type${row.type}`) && row.body !== null && row.ord >= 0));
      after = page.next;
    } while (after !== undefined);
    t.equal(seen.size, expected);
  }
  const fresh = (id: string, version: number) => ({
    type: 'Alpha',
    id,
    version,
    ord: 5,
    keys: ['@typeAlpha', 'a.tok9'],
    terms: [],
  });
  t.equal(
    await store.reindex([fresh('r2', 1), fresh('r3', 7), fresh('r1', 2), fresh('none', 1)]),
    1,
    'only rows that still have the version',
  );
  t.same(await foundIds(store, search(key('a.tok9'))), ['r2']);
  t.same(await foundIds(store, search(key('a.key2'))), []);
  t.equal((await store.read('Alpha', 'r2', everything))?.version, 1, 'no new version arises');
  t.same(await collected(store.verify({})), []);
  await store.ping();
};

const damaged: Case = async (t, { store, damage }) => {
  for (let at = 0; at < 10; at++) await commit(store, write('Alpha', `r${at}`, { keys: ['a.tok1'] }));
  await commit(store, write('Alpha', 'r1', { keys: ['a.tok2'] }));
  let done = 0;
  t.same(
    await collected(
      store.verify({
        onProgress: (count) => {
          done = count;
        },
      }),
    ),
    [],
  );
  t.ok(done >= 10, 'tells how far it got');
  if (damage === undefined) return skipped(t, 'this adapter offers no way to damage it');
  await damage();
  t.ok((await collected(store.verify({}))).length > 0);
};

const reopening: Case = async (t, opened, clock) => {
  await commit(opened.store, write('Alpha', 'a', { keys: ['a.tok1'], ord: DAY }));
  const [second] = await commit(opened.store, write('Alpha', 'a', { keys: ['a.tok1'], ord: DAY, text: 'two' }));
  await opened.store.records.put({ kind: 'job', id: 'j', value: '{}' }, 0);
  await opened.store.close();
  await opened.store.close();
  const rejected = await opened.store.commit({ writes: [write('Alpha', 'b')] }).catch((error: unknown) => error);
  t.match(rejected, { kind: 'unavailable' }, 'a closed store says so');
  clock.set(START - DAY);
  const store = await opened.reopen();
  t.equal(bodyOf(await store.read('Alpha', 'a', everything))?.text, 'two');
  t.same(await foundIds(store, search(key('a.tok1'))), ['a']);
  t.equal((await store.records.get('job', 'j'))?.version, 1);
  t.equal((await store.outbox.after('', 10)).length, 2);
  const [third] = await commit(store, write('Alpha', 'a'));
  t.ok((third?.lastUpdated ?? 0) > (second?.lastUpdated ?? 0), 'time does not run back when the clock does');
  t.same(await collected(store.verify({})), []);
};

const newerSchema: Case = async (t, opened) => {
  if (opened.pretendNewer === undefined) return skipped(t, 'this adapter offers no way to pretend');
  await opened.store.close();
  await opened.pretendNewer();
  await refused(t, opened.reopen(), 'newer-schema');
};

const cases: Record<string, Case> = {
  'each write is a version with its stamp': versions,
  'a deletion is a version too, and can be undone': deletions,
  'a write happens only to what it expects': expectations,
  'a commit that fails leaves nothing': atomicity,
  'a check is made again within the commit': checks,
  'a dry run decides everything and changes nothing': dryRuns,
  'dry runs among commits made together': dryRunsAmongOthers,
  'of those who race one wins': races,
  'reads see a commit as soon as it resolves': readYourWrites,
  'many are read in the order asked': many,
  'a body of 5 MB comes back as it was': bigBodies,
  'records are compared and set, expire and are swept': records,
  'the outbox holds each change in order until forgotten': outbox,
  'scan, stats and reindex': upkeep,
  'verify finds an index that does not fit': damaged,
  'everything is there after reopening': reopening,
  'data of a newer schema is refused': newerSchema,
};

export const storeWrites = (t: Test, open: OpenStore): Promise<void> => runCases(t, open, cases);

// The store contract: history of resources, types and all, as of an instant, and what a filter shows of it.
import type { HistorySearch, Row, Store } from '../../src/store/store.ts';
import { everything } from '../support/memory-store.ts';
import type { OpenStore, Test } from './made-up.ts';
import { BUDGET, commit, deletion, key, type ManualClock, refused, START, write } from './made-up.ts';
import { type Case, runCases } from './run-cases.ts';

type Asked = Partial<HistorySearch>;

const named = (row: Row): string => `${row.type}/${row.id}/${row.version}${row.body === null ? ' deleted' : ''}`;

async function versionsOf(store: Store, asked: Asked, filter = everything): Promise<string[]> {
  const { rows } = await store.history({ limit: 100, budgetMs: BUDGET, ...asked }, filter);
  const isOrdered = rows.every((row, at) => at === 0 || row.lastUpdated <= (rows[at - 1]?.lastUpdated ?? 0));
  return isOrdered ? rows.map(named) : ['not newest first'];
}

/** Compares without the order of versions that share an instant, which is the store's own. */
function sameVersions(t: Test, found: readonly string[], expected: readonly string[], title = 'versions'): void {
  t.same([...found].sort(), [...expected].sort(), title);
}

/** The same in pages of `limit`. */
async function pagedVersions(store: Store, asked: Asked, limit: number, filter = everything): Promise<string[]> {
  const pieces: string[] = [];
  let after: string | undefined;
  do {
    const start = after === undefined ? {} : { after };
    const page = await store.history({ budgetMs: BUDGET, ...asked, limit, ...start }, filter);
    pieces.push(...page.rows.map(named));
    after = page.next;
  } while (after !== undefined);
  return pieces;
}

const history: Case = async (t, { store }) => {
  const instants: number[] = [];
  const steps = [
    write('Alpha', 'a'),
    write('Beta', 'b'),
    write('Alpha', 'a'),
    deletion('Alpha', 'a'),
    write('Alpha', 'c'),
    write('Alpha', 'a'),
    write('Beta', 'b'),
  ];
  for (const step of steps) instants.push((await commit(store, step))[0]?.lastUpdated ?? 0);
  const of = (asked: Asked): Promise<string[]> => versionsOf(store, asked);
  const alphas = ['Alpha/a/4', 'Alpha/c/1', 'Alpha/a/3 deleted', 'Alpha/a/2', 'Alpha/a/1'];
  t.same(await of({ type: 'Alpha' }), alphas);
  t.same(await of({ type: 'Alpha', id: 'a' }), ['Alpha/a/4', 'Alpha/a/3 deleted', 'Alpha/a/2', 'Alpha/a/1']);
  t.same(await of({}), [
    'Beta/b/2',
    'Alpha/a/4',
    'Alpha/c/1',
    'Alpha/a/3 deleted',
    'Alpha/a/2',
    'Beta/b/1',
    'Alpha/a/1',
  ]);
  t.same(await of({ type: 'Alpha', id: 'none' }), []);
  t.same(await of({ since: instants[4] ?? 0 }), ['Beta/b/2', 'Alpha/a/4', 'Alpha/c/1'], 'since includes its instant');
  t.same(await of({ until: instants[1] ?? 0 }), ['Beta/b/1', 'Alpha/a/1'], 'until includes its instant');
  t.same(await of({ since: instants[1] ?? 0, until: instants[2] ?? 0 }), ['Alpha/a/2', 'Beta/b/1']);
  for (const asked of [{ type: 'Alpha' }, {}, { type: 'Alpha', id: 'a' }]) {
    t.same(await pagedVersions(store, asked, 2), await of(asked), 'pages give the whole');
  }
  await refused(t, store.history({ limit: 2, budgetMs: BUDGET, after: 'garbage' }, everything), 'cursor');
};

const hiddenHistory: Case = async (t, { store }) => {
  await commit(store, write('Alpha', 'a', { keys: ['a.tok1'] }));
  await commit(store, write('Alpha', 'a', { keys: ['a.tok2'] }));
  await commit(store, write('Alpha', 'b', { keys: ['a.tok2'] }));
  await commit(store, deletion('Alpha', 'b'));
  const only = (value: string) => ({ of: () => key(value) });
  const seen = async (value: string): Promise<string[]> =>
    (await store.history({ type: 'Alpha', limit: 10, budgetMs: BUDGET }, only(value))).rows.map(
      (row) => `${row.id}/${row.version}`,
    );
  t.same(await seen('a.tok1'), [], 'an old version shows only while the current one does');
  t.same(await seen('a.tok2'), ['b/2', 'b/1', 'a/2'], 'a deletion keeps the visibility of what was deleted');
  t.equal(await store.readVersion('Alpha', 'a', 1, only('a.tok1')), undefined);
  t.equal(await store.readVersion('Alpha', 'a', 1, only('a.tok2')), undefined);
  t.equal((await store.readVersion('Alpha', 'a', 2, only('a.tok2')))?.version, 2);
  t.equal((await store.read('Alpha', 'b', only('a.tok2')))?.body, null);
  t.equal(await store.read('Alpha', 'b', only('a.tok1')), undefined);
};

/** Commits one after the other, each a minute after the one before; the instants they got (of each the last). */
async function timeline(
  store: Store,
  clock: ManualClock,
  steps: readonly Parameters<typeof commit>[1][][],
): Promise<number[]> {
  const instants: number[] = [];
  for (const [at, writes] of steps.entries()) {
    clock.set(START + at * 60_000);
    const written = await commit(store, ...writes);
    instants.push(Math.max(...written.map((one) => one.lastUpdated)));
  }
  return instants;
}

const asOf: Case = async (t, { store }, clock) => {
  const [t0 = 0, t1 = 0, t2 = 0, t3 = 0, t4 = 0, t5 = 0] = await timeline(store, clock, [
    [write('Alpha', 'a'), write('Beta', 'b')],
    [write('Alpha', 'a'), write('Alpha', 'c')],
    [deletion('Alpha', 'a')],
    [write('Alpha', 'a')],
    [deletion('Alpha', 'c'), write('Beta', 'b')],
    [deletion('Alpha', 'a'), write('Alpha', 'a')],
  ]);
  const at = (from: number, to: number, asked: Asked = {}): Promise<string[]> =>
    versionsOf(store, { ...asked, current: { from, to } });
  sameVersions(t, await at(t0 - 9, t0), [], 'before all; the end is not in the range');
  sameVersions(t, await at(t0, t0 + 1), ['Beta/b/1', 'Alpha/a/1'], 'a version is current from its own instant on');
  sameVersions(t, await at(t0 - 9, t0 + 1), ['Beta/b/1', 'Alpha/a/1']);
  sameVersions(t, await at(t1 - 1, t1), ['Beta/b/1', 'Alpha/a/1'], 'and until that of the next');
  sameVersions(t, await at(t1, t1 + 1), ['Alpha/c/1', 'Alpha/a/2', 'Beta/b/1']);
  sameVersions(t, await at(t2, t2 + 1), ['Alpha/a/3 deleted', 'Alpha/c/1', 'Beta/b/1'], 'a deletion is a version, too');
  sameVersions(t, await at(t3 + 1, t4), ['Alpha/a/4', 'Alpha/c/1', 'Beta/b/1'], 'between two changes');
  sameVersions(
    t,
    await at(t1, t4 + 1),
    ['Beta/b/2', 'Alpha/c/2 deleted', 'Alpha/a/4', 'Alpha/a/3 deleted', 'Alpha/c/1', 'Alpha/a/2', 'Beta/b/1'],
    'a range shows all that were current in it',
  );
  const last = ['Alpha/a/6', 'Beta/b/2', 'Alpha/c/2 deleted'];
  sameVersions(t, await at(t5, t5 + 1), last, 'a version that was replaced at once is not the current one');
  sameVersions(t, await at(t5 + 1_000_000, t5 + 2_000_000), last, 'the newest stays current');
  sameVersions(t, await at(t3, t3), [], 'an empty range');
  sameVersions(t, await at(t3, t1), [], 'the wrong way round');
  sameVersions(t, await at(t2, t2 + 1, { type: 'Alpha' }), ['Alpha/a/3 deleted', 'Alpha/c/1']);
  sameVersions(t, await at(t2, t2 + 1, { type: 'Alpha', id: 'c' }), ['Alpha/c/1']);
  sameVersions(t, await at(t0, t4, { type: 'Alpha', id: 'a' }), [
    'Alpha/a/4',
    'Alpha/a/3 deleted',
    'Alpha/a/2',
    'Alpha/a/1',
  ]);
  sameVersions(t, await at(t1, t4, { type: 'Alpha', since: t2 }), ['Alpha/a/4', 'Alpha/a/3 deleted'], 'with since');
  sameVersions(t, await at(t1, t4, { until: t1 }), ['Alpha/c/1', 'Alpha/a/2', 'Beta/b/1'], 'with until');
  for (const asked of [{}, { type: 'Alpha' }, { type: 'Alpha', id: 'a' }]) {
    for (const range of [
      { from: t1, to: t4 + 1 },
      { from: t0, to: t5 + 1 },
      { from: t4, to: t4 + 1 },
    ]) {
      const whole = await versionsOf(store, { ...asked, current: range });
      for (const limit of [1, 2, 3]) {
        t.same(await pagedVersions(store, { ...asked, current: range }, limit), whole, 'pages give the whole');
      }
    }
  }
};

const ofSome: Case = async (t, { store }, clock) => {
  const [, t1 = 0, t2 = 0, t3 = 0] = await timeline(store, clock, [
    [write('Alpha', 'a'), write('Beta', 'a'), write('Alpha', 'b'), write('Gamma', 'g')],
    [write('Alpha', 'a'), write('Beta', 'a')],
    [deletion('Alpha', 'a'), write('Alpha', 'b')],
    [write('Alpha', 'c')],
  ]);
  const ref = (type: string, id: string): { type: string; id: string } => ({ type, id });
  const of = [ref('Alpha', 'a'), ref('Beta', 'a'), ref('Alpha', 'none'), ref('None', 'a'), ref('Alpha', 'a')];
  const history = (asked: Asked): Promise<string[]> => versionsOf(store, asked);
  const whole = ['Alpha/a/3 deleted', 'Beta/a/2', 'Alpha/a/2', 'Beta/a/1', 'Alpha/a/1'];
  sameVersions(t, await history({ of }), whole, 'of these alone, each once');
  sameVersions(t, await history({ of: [] }), [], 'of none');
  sameVersions(t, await history({ of: [ref('Alpha', 'c'), ref('Gamma', 'g')] }), ['Alpha/c/1', 'Gamma/g/1']);
  sameVersions(t, await history({ of, type: 'Beta' }), ['Beta/a/2', 'Beta/a/1'], 'that are also of the type');
  sameVersions(t, await history({ of, type: 'Gamma' }), []);
  sameVersions(t, await history({ of, type: 'Alpha', id: 'b' }), [], 'and of the id');
  sameVersions(t, await history({ of, type: 'Alpha', id: 'a' }), ['Alpha/a/3 deleted', 'Alpha/a/2', 'Alpha/a/1']);
  sameVersions(t, await history({ of, since: t1 }), whole.slice(0, 3));
  sameVersions(t, await history({ of, until: t1, since: t1 }), ['Beta/a/2', 'Alpha/a/2']);
  sameVersions(t, await history({ of, current: { from: t2, to: t3 } }), ['Alpha/a/3 deleted', 'Beta/a/2']);
  sameVersions(t, await history({ of, current: { from: t2 - 1, to: t2 } }), ['Beta/a/2', 'Alpha/a/2']);
  for (const asked of [{ of }, { of, type: 'Alpha' }, { of, current: { from: t1, to: t3 } }]) {
    for (const limit of [1, 2]) {
      t.same(await pagedVersions(store, asked, limit), await history(asked), 'pages give the whole');
    }
  }
  const noBeta = { of: (type: string) => ({ kind: type === 'Beta' ? 'none' : 'all' }) as const };
  sameVersions(
    t,
    await versionsOf(store, { of }, noBeta),
    ['Alpha/a/3 deleted', 'Alpha/a/2', 'Alpha/a/1'],
    'as the filter allows',
  );
};

const filteredAsOf: Case = async (t, { store }, clock) => {
  const seen = { keys: ['a.tok1'] };
  const steps = Array.from({ length: 12 }, (_, at) => [
    write('Alpha', `r${at % 4}`, at % 4 === 3 ? {} : seen),
    write('Beta', 'b', seen),
  ]);
  const instants = await timeline(store, clock, steps);
  const filter = { of: (type: string) => (type === 'Alpha' ? key('a.tok1') : ({ kind: 'none' } as const)) };
  const current = { from: instants[4] ?? 0, to: instants[6] ?? 0 };
  const expected = ['Alpha/r1/2', 'Alpha/r0/2', 'Alpha/r2/1', 'Alpha/r1/1'];
  sameVersions(t, await versionsOf(store, { current }, filter), expected);
  for (const limit of [1, 3]) sameVersions(t, await pagedVersions(store, { current }, limit, filter), expected);
  const of = [
    { type: 'Alpha', id: 'r1' },
    { type: 'Alpha', id: 'r3' },
    { type: 'Beta', id: 'b' },
  ];
  sameVersions(t, await versionsOf(store, { current, of }, filter), ['Alpha/r1/2', 'Alpha/r1/1']);
};

const keysHandedBack: Case = async (t, { store }) => {
  const own = (name: string): string => `@own:${name}`;
  await commit(store, write('Alpha', 'a', { keys: [own('p'), 'a.tok1'] }));
  await commit(store, write('Alpha', 'a', { keys: [own('q'), own('r')] }));
  await commit(store, write('Beta', 'b', { keys: [] }));
  const keysOf = [own('')];
  const of = (row: Row | undefined): unknown => row?.keys && [...row.keys].sort();
  const now = [own('q'), own('r')];
  t.same(of(await store.read('Alpha', 'a', everything, keysOf)), now);
  t.same(of(await store.read('Beta', 'b', everything, keysOf)), [], 'none is a list without any');
  t.equal((await store.read('Alpha', 'a', everything))?.keys, undefined, 'unasked, none');
  const filtered = { of: () => key(own('q')) };
  t.same(of(await store.read('Alpha', 'a', filtered, keysOf)), now, 'through a filter as well');
  t.same(of(await store.readVersion('Alpha', 'a', 1, everything, keysOf)), [own('p')]);
  t.same(of(await store.readVersion('Alpha', 'a', 2, everything, keysOf)), now);
  const many = await store.readMany(
    [
      { type: 'Alpha', id: 'a' },
      { type: 'Alpha', id: 'none' },
    ],
    everything,
    keysOf,
  );
  t.same(many.map(of), [now, undefined]);
  await commit(store, deletion('Alpha', 'a'));
  t.same(of(await store.read('Alpha', 'a', everything, keysOf)), now, 'of a deletion, those of the version before');
  const { rows } = await store.history({ type: 'Alpha', limit: 9, budgetMs: BUDGET, keysOf }, everything);
  t.same(rows.map(of), [now, now, [own('p')]]);
};

const cases: Record<string, Case> = {
  'reads and history hand back the keys asked for': keysHandedBack,
  'history is newest first, with deletions, in pages': history,
  'history shows what the filter lets through': hiddenHistory,
  'history of what was current within a range of time': asOf,
  'history of some resources alone': ofSome,
  'history of a range of time through a filter': filteredAsOf,
};

export const storeHistory = (t: Test, open: OpenStore): Promise<void> => runCases(t, open, cases);

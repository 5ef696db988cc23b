// The store contract, second half: conditions, orders, pages, counts, filters.
import type {
  Alias,
  Condition,
  Explanation,
  Filter,
  OrdRange,
  Search,
  Slice,
  SortKey,
  Store,
  Write,
} from '../../src/store/store.ts';
import { NO_ORD } from '../../src/store/store.ts';
import { everything } from '../support/memory-store.ts';
import type { OpenStore, Test } from './made-up.ts';
import { all, BUDGET, commit, DAY, deletion, foundIds, key, paged, refused, search, write } from './made-up.ts';
import { type Case, runCases } from './run-cases.ts';

const span = (from: string, to: string): Condition => ({ kind: 'span', from, to });
const not = (of: Condition): Condition => ({ kind: 'not', of });
const and = (...of: Condition[]): Condition => ({ kind: 'and', of });
const or = (...of: Condition[]): Condition => ({ kind: 'or', of });
const refers = (to: Alias): Condition => ({ kind: 'refers', prefix: 'a.ref', to });
const referred = (by: Alias): Condition => ({ kind: 'referred', prefix: 'a.ref', by });

/** Alphas a1 … a6 and Betas b1 … b3 that refer to them and to each other. */
async function people(store: Store): Promise<void> {
  await commit(
    store,
    write('Alpha', 'a1', { keys: ['a.tok1', 'a.stranna', 'a.rng0010002'], ord: DAY }),
    write('Alpha', 'a2', { keys: ['a.tok1', 'a.tok2', 'a.strbert\tanna'], ord: 2 * DAY }),
    write('Alpha', 'a3', { keys: ['a.tok2', 'a.refBeta/b1'], ord: 3 * DAY }),
    write('Alpha', 'a4', { keys: ['a.strsusanna', 'a.rng0010009', 'a.refBeta/b2', 'a.refBeta/gone'] }),
    write('Alpha', 'a5', { keys: ['a.rng0020001', 'a.rng0010005', 'a.refGamma/b1'], ord: 5 * DAY }),
    write('Alpha', 'a6', { keys: ['a.refAlpha/a1'], ord: 5 * DAY }),
    write('Beta', 'b1', { keys: ['a.tok1', 'a.refAlpha/a1', 'a.refAlpha/a2'], ord: DAY }),
    write('Beta', 'b2', { keys: ['a.tok2', 'a.refAlpha/a2'], ord: 2 * DAY }),
    write('Beta', 'b3', { keys: ['a.tok3', 'a.refBeta/b1'] }),
    write('Beta', 'gone', { keys: ['a.tok2', 'a.refAlpha/a5'] }),
  );
  await commit(store, deletion('Beta', 'gone'));
}

const ending = (text: string): Condition => ({
  kind: 'span',
  from: 'a.str',
  to: 'a.sts',
  within: { kind: 'ends', text },
});
const sliced = (...of: Slice[]): Condition => ({
  kind: 'span',
  from: 'a.rng',
  to: 'a.rnh',
  within: { kind: 'slices', of },
});

/** On the keys 0010002, 0010009, 0020001 and 0010005 after "a.rng"; a5 has two. */
const slices: [title: string, where: Condition, ids: string][] = [
  ['a slice, at least', sliced({ at: 9, length: 3, atLeast: '005' }), 'a4 a5'],
  ['a slice, both bounds', sliced({ at: 9, length: 3, atLeast: '002', atMost: '005' }), 'a1 a5'],
  ['a slice, bounds that are equal', sliced({ at: 9, length: 3, atLeast: '009', atMost: '009' }), 'a4'],
  ['a slice, no bound', sliced({ at: 9, length: 3 }), 'a1 a4 a5'],
  ['a slice, bounds the wrong way round', sliced({ at: 9, length: 3, atLeast: '006', atMost: '005' }), ''],
  ['a slice within the span', sliced({ at: 7, length: 2, atLeast: '20' }), 'a5'],
  [
    'several slices of one key',
    sliced({ at: 5, length: 4, atMost: '0010' }, { at: 9, length: 3, atLeast: '003', atMost: '008' }),
    'a5',
  ],
  [
    'several slices that no single key fits',
    sliced({ at: 5, length: 4, atLeast: '0020' }, { at: 9, length: 3, atLeast: '005' }),
    '',
  ],
  [
    'three slices',
    sliced(
      { at: 5, length: 2, atMost: '00' },
      { at: 7, length: 2, atLeast: '10' },
      { at: 11, length: 1, atLeast: '9' },
    ),
    'a4',
  ],
  ['a slice beyond the end, at most', sliced({ at: 12, length: 5, atMost: '0' }), 'a1 a4 a5'],
  ['a slice beyond the end, at least', sliced({ at: 12, length: 5, atLeast: '0' }), ''],
  ['a slice across the end', sliced({ at: 10, length: 9, atLeast: '05', atMost: '09' }), 'a4 a5'],
  ['a slice when checked', and(key('a.tok1'), sliced({ at: 9, length: 3, atLeast: '002', atMost: '005' })), 'a1'],
  ['not a slice', not(sliced({ at: 9, length: 3, atLeast: '009' })), 'a1 a2 a3 a5 a6'],
];

const conditions: Case = async (t, { store }) => {
  await people(store);
  const expected: [title: string, where: Condition, ids: string][] = [
    ['all', all, 'a1 a2 a3 a4 a5 a6'],
    ['none', { kind: 'none' }, ''],
    ['key', key('a.tok1'), 'a1 a2'],
    ['the key of another type', key('@typeBeta'), ''],
    ['span', span('a.tok', 'a.tol'), 'a1 a2 a3'],
    ['span, end not included', span('a.tok1', 'a.tok2'), 'a1 a2'],
    ['span the wrong way round', span('a.tok2', 'a.tok1'), ''],
    [
      'span, tail of the same key',
      {
        ...span('a.rng0010', 'a.rnh'),
        within: { kind: 'slices', of: [{ at: 9, length: 3, atMost: '004' }] },
      } as Condition,
      'a1 a5',
    ],
    ...slices,
    [
      'span, contains before the TAB',
      { ...span('a.str', 'a.sts'), within: { kind: 'contains', text: 'anna' } } as Condition,
      'a1 a4',
    ],
    ['span, ends before the TAB', ending('anna'), 'a1 a4'],
    ['span, ends in the whole', ending('susanna'), 'a4'],
    ['span, ends in more than the whole', ending('xsusanna'), ''],
    ['span, ends in what is in its middle', ending('sann'), ''],
    ['span, ends in what stands before the TAB', ending('bert'), 'a2'],
    ['span, ends when checked', and(key('a.tok1'), ending('anna')), 'a1'],
    ['ids', { kind: 'ids', ids: ['a3', 'a1', 'b1', 'a3', 'none'] }, 'a1 a3'],
    ['no ids', { kind: 'ids', ids: [] }, ''],
    ['and', and(key('a.tok1'), key('a.tok2')), 'a2'],
    ['empty and', and(), 'a1 a2 a3 a4 a5 a6'],
    ['or', or(key('a.tok1'), key('a.refAlpha/a1')), 'a1 a2 a6'],
    ['empty or', or(), ''],
    ['or of kinds', or(key('a.tok2'), span('a.str', 'a.sts'), { kind: 'ids', ids: ['a6'] }), 'a1 a2 a3 a4 a6'],
    ['not', not(key('a.tok1')), 'a3 a4 a5 a6'],
    ['not or', not(or(key('a.tok1'), key('a.refAlpha/a1'))), 'a3 a4 a5'],
    ['not and', and(key('a.tok2'), not(and(key('a.tok1'), key('a.tok2')))), 'a3'],
    ['or of ands', or(and(key('a.tok1'), key('a.tok2')), and(key('a.tok2'), not(key('a.tok1')))), 'a2 a3'],
    [
      'many keys to check',
      and(key('a.tok1'), or(...Array.from({ length: 9 }, (_, at) => key(`a.tok${at + 2}`)))),
      'a2',
    ],
    ['many keys', or(...Array.from({ length: 50 }, (_, at) => key(`a.tok${at}`))), 'a1 a2 a3'],
    ['refers', refers({ type: 'Beta', where: key('a.tok1') }), 'a3'],
    ['refers to any', refers({ type: 'Beta', where: all }), 'a3 a4'],
    ['refers to another type of the same id', refers({ type: 'Gamma', where: all }), ''],
    ['referred', referred({ type: 'Beta', where: all }), 'a1 a2'],
    ['referred by some', referred({ type: 'Beta', where: key('a.tok2') }), 'a2'],
    ['referred by the same type', referred({ type: 'Alpha', where: all }), 'a1'],
    ['refers in or', or(refers({ type: 'Beta', where: key('a.tok2') }), key('a.refAlpha/a1')), 'a4 a6'],
    ['not refers', not(refers({ type: 'Beta', where: all })), 'a1 a2 a5 a6'],
    ['not referred', and(key('a.tok1'), not(referred({ type: 'Beta', where: key('a.tok2') }))), 'a1'],
    ['chain of chains', refers({ type: 'Beta', where: refers({ type: 'Alpha', where: key('a.tok2') }) }), 'a3 a4'],
    [
      'has through a chain',
      referred({ type: 'Beta', where: referred({ type: 'Beta', where: key('a.tok3') }) }),
      'a1 a2',
    ],
    [
      'has and chain',
      and(referred({ type: 'Alpha', where: all }), referred({ type: 'Beta', where: key('a.tok1') })),
      'a1',
    ],
  ];
  for (const [title, where, ids] of expected) {
    const found = await foundIds(store, search(where));
    t.same(found.sort(), ids === '' ? [] : ids.split(' '), title);
    const count = await store.count({ type: 'Alpha', where }, { cap: 100, budgetMs: BUDGET }, everything);
    t.same(count, { count: found.length, exact: true }, `${title}: count`);
  }
};

const lastUpdatedRanges: Case = async (t, { store }) => {
  const instants: number[] = [];
  for (const id of ['a', 'b', 'c', 'd'])
    instants.push((await commit(store, write('Alpha', id, { keys: ['a.tok1'] })))[0]?.lastUpdated ?? 0);
  const [, second = 0, , fourth = 0] = instants;
  for (const order of [[], [{ by: 'lastUpdated', descending: false }]] as SortKey[][]) {
    const find = async (where: Condition): Promise<string[]> =>
      (await foundIds(store, search(where, { order }))).sort();
    t.same(await find({ kind: 'lastUpdated', from: second }), ['b', 'c', 'd']);
    t.same(await find({ kind: 'lastUpdated', from: second, to: fourth }), ['b', 'c'], 'from is in, to is not');
    t.same(await find(and({ kind: 'lastUpdated', from: second }, { kind: 'lastUpdated', to: fourth }, key('a.tok1'))), [
      'b',
      'c',
    ]);
    t.same(await find(not({ kind: 'lastUpdated', from: second })), ['a']);
  }
};

const unicode: Case = async (t, { store }) => {
  const values = ['z', 'z\uD7FF', 'z\uE000', 'z\uFFFD', 'z😀', 'z\u{10FFFF}', 'é', 'a', 'ä'];
  await commit(store, ...values.map((value, at) => write('Alpha', `u${at}`, { keys: [`a.str${value}`] })));
  const order: SortKey[] = [{ by: 'keys', prefix: 'a.str', descending: false }];
  t.same(
    await foundIds(store, search(all, { order })),
    ['u7', 'u0', 'u1', 'u2', 'u3', 'u4', 'u5', 'u8', 'u6'],
    'keys sort by their bytes',
  );
  t.same((await foundIds(store, search(span('a.strz\uFFFD', 'a.strz\u{10FFFF}')))).sort(), ['u3', 'u4']);
  t.same((await foundIds(store, search(and(span('a.strz\uE000', 'a.strz😀'), not(key('none.')))))).sort(), [
    'u2',
    'u3',
  ]);
  const contains = (text: string): Condition =>
    ({ ...span('a.str', 'a.sts'), within: { kind: 'contains', text } }) as Condition;
  t.same(await foundIds(store, search(contains('😀'))), ['u4']);
  await commit(store, write('Beta', 'cut', { keys: ['a.strcut\ud83d', 'a.str"\\,"a.tok'] }));
  const cut = key('a.strcut\ud83d');
  t.same(await foundIds(store, search(cut, { type: 'Beta' })), ['cut'], 'half a character finds itself');
  t.same(await foundIds(store, search(and(cut, key('a.str"\\,"a.tok')), { type: 'Beta' })), ['cut'], 'quotes');
  t.same(await foundIds(store, search(and(cut, span('a.tok', 'a.tol')), { type: 'Beta' })), [], 'a key within a key');
  const pages = await paged(store, search(all, { order, limit: 2 }));
  t.same(
    pages.map((row) => row.id),
    ['u7', 'u0', 'u1', 'u2', 'u3', 'u4', 'u5', 'u8', 'u6'],
  );
};

const orders: Case = async (t, { store }) => {
  const made: [id: string, ord: number, keys: string[]][] = [
    ['p', 3, ['a.strb', 'a.numx']],
    ['q', 1, ['a.stra', 'a.strz', 'a.numx']],
    ['r', 2, ['a.numy']],
    ['s', NO_ORD, ['a.strc', 'a.numy']],
  ];
  for (const [id, ord, keys] of made) await commit(store, write('Alpha', id, { ord, keys }));
  const by = async (...order: SortKey[]): Promise<string> => (await foundIds(store, search(all, { order }))).join('');
  const str = (descending: boolean): SortKey => ({ by: 'keys', prefix: 'a.str', descending });
  const num = (descending: boolean): SortKey => ({ by: 'keys', prefix: 'a.num', descending });
  const ord = (descending: boolean): SortKey => ({ by: 'ord', descending });
  t.equal(await by(), 'prqs', 'newest clinical date first, none last');
  t.equal(await by(ord(false)), 'sqrp');
  t.equal(await by({ by: 'lastUpdated', descending: true }), 'srqp');
  t.equal(await by({ by: 'lastUpdated', descending: false }), 'pqrs');
  t.equal(await by(str(false)), 'qpsr', 'lowest key; without one last');
  t.equal(await by(str(true)), 'qspr', 'highest key; without one last');
  t.equal(await by(num(false), ord(true)), 'pqrs');
  t.equal(await by(num(true), str(false)), 'srqp');
  t.equal(await by(num(true), str(true), ord(true)), 'srqp');
  t.equal(await by(ord(false), num(true)), 'sqrp');
};

/** 60 rows in lists of different lengths, with ties in every order. */
async function crowd(store: Store): Promise<void> {
  const writes = Array.from({ length: 60 }, (_, at): Write => {
    const keys = [
      `a.str${String(at % 7)}`,
      ...(at % 3 === 0 ? ['a.tok1'] : []),
      ...(at % 20 === 0 ? ['a.tok2'] : []),
      ...(at % 4 === 0 ? [] : [`a.num${at % 5}`, 'a.num9']),
    ];
    return write('Alpha', `r${String(at).padStart(2, '0')}`, { keys, ord: (at % 10) * DAY });
  });
  await commit(store, ...writes.slice(0, 30), write('Beta', 'b', { keys: ['a.tok1', 'a.tok2', 'a.str3', 'a.num1'] }));
  await commit(store, ...writes.slice(30));
}

const wheres: Condition[] = [
  all,
  key('a.tok1'),
  or(key('a.tok1'), key('a.tok2'), key('a.str3')),
  span('a.str2', 'a.str5'),
  and(key('a.tok1'), span('a.str2', 'a.str5')),
  { kind: 'ids', ids: ['r01', 'r02', 'r03', 'r10', 'r20', 'r30', 'r31'] },
  not(key('a.tok1')),
  { kind: 'lastUpdated', from: 0 },
];

const allOrders: SortKey[][] = [false, true].flatMap((descending): SortKey[][] => [
  [{ by: 'ord', descending }],
  [{ by: 'lastUpdated', descending }],
  [{ by: 'keys', prefix: 'a.num', descending }],
  [
    { by: 'keys', prefix: 'a.str', descending },
    { by: 'ord', descending: !descending },
  ],
]);

const pages: Case = async (t, { store }) => {
  await crowd(store);
  for (const where of wheres) {
    for (const order of allOrders) {
      const title = JSON.stringify({ where, order });
      const whole = await foundIds(store, search(where, { order }));
      t.equal(new Set(whole).size, whole.length, `${title}: nothing twice`);
      for (const limit of [1, 7]) {
        const pieces = await paged(store, search(where, { order, limit }));
        t.same(
          pieces.map((row) => row.id),
          whole,
          `${title}: pages of ${limit} give the whole`,
        );
      }
      const exact = await store.search(search(where, { order, limit: whole.length }), everything);
      t.equal(exact.next, undefined, `${title}: no next page when this one holds the rest`);
    }
  }
};

const pagesUnderChange: Case = async (t, { store }) => {
  await crowd(store);
  for (const where of wheres) {
    for (const order of allOrders.filter(([first]) => first?.by !== 'lastUpdated')) {
      const title = JSON.stringify({ where, order });
      const before = await foundIds(store, search(where, { order }));
      let added = 0;
      const between = async (page: number): Promise<void> => {
        const others = Array.from({ length: 5 }, () => `x${added++}`);
        await commit(
          store,
          ...others.map((id) => write('Alpha', id, { keys: ['a.tok1', 'a.str3', 'a.num1'], ord: (added % 10) * DAY })),
        );
        if (page % 2 === 0) await commit(store, ...others.map((id) => deletion('Alpha', id)));
      };
      const seen = (await paged(store, search(where, { order, limit: 9 }), { between })).map((row) => row.id);
      t.equal(new Set(seen).size, seen.length, `${title}: nothing twice`);
      t.same(
        seen.filter((id) => id.startsWith('r')),
        before.filter((id) => id.startsWith('r')),
        `${title}: nothing missed`,
      );
      await commit(store, ...Array.from({ length: added }, (_, at) => deletion('Alpha', `x${at}`)));
    }
  }
};

const updateUnderPaging: Case = async (t, { store }) => {
  await crowd(store);
  const touch = async (page: number): Promise<void> => {
    // Same sort key and date, new content: the row must stay where it is.
    const id = `r${String(page).padStart(2, '0')}`;
    const keys = [`a.str${page % 7}`, 'a.tok3'];
    await commit(store, write('Alpha', id, { keys, ord: (page % 10) * DAY, text: 'new' }));
  };
  for (const order of [
    [{ by: 'ord', descending: true }],
    [{ by: 'keys', prefix: 'a.str', descending: false }],
  ] as SortKey[][]) {
    const before = await foundIds(store, search(all, { order }));
    const seen = await paged(store, search(all, { order, limit: 6 }), { between: touch });
    t.same(
      seen.map((row) => row.id),
      before,
    );
  }
};

const cursors: Case = async (t, { store }) => {
  await crowd(store);
  const page = await store.search(search(all, { limit: 5 }), everything);
  const bad = (after: string, options = {}): Promise<unknown> =>
    refused(t, store.search(search(all, { after, ...options }), everything), 'cursor');
  await bad('');
  await bad('garbage');
  await bad(Buffer.from('[1,2,3]').toString('base64url'));
  await bad(Buffer.from('{"a":1}').toString('base64url'));
  await bad('x'.repeat(100_000));
  await bad(page.next ?? '', { order: [{ by: 'lastUpdated', descending: true }] });
  await bad(page.next ?? '', { type: 'Beta' });
};

const shapes: Case = async (t, { store }) => {
  await people(store);
  const page = await store.search(
    search(key('a.tok1'), { keysOf: ['a.str', 'a.tok'], bodyless: true, order: [{ by: 'ord', descending: false }] }),
    everything,
  );
  t.same(
    page.rows.map((row) => ({ keys: row.keys?.sort(), size: row.body?.length })),
    [
      { keys: ['a.stranna', 'a.tok1'], size: 0 },
      { keys: ['a.strbert\tanna', 'a.tok1', 'a.tok2'], size: 0 },
    ],
  );
  const plain = await store.search(search({ kind: 'ids', ids: ['a6'] }, { keysOf: ['a.str'] }), everything);
  t.same(plain.rows[0]?.keys, []);
  t.equal((await store.search(search(key('a.tok1')), everything)).rows[0]?.keys, undefined);
};

const counts: Case = async (t, { store }) => {
  await crowd(store);
  const count = (where: Condition, cap: number): Promise<unknown> =>
    store.count({ type: 'Alpha', where }, { cap, budgetMs: BUDGET }, everything);
  t.same(await count(all, 59), { count: 59, exact: false });
  t.same(await count(all, 60), { count: 60, exact: true });
  t.same(await count(key('a.tok1'), 100_000), { count: 20, exact: true });
  t.same(await count(and(key('a.tok1'), span('a.str2', 'a.str5')), 3), { count: 3, exact: false });
  t.same(await count(not(key('a.tok1')), 40), { count: 40, exact: true });
  t.same(await count({ kind: 'none' }, 10), { count: 0, exact: true });
};

const filters: Case = async (t, { store }) => {
  await people(store);
  const only = (rules: Record<string, Condition>): Filter => ({ of: (type) => rules[type] ?? all });
  const noB1 = only({ Beta: not({ kind: 'ids', ids: ['b1'] }) });
  const noA1 = only({ Alpha: not({ kind: 'ids', ids: ['a1'] }) });
  const noBeta = only({ Beta: { kind: 'none' } });
  const chain = refers({ type: 'Beta', where: all });
  const has = referred({ type: 'Beta', where: all });
  const found = async (where: Condition, filter: Filter): Promise<string> =>
    (await foundIds(store, search(where), filter)).sort().join(' ');
  t.equal(await found(all, noA1), 'a2 a3 a4 a5 a6', 'base');
  t.equal(await found(chain, noB1), 'a4', 'chain');
  t.equal(await found(has, noB1), 'a2', 'has');
  t.equal(await found(not(has), noB1), 'a1 a3 a4 a5 a6', 'has within not');
  t.equal(await found(or(chain, has), noBeta), '', 'a type that is hidden');
  t.equal(
    await found(refers({ type: 'Beta', where: refers({ type: 'Alpha', where: all }) }), noA1),
    'a3 a4',
    'chain of chains, another way remains',
  );
  t.equal(
    await found(refers({ type: 'Beta', where: refers({ type: 'Alpha', where: key('a.stranna') }) }), noA1),
    '',
    'chain of chains',
  );
  t.equal(await found(all, only({ Alpha: or(key('a.tok1'), chain) })), 'a1 a2 a3 a4', 'a filter may join');
  t.same(await store.count({ type: 'Alpha', where: has }, { cap: 9, budgetMs: BUDGET }, noB1), {
    count: 1,
    exact: true,
  });
  t.equal(await store.read('Alpha', 'a1', noA1), undefined);
  t.equal((await store.read('Alpha', 'a2', noA1))?.id, 'a2');
  t.equal(await store.read('Beta', 'b1', noBeta), undefined);
  t.equal(await store.readVersion('Alpha', 'a1', 1, noA1), undefined);
  t.same(
    (
      await store.readMany(
        [
          { type: 'Alpha', id: 'a1' },
          { type: 'Alpha', id: 'a2' },
        ],
        noA1,
      )
    ).map((row) => row?.id),
    [undefined, 'a2'],
  );
  const shown = await store.history({ limit: 50, budgetMs: BUDGET }, only({ Alpha: key('a.tok1'), Beta: chain }));
  t.same(shown.rows.map((row) => row.id).sort(), ['a1', 'a2', 'b3']);
  t.equal((await store.read('Alpha', 'a3', only({ Alpha: chain })))?.id, 'a3', 'read through a joining filter');
  t.equal(await store.read('Alpha', 'a1', only({ Alpha: chain })), undefined);
  const pages = await paged(
    store,
    search(all, { limit: 1, order: [{ by: 'keys', prefix: 'a.str', descending: false }] }),
    { filter: noA1 },
  );
  t.equal(pages.length, 5);
};

const budget: Case = async (t, { store }) => {
  for (let batch = 0; batch < 6; batch++) {
    const keys = ['a.tok1'];
    await commit(
      store,
      ...Array.from({ length: 500 }, (_, at) =>
        write('Alpha', `r${batch}-${at}`, { keys: [...keys, `a.str${at}`], ord: at * DAY }),
      ),
    );
  }
  const never = and(key('a.tok1'), not(span('a.str', 'a.sts')));
  t.same(await foundIds(store, search(never)), [], 'a search that finds nothing looks at everything');
  const rare = and(key('a.tok1'), {
    kind: 'span',
    from: 'a.str',
    to: 'a.sts',
    within: { kind: 'contains', text: '499' },
  });
  t.equal((await paged(store, search(rare, { limit: 4 }))).length, 6);
  await refused(
    t,
    store.search(
      search(and(not(key('a.tok9')), never), {
        budgetMs: 0,
        order: [
          { by: 'keys', prefix: 'a.str', descending: true },
          { by: 'ord', descending: true },
        ],
      }),
      everything,
    ),
    'too-costly',
  );
};

const explanations: Case = async (t, { store }) => {
  await crowd(store);
  const explained = async (where: Condition, options: Partial<Search> = {}): Promise<Explanation> => {
    const asked = search(where, options);
    const page = await store.search({ ...asked, explain: true }, everything);
    const { explanation, ...rest } = page;
    t.same(rest, await store.search(asked, everything), 'the page is the same');
    if (explanation === undefined) throw new Error('a search that was to be explained was not');
    t.ok(explanation.examined >= page.rows.length && explanation.examined <= 61, `${explanation.examined} examined`);
    t.ok(explanation.ms >= 0 && explanation.ms < BUDGET);
    t.ok(explanation.counts.every(({ source, count }) => source.kind !== undefined && count >= 0));
    return explanation;
  };
  t.match(await explained(all), { plan: 'walk', source: { kind: 'type' }, residual: all, counts: [] });
  const nothing = await explained({ kind: 'none' });
  t.same({ ...nothing, ms: 0 }, { plan: 'none', residual: { kind: 'none' }, counts: [], examined: 0, ms: 0 });
  t.match(await explained(key('a.tok1')), { plan: 'walk', source: { kind: 'keys', of: [{ key: 'a.tok1' }] } });
  const both = await explained(and(key('a.tok1'), key('a.tok2')));
  t.match(both, { plan: 'walk', source: { kind: 'keys', of: [{ key: 'a.tok2' }] }, residual: key('a.tok1') });
  t.same(
    both.counts.map(({ source }) => source),
    ['a.tok1', 'a.tok2'].map((value) => ({ kind: 'keys', of: [{ key: value }] })),
    'what the planner had counted',
  );
  t.match(await explained(span('a.str2', 'a.str5')), { plan: 'sort', source: { kind: 'keys' }, residual: all });
  t.match(await explained({ kind: 'ids', ids: ['r01', 'r02'] }), {
    plan: 'sort',
    source: { kind: 'ids' },
    examined: 2,
  });
  t.match(await explained({ kind: 'term', term: 'none' }), { source: { kind: 'term', term: 'none' }, examined: 0 });
  const byTime: SortKey = { by: 'lastUpdated', descending: true };
  t.match(await explained(all, { order: [byTime], limit: 3 }), { plan: 'walk', source: { kind: 'lastUpdated' } });
  const joined = await explained(not(referred({ type: 'Beta', where: key('a.tok1') })), { limit: 5 });
  t.match(joined, { plan: 'walk', residual: all }, 'a join that matches nothing needs no check');
  const dated: Condition = { kind: 'ord', from: 3 * DAY, to: 5 * DAY };
  const within = { ord: { from: 3 * DAY, to: 5 * DAY } };
  t.match(await explained(dated), {
    plan: 'walk',
    source: { kind: 'keys', of: [{ key: '@typeAlpha', ...within }] },
    residual: all,
    counts: [],
  });
  t.match(await explained(and(key('a.tok1'), dated)), {
    source: { kind: 'keys', of: [{ key: 'a.tok1', ...within }] },
    residual: all,
  });
  t.match(await explained(and(key('a.tok1'), or(dated, span('a.str2', 'a.str5')))), { plan: 'walk' });
  const few = await explained(not(key('a.tok1')), {
    limit: 2,
    order: [{ by: 'keys', prefix: 'a.str', descending: true }],
  });
  t.match(few, { residual: not(key('a.tok1')) });
  const filter: Filter = { of: () => key('a.tok2') };
  const narrowed = await store.search({ ...search(all), explain: true }, filter);
  t.match(narrowed.explanation, { source: { kind: 'keys', of: [{ key: 'a.tok2' }] } }, 'with the filter in it');
  t.equal((await store.search(search(all), everything)).explanation, undefined, 'unasked, none');
};

const clinicalDates: Case = async (t, { store }) => {
  await people(store);
  const ord = (from?: number, to?: number): Condition => ({
    kind: 'ord',
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
  });
  const told = (from: string, to: string, dates: OrdRange): Condition => ({ kind: 'span', from, to, ord: dates });
  const expected: [title: string, where: Condition, ids: string][] = [
    ['from', ord(2 * DAY), 'a2 a3 a5 a6'],
    ['to', ord(undefined, 3 * DAY), 'a1 a2'],
    ['half-open', ord(2 * DAY, 3 * DAY), 'a2'],
    ['any, of those that have one', ord(), 'a1 a2 a3 a5 a6'],
    ['none lies before all', ord(NO_ORD, 2 * DAY), 'a1'],
    ['the wrong way round', ord(3 * DAY, 2 * DAY), ''],
    ['not', not(ord(2 * DAY)), 'a1 a4'],
    ['two', and(ord(2 * DAY), ord(undefined, 5 * DAY)), 'a2 a3'],
    ['two that do not meet', and(ord(3 * DAY), ord(undefined, 2 * DAY)), ''],
    ['beside a key', and(key('a.tok1'), ord(2 * DAY)), 'a2'],
    ['or a key', or(key('a.tok1'), ord(5 * DAY)), 'a1 a2 a5 a6'],
    ['or a stretch of keys', or(ord(5 * DAY), span('a.str', 'a.sts')), 'a1 a2 a4 a5 a6'],
    ['or a stretch without entries', or(ord(5 * DAY), span('a.xyz', 'a.xzz')), 'a5 a6'],
    ['or a stretch that tells', or(ord(5 * DAY), told('a.tok', 'a.tok2', { to: 3 * DAY })), 'a1 a2 a5 a6'],
    ['of what refers', refers({ type: 'Beta', where: ord(2 * DAY) }), 'a4'],
    ['of what is referred by', referred({ type: 'Beta', where: ord(2 * DAY) }), 'a2'],
  ];
  for (const [title, where, ids] of expected) {
    for (const by of ['ord', 'lastUpdated'] as const) {
      for (const descending of [true, false]) {
        const rows = await paged(store, search(where, { order: [{ by, descending }], limit: 1 }));
        t.equal(
          rows
            .map(({ id }) => id)
            .sort()
            .join(' '),
          ids,
          title,
        );
      }
    }
    const { count } = await store.count({ type: 'Alpha', where }, { cap: 9, budgetMs: BUDGET }, everything);
    t.equal(count, ids.split(' ').filter((id) => id !== '').length, title);
  }
};

const keysPresent: Case = async (t, { store }) => {
  await people(store);
  const tokens = { from: 'a.tok', to: 'a.tol' };
  t.same(await store.keysIn(tokens, 3), ['a.tok1', 'a.tok2', 'a.tok3'], 'of any type');
  t.same(await store.keysIn(tokens, 2), undefined, 'more than were asked for');
  t.same(await store.keysIn({ from: 'a.refAlpha/a5', to: 'a.refAlpha/a6' }, 9), [], 'of nothing that was deleted');
};

const cases: Record<string, Case> = {
  'conditions on clinical dates': clinicalDates,
  'the keys of a stretch': keysPresent,
  'every kind of condition finds what it says': conditions,
  'lastUpdated ranges are half-open': lastUpdatedRanges,
  'keys compare by their UTF-8 bytes': unicode,
  'every order': orders,
  'pages give the whole, whatever drives them': pages,
  'pages neither repeat nor miss a row while others come and go': pagesUnderChange,
  'an update that keeps the sort key keeps the place': updateUnderPaging,
  'a cursor that does not fit is refused': cursors,
  'rows without bodies and with keys': shapes,
  'threat 27: counts stop at the cap': counts,
  'threat 1: a filter hides rows from every alias and every method': filters,
  'threat 27: a search has a budget': budget,
  'a search says how it found its page': explanations,
};

export const storeSearches = (t: Test, open: OpenStore): Promise<void> => runCases(t, open, cases);

// The store contract: terms, by which a resource is found but not ordered.
import type { Alias, Condition, Reindexed, SortKey, Store } from '../../src/store/store.ts';
import { everything } from '../support/memory-store.ts';
import type { OpenStore, Test } from './made-up.ts';
import {
  all,
  BUDGET,
  collected,
  commit,
  DAY,
  deletion,
  failure,
  foundIds,
  key,
  paged,
  search,
  write,
} from './made-up.ts';
import { type Case, runCases } from './run-cases.ts';

const term = (value: string): Condition => ({ kind: 'term', term: value });
const starts = (value: string): Condition => ({ kind: 'term', term: value, prefix: true });
const span = (from: string, to: string): Condition => ({ kind: 'span', from, to });
const not = (of: Condition): Condition => ({ kind: 'not', of });
const and = (...of: Condition[]): Condition => ({ kind: 'and', of });
const or = (...of: Condition[]): Condition => ({ kind: 'or', of });
const refers = (to: Alias): Condition => ({ kind: 'refers', prefix: 'a.ref', to });
const referred = (by: Alias): Condition => ({ kind: 'referred', prefix: 'a.ref', by });

/** Alphas a1 … a5 and Betas b1, b2 that refer to each other. */
async function people(store: Store): Promise<void> {
  await commit(
    store,
    write('Alpha', 'a1', { keys: ['a.tok1'], terms: ['x.heart', 'x.attack'], ord: DAY }),
    write('Alpha', 'a2', { keys: ['a.tok1', 'a.refBeta/b1'], terms: ['x.heartburn'], ord: 2 * DAY }),
    write('Alpha', 'a3', { keys: ['a.tok2', 'a.refBeta/b2'], terms: ['x.heart', 'y.heart'], ord: 3 * DAY }),
    write('Alpha', 'a4', { keys: ['a.tok2', 'x.heart'], terms: ['x.attack'] }),
    write('Alpha', 'a5', { keys: ['a.tok1'] }),
    write('Beta', 'b1', { keys: ['a.refAlpha/a1'], terms: ['x.heart'], ord: DAY }),
    write('Beta', 'b2', { keys: ['a.refAlpha/a3'], terms: ['x.lung'] }),
  );
}

const conditions: Case = async (t, { store }) => {
  await people(store);
  const expected: [title: string, where: Condition, ids: string][] = [
    ['a term', term('x.heart'), 'a1 a3'],
    ['a term is no key', and(key('x.heart'), not(term('x.heart'))), 'a4'],
    ['a key is no term', term('a.tok1'), ''],
    ['a part of a term', term('x.hear'), ''],
    ['more than a term', term('x.heartburns'), ''],
    ['prefix', starts('x.heart'), 'a1 a2 a3'],
    ['prefix of several terms of a row', starts('x.'), 'a1 a2 a3 a4'],
    ['prefix of nothing', starts('z.'), ''],
    ['prefix longer than any', starts('x.heartburns'), ''],
    ['another case', term('x.Heart'), ''],
    ['prefix in another case', starts('X.'), ''],
    ['and of terms', and(term('x.heart'), term('x.attack')), 'a1'],
    ['and of prefixes', and(starts('x.heart'), starts('y.')), 'a3'],
    ['or of terms', or(term('x.attack'), term('y.heart')), 'a1 a3 a4'],
    ['or of prefixes and terms', or(starts('y'), term('x.attack'), starts('none')), 'a1 a3 a4'],
    ['not', not(term('x.heart')), 'a2 a4 a5'],
    ['not prefix', not(starts('x.')), 'a5'],
    ['not or', not(or(term('x.heart'), starts('x.heartb'))), 'a4 a5'],
    ['and key', and(key('a.tok1'), term('x.heart')), 'a1'],
    ['and span', and(span('a.tok2', 'a.tok3'), starts('x.h')), 'a3'],
    ['and not key', and(starts('x.h'), not(key('a.tok1'))), 'a3'],
    ['or key', or(key('a.tok2'), term('x.heartburn')), 'a2 a3 a4'],
    ['or ids', or({ kind: 'ids', ids: ['a5'] }, term('y.heart')), 'a3 a5'],
    ['and ids', and({ kind: 'ids', ids: ['a1', 'a2', 'a5'] }, term('x.heart')), 'a1'],
    ['and lastUpdated', and({ kind: 'lastUpdated', from: 0 }, term('x.heart')), 'a1 a3'],
    ['or of ands', or(and(term('x.heart'), key('a.tok2')), and(starts('x.heartb'), key('a.tok1'))), 'a2 a3'],
    ['chain', refers({ type: 'Beta', where: term('x.heart') }), 'a2'],
    ['chain, prefix', refers({ type: 'Beta', where: starts('x.') }), 'a2 a3'],
    ['chain, not', refers({ type: 'Beta', where: not(term('x.heart')) }), 'a3'],
    ['has', referred({ type: 'Beta', where: term('x.lung') }), 'a3'],
    ['has, prefix', referred({ type: 'Beta', where: starts('x.') }), 'a1 a3'],
    ['not has', not(referred({ type: 'Beta', where: term('x.lung') })), 'a1 a2 a4 a5'],
    ['has in or', or(referred({ type: 'Beta', where: term('x.lung') }), term('x.heartburn')), 'a2 a3'],
    ['chain through has', refers({ type: 'Beta', where: refers({ type: 'Alpha', where: term('y.heart') }) }), 'a3'],
    ['chain and term', and(refers({ type: 'Beta', where: all }), term('x.heart')), 'a3'],
  ];
  for (const [title, where, ids] of expected) {
    const found = await foundIds(store, search(where));
    t.same(found.sort(), ids === '' ? [] : ids.split(' '), title);
    const count = await store.count({ type: 'Alpha', where }, { cap: 100, budgetMs: BUDGET }, everything);
    t.same(count, { count: found.length, exact: true }, `${title}: count`);
  }
  t.same(await foundIds(store, search(term('x.heart'), { type: 'Beta' })), ['b1'], 'a term of several types');
  t.same(await store.count({ type: 'Alpha', where: starts('x.') }, { cap: 2, budgetMs: BUDGET }, everything), {
    count: 2,
    exact: false,
  });
};

/** Terms that a tokenizer, a query language, a regular expression or a range of strings could stumble over. */
const odd = [
  'a',
  'A',
  'aa',
  'ab',
  'a b',
  'a  b',
  ' a b',
  'a b ',
  'a\tb',
  'a\nb',
  'a\u0001b',
  'a\u007fb',
  'a"b',
  '"a b"',
  '""',
  "a'b",
  'a\\b',
  'a*',
  '*',
  'a.',
  'a.*',
  'a+',
  '^a',
  'a$',
  'a|b',
  '(a',
  '[a',
  '{a',
  'a AND b',
  'NOT a',
  'a OR b',
  'NEAR(a b)',
  'term:a',
  'a:b',
  '-a',
  'a-b',
  '_a',
  'a_b',
  'a%',
  'a0',
  'a0041',
  'ax41',
  '$a',
  '$',
  'ä',
  'a\u0308',
  'Ä',
  'ß',
  'SS',
  'ı',
  'İ',
  'é',
  'e\u0301',
  'ﬁ',
  'K',
  'k',
  'z',
  'z\uD7FF',
  'z\uE000',
  'z\uFFFD',
  'z\uFFFF',
  'z😀',
  'z😀\u{1F3FD}',
  'z\u{10FFFF}',
  '漢字',
  '漢',
  'שלום',
  'مرحبا',
  'a\u00a0b',
  'a\u200bb',
  'a\u202eb',
  '\ufeffa',
  'a\u2028b',
  'x'.repeat(300),
  `${'x'.repeat(299)}y`,
];

/** As the title of a test may be: a line separator would end it. */
function plain(value: string): string {
  return JSON.stringify(value).replace(/[^ -~]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

const oddTerms: Case = async (t, { store }) => {
  const id = (at: number): string => `t${String(at).padStart(3, '0')}`;
  await commit(store, ...odd.map((value, at) => write('Alpha', id(at), { keys: ['a.tok1'], terms: [value] })));
  await commit(store, write('Alpha', 'all', { keys: ['a.tok1'], terms: odd }));
  for (const [at, value] of odd.entries()) {
    const title = plain(value);
    t.same((await foundIds(store, search(term(value)))).sort(), ['all', id(at)], `${title} is itself alone`);
    const checked = { kind: 'ids', ids: odd.map((_, of) => id(of)) } as const;
    t.same(await foundIds(store, search(and(checked, term(value)))), [id(at)], `${title} when checked on rows`);
    const longer = odd.flatMap((other, of) => (other.startsWith(value) ? [id(of)] : []));
    t.same((await foundIds(store, search(starts(value)))).sort(), ['all', ...longer], `${title} as a prefix`);
    t.same(
      (await foundIds(store, search(and(checked, starts(value))))).sort(),
      longer,
      `${title} as a prefix when checked on rows`,
    );
  }
  await commit(store, write('Beta', 'cut', { terms: ['cut\ud83d'] }));
  t.same(await foundIds(store, search(term('cut\ud83d'), { type: 'Beta' })), ['cut'], 'half a character finds itself');
  t.same(await collected(store.verify({})), []);
};

const changes: Case = async (t, { store }) => {
  const found = async (value: string): Promise<string> => (await foundIds(store, search(term(value)))).sort().join(' ');
  await commit(store, write('Alpha', 'a', { terms: ['one', 'both'] }), write('Alpha', 'b', { terms: ['both'] }));
  await commit(store, write('Alpha', 'a', { terms: ['both', 'two'] }));
  t.same([await found('one'), await found('two'), await found('both')], ['', 'a', 'a b'], 'an update replaces');
  await commit(store, write('Alpha', 'a', { terms: ['both', 'two'], text: 'new', ord: DAY }));
  t.same([await found('two'), await found('both')], ['a', 'a b'], 'an update with the same terms');
  await commit(store, write('Alpha', 'a', { keys: ['a.tok1'] }));
  t.same([await found('two'), await found('both')], ['', 'b'], 'an update without terms');
  await commit(store, write('Alpha', 'a', { terms: ['three'] }));
  t.same([await found('two'), await found('three')], ['', 'a'], 'and with terms again');
  await commit(store, deletion('Alpha', 'a'), deletion('Alpha', 'b'));
  t.same([await found('three'), await found('both')], ['', ''], 'a deletion removes');
  await commit(store, write('Alpha', 'a', { terms: ['four'], expect: 'absent' }), write('Alpha', 'b'));
  t.same([await found('three'), await found('four'), await found('both')], ['', 'a', ''], 'made again');
  await commit(store, deletion('Alpha', 'a'), write('Alpha', 'a', { terms: ['five'] }));
  t.same([await found('four'), await found('five')], ['', 'a'], 'deleted and made again in one commit');
  await commit(store, write('Alpha', 'a', { terms: ['six'] }), write('Alpha', 'a', { terms: ['seven', 'five'] }));
  t.same([await found('six'), await found('seven'), await found('five')], ['', 'a', 'a'], 'twice in one commit');
  await commit(store, write('Alpha', 'c', { terms: ['six'] }), deletion('Alpha', 'c'));
  t.same(await found('six'), '', 'made and deleted in one commit');
  const writes = [write('Alpha', 'a', { terms: ['eight'] }), write('Alpha', 'd', { terms: ['eight'], expect: 1 })];
  t.same(await failure(store, { writes }), { kind: 'version', at: 1 });
  t.same([await found('eight'), await found('seven')], ['', 'a'], 'nothing of a failed commit stays');
  t.equal((await store.history({ type: 'Alpha', id: 'a', limit: 20, budgetMs: BUDGET }, everything)).rows.length, 11);
  t.same(await collected(store.verify({})), []);
};

const together: Case = async (t, { store }) => {
  const round = (name: string): Promise<unknown> =>
    Promise.all(
      Array.from({ length: 40 }, (_, at) => {
        const expect = at % 4 === 3 ? { expect: 7 } : {};
        return failure(store, { writes: [write('Alpha', `r${at}`, { terms: [name, `${name}${at}`], ...expect })] });
      }),
    );
  await round('first');
  await round('second');
  t.same(await foundIds(store, search(starts('first'))), [], 'commits made together each replace their own');
  t.equal((await foundIds(store, search(term('second')))).length, 30);
  t.same(await foundIds(store, search(term('second8'))), ['r8']);
  t.same(await foundIds(store, search(term('second7'))), [], 'those that failed left nothing');
  await Promise.all(Array.from({ length: 20 }, (_, at) => commit(store, write('Beta', 'b', { terms: [`same${at}`] }))));
  t.same(await foundIds(store, search(starts('same'), { type: 'Beta' })), ['b'], 'one row, written 20 times at once');
  const left = await Promise.all(
    Array.from({ length: 20 }, (_, at) => foundIds(store, search(term(`same${at}`), { type: 'Beta' }))),
  );
  t.equal(left.flat().length, 1, 'holds the terms of one write alone');
  t.same(await collected(store.verify({})), []);
};

const checks: Case = async (t, { store }) => {
  await commit(
    store,
    write('Alpha', 'a', { terms: ['one'] }),
    write('Alpha', 'b', { terms: ['one'], keys: ['a.tok1'] }),
  );
  const check = { type: 'Alpha', where: term('one'), filter: everything, ids: ['a', 'b'], atMost: 3 };
  const asked = (where: Condition, ids: string[]): ReturnType<typeof failure> =>
    failure(store, { writes: [write('Beta', 'x')], checks: [{ ...check, where, ids }] });
  t.equal(await asked(term('one'), ['b', 'a']), undefined);
  t.same(await asked(term('one'), ['a']), { kind: 'check', at: 0 });
  t.equal(await asked(starts('on'), ['a', 'b']), undefined);
  t.equal(await asked(and(key('a.tok1'), term('one')), ['b']), undefined);
  t.equal(await asked(and(starts('o'), not(key('a.tok1'))), ['a']), undefined);
  t.same(await asked(starts('two'), ['a']), { kind: 'check', at: 0 });
  for (const where of [term('race'), starts('rac'), or(term('race'), term('none'))]) {
    const name = JSON.stringify(where).length;
    const none = { ...check, where, ids: [] };
    const raced = await Promise.all(
      Array.from({ length: 24 }, (_, at) =>
        failure(store, {
          writes: [write('Alpha', `r${name}-${at}`, { terms: ['race'], expect: 'absent' })],
          checks: [none],
        }),
      ),
    );
    t.equal(raced.filter((error) => error === undefined).length, 1, 'of commits with the same check one wins');
    t.ok(raced.every((error) => error === undefined || error.kind === 'check'));
    await commit(store, ...Array.from({ length: 24 }, (_, at) => deletion('Alpha', `r${name}-${at}`)));
  }
};

const pages: Case = async (t, { store }) => {
  await commit(
    store,
    ...Array.from({ length: 60 }, (_, at) =>
      write('Alpha', `r${String(at).padStart(2, '0')}`, {
        keys: [`a.str${at % 7}`],
        terms: [...(at % 3 === 0 ? ['third'] : []), ...(at % 10 === 0 ? ['tenth'] : []), `own${at}`],
        ord: (at % 8) * DAY,
      }),
    ),
  );
  const orders: SortKey[][] = [
    [],
    [{ by: 'ord', descending: false }],
    [{ by: 'lastUpdated', descending: true }],
    [{ by: 'keys', prefix: 'a.str', descending: false }],
    [
      { by: 'keys', prefix: 'a.str', descending: true },
      { by: 'ord', descending: true },
    ],
  ];
  const sizes: [where: Condition, size: number][] = [
    [term('third'), 20],
    [starts('own'), 60],
    [starts('own1'), 11],
    [not(term('third')), 40],
    [or(term('third'), term('tenth')), 24],
    [and(term('third'), term('tenth')), 2],
    [and(starts('own'), span('a.str2', 'a.str4')), 18],
  ];
  for (const [where, size] of sizes) {
    for (const order of orders) {
      const title = JSON.stringify({ where, order });
      const whole = await foundIds(store, search(where, { order }));
      t.equal(whole.length, size, title);
      const pieces = await paged(store, search(where, { order, limit: 7 }));
      t.same(
        pieces.map((row) => row.id),
        whole,
        `${title}: pages give the whole`,
      );
    }
  }
};

const upkeep: Case = async (t, opened) => {
  await commit(opened.store, write('Alpha', 'a', { terms: ['old'] }), write('Alpha', 'b', { terms: ['old'] }));
  await commit(opened.store, write('Alpha', 'c'));
  const fresh = (id: string, version: number, terms: string[]): Reindexed => ({
    type: 'Alpha',
    id,
    version,
    ord: 5,
    keys: ['@typeAlpha'],
    terms,
  });
  const rows = [fresh('a', 1, ['new']), fresh('b', 7, ['new']), fresh('c', 1, ['new', 'more'])];
  t.equal(await opened.store.reindex(rows), 2);
  const found = async (store: Store, value: string): Promise<string> =>
    (await foundIds(store, search(term(value)))).sort().join(' ');
  t.same([await found(opened.store, 'new'), await found(opened.store, 'old')], ['a c', 'b'], 'reindex replaces terms');
  t.equal(await opened.store.reindex([fresh('c', 1, [])]), 1);
  t.same(await collected(opened.store.verify({})), []);
  const store = await opened.reopen();
  t.same([await found(store, 'new'), await found(store, 'more')], ['a', ''], 'terms are there after reopening');
  await commit(store, write('Alpha', 'a', { terms: ['newer'] }));
  t.same([await found(store, 'new'), await found(store, 'newer')], ['', 'a']);
  t.same(await collected(store.verify({})), []);
};

const cases: Record<string, Case> = {
  'a term is found by equality and by its beginning, in every kind of condition': conditions,
  'a term is exactly its characters': oddTerms,
  'terms follow their resource': changes,
  'terms of commits made together': together,
  'a check may ask for terms': checks,
  'pages of what a term finds, in every order': pages,
  'reindex, reopening and verify know terms': upkeep,
};

export const storeTerms = (t: Test, open: OpenStore): Promise<void> => runCases(t, open, cases);

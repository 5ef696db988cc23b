// The planner's choices, with list sizes made up: what drives a search, and what is left to check.
import t from 'tap';
import { simplify } from '../../src/store/conditions.ts';
import { compareKeys } from '../../src/store/match.ts';
import type { Few, Plan, Probe } from '../../src/store/planner.ts';
import { narrow, plan, planCount } from '../../src/store/planner.ts';
import type { Condition, Filter, SortKey } from '../../src/store/store.ts';
import { everything } from '../support/memory-store.ts';

const key = (value: string): Condition => ({ kind: 'key', key: value });
const span: Condition = { kind: 'span', from: 'd.lo1', to: 'd.lo2' };
const and = (...of: Condition[]): Condition => ({ kind: 'and', of });
const or = (...of: Condition[]): Condition => ({ kind: 'or', of });
const byTime: SortKey = { by: 'lastUpdated', descending: true };
const byName: SortKey = { by: 'keys', prefix: 'n.nam', descending: false };

/** List sizes by the first key or bound of a source; what is not listed holds a million. */
function probe(sizes: Record<string, number> = {}, few?: Few): Probe & { asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    walksKeys: true,
    overlaps: true,
    count(source, _type, cap) {
      const [part] = source.kind === 'keys' ? source.of : [];
      const name = part === undefined ? source.kind : 'key' in part ? part.key : part.from;
      asked.push(name);
      return Math.min(sizes[name] ?? 1_000_000, cap);
    },
    keysIn: () => undefined,
    ordsIn: () => undefined,
    few: () => few,
  };
}

async function planned(
  where: Condition,
  sizes: Record<string, number> = {},
  order: SortKey[] = [],
  few?: Few,
): Promise<Plan> {
  return plan({ type: 'Alpha', where, order }, everything, probe(sizes, few));
}

const walks = (...keys: string[]): object => ({ kind: 'walk', by: { kind: 'ord', keys } });
const sorts = (...of: object[]): object => ({ kind: 'sort', source: { kind: 'keys', of } });

t.test('clinical date order walks a list that has it', async (test) => {
  test.match(await planned({ kind: 'all' }), { ...walks('@typeAlpha'), residual: { kind: 'all' } });
  test.match(await planned(key('t.cod1')), { ...walks('t.cod1'), residual: { kind: 'all' } });
  test.match(await planned(and(key('t.cod1'), key('p.pat1')), { 'p.pat1': 30 }), {
    ...walks('p.pat1'),
    residual: key('t.cod1'),
  });
  test.match(
    await planned(and(key('t.cod1'), key('@typeAlpha'))),
    { residual: { kind: 'all' } },
    'the type needs no check',
  );
  test.match(await planned(or(key('t.cod2'), key('t.cod1'))), {
    ...walks('t.cod2', 't.cod1'),
    residual: { kind: 'all' },
  });
});

t.test('a single list is not counted', async (test) => {
  const counted = probe();
  await plan({ type: 'Alpha', where: key('t.cod1'), order: [] }, everything, counted);
  await planCount({ type: 'Alpha', where: key('t.cod1') }, everything, counted);
  test.same(counted.asked, []);
});

t.test('a small set is collected, a large one is walked past', async (test) => {
  test.match(await planned(span, { 'd.lo1': 300 }), sorts({ from: 'd.lo1' }));
  test.match(await planned(span), { ...walks('@typeAlpha'), residual: span });
  test.match(await planned(and(key('t.cod1'), span), { 'd.lo1': 3_000 }), {
    ...sorts({ from: 'd.lo1' }),
    residual: key('t.cod1'),
  });
  test.match(await planned(and(key('t.cod1'), span), { 't.cod1': 900, 'd.lo1': 800 }), {
    ...walks('t.cod1'),
    residual: span,
  });
  test.match(
    await planned(span, { 'd.lo1': 5_000, type: 10_000 }),
    walks('@typeAlpha'),
    'half of all rows: a page is full at once',
  );
  test.match(await planned({ kind: 'ids', ids: ['a'] }), { kind: 'sort', source: { kind: 'ids', ids: ['a'] } });
});

t.test('other orders walk their own list, unless the matches are few', async (test) => {
  test.match(await planned(key('t.cod1'), {}, [byTime]), {
    kind: 'walk',
    by: { kind: 'lastUpdated' },
    residual: key('t.cod1'),
  });
  test.match(await planned(key('t.cod1'), { 't.cod1': 9_000 }, [byTime]), sorts({ key: 't.cod1' }));
  const since: Condition = { kind: 'lastUpdated', from: 5 };
  test.match(await planned(since, {}, [byTime]), {
    kind: 'walk',
    by: { kind: 'lastUpdated', from: 5 },
    residual: { kind: 'all' },
  });
  test.match(await planned(key('t.cod1'), {}, [byName]), { kind: 'walk', by: { kind: 'keys', prefix: 'n.nam' } });
  test.match(await planned(key('t.cod1'), { 't.cod1': 9_000 }, [byName]), sorts({ key: 't.cod1' }));
  test.match(await planned({ kind: 'all' }, {}, [byName, byTime]), { kind: 'sort', source: { kind: 'type' } });
});

t.test('a join with few matches becomes keys or ids', async (test) => {
  const chain: Condition = { kind: 'refers', prefix: 'r.sub', to: { type: 'Beta', where: key('t.cod1') } };
  const has: Condition = { kind: 'referred', prefix: 'r.sub', by: { type: 'Beta', where: key('t.cod1') } };
  const sizes = { 't.cod1': 10 };
  const few = [{ id: 'b', keys: ['r.subAlpha/a', 'r.subBeta/x'] }];
  test.match(await planned(chain, sizes, [], few), walks('r.subBeta/b'));
  test.match(await planned(has, sizes, [], few), { kind: 'sort', source: { kind: 'ids', ids: ['a'] } });
  test.same(await planned(chain, sizes, [], []), { kind: 'none' });
  test.match(
    await planned(chain),
    { ...walks('@typeAlpha'), residual: { kind: 'refers' } },
    'many matches: checked row by row',
  );
  const beside = and(chain, key('p.pat1'));
  test.match(await planned(beside, { 'p.pat1': 8, 't.cod1': 1 }, [], few), {
    ...walks('p.pat1'),
    residual: { kind: 'refers' },
  });
  test.match(
    await planned(beside, { 'p.pat1': 200, 't.cod1': 300 }, [], few),
    { ...walks('p.pat1'), residual: { kind: 'refers' } },
    'fewer rows to check than to look for',
  );
  test.match(
    await planned(beside, { 'p.pat1': 200, 't.cod1': 10, 'r.subBeta/b': 20 }, [], few),
    { ...walks('r.subBeta/b'), residual: key('p.pat1') },
    'more rows to check than to look for',
  );
});

t.test('what a join matches is looked for once', async (test) => {
  const treated: Condition = { kind: 'referred', prefix: 'r.pat', by: { type: 'Gamma', where: key('t.cod1') } };
  const refers = (prefix: string): Condition => ({ kind: 'refers', prefix, to: { type: 'Beta', where: treated } });
  const few = [{ id: 'b', keys: ['r.patBeta/b'] }];
  let looked = 0;
  const countedFew = (): Few => {
    looked += 1;
    return few;
  };
  const counting: Probe = { ...probe({ 't.cod1': 10 }), few: countedFew };
  const where = or(refers('r.sub'), refers('r.per'));
  const asked = async (request?: object) => {
    looked = 0;
    const of = request === undefined ? {} : { request };
    const walk = await plan({ type: 'Alpha', where, order: [], ...of }, everything, counting);
    test.match(walk, walks('r.subBeta/b', 'r.perBeta/b'));
    const other = await planCount({ type: 'Delta', where }, everything, counting, of);
    test.match(other, sorts({ key: 'r.perBeta/b' }, { key: 'r.subBeta/b' }));
    return looked;
  };
  test.equal(await asked(), 4, 'in each plan');
  test.equal(await asked({}), 2, 'in all plans of one request');
  const request = {};
  test.equal(await asked(request), 2);
  test.equal(await asked(request), 0);
  test.equal(await asked({}), 2, 'and anew for the next');
});

t.test('a term is a set without order', async (test) => {
  const one: Condition = { kind: 'term', term: 'w.one' };
  const start: Condition = { kind: 'term', term: 'w.o', prefix: true };
  test.match(await planned(one, { term: 30 }), { kind: 'sort', source: one, residual: { kind: 'all' } });
  test.match(await planned(start, { term: 30 }), { kind: 'sort', source: start, residual: { kind: 'all' } });
  test.match(await planned(one), { ...walks('@typeAlpha'), residual: one }, 'a long one is checked on each row');
  test.match(await planned(and(key('t.cod1'), one), { 't.cod1': 30 }), { ...walks('t.cod1'), residual: one });
  test.match(await planned(and(key('t.cod1'), one), { term: 30 }), { source: one, residual: key('t.cod1') });
  test.match(await planned(and(key('t.cod1'), one), { term: 5_000 }, [byTime]), { source: one });
  test.match(await planned({ kind: 'not', of: one }, { term: 30 }), { ...walks('@typeAlpha') });
  test.match(await planCount({ type: 'Alpha', where: one }, everything, probe()), { kind: 'sort', source: one });
});

t.test('an or that no one list holds becomes ids when its matches are few', async (test) => {
  const either = or({ kind: 'term', term: 'w.one' }, key('t.cod1'));
  const few = [
    { id: 'a', keys: [] },
    { id: 'b', keys: [] },
  ];
  const ids = { kind: 'ids', ids: ['a', 'b'] };
  const sizes = { term: 10, 't.cod1': 20 };
  test.match(await planned(either, sizes, [], few), { kind: 'sort', source: ids, residual: { kind: 'all' } });
  test.match(await planned(and(either, key('p.pat1')), sizes, [], few), { source: ids, residual: key('p.pat1') });
  test.match(
    await planned(and(either, key('p.pat1')), { ...sizes, 'p.pat1': 30 }, [], few),
    { ...walks('p.pat1'), residual: either },
    'not beside a small set',
  );
  test.match(
    await planned(either, { term: 10 }, [], few),
    { ...walks('@typeAlpha'), residual: either },
    'many matches',
  );
  test.match(await planned(either, sizes), { ...walks('@typeAlpha') });
  test.same(await planned(either, sizes, [], []), { kind: 'none' });
  const open = or({ kind: 'term', term: 'w.one' }, { kind: 'not', of: key('t.cod1') });
  test.match(await planned(open, sizes, [], few), { ...walks('@typeAlpha') }, 'a branch that anything may match');
  const lists = or(key('t.cod1'), key('t.cod2'));
  test.match(await planned(lists, sizes, [], few), walks('t.cod1', 't.cod2'), 'lists are merged as they are');
});

t.test('threat 1: the filter reaches every alias', async (test) => {
  const hidden: Filter = { of: (type) => (type === 'Beta' ? { kind: 'none' } : key(`see.${type}`)) };
  const where = or(
    { kind: 'refers', prefix: 'r.sub', to: { type: 'Beta', where: { kind: 'all' } } },
    { kind: 'not', of: { kind: 'referred', prefix: 'r.sub', by: { type: 'Gamma', where: key('t.cod1') } } },
  );
  test.same(narrow({ type: 'Alpha', where }, hidden).where, {
    kind: 'and',
    of: [
      {
        kind: 'not',
        of: { kind: 'referred', prefix: 'r.sub', by: { type: 'Gamma', where: and(key('t.cod1'), key('see.Gamma')) } },
      },
      key('see.Alpha'),
    ],
  });
  test.same(await plan({ type: 'Beta', where: { kind: 'all' }, order: [] }, hidden, probe()), { kind: 'none' });
});

t.test('conditions fold', async (test) => {
  test.same(simplify(and(or(), key('a.tok1'))), { kind: 'none' });
  test.same(simplify(or(and(), key('a.tok1'))), { kind: 'all' });
  test.same(simplify(and(and(key('a.tok1')), key('a.tok1'))), key('a.tok1'));
  test.same(
    simplify({ kind: 'not', of: or(key('a.tok1'), { kind: 'not', of: key('a.tok2') }) }),
    and({ kind: 'not', of: key('a.tok1') }, key('a.tok2')),
  );
  test.same(simplify(and({ kind: 'ids', ids: ['a', 'b'] }, { kind: 'ids', ids: ['b', 'c'] })), {
    kind: 'ids',
    ids: ['b'],
  });
  test.same(simplify(and({ kind: 'lastUpdated', from: 3 }, { kind: 'lastUpdated', from: 1, to: 3 })), { kind: 'none' });
});

t.test('keys compare by bytes', async (test) => {
  const values = ['', 'a', 'aa', 'z', 'é', '\uD7FF', '\uE000', '\uFFFD', '😀', '\u{10FFFF}'];
  for (const [at, a] of values.entries()) {
    for (const [of, b] of values.entries()) {
      test.equal(Math.sign(compareKeys(a, b)), Math.sign(at - of));
      test.equal(Math.sign(compareKeys(a, b)), Buffer.compare(Buffer.from(a), Buffer.from(b)));
    }
  }
});

// The store contract: conditions in great number, as a large value set or a long list makes them.
import type { Condition, Key, Store } from '../../src/store/store.ts';
import { StoreError } from '../../src/store/store.ts';
import { everything } from '../support/memory-store.ts';
import { below, pick, seeded } from '../support/random-search.ts';
import {
  all,
  BUDGET,
  commit,
  foundIds,
  key,
  manualClock,
  type OpenStore,
  search,
  type Test,
  write,
} from './made-up.ts';

/** SQLite takes conditions of a depth of 1,000, and 32,766 values. */
const COUNTS = [10, 100, 1_100, 12_000];

export async function storeMany(t: Test, open: OpenStore): Promise<void> {
  const { store, close } = await open(manualClock());
  await commit(
    store,
    write('Alpha', 'a1', { keys: ['a.tok0000000', 'a.str0000000', 'a.refBeta/b1'] }),
    write('Alpha', 'a2', { keys: ['a.tok0000007', 'a.str0000007', 'a.refBeta/b2'] }),
    write('Alpha', 'a3', { keys: ['a.tokx', 'a.strx'] }),
    write('Beta', 'b1', { keys: ['a.tok0000000', 'a.str0000000'] }),
    write('Beta', 'b2', { keys: ['a.tok0000007', 'a.str0000007'] }),
  );
  for (const count of COUNTS) {
    const keys = Array.from({ length: count }, (_, at) => key(`a.tok${String(at).padStart(7, '0')}`));
    const spans = Array.from({ length: count }, (_, at): Condition => {
      const from = `a.str${String(at).padStart(7, '0')}`;
      return { kind: 'span', from, to: `${from}~` };
    });
    for (const [name, of] of Object.entries({ keys, spans, both: [...keys, ...spans] })) {
      await found(t, store, `${count} ${name}, one of them`, { kind: 'or', of }, ['a1', 'a2']);
      await found(t, store, `${count} ${name}, none of them`, none(of), ['a3']);
      const to = { type: 'Beta', where: none(of) };
      await found(t, store, `${count} ${name} of what is referred to`, { kind: 'refers', prefix: 'a.ref', to }, []);
      const either: Condition = { kind: 'or', of: [{ kind: 'and', of: [all, { kind: 'or', of }] }, none(of)] };
      await found(t, store, `${count} ${name} within others`, either, ['a1', 'a2', 'a3']);
    }
  }
  await close();
  await ofAnyText(t, open);
}

/** Pieces of which keys are made that may be taken for the beginning or the end of another key. */
const PIECES = [
  '"',
  ',',
  '\\',
  '[',
  ']',
  ',"',
  '"x.abc',
  'x.abc',
  '["x.abc',
  '\\"',
  '\t',
  'é',
  '\u{1f600}',
  '\ud800',
  '\uffff',
  'a',
];

/** Rows that have a few keys of any characters, and lists of many that are asked for. */
async function ofAnyText(t: Test, open: OpenStore): Promise<void> {
  const { store, close } = await open(manualClock());
  const random = seeded(17);
  const text = (): Key => {
    const pieces = Array.from({ length: 1 + below(random, 4) }, () => pick(random, PIECES));
    return pick(random, ['x.abc', 'x.abd', 'y.abc']) + pieces.join('');
  };
  const pool = Array.from({ length: 300 }, () => text().toWellFormed());
  const rows = Array.from({ length: 100 }, (_, at) => {
    const keys = [...new Set(Array.from({ length: 5 }, () => pick(random, pool)))];
    return { id: `r${at}`, keys };
  });
  await commit(store, ...rows.map(({ id, keys }) => write('Alpha', id, { keys })));
  for (const count of [2, 5, 16, 40, 200]) {
    const lists = [0, 1].map(() => Array.from({ length: count }, () => pick(random, [pick(random, pool), text()])));
    const [one, other] = lists.map((list): Condition => ({ kind: 'or', of: list.map(key) }));
    if (one === undefined || other === undefined) return;
    const having = lists.map((list) => {
      const asked = new Set(list.map((key) => key.toWellFormed()));
      return new Set(rows.filter(({ keys }) => keys.some((key) => asked.has(key))).map(({ id }) => id));
    });
    const [ours = new Set(), theirs = new Set()] = having;
    const expected = (holds: (id: string) => boolean) => rows.map(({ id }) => id).filter(holds);
    const ids = async (where: Condition) => new Set(await foundIds(store, search(where)));
    // One of the lists is walked or collected, the other is looked for in each row.
    const both = await ids({ kind: 'and', of: [one, other] });
    t.same(both, new Set(expected((id) => ours.has(id) && theirs.has(id))), `one of ${count}, and one of as many`);
    const neither = await ids({
      kind: 'and',
      of: [
        { kind: 'not', of: one },
        { kind: 'not', of: other },
      ],
    });
    t.same(neither, new Set(expected((id) => !ours.has(id) && !theirs.has(id))), `none of ${count} and ${count}`);
  }
  await close();
}

/** Both ways in which a query says that nothing of a list holds. */
function none(of: readonly Condition[]): Condition {
  return {
    kind: 'and',
    of: [{ kind: 'not', of: { kind: 'or', of } }, ...of.map((one): Condition => ({ kind: 'not', of: one }))],
  };
}

/** Found, or refused for its size; never a fault. */
async function found(t: Test, store: Store, name: string, where: Condition, expected: string[]): Promise<void> {
  try {
    t.same((await foundIds(store, search(where))).sort(), expected, name);
    const { count } = await store.count({ type: 'Alpha', where }, { cap: 10, budgetMs: BUDGET }, everything);
    t.equal(count, expected.length, `${name}, counted`);
  } catch (error) {
    t.ok(error instanceof StoreError && error.kind === 'too-costly', `${name}: ${String(error).slice(0, 200)}`);
    t.comment(`${name}: refused`);
  }
}

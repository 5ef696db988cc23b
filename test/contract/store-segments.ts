// The store contract, sealed rows of the audit record: what is sealed, that it is found like any other row, and purging.
import type { AuditRow, AuditSearch, AuditSegment, Store } from '../../src/store/store.ts';
import { randomFrom } from '../support/random-numbers.ts';
import type { OpenStore, Test } from './made-up.ts';
import { collected, DAY } from './made-up.ts';
import { type Case, runCases } from './run-cases.ts';
import { entry, found, isAsked, ordered, unbroken } from './store-audit.ts';

const ALL = Number.POSITIVE_INFINITY;

async function sealed(store: Store, before = ALL, rowsMax = 1_000): Promise<AuditSegment[]> {
  return collected(store.audit.seal({ before, rowsMax }));
}

async function segments(store: Store): Promise<AuditSegment[]> {
  const chains = (await store.audit.heads()).map(({ chain }) => chain);
  return (await Promise.all(chains.map((chain) => collected(store.audit.segments(chain))))).flat();
}

const JANUARY = Date.UTC(2026, 0);
const FEBRUARY = Date.UTC(2026, 1);
const MARCH = Date.UTC(2026, 2);

const byMonth: Case = async (t, { store }) => {
  t.same(await sealed(store), []);
  const days = [5, 6, 7, 40, 41, 62, 63];
  await store.audit.append(days.map((day) => entry(day, { at: JANUARY + day * DAY })));
  const rows = await found(store);
  const [{ chain, hash = '' } = {}] = await store.audit.heads();
  t.same(await sealed(store, JANUARY), []);
  const [first, second, ...more] = await sealed(store, MARCH, 2);
  t.match(first, { chain, from: 1, to: 2, before: '0'.repeat(64), hash: rows[1]?.hash, at: rows[1]?.at });
  t.match(second, { chain, from: 3, to: 3, before: rows[1]?.hash, earliest: rows[2]?.at, latest: rows[2]?.at });
  t.match(more, [{ from: 4, to: 5, before: rows[2]?.hash }]);
  t.same(await segments(store), [first, second, ...more]);
  t.same(await found(store), rows);
  t.match(await store.audit.heads(), [{ chain, seq: 7, hash }]);
  t.same(await sealed(store, MARCH), [], 'March itself is not over');
  await store.audit.append([entry(90)]);
  t.match(
    await sealed(store),
    [
      { from: 6, to: 7 },
      { from: 8, to: 8 },
    ],
    'the clock was set back',
  );
  t.equal((await unbroken(t, store)).length, 8);
};

/** Rows that the clock put into the future are as old as what comes after them. */
const redated: Case = async (t, { store }) => {
  await store.audit.append([0, 400, 1, 2].map((day) => entry(day, { at: JANUARY + day * DAY })));
  t.match(await sealed(store, FEBRUARY), [
    { from: 1, to: 1 },
    { from: 2, to: 2 },
    { from: 3, to: 4 },
  ]);
  t.equal((await unbroken(t, store)).length, 4);
};

const contents: Case = async (t, { store }) => {
  await store.audit.append([
    entry(1),
    entry(2, { patients: [], agent: 'system' }),
    entry(3, { patients: ['p1', 'p2'] }),
  ]);
  const rows = await found(store);
  const [segment] = await sealed(store);
  if (segment === undefined) throw new Error('nothing was sealed');
  const opened = await store.audit.opened(segment);
  t.same(opened?.rows, rows);
  t.equal(opened?.bytes, segment.bytes);
  t.equal(opened?.names.length, 4, 'two patients and two agents');
  t.equal(await store.audit.opened({ ...segment, from: 9 }), undefined);
};

/** A record with random seals answers every search as the same record without. */
const anySearch: Case = async (t, { store }) => {
  const seed = Number(process.env.CARELOOM_SEED ?? Math.floor(Math.random() * 2 ** 31));
  const random = randomFrom(seed);
  const below = (n: number): number => Math.floor(random() * n);
  for (let from = 0; from < 240; from += 40) {
    await Promise.all(
      Array.from({ length: 4 }, (_, part) =>
        store.audit.append(
          Array.from({ length: 10 }, (__, n) =>
            entry(from + part * 10 + n, {
              at: JANUARY + (from + below(60)) * (DAY / 2),
              patients: [`p${below(9)}`, ...(random() < 0.2 ? [`q${below(40)}`] : [])],
              agent: `Practitioner/${below(4)}`,
            }),
          ),
        ),
      ),
    );
  }
  const rows = await found(store);
  const heads = await store.audit.heads();
  const searchOf = (): Partial<AuditSearch> => ({
    ...(random() < 0.4 ? { patient: random() < 0.7 ? `p${below(10)}` : `q${below(40)}` } : {}),
    ...(random() < 0.3 ? { agent: `Practitioner/${below(5)}` } : {}),
    ...(random() < 0.3 ? { from: JANUARY + below(130) * DAY } : {}),
    ...(random() < 0.3 ? { to: JANUARY + below(130) * DAY } : {}),
    ...(random() < 0.3 ? { chain: heads[below(heads.length)]?.chain ?? '' } : {}),
    descending: random() < 0.5,
    limit: 1 + below(30),
  });
  for (let round = 0; round < 12; round++) {
    const most = 1 + below(12);
    let count = 0;
    for await (const _ of store.audit.seal({ before: JANUARY + below(150) * DAY, rowsMax: 1 + below(30) })) {
      if (++count === most) break;
    }
    for (let at = 0; at < 12; at++) {
      const asked = searchOf();
      const expected = rows.filter((row) => isAsked(row, asked)).sort(ordered(asked.chain !== undefined));
      if (asked.descending === true) expected.reverse();
      const isSame = places(await found(store, asked)) === places(expected);
      if (!isSame) t.fail('another answer', { seed, round, asked });
    }
  }
  t.ok((await segments(store)).length > 5);
  t.same(await found(store), rows);
  t.same(await store.audit.heads(), heads);
  t.equal((await unbroken(t, store)).length, 240);
};

const places = (rows: readonly AuditRow[]): string =>
  rows.map(({ chain, seq, hash }) => `${chain}/${seq}/${hash}`).join(' ');

const whilePaging: Case = async (t, { store }) => {
  for (let n = 0; n < 40; n++) await store.audit.append([entry(n)]);
  const rows = await found(store);
  const bySeq = { chain: rows[0]?.chain ?? '' };
  let turn = 0;
  const sealNext = async (): Promise<void> => {
    for await (const _ of store.audit.seal({ before: ALL, rowsMax: 1 + (turn++ % 3) })) break;
  };
  t.same(await found(store, { limit: 3 }, sealNext), rows);
  t.same(await found(store, { limit: 3, descending: true }, sealNext), [...rows].reverse());
  const own = rows.filter(({ chain }) => chain === bySeq.chain);
  t.same(await found(store, { limit: 3, ...bySeq }, sealNext), own);
};

const atOnce: Case = async (t, { store, another }) => {
  const other = await another();
  t.teardown(() => other.close());
  await store.audit.append(Array.from({ length: 60 }, (_, n) => entry(n)));
  const rows = await found(store);
  const done = await Promise.all([sealed(store, ALL, 7), sealed(other, ALL, 5), sealed(store, ALL, 3)]);
  const both = done.flat();
  t.equal(new Set(both.map(({ chain, from }) => `${chain} ${from}`)).size, both.length, 'each was sealed once');
  t.same(await found(other), rows);
  // Whoever lost a race left the rest to the winner.
  await sealed(store);
  t.equal(
    (await segments(store)).reduce((sum, { from, to }) => sum + to - from + 1, 0),
    60,
  );
  t.equal((await unbroken(t, store)).length, 60);
};

const damaged: Case = async (t, { store, forge }) => {
  await store.audit.append(Array.from({ length: 10 }, (_, n) => entry(n)));
  const changes: ((rows: AuditRow[]) => AuditRow[])[] = [
    (rows) => rows.map((row) => (row.seq === 4 ? { ...row, body: '{}' } : row)),
    (rows) => rows.filter(({ seq }) => seq !== 4),
  ];
  for (const change of changes) {
    let before: AuditRow[] = [];
    await forge((rows) => {
      before = rows;
      return change(rows);
    });
    const error = await sealed(store).then(
      () => undefined,
      (thrown: { kind?: string; message?: string }) => thrown,
    );
    t.match(error, { kind: 'damaged', message: /row 4 (changed|missing)/ });
    t.same(await segments(store), [], 'it stays as it was found');
    await forge(() => before);
  }
  t.equal((await sealed(store)).length, 1);
};

const purging: Case = async (t, { store }) => {
  await store.audit.append([0, 1, 40, 41, 70].map((day) => entry(day, { at: JANUARY + day * DAY, agent: `a${day}` })));
  const rows = await found(store);
  await sealed(store, MARCH);
  const [first, second] = await segments(store);
  if (first === undefined || second === undefined) throw new Error('nothing was sealed');
  t.equal(await store.audit.purge(second, 'too early'), false, 'the one before has rows');
  t.equal(await store.audit.purge(first, 'signed'), true);
  t.equal(await store.audit.purge(first, 'again'), false);
  t.same(await segments(store), [{ ...first, purged: 'signed' }, second]);
  t.equal(await store.audit.opened(first), undefined);
  for (const asked of [{}, { descending: true }, { patient: 'p1' }, { chain: first.chain }, { to: FEBRUARY }]) {
    const expected = rows.slice(2).filter((row) => isAsked(row, asked));
    if ('descending' in asked) expected.reverse();
    t.same(await found(store, asked), expected);
  }
  t.same(await found(store, { agent: 'a1' }), []);
  t.same(await collected(store.verify({})), []);
  t.equal(await store.audit.purge(second, 'signed'), true);
  await sealed(store);
  const [, , third] = await segments(store);
  t.ok(third !== undefined && (await store.audit.purge(third, 'signed')));
  t.match(await store.audit.heads(), [{ chain: first.chain, seq: 5, hash: rows.at(-1)?.hash }], 'the head stays');
  await store.audit.append([entry(90)]);
  t.same(await collected(store.verify({})), []);
  t.ok((await found(store)).length === 1);
};

const cases: Record<string, Case> = {
  'whole stretches of a month are sealed, oldest first, and nothing that is younger': byMonth,
  'a row that the clock redated does not keep others from being sealed': redated,
  'a segment holds its rows, and the names by which it is found': contents,
  'a record with random seals answers any search as the same record without': anySearch,
  'pages stay as they are while rows are sealed': whilePaging,
  'several seal at once: every row is sealed once': atOnce,
  'rows that are not as they were written are not sealed': damaged,
  'purged segments lose their rows, in order, and keep their heads': purging,
};

export const storeSegments = (t: Test, open: OpenStore): Promise<void> => runCases(t, open, cases);

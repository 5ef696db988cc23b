// The store contract, the audit record: rows with and without a commit, their chains, searches, and what tampering shows.
import { auditHash, CHAIN_START, verifyChain } from '../../src/store/audit-chain.ts';
import type { AuditEntry, AuditPage, AuditRow, AuditSearch, Store } from '../../src/store/store.ts';
import { everything } from '../support/memory-store.ts';
import type { OpenedStore, OpenStore, Test } from './made-up.ts';
import {
  all,
  bodyOf,
  collected,
  DAY,
  deletion,
  failure,
  key,
  type ManualClock,
  manualClock,
  refused,
  START,
  search,
  write,
} from './made-up.ts';

type Case = (t: Test, opened: OpenedStore, clock: ManualClock) => Promise<void>;

const inTime = { descending: false, limit: 100 } as const;

export function entry(n: number, options: Partial<AuditEntry> = {}): AuditEntry {
  return { at: START + n, patients: ['p1'], agent: 'Practitioner/1', body: `{"n":${n}}`, ...options };
}

/** All pages one after the other; `between` runs before each page but the first. */
export async function found(
  store: Store,
  asked: Partial<AuditSearch> = {},
  between?: (page: number) => Promise<unknown>,
): Promise<AuditRow[]> {
  const searched: AuditSearch = { ...inTime, ...asked };
  const rows: AuditRow[] = [];
  let page: AuditPage = await store.audit.rows(searched);
  for (let count = 1; ; count++) {
    rows.push(...page.rows);
    if (page.next === undefined) return rows;
    if (page.rows.length !== searched.limit || count > 2_000)
      throw new Error('a page is not full, or paging does not end');
    await between?.(count);
    page = await store.audit.rows({ ...searched, after: page.next });
  }
}

const numbers = (rows: readonly AuditRow[]): unknown[] => rows.map(({ body }) => JSON.parse(body).n);
const written = (rows: readonly AuditRow[]): unknown[] => rows.map(({ body }) => JSON.parse(body).written);

/** Every chain from its first row to its head, without a gap; returns all rows. */
export async function unbroken(t: Test, store: Store): Promise<AuditRow[]> {
  const heads = await store.audit.heads();
  const rows: AuditRow[] = [];
  for (const { chain, seq, at, hash } of heads) {
    const own = await found(store, { chain, limit: 150 });
    t.same(await collected(verifyChain(each(own))), []);
    t.same(
      own.map((row) => row.seq),
      Array.from({ length: seq }, (_, before) => before + 1),
    );
    t.match(own.at(-1), { chain, seq, at, hash }, 'the head is the last row');
    rows.push(...own);
  }
  t.equal(new Set(heads.map(({ chain }) => chain)).size, heads.length);
  t.same(await collected(store.verify({})), []);
  t.equal((await found(store, { limit: 70 })).length, rows.length, 'no row outside of the chains');
  return rows;
}

async function* each<T>(of: readonly T[]): AsyncGenerator<T> {
  yield* of;
}

const appended: Case = async (t, { store }) => {
  t.same(await store.audit.rows(inTime), { rows: [] });
  t.same(await store.audit.heads(), []);
  await store.audit.append([]);
  t.same(await store.audit.heads(), []);
  const entries = [entry(1), entry(2, { patients: [], agent: 'system' }), entry(3, { patients: ['p2', 'p1', 'p3'] })];
  await store.audit.append(entries);
  const rows = await found(store);
  const chain = rows[0]?.chain ?? '';
  let hash = CHAIN_START;
  const expected = entries.map((one, at) => {
    const row = { chain, seq: at + 1, ...one };
    hash = auditHash(hash, row);
    return { ...row, hash };
  });
  t.same(rows, expected);
  t.match(hash, /^[0-9a-f]{64}$/);
  t.same(await store.audit.heads(), [{ chain, seq: 3, at: START + 3, hash }]);
  t.ok(chain.length >= 8, 'a chain has a name of its own');
};

const withCommits: Case = async (t, { store }) => {
  await store.commit({ writes: [write('Alpha', 'a')], audit: [entry(1)] });
  await store.commit({ writes: [write('Alpha', 'silent')] });
  await store.commit({
    writes: [write('Alpha', 'a'), deletion('Alpha', 'none'), write('Beta', 'b'), deletion('Alpha', 'silent')],
    audit: [entry(2), entry(3, { body: '{}' }), entry(4, { body: ' { "n" : "4 }" } ' })],
  });
  const [first, ...others] = await found(store);
  t.equal(first?.body, '{"n":1,"written":["Alpha/a/_history/1"]}');
  const versions = ['Alpha/a/_history/2', 'Beta/b/_history/1', 'Alpha/silent/_history/2'];
  t.same(written(others), [versions, versions, versions]);
  t.equal(others[1]?.body, `{"written":${JSON.stringify(versions)}}`, 'the only member');
  t.equal(others[2]?.body, ` { "n" : "4 }","written":${JSON.stringify(versions)}}`, 'what was there stays as it was');
  t.match(others[2], { patients: ['p1'], agent: 'Practitioner/1', at: START + 4 });
  await store.commit({ writes: [deletion('Alpha', 'none')], audit: [entry(5)] });
  await store.commit({ writes: [], audit: [entry(6)] });
  await store.commit({ writes: [write('Alpha', 'dry')], audit: [entry(7)], dryRun: true });
  t.equal((await found(store)).length, 4, 'a commit that writes nothing has no row');
  await store.commit({ writes: [write('Alpha', 'c')], audit: [] });
  await store.commit({ writes: [write('Alpha', 'd')], audit: [entry(8)] });
  t.equal((await unbroken(t, store)).length, 5);
};

const allOrNothing: Case = async (t, { store }) => {
  await store.commit({ writes: [write('Alpha', 'a', { keys: ['a.tok1'] })], audit: [entry(1)] });
  const check = { type: 'Alpha', where: key('a.tok1'), filter: everything, ids: [], atMost: 2 };
  for (const kind of ['version', 'check']) {
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, at) => {
        const isWrong = at % 2 === 0;
        const expect = isWrong && kind === 'version' ? 7 : 'absent';
        return failure(store, {
          writes: [write('Alpha', `${kind}-${at}`), write('Alpha', `${kind}-too-${at}`, { expect })],
          ...(isWrong && kind === 'check' ? { checks: [check] } : {}),
          audit: [entry(at), entry(at)],
        });
      }),
    );
    t.same(
      outcomes.map((outcome) => outcome?.kind),
      outcomes.map((_, at) => (at % 2 === 0 ? kind : undefined)),
    );
  }
  const rows = await unbroken(t, store);
  t.equal(rows.length, 1 + 2 * 10 * 2, 'those that failed left neither row nor gap');
  for (const versions of written(rows) as string[][]) {
    for (const version of versions) {
      const [type = '', id = ''] = version.split('/');
      t.ok(await store.read(type, id, everything), version);
    }
  }
};

const inParallel: Case = async (t, { store }) => {
  await Promise.all(
    Array.from({ length: 200 }, async (_, at) => {
      if (at % 3 === 0) await store.audit.append([entry(at), entry(at)]);
      else if (at % 10 === 0)
        await failure(store, { writes: [write('Alpha', 'x', { expect: 5 })], audit: [entry(at)] });
      else await store.commit({ writes: [write('Alpha', `a${at % 7}`)], audit: [entry(at)] });
      // What was acknowledged can be read.
      if (at % 20 === 1) t.ok((await found(store)).some(({ body }) => JSON.parse(body).n === at));
    }),
  );
  const rows = await unbroken(t, store);
  const expected = Array.from({ length: 200 }, (_, at) => (at % 3 === 0 ? [at, at] : at % 10 === 0 ? [] : [at])).flat();
  t.same(
    (numbers(rows) as number[]).sort((a, b) => a - b),
    expected,
  );
  const versions = written(rows)
    .flat()
    .filter((one) => one !== undefined) as string[];
  t.equal(new Set(versions).size, versions.length, 'each version is in one row');
  for (let id = 0; id < 7; id++) {
    const current = await store.read('Alpha', `a${id}`, everything);
    const own = versions.filter((version) => version.startsWith(`Alpha/a${id}/`));
    t.equal(own.length, current?.version, 'each version has its row');
  }
};

const inOrder: Case = async (t, { store }) => {
  for (let turn = 0; turn < 5; turn++) {
    await store.commit({ writes: [write('Alpha', 'a')], audit: [entry(turn)] });
    await store.audit.append([entry(turn, { body: '{}' })]);
  }
  for (const { chain } of await store.audit.heads()) {
    const versions = written(await found(store, { chain }))
      .flat()
      .filter((one) => one !== undefined);
    const counts = versions.map((version) => Number(/\d+$/.exec(String(version))?.[0]));
    t.same(
      counts,
      [...counts].sort((a, b) => a - b),
    );
  }
  t.equal((await unbroken(t, store)).length, 10);
};

const searches: Case = async (t, { store }) => {
  const agents = ['Practitioner/1', 'client:lab', 'system'];
  const entries = Array.from({ length: 60 }, (_, n) =>
    // Four at each instant.
    entry(n, {
      at: START + (n >> 2) * 1_000,
      patients: [`p${n % 5}`, ...(n % 2 === 0 ? ['even'] : [])],
      agent: agents[n % 3] ?? '',
    }),
  );
  for (let from = 0; from < 60; from += 20) await store.audit.append(entries.slice(from, from + 20));
  const rows = await unbroken(t, store);
  const wanted: Partial<AuditSearch>[] = [
    {},
    { patient: 'even' },
    { patient: 'p3' },
    { patient: 'nobody' },
    { agent: 'client:lab' },
    { agent: 'client:la' },
    { patient: 'even', agent: 'system' },
    { from: START + 3_000 },
    { to: START + 3_000 },
    { from: START + 3_000, to: START + 7_000 },
    { patient: 'even', from: START + 3_001, to: START + 7_001 },
    { agent: 'system', from: START + 9_000 },
    { from: START + 7_000, to: START + 7_000 },
    ...(await store.audit.heads()).flatMap(({ chain }) => [
      { chain },
      { chain, afterSeq: 7 },
      { chain, patient: 'even' },
      { chain, agent: 'system', from: START + 2_000 },
      { chain, patient: 'p1', to: START + 5_000, afterSeq: 2 },
    ]),
    { chain: 'another' },
  ];
  for (const asked of wanted) {
    for (const descending of [false, true]) {
      const expected = rows.filter((row) => isAsked(row, asked)).sort(ordered(asked.chain !== undefined));
      if (descending) expected.reverse();
      const title = JSON.stringify({ ...asked, descending });
      t.same(numbers(await found(store, { ...asked, descending })), numbers(expected), title);
      t.same(await found(store, { ...asked, descending, limit: 3 }), expected, `${title}, three a page`);
    }
  }
  const page = await store.audit.rows({ ...inTime, limit: 3 });
  for (const other of [{ patient: 'even' }, { descending: true }, { chain: rows[0]?.chain ?? '' }, { from: START }]) {
    await refused(t, store.audit.rows({ ...inTime, limit: 3, ...other, after: page.next ?? '' }), 'cursor');
  }
  await refused(t, store.audit.rows({ ...inTime, after: 'nonsense' }), 'cursor');
};

export function isAsked(
  row: AuditRow,
  { patient, agent, chain, afterSeq = 0, from, to }: Partial<AuditSearch>,
): boolean {
  if (patient !== undefined && !row.patients.includes(patient)) return false;
  if (agent !== undefined && row.agent !== agent) return false;
  if (chain !== undefined && row.chain !== chain) return false;
  return row.seq > afterSeq && row.at >= (from ?? row.at) && row.at < (to ?? row.at + 1);
}

export function ordered(bySeq: boolean): (a: AuditRow, b: AuditRow) => number {
  const byChain = (a: AuditRow, b: AuditRow): number => (a.chain < b.chain ? -1 : a.chain > b.chain ? 1 : 0);
  return (a, b) => (bySeq ? 0 : a.at - b.at || byChain(a, b)) || a.seq - b.seq;
}

const whileGrowing: Case = async (t, { store }) => {
  for (let n = 0; n < 30; n++) await store.audit.append([entry(n)]);
  let n = 30;
  const add = (): Promise<void> => store.audit.append([entry(n), entry(n++, { at: START - n })]);
  const before = Array.from({ length: 30 }, (_, at) => at);
  const newest = await found(store, { descending: true, limit: 4, from: START }, add);
  t.same(numbers(newest), [...before].reverse(), 'newest first: what comes meanwhile is newer');
  const oldest = await found(store, { limit: 4, to: START + 30, from: START }, add);
  t.same(numbers(oldest), before, 'oldest first: neither twice nor left out');
};

const twoAtOnce: Case = async (t, { store, another }) => {
  const other = await another();
  t.teardown(() => other.close());
  await Promise.all(
    Array.from({ length: 120 }, async (_, at) => {
      const one = at % 2 === 0 ? store : other;
      if (at % 3 === 0) await one.audit.append([entry(at)]);
      else await one.commit({ writes: [write('Alpha', at % 5 === 0 ? 'shared' : `a${at}`)], audit: [entry(at)] });
    }),
  );
  const rows = await unbroken(t, store);
  t.same(
    (numbers(rows) as number[]).sort((a, b) => a - b),
    Array.from({ length: 120 }, (_, at) => at),
  );
  t.same(await found(other), await found(store), 'both see the same');
  t.same(await other.audit.heads(), await store.audit.heads());
};

/** What is done to ten rows, and the first problem that shows. */
const drills: Record<string, { forge: (rows: AuditRow[]) => AuditRow[]; finds: object }> = {
  'a body is edited': {
    forge: (rows) => rows.map((row) => (row.seq === 4 ? { ...row, body: '{"n":40}' } : row)),
    finds: { kind: 'changed', seq: 4, to: 4 },
  },
  'an agent is edited': {
    forge: (rows) => rows.map((row) => (row.seq === 10 ? { ...row, agent: 'Practitioner/2' } : row)),
    finds: { kind: 'changed', seq: 10, to: 10 },
  },
  'a patient is taken out': {
    forge: (rows) => rows.map((row) => (row.seq === 1 ? { ...row, patients: [] } : row)),
    finds: { kind: 'changed', seq: 1, to: 1 },
  },
  'a time is changed': {
    forge: (rows) => rows.map((row) => (row.seq === 7 ? { ...row, at: row.at - DAY } : row)),
    finds: { kind: 'changed', seq: 7, to: 7 },
  },
  'a hash is changed': {
    forge: (rows) => rows.map((row) => (row.seq === 7 ? { ...row, hash: 'f'.repeat(64) } : row)),
    // The row after it followed from the hash that was there.
    finds: { kind: 'changed', seq: 7, to: 8 },
  },
  'a row is edited and hashed anew': {
    forge: (rows) => rows.map((row, at) => (row.seq === 5 ? rehashed({ ...row, body: '{}' }, rows[at - 1]) : row)),
    finds: { kind: 'changed', seq: 6, to: 6 },
  },
  'a row is deleted': {
    forge: (rows) => rows.filter(({ seq }) => seq !== 4),
    finds: { kind: 'missing', seq: 4, to: 4 },
  },
  'the first rows are deleted': {
    forge: (rows) => rows.filter(({ seq }) => seq > 3),
    finds: { kind: 'missing', seq: 1, to: 3 },
  },
  'a row is deleted and those after it renumbered': {
    forge: (rows) => rows.filter(({ seq }) => seq !== 4).map((row, at) => ({ ...row, seq: at + 1 })),
    finds: { kind: 'changed', seq: 4, to: 9 },
  },
  'two rows change places': {
    forge: (rows) => rows.map((row) => ({ ...(rows[swap(row.seq) - 1] ?? row), seq: row.seq })),
    // The row after them followed from the one that was last.
    finds: { kind: 'changed', seq: 5, to: 7 },
  },
  'what two rows say changes places': {
    forge: (rows) => rows.map((row) => ({ ...row, body: rows[swap(row.seq) - 1]?.body ?? '' })),
    finds: { kind: 'changed', seq: 5, to: 6 },
  },
  'a row is made up in between': {
    forge: (rows) =>
      rows.flatMap((row) => (row.seq === 6 ? [row, row] : [row])).map((row, at) => ({ ...row, seq: at + 1 })),
    finds: { kind: 'changed', seq: 7, to: 11 },
  },
};

const swap = (seq: number): number => (seq === 5 ? 6 : seq === 6 ? 5 : seq);

function rehashed(row: AuditRow, before: AuditRow | undefined): AuditRow {
  return { ...row, hash: auditHash(before?.hash ?? CHAIN_START, row) };
}

const tampering: Case = async (t, { store, forge }) => {
  await store.audit.append(Array.from({ length: 10 }, (_, n) => entry(n)));
  const whole = await unbroken(t, store);
  for (const [title, { forge: change, finds }] of Object.entries(drills)) {
    await forge(change);
    const chain = whole[0]?.chain ?? '';
    const problems = await collected(verifyChain(each(await found(store, { chain }))));
    t.equal(problems.length, 1, title);
    t.match(problems[0], { chain, ...finds }, title);
    const sentences = await collected(store.verify({}));
    t.ok(sentences.includes(problems[0]?.message ?? ''), `${title}: verify says so too`);
    await forge(() => whole);
  }
  t.same(await collected(store.verify({})), []);
  // What only a head kept elsewhere shows.
  await forge((rows) => rows.slice(0, 8));
  t.same(await collected(verifyChain(each(await found(store)))), []);
  t.not((await store.audit.heads())[0]?.hash, whole.at(-1)?.hash);
};

const fromHead: Case = async (t, { store, forge }) => {
  await store.audit.append(Array.from({ length: 10 }, (_, n) => entry(n)));
  const [head] = await store.audit.heads();
  if (head === undefined) throw new Error('no head');
  const { chain } = head;
  const later = { ...head, seq: 6, hash: (await found(store))[5]?.hash ?? '' };
  const since = (afterSeq: number): Promise<AuditRow[]> => found(store, { chain, afterSeq });
  t.same(await collected(verifyChain(each(await since(6)), later)), []);
  t.same(await collected(verifyChain(each(await since(10)), head)), [], 'nothing new');
  const steps = verifyChain(each(await since(6)), later);
  t.match(await steps.next(), { done: true, value: { chain, seq: 10, hash: head.hash } }, 'says where it ended');
  await forge((rows) => rows.map((row) => (row.seq === 2 ? { ...row, body: '{}' } : row)));
  t.same(await collected(verifyChain(each(await since(6)), later)), [], 'what is before is not looked at');
  t.match(await collected(verifyChain(each(await since(5)), later)), [{ kind: 'misplaced', seq: 6 }]);
  t.match(await collected(verifyChain(each(await since(7)), later)), [{ kind: 'missing', seq: 7, to: 7 }]);
  t.match(await collected(verifyChain(each(await since(6)), { ...later, hash: CHAIN_START })), [
    { kind: 'changed', seq: 7 },
  ]);
  t.match(await collected(verifyChain(each(await since(9)), { ...head, seq: 9, chain: 'other' })), [
    { kind: 'misplaced' },
  ]);
};

const anyText: Case = async (t, { store }) => {
  const texts = [
    '',
    'é',
    '😀',
    '\u0000',
    'a\u0000b',
    "'; DROP TABLE audit",
    '1:a,',
    '$where',
    '\n\t"\\',
    'x'.repeat(100_000),
  ];
  await store.audit.append(
    texts.map((text, at) => entry(at, { agent: text, patients: [text], body: JSON.stringify({ n: at, text }) })),
  );
  const rows = await unbroken(t, store);
  for (const [at, text] of texts.entries()) {
    t.match(rows[at], { agent: text, patients: [text] }, JSON.stringify(text).slice(0, 40));
    t.equal(JSON.parse(rows[at]?.body ?? '').text, text);
    if (!text.includes('\u0000')) t.same(numbers(await found(store, { patient: text })), [at]);
    t.same(numbers(await found(store, { agent: text })), [at]);
  }
  // Half a surrogate pair is no text; it becomes U+FFFD wherever it is written.
  await store.audit.append([entry(90, { agent: 'a\ud83d', body: '{"n":90,"t":"\ud83d"}' })]);
  await unbroken(t, store);
};

const reopening: Case = async (t, opened) => {
  await opened.store.audit.append([entry(1)]);
  await opened.store.commit({ writes: [write('Alpha', 'a')], audit: [entry(2)] });
  const before = await opened.store.audit.heads();
  const late = opened.store.audit.append([entry(3)]);
  await opened.store.close();
  await late;
  await refused(t, opened.store.audit.append([entry(9)]), 'unavailable');
  await refused(t, opened.store.audit.rows(inTime), 'unavailable');
  await refused(t, opened.store.audit.heads(), 'unavailable');
  const store = await opened.reopen();
  await store.audit.append([entry(4)]);
  await store.commit({ writes: [write('Alpha', 'a')], audit: [entry(5)] });
  const rows = await unbroken(t, store);
  t.same((numbers(rows) as number[]).sort(), [1, 2, 3, 4, 5]);
  for (const { chain, seq, hash } of before) {
    t.equal(rows.find((row) => row.chain === chain && row.seq === seq)?.hash, hash, 'what was there is still there');
  }
};

const apart: Case = async (t, { store }, clock) => {
  await store.audit.append([entry(1)]);
  await store.commit({ writes: [write('Alpha', 'a')], audit: [entry(2)] });
  await store.records.put({ kind: 'job', id: 'j', value: '{}', expires: START }, 0);
  clock.set(START + 1);
  t.equal(await store.records.sweep(), 1);
  const changes = await store.outbox.after('', 10);
  t.equal(changes.length, 1);
  await store.outbox.forget(changes[0]?.seq ?? '');
  t.same([...(await store.stats())], [['Alpha', 1]]);
  t.equal((await store.scan({ limit: 10 })).rows.length, 1);
  t.equal((await store.search(search(all), everything)).rows.length, 1);
  t.equal(bodyOf(await store.read('Alpha', 'a', everything))?.id, 'a');
  t.equal((await unbroken(t, store)).length, 2);
};

/** The same with all rows as rows, with all of them sealed, and with some. */
const cases: Record<string, Case> = {
  'rows are appended to a chain, each with its hash': appended,
  'a commit has its rows, which say what it wrote': withCommits,
  'rows are written with the commit or not at all': allOrNothing,
  '200 commits and appends at once: each has its rows, no chain has a gap': inParallel,
  'in a chain, rows stand in the order of commits': inOrder,
  'rows are found by patient, agent, time and chain, forwards and backwards': searches,
  'pages stay as they are while rows are added': whileGrowing,
  'two processes at once': twoAtOnce,
  'any text': anyText,
  'it goes on after reopening': reopening,
  'nothing else sees it or sweeps it away': apart,
};

const casesOfRows: Record<string, Case> = {
  'threat 40: whoever edits, deletes, renumbers, swaps or redates rows is found out at the row': tampering,
  'a chain is verified from a head kept elsewhere': fromHead,
};

/** A store that seals after whatever adds rows: all that there are, or some of them. */
function sealing(store: Store, howMany: 'all' | 'some'): Store {
  let turn = 0;
  let under: Promise<void> | undefined;
  const sealNow = async (): Promise<void> => {
    turn += 1;
    for await (const _ of store.audit.seal({ before: Number.POSITIVE_INFINITY, rowsMax: 1 + (turn % 7) })) {
      if (howMany === 'some' && turn % 2 === 0) break;
    }
  };
  const seal = async (): Promise<void> => {
    under ??= sealNow().finally(() => {
      under = undefined;
    });
    await under;
  };
  const append: Store['audit']['append'] = async (entries) => {
    await store.audit.append(entries);
    // What was appended last before the store was closed stays as it is.
    await seal().catch((error) => error.message === 'The store is closed' || Promise.reject(error));
  };
  const commit: Store['commit'] = async (asked) => {
    const written = await store.commit(asked);
    if (asked.audit !== undefined) await seal();
    return written;
  };
  const audit = { ...store.audit, append };
  return new Proxy(store, {
    get(target, name) {
      if (name === 'audit') return audit;
      if (name === 'commit') return commit;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

export async function storeAudit(t: Test, open: OpenStore): Promise<void> {
  for (const [title, run] of Object.entries({ ...cases, ...casesOfRows })) {
    await t.test(title, (inner) => runOn(inner as Test, open, run, (store) => store));
  }
  for (const howMany of ['all', 'some'] as const) {
    for (const [title, run] of Object.entries(cases)) {
      await t.test(`${howMany} sealed: ${title}`, (inner) =>
        runOn(inner as Test, open, run, (store) => sealing(store, howMany)),
      );
    }
  }
}

async function runOn(t: Test, open: OpenStore, run: Case, seen: (store: Store) => Store): Promise<void> {
  const clock = manualClock();
  const opened = await open(clock);
  t.teardown(() => opened.close());
  await run(t, { ...opened, store: seen(opened.store) }, clock);
}

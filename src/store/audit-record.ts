// The audit record over what an adapter keeps: rows, and segments of sealed rows. A row is in one of both, and moves from
// the first to the second in one transaction: whoever looks at the rows first and at the segments then misses none, and
// may see one twice.
import { CHAIN_START } from './audit-chain.ts';
import { auditAfter, auditOrder, auditPageOf } from './audit-page.ts';
import {
  charsOf,
  monthOf,
  nameOf,
  namesOf,
  type PackedSegment,
  packSegment,
  SEGMENT_CHARS_MAX,
  SEGMENT_ROWS_MAX,
  stretchOf,
  unpackSegment,
} from './audit-segment.ts';
import type {
  AuditEntry,
  AuditHead,
  AuditPage,
  AuditRecord,
  AuditRow,
  AuditSearch,
  AuditSegment,
  OpenedSegment,
} from './store.ts';
import { StoreError } from './store.ts';

/** from ≤ n < to */
export interface Range {
  from: number;
  to: number;
}

const ALL: Range = { from: 1, to: Number.MAX_SAFE_INTEGER };

/** What an adapter keeps of the record. */
export interface AuditKept {
  append(entries: readonly AuditEntry[]): Promise<void>;
  /** Of the rows that are not sealed, those that a search asks for, in its order: one more than a page has. */
  rows(search: AuditSearch): Promise<AuditRow[]>;
  /** Ends of the chains that have rows which are not sealed. */
  heads(): Promise<AuditHead[]>;
  /** The last segment of each chain. */
  lastSegments(): Promise<AuditSegment[]>;
  /** The first few (descending: the last) of a chain that begin at a row of the range, by place. */
  chainSegments(chain: string, begin: Range, descending: boolean): Promise<AuditSegment[]>;
  /** Those of the first month of the range (descending: the last) in which any has rows and all these names. */
  monthSegments(names: readonly number[], month: Range, descending: boolean): Promise<AuditSegment[]>;
  packed(segment: AuditSegment): Promise<Uint8Array | undefined>;
  /** Those of some names by which the segment is found, in their order. */
  names(segment: AuditSegment, of: readonly number[]): Promise<number[]>;
  /** In one transaction, adds the segment and removes its rows; false where they are not there any more. */
  seal(segment: PackedSegment): Promise<boolean>;
  /** See AuditRecord. `names`: those by which it is found, none where they are not known any more. */
  purge(segment: AuditSegment, names: readonly number[], signed: string): Promise<boolean>;
}

export function createAuditRecord(kept: AuditKept): AuditRecord {
  return {
    append: (entries) => (entries.length === 0 ? Promise.resolve() : kept.append(entries)),
    rows: (search) => page(kept, search),
    heads: () => heads(kept),
    segments: (chain) => chainSegments(kept, chain, ALL, false),
    opened: (segment) => opened(kept, segment),
    seal: ({ before, rowsMax = SEGMENT_ROWS_MAX }) =>
      sealed(kept, before, Math.max(1, Math.min(rowsMax, SEGMENT_ROWS_MAX))),
    purge: async (segment, signed) => kept.purge(segment, await knownNames(kept, segment), signed),
  };
}

async function opened(kept: AuditKept, segment: AuditSegment): Promise<OpenedSegment | undefined> {
  const packed = segment.purged === undefined ? await kept.packed(segment) : undefined;
  if (packed === undefined) return undefined;
  const rows = await unpackSegment(segment, packed);
  return { rows, names: await kept.names(segment, namesOf(rows)), bytes: packed.length };
}

/** A segment that is damaged can be purged all the same; then names lead to it that find nothing there. */
async function knownNames(kept: AuditKept, segment: AuditSegment): Promise<readonly number[]> {
  try {
    return (await opened(kept, segment))?.names ?? [];
  } catch (error) {
    if (error instanceof StoreError && error.kind === 'damaged') return [];
    throw error;
  }
}

// ---- pages ----

async function page(kept: AuditKept, search: AuditSearch): Promise<AuditPage> {
  const order = auditOrder(search);
  let rows = await kept.rows(search);
  for await (const segment of mayHold(kept, search)) {
    const beyond = rows[search.limit];
    if (beyond !== undefined && isAfter(segment, beyond, search)) break;
    const packed = await kept.packed(segment);
    // It was purged in between.
    if (packed === undefined) continue;
    const both = [...rows, ...(await unpackSegment(segment, packed, search))].sort(order);
    rows = both.filter((row, at) => at === 0 || order(both[at - 1] as AuditRow, row) !== 0).slice(0, search.limit + 1);
  }
  return auditPageOf(search, rows);
}

/** All rows of the segment come after the row in the order of the search. */
function isAfter({ from, to, earliest, latest }: AuditSegment, row: AuditRow, search: AuditSearch): boolean {
  if (search.chain !== undefined) return search.descending ? to < row.seq : from > row.seq;
  return search.descending ? latest < row.at : earliest > row.at;
}

/** The segments in which there may be rows of the page, in an order in which none comes before what `isAfter` a row. */
async function* mayHold(kept: AuditKept, search: AuditSearch): AsyncGenerator<AuditSegment> {
  const { chain, afterSeq = 0, descending } = search;
  const after = auditAfter(search);
  const bound = <T>(isLower: boolean, value: T | undefined): T | undefined =>
    isLower === descending ? undefined : value;
  const place = after?.kind === 'seq' ? after.seq : undefined;
  const instant = after?.kind === 'time' ? after.place.at : undefined;
  const seq = {
    from: Math.max(afterSeq, bound(true, place) ?? 0) + 1,
    to: bound(false, place) ?? Number.MAX_SAFE_INTEGER,
  };
  const at = {
    from: Math.max(search.from ?? -MS_MAX, bound(true, instant) ?? -MS_MAX),
    to: Math.min(search.to ?? MS_MAX, (bound(false, instant) ?? MS_MAX) + 1),
  };
  const segments =
    chain === undefined
      ? monthSegments(kept, search, at)
      : chainSegments(kept, chain, { from: seq.from - SEGMENT_ROWS_MAX + 1, to: seq.to }, descending);
  for await (const segment of segments) {
    const isIn = segment.earliest < at.to && segment.latest >= at.from && segment.to >= seq.from;
    if (isIn && segment.purged === undefined) yield segment;
  }
}

/** Before and after every instant of a row, and such that Date knows it. */
const MS_MAX = 8_000_000_000_000_000;

async function* monthSegments(kept: AuditKept, search: AuditSearch, at: Range): AsyncGenerator<AuditSegment> {
  const { patient, agent, descending } = search;
  const names = [
    ...(patient === undefined ? [] : [nameOf('patient', patient)]),
    ...(agent === undefined ? [] : [nameOf('agent', agent)]),
  ];
  let { from, to } = { from: monthOf(at.from), to: at.to };
  for (;;) {
    const found = await kept.monthSegments(names, { from, to }, descending);
    const [first] = found;
    if (first === undefined) return;
    yield* found.sort((a, b) => (descending ? b.latest - a.latest : a.earliest - b.earliest));
    const month = monthOf(first.earliest);
    if (descending) to = month;
    else from = month + 1;
  }
}

async function* chainSegments(
  kept: AuditKept,
  chain: string,
  begin: Range,
  descending: boolean,
): AsyncGenerator<AuditSegment> {
  let { from, to } = begin;
  for (;;) {
    const found = await kept.chainSegments(chain, { from, to }, descending);
    const last = found.at(-1);
    if (last === undefined) return;
    yield* found;
    if (descending) to = last.from;
    else from = last.from + 1;
  }
}

// ---- heads and sealing ----

/** By chain. That of a chain which is sealed to its end is the end of its last segment. */
async function heads(kept: AuditKept): Promise<AuditHead[]> {
  const found = new Map((await kept.heads()).map((head) => [head.chain, head]));
  for (const { chain, to, at, hash } of await kept.lastSegments()) {
    if (!found.has(chain)) found.set(chain, { chain, seq: to, at, hash });
  }
  return [...found.values()].sort((a, b) => (a.chain < b.chain ? -1 : 1));
}

async function* sealed(kept: AuditKept, before: number, rowsMax: number): AsyncGenerator<AuditSegment> {
  let damage: unknown;
  for (const { chain } of await kept.heads()) {
    try {
      yield* sealedOf(kept, chain, { before, rowsMax });
    } catch (error) {
      if (!(error instanceof StoreError) || error.kind !== 'damaged') throw error;
      damage ??= error;
    }
  }
  if (damage !== undefined) throw damage;
}

async function* sealedOf(
  kept: AuditKept,
  chain: string,
  { before, rowsMax }: { before: number; rowsMax: number },
): AsyncGenerator<AuditSegment> {
  for (;;) {
    const rows = await firstRows(kept, chain, before);
    const next = rows.slice(0, stretchOf(rows, before, rowsMax));
    const [first] = next;
    const [last] = await kept.chainSegments(chain, ALL, true);
    const start = last === undefined ? { chain, seq: 0, hash: CHAIN_START } : { chain, seq: last.to, hash: last.hash };
    // Another process has sealed them meanwhile, and goes on.
    if (first === undefined || first.seq <= start.seq) return;
    const packed = await packSegment(start, next);
    if (!(await kept.seal(packed))) return;
    yield packed.segment;
  }
}

/** At least a segment of the rows that are first in a chain, if so many may be older than `before`. */
async function firstRows(kept: AuditKept, chain: string, before: number): Promise<AuditRow[]> {
  const rows: AuditRow[] = [];
  let chars = 0;
  while (rows.length < SEGMENT_ROWS_MAX && chars <= SEGMENT_CHARS_MAX) {
    const afterSeq = rows.at(-1)?.seq ?? 0;
    const found = await kept.rows({ chain, afterSeq, descending: false, limit: ROWS_READ });
    rows.push(...found);
    chars += found.reduce((sum, row) => sum + charsOf(row), 0);
    if (found.length <= ROWS_READ || !found.some(({ at }) => at < before)) break;
  }
  return rows;
}

/** Of 64 kB at most, where a client sent them. */
const ROWS_READ = 500;

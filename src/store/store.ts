// The store port: what careloom needs of a place that keeps things. A store knows nothing of FHIR search; the core turns
// a resource into exact bytes and short opaque keys, and a search into a tree of conditions on those keys.
// Two adapters implement it (sqlite/, mongo/); test/contract/store.ts holds what both must do.

/**
 * Opaque index key: five characters that say which list it belongs to (see fhir/search/keys.ts), then an ordered value.
 * Keys are compared by their UTF-8 bytes; never compare them with JavaScript's `<`, which compares UTF-16 units.
 */
export type Key = string;

/** The `ord` of a resource that has no clinical date: sorts before every date. */
export const NO_ORD = -62_135_596_800_001;

/** Every live resource carries this key, so that one list holds a type in order. */
export const typeKey = (type: string): Key => `@type${type}`;

/** A stored version. `body` is the exact JSON to send, with id and meta; null when this version is a deletion. */
export interface Row {
  type: string;
  id: string;
  version: number;
  /** Milliseconds since the epoch; within one process never the same or earlier than a write committed before. */
  lastUpdated: number;
  body: Uint8Array | null;
  /** The row's keys that start with a prefix asked for by `keysOf`; absent where none was asked. */
  keys?: Key[];
}

/**
 * A further string by which a resource is found: by equality or by its beginning, without any order. Terms are cheaper
 * to write than keys and cannot be walked, sorted by or handed back; what is searched for now and then is a term.
 */
export type Term = string;

/**
 * A predicate on one resource. `key`, `span` and `joins` are true when at least one key of the resource fits.
 * A span is half-open: from ≤ key < to. `within` must hold for the same key that lies in the span:
 * `slices`: for each of them, the `length` characters of the key from index `at` on are ≥ `atLeast` and ≤ `atMost` where
 * these are given (keys that are sliced are ASCII throughout; a key that ends before yields what it has there);
 * `contains`: `text` occurs in the part of the key between its fifth character and the first TAB; `ends`: at its end.
 * `fewKeys` says that the span is likely to hold a handful of different keys, which a plan may then take one by one.
 * `ord` of a span is what its maker knows: every row that the span finds has its clinical date in there.
 * `ord` is true when the resource has a clinical date, from ≤ date < to. Past versions have none, so no filter asks for it.
 * `term` is true when the resource has that term, with `prefix` when it has one that begins so.
 */
export type Condition =
  | { kind: 'all' }
  | { kind: 'none' }
  | { kind: 'key'; key: Key }
  | { kind: 'span'; from: Key; to: Key; within?: Within; fewKeys?: true; ord?: OrdRange }
  | ({ kind: 'ord' } & OrdRange)
  | { kind: 'term'; term: Term; prefix?: true }
  | { kind: 'ids'; ids: readonly string[] }
  | { kind: 'lastUpdated'; from?: number; to?: number }
  | { kind: 'and'; of: readonly Condition[] }
  | { kind: 'or'; of: readonly Condition[] }
  | { kind: 'not'; of: Condition }
  /** One of my keys is `prefix` + "Type/id" of a live resource of `to.type` for which `to.where` holds. */
  | { kind: 'refers'; prefix: Key; to: Alias }
  /** A live resource of `by.type`, for which `by.where` holds, has the key `prefix` + my own "Type/id". */
  | { kind: 'referred'; prefix: Key; by: Alias };

/** Clinical dates from ≤ ord < to, ms since the epoch; without a bound it is open there. */
export interface OrdRange {
  from?: number;
  to?: number;
}

export type Within = { kind: 'slices'; of: readonly Slice[] } | { kind: 'contains' | 'ends'; text: string };

/** A stretch of a key and its bounds, both inclusive and compared by bytes. */
export interface Slice {
  at: number;
  length: number;
  atLeast?: string;
  atMost?: string;
}

/** Resources of one type for which a condition holds. The filter is added to every alias, by the planner alone. */
export interface Alias {
  type: string;
  where: Condition;
}

/**
 * What a caller may see: a condition for each type (`all`: everything, `none`: nothing). Every method that shows or
 * counts resources takes one, and it is applied to every alias of a query, so nothing is seen or counted through a join.
 */
export interface Filter {
  of(type: string): Condition;
}

/**
 * Sort keys, most significant first; no entry means `ord` descending. `keys` sorts by the lowest (ascending) or highest
 * (descending) key in the list with that prefix; a resource without one comes last either way, so that a page of a whole
 * type never has to look for those that lack something. Ties are broken by an order of the store's own that does not
 * change while a resource exists.
 */
export type SortKey =
  | { by: 'ord' | 'lastUpdated'; descending: boolean }
  | { by: 'keys'; prefix: Key; descending: boolean };

export interface Search extends Alias {
  order: readonly SortKey[];
  /** Rows in a page, at least 1. */
  limit: number;
  /** Where a page before ended: Page.next of the same search. A cursor that does not fit throws StoreError('cursor'). */
  after?: string;
  /** Prefixes of keys to hand back with each row. */
  keysOf?: readonly Key[];
  /** Leave the bodies out (each row's body is then empty bytes). */
  bodyless?: boolean;
  /** Time the store may take; a search that is not done by then throws StoreError('too-costly'). */
  budgetMs: number;
  /** Say with the page how it was found. */
  explain?: true;
  request?: Together;
}

/**
 * An object of one request, the same in its searches and counts: what a join was found to match in one of them it matches
 * in the others. Nothing of that outlives the object, so that a right that was withdrawn before a request is over for it.
 */
export type Together = object;

export interface Page {
  rows: Row[];
  /** The cursor of the next page; absent when this is the last. */
  next?: string;
  explanation?: Explanation;
}

/** One list of the index, or of it the rows of some clinical dates; or a stretch of the index. */
export type Part = { key: Key; ord?: OrdRange } | { from: Key; to: Key; within?: Within };

/** A set of rows. `keys`: the union of the parts; its lists may hold rows of other types as well. */
export type Source =
  | { kind: 'ids'; ids: readonly string[] }
  | { kind: 'keys'; of: readonly Part[] }
  | { kind: 'term'; term: Term; prefix?: true }
  | { kind: 'lastUpdated'; from?: number; to?: number }
  | { kind: 'type' };

/** How a page was found. */
export interface Explanation {
  /** `walk`: a list followed in the order asked for until the page was full; `sort`: a set collected and sorted. */
  plan: 'none' | 'walk' | 'sort';
  /** What was walked or collected; absent for `none`. */
  source?: Source;
  /** What was left to check on each candidate. */
  residual: Condition;
  /** What the planner counted to decide, in order; counting stops at a cap. */
  counts: readonly { source: Source; count: number }[];
  /** Candidates whose residual conditions were checked. */
  examined: number;
  ms: number;
}

/** `exact` is false when counting stopped at the cap. */
export interface Count {
  count: number;
  exact: boolean;
}

/** Versions, newest first (by lastUpdated, then an order of the store's own). */
export interface HistorySearch {
  type?: string;
  id?: string;
  /** Only versions at or after this instant, ms. */
  since?: number;
  /** Only versions at or before this instant, ms. */
  until?: number;
  /** Only versions that were the current one at some instant of from ≤ t < to, ms. */
  current?: { from: number; to: number };
  /** Only versions of these resources (that are also of `type`, where it is given). */
  of?: readonly { type: string; id: string }[];
  limit: number;
  after?: string;
  /** Prefixes of keys to hand back with each version; of a deletion, of those of the version before. */
  keysOf?: readonly Key[];
  budgetMs: number;
}

/**
 * One change. `body` lacks the stamp: the store writes `"versionId":"n","lastUpdated":"…"` at `stampAt` when it commits,
 * because only then are both known (see store/stamp.ts). `expect`: 'absent' (no live resource may exist; the id is then usually
 * fresh, and the store may skip the look-up and rely on uniqueness; a deleted one may be brought back), a version number (exactly this one is current and live), or
 * nothing (whatever is there). A deletion of what does not exist changes nothing.
 */
export interface Write {
  type: string;
  id: string;
  body: Uint8Array | null;
  stampAt: number;
  /** Clinical date, ms since the epoch, or NO_ORD. */
  ord: number;
  /** All keys, without duplicates, the type key included. Empty for a deletion. */
  keys: Key[];
  /** All terms, without duplicates. Empty for a deletion. */
  terms: Term[];
  /** The patient whose data this is ("Patient/1"), or the resource itself: data of one owner stay together when sharded. */
  owner: string;
  expect?: 'absent' | number;
}

/** "This search still finds exactly these ids": what a conditional interaction decided on, checked inside the commit. */
export interface Check extends Alias {
  filter: Filter;
  /** The ids seen, in any order; at most `atMost` of them were looked for. */
  ids: readonly string[];
  atMost: number;
}

/** All or nothing, in one transaction, durable when the promise resolves. */
export interface Commit {
  writes: readonly Write[];
  checks?: readonly Check[];
  /**
   * What the audit record is to say of it, written in the same transaction; nothing when nothing is written. The store
   * adds a last member to each body: `"written":["Patient/1/_history/3",…]`, in the order of the writes.
   */
  audit?: readonly AuditEntry[];
  /** Decide everything and answer as if it were done, but leave the store as it is. */
  dryRun?: true;
}

/** What became of a write. `version` 0: it was a deletion of something that did not exist. `created`: no live version before. */
export interface Written {
  version: number;
  lastUpdated: number;
  created: boolean;
}

export type StoreErrorKind =
  /** `expect` did not hold; `at` is the index of the write. */
  | 'version'
  /** A check did not hold: somebody else was faster; `at` is the index of the check. Look again and retry. */
  | 'check'
  | 'cursor'
  | 'too-costly'
  /** The store cannot be reached or cannot write now; the same call may succeed later. */
  | 'unavailable'
  /** What is stored is not what was written. */
  | 'damaged'
  /** The store on disk was written by a newer careloom. */
  | 'newer-schema';

export class StoreError extends Error {
  readonly kind: StoreErrorKind;
  readonly at: number;

  constructor(kind: StoreErrorKind, message: string, options: { at?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = 'StoreError';
    this.kind = kind;
    this.at = options.at ?? -1;
  }
}

/** A private keyed record: codes, tokens, jobs, counters, dedupe. Never visible through FHIR. */
export interface StoredRecord {
  kind: string;
  id: string;
  /** Counts up from 1; what compare-and-set compares. */
  version: number;
  /** JSON text. */
  value: string;
  /** Milliseconds since the epoch after which the record counts as absent; absent: never. */
  expires?: number;
}

export interface Records {
  get(kind: string, id: string): Promise<StoredRecord | undefined>;
  /**
   * Compare-and-set. `expect` is the version that must be there now, 0 for "none (or an expired one)".
   * Resolves to the new version, or undefined when another was faster.
   */
  put(
    record: { kind: string; id: string; value: string; expires?: number },
    expect: number,
  ): Promise<number | undefined>;
  /** True when this call removed it; with `expect`, only that version. */
  remove(kind: string, id: string, expect?: number): Promise<boolean>;
  /** Live records of a kind, by id, from after `after`. */
  list(kind: string, options: { after?: string; limit: number }): Promise<StoredRecord[]>;
  /** Removes what has expired; the number removed. */
  sweep(): Promise<number>;
}

/** A committed change, in commit order: written in the same transaction as the change itself. */
export interface Change {
  /** Grows with every change, opaque otherwise. */
  seq: string;
  type: string;
  id: string;
  version: number;
}

export interface Outbox {
  /** Changes after `seq` ('' for the oldest kept). */
  after(seq: string, limit: number): Promise<Change[]>;
  /** Forget all changes up to and including `seq`. */
  forget(seq: string): Promise<void>;
}

/** What happened, before it is in the record. */
export interface AuditEntry {
  /** Milliseconds since the epoch. */
  at: number;
  /** Ids of the patients whose data it touched, without duplicates. */
  patients: readonly string[];
  /** Who did it, as a stable name: `Practitioner/1`, `client:lab`, `system`. */
  agent: string;
  /** A JSON object; opaque to the store. */
  body: string;
}

/** A line of the audit record, which nobody changes or removes. */
export interface AuditRow extends AuditEntry {
  /** Each chain is a sequence of its own, 1, 2, 3, …; a store may have several. */
  chain: string;
  seq: number;
  /** `auditHash` of the row before (64 zeros for the first) and of this row: see store/audit-chain.ts. */
  hash: string;
}

export interface AuditSearch {
  patient?: string;
  agent?: string;
  chain?: string;
  /** With `chain`: only rows of a higher seq. */
  afterSeq?: number;
  /** from ≤ at < to, ms since the epoch. */
  from?: number;
  to?: number;
  /** By time, then chain and place; with `chain`: by place. */
  descending: boolean;
  limit: number;
  /** AuditPage.next of the same search. */
  after?: string;
}

export interface AuditPage {
  rows: AuditRow[];
  next?: string;
}

/** The end of a chain. */
export interface AuditHead {
  chain: string;
  seq: number;
  at: number;
  hash: string;
}

/**
 * Rows `from` to `to` of a chain, packed: sealed rows are never written again, and are found like any other. The sealed
 * rows of a chain are its beginning, those that were purged the beginning of that.
 */
export interface AuditSegment {
  chain: string;
  from: number;
  to: number;
  /** Hash of the row before `from`, and of row `to`. */
  before: string;
  hash: string;
  /** Of row `to`, ms. */
  at: number;
  /** Of all its rows, ms; within one calendar month in UTC. */
  earliest: number;
  latest: number;
  /** Size when packed. */
  bytes: number;
  /** Its rows were removed on purpose: the signed statement that says so. */
  purged?: string;
}

/** What is in a segment. `names`: by which of its patients and agents it is found, see store/audit-segment.ts. */
export interface OpenedSegment {
  rows: AuditRow[];
  names: readonly number[];
  /** Size when packed. */
  bytes: number;
}

export interface AuditRecord {
  /** Durable when it resolves. Appends that come while others are on their way to the disk go together. */
  append(entries: readonly AuditEntry[]): Promise<void>;
  /** Throws StoreError('damaged') where sealed rows cannot be read that may be among those asked for. */
  rows(search: AuditSearch): Promise<AuditPage>;
  heads(): Promise<AuditHead[]>;
  /** Of a chain, by place, with those that were purged. */
  segments(chain: string): AsyncIterable<AuditSegment>;
  /** undefined where its rows are not there. Throws StoreError('damaged') where they cannot be read. */
  opened(segment: AuditSegment): Promise<OpenedSegment | undefined>;
  /**
   * Seals what is older than `before` (ms), segment by segment, each in one transaction, as the iteration goes on. Rows
   * that are not as they were written stay where they are: when all else is sealed, StoreError('damaged') tells of them.
   */
  seal(options: { before: number; rowsMax?: number }): AsyncIterable<AuditSegment>;
  /** Removes the rows of the first segment of its chain that has any. False when it is another, or another was faster. */
  purge(segment: AuditSegment, signed: string): Promise<boolean>;
}

/** A row as the index sees it, for reindexing and verification. */
export interface IndexedRow extends Row {
  ord: number;
  allKeys: Key[];
}

/** The index of one version, made anew. */
export interface Reindexed {
  type: string;
  id: string;
  version: number;
  ord: number;
  keys: Key[];
  terms: Term[];
}

export interface Store {
  /** What it is and where, for people, without secrets: "SQLite ./data/careloom.db". */
  readonly name: string;
  /** Other processes may write to it at the same time. */
  readonly isShared: boolean;

  /**
   * The current version, a deletion included (body null); undefined when never stored or not visible to the filter.
   * `keysOf`, here and below: prefixes of keys to hand back with each row; of a deletion, of those of the version before.
   */
  read(type: string, id: string, filter: Filter, keysOf?: readonly Key[]): Promise<Row | undefined>;
  /** Live current versions of many; in the order asked, undefined where missing, deleted or not visible. */
  readMany(
    refs: readonly { type: string; id: string }[],
    filter: Filter,
    keysOf?: readonly Key[],
  ): Promise<(Row | undefined)[]>;
  /** One version. Visible only if that version and the current one are visible to the filter. */
  readVersion(
    type: string,
    id: string,
    version: number,
    filter: Filter,
    keysOf?: readonly Key[],
  ): Promise<Row | undefined>;
  search(search: Search, filter: Filter): Promise<Page>;
  /** Counts up to `cap`, then says the count is not exact. */
  count(alias: Alias, options: { cap: number; budgetMs: number; request?: Together }, filter: Filter): Promise<Count>;
  history(search: HistorySearch, filter: Filter): Promise<Page>;
  /**
   * The different keys from ≤ key < to that live resources have, in order; undefined when there are more than `max`. They
   * may be of resources that the caller may not see: they tell where to look, and are not for showing.
   */
  keysIn(span: { from: Key; to: Key }, max: number): Promise<readonly Key[] | undefined>;
  commit(commit: Commit): Promise<Written[]>;

  readonly records: Records;
  readonly outbox: Outbox;
  readonly audit: AuditRecord;

  /** Live resources by type. */
  stats(): Promise<Map<string, number>>;
  /** All live resources of a type (of all types), page by page in an order of the store's own; for export, reindex, verify. */
  scan(options: { type?: string; after?: string; limit: number }): Promise<{ rows: IndexedRow[]; next?: string }>;
  /** Replaces keys, terms and ord of rows that still have the version given; no new version arises. The number replaced. */
  reindex(rows: readonly Reindexed[]): Promise<number>;
  /** Checks that index, rows and history agree among themselves; one sentence per problem, without patient data. */
  verify(options: { onProgress?: (done: number) => void }): AsyncIterable<string>;
  /** Throws StoreError('unavailable') when the store cannot answer now. */
  ping(): Promise<void>;
  /** Finishes what is under way and lets go of files and sockets. */
  close(): Promise<void>;
}

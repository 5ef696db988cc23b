// How careloom lies in MongoDB: the collections, their documents and indexes, and the version of all that.
import type { Binary, Collection, Db, Document, IndexDirection, ObjectId, Timestamp } from 'mongodb';
import type { Key, Term } from '../store.ts';
import { StoreError } from '../store.ts';
import { LONG_MS_MAX, told } from './faults.ts';

/** The layout written by this careloom; a database with a higher one is left alone. */
export const SCHEMA_VERSION = 4;

/**
 * A current version. `tie` is given at creation and stays: short and unique, it breaks ties in 13 bytes of each index
 * entry where `_id` would take 45. A deletion has body null, no `idx`, and the keys it had before in `old`, so that it
 * is found by nothing but can still be shown to who might see the resource. `terms` is absent where there are none: an
 * empty array would have an entry in the index.
 */
export interface ResourceDoc {
  /** "Type/id" */
  _id: string;
  t: string;
  id: string;
  v: number;
  lu: number;
  ord: number;
  tie: ObjectId;
  /** 12-bit hash of the owner, from day one, for the shard key {b, _id}. */
  b: number;
  idx?: Key[];
  old?: Key[];
  terms?: Term[];
  body: Uint8Array | Binary | null;
}

/**
 * A version that is no longer current, with the keys it had (a deletion: those of the version before). It was current
 * from `lu` until `until`, which is the lastUpdated of the next version.
 */
export interface HistoryDoc {
  /** "Type/id/version" */
  _id: string;
  t: string;
  id: string;
  v: number;
  lu: number;
  until: number;
  tie: ObjectId;
  idx: Key[];
  body: Uint8Array | Binary | null;
}

export interface RecordDoc {
  /** kind, TAB, id */
  _id: string;
  v: number;
  value: string;
  expires?: number;
}

/** The changes of one transaction. `n` is given by the first reader that sees it (see outbox.ts). */
export interface OutboxDoc {
  _id: ObjectId;
  ts: Timestamp;
  n?: number;
  /** How many of the changes are forgotten. */
  gone?: number;
  changes: { t: string; id: string; v: number }[];
}

/** A row of the audit record. Chains are described in audit-chains.ts. */
export interface AuditDoc {
  chain: string;
  seq: number;
  at: number;
  patients: string[];
  agent: string;
  body: string;
  hash: Uint8Array | Binary;
}

/** A segment of sealed rows; see AuditSegment. `_id` is "chain/from". Without `month`, that of its rows, once purged. */
export interface SegmentDoc {
  _id: string;
  chain: string;
  from: number;
  to: number;
  before: Uint8Array | Binary;
  hash: Uint8Array | Binary;
  at: number;
  earliest: number;
  latest: number;
  bytes: number;
  month?: number;
  purged?: string;
}

/** By what a segment is found; see store/audit-segment.ts. */
export interface SegmentNameDoc {
  _id: string;
  month: number;
  names: number[];
}

/** The packed rows of a segment. */
export interface SegmentRowsDoc {
  _id: string;
  rows: Uint8Array | Binary;
}

/** Written to by commits whose checks must not pass each other; `_id` is a slot that keys are hashed into. */
export interface LockDoc {
  _id: number;
  n: number;
}

export interface SettingDoc {
  _id: string;
  n: number;
}

export interface Collections {
  resource: Collection<ResourceDoc>;
  history: Collection<HistoryDoc>;
  record: Collection<RecordDoc>;
  outbox: Collection<OutboxDoc>;
  audit: Collection<AuditDoc>;
  segment: Collection<SegmentDoc>;
  segmentName: Collection<SegmentNameDoc>;
  segmentRows: Collection<SegmentRowsDoc>;
  lock: Collection<LockDoc>;
  setting: Collection<SettingDoc>;
}

type IndexKeys = Record<string, IndexDirection>;

/** Every key's list, sorted by clinical date; walked both ways. */
export const BY_KEY: IndexKeys = { idx: 1, ord: 1, tie: 1 };
/** Of the rows that have terms. */
export const BY_TERM: IndexKeys = { terms: 1 };
/** Every type, deletions included, by lastUpdated. */
export const BY_UPDATED: IndexKeys = { t: 1, lu: 1, tie: 1 };
/** The same of past versions; which of them were current at an instant is decided on the entries alone. */
export const PAST_BY_UPDATED: IndexKeys = { t: 1, lu: 1, tie: 1, until: 1 };
export const BY_ID: IndexKeys = { _id: 1 };
export const AUDIT_BY_CHAIN: IndexKeys = { chain: 1, seq: 1 };
export const AUDIT_BY_TIME: IndexKeys = { at: 1, chain: 1, seq: 1 };
export const AUDIT_BY_AGENT: IndexKeys = { agent: 1, at: 1, chain: 1, seq: 1 };
export const AUDIT_BY_PATIENT: IndexKeys = { patients: 1, at: 1, chain: 1, seq: 1 };
export const SEGMENT_BY_CHAIN: IndexKeys = { chain: 1, from: 1 };
/** Of those that have rows. */
export const SEGMENT_BY_MONTH: IndexKeys = { month: 1 };
export const SEGMENT_BY_NAME: IndexKeys = { names: 1, month: 1 };

const indexes: { collection: keyof Collections; keys: IndexKeys; sparse?: true; unique?: true }[] = [
  { collection: 'resource', keys: BY_KEY },
  { collection: 'resource', keys: BY_TERM, sparse: true },
  { collection: 'resource', keys: BY_UPDATED },
  { collection: 'history', keys: PAST_BY_UPDATED },
  { collection: 'record', keys: { expires: 1 }, sparse: true },
  { collection: 'outbox', keys: { n: 1, ts: 1 } },
  { collection: 'audit', keys: AUDIT_BY_CHAIN, unique: true },
  { collection: 'audit', keys: AUDIT_BY_TIME },
  { collection: 'audit', keys: AUDIT_BY_AGENT },
  { collection: 'audit', keys: AUDIT_BY_PATIENT },
  { collection: 'segment', keys: SEGMENT_BY_CHAIN, unique: true },
  { collection: 'segment', keys: SEGMENT_BY_MONTH, sparse: true },
  { collection: 'segmentName', keys: SEGMENT_BY_NAME },
];

const INDEX_NOT_FOUND = 27;
const NAMESPACE_EXISTS = 48;
const names = [
  'resource',
  'history',
  'record',
  'outbox',
  'audit',
  'segment',
  'segmentName',
  'segmentRows',
  'lock',
  'setting',
] as const;
const compressed: ReadonlySet<string> = new Set(['resource', 'history', 'audit']);

export function collectionsOf(db: Db): Collections {
  return {
    resource: db.collection('resource'),
    history: db.collection('history'),
    record: db.collection('record'),
    outbox: db.collection('outbox'),
    audit: db.collection('audit'),
    segment: db.collection('segment'),
    segmentName: db.collection('segmentName'),
    segmentRows: db.collection('segmentRows'),
    lock: db.collection('lock'),
    setting: db.collection('setting'),
  };
}

/**
 * Creates what is missing and brings an older layout up to date; several processes may do it at the same time. Throws
 * StoreError('newer-schema') for a database of a newer careloom.
 */
export async function prepareLayout(db: Db): Promise<void> {
  const { setting } = collectionsOf(db);
  const schema = await setting.findOne({ _id: 'schema' });
  if (schema !== null && schema.n > SCHEMA_VERSION) {
    const message = `The database has layout ${schema.n}, this careloom knows up to ${SCHEMA_VERSION}: update careloom`;
    throw new StoreError('newer-schema', message);
  }
  if (schema === null) {
    await createMissing(db);
    await setting.updateOne({ _id: 'schema' }, { $setOnInsert: { n: SCHEMA_VERSION } }, { upsert: true });
  } else {
    for (let n = schema.n; n < SCHEMA_VERSION; n += 1) {
      await upgrades.get(n)?.(db);
      await setting.updateOne({ _id: 'schema', n }, { $set: { n: n + 1 } });
    }
  }
}

async function createMissing(db: Db): Promise<void> {
  for (const name of names) await createCollection(db, name, compressed.has(name));
  for (const { collection, keys, ...options } of indexes) {
    await told(() => db.collection(collection).createIndex(keys, options), LONG_MS_MAX);
  }
}

/** Step n makes layout n + 1 of layout n; done twice it does the same. */
const upgrades: ReadonlyMap<number, (db: Db) => Promise<void>> = new Map([
  [1, withTermsAndUntil],
  // Layout 3: the audit record.
  [2, createMissing],
  // Layout 4: its segments.
  [3, createMissing],
]);

/** Layout 2: terms; and a past version says until when it was current. */
async function withTermsAndUntil(db: Db): Promise<void> {
  const { history } = collectionsOf(db);
  const name = { $concat: ['$t', '/', '$id'] };
  const next = { $concat: [name, '/', { $toString: { $add: ['$v', 1] } }] };
  const luOf = (from: string, localField: string): Document => ({
    $lookup: { from, localField, foreignField: '_id', as: from, pipeline: [{ $project: { lu: 1 } }] },
  });
  const pipeline = [
    { $match: { until: { $exists: false } } },
    { $project: { name, next } },
    luOf('history', 'next'),
    luOf('resource', 'name'),
    { $project: { until: { $ifNull: [{ $first: '$history.lu' }, { $first: '$resource.lu' }] } } },
    { $merge: { into: 'history', whenMatched: 'merge', whenNotMatched: 'discard' } },
  ];
  await told(() => history.aggregate(pipeline).toArray(), LONG_MS_MAX);
  await createMissing(db);
  try {
    await history.dropIndex('t_1_lu_1_tie_1');
  } catch (error) {
    // Another process was faster.
    if (codeOf(error) !== INDEX_NOT_FOUND) throw error;
  }
}

async function createCollection(db: Db, name: string, isCompressed: boolean): Promise<void> {
  const zstd: Document = { wiredTiger: { configString: 'block_compressor=zstd' } };
  try {
    await db.createCollection(name, isCompressed ? { storageEngine: zstd } : {});
  } catch (error) {
    if (codeOf(error) === NAMESPACE_EXISTS) return;
    if (!isCompressed) throw error;
    // A hosted MongoDB may not allow storage options; the data are as good without.
    await createCollection(db, name, false);
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

/** 12 bits of FNV-1a. */
export function bucketOf(owner: string): number {
  return hash(owner) & 0xfff;
}

/** FNV-1a, 32 bits, mixed so that the low bits are as good as the rest. */
export function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  value ^= value >>> 15;
  return Math.imul(value, 0x2c1b3c6d) >>> 0;
}

// How careloom lies in MongoDB: the collections, their documents and indexes, and the version of all that.
import type { Binary, Collection, Db, Document, IndexDirection, ObjectId, Timestamp } from 'mongodb';
import type { Key } from '../store.ts';
import { StoreError } from '../store.ts';

/** The layout written by this careloom; a database with a higher one is left alone. */
export const SCHEMA_VERSION = 1;

/**
 * A current version. `tie` is given at creation and stays: short and unique, it breaks ties in 13 bytes of each index
 * entry where `_id` would take 45. A deletion has body null, no `idx`, and the keys it had before in `old`, so that it
 * is found by nothing but can still be shown to who might see the resource.
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
  body: Uint8Array | Binary | null;
}

/** A version that is no longer current, with the keys it had (a deletion: those of the version before). */
export interface HistoryDoc {
  /** "Type/id/version" */
  _id: string;
  t: string;
  id: string;
  v: number;
  lu: number;
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
  lock: Collection<LockDoc>;
  setting: Collection<SettingDoc>;
}

type IndexKeys = Record<string, IndexDirection>;

/** Every key's list, sorted by clinical date; walked both ways. */
export const BY_KEY: IndexKeys = { idx: 1, ord: 1, tie: 1 };
/** Every type, deletions included, by lastUpdated. Of `resource` and of `history`. */
export const BY_UPDATED: IndexKeys = { t: 1, lu: 1, tie: 1 };
export const BY_ID: IndexKeys = { _id: 1 };

const indexes: { collection: keyof Collections; keys: IndexKeys; sparse?: boolean }[] = [
  { collection: 'resource', keys: BY_KEY },
  { collection: 'resource', keys: BY_UPDATED },
  { collection: 'history', keys: BY_UPDATED },
  { collection: 'record', keys: { expires: 1 }, sparse: true },
  { collection: 'outbox', keys: { n: 1, ts: 1 } },
];

const NAMESPACE_EXISTS = 48;
const names = ['resource', 'history', 'record', 'outbox', 'lock', 'setting'] as const;
const compressed: ReadonlySet<string> = new Set(['resource', 'history']);

export function collectionsOf(db: Db): Collections {
  return {
    resource: db.collection('resource'),
    history: db.collection('history'),
    record: db.collection('record'),
    outbox: db.collection('outbox'),
    lock: db.collection('lock'),
    setting: db.collection('setting'),
  };
}

/**
 * Creates what is missing; several processes may do it at the same time. Throws StoreError('newer-schema') for a
 * database of a newer careloom.
 */
export async function prepareLayout(db: Db): Promise<void> {
  const { setting } = collectionsOf(db);
  const schema = await setting.findOne({ _id: 'schema' });
  if (schema !== null && schema.n > SCHEMA_VERSION) {
    const message = `The database has layout ${schema.n}, this careloom knows up to ${SCHEMA_VERSION}: update careloom`;
    throw new StoreError('newer-schema', message);
  }
  if (schema !== null) return;
  for (const name of names) await createCollection(db, name, compressed.has(name));
  for (const { collection, keys, sparse } of indexes) {
    await db.collection(collection).createIndex(keys, sparse === true ? { sparse } : {});
  }
  await setting.updateOne({ _id: 'schema' }, { $setOnInsert: { n: SCHEMA_VERSION } }, { upsert: true });
}

async function createCollection(db: Db, name: string, isCompressed: boolean): Promise<void> {
  const zstd: Document = { wiredTiger: { configString: 'block_compressor=zstd' } };
  try {
    await db.createCollection(name, isCompressed ? { storageEngine: zstd } : {});
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === NAMESPACE_EXISTS) return;
    if (!isCompressed) throw error;
    // A hosted MongoDB may not allow storage options; the data are as good without.
    await createCollection(db, name, false);
  }
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

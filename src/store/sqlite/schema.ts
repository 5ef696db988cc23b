// The SQLite file: its tables, its settings, and how a file of an older schema becomes a current one.
//
//   resource  current version of each resource; a tombstone has ord and body NULL and keeps the keys it had.
//             rid is stable for the life of (type, id). Keys stand before the body: a row check reads no body page.
//             terms are its tokens, see terms.ts.
//   idx       the one index over keys, each list by clinical date; live resources only.
//   term      the index over terms, of live resources only.
//   history   versions that were replaced or deleted, copied there when that happened.
//   record    private keyed records; outbox: committed changes not yet taken note of; setting: schema version.
//   audit     see audit.ts and audit-segments.ts.
import { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../store.ts';
import { createAuditTables } from './audit.ts';
import { createSegmentTables } from './audit-segments.ts';
import { TERM_TABLES } from './terms.ts';

export const SCHEMA_VERSION = 4;

const TABLES = `
CREATE TABLE resource (
  rid INTEGER PRIMARY KEY, type TEXT NOT NULL, id TEXT NOT NULL, v INTEGER NOT NULL, lu INTEGER NOT NULL, ord INTEGER,
  keys TEXT NOT NULL, terms TEXT NOT NULL DEFAULT '', body BLOB, UNIQUE (type, id)
) STRICT;
CREATE INDEX resource_lu ON resource (type, lu, rid);
CREATE TABLE idx (
  k TEXT NOT NULL, ord INTEGER NOT NULL, rid INTEGER NOT NULL, PRIMARY KEY (k, ord, rid)
) STRICT, WITHOUT ROWID;
${TERM_TABLES}
CREATE TABLE history (
  rid INTEGER NOT NULL, v INTEGER NOT NULL, type TEXT NOT NULL, lu INTEGER NOT NULL, keys TEXT NOT NULL, body BLOB,
  PRIMARY KEY (rid, v)
) STRICT;
CREATE INDEX history_lu ON history (type, lu, rid, v);
CREATE TABLE record (
  kind TEXT NOT NULL, id TEXT NOT NULL, v INTEGER NOT NULL, value TEXT NOT NULL, expires INTEGER,
  PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX record_expires ON record (expires) WHERE expires IS NOT NULL;
CREATE TABLE outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, id TEXT NOT NULL, v INTEGER NOT NULL) STRICT;
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO setting VALUES ('schema', '${SCHEMA_VERSION}');
`;

/** Step n makes a file of schema n one of schema n + 1. */
const UPGRADES: ReadonlyMap<number, (db: DatabaseSync) => void> = new Map([
  // Resources have no terms until they are written or indexed anew.
  [1, (db) => db.exec(`ALTER TABLE resource ADD COLUMN terms TEXT NOT NULL DEFAULT ''; ${TERM_TABLES}`)],
  [2, createAuditTables],
  [3, createSegmentTables],
]);

/** WAL of 32,000 pages (128 MB) before it is copied back: bundles cost 0.69x of what they do with the default of 1,000. */
export const WAL_PAGES = 32_000;
const BUSY_MS = 5_000;
const READER_CACHE_KB = 16 * 1024;
const WRITER_CACHE_KB = 64 * 1024;
/**
 * Mapped reads spare a copy of each page. For the main thread alone: each connection's map counts as memory of its own,
 * and beyond this a page is copied from the system's cache, which costs a microsecond.
 */
const MMAP_BYTES = 256 * 1024 * 1024;

/** Creates the file, or brings an older one up to date. Throws StoreError('newer-schema') for a newer one. */
export function prepareFile(path: string): void {
  const db = new DatabaseSync(path, { timeout: BUSY_MS });
  try {
    db.exec('PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
    db.exec('BEGIN IMMEDIATE');
    const found = schemaVersion(db);
    if (found > SCHEMA_VERSION) throw newerSchema(path, found);
    if (found === 0) create(db);
    else upgrade(db, found);
    db.exec('COMMIT');
  } finally {
    db.close();
  }
}

/** A connection that only reads; on the main thread with the file mapped. */
export function openReader(path: string, { isMapped }: { isMapped: boolean }): DatabaseSync {
  const db = new DatabaseSync(path, { readOnly: true, timeout: BUSY_MS });
  const mapped = isMapped ? MMAP_BYTES : 0;
  db.exec(`PRAGMA cache_size = -${READER_CACHE_KB}; PRAGMA mmap_size = ${mapped}; PRAGMA temp_store = MEMORY;`);
  return db;
}

/** The one connection that writes; a commit is on disk when COMMIT returns. */
export function openWriter(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: BUSY_MS, enableForeignKeyConstraints: false });
  db.exec(
    `PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = ${WAL_PAGES}; PRAGMA cache_size = -${WRITER_CACHE_KB};` +
      'PRAGMA temp_store = MEMORY;',
  );
  return db;
}

function create(db: DatabaseSync): void {
  db.exec(TABLES);
  createAuditTables(db);
  createSegmentTables(db);
}

function schemaVersion(db: DatabaseSync): number {
  const isThere = db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'setting'").get();
  if (isThere === undefined) return 0;
  const row = db.prepare("SELECT value FROM setting WHERE name = 'schema'").get();
  return Number(row?.value ?? 0);
}

function upgrade(db: DatabaseSync, found: number): void {
  for (let version = found; version < SCHEMA_VERSION; version++) {
    const step = UPGRADES.get(version);
    if (step === undefined) throw new StoreError('unavailable', `No upgrade from schema ${version} is known`);
    step(db);
    db.prepare("UPDATE setting SET value = ? WHERE name = 'schema'").run(String(version + 1));
  }
}

function newerSchema(path: string, found: number): StoreError {
  return new StoreError(
    'newer-schema',
    `${path} has schema ${found}, this careloom knows ${SCHEMA_VERSION}: start a newer careloom, or restore a backup`,
  );
}

// Sealed rows of the audit record in the file. Each table is added to and never changed; rows of one are removed only
// when another says why, which the triggers see to: rows of the record when a segment holds them, what is in a segment
// when it was purged.
//
//   audit_segment  see AuditSegment; `month` is that of its rows. A segment follows on the one before.
//   audit_packed   its rows, see store/audit-segment.ts.
//   audit_name     the segments of each patient and agent by month.
//   audit_purged   the segments whose rows were removed, and the signed statement of it.
import type { DatabaseSync } from 'node:sqlite';
import type { Range } from '../audit-record.ts';
import { monthOf, type PackedSegment } from '../audit-segment.ts';
import type { AuditSegment } from '../store.ts';
import { chainOf, hexOf } from './audit.ts';
import type { Columns, Connection, Sql } from './sql.ts';
import { joined, limited, raw, sql } from './sql.ts';

const REFUSE = "BEGIN SELECT RAISE(ABORT, 'the audit record is never changed'); END;";
const SEALED_TO = 'coalesce((SELECT last FROM audit_segment ORDER BY first DESC LIMIT 1), 0)';
const IS_PURGED = 'EXISTS (SELECT 1 FROM audit_purged WHERE first = OLD.first)';

const TABLES = `
CREATE TABLE audit_segment (
  first INTEGER PRIMARY KEY, last INTEGER NOT NULL, before BLOB NOT NULL, hash BLOB NOT NULL, at INTEGER NOT NULL,
  earliest INTEGER NOT NULL, latest INTEGER NOT NULL, bytes INTEGER NOT NULL, month INTEGER NOT NULL
) STRICT;
CREATE INDEX audit_segment_month ON audit_segment (month);
CREATE TABLE audit_packed (first INTEGER PRIMARY KEY, rows BLOB NOT NULL) STRICT;
CREATE TABLE audit_name (
  name INTEGER NOT NULL, month INTEGER NOT NULL, first INTEGER NOT NULL, PRIMARY KEY (name, month, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE audit_purged (first INTEGER PRIMARY KEY, signed TEXT NOT NULL) STRICT;

DROP TRIGGER audit_delete;
DROP TRIGGER audit_patient_delete;
DROP TRIGGER audit_replace;
CREATE TRIGGER audit_delete BEFORE DELETE ON audit WHEN OLD.seq > ${SEALED_TO} ${REFUSE}
CREATE TRIGGER audit_patient_delete BEFORE DELETE ON audit_patient WHEN OLD.seq > ${SEALED_TO} ${REFUSE}
CREATE TRIGGER audit_replace BEFORE INSERT ON audit
  WHEN NEW.seq <= ${SEALED_TO} OR EXISTS (SELECT 1 FROM audit WHERE seq = NEW.seq) ${REFUSE}
CREATE TRIGGER audit_segment_insert BEFORE INSERT ON audit_segment
  WHEN NEW.first <> ${SEALED_TO} + 1 OR NEW.hash IS NOT (SELECT hash FROM audit WHERE seq = NEW.last)
    OR NOT EXISTS (SELECT 1 FROM audit_packed WHERE first = NEW.first) ${REFUSE}
CREATE TRIGGER audit_packed_insert BEFORE INSERT ON audit_packed WHEN NEW.first <= ${SEALED_TO} ${REFUSE}
CREATE TRIGGER audit_purged_insert BEFORE INSERT ON audit_purged
  WHEN NEW.first IS NOT (SELECT first FROM audit_packed ORDER BY first LIMIT 1) ${REFUSE}
CREATE TRIGGER audit_segment_delete BEFORE DELETE ON audit_segment ${REFUSE}
CREATE TRIGGER audit_purged_delete BEFORE DELETE ON audit_purged ${REFUSE}
CREATE TRIGGER audit_packed_delete BEFORE DELETE ON audit_packed WHEN NOT ${IS_PURGED} ${REFUSE}
CREATE TRIGGER audit_name_delete BEFORE DELETE ON audit_name WHEN NOT ${IS_PURGED} ${REFUSE}
${['segment', 'packed', 'name', 'purged']
  .map((table) => `CREATE TRIGGER audit_${table}_update BEFORE UPDATE ON audit_${table} ${REFUSE}`)
  .join('\n')}
`;

/** Segments that are handed out at once. */
const PAGE = 64;

/** What a file with the tables of audit.ts needs besides. */
export function createSegmentTables(db: DatabaseSync): void {
  db.exec(TABLES);
}

/** See AuditKept. */
export function chainSegments(
  connection: Connection,
  chain: string,
  begin: Range,
  descending: boolean,
): AuditSegment[] {
  if (chain !== chainOf(connection)) return [];
  const way = raw(descending ? 'DESC' : 'ASC');
  const list = sql`audit_segment s WHERE s.first >= ${begin.from} AND s.first < ${begin.to}`;
  return segments(connection, sql`${list} ORDER BY s.first ${way} ${limited(PAGE)}`);
}

/** See AuditKept. */
export function monthSegments(
  connection: Connection,
  names: readonly number[],
  { from, to }: Range,
  descending: boolean,
): AuditSegment[] {
  const [name, ...others] = names;
  const list = raw(name === undefined ? 'audit_segment n' : 'audit_name n');
  const isNamed = (one: number): Sql =>
    sql`EXISTS (SELECT 1 FROM audit_name o WHERE o.name = ${one} AND o.month = n.month AND o.first = n.first)`;
  const isAsked =
    name === undefined
      ? sql`EXISTS (SELECT 1 FROM audit_packed p WHERE p.first = n.first)`
      : joined([sql`n.name = ${name}`, ...others.map(isNamed)], ' AND ');
  const month = sql`SELECT n.month FROM ${list} WHERE n.month >= ${from} AND n.month < ${to} AND ${isAsked}
    ORDER BY n.month ${raw(descending ? 'DESC' : 'ASC')} ${limited(1)}`;
  const first = sql`SELECT n.first FROM ${list} WHERE n.month = (${month}) AND ${isAsked}`;
  return segments(connection, sql`(${first}) f CROSS JOIN audit_segment s ON s.first = f.first`);
}

/** The last one, if there is any. */
export function lastSegments(connection: Connection): AuditSegment[] {
  return segments(connection, sql`audit_segment s ORDER BY s.first DESC ${limited(1)}`);
}

function segments(connection: Connection, list: Sql): AuditSegment[] {
  const chain = chainOf(connection);
  const found = connection.all(sql`SELECT s.first, s.last, s.before, s.hash, s.at, s.earliest, s.latest, s.bytes,
    (SELECT signed FROM audit_purged d WHERE d.first = s.first) FROM ${list}`);
  return found.map((columns) => segmentOf(chain, columns));
}

function segmentOf(
  chain: string,
  [from, to, before, hash, at, earliest, latest, bytes, purged]: Columns,
): AuditSegment {
  const segment = {
    chain,
    from: Number(from),
    to: Number(to),
    before: hexOf(before),
    hash: hexOf(hash),
    at: Number(at),
    earliest: Number(earliest),
    latest: Number(latest),
    bytes: Number(bytes),
  };
  return purged === null ? segment : { ...segment, purged: String(purged) };
}

export function packedRows(connection: Connection, { from }: AuditSegment): Uint8Array | undefined {
  const found = connection.get(sql`SELECT rows FROM audit_packed WHERE first = ${from}`)?.[0];
  return found instanceof Uint8Array ? found : undefined;
}

/** See AuditKept. */
export function segmentNames(
  connection: Connection,
  { from, earliest }: AuditSegment,
  of: readonly number[],
): number[] {
  const found = connection.all(sql`SELECT j.value FROM json_each(${JSON.stringify(of)}) j CROSS JOIN audit_name n
    ON n.name = j.value AND n.month = ${monthOf(earliest)} AND n.first = ${from}`);
  return found.map(([name]) => Number(name));
}

/** Within the transaction under way; the number of rows sealed, 0 where they are not there any more. */
export function sealRows(connection: Connection, { segment, packed, names }: PackedSegment): number {
  const { from, to, before, hash, at, earliest, latest, bytes } = segment;
  const rows = sql`seq >= ${from} AND seq <= ${to}`;
  const count = connection.number(sql`SELECT count(*) FROM audit WHERE ${rows}`);
  if (count !== to - from + 1) return 0;
  const month = monthOf(earliest);
  const [start, end] = [Buffer.from(before, 'hex'), Buffer.from(hash, 'hex')];
  connection.run(sql`INSERT INTO audit_packed (first, rows) VALUES (${from}, ${packed})`);
  connection.run(sql`INSERT INTO audit_segment (first, last, before, hash, at, earliest, latest, bytes, month)
    VALUES (${from}, ${to}, ${start}, ${end}, ${at}, ${earliest}, ${latest}, ${bytes}, ${month})`);
  connection.run(sql`INSERT INTO audit_name (name, month, first)
    SELECT value, ${month}, ${from} FROM json_each(${JSON.stringify(names)})`);
  connection.run(sql`DELETE FROM audit_patient WHERE (patient, at, seq) IN
    (SELECT j.value, a.at, a.seq FROM audit a, json_each(a.patients) j WHERE ${rows})`);
  return connection.run(sql`DELETE FROM audit WHERE ${rows}`);
}

/** Within the transaction under way; 1 when the segment was the first that had rows, and has none any more. */
export function purgeSegment(
  connection: Connection,
  { from, earliest }: AuditSegment,
  { names, signed }: { names: readonly number[]; signed: string },
): number {
  const first = connection.get(raw('SELECT first FROM audit_packed ORDER BY first LIMIT 1'))?.[0];
  if (first !== from) return 0;
  connection.run(sql`INSERT INTO audit_purged (first, signed) VALUES (${from}, ${signed})`);
  connection.run(sql`DELETE FROM audit_name WHERE (name, month, first) IN
    (SELECT value, ${monthOf(earliest)}, ${from} FROM json_each(${JSON.stringify(names)}))`);
  return connection.run(sql`DELETE FROM audit_packed WHERE first = ${from}`);
}

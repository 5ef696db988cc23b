// The audit record in the file: its tables, and how its rows are found. Rows are added by audit-write.ts alone.
//
//   audit          the one chain of the file, whose name is a setting. `patients` is a JSON array, `hash` raw bytes.
//   audit_patient  each patient's rows by time.
//
// Rows that are sealed are in the tables of audit-segments.ts.
import { randomBytes } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import { auditAfter } from '../audit-page.ts';
import type { AuditHead, AuditRow, AuditSearch } from '../store.ts';
import type { Columns, Connection, Sql } from './sql.ts';
import { joined, limited, raw, sql } from './sql.ts';

const TABLES = `
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, agent TEXT NOT NULL, patients TEXT NOT NULL, body TEXT NOT NULL,
  hash BLOB NOT NULL
) STRICT;
CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_agent ON audit (agent, at);
CREATE TABLE audit_patient (
  patient TEXT NOT NULL, at INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (patient, at, seq)
) STRICT, WITHOUT ROWID;
${['audit', 'audit_patient'].map(refusals).join('')}
CREATE TRIGGER audit_replace BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE seq = NEW.seq)
  BEGIN SELECT RAISE(ABORT, 'the audit record is never changed'); END;
`;

/** Nobody changes or removes a row by mistake; whoever drops the triggers first is found by the chain. */
function refusals(table: string): string {
  return ['UPDATE', 'DELETE']
    .map(
      (change) => `CREATE TRIGGER ${table}_${change.toLowerCase()} BEFORE ${change} ON ${table}
  BEGIN SELECT RAISE(ABORT, 'the audit record is never changed'); END;
`,
    )
    .join('');
}

const CHAIN_BYTES = 9;

/** Creates the tables, and names the chain. */
export function createAuditTables(db: DatabaseSync): void {
  db.exec(TABLES);
  db.prepare("INSERT INTO setting (name, value) VALUES ('chain', ?)").run(
    randomBytes(CHAIN_BYTES).toString('base64url'),
  );
}

/** The last row, sealed or not; seq 0 when there is none. */
export function headOf(connection: Connection): AuditHead {
  const chain = chainOf(connection);
  const row =
    connection.get(raw('SELECT seq, at, hash FROM audit ORDER BY seq DESC LIMIT 1')) ??
    connection.get(raw('SELECT last, at, hash FROM audit_segment ORDER BY first DESC LIMIT 1'));
  if (row === undefined) return { chain, seq: 0, at: 0, hash: '' };
  return { chain, seq: Number(row[0]), at: Number(row[1]), hash: hexOf(row[2]) };
}

/** The name of the file's chain. */
export function chainOf(connection: Connection): string {
  return String(connection.get(raw("SELECT value FROM setting WHERE name = 'chain'"))?.[0]);
}

/** Of the rows that are not sealed, see AuditKept. Throws StoreError('cursor'). */
export function auditRows(connection: Connection, search: AuditSearch): AuditRow[] {
  const chain = chainOf(connection);
  const after = auditAfter(search);
  if (search.chain !== undefined && search.chain !== chain) return [];
  const { patient, agent, afterSeq, from, to, descending } = search;
  // Of the list that is walked; a patient's has time and place of its own.
  const [at, seq] = patient === undefined ? [raw('a.at'), raw('a.seq')] : [raw('p.at'), raw('p.seq')];
  const conditions = [
    ...(patient === undefined ? [] : [sql`p.patient = ${patient}`]),
    ...(agent === undefined ? [] : [sql`a.agent = ${agent}`]),
    ...(from === undefined ? [] : [sql`${at} >= ${from}`]),
    ...(to === undefined ? [] : [sql`${at} < ${to}`]),
    ...(afterSeq === undefined ? [] : [sql`${seq} > ${afterSeq}`]),
  ];
  const beyond = raw(descending ? '<' : '>');
  if (after?.kind === 'seq') conditions.push(sql`${seq} ${beyond} ${after.seq}`);
  else if (after !== undefined) {
    conditions.push(sql`(${at}, ${seq}) ${beyond} (${after.place.at}, ${after.place.seq})`);
  }
  const where = conditions.length === 0 ? raw('') : sql`WHERE ${joined(conditions, ' AND ')}`;
  const way = raw(descending ? 'DESC' : 'ASC');
  const order = search.chain === undefined ? sql`${at} ${way}, ${seq} ${way}` : sql`${seq} ${way}`;
  const found = connection.all(
    sql`SELECT a.seq, a.at, a.agent, a.patients, a.body, a.hash FROM ${listOf(search)} ${where}
      ORDER BY ${order} ${limited(search.limit + 1)}`,
  );
  return found.map((columns) => auditRowOf(chain, columns));
}

function listOf({ patient, agent, chain }: AuditSearch): Sql {
  if (patient !== undefined) return raw('audit_patient p CROSS JOIN audit a ON a.seq = p.seq');
  if (agent !== undefined) return raw('audit a INDEXED BY audit_agent');
  return raw(chain === undefined ? 'audit a INDEXED BY audit_at' : 'audit a NOT INDEXED');
}

/** Of the columns seq, at, agent, patients, body, hash. */
export function auditRowOf(chain: string, [seq, at, agent, patients, body, hash]: Columns): AuditRow {
  return {
    chain,
    seq: Number(seq),
    at: Number(at),
    patients: patientsOf(String(patients)),
    agent: String(agent),
    body: String(body),
    hash: hexOf(hash),
  };
}

/** Text that is no list was not written by the store: it stands for itself, and the row's hash shows it. */
function patientsOf(text: string): string[] {
  try {
    const list: unknown = JSON.parse(text);
    return Array.isArray(list) ? list.map(String) : [text];
  } catch {
    return [text];
  }
}

export function hexOf(bytes: unknown): string {
  return bytes instanceof Uint8Array ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex') : '';
}

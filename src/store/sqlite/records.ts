// Private records, the outbox and reindexing: the small writes of the store, and the reads of records and outbox.
import type { Change, Outbox, Records, StoredRecord } from '../store.ts';
import { purgeSegment, sealRows } from './audit-segments.ts';
import type { ReindexedRow, WriteJob } from './jobs.ts';
import type { Columns, Connection } from './sql.ts';
import { limited, sql } from './sql.ts';
import { reindexRow, type Target } from './write.ts';

type SmallJob = Exclude<WriteJob, { kind: 'commit' | 'append' }>;

/** How jobs reach the writer. */
export type Send = (job: SmallJob) => Promise<number>;

/** Performs a job inside the write transaction; resolves as WriteResult says. */
export function applyJob({ connection, terms }: Target, job: SmallJob, now: number): number {
  switch (job.kind) {
    case 'put':
      return put(connection, job.record, job.expect, now);
    case 'remove':
      return remove(connection, job.record, job.expect, now);
    case 'sweep':
      return connection.run(sql`DELETE FROM record WHERE expires <= ${now}`);
    case 'forget':
      return connection.run(sql`DELETE FROM outbox WHERE seq <= ${Number(job.seq)}`);
    case 'reindex':
      return job.rows.filter((row) => reindex({ connection, terms }, row)).length;
    case 'seal':
      return sealRows(connection, job.segment);
    case 'purge':
      return purgeSegment(connection, job.segment, job);
  }
}

export function createRecords(connection: Connection, send: Send, now: () => number): Records {
  const columns = 'kind, id, v, value, expires';
  return {
    async get(kind, id) {
      const found = connection.statement(
        `SELECT ${columns} FROM record WHERE kind = ? AND id = ? AND (expires IS NULL OR expires > ?)`,
      );
      const row = found.get(kind, id, now()) as unknown as Columns | undefined;
      return row === undefined ? undefined : recordOf(row);
    },
    async put({ kind, id, value, expires }, expect) {
      const version = await send({ kind: 'put', record: { kind, id, value, expires: expires ?? null }, expect });
      return version > 0 ? version : undefined;
    },
    async remove(kind, id, expect) {
      return (await send({ kind: 'remove', record: { kind, id }, expect: expect ?? null })) > 0;
    },
    async list(kind, { after = '', limit }) {
      const rows = connection.all(sql`SELECT kind, id, v, value, expires FROM record
        WHERE kind = ${kind} AND id > ${after} AND (expires IS NULL OR expires > ${now()}) ORDER BY id ${limited(limit)}`);
      return rows.map(recordOf);
    },
    sweep: () => send({ kind: 'sweep' }),
  };
}

export function createOutbox(connection: Connection, send: Send): Outbox {
  return {
    async after(seq, limit) {
      const rows = connection.all(
        sql`SELECT seq, type, id, v FROM outbox WHERE seq > ${Number(seq)} ORDER BY seq ${limited(limit)}`,
      );
      return rows.map(changeOf);
    },
    async forget(seq) {
      await send({ kind: 'forget', seq });
    },
  };
}

function recordOf([kind, id, version, value, expires]: Columns): StoredRecord {
  const record = { kind: String(kind), id: String(id), version: Number(version), value: String(value) };
  return expires === null ? record : { ...record, expires: Number(expires) };
}

function changeOf([seq, type, id, version]: Columns): Change {
  return { seq: String(seq), type: String(type), id: String(id), version: Number(version) };
}

/** The new version, or 0. An expired record counts as absent; its number is not used again. */
function put(
  connection: Connection,
  { kind, id, value, expires }: { kind: string; id: string; value: string; expires: number | null },
  expect: number,
  now: number,
): number {
  const there = connection.get(sql`SELECT v, expires FROM record WHERE kind = ${kind} AND id = ${id}`);
  const version = Number(there?.[0] ?? 0);
  const isLive = there !== undefined && (there[1] === null || Number(there[1]) > now);
  if ((isLive ? version : 0) !== expect) return 0;
  connection.run(sql`INSERT INTO record (kind, id, v, value, expires) VALUES (${kind}, ${id}, ${version + 1}, ${value}, ${expires})
    ON CONFLICT (kind, id) DO UPDATE SET v = excluded.v, value = excluded.value, expires = excluded.expires`);
  return version + 1;
}

function remove(
  connection: Connection,
  { kind, id }: { kind: string; id: string },
  expect: number | null,
  now: number,
): number {
  return connection.run(sql`DELETE FROM record WHERE kind = ${kind} AND id = ${id}
    AND (${expect} IS NULL OR v = ${expect}) AND (expires IS NULL OR expires > ${now})`);
}

function reindex({ connection, terms }: Target, row: ReindexedRow): boolean {
  const found = connection.get(sql`SELECT rid, ord, keys, terms FROM resource
    WHERE type = ${row.type} AND id = ${row.id} AND v = ${row.version} AND ord IS NOT NULL`);
  if (found === undefined) return false;
  const current = { rid: Number(found[0]), ord: Number(found[1]), keys: String(found[2]) };
  connection.run(
    sql`UPDATE resource SET ord = ${row.ord}, keys = ${row.keys}, terms = ${row.tokens} WHERE rid = ${current.rid}`,
  );
  reindexRow(connection, current, row);
  terms.set(current.rid, String(found[3]), row.tokens);
  return true;
}

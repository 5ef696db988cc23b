// One commit inside the write transaction: versions, index, history, outbox, and the checks it depends on.
import { plan } from '../planner.ts';
import { stamped } from '../stamp.ts';
import type { Alias, Condition, Key, Written } from '../store.ts';
import { StoreError } from '../store.ts';
import { countSource, fewMatches, keysIn, ordsIn, sortedPage, walkStep } from './find.ts';
import { deadline } from './history.ts';
import type { Connection } from './sql.ts';
import { sql } from './sql.ts';
import type { WaitingTerms } from './terms.ts';

/** A write as it crosses to the writer thread: keys as JSON text, the body as a stretch of the batch's bytes. */
export interface PackedWrite {
  type: string;
  id: string;
  body: { from: number; to: number } | null;
  stampAt: number;
  ord: number;
  keys: string;
  /** See tokensOf. */
  tokens: string;
  expect?: 'absent' | number;
}

/** A check with the caller's filter already added: functions do not cross threads. */
export interface PackedCheck extends Alias {
  ids: readonly string[];
  atMost: number;
}

const everything = { of: (): Condition => ({ kind: 'all' }) };
const CHECK_BUDGET_MS = 2_000;
const CHECK_CANDIDATES = 5_000;

/** Throws StoreError('check') when one of the checks does not hold any more. */
export async function verifyChecks(connection: Connection, checks: readonly PackedCheck[]): Promise<void> {
  for (const [at, check] of checks.entries()) {
    const found = await findIds(connection, check);
    const seen = new Set(check.ids);
    if (found.length !== seen.size || !found.every((id) => seen.has(id))) {
      throw new StoreError('check', 'What a condition of this change matches has changed meanwhile', { at });
    }
  }
}

async function findIds(connection: Connection, check: PackedCheck): Promise<string[]> {
  const probe = {
    walksKeys: true,
    overlaps: true,
    count: countSource.bind(undefined, connection),
    keysIn: keysIn.bind(undefined, connection),
    ordsIn: ordsIn.bind(undefined, connection),
    few: fewMatches.bind(undefined, connection),
  };
  const found = await plan({ type: check.type, where: check.where, order: [] }, everything, probe);
  if (found.kind === 'none') return [];
  const late = deadline(CHECK_BUDGET_MS);
  const shape = { bodyless: true, keysOf: [] };
  if (found.kind === 'sort') {
    return sortedPage(connection, found, { after: undefined, limit: check.atMost, shape, late }).rows.map(
      (row) => row.id,
    );
  }
  const ids: string[] = [];
  let step = walkStep(connection, found, {
    after: undefined,
    limit: check.atMost,
    candidates: CHECK_CANDIDATES,
    shape,
  });
  for (;;) {
    ids.push(...step.rows.map((row) => row.id));
    if (step.resume === undefined || ids.length >= check.atMost) return ids;
    late();
    step = walkStep(connection, found, {
      after: step.resume,
      limit: check.atMost - ids.length,
      candidates: CHECK_CANDIDATES,
      shape,
    });
  }
}

/** Where writes go: the transaction, and the terms that wait for its end. */
export interface Target {
  connection: Connection;
  terms: WaitingTerms;
}

/**
 * Applies the writes in order. Throws StoreError('version') when one expected something else. `first`: how many of the
 * commit have been applied before.
 */
export function applyWrites(
  { connection, terms }: Target,
  { writes, bytes, first = 0 }: { writes: readonly PackedWrite[]; bytes: Uint8Array; first?: number },
  lu: number,
): Written[] {
  return writes.map((write, at) => applyWrite({ connection, terms }, write, bytes, lu, first + at));
}

interface Current {
  rid: number;
  version: number;
  /** Null when deleted. */
  ord: number | null;
  keys: string;
  tokens: string;
}

function applyWrite(target: Target, write: PackedWrite, bytes: Uint8Array, lu: number, at: number): Written {
  const { connection } = target;
  const body = write.body === null ? null : bytes.subarray(write.body.from, write.body.to);
  if (write.expect === 'absent' && body !== null) {
    const rid = insertResource(target, write, stamped(body, write.stampAt, 1, lu), lu);
    if (rid !== undefined) return wrote(connection, write, { version: 1, lastUpdated: lu, created: true });
  }
  const current = find(connection, write);
  const isLive = current !== undefined && current.ord !== null;
  if (!isExpected(write.expect, current, isLive)) {
    throw new StoreError('version', `${write.type}/${write.id} is not as expected`, { at });
  }
  if (body === null && !isLive) return { version: 0, lastUpdated: lu, created: false };
  const version = (current?.version ?? 0) + 1;
  const stampedBody = body === null ? null : stamped(body, write.stampAt, version, lu);
  if (current === undefined) {
    if (stampedBody !== null) insertResource(target, write, stampedBody, lu);
  } else {
    replace(target, current, write, stampedBody, version, lu);
  }
  return wrote(connection, write, { version, lastUpdated: lu, created: body !== null && !isLive });
}

function isExpected(expect: PackedWrite['expect'], current: Current | undefined, isLive: boolean): boolean {
  if (expect === undefined) return true;
  return expect === 'absent' ? !isLive : isLive && current?.version === expect;
}

function wrote(connection: Connection, write: PackedWrite, written: Written): Written {
  connection.run(sql`INSERT INTO outbox (type, id, v) VALUES (${write.type}, ${write.id}, ${written.version})`);
  return written;
}

function find(connection: Connection, { type, id }: PackedWrite): Current | undefined {
  const row = connection.get(sql`SELECT rid, v, ord, keys, terms FROM resource WHERE type = ${type} AND id = ${id}`);
  if (row === undefined) return undefined;
  const [rid, version, ord, keys, terms] = row;
  return {
    rid: Number(rid),
    version: Number(version),
    ord: ord === null ? null : Number(ord),
    keys: String(keys),
    tokens: String(terms),
  };
}

/** The new row's id; undefined when the id is taken. */
function insertResource(
  { connection, terms }: Target,
  write: PackedWrite,
  body: Uint8Array,
  lu: number,
): number | undefined {
  const { type, id, ord, keys, tokens } = write;
  const insert = connection.statement(
    'INSERT INTO resource (type, id, v, lu, ord, keys, terms, body) VALUES (?, ?, 1, ?, ?, ?, ?, ?) ON CONFLICT (type, id) DO NOTHING',
  );
  const { changes, lastInsertRowid } = insert.run(type, id, lu, ord, keys, tokens, body);
  if (Number(changes) === 0) return undefined;
  const rid = Number(lastInsertRowid);
  addKeys(connection, keys, ord, rid);
  terms.set(rid, '', tokens);
  return rid;
}

function replace(
  { connection, terms }: Target,
  current: Current,
  write: PackedWrite,
  body: Uint8Array | null,
  version: number,
  lu: number,
): void {
  const { rid } = current;
  connection.run(
    sql`INSERT INTO history (rid, v, type, lu, keys, body) SELECT rid, v, type, lu, keys, body FROM resource WHERE rid = ${rid}`,
  );
  const ord = body === null ? null : write.ord;
  const keys = body === null ? current.keys : write.keys;
  connection.run(
    sql`UPDATE resource SET v = ${version}, lu = ${lu}, ord = ${ord}, keys = ${keys}, terms = ${write.tokens}, body = ${body} WHERE rid = ${rid}`,
  );
  reindexRow(connection, current, { ord, keys });
  terms.set(rid, current.tokens, write.tokens);
}

/** Makes the index rows of a resource those of its new keys; `ord` null: none. */
export function reindexRow(
  connection: Connection,
  current: { rid: number; ord: number | null; keys: string },
  next: { ord: number | null; keys: string },
): void {
  const { rid } = current;
  if (current.ord !== null && current.ord === next.ord) {
    if (current.keys === next.keys) return;
    const before: Key[] = JSON.parse(current.keys);
    const after: Key[] = JSON.parse(next.keys);
    const [had, has] = [new Set(before), new Set(after)];
    removeKeys(connection, JSON.stringify(before.filter((key) => !has.has(key))), current.ord, rid);
    addKeys(connection, JSON.stringify(after.filter((key) => !had.has(key))), current.ord, rid);
    return;
  }
  if (current.ord !== null) removeKeys(connection, current.keys, current.ord, rid);
  if (next.ord !== null) addKeys(connection, next.keys, next.ord, rid);
}

function addKeys(connection: Connection, keys: string, ord: number, rid: number): void {
  if (keys === '[]') return;
  connection
    .statement('INSERT OR IGNORE INTO idx (k, ord, rid) SELECT value, ?, ? FROM json_each(?)')
    .run(ord, rid, keys);
}

function removeKeys(connection: Connection, keys: string, ord: number, rid: number): void {
  if (keys === '[]') return;
  connection
    .statement('DELETE FROM idx WHERE ord = ?1 AND rid = ?2 AND k IN (SELECT value FROM json_each(?3))')
    .run(ord, rid, keys);
}

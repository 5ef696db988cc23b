// Verification: do rows, index and history agree? Problems are named by type and row id, never by content.
import { setImmediate as pause } from 'node:timers/promises';
import type { Columns, Connection } from './sql.ts';
import { limited, raw, sql } from './sql.ts';

const PAGE = 200;
/** Index entries looked at in one go. */
const INDEX_PAGE = 5_000;
/** Problems of one kind that are listed where they are found in one go. */
const LISTED_MAX = 1_000;

/** One sentence per problem; lets the event loop run between pages. `terms`: see termProblems, on another thread. */
export async function* verifyStore(
  connection: Connection,
  terms: () => Promise<readonly string[]>,
  onProgress: (done: number) => void,
): AsyncGenerator<string> {
  let after = 0;
  let done = 0;
  for (;;) {
    const rows = connection.all(
      sql`SELECT rid, type, id, v, lu, ord, keys, body FROM resource WHERE rid > ${after} ORDER BY rid ${limited(PAGE)}`,
    );
    for (const row of rows) yield* rowProblems(connection, row);
    done += rows.length;
    onProgress(done);
    if (rows.length < PAGE) break;
    after = Number(rows.at(-1)?.[0]);
    await pause();
  }
  yield* indexOrphans(connection);
  yield* historyOrphans(connection);
  yield* await terms();
}

/** Whether the index of terms is whole and holds the terms that the rows have, each once, and no others. */
export function termProblems(connection: Connection): string[] {
  const faults = connection
    .all(raw('PRAGMA integrity_check(term)'))
    .flatMap(([fault]) => (fault === 'ok' ? [] : [`terms: ${fault}`]));
  if (faults.length > 0) return faults;
  const missing = connection.all(sql`SELECT r.type, r.rid FROM resource r
    WHERE r.terms <> '' AND NOT EXISTS (SELECT 1 FROM term_docsize d WHERE d.id = r.rid) ${limited(LISTED_MAX)}`);
  const orphans = connection.all(sql`SELECT DISTINCT e.doc FROM term_entry e LEFT JOIN resource r ON r.rid = e.doc
    WHERE r.rid IS NULL OR instr(r.terms, ' ' || e.term || ' ') = 0 ${limited(LISTED_MAX)}`);
  const kept = connection.number(
    raw("SELECT sum(length(terms) - length(replace(terms, ' ', '')) - 1) FROM resource WHERE terms <> ''"),
  );
  const indexed = connection.number(raw('SELECT count(*) FROM term_entry'));
  return [
    ...missing.map(([type, rid]) => `${type} row ${rid}: its terms are not in the index`),
    ...orphans.map(([rid]) => `terms: an entry does not belong to row ${rid}`),
    ...(kept === indexed ? [] : [`terms: the rows have ${kept}, the index has ${indexed}`]),
  ];
}

function* rowProblems(connection: Connection, [rid, type, id, v, lu, ord, keys, body]: Columns): Generator<string> {
  const name = `${type} row ${rid}`;
  if ((ord === null) !== (body === null)) yield `${name}: clinical date and body disagree on whether it is deleted`;
  if (body instanceof Uint8Array) yield* bodyProblems(name, body, { type, id, v, lu });
  yield* indexProblems(connection, name, Number(rid), ord === null ? null : Number(ord), String(keys));
  const past = connection.all(sql`SELECT v, lu FROM history WHERE rid = ${rid ?? null} ORDER BY v`);
  if (past.length !== Number(v) - 1 || past.some((columns, at) => columns[0] !== at + 1)) {
    yield `${name}: history does not hold each version from 1 to ${Number(v) - 1} once`;
  }
}

function* bodyProblems(
  name: string,
  body: Uint8Array,
  columns: Record<'type' | 'id' | 'v' | 'lu', unknown>,
): Generator<string> {
  const parsed = parse(body);
  if (parsed === undefined) yield `${name}: the body is not JSON`;
  else if (parsed.id !== columns.id || parsed.resourceType !== columns.type)
    yield `${name}: the body is another resource's`;
  else if (parsed.meta?.versionId !== String(columns.v)) yield `${name}: the body's version is not the row's`;
  else if (Date.parse(String(parsed.meta.lastUpdated)) !== columns.lu)
    yield `${name}: the body's lastUpdated is not the row's`;
}

interface Stamped {
  resourceType?: unknown;
  id?: unknown;
  meta?: { versionId?: unknown; lastUpdated?: unknown };
}

function parse(body: Uint8Array): Stamped | undefined {
  try {
    return JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString()) as Stamped;
  } catch {
    return undefined;
  }
}

function* indexProblems(
  connection: Connection,
  name: string,
  rid: number,
  ord: number | null,
  keys: string,
): Generator<string> {
  if (ord === null) return;
  const missing = connection.number(sql`SELECT count(*) FROM json_each(${keys}) j
    WHERE NOT EXISTS (SELECT 1 FROM idx e WHERE e.k = j.value AND e.ord = ${ord} AND e.rid = ${rid})`);
  if (missing > 0) yield `${name}: ${missing} of its keys are not in the index`;
}

/** Entries whose row is gone, deleted, of another date, or lacks the key. */
async function* indexOrphans(connection: Connection): AsyncGenerator<string> {
  let after: Columns = ['', 0, 0];
  for (;;) {
    const page =
      connection.all(sql`SELECT i.k, i.ord, i.rid, coalesce(r.ord = i.ord AND EXISTS (SELECT 1 FROM json_each(r.keys) j WHERE j.value = i.k), 0)
      FROM (SELECT k, ord, rid FROM idx WHERE (k, ord, rid) > (${after[0] ?? ''}, ${after[1] ?? 0}, ${after[2] ?? 0}) ORDER BY k, ord, rid ${limited(INDEX_PAGE)}) i
      LEFT JOIN resource r ON r.rid = i.rid`);
    for (const [, , rid, isRight] of page) if (isRight !== 1) yield `index: an entry does not belong to row ${rid}`;
    if (page.length < INDEX_PAGE) return;
    after = page.at(-1) ?? after;
    await pause();
  }
}

function* historyOrphans(connection: Connection): Generator<string> {
  const orphans = connection.all(
    sql`SELECT DISTINCT h.rid FROM history h LEFT JOIN resource r ON r.rid = h.rid WHERE r.rid IS NULL ${limited(LISTED_MAX)}`,
  );
  for (const [rid] of orphans) yield `history: versions of row ${rid}, which does not exist`;
}

// History pages: current rows and replaced versions merged, newest first, by (lastUpdated, row id, version).
import { keysStarting } from '../match.ts';
import type { Condition, Key } from '../store.ts';
import { StoreError } from '../store.ts';
import { anyRow, holds, inRange } from './conditions.ts';
import type { Columns, Connection, Sql } from './sql.ts';
import { joined, limited, raw, sql } from './sql.ts';

/** What to look through, and from when; `current` as in HistorySearch. */
export interface HistoryQuery {
  scopes: readonly HistoryScope[];
  since?: number;
  until?: number;
  current?: { from: number; to: number };
  after?: VersionPlace;
  /** Prefixes of keys to hand back. */
  keysOf?: readonly Key[];
  limit: number;
}

/** A type that takes part: what of it is visible, and, where not all of it is asked for, which resources. */
export interface HistoryScope {
  type: string;
  where: Condition;
  ids?: readonly string[];
}

/** Where a version stands in a history. */
export interface VersionPlace {
  lu: number;
  rid: number;
  v: number;
}

export interface FoundVersion extends VersionPlace {
  type: string;
  id: string;
  body: Uint8Array | null;
  keys?: Key[];
}

/** Versions looked at between two glances at the clock. */
const CANDIDATES = 1_000;

/** Up to `limit` visible versions, newest first. `late` throws when the time is over. */
export function historyPage(connection: Connection, query: HistoryQuery, late: () => void): FoundVersion[] {
  const heads = query.scopes.flatMap((scope) => [
    ...visible(connection, 'resource', scope, query, late),
    ...visible(connection, 'history', scope, query, late),
  ]);
  const page = heads.sort(newestFirst).slice(0, query.limit);
  return page.flatMap((head) => {
    const found = version(connection, head, query.keysOf);
    return found === undefined ? [] : [found];
  });
}

/** The types that anything was ever stored under, by skipping from one to the next. */
export function typesPresent(connection: Connection): string[] {
  const found = connection.all(sql`WITH RECURSIVE present(type) AS (
    SELECT min(type) FROM resource
    UNION ALL SELECT (SELECT min(r.type) FROM resource r WHERE r.type > present.type) FROM present WHERE present.type IS NOT NULL)
    SELECT type FROM present WHERE type IS NOT NULL`);
  return found.map((columns) => String(columns[0]));
}

type Table = 'resource' | 'history';

/** The first `limit` versions of one table after the place asked for that may be seen. */
function visible(
  connection: Connection,
  table: Table,
  scope: HistoryScope,
  query: HistoryQuery,
  late: () => void,
): VersionPlace[] {
  if (scope.where.kind === 'none' || scope.ids?.length === 0) return [];
  const rows: VersionPlace[] = [];
  const check = checkOf(table, scope, query);
  const step = check === undefined ? query.limit : CANDIDATES;
  let after = query.after;
  while (rows.length < query.limit) {
    late();
    const newest = newestOf(table, scope, query, after, step);
    const candidates = connection.all(check === undefined ? newest : checked(newest, table, check)).map(candidateOf);
    rows.push(...candidates.filter((candidate) => candidate.isVisible));
    after = candidates.at(-1);
    if (candidates.length < step) break;
  }
  return rows.slice(0, query.limit);
}

function candidateOf([lu, rid, v, isVisible]: Columns): VersionPlace & { isVisible: boolean } {
  return { lu: Number(lu), rid: Number(rid), v: Number(v), isVisible: isVisible === undefined || isVisible === 1 };
}

function newestOf(
  table: Table,
  scope: HistoryScope,
  query: HistoryQuery,
  after: VersionPlace | undefined,
  limit: number,
): Sql {
  const bounds = [inRange(raw('d.lu'), rangeOf(query)), ...(after === undefined ? [] : [isOlder(table, after)])];
  return sql`SELECT d.lu, d.rid, d.v FROM ${versionsIn(table, scope)} AND ${joined(bounds, ' AND ')}
    ORDER BY d.lu DESC, d.rid DESC, d.v DESC ${limited(limit)}`;
}

/** Half-open, in ms. What was current before `to` had begun by then. */
function rangeOf({ since, until, current }: HistoryQuery): { from?: number; to?: number } {
  const ends = [...(until === undefined ? [] : [until + 1]), ...(current === undefined ? [] : [current.to])];
  return { ...(since === undefined ? {} : { from: since }), ...(ends.length === 0 ? {} : { to: Math.min(...ends) }) };
}

/** Versions of a type by its index, or those of some resources; ends in a condition. */
function versionsIn(table: Table, { type, ids }: HistoryScope): Sql {
  if (ids === undefined) return sql`${raw(`${table} d INDEXED BY ${table}_lu`)} WHERE d.type = ${type}`;
  const [id, ...others] = ids;
  if (id !== undefined && others.length === 0) return versionsOf(table, type, id);
  const named = sql`json_each(${JSON.stringify(ids)}) j CROSS JOIN resource`;
  if (table === 'resource') return sql`${named} d ON d.type = ${type} AND d.id = j.value WHERE 1`;
  return sql`${named} o ON o.type = ${type} AND o.id = j.value CROSS JOIN history d ON d.rid = o.rid WHERE 1`;
}

function versionsOf(table: Table, type: string, id: string): Sql {
  if (table === 'resource') return sql`resource d WHERE d.type = ${type} AND d.id = ${id}`;
  return sql`history d WHERE d.rid = (SELECT rid FROM resource WHERE type = ${type} AND id = ${id})`;
}

/** What must be looked up for each version `d`, with its current row `r` and, of a past one, its own row `h`. */
function checkOf(table: Table, { type, where }: HistoryScope, { current }: HistoryQuery): Sql | undefined {
  const isShown =
    where.kind === 'all' ? [] : [table === 'resource' ? holds(where, anyRow('r', type)) : versionVisible(where, type)];
  const wasCurrent = current === undefined || table === 'resource' ? [] : [lasted(current.from)];
  const checks = [...isShown, ...wasCurrent];
  return checks.length === 0 ? undefined : joined(checks, ' AND ');
}

/** The next version came after `from`, and not in the same instant as this one, which then never was the current one. */
function lasted(from: number): Sql {
  const next = raw(
    'coalesce((SELECT n.lu FROM history n WHERE n.rid = d.rid AND n.v = d.v + 1), (SELECT n.lu FROM resource n WHERE n.rid = d.rid))',
  );
  return sql`${next} > max(${from}, d.lu)`;
}

function checked(newest: Sql, table: Table, check: Sql): Sql {
  const past = raw(table === 'resource' ? '' : 'CROSS JOIN history h ON h.rid = d.rid AND h.v = d.v');
  return sql`SELECT d.lu, d.rid, d.v, (${check}) FROM (${newest}) d CROSS JOIN resource r ON r.rid = d.rid ${past}`;
}

/** A past version `h` shows only when it and the current row `r` may be seen. */
export function versionVisible(where: Condition, type: string): Sql {
  const past = { type, id: 'r.id', lu: 'h.lu', keys: 'h.keys' };
  return sql`(${holds(where, past)} AND ${holds(where, anyRow('r', type))})`;
}

/** A current row is the newest version of its row id, so it never comes after another version with the same place. */
function isOlder(table: Table, { lu, rid, v }: VersionPlace): Sql {
  return table === 'resource' ? sql`(d.lu, d.rid) < (${lu}, ${rid})` : sql`(d.lu, d.rid, d.v) < (${lu}, ${rid}, ${v})`;
}

function newestFirst(a: VersionPlace, b: VersionPlace): number {
  return b.lu - a.lu || b.rid - a.rid || b.v - a.v;
}

function version(
  connection: Connection,
  { lu, rid, v }: VersionPlace,
  keysOf: readonly Key[] | undefined,
): FoundVersion | undefined {
  const keys = keysOf === undefined ? raw('') : sql`, ${ofVersion('keys', v)}`;
  const row = connection.get(
    sql`SELECT r.type, r.id, ${ofVersion('body', v)}${keys} FROM resource r WHERE r.rid = ${rid}`,
  );
  if (row === undefined) return undefined;
  const found = { lu, rid, v, type: String(row[0]), id: String(row[1]), body: (row[2] ?? null) as Uint8Array | null };
  if (keysOf === undefined) return found;
  return { ...found, keys: keysStarting(JSON.parse(String(row[3] ?? '[]')) as Key[], keysOf) };
}

/** A column of the version `v` of the resource `r`, which may be the current one or a past one. */
function ofVersion(column: 'body' | 'keys', v: number): Sql {
  const name = raw(column);
  return sql`iif(r.v = ${v}, r.${name}, (SELECT h.${name} FROM history h WHERE h.rid = r.rid AND h.v = ${v}))`;
}

/** Throws StoreError('too-costly') when called after the budget is over. */
export function deadline(budgetMs: number): () => void {
  const end = performance.now() + budgetMs;
  return () => {
    if (performance.now() > end) tooLong();
  };
}

/** Throws StoreError('too-costly'). */
export function tooLong(): never {
  throw new StoreError('too-costly', 'The search takes too long: narrow it down, for example by patient or date');
}

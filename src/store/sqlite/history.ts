// History pages: current rows and replaced versions merged, newest first, by (lastUpdated, row id, version).
import type { Condition } from '../store.ts';
import { StoreError } from '../store.ts';
import { anyRow, holds, inRange } from './conditions.ts';
import type { Connection, Sql } from './sql.ts';
import { joined, raw, sql } from './sql.ts';

/** What to look through; `conditions` says for each type what is visible, and with it which types take part. */
export interface HistoryQuery {
  conditions: readonly { type: string; where: Condition }[];
  id?: string;
  since?: number;
  until?: number;
  after?: VersionPlace;
  limit: number;
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
}

/** Versions looked at between two glances at the clock. */
const CANDIDATES = 1_000;

/** Up to `limit` visible versions, newest first. `late` throws when the time is over. */
export function historyPage(connection: Connection, query: HistoryQuery, late: () => void): FoundVersion[] {
  const heads = query.conditions.flatMap(({ type, where }) => [
    ...visible(connection, 'resource', type, where, query, late),
    ...visible(connection, 'history', type, where, query, late),
  ]);
  const page = heads.sort(newestFirst).slice(0, query.limit);
  return page.flatMap((head) => {
    const found = version(connection, head);
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
  type: string,
  where: Condition,
  query: HistoryQuery,
  late: () => void,
): VersionPlace[] {
  if (where.kind === 'none') return [];
  const rows: VersionPlace[] = [];
  let after = query.after;
  while (rows.length < query.limit) {
    late();
    const candidates = connection.all(candidatesOf(table, type, query, after, where)).map((columns) => ({
      lu: Number(columns[0]),
      rid: Number(columns[1]),
      v: Number(columns[2]),
      isVisible: columns[3] === 1,
    }));
    rows.push(...candidates.filter((candidate) => candidate.isVisible));
    after = candidates.at(-1);
    if (candidates.length < stepSize(query, where)) break;
  }
  return rows.slice(0, query.limit);
}

function stepSize(query: HistoryQuery, where: Condition): number {
  return where.kind === 'all' ? query.limit : CANDIDATES;
}

function candidatesOf(
  table: Table,
  type: string,
  query: HistoryQuery,
  after: VersionPlace | undefined,
  where: Condition,
): Sql {
  const from = query.since;
  const to = query.until === undefined ? undefined : query.until + 1;
  const bounds = [
    inRange(raw('lu'), { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) }),
    ...(after === undefined ? [] : [isOlder(table, after)]),
  ];
  const limit = stepSize(query, where);
  const newest = sql`SELECT lu, rid, v FROM ${raw(table)} ${scope(table, type, query.id)} AND ${joined(bounds, ' AND ')}
    ORDER BY lu DESC, rid DESC, v DESC LIMIT ${limit}`;
  if (where.kind === 'all') return sql`SELECT lu, rid, v, 1 FROM (${newest})`;
  const current = sql`CROSS JOIN resource r ON r.rid = d.rid`;
  if (table === 'resource')
    return sql`SELECT d.lu, d.rid, d.v, ${holds(where, anyRow('r', type))} FROM (${newest}) d ${current}`;
  return sql`SELECT d.lu, d.rid, d.v, ${versionVisible(where, type)} FROM (${newest}) d ${current}
    CROSS JOIN history h ON h.rid = d.rid AND h.v = d.v`;
}

/** A past version `h` shows only when it and the current row `r` may be seen. */
export function versionVisible(where: Condition, type: string): Sql {
  const past = { type, id: 'r.id', lu: 'h.lu', keys: 'h.keys' };
  return sql`(${holds(where, past)} AND ${holds(where, anyRow('r', type))})`;
}

/** A current row is the newest version of its row id, so it never comes after another version with the same place. */
function isOlder(table: Table, { lu, rid, v }: VersionPlace): Sql {
  return table === 'resource' ? sql`(lu, rid) < (${lu}, ${rid})` : sql`(lu, rid, v) < (${lu}, ${rid}, ${v})`;
}

function scope(table: Table, type: string, id: string | undefined): Sql {
  if (id === undefined) return sql`INDEXED BY ${raw(`${table}_lu`)} WHERE type = ${type}`;
  if (table === 'resource') return sql`WHERE type = ${type} AND id = ${id}`;
  return sql`WHERE rid = (SELECT rid FROM resource WHERE type = ${type} AND id = ${id})`;
}

function newestFirst(a: VersionPlace, b: VersionPlace): number {
  return b.lu - a.lu || b.rid - a.rid || b.v - a.v;
}

function version(connection: Connection, { lu, rid, v }: VersionPlace): FoundVersion | undefined {
  const row = connection.get(
    sql`SELECT r.type, r.id, iif(r.v = ${v}, r.body, (SELECT h.body FROM history h WHERE h.rid = r.rid AND h.v = ${v}))
      FROM resource r WHERE r.rid = ${rid}`,
  );
  if (row === undefined) return undefined;
  return { lu, rid, v, type: String(row[0]), id: String(row[1]), body: (row[2] ?? null) as Uint8Array | null };
}

/** Throws StoreError('too-costly') when called after the budget is over. */
export function deadline(budgetMs: number): () => void {
  const end = performance.now() + budgetMs;
  return () => {
    if (performance.now() > end) {
      throw new StoreError('too-costly', 'The search takes too long: narrow it down, for example by patient or date');
    }
  };
}

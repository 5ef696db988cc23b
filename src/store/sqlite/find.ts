// Runs plans on a connection: walks in steps, collected and sorted sets, counts. The same code serves the main thread
// (small steps), the reader thread (large steps) and the checks within a write transaction.
import { prefixSpan } from '../conditions.ts';
import { NO_KEY_ASCENDING, type Position, type SortValue } from '../cursor.ts';
import { compareKeys, keysStarting } from '../match.ts';
import type { Few, Plan, Span, Walk } from '../planner.ts';
import { COLLECT_LIMIT } from '../planner.ts';
import type { Condition, Key, OrdRange, Part, SortKey, Source } from '../store.ts';
import { StoreError, typeKey } from '../store.ts';
import { hasPrefix, holds, inRange, isKeysOnly, liveRow, within } from './conditions.ts';
import type { Columns, Connection, Sql } from './sql.ts';
import { joined, keysText, limited, raw, sql } from './sql.ts';
import { entriesOf } from './terms.ts';

export type WalkPlan = Extract<Plan, { kind: 'walk' }>;
export type SortPlan = Extract<Plan, { kind: 'sort' }>;

/** What to hand back of each row. */
export interface Shape {
  bodyless: boolean;
  keysOf: readonly Key[];
}

/** A row found, ready to cross threads. */
export interface Found {
  rid: number;
  /** Its values in the order of the search: with `rid`, its position. */
  at: readonly SortValue[];
  id: string;
  version: number;
  lastUpdated: number;
  body: Uint8Array | null;
  keys?: Key[];
}

/** `resume`: the page is not full, and candidates remain to be looked at from here. */
export interface Stretch {
  rows: Found[];
  resume?: Position;
  /** Candidates looked at; a walk counts them only where it is to explain itself, since that reads the list again. */
  examined?: number;
}

/** Rows looked at between two glances at the clock. */
const CHUNK = 2_000;
const NO_BODY = new Uint8Array();

// ---- walks ---------------------------------------------------------------------------------------------------------

/** One list to read in order: the candidates after a position, and what a candidate must fulfil in this list. */
interface Stage {
  /** Columns `value` and `rid`, in order, ending in LIMIT and OFFSET. */
  candidates(after: Position | undefined, limit: number, offset: number): Sql;
  guard: Sql;
  indexed?: { rid: string; ord: string };
}

export interface StepOptions {
  after: Position | undefined;
  limit: number;
  /** How many rows of the list to look at. */
  candidates: number;
  shape: Shape;
  explain?: boolean;
}

/** Looks at the next rows of the list after the position, and stops when `limit` rows are found. */
export function walkStep(connection: Connection, plan: WalkPlan, options: StepOptions): Stretch {
  const stages = stagesOf(plan.by, plan.type);
  const at = stageAt(plan.by, options.after);
  const stage = stages[at];
  if (stage === undefined) return { rows: [] };
  const step = stageStep(connection, plan, stage, options);
  if (step.resume !== undefined || step.rows.length >= options.limit || at === stages.length - 1) return step;
  return { ...step, resume: secondStart(plan.by) };
}

function stageStep(connection: Connection, plan: WalkPlan, stage: Stage, options: StepOptions): Stretch {
  const step = stageRows(connection, plan, stage, options);
  if (step.rows.length >= options.limit) return step;
  const { after, candidates } = options;
  const edge = connection.get(sql`SELECT value, rid FROM (${stage.candidates(after, 1, candidates - 1)})`);
  return edge === undefined ? step : { ...step, resume: { values: [edge[0] as SortValue], tie: Number(edge[1]) } };
}

function stageRows(connection: Connection, plan: WalkPlan | SortPlan, stage: Stage, options: StepOptions): Stretch {
  const { after, limit, candidates, shape } = options;
  const place = { ...liveRow('r', plan.type), ...(stage.indexed === undefined ? {} : { indexed: stage.indexed }) };
  const found =
    connection.all(sql`SELECT d.value, ${columnsOf(shape)} FROM (${stage.candidates(after, candidates, 0)}) d
    CROSS JOIN resource r ON r.rid = d.rid
    WHERE r.type = ${plan.type} AND in_time() AND ${stage.guard} AND ${holds(plan.residual, place)} ${limited(limit)}`);
  const rows = found.map((columns) => foundRow(columns, 1, [columns[0] as SortValue], shape));
  if (options.explain !== true) return { rows };
  const last = rows.length >= limit ? rows.at(-1) : undefined;
  return { rows, examined: examinedOf(connection, stage, options, last) };
}

/** The candidates of a step up to the last row found; all of them where the page was not filled. */
function examinedOf(connection: Connection, stage: Stage, options: StepOptions, last: Found | undefined): number {
  const places = connection.all(stage.candidates(options.after, options.candidates, 0));
  const end = places.findIndex(([value, rid]) => rid === last?.rid && value === last?.at[0]);
  return end < 0 ? places.length : end + 1;
}

function stagesOf(walk: Walk, type: string): readonly Stage[] {
  if (walk.kind === 'ord') return [ordStage(walk)];
  if (walk.kind === 'lastUpdated') return [lastUpdatedStage(walk, type)];
  return [sortKeyStage(walk), withoutKeyStage(walk, type)];
}

function stageAt(walk: Walk, after: Position | undefined): number {
  if (walk.kind !== 'keys' || after === undefined) return 0;
  return (after.values[0] ?? null) === noKey(walk.descending) ? 1 : 0;
}

/** The position before all rows of the second stage of a sort by keys. */
function secondStart(walk: Walk): Position {
  const descending = walk.kind === 'keys' && walk.descending;
  return { values: [noKey(descending)], tie: descending ? Number.MAX_SAFE_INTEGER : 0 };
}

/** What a row without any key sorts by: it comes last. */
const noKey = (descending: boolean): SortValue => (descending ? null : NO_KEY_ASCENDING);

function ordStage(walk: Extract<Walk, { kind: 'ord' }>): Stage {
  const direction = raw(walk.descending ? 'DESC' : 'ASC');
  return {
    guard: raw('1'),
    indexed: { rid: 'd.rid', ord: 'd.value' },
    candidates(after, limit, offset) {
      const stretch = ordStretch(walk, after);
      const lists = padded(walk.keys).map((key) => sql`SELECT ord AS value, rid FROM idx WHERE k = ${key}${stretch}`);
      // UNION with this ORDER BY merges lists that are read in order, and stops at the limit.
      return sql`${joined(lists, ' UNION ')} ORDER BY 1 ${direction}, 2 ${direction} ${limited(limit)} OFFSET ${offset}`;
    },
  };
}

/**
 * Where in a list the walk goes on and where it ends. A position within the range takes the place of the bound that it
 * lies behind: of two bounds on one side SQLite enters the list at one, and reads on from there.
 */
function ordStretch({ range = {}, descending }: Extract<Walk, { kind: 'ord' }>, after: Position | undefined): Sql {
  const { from, to } = range;
  const [near, far] = descending ? [to, from] : [from, to];
  const at = Number(after?.values[0]);
  const isBeyond = after !== undefined && (near === undefined || (descending ? at < near : at >= near));
  const start = isBeyond
    ? sql` AND (ord, rid) ${raw(descending ? '<' : '>')} (${at}, ${after.tie})`
    : sql`${ordBound(near, descending ? '<' : '>=')}`;
  return sql`${start}${ordBound(far, descending ? '>=' : '<')}`;
}

const ordBound = (bound: number | undefined, comparison: '<' | '>='): Sql =>
  bound === undefined ? raw('') : sql` AND ord ${raw(comparison)} ${bound}`;

const ordIn = ({ from, to }: OrdRange = {}): Sql => sql`${ordBound(from, '>=')}${ordBound(to, '<')}`;

/** The keys with the last repeated up to a power of two, so that few texts serve lists of any length. */
function padded(keys: readonly Key[]): readonly Key[] {
  const size = 2 ** Math.ceil(Math.log2(keys.length));
  const last = keys.at(-1) ?? '';
  return [...keys, ...new Array<Key>(size - keys.length).fill(last)];
}

function lastUpdatedStage(walk: Extract<Walk, { kind: 'lastUpdated' }>, type: string): Stage {
  const direction = raw(walk.descending ? 'DESC' : 'ASC');
  return {
    guard: raw('r.ord IS NOT NULL'),
    candidates(after, limit, offset) {
      const start =
        after === undefined
          ? raw('')
          : sql` AND (lu, rid) ${raw(walk.descending ? '<' : '>')} (${after.values[0] ?? 0}, ${after.tie})`;
      return sql`SELECT lu AS value, rid FROM resource INDEXED BY resource_lu WHERE type = ${type} AND ${inRange(raw('lu'), walk)}${start}
        ORDER BY lu ${direction}, rid ${direction} ${limited(limit)} OFFSET ${offset}`;
    },
  };
}

function sortKeyStage(walk: Extract<Walk, { kind: 'keys' }>): Stage {
  const { from, to } = prefixSpan(walk.prefix);
  const [direction, ahead] = walk.descending ? [raw('DESC'), raw('<')] : [raw('ASC'), raw('>')];
  const better = walk.descending
    ? sql`j.value > d.value AND j.value < ${to}`
    : sql`j.value >= ${from} AND j.value < d.value`;
  return {
    guard: sql`NOT EXISTS (SELECT 1 FROM json_each(r.keys) j WHERE ${better})`,
    candidates(after, limit, offset) {
      const at = after?.values[0] ?? null;
      const range =
        at === null
          ? sql`k >= ${from} AND k < ${to}`
          : sql`k ${ahead}= ${at} AND ${walk.descending ? sql`k >= ${from}` : sql`k < ${to}`} AND (k ${ahead} ${at} OR rid ${ahead} ${after?.tie ?? 0})`;
      return sql`SELECT k AS value, rid FROM idx WHERE ${range} ORDER BY k ${direction}, rid ${direction} ${limited(limit)} OFFSET ${offset}`;
    },
  };
}

function withoutKeyStage(walk: Extract<Walk, { kind: 'keys' }>, type: string): Stage {
  const [direction, ahead] = walk.descending ? [raw('DESC'), raw('<')] : [raw('ASC'), raw('>')];
  return {
    guard: sql`NOT ${hasPrefix(walk.prefix, liveRow('r', type))}`,
    candidates(after, limit, offset) {
      const start = after === undefined ? raw('') : sql` AND rid ${ahead} ${after.tie}`;
      return sql`SELECT ${noKey(walk.descending)} AS value, rid FROM idx WHERE k = ${typeKey(type)}${start} ORDER BY rid ${direction} ${limited(limit)} OFFSET ${offset}`;
    },
  };
}

// ---- sets ----------------------------------------------------------------------------------------------------------

/** The page of a collected and sorted set. `late` is asked now and then and throws when the time is over. */
export function sortedPage(
  connection: Connection,
  plan: SortPlan,
  options: { after: Position | undefined; limit: number; shape: Shape; explain?: boolean; late: () => void },
): Stretch {
  if (isByOrd(plan)) return stageRows(connection, plan, setStage(plan), { ...options, candidates: COLLECT_LIMIT });
  const { ords, isAll } = collect(connection, plan.source, plan.type, COLLECT_LIMIT);
  if (!isAll) throw tooMany();
  const compare = comparison(plan.order);
  const values = joined(plan.order.map(sortColumn), ', ');
  const places: Position[] = [];
  for (const chunk of chunks([...ords.keys()])) {
    options.late();
    for (const columns of connection.all(sql`SELECT r.rid, ${values} ${matching(plan, chunk)}`)) {
      const place = { values: columns.slice(1) as SortValue[], tie: Number(columns[0]) };
      if (options.after === undefined || compare(place, options.after) > 0) places.push(place);
    }
  }
  const rows = rowsOf(connection, places.sort(compare).slice(0, options.limit), options.shape);
  return { rows, examined: ords.size };
}

/** Sets are sorted by clinical date in the statement that reads them. */
export function isByOrd({ order }: SortPlan): boolean {
  return order.length === 1 && order[0]?.by === 'ord';
}

/**
 * A set as a list: its index entries, which carry the clinical date, sorted, so that the residual is checked from the
 * front and a page costs the rows it looks at. The planner sorts sets by date that are far below COLLECT_LIMIT.
 */
function setStage({ source, type, order }: SortPlan): Stage {
  const [direction, ahead] = order[0]?.descending === true ? [raw('DESC'), raw('<')] : [raw('ASC'), raw('>')];
  return {
    guard: raw('r.ord IS NOT NULL'),
    indexed: { rid: 'd.rid', ord: 'd.value' },
    candidates(after, limit, offset) {
      const entries = joined(listsOf(source, type), ' UNION ALL ');
      const start =
        after === undefined ? raw('') : sql` WHERE (ord, rid) ${ahead} (${after.values[0] ?? 0}, ${after.tie})`;
      return sql`SELECT DISTINCT ord AS value, rid FROM (${entries})${start} ORDER BY 1 ${direction}, 2 ${direction} ${limited(limit)} OFFSET ${offset}`;
    },
  };
}

/** How many rows of the set match; counting stops at `cap`. */
export function countMatches(connection: Connection, plan: SortPlan, cap: number, late: () => void): number {
  const { source } = plan;
  const [part] = source.kind === 'keys' && source.of.length === 1 ? source.of : [];
  const list = source.kind === 'type' ? { key: typeKey(plan.type) } : part;
  if (list !== undefined && 'key' in list && isKeysOnly(plan.residual)) return countList(connection, plan, list, cap);
  const { ords, isAll } = collect(connection, source, plan.type, COLLECT_LIMIT);
  let count = 0;
  for (const chunk of chunks([...ords.keys()])) {
    late();
    count += connection.number(sql`SELECT count(*) ${matching(plan, chunk)}`);
    if (count >= cap) return cap;
  }
  if (!isAll) throw tooMany();
  return count;
}

function countList(
  connection: Connection,
  plan: SortPlan,
  { key, ord }: { key: Key; ord?: OrdRange },
  cap: number,
): number {
  const isOwn = key === typeKey(plan.type);
  const all: Condition = {
    kind: 'and',
    of: isOwn ? [plan.residual] : [{ kind: 'key', key: typeKey(plan.type) }, plan.residual],
  };
  const where = holds(all, { ...liveRow('r', plan.type), indexed: { rid: 'd.rid', ord: 'd.ord' } });
  return connection.number(
    sql`SELECT count(*) FROM (SELECT 1 FROM idx d WHERE d.k = ${key}${ordIn(ord)} AND in_time() AND ${where} ${limited(cap)})`,
  );
}

/** Entries of the lists of a source, up to `cap`: the planner's measure of size. */
export function countSource(connection: Connection, source: Source, type: string, cap: number): number {
  if (source.kind === 'ids') return Math.min(source.ids.length, cap);
  let count = 0;
  for (const list of source.kind === 'term' ? [entriesOf(source)] : listsOf(source, type)) {
    count += connection.number(sql`SELECT count(*) FROM (${list} ${limited(cap - count)})`);
    if (count >= cap) return cap;
  }
  return count;
}

/** See Probe.keysIn: from each key the index leads to the next, however many entries it has. */
export function keysIn(
  connection: Connection,
  { from, to }: { from: Key; to: Key },
  max: number,
): readonly Key[] | undefined {
  const keys: Key[] = [];
  let row = connection.get(sql`SELECT k FROM idx WHERE k >= ${from} AND k < ${to} ORDER BY k LIMIT 1`);
  while (row !== undefined) {
    const key = String(row[0]);
    if (keys.length === max) return undefined;
    keys.push(key);
    row = connection.get(sql`SELECT k FROM idx WHERE k > ${key} AND k < ${to} ORDER BY k LIMIT 1`);
  }
  return keys;
}

/** See Probe.ordsIn. */
export function ordsIn(connection: Connection, span: Span, max: number): OrdRange | undefined {
  const list = sql`SELECT ord FROM idx WHERE k >= ${span.from} AND k < ${span.to}${within(span.within, 'k')}`;
  const query = sql`SELECT count(*), min(ord), max(ord) FROM (${list} ${limited(max + 1)})`;
  const [count, lowest, highest] = connection.get(query) ?? [];
  if (Number(count) > max) return undefined;
  return lowest === null ? { from: 0, to: 0 } : { from: Number(lowest), to: Number(highest) + 1 };
}

/** See Probe.few. */
export function fewMatches(
  connection: Connection,
  plan: Plan,
  { limit, examine, prefix }: { limit: number; examine: number; prefix?: Key },
): Few | undefined {
  if (plan.kind !== 'sort') return plan.kind === 'none' ? [] : undefined;
  const from = candidatesOf(connection, plan, examine);
  if (from === undefined) return undefined;
  const keys = raw(prefix === undefined ? "'[]'" : 'r.keys');
  const found = connection.all(sql`SELECT r.id, ${keys} ${from} AND ${isMatch(plan)} ${limited(limit + 1)}`);
  if (found.length > limit) return undefined;
  const keysOf = prefix === undefined ? [] : [prefix];
  return found.map(([id, keys]) => ({ id: String(id), keys: keysStarting(JSON.parse(String(keys)), keysOf) }));
}

/** FROM and the first of WHERE for the rows of a source; undefined when they are more than `limit`. */
function candidatesOf(connection: Connection, { source, type }: SortPlan, limit: number): Sql | undefined {
  if (source.kind === 'ids') {
    const ids = [...new Set(source.ids)];
    const list = JSON.stringify(ids);
    return ids.length > limit
      ? undefined
      : sql`FROM json_each(${list}) c CROSS JOIN resource r ON r.type = ${type} AND r.id = c.value WHERE r.ord IS NOT NULL`;
  }
  const { ords, isAll } = collect(connection, source, type, limit);
  return isAll ? rowsAt([...ords.keys()]) : undefined;
}

/** The row ids of a source, each with its clinical date; not all when its lists hold more than `limit` entries. */
function collect(
  connection: Connection,
  source: Source,
  type: string,
  limit: number,
): { ords: ReadonlyMap<number, number>; isAll: boolean } {
  const ords = new Map<number, number>();
  let left = limit;
  for (const list of listsOf(source, type)) {
    const found = connection.all(sql`${list} ${limited(left + 1)}`);
    for (const [rid, ord] of found) ords.set(Number(rid), Number(ord));
    if (found.length > left) return { ords, isAll: false };
    left -= found.length;
  }
  return { ords, isAll: true };
}

/** Queries for the row ids and dates of a source; together they may name a row more than once. */
function listsOf(source: Source, type: string): readonly Sql[] {
  if (source.kind === 'type') return [sql`SELECT rid, ord FROM idx WHERE k = ${typeKey(type)}`];
  if (source.kind === 'lastUpdated') {
    return [
      sql`SELECT rid, ord FROM resource INDEXED BY resource_lu WHERE type = ${type} AND ${inRange(raw('lu'), source)}`,
    ];
  }
  if (source.kind === 'ids') {
    const ids = JSON.stringify(source.ids);
    return [
      sql`SELECT r.rid, r.ord FROM json_each(${ids}) j CROSS JOIN resource r ON r.type = ${type} AND r.id = j.value`,
    ];
  }
  // The limit that is put to the list must end the reading of entries, not of rows alone.
  if (source.kind === 'term')
    return [sql`SELECT r.rid, r.ord FROM (${entriesOf(source)}) t CROSS JOIN resource r ON r.rid = t.rid`];
  const keys = source.of.flatMap((part) => ('key' in part && part.ord === undefined ? [part.key] : []));
  const others = source.of.filter((part) => !('key' in part) || part.ord !== undefined);
  const plain = others.filter((part) => 'from' in part && part.within === undefined);
  if (plain.length <= LISTS_ALONE_MAX) return [...listsOfKeys(keys), ...others.map(listOfPart)];
  const ruled = others.filter((part) => !plain.includes(part));
  return [...listsOfKeys(keys), listOfSpans(plain), ...ruled.map(listOfPart)];
}

/** Beyond, lists become one: SQLite takes 500 in one query. */
const LISTS_ALONE_MAX = 32;

function listOfSpans(parts: readonly Part[]): Sql {
  const bounds = parts.flatMap((part) => ('from' in part ? [[part.from.toWellFormed(), part.to.toWellFormed()]] : []));
  return sql`SELECT i.rid, i.ord FROM json_each(${JSON.stringify(bounds)}) j
    CROSS JOIN idx i ON i.k >= json_extract(j.value, '$[0]') AND i.k < json_extract(j.value, '$[1]')`;
}

function listsOfKeys(keys: readonly Key[]): readonly Sql[] {
  if (keys.length < 2) return keys.map((key) => sql`SELECT rid, ord FROM idx WHERE k = ${key}`);
  return [sql`SELECT i.rid, i.ord FROM json_each(${keysText(keys)}) j CROSS JOIN idx i ON i.k = j.value`];
}

function listOfPart(part: Part): Sql {
  if ('key' in part) return sql`SELECT rid, ord FROM idx WHERE k = ${part.key}${ordIn(part.ord)}`;
  return sql`SELECT rid, ord FROM idx WHERE k >= ${part.from} AND k < ${part.to}${within(part.within, 'k')}`;
}

/** FROM and WHERE for those of some rows that are live, of the type, and fulfil the residual. */
function matching(plan: SortPlan, rids: readonly number[]): Sql {
  return sql`${rowsAt(rids)} AND ${isMatch(plan)}`;
}

function rowsAt(rids: readonly number[]): Sql {
  return sql`FROM json_each(${JSON.stringify(rids)}) c CROSS JOIN resource r ON r.rid = c.value WHERE r.ord IS NOT NULL`;
}

function isMatch({ type, residual }: SortPlan): Sql {
  return sql`r.type = ${type} AND in_time() AND ${holds(residual, liveRow('r', type))}`;
}

function sortColumn(sort: SortKey): Sql {
  if (sort.by !== 'keys') return raw(sort.by === 'ord' ? 'r.ord' : 'r.lu');
  const { from, to } = prefixSpan(sort.prefix);
  const pick = raw(sort.descending ? 'max' : 'min');
  const key = sql`(SELECT ${pick}(j.value) FROM json_each(r.keys) j WHERE j.value >= ${from} AND j.value < ${to})`;
  return sort.descending ? key : sql`coalesce(${key}, ${NO_KEY_ASCENDING})`;
}

/** The total order of positions: the sort keys, then the row id in the direction of the last one. */
function comparison(order: readonly SortKey[]): (a: Position, b: Position) => number {
  return (a, b) => {
    for (const [at, sort] of order.entries()) {
      const sign = compareValues(a.values[at] ?? null, b.values[at] ?? null);
      if (sign !== 0) return sort.descending ? -sign : sign;
    }
    const tie = Number(a.tie) - Number(b.tie);
    return order.at(-1)?.descending === true ? -tie : tie;
  };
}

function compareValues(a: SortValue, b: SortValue): number {
  if (a === null || b === null) return Number(a !== null) - Number(b !== null);
  return typeof a === 'string' && typeof b === 'string' ? compareKeys(a, b) : Number(a) - Number(b);
}

function rowsOf(connection: Connection, places: readonly Position[], shape: Shape): Found[] {
  const values = new Map(places.map((place) => [Number(place.tie), place.values]));
  const rids = JSON.stringify([...values.keys()]);
  const found = connection.all(
    sql`SELECT ${columnsOf(shape)} FROM json_each(${rids}) c CROSS JOIN resource r ON r.rid = c.value`,
  );
  return found.map((columns) => foundRow(columns, 0, values.get(Number(columns[0])) ?? [], shape));
}

// ---- rows ----------------------------------------------------------------------------------------------------------

function columnsOf(shape: Shape): Sql {
  return raw(`r.rid, r.id, r.v, r.lu${shape.bodyless ? '' : ', r.body'}${shape.keysOf.length > 0 ? ', r.keys' : ''}`);
}

function foundRow(columns: Columns, at: number, values: readonly SortValue[], shape: Shape): Found {
  const keys = shape.keysOf.length > 0 ? columns.at(-1) : undefined;
  return {
    rid: Number(columns[at]),
    at: values,
    id: String(columns[at + 1]),
    version: Number(columns[at + 2]),
    lastUpdated: Number(columns[at + 3]),
    body: shape.bodyless ? NO_BODY : (columns[at + 4] as Uint8Array),
    ...(keys === undefined ? {} : { keys: keysStarting(JSON.parse(String(keys)) as Key[], shape.keysOf) }),
  };
}

function* chunks(rids: readonly number[]): Generator<readonly number[]> {
  for (let at = 0; at < rids.length; at += CHUNK) yield rids.slice(at, at + CHUNK);
}

function tooMany(): StoreError {
  return new StoreError('too-costly', `More than ${COLLECT_LIMIT} candidates would have to be sorted or counted`);
}

// Search and count: the planner's plan as one find or one aggregation with the index named, and the probes it asks for.
import type { ClientSession, Document } from 'mongodb';
import { prefixSpan } from '../conditions.ts';
import { badCursor, NO_KEY_ASCENDING, type Position, type SortValue, searchCursor, searchPosition } from '../cursor.ts';
import { compareKeys, inSpan } from '../match.ts';
import { type Few, type Plan, type Probe, plan, planCount, type Walk } from '../planner.ts';
import type { Alias, Check, Count, Filter, Key, Page, Row, Search, SortKey, Source } from '../store.ts';
import { typeKey } from '../store.ts';
import { allOf, compile, keysWith, LIVE, lastUpdatedFilter, sourceFilter, unindexed } from './compile.ts';
import { Budget, told } from './faults.ts';
import { BY_UPDATED, type Collections, type ResourceDoc } from './layout.ts';
import { objectIdOf, rowOf } from './rows.ts';

const BY_ORD: SortKey = { by: 'ord', descending: true };

/** What a query runs in: the collections, the time it may take, and the transaction it belongs to, if any. */
interface Scope {
  on: Collections;
  budget: Budget;
  session?: ClientSession;
}

/** Makes a probe remember sizes: see store/sizes.ts. */
type Remember = (probe: Probe) => Probe;

type Found = Pick<ResourceDoc, '_id' | 't' | 'id' | 'v' | 'lu' | 'ord' | 'tie' | 'idx' | 'body'> & Document;

export async function searchPage(on: Collections, search: Search, filter: Filter, remember: Remember): Promise<Page> {
  const scope: Scope = { on, budget: new Budget(search.budgetMs) };
  const order = search.order.length > 0 ? search.order : [BY_ORD];
  const after = search.after === undefined ? undefined : positionOf(search.type, order, search.after);
  const chosen = await plan({ type: search.type, where: search.where, order }, filter, remember(probeIn(scope)));
  if (chosen.kind === 'none') return { rows: [] };
  const query = queryOf(chosen, { limit: search.limit + 1, ...(after === undefined ? {} : { after }) });
  const project = projection(order, search);
  const found = await runQuery(scope, query, project);
  const shown = found.slice(0, search.limit);
  const rows = shown.map((doc) => shownRow(doc, search));
  const last = shown.at(-1);
  if (found.length <= search.limit || last === undefined) return { rows };
  const position: Position = { values: valuesOf(order, last), tie: last.tie.toHexString() };
  return { rows, next: searchCursor(search.type, order, position) };
}

export async function countMatches(
  on: Collections,
  alias: Alias,
  options: { cap: number; budgetMs: number },
  filter: Filter,
  remember: Remember,
): Promise<Count> {
  const scope: Scope = { on, budget: new Budget(options.budgetMs) };
  const chosen = await planCount(alias, filter, remember(probeIn(scope)));
  if (chosen.kind === 'none') return { count: 0, exact: true };
  const count = await countQuery(scope, queryOf(chosen, { limit: options.cap + 1, isUnordered: true }));
  return { count: Math.min(count, options.cap), exact: count <= options.cap };
}

/** Whether a check still holds, as seen by the transaction of the session. */
export async function isHolding(
  on: Collections,
  check: Check,
  options: { session: ClientSession; budgetMs: number },
): Promise<boolean> {
  const scope: Scope = { on, budget: new Budget(options.budgetMs), session: options.session };
  const chosen = await planCount(check, check.filter, probeIn(scope));
  const found =
    chosen.kind === 'none'
      ? []
      : await runQuery(scope, queryOf(chosen, { limit: check.atMost, isUnordered: true }), { id: 1 });
  const ids = new Set(check.ids);
  return found.length === ids.size && found.every((doc) => ids.has(doc.id));
}

// ---- probes ------------------------------------------------------------------------------------------------------

function probeIn(scope: Scope): Probe {
  return {
    walksKeys: false,
    count: (source, type, cap) => countSource(scope, source, type, cap),
    few: (chosen, options) => few(scope, chosen, options),
  };
}

async function countSource(scope: Scope, source: Source, type: string, cap: number): Promise<number> {
  if (source.kind === 'ids') return source.ids.length;
  const { filter, hint } = sourceFilter(source, type);
  // Of equal keys the index alone is read: that a list may hold another type's rows does not matter for a choice.
  const isKeysAlone = source.kind === 'keys' && source.of.every((part) => 'key' in part);
  const { t: _, ...keysAlone } = filter;
  return countQuery(scope, { filter: isKeysAlone ? keysAlone : filter, hint, stages: [], limit: Math.max(cap, 1) });
}

async function few(
  scope: Scope,
  chosen: Plan,
  options: { limit: number; examine: number; prefix?: Key },
): Promise<Few | undefined> {
  if (chosen.kind === 'none') return [];
  const { prefix } = options;
  const project = { id: 1, ...(prefix === undefined ? {} : { keys: keysWith(prefix) }) };
  const found = await runQuery(scope, queryOf(chosen, { limit: options.limit + 1, isUnordered: true }), project);
  if (found.length > options.limit) return undefined;
  return found.map((doc) => ({ id: doc.id, keys: Array.isArray(doc.keys) ? doc.keys : [] }));
}

// ---- queries -----------------------------------------------------------------------------------------------------

/** A query: `filter` on the index named, then `sort`, `stages` and at last `limit`; without stages it is a find. */
interface Query {
  filter: Document;
  hint: Document;
  sort?: Document;
  stages: Document[];
  limit: number;
}

interface Shape {
  limit: number;
  after?: Position;
  isUnordered?: boolean;
}

type Chosen = Exclude<Plan, { kind: 'none' }>;

function queryOf(chosen: Chosen, shape: Shape): Query {
  const { filter: source, hint } =
    chosen.kind === 'walk' ? walkFilter(chosen.by, chosen.type) : sourceFilter(chosen.source, chosen.type);
  const { filter, stages, after } = compile(chosen.residual);
  const joined = after === undefined ? [] : [...stages, { $match: after }];
  const { order } = chosen;
  const isStored = order.every((sort) => sort.by !== 'keys');
  if (shape.isUnordered === true) {
    return { filter: allOf([source, unindexed(filter)]), hint, stages: joined, limit: shape.limit };
  }
  const beyond = shape.after === undefined ? {} : beyondFilter(order, shape.after);
  if (isStored) {
    const start = shape.after === undefined ? {} : startOf(order, shape.after);
    const whole = allOf([source, start, unindexed(beyond), unindexed(filter)]);
    return { filter: whole, hint, sort: sortOf(order), stages: joined, limit: shape.limit };
  }
  const computed = [{ $set: sortFields(order) }, ...(shape.after === undefined ? [] : [{ $match: beyond }])];
  return {
    filter: allOf([source, unindexed(filter)]),
    hint,
    stages: [...joined, ...computed, { $sort: sortOf(order) }],
    limit: shape.limit,
  };
}

/**
 * A list in its own order. The list of sort keys is not walked but sorted: an index on an array gives no order by its
 * own elements, only by what follows them.
 */
function walkFilter(by: Walk, type: string): { filter: Document; hint: Document } {
  switch (by.kind) {
    case 'ord':
      return sourceFilter(listSource(by.keys, type), type);
    case 'lastUpdated':
      return { filter: { t: type, ...lastUpdatedFilter(by.from, by.to), ...LIVE }, hint: BY_UPDATED };
    case 'keys':
      return sourceFilter({ kind: 'type' }, type);
  }
}

function listSource(keys: readonly Key[], type: string): Source {
  const [only] = keys;
  return keys.length === 1 && only === typeKey(type)
    ? { kind: 'type' }
    : { kind: 'keys', of: keys.map((key) => ({ key })) };
}

async function runQuery(scope: Scope, query: Query, project: Document): Promise<Found[]> {
  const options = optionsOf(scope, query);
  const { filter, sort, stages, limit } = query;
  if (stages.length === 0) {
    const find = scope.on.resource.find(filter, { ...options, projection: project, limit, batchSize: limit + 1 });
    return told(() => (sort === undefined ? find : find.sort(sort)).toArray());
  }
  const pipeline = [
    { $match: filter },
    ...(sort === undefined ? [] : [{ $sort: sort }]),
    ...stages,
    { $limit: limit },
    { $project: project },
  ];
  const found = scope.on.resource.aggregate<Found>(pipeline, { ...options, batchSize: limit + 1, allowDiskUse: false });
  return told(() => found.toArray());
}

async function countQuery(scope: Scope, query: Query): Promise<number> {
  const pipeline = [{ $match: query.filter }, ...query.stages, { $limit: query.limit }, { $count: 'n' }];
  const counted = await told(() =>
    scope.on.resource.aggregate<{ n: number }>(pipeline, optionsOf(scope, query)).toArray(),
  );
  return counted[0]?.n ?? 0;
}

function optionsOf(scope: Scope, query: Query): { hint: Document; maxTimeMS: number; session?: ClientSession } {
  return {
    hint: query.hint,
    maxTimeMS: scope.budget.leftMs(),
    ...(scope.session === undefined ? {} : { session: scope.session }),
  };
}

// ---- order and position ------------------------------------------------------------------------------------------

const stored = { ord: 'ord', lastUpdated: 'lu' } as const;

function fieldOf(sort: SortKey, at: number): string {
  return sort.by === 'keys' ? `s${at}` : stored[sort.by];
}

function sortOf(order: readonly SortKey[]): Document {
  const fields = order.map((sort, at) => [fieldOf(sort, at), sort.descending ? -1 : 1] as const);
  // A field named twice keeps its first place and direction, which is what the second would decide nothing about.
  const named = new Map<string, 1 | -1>();
  for (const [field, direction] of fields) if (!named.has(field)) named.set(field, direction);
  return { ...Object.fromEntries(named), tie: order.at(-1)?.descending === true ? -1 : 1 };
}

/** The lowest or highest key of each list sorted by; a row without one comes last, since null is below every string. */
function sortFields(order: readonly SortKey[]): Document {
  const fields = order.flatMap((sort, at) => {
    if (sort.by !== 'keys') return [];
    const keys = keysWith(sort.prefix);
    const value = sort.descending ? { $max: keys } : { $ifNull: [{ $min: keys }, NO_KEY_ASCENDING] };
    return [[fieldOf(sort, at), value] as const];
  });
  return Object.fromEntries(fields);
}

/** Rows after the position: beyond in the first sort key, or equal there and beyond in the next, and so on to the tie. */
function beyondFilter(order: readonly SortKey[], after: Position): Document {
  const branches: Document[] = [];
  const equal: Document[] = [];
  for (const [at, sort] of order.entries()) {
    const field = fieldOf(sort, at);
    const value = after.values[at] ?? null;
    const beyond = beyondValue(field, value, sort.descending);
    if (beyond !== undefined) branches.push(allOf([...equal, beyond]));
    equal.push({ [field]: { $eq: value } });
  }
  const tie = objectIdOf(String(after.tie));
  branches.push(allOf([...equal, { tie: order.at(-1)?.descending === true ? { $lt: tie } : { $gt: tie } }]));
  return { $or: branches };
}

/** Null is the lowest; comparisons with it or across it are spelt out, because `$gt: null` finds no string. */
function beyondValue(field: string, value: SortValue, isDescending: boolean): Document | undefined {
  if (value === null) return isDescending ? undefined : { [field]: { $ne: null } };
  if (!isDescending) return { [field]: { $gt: value } };
  return typeof value === 'string'
    ? { $or: [{ [field]: { $lt: value } }, { [field]: null }] }
    : { [field]: { $lt: value } };
}

/** Where in the index a list is entered. */
function startOf(order: readonly SortKey[], after: Position): Document {
  const [first] = order;
  if (first === undefined) return {};
  return { [fieldOf(first, 0)]: first.descending ? { $lte: after.values[0] } : { $gte: after.values[0] } };
}

function positionOf(type: string, order: readonly SortKey[], cursor: string): Position {
  const position = searchPosition(type, order, cursor, 'string');
  if (!/^[0-9a-f]{24}$/.test(String(position.tie))) throw badCursor();
  return position;
}

function valuesOf(order: readonly SortKey[], doc: Found): SortValue[] {
  return order.map((sort, at) => {
    const value: unknown = doc[fieldOf(sort, at)];
    return typeof value === 'string' || typeof value === 'number' ? value : null;
  });
}

// ---- what comes back ---------------------------------------------------------------------------------------------

function projection(order: readonly SortKey[], search: Search): Document {
  const computed = order.flatMap((sort, at) => (sort.by === 'keys' ? [[fieldOf(sort, at), 1] as const] : []));
  return {
    t: 1,
    id: 1,
    v: 1,
    lu: 1,
    ord: 1,
    tie: 1,
    ...Object.fromEntries(computed),
    ...(search.bodyless === true ? {} : { body: 1 }),
    ...((search.keysOf?.length ?? 0) > 0 ? { idx: 1 } : {}),
  };
}

const NO_BYTES = new Uint8Array();

function shownRow(doc: Found, search: Search): Row {
  const row = search.bodyless === true ? rowOf({ ...doc, body: NO_BYTES }) : rowOf(doc);
  if (search.keysOf === undefined || search.keysOf.length === 0) return row;
  const spans = search.keysOf.map(prefixSpan);
  const keys = (doc.idx ?? []).filter((key) => spans.some((span) => inSpan(key, span)));
  return { ...row, keys: keys.sort(compareKeys) };
}

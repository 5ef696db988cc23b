// Search and count: the planner's plan as one query or a few with the index named, and the probes it asks for.
import type { ClientSession, Document } from 'mongodb';
import { prefixSpan } from '../conditions.ts';
import { badCursor, type Position, searchCursor, searchPosition } from '../cursor.ts';
import { type CountNoted, explanationOf, noting, sourceOfWalk } from '../explain.ts';
import { compareKeys, inSpan } from '../match.ts';
import { type Few, orderOf, type Plan, type Probe, plan, planCount, type Span } from '../planner.ts';
import type {
  Alias,
  Check,
  Count,
  Filter,
  Key,
  OrdRange,
  Page,
  Row,
  Search,
  SortKey,
  Source,
  Store,
} from '../store.ts';
import { allOf, compile, keysWith, partsFilter, sourceFilter, unindexed } from './compile.ts';
import { Budget } from './faults.ts';
import type { KeysPlan, KeyWalker } from './key-walk.ts';
import { BY_KEY, type Collections } from './layout.ts';
import {
  beyondFilter,
  countQuery,
  examinedBy,
  type Found,
  fieldOf,
  type Query,
  runQuery,
  type Scope,
  sortFields,
  sortOf,
  startOf,
  valuesOf,
} from './query.ts';
import { rowOf } from './rows.ts';

/** What is remembered from one search to the next; it only guides. */
export interface Remembered {
  /** Makes a probe remember sizes: see store/sizes.ts. */
  sizes: (probe: Probe) => Probe;
  walker: KeyWalker;
}

type Chosen = Exclude<Plan, { kind: 'none' }>;

export async function searchPage(
  on: Collections,
  search: Search,
  filter: Filter,
  remembered: Remembered,
): Promise<Page> {
  const started = performance.now();
  const scope: Scope = { on, budget: new Budget(search.budgetMs), ran: [] };
  const order = orderOf(search);
  const after = search.after === undefined ? undefined : positionOf(search.type, order, search.after);
  const counts: CountNoted[] = [];
  const probe = noting(remembered.sizes(probeIn(scope)), counts);
  const chosen = await plan({ ...search, order }, filter, probe);
  const shape = {
    limit: search.limit + 1,
    project: projection(order, search),
    ...(after === undefined ? {} : { after }),
  };
  const isWalkOfKeys = chosen.kind === 'walk' && chosen.by.kind === 'keys';
  const found =
    chosen.kind === 'none'
      ? []
      : isWalkOfKeys
        ? await remembered.walker.page(scope, chosen as KeysPlan, shape)
        : await runQuery(scope, queryOf(chosen, shape), shape.project);
  const page = pageOf(found, search, order);
  if (search.explain !== true) return page;
  const ms = performance.now() - started;
  const examined = await examinedBy({ on, budget: new Budget(search.budgetMs) }, scope.ran ?? []);
  return { ...page, explanation: explanationOf(chosen, { counts, examined, ms }) };
}

export async function countMatches(
  on: Collections,
  alias: Alias,
  options: Parameters<Store['count']>[1],
  filter: Filter,
  remembered: Remembered,
): Promise<Count> {
  const scope: Scope = { on, budget: new Budget(options.budgetMs) };
  const chosen = await planCount(alias, filter, remembered.sizes(probeIn(scope)), options);
  if (chosen.kind === 'none') return { count: 0, exact: true };
  const count = await countQuery(scope, queryOf(chosen, { limit: options.cap + 1, isUnordered: true }));
  return { count: Math.min(count, options.cap), exact: count <= options.cap };
}

export function keysWithin(
  on: Collections,
  span: { from: Key; to: Key },
  options: { max: number; budgetMs: number },
): Promise<readonly Key[] | undefined> {
  return keysIn({ on, budget: new Budget(options.budgetMs) }, span, options.max);
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
  // What is counted is not part of what a search looked at.
  const { ran: _, ...quiet } = scope;
  return {
    walksKeys: true,
    overlaps: scope.session === undefined,
    count: (source, type, cap) => countSource(quiet, source, type, cap),
    keysIn: (span, max) => keysIn(quiet, span, max),
    ordsIn: (span, max) => ordsIn(quiet, span, max),
    few: (chosen, options) => few(quiet, chosen, options),
  };
}

async function countSource(scope: Scope, source: Source, type: string, cap: number): Promise<number> {
  if (source.kind === 'ids') return source.ids.length;
  const { filter, hint } = sourceFilter(source, type);
  return countQuery(scope, { filter: indexed(source, filter), hint, stages: [], limit: Math.max(cap, 1) });
}

/** The part of a source's filter that the index decides alone: that it also counts others does not matter for a choice. */
function indexed(source: Source, filter: Document): Document {
  const { t, body: _, ...others } = filter;
  if (source.kind === 'lastUpdated') return { t, ...others };
  const isEqual = source.kind === 'keys' ? source.of.every((part) => 'key' in part) : source.kind === 'term';
  return isEqual ? others : filter;
}

/** See Probe.keysIn: the first row of what is left of the span in the index's order holds its lowest key. */
async function keysIn(scope: Scope, span: { from: Key; to: Key }, max: number): Promise<readonly Key[] | undefined> {
  const keys: Key[] = [];
  let range: Document = { $gte: span.from, $lt: span.to };
  for (;;) {
    const query: Query = { filter: { idx: { $elemMatch: range } }, hint: BY_KEY, stages: [], limit: 1 };
    const [row] = await runQuery(scope, query, { idx: 1 });
    if (row === undefined) return keys;
    const rest = (row.idx ?? []).filter((key) => inSpan(key, span) && !keys.includes(key)).sort(compareKeys);
    const [lowest] = rest;
    if (lowest === undefined || keys.length === max) return undefined;
    keys.push(lowest);
    range = { $gt: lowest, $lt: span.to };
  }
}

/** See Probe.ordsIn. */
async function ordsIn(scope: Scope, span: Span, max: number): Promise<OrdRange | undefined> {
  const query: Query = { filter: partsFilter([span]), hint: BY_KEY, stages: [], limit: max + 1 };
  const found = await runQuery(scope, query, { _id: 0, ord: 1 });
  if (found.length > max) return undefined;
  const ords = found.map(({ ord }) => ord);
  return ords.length === 0 ? { from: 0, to: 0 } : { from: Math.min(...ords), to: Math.max(...ords) + 1 };
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

interface Shape {
  limit: number;
  after?: Position;
  isUnordered?: boolean;
}

function queryOf(chosen: Chosen, shape: Shape): Query {
  const { filter: source, hint } = sourceFilter(sourceOf(chosen), chosen.type);
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

/** The rows that a plan walks or collects. */
function sourceOf(chosen: Chosen): Source {
  return chosen.kind === 'sort' ? chosen.source : sourceOfWalk(chosen.by, chosen.type);
}

function positionOf(type: string, order: readonly SortKey[], cursor: string): Position {
  const position = searchPosition(type, order, cursor, 'string');
  if (!/^[0-9a-f]{24}$/.test(String(position.tie))) throw badCursor();
  return position;
}

// ---- what comes back ---------------------------------------------------------------------------------------------

/** `found`: one more than the page takes when there is a next one. */
function pageOf(found: readonly Found[], search: Search, order: readonly SortKey[]): Page {
  const shown = found.slice(0, search.limit);
  const rows = shown.map((doc) => shownRow(doc, search));
  const last = shown.at(-1);
  if (found.length <= search.limit || last === undefined) return { rows };
  const position: Position = { values: valuesOf(order, last), tie: last.tie.toHexString() };
  return { rows, next: searchCursor(search.type, order, position) };
}

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

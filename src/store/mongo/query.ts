// One query of a search: a find or an aggregation with its index named, its order, and the positions within that order.
import type { ClientSession, Document } from 'mongodb';
import { NO_KEY_ASCENDING, type Position, type SortValue } from '../cursor.ts';
import type { SortKey } from '../store.ts';
import { allOf, keysWith } from './compile.ts';
import { type Budget, told } from './faults.ts';
import type { Collections, ResourceDoc } from './layout.ts';
import { objectIdOf } from './rows.ts';

/** What queries run in: the collections, the time they may take, and the transaction they belong to, if any. */
export interface Scope {
  on: Collections;
  budget: Budget;
  session?: ClientSession;
  /** Where the queries that find rows are noted down. */
  ran?: Query[];
}

/** `filter` on the index named, then `sort`, `stages` and at last `limit`; without stages it is a find. */
export interface Query {
  filter: Document;
  hint: Document;
  sort?: Document;
  stages: Document[];
  limit: number;
}

export type Found = Pick<ResourceDoc, '_id' | 't' | 'id' | 'v' | 'lu' | 'ord' | 'tie' | 'idx' | 'body'> & Document;

export async function runQuery(scope: Scope, query: Query, project: Document): Promise<Found[]> {
  const options = optionsOf(scope, query);
  const { filter, sort, stages, limit } = query;
  scope.ran?.push(query);
  if (stages.length === 0) {
    const find = scope.on.resource.find(filter, { ...options, projection: project, limit, batchSize: limit + 1 });
    return told(() => (sort === undefined ? find : find.sort(sort)).toArray());
  }
  const pipeline = [...pipelineOf(query), { $project: project }];
  const found = scope.on.resource.aggregate<Found>(pipeline, { ...options, batchSize: limit + 1, allowDiskUse: false });
  return told(() => found.toArray());
}

export async function countQuery(scope: Scope, query: Query): Promise<number> {
  const pipeline = [...pipelineOf(query), { $count: 'n' }];
  const counted = await told(() =>
    scope.on.resource.aggregate<{ n: number }>(pipeline, optionsOf(scope, query)).toArray(),
  );
  return counted[0]?.n ?? 0;
}

/** How many rows the queries looked at; the server is asked to run them once more and to say so. */
export async function examinedBy(scope: Scope, queries: readonly Query[]): Promise<number> {
  let examined = 0;
  for (const query of queries) {
    // An explanation repeats the query's texts, those that are long cut wherever a byte ends.
    const options = { ...optionsOf(scope, query), enableUtf8Validation: false };
    const explained = await told(() =>
      scope.on.resource.aggregate(pipelineOf(query), options).explain('executionStats'),
    );
    const stats = explained.stages?.[0]?.$cursor?.executionStats ?? explained.executionStats;
    examined += Number(stats?.totalDocsExamined ?? 0);
  }
  return examined;
}

function pipelineOf({ filter, sort, stages, limit }: Query): Document[] {
  return [{ $match: filter }, ...(sort === undefined ? [] : [{ $sort: sort }]), ...stages, { $limit: limit }];
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

/** The field that holds what a row sorts by; for keys it is computed (see sortFields). */
export function fieldOf(sort: SortKey, at: number): string {
  return sort.by === 'keys' ? `s${at}` : stored[sort.by];
}

export function sortOf(order: readonly SortKey[]): Document {
  const fields = order.map((sort, at) => [fieldOf(sort, at), sort.descending ? -1 : 1] as const);
  // A field named twice keeps its first place and direction, which is what the second would decide nothing about.
  const named = new Map<string, 1 | -1>();
  for (const [field, direction] of fields) if (!named.has(field)) named.set(field, direction);
  return { ...Object.fromEntries(named), tie: order.at(-1)?.descending === true ? -1 : 1 };
}

/** The lowest or highest key of each list sorted by; a row without one comes last, since null is below every string. */
export function sortFields(order: readonly SortKey[]): Document {
  const fields = order.flatMap((sort, at) => {
    if (sort.by !== 'keys') return [];
    const keys = keysWith(sort.prefix);
    const value = sort.descending ? { $max: keys } : { $ifNull: [{ $min: keys }, NO_KEY_ASCENDING] };
    return [[fieldOf(sort, at), value] as const];
  });
  return Object.fromEntries(fields);
}

/** Rows after the position: beyond in the first sort key, or equal there and beyond in the next, and so on to the tie. */
export function beyondFilter(order: readonly SortKey[], after: Position): Document {
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
export function startOf(order: readonly SortKey[], after: Position): Document {
  const [first] = order;
  if (first === undefined) return {};
  return { [fieldOf(first, 0)]: first.descending ? { $lte: after.values[0] } : { $gte: after.values[0] } };
}

export function valuesOf(order: readonly SortKey[], doc: Found): SortValue[] {
  return order.map((sort, at) => {
    const value: unknown = doc[fieldOf(sort, at)];
    return typeof value === 'string' || typeof value === 'number' ? value : null;
  });
}

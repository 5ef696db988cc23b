// Conditions and plans as MongoDB filters and pipelines. Only values of the port's types become values of a filter, and
// each is checked to be the scalar it says it is, so that nothing a client sent can act as an operator.
import type { Document } from 'mongodb';
import { conjuncts, prefixSpan } from '../conditions.ts';
import { compareKeys } from '../match.ts';
import type { Alias, Condition, Key, OrdRange, Part, Source, Term, Within } from '../store.ts';
import { StoreError, typeKey } from '../store.ts';
import { BY_ID, BY_KEY, BY_TERM, BY_UPDATED } from './layout.ts';
import { containsPattern, endsPattern, slicesPattern } from './patterns.ts';

export const RESOURCE = 'resource';

/** Holds for no document. */
export const NEVER: Document = { _id: { $in: [] } };

/** Live: deletions have a null body and no clinical date. */
export const LIVE: Document = { body: { $ne: null } };

/** A condition in two steps: `filter` needs the row alone; `stages` add joins as fields, on which `after` decides. */
export interface Compiled {
  filter: Document;
  stages: Document[];
  after: Document | undefined;
}

/**
 * A condition on rows of one type; conjuncts without a join are decided before any join is looked up.
 */
export function compile(condition: Condition): Compiled {
  const joins = new Joins();
  const parts = conjuncts(condition);
  const plain = joins.filterOf({ kind: 'and', of: parts.filter((part) => !hasJoin(part)) });
  const joined = parts.filter(hasJoin).map((part) => joins.filterOf(part));
  return { filter: plain, stages: joins.stages, after: joined.length > 0 ? allOf(joined) : undefined };
}

/**
 * The same condition in a form for which the server sees no index: a second predicate on `idx` would otherwise compete
 * with the list that the plan walks, and the server would try both at every query.
 */
export function unindexed(filter: Document): Document {
  return Object.keys(filter).length === 0 ? filter : { $or: [filter, { never: true }] };
}

/** All of the filters; an empty filter means everything. */
export function allOf(filters: readonly Document[]): Document {
  const telling = filters.filter((filter) => Object.keys(filter).length > 0);
  return telling.length === 0 ? {} : telling.length === 1 ? (telling[0] ?? {}) : { $and: telling };
}

export function hasJoin(condition: Condition): boolean {
  switch (condition.kind) {
    case 'refers':
    case 'referred':
      return true;
    case 'and':
    case 'or':
      return condition.of.some(hasJoin);
    case 'not':
      return hasJoin(condition.of);
    default:
      return false;
  }
}

/** The filter and the index that yield the rows of a source, live and of the type alone. */
export function sourceFilter(source: Source, type: string): { filter: Document; hint: Document } {
  switch (source.kind) {
    case 'ids':
      return { filter: { ...idsFilter(source.ids, type), ...LIVE }, hint: BY_ID };
    case 'lastUpdated':
      return { filter: { t: type, ...lastUpdatedFilter(source.from, source.to), ...LIVE }, hint: BY_UPDATED };
    case 'type':
      return { filter: { idx: typeKey(type) }, hint: BY_KEY };
    case 'term':
      return { filter: { ...termFilter(source), t: type }, hint: BY_TERM };
    case 'keys':
      return { filter: { ...partsFilter(source.of), t: type }, hint: BY_KEY };
  }
}

/** Key lists, merged; the equal ones of the same dates in one $in, so that the server reads them as points of one scan. */
export function partsFilter(parts: readonly Part[]): Document {
  const lists = parts.filter((part) => 'key' in part);
  const equal = [...Map.groupBy(lists, ({ ord = {} }) => JSON.stringify(ord)).values()].map((group): Document => {
    const keys = group.map(({ key }) => scalar(key));
    return { idx: keys.length === 1 ? keys[0] : { $in: keys }, ...ordFilter(group[0]?.ord ?? {}) };
  });
  const spans = parts.flatMap((part) => ('from' in part ? [{ idx: spanFilter(part) }] : []));
  checkSpans(spans.length);
  const all = [...equal, ...spans];
  return all.length === 1 ? (all[0] ?? NEVER) : all.length === 0 ? NEVER : { $or: all };
}

/** The server plans so many in 0.2 s, and twelve times as many not within 15 s. */
const SPANS_MAX = 1_000;

/** Throws StoreError('too-costly'). */
function checkSpans(count: number): void {
  if (count <= SPANS_MAX) return;
  throw new StoreError('too-costly', `A search by more than ${SPANS_MAX} codes without a system is too costly`);
}

export function lastUpdatedFilter(from: number | undefined, to: number | undefined): Document {
  return rangeFilter('lu', from, to);
}

function ordFilter({ from, to }: OrdRange): Document {
  return rangeFilter('ord', from, to);
}

function rangeFilter(field: 'lu' | 'ord', from: number | undefined, to: number | undefined): Document {
  const range = {
    ...(from === undefined ? {} : { $gte: number(from) }),
    ...(to === undefined ? {} : { $lt: number(to) }),
  };
  return Object.keys(range).length === 0 ? {} : { [field]: range };
}

/** An expression for the row's keys that start with a prefix. */
export function keysWith(prefix: Key): Document {
  const { from, to } = prefixSpan(scalar(prefix));
  const cond = { $and: [{ $gte: ['$$k', literal(from)] }, { $lt: ['$$k', literal(to)] }] };
  return { $filter: { input: { $ifNull: ['$idx', []] }, as: 'k', cond } };
}

/** Collects the lookups that a condition needs while it becomes a filter. */
class Joins {
  readonly stages: Document[] = [];

  filterOf(condition: Condition): Document {
    switch (condition.kind) {
      case 'all':
        return {};
      case 'none':
        return NEVER;
      case 'key':
        return { idx: scalar(condition.key) };
      case 'span':
        return { idx: spanFilter(condition) };
      case 'term':
        return termFilter(condition);
      case 'ids':
        return { id: { $in: condition.ids.map(scalar) } };
      case 'ord':
        return ordFilter(condition);
      case 'lastUpdated':
        return lastUpdatedFilter(condition.from, condition.to);
      case 'and':
        return this.#allOf(condition.of);
      case 'or':
        return this.#anyOf(condition.of);
      case 'not':
        return { $nor: [this.filterOf(condition.of)] };
      case 'refers': {
        const ids = { $map: { input: keysWith(condition.prefix), as: 'k', in: rest('$$k', condition.prefix) } };
        return this.#join(ids, '_id', condition.to);
      }
      case 'referred':
        return this.#join({ $concat: [literal(scalar(condition.prefix)), '$_id'] }, 'idx', condition.by);
    }
  }

  /** What must not hold is looked up like that of which one must. */
  #allOf(parts: readonly Condition[]): Document {
    const refused = parts.flatMap((part) => (part.kind === 'not' && part.of.kind === 'key' ? [part.of] : []));
    const isTogether = refused.length > 1;
    const others = isTogether ? parts.filter((part) => part.kind !== 'not' || part.of.kind !== 'key') : parts;
    return allOf([
      ...others.map((part) => this.filterOf(part)),
      ...(isTogether ? [{ $nor: [this.#anyOf(refused)] }] : []),
    ]);
  }

  #anyOf(parts: readonly Condition[]): Document {
    checkSpans(parts.filter(({ kind }) => kind === 'span').length);
    const keys = parts.flatMap((part) => (part.kind === 'key' ? [scalar(part.key)] : []));
    const isTogether = keys.length > 1;
    const others = isTogether ? parts.filter(({ kind }) => kind !== 'key') : parts;
    const branches = others.map((part) => this.filterOf(part));
    if (isTogether) branches.push(...keysFilters(keys));
    return branches.length === 0 ? NEVER : branches.length === 1 ? (branches[0] ?? NEVER) : { $or: branches };
  }

  /** A field with at most one row of the alias whose `foreignField` equals (one of) what the expression yields. */
  #join(expression: Document, foreignField: string, alias: Alias): Document {
    const name = `j${this.stages.length}`;
    const { filter, stages, after } = compile(alias.where);
    this.stages.push(
      { $set: { [`${name}k`]: expression } },
      {
        $lookup: {
          from: RESOURCE,
          localField: `${name}k`,
          foreignField,
          as: name,
          pipeline: [
            // Without this fence the server would weigh other indexes against the one of the foreign field, each time.
            { $limit: 2 ** 31 - 1 },
            { $match: allOf([{ t: scalar(alias.type) }, LIVE, filter]) },
            ...stages,
            ...(after === undefined ? [] : [{ $match: after }]),
            { $limit: 1 },
            { $project: { _id: 1 } },
          ],
        },
      },
    );
    return { [`${name}.0`]: { $exists: true } };
  }
}

/**
 * One of many keys: in a list, in which the server finds each key of a row; as branches, each would be compared with each.
 * Of a long list most keys of a row are told by its bounds: those of other lists.
 */
function keysFilters(keys: readonly Key[]): Document[] {
  if (keys.length < BOUNDED_FROM) return [{ idx: { $in: keys } }];
  const lists = Map.groupBy(keys, (key) => key.slice(0, LIST_CHARS));
  if (lists.size > BOUNDED_LISTS_MAX) return [{ idx: { $in: keys } }];
  return [...lists.values()].map((list) => {
    // As they are sent, half a surrogate pair becoming U+FFFD, which lies elsewhere.
    const sorted = list.map((key) => key.toWellFormed()).sort(compareKeys);
    return { idx: { $elemMatch: { $gte: sorted[0], $lte: sorted.at(-1), $in: sorted } } };
  });
}

const LIST_CHARS = 5;
const BOUNDED_FROM = 16;
const BOUNDED_LISTS_MAX = 4;

/** What follows a prefix. */
function rest(key: string, prefix: Key): Document {
  return { $substrBytes: [key, Buffer.byteLength(prefix), -1] };
}

function idsFilter(ids: readonly string[], type: string): Document {
  return { _id: { $in: ids.map((id) => `${type}/${scalar(id)}`) } };
}

/** Only live rows have terms. */
function termFilter({ term, prefix }: { term: Term; prefix?: true }): Document {
  if (prefix !== true) return { terms: scalar(term) };
  const end = following(term);
  return { terms: { $elemMatch: { $gte: scalar(term), ...(end === undefined ? {} : { $lt: end }) } } };
}

/** The least text above all that start with this one: its last character counted up; none is above the last of all. */
export function following(start: string): string | undefined {
  const chars = [...start.toWellFormed()];
  for (let last = chars.pop(); last !== undefined; last = chars.pop()) {
    const code = last.codePointAt(0) ?? 0;
    // Between these lie no characters, only halves of others.
    const above = code === 0xd7ff ? 0xe000 : code + 1;
    if (above <= 0x10ffff) return chars.join('') + String.fromCodePoint(above);
  }
  return undefined;
}

function spanFilter(span: { from: Key; to: Key; within?: Within }): Document {
  const range = { $gte: scalar(span.from), $lt: scalar(span.to) };
  if (span.within === undefined) return { $elemMatch: range };
  const pattern = patternOf(span.within);
  return pattern === undefined ? NEVER_KEY : { $elemMatch: { ...range, $regex: pattern } };
}

function patternOf(within: Within): string | undefined {
  if (within.kind === 'slices') return slicesPattern(within.of);
  return within.kind === 'ends' ? endsPattern(scalar(within.text)) : containsPattern(scalar(within.text));
}

/** As the filter of a field: no key fits. */
const NEVER_KEY: Document = { $elemMatch: { $in: [] } };

function literal(value: string): Document {
  return { $literal: value };
}

function scalar(value: string): string {
  if (typeof value !== 'string') throw new TypeError('a key or id must be a string');
  return value;
}

function number(value: number): number {
  if (typeof value !== 'number') throw new TypeError('a bound must be a number');
  return value;
}

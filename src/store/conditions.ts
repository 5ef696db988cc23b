// Conditions as algebra: flatten, fold, dedupe. What comes out means the same and is easier to plan.
import { compareKeys } from './match.ts';
import type { Alias, Condition, Key, OrdRange } from './store.ts';
import { NO_ORD } from './store.ts';

const all: Condition = { kind: 'all' };
const none: Condition = { kind: 'none' };

/** All of them; simplified. */
export function and(parts: readonly Condition[]): Condition {
  const flat = parts.flatMap((part) => (part.kind === 'and' ? part.of : [part]));
  if (flat.some((part) => part.kind === 'none')) return none;
  const rest = meetIds(
    meetRanges('ord', meetRanges('lastUpdated', unique(flat.filter((part) => part.kind !== 'all')))),
  );
  if (rest.some((part) => part.kind === 'none')) return none;
  return rest.length === 0 ? all : rest.length === 1 && rest[0] !== undefined ? rest[0] : { kind: 'and', of: rest };
}

/** At least one of them; simplified. */
export function or(parts: readonly Condition[]): Condition {
  const flat = parts.flatMap((part) => (part.kind === 'or' ? part.of : [part]));
  if (flat.some((part) => part.kind === 'all')) return all;
  const rest = joinIds(unique(flat.filter((part) => part.kind !== 'none')));
  return rest.length === 0 ? none : rest.length === 1 && rest[0] !== undefined ? rest[0] : { kind: 'or', of: rest };
}

/** The opposite; a negated `or` becomes an `and` of negations, so that each can be a conjunct of its own. */
export function not(part: Condition): Condition {
  if (part.kind === 'all') return none;
  if (part.kind === 'none') return all;
  if (part.kind === 'not') return part.of;
  if (part.kind === 'or') return and(part.of.map(not));
  return { kind: 'not', of: part };
}

/**
 * The same condition, flat and folded: `all` and `none` occur only as the whole of a condition or of an alias, and `ord`
 * with a bound that rows without a clinical date are below.
 */
export function simplify(condition: Condition): Condition {
  if (simplified.has(condition)) return condition;
  const simple = simplifyAnew(condition);
  simplified.add(simple);
  return simple;
}

/** What came out of it: a caller's filter is the same condition in each of its requests. */
const simplified = new WeakSet<Condition>();

function simplifyAnew(condition: Condition): Condition {
  switch (condition.kind) {
    case 'all':
    case 'none':
    case 'key':
    case 'term':
      return condition;
    case 'ids':
      return condition.ids.length === 0 ? none : condition;
    case 'span':
      return compareKeys(condition.from, condition.to) < 0 ? condition : none;
    case 'ord':
    case 'lastUpdated':
      return rangeOf(condition.kind, condition);
    case 'and':
      return and(condition.of.map(simplify));
    case 'or':
      return or(condition.of.map(simplify));
    case 'not':
      return not(simplify(condition.of));
    case 'refers': {
      const to = simplifyAlias(condition.to);
      return to.where.kind === 'none' ? none : { ...condition, to };
    }
    case 'referred': {
      const by = simplifyAlias(condition.by);
      return by.where.kind === 'none' ? none : { ...condition, by };
    }
  }
}

/** The conditions that must all hold. */
export function conjuncts(condition: Condition): readonly Condition[] {
  return condition.kind === 'and' ? condition.of : condition.kind === 'all' ? [] : [condition];
}

/** Whether it, or a join within it, asks for a term. */
export function asksForTerms(condition: Condition): boolean {
  switch (condition.kind) {
    case 'term':
      return true;
    case 'and':
    case 'or':
      return condition.of.some(asksForTerms);
    case 'not':
      return asksForTerms(condition.of);
    case 'refers':
      return asksForTerms(condition.to.where);
    case 'referred':
      return asksForTerms(condition.by.where);
    default:
      return false;
  }
}

/** The half-open range of all keys that start with `prefix`. */
export function prefixSpan(prefix: Key): { from: Key; to: Key } {
  const last = prefix.length - 1;
  return { from: prefix, to: prefix.slice(0, last) + String.fromCharCode(prefix.charCodeAt(last) + 1) };
}

function simplifyAlias(alias: Alias): Alias {
  return { type: alias.type, where: simplify(alias.where) };
}

/** Where both ranges are; without a bound where neither has one. */
export function meet(a: OrdRange, b: OrdRange): OrdRange {
  const from = Math.max(a.from ?? Number.NEGATIVE_INFINITY, b.from ?? Number.NEGATIVE_INFINITY);
  const to = Math.min(a.to ?? Number.POSITIVE_INFINITY, b.to ?? Number.POSITIVE_INFINITY);
  return bounded(from, to);
}

/** The least range that holds both. */
export function hull(a: OrdRange, b: OrdRange): OrdRange {
  const from = Math.min(a.from ?? Number.NEGATIVE_INFINITY, b.from ?? Number.NEGATIVE_INFINITY);
  const to = Math.max(a.to ?? Number.POSITIVE_INFINITY, b.to ?? Number.POSITIVE_INFINITY);
  return bounded(from, to);
}

/** Nothing is in it. */
export function isEmpty({ from, to }: OrdRange): boolean {
  return from !== undefined && to !== undefined && from >= to;
}

function bounded(from: number, to: number): OrdRange {
  return {
    ...(from === Number.NEGATIVE_INFINITY ? {} : { from }),
    ...(to === Number.POSITIVE_INFINITY ? {} : { to }),
  };
}

function rangeOf(kind: 'ord' | 'lastUpdated', asked: OrdRange): Condition {
  // Some rows have no clinical date; every row has a lastUpdated.
  const range = meet(asked, kind === 'ord' ? { from: NO_ORD + 1 } : {});
  if (isEmpty(range)) return none;
  return range.from === undefined && range.to === undefined ? all : { kind, ...range };
}

const texts = new WeakMap<Condition, string>();

/** The same text for the same condition. */
export function textOf(part: Condition): string {
  let text = texts.get(part);
  if (text === undefined) {
    text = JSON.stringify(part);
    texts.set(part, text);
  }
  return text;
}

function unique(parts: readonly Condition[]): readonly Condition[] {
  if (parts.length < 2) return parts;
  const seen = new Set<string>();
  return parts.filter((part) => {
    const text = nameOf(part);
    const { size } = seen;
    return seen.add(text).size > size;
  });
}

/** An access rule may come to name some hundreds of people. A key does not begin as a JSON object does, nor such as this. */
function nameOf(part: Condition): string {
  if (part.kind === 'key') return part.key;
  return part.kind === 'not' && part.of.kind === 'key' ? `{not ${part.of.key}` : textOf(part);
}

function meetRanges(kind: 'ord' | 'lastUpdated', parts: readonly Condition[]): readonly Condition[] {
  const ranges = parts.flatMap((part) => (part.kind === 'ord' || part.kind === 'lastUpdated' ? [part] : []));
  const own = ranges.filter((range) => range.kind === kind);
  if (own.length < 2) return parts;
  const met = own.reduce<OrdRange>(meet, {});
  return [...parts.filter((part) => part.kind !== kind), rangeOf(kind, met)];
}

function meetIds(parts: readonly Condition[]): readonly Condition[] {
  const lists = parts.filter((part) => part.kind === 'ids');
  const [first, ...others] = lists;
  if (first === undefined || others.length === 0) return parts;
  const sets = others.map((list) => new Set(list.ids));
  const ids = first.ids.filter((id) => sets.every((set) => set.has(id)));
  return [...parts.filter((part) => part.kind !== 'ids'), ids.length > 0 ? { kind: 'ids', ids } : none];
}

function joinIds(parts: readonly Condition[]): readonly Condition[] {
  const lists = parts.filter((part) => part.kind === 'ids');
  if (lists.length < 2) return parts;
  const ids = [...new Set(lists.flatMap((list) => list.ids))];
  return [...parts.filter((part) => part.kind !== 'ids'), { kind: 'ids', ids }];
}

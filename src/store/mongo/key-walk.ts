// Pages in the order of a list of sort keys. An index on an array gives no order by its own elements, so that sorting
// by them would collect the whole type. Here the list is cut into windows that hold a little more than a page; each is
// collected and sorted by itself, the next only when the page is not full. Where a window is cut decides nothing but
// what it costs: a row belongs to the window in which its lowest (descending: highest) key lies, and to no other.
import type { Document } from 'mongodb';
import { prefixSpan } from '../conditions.ts';
import { NO_KEY_ASCENDING, type Position } from '../cursor.ts';
import { compareKeys } from '../match.ts';
import type { Plan, Walk } from '../planner.ts';
import type { Key } from '../store.ts';
import { typeKey } from '../store.ts';
import { allOf, type Compiled, compile, following, unindexed } from './compile.ts';
import { told } from './faults.ts';
import { BY_KEY } from './layout.ts';
import { beyondFilter, type Found, type Query, runQuery, type Scope, sortFields, sortOf } from './query.ts';

export type KeysPlan = Extract<Plan, { kind: 'walk' }> & { by: Extract<Walk, { kind: 'keys' }> };

/** Keys of a list: from ≤ key < to. */
interface Range {
  from: Key;
  to: Key;
}

interface Shape {
  limit: number;
  after?: Position;
  project: Document;
}

/** The first window holds so many times the page, because some rows will not fulfil the residual; */
const FIRST_WINDOW = 3;
/** each further one so many times the one before, */
const WINDOW_GROWTH = 4;
/** up to this many entries: some 40 ms. */
const WINDOW_MAX = 4_096;
/** Looks at the list to find where to cut; a name of 60 letters among millions takes some 20. */
const LOOKS_MAX = 40;
const REMEMBERED_MAX = 2_000;
const REMEMBERED_MS = 30_000;

/** Walks lists, and remembers for a while where they were cut. */
export class KeyWalker {
  readonly #cuts = new Map<string, { at: Key; until: number }>();

  /** The next rows of the walk after the position, with their sort values as fields. */
  async page(scope: Scope, plan: KeysPlan, shape: Shape): Promise<Found[]> {
    const found: Found[] = [];
    const compiled = compile(plan.residual);
    const run = async (query: Omit<Query, 'limit'>): Promise<boolean> => {
      found.push(...(await runQuery(scope, { ...query, limit: shape.limit - found.length }, shape.project)));
      return found.length >= shape.limit;
    };
    let left = rangeAfter(plan, shape.after);
    for (let size = shape.limit * FIRST_WINDOW; left !== undefined; size *= WINDOW_GROWTH) {
      const window = await this.#window(scope, plan, left, Math.min(size, WINDOW_MAX));
      if (await run(windowQuery(plan, compiled, window, shape.after))) return found;
      const rest = plan.by.descending ? { from: left.from, to: window.from } : { from: window.to, to: left.to };
      left = compareKeys(rest.from, rest.to) < 0 ? rest : undefined;
    }
    await run(keylessQuery(plan, compiled, shape.after));
    return found;
  }

  /** A stretch at that end of the range where the walk is, with some `size` entries. */
  async #window(scope: Scope, { by }: KeysPlan, range: Range, size: number): Promise<Range> {
    const name = `${size} ${by.descending ? `<${range.to}` : `>${range.from}`}`;
    const known = this.#cuts.get(name);
    const isKnown = known !== undefined && known.until > performance.now();
    const at = isKnown ? known.at : await (by.descending ? cutFromEnd : cutFromStart)(scope, range, size);
    if (!isKnown) {
      if (this.#cuts.size >= REMEMBERED_MAX) this.#cuts.clear();
      this.#cuts.set(name, { at, until: performance.now() + REMEMBERED_MS });
    }
    return by.descending ? { from: at, to: range.to } : { from: range.from, to: at };
  }
}

/** The keys that are left from the position on; undefined where only rows without a key are. */
function rangeAfter({ by }: KeysPlan, after: Position | undefined): Range | undefined {
  const list = prefixSpan(by.prefix);
  const key = after?.values[0];
  if (after === undefined) return list;
  if (typeof key !== 'string' || key === NO_KEY_ASCENDING) return undefined;
  return by.descending ? { from: list.from, to: next(key) } : { from: key, to: list.to };
}

/** The least text above this one. */
const next = (key: Key): Key => `${key}\0`;

// ---- queries -----------------------------------------------------------------------------------------------------

/** The rows whose first key in the order of the walk lies in the window, sorted. */
function windowQuery(
  { type, by, order }: KeysPlan,
  compiled: Compiled,
  window: Range,
  after: Position | undefined,
): Omit<Query, 'limit'> {
  const list = prefixSpan(by.prefix);
  const before = by.descending ? { from: window.to, to: list.to } : { from: list.from, to: window.from };
  return {
    filter: allOf([keyIn(window), { t: type }, unindexed(noKeyIn(before)), unindexed(compiled.filter)]),
    hint: BY_KEY,
    stages: [
      ...joinStages(compiled),
      { $set: sortFields(order) },
      ...(after === undefined ? [] : [{ $match: beyondFilter(order, after) }]),
      { $sort: sortOf(order) },
    ],
  };
}

/** The rows without a key of the list, in the order of their ties. */
function keylessQuery(
  { type, by, order }: KeysPlan,
  compiled: Compiled,
  after: Position | undefined,
): Omit<Query, 'limit'> {
  const start = after === undefined ? {} : beyondFilter(order, after);
  const value = by.descending ? null : NO_KEY_ASCENDING;
  return {
    filter: allOf([{ idx: typeKey(type) }, unindexed(noKeyIn(prefixSpan(by.prefix))), unindexed(compiled.filter)]),
    hint: BY_KEY,
    stages: [
      ...joinStages(compiled),
      { $set: { s0: { $literal: value } } },
      ...(after === undefined ? [] : [{ $match: start }]),
      { $sort: sortOf(order) },
    ],
  };
}

function joinStages({ stages, after }: Compiled): Document[] {
  return after === undefined ? [] : [...stages, { $match: after }];
}

function keyIn({ from, to }: Range): Document {
  return { idx: { $elemMatch: { $gte: from, $lt: to } } };
}

function noKeyIn(range: Range): Document {
  return compareKeys(range.from, range.to) < 0 ? { $nor: [keyIn(range)] } : {};
}

// ---- where to cut ------------------------------------------------------------------------------------------------

/** The key before which the range holds `size` entries, or, where they are all of one key, the end of these. */
async function cutFromStart(scope: Scope, { from, to }: Range, size: number): Promise<Key> {
  const [key] = await entries(scope, from, { skip: size, limit: 1 });
  if (key === undefined || compareKeys(key, to) >= 0) return to;
  return compareKeys(key, from) > 0 ? key : next(from);
}

/**
 * A key from which on the range holds at most `size` entries, but not few. An index is not read backwards here, so
 * that it is looked for: above `low` there is more, above `high` less.
 */
async function cutFromEnd(scope: Scope, range: Range, size: number): Promise<Key> {
  let low = range.from;
  let high = range.to;
  let isAnyAbove = false;
  /** Keys share long beginnings: that is asked again when what low and high share has become longer. */
  let asked = -1;
  for (let look = 0; look < LOOKS_MAX; look += 1) {
    const shared = sharedLength(low, high);
    const start = shared > asked ? endOfStart(low, shared, high) : undefined;
    const middle = look === 0 ? low : (start ?? between(low, shared, high));
    if (middle === undefined) break;
    const above = await entries(scope, middle, { limit: size + 1 });
    const keys = above.filter((key) => compareKeys(key, range.to) < 0);
    if (keys.length <= size && (look === 0 || keys.length * 4 >= size)) return middle;
    if (keys.length > size) {
      low = keys[0] ?? middle;
      if (middle === start) asked = shared;
    } else {
      high = middle;
      isAnyAbove = keys.length > 0;
    }
  }
  // One key holds more than was asked for: what lies above it comes first, if anything does.
  return isAnyAbove ? high : low;
}

/** Keys of the index from `from` on, whatever list they belong to; read from the index alone. */
async function entries(scope: Scope, from: Key, options: { skip?: number; limit: number }): Promise<Key[]> {
  const { limit } = options;
  const find = scope.on.resource.find<{ idx: Key }>(
    { idx: { $gte: from } },
    { ...options, hint: BY_KEY, returnKey: true, batchSize: limit + 1, maxTimeMS: scope.budget.leftMs() },
  );
  return (await told(() => find.toArray())).map(({ idx }) => idx);
}

function sharedLength(low: Key, high: Key): number {
  let shared = 0;
  while (shared < low.length && low[shared] === high[shared]) shared += 1;
  return shared;
}

/** The end of all keys that begin with what both share and half of what `low` has beyond; undefined if not below `high`. */
function endOfStart(low: Key, shared: number, high: Key): Key | undefined {
  const end = following(low.slice(0, shared + 1 + ((low.length - shared) >> 1)));
  return end !== undefined && compareKeys(end, high) < 0 ? end : undefined;
}

/** Some text between two, made at the first character where there is room; undefined when none is worth a look. */
function between(low: Key, shared: number, high: Key): Key | undefined {
  for (let at = shared; at < low.length; at += 1) {
    const from = low.codePointAt(at) ?? 0;
    const to = at === shared ? (high.codePointAt(at) ?? 0) : from < 0x7f ? 0x80 : 0x110000;
    const code = KINDS.find((end) => from < end && end < to) ?? (from + to) >> 1;
    const isHalf = code >= 0xd800 && code <= 0xdfff;
    if (code > from && !isHalf) return (low.slice(0, at) + String.fromCodePoint(code)).toWellFormed();
  }
  const end = next(low);
  return compareKeys(end, high) < 0 ? end : undefined;
}

/** Where digits, capital and small letters end: most keys have characters of one kind at a place. */
const KINDS = [0x3a, 0x5b, 0x7b] as const;

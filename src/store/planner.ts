// The planner both adapters share: from a search, a filter and a few capped counts to a plan that says which list to
// walk or which set to collect, and what is left to check on each row. The engines' own choices were 100x and 350x
// slower, so adapters force the plan (CROSS JOIN, hint). A position is independent of the plan (see cursor.ts): every
// plan of one search yields the same total order, so page 2 may be found in another way than page 1.
import { and, conjuncts, hull, isEmpty, meet, not, or, simplify, textOf } from './conditions.ts';
import { compareKeys } from './match.ts';
import type { Alias, Condition, Filter, Key, OrdRange, Part, SortKey, Source, Together } from './store.ts';
import { typeKey } from './store.ts';

/**
 * A list to walk that already has the order asked for. `ord`: the merged lists of the keys, by clinical date, of the rows
 * in `range` alone.
 * `lastUpdated`: the type by lastUpdated, from ≤ lu < to. `keys`: the keys with the prefix; a row counts at its lowest
 * (ascending) or highest (descending) key alone; rows without any come last.
 */
export type Walk =
  | { kind: 'ord'; keys: readonly Key[]; range?: OrdRange; descending: boolean }
  | { kind: 'lastUpdated'; from?: number; to?: number; descending: boolean }
  | { kind: 'keys'; prefix: Key; descending: boolean };

/**
 * `walk`: follow the list from the position on, checking type and residual, until the page is full.
 * `sort`: collect the source, check type and residual, sort by `order`, take the page after the position.
 * `residual` is simplified; it does not repeat what the driver already guarantees. `order` is never empty. Ties are
 * broken by the store's row id, in the direction of the last sort key. `estimate`: how many the driver holds, as far as
 * it was counted; undefined when nobody had to count.
 */
export type Plan =
  | { kind: 'none' }
  | { kind: 'walk'; type: string; by: Walk; residual: Condition; order: readonly SortKey[]; estimate?: number }
  | { kind: 'sort'; type: string; source: Source; residual: Condition; order: readonly SortKey[]; estimate?: number };

/** What the planner asks of the adapter. */
export interface Probe {
  /** Whether a list of sort keys can be walked in its order; where not, that walk collects and sorts the whole type. */
  readonly walksKeys: boolean;
  /** Whether it may be asked several things at once, which a transaction may not. */
  readonly overlaps: boolean;
  /** How many rows (or index entries) a source holds; counting stops at the cap. */
  count(source: Source, type: string, cap: number): number | Promise<number>;
  /** The different keys from ≤ key < to, when there are at most `max`. */
  keysIn(span: { from: Key; to: Key }, max: number): readonly Key[] | undefined | Promise<readonly Key[] | undefined>;
  /**
   * Where the clinical dates of a span's rows lie, when it has at most `max` entries: an empty range when it has none.
   */
  ordsIn(span: Span, max: number): OrdRange | undefined | Promise<OrdRange | undefined>;
  /**
   * All matches of a plan, with their keys of a prefix if one is given; undefined when there are more than `limit` or
   * when finding out would mean to look at more than `examine` candidates.
   */
  few(
    plan: Plan,
    options: { limit: number; examine: number; prefix?: Key },
  ): Few | undefined | Promise<Few | undefined>;
}

export type Few = readonly { id: string; keys: readonly Key[] }[];

export type Span = Extract<Condition, { kind: 'span' }>;

export interface Planned extends Alias {
  order: readonly SortKey[];
  request?: Together;
}

/** A set below this is collected whatever the order; a join below this is replaced by its matches. */
const SMALL = 500;
/** So few rows are checked by a join sooner than its matches are looked for: some 5 µs a row on SQLite, 60 on MongoDB. */
const CHECKED_MAX = 10;
/** First look at how large the lists are: some 40 µs each on SQLite. */
const COUNT_CAP = 1_000;
/** Up to here collecting and sorting beats walking another list in order and checking every row of it. */
const COLLECT_MAX = 20_000;
/** Lists that are merged by clinical date in one walk. */
const MERGE_MAX = 32;
/** Candidates looked at to find out whether a join has few matches. */
const JOIN_EXAMINE = 2_000;

/** Sources are collected up to here; beyond, a search that needs them sorted is too costly. */
export const COLLECT_LIMIT = 200_000;

const BY_ORD: SortKey = { by: 'ord', descending: true };

/**
 * The alias with the caller's filter added to it and to every alias within its joins: the one place where access meets
 * a query. The filter's own joins are part of the access rule and are taken as they are.
 */
export function narrow(alias: Alias, filter: Filter): Alias {
  return { type: alias.type, where: simplify(and([narrowJoins(alias.where, filter), filter.of(alias.type)])) };
}

/** The plan for a search of everything the filter lets through; `alias.where` need not be simplified. */
export async function plan(search: Planned, filter: Filter, probe: Probe): Promise<Plan> {
  const narrowed = narrow(search, filter);
  const parts = await resolveJoins(narrowed.type, topLevel(narrowed), looking(probe, search.request));
  if (parts === undefined) return { kind: 'none' };
  return choose(narrowed.type, parts, orderOf(search), probe);
}

/** The plan for counting or for a set of matches: order does not matter, so the smallest source is collected. */
export async function planCount(
  alias: Alias,
  filter: Filter,
  probe: Probe,
  { request }: { request?: Together } = {},
): Promise<Plan> {
  const narrowed = narrow(alias, filter);
  const parts = await resolveJoins(narrowed.type, topLevel(narrowed), looking(probe, request));
  if (parts === undefined) return { kind: 'none' };
  const candidates = sourcesOf(narrowed.type, parts);
  const isChoice = candidates.length > 1;
  const smallest = isChoice ? await smallestOf(narrowed.type, candidates, COUNT_CAP, probe) : candidates[0];
  return sortPlan(narrowed.type, smallest ?? WHOLE_TYPE, parts, [BY_ORD]);
}

/** The order a search really has: newest clinical date first when it names none. */
export function orderOf(search: { order: readonly SortKey[] }): readonly SortKey[] {
  return search.order.length > 0 ? search.order : [BY_ORD];
}

function narrowJoins(condition: Condition, filter: Filter): Condition {
  switch (condition.kind) {
    case 'and':
    case 'or':
      return { kind: condition.kind, of: condition.of.map((part) => narrowJoins(part, filter)) };
    case 'not':
      return { kind: 'not', of: narrowJoins(condition.of, filter) };
    case 'refers':
      return { ...condition, to: narrow(condition.to, filter) };
    case 'referred':
      return { ...condition, by: narrow(condition.by, filter) };
    default:
      return condition;
  }
}

/** The conditions a match must fulfil, without the type's own key; undefined when nothing can match. */
function topLevel(alias: Alias): readonly Condition[] | undefined {
  if (alias.where.kind === 'none') return undefined;
  const own = typeKey(alias.type);
  return conjuncts(simplify(alias.where)).filter((part) => !(part.kind === 'key' && part.key === own));
}

// ---- joins -------------------------------------------------------------------------------------------------------

/**
 * A probe, and what joins were found to match. An access rule asks for the same people in each list that may refer to them,
 * and a search of all types asks for the same in each: they are looked for once, and are the same in all places.
 */
interface Looking extends Probe {
  readonly matched: Map<string, Promise<Matched>>;
}

/** All matches, undefined where they are many; and the alias with its own joins replaced, to check candidates by. */
interface Matched {
  matches: Few | undefined;
  alias: Alias;
}

const matchedIn = new WeakMap<Together, Looking['matched']>();

function looking(probe: Probe, request: Together = {}): Looking {
  const matched: Looking['matched'] = matchedIn.get(request) ?? new Map();
  matchedIn.set(request, matched);
  return { ...probe, matched };
}

/**
 * Replaces what no list holds by what it matches, where that is little: a chain by an `or` of reference keys, a reverse
 * chain and an `or` of terms by ids. Left alone when another condition already yields a smaller set: checking its rows
 * costs less.
 */
async function resolveJoins(
  type: string,
  parts: readonly Condition[] | undefined,
  probe: Looking,
): Promise<readonly Condition[] | undefined> {
  const isResolved = (part: Condition): boolean => holdsJoin(part) || isScattered(type, part);
  if (parts?.some(isResolved) !== true) return parts;
  const others = sourcesOf(
    type,
    parts.filter((part) => !isResolved(part)),
  );
  const smallest = await smallestOf(type, others, SMALL, probe);
  const rows = smallest?.estimate ?? SMALL;
  if (rows < CHECKED_MAX) return parts;
  const left = rows < SMALL ? rows : Number.POSITIVE_INFINITY;
  const whole = and(await eachOf(parts, (part) => resolveJoin(type, part, left, probe), probe));
  return whole.kind === 'none' ? undefined : conjuncts(whole);
}

function isJoin(condition: Condition): boolean {
  return condition.kind === 'refers' || condition.kind === 'referred';
}

/** A join, one of several, or none: access rules are of such parts. */
function holdsJoin(condition: Condition): boolean {
  if (condition.kind === 'or') return condition.of.some(holdsJoin);
  return condition.kind === 'not' ? holdsJoin(condition.of) : isJoin(condition);
}

/** An `or` of conditions that each have a source, while no one source holds them all. */
function isScattered(type: string, condition: Condition): boolean {
  if (condition.kind !== 'or' || condition.of.length > MERGE_MAX || coverOf(type, condition) !== undefined)
    return false;
  return condition.of.every((branch) => sourcesOf(type, conjuncts(branch)).length > 0);
}

/** `left`: how many rows would be checked. */
async function resolveJoin(type: string, part: Condition, left: number, probe: Looking): Promise<Condition> {
  if (part.kind === 'not' && holdsJoin(part.of)) return not(await resolveJoin(type, part.of, left, probe));
  if (part.kind === 'or' && holdsJoin(part)) {
    const whole = or(await eachOf(part.of, (branch) => resolveJoin(type, branch, left, probe), probe));
    // Keys and ids together are no list; ids alone are: whom somebody treats is found so.
    const isMixed = whole.kind === 'or' && !holdsJoin(whole) && left === Number.POSITIVE_INFINITY;
    return isMixed ? resolveBranches(type, whole, probe) : whole;
  }
  // A row is checked for a term at a fraction of what its join costs.
  if (part.kind === 'or') return left < Number.POSITIVE_INFINITY ? part : resolveBranches(type, part, probe);
  if (part.kind === 'refers') {
    const { matches, alias } = await fewOf(part.to, left, probe);
    if (matches === undefined) return { ...part, to: alias };
    return or(matches.map(({ id }) => ({ kind: 'key', key: `${part.prefix}${part.to.type}/${id}` })));
  }
  if (part.kind === 'referred') {
    const { matches, alias } = await fewOf(part.by, left, probe, part.prefix);
    if (matches === undefined) return { ...part, by: alias };
    const start = `${part.prefix}${type}/`;
    const keys = matches.flatMap((match) => match.keys).filter((key) => key.startsWith(start));
    const ids = [...new Set(keys.map((key) => key.slice(start.length)))];
    return ids.length > 0 ? { kind: 'ids', ids } : { kind: 'none' };
  }
  return part;
}

/** A reference to any type has 146 branches: one after another they take as many trips to the database, and more. */
async function eachOf(
  parts: readonly Condition[],
  resolved: (part: Condition) => Promise<Condition>,
  { overlaps }: Probe,
): Promise<Condition[]> {
  if (overlaps) return Promise.all(parts.map(resolved));
  const found: Condition[] = [];
  for (const part of parts) found.push(await resolved(part));
  return found;
}

async function resolveBranches(
  type: string,
  part: Extract<Condition, { kind: 'or' }>,
  probe: Looking,
): Promise<Condition> {
  if (!isScattered(type, part)) return part;
  const ids = new Set<string>();
  for (const where of part.of) {
    const found = await idsOf({ type, where }, probe);
    if (found === undefined || ids.size > JOIN_EXAMINE) return part;
    for (const id of found) ids.add(id);
  }
  return ids.size > 0 ? { kind: 'ids', ids: [...ids] } : { kind: 'none' };
}

async function idsOf(alias: Alias, probe: Looking): Promise<readonly string[] | undefined> {
  if (alias.where.kind === 'ids') return alias.where.ids;
  const { matches } = await fewOf(alias, Number.POSITIVE_INFINITY, probe);
  return matches?.map(({ id }) => id);
}

/** All matches, unless they are many or more are to be looked at than `left`. */
function fewOf(alias: Alias, left: number, probe: Looking, prefix?: Key): Promise<Matched> {
  const name = `${alias.type} ${left} ${prefix ?? ''} ${textOf(alias.where)}`;
  const known = probe.matched.get(name) ?? lookForFew(alias, left, probe, prefix);
  probe.matched.set(name, known);
  return known;
}

async function lookForFew(alias: Alias, left: number, probe: Looking, prefix?: Key): Promise<Matched> {
  const parts = await resolveJoins(alias.type, topLevel(alias), probe);
  if (parts === undefined) return { matches: [], alias };
  const resolved: Alias = { type: alias.type, where: and(parts) };
  const sources = sourcesOf(alias.type, parts);
  const smallest = await smallestOf(alias.type, sources, JOIN_EXAMINE, probe);
  const estimate = smallest?.estimate ?? (await probe.count(WHOLE_TYPE.source, alias.type, JOIN_EXAMINE));
  if (estimate >= JOIN_EXAMINE || estimate > left) return { matches: undefined, alias: resolved };
  const found = sortPlan(alias.type, smallest ?? WHOLE_TYPE, parts, [BY_ORD]);
  if (found.kind === 'sort' && found.residual.kind === 'all' && estimate > SMALL * 2)
    return { matches: undefined, alias: resolved };
  const options = { limit: SMALL, examine: JOIN_EXAMINE, ...(prefix === undefined ? {} : { prefix }) };
  return { matches: await probe.few(found, options), alias: resolved };
}

// ---- sources -----------------------------------------------------------------------------------------------------

/** A set that contains every match, and the conditions that its rows fulfil by being in it. */
interface Candidate {
  source: Source;
  covers: readonly Condition[];
  estimate?: number;
}

const WHOLE_TYPE: Candidate = { source: { kind: 'type' }, covers: [] };

function sourcesOf(type: string, parts: readonly Condition[]): readonly Candidate[] {
  return parts.flatMap((part) => {
    const candidate = sourceOf(type, part);
    return candidate === undefined ? [] : [candidate];
  });
}

function sourceOf(type: string, part: Condition): Candidate | undefined {
  if (part.kind === 'ids') return { source: part, covers: [part], estimate: part.ids.length };
  if (part.kind === 'lastUpdated' || part.kind === 'term') return { source: part, covers: [part] };
  const cover = coverOf(type, part);
  if (cover === undefined) return undefined;
  return { source: { kind: 'keys', of: cover.parts }, covers: cover.exact ? [part] : [] };
}

/** Lists whose union holds every match of a condition; `exact` when it holds nothing else (of the type). */
function coverOf(type: string, condition: Condition): { parts: readonly Part[]; exact: boolean } | undefined {
  if (condition.kind === 'key') return { parts: [{ key: condition.key }], exact: true };
  if (condition.kind === 'ord') return { parts: [{ key: typeKey(type), ord: rangeOf(condition) }], exact: true };
  if (condition.kind === 'span') {
    const { from, to, within } = condition;
    return { parts: [{ from, to, ...(within === undefined ? {} : { within }) }], exact: true };
  }
  if (condition.kind === 'and') {
    const covers = condition.of.map((one) => coverOf(type, one)).filter((cover) => cover !== undefined);
    const best = covers.find((cover) => cover.parts.every((part) => 'key' in part)) ?? covers[0];
    return best === undefined ? undefined : { parts: best.parts, exact: false };
  }
  if (condition.kind !== 'or') return undefined;
  const covers = condition.of.map((one) => coverOf(type, one));
  if (!covers.every((cover) => cover !== undefined)) return undefined;
  return { parts: covers.flatMap((cover) => cover.parts), exact: covers.every((cover) => cover.exact) };
}

/** The source with the fewest rows, counted up to `cap` and no further than the best so far. */
async function smallestOf(
  type: string,
  candidates: readonly Candidate[],
  cap: number,
  probe: Probe,
): Promise<Candidate | undefined> {
  let best: Candidate | undefined;
  for (const candidate of candidates) {
    const { source } = candidate;
    const enough = Math.min(cap, best?.estimate ?? cap);
    const estimate = source.kind === 'ids' ? source.ids.length : await probe.count(source, type, enough);
    if (best?.estimate === undefined || estimate < best.estimate) best = { ...candidate, estimate };
    if (estimate === 0) break;
  }
  return best;
}

// ---- the choice --------------------------------------------------------------------------------------------------

async function choose(
  type: string,
  parts: readonly Condition[],
  order: readonly SortKey[],
  probe: Probe,
): Promise<Plan> {
  const candidates = sourcesOf(type, parts);
  const ids = candidates.find((candidate) => candidate.source.kind === 'ids');
  if (ids !== undefined) return sortPlan(type, ids, parts, order);
  const [first, ...others] = order;
  if (first !== undefined && others.length === 0) {
    if (first.by === 'ord') return chooseByOrd(type, parts, first, probe);
    const walk = walkOf(first, parts);
    const isWalked = (source: Source): boolean => walk.kind === 'lastUpdated' && source.kind === 'lastUpdated';
    const sources = candidates.filter((candidate) => !isWalked(candidate.source));
    const smallest = await smallestOf(type, sources, COLLECT_MAX, probe);
    const isSmall = smallest !== undefined && (smallest.estimate ?? 0) < COLLECT_MAX;
    const canWalk = walk.kind !== 'keys' || probe.walksKeys;
    return isSmall && !(canWalk && (await isCommon(type, smallest, parts, probe)))
      ? sortPlan(type, smallest, parts, order)
      : walkPlan(type, walk, parts, order);
  }
  const smallest = await smallestOf(type, candidates, COLLECT_MAX, probe);
  return sortPlan(type, smallest ?? WHOLE_TYPE, parts, order);
}

/** A search in the order of clinical dates, all matches of which lie in `range`. */
interface ByOrd {
  type: string;
  parts: readonly Condition[];
  sort: SortKey;
  range: OrdRange;
}

async function chooseByOrd(type: string, parts: readonly Condition[], sort: SortKey, probe: Probe): Promise<Plan> {
  let range: OrdRange = {};
  const others: Condition[] = [];
  for (const part of parts) {
    const { told, whole } = await datesFor(part, probe);
    range = meet(range, whole);
    // What a walk within the range leaves to be checked of such a condition holds for most rows of it.
    if (isOpen(whole) || !isWithin(whole, told)) others.push(part);
  }
  if (isEmpty(range)) return { kind: 'none' };
  const candidates = sourcesOf(type, others);
  const isDated = others.length < parts.length;
  const lists = candidates.filter(isMergeable).map((list) => within(list, range));
  if (lists.length === 0 && isDated) lists.push(within(listOfType(type), range));
  const sets = candidates.filter((candidate) => !isMergeable(candidate));
  return chooseListOrSet({ type, parts, sort, range }, lists, sets, probe);
}

/**
 * Clinical date order: a list of equal keys already has it, so walking the shortest one stops as soon as the page is
 * full. A span has not: it is collected when small, else the best list in order is walked and the span checked.
 */
async function chooseListOrSet(
  search: ByOrd,
  lists: readonly Candidate[],
  sets: readonly Candidate[],
  probe: Probe,
): Promise<Plan> {
  const { type, parts, sort } = search;
  const [only] = lists;
  if (only !== undefined && lists.length === 1 && sets.length === 0) return walkList(search, only);
  const list = await smallestOf(type, lists, COUNT_CAP, probe);
  if (list?.estimate !== undefined && list.estimate < COUNT_CAP) {
    const set = await smallestOf(type, sets, list.estimate, probe);
    const isSetBetter = set?.estimate !== undefined && set.estimate * 4 < list.estimate;
    return isSetBetter ? sortPlan(type, set, parts, [sort]) : walkList(search, list);
  }
  const set = await smallestOf(type, sets, COUNT_CAP, probe);
  if (set?.estimate !== undefined && set.estimate < COUNT_CAP) return sortPlan(type, set, parts, [sort]);
  const opened = await openSpans(parts, probe);
  if (opened !== undefined) return chooseByOrd(type, opened, sort, probe);
  return chooseAmongLarge(search, lists, sets, probe);
}

// ---- clinical dates ----------------------------------------------------------------------------------------------

/**
 * Where the clinical dates of all matches lie: `told` by the conditions themselves, `whole` with what had to be asked:
 * periods that begin long before what is searched for are found by their end, and the index knows where they began.
 */
async function datesFor(condition: Condition, probe: Probe): Promise<{ told: OrdRange; whole: OrdRange }> {
  const own = ownDates(condition);
  if (condition.kind !== 'or' || !condition.of.some((branch) => branch.kind === 'ord'))
    return { told: own, whole: own };
  let [told, whole] = [NO_DATES, NO_DATES];
  for (const branch of condition.of) {
    const dates = ownDates(branch);
    const isAsked = branch.kind === 'span' && branch.ord === undefined;
    const range = isAsked ? ((await probe.ordsIn(branch, COUNT_CAP)) ?? {}) : dates;
    if (!isEmpty(range)) whole = hull(whole, range);
    if (!isAsked) told = hull(told, dates);
  }
  return { told, whole };
}

const NO_DATES: OrdRange = { from: Number.POSITIVE_INFINITY, to: Number.NEGATIVE_INFINITY };

function ownDates(condition: Condition): OrdRange {
  switch (condition.kind) {
    case 'ord':
      return rangeOf(condition);
    case 'span':
      return condition.ord ?? {};
    case 'and':
      return condition.of.map(ownDates).reduce(meet, {});
    case 'or':
      return condition.of.map(ownDates).reduce(hull, NO_DATES);
    default:
      return {};
  }
}

function rangeOf({ from, to }: OrdRange): OrdRange {
  return { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
}

const isOpen = ({ from, to }: OrdRange): boolean => from === undefined && to === undefined;

function isWithin(inner: OrdRange, outer: OrdRange): boolean {
  const both = hull(inner, outer);
  return both.from === outer.from && both.to === outer.to;
}

/** The rows of lists that lie in a range. */
function within(list: Candidate, range: OrdRange): Candidate {
  if (list.source.kind !== 'keys' || isOpen(range)) return list;
  return { ...list, source: { kind: 'keys', of: list.source.of.map((part) => ({ ...part, ord: range })) } };
}

const listOfType = (type: string): Candidate => ({
  source: { kind: 'keys', of: [{ key: typeKey(type) }] },
  covers: [],
});

// ---- large sets --------------------------------------------------------------------------------------------------

/**
 * The conditions with each span of few keys replaced by those keys, whose lists have an order; undefined when there is
 * none to replace. A code of any system is such a span.
 */
async function openSpans(parts: readonly Condition[], probe: Probe): Promise<readonly Condition[] | undefined> {
  const opened: Condition[] = [];
  for (const part of parts) opened.push(await openSpan(part, probe));
  return opened.some((part, at) => part !== parts[at]) ? opened : undefined;
}

async function openSpan(part: Condition, probe: Probe): Promise<Condition> {
  if (part.kind === 'or') {
    const opened: Condition[] = [];
    for (const one of part.of) opened.push(await openSpan(one, probe));
    return opened.some((one, at) => one !== part.of[at]) ? or(opened) : part;
  }
  if (part.kind !== 'span' || part.fewKeys !== true || part.within !== undefined) return part;
  const keys = await probe.keysIn(part, MERGE_MAX);
  if (keys === undefined) return part;
  return or(keys.map((key) => ({ kind: 'key', key })));
}

async function chooseAmongLarge(
  search: ByOrd,
  lists: readonly Candidate[],
  sets: readonly Candidate[],
  probe: Probe,
): Promise<Plan> {
  const { type, parts, sort, range } = search;
  // A long list of which many rows may fail the rest could be walked to its end: worth counting further.
  const list = await smallestOf(type, lists, COLLECT_MAX, probe);
  if (list?.estimate !== undefined && list.estimate < COLLECT_MAX) return walkList(search, list);
  const set = await smallestOf(type, sets, COLLECT_MAX, probe);
  if (set?.estimate !== undefined && set.estimate < COLLECT_MAX && !(await isCommon(type, set, parts, probe))) {
    return sortPlan(type, set, parts, [sort]);
  }
  return walkList(search, list ?? within(listOfType(type), range));
}

/**
 * Whether so many rows of the type lie in the only set that walking the type fills a page sooner than collecting the set:
 * a page of 64 looks at 64 · all / set rows.
 */
async function isCommon(type: string, set: Candidate, parts: readonly Condition[], probe: Probe): Promise<boolean> {
  const size = set.estimate ?? 0;
  if (parts.length > 1 || set.covers.length === 0) return false;
  const enough = Math.min(COLLECT_LIMIT, Math.floor((size * size) / 64));
  return (await probe.count(WHOLE_TYPE.source, type, enough)) < enough;
}

/** Whole lists, and few enough to be walked as one. */
function isMergeable(candidate: Candidate): boolean {
  const { source } = candidate;
  if (source.kind !== 'keys' || source.of.length > MERGE_MAX) return false;
  return source.of.every((part) => 'key' in part && part.ord === undefined);
}

function walkList({ type, parts, sort, range }: ByOrd, list: Candidate): Plan {
  const keys = list.source.kind === 'keys' ? list.source.of.flatMap((part) => ('key' in part ? [part.key] : [])) : [];
  const walk: Walk = {
    kind: 'ord',
    keys: [...new Set(keys)],
    ...(isOpen(range) ? {} : { range }),
    descending: sort.descending,
  };
  return {
    kind: 'walk',
    type,
    by: walk,
    residual: and(parts.filter((part) => part.kind !== 'ord' && !list.covers.includes(part))),
    order: [sort],
    ...(list.estimate === undefined ? {} : { estimate: list.estimate }),
  };
}

/** The list that has this order for a whole type. */
function walkOf(sort: Exclude<SortKey, { by: 'ord' }>, parts: readonly Condition[]): Walk {
  const { descending } = sort;
  if (sort.by === 'keys') return { kind: 'keys', prefix: sort.prefix, descending };
  const range = parts.find((part) => part.kind === 'lastUpdated');
  return {
    kind: 'lastUpdated',
    descending,
    ...(range?.from === undefined ? {} : { from: range.from }),
    ...(range?.to === undefined ? {} : { to: range.to }),
  };
}

function walkPlan(type: string, by: Walk, parts: readonly Condition[], order: readonly SortKey[]): Plan {
  const rest = by.kind === 'lastUpdated' ? parts.filter((part) => part.kind !== 'lastUpdated') : parts;
  return { kind: 'walk', type, by, residual: and(rest), order };
}

function sortPlan(type: string, from: Candidate, parts: readonly Condition[], order: readonly SortKey[]): Plan {
  return {
    kind: 'sort',
    type,
    source: mergedSource(from.source),
    residual: and(parts.filter((part) => !from.covers.includes(part))),
    order,
    ...(from.estimate === undefined ? {} : { estimate: from.estimate }),
  };
}

/** Without parts that another part contains, and in byte order, so that an adapter reads the index from left to right. */
function mergedSource(source: Source): Source {
  if (source.kind !== 'keys' || source.of.length < 2) return source;
  const whole = source.of.flatMap((part) => ('key' in part && part.ord === undefined ? [part.key] : []));
  const keys = [...new Set(whole)].sort(compareKeys);
  const stretches = source.of.filter((part) => !('key' in part) || part.ord !== undefined);
  return { kind: 'keys', of: [...keys.map((key) => ({ key })), ...stretches] };
}

// A condition as SQL on one candidate row. Whatever drives a query, the driver is read in the order of its list and
// this is checked row by row: no condition here may tempt SQLite to start from another index.
import { prefixSpan } from '../conditions.ts';
import type { Condition, Key, OrdRange, Slice, Within } from '../store.ts';
import { typeKey } from '../store.ts';
import { spanList } from './spans.ts';
import type { Sql } from './sql.ts';
import { balanced, joined, keysText, raw, sql } from './sql.ts';
import { hasTerm } from './terms.ts';

/** Where the columns of the row in question are found. Without `rid` and `ord` the row is in no index: see its keys. */
export interface Place {
  type: string;
  id: string;
  lu: string;
  keys: string;
  /** Of live rows alone. */
  terms?: string;
  indexed?: { rid: string; ord: string };
}

/** From here on a list of equal keys is looked up in the row's keys instead of probing the index for each. */
const PROBES_MAX = 4;
/** From here on spans are looked up together. */
const SPANS_ALONE_MAX = 8;

/** A live row of `resource` under the table name `name`. */
export function liveRow(name: string, type: string): Place {
  const indexed = { rid: `${name}.rid`, ord: `${name}.ord` };
  return { type, id: `${name}.id`, lu: `${name}.lu`, keys: `${name}.keys`, terms: `${name}.terms`, indexed };
}

/** A row of `resource` that may be a tombstone. */
export function anyRow(name: string, type: string): Place {
  return { type, id: `${name}.id`, lu: `${name}.lu`, keys: `${name}.keys` };
}

/** An SQL expression that is true when the condition holds. */
export function holds(condition: Condition, place: Place): Sql {
  if (condition.kind !== 'and' && condition.kind !== 'or') return holdsAt(condition, place, 0);
  let known = compiled.get(condition);
  if (known === undefined) {
    known = new Map();
    compiled.set(condition, known);
  }
  const name = Object.values(place).map(String).join(' ');
  const found = 'indexed' in place ? undefined : known.get(name);
  if (found !== undefined) return found;
  const made = holdsAt(condition, place, 0);
  if (!('indexed' in place)) known.set(name, made);
  return made;
}

/** A caller's filter is the same condition in each of its requests: making the text of an access rule costs 0.3 ms. */
const compiled = new WeakMap<Condition, Map<string, Sql>>();

/** Whether the condition can be decided from the index alone. */
export function isKeysOnly(condition: Condition): boolean {
  if ((condition.kind === 'or' || condition.kind === 'and') && condition.of.length > PROBES_MAX) return false;
  if (condition.kind === 'and' || condition.kind === 'or') return condition.of.every(isKeysOnly);
  if (condition.kind === 'not') return isKeysOnly(condition.of);
  return condition.kind === 'key' || condition.kind === 'ord' || condition.kind === 'all';
}

// `depth` numbers the tables of nested queries, so that the same shape always gives the same text.
function holdsAt(condition: Condition, place: Place, depth: number): Sql {
  switch (condition.kind) {
    case 'all':
      return raw('1');
    case 'none':
      return raw('0');
    case 'key':
      return hasKey(condition.key, place);
    case 'span':
      return hasKeyInSpan(condition, place);
    case 'term':
      // Past versions and tombstones have no terms, and the filters by which these are shown ask for none.
      if (place.terms === undefined) throw new TypeError('only live rows have terms');
      return hasTerm(condition, raw(place.terms));
    case 'ids':
      return sql`${raw(place.id)} IN (SELECT value FROM json_each(${JSON.stringify(condition.ids)}))`;
    case 'ord':
      return hasOrd(condition, place);
    case 'lastUpdated':
      return sql`(${inRange(raw(place.lu), condition)})`;
    case 'and':
      return allOf(condition.of, place, depth);
    case 'or':
      return anyOf(condition.of, place, depth);
    case 'not':
      return sql`NOT ${holdsAt(condition.of, place, depth)}`;
    case 'refers':
      return refersTo(condition, place, depth + 1);
    case 'referred':
      return referredBy(condition, place, depth + 1);
  }
}

/** Bounds of a half-open range on a column; always true without bounds. */
export function inRange(column: Sql, { from, to }: { from?: number; to?: number }): Sql {
  const bounds = [
    ...(from === undefined ? [] : [sql`${column} >= ${from}`]),
    ...(to === undefined ? [] : [sql`${column} < ${to}`]),
  ];
  return bounds.length > 0 ? joined(bounds, ' AND ') : raw('1');
}

/** What must hold of the key `j.value` itself, as further conjuncts. */
export function within(rule: Within | undefined, key = 'j.value'): Sql {
  if (rule === undefined) return raw('');
  if (rule.kind === 'slices') {
    const slices = rule.of.map((slice) => inSlice(slice, key));
    return sql` AND in_time()${joined(slices, '')}`;
  }
  // The part between the five characters of the list and the first TAB.
  const value = raw(
    `substr(${key}, 6, CASE instr(${key}, char(9)) WHEN 0 THEN length(${key}) ELSE instr(${key}, char(9)) - 6 END)`,
  );
  if (rule.kind === 'ends') {
    return rule.text === '' ? raw('') : sql` AND in_time() AND substr(${value}, -length(${rule.text})) = ${rule.text}`;
  }
  return sql` AND in_time() AND instr(${value}, ${rule.text}) > 0`;
}

function inSlice({ at, length, atLeast, atMost }: Slice, key: string): Sql {
  const text = sql`substr(${raw(key)}, ${at + 1}, ${length})`;
  const bounds = [
    ...(atLeast === undefined ? [] : [sql` AND ${text} >= ${atLeast}`]),
    ...(atMost === undefined ? [] : [sql` AND ${text} <= ${atMost}`]),
  ];
  return joined(bounds, '');
}

function hasKey(key: Key, place: Place): Sql {
  if (place.indexed === undefined) return hasKeyWhere(place, sql`j.value = ${key}`);
  const { rid, ord } = place.indexed;
  return sql`EXISTS (SELECT 1 FROM idx e WHERE e.k = ${key} AND e.ord = ${raw(ord)} AND e.rid = ${raw(rid)})`;
}

function hasOrd(range: OrdRange, place: Place): Sql {
  if (place.indexed === undefined) throw new TypeError('only live rows have a clinical date');
  return sql`(${inRange(raw(place.indexed.ord), range)})`;
}

/**
 * Many rows lack any key of the list that a span lies in: the text of the keys tells, at a fifth of the cost of taking
 * it apart. `,"` occurs in the text only before a key, since a quote within one is escaped;
 * after a key that ends in a comma, `,"` is followed by a comma or the end.
 */
function hasKeyInSpan(span: Extract<Condition, { kind: 'span' }>, place: Place): Sql {
  const exact = hasKeyWhere(place, sql`j.value >= ${span.from} AND j.value < ${span.to}${within(span.within)}`);
  const [start] = PLAIN_START.exec(sharedStart(span.from, span.to)) ?? [];
  const isTold = span.ord !== undefined && place.indexed !== undefined;
  const dated = isTold ? sql`${inRange(raw(place.indexed?.ord ?? ''), span.ord ?? {})} AND ` : raw('');
  return start === undefined ? sql`(${dated}${exact})` : sql`(${dated}${mayStart(start, place)} AND ${exact})`;
}

/** One of the row's keys starts with the prefix. */
export function hasPrefix(prefix: Key, place: Place): Sql {
  if (PLAIN_START.exec(prefix)?.[0] === prefix) return mayStart(prefix, place);
  const { from, to } = prefixSpan(prefix);
  return hasKeyWhere(place, sql`j.value >= ${from} AND j.value < ${to}`);
}

/** Text that stands in JSON as it is and cannot be taken for the end of a key before it. */
const PLAIN_START = /^[\w@.|$-][\w@.|$ /-]*/;

function mayStart(start: string, place: Place): Sql {
  const keys = raw(place.keys);
  return sql`(instr(${keys}, ${`,"${start}`}) > 0 OR instr(${keys}, ${`["${start}`}) = 1)`;
}

function sharedStart(a: string, b: string): string {
  let length = 0;
  while (length < a.length && length < b.length && a.charCodeAt(length) === b.charCodeAt(length)) length++;
  return a.slice(0, length);
}

function hasKeyWhere(place: Place, where: Sql): Sql {
  return sql`EXISTS (SELECT 1 FROM json_each(${raw(place.keys)}) j WHERE ${where})`;
}

function anyOf(parts: readonly Condition[], place: Place, depth: number): Sql {
  const keys = parts.flatMap((part) => (part.kind === 'key' ? [part.key] : []));
  const spans = parts.filter((part) => part.kind === 'span');
  const together: Sql[] = [];
  if (keys.length > PROBES_MAX) {
    together.push(hasKeyAmong(keys, place, depth));
  }
  if (spans.length > SPANS_ALONE_MAX) together.push(sql`in_spans(${raw(place.keys)}, ${spanList(spans)})`);
  const isTogether = ({ kind }: Condition): boolean =>
    (kind === 'key' && keys.length > PROBES_MAX) || (kind === 'span' && spans.length > SPANS_ALONE_MAX);
  const alone = parts.filter((part) => !isTogether(part)).map((part) => holdsAt(part, place, depth));
  return balanced([...together, ...alone], 'OR');
}

/**
 * What a function is handed stays in memory until the statement ends: rows that are found come in steps, but those that a
 * join looks at for each of them do not.
 */
function hasKeyAmong(keys: readonly Key[], place: Place, depth: number): Sql {
  const list = keysText(keys);
  if (depth > 0 || place.indexed === undefined)
    return hasKeyWhere(place, sql`j.value IN (SELECT value FROM json_each(${list}))`);
  return sql`has_key_of(${raw(place.keys)}, key_list(${list}))`;
}

/** Conditions of which several say what must not hold: they are looked up like those of which one must. */
function allOf(parts: readonly Condition[], place: Place, depth: number): Sql {
  const refused = parts.flatMap((part) => (part.kind === 'not' ? [part.of] : []));
  const isTogether = refused.length > PROBES_MAX;
  const others = parts.filter(({ kind }) => !isTogether || kind !== 'not').map((part) => holdsAt(part, place, depth));
  return balanced(isTogether ? [...others, sql`NOT ${anyOf(refused, place, depth)}`] : others, 'AND');
}

function refersTo(condition: Extract<Condition, { kind: 'refers' }>, place: Place, depth: number): Sql {
  const start = `${condition.prefix}${condition.to.type}/`;
  const { from, to } = prefixSpan(start);
  const [keys, target] = [raw(`j${depth}`), raw(`t${depth}`)];
  const where = holdsAt(condition.to.where, liveRow(target.text, condition.to.type), depth);
  return sql`EXISTS (SELECT 1 FROM json_each(${raw(place.keys)}) ${keys} CROSS JOIN resource ${target}
    ON ${target}.type = ${condition.to.type} AND ${target}.id = substr(${keys}.value, ${[...start].length + 1})
    WHERE ${keys}.value >= ${from} AND ${keys}.value < ${to} AND ${target}.ord IS NOT NULL AND in_time() AND ${where})`;
}

function referredBy(condition: Extract<Condition, { kind: 'referred' }>, place: Place, depth: number): Sql {
  const start = `${condition.prefix}${place.type}/`;
  const [list, source] = [raw(`i${depth}`), raw(`s${depth}`)];
  const { type, where } = condition.by;
  const indexed = { rid: `${list.text}.rid`, ord: `${list.text}.ord` };
  if (isKeysOnly(where)) {
    // The index alone tells: its rows are live, and the type's own key says that they are of the type.
    const entry = { ...liveRow(source.text, type), indexed };
    return sql`EXISTS (SELECT 1 FROM idx ${list} WHERE ${list}.k = ${start} || ${raw(place.id)}
      AND in_time() AND ${holdsAt(where, entry, depth)} AND ${hasKey(typeKey(type), entry)})`;
  }
  const inner = holdsAt(where, { ...liveRow(source.text, type), indexed }, depth);
  return sql`EXISTS (SELECT 1 FROM idx ${list} CROSS JOIN resource ${source} ON ${source}.rid = ${list}.rid
    WHERE ${list}.k = ${start} || ${raw(place.id)} AND ${source}.type = ${type} AND in_time() AND ${inner})`;
}

// Dates, numbers and quantities with their prefixes, as stretches of the index.
// https://hl7.org/fhir/R4/search.html#prefix, https://hl7.org/fhir/R4/search.html#date
import { FhirError } from '../../base/outcome.ts';
import { dateRange, MAX_TIME, MIN_TIME } from '../../model/dates.ts';
import { decimalRange } from '../../model/decimal.ts';
import type { Condition, Key, OrdRange, Slice, Within } from '../../store/store.ts';
import { or, span } from './conditions.ts';
import {
  codedUnitLists,
  DIGEST_CHARS,
  encodeNumber,
  encodeTime,
  NUMBER_CHARS,
  type NumberLists,
  numberLists,
  SHORT_MS,
  TIME_CHARS,
} from './keys.ts';
import type { OrdList } from './ord.ts';
import { inCanonicalUnit, type Unit, unitOf } from './quantity.ts';
import { literalValue, splitUnescaped } from './query.ts';

export const PREFIXES = ['eq', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap'] as const;
/** `po`, overlaps, and `co`, covers, are _filter's alone. */
export type Prefix = (typeof PREFIXES)[number] | 'po' | 'co';

export interface Prefixed {
  prefix: Prefix;
  text: string;
}

export interface DateContext {
  /** IANA name of the zone in which times without an offset are read. */
  timeZone: string;
  /** ms since the epoch; `ap` is relative to it. */
  now: number;
}

export function parsePrefixed(value: string): Prefixed {
  const prefix = PREFIXES.find((one) => value.startsWith(one));
  return prefix === undefined ? { prefix: 'eq', text: value } : { prefix, text: value.slice(2) };
}

// ---- dates ----

/** Bounds of a date's two ends in ms, all inclusive; what is left out does not matter. */
export interface EndBounds {
  lowFrom?: number;
  lowTo?: number;
  highFrom?: number;
  highTo?: number;
}

/**
 * The alternatives that a date comparison comes to, for dates as half-open ranges [low, high).
 * "ge: greater, or wholly within what was asked for" comes to: begins not before it, or ends after it.
 */
export function dateAlternatives(prefix: Prefix, { from, to }: { from: number; to: number }, now: number): EndBounds[] {
  switch (prefix) {
    case 'eq':
      return [{ lowFrom: from, lowTo: to - 1, highTo: to }];
    case 'ne':
      return [{ lowTo: from - 1 }, { highFrom: to + 1 }];
    case 'gt':
      return [{ highFrom: to + 1 }];
    case 'lt':
      return [{ lowTo: from - 1 }];
    case 'ge':
      return [{ lowFrom: from }, { highFrom: to + 1 }];
    case 'le':
      return [{ lowTo: from - 1 }, { lowFrom: from, highTo: to }];
    case 'sa':
      return [{ lowFrom: to }];
    case 'eb':
      return [{ highTo: from }];
    case 'po':
      return [{ lowTo: to - 1, highFrom: from + 1 }];
    case 'co':
      return [{ lowTo: from, highFrom: to }];
    case 'ap': {
      const margin = approximately(from, to, now);
      return [{ lowTo: to + margin - 1, highFrom: from - margin + 1 }];
    }
  }
}

/** "The recommended value for the approximation is 10% of the stated value (or for a date, 10% of the gap between now and the date)". */
export const approximately = (from: number, to: number, now: number): number =>
  Math.floor(Math.min(Math.abs(now - from), Math.abs(now - to)) / 10);

/** A date parameter as it is searched. With `comparison` the value has no prefix; `ord`: see ord.ts. */
interface SearchedDate {
  name: string;
  comparison: 'po' | 'co' | undefined;
  ord: OrdList | undefined;
}

export function dateCondition(
  prefix: Key,
  value: string,
  { name, comparison: given, ord }: SearchedDate,
  { timeZone, now }: DateContext,
): Condition {
  const literal = literalValue(value);
  const { prefix: comparison, text } = given === undefined ? parsePrefixed(literal) : { prefix: given, text: literal };
  const range = searchedRange(text, name, timeZone);
  const dates = range.from > EARLY && range.to < LATE ? ord : undefined;
  const byOrd = dates && ordAlternatives(comparison, range, dates);
  const { certain, rest } = byOrd ?? { certain: [], rest: dateAlternatives(comparison, range, now) };
  const spans = rest.flatMap((bounds) => dateSpans(prefix, bounds, dates));
  return or([...certain.map((one): Condition => ({ kind: 'ord', ...one })), ...withoutCovered(spans)]);
}

/** A date of a year or less begins at most so long before it ends, leap days and changes of the clock included. */
const LONG_MS = 367 * 24 * 60 * 60 * 1000;
/** Beyond these a date may be open at that end, which one of the year 1 or 9999 cannot be told from. */
const EARLY = MIN_TIME + 2 * LONG_MS;
const LATE = MAX_TIME - 2 * LONG_MS;

/**
 * The same comparison by the clinical date, which is where a date begins; of a period open at its start, where it ends.
 * `certain`: clinical dates that say it all. `rest`: what they cannot say, none of it for dates in `certain` except that
 * open periods may be there, too. Undefined for a comparison that looks at the end of each date.
 */
function ordAlternatives(
  comparison: Prefix,
  { from, to }: { from: number; to: number },
  { isPoint }: OrdList,
): { certain: OrdRange[]; rest: EndBounds[] } | undefined {
  const open: EndBounds[] = isPoint ? [] : [{ lowTo: MIN_TIME }];
  switch (comparison) {
    case 'ge':
      return {
        certain: [{ from: to + 1 }],
        rest: [
          { lowFrom: from, lowTo: to },
          { lowTo: from - 1, highFrom: to + 1 },
        ],
      };
    case 'gt':
      return { certain: [{ from: to + 1 }], rest: [{ lowTo: to, highFrom: to + 1 }] };
    case 'le':
      return { certain: [{ to: from }], rest: [...open, { lowFrom: from, lowTo: to, highTo: to }] };
    case 'lt':
      return { certain: [{ to: from }], rest: open };
    case 'sa':
      return isPoint ? { certain: [{ from: to }], rest: [] } : undefined;
    default:
      return undefined;
  }
}

/** Leaves out stretches that lie within another one, which is how "begins or ends after" comes out for a start. */
function withoutCovered(all: readonly Condition[]): Condition[] {
  const covers = (other: Condition, one: Condition): boolean =>
    other.kind === 'span' &&
    one.kind === 'span' &&
    other.within === undefined &&
    other.from <= one.from &&
    one.to <= other.to;
  // Of two that cover each other, which are the same, the first stays.
  return all.filter(
    (one, at) => !all.some((other, index) => index !== at && covers(other, one) && !(at < index && covers(one, other))),
  );
}

/**
 * The list of lower bounds has every date, the list of upper bounds those of more than a day. What ends not before an
 * instant is therefore a long one in the second list, or begins at most a day before in the first.
 */
function dateSpans(
  prefix: Key,
  { lowFrom, lowTo, highFrom, highTo }: EndBounds,
  dates: OrdList | undefined,
): Condition[] {
  const lows = (from: number | undefined, to: number | undefined, other?: Omit<Slice, 'at' | 'length'>): Condition =>
    timeSpan(`${prefix}l`, from, to, other, dates && ordOfLows(from, to, highTo, dates));
  if (highFrom === undefined) {
    return [lows(lowFrom, lowTo, highTo === undefined ? undefined : { atMost: encodeTime(highTo) })];
  }
  const within = lowTo === undefined ? undefined : { atMost: encodeTime(lowTo) };
  const ord = dates?.isPoint === true ? { from: highFrom - LONG_MS } : undefined;
  return [
    timeSpan(`${prefix}h`, highFrom, undefined, within, ord),
    ...(lowTo === undefined || lowTo >= highFrom ? [lows(highFrom, lowTo)] : []),
    lows(highFrom - SHORT_MS, Math.min(highFrom - 1, lowTo ?? highFrom), { atLeast: encodeTime(highFrom) }),
  ];
}

/** Clinical dates of what begins from `from` to `to`, both inclusive, and ends by `end`. */
function ordOfLows(
  from: number | undefined,
  to: number | undefined,
  end: number | undefined,
  { isPoint }: OrdList,
): OrdRange | undefined {
  if (from !== undefined && from > MIN_TIME) return { from, ...(to === undefined ? {} : { to: to + 1 }) };
  // What is open at its start is dated by its end.
  const last = isPoint ? (to ?? end) : end;
  return last === undefined ? undefined : { to: last + 1 };
}

/** Entries of a list of dates whose first bound is within [from, to], and whose second is within `other`. */
function timeSpan(
  list: Key,
  from: number | undefined,
  to: number | undefined,
  other: Omit<Slice, 'at' | 'length'> | undefined,
  ord: OrdRange | undefined,
): Condition {
  const range = {
    from: from === undefined || from <= MIN_TIME ? list : list + encodeTime(from),
    to: to === undefined || to >= MAX_TIME ? `${list}\x7f` : list + encodeTime(to + 1),
    ...(ord === undefined ? {} : { ord }),
  };
  return span(range, other && slices([{ at: list.length + TIME_CHARS, length: TIME_CHARS, ...other }]));
}

const slices = (of: readonly Slice[]): Within => ({ kind: 'slices', of });

export function searchedRange(text: string, name: string, zone: string): { from: number; to: number } {
  try {
    return dateRange(text, zone);
  } catch (error) {
    if (!(error instanceof FhirError)) throw error;
    throw new FhirError(
      'invalid',
      `"${name}" takes a date such as 2024, 2024-02, 2024-02-29 or 2024-02-29T10:00:00Z, after one of ${PREFIXES.join(', ')} or none.`,
    );
  }
}

export function lastUpdatedCondition(value: string, name: string, { timeZone, now }: DateContext): Condition {
  const { prefix, text } = parsePrefixed(literalValue(value));
  const { from, to } = searchedRange(text, name, timeZone);
  switch (prefix) {
    case 'eq':
    case 'po':
    case 'co':
      return { kind: 'lastUpdated', from, to };
    case 'ne':
      return { kind: 'not', of: { kind: 'lastUpdated', from, to } };
    case 'gt':
    case 'sa':
      return { kind: 'lastUpdated', from: to };
    case 'ge':
      return { kind: 'lastUpdated', from };
    case 'lt':
    case 'eb':
      return { kind: 'lastUpdated', to: from };
    case 'le':
      return { kind: 'lastUpdated', to };
    case 'ap': {
      const margin = approximately(from, to, now);
      return { kind: 'lastUpdated', from: from - margin, to: to + margin };
    }
  }
}

// ---- numbers and quantities ----

/** A number as searched for: its value, and the values that round to it at the precision it is written with. */
export interface SearchedNumber {
  prefix: Prefix;
  value: number;
  /** Half-open. */
  range: { from: number; to: number };
  /** Inclusive: a tenth of the number as it is written, whatever the unit, on either side. */
  around: { from: number; to: number };
}

export function readNumber({ prefix, text }: Prefixed, name: string): SearchedNumber {
  try {
    const value = Number(text);
    const range = decimalRange(text);
    const margin = Math.abs(value) / 10;
    const around = {
      from: Math.min(range.from, rounded(value - margin)),
      to: Math.max(range.to, rounded(value + margin)),
    };
    return { prefix, value, range, around };
  } catch (error) {
    if (!(error instanceof FhirError)) throw error;
    throw new FhirError(
      'invalid',
      `"${name}" takes a number such as 100, 5.40 or 1e-3, after one of ${PREFIXES.join(', ')} or none.`,
    );
  }
}

/** 5.4 and a tenth of it are 5.94, which the sum of the doubles is not. */
const rounded = (value: number): number => Number(value.toPrecision(15));

/** The same number in the base unit of its dimension. */
export function inBaseUnit({ prefix, value, range, around }: SearchedNumber, unit: Unit): SearchedNumber {
  const convert = (one: number): number => inCanonicalUnit(one, unit);
  const converted = ({ from, to }: { from: number; to: number }) => ({ from: convert(from), to: convert(to) });
  return { prefix, value: convert(value), range: converted(range), around: converted(around) };
}

export function numberCondition(prefix: Key, value: string, name: string): Condition {
  return numberSpans(readNumber(parsePrefixed(literalValue(value)), name), numberLists(prefix));
}

/** `[prefix]number`, `number|system|code`, `number||code`. */
export function quantityCondition(prefix: Key, value: string, name: string): Condition {
  const { number, system, code } = quantityParts(value, name);
  const searched = readNumber(number, name);
  if (code === '') return numberSpans(searched, numberLists(prefix));
  if (system === '') return numberSpans(searched, numberLists(prefix, code));
  const unit = unitOf(system, code);
  return numberSpans(inBaseUnit(searched, unit), codedUnitLists(prefix, system, unit.canonical));
}

export function quantityParts(value: string, name: string): { number: Prefixed; system: string; code: string } {
  const parts = splitUnescaped(value, '|').map(literalValue);
  const [number = '', system = '', code = ''] = parts;
  if (parts.length === 2 || parts.length > 3) {
    throw new FhirError('invalid', `"${name}" takes [prefix]number, number|system|code or number||code.`);
  }
  if (code === '' && system !== '') {
    throw new FhirError(
      'invalid',
      `"${name}": a system is followed by a code, as in 5.4|http://unitsofmeasure.org|mg.`,
    );
  }
  return { number: parsePrefixed(number), system, code };
}

/** Inclusive bounds of a point, or of a range's two ends; what is left out does not matter. */
export type NumberBounds =
  | { of: 'point'; from?: number; to?: number }
  | { of: 'range'; lowFrom?: number; lowTo?: number; highFrom?: number; highTo?: number };

/**
 * The alternatives that a comparison comes to, for points and for ranges.
 * "When a comparison prefix gt, lt, ge, le, sa, eb is provided, the implicit precision of the number is ignored."
 */
export function numberAlternatives({ prefix, value, range, around }: SearchedNumber): NumberBounds[] {
  const { from } = range;
  const to = before(range.to);
  switch (prefix) {
    case 'gt':
      return [
        { of: 'point', from: after(value) },
        { of: 'range', highFrom: after(value) },
      ];
    case 'ge':
      return [
        { of: 'point', from: value },
        { of: 'range', highFrom: value },
      ];
    case 'lt':
      return [
        { of: 'point', to: before(value) },
        { of: 'range', lowTo: before(value) },
      ];
    case 'le':
      return [
        { of: 'point', to: value },
        { of: 'range', lowTo: value },
      ];
    case 'sa':
      return [
        { of: 'point', from: after(value) },
        { of: 'range', lowFrom: after(value) },
      ];
    case 'eb':
      return [
        { of: 'point', to: before(value) },
        { of: 'range', highTo: before(value) },
      ];
    case 'eq':
    case 'po':
    case 'co':
      return [
        { of: 'point', from, to },
        { of: 'range', lowFrom: from, highTo: range.to },
      ];
    case 'ne':
      return [
        { of: 'point', to: before(from) },
        { of: 'point', from: range.to },
        { of: 'range', lowTo: before(from) },
        { of: 'range', highFrom: after(range.to) },
      ];
    case 'ap':
      return [
        { of: 'point', from: around.from, to: around.to },
        { of: 'range', lowTo: around.to, highFrom: around.from },
      ];
  }
}

function numberSpans(searched: SearchedNumber, lists: NumberLists): Condition {
  return or(numberAlternatives(searched).map((bounds) => numberSpan(bounds, lists)));
}

function numberSpan(bounds: NumberBounds, lists: NumberLists): Condition {
  if (bounds.of === 'point') return encodedSpan(lists.point, bounds.from, bounds.to, [], unitSlice(lists, 1));
  const { lowFrom, lowTo, highFrom, highTo } = bounds;
  const byLow = lowFrom !== undefined || lowTo !== undefined;
  const [list, first, second] = byLow
    ? ([lists.low, [lowFrom, lowTo], [highFrom, highTo]] as const)
    : ([lists.high, [highFrom, highTo], [lowFrom, lowTo]] as const);
  const other = encodedBounds(second[0], second[1]);
  const slice = { at: list.length + NUMBER_CHARS, length: NUMBER_CHARS, ...other };
  return encodedSpan(list, first[0], first[1], other === undefined ? [] : [slice], unitSlice(lists, 2));
}

/** The unit that stands after so many numbers, where the lists are of any unit and one is asked for. */
function unitSlice({ point, unit }: NumberLists, numbers: number): Slice[] {
  if (unit === undefined) return [];
  return [{ at: point.length + numbers * NUMBER_CHARS, length: DIGEST_CHARS, atLeast: unit, atMost: unit }];
}

function encodedBounds(from: number | undefined, to: number | undefined): Omit<Slice, 'at' | 'length'> | undefined {
  if (from === undefined && to === undefined) return undefined;
  return {
    ...(from === undefined ? {} : { atLeast: encodeNumber(from) }),
    ...(to === undefined ? {} : { atMost: encodeNumber(to) }),
  };
}

function encodedSpan(list: Key, from: number | undefined, to: number | undefined, ...more: Slice[][]): Condition {
  const range = {
    from: from === undefined ? list : list + encodeNumber(from),
    // What follows the number in a key is below DEL.
    to: to === undefined ? `${list}\x7f` : `${list}${encodeNumber(to)}\x7f`,
  };
  const all = more.flat();
  return span(range, all.length === 0 ? undefined : slices(all));
}

const bits = new DataView(new ArrayBuffer(8));

/** The least double above a number, and the greatest below it. */
export const after = (value: number): number => neighbour(value, 1);
export const before = (value: number): number => neighbour(value, -1);

function neighbour(value: number, direction: 1 | -1): number {
  if (!Number.isFinite(value)) return value;
  if (value === 0) return direction * Number.MIN_VALUE;
  bits.setFloat64(0, value);
  bits.setBigInt64(0, bits.getBigInt64(0) + BigInt(value > 0 ? direction : -direction));
  return bits.getFloat64(0);
}

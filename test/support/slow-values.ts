// Values of resources compared with values of a search, slowly and by the specification alone.
// https://hl7.org/fhir/R4/search.html#ptypes
import { Temporal } from 'temporal-polyfill';
import { limits } from '../../src/base/limits.ts';
import type { TypedValue } from '../../src/model/search-accessors.ts';
import type { OrderedValue, Prefix } from './slow-criteria.ts';
import { comparableIn, compareRationals, INFINITE, plus, type Rational, rational, times } from './slow-units.ts';

// ---- strings ----

const PARTS = 'text family given prefix suffix line city district state postalCode country'.split(' ');

/** What a string parameter looks at. */
export function textsOf({ value }: TypedValue): string[] {
  if (typeof value === 'string') return [value];
  const object = value as Record<string, unknown>;
  return PARTS.flatMap((part) => (object[part] ?? []) as string | string[]);
}

const LIKE: Readonly<Record<string, string>> = { Ł: 'l', ł: 'l', ß: 'ss', ς: 'σ' };

/** Letter by letter, so that no letter depends on what follows it. */
export const folded = (text: string): string =>
  [...text.normalize('NFKD').replace(/\p{M}/gu, '')]
    .map((letter) => LIKE[letter] ?? letter.toLowerCase())
    .join('')
    .replace(/\s+/g, ' ')
    .trim();

export function stringFits(stored: string, asked: string, modifier: string | undefined): boolean {
  const [own, other] = [folded(stored), folded(asked)];
  const initial = (text: string): number => text.codePointAt(0) ?? 0;
  switch (modifier) {
    case 'exact':
      return stored === asked;
    case 'contains':
      return own.includes(other);
    // What follows are operators of _filter.
    case 'eq':
      return own === other;
    case 'ne':
      return own !== other;
    case 'ew':
      return own.endsWith(other);
    case 'gt':
      return initial(own) > initial(other);
    case 'lt':
      return initial(own) < initial(other);
    case 'ge':
      return initial(own) >= initial(other);
    case 'le':
      return initial(own) <= initial(other);
    default:
      return startsLike(stored, asked);
  }
}

/** The index keeps so much of the beginning of each text. */
export const startsLike = (stored: string, asked: string): boolean =>
  folded(stored).slice(0, limits.stringKeyCharsMax).startsWith(folded(asked));

// ---- tokens ----

export interface CodingValue {
  /** undefined: the element has no place for a system; '': it has none. */
  system: string | undefined;
  code: string | undefined;
}

export function codingsOf({ type, value }: TypedValue): CodingValue[] {
  if (typeof value !== 'object' || value === null) return [{ system: undefined, code: String(value) }];
  const object = value as Record<string, unknown>;
  const text = (name: string): string | undefined => object[name] as string | undefined;
  if (type === 'CodeableConcept') {
    return ((object.coding ?? []) as object[]).flatMap((coding) => codingsOf({ type: 'Coding', value: coding }));
  }
  if (type === 'Identifier') return [{ system: text('system') ?? '', code: text('value') }];
  if (type === 'ContactPoint') return [{ system: undefined, code: text('value') }];
  return [{ system: text('system') ?? '', code: text('code') }];
}

export function tokenFits(stored: CodingValue, asked: { system?: string; code?: string }): boolean {
  if (asked.code === undefined) return asked.system !== undefined && stored.system === asked.system;
  if (stored.code?.toLowerCase() !== asked.code.toLowerCase()) return false;
  return asked.system === undefined || stored.system === undefined || stored.system === asked.system;
}

interface Readable {
  text?: string;
  display?: string;
  coding?: { system?: string; code?: string; display?: string }[];
}

/** What a person reads of a token: "CodeableConcept.text, Coding.display, or Identifier.type.text". */
export function readableTexts({ type, value }: TypedValue): string[] {
  const kind = (type === 'Identifier' ? (value as { type?: unknown }).type : value) as Readable | undefined;
  if (typeof kind !== 'object' || kind === null) return [];
  return [kind.text, kind.display, ...(kind.coding ?? []).map(({ display }) => display)].filter(
    (text) => typeof text === 'string',
  );
}

export function isOfType({ type, value }: TypedValue, asked: { system: string; code: string; value: string }): boolean {
  const identifier = value as { type?: Readable; value?: string };
  if (type !== 'Identifier' || identifier.value?.toLowerCase() !== asked.value.toLowerCase()) return false;
  return (identifier.type?.coding ?? []).some(
    ({ system, code }) => system === asked.system && code?.toLowerCase() === asked.code.toLowerCase(),
  );
}

// ---- uris ----

export function uriFits(stored: string, asked: string, modifier: string | undefined): boolean {
  const below = (upper: string, lower: string): boolean =>
    upper === lower || lower.startsWith(upper.endsWith('/') ? upper : `${upper}/`);
  switch (modifier) {
    case 'below':
    case 'ss':
      return below(asked, stored);
    case 'above':
    case 'sb':
      return below(stored, asked);
    case 'sw':
      return stored.startsWith(asked);
    case 'ne':
      return stored !== asked;
    default:
      return stored === asked;
  }
}

// ---- dates ----

/** Half-open, ms since the epoch; open ends are infinite. */
export interface Span {
  from: number;
  to: number;
}

const DATE = /^(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?)?)?)?$/;

/** The half-open range of a date text, ms since the epoch. */
export function dateSpan(text: string, zone: string): Span {
  const match = DATE.exec(text);
  if (match === null) throw new RangeError(`no date: ${text}`);
  const [, year, month, day, hour, minute, second, fraction, offset] = match;
  if (hour === undefined) {
    const first = new Temporal.PlainDate(Number(year), Number(month ?? 1), Number(day ?? 1));
    const next = first.add(day !== undefined ? { days: 1 } : month !== undefined ? { months: 1 } : { years: 1 });
    return { from: startOfDay(first, zone), to: startOfDay(next, zone) };
  }
  const ms = Number((fraction ?? '').padEnd(3, '0').slice(0, 3));
  const plain = new Temporal.PlainDateTime(
    Number(year),
    Number(month),
    Number(day),
    Number(hour),
    Number(minute),
    Number(second ?? 0),
    ms,
  );
  const from = plain.toZonedDateTime(offset === undefined ? zone : offset === 'Z' ? 'UTC' : offset).epochMilliseconds;
  const length = second === undefined ? 60_000 : fraction === undefined ? 1000 : 10 ** Math.max(0, 3 - fraction.length);
  return { from, to: from + length };
}

const startOfDay = (date: Temporal.PlainDate, zone: string): number => date.toZonedDateTime(zone).epochMilliseconds;

/** The span of a date, Period or Timing; undefined for what has none. */
export function spanOf({ type, value }: TypedValue, read: (text: string) => Span): Span | undefined {
  if (typeof value === 'string') return read(value);
  if (type === 'Period') {
    const { start, end } = value as { start?: string; end?: string };
    const from = start === undefined ? Number.NEGATIVE_INFINITY : read(start).from;
    const to = end === undefined ? Number.POSITIVE_INFINITY : read(end).to;
    // One that ends before it starts is no period; it is taken for the instant at which it starts.
    return { from, to: Math.max(to, from + 1) };
  }
  if (type !== 'Timing') return undefined;
  const { event = [], repeat } = value as { event?: string[]; repeat?: { boundsPeriod?: object } };
  const spans = event.map(read);
  const bounds = repeat?.boundsPeriod && spanOf({ type: 'Period', value: repeat.boundsPeriod }, read);
  if (bounds !== undefined) spans.push(bounds);
  if (spans.length === 0) return undefined;
  return { from: Math.min(...spans.map(({ from }) => from)), to: Math.max(...spans.map(({ to }) => to)) };
}

/** `po` and `co` are operators of _filter. `now`: ms since the epoch. */
export function spanFits(stored: Span, prefix: Prefix | 'po' | 'co', asked: Span, now: number): boolean {
  const isWithin = asked.from <= stored.from && stored.to <= asked.to;
  switch (prefix) {
    case '':
    case 'eq':
      return isWithin;
    case 'ne':
      return !isWithin;
    case 'gt':
      return stored.to > asked.to;
    case 'lt':
      return stored.from < asked.from;
    case 'ge':
      return stored.to > asked.to || isWithin;
    case 'le':
      return stored.from < asked.from || isWithin;
    case 'sa':
      return stored.from >= asked.to;
    case 'eb':
      return stored.to <= asked.from;
    case 'ap': {
      const margin = Math.floor(Math.min(Math.abs(now - asked.from), Math.abs(now - asked.to)) / 10);
      return stored.from < asked.to + margin && stored.to > asked.from - margin;
    }
    case 'po':
      return stored.from < asked.to && stored.to > asked.from;
    case 'co':
      return stored.from <= asked.from && stored.to >= asked.to;
  }
}

// ---- numbers and quantities ----

export interface QuantityRange {
  low: number;
  high: number;
  system?: string;
  code?: string;
  unit?: string;
}

interface QuantityValue {
  value?: number;
  unit?: string;
  system?: string;
  code?: string;
  currency?: string;
}

export function quantitiesOf({ type, value }: TypedValue): QuantityRange[] {
  if (typeof value === 'number') return [{ low: value, high: value }];
  if (type === 'Range') {
    const { low, high } = value as { low?: QuantityValue; high?: QuantityValue };
    if (low?.value === undefined && high?.value === undefined) return [];
    const { system, code, unit } = low ?? high ?? {};
    return [
      {
        low: low?.value ?? Number.NEGATIVE_INFINITY,
        high: high?.value ?? Number.POSITIVE_INFINITY,
        ...(system === undefined ? {} : { system }),
        ...(code === undefined ? {} : { code }),
        ...(unit === undefined ? {} : { unit }),
      },
    ];
  }
  const quantity = (type === 'SampledData' ? (value as { origin: object }).origin : value) as QuantityValue;
  if (quantity.value === undefined) return [];
  const range = { ...quantity, low: quantity.value, high: quantity.value };
  return [
    quantity.currency === undefined ? range : { ...range, system: 'urn:iso:std:iso:4217', code: quantity.currency },
  ];
}

/** With a system the unit is converted; `number||unit` looks at the code and the word; a number alone at the numbers. */
export function quantityFits(stored: QuantityRange, asked: OrderedValue): boolean {
  const { system = '', code, prefix, text } = asked;
  if (code === undefined) return numberFits(stored, prefix, text);
  if (system === '') return (stored.code === code || stored.unit === code) && numberFits(stored, prefix, text);
  if (stored.system !== system || stored.code === undefined) return false;
  const same = comparableIn(system, stored.code, code);
  return same !== undefined && fits(stored, prefix, text, same);
}

export const numberFits = (stored: QuantityRange, prefix: Prefix, text: string): boolean =>
  fits(stored, prefix, text, { stored: (value) => value, asked: (value) => value });

/** How numbers are brought to one unit. */
interface Conversions {
  stored: (value: Rational) => Rational;
  asked: (value: Rational) => Rational;
}

function fits(range: QuantityRange, prefix: Prefix, text: string, convert: Conversions): boolean {
  const number = rational(text);
  const half = halfDigit(text);
  const [low, high] = [bound(range.low, convert.stored), bound(range.high, convert.stored)];
  const value = convert.asked(number);
  const [from, to] = [convert.asked(plus(number, half, -1)), convert.asked(plus(number, half))];
  const isPoint = compareRationals(low, high) === 0;
  // A point at the upper edge rounds up and so is no longer within.
  const isBelow = isPoint ? compareRationals(high, to) < 0 : compareRationals(high, to) <= 0;
  const isWithin = compareRationals(from, low) <= 0 && isBelow;
  switch (prefix) {
    case '':
    case 'eq':
      return isWithin;
    case 'ne':
      return !isWithin;
    case 'gt':
      return compareRationals(high, value) > 0;
    case 'ge':
      return compareRationals(high, value) >= 0;
    case 'lt':
      return compareRationals(low, value) < 0;
    case 'le':
      return compareRationals(low, value) <= 0;
    case 'sa':
      return compareRationals(low, value) > 0;
    case 'eb':
      return compareRationals(high, value) < 0;
    case 'ap': {
      // "10% of the stated value": of the number as it is written, whatever its unit.
      const tenth = times(number, { num: number.num < 0n ? -1n : 1n, den: 10n });
      const margin = compareRationals(tenth, half) > 0 ? tenth : half;
      const [least, most] = [convert.asked(plus(number, margin, -1)), convert.asked(plus(number, margin))];
      return compareRationals(low, most) <= 0 && compareRationals(high, least) >= 0;
    }
  }
}

/** Half of the last digit written; a single digit with an exponent counts as two. */
function halfDigit(text: string): Rational {
  const [, whole = '', fraction = '', exponent] = /^-?(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(text) ?? [];
  const isSingle = exponent !== undefined && whole.length + fraction.length === 1;
  return rational(`5e${Number(exponent ?? 0) - fraction.length - 1 - (isSingle ? 1 : 0)}`);
}

function bound(value: number, convert: (value: Rational) => Rational): Rational {
  if (Number.isFinite(value)) return convert(rational(String(value)));
  return value < 0 ? { ...INFINITE, num: -INFINITE.num } : INFINITE;
}

// Index keys: the one encoder from FHIR values to the store's ordered strings, used when a resource is stored and when a
// search is compiled, so that both always agree.
//
// A key is four characters for the parameter (a hash of "Type.code"), one for the list within it, and the value:
//   s  string     folded text TAB text as written        t  token      code TAB system hash
//   x  string     further stretches of a long text       i  reference  identifier, as t
//   r  reference  "Type/id", or an absolute URL or canonical            p  uri  the URI
//   l  date       lower bound, upper bound                h  date       upper bound, lower bound, for more than a day
//   n  number     value, unit                             L  range      low, high, unit    H  range  high, low, unit
//   q  quantity   system and code (of UCUM: the dimension), value       (with Q and R for the ends of ranges)
//   k  composite  see composite.ts                        !  anything   the element is there but yields no value
// What is asked for now and then is a term, which costs a store less; it begins with the same four characters:
//   u  token      system hash                             d  token      folded text that people read
//   o  identifier type's system and code, value           j  reference  identifier's system
//   w  word of the narrative or of the content
// Keys of a date or number are ASCII of fixed length, so that byte order is value order.
import { createHash } from 'node:crypto';
import { limits } from '../../base/limits.ts';
import { folded } from '../../base/text.ts';
import { MAX_TIME, MIN_TIME } from '../../model/dates.ts';
import type { Key, Term } from '../../store/store.ts';

/** Raised when keys or terms are made in another way: a store of an older one is then indexed anew. */
export const INDEX_VERSION = 4;

const DIGITS = '-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz';
const TAB = '\t';
/** Above every character that a fixed-length key holds. */
const ABOVE = '\x7f';
const CODE_CHARS_MAX = 200;
const URI_CHARS_MAX = 1000;
/** Stretches of one text: 100,000 characters; what a string parameter looks at is a name or a description, not a book. */
const WINDOWS_MAX = 1000;
const DIGESTS_MAX = 20_000;
/** R4 has 4,000; parameters that clients try to add bring further ones. */
const PREFIXES_MAX = 50_000;

/** Mark of a token that has no system of its own because its element is a `code`, `boolean` or the like. */
const IMPLICIT = '#';
function digits(value: number, count: number): string {
  let text = '';
  for (let rest = value, left = count; left > 0; left--) {
    text = DIGITS[rest & 63] + text;
    rest >>>= 6;
  }
  return text;
}

const prefixes = new Map<string, Key>();

/** The first four characters of every key of a parameter on a type. FNV-1a, 24 bits; a test holds that R4's differ. */
export function parameterPrefix(type: string, code: string): Key {
  const name = `${type}.${code}`;
  let prefix = prefixes.get(name);
  if (prefix === undefined) {
    let hash = 0x811c9dc5;
    for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193);
    prefix = digits(((hash >>> 24) ^ hash) & 0xffffff, 4);
    if (prefixes.size >= PREFIXES_MAX) prefixes.clear();
    prefixes.set(name, prefix);
  }
  return prefix;
}

/** Characters that stand for a text; two texts share them only by an accident of one in 2^(6 × chars). */
export function digest(text: string, chars: number): string {
  const bytes = createHash('sha256').update(text).digest();
  let out = '';
  for (let at = 0; at < chars; at++) out += DIGITS[(bytes[at] ?? 0) & 63];
  return out;
}

const digests = new Map<string, string>();

/** Eight characters for a system, code or unit; the last ones asked for are remembered. */
export function shortDigest(text: string): string {
  let found = digests.get(text);
  if (found === undefined) {
    found = digest(text, DIGEST_CHARS);
    if (digests.size >= DIGESTS_MAX) digests.clear();
    digests.set(text, found);
  }
  return found;
}

/** Eight characters for a token's system; '' for none. */
const systemHash = (system: string): string => (system === '' ? '' : shortDigest(system));

/** Text that cannot be mistaken for a separator and is not longer than `max`; what is cut is kept apart by a digest. */
function bounded(text: string, max: number): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is replaced here
  const clean = /[\x00-\x1f]/.test(text) ? text.replace(/[\x00-\x1f]/g, ' ') : text;
  return clean.length <= max ? clean.toWellFormed() : `${cut(clean, max - 23)}#${digest(clean, 22)}`;
}

/**
 * At most `max` units of UTF-16, without half a character: a lone surrogate has no bytes of its own in UTF-8, so that
 * what a store gives back would not be the key that it got.
 */
function cut(text: string, max: number): string {
  const isSplit = text.length > max && (text.charCodeAt(max - 1) & 0xfc00) === 0xd800;
  return text.slice(0, isSplit ? max - 1 : max).toWellFormed();
}

/** Nine characters that sort as the instant does; instants outside years 1 to 9999 are brought to the nearest end. */
export function encodeTime(ms: number): string {
  const clamped = Math.min(Math.max(ms, MIN_TIME), MAX_TIME) - MIN_TIME;
  return digits(Math.floor(clamped / 0x1000000), 5) + digits(clamped % 0x1000000, 4);
}

const doubleView = new DataView(new ArrayBuffer(8));

/** Eleven characters that sort as the IEEE double does. */
export function encodeNumber(value: number): string {
  doubleView.setFloat64(0, value === 0 ? 0 : value);
  let high = doubleView.getUint32(0);
  let low = doubleView.getUint32(4);
  if (high >>> 31 === 1) {
    high = ~high >>> 0;
    low = ~low >>> 0;
  } else {
    high = (high | 0x80000000) >>> 0;
  }
  return digits(high >>> 2, 5) + digits(((high & 3) << 28) | (low >>> 4), 5) + digits(low & 15, 1);
}

/** The number that eleven characters stand for. */
export function decodeNumber(text: string): number {
  let rest = 0n;
  for (const char of text) rest = (rest << BigInt(6)) | BigInt(DIGITS.indexOf(char));
  // 5 digits of 30 bits, 5 of 30, and 4 bits in the last one.
  const bits = ((rest >> 6n) << 4n) | (rest & 15n);
  const isPositive = bits >> 63n === 1n;
  doubleView.setBigUint64(0, BigInt.asUintN(64, isPositive ? bits ^ (1n << 63n) : ~bits));
  return doubleView.getFloat64(0);
}

/** The same code in other letters is the same token: "when in doubt, servers SHOULD treat tokens in a case-insensitive manner". */
const tokenCode = (code: string): string => bounded(code.toLowerCase(), CODE_CHARS_MAX);

export const stringStart = (text: string): string => cut(folded(text), limits.stringKeyCharsMax);

/** Stands where a stretch of a text ends before the text does, so that nothing is taken for its end. */
const MORE = '\x1f';

/** A folded text from a place on, as much of it as one key holds. */
function stretch(whole: string, at: number): string {
  const part = cut(whole.slice(at), limits.stringKeyCharsMax);
  return at + part.length < whole.length ? part + MORE : part;
}

/** Keys for storing, by kind of parameter. Each returns complete keys for a parameter's prefix. */
export const keys = {
  present: (prefix: Key): Key => `${prefix}!`,
  string: (prefix: Key, text: string): Key =>
    `${prefix}s${stretch(folded(text), 0)}${TAB}${bounded(text, CODE_CHARS_MAX)}`,
  /**
   * Stretches of a long text's folded form after its start, each overlapping the one before by as much as `:contains` may
   * ask for, so that what is asked for lies within one of them.
   */
  stringWindows: (prefix: Key, text: string): Key[] => {
    if (text.length <= limits.stringKeyCharsMax) return [];
    const whole = folded(text);
    const windows: Key[] = [];
    const step = limits.stringKeyCharsMax - limits.containsCharsMax;
    for (let at = step; at + limits.containsCharsMax < whole.length && windows.length < WINDOWS_MAX; at += step) {
      windows.push(`${prefix}x${stretch(whole, at)}`);
    }
    return windows;
  },
  /** `system` undefined: the element cannot carry one. */
  token: (prefix: Key, code: string, system: string | undefined, list: 't' | 'i' = 't'): Key =>
    `${prefix}${list}${tokenCode(code)}${TAB}${system === undefined ? IMPLICIT : systemHash(system)}`,
  reference: (prefix: Key, target: string): Key => `${prefix}r${bounded(target, URI_CHARS_MAX)}`,
  uri: (prefix: Key, uri: string): Key => `${prefix}p${bounded(uri, URI_CHARS_MAX)}`,
  /** The list of upper bounds is for those that the list of lower bounds would find only by looking far back. */
  date: (prefix: Key, from: number, to: number): Key[] => {
    const low = encodeTime(from);
    const high = encodeTime(to);
    return to - from <= SHORT_MS ? [`${prefix}l${low}${high}`] : [`${prefix}l${low}${high}`, `${prefix}h${high}${low}`];
  },
} as const;

/** Terms for storing and searching. */
export const terms = {
  tokenSystem: (prefix: Key, system: string): Term => `${prefix}u${systemHash(system)}`,
  identifierSystem: (prefix: Key, system: string): Term => `${prefix}j${systemHash(system)}`,
  /** `:text` looks at the beginning. */
  display: (prefix: Key, text: string): Term => `${prefix}d${stringStart(text)}`,
  ofType: (prefix: Key, system: string, code: string, value: string): Term =>
    `${prefix}o${shortDigest(`${system}|${code.toLowerCase()}`)}${bounded(value.toLowerCase(), CODE_CHARS_MAX)}`,
  word: (prefix: Key, word: string): Term => `${prefix}w${word}`,
} as const;

/** A date of a day or less, also of the day on which clocks go back, begins at most so long before it ends. */
export const SHORT_MS = 25 * 60 * 60 * 1000;

/** What stands between a parameter's prefix and the number, for a point and for both ends of a range. */
export interface NumberLists {
  point: Key;
  low: Key;
  high: Key;
  /** The unit that follows the number in these lists, where it matters. */
  unit?: string;
}

/** Characters of an encoded instant, of an encoded number, and of a digest that stands for a unit, a system or a code. */
export const TIME_CHARS = 9;
export const NUMBER_CHARS = 11;
export const DIGEST_CHARS = 8;
/** Where there is no unit, system or the like. */
export const NO_DIGEST = '-'.repeat(DIGEST_CHARS);

/** The lists in which a number is kept whatever its unit; with `unit`, those of its entries whose code or unit it is. */
export const numberLists = (prefix: Key, unit?: string): NumberLists => ({
  point: `${prefix}n`,
  low: `${prefix}L`,
  high: `${prefix}H`,
  ...(unit === undefined ? {} : { unit: shortDigest(unit) }),
});

/** The lists of quantities with this system and code; of UCUM, of all units that can be converted into each other. */
export function codedUnitLists(prefix: Key, system: string, code: string): NumberLists {
  const unit = shortDigest(`${system}|${code}`);
  return { point: `${prefix}q${unit}`, low: `${prefix}Q${unit}`, high: `${prefix}R${unit}` };
}

/** Keys of a number: one for each unit it is found by. */
export function numberKeys(prefix: Key, value: number, units: readonly string[] = []): Key[] {
  return unitDigests(units).map((unit) => `${prefix}n${encodeNumber(value)}${unit}`);
}

const unitDigests = (units: readonly string[]): string[] =>
  units.length === 0 ? [NO_DIGEST] : units.map((unit) => shortDigest(unit));

export const numberKey = (lists: NumberLists, value: number): Key => lists.point + encodeNumber(value);

export function numberRangeKeys(lists: NumberLists, from: number, to: number, units?: readonly string[]): Key[] {
  const low = encodeNumber(from);
  const high = encodeNumber(to);
  const tails = units === undefined ? [''] : unitDigests(units);
  return tails.flatMap((tail) => [lists.low + low + high + tail, lists.high + high + low + tail]);
}

/** Spans for searching. All are half-open. */
export const spans = {
  /** Every key of the parameter: the element is present. */
  present: (prefix: Key): { from: Key; to: Key } => ({ from: prefix, to: `${prefix}${ABOVE}` }),
  /** Every key that begins so. */
  following: (start: Key): { from: Key; to: Key } => ({ from: start, to: following(start) }),
  startsWith: (prefix: Key, text: string): { from: Key; to: Key } => spans.following(`${prefix}s${stringStart(text)}`),
  /** The same text but for case and accents. */
  equalTo: (prefix: Key, text: string): { from: Key; to: Key } => {
    const from = `${prefix}s${stringStart(text)}${TAB}`;
    return { from, to: following(from) };
  },
  /** A code whatever its system. */
  tokens: (prefix: Key, code: string, list: 't' | 'i' = 't'): { from: Key; to: Key } => {
    const from = `${prefix}${list}${tokenCode(code)}${TAB}`;
    return { from, to: `${from}${ABOVE}` };
  },
  allWindows: (prefix: Key): { from: Key; to: Key } => ({ from: `${prefix}x`, to: `${prefix}y` }),
  allStrings: (prefix: Key): { from: Key; to: Key } => ({ from: `${prefix}s`, to: `${prefix}t` }),
  uriBelow: (prefix: Key, uri: string): { from: Key; to: Key } => {
    return spans.following(`${prefix}p${bounded(uri.replace(/\/$/, ''), URI_CHARS_MAX)}/`);
  },
} as const;

/** The least text that is greater than every text that starts with this one, by UTF-8 bytes. */
function following(text: string): Key {
  const last = text.codePointAt(text.length - 1) ?? 0;
  const before = text.slice(0, text.length - 1);
  // The last character is ASCII in most cases; the first code point that no key holds is right for all others.
  return last < 0x7f ? before + String.fromCodePoint(last + 1) : `${text}\u{10ffff}`;
}

/** Prefix of a parameter's list by which `_sort` orders. */
export function sortPrefix(
  prefix: Key,
  type: 'string' | 'token' | 'reference' | 'uri' | 'date' | 'number' | 'quantity',
): Key {
  const list = { string: 's', token: 't', reference: 'r', uri: 'p', date: 'l', number: 'n', quantity: 'n' }[type];
  return prefix + list;
}

/** Prefix of a parameter's references, as `_include`, chains and `_has` follow them. */
export const referencePrefix = (prefix: Key): Key => `${prefix}r`;

/** Beginning of the keys that follow. */
export const compartmentPrefix: Key = '@pat:';

/** A member of a patient's compartment: one list for each patient and type. */
export const compartmentKey = (patientId: string, type: string): Key => `${compartmentPrefix}${patientId}${TAB}${type}`;

/** A resource that contains one of a type. */
export const containerKey = (type: string): Key => `@con:${type}`;

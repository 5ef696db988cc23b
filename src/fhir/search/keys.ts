// Index keys: the one encoder from FHIR values to the store's ordered strings, used when a resource is stored and when a
// search is compiled, so that both always agree.
//
// A key is four characters for the parameter (a hash of "Type.code"), one for the list within it, and the value:
//   s  string     folded text TAB text as written        t  token      code TAB system hash, and code TAB *
//   u  token      system hash                            r  reference  "Type/id", or an absolute URL or canonical
//   i  reference  identifier, as t                       j  reference  identifier's system, as u
//   x  string     further stretches of a long text          p  uri        the URI                                l  date       lower bound, upper bound
//   h  date       upper bound, lower bound               !  anything   the element is there but yields no value
//   n  number     value; quantity in any unit            L  range      low, high        H  range      high, low
// and for a quantity with its unit, after eight characters that stand for the unit:
//   q  system and code   c  code or unit text      (with Q, R and C, D for the low and high ends of ranges)
// Keys of a date or number are ASCII of fixed length, so that byte order is value order.
import { createHash } from 'node:crypto';
import { limits } from '../../base/limits.ts';
import { folded } from '../../base/text.ts';
import { MAX_TIME, MIN_TIME } from '../../model/dates.ts';
import type { Key } from '../../store/store.ts';

const DIGITS = '-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz';
const TAB = '\t';
/** Above every character that a fixed-length key holds. */
const ABOVE = '\x7f';
const CODE_CHARS_MAX = 200;
const URI_CHARS_MAX = 1000;
/** Stretches of one text: 100,000 characters; what a string parameter looks at is a name or a description, not a book. */
const WINDOWS_MAX = 1000;

/** Mark of a token that has no system of its own because its element is a `code`, `boolean` or the like. */
const IMPLICIT = '#';
/** Mark of a token's second key, which stands for any system. */
const ANY = '*';

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
    prefixes.set(name, prefix);
  }
  return prefix;
}

function digest(text: string, chars: number): string {
  const bytes = createHash('sha256').update(text).digest();
  let out = '';
  for (let at = 0; at < chars; at++) out += DIGITS[(bytes[at] ?? 0) & 63];
  return out;
}

const systemHashes = new Map<string, string>();

/** Eight characters for a token's system; '' for none. */
function systemHash(system: string): string {
  if (system === '') return '';
  let hash = systemHashes.get(system);
  if (hash === undefined) {
    hash = digest(system, 8);
    if (systemHashes.size >= 10_000) systemHashes.clear();
    systemHashes.set(system, hash);
  }
  return hash;
}

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

/** The same code in other letters is the same token: "when in doubt, servers SHOULD treat tokens in a case-insensitive manner". */
const tokenCode = (code: string): string => bounded(code.toLowerCase(), CODE_CHARS_MAX);

const stringStart = (text: string): string => cut(folded(text), limits.stringKeyCharsMax);

/** Keys for storing, by kind of parameter. Each returns complete keys for a parameter's prefix. */
export const keys = {
  present: (prefix: Key): Key => `${prefix}!`,
  string: (prefix: Key, text: string): Key => `${prefix}s${stringStart(text)}${TAB}${bounded(text, CODE_CHARS_MAX)}`,
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
      windows.push(`${prefix}x${whole.slice(at, at + limits.stringKeyCharsMax).toWellFormed()}`);
    }
    return windows;
  },
  /** `system` undefined: the element cannot carry one. */
  token: (prefix: Key, code: string, system: string | undefined, list: 't' | 'i' = 't'): Key =>
    `${prefix}${list}${tokenCode(code)}${TAB}${system === undefined ? IMPLICIT : systemHash(system)}`,
  /** Whatever its system: for every token that may carry one, so that a search by code alone is one sorted list, too. */
  anySystem: (prefix: Key, code: string, list: 't' | 'i' = 't'): Key =>
    `${prefix}${list}${tokenCode(code)}${TAB}${ANY}`,
  tokenSystem: (prefix: Key, system: string, list: 'u' | 'j' = 'u'): Key => `${prefix}${list}${systemHash(system)}`,
  reference: (prefix: Key, target: string): Key => `${prefix}r${bounded(target, URI_CHARS_MAX)}`,
  uri: (prefix: Key, uri: string): Key => `${prefix}p${bounded(uri, URI_CHARS_MAX)}`,
  date: (prefix: Key, from: number, to: number): [Key, Key] => {
    const low = encodeTime(from);
    const high = encodeTime(to);
    return [`${prefix}l${low}${high}`, `${prefix}h${high}${low}`];
  },
  number: (prefix: Key, value: number): Key => `${prefix}n${encodeNumber(value)}`,
} as const;

/** What stands between a parameter's prefix and the number, for a point and for both ends of a range. */
interface NumberLists {
  point: Key;
  low: Key;
  high: Key;
}

/** The lists in which a number is kept whatever its unit. */
export const numberLists = (prefix: Key): NumberLists => ({
  point: `${prefix}n`,
  low: `${prefix}L`,
  high: `${prefix}H`,
});

/** The lists of quantities with this system and code. */
export function codedUnitLists(prefix: Key, system: string, code: string): NumberLists {
  const unit = digest(`${system}|${code}`, 8);
  return { point: `${prefix}q${unit}`, low: `${prefix}Q${unit}`, high: `${prefix}R${unit}` };
}

/** The lists of quantities whose code, or whose unit as people read it, is this text. */
export function unitLists(prefix: Key, unit: string): NumberLists {
  const hash = digest(unit, 8);
  return { point: `${prefix}c${hash}`, low: `${prefix}C${hash}`, high: `${prefix}D${hash}` };
}

export const numberKey = (lists: NumberLists, value: number): Key => lists.point + encodeNumber(value);

export function numberRangeKeys(lists: NumberLists, from: number, to: number): [Key, Key] {
  const low = encodeNumber(from);
  const high = encodeNumber(to);
  return [lists.low + low + high, lists.high + high + low];
}

/** Spans for searching. All are half-open. */
export const spans = {
  /** Every key of the parameter: the element is present. */
  present: (prefix: Key): { from: Key; to: Key } => ({ from: prefix, to: `${prefix}${ABOVE}` }),
  startsWith: (prefix: Key, text: string): { from: Key; to: Key } => {
    const from = `${prefix}s${stringStart(text)}`;
    return { from, to: following(from) };
  },
  allWindows: (prefix: Key): { from: Key; to: Key } => ({ from: `${prefix}x`, to: `${prefix}y` }),
  allStrings: (prefix: Key): { from: Key; to: Key } => ({ from: `${prefix}s`, to: `${prefix}t` }),
  uriBelow: (prefix: Key, uri: string): { from: Key; to: Key } => {
    const from = `${prefix}p${bounded(uri.replace(/\/$/, ''), URI_CHARS_MAX)}/`;
    return { from, to: following(from) };
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

/** A member of a patient's compartment: one list for each patient and type. */
export const compartmentKey = (patientId: string, type: string): Key => `@pat:${patientId}${TAB}${type}`;

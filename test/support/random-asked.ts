// Values that made-up searches ask for: mostly like those that some resource has.
import type { TypedValue } from '../../src/model/search-accessors.ts';
import { baseUrl } from './engine.ts';
import { below, pick, type Random } from './random-search.ts';
import {
  CODES,
  chance,
  clock,
  dateTime,
  madeIds,
  maybe,
  NUMBERS,
  PLACES,
  SYSTEMS,
  some,
  TREE,
  timeZone,
  UNITS,
  URIS,
  valueSetUrls,
  word,
} from './random-values.ts';
import type { OrderedValue, Prefix, SearchValue } from './slow-criteria.ts';
import { unitCodes } from './slow-units.ts';

/** A value for a parameter of a type with a modifier, like one that is stored. */
export function askedFor(
  random: Random,
  type: string,
  modifier: string | undefined,
  like: TypedValue | undefined,
): SearchValue {
  switch (type) {
    case 'string':
      return { kind: 'text', text: textFor(random, modifier, like) };
    case 'token':
      return tokenWith(random, modifier, like);
    case 'reference':
      return modifier === 'identifier'
        ? tokenFor(random, identifierIn(like))
        : { kind: 'text', text: referenceFor(random, modifier, like) };
    case 'uri':
      return { kind: 'text', text: typeof like?.value === 'string' ? like.value : pick(random, URIS) };
    case 'date':
      return { kind: 'ordered', prefix: prefixFor(random), text: dateFor(random, like) };
    case 'number':
      return { kind: 'ordered', prefix: prefixFor(random), text: numberFor(random, like) };
    case 'special':
      return circleFor(random);
    default:
      return quantityFor(random, like);
  }
}

// ---- texts ----

function textFor(random: Random, modifier: string | undefined, like: TypedValue | undefined): string {
  const text = textIn(random, like) ?? word(random);
  if (modifier === 'exact') return chance(random, 0.8) ? text : text.toUpperCase();
  return partOf(random, text, modifier);
}

/** A part such as the modifier compares: any part, the end, the beginning or, for `eq`, the whole. */
export function partOf(random: Random, text: string, modifier: string | undefined): string {
  const all = [...text];
  // What is looked for within a text, and what is compared of its beginning, have their bounds.
  const isInner = modifier === 'contains' || modifier === 'co';
  const letters = isInner ? all : modifier === 'ew' ? all.slice(-90) : all.slice(0, 190);
  const start = isInner || modifier === 'ew' ? below(random, letters.length) : 0;
  const isWhole = modifier === 'ew' || ((modifier === 'eq' || modifier === 'ne') && chance(random, 0.8));
  const length = isWhole ? letters.length : 1 + below(random, isInner ? 45 : letters.length);
  const part = letters.slice(start, start + length).join('');
  // A text of nothing but spaces or accents would ask for everything.
  if (part.normalize('NFKD').replace(/[\p{M}\s]/gu, '') === '') return 'a';
  return pick(random, [part, part, part.toUpperCase(), part.toLowerCase(), part.normalize('NFD')]);
}

function textIn(random: Random, like: TypedValue | undefined): string | undefined {
  if (typeof like?.value === 'string') return like.value;
  if (typeof like?.value !== 'object' || like.value === null) return undefined;
  const texts = Object.entries(like.value)
    .filter(([name]) => name !== 'use' && name !== 'period')
    .flatMap(([, value]) => value as string | string[]);
  return texts.length === 0 ? undefined : pick(random, texts);
}

// ---- tokens ----

interface TokenLike {
  coding?: TokenLike[];
  system?: string;
  code?: string;
  value?: string;
  text?: string;
  display?: string;
  type?: TokenLike;
}

const objectIn = (like: TypedValue | undefined): TokenLike =>
  (typeof like?.value === 'object' && like.value !== null ? like.value : {}) as TokenLike;

function tokenWith(random: Random, modifier: string | undefined, like: TypedValue | undefined): SearchValue {
  switch (modifier) {
    case 'text': {
      const { type, ...own } = objectIn(like);
      const { text, display, coding = [] } = like?.type === 'Identifier' ? (type ?? {}) : own;
      const texts = [text, display, ...coding.map((one) => one.display)].filter((one) => one !== undefined);
      return { kind: 'text', text: partOf(random, texts.length === 0 ? word(random) : pick(random, texts), undefined) };
    }
    case 'in':
    case 'not-in':
    case 'ni':
      return { kind: 'text', text: pick(random, [...valueSetUrls, 'ValueSet/set1']) };
    case 'above':
    case 'below':
    case 'ss':
    case 'sb':
      return { kind: 'token', system: TREE, code: pick(random, CODES) };
    case 'of-type':
      return ofTypeFor(random, objectIn(like));
    default:
      return tokenFor(random, like);
  }
}

function ofTypeFor(random: Random, { value, type }: TokenLike): SearchValue {
  const made = { system: pick(random, SYSTEMS), code: pick(random, CODES) };
  const { system = made.system, code = made.code } = type?.coding === undefined ? made : pick(random, type.coding);
  return { kind: 'of-type', system, code, value: value ?? pick(random, CODES) };
}

export function tokenFor(random: Random, like: TypedValue | undefined): SearchValue {
  const value = like?.value;
  const object = objectIn(like);
  const inside = object.coding === undefined ? object : pick(random, object.coding);
  const system = inside.system ?? (chance(random, 0.5) ? '' : pick(random, SYSTEMS));
  const plain = typeof value === 'object' || value === undefined ? undefined : String(value);
  const code = plain ?? inside.code ?? inside.value ?? pick(random, CODES);
  const cased = chance(random, 0.2) ? code.toUpperCase() : code;
  const kind = random();
  if (kind < 0.5) return { kind: 'token', code: cased };
  if (kind < 0.75) return { kind: 'token', system, code: cased };
  if (kind < 0.85) return { kind: 'token', system: '', code: cased };
  return { kind: 'token', system: system === '' ? pick(random, SYSTEMS) : system };
}

// ---- references ----

function identifierIn(like: TypedValue | undefined): TypedValue | undefined {
  const value = (like?.value as { identifier?: object } | undefined)?.identifier;
  return value === undefined ? undefined : { type: 'Identifier', value };
}

function referenceFor(random: Random, modifier: string | undefined, like: TypedValue | undefined): string {
  const id = pick(random, madeIds);
  if (typeof like?.value === 'string') return chance(random, 0.7) ? like.value : (like.value.split('|')[0] ?? '');
  const text = (like?.value as { reference?: string } | undefined)?.reference ?? `Patient/${id}`;
  if (text.startsWith('#')) return 'Patient/inside';
  const local = text.startsWith(baseUrl) ? text.slice(baseUrl.length + 1) : text;
  const [type = '', own = ''] = local.split('/');
  if (local.startsWith('http')) return chance(random, 0.7) ? local : local.split('/').slice(-2).join('/');
  const bare = `${type}/${own}`;
  if (modifier !== undefined) return pick(random, [own, own, bare]);
  return pick(random, [bare, bare, own, `${baseUrl}/${bare}`, `http://other.example/fhir/${bare}`]);
}

// ---- what has an order ----

const PREFIXES: readonly Prefix[] = ['', '', '', 'eq', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap'];
const prefixFor = (random: Random): Prefix => pick(random, PREFIXES);

function dateFor(random: Random, like: TypedValue | undefined): string {
  const texts = like === undefined ? [] : datesIn(like.value);
  const text = texts.length > 0 ? pick(random, texts) : dateTime(random);
  const clockAt = text.indexOf('T');
  const zoneAt = /(?:Z|[+-]\d\d:\d\d)$/.exec(text)?.index ?? -1;
  if (clockAt < 0) {
    const lengths = [4, 7, 10, 10].filter((length) => length <= text.length);
    const cut = text.slice(0, pick(random, lengths));
    return cut.length === 10 && chance(random, 0.2) ? `${cut}T${clock(random)}${timeZone(random)}` : cut;
  }
  const zone = pick(random, [text.slice(zoneAt), text.slice(zoneAt), 'Z', '', '+02:00']);
  switch (below(random, 9)) {
    case 0:
      return text.slice(0, 4);
    case 1:
      return text.slice(0, 7);
    case 2:
      return text.slice(0, 10);
    case 3:
      return text.slice(0, 16) + zone;
    case 4:
      return text.slice(0, 19) + zone;
    default:
      return text.slice(0, zoneAt) + zone;
  }
}

function datesIn(value: unknown): string[] {
  if (typeof value === 'string') return /^\d{4}/.test(value) ? [value] : [];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(datesIn) : [];
}

function numberFor(random: Random, like: TypedValue | undefined): string {
  const numbers = like === undefined ? [] : numbersIn(like.value);
  const number = numbers.length > 0 ? pick(random, numbers) : pick(random, NUMBERS);
  const moved = chance(random, 0.3) ? number * pick(random, [0.9, 1.1, 1.01, -1, 1000, 0.001]) : number;
  return written(random, moved);
}

function written(random: Random, number: number): string {
  const digits = Number(number.toPrecision(6));
  return pick(random, [
    String(digits),
    String(digits),
    digits.toFixed(below(random, 4)),
    digits.toExponential(below(random, 4)),
    digits.toExponential(),
  ]).replace('e+', pick(random, ['e+', 'e', 'E']));
}

function numbersIn(value: unknown): number[] {
  if (typeof value === 'number') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(numbersIn) : [];
}

function quantityFor(random: Random, like: TypedValue | undefined): OrderedValue {
  return { kind: 'ordered', prefix: prefixFor(random), text: numberFor(random, like), ...unitFor(random, like) };
}

function unitFor(random: Random, like: TypedValue | undefined): { system?: string; code?: string } {
  const kind = random();
  if (kind < 0.3) return {};
  const value = (like?.value ?? {}) as { origin?: object; low?: object; high?: object };
  const own = (value.origin ?? value.low ?? value.high ?? value) as Record<string, string | undefined>;
  const made = pick(random, UNITS) as Record<string, string | undefined>;
  const { system, code, unit, currency } = chance(random, 0.8) ? own : made;
  if (currency !== undefined) return { system: 'urn:iso:std:iso:4217', code: currency };
  if (kind < 0.55) return { system: 'http://unitsofmeasure.org', code: pick(random, unitCodes) };
  if (kind < 0.8) return { system: system ?? 'http://unitsofmeasure.org', code: code ?? 'mg' };
  return { system: '', code: (chance(random, 0.5) ? unit : code) ?? 'mg' };
}

// ---- near ----

function circleFor(random: Random): SearchValue {
  const [latitude, longitude] = pick(random, PLACES);
  if (chance(random, 0.2)) return { kind: 'near', latitude, longitude };
  // No two of the places lie so far apart as one of these radii, to a metre.
  const distance = pick(random, [0, 1, 6, 10, 11.5, 25, 45, 90, 12_000, 20_020]);
  const unit = maybe(random, 0.7, 'unit', () => pick(random, ['km', 'm', '[mi_i]', '[nmi_i]']));
  return { kind: 'near', latitude, longitude, distance, ...unit };
}

/** One value, or several alternatives. */
export const alternatives = (random: Random, value: () => SearchValue): SearchValue[] =>
  chance(random, 0.25) ? some(random, 3, value) : [value()];

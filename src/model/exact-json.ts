// JSON values that are changed and printed again with everything else as it was: a number or string whose text JavaScript
// would spell differently (1.50, 1e2, "\u00e9") keeps its text. https://hl7.org/fhir/R4/json.html#primitive

import { FhirError } from '../base/outcome.ts';
import { parseJson } from './json.ts';

/** An object, array or primitive as JSON.parse gives it, or a primitive that carries its text (see `isText`). */
export type Exact = unknown;

/** Members of an exact object. */
export type ExactObject = Record<string, Exact>;

/** A value whose primitives keep their text. Refuses what `parseJson` refuses: FhirError('invalid'). */
export function parseExact(bytes: Uint8Array): Exact {
  parseJson(bytes);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  return json.parse(text.charCodeAt(0) === BYTE_ORDER_MARK ? text.slice(1) : text, (_name, value, { source }) =>
    source === undefined || source === JSON.stringify(value) ? value : json.rawJSON(source),
  );
}

/** The JSON text, without whitespace. */
export function printExact(value: Exact): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

/** The same value as JSON.parse gives it. */
export function plain(value: Exact): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}

export function isObject(value: Exact): value is ExactObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !json.isRawJSON(value);
}

/** Equality of RFC 6902 section 4.6: numbers by value, however written; objects whatever the order of their members. */
export function isSame(one: Exact, other: Exact): boolean {
  if (Array.isArray(one)) {
    return Array.isArray(other) && one.length === other.length && one.every((item, i) => isSame(item, other[i]));
  }
  if (!isObject(one)) return !Array.isArray(other) && !isObject(other) && isSamePrimitive(one, other);
  if (!isObject(other)) return false;
  const names = Object.keys(one);
  return (
    names.length === Object.keys(other).length &&
    names.every((name) => Object.hasOwn(other, name) && isSame(one[name], other[name]))
  );
}

/** A copy that shares nothing. `spend` is told the size of each part, some bytes of its text, and may throw. */
export function copyExact(value: Exact, spend: (bytes: number) => void): Exact {
  if (Array.isArray(value)) {
    spend(2 + value.length);
    return value.map((item) => copyExact(item, spend));
  }
  if (!isObject(value)) {
    spend(typeof value === 'string' ? value.length + 2 : json.isRawJSON(value) ? value.rawJSON.length : 5);
    return value;
  }
  const copy: ExactObject = {};
  for (const [name, member] of Object.entries(value)) {
    spend(name.length + 4);
    copy[name] = copyExact(member, spend);
  }
  return copy;
}

/** Changes of a value whose recursion ends in a stack overflow mean a value that nests beyond every limit. */
export function withinStack<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new FhirError('unprocessable', 'The patch makes the resource nest too deeply');
  }
}

const BYTE_ORDER_MARK = 0xfeff;

interface RawJson {
  rawJSON: string;
}

/** The parts of JSON that TypeScript does not know yet: https://tc39.es/proposal-json-parse-with-source/ */
const json = JSON as unknown as {
  parse(text: string, reviver: (name: string, value: unknown, context: { source?: string }) => unknown): unknown;
  rawJSON(text: string): RawJson;
  isRawJSON(value: unknown): value is RawJson;
};

function isSamePrimitive(one: Exact, other: Exact): boolean {
  const [left, right] = [textOf(one), textOf(other)];
  if (left === right) return true;
  const [first, second] = [decimalOf(left), decimalOf(right)];
  if (first !== undefined) return first === second;
  return second === undefined && JSON.parse(left) === JSON.parse(right);
}

const textOf = (value: Exact): string => (json.isRawJSON(value) ? value.rawJSON : JSON.stringify(value));

/** Longer numbers are compared as JavaScript's: the work here grows with the square of their length. */
const DECIMAL_CHARS_MAX = 400;

/** One spelling for each number, whatever its size: digits without zeros at the ends, and a power of ten. */
function decimalOf(text: string): string | undefined {
  if (text.length > DECIMAL_CHARS_MAX) return undefined;
  const match = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text);
  if (match === null) return undefined;
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match;
  const significant = (whole + fraction).replace(/^0+/, '');
  const digits = significant.replace(/0+$/, '');
  if (digits === '') return '0';
  return `${sign}${digits}e${BigInt(exponent) - BigInt(fraction.length) + BigInt(significant.length - digits.length)}`;
}

// The JSON shape and the format of every R4 primitive type. All checks take linear time; R4's own expression for
// base64Binary does not, and is not used. https://hl7.org/fhir/R4/datatypes.html#primitive, https://hl7.org/fhir/R4/json.html
import { isDate, isDateTime, isInstant, isTime } from './dates.ts';

/** R4: a string SHALL NOT exceed 1 MB. */
const STRING_CHARS_MAX = 1024 * 1024;
const INTEGER_MAX = 2_147_483_647;
const ID_CHARS_MAX = 64;

/** One check per primitive type: what is wrong with a value, or undefined. */
export type PrimitiveCheck = (value: unknown) => string | undefined;

/**
 * What is wrong with the JSON value of a primitive, as a sentence that says what is accepted; undefined when it is right.
 * A `type` that is not a primitive of R4 is itself the problem.
 */
export function primitiveProblem(type: string, value: unknown): string | undefined {
  const check = primitiveChecks.get(type);
  return check === undefined ? `"${type}" is not a primitive type` : check(value);
}

/** A FHIR id: 1 to 64 letters, digits, hyphens and points. */
export function isId(text: string): boolean {
  if (text.length === 0 || text.length > ID_CHARS_MAX) return false;
  for (let i = 0; i < text.length; i++) if (!isIdCode(text.charCodeAt(i))) return false;
  return true;
}

/** The checks by name of the type. */
export const primitiveChecks: ReadonlyMap<string, PrimitiveCheck> = new Map<string, PrimitiveCheck>([
  ['boolean', (value) => (typeof value === 'boolean' ? undefined : 'true or false is expected, without quotes')],
  ['integer', integer(-INTEGER_MAX - 1, 'a whole number from -2147483648 to 2147483647 is expected')],
  ['unsignedInt', integer(0, 'a whole number from 0 to 2147483647 is expected')],
  ['positiveInt', integer(1, 'a whole number from 1 to 2147483647 is expected')],
  ['decimal', (value) => (isFiniteNumber(value) ? undefined : 'a decimal number is expected, without quotes')],
  ['string', stringProblem],
  ['markdown', stringProblem],
  ['code', text(isCode, 'a code is expected: no space at its ends, only single spaces within')],
  ['id', text(isId, 'an id is expected: 1 to 64 of A-Z, a-z, 0-9, "-" and "."')],
  ['oid', text(isOid, 'an OID is expected, such as urn:oid:1.2.3.4')],
  ['uuid', text(isUuid, 'a UUID is expected, such as urn:uuid:c757873d-ec9a-4326-a141-556f43239520')],
  ['uri', text(isUri, 'a URI is expected: no spaces')],
  ['url', text(isUri, 'a URL is expected: no spaces')],
  ['canonical', text(isUri, 'a canonical URL is expected: no spaces')],
  ['base64Binary', text(isBase64, 'base64 is expected: A-Z, a-z, 0-9, "+" and "/" in groups of four, padded with "="')],
  ['instant', text(isInstant, 'an instant is expected: YYYY-MM-DDThh:mm:ss[.fff] with Z or ±hh:mm')],
  ['date', text(isDate, 'a date is expected: YYYY, YYYY-MM or YYYY-MM-DD')],
  [
    'dateTime',
    text(isDateTime, 'a dateTime is expected: YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss[.fff] with Z or ±hh:mm'),
  ],
  ['time', text(isTime, 'a time is expected: hh:mm:ss[.fff]')],
  ['xhtml', text(isDivText, 'XHTML in one div element is expected: <div xmlns="http://www.w3.org/1999/xhtml">…</div>')],
]);

function integer(min: number, problem: string): PrimitiveCheck {
  return (value) =>
    Number.isInteger(value) && (value as number) >= min && (value as number) <= INTEGER_MAX ? undefined : problem;
}

function text(isRight: (text: string) => boolean, problem: string): PrimitiveCheck {
  return (value) => {
    if (typeof value !== 'string') return `${problem} (as a JSON string)`;
    return isRight(value) ? undefined : problem;
  };
}

function isFiniteNumber(value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(value);
}

function stringProblem(value: unknown): string | undefined {
  if (typeof value !== 'string') return 'a string in double quotes is expected';
  if (value.length === 0) return 'the string is empty: leave the element out or give it a value';
  if (value.length > STRING_CHARS_MAX) return `a string of at most ${STRING_CHARS_MAX} characters is expected`;
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code < 0x20 && code !== 0x09 && code !== 0x0a && code !== 0x0d) {
      return 'a string without control characters other than tab and line breaks is expected';
    }
  }
  return undefined;
}

/** Whitespace as FHIR's expressions mean it, and control characters with it. */
function isSpaceCode(code: number): boolean {
  return code <= 0x20 || code === 0xa0 || code === 0x2028 || code === 0x2029 || code === 0xfeff;
}

function isCode(value: string): boolean {
  let isAfterSpace = true;
  for (let i = 0; i < value.length; i++) {
    const isSpace = isSpaceCode(value.charCodeAt(i));
    if (isSpace && (isAfterSpace || value.charCodeAt(i) !== 0x20)) return false;
    isAfterSpace = isSpace;
  }
  return !isAfterSpace;
}

function isUri(value: string): boolean {
  for (let i = 0; i < value.length; i++) if (isSpaceCode(value.charCodeAt(i))) return false;
  return value.length > 0;
}

function isOid(value: string): boolean {
  if (!value.startsWith('urn:oid:')) return false;
  const arcs = value.slice('urn:oid:'.length).split('.');
  return arcs.length > 1 && /^[0-2]$/.test(arcs[0] as string) && arcs.every((arc) => /^(?:0|[1-9][0-9]*)$/.test(arc));
}

function isUuid(value: string): boolean {
  return /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(value);
}

/** Groups of four with padding only at the end; whitespace anywhere. */
function isBase64(value: string): boolean {
  let count = 0;
  let padding = 0;
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) continue;
    if (code === 0x3d) padding++;
    else if (padding > 0 || !isBase64Code(code)) return false;
    count++;
  }
  return count > 0 && count % 4 === 0 && padding <= 2;
}

function isBase64Code(code: number): boolean {
  return isAlphanumeric(code) || code === 0x2b || code === 0x2f;
}

function isIdCode(code: number): boolean {
  return isAlphanumeric(code) || code === 0x2d || code === 0x2e;
}

function isAlphanumeric(code: number): boolean {
  return (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x5a);
}

/** The outer shape; what may stand inside is checked where XHTML is parsed. */
function isDivText(value: string): boolean {
  const trimmed = value.trim();
  const next = trimmed.charCodeAt(4);
  return (
    trimmed.startsWith('<div') &&
    (isSpaceCode(next) || next === 0x3e || next === 0x2f) &&
    (trimmed.endsWith('</div>') || trimmed.endsWith('/>'))
  );
}

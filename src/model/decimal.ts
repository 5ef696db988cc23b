// Decimals as text: their format, and the range that a number in a search stands for by the digits it is given with.
// https://hl7.org/fhir/R4/datatypes.html#decimal, https://hl7.org/fhir/R4/search.html#number
import { FhirError } from '../base/outcome.ts';

/** Half-open: from ≤ value < to. */
export interface NumberRange {
  from: number;
  to: number;
}

/** Longest text read as a decimal; the double behind it tells 17 digits apart. */
const CHARS_MAX = 255;
/** Digits with which a double counts exactly, one kept for the half. */
const EXACT_DIGITS = 14;

/** A decimal as FHIR and JSON write it: no plus sign, no leading zero, a digit on both sides of the point. */
export function isDecimalText(text: string): boolean {
  return parseDecimal(text) !== undefined;
}

/**
 * The values that round to a number of a search at its own precision: 100 is [99.5, 100.5), 100.00 is [99.995, 100.005).
 * With an exponent the digits written count in the same way; a single one counts as two, since the specification reads
 * 1e2 as [95, 105). The range always holds the number itself.
 * Throws FhirError('invalid') when the text is not a decimal or its value is beyond 1.7e308.
 */
export function decimalRange(text: string): NumberRange {
  const decimal = parseDecimal(text);
  if (decimal === undefined) throw notADecimal(text, 'accepted are digits with an optional sign, point and exponent');
  const { sign, digits, exponent } = decimal;
  // The last digit in tenths, plus and minus five tenths.
  const low = shiftedText(sign, digits, -5, exponent - 1);
  const high = shiftedText(sign, digits, 5, exponent - 1);
  const value = Number(text);
  const from = Math.min(Number(low), value);
  const to = Math.max(Number(high), nextUp(value));
  if (!Number.isFinite(from) || !Number.isFinite(to)) throw notADecimal(text, 'its magnitude must be below 1.7e308');
  return { from, to };
}

/** sign × digits × 10^exponent, with the precision that the digits express. */
interface Decimal {
  sign: '' | '-';
  digits: string;
  exponent: number;
}

function parseDecimal(text: string): Decimal | undefined {
  if (text.length > CHARS_MAX) return undefined;
  const start = text.charCodeAt(0) === 0x2d ? 1 : 0;
  const integerEnd = digitsEnd(text, start);
  if (integerEnd === start || (text.charCodeAt(start) === 0x30 && integerEnd > start + 1)) return undefined;
  const fractionStart = text.charCodeAt(integerEnd) === 0x2e ? integerEnd + 1 : integerEnd;
  const fractionEnd = digitsEnd(text, fractionStart);
  if (fractionStart > integerEnd && fractionEnd === fractionStart) return undefined;
  const exponent = readExponent(text, fractionEnd);
  if (exponent === undefined) return undefined;
  const digits = text.slice(start, integerEnd) + text.slice(fractionStart, fractionEnd);
  const isSingle = digits.length === 1 && fractionEnd < text.length;
  return {
    sign: start === 1 ? '-' : '',
    digits: isSingle ? `${digits}0` : digits,
    exponent: exponent - (fractionEnd - fractionStart) - (isSingle ? 1 : 0),
  };
}

/** The exponent that stands at `at`, 0 when the text ends there, undefined when something else follows. */
function readExponent(text: string, at: number): number | undefined {
  if (at === text.length) return 0;
  if ((text.charCodeAt(at) | 0x20) !== 0x65) return undefined;
  const sign = text.charCodeAt(at + 1);
  const start = sign === 0x2b || sign === 0x2d ? at + 2 : at + 1;
  if (start === text.length || digitsEnd(text, start) < text.length) return undefined;
  return Number(text.slice(at + 1));
}

function digitsEnd(text: string, start: number): number {
  let at = start;
  for (let code = text.charCodeAt(at); code >= 0x30 && code <= 0x39; ) code = text.charCodeAt(++at);
  return at;
}

/** sign × (digits × 10 + tenths) × 10^exponent as text, exact for any number of digits. */
function shiftedText(sign: '' | '-', digits: string, tenths: number, exponent: number): string {
  if (digits.length <= EXACT_DIGITS) return `${Number(`${sign}${digits}0`) + tenths}e${exponent}`;
  return `${BigInt(`${sign}${digits}0`) + BigInt(tenths)}e${exponent}`;
}

/** The next greater double. */
function nextUp(value: number): number {
  if (value === 0) return Number.MIN_VALUE;
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  view.setBigInt64(0, view.getBigInt64(0) + (value > 0 ? 1n : -1n));
  return view.getFloat64(0);
}

function notADecimal(text: string, accepted: string): FhirError {
  const shown = text.length <= 40 ? ` "${text}"` : '';
  return new FhirError('invalid', `Not a number${shown}: ${accepted}`);
}

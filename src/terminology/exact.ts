// Exact arithmetic for conversions: fractions of BigInts with a power of ten, rounded once, to the nearest double.

/** num × 10^exp / den. `den` is positive. */
export interface Fraction {
  readonly num: bigint;
  readonly den: bigint;
  readonly exp: number;
}

/** digits × 10^exp. `digits` is a bigint only where a double would not count exactly. */
export interface Decimal {
  readonly digits: number | bigint;
  readonly exp: number;
}

/** A fraction prepared for `scaled`; `num` and `den` are NaN where a double does not hold them exactly. */
export interface Scale {
  readonly num: number;
  readonly den: number;
  readonly fraction: Fraction;
}

export const one: Fraction = { num: 1n, den: 1n, exp: 0 };

const DECIMAL = /^(-?(?:0|[1-9]\d*))(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;
/** Longest text read as a decimal. */
const CHARS_MAX = 255;
/** Digits of a decimal whose sum with another one a double still counts exactly. */
const EXACT_DIGITS = 15;
/** Far beyond what a double holds, whatever the digits and the factor: 10^±2000 is nothing, or too much. */
const EXPONENT_MAX = 2000;

/** A decimal as JSON writes it; undefined for other text and for what is far beyond a double. */
export function parseDecimal(text: string): Decimal | undefined {
  const match = text.length <= CHARS_MAX ? DECIMAL.exec(text) : null;
  if (match === null) return undefined;
  const [, integer = '', fraction = '', exponent = '0'] = match;
  const text10 = integer + fraction;
  const digits = text10.length <= EXACT_DIGITS ? Number(text10) : BigInt(text10);
  const exp = Number(exponent) - fraction.length;
  if (exp >= -EXPONENT_MAX && exp <= EXPONENT_MAX) return { digits, exp };
  return exp < 0 || digits === 0 || digits === 0n ? { digits: 0, exp: 0 } : undefined;
}

/** The shortest decimal that is read as this double; undefined when it is not finite. */
export function decimalOf(value: number): Decimal | undefined {
  return Number.isSafeInteger(value) ? { digits: value, exp: 0 } : parseDecimal(String(value));
}

export function fractionOf({ digits, exp }: Decimal): Fraction {
  return { num: BigInt(digits), den: 1n, exp };
}

export function times(a: Fraction, b: Fraction): Fraction {
  return { num: a.num * b.num, den: a.den * b.den, exp: a.exp + b.exp };
}

/** 1/a for a positive a. */
export function inverse({ num, den, exp }: Fraction): Fraction {
  return { num: den, den: num, exp: -exp };
}

/** Lowest terms: no factor 2 or 5 in `den`, no factor 10 in `num`, none in common. Equal fractions come out equal. */
export function reduced(fraction: Fraction): Fraction {
  let { num, den, exp } = fraction;
  if (num === 0n) return { num, den: 1n, exp: 0 };
  const common = greatestCommonDivisor(num < 0n ? -num : num, den);
  num /= common;
  den /= common;
  for (; den % 2n === 0n; exp--) [num, den] = [num * 5n, den / 2n];
  for (; den % 5n === 0n; exp--) [num, den] = [num * 2n, den / 5n];
  for (; num % 10n === 0n; exp++) num /= 10n;
  return { num, den, exp };
}

function greatestCommonDivisor(a: bigint, b: bigint): bigint {
  let [high, low] = [a, b];
  while (low !== 0n) [high, low] = [low, high % low];
  return high;
}

export function scaleOf(fraction: Fraction): Scale {
  const { num, den, exp } = reduced(fraction);
  return { num: exactNumber(num), den: exactNumber(den), fraction: { num, den, exp } };
}

function exactNumber(value: bigint): number {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : Number.NaN;
}

/** a + b. */
export function sum(a: Decimal, b: Decimal): Decimal {
  const exp = Math.min(a.exp, b.exp);
  const left = raised(a, a.exp - exp);
  const right = raised(b, b.exp - exp);
  if (typeof left === 'number' && typeof right === 'number' && Number.isSafeInteger(left + right)) {
    return { digits: left + right, exp };
  }
  return { digits: BigInt(left) + BigInt(right), exp };
}

function raised({ digits }: Decimal, zeros: number): number | bigint {
  if (typeof digits === 'number' && zeros < POWERS.length) {
    const product = digits * powerOfTen(zeros);
    if (Number.isSafeInteger(product)) return product;
  }
  return BigInt(digits) * 10n ** BigInt(zeros);
}

/** The double nearest to decimal × scale (ties to even), ±Infinity when it is beyond the largest. */
export function scaled({ digits, exp }: Decimal, { num, den, fraction }: Scale): number {
  const shift = exp + fraction.exp;
  const quick = typeof digits === 'number' ? quotient(digits * num, den, shift) : undefined;
  return quick ?? roundedQuotient(BigInt(digits) * fraction.num, fraction.den, shift);
}

/** The powers of ten that a double holds exactly. */
const POWERS = Array.from({ length: 23 }, (_, power) => 10 ** power);
const powerOfTen = (power: number): number => POWERS[power] as number;

/** product × 10^shift / den where one operation on exact doubles gives it, which IEEE 754 rounds correctly. */
function quotient(product: number, den: number, shift: number): number | undefined {
  if (!Number.isSafeInteger(product) || !(den <= Number.MAX_SAFE_INTEGER)) return undefined;
  if (shift === 0) return product / den;
  if (shift >= POWERS.length || -shift >= POWERS.length) return undefined;
  if (den === 1) return shift > 0 ? product * powerOfTen(shift) : product / powerOfTen(-shift);
  const above = shift > 0 ? product * powerOfTen(shift) : product;
  const below = shift < 0 ? den * powerOfTen(-shift) : den;
  return Number.isSafeInteger(above) && Number.isSafeInteger(below) ? above / below : undefined;
}

/** num × 10^shift / den, rounded once. */
function roundedQuotient(num: bigint, den: bigint, shift: number): number {
  // V8 reads decimal text of any length to the nearest double.
  if (den === 1n) return Number(`${num}e${shift}`);
  if (num < 0n) return -roundedQuotient(-num, den, shift);
  const above = shift > 0 ? num * 10n ** BigInt(shift) : num;
  const below = shift < 0 ? den * 10n ** BigInt(-shift) : den;
  // 64 bits and more of the quotient, and a last bit for what was left: that is enough to round 53 bits correctly.
  const bits = Math.max(0, bitLength(below) - bitLength(above) + 65);
  const whole = (above << BigInt(bits)) / below;
  const isExact = whole * below === above << BigInt(bits);
  const rounded = Number(isExact ? whole : whole | 1n);
  // In two steps: 2^-bits alone may be less than the least double.
  return rounded * 2 ** -Math.floor(bits / 2) * 2 ** -Math.ceil(bits / 2);
}

const bitLength = (value: bigint): number => value.toString(16).length * 4;

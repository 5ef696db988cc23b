// Exact fractions, and the units that made-up quantities have, as fractions of a base unit.
// https://ucum.org/ucum

export interface Rational {
  num: bigint;
  /** Positive. */
  den: bigint;
}

/** Beyond every number that a test asks for. */
export const INFINITE: Rational = { num: 10n ** 400n, den: 1n };

/** A decimal's text, exact. */
export function rational(text: string): Rational {
  const [, sign, whole = '', fraction = '', exponent] = /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(text) ?? [];
  if (whole === '') throw new RangeError(`no number: ${text}`);
  const digits = BigInt(`${sign}${whole}${fraction}`);
  const shift = Number(exponent ?? 0) - fraction.length;
  return shift < 0 ? { num: digits, den: 10n ** BigInt(-shift) } : { num: digits * 10n ** BigInt(shift), den: 1n };
}

export const plus = (a: Rational, b: Rational, sign: 1 | -1 = 1): Rational => ({
  num: a.num * b.den + BigInt(sign) * b.num * a.den,
  den: a.den * b.den,
});

export const times = (a: Rational, b: Rational): Rational => ({ num: a.num * b.num, den: a.den * b.den });

export function compareRationals(a: Rational, b: Rational): number {
  const difference = a.num * b.den - b.num * a.den;
  return difference === 0n ? 0 : difference < 0n ? -1 : 1;
}

/** (value + offset) × factor is the quantity in the base unit. */
interface Unit {
  dimension: string;
  factor: Rational;
  offset: Rational;
}

const unit = (dimension: string, factor = '1', offset = '0'): Unit => ({
  dimension,
  factor: rational(factor),
  offset: rational(offset),
});

const UCUM = 'http://unitsofmeasure.org';
const UNITS: Readonly<Record<string, Unit>> = {
  g: unit('mass'),
  mg: unit('mass', '0.001'),
  kg: unit('mass', '1000'),
  ug: unit('mass', '0.000001'),
  '[lb_av]': unit('mass', '453.59237'),
  K: unit('temperature'),
  Cel: unit('temperature', '1', '273.15'),
  '[degF]': { dimension: 'temperature', factor: { num: 5n, den: 9n }, offset: rational('459.67') },
  'mm[Hg]': unit('pressure', '133.322'),
  kPa: unit('pressure', '1000'),
  'mmol/L': unit('amount of a volume'),
  'umol/L': unit('amount of a volume', '0.001'),
  'mol/m3': unit('amount of a volume'),
  '/min': { ...unit('frequency'), factor: { num: 1n, den: 60n } },
  '{beats}/min': { ...unit('frequency'), factor: { num: 1n, den: 60n } },
  Hz: unit('frequency'),
  a: unit('time', '31557600'),
  mo: unit('time', '2629800'),
  d: unit('time', '86400'),
  '%': unit('number', '0.01'),
  '1': unit('number'),
  '{score}': unit('score'),
};

/** UCUM codes that made-up quantities and searches have. */
export const unitCodes: readonly string[] = Object.keys(UNITS);

/** How numbers in two units of a system are brought to one; undefined when they cannot be compared. */
export function comparableIn(
  system: string,
  stored: string,
  asked: string,
): { stored: (value: Rational) => Rational; asked: (value: Rational) => Rational } | undefined {
  const [own, other] = system === UCUM ? [UNITS[stored], UNITS[asked]] : [undefined, undefined];
  if (own === undefined || other === undefined) {
    return stored === asked ? { stored: (value) => value, asked: (value) => value } : undefined;
  }
  return own.dimension === other.dimension ? { stored: inBase(own), asked: inBase(other) } : undefined;
}

const inBase =
  ({ factor, offset }: Unit) =>
  (value: Rational): Rational =>
    times(plus(value, offset), factor);

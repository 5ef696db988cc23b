// What the table of ucum-lhc does not say, or says wrongly, of units that UCUM defines.
// https://ucum.org/ucum#section-Special-Units-on-non-ratio-Scales
import { type Decimal, one } from './exact.ts';
import type { Special } from './ucum-term.ts';

interface SpecialUnit {
  special: Special;
  /** What the function's result is measured in; without it the unit is comparable with itself only. */
  definition?: { value: string; unit: string };
}

/**
 * Special units by symbol. Those that fall while the quantity rises ([pH], homeopathic potencies) keep a scale of their own:
 * "more than pH 7" must not find what has fewer ions.
 */
export const specialUnits: Readonly<Record<string, SpecialUnit>> = {
  Cel: shifted(27315, '1', 'K'),
  '[degF]': shifted(45967, '5', 'K/9'),
  '[degRe]': shifted(21852, '5', 'K/4'),
  Np: level(Math.exp, '1', '1'),
  B: level(decade, '1', '1'),
  'B[SPL]': level(halfDecade, '2', '10*-5.Pa'),
  'B[V]': level(halfDecade, '1', 'V'),
  'B[mV]': level(halfDecade, '1', 'mV'),
  'B[uV]': level(halfDecade, '1', 'uV'),
  'B[10.nV]': level(halfDecade, '10', 'nV'),
  'B[W]': level(decade, '1', 'W'),
  'B[kW]': level(decade, '1', 'kW'),
  bit_s: level((value) => 2 ** value, '1', '1'),
  "[p'diop]": level(slope, '1', 'rad'),
  '%[slope]': level(slope, '1', 'rad'),
  // A square root is never negative; below zero the curve goes on as its mirror image, so that it rises everywhere.
  '[m/s2/Hz^(1/2)]': level((value) => value * Math.abs(value), '1', 'm2/s4/Hz'),
  '[pH]': ownScale(),
  "[hp'_X]": ownScale(),
  "[hp'_C]": ownScale(),
  "[hp'_M]": ownScale(),
  "[hp'_Q]": ownScale(),
};

/** Symbol → unit of the definition, where ucum-lhc loses the number in front of it or the solidus. */
export const misstated: Readonly<Record<string, string>> = {
  '[mu_0]': '4.[pi].10*-7.N/A2',
  Oe: '/[pi].A/m',
  '[S]': '10*-13.s',
  '[diop]': '/m',
  '[mesh_i]': '/[in_i]',
  Bd: '/s',
};

/** A zero point elsewhere; the offset in hundredths of the unit's own degrees. */
function shifted(hundredths: number, value: string, unit: string): SpecialUnit {
  const offset: Decimal = { digits: hundredths, exp: -2 };
  return { special: { prefix: one, offset }, definition: { value, unit } };
}

function level(of: (value: number) => number, value: string, unit: string): SpecialUnit {
  return { special: { prefix: one, of }, definition: { value, unit } };
}

function ownScale(): SpecialUnit {
  return { special: { prefix: one } };
}

function decade(value: number): number {
  return 10 ** value;
}

/** Of a field quantity, whose square is the power: twice the logarithm. */
function halfDecade(value: number): number {
  return 10 ** (value / 2);
}

/** Radians of a slope in percent. */
function slope(percent: number): number {
  return Math.atan(percent / 100);
}

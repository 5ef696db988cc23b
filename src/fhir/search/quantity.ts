// Units of quantities as the index sees them: what text they are found by, and UCUM units brought to the base unit of
// their dimension, so that 5.4 g and 5400 mg are one value. https://hl7.org/fhir/R4/search.html#quantity
import { canonicalQuantity } from '../../terminology/ucum.ts';

export const UCUM = 'http://unitsofmeasure.org';
const ISO_4217 = 'urn:iso:std:iso:4217';

export interface QuantityValue {
  value?: unknown;
  unit?: unknown;
  system?: unknown;
  code?: unknown;
  /** Of Money. */
  currency?: unknown;
}

export interface RangeValue {
  low?: QuantityValue;
  high?: QuantityValue;
}

/** A unit with a system. `canonical` stands for all units that can be converted into each other. */
export interface Unit {
  system: string;
  code: string;
  canonical: string;
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';

/** The code and the unit as people read it: what `number||code` finds. */
export function quantityUnits({ unit, code, currency }: QuantityValue): string[] {
  return [...new Set([currency ?? code, unit].filter(isText))];
}

/** The unit of a quantity that has a system and a code; Money's currency is one. */
export function canonicalUnit({ system, code, currency }: QuantityValue): Unit | undefined {
  if (isText(currency)) return unitOf(ISO_4217, currency);
  return isText(system) && isText(code) ? unitOf(system, code) : undefined;
}

export function unitOf(system: string, code: string): Unit {
  const canonical = system === UCUM ? canonicalQuantity(1, code)?.unit : undefined;
  return { system, code, canonical: canonical ?? code };
}

/** A number of a unit, in the base unit. Infinities, the ends of open ranges, stay. */
export function inCanonicalUnit(value: number, { system, code }: Unit): number {
  if (system !== UCUM || !Number.isFinite(value)) return value;
  return canonicalQuantity(value, code)?.value ?? value;
}

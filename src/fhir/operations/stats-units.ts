// Measurements in one unit: the one that most of them have; those that UCUM can convert into it join them.
// https://hl7.org/fhir/R4/datatypes.html#quantity, https://ucum.org/ucum
import { canonicalQuantity } from '../../terminology/ucum.ts';

export interface Unit {
  unit?: string;
  system?: string;
  code?: string;
}

export interface Measured extends Unit {
  value: number;
}

const UCUM = 'http://unitsofmeasure.org';

/** Units with the same identity are the same. */
const identityOf = ({ unit, system, code }: Unit): string =>
  code === undefined ? `text ${unit ?? ''}` : `${system ?? ''}|${code}`;

/**
 * The unit that most of the measurements have (of equally many, that of the first), and for each its value in that unit:
 * undefined where it cannot be converted. No unit for no measurements.
 */
export function inOneUnit(measurements: readonly Measured[]): { unit?: Unit; values: (number | undefined)[] } {
  const counts = new Map<string, { unit: Unit; count: number }>();
  for (const { unit, system, code } of measurements) {
    const one: Unit = {
      ...(unit === undefined ? {} : { unit }),
      ...(system === undefined ? {} : { system }),
      ...(code === undefined ? {} : { code }),
    };
    const known = counts.get(identityOf(one)) ?? { unit: one, count: 0 };
    known.count++;
    counts.set(identityOf(one), known);
  }
  const [most] = [...counts.values()].sort((a, b) => b.count - a.count);
  if (most === undefined) return { values: [] };
  const target = identityOf(most.unit);
  const values = measurements.map((one) => (identityOf(one) === target ? one.value : converted(one, most.unit)));
  return { unit: most.unit, values };
}

/**
 * Through the base unit of the dimension, to which every UCUM unit leads by a straight line: by the places at which 0 and 1
 * of the target lie on it, so that temperatures are right, too. Units on a logarithmic scale are not converted.
 */
function converted(from: Measured, to: Unit): number | undefined {
  if (from.system !== UCUM || to.system !== UCUM || from.code === undefined || to.code === undefined) return undefined;
  const [base, zero, one, ten] = [
    canonicalQuantity(from.value, from.code),
    canonicalQuantity(0, to.code),
    canonicalQuantity(1, to.code),
    canonicalQuantity(10, to.code),
  ];
  if (base === undefined || zero === undefined || one === undefined || base.unit !== one.unit) return undefined;
  const step = one.value - zero.value;
  const isStraight = ten !== undefined && Math.abs(ten.value - zero.value - 10 * step) <= Math.abs(step) * 1e-6;
  return isStraight ? (base.value - zero.value) / step : undefined;
}

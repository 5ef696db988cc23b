// Which values of an element the arguments of its field leave. https://hl7.org/fhir/R4/graphql.html#list
import { FhirError } from '../../../base/outcome.ts';
import { isContent, type Resource } from './content.ts';
import type { Paths } from './paths.ts';

/**
 * Values in which every named part is as said and the path holds; of these, those from `_offset` on, `_count` of them.
 * `type` is the FHIR type of the values, `around` the resource that they are in.
 */
export function navigated(
  values: readonly unknown[],
  args: Readonly<Record<string, unknown>>,
  { type, around, paths }: { type: string; around: Resource; paths: Paths },
): readonly unknown[] {
  const { fhirpath, _offset, _count, ...parts } = args;
  const wanted = Object.entries(parts).filter(([, value]) => value !== null);
  const kept = values.filter(
    (value) =>
      wanted.every(([part, one]) => hasPart(value, part, one)) &&
      (typeof fhirpath !== 'string' || paths.holds(fhirpath, { value, type, around })),
  );
  const offset = wholeNumber('_offset', _offset) ?? 0;
  const count = wholeNumber('_count', _count);
  return kept.slice(offset, count === undefined ? undefined : offset + count);
}

/** JSON's one value or array as a list. */
export function listOf(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : [value];
}

/** Throws FhirError('invalid') for a negative number. */
export function wholeNumber(name: string, value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'number' && value >= 0) return value;
  throw new FhirError('invalid', `${name} is a whole number, 0 or more.`);
}

/** Of a part that repeats, one value is enough. */
function hasPart(value: unknown, part: string, wanted: unknown): boolean {
  return isContent(value) && listOf(value[part]).some((one) => isSame(one, wanted));
}

function isSame(value: unknown, wanted: unknown): boolean {
  return (JSON.isRawJSON(value) ? Number(value.rawJSON) : value) === wanted;
}

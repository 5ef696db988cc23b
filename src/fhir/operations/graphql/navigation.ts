// Which values of an element the arguments of its field leave. https://hl7.org/fhir/R4/graphql.html#list
import { FhirError } from '../../../base/outcome.ts';
import { isContent } from './content.ts';

type Arguments = Readonly<Record<string, unknown>>;

/** Values in which every named part is as said. */
export function havingParts(values: readonly unknown[], args: Arguments): readonly unknown[] {
  const { fhirpath, _offset, _count, ...parts } = args;
  const wanted = Object.entries(parts).filter(([, value]) => value !== null);
  if (wanted.length === 0) return values;
  return values.filter((value) => wanted.every(([part, one]) => hasPart(value, part, one)));
}

/** Of the values that are left those from `_offset` on, `_count` of them. */
export function paged(values: readonly unknown[], { _offset, _count }: Arguments): readonly unknown[] {
  const offset = wholeNumber('_offset', _offset) ?? 0;
  const count = wholeNumber('_count', _count);
  return values.slice(offset, count === undefined ? undefined : offset + count);
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

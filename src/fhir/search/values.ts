// What the values of elements mean to a search: instants, tokens and references.
// https://hl7.org/fhir/R4/search.html
import { FhirError } from '../../base/outcome.ts';
import { dateRange, periodRange, timingRange } from '../../model/dates.ts';
import type { Definitions } from '../../model/definitions.ts';
import { parseReference } from '../../model/references.ts';
import type { TypedValue } from '../../model/search-accessors.ts';

export interface IndexContext {
  definitions: Definitions;
  /** Where this server answers, without a trailing slash: references below it are local ones. */
  baseUrl: string;
  /** IANA name of the zone in which times without an offset are read. */
  timeZone: string;
}

export const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';

/** The half-open range a date-like value stands for; undefined when it cannot be read. */
export function rangeOf({ type, value }: TypedValue, zone: string): { from: number; to: number } | undefined {
  try {
    if (typeof value === 'string') return dateRange(value, zone);
    if (type === 'Period') return periodRange(value as { start?: string; end?: string }, zone);
    if (type === 'Timing') return timingRange(value as object, zone);
    return undefined;
  } catch (error) {
    if (error instanceof FhirError) return undefined;
    throw error;
  }
}

/** `system` undefined: the element cannot carry one; '': it has none. `code` undefined: there is only a system. */
export interface Token {
  system: string | undefined;
  code: string | undefined;
}

/** The tokens of a value. https://hl7.org/fhir/R4/search.html#token */
export function tokensOf({ type, value }: TypedValue): Token[] {
  if (typeof value !== 'object' || value === null) {
    const isToken = isText(value) || typeof value === 'boolean' || typeof value === 'number';
    return isToken ? [{ system: undefined, code: String(value) }] : [];
  }
  const object = value as Record<string, unknown>;
  switch (type) {
    case 'CodeableConcept':
      return Array.isArray(object.coding) ? object.coding.map((coding) => tokenOf(coding?.system, coding?.code)) : [];
    case 'Identifier':
      return [tokenOf(object.system, object.value)];
    case 'ContactPoint':
      return isText(object.value) ? [{ system: undefined, code: object.value }] : [];
    default:
      return [tokenOf(object.system, object.code)];
  }
}

const tokenOf = (system: unknown, code: unknown): Token => ({
  system: isText(system) ? system : '',
  code: isText(code) ? code : undefined,
});

/** What a reference is indexed and searched by: "Type/id" here, the whole text elsewhere; undefined for `#contained`. */
export function referenceTarget(text: string, context: IndexContext): string | undefined {
  const reference = parseReference(text, context.baseUrl, (type) => context.definitions.isResourceType(type));
  if (reference.kind === 'contained') return undefined;
  return reference.kind === 'relative' ? `${reference.type}/${reference.id}` : text;
}

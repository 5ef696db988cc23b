// The parameters of $everything, and what they say of a resource of some type.
// https://hl7.org/fhir/R4/operation-patient-everything.html
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import { dateRange } from '../../model/dates.ts';
import { and, not, or } from '../../store/conditions.ts';
import type { Condition } from '../../store/store.ts';
import { conditionOf } from '../conditional.ts';
import type { EngineContext } from '../context.ts';
import type { Caller } from '../interaction.ts';
import { ordParameter } from '../search/ord.ts';
import { queryString } from '../search/query.ts';
import { unknownType } from '../unknown-name.ts';
import type { OperationInput } from './input.ts';

export interface EverythingRequest {
  /** The types asked for; undefined when all are. */
  types: ReadonlySet<string> | undefined;
  /** Resources of the compartment on one page. */
  count: number;
  /** Dates of care, as sent. */
  start?: string;
  end?: string;
  /** ms since the epoch. */
  since?: number;
  /** The same parameters as a query, for the links. */
  query: string;
}

const NAMES = ['start', 'end', '_since', '_type', '_count'];

/** Throws FhirError('invalid') naming the parameter and what it takes. */
export function everythingRequest(input: OperationInput, context: EngineContext): EverythingRequest {
  const start = dateIn('start', input, context);
  const end = dateIn('end', input, context);
  if (start !== undefined && end !== undefined && end.to <= start.from) {
    throw new FhirError('invalid', `end=${end.text} lies before start=${start.text}; give the earlier date as start.`);
  }
  const since = dateIn('_since', input, context);
  return {
    types: typesIn(input, context),
    count: countIn(input),
    ...(start === undefined ? {} : { start: start.text }),
    ...(end === undefined ? {} : { end: end.text }),
    ...(since === undefined ? {} : { since: since.from }),
    query: queryString(NAMES.flatMap((name) => input.texts(name).map((text): [string, string] => [name, text]))),
  };
}

function dateIn(
  name: string,
  input: OperationInput,
  context: EngineContext,
): { text: string; from: number; to: number } | undefined {
  const text = input.text(name);
  if (text === undefined) return undefined;
  try {
    return { text, ...dateRange(text, context.timeZone) };
  } catch (error) {
    if (!(error instanceof FhirError)) throw error;
    const accepted =
      name === '_since' ? 'an instant such as 2024-02-29T10:00:00Z' : 'a date such as 2024, 2024-02 or 2024-02-29';
    throw new FhirError('invalid', `"${name}" takes ${accepted}. In a URL, write the plus sign of an offset as %2B.`);
  }
}

/** "One or more parameters, each containing one or more comma-delimited FHIR resource types". */
function typesIn(input: OperationInput, { definitions }: EngineContext): ReadonlySet<string> | undefined {
  const types = input.texts('_type').flatMap((text) => text.split(','));
  for (const type of types) if (!definitions.isResourceType(type)) throw unknownType(type, definitions);
  return types.length === 0 ? undefined : new Set(types);
}

function countIn(input: OperationInput): number {
  const text = input.text('_count');
  if (text === undefined) return limits.everythingPageMax;
  if (!/^[1-9]\d{0,8}$/.test(text)) {
    throw new FhirError('invalid', `"_count" takes a whole number from 1 to ${limits.everythingPageMax}.`);
  }
  return Math.min(Number(text), limits.everythingPageMax);
}

/**
 * What dates of care and _since leave of a type. "The date range relates to care dates, not record currency dates": a
 * resource is in it when its clinical date (that of its type's order, search/ord.ts) overlaps the range, or when it has
 * none, such as a Patient or an AllergyIntolerance without onset, for those belong to all care. _since takes the instant
 * itself in, so that nothing is missed at the boundary.
 */
export async function everythingFilter(
  type: string,
  { start, end, since }: EverythingRequest,
  caller: Caller,
  context: EngineContext,
): Promise<Condition> {
  const changed: Condition = since === undefined ? { kind: 'all' } : { kind: 'lastUpdated', from: since };
  const date = ordParameter(context.definitions, type)?.code;
  if (date === undefined || (start === undefined && end === undefined)) return changed;
  const bounds: [string, string][] = [
    ...(start === undefined ? [] : [[date, `ge${start}`] as [string, string]]),
    ...(end === undefined ? [] : [[date, `le${end}`] as [string, string]]),
  ];
  const inRange = await conditionOf(type, queryString(bounds), caller, context);
  const isDated = await conditionOf(type, `${date}:missing=false`, caller, context);
  return and([changed, or([inRange, not(isDated)])]);
}

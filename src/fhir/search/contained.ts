// _contained and _containedType: resources that live inside others. Which resources contain any of a type is in the
// index; what is in them is matched in memory. https://hl7.org/fhir/R4/search.html#contained
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import { elementSpans, memberSpans } from '../../model/json.ts';
import { matchesKeys } from '../../store/match.ts';
import type { Condition, Row } from '../../store/store.ts';
import type { EngineContext } from '../context.ts';
import type { Caller } from '../interaction.ts';
import { inTurn } from '../transaction/in-turn.ts';
import { indexResource } from './index-resource.ts';
import { containerKey } from './keys.ts';

/** A contained match: its text, and the resource around it. */
export interface ContainedMatch {
  container: Row & { body: Uint8Array };
  id: string;
  body: Uint8Array;
}

/**
 * The resources of `type` within others for which the condition holds; it must ask no other resources.
 * Throws FhirError('too-costly') when more containers would have to be looked at than one search may.
 */
export async function containedMatches(
  type: string,
  where: Condition,
  caller: Caller,
  context: EngineContext,
): Promise<ContainedMatch[]> {
  const refs = await containersOf(type, caller, context);
  const found: ContainedMatch[] = [];
  for (let at = 0; at < refs.length; at += limits.pageSizeMax) {
    const rows = await context.store.readMany(refs.slice(at, at + limits.pageSizeMax), caller.filter);
    for (const row of rows) {
      if (row?.body) found.push(...matchesWithin({ ...row, body: row.body }, type, where, context));
    }
  }
  return found;
}

/** The resources that contain any of a type, by type. */
async function containersOf(
  type: string,
  caller: Caller,
  { definitions, store }: EngineContext,
): Promise<{ type: string; id: string }[]> {
  let left: number = limits.containersMax;
  const search = { where: { kind: 'key' as const, key: containerKey(type) }, order: [], bodyless: true };
  const found = await inTurn(definitions.resourceTypes, async (one) => {
    const options = { type: one, limit: limits.containersMax + 1, budgetMs: limits.queryBudgetMs };
    const { rows } = await store.search({ ...search, ...options }, caller.filters.s);
    left -= rows.length;
    if (left >= 0) return rows.map(({ id }) => ({ type: one, id }));
    throw new FhirError(
      'too-costly',
      `More than ${limits.containersMax} resources contain a ${type}; _contained cannot look into so many.`,
    );
  });
  return found.flat();
}

function matchesWithin(
  container: ContainedMatch['container'],
  type: string,
  where: Condition,
  context: EngineContext,
): ContainedMatch[] {
  const span = memberSpans(container.body).get('contained');
  if (span === undefined) return [];
  return elementSpans(container.body, span.valueStart, span.valueEnd).flatMap(({ start, end }): ContainedMatch[] => {
    const body = container.body.subarray(start, end);
    const resource = JSON.parse(Buffer.from(body).toString('utf8')) as { resourceType: string; id?: string };
    if (resource.resourceType !== type) return [];
    const id = resource.id ?? '';
    const { keys, ord, terms } = indexResource({ ...resource, id }, context);
    const holds = matchesKeys({ type, id, lastUpdated: container.lastUpdated, keys, ord, terms }, where);
    return holds ? [{ container, id, body }] : [];
  });
}

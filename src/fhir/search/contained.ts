// _contained and _containedType: resources that live inside others. Which resources contain any of a type is in the
// index; what is in them is matched in memory. https://hl7.org/fhir/R4/search.html#contained
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import { elementSpans, memberSpans } from '../../model/json.ts';
import { matchesKeys } from '../../store/match.ts';
import type { Condition, Row } from '../../store/store.ts';
import type { EngineContext } from '../context.ts';
import type { Caller } from '../interaction.ts';
import { hasJoin } from './conditions.ts';
import { indexResource } from './index-resource.ts';
import { containerKey } from './keys.ts';

/** What a search looks at, and what it shows of a contained match. */
export interface ContainedSearch {
  contained: 'false' | 'true' | 'both';
  containedType: 'container' | 'contained';
}

/** A contained match: its text, and the resource around it. */
export interface ContainedMatch {
  container: Row & { body: Uint8Array };
  id: string;
  body: Uint8Array;
}

/**
 * The resources of `type` within others for which the condition holds.
 * Throws FhirError('too-costly') when more containers would have to be looked at than one search may.
 */
export async function containedMatches(
  type: string,
  where: Condition,
  caller: Caller,
  context: EngineContext,
): Promise<ContainedMatch[]> {
  if (hasJoin(where)) {
    throw new FhirError('not-supported', '_contained cannot be combined with chains and _has.');
  }
  const found: ContainedMatch[] = [];
  let left: number = limits.containersMax;
  for (const containerType of context.definitions.resourceTypes) {
    const page = await context.store.search(
      {
        type: containerType,
        where: { kind: 'key', key: containerKey(type) },
        order: [],
        limit: left,
        budgetMs: limits.queryBudgetMs,
      },
      caller.filter,
    );
    left -= page.rows.length;
    if (page.next !== undefined || left <= 0) {
      throw new FhirError(
        'too-costly',
        `More than ${limits.containersMax} resources contain a ${type}; _contained cannot look into so many.`,
      );
    }
    for (const row of page.rows) found.push(...matchesWithin(row as ContainedMatch['container'], type, where, context));
  }
  return found;
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
    const { keys, terms } = indexResource({ ...resource, id }, context);
    const holds = matchesKeys({ type, id, lastUpdated: container.lastUpdated, keys, terms }, where);
    return holds ? [{ container, id, body }] : [];
  });
}

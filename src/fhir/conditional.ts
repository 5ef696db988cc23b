// Finding the one resource that a conditional interaction means, and keeping that finding true until the commit.
// https://hl7.org/fhir/R4/http.html#ccreate
import { limits } from '../base/limits.ts';
import { FhirError } from '../base/outcome.ts';
import type { Check, Condition } from '../store/store.ts';
import { StoreError } from '../store/store.ts';
import { requireSearchable } from './access/require.ts';
import type { EngineContext } from './context.ts';
import type { Caller } from './interaction.ts';
import { compileCriteria } from './search/compile.ts';
import { parseSearch } from './search/parse.ts';
import { resolveCriteria } from './search/resolve.ts';

/** What a condition matched: no id, or one; and the check that a commit carries so that it still holds then. */
export interface Match {
  id: string | undefined;
  check: Check;
}

/** Two are enough to know that a match is not unique. */
const LOOKED_FOR = 2;

/**
 * The resource of `type` that meets `query`. Throws FhirError('multiple-matches') when several do, and
 * FhirError('precondition') for a query without criteria, which would match anything.
 */
export async function matchOne(type: string, query: string, caller: Caller, context: EngineContext): Promise<Match> {
  const { ids, check } = await matches(type, await conditionOf(type, query, caller, context), caller, context);
  if (ids.length > 1) throw severalMatch(type);
  return { id: ids[0], check };
}

/** 412 for a condition that does not single one out. */
export const severalMatch = (type: string): FhirError =>
  new FhirError('multiple-matches', `Several ${type} resources match the condition; make it more selective.`);

/** The query of a conditional interaction as a condition; FhirError('precondition') for one without criteria. */
export async function conditionOf(
  type: string,
  query: string,
  caller: Caller,
  context: EngineContext,
): Promise<Condition> {
  const request = parseSearch([type], query, { definitions: context.definitions, lenient: false });
  if (request.criteria.length === 0) {
    throw new FhirError(
      'precondition',
      `A condition on ${type} needs at least one search parameter; this one would match every ${type}.`,
    );
  }
  if (request.asOf !== undefined || request.contained !== 'false') {
    throw new FhirError('invalid', '_asOf and _contained have no place in a condition.');
  }
  requireSearchable([type], request.criteria, [], caller);
  const criteria = await resolveCriteria(request.criteria, caller, context);
  return compileCriteria(type, criteria, { ...context, now: context.clock.now() });
}

/** Ids that meet a condition, at most `atMost` of them (two tell one from several); and the check that it is still so. */
export async function matches(
  type: string,
  where: Condition,
  caller: Caller,
  context: EngineContext,
  atMost: number = LOOKED_FOR,
): Promise<{ ids: string[]; check: Check }> {
  const page = await context.store.search(
    { type, where, order: [], limit: atMost, bodyless: true, budgetMs: limits.queryBudgetMs },
    caller.filters.s,
  );
  const ids = page.rows.map(({ id }) => id);
  return { ids, check: { type, where, filter: caller.filters.s, ids, atMost } };
}

/**
 * Runs `attempt` again while its commit fails because what it decided on does not hold any more, a check or the version
 * that it read: another client was faster, so decide on what is there now. Each failure means that somebody else
 * succeeded. FhirError('conflict') when it never comes through.
 */
export async function untilSettled<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof StoreError) || (error.kind !== 'check' && error.kind !== 'version')) throw error;
      if (tries >= limits.writeAttemptsMax) {
        throw new FhirError('conflict', 'Others keep changing the same resource; try again later.', { cause: error });
      }
    }
  }
}

// Which queries may narrow a scope: plain indexed parameters of the one type, so that every resource is either within the
// scope or not, whatever other resources say. https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html#finer-grained-resource-constraints-using-search-parameters
import { FhirError } from '../../base/outcome.ts';
import type { Definitions } from '../../model/definitions.ts';
import { asksForTerms } from '../../store/conditions.ts';
import { compileCriteria } from '../search/compile.ts';
import type { Criterion } from '../search/criteria.ts';
import { parseSearch } from '../search/parse.ts';

/** Why a query cannot narrow a scope on a type, as a sentence for whoever asks for it; undefined where it can. */
export function scopeQueryProblem(type: string, query: string, definitions: Definitions): string | undefined {
  if (!definitions.isResourceType(type)) return 'A query narrows a scope on one resource type.';
  try {
    const { criteria, self, ...rest } = parseSearch([type], query, { definitions, lenient: false });
    const isPlain =
      criteria.length > 0 &&
      criteria.every(isWithinResource) &&
      rest.sort.length === 0 &&
      rest.includes.length === 0 &&
      rest.revincludes.length === 0 &&
      rest.asOf === undefined &&
      rest.contained === 'false' &&
      rest.selection === undefined &&
      !rest.countOnly &&
      !/(^|&)_(count|total|summary|elements|filter)=/.test(self);
    if (!isPlain) return 'Only plain search parameters of the type can narrow a scope.';
    const where = compileCriteria(type, criteria, { definitions, baseUrl: '', timeZone: 'UTC', now: 0 });
    return asksForTerms(where) ? 'A scope is narrowed by codes, not by a code system alone.' : undefined;
  } catch (error) {
    if (error instanceof FhirError) return error.issues[0]?.diagnostics ?? error.message;
    throw error;
  }
}

const MODIFIERS: ReadonlySet<string | undefined> = new Set([undefined, 'not', 'exact']);

/** When it was stored is not known of what is about to be. */
const isWithinResource = (criterion: Criterion): boolean =>
  criterion.kind === 'parameter' &&
  MODIFIERS.has(criterion.modifier) &&
  criterion.parameter.type !== 'special' &&
  criterion.parameter.code !== '_lastUpdated';

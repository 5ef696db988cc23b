// A search that was understood: what it asks for, where it looks, and what must hold for each type.
import { limits } from '../../base/limits.ts';
import { slices } from '../../base/slices.ts';
import type { Condition, Row } from '../../store/store.ts';
import { requireSearchable } from '../access/require.ts';
import type { EngineContext } from '../context.ts';
import type { Caller } from '../interaction.ts';
import { compileCriteria } from './compile.ts';
import { compartmentKey, referencePrefix } from './keys.ts';
import { listsOf } from './lists.ts';
import type { SearchRequest } from './parse.ts';
import { resolveCriteria } from './resolve.ts';

/** Where a search looks: its types, and the compartment it stays within. */
export interface SearchScope {
  types: readonly string[];
  compartment?: { type: string; id: string };
  /** Path that a paging link repeats. */
  path: string;
  interaction: 'search-type' | 'search-system' | 'search-compartment';
}

export interface Question {
  scope: SearchScope;
  parsed: SearchRequest;
  /** Type → what must hold for it. */
  wheres: ReadonlyMap<string, Condition>;
  caller: Caller;
  context: EngineContext;
  /** When its queries must be done, by performance.now(). */
  endsAt: number;
}

export type LiveRow = Row & { body: Uint8Array };

/** The question of a parsed search. A compartment leaves out the types that are never members. */
export async function questionOf(
  scope: SearchScope,
  parsed: SearchRequest,
  caller: Caller,
  context: EngineContext,
): Promise<Question> {
  const endsAt = performance.now() + limits.searchBudgetMs;
  requireSearchable(parsed.types, parsed.criteria, parsed.sort, caller);
  const criteria = await resolveCriteria(parsed.criteria, caller, context);
  const wheres = new Map<string, Condition>();
  const { definitions, baseUrl, timeZone, clock } = context;
  const compiling = { definitions, baseUrl, timeZone, now: clock.now() };
  const turn = slices();
  for (const type of parsed.types) {
    await turn();
    const where = compileCriteria(type, criteria, compiling);
    if (scope.compartment === undefined) wheres.set(type, where);
    else wheres.set(type, { kind: 'and', of: [membership(type, scope.compartment, context), where] });
  }
  return { scope, parsed, wheres, caller, context, endsAt };
}

/** What makes a resource of `type` a member of a compartment. https://hl7.org/fhir/R4/compartmentdefinition.html */
export function membership(type: string, compartment: { type: string; id: string }, context: EngineContext): Condition {
  if (compartment.type === 'Patient') return { kind: 'key', key: compartmentKey(compartment.id, type) };
  const codes = context.definitions.compartments.get(compartment.type)?.get(type) ?? [];
  const own = `${compartment.type}/${compartment.id}`;
  const of: Condition[] = codes
    .flatMap((code) => listsOf(context.definitions, type, code).lists)
    .map(({ prefix }) => ({ kind: 'key', key: referencePrefix(prefix) + own }));
  if (type === compartment.type) of.push({ kind: 'ids', ids: [compartment.id] });
  return of.length === 0 ? { kind: 'none' } : { kind: 'or', of };
}

// agent.identifier, patient.identifier, entity.identifier and source.identifier, by which IHE's clients ask for
// AuditEvents: the identifier that an event itself tells, or that of the resource it refers to, as far as the caller may
// search those. https://profiles.ihe.net/ITI/BALP/CapabilityStatement-IHE.BALP.ATNA.AuditRecordRepository.html
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import { may, requireAny, requireSearchable } from '../access/require.ts';
import type { EngineContext } from '../context.ts';
import type { Caller } from '../interaction.ts';
import { compileCriteria } from '../search/compile.ts';
import { parseSearch } from '../search/parse.ts';
import { queryPairs, queryString } from '../search/query.ts';

/** Name of the parameter → types that are looked into. */
const TYPES: Readonly<Record<string, readonly string[]>> = {
  'agent.identifier': ['Practitioner', 'Organization', 'Device', 'Patient', 'RelatedPerson'],
  'patient.identifier': ['Patient'],
  'entity.identifier': ['Patient'],
  'source.identifier': [],
};

export const IDENTIFIER_PARAMETERS = Object.keys(TYPES);

/** Value of such a parameter, under its name → references to the resources that have one of the identifiers. */
export type Identified = ReadonlyMap<string, readonly string[]>;

export const identifiedBy = (name: string, value: string): string => `${name}=${value}`;

/**
 * Looks up what the identifiers of a query are of. FhirError('forbidden') where the caller may search none of the types,
 * 'too-costly' for more than limits.orValuesMax resources of a type.
 */
export async function identified(query: string, caller: Caller, context: EngineContext): Promise<Identified> {
  const found = new Map<string, readonly string[]>();
  for (const [name, value] of queryPairs(query)) {
    const types = Object.hasOwn(TYPES, name) ? (TYPES[name] ?? []) : [];
    const [first] = types;
    if (first === undefined) continue;
    const open = types.filter((type) => may(caller, 's', type));
    if (open.length === 0) requireAny(caller, ['s'], first);
    const references = await Promise.all(open.map((type) => withIdentifier(type, value, caller, context)));
    found.set(identifiedBy(name, value), references.flat());
  }
  return found;
}

async function withIdentifier(
  type: string,
  value: string,
  caller: Caller,
  context: EngineContext,
): Promise<readonly string[]> {
  const { definitions, clock, store } = context;
  const query = queryString([['identifier', value]]);
  const { criteria } = parseSearch([type], query, { definitions, lenient: false });
  requireSearchable([type], criteria, [], caller);
  const where = compileCriteria(type, criteria, { ...context, now: clock.now() });
  const most = limits.orValuesMax;
  const asked = { type, where, order: [], limit: most + 1, bodyless: true, budgetMs: limits.queryBudgetMs };
  const { rows } = await store.search(asked, caller.filters.s);
  if (rows.length > most)
    throw new FhirError('too-costly', `More than ${most} ${type} resources have such an identifier; name one.`);
  return rows.map(({ id }) => `${type}/${id}`);
}

// Search parameters as arguments: their names, and what they stand for as the query of a FHIR search.
// https://hl7.org/fhir/R4/graphql.html#searching
import { type GraphQLInputType, GraphQLInt, GraphQLList, GraphQLString } from 'graphql';
import { FhirError } from '../../../base/outcome.ts';
import type { Definitions, SearchParameter } from '../../../model/definitions.ts';
import { isSearchable } from '../../search/parse.ts';
import { queryString } from '../../search/query.ts';
import { searchScalar } from './scalars.ts';

/** The arguments of a search of a type: every parameter takes one value or several, one of which must fit. */
export function searchArguments(type: string, definitions: Definitions): Record<string, GraphQLInputType> {
  const args: Record<string, GraphQLInputType> = {};
  for (const parameter of searchable(type, definitions)) {
    args[argumentName(parameter.code)] = new GraphQLList(searchScalar(parameter.type));
  }
  const texts = Object.fromEntries(asWritten.map((name) => [name, GraphQLString]));
  return { ...args, ...texts, _count: GraphQLInt, fhirpath: GraphQLString };
}

/** The resource types that may refer to a type by one of their search parameters. */
export function referringTypes(target: string, definitions: Definitions): string[] {
  return definitions.resourceTypes.filter((type) => referencesTo(target, type, definitions).length > 0);
}

/**
 * The query of the search that arguments mean, without `_count`. `focus` is the resource that `_reference` stands for.
 * Throws FhirError('invalid') when `_reference` is no parameter by which the type refers to it.
 */
export function searchQuery(
  type: string,
  args: Readonly<Record<string, unknown>>,
  focus: { type: string; id: string } | undefined,
  definitions: Definitions,
): string {
  const pairs: [string, string][] = [];
  for (const { code } of searchable(type, definitions)) {
    const value = args[argumentName(code)];
    if (value !== undefined && value !== null) pairs.push([code, alternatives(value, code)]);
  }
  if (focus !== undefined)
    pairs.push([referenceParameter(type, args, focus, definitions), `${focus.type}/${focus.id}`]);
  for (const name of asWritten) if (typeof args[name] === 'string') pairs.push([name, args[name]]);
  return queryString(pairs);
}

/** GraphQL's names have no hyphen, and no parameter of FHIR has two names that differ in that alone. */
const argumentName = (code: string): string => code.replaceAll('-', '_');

/** What a FHIR search takes besides its parameters, with one value in which a comma has its meaning. */
const asWritten: readonly string[] = ['_filter', '_list', '_sort'];

/** A parameter that a client added may have a code that means something else here. */
const reserved: ReadonlySet<string> = new Set([...asWritten, '_count', '_cursor', '_reference', 'fhirpath']);

function searchable(type: string, definitions: Definitions): SearchParameter[] {
  return [...definitions.searchParameters(type).values()].filter(
    (parameter) => isSearchable(parameter) && !reserved.has(parameter.code),
  );
}

function referencesTo(target: string, type: string, definitions: Definitions): SearchParameter[] {
  return searchable(type, definitions).filter(
    (parameter) =>
      parameter.type === 'reference' && (parameter.targets.length === 0 || parameter.targets.includes(target)),
  );
}

function referenceParameter(
  type: string,
  args: Readonly<Record<string, unknown>>,
  focus: { type: string },
  definitions: Definitions,
): string {
  const accepted = referencesTo(focus.type, type, definitions).map(({ code }) => code);
  const name = String(args._reference);
  const found = accepted.find((code) => code === name || argumentName(code) === name);
  if (found !== undefined) return found;
  throw new FhirError(
    'invalid',
    `_reference: "${name.slice(0, 40)}" is no search parameter by which ${type} refers to ${focus.type}; accepted: ${accepted.map(argumentName).join(', ')}.`,
  );
}

/** An array means "one of these"; a comma within a value is just a comma, unlike in a URL. */
function alternatives(value: unknown, code: string): string {
  const values = [value].flat().filter((one) => one !== null);
  if (values.length === 0)
    throw new FhirError('invalid', `"${argumentName(code)}" has no value; leave it out or give it one.`);
  return values.map((one) => String(one).replace(/\\.|,/gs, (found) => (found === ',' ? '\\,' : found))).join(',');
}

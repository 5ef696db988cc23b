// The search parameters whose values are kept as index keys, with the accessor of each.
// https://hl7.org/fhir/R4/search.html, https://hl7.org/fhir/R4/searchparameter-registry.html

import type { Definitions, SearchParameter } from './definitions.ts';
import { type Accessor, compileExpression } from './search-accessors.ts';

export interface IndexedParameter {
  parameter: SearchParameter;
  accessor: Accessor;
}

/** The store keeps id and time of change with the row itself. */
const keptWithRow: ReadonlySet<string> = new Set(['_id', '_lastUpdated']);

const compiled = new WeakMap<Definitions, Map<string, readonly IndexedParameter[]>>();

/**
 * The parameters of a resource type that select content of their own, sorted by code: not composite ones, which join
 * others, nor special ones (`near`) nor those without an expression (`_text`). Compiled at the first call for a type.
 */
export function indexedParameters(definitions: Definitions, type: string): readonly IndexedParameter[] {
  let byType = compiled.get(definitions);
  if (byType === undefined) {
    byType = new Map();
    compiled.set(definitions, byType);
  }
  let list = byType.get(type);
  if (list === undefined) {
    list = [...definitions.searchParameters(type).values()]
      .filter(isIndexed)
      .map((parameter) => ({ parameter, accessor: compileExpression(definitions, type, parameter.expression) }));
    byType.set(type, list);
  }
  return list;
}

function isIndexed({ code, type, expression }: SearchParameter): boolean {
  return expression !== '' && type !== 'composite' && type !== 'special' && !keptWithRow.has(code);
}

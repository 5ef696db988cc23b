// What a resource sorts by, for results that are sorted in memory. https://hl7.org/fhir/R4/search.html#sort
import { FhirError } from '../../base/outcome.ts';
import type { Definitions } from '../../model/definitions.ts';
import { compareKeys } from '../../store/match.ts';
import type { Key } from '../../store/store.ts';
import type { SortBy } from './criteria.ts';
import { sortPrefix } from './keys.ts';
import { listsOf } from './lists.ts';

/** What is missing comes last either way. */
export function compareValues(a: Key | number | undefined, b: Key | number | undefined, descending: boolean): number {
  if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined);
  const sign = typeof a === 'string' && typeof b === 'string' ? compareKeys(a, b) : Number(a) - Number(b);
  return descending ? -sign : sign;
}

/** The list that a sort parameter orders by; undefined for _lastUpdated. */
export function sortList(
  type: string,
  { code, type: kind }: SortBy['parameter'],
  { definitions }: { definitions: Definitions },
): Key | undefined {
  if (code === '_lastUpdated') return undefined;
  const { lists } = listsOf(definitions, type, code);
  const list = lists.at(-1);
  if (lists.length > 1 && list?.target === undefined) {
    throw new FhirError('invalid', `_sort=${code}: it joins several parameters; sort by one of them.`);
  }
  if (list === undefined || kind === 'composite' || kind === 'special') {
    throw new FhirError('invalid', `_sort=${code}: a ${kind} parameter has no order.`);
  }
  // Of a list that holds references to other types, too, only those to one are the parameter's.
  return sortPrefix(list.prefix, kind) + (list.target === undefined ? '' : `${list.target}/`);
}

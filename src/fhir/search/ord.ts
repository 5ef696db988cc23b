// The clinical date of each type: the search parameter whose value orders a resource among its kind. Every list of the
// index is sorted by it, so a search sorted by it needs no sort, and a search without `_sort` gives the newest first.
import type { Definitions, SearchParameter } from '../../model/definitions.ts';
import { selectedTypes } from '../../model/search-accessors.ts';
import type { Key } from '../../store/store.ts';
import { listsOf } from './lists.ts';

/** The first of these date parameters that a type has. */
const PREFERRED = [
  // Before `date`, which for a MedicationRequest is each time that a dose is taken at.
  'authoredon',
  'date',
  'authored-on',
  'authored',
  'occurrence',
  'effective-time',
  'effective',
  'whenhandedover',
  'sent',
  'onset-date',
  'recorded-date',
  'created',
  'period',
  'start',
  'start-date',
  'started',
  'issued',
  'event-date',
  'recorded',
  'enterdate',
  'entered-date',
  'collected',
  'when',
  'service-period',
  'modified',
  'study',
  'timing-date',
];

/** The parameter, or undefined for a type without a clinical date (a Patient, a Medication). */
export function ordParameter(definitions: Definitions, type: string): SearchParameter | undefined {
  const parameters = definitions.searchParameters(type);
  for (const code of PREFERRED) {
    const parameter = parameters.get(code);
    if (parameter?.type === 'date' && parameter.expression !== '' && parameter.list === undefined) return parameter;
  }
  return undefined;
}

/** What the clinical date of a resource tells of its value in a list of dates: it is where that value begins. */
export interface OrdList {
  /** No value is open at an end or longer than a year: there are no periods. */
  isPoint: boolean;
}

const known = new WeakMap<Definitions, Map<string, { prefix: Key; dates: OrdList } | undefined>>();

/** For the list by which a type is ordered; each of R4's such parameters selects one value at most. */
export function ordList(definitions: Definitions, type: string, prefix: Key): OrdList | undefined {
  let byType = known.get(definitions);
  if (byType === undefined) {
    byType = new Map();
    known.set(definitions, byType);
  }
  if (!byType.has(type)) byType.set(type, listOfOrd(definitions, type));
  const list = byType.get(type);
  return list?.prefix === prefix ? list.dates : undefined;
}

function listOfOrd(definitions: Definitions, type: string): { prefix: Key; dates: OrdList } | undefined {
  const parameter = ordParameter(definitions, type);
  if (parameter === undefined) return undefined;
  const [list, ...more] = listsOf(definitions, type, parameter.code).lists;
  if (list === undefined || more.length > 0) return undefined;
  const types = selectedTypes(definitions, type, parameter.expression);
  return { prefix: list.prefix, dates: { isPoint: !types.has('Period') && !types.has('Timing') } };
}

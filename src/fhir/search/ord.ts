// The clinical date of each type: the search parameter whose value orders a resource among its kind. Every list of the
// index is sorted by it, so a search sorted by it needs no sort, and a search without `_sort` gives the newest first.
import type { Definitions, SearchParameter } from '../../model/definitions.ts';

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

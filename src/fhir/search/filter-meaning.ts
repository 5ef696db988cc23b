// What the operators of _filter mean for each type of parameter, in the modifiers and prefixes that the compiler knows.
// https://hl7.org/fhir/R4/search_filter.html
import { FhirError } from '../../base/outcome.ts';
import type { SearchParameter } from '../../model/definitions.ts';
import type { Filter, FilterOperator } from './filter.ts';

/** A comparison of a _filter. */
export type Comparison = Extract<Filter, { kind: 'compare' }>;

interface FilterMeaning {
  modifier?: string;
  prefix?: string;
}

const AS_PREFIX: Partial<Record<FilterOperator, FilterMeaning>> = Object.fromEntries(
  ['eq', 'ne', 'gt', 'lt', 'ge', 'le', 'ap', 'sa', 'eb'].map((prefix) => [prefix, { prefix }]),
);
const AS_TEXT: Partial<Record<FilterOperator, FilterMeaning>> = {
  eq: { modifier: 'equal' },
  ne: { modifier: 'unequal' },
  co: { modifier: 'contains' },
  sw: {},
  ew: { modifier: 'ends' },
  // "Based on integer comparison of Unicode code points of starting character."
  gt: { modifier: 'gt' },
  lt: { modifier: 'lt' },
  ge: { modifier: 'ge' },
  le: { modifier: 'le' },
};

/** What an operator means for each type of parameter, as a modifier or prefix. "ne: an item in the set has an unequal value." */
export const FILTER_MEANING: Readonly<Record<SearchParameter['type'], Partial<Record<FilterOperator, FilterMeaning>>>> =
  {
    string: AS_TEXT,
    token: {
      eq: {},
      ne: { modifier: 'unequal' },
      // "ss: the value subsumes a concept in the set; sb: it is subsumed by one."
      ss: { modifier: 'below' },
      sb: { modifier: 'above' },
      in: { modifier: 'in' },
      ni: { modifier: 'not-in' },
    },
    date: { ...AS_PREFIX, co: { modifier: 'covers' }, po: { modifier: 'overlaps' } },
    number: AS_PREFIX,
    quantity: AS_PREFIX,
    reference: { re: {}, eq: {}, ne: { modifier: 'unequal' } },
    uri: {
      eq: {},
      ne: { modifier: 'unequal' },
      ss: { modifier: 'below' },
      sb: { modifier: 'above' },
      sw: { modifier: 'begins' },
    },
    composite: { eq: {} },
    special: { eq: {} },
  };

/** The same for parameters that are no elements. */
export const FILTER_MEANING_OF: ReadonlyMap<string, Partial<Record<FilterOperator, FilterMeaning>>> = new Map([
  ['_id', { eq: {}, ne: { modifier: 'not' } }],
  ['_lastUpdated', AS_PREFIX],
  ['_text', { eq: {}, co: {} }],
  ['_content', { eq: {}, co: {} }],
]);

/** "For convenience, the codes loinc, snomed, rxnorm and ucum are predefined and can be used in place of their associated full namespace." */
const NAMESPACES: Readonly<Record<string, string>> = {
  loinc: 'http://loinc.org',
  snomed: 'http://snomed.info/sct',
  rxnorm: 'http://www.nlm.nih.gov/research/umls/rxnorm',
  ucum: 'http://unitsofmeasure.org',
};

/**
 * The value as a parameter would have it. A text or URI is all literal; "for token, the format is the same as the existing
 * search parameter", escapes included.
 */
export function filterValue(kind: string, operator: FilterOperator, prefix: string, value: string): string {
  if (operator === 'pr') {
    if (value === 'true' || value === 'false') return value === 'true' ? 'false' : 'true';
    throw new FhirError('invalid', '_filter: "pr" takes true or false.');
  }
  if (kind === 'string' || kind === 'uri') return value.replace(/[\\,|$]/g, '\\$&');
  return prefix + value.replace(/(?<=^|[|$])(loinc|snomed|rxnorm|ucum)(?=\|)/g, (name) => NAMESPACES[name] ?? name);
}

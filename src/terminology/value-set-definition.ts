// What a value set says of its content, out of a resource, a row of R4's own, or a url that says it itself.
// https://hl7.org/fhir/R4/valueset.html#cld
import type { ValueSetComposeInclude, ValueSetExpansionContains, ValueSet as ValueSetResource } from 'fhir/r4.js';
import type { CodeFilter } from './code-filters.ts';
import type { ValueSetPart as ValueSetPartRow, ValueSetRow } from './r4-tables.ts';

export interface ValueSet {
  url: string;
  version?: string;
  /** compose.inactive: whether codes no longer in use are members; they are unless it is false. */
  inactive?: boolean;
  /** Absent when the value set has no compose. */
  include?: readonly ValueSetPart[];
  exclude?: readonly ValueSetPart[];
  expansion?: { codes: readonly { system: string; code: string }[]; isComplete: boolean };
}

/** One include or exclude: what meets all of its conditions. */
export interface ValueSetPart {
  system?: string;
  version?: string;
  codes?: readonly string[];
  filters?: readonly CodeFilter[];
  /** Canonicals of value sets. */
  valueSets?: readonly string[];
}

/** The value set of a resource that has passed the structure check. */
export function valueSetOf({ url = '', version, compose, expansion }: ValueSetResource): ValueSet {
  return {
    url,
    ...(version === undefined ? {} : { version }),
    ...(compose?.inactive === undefined ? {} : { inactive: compose.inactive }),
    ...(compose === undefined ? {} : { include: (compose.include ?? []).map(partOf) }),
    ...(compose?.exclude === undefined ? {} : { exclude: compose.exclude.map(partOf) }),
    ...(expansion === undefined ? {} : { expansion: expansionOf(expansion) }),
  };
}

function partOf({ system, version, concept, filter, valueSet }: ValueSetComposeInclude): ValueSetPart {
  return {
    ...(system === undefined ? {} : { system }),
    ...(version === undefined ? {} : { version }),
    ...(concept === undefined ? {} : { codes: concept.map(({ code }) => code) }),
    ...(filter === undefined ? {} : { filters: filter.map(({ property, op, value }) => ({ property, op, value })) }),
    ...(valueSet === undefined ? {} : { valueSets: valueSet }),
  };
}

/** Extensions by which an expansion says that it is not all. */
const INCOMPLETE = ['valueset-unclosed', 'valueset-toocostly'].map(
  (id) => `http://hl7.org/fhir/StructureDefinition/${id}`,
);

function expansionOf(expansion: NonNullable<ValueSetResource['expansion']>): NonNullable<ValueSet['expansion']> {
  const codes: { system: string; code: string }[] = [];
  let count = 0;
  const add = (contains: readonly ValueSetExpansionContains[]): void => {
    for (const { system, code, contains: inner = [] } of contains) {
      count++;
      if (system !== undefined && code !== undefined) codes.push({ system, code });
      // No deeper than JSON may nest.
      add(inner);
    }
  };
  add(expansion.contains ?? []);
  const isCut = (expansion.extension ?? []).some(
    ({ url, valueBoolean }) => INCOMPLETE.includes(url) && valueBoolean !== false,
  );
  return { codes, isComplete: !isCut && (expansion.total ?? 0) <= count && (expansion.offset ?? 0) === 0 };
}

/** The value set of a row of R4's own. */
export function valueSetOfRow(url: string, { version, inactive, include, exclude }: ValueSetRow): ValueSet {
  return {
    url,
    ...(version === undefined ? {} : { version }),
    ...(inactive === undefined ? {} : { inactive }),
    include: include.map(partOfRow),
    ...(exclude === undefined ? {} : { exclude: exclude.map(partOfRow) }),
  };
}

function partOfRow({ codes, filters, ...rest }: ValueSetPartRow): ValueSetPart {
  return {
    ...rest,
    ...(codes === undefined ? {} : { codes: codes.map((one) => (typeof one === 'string' ? one : one[0])) }),
    ...(filters === undefined ? {} : { filters: filters.map(([property, op, value]) => ({ property, op, value })) }),
  };
}

/**
 * Value sets that a code system has without anybody defining them: all of it, or what is a code.
 * https://hl7.org/fhir/R4/snomedct.html#implicit, https://hl7.org/fhir/R4/loinc.html#implicit
 */
export function implicitValueSet(canonical: string): ValueSet | undefined {
  if (canonical === 'http://loinc.org/vs') return { url: canonical, include: [{ system: 'http://loinc.org' }] };
  const [system = '', query] = canonical.split('?fhir_vs');
  if (system === '' || query === undefined) return undefined;
  if (query === '') return { url: canonical, include: [{ system }] };
  const code = query.startsWith('=isa/') ? query.slice('=isa/'.length) : '';
  if (code === '') return undefined;
  return { url: canonical, include: [{ system, filters: [{ property: 'concept', op: 'is-a', value: code }] }] };
}

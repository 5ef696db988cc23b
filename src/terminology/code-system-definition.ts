// A code system as it is asked about, out of a resource or a row of R4's own.
// https://hl7.org/fhir/R4/codesystem.html, https://hl7.org/fhir/R4/codesystem-concept-properties.html
import type { CodeSystemConcept, CodeSystemConceptProperty, CodeSystem as CodeSystemResource } from 'fhir/r4.js';
import type { CodeSystemRow, ConceptRow } from './r4-tables.ts';

export interface Concept {
  code: string;
  display?: string;
  /** No longer to be used. Deprecated concepts are not inactive. */
  isInactive: boolean;
  /** Property → its values as text. Where a concept stands in the hierarchy is not among them. */
  properties: ReadonlyMap<string, readonly string[]>;
}

export interface CodeSystem {
  url: string;
  version?: string;
  /** `complete`, or how much of the code system is known: `fragment`, `example`, `supplement`, `not-present`. */
  content: string;
  isCaseSensitive: boolean;
  /** By code, in the order in which the code system gives them. */
  concepts: ReadonlyMap<string, Concept>;
  /** Code → codes directly below, and above. Empty when the hierarchy means something else than is-a. */
  children: ReadonlyMap<string, ReadonlySet<string>>;
  parents: ReadonlyMap<string, ReadonlySet<string>>;
  /** Codes of the properties that concepts may have. */
  properties: ReadonlySet<string>;
}

/** The code system of a resource that has passed the structure check. */
export function codeSystemOf(resource: CodeSystemResource): CodeSystem {
  const { url = '', version, content, caseSensitive, hierarchyMeaning, property = [], concept = [] } = resource;
  const roles = propertyRoles(property);
  const draft = newDraft();
  const add = (concepts: readonly CodeSystemConcept[], parent: string | undefined): void => {
    for (const one of concepts) {
      if (parent !== undefined) draft.links.push([parent, one.code]);
      addConcept(one, roles, draft);
      // No deeper than JSON may nest.
      add(one.concept ?? [], one.code);
    }
  };
  add(concept, undefined);
  for (const { code } of property)
    if (roles.get(code) !== 'parent' && roles.get(code) !== 'child') draft.properties.add(code);
  return finished(draft, {
    url,
    ...(version === undefined ? {} : { version }),
    content,
    isCaseSensitive: caseSensitive === true,
    isHierarchy: hierarchyMeaning === undefined || hierarchyMeaning === 'is-a',
  });
}

type Role = 'parent' | 'child' | 'inactive' | 'status';

/** What properties mean by FHIR's own list, under whatever code a code system has them. */
const PROPERTY_URI = 'http://hl7.org/fhir/concept-properties#';
const rolesByName: ReadonlyMap<string, Role> = new Map([
  ['parent', 'parent'],
  ['subsumedBy', 'parent'],
  ['child', 'child'],
  ['inactive', 'inactive'],
  ['status', 'status'],
]);

function propertyRoles(properties: NonNullable<CodeSystemResource['property']>): ReadonlyMap<string, Role> {
  const roles = new Map(rolesByName);
  for (const { code, uri = '' } of properties) {
    const role = uri.startsWith(PROPERTY_URI) ? rolesByName.get(uri.slice(PROPERTY_URI.length)) : undefined;
    if (role !== undefined) roles.set(code, role);
  }
  return roles;
}

/** A code system while it is read. */
interface Draft {
  concepts: Map<string, Concept>;
  properties: Set<string>;
  /** Parent and child; either may still be unknown, or stay so. */
  links: [parent: string, child: string][];
}

function newDraft(): Draft {
  return { concepts: new Map(), properties: new Set(), links: [] };
}

const noProperties: Concept['properties'] = new Map();

function addConcept(
  { code, display, property = [] }: CodeSystemConcept,
  roles: ReadonlyMap<string, Role>,
  draft: Draft,
): void {
  let isInactive = false;
  const properties = new Map<string, string[]>();
  for (const one of property) {
    const value = propertyValue(one);
    const role = roles.get(one.code);
    if (role === 'parent') draft.links.push([value, code]);
    else if (role === 'child') draft.links.push([code, value]);
    else properties.set(one.code, [...(properties.get(one.code) ?? []), value]);
    if (role === 'inactive' && value === 'true') isInactive = true;
    if (role === 'status' && (value === 'retired' || value === 'inactive')) isInactive = true;
  }
  for (const name of properties.keys()) draft.properties.add(name);
  draft.concepts.set(code, {
    code,
    ...(display === undefined ? {} : { display }),
    isInactive,
    properties: properties.size === 0 ? noProperties : properties,
  });
}

function propertyValue(property: CodeSystemConceptProperty): string {
  const { valueCode, valueCoding, valueString, valueInteger, valueBoolean, valueDateTime, valueDecimal } = property;
  const value = valueCode ?? valueCoding?.code ?? valueString ?? valueInteger ?? valueBoolean ?? valueDateTime;
  return String(value ?? valueDecimal ?? '');
}

/** The code system of a row of R4's own. */
export function codeSystemOfRow(url: string, row: CodeSystemRow): CodeSystem {
  const draft = newDraft();
  draft.properties.add('status').add('notSelectable');
  const add = (rows: readonly ConceptRow[], parent: string | undefined): void => {
    for (const [code, display, flags = '', children = [], alsoChildren = []] of rows) {
      if (parent !== undefined) draft.links.push([parent, code]);
      for (const child of alsoChildren) draft.links.push([code, child]);
      const isInactive = flags.includes('r');
      const properties = flags === '' ? noProperties : flagProperties(flags);
      draft.concepts.set(code, { code, ...(display === undefined ? {} : { display }), isInactive, properties });
      add(children, code);
    }
  };
  add(row.concepts, undefined);
  return finished(draft, {
    url,
    ...(row.version === undefined ? {} : { version: row.version }),
    content: row.content,
    isCaseSensitive: row.caseSensitive === true,
    isHierarchy: true,
  });
}

function flagProperties(flags: string): Concept['properties'] {
  const properties = new Map<string, string[]>();
  if (flags.includes('a')) properties.set('notSelectable', ['true']);
  if (flags.includes('d')) properties.set('status', ['deprecated']);
  if (flags.includes('r')) properties.set('status', ['retired']);
  return properties;
}

function finished(
  { concepts, properties, links }: Draft,
  {
    isHierarchy,
    ...about
  }: Pick<CodeSystem, 'url' | 'version' | 'content' | 'isCaseSensitive'> & { isHierarchy: boolean },
): CodeSystem {
  const children = new Map<string, Set<string>>();
  const parents = new Map<string, Set<string>>();
  for (const [parent, child] of isHierarchy ? links : []) {
    if (!concepts.has(parent) || !concepts.has(child)) continue;
    addTo(children, parent, child);
    addTo(parents, child, parent);
  }
  return { ...about, concepts, children, parents, properties };
}

function addTo(sets: Map<string, Set<string>>, key: string, value: string): void {
  const set = sets.get(key);
  if (set === undefined) sets.set(key, new Set([value]));
  else set.add(value);
}

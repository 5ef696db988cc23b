// FHIR R4 as data: types and their elements, search parameters, compartments, operations.
// The tables are made from the official package by scripts/generate-definitions.ts.
// https://hl7.org/fhir/R4/structuredefinition.html, https://hl7.org/fhir/R4/searchparameter.html

import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';

export interface Binding {
  strength: 'required' | 'extensible' | 'preferred' | 'example';
  /** Canonical as published, often with `|4.0.1`. */
  valueSet: string;
  /** What even an extensible or preferred binding may not leave. */
  maxValueSet?: string;
}

/** A value that a JSON object of some type may hold under one name; choices (`value[x]`) stand under each full name. */
export interface Member {
  /** JSON name: `birthDate`, `valueQuantity`. */
  name: string;
  /** Element path: `Observation.value[x]`. */
  path: string;
  /**
   * Type of the value: a primitive (`date`), a data type (`HumanName`), an inline type by its path (`Patient.contact`),
   * `Resource`, or, for the `value` of a primitive, a FHIRPath type (`System.String`).
   */
  type: string;
  /** True when JSON holds an array. */
  many: boolean;
  min: number;
  /** For Reference and canonical: resource types that may be meant; absent when any. */
  targets?: readonly string[];
  /** For a choice: its name without type, `value`. `min` then counts for all names of the choice together. */
  choice?: string;
  binding?: Binding;
  /** Part of `_summary=true`. */
  isSummary?: true;
  isModifier?: true;
}

export interface Invariant {
  key: string;
  severity: 'error' | 'warning';
  expression: string;
  /** The type's own name when the focus is the object itself; else a member's path: the focus is each of its values. */
  path: string;
}

export interface TypeDefinition {
  /** `Patient`, `HumanName`, `string`, or an inline type's path such as `Patient.contact`. */
  name: string;
  kind: 'resource' | 'complex' | 'primitive';
  /** What it specialises: `DomainResource`, `BackboneElement`; absent for Resource and Element. */
  base?: string;
  isAbstract: boolean;
  /** By JSON name, in the order of the specification. For primitives: `id`, `extension` and (not for JSON objects) `value`. */
  members: ReadonlyMap<string, Member>;
  /** Those of its base types included. */
  invariants: readonly Invariant[];
  /** For primitives: regular expression of the whole text. */
  regex?: string;
}

export type SearchParameterType =
  | 'number'
  | 'date'
  | 'string'
  | 'token'
  | 'reference'
  | 'composite'
  | 'quantity'
  | 'uri'
  | 'special';

/** A search parameter as it applies to one resource type. */
export interface SearchParameter {
  code: string;
  url: string;
  type: SearchParameterType;
  /** The resource type it is used on here. */
  base: string;
  /** FHIRPath, reduced to the alternatives that apply to `base`; empty for those that are not about content. */
  expression: string;
  /** Resource types that a reference may point to. */
  targets: readonly string[];
  /** For composite: the url of each component's parameter and its expression relative to this one's. */
  components?: readonly { definition: string; expression: string }[];
  /** Of one that was added to R4's: the name of its index list, which changes with what it selects. */
  list?: string;
  /** It was added, and not all resources are indexed by it yet. */
  isBuilding?: true;
}

export interface OperationParameter {
  name: string;
  use: 'in' | 'out';
  min: number;
  /** A number or `*`. */
  max: string;
  /** Absent when the parameter has parts. */
  type?: string;
  searchType?: SearchParameterType;
  /** Profiles that a Reference or canonical may point to, as type names. */
  targets?: readonly string[];
  parts?: readonly OperationParameter[];
}

export interface OperationDefinition {
  code: string;
  url: string;
  system: boolean;
  type: boolean;
  instance: boolean;
  affectsState: boolean;
  resources: readonly string[];
  parameters: readonly OperationParameter[];
}

export interface Definitions {
  /** The 146 concrete resource types, sorted. */
  resourceTypes: readonly string[];
  isResourceType(name: string): boolean;
  type(name: string): TypeDefinition | undefined;
  /** True when `name` is `ancestor` or specialises it: `isA('Age', 'Quantity')`. */
  isA(name: string, ancestor: string): boolean;
  /** Parameters of a resource type by code, those of Resource and DomainResource included (`_id`, `_lastUpdated`, `_tag`, …). */
  searchParameters(type: string): ReadonlyMap<string, SearchParameter>;
  /**
   * Compartment type (`Patient`) → member resource type → codes of the parameters that make it a member;
   * `{def}` is the resource itself.
   */
  compartments: ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>;
  operations: readonly OperationDefinition[];
}

/**
 * The file `profiles/r4.json.gz`. A type's rows are JSON texts of their own, parsed when the type is first asked for:
 * a server that handles thirty types does not pay for the others.
 */
export interface DefinitionTables {
  fhirVersion: string;
  resourceTypes: string[];
  /** Type name → JSON text of a TypeRow. Inline types are under their outermost type. */
  types: Record<string, string>;
  /** Resource type (also Resource, DomainResource) → JSON text of SearchRow[]. */
  searchParameters: Record<string, string>;
  compartments: Record<string, Record<string, string[]>>;
  operations: OperationDefinition[];
}

/** `base` is what the rows are differences to: members and invariants equal to the base type's are left out. */
export interface TypeRow {
  kind: TypeDefinition['kind'];
  base?: string;
  abstract?: true;
  regex?: string;
  members: MemberRow[];
  invariants?: [key: string, severity: Invariant['severity'], expression: string, path: string][];
  /** Inline types by their path. */
  inline?: Record<string, TypeRow>;
}

/** `["value[x]", "0..1", "Quantity Reference(Patient|Group)", "sm", "required", valueSet, maxValueSet]`; s summary, m modifier. */
export type MemberRow = [
  name: string,
  cardinality: string,
  types: string,
  flags?: string,
  strength?: Binding['strength'],
  valueSet?: string,
  maxValueSet?: string,
];

/** Targets are joined by blanks. */
export type SearchRow = [
  code: string,
  id: string,
  type: SearchParameterType,
  expression: string,
  targets?: string,
  components?: [definition: string, expression: string][],
];

export const searchParameterUrl = 'http://hl7.org/fhir/SearchParameter/';

let loaded: Definitions | undefined;

/** The R4 definitions, read once from `profiles/` beside `src/` (or the built `dist/`). */
export function loadDefinitions(): Definitions {
  loaded ??= definitionsOf(readTables());
  return loaded;
}

function readTables(): DefinitionTables {
  // src/model and dist/model are one level deep, dist/src/model two (when tests are compiled along).
  const candidates = ['../../profiles/r4.json.gz', '../../../profiles/r4.json.gz'];
  const paths = candidates.map((candidate) => fileURLToPath(new URL(candidate, import.meta.url)));
  const path = paths.find((candidate) => existsSync(candidate));
  if (path === undefined) throw new Error(`no FHIR definitions at ${paths.join(' or ')}`);
  return JSON.parse(gunzipSync(readFileSync(path)).toString('utf8')) as DefinitionTables;
}

/** Definitions over tables in memory. */
export function definitionsOf(tables: DefinitionTables): Definitions {
  const resourceTypes = new Set(tables.resourceTypes);
  const types = new Map<string, TypeDefinition | undefined>();
  const parameters = new Map<string, ReadonlyMap<string, SearchParameter>>();

  function type(name: string): TypeDefinition | undefined {
    const known = types.get(name);
    if (known !== undefined) return known;
    const dot = name.indexOf('.');
    const outermost = dot < 0 ? name : name.slice(0, dot);
    if (types.has(outermost)) return undefined;
    const text = Object.hasOwn(tables.types, outermost) ? tables.types[outermost] : undefined;
    if (text === undefined) return undefined;
    const row = JSON.parse(text) as TypeRow;
    types.set(outermost, typeDefinition(outermost, row, row.base === undefined ? undefined : type(row.base)));
    for (const [path, inline] of Object.entries(row.inline ?? {})) {
      types.set(path, typeDefinition(path, inline, inline.base === undefined ? undefined : type(inline.base)));
    }
    return types.get(name);
  }

  function isA(name: string, ancestor: string): boolean {
    if (name === ancestor) return true;
    const base = type(name)?.base;
    return base !== undefined && isA(base, ancestor);
  }

  function searchParameters(resourceType: string): ReadonlyMap<string, SearchParameter> {
    let found = parameters.get(resourceType);
    if (found === undefined) {
      if (type(resourceType)?.kind !== 'resource') return none;
      found = new Map(
        ancestry(resourceType).flatMap((name) =>
          searchRows(tables.searchParameters[name]).map((row) => [row[0], searchParameter(row, resourceType)] as const),
        ),
      );
      parameters.set(resourceType, found);
    }
    return found;
  }

  function ancestry(name: string): string[] {
    const base = type(name)?.base;
    return base === undefined ? [name] : [...ancestry(base), name];
  }

  return {
    resourceTypes: tables.resourceTypes,
    isResourceType: (name) => resourceTypes.has(name),
    type,
    isA,
    searchParameters,
    compartments: new Map(
      Object.entries(tables.compartments).map(([key, rows]) => [key, new Map(Object.entries(rows))]),
    ),
    operations: tables.operations,
  };
}

/** The same definitions with further search parameters, each on its own base. */
export function withSearchParameters(base: Definitions, added: readonly SearchParameter[]): Definitions {
  if (added.length === 0) return base;
  const byType = new Map<string, ReadonlyMap<string, SearchParameter>>();
  for (const [type, own] of Map.groupBy(added, (parameter) => parameter.base)) {
    byType.set(type, new Map([...base.searchParameters(type), ...own.map((one) => [one.code, one] as const)]));
  }
  return { ...base, searchParameters: (type) => byType.get(type) ?? base.searchParameters(type) };
}

const none: ReadonlyMap<string, SearchParameter> = new Map();

function typeDefinition(name: string, row: TypeRow, base: TypeDefinition | undefined): TypeDefinition {
  const members = new Map<string, Member>();
  for (const member of base?.members.values() ?? []) {
    members.set(member.name, { ...member, path: moved(member.path, base?.name ?? '', name) });
  }
  for (const memberRow of row.members) {
    for (const member of membersOf(name, memberRow)) {
      if (memberRow[1] === '0..0') members.delete(member.name);
      else members.set(member.name, member);
    }
  }
  const inherited = (base?.invariants ?? []).map((invariant) => ({
    ...invariant,
    path: moved(invariant.path, base?.name ?? '', name),
  }));
  const own = (row.invariants ?? []).map(([key, severity, expression, path]) => ({ key, severity, expression, path }));
  return {
    name,
    kind: row.kind,
    ...(row.base === undefined ? {} : { base: row.base }),
    isAbstract: row.abstract === true,
    members,
    invariants: [...inherited, ...own],
    ...(row.regex === undefined ? {} : { regex: row.regex }),
  };
}

function moved(path: string, from: string, to: string): string {
  return to + path.slice(from.length);
}

const bindable = new Set(['code', 'string', 'uri', 'Coding', 'CodeableConcept', 'Quantity']);

function membersOf(owner: string, row: MemberRow): Member[] {
  const [label, cardinality, types, flags = '', strength, valueSet, maxValueSet] = row;
  const [min, max] = cardinality.split('..');
  const choice = label.endsWith('[x]') ? label.slice(0, -3) : undefined;
  const common = {
    path: `${owner}.${label}`,
    many: max === '*',
    min: Number(min),
    ...(choice === undefined ? {} : { choice }),
    ...(flags.includes('s') ? { isSummary: true as const } : {}),
    ...(flags.includes('m') ? { isModifier: true as const } : {}),
  };
  return types.split(' ').map((text) => {
    const [type = '', targets] = text.slice(0, text.endsWith(')') ? -1 : undefined).split('(');
    const isBound = strength !== undefined && valueSet !== undefined && (choice === undefined || bindable.has(type));
    return {
      name: choice === undefined ? label : choice + type.charAt(0).toUpperCase() + type.slice(1),
      type,
      ...common,
      ...(targets === undefined ? {} : { targets: targets.split('|') }),
      ...(isBound ? { binding: { strength, valueSet, ...(maxValueSet === undefined ? {} : { maxValueSet }) } } : {}),
    };
  });
}

function searchRows(text: string | undefined): SearchRow[] {
  return text === undefined ? [] : (JSON.parse(text) as SearchRow[]);
}

function searchParameter(row: SearchRow, base: string): SearchParameter {
  const [code, id, type, expression, targets = '', components] = row;
  return {
    code,
    url: searchParameterUrl + id,
    type,
    base,
    expression,
    targets: targets === '' ? [] : targets.split(' '),
    ...(components === undefined
      ? {}
      : {
          components: components.map(([definition, relative]) => ({
            definition: searchParameterUrl + definition,
            expression: relative,
          })),
        }),
  };
}

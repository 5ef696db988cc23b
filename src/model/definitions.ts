// FHIR R4 as data: types and their elements, search parameters, compartments, operations.
// The tables are made from the official package by scripts/generate-definitions.ts.

/** A value that a JSON object of some type may hold under one name; choices (`value[x]`) stand under each full name. */
export interface Member {
  /** JSON name: `birthDate`, `valueQuantity`. */
  name: string;
  /** Element path: `Observation.value[x]`. */
  path: string;
  /** Type of the value: a primitive (`date`), a data type (`HumanName`), an inline type by its path (`Patient.contact`), or `Resource`. */
  type: string;
  /** True when JSON holds an array. */
  many: boolean;
  min: number;
  /** For Reference and canonical: resource types that may be meant; absent when any. */
  targets?: readonly string[];
  /** For a choice: its name without type, `value`. */
  choice?: string;
  binding?: { strength: 'required' | 'extensible' | 'preferred' | 'example'; valueSet: string };
}

export interface TypeDefinition {
  /** `Patient`, `HumanName`, `string`, or an inline type's path such as `Patient.contact`. */
  name: string;
  kind: 'resource' | 'complex' | 'primitive';
  /** By JSON name, in the order of the specification. For primitives: `id`, `extension` and (not for JSON objects) `value`. */
  members: ReadonlyMap<string, Member>;
  invariants: readonly { key: string; severity: 'error' | 'warning'; expression: string; path: string }[];
}

export type SearchParameterType =
  | 'number' | 'date' | 'string' | 'token' | 'reference' | 'composite' | 'quantity' | 'uri' | 'special';

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
}

export interface OperationDefinition {
  code: string;
  url: string;
  system: boolean;
  type: boolean;
  instance: boolean;
  affectsState: boolean;
  resources: readonly string[];
}

export interface Definitions {
  /** The 146 concrete resource types, sorted. */
  resourceTypes: readonly string[];
  isResourceType(name: string): boolean;
  type(name: string): TypeDefinition | undefined;
  /** Parameters of a resource type by code, those of Resource and DomainResource included (`_id`, `_lastUpdated`, `_tag`, …). */
  searchParameters(type: string): ReadonlyMap<string, SearchParameter>;
  /** Compartment type (`Patient`) → member resource type → codes of the parameters that make it a member. */
  compartments: ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>;
  operations: readonly OperationDefinition[];
}

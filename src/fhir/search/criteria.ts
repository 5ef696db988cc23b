// What a search asks for, as a tree: between the parser, which knows the syntax, and the compiler, which knows the index.
// https://hl7.org/fhir/R4/search.html
import type { SearchParameter } from '../../model/definitions.ts';

/** One thing that must hold. */
export type Criterion =
  /** `values` are alternatives, still escaped; `name` is the parameter as it was written. */
  | { kind: 'parameter'; parameter: SearchParameter; modifier?: string; values: readonly string[]; name: string }
  /** One of the targets of my reference meets one of `next` (one for each target type that has the parameter). */
  | { kind: 'chain'; parameter: SearchParameter; next: readonly { type: string; criterion: Criterion }[] }
  /** A resource of `type` refers to me by `parameter` and meets `criterion`. */
  | { kind: 'has'; type: string; parameter: SearchParameter; criterion: Criterion }
  | { kind: 'and' | 'or'; of: readonly Criterion[] }
  | { kind: 'not'; of: Criterion }
  /** Being one of these; ids by type. */
  | { kind: 'ids'; ids: ReadonlyMap<string, readonly string[]> }
  /** In the List with this id; resolved to ids. */
  | { kind: 'list'; id: string }
  /** A position at most so far from this one; resolved to ids. */
  | { kind: 'near'; parameter: SearchParameter; places: readonly Circle[] }
  /** A token of `parameter` is one of the members, or of one of the systems. */
  | { kind: 'members'; parameter: SearchParameter; members: readonly Member[]; systems: readonly string[] };

export interface Member {
  system: string;
  code: string;
}

/** Degrees of WGS 84, and metres. */
export interface Circle {
  latitude: number;
  longitude: number;
  radiusM: number;
}

export interface SortBy {
  parameter: SearchParameter;
  /** The reference that leads to the resources whose `parameter` is meant, and those of its types that have it. */
  chain?: { parameter: SearchParameter; targets: readonly string[] };
  descending: boolean;
}

/** The criteria that ask other resources, by the name that a client knows them by; none for those of the resource alone. */
export const lookingElsewhere = (criteria: readonly Criterion[]): string[] => criteria.flatMap(elsewhereIn);

function elsewhereIn(criterion: Criterion): string[] {
  switch (criterion.kind) {
    case 'chain':
      return [`${criterion.parameter.code}.…`];
    case 'has':
      return [`_has:${criterion.type}:${criterion.parameter.code}`];
    case 'list':
      return ['_list'];
    case 'near':
      return [criterion.parameter.code];
    case 'and':
    case 'or':
      return lookingElsewhere(criterion.of);
    case 'not':
      return elsewhereIn(criterion.of);
    case 'parameter':
    case 'ids':
    case 'members':
      return [];
  }
}

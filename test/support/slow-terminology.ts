// What codes mean by stored CodeSystems and ValueSets, decided on their content.
// https://hl7.org/fhir/R4/valueset.html#compositions
import type { CodeSystem, CodeSystemConcept, ValueSet, ValueSetComposeInclude } from 'fhir/r4.js';
import type { StoredResource } from './slow-criteria.ts';

/** `system|code` in small letters, as tokens are compared. */
export const codeName = (system: string, code: string): string => `${system}|${code.toLowerCase()}`;

export interface SlowMembers {
  codes: Set<string>;
  /** Systems of which every code is meant. */
  systems: Set<string>;
}

export class SlowTerminology {
  readonly #resources: ReadonlyMap<string, StoredResource>;

  constructor(resources: ReadonlyMap<string, StoredResource>) {
    this.#resources = resources;
  }

  /** The code with all that are below it, or above; undefined where the system is not known. */
  hierarchy(direction: 'above' | 'below', system: string, code: string): Set<string> | undefined {
    const concepts = this.#concepts(system);
    return concepts && this.#reached(direction, system, code, concepts);
  }

  members(canonical: string): SlowMembers {
    const [type, id, ...more] = canonical.split('/');
    const local = type === 'ValueSet' && more.length === 0 ? this.#resources.get(`ValueSet/${id}`) : undefined;
    const found = (local ?? this.#byUrl('ValueSet', canonical)) as unknown as ValueSet | undefined;
    if (found === undefined) throw new RangeError(`no value set ${canonical}`);
    const all: SlowMembers = { codes: new Set(), systems: new Set() };
    for (const include of found.compose?.include ?? []) {
      const { codes, systems } = this.#included(include);
      for (const code of codes) all.codes.add(code);
      for (const system of systems) all.systems.add(system);
    }
    for (const exclude of found.compose?.exclude ?? []) {
      for (const code of this.#included(exclude).codes) all.codes.delete(code);
    }
    return all;
  }

  #included({ system, concept, filter, valueSet = [] }: ValueSetComposeInclude): SlowMembers {
    const imported = valueSet.map((canonical) => this.members(canonical).codes);
    if (system === undefined) {
      const [first = new Set<string>(), ...others] = imported;
      return { codes: others.reduce((codes, other) => codes.intersection(other), first), systems: new Set() };
    }
    const concepts = this.#concepts(system);
    if (concept === undefined && concepts === undefined) return { codes: new Set(), systems: new Set([system]) };
    let codes = new Set((concept ?? concepts ?? []).map(({ code }) => codeName(system, code)));
    for (const { op, value } of filter ?? []) {
      const below = this.#reached('below', system, value, concepts ?? []);
      if (op === 'descendent-of') below.delete(codeName(system, value));
      codes = codes.intersection(below);
    }
    for (const other of imported) codes = codes.intersection(other);
    return { codes, systems: new Set() };
  }

  #reached(direction: 'above' | 'below', system: string, code: string, concepts: readonly FlatConcept[]): Set<string> {
    const found = new Set([code.toLowerCase()]);
    const isCaseSensitive = (this.#byUrl('CodeSystem', system) as { caseSensitive?: boolean }).caseSensitive === true;
    const isKnown = concepts.some((one) =>
      isCaseSensitive ? one.code === code : one.code.toLowerCase() === code.toLowerCase(),
    );
    // As many rounds as there are codes reach everything that can be reached.
    for (let round = 0; isKnown && round < concepts.length; round++) {
      for (const { code: own, parent } of concepts) {
        if (parent === undefined) continue;
        const [from, to] = direction === 'below' ? [parent, own] : [own, parent];
        if (found.has(from.toLowerCase())) found.add(to.toLowerCase());
      }
    }
    return new Set([...found].map((one) => codeName(system, one)));
  }

  #concepts(system: string): FlatConcept[] | undefined {
    const found = this.#byUrl('CodeSystem', system) as unknown as CodeSystem | undefined;
    return found && flat(found.concept ?? [], undefined);
  }

  #byUrl(type: string, url: string): StoredResource | undefined {
    return [...this.#resources.values()].find((resource) => resource.resourceType === type && resource.url === url);
  }
}

interface FlatConcept {
  code: string;
  parent: string | undefined;
}

function flat(concepts: readonly CodeSystemConcept[], parent: string | undefined): FlatConcept[] {
  return concepts.flatMap(({ code, concept = [] }) => [{ code, parent }, ...flat(concept, code)]);
}

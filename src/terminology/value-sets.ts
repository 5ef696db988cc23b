// Value sets and what is in them. https://hl7.org/fhir/R4/valueset.html#compositions
import { limits } from '../base/limits.ts';
import { FhirError } from '../base/outcome.ts';
import { type CodeFilter, filteredCodes } from './code-filters.ts';
import type { CodeSource } from './code-source.ts';
import type { CodeSystem } from './code-system-definition.ts';
import { conceptOf } from './code-systems.ts';
import {
  allOf,
  codeCount,
  codesOf,
  difference,
  growingUnion,
  intersection,
  type MemberSet,
  type Members,
  membersList,
} from './members.ts';
import { implicitValueSet, type ValueSet, type ValueSetPart } from './value-set-definition.ts';

/**
 * What is in a value set, by its definition, or by its expansion where it has no definition or one that needs a code system
 * which is not known. A code system taken whole is a system among the members when not all of its codes are known, or when
 * it has more than `limits.valueSetCodesMax`. Abstract codes are members; a search may ask for them.
 *
 * Throws FhirError: 'not-found' when a value set, or a code system whose codes are filtered, is not known; 'unprocessable'
 * for cycles, definitions that say nothing and filters that are not understood; 'too-costly' beyond the limits.
 */
export async function valueSetMembers(canonical: string, source: CodeSource): Promise<Members> {
  const walk: Walk = {
    source,
    path: [],
    known: new Map(),
    systems: new Map(),
    work: { left: limits.valueSetStepsMax },
  };
  return membersList(await membersNamed(canonical, walk));
}

/** Where a walk through value sets that name each other is. */
interface Walk {
  source: CodeSource;
  /** Canonicals from the outermost value set to the one at hand. */
  path: readonly string[];
  /** What was found by canonical. */
  known: Map<string, MemberSet>;
  systems: Map<string, CodeSystem | undefined>;
  /** Codes that may still be looked at. */
  work: { left: number };
}

async function membersNamed(canonical: string, outer: Walk): Promise<MemberSet> {
  const known = outer.known.get(canonical);
  if (known !== undefined) return known;
  const walk = { ...outer, path: [...outer.path, canonical] };
  if (outer.path.includes(canonical)) {
    throw new FhirError('unprocessable', `ValueSet includes itself: ${walk.path.join(' → ')}`);
  }
  const { valueSetDepthMax, valueSetsMax } = limits;
  if (walk.path.length > valueSetDepthMax || walk.known.size >= valueSetsMax) throw tooManyValueSets(walk);
  const valueSet = (await walk.source.valueSet(canonical)) ?? implicitValueSet(canonical);
  if (valueSet === undefined) throw unknownValueSet(canonical, outer);
  const members = await membersOf(valueSet, walk);
  walk.known.set(canonical, members);
  return members;
}

async function membersOf(valueSet: ValueSet, walk: Walk): Promise<MemberSet> {
  if (valueSet.include === undefined) return expandedMembers(valueSet, walk);
  try {
    const included = await membersOfParts(valueSet.include, valueSet, walk);
    return difference(included, await membersOfParts(valueSet.exclude ?? [], valueSet, walk));
  } catch (error) {
    const isUnknown = error instanceof FhirError && error.kind === 'not-found';
    if (isUnknown && valueSet.expansion?.isComplete === true) return expandedMembers(valueSet, walk);
    throw error;
  }
}

async function membersOfParts(parts: readonly ValueSetPart[], valueSet: ValueSet, walk: Walk): Promise<MemberSet> {
  const members = growingUnion();
  for (const part of parts) {
    const more = await membersOfPart(part, valueSet, walk);
    spend(codeCount(more) + 1, walk);
    members.add(more);
    if (members.count > limits.valueSetCodesMax) throw tooManyCodes(walk);
  }
  return members.members;
}

async function membersOfPart(part: ValueSetPart, valueSet: ValueSet, walk: Walk): Promise<MemberSet> {
  let members =
    part.system === undefined ? undefined : await membersOfSystem({ ...part, system: part.system }, valueSet, walk);
  for (const canonical of part.valueSets ?? []) {
    const imported = await membersNamed(canonical, walk);
    spend(codeCount(imported) + 1, walk);
    members = members === undefined ? imported : intersection(members, imported);
  }
  if (members !== undefined) return members;
  throw new FhirError('unprocessable', `${nameOf(walk)} has an include or exclude without system and without valueSet`);
}

type SystemPart = ValueSetPart & { system: string };

async function membersOfSystem(part: SystemPart, { inactive }: ValueSet, walk: Walk): Promise<MemberSet> {
  const { system, codes, filters } = part;
  if (codes !== undefined && filters !== undefined) {
    throw new FhirError('unprocessable', `${nameOf(walk)} has both codes and filters for ${system}; split them in two`);
  }
  // A list of codes needs no code system.
  if (codes !== undefined && inactive !== false) return codesOf(system, codes);
  const codeSystem = await codeSystemOfPart(part, walk);
  const selected = codes ?? (codeSystem === undefined ? undefined : selectedCodes(codeSystem, filters, walk));
  if (selected === undefined) return allOf(system);
  if (codeSystem === undefined || inactive !== false) return codesOf(system, selected);
  return codesOf(
    system,
    [...selected].filter((code) => conceptOf(codeSystem, code)?.isInactive !== true),
  );
}

/** Undefined: all codes of the system, which are not all known or too many to name. */
function selectedCodes(
  codeSystem: CodeSystem,
  filters: readonly CodeFilter[] | undefined,
  walk: Walk,
): Iterable<string> | undefined {
  if (filters === undefined) {
    const isListed = codeSystem.content === 'complete' && codeSystem.concepts.size <= limits.valueSetCodesMax;
    return isListed ? codeSystem.concepts.keys() : undefined;
  }
  let codes: ReadonlySet<string> | undefined;
  for (const filter of filters) {
    spend(codeSystem.concepts.size, walk);
    const some = filteredCodes(codeSystem, filter, nameOf(walk));
    codes = codes === undefined ? some : codes.intersection(some);
  }
  return codes;
}

/** The code system of a part, where it is known. Throws when it is not and the part cannot do without it. */
async function codeSystemOfPart(
  { system, version, filters, codes }: SystemPart,
  walk: Walk,
): Promise<CodeSystem | undefined> {
  const isPinned = version !== undefined && version !== '*';
  const canonical = isPinned ? `${system}|${version}` : system;
  const found = await codeSystemNamed(canonical, walk);
  if (found !== undefined && found.content !== 'not-present') return found;
  if (codes !== undefined) return undefined;
  const other = isPinned ? (await codeSystemNamed(system, walk))?.version : undefined;
  if (filters === undefined && other === undefined) return undefined;
  throw new FhirError(
    'not-found',
    `${nameOf(walk)} selects codes of CodeSystem ${canonical}, which is not known here` +
      `${other === undefined ? '' : ` (version ${other} is)`}: ` +
      'store it as a CodeSystem resource, or store the ValueSet with a list of codes or with its expansion',
  );
}

async function codeSystemNamed(canonical: string, { source, systems, path }: Walk): Promise<CodeSystem | undefined> {
  const known = systems.get(canonical);
  if (known !== undefined || systems.has(canonical)) return known;
  if (systems.size >= limits.valueSetsMax) {
    throw new FhirError(
      'too-costly',
      `ValueSet ${path[0]} selects codes of more than ${limits.valueSetsMax} code systems; use one that needs fewer`,
    );
  }
  const found = await source.codeSystem(canonical);
  systems.set(canonical, found);
  return found;
}

function expandedMembers({ expansion }: ValueSet, walk: Walk): MemberSet {
  if (expansion === undefined) {
    throw new FhirError(
      'unprocessable',
      `${nameOf(walk)} has neither compose nor expansion: nothing says what is in it`,
    );
  }
  if (!expansion.isComplete) {
    throw new FhirError('unprocessable', `${nameOf(walk)} has no compose, and its expansion is only a part of it`);
  }
  if (expansion.codes.length > limits.valueSetCodesMax) throw tooManyCodes(walk);
  const bySystem = Map.groupBy(expansion.codes, ({ system }) => system);
  const members = growingUnion();
  for (const [system, entries] of bySystem) {
    const codes = entries.map(({ code }) => code);
    members.add(codesOf(system, codes));
  }
  return members.members;
}

/** Counts codes that are looked at, so that a definition cannot keep the server busy. */
function spend(codes: number, walk: Walk): void {
  walk.work.left -= codes;
  if (walk.work.left < 0) {
    throw new FhirError(
      'too-costly',
      `${nameOf(walk)} takes too long to put together; use one with fewer filters and includes`,
    );
  }
}

function tooManyCodes(walk: Walk): FhirError {
  return new FhirError(
    'too-costly',
    `${nameOf(walk)} has more than ${limits.valueSetCodesMax} codes; use one that selects fewer`,
  );
}

/** The value set at hand, and by which ones it was reached. */
function nameOf({ path }: Walk): string {
  const [outermost = '', ...inner] = path;
  const named = inner.at(-1);
  return named === undefined ? `ValueSet ${outermost}` : `ValueSet ${named} (included by ${outermost})`;
}

function unknownValueSet(canonical: string, outer: Walk): FhirError {
  const by = outer.path.length === 0 ? '' : `, which ${nameOf(outer)} includes,`;
  return new FhirError(
    'not-found',
    `ValueSet ${canonical}${by} is not known here: store it as a ValueSet resource with this url, or use another one`,
  );
}

function tooManyValueSets(walk: Walk): FhirError {
  return new FhirError(
    'too-costly',
    `ValueSet ${walk.path[0]} includes others more than ${limits.valueSetDepthMax} deep or more than ${limits.valueSetsMax} ` +
      'in all; use one that includes fewer',
  );
}

// Which codes are above and below a code. https://hl7.org/fhir/R4/codesystem.html#hierarchy
import { limits } from '../base/limits.ts';
import { FhirError } from '../base/outcome.ts';
import type { CodeSource } from './code-source.ts';
import type { CodeSystem, Concept } from './code-system-definition.ts';

/**
 * The code and everything that is one, by all ways down. A code that the system does not have stands for itself alone.
 * Undefined when `system` (a url, or url|version) is not known or has no hierarchy. Throws FhirError('too-costly').
 */
export function descendants(
  system: string,
  code: string,
  source: CodeSource,
): Promise<ReadonlySet<string> | undefined> {
  return closureIn(system, code, source, 'children');
}

/** The code and everything that it is, by all ways up; else as `descendants`. */
export function ancestors(system: string, code: string, source: CodeSource): Promise<ReadonlySet<string> | undefined> {
  return closureIn(system, code, source, 'parents');
}

async function closureIn(
  canonical: string,
  code: string,
  source: CodeSource,
  direction: 'children' | 'parents',
): Promise<ReadonlySet<string> | undefined> {
  const system = await source.codeSystem(canonical);
  if (system === undefined || system.children.size === 0) return undefined;
  const found = closure(system[direction], conceptOf(system, code)?.code ?? code);
  if (found.size <= limits.valueSetCodesMax) return found;
  throw new FhirError(
    'too-costly',
    `${code} of CodeSystem ${canonical} stands for more than ${limits.valueSetCodesMax} codes; name one that is more specific`,
  );
}

/** The code and all that are reached from it. */
export function closure(next: ReadonlyMap<string, ReadonlySet<string>>, code: string): Set<string> {
  const found = new Set([code]);
  // A set gives what is added to it while it is walked.
  for (const one of found) for (const other of next.get(one) ?? []) found.add(other);
  return found;
}

/** By code; in systems that do not tell upper case from lower, or do not say, in other letters too. */
export function conceptOf(system: CodeSystem, code: string): Concept | undefined {
  const exact = system.concepts.get(code);
  if (exact !== undefined || system.isCaseSensitive) return exact;
  let byLowerCase = lowerCase.get(system);
  if (byLowerCase === undefined) {
    byLowerCase = new Map([...system.concepts.values()].map((concept) => [concept.code.toLowerCase(), concept]));
    lowerCase.set(system, byLowerCase);
  }
  return byLowerCase.get(code.toLowerCase());
}

const lowerCase = new WeakMap<CodeSystem, ReadonlyMap<string, Concept>>();

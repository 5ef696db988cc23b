// Where code systems and value sets are found by their canonical url: what is stored here first, then FHIR's own.
// https://hl7.org/fhir/R4/references.html#canonical
import { type CodeSystem, codeSystemOf, codeSystemOfRow } from './code-system-definition.ts';
import { type CodeSystemRow, r4Tables, type ValueSetRow } from './r4-tables.ts';
import { type ValueSet, valueSetOf, valueSetOfRow } from './value-set-definition.ts';

export interface CodeSource {
  /** `canonical` is a url, or `url|version`. Undefined when it, or this version of it, is not known. */
  codeSystem(canonical: string): Promise<CodeSystem | undefined>;
  valueSet(canonical: string): Promise<ValueSet | undefined>;
}

/**
 * Looks for a stored resource by its url, of any version (the latest) when none is asked for, and gives it parsed. Where it
 * gives the same object again, what was made of it is used again.
 */
export type FindResource = (
  type: 'CodeSystem' | 'ValueSet',
  url: string,
  version: string | undefined,
) => Promise<object | undefined>;

/** Stored resources before R4's own. */
export function createCodeSource(find: FindResource = async () => undefined): CodeSource {
  return {
    async codeSystem(canonical) {
      const { url, version } = splitCanonical(canonical);
      const stored = storedAs(await find('CodeSystem', url, version), 'CodeSystem', codeSystems, codeSystemOf);
      // Packages bring stubs that only say that a system exists.
      if (stored !== undefined && stored.content !== 'not-present') return stored;
      return ofVersion(r4CodeSystem(url), version) ?? stored;
    },
    async valueSet(canonical) {
      const { url, version } = splitCanonical(canonical);
      const stored = storedAs(await find('ValueSet', url, version), 'ValueSet', valueSets, valueSetOf);
      return stored ?? ofVersion(r4ValueSet(url), version);
    },
  };
}

/** A code system's url may have a fragment of its own, which is not one of the canonical. */
function splitCanonical(canonical: string): { url: string; version: string | undefined } {
  const bar = canonical.indexOf('|');
  return bar < 0
    ? { url: canonical, version: undefined }
    : { url: canonical.slice(0, bar), version: canonical.slice(bar + 1) };
}

const codeSystems = new WeakMap<object, CodeSystem>();
const valueSets = new WeakMap<object, ValueSet>();

function storedAs<T, R>(
  resource: object | undefined,
  type: string,
  known: WeakMap<object, T>,
  make: (resource: R) => T,
): T | undefined {
  if (resource === undefined || (resource as { resourceType?: unknown }).resourceType !== type) return undefined;
  const made = known.get(resource) ?? make(resource as R);
  known.set(resource, made);
  return made;
}

const r4CodeSystems = new Map<string, CodeSystem>();
const r4ValueSets = new Map<string, ValueSet>();

function r4CodeSystem(url: string): CodeSystem | undefined {
  return fromTable(r4CodeSystems, r4Tables().codeSystems, url, (row) => codeSystemOfRow(url, row as CodeSystemRow));
}

function r4ValueSet(url: string): ValueSet | undefined {
  return fromTable(r4ValueSets, r4Tables().valueSets, url, (row) => valueSetOfRow(url, row as ValueSetRow));
}

function fromTable<T>(
  known: Map<string, T>,
  table: Readonly<Record<string, string>>,
  url: string,
  make: (row: unknown) => T,
): T | undefined {
  const made = known.get(url);
  if (made !== undefined || !Object.hasOwn(table, url)) return made;
  const fresh = make(JSON.parse(table[url] as string));
  known.set(url, fresh);
  return fresh;
}

function ofVersion<T extends { version?: string }>(found: T | undefined, version: string | undefined): T | undefined {
  return found === undefined || version === undefined || found.version === version ? found : undefined;
}

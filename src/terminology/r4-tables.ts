// FHIR's own code systems and value sets as a table, made from the official package by scripts/generate-definitions.ts.
// https://hl7.org/fhir/R4/terminologies-systems.html, https://hl7.org/fhir/R4/terminologies-valuesets.html
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';

/** What terminology/r4.json.gz holds: per canonical url a JSON text of its own, to be parsed when first needed. */
export interface TerminologyTables {
  fhirVersion: string;
  codeSystems: Record<string, string>;
  valueSets: Record<string, string>;
  conceptMaps: Record<string, string>;
}

export interface CodeSystemRow {
  version?: string;
  name: string;
  title?: string;
  content: string;
  caseSensitive?: boolean;
  valueSet?: string;
  concepts: ConceptRow[];
}

/** Flags: a not selectable (abstract), d deprecated, r retired. `children` are nested, `alsoChildren` codes found elsewhere. */
export type ConceptRow = [
  code: string,
  display?: string,
  flags?: string,
  children?: ConceptRow[],
  alsoChildren?: string[],
];

export interface ValueSetRow {
  version?: string;
  name: string;
  title?: string;
  /** compose.inactive; absent means not said. */
  inactive?: boolean;
  include: ValueSetPart[];
  exclude?: ValueSetPart[];
}

export interface ValueSetPart {
  system?: string;
  version?: string;
  /** A code, or a code with the display that this ValueSet gives it. */
  codes?: (string | [code: string, display: string])[];
  filters?: [property: string, op: string, value: string][];
  valueSets?: string[];
}

export interface ConceptMapRow {
  name: string;
  source?: string;
  target?: string;
  groups: {
    source?: string;
    target?: string;
    /** Source code and what it maps to; a mapping without target code says that there is none. */
    elements: [code: string, targets: [code: string, equivalence: string][]][];
  }[];
}

let loaded: TerminologyTables | undefined;

/** The tables, read once, when first asked for, from `terminology/` beside `src/` (or the built `dist/`). */
export function r4Tables(): TerminologyTables {
  loaded ??= readTables();
  return loaded;
}

function readTables(): TerminologyTables {
  // src/terminology and dist/terminology are one level deep, dist/src/terminology two (when tests are compiled along).
  const candidates = ['../../terminology/r4.json.gz', '../../../terminology/r4.json.gz'];
  const paths = candidates.map((candidate) => fileURLToPath(new URL(candidate, import.meta.url)));
  const path = paths.find((candidate) => existsSync(candidate));
  if (path === undefined) throw new Error(`no FHIR terminology at ${paths.join(' or ')}`);
  return JSON.parse(gunzipSync(readFileSync(path)).toString('utf8')) as TerminologyTables;
}

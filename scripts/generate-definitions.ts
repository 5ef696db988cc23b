// Writes profiles/r4.json.gz and terminology/r4.json.gz from the official package hl7.fhir.r4.examples@4.0.1 (CC0):
// structural facts only, no narrative and no definition prose. The same package gives the same tables.
// https://hl7.org/fhir/R4/structuredefinition.html, https://hl7.org/fhir/R4/searchparameter.html

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { constants, gunzipSync, gzipSync } from 'node:zlib';
import {
  type DefinitionTables,
  type MemberRow,
  type OperationDefinition,
  type OperationParameter,
  type SearchParameterType,
  type SearchRow,
  searchParameterUrl,
  type TypeRow,
} from '../src/model/definitions.ts';
import type {
  CodeSystemRow,
  ConceptMapRow,
  ConceptRow,
  TerminologyTables,
  ValueSetPart,
  ValueSetRow,
} from '../src/terminology/r4-tables.ts';
import { readTar } from './tar.ts';

const packageName = 'hl7.fhir.r4.examples';
const packageVersion = '4.0.1';
const structureUrl = 'http://hl7.org/fhir/StructureDefinition/';

function write(relativePath: string, tables: object): void {
  const bytes = gzipSync(JSON.stringify(tables), { level: constants.Z_BEST_COMPRESSION });
  bytes[9] = 255; // the operating system, which would differ between machines; zlib leaves the time 0
  const path = fileURLToPath(new URL(relativePath, import.meta.url));
  writeFileSync(path, bytes);
  console.log(`${path} ${bytes.length} bytes`);
}

function readPackage(): Map<string, Buffer> {
  const folder = process.env.CARELOOM_CACHE ?? join(homedir(), '.cache', 'careloom');
  const path = join(folder, `${packageName}-${packageVersion}.tgz`);
  if (!existsSync(path)) {
    mkdirSync(folder, { recursive: true });
    execFileSync('npm', ['pack', `${packageName}@${packageVersion}`], { cwd: folder, stdio: 'inherit' });
  }
  return readTar(gunzipSync(readFileSync(path)));
}

/** The tables from the files of the package by name (`package/SearchParameter-….json`). */
export function generateTables(files: ReadonlyMap<string, Buffer>): {
  definitions: DefinitionTables;
  terminology: TerminologyTables;
} {
  const all = <T>(resourceType: string): T[] =>
    [...files.keys()]
      .filter((name) => name.startsWith(`package/${resourceType}-`) && name.endsWith('.json'))
      .sort()
      .map((name) => JSON.parse((files.get(name) ?? Buffer.alloc(0)).toString('utf8')) as T);

  const structures = all<StructureSource>('StructureDefinition');
  const types = structures.filter(isOfficialType);
  return {
    definitions: {
      fhirVersion: packageVersion,
      resourceTypes: types.flatMap((type) => (type.kind === 'resource' && !type.abstract ? [type.type] : [])).sort(),
      types: typeTexts(types, simpleQuantityInvariants(structures)),
      searchParameters: searchTexts(all<SearchParameterSource>('SearchParameter')),
      compartments: compartments(all<CompartmentSource>('CompartmentDefinition')),
      operations: all<OperationSource>('OperationDefinition').flatMap(operation),
    },
    terminology: {
      fhirVersion: packageVersion,
      codeSystems: texts(all<CodeSystemSource>('CodeSystem'), codeSystemRow),
      valueSets: texts(all<ValueSetSource>('ValueSet'), valueSetRow),
      conceptMaps: texts(all<ConceptMapSource>('ConceptMap'), conceptMapRow),
    },
  };
}

function sorted<T>(entries: Iterable<readonly [string, T]>): Record<string, T> {
  return Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}

// Types

interface StructureSource {
  url: string;
  kind: string;
  type: string;
  abstract: boolean;
  derivation?: string;
  baseDefinition?: string;
  snapshot: { element: ElementSource[] };
}

interface ElementSource {
  path: string;
  base?: { path: string };
  min: number;
  max: string;
  type?: { code: string; profile?: string[]; targetProfile?: string[]; extension?: ExtensionSource[] }[];
  contentReference?: string;
  constraint?: { key: string; severity: 'error' | 'warning'; expression: string }[];
  binding?: { strength: NonNullable<MemberRow[4]>; valueSet?: string; extension?: ExtensionSource[] };
  isSummary?: boolean;
  isModifier?: boolean;
}

interface ExtensionSource {
  url: string;
  valueUrl?: string;
  valueString?: string;
  valueCanonical?: string;
}

type InvariantRow = NonNullable<TypeRow['invariants']>[number];

/** Profiles and the logical models (Event, Request, FiveWs …) are in the package too. */
function isOfficialType(structure: StructureSource): boolean {
  return (
    structure.url === structureUrl + structure.type &&
    structure.derivation !== 'constraint' &&
    ['resource', 'complex-type', 'primitive-type'].includes(structure.kind)
  );
}

/** SimpleQuantity is a profile that elements name as their type; what it adds to Quantity goes to those elements. */
function simpleQuantityInvariants(structures: readonly StructureSource[]): ElementSource['constraint'] {
  const structure = structures.find((candidate) => candidate.url === `${structureUrl}SimpleQuantity`);
  return structure?.snapshot.element[0]?.constraint?.filter((constraint) => constraint.key.startsWith('sqty-'));
}

function typeTexts(
  structures: readonly StructureSource[],
  simpleQuantity: ElementSource['constraint'],
): Record<string, string> {
  const elements = new Map(
    structures.flatMap(({ snapshot }) => snapshot.element.map((one) => [one.path, one] as const)),
  );
  const inlinePaths = new Set<string>();
  for (const path of elements.keys()) {
    const owner = path.slice(0, path.lastIndexOf('.'));
    if (owner.includes('.')) inlinePaths.add(owner);
  }

  function completeRow(path: string, base: string | undefined): TypeRow {
    const members = [...elements.values()].filter((element) => ownerOf(element.path) === path);
    return {
      kind: 'complex',
      ...(base === undefined ? {} : { base }),
      members: members.map(memberRow),
      invariants: [
        ...(elements.get(path)?.constraint ?? []).map((one) => invariantRow(one, path)),
        ...members.flatMap(memberInvariants),
      ],
    };
  }

  function memberRow(element: ElementSource): MemberRow {
    const flags = `${element.isSummary ? 's' : ''}${element.isModifier ? 'm' : ''}`;
    const { binding } = element;
    const maxValueSet = binding?.extension?.find((one) => one.url.endsWith('/elementdefinition-maxValueSet'));
    const row: (string | undefined)[] = [
      nameOf(element.path),
      `${element.min}..${element.max}`,
      typeNames(element).join(' '),
      flags,
      ...(binding?.valueSet === undefined ? [] : [binding.strength, binding.valueSet]),
      ...(maxValueSet?.valueCanonical === undefined ? [] : [maxValueSet.valueCanonical]),
    ];
    if (row.length === 4 && flags === '') row.pop();
    return row as MemberRow;
  }

  function typeNames(element: ElementSource): string[] {
    if (element.contentReference !== undefined) return [element.contentReference.slice(1)];
    if (inlinePaths.has(element.path)) return [element.path];
    return (element.type ?? []).map((type) => {
      const targets = (type.targetProfile ?? []).map((url) => url.replace(structureUrl, ''));
      const isAny = targets.length === 0 || targets.includes('Resource');
      return systemTypeName(element, type) + (isAny ? '' : `(${targets.join('|')})`);
    });
  }

  /** Snapshots repeat on every element what its type already says (ele-1 6,677 times); only what is new is kept. */
  function memberInvariants(element: ElementSource): InvariantRow[] {
    if (inlinePaths.has(element.path)) return [];
    const types = typeNames(element).map((type) => type.replace(/\(.*/, ''));
    const isSaid = (key: string): boolean =>
      types.every((type) => elements.get(type)?.constraint?.some((constraint) => constraint.key === key) === true);
    const isSimpleQuantity = element.type?.some((type) => type.profile?.includes(`${structureUrl}SimpleQuantity`));
    return [
      ...(element.constraint ?? []).filter((constraint) => !isSaid(constraint.key)),
      ...(isSimpleQuantity === true ? (simpleQuantity ?? []) : []),
    ].map((constraint) => invariantRow(constraint, element.path));
  }

  /** `complete` without what its base type already says. */
  function difference(path: string, complete: TypeRow): TypeRow {
    const base = complete.base === undefined ? undefined : completeRow(complete.base, undefined);
    const known = new Set(base?.members.map((row) => JSON.stringify(row)));
    const knownKeys = new Set(base?.invariants?.map(([key]) => key));
    const { members, invariants, ...rest } = complete;
    const added = (invariants ?? []).filter(([key, , , at]) => at !== path || !knownKeys.has(key));
    return {
      ...rest,
      members: members.filter((row) => !known.has(JSON.stringify(row))),
      ...(added.length === 0 ? {} : { invariants: added }),
    };
  }

  function typeText(structure: StructureSource): string {
    const kind =
      structure.kind === 'resource' ? 'resource' : structure.kind === 'primitive-type' ? 'primitive' : 'complex';
    const base = structure.baseDefinition?.replace(structureUrl, '');
    const inline = [...inlinePaths].filter((path) => path.startsWith(`${structure.type}.`)).sort();
    const regex = elements
      .get(`${structure.type}.value`)
      ?.type?.[0]?.extension?.find((one) => one.url === `${structureUrl}regex`)?.valueString;
    const row: TypeRow = {
      ...difference(structure.type, completeRow(structure.type, base)),
      kind,
      ...(structure.abstract ? { abstract: true } : {}),
      ...(kind === 'primitive' && regex !== undefined ? { regex } : {}),
      ...(inline.length === 0
        ? {}
        : {
            inline: Object.fromEntries(
              inline.map((path) => [path, difference(path, completeRow(path, elements.get(path)?.type?.[0]?.code))]),
            ),
          }),
    };
    return JSON.stringify(row);
  }

  return sorted(structures.map((structure) => [structure.type, typeText(structure)] as const));
}

function invariantRow(
  constraint: { key: string; severity: 'error' | 'warning'; expression: string },
  path: string,
): InvariantRow {
  return [constraint.key, constraint.severity, constraint.expression, path];
}

function ownerOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('.')));
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('.') + 1);
}

/** `http://hl7.org/fhirpath/System.String` stands for ids, urls and the values of primitives; an extension names the FHIR type. */
function systemTypeName(element: ElementSource, type: { code: string; extension?: ExtensionSource[] }): string {
  const code = type.code.replace('http://hl7.org/fhirpath/', '');
  if (code === type.code || element.path.endsWith('.value')) return code;
  // The id of a resource is an `id` (https://hl7.org/fhir/R4/resource.html); 4.0.1 says `string` by mistake.
  if (element.base?.path === 'Resource.id') return 'id';
  return type.extension?.find((one) => one.url.endsWith('/structuredefinition-fhir-type'))?.valueUrl ?? 'string';
}

// Search parameters

interface SearchParameterSource {
  id: string;
  url: string;
  code: string;
  type: SearchParameterType;
  base?: string[];
  expression?: string;
  target?: string[];
  component?: { definition: string; expression: string }[];
}

/** Two examples of the SearchParameter page would redefine `_id` and Condition's `subject`; the third is on a wrong type. */
const exampleParameters = new Set(['example', 'example-extension', 'example-reference']);

function searchTexts(sources: readonly SearchParameterSource[]): Record<string, string> {
  const rows = new Map<string, SearchRow[]>();
  for (const source of sources) {
    if (source.url !== searchParameterUrl + source.id || exampleParameters.has(source.id)) continue;
    for (const base of source.base ?? []) {
      const row = searchRow(source, base);
      const list = rows.get(base);
      if (list === undefined) rows.set(base, [row]);
      else list.push(row);
    }
  }
  return sorted(
    [...rows].map(([base, list]) => [base, JSON.stringify(list.sort((a, b) => (a[0] < b[0] ? -1 : 1)))] as const),
  );
}

function searchRow(source: SearchParameterSource, base: string): SearchRow {
  const components = source.component?.map(
    ({ definition, expression }) => [definition.replace(searchParameterUrl, ''), expression] as [string, string],
  );
  return [
    source.code,
    source.id,
    source.type,
    reduced(source.expression ?? '', base),
    ...(source.target === undefined && components === undefined ? [] : [(source.target ?? []).join(' ')]),
    ...(components === undefined ? [] : [components]),
  ] as SearchRow;
}

/** The alternatives of a union that can select something in `base`: those that start with it or with a bare name. */
function reduced(expression: string, base: string): string {
  const applicable = alternatives(expression).filter((alternative) => {
    const root = /^\(*\s*(\w+)/.exec(alternative)?.[1] ?? '';
    return /^[a-z]/.test(root) || [base, 'Resource', 'DomainResource'].includes(root);
  });
  return applicable.join(' | ');
}

function alternatives(expression: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let isQuoted = false;
  let start = 0;
  for (let at = 0; at < expression.length; at++) {
    const character = expression[at];
    if (character === "'") isQuoted = !isQuoted;
    else if (isQuoted) continue;
    else if (character === '(') depth++;
    else if (character === ')') depth--;
    else if (character === '|' && depth === 0) {
      parts.push(expression.slice(start, at).trim());
      start = at + 1;
    }
  }
  parts.push(expression.slice(start).trim());
  return parts.filter((part) => part !== '');
}

// Compartments and operations

interface CompartmentSource {
  id: string;
  code: string;
  resource?: { code: string; param?: string[] }[];
}

function compartments(sources: readonly CompartmentSource[]): DefinitionTables['compartments'] {
  return sorted(
    sources
      .filter((source) => source.id !== 'example')
      .map((source) => [
        source.code,
        sorted(
          (source.resource ?? []).flatMap(({ code, param }) => (param === undefined ? [] : [[code, param] as const])),
        ),
      ]),
  );
}

interface OperationSource {
  url: string;
  code: string;
  system: boolean;
  type: boolean;
  instance: boolean;
  resource: string[];
  parameter?: OperationParameterSource[];
}

interface OperationParameterSource {
  name: string;
  use: 'in' | 'out';
  min: number;
  max: string;
  type?: string;
  searchType?: SearchParameterType;
  targetProfile?: string[];
  part?: OperationParameterSource[];
}

/** 4.0.1 gives affectsState nowhere; these are the operations whose text says that they keep something. */
const affectingOperations = new Set(['closure', 'meta-add', 'meta-delete', 'process-message', 'submit', 'submit-data']);

function operation(source: OperationSource): OperationDefinition[] {
  if (!source.url.startsWith('http://hl7.org/fhir/OperationDefinition/')) return [];
  const { code, url, system, type, instance, resource } = source;
  return [
    {
      code,
      url,
      system,
      type,
      instance,
      affectsState: affectingOperations.has(code),
      resources: resource,
      parameters: (source.parameter ?? []).map(operationParameter),
    },
  ];
}

function operationParameter(source: OperationParameterSource): OperationParameter {
  const { name, use, min, max, type, searchType, targetProfile, part } = source;
  return {
    name,
    use,
    min,
    max,
    ...(type === undefined ? {} : { type }),
    ...(searchType === undefined ? {} : { searchType }),
    ...(targetProfile === undefined ? {} : { targets: targetProfile.map((url) => url.replace(structureUrl, '')) }),
    ...(part === undefined ? {} : { parts: part.map(operationParameter) }),
  };
}

// Terminology

/** Examples of the CodeSystem, ValueSet and ConceptMap pages, which are no part of the terminology. */
const exampleTerminology = /^http:\/\/hl7\.org\/fhir\/(CodeSystem\/example|ValueSet\/example-|ConceptMap\/10[123]$)/;

function texts<T extends { url: string }>(sources: readonly T[], row: (source: T) => object): Record<string, string> {
  return sorted(
    sources
      .filter((source) => !exampleTerminology.test(source.url))
      .map((source) => [source.url, JSON.stringify(row(source))] as const),
  );
}

interface CodeSystemSource {
  url: string;
  version?: string;
  name: string;
  title?: string;
  content: string;
  caseSensitive?: boolean;
  valueSet?: string;
  concept?: ConceptSource[];
}

interface ConceptSource {
  code: string;
  display?: string;
  property?: { code: string; valueCode?: string; valueBoolean?: boolean }[];
  concept?: ConceptSource[];
}

function codeSystemRow(source: CodeSystemSource): CodeSystemRow {
  const { version, name, title, content, caseSensitive, valueSet } = source;
  return {
    ...(version === undefined ? {} : { version }),
    name,
    ...(title === undefined || title === name ? {} : { title }),
    content,
    ...(caseSensitive === undefined ? {} : { caseSensitive }),
    ...(valueSet === undefined ? {} : { valueSet }),
    concepts: (source.concept ?? []).map(conceptRow),
  };
}

function conceptRow({ code, display, property = [], concept }: ConceptSource): ConceptRow {
  const isSet = (name: string): boolean => property.some((one) => one.code === name && one.valueBoolean === true);
  const status = property.find((one) => one.code === 'status')?.valueCode;
  const flags =
    (isSet('notSelectable') || isSet('abstract') ? 'a' : '') +
    (status === 'deprecated' ? 'd' : status === 'retired' ? 'r' : '');
  const children = (concept ?? []).map(conceptRow);
  const alsoChildren = property.flatMap((one) =>
    one.code === 'child' && one.valueCode !== undefined ? [one.valueCode] : [],
  );
  if (alsoChildren.length > 0) return [code, display ?? '', flags, children, alsoChildren];
  if (children.length > 0) return [code, display ?? '', flags, children];
  if (flags !== '') return [code, display ?? '', flags];
  return display === undefined ? [code] : [code, display];
}

interface ValueSetSource {
  url: string;
  version?: string;
  name: string;
  title?: string;
  compose: { inactive?: boolean; include: ComposeSource[]; exclude?: ComposeSource[] };
}

interface ComposeSource {
  system?: string;
  version?: string;
  concept?: { code: string; display?: string }[];
  filter?: { property: string; op: string; value: string }[];
  valueSet?: string[];
}

function valueSetRow({ version, name, title, compose }: ValueSetSource): ValueSetRow {
  return {
    ...(version === undefined ? {} : { version }),
    name,
    ...(title === undefined || title === name ? {} : { title }),
    ...(compose.inactive === undefined ? {} : { inactive: compose.inactive }),
    include: compose.include.map(valueSetPart),
    ...(compose.exclude === undefined ? {} : { exclude: compose.exclude.map(valueSetPart) }),
  };
}

function valueSetPart({ system, version, concept, filter, valueSet }: ComposeSource): ValueSetPart {
  return {
    ...(system === undefined ? {} : { system }),
    ...(version === undefined ? {} : { version }),
    ...(concept === undefined
      ? {}
      : { codes: concept.map(({ code, display }) => (display === undefined ? code : [code, display])) }),
    ...(filter === undefined ? {} : { filters: filter.map(({ property, op, value }) => [property, op, value]) }),
    ...(valueSet === undefined ? {} : { valueSets: valueSet }),
  };
}

interface ConceptMapSource {
  url: string;
  name: string;
  sourceUri?: string;
  sourceCanonical?: string;
  targetUri?: string;
  targetCanonical?: string;
  group?: {
    source?: string;
    target?: string;
    element: { code?: string; target?: { code?: string; equivalence: string }[] }[];
  }[];
}

function conceptMapRow(map: ConceptMapSource): ConceptMapRow {
  const source = map.sourceCanonical ?? map.sourceUri;
  const target = map.targetCanonical ?? map.targetUri;
  return {
    name: map.name,
    ...(source === undefined ? {} : { source }),
    ...(target === undefined ? {} : { target }),
    groups: (map.group ?? []).map((group) => ({
      ...(group.source === undefined ? {} : { source: group.source }),
      ...(group.target === undefined ? {} : { target: group.target }),
      elements: group.element.map(({ code = '', target: targets = [] }) => [
        code,
        targets.map((one) => [one.code ?? '', one.equivalence]),
      ]),
    })),
  };
}

if (import.meta.main) {
  const { definitions, terminology } = generateTables(readPackage());
  write('../profiles/r4.json.gz', definitions);
  write('../terminology/r4.json.gz', terminology);
}

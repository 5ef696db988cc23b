// US Core as its package says it: the server's CapabilityStatement as lists of what is expected, the examples, the search
// parameters; and what a search must find among the examples, decided by FHIRPath and the specification's words alone.
// https://hl7.org/fhir/us/core/STU6.1/CapabilityStatement-us-core-server.html, https://hl7.org/fhir/R4/search.html
import { loadDefinitions } from '../../src/model/definitions.ts';
import { evaluate } from '../../src/model/path.ts';
import { readTgz, sharedData } from './corpora.ts';

export const usCoreArchive = sharedData('igs/hl7.fhir.us.core-6.1.0.tgz');

export type Expectation = 'SHALL' | 'SHOULD' | 'MAY';

export interface Example {
  type: string;
  id: string;
  /** As published, or as it stands in a Bundle of the examples. */
  bytes: Buffer;
  resource: Json;
}

// biome-ignore lint/suspicious/noExplicitAny: content of many types is walked
export type Json = any;

/** A SearchParameter resource of the package. */
export interface Parameter {
  url: string;
  code: string;
  base: string[];
  type: 'token' | 'reference' | 'date' | 'string';
  expression: string;
  target?: string[];
  comparator?: Prefix[];
  chain?: string[];
  multipleOr?: boolean;
  multipleAnd?: boolean;
}

export type Prefix = 'eq' | 'ne' | 'gt' | 'lt' | 'ge' | 'le' | 'sa' | 'eb' | 'ap';

interface Expected {
  expectation: Expectation;
}

/** `rest.resource` of the statement. */
export interface ExpectedType extends Expected {
  type: string;
  interactions: (Expected & { code: string })[];
  searchParams: (Expected & { name: string; type: string; definition: string })[];
  combinations: (Expected & { names: string[] })[];
  includes: (Expected & { text: string })[];
  revIncludes: (Expected & { text: string })[];
  operations: (Expected & { name: string; definition: string })[];
  profiles: (Expected & { text: string })[];
}

export interface ExpectedServer {
  types: ExpectedType[];
  interactions: (Expected & { code: string })[];
  formats: (Expected & { text: string })[];
  patchFormats: (Expected & { text: string })[];
}

export interface UsCore {
  server: ExpectedServer;
  /** By canonical. */
  parameters: ReadonlyMap<string, Parameter>;
  /** SearchParameter resources as published, by id. */
  parameterFiles: ReadonlyMap<string, Buffer>;
  examples: readonly Example[];
}

export function readUsCore(): UsCore {
  const files = [...readTgz(usCoreArchive)].filter(([name]) => name.endsWith('.json'));
  const named = (start: string): Buffer[] =>
    files.filter(([name]) => name.startsWith(`package/${start}`)).map(([, bytes]) => bytes);
  const [statement] = named('CapabilityStatement-us-core-server').map(parse);
  const parameterFiles = named('SearchParameter-');
  const own = named('example/').map(exampleOf);
  const known = new Set(own.map(({ type, id }) => `${type}/${id}`));
  const inBundles = own
    .flatMap(({ resource }) => (resource.resourceType === 'Bundle' ? resource.entry : []))
    .map(({ resource }: Json) => exampleOf(Buffer.from(JSON.stringify(resource))))
    .filter(({ type, id }) => !known.has(`${type}/${id}`));
  return {
    server: expectedServer(statement),
    parameters: new Map(parameterFiles.map(parse).map((parameter) => [parameter.url, parameter])),
    parameterFiles: new Map(parameterFiles.map((bytes) => [parse(bytes).id, bytes])),
    examples: [...own, ...inBundles],
  };
}

const parse = (bytes: Buffer): Json => JSON.parse(bytes.toString('utf8'));

function exampleOf(bytes: Buffer): Example {
  const resource = parse(bytes);
  return { type: resource.resourceType, id: resource.id, bytes, resource };
}

// ---- the statement ----

function expectedServer(statement: Json): ExpectedServer {
  const [rest] = statement.rest;
  return {
    types: rest.resource.map(expectedType),
    interactions: coded(rest.interaction),
    formats: texts(statement, 'format'),
    patchFormats: texts(statement, 'patchFormat'),
  };
}

function expectedType(resource: Json): ExpectedType {
  const combinations = (resource.extension ?? []).filter(({ url }: Json) =>
    url.endsWith('capabilitystatement-search-parameter-combination'),
  );
  return {
    type: resource.type,
    expectation: expectationOf(resource),
    interactions: coded(resource.interaction),
    searchParams: (resource.searchParam ?? []).map((one: Json) => ({ ...one, expectation: expectationOf(one) })),
    combinations: combinations.map((one: Json) => ({
      expectation: expectationOf(one),
      names: one.extension.filter(({ url }: Json) => url === 'required').map(({ valueString }: Json) => valueString),
    })),
    includes: texts(resource, 'searchInclude'),
    revIncludes: texts(resource, 'searchRevInclude'),
    operations: (resource.operation ?? []).map((one: Json) => ({ ...one, expectation: expectationOf(one) })),
    profiles: texts(resource, 'supportedProfile'),
  };
}

const coded = (list: Json[] = []): (Expected & { code: string })[] =>
  list.map((one) => ({ code: one.code, expectation: expectationOf(one) }));

/** The texts of a list whose expectations stand beside it. */
const texts = (owner: Json, name: string): (Expected & { text: string })[] =>
  (owner[name] ?? []).map((text: string, at: number) => ({
    text,
    expectation: expectationOf(owner[`_${name}`]?.[at]),
  }));

function expectationOf(element: Json): Expectation {
  const found = element?.extension?.find(({ url }: Json) => url.endsWith('capabilitystatement-expectation'));
  return found?.valueCode ?? 'MAY';
}

// ---- what a search must find ----

/** What one value of a search parameter is compared with; dates in ms, half-open. */
export type Value =
  | { kind: 'token'; system?: string; code?: string }
  | { kind: 'reference'; text: string }
  | { kind: 'string'; text: string }
  | { kind: 'date'; from: number; to: number; texts: string[] };

/** The values that a parameter selects in a resource. */
export function valuesOf(parameter: Parameter, resource: Json): Value[] {
  const read = { token: tokens, string: strings, reference: references, date: dates }[parameter.type];
  return selected(parameter, resource).flatMap(read);
}

/** Nothing is fetched here: `where(resolve() is Patient)` is decided by the reference's text. */
function selected({ expression }: Parameter, resource: Json): Json[] {
  const type = /\.where\(resolve\(\) is (\w+)\)$/.exec(expression)?.[1];
  if (type === undefined) return evaluate(expression, resource);
  const all: Json[] = evaluate(expression.slice(0, expression.lastIndexOf('.where(')), resource);
  return all.filter(({ reference }) => new RegExp(`(^|/)${type}/[^/]+$`).test(reference ?? ''));
}

function tokens(value: Json): Value[] {
  if (typeof value !== 'object') return [{ kind: 'token', code: String(value) }];
  if (value.coding !== undefined) return value.coding.flatMap(tokens);
  const { system, code = value.value } = value;
  if (system === undefined && code === undefined) return [];
  return [{ kind: 'token', ...(code === undefined ? {} : { code }), system: system ?? '' }];
}

const STRING_PARTS = 'text family given prefix suffix line city district state postalCode country'.split(' ');

function strings(value: Json): Value[] {
  const found = typeof value === 'string' ? [value] : STRING_PARTS.flatMap((part) => value[part] ?? []);
  return found.map((text) => ({ kind: 'string', text }));
}

function references(value: Json): Value[] {
  const text = typeof value === 'string' ? value : value.reference;
  return text === undefined || text.startsWith('#') ? [] : [{ kind: 'reference', text }];
}

function dates(value: Json): Value[] {
  if (typeof value === 'string') return isDate(value) ? [{ kind: 'date', ...dateSpan(value), texts: [value] }] : [];
  const { start, end } = value;
  if (start === undefined && end === undefined) return [];
  return [
    {
      kind: 'date',
      from: start === undefined ? Number.NEGATIVE_INFINITY : dateSpan(start).from,
      to: end === undefined ? Number.POSITIVE_INFINITY : dateSpan(end).to,
      texts: [start, end].filter((text) => text !== undefined),
    },
  ];
}

const isDate = (text: string): boolean => /^\d{4}(-\d\d){0,2}(T.*)?$/.test(text);

/** The time that a date stands for by its precision, in UTC where it has no zone. */
export function dateSpan(text: string): { from: number; to: number } {
  const [, year = '', month, day, time, seconds, fraction] =
    /^(\d{4})(?:-(\d\d))?(?:-(\d\d))?(?:T(\d\d:\d\d(?::(\d\d)(\.\d+)?)?)(?:Z|[+-]\d\d:\d\d)?)?$/.exec(text) ?? [];
  if (time !== undefined) {
    const from = Date.parse(/(Z|[+-]\d\d:\d\d)$/.test(text) ? text : `${text}Z`);
    return { from, to: from + (seconds === undefined ? 60_000 : fraction === undefined ? 1_000 : 1) };
  }
  const [y, m, d] = [Number(year), Number(month ?? 1) - 1, Number(day ?? 1)];
  const to =
    day !== undefined ? Date.UTC(y, m, d + 1) : month !== undefined ? Date.UTC(y, m + 1, 1) : Date.UTC(y + 1, 0, 1);
  return { from: Date.UTC(y, m, d), to };
}

/** One value of a search as it is asked: `text` is not escaped for the URL. */
export interface Question {
  text: string;
  /** Whether a resource's values answer it; 'maybe' where R4 leaves the margin to the server. */
  fits(values: readonly Value[]): boolean | 'maybe';
}

const escaped = (text: string): string => text.replace(/[\\,|$]/g, (character) => `\\${character}`);

/** Ways to ask for one value: with and without system, by id and by address, with each comparator. */
export function questionsFor(parameter: Parameter, value: Value, baseUrl: string): Question[] {
  switch (value.kind) {
    case 'token':
      return tokenQuestions(value, value.system === undefined ? impliedSystem(parameter) : undefined);
    case 'string':
      return stringQuestions(value.text);
    case 'reference':
      return referenceQuestions(value.text, parameter, baseUrl);
    case 'date':
      return value.texts.flatMap((text) => dateQuestions(text, parameter.comparator ?? []));
  }
}

/** "For elements of type code, the system is implied": that of its required binding. */
function impliedSystem({ expression }: Parameter): string | undefined {
  const [type = '', name = '', ...more] = expression.split('.');
  const { type: kind, binding } = loadDefinitions().type(type)?.members.get(name) ?? {};
  if (more.length > 0 || kind !== 'code') return undefined;
  return binding?.valueSet.replace(/\|.*/, '').replace('/ValueSet/', '/');
}

function tokenQuestions({ system, code }: Extract<Value, { kind: 'token' }>, implied: string | undefined): Question[] {
  const found: Question[] = [];
  const same = (one: string | undefined, other: string): boolean => one?.toLowerCase() === other.toLowerCase();
  const add = (text: string, isIt: (token: { system?: string; code?: string }) => boolean): void => {
    found.push({ text, fits: (values) => values.some((one) => one.kind === 'token' && isIt(one)) });
  };
  const hasSystem = system !== undefined && system !== '';
  if (code !== undefined) {
    add(escaped(code), (token) => same(token.code, code));
    if (hasSystem)
      add(`${escaped(system)}|${escaped(code)}`, (token) => token.system === system && same(token.code, code));
    else add(`|${escaped(code)}`, (token) => !token.system && same(token.code, code));
    if (implied !== undefined) add(`${implied}|${escaped(code)}`, (token) => same(token.code, code));
  }
  if (hasSystem) add(`${escaped(system)}|`, (token) => token.system === system);
  return found;
}

function stringQuestions(text: string): Question[] {
  const starts = [text, text.slice(0, 3).toUpperCase()].filter((start) => start.trim() !== '');
  return starts.map((start) => ({
    text: escaped(start),
    fits: (values) => values.some((one) => one.kind === 'string' && folded(one.text).startsWith(folded(start))),
  }));
}

/** "case and accent insensitive". */
const folded = (text: string): string =>
  text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase().replace(/\s+/g, ' ');

function referenceQuestions(text: string, { target = [] }: Parameter, baseUrl: string): Question[] {
  const [type = '', id = '', ...more] = text.split('/');
  const isLocal = more.length === 0 && /^[A-Z]/.test(type);
  const by = (asked: string): Question => ({
    text: escaped(asked),
    fits: (values) =>
      values.some(
        (one) => one.kind === 'reference' && (one.text === text || (!isLocal && unversioned(one.text) === text)),
      ),
  });
  if (!isLocal) return [by(unversioned(text))];
  return [by(text), by(`${baseUrl}/${text}`), ...(target.length === 1 && target[0] === type ? [by(id)] : [])];
}

const unversioned = (canonical: string): string => canonical.split('|')[0] ?? canonical;

/** With each comparator: the date as it stands, and to the second within it: "SHALL support a value precise to the second". */
function dateQuestions(text: string, comparators: readonly Prefix[]): Question[] {
  const { from, to } = dateSpan(text);
  const instant = new Date(from + Math.floor((to - from) / 2)).toISOString().replace(/\.\d+Z$/, '+00:00');
  return [text, instant].flatMap((asked) =>
    comparators.map((prefix) => ({
      text: `${prefix === 'eq' && asked === text ? '' : prefix}${asked}`,
      fits: (values: readonly Value[]) => anyDate(values, prefix, dateSpan(asked)),
    })),
  );
}

interface Span {
  from: number;
  to: number;
}

function anyDate(values: readonly Value[], prefix: Prefix, asked: Span): boolean | 'maybe' {
  const verdicts = values.map((one) => (one.kind === 'date' ? dateFits(one, prefix, asked) : false));
  return verdicts.includes(true) ? true : verdicts.includes('maybe') ? 'maybe' : false;
}

/** https://hl7.org/fhir/R4/search.html#prefix */
function dateFits(stored: Span, prefix: Prefix, asked: Span): boolean | 'maybe' {
  const isWithin = asked.from <= stored.from && stored.to <= asked.to;
  switch (prefix) {
    case 'eq':
      return isWithin;
    case 'ne':
      return !isWithin;
    case 'gt':
      return stored.to > asked.to;
    case 'lt':
      return stored.from < asked.from;
    case 'ge':
      return stored.to > asked.to || isWithin;
    case 'le':
      return stored.from < asked.from || isWithin;
    case 'sa':
      return stored.from >= asked.to;
    case 'eb':
      return stored.to <= asked.from;
    case 'ap': {
      if (stored.from < asked.to && stored.to > asked.from) return true;
      // "10% of the gap between now and the date": from which end of it the gap is measured is not said.
      const margin = Math.max(Math.abs(Date.now() - asked.from), Math.abs(Date.now() - asked.to)) / 10;
      return stored.from < asked.to + margin && stored.to > asked.from - margin ? 'maybe' : false;
    }
  }
}

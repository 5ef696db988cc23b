// The parameters of a run. https://sql-on-fhir.org/ig/OperationDefinition-ViewDefinitionRun.html
import { FhirError, type Issue } from '../../../base/outcome.ts';
import { dateRange, isInstant } from '../../../model/dates.ts';
import { elementSpans, memberSpans } from '../../../model/json.ts';
import { parseReference } from '../../../model/references.ts';
import type { OperationInput } from '../input.ts';
import type { OperationCall, OperationContext } from '../operation.ts';
import type { FormatName } from './formats.ts';
import type { Json } from './view-elements.ts';

export const runParameters: readonly string[] = [
  'viewResource',
  'viewReference',
  'viewCanonical',
  'resource',
  'patient',
  'group',
  '_since',
  '_limit',
  'header',
  'source',
];

export interface RunRequest {
  view: Json;
  /** Where the view stands in the request, for messages. */
  place: string;
  format: FormatName;
  /** The answer is to be a FHIR resource, which a Binary around the rows is. */
  isEnveloped: boolean;
  header: boolean;
  /** Rows at most. */
  limit?: number;
  /** The JSON texts of the resources to run on; absent: those of the store. */
  resources?: readonly Uint8Array[];
  /** Ids. */
  patients: readonly string[];
  groups: readonly string[];
  /** Milliseconds since the epoch. */
  since?: number;
}

/** Throws FhirError('invalid') or FhirError('not-supported') naming the parameter. */
export function runRequest(call: OperationCall, context: OperationContext): RunRequest {
  const input = call.input();
  for (const name of ['viewReference', 'viewCanonical']) {
    if (input.all(name).length === 0) continue;
    throw refused('not-supported', name, 'ViewDefinitions are not stored here; send the view itself as viewResource');
  }
  if (input.all('source').length > 0) {
    throw refused('not-supported', 'source', 'data come from this server, or with the request as resource');
  }
  const resources = givenResources(call, input);
  const filters = ['patient', 'group', '_since'].filter((name) => input.all(name).length > 0);
  const [filter] = filters;
  if (resources !== undefined && filter !== undefined) {
    throw refused('invalid', filter, 'it selects among stored resources; with resource, send those that are meant');
  }
  return {
    ...givenView(input),
    ...wantedFormat(call, input),
    header: flag(input, 'header') ?? true,
    patients: referencedIds(input, 'patient', 'Patient', context),
    groups: referencedIds(input, 'group', 'Group', context),
    ...optional('resources', resources),
    ...optional('limit', rowLimit(input)),
    ...optional('since', instant(input, '_since')),
  };
}

function optional<Name extends string, Value>(
  name: Name,
  value: Value | undefined,
): Partial<Record<Name, Value>> | Record<Name, Value> {
  return value === undefined ? {} : ({ [name]: value } as Record<Name, Value>);
}

// ---- the view and the resources ----

/** The published examples have the URI. */
const viewTypes: readonly unknown[] = [
  'ViewDefinition',
  'https://sql-on-fhir.org/ig/StructureDefinition/ViewDefinition',
];

/**
 * FHIR lets the one resource that an operation is called with be the body itself, with everything else in the query.
 * https://hl7.org/fhir/R4/operations.html#request
 */
function givenView(input: OperationInput): Pick<RunRequest, 'view' | 'place'> {
  const given = input.all('viewResource').map(({ resource }) => resource);
  if (input.resource !== undefined) given.push(input.resource);
  const [view, ...more] = given;
  if (view === undefined || more.length > 0) {
    const issue: Issue = {
      severity: 'error',
      code: given.length === 0 ? 'required' : 'invalid',
      diagnostics: 'The view to run is sent by POST as the one viewResource of a Parameters resource, or as the body.',
      expression: 'viewResource',
    };
    throw new FhirError('invalid', [issue]);
  }
  if (!viewTypes.includes(view.resourceType)) throw refused('invalid', 'viewResource', 'it is a ViewDefinition');
  return { view, place: input.resource === undefined ? 'viewResource' : 'ViewDefinition' };
}

/** Bundles are unwrapped, one level deep. By their text, which alone tells how decimals are written. */
function givenResources(call: OperationCall, input: OperationInput): Uint8Array[] | undefined {
  const given = input.all('resource');
  if (given.length === 0) return undefined;
  for (const [at, { resource }] of given.entries()) {
    if (!isResource(resource)) throw refused('invalid', `resource[${at}]`, 'it is a resource with its resourceType');
  }
  const { body } = call.request;
  // Before it stands white space at most, or a byte order mark.
  return textsIn(body.subarray(body.indexOf(OBJECT)), 'parameter')
    .filter((text) => stringIn(text, 'name') === 'resource')
    .flatMap((parameter) => {
      const text = textIn(parameter, 'resource');
      if (text === undefined) return [];
      if (stringIn(text, 'resourceType') !== 'Bundle') return [text];
      return textsIn(text, 'entry').flatMap((entry) => {
        const resource = textIn(entry, 'resource');
        return resource === undefined || stringIn(resource, 'resourceType') === undefined ? [] : [resource];
      });
    });
}

function isResource(value: unknown): boolean {
  return typeof (value as { resourceType?: unknown } | null | undefined)?.resourceType === 'string';
}

const OBJECT = 0x7b;
const ARRAY = 0x5b;

/** The text of a member; undefined where it is absent, or there is no object. */
function textIn(text: Uint8Array, name: string): Uint8Array | undefined {
  if (text[0] !== OBJECT) return undefined;
  const span = memberSpans(text).get(name);
  return span === undefined ? undefined : text.subarray(span.valueStart, span.valueEnd);
}

function textsIn(text: Uint8Array, name: string): Uint8Array[] {
  const list = textIn(text, name);
  if (list?.[0] !== ARRAY) return [];
  return elementSpans(list, 0, list.length).map(({ start, end }) => list.subarray(start, end));
}

function stringIn(text: Uint8Array, name: string): string | undefined {
  const value = textIn(text, name);
  const found: unknown = value === undefined ? undefined : JSON.parse(Buffer.from(value).toString('utf8'));
  return typeof found === 'string' ? found : undefined;
}

// ---- format ----

const formats: ReadonlyMap<string, FormatName> = new Map([
  ['csv', 'csv'],
  ['text/csv', 'csv'],
  ['ndjson', 'ndjson'],
  ['application/x-ndjson', 'ndjson'],
  ['application/ndjson', 'ndjson'],
  ['application/fhir+ndjson', 'ndjson'],
  ['json', 'json'],
  ['application/json', 'json'],
]);

/**
 * `_format` before Accept, else lines of JSON. A client that accepts FHIR alone gets the rows in a Binary.
 * https://sql-on-fhir.org/ig/operations-common.html#content-negotiation
 */
function wantedFormat(call: OperationCall, input: OperationInput): Pick<RunRequest, 'format' | 'isEnveloped'> {
  const accepted = (call.request.header('accept') ?? '')
    .split(',')
    .map((range) => range.split(';', 1)[0]?.trim().toLowerCase() ?? '')
    .filter((range) => range !== '');
  const isEnveloped = accepted.length > 0 && accepted.every((range) => /^application\/fhir\+(?:json|xml)$/.test(range));
  const asked = input.text('_format');
  if (asked === undefined || /^application\/fhir\+json$/.test(asked)) {
    const format = accepted.map((range) => formats.get(range)).find((found) => found !== undefined) ?? 'ndjson';
    return { format, isEnveloped: isEnveloped || asked !== undefined };
  }
  const format = formats.get(asked.split(';', 1)[0]?.trim().toLowerCase() ?? '');
  if (format === undefined) throw refused('not-supported', '_format', 'accepted are ndjson, csv and json');
  return { format, isEnveloped };
}

// ---- simple values ----

function flag(input: OperationInput, name: string): boolean | undefined {
  const text = input.text(name);
  if (text === undefined) return undefined;
  if (text === 'true' || text === 'false') return text === 'true';
  throw refused('invalid', name, 'it is true or false');
}

function rowLimit(input: OperationInput): number | undefined {
  const text = input.text('_limit');
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,9}$/.test(text)) throw refused('invalid', '_limit', 'it is a number of rows, 1 or more');
  return Number(text);
}

function instant(input: OperationInput, name: string): number | undefined {
  const text = input.text(name);
  if (text === undefined) return undefined;
  if (isInstant(text)) return dateRange(text, 'UTC').from;
  throw refused('invalid', name, 'it is an instant, such as 2026-01-31T08:00:00Z');
}

/** `Patient/1` or its URL here, as a Reference or as text. */
function referencedIds(input: OperationInput, name: string, type: string, context: OperationContext): string[] {
  const ids = input.all(name).map(({ value }) => {
    const text = typeof value === 'string' ? value : (value as { reference?: unknown } | undefined)?.reference;
    const found = parseReference(String(text), context.baseUrl, context.definitions.isResourceType);
    if (found.kind === 'relative' && found.type === type && found.id !== undefined) return found.id;
    throw refused('invalid', name, `it is a reference to a ${type} of this server, such as ${type}/1`);
  });
  return [...new Set(ids)];
}

function refused(kind: 'invalid' | 'not-supported', name: string, what: string): FhirError {
  const problem = kind === 'invalid' ? `${name}: ${what}.` : `${name} is not supported: ${what}.`;
  return new FhirError(kind, problem, { expression: name });
}

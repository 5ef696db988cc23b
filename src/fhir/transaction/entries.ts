// The entries of a batch or transaction as sent, each with its own stretch of the text.
// https://hl7.org/fhir/R4/http.html#transaction
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import { memberSpans } from '../../model/json.ts';
import type { FhirRequest } from '../interaction.ts';
import { parsed, type SentBundle } from './sent-bundle.ts';

export interface BundleEntry {
  /** Place in the Bundle, from 0. */
  at: number;
  fullUrl: string | undefined;
  method: FhirRequest['method'];
  /** Relative to the base, no leading slash. */
  path: string;
  query: string;
  /** Lower-case name → value, for the conditions an entry may carry. */
  headers: Readonly<Record<string, string>>;
  /** JSON text of the resource, as sent; empty when there is none. */
  bytes: Uint8Array;
  /** What the resource says of itself, where it was parsed with the entry. */
  head: ResourceHead | undefined;
  /** The resource. */
  resource(): unknown;
}

export interface ResourceHead {
  resourceType?: unknown;
  id?: unknown;
  url?: unknown;
}

/** An entry as a value. */
export interface SentEntry {
  fullUrl?: unknown;
  resource?: unknown;
  request?: unknown;
}

const METHODS: readonly string[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];

const CONDITIONS = {
  ifNoneMatch: 'if-none-match',
  ifModifiedSince: 'if-modified-since',
  ifMatch: 'if-match',
  ifNoneExist: 'if-none-exist',
};

/** An entry as the text has it. */
export interface EntryText {
  bytes: Uint8Array;
  /** The part of it that is its resource; empty when there is none. */
  resource: Uint8Array;
  /** Where that stands in it. */
  resourceStart: number;
}

/** Throws FhirError('too-large') for more than a resource may have, unless the server itself sent it. */
export function entryText(
  { bytes, entries }: SentBundle,
  at: number,
  { isTrusted }: { isTrusted: boolean },
): EntryText {
  const { start, end } = entries?.[at] ?? { start: 0, end: 0 };
  if (end - start > limits.bundleEntryBytesMax && !isTrusted) {
    throw new FhirError('too-large', `An entry of a Bundle has at most ${limits.bundleEntryBytesMax} bytes.`, {
      expression: `Bundle.entry[${at}]`,
    });
  }
  const text = bytes.subarray(start, end);
  const span = text[0] === OPEN_OBJECT ? memberSpans(text).get('resource') : undefined;
  if (span === undefined) return { bytes: text, resource: EMPTY, resourceStart: 0 };
  return { bytes: text, resource: text.subarray(span.valueStart, span.valueEnd), resourceStart: span.valueStart };
}

const OPEN_OBJECT = 0x7b;
const EMPTY = new Uint8Array(0);

/** The value of an entry whose resource is not looked into. */
export function envelopeOf({ bytes, resource, resourceStart }: EntryText): unknown {
  if (resource.length === 0) return parsed(bytes);
  const after = bytes.subarray(resourceStart + resource.length);
  const { resource: _, ...envelope } = parsed(
    Buffer.concat([bytes.subarray(0, resourceStart), NULL, after]),
  ) as SentEntry;
  return envelope;
}

const NULL = Buffer.from('null');

/** Entries with the resource as a value hold it up to this size of the Bundle; of a larger one it is parsed again. */
const HELD_BYTES_MAX = 1024 * 1024;

/** What an entry asks for. `sent`: its value, with or without the resource. FhirError('invalid') for nothing known. */
export function bundleEntry(
  sent: unknown,
  { resource: bytes }: EntryText,
  { at, baseUrl, bundle }: { at: number; baseUrl: string; bundle: SentBundle },
): BundleEntry | FhirError {
  const entry = (typeof sent === 'object' && sent !== null ? sent : {}) as SentEntry;
  const asked = requestOf(entry, at, baseUrl);
  if (asked instanceof FhirError) return asked;
  const fullUrl = typeof entry.fullUrl === 'string' ? entry.fullUrl : undefined;
  const { resource } = entry;
  const isHeld = resource !== undefined && bundle.bytes.length <= HELD_BYTES_MAX;
  return {
    at,
    ...asked,
    fullUrl,
    bytes,
    head: headOf(resource),
    resource: isHeld ? () => resource : () => (bytes.length === 0 ? undefined : parsed(bytes)),
  };
}

function headOf(resource: unknown): ResourceHead | undefined {
  if (typeof resource !== 'object' || resource === null) return undefined;
  const { resourceType, id, url } = resource as ResourceHead;
  return { resourceType, id, url };
}

function requestOf(
  { request }: SentEntry,
  at: number,
  baseUrl: string,
): Pick<BundleEntry, 'method' | 'path' | 'query' | 'headers'> | FhirError {
  const expression = `Bundle.entry[${at}].request`;
  const said = (request ?? {}) as Record<string, unknown>;
  const { method, url } = said;
  if (typeof method !== 'string' || !METHODS.includes(method)) {
    return new FhirError('invalid', `Each entry needs a request with a method out of ${METHODS.join(', ')}.`, {
      expression: `${expression}.method`,
    });
  }
  if (typeof url !== 'string') {
    return new FhirError('invalid', 'Each entry needs a request with a url, such as "Patient" or "Patient/1".', {
      expression: `${expression}.url`,
    });
  }
  const headers: Record<string, string> = {};
  for (const [member, header] of Object.entries(CONDITIONS)) {
    const value = said[member];
    if (typeof value === 'string') headers[header] = value;
  }
  const relative = url.startsWith(`${baseUrl}/`) ? url.slice(baseUrl.length + 1) : url.replace(/^\//, '');
  const mark = relative.indexOf('?');
  return {
    method: method as FhirRequest['method'],
    path: mark < 0 ? relative : relative.slice(0, mark),
    query: mark < 0 ? '' : relative.slice(mark + 1),
    headers,
  };
}

/** Errors of one entry say which. */
export function atEntry<T>({ at }: BundleEntry, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw entryError(at, error);
  }
}

/** The error of an entry, with the entry in each issue. */
export function entryError(at: number, error: unknown): unknown {
  if (!(error instanceof FhirError)) return error;
  const issues = error.issues.map((issue) => ({
    ...issue,
    expression: issue.expression?.startsWith('Bundle.') ? issue.expression : `Bundle.entry[${at}]`,
  }));
  return new FhirError(error.kind, issues, { cause: error });
}

/**
 * An entry as a request of its own. `outer` gives what holds for the whole Bundle: its Prefer header and its end. What
 * stands in a Bundle is a resource, so that is what is accepted.
 */
export function requestOfEntry(entry: BundleEntry, outer: FhirRequest): FhirRequest {
  const { body, headers } =
    entry.method === 'PATCH' ? patchOfEntry(entry) : { body: entry.bytes, headers: entry.headers };
  return {
    method: entry.method,
    path: entry.path,
    query: entry.query,
    body,
    signal: outer.signal,
    ...(outer.origin === undefined ? {} : { origin: outer.origin }),
    header: (name) => {
      if (name === 'accept') return 'application/fhir+json';
      return headers[name] ?? (name === 'prefer' ? outer.header('prefer') : undefined);
    },
  };
}

/**
 * "The PATCH body is a Binary with the patch and its media type, or, for a FHIRPath Patch, the Parameters resource."
 * https://hl7.org/fhir/R4/http.html#patch
 */
function patchOfEntry({ at, bytes, headers, resource }: BundleEntry): Pick<FhirRequest, 'body'> & {
  headers: BundleEntry['headers'];
} {
  const { resourceType, contentType, data } = (resource() ?? {}) as Record<string, unknown>;
  if (resourceType === 'Parameters')
    return { body: bytes, headers: { ...headers, 'content-type': 'application/fhir+json' } };
  const isBinary = resourceType === 'Binary' && typeof contentType === 'string' && typeof data === 'string';
  if (isBinary && /^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(data)) {
    return { body: Buffer.from(data, 'base64'), headers: { ...headers, 'content-type': contentType } };
  }
  throw new FhirError(
    'invalid',
    'A PATCH takes a Parameters resource, or a Binary with contentType application/json-patch+json and data.',
    { expression: `Bundle.entry[${at}].resource` },
  );
}

// The entries of a batch or transaction as sent, each with its own stretch of the text.
// https://hl7.org/fhir/R4/http.html#transaction
import { FhirError } from '../../base/outcome.ts';
import { elementSpans, memberSpans } from '../../model/json.ts';
import type { FhirRequest } from '../interaction.ts';

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
  /** The same parsed. */
  resource: unknown;
}

interface SentEntry {
  fullUrl?: unknown;
  resource?: unknown;
  request?: { method?: unknown; url?: unknown } & Record<string, unknown>;
}

const METHODS: readonly string[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];

const CONDITIONS = {
  ifNoneMatch: 'if-none-match',
  ifModifiedSince: 'if-modified-since',
  ifMatch: 'if-match',
  ifNoneExist: 'if-none-exist',
};

/**
 * Entries in order. `bundle` is `bytes` parsed. One that asks for nothing known is left out and told to `refuse` with a
 * FhirError('invalid') that names it; without `refuse` that is thrown.
 */
export function bundleEntries(
  bytes: Uint8Array,
  bundle: { entry?: unknown; resourceType: string },
  baseUrl: string,
  refuse: (at: number, error: FhirError) => void = throwIt,
): BundleEntry[] {
  if (bundle.entry === undefined) return [];
  if (!Array.isArray(bundle.entry))
    throw new FhirError('invalid', 'Bundle.entry is a list.', { expression: 'Bundle.entry' });
  const list = memberSpans(bytes).get('entry');
  const spans = list === undefined ? [] : elementSpans(bytes, list.valueStart, list.valueEnd);
  return bundle.entry.flatMap((sent: unknown, at) => {
    const entry = (typeof sent === 'object' && sent !== null ? sent : {}) as SentEntry;
    const asked = requestOf(entry, at, baseUrl);
    if (asked instanceof FhirError) {
      refuse(at, asked);
      return [];
    }
    const span = spans[at];
    const resource =
      span && entry.resource !== undefined ? memberSpans(bytes, span.start, span.end).get('resource') : undefined;
    return {
      at,
      ...asked,
      fullUrl: typeof entry.fullUrl === 'string' ? entry.fullUrl : undefined,
      bytes: resource === undefined ? EMPTY : bytes.subarray(resource.valueStart, resource.valueEnd),
      resource: entry.resource,
    };
  });
}

const EMPTY = new Uint8Array(0);

const throwIt = (_at: number, error: FhirError): never => {
  throw error;
};

function requestOf(
  { request }: SentEntry,
  at: number,
  baseUrl: string,
): Pick<BundleEntry, 'method' | 'path' | 'query' | 'headers'> | FhirError {
  const expression = `Bundle.entry[${at}].request`;
  const { method, url } = request ?? {};
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
    const value = request?.[member];
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
  const { resourceType, contentType, data } = (resource ?? {}) as Record<string, unknown>;
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

// Answers and the headers that go with versions. https://hl7.org/fhir/R4/http.html#versioning
import { FhirError, type Issue, operationOutcome } from '../base/outcome.ts';
import { stamped } from '../store/stamp.ts';
import type { Row, Write, Written } from '../store/store.ts';
import type { Answer, FhirRequest } from './interaction.ts';

export const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));

export const etag = (version: number): string => `W/"${version}"`;

export const httpDate = (ms: number): string => new Date(ms).toUTCString();

export function versionHeaders({
  version,
  lastUpdated,
}: {
  version: number;
  lastUpdated: number;
}): Record<string, string> {
  return { ETag: etag(version), 'Last-Modified': httpDate(lastUpdated) };
}

/**
 * The version in `W/"3"`, `"3"` or `3`; undefined for a header that is absent. 412 for an entity tag that no version here
 * ever has, such as `W/"3a"`; 400 for anything else.
 */
export function versionInHeader(name: string, header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const match = /^\s*(?:W\/)?"?([1-9]\d{0,14})"?\s*$/.exec(header);
  if (match !== null) return Number(match[1]);
  if (/^\s*(?:W\/)?"[^"]+"\s*$/.test(header))
    throw new FhirError('precondition', `${name}: no version of this server has this entity tag; they are as W/"3".`);
  throw new FhirError('invalid', `${name} takes one version, as in W/"3".`);
}

export interface Preferences {
  return: 'minimal' | 'representation' | 'OperationOutcome';
  handling: 'strict' | 'lenient';
  /** respond-async: the answer may come later. */
  async: boolean;
  /** Say what would happen, and leave everything as it is. */
  dryRun: boolean;
}

/** The Prefer header (RFC 7240); unknown preferences are ignored, as it demands. */
export function preferences(header: string | undefined): Preferences {
  const found: Preferences = { return: 'representation', handling: 'strict', async: false, dryRun: false };
  if (header === undefined) return found;
  for (const preference of header.split(/[,;]/)) {
    const [name, value] = preference.trim().replaceAll('"', '').split('=', 2);
    if (name === 'return' && (value === 'minimal' || value === 'representation' || value === 'OperationOutcome'))
      found.return = value;
    if (name === 'respond-async') found.async = true;
    if (name === 'dry-run') found.dryRun = true;
    if (name === 'handling' && (value === 'strict' || value === 'lenient')) found.handling = value;
  }
  return found;
}

/** The resource that a write left behind. */
export function writtenBody(write: Write, written: Written): Uint8Array | undefined {
  return write.body === null ? undefined : stamped(write.body, write.stampAt, written.version, written.lastUpdated);
}

/** What the client gets of a resource under its `Prefer: return=…`. */
export function preferredBody(
  body: Uint8Array | undefined,
  sentence: string,
  request: Pick<FhirRequest, 'header'>,
): Uint8Array | undefined {
  switch (preferences(request.header('prefer')).return) {
    case 'minimal':
      return undefined;
    case 'representation':
      return body;
    case 'OperationOutcome': {
      const issue: Issue = { severity: 'information', code: 'informational', diagnostics: sentence };
      return json(operationOutcome([issue]));
    }
  }
}

/** 200 with a stored version. */
export function rowAnswer(row: Row & { body: Uint8Array }, interaction: string): Answer {
  return { status: 200, headers: versionHeaders(row), body: row.body, interaction };
}

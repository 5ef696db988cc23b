// Content negotiation: which representations may come in and which one goes out.
// https://hl7.org/fhir/R4/http.html#mime-type, https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1
import { FhirError } from '../base/outcome.ts';

export const fhirJson = 'application/fhir+json';
export const form = 'application/x-www-form-urlencoded';
const jsonPatch = 'application/json-patch+json';
const jsonTypes: readonly string[] = [fhirJson, 'application/json', 'text/json'];
const versions: readonly string[] = ['4.0', '4.0.1'];

const plainReply = `${fhirJson}; charset=utf-8`;
const versionedReply = `${fhirJson}; charset=utf-8; fhirVersion=4.0`;

interface MediaRange {
  /** Lower-case `type/subtype`, without parameters. */
  type: string;
  /** Lower-case names. */
  parameters: ReadonlyMap<string, string>;
}

/** Headers are few and repeat: what was decided for one is kept, up to this many. */
const rememberedMax = 200;

/** A function that remembers its last answers by text; failures are not kept. */
function remembering(decide: (text: string) => string): (text: string) => string {
  const known = new Map<string, string>();
  return (text) => {
    let answer = known.get(text);
    if (answer === undefined) {
      answer = decide(text);
      if (known.size >= rememberedMax) known.clear();
      known.set(text, answer);
    }
    return answer;
  };
}

const typeForAccept = remembering(decideAccept);
const typeForFormat = remembering(decideFormat);

/**
 * The Content-Type to answer with. `_format` wins over Accept, as a link that a person clicks cannot set headers.
 * Throws FhirError('not-acceptable') when the client takes none of ours.
 */
export function replyContentType(accept: string | undefined, format: string | undefined): string {
  if (format !== undefined) return typeForFormat(format);
  if (accept === undefined || accept === '*/*' || accept === fhirJson) return plainReply;
  return typeForAccept(accept);
}

/** The Content-Type of an answer that could not be negotiated. */
export const defaultContentType = plainReply;

/** The value of `_format` in a query or form, undefined when absent or empty. An unescaped `+` is taken as written. */
export function formatParameter(query: string): string | undefined {
  if (!query.includes('_format')) return undefined;
  const value = new URLSearchParams(query.replaceAll('+', '%2B')).get('_format');
  return value === null || value === '' ? undefined : value;
}

function decideFormat(format: string): string {
  const range = parseMediaRange(format.replaceAll(' ', '+'));
  const known = range.type === 'json' || jsonTypes.includes(range.type);
  if (!known) throw notAcceptable(`_format=${shown(format)}`);
  return replyFor(range) ?? fail(notAcceptable(`_format=${shown(format)}`));
}

function decideAccept(accept: string): string {
  const ranges = accept
    .split(',')
    .filter((text) => text.trim() !== '')
    .map(parseMediaRange);
  if (ranges.length === 0) return plainReply;
  let best: { quality: number; reply: string } | undefined;
  for (const type of jsonTypes) {
    const range = mostSpecific(ranges, type);
    const reply = range === undefined ? undefined : replyFor(range);
    const quality = range === undefined ? 0 : qualityOf(range);
    if (reply !== undefined && quality > (best?.quality ?? 0)) best = { quality, reply };
  }
  return best?.reply ?? fail(notAcceptable(`Accept: ${shown(accept)}`));
}

/** `application/fhir+json` before `application/*` before any type; among equals the one with a version that we have. */
function mostSpecific(ranges: readonly MediaRange[], type: string): MediaRange | undefined {
  const wildcard = `${type.slice(0, type.indexOf('/'))}/*`;
  for (const pattern of [type, wildcard, '*/*']) {
    const fitting = ranges.filter((range) => range.type === pattern);
    const found = fitting.find((range) => replyFor(range) !== undefined) ?? fitting[0];
    if (found !== undefined) return found;
  }
  return undefined;
}

function qualityOf(range: MediaRange): number {
  const quality = Number(range.parameters.get('q') ?? '1');
  return quality >= 0 && quality <= 1 ? quality : 0;
}

/** undefined when another FHIR version is asked for. */
function replyFor(range: MediaRange): string | undefined {
  const version = range.parameters.get('fhirversion');
  if (version === undefined) return plainReply;
  return versions.includes(version) ? versionedReply : undefined;
}

function parseMediaRange(text: string): MediaRange {
  const [type = '', ...rest] = text.split(';');
  const parameters = new Map<string, string>();
  for (const part of rest) {
    const at = part.indexOf('=');
    if (at < 0) continue;
    const value = part
      .slice(at + 1)
      .trim()
      .replace(/^"(.*)"$/, '$1');
    parameters.set(part.slice(0, at).trim().toLowerCase(), value);
  }
  return { type: type.trim().toLowerCase(), parameters };
}

/**
 * Checks the Content-Type of a body before it is read, and hands back its media type. A form is for POST `_search`
 * alone, a JSON Patch for PATCH. Throws FhirError('unsupported-media-type').
 */
export function requestMediaType(contentType: string | undefined, use: { method: string; isSearch: boolean }): string {
  const accepted = acceptedTypes(use);
  if (contentType === undefined || contentType.trim() === '') {
    throw new FhirError('unsupported-media-type', `A body needs a Content-Type; accepted: ${accepted.join(', ')}`);
  }
  const range = parseMediaRange(contentType);
  if (!accepted.includes(range.type)) {
    throw new FhirError(
      'unsupported-media-type',
      `Content-Type ${shown(contentType)} is not accepted here; accepted: ${accepted.join(', ')}`,
    );
  }
  const charset = range.parameters.get('charset')?.toLowerCase() ?? 'utf-8';
  if (charset !== 'utf-8' && charset !== 'utf8') {
    throw new FhirError('unsupported-media-type', `charset ${shown(charset)} is not accepted; accepted: utf-8`);
  }
  const version = range.parameters.get('fhirversion');
  if (version !== undefined && !versions.includes(version)) {
    throw new FhirError('unsupported-media-type', `fhirVersion ${shown(version)} is not accepted; accepted: 4.0`);
  }
  return range.type;
}

function acceptedTypes({ method, isSearch }: { method: string; isSearch: boolean }): readonly string[] {
  if (isSearch) return [form];
  return method === 'PATCH' ? [jsonPatch, ...jsonTypes] : jsonTypes;
}

function notAcceptable(asked: string): FhirError {
  return new FhirError(
    'not-acceptable',
    `${asked} cannot be answered; accepted: ${jsonTypes.join(', ')} (_format=json), fhirVersion 4.0`,
  );
}

function fail(error: FhirError): never {
  throw error;
}

/** A header value as an outcome may quote it: printable and short. */
function shown(text: string): string {
  const printable = text.replace(/[^\x20-\x7e]/g, '?');
  return `'${printable.length > 80 ? `${printable.slice(0, 80)}…` : printable}'`;
}

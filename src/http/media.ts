// Content negotiation: which representations may come in and which one goes out.
// https://hl7.org/fhir/R4/http.html#mime-type, https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1
import { FhirError } from '../base/outcome.ts';

export const fhirJson = 'application/fhir+json';
export const fhirXml = 'application/fhir+xml';
export const form = 'application/x-www-form-urlencoded';
const jsonPatch = 'application/json-patch+json';
const graphql = 'application/graphql';
export const jsonTypes: readonly string[] = [fhirJson, 'application/json', 'text/json'];
export const xmlTypes: readonly string[] = [fhirXml, 'application/xml', 'text/xml'];
const resourceTypes = [...jsonTypes, ...xmlTypes];
const versions: readonly string[] = ['4.0', '4.0.1'];

/** What operations may answer in besides resources; whether one does is for its answer to say. */
const dataTypes: ReadonlySet<string> = new Set([
  'csv',
  'text/csv',
  'ndjson',
  'application/ndjson',
  'application/x-ndjson',
  'application/fhir+ndjson',
  'application/graphql-response+json',
]);

interface Format {
  /** Media types by which it is asked for. */
  types: readonly string[];
  /** Its name in `_format`. */
  short: string;
  plain: string;
  versioned: string;
}

const formatOf = (type: string, types: readonly string[], short: string): Format => ({
  types,
  short,
  plain: `${type}; charset=utf-8`,
  versioned: `${type}; charset=utf-8; fhirVersion=4.0`,
});
const json = formatOf(fhirJson, jsonTypes, 'json');
const xml = formatOf(fhirXml, xmlTypes, 'xml');
/** In the order of our own preference. */
const formats: readonly Format[] = [json, xml];

export interface MediaRange {
  /** Lower-case `type/subtype`, without parameters. */
  type: string;
  /** Lower-case names. */
  parameters: ReadonlyMap<string, string>;
}

/** Headers are few and repeat: what was decided for one is kept, up to this many. */
const rememberedMax = 200;

/** A function that remembers its last answers by text; failures are not kept. */
export function remembering<T>(decide: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>();
  return (text) => {
    const answer = known.get(text);
    if (answer !== undefined || known.has(text)) return answer as T;
    const decided = decide(text);
    if (known.size >= rememberedMax) known.clear();
    known.set(text, decided);
    return decided;
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
  if (accept === undefined || accept === '*/*' || accept === fhirJson) return json.plain;
  return typeForAccept(accept);
}

/** True when an operation may have what is asked for, although no resource is sent in it. */
export function mayBeData(accept: string | undefined, format: string | undefined): boolean {
  return mediaRanges((format ?? accept ?? '').replaceAll(' ', '+')).some(({ type }) => dataTypes.has(type));
}

/** The Content-Type of an answer that could not be negotiated. */
export const defaultContentType = json.plain;

export function isXml(contentType: string | undefined): boolean {
  return contentType === xml.plain || contentType === xml.versioned;
}

/**
 * The value of a parameter that is for the edge alone, `_format` or `_pretty`, in a query or form; undefined when absent
 * or empty. An unescaped `+` is taken as written.
 */
export function edgeParameter(query: string, name: '_format' | '_pretty'): string | undefined {
  if (!query.includes(name)) return undefined;
  const value = new URLSearchParams(query.replaceAll('+', '%2B')).get(name);
  return value === null || value === '' ? undefined : value;
}

function decideFormat(text: string): string {
  const range = parseMediaRange(text.replaceAll(' ', '+'));
  const format = formats.find(({ short, types }) => range.type === short || types.includes(range.type));
  const reply = format === undefined ? undefined : replyFor(format, range);
  return reply ?? fail(notAcceptable(`_format=${shown(text)}`));
}

function decideAccept(accept: string): string {
  const ranges = mediaRanges(accept);
  if (ranges.length === 0) return json.plain;
  const offers = formats.flatMap((format) => offersOf(format, ranges));
  const [best] = offers.sort((one, other) => other.quality - one.quality || other.specificity - one.specificity);
  return best?.reply ?? fail(notAcceptable(`Accept: ${shown(accept)}`));
}

/** A Content-Type that the client takes, how much it wants it, and how closely it named it. */
interface Offer {
  reply: string;
  quality: number;
  specificity: number;
}

function offersOf(format: Format, ranges: readonly MediaRange[]): Offer[] {
  const [sent] = format.types;
  if (ranges.some((range) => range.type === sent && qualityOf(range) === 0)) return [];
  // A browser that asks for a page names XML as one of its forms, and shows JSON just as well.
  const types = format === xml && isPageLoad(ranges) ? [fhirXml] : format.types;
  return types.flatMap((type) => {
    const offer = offerOf(format, type, ranges);
    return offer === undefined || offer.quality === 0 ? [] : [offer];
  });
}

/** True for the Accept header of a browser that follows a link. */
export function isPageLoad(ranges: readonly MediaRange[]): boolean {
  return ranges.some(({ type }) => type === 'text/html' || type === 'application/xhtml+xml');
}

/** `application/fhir+json` before `application/*` before any type; among equals the one with a version that we have. */
function offerOf(format: Format, type: string, ranges: readonly MediaRange[]): Offer | undefined {
  const patterns = [type, `${type.slice(0, type.indexOf('/'))}/*`, '*/*'];
  for (const [at, pattern] of patterns.entries()) {
    const fitting = ranges.filter((range) => range.type === pattern);
    const range = fitting.find((one) => replyFor(format, one) !== undefined) ?? fitting[0];
    if (range === undefined) continue;
    const reply = replyFor(format, range);
    return reply === undefined ? undefined : { reply, quality: qualityOf(range), specificity: patterns.length - at };
  }
  return undefined;
}

/** The weight of a range of Accept or Accept-Encoding, from 0 to 1. */
export function qualityOf({ parameters }: MediaRange): number {
  const quality = Number(parameters.get('q') ?? '1');
  return quality >= 0 && quality <= 1 ? quality : 0;
}

/** undefined when another FHIR version is asked for. */
function replyFor(format: Format, range: MediaRange): string | undefined {
  const version = range.parameters.get('fhirversion');
  if (version === undefined) return format.plain;
  return versions.includes(version) ? format.versioned : undefined;
}

/** The ranges of an Accept header, in its order. */
export function mediaRanges(header: string): MediaRange[] {
  return header
    .split(',')
    .filter((text) => text.trim() !== '')
    .map(parseMediaRange);
}

export function parseMediaRange(text: string): MediaRange {
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

/** What a body is for, as far as that decides what it may be. */
export type BodyUse = 'resource' | 'bundle' | 'search' | 'patch' | 'graphql' | 'binary';

/** `path` is relative to the base: '' for the base itself. */
export function bodyUse(method: string, path: string): BodyUse {
  if (path.endsWith('_search')) return 'search';
  if (path.endsWith('$graphql')) return 'graphql';
  if (method === 'PATCH') return 'patch';
  if (path === '') return 'bundle';
  const isBinary = path === 'Binary' || (method === 'PUT' && /^Binary\/[^/]+$/.test(path));
  return isBinary ? 'binary' : 'resource';
}

/**
 * Checks the Content-Type of a body before it is read, and hands back its media type. A form is for POST `_search`
 * alone (a page elsewhere can make a browser send one), a JSON Patch for PATCH, and a Binary may be anything.
 * Throws FhirError('unsupported-media-type').
 */
export function requestMediaType(contentType: string | undefined, use: BodyUse): string {
  const accepted = acceptedTypes[use];
  if (contentType === undefined || contentType.trim() === '') {
    throw new FhirError('unsupported-media-type', `A body needs a Content-Type; accepted: ${accepted.join(', ')}`);
  }
  const range = parseMediaRange(contentType);
  if (use === 'binary' && !resourceTypes.includes(range.type) && isMediaType(range.type)) return range.type;
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

const acceptedTypes: Readonly<Record<BodyUse, readonly string[]>> = {
  resource: resourceTypes,
  bundle: resourceTypes,
  search: [form],
  patch: [jsonPatch, ...resourceTypes],
  graphql: [graphql, ...resourceTypes],
  binary: [...resourceTypes, 'any other media type for the content itself'],
};

/** Of type and subtype, in the characters of RFC 6838. */
export function isMediaType(text: string): boolean {
  return /^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$/i.test(text);
}

function notAcceptable(asked: string): FhirError {
  return new FhirError(
    'not-acceptable',
    `${asked} cannot be answered; accepted: ${resourceTypes.join(', ')} (_format=json, _format=xml), fhirVersion 4.0`,
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

// Binary in its native form: the content itself, whatever it is, in place of a resource around it in base64.
// https://hl7.org/fhir/R4/binary.html#rest
import { limits } from '../base/limits.ts';
import { FhirError } from '../base/outcome.ts';
import type { Answer, FhirRequest } from '../fhir/interaction.ts';
import { memberSpans, parseJson } from '../model/json.ts';
import {
  fhirJson,
  fhirXml,
  isMediaType,
  isPageLoad,
  jsonTypes,
  mediaRanges,
  parseMediaRange,
  qualityOf,
  remembering,
  xmlTypes,
} from './media.ts';

/** Base64 makes four bytes of three; the resource around them is to fit its own bound, and be read and sent again. */
const contentBytesMax = Math.floor(((limits.resourceBytesMax - 4096) * 3) / 4);

/**
 * What may come out of a read of a Binary: 'content' always, or only when it is of one of these types, which may end in
 * `/*`; undefined for the resource.
 */
export type ContentWish = 'content' | readonly string[] | undefined;

/** True for a read or vread of a Binary. */
export function isBinaryRead({ method, path }: Pick<FhirRequest, 'method' | 'path'>): boolean {
  if (!path.startsWith('Binary/') || (method !== 'GET' && method !== 'HEAD')) return false;
  return /^Binary\/[^/$_][^/]*(?:\/_history\/[^/]+)?$/.test(path);
}

/**
 * "When a read request is made for the binary resource that doesn't explicitly specify the FHIR content types, then the
 * content should be returned"; "when a client requests a binary resource using a generic content type (application/xml,
 * text/xml, or application/json), the server SHOULD return the content directly if the content-type matches".
 */
export function contentWish(accept: string | undefined, format: string | undefined): ContentWish {
  if (format !== undefined) return undefined;
  return accept === undefined ? 'content' : wishForAccept(accept);
}

const wishForAccept = remembering((accept: string): ContentWish => {
  const ranges = mediaRanges(accept).filter((range) => qualityOf(range) > 0);
  const types = ranges.map(({ type }) => type);
  if (types.includes(fhirJson) || types.includes(fhirXml)) return undefined;
  const isGeneric = types.some((type) => jsonTypes.includes(type) || xmlTypes.includes(type));
  return isGeneric && !isPageLoad(ranges) ? types.filter((type) => type !== '*/*') : 'content';
});

/** The content of the Binary in an answer, or part of it; undefined when it is not of a type that was wished for. */
export function contentAnswer(
  answer: Answer & { body: Uint8Array },
  wish: NonNullable<ContentWish>,
  request: Pick<FhirRequest, 'method' | 'header'>,
): Answer | undefined {
  const members = memberSpans(answer.body);
  const text = (name: string): string | undefined => {
    const span = members.get(name);
    const value: unknown =
      span === undefined ? undefined : JSON.parse(utf8(answer.body, span.valueStart, span.valueEnd));
    return typeof value === 'string' ? value : undefined;
  };
  const type = contentType(text('contentType'));
  if (wish !== 'content' && !wish.some((one) => isOfType(type, one))) return undefined;
  const content = Buffer.from(text('data') ?? '', 'base64');
  const headers = {
    ...answer.headers,
    ...(answer.headers.ETag === undefined ? {} : { ETag: strong(answer.headers.ETag) }),
    ...contextHeader(answer.body, members.get('securityContext')),
    ...displayHeaders(type),
    'Content-Type': type,
    'Accept-Ranges': 'bytes',
  };
  return partOf({ ...answer, headers, body: content }, content, request);
}

/** The one version of the content, byte for byte, so that parts of it may be put together: a strong entity tag. */
const strong = (etag: string): string => etag.replace(/^W\//, '');

/** What a header can carry as Content-Type; anything else is bytes. */
function contentType(stored: string | undefined): string {
  const text = stored ?? '';
  return isMediaType(parseMediaRange(text).type) && /^[\x20-\x7e]{1,255}$/.test(text)
    ? text
    : 'application/octet-stream';
}

function isOfType(contentType: string, wished: string): boolean {
  const { type } = parseMediaRange(contentType);
  return wished.endsWith('/*') ? type.startsWith(wished.slice(0, -1)) : type === wished;
}

function contextHeader(
  body: Uint8Array,
  span: { valueStart: number; valueEnd: number } | undefined,
): Record<string, string> {
  const value: unknown = span === undefined ? undefined : JSON.parse(utf8(body, span.valueStart, span.valueEnd));
  const reference = typeof value === 'object' && value !== null && 'reference' in value ? value.reference : undefined;
  return typeof reference === 'string' && /^[\x21-\x7e]{1,1000}$/.test(reference)
    ? { 'X-Security-Context': reference }
    : {};
}

/** Content that a browser shows without running anything of it in this server's name. */
const shownInline = /^(?:image\/(?:png|jpeg|gif|webp|bmp|tiff|avif)|audio\/|video\/|text\/plain\b|application\/pdf\b)/i;

/** In a frame of a page of this server a document may be shown; it can do nothing there. */
const sandbox = "sandbox; default-src 'none'; base-uri 'none'; frame-ancestors 'self'";
/** Browsers refuse to show a PDF in a sandbox; its scripts run in the viewer, not in the name of this server. */
const viewer =
  "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'self'";

function displayHeaders(type: string): Record<string, string> {
  return {
    'Content-Disposition': shownInline.test(type) ? 'inline' : 'attachment',
    'Content-Security-Policy': /^application\/pdf\b/i.test(type) ? viewer : sandbox,
  };
}

/** The part that a Range header asks for, where it asks for one. https://www.rfc-editor.org/rfc/rfc9110#section-14 */
function partOf(answer: Answer, content: Buffer, request: Pick<FhirRequest, 'method' | 'header'>): Answer {
  const range = request.method === 'GET' ? request.header('range') : undefined;
  if (range === undefined || !isSameVersion(request.header('if-range'), answer.headers)) return answer;
  const part = requestedPart(range, content.length);
  if (part === undefined) return answer;
  if (part === 'none') {
    throw new FhirError('range-not-satisfiable', `The content has ${content.length} bytes; the range is beyond them.`, {
      headers: { 'Content-Range': `bytes */${content.length}` },
    });
  }
  const { first, last } = part;
  const headers = { ...answer.headers, 'Content-Range': `bytes ${first}-${last}/${content.length}` };
  return { ...answer, status: 206, headers, body: content.subarray(first, last + 1) };
}

/** If-Range: a strong entity tag or the very date; with another version the whole is sent. */
function isSameVersion(ifRange: string | undefined, headers: Answer['headers']): boolean {
  if (ifRange === undefined) return true;
  return ifRange.trim() === headers.ETag || ifRange.trim() === headers['Last-Modified'];
}

/** undefined for what is no single range of bytes, which is ignored; 'none' for one that has none of the content. */
function requestedPart(range: string, length: number): { first: number; last: number } | 'none' | undefined {
  const match = /^\s*bytes\s*=\s*(\d{0,15})\s*-\s*(\d{0,15})\s*$/i.exec(range);
  const [, from = '', to = ''] = match ?? [];
  if (from === '' && to === '') return undefined;
  if (from === '') {
    const count = Math.min(Number(to), length);
    return count === 0 ? 'none' : { first: length - count, last: length - 1 };
  }
  const first = Number(from);
  if (to !== '' && Number(to) < first) return undefined;
  if (first >= length) return 'none';
  return { first, last: to === '' ? length - 1 : Math.min(Number(to), length - 1) };
}

// ---- writing ----------------------------------------------------------------------------------------------------

/** What a browser sends to another site without asking that site first. */
const simpleTypes: readonly string[] = ['text/plain', 'multipart/form-data', 'application/x-www-form-urlencoded'];

/**
 * The Binary, as JSON, that the body of a create or update is the content of; undefined when the body is a resource.
 * "The data is accepted as is and treated as the content of a Binary, including when the content type is
 * application/fhir+xml or application/fhir+json, except for the special case where the content is actually a Binary."
 * Throws FhirError('forbidden') when a page of another site had a browser send it, 'too-large' beyond the bound.
 */
export function binaryAround(request: FhirRequest): Uint8Array | undefined {
  const header = request.header('content-type') ?? '';
  const { type } = parseMediaRange(header);
  if (isResource(type, request.body)) return undefined;
  const site = request.header('sec-fetch-site');
  if (simpleTypes.includes(type) && (site === 'cross-site' || site === 'same-site')) {
    throw new FhirError('forbidden', 'Content of this type is not taken from the pages of another site.');
  }
  if (request.body.length > contentBytesMax) {
    throw new FhirError('too-large', `The content of a Binary has at most ${contentBytesMax} bytes.`);
  }
  const id = /^Binary\/([^/]+)$/.exec(request.path)?.[1];
  const reference = request.header('x-security-context');
  const members = {
    resourceType: 'Binary',
    ...(id === undefined ? {} : { id: decodeURIComponent(id) }),
    contentType: header.trim().replace(/\s+/g, ' '),
    ...(reference === undefined ? {} : { securityContext: { reference } }),
    ...(request.body.length === 0 ? {} : { data: utf8Base64(request.body) }),
  };
  return Buffer.from(JSON.stringify(members));
}

function isResource(type: string, body: Uint8Array): boolean {
  const isJson = jsonTypes.includes(type);
  if (!isJson && !xmlTypes.includes(type)) return false;
  const found = isJson ? resourceTypeInJson(body) : rootName(body);
  // What was sent as FHIR and cannot be understood is told so, not kept.
  return found === 'Binary' || (found === undefined && (type === fhirJson || type === fhirXml));
}

function resourceTypeInJson(body: Uint8Array): string | undefined {
  try {
    const value = parseJson(body);
    const name =
      typeof value === 'object' && value !== null && 'resourceType' in value ? value.resourceType : undefined;
    return typeof name === 'string' ? name : undefined;
  } catch (error) {
    if (error instanceof FhirError) return undefined;
    throw error;
  }
}

/** What may stand before the root of an XML document is looked through this far. */
const prologCharsMax = 64 * 1024;

/** Name of the root element without its prefix; undefined where none is found. */
function rootName(body: Uint8Array): string | undefined {
  const text = utf8(body, 0, Math.min(body.length, prologCharsMax)).replace(/^\ufeff/, '');
  let at = 0;
  for (;;) {
    at = text.indexOf('<', at);
    if (at < 0) return undefined;
    const end = text.startsWith('<!--', at) ? '-->' : text.startsWith('<?', at) ? '?>' : undefined;
    if (end === undefined) return /^<(?:[\w.-]+:)?([\w.-]+)/.exec(text.slice(at, at + 200))?.[1];
    const close = text.indexOf(end, at);
    if (close < 0) return undefined;
    at = close;
  }
}

function utf8(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8', start, end);
}

function utf8Base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

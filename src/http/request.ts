// One HTTP request to the FHIR base as the engine sees it, and its life: when it began, whether it was answered, whether
// the client is still there.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { limits } from '../base/limits.ts';
import { FhirError } from '../base/outcome.ts';
import type { FhirRequest } from '../fhir/interaction.ts';
import type { ContentWish } from './binary.ts';
import type { HeaderList } from './cors.ts';

const nothing = new Uint8Array(0);
const methods: readonly string[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
const allowedMethods = methods.join(', ');

export class HttpRequest implements FhirRequest {
  readonly id: string;
  readonly startedAt: number;
  readonly raw: IncomingMessage;
  readonly response: ServerResponse;
  method: FhirRequest['method'] = 'GET';
  path = '';
  query = '';
  body: Uint8Array = nothing;
  /** Bytes of the body as it came: what it holds of the budget. */
  bodyBytes = 0;
  /** Content-Type of the answer, once negotiated. */
  replyType: string | undefined;
  /** `_pretty=true`. */
  isPretty = false;
  /** What lets a page of another origin read the answer. */
  cors: HeaderList = [];
  /** Its answer tells browsers to come by TLS alone. */
  hasHsts = false;
  /** The client's address, where it is not the peer's. */
  address: string | undefined;
  /** The client whose slot this request has. */
  slotOf: string | undefined;
  /** It came with a token that holds. */
  hasToken = false;
  /** For a read of a Binary: whether its content is asked for in place of the resource. */
  contentWish: ContentWish;
  isAnswered = false;
  /** Made only when somebody asks for the signal: most reads are over before it would matter. */
  #controller: AbortController | undefined;
  #isOver = false;
  /** Content-Type of the body that took the place of the one that came. */
  #replacedType: string | undefined;

  constructor(options: { id: string; startedAt: number; raw: IncomingMessage; response: ServerResponse }) {
    this.id = options.id;
    this.startedAt = options.startedAt;
    this.raw = options.raw;
    this.response = options.response;
  }

  header(name: string): string | undefined {
    const value = this.raw.headers[name];
    if (this.#replacedType !== undefined && name === 'content-type') return this.#replacedType;
    return Array.isArray(value) ? value.join(', ') : value;
  }

  /** The same body in another form, which the engine is to see. */
  replaceBody(body: Uint8Array, contentType: string): void {
    this.body = body;
    this.#replacedType = contentType;
  }

  get origin(): { address: string; requestId: string } {
    return { address: this.address ?? this.raw.socket.remoteAddress ?? '', requestId: this.id };
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      this.#controller = controller;
      if (this.#isOver || this.isGone) controller.abort();
      else this.response.once('close', () => this.abort());
    }
    return this.#controller.signal;
  }

  /** The request's time is over, or nobody waits for its answer any more. */
  abort(): void {
    this.#isOver = true;
    this.#controller?.abort();
  }

  /** True when the client hung up before it had its answer. */
  get isGone(): boolean {
    return this.response.destroyed && !this.response.writableFinished;
  }
}

/**
 * Reads method and address into the request. `base` is the path that the FHIR base is served at, '/fhir'.
 * Throws FhirError for an address that no FHIR client means: malformed escapes, dot segments, empty segments.
 */
export function parseAddress(request: HttpRequest, base: string): void {
  const { method = '', url = '' } = request.raw;
  if (url.length > limits.urlBytesMax) {
    throw new FhirError('uri-too-long', `The address is longer than ${limits.urlBytesMax} bytes; use POST _search`);
  }
  if (!isMethod(method)) {
    throw new FhirError('method-not-allowed', `This method is not offered here; accepted: ${allowedMethods}.`, {
      headers: { Allow: allowedMethods },
    });
  }
  request.method = method;
  const queryAt = url.indexOf('?');
  const whole = queryAt < 0 ? url : url.slice(0, queryAt);
  if (!isUnder(base, whole)) {
    throw new FhirError(
      'invalid',
      `The address must begin with ${base}, not with a scheme, host or escaped form of it`,
    );
  }
  const end = whole.endsWith('/') ? whole.length - 1 : whole.length;
  const path = whole.slice(base.length + 1, end);
  checkPath(path);
  const query = queryAt < 0 ? '' : url.slice(queryAt + 1);
  checkEscapes(query, 'query');
  request.path = path;
  request.query = query;
}

function isMethod(method: string): method is FhirRequest['method'] {
  return methods.includes(method);
}

/** True for the base itself and what is below it. */
export function isUnder(base: string, path: string): boolean {
  return path.startsWith(base) && (path.length === base.length || path.charCodeAt(base.length) === 47);
}

const plainPath = /^[A-Za-z0-9$_-][A-Za-z0-9$_.-]*(?:\/[A-Za-z0-9$_-][A-Za-z0-9$_.-]*)*$/;

function checkPath(path: string): void {
  if (path === '' || plainPath.test(path)) return;
  for (const segment of path.split('/')) {
    const text = checkEscapes(segment, 'path');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
    if (text === '' || text === '.' || text === '..' || /[\u0000-\u001f\u007f/\\]/.test(text)) {
      throw new FhirError('invalid', 'The path has an empty segment, a dot segment or a control character');
    }
  }
}

/** The decoded text. Throws when a percent sign is not followed by the escape of a UTF-8 sequence. */
export function checkEscapes(text: string, where: 'path' | 'query' | 'form'): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    throw new FhirError('invalid', `The ${where} has a malformed percent-encoding; a percent sign itself is %25`);
  }
}

/** The header's value when it is short visible ASCII, otherwise a fresh id. */
export function requestId(raw: IncomingMessage, newId: () => string): string {
  const given = raw.headers['x-request-id'];
  return typeof given === 'string' && /^[\x21-\x7e]{1,64}$/.test(given) ? given : newId();
}

/**
 * What the interaction of a request would have been, judged by its shape alone: the name under which a request that
 * failed before the engine could say is logged and counted. Never contains anything from the request.
 */
export function interactionByShape(method: string, path: string): string {
  const segments = path === '' ? [] : path.split('/');
  const last = segments.at(-1) ?? '';
  if (last.startsWith('$')) return 'operation';
  if (last === '_search') return segments.length === 1 ? 'search-system' : 'search-type';
  if (last === 'metadata') return 'capabilities';
  if (segments.includes('_history')) return segments.length === 4 ? 'vread' : 'history';
  const byLength = shapes[method === 'HEAD' ? 'GET' : method];
  return byLength?.[segments.length] ?? 'unknown';
}

const shapes: Readonly<Record<string, readonly string[]>> = {
  GET: ['search-system', 'search-type', 'read', 'search-compartment'],
  POST: ['batch-or-transaction', 'create'],
  PUT: ['unknown', 'update', 'update'],
  PATCH: ['unknown', 'patch', 'patch'],
  DELETE: ['delete', 'delete', 'delete'],
};

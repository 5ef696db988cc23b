// Which pages of other origins may call: those with a token in their hands. Never with cookies.
// https://fetch.spec.whatwg.org/#http-cors-protocol, https://hl7.org/fhir/smart-app-launch/app-launch.html#considerations-for-cross-origin-resource-sharing-cors-support
import type { IncomingMessage } from 'node:http';

/** Origins such as `https://app.example`; `any` is safe where nothing but a token in a header opens a door. */
export type CorsOrigins = 'any' | readonly string[];

const exposed = [
  'Accept-Ranges',
  'Content-Disposition',
  'Content-Location',
  'Content-Range',
  'ETag',
  'Last-Modified',
  'Location',
  'Preference-Applied',
  'Retry-After',
  'WWW-Authenticate',
  'X-Progress',
  'X-Request-Id',
  'X-Security-Context',
].join(', ');

const accepted = [
  'Accept',
  'Authorization',
  'Cache-Control',
  'Content-Type',
  'DPoP',
  'If-Match',
  'If-Modified-Since',
  'If-None-Exist',
  'If-None-Match',
  'If-Range',
  'Prefer',
  'Range',
  'X-Provenance',
  'X-Request-Id',
  'X-Requested-With',
  'X-Security-Context',
].join(', ');

/** Seconds for which a browser need not ask again; browsers cut it to two hours or less. */
const askedAgainS = '7200';

export type HeaderList = readonly (readonly [name: string, value: string])[];

const none: HeaderList = [];

export class Cors {
  readonly #origins: CorsOrigins;

  constructor(origins: CorsOrigins) {
    this.#origins = origins;
  }

  /** Headers of an answer; none for a request that names no origin, or one that may not read it. */
  headersFor(raw: IncomingMessage): HeaderList {
    const origin = this.#allowed(raw);
    return origin === undefined ? none : [...origin, ['Access-Control-Expose-Headers', exposed]];
  }

  /** Headers of the answer to a preflight request; undefined when this is none. */
  preflight(raw: IncomingMessage, methods: readonly string[]): HeaderList | undefined {
    if (raw.method !== 'OPTIONS' || raw.headers['access-control-request-method'] === undefined) return undefined;
    const origin = this.#allowed(raw);
    if (origin === undefined) return none;
    return [
      ...origin,
      ['Access-Control-Allow-Methods', methods.join(', ')],
      ['Access-Control-Allow-Headers', accepted],
      ['Access-Control-Max-Age', askedAgainS],
    ];
  }

  #allowed(raw: IncomingMessage): HeaderList | undefined {
    const { origin } = raw.headers;
    if (origin === undefined) return undefined;
    if (this.#origins === 'any') return [['Access-Control-Allow-Origin', '*']];
    if (!this.#origins.includes(origin)) return undefined;
    return [
      ['Access-Control-Allow-Origin', origin],
      ['Vary', 'Origin'],
    ];
  }
}

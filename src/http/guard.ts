// Before the FHIR base while access control is on: who asks, found out from the token before the body is read, and whether
// they have asked too often. https://www.rfc-editor.org/rfc/rfc6750
import type { IncomingMessage } from 'node:http';
import type { Authentication, AuthRoute, Proof } from '../auth/exchange.ts';
import { limits } from '../base/limits.ts';
import { FhirError } from '../base/outcome.ts';
import { publicCaller } from '../fhir/access/callers.ts';
import type { SecurityEvent } from '../fhir/audit/security-event.ts';
import type { Caller, Principal } from '../fhir/caller.ts';
import { storeFailure } from '../fhir/store-failure.ts';
import { Cors, type CorsOrigins, type HeaderList } from './cors.ts';
import { asFhirError } from './errors.ts';
import { Peers } from './peers.ts';
import { addressKey, Slots, TokenBuckets } from './rate.ts';
import { type Refusal, Refusals } from './refusals.ts';

/** How the server is guarded. */
export interface Guarded {
  kind: 'guarded';
  authentication: Authentication<Principal>;
  callerOf(principal: Principal): Caller | Promise<Caller>;
  /** Addresses and networks of the proxies whose X-Forwarded-For and X-Forwarded-Proto count. */
  trustedProxies: readonly string[];
  corsOrigins: CorsOrigins;
  /** Serve also those whose requests could be read on the way. */
  acceptsPlainHttp: boolean;
  /** Hold everybody to the rates of base/limits.ts. */
  limitsRates: boolean;
  /** Puts what is refused on record; absent: nobody keeps one. */
  record?: (event: SecurityEvent) => Promise<void>;
  /** Addresses and networks that /metrics answers. */
  metricsFrom: readonly string[];
}

/** Off: whoever asks is `caller`. */
export type Access = { kind: 'open'; caller: Caller } | Guarded;

/** What is known of a request to the FHIR base before it is looked at. */
export interface Entrance {
  /** Who asks, or why there is no answer. */
  caller: Caller | FhirError;
  /** The client's address; undefined: the peer's. */
  address?: string;
  cors: HeaderList;
}

const fhirMethods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];

/** Of RFC 6750 and RFC 9449; longer ones are no tokens of anybody's. */
const bearer = /^(?:Bearer|DPoP) +[A-Za-z0-9._~+/-]{1,8192}=*$/i;

export interface GuardOptions {
  access: Guarded;
  /** Path that the FHIR base is served at. */
  base: string;
  /** Milliseconds. */
  now: () => number;
  /** Told of refusals that could not be put on record. */
  onFault(error: unknown): void;
}

export class Guard {
  readonly peers: Peers;
  readonly cors: Cors;
  /** What was refused, until it is on record. */
  readonly refusals: Refusals;
  /** By client. Unlimited ones have none. */
  readonly slots: Slots | undefined;
  readonly #access: Guarded;
  readonly #base: string;
  readonly #perClient: TokenBuckets;
  readonly #perUser: TokenBuckets;
  readonly #perStranger: TokenBuckets;

  constructor({ access, base, now, onFault }: GuardOptions) {
    this.#access = access;
    this.#base = base;
    this.peers = new Peers(access.trustedProxies);
    this.cors = new Cors(access.corsOrigins);
    this.refusals = new Refusals({ record: access.record ?? (async () => {}), now, onFault });
    const onFull = (client: string) => this.refusals.note({ kind: 'throttled', client });
    this.slots = access.limitsRates ? new Slots(limits.clientRequestsAtOnceMax, onFull) : undefined;
    this.#perClient = new TokenBuckets(
      { perSecond: limits.clientRequestsPerS, burst: limits.clientRequestsBurst },
      now,
    );
    this.#perUser = new TokenBuckets({ perSecond: limits.userRequestsPerS, burst: limits.userRequestsBurst }, now);
    this.#perStranger = new TokenBuckets(
      { perSecond: limits.strangerRequestsPerS, burst: limits.strangerRequestsBurst },
      now,
    );
  }

  get limitsRates(): boolean {
    return this.#access.limitsRates;
  }

  get routes(): readonly AuthRoute[] {
    return this.#access.authentication.routes;
  }

  /** Headers of the answer to a preflight request, which needs no token; undefined when this is none. */
  preflight(raw: IncomingMessage): HeaderList | undefined {
    return this.cors.preflight(raw, fhirMethods);
  }

  /** Who asks. Never rejects: a refusal is what the entrance holds. */
  async admit(raw: IncomingMessage): Promise<Entrance> {
    const address = this.peers.addressOf(raw);
    const cors = this.cors.headersFor(raw);
    try {
      return { caller: await this.#caller(raw, address), address, cors };
    } catch (error) {
      return { caller: this.#refusal(error, raw, address), address, cors };
    }
  }

  /** For a request that came by no route, and so was not admitted. */
  stranger(raw: IncomingMessage): Entrance {
    const address = this.peers.addressOf(raw);
    return { caller: this.#refusal(noToken(), raw, address), address, cors: this.cors.headersFor(raw) };
  }

  /** Throws FhirError('forbidden') where a token could be read on the way. */
  checkPrivacy(raw: IncomingMessage): void {
    if (this.#access.acceptsPlainHttp || this.peers.isPrivate(raw)) return;
    throw new FhirError(
      'forbidden',
      'Only https is served here; a proxy before this server is to send X-Forwarded-Proto: https.',
    );
  }

  async #caller(raw: IncomingMessage, address: string): Promise<Caller> {
    this.checkPrivacy(raw);
    if (this.#isPublic(raw)) {
      this.#countStranger(address);
      return publicCaller;
    }
    const { authorization } = raw.headers;
    if (authorization === undefined || !bearer.test(authorization)) throw noToken(authorization);
    const principal = await this.#access.authentication.authenticate(authorization, address, this.#proofIn(raw));
    this.#countPrincipal(principal);
    return this.#access.callerOf(principal);
  }

  #proofIn({ headers, method = '', url = '' }: IncomingMessage): Proof | undefined {
    const { dpop } = headers;
    return typeof dpop === 'string' ? { dpop, method, path: url.slice(this.#base.length) } : undefined;
  }

  /** The CapabilityStatement, by its very address. */
  #isPublic({ method, url = '' }: IncomingMessage): boolean {
    if (method !== 'GET' && method !== 'HEAD') return false;
    const path = url.split('?', 1)[0];
    return path === `${this.#base}/metadata` || path === `${this.#base}/metadata/`;
  }

  #refusal(error: unknown, raw: IncomingMessage, address: string): FhirError {
    const told = toldOf(error);
    if (told.kind === 'forbidden') this.refusals.note({ kind: 'refused', address });
    if (told.kind !== 'login') return told;
    try {
      this.#countStranger(address);
    } catch (tooMany) {
      return asFhirError(tooMany);
    }
    // A request without any token says of nobody that they tried.
    if (raw.headers.authorization !== undefined) this.refusals.note({ kind: 'token-refused', address });
    return challenged(told, raw.headers.authorization !== undefined);
  }

  #countStranger(address: string): void {
    this.#count(this.#perStranger, addressKey(address), 'without a valid token from this address', { address });
  }

  #countPrincipal({ client, user }: Principal): void {
    this.#count(this.#perClient, client, 'of this client', { client });
    if (user === undefined) return;
    this.#count(this.#perUser, user.id, 'of this person', { client, user: user.fhirUser ?? `user:${user.id}` });
  }

  #count(buckets: TokenBuckets, key: string, whose: string, who: Omit<Refusal, 'kind'>): void {
    const seconds = this.#access.limitsRates ? buckets.take(key) : 0;
    if (seconds === 0) return;
    this.refusals.note({ kind: 'throttled', ...who });
    throw tooManyRequests(`Too many requests ${whose}; try again in ${seconds} s.`, seconds);
  }
}

export function tooManyRequests(text: string, seconds: number): FhirError {
  return new FhirError('throttled', text, { headers: { 'Retry-After': String(seconds) } });
}

function noToken(authorization?: string): FhirError {
  return new FhirError(
    'login',
    authorization === undefined
      ? 'An access token is needed, in the header Authorization: Bearer …; .well-known/smart-configuration says where to get one.'
      : 'The Authorization header holds no bearer token; accepted: Bearer and the token.',
  );
}

function toldOf(error: unknown): FhirError {
  try {
    return storeFailure(error);
  } catch (fault) {
    return asFhirError(fault);
  }
}

/** "If the request lacks any authentication information, the resource server SHOULD NOT include an error code." */
function challenged(error: FhirError, hadCredentials: boolean): FhirError {
  const challenge = hadCredentials
    ? 'Bearer realm="careloom", error="invalid_token", error_description="The access token is malformed, unknown, expired or revoked"'
    : 'Bearer realm="careloom"';
  return new FhirError('login', error.issues, {
    cause: error.cause,
    headers: { 'WWW-Authenticate': challenge, ...error.headers },
  });
}

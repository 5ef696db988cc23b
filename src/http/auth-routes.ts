// Serves the routes of auth/: forms, cookies and pages for browsers, JSON for apps. Nothing of the FHIR base is used here.
// https://hl7.org/fhir/smart-app-launch/app-launch.html, https://www.rfc-editor.org/rfc/rfc6749
import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { AuthAnswer, AuthRequest, AuthRoute } from '../auth/exchange.ts';
import type { Clock } from '../base/clock.ts';
import { limits } from '../base/limits.ts';
import type { Log } from '../base/log.ts';
import { FhirError } from '../base/outcome.ts';
import { storeFailure } from '../fhir/store-failure.ts';
import { parseJson } from '../model/json.ts';
import { readCookie, setCookie } from './cookies.ts';
import { asFhirError } from './errors.ts';
import { type Guard, tooManyRequests } from './guard.ts';
import { type HasHsts, HSTS } from './hsts.ts';
import type { Metrics } from './metrics.ts';
import { addressKey, type Rate, TokenBuckets } from './rate.ts';
import { requestId } from './request.ts';

export interface AuthRoutesOptions {
  guard: Guard;
  log: Log;
  metrics: Metrics;
  clock: Clock;
  /** The FHIR base as clients know it. */
  baseUrl: string;
  hasHsts: HasHsts;
}

const formType = 'application/x-www-form-urlencoded';
const jsonType = 'application/json';

export function addAuthRoutes(server: FastifyInstance, options: AuthRoutesOptions): void {
  const { guard, clock } = options;
  const context: Context = {
    ...options,
    isSecure: options.baseUrl.startsWith('https:'),
    root: rootOf(options.baseUrl),
    buckets: bucketsByRate(clock.now),
  };
  void server.register((scope, _, done) => {
    scope.removeAllContentTypeParsers();
    for (const type of [formType, jsonType]) {
      const bounded = { parseAs: 'buffer', bodyLimit: limits.authBodyBytesMax } as const;
      scope.addContentTypeParser(type, bounded, (_request, body, parsed) => parsed(null, body));
    }
    scope.addHook('onResponse', (request, reply, next) => {
      const template = request.routeOptions.url ?? 'unknown';
      options.metrics.observe(template, reply.statusCode, reply.elapsedTime);
      options.log.request(String(reply.getHeader('X-Request-Id')), template, reply.statusCode, reply.elapsedTime);
      noteRefusal(request, reply.statusCode, guard);
      next();
    });
    for (const route of guard.routes) addRoute(scope, route, context);
    for (const [path, methods] of crossOriginMethods(guard.routes)) addPreflight(scope, path, methods, context);
    done();
  });
}

/** What failed for another reason is on record by whoever decided so. */
function noteRefusal({ raw }: FastifyRequest, status: number, guard: Guard): void {
  if (status === 429) guard.refusals.note({ kind: 'throttled', address: guard.peers.addressOf(raw) });
  if (status === 403) guard.refusals.note({ kind: 'refused', address: guard.peers.addressOf(raw) });
}

interface Context extends AuthRoutesOptions {
  /** Browsers come over https. */
  isSecure: boolean;
  /** Path at which browsers see the server's root, without a slash at the end. */
  root: string;
  buckets: Readonly<Record<NonNullable<AuthRoute['rate']>, TokenBuckets>>;
}

const rates: Readonly<Record<NonNullable<AuthRoute['rate']>, Rate>> = {
  login: { perSecond: limits.loginRequestsPer15Min / 900, burst: limits.loginRequestsPer15Min },
  token: { perSecond: limits.tokenRequestsPerS, burst: limits.tokenRequestsBurst },
  register: { perSecond: limits.registrationsPerHour / 3600, burst: limits.registrationsPerHour },
  page: { perSecond: limits.authPagesPerS, burst: limits.authPagesBurst },
};

function bucketsByRate(now: () => number): Context['buckets'] {
  return {
    login: new TokenBuckets(rates.login, now),
    token: new TokenBuckets(rates.token, now),
    register: new TokenBuckets(rates.register, now),
    page: new TokenBuckets(rates.page, now),
  };
}

/** '' for https://host/fhir, '/clinic' for https://host/clinic/fhir. */
function rootOf(baseUrl: string): string {
  return new URL(baseUrl).pathname.replace(/\/[^/]*\/?$/, '');
}

function addRoute(scope: FastifyInstance, route: AuthRoute, context: Context): void {
  scope.route({
    method: route.method,
    url: route.path,
    onRequest: (request, reply, done) => {
      setSafetyHeaders(request, reply, route, context);
      try {
        context.guard.checkPrivacy(request.raw);
        checkRate(request, route, context);
        done();
      } catch (error) {
        done(error instanceof Error ? error : new Error());
      }
    },
    handler: async (request, reply) => {
      const answer = await route.handle(authRequest(request, context));
      return send(reply, answer, context);
    },
    errorHandler: (error, request, reply) => fail(error, request, reply, { route, context }),
  });
}

function setSafetyHeaders(request: FastifyRequest, reply: FastifyReply, route: AuthRoute, context: Context): void {
  reply.headers({
    'X-Request-Id': requestId(request.raw, context.clock.newId),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
    'Referrer-Policy': 'no-referrer',
    'Content-Security-Policy': contentPolicy([]),
    ...(context.hasHsts(request.raw) ? { [HSTS[0]]: HSTS[1] } : {}),
  });
  if (route.isCrossOrigin === true) {
    for (const [name, value] of context.guard.cors.headersFor(request.raw)) reply.header(name, value);
  }
}

/** `formTargets`: where the answer to a form may lead, as URLs. https://www.w3.org/TR/CSP3/#directive-form-action */
function contentPolicy(formTargets: readonly string[]): string {
  const targets = formTargets.map(cspSource).join(' ');
  return (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; " +
    `form-action 'self'${targets === '' ? '' : ` ${targets}`}; base-uri 'none'; frame-ancestors 'none'`
  );
}

/** The origin of an address, or the scheme where it has none, such as that of an app on a telephone. */
function cspSource(target: string): string {
  const { origin, protocol } = new URL(target);
  return origin === 'null' ? protocol : origin;
}

function checkRate(request: FastifyRequest, route: AuthRoute, { guard, buckets }: Context): void {
  if (route.rate === undefined || !guard.limitsRates) return;
  const seconds = buckets[route.rate].take(addressKey(guard.peers.addressOf(request.raw)));
  if (seconds > 0) throw tooManyRequests(`Too many requests from this address; try again in ${seconds} s.`, seconds);
}

function authRequest(request: FastifyRequest, { guard, isSecure, clock }: Context): AuthRequest {
  const { raw } = request;
  const [path = '', query = ''] = splitOnce(raw.url ?? '');
  const { form, json } = bodyOf(request);
  return {
    method: request.method === 'POST' ? 'POST' : 'GET',
    path,
    params: paramsOf(request),
    query: new URLSearchParams(query),
    form,
    json,
    header: (name) => {
      const value = raw.headers[name];
      return Array.isArray(value) ? value.join(', ') : value;
    },
    cookie: (name) => (mayHaveCookies(raw) ? readCookie(raw.headers.cookie, name, isSecure) : undefined),
    address: guard.peers.addressOf(raw),
    id: requestId(raw, clock.newId),
  };
}

function splitOnce(url: string): [string, string] {
  const at = url.indexOf('?');
  return at < 0 ? [url, ''] : [url.slice(0, at), url.slice(at + 1)];
}

/** Throws FhirError('invalid') for a body that is not what its Content-Type says. */
function bodyOf({ body, headers }: FastifyRequest): { form: URLSearchParams; json: unknown } {
  if (!Buffer.isBuffer(body)) return { form: new URLSearchParams(), json: undefined };
  const isForm = headers['content-type']?.toLowerCase().startsWith(formType) === true;
  if (isForm) return { form: new URLSearchParams(body.toString('utf8')), json: undefined };
  return { form: new URLSearchParams(), json: parseJson(body) };
}

function paramsOf({ params }: FastifyRequest): Record<string, string> {
  if (typeof params !== 'object' || params === null) return {};
  return Object.fromEntries(Object.entries(params).map(([name, value]) => [name, String(value)]));
}

/** A form that a page of another site sends acts in nobody's name, whatever the browser thinks of SameSite. */
function mayHaveCookies({ method, headers }: IncomingMessage): boolean {
  if (method !== 'POST') return true;
  const site = headers['sec-fetch-site'];
  return site === undefined || site === 'same-origin' || site === 'none';
}

function send(reply: FastifyReply, answer: AuthAnswer, context: Context): FastifyReply {
  const { status, headers = {}, cookies = [], body, formTargets = [] } = answer;
  reply.code(status);
  if (formTargets.length > 0) reply.header('Content-Security-Policy', contentPolicy(formTargets));
  for (const cookie of cookies) reply.header('Set-Cookie', setCookie(cookie, context));
  if (typeof body === 'object') reply.type('application/json; charset=utf-8');
  else if (body !== undefined) reply.type(`text/${isPage(body) ? 'html' : 'plain'}; charset=utf-8`);
  reply.headers(headers);
  return reply.send(typeof body === 'object' ? JSON.stringify(body) : body);
}

function isPage(body: string): boolean {
  return /^<!doctype html>/i.test(body);
}

/** Plainly: an OAuth error for what scripts call, a line of text for people. */
function fail(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  { route, context }: { route: AuthRoute; context: Context },
): void {
  const told = toldOf(error);
  if (told.status >= 500) {
    context.log.error('auth request failed', told.cause ?? error, { route: request.routeOptions.url ?? 'unknown' });
  }
  reply.code(told.status).headers(told.headers);
  const text = told.issues[0]?.diagnostics ?? '';
  if (route.isCrossOrigin === true) {
    const code = errorCode(told);
    void reply
      .type('application/json; charset=utf-8')
      .send(JSON.stringify({ error: code, error_description: text.replace(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, ' ') }));
  } else {
    void reply.type('text/plain; charset=utf-8').send(`${text}\n`);
  }
}

function errorCode({ status, kind }: FhirError): string {
  if (kind === 'throttled') return 'temporarily_unavailable';
  return status >= 500 ? 'server_error' : 'invalid_request';
}

function toldOf(error: unknown): FhirError {
  try {
    return storeFailure(error);
  } catch (fault) {
    const status = fault instanceof Error && 'statusCode' in fault ? fault.statusCode : undefined;
    if (status === 413) {
      return new FhirError('too-large', `The body is larger than ${limits.authBodyBytesMax} bytes.`);
    }
    if (status === 415) {
      return new FhirError('unsupported-media-type', `Accepted: ${formType}, and ${jsonType} where JSON is asked for.`);
    }
    return asFhirError(fault);
  }
}

/** Paths that other origins may call → their methods. */
function crossOriginMethods(routes: readonly AuthRoute[]): Map<string, string[]> {
  const methods = new Map<string, string[]>();
  for (const { path, method, isCrossOrigin } of routes) {
    if (isCrossOrigin === true) methods.set(path, [...(methods.get(path) ?? []), method]);
  }
  return methods;
}

function addPreflight(scope: FastifyInstance, url: string, methods: string[], context: Context): void {
  const { guard, clock, hasHsts } = context;
  scope.route({
    method: 'OPTIONS',
    url,
    handler: async (request, reply) => {
      reply.header('X-Request-Id', requestId(request.raw, clock.newId)).header('Allow', methods.join(', '));
      if (hasHsts(request.raw)) reply.header(...HSTS);
      for (const [name, value] of guard.cors.preflight(request.raw, methods) ?? []) reply.header(name, value);
      return reply.code(204).send();
    },
  });
}

// The HTTP edge: one Fastify server with one handler for the FHIR base and a few pages beside it.
// https://hl7.org/fhir/R4/http.html
import type { IncomingMessage, ServerOptions, ServerResponse } from 'node:http';
import { Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import helmet from '@fastify/helmet';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Clock } from '../base/clock.ts';
import { limits } from '../base/limits.ts';
import type { Log } from '../base/log.ts';
import { FhirError } from '../base/outcome.ts';
import type { Engine } from '../fhir/interaction.ts';
import type { Definitions } from '../model/definitions.ts';
import { addAuthRoutes } from './auth-routes.ts';
import { BodyBudget, drain, readBody } from './body.ts';
import { asFhirError, outcomeBody } from './errors.ts';
import { FhirRoute } from './fhir-route.ts';
import { type Access, type Entrance, Guard, type Guarded } from './guard.ts';
import { alive, readiness } from './health.ts';
import { countsSource, homePage, type StoreFacts, styleSource } from './home.ts';
import { type HasHsts, HSTS, hasHsts } from './hsts.ts';
import { bodyUse } from './media.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { Networks } from './peers.ts';
import { isUnder, requestId } from './request.ts';
import { XmlConversion } from './xml-conversion.ts';

/** Where the FHIR base is served, whatever address a proxy shows to the outside. */
export const basePath = '/fhir';

export interface HttpServerOptions {
  engine: Engine;
  access: Access;
  /** Certificate and key, PEM; absent: plain HTTP. */
  tls?: Tls;
  store: StoreFacts;
  log: Log;
  clock: Clock;
  /** Asked for when the first XML comes. */
  definitions: () => Definitions;
  /** The base as clients know it: http://127.0.0.1:8080/fhir */
  baseUrl: string;
  version: string;
  /**
   * Refuse requests for other hosts than loopback and the base URL's. Without access control a page from anywhere could
   * otherwise read this server through the visitor's browser, by letting its own name point to 127.0.0.1.
   */
  checkHost: boolean;
}

export interface Tls {
  cert: string | Buffer;
  key: string | Buffer;
}

export interface HttpServer {
  /** Resolves to the address that it listens at. */
  listen(address: { host: string; port: number }): Promise<string>;
  /** Stops accepting, lets requests finish for up to `graceMs`, then aborts what is left. */
  close(graceMs?: number): Promise<void>;
  /** New connections get this certificate from now on. Throws when it does not fit its key; the old one then stays. */
  renewTls(tls: Tls): void;
  /** A request without a socket, for tests. */
  inject: FastifyInstance['inject'];
}

declare module 'fastify' {
  interface FastifyRequest {
    /** What the guard found out, while access control is on. */
    entrance: Entrance | undefined;
  }
}

/** https://www.rfc-editor.org/rfc/rfc9325#section-3.1.1 */
const minVersion = 'TLSv1.2';

export function createHttpServer(options: HttpServerOptions): HttpServer {
  const { access, clock } = options;
  const metrics = createMetrics({ inWork: () => route.inWork, hasAccessControl: access.kind === 'guarded' });
  const budget = new BodyBudget();
  const xml = new XmlConversion(options.definitions);
  const guard = access.kind === 'guarded' ? openGuard(access, options) : undefined;
  const isAlwaysByTls = options.tls !== undefined || options.baseUrl.startsWith('https:');
  const toBeByTls = hasHsts({ isAlwaysByTls, peers: guard?.peers });
  const route = new FhirRoute({
    ...options,
    hasHsts: toBeByTls,
    entrance: entranceOf(access, guard),
    slots: guard?.slots,
    metrics,
    budget,
    xml,
    newId: clock.newId,
    base: basePath,
    hosts: options.checkHost ? allowedHosts(options.baseUrl) : undefined,
  });
  const server = fastify({
    logger: false,
    exposeHeadRoutes: false,
    // Requests on open connections are served to their end; see close().
    return503OnClosing: false,
    requestTimeout: limits.requestMs,
    keepAliveTimeout: 65_000,
    ...socketOptions(options.tls),
    routerOptions: { querystringParser: () => ({}) },
    clientErrorHandler: (error, socket) => refuseUnreadable(error, socket, { log: options.log, metrics }),
    frameworkErrors: (_error, request, reply) => {
      // The router could not make sense of the address.
      if (isUnder(basePath, pathOf(request.raw))) answerFhir(request, reply);
      else refusePlainly(request, reply, { status: 400, text: 'Malformed address\n' });
    },
  });
  server.decorateRequest('entrance', undefined);
  addFhirRoutes(server, {
    route,
    budget,
    guard,
    toBeByTls,
    onPreflight: (ms) => metrics.observe('preflight', 204, ms),
  });
  if (guard !== undefined) addAuthRoutes(server, { ...options, guard, metrics, hasHsts: toBeByTls });
  void server.register((pages, _, done) => {
    addPages(pages, { ...options, metrics, guard, toBeByTls });
    done();
  });
  server.setNotFoundHandler((request, reply) => {
    if (isUnder(basePath, pathOf(request.raw))) answerFhir(request, reply);
    else refusePlainly(request, reply, { status: 404, text: `Nothing here; the FHIR base is ${basePath}\n` });
  });
  server.setErrorHandler((error, request, reply) => {
    reply.hijack();
    route.handle(request.raw, reply.raw, asFhirError(error));
  });
  const clockwork = setInterval(() => route.expire(performance.now()), 1_000);
  clockwork.unref();

  return {
    listen: ({ host, port }) => server.listen({ host, port }),
    inject: server.inject.bind(server),
    renewTls: (tls) => {
      if (server.server instanceof TlsServer) server.server.setSecureContext({ ...tls, minVersion });
    },
    close: async (graceMs = 8_000) => {
      route.beginClose();
      const cut = setTimeout(() => {
        route.abortAll();
        setTimeout(() => server.server.closeAllConnections(), 200).unref();
      }, graceMs);
      try {
        await server.close();
      } finally {
        clearTimeout(cut);
        clearInterval(clockwork);
        await xml.close();
        await guard?.refusals.flush();
      }
    },
  };

  function answerFhir(request: FastifyRequest, reply: FastifyReply): void {
    reply.hijack();
    route.handle(request.raw, reply.raw, undefined);
  }

  /** For an address that leads nowhere: it has no route, and so none of the pages' hooks either. */
  function refusePlainly(request: FastifyRequest, reply: FastifyReply, told: { status: number; text: string }): void {
    const id = requestId(request.raw, options.clock.newId);
    const headers = ['Content-Type', 'text/plain; charset=utf-8', 'X-Request-Id', id, 'Cache-Control', 'no-store'];
    if (toBeByTls(request.raw)) headers.push(...HSTS);
    reply.hijack().raw.writeHead(told.status, headers).end(told.text);
    metrics.observe('unknown', told.status, reply.elapsedTime);
    options.log.request(id, 'unknown', told.status, reply.elapsedTime);
  }
}

/** Loopback by its names, with and without the port, and the host of the base URL. */
export function allowedHosts(baseUrl: string): ReadonlySet<string> {
  const { host, hostname, port } = new URL(baseUrl);
  const names = new Set(['localhost', '127.0.0.1', '[::1]', hostname]);
  return new Set([...names, ...[...names].map((name) => `${name}:${port}`), host]);
}

function openGuard(access: Guarded, { clock, log }: HttpServerOptions): Guard {
  const onFault = (error: unknown): void => log.error('refusals could not be put on record', error);
  return new Guard({ access, base: basePath, now: clock.now, onFault });
}

function pathOf(raw: IncomingMessage): string {
  return (raw.url ?? '').split('?', 1)[0] ?? '';
}

/** Who a request comes from that no hook has looked at: everybody is the same while access control is off. */
function entranceOf(access: Access, guard: Guard | undefined): (raw: IncomingMessage) => Entrance {
  if (guard !== undefined) return (raw) => guard.stranger(raw);
  const everybody: Entrance = {
    caller: access.kind === 'open' ? access.caller : new FhirError('login', 'An access token is needed.'),
    cors: [],
  };
  return () => everybody;
}

function socketOptions(tls: Tls | undefined): { http?: ServerOptions } {
  const sockets = {
    // Room for an address that is too long for us, so that it can be told 414.
    maxHeaderSize: limits.headerBytesMax + limits.urlBytesMax,
    headersTimeout: 15_000,
    connectionsCheckingInterval: 5_000,
  };
  if (tls === undefined) return { http: sockets };
  // Fastify types a server with TLS as another one; what is used of it here is the same.
  return { https: { ...sockets, ...tls, minVersion } } as object;
}

interface FhirRoutesOptions {
  route: FhirRoute;
  budget: BodyBudget;
  guard: Guard | undefined;
  toBeByTls: HasHsts;
  onPreflight: (ms: number) => void;
}

function addFhirRoutes(
  server: FastifyInstance,
  { route, budget, guard, toBeByTls, onPreflight }: FhirRoutesOptions,
): void {
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', (request, payload: IncomingMessage, done) => {
    if (request.entrance?.caller instanceof FhirError) {
      // Nothing is kept of what comes from somebody who is not let in.
      drain(payload);
      done(null);
      return;
    }
    const path = pathOf(request.raw).slice(basePath.length + 1);
    const use = bodyUse(request.method, path.endsWith('/') ? path.slice(0, -1) : path);
    // A refusal travels as the body: as an error it would make Fastify close the connection under the client's feet.
    readBody(payload, { use, budget }, (body) => done(null, body));
  });
  const admit = async (request: FastifyRequest, reply: FastifyReply) => {
    const preflight = guard?.preflight(request.raw);
    if (preflight === undefined) {
      request.entrance = await guard?.admit(request.raw);
      return;
    }
    const headers = toBeByTls(request.raw) ? [...preflight.flat(), ...HSTS] : preflight.flat();
    reply.hijack().raw.writeHead(204, headers).end();
    onPreflight(reply.elapsedTime);
  };
  const handler = (request: FastifyRequest, reply: FastifyReply) => {
    reply.hijack();
    const { body, entrance } = request;
    const taken = body instanceof Uint8Array || body instanceof FhirError ? body : undefined;
    route.handle(request.raw, reply.raw, taken, entrance);
  };
  const hooks = guard === undefined ? {} : { onRequest: admit };
  for (const url of [basePath, `${basePath}/*`]) {
    server.route({ method: server.supportedMethods, url, handler, ...hooks });
  }
}

interface PagesOptions extends HttpServerOptions {
  metrics: Metrics;
  guard: Guard | undefined;
  toBeByTls: HasHsts;
}

function addPages(pages: FastifyInstance, options: PagesOptions): void {
  const { access, store, log, clock, baseUrl, version, metrics, guard, toBeByTls } = options;
  void pages.register(helmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        styleSrc: [styleSource],
        baseUri: ["'none'"],
        formAction: ["'none'"],
        frameAncestors: ["'none'"],
      },
    },
    strictTransportSecurity: false,
  });
  pages.addHook('onRequest', (request, reply, done) => {
    reply.header('X-Request-Id', requestId(request.raw, clock.newId)).header('Cache-Control', 'no-store');
    if (toBeByTls(request.raw)) reply.header(...HSTS);
    done();
  });
  pages.addHook('onResponse', (request, reply, done) => {
    const template = request.routeOptions.url ?? 'unknown';
    metrics.observe(template, reply.statusCode, reply.elapsedTime);
    log.request(String(reply.getHeader('X-Request-Id')), template, reply.statusCode, reply.elapsedTime);
    done();
  });
  const counts = countsSource(store, clock.now);
  const scrapers = access.kind === 'guarded' ? new Networks(access.metricsFrom) : undefined;
  const handlers: Record<string, (reply: FastifyReply) => Promise<unknown>> = {
    '/': async (reply) => {
      // How many resources there are is nobody's business before they have shown a token.
      const open = guard === undefined ? { counts: await counts(), storeName: store.name } : undefined;
      return reply.type('text/html; charset=utf-8').send(homePage({ version, baseUrl, open }));
    },
    '/healthz': async (reply) => reply.code(alive.status).send(alive.body),
    '/readyz': async (reply) => {
      const { status, body } = await readiness(store);
      return reply.code(status).send(body);
    },
    '/metrics': async (reply) => {
      if (guard !== undefined && scrapers?.has(guard.peers.addressOf(reply.request.raw)) === false) {
        guard.refusals.note({ kind: 'refused', address: guard.peers.addressOf(reply.request.raw) });
        return reply.code(403).type('text/plain; charset=utf-8').send('CARELOOM_METRICS_FROM has not this address\n');
      }
      return reply.type(metrics.contentType).send(await metrics.text());
    },
  };
  for (const [url, handler] of Object.entries(handlers)) {
    pages.route({ method: ['GET', 'HEAD'], url, handler: (_, reply) => handler(reply) });
  }
  pages.setErrorHandler((error, request, reply) => {
    log.error('page failed', error, { route: request.routeOptions.url ?? 'unknown' });
    void reply.code(500).type('text/plain; charset=utf-8').send('The server failed on this request\n');
  });
}

/**
 * Bytes that are no HTTP request, or one that took too long to arrive: answered on the bare socket, which is then closed.
 * https://nodejs.org/api/http.html#event-clienterror
 */
function refuseUnreadable(error: Unreadable, socket: Socket, { log, metrics }: { log: Log; metrics: Metrics }): void {
  if (error.code === 'ECONNRESET' || !socket.writable || hasAnswerUnderWay(socket)) {
    socket.destroy();
    return;
  }
  const { status, reason, diagnostics } = unreadable(error);
  const body = outcomeBody([{ severity: 'error', code: 'invalid', diagnostics }]);
  socket.end(
    `HTTP/1.1 ${status} ${reason}\r\nContent-Type: application/fhir+json; charset=utf-8\r\n` +
      `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${Buffer.from(body).toString('utf8')}`,
  );
  metrics.observe('unreadable', status, 0);
  log.request('-', 'unreadable', status, 0);
}

interface Unreadable {
  code?: string | undefined;
  /** What was read so far: a Buffer, whatever the type declarations say. */
  rawPacket?: unknown;
}

/** Node keeps the response that a socket is busy with under this name; its own clientError handler asks the same. */
function hasAnswerUnderWay(socket: Socket & { _httpMessage?: ServerResponse | null }): boolean {
  return socket._httpMessage?.headersSent === true;
}

function unreadable(error: Unreadable): {
  status: number;
  reason: string;
  diagnostics: string;
} {
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return { status: 408, reason: 'Request Timeout', diagnostics: 'The request took too long to arrive' };
  }
  if (error.code === 'HPE_HEADER_OVERFLOW') {
    const lineBytes = Buffer.isBuffer(error.rawPacket) ? error.rawPacket.indexOf('\r\n') : 0;
    const isAddress = lineBytes < 0 || lineBytes > limits.urlBytesMax;
    return isAddress
      ? { status: 414, reason: 'URI Too Long', diagnostics: `The address is longer than ${limits.urlBytesMax} bytes` }
      : {
          status: 431,
          reason: 'Request Header Fields Too Large',
          diagnostics: `The headers are longer than ${limits.headerBytesMax} bytes`,
        };
  }
  return { status: 400, reason: 'Bad Request', diagnostics: 'This is not an HTTP request' };
}

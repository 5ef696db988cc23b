// The HTTP edge: one Fastify server with one handler for the FHIR base and a few pages beside it.
// https://hl7.org/fhir/R4/http.html
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import helmet from '@fastify/helmet';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Clock } from '../base/clock.ts';
import { limits } from '../base/limits.ts';
import type { Log } from '../base/log.ts';
import { FhirError } from '../base/outcome.ts';
import type { Caller, Engine } from '../fhir/interaction.ts';
import type { Definitions } from '../model/definitions.ts';
import { BodyBudget, readBody } from './body.ts';
import { asFhirError, outcomeBody } from './errors.ts';
import { FhirRoute } from './fhir-route.ts';
import { alive, readiness } from './health.ts';
import { countsSource, homePage, type StoreFacts, styleSource } from './home.ts';
import { bodyUse } from './media.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { isUnder, requestId } from './request.ts';
import { XmlConversion } from './xml-conversion.ts';

/** Where the FHIR base is served, whatever address a proxy shows to the outside. */
export const basePath = '/fhir';

export interface HttpServerOptions {
  engine: Engine;
  /** Who is asking, for every request, until there is access control. */
  caller: Caller;
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

export interface HttpServer {
  /** Resolves to the address that it listens at. */
  listen(address: { host: string; port: number }): Promise<string>;
  /** Stops accepting, lets requests finish for up to `graceMs`, then aborts what is left. */
  close(graceMs?: number): Promise<void>;
  /** A request without a socket, for tests. */
  inject: FastifyInstance['inject'];
}

export function createHttpServer(options: HttpServerOptions): HttpServer {
  const metrics = createMetrics(() => route.inWork);
  const budget = new BodyBudget();
  const xml = new XmlConversion(options.definitions);
  const route = new FhirRoute({
    ...options,
    metrics,
    budget,
    xml,
    newId: options.clock.newId,
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
    http: {
      // Room for an address that is too long for us, so that it can be told 414.
      maxHeaderSize: limits.headerBytesMax + limits.urlBytesMax,
      headersTimeout: 15_000,
      connectionsCheckingInterval: 5_000,
    },
    routerOptions: { querystringParser: () => ({}) },
    clientErrorHandler: (error, socket) => refuseUnreadable(error, socket, { log: options.log, metrics }),
    frameworkErrors: (_error, request, reply) => {
      // The router could not make sense of the address.
      if (isUnder(basePath, pathOf(request.raw))) answerFhir(request, reply);
      else refusePlainly(request, reply, { status: 400, text: 'Malformed address\n' });
    },
  });
  addFhirRoutes(server, { route, budget });
  void server.register((pages, _, done) => {
    addPages(pages, { ...options, metrics });
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
    const headers = { 'Content-Type': 'text/plain; charset=utf-8', 'X-Request-Id': id, 'Cache-Control': 'no-store' };
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

function pathOf(raw: IncomingMessage): string {
  return (raw.url ?? '').split('?', 1)[0] ?? '';
}

function addFhirRoutes(server: FastifyInstance, { route, budget }: { route: FhirRoute; budget: BodyBudget }): void {
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', (request, payload: IncomingMessage, done) => {
    const path = pathOf(request.raw).slice(basePath.length + 1);
    const use = bodyUse(request.method, path.endsWith('/') ? path.slice(0, -1) : path);
    // A refusal travels as the body: as an error it would make Fastify close the connection under the client's feet.
    readBody(payload, { use, budget }, (body) => done(null, body));
  });
  const handler = (request: FastifyRequest, reply: FastifyReply) => {
    reply.hijack();
    const { body } = request;
    route.handle(request.raw, reply.raw, body instanceof Uint8Array || body instanceof FhirError ? body : undefined);
  };
  for (const url of [basePath, `${basePath}/*`]) server.route({ method: server.supportedMethods, url, handler });
}

function addPages(pages: FastifyInstance, options: HttpServerOptions & { metrics: Metrics }): void {
  const { store, log, clock, baseUrl, version, metrics } = options;
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
    strictTransportSecurity: baseUrl.startsWith('https:'),
  });
  pages.addHook('onRequest', (request, reply, done) => {
    reply.header('X-Request-Id', requestId(request.raw, clock.newId)).header('Cache-Control', 'no-store');
    done();
  });
  pages.addHook('onResponse', (request, reply, done) => {
    const template = request.routeOptions.url ?? 'unknown';
    metrics.observe(template, reply.statusCode, reply.elapsedTime);
    log.request(String(reply.getHeader('X-Request-Id')), template, reply.statusCode, reply.elapsedTime);
    done();
  });
  const counts = countsSource(store, clock.now);
  const handlers: Record<string, (reply: FastifyReply) => Promise<unknown>> = {
    '/': async (reply) => {
      const page = homePage({ version, baseUrl, storeName: store.name, counts: await counts() });
      return reply.type('text/html; charset=utf-8').send(page);
    },
    '/healthz': async (reply) => reply.code(alive.status).send(alive.body),
    '/readyz': async (reply) => {
      const { status, body } = await readiness(store);
      return reply.code(status).send(body);
    },
    '/metrics': async (reply) => reply.type(metrics.contentType).send(await metrics.text()),
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

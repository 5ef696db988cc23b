// The one handler of the FHIR base: address, media types and admission here, the interaction in the engine, the answer
// back. Every request that reaches it ends in finish(), which is where it is logged and counted.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { limits } from '../base/limits.ts';
import type { Log } from '../base/log.ts';
import { FhirError } from '../base/outcome.ts';
import type { Answer, Caller, Engine } from '../fhir/interaction.ts';
import type { BodyBudget } from './body.ts';
import { failureOf } from './errors.ts';
import { form, formatParameter, replyContentType } from './media.ts';
import type { Metrics } from './metrics.ts';
import { sendAnswer, sendFailure } from './reply.ts';
import { checkEscapes, HttpRequest, interactionByShape, parseAddress, requestId } from './request.ts';

export interface FhirRouteOptions {
  engine: Engine;
  caller: Caller;
  log: Log;
  metrics: Metrics;
  budget: BodyBudget;
  newId: () => string;
  /** Path that the base is served at. */
  base: string;
  /** Host names that may be asked for; undefined: any. See allowedHosts in server.ts. */
  hosts: ReadonlySet<string> | undefined;
}

/** The status logged for a client that went away before its answer; none is sent. */
const clientGone = 499;

export class FhirRoute {
  readonly #options: FhirRouteOptions;
  readonly #unanswered = new Set<HttpRequest>();
  #inWork = 0;
  #isClosing = false;

  constructor(options: FhirRouteOptions) {
    this.#options = options;
  }

  /** Requests that the engine is working on. */
  get inWork(): number {
    return this.#inWork;
  }

  /** From now on each answer closes its connection. */
  beginClose(): void {
    this.#isClosing = true;
  }

  /** Takes a request whose body was read (`body` is then its bytes) or refused (an error). */
  handle(raw: IncomingMessage, response: ServerResponse, body: Uint8Array | FhirError | undefined): void {
    const startedAt = performance.now();
    const request = new HttpRequest({ id: requestId(raw, this.#options.newId), startedAt, raw, response });
    if (body !== undefined && !(body instanceof FhirError)) request.body = body;
    try {
      this.#checkHost(raw.headers.host);
      parseAddress(request, this.#options.base);
      if (body instanceof FhirError) throw body;
      request.replyType = replyContentType(raw.headers.accept, formatOf(request));
      if (this.#inWork >= limits.requestsAtOnceMax) {
        throw new FhirError('unavailable', 'The server has as much to do as it can; try again in a few seconds');
      }
    } catch (error) {
      this.#release(request);
      this.#fail(request, error);
      return;
    }
    this.#perform(request);
  }

  /** Answers and aborts what has been in work for too long. Called every second: a timer per request costs more. */
  expire(now: number): void {
    for (const request of this.#unanswered) {
      // In order of arrival: the first young one ends the search.
      if (now - request.startedAt < limits.requestMs) return;
      this.#fail(request, new FhirError('timeout', `The request took longer than ${limits.requestMs / 1000} s`));
      request.abort();
    }
  }

  /** Aborts everything in work; for a shutdown whose patience is over. */
  abortAll(): void {
    for (const request of this.#unanswered) {
      this.#fail(request, new FhirError('unavailable', 'The server is going down; try again in a few seconds'));
      request.abort();
    }
  }

  #perform(request: HttpRequest): void {
    this.#inWork++;
    this.#unanswered.add(request);
    const settle = () => {
      this.#inWork--;
      this.#release(request);
    };
    this.#engineAnswer(request).then(
      (answer) => {
        settle();
        this.#answer(request, answer);
      },
      (error: unknown) => {
        settle();
        this.#fail(request, error);
      },
    );
  }

  #engineAnswer(request: HttpRequest): Promise<Answer> {
    try {
      return this.#options.engine.perform(request, this.#options.caller);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #answer(request: HttpRequest, answer: Answer): void {
    if (request.isAnswered) return;
    if (request.isGone) {
      this.#finish(request, answer.interaction, clientGone);
      return;
    }
    try {
      sendAnswer(request, answer, { isClosing: this.#isClosing });
    } catch (error) {
      this.#fail(request, error);
      return;
    }
    this.#finish(request, answer.interaction, answer.status);
  }

  #fail(request: HttpRequest, error: unknown): void {
    if (request.isAnswered) return;
    const interaction = interactionByShape(request.raw.method ?? '', request.path);
    if (request.isGone) {
      this.#finish(request, interaction, clientGone);
      return;
    }
    const failure = failureOf(error);
    if (failure.cause !== undefined) {
      this.#options.log.error('request failed', failure.cause, { requestId: request.id, interaction });
    }
    if (request.raw.method === 'HEAD') request.method = 'HEAD';
    if (request.response.headersSent) request.response.destroy();
    else sendFailure(request, failure, { isClosing: this.#isClosing });
    this.#finish(request, interaction, failure.status);
  }

  #finish(request: HttpRequest, interaction: string, status: number): void {
    request.isAnswered = true;
    this.#unanswered.delete(request);
    const ms = performance.now() - request.startedAt;
    this.#options.metrics.observe(interaction, status, ms);
    this.#options.log.request(request.id, interaction, status, ms);
  }

  #release(request: HttpRequest): void {
    if (request.body.length > 0) this.#options.budget.release(request.body.length);
  }

  #checkHost(host: string | undefined): void {
    const { hosts } = this.#options;
    if (hosts === undefined || host === undefined || hosts.has(host)) return;
    if (hosts.has(host.replace(/:\d+$/, '').toLowerCase())) return;
    throw new FhirError(
      'forbidden',
      'This Host is not served here; accepted: loopback names and the one of the base URL',
    );
  }
}

/** `_format` of the query, or of the form of a POST _search. Checks the form's escapes on the way. */
function formatOf(request: HttpRequest): string | undefined {
  const inQuery = formatParameter(request.query);
  if (request.body.length === 0 || request.header('content-type')?.toLowerCase().startsWith(form) !== true)
    return inQuery;
  const text = Buffer.from(request.body).toString('latin1');
  checkEscapes(text, 'form');
  return inQuery ?? formatParameter(text);
}

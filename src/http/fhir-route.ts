// The one handler of the FHIR base: address, media types and admission here, the interaction in the engine, the answer
// back. Every request that reaches it ends in finish(), which is where it is logged and counted.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { limits } from '../base/limits.ts';
import type { Log } from '../base/log.ts';
import { FhirError } from '../base/outcome.ts';
import type { Answer, Caller, Engine } from '../fhir/interaction.ts';
import { contentWish, isBinaryRead } from './binary.ts';
import type { BodyBudget } from './body.ts';
import { type Failure, failureOf } from './errors.ts';
import { exchange, failureInForm, needsExchange } from './exchange.ts';
import { type Entrance, tooManyRequests } from './guard.ts';
import type { HasHsts } from './hsts.ts';
import { bodyUse, defaultContentType, edgeParameter, isXml, mayBeData, replyContentType } from './media.ts';
import type { Metrics } from './metrics.ts';
import type { Slots } from './rate.ts';
import { sendAnswer, sendFailure } from './reply.ts';
import { checkEscapes, HttpRequest, interactionByShape, parseAddress, requestId } from './request.ts';
import type { XmlConversion } from './xml-conversion.ts';

export interface FhirRouteOptions {
  engine: Engine;
  /** For a request that was not admitted before it came here. */
  entrance: (raw: IncomingMessage) => Entrance;
  /** How much a client may have in work; undefined: as much as it likes. */
  slots: Slots | undefined;
  log: Log;
  metrics: Metrics;
  budget: BodyBudget;
  xml: XmlConversion;
  hasHsts: HasHsts;
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
  handle(
    raw: IncomingMessage,
    response: ServerResponse,
    body: Uint8Array | FhirError | undefined,
    entrance = this.#options.entrance(raw),
  ): void {
    const startedAt = performance.now();
    const request = new HttpRequest({ id: requestId(raw, this.#options.newId), startedAt, raw, response });
    request.cors = entrance.cors;
    request.hasHsts = this.#options.hasHsts(raw);
    request.address = entrance.address;
    let caller: Caller;
    if (body !== undefined && !(body instanceof FhirError)) {
      request.body = body;
      request.bodyBytes = body.length;
    }
    try {
      this.#checkHost(raw.headers.host);
      parseAddress(request, this.#options.base);
      negotiate(request);
      caller = callerIn(entrance);
      request.hasToken = caller.principal !== undefined;
      if (body instanceof FhirError) throw body;
      if (this.#inWork >= limits.requestsAtOnceMax) {
        throw new FhirError('unavailable', 'The server has as much to do as it can; try again in a few seconds');
      }
      this.#takeSlot(request, caller);
    } catch (error) {
      this.#release(request);
      this.#fail(request, error);
      return;
    }
    this.#perform(request, caller);
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

  #perform(request: HttpRequest, caller: Caller): void {
    this.#inWork++;
    this.#unanswered.add(request);
    const settle = () => {
      this.#inWork--;
      this.#release(request);
      this.#releaseSlotWhenRead(request);
    };
    this.#engineAnswer(request, caller).then(
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

  #engineAnswer(request: HttpRequest, caller: Caller): Promise<Answer> {
    const { engine, xml } = this.#options;
    try {
      if (!needsExchange(request)) return engine.perform(request, caller);
      return exchange(request, () => engine.perform(request, caller), xml);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #answer(request: HttpRequest, answer: Answer): void {
    const { interaction } = answer;
    for (const fault of answer.faults ?? [])
      this.#options.log.error('entry failed', fault, { requestId: request.id, interaction });
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
    const failure = withChallenge(failureOf(error), request);
    if (failure.cause !== undefined) {
      this.#options.log.error('request failed', failure.cause, { requestId: request.id, interaction });
    }
    if (request.raw.method === 'HEAD') request.method = 'HEAD';
    if (request.response.headersSent) request.response.destroy();
    else if (isXml(request.replyType) || request.isPretty) this.#failInForm(request, failure);
    else sendFailure(request, failure, { isClosing: this.#isClosing });
    this.#finish(request, interaction, failure.status);
  }

  /** As JSON after all where the conversion itself is what failed. */
  #failInForm(request: HttpRequest, failure: Failure): void {
    const send = (told: Failure) => {
      if (!request.isGone) sendFailure(request, told, { isClosing: this.#isClosing });
    };
    failureInForm(failure, request, this.#options.xml).then(send, () => {
      request.replyType = defaultContentType;
      send(failure);
    });
  }

  #finish(request: HttpRequest, interaction: string, status: number): void {
    request.isAnswered = true;
    this.#unanswered.delete(request);
    const ms = performance.now() - request.startedAt;
    this.#options.metrics.observe(interaction, status, ms);
    this.#options.log.request(request.id, interaction, status, ms);
  }

  #release(request: HttpRequest): void {
    if (request.bodyBytes > 0) this.#options.budget.release(request.bodyBytes);
  }

  /** An answer that its client does not read is in memory, and counts as work until it is read or given up. */
  #releaseSlotWhenRead(request: HttpRequest): void {
    const { response, slotOf } = request;
    if (slotOf === undefined) return;
    const release = () => {
      if (request.slotOf === undefined) return;
      request.slotOf = undefined;
      this.#options.slots?.release(slotOf);
    };
    if (response.destroyed || response.writableFinished) release();
    else response.once('finish', release).once('close', release);
  }

  #takeSlot(request: HttpRequest, { principal }: Caller): void {
    const { slots } = this.#options;
    if (slots === undefined || principal === undefined) return;
    if (!slots.take(principal.client)) {
      throw tooManyRequests(
        `This client has ${limits.clientRequestsAtOnceMax} requests in work already; wait for their answers.`,
        1,
      );
    }
    request.slotOf = principal.client;
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

function callerIn({ caller }: Entrance): Caller {
  if (caller instanceof FhirError) throw caller;
  return caller;
}

/** A token that does not reach so far is told so. https://www.rfc-editor.org/rfc/rfc6750#section-3.1 */
function withChallenge(failure: Failure, { hasToken, raw }: HttpRequest): Failure {
  if (failure.status !== 403 || !hasToken) return failure;
  const scheme = /^dpop /i.test(raw.headers.authorization ?? '') ? 'DPoP' : 'Bearer';
  const challenge = `${scheme} realm="careloom", error="insufficient_scope"`;
  return { ...failure, headers: { 'WWW-Authenticate': challenge, ...failure.headers } };
}

/** Decides on the form of the answer. Throws FhirError('not-acceptable'). Checks a form's escapes on the way. */
function negotiate(request: HttpRequest): void {
  const { accept } = request.raw.headers;
  const form = formOf(request);
  const format = edgeParameter(request.query, '_format') ?? edgeParameter(form, '_format');
  request.isPretty = (edgeParameter(request.query, '_pretty') ?? edgeParameter(form, '_pretty')) === 'true';
  if (isBinaryRead(request)) request.contentWish = contentWish(accept, format);
  try {
    request.replyType = replyContentType(accept, format);
  } catch (error) {
    // An answer of another type says so itself; a resource in its place, an outcome above all, goes as JSON.
    const mayBeOther = request.contentWish === 'content' || (isOperation(request.path) && mayBeData(accept, format));
    if (!mayBeOther) throw error;
  }
}

function isOperation(path: string): boolean {
  return path.includes('$', path.lastIndexOf('/') + 1);
}

/** The form of a POST _search, '' for other requests. */
function formOf(request: HttpRequest): string {
  if (request.body.length === 0 || bodyUse(request.method, request.path) !== 'search') return '';
  const text = Buffer.from(request.body).toString('latin1');
  checkEscapes(text, 'form');
  return text;
}

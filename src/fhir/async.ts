// Prefer: respond-async: the request is kept as a job, 202 says where to ask for its answer, and the answer is a
// batch-response Bundle with the one entry that the request would have got, whatever became of it.
// https://hl7.org/fhir/R4/async.html, https://hl7.org/fhir/R4/http.html#async
import { limits } from '../base/limits.ts';
import { FhirError, operationOutcome } from '../base/outcome.ts';
import type { Job } from '../jobs/job.ts';
import type { JobHandler } from '../jobs/jobs.ts';
import { isSameCaller, type KeptCaller, keptCaller } from './access/kept-caller.ts';
import { json, preferences } from './answer.ts';
import { bundlePieces } from './bundle.ts';
import type { EngineContext } from './context.ts';
import type { Answer, Caller, Engine, FhirRequest } from './interaction.ts';
import { forgetBytes, keepBytes, keptBytes } from './kept-bytes.ts';
import type { Operation } from './operations/operation.ts';
import type { Interaction } from './route.ts';
import { answerResponse, failureResponse } from './transaction/response.ts';

export const REQUEST_JOB = 'request';
/** Kinds of records. */
const BODY = 'job-body';
const ANSWER = 'job-answer';
const RETRY_AFTER_S = 2;

/** Headers that decide what an interaction does. */
const KEPT_HEADERS = ['content-type', 'if-match', 'if-none-match', 'if-none-exist', 'if-modified-since'] as const;

interface KeptRequest {
  method: FhirRequest['method'];
  path: string;
  query: string;
  headers: Record<string, string>;
  /** Chunks of the body. */
  chunks: number;
  /** Preferences but respond-async. */
  prefer: string;
  caller: KeptCaller;
  /** It changes what is stored, so that it must not be done again by whoever takes the job up after a crash. */
  runsOnce: boolean;
}

interface KeptAnswer {
  status: number;
  headers: Record<string, string>;
  chunks: number;
}

/** What may take long: the rest is answered faster than its job could be asked for. */
export function mayBeAsync(interaction: Interaction): boolean {
  const { kind } = interaction;
  if (kind === 'operation') return interaction.operation !== jobStatus;
  return kind === 'bundle' || kind === 'conditional-delete' || isReading(kind);
}

const isReading = (kind: Interaction['kind']): boolean => kind.startsWith('search-') || kind.startsWith('history-');

const changesNothing = (interaction: Interaction): boolean =>
  interaction.kind === 'operation' ? !interaction.operation.affectsState : isReading(interaction.kind);

/** 202 with the address of the answer to come. */
export async function kickOff(
  interaction: Interaction,
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
): Promise<Answer> {
  await requireRoom(request, context);
  const id = context.clock.newId();
  const kept: KeptRequest = {
    method: request.method,
    path: request.path,
    query: request.query,
    headers: keptHeaders(request),
    chunks: await keepBytes(BODY, id, request.body, context),
    prefer: withoutAsync(request.header('prefer') ?? ''),
    caller: keptCaller(caller),
    runsOnce: !changesNothing(interaction),
  };
  await context.jobs.submit(REQUEST_JOB, kept, id);
  const issue = {
    severity: 'information' as const,
    code: 'informational' as const,
    diagnostics: 'The request was accepted; its answer will be found at Content-Location.',
  };
  return {
    status: 202,
    headers: {
      'Content-Location': `${context.baseUrl}/$job-status?id=${id}`,
      'Preference-Applied': 'respond-async',
      'Retry-After': String(RETRY_AFTER_S),
    },
    body: json(operationOutcome([issue])),
    interaction: 'async',
  };
}

async function requireRoom({ body }: FhirRequest, { jobs }: EngineContext): Promise<void> {
  if (body.length > limits.asyncBodyBytesMax) {
    throw new FhirError('too-costly', `A request to be answered later has at most ${limits.asyncBodyBytesMax} bytes.`);
  }
  if ((await jobs.countOpen(REQUEST_JOB, limits.asyncOpenMax)) >= limits.asyncOpenMax) {
    throw new FhirError(
      'throttled',
      `${limits.asyncOpenMax} requests wait already to be answered later; send this one without respond-async, or later.`,
    );
  }
}

function keptHeaders(request: FhirRequest): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name of KEPT_HEADERS) {
    const value = request.header(name);
    if (value !== undefined) headers[name] = value;
  }
  return headers;
}

/** The other preferences. Each is asked the way the whole header was, or a job could begin another one, and so on. */
const withoutAsync = (prefer: string): string =>
  prefer
    .split(/[,;]/)
    .filter((preference) => !preferences(preference).async)
    .join(',');

/** Runs a kept request; its answer goes to records, because it may be larger than a job should be. */
export function requestJob(
  perform: Engine['perform'],
  callerOf: (kept: KeptCaller) => Promise<Caller>,
  context: Pick<EngineContext, 'store' | 'clock'>,
  onFault: (error: unknown, kind: string) => void,
): JobHandler {
  return async ({ id, input, saved, signal, save }) => {
    const kept = input as KeptRequest;
    if (kept.runsOnce && saved !== undefined) throw interrupted();
    const body = await keptBytes(BODY, id, kept.chunks, context);
    if (body === undefined) throw new FhirError('timeout', 'The request waited for more than a day; send it again.');
    await save({ isBegun: true }, 0);
    const request = requestOf(kept, Buffer.concat(body), signal);
    const found = await answerOf(request, async () => {
      const caller = await callerOf(kept.caller);
      const answer = await perform(request, caller);
      // Nothing that was read is kept for who may not read it any more; what was done has to be told.
      if (!kept.runsOnce) await caller.asOfNow?.();
      return answer;
    });
    for (const fault of found.faults ?? []) onFault(fault, found.interaction);
    const { status, headers, bytes } = withinBounds(found);
    const answer: KeptAnswer = { status, headers, chunks: await keepBytes(ANSWER, id, bytes, context) };
    await forgetBytes(BODY, id, kept.chunks, context);
    return answer;
  };
}

const interrupted = (): FhirError =>
  new FhirError(
    'fault',
    'The server failed or stopped while it worked on this. Some of it, or all, may have been done: look before you send it again.',
  );

function requestOf(kept: KeptRequest, body: Uint8Array, signal: AbortSignal): FhirRequest {
  return {
    method: kept.method,
    path: kept.path,
    query: kept.query,
    header: (name) => {
      // The answer will stand in a Bundle.
      if (name === 'accept') return 'application/fhir+json';
      return name === 'prefer' ? kept.prefer : kept.headers[name];
    },
    body,
    signal,
  };
}

/**
 * What goes wrong is the answer, too: the job itself has succeeded in finding it. Failures of the server are none, nor is
 * what comes of the server's being told to stop: they are thrown as faults, after which the job is tried again.
 */
async function answerOf({ signal }: FhirRequest, work: () => Promise<Answer>): Promise<Answer> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof FhirError) || error.status >= 500 || signal.aborted) {
      throw new Error('a request that was to be answered later failed', { cause: error });
    }
    return outcomeAnswer(error);
  }
}

const outcomeAnswer = ({ status, headers, issues }: FhirError): Answer => ({
  status,
  headers: { ...headers },
  body: json(operationOutcome(issues)),
  interaction: 'async',
});

/** An answer that is too large to be kept is replaced by an outcome that says so. */
function withinBounds(answer: Answer): { status: number; headers: Record<string, string>; bytes: Uint8Array } {
  const { status, headers, body = [] } = answer;
  const pieces = body instanceof Uint8Array ? [body] : body;
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  if (length <= limits.asyncAnswerBytesMax) return { status, headers, bytes: Buffer.concat(pieces) };
  const problem = `The answer has more than ${limits.asyncAnswerBytesMax} bytes; ask for pages of it.`;
  return withinBounds(outcomeAnswer(new FhirError('too-costly', problem)));
}

/** `GET $job-status?id=`: 202 while it lasts, then the answer; `DELETE` gives up the job, or the answer. */
export const jobStatus: Operation = {
  code: 'job-status',
  definition: 'http://hl7.org/fhir/R4/async.html',
  system: true,
  affectsState: false,
  takesDelete: true,
  parameters: ['id'],
  async perform({ request, input }, caller, context) {
    const id = input().text('id');
    if (id === undefined) throw new FhirError('invalid', '"id" is needed: the one in the Content-Location of the 202.');
    const job = await context.jobs.get(id);
    if (job === undefined || job.kind !== REQUEST_JOB || !isSameCaller((job.input as KeptRequest).caller, caller)) {
      throw new FhirError('not-found', 'There is no such job; answers are kept for a day.');
    }
    if (request.method === 'DELETE') return givenUp(job, context);
    return statusAnswer(job, context);
  },
};

async function givenUp(job: Job, context: EngineContext): Promise<Answer> {
  const wasOpen = await context.jobs.cancel(job.id);
  await forgetBytes(BODY, job.id, (job.input as KeptRequest).chunks, context);
  if (!wasOpen && (await context.jobs.forget(job.id))) {
    await forgetBytes(ANSWER, job.id, (job.result as KeptAnswer | undefined)?.chunks ?? 0, context);
  }
  return { status: 202, headers: {}, interaction: 'async' };
}

async function statusAnswer(job: Job, context: EngineContext): Promise<Answer> {
  switch (job.state) {
    case 'waiting':
    case 'running':
      return {
        status: 202,
        headers: { 'X-Progress': job.state, 'Retry-After': String(RETRY_AFTER_S) },
        interaction: 'async',
      };
    case 'cancelled':
      throw new FhirError('not-found', 'This job was given up.');
    case 'failed':
      return answerBundle(failureResponse(new FhirError('fault', job.issues ?? [])));
    case 'done':
      return answerBundle(await doneResponse(job, context));
  }
}

const answerBundle = (entry: Uint8Array[]): Answer => ({
  status: 200,
  headers: {},
  body: bundlePieces({ type: 'batch-response' }, [entry]),
  interaction: 'async',
});

/** The kept answer as an entry: a resource, or the outcome of what failed or deleted. */
async function doneResponse(job: Job, context: EngineContext): Promise<Uint8Array[]> {
  const { status, headers, chunks } = job.result as KeptAnswer;
  const body = await keptBytes(ANSWER, job.id, chunks, context);
  if (body === undefined) throw new FhirError('not-found', 'The answer of this job is not kept any more.');
  const isOutcome = status >= 400 || (job.input as KeptRequest).method === 'DELETE';
  const answer: Answer = { status, headers, ...(body.length === 0 ? {} : { body }), interaction: 'async' };
  return answerResponse(answer, isOutcome ? 'outcome' : 'resource');
}

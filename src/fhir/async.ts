// Prefer: respond-async: the request is kept as a job, 202 says where to ask for its answer, and the answer is a
// batch-response Bundle with the one entry that the request would have got.
// https://hl7.org/fhir/R4/async.html, https://hl7.org/fhir/R4/http.html#async
import { limits } from '../base/limits.ts';
import { FhirError, operationOutcome } from '../base/outcome.ts';
import type { Job, JobHandler } from '../jobs/jobs.ts';
import type { Records } from '../store/store.ts';
import { json, preferences } from './answer.ts';
import { bundlePieces, entryWith } from './bundle.ts';
import type { EngineContext } from './context.ts';
import type { Answer, Caller, Engine, FhirRequest } from './interaction.ts';
import type { Operation } from './operations/operation.ts';
import type { Interaction } from './route.ts';

export const REQUEST_JOB = 'request';
const ANSWER_RECORD = 'job-answer';
const CHUNK_BYTES = 1_000_000;
/** As long as the job itself is known. */
const KEPT_MS = 24 * 60 * 60 * 1000;
const RETRY_AFTER_S = 2;

/** Headers that decide what an interaction does. */
const KEPT_HEADERS = ['content-type', 'if-match', 'if-none-match', 'if-none-exist', 'if-modified-since'] as const;

interface KeptRequest {
  method: FhirRequest['method'];
  path: string;
  query: string;
  headers: Record<string, string>;
  /** Base64. */
  body: string;
  /** Preferences but respond-async. */
  prefer: string;
  caller: Caller['kind'];
}

/** What may take long: the rest is answered faster than its job could be asked for. */
export function mayBeAsync({ kind }: Interaction): boolean {
  return (
    kind === 'bundle' ||
    kind === 'operation' ||
    kind === 'conditional-delete' ||
    kind.startsWith('search-') ||
    kind.startsWith('history-')
  );
}

export const wantsAsync = (request: FhirRequest): boolean => preferences(request.header('prefer')).async;

/** 202 with the address of the answer to come. */
export async function kickOff(request: FhirRequest, caller: Caller, context: EngineContext): Promise<Answer> {
  if (request.body.length > limits.asyncBodyBytesMax) {
    throw new FhirError('too-costly', `A request to be answered later has at most ${limits.asyncBodyBytesMax} bytes.`);
  }
  const headers: Record<string, string> = {};
  for (const name of KEPT_HEADERS) {
    const value = request.header(name);
    if (value !== undefined) headers[name] = value;
  }
  const prefer = (request.header('prefer') ?? '').replace(/respond-async\s*[,;]?/g, '');
  const kept: KeptRequest = {
    method: request.method,
    path: request.path,
    query: request.query,
    headers,
    body: Buffer.from(request.body).toString('base64'),
    prefer,
    caller: caller.kind,
  };
  const id = await context.jobs.submit(REQUEST_JOB, kept);
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

/** Runs a kept request; its answer goes to records, because it may be larger than a job should be. */
export function requestJob(
  perform: Engine['perform'],
  callerOf: (kind: Caller['kind']) => Caller,
  records: Records,
): JobHandler {
  return async ({ id, input, signal, save }) => {
    const kept = input as KeptRequest;
    await save(undefined, 0);
    const request: FhirRequest = {
      method: kept.method,
      path: kept.path,
      query: kept.query,
      header: (name) => {
        // The answer will stand in a Bundle.
        if (name === 'accept') return 'application/fhir+json';
        return name === 'prefer' ? kept.prefer : kept.headers[name];
      },
      body: Buffer.from(kept.body, 'base64'),
      signal,
    };
    const answer = await answerOf(perform, request, callerOf(kept.caller));
    const chunks = await keepBody(id, answer.body, records);
    return { status: answer.status, headers: answer.headers, chunks };
  };
}

/** What goes wrong is the answer, too: the job itself has succeeded in finding it. */
async function answerOf(perform: Engine['perform'], request: FhirRequest, caller: Caller): Promise<Answer> {
  try {
    return await perform(request, caller);
  } catch (error) {
    if (!(error instanceof FhirError)) throw error;
    const headers = error.headers === undefined ? {} : { ...error.headers };
    return { status: error.status, headers, body: json(operationOutcome(error.issues)), interaction: 'async' };
  }
}

async function keepBody(id: string, body: Answer['body'], records: Records): Promise<number> {
  const bytes = body === undefined ? Buffer.alloc(0) : body instanceof Uint8Array ? body : Buffer.concat(body);
  if (bytes.length > limits.asyncAnswerBytesMax) {
    throw new FhirError(
      'too-costly',
      `The answer has more than ${limits.asyncAnswerBytesMax} bytes; ask for pages of it.`,
    );
  }
  let count = 0;
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES, count++) {
    const value = JSON.stringify(Buffer.from(bytes.subarray(at, at + CHUNK_BYTES)).toString('base64'));
    const record = { kind: ANSWER_RECORD, id: chunkId(id, count), value, expires: Date.now() + KEPT_MS };
    const known = await records.get(record.kind, record.id);
    await records.put(record, known?.version ?? 0);
  }
  return count;
}

const chunkId = (id: string, at: number): string => `${id}/${String(at).padStart(5, '0')}`;

/** `GET $job-status?id=`: 202 while it lasts, then the answer; `DELETE` gives it up. */
export const jobStatus: Operation = {
  code: 'job-status',
  definition: 'http://hl7.org/fhir/R4/async.html',
  system: true,
  affectsState: false,
  takesDelete: true,
  parameters: ['id'],
  async perform({ request, input }, caller, context) {
    const id = input().text('id') ?? '';
    const job = await context.jobs.get(id);
    if (job === undefined || job.kind !== REQUEST_JOB || (job.input as KeptRequest).caller !== caller.kind) {
      throw new FhirError('not-found', 'There is no such job; answers are kept for a day.');
    }
    if (request.method !== 'DELETE') return statusAnswer(job, context);
    await context.jobs.cancel(id);
    return { status: 202, headers: {}, interaction: 'async' };
  },
};

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
      throw new FhirError('too-costly', [...(job.issues ?? [])]);
    case 'done':
      return { status: 200, headers: {}, body: await keptAnswer(job, context), interaction: 'async' };
  }
}

async function keptAnswer(job: Job, { store }: EngineContext): Promise<Uint8Array[]> {
  const { status, headers, chunks } = job.result as { status: number; headers: Record<string, string>; chunks: number };
  const parts: Buffer[] = [];
  for (let at = 0; at < chunks; at++) {
    const record = await store.records.get(ANSWER_RECORD, chunkId(job.id, at));
    if (record === undefined) throw new FhirError('not-found', 'The answer of this job is not kept any more.');
    parts.push(Buffer.from(JSON.parse(record.value) as string, 'base64'));
  }
  const isOutcome = status >= 400;
  const response = {
    status: String(status),
    ...(headers.Location === undefined ? {} : { location: headers.Location }),
    ...(headers.ETag === undefined ? {} : { etag: headers.ETag }),
  };
  const entry =
    isOutcome && parts.length > 0
      ? [Buffer.from(`{"response":${JSON.stringify(response).slice(0, -1)},"outcome":`), ...parts, Buffer.from('}}')]
      : entryWith(undefined, parts.length === 0 ? undefined : parts, { response });
  return bundlePieces({ type: 'batch-response' }, [entry]);
}

// Sends made-up requests to a server process and judges each answer; what is wrong is told with the request that did it.
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { brotliDecompressSync, gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib';
import { requestAt } from './fuzz-make.ts';
import type { FuzzRequest, Target } from './fuzz-request.ts';
import type { Memory, WatchedServer } from './fuzz-server.ts';
import { fuzzBaseUrl } from './fuzz-values.ts';

const AT_ONCE = 8;
/** Requests of one round; in every other round they come one after another, each watched by itself. */
const ROUND = 96;
const ANSWER_MS_MAX = 5_000;
/** Processor time of the main thread that one request may take in one go. */
const STALL_MS_MAX = 100;
const FAILURES_MAX = 40;
const SUSPECTS_MAX = 500;

export interface FuzzReport {
  failures: string[];
  /** Numbers of the requests that held the event loop for too long, and how long, ms. */
  suspects: Map<number, number>;
  worstStallMs: number;
  slowestMs: number;
  requests: number;
  statuses: Record<string, number>;
  /** After the first third, and at the end. */
  early: Memory;
  late: Memory;
}

export interface FuzzOptions {
  seed: number;
  ms: number;
}

interface Run {
  server: WatchedServer;
  agent: Agent;
  target: Target;
  seed: number;
  report: FuzzReport;
}

/** Fuzzes for so long. */
export async function fuzz(server: WatchedServer, target: Target, { seed, ms }: FuzzOptions): Promise<FuzzReport> {
  const nothing: Memory = { heap: 0, resident: 0 };
  const report: FuzzReport = {
    failures: [],
    suspects: new Map(),
    worstStallMs: 0,
    slowestMs: 0,
    requests: 0,
    statuses: {},
    early: nothing,
    late: nothing,
  };
  const run: Run = { server, target, seed, report, agent: new Agent({ keepAlive: true }) };
  const begin = performance.now();
  let isEarly = true;
  for (let at = 0; performance.now() - begin < ms && report.failures.length < FAILURES_MAX; at += ROUND) {
    if ((at / ROUND) % 2 === 0) await together(run, at);
    else await inTurn(run, at);
    if (isEarly && performance.now() - begin > ms / 3) {
      isEarly = false;
      report.early = await server.memory();
    }
  }
  report.late = await server.memory();
  run.agent.destroy();
  return report;
}

async function together(run: Run, from: number): Promise<void> {
  const rest = Array.from({ length: ROUND }, (_, at) => from + at).values();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (const at of rest) await one(run, at);
    }),
  );
}

async function inTurn(run: Run, from: number): Promise<void> {
  const { server, report } = run;
  await server.worstStallMs();
  for (let at = from; at < from + ROUND; at++) {
    await one(run, at);
    const stall = await server.worstStallMs();
    report.worstStallMs = Math.max(report.worstStallMs, stall);
    if (stall > STALL_MS_MAX && report.suspects.size < SUSPECTS_MAX) report.suspects.set(at, stall);
  }
}

async function one({ agent, server, seed, target, report }: Run, at: number): Promise<void> {
  const request = requestAt(seed, at, target);
  const start = performance.now();
  const answer = await send(server.url, request, agent);
  const ms = performance.now() - start;
  report.requests++;
  report.slowestMs = Math.max(report.slowestMs, ms);
  report.statuses[answer.status] = (report.statuses[answer.status] ?? 0) + 1;
  const job = /\$job-status\?id=(\S+)/.exec(String(answer.headers['content-location'] ?? ''))?.[1];
  if (job !== undefined) target.jobs.push(job);
  if (target.jobs.length > 50) target.jobs.shift();
  const problems = problemsOf(request, answer);
  if (ms > ANSWER_MS_MAX) problems.push(`answered after ${Math.round(ms)} ms`);
  for (const problem of problems) report.failures.push(told(at, problem, request));
}

/**
 * Those of the suspects that hold the event loop of another process for too long as well, when it gets them for the first
 * time: it has loaded and compiled what others need, and it has nothing else to do. A collection of garbage is nobody's
 * fault, and seldom comes at the same place twice.
 */
export async function guilty(
  server: WatchedServer,
  target: Target,
  { seed, suspects }: { seed: number; suspects: ReadonlyMap<number, number> },
): Promise<Map<number, number>> {
  const agent = new Agent({ keepAlive: true });
  const lasting = new Map<number, number>();
  for (let at = 0; at < WARM_UP; at++) await send(server.url, requestAt(seed + 1, at, target), agent);
  for (const [at, before] of suspects) {
    await server.worstStallMs();
    await send(server.url, requestAt(seed, at, target), agent);
    const stall = Math.min(before, await server.worstStallMs());
    if (stall > STALL_MS_MAX) lasting.set(at, stall);
  }
  agent.destroy();
  return lasting;
}

const WARM_UP = 500;

/** A problem with the request that has it. */
export function told(at: number, problem: string, { method, path, headers, body }: FuzzRequest): string {
  const shown = body === undefined ? '' : `\n  ${body.length} bytes: ${body.subarray(0, 1_500).toString('utf8')}`;
  return `#${at} ${problem}\n  ${method} /fhir/${path.slice(0, 1_500)}\n  ${JSON.stringify(headers)}${shown}`;
}

// ---- over the wire ----

interface Answer {
  /** 0 when the connection broke. */
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

export function send(url: string, { method, path, headers, body }: FuzzRequest, agent: Agent): Promise<Answer> {
  return new Promise((resolve) => {
    const broken = (error: Error): void => resolve({ status: 0, headers: {}, body: Buffer.from(error.message) });
    const length = body === undefined ? {} : { 'content-length': String(body.length) };
    const target = path.startsWith('?') ? `/fhir${path}` : `/fhir/${path}`;
    const { hostname, port } = new URL(url);
    const sent = httpRequest(
      {
        agent,
        hostname,
        port,
        method,
        path: target,
        headers: { host: new URL(fuzzBaseUrl).host, ...headers, ...length },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', broken);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
        );
      },
    );
    sent.on('error', broken);
    sent.end(body);
  });
}

// ---- the verdict ----

/** What the server may be too busy for, or not ready for yet. */
const UNAVAILABLE = /still being built|as much to do as it can|too many large bodies/;

function problemsOf(request: FuzzRequest, answer: Answer): string[] {
  const { status, headers } = answer;
  if (status === 0) return [`no answer: ${answer.body.toString('utf8')}`];
  const text = textOf(answer);
  if (text === undefined) return [`${status}: its ${headers['content-encoding']} cannot be read`];
  const problems: string[] = [];
  if (headers['x-request-id'] === undefined && status !== 400 && status !== 431 && status !== 414)
    problems.push(`${status} without X-Request-Id`);
  if (status >= 500 && !(status === 503 && headers['retry-after'] !== undefined && UNAVAILABLE.test(text)))
    problems.push(`${status}: ${text.slice(0, 300)}`);
  if (status >= 400 && request.method !== 'HEAD') problems.push(...outcomeProblems(status, text));
  if (status < 400 && text !== '') problems.push(...formProblems(status, String(headers['content-type']), text));
  return problems;
}

function textOf({ headers, body }: Answer): string | undefined {
  const decoders: Record<string, (bytes: Buffer) => Buffer> = {
    gzip: gunzipSync,
    br: brotliDecompressSync,
    deflate: inflateSync,
    zstd: zstdDecompressSync,
    identity: (bytes) => bytes,
  };
  const encoding = headers['content-encoding'] ?? 'identity';
  if (body.length === 0) return '';
  try {
    return decoders[encoding]?.(body).toString('utf8');
  } catch {
    return undefined;
  }
}

/** Every error is an OperationOutcome that says something; one of GraphQL has its outcomes within. */
function outcomeProblems(status: number, text: string): string[] {
  const told = text.startsWith('<')
    ? [...text.matchAll(/<diagnostics value="([^"]*)"/g)].map(([, diagnostics]) => diagnostics ?? '')
    : diagnosticsIn(text);
  const isOutcome = text.startsWith('<') ? text.includes('<OperationOutcome') : text.includes('"OperationOutcome"');
  if (!isOutcome) return [`${status} is no OperationOutcome: ${text.slice(0, 300)}`];
  return told.length === 0 || told.some((one) => one.trim() === '')
    ? [`${status} says nothing: ${text.slice(0, 300)}`]
    : [];
}

function diagnosticsIn(text: string): string[] {
  try {
    const { issue, errors } = JSON.parse(text);
    const all =
      issue ??
      errors?.flatMap(
        (error: { extensions?: { resource?: { issue: object[] } } }) => error.extensions?.resource?.issue ?? [],
      ) ??
      [];
    return all.map(({ diagnostics = '' }: { diagnostics?: string }) => diagnostics);
  } catch {
    return [];
  }
}

function formProblems(status: number, type: string, text: string): string[] {
  if (/^application\/(?:fhir\+json|json|graphql-response\+json)\b/.test(type)) {
    try {
      JSON.parse(text);
    } catch {
      return [`${status}: ${type} is no JSON: ${text.slice(0, 200)}`];
    }
  }
  if (/^application\/fhir\+xml\b/.test(type) && !text.startsWith('<'))
    return [`${status}: ${type} is no XML: ${text.slice(0, 200)}`];
  return [];
}

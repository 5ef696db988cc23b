// FHIRPath that comes with a request: views, patches and queries of GraphQL. An expression of one line can hold a thread for as long as it
// may, and the engine takes 0.2 s to load; so it runs on threads of its own, in which time and memory have bounds.
import { limits } from '../base/limits.ts';
import { type ErrorKind, FhirError, type Issue } from '../base/outcome.ts';
import { ThreadLost, Threads } from '../base/threads.ts';
import type { PathsJob } from './operations/graphql/paths-thread.ts';
import type { RowsJob, RowsMade, ViewJob, ViewRead } from './operations/view-definition/thread.ts';

export type PathJob = { kind: 'patch'; resource: Uint8Array; parameters: Uint8Array } | ViewJob | RowsJob | PathsJob;

export interface PathResults {
  /** The patched resource. */
  patch: Uint8Array;
  view: ViewRead;
  rows: RowsMade;
  /** For each value. */
  paths: (boolean | string)[];
}

/** `ms`: how long the thread worked. */
export type PathAnswer = { ms: number } & (
  | { ok: PathResults[PathJob['kind']] }
  | { refused: { kind: ErrorKind; issues: readonly Issue[] } }
  | { failed: unknown }
);

// The same tree runs as .ts from a checkout and as .js from the package.
const ending = import.meta.url.slice(import.meta.url.lastIndexOf('.'));
const threads = new Threads(new URL(`./path-worker${ending}`, import.meta.url), {
  heapMb: limits.pathThreadMb,
  jobMs: limits.pathThreadMs,
});

/**
 * Does a job on a thread; `onSpent` is told how long that took. Throws the FhirError that the job threw there, and
 * FhirError('too-costly') where it had to be ended.
 */
export async function onPathThread<J extends PathJob>(
  job: J,
  { transfer = [], onSpent = () => {} }: { transfer?: readonly ArrayBuffer[]; onSpent?: (ms: number) => void } = {},
): Promise<PathResults[J['kind']]> {
  const answer = await answered(job, transfer);
  onSpent(answer.ms);
  if ('ok' in answer) return answer.ok as PathResults[J['kind']];
  if ('failed' in answer) throw answer.failed;
  throw new FhirError(answer.refused.kind, answer.refused.issues);
}

async function answered(job: PathJob, transfer: readonly ArrayBuffer[]): Promise<PathAnswer> {
  try {
    return (await threads.ask(job, transfer)) as PathAnswer;
  } catch (error) {
    if (!(error instanceof ThreadLost)) throw error;
    throw new FhirError('too-costly', 'FHIRPath: the expressions take too long or too much memory on this content', {
      cause: error,
    });
  }
}

// The thread in which FHIRPath of clients is evaluated. See path-threads.ts.
import { parentPort } from 'node:worker_threads';
import { FhirError } from '../base/outcome.ts';
import { loadDefinitions } from '../model/definitions.ts';
import { applyFhirPathPatch } from '../model/fhirpath-patch.ts';
import { pathsInThread } from './operations/graphql/paths-thread.ts';
import { rowsInThread, viewInThread } from './operations/view-definition/thread.ts';
import type { PathAnswer, PathJob, PathResults } from './path-threads.ts';

const definitions = loadDefinitions();

parentPort?.on('message', (job: PathJob) => {
  const answer = answerTo(job);
  const moved = 'ok' in answer ? transferable(answer.ok) : [];
  parentPort?.postMessage(answer, moved);
});
parentPort?.postMessage('ready');

function answerTo(job: PathJob): PathAnswer {
  const start = performance.now();
  try {
    const ok = perform(job);
    return { ok, ms: performance.now() - start };
  } catch (error) {
    const ms = performance.now() - start;
    if (error instanceof FhirError) return { refused: { kind: error.kind, issues: error.issues }, ms };
    return { failed: error, ms };
  }
}

function perform(job: PathJob): PathResults[PathJob['kind']] {
  switch (job.kind) {
    case 'patch':
      return applyFhirPathPatch(job.resource, job.parameters, definitions);
    case 'paths':
      return pathsInThread(job);
    case 'view':
      return viewInThread(job, definitions);
    case 'rows':
      return rowsInThread(job, definitions);
  }
}

/** Only memory that is nobody else's: short texts share a pool. */
function transferable(result: PathResults[PathJob['kind']]): ArrayBuffer[] {
  const bytes = result instanceof Uint8Array ? result : 'text' in result ? result.text : undefined;
  if (bytes === undefined || bytes.byteLength !== bytes.buffer.byteLength) return [];
  return [bytes.buffer as ArrayBuffer];
}

// The reader thread: wide reads, one after the other, off the main thread; all statements of a job see the same state.
import { parentPort, workerData } from 'node:worker_threads';
import { tooLong } from './history.ts';
import type { Answer, ReadJob, ReadResults } from './jobs.ts';
import { packError } from './jobs.ts';
import { runRead } from './read.ts';
import { openReader } from './schema.ts';
import { Connection } from './sql.ts';

const connection = new Connection(openReader((workerData as { path: string }).path, { isMapped: false }));

parentPort?.on('message', (message: ReadJob | 'close') => {
  if (message === 'close') {
    connection.close();
    parentPort?.postMessage('closed');
    parentPort?.close();
    return;
  }
  parentPort?.postMessage(answer(message));
});

function answer(job: ReadJob): Answer<ReadResults[ReadJob['kind']]> {
  connection.statement('BEGIN').run();
  try {
    const budgetMs = 'budgetMs' in job ? job.budgetMs : Number.POSITIVE_INFINITY;
    return { ok: connection.within(budgetMs, () => runRead(connection, job), tooLong) };
  } catch (error) {
    return { error: packError(error) };
  } finally {
    connection.statement('COMMIT').run();
  }
}

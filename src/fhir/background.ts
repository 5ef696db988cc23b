// Work that goes on beside requests: a process that serves starts it, and stops it before it closes the store.
import type { Jobs } from '../jobs/jobs.ts';
import type { Records } from '../store/store.ts';
import type { NotedTies } from './access/ties.ts';
import type { AddedParameters } from './added-parameters.ts';

export interface Background {
  start(): void;
  stop(): Promise<void>;
}

interface BackgroundParts {
  added: AddedParameters;
  ties: NotedTies;
  jobs: Jobs;
  records: Records;
  onFault: (error: unknown, kind: string) => void;
}

/** Records that have expired are not seen any more; so often what they hold is given back. */
const SWEEP_MS = 10 * 60 * 1000;

export function createBackground({ added, ties, jobs, records, onFault }: BackgroundParts): Background {
  let timer: NodeJS.Timeout | undefined;
  let sweeping: Promise<unknown> = Promise.resolve();
  const sweep = (): void => {
    sweeping = records.sweep().catch((error) => onFault(error, 'sweep'));
  };
  return {
    start() {
      clearInterval(timer);
      timer = setInterval(sweep, SWEEP_MS);
      timer.unref();
      sweep();
      added.start();
      ties.start();
      jobs.start();
    },
    async stop() {
      clearInterval(timer);
      await Promise.all([sweeping, added.stop(), ties.stop(), jobs.stop()]);
    },
  };
}

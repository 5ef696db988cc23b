// After search parameters were loaded: what was there before is indexed for them, as a server that runs would do it.
import { setTimeout as sleep } from 'node:timers/promises';
import type { App } from '../app.ts';
import { hasOpen, INDEX_JOB, readStates } from '../fhir/parameter-index.ts';
import { readJob } from '../jobs/job.ts';

/** How often to look whether it is done, ms. */
const lookMs = 100;

/** True when every search parameter is indexed; false when that is left to the server, by a fault or an interruption. */
export async function indexParameters({ engine, store }: App, signal: AbortSignal): Promise<boolean> {
  const { records } = store;
  const isIndexed = async (): Promise<boolean> => !hasOpen(await readStates(records));
  if (engine.background === undefined || (await isIndexed())) return isIndexed();
  engine.background.start();
  try {
    while (!signal.aborted && (await readJob(records, INDEX_JOB))?.job.state !== 'failed') {
      if (await isIndexed()) return true;
      await sleep(lookMs);
    }
    return false;
  } finally {
    await engine.background.stop();
  }
}

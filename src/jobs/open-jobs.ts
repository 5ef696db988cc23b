// The list of jobs that have not ended, oldest first: a small record each, beside the job's own. Looking for work reads
// this list alone, however many jobs of the last day have ended and however large they are.
import type { Clock } from '../base/clock.ts';
import type { Records } from '../store/store.ts';
import { hasEnded, type Job } from './job.ts';

/** A place in the list. Where a job is submitted twice at once, it has two until the second is an orphan. */
export interface OpenJob {
  place: string;
  id: string;
}

const PAGE = 100;
/** A place is made before its job. One whose job does not follow so soon belongs to a process that died in between. */
const ORPHAN_MS = 60_000;
/** Digits of an instant, so that places sort by time until the year 5138. */
const TIME_CHARS = 14;

const listOf = (kind: string): string => `job-open-${kind}`;

/** Makes a place at the end of the list for a job that is about to be written, and that must name it. */
export async function addOpenJob(records: Records, kind: string, id: string, clock: Clock): Promise<string> {
  const place = `${String(clock.now()).padStart(TIME_CHARS, '0')}-${clock.newId()}`;
  await records.put({ kind: listOf(kind), id: place, value: JSON.stringify(id) }, 0);
  return place;
}

/** The jobs of a kind that have not ended, and some that just did. */
export async function* openJobs(records: Records, kind: string): AsyncGenerator<OpenJob> {
  let after: string | undefined;
  do {
    const page = await records.list(listOf(kind), { limit: PAGE, ...(after === undefined ? {} : { after }) });
    for (const { id: place, value } of page) yield { place, id: JSON.parse(value) as string };
    after = page.length < PAGE ? undefined : page.at(-1)?.id;
  } while (after !== undefined);
}

/** How many there are, counted up to `atMost`. */
export async function countOpenJobs(records: Records, kind: string, atMost: number): Promise<number> {
  return (await records.list(listOf(kind), { limit: atMost })).length;
}

export async function removeOpenJob(records: Records, kind: string, { place }: OpenJob): Promise<void> {
  await records.remove(listOf(kind), place);
}

/**
 * Whether nothing will come of a place any more: its job has ended, or was never written. A job that has ended but names
 * another place is the one before: the next is about to be written.
 */
export function isOver({ place }: OpenJob, job: Job | undefined, now: number): boolean {
  if (job !== undefined && !hasEnded(job)) return false;
  return job?.place === place || Number(place.slice(0, TIME_CHARS)) + ORPHAN_MS < now;
}

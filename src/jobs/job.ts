// A job as it is kept: one record each, changed by compare-and-set, so that what it says is true for every process.
import type { Issue } from '../base/outcome.ts';
import type { Records } from '../store/store.ts';

export type JobState = 'waiting' | 'running' | 'done' | 'failed' | 'cancelled';

export interface Job {
  id: string;
  kind: string;
  state: JobState;
  /** What it was submitted with; JSON, and small: it is written anew with every change. */
  input: unknown;
  /** What its handler saved last; JSON. */
  saved?: unknown;
  /** Of a job that is done; JSON. */
  result?: unknown;
  /** Why it failed, for the client. */
  issues?: readonly Issue[];
  /** 0 to 1, where the handler knows. */
  progress?: number;
  submittedAt: number;
  /** In the list of open jobs. */
  place: string;
  /** Times that a process took it up and did not let go of it in good order. */
  attempts: number;
  /** After a fault: not to be taken up before this instant. */
  notBefore?: number;
  /** The process that runs it, and the instant until which it is believed to live. */
  holder?: string;
  leasedUntil?: number;
}

/** A job with the version of its record. */
export interface KeptJob {
  job: Job;
  version: number;
}

export const hasEnded = ({ state }: Job): boolean => state === 'done' || state === 'failed' || state === 'cancelled';

const KIND = 'job';
/** What became of a job is known so long. */
const KEPT_MS = 24 * 60 * 60 * 1000;

export async function readJob(records: Records, id: string): Promise<KeptJob | undefined> {
  const record = await records.get(KIND, id);
  return record && { job: JSON.parse(record.value) as Job, version: record.version };
}

/** The new version; undefined when somebody else wrote in between. `now`: ms since the epoch. */
export function writeJob(records: Records, job: Job, expect: number, now: number): Promise<number | undefined> {
  const expires = hasEnded(job) ? { expires: now + KEPT_MS } : {};
  return records.put({ kind: KIND, id: job.id, value: JSON.stringify(job), ...expires }, expect);
}

/** True when this version was there to be removed. */
export const removeJob = (records: Records, { job, version }: KeptJob): Promise<boolean> =>
  records.remove(KIND, job.id, version);

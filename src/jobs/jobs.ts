// Long work as records in the store: submitted once, run by one process at a time, taken up again by another when that
// one dies. A job's own state is JSON that its handler saves as it goes, so that a restart continues and does not repeat.
// Work may still be done twice: a process can die between doing a thing and saving that it did.
import type { Clock } from '../base/clock.ts';
import { FhirError, type Issue } from '../base/outcome.ts';
import type { Records } from '../store/store.ts';
import { hasEnded, type Job, type KeptJob, readJob, removeJob, writeJob } from './job.ts';
import { Lease, leasedFrom } from './lease.ts';
import { addOpenJob, countOpenJobs, isOver, type OpenJob, openJobs, removeOpenJob } from './open-jobs.ts';

/** A job while it runs. */
export interface RunningJob {
  id: string;
  input: unknown;
  saved: unknown;
  /** Keeps how far the work has come. Throws when the job was cancelled or another process has taken it over. */
  save(saved: unknown, progress?: number): Promise<void>;
  /** Aborted on cancellation, loss of the lease, or the process's end. */
  signal: AbortSignal;
}

/** Resolves to the job's result. A FhirError fails the job; any other error lets it be tried again. */
export type JobHandler = (job: RunningJob) => Promise<unknown>;

export interface JobsOptions {
  records: Records;
  clock: Clock;
  /** By kind. */
  handlers: Readonly<Record<string, JobHandler>>;
  /** Told of errors that are faults. */
  onFault: (error: unknown, kind: string) => void;
  /** How often to look for work that other processes left, ms. */
  lookMs?: number;
}

export interface Jobs {
  /** The id of the new job, or of the one that is under way under `id`. */
  submit(kind: string, input: unknown, id?: string): Promise<string>;
  get(id: string): Promise<Job | undefined>;
  /** How many of a kind have not ended, counted up to `atMost`; some that just did may be among them. */
  countOpen(kind: string, atMost: number): Promise<number>;
  /** Whether there was a job that had not ended; its handler hears of it within seconds. */
  cancel(id: string): Promise<boolean>;
  /** Removes what became of a job that has ended; whether there was one. */
  forget(id: string): Promise<boolean>;
  /** Begins to look for work, and to do it. */
  start(): void;
  /** Lets go of what is running, for another process or the next start. */
  stop(): Promise<void>;
}

const LOOK_MS = 2_000;
/** Of each kind, so that long work of one kind never keeps another waiting. */
const RUNNING_MAX = 2;
/** Also of processes that die of the job. */
const ATTEMPTS_MAX = 5;
/** After a first fault; doubled with each: 2, 4, 8 and 16 s see a store through a short absence. */
const RETRY_MS = 2_000;

export function createJobs(options: JobsOptions): Jobs {
  return new Runner(options);
}

class Runner implements Jobs {
  readonly #options: JobsOptions;
  readonly #holder: string;
  readonly #running = new Map<string, { lease: Lease; ended: Promise<void> }>();
  #timer: NodeJS.Timeout | undefined;
  #isStopped = true;
  #looking: Promise<void> | undefined;
  #looksAgain = false;

  constructor(options: JobsOptions) {
    this.#options = options;
    this.#holder = options.clock.newId();
  }

  async submit(kind: string, input: unknown, id = this.#options.clock.newId()): Promise<string> {
    const { records, clock } = this.#options;
    const known = await readJob(records, id);
    if (known !== undefined && !hasEnded(known.job)) return id;
    const place = await addOpenJob(records, kind, id, clock);
    const job: Job = { id, kind, state: 'waiting', input, submittedAt: clock.now(), place, attempts: 0 };
    await this.#write(job, known?.version ?? 0);
    this.#look();
    return id;
  }

  async get(id: string): Promise<Job | undefined> {
    return (await readJob(this.#options.records, id))?.job;
  }

  countOpen(kind: string, atMost: number): Promise<number> {
    return countOpenJobs(this.#options.records, kind, atMost);
  }

  async cancel(id: string): Promise<boolean> {
    for (;;) {
      const known = await readJob(this.#options.records, id);
      if (known === undefined || hasEnded(known.job)) return false;
      const done = await this.#write({ ...known.job, state: 'cancelled' }, known.version);
      // Its holder wrote in between, which it does every few seconds at most.
      if (done === undefined) continue;
      this.#running.get(id)?.lease.letGo();
      return true;
    }
  }

  async forget(id: string): Promise<boolean> {
    const known = await readJob(this.#options.records, id);
    return known !== undefined && hasEnded(known.job) && removeJob(this.#options.records, known);
  }

  start(): void {
    clearInterval(this.#timer);
    this.#isStopped = false;
    this.#timer = setInterval(() => {
      for (const { lease } of this.#running.values()) void lease.heartbeat();
      this.#look();
    }, this.#options.lookMs ?? LOOK_MS);
    this.#timer.unref();
    this.#look();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#looking;
    for (const { lease } of this.#running.values()) lease.letGo();
    await Promise.all([...this.#running.values()].map(({ ended }) => ended));
    clearInterval(this.#timer);
  }

  // ---- looking for work ----

  /** One look at a time; what asks for one meanwhile gets one more. */
  #look(): void {
    if (this.#isStopped) return;
    this.#looksAgain = this.#looking !== undefined;
    this.#looking ??= this.#takeUp()
      .catch((error) => this.#options.onFault(error, 'look'))
      .then(() => {
        this.#looking = undefined;
        if (this.#looksAgain) this.#look();
      });
  }

  async #takeUp(): Promise<void> {
    for (const kind of Object.keys(this.#options.handlers)) {
      if (this.#isFull(kind)) continue;
      for await (const open of openJobs(this.#options.records, kind)) {
        if (this.#isStopped) return;
        await this.#consider(kind, open);
        if (this.#isFull(kind)) break;
      }
    }
  }

  #isFull(kind: string): boolean {
    return [...this.#running.values()].filter(({ lease }) => lease.job.kind === kind).length >= RUNNING_MAX;
  }

  async #consider(kind: string, open: OpenJob): Promise<void> {
    const { records, clock } = this.#options;
    if (this.#running.has(open.id)) return;
    const known = await readJob(records, open.id);
    if (isOver(open, known?.job, clock.now())) await removeOpenJob(records, kind, open);
    else if (known !== undefined && isFree(known.job, clock.now())) await this.#claim(known);
  }

  async #claim({ job, version }: KeptJob): Promise<void> {
    if (job.attempts >= ATTEMPTS_MAX) {
      await this.#write(givenUp(job), version);
      return;
    }
    const lease = leasedFrom(this.#options.clock.now());
    const held: Job = { ...job, state: 'running', attempts: job.attempts + 1, holder: this.#holder, ...lease };
    const next = await this.#write(held, version);
    // Another process was faster.
    if (next !== undefined) this.#begin({ job: held, version: next });
  }

  // ---- running ----

  #begin(held: KeptJob): void {
    const { clock, onFault } = this.#options;
    const { id, kind } = held.job;
    const lease = new Lease(
      held,
      (job, expect) => this.#write(job, expect),
      () => clock.now(),
    );
    const ended = this.#run(lease)
      .catch((error) => onFault(error, kind))
      .then(() => {
        this.#running.delete(id);
        this.#look();
      });
    this.#running.set(id, { lease, ended });
  }

  async #run(lease: Lease): Promise<void> {
    const { id, kind, input, saved } = lease.job;
    const save = (state: unknown, progress?: number): Promise<void> =>
      lease.renew({ saved: state, ...(progress === undefined ? {} : { progress }) });
    try {
      const handler = this.#options.handlers[kind];
      if (handler === undefined) throw new Error(`no handler for ${kind}`);
      const result = await handler({ id, input, saved, save, signal: lease.signal });
      await lease.end({ state: 'done', ...(result === undefined ? {} : { result }) });
    } catch (error) {
      await this.#failed(lease, error);
    }
  }

  async #failed(lease: Lease, error: unknown): Promise<void> {
    const { clock, onFault } = this.#options;
    const { kind, attempts } = lease.job;
    if (lease.isLost) return;
    // What a handler says that was told to stop is no verdict on its work.
    if (lease.signal.aborted) return lease.end({ state: 'waiting', attempts: attempts - 1 });
    if (error instanceof FhirError) return lease.end({ state: 'failed', issues: error.issues });
    onFault(error, kind);
    if (attempts >= ATTEMPTS_MAX) return lease.end(givenUp(lease.job));
    return lease.end({ state: 'waiting', notBefore: clock.now() + RETRY_MS * 2 ** (attempts - 1) });
  }

  #write(job: Job, expect: number): Promise<number | undefined> {
    return writeJob(this.#options.records, job, expect, this.#options.clock.now());
  }
}

function isFree({ state, notBefore = 0, leasedUntil = 0 }: Job, now: number): boolean {
  return (state === 'waiting' && notBefore <= now) || (state === 'running' && leasedUntil < now);
}

const GIVEN_UP: Issue = {
  severity: 'error',
  code: 'exception',
  diagnostics: 'The work failed several times and was given up.',
};

function givenUp(job: Job): Job {
  const { holder: _, leasedUntil: __, notBefore: ___, ...rest } = job;
  return { ...rest, state: 'failed', issues: [GIVEN_UP] };
}

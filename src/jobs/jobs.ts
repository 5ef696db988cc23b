// Long work as records in the store: submitted once, run by one process at a time, taken up again by another when that
// one dies. A job's own state is JSON that its handler saves as it goes, so that a restart continues and does not repeat.
import type { Clock } from '../base/clock.ts';
import { FhirError, type Issue } from '../base/outcome.ts';
import type { Records } from '../store/store.ts';

export type JobState = 'waiting' | 'running' | 'done' | 'failed' | 'cancelled';

export interface Job {
  id: string;
  kind: string;
  state: JobState;
  /** What it was submitted with; JSON. */
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
  /** Times that a process took it up. */
  attempts: number;
  /** The process that runs it, and the instant until which it is believed to live. */
  holder?: string;
  leasedUntil?: number;
}

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
  handlers: Readonly<Record<string, JobHandler>>;
  /** Told of errors that are faults. */
  onFault: (error: unknown, kind: string) => void;
}

export interface Jobs {
  /** The id of the new job, or of the one that is already there under `id`. */
  submit(kind: string, input: unknown, id?: string): Promise<string>;
  get(id: string): Promise<Job | undefined>;
  /** Whether there was a job that had not ended; its handler hears of it within seconds. */
  cancel(id: string): Promise<boolean>;
  /** Begins to look for work, and to do it. */
  start(): void;
  /** Lets go of what is running, for another process or the next start. */
  stop(): Promise<void>;
}

const KIND = 'job';
const LEASE_MS = 30_000;
const HEARTBEAT_MS = 5_000;
const LOOK_MS = 2_000;
const RUNNING_MAX = 2;
const ATTEMPTS_MAX = 5;
/** What became of a job is known so long. */
const KEPT_MS = 24 * 60 * 60 * 1000;
const JOBS_LISTED = 200;

export function createJobs(options: JobsOptions): Jobs {
  return new Runner(options);
}

interface Versioned {
  job: Job;
  version: number;
}

class Runner implements Jobs {
  readonly #options: JobsOptions;
  readonly #holder: string;
  readonly #running = new Map<string, { over: AbortController; ended: Promise<void> }>();
  #timer: NodeJS.Timeout | undefined;
  #isStopped = true;
  #looking: Promise<void> = Promise.resolve();

  constructor(options: JobsOptions) {
    this.#options = options;
    this.#holder = options.clock.newId();
  }

  async submit(kind: string, input: unknown, id = this.#options.clock.newId()): Promise<string> {
    const job: Job = { id, kind, state: 'waiting', input, submittedAt: this.#options.clock.now(), attempts: 0 };
    const known = await this.#read(id);
    if (known !== undefined && !hasEnded(known.job)) return id;
    await this.#write(job, known?.version ?? 0);
    this.#look();
    return id;
  }

  async get(id: string): Promise<Job | undefined> {
    return (await this.#read(id))?.job;
  }

  async cancel(id: string): Promise<boolean> {
    for (;;) {
      const known = await this.#read(id);
      if (known === undefined || hasEnded(known.job)) return false;
      const done = await this.#write({ ...known.job, state: 'cancelled' }, known.version);
      if (done === undefined) continue;
      this.#running.get(id)?.over.abort();
      return true;
    }
  }

  start(): void {
    this.#isStopped = false;
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    this.#timer.unref();
    this.#look();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearInterval(this.#timer);
    await this.#looking;
    for (const { over } of this.#running.values()) over.abort();
    await Promise.all([...this.#running.values()].map(({ ended }) => ended));
  }

  #look(): void {
    if (this.#isStopped) return;
    this.#looking = this.#looking.then(() => this.#takeUp()).catch((error) => this.#options.onFault(error, 'look'));
  }

  async #takeUp(): Promise<void> {
    let after: string | undefined;
    do {
      const found = await this.#options.records.list(KIND, {
        limit: JOBS_LISTED,
        ...(after === undefined ? {} : { after }),
      });
      for (const record of found) {
        if (this.#isStopped || this.#running.size >= RUNNING_MAX) return;
        const job = JSON.parse(record.value) as Job;
        if (this.#isFree(job)) await this.#claim({ job, version: record.version });
      }
      after = found.length < JOBS_LISTED ? undefined : found.at(-1)?.id;
    } while (after !== undefined);
  }

  #isFree({ id, kind, state, leasedUntil = 0 }: Job): boolean {
    if (this.#options.handlers[kind] === undefined || this.#running.has(id)) return false;
    return state === 'waiting' || (state === 'running' && leasedUntil < this.#options.clock.now());
  }

  async #claim({ job, version }: Versioned): Promise<void> {
    const held: Job = { ...job, state: 'running', attempts: job.attempts + 1, holder: this.#holder, ...this.#lease() };
    const next = await this.#write(held, version);
    // Another process was faster.
    if (next === undefined) return;
    const over = new AbortController();
    const ended = this.#run({ job: held, version: next }, over).catch((error) =>
      this.#options.onFault(error, job.kind),
    );
    this.#running.set(job.id, { over, ended });
    void ended.then(() => {
      this.#running.delete(job.id);
      this.#look();
    });
  }

  async #run(held: Versioned, over: AbortController): Promise<void> {
    const { handlers } = this.#options;
    const lease = new Lease(
      held,
      over,
      (job, version) => this.#write(job, version),
      () => this.#lease(),
    );
    const heartbeat = setInterval(() => void lease.renew().catch(() => over.abort()), HEARTBEAT_MS);
    try {
      const handler = handlers[held.job.kind];
      if (handler === undefined) throw new Error(`no handler for ${held.job.kind}`);
      const { id, input, saved } = held.job;
      const save = (state: unknown, progress?: number): Promise<void> =>
        lease.renew({ saved: state, ...(progress === undefined ? {} : { progress }) });
      const result = await handler({ id, input, saved, save, signal: over.signal });
      await lease.end({ state: 'done', ...(result === undefined ? {} : { result }) });
    } catch (error) {
      await this.#failed(lease, held.job, error, over.signal);
    } finally {
      clearInterval(heartbeat);
    }
  }

  async #failed(lease: Lease, job: Job, error: unknown, signal: AbortSignal): Promise<void> {
    if (lease.isLost) return;
    if (error instanceof FhirError) return lease.end({ state: 'failed', issues: error.issues });
    if (signal.aborted) return lease.end({ state: 'waiting', attempts: job.attempts - 1 });
    this.#options.onFault(error, job.kind);
    if (job.attempts < ATTEMPTS_MAX) return lease.end({ state: 'waiting' });
    const issues: Issue[] = [
      { severity: 'error', code: 'exception', diagnostics: 'The work failed several times and was given up.' },
    ];
    return lease.end({ state: 'failed', issues });
  }

  #lease(): { leasedUntil: number } {
    return { leasedUntil: this.#options.clock.now() + LEASE_MS };
  }

  async #read(id: string): Promise<Versioned | undefined> {
    const record = await this.#options.records.get(KIND, id);
    return record && { job: JSON.parse(record.value) as Job, version: record.version };
  }

  /** The new version; undefined when somebody else wrote in between. */
  #write(job: Job, expect: number): Promise<number | undefined> {
    const { records, clock } = this.#options;
    const expires = hasEnded(job) ? { expires: clock.now() + KEPT_MS } : {};
    return records.put({ kind: KIND, id: job.id, value: JSON.stringify(job), ...expires }, expect);
  }
}

const hasEnded = ({ state }: Job): boolean => state === 'done' || state === 'failed' || state === 'cancelled';

/** The hold on a job: each write of it expects the version that this process wrote last. */
class Lease {
  #held: Versioned;
  #isLost = false;
  #writing: Promise<void> = Promise.resolve();
  readonly #over: AbortController;
  readonly #write: (job: Job, expect: number) => Promise<number | undefined>;
  readonly #renewed: () => { leasedUntil: number };

  constructor(
    held: Versioned,
    over: AbortController,
    write: (job: Job, expect: number) => Promise<number | undefined>,
    renewed: () => { leasedUntil: number },
  ) {
    this.#held = held;
    this.#over = over;
    this.#write = write;
    this.#renewed = renewed;
  }

  /** True when the job was cancelled or taken over. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** Writes come one after another, the heartbeat's and the handler's. */
  renew(change: Partial<Job> = {}): Promise<void> {
    const next = this.#writing.then(() => this.#put({ ...change, ...this.#renewed() }));
    this.#writing = next.catch(() => {});
    return next;
  }

  async end(change: Partial<Job>): Promise<void> {
    await this.#writing;
    if (this.#isLost) return;
    const { holder: _, leasedUntil: __, ...job } = this.#held.job;
    this.#held = { ...this.#held, job };
    await this.#put(change);
  }

  async #put(change: Partial<Job>): Promise<void> {
    if (this.#isLost) throw new JobLost();
    const job = { ...this.#held.job, ...change };
    const version = await this.#write(job, this.#held.version);
    if (version === undefined) {
      this.#isLost = true;
      this.#over.abort();
      throw new JobLost();
    }
    this.#held = { job, version };
  }
}

/** Thrown into a handler whose job is no longer its own. */
class JobLost extends Error {
  constructor() {
    super('the job was cancelled or taken over');
    this.name = 'JobLost';
  }
}

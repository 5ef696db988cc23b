// The hold of a process on a job: each write of it expects the version that this process wrote last, so that a process
// which was taken for dead notices with its next write and changes nothing any more.
import type { Job, KeptJob } from './job.ts';

/** Longer than a process is ever busy with one thing, so that none is taken for dead that lives. */
const LEASE_MS = 30_000;
const HEARTBEAT_MS = 5_000;

/** What a process that takes up a job writes into it. */
export const leasedFrom = (now: number): { leasedUntil: number } => ({ leasedUntil: now + LEASE_MS });

export class Lease {
  #held: KeptJob;
  #isLost = false;
  #isEnding = false;
  #writing: Promise<void> = Promise.resolve();
  readonly #over = new AbortController();
  readonly #write: (job: Job, expect: number) => Promise<number | undefined>;
  readonly #now: () => number;

  constructor(held: KeptJob, write: (job: Job, expect: number) => Promise<number | undefined>, now: () => number) {
    this.#held = held;
    this.#write = write;
    this.#now = now;
  }

  get job(): Job {
    return this.#held.job;
  }

  /** Aborted when the job was cancelled, taken over, or is to be let go of. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  /** True when the job was cancelled or taken over. */
  get isLost(): boolean {
    return this.#isLost;
  }

  letGo(): void {
    this.#over.abort();
  }

  /**
   * Keeps the hold while the handler is busy. A store that cannot be reached for a moment is no reason to give the work
   * up; one that cannot for so long that another process may have taken it is.
   */
  async heartbeat(): Promise<void> {
    const { leasedUntil = 0 } = this.#held.job;
    if (this.#isEnding) return;
    if (leasedUntil - this.#now() > LEASE_MS - HEARTBEAT_MS) return;
    try {
      await this.renew();
    } catch {
      if (leasedUntil < this.#now()) this.#over.abort();
    }
  }

  /** Writes come one after another, the heartbeat's and the handler's. Throws JobLost when the hold is lost. */
  renew(change: Partial<Job> = {}): Promise<void> {
    if (this.#isEnding) return Promise.reject(new JobLost());
    return this.#inTurn(() => this.#put({ ...change, ...leasedFrom(this.#now()) }));
  }

  /** The last write. Nothing is written to a job that is lost. */
  async end(change: Partial<Job>): Promise<void> {
    this.#isEnding = true;
    try {
      await this.#inTurn(() => {
        const { holder: _, leasedUntil: __, notBefore: ___, ...job } = this.#held.job;
        this.#held = { ...this.#held, job };
        return this.#put(change);
      });
    } catch (error) {
      if (!(error instanceof JobLost)) throw error;
    }
  }

  #inTurn(write: () => Promise<void>): Promise<void> {
    const next = this.#writing.then(write);
    this.#writing = next.catch(() => {});
    return next;
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

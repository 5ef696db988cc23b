// Threads for work that may take too long or too much memory: each does one job at a time, and one that is late or dies
// is replaced. The main thread only waits.
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';

export interface ThreadOptions {
  /** Memory of one thread. */
  heapMb: number;
  /** A thread that takes longer for a job is ended. */
  jobMs: number;
}

/** The thread was ended before it had an answer: it was late, or it needed too much memory. */
export class ThreadLost extends Error {}

interface Job {
  message: unknown;
  transfer: readonly ArrayBuffer[];
  resolve(answer: unknown): void;
  reject(error: Error): void;
}

/** At least two: one that is long at work does not keep all others waiting. */
const THREADS_MAX = Math.max(2, Math.min(4, availableParallelism() - 1));
/** A thread that nobody asks is ended, so that its memory is free. */
const IDLE_MS = 60_000;
/** Modules are loaded in some 0.3 s. */
const START_MS = 30_000;

export class Threads {
  readonly #module: URL;
  readonly #options: ThreadOptions;
  readonly #idle: Thread[] = [];
  readonly #waiting: Job[] = [];
  #count = 0;

  /** `module` posts a first message when it is ready, and then one answer to each message. */
  constructor(module: URL, options: ThreadOptions) {
    this.#module = module;
    this.#options = options;
  }

  /** What the module answers. Jobs wait in the order they came. Rejects with ThreadLost. */
  ask(message: unknown, transfer: readonly ArrayBuffer[] = []): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ message, transfer, resolve, reject });
      this.#next();
    });
  }

  #next(): void {
    const job = this.#waiting[0];
    if (job === undefined) return;
    let thread = this.#idle.pop();
    if (thread === undefined) {
      if (this.#count === THREADS_MAX) return;
      this.#count++;
      thread = new Thread(this.#module, this.#options, {
        free: (one) => {
          this.#idle.push(one);
          this.#next();
        },
        gone: (one) => {
          this.#count--;
          const at = this.#idle.indexOf(one);
          if (at >= 0) this.#idle.splice(at, 1);
          this.#next();
        },
      });
    }
    this.#waiting.shift();
    thread.perform(job);
  }
}

interface Owner {
  free(thread: Thread): void;
  gone(thread: Thread): void;
}

class Thread {
  readonly #worker: Worker;
  readonly #options: ThreadOptions;
  readonly #owner: Owner;
  #isReady = false;
  #job: Job | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(module: URL, options: ThreadOptions, owner: Owner) {
    this.#options = options;
    this.#owner = owner;
    this.#worker = new Worker(module, { resourceLimits: { maxOldGenerationSizeMb: options.heapMb } });
    this.#worker.on('message', (answer) => this.#answered(answer));
    this.#worker.on('error', (error) => this.#lost(error));
    this.#worker.on('exit', () => {
      this.#lost(undefined);
      owner.gone(this);
    });
  }

  perform(job: Job): void {
    this.#job = job;
    this.#worker.ref();
    this.#worker.postMessage(job.message, job.transfer);
    this.#limit(this.#isReady ? this.#options.jobMs : START_MS);
  }

  #answered(answer: unknown): void {
    if (!this.#isReady) {
      this.#isReady = true;
      this.#limit(this.#options.jobMs);
      return;
    }
    const job = this.#job;
    this.#job = undefined;
    // An idle thread does not keep the process alive.
    this.#worker.unref();
    this.#limit(IDLE_MS);
    this.#timer?.unref();
    job?.resolve(answer);
    this.#owner.free(this);
  }

  #limit(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#worker.terminate(), ms);
  }

  #lost(cause: unknown): void {
    clearTimeout(this.#timer);
    this.#job?.reject(new ThreadLost('The thread was ended before it had an answer', { cause }));
    this.#job = undefined;
  }
}

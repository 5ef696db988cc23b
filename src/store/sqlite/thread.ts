// A worker thread that answers messages in the order they came. It is started when first needed, and again when it died.
import { Worker } from 'node:worker_threads';
import { StoreError } from '../store.ts';

const YOUNG_MB = 16;

interface Waiting {
  resolve(answer: unknown): void;
  reject(error: StoreError): void;
}

export class Thread {
  readonly #file: string;
  readonly #path: string;
  #worker: Worker | undefined;
  #waiting: Waiting[] = [];

  /** `file`: the module to run, without its ending, beside this one; `path`: the store's file. */
  constructor(file: string, path: string) {
    this.#file = file;
    this.#path = path;
  }

  /** Rejects with StoreError('unavailable') when the thread dies before it has answered. */
  ask(message: unknown, transfer: readonly ArrayBuffer[] = []): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#worker ??= this.#start();
      this.#waiting.push({ resolve, reject });
      this.#worker.ref();
      this.#worker.postMessage(message, transfer);
    });
  }

  /** Lets the thread finish what it was asked, and ends it. */
  async close(): Promise<void> {
    const worker = this.#worker;
    if (worker === undefined) return;
    await this.ask('close').catch(() => undefined);
    // Its last answer let go of it; the end is waited for all the same.
    worker.ref();
    await worker.terminate();
  }

  #start(): Worker {
    // The same tree runs as .ts from a checkout and as .js from the package.
    const ending = import.meta.url.slice(import.meta.url.lastIndexOf('.'));
    const worker = new Worker(new URL(`./${this.#file}${ending}`, import.meta.url), {
      workerData: { path: this.#path },
      // What it works with lives for one answer; V8 would let the young grow to 128 MB.
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
    });
    worker.on('message', (answer) => {
      this.#waiting.shift()?.resolve(answer);
      // An idle thread does not keep the process alive.
      if (this.#waiting.length === 0) worker.unref();
    });
    worker.on('error', (error) => this.#died(worker, error));
    worker.on('exit', () => this.#died(worker));
    return worker;
  }

  #died(worker: Worker, cause?: unknown): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { reject } of waiting)
      reject(new StoreError('unavailable', `The store's ${this.#file} stopped`, { cause }));
  }
}

// The queue before the writer thread. While one batch is on its way to the disk the next one gathers, so that many
// commits share an fsync.
import { narrow } from '../planner.ts';
import type { Commit, Written } from '../store.ts';
import { StoreError } from '../store.ts';
import type { Answer, WriteBatch, WriteJob, WriteResult } from './jobs.ts';
import { unpackError } from './jobs.ts';
import { keysText } from './sql.ts';
import { tokensOf } from './terms.ts';
import { Thread } from './thread.ts';

interface Queued {
  job: WriteJob;
  bodies: readonly Uint8Array[];
  resolve(result: WriteResult): void;
  reject(error: StoreError): void;
}

/** Jobs and bytes that go to disk together: the transaction's memory, and how long the first of them waits. */
const BATCH_JOBS_MAX = 512;
const BATCH_BYTES_MAX = 32 * 1024 * 1024;
/** One batch stands ready while the writer has another: both threads work when all clients wait for answers. */
const BATCHES_AT_ONCE = 2;

export class Writer {
  readonly #thread: Thread;
  readonly #now: () => number;
  #queue: Queued[] = [];
  #underWay = 0;
  #isScheduled = false;
  #isClosed = false;
  #idle: (() => void)[] = [];

  constructor(path: string, now: () => number) {
    this.#thread = new Thread('writer-worker', path);
    this.#now = now;
  }

  async commit(commit: Commit): Promise<Written[]> {
    const bodies: Uint8Array[] = [];
    let from = 0;
    const writes = commit.writes.map(({ type, id, body, stampAt, ord, keys, terms, expect }) => {
      const packed = body === null ? null : { from, to: from + body.length };
      if (body !== null) bodies.push(body);
      from += body?.length ?? 0;
      return {
        type,
        id,
        body: packed,
        stampAt,
        ord,
        keys: keysText(keys),
        tokens: tokensOf(terms),
        ...(expect === undefined ? {} : { expect }),
      };
    });
    const checks = (commit.checks ?? []).map(({ ids, atMost, filter, ...alias }) => ({
      ...narrow(alias, filter),
      ids,
      atMost,
    }));
    const audit = commit.audit === undefined || commit.audit.length === 0 ? {} : { audit: commit.audit };
    const dryRun = commit.dryRun === true ? { dryRun: true as const } : {};
    return (await this.#send({ kind: 'commit', writes, checks, ...audit, ...dryRun }, bodies)) as Written[];
  }

  /** Any other job; resolves to its number. */
  async send(job: Exclude<WriteJob, { kind: 'commit' }>): Promise<number> {
    return (await this.#send(job, [])) as number;
  }

  /** Finishes the queue, copies the log into the file and ends the thread. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#queue.length > 0 || this.#underWay > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
    await this.#thread.close();
  }

  #send(job: WriteJob, bodies: readonly Uint8Array[]): Promise<WriteResult> {
    if (this.#isClosed) return Promise.reject(new StoreError('unavailable', 'The store is closed'));
    return new Promise((resolve, reject) => {
      this.#queue.push({ job, bodies, resolve, reject });
      this.#schedule();
    });
  }

  // Not at once: requests that are read in the same turn of the event loop share the batch.
  #schedule(): void {
    if (this.#isScheduled || this.#underWay >= BATCHES_AT_ONCE) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      if (this.#queue.length > 0 && this.#underWay < BATCHES_AT_ONCE) void this.#flush();
    });
  }

  async #flush(): Promise<void> {
    const batch = this.#take();
    this.#underWay++;
    try {
      const message = pack(batch, this.#now());
      const answers = (await this.#thread.ask(message, [message.bytes.buffer])) as readonly Answer<WriteResult>[];
      for (const [at, { resolve, reject }] of batch.entries()) {
        const answer = answers[at];
        if (answer !== undefined && 'ok' in answer) resolve(answer.ok);
        else
          reject(
            answer === undefined
              ? new StoreError('unavailable', 'The writer gave no answer')
              : unpackError(answer.error),
          );
      }
    } catch (error) {
      const failure =
        error instanceof StoreError ? error : new StoreError('unavailable', 'The writer failed', { cause: error });
      for (const { reject } of batch) reject(failure);
    } finally {
      this.#underWay--;
      if (this.#queue.length > 0) this.#schedule();
      else if (this.#underWay === 0) for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  #take(): Queued[] {
    let bytes = 0;
    let count = 0;
    for (const { bodies } of this.#queue) {
      for (const body of bodies) bytes += body.length;
      if (count > 0 && (count >= BATCH_JOBS_MAX || bytes > BATCH_BYTES_MAX)) break;
      count++;
    }
    return this.#queue.splice(0, count);
  }
}

/** The jobs with all bodies copied into one buffer, which changes owner instead of being cloned. */
function pack(batch: readonly Queued[], now: number): WriteBatch & { bytes: Uint8Array<ArrayBuffer> } {
  const size = batch.reduce((sum, { bodies }) => sum + bodies.reduce((length, body) => length + body.length, 0), 0);
  const bytes = new Uint8Array(new ArrayBuffer(size));
  let at = 0;
  const jobs = batch.map(({ job, bodies }) => {
    const start = at;
    for (const body of bodies) {
      bytes.set(body, at);
      at += body.length;
    }
    return start === 0 ? job : moved(job, start);
  });
  return { jobs, bytes, now };
}

/** The job with its bodies' places counted from the start of the batch. */
function moved(job: WriteJob, by: number): WriteJob {
  if (job.kind !== 'commit') return job;
  for (const write of job.writes) {
    if (write.body === null) continue;
    write.body.from += by;
    write.body.to += by;
  }
  return job;
}

// The queue before the writer thread. While one batch is on its way to the disk the next one gathers, so that many
// commits share an fsync.
import { slices } from '../../base/slices.ts';
import { narrow } from '../planner.ts';
import type { Commit, Write, Written } from '../store.ts';
import { StoreError } from '../store.ts';
import type { Answer, BatchAnswer, WriteBatch, WriteJob, WritePart, WriteResult } from './jobs.ts';
import { unpackError } from './jobs.ts';
import type { Snapshot } from './snapshot.ts';
import { keysText } from './sql.ts';
import { tokensOf } from './terms.ts';
import { Thread } from './thread.ts';
import type { PackedWrite } from './write.ts';

interface Queued {
  job: WriteJob;
  bodies: readonly Uint8Array[];
  resolve(result: WriteResult): void;
  reject(error: StoreError): void;
}

/** Jobs and bytes that go to disk together: the transaction's memory, and how long the first of them waits. */
const BATCH_JOBS_MAX = 512;
const BATCH_BYTES_MAX = 32 * 1024 * 1024;
/** More than one part of so many writes or bytes, some 5 ms, go ahead of their commit. */
const PART_WRITES_MAX = 500;
const PART_BYTES_MAX = 4 * 1024 * 1024;
/** One batch stands ready while the writer has another: both threads work when all clients wait for answers. */
const BATCHES_AT_ONCE = 2;

export class Writer {
  readonly #thread: Thread;
  readonly #now: () => number;
  readonly #snapshot: Snapshot | undefined;
  #queue: Queued[] = [];
  #underWay = 0;
  #isScheduled = false;
  /** Large commits so far. */
  #large = 0;
  #isClosed = false;
  #idle: (() => void)[] = [];

  /** `snapshot`: what this thread sees of the file at `path`. */
  constructor({ path, now, snapshot }: { path: string; now: () => number; snapshot: Snapshot | undefined }) {
    this.#thread = new Thread('writer-worker', path);
    this.#now = now;
    this.#snapshot = snapshot;
  }

  async commit(commit: Commit): Promise<Written[]> {
    const checks = (commit.checks ?? []).map(({ ids, atMost, filter, ...alias }) => ({
      ...narrow(alias, filter),
      ids,
      atMost,
    }));
    const audit = commit.audit === undefined || commit.audit.length === 0 ? {} : { audit: commit.audit };
    const dryRun = commit.dryRun === true ? { dryRun: true as const } : {};
    const job = { kind: 'commit' as const, checks, ...audit, ...dryRun };
    if (partEnd(commit.writes, 0) < commit.writes.length) {
      const parts = await this.#sendParts(commit.writes);
      return (await this.#send({ ...job, writes: [], parts }, [])) as Written[];
    }
    const { writes, bodies } = packed(commit.writes);
    return (await this.#send({ ...job, writes }, bodies)) as Written[];
  }

  /** Sends the writes of a large commit ahead of it, with turns for others; what the commit says of them. */
  async #sendParts(writes: readonly Write[]): Promise<{ of: number; count: number }> {
    const of = ++this.#large;
    const turn = slices();
    let count = 0;
    for (let from = 0; from < writes.length; count++) {
      await turn();
      if (this.#isClosed) throw new StoreError('unavailable', 'The store is closed');
      const to = partEnd(writes, from);
      const { writes: part, bodies } = packed(writes.slice(from, to));
      const bytes = joined(bodies);
      // Where the thread dies, the commit does not find them and says so.
      this.#thread.ask({ of, writes: part, bytes } satisfies WritePart, [bytes.buffer]).catch(() => {});
      from = to;
    }
    return { of, count };
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
      const answers = await this.#write(batch);
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

  async #write(batch: readonly Queued[]): Promise<readonly Answer<WriteResult>[]> {
    const message = pack(batch, this.#now());
    // Lines of the audit record are not looked at by what reads, and come with each read.
    let isRelevant = batch.some(({ job }) => job.kind !== 'append');
    this.#snapshot?.begun();
    try {
      const written = (await this.#thread.ask(message, [message.bytes.buffer])) as BatchAnswer;
      isRelevant ||= written.othersWrote;
      if (this.#snapshot !== undefined) this.#snapshot.isBrief = written.isLogLong;
      return written.answers;
    } finally {
      this.#snapshot?.ended(isRelevant);
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

/** Writes as they cross to the thread, and their bodies, whose places count from the first of them. */
function packed(writes: readonly Write[]): { writes: PackedWrite[]; bodies: Uint8Array[] } {
  const bodies: Uint8Array[] = [];
  let from = 0;
  const packed = writes.map(({ type, id, body, stampAt, ord, keys, terms, expect }) => {
    const place = body === null ? null : { from, to: from + body.length };
    if (body !== null) bodies.push(body);
    from += body?.length ?? 0;
    return {
      type,
      id,
      body: place,
      stampAt,
      ord,
      keys: keysText(keys),
      tokens: tokensOf(terms),
      ...(expect === undefined ? {} : { expect }),
    };
  });
  return { writes: packed, bodies };
}

/** Where the part that begins at `from` ends. */
function partEnd(writes: readonly Write[], from: number): number {
  let bytes = 0;
  let to = from;
  for (; to < writes.length && to - from < PART_WRITES_MAX; to++) {
    bytes += writes[to]?.body?.length ?? 0;
    if (to > from && bytes > PART_BYTES_MAX) break;
  }
  return to;
}

/** All bodies copied into one buffer, which changes owner instead of being cloned. */
function joined(bodies: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const size = bodies.reduce((sum, body) => sum + body.length, 0);
  const bytes = new Uint8Array(new ArrayBuffer(size));
  let at = 0;
  for (const body of bodies) {
    bytes.set(body, at);
    at += body.length;
  }
  return bytes;
}

/** The jobs with their bodies in one buffer. */
function pack(batch: readonly Queued[], now: number): WriteBatch & { bytes: Uint8Array<ArrayBuffer> } {
  let at = 0;
  const jobs = batch.map(({ job, bodies }) => {
    const start = at;
    for (const body of bodies) at += body.length;
    return start === 0 ? job : moved(job, start);
  });
  return { jobs, bytes: joined(batch.flatMap(({ bodies }) => bodies)), now };
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

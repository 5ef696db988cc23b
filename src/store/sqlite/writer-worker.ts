// The writer thread: each batch of jobs is one transaction and one fsync, each job a savepoint of its own.
import { parentPort, workerData } from 'node:worker_threads';
import { withWritten } from '../audit-written.ts';
import { asksForTerms } from '../conditions.ts';
import { StoreError, type Written } from '../store.ts';
import { ChainEnd } from './audit-write.ts';
import { typesPresent } from './history.ts';
import type { Answer, BatchAnswer, WriteBatch, WriteJob, WritePart, WriteResult } from './jobs.ts';
import { packError } from './jobs.ts';
import { applyJob } from './records.ts';
import { openWriter, WAL_PAGES } from './schema.ts';
import { Connection, raw, sql } from './sql.ts';
import { WaitingTerms } from './terms.ts';
import { applyWrites, type PackedWrite, verifyChecks } from './write.ts';

const connection = new Connection(openWriter((workerData as { path: string }).path));
const terms = new WaitingTerms();
const chain = new ChainEnd(connection);
let lastUpdated = latest();
let othersVersion = dataVersion();
let othersWrote = false;
let queue: Promise<void> = Promise.resolve();
let batches = 0;
let logIsLong = false;
/** Batches between two looks at the length of the log. */
const BATCHES_UNSEEN = 256;
const BATCHES_UNSEEN_LONG = 16;

/** Writes of commits that have not come yet, by the number of the commit. */
const kept = new Map<number, Omit<WritePart, 'of'>[]>();

parentPort?.on('message', (message: WriteBatch | WritePart | 'close') => {
  queue = queue.then(async () => {
    if (message === 'close') close();
    else if ('of' in message) keepPart(message);
    else {
      othersWrote = false;
      const answers = await runBatch(message);
      parentPort?.postMessage({ answers, isLogLong: isLogLong(), othersWrote } satisfies BatchAnswer);
      for (const job of message.jobs) if (job.kind === 'commit' && job.parts !== undefined) kept.delete(job.parts.of);
    }
  });
});

/** The newest lastUpdated in the store: what comes next must be later. */
function latest(): number {
  const newest = typesPresent(connection).map((type) =>
    connection.number(sql`SELECT max(lu) FROM resource WHERE type = ${type}`),
  );
  return Math.max(0, ...newest);
}

/** Changes when a connection other than this one has written. https://sqlite.org/pragma.html#pragma_data_version */
function dataVersion(): number {
  return connection.number(raw('PRAGMA data_version'));
}

/** Later than all that is stored: another process may have written while this one waited for its turn. */
function nextInstant(now: number): number {
  const version = dataVersion();
  if (version !== othersVersion) {
    lastUpdated = Math.max(lastUpdated, latest());
    chain.forget();
    othersWrote = true;
  }
  othersVersion = version;
  return Math.max(now, lastUpdated + 1);
}

async function runBatch(batch: WriteBatch): Promise<readonly Answer<WriteResult>[]> {
  try {
    run('BEGIN IMMEDIATE');
    // All commits of a batch become visible and durable at the same instant, so they share it.
    const instant = nextInstant(batch.now);
    const answers: Answer<WriteResult>[] = [];
    for (const job of batch.jobs) answers.push(await runJob(job, batch, instant));
    terms.write(connection);
    run('COMMIT');
    // Reads, too, have their rows in the audit record: time does not run ahead of the clock for them.
    if (batch.jobs.some((job) => job.kind === 'commit' && !isDry(job))) lastUpdated = instant;
    return answers;
  } catch (error) {
    terms.clear();
    chain.forget();
    if (connection.db.isTransaction) run('ROLLBACK');
    return batch.jobs.map(() => ({ error: { ...packError(error), kind: 'unavailable' } }));
  }
}

async function runJob(job: WriteJob, batch: WriteBatch, instant: number): Promise<Answer<WriteResult>> {
  // What this one asks for may be what one before it wrote.
  if (job.kind === 'commit' && job.checks.some(({ where }) => asksForTerms(where))) terms.write(connection);
  run('SAVEPOINT job');
  try {
    const ok = await perform(job, batch, instant);
    if (isDry(job)) undo();
    terms.keep();
    chain.keep();
    run('RELEASE job');
    return { ok };
  } catch (error) {
    // A full disk may have ended the whole transaction already: then the batch fails.
    if (!connection.db.isTransaction) throw error;
    undo();
    run('RELEASE job');
    return { error: packError(error) };
  }
}

/**
 * Whether the log has grown beyond the length at which COMMIT copies it into the file. It begins anew only when nobody
 * reads from it; copying it again and again meanwhile is what a checkpoint here and there is to find out.
 */
function isLogLong(): boolean {
  if (++batches % (logIsLong ? BATCHES_UNSEEN_LONG : BATCHES_UNSEEN) === 0) {
    const [, pages] = connection.get(raw('PRAGMA wal_checkpoint(PASSIVE)')) ?? [];
    logIsLong = Number(pages ?? 0) >= WAL_PAGES;
  }
  return logIsLong;
}

function undo(): void {
  run('ROLLBACK TO job');
  terms.drop();
  chain.drop();
}

function isDry(job: WriteJob): boolean {
  return job.kind === 'commit' && job.dryRun === true;
}

async function perform(job: WriteJob, batch: WriteBatch, instant: number): Promise<WriteResult> {
  if (job.kind === 'append') {
    chain.append(job.entries);
    return job.entries.length;
  }
  if (job.kind !== 'commit') return applyJob({ connection, terms }, job, batch.now);
  if (job.checks.length > 0) await verifyChecks(connection, job.checks);
  const written: Written[] = [];
  const writes: PackedWrite[] = [];
  for (const part of partsOf(job, batch)) {
    written.push(...applyWrites({ connection, terms }, { ...part, first: written.length }, instant));
    writes.push(...part.writes);
  }
  if (job.audit !== undefined) chain.append(withWritten(job.audit, writes, written));
  return written;
}

function keepPart({ of, writes, bytes }: WritePart): void {
  const others = kept.get(of);
  if (others === undefined) kept.set(of, [{ writes, bytes }]);
  else others.push({ writes, bytes });
  parentPort?.postMessage('kept');
}

function partsOf(
  { writes, parts }: Extract<WriteJob, { kind: 'commit' }>,
  { bytes }: WriteBatch,
): readonly Omit<WritePart, 'of'>[] {
  if (parts === undefined) return [{ writes, bytes }];
  const found = kept.get(parts.of);
  // The thread that they were sent to has died.
  if (found?.length !== parts.count) throw new StoreError('unavailable', 'Parts of the commit were lost');
  return found;
}

function run(text: string): void {
  connection.statement(text).run();
}

function close(): void {
  connection.db.exec('PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE);');
  connection.close();
  parentPort?.postMessage('closed');
  parentPort?.close();
}

// The writer thread: each batch of jobs is one transaction and one fsync, each job a savepoint of its own.
import { parentPort, workerData } from 'node:worker_threads';
import { withWritten } from '../audit-written.ts';
import { asksForTerms } from '../conditions.ts';
import { ChainEnd } from './audit-write.ts';
import { typesPresent } from './history.ts';
import type { Answer, WriteBatch, WriteJob, WriteResult } from './jobs.ts';
import { packError } from './jobs.ts';
import { applyJob } from './records.ts';
import { openWriter } from './schema.ts';
import { Connection, raw, sql } from './sql.ts';
import { WaitingTerms } from './terms.ts';
import { applyWrites, verifyChecks } from './write.ts';

const connection = new Connection(openWriter((workerData as { path: string }).path));
const terms = new WaitingTerms();
const chain = new ChainEnd(connection);
let lastUpdated = latest();
let othersVersion = dataVersion();
let queue: Promise<void> = Promise.resolve();

parentPort?.on('message', (message: WriteBatch | 'close') => {
  queue = queue.then(async () => {
    if (message === 'close') close();
    else parentPort?.postMessage(await runBatch(message));
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
  const written = applyWrites({ connection, terms }, job.writes, batch.bytes, instant);
  if (job.audit !== undefined) chain.append(withWritten(job.audit, job.writes, written));
  return written;
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

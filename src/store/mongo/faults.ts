// What MongoDB and its driver throw, in the words of the port; and the one loop that runs and repeats a transaction.
import { setTimeout as pause } from 'node:timers/promises';
import type { ClientSession, MongoClient, TransactionOptions } from 'mongodb';
import {
  MongoError,
  MongoNetworkError,
  MongoNotConnectedError,
  MongoOperationTimeoutError,
  MongoServerError,
  MongoServerSelectionError,
  MongoTopologyClosedError,
  MongoWriteConcernError,
} from 'mongodb';
import { StoreError } from '../store.ts';
import { endOrphans } from './orphans.ts';

const MAX_TIME_EXPIRED = 50;
const DUPLICATE_KEY = 11_000;
/** What one transaction changes stays in the server's cache until it is committed. */
const TRANSACTION_TOO_LARGE = 388;
/** A sort or group that would need more memory than the server allows it. */
const MEMORY_EXCEEDED: ReadonlySet<number> = new Set([146, 292, 16_819]);
/** No primary, stepping down, shutting down, network, lock and disk trouble: it may be better soon. */
const UNAVAILABLE: ReadonlySet<number> = new Set([
  6, 7, 24, 64, 89, 91, 94, 100, 112, 133, 134, 189, 202, 246, 251, 262, 9_001, 10_058, 10_107, 11_600, 11_602, 13_435,
  13_436, 14_031,
]);

/** Errors of the driver's pool and topology, some of them without a class in its public face. */
const CONNECTION_TROUBLE: ReadonlySet<string> = new Set([
  'MongoClientClosedError',
  'MongoExpiredSessionError',
  'MongoPoolClearedError',
  'MongoPoolClosedError',
  'MongoServerClosedError',
  'MongoStalePrimaryError',
  'MongoUnexpectedServerResponseError',
  'MongoWaitQueueTimeoutError',
]);

const SOCKET_CODES: ReadonlySet<unknown> = new Set([
  'EPIPE',
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ERR_STREAM_DESTROYED',
  'ERR_STREAM_WRITE_AFTER_END',
  'ERR_STREAM_PREMATURE_CLOSE',
]);

/** Attempts of one transaction that meets the writes of other processes. */
const ATTEMPTS_MAX = 40;
const BACKOFF_MS = 4;
const BACKOFF_MS_MAX = 250;
/** No new attempt after this. Together with the time in the queue it stays below what a request may take. */
const TRANSACT_MS_MAX = 15_000;
const COMMIT_ATTEMPTS_MAX = 3;
/** Giving an attempt up must not take as long as what it was given up for. */
const ABORT_MS_MAX = 2_000;
const ORPHANS_MS_MAX = 5_000;
/** Waiting for a majority; longer than any flush takes on servers that work. */
const COMMIT_MS_MAX = 10_000;
/** For one call to the server; longer than the server itself is allowed to take for any. */
const ANSWER_MS_MAX = 15_000;
/** For work on the whole store, such as counting a type. */
export const LONG_MS_MAX = 600_000;
/** Then it may be no living process that holds the row: 0.1 s have passed. */
const ATTEMPTS_BEFORE_ORPHANS = 6;

/** The StoreError that a driver's error stands for; anything else comes back as it is. */
export function faultOf(wrapped: unknown): unknown {
  const error = innermost(wrapped);
  if (isSocketError(error)) {
    return new StoreError('unavailable', 'The database cannot be reached', { cause: error });
  }
  if (error instanceof StoreError || !(error instanceof MongoError)) return error;
  const code = error instanceof MongoServerError ? error.code : undefined;
  if (code === MAX_TIME_EXPIRED || error instanceof MongoOperationTimeoutError || MEMORY_EXCEEDED.has(Number(code))) {
    return new StoreError('too-costly', 'The search takes more than it may; narrow it', { cause: error });
  }
  if (code === TRANSACTION_TOO_LARGE) {
    return new StoreError('too-costly', 'One transaction is too large for the cache of the database', { cause: error });
  }
  if (isUnavailable(error, code)) {
    return new StoreError('unavailable', 'The database cannot be reached or cannot write now', { cause: error });
  }
  return error;
}

/** A bulk write wraps what went wrong on the way, without its class. */
function innermost(error: unknown): unknown {
  return error instanceof MongoServerError && error.errorResponse instanceof MongoError ? error.errorResponse : error;
}

/** A socket that ends while it is written to comes through the driver as Node's own error (EPIPE and its like). */
function isSocketError(error: unknown): boolean {
  return error instanceof Error && !(error instanceof MongoError) && 'code' in error && SOCKET_CODES.has(error.code);
}

/** The driver labels most of these as repeatable, but not those that it meets while it takes a connection. */
function isConnectionLost(error: unknown): boolean {
  return error instanceof MongoNetworkError || isSocketError(error);
}

function isUnavailable(error: MongoError, code: number | string | undefined): boolean {
  return (
    error instanceof MongoNetworkError ||
    error instanceof MongoServerSelectionError ||
    error instanceof MongoNotConnectedError ||
    error instanceof MongoTopologyClosedError ||
    error instanceof MongoWriteConcernError ||
    error.hasErrorLabel('TransientTransactionError') ||
    error.hasErrorLabel('RetryableWriteError') ||
    UNAVAILABLE.has(Number(code)) ||
    CONNECTION_TROUBLE.has(error.name)
  );
}

/**
 * Runs one call to the driver and throws its error in the port's words. The driver has been seen not to answer at all
 * after a server was killed under load, past every timeout of its own; so no call is waited for longer than `msMax`.
 */
export async function told<T>(work: () => Promise<T>, msMax = ANSWER_MS_MAX): Promise<T> {
  try {
    return await within(msMax, work(), () => new StoreError('unavailable', 'The database did not answer'));
  } catch (error) {
    throw faultOf(error);
  }
}

export function isDuplicateKey(error: unknown): boolean {
  return error instanceof MongoServerError && error.code === DUPLICATE_KEY;
}

const OPTIONS: TransactionOptions = {
  readConcern: { level: 'snapshot' },
  writeConcern: { w: 'majority', journal: true },
  readPreference: 'primary',
  maxCommitTimeMS: COMMIT_MS_MAX,
};

/** What an attempt knows of itself. */
export interface Attempt {
  attempt: number;
  isDuplicate: boolean;
  /** Aborted when the attempt was given up. */
  signal: AbortSignal;
}

/**
 * Runs `work` in a transaction and commits it, durable on a majority. Met by a concurrent write, all of it starts again
 * on a new snapshot, so the loser of a race sees what the winner wrote; after too many attempts: 'unavailable'.
 * `work` gets the attempt (from 1) and whether a duplicate key ended one before. An attempt that takes longer than
 * `attemptMs` is given up and started again; its signal is then aborted, and it must not write any more.
 */
export async function transact<T>(
  client: MongoClient,
  work: (session: ClientSession, again: Attempt) => Promise<T>,
  { attemptMs = ANSWER_MS_MAX }: { attemptMs?: number } = {},
): Promise<T> {
  let isDuplicate = false;
  const endsAt = performance.now() + TRANSACT_MS_MAX;
  for (let attempt = 1; ; attempt += 1) {
    const session = client.startSession();
    try {
      session.startTransaction(OPTIONS);
      const over = new AbortController();
      const working = work(session, { attempt, isDuplicate, signal: over.signal });
      const tooLong = (): Error => {
        over.abort();
        // What it waits for on the server ends with it, and it lets go of its rows.
        void endSession(client, session);
        return new Again('an attempt took too long');
      };
      const result = await within(attemptMs, working, tooLong);
      await within(COMMIT_MS_MAX * 1.2, commitTransaction(session), unanswered);
      return result;
    } catch (error) {
      await abort(session);
      if (isDuplicateKey(error)) isDuplicate = true;
      else if (!isTransient(error)) throw faultOf(error);
      if (attempt >= ATTEMPTS_MAX || performance.now() > endsAt) {
        throw new StoreError('unavailable', 'Too many writes meet here; try again', { cause: error });
      }
    } finally {
      await atMost(ABORT_MS_MAX, session.endSession());
    }
    if (attempt % ATTEMPTS_BEFORE_ORPHANS === 0) await atMost(ORPHANS_MS_MAX, endOrphans(client));
    // Full jitter, so that losers do not meet again; a duplicate key is looked up at once.
    if (!isDuplicate || attempt > 1) {
      await pause(Math.random() * Math.min(BACKOFF_MS_MAX, BACKOFF_MS * 2 ** Math.min(attempt, 8)));
    }
  }
}

/** Thrown by the work of a transaction that wants to start again. */
export class Again extends Error {}

function isTransient(wrapped: unknown): boolean {
  const error = innermost(wrapped);
  if (error instanceof Unanswered) return false;
  // A query of the transaction that has been put in the port's words already.
  if (error instanceof StoreError) return error.kind === 'unavailable' && isTransient(error.cause);
  if (error instanceof Again || isConnectionLost(error)) return true;
  if (!(error instanceof MongoError) || error instanceof MongoServerSelectionError) return false;
  return error.hasErrorLabel('TransientTransactionError');
}

/** A commit whose answer got lost is asked again; the server knows whether it happened. */
async function commitTransaction(session: ClientSession): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await session.commitTransaction();
    } catch (error) {
      const isUnknown = error instanceof MongoError && error.hasErrorLabel('UnknownTransactionCommitResult');
      if (!isUnknown && !isConnectionLost(error)) throw error;
      if (attempt >= COMMIT_ATTEMPTS_MAX || error instanceof MongoServerSelectionError) {
        throw unanswered(error);
      }
    }
  }
}

/** Never followed by another attempt: what was asked for may have been done. */
class Unanswered extends StoreError {}

function unanswered(cause?: unknown): Unanswered {
  return new Unanswered('unavailable', 'The database did not answer; the commit may have happened', { cause });
}

/** The result of `work`, or the error that `late` makes when it is not there in time; `work` goes on unheard then. */
async function within<T>(ms: number, work: Promise<T>, late: () => Error): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(late()), ms);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Ends a session on the server, whatever it is doing. Never throws: the server ends it by itself in a minute. */
async function endSession(client: MongoClient, session: ClientSession): Promise<void> {
  const id = session.id?.id;
  if (id === undefined) return;
  await client
    .db('admin')
    .command({ killSessions: [{ id }] })
    .catch(() => {});
}

async function abort(session: ClientSession): Promise<void> {
  // Where that fails the server forgets it by itself.
  if (session.inTransaction()) await atMost(ABORT_MS_MAX, session.abortTransaction());
}

/** Waits for work whose outcome decides nothing, for so long at most. Never throws. */
async function atMost(ms: number, work: Promise<unknown>): Promise<void> {
  await within(ms, work, unanswered).catch(() => {});
}

/** Milliseconds left of a budget that started at construction. */
export class Budget {
  readonly #endsAt: number;

  constructor(budgetMs: number) {
    this.#endsAt = performance.now() + budgetMs;
  }

  /** For maxTimeMS; throws StoreError('too-costly') when nothing is left. */
  leftMs(): number {
    const left = Math.ceil(this.#endsAt - performance.now());
    if (left <= 0) throw new StoreError('too-costly', 'The search takes more than it may; narrow it');
    return left;
  }
}

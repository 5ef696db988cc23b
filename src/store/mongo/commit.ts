// Commits. Those that wait go together in one transaction: one insert, one update, one outbox entry and one flush for
// many of them. A few transactions may be under way if they touch different rows: the next one writes while the one
// before is flushed. They are committed in the order in which they began, so lastUpdated grows in commit order within a
// process, and nothing of one process conflicts with itself. Commits of other processes meet in the database; there
// the loser starts again.
import type { AnyBulkWriteOperation, ClientSession, MongoClient } from 'mongodb';
import { ObjectId, Timestamp } from 'mongodb';
import type { Clock } from '../../base/clock.ts';
import { slices } from '../../base/slices.ts';
import { withWritten } from '../audit-written.ts';
import type { AuditEntry, Commit, Written } from '../store.ts';
import { StoreError } from '../store.ts';
import { type Chains, Extension } from './audit-chains.ts';
import { failedChecks, lockChecks } from './checks.ts';
import { Again, type Attempt, transact } from './faults.ts';
import { groupSize } from './group.ts';
import type { AuditDoc, Collections, ResourceDoc } from './layout.ts';
import { Stage } from './stage.ts';

/** Transactions under way at once. The server works on each with one core. */
const GROUPS_MAX = 3;
/** One attempt; longer than any takes on a server that works. Then it starts again. Large ones have more, for each write. */
const ATTEMPT_MS_MAX = 8_000;
const ATTEMPT_MS_PER_WRITE = 1;
/** A commit that has waited for so long is told so instead of being begun. */
const QUEUE_MS_MAX = 20_000;

type Outcome = Written[] | StoreError;

interface Waiting {
  commit: Commit;
  /** By performance.now(): later it is not begun any more. */
  until: number;
  resolve(written: Written[]): void;
  reject(reason: unknown): void;
}

interface Context {
  client: MongoClient;
  on: Collections;
  clock: Clock;
  chains: Chains;
}

/** Commits that share a transaction, and the rows they touch. */
interface Group {
  members: readonly Waiting[];
  refs: ReadonlySet<string>;
  hasChecks: boolean;
  /** Until everything is written and only the flush remains. */
  isWorking: boolean;
}

/** Takes commits and groups them. */
export class Committer {
  readonly #context: Context;
  #queue: Waiting[] = [];
  #isScheduled = false;
  readonly #underWay = new Set<Group>();
  readonly #rehearsals = new Set<Promise<unknown>>();
  /** Settles when the youngest group is done with. */
  #youngest: Promise<void> = Promise.resolve();
  /** The latest lastUpdated given out, and the latest one committed. */
  #given: number;
  #committed: number;

  /** `after`: the latest lastUpdated in the database; time goes on from there, whatever the clock says. */
  constructor(context: Context, after: number) {
    this.#context = context;
    this.#given = after;
    this.#committed = after;
  }

  commit(commit: Commit): Promise<Written[]> {
    if (commit.dryRun === true) return this.#rehearse(commit);
    return new Promise((resolve, reject) => {
      this.#queue.push({ commit, until: performance.now() + QUEUE_MS_MAX, resolve, reject });
      this.#schedule();
    });
  }

  /** Resolves when nothing waits and nothing is under way. */
  async idle(): Promise<void> {
    while (this.#isScheduled || this.#queue.length > 0 || this.#underWay.size > 0) {
      await this.#youngest;
      await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.allSettled(this.#rehearsals);
  }

  /** A dry run: decided on a snapshot of its own, without a lock, so that nothing waits for it. */
  async #rehearse(commit: Commit): Promise<Written[]> {
    const deciding = this.#transact(
      async (session) => {
        const { outcomes } = await this.#decide(session, [commit], { isCareful: true });
        throw new Unchanged(outcomes);
      },
      [commit],
    );
    this.#rehearsals.add(deciding);
    try {
      const [outcome] = await deciding;
      if (!Array.isArray(outcome)) throw outcome;
      return outcome;
    } finally {
      this.#rehearsals.delete(deciding);
    }
  }

  /** Commits of the same turn of the event loop share a group. */
  #schedule(): void {
    if (this.#isScheduled || this.#queue.length === 0) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      while (this.#startNext());
    });
  }

  /**
   * Starts a group from the front of the queue unless it has to wait for one under way; whether it did. While one works,
   * commits gather for the next: a group for each that arrives halves the updates a second.
   */
  #startNext(): boolean {
    this.#rejectLate();
    if (this.#queue.length === 0 || this.#underWay.size >= GROUPS_MAX) return false;
    const group = this.#next();
    const isWhole = group.members.length === this.#queue.length;
    for (const other of this.#underWay) {
      if (isWhole && other.isWorking) return false;
      if (group.hasChecks || other.hasChecks || !group.refs.isDisjointFrom(other.refs)) return false;
    }
    this.#queue.splice(0, group.members.length);
    this.#underWay.add(group);
    const before = this.#youngest;
    const running = this.#run(group, before).then(() => {
      this.#underWay.delete(group);
      this.#schedule();
    });
    // A group may fail before its turn to commit; the next one waits for the one before that all the same.
    this.#youngest = Promise.all([before, running]).then(() => {});
    return true;
  }

  /** In order of arrival: the first that may still wait ends the search. */
  #rejectLate(): void {
    const now = performance.now();
    for (let first = this.#queue[0]; first !== undefined && first.until < now; first = this.#queue[0]) {
      this.#queue.shift();
      first.reject(new StoreError('unavailable', 'The database is too slow for what is asked of it'));
    }
  }

  #next(): Group {
    const members = this.#queue.slice(0, groupSize(this.#queue));
    const writes = members.flatMap(({ commit }) => commit.writes);
    return {
      members,
      refs: new Set(writes.map(({ type, id }) => `${type}/${id}`)),
      hasChecks: members.some(({ commit }) => (commit.checks?.length ?? 0) > 0),
      isWorking: true,
    };
  }

  /** Never rejects: each commit hears what became of it. */
  async #run(group: Group, before: Promise<void>): Promise<void> {
    const { members } = group;
    const audit = new Extension(this.#context.chains);
    try {
      const outcomes = await this.#transact(
        (session, again) => this.#attempt(session, { group, audit, again, before }),
        members.map(({ commit }) => commit),
      );
      audit.settle();
      for (const [at, { resolve, reject }] of members.entries()) {
        const outcome = outcomes[at];
        if (Array.isArray(outcome)) resolve(outcome);
        else reject(outcome);
      }
    } catch (error) {
      const isShared = members.length === 1 || (error instanceof StoreError && error.kind === 'unavailable');
      if (isShared) for (const { reject } of members) reject(error);
      // One of them cannot be checked or written at all; alone, each hears of its own trouble only.
      else for (const member of members) await this.#run({ ...group, members: [member] }, before);
    }
  }

  async #transact(
    work: (session: ClientSession, again: Attempt) => Promise<Tried>,
    commits: readonly Commit[],
  ): Promise<Outcome[]> {
    const writes = commits.reduce((sum, { writes }) => sum + writes.length, 0);
    const attemptMs = ATTEMPT_MS_MAX + ATTEMPT_MS_PER_WRITE * writes;
    try {
      const { outcomes, lastUpdated } = await transact(this.#context.client, work, { attemptMs });
      this.#committed = Math.max(this.#committed, lastUpdated);
      return outcomes;
    } catch (error) {
      // Nothing to write: the transaction was given up on purpose.
      if (error instanceof Unchanged) return error.outcomes;
      throw error;
    }
  }

  async #attempt(session: ClientSession, { group, audit, again, before }: Trial): Promise<Tried> {
    const { on } = this.#context;
    const commits = group.members.map(({ commit }) => commit);
    group.isWorking = true;
    await lockChecks(on, commits, session);
    const { stage, outcomes } = await this.#decide(session, commits, { isCareful: again.isDuplicate });
    // Not a resource that is there already: after the first duplicate they are looked up.
    if (again.isDuplicate && again.attempt > 2) audit.leave();
    const rows = audit.extend(entriesOf(commits, outcomes));
    if (stage.changes.length === 0) throw new Unchanged(outcomes);
    this.#given = stage.lastUpdated;
    await write(on, { stage, rows }, session, again.signal);
    group.isWorking = false;
    this.#schedule();
    await before;
    // The one before had to start again and got a later instant.
    if (stage.firstUpdated <= this.#committed) throw new Again();
    return { outcomes, lastUpdated: stage.lastUpdated };
  }

  /** What becomes of the commits and of the rows that they touch. */
  async #decide(
    session: ClientSession,
    commits: readonly Commit[],
    { isCareful }: { isCareful: boolean },
  ): Promise<{ stage: Stage; outcomes: Outcome[] }> {
    const { on, clock } = this.#context;
    const failures = await failedChecks(on, commits, session);
    const stored = await storedRows(on, commits, session, isCareful);
    const stage = new Stage(stored, { now: clock.now(), after: this.#given });
    // Another group may begin while a large commit takes its turns; its time is later.
    this.#given = Math.max(this.#given, stage.firstUpdated);
    const turn = slices();
    const outcomes: Outcome[] = [];
    for (const [at, { writes }] of commits.entries()) {
      outcomes.push(failures.get(at) ?? (await stage.add(writes, turn)));
    }
    return { stage, outcomes };
  }
}

/** What an attempt has to do with. */
interface Trial {
  group: Group;
  audit: Extension;
  again: Attempt;
  /** Settles when the group that began before is done with. */
  before: Promise<void>;
}

interface Tried {
  outcomes: Outcome[];
  lastUpdated: number;
}

/** Ends a transaction that has nothing to write. */
class Unchanged extends Error {
  readonly outcomes: Outcome[];

  constructor(outcomes: Outcome[]) {
    super('nothing to write');
    this.outcomes = outcomes;
  }
}

/**
 * The rows that the commits touch. Those expected absent are usually fresh and not looked up: should one exist, the
 * insert meets a duplicate key, and the transaction starts again with `isCareful`.
 */
async function storedRows(
  on: Collections,
  commits: readonly Commit[],
  session: ClientSession,
  isCareful: boolean,
): Promise<Map<string, ResourceDoc>> {
  const refs = new Set<string>();
  for (const { writes } of commits) {
    for (const { type, id, expect } of writes) if (isCareful || expect !== 'absent') refs.add(`${type}/${id}`);
  }
  if (refs.size === 0) return new Map();
  const batchSize = RUN_DOCS_MAX;
  const found = await on.resource.find({ _id: { $in: [...refs] } }, { session, hint: { _id: 1 }, batchSize }).toArray();
  return new Map(found.map((doc) => [doc._id, doc]));
}

/** What the audit record is to say of the commits that will have changed something. */
function entriesOf(commits: readonly Commit[], outcomes: readonly Outcome[]): AuditEntry[] {
  return commits.flatMap(({ audit, writes }, at) => {
    const outcome = outcomes[at];
    return audit === undefined || !Array.isArray(outcome) ? [] : withWritten(audit, writes, outcome);
  });
}

/** The outbox comes last: its server time then lies after everything that this transaction depended on. */
async function write(
  on: Collections,
  { stage, rows }: { stage: Stage; rows: readonly AuditDoc[] },
  session: ClientSession,
  signal: AbortSignal,
): Promise<void> {
  const { inserts, replacements, past, changes } = stage;
  // An attempt that was given up has no transaction any more: what it wrote now would stay.
  for (const run of runsOf(inserts)) {
    signal.throwIfAborted();
    await on.resource.insertMany(run, { session, ordered: false });
  }
  const versions = new Map(replacements.map(({ before, after }) => [after, before.v]));
  for (const run of runsOf([...versions.keys()])) {
    signal.throwIfAborted();
    const operations = run.map(
      (after): AnyBulkWriteOperation<ResourceDoc> => ({
        replaceOne: { filter: { _id: after._id, v: versions.get(after) ?? 0 }, replacement: after },
      }),
    );
    const { matchedCount } = await on.resource.bulkWrite(operations, { session, ordered: false });
    if (matchedCount !== run.length) throw new Error('a row changed within a snapshot');
  }
  for (const run of runsOf(past)) {
    signal.throwIfAborted();
    await on.history.insertMany(run, { session, ordered: false });
  }
  signal.throwIfAborted();
  if (rows.length > 0) await on.audit.insertMany([...rows], { session, ordered: false });
  signal.throwIfAborted();
  // The server replaces an empty timestamp by its own time.
  await on.outbox.insertOne({ _id: new ObjectId(), ts: new Timestamp({ t: 0, i: 0 }), changes }, { session });
}

/** Documents and bytes of bodies of one message to the database: the driver writes it in one go, some 10 ms. */
const RUN_DOCS_MAX = 500;
const RUN_BYTES_MAX = 4 * 1024 * 1024;

function* runsOf<T extends { body: ResourceDoc['body'] }>(docs: readonly T[]): Generator<T[]> {
  let run: T[] = [];
  let bytes = 0;
  for (const doc of docs) {
    const own = doc.body === null ? 0 : doc.body instanceof Uint8Array ? doc.body.length : doc.body.length();
    if (run.length > 0 && (run.length >= RUN_DOCS_MAX || bytes + own > RUN_BYTES_MAX)) {
      yield run;
      run = [];
      bytes = 0;
    }
    run.push(doc);
    bytes += own;
  }
  if (run.length > 0) yield run;
}

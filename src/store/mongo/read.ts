// Reads by id. Those that arrive in one turn of the event loop share one find: 0.45 of the server's CPU a read.
import type { Document } from 'mongodb';
import { matchesKeys } from '../match.ts';
import type { Condition, Filter, Key, Row } from '../store.ts';
import { allOf, compile, hasJoin } from './compile.ts';
import { told } from './faults.ts';
import type { Collections, HistoryDoc, ResourceDoc } from './layout.ts';
import { rowOf } from './rows.ts';

/** Ids of one find: at the common 2 kB a resource one answer has 1 MB. */
const BATCH_MAX = 500;
/** Finds under way at once; further reads gather for the next. */
const FINDS_MAX = 4;
/** Longer than any read takes on a server that works. */
const READ_MS_MAX = 10_000;

/** A current version as read; keys only where they were asked for. */
export type ReadDoc = Pick<ResourceDoc, '_id' | 't' | 'id' | 'v' | 'lu' | 'idx' | 'old' | 'body'>;

interface Waiting {
  needsKeys: boolean;
  waiters: { resolve(doc: ReadDoc | undefined): void; reject(reason: unknown): void }[];
}

/** Gathers reads of current versions into finds. */
export class Reader {
  readonly #on: Collections;
  #waiting = new Map<string, Waiting>();
  #isScheduled = false;
  #finds = 0;

  constructor(on: Collections) {
    this.#on = on;
  }

  /** The document "Type/id", with its keys if they are needed. */
  get(ref: string, needsKeys: boolean): Promise<ReadDoc | undefined> {
    return new Promise((resolve, reject) => {
      const waiting = this.#waiting.get(ref) ?? { needsKeys: false, waiters: [] };
      waiting.needsKeys ||= needsKeys;
      waiting.waiters.push({ resolve, reject });
      this.#waiting.set(ref, waiting);
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#isScheduled || this.#waiting.size === 0 || this.#finds >= FINDS_MAX) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      void this.#find(this.#take());
      this.#schedule();
    });
  }

  #take(): Map<string, Waiting> {
    if (this.#waiting.size <= BATCH_MAX) {
      const all = this.#waiting;
      this.#waiting = new Map();
      return all;
    }
    const some = new Map([...this.#waiting].slice(0, BATCH_MAX));
    for (const ref of some.keys()) this.#waiting.delete(ref);
    return some;
  }

  /** Never rejects: each waiter hears what became of its read. */
  async #find(batch: Map<string, Waiting>): Promise<void> {
    this.#finds += 1;
    try {
      const needsKeys = [...batch.values()].some((waiting) => waiting.needsKeys);
      const projection = { t: 1, id: 1, v: 1, lu: 1, body: 1, ...(needsKeys ? { idx: 1, old: 1 } : {}) };
      const refs = [...batch.keys()];
      const options = { projection, batchSize: refs.length + 1, maxTimeMS: READ_MS_MAX };
      const filter = { _id: refs.length === 1 ? (refs[0] ?? '') : { $in: refs } };
      const docs = await told(() => this.#on.resource.find<ReadDoc>(filter, options).toArray());
      const found = new Map(docs.map((doc) => [doc._id, doc]));
      for (const [ref, { waiters }] of batch) for (const waiter of waiters) waiter.resolve(found.get(ref));
    } catch (error) {
      for (const { waiters } of batch.values()) for (const waiter of waiters) waiter.reject(error);
    } finally {
      this.#finds -= 1;
      this.#schedule();
    }
  }
}

/** The current version, a deletion included; undefined when there is none or it is not visible. */
export async function readCurrent(
  context: { on: Collections; reader: Reader },
  ref: { type: string; id: string },
  filter: Filter,
  needsKeys = false,
): Promise<ReadDoc | undefined> {
  const condition = filter.of(ref.type);
  if (condition.kind === 'none') return undefined;
  const doc = await context.reader.get(`${ref.type}/${ref.id}`, needsKeys || condition.kind !== 'all');
  if (doc === undefined) return undefined;
  const visible = await visibleOf(context.on, [doc], condition);
  return visible.has(doc._id) ? doc : undefined;
}

/** One version: visible only if it and the current one are. */
export async function readVersion(
  context: { on: Collections; reader: Reader },
  ref: { type: string; id: string; version: number },
  filter: Filter,
  keysOf?: readonly Key[],
): Promise<Row | undefined> {
  const current = await readCurrent(context, ref, filter, keysOf !== undefined);
  if (current === undefined || ref.version > current.v) return undefined;
  if (ref.version === current.v) return rowOf(current, keysOf);
  const _id = `${ref.type}/${ref.id}/${Math.trunc(ref.version)}`;
  const doc = await told(() => context.on.history.findOne({ _id }, { maxTimeMS: READ_MS_MAX }));
  if (doc === null) return undefined;
  const visible = await visiblePast(context.on, [doc], filter.of(ref.type));
  return visible.has(doc._id) ? rowOf(doc, keysOf) : undefined;
}

/** The `_id`s of the current versions (of one type) for which the condition holds; of a deletion, its last keys count. */
export async function visibleOf(on: Collections, docs: readonly ReadDoc[], condition: Condition): Promise<Set<string>> {
  if (!hasJoin(condition)) {
    const kept = docs.filter((doc) => matchesKeys(matched(doc, doc.idx ?? doc.old), condition));
    return new Set(kept.map((doc) => doc._id));
  }
  const live = docs.filter((doc) => doc.body !== null).map((doc) => doc._id);
  const deleted = docs.filter((doc) => doc.body === null).map((doc) => doc._id);
  const found = await Promise.all([
    live.length > 0 ? matchingIds(on.resource, live, compile(condition)) : [],
    deleted.length > 0 ? matchingIds(on.resource, deleted, compile(condition, 'old')) : [],
  ]);
  return new Set(found.flat());
}

/** The `_id`s of the versions in the history (of one type) for which the condition holds. */
export async function visiblePast(
  on: Collections,
  docs: readonly HistoryDoc[],
  condition: Condition,
): Promise<Set<string>> {
  if (!hasJoin(condition)) {
    const kept = docs.filter((doc) => matchesKeys(matched(doc, doc.idx), condition));
    return new Set(kept.map((doc) => doc._id));
  }
  // A join from a version starts at its resource's name, which here is not the _id.
  const compiled = compile(condition, 'idx', { $concat: ['$t', '/', '$id'] });
  const ids = docs.map((doc) => doc._id);
  return new Set(await matchingIds(on.history, ids, compiled));
}

function matched(
  doc: { t: string; id: string; lu: number },
  keys: readonly string[] = [],
): { type: string; id: string; lastUpdated: number; keys: readonly string[] } {
  return { type: doc.t, id: doc.id, lastUpdated: doc.lu, keys };
}

async function matchingIds(
  collection: Collections['resource'] | Collections['history'],
  ids: readonly string[],
  { filter, stages, after }: ReturnType<typeof compile>,
): Promise<string[]> {
  const pipeline: Document[] = [
    { $match: { _id: { $in: ids } } },
    { $match: allOf([filter]) },
    ...stages,
    ...(after === undefined ? [] : [{ $match: after }]),
    { $project: { _id: 1 } },
  ];
  const options = { hint: { _id: 1 }, maxTimeMS: READ_MS_MAX };
  const found = await told(() => collection.aggregate<{ _id: string }>(pipeline, options).toArray());
  return found.map((doc) => doc._id);
}

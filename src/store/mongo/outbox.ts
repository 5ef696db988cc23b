// The outbox: what was committed, in commit order, with nothing skipped although several processes write.
// A number drawn before a commit says nothing about when the commit becomes visible, and a counter in the transaction
// would make all writers wait for each other. So writers insert entries without a number, and the reader numbers what
// it sees: in a transaction that takes the counter first, so that numberings happen one after the other, each on a
// snapshot after the one before. An entry that commits late is numbered later and read later. Entries numbered together
// are ordered by the server's time at their insert: a later version of a resource comes after the earlier one.
import type { ClientSession, MongoClient } from 'mongodb';
import { badCursor } from '../cursor.ts';
import type { Change, Outbox } from '../store.ts';
import { told, transact } from './faults.ts';
import type { Collections } from './layout.ts';

/** Entries numbered in one transaction. */
const NUMBERED_MAX = 1_000;
const COUNTER = 'outbox';
const N_DIGITS = 15;
const AT_DIGITS = 6;

interface Place {
  n: number;
  /** Index of the change within the entry. */
  at: number;
}

export function mongoOutbox(client: MongoClient, on: Collections): Outbox {
  // Read from the majority, so that no number seen is ever taken back.
  const majority = { readConcern: { level: 'majority' } } as const;
  return {
    async after(seq, limit) {
      const from = placeOf(seq);
      await numberNew(client, on);
      const entries = on.outbox.find({ n: { $gte: from.n } }, { ...majority, batchSize: Math.min(limit + 1, 100) });
      const changes: Change[] = [];
      return told(async () => {
        for await (const { n, gone, changes: committed } of entries.sort({ n: 1 }).limit(limit + 1)) {
          if (n === undefined) continue;
          const start = Math.max(gone ?? 0, n === from.n ? from.at + 1 : 0);
          for (let at = start; at < committed.length && changes.length < limit; at += 1) {
            const change = committed[at];
            if (change === undefined) break;
            changes.push({ seq: seqOf({ n, at }), type: change.t, id: change.id, version: change.v });
          }
          if (changes.length >= limit) break;
        }
        return changes;
      });
    },
    async forget(seq) {
      const { n, at } = placeOf(seq);
      if (n === 0) return;
      await told(async () => {
        await on.outbox.deleteMany({ n: { $lt: n } });
        await on.outbox.updateOne({ n }, { $max: { gone: at + 1 } });
        await on.outbox.deleteOne({ n, $expr: { $lte: [{ $size: '$changes' }, at + 1] } });
      });
    },
  };
}

async function numberNew(client: MongoClient, on: Collections): Promise<void> {
  for (;;) {
    const fresh = await told(() => on.outbox.findOne({ n: { $exists: false } }, { projection: { _id: 1 } }));
    if (fresh === null) return;
    const count = await transact(client, (session, { signal }) => numberSome(on, session, signal));
    if (count < NUMBERED_MAX) return;
  }
}

/** The number of entries that got one. Nothing is written after the signal: an attempt given up has no transaction. */
async function numberSome(on: Collections, session: ClientSession, signal: AbortSignal): Promise<number> {
  const counter = await on.setting.findOneAndUpdate(
    { _id: COUNTER },
    { $inc: { n: 1 } },
    { session, upsert: true, returnDocument: 'after' },
  );
  const fresh = await on.outbox
    .find({ n: { $exists: false } }, { session, projection: { _id: 1 }, limit: NUMBERED_MAX })
    .sort({ ts: 1 })
    .toArray();
  const first = counter?.n ?? 1;
  if (fresh.length === 0) return 0;
  const operations = fresh.map(({ _id }, at) => ({
    updateOne: { filter: { _id }, update: { $set: { n: first + at } } },
  }));
  signal.throwIfAborted();
  await on.outbox.bulkWrite(operations, { session });
  signal.throwIfAborted();
  await on.setting.updateOne({ _id: COUNTER }, { $inc: { n: fresh.length } }, { session });
  return fresh.length;
}

/** Fixed width, so that as text it sorts as it counts. */
function seqOf({ n, at }: Place): string {
  return `${String(n).padStart(N_DIGITS, '0')}.${String(at).padStart(AT_DIGITS, '0')}`;
}

function placeOf(seq: string): Place {
  if (seq === '') return { n: 0, at: -1 };
  const match = /^(\d{15})\.(\d{6})$/.exec(seq);
  if (match === null) throw badCursor();
  return { n: Number(match[1]), at: Number(match[2]) };
}

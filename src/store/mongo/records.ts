// Private keyed records with expiry and compare-and-set: one document each, each change one atomic operation.
import type { Clock } from '../../base/clock.ts';
import type { Records, StoredRecord } from '../store.ts';
import { isDuplicateKey, told } from './faults.ts';
import { Gathered } from './gathered.ts';
import type { Collections, RecordDoc } from './layout.ts';

export function mongoRecords(on: Collections, clock: Clock): Records {
  const { record } = on;
  const live = (): object => ({ $not: { $lte: clock.now() } });
  // A token's grant, client and person are looked up at once: three commands would cost three times 0.1 ms of CPU.
  const gathered = new Gathered(async (keys) => {
    const filter = { _id: { $in: [...keys] }, expires: live() };
    const docs = await told(() => record.find(filter, { batchSize: keys.length + 1 }).toArray());
    return new Map(docs.map((doc) => [doc._id, recordOf(doc)]));
  });
  return {
    get: (kind, id) => gathered.get(keyOf(kind, id)),
    async put({ kind, id, value, expires }, expect) {
      const _id = keyOf(kind, id);
      const fields = expires === undefined ? { value } : { value, expires };
      const change = {
        $set: { ...fields, v: expect + 1 },
        ...(expires === undefined ? { $unset: { expires: '' as const } } : {}),
      };
      if (expect > 0) {
        const done = await told(() => record.updateOne({ _id, v: expect, expires: live() }, change));
        return done.matchedCount > 0 ? expect + 1 : undefined;
      }
      // Over an expired record it is an update; where there is none, an insert; a live one is a duplicate key.
      try {
        await record.updateOne({ _id, expires: { $lte: clock.now() } }, change, { upsert: true });
        return 1;
      } catch (error) {
        if (isDuplicateKey(error)) return undefined;
        return told(() => Promise.reject(error));
      }
    },
    async remove(kind, id, expect) {
      const guard = expect === undefined ? {} : { v: expect };
      const done = await told(() => record.deleteOne({ _id: keyOf(kind, id), expires: live(), ...guard }));
      return done.deletedCount > 0;
    },
    async list(kind, { after, limit }) {
      const from = after === undefined ? { $gte: keyOf(kind, '') } : { $gt: keyOf(kind, after) };
      const filter = { _id: { ...from, $lt: `${kind}\n` }, expires: live() };
      const docs = await told(() => record.find(filter, { limit }).sort({ _id: 1 }).toArray());
      return docs.map(recordOf);
    },
    async sweep() {
      const done = await told(() => record.deleteMany({ expires: { $lte: clock.now() } }));
      return done.deletedCount;
    },
  };
}

/** TAB comes right before the line feed that ends the range of a kind; no kind contains either. */
function keyOf(kind: string, id: string): string {
  return `${kind}\t${id}`;
}

function recordOf({ _id, v, value, expires }: RecordDoc): StoredRecord {
  const tab = _id.indexOf('\t');
  const named = { kind: _id.slice(0, tab), id: _id.slice(tab + 1), version: v, value };
  return expires === undefined ? named : { ...named, expires };
}

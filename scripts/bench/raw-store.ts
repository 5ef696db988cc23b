// Child process: gets and inserts by the database's own client, with the rows and keys that careloom writes and nothing
// around them: the measure of what keeping the data costs by itself. Commands come as messages, one at a time.
//   node raw-store.ts FILLED FRESH PATIENTS    FILLED: a store to get from; FRESH: a place to insert into
import { randomUUID } from 'node:crypto';
import { MongoClient } from 'mongodb';
import { collectionsOf, prepareLayout } from '../../src/store/mongo/layout.ts';
import { openReader, openWriter, prepareFile } from '../../src/store/sqlite/schema.ts';
import { stamped } from '../../src/store/stamp.ts';
import type { Write } from '../../src/store/store.ts';
import { OBSERVATIONS_PER_PATIENT, observationId, Random } from './data.ts';
import { createRows, documentOf } from './rows.ts';

/** `work` says what to do for `ms`; the answer says how often it was done. */
export interface RawCommand {
  work: 'get' | 'insert';
  ms: number;
}
export interface RawAnswer {
  count: number;
  ms: number;
}

interface Raw {
  /** One get, or several at once; resolves to their number. */
  get(): number | Promise<number>;
  /** Inserts a group in one transaction or one batch; resolves to its size. */
  insert(group: readonly Write[]): number | Promise<number>;
  gets: number;
  inserts: number;
  groupSize: number;
}

const [filled = '', fresh = '', patients = '1'] = process.argv.slice(2);
const random = new Random(99);
const someId = (): string => observationId(random.below(Number(patients)), random.below(OBSERVATIONS_PER_PATIENT));

const raw = filled.startsWith('sqlite:') ? rawSqlite() : await rawMongo();
const rows = createRows();
const pool = Array.from({ length: Number(patients) }, (_, patient) => rows(patient)).flat();
let at = 0;
// Once through the pool first: then there is as much to insert among as in the filled store.
for (let done = 0; done < pool.length; done += raw.groupSize) await raw.insert(nextGroup());

process.on('message', (command: RawCommand) => {
  void run(command).then((answer) => process.send?.(answer));
});
process.on('disconnect', () => process.exit());
process.send?.('ready');

function nextGroup(): Write[] {
  return Array.from({ length: raw.groupSize }, () => {
    const write = pool[at++ % pool.length] as Write;
    return { ...write, id: randomUUID() };
  });
}

async function run({ work, ms }: RawCommand): Promise<RawAnswer> {
  const startedAt = performance.now();
  let count = 0;
  const lane = async () => {
    while (performance.now() - startedAt < ms) {
      let done = work === 'get' ? raw.get() : raw.insert(nextGroup());
      // Waiting for what is there already would be a part of what is measured.
      if (typeof done !== 'number') done = await done;
      count += done;
    }
  };
  await Promise.all(Array.from({ length: work === 'get' ? raw.gets : raw.inserts }, lane));
  return { count, ms: performance.now() - startedAt };
}

function rawSqlite(): Raw {
  const get = openReader(filled.slice('sqlite:'.length), { isMapped: true }).prepare(
    'SELECT id, v, lu, body FROM resource WHERE type = ? AND id = ?',
  );
  const path = fresh.slice('sqlite:'.length);
  prepareFile(path);
  const db = openWriter(path);
  const row = db.prepare('INSERT INTO resource (type, id, v, lu, ord, keys, body) VALUES (?, ?, 1, ?, ?, ?, ?)');
  const keys = db.prepare('INSERT OR IGNORE INTO idx (k, ord, rid) SELECT value, ?, ? FROM json_each(?)');
  return {
    gets: 1,
    inserts: 1,
    groupSize: 1000,
    get() {
      for (let done = 0; done < 100; done++) get.get('Observation', someId());
      return 100;
    },
    insert(group) {
      const now = Date.now();
      db.exec('BEGIN IMMEDIATE');
      for (const { type, id, body, stampAt, ord, keys: list } of group) {
        const text = JSON.stringify(list);
        const { lastInsertRowid } = row.run(
          type,
          id,
          now,
          ord,
          text,
          stamped(body ?? Buffer.alloc(0), stampAt, 1, now),
        );
        keys.run(ord, lastInsertRowid, text);
      }
      db.exec('COMMIT');
      return group.length;
    },
  };
}

async function rawMongo(): Promise<Raw> {
  const client = new MongoClient(filled, { writeConcern: { w: 'majority', journal: true }, promoteBuffers: true });
  const from = collectionsOf(client.db(new URL(filled).pathname.slice(1))).resource;
  const db = client.db(new URL(fresh).pathname.slice(1));
  await prepareLayout(db);
  const into = collectionsOf(db).resource;
  return {
    gets: 16,
    inserts: 4,
    groupSize: 100,
    async get() {
      await from.findOne({ _id: `Observation/${someId()}` }, { projection: { t: 1, id: 1, v: 1, lu: 1, body: 1 } });
      return 1;
    },
    async insert(group) {
      const now = Date.now();
      const docs = group.map((write) => documentOf(write, now));
      await into.insertMany(docs, { ordered: false });
      return docs.length;
    },
  };
}

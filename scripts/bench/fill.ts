// Child process: fills a store and ends. SQLite through the store port, a patient's record a commit; MongoDB by plain
// inserts of the same documents, because its transactions take three times as long.
//   node fill.ts STORE PATIENTS
import { MongoClient } from 'mongodb';
import { systemClock } from '../../src/base/clock.ts';
import { INDEX_VERSION } from '../../src/fhir/search/keys.ts';
import { collectionsOf, prepareLayout } from '../../src/store/mongo/layout.ts';
import { openMongoStore } from '../../src/store/mongo/open.ts';
import { openSqliteStore } from '../../src/store/sqlite/open.ts';
import type { Store } from '../../src/store/store.ts';
import { createRows, documentOf } from './rows.ts';

/** So many that each SQLite transaction is a large one. */
const COMMITS_AT_ONCE = 150;
const INSERTS_AT_ONCE = 4;

const [url = '', patients = '0'] = process.argv.slice(2);
const rows = createRows();
let next = 0;
await (url.startsWith('sqlite:') ? fillSqlite() : fillMongo());

async function fillSqlite(): Promise<void> {
  const store = await openSqliteStore({ path: url.slice('sqlite:'.length), clock: systemClock });
  await tellIndex(store);
  await eachPatient(COMMITS_AT_ONCE, (patient) => store.commit({ writes: rows(patient) }));
  await store.close();
}

async function fillMongo(): Promise<void> {
  const store = await openMongoStore({ url, clock: systemClock });
  await tellIndex(store);
  await store.close();
  const client = new MongoClient(url);
  const db = client.db(new URL(url).pathname.slice(1));
  await prepareLayout(db);
  const { resource } = collectionsOf(db);
  await eachPatient(INSERTS_AT_ONCE, (patient) => {
    const now = Date.now();
    return resource.insertMany(
      rows(patient).map((write) => documentOf(write, now)),
      { ordered: false },
    );
  });
  await client.close();
}

/** The index is made by this version: a start has none to make anew. */
async function tellIndex({ records }: Store): Promise<void> {
  await records.put({ kind: 'setting', id: 'index', value: JSON.stringify(INDEX_VERSION) }, 0);
}

async function eachPatient(lanes: number, work: (patient: number) => Promise<unknown>): Promise<void> {
  const lane = async () => {
    while (next < Number(patients)) await work(next++);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

// Child process: fills a store through its port, a patient's record a commit, and ends.
//   node fill.ts STORE PATIENTS
import { systemClock } from '../../src/base/clock.ts';
import { openMongoStore } from '../../src/store/mongo/open.ts';
import { openSqliteStore } from '../../src/store/sqlite/open.ts';
import { createRows } from './rows.ts';

/** So many that each SQLite transaction is a large one; MongoDB takes as many at a time as it does well with. */
const COMMITS_AT_ONCE = 150;

const [url = '', patients = '0'] = process.argv.slice(2);
const store = url.startsWith('sqlite:')
  ? await openSqliteStore({ path: url.slice('sqlite:'.length), clock: systemClock })
  : await openMongoStore({ url, clock: systemClock });
const rows = createRows();
let next = 0;

async function work(): Promise<void> {
  while (next < Number(patients)) await store.commit({ writes: rows(next++) });
}

await Promise.all(Array.from({ length: COMMITS_AT_ONCE }, work));
await store.close();

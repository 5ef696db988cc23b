// Both stores for tests, each fresh and empty: an SQLite file in a folder of its own, a database of its own on a real mongod.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type t from 'tap';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { openMongoStore } from '../../src/store/mongo/open.ts';
import { openSqliteStore } from '../../src/store/sqlite/open.ts';
import type { Store } from '../../src/store/store.ts';
import { sharedMongod, withDatabase } from './mongod.ts';

/** What `onBothStores` needs of a test: to run others within it. */
interface Subtests {
  // biome-ignore lint/suspicious/noExplicitAny: tap's overloads do not unify
  test: any;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  skip: any;
}

/** The test object that a subtest is given. */
export type Test = Parameters<Extract<Parameters<typeof t.test>[0], (test: never) => unknown>>[0];

export interface Opened {
  store: Store;
  /** Where it is kept, as CARELOOM_STORE takes it. */
  url: string;
  /** Closes the store; what it kept goes with the test. */
  close(): Promise<void>;
}

export interface Adapter {
  name: 'SQLite' | 'MongoDB';
  open(clock?: Clock): Promise<Opened>;
}

export const sqlite: Adapter = {
  name: 'SQLite',
  async open(clock = systemClock) {
    const folder = mkdtempSync(join(tmpdir(), 'careloom-test-'));
    const path = join(folder, 'careloom.db');
    const store = await openSqliteStore({ path, clock });
    const close = async (): Promise<void> => {
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    };
    return { store, url: `sqlite:${path}`, close };
  },
};

const mongo = (url: string): Adapter => ({
  name: 'MongoDB',
  async open(clock = systemClock) {
    const own = withDatabase(url);
    const store = await openMongoStore({ url: own, clock });
    return { store, url: own, close: () => store.close() };
  },
});

/**
 * Runs `body` as a subtest on SQLite and on MongoDB. The MongoDB half is skipped by name where no mongod can be had.
 * What `body` opens it closes itself, or leaves to the teardown that it registers on its test.
 */
export async function onBothStores(
  test: Subtests,
  body: (test: Test, adapter: Adapter) => Promise<void>,
): Promise<void> {
  await test.test('on SQLite', (inner: Test) => body(inner, sqlite));
  const mongod = await sharedMongod();
  if (mongod.skip !== undefined) {
    test.skip(`on MongoDB: ${mongod.skip}`);
    return;
  }
  await test.test('on MongoDB', (inner: Test) => body(inner, mongo(mongod.url())));
  await mongod.stop();
}

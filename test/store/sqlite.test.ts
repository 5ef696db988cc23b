// The SQLite store: the contract, and what only this adapter has.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t from 'tap';
import { openSqliteStore } from '../../src/store/sqlite/open.ts';
import type { OpenStore } from '../contract/made-up.ts';
import { storeContract } from '../contract/store.ts';

const open: OpenStore = async (clock) => {
  const folder = mkdtempSync(join(tmpdir(), 'careloom-sqlite-'));
  const path = join(folder, 'test.db');
  let store = await openSqliteStore({ path, clock });
  const behind = (statements: string): void => {
    const db = new DatabaseSync(path);
    db.exec(statements);
    db.close();
  };
  return {
    store,
    async reopen() {
      await store.close();
      store = await openSqliteStore({ path, clock });
      return store;
    },
    async close() {
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    },
    damage: async () => behind("DELETE FROM idx WHERE rid = 3 AND k = 'a.tok1'"),
    pretendNewer: async () => behind("UPDATE setting SET value = '99' WHERE name = 'schema'"),
  };
};

await storeContract(t, 'SQLite', open);

// Opens a store on a SQLite file, creating it when there is none.
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import type { Store } from '../store.ts';
import { StoreError } from '../store.ts';
import { openReader, prepareFile } from './schema.ts';
import { Connection } from './sql.ts';
import { SqliteStore } from './store.ts';

/**
 * `path` is the file, in a folder that is made when missing; beside it SQLite keeps its log.
 * Throws StoreError('newer-schema') when a newer careloom wrote it, 'unavailable' when it cannot be opened.
 */
export async function openSqliteStore({ path, clock }: { path: string; clock: Clock }): Promise<Store> {
  try {
    mkdirSync(dirname(path), { recursive: true });
    prepareFile(path);
    return new SqliteStore({
      path,
      connection: new Connection(openReader(path, { isMapped: true }), { readsOnly: true }),
      now: () => clock.now(),
    });
  } catch (cause) {
    if (cause instanceof StoreError) throw cause;
    throw new StoreError('unavailable', `Cannot open ${path}: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
}

// Opens a store on a SQLite file, creating it when there is none.
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Clock } from '../../base/clock.ts';
import type { Store } from '../store.ts';
import { StoreError } from '../store.ts';
import { openReader, prepareFile } from './schema.ts';
import { Connection } from './sql.ts';
import { SqliteStore } from './store.ts';

/** Others that open or close the file at the same moment lock it for a moment, for which SQLite does not wait. */
const LOCKED_MS_MAX = 5_000;
const LOCKED_PAUSE_MS = 20;
const SQLITE_BUSY = 5;

/**
 * `path` is the file, in a folder that is made when missing; beside it SQLite keeps its log.
 * Throws StoreError('newer-schema') when a newer careloom wrote it, 'unavailable' when it cannot be opened.
 */
export async function openSqliteStore({ path, clock }: { path: string; clock: Clock }): Promise<Store> {
  const until = performance.now() + LOCKED_MS_MAX;
  for (;;) {
    try {
      return open(path, clock);
    } catch (cause) {
      if (cause instanceof StoreError) throw cause;
      const isLocked = cause instanceof Error && 'errcode' in cause && cause.errcode === SQLITE_BUSY;
      if (!isLocked || performance.now() > until) {
        const reason = cause instanceof Error ? cause.message : cause;
        throw new StoreError('unavailable', `Cannot open ${path}: ${reason}`, { cause });
      }
      await pause(LOCKED_PAUSE_MS);
    }
  }
}

function open(path: string, clock: Clock): Store {
  mkdirSync(dirname(path), { recursive: true });
  prepareFile(path);
  return new SqliteStore({
    path,
    connection: new Connection(openReader(path, { isMapped: true }), openReader(path, { isMapped: false })),
    now: () => clock.now(),
  });
}

// What is known of a file from earlier runs: kept in the store that it was loaded into, so that a load that was
// interrupted goes on, and one that was done does nothing.
import type { Records } from '../store/store.ts';

export interface LoadState {
  /** Units before this position were tried. */
  position: number;
  /** Of those, the ones that failed. */
  failed: number[];
  /** Everything was tried. */
  isComplete: boolean;
}

export interface LoadRecord {
  readonly state: LoadState;
  /** Keeps the state. A unit committed after the last save is loaded again by the next run. */
  save(state: LoadState): Promise<void>;
}

const kind = 'load';

/** The record of the file with this content hash; `isFresh` forgets what was. */
export async function openLoadRecord(records: Records, hash: string, isFresh: boolean): Promise<LoadRecord> {
  const found = await records.get(kind, hash);
  let version = found?.version ?? 0;
  const begin: LoadState = { position: 0, failed: [], isComplete: false };
  return {
    state: found === undefined || isFresh ? begin : (JSON.parse(found.value) as LoadState),
    async save(state) {
      const next = await records.put({ kind, id: hash, value: JSON.stringify(state) }, version);
      // Somebody else loads the same file: the later word stands, as both tell the truth about what they did.
      version = next ?? (await records.get(kind, hash))?.version ?? 0;
    },
  };
}

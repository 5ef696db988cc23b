// Work on the whole store, outside of any request: making the index anew, and checking it against the content.
import { setImmediate as pause } from 'node:timers/promises';
import type { Definitions } from '../model/definitions.ts';
import type { IndexedRow, Reindexed } from '../store/store.ts';
import type { EngineContext } from './context.ts';
import type { Resource } from './prepare.ts';
import { indexResource } from './search/index-resource.ts';
import { INDEX_VERSION } from './search/keys.ts';

export interface Maintenance {
  definitions: Definitions;
  /** Makes keys and dates of every resource anew; the number of resources whose index changed. */
  reindex(onProgress?: (done: number) => void): Promise<number>;
  /**
   * Makes the index anew where an older careloom made it in another way; the number of resources indexed. To be called
   * before a store is served: what is indexed in the old way is not found.
   */
  upgradeIndex(onProgress?: (done: number) => void): Promise<number>;
  /** What is wrong with the store, one sentence each, without patient data. */
  verify(onProgress?: (done: number) => void): AsyncIterable<string>;
}

/** Rows looked at in one step: bounds memory, and how long a writer waits. */
const STEP = 500;
/** For so long requests wait, ms. */
const SLICE_MS = 20;

const RECORD = { kind: 'setting', id: 'index' };

export function maintenance(context: EngineContext): Maintenance {
  return {
    definitions: context.definitions,
    reindex: (onProgress) => reindexAll(context, (fresh) => !fresh.isSame, onProgress),
    async upgradeIndex(onProgress) {
      const { records } = context.store;
      const known = await records.get(RECORD.kind, RECORD.id);
      const value = JSON.stringify(INDEX_VERSION);
      if (known?.value === value) return 0;
      // Rows do not tell their terms, so all are written.
      const count = await reindexAll(context, () => true, onProgress);
      await records.put({ ...RECORD, value }, known?.version ?? 0);
      return count;
    },
    async *verify(onProgress) {
      yield* context.store.verify(onProgress === undefined ? {} : { onProgress });
      let done = 0;
      for await (const rows of everyRow(context)) {
        for (const row of rows) {
          if (!freshIndex(row, context).isSame)
            yield `${row.type}/${row.id}: its index does not agree with its content; run reindex.`;
        }
        done += rows.length;
        onProgress?.(done);
      }
    },
  };
}

async function reindexAll(
  context: EngineContext,
  isWanted: (fresh: FreshIndex) => boolean,
  onProgress: ((done: number) => void) | undefined,
): Promise<number> {
  let changed = 0;
  let done = 0;
  for await (const rows of everyRow(context)) {
    const stale = (await freshIndexes(rows, context)).filter(isWanted);
    if (stale.length > 0) changed += await context.store.reindex(stale);
    done += rows.length;
    onProgress?.(done);
  }
  await context.ties.refresh();
  return changed;
}

/** Makes the index of a type anew, step by step; `after` is where to go on from when it is interrupted. */
export async function* reindexType(
  type: string,
  after: string | undefined,
  context: EngineContext,
): AsyncGenerator<{ after: string | undefined; changed: number }> {
  let place = after;
  do {
    const page = await context.store.scan({ type, limit: STEP, ...(place === undefined ? {} : { after: place }) });
    const stale = (await freshIndexes(page.rows, context)).filter(({ isSame }) => !isSame);
    const changed = stale.length === 0 ? 0 : await context.store.reindex(stale);
    place = page.next;
    yield { after: place, changed };
  } while (place !== undefined);
}

async function* everyRow({ store }: EngineContext): AsyncGenerator<IndexedRow[]> {
  let after: string | undefined;
  do {
    const page = await store.scan({ limit: STEP, ...(after === undefined ? {} : { after }) });
    yield page.rows;
    after = page.next;
  } while (after !== undefined);
}

/** The index that a row should have, and whether its keys and date are those already. */
interface FreshIndex extends Reindexed {
  isSame: boolean;
}

/** In slices between which requests have their turn: some of the rows may be large. */
async function freshIndexes(rows: readonly IndexedRow[], context: EngineContext): Promise<FreshIndex[]> {
  const fresh: FreshIndex[] = [];
  let end = performance.now() + SLICE_MS;
  for (const row of rows) {
    if (performance.now() > end) {
      await pause();
      end = performance.now() + SLICE_MS;
    }
    fresh.push(freshIndex(row, context));
  }
  return fresh;
}

function freshIndex(row: IndexedRow, context: EngineContext): FreshIndex {
  const resource = JSON.parse(Buffer.from(row.body ?? []).toString('utf8')) as Resource & { id: string };
  const { keys, terms, ord } = indexResource(resource, context);
  const known = new Set(row.allKeys);
  const isSame = ord === row.ord && keys.length === known.size && keys.every((key) => known.has(key));
  return { type: row.type, id: row.id, version: row.version, ord, keys, terms, isSame };
}

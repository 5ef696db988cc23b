// Results that are found as a whole, in an order that no list of the index has: their ids are kept for the pages that
// follow, so that writes in between neither repeat nor lose one.
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import type { EngineContext } from '../context.ts';

const RECORD = 'found-ids';

/** Keeps the ids of a search for its pages; resolves to the name of the record. */
export async function keepIds(ids: readonly string[], { store, clock }: EngineContext): Promise<string> {
  const id = clock.newId();
  const expires = clock.now() + limits.cursorLifeMs;
  await store.records.put({ kind: RECORD, id, value: JSON.stringify(ids), expires }, 0);
  return id;
}

export async function keptIds(id: string, { store }: EngineContext): Promise<string[]> {
  const record = await store.records.get(RECORD, id);
  if (record === undefined) throw new FhirError('invalid', 'This paging link is too old; begin the search again.');
  return JSON.parse(record.value) as string[];
}

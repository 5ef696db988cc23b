// What every store must do (src/store/store.ts), run over each adapter by its own test file.
import type { OpenStore, Test } from './made-up.ts';
import { storeAudit } from './store-audit.ts';
import { storeHistory } from './store-history.ts';
import { storeMany } from './store-many.ts';
import { storeRandom } from './store-random.ts';
import { storeSearches } from './store-searches.ts';
import { storeSegments } from './store-segments.ts';
import { storeTerms } from './store-terms.ts';
import { storeWrites } from './store-writes.ts';

/** `open` gives an empty store of its own each time. */
export async function storeContract(t: Test, name: string, open: OpenStore): Promise<void> {
  await t.test(`${name}: commits and upkeep`, (inner) => storeWrites(inner as Test, open));
  await t.test(`${name}: audit record`, (inner) => storeAudit(inner as Test, open));
  await t.test(`${name}: sealed audit rows`, (inner) => storeSegments(inner as Test, open));
  await t.test(`${name}: history`, (inner) => storeHistory(inner as Test, open));
  await t.test(`${name}: searches`, (inner) => storeSearches(inner as Test, open));
  await t.test(`${name}: conditions in great number`, (inner) => storeMany(inner as Test, open));
  await t.test(`${name}: terms`, (inner) => storeTerms(inner as Test, open));
  await t.test(`${name}: random searches`, (inner) => storeRandom(inner as Test, open));
}

// Searches on SQLite that look at much: wherever the work hides, the main thread is not held by one of them, and what is
// found does not depend on which thread finds it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { openSqliteStore } from '../../src/store/sqlite/open.ts';
import type { Condition, Store } from '../../src/store/store.ts';
import { all, BUDGET, commit, foundIds, key, manualClock, search, write } from '../contract/made-up.ts';
import { everything } from '../support/memory-store.ts';
import { watchStalls } from '../support/stalls.ts';

/** Processor time of the main thread in one go, ms; some ten times what is meant, for machines that do much at once. */
const STALL_MS_MAX = 150;
const REFERRERS = 60_000;

const folder = mkdtempSync(join(tmpdir(), 'careloom-stalls-'));
const store = await openSqliteStore({ path: join(folder, 'test.db'), clock: manualClock() });
t.teardown(async () => {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});
await hub(store);
const stalls = watchStalls();
t.teardown(() => stalls.stop());

const span = (from: string, to: string): Condition => ({ kind: 'span', from, to });
/** What no Beta is, though no list tells, and it takes a while to find out. */
const never: Condition = {
  kind: 'and',
  of: [span('b.str', 'b.sts'), span('b.tok', 'b.tol'), { kind: 'not', of: span('b.str0', 'b.str9') }],
};
const ofHub = (where: Condition): Condition => ({ kind: 'referred', prefix: 'b.ref', by: { type: 'Beta', where } });
const ruled = (text: string): Condition => ({
  kind: 'span',
  from: 'b.str',
  to: 'b.sts',
  within: { kind: 'contains', text },
});

const cases: Record<string, { type: string; where: Condition; found: number }> = {
  'one row that many refer to': { type: 'Alpha', where: ofHub(never), found: 0 },
  'rows of which none is referred to so': { type: 'Alpha', where: { kind: 'not', of: ofHub(never) }, found: 400 },
  'what refers to what much refers to': {
    type: 'Gamma',
    where: { kind: 'refers', prefix: 'c.ref', to: { type: 'Alpha', where: { kind: 'not', of: ofHub(never) } } },
    found: 300,
  },
  'a rule for keys that few of a long list fulfil': { type: 'Beta', where: ruled('nowhere'), found: 0 },
  'the same beside others': { type: 'Beta', where: { kind: 'and', of: [ruled('000017'), ruled('nowhere')] }, found: 0 },
  'many that have much to look at': {
    type: 'Alpha',
    where: { kind: 'or', of: Array.from({ length: 12 }, () => ofHub(never)).map((of) => ({ kind: 'not', of })) },
    found: 400,
  },
};

for (const [name, { type, where, found }] of Object.entries(cases)) {
  await t.test(name, async (t) => {
    stalls.worstMs();
    t.equal((await foundIds(store, search(where, { type, limit: 500 }))).length, found);
    const { count } = await store.count({ type, where }, { cap: 1_000, budgetMs: BUDGET }, everything);
    t.equal(count, found, 'counted');
    const worst = stalls.worstMs();
    t.ok(worst < STALL_MS_MAX, `held for ${Math.round(worst)} ms`);
  });
}

await t.test('many short searches of one request', async (t) => {
  stalls.worstMs();
  await Promise.all(
    Array.from({ length: 300 }, (_, at) => foundIds(store, search(key(`a.tok${at % 7}`), { limit: 50 }))),
  );
  for (let at = 0; at < 1_000; at++) await foundIds(store, search(ofHub(key(`b.tok${at % 50}`)), { limit: 50 }));
  const worst = stalls.worstMs();
  t.ok(worst < STALL_MS_MAX, `held for ${Math.round(worst)} ms`);
});

/** Alphas, one of which all Betas refer to; Gammas that refer to it. */
async function hub(store: Store): Promise<void> {
  const alphas = Array.from({ length: 400 }, (_, at) =>
    write('Alpha', `a${at}`, { keys: [`a.tok${at % 7}`], ord: at }),
  );
  const gammas = Array.from({ length: 300 }, (_, at) => write('Gamma', `c${at}`, { keys: ['c.refAlpha/a0'], ord: at }));
  await commit(store, ...alphas, ...gammas);
  for (let from = 0; from < REFERRERS; from += 5_000) {
    const betas = Array.from({ length: 5_000 }, (_, at) => {
      const number = String(from + at).padStart(6, '0');
      return write('Beta', `b${number}`, {
        keys: ['b.refAlpha/a0', `b.str${number}`, `b.tok${at % 50}`],
        ord: from + at,
      });
    });
    await commit(store, ...betas);
  }
  t.equal((await foundIds(store, search(all, { type: 'Beta', limit: 10 }))).length, 10);
}

// What a principal is answered is what anybody would be answered if there were nothing but what the principal may see:
// random records, principals and requests on each store. CARELOOM_SEED repeats a run, CARELOOM_PROPERTY_MS gives each
// store more time, CARELOOM_PAIRS a number of pairs instead.
import t from 'tap';
import { Interference, lookFor } from '../../support/non-interference.ts';
import { seeded } from '../../support/random-search.ts';
import { onBothStores } from '../../support/stores.ts';

const seed = Number(process.env.CARELOOM_SEED ?? Math.floor(Math.random() * 2 ** 31));
const timeMs = Number(process.env.CARELOOM_PROPERTY_MS ?? 10_000);
const pairs = Number(process.env.CARELOOM_PAIRS ?? Number.NaN);

t.setTimeout(0);

await onBothStores(t, async (t, adapter) => {
  t.setTimeout(0);
  const random = seeded(seed);
  const run = await Interference.on(adapter, random);
  t.teardown(run.close);

  await t.test(`threats 1, 2, 3, 7, 8, 11: answers tell nothing of what may not be seen (seed ${seed})`, async (t) => {
    t.setTimeout(0);
    const start = performance.now();
    const isOver = (): boolean => (Number.isNaN(pairs) ? performance.now() - start > timeMs : run.pairs >= pairs);
    const wrong = await lookFor(run, random, { isOver });
    if (wrong !== undefined) t.fail(wrong);
    const ms = performance.now() - start;
    t.comment(
      `seed ${seed}: ${run.pairs} pairs, ${Math.round((run.pairs / ms) * 1000)} a second; ${run.full} with something to be seen`,
    );
    t.comment(
      [...run.kinds]
        .sort()
        .map(([kind, count]) => `${kind} ${count}`)
        .join(', '),
    );
    t.ok(run.full > run.pairs / 20, 'enough of the answers show something');
  });
});

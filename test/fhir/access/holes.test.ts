// The oracle of non-interference finds what it is there to find: each of a score of holes, opened on purpose, within some
// thousand pairs of a request and a principal. CARELOOM_SEED repeats a run.
import t from 'tap';
import { holes, Tamperer } from '../../support/access-holes.ts';
import { Interference, lookFor } from '../../support/non-interference.ts';
import { seeded } from '../../support/random-search.ts';
import { sqlite } from '../../support/stores.ts';

const seed = Number(process.env.CARELOOM_SEED ?? 20_261_123);
/** Most are found within some hundred pairs; those that only few requests can show take longer. */
const PAIRS_MAX = 20_000;

t.setTimeout(0);

t.test(`every hole is found (seed ${seed})`, async (t) => {
  t.setTimeout(0);
  const tamperer = new Tamperer();
  const random = seeded(seed);
  const run = await Interference.on(sqlite, random, tamperer);
  t.teardown(run.close);
  for (const { name, kinds } of holes) {
    tamperer.open(name);
    const before = run.pairs;
    const isOver = (): boolean => run.pairs - before >= PAIRS_MAX;
    const asked = kinds === undefined ? { perTurn: 40 } : { kinds, perTurn: 200 };
    const wrong = await lookFor(run, random, { isOver, ...asked });
    t.ok(wrong, `${name}: found at pair ${run.pairs - before}`);
    if (process.env.CARELOOM_SHOW !== undefined) t.comment(wrong?.slice(0, 600));
  }
});

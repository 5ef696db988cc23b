// Long work on the main thread in slices, between which everything else has its turn.
import { setImmediate } from 'node:timers/promises';

/** For so long everything else waits, ms. */
const SLICE_MS = 20;

/** To be called, and its promise awaited if there is one, between the steps of one piece of work. */
export function slices(): () => Promise<void> | undefined {
  let end = performance.now() + SLICE_MS;
  return () => {
    if (performance.now() < end) return undefined;
    return setImmediate().then(() => {
      end = performance.now() + SLICE_MS;
    });
  };
}

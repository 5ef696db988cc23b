// Long work on the main thread in slices, between which everything else has its turn.

/** For so long everything else waits, ms. */
const SLICE_MS = 10;

/** To be called, and its promise awaited if there is one, between the steps of one piece of work. */
export type Turn = () => Promise<void> | undefined;

/** Turns of a piece of work that begins now. */
export function slices(): Turn {
  let end = performance.now() + SLICE_MS;
  return () => {
    if (performance.now() < end) return undefined;
    return new Promise((resolve) => {
      const goOn = () => {
        end = performance.now() + SLICE_MS;
        resolve();
      };
      if (waiting.push(goOn) === 1) setImmediate(next);
    });
  };
}

/** What goes on in the next turns of the event loop, one piece of work in each: ten of them hold it no longer than one. */
const waiting: (() => void)[] = [];

function next(): void {
  waiting.shift()?.();
  if (waiting.length > 0) setImmediate(next);
}

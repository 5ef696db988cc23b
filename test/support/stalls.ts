// How long the event loop of this process stands still, by the processor time of its own thread.

export interface Stalls {
  /** The longest since the last call, ms; a work that is going on counts as far as it has come. */
  worstMs(): number;
  stop(): void;
}

export function watchStalls(): Stalls {
  let worst = 0;
  let at = performance.now();
  let used = process.threadCpuUsage();
  const beat = (): void => {
    const now = performance.now();
    const { user, system } = process.threadCpuUsage(used);
    // What others of the machine take is no stall, and neither is waiting.
    worst = Math.max(worst, Math.min(now - at, (user + system) / 1000));
    at = now;
    used = process.threadCpuUsage();
  };
  const timer = setInterval(beat, 5);
  timer.unref();
  return {
    worstMs() {
      beat();
      const found = worst;
      worst = 0;
      return found;
    },
    stop: () => clearInterval(timer),
  };
}

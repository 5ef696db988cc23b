// Turns of the main thread: what searches do on it is cut into stretches, between which everything else has its turn.
import { setImmediate as afterOthers } from 'node:timers/promises';

/** Work for searches in one go, ms; what takes longer by itself belongs on the reader thread. */
export const TURN_MS = 15;

export class Turns {
  #since: number | undefined;

  /** Work of this turn of the event loop has taken so long that no more may begin in it. */
  isOver(): boolean {
    if (this.#since === undefined) {
      this.#since = performance.now();
      setImmediate(() => {
        this.#since = undefined;
      });
    }
    return performance.now() - this.#since > TURN_MS;
  }

  /** Waits for a turn in which work may begin. */
  async next(): Promise<void> {
    // All that wait are woken one after another, and the first may use up the turn.
    while (this.isOver()) await afterOthers();
  }
}

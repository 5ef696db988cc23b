// Turns of the main thread: what searches do on it is cut into stretches, between which everything else has its turn.
import { setImmediate as afterOthers } from 'node:timers/promises';

/** Work for searches in one go, ms; what takes longer by itself belongs on the reader thread. */
export const TURN_MS = 15;

export class Turns {
  #since: number | undefined;
  readonly #waiting: (() => void)[] = [];

  /** Work must wait: some has taken a turn already, or others wait. */
  isOver(): boolean {
    return this.#waiting.length > 0 || this.#isUsedUp();
  }

  /** Waits for a turn, behind those that wait already. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      if (this.#waiting.length === 1) void this.#wake();
    });
  }

  #isUsedUp(): boolean {
    if (this.#since === undefined) {
      this.#since = performance.now();
      setImmediate(() => {
        this.#since = undefined;
      });
    }
    return performance.now() - this.#since > TURN_MS;
  }

  async #wake(): Promise<void> {
    while (this.#waiting.length > 0) {
      while (this.#isUsedUp()) await afterOthers();
      this.#waiting[0]?.();
      await untilDone();
      this.#waiting.shift();
    }
  }
}

/** Until what was woken has done what it can do at once. */
const untilDone = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));

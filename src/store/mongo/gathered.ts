// What many ask for in one turn of the event loop, asked of the server once.

/** Keys of one request: at the common 2 kB a resource an answer has 1 MB. */
const BATCH_MAX = 500;
/** Requests under way at once; further keys gather for the next. */
const UNDER_WAY_MAX = 4;

interface Waiter<Value> {
  resolve(value: Value | undefined): void;
  reject(reason: unknown): void;
}

/** Looks values up by key, those of one turn of the event loop together, each key once. */
export class Gathered<Value> {
  readonly #lookUp: (keys: readonly string[]) => Promise<ReadonlyMap<string, Value>>;
  #waiting = new Map<string, Waiter<Value>[]>();
  #isScheduled = false;
  #underWay = 0;

  /** `lookUp` finds the values of up to 500 different keys; a key without one is left out. */
  constructor(lookUp: (keys: readonly string[]) => Promise<ReadonlyMap<string, Value>>) {
    this.#lookUp = lookUp;
  }

  /** The key's value as it is after this call. Rejects as the look-up does. */
  get(key: string): Promise<Value | undefined> {
    return new Promise((resolve, reject) => {
      const waiters = this.#waiting.get(key);
      if (waiters === undefined) this.#waiting.set(key, [{ resolve, reject }]);
      else waiters.push({ resolve, reject });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#isScheduled || this.#waiting.size === 0 || this.#underWay >= UNDER_WAY_MAX) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      void this.#answer(this.#take());
      this.#schedule();
    });
  }

  #take(): Map<string, Waiter<Value>[]> {
    if (this.#waiting.size <= BATCH_MAX) {
      const all = this.#waiting;
      this.#waiting = new Map();
      return all;
    }
    const some = new Map([...this.#waiting].slice(0, BATCH_MAX));
    for (const key of some.keys()) this.#waiting.delete(key);
    return some;
  }

  /** Never rejects: each waiter hears what became of its key. */
  async #answer(batch: Map<string, Waiter<Value>[]>): Promise<void> {
    this.#underWay += 1;
    try {
      const found = await this.#lookUp([...batch.keys()]);
      for (const [key, waiters] of batch) for (const waiter of waiters) waiter.resolve(found.get(key));
    } catch (error) {
      for (const waiters of batch.values()) for (const waiter of waiters) waiter.reject(error);
    } finally {
      this.#underWay -= 1;
      this.#schedule();
    }
  }
}

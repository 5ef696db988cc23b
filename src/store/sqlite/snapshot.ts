// What a reading connection sees between two looks at the file. SQLite forgets all pages it holds of the file, and maps it
// anew, when a statement begins and somebody has committed since: 40 µs for a get that takes 5 (0.4 ms instead of 0.1 for
// a page of 50), and each read has its line of the audit record committed. So statements share a snapshot until something
// is committed that they may see.
import type { DatabaseSync, StatementSync } from 'node:sqlite';

/** What another process has committed is seen by then. */
const AGE_MS_MAX = 50;

export class Snapshot {
  readonly #db: DatabaseSync;
  readonly #begin: StatementSync;
  readonly #end: StatementSync;
  #isHeld = false;
  #isBrief = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#begin = db.prepare('BEGIN');
    this.#end = db.prepare('COMMIT');
  }

  /** Before each statement. */
  hold(): void {
    if (this.#isHeld) return;
    this.#begin.run();
    this.#isHeld = true;
    if (this.#isBrief) setImmediate(() => this.renew());
    else this.#timer = setTimeout(() => this.renew(), AGE_MS_MAX).unref();
  }

  /** What is committed by now is seen from now on. */
  renew(): void {
    if (!this.#isHeld) return;
    clearTimeout(this.#timer);
    this.#isHeld = false;
    if (this.#db.isTransaction) this.#end.run();
  }

  /** Whether it is let go of at each turn of the event loop: the log of the file is not begun anew while it is held. */
  set isBrief(isBrief: boolean) {
    this.#isBrief = isBrief;
  }
}

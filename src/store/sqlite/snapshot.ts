// What the main thread sees of the file from one commit to the next. When a statement begins and somebody has committed
// since the last one, SQLite forgets all pages that the connection has and maps the file anew: 40 µs for a get that takes
// 5, 0.4 ms for a page of 50 that takes 0.1. Each read has its line of the audit record committed, which no read looks at.
// So statements share a snapshot until something else is committed.
import type { DatabaseSync, StatementSync } from 'node:sqlite';

/**
 * Commits of other processes are seen at the next turn of the event loop, except one between a commit of ours and our
 * hearing of it: that one by our next commit, or by then.
 */
const AGE_MS_MAX = 50;

export class Snapshot {
  readonly #db: DatabaseSync;
  readonly #begin: StatementSync;
  readonly #end: StatementSync;
  /** Of a connection that is always up to date: a number that changes when another has committed. */
  readonly #dataVersion: StatementSync;
  #seen: unknown;
  /** Commits of ours that are under way, which would be taken for those of others. */
  #underWay = 0;
  #isHeld = false;
  #isLooked = false;
  #isBrief = false;
  #timer: NodeJS.Timeout | undefined;

  /** `watch`: another connection to the same file, which is used for nothing else. */
  constructor(db: DatabaseSync, watch: DatabaseSync) {
    this.#db = db;
    this.#begin = db.prepare('BEGIN');
    this.#end = db.prepare('COMMIT');
    this.#dataVersion = watch.prepare('PRAGMA data_version');
    this.#dataVersion.setReturnArrays(true);
  }

  /** Before each statement. */
  hold(): void {
    if (this.#isHeld && !this.#isLooked) this.#look();
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

  /** The writer has a batch. */
  begun(): void {
    this.#underWay++;
  }

  /** It is done with it: `isRelevant`, with more than lines of the audit record, or others have committed as well. */
  ended(isRelevant: boolean): void {
    this.#underWay--;
    if (isRelevant) this.renew();
    else if (this.#underWay === 0 && this.#db.isOpen) this.#seen = this.#version();
  }

  /** Whether it is let go of at each turn of the event loop: the log of the file does not begin anew while it is held. */
  set isBrief(isBrief: boolean) {
    this.#isBrief = isBrief;
  }

  /** Once a turn: have others committed? */
  #look(): void {
    this.#isLooked = true;
    setImmediate(() => {
      this.#isLooked = false;
    });
    if (this.#underWay > 0) return;
    const version = this.#version();
    if (version !== this.#seen) this.renew();
    this.#seen = version;
  }

  #version(): unknown {
    return (this.#dataVersion.get() as unknown as unknown[])[0];
  }
}

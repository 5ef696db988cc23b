// Rows that belong to no commit, such as those of reads: what gathers while one insert is on its way to the majority's
// disks goes with the next one.
import type { AuditEntry } from '../store.ts';
import { StoreError } from '../store.ts';
import { type Chains, extended } from './audit-chains.ts';
import { told } from './faults.ts';
import type { Collections } from './layout.ts';

/** Inserts under way at once, each on a chain of its own: while one is flushed the server works on the next. */
const INSERTS_MAX = 2;
const ROWS_MAX = 1_000;
/** A message to the server may have 48 MB. */
const CHARS_MAX = 8 * 1024 * 1024;

interface Waiting {
  entries: readonly AuditEntry[];
  resolve(): void;
  reject(reason: unknown): void;
}

export class Appender {
  readonly #on: Collections;
  readonly #chains: Chains;
  readonly #underWay = new Set<Promise<void>>();
  #queue: Waiting[] = [];
  #isScheduled = false;

  constructor(on: Collections, chains: Chains) {
    this.#on = on;
    this.#chains = chains;
  }

  append(entries: readonly AuditEntry[]): Promise<void> {
    if (entries.length === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#queue.push({ entries, resolve, reject });
      this.#schedule();
    });
  }

  /** Resolves when nothing waits and nothing is under way. */
  async idle(): Promise<void> {
    while (this.#isScheduled || this.#underWay.size > 0) {
      await Promise.all(this.#underWay);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Those of the same turn of the event loop go together. */
  #schedule(): void {
    if (this.#isScheduled || this.#queue.length === 0 || this.#underWay.size >= INSERTS_MAX) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      const inserting: Promise<void> = this.#insert(this.#take()).then(() => {
        this.#underWay.delete(inserting);
        this.#schedule();
      });
      this.#underWay.add(inserting);
    });
  }

  #take(): Waiting[] {
    let rows = 0;
    let chars = 0;
    let count = 0;
    for (const { entries } of this.#queue) {
      rows += entries.length;
      for (const { body } of entries) chars += body.length;
      if (count > 0 && (rows > ROWS_MAX || chars > CHARS_MAX)) break;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  /**
   * Never rejects: each caller hears what became of it. In order, so that whatever a failure leaves behind is the beginning
   * of the batch, and the chain, which is not used again then, ends there unbroken.
   */
  async #insert(batch: readonly Waiting[]): Promise<void> {
    try {
      const { docs, end } = extended(
        this.#chains.take(),
        batch.flatMap(({ entries }) => entries),
      );
      await told(() => this.#on.audit.insertMany(docs, { ordered: true }));
      this.#chains.give(end);
      for (const { resolve } of batch) resolve();
    } catch (cause) {
      const error =
        cause instanceof StoreError ? cause : new StoreError('unavailable', 'The audit record failed', { cause });
      for (const { reject } of batch) reject(error);
    }
  }
}

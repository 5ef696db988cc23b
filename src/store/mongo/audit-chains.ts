// The audit chains of this process. Each is extended by one transaction or one insert at a time; several are under way
// at once, so there are a few, each begun under a random name when none is free. They end with the process.
import { randomBytes } from 'node:crypto';
import { auditHash, CHAIN_START } from '../audit-chain.ts';
import type { AuditEntry } from '../store.ts';
import type { AuditDoc } from './layout.ts';

const NAME_BYTES = 9;

/** The end of a chain as the database is known to have it. */
export interface ChainEnd {
  chain: string;
  seq: number;
  hash: string;
}

export class Chains {
  readonly #free: ChainEnd[] = [];

  /** Nobody else has it until it is given back. One whose end is not known any more is not given back: it has ended. */
  take(): ChainEnd {
    return this.#free.pop() ?? { chain: randomBytes(NAME_BYTES).toString('base64url'), seq: 0, hash: CHAIN_START };
  }

  /** `end`: where it ends now, or, after an attempt that left no trace, where it ended when it was taken. */
  give(end: ChainEnd): void {
    this.#free.push(end);
  }
}

/** The documents that extend a chain, and its end after them. */
export function extended(from: ChainEnd, entries: readonly AuditEntry[]): { docs: AuditDoc[]; end: ChainEnd } {
  let end = from;
  const docs = entries.map(({ at, patients, agent, body }): AuditDoc => {
    const row = { chain: end.chain, seq: end.seq + 1, at, patients: [...patients], agent, body };
    end = { chain: row.chain, seq: row.seq, hash: auditHash(end.hash, row) };
    return { ...row, hash: Buffer.from(end.hash, 'hex') };
  });
  return { docs, end };
}

/** A chain in the hands of one transaction, through all its attempts. Unless it is settled, it has ended. */
export class Extension {
  readonly #chains: Chains;
  #from: ChainEnd | undefined;
  #end: ChainEnd | undefined;

  constructor(chains: Chains) {
    this.#chains = chains;
  }

  /** What this attempt is to insert; the attempts before left no trace. */
  extend(entries: readonly AuditEntry[]): AuditDoc[] {
    this.#end = this.#from;
    if (entries.length === 0) return [];
    this.#from ??= this.#chains.take();
    const { docs, end } = extended(this.#from, entries);
    this.#end = end;
    return docs;
  }

  /** Gives the chain up: an attempt may have left a trace after all. */
  leave(): void {
    this.#from = undefined;
  }

  /** What the last attempt inserted is committed. */
  settle(): void {
    if (this.#end !== undefined) this.#chains.give(this.#end);
  }
}

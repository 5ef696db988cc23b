// The end of the file's audit chain, in the writer thread: rows are added to it within the transaction under way.
import { auditHash, CHAIN_START } from '../audit-chain.ts';
import type { AuditEntry, AuditHead } from '../store.ts';
import { headOf } from './audit.ts';
import type { Connection } from './sql.ts';

const INSERT = 'INSERT INTO audit (seq, at, agent, patients, body, hash) VALUES (?, ?, ?, ?, ?, ?)';
const INDEX = 'INSERT OR IGNORE INTO audit_patient (patient, at, seq) SELECT value, ?, ? FROM json_each(?)';

export class ChainEnd {
  readonly #connection: Connection;
  /** The last row; unknown until a transaction asks for it. */
  #end: AuditHead | undefined;
  /** The last row that the transaction will keep. */
  #kept: AuditHead | undefined;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  append(entries: readonly AuditEntry[]): void {
    let end = this.#end ?? headOf(this.#connection);
    this.#kept ??= end;
    const { chain } = end;
    for (const { at, agent, patients, body } of entries) {
      const seq = end.seq + 1;
      const previous = end.seq === 0 ? CHAIN_START : end.hash;
      const hash = auditHash(previous, { chain, seq, at, patients, agent, body });
      const list = JSON.stringify(patients);
      this.#connection.statement(INSERT).run(seq, at, agent, list, body, Buffer.from(hash, 'hex'));
      if (patients.length > 0) this.#connection.statement(INDEX).run(at, seq, list);
      end = { chain, seq, at, hash };
    }
    this.#end = end;
  }

  /** The rows added since the last decision stay, if the transaction does. */
  keep(): void {
    this.#kept = this.#end;
  }

  /** They were taken back. */
  drop(): void {
    this.#end = this.#kept;
  }

  /** Somebody else may have added rows, or the transaction came to nothing. */
  forget(): void {
    this.#end = undefined;
    this.#kept = undefined;
  }
}

// The audit record's chain: the hash of each row covers the row and the hash of the row before it, so that whoever
// changes, removes, moves or redates a row breaks the chain there. That rows were cut off at the end, or that everything
// from a row on was hashed anew, shows only against a head that is kept elsewhere.
import { hash } from 'node:crypto';
import type { AuditHead, AuditRow } from './store.ts';

/** What stands for the hash before the first row. */
export const CHAIN_START = '0'.repeat(64);

/**
 * SHA-256, in hexadecimal, over netstrings (https://cr.yp.to/proto/netstrings.txt: length in bytes of UTF-8, colon, text,
 * comma), one after the other: the hash before, chain, seq, at, number of patients, each patient, agent, body. Numbers
 * are in decimal. With the lengths in it, no two rows give the same text.
 */
export function auditHash(previous: string, row: Omit<AuditRow, 'hash'>): string {
  const { chain, seq, at, patients, agent, body } = row;
  let text = netstring(previous) + netstring(chain) + netstring(`${seq}`) + netstring(`${at}`);
  text += netstring(`${patients.length}`);
  for (const patient of patients) text += netstring(patient);
  return hash('sha256', text + netstring(agent) + netstring(body), 'hex');
}

function netstring(text: string): string {
  return `${Buffer.byteLength(text)}:${text},`;
}

/** Rows `seq` to `to` of a chain. */
export interface AuditProblem {
  chain: string;
  seq: number;
  to: number;
  /**
   * `changed`: they are not what was written after the row before them; `missing`: they are not there, and the row after
   * them cannot be checked; `misplaced`: a row that does not belong at this place of this chain.
   */
  kind: 'changed' | 'missing' | 'misplaced';
  /** A sentence that says so. */
  message: string;
}

/** A row whose hash is trusted: what follows is checked from there. */
export type AuditPlace = Pick<AuditHead, 'chain' | 'seq' | 'hash'>;

/**
 * Checks the rows of one chain, given by place from after `start` on (without it: from the first). Neighbouring rows with
 * the same trouble are one problem. Returns the place reached.
 */
export async function* verifyChain(
  rows: AsyncIterable<AuditRow>,
  start?: AuditPlace,
): AsyncGenerator<AuditProblem, AuditPlace | undefined> {
  let link: Link | undefined = start === undefined ? undefined : linkAt(start);
  for await (const row of rows) {
    link ??= firstLink(row.chain);
    const problem = follow(link, row);
    if (problem !== undefined) yield* problem;
  }
  if (link === undefined) return undefined;
  yield* finish(link);
  return link.seq === 0 ? start : { chain: link.chain, seq: link.seq, hash: link.hash };
}

/** Where a check of a chain stands: plain data, so that it can go on in another thread. */
export interface Link {
  chain: string;
  seq: number;
  hash: string;
  /** A problem that the next row may extend. */
  open?: AuditProblem | undefined;
}

export const linkAt = ({ chain, seq, hash: known }: AuditPlace): Link => ({ chain, seq, hash: known });

export const firstLink = (chain: string): Link => ({ chain, seq: 0, hash: CHAIN_START });

/** Goes on to the next row; the problems that end with it, if any. */
export function follow(link: Link, row: AuditRow): readonly AuditProblem[] | undefined {
  if (row.chain !== link.chain || row.seq <= link.seq) {
    return [...finish(link), problemOf('misplaced', link.chain, row.seq, row.seq)];
  }
  let found: readonly AuditProblem[] | undefined;
  if (row.seq > link.seq + 1) {
    found = [...finish(link), problemOf('missing', link.chain, link.seq + 1, row.seq - 1)];
  } else if (auditHash(link.hash, row) !== row.hash) {
    link.open = problemOf('changed', link.chain, link.open?.seq ?? row.seq, row.seq);
  } else if (link.open !== undefined) {
    found = finish(link);
  }
  link.seq = row.seq;
  link.hash = row.hash;
  return found;
}

/** The sentence of the problem of that kind. */
export function missingRows({ chain, from, to }: { chain: string; from: number; to: number }): string {
  return problemOf('missing', chain, from, to).message;
}

/** The problem that was still open. */
export function finish(link: Link): readonly AuditProblem[] {
  const { open } = link;
  link.open = undefined;
  return open === undefined ? [] : [open];
}

function problemOf(kind: AuditProblem['kind'], chain: string, seq: number, to: number): AuditProblem {
  const rows = seq === to ? `row ${seq}` : `rows ${seq} to ${to}`;
  const message = {
    changed: `audit chain ${chain}: ${rows} changed after being written, or what stands before`,
    missing: `audit chain ${chain}: ${rows} missing`,
    misplaced: `audit chain ${chain}: ${rows} at a place that is not its own`,
  }[kind];
  return { chain, seq, to, kind, message };
}

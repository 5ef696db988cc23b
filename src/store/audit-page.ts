// Pages of the audit record: what order its rows come in, and where a page ends.
import { badCursor, readCursor, type SortValue, writeCursor } from './cursor.ts';
import type { AuditPage, AuditRow, AuditSearch } from './store.ts';

/** A row's place in the order of a search: by time, then chain and seq. */
export interface PlaceInTime {
  at: number;
  chain: string;
  seq: number;
}

/** Where the page before ended: a time, or, within a chain, the number of a row. */
export type AuditAfter = { kind: 'time'; place: PlaceInTime } | { kind: 'seq'; seq: number };

/** Throws StoreError('cursor') for one of another search. */
export function auditAfter(search: AuditSearch): AuditAfter | undefined {
  if (search.after === undefined) return undefined;
  const values = readCursor(about(search), search.after);
  if (search.chain !== undefined) {
    const [seq] = values;
    if (values.length !== 1 || !isWhole(seq)) throw badCursor();
    return { kind: 'seq', seq };
  }
  const [at, chain, seq] = values;
  if (values.length !== 3 || !isWhole(at) || typeof chain !== 'string' || !isWhole(seq)) throw badCursor();
  return { kind: 'time', place: { at, chain, seq } };
}

/** Whether a row is among those of a search, and comes after a place. */
export function isAsked(row: AuditRow, search: AuditSearch, after: AuditAfter | undefined): boolean {
  const { patient, agent, chain, afterSeq = 0, from, to, descending } = search;
  if (patient !== undefined && !row.patients.includes(patient.toWellFormed())) return false;
  if (agent !== undefined && row.agent !== agent.toWellFormed()) return false;
  if (chain !== undefined && row.chain !== chain) return false;
  if (row.seq <= afterSeq || row.at < (from ?? row.at) || row.at >= (to ?? row.at + 1)) return false;
  if (after === undefined) return true;
  const order = after.kind === 'seq' ? row.seq - after.seq : inTime(row, after.place);
  return descending ? order < 0 : order > 0;
}

/** The order of a search. */
export function auditOrder({ chain, descending }: AuditSearch): (a: AuditRow, b: AuditRow) => number {
  const order = chain === undefined ? inTime : (a: AuditRow, b: AuditRow) => a.seq - b.seq;
  return descending ? (a, b) => order(b, a) : order;
}

function inTime(a: PlaceInTime, b: PlaceInTime): number {
  return a.at - b.at || (a.chain === b.chain ? a.seq - b.seq : a.chain < b.chain ? -1 : 1);
}

/** `found`: one row more than the page may hold, when there are so many. */
export function auditPageOf(search: AuditSearch, found: AuditRow[]): AuditPage {
  if (found.length <= search.limit) return { rows: found };
  const rows = found.slice(0, search.limit);
  const last = rows.at(-1);
  if (last === undefined) return { rows };
  const { at, chain, seq } = last;
  return { rows, next: writeCursor(about(search), search.chain === undefined ? [at, chain, seq] : [seq]) };
}

function about({ patient, agent, chain, afterSeq, from, to, descending }: AuditSearch): string {
  const told = (value: SortValue | undefined): SortValue => value ?? null;
  return `audit ${JSON.stringify([...[patient, agent, chain, afterSeq, from, to].map(told), descending])}`;
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

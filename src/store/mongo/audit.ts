// The rows of the audit record that are not sealed, by patient, agent, time and chain, and the ends of their chains.
import type { Binary, Document, Filter as MongoFilter } from 'mongodb';
import { auditAfter } from '../audit-page.ts';
import type { AuditHead, AuditRow, AuditSearch } from '../store.ts';
import { LONG_MS_MAX, told } from './faults.ts';
import {
  AUDIT_BY_AGENT,
  AUDIT_BY_CHAIN,
  AUDIT_BY_PATIENT,
  AUDIT_BY_TIME,
  type AuditDoc,
  type Collections,
} from './layout.ts';
import { bytesOf } from './rows.ts';

/** The server ends a search then. */
const SEARCH_MS_MAX = 10_000;
/** No row that was seen is ever taken back. */
const MAJORITY = { readConcern: { level: 'majority' } } as const;

/** See AuditKept. Throws StoreError('cursor'). */
export async function auditRows(on: Collections, search: AuditSearch): Promise<AuditRow[]> {
  const way = search.descending ? -1 : 1;
  const options = { ...MAJORITY, hint: listOf(search), limit: search.limit + 1, maxTimeMS: SEARCH_MS_MAX };
  const find = on.audit.find(conditionOf(search), { ...options, projection: { _id: 0 } });
  const sorted = find.sort(search.chain === undefined ? { at: way, chain: way, seq: way } : { seq: way });
  const docs = await told(() => sorted.toArray());
  return docs.map(auditRowOf);
}

/** Every chain's last row: one look into the index for each. */
export async function auditHeads(on: Collections): Promise<AuditHead[]> {
  const pipeline: Document[] = [
    { $sort: { chain: -1, seq: -1 } },
    { $group: { _id: '$chain', seq: { $first: '$seq' }, at: { $first: '$at' }, hash: { $first: '$hash' } } },
    { $sort: { _id: 1 } },
  ];
  const found = on.audit.aggregate<{ _id: string; seq: number; at: number; hash: Binary }>(pipeline, {
    ...MAJORITY,
    hint: AUDIT_BY_CHAIN,
  });
  const ends = await told(() => found.toArray(), LONG_MS_MAX);
  return ends.map(({ _id, seq, at, hash }) => ({ chain: _id, seq, at, hash: hexOf(hash) }));
}

function auditRowOf({ chain, seq, at, patients, agent, body, hash }: AuditDoc): AuditRow {
  return { chain, seq, at, patients, agent, body, hash: hexOf(hash) };
}

export function hexOf(hash: AuditDoc['hash']): string {
  return Buffer.from(bytesOf(hash) ?? []).toString('hex');
}

function listOf({ patient, agent, chain }: AuditSearch): typeof AUDIT_BY_TIME {
  if (patient !== undefined) return AUDIT_BY_PATIENT;
  if (agent !== undefined) return AUDIT_BY_AGENT;
  return chain === undefined ? AUDIT_BY_TIME : AUDIT_BY_CHAIN;
}

function conditionOf(search: AuditSearch): MongoFilter<AuditDoc> {
  const { patient, agent, chain, afterSeq, from, to, descending } = search;
  const conditions: MongoFilter<AuditDoc>[] = [
    ...(patient === undefined ? [] : [{ patients: patient }]),
    ...(agent === undefined ? [] : [{ agent }]),
    ...(chain === undefined ? [] : [{ chain }]),
    ...(from === undefined ? [] : [{ at: { $gte: from } }]),
    ...(to === undefined ? [] : [{ at: { $lt: to } }]),
    ...(afterSeq === undefined ? [] : [{ seq: { $gt: afterSeq } }]),
  ];
  const after = auditAfter(search);
  const beyond = <T>(value: T): object => (descending ? { $lt: value } : { $gt: value });
  if (after?.kind === 'seq') conditions.push({ seq: beyond(after.seq) });
  else if (after !== undefined) {
    const place = after.place;
    // The first bounds the walk of the index, the second says it exactly.
    conditions.push({ at: descending ? { $lte: place.at } : { $gte: place.at } });
    conditions.push({
      $or: [
        { at: beyond(place.at) },
        { at: place.at, chain: beyond(place.chain) },
        { at: place.at, chain: place.chain, seq: beyond(place.seq) },
      ],
    });
  }
  return conditions.length === 0 ? {} : { $and: conditions };
}

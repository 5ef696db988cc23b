// Sealed rows of the audit record in MongoDB: a small document for each segment, its rows and its names in others, so
// that looking for segments reads neither.
import type { ClientSession, MongoClient } from 'mongodb';
import type { Range } from '../audit-record.ts';
import { monthOf, type PackedSegment } from '../audit-segment.ts';
import type { AuditSegment } from '../store.ts';
import { hexOf } from './audit.ts';
import { LONG_MS_MAX, told, transact } from './faults.ts';
import {
  AUDIT_BY_CHAIN,
  BY_ID,
  type Collections,
  SEGMENT_BY_CHAIN,
  SEGMENT_BY_MONTH,
  SEGMENT_BY_NAME,
  type SegmentDoc,
} from './layout.ts';
import { bytesOf } from './rows.ts';

/** Segments that are handed out at once. */
const PAGE = 64;
/** Removing a segment's rows from five indexes takes the server some 0.3 s. */
const SEAL_MS_MAX = 60_000;
const MAJORITY = { readConcern: { level: 'majority' } } as const;

/** See AuditKept. */
export async function chainSegments(
  on: Collections,
  chain: string,
  { from, to }: Range,
  descending: boolean,
): Promise<AuditSegment[]> {
  const options = { ...MAJORITY, hint: SEGMENT_BY_CHAIN, limit: PAGE };
  const find = on.segment.find({ chain, from: { $gte: from, $lt: to } }, options);
  return found(() => find.sort({ from: descending ? -1 : 1 }).toArray());
}

/** See AuditKept. */
export async function monthSegments(
  on: Collections,
  names: readonly number[],
  { from, to }: Range,
  descending: boolean,
): Promise<AuditSegment[]> {
  const way = descending ? -1 : 1;
  const within = { month: { $gte: from, $lt: to } };
  if (names.length === 0) {
    const options = { ...MAJORITY, hint: SEGMENT_BY_MONTH };
    const [first] = await told(() =>
      on.segment
        .find(within, { ...options, limit: 1 })
        .sort({ month: way })
        .toArray(),
    );
    if (first?.month === undefined) return [];
    const { month } = first;
    return found(() => on.segment.find({ month }, options).toArray());
  }
  const options = { ...MAJORITY, hint: SEGMENT_BY_NAME, projection: { month: 1 } };
  const named = { names: { $all: [...names] } };
  const [first] = await told(() =>
    on.segmentName
      .find({ ...named, ...within }, { ...options, limit: 1 })
      .sort({ month: way })
      .toArray(),
  );
  if (first === undefined) return [];
  const ids = await told(() => on.segmentName.find({ ...named, month: first.month }, options).toArray());
  const all = { _id: { $in: ids.map(({ _id }) => _id) } };
  return found(() => on.segment.find(all, { ...MAJORITY, hint: BY_ID }).toArray());
}

/** One look into the index for each chain. */
export async function lastSegments(on: Collections): Promise<AuditSegment[]> {
  const pipeline = [
    { $sort: { chain: -1, from: -1 } },
    { $group: { _id: '$chain', last: { $first: '$$ROOT' } } },
    { $replaceRoot: { newRoot: '$last' } },
  ];
  const options = { ...MAJORITY, hint: SEGMENT_BY_CHAIN };
  return found(() => on.segment.aggregate<SegmentDoc>(pipeline, options).toArray(), LONG_MS_MAX);
}

export async function packedRows(on: Collections, segment: AuditSegment): Promise<Uint8Array | undefined> {
  const doc = await told(() => on.segmentRows.findOne({ _id: idOf(segment) }, MAJORITY));
  return bytesOf(doc?.rows ?? null) ?? undefined;
}

/** See AuditKept. */
export async function segmentNames(on: Collections, segment: AuditSegment, of: readonly number[]): Promise<number[]> {
  const doc = await told(() => on.segmentName.findOne({ _id: idOf(segment) }, MAJORITY));
  const names = new Set(doc?.names);
  return of.filter((name) => names.has(name));
}

/** See AuditKept. */
export async function sealRows(client: MongoClient, on: Collections, sealed: PackedSegment): Promise<boolean> {
  const work = async (
    session: ClientSession,
    again: { isDuplicate: boolean; signal: AbortSignal },
  ): Promise<boolean> => {
    // Another process has sealed them.
    if (again.isDuplicate) return false;
    const { segment, packed, names } = sealed;
    const { chain, from, to } = segment;
    const { before, hash, ...plain } = segment;
    const _id = idOf(segment);
    const month = monthOf(segment.earliest);
    const hashes = { before: Buffer.from(before, 'hex'), hash: Buffer.from(hash, 'hex') };
    await on.segment.insertOne({ _id, ...plain, ...hashes, month }, { session });
    await on.segmentName.insertOne({ _id, month, names: [...names] }, { session });
    await on.segmentRows.insertOne({ _id, rows: Buffer.from(packed) }, { session });
    again.signal.throwIfAborted();
    const rows = { chain, seq: { $gte: from, $lte: to } };
    const { deletedCount } = await on.audit.deleteMany(rows, { session, hint: AUDIT_BY_CHAIN });
    again.signal.throwIfAborted();
    if (deletedCount !== to - from + 1) throw new Gone();
    return true;
  };
  try {
    return await transact(client, work, { attemptMs: SEAL_MS_MAX });
  } catch (error) {
    if (error instanceof Gone) return false;
    throw error;
  }
}

/** The rows are not there any more, or not all of them. */
class Gone extends Error {}

/** See AuditRecord. */
export async function purgeSegment(
  client: MongoClient,
  on: Collections,
  segment: AuditSegment,
  signed: string,
): Promise<boolean> {
  const _id = idOf(segment);
  const { chain, from } = segment;
  return transact(client, async (session) => {
    const earlier = { session, hint: SEGMENT_BY_CHAIN, sort: { from: -1 } } as const;
    const before = await on.segment.findOne({ chain, from: { $lt: from } }, earlier);
    if (before !== null && before.purged === undefined) return false;
    const change = { $set: { purged: signed }, $unset: { month: '' as const } };
    const { modifiedCount } = await on.segment.updateOne({ _id, purged: { $exists: false } }, change, { session });
    if (modifiedCount === 0) return false;
    await on.segmentName.deleteOne({ _id }, { session });
    await on.segmentRows.deleteOne({ _id }, { session });
    return true;
  });
}

const idOf = ({ chain, from }: AuditSegment): string => `${chain}/${from}`;

async function found(find: () => Promise<SegmentDoc[]>, msMax?: number): Promise<AuditSegment[]> {
  return (await told(find, msMax)).map(segmentOf);
}

function segmentOf({ _id, month, before, hash, ...plain }: SegmentDoc): AuditSegment {
  return { ...plain, before: hexOf(before), hash: hexOf(hash) };
}

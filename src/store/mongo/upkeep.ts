// Whole-store work, page by page: scan, reindex, statistics, verification.
import type { AnyBulkWriteOperation, Document } from 'mongodb';
import { badCursor, readCursor, writeCursor } from '../cursor.ts';
import type { IndexedRow, Key, Reindexed, Store, Term } from '../store.ts';
import { typeKey } from '../store.ts';
import { LIVE } from './compile.ts';
import { LONG_MS_MAX, told } from './faults.ts';
import { BY_ID, BY_KEY, BY_UPDATED, type Collections, type HistoryDoc, type ResourceDoc } from './layout.ts';
import { bytesOf, rowOf } from './rows.ts';

const VERIFY_PAGE = 500;

type Scanned = Awaited<ReturnType<Store['scan']>>;

/** Live resources in the order of their "Type/id". */
export async function scanPage(on: Collections, options: Parameters<Store['scan']>[0]): Promise<Scanned> {
  const about = `scan ${options.type ?? ''}`;
  const after = options.after === undefined ? undefined : placeOf(about, options.after);
  const filter = { ...idRange(options.type, after), ...LIVE };
  const find = on.resource.find(filter, { hint: BY_ID, limit: options.limit + 1, batchSize: options.limit + 2 });
  const docs = await told(() => find.sort({ _id: 1 }).toArray());
  const shown = docs.slice(0, options.limit);
  const rows = shown.map((doc): IndexedRow => ({ ...rowOf(doc), ord: doc.ord, allKeys: doc.idx ?? [] }));
  const last = shown.at(-1);
  return docs.length > options.limit && last !== undefined ? { rows, next: writeCursor(about, [last._id]) } : { rows };
}

export async function reindexRows(on: Collections, rows: readonly Reindexed[]): Promise<number> {
  if (rows.length === 0) return 0;
  const operations = rows.map(
    ({ type, id, version, ord, keys, terms }): AnyBulkWriteOperation<ResourceDoc> => ({
      updateOne: {
        filter: { _id: `${type}/${id}`, v: version, ...LIVE },
        update:
          terms.length > 0
            ? { $set: { ord, idx: [...keys], terms: [...terms] } }
            : { $set: { ord, idx: [...keys] }, $unset: { terms: '' } },
      },
    }),
  );
  const done = await told(() => on.resource.bulkWrite(operations, { ordered: false }), LONG_MS_MAX);
  return done.matchedCount;
}

export async function countByType(on: Collections): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const type of await told(() => on.resource.distinct('t'), LONG_MS_MAX)) {
    const pipeline = [{ $match: { idx: typeKey(type) } }, { $count: 'n' }];
    const counted = await told(
      () => on.resource.aggregate<{ n: number }>(pipeline, { hint: BY_KEY }).toArray(),
      LONG_MS_MAX,
    );
    const count = counted[0]?.n ?? 0;
    if (count > 0) counts.set(type, count);
  }
  return counts;
}

/** The latest lastUpdated of any resource, 0 in an empty database. */
export async function latestUpdate(on: Collections): Promise<number> {
  const types = await on.resource.distinct('t');
  const find = on.resource.find({ t: { $in: types } }, { hint: BY_UPDATED, projection: { lu: 1 }, limit: 1 });
  const [latest] = await find.sort({ lu: -1, tie: -1 }).toArray();
  return latest?.lu ?? 0;
}

/** One sentence per problem. Rows that change while it looks are looked at as they were found. */
export async function* verifyAll(
  on: Collections,
  options: { onProgress?: (done: number) => void },
): AsyncGenerator<string> {
  let done = 0;
  let after: string | undefined;
  for (;;) {
    const find = on.resource.find(idRange(undefined, after), { hint: BY_ID, limit: VERIFY_PAGE });
    const docs = await told(() => find.sort({ _id: 1 }).toArray());
    for (const doc of docs) {
      yield* problemsOfRow(doc);
      if (doc.v > 1) yield* problemsOfPast(doc, await pastOf(on, doc));
    }
    done += docs.length;
    options.onProgress?.(done);
    after = docs.at(-1)?._id;
    if (after === undefined || docs.length < VERIFY_PAGE) break;
  }
  yield* orphans(on);
}

// ---- what is wrong with a row ------------------------------------------------------------------------------------

function* problemsOfRow(doc: ResourceDoc): Generator<string> {
  const name = doc._id;
  if (name !== `${doc.t}/${doc.id}`) yield `${name} is stored as type ${doc.t} with id ${doc.id}.`;
  if (!Number.isSafeInteger(doc.v) || doc.v < 1) yield `${name} has no valid version number.`;
  if (!Number.isSafeInteger(doc.lu)) yield `${name} has no valid instant of its last update.`;
  if (doc.body === null) {
    if (doc.idx !== undefined || doc.terms !== undefined) yield `${name} is deleted but still indexed.`;
    return;
  }
  yield* problemsOfKeys(name, doc.t, doc.idx);
  yield* problemsOfTerms(name, doc.terms);
  yield* problemsOfBody(name, doc);
}

function* problemsOfKeys(name: string, type: string, keys: readonly Key[] | undefined): Generator<string> {
  if (!Array.isArray(keys)) {
    yield `${name} is not indexed.`;
    return;
  }
  if (!keys.includes(typeKey(type))) yield `${name} lacks the key of its type.`;
  if (new Set(keys).size !== keys.length) yield `${name} has a key twice.`;
  if (keys.some((key) => typeof key !== 'string' || key === '')) yield `${name} has a key that is no text.`;
}

function* problemsOfTerms(name: string, terms: readonly Term[] | undefined): Generator<string> {
  if (terms === undefined) return;
  if (!Array.isArray(terms) || terms.length === 0) {
    yield `${name} has no valid list of terms.`;
    return;
  }
  if (new Set(terms).size !== terms.length) yield `${name} has a term twice.`;
  if (terms.some((term) => typeof term !== 'string')) yield `${name} has a term that is no text.`;
}

function* problemsOfBody(name: string, doc: ResourceDoc | HistoryDoc): Generator<string> {
  const bytes = bytesOf(doc.body);
  if (bytes === null) return;
  let resource: unknown;
  try {
    resource = JSON.parse(Buffer.from(bytes).toString());
  } catch {
    yield `The body of ${name} version ${doc.v} is not JSON.`;
    return;
  }
  const { resourceType, id, meta } = asObject(resource);
  const { versionId, lastUpdated } = asObject(meta);
  if (resourceType !== doc.t || id !== doc.id)
    yield `The body of ${name} version ${doc.v} is that of another resource.`;
  if (versionId !== String(doc.v)) yield `The body of ${name} version ${doc.v} names another version.`;
  if (typeof lastUpdated !== 'string' || Date.parse(lastUpdated) !== doc.lu) {
    yield `The body of ${name} version ${doc.v} names another lastUpdated.`;
  }
}

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

// ---- what is wrong with a history --------------------------------------------------------------------------------

async function pastOf(on: Collections, doc: ResourceDoc): Promise<HistoryDoc[]> {
  const find = on.history.find({ _id: { $gte: `${doc._id}/`, $lt: `${doc._id}0` } }, { hint: BY_ID });
  const past = await told(() => find.toArray());
  // Versions that came after the row was read belong to a later state.
  return past.filter((version) => version.v < doc.v).sort((a, b) => a.v - b.v);
}

function* problemsOfPast(doc: ResourceDoc, past: readonly HistoryDoc[]): Generator<string> {
  const versions = new Map(past.map((version) => [version.v, version]));
  for (let v = 1; v < doc.v; v += 1) {
    const version = versions.get(v);
    if (version === undefined) yield `The history of ${doc._id} lacks version ${v}.`;
    else yield* problemsOfBody(doc._id, version);
  }
  for (const version of past) {
    const next = versions.get(version.v + 1) ?? doc;
    if (next.v === version.v + 1 && version.until !== next.lu) {
      yield `Version ${version.v} of ${doc._id} does not end when the next one begins.`;
    }
  }
  const times = [...past.map((version) => version.lu), doc.lu];
  if (times.some((lu, at) => at > 0 && lu <= (times[at - 1] ?? 0))) {
    yield `The versions of ${doc._id} do not follow each other in time.`;
  }
}

/** Past versions of resources that are not there. */
async function* orphans(on: Collections): AsyncGenerator<string> {
  const pipeline: Document[] = [
    { $sort: { _id: 1 } },
    { $project: { ref: { $concat: ['$t', '/', '$id'] } } },
    {
      $lookup: {
        from: 'resource',
        localField: 'ref',
        foreignField: '_id',
        as: 'now',
        pipeline: [{ $project: { _id: 1 } }],
      },
    },
    { $match: { 'now.0': { $exists: false } } },
    { $project: { _id: 1 } },
  ];
  try {
    for await (const { _id } of on.history.aggregate<{ _id: string }>(pipeline, { hint: BY_ID })) {
      yield `The history holds ${_id}, but there is no such resource.`;
    }
  } catch (error) {
    await told(() => Promise.reject(error));
  }
}

// ---- places ------------------------------------------------------------------------------------------------------

/** "Type/" up to "Type0", which is the next text after all that start with "Type/". */
function idRange(type: string | undefined, after: string | undefined): Document {
  const range = {
    ...(after !== undefined ? { $gt: after } : type !== undefined ? { $gte: `${type}/` } : {}),
    ...(type === undefined ? {} : { $lt: `${type}0` }),
  };
  return Object.keys(range).length === 0 ? {} : { _id: range };
}

function placeOf(about: string, cursor: string): string {
  const [place, ...others] = readCursor(about, cursor);
  if (typeof place !== 'string' || others.length > 0) throw badCursor();
  return place;
}

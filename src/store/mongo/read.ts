// Reads by id. Those that arrive in one turn of the event loop share one find: 0.45 of the server's CPU a read.
import type { Document } from 'mongodb';
import type { Condition, Filter, Key, Row } from '../store.ts';
import { told } from './faults.ts';
import { Gathered } from './gathered.ts';
import type { Joined } from './joined.ts';
import type { Collections, HistoryDoc, ResourceDoc } from './layout.ts';
import { rowOf } from './rows.ts';

/** Longer than any read takes on a server that works. */
const READ_MS_MAX = 10_000;

/** A current version as read; keys only where they were asked for. */
export type ReadDoc = Pick<ResourceDoc, '_id' | 't' | 'id' | 'v' | 'lu' | 'idx' | 'old' | 'body'>;

/** Gathers reads of current versions into finds. */
export class Reader {
  readonly #plain: Gathered<ReadDoc>;
  readonly #withKeys: Gathered<ReadDoc>;

  constructor(on: Collections) {
    const found = (projection: Document) => (refs: readonly string[]) => findNamed(on, refs, projection);
    this.#plain = new Gathered(found(VERSION));
    this.#withKeys = new Gathered(found({ ...VERSION, idx: 1, old: 1 }));
  }

  /** The document "Type/id", with its keys if they are needed. */
  get(ref: string, needsKeys: boolean): Promise<ReadDoc | undefined> {
    return (needsKeys ? this.#withKeys : this.#plain).get(ref);
  }
}

const VERSION = { t: 1, id: 1, v: 1, lu: 1, body: 1 };

async function findNamed(
  on: Collections,
  refs: readonly string[],
  projection: Document,
): Promise<Map<string, ReadDoc>> {
  const options = { projection, batchSize: refs.length + 1, maxTimeMS: READ_MS_MAX };
  const filter = { _id: refs.length === 1 ? (refs[0] ?? '') : { $in: [...refs] } };
  const docs = await told(() => on.resource.find<ReadDoc>(filter, options).toArray());
  return new Map(docs.map((doc) => [doc._id, doc]));
}

/** What reads need. */
export interface ReadContext {
  on: Collections;
  reader: Reader;
  joined: Joined;
}

/** The current version, a deletion included; undefined when there is none or it is not visible. */
export async function readCurrent(
  { reader, joined }: ReadContext,
  ref: { type: string; id: string },
  filter: Filter,
  needsKeys = false,
): Promise<ReadDoc | undefined> {
  const condition = filter.of(ref.type);
  if (condition.kind === 'none') return undefined;
  const doc = await reader.get(`${ref.type}/${ref.id}`, needsKeys || condition.kind !== 'all');
  return doc !== undefined && (await isVisible(joined, doc, condition)) ? doc : undefined;
}

/** One version: visible only if it and the current one are. */
export async function readVersion(
  context: ReadContext,
  ref: { type: string; id: string; version: number },
  filter: Filter,
  keysOf?: readonly Key[],
): Promise<Row | undefined> {
  const current = await readCurrent(context, ref, filter, keysOf !== undefined);
  if (current === undefined || ref.version > current.v) return undefined;
  if (ref.version === current.v) return rowOf(current, keysOf);
  const _id = `${ref.type}/${ref.id}/${Math.trunc(ref.version)}`;
  const doc = await told(() => context.on.history.findOne({ _id }, { maxTimeMS: READ_MS_MAX }));
  return doc !== null && (await isVisible(context.joined, doc, filter.of(ref.type))) ? rowOf(doc, keysOf) : undefined;
}

/** The versions for which the condition of their type holds. */
export async function visible<Doc extends ReadDoc | HistoryDoc>(
  joined: Joined,
  docs: readonly Doc[],
  condition: Condition,
): Promise<Doc[]> {
  const answers = await Promise.all(docs.map((doc) => isVisible(joined, doc, condition)));
  return docs.filter((_, at) => answers[at]);
}

/** Of a deletion, its last keys count. */
function isVisible(joined: Joined, doc: ReadDoc | HistoryDoc, condition: Condition): Promise<boolean> {
  const keys = doc.idx ?? ('old' in doc ? doc.old : undefined) ?? [];
  return joined.holds({ type: doc.t, id: doc.id, lastUpdated: doc.lu, keys }, condition);
}

// What a group of commits does to the rows it touches, worked out in memory before anything is written: versions,
// stamps, expectations. Pure; commit.ts reads before and writes after.
import { ObjectId } from 'mongodb';
import type { Turn } from '../../base/slices.ts';
import { stamped } from '../stamp.ts';
import type { Write, Written } from '../store.ts';
import { StoreError } from '../store.ts';
import { bucketOf, type HistoryDoc, type OutboxDoc, type ResourceDoc } from './layout.ts';

/** A row before and after: `before` undefined: to be inserted; else to be replaced, guarded by before's version. */
interface Changed {
  before: ResourceDoc | undefined;
  after: ResourceDoc;
}

export class Stage {
  readonly #stored: ReadonlyMap<string, ResourceDoc>;
  readonly #changed = new Map<string, Changed>();
  readonly past: HistoryDoc[] = [];
  readonly changes: OutboxDoc['changes'] = [];
  /** The first and the latest lastUpdated given out by this stage. */
  readonly firstUpdated: number;
  lastUpdated: number;

  /** `stored`: the rows touched as they are now. `after`: the latest lastUpdated given out before. */
  constructor(stored: ReadonlyMap<string, ResourceDoc>, times: { now: number; after: number }) {
    this.#stored = stored;
    let latest = times.after;
    // A row may come from a process whose clock is ahead; its next version is later all the same.
    for (const doc of stored.values()) latest = Math.max(latest, doc.lu);
    this.firstUpdated = Math.max(times.now, latest + 1);
    this.lastUpdated = this.firstUpdated;
  }

  get inserts(): ResourceDoc[] {
    return [...this.#changed.values()].flatMap(({ before, after }) => (before === undefined ? [after] : []));
  }

  get replacements(): { before: ResourceDoc; after: ResourceDoc }[] {
    return [...this.#changed.values()].flatMap(({ before, after }) =>
      before === undefined ? [] : [{ before, after }],
    );
  }

  /** Adds a commit: all of it, or, when an expectation fails, nothing of it and the error. */
  async add(writes: readonly Write[], turn: Turn): Promise<Written[] | StoreError> {
    const own = new Map<string, ResourceDoc>();
    const past: HistoryDoc[] = [];
    const written: Written[] = [];
    const changes: OutboxDoc['changes'] = [];
    for (const [at, write] of writes.entries()) {
      await turn();
      const ref = `${write.type}/${write.id}`;
      const now = own.get(ref) ?? this.#current(ref);
      const isLive = now !== undefined && now.body !== null;
      if (!isExpected(write, isLive ? now.v : undefined)) {
        return new StoreError('version', 'Another version is current', { at });
      }
      if (write.body === null && !isLive) {
        written.push({ version: 0, lastUpdated: this.firstUpdated, created: false });
        continue;
      }
      const next = this.#next(write, now);
      if (now !== undefined) past.push(historyOf(now, next.lu));
      own.set(ref, next);
      written.push({ version: next.v, lastUpdated: next.lu, created: !isLive });
      changes.push({ t: next.t, id: next.id, v: next.v });
    }
    for (const doc of past) this.past.push(doc);
    for (const change of changes) this.changes.push(change);
    for (const [ref, after] of own) this.#changed.set(ref, { before: this.#stored.get(ref), after });
    return written;
  }

  #current(ref: string): ResourceDoc | undefined {
    return this.#changed.get(ref)?.after ?? this.#stored.get(ref);
  }

  #next(write: Write, now: ResourceDoc | undefined): ResourceDoc {
    const v = (now?.v ?? 0) + 1;
    const lu = Math.max(this.firstUpdated, (now?.lu ?? 0) + 1);
    this.lastUpdated = Math.max(this.lastUpdated, lu);
    const { type: t, id } = write;
    const common = { _id: `${t}/${id}`, t, id, v, lu, tie: now?.tie ?? new ObjectId() };
    if (write.body === null) {
      return { ...common, ord: now?.ord ?? write.ord, b: now?.b ?? 0, old: now?.idx ?? [], body: null };
    }
    const body = stamped(write.body, write.stampAt, v, lu);
    const terms = write.terms.length > 0 ? { terms: [...write.terms] } : {};
    return { ...common, ord: write.ord, b: bucketOf(write.owner), idx: [...write.keys], ...terms, body };
  }
}

function isExpected(write: Write, live: number | undefined): boolean {
  if (write.expect === undefined) return true;
  return write.expect === 'absent' ? live === undefined : live === write.expect;
}

function historyOf(doc: ResourceDoc, until: number): HistoryDoc {
  const { t, id, v, lu, tie, body } = doc;
  return { _id: `${t}/${id}/${v}`, t, id, v, lu, until, tie, idx: doc.idx ?? doc.old ?? [], body };
}

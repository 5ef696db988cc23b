// The store on one SQLite file. Reads that are known to be short happen on the main thread (a get costs 8 µs, through
// a thread more than twice that); writes on the writer thread; whatever may be wide on the reader thread.
import { sealedProblems } from '../audit-verify.ts';
import { simplify } from '../conditions.ts';
import type { Position } from '../cursor.ts';
import { badCursor, readCursor, searchCursor, searchPosition, writeCursor } from '../cursor.ts';
import { type CountNoted, explanationOf, noting } from '../explain.ts';
import { keysStarting } from '../match.ts';
import type { Few, Plan, Probe } from '../planner.ts';
import { orderOf, plan, planCount } from '../planner.ts';
import { sizesRemembered } from '../sizes.ts';
import type {
  Alias,
  AuditRecord,
  Commit,
  Condition,
  Count,
  Filter,
  HistorySearch,
  IndexedRow,
  Key,
  OrdRange,
  Outbox,
  Page,
  Records,
  Row,
  Search,
  SortKey,
  Store,
  Written,
} from '../store.ts';
import { StoreError } from '../store.ts';
import { chainOf } from './audit.ts';
import { createAudit } from './audit-kept.ts';
import type { AuditStep, AuditStepResult } from './audit-verify.ts';
import { anyRow, holds, liveRow } from './conditions.ts';
import type { Found, Shape, Stretch } from './find.ts';
import { keysIn, ordsIn, walkStep } from './find.ts';
import { type HistoryScope, typesPresent, versionVisible } from './history.ts';
import type { Answer, ReadJob, ReadResults } from './jobs.ts';
import { unpackError } from './jobs.ts';
import { runRead } from './read.ts';
import { createOutbox, createRecords } from './records.ts';
import type { Columns, Connection, Sql } from './sql.ts';
import { keysText, limited, raw, sql } from './sql.ts';
import { tokensOf } from './terms.ts';
import { Thread } from './thread.ts';
import { TURN_MS, Turns } from './turns.ts';
import { verifyStore } from './verify.ts';
import { Writer } from './writer.ts';

/** What the planner looks at before a search, ms: without it, all would be looked at that it could have ruled out. */
const LOOK_MS = 1_000;
/** Candidates that the main thread looks at before it hands a search to the reader: some 5 ms at most. */
const CANDIDATES_HERE = 1_000;
/** Sets up to here are collected, sorted and counted on the main thread. */
const SET_HERE = 1_000;
/** Sizes are remembered from here on: to count a shorter list costs less than 0.1 ms. */
const REMEMBERED_FROM = 1_000;
/** Index entries that the main thread counts: 0.1 ms. */
const COUNT_HERE = 2_000;
/** Resources whose whole history the main thread looks through. */
const HISTORIES_HERE = 10;
const VERSION = 'r.id, r.v, r.lu, r.body';
const VERSION_AND_KEYS = `${VERSION}, r.keys`;

/** Reads of one resource, by type and id, without its keys and with them; `values`: those after type and id. */
interface Read {
  type: string;
  plain: string;
  withKeys: string;
  values: Sql['values'];
}

const byName = (columns: string): string => `SELECT ${columns} FROM resource r WHERE r.type = ? AND r.id = ?`;
const READ = { plain: byName(VERSION), withKeys: byName(VERSION_AND_KEYS), values: [] };

interface FindOptions {
  after: Position | undefined;
  limit: number;
  shape: Shape;
  explain: boolean;
  budgetMs: number;
}

export class SqliteStore implements Store {
  readonly name: string;
  readonly isShared = false;
  readonly records: Records;
  readonly outbox: Outbox;
  readonly audit: AuditRecord;
  readonly #path: string;
  readonly #connection: Connection;
  readonly #writer: Writer;
  readonly #reader: Thread;
  readonly #probe: Probe;
  readonly #turns = new Turns();
  readonly #reads = new WeakMap<Condition, Read>();
  #isClosed = false;

  constructor(options: { path: string; connection: Connection; now: () => number }) {
    this.name = `SQLite ${options.path}`;
    this.#path = options.path;
    this.#connection = options.connection;
    this.#writer = new Writer({ ...options, snapshot: options.connection.snapshot });
    this.#reader = new Thread('reader-worker', options.path);
    this.#probe = sizesRemembered(REMEMBERED_FROM)({
      walksKeys: true,
      overlaps: true,
      count: (source, type, cap) => this.#look({ kind: 'size', source, type, cap, budgetMs: LOOK_MS }, cap),
      keysIn: (span, max) => keysIn(this.#open(), span, max),
      ordsIn: (span, max) =>
        this.#open().within<OrdRange | undefined>(
          TURN_MS,
          () => ordsIn(this.#connection, span, max),
          () => undefined,
        ),
      few: (plan, options) => this.#few({ kind: 'few', plan, options, budgetMs: LOOK_MS }),
    });
    const send = this.#writer.send.bind(this.#writer);
    this.records = createRecords(options.connection, send, options.now);
    this.outbox = createOutbox(options.connection, send);
    this.audit = createAudit({
      send,
      rows: (search) => this.#run({ kind: 'audit', search }, false),
      connection: () => this.#open(),
    });
  }

  async read(type: string, id: string, filter: Filter, keysOf?: readonly Key[]): Promise<Row | undefined> {
    const visible = filter.of(type);
    if (visible.kind === 'none') return undefined;
    const { plain, withKeys, values } = visible.kind === 'all' ? READ : this.#readOf(type, visible);
    const text = keysOf === undefined ? plain : withKeys;
    const row = this.#open().get({ text, values: [type, id, ...values] });
    return row === undefined ? undefined : rowOf(type, row, keysOf);
  }

  /** The most frequent query of all is put together once for each condition of a caller, which stays the same object. */
  #readOf(type: string, visible: Condition): Read {
    const known = this.#reads.get(visible);
    if (known?.type === type) return known;
    const { text, values } = holds(simplify(visible), anyRow('r', type));
    const read = { type, plain: `${READ.plain} AND ${text}`, withKeys: `${READ.withKeys} AND ${text}`, values };
    this.#reads.set(visible, read);
    return read;
  }

  async readMany(
    refs: readonly { type: string; id: string }[],
    filter: Filter,
    keysOf?: readonly Key[],
  ): Promise<(Row | undefined)[]> {
    const rows = new Map<string, Row>();
    for (const [type, group] of Map.groupBy(refs, (ref) => ref.type)) {
      const visible = visibleTo(filter, type);
      if (visible.kind === 'none') continue;
      const ids = JSON.stringify(group.map((ref) => ref.id));
      const found = this.#open().all(sql`SELECT ${versionColumns(keysOf)} FROM json_each(${ids}) j CROSS JOIN resource r
        ON r.type = ${type} AND r.id = j.value WHERE r.ord IS NOT NULL AND ${holds(visible, liveRow('r', type))}`);
      for (const columns of found) rows.set(`${type}/${columns[0]}`, rowOf(type, columns, keysOf));
    }
    return refs.map(({ type, id }) => rows.get(`${type}/${id}`));
  }

  async readVersion(
    type: string,
    id: string,
    version: number,
    filter: Filter,
    keysOf?: readonly Key[],
  ): Promise<Row | undefined> {
    const current = await this.read(type, id, filter, keysOf);
    if (current === undefined || current.version === version) return current;
    const row =
      this.#open().get(sql`SELECT r.id, h.v, h.lu, h.body, h.keys FROM resource r CROSS JOIN history h ON h.rid = r.rid AND h.v = ${version}
      WHERE r.type = ${type} AND r.id = ${id} AND ${versionVisible(visibleTo(filter, type), type)}`);
    return row === undefined ? undefined : rowOf(type, row, keysOf);
  }

  async search(search: Search, filter: Filter): Promise<Page> {
    const start = performance.now();
    const { type, limit, budgetMs, explain = false } = search;
    const counts: CountNoted[] = [];
    const found = await plan(search, filter, explain ? noting(this.#probe, counts) : this.#probe);
    const order = orderOf(search);
    const after = search.after === undefined ? undefined : searchPosition(type, order, search.after, 'number');
    const shape = { bodyless: search.bodyless === true, keysOf: search.keysOf ?? [] };
    // One row more than the page tells whether there is a next one.
    const options = { after, limit: limit + 1, shape, explain, budgetMs };
    const stretch: Stretch = found.kind === 'none' ? { rows: [] } : await this.#find(found, options);
    const page = pageOf(stretch, { type, limit, order });
    if (!explain) return page;
    const cost = { counts, examined: stretch.examined ?? 0, ms: performance.now() - start };
    return { ...page, explanation: explanationOf(found, cost) };
  }

  async count(alias: Alias, options: Parameters<Store['count']>[1], filter: Filter): Promise<Count> {
    const { cap, budgetMs } = options;
    const found = await planCount(alias, filter, this.#probe, options);
    if (found.kind !== 'sort') return { count: 0, exact: true };
    const isSmall = (found.estimate ?? SET_HERE) < SET_HERE;
    const isShort = found.residual.kind === 'all' && found.source.kind !== 'term' ? cap <= COUNT_HERE : isSmall;
    const count = await this.#run({ kind: 'count', plan: found, cap: cap + 1, budgetMs }, isShort);
    return count > cap ? { count: cap, exact: false } : { count, exact: true };
  }

  async history(search: HistorySearch, filter: Filter): Promise<Page> {
    const about = `history ${search.type ?? ''} ${search.id ?? ''}`;
    const after = search.after === undefined ? undefined : versionPlace(readCursor(about, search.after));
    if (search.current !== undefined && search.current.from >= search.current.to) return { rows: [] };
    const scopes = this.#historyScopes(search, filter);
    const { since, until, current } = search;
    const query = {
      scopes,
      limit: search.limit + 1,
      ...(since === undefined ? {} : { since }),
      ...(until === undefined ? {} : { until }),
      ...(current === undefined ? {} : { current }),
      ...(after === undefined ? {} : { after }),
      ...(search.keysOf === undefined ? {} : { keysOf: search.keysOf }),
    };
    const isShort = scopes.every(({ where, ids }) =>
      ids === undefined ? current === undefined && isSimple(where) : ids.length <= HISTORIES_HERE,
    );
    const found = await this.#run({ kind: 'history', query, budgetMs: search.budgetMs }, isShort);
    const shown = found.slice(0, search.limit);
    const rows = shown.map(({ type, id, v, lu, body, keys }) => {
      const row = { type, id, version: v, lastUpdated: lu, body };
      return keys === undefined ? row : { ...row, keys };
    });
    const last = shown.at(-1);
    if (found.length <= search.limit || last === undefined) return { rows };
    return { rows, next: writeCursor(about, [last.lu, last.rid, last.v]) };
  }

  async keysIn(span: { from: Key; to: Key }, max: number): Promise<readonly Key[] | undefined> {
    return keysIn(this.#open(), span, max);
  }

  async commit(commit: Commit): Promise<Written[]> {
    return this.#writer.commit(commit);
  }

  async stats(): Promise<Map<string, number>> {
    const counts = await this.#run({ kind: 'stats' }, false);
    return new Map(counts.filter(([, count]) => count > 0));
  }

  async scan({
    type,
    after,
    limit,
  }: {
    type?: string;
    after?: string;
    limit: number;
  }): Promise<{ rows: IndexedRow[]; next?: string }> {
    const about = `scan ${type ?? ''}`;
    const [lu, rid] = scanPlace(after === undefined ? [0, 0] : readCursor(about, after));
    // A type goes by lastUpdated: a row that changes meanwhile is met again later, none is missed.
    const list =
      type === undefined
        ? sql`resource r WHERE r.rid > ${rid} AND r.ord IS NOT NULL ORDER BY r.rid`
        : sql`resource r INDEXED BY resource_lu WHERE r.type = ${type} AND (r.lu, r.rid) > (${lu}, ${rid}) AND r.ord IS NOT NULL ORDER BY r.lu, r.rid`;
    const found = this.#open().all(
      sql`SELECT ${raw(VERSION)}, r.rid, r.type, r.ord, r.keys FROM ${list} ${limited(limit + 1)}`,
    );
    const rows = found.slice(0, limit);
    const last = rows.at(-1);
    const indexed = rows.map((columns) => ({
      ...rowOf(String(columns[5]), columns),
      ord: Number(columns[6]),
      allKeys: JSON.parse(String(columns[7])),
    }));
    if (found.length <= limit || last === undefined) return { rows: indexed };
    return { rows: indexed, next: writeCursor(about, [Number(last[2]), Number(last[4])]) };
  }

  async reindex(rows: Parameters<Store['reindex']>[0]): Promise<number> {
    const packed = rows.map(({ type, id, version, ord, keys, terms }) => ({
      type,
      id,
      version,
      ord,
      keys: keysText(keys),
      tokens: tokensOf(terms),
    }));
    return this.#writer.send({ kind: 'reindex', rows: packed });
  }

  async *verify({ onProgress = () => {} }: { onProgress?: (done: number) => void }): AsyncGenerator<string> {
    yield* verifyStore(this.#open(), () => this.#termProblems(), onProgress);
    yield* this.#auditProblems();
  }

  async ping(): Promise<void> {
    try {
      this.#open().number(raw("SELECT count(*) FROM setting WHERE name = 'schema'"));
    } catch (cause) {
      throw cause instanceof StoreError ? cause : new StoreError('unavailable', 'The store does not answer', { cause });
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#reader.close();
    // The log is copied back and removed only when no other connection reads it.
    this.#connection.close();
    await this.#writer.close();
  }

  /** On a thread of its own: searches do not wait for it. */
  async #termProblems(): Promise<readonly string[]> {
    const thread = new Thread('reader-worker', this.#path);
    try {
      return okOf((await thread.ask({ kind: 'terms' })) as Answer<readonly string[]>);
    } finally {
      await thread.close();
    }
  }

  async *#auditProblems(): AsyncGenerator<string> {
    const thread = new Thread('reader-worker', this.#path);
    try {
      const link = yield* sealedProblems(this.audit, chainOf(this.#open()));
      let step: AuditStep = { part: 'chain', link };
      for (;;) {
        const done: AuditStepResult = okOf((await thread.ask({ kind: 'audit-step', step })) as Answer<AuditStepResult>);
        yield* done.problems;
        if (done.next === undefined) return;
        step = done.next;
      }
    } finally {
      await thread.close();
    }
  }

  #open(): Connection {
    if (this.#isClosed) throw new StoreError('unavailable', 'The store is closed');
    return this.#connection;
  }

  async #find(found: Exclude<Plan, { kind: 'none' }>, options: FindOptions): Promise<Stretch> {
    if (found.kind === 'sort') {
      return this.#run({ kind: 'sort', plan: found, ...options }, (found.estimate ?? SET_HERE) < SET_HERE);
    }
    // A sort by keys may have to order many rows with the same key before it has the first.
    if (found.by.kind === 'keys') return this.#run({ kind: 'walk', plan: found, ...options }, false);
    const start = performance.now();
    const step = await this.#here((here) => walkStep(here, found, { ...options, candidates: CANDIDATES_HERE }));
    if (step !== undefined && step.resume === undefined) return step;
    const { rows, examined = 0, resume: after = options.after }: Stretch = step ?? { rows: [] };
    const budgetMs = options.budgetMs - (performance.now() - start);
    const limit = options.limit - rows.length;
    const rest = await this.#run({ kind: 'walk', plan: found, ...options, after, limit, budgetMs }, false);
    return { rows: [...rows, ...rest.rows], examined: examined + (rest.examined ?? 0) };
  }

  /** The types that take part, and which of their resources. */
  #historyScopes({ type, id, of }: HistorySearch, filter: Filter): HistoryScope[] {
    const named = of?.filter((one) => (type ?? one.type) === one.type && (id ?? one.id) === one.id);
    const types = type !== undefined ? [type] : (named?.map((one) => one.type) ?? typesPresent(this.#open()));
    return [...new Set(types)].map((each) => {
      const where = visibleTo(filter, each);
      if (named !== undefined) {
        const ids = named.flatMap((one) => (one.type === each ? [one.id] : []));
        return { type: each, where, ids: [...new Set(ids)] };
      }
      return id === undefined ? { type: each, where } : { type: each, where, ids: [id] };
    });
  }

  /**
   * Work on the main thread: undefined where it takes longer than a turn. Searches that have worked for a turn together,
   * such as those of one request over all types, let everything else have its turn before they go on.
   */
  async #here<T>(work: (connection: Connection) => T): Promise<T | undefined> {
    if (this.#turns.isOver()) await this.#turns.next();
    const connection = this.#open();
    return connection.within<T | undefined>(
      TURN_MS,
      () => work(connection),
      () => undefined,
    );
  }

  /** What the planner asks: here, or on the reader thread where that takes too long; `late` where it does so there, too. */
  #look<J extends ReadJob>(
    job: J,
    late: ReadResults[J['kind']],
  ): ReadResults[J['kind']] | Promise<ReadResults[J['kind']]> {
    if (this.#turns.isOver()) return this.#lookLater(job, true, late);
    const connection = this.#open();
    const read = (): ReadResults[J['kind']] => runRead(connection, job) as ReadResults[J['kind']];
    return connection.within<ReadResults[J['kind']] | Promise<ReadResults[J['kind']]>>(TURN_MS, read, () =>
      this.#lookLater(job, false, late),
    );
  }

  async #lookLater<J extends ReadJob>(
    job: J,
    isShort: boolean,
    late: ReadResults[J['kind']],
  ): Promise<ReadResults[J['kind']]> {
    try {
      return await this.#run(job, isShort);
    } catch (error) {
      if (error instanceof StoreError && error.kind === 'too-costly') return late;
      throw error;
    }
  }

  #few(job: Extract<ReadJob, { kind: 'few' }>): Few | undefined | Promise<Few | undefined> {
    const found = this.#look(job, { matches: undefined });
    return 'matches' in found ? found.matches : found.then(({ matches }) => matches);
  }

  /** Does it here when it is short, else on the reader thread. */
  async #run<J extends ReadJob>(job: J, isShort: boolean): Promise<ReadResults[J['kind']]> {
    const found = isShort ? await this.#here((here) => runRead(here, job) as ReadResults[J['kind']]) : undefined;
    if (found !== undefined) return found;
    this.#open();
    return okOf((await this.#reader.ask(job)) as Answer<ReadResults[J['kind']]>);
  }
}

function okOf<T>(answer: Answer<T>): T {
  if ('error' in answer) throw unpackError(answer.error);
  return answer.ok;
}

/** Nothing has to be looked up in the rows. */
function isSimple(where: Condition): boolean {
  return where.kind === 'all' || where.kind === 'none';
}

/** What the filter lets through of a type; its joins are part of the rule and are not narrowed again. */
function visibleTo(filter: Filter, type: string): Condition {
  return simplify(filter.of(type));
}

/** The keys come last where some are asked for. */
const versionColumns = (keysOf: readonly Key[] | undefined) => raw(keysOf === undefined ? VERSION : VERSION_AND_KEYS);

function rowOf(type: string, [id, version, lastUpdated, body, keys]: Columns, keysOf?: readonly Key[]): Row {
  const row = {
    type,
    id: String(id),
    version: Number(version),
    lastUpdated: Number(lastUpdated),
    body: (body ?? null) as Uint8Array | null,
  };
  return keysOf === undefined ? row : { ...row, keys: keysStarting(JSON.parse(String(keys)) as Key[], keysOf) };
}

function pageOf(found: Stretch, search: { type: string; limit: number; order: readonly SortKey[] }): Page {
  const { type, limit, order } = search;
  const rows = found.rows.slice(0, limit);
  const last = rows.at(-1);
  const page = { rows: rows.map((row) => pageRow(type, row)) };
  if (found.rows.length <= limit || last === undefined) return page;
  return { ...page, next: searchCursor(type, order, { values: last.at, tie: last.rid }) };
}

function pageRow(type: string, { id, version, lastUpdated, body, keys }: Found): Row {
  return { type, id, version, lastUpdated, body, ...(keys === undefined ? {} : { keys }) };
}

function versionPlace(values: readonly unknown[]): { lu: number; rid: number; v: number } {
  const [lu, rid, v] = values;
  if (values.length !== 3 || !isWhole(lu) || !isWhole(rid) || !isWhole(v)) throw badCursor();
  return { lu, rid, v };
}

function scanPlace(values: readonly unknown[]): [lu: number, rid: number] {
  const [lu, rid] = values;
  if (values.length !== 2 || !isWhole(lu) || !isWhole(rid)) throw badCursor();
  return [lu, rid];
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

// The store as one request sees it, which takes note of every resource that is handed out, and of whose it is: so no
// interaction can forget to tell.
import type {
  Alias,
  AuditRecord,
  Commit,
  Count,
  Filter,
  HistorySearch,
  Key,
  Outbox,
  Page,
  Records,
  Row,
  Search,
  Store,
  Written,
} from '../../store/store.ts';
import { PATIENT_KEYS } from './patients.ts';

interface Ref {
  type: string;
  id: string;
}

/** `seen` is told each row with its content, a deletion included; rows that only tell ids are not content. */
export class WatchedStore implements Store {
  readonly name: string;
  readonly isShared: boolean;
  readonly records: Records;
  readonly outbox: Outbox;
  readonly audit: AuditRecord;
  readonly #store: Store;
  readonly #seen: (row: Row) => void;

  constructor(store: Store, seen: (row: Row) => void) {
    this.name = store.name;
    this.isShared = store.isShared;
    this.records = store.records;
    this.outbox = store.outbox;
    this.audit = store.audit;
    this.#store = store;
    this.#seen = seen;
  }

  async read(type: string, id: string, filter: Filter, keysOf?: readonly Key[]): Promise<Row | undefined> {
    const row = await this.#store.read(type, id, filter, withPatients(keysOf));
    if (row !== undefined) this.#seen(row);
    return row;
  }

  async readMany(refs: readonly Ref[], filter: Filter, keysOf?: readonly Key[]): Promise<(Row | undefined)[]> {
    const rows = await this.#store.readMany(refs, filter, withPatients(keysOf));
    for (const row of rows) if (row !== undefined) this.#seen(row);
    return rows;
  }

  async readVersion(
    type: string,
    id: string,
    version: number,
    filter: Filter,
    keysOf?: readonly Key[],
  ): Promise<Row | undefined> {
    const row = await this.#store.readVersion(type, id, version, filter, withPatients(keysOf));
    if (row !== undefined) this.#seen(row);
    return row;
  }

  async search(search: Search, filter: Filter): Promise<Page> {
    if (search.bodyless === true) return this.#store.search(search, filter);
    return this.#told(await this.#store.search({ ...search, keysOf: withPatients(search.keysOf) }, filter));
  }

  async history(search: HistorySearch, filter: Filter): Promise<Page> {
    return this.#told(await this.#store.history({ ...search, keysOf: withPatients(search.keysOf) }, filter));
  }

  #told(page: Page): Page {
    for (const row of page.rows) this.#seen(row);
    return page;
  }

  count(alias: Alias, options: { cap: number; budgetMs: number }, filter: Filter): Promise<Count> {
    return this.#store.count(alias, options, filter);
  }

  keysIn(span: { from: Key; to: Key }, max: number): Promise<readonly Key[] | undefined> {
    return this.#store.keysIn(span, max);
  }

  commit(commit: Commit): Promise<Written[]> {
    return this.#store.commit(commit);
  }

  stats(): Promise<Map<string, number>> {
    return this.#store.stats();
  }

  scan(options: Parameters<Store['scan']>[0]): ReturnType<Store['scan']> {
    return this.#store.scan(options);
  }

  reindex(rows: Parameters<Store['reindex']>[0]): Promise<number> {
    return this.#store.reindex(rows);
  }

  verify(options: Parameters<Store['verify']>[0]): AsyncIterable<string> {
    return this.#store.verify(options);
  }

  ping(): Promise<void> {
    return this.#store.ping();
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}

const withPatients = (keysOf: readonly Key[] | undefined): readonly Key[] =>
  keysOf === undefined || keysOf.length === 0 ? PATIENT_KEYS : [...keysOf, ...PATIENT_KEYS];

// A store seen through something: every method goes to the store behind, and who extends this says of the few that show
// rows what becomes of them. A method that the port gains is then added here alone.
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
} from './store.ts';

export class StoreView implements Store {
  readonly name: string;
  readonly isShared: boolean;
  readonly records: Records;
  readonly outbox: Outbox;
  readonly audit: AuditRecord;
  readonly #store: Store;

  constructor(store: Store) {
    this.name = store.name;
    this.isShared = store.isShared;
    this.records = store.records;
    this.outbox = store.outbox;
    this.audit = store.audit;
    this.#store = store;
  }

  read(type: string, id: string, filter: Filter, keysOf?: readonly Key[]): Promise<Row | undefined> {
    return this.#store.read(type, id, filter, keysOf);
  }

  readMany(
    refs: readonly { type: string; id: string }[],
    filter: Filter,
    keysOf?: readonly Key[],
  ): Promise<(Row | undefined)[]> {
    return this.#store.readMany(refs, filter, keysOf);
  }

  readVersion(
    type: string,
    id: string,
    version: number,
    filter: Filter,
    keysOf?: readonly Key[],
  ): Promise<Row | undefined> {
    return this.#store.readVersion(type, id, version, filter, keysOf);
  }

  search(search: Search, filter: Filter): Promise<Page> {
    return this.#store.search(search, filter);
  }

  history(search: HistorySearch, filter: Filter): Promise<Page> {
    return this.#store.history(search, filter);
  }

  count(alias: Alias, options: Parameters<Store['count']>[1], filter: Filter): Promise<Count> {
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

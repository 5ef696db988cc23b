// The store as one request sees it, which takes note of every resource that is handed out, and of whose it is: so no
// interaction can forget to tell.
import type { Filter, HistorySearch, Key, Page, Row, Search, Store } from '../../store/store.ts';
import { StoreView } from '../../store/store-view.ts';
import { PATIENT_KEYS } from './patients.ts';

interface Ref {
  type: string;
  id: string;
}

/** `seen` is told each row with its content, a deletion included; rows that only tell ids are not content. */
export class WatchedStore extends StoreView {
  readonly #seen: (row: Row) => void;

  constructor(store: Store, seen: (row: Row) => void) {
    super(store);
    this.#seen = seen;
  }

  override async read(type: string, id: string, filter: Filter, keysOf?: readonly Key[]): Promise<Row | undefined> {
    const row = await super.read(type, id, filter, withPatients(keysOf));
    if (row !== undefined) this.#seen(row);
    return row;
  }

  override async readMany(refs: readonly Ref[], filter: Filter, keysOf?: readonly Key[]): Promise<(Row | undefined)[]> {
    const rows = await super.readMany(refs, filter, withPatients(keysOf));
    for (const row of rows) if (row !== undefined) this.#seen(row);
    return rows;
  }

  override async readVersion(
    type: string,
    id: string,
    version: number,
    filter: Filter,
    keysOf?: readonly Key[],
  ): Promise<Row | undefined> {
    const row = await super.readVersion(type, id, version, filter, withPatients(keysOf));
    if (row !== undefined) this.#seen(row);
    return row;
  }

  override async search(search: Search, filter: Filter): Promise<Page> {
    if (search.bodyless === true) return super.search(search, filter);
    return this.#told(await super.search({ ...search, keysOf: withPatients(search.keysOf) }, filter));
  }

  override async history(search: HistorySearch, filter: Filter): Promise<Page> {
    return this.#told(await super.history({ ...search, keysOf: withPatients(search.keysOf) }, filter));
  }

  #told(page: Page): Page {
    for (const row of page.rows) this.#seen(row);
    return page;
  }
}

const withPatients = (keysOf: readonly Key[] | undefined): readonly Key[] =>
  keysOf === undefined || keysOf.length === 0 ? PATIENT_KEYS : [...keysOf, ...PATIENT_KEYS];

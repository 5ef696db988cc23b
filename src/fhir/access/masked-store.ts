// A store that shows a caller no hidden elements: wherever a body comes from, what may not be seen is cut out of it before
// any interaction works with it.

import type { Definitions } from '../../model/definitions.ts';
import type { Filter, HistorySearch, Key, Page, Row, Search, Store } from '../../store/store.ts';
import { StoreView } from '../../store/store-view.ts';
import type { Caller } from '../caller.ts';
import type { EngineContext } from '../context.ts';
import { type Selection, subset } from '../subset.ts';

/** The store itself for a caller to whom nothing is hidden. */
export const maskedStore = (store: Store, caller: Caller, { definitions }: EngineContext): Store =>
  caller.hidesElements ? new MaskedStore(store, (row) => masked(row, caller, definitions)) : store;

function masked(row: Row, caller: Caller, definitions: Definitions): Row {
  const elements = caller.hidden(row.type);
  if (row.body === null || row.body.length === 0 || elements.length === 0) return row;
  const selection: Selection = { kind: 'without', elements };
  return { ...row, body: subset(row.body, selection, definitions) };
}

class MaskedStore extends StoreView {
  readonly #mask: (row: Row) => Row;

  constructor(store: Store, mask: (row: Row) => Row) {
    super(store);
    this.#mask = mask;
  }

  override async read(type: string, id: string, filter: Filter, keysOf?: readonly Key[]): Promise<Row | undefined> {
    return this.#shown(await super.read(type, id, filter, keysOf));
  }

  override async readMany(
    refs: readonly { type: string; id: string }[],
    filter: Filter,
    keysOf?: readonly Key[],
  ): Promise<(Row | undefined)[]> {
    return (await super.readMany(refs, filter, keysOf)).map((row) => this.#shown(row));
  }

  override async readVersion(
    type: string,
    id: string,
    version: number,
    filter: Filter,
    keysOf?: readonly Key[],
  ): Promise<Row | undefined> {
    return this.#shown(await super.readVersion(type, id, version, filter, keysOf));
  }

  override async search(search: Search, filter: Filter): Promise<Page> {
    const page = await super.search(search, filter);
    return { ...page, rows: page.rows.map(this.#mask) };
  }

  override async history(search: HistorySearch, filter: Filter): Promise<Page> {
    const page = await super.history(search, filter);
    return { ...page, rows: page.rows.map(this.#mask) };
  }

  #shown(row: Row | undefined): Row | undefined {
    return row && this.#mask(row);
  }
}

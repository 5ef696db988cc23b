// The store as work sees it that goes on after its request: before each step into it is asked whether the right to it holds.
import type { Alias, Count, Filter, HistorySearch, Key, Page, Row, Search, Store } from '../../store/store.ts';
import { StoreView } from '../../store/store-view.ts';
import type { Caller } from '../caller.ts';
import type { EngineContext } from '../context.ts';

/** As it is for a request that is answered at once. Steps throw FhirError('forbidden') once the right is over. */
export function rechecked(context: EngineContext, { asOfNow }: Caller): EngineContext {
  if (asOfNow === undefined) return context;
  return {
    ...context,
    store: new RecheckedStore(context.store, asOfNow),
    async commit(commit) {
      await asOfNow();
      return context.commit(commit);
    },
  };
}

class RecheckedStore extends StoreView {
  readonly #check: () => Promise<unknown>;

  constructor(store: Store, check: () => Promise<unknown>) {
    super(store);
    this.#check = check;
  }

  override async read(type: string, id: string, filter: Filter, keysOf?: readonly Key[]): Promise<Row | undefined> {
    await this.#check();
    return super.read(type, id, filter, keysOf);
  }

  override async readMany(
    refs: readonly { type: string; id: string }[],
    filter: Filter,
    keysOf?: readonly Key[],
  ): Promise<(Row | undefined)[]> {
    await this.#check();
    return super.readMany(refs, filter, keysOf);
  }

  override async readVersion(
    type: string,
    id: string,
    version: number,
    filter: Filter,
    keysOf?: readonly Key[],
  ): Promise<Row | undefined> {
    await this.#check();
    return super.readVersion(type, id, version, filter, keysOf);
  }

  override async search(search: Search, filter: Filter): Promise<Page> {
    await this.#check();
    return super.search(search, filter);
  }

  override async history(search: HistorySearch, filter: Filter): Promise<Page> {
    await this.#check();
    return super.history(search, filter);
  }

  override async count(alias: Alias, options: { cap: number; budgetMs: number }, filter: Filter): Promise<Count> {
    await this.#check();
    return super.count(alias, options, filter);
  }
}

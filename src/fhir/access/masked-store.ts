// A store that shows a caller no hidden elements: wherever a body comes from, what may not be seen is cut out of it before
// any interaction works with it.
import type { Row, Store } from '../../store/store.ts';
import type { Caller } from '../caller.ts';
import type { EngineContext } from '../context.ts';
import { type Selection, subset } from '../subset.ts';

/** The store itself for a caller to whom nothing is hidden. */
export function maskedStore(store: Store, caller: Caller, { definitions }: EngineContext): Store {
  if (!caller.hidesElements) return store;
  const masked = (row: Row): Row => {
    const elements = caller.hidden(row.type);
    if (row.body === null || row.body.length === 0 || elements.length === 0) return row;
    const selection: Selection = { kind: 'without', elements };
    return { ...row, body: subset(row.body, selection, definitions) };
  };
  const maskedOrNone = (row: Row | undefined): Row | undefined => row && masked(row);
  // Each method is called on the store itself, whose private members another object does not have.
  return {
    name: store.name,
    isShared: store.isShared,
    records: store.records,
    outbox: store.outbox,
    audit: store.audit,
    read: async (...asked) => maskedOrNone(await store.read(...asked)),
    readMany: async (...asked) => (await store.readMany(...asked)).map(maskedOrNone),
    readVersion: async (...asked) => maskedOrNone(await store.readVersion(...asked)),
    search: async (...asked) => withRows(await store.search(...asked), masked),
    history: async (...asked) => withRows(await store.history(...asked), masked),
    count: (...asked) => store.count(...asked),
    keysIn: (...asked) => store.keysIn(...asked),
    commit: (commit) => store.commit(commit),
    stats: () => store.stats(),
    scan: (options) => store.scan(options),
    reindex: (rows) => store.reindex(rows),
    verify: (options) => store.verify(options),
    ping: () => store.ping(),
    close: () => store.close(),
  };
}

const withRows = <Page extends { rows: Row[] }>(page: Page, masked: (row: Row) => Row): Page => ({
  ...page,
  rows: page.rows.map(masked),
});

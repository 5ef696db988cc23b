// Data and small tools that the parts of the store contract share.
import type tap from 'tap';
import type { Clock } from '../../src/base/clock.ts';
import type {
  AuditRow,
  Commit,
  Condition,
  Key,
  Page,
  Row,
  Search,
  Store,
  StoreError,
  Term,
  Write,
} from '../../src/store/store.ts';
import { NO_ORD, typeKey } from '../../src/store/store.ts';
import { everything } from '../support/memory-store.ts';

export type Test = typeof tap;

export interface OpenedStore {
  store: Store;
  /** Closes the store and opens the same data again. */
  reopen(): Promise<Store>;
  close(): Promise<void>;
  /** Opens the same data once more, as another process would. */
  another(): Promise<Store>;
  /** Replaces the whole audit record behind the store's back, whatever stands in the way of that. */
  forge(change: (rows: AuditRow[]) => AuditRow[]): Promise<void>;
  /** Breaks the stored index behind the store's back; where an adapter offers no way, that part is skipped. */
  damage?(): Promise<void>;
  /** Marks the stored data as written by a newer careloom. */
  pretendNewer?(): Promise<void>;
}

export type OpenStore = (clock: Clock) => Promise<OpenedStore>;

/** A clock that stands still until it is set. */
export interface ManualClock extends Clock {
  set(ms: number): void;
}

export const START = Date.UTC(2026, 0, 31, 10);
export const DAY = 86_400_000;
export const BUDGET = 10_000;

export function manualClock(): ManualClock {
  let now = START;
  let ids = 0;
  return {
    now: () => now,
    newId: () => `id-${++ids}`,
    set: (ms) => {
      now = ms;
    },
  };
}

export interface WriteOptions {
  keys?: readonly Key[];
  terms?: readonly Term[];
  ord?: number;
  expect?: 'absent' | number;
  text?: string;
}

/** A write of a small resource; `keys` are added to the type's own. */
export function write(
  type: string,
  id: string,
  { keys = [], terms = [], ord = NO_ORD, expect, text = '' }: WriteOptions = {},
): Write {
  const head = `{"resourceType":"${type}","id":"${id}","meta":{`;
  return {
    type,
    id,
    body: Buffer.from(`${head}},"text":${JSON.stringify(text)}}`),
    stampAt: Buffer.byteLength(head),
    ord,
    keys: [typeKey(type), ...keys],
    terms: [...terms],
    owner: `${type}/${id}`,
    ...(expect === undefined ? {} : { expect }),
  };
}

export function deletion(type: string, id: string, expect?: number): Write {
  const gone = { type, id, body: null, stampAt: 0, ord: NO_ORD, keys: [], terms: [], owner: `${type}/${id}` };
  return expect === undefined ? gone : { ...gone, expect };
}

export const commit = (store: Store, ...writes: Write[]): ReturnType<Store['commit']> => store.commit({ writes });

export const key = (value: Key): Condition => ({ kind: 'key', key: value });
export const all: Condition = { kind: 'all' };

export function search(where: Condition, options: Partial<Search> = {}): Search {
  return { type: 'Alpha', where, order: [], limit: 100, budgetMs: BUDGET, ...options };
}

export const idsOf = (page: { rows: readonly Row[] }): string[] => page.rows.map((row) => row.id);

export async function foundIds(store: Store, asked: Search, filter = everything): Promise<string[]> {
  return idsOf(await store.search(asked, filter));
}

/** All pages one after the other; `between` runs before each page but the first. */
export async function paged(
  store: Store,
  asked: Search,
  { filter = everything, between }: { filter?: typeof everything; between?: (page: number) => Promise<unknown> } = {},
): Promise<Row[]> {
  const rows: Row[] = [];
  let page: Page = await store.search(asked, filter);
  for (let count = 1; ; count++) {
    rows.push(...page.rows);
    if (page.next === undefined) return rows;
    if (count > 2_000) throw new Error('paging does not end');
    await between?.(count);
    page = await store.search({ ...asked, after: page.next }, filter);
  }
}

export interface Body {
  resourceType: string;
  id: string;
  meta: { versionId: string; lastUpdated: string };
  text: string;
}

export function bodyOf(row: Row | undefined): Body | undefined {
  return row?.body ? (JSON.parse(Buffer.from(row.body).toString()) as Body) : undefined;
}

export async function collected<T>(from: AsyncIterable<T>): Promise<T[]> {
  return Array.fromAsync(from);
}

/** The kind and place of the StoreError that the commit fails with; undefined when it succeeds. */
export async function failure(store: Store, asked: Commit): Promise<{ kind: string; at: number } | undefined> {
  return store.commit(asked).then(
    () => undefined,
    ({ kind, at }: StoreError) => ({ kind, at }),
  );
}

/** Fails unless the promise is rejected with a StoreError of this kind. */
export async function refused(t: Test, promise: Promise<unknown>, kind: StoreError['kind']): Promise<void> {
  const outcome: unknown = await promise.then(
    () => 'no error',
    (error: StoreError) => error.kind,
  );
  t.equal(outcome, kind);
}

/** Says that an adapter cannot do a part of the contract, and why. */
export async function skipped(t: Test, reason: string): Promise<void> {
  await t.test('not with this adapter', { skip: reason }, () => {});
}

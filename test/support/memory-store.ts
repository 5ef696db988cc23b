// What a search must find, decided slowly: every row is looked at, with no index, planner or shortcut. Property tests
// compare the stores with it.
import { NO_KEY_ASCENDING } from '../../src/store/cursor.ts';
import { compareKeys, matchesKeys } from '../../src/store/match.ts';
import type { Alias, Condition, Filter, Key, SortKey, Term } from '../../src/store/store.ts';

export interface MemoryRow {
  type: string;
  id: string;
  lastUpdated: number;
  ord: number;
  keys: readonly Key[];
  terms?: readonly Term[];
}

export type SortValue = number | string | null;

export const everything: Filter = { of: () => ({ kind: 'all' }) };

/** Live rows by "Type/id". */
export class MemoryStore {
  readonly rows = new Map<string, MemoryRow>();

  put(row: MemoryRow): void {
    this.rows.set(`${row.type}/${row.id}`, row);
  }

  delete(type: string, id: string): void {
    this.rows.delete(`${type}/${id}`);
  }

  /** All matches in the order asked for; rows with equal sort values come in any order. */
  search(search: Alias & { order: readonly SortKey[] }, filter: Filter): MemoryRow[] {
    const order: readonly SortKey[] = search.order.length > 0 ? search.order : [{ by: 'ord', descending: true }];
    return [...this.rows.values()]
      .filter((row) => this.#isMatch(row, search, filter))
      .sort((a, b) => compareBy(order, a, b));
  }

  count(alias: Alias, filter: Filter): number {
    return this.search({ ...alias, order: [] }, filter).length;
  }

  #isMatch(row: MemoryRow, alias: Alias, filter: Filter): boolean {
    if (row.type !== alias.type) return false;
    // The filter's own joins belong to the rule of access; only the caller's are narrowed by it.
    return this.#holds(row, filter.of(row.type), everything) && this.#holds(row, alias.where, filter);
  }

  #holds(row: MemoryRow, condition: Condition, filter: Filter): boolean {
    return matchesKeys(row, condition, (join) =>
      [...this.rows.values()].some((other) =>
        join.kind === 'refers'
          ? row.keys.includes(`${join.prefix}${other.type}/${other.id}`) && this.#isMatch(other, join.to, filter)
          : other.keys.includes(`${join.prefix}${row.type}/${row.id}`) && this.#isMatch(other, join.by, filter),
      ),
    );
  }
}

/** What a row sorts by. */
export function sortValues(order: readonly SortKey[], row: MemoryRow): SortValue[] {
  return order.map((sort) => {
    if (sort.by !== 'keys') return sort.by === 'ord' ? row.ord : row.lastUpdated;
    const { prefix } = sort;
    const keys = row.keys.filter((key) => key.startsWith(prefix)).sort(compareKeys);
    return sort.descending ? (keys.at(-1) ?? null) : (keys[0] ?? NO_KEY_ASCENDING);
  });
}

function compareBy(order: readonly SortKey[], a: MemoryRow, b: MemoryRow): number {
  const left = sortValues(order, a);
  const right = sortValues(order, b);
  for (const [at, sort] of order.entries()) {
    const sign = compareValues(left[at] ?? null, right[at] ?? null);
    if (sign !== 0) return sort.descending ? -sign : sign;
  }
  return 0;
}

function compareValues(a: SortValue, b: SortValue): number {
  if (a === null || b === null) return Number(a !== null) - Number(b !== null);
  return typeof a === 'number' || typeof b === 'number' ? Number(a) - Number(b) : compareKeys(a, b);
}

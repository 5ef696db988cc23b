// Values of one kind in the store's private records, typed. Everything here changes by compare-and-set alone.
import type { Records } from '../store/store.ts';

export interface KeptValue<Value> {
  value: Value;
  version: number;
  expires?: number;
}

export interface Kept<Value> {
  get(id: string): Promise<KeptValue<Value> | undefined>;
  /** False when there is one already. */
  add(id: string, value: Value, expires?: number): Promise<boolean>;
  /** False when it is no longer the version that was read. */
  replace(id: string, read: { version: number }, value: Value, expires?: number): Promise<boolean>;
  remove(id: string, read?: { version: number }): Promise<boolean>;
  /** In the order of their ids, from those that begin with `prefix`; at most `limit`. */
  list(options: { prefix?: string; after?: string; limit: number }): Promise<{ id: string; value: Value }[]>;
}

export function createKept<Value>(records: Records, kind: string): Kept<Value> {
  return {
    async get(id) {
      const record = await records.get(kind, id);
      if (record === undefined) return undefined;
      const { value, version, expires } = record;
      return { value: JSON.parse(value) as Value, version, ...(expires === undefined ? {} : { expires }) };
    },
    add: async (id, value, expires) => (await records.put(recordFor(kind, id, value, expires), 0)) !== undefined,
    replace: async (id, { version }, value, expires) =>
      (await records.put(recordFor(kind, id, value, expires), version)) !== undefined,
    remove: (id, read) => records.remove(kind, id, read?.version),
    async list({ prefix = '', after = prefix, limit }) {
      const found = await records.list(kind, { ...(after === '' ? {} : { after }), limit });
      return found
        .filter(({ id }) => id.startsWith(prefix))
        .map(({ id, value }) => ({ id, value: JSON.parse(value) as Value }));
    },
  };
}

function recordFor(kind: string, id: string, value: unknown, expires: number | undefined) {
  return { kind, id, value: JSON.stringify(value), ...(expires === undefined ? {} : { expires }) };
}

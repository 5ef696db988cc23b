// Prefer: dry-run: everything is decided as for a real write, the answer says what would be, and nothing stays.
import type { Store } from '../store/store.ts';

/** The store with commits that change nothing. */
export function dryStore(store: Store): Store {
  return new Proxy(store, {
    get(target, name) {
      if (name === 'commit')
        return (commit: Parameters<Store['commit']>[0]) => target.commit({ ...commit, dryRun: true });
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

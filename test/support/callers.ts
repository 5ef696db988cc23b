// Callers for tests of what a filter lets through.
import type { Caller } from '../../src/fhir/caller.ts';
import type { Filter } from '../../src/store/store.ts';

/** May do whatever it likes with what the filter lets through. */
export const callerWith = (filter: Filter): Caller => ({
  kind: 'principal',
  filter,
  filters: { c: filter, r: filter, u: filter, d: filter, s: filter },
  isBound: (_permission, type) => filter.of(type).kind !== 'all',
  hidden: () => [],
  hidesElements: false,
  mayRelabel: false,
});

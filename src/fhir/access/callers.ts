// The callers that need no token: the server itself, and whoever asks while access control is off.
import type { Condition, Filter } from '../../store/store.ts';
import type { Caller } from '../caller.ts';

const ALL: Condition = { kind: 'all' };

/** Sees everything. */
export const everything: Filter = { of: () => ALL };

const unrestricted: Omit<Caller, 'kind'> = {
  filter: everything,
  filters: { c: everything, r: everything, u: everything, d: everything, s: everything },
  isBound: () => false,
  hidden: () => [],
  hidesElements: false,
  mayRelabel: true,
};

/** The server itself: loading, background work. */
export const systemCaller: Caller = { kind: 'system', ...unrestricted };

/** Whoever asks while access control is off. */
export const anonymousCaller: Caller = { kind: 'anonymous', ...unrestricted };

const NONE: Condition = { kind: 'none' };

const nothing: Filter = { of: () => NONE };

/** Whoever reads what is public without a token: the CapabilityStatement, and no resource. */
export const publicCaller: Caller = {
  kind: 'public',
  filter: nothing,
  filters: { c: nothing, r: nothing, u: nothing, d: nothing, s: nothing },
  isBound: () => true,
  hidden: () => [],
  hidesElements: false,
  mayRelabel: false,
};

/** The server itself, or anybody while access control is off: nothing is decided for them. */
export const isUnrestricted = ({ filter }: Caller): boolean => filter === everything;

// What a caller may see. Until access control exists there is one filter, and it allows everything; every path of the
// engine already takes the caller's filter and hands it to the store, which applies it to each alias of a query.
import type { Condition, Filter } from '../store/store.ts';
import type { Caller } from './interaction.ts';

const ALL: Condition = { kind: 'all' };

/** Sees everything. */
export const everything: Filter = { of: () => ALL };

/** The server itself: loading, background work. */
export const systemCaller: Caller = { kind: 'system', filter: everything };

/** Whoever asks while access control is off. */
export const anonymousCaller: Caller = { kind: 'anonymous', filter: everything };

/** The caller that a job works for, as far as its kind tells. */
export const callerOfKind = (kind: Caller['kind']): Caller => (kind === 'system' ? systemCaller : anonymousCaller);

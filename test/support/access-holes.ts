// Holes opened on purpose in how access is controlled, each such as a change to the code might leave: a test holds that
// the oracle of non-interference finds every one of them.
import { limits } from '../../src/base/limits.ts';
import { everything } from '../../src/fhir/access/callers.ts';
import { roles } from '../../src/fhir/access/roles.ts';
import type { Caller, Principal } from '../../src/fhir/caller.ts';
import { simplify } from '../../src/store/conditions.ts';
import type { Alias, Condition, Filter, HistorySearch, Search, Store } from '../../src/store/store.ts';
import type { TestEngine } from './engine.ts';
import type { Tampering } from './non-interference.ts';
import type { Ask } from './random-asks.ts';
import type { MadePrincipal } from './slow-access.ts';

/** What a hole lets through; what it does not name stays closed. */
interface Hole {
  name: string;
  /** Kinds of requests that could show it; absent: any. */
  kinds?: RegExp;
  /** The filter that a search has in place of its own. */
  search?(search: Search, filter: Filter, around: Around): Filter;
  count?(filter: Filter): Filter;
  read?(type: string, filter: Filter, around: Around): Filter;
  /** Shows old versions of what is visible now. */
  showsOldVersions?: true;
  /** Shows deletions whatever was deleted. */
  showsDeletions?: true;
  caller?(caller: Caller, made: MadePrincipal, tested: TestEngine): Caller;
}

interface Around {
  ask: Ask | undefined;
  /** What the caller may search if it were not for the labels. */
  unlabelled: Filter;
}

/** The filter for the type searched, and none for what is joined to it. */
const onlyAt = (search: Search, filter: Filter): Filter => ({
  of: (type) => (type === search.type ? filter.of(type) : { kind: 'all' }),
});

const joins = (kind: 'refers' | 'referred', condition: Condition): boolean => {
  switch (condition.kind) {
    case 'and':
    case 'or':
      return condition.of.some((one) => joins(kind, one));
    case 'not':
      return joins(kind, condition.of);
    case 'refers':
      return kind === 'refers' || joins(kind, condition.to.where);
    case 'referred':
      return kind === 'referred' || joins(kind, condition.by.where);
    default:
      return false;
  }
};

/** Only the fetching of what is included looks for so many. */
const isInclude = ({ limit }: Search): boolean => limit > limits.includesMax;

const asked = ({ ask }: Around, text: string): boolean => ask?.url.includes(text) === true;

export const holes: readonly Hole[] = [
  { name: 'searches are not filtered', search: () => everything },
  { name: 'reads are not filtered', read: () => everything },
  {
    name: 'what _has looks at is not filtered',
    kinds: /_has/,
    search: (search, filter) => (joins('referred', search.where) ? onlyAt(search, filter) : filter),
  },
  {
    name: 'what a chain looks at is not filtered',
    kinds: /chain/,
    search: (search, filter) => (joins('refers', search.where) ? onlyAt(search, filter) : filter),
  },
  { name: 'totals are not filtered', count: () => everything },
  { name: 'includes are not filtered', search: (search, filter) => (isInclude(search) ? everything : filter) },
  {
    name: '_revinclude ignores labels',
    kinds: /includes/,
    search: (search, filter, around) =>
      isInclude(search) && asked(around, '_revinclude') ? around.unlabelled : filter,
  },
  { name: 'old versions are not filtered', kinds: /vread|history/, showsOldVersions: true },
  { name: 'deletions are shown to everybody', showsDeletions: true },
  {
    name: 'conditional interactions look at everything',
    kinds: /conditional/,
    search: (_search, filter, { ask }) => (ask?.kind.startsWith('conditional') === true ? everything : filter),
  },
  {
    name: '$everything is not filtered',
    search: (_search, filter, around) => (asked(around, '$everything') ? everything : filter),
  },
  {
    name: 'the second page is not filtered',
    kinds: /search/,
    search: (search, filter) => (search.after === undefined ? filter : everything),
  },
  {
    name: '_sort by a chain looks at everything',
    kinds: /sorted/,
    search: (search, filter) =>
      search.bodyless === true && search.where.kind === 'ids' && search.keysOf?.length === 1 ? everything : filter,
  },
  {
    name: '_list names members of any List',
    kinds: /_list/,
    read: (type, filter, around) => (type === 'List' && asked(around, '_list') ? everything : filter),
  },
  {
    name: 'searching takes the right to read',
    kinds: /search|history/,
    caller: (caller) => withFilter(caller, 's', caller.filters.r),
  },
  {
    name: 'the query of a scope is ignored',
    caller: (_caller, { principal }, tested) => tested.engine.callerOf(unqueried(principal)),
  },
  {
    name: 'an emergency opens every record',
    caller(caller, { principal }) {
      if (principal.emergency === undefined || !isHelper(principal)) return caller;
      return withFilter(withFilter(caller, 'r', everything), 's', everything);
    },
  },
  {
    name: 'an emergency is left out',
    caller(_caller, { principal }, tested) {
      const { emergency: _, ...without } = principal;
      return tested.engine.callerOf(without);
    },
  },
  { name: 'hidden elements are shown', caller: (caller) => ({ ...caller, hidden: () => [] }) },
  { name: 'labels hide nothing', caller: (_caller, { principal }, tested) => unlabelled(principal, tested) },
  {
    name: 'a care team that has ended still opens the record',
    caller: (caller) => withConditions(caller, (by) => (by.type === 'CareTeam' ? firstOf(by) : by)),
  },
  {
    name: 'an encounter of any time opens the record',
    caller: (caller) => withConditions(caller, (by) => (by.type === 'Encounter' ? firstOf(by) : by)),
  },
  {
    name: 'consents refuse nothing',
    caller: (caller) =>
      withConditions(caller, (by) => (by.type === 'Consent' ? { ...by, where: { kind: 'none' } } : by)),
  },
  {
    name: 'Binaries are shown whatever they belong to',
    caller: (caller) => withBinaries(caller, () => ({ kind: 'all' })),
  },
  {
    name: 'Binaries are shown by what is not shown itself',
    caller: (caller) => withBinaries(caller, (own) => joinedChanged(own, () => ({ kind: 'all' }))),
  },
  {
    name: 'the context of a Binary is passed over where it is attached to something',
    caller: (caller) => withBinaries(caller, withoutNot),
  },
  {
    name: 'writes are not decided on',
    kinds: /create|update|delete/,
    caller: (caller) => ({
      ...caller,
      filters: { ...caller.filters, c: everything, u: everything, d: everything },
      mayRelabel: true,
    }),
  },
];

/** The caller with other conditions in place of those on what refers to a patient. */
function withConditions(caller: Caller, change: (by: Alias) => Alias): Caller {
  const changed = (filter: Filter): Filter => ({ of: (type) => simplify(changedIn(filter.of(type), change)) });
  const filters = { ...caller.filters, r: changed(caller.filters.r), s: changed(caller.filters.s) };
  return { ...caller, filter: filters.r, filters };
}

function changedIn(condition: Condition, change: (by: Alias) => Alias): Condition {
  switch (condition.kind) {
    case 'and':
    case 'or':
      return { kind: condition.kind, of: condition.of.map((one) => changedIn(one, change)) };
    case 'not':
      return { kind: 'not', of: changedIn(condition.of, change) };
    case 'refers': {
      const { to } = condition;
      return { ...condition, to: { ...to, where: changedIn(to.where, change) } };
    }
    case 'referred':
      return { ...condition, by: change(condition.by) };
    default:
      return condition;
  }
}

/** The caller with other conditions on the Binaries that it may see. */
function withBinaries(caller: Caller, change: (own: Condition) => Condition): Caller {
  const changed = (filter: Filter): Filter => ({
    of(type) {
      const own = filter.of(type);
      return type === 'Binary' && own.kind !== 'none' ? simplify(change(own)) : own;
    },
  });
  return withFilter(withFilter(caller, 'r', changed(caller.filters.r)), 's', changed(caller.filters.s));
}

/** Other conditions on what is joined. */
function joinedChanged(condition: Condition, change: (alias: Alias) => Condition): Condition {
  switch (condition.kind) {
    case 'and':
    case 'or':
      return { kind: condition.kind, of: condition.of.map((one) => joinedChanged(one, change)) };
    case 'refers':
      return { ...condition, to: { ...condition.to, where: change(condition.to) } };
    case 'referred':
      return { ...condition, by: { ...condition.by, where: change(condition.by) } };
    default:
      return condition;
  }
}

/** Without what must not be among the keys: a context, where it is attached. */
function withoutNot(condition: Condition): Condition {
  if (condition.kind === 'not' && condition.of.kind === 'span') return { kind: 'all' };
  if (condition.kind !== 'and' && condition.kind !== 'or') return condition;
  return { kind: condition.kind, of: condition.of.map(withoutNot) };
}

/** Who takes part, without the other conditions. */
const firstOf = ({ type, where }: Alias): Alias => ({
  type,
  where: where.kind === 'and' && where.of[0] !== undefined ? where.of[0] : where,
});

const isHelper = ({ user }: Principal): boolean => user?.roles.some((name) => roles[name]?.mayBreakGlass) === true;

const withFilter = (caller: Caller, permission: 'r' | 's', filter: Filter): Caller => ({
  ...caller,
  ...(permission === 'r' ? { filter } : {}),
  filters: { ...caller.filters, [permission]: filter },
});

const unqueried = (principal: Principal): Principal => ({
  ...principal,
  scopes: principal.scopes.map(({ query: _, ...scope }) => scope),
});

const ALL_LABELS = ['R', 'V', 'HIV', 'PSY', 'SUD'];

/** The same person, cleared for every label. */
function unlabelled(principal: Principal, tested: TestEngine): Caller {
  const { user } = principal;
  return tested.engine.callerOf(
    user === undefined ? principal : { ...principal, user: { ...user, clearance: ALL_LABELS } },
  );
}

/** Opens one hole at a time. */
export class Tamperer implements Tampering {
  #hole: Hole | undefined;
  #ask: Ask | undefined;
  #unlabelled: Filter = everything;

  open(name: string): void {
    this.#hole = holes.find((hole) => hole.name === name);
  }

  asking(ask: Ask): void {
    this.#ask = ask;
  }

  caller(caller: Caller, made: MadePrincipal, tested: TestEngine): Caller {
    this.#unlabelled = unlabelled(made.principal, tested).filters.s;
    return this.#hole?.caller?.(caller, made, tested) ?? caller;
  }

  store(store: Store): Store {
    const around = (): Around => ({ ask: this.#ask, unlabelled: this.#unlabelled });
    const hole = (): Hole | undefined => this.#hole;
    const opened = (type: string, filter: Filter): Filter => hole()?.read?.(type, filter, around()) ?? filter;
    const tampered: Partial<Store> = {
      async read(type, id, filter, keysOf) {
        if (hole()?.showsDeletions === true) {
          const row = await store.read(type, id, everything, keysOf);
          if (row?.body === null) return row;
        }
        return store.read(type, id, opened(type, filter), keysOf);
      },
      async readVersion(type, id, version, filter, keysOf) {
        const isSeen = hole()?.showsOldVersions === true && (await store.read(type, id, filter)) !== undefined;
        return store.readVersion(type, id, version, isSeen ? everything : filter, keysOf);
      },
      search: (search, filter) => store.search(search, hole()?.search?.(search, filter, around()) ?? filter),
      count: (alias, options, filter) => store.count(alias, options, hole()?.count?.(filter) ?? filter),
      async history(search: HistorySearch, filter) {
        const { type, id } = search;
        const isSeen =
          hole()?.showsOldVersions === true &&
          type !== undefined &&
          id !== undefined &&
          (await store.read(type, id, filter)) !== undefined;
        return store.history(search, isSeen ? everything : filter);
      },
    };
    return new Proxy(store, {
      get(target, name) {
        const own = tampered[name as keyof Store] ?? target[name as keyof Store];
        return typeof own === 'function' ? own.bind(target) : own;
      },
    });
  }
}

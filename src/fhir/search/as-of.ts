// _asOf: what a search would have found at an instant. Whatever has not changed since is found by the index; of what has,
// the versions of that instant are matched in memory. The ids found are kept for the pages that follow, so that writes in
// between neither repeat nor lose one.
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import { compareKeys, matchesKeys } from '../../store/match.ts';
import type { Condition, Filter, Key, Row } from '../../store/store.ts';
import type { EngineContext } from '../context.ts';
import type { Caller } from '../interaction.ts';
import type { SortBy } from './criteria.ts';
import { indexResource } from './index-resource.ts';
import { compareValues, sortList } from './sort-values.ts';

/** A search of one type at an instant (ms since the epoch), whose condition asks no other resources. */
export interface PastSearch {
  type: string;
  where: Condition;
  sort: readonly SortBy[];
  asOf: number;
}

interface Match {
  id: string;
  /** Keys of the parameters sorted by. */
  keys: readonly Key[];
  lastUpdated: number;
}

/** Ids of everything that matched then, in order. Throws FhirError('too-costly') beyond what can be kept. */
export async function idsAsOf(search: PastSearch, caller: Caller, context: EngineContext): Promise<string[]> {
  const prefixes = search.sort.flatMap(({ parameter }) => sortList(search.type, parameter, context) ?? []);
  const matches = new Map<string, Match>();
  for (const match of await unchanged(search, prefixes, caller, context)) matches.set(match.id, match);
  // What changes between the two looks is in both.
  for await (const match of changed(search, prefixes, caller, context)) {
    matches.set(match.id, match);
    if (matches.size > limits.asOfMatchesMax) throw tooMany('matches');
  }
  return sorted([...matches.values()], search, context).map(({ id }) => id);
}

const tooMany = (what: string): FhirError =>
  new FhirError(
    'too-costly',
    `_asOf looks at up to ${limits.asOfMatchesMax} resources; there are more ${what}. Narrow the search or take a later instant.`,
  );

// ---- what has not changed since ----

async function unchanged(
  { type, where, asOf }: PastSearch,
  keysOf: readonly Key[],
  caller: Caller,
  { store }: EngineContext,
): Promise<Match[]> {
  const since: Condition = { kind: 'lastUpdated', to: asOf + 1 };
  const page = await store.search(
    {
      type,
      where: { kind: 'and', of: [where, since] },
      order: [],
      limit: limits.asOfMatchesMax,
      keysOf,
      bodyless: true,
      budgetMs: limits.queryBudgetMs,
    },
    caller.filters.s,
  );
  if (page.next !== undefined) throw tooMany('matches');
  return page.rows.map(({ id, keys = [], lastUpdated }) => ({ id, keys, lastUpdated }));
}

// ---- what has ----

/** Matches among the versions of then, read a page at a time. */
async function* changed(
  { type, where, asOf }: PastSearch,
  prefixes: readonly Key[],
  caller: Caller,
  context: EngineContext,
): AsyncGenerator<Match> {
  const ids = await changedIds(type, asOf, caller, context);
  for (let at = 0; at < ids.length; at += limits.pageSizeMax) {
    for (const row of await rowsAsOf(type, ids.slice(at, at + limits.pageSizeMax), asOf, caller.filters.s, context)) {
      if (row.body === null) continue;
      const resource = JSON.parse(Buffer.from(row.body).toString('utf8')) as { resourceType: string; id: string };
      const { keys, ord, terms } = indexResource(resource, context);
      const { id, lastUpdated } = row;
      if (!matchesKeys({ type, id, lastUpdated, keys, ord, terms }, where)) continue;
      yield { id, lastUpdated, keys: keys.filter((key) => prefixes.some((prefix) => key.startsWith(prefix))) };
    }
  }
}

async function changedIds(type: string, asOf: number, caller: Caller, { store }: EngineContext): Promise<string[]> {
  const ids = new Set<string>();
  let versions = 0;
  let after: string | undefined;
  do {
    const page = await store.history(
      {
        type,
        since: asOf + 1,
        limit: limits.pageSizeMax,
        budgetMs: limits.queryBudgetMs,
        ...(after === undefined ? {} : { after }),
      },
      caller.filters.s,
    );
    for (const { id } of page.rows) ids.add(id);
    versions += page.rows.length;
    if (ids.size > limits.asOfMatchesMax || versions > limits.asOfVersionsMax) throw tooMany('changes since');
    after = page.next;
  } while (after !== undefined);
  return [...ids];
}

/** The versions of some resources at an instant, in the order of the ids; deletions included. */
export async function rowsAsOf(
  type: string,
  ids: readonly string[],
  asOf: number,
  filter: Filter,
  { store }: EngineContext,
): Promise<Row[]> {
  const found = new Map<string, Row>();
  for (let at = 0; at < ids.length; at += limits.pageSizeMax) {
    const of = ids.slice(at, at + limits.pageSizeMax).map((id) => ({ type, id }));
    const page = await store.history(
      { type, of, current: { from: asOf, to: asOf + 1 }, limit: limits.pageSizeMax, budgetMs: limits.queryBudgetMs },
      filter,
    );
    for (const row of page.rows) found.set(row.id, row);
  }
  return ids.flatMap((id) => found.get(id) ?? []);
}

// ---- order ----

function sorted(matches: Match[], { type, sort }: PastSearch, context: EngineContext): Match[] {
  const orders = sort.map(({ parameter, descending }) => ({ prefix: sortList(type, parameter, context), descending }));
  const sortValue = (match: Match, prefix: Key | undefined, descending: boolean): Key | number | undefined => {
    if (prefix === undefined) return match.lastUpdated;
    const keys = match.keys.filter((key) => key.startsWith(prefix)).sort(compareKeys);
    return descending ? keys.at(-1) : keys[0];
  };
  return matches.sort((a, b) => {
    for (const { prefix, descending } of orders) {
      const sign = compareValues(sortValue(a, prefix, descending), sortValue(b, prefix, descending), descending);
      if (sign !== 0) return sign;
    }
    return a.id < b.id ? -1 : 1;
  });
}

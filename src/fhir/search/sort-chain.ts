// _sort by a parameter of what a reference leads to, `_sort=patient.family`: no list of the index has that order, so the
// matches are collected while they are few, and sorted by the keys of their targets.
// https://hl7.org/fhir/R4/search.html#sort
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import { compareKeys } from '../../store/match.ts';
import type { Condition, Key } from '../../store/store.ts';
import type { EngineContext } from '../context.ts';
import type { Caller } from '../interaction.ts';
import type { SortBy } from './criteria.ts';
import { parameterPrefix, referencePrefix } from './keys.ts';
import { listsOf } from './lists.ts';
import { compareValues, sortList } from './sort-values.ts';

interface Match {
  id: string;
  lastUpdated: number;
  /** For each sort key, what the match sorts by. */
  values: (Key | number | undefined)[];
}

/** Ids of all matches in order. Throws FhirError('too-costly') when there are more than can be sorted so. */
export async function idsByChain(
  type: string,
  where: Condition,
  sort: readonly SortBy[],
  caller: Caller,
  context: EngineContext,
): Promise<string[]> {
  const prefixes = sort.map((by) => ownPrefixes(type, by, context));
  const page = await context.store.search(
    {
      type,
      where,
      order: [],
      limit: limits.chainSortedMax,
      keysOf: prefixes.flat(),
      bodyless: true,
      budgetMs: limits.queryBudgetMs,
    },
    caller.filters.s,
  );
  if (page.next !== undefined) {
    throw new FhirError(
      'too-costly',
      `_sort by a chained parameter sorts up to ${limits.chainSortedMax} matches; narrow the search.`,
    );
  }
  const matches = page.rows.map(({ id, lastUpdated }): Match => ({ id, lastUpdated, values: [] }));
  for (const [at, by] of sort.entries()) {
    const keysOf = page.rows.map(({ keys = [] }) =>
      keys.filter((key) => prefixes[at]?.some((one) => key.startsWith(one))),
    );
    const values = by.chain === undefined ? keysOf : await targetKeys(by, keysOf, caller, context);
    for (const [index, match] of matches.entries()) {
      const own = [...(values[index] ?? [])].sort(compareKeys);
      match.values.push(
        by.parameter.code === '_lastUpdated' && by.chain === undefined
          ? match.lastUpdated
          : by.descending
            ? own.at(-1)
            : own[0],
      );
    }
  }
  return inOrder(matches, sort).map(({ id }) => id);
}

/** The keys of a match itself that an order needs: its references, or what it sorts by. */
function ownPrefixes(type: string, { chain, parameter }: SortBy, context: EngineContext): Key[] {
  if (chain === undefined) return [sortList(type, parameter, context) ?? []].flat();
  const { lists } = listsOf(context.definitions, type, chain.parameter.code);
  return lists
    .filter(({ isRemote }) => isRemote !== true)
    .map(({ prefix, target }) => `${referencePrefix(prefix)}${target === undefined ? '' : `${target}/`}`);
}

/** Characters of a list's name, behind which the reference stands. */
const LIST_CHARS = referencePrefix(parameterPrefix('Patient', 'link')).length;

/** For each match, the sort keys of what its references lead to. */
async function targetKeys(
  { chain, parameter }: SortBy,
  references: readonly (readonly Key[])[],
  caller: Caller,
  context: EngineContext,
): Promise<Key[][]> {
  const found = new Map<string, readonly Key[]>();
  const named = references.map((keys) => keys.map((key) => key.slice(LIST_CHARS)));
  for (const target of chain?.targets ?? []) {
    const own = context.definitions.searchParameters(target).get(parameter.code) ?? parameter;
    const prefix = sortList(target, own, context);
    const ids = [...new Set(named.flat().filter((ref) => ref.startsWith(`${target}/`)))].map((ref) =>
      ref.slice(target.length + 1),
    );
    if (ids.length === 0 || prefix === undefined) continue;
    const page = await context.store.search(
      {
        type: target,
        where: { kind: 'ids', ids },
        order: [],
        limit: ids.length,
        keysOf: [prefix],
        bodyless: true,
        budgetMs: limits.queryBudgetMs,
      },
      caller.filters.s,
    );
    // What sorts alike on several types is compared by the value, which stands behind the characters of the list.
    for (const { id, keys = [] } of page.rows)
      found.set(
        `${target}/${id}`,
        keys.map((key) => key.slice(prefix.length)),
      );
  }
  return named.map((refs) => refs.flatMap((ref) => found.get(ref) ?? []));
}

function inOrder(matches: Match[], sort: readonly SortBy[]): Match[] {
  return matches.sort((a, b) => {
    for (const [at, { descending }] of sort.entries()) {
      const sign = compareValues(a.values[at], b.values[at], descending);
      if (sign !== 0) return sign;
    }
    return a.id < b.id ? -1 : 1;
  });
}

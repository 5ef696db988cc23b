// The matches of a question, page by page, and how many there are.
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import { slices } from '../../base/slices.ts';
import type { Condition, Count, Page, Row, Search } from '../../store/store.ts';
import { compileSort } from './compile.ts';
import { followedPrefixes } from './include.ts';
import { keepIds, keptIds } from './kept-ids.ts';
import type { Question } from './question.ts';
import { idsByChain } from './sort-chain.ts';

/** A page of matches; `after` is where the one before ended. */
export async function searchPage(question: Question, after: string | undefined): Promise<Page> {
  const { types, sort } = question.parsed;
  const [only, ...more] = types;
  if (only === undefined) return { rows: [] };
  if (sort.some(({ chain }) => chain !== undefined)) return sortedByChain(only, more, question, after);
  if (more.length === 0)
    return question.context.store.search(storeSearch(only, question, after), question.caller.filters.s);
  return sort.length === 0 ? typeAfterType(question, after) : mergedByLastUpdated(question, after);
}

/** The order of a chained parameter: found as a whole, kept, and read page by page. */
async function sortedByChain(
  type: string,
  others: readonly string[],
  question: Question,
  after: string | undefined,
): Promise<Page> {
  const { parsed, wheres, caller, context } = question;
  if (others.length > 0) throw new FhirError('invalid', '_sort by a chained parameter takes one _type.');
  const [kept, start] = after === undefined ? [undefined, 0] : (JSON.parse(after) as [string, number]);
  const where = wheres.get(type) ?? { kind: 'none' };
  const ids =
    kept === undefined ? await idsByChain(type, where, parsed.sort, caller, context) : await keptIds(kept, context);
  const end = start + parsed.count;
  const page = await context.store.search(
    {
      ...storeSearch(type, { ...question, parsed: { ...parsed, sort: [] } }),
      where: { kind: 'ids', ids: ids.slice(start, end) },
    },
    caller.filters.s,
  );
  const byId = new Map(page.rows.map((row) => [row.id, row]));
  const rows = ids.slice(start, end).flatMap((id) => byId.get(id) ?? []);
  return end < ids.length ? { rows, next: JSON.stringify([kept ?? (await keepIds(ids, context)), end]) } : { rows };
}

function storeSearch(type: string, question: Question, after?: string): Search {
  const { parsed, wheres, context } = question;
  return {
    type,
    where: wheres.get(type) ?? { kind: 'none' },
    order: compileSort(type, parsed.sort, context),
    limit: parsed.count,
    keysOf: followedPrefixes(type, parsed.includes, context),
    budgetMs: budgetOf(question),
    request: parsed,
    ...(after === undefined ? {} : { after }),
  };
}

/** For its next query; FhirError('too-costly') when nothing is left. */
function budgetOf({ endsAt }: Question): number {
  const left = endsAt - performance.now();
  if (left > 0) return Math.min(left, limits.queryBudgetMs);
  throw new FhirError('too-costly', 'The search takes more than it may over so many types; name some with _type.');
}

/** Several types without an order: one type's matches after another's. The cursor is the type and the place within it. */
async function typeAfterType(question: Question, after: string | undefined): Promise<Page> {
  const { parsed, caller, context } = question;
  let [at, cursor] = after === undefined ? [0, undefined] : (JSON.parse(after) as [number, string | undefined]);
  const rows: Row[] = [];
  const turn = slices();
  for (; at < parsed.types.length; at++, cursor = undefined) {
    await turn();
    if (rows.length === parsed.count) return { rows, next: JSON.stringify([at]) };
    const request = storeSearch(parsed.types[at] ?? '', question, cursor ?? undefined);
    const page = await context.store.search({ ...request, limit: parsed.count - rows.length }, caller.filters.s);
    rows.push(...page.rows);
    if (page.next !== undefined) return { rows, next: JSON.stringify([at, page.next]) };
  }
  return { rows };
}

/** Several types by _lastUpdated: the best of each type merged. The cursor is the last instant and who was shown at it. */
async function mergedByLastUpdated(question: Question, after: string | undefined): Promise<Page> {
  const { parsed, caller, context } = question;
  const [sort, ...more] = parsed.sort;
  if (sort === undefined || more.length > 0 || sort.parameter.code !== '_lastUpdated') {
    throw new FhirError(
      'invalid',
      'A search of several types can be sorted by _lastUpdated alone; give one _type for another order.',
    );
  }
  const [instant, shown] = after === undefined ? [undefined, []] : (JSON.parse(after) as [number, string[]]);
  const place: Condition[] =
    instant === undefined
      ? []
      : [{ kind: 'lastUpdated', ...(sort.descending ? { to: instant + 1 } : { from: instant }) }];
  const pages: Row[] = [];
  const turn = slices();
  for (const type of parsed.types) {
    await turn();
    const seen = shown.filter((one) => one.startsWith(`${type}/`)).map((one) => one.slice(type.length + 1));
    const unseen: Condition[] = seen.length === 0 ? [] : [{ kind: 'not', of: { kind: 'ids', ids: seen } }];
    const request = storeSearch(type, question);
    const where: Condition = { kind: 'and', of: [request.where, ...place, ...unseen] };
    const page = await context.store.search({ ...request, where, limit: parsed.count + 1 }, caller.filters.s);
    pages.push(...page.rows);
  }
  const direction = sort.descending ? -1 : 1;
  pages.sort((a, b) => direction * (a.lastUpdated - b.lastUpdated));
  const rows = pages.slice(0, parsed.count);
  const last = rows.at(-1);
  if (pages.length <= parsed.count || last === undefined) return { rows };
  const sameInstant = rows
    .filter(({ lastUpdated }) => lastUpdated === last.lastUpdated)
    .map(({ type, id }) => `${type}/${id}`);
  const kept = last.lastUpdated === instant ? shown : [];
  return { rows, next: JSON.stringify([last.lastUpdated, [...kept, ...sameInstant]]) };
}

// ---- totals ----

/** Bundle.total: counted when asked for; without cost when the first page is also the last. */
export async function totalOf(question: Question, page: Page, first: boolean): Promise<Count | undefined> {
  if (first && page.next === undefined) return { count: page.rows.length, exact: true };
  return question.parsed.total === 'none' ? undefined : countAll(question);
}

export async function countAll(question: Question): Promise<Count> {
  const { parsed, wheres, caller, context } = question;
  let count = 0;
  let exact = true;
  const turn = slices();
  for (const [type, where] of wheres) {
    await turn();
    const found = await context.store.count(
      { type, where },
      { cap: limits.totalMax, budgetMs: budgetOf(question), request: parsed },
      caller.filters.s,
    );
    count += found.count;
    exact &&= found.exact;
  }
  return { count, exact };
}

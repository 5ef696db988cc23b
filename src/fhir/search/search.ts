// search-type, search-system and compartment search: one page of a searchset. https://hl7.org/fhir/R4/http.html#search
import { limits } from '../../base/limits.ts';
import { FhirError, operationOutcome } from '../../base/outcome.ts';
import type { Condition, Count, Page, Row, Search } from '../../store/store.ts';
import { preferences } from '../answer.ts';
import { bundlePieces, entryWith, outcomeEntry, searchEntry } from '../bundle.ts';
import type { EngineContext } from '../context.ts';
import type { Answer, Caller, FhirRequest } from '../interaction.ts';
import { pagePosition, pageUrl } from '../page-link.ts';
import { subset } from '../subset.ts';
import { idsAsOf, rowsAsOf } from './as-of.ts';
import { compileCriteria, compileSort } from './compile.ts';
import { type ContainedMatch, containedMatches } from './contained.ts';
import { followedPrefixes, includedRows } from './include.ts';
import { keepIds, keptIds } from './kept-ids.ts';
import { compartmentKey, referencePrefix } from './keys.ts';
import { listsOf } from './lists.ts';
import { parseSearch, type SearchRequest } from './parse.ts';
import { resolveCriteria } from './resolve.ts';
import { idsByChain } from './sort-chain.ts';

/** Where a search looks: its types, and the compartment it stays within. */
export interface SearchScope {
  types: readonly string[];
  compartment?: { type: string; id: string };
  /** Path that a paging link repeats. */
  path: string;
  interaction: 'search-type' | 'search-system' | 'search-compartment';
}

/** The query of a search: the URL's, and for POST the form's after it. */
export function searchQuery(request: FhirRequest, posted: boolean): string {
  if (!posted || request.body.length === 0) return request.query;
  const form = Buffer.from(request.body).toString('utf8');
  return request.query === '' ? form : `${request.query}&${form}`;
}

/** A search that was understood: what must hold for each type, and who asks. */
interface Found {
  parsed: SearchRequest;
  wheres: ReadonlyMap<string, Condition>;
  caller: Caller;
  context: EngineContext;
}

/** One page: matches, what they include, and links. */
export async function search(
  scope: SearchScope,
  query: string,
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
): Promise<Answer> {
  const position = await pagePosition(scope.path, query, context);
  const lenient = position === undefined && preferences(request.header('prefer')).handling === 'lenient';
  const parsed = parseSearch(scope.types, position?.query ?? query, { definitions: context.definitions, lenient });
  const found: Found = { parsed, wheres: await conditions(parsed, scope, caller, context), caller, context };
  if (parsed.contained !== 'false') return containedAnswer(found, scope, position?.cursor);
  if (parsed.asOf !== undefined) return pastAnswer(found, parsed.asOf, scope, position?.cursor);
  if (parsed.countOnly || parsed.count === 0) return countAnswer(found, scope);

  const page = await searchPage(found, position?.cursor);
  const [included, total] = await Promise.all([
    includedRows(page.rows, parsed, caller, context),
    totalOf(found, page, position === undefined),
  ]);
  const entries = page.rows.map((row) => entryOf(live(row), 'match', found));
  for (const row of included) entries.push(entryOf(row, 'include', found));
  if (parsed.ignored.length > 0) entries.push(outcomeEntry(ignoredOutcome(parsed)));
  if (total?.exact === false) entries.push(outcomeEntry(operationOutcome([estimateIssue])));
  const links = [selfLink(parsed, scope, context)];
  if (page.next !== undefined) {
    links.push({
      relation: 'next',
      url: await pageUrl({ path: scope.path, query: parsed.self, cursor: page.next }, context),
    });
  }
  const head = { type: 'searchset', ...(total === undefined ? {} : { total: total.count }), link: links };
  return { status: 200, headers: {}, body: bundlePieces(head, entries), interaction: scope.interaction };
}

/** A row as it is sent: the part that `_summary` or `_elements` ask for. */
function entryOf(row: Row & { body: Uint8Array }, mode: 'match' | 'include', { parsed, context }: Found): Uint8Array[] {
  const { selection } = parsed;
  const body = selection === undefined ? row.body : subset(row.body, selection, context.definitions);
  return searchEntry({ ...row, body }, mode, context.baseUrl);
}

const live = (row: Row): Row & { body: Uint8Array } => row as Row & { body: Uint8Array };

const selfLink = (parsed: SearchRequest, { path }: SearchScope, context: EngineContext) => ({
  relation: 'self' as 'self' | 'next',
  url: `${context.baseUrl}${path === '' ? '' : `/${path}`}${parsed.self === '' ? '' : `?${parsed.self}`}`,
});

function ignoredOutcome(parsed: SearchRequest): unknown {
  return operationOutcome(
    parsed.ignored.map((issue) => ({
      ...issue,
      severity: 'warning',
      diagnostics: `Left out of this search: ${issue.diagnostics}`,
    })),
  );
}

/** Type → what must hold for it. A compartment leaves out the types that are never members. */
async function conditions(
  parsed: SearchRequest,
  { compartment }: SearchScope,
  caller: Caller,
  context: EngineContext,
): Promise<Map<string, Condition>> {
  const criteria = await resolveCriteria(parsed.criteria, caller, context);
  const wheres = new Map<string, Condition>();
  const now = context.clock.now();
  for (const type of parsed.types) {
    const where = compileCriteria(type, criteria, { ...context, now });
    if (compartment === undefined) wheres.set(type, where);
    else wheres.set(type, { kind: 'and', of: [membership(type, compartment, context), where] });
  }
  return wheres;
}

/** What makes a resource of `type` a member of a compartment. https://hl7.org/fhir/R4/compartmentdefinition.html */
export function membership(type: string, compartment: { type: string; id: string }, context: EngineContext): Condition {
  if (compartment.type === 'Patient') return { kind: 'key', key: compartmentKey(compartment.id, type) };
  const codes = context.definitions.compartments.get(compartment.type)?.get(type) ?? [];
  const own = `${compartment.type}/${compartment.id}`;
  const of: Condition[] = codes
    .flatMap((code) => listsOf(context.definitions, type, code).lists)
    .map(({ prefix }) => ({ kind: 'key', key: referencePrefix(prefix) + own }));
  if (type === compartment.type) of.push({ kind: 'ids', ids: [compartment.id] });
  return of.length === 0 ? { kind: 'none' } : { kind: 'or', of };
}

// ---- pages ----

async function searchPage(found: Found, after: string | undefined): Promise<Page> {
  const { types, sort } = found.parsed;
  const [only, ...more] = types;
  if (only === undefined) return { rows: [] };
  if (sort.some(({ chain }) => chain !== undefined)) return sortedByChain(only, more, found, after);
  if (more.length === 0) return found.context.store.search(storeSearch(only, found, after), found.caller.filter);
  return sort.length === 0 ? typeAfterType(found, after) : mergedByLastUpdated(found, after);
}

/** The order of a chained parameter: found as a whole, kept, and read page by page. */
async function sortedByChain(
  type: string,
  others: readonly string[],
  { parsed, wheres, caller, context }: Found,
  after: string | undefined,
): Promise<Page> {
  if (others.length > 0) throw new FhirError('invalid', '_sort by a chained parameter takes one _type.');
  const [kept, start] = after === undefined ? [undefined, 0] : (JSON.parse(after) as [string, number]);
  const where = wheres.get(type) ?? { kind: 'none' };
  const ids =
    kept === undefined ? await idsByChain(type, where, parsed.sort, caller, context) : await keptIds(kept, context);
  const end = start + parsed.count;
  const page = await context.store.search(
    {
      ...storeSearch(type, { parsed: { ...parsed, sort: [] }, wheres, caller, context }),
      where: { kind: 'ids', ids: ids.slice(start, end) },
    },
    caller.filter,
  );
  const byId = new Map(page.rows.map((row) => [row.id, row]));
  const rows = ids.slice(start, end).flatMap((id) => byId.get(id) ?? []);
  return end < ids.length ? { rows, next: JSON.stringify([kept ?? (await keepIds(ids, context)), end]) } : { rows };
}

function storeSearch(type: string, { parsed, wheres, context }: Found, after?: string): Search {
  return {
    type,
    where: wheres.get(type) ?? { kind: 'none' },
    order: compileSort(type, parsed.sort, context),
    limit: parsed.count,
    keysOf: followedPrefixes(type, parsed.includes, context),
    budgetMs: limits.queryBudgetMs,
    ...(after === undefined ? {} : { after }),
  };
}

/** Several types without an order: one type's matches after another's. The cursor is the type and the place within it. */
async function typeAfterType(found: Found, after: string | undefined): Promise<Page> {
  const { parsed, caller, context } = found;
  let [at, cursor] = after === undefined ? [0, undefined] : (JSON.parse(after) as [number, string | undefined]);
  const rows: Row[] = [];
  for (; at < parsed.types.length; at++, cursor = undefined) {
    if (rows.length === parsed.count) return { rows, next: JSON.stringify([at]) };
    const request = storeSearch(parsed.types[at] ?? '', found, cursor ?? undefined);
    const page = await context.store.search({ ...request, limit: parsed.count - rows.length }, caller.filter);
    rows.push(...page.rows);
    if (page.next !== undefined) return { rows, next: JSON.stringify([at, page.next]) };
  }
  return { rows };
}

/** Several types by _lastUpdated: the best of each type merged. The cursor is the last instant and who was shown at it. */
async function mergedByLastUpdated(found: Found, after: string | undefined): Promise<Page> {
  const { parsed, caller, context } = found;
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
  for (const type of parsed.types) {
    const seen = shown.filter((one) => one.startsWith(`${type}/`)).map((one) => one.slice(type.length + 1));
    const unseen: Condition[] = seen.length === 0 ? [] : [{ kind: 'not', of: { kind: 'ids', ids: seen } }];
    const request = storeSearch(type, found);
    const where: Condition = { kind: 'and', of: [request.where, ...place, ...unseen] };
    const page = await context.store.search({ ...request, where, limit: parsed.count + 1 }, caller.filter);
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

// ---- contained resources ----

/** The cursor is the number of matches shown: what is found is found as a whole. `both`: other matches come first. */
async function containedAnswer(found: Found, scope: SearchScope, after: string | undefined): Promise<Answer> {
  const { parsed, wheres, caller, context } = found;
  const [type, ...more] = parsed.types;
  if (type === undefined || more.length > 0 || parsed.sort.length > 0 || parsed.asOf !== undefined) {
    throw new FhirError('not-supported', '_contained searches one type, and without _sort and _asOf.');
  }
  const place = after === undefined ? [parsed.contained === 'both' ? '' : undefined, 0] : JSON.parse(after);
  const [cursor, start] = place as [string | undefined, number];
  const entries: Uint8Array[][] = [];
  if (cursor !== undefined && cursor !== null) {
    const page = await searchPage(found, cursor === '' ? undefined : cursor);
    entries.push(...page.rows.map((row) => entryOf(live(row), 'match', found)));
    if (page.next !== undefined) return containedPage(found, scope, entries, [page.next, 0]);
  }
  const matches = await containedMatches(type, wheres.get(type) ?? { kind: 'none' }, caller, context);
  const end = start + Math.max(0, parsed.count - entries.length);
  const shown = matches.slice(start, end);
  if (parsed.containedType === 'contained') entries.push(...shown.map((match) => containedEntry(match, context)));
  else {
    const containers = new Map(shown.map(({ container }) => [`${container.type}/${container.id}`, container]));
    entries.push(...[...containers.values()].map((row) => entryOf(row, 'match', found)));
  }
  return containedPage(found, scope, entries, end < matches.length ? [null, end] : undefined);
}

async function containedPage(
  { parsed, context }: Found,
  scope: SearchScope,
  entries: Uint8Array[][],
  next: [string | null, number] | undefined,
): Promise<Answer> {
  const links = [selfLink(parsed, scope, context)];
  if (next !== undefined) {
    const position = { path: scope.path, query: parsed.self, cursor: JSON.stringify(next) };
    links.push({ relation: 'next', url: await pageUrl(position, context) });
  }
  return {
    status: 200,
    headers: {},
    body: bundlePieces({ type: 'searchset', link: links }, parsed.countOnly ? [] : entries),
    interaction: scope.interaction,
  };
}

/** "The fullUrl is that of the container, with the fragment of the contained resource." */
function containedEntry({ container, id, body }: ContainedMatch, { baseUrl }: EngineContext): Uint8Array[] {
  const fullUrl = `${baseUrl}/${container.type}/${container.id}#${id}`;
  return entryWith(fullUrl, [body], { search: { mode: 'match' } });
}

// ---- at an instant of the past ----

/** The page of an `_asOf` search; the cursor names the ids that its first page found, and the place among them. */
async function pastAnswer(found: Found, asOf: number, scope: SearchScope, after: string | undefined): Promise<Answer> {
  const { parsed, wheres, caller, context } = found;
  const [type, ...more] = parsed.types;
  if (type === undefined || more.length > 0 || parsed.includes.length > 0 || parsed.revincludes.length > 0) {
    throw new FhirError('not-supported', '_asOf searches one type, and without _include and _revinclude.');
  }
  const [kept, start] = after === undefined ? [undefined, 0] : (JSON.parse(after) as [string, number]);
  const where = wheres.get(type) ?? { kind: 'none' };
  const ids =
    kept === undefined
      ? await idsAsOf({ type, where, sort: parsed.sort, asOf }, caller, context)
      : await keptIds(kept, context);
  const end = parsed.countOnly ? start : start + parsed.count;
  const rows = await rowsAsOf(type, ids.slice(start, end), asOf, caller, context);
  const entries = rows.filter((row) => row.body !== null).map((row) => entryOf(live(row), 'match', found));
  if (parsed.ignored.length > 0) entries.push(outcomeEntry(ignoredOutcome(parsed)));
  const links = [selfLink(parsed, scope, context)];
  if (end > start && end < ids.length) {
    const cursor = JSON.stringify([kept ?? (await keepIds(ids, context)), end]);
    links.push({ relation: 'next', url: await pageUrl({ path: scope.path, query: parsed.self, cursor }, context) });
  }
  return {
    status: 200,
    headers: {},
    body: bundlePieces({ type: 'searchset', total: ids.length, link: links }, entries),
    interaction: scope.interaction,
  };
}

// ---- totals ----

/** Bundle.total: counted when asked for; without cost when the first page is also the last. */
async function totalOf(found: Found, page: Page, first: boolean): Promise<Count | undefined> {
  if (first && page.next === undefined) return { count: page.rows.length, exact: true };
  return found.parsed.total === 'none' ? undefined : countAll(found);
}

async function countAll({ wheres, caller, context }: Found): Promise<Count> {
  let count = 0;
  let exact = true;
  for (const [type, where] of wheres) {
    const found = await context.store.count(
      { type, where },
      { cap: limits.totalMax, budgetMs: limits.queryBudgetMs },
      caller.filter,
    );
    count += found.count;
    exact &&= found.exact;
  }
  return { count, exact };
}

async function countAnswer(found: Found, scope: SearchScope): Promise<Answer> {
  const { count, exact } = await countAll(found);
  const notes = exact ? [] : [outcomeEntry(operationOutcome([estimateIssue]))];
  if (found.parsed.ignored.length > 0) notes.push(outcomeEntry(ignoredOutcome(found.parsed)));
  const link = [selfLink(found.parsed, scope, found.context)];
  return {
    status: 200,
    headers: {},
    body: bundlePieces({ type: 'searchset', total: count, link }, notes),
    interaction: scope.interaction,
  };
}

const estimateIssue = {
  severity: 'information' as const,
  code: 'too-costly' as const,
  diagnostics: `Counting stopped at ${limits.totalMax}; there are at least as many matches as the total says.`,
};

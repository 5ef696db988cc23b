// Searches of a query: a list, which has all of its matches or is an error, and a connection, which has pages.
// Both are the server's own FHIR search, made for the same caller. https://hl7.org/fhir/R4/graphql.html#searching
import { limits } from '../../../base/limits.ts';
import { FhirError } from '../../../base/outcome.ts';
import type { Caller, FhirRequest } from '../../interaction.ts';
import { pagePosition, pageUrl } from '../../page-link.ts';
import { encoded } from '../../search/query.ts';
import type { OperationContext } from '../operation.ts';
import type { Budget } from './budget.ts';
import { parseContent, type Resource } from './content.ts';

export interface Edge {
  mode?: string;
  score?: unknown;
  resource: Resource;
}

/** A page of a search, with what the query asked for besides its matches. */
export interface Connection {
  count?: number;
  offset: number;
  pagesize: number;
  edges: readonly Edge[];
  first?: string;
  previous?: string;
  next?: string;
  last?: string;
}

export interface SearchContext {
  context: OperationContext;
  caller: Caller;
  budget: Budget;
  signal: AbortSignal;
}

/** All matches, or the first `count`. Throws FhirError('too-costly') when they are more than a list may have. */
export async function listMatches(
  type: string,
  query: string,
  count: number | undefined,
  search: SearchContext,
): Promise<Resource[]> {
  const most = Math.min(count ?? limits.graphqlListMax, limits.graphqlListMax);
  const found: Resource[] = [];
  const counted = withCount(query, Math.min(most, limits.pageSizeMax));
  let page = await searchPage(type, counted, search);
  for (;;) {
    found.push(...page.edges.map(({ resource }) => resource));
    if (page.next === undefined || (count !== undefined && found.length >= count)) return found.slice(0, count);
    if (found.length >= most) {
      throw new FhirError(
        'too-costly',
        `${type}List has more than ${most} matches. Narrow it, say how many with _count, or page through ${type}Connection.`,
      );
    }
    page = await searchPage(type, await linkTo(type, page.next, counted, search), search);
  }
}

/**
 * One page: the first of `query`, or the one that a cursor leads to. Throws FhirError('invalid') for a cursor that is
 * altered, too old, or of a search of another type.
 */
export async function connection(
  type: string,
  start: { query: string; count: number | undefined } | { cursor: string },
  wanted: ReadonlySet<string>,
  search: SearchContext,
): Promise<Connection> {
  const place = 'cursor' in start ? await openCursor(type, start.cursor, search) : firstPlace(start);
  const query = withCount(place.query, place.pagesize);
  const page = await searchPage(type, place.at === null ? query : await linkTo(type, place.at, query, search), search);
  const answer: Connection = { offset: place.offset, pagesize: place.pagesize, edges: page.edges };
  if (wanted.has('count')) {
    const total = page.total ?? (await searchPage(type, joined(place.query, '_summary=count'), search)).total;
    if (total !== undefined) answer.count = total;
  }
  for (const [name, to] of placesAround(place, page)) {
    if (wanted.has(name)) answer[name] = await closeCursor(type, to, search);
  }
  return answer;
}

// ---- places ----

/** Where a page of a connection begins. */
interface Place {
  query: string;
  pagesize: number;
  offset: number;
  /** The search's own cursor; null for the first page. */
  at: string | null;
  /** The cursors of the pages before, without the first: a search goes forward only. */
  before: readonly string[];
}

function firstPlace({ query, count = limits.pageSizeDefault }: { query: string; count: number | undefined }): Place {
  return { query, pagesize: Math.min(count, limits.pageSizeMax), offset: 0, at: null, before: [] };
}

/** `last` is known on the last page alone. */
function placesAround(place: Place, page: Page): ['first' | 'previous' | 'next' | 'last', Place][] {
  const { at, before, offset, pagesize } = place;
  const places: ['first' | 'previous' | 'next' | 'last', Place][] = [
    ['first', { ...place, offset: 0, at: null, before: [] }],
  ];
  const back = before.at(-1) ?? null;
  if (at !== null && (back !== null || offset <= pagesize)) {
    places.push([
      'previous',
      { ...place, offset: Math.max(0, offset - pagesize), at: back, before: before.slice(0, -1) },
    ]);
  }
  if (page.next === undefined) places.push(['last', place]);
  else {
    const passed = at === null ? [] : [...before, at].slice(-limits.graphqlPagesBackMax);
    places.push(['next', { ...place, offset: offset + page.edges.length, at: page.next, before: passed }]);
  }
  return places;
}

/** A cursor is a paging link of a path that no search has, so that neither passes for the other. */
const cursorPath = (type: string): string => `${type}/$graphql`;

async function closeCursor(type: string, { query, ...rest }: Place, { context }: SearchContext): Promise<string> {
  const url = await pageUrl({ path: cursorPath(type), query, cursor: JSON.stringify(rest) }, context);
  return url.slice(url.indexOf('_page=') + '_page='.length);
}

async function openCursor(type: string, cursor: string, { context }: SearchContext): Promise<Place> {
  const position = await pagePosition(cursorPath(type), `_page=${encoded(cursor)}`, context);
  if (position === undefined)
    throw new FhirError('invalid', '_cursor is empty; give one that a connection has answered.');
  return { query: position.query, ...(JSON.parse(position.cursor) as Omit<Place, 'query'>) };
}

// ---- pages ----

interface Page {
  edges: Edge[];
  total?: number;
  /** The search's own cursor. */
  next?: string;
}

interface Bundle {
  total?: number;
  link?: { relation: string; url: string }[];
  entry?: { resource: Resource; search?: { mode?: string; score?: unknown } }[];
}

async function searchPage(
  type: string,
  query: string,
  { context, caller, budget, signal }: SearchContext,
): Promise<Page> {
  budget.search();
  const request: FhirRequest = { method: 'GET', path: type, query, header: () => undefined, body: nothing, signal };
  const { body = nothing } = await context.perform(request, caller);
  const bundle = parseContent(body instanceof Uint8Array ? body : Buffer.concat(body)) as Bundle;
  const bytes = body instanceof Uint8Array ? body.length : body.reduce((sum, piece) => sum + piece.length, 0);
  const entries = (bundle.entry ?? []).filter(({ search }) => search?.mode === 'match');
  for (const _entry of entries) budget.resource(bytes / entries.length);
  const link = bundle.link?.find(({ relation }) => relation === 'next')?.url;
  const next = link && (await pagePosition(type, link.slice(link.indexOf('?') + 1), context))?.cursor;
  return {
    edges: entries.map(({ resource, search: { mode, score } = {} }) => ({
      resource,
      ...(mode === undefined ? {} : { mode }),
      ...(score === undefined ? {} : { score }),
    })),
    ...(bundle.total === undefined ? {} : { total: bundle.total }),
    ...(next ? { next } : {}),
  };
}

const nothing = new Uint8Array(0);

/** The query of the page that begins at a cursor of the search. */
async function linkTo(type: string, cursor: string, query: string, { context }: SearchContext): Promise<string> {
  const url = await pageUrl({ path: type, query, cursor }, context);
  return url.slice(url.indexOf('?') + 1);
}

const withCount = (query: string, count: number): string => joined(query, `_count=${count}`);

const joined = (query: string, more: string): string => (query === '' ? more : `${query}&${more}`);

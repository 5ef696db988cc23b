// Paging links: the place where a page ended, sealed together with the query it belongs to.
import { limits } from '../base/limits.ts';
import { FhirError } from '../base/outcome.ts';
import type { EngineContext } from './context.ts';
import { queryPairs } from './search/query.ts';

export interface PagePosition {
  /** Path of the search, relative to the base. */
  path: string;
  query: string;
  cursor: string;
}

/** A link longer than this is kept in the store, and the URL names it. */
const LINK_CHARS_MAX = 6000;

/** The URL of the page that begins at a position. */
export async function pageUrl(position: PagePosition, context: EngineContext): Promise<string> {
  const expires = context.clock.now() + limits.cursorLifeMs;
  let sealed = context.seal.close(
    JSON.stringify([position.path, position.query, position.cursor, expires, context.grant ?? '']),
  );
  if (sealed.length > LINK_CHARS_MAX) {
    const id = context.clock.newId();
    await context.store.records.put({ kind: 'page', id, value: JSON.stringify(sealed), expires }, 0);
    sealed = `kept.${id}`;
  }
  return `${context.baseUrl}${position.path === '' ? '' : `/${position.path}`}?_page=${sealed}`;
}

/** The position in a query's `_page`; undefined when it has none. 400 for a link that is altered, old, or used elsewhere. */
export async function pagePosition(
  path: string,
  query: string,
  context: EngineContext,
): Promise<PagePosition | undefined> {
  if (!query.includes('_page=')) return undefined;
  const pairs = queryPairs(query);
  const page = pairs.find(([name]) => name === '_page');
  if (page === undefined) return undefined;
  const other = pairs.find(([name]) => name !== '_page' && name !== '_format' && name !== '_pretty');
  if (other !== undefined)
    throw new FhirError(
      'invalid',
      `A paging link stands alone; begin a new search to change "${other[0].slice(0, 40)}".`,
    );
  const [pagePath, pageQuery, cursor, expires, grant] = JSON.parse(
    context.seal.open(await sealedText(page[1], context)),
  ) as [string, string, string, number, string];
  // Who got it by another grant may see something else; the same text as for another search.
  if (pagePath !== path || grant !== (context.grant ?? ''))
    throw new FhirError('invalid', 'This paging link belongs to another search.');
  if (expires < context.clock.now())
    throw new FhirError('invalid', 'This paging link is too old; begin the search again.');
  return { path: pagePath, query: pageQuery, cursor };
}

async function sealedText(page: string, context: EngineContext): Promise<string> {
  if (!page.startsWith('kept.')) return page;
  const kept = await context.store.records.get('page', page.slice('kept.'.length));
  return kept === undefined ? '' : (JSON.parse(kept.value) as string);
}

// history of an instance, a type and the system. https://hl7.org/fhir/R4/http.html#history
import { limits } from '../base/limits.ts';
import { FhirError } from '../base/outcome.ts';
import { dateRange } from '../model/dates.ts';
import { bundlePieces, historyEntry } from './bundle.ts';
import type { EngineContext } from './context.ts';
import type { Answer, Caller, FhirRequest } from './interaction.ts';
import { pagePosition, pageUrl } from './page-link.ts';
import { listId, pageSize } from './search/parse.ts';
import { queryPairs } from './search/query.ts';
import { listedIds } from './search/resolve.ts';

interface HistoryRequest {
  since?: number;
  /** `_at`: versions that were current at some time of this, half-open, ms. */
  current?: { from: number; to: number };
  /** `_list`: of the resources in this List. */
  list?: string;
  count: number;
}

/** Versions, newest first, deletions included. 404 for an instance that never existed. */
export async function history(
  of: { type?: string; id?: string },
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
): Promise<Answer> {
  const path = [of.type, of.id, '_history'].filter((part) => part !== undefined).join('/');
  const position = await pagePosition(path, request.query, context);
  const query = position?.query ?? request.query;
  const { since, current, list, count } = parseHistory(query, context);
  const listed = list === undefined ? undefined : refsOf(await listedIds(list, caller, context));
  const page = await context.store.history(
    {
      ...of,
      ...(since === undefined ? {} : { since }),
      ...(current === undefined ? {} : { current }),
      ...(listed === undefined ? {} : { of: listed }),
      ...(position === undefined ? {} : { after: position.cursor }),
      limit: count,
      budgetMs: limits.queryBudgetMs,
    },
    caller.filter,
  );
  if (
    of.id !== undefined &&
    page.rows.length === 0 &&
    position === undefined &&
    since === undefined &&
    current === undefined &&
    list === undefined
  ) {
    throw new FhirError('not-found', `${of.type}/${of.id} does not exist.`);
  }
  const links = [{ relation: 'self' as const, url: `${context.baseUrl}/${path}${query === '' ? '' : `?${query}`}` }];
  const next = page.next && {
    relation: 'next' as const,
    url: await pageUrl({ path, query, cursor: page.next }, context),
  };
  const whole = position === undefined && page.next === undefined;
  return {
    status: 200,
    headers: {},
    body: bundlePieces(
      { type: 'history', ...(whole ? { total: page.rows.length } : {}), link: next ? [...links, next] : links },
      page.rows.map((row) => historyEntry(row, context.baseUrl)),
    ),
    interaction: of.id !== undefined ? 'history-instance' : of.type !== undefined ? 'history-type' : 'history-system',
  };
}

const refsOf = (ids: ReadonlyMap<string, readonly string[]>): { type: string; id: string }[] =>
  [...ids].flatMap(([type, ofType]) => ofType.map((id) => ({ type, id })));

/** An instant is a period of a millisecond. */
const atLeastAnInstant = ({ from, to }: { from: number; to: number }) => ({ from, to: Math.max(to, from + 1) });

function parseHistory(query: string, context: EngineContext): HistoryRequest {
  const request: HistoryRequest = { count: limits.pageSizeDefault };
  for (const [name, value] of queryPairs(query)) {
    switch (name) {
      case '_count':
        request.count = Math.max(1, pageSize(value));
        break;
      case '_since':
        request.since = dateRange(value, context.timeZone).from;
        break;
      case '_at':
        request.current = atLeastAnInstant(dateRange(value, context.timeZone));
        break;
      case '_list':
        request.list = listId(value);
        break;
      case '_format':
      case '_pretty':
        break;
      default:
        throw new FhirError(
          'invalid',
          `"${name.slice(0, 40)}" is not a parameter of history; accepted: _at, _count, _list, _since.`,
        );
    }
  }
  return request;
}

// history of an instance, a type and the system. https://hl7.org/fhir/R4/http.html#history
// The history of a type also takes its search parameters, for the versions of what matches now: how the potassium values
// of one patient came and were corrected is `Observation/_history?patient=1&code=2823-3`.
import { limits } from '../base/limits.ts';
import { FhirError } from '../base/outcome.ts';
import { dateRange } from '../model/dates.ts';
import { bundlePieces, historyEntry } from './bundle.ts';
import { conditionOf, matches } from './conditional.ts';
import type { EngineContext } from './context.ts';
import type { Answer, Caller, FhirRequest } from './interaction.ts';
import { pagePosition, pageUrl } from './page-link.ts';
import { listId, pageSize } from './search/parse.ts';
import { queryPairs, queryString } from './search/query.ts';
import { listedIds } from './search/resolve.ts';

interface HistoryRequest {
  since?: number;
  /** `_at`: versions that were current at some time of this, half-open, ms. */
  current?: { from: number; to: number };
  /** `_list`: of the resources in this List. */
  list?: string;
  /** Search parameters of the type: of the resources that match now. */
  search?: string;
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
  const asked = parseHistory(of, query, context);
  const { since, current, list, count } = asked;
  const listed = await resourcesMeant(of.type, asked, caller, context);
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
    of.id === undefined ? caller.filters.s : caller.filter,
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

/** The resources whose versions are wanted, where the query says so: `_list`, search parameters of the type, or both. */
async function resourcesMeant(
  type: string | undefined,
  { list, search }: HistoryRequest,
  caller: Caller,
  context: EngineContext,
): Promise<{ type: string; id: string }[] | undefined> {
  const listed = list === undefined ? undefined : refsOf(await listedIds(list, caller, context));
  if (search === undefined || type === undefined) return listed;
  const where = await conditionOf(type, search, caller, context);
  const { ids } = await matches(type, where, caller, context, limits.historyMatchesMax + 1);
  if (ids.length > limits.historyMatchesMax) {
    throw new FhirError(
      'too-costly',
      `More than ${limits.historyMatchesMax} ${type} resources match; narrow the search whose history is wanted.`,
    );
  }
  const found = new Set(ids);
  return listed?.filter((one) => one.type === type && found.has(one.id)) ?? ids.map((id) => ({ type, id }));
}

const refsOf = (ids: ReadonlyMap<string, readonly string[]>): { type: string; id: string }[] =>
  [...ids].flatMap(([type, ofType]) => ofType.map((id) => ({ type, id })));

/** An instant is a period of a millisecond. */
const atLeastAnInstant = ({ from, to }: { from: number; to: number }) => ({ from, to: Math.max(to, from + 1) });

/** A search parameter that says which resources are meant, not how a searchset is to look. */
const selects = (name: string): boolean =>
  !name.startsWith('_') || /^_(content|filter|has|id|profile|security|source|tag|text)\b/.test(name);

function parseHistory(of: { type?: string; id?: string }, query: string, context: EngineContext): HistoryRequest {
  const request: HistoryRequest = { count: limits.pageSizeDefault };
  const search: [string, string][] = [];
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
        if (of.type !== undefined && of.id === undefined && selects(name)) {
          search.push([name, value]);
          break;
        }
        throw new FhirError(
          'invalid',
          `"${name.slice(0, 40)}" is not a parameter of history; accepted: _at, _count, _list, _since, and for a type its search parameters.`,
        );
    }
  }
  return search.length === 0 ? request : { ...request, search: queryString(search) };
}

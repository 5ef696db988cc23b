// $explain: how a search would be answered: what each parameter was taken for, which list of the index was followed, how
// many candidates were looked at.
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import { isUnrestricted } from '../access/callers.ts';
import { requireSearchable } from '../access/require.ts';
import { json } from '../answer.ts';
import type { EngineContext } from '../context.ts';
import type { Answer, Caller, FhirRequest } from '../interaction.ts';
import { compileCriteria, compileSort } from '../search/compile.ts';
import { type Criterion, lookingElsewhere } from '../search/criteria.ts';
import { parseSearch, type SearchRequest } from '../search/parse.ts';
import { queryPairs, queryString } from '../search/query.ts';
import { resolveCriteria } from '../search/resolve.ts';
import { searchQuery } from '../search/search.ts';
import { conditionText, namesOfLists, sourceText } from './explain-text.ts';
import type { Operation, OperationCall } from './operation.ts';

/** A parameter of the answer. */
export interface AnswerPart {
  name: string;
  valueString?: string;
  valueInteger?: number;
  valueBoolean?: boolean;
  valueDecimal?: number;
  part?: AnswerPart[];
}

export const explain: Operation = {
  code: 'explain',
  definition: 'urn:careloom:OperationDefinition:explain',
  types: 'all',
  affectsState: false,
  perform: explained,
};

export const answerOf = (parameter: AnswerPart[]): Answer => ({
  status: 200,
  headers: {},
  body: json({ resourceType: 'Parameters', parameter }),
  interaction: 'operation',
});

/** The search that the call is about: the URL's query, or a form. */
export function askedQuery(request: FhirRequest): string {
  const isForm = request.header('content-type')?.startsWith('application/x-www-form-urlencoded') === true;
  if (request.body.length > 0 && !isForm) {
    throw new FhirError('invalid', 'The search to look at stands in the URL, or in a form as for _search.');
  }
  return searchQuery(request, request.method === 'POST');
}

/** These searches are not one question to the index; nothing is told of them rather than something wrong. */
export function requirePlain({ asOf, contained }: SearchRequest): void {
  if (asOf === undefined && contained === 'false') return;
  throw new FhirError('not-supported', 'Searches with _asOf and _contained are not explained.');
}

async function explained(
  { type = '', request }: OperationCall,
  caller: Caller,
  context: EngineContext,
): Promise<Answer> {
  const query = askedQuery(request);
  const parsed = parseSearch([type], query, { definitions: context.definitions, lenient: true });
  requirePlain(parsed);
  const understood = await understoodParameters(type, query, caller, context);
  requireWholeView(type, parsed.criteria, caller);
  requireSearchable([type], parsed.criteria, parsed.sort, caller);
  const criteria = await resolveCriteria(parsed.criteria, caller, context);
  const where = compileCriteria(type, criteria, { ...context, now: context.clock.now() });
  // Matches of a chained order are collected without one and sorted by their targets.
  const isChained = parsed.sort.some(({ chain }) => chain !== undefined);
  const order = isChained ? [] : compileSort(type, parsed.sort, context);
  const limit = Math.max(1, parsed.count);
  const page = await context.store.search(
    { type, where, order, limit, budgetMs: limits.queryBudgetMs, bodyless: true, explain: true },
    caller.filters.s,
  );
  const { explanation } = page;
  const names = namesOfLists(context.definitions);
  const plan: AnswerPart[] =
    explanation === undefined
      ? []
      : [
          { name: 'kind', valueString: PLANS[explanation.plan] },
          ...(explanation.source === undefined
            ? []
            : [{ name: 'source', valueString: sourceText(explanation.source, names) }]),
          { name: 'checked', valueString: conditionText(explanation.residual, names) },
          { name: 'examined', valueInteger: explanation.examined },
          ...explanation.counts.map(({ source, count }) => ({
            name: 'counted',
            part: [
              { name: 'source', valueString: sourceText(source, names) },
              { name: 'count', valueInteger: count },
            ],
          })),
          { name: 'milliseconds', valueDecimal: Math.round(explanation.ms * 1000) / 1000 },
        ];
  return answerOf([
    ...understood,
    ...parsed.ignored.map(({ diagnostics = '' }) => ({ name: 'ignored', valueString: diagnostics })),
    { name: 'plan', part: isChained ? [...plan, { name: 'sorted', valueString: SORTED_BY_CHAIN }] : plan },
    { name: 'found', valueInteger: page.rows.length },
    { name: 'more', valueBoolean: page.next !== undefined },
  ]);
}

/** What was counted and looked at tells of resources that the caller may not see. */
export function requireWholeView(type: string, criteria: readonly Criterion[], caller: Caller): void {
  // What other types are counted for a chain cannot be told.
  const isWhole = isUnrestricted(caller) || lookingElsewhere(criteria).length === 0;
  if (isWhole && caller.filters.s.of(type).kind === 'all') return;
  throw new FhirError(
    'forbidden',
    `This tells how many ${type} resources there are; it is for who may search them all.`,
  );
}

const PLANS = {
  none: 'nothing can match, so nothing is looked at',
  walk: 'a list is followed in the order asked for until the page is full',
  sort: 'a set is collected and sorted',
} as const;

const SORTED_BY_CHAIN = 'all matches are collected, and sorted by what their references lead to';

/** Each parameter of the query with what it comes to in the index. */
async function understoodParameters(
  type: string,
  query: string,
  caller: Caller,
  context: EngineContext,
): Promise<AnswerPart[]> {
  const names = namesOfLists(context.definitions);
  const found: AnswerPart[] = [];
  for (const [name, value] of queryPairs(query)) {
    const { criteria } = parseSearch([type], queryString([[name, value]]), {
      definitions: context.definitions,
      lenient: true,
    });
    if (criteria.length === 0) continue;
    const resolved = await resolveCriteria(criteria, caller, context);
    const condition = compileCriteria(type, resolved, { ...context, now: context.clock.now() });
    found.push({
      name: 'parameter',
      part: [
        { name: 'name', valueString: name },
        { name: 'value', valueString: value },
        { name: 'condition', valueString: conditionText(condition, names) },
      ],
    });
  }
  return found;
}

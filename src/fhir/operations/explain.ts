// $explain: how a search would be answered: what each parameter was taken for, which list of the index was followed, how
// many candidates were looked at. $why-not: which parameter keeps a resource out of a search.
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import type { Definitions } from '../../model/definitions.ts';
import type { Condition, Key, Source } from '../../store/store.ts';
import { json } from '../answer.ts';
import type { EngineContext } from '../context.ts';
import type { Answer, Caller, FhirRequest } from '../interaction.ts';
import { present } from '../read.ts';
import { compileCriteria, compileSort } from '../search/compile.ts';
import type { Criterion } from '../search/criteria.ts';
import { parameterPrefix } from '../search/keys.ts';
import { parseSearch, type SearchRequest } from '../search/parse.ts';
import { queryPairs, queryString } from '../search/query.ts';
import { resolveCriteria } from '../search/resolve.ts';
import { searchQuery } from '../search/search.ts';
import type { Operation, OperationCall } from './operation.ts';

interface Parameter {
  name: string;
  valueString?: string;
  valueInteger?: number;
  valueBoolean?: boolean;
  valueDecimal?: number;
  part?: Parameter[];
}

export const explain: Operation = {
  code: 'explain',
  definition: 'urn:careloom:OperationDefinition:explain',
  types: 'all',
  affectsState: false,
  perform: explained,
};

export const whyNot: Operation = {
  code: 'why-not',
  definition: 'urn:careloom:OperationDefinition:why-not',
  types: 'all',
  affectsState: false,
  perform: whyNotFound,
};

export const explainOperations: readonly Operation[] = [explain, whyNot];

const answerOf = (parameter: Parameter[]): Answer => ({
  status: 200,
  headers: {},
  body: json({ resourceType: 'Parameters', parameter }),
  interaction: 'operation',
});

/** The search that the call is about: the URL's query, or a form. */
function askedQuery(request: FhirRequest): string {
  const isForm = request.header('content-type')?.startsWith('application/x-www-form-urlencoded') === true;
  if (request.body.length > 0 && !isForm) {
    throw new FhirError('invalid', 'The search to look at stands in the URL, or in a form as for _search.');
  }
  return searchQuery(request, request.method === 'POST');
}

/** These searches are not one question to the index; nothing is told of them rather than something wrong. */
function requirePlain({ asOf, contained }: SearchRequest): void {
  if (asOf === undefined && contained === 'false') return;
  throw new FhirError('not-supported', 'Searches with _asOf and _contained are not explained.');
}

// ---- $explain ----

async function explained(
  { type = '', request }: OperationCall,
  caller: Caller,
  context: EngineContext,
): Promise<Answer> {
  const query = askedQuery(request);
  const parsed = parseSearch([type], query, { definitions: context.definitions, lenient: true });
  requirePlain(parsed);
  const understood = await understoodParameters(type, query, caller, context);
  const criteria = await resolveCriteria(parsed.criteria, caller, context);
  const where = compileCriteria(type, criteria, { ...context, now: context.clock.now() });
  // Matches of a chained order are collected without one and sorted by their targets.
  const isChained = parsed.sort.some(({ chain }) => chain !== undefined);
  const order = isChained ? [] : compileSort(type, parsed.sort, context);
  const limit = Math.max(1, parsed.count);
  const page = await context.store.search(
    { type, where, order, limit, budgetMs: limits.queryBudgetMs, bodyless: true, explain: true },
    caller.filter,
  );
  const { explanation } = page;
  const names = namesOfLists(context.definitions);
  const plan: Parameter[] =
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
): Promise<Parameter[]> {
  const names = namesOfLists(context.definitions);
  const found: Parameter[] = [];
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

// ---- texts ----

type Names = ReadonlyMap<Key, string>;

const namesByDefinitions = new WeakMap<Definitions, Names>();

/** "Observation.code" by the characters that its keys begin with, for all types: chains lead to other ones. */
function namesOfLists(definitions: Definitions): Names {
  let names = namesByDefinitions.get(definitions);
  if (names === undefined) {
    names = new Map(
      definitions.resourceTypes.flatMap((type) =>
        [...definitions.searchParameters(type).values()].map(
          ({ code, list = code }) => [parameterPrefix(type, list), `${type}.${code}`] as const,
        ),
      ),
    );
    namesByDefinitions.set(definitions, names);
  }
  return names;
}

const LISTS: Readonly<Record<string, string>> = {
  s: 'text',
  x: 'text, further on',
  t: 'code',
  r: 'reference',
  i: 'identifier',
  p: 'URI',
  l: 'begin',
  h: 'end',
  n: 'number',
  q: 'quantity',
  L: 'range, low',
  H: 'range, high',
  Q: 'quantity range, low',
  R: 'quantity range, high',
  k: 'composite',
  K: 'composite, quantity',
  w: 'composite, range',
  W: 'composite, quantity range',
  v: 'composite, text',
  g: 'position',
  '!': 'present',
  u: 'system',
  d: 'display',
  o: 'identifier of a type',
  j: 'system of an identifier',
};

function listText(key: Key, names: Names): string {
  if (key.startsWith('@type')) return `all ${key.slice(5)}`;
  if (key.startsWith('@pat:')) return 'patient compartment';
  const list = LISTS[key[4] ?? ''];
  return `${names.get(key.slice(0, 4)) ?? 'a list'}${list === undefined ? '' : ` (${list})`}`;
}

function sourceText(source: Source, names: Names): string {
  switch (source.kind) {
    case 'ids':
      return `${source.ids.length} ids`;
    case 'type':
      return 'the whole type';
    case 'lastUpdated':
      return 'a stretch of _lastUpdated';
    case 'term':
      return `a term of ${listText(source.term, names)}`;
    case 'keys': {
      const texts = source.of.map((part) =>
        'key' in part ? `= ${listText(part.key, names)}` : `a stretch of ${listText(part.from, names)}`,
      );
      return counted(texts);
    }
  }
}

/** The texts with how often each occurs. */
function counted(texts: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return [...counts].map(([text, count]) => (count === 1 ? text : `${count} × ${text}`)).join(' or ');
}

function conditionText(condition: Condition, names: Names): string {
  switch (condition.kind) {
    case 'all':
      return 'nothing';
    case 'none':
      return 'never true';
    case 'key':
      return `= ${listText(condition.key, names)}`;
    case 'span':
      return `a stretch of ${listText(condition.from, names)}${condition.within === undefined ? '' : ', each entry checked'}`;
    case 'term':
      return `a term of ${listText(condition.term, names)}`;
    case 'ids':
      return `${condition.ids.length} ids`;
    case 'lastUpdated':
      return 'a stretch of _lastUpdated';
    case 'and':
      return condition.of.map((one) => `(${conditionText(one, names)})`).join(' and ');
    case 'or':
      return counted(condition.of.map((one) => conditionText(one, names)));
    case 'not':
      return `not (${conditionText(condition.of, names)})`;
    case 'refers':
      return `refers by ${listText(condition.prefix, names)} to ${condition.to.type} with (${conditionText(condition.to.where, names)})`;
    case 'referred':
      return `referred to by ${listText(condition.prefix, names)} of ${condition.by.type} with (${conditionText(condition.by.where, names)})`;
  }
}

// ---- $why-not ----

async function whyNotFound(
  { type = '', request }: OperationCall,
  caller: Caller,
  context: EngineContext,
): Promise<Answer> {
  const pairs = queryPairs(askedQuery(request));
  const [given, ...more] = pairs.filter(([name]) => name === 'resource');
  const id = resourceId(type, more.length === 0 ? given?.[1] : undefined);
  present(await context.store.read(type, id, caller.filter), type, id);
  const searched = queryString(pairs.filter(([name]) => name !== 'resource'));
  const parsed = parseSearch([type], searched, { definitions: context.definitions, lenient: false });
  requirePlain(parsed);
  const parameters: Parameter[] = [];
  let matches = true;
  for (const criterion of parsed.criteria) {
    const holds = await holdsFor(type, id, criterion, caller, context);
    matches &&= holds;
    parameters.push({
      name: 'parameter',
      part: [
        { name: 'name', valueString: nameOf(criterion) },
        { name: 'holds', valueBoolean: holds },
      ],
    });
  }
  return answerOf([{ name: 'matches', valueBoolean: matches }, ...parameters]);
}

function resourceId(type: string, text: string | undefined): string {
  const [, named, id] = /^(?:([A-Za-z]+)\/)?([A-Za-z0-9\-.]{1,64})$/.exec(text ?? '') ?? [];
  if (id !== undefined && (named ?? type) === type) return id;
  throw new FhirError('invalid', `"resource" takes the resource that is missing from the search, as in ${type}/1.`);
}

async function holdsFor(
  type: string,
  id: string,
  criterion: Criterion,
  caller: Caller,
  context: EngineContext,
): Promise<boolean> {
  const resolved = await resolveCriteria([criterion], caller, context);
  const where = compileCriteria(type, resolved, { ...context, now: context.clock.now() });
  const { count } = await context.store.count(
    { type, where: { kind: 'and', of: [{ kind: 'ids', ids: [id] }, where] } },
    { cap: 1, budgetMs: limits.queryBudgetMs },
    caller.filter,
  );
  return count > 0;
}

/** The parameter as the client would write it. */
function nameOf(criterion: Criterion): string {
  switch (criterion.kind) {
    case 'parameter':
      return `${criterion.name}=${criterion.values.join(',')}`;
    case 'chain':
      return `${criterion.parameter.code}.${criterion.next.map(({ criterion }) => nameOf(criterion))[0] ?? ''}`;
    case 'has':
      return `_has:${criterion.type}:${criterion.parameter.code}:${nameOf(criterion.criterion)}`;
    case 'list':
      return `_list=${criterion.id}`;
    case 'near':
      return criterion.parameter.code;
    case 'and':
    case 'or':
      return criterion.of.map(nameOf).join(` ${criterion.kind} `);
    case 'not':
      return `not (${nameOf(criterion.of)})`;
    case 'members':
      return criterion.parameter.code;
    case 'ids':
      return '_id';
  }
}

// $why-not: which parameter keeps a resource out of a search.
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import { requireSearchable } from '../access/require.ts';
import type { EngineContext } from '../context.ts';
import type { Answer, Caller } from '../interaction.ts';
import { present } from '../read.ts';
import { compileCriteria } from '../search/compile.ts';
import type { Criterion } from '../search/criteria.ts';
import { parseSearch } from '../search/parse.ts';
import { queryPairs, queryString } from '../search/query.ts';
import { resolveCriteria } from '../search/resolve.ts';
import { type AnswerPart, answerOf, askedQuery, requirePlain } from './explain.ts';
import type { Operation, OperationCall } from './operation.ts';

export const whyNot: Operation = {
  code: 'why-not',
  definition: 'urn:careloom:OperationDefinition:why-not',
  types: 'all',
  affectsState: false,
  perform: whyNotFound,
};

async function whyNotFound(
  { type = '', request }: OperationCall,
  caller: Caller,
  context: EngineContext,
): Promise<Answer> {
  const pairs = queryPairs(askedQuery(request));
  const [given, ...more] = pairs.filter(([name]) => name === 'resource');
  const id = resourceId(type, more.length === 0 ? given?.[1] : undefined);
  const searched = queryString(pairs.filter(([name]) => name !== 'resource'));
  const parsed = parseSearch([type], searched, { definitions: context.definitions, lenient: false });
  requirePlain(parsed);
  requireSearchable([type], parsed.criteria, parsed.sort, caller);
  present(await context.store.read(type, id, caller.filter), type, id);
  const parameters: AnswerPart[] = [];
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
    caller.filters.s,
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

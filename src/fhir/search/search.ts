// search-type, search-system and compartment search. https://hl7.org/fhir/R4/http.html#search
import { preferences } from '../answer.ts';
import type { EngineContext } from '../context.ts';
import type { Answer, Caller, FhirRequest } from '../interaction.ts';
import { pagePosition } from '../page-link.ts';
import { containedAnswer } from './contained-search.ts';
import { includedRows } from './include.ts';
import { countAll, searchPage, totalOf } from './pages.ts';
import { parseSearch } from './parse.ts';
import { pastAnswer } from './past-search.ts';
import { type LiveRow, questionOf, type SearchScope } from './question.ts';
import { entryOf, searchset } from './searchset.ts';

/** The query of a search: the URL's, and for POST the form's after it. */
export function searchQuery(request: FhirRequest, posted: boolean): string {
  if (!posted || request.body.length === 0) return request.query;
  const form = Buffer.from(request.body).toString('utf8');
  return request.query === '' ? form : `${request.query}&${form}`;
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
  const question = await questionOf(scope, parsed, caller, context);
  if (parsed.contained !== 'false') return containedAnswer(question, position?.cursor);
  if (parsed.asOf !== undefined) return pastAnswer(question, parsed.asOf, position?.cursor);
  if (parsed.countOnly || parsed.count === 0) {
    return searchset(question, { entries: [], total: await countAll(question) });
  }
  const page = await searchPage(question, position?.cursor);
  const [included, total] = await Promise.all([
    includedRows(page.rows, parsed, caller, context),
    totalOf(question, page, position === undefined),
  ]);
  const entries = page.rows.map((row) => entryOf(row as LiveRow, 'match', question));
  for (const row of included) entries.push(entryOf(row, 'include', question));
  return searchset(question, { entries, total, next: page.next });
}

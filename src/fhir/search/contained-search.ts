// The answer to a search with _contained; contained.ts looks into the resources.
// https://hl7.org/fhir/R4/search.html#contained
import { FhirError } from '../../base/outcome.ts';
import { entryWith } from '../bundle.ts';
import type { EngineContext } from '../context.ts';
import type { Answer } from '../interaction.ts';
import { type ContainedMatch, containedMatches } from './contained.ts';
import { searchPage } from './pages.ts';
import type { LiveRow, Question } from './question.ts';
import { entryOf, searchset } from './searchset.ts';

/** Where a page begins: within the other matches (`both`), or at the number of contained ones shown. */
type Place = [cursor: string | null | undefined, shown: number];

/** One page. With `both`, matches that are no contained ones come first. */
export async function containedAnswer(question: Question, after: string | undefined): Promise<Answer> {
  const { parsed, wheres, caller, context } = question;
  const [type, ...more] = parsed.types;
  if (type === undefined || more.length > 0 || parsed.sort.length > 0 || parsed.asOf !== undefined) {
    throw new FhirError('not-supported', '_contained searches one type, and without _sort and _asOf.');
  }
  const first: Place = [parsed.contained === 'both' ? undefined : null, 0];
  const [cursor, start] = after === undefined ? first : (JSON.parse(after) as Place);
  const entries: Uint8Array[][] = [];
  if (cursor !== null) {
    const page = await searchPage(question, cursor);
    entries.push(...page.rows.map((row) => entryOf(row as LiveRow, 'match', question)));
    if (page.next !== undefined) return searchset(question, { entries, next: JSON.stringify([page.next, 0]) });
  }
  const matches = await containedMatches(type, wheres.get(type) ?? { kind: 'none' }, caller, context);
  const end = start + Math.max(0, parsed.count - entries.length);
  entries.push(...entriesOf(matches.slice(start, end), question));
  return searchset(question, {
    entries: parsed.countOnly ? [] : entries,
    next: end < matches.length ? JSON.stringify([null, end]) : undefined,
  });
}

function entriesOf(matches: readonly ContainedMatch[], question: Question): Uint8Array[][] {
  if (question.parsed.containedType === 'contained') {
    return matches.map((match) => containedEntry(match, question.context));
  }
  const containers = new Map(matches.map(({ container }) => [`${container.type}/${container.id}`, container]));
  return [...containers.values()].map((row) => entryOf(row, 'match', question));
}

/** "The fullUrl is that of the container, with the fragment of the contained resource." */
function containedEntry({ container, id, body }: ContainedMatch, { baseUrl }: EngineContext): Uint8Array[] {
  const fullUrl = `${baseUrl}/${container.type}/${container.id}#${id}`;
  return entryWith(fullUrl, [body], { search: { mode: 'match' } });
}

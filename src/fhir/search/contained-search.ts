// The answer to a search with _contained; contained.ts looks into the resources.
// https://hl7.org/fhir/R4/search.html#contained
import { FhirError } from '../../base/outcome.ts';
import { entryWith } from '../bundle.ts';
import type { Answer } from '../interaction.ts';
import { subset } from '../subset.ts';
import { type ContainedMatch, containedMatches } from './contained.ts';
import { lookingElsewhere } from './criteria.ts';
import { countAll, searchPage } from './pages.ts';
import type { LiveRow, Question } from './question.ts';
import { entryOf, searchset } from './searchset.ts';

/** Where a page begins: within the other matches (`both`), or at the number of contained ones shown. */
type Place = [cursor: string | null | undefined, shown: number];

/** One page. With `both`, matches that are no contained ones come first. */
export async function containedAnswer(question: Question, after: string | undefined): Promise<Answer> {
  const { parsed } = question;
  const type = requirePlain(question);
  if (parsed.countOnly || parsed.count === 0) {
    const others = parsed.contained === 'both' ? await countAll(question) : { count: 0, exact: true };
    const { length } = await shownWithin(type, question);
    return searchset(question, { entries: [], total: { ...others, count: others.count + length } });
  }
  const first: Place = [parsed.contained === 'both' ? undefined : null, 0];
  const [cursor, start] = after === undefined ? first : (JSON.parse(after) as Place);
  const entries: Uint8Array[][] = [];
  if (cursor !== null) {
    const page = await searchPage(question, cursor);
    entries.push(...page.rows.map((row) => entryOf(row as LiveRow, 'match', question)));
    if (page.next !== undefined) return searchset(question, { entries, next: JSON.stringify([page.next, 0]) });
  }
  const shown = await shownWithin(type, question);
  const end = start + Math.max(0, parsed.count - entries.length);
  entries.push(...shown.slice(start, end).map((match) => entryWithin(match, question)));
  return searchset(question, {
    entries,
    ...(parsed.contained === 'true' ? { total: { count: shown.length, exact: true } } : {}),
    next: end < shown.length ? JSON.stringify([null, end]) : undefined,
  });
}

/** The one type searched. */
function requirePlain({ parsed }: Question): string {
  const [type, ...more] = parsed.types;
  if (type === undefined || more.length > 0) throw new FhirError('not-supported', '_contained searches one type.');
  const without = [
    ...(parsed.sort.length > 0 ? ['_sort'] : []),
    ...(parsed.asOf === undefined ? [] : ['_asOf']),
    ...(parsed.includes.length > 0 ? ['_include'] : []),
    ...(parsed.revincludes.length > 0 ? ['_revinclude'] : []),
    ...lookingElsewhere(parsed.criteria),
  ];
  if (without.length === 0) return type;
  throw new FhirError('not-supported', `_contained cannot be combined with ${without.join(', ')}.`);
}

/** The contained matches; where the containers are shown, one for each of these. */
async function shownWithin(type: string, { parsed, wheres, caller, context }: Question): Promise<ContainedMatch[]> {
  const matches = await containedMatches(type, wheres.get(type) ?? { kind: 'none' }, caller, context);
  if (parsed.containedType === 'contained') return matches;
  return [...new Map(matches.map((match) => [`${match.container.type}/${match.container.id}`, match])).values()];
}

function entryWithin(match: ContainedMatch, question: Question): Uint8Array[] {
  const { parsed, context } = question;
  if (parsed.containedType === 'container') return entryOf(match.container, 'match', question);
  const { container, id, body } = match;
  // "The fullUrl is that of the container, with the fragment of the contained resource."
  const fullUrl = `${context.baseUrl}/${container.type}/${container.id}#${id}`;
  const { selection } = parsed;
  const part = selection === undefined ? body : subset(body, selection, context.definitions);
  return entryWith(fullUrl, [part], { search: { mode: 'match' } });
}

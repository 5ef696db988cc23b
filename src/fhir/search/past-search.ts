// The answer to a search with _asOf; as-of.ts finds what it found then.
import { FhirError } from '../../base/outcome.ts';
import type { Answer } from '../interaction.ts';
import { idsAsOf, rowsAsOf } from './as-of.ts';
import { lookingElsewhere } from './criteria.ts';
import { keepIds, keptIds } from './kept-ids.ts';
import type { LiveRow, Question } from './question.ts';
import { entryOf, searchset } from './searchset.ts';

/** One page; the cursor names the ids that the first page found, and the place among them. */
export async function pastAnswer(question: Question, asOf: number, after: string | undefined): Promise<Answer> {
  const { parsed, wheres, caller, context } = question;
  const [type, ...more] = parsed.types;
  if (type === undefined || more.length > 0 || parsed.includes.length > 0 || parsed.revincludes.length > 0) {
    throw new FhirError('not-supported', '_asOf searches one type, and without _include and _revinclude.');
  }
  const [elsewhere] = [...lookingElsewhere(parsed.criteria), ...chainedOrders(parsed)];
  if (elsewhere !== undefined) {
    throw new FhirError(
      'not-supported',
      `_asOf cannot be combined with "${elsewhere}": what it looks at may have been another then.`,
    );
  }
  const [kept, start] = after === undefined ? [undefined, 0] : (JSON.parse(after) as [string, number]);
  const where = wheres.get(type) ?? { kind: 'none' };
  const ids =
    kept === undefined
      ? await idsAsOf({ type, where, sort: parsed.sort, asOf }, caller, context)
      : await keptIds(kept, context);
  const end = parsed.countOnly ? start : start + parsed.count;
  const rows = await rowsAsOf(type, ids.slice(start, end), asOf, caller.filters.s, context);
  const live = rows.filter((row): row is LiveRow => row.body !== null);
  const isMore = end > start && end < ids.length;
  return searchset(question, {
    entries: live.map((row) => entryOf(row, 'match', question)),
    total: { count: ids.length, exact: true },
    next: isMore ? JSON.stringify([kept ?? (await keepIds(ids, context)), end]) : undefined,
  });
}

const chainedOrders = ({ sort }: Question['parsed']): string[] =>
  sort.flatMap(({ chain, parameter }) =>
    chain === undefined ? [] : [`_sort=${chain.parameter.code}.${parameter.code}`],
  );

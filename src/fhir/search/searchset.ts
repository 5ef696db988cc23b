// The searchset that answers a question: what was found and included, outcomes, total and links.
// https://hl7.org/fhir/R4/search.html#return
import { limits } from '../../base/limits.ts';
import { operationOutcome } from '../../base/outcome.ts';
import type { Count } from '../../store/store.ts';
import { type BundleLink, bundlePieces, outcomeEntry, searchEntry } from '../bundle.ts';
import type { Answer } from '../interaction.ts';
import { pageUrl } from '../page-link.ts';
import { subset } from '../subset.ts';
import type { SearchRequest } from './parse.ts';
import type { LiveRow, Question } from './question.ts';

export interface Result {
  /** Entries of matches, then of what they include. */
  entries: Uint8Array[][];
  total?: Count | undefined;
  /** Where the next page begins. */
  next?: string | undefined;
}

export async function searchset(question: Question, { entries, total, next }: Result): Promise<Answer> {
  const { scope, parsed, context } = question;
  const outcomes = [
    ...(parsed.ignored.length > 0 ? [outcomeEntry(ignoredOutcome(parsed))] : []),
    ...(total?.exact === false ? [outcomeEntry(operationOutcome([estimateIssue]))] : []),
  ];
  const links = [selfLink(question)];
  if (next !== undefined) {
    const url = await pageUrl({ path: scope.path, query: parsed.self, cursor: next }, context);
    links.push({ relation: 'next', url });
  }
  const head = { type: 'searchset', ...(total === undefined ? {} : { total: total.count }), link: links };
  return {
    status: 200,
    headers: {},
    body: bundlePieces(head, [...entries, ...outcomes]),
    interaction: scope.interaction,
  };
}

function selfLink({ scope: { path }, parsed, context }: Question): BundleLink {
  const query = parsed.self === '' ? '' : `?${parsed.self}`;
  return { relation: 'self', url: `${context.baseUrl}${path === '' ? '' : `/${path}`}${query}` };
}

/** A row as it is sent: the part that `_summary` or `_elements` ask for. */
export function entryOf(row: LiveRow, mode: 'match' | 'include', { parsed, context }: Question): Uint8Array[] {
  const { selection } = parsed;
  const body = selection === undefined ? row.body : subset(row.body, selection, context.definitions);
  return searchEntry({ ...row, body }, mode, context.baseUrl);
}

function ignoredOutcome(parsed: SearchRequest): unknown {
  return operationOutcome(
    parsed.ignored.map((issue) => ({
      ...issue,
      severity: 'warning',
      diagnostics: `Left out of this search: ${issue.diagnostics}`,
    })),
  );
}

const estimateIssue = {
  severity: 'information' as const,
  code: 'too-costly' as const,
  diagnostics: `Counting stopped at ${limits.totalMax}; there are at least as many matches as the total says.`,
};

// _text and _content: the words of the narrative, and of everything that a resource says.
// https://hl7.org/fhir/R4/search.html#text, https://hl7.org/fhir/R4/search.html#content
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import { folded } from '../../base/text.ts';
import type { Condition, Key, Term } from '../../store/store.ts';
import { terms } from './keys.ts';

/** Members that say nothing to a reader: identity, addresses, encoded data; the narrative has a list of its own. */
const UNREAD: ReadonlySet<string> = new Set([
  'resourceType',
  'id',
  'meta',
  'url',
  'system',
  'reference',
  'fullUrl',
  'contentType',
  'data',
  'hash',
  'div',
]);
const DATE = /^\d{4}(-\d\d){1,2}(T|$)/;

/** The words of a resource, folded, none twice: of its narrative and of the rest. */
export function wordsOfResource(resource: object): { narrative: Set<string>; content: Set<string> } {
  const { text } = resource as { text?: { div?: unknown } };
  const narrative = new Set<string>();
  if (typeof text?.div === 'string') addWords(withoutTags(text.div), narrative, limits.narrativeWordsMax);
  const content = new Set<string>(narrative);
  addContent(resource, content);
  return { narrative, content };
}

function addContent(value: unknown, out: Set<string>): void {
  if (out.size >= limits.contentWordsMax) return;
  if (typeof value === 'string') {
    if (!DATE.test(value)) addWords(value, out, limits.contentWordsMax);
  } else if (Array.isArray(value)) for (const one of value) addContent(one, out);
  else if (typeof value === 'object' && value !== null) {
    for (const [name, member] of Object.entries(value)) if (!UNREAD.has(name)) addContent(member, out);
  }
}

const withoutTags = (xhtml: string): string =>
  xhtml
    .replace(/<[^>]*>/g, ' ')
    .replace(/&#(?:x([0-9a-f]{1,6})|(\d{1,7}));/gi, (_, hex, decimal) =>
      character(hex ? Number.parseInt(hex, 16) : decimal),
    )
    .replace(/&[a-z]{1,10};/gi, ' ');

const character = (code: unknown): string => (Number(code) <= 0x10ffff ? String.fromCodePoint(Number(code)) : ' ');

const WORD = /[\p{L}\p{N}]+/gu;
const WORD_CHARS_MAX = 40;

function addWords(text: string, out: Set<string>, max: number): void {
  for (const [word] of folded(text).matchAll(WORD)) {
    if (out.size >= max) return;
    if (word.length > 1) out.add(word.slice(0, WORD_CHARS_MAX).toWellFormed());
  }
}

/** The terms of the words of a list. */
export const wordTerms = (prefix: Key, words: ReadonlySet<string>): Term[] =>
  [...words].map((word) => terms.word(prefix, word));

/**
 * What a value of `_text` or `_content` asks for: all of its words; `word*` for a beginning, `-word` or `NOT word` for
 * what must not occur, `OR` between alternatives. Words that belong together in quotes must all occur.
 */
export function textCondition(prefix: Key, query: string, name: string): Condition {
  const alternatives = query.split(/\s+OR\s+/).map((part) => allWords(prefix, part, name));
  return alternatives.length === 1 && alternatives[0] !== undefined
    ? alternatives[0]
    : { kind: 'or', of: alternatives };
}

function allWords(prefix: Key, text: string, name: string): Condition {
  const of: Condition[] = [];
  let isPositive = false;
  let negated = false;
  for (const part of text.split(/\s+/)) {
    if (part === 'NOT') {
      negated = true;
      continue;
    }
    const isNot: boolean = negated || part.startsWith('-');
    negated = false;
    const words = wordConditions(prefix, part);
    if (words.length === 0) continue;
    isPositive ||= !isNot;
    if (isNot) of.push({ kind: 'not', of: { kind: 'and', of: words } });
    else of.push(...words);
  }
  if (!isPositive) {
    throw new FhirError('invalid', `"${name}" takes words of two or more letters or digits, of which one must occur.`);
  }
  if (of.length > limits.searchWordsMax) {
    throw new FhirError('too-costly', `"${name}" takes at most ${limits.searchWordsMax} words.`);
  }
  return { kind: 'and', of };
}

function wordConditions(prefix: Key, part: string): Condition[] {
  const found = [...folded(part).matchAll(WORD)].map(([word]) => word.slice(0, WORD_CHARS_MAX).toWellFormed());
  return found.flatMap((word, at): Condition[] => {
    const isBeginning = at === found.length - 1 && part.endsWith('*');
    if (word.length < 2 && !isBeginning) return [];
    return [{ kind: 'term', term: terms.word(prefix, word), ...(isBeginning ? { prefix: true } : {}) }];
  });
}

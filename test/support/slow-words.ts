// The words of a resource, and whether they are what _text and _content ask for.
// https://hl7.org/fhir/R4/search.html#content
import type { WordQuery } from './slow-criteria.ts';
import { folded } from './slow-values.ts';

/** Members that nobody reads: identity, addresses, encoded data. */
const UNREAD = 'resourceType id meta url system reference fullUrl contentType data hash div'.split(' ');
const WORD_CHARS = 40;

export interface Words {
  narrative: ReadonlySet<string>;
  content: ReadonlySet<string>;
}

export function wordsIn(resource: object): Words {
  const { div } = (resource as { text?: { div?: string } }).text ?? {};
  const narrative = wordsOf(div === undefined ? '' : readable(div));
  return { narrative: new Set(narrative), content: new Set([...narrative, ...textsIn(resource).flatMap(wordsOf)]) };
}

function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return /^\d{4}-\d\d(-\d\d)?(T.*)?$/.test(value) ? [] : [value];
  if (typeof value !== 'object' || value === null) return [];
  if (Array.isArray(value)) return value.flatMap(textsIn);
  return Object.entries(value).flatMap(([name, member]) => (UNREAD.includes(name) ? [] : textsIn(member)));
}

/** Two or more letters or digits in a row, folded. */
export function wordsOf(text: string): string[] {
  return folded(text)
    .split(/[^\p{L}\p{N}]+/u)
    .map((word) => word.slice(0, WORD_CHARS))
    .filter((word) => word.length > 1);
}

/** XHTML as it is read: tags are gaps, characters by number are characters, `&amp;` and the like are signs. */
function readable(xhtml: string): string {
  let text = '';
  let inTag = false;
  for (const part of xhtml.split(/([<>])/)) {
    if (part === '<') inTag = true;
    else if (part === '>') inTag = false;
    else text += inTag ? ' ' : part;
  }
  return text.replace(/&(#x?)?([^;&]+);/g, (_, number: string | undefined, name: string) => {
    if (number === undefined) return ' ';
    return String.fromCodePoint(Number.parseInt(name, number === '#x' ? 16 : 10));
  });
}

export function wordsFit(words: ReadonlySet<string>, asked: WordQuery): boolean {
  switch (asked.kind) {
    case 'and':
      return asked.of.every((one) => wordsFit(words, one));
    case 'or':
      return asked.of.some((one) => wordsFit(words, one));
    case 'not':
      return !wordsFit(words, asked.of);
    case 'word': {
      const word = folded(asked.text).slice(0, WORD_CHARS);
      return asked.isBeginning ? [...words].some((one) => one.startsWith(word)) : words.has(word);
    }
  }
}

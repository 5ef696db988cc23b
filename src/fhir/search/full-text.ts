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
    for (const name in value) if (!UNREAD.has(name)) addContent((value as Record<string, unknown>)[name], out);
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
  for (const word of wordsOf(text)) {
    if (out.size >= max) return;
    out.add(word);
  }
}

/** Words of texts that come again and again, such as displays and units: a third of what it costs to index a resource. */
const remembered = new Map<string, readonly string[]>();
const REMEMBERED_MAX = 5_000;
const REMEMBERED_CHARS_MAX = 100;

function wordsOf(text: string): readonly string[] {
  if (text.length > REMEMBERED_CHARS_MAX) return splitWords(text);
  let words = remembered.get(text);
  if (words === undefined) {
    words = splitWords(text);
    if (remembered.size >= REMEMBERED_MAX) remembered.clear();
    remembered.set(text, words);
  }
  return words;
}

const splitWords = (text: string): string[] =>
  (folded(text).match(WORD) ?? [])
    .filter((word) => word.length > 1)
    .map((word) => word.slice(0, WORD_CHARS_MAX).toWellFormed());

/** The terms of the words of a list. */
export const wordTerms = (prefix: Key, words: ReadonlySet<string>): Term[] =>
  [...words].map((word) => terms.word(prefix, word));

/**
 * What a value of `_text` or `_content` asks for, as in `(bone OR liver) and metastases`: all of its words; `OR` between
 * alternatives, brackets around them, `word*` for a beginning, `-word` or `NOT word` for what must not occur. Of a text in
 * quotes all words must occur. AND, OR and NOT may be written in small letters.
 */
export function textCondition(prefix: Key, query: string, name: string): Condition {
  const reader = new TextReader(query, prefix, name);
  const { condition, isPositive } = reader.alternatives(0);
  reader.end();
  if (condition === undefined || !isPositive) {
    throw new FhirError('invalid', `"${name}" takes words of two or more letters or digits, of which one must occur.`);
  }
  return condition;
}

/** `isPositive`: a word must occur for it to hold. Without a condition nothing was asked that can be looked up. */
interface Asked {
  condition?: Condition;
  isPositive: boolean;
}

class TextReader {
  readonly #tokens: readonly string[];
  readonly #prefix: Key;
  readonly #name: string;
  #at = 0;
  #words = 0;

  constructor(query: string, prefix: Key, name: string) {
    this.#tokens = query.match(/-?\(|\)|-?"[^"]*"?|[^\s()"]+/g) ?? [];
    this.#prefix = prefix;
    this.#name = name;
  }

  alternatives(depth: number): Asked {
    if (depth > limits.filterDepthMax) {
      throw new FhirError('too-costly', `"${this.#name}" may be nested ${limits.filterDepthMax} deep.`);
    }
    const of = [this.#all(depth)];
    while (this.#next(/^or$/i)) of.push(this.#all(depth));
    const asked = of.filter(({ condition }) => condition !== undefined);
    return { ...joined('or', asked), isPositive: asked.every(({ isPositive }) => isPositive) };
  }

  end(): void {
    if (this.#at < this.#tokens.length) throw this.#unbalanced();
  }

  #all(depth: number): Asked {
    const asked: Asked[] = [];
    for (let token = this.#tokens[this.#at]; token !== undefined; token = this.#tokens[this.#at]) {
      if (token === ')' || /^or$/i.test(token)) break;
      if (!this.#next(/^and$/i)) asked.push(this.#operand(depth));
    }
    return { ...joined('and', asked), isPositive: asked.some(({ isPositive }) => isPositive) };
  }

  #operand(depth: number): Asked {
    let isNot = false;
    while (this.#next(/^not$/i)) isNot = !isNot;
    const token = this.#tokens[this.#at++] ?? '';
    if (token === ')') throw this.#unbalanced();
    const asked = token.endsWith('(') ? this.#group(depth) : this.#wordsOf(token);
    if (token.startsWith('-')) isNot = !isNot;
    if (!isNot || asked.condition === undefined) return asked;
    return { condition: { kind: 'not', of: asked.condition }, isPositive: false };
  }

  #group(depth: number): Asked {
    const asked = this.alternatives(depth + 1);
    if (!this.#next(/^\)$/)) throw this.#unbalanced();
    return asked;
  }

  #wordsOf(text: string): Asked {
    const of = wordConditions(this.#prefix, text);
    this.#words += of.length;
    if (this.#words > limits.searchWordsMax) {
      throw new FhirError('too-costly', `"${this.#name}" takes at most ${limits.searchWordsMax} words.`);
    }
    return joined(
      'and',
      of.map((condition) => ({ condition, isPositive: true })),
    );
  }

  #next(pattern: RegExp): boolean {
    const isNext = pattern.test(this.#tokens[this.#at] ?? '');
    if (isNext) this.#at++;
    return isNext;
  }

  #unbalanced(): FhirError {
    return new FhirError('invalid', `"${this.#name}": each "(" needs its ")".`);
  }
}

function joined(kind: 'and' | 'or', asked: readonly Asked[]): Asked {
  const of = asked.flatMap(({ condition }) => condition ?? []);
  const [only] = of;
  if (only === undefined) return { isPositive: false };
  return { condition: of.length === 1 ? only : { kind, of }, isPositive: true };
}

function wordConditions(prefix: Key, part: string): Condition[] {
  const found = [...folded(part).matchAll(WORD)].map(([word]) => word.slice(0, WORD_CHARS_MAX).toWellFormed());
  return found.flatMap((word, at): Condition[] => {
    const isBeginning = at === found.length - 1 && part.endsWith('*');
    if (word.length < 2 && !isBeginning) return [];
    return [{ kind: 'term', term: terms.word(prefix, word), ...(isBeginning ? { prefix: true } : {}) }];
  });
}

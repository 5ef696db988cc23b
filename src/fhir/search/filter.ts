// The grammar of _filter: text → tree. What its names mean is the parser's business (parse.ts).
// https://hl7.org/fhir/R4/search_filter.html
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';

export const FILTER_OPERATORS = [
  'eq',
  'ne',
  'co',
  'sw',
  'ew',
  'gt',
  'lt',
  'ge',
  'le',
  'ap',
  'sa',
  'eb',
  'pr',
  'po',
  'ss',
  'sb',
  'in',
  'ni',
  're',
] as const;
export type FilterOperator = (typeof FILTER_OPERATORS)[number];

export type Filter =
  | { kind: 'and' | 'or'; of: readonly Filter[] }
  | { kind: 'not'; of: Filter }
  | { kind: 'compare'; path: readonly FilterStep[]; operator: FilterOperator; value: string };

/** A parameter of the path; `where` restricts what a reference leads to. */
export interface FilterStep {
  name: string;
  where?: Filter;
}

/** Throws FhirError('invalid') with the place at which the text is not a filter. */
export function parseFilter(text: string): Filter {
  const reader = new FilterReader(text);
  const filter = reader.operands(0);
  reader.end();
  return filter;
}

const LOGICAL = ['and', 'or'] as const;

class FilterReader {
  readonly #text: string;
  #at = 0;
  #comparisons = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** "Logical expressions are evaluated left to right, with no precedence between and and or." */
  operands(depth: number): Filter {
    let left = this.#operand(depth);
    for (;;) {
      const word = LOGICAL.find((one) => this.#word(one));
      if (word === undefined) return left;
      const right = this.#operand(depth);
      left = left.kind === word ? { kind: word, of: [...left.of, right] } : { kind: word, of: [left, right] };
    }
  }

  end(): void {
    this.#space();
    if (this.#at < this.#text.length) throw this.#wrong('"and", "or" or the end is expected');
  }

  #operand(depth: number): Filter {
    if (depth >= limits.filterDepthMax) {
      throw new FhirError('too-costly', `_filter may be nested ${limits.filterDepthMax} deep.`);
    }
    this.#space();
    if (this.#text[this.#at] === '(') return this.#group(depth);
    const start = this.#at;
    if (this.#word('not')) {
      this.#space();
      if (this.#text[this.#at] === '(') return { kind: 'not', of: this.#group(depth) };
      this.#at = start;
    }
    return this.#comparison(depth);
  }

  #group(depth: number): Filter {
    this.#at++;
    const filter = this.operands(depth + 1);
    this.#space();
    if (this.#text[this.#at] !== ')') throw this.#wrong('")" is expected');
    this.#at++;
    return filter;
  }

  #comparison(depth: number): Filter {
    if (++this.#comparisons > limits.searchParametersMax) {
      throw new FhirError('too-costly', `_filter has at most ${limits.searchParametersMax} comparisons.`);
    }
    const path = this.#path(depth);
    const text = this.#match(/\s+([a-z]{2})(?=\s|$)/y)?.[1];
    const operator = FILTER_OPERATORS.find((one) => one === text);
    if (operator === undefined) throw this.#wrong(`one of ${FILTER_OPERATORS.join(', ')} is expected`);
    this.#space();
    return { kind: 'compare', path, operator, value: this.#value() };
  }

  #path(depth: number): FilterStep[] {
    const path: FilterStep[] = [];
    for (;;) {
      const name = this.#match(/[A-Za-z_][A-Za-z0-9_:-]*/y)?.[0];
      if (name === undefined) throw this.#wrong('the name of a search parameter is expected');
      const where = this.#restriction(depth);
      path.push(where === undefined ? { name } : { name, where });
      if (this.#text[this.#at] !== '.') {
        if (where === undefined) return path;
        throw this.#wrong('"." and what is compared of it is expected');
      }
      this.#at++;
      if (path.length > limits.chainDepthMax) {
        throw new FhirError('too-costly', `A chain has at most ${limits.chainDepthMax} steps.`);
      }
    }
  }

  #restriction(depth: number): Filter | undefined {
    if (this.#text[this.#at] !== '[') return undefined;
    this.#at++;
    const where = this.operands(depth + 1);
    this.#space();
    if (this.#text[this.#at] !== ']') throw this.#wrong('"]" is expected');
    this.#at++;
    return where;
  }

  /** A text in quotes with JSON's escapes, or everything up to a space or closing bracket. */
  #value(): string {
    const quoted = this.#match(/"(?:[^"\\]|\\.)*"/y)?.[0];
    if (quoted !== undefined) {
      try {
        return JSON.parse(quoted) as string;
      } catch {
        throw this.#wrong('a text in quotes has the escapes of JSON');
      }
    }
    const plain = this.#match(/[^\s)\]"][^\s)\]]*/y)?.[0];
    if (plain === undefined) throw this.#wrong('a value is expected');
    return plain;
  }

  #word(word: string): boolean {
    return this.#match(new RegExp(`\\s*${word}(?=[\\s(]|$)`, 'y')) !== undefined;
  }

  #space(): void {
    this.#match(/\s*/y);
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) return undefined;
    this.#at = pattern.lastIndex;
    return match;
  }

  #wrong(expected: string): FhirError {
    return new FhirError('invalid', `_filter, at character ${this.#at + 1}: ${expected}.`);
  }
}

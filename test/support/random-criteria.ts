// Made-up searches from a seed; most of their values are made from values that some resource has.
import type { Definitions, SearchParameter } from '../../src/model/definitions.ts';
import type { TypedValue } from '../../src/model/search-accessors.ts';
import { alternatives, askedFor, tokenFor } from './random-asked.ts';
import { madeTypes } from './random-resources.ts';
import { below, pick, type Random } from './random-search.ts';
import { chance, madeIds, some } from './random-values.ts';
import type {
  FilterComparison,
  FilterStep,
  SearchValue,
  SlowCriterion,
  SlowFilter,
  SlowSelection,
  WordQuery,
} from './slow-criteria.ts';
import type { ChainedOrder, SlowSearch } from './slow-search.ts';
import { wordsOf } from './slow-words.ts';

export interface MadeSearch {
  type: string;
  criteria: SlowCriterion[];
  sort: MadeOrder[];
  selection?: SlowSelection;
  /** What was there at this instant is searched, ms since the epoch. */
  asOf?: number;
}

/** A parameter, or one of what a reference leads to. */
export type MadeOrder = { descending: boolean } & ({ code: string } | { chain: ChainedOrder });

export class SearchMaker {
  readonly #random: Random;
  readonly #slow: SlowSearch;
  readonly #definitions: Definitions;

  constructor(random: Random, slow: SlowSearch, definitions: Definitions) {
    this.#random = random;
    this.#slow = slow;
    this.#definitions = definitions;
  }

  /** `instants`: of the past, which can be searched. */
  search(instants: readonly number[]): MadeSearch {
    const random = this.#random;
    const type = pick(random, madeTypes);
    if (instants.length > 0 && chance(random, 0.06)) return this.#pastSearch(type, pick(random, instants));
    const criteria = Array.from({ length: pick(random, [0, 1, 1, 1, 1, 2, 2, 3]) }, () => this.#criterion(type, 2));
    const sort = Array.from({ length: pick(random, [0, 0, 0, 1, 1, 2]) }, () =>
      chance(random, 0.1) ? this.#chainedOrder(type) : this.#order(type),
    );
    return { type, criteria, sort, ...(chance(random, 0.15) ? { selection: this.#selection(type) } : {}) };
  }

  /** Of parameters and orders about a resource itself: what others were like then is not known. */
  #pastSearch(type: string, asOf: number): MadeSearch {
    const random = this.#random;
    const criteria = Array.from({ length: pick(random, [0, 1, 1, 2]) }, () => this.#parameter(type)).filter(
      ({ kind, ...rest }) => kind === 'composite' || !('code' in rest) || rest.code !== 'near',
    );
    const sort = Array.from({ length: pick(random, [0, 1, 2]) }, () => this.#order(type));
    return { type, criteria, sort, asOf };
  }

  #order(type: string): MadeOrder {
    const sortable = this.#codes(type).filter((code) => this.#isSortable(type, code));
    return { code: pick(this.#random, sortable), descending: chance(this.#random, 0.5) };
  }

  #chainedOrder(type: string): MadeOrder {
    const step = this.#step(type);
    if (step === undefined) return this.#order(type);
    const { code, target } = step;
    const sortable = this.#codes(target).filter((one) => this.#isSortable(target, one) && !one.startsWith('_'));
    const chain = { code, target, next: pick(this.#random, sortable) };
    return { chain, descending: chance(this.#random, 0.5) };
  }

  #isSortable(type: string, code: string): boolean {
    const { type: kind } = this.#slow.parameter(type, code);
    return code !== '_id' && kind !== 'composite' && kind !== 'special' && !code.startsWith('combo-');
  }

  #selection(type: string): SlowSelection {
    if (chance(this.#random, 0.4)) return { kind: pick(this.#random, ['true', 'text', 'data']) };
    const members = [...(this.#definitions.type(type)?.members.values() ?? [])];
    const names = members.map(({ name, choice }) => (chance(this.#random, 0.5) ? (choice ?? name) : name));
    return { kind: 'elements', elements: some(this.#random, 4, () => pick(this.#random, names)) };
  }

  /** Parameters that are about content and can be searched. */
  #codes(type: string): string[] {
    return [...this.#definitions.searchParameters(type).values()]
      .filter(({ expression }) => expression !== '')
      .map(({ code }) => code);
  }

  #codesOfKind(type: string, kind: SearchParameter['type']): string[] {
    return this.#codes(type).filter((code) => this.#slow.parameter(type, code).type === kind);
  }

  /** A parameter of a kind picked first, since there are few numbers; one that has values here, in most cases. */
  #code(type: string, codes: readonly string[]): string {
    const kinds = [...new Set(codes.map((code) => this.#slow.parameter(type, code).type))];
    for (let tries = 0; tries < 6; tries++) {
      const kind = pick(this.#random, kinds);
      const code = pick(
        this.#random,
        codes.filter((one) => this.#slow.parameter(type, one).type === kind),
      );
      if (code === '_id' || this.#stored(type, code).length > 0) return code;
    }
    return pick(this.#random, codes);
  }

  #stored(type: string, code: string): TypedValue[] {
    return this.#slow.ofType(type).flatMap((resource) => this.#slow.values(resource, code));
  }

  #criterion(type: string, depth: number): SlowCriterion {
    const random = this.#random;
    const kind = random();
    if (depth > 0 && kind < 0.14) return this.#chain(type, depth) ?? this.#parameter(type);
    if (depth > 0 && kind < 0.28) return this.#has(type, depth) ?? this.#parameter(type);
    if (kind < 0.36) return { kind: 'filter', filter: this.#filter(type, 3, depth) };
    if (kind < 0.42) return this.#words(type) ?? this.#parameter(type);
    if (kind < 0.46) return { kind: 'list', ids: some(random, 2, () => pick(random, madeIds)) };
    return this.#parameter(type);
  }

  #chain(type: string, depth: number): SlowCriterion | undefined {
    const step = this.#step(type);
    if (step === undefined) return undefined;
    const { code, target } = step;
    const next = this.#criterion(target, depth - 1);
    const isUntyped = chance(this.#random, 0.5) && next.kind === 'parameter' && this.#meansTheSame(step, next.code);
    return isUntyped ? { kind: 'chain', code, next } : { kind: 'chain', code, target, next };
  }

  /** A reference of a type, and one of the types that it may lead to. */
  #step(type: string): { code: string; target: string; targets: readonly string[] } | undefined {
    const references = this.#codesOfKind(type, 'reference');
    if (references.length === 0) return undefined;
    const code = this.#code(type, references);
    const { targets } = this.#slow.parameter(type, code);
    const made = madeTypes.filter((one) => targets.length === 0 || targets.includes(one));
    return made.length === 0 ? undefined : { code, target: pick(this.#random, made), targets };
  }

  /** Without a target type the step is read on each type that has the parameter: its kind must be the same. */
  #meansTheSame({ target, targets }: { target: string; targets: readonly string[] }, code: string): boolean {
    const kinds = targets.flatMap((one) => this.#definitions.searchParameters(one).get(code)?.type ?? []);
    return targets.length > 0 && kinds.every((one) => one === this.#slow.parameter(target, code).type);
  }

  #has(type: string, depth: number): SlowCriterion | undefined {
    const referring = madeTypes.flatMap((other) =>
      this.#codesOfKind(other, 'reference')
        .filter((code) => this.#slow.parameter(other, code).targets.includes(type))
        .map((code) => ({ other, code })),
    );
    if (referring.length === 0) return undefined;
    const { other, code } = pick(this.#random, referring);
    return { kind: 'has', type: other, code, next: this.#criterion(other, depth - 1) };
  }

  // ---- parameters ----

  #parameter(type: string): SlowCriterion {
    const random = this.#random;
    const code = this.#code(type, this.#codes(type));
    const parameter = this.#slow.parameter(type, code);
    if (code === '_id') {
      const values = some(random, 4, (): SearchValue => ({ kind: 'text', text: pick(random, madeIds) }));
      return { kind: 'parameter', code, ...(chance(random, 0.2) ? { modifier: 'not' } : {}), values };
    }
    if (parameter.type === 'composite') {
      const tuple = (): SearchValue[] => this.#tuple(type, code);
      return { kind: 'composite', code, values: chance(random, 0.2) ? some(random, 2, tuple) : [tuple()] };
    }
    if (chance(random, 0.08) && code !== '_lastUpdated') {
      const text = pick(random, ['true', 'false']);
      return { kind: 'parameter', code, modifier: 'missing', values: [{ kind: 'text', text }] };
    }
    const modifier = this.#modifier(type, code);
    const values = alternatives(random, () => askedFor(random, parameter.type, modifier, this.#like(type, code)));
    return { kind: 'parameter', code, ...(modifier === undefined ? {} : { modifier }), values };
  }

  #like(type: string, code: string): TypedValue | undefined {
    const stored = this.#stored(type, code);
    return stored.length > 0 && chance(this.#random, 0.85) ? pick(this.#random, stored) : undefined;
  }

  #modifier(type: string, code: string): string | undefined {
    const random = this.#random;
    const { type: kind, targets } = this.#slow.parameter(type, code);
    if (chance(random, 0.55)) return undefined;
    switch (kind) {
      case 'string':
        return pick(random, ['exact', 'contains']);
      case 'token': {
        const isIdentifier = this.#stored(type, code).some((value) => value.type === 'Identifier');
        if (isIdentifier && chance(random, 0.5)) return 'of-type';
        return pick(random, ['not', 'text', 'text', 'in', 'not-in', 'above', 'below']);
      }
      case 'uri':
        return pick(random, ['below', 'above']);
      case 'reference':
        return chance(random, 0.5) ? 'identifier' : pick(random, targets.length > 0 ? targets : madeTypes);
      default:
        return undefined;
    }
  }

  /** A value for each component; in most cases like those of one element, else of several. */
  #tuple(type: string, code: string): SearchValue[] {
    const random = this.#random;
    const stored = this.#slow
      .ofType(type)
      .flatMap((resource) => this.#slow.componentValues(resource, code))
      .filter((values) => values.every((one) => one.length > 0));
    const row = stored.length === 0 ? undefined : pick(random, stored);
    return this.#slow.components(type, code).map(({ parameter }, at) => {
      const mixed = chance(random, 0.15) && stored.length > 0 ? pick(random, stored) : row;
      const values = mixed?.[at] ?? [];
      const like = values.length === 0 ? undefined : pick(random, values);
      if (parameter.type !== 'token') return askedFor(random, parameter.type, undefined, like);
      const token = tokenFor(random, like);
      // A text is found by the code before it, not by a system alone.
      const isOpen = code === 'code-value-string' && token.kind === 'token' && token.code === undefined;
      return isOpen ? { kind: 'token', code: 'a' } : token;
    });
  }

  // ---- _text, _content ----

  #words(type: string): SlowCriterion | undefined {
    const random = this.#random;
    const code = pick(random, ['_text', '_content'] as const);
    const known = this.#slow.ofType(type).flatMap((resource) => {
      const { narrative, content } = this.#slow.words(resource);
      return [...(code === '_text' ? narrative : content)];
    });
    if (known.length === 0) return undefined;
    const word = (): WordQuery => {
      const [text = 'bone'] = wordsOf(pick(random, known));
      const isBeginning = chance(random, 0.3);
      const letters = [...text];
      const cut = isBeginning ? letters.slice(0, 1 + below(random, letters.length)).join('') : text;
      return { kind: 'word', text: chance(random, 0.2) ? cut.toUpperCase() : cut, isBeginning };
    };
    const all = (): WordQuery => {
      const more = Array.from({ length: below(random, 3) }, (): WordQuery => {
        const kind = random();
        if (kind < 0.3) return { kind: 'not', of: word() };
        if (kind < 0.4) return { kind: 'not', of: { kind: 'or', of: [word(), word()] } };
        return kind < 0.6 ? { kind: 'or', of: [word(), word()] } : word();
      });
      return { kind: 'and', of: [word(), ...more] };
    };
    const asked: WordQuery = chance(random, 0.3) ? { kind: 'or', of: some(random, 3, all) } : all();
    return { kind: 'words', code, asked };
  }

  // ---- _filter ----

  #filter(type: string, size: number, depth: number): SlowFilter {
    const random = this.#random;
    const kind = random();
    if (size > 0 && kind < 0.45) {
      const [left, right] = [this.#filter(type, size - 1, depth), this.#filter(type, size - 1, depth)];
      return { kind: pick(random, ['and', 'or']), left, right };
    }
    if (size > 0 && kind < 0.58) return { kind: 'not', of: this.#filter(type, size - 1, depth) };
    return this.#path(type, depth);
  }

  #path(type: string, depth: number): FilterComparison | FilterStep {
    const random = this.#random;
    const step = depth > 0 && chance(random, 0.2) ? this.#step(type) : undefined;
    if (step === undefined) return this.#comparison(type);
    const { code, target } = step;
    const where = chance(random, 0.4) ? { where: this.#filter(target, 1, depth - 1) } : {};
    return { kind: 'step', code, target, ...where, next: this.#path(target, depth - 1) };
  }

  #comparison(type: string): FilterComparison {
    const random = this.#random;
    const code = this.#code(type, this.#codes(type));
    const { type: kind } = this.#slow.parameter(type, code);
    const compare = (operator: string, values: readonly SearchValue[]): FilterComparison => ({
      kind: 'compare',
      code,
      operator,
      values,
    });
    if (code === '_id') return compare(pick(random, ['eq', 'ne']), [{ kind: 'text', text: pick(random, madeIds) }]);
    if (chance(random, 0.08) && code !== '_lastUpdated')
      return compare('pr', [{ kind: 'text', text: pick(random, ['true', 'false']) }]);
    if (kind === 'composite') return compare('eq', this.#tuple(type, code));
    const like = this.#like(type, code);
    const all = OPERATORS[kind] ?? ['eq'];
    // An index has a canonical with and without its version, so that "another one" would always be found.
    const isCanonical = this.#stored(type, code).some((value) => value.type === 'canonical');
    const operators = isCanonical ? all.filter((one) => one !== 'ne') : all;
    const operator = pick(random, code === '_lastUpdated' ? PREFIXED : operators);
    return compare(operator, [this.#operand(kind, operator, like)]);
  }

  #operand(kind: string, operator: string, like: TypedValue | undefined): SearchValue {
    const asked = askedFor(this.#random, kind, kind === 'reference' ? undefined : operator, like);
    if (asked.kind === 'ordered') return { ...asked, prefix: '' };
    // "ne" is about codes.
    if (operator === 'ne' && asked.kind === 'token' && asked.code === undefined) return { kind: 'token', code: 'a' };
    return asked;
  }
}

const PREFIXED = ['eq', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap'];
const OPERATORS: Readonly<Record<string, readonly string[]>> = {
  string: ['eq', 'ne', 'co', 'sw', 'ew', 'gt', 'lt', 'ge', 'le'],
  token: ['eq', 'ne', 'in', 'ni', 'ss', 'sb'],
  date: [...PREFIXED, 'po', 'co'],
  number: PREFIXED,
  quantity: PREFIXED,
  reference: ['re', 'eq', 'ne'],
  uri: ['eq', 'ne', 'sw', 'ss', 'sb'],
};

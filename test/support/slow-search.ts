// What a FHIR search must find, decided slowly on the content of resources: every resource is looked at and its values
// are compared as the specification says, with no index keys. It shares only the definitions and the accessors of search
// expressions with the server. https://hl7.org/fhir/R4/search.html
import type { Definitions, SearchParameter } from '../../src/model/definitions.ts';
import { compileExpression, type TypedValue } from '../../src/model/search-accessors.ts';
import type {
  FilterComparison,
  FilterStep,
  OrderedValue,
  SearchValue,
  SlowCriterion,
  SlowFilter,
  StoredResource,
} from './slow-criteria.ts';
import { isNear, type Position } from './slow-near.ts';
import { codeName, SlowTerminology } from './slow-terminology.ts';
import {
  type CodingValue,
  codingsOf,
  dateSpan,
  folded,
  isOfType,
  quantitiesOf,
  quantityFits,
  readableTexts,
  type Span,
  spanFits,
  spanOf,
  startsLike,
  stringFits,
  textsOf,
  tokenFits,
  uriFits,
} from './slow-values.ts';
import { type Words, wordsFit, wordsIn } from './slow-words.ts';

export interface SlowContext {
  definitions: Definitions;
  baseUrl: string;
  timeZone: string;
}

/** What a resource sorts by in one parameter; null: no value; undefined: not decided here. */
export type SlowSortValue = string | number | null | undefined;

type ParameterCriterion = Extract<SlowCriterion, { kind: 'parameter' }>;

/** A parameter of what a reference leads to. */
export interface ChainedOrder {
  code: string;
  target: string;
  next: string;
}

/** A component of a composite parameter. */
export interface SlowComponent {
  parameter: SearchParameter;
  expression: string;
}

export class SlowSearch {
  readonly #context: SlowContext;
  /** Live resources by "Type/id". */
  readonly resources = new Map<string, StoredResource>();
  #terminology = new SlowTerminology(this.resources);
  readonly #accessors = new Map<string, (focus: object, resource?: object) => TypedValue[]>();
  readonly #values = new WeakMap<object, Map<string, TypedValue[]>>();
  readonly #words = new WeakMap<object, Words>();
  readonly #spans = new Map<string, Span>();

  constructor(context: SlowContext) {
    this.#context = context;
  }

  /** What is there now, to be searched later on. Codes keep meaning what they then mean. */
  snapshot(): SlowSearch {
    const copy = new SlowSearch(this.#context);
    for (const [name, resource] of this.resources) copy.resources.set(name, resource);
    copy.#terminology = this.#terminology;
    return copy;
  }

  put(resource: StoredResource): void {
    this.resources.set(`${resource.resourceType}/${resource.id}`, resource);
  }

  delete(type: string, id: string): void {
    this.resources.delete(`${type}/${id}`);
  }

  ofType(type: string): StoredResource[] {
    return [...this.resources.values()].filter(({ resourceType }) => resourceType === type);
  }

  /** `now`: ms since the epoch; `ap` on a date is relative to it. */
  search(type: string, criteria: readonly SlowCriterion[], now: number): StoredResource[] {
    return this.ofType(type).filter((resource) => criteria.every((criterion) => this.#holds(resource, criterion, now)));
  }

  /** Whether a resource, stored or not, meets all criteria. */
  meets(resource: StoredResource, criteria: readonly SlowCriterion[], now: number): boolean {
    return criteria.every((criterion) => this.#holds(resource, criterion, now));
  }

  /** The values that a search parameter selects. */
  values(resource: StoredResource, code: string): TypedValue[] {
    let known = this.#values.get(resource);
    if (known === undefined) {
      known = new Map();
      this.#values.set(resource, known);
    }
    let values = known.get(code);
    if (values === undefined) {
      const { expression } = this.parameter(resource.resourceType, code);
      values = this.#selected(resource.resourceType, expression, resource, resource);
      known.set(code, values);
    }
    return values;
  }

  /** Nothing where the expression selects nothing in the type of the focus. */
  #selected(type: string, expression: string, focus: object, resource: object): TypedValue[] {
    const name = `${type} ${expression}`;
    let accessor = this.#accessors.get(name);
    if (accessor === undefined) {
      try {
        accessor = compileExpression(this.#context.definitions, type, expression);
      } catch {
        accessor = () => [];
      }
      this.#accessors.set(name, accessor);
    }
    return accessor(focus, resource);
  }

  words(resource: StoredResource): Words {
    let words = this.#words.get(resource);
    if (words === undefined) {
      words = wordsIn(resource);
      this.#words.set(resource, words);
    }
    return words;
  }

  parameter(type: string, code: string): SearchParameter {
    const parameter = this.#context.definitions.searchParameters(type).get(code);
    if (parameter === undefined) throw new RangeError(`${type} has no ${code}`);
    return parameter;
  }

  /** "Type/id" of the live resources that a reference parameter leads to. */
  targets(resource: StoredResource, code: string): string[] {
    const local = this.values(resource, code).map((value) => this.#referenceText(value));
    return [...new Set(local)].filter((target) => target !== undefined && this.resources.has(target)) as string[];
  }

  /** The same, of one type, or of those that the parameter may refer to. */
  #followed(resource: StoredResource, code: string, wanted: string | undefined): StoredResource[] {
    const { targets } = this.parameter(resource.resourceType, code);
    return this.targets(resource, code)
      .flatMap((target) => this.resources.get(target) ?? [])
      .filter(({ resourceType }) => (wanted ?? resourceType) === resourceType)
      .filter(({ resourceType }) => targets.length === 0 || targets.includes(resourceType));
  }

  #holds(resource: StoredResource, criterion: SlowCriterion, now: number): boolean {
    switch (criterion.kind) {
      case 'chain':
        return this.#followed(resource, criterion.code, criterion.target).some(
          (found) => this.#exists(found.resourceType, criterion.next) && this.#holds(found, criterion.next, now),
        );
      case 'has': {
        const own = `${resource.resourceType}/${resource.id}`;
        return this.ofType(criterion.type).some(
          (other) => this.targets(other, criterion.code).includes(own) && this.#holds(other, criterion.next, now),
        );
      }
      case 'parameter':
        return this.#matches(resource, criterion, now);
      case 'composite':
        return criterion.values.some((tuple) => this.#combines(resource, criterion.code, tuple, now));
      case 'words': {
        const { narrative, content } = this.words(resource);
        return wordsFit(criterion.code === '_text' ? narrative : content, criterion.asked);
      }
      case 'list':
        return criterion.ids.some((id) => this.listed(id).has(`${resource.resourceType}/${resource.id}`));
      case 'filter':
        return this.#passes(resource, criterion.filter, now);
    }
  }

  /** Whether a type has the parameter that a step of a chain asks for. */
  #exists(type: string, criterion: SlowCriterion): boolean {
    return (
      !('code' in criterion) ||
      criterion.kind === 'has' ||
      this.#context.definitions.searchParameters(type).has(criterion.code)
    );
  }

  #matches(resource: StoredResource, criterion: ParameterCriterion, now: number): boolean {
    const { code, modifier, values } = criterion;
    if (code === '_id') {
      const found = values.some((value) => value.kind === 'text' && value.text === resource.id);
      return modifier === 'not' ? !found : found;
    }
    const stored = this.values(resource, code);
    if (modifier === 'missing') {
      return values.some((value) => value.kind === 'text' && value.text === String(stored.length === 0));
    }
    const parameter = this.parameter(resource.resourceType, code);
    const found = values.some((value) => stored.some((one) => this.#fits(one, value, parameter, modifier, now)));
    return modifier === 'not' || modifier === 'not-in' ? !found : found;
  }

  #fits(
    stored: TypedValue,
    asked: SearchValue,
    parameter: SearchParameter,
    modifier: string | undefined,
    now: number,
  ): boolean {
    switch (parameter.type) {
      case 'string':
        return asked.kind === 'text' && textsOf(stored).some((text) => stringFits(text, asked.text, modifier));
      case 'token':
        return this.#tokenFits(stored, asked, modifier);
      case 'reference':
        return this.#referenceFits(stored, asked, parameter, modifier);
      case 'uri':
        return asked.kind === 'text' && uriFits(String(stored.value), asked.text, modifier);
      case 'date':
        return asked.kind === 'ordered' && this.dateFits(stored, asked, now);
      case 'number':
      case 'quantity':
        return asked.kind === 'ordered' && quantitiesOf(stored).some((quantity) => quantityFits(quantity, asked));
      case 'special':
        return asked.kind === 'near' && isNear(stored.value as Position, asked);
      default:
        throw new RangeError(`no search for ${parameter.type}`);
    }
  }

  /** A date, Period or Timing against a prefixed date, or one that it overlaps (`po`) or covers (`co`). */
  dateFits(stored: TypedValue, { prefix, text }: OrderedValue, now: number, operator?: 'po' | 'co'): boolean {
    const span = spanOf(stored, (one) => this.#dateSpan(one));
    return span !== undefined && spanFits(span, operator ?? prefix, this.#dateSpan(text), now);
  }

  #dateSpan(text: string): Span {
    let span = this.#spans.get(text);
    if (span === undefined) {
      span = dateSpan(text, this.#context.timeZone);
      this.#spans.set(text, span);
    }
    return span;
  }

  // ---- tokens ----

  #tokenFits(stored: TypedValue, asked: SearchValue, modifier: string | undefined): boolean {
    if (asked.kind === 'of-type') return isOfType(stored, asked);
    if (modifier === 'text') {
      return asked.kind === 'text' && readableTexts(stored).some((text) => startsLike(text, asked.text));
    }
    const codings = codingsOf(stored);
    if (modifier === 'in' || modifier === 'not-in') {
      if (asked.kind !== 'text') return false;
      const { codes, systems } = this.#terminology.members(asked.text);
      return codings.some((coding) => isMember(coding, codes) || systems.has(coding.system ?? ''));
    }
    if (asked.kind !== 'token') return false;
    if (modifier === 'above' || modifier === 'below') {
      const codes = this.#terminology.hierarchy(modifier, asked.system ?? '', asked.code ?? '');
      return codes !== undefined && codings.some((coding) => isMember(coding, codes));
    }
    // What is combined are values; a system without a code is none.
    const isValue = ({ code }: CodingValue): boolean => modifier !== IN_COMPOSITE || code !== undefined;
    return codings.some((coding) => isValue(coding) && tokenFits(coding, asked));
  }

  // ---- composites ----

  components(type: string, code: string): SlowComponent[] {
    const found = (this.parameter(type, code).components ?? []).map(({ definition, expression }) => ({
      parameter: this.#byUrl(definition),
      expression,
    }));
    // R4 has the two expressions of this one the wrong way round.
    if (code !== 'relationship') return found;
    const [first, second] = found as [SlowComponent, SlowComponent];
    return [
      { parameter: first.parameter, expression: second.expression },
      { parameter: second.parameter, expression: first.expression },
    ];
  }

  readonly #parametersByUrl = new Map<string, SearchParameter>();

  #byUrl(url: string): SearchParameter {
    const { definitions } = this.#context;
    if (this.#parametersByUrl.size === 0) {
      for (const type of definitions.resourceTypes) {
        for (const parameter of definitions.searchParameters(type).values()) {
          this.#parametersByUrl.set(parameter.url, parameter);
        }
      }
    }
    const found = this.#parametersByUrl.get(url);
    if (found === undefined) throw new RangeError(`no parameter ${url}`);
    return found;
  }

  /** For each element that a composite parameter is about, the values of each of its components. */
  componentValues(resource: StoredResource, code: string): TypedValue[][][] {
    const { resourceType: type } = resource;
    const components = this.components(type, code);
    return this.#selected(type, this.parameter(type, code).expression, resource, resource).map((focus) =>
      components.map(({ expression, parameter }) =>
        this.#selected(focus.type, expression, focus.value as object, resource).filter(
          (value) => parameter.type !== 'token' || isToken(value),
        ),
      ),
    );
  }

  #combines(resource: StoredResource, code: string, tuple: readonly SearchValue[], now: number): boolean {
    const components = this.components(resource.resourceType, code);
    return this.componentValues(resource, code).some((values) =>
      components.every(({ parameter }, at) => {
        const asked = tuple[at];
        const modifier = parameter.type === 'token' ? IN_COMPOSITE : undefined;
        return (
          asked !== undefined &&
          values[at]?.some((stored) => this.#fits(stored, asked, parameter, modifier, now)) === true
        );
      }),
    );
  }

  /** Whether there is a value; of a composite, one element that has a value for each component. */
  #isPresent(resource: StoredResource, code: string): boolean {
    const { resourceType: type } = resource;
    if (this.parameter(type, code).type !== 'composite') return this.values(resource, code).length > 0;
    const components = this.components(type, code);
    return this.componentValues(resource, code).some((values) =>
      components.every(({ parameter }, at) => values[at]?.some((value) => this.#isValue(value, parameter))),
    );
  }

  #isValue(value: TypedValue, { type }: SearchParameter): boolean {
    switch (type) {
      case 'token':
        return codingsOf(value).some(({ code }) => code !== undefined);
      case 'reference':
        return this.#referenceText(value) !== undefined;
      case 'quantity':
      case 'number':
        return quantitiesOf(value).length > 0;
      default:
        return true;
    }
  }

  // ---- lists ----

  /** "Type/id" of what a List refers to here. */
  listed(id: string): Set<string> {
    const list = this.resources.get(`List/${id}`) as { entry?: ListEntry[] } | undefined;
    const found = new Set<string>();
    for (const { item, deleted } of list?.entry ?? []) {
      if (deleted !== true && item.reference !== undefined) found.add(this.#localText(item.reference));
    }
    return found;
  }

  // ---- _filter ----

  #passes(resource: StoredResource, filter: SlowFilter, now: number): boolean {
    switch (filter.kind) {
      case 'and':
        return this.#passes(resource, filter.left, now) && this.#passes(resource, filter.right, now);
      case 'or':
        return this.#passes(resource, filter.left, now) || this.#passes(resource, filter.right, now);
      case 'not':
        return !this.#passes(resource, filter.of, now);
      case 'step':
        return this.#leads(resource, filter, now);
      case 'compare':
        return this.#compares(resource, filter, now);
    }
  }

  #leads(resource: StoredResource, { code, target, where, next }: FilterStep, now: number): boolean {
    return this.#followed(resource, code, target).some(
      (found) => (where === undefined || this.#passes(found, where, now)) && this.#passes(found, next, now),
    );
  }

  #compares(resource: StoredResource, { code, operator, values }: FilterComparison, now: number): boolean {
    const [value] = values;
    if (value === undefined) return false;
    if (code === '_id') return value.kind === 'text' && (value.text === resource.id) === (operator === 'eq');
    const parameter = this.parameter(resource.resourceType, code);
    if (operator === 'pr') return value.kind === 'text' && String(this.#isPresent(resource, code)) === value.text;
    if (parameter.type === 'composite') return this.#combines(resource, code, values, now);
    const stored = this.values(resource, code);
    if (operator === 'ni') return !stored.some((one) => this.#fits(one, value, parameter, 'in', now));
    return stored.some((one) => this.#comparesValue(one, operator, value, parameter, now));
  }

  #comparesValue(
    stored: TypedValue,
    operator: string,
    value: SearchValue,
    parameter: SearchParameter,
    now: number,
  ): boolean {
    if (value.kind === 'ordered') {
      if (operator === 'po' || operator === 'co') return this.dateFits(stored, value, now, operator);
      return this.#fits(stored, { ...value, prefix: operator as OrderedValue['prefix'] }, parameter, undefined, now);
    }
    switch (parameter.type) {
      case 'string':
      case 'uri':
        return this.#fits(stored, value, parameter, STRING_OPERATORS[operator] ?? operator, now);
      case 'token':
        if (operator === 'ne') {
          return (
            value.kind === 'token' && codingsOf(stored).some((one) => one.code !== undefined && !tokenFits(one, value))
          );
        }
        return this.#fits(stored, value, parameter, TOKEN_OPERATORS[operator], now);
      case 'reference': {
        const isAt = this.#fits(stored, value, parameter, undefined, now);
        return operator === 'ne' ? this.#referenceText(stored) !== undefined && !isAt : isAt;
      }
      default:
        return this.#fits(stored, value, parameter, undefined, now);
    }
  }

  // ---- references ----

  /** "Type/id" of a reference to here; the text of any other; undefined for contained ones and those without text. */
  #referenceText({ value }: TypedValue): string | undefined {
    const text = typeof value === 'string' ? value : (value as { reference?: string }).reference;
    return text === undefined || text.startsWith('#') ? undefined : this.#localText(text);
  }

  #localText(text: string): string {
    const { baseUrl, definitions } = this.#context;
    const relative = text.startsWith(`${baseUrl}/`) ? text.slice(baseUrl.length + 1) : text;
    const [type = '', id, history, , ...more] = relative.split('/');
    const isLocal = definitions.isResourceType(type) && id !== undefined && /^[\w.-]+$/.test(id);
    return isLocal && more.length === 0 && (history ?? '_history') === '_history' ? `${type}/${id}` : text;
  }

  #referenceFits(
    stored: TypedValue,
    asked: SearchValue,
    parameter: SearchParameter,
    modifier: string | undefined,
  ): boolean {
    if (asked.kind === 'token') {
      const { identifier } = stored.value as { identifier?: object };
      if (identifier === undefined) return false;
      return codingsOf({ type: 'Identifier', value: identifier }).some((coding) => tokenFits(coding, asked));
    }
    if (asked.kind !== 'text') return false;
    if (stored.type === 'canonical') {
      // A canonical does not tell a type.
      if (modifier !== undefined) return false;
      const text = String(stored.value);
      return asked.text === text || asked.text === text.split('|')[0];
    }
    const text = this.#referenceText(stored);
    if (text === undefined) return false;
    const [type = '', id] = text.split('/');
    const isLocal = this.#context.definitions.isResourceType(type);
    if (modifier !== undefined && (!isLocal || type !== modifier)) return false;
    if (asked.text.includes('/') || asked.text.includes(':')) return this.#localText(asked.text) === text;
    const targets = modifier === undefined ? parameter.targets : [modifier];
    return isLocal && id === asked.text && (targets.length === 0 || targets.includes(type));
  }

  // ---- order ----

  /** The same of what a reference leads to. */
  chainedSortValue(resource: StoredResource, { code, target, next }: ChainedOrder, descending: boolean): SlowSortValue {
    const found: (string | number)[] = [];
    for (const one of this.#followed(resource, code, target)) {
      const value = this.sortValue(one, next, descending);
      if (value === undefined) return undefined;
      if (value !== null) found.push(value);
    }
    found.sort(compareValues);
    return (descending ? found.at(-1) : found[0]) ?? null;
  }

  /** The value that comes first in the order asked for, of those that the parameter has. */
  sortValue(resource: StoredResource, code: string, descending: boolean): SlowSortValue {
    if (code === '_lastUpdated') return Date.parse(resource.meta.lastUpdated);
    const { type } = this.parameter(resource.resourceType, code);
    const found: (string | number)[] = [];
    for (const value of this.values(resource, code)) {
      if (type === 'date') {
        const from = spanOf(value, (text) => this.#dateSpan(text))?.from;
        // What a period without a start sorts by is for the server to choose.
        if (from === Number.NEGATIVE_INFINITY) return undefined;
        if (from !== undefined) found.push(from);
      } else if (type === 'string') found.push(...textsOf(value).map(folded));
      else if (type === 'token') found.push(...codingsOf(value).flatMap((coding) => coding.code?.toLowerCase() ?? []));
      else if (type === 'reference') {
        const text = this.#referenceText(value);
        // Those that lead elsewhere are not of the types that a parameter may be narrowed to.
        if (text?.includes(':') === true && value.type !== 'canonical') return undefined;
        // The order of references is the server's own, but what has none comes last.
        if (text !== undefined) found.push('');
      } else if (type === 'uri') found.push(String(value.value));
      else {
        for (const { low, high } of quantitiesOf(value)) {
          if (low !== high) return undefined;
          found.push(low);
        }
      }
    }
    found.sort(compareValues);
    return (descending ? found.at(-1) : found[0]) ?? null;
  }
}

/** Order of sort values: numbers by size, texts by their characters' code points. */
export function compareValues(a: string | number, b: string | number): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return Buffer.compare(Buffer.from(String(a)), Buffer.from(String(b)));
}

/** In the place of a modifier, which components have none of. */
const IN_COMPOSITE = 'component';

interface ListEntry {
  item: { reference?: string };
  deleted?: boolean;
}

/** Operators of _filter as modifiers. */
const STRING_OPERATORS: Readonly<Record<string, string>> = { co: 'contains' };
const TOKEN_OPERATORS: Readonly<Record<string, string>> = { in: 'in', ss: 'below', sb: 'above' };

/** A code that cannot carry a system is taken for the one that its binding implies. */
function isMember({ system, code }: CodingValue, codes: ReadonlySet<string>): boolean {
  if (code === undefined) return false;
  if (system !== undefined) return codes.has(codeName(system, code));
  return [...codes].some((name) => name.endsWith(`|${code.toLowerCase()}`));
}

const TOKEN_TYPES = ['CodeableConcept', 'Coding', 'Identifier', 'ContactPoint'];

const isToken = ({ type, value }: TypedValue): boolean => TOKEN_TYPES.includes(type) || typeof value !== 'object';

// Search parameters as sent → criteria and result parameters, checked against what exists.
// https://hl7.org/fhir/R4/search.html
import { limits } from '../../base/limits.ts';
import { FhirError, type Issue } from '../../base/outcome.ts';
import { nearest } from '../../base/text.ts';
import { dateRange, isInstant } from '../../model/dates.ts';
import type { Definitions, SearchParameter } from '../../model/definitions.ts';
import { elementNames, type Selection } from '../subset.ts';
import { printable, unknownType } from '../unknown-name.ts';
import type { Criterion, SortBy } from './criteria.ts';
import { type Filter, parseFilter } from './filter.ts';
import { type Comparison, FILTER_MEANING, FILTER_MEANING_OF, filterValue } from './filter-meaning.ts';
import { circleOf } from './near.ts';
import { queryPairs, queryString, splitUnescaped } from './query.ts';

/** `Encounter:subject:Patient`; '*' for the parameter follows all of them, '*' for the source every type. */
export interface Include {
  source: string;
  parameter: string;
  target?: string;
  iterate: boolean;
}

export interface SearchRequest {
  /** One type, or several for a search of the system. */
  types: readonly string[];
  criteria: readonly Criterion[];
  sort: readonly SortBy[];
  count: number;
  total: 'none' | 'estimate' | 'accurate';
  /** Only the number is wanted. */
  countOnly: boolean;
  /** What of each match is wanted; absent: all of it. */
  selection?: Selection;
  /** Whether resources within others are searched, and what is shown of those. */
  contained: 'false' | 'true' | 'both';
  containedType: 'container' | 'contained';
  /** What was there at this instant is wanted, ms since the epoch. */
  asOf?: number;
  includes: readonly Include[];
  revincludes: readonly Include[];
  /** What was understood, as it was sent: the query of the self link. */
  self: string;
  /** What lenient handling left out, for an outcome entry. */
  ignored: readonly Issue[];
}

export interface SearchContext {
  definitions: Definitions;
  /** `Prefer: handling=lenient`: what is not understood is left out and reported instead of refused. */
  lenient: boolean;
}

/** Answered by the edge or by paging, and no business of the search itself. */
const ELSEWHERE = new Set(['_format', '_pretty']);

const RESULT_PARAMETERS = [
  '_sort',
  '_count',
  '_total',
  '_summary',
  '_elements',
  '_asOf',
  '_contained',
  '_containedType',
  '_list',
  '_filter',
  '_include',
  '_revinclude',
  '_include:iterate',
  '_revinclude:iterate',
];

/** Modifiers of each type of parameter, besides `missing`, which all have. https://hl7.org/fhir/R4/search.html#modifiers */
const MODIFIERS: Readonly<Record<SearchParameter['type'], readonly string[]>> = {
  string: ['exact', 'contains'],
  token: ['not', 'text', 'in', 'not-in', 'above', 'below', 'of-type'],
  reference: ['identifier'],
  uri: ['below', 'above'],
  date: [],
  number: [],
  quantity: [],
  composite: [],
  special: [],
};

/** Throws FhirError('invalid') naming each parameter that is not understood and what is accepted instead. */
export function parseSearch(types: readonly string[], query: string, context: SearchContext): SearchRequest {
  const pairs = queryPairs(query).filter(([name]) => !ELSEWHERE.has(name));
  if (pairs.length > limits.searchParametersMax) {
    throw new FhirError(
      'too-costly',
      `A search has at most ${limits.searchParametersMax} parameters; this one has ${pairs.length}.`,
    );
  }
  const parser = new SearchParser(types, context);
  const understood: [string, string][] = [];
  // Which types are searched decides what the other parameters mean, wherever `_type` stands.
  const typesFirst = [...pairs.filter(([name]) => name === '_type'), ...pairs.filter(([name]) => name !== '_type')];
  for (const [name, value] of typesFirst) {
    try {
      parser.add(name, value);
      understood.push([name, value]);
    } catch (error) {
      if (!(error instanceof FhirError) || error.kind !== 'invalid') throw error;
      parser.problems.push(...error.issues);
    }
  }
  const left = parser.leaveOutIncludes() ? understood.filter(([name]) => !/^_(rev)?include/.test(name)) : understood;
  if (parser.problems.length > 0 && !context.lenient) throw new FhirError('invalid', parser.problems);
  return { ...parser.request, self: queryString(left), ignored: parser.problems };
}

class SearchParser {
  readonly problems: Issue[] = [];
  readonly request: Omit<SearchRequest, 'self' | 'ignored' | 'selection' | 'asOf'> & {
    selection?: Selection;
    asOf?: number;
    criteria: Criterion[];
    sort: readonly SortBy[];
    includes: Include[];
    revincludes: Include[];
  };
  readonly #definitions: Definitions;

  constructor(types: readonly string[], { definitions }: SearchContext) {
    this.#definitions = definitions;
    this.request = {
      types,
      criteria: [],
      sort: [],
      count: limits.pageSizeDefault,
      total: 'none',
      countOnly: false,
      contained: 'false',
      containedType: 'container',
      includes: [],
      revincludes: [],
    };
  }

  add(name: string, value: string): void {
    switch (name) {
      case '_count':
        this.request.count = pageSize(value);
        return;
      case '_total':
        this.request.total = oneOf(name, value, ['none', 'estimate', 'accurate']);
        return;
      case '_summary':
        this.#summary(oneOf(name, value, ['true', 'text', 'data', 'count', 'false']));
        return;
      case '_contained':
        this.request.contained = oneOf(name, value, ['false', 'true', 'both']);
        return;
      case '_containedType':
        this.request.containedType = oneOf(name, value, ['container', 'contained']);
        return;
      case '_asOf':
        this.request.asOf = instantOf(value);
        return;
      case '_elements':
        this.request.selection = {
          kind: 'elements',
          elements: elementNames(value, this.request.types, this.#definitions),
        };
        return;
      case '_sort':
        this.request.sort = this.#sort(value);
        return;
      case '_type':
        this.#narrowTypes(value);
        return;
      case '_include':
      case '_include:iterate':
      case '_include:recurse':
        this.request.includes.push(this.#include(name, value));
        return;
      case '_revinclude':
      case '_revinclude:iterate':
      case '_revinclude:recurse':
        this.request.revincludes.push(this.#include(name, value));
        return;
      default:
        this.request.criteria.push(this.#criterion(this.request.types, name, value, 0, 0));
    }
  }

  /** "The _include and _revinclude parameters cannot be mixed with _summary=text." True when there were any. */
  leaveOutIncludes(): boolean {
    const { selection, includes, revincludes } = this.request;
    if (selection?.kind !== 'text' || includes.length + revincludes.length === 0) return false;
    this.request.includes = [];
    this.request.revincludes = [];
    const diagnostics =
      '_include and _revinclude cannot be combined with _summary=text; accepted with them: true, data.';
    this.problems.push({ severity: 'error', code: 'invalid', diagnostics });
    return true;
  }

  #summary(summary: 'true' | 'text' | 'data' | 'count' | 'false'): void {
    this.request.countOnly = summary === 'count';
    if (summary === 'true' || summary === 'text' || summary === 'data') this.request.selection = { kind: summary };
  }

  // ---- _filter ----

  #filtered(types: readonly string[], filter: Filter, chainDepth: number): Criterion {
    switch (filter.kind) {
      case 'and':
      case 'or':
        return { kind: filter.kind, of: filter.of.map((one) => this.#filtered(types, one, chainDepth)) };
      case 'not':
        return { kind: 'not', of: this.#filtered(types, filter.of, chainDepth) };
      case 'compare':
        return this.#compared(types, filter, chainDepth);
    }
  }

  #compared(types: readonly string[], filter: Comparison, chainDepth: number): Criterion {
    const [step, ...rest] = filter.path;
    if (step === undefined) throw new FhirError('invalid', '_filter: a comparison has a parameter.');
    if (rest.length === 0) return this.#comparison(types, step.name, filter);
    const deeper = { ...filter, path: rest };
    return this.#followed(types, step.name, '_filter', chainDepth, (type) => {
      const further = this.#compared([type], deeper, chainDepth + 1);
      if (step.where === undefined) return further;
      return { kind: 'and', of: [this.#filtered([type], step.where, chainDepth + 1), further] };
    });
  }

  #comparison(types: readonly string[], name: string, { operator, value }: Comparison): Criterion {
    const [code = '', target] = splitModifier(name);
    if (code === '_list' || code === '_filter') throw new FhirError('invalid', `_filter cannot compare "${code}".`);
    const parameter = this.#parameter(types, code, name);
    if (target !== undefined) this.#checkFilterTarget(parameter, target, name);
    const kind = parameter.type;
    const meanings = FILTER_MEANING_OF.get(code) ?? { ...FILTER_MEANING[kind], pr: { modifier: 'missing' } };
    const meaning = meanings[operator];
    if (meaning === undefined) {
      const known = Object.keys(meanings);
      throw new FhirError(
        'invalid',
        `_filter: "${operator}" does not compare "${printable(name)}" (a ${parameter.type} parameter); accepted: ${listed(known)}.`,
      );
    }
    if (kind === 'special' && operator === 'eq') return { kind: 'near', parameter, places: [circleOf(value, name)] };
    const modifier = meaning.modifier ?? target;
    return {
      kind: 'parameter',
      parameter,
      ...(modifier === undefined ? {} : { modifier }),
      values: [filterValue(kind, operator, meaning.prefix ?? '', value)],
      name,
    };
  }

  /** Modifiers are what operators stand for; only the type of a reference may follow a name. */
  #checkFilterTarget(parameter: SearchParameter, target: string, name: string): void {
    if (parameter.type !== 'reference' || !this.#definitions.isResourceType(target)) {
      throw new FhirError('invalid', `_filter: "${printable(name)}" has no modifiers; a reference may name a type.`);
    }
    this.#checkTarget(parameter, target, name);
  }

  #narrowTypes(value: string): void {
    const types = [...new Set(splitUnescaped(value, ','))];
    const allowed = this.request.types;
    for (const type of types) {
      if (!this.#definitions.isResourceType(type)) throw unknownType(type, this.#definitions);
      if (!allowed.includes(type))
        throw new FhirError('invalid', `_type=${type} is outside of what this address searches: ${listed(allowed)}.`);
    }
    this.request.types = types;
  }

  #criterion(types: readonly string[], name: string, value: string, chainDepth: number, hasDepth: number): Criterion {
    if (name.startsWith('_has:')) return this.#has(types, name, value, chainDepth, hasDepth);
    const dot = name.indexOf('.');
    if (dot >= 0) return this.#chain(types, name.slice(0, dot), name.slice(dot + 1), value, chainDepth, hasDepth);
    const values = splitUnescaped(value, ',');
    if (name === '_filter') return this.#filtered(types, parseFilter(value), chainDepth);
    if (name === '_list') return { kind: 'or', of: values.map((id) => ({ kind: 'list', id: listId(id) })) };
    const [code = '', modifier] = splitModifier(name);
    const parameter = this.#parameter(types, code, name);
    if (values.includes('')) {
      throw new FhirError('invalid', `"${name}" has an empty value; leave the parameter out or give it a value.`);
    }
    if (values.length > limits.orValuesMax) {
      throw new FhirError(
        'too-costly',
        `"${name}" has ${values.length} values; at most ${limits.orValuesMax} are searched at once.`,
      );
    }
    this.#checkModifier(parameter, modifier, name);
    if (parameter.type === 'special' && modifier === undefined)
      return { kind: 'near', parameter, places: values.map((one) => circleOf(one, name)) };
    return { kind: 'parameter', parameter, ...(modifier === undefined ? {} : { modifier }), values, name };
  }

  #checkModifier(parameter: SearchParameter, modifier: string | undefined, name: string): void {
    const known = WITHOUT_MISSING.get(parameter.code) ?? ['missing', ...MODIFIERS[parameter.type]];
    if (modifier === undefined || known.includes(modifier)) return;
    if (parameter.type === 'reference' && this.#definitions.isResourceType(modifier)) {
      this.#checkTarget(parameter, modifier, name);
      return;
    }
    const types = parameter.type === 'reference' ? [...known, 'a resource type'] : known;
    throw new FhirError(
      'invalid',
      `":${printable(modifier)}" in "${printable(name)}" is not a modifier of a ${parameter.type} parameter; accepted: ${listed(types)}.`,
    );
  }

  /** The parameter as it stands on the first type; it must exist on all of them. */
  #parameter(types: readonly string[], code: string, name: string): SearchParameter {
    let found: SearchParameter | undefined;
    for (const type of types) {
      const parameter = this.#definitions.searchParameters(type).get(code);
      if (parameter === undefined) throw this.#unknownParameter(type, code, name);
      found ??= parameter;
    }
    if (found === undefined) throw new FhirError('invalid', `"${name}" needs a type to search.`);
    if (found.isBuilding === true) throw stillBuilding(code);
    if (!isSearchable(found)) {
      throw new FhirError('invalid', `"${code}" (a ${found.type} parameter) cannot be searched on this server.`);
    }
    return found;
  }

  #unknownParameter(type: string, code: string, name: string): FhirError {
    const own = [...this.#definitions.searchParameters(type).values()].filter(isSearchable).map(({ code }) => code);
    const valid = [...own, ...RESULT_PARAMETERS, '_has'].sort();
    const near = nearest(code, valid);
    const hint = near === undefined ? '' : ` Did you mean "${near}"?`;
    return new FhirError(
      'invalid',
      `"${printable(name)}" is not a search parameter of ${type}.${hint} Accepted: ${listed(valid)}.`,
    );
  }

  #reference(types: readonly string[], code: string, name: string): SearchParameter {
    const parameter = this.#parameter(types, code, name);
    if (parameter.type !== 'reference') {
      throw new FhirError(
        'invalid',
        `"${code}" in "${printable(name)}" is a ${parameter.type} parameter; only references can be followed.`,
      );
    }
    return parameter;
  }

  #chain(
    types: readonly string[],
    head: string,
    rest: string,
    value: string,
    chainDepth: number,
    hasDepth: number,
  ): Criterion {
    const name = `${head}.${rest}`;
    return this.#followed(types, head, name, chainDepth, (type) =>
      this.#criterion([type], rest, value, chainDepth + 1, hasDepth),
    );
  }

  /** The reference `head` (`subject`, `subject:Patient`) followed to each type that has what comes next. */
  #followed(
    types: readonly string[],
    head: string,
    name: string,
    chainDepth: number,
    criterionOf: (type: string) => Criterion,
  ): Criterion {
    if (chainDepth >= limits.chainDepthMax) {
      throw new FhirError('too-costly', `A chain has at most ${limits.chainDepthMax} steps.`);
    }
    const [code = '', target] = splitModifier(head);
    const parameter = this.#reference(types, code, name);
    if (target !== undefined && !this.#definitions.isResourceType(target)) throw unknownType(target, this.#definitions);
    if (target !== undefined) this.#checkTarget(parameter, target, name);
    const targets = target === undefined ? this.#targets(parameter) : [target];
    const next: { type: string; criterion: Criterion }[] = [];
    let problem: FhirError | undefined;
    for (const type of targets) {
      try {
        next.push({ type, criterion: criterionOf(type) });
      } catch (error) {
        if (!(error instanceof FhirError) || error.kind !== 'invalid') throw error;
        problem ??= error;
      }
    }
    // Of "subject.name" only the targets that have a name can be meant; if none has it, say what the first one lacks.
    if (next.length === 0) throw problem ?? new FhirError('invalid', `"${printable(name)}" leads to no resource type.`);
    return { kind: 'chain', parameter, next };
  }

  #checkTarget(parameter: SearchParameter, target: string, name: string): void {
    if (this.#targets(parameter).includes(target)) return;
    throw new FhirError(
      'invalid',
      `"${parameter.code}" in "${printable(name)}" does not refer to ${target}, but to ${listed(this.#targets(parameter))}.`,
    );
  }

  #targets(parameter: SearchParameter): readonly string[] {
    return parameter.targets.length > 0 ? parameter.targets : this.#definitions.resourceTypes;
  }

  #has(types: readonly string[], name: string, value: string, chainDepth: number, hasDepth: number): Criterion {
    const [, type = '', code = '', ...rest] = name.split(':');
    if (rest.length === 0) {
      throw new FhirError(
        'invalid',
        `"${printable(name)}" is not of the form _has:[type]:[reference parameter]:[parameter].`,
      );
    }
    if (hasDepth >= limits.hasDepthMax)
      throw new FhirError('too-costly', `_has may be nested ${limits.hasDepthMax} deep.`);
    if (!this.#definitions.isResourceType(type)) throw unknownType(type, this.#definitions);
    const parameter = this.#reference([type], code, name);
    const reachable = this.#targets(parameter);
    if (!types.some((one) => reachable.includes(one))) {
      throw new FhirError(
        'invalid',
        `${type}.${code} in "${printable(name)}" does not refer to ${listed(types)}, but to ${listed(reachable)}.`,
      );
    }
    const criterion = this.#criterion([type], rest.join(':'), value, chainDepth, hasDepth + 1);
    return { kind: 'has', type, parameter, criterion };
  }

  #sort(value: string): SortBy[] {
    const sort = splitUnescaped(value, ',').map((text): SortBy => {
      const descending = text.startsWith('-');
      const code = descending ? text.slice(1) : text;
      if (code.includes('.')) return { ...this.#chainedSort(code, value), descending };
      const parameter = this.#parameter(this.request.types, code, `_sort=${value}`);
      if (code === '_id') {
        throw new FhirError('invalid', '_sort=_id: ids have no order; pages are stable without it, so leave it out.');
      }
      if (code === '_text' || code === '_content')
        throw new FhirError('invalid', `_sort=${code}: words have no order.`);
      return { parameter, descending };
    });
    if (sort.length > limits.sortKeysMax)
      throw new FhirError('too-costly', `_sort takes at most ${limits.sortKeysMax} parameters.`);
    return sort;
  }

  /** `patient.family`: the reference, its types that have the parameter, and the parameter. */
  #chainedSort(code: string, value: string): Pick<SortBy, 'parameter' | 'chain'> {
    const [head = '', rest = '', ...further] = code.split('.');
    if (further.length > 0 || rest.startsWith('_')) {
      throw new FhirError(
        'invalid',
        `_sort=${printable(value)}: of a chain, one reference and a parameter of its target are accepted.`,
      );
    }
    const [name = '', target] = splitModifier(head);
    const reference = this.#reference(this.request.types, name, `_sort=${value}`);
    if (target !== undefined) this.#checkTarget(reference, target, `_sort=${value}`);
    const all = target === undefined ? this.#targets(reference) : [target];
    const targets = all.filter((type) => this.#definitions.searchParameters(type).has(rest));
    const parameter = this.#parameter(targets.length === 0 ? all.slice(0, 1) : targets, rest, `_sort=${value}`);
    return { parameter, chain: { parameter: reference, targets } };
  }

  #include(name: string, value: string): Include {
    const iterate = name.includes(':');
    if (value === '*') return { source: '*', parameter: '*', iterate };
    const [source = '', parameter = '', target, ...more] = value.split(':');
    if (parameter === '' || more.length > 0) {
      throw new FhirError(
        'invalid',
        `${name}=${printable(value)} is not of the form [type]:[reference parameter](:[target type]), or "*".`,
      );
    }
    if (!this.#definitions.isResourceType(source)) throw unknownType(source, this.#definitions);
    if (target !== undefined && !this.#definitions.isResourceType(target)) throw unknownType(target, this.#definitions);
    if (parameter !== '*') {
      const known = this.#definitions.searchParameters(source).get(parameter);
      if (known?.type !== 'reference') {
        const references = [...this.#definitions.searchParameters(source).values()].filter(
          ({ type }) => type === 'reference',
        );
        throw new FhirError(
          'invalid',
          `${name}=${printable(value)}: ${source} has no reference parameter "${printable(parameter)}"; accepted: ${listed(references.map(({ code }) => code))}, *.`,
        );
      }
      if (known.isBuilding === true) throw stillBuilding(parameter);
    }
    return { source, parameter, ...(target === undefined ? {} : { target }), iterate };
  }
}

/** Answered by columns of the store rather than by an expression over the content. */
const WITHOUT_EXPRESSION: readonly string[] = ['_id', '_lastUpdated', '_text', '_content'];

/** Parameters that are no element which could be missing, and the modifiers that they take all the same. */
const WITHOUT_MISSING: ReadonlyMap<string, readonly string[]> = new Map([
  ['_id', ['not']],
  ['_lastUpdated', []],
  ['_text', []],
  ['_content', []],
]);

/** Whether a parameter can be searched by; those that FHIR defines without an expression (`_text`, `_filter`) cannot. */
export const isSearchable = ({ code, type, expression }: SearchParameter): boolean =>
  (expression !== '' || WITHOUT_EXPRESSION.includes(code)) && (type !== 'special' || code === 'near');

/** An instant with its zone, which no configuration can shift. */
export function instantOf(value: string): number {
  if (isInstant(value)) return dateRange(value, 'UTC').from;
  throw new FhirError('invalid', `_asOf=${printable(value)}: an instant is accepted, such as 2024-02-29T10:00:00Z.`);
}

/** An id, or a reference to a List here. */
export function listId(value: string): string {
  const id = /^(?:.*\/)?List\/([A-Za-z0-9\-.]{1,64})$/.exec(value)?.[1] ?? value;
  if (/^[A-Za-z0-9\-.]{1,64}$/.test(id)) return id;
  throw new FhirError(
    'invalid',
    `_list=${printable(value)}: the id of a List is accepted; functional lists such as $current-problems are not offered.`,
  );
}

function splitModifier(name: string): [string, string | undefined] {
  const colon = name.indexOf(':');
  return colon < 0 ? [name, undefined] : [name.slice(0, colon), name.slice(colon + 1)];
}

/** `_count`: a whole number, brought down to the largest page. */
export function pageSize(value: string): number {
  if (!/^\d{1,9}$/.test(value))
    throw new FhirError('invalid', `_count=${printable(value)} is not a whole number from 0 to ${limits.pageSizeMax}.`);
  return Math.min(Number(value), limits.pageSizeMax);
}

function oneOf<const T extends string>(name: string, value: string, accepted: readonly T[]): T {
  const found = accepted.find((one) => one === value);
  if (found === undefined)
    throw new FhirError('invalid', `${name}=${printable(value)} is not accepted here; accepted: ${listed(accepted)}.`);
  return found;
}

const listed = (names: readonly string[]): string => names.join(', ');

/** An empty list would be a lie: 503 until all resources are indexed. */
const stillBuilding = (code: string): FhirError =>
  new FhirError('unavailable', `"${code}" is still being built: not all resources are indexed by it yet.`, {
    headers: { 'Retry-After': '5' },
  });

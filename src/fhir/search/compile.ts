// Criteria → the store's conditions on keys. https://hl7.org/fhir/R4/search.html
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import { folded } from '../../base/text.ts';
import { dateRange, MAX_TIME, MIN_TIME } from '../../model/dates.ts';
import { decimalRange } from '../../model/decimal.ts';
import type { SearchParameter } from '../../model/definitions.ts';
import type { Condition, Key, Slice, SortKey, Within } from '../../store/store.ts';
import { type IndexContext, referenceTarget } from './index-resource.ts';
import {
  codedUnitLists,
  encodeNumber,
  encodeTime,
  keys,
  numberLists,
  parameterPrefix,
  referencePrefix,
  sortPrefix,
  spans,
  unitLists,
} from './keys.ts';
import { ordParameter } from './ord.ts';
import type { Criterion, SortBy } from './parse.ts';
import { literalValue, splitUnescaped } from './query.ts';

export interface CompileContext extends IndexContext {
  /** ms since the epoch; `ap` on a date is relative to it. */
  now: number;
}

const or = (of: readonly Condition[]): Condition =>
  of.length === 1 && of[0] !== undefined ? of[0] : { kind: 'or', of };
const key = (value: Key): Condition => ({ kind: 'key', key: value });
/** The stretch of a key that follows what a span compares. */
const tail = (at: number, length: number, bounds: Omit<Slice, 'at' | 'length'>): Within => ({
  kind: 'slices',
  of: [{ at, length, ...bounds }],
});
const span = (range: { from: Key; to: Key }): Condition => ({ kind: 'span', ...range });

/** The condition on a resource of `type` that all criteria express. */
export function compileCriteria(type: string, criteria: readonly Criterion[], context: CompileContext): Condition {
  if (criteria.length === 0) return { kind: 'all' };
  const of = criteria.map((criterion) => compileCriterion(type, criterion, context));
  return of.length === 1 && of[0] !== undefined ? of[0] : { kind: 'and', of };
}

function compileCriterion(type: string, criterion: Criterion, context: CompileContext): Condition {
  switch (criterion.kind) {
    case 'chain': {
      const prefix = referencePrefix(parameterPrefix(type, criterion.parameter.code));
      return or(
        criterion.next.map((next) => ({
          kind: 'refers',
          prefix,
          to: { type: next.type, where: compileCriterion(next.type, next.criterion, context) },
        })),
      );
    }
    case 'has':
      return {
        kind: 'referred',
        prefix: referencePrefix(parameterPrefix(criterion.type, criterion.parameter.code)),
        by: { type: criterion.type, where: compileCriterion(criterion.type, criterion.criterion, context) },
      };
    case 'parameter':
      return compileParameter(type, criterion, context);
  }
}

type ParameterCriterion = Extract<Criterion, { kind: 'parameter' }>;

function compileParameter(type: string, criterion: ParameterCriterion, context: CompileContext): Condition {
  const { modifier, values, name } = criterion;
  // The parameter is looked up anew: in a search of several types each has its own expression and type.
  const parameter = context.definitions.searchParameters(type).get(criterion.parameter.code) ?? criterion.parameter;
  if (parameter.code === '_id') return negatedIf(modifier === 'not', { kind: 'ids', ids: values.map(literalValue) });
  if (parameter.code === '_lastUpdated') return or(values.map((value) => lastUpdated(value, name, context)));
  const prefix = parameterPrefix(type, parameter.code);
  if (modifier === 'missing') return missing(prefix, values, name);
  const one = (value: string): Condition => compileValue(parameter, prefix, modifier, value, name, context);
  return negatedIf(modifier === 'not', or(values.map(one)));
}

const negatedIf = (negated: boolean, condition: Condition): Condition =>
  negated ? { kind: 'not', of: condition } : condition;

function missing(prefix: Key, values: readonly string[], name: string): Condition {
  const [value] = values;
  if (values.length !== 1 || (value !== 'true' && value !== 'false')) {
    throw new FhirError('invalid', `"${name}" takes true or false.`);
  }
  return negatedIf(value === 'true', span(spans.present(prefix)));
}

function compileValue(
  parameter: SearchParameter,
  prefix: Key,
  modifier: string | undefined,
  value: string,
  name: string,
  context: CompileContext,
): Condition {
  switch (parameter.type) {
    case 'string':
      return stringCondition(prefix, modifier, literalValue(value), name);
    case 'token':
      return tokenCondition(prefix, value, 't');
    case 'reference':
      return modifier === 'identifier'
        ? tokenCondition(prefix, value, 'i')
        : referenceCondition(parameter, prefix, modifier, literalValue(value), context);
    case 'uri':
      return uriCondition(prefix, modifier, literalValue(value));
    case 'date':
      return dateCondition(prefix, value, name, context);
    case 'number':
      return numberCondition(parsePrefixed(value), [numberLists(prefix)], name);
    case 'quantity':
      return quantityCondition(prefix, value, name);
    default:
      throw new FhirError(
        'invalid',
        `"${name}" is a ${parameter.type} parameter, and these cannot be searched on this server.`,
      );
  }
}

// ---- string, token, reference, uri ----

function stringCondition(prefix: Key, modifier: string | undefined, text: string, name: string): Condition {
  if (modifier === 'exact') return key(keys.string(prefix, text));
  const start = folded(text);
  if (start.length > limits.stringKeyCharsMax) {
    throw new FhirError(
      'invalid',
      `"${name}": at most ${limits.stringKeyCharsMax} characters are compared; use :exact for longer texts.`,
    );
  }
  if (modifier === 'contains') {
    if (start.length > limits.containsCharsMax) {
      throw new FhirError('invalid', `"${name}": :contains takes at most ${limits.containsCharsMax} characters.`);
    }
    return or(
      [spans.allStrings(prefix), spans.allWindows(prefix)].map((lists) => ({
        kind: 'span',
        ...lists,
        within: { kind: 'contains', text: start },
      })),
    );
  }
  return span(spans.startsWith(prefix, text));
}

/** `code`, `system|code`, `|code`, `system|`. */
function tokenCondition(prefix: Key, value: string, list: 't' | 'i'): Condition {
  const [first = '', second, ...more] = splitUnescaped(value, '|').map(literalValue);
  if (second === undefined)
    return or([key(keys.anySystem(prefix, first, list)), key(keys.token(prefix, first, undefined, list))]);
  const code = [second, ...more].join('|');
  if (code === '') return key(keys.tokenSystem(prefix, first, list === 't' ? 'u' : 'j'));
  // An element of type code carries no system in the data; the one that its binding implies is taken as given.
  return or([key(keys.token(prefix, code, first, list)), key(keys.token(prefix, code, undefined, list))]);
}

function referenceCondition(
  parameter: SearchParameter,
  prefix: Key,
  modifier: string | undefined,
  value: string,
  context: CompileContext,
): Condition {
  if (modifier !== undefined && !value.includes('/')) return key(keys.reference(prefix, `${modifier}/${value}`));
  const target = referenceTarget(value, context) ?? value;
  if (modifier !== undefined && !target.startsWith(`${modifier}/`)) return { kind: 'none' };
  if (/^[A-Za-z0-9\-.]{1,64}$/.test(value)) {
    const types = parameter.targets.length > 0 ? parameter.targets : context.definitions.resourceTypes;
    return or([...types.map((type) => `${type}/${value}`), value].map((one) => key(keys.reference(prefix, one))));
  }
  return key(keys.reference(prefix, target));
}

function uriCondition(prefix: Key, modifier: string | undefined, uri: string): Condition {
  if (modifier === 'below') return or([key(keys.uri(prefix, uri)), span(spans.uriBelow(prefix, uri))]);
  if (modifier === 'above') return or(uriAncestors(uri).map((one) => key(keys.uri(prefix, one))));
  return key(keys.uri(prefix, uri));
}

/** The URI and each shorter one that it lies below: cut at every slash after the authority. */
function uriAncestors(uri: string): string[] {
  const ancestors = [uri];
  const authority = uri.indexOf('://');
  for (let at = uri.lastIndexOf('/'); at > authority + 2; at = uri.lastIndexOf('/', at - 1)) {
    ancestors.push(uri.slice(0, at), uri.slice(0, at + 1));
    if (ancestors.length > limits.orValuesMax) break;
  }
  return [...new Set(ancestors)];
}

// ---- what has an order: date, number, quantity ----

const PREFIXES = ['eq', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap'] as const;
type Prefix = (typeof PREFIXES)[number];

interface Prefixed {
  prefix: Prefix;
  text: string;
}

function parsePrefixed(value: string): Prefixed {
  const prefix = PREFIXES.find((one) => value.startsWith(one));
  return prefix === undefined ? { prefix: 'eq', text: value } : { prefix, text: value.slice(2) };
}

/** Index in a date key at which its second bound begins: after the parameter, the list and the first bound. */
const DATE_TAIL_AT = 5 + 9;

function dateCondition(prefix: Key, value: string, name: string, context: CompileContext): Condition {
  const { prefix: comparison, text } = parsePrefixed(literalValue(value));
  const { from, to } = searchedRange(text, name, context.timeZone);
  const low = (range: { from?: number; to?: number }): Condition => timeSpan(`${prefix}l`, range);
  const high = (range: { from?: number; to?: number }): Condition => timeSpan(`${prefix}h`, range);
  switch (comparison) {
    case 'eq':
      return {
        ...timeSpan(`${prefix}l`, { from, to }),
        within: tail(DATE_TAIL_AT, 9, { atMost: encodeTime(to) }),
      };
    case 'ne':
      return or([low({ to: from }), high({ from: to + 1 })]);
    case 'gt':
      return high({ from: to + 1 });
    case 'lt':
      return low({ to: from });
    // "Greater, or wholly within what was asked for" comes to: begins not before it, or ends after it.
    case 'ge':
      return or([low({ from }), high({ from: to + 1 })]);
    case 'le':
      return or([low({ to: from }), high({ to: to + 1 })]);
    case 'sa':
      return low({ from: to });
    case 'eb':
      return high({ to: from + 1 });
    case 'ap': {
      const margin = approximately(from, to, context.now);
      return {
        ...timeSpan(`${prefix}h`, { from: from - margin + 1 }),
        within: tail(DATE_TAIL_AT, 9, { atMost: encodeTime(to + margin - 1) }),
      };
    }
  }
}

/** "The recommended value for the approximation is 10% of the stated value (or for a date, 10% of the gap between now and the date)". */
const approximately = (from: number, to: number, now: number): number =>
  Math.floor(Math.min(Math.abs(now - from), Math.abs(now - to)) / 10);

function timeSpan(list: Key, { from, to }: { from?: number; to?: number }): Extract<Condition, { kind: 'span' }> {
  return {
    kind: 'span',
    from: from === undefined || from <= MIN_TIME ? list : list + encodeTime(from),
    to: to === undefined || to > MAX_TIME ? `${list}\x7f` : list + encodeTime(to),
  };
}

function searchedRange(text: string, name: string, zone: string): { from: number; to: number } {
  try {
    return dateRange(text, zone);
  } catch (error) {
    if (!(error instanceof FhirError)) throw error;
    throw new FhirError(
      'invalid',
      `"${name}" takes a date such as 2024, 2024-02, 2024-02-29 or 2024-02-29T10:00:00Z, after one of ${PREFIXES.join(', ')} or none.`,
    );
  }
}

function lastUpdated(value: string, name: string, context: CompileContext): Condition {
  const { prefix, text } = parsePrefixed(literalValue(value));
  const { from, to } = searchedRange(text, name, context.timeZone);
  switch (prefix) {
    case 'eq':
      return { kind: 'lastUpdated', from, to };
    case 'ne':
      return { kind: 'not', of: { kind: 'lastUpdated', from, to } };
    case 'gt':
    case 'sa':
      return { kind: 'lastUpdated', from: to };
    case 'ge':
      return { kind: 'lastUpdated', from };
    case 'lt':
    case 'eb':
      return { kind: 'lastUpdated', to: from };
    case 'le':
      return { kind: 'lastUpdated', to };
    case 'ap': {
      const margin = approximately(from, to, context.now);
      return { kind: 'lastUpdated', from: from - margin, to: to + margin };
    }
  }
}

type NumberLists = ReturnType<typeof numberLists>;

function numberCondition({ prefix, text }: Prefixed, lists: readonly NumberLists[], name: string): Condition {
  const range = readDecimal(text, name);
  const value = Number(text);
  return or(lists.flatMap((list) => comparisons(prefix, value, range, list)));
}

function readDecimal(text: string, name: string): { from: number; to: number } {
  try {
    return decimalRange(text);
  } catch (error) {
    if (!(error instanceof FhirError)) throw error;
    throw new FhirError(
      'invalid',
      `"${name}" takes a number such as 100, 5.40 or 1e-3, after one of ${PREFIXES.join(', ')} or none.`,
    );
  }
}

/** "When a comparison prefix gt, lt, ge, le, sa, eb is provided, the implicit precision of the number is ignored." */
function comparisons(
  prefix: Prefix,
  value: number,
  { from, to }: { from: number; to: number },
  lists: NumberLists,
): Condition[] {
  const encoded = encodeNumber(value);
  // A key of the value itself has these characters and, in a range, more: "!" is below and DEL above whatever follows.
  const above = (list: Key): Condition => span({ from: `${list}${encoded}\x7f`, to: `${list}\x7f` });
  const atLeast = (list: Key): Condition => span({ from: list + encoded, to: `${list}\x7f` });
  const below = (list: Key): Condition => span({ from: list, to: list + encoded });
  const atMost = (list: Key): Condition => span({ from: list, to: `${list}${encoded}\x7f` });
  switch (prefix) {
    case 'gt':
      return [above(lists.point), above(lists.high)];
    case 'ge':
      return [atLeast(lists.point), atLeast(lists.high)];
    case 'lt':
      return [below(lists.point), below(lists.low)];
    case 'le':
      return [atMost(lists.point), atMost(lists.low)];
    case 'sa':
      return [above(lists.point), above(lists.low)];
    case 'eb':
      return [below(lists.point), below(lists.high)];
    case 'eq':
      return within(lists, from, to);
    case 'ne': {
      const low = encodeNumber(from);
      const high = encodeNumber(to);
      return [
        span({ from: lists.point, to: lists.point + low }),
        span({ from: lists.point + high, to: `${lists.point}\x7f` }),
        span({ from: lists.low, to: lists.low + low }),
        span({ from: `${lists.high}${high}\x7f`, to: `${lists.high}\x7f` }),
      ];
    }
    case 'ap': {
      const margin = Math.abs(value) / 10;
      return overlapping(lists, Math.min(from, value - margin), Math.max(to, value + margin));
    }
  }
}

/** Points in [from, to), and ranges wholly between both. */
function within(lists: NumberLists, from: number, to: number): Condition[] {
  const low = encodeNumber(from);
  const high = encodeNumber(to);
  return [
    span({ from: lists.point + low, to: lists.point + high }),
    {
      kind: 'span',
      from: lists.low + low,
      to: `${lists.low}${high}\x7f`,
      within: tail(lists.low.length + high.length, 11, { atMost: high }),
    },
  ];
}

/** Points in [from, to], and ranges that have a value in common with it. */
function overlapping(lists: NumberLists, from: number, to: number): Condition[] {
  const low = encodeNumber(from);
  const high = encodeNumber(to);
  return [
    span({ from: lists.point + low, to: `${lists.point}${high}\x7f` }),
    {
      kind: 'span',
      from: lists.high + low,
      to: `${lists.high}\x7f`,
      within: tail(lists.high.length + low.length, 11, { atMost: high }),
    },
  ];
}

/** `[prefix]number`, `number|system|code`, `number||code`. */
function quantityCondition(prefix: Key, value: string, name: string): Condition {
  const parts = splitUnescaped(value, '|').map(literalValue);
  const [number = '', system = '', code = ''] = parts;
  if (parts.length === 2 || parts.length > 3) {
    throw new FhirError('invalid', `"${name}" takes [prefix]number, number|system|code or number||code.`);
  }
  const prefixed = parsePrefixed(number);
  if (code === '') {
    if (system !== '')
      throw new FhirError(
        'invalid',
        `"${name}": a system is followed by a code, as in 5.4|http://unitsofmeasure.org|mg.`,
      );
    return numberCondition(prefixed, [numberLists(prefix)], name);
  }
  return numberCondition(
    prefixed,
    [system === '' ? unitLists(prefix, code) : codedUnitLists(prefix, system, code)],
    name,
  );
}

// ---- order ----

/** The store's order for `_sort` on a type. */
export function compileSort(type: string, sort: readonly SortBy[], context: IndexContext): SortKey[] {
  const ord = ordParameter(context.definitions, type);
  return sort.map(({ parameter, descending }) => {
    if (parameter.code === '_lastUpdated') return { by: 'lastUpdated', descending };
    if (parameter.code === ord?.code) return { by: 'ord', descending };
    const own = context.definitions.searchParameters(type).get(parameter.code) ?? parameter;
    if (own.type === 'composite' || own.type === 'special') {
      throw new FhirError('invalid', `_sort=${own.code}: a ${own.type} parameter has no order.`);
    }
    return { by: 'keys', prefix: sortPrefix(parameterPrefix(type, own.code), own.type), descending };
  });
}

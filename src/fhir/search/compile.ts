// Criteria → the store's conditions on keys. https://hl7.org/fhir/R4/search.html
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import { folded } from '../../base/text.ts';
import type { Definitions, SearchParameter } from '../../model/definitions.ts';
import { selectedTypes } from '../../model/search-accessors.ts';
import { compareKeys } from '../../store/match.ts';
import type { Condition, Key, SortKey } from '../../store/store.ts';
import { compositeCondition } from './compile-composite.ts';
import { dateCondition, lastUpdatedCondition, numberCondition, quantityCondition } from './compile-ordered.ts';
import { and, key, not, or, span } from './conditions.ts';
import type { Criterion, SortBy } from './criteria.ts';
import { textCondition } from './full-text.ts';
import { keys, parameterPrefix, referencePrefix, spans, terms } from './keys.ts';
import { listsOf, type ParameterList } from './lists.ts';
import { type OrdList, ordList, ordParameter } from './ord.ts';
import { literalValue, splitUnescaped } from './query.ts';
import { sortList } from './sort-values.ts';
import { type IndexContext, referenceTarget } from './values.ts';

export interface CompileContext extends IndexContext {
  /** ms since the epoch; `ap` on a date is relative to it. */
  now: number;
  /** For what is decided on past versions as well, which have keys and no clinical date. */
  byKeysAlone?: true;
}

/** The condition on a resource of `type` that all criteria express. Resolved criteria only (see resolve.ts). */
export function compileCriteria(type: string, criteria: readonly Criterion[], context: CompileContext): Condition {
  if (criteria.length === 0) return { kind: 'all' };
  return and(criteria.map((criterion) => compileCriterion(type, criterion, context)));
}

function compileCriterion(type: string, criterion: Criterion, context: CompileContext): Condition {
  switch (criterion.kind) {
    case 'and':
    case 'or': {
      const of = criterion.of.map((one) => compileCriterion(type, one, context));
      return criterion.kind === 'and' ? and(of) : or(of);
    }
    case 'not':
      return not(compileCriterion(type, criterion.of, context));
    case 'ids':
      return { kind: 'ids', ids: criterion.ids.get(type) ?? [] };
    case 'members':
      return membersCondition(type, criterion, context);
    case 'chain':
      return chainCondition(type, criterion, context);
    case 'has': {
      const where = compileCriterion(criterion.type, criterion.criterion, context);
      const { lists } = listsOf(context.definitions, criterion.type, criterion.parameter.code);
      return or(
        lists
          .filter((list) => mayRefer(list, type))
          .map(({ prefix }) => ({
            kind: 'referred',
            prefix: referencePrefix(prefix),
            by: { type: criterion.type, where },
          })),
      );
    }
    case 'list':
    case 'near':
      throw new Error(`${criterion.kind} was not resolved`);
    case 'parameter':
      return compileParameter(type, criterion, context);
  }
}

function chainCondition(
  type: string,
  { parameter, next }: Extract<Criterion, { kind: 'chain' }>,
  context: CompileContext,
): Condition {
  const { lists } = listsOf(context.definitions, type, parameter.code);
  return or(
    next.flatMap(({ type: to, criterion }) => {
      const where = compileCriterion(to, criterion, context);
      return lists
        .filter((list) => mayRefer(list, to))
        .map(({ prefix }): Condition => ({ kind: 'refers', prefix: referencePrefix(prefix), to: { type: to, where } }));
    }),
  );
}

/** Whether a list holds local references to a type. */
const mayRefer = ({ target, isRemote }: ParameterList, type: string): boolean =>
  isRemote !== true && (target === undefined || target === type);

/** A token that is one of these, or of one of these systems. */
function membersCondition(
  type: string,
  { parameter, members, systems }: Extract<Criterion, { kind: 'members' }>,
  { definitions }: CompileContext,
): Condition {
  const of = listsOf(definitions, type, parameter.code).lists.flatMap(({ prefix }): Condition[] => [
    ...members.map(({ system, code }) => key(keys.token(prefix, code, system))),
    ...(carriesSystem(definitions, type, parameter) === 'always'
      ? []
      : members.map(({ code }) => key(keys.token(prefix, code, undefined)))),
    ...systems.map((system): Condition => ({ kind: 'term', term: terms.tokenSystem(prefix, system) })),
  ]);
  return of.length === 0 ? { kind: 'none' } : or(of);
}

type ParameterCriterion = Extract<Criterion, { kind: 'parameter' }>;

function compileParameter(type: string, criterion: ParameterCriterion, context: CompileContext): Condition {
  const { modifier, values, name } = criterion;
  // The parameter is looked up anew: in a search of several types each has its own expression and type.
  const parameter = context.definitions.searchParameters(type).get(criterion.parameter.code) ?? criterion.parameter;
  if (parameter.code === '_id') return negatedIf(modifier === 'not', { kind: 'ids', ids: values.map(idOf) });
  if (parameter.code === '_lastUpdated') return or(values.map((value) => lastUpdatedCondition(value, name, context)));
  if (parameter.code === '_text' || parameter.code === '_content') {
    const prefix = parameterPrefix(type, parameter.code);
    return or(values.map((value) => textCondition(prefix, literalValue(value), name)));
  }
  const { lists } = listsOf(context.definitions, type, parameter.code);
  if (modifier === 'missing') return missing(lists, values, name);
  const one = (value: string): Condition =>
    or(lists.map((list) => compileValue({ type, parameter, list, modifier, name }, value, context)));
  return negatedIf(modifier === 'not', or(values.map(one)));
}

/** `|1` is the same as `1`: no id has a system. */
const idOf = (value: string): string => literalValue(value.replace(/^\|/, ''));

const negatedIf = (negated: boolean, condition: Condition): Condition => (negated ? not(condition) : condition);

function missing(lists: readonly ParameterList[], values: readonly string[], name: string): Condition {
  const [value] = values;
  if (values.length !== 1 || (value !== 'true' && value !== 'false')) {
    throw new FhirError('invalid', `"${name}" takes true or false.`);
  }
  const present = lists.map(({ prefix, target }) =>
    span(target === undefined ? spans.present(prefix) : spans.following(`${referencePrefix(prefix)}${target}/`)),
  );
  return negatedIf(value === 'true', or(present));
}

/** A parameter as it is searched in one list. */
interface Searched {
  type: string;
  parameter: SearchParameter;
  list: ParameterList;
  modifier: string | undefined;
  /** As the client wrote it. */
  name: string;
}

function compileValue(searched: Searched, value: string, context: CompileContext): Condition {
  const { parameter, list, modifier, name } = searched;
  const { prefix } = list;
  switch (parameter.type) {
    case 'string':
      return stringCondition(prefix, modifier, literalValue(value), name);
    case 'token':
      return tokenValueCondition(searched, value, context);
    case 'reference':
      return modifier === 'identifier'
        ? identifierCondition(list, value)
        : referenceCondition(searched, literalValue(value), context);
    case 'uri':
      return uriCondition(prefix, modifier, literalValue(value));
    case 'date':
      return dateCondition(
        prefix,
        value,
        { name, comparison: FILTER_DATES[modifier ?? ''], ord: ordOf(searched.type, prefix, context) },
        context,
      );
    case 'number':
      return numberCondition(prefix, value, name);
    case 'quantity':
      return quantityCondition(prefix, value, name);
    case 'composite':
      return compositeCondition(parameter, prefix, value, name, context);
    case 'special':
      throw new FhirError('invalid', `"${name}" cannot be searched on this server.`);
  }
}

const ordOf = (type: string, prefix: Key, { definitions, byKeysAlone }: CompileContext): OrdList | undefined =>
  byKeysAlone === true ? undefined : ordList(definitions, type, prefix);

/** What _filter asks of dates beyond the prefixes. */
const FILTER_DATES: Readonly<Record<string, 'po' | 'co'>> = { overlaps: 'po', covers: 'co' };

// ---- string ----

function stringCondition(prefix: Key, modifier: string | undefined, text: string, name: string): Condition {
  if (modifier === 'exact') return key(keys.string(prefix, text));
  const start = folded(text);
  if (start.length > limits.stringKeyCharsMax) {
    throw new FhirError(
      'invalid',
      `"${name}": at most ${limits.stringKeyCharsMax} characters are compared; use :exact for longer texts.`,
    );
  }
  switch (modifier) {
    case 'equal':
      return span(spans.equalTo(prefix, text));
    case 'unequal':
      return outside(spans.allStrings(prefix), [spans.equalTo(prefix, text)]);
    case 'gt':
    case 'lt':
    case 'ge':
    case 'le':
      return initialCondition(prefix, modifier, start);
    case 'contains':
    case 'ends':
      return partCondition(prefix, modifier, start, name);
    default:
      return span(spans.startsWith(prefix, text));
  }
}

/** What begins with a character after, or before, the first one of a text. */
function initialCondition(prefix: Key, comparison: 'gt' | 'lt' | 'ge' | 'le', text: string): Condition {
  const all = spans.allStrings(prefix);
  const same = spans.startsWith(prefix, String.fromCodePoint(text.codePointAt(0) ?? 0));
  switch (comparison) {
    case 'gt':
      return span({ from: same.to, to: all.to });
    case 'ge':
      return span({ from: same.from, to: all.to });
    case 'lt':
      return span({ from: all.from, to: same.from });
    case 'le':
      return span({ from: all.from, to: same.to });
  }
}

function partCondition(prefix: Key, kind: 'contains' | 'ends', text: string, name: string): Condition {
  if (text.length > limits.containsCharsMax) {
    throw new FhirError('invalid', `"${name}": parts of at most ${limits.containsCharsMax} characters are looked for.`);
  }
  return or([spans.allStrings(prefix), spans.allWindows(prefix)].map((lists) => span(lists, { kind, text })));
}

/** What lies in a list outside of some stretches of it: some value is another one. */
function outside(list: KeyRange, without: readonly KeyRange[]): Condition {
  const gaps: Condition[] = [];
  let { from } = list;
  for (const gap of [...without].sort((a, b) => compareKeys(a.from, b.from))) {
    if (compareKeys(from, gap.from) < 0) gaps.push(span({ from, to: gap.from }));
    if (compareKeys(from, gap.to) < 0) from = gap.to;
  }
  if (compareKeys(from, list.to) < 0) gaps.push(span({ from, to: list.to }));
  return or(gaps);
}

interface KeyRange {
  from: Key;
  to: Key;
}

const only = (key: Key): KeyRange => ({ from: key, to: `${key}\0` });

// ---- token ----

function tokenValueCondition(searched: Searched, value: string, context: CompileContext): Condition {
  const { type, parameter, list, modifier, name } = searched;
  const { prefix } = list;
  const isUnequal = modifier === 'unequal';
  if (modifier === 'text') return { kind: 'term', term: terms.display(prefix, literalValue(value)), prefix: true };
  if (modifier === 'of-type') return ofTypeCondition(prefix, value, name);
  const carries = carriesSystem(context.definitions, type, parameter);
  const [first = '', second, ...more] = splitUnescaped(value, '|').map(literalValue);
  if (second === undefined) {
    const whatever = spans.tokens(prefix, first);
    if (isUnequal) return outside(spans.following(`${prefix}t`), [whatever]);
    return carries === 'never' ? key(keys.token(prefix, first, undefined)) : anySystem(whatever);
  }
  const code = [second, ...more].join('|');
  if (code === '') {
    if (isUnequal) throw new FhirError('invalid', `"${name}": ne takes a code, with or without its system.`);
    return { kind: 'term', term: terms.tokenSystem(prefix, first) };
  }
  // An element of type code carries no system in the data; the one that its binding implies is taken as given.
  const found = (carries === 'always' ? [first] : [first, undefined]).map((one) => keys.token(prefix, code, one));
  return isUnequal ? outside(spans.following(`${prefix}t`), found.map(only)) : or(found.map((one) => key(one)));
}

/** A code stands in the list once for each system that it is used with. */
const anySystem = (range: { from: Key; to: Key }): Condition => ({ kind: 'span', ...range, fewKeys: true });

const WITH_SYSTEM: ReadonlySet<string> = new Set(['CodeableConcept', 'Coding', 'Identifier', 'Quantity', 'Money']);
const carriers = new WeakMap<Definitions, Map<string, 'always' | 'never' | 'some'>>();

/** Whether the elements of a token parameter can carry a system: a Coding can, a code or boolean cannot. */
function carriesSystem(
  definitions: Definitions,
  type: string,
  parameter: SearchParameter,
): 'always' | 'never' | 'some' {
  let known = carriers.get(definitions);
  if (known === undefined) {
    known = new Map();
    carriers.set(definitions, known);
  }
  const name = `${type} ${parameter.url} ${parameter.expression}`;
  let carries = known.get(name);
  if (carries === undefined) {
    const types = [...selectedTypes(definitions, type, parameter.expression)];
    // An extension's value may be of any type.
    const isOpen = types.length === 0 || types.includes('Extension');
    carries = isOpen
      ? 'some'
      : types.every((one) => WITH_SYSTEM.has(one))
        ? 'always'
        : types.some((one) => WITH_SYSTEM.has(one))
          ? 'some'
          : 'never';
    known.set(name, carries);
  }
  return carries;
}

/** `system|code|value`: an identifier of a type. https://hl7.org/fhir/R4/search.html#token */
function ofTypeCondition(prefix: Key, value: string, name: string): Condition {
  const [system = '', code = '', ...rest] = splitUnescaped(value, '|').map(literalValue);
  const identifier = rest.join('|');
  if (system === '' || code === '' || identifier === '') {
    throw new FhirError('invalid', `"${name}" takes system|code|value, with the system and code of Identifier.type.`);
  }
  return { kind: 'term', term: terms.ofType(prefix, system, code, identifier) };
}

// ---- reference, uri ----

/** References by the identifier in them, which may have any system or none. */
function identifierCondition({ prefix, target }: ParameterList, value: string): Condition {
  // The shared list has identifiers of other types, too; the parameter's own has its.
  if (target !== undefined) return { kind: 'none' };
  const [first = '', second, ...more] = splitUnescaped(value, '|').map(literalValue);
  if (second === undefined) return anySystem(spans.tokens(prefix, first, 'i'));
  const code = [second, ...more].join('|');
  if (code === '') return { kind: 'term', term: terms.identifierSystem(prefix, first) };
  return key(keys.token(prefix, code, first, 'i'));
}

function referenceCondition(searched: Searched, value: string, context: CompileContext): Condition {
  const targets = referenceTargets(searched, value, context);
  const { prefix, target, isRemote } = searched.list;
  if (searched.modifier === 'unequal') return otherReferences(searched, targets);
  const found = targets.filter(
    (one) => (target === undefined || one.startsWith(`${target}/`)) && (isRemote !== true || one.includes(':')),
  );
  return found.length === 0 ? { kind: 'none' } : or(found.map((one) => key(keys.reference(prefix, one))));
}

/** Some reference is to something else. */
function otherReferences({ list }: Searched, targets: readonly string[]): Condition {
  const start = `${referencePrefix(list.prefix)}${list.target === undefined ? '' : `${list.target}/`}`;
  const without = targets.map((target) => keys.reference(list.prefix, target)).filter((one) => one.startsWith(start));
  return outside(spans.following(start), without.map(only));
}

function referenceTargets({ parameter, modifier: asked }: Searched, value: string, context: CompileContext): string[] {
  const modifier = asked === 'unequal' ? undefined : asked;
  if (modifier !== undefined && !value.includes('/')) return [`${modifier}/${value}`];
  const target = referenceTarget(value, context) ?? value;
  if (modifier !== undefined && !target.startsWith(`${modifier}/`)) return [];
  if (!/^[A-Za-z0-9\-.]{1,64}$/.test(value)) return [target];
  const types = parameter.targets.length > 0 ? parameter.targets : context.definitions.resourceTypes;
  return [...types.map((type) => `${type}/${value}`), value];
}

function uriCondition(prefix: Key, modifier: string | undefined, uri: string): Condition {
  if (modifier === 'below') return or([key(keys.uri(prefix, uri)), span(spans.uriBelow(prefix, uri))]);
  if (modifier === 'begins') return span(spans.following(keys.uri(prefix, uri)));
  if (modifier === 'unequal') return outside(spans.following(`${prefix}p`), [only(keys.uri(prefix, uri))]);
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

// ---- order ----

/** The store's order for `_sort` on a type. */
export function compileSort(type: string, sort: readonly SortBy[], context: IndexContext): SortKey[] {
  const ord = ordParameter(context.definitions, type);
  return sort.map(({ parameter, descending }) => {
    if (parameter.code === ord?.code) return { by: 'ord', descending };
    const own = context.definitions.searchParameters(type).get(parameter.code) ?? parameter;
    const prefix = sortList(type, own, context);
    return prefix === undefined ? { by: 'lastUpdated', descending } : { by: 'keys', prefix, descending };
  });
}

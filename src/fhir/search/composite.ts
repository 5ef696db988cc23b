// Composite parameters: values that belong to the same element, kept as one key of fixed places, so that
// `code-value-quantity=8480-6$gt140` is one stretch of one list. https://hl7.org/fhir/R4/search.html#composite
//
// A key has the parameter's prefix, a list, the digest of the first component's code, the other components, and then
// what may be left out of a search: systems and units.
//   k  first, then each component: number 11, date 9 + 9, digest of a token, reference or URI 8; then the first's
//      system 8, then for each component a system or unit 8
//   K  first, unit 8, number 11, the first's system: a quantity in the base unit of its dimension
//   w  first, low 11, high 11, the first's system, unit: a range     W  first, unit, low, high, the first's system
//   v  first, the first's system (a second key has ******** for any), folded text: a string
import { FhirError } from '../../base/outcome.ts';
import type { Definitions, SearchParameter } from '../../model/definitions.ts';
import { type Accessor, compileExpression, selectedTypes, type TypedValue } from '../../model/search-accessors.ts';
import type { Key } from '../../store/store.ts';
import { encodeNumber, encodeTime, NO_DIGEST, parameterPrefix, shortDigest, stringStart } from './keys.ts';
import { listsOf } from './lists.ts';
import { canonicalUnit, inCanonicalUnit, type QuantityValue, quantityUnits, type RangeValue } from './quantity.ts';
import { type IndexContext, rangeOf, referenceTarget, type Token, tokensOf } from './values.ts';

/** Adds the keys of one composite parameter for a resource. */
export type CompositeIndexer = (resource: object, context: IndexContext, out: Set<Key>) => void;

/** A component: the parameter that says what kind of value it is, and where it is found below the common element. */
export interface Component {
  parameter: SearchParameter;
  expression: string;
}

/** Mark of a first component whose system is left open, in the lists that cannot be searched with a gap. */
export const ANY_SYSTEM = '*'.repeat(8);
/** Mark of a code that cannot carry a system: it is taken for the one that its binding implies. */
export const IMPLICIT_SYSTEM = '#'.repeat(8);
/** Values of one component in one element: more are left out of the combinations. */
const VALUES_MAX = 50;

/** What is written for one value of one component: the places in order, and what may be left out of a search. */
interface Places {
  /** `quantity`: the same in the base unit. `text` stands at the end of a key of its own. */
  kind: 'fixed' | 'quantity' | 'range' | 'canonical-range' | 'text';
  main: string;
  tail: string;
}

export function compositeIndexers(definitions: Definitions, type: string): CompositeIndexer[] {
  return [...definitions.searchParameters(type).values()]
    .filter((parameter) => parameter.type === 'composite')
    .filter(({ code }) => listsOf(definitions, type, code).writes === 'all')
    .flatMap((parameter) => indexersOf(definitions, type, parameter));
}

function indexersOf(definitions: Definitions, type: string, parameter: SearchParameter): CompositeIndexer[] {
  const components = componentsOf(definitions, parameter);
  if (components === undefined) return [];
  const prefix = parameterPrefix(type, parameter.code);
  const focus = compileExpression(definitions, type, parameter.expression);
  const accessors = new Map<string, readonly Accessor[] | undefined>();
  for (const one of selectedTypes(definitions, type, parameter.expression)) {
    const compiled = components.map(({ expression }) => compiledOrNot(definitions, one, expression));
    if (compiled.every((accessor) => accessor !== undefined)) accessors.set(one, compiled);
  }
  return [
    (resource, context, out) => {
      for (const element of focus(resource)) {
        const values = accessors
          .get(element.type)
          ?.map((accessor, at) => placesOf(components[at], accessor(element.value as object, resource), context));
        if (values !== undefined) addCombinations(prefix, values, out);
      }
    },
  ];
}

/** Undefined for an expression that selects nothing in a type: a component is one of Observation or Observation.component. */
function compiledOrNot(definitions: Definitions, type: string, expression: string): Accessor | undefined {
  try {
    return compileExpression(definitions, type, expression);
  } catch (error) {
    if (error instanceof FhirError) return undefined;
    throw error;
  }
}

const byUrl = new WeakMap<Definitions, Map<string, SearchParameter>>();

/** The components of a composite parameter; undefined when one of them is not known or cannot be combined. */
export function componentsOf(definitions: Definitions, parameter: SearchParameter): Component[] | undefined {
  let known = byUrl.get(definitions);
  if (known === undefined) {
    known = new Map();
    for (const type of definitions.resourceTypes) {
      for (const one of definitions.searchParameters(type).values()) known.set(one.url, one);
    }
    byUrl.set(definitions, known);
  }
  const components: Component[] = [];
  for (const { definition, expression } of parameter.components ?? []) {
    const own = known.get(definition);
    if (own === undefined || own.type === 'composite' || own.type === 'special') return undefined;
    components.push({ parameter: own, expression });
  }
  return components.length < 2 ? undefined : inTheirOrder(components);
}

/**
 * R4 gives DocumentReference.relationship its two expressions in the order of the other's definition: the reference is
 * `code`, the token `target`. What a component is decides.
 */
function inTheirOrder(components: Component[]): Component[] {
  const [first, second] = components;
  if (first === undefined || second === undefined || components.length !== 2) return components;
  const last = ({ expression }: { expression: string }): string => expression.split('.').at(-1) ?? '';
  const isSwapped =
    first.parameter.expression.endsWith(`.${last(second)}`) && second.parameter.expression.endsWith(`.${last(first)}`);
  return isSwapped
    ? [
        { ...first, expression: second.expression },
        { ...second, expression: first.expression },
      ]
    : components;
}

// ---- writing ----

function placesOf(component: Component | undefined, values: readonly TypedValue[], context: IndexContext): Places[] {
  const found = values
    .slice(0, VALUES_MAX)
    .flatMap((value) => placesOfValue(component?.parameter.type, value, context));
  return found.slice(0, VALUES_MAX);
}

function placesOfValue(kind: SearchParameter['type'] | undefined, typed: TypedValue, context: IndexContext): Places[] {
  const { type, value } = typed;
  switch (kind) {
    case 'token':
      return TOKEN_TYPES.has(type) || typeof value !== 'object' ? tokensOf(typed).flatMap(tokenPlaces) : [];
    case 'reference':
      return referencePlaces(value, context);
    case 'uri':
      return typeof value === 'string' ? [fixed(shortDigest(value))] : [];
    case 'string':
      return typeof value === 'string' ? [{ kind: 'text', main: stringStart(value), tail: '' }] : [];
    case 'date': {
      const range = rangeOf(typed, context.timeZone);
      return range === undefined ? [] : [fixed(encodeTime(range.from) + encodeTime(range.to))];
    }
    case 'number':
      return typeof value === 'number' ? [fixed(encodeNumber(value))] : [];
    case 'quantity':
      return type === 'Range' ? rangePlaces(value as RangeValue) : quantityPlaces(type, value);
    default:
      return [];
  }
}

const TOKEN_TYPES: ReadonlySet<string> = new Set(['CodeableConcept', 'Coding', 'Identifier', 'ContactPoint']);

const fixed = (main: string, tail = NO_DIGEST): Places => ({ kind: 'fixed', main, tail });

function tokenPlaces({ system, code }: Token): Places[] {
  return code === undefined ? [] : [fixed(codeDigest(code), systemDigest(system))];
}

/** Codes are compared in lower case, as in a token parameter. */
export const codeDigest = (code: string): string => shortDigest(code.toLowerCase());

/** `undefined`: none is possible; '': none is there. */
export function systemDigest(system: string | undefined): string {
  if (system === undefined) return IMPLICIT_SYSTEM;
  return system === '' ? NO_DIGEST : shortDigest(system);
}

function referencePlaces(value: unknown, context: IndexContext): Places[] {
  const text = typeof value === 'string' ? value : (value as { reference?: unknown } | null)?.reference;
  if (typeof text !== 'string' || text === '') return [];
  const target = referenceTarget(text, context);
  return target === undefined ? [] : [fixed(shortDigest(target))];
}

function quantityPlaces(type: string, value: unknown): Places[] {
  const object = type === 'SampledData' ? (value as { origin?: unknown } | null)?.origin : value;
  if (typeof object !== 'object' || object === null) return [];
  const quantity = object as QuantityValue;
  if (typeof quantity.value !== 'number') return [];
  const number = quantity.value;
  const places = unitDigests(quantity).map((unit) => fixed(encodeNumber(number), unit));
  const unit = canonicalUnit(quantity);
  if (unit === undefined) return places;
  const main = unitDigest(unit.system, unit.canonical) + encodeNumber(inCanonicalUnit(number, unit));
  return [...places, { kind: 'quantity', main, tail: '' }];
}

function rangePlaces({ low, high }: RangeValue): Places[] {
  const from = typeof low?.value === 'number' ? low.value : Number.NEGATIVE_INFINITY;
  const to = typeof high?.value === 'number' ? high.value : Number.POSITIVE_INFINITY;
  if (from === Number.NEGATIVE_INFINITY && to === Number.POSITIVE_INFINITY) return [];
  const quantity = low ?? high ?? {};
  // A range of one value is that value.
  if (from === to) return quantityPlaces('Quantity', { ...quantity, value: from });
  const both = encodeNumber(from) + encodeNumber(to);
  const places = unitDigests(quantity).map((tail): Places => ({ kind: 'range', main: both, tail }));
  const unit = canonicalUnit(quantity);
  if (unit === undefined) return places;
  const ends = encodeNumber(inCanonicalUnit(from, unit)) + encodeNumber(inCanonicalUnit(to, unit));
  return [...places, { kind: 'canonical-range', main: unitDigest(unit.system, unit.canonical) + ends, tail: '' }];
}

export const unitDigest = (system: string, canonical: string): string => shortDigest(`${system}|${canonical}`);

function unitDigests(quantity: QuantityValue): string[] {
  const units = quantityUnits(quantity).map((unit) => shortDigest(unit));
  return units.length === 0 ? [NO_DIGEST] : units;
}

function addCombinations(prefix: Key, [firsts = [], ...others]: readonly Places[][], out: Set<Key>): void {
  for (const first of firsts) {
    if (first.kind !== 'fixed') continue;
    let rows: Places[][] = [[]];
    for (const values of others)
      rows = rows.flatMap((row) => values.map((value) => [...row, value])).slice(0, VALUES_MAX);
    for (const row of rows) for (const key of keysOf(prefix, first, row)) out.add(key);
  }
}

function keysOf(prefix: Key, first: Places, row: readonly Places[]): Key[] {
  const [only] = row;
  if (only === undefined) return [];
  if (row.length === 1 && only.kind !== 'fixed') return [...keysOfOne(prefix, first, only)];
  if (row.some(({ kind }) => kind !== 'fixed')) return [];
  const places = row.map(({ main }) => main).join('');
  return [`${prefix}k${first.main}${places}${first.tail}${row.map(({ tail }) => tail).join('')}`];
}

function* keysOfOne(prefix: Key, first: Places, { kind, main, tail }: Places): Generator<Key> {
  if (kind === 'quantity') yield `${prefix}K${first.main}${main}${first.tail}`;
  if (kind === 'range') yield `${prefix}w${first.main}${main}${first.tail}${tail}`;
  if (kind === 'canonical-range') yield `${prefix}W${first.main}${main}${first.tail}`;
  if (kind === 'text') {
    for (const system of [first.tail, ANY_SYSTEM]) yield `${prefix}v${first.main}${system}${main}`;
  }
}

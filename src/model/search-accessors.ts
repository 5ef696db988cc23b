// Search expressions compiled to accessors: closures that read the JSON directly, with every type known beforehand,
// so `as` costs nothing and a choice reads its full names. A tenth to a hundredth of the time of a FHIRPath engine.
// https://hl7.org/fhir/R4/searchparameter-definitions.html#SearchParameter.expression, https://hl7.org/fhirpath/N1/

import { FhirError } from '../base/outcome.ts';
import type { Definitions, Member } from './definitions.ts';
import { parseReference } from './references.ts';
import { parseSearchExpression, type SearchExpression } from './search-expression.ts';

/** A value with its FHIR type: `CodeableConcept`, `date`, or an inline type such as `Observation.component`. */
export interface TypedValue {
  type: string;
  /** The JSON value; never undefined or null. */
  value: unknown;
}

/**
 * The values that an expression selects, in document order; the same value can come twice through a union.
 * `resource` is what `%resource` and `#contained` references mean; needed only where `focus` is not the resource itself.
 */
export type Accessor = (focus: object, resource?: object) => TypedValue[];

/**
 * Compiles an expression for values of one type: a resource type, or for the component of a composite parameter the
 * type of the element (`Observation.component`).
 * Throws FhirError('not-supported') naming the expression when it goes beyond what search expressions use, or when it
 * cannot select anything in that type.
 */
export function compileExpression(definitions: Definitions, base: string, expression: string): Accessor {
  const tree = parseSearchExpression(expression);
  const visit =
    tree === undefined ? undefined : compile({ definitions, text: expression, partsLeft: partsMax }, tree, base, leaf);
  if (visit === undefined) {
    throw notSupported(expression, tree === undefined ? 'is not understood' : `selects nothing in ${base}`);
  }
  return (focus, resource = focus) => {
    const found: TypedValue[] = [];
    visit(focus, found, resource);
    return found;
  };
}

/**
 * The types of what an expression can select in `base`; empty when it is not understood.
 * Throws FhirError('not-supported') for one that takes more than so many parts, or a function that is not there.
 */
export function selectedTypes(
  definitions: Definitions,
  base: string,
  expression: string,
  partsLeft: number = partsMax,
): ReadonlySet<string> {
  const types = new Set<string>();
  const tree = parseSearchExpression(expression);
  if (tree === undefined) return types;
  const visit = compile({ definitions, text: expression, partsLeft }, tree, base, (type) => {
    types.add(type);
    return leaf(type);
  });
  // What is found on the way to nothing is not selected.
  return visit === undefined ? new Set() : types;
}

function notSupported(expression: string, why: string): FhirError {
  return new FhirError(
    'not-supported',
    `search expression "${expression}" ${why}; accepted are paths with as, ofType, is, where, exists, empty, not, ` +
      'first, extension, hasExtension, resolve() is, [n], =, !=, and, or, |',
  );
}

interface Scope {
  definitions: Definitions;
  /** The whole expression, for messages. */
  text: string;
  /** How many more parts may be compiled. */
  partsLeft: number;
}

/**
 * Criteria are compiled once per type they meet, and `Extension.value` has 50, so a hostile expression could grow to
 * millions of closures. Official ones take up to 139 parts, 17 when reduced to one type.
 */
const partsMax = 10_000;

/** Walks from one value and appends what it finds. */
type Visit = (value: unknown, found: TypedValue[], resource: object) => void;

/** What to do with a value of some type; undefined when nothing of that type can be selected. */
type Next = (type: string) => Visit | undefined;

/** FHIRPath's boolean: undefined is the empty collection. */
type Truth = (value: unknown, resource: object) => boolean | undefined;

type Json = Readonly<Record<string, unknown>>;

function leaf(type: string): Visit {
  return (value, found) => {
    found.push({ type, value });
  };
}

function compile(scope: Scope, node: SearchExpression, type: string, continuation: Next): Visit | undefined {
  if (--scope.partsLeft < 0) throw notSupported(scope.text, 'is too large');
  const next = oncePerType(continuation);
  switch (node.kind) {
    case 'focus':
      return next(type);
    case 'resource': {
      const visit = byResourceType(scope, next);
      return (_, found, resource) => visit(resource, found, resource);
    }
    case 'literal': {
      const visit = next(node.type);
      return visit && ((_, found, resource) => visit(node.value, found, resource));
    }
    case 'member': {
      if (node.target.kind === 'focus' && scope.definitions.type(node.name)?.kind === 'resource') {
        return ofType(scope, type, node.name, next);
      }
      const direct = compile(scope, node.target, type, (owner) => memberVisit(scope, owner, node.name, next));
      return node.name === 'extension' ? both(direct, siblingExtensions(scope, node.target, type, next)) : direct;
    }
    case 'index':
      return indexVisit(scope, node.target, node.index, type, next);
    case 'type':
      if (node.operator === 'as') {
        return compile(scope, node.target, type, (owner) => ofType(scope, owner, node.type, next));
      }
      return truthVisit(scope, node, type, next);
    case 'union':
      return both(compile(scope, node.left, type, next), compile(scope, node.right, type, next));
    case 'equality':
    case 'logic':
      return truthVisit(scope, node, type, next);
    case 'call':
      return callVisit(scope, node, type, next);
  }
}

function oncePerType(next: Next): Next {
  const visits = new Map<string, Visit | undefined>();
  return (type) => {
    if (!visits.has(type)) visits.set(type, next(type));
    return visits.get(type);
  };
}

function both(left: Visit | undefined, right: Visit | undefined): Visit | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  return (value, found, resource) => {
    left(value, found, resource);
    right(value, found, resource);
  };
}

// Members

/** Choices with more types than this are found by looking at the names that are there (`Extension.value[x]` has 50). */
const choiceTypesMax = 6;

function memberVisit(scope: Scope, owner: string, name: string, next: Next): Visit | undefined {
  const definition = scope.definitions.type(owner);
  if (definition === undefined) return undefined;
  if (definition.kind === 'primitive') return name === 'value' ? next(owner) : undefined;
  const exact = definition.members.get(name);
  if (exact !== undefined) return fieldVisit(scope, exact, next);
  const visits = new Map<string, Visit>();
  for (const member of definition.members.values()) {
    const visit = member.choice === name ? fieldVisit(scope, member, next) : undefined;
    if (visit !== undefined) visits.set(member.name, visit);
  }
  if (visits.size > choiceTypesMax) return manyNamesVisit(visits);
  return [...visits.values()].reduce<Visit | undefined>(both, undefined);
}

function manyNamesVisit(visits: ReadonlyMap<string, Visit>): Visit {
  return (value, found, resource) => {
    if (typeof value !== 'object' || value === null) return;
    for (const name in value) visits.get(name)?.(value, found, resource);
  };
}

function fieldVisit(scope: Scope, member: Member, next: Next): Visit | undefined {
  const visit = member.type === 'Resource' ? byResourceType(scope, next) : next(member.type);
  return visit && namedVisit(member.name, visit);
}

function namedVisit(name: string, visit: Visit): Visit {
  return (owner, found, resource) => {
    const value = (owner as Json)[name];
    if (value === undefined || value === null) return;
    if (!Array.isArray(value)) {
      visit(value, found, resource);
      return;
    }
    for (const item of value) if (item !== null) visit(item, found, resource);
  };
}

/** For contained resources and Bundle entries the type is known only from the value. */
function byResourceType(scope: Scope, next: Next): Visit {
  const visitFor = oncePerType(next);
  return (value, found, resource) => {
    const type = (value as Json).resourceType;
    if (typeof type === 'string' && scope.definitions.isResourceType(type)) visitFor(type)?.(value, found, resource);
  };
}

/** The extensions of a primitive stand beside it: `_birthDate.extension`. */
function siblingExtensions(scope: Scope, target: SearchExpression, type: string, next: Next): Visit | undefined {
  if (target.kind !== 'member' || target.name === 'extension') return undefined;
  const visit = memberVisit(scope, 'Element', 'extension', next);
  if (visit === undefined) return undefined;
  return compile(scope, target.target, type, (owner) => {
    const members = [...(scope.definitions.type(owner)?.members.values() ?? [])].filter(
      (member) =>
        (member.name === target.name || member.choice === target.name) &&
        scope.definitions.type(member.type)?.kind === 'primitive',
    );
    return members.map((member) => namedVisit(`_${member.name}`, visit)).reduce<Visit | undefined>(both, undefined);
  });
}

// Types

function ofType(scope: Scope, type: string, wanted: string, next: Next): Visit | undefined {
  const name = typeNamed(scope, wanted);
  if (scope.definitions.isA(type, name)) return next(type);
  if (!scope.definitions.isA(name, type)) return undefined;
  const visit = next(name);
  return (
    visit &&
    ((value, found, resource) => {
      const actual = (value as Json).resourceType;
      if (typeof actual === 'string' && scope.definitions.isA(actual, name)) visit(value, found, resource);
    })
  );
}

/** Observation's code-value-date says `DateTime`, which is FHIRPath's own type, and means `dateTime`. */
function typeNamed(scope: Scope, name: string): string {
  const lower = name.charAt(0).toLowerCase() + name.slice(1);
  return scope.definitions.type(name) === undefined && scope.definitions.type(lower) !== undefined ? lower : name;
}

// Collections

type Collect = (value: unknown, resource: object) => TypedValue[];

function collector(scope: Scope, node: SearchExpression, type: string): Collect {
  const visit = compile(scope, node, type, leaf);
  return (value, resource) => {
    const found: TypedValue[] = [];
    visit?.(value, found, resource);
    return found;
  };
}

function indexVisit(
  scope: Scope,
  target: SearchExpression,
  index: number,
  type: string,
  next: Next,
): Visit | undefined {
  let isLive = false;
  const collect = compile(scope, target, type, (itemType) => {
    isLive ||= next(itemType) !== undefined;
    return leaf(itemType);
  });
  if (collect === undefined || !isLive) return undefined;
  return (value, found, resource) => {
    const items: TypedValue[] = [];
    collect(value, items, resource);
    const item = items[index];
    if (item !== undefined) next(item.type)?.(item.value, found, resource);
  };
}

type Call = Extract<SearchExpression, { kind: 'call' }>;

function callVisit(scope: Scope, node: Call, type: string, next: Next): Visit | undefined {
  const [argument] = node.arguments;
  switch (node.name) {
    case 'where': {
      if (argument === undefined) throw notSupported(scope.text, 'has a where without criteria');
      return compile(scope, node.target, type, (owner) => {
        const visit = next(owner);
        return visit && filtered(truth(scope, argument, owner), visit);
      });
    }
    case 'extension':
      return compile(scope, extensionsOf(scope, node), type, next);
    case 'first':
      return indexVisit(scope, node.target, 0, type, next);
    default:
      return truthVisit(scope, node, type, next);
  }
}

function filtered(test: Truth, visit: Visit): Visit {
  return (value, found, resource) => {
    if (test(value, resource) === true) visit(value, found, resource);
  };
}

/** `extension('u')` is short for `extension.where(url = 'u')`. */
function extensionsOf(scope: Scope, { target, name, arguments: [url] }: Call): SearchExpression {
  if (url?.kind !== 'literal') throw notSupported(scope.text, `has ${name}() without the url as a string`);
  const member: SearchExpression = { kind: 'member', target: { kind: 'focus' }, name: 'url' };
  return {
    kind: 'call',
    target: { kind: 'member', target, name: 'extension' },
    name: 'where',
    arguments: [{ kind: 'equality', operator: '=', left: member, right: url }],
  };
}

// Truth

function truthVisit(scope: Scope, node: SearchExpression, type: string, next: Next): Visit | undefined {
  const visit = next('boolean');
  if (visit === undefined) return undefined;
  const test = truth(scope, node, type);
  return (value, found, resource) => {
    const result = test(value, resource);
    if (result !== undefined) visit(result, found, resource);
  };
}

function truth(scope: Scope, node: SearchExpression, type: string): Truth {
  switch (node.kind) {
    case 'equality':
      return equalityTruth(scope, node, type);
    case 'logic': {
      const left = truth(scope, node.left, type);
      const right = truth(scope, node.right, type);
      // `false and {}` is false, `true or {}` is true; else the empty collection wins.
      const decisive = node.operator === 'or';
      return (value, resource) => {
        const first = left(value, resource);
        if (first === decisive) return decisive;
        const second = right(value, resource);
        if (second === decisive) return decisive;
        return first === undefined ? first : second;
      };
    }
    case 'type':
      return node.operator === 'is' ? isTruth(scope, node, type) : singleTruth(scope, node, type);
    case 'call':
      return callTruth(scope, node, type);
    default:
      return singleTruth(scope, node, type);
  }
}

/** A collection where a boolean is expected: empty is empty, one boolean is itself, one other value is true. */
function singleTruth(scope: Scope, node: SearchExpression, type: string): Truth {
  const collect = collector(scope, node, type);
  return (value, resource) => {
    const items = collect(value, resource);
    if (items.length !== 1) return undefined;
    return typeof items[0]?.value === 'boolean' ? items[0].value : true;
  };
}

function callTruth(scope: Scope, node: Call, type: string): Truth {
  const { name, target, arguments: given } = node;
  if (name === 'not' && given.length === 0) {
    const test = truth(scope, target, type);
    return (value, resource) => {
      const result = test(value, resource);
      return result === undefined ? undefined : !result;
    };
  }
  if ((name === 'exists' && given.length <= 1) || (name === 'empty' && given.length === 0)) {
    const narrowed: SearchExpression = given.length === 0 ? target : { ...node, name: 'where' };
    const collect = collector(scope, narrowed, type);
    return (value, resource) => collect(value, resource).length > 0 === (name === 'exists');
  }
  if (name === 'hasExtension') {
    const collect = collector(scope, extensionsOf(scope, node), type);
    return (value, resource) => collect(value, resource).length > 0;
  }
  if (name === 'where' || name === 'extension' || name === 'first') return singleTruth(scope, node, type);
  throw notSupported(scope.text, `uses ${name}()`);
}

function equalityTruth(scope: Scope, node: Extract<SearchExpression, { kind: 'equality' }>, type: string): Truth {
  const left = collector(scope, node.left, type);
  const right = collector(scope, node.right, type);
  const isEqual = node.operator === '=';
  const direct = memberEquals(scope, node, type);
  if (direct !== undefined && isEqual) return direct;
  return (value, resource) => {
    const ours = left(value, resource);
    const theirs = right(value, resource);
    if (ours.length === 0 || theirs.length === 0) return undefined;
    const isSame = ours.length === theirs.length && ours.every((item, at) => sameValue(item.value, theirs[at]?.value));
    return isSame === isEqual;
  };
}

/** `system = 'phone'`, by far the commonest criterion, without collections. */
function memberEquals(
  scope: Scope,
  { left, right }: Extract<SearchExpression, { kind: 'equality' }>,
  type: string,
): Truth | undefined {
  if (left.kind !== 'member' || left.target.kind !== 'focus' || right.kind !== 'literal') return undefined;
  const member = scope.definitions.type(type)?.members.get(left.name);
  if (member === undefined || member.many) return undefined;
  const { name } = member;
  return (value) => {
    const actual = (value as Json)[name];
    return actual === undefined ? undefined : actual === right.value;
  };
}

function sameValue(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  return typeof left === 'object' && typeof right === 'object' && JSON.stringify(left) === JSON.stringify(right);
}

function isTruth(scope: Scope, node: Extract<SearchExpression, { kind: 'type' }>, type: string): Truth {
  const wanted = typeNamed(scope, node.type);
  const { target } = node;
  if (target.kind === 'call' && target.name === 'resolve' && target.arguments.length === 0) {
    const collect = target.target.kind === 'focus' ? undefined : collector(scope, target.target, type);
    const isConcrete = scope.definitions.isResourceType(wanted);
    const isWanted = (value: unknown, resource: object): boolean => {
      const actual = referencedType(scope, value, resource);
      if (actual === wanted || actual === undefined || isConcrete) return actual === wanted;
      return scope.definitions.isA(actual, wanted);
    };
    if (collect === undefined) return isWanted;
    return (value, resource) => collect(value, resource).some((item) => isWanted(item.value, resource));
  }
  const collect = collector(scope, target, type);
  return (value, resource) => {
    const items = collect(value, resource);
    return items.length !== 1 ? undefined : scope.definitions.isA(items[0]?.type ?? '', wanted);
  };
}

// References

/**
 * The resource type that a Reference, canonical or uri means, as far as the text tells: its type segment, the contained
 * resource for `#id`, else Reference.type. Nothing is fetched. https://hl7.org/fhir/R4/references.html
 */
function referencedType(scope: Scope, value: unknown, resource: object): string | undefined {
  const isText = typeof value === 'string';
  const text = isText ? value : (value as Json).reference;
  if (typeof text === 'string') {
    const { kind, id = '', type } = parseReference(text, undefined, scope.definitions.isResourceType);
    const named = kind === 'contained' ? containedType(id, resource) : type;
    if (named !== undefined) return named;
  }
  const type = isText ? undefined : (value as Json).type;
  if (typeof type !== 'string') return undefined;
  const name = type.slice(type.lastIndexOf('/') + 1);
  return scope.definitions.isResourceType(name) ? name : undefined;
}

function containedType(id: string, resource: object): string | undefined {
  const { contained, resourceType } = resource as Json;
  if (id === '') return typeof resourceType === 'string' ? resourceType : undefined;
  if (!Array.isArray(contained)) return undefined;
  const found = (contained as (Json | null)[]).find((candidate) => candidate?.id === id);
  return typeof found?.resourceType === 'string' ? found.resourceType : undefined;
}

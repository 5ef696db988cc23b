// FHIRPath: expressions over resources in memory, with the types of R4. The only home of the engine fhirpath.js, which
// takes 50-100 ms to load and is therefore loaded when the first expression is compiled.
// https://hl7.org/fhirpath/N1/, https://hl7.org/fhir/R4/fhirpath.html

import { createRequire } from 'node:module';
import { constants, createContext, Script } from 'node:vm';
import type { ResourceNode } from 'fhirpath';
import { limits } from '../base/limits.ts';
import { FhirError } from '../base/outcome.ts';
import { pathProblem, shownPath } from './path-problem.ts';

/** Values of `%name`, without the percent sign. */
export type PathVariables = Readonly<Record<string, unknown>>;

export type CompiledPath = (focus: unknown, variables?: PathVariables) => unknown[];

/** An element of the focus that an expression selects. */
export interface SelectedElement {
  /** Member names as in JSON (`valueQuantity`) and positions in arrays, from the focus; empty for the focus itself. */
  steps: readonly (string | number)[];
  /** Type as the engine knows it, without namespace: `HumanName`, `string`, `BackboneElement`. */
  type: string;
}

/**
 * Values of a FHIRPath expression. `focus` is a resource, a value of an earlier evaluation, or a list of such;
 * dates come back as text, decimals as numbers, quantities as literals (`1 'mg'`).
 *
 * Variables: `%resource` and `%rootResource` are the focus where it is a resource and they are not given; `%context`,
 * `%ucum`, `%sct`, `%loinc`, `%vs-[name]` and `%ext-[name]` are known. `resolve()` finds contained resources only and is
 * empty for all other references: nothing is fetched. `as(Type)` filters a list, as the official invariant dom-3 wants;
 * the operator `as` takes a single value, as FHIRPath says. `memberOf()` and `conformsTo()` are not supported.
 *
 * Bounds: the length of the expression, the items that all of its steps produce together, the length of a text it
 * builds, and the time of `pathBudget`. The engine hangs a hidden property on objects it returns: `focus` must not be
 * frozen. Throws FhirError('invalid') that says what is wrong with the expression, without any value of the focus, and
 * FhirError('too-costly') where a bound is met.
 */
export function evaluate(expression: string, focus: unknown, variables?: PathVariables): unknown[] {
  return compilePath(expression)(focus, variables);
}

/**
 * An expression, parsed once. `type` is needed when the focus is neither a resource nor a value of an earlier evaluation:
 * a data type (`HumanName`, `string`) or an inline type's path (`Patient.contact`). Errors: see `evaluate`.
 */
export function compilePath(expression: string, type?: string): CompiledPath {
  const run = compiled(expression, type);
  return (focus, variables) => run(focus, variables, asValues).map(asValue);
}

/**
 * A decimal to stand in a focus in place of a number that would not tell how it was written: 1.50 has two decimal places
 * for lowBoundary() and toString(), and an expression that selects it yields this object.
 */
export function writtenDecimal(text: string): object {
  const decimal = engine().FP_Decimal.getDecimal(text);
  written.set(decimal, text);
  return decimal;
}

/** How a `writtenDecimal` is written; undefined for any other value. */
export function writtenText(value: unknown): string | undefined {
  return typeof value === 'object' && value !== null ? written.get(value) : undefined;
}

/**
 * Where the elements stand that an expression selects. Throws FhirError('invalid') where it yields something that is not
 * an element of the focus, such as a literal. Errors besides: see `evaluate`.
 */
export function selectElements(expression: string, focus: unknown, variables?: PathVariables): SelectedElement[] {
  return compiled(expression)(focus, variables).map((item) => {
    const steps = stepsOf(item, focus);
    if (steps === undefined) {
      throw new FhirError(
        'invalid',
        `The FHIRPath expression ${shownPath(expression)} yields a value that is no element`,
      );
    }
    const [name = ''] = engine().types([item]);
    return { steps, type: name.slice(name.indexOf('.') + 1) };
  });
}

/**
 * Runs work that evaluates expressions and stops it when `ms` have passed: whatever it does then, even inside a regular
 * expression. Evaluation is synchronous and holds the thread, which is why that of clients has threads of its own
 * (fhir/path-threads.ts). `evaluate` has a budget of its own; many evaluations of one request share one when they are done in here, which
 * also saves its cost (0.15 ms each). Throws FhirError('too-costly') when the time is over.
 */
export function pathBudget<T>(work: () => T, ms: number = limits.pathBudgetMs): T {
  if (isBudgetOpen) return work();
  // Loading is no part of the work, and must not be cut off half-way.
  engine();
  const warn = console.warn;
  isBudgetOpen = true;
  console.warn = refuseWarning;
  try {
    const { script, context } = sandbox();
    context.work = work;
    return script.runInContext(context, { timeout: ms, displayErrors: false }) as T;
  } catch (error) {
    if (!isTimeout(error)) throw error;
    throw new FhirError('too-costly', `FHIRPath: the expressions take more than ${ms} ms on this content`);
  } finally {
    // Here and not in `work`: code that is stopped runs no `finally`.
    sandbox().context.work = undefined;
    console.warn = warn;
    isBudgetOpen = false;
  }
}

type Fhirpath = typeof import('fhirpath');
type Evaluation = (focus: unknown, variables?: PathVariables, options?: typeof asValues) => unknown[];

/** Values as JavaScript has them, objects as they are in the focus. Left out: the engine's own nodes, which know their place. */
const asValues = { resolveInternalTypes: true, keepDecimalTypes: true };

const written = new WeakMap<object, string>();

/** Decimals that were computed, or read as numbers, are numbers. */
function asValue(item: unknown): unknown {
  if (typeof item === 'bigint') return String(item);
  return item instanceof engine().FP_Decimal && !written.has(item) ? item.toNumber() : item;
}

let loaded: Fhirpath | undefined;
let model: import('fhirpath').Model | undefined;
let Node: NodeClass | undefined;
let isBudgetOpen = false;
let room: { script: Script; context: Record<string, unknown> } | undefined;

function engine(): Fhirpath {
  if (loaded === undefined) {
    const require = createRequire(import.meta.url);
    loaded = require('fhirpath') as Fhirpath;
    model = require('fhirpath/fhir-context/r4') as import('fhirpath').Model;
    const [node] = loaded.evaluate({ resourceType: 'Basic' }, '$this', {}, model, { resolveInternalTypes: false });
    Node = (node as ResourceNode).constructor as NodeClass;
  }
  return loaded;
}

/** The engine's class for a value with its place and type, which it does not export. */
type NodeClass = new (
  context: unknown,
  data: unknown,
  parent: unknown,
  path: null,
  siblings: null,
  type: null,
  name?: string,
  index?: number,
) => unknown;

/** Only a script that is run in a context takes a time limit; what it calls lives outside of the context. */
function sandbox(): { script: Script; context: Record<string, unknown> } {
  room ??= {
    script: new Script('work()'),
    context: createContext(constants.DONT_CONTEXTIFY) as Record<string, unknown>,
  };
  return room;
}

function isTimeout(error: unknown): boolean {
  return (error as { code?: unknown } | null)?.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT';
}

/** The engine prints two things: a wrong number of arguments, which is an error, and values of the content, which nobody may see. */
function refuseWarning(...said: unknown[]): void {
  const text = String(said[0]);
  if (/^\S+ wrong arity: got \d+$/.test(text)) throw new Error(text);
}

const cache = new Map<string, Evaluation>();
let cachedChars = 0;

/** Evaluations by expression and type; those not used for longest are dropped when the expressions' lengths add up. */
function compiled(expression: string, type = ''): Evaluation {
  const key = `${type} ${expression}`;
  let run = cache.get(key);
  if (run === undefined) {
    run = compile(expression, type);
    cachedChars += key.length;
    for (const old of cache.keys()) {
      if (cachedChars <= limits.pathCacheCharsMax) break;
      cache.delete(old);
      cachedChars -= old.length;
    }
  } else cache.delete(key);
  cache.set(key, run);
  return run;
}

function compile(expression: string, type: string): Evaluation {
  if (expression.length > limits.pathCharsMax) {
    throw new FhirError('invalid', `A FHIRPath expression may have ${limits.pathCharsMax} characters`);
  }
  if (nestingOf(expression) > limits.pathNestingMax) {
    throw new FhirError(
      'invalid',
      `The FHIRPath expression nests too deeply: at most ${limits.pathNestingMax} brackets may be open at once`,
    );
  }
  const fhirpath = engine();
  const meter = createMeter();
  const constantsNamed = urlConstants(expression);
  try {
    const text = withDivQuoted(expression);
    const run = fhirpath.compile(type === '' ? text : { base: type, expression: text }, model, {
      async: false,
      resolveInternalTypes: false,
      preciseMath: true,
      // Without one, trace() prints values of the content.
      traceFn: () => {},
      debugger: meter.step,
      userInvocationTable: functions,
    });
    return (focus, variables, options) =>
      pathBudget(() => {
        meter.start();
        try {
          return run(focus, variablesOf(focus, constantsNamed, variables), options);
        } catch (error) {
          throw pathProblem(expression, error, 'an operator or function does not fit the values it is given');
        }
      });
  } catch (error) {
    throw pathProblem(expression, error, 'it is not FHIRPath');
  }
}

/** Brackets that are open at once, those in texts and comments aside. */
function nestingOf(expression: string): number {
  let deepest = 0;
  let depth = 0;
  const marks = /'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|\/\*[\s\S]*?\*\/|\/\/[^\n]*|[([{]|[)\]}]/g;
  for (const [mark] of expression.matchAll(marks)) {
    if (mark.length > 1) continue;
    depth += '([{'.includes(mark) ? 1 : -1;
    deepest = Math.max(deepest, depth);
  }
  return deepest;
}

/** `text.div` is written everywhere, the official patch cases included, although an operator's name asks for backquotes. */
function withDivQuoted(expression: string): string {
  if (!expression.includes('div')) return expression;
  return expression.replace(/'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|\.div\b/gs, (found) =>
    found === '.div' ? '.`div`' : found,
  );
}

/** Counts what the steps of one evaluation produce: an expression of ten words can ask for billions of items. */
function createMeter() {
  let items = 0;
  return {
    start(): void {
      items = 0;
    },
    step(_context: unknown, _focus: unknown, result: unknown, node: SyntaxNode): void {
      if (node.type === 'MemberInvocation' || node.type === 'ExternalConstantTerm') checkName(node);
      items++;
      if (!Array.isArray(result)) return;
      items += result.length;
      const [first] = result;
      const isLong = typeof first === 'string' && result.length === 1 && first.length > limits.pathTextCharsMax;
      if (items > limits.pathItemsMax || isLong) {
        throw new FhirError('too-costly', 'The FHIRPath expression produces more than is allowed on this content');
      }
    },
  };
}

interface SyntaxNode {
  type: string;
  text?: string;
  /** `%'name'` and %`name`. */
  delimitedText?: string;
}

/**
 * The engine reads a member as JavaScript does, prototypes included, and hangs its hidden property on what comes out:
 * `Patient.name.__proto__` would mark every object of the process.
 */
function checkName({ text = '', delimitedText = text }: SyntaxNode): void {
  const name = delimitedText.replace(/^[`']|[`']$/g, '');
  if (!namesRefused.has(name) && !name.includes('\\')) return;
  throw new FhirError('invalid', `FHIRPath: ${shownPath(name)} is not the name of an element or a variable`);
}

const namesRefused: ReadonlySet<string> = new Set([...Object.getOwnPropertyNames(Object.prototype), 'prototype']);

/** `%vs-[name]` and `%ext-[name]`, which take backquotes or quotes because of the hyphen. */
function urlConstants(expression: string): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const [, kind, name] of expression.matchAll(/%[`'](vs|ext)-([A-Za-z0-9.-]+)[`']/g)) {
    found[`${kind}-${name}`] = `http://hl7.org/fhir/${kind === 'vs' ? 'ValueSet' : 'StructureDefinition'}/${name}`;
  }
  return found;
}

/** Without a prototype: the engine asks `name in variables`. */
function variablesOf(focus: unknown, constantsNamed: PathVariables, given?: PathVariables): Record<string, unknown> {
  const variables: Record<string, unknown> = Object.assign(
    Object.create(null),
    { sct: 'http://snomed.info/sct', loinc: 'http://loinc.org' },
    constantsNamed,
    isResource(focus) ? { resource: focus } : undefined,
    given,
  );
  if (!('rootResource' in variables) && 'resource' in variables) variables.rootResource = variables.resource;
  return variables;
}

function isResource(value: unknown): value is { resourceType: string; id?: unknown } {
  return typeof (value as { resourceType?: unknown } | null)?.resourceType === 'string';
}

interface Typed {
  constructor: { fromValue(item: unknown): { is(other: unknown, model: unknown): boolean } };
}

/** In place of the engine's own. */
const functions = {
  as: {
    arity: { 1: ['TypeSpecifier' as const] },
    internalStructures: true,
    fn: (items: unknown[], type: Typed) => items.filter((item) => type.constructor.fromValue(item).is(type, model)),
  },
  resolve: {
    arity: { 0: [] },
    internalStructures: true,
    fn(this: { vars: PathVariables }, items: unknown[]) {
      const root = this.vars.rootResource ?? this.vars.resource;
      return isResource(root) ? items.flatMap((item) => contained(this, root, referenceOf(item))) : [];
    },
  },
  memberOf: { arity: { 1: ['AnyAtRoot' as const] }, internalStructures: true, fn: () => notSupported('memberOf') },
  conformsTo: { arity: { 1: ['AnyAtRoot' as const] }, internalStructures: true, fn: () => notSupported('conformsTo') },
};

function notSupported(name: string): never {
  throw new FhirError('not-supported', `FHIRPath: the function ${name}() is not supported`);
}

function referenceOf(item: unknown): unknown {
  const value = engine().util.valData(item);
  return typeof value === 'string' ? value : (value as { reference?: unknown } | null)?.reference;
}

/** What `#id` means in a resource: one that is contained, or for `#` the resource itself. */
function contained(context: unknown, root: unknown, reference: unknown): unknown[] {
  if (Node === undefined || typeof reference !== 'string' || !reference.startsWith('#')) return [];
  const node = new Node(context, root, null, null, null, null);
  if (reference === '#') return [node];
  const { contained: resources } = root as { contained?: unknown };
  if (!Array.isArray(resources)) return [];
  const at = resources.findIndex((resource) => isResource(resource) && resource.id === reference.slice(1));
  return at < 0 ? [] : [new Node(context, resources[at], node, null, null, null, 'contained', at)];
}

/** Steps from the focus to an element; undefined for what was computed or stands elsewhere. */
function stepsOf(item: unknown, focus: unknown): (string | number)[] | undefined {
  const steps: (string | number)[] = [];
  let node = item as Partial<ResourceNode> | null | undefined;
  if (typeof node !== 'object' || node === null || !('parentResNode' in node)) return undefined;
  for (; node?.parentResNode; node = node.parentResNode) {
    const { propName, index } = node;
    if (typeof propName !== 'string') return undefined;
    steps.push(...(typeof index === 'number' ? [index] : []), jsonName(node as ResourceNode, propName));
  }
  return node?.data === focus ? steps.reverse() : undefined;
}

/** The engine calls a choice by its name without type (`value`). */
function jsonName(node: ResourceNode, name: string): string {
  const parent = node.parentResNode?.data as Record<string, unknown> | undefined;
  if (parent === undefined || Object.hasOwn(parent, name) || Object.hasOwn(parent, `_${name}`)) return name;
  const typed = Object.keys(parent).map((key) => key.replace(/^_/, ''));
  return typed.find((key) => key.startsWith(name) && /^[A-Z]/.test(key.slice(name.length))) ?? name;
}

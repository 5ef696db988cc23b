// FHIRPath Patch: changes to a resource, written as a Parameters resource. https://hl7.org/fhir/R4/fhirpatch.html

import { limits } from '../base/limits.ts';
import { FhirError } from '../base/outcome.ts';
import type { Definitions, Member } from './definitions.ts';
import {
  type Element,
  holderAt,
  listAt,
  type Place,
  placeAt,
  removeElement,
  type Steps,
  setElement,
  setList,
} from './element-edit.ts';
import { type ExactObject, isObject, parseExact, plain, printExact, withinStack } from './exact-json.ts';
import { parseJson } from './json.ts';
import { addElement, elementOfParameter } from './patch-value.ts';
import { pathBudget, selectElements } from './path.ts';

/**
 * The resource with the operations of a Parameters resource applied in order, all or none; what they do not touch keeps
 * its text.
 *
 * What the specification leaves open: a deleted or replaced primitive loses its id and extensions, being another element;
 * an object that a deletion leaves empty goes as well; `insert` and `move` take the path of a whole list, and `insert` at
 * 0 makes one that is not there; `resolve()` leads to contained resources alone, as the specification demands.
 *
 * Throws FhirError('invalid') for parameters that are no patch, and FhirError('unprocessable') for a patch that cannot be
 * applied to this resource: no element or several where one is needed, a value of the wrong type, a place outside of the
 * list. Each names its operation and no value of the resource.
 */
export function applyFhirPathPatch(resource: Uint8Array, parameters: Uint8Array, definitions: Definitions): Uint8Array {
  const operations = operationsOf(parseExact(parameters));
  const exact = parseExact(resource);
  const seen = parseJson(resource);
  if (!isObject(exact) || !isObject(seen)) throw new FhirError('invalid', 'A patch is applied to a resource');
  return withinStack(() =>
    pathBudget(() => {
      for (const [at, operation] of operations.entries()) {
        try {
          perform(operation, { exact, seen }, definitions);
        } catch (error) {
          throw error instanceof FhirError ? inOperation(error, at, operation) : error;
        }
      }
      return printExact(exact);
    }),
  );
}

type Operation =
  | { type: 'add'; path: string; name: string; value: ExactObject }
  | { type: 'insert'; path: string; value: ExactObject; index: number }
  | { type: 'delete'; path: string }
  | { type: 'replace'; path: string; value: ExactObject }
  | { type: 'move'; path: string; source: number; destination: number };

function operationsOf(parameters: unknown): Operation[] {
  if (!isObject(parameters) || parameters.resourceType !== 'Parameters') {
    throw new FhirError('invalid', 'A FHIRPath Patch is a Parameters resource');
  }
  const list = parameters.parameter ?? [];
  if (!Array.isArray(list)) throw new FhirError('invalid', 'Parameters.parameter is a list');
  if (list.length > limits.patchOperationsMax) {
    throw new FhirError('too-costly', `A patch has at most ${limits.patchOperationsMax} operations`);
  }
  return list.map((parameter: unknown, at) => {
    try {
      return operationOf(parameter);
    } catch (error) {
      if (!(error instanceof FhirError)) throw error;
      const expression = `Parameters.parameter[${at}]`;
      throw new FhirError(error.kind, `Operation ${at} of the FHIRPath Patch ${error.message}`, { expression });
    }
  });
}

const PARTS = ['type', 'path', 'name', 'value', 'index', 'source', 'destination'];

function operationOf(parameter: unknown): Operation {
  if (!isObject(parameter) || parameter.name !== 'operation') throw refused('must have the name "operation"');
  const parts = partsOf(parameter.part);
  const type = text(parts, 'type');
  const path = text(parts, 'path');
  switch (type) {
    case 'add':
      return { type, path, name: text(parts, 'name'), value: part(parts, 'value') };
    case 'insert':
      return { type, path, value: part(parts, 'value'), index: integer(parts, 'index') };
    case 'delete':
      return { type, path };
    case 'replace':
      return { type, path, value: part(parts, 'value') };
    case 'move':
      return { type, path, source: integer(parts, 'source'), destination: integer(parts, 'destination') };
    default:
      throw refused('needs a type out of add, insert, delete, replace, move');
  }
}

const refused = (problem: string): FhirError => new FhirError('invalid', problem);

function partsOf(list: unknown): ReadonlyMap<string, ExactObject> {
  const parts = new Map<string, ExactObject>();
  for (const one of Array.isArray(list) ? list : []) {
    const name = isObject(one) ? one.name : undefined;
    if (typeof name !== 'string' || !PARTS.includes(name)) throw refused(`has parts out of ${PARTS.join(', ')}`);
    if (parts.has(name)) throw refused(`has two parts named ${name}`);
    parts.set(name, one);
  }
  return parts;
}

function part(parts: ReadonlyMap<string, ExactObject>, name: string): ExactObject {
  const found = parts.get(name);
  if (found === undefined) throw refused(`needs a part named ${name}`);
  return found;
}

function text(parts: ReadonlyMap<string, ExactObject>, name: string): string {
  const { valueString, valueCode } = plain(part(parts, name)) as { valueString?: unknown; valueCode?: unknown };
  const value = valueString ?? valueCode;
  if (typeof value !== 'string' || value === '') throw refused(`needs a text as its ${name}`);
  return value;
}

function integer(parts: ReadonlyMap<string, ExactObject>, name: string): number {
  const { valueInteger: value } = plain(part(parts, name)) as { valueInteger?: unknown };
  if (!Number.isSafeInteger(value) || Number(value) < 0) throw refused(`needs a valueInteger from 0 as its ${name}`);
  return Number(value);
}

function inOperation(error: FhirError, at: number, { type, path }: Operation): FhirError {
  const cut = path.length > 100 ? `${path.slice(0, 100)}…` : path;
  return new FhirError(error.kind, `FHIRPath Patch operation ${at} (${type} "${cut}"): ${error.message}`, {
    expression: `Parameters.parameter[${at}]`,
  });
}

/** The resource twice, with the same places in both: expressions see plain numbers, the answer keeps their text. */
interface Twins {
  exact: ExactObject;
  seen: ExactObject;
}

const problem = (text: string): FhirError => new FhirError('unprocessable', text);

function perform(operation: Operation, twins: Twins, definitions: Definitions): void {
  switch (operation.type) {
    case 'add':
      add(operation, twins, definitions);
      return;
    case 'delete': {
      const steps = oneElement(operation.path, twins, 'allowed');
      if (steps !== undefined) onBoth(twins, (resource) => removeElement(resource, steps, definitions));
      return;
    }
    case 'replace':
      replace(operation, twins, definitions);
      return;
    case 'insert':
      insert(operation, twins, definitions);
      return;
    case 'move':
      move(operation, twins, definitions);
  }
}

/** `shown` makes of an element with its text what this twin is to have. */
function onBoth(twins: Twins, edit: (resource: ExactObject, shown: (element: Element) => Element) => void): void {
  edit(twins.exact, (element) => element);
  edit(twins.seen, (element) => plain(element) as Element);
}

function add(operation: Operation & { type: 'add' }, twins: Twins, definitions: Definitions): void {
  const steps = one(selectElements(operation.path, twins.seen).map((found) => found.steps));
  onBoth(twins, (resource, shown) => {
    const holder = holderAt(resource, steps, definitions);
    const { member, element } = elementOfParameter(operation.value, operation.name, holder.type, definitions);
    addElement(holder, { member, element: shown(element) }, definitions);
  });
}

function replace(operation: Operation & { type: 'replace' }, twins: Twins, definitions: Definitions): void {
  const steps = oneElement(operation.path, twins, 'refused') ?? [];
  onBoth(twins, (resource, shown) => {
    const place = placeAt(resource, steps, definitions);
    const { member, element } = valueFor(place, operation.value, definitions);
    // A choice may change its type, and with it its name.
    if (member !== place.member) setElement(place, {}, definitions);
    setElement({ ...place, member }, shown(element), definitions);
  });
}

function valueFor(
  { member, type }: Place,
  value: ExactObject,
  definitions: Definitions,
): { member: Member; element: Element } {
  return elementOfParameter(value, member.choice ?? member.name, type, definitions);
}

function insert(operation: Operation & { type: 'insert' }, twins: Twins, definitions: Definitions): void {
  const steps = wholeList(operation.path, twins, definitions);
  onBoth(twins, (resource, shown) => {
    const place = placeAt(resource, steps, definitions);
    const { element } = valueFor(place, operation.value, definitions);
    const list = listAt(place, definitions);
    if (operation.index > list.length) throw problem(`index ${operation.index} is beyond the list of ${list.length}`);
    list.splice(operation.index, 0, shown(element));
    setList(place, list, definitions);
  });
}

function move(operation: Operation & { type: 'move' }, twins: Twins, definitions: Definitions): void {
  const { source, destination } = operation;
  const steps = wholeList(operation.path, twins, definitions);
  onBoth(twins, (resource) => {
    const place = placeAt(resource, steps, definitions);
    const list = listAt(place, definitions);
    if (source >= list.length || destination >= list.length) {
      throw problem(`source ${source} or destination ${destination} is beyond the list of ${list.length}`);
    }
    list.splice(destination, 0, ...list.splice(source, 1));
    setList(place, list, definitions);
  });
}

/** Steps to the one element of a path, which is not the resource itself; undefined where there is none and may be none. */
function oneElement(path: string, { seen }: Twins, none: 'allowed' | 'refused'): Steps | undefined {
  const found = selectElements(path, seen);
  if (found.length === 0 && none === 'allowed') return undefined;
  const steps = one(found.map((element) => element.steps));
  if (steps.length === 0) throw problem('the resource itself can be neither deleted nor replaced by a patch');
  return steps;
}

function one(found: readonly Steps[]): Steps {
  const [steps, ...more] = found;
  if (steps === undefined) throw problem('the path selects nothing');
  if (more.length > 0) throw problem(`the path selects ${found.length} elements; it must select one`);
  return steps;
}

/** Steps to the list that a path selects from beginning to end; for one that is not there, by its last name. */
function wholeList(path: string, { seen }: Twins, definitions: Definitions): Steps {
  const found = selectElements(path, seen).map(({ steps }) => steps);
  const [first] = found;
  const [, parent, name] = /^(.+)\.\s*([A-Za-z]\w*)\s*$/s.exec(path) ?? [];
  if (first === undefined && (parent === undefined || name === undefined)) throw problem('the path selects nothing');
  const steps = first?.slice(0, -1) ?? [...one(selectElements(parent ?? '', seen).map((one) => one.steps)), name ?? ''];
  if (first !== undefined && typeof first.at(-1) !== 'number') throw problem('the path selects no list');
  const place = placeAt(seen, steps, definitions);
  if (!place.member.many) throw problem(`${place.member.path} is no list`);
  const isWhole =
    found.length === listAt(place, definitions).length &&
    found.every((other, i) => other.length === steps.length + 1 && other.at(-1) === i && sameSteps(other, steps));
  if (!isWhole) throw problem('the path must select one whole list, such as Patient.name');
  return steps;
}

const sameSteps = (longer: Steps, steps: Steps): boolean => steps.every((step, i) => longer[i] === step);

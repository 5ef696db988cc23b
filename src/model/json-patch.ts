// JSON Patch on the JSON text of a resource. RFC 6902, RFC 6901 (pointers), https://hl7.org/fhir/R4/http.html#patch

import { limits } from '../base/limits.ts';
import { FhirError } from '../base/outcome.ts';
import {
  copyExact,
  type Exact,
  type ExactObject,
  isObject,
  isSame,
  parseExact,
  printExact,
  withinStack,
} from './exact-json.ts';

/**
 * The resource with the operations of a JSON Patch document applied, all of them or none; what they do not touch keeps
 * its text. An array or object that a removal leaves empty goes as well, because FHIR's JSON has no empty ones.
 *
 * Throws FhirError('invalid') for a document that is no JSON Patch, and FhirError('unprocessable') for one that cannot be
 * applied to this resource, a `test` that fails among them: 422 is what RFC 5789 has for a patch that is understood and
 * not possible, and 412 stays the answer to conditions in headers. Each names its operation and no value.
 */
export function applyJsonPatch(resource: Uint8Array, patch: Uint8Array): Uint8Array {
  const operations = operationsOf(parseExact(patch));
  return withinStack(() => {
    const document = createDocument(parseExact(resource));
    for (const [at, operation] of operations.entries()) {
      try {
        perform(operation, document);
      } catch (error) {
        throw error instanceof FhirError ? inOperation(error, at, operation) : error;
      }
    }
    return printExact(document.result());
  });
}

type Pointer = readonly string[];

type Operation =
  | { op: 'add' | 'replace' | 'test'; path: Pointer; value: Exact }
  | { op: 'remove'; path: Pointer }
  | { op: 'move' | 'copy'; path: Pointer; from: Pointer };

const NAMES = ['add', 'remove', 'replace', 'move', 'copy', 'test'] as const;

function operationsOf(patch: Exact): Operation[] {
  if (!Array.isArray(patch)) throw new FhirError('invalid', 'A JSON Patch is an array of operations');
  if (patch.length > limits.patchOperationsMax) {
    throw new FhirError('too-costly', `A patch has at most ${limits.patchOperationsMax} operations`);
  }
  return patch.map((operation: Exact, at) => {
    const refused = (problem: string) => new FhirError('invalid', `Operation ${at} of the JSON Patch ${problem}`);
    if (!isObject(operation)) throw refused('is no object');
    const op = NAMES.find((name) => name === operation.op);
    if (op === undefined) throw refused(`needs an "op" out of ${NAMES.join(', ')}`);
    const path = pointerOf(operation, 'path') ?? raise(refused('needs a "path" that is empty or begins with "/"'));
    if (op === 'remove') return { op, path };
    if (op === 'move' || op === 'copy') {
      const from = pointerOf(operation, 'from') ?? raise(refused('needs a "from" that is empty or begins with "/"'));
      return { op, path, from };
    }
    if (!Object.hasOwn(operation, 'value')) throw refused('needs a "value"');
    return { op, path, value: operation.value };
  });
}

function raise(error: FhirError): never {
  throw error;
}

/** Tokens of a pointer: `~1` stands for `/`, `~0` for `~`. */
function pointerOf(operation: ExactObject, name: 'path' | 'from'): Pointer | undefined {
  const text = operation[name];
  if (typeof text !== 'string' || !/^(?:\/(?:[^~]|~[01])*)?$/.test(text)) return undefined;
  return text
    .split('/')
    .slice(1)
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function inOperation(error: FhirError, at: number, { op, path }: Operation): FhirError {
  const where = path.map((token) => `/${token.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
  return new FhirError(error.kind, `JSON Patch operation ${at} (${op} "${shown(where)}"): ${error.message}`);
}

const shown = (text: string): string => (text.length > 100 ? `${text.slice(0, 100)}…` : text);

type Document = ReturnType<typeof createDocument>;

function perform(operation: Operation, document: Document): void {
  const { path } = operation;
  switch (operation.op) {
    case 'add':
      document.add(path, operation.value);
      return;
    case 'remove':
      document.remove(path);
      return;
    case 'replace':
      document.replace(path, operation.value);
      return;
    case 'move':
      if (isWithin(path, operation.from)) {
        if (path.length === operation.from.length) document.get(path);
        else throw problem('a value cannot be moved into itself');
      } else document.add(path, document.remove(operation.from));
      return;
    case 'copy':
      document.add(path, document.copy(document.get(operation.from)));
      return;
    case 'test':
      if (!isSame(document.get(path), operation.value)) throw problem('the value is another than the one expected');
  }
}

const isWithin = (path: Pointer, outer: Pointer): boolean => outer.every((token, i) => path[i] === token);

const problem = (text: string): FhirError => new FhirError('unprocessable', text);

/** The value under change. */
function createDocument(start: Exact) {
  let root = start;
  let bytesCopied = 0;
  /** Containers out of which something was taken. */
  const emptied = new Set<Exact>();

  function get(path: Pointer): Exact {
    let value = root;
    for (const token of path) value = childOf(value, token);
    return value;
  }

  function add(path: Pointer, value: Exact): void {
    const token = path.at(-1);
    if (token === undefined) {
      root = value;
      return;
    }
    const parent = get(path.slice(0, -1));
    if (Array.isArray(parent)) {
      const index = token === '-' ? parent.length : indexOf(token);
      if (index === undefined || index > parent.length) throw problem('there is no such place in the array');
      parent.splice(index, 0, value);
    } else set(parent, token, value);
  }

  function replace(path: Pointer, value: Exact): void {
    get(path);
    const token = path.at(-1);
    if (token === undefined) root = value;
    else {
      const parent = get(path.slice(0, -1));
      if (Array.isArray(parent)) parent[Number(token)] = value;
      else set(parent, token, value);
    }
  }

  function remove(path: Pointer): Exact {
    const token = path.at(-1);
    if (token === undefined) throw problem('the whole resource cannot be removed by a patch');
    const parent = get(path.slice(0, -1));
    const value = childOf(parent, token);
    if (Array.isArray(parent)) parent.splice(Number(token), 1);
    else delete (parent as ExactObject)[token];
    emptied.add(parent);
    return value;
  }

  /** Copying a value into itself doubles it; twenty operations of that make a gigabyte. */
  const copy = (value: Exact): Exact =>
    copyExact(value, (bytes) => {
      bytesCopied += bytes;
      if (bytesCopied > limits.resourceBytesMax)
        throw new FhirError('too-large', 'the patch makes too large a resource');
    });

  /** True when nothing is left of a container that the patch took something out of. */
  function isEmptied(value: Exact): boolean {
    if (Array.isArray(value)) {
      let kept = 0;
      for (const item of value) if (!isEmptied(item)) value[kept++] = item;
      if (kept < value.length) emptied.add(value);
      value.length = kept;
      return kept === 0 && emptied.has(value);
    }
    if (!isObject(value)) return false;
    for (const [name, member] of Object.entries(value)) {
      if (!isEmptied(member)) continue;
      delete value[name];
      emptied.add(value);
    }
    return emptied.has(value) && Object.keys(value).length === 0;
  }

  function result(): Exact {
    if (emptied.size > 0) isEmptied(root);
    return root;
  }

  return { get, add, replace, remove, copy, result };
}

function childOf(parent: Exact, token: string): Exact {
  if (Array.isArray(parent)) {
    const index = indexOf(token);
    if (index !== undefined && index < parent.length) return parent[index];
  } else if (isObject(parent) && Object.hasOwn(parent, token)) return parent[token];
  throw problem(`there is no ${JSON.stringify(shown(token))}`);
}

const indexOf = (token: string): number | undefined => (/^(?:0|[1-9]\d{0,8})$/.test(token) ? Number(token) : undefined);

/** Assigning these changes an object's prototype, or confuses who reads it later. */
const namesRefused: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

function set(parent: Exact, name: string, value: Exact): void {
  if (!isObject(parent)) throw problem('what it should go into is no object and no array');
  if (namesRefused.has(name)) throw problem(`"${name}" is no name of an element`);
  parent[name] = value;
}

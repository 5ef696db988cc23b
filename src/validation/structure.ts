// What every write is checked for: known elements, JSON shapes and primitive formats, by a walk over the tables of
// definitions. Cardinality beyond shape, bindings, profiles and invariants are checked elsewhere.
// https://hl7.org/fhir/R4/validation.html, https://hl7.org/fhir/R4/json.html
import { limits } from '../base/limits.ts';
import type { Issue, IssueCode } from '../base/outcome.ts';
import { nearest } from '../base/text.ts';
import type { Definitions, Member, TypeDefinition } from '../model/definitions.ts';
import { type PrimitiveCheck, primitiveChecks } from '../model/primitives.ts';

/** More issues than a person reads help nobody; the walk ends there. */
const ISSUES_MAX = 100;
/** Accepted names are listed in a message up to this many; beyond it, only a near name helps. */
const NAMES_SHOWN_MAX = 40;
/** Longest name from the resource that a message repeats. */
const NAME_SHOWN_MAX = 64;
/** Steps and indexes of a path: no checked text has more, an object made in code might hold itself. */
const PATH_MAX = 2 * limits.jsonDepthMax;

/**
 * What is wrong with the shape of a resource as JSON.parse gives it: unknown types and elements, arrays and single values
 * in each other's place, empty objects and arrays, nulls, several values of one choice, primitives not in their format.
 * Resources inside it (contained, entries, parameters) are walked along. At most 100 issues.
 */
export function structureIssues(resource: unknown, definitions: Definitions): Issue[] {
  const walk: Walk = { definitions, nodes: nodesOf(definitions), issues: [], path: [] };
  checkResource(walk, resource);
  return walk.issues;
}

/** A check of a resource in parts, in the order in which they stand in it. */
export interface StructureParts {
  /** Found so far. */
  readonly issues: Issue[];
  /** No more is looked for. */
  readonly isFull: boolean;
  /** Members of the resource. Those of one choice belong into one call. */
  members(members: JsonObject): void;
  /** An element of one of its lists. */
  element(list: string, at: number, value: unknown): void;
}

/** `structureIssues` for a resource of this type that is not at hand as a whole: its issues are those of the whole. */
export function structureParts(type: string, definitions: Definitions): StructureParts {
  const walk: Walk = { definitions, nodes: nodesOf(definitions), issues: [], path: [type] };
  const node = nodeOf(walk, type);
  return {
    issues: walk.issues,
    get isFull() {
      return walk.issues.length >= ISSUES_MAX;
    },
    members(members) {
      checkMembers(walk, members, Object.keys(members), node);
    },
    element(list, at, value) {
      const slot = node.slots.get(list);
      if (slot === undefined || this.isFull) return;
      walk.path.push(slot.step, at);
      checkValue(walk, value, slot);
      walk.path.length -= 2;
    },
  };
}

type JsonObject = Readonly<Record<string, unknown>>;

/** A type, ready for the walk: what may stand under each JSON name, `_name` of primitives included. */
interface Node {
  name: string;
  isResource: boolean;
  slots: ReadonlyMap<string, Slot>;
}

interface Slot {
  kind: 'primitive' | 'complex' | 'resource' | 'sibling';
  member: Member;
  /** How the element is named in a FHIRPath expression: `name`, `value.ofType(Quantity)`. */
  step: string;
  /** For primitives. */
  check: PrimitiveCheck | undefined;
  /** For complex types and siblings; found at first use, since types hold each other. */
  node: Node | undefined;
}

interface Walk {
  definitions: Definitions;
  nodes: Map<string, Node>;
  issues: Issue[];
  /** Steps and indexes from the root to where the walk is. */
  path: (string | number)[];
}

/** Nodes are made once for a set of definitions. */
const nodesByDefinitions = new WeakMap<Definitions, Map<string, Node>>();

function nodesOf(definitions: Definitions): Map<string, Node> {
  let nodes = nodesByDefinitions.get(definitions);
  if (nodes === undefined) {
    nodes = new Map();
    nodesByDefinitions.set(definitions, nodes);
  }
  return nodes;
}

function checkResource(walk: Walk, value: unknown): void {
  const type = isObject(value) ? value.resourceType : undefined;
  if (!isObject(value)) add(walk, 'structure', 'A resource is expected: an object with resourceType');
  else if (typeof type !== 'string') {
    add(walk, 'structure', 'resourceType is missing: the name of a resource type is expected');
  } else if (!walk.definitions.isResourceType(type)) addUnknownType(walk, type);
  else {
    if (walk.path.length === 0) walk.path.push(type);
    checkObject(walk, value, nodeOf(walk, type));
  }
}

function checkObject(walk: Walk, value: JsonObject, node: Node): void {
  const names = Object.keys(value);
  if (names.length === 0) add(walk, 'structure', `${node.name} is empty: leave the element out or give it content`);
  else if (walk.path.length > PATH_MAX) add(walk, 'structure', 'Nested too deeply');
  else checkMembers(walk, value, names, node);
}

function checkMembers(walk: Walk, value: JsonObject, names: readonly string[], node: Node): void {
  let chosen: Member[] | undefined;
  for (const name of names) {
    if (walk.issues.length >= ISSUES_MAX) return;
    const slot = node.slots.get(name);
    if (slot === undefined) {
      if (name !== 'resourceType' || !node.isResource) addUnknownElement(walk, name, node);
      continue;
    }
    if (slot.member.choice !== undefined) chosen = choose(walk, slot.member, chosen);
    walk.path.push(slot.step);
    if (slot.member.many) checkArray(walk, value, name, slot);
    else checkValue(walk, value[name], slot);
    walk.path.pop();
  }
}

/** Notes a member of a choice that has a value (or `_name`); one of another type before it is an issue. */
function choose(walk: Walk, member: Member, chosen: Member[] = []): Member[] {
  const other = chosen.find(({ choice, name }) => choice === member.choice && name !== member.name);
  if (other !== undefined) {
    const names = `"${other.name}" and "${member.name}"`;
    add(walk, 'structure', `Only one of ${member.choice}[x] is accepted, not both ${names}`, member.choice);
  }
  chosen.push(member);
  return chosen;
}

function checkArray(walk: Walk, parent: JsonObject, name: string, slot: Slot): void {
  const values = parent[name];
  if (!Array.isArray(values)) add(walk, 'structure', `An array is expected for "${name}"`);
  else if (values.length === 0) {
    add(walk, 'structure', `"${name}" is an empty array: leave the element out or give it a value`);
  } else checkElements(walk, parent, values, slot);
}

function checkElements(walk: Walk, parent: JsonObject, values: readonly unknown[], slot: Slot): void {
  const mayHoldNull = slot.kind === 'primitive' || slot.kind === 'sibling';
  for (let i = 0; i < values.length && walk.issues.length < ISSUES_MAX; i++) {
    walk.path.push(i);
    if (mayHoldNull && values[i] === null) checkNull(walk, parent, slot, i);
    else checkValue(walk, values[i], slot);
    walk.path.pop();
  }
}

/** In arrays of primitives a null keeps the place of a value whose counterpart in the other array says something. */
function checkNull(walk: Walk, parent: JsonObject, { kind, member }: Slot, index: number): void {
  const value = elementAt(parent[member.name], index);
  const sibling = elementAt(parent[`_${member.name}`], index);
  if ((value ?? sibling ?? undefined) !== undefined) return;
  // Both null: told once, where the value would stand.
  if (kind === 'sibling' && value === null) return;
  add(
    walk,
    'structure',
    `null is accepted only where the counterpart of "${member.name}" or "_${member.name}" is not null`,
  );
}

function elementAt(values: unknown, index: number): unknown {
  return Array.isArray(values) ? values[index] : undefined;
}

function checkValue(walk: Walk, value: unknown, slot: Slot): void {
  if (value === null || Array.isArray(value)) addShape(walk, value, slot);
  else if (slot.kind === 'resource') checkResource(walk, value);
  else if (slot.kind === 'primitive') {
    const problem = slot.check?.(value);
    if (problem !== undefined) add(walk, typeof value === 'object' ? 'structure' : 'value', sentence(problem));
  } else if (isObject(value)) {
    slot.node ??= slot.kind === 'sibling' ? siblingNode(walk, slot.member.type) : nodeOf(walk, slot.member.type);
    checkObject(walk, value, slot.node);
  } else addShape(walk, value, slot);
}

// ---- nodes ------------------------------------------------------------------------------------------------------

function nodeOf(walk: Walk, name: string): Node {
  let node = walk.nodes.get(name);
  if (node === undefined) {
    node = makeNode(walk.definitions, name);
    walk.nodes.set(name, node);
  }
  return node;
}

function makeNode(definitions: Definitions, name: string): Node {
  const type = definitions.type(name);
  if (type === undefined) throw new Error(`The definitions have no type ${name}`);
  const slots = new Map<string, Slot>();
  for (const member of type.members.values()) {
    const slot = slotOf(definitions, member);
    slots.set(member.name, slot);
    if (slot.kind === 'primitive' && mayHaveSibling(type, member)) {
      slots.set(`_${member.name}`, { ...slot, kind: 'sibling', check: undefined });
    }
  }
  return { name, isResource: type.kind === 'resource', slots };
}

function slotOf(definitions: Definitions, member: Member): Slot {
  const step = member.choice === undefined ? member.name : `${member.choice}.ofType(${member.type})`;
  const check = primitiveChecks.get(member.type);
  const isResource = definitions.type(member.type)?.kind === 'resource';
  const kind = check !== undefined ? 'primitive' : isResource ? 'resource' : 'complex';
  return { kind, member, step, check, node: undefined };
}

/** In XML these are attributes or XHTML, which have no place for an extension. */
function mayHaveSibling(type: TypeDefinition, member: Member): boolean {
  return member.name !== 'id' && member.type !== 'xhtml' && !(type.name === 'Extension' && member.name === 'url');
}

/** What stands under `_name`: id and extensions of a primitive, without its value. */
function siblingNode(walk: Walk, primitive: string): Node {
  const name = `_${primitive}`;
  let node = walk.nodes.get(name);
  if (node === undefined) {
    const members = walk.definitions.type(primitive)?.members.values() ?? [];
    const slots = [...members]
      .filter((member) => member.name !== 'value')
      .map((member) => [member.name, slotOf(walk.definitions, member)] as const);
    node = { name: `Element (${primitive})`, isResource: false, slots: new Map(slots) };
    walk.nodes.set(name, node);
  }
  return node;
}

// ---- issues -----------------------------------------------------------------------------------------------------

function add(walk: Walk, code: IssueCode, diagnostics: string, step?: string): void {
  const place = expression(walk.path, step);
  walk.issues.push({ severity: 'error', code, diagnostics, ...(place === '' ? {} : { expression: place }) });
}

function expression(path: readonly (string | number)[], step?: string): string {
  let text = '';
  for (const part of path) text += typeof part === 'number' ? `[${part}]` : text === '' ? part : `.${part}`;
  return step === undefined ? text : `${text}.${step}`;
}

function addShape(walk: Walk, value: unknown, { kind, member }: Slot): void {
  const name = kind === 'sibling' ? `_${member.name}` : member.name;
  const type = kind === 'sibling' ? 'id and extension' : member.type;
  if (value === null) add(walk, 'structure', `"${name}" is null: leave the element out or give it a value`);
  else if (!Array.isArray(value)) add(walk, 'structure', `An object (${type}) is expected for "${name}"`);
  else if (member.many) add(walk, 'structure', `An array within the array "${name}" is not accepted`);
  else add(walk, 'structure', `A single value is expected for "${name}", not an array`);
}

function addUnknownType(walk: Walk, type: string): void {
  const near = nearest(type, walk.definitions.resourceTypes);
  const hint = near === undefined ? '' : `; did you mean "${near}"?`;
  add(walk, 'structure', `"${shown(type)}" is not a resource type of FHIR R4${hint}`);
}

function addUnknownElement(walk: Walk, name: string, node: Node): void {
  const near = nearest(name, [...node.slots.keys()]);
  const hint = near === undefined ? acceptedNames(node) : `; did you mean "${near}"?`;
  const step = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/.test(name) ? name : undefined;
  add(walk, 'structure', `"${shown(name)}" is not an element of ${node.name}${hint}`, step);
}

function acceptedNames(node: Node): string {
  const names = new Set<string>();
  for (const { kind, member } of node.slots.values()) {
    if (kind !== 'sibling') names.add(member.choice === undefined ? member.name : `${member.choice}[x]`);
  }
  return names.size > NAMES_SHOWN_MAX ? '' : `; accepted are ${[...names].join(', ')}`;
}

function shown(name: string): string {
  return name.length <= NAME_SHOWN_MAX ? name : `${name.slice(0, NAME_SHOWN_MAX)}…`;
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

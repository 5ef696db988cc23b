// Elements of a resource by their place, in the JSON of FHIR: a primitive's id and extensions stand beside it under a name
// with an underscore, and lists of both are aligned. https://hl7.org/fhir/R4/json.html#primitive

import { FhirError } from '../base/outcome.ts';
import type { Definitions, Member, TypeDefinition } from './definitions.ts';
import { type Exact, type ExactObject, isObject } from './exact-json.ts';

/** Member names as in JSON and positions in lists, from the resource. */
export type Steps = readonly (string | number)[];

/** One element: its JSON value, and for a primitive the object with its id and extensions; either may be absent. */
export interface Element {
  value?: Exact;
  sibling?: Exact;
}

/** An object that holds elements, and its type. */
export interface Holder {
  object: ExactObject;
  type: TypeDefinition;
}

/** Where an element stands, or a list of them where `index` is absent and the member is `many`. */
export interface Place extends Holder {
  member: Member;
  index?: number;
}

/** Throws FhirError('unprocessable') where the steps lead through something that R4 does not know. */
export function placeAt(resource: ExactObject, steps: Steps, definitions: Definitions): Place {
  const end = typeof steps.at(-1) === 'number' ? -2 : -1;
  const holder = holderAt(resource, steps.slice(0, end), definitions);
  const [name, index] = steps.slice(end);
  const member = holder.type.members.get(String(name));
  if (member === undefined) throw new FhirError('unprocessable', `"${name}" is no element of ${holder.type.name}`);
  return { ...holder, member, ...(typeof index === 'number' ? { index } : {}) };
}

/** The object with the members of the element at `steps`; for a primitive the one beside it, made where it is absent. */
export function holderAt(resource: ExactObject, steps: Steps, definitions: Definitions): Holder {
  if (steps.length === 0) return { object: resource, type: typeOf(String(resource.resourceType), definitions) };
  const place = placeAt(resource, steps, definitions);
  const element = elementAt(place, definitions);
  if (isPrimitive(place.member, definitions)) {
    if (!isObject(element.sibling)) {
      element.sibling = {};
      setElement(place, element, definitions);
    }
    return { object: element.sibling as ExactObject, type: typeOf(place.member.type, definitions) };
  }
  if (!isObject(element.value)) throw new FhirError('unprocessable', `${place.member.path} is no object here`);
  const type = place.member.type === 'Resource' ? String(element.value.resourceType) : place.member.type;
  return { object: element.value, type: typeOf(type, definitions) };
}

function typeOf(name: string, definitions: Definitions): TypeDefinition {
  const type = definitions.type(name);
  if (type === undefined) throw new FhirError('unprocessable', `"${name.slice(0, 64)}" is no type of FHIR R4`);
  return type;
}

export const isPrimitive = (member: Member, definitions: Definitions): boolean =>
  definitions.type(member.type)?.kind === 'primitive';

export function elementAt(place: Place, definitions: Definitions): Element {
  if (place.index !== undefined) return listAt(place, definitions)[place.index] ?? {};
  return elementOf(place.object[place.member.name], siblingOf(place, definitions));
}

/** Puts an element at its place; one without value and sibling is taken away, and so is a list without elements. */
export function setElement(place: Place, element: Element, definitions: Definitions): void {
  const { object, member, index } = place;
  if (index !== undefined) {
    const list = listAt(place, definitions);
    list.splice(index, 1, ...(isAbsent(element) ? [] : [element]));
    setList(place, list, definitions);
    return;
  }
  setMember(object, member.name, element.value);
  if (isPrimitive(member, definitions)) setMember(object, `_${member.name}`, element.sibling);
}

/** The elements of the list that a place is in. */
export function listAt(place: Place, definitions: Definitions): Element[] {
  const values = itemsOf(place.object[place.member.name]);
  const siblings = itemsOf(siblingOf(place, definitions));
  return Array.from({ length: Math.max(values.length, siblings.length) }, (_, i) =>
    elementOf(values[i] ?? undefined, siblings[i] ?? undefined),
  );
}

/** Lists of values and of what stands beside them have null where one is missing. */
export function setList(place: Place, elements: readonly Element[], definitions: Definitions): void {
  const { object, member } = place;
  const list = (items: readonly Exact[]): Exact =>
    items.some((item) => item !== undefined) ? items.map((item) => item ?? null) : undefined;
  setMember(object, member.name, list(elements.map(({ value }) => value)));
  if (!isPrimitive(member, definitions)) return;
  setMember(object, `_${member.name}`, list(elements.map(({ sibling }) => sibling)));
}

export const isAbsent = ({ value, sibling }: Element): boolean => value === undefined && sibling === undefined;

/** Takes an element away, and with it each object around it that has nothing left: FHIR's JSON has no empty ones. */
export function removeElement(resource: ExactObject, steps: Steps, definitions: Definitions): void {
  setElement(placeAt(resource, steps, definitions), {}, definitions);
  removeIfEmpty(resource, steps.slice(0, typeof steps.at(-1) === 'number' ? -2 : -1), definitions);
}

function removeIfEmpty(resource: ExactObject, steps: Steps, definitions: Definitions): void {
  if (steps.length === 0) return;
  const place = placeAt(resource, steps, definitions);
  const element = elementAt(place, definitions);
  const part = isPrimitive(place.member, definitions) ? 'sibling' : 'value';
  const object = element[part];
  if (!isObject(object) || Object.keys(object).length > 0) return;
  delete element[part];
  if (isAbsent(element)) removeElement(resource, steps, definitions);
  else setElement(place, element, definitions);
}

function elementOf(value: Exact, sibling: Exact): Element {
  return { ...(value === undefined ? {} : { value }), ...(sibling === undefined ? {} : { sibling }) };
}

const siblingOf = ({ object, member }: Place, definitions: Definitions): Exact =>
  isPrimitive(member, definitions) ? object[`_${member.name}`] : undefined;

const itemsOf = (list: Exact): readonly Exact[] => (Array.isArray(list) ? list : []);

function setMember(object: ExactObject, name: string, value: Exact): void {
  if (value === undefined) delete object[name];
  else object[name] = value;
}

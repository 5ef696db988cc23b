// The value of a FHIRPath Patch operation, made into an element of the place that it goes to.
// https://hl7.org/fhir/R4/fhirpatch.html

import { FhirError } from '../base/outcome.ts';
import type { Definitions, Member, TypeDefinition } from './definitions.ts';
import { type Element, type Holder, isPrimitive, listAt, setElement, setList } from './element-edit.ts';
import { type ExactObject, isObject } from './exact-json.ts';

/**
 * The element that a parameter stands for, as a `name` of `type`: its value[x], its resource, or an object of its parts.
 * `name` is that of the element (`value`), also for a choice, or the JSON name (`valueQuantity`).
 * Throws FhirError('unprocessable') where `type` has no such element or one of another type.
 */
export function elementOfParameter(
  parameter: ExactObject,
  name: string,
  type: TypeDefinition,
  definitions: Definitions,
): { member: Member; element: Element } {
  const valueName = Object.keys(parameter)
    .find((key) => /^_?value[A-Z]/.test(key))
    ?.replace(/^_/, '');
  const members = [...type.members.values()].filter((member) => member.name === name || member.choice === name);
  if (members.length === 0)
    throw new FhirError('unprocessable', `"${name.slice(0, 64)}" is no element of ${type.name}`);
  if (valueName !== undefined) {
    const member = memberFor(valueName, members, type, definitions);
    const value = parameter[valueName];
    const sibling = isPrimitive(member, definitions) ? parameter[`_${valueName}`] : undefined;
    return {
      member,
      element: { ...(value === undefined ? {} : { value }), ...(sibling === undefined ? {} : { sibling }) },
    };
  }
  if (parameter.resource !== undefined)
    return { member: resourceMember(members), element: { value: parameter.resource } };
  const member = members.find((one) => one.type !== 'Resource' && !isPrimitive(one, definitions));
  if (member === undefined || members.length > 1 || !Array.isArray(parameter.part)) {
    throw new FhirError('unprocessable', `The value for ${pathOf(members)} must be of type ${typesOf(members)}`);
  }
  return { member, element: { value: objectOfParts(parameter.part, member, definitions) } };
}

/** The member whose type a value[x] has: for a choice exactly, else also one that specialises the other (string, code). */
function memberFor(
  valueName: string,
  members: readonly Member[],
  type: TypeDefinition,
  definitions: Definitions,
): Member {
  const given = definitions.type('Parameters.parameter')?.members.get(valueName)?.type ?? '';
  const found = members.find((member) =>
    member.choice === undefined ? fits(given, member.type, definitions) : member.type === given,
  );
  if (found !== undefined) return found;
  throw new FhirError('unprocessable', `${pathOf(members)} of ${type.name} is a ${typesOf(members)}, not a ${given}`);
}

/** Every XHTML is sent as a string, because a parameter has no value of that type. */
function fits(given: string, wanted: string, definitions: Definitions): boolean {
  return definitions.isA(given, wanted) || definitions.isA(wanted, given) || (wanted === 'xhtml' && given === 'string');
}

function resourceMember(members: readonly Member[]): Member {
  const found = members.find(({ type }) => type === 'Resource');
  if (found !== undefined) return found;
  throw new FhirError('unprocessable', `${pathOf(members)} is a ${typesOf(members)}, not a resource`);
}

function objectOfParts(parts: readonly unknown[], { type: name }: Member, definitions: Definitions): ExactObject {
  const type = definitions.type(name);
  if (type === undefined) throw new Error(`no definition of ${name}`);
  const holder: Holder = { object: {}, type };
  for (const part of parts) {
    if (!isObject(part) || typeof part.name !== 'string')
      throw new FhirError('invalid', 'A part of a value has a name');
    addElement(holder, elementOfParameter(part, part.name, type, definitions), definitions);
  }
  return holder.object;
}

/**
 * Appends to a list, or sets what is not there yet: "Add can used for non-repeating elements as long as they do not already
 * exist." Throws FhirError('unprocessable') where it does.
 */
export function addElement(
  holder: Holder,
  { member, element }: { member: Member; element: Element },
  definitions: Definitions,
): void {
  const place = { ...holder, member };
  if (member.many) {
    setList(place, [...listAt(place, definitions), element], definitions);
    return;
  }
  for (const other of holder.type.members.values()) {
    const isSame = other === member || (member.choice !== undefined && other.choice === member.choice);
    if (!isSame) continue;
    if (holder.object[other.name] === undefined && holder.object[`_${other.name}`] === undefined) continue;
    throw new FhirError('unprocessable', `${member.path} exists already and does not repeat; replace it`);
  }
  setElement(place, element, definitions);
}

const pathOf = (members: readonly Member[]): string => members[0]?.path ?? '';

const typesOf = (members: readonly Member[]): string => members.map(({ type }) => type).join(' or ');

// FHIR types as XML shows them: which members are attributes, which elements, and in what order they stand.
// https://hl7.org/fhir/R4/xml.html
import type { Definitions, Member, TypeDefinition } from './definitions.ts';

export const fhirNamespace = 'http://hl7.org/fhir';
export const xhtmlNamespace = 'http://www.w3.org/1999/xhtml';

/** A type, ready for reading and writing: what may stand under each JSON name. */
export interface XmlType {
  name: string;
  isResource: boolean;
  slots: ReadonlyMap<string, XmlSlot>;
}

/** One member of a type. */
export interface XmlSlot {
  /** Name in JSON and of the element or attribute. */
  name: string;
  /** How FHIRPath names it: `value` for `valueString`. */
  step: string;
  /** Place among the members of its type; the alternatives of a choice have the same. */
  order: number;
  many: boolean;
  kind: 'attribute' | 'primitive' | 'complex' | 'resource' | 'xhtml';
  /** For primitives: how JSON writes the value. */
  literal: 'text' | 'boolean' | 'integer' | 'decimal';
  /** Name of the value's type. */
  type: string;
}

const typesByDefinitions = new WeakMap<Definitions, Map<string, XmlType>>();

/** The type of that name; made once for a set of definitions. Throws for a name that the definitions do not have. */
export function xmlType(name: string, definitions: Definitions): XmlType {
  let types = typesByDefinitions.get(definitions);
  if (types === undefined) {
    types = new Map();
    typesByDefinitions.set(definitions, types);
  }
  let type = types.get(name);
  if (type === undefined) {
    type = makeType(name, definitions);
    types.set(name, type);
  }
  return type;
}

function makeType(name: string, definitions: Definitions): XmlType {
  const definition = definitions.type(name);
  if (definition === undefined) throw new Error(`The definitions have no type ${name}`);
  const slots = new Map<string, XmlSlot>();
  let order = 0;
  let choice: string | undefined;
  for (const member of definition.members.values()) {
    // What a primitive's `value` holds is the attribute of that name, which readers and writers treat by themselves.
    if (definition.kind === 'primitive' && member.name === 'value') continue;
    if (member.choice === undefined || member.choice !== choice) order++;
    choice = member.choice;
    slots.set(member.name, slotOf(member, order, definition, definitions));
  }
  return { name, isResource: definition.kind === 'resource', slots };
}

function slotOf(member: Member, order: number, owner: TypeDefinition, definitions: Definitions): XmlSlot {
  return {
    name: member.name,
    step: member.choice ?? member.name,
    order,
    many: member.many,
    kind: kindOf(member, owner, definitions),
    literal: literals[member.type] ?? 'text',
    type: member.type,
  };
}

/** "The attributes: id of elements, url of extensions, value of primitives"; the id of a resource is an element. */
function kindOf(member: Member, owner: TypeDefinition, definitions: Definitions): XmlSlot['kind'] {
  if (member.name === 'id' && owner.kind !== 'resource') return 'attribute';
  if (member.name === 'url' && owner.name === 'Extension') return 'attribute';
  if (member.type === 'xhtml') return 'xhtml';
  const kind = definitions.type(member.type)?.kind;
  return kind ?? 'primitive';
}

const literals: Readonly<Record<string, XmlSlot['literal']>> = {
  boolean: 'boolean',
  integer: 'integer',
  unsignedInt: 'integer',
  positiveInt: 'integer',
  decimal: 'decimal',
};

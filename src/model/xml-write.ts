// From the JSON of a resource to its XML: elements in the order of the definitions.
// https://hl7.org/fhir/R4/xml.html, https://hl7.org/fhir/R4/json.html
import { limits } from '../base/limits.ts';
import { FhirError } from '../base/outcome.ts';
import type { Definitions } from './definitions.ts';
import { numbersAsText } from './xml-numbers.ts';
import { escapedXml, shownName, TextSink } from './xml-text.ts';
import { fhirNamespace, type XmlSlot, type XmlType, xmlType } from './xml-types.ts';

export interface XmlWriting {
  /** Each element on a line of its own, with a margin. */
  pretty: boolean;
  /** The div of a narrative as an XHTML element that declares its namespace. */
  xhtml(div: string): string;
}

type JsonObject = Readonly<Record<string, unknown>>;

/** See xmlOfJson. */
export function writeXml(json: Uint8Array, definitions: Definitions, writing: XmlWriting): Uint8Array {
  const value: unknown = JSON.parse(numbersAsText(json));
  const writer = new XmlWriter(definitions, writing);
  writer.document(value);
  return writer.bytes();
}

/** A stored resource has at most jsonDepthMax levels; a Bundle of Bundles puts some around it. */
const depthMax = 2 * limits.jsonDepthMax;

/** Deeper levels share the last, so that a hostile text does not explode. */
const margins = Array.from({ length: 17 }, (_, depth) => '  '.repeat(depth));

class XmlWriter {
  readonly #definitions: Definitions;
  readonly #writing: XmlWriting;
  readonly #out = new TextSink();
  #depth = 0;

  constructor(definitions: Definitions, writing: XmlWriting) {
    this.#definitions = definitions;
    this.#writing = writing;
  }

  bytes(): Uint8Array {
    return this.#out.bytes();
  }

  document(value: unknown): void {
    this.#out.write('<?xml version="1.0" encoding="UTF-8"?>');
    this.#resource(value, ` xmlns="${fhirNamespace}"`);
    if (this.#writing.pretty) this.#out.write('\n');
  }

  #resource(value: unknown, namespace = ''): void {
    const object = this.#object(value, 'a resource');
    const name = object.resourceType;
    if (typeof name !== 'string' || !this.#definitions.isResourceType(name))
      throw notXml('a resource without a known type');
    this.#element(name, namespace, object, xmlType(name, this.#definitions));
  }

  /** An element with the members of an object in it; `_name` members go into the elements they belong to. */
  #element(name: string, attributes: string, object: JsonObject, type: XmlType): void {
    const slots = slotsIn(object, type);
    this.#begin(`<${name}${attributes}`);
    if (slots.length === 0) {
      this.#out.write('/>');
      return;
    }
    this.#out.write('>');
    this.#enter();
    for (const slot of slots) this.#member(object, slot);
    this.#leave();
    this.#end(name);
  }

  #member(object: JsonObject, slot: XmlSlot): void {
    const value = object[slot.name];
    const sibling = slot.kind === 'primitive' ? object[`_${slot.name}`] : undefined;
    if (!slot.many) {
      this.#value(slot, value, sibling);
      return;
    }
    const values = listOf(value, slot);
    const siblings = listOf(sibling, slot);
    const length = Math.max(values.length, siblings.length);
    for (let at = 0; at < length; at++) this.#value(slot, values[at] ?? undefined, siblings[at] ?? undefined);
  }

  #value(slot: XmlSlot, value: unknown, sibling: unknown): void {
    switch (slot.kind) {
      case 'primitive':
        this.#primitive(slot, value, sibling);
        return;
      case 'xhtml':
        if (typeof value !== 'string') throw notXml(`"${slot.name}" that is no text`);
        this.#begin(this.#writing.xhtml(value));
        return;
      case 'resource':
        this.#begin(`<${slot.name}>`);
        this.#enter();
        this.#resource(value);
        this.#leave();
        this.#end(slot.name);
        return;
      default: {
        const object = this.#object(value, `"${slot.name}"`);
        this.#element(slot.name, attributesOf(object, slot), object, xmlType(slot.type, this.#definitions));
      }
    }
  }

  #primitive(slot: XmlSlot, value: unknown, sibling: unknown): void {
    const beside = sibling === undefined ? undefined : this.#object(sibling, `"_${slot.name}"`);
    let attributes = beside === undefined ? '' : attributesOf(beside, slot);
    if (value !== undefined) {
      if (typeof value !== 'string' && typeof value !== 'boolean')
        throw notXml(`"${slot.name}" that is no simple value`);
      attributes += ` value="${typeof value === 'string' ? escapedXml(value) : value}"`;
    }
    if (beside === undefined) this.#begin(`<${slot.name}${attributes}/>`);
    else this.#element(slot.name, attributes, beside, xmlType(slot.type, this.#definitions));
  }

  #object(value: unknown, what: string): JsonObject {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw notXml(`${what} that is no object`);
    return value as JsonObject;
  }

  #enter(): void {
    if (++this.#depth > depthMax) throw notXml(`more than ${depthMax} levels of nesting`);
    if (this.#out.length > limits.xmlReplyBytesMax) {
      throw new FhirError(
        'too-costly',
        `As XML this is longer than ${limits.xmlReplyBytesMax} bytes; ask for JSON or less`,
      );
    }
  }

  #leave(): void {
    this.#depth--;
  }

  #begin(text: string): void {
    this.#out.write(this.#writing.pretty ? `\n${margins[Math.min(this.#depth, margins.length - 1)]}${text}` : text);
  }

  #end(name: string): void {
    this.#begin(`</${name}>`);
  }
}

/** The slots of what an object holds as elements, in their order. */
function slotsIn(object: JsonObject, type: XmlType): XmlSlot[] {
  const slots: XmlSlot[] = [];
  let isInOrder = true;
  for (const key of Object.keys(object)) {
    const isSibling = key.charCodeAt(0) === UNDERSCORE;
    const slot = type.slots.get(isSibling ? key.slice(1) : key);
    if (slot === undefined || (isSibling && slot.kind !== 'primitive')) {
      if (key === 'resourceType' && type.isResource) continue;
      throw notXml(`"${shownName(key)}", which ${type.name} does not have`);
    }
    if (slot.kind === 'attribute' || (isSibling && object[slot.name] !== undefined)) continue;
    const before = slots.at(-1);
    if (before !== undefined && before.order > slot.order) isInOrder = false;
    slots.push(slot);
  }
  return isInOrder ? slots : slots.sort((one, other) => one.order - other.order);
}

const UNDERSCORE = 0x5f;

function attributesOf({ id, url }: JsonObject, slot: XmlSlot): string {
  const identity = typeof id === 'string' ? ` id="${escapedXml(id)}"` : '';
  return slot.type === 'Extension' && typeof url === 'string' ? `${identity} url="${escapedXml(url)}"` : identity;
}

function listOf(value: unknown, slot: XmlSlot): readonly unknown[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw notXml(`"${slot.name}" that is no list`);
  return value;
}

function notXml(what: string): FhirError {
  return new FhirError(
    'not-acceptable',
    `XML cannot show this resource: it has ${what}. Ask for application/fhir+json.`,
  );
}

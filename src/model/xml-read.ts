// From the elements of an XML resource to its JSON text, written while they come: nothing of the resource is kept but the
// way to where the reader is. https://hl7.org/fhir/R4/xml.html, https://hl7.org/fhir/R4/json.html
import { nearest } from '../base/text.ts';
import type { Definitions } from './definitions.ts';
import { shownName, TextSink } from './xml-text.ts';
import { fhirNamespace, type XmlSlot, type XmlType, xhtmlNamespace, xmlType } from './xml-types.ts';

export interface XmlElement {
  /** Without prefix. */
  name: string;
  prefix: string;
  namespace: string;
  /** The default namespace, where this very element declares one. */
  declared: string | undefined;
  /** Without declarations of namespaces. */
  attributes: readonly XmlAttribute[];
}

export interface XmlAttribute {
  name: string;
  /** '' for an attribute without prefix. */
  namespace: string;
  value: string;
}

/** Throws the error for what is wrong where the parser is. `path` is the FHIRPath of the element. */
export type Refuse = (problem: string, path: string) => never;

/** Where the reader is: a place for a resource, an object being written, or a primitive with its id and extensions. */
type Frame = ResourcePlace | ObjectFrame | PrimitiveFrame;

interface ResourcePlace {
  kind: 'place';
  /** The element that holds it: `contained`, `resource`; undefined for the document. */
  slot: XmlSlot | undefined;
  isFilled: boolean;
}

/** The member that is being written: several values of it follow each other. */
interface Members {
  type: XmlType;
  slot: XmlSlot | undefined;
  /** False until the first member. */
  hasMembers: boolean;
  /** JSON of the values of a primitive, `null` where there is none, and of what stands beside each under `_name`. */
  values: string[];
  siblings: string[];
}

interface ObjectFrame extends Members {
  kind: 'object';
  /** The member of the object around it; undefined for a resource, whose place knows. */
  within: XmlSlot | undefined;
}

interface PrimitiveFrame extends Members {
  kind: 'primitive';
  within: XmlSlot;
  id: string | undefined;
  value: string | undefined;
}

const primitiveAttributes: ReadonlySet<string> = new Set(['id', 'value']);
const noAttributes: ReadonlySet<string> = new Set();
const elementAttributes: ReadonlySet<string> = new Set(['id']);
const extensionAttributes: ReadonlySet<string> = new Set(['id', 'url']);

/** Says where a schema is, and nothing about the resource. */
const schemaNamespace = 'http://www.w3.org/2001/XMLSchema-instance';

const integerText = /^-?(?:0|[1-9][0-9]*)$/;
const decimalText = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/;

/** Takes elements as a parser meets them. Each method throws by `refuse` for what FHIR does not have. */
export class ResourceReader {
  readonly #definitions: Definitions;
  readonly #refuse: Refuse;
  readonly #out = new TextSink();
  readonly #frames: Frame[] = [{ kind: 'place', slot: undefined, isFilled: false }];

  constructor(definitions: Definitions, refuse: Refuse) {
    this.#definitions = definitions;
    this.#refuse = refuse;
  }

  /** 'xhtml' for a narrative: what it holds is not told by open and close, but by `xhtml` as one text. */
  open(element: XmlElement): 'xhtml' | 'element' {
    const frame = this.#top();
    if (frame.kind === 'place') {
      this.#openResource(frame, element);
      return 'element';
    }
    const slot = this.#slotFor(frame, element);
    if (frame.kind === 'primitive' && !frame.hasMembers) this.#beginSibling(frame);
    this.#beginValue(frame, slot);
    switch (slot.kind) {
      case 'xhtml':
        return 'xhtml';
      case 'resource':
        this.#checkAttributes(element, noAttributes);
        this.#frames.push({ kind: 'place', slot, isFilled: false });
        break;
      case 'complex':
        this.#openComplex(slot, element);
        break;
      default:
        this.#openPrimitive(slot, element);
    }
    return 'element';
  }

  close(): void {
    const frame = this.#top();
    if (frame.kind === 'place') this.#closePlace(frame);
    else if (frame.kind === 'primitive') this.#closePrimitive(frame);
    else this.#closeObject(frame);
    this.#frames.pop();
  }

  /** The whole text of the narrative's element that was opened last. */
  xhtml(text: string): void {
    this.#out.write(JSON.stringify(text));
  }

  /** Text between tags, of which FHIR has none outside of the narrative. */
  text(text: string): void {
    if (/[^ \t\r\n]/.test(text)) this.#fail('text between elements; a value stands in the attribute "value"');
  }

  /** The JSON, once the document has ended. */
  bytes(): Uint8Array {
    return this.#out.bytes();
  }

  // ---- opening ----

  #openResource(place: ResourcePlace, element: XmlElement): void {
    const { name, namespace } = element;
    if (namespace !== fhirNamespace) this.#fail(wrongNamespace(name, namespace, fhirNamespace));
    if (place.isFilled) this.#fail(`a second resource within "${place.slot?.name}"; each has an element of its own`);
    if (!this.#definitions.isResourceType(name)) this.#fail(unknownType(name, this.#definitions));
    place.isFilled = true;
    this.#checkAttributes(element, noAttributes);
    this.#out.write(`{"resourceType":"${name}"`);
    this.#frames.push({ kind: 'object', within: undefined, ...membersOf(xmlType(name, this.#definitions), true) });
  }

  #openComplex(slot: XmlSlot, element: XmlElement): void {
    const type = xmlType(slot.type, this.#definitions);
    const accepted = type.name === 'Extension' ? extensionAttributes : elementAttributes;
    this.#checkAttributes(element, accepted, slot);
    this.#out.write('{');
    const members = membersOf(type, false);
    for (const { name, value, namespace } of element.attributes) {
      if (namespace !== '') continue;
      if (value === '') this.#fail(`the attribute "${name}" is empty`, slot.step);
      this.#out.write(`${members.hasMembers ? ',' : ''}"${name}":${JSON.stringify(value)}`);
      members.hasMembers = true;
    }
    this.#frames.push({ kind: 'object', within: slot, ...members });
  }

  #openPrimitive(slot: XmlSlot, element: XmlElement): void {
    this.#checkAttributes(element, primitiveAttributes, slot);
    const frame: PrimitiveFrame = {
      kind: 'primitive',
      within: slot,
      id: undefined,
      value: undefined,
      ...membersOf(xmlType(slot.type, this.#definitions), false),
    };
    for (const { name, value, namespace } of element.attributes) {
      if (namespace !== '') continue;
      if (value === '') this.#fail(`the attribute "${name}" is empty`, slot.step);
      if (name === 'id') frame.id = value;
      else frame.value = this.#literal(slot, value);
    }
    this.#frames.push(frame);
  }

  /** The member that an element stands for, in its turn. */
  #slotFor(frame: ObjectFrame | PrimitiveFrame, { name, namespace }: XmlElement): XmlSlot {
    const slot = frame.type.slots.get(name);
    if (slot === undefined || slot.kind === 'attribute') {
      this.#fail(unknownElement(name, frame));
    }
    const expected = slot.kind === 'xhtml' ? xhtmlNamespace : fhirNamespace;
    if (namespace !== expected) this.#fail(wrongNamespace(name, namespace, expected), slot.step);
    const before = frame.slot;
    if (before === undefined) return slot;
    if (slot.order < before.order)
      this.#fail(`"${name}" stands after "${before.name}" and belongs before it`, slot.step);
    if (slot === before && !slot.many) this.#fail(`"${name}" stands twice`, slot.step);
    if (slot.order === before.order && slot !== before) {
      this.#fail(`"${name}" beside "${before.name}": only one of ${slot.step}[x] is accepted`, slot.step);
    }
    return slot;
  }

  /** Writes what comes before the value of a member; primitives are written when the last of them is known. */
  #beginValue(frame: ObjectFrame | PrimitiveFrame, slot: XmlSlot): void {
    const isFirst = frame.slot !== slot;
    if (isFirst) this.#endMember(frame);
    frame.slot = slot;
    if (slot.kind === 'primitive') return;
    if (!isFirst) this.#out.write(',');
    else this.#out.write(`${separator(frame)}"${slot.name}":${slot.many ? '[' : ''}`);
    frame.hasMembers = true;
  }

  // ---- closing ----

  #endMember(frame: ObjectFrame | PrimitiveFrame): void {
    const { slot } = frame;
    if (slot === undefined) return;
    frame.slot = undefined;
    if (slot.kind === 'primitive') this.#writePrimitives(frame, slot);
    else if (slot.many) this.#out.write(']');
  }

  #writePrimitives(frame: ObjectFrame | PrimitiveFrame, slot: XmlSlot): void {
    const { values, siblings } = frame;
    for (const [name, texts] of [
      [slot.name, values],
      [`_${slot.name}`, siblings],
    ] as const) {
      if (texts.every((text) => text === 'null')) continue;
      this.#out.write(`${separator(frame)}"${name}":${slot.many ? `[${texts.join(',')}]` : texts[0]}`);
      frame.hasMembers = true;
    }
    frame.values = [];
    frame.siblings = [];
  }

  #closePlace({ slot, isFilled }: ResourcePlace): void {
    if (!isFilled) this.#fail(`"${slot?.name}" is empty; it holds a resource`);
  }

  #closeObject(frame: ObjectFrame): void {
    this.#endMember(frame);
    if (!frame.hasMembers) this.#fail(`"${frame.within?.name}" is empty; leave it out or give it content`);
    this.#out.write('}');
  }

  #closePrimitive(frame: PrimitiveFrame): void {
    const sibling = this.#siblingOf(frame);
    if (frame.value === undefined && sibling === 'null') {
      this.#fail(`"${frame.within.name}" is empty; it takes the attribute "value"`);
    }
    const around = this.#frames.at(-2) as ObjectFrame | PrimitiveFrame;
    around.values.push(frame.value ?? 'null');
    around.siblings.push(sibling);
  }

  /** Its extensions are written apart, to stand after all values of the member. */
  #beginSibling(frame: PrimitiveFrame): void {
    this.#out.hold();
    if (frame.id === undefined) return;
    this.#out.write(`"id":${JSON.stringify(frame.id)}`);
    frame.hasMembers = true;
  }

  #siblingOf(frame: PrimitiveFrame): string {
    if (frame.slot === undefined) return frame.id === undefined ? 'null' : `{"id":${JSON.stringify(frame.id)}}`;
    this.#endMember(frame);
    return `{${this.#out.release()}}`;
  }

  // ---- values ----

  #literal(slot: XmlSlot, value: string): string {
    switch (slot.literal) {
      case 'text':
        return JSON.stringify(value);
      case 'boolean':
        if (value !== 'true' && value !== 'false') this.#fail('true or false is expected', slot.step);
        return value;
      case 'integer':
        if (!integerText.test(value)) this.#fail('a whole number is expected', slot.step);
        return value;
      case 'decimal':
        if (!decimalText.test(value)) this.#fail('a decimal number is expected', slot.step);
        return value;
    }
  }

  #checkAttributes({ name, attributes }: XmlElement, accepted: ReadonlySet<string>, slot?: XmlSlot): void {
    for (const attribute of attributes) {
      const isHint = attribute.namespace === schemaNamespace && /schemalocation$/i.test(attribute.name);
      if (isHint || (attribute.namespace === '' && accepted.has(attribute.name))) continue;
      const list = accepted.size === 0 ? 'none is accepted' : `accepted: ${[...accepted].join(', ')}`;
      this.#fail(`the attribute "${shownName(attribute.name)}" of "${shownName(name)}"; ${list}`, slot?.step);
    }
  }

  // ---- messages ----

  #top(): Frame {
    return this.#frames.at(-1) as Frame;
  }

  #fail(problem: string, step?: string): never {
    return this.#refuse(problem, pathTo(this.#frames, step));
  }
}

function membersOf(type: XmlType, hasMembers: boolean): Members {
  return { type, slot: undefined, hasMembers, values: [], siblings: [] };
}

const separator = (frame: Members): string => (frame.hasMembers ? ',' : '');

function pathTo(frames: readonly Frame[], step: string | undefined): string {
  const steps: string[] = [];
  for (const frame of frames) {
    if (frame.kind === 'place') {
      if (frame.slot !== undefined) steps.push(frame.slot.step);
    } else if (frame.within !== undefined) steps.push(frame.within.step);
    else if (steps.length === 0) steps.push(frame.type.name);
  }
  return [...steps, ...(step === undefined ? [] : [step])].join('.');
}

function unknownElement(name: string, frame: ObjectFrame | PrimitiveFrame): string {
  const names = [...frame.type.slots.values()].filter(({ kind }) => kind !== 'attribute').map((slot) => slot.name);
  const near = nearest(name, names);
  const hint = near === undefined ? '' : `; did you mean "${near}"?`;
  const owner = frame.kind === 'primitive' ? `"${frame.within.name}", which holds extensions alone` : frame.type.name;
  return `"${shownName(name)}" is not an element of ${owner}${hint}`;
}

function unknownType(name: string, definitions: Definitions): string {
  const near = nearest(name, definitions.resourceTypes);
  const hint = near === undefined ? '' : `; did you mean "${near}"?`;
  return `"${shownName(name)}" is not a resource type of FHIR R4${hint}`;
}

function wrongNamespace(name: string, namespace: string, expected: string): string {
  const given = namespace === '' ? 'in no namespace' : `in the namespace "${shownName(namespace)}"`;
  return `"${shownName(name)}" is ${given}; expected: ${expected}`;
}

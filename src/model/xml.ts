// XML: the parser with its bounds, and the two ways between FHIR XML and FHIR JSON. A document has no DOCTYPE, no entities
// of its own and no processing instructions here, so that what it says is all in it.
// https://hl7.org/fhir/R4/xml.html, https://www.w3.org/TR/xml/
import { isUtf8 } from 'node:buffer';
import { SaxesParser, type SaxesTagNS } from 'saxes';
import { limits } from '../base/limits.ts';
import { FhirError } from '../base/outcome.ts';
import type { Definitions } from './definitions.ts';
import { ResourceReader, type XmlElement } from './xml-read.ts';
import { xhtmlNamespace } from './xml-types.ts';
import { writeXml } from './xml-write.ts';
import { divAround, htmlEntities, XhtmlText } from './xml-xhtml.ts';

/**
 * The JSON text of a resource in XML. Numbers keep their digits, comments between elements are dropped, a narrative keeps
 * its text. Throws FhirError('invalid') with line and column for what is not well-formed, not of FHIR R4, out of order, or
 * beyond the limits. What a value may be is checked where resources are checked, apart from what JSON needs to know.
 */
export function jsonOfXml(xml: Uint8Array, definitions: Definitions): Uint8Array {
  const text = decoded(xml);
  const document = new XmlDocument(text);
  const reader = new ResourceReader(definitions, (problem, path) => document.refuse(problem, path));
  let narrative: XhtmlText | undefined;
  document.read({
    open: (element) => {
      if (narrative === undefined && reader.open(element) === 'element') return;
      narrative ??= new XhtmlText(text, document.tagStart);
      const problem = narrative.open(element);
      if (problem !== undefined) document.refuse(problem);
    },
    close: () => {
      if (narrative === undefined) reader.close();
      else if (narrative.close()) {
        reader.xhtml(narrative.textTo(document.at));
        narrative = undefined;
      }
    },
    text: (content) => {
      if (narrative === undefined) reader.text(content);
      else narrative.text(content);
    },
    cdata: (content) => {
      if (narrative === undefined) reader.text(content);
      else narrative.cdata(content);
    },
  });
  return reader.bytes();
}

/**
 * The XML of a resource in JSON: elements in the order of the definitions, numbers with their digits, a narrative as
 * XHTML. Throws FhirError('not-acceptable') for what XML cannot show: members and shapes that the definitions do not have.
 */
export function xmlOfJson(json: Uint8Array, definitions: Definitions, options: { pretty?: boolean } = {}): Uint8Array {
  return writeXml(json, definitions, { pretty: options.pretty ?? false, xhtml: xhtmlElement });
}

/**
 * The div of a narrative as it may stand in XML. What HTML allows and XML does not, entities with names, is written as
 * characters; what is no XHTML at all becomes the text of a div.
 */
function xhtmlElement(div: string): string {
  const text = div.toWellFormed().trim();
  return soundXhtml(text) ?? soundXhtml(text, htmlEntities()) ?? divAround(text);
}

function soundXhtml(text: string, entities?: Record<string, string>): string | undefined {
  const document = new XmlDocument(text);
  const narrative = new XhtmlText(text, 0, entities === undefined);
  let problem: string | undefined;
  try {
    document.read(
      {
        open: (element) => {
          // A div without a namespace of its own means XHTML: nothing else may stand there.
          const isBare = element.namespace === '';
          problem ??= narrative.open(isBare ? { ...element, namespace: xhtmlNamespace } : element);
          if (document.depth === 1 && element.name !== 'div') problem ??= 'no div';
        },
        close: () => narrative.close(),
        text: (content) => narrative.text(content),
        cdata: (content) => narrative.cdata(content),
      },
      entities,
    );
  } catch (error) {
    if (error instanceof FhirError) return undefined;
    throw error;
  }
  return problem === undefined ? narrative.textTo(text.length) : undefined;
}

// ---- the parser -------------------------------------------------------------------------------------------------

interface XmlEvents {
  open(element: XmlElement): void;
  close(): void;
  text(content: string): void;
  cdata(content: string): void;
}

const namespaceOfDeclarations = 'http://www.w3.org/2000/xmlns/';

/** The parser's own words for what is wrong repeat names of the document: this much of them is told. */
const problemCharsMax = 160;

/**
 * Six handlers and no more: with a seventh, V8 keeps the parser's properties as a dictionary, and 11 ms for a megabyte
 * become 50.
 */
class XmlDocument {
  readonly #text: string;
  readonly #parser: SaxesParser<{ xmlns: true }>;
  #elements = 0;
  /** Elements that are open. */
  depth = 0;

  constructor(text: string) {
    this.#text = text;
    this.#parser = new StrictParser((problem) => this.#malformed(problem));
  }

  /** Where the parser is: right behind the tag or text that it tells about. */
  get at(): number {
    return this.#parser.position;
  }

  /** Where the tag begins that the parser tells about: no "<" stands in a tag otherwise. */
  get tagStart(): number {
    return Math.max(0, this.#text.lastIndexOf('<', this.#parser.position - 1));
  }

  /** `entities` are known besides the five of XML. Throws FhirError('invalid') for what is not well-formed. */
  read(events: XmlEvents, entities?: Record<string, string>): void {
    const parser = this.#parser;
    if (entities !== undefined) Object.assign(parser.ENTITIES, entities);
    parser.on('doctype', () => this.refuse('a DOCTYPE'));
    parser.on('processinginstruction', () => this.refuse('a processing instruction'));
    parser.on('opentag', (tag) => {
      this.#enter();
      events.open(elementOf(tag));
    });
    parser.on('closetag', () => {
      this.depth--;
      events.close();
    });
    // Outside of the root the parser itself allows blanks alone.
    parser.on('text', (content) => {
      if (this.depth > 0) events.text(content);
    });
    parser.on('cdata', (content) => events.cdata(content));
    parser.write(this.#text).close();
  }

  refuse(problem: string, expression?: string): never {
    throw new FhirError('invalid', `Refused XML at ${position(this.#text, this.tagStart)}: ${problem}`, {
      ...(expression === undefined ? {} : { expression }),
    });
  }

  #malformed(message: string): never {
    const problem = message
      .replace(/[^\x20-\x7e]/g, '?')
      .replace(/\.$/, '')
      .slice(0, problemCharsMax);
    throw new FhirError('invalid', `Not well-formed XML at ${position(this.#text, this.at)}: ${problem}`);
  }

  #enter(): void {
    if (this.#elements === 0) this.#checkDeclaration();
    if (++this.#elements > limits.xmlElementsMax) this.refuse(`more than ${limits.xmlElementsMax} elements`);
    if (++this.depth > limits.xmlDepthMax) this.refuse(`more than ${limits.xmlDepthMax} levels of nesting`);
  }

  #checkDeclaration(): void {
    const { version = '1.0', encoding = 'UTF-8' } = this.#parser.xmlDecl;
    if (version !== '1.0') this.refuse('a version of XML other than 1.0');
    if (encoding.toUpperCase() !== 'UTF-8') this.refuse('an encoding other than UTF-8');
  }
}

/** Stops at the first error, without an error handler; see above. */
class StrictParser extends SaxesParser<{ xmlns: true }> {
  readonly #malformed: (problem: string) => never;

  constructor(malformed: (problem: string) => never) {
    super({ xmlns: true, position: false, forceXMLVersion: true, defaultXMLVersion: '1.0' } as { xmlns: true });
    this.#malformed = malformed;
  }

  override fail(problem: string): this {
    return this.#malformed(problem);
  }
}

function elementOf(tag: SaxesTagNS): XmlElement {
  const attributes: XmlElement['attributes'][number][] = [];
  for (const key in tag.attributes) {
    const attribute = tag.attributes[key];
    if (attribute === undefined || attribute.uri === namespaceOfDeclarations) continue;
    attributes.push({ name: attribute.local, namespace: attribute.uri, value: attribute.value });
  }
  return { name: tag.local, prefix: tag.prefix, namespace: tag.uri, declared: tag.ns[''], attributes };
}

/** Throws FhirError('invalid') for another encoding than UTF-8. */
function decoded(xml: Uint8Array): string {
  const bytes = Buffer.from(xml.buffer, xml.byteOffset, xml.byteLength);
  if (!isUtf8(bytes))
    throw new FhirError('invalid', 'Refused XML: the text is not valid UTF-8, which is accepted alone');
  const text = bytes.toString('utf8', bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0);
  if (text.trim() === '') throw new FhirError('invalid', 'Not well-formed XML: the text is empty');
  return text;
}

/** Line and column of a place in the text, both from 1. */
function position(text: string, at: number): string {
  let line = 1;
  let lineStart = 0;
  for (let next = text.indexOf('\n'); next >= 0 && next < at; next = text.indexOf('\n', next + 1)) {
    line++;
    lineStart = next + 1;
  }
  return `line ${line}, column ${at - lineStart + 1}`;
}

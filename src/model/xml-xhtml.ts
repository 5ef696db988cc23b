// The narrative: XHTML in one div, which JSON holds as a text and XML as elements.
// https://hl7.org/fhir/R4/narrative.html
import type { XmlElement } from './xml-read.ts';
import { escapedXml, shownName } from './xml-text.ts';
import { xhtmlNamespace } from './xml-types.ts';

const xmlNamespace = 'http://www.w3.org/XML/1998/namespace';

/**
 * The text of a div while its elements come. Where they need nothing from outside, it is the source as it stands,
 * comments and all; otherwise (prefixes, CDATA, entities of HTML) it is written anew.
 */
export class XhtmlText {
  readonly #source: string;
  readonly #start: number;
  readonly #names: string[] = [];
  #isPlain: boolean;
  #isTagOpen = false;
  #written = '';

  /** `start` is where the div begins in the source. `isPlain: false` has it written anew in any case. */
  constructor(source: string, start: number, isPlain = true) {
    this.#source = source;
    this.#start = start;
    this.#isPlain = isPlain;
  }

  /** Hands back what is wrong with an element: another namespace than XHTML's. */
  open({ name, prefix, namespace, declared, attributes }: XmlElement): string | undefined {
    if (namespace !== xhtmlNamespace)
      return `"${shownName(name)}" in the narrative is no XHTML; expected: ${xhtmlNamespace}`;
    const isRoot = this.#names.length === 0;
    if (prefix !== '' || (isRoot && declared === undefined)) this.#isPlain = false;
    this.#endTag();
    this.#written += isRoot ? `<${name} xmlns="${xhtmlNamespace}"` : `<${name}`;
    for (const attribute of attributes) {
      if (attribute.namespace !== '' && attribute.namespace !== xmlNamespace) {
        return `the attribute "${shownName(attribute.name)}" in the narrative is no XHTML`;
      }
      const label = attribute.namespace === '' ? attribute.name : `xml:${attribute.name}`;
      this.#written += ` ${label}="${escapedXml(attribute.value)}"`;
    }
    this.#isTagOpen = true;
    this.#names.push(name);
    return undefined;
  }

  /** True when that was the div itself. */
  close(): boolean {
    const name = this.#names.pop();
    this.#written += this.#isTagOpen ? '/>' : `</${name}>`;
    this.#isTagOpen = false;
    return this.#names.length === 0;
  }

  text(content: string): void {
    this.#endTag();
    this.#written += escapedText(content);
  }

  /** To a reader of HTML a CDATA section is a comment that ends early, so that it is not left as it is. */
  cdata(content: string): void {
    this.#isPlain = false;
    this.text(content);
  }

  /** The whole; `end` is where the div ends in the source. */
  textTo(end: number): string {
    return this.#isPlain ? this.#source.slice(this.#start, end) : this.#written;
  }

  #endTag(): void {
    if (this.#isTagOpen) this.#written += '>';
    this.#isTagOpen = false;
  }
}

/** Line breaks and tabs between tags are what they are, unlike in attributes. */
function escapedText(text: string): string {
  return escapedXml(text).replace(/&#x(9|A);/g, (_, code: string) => (code === '9' ? '\t' : '\n'));
}

/** A div around a text, for what is no XHTML. */
export function divAround(text: string): string {
  return `<div xmlns="${xhtmlNamespace}">${escapedText(text)}</div>`;
}

/** The characters of Latin-1 from U+00A0 on, as HTML 4 names them. https://www.w3.org/TR/html4/sgml/entities.html */
const latin1 =
  'nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute micro para ' +
  'middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave ' +
  'Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc ' +
  'Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave iacute icirc ' +
  'iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml';

/** Greek from U+0391 and U+03B1 on; U+03A2 is no letter. */
const greek = 'alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho';
const greekLast = 'sigma tau upsilon phi chi psi omega';

const symbols: Readonly<Record<string, string>> = {
  OElig: 'Œ',
  oelig: 'œ',
  Scaron: 'Š',
  scaron: 'š',
  Yuml: 'Ÿ',
  fnof: 'ƒ',
  circ: 'ˆ',
  tilde: '˜',
  sigmaf: 'ς',
  thetasym: 'ϑ',
  upsih: 'ϒ',
  piv: 'ϖ',
  ensp: '\u2002',
  emsp: '\u2003',
  thinsp: '\u2009',
  zwnj: '\u200c',
  zwj: '\u200d',
  lrm: '\u200e',
  rlm: '\u200f',
  ndash: '–',
  mdash: '—',
  lsquo: '‘',
  rsquo: '’',
  sbquo: '‚',
  ldquo: '“',
  rdquo: '”',
  bdquo: '„',
  dagger: '†',
  Dagger: '‡',
  bull: '•',
  hellip: '…',
  permil: '‰',
  prime: '′',
  Prime: '″',
  lsaquo: '‹',
  rsaquo: '›',
  oline: '‾',
  frasl: '⁄',
  euro: '€',
  image: 'ℑ',
  weierp: '℘',
  real: 'ℜ',
  trade: '™',
  alefsym: 'ℵ',
  larr: '←',
  uarr: '↑',
  rarr: '→',
  darr: '↓',
  harr: '↔',
  crarr: '↵',
  lArr: '⇐',
  uArr: '⇑',
  rArr: '⇒',
  dArr: '⇓',
  hArr: '⇔',
  forall: '∀',
  part: '∂',
  exist: '∃',
  empty: '∅',
  nabla: '∇',
  isin: '∈',
  notin: '∉',
  ni: '∋',
  prod: '∏',
  sum: '∑',
  minus: '−',
  lowast: '∗',
  radic: '√',
  prop: '∝',
  infin: '∞',
  ang: '∠',
  and: '∧',
  or: '∨',
  cap: '∩',
  cup: '∪',
  int: '∫',
  there4: '∴',
  sim: '∼',
  cong: '≅',
  asymp: '≈',
  ne: '≠',
  equiv: '≡',
  le: '≤',
  ge: '≥',
  sub: '⊂',
  sup: '⊃',
  nsub: '⊄',
  sube: '⊆',
  supe: '⊇',
  oplus: '⊕',
  otimes: '⊗',
  perp: '⊥',
  sdot: '⋅',
  lceil: '⌈',
  rceil: '⌉',
  lfloor: '⌊',
  rfloor: '⌋',
  lang: '〈',
  rang: '〉',
  loz: '◊',
  spades: '♠',
  clubs: '♣',
  hearts: '♥',
  diams: '♦',
};

/** Entities that HTML has beyond XML's five: name → character. They stand in narratives that were written as JSON. */
export function htmlEntities(): Record<string, string> {
  const named = (names: string, first: number): [string, string][] =>
    names.split(' ').map((name, at) => [name, String.fromCodePoint(first + at)]);
  const capitals = (names: string): string => names.replace(/\b[a-z]/g, (letter) => letter.toUpperCase());
  return Object.fromEntries([
    ...named(latin1, 0xa0),
    ...named(greek, 0x3b1),
    ...named(greekLast, 0x3c3),
    ...named(capitals(greek), 0x391),
    ...named(capitals(greekLast), 0x3a3),
    ...Object.entries(symbols),
  ]);
}

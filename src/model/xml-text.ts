// Text on its way into XML or JSON: escapes, and a sink that turns what is written into UTF-8 as it grows.

/** What an attribute or text cannot show as it is, and what XML 1.0 has no characters for. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const special = /[&<>"\u0000-\u001f\ufffe\uffff]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const specials = /[&<>"\u0000-\u001f\ufffe\uffff]/g;

/**
 * Text as it stands between the quotes of an attribute, or between tags. Tabs and line breaks become references, as a
 * reader makes blanks of them otherwise. A character that XML does not have comes out as U+FFFD.
 */
export function escapedXml(text: string): string {
  const sound = text.isWellFormed() ? text : text.toWellFormed();
  return special.test(sound) ? sound.replace(specials, reference) : sound;
}

function reference(character: string): string {
  return references[character] ?? '\ufffd';
}

const references: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\t': '&#x9;',
  '\n': '&#xA;',
  '\r': '&#xD;',
};

/** Names in messages are cut at this length. */
const nameShownMax = 64;

/** A name of a document as a message may repeat it: printable and short. */
export function shownName(text: string): string {
  const printable = text.replace(/[^\x20-\x7e]/g, '?');
  return printable.length > nameShownMax ? `${printable.slice(0, nameShownMax)}…` : printable;
}

/** Characters that are kept as a string before they become bytes: a string of all of it would be copied again and again. */
const textCharsMax = 64 * 1024;

export class TextSink {
  #text = '';
  readonly #held: string[] = [];
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  write(text: string): void {
    this.#text += text;
    if (this.#text.length > textCharsMax && this.#held.length === 0) this.#flush();
  }

  /** What is written from now on is handed back by `release`. Pairs may nest. */
  hold(): void {
    this.#held.push(this.#text);
    this.#text = '';
  }

  release(): string {
    const text = this.#text;
    this.#text = this.#held.pop() ?? '';
    return text;
  }

  /** Bytes so far, without what is still a string. */
  get length(): number {
    return this.#bytes;
  }

  /** Everything written, as UTF-8. */
  bytes(): Uint8Array {
    this.#flush();
    return this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks, this.#bytes);
  }

  #flush(): void {
    const chunk = Buffer.from(this.#text, 'utf8');
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    this.#text = '';
  }
}

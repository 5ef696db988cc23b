// JSON for people: `_pretty=true`. https://hl7.org/fhir/R4/http.html#pretty

/** Levels that are told apart by their margin: deeper ones share the last, so that a hostile text does not explode. */
const marginsMax = 16;

const LF = 0x0a;
const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;

/** Well-formed JSON with a line for each value and two blanks for each level; every value as it was. */
export function prettyJson(json: Uint8Array): Uint8Array {
  const out = new Lines(json.length);
  let depth = 0;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at] as number;
    if (byte === QUOTE) {
      const end = stringEnd(json, at);
      out.text(json, at, end);
      at = end - 1;
    } else if (byte === COLON) out.bytes(COLON, SPACE);
    else if (byte === COMMA) {
      out.bytes(COMMA);
      out.line(depth);
    } else if (isOpening(byte)) {
      depth++;
      out.bytes(byte);
      if (!isClosing(nextByte(json, at))) out.line(depth);
    } else if (isClosing(byte)) {
      depth--;
      if (!isOpening(out.last)) out.line(depth);
      out.bytes(byte);
    } else if (byte > SPACE) out.bytes(byte);
  }
  out.bytes(LF);
  return out.written();
}

/** Bytes that grow line by line. */
class Lines {
  #buffer: Uint8Array;
  #length = 0;

  constructor(expected: number) {
    this.#buffer = new Uint8Array(2 * expected + 64);
  }

  get last(): number {
    return this.#buffer[this.#length - 1] ?? 0;
  }

  bytes(first: number, second?: number): void {
    this.#reserve(2);
    this.#buffer[this.#length++] = first;
    if (second !== undefined) this.#buffer[this.#length++] = second;
  }

  /** A line break and the margin of a level. */
  line(depth: number): void {
    const margin = 2 * Math.max(0, Math.min(depth, marginsMax));
    this.#reserve(1 + margin);
    this.#buffer[this.#length++] = LF;
    this.#buffer.fill(SPACE, this.#length, this.#length + margin);
    this.#length += margin;
  }

  text(from: Uint8Array, start: number, end: number): void {
    this.#reserve(end - start);
    this.#buffer.set(from.subarray(start, end), this.#length);
    this.#length += end - start;
  }

  written(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#buffer.length) return;
    const larger = new Uint8Array(2 * this.#buffer.length + count);
    larger.set(this.#buffer);
    this.#buffer = larger;
  }
}

/** Just behind the closing quote. */
function stringEnd(json: Uint8Array, start: number): number {
  let at = start + 1;
  while (at < json.length && json[at] !== QUOTE) at += json[at] === BACKSLASH ? 2 : 1;
  return Math.min(at + 1, json.length);
}

/** With this bit `[` and `]` become `{` and `}`, and no other byte does. */
const isOpening = (byte: number): boolean => (byte | 0x20) === 0x7b;
const isClosing = (byte: number): boolean => (byte | 0x20) === 0x7d;

function nextByte(json: Uint8Array, start: number): number {
  let at = start + 1;
  while (at < json.length && (json[at] as number) <= SPACE) at++;
  return json[at] ?? 0;
}

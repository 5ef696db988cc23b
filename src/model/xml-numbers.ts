// JSON with its numbers as strings: JSON.parse then keeps every digit of a decimal. https://hl7.org/fhir/R4/json.html#decimal

const QUOTE = 0x22;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const BACKSLASH = 0x5c;

/** The text of well-formed JSON with each number in double quotes: `{"value":1.50}` becomes `{"value":"1.50"}`. */
export function numbersAsText(json: Uint8Array): string {
  const bytes = Buffer.from(json.buffer, json.byteOffset, json.byteLength);
  let text = '';
  let copied = 0;
  for (let at = 0; at < bytes.length; ) {
    const byte = bytes[at] as number;
    if (byte === QUOTE) at = stringEnd(bytes, at);
    else if (byte === MINUS || (byte >= ZERO && byte <= NINE)) {
      const end = numberEnd(bytes, at);
      text += `${bytes.toString('utf8', copied, at)}"${bytes.toString('latin1', at, end)}"`;
      copied = end;
      at = end;
    } else at++;
  }
  return text + bytes.toString('utf8', copied);
}

function stringEnd(bytes: Buffer, start: number): number {
  let at = start + 1;
  while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at + 1;
}

/** Digits, signs, points and exponents are all above the comma, and what may follow a number is not, or is a bracket. */
function numberEnd(bytes: Buffer, start: number): number {
  let at = start + 1;
  while (at < bytes.length && isOfNumber(bytes[at] as number)) at++;
  return at;
}

function isOfNumber(byte: number): boolean {
  return (byte >= ZERO && byte <= NINE) || byte === 0x2e || byte === MINUS || byte === 0x2b || (byte | 0x20) === 0x65;
}

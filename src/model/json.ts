// JSON as bytes: what was sent comes back, decimals as written. Linear, iterative scanners over UTF-8 that check a text
// strictly, find the spans of members, and rewrite parts of it. https://hl7.org/fhir/R4/json.html, RFC 8259
import { isUtf8 } from 'node:buffer';
import { limits } from '../base/limits.ts';
import { FhirError } from '../base/outcome.ts';
import type { Turn } from '../base/slices.ts';

/** Where a member stands: `nameStart` is its opening quote, [valueStart, valueEnd) the text of its value. */
export interface Span {
  nameStart: number;
  valueStart: number;
  valueEnd: number;
}

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** Names that reach JavaScript's prototypes when an object is copied carelessly. */
const namesRefused: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

/** Objects with more members than this are checked for duplicates with a Set, smaller ones by comparing hashes. */
const SMALL_OBJECT = 24;

/** Longest member name that a message shows. */
const NAME_SHOWN_MAX = 64;

/** Whitespace between tokens. */
const isSpace = new Uint8Array(256);
for (const byte of [TAB, LF, CR, SPACE]) isSpace[byte] = 1;

/** Bytes that need attention inside a string: its end, an escape, control characters. */
const inString = new Uint8Array(256);
inString.fill(1, 0, SPACE);
inString[QUOTE] = 1;
inString[BACKSLASH] = 1;

/** What may follow a backslash; 2 for `u`, which takes four hexadecimal digits. */
const escapes = new Uint8Array(256);
for (const letter of '"\\/bfnrt') escapes[letter.charCodeAt(0)] = 1;
escapes[0x75] = 2;

const hexDigits = new Uint8Array(256);
for (const digit of '0123456789abcdefABCDEF') hexDigits[digit.charCodeAt(0)] = 1;

/**
 * Value of a JSON text, as JSON.parse gives it. Refused besides malformed text: duplicate member names, names that reach
 * prototypes, and more depth or members than `limits` allow. A byte order mark at the start is passed over.
 * Throws FhirError('invalid') with line and column.
 */
export function parseJson(bytes: Uint8Array): unknown {
  const buffer = asBuffer(bytes);
  const start = afterMark(buffer);
  try {
    checkUtf8(buffer);
    checkText(buffer, beginCheck(buffer, start), buffer.length + 1);
  } catch (error) {
    throw error instanceof Fault ? error.told(placeOf(buffer, error.at)) : error;
  }
  return JSON.parse(buffer.toString('utf8', start));
}

/** Bytes that are looked at between two turns: some 2 ms. */
const STEP_BYTES = 512 * 1024;

/**
 * Refuses what `parseJson` refuses, as it does, in steps between which others have their turn. What is checked is read
 * by the functions below, or by JSON.parse part by part.
 */
export async function checkJson(bytes: Uint8Array, turn: Turn, stepBytes = STEP_BYTES): Promise<void> {
  const buffer = asBuffer(bytes);
  try {
    checkUtf8(buffer);
    const check = beginCheck(buffer, afterMark(buffer));
    while (!checkText(buffer, check, check.at + stepBytes)) await turn();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const place = startOf(buffer);
    while (place.at < error.at) {
      await turn();
      advance(buffer, place, Math.min(place.at + stepBytes, error.at));
    }
    throw error.told(place);
  }
}

/**
 * The members of the object at `start` (the whole text when left out), by decoded name. Shallow: values are passed over.
 * The text must have gone through `parseJson`. Throws FhirError('invalid') when it is not an object.
 */
export function memberSpans(bytes: Uint8Array, start = 0, end: number = bytes.length): Map<string, Span> {
  const spans = new Map<string, Span>();
  let at = skipSpace(bytes, start === 0 ? afterMark(bytes) : start);
  if (bytes[at] !== OPEN_OBJECT) throw malformed(bytes, at, 'an object is expected').told(placeOf(bytes, at));
  at = skipSpace(bytes, at + 1);
  const buffer = asBuffer(bytes);
  while (at < end && bytes[at] === QUOTE) {
    const nameStart = at;
    const nameEnd = skipString(bytes, at);
    const valueStart = skipSpace(bytes, skipSpace(bytes, nameEnd) + 1);
    const valueEnd = skipValue(bytes, valueStart, end);
    spans.set(stringAt(buffer, nameStart, nameEnd), { nameStart, valueStart, valueEnd });
    at = skipSpace(bytes, valueEnd);
    if (bytes[at] === COMMA) at = skipSpace(bytes, at + 1);
  }
  return spans;
}

/** A text that is an object, and the elements of its list, [start, end) each. */
export interface ListSpans {
  /** All of the object's, in their order. */
  members: Span[];
  /** Undefined when the object has no member of that name, or one that is no list. */
  list: Span | undefined;
  /** How many there are. */
  count: number;
  /** The first of them, up to as many as were asked for. */
  elements: { start: number; end: number }[];
}

/**
 * The elements of the list that is a member of the object, with turns for others: the object may have 64 MB. Undefined
 * when the text is no object. It must have gone through `checkJson`.
 */
export async function listSpans(
  bytes: Uint8Array,
  { name, atMost }: { name: string; atMost: number },
  turn: Turn,
): Promise<ListSpans | undefined> {
  const buffer = asBuffer(bytes);
  const found: ListSpans = { members: [], list: undefined, count: 0, elements: [] };
  let at = skipSpace(bytes, afterMark(bytes));
  if (bytes[at] !== OPEN_OBJECT) return undefined;
  at = skipSpace(bytes, at + 1);
  while (bytes[at] === QUOTE) {
    const nameStart = at;
    const nameEnd = skipString(bytes, at);
    const valueStart = skipSpace(bytes, skipSpace(bytes, nameEnd) + 1);
    const isList = bytes[valueStart] === OPEN_ARRAY && stringAt(buffer, nameStart, nameEnd) === name;
    const valueEnd = isList
      ? await noteElements(bytes, valueStart, found, atMost, turn)
      : skipValue(bytes, valueStart, bytes.length);
    const member = { nameStart, valueStart, valueEnd };
    found.members.push(member);
    if (isList) found.list = member;
    at = skipSpace(bytes, valueEnd);
    if (bytes[at] === COMMA) at = skipSpace(bytes, at + 1);
  }
  return found;
}

/** Adds the elements of the array at `start`; its end. */
async function noteElements(
  bytes: Uint8Array,
  start: number,
  found: ListSpans,
  atMost: number,
  turn: Turn,
): Promise<number> {
  let turnAt = start + STEP_BYTES;
  let at = skipSpace(bytes, start + 1);
  while (bytes[at] !== CLOSE_ARRAY) {
    const end = skipValue(bytes, at, bytes.length);
    if (++found.count <= atMost) found.elements.push({ start: at, end });
    at = skipSpace(bytes, end);
    if (bytes[at] === COMMA) at = skipSpace(bytes, at + 1);
    if (at < turnAt) continue;
    turnAt = at + STEP_BYTES;
    await turn();
  }
  return at + 1;
}

/** The elements of the array in [start, end). The text must have gone through `parseJson`. */
export function elementSpans(bytes: Uint8Array, start: number, end: number): { start: number; end: number }[] {
  const spans: { start: number; end: number }[] = [];
  let at = skipSpace(bytes, start);
  if (bytes[at] !== OPEN_ARRAY) throw malformed(bytes, at, 'an array is expected').told(placeOf(bytes, at));
  at = skipSpace(bytes, at + 1);
  while (at < end && bytes[at] !== CLOSE_ARRAY) {
    const valueEnd = skipValue(bytes, at, end);
    spans.push({ start: at, end: valueEnd });
    at = skipSpace(bytes, valueEnd);
    if (bytes[at] === COMMA) at = skipSpace(bytes, at + 1);
  }
  return spans;
}

/**
 * The text without insignificant whitespace and byte order mark; every other byte as it was. The same array when there
 * is none. The text must have gone through `parseJson`.
 */
export function compactJson(bytes: Uint8Array): Uint8Array {
  const start = afterMark(bytes);
  const first = firstSpace(bytes, start);
  if (first === bytes.length) return start === 0 ? bytes : bytes.subarray(start);
  const out = Buffer.allocUnsafe(bytes.length - start - 1);
  out.set(bytes.subarray(start, first), 0);
  let length = first - start;
  for (let at = first; at < bytes.length; ) {
    const byte = bytes[at] as number;
    if (byte === QUOTE) {
      const stringEnd = skipString(bytes, at);
      length = copyBytes(bytes, at, stringEnd, out, length);
      at = stringEnd;
    } else {
      if (byte > SPACE) out[length++] = byte;
      at++;
    }
  }
  return out.subarray(0, length);
}

/**
 * The text with those string values replaced for which `replacement` returns another; the same array when none is.
 * `name` is the member that the value stands under (for an array, the array's member; '' at the root). `mayMatch` sees
 * the raw text between the quotes and rules values out before they are decoded. Every other byte stays. The text must
 * have gone through `parseJson`.
 */
export function replaceStrings(
  bytes: Uint8Array,
  replacement: (name: string, value: string) => string | undefined,
  mayMatch?: (bytes: Uint8Array, start: number, end: number) => boolean,
): Uint8Array {
  const buffer = asBuffer(bytes);
  const chunks: Uint8Array[] = [];
  let copied = 0;
  walkStrings(bytes, (start, end, nameStart, nameEnd) => {
    if (mayMatch !== undefined && !mayMatch(bytes, start + 1, end - 1)) return;
    const name = nameStart < 0 ? '' : stringAt(buffer, nameStart, nameEnd);
    const value = stringAt(buffer, start, end);
    const replaced = replacement(name, value);
    if (replaced === undefined || replaced === value) return;
    chunks.push(bytes.subarray(copied, start), Buffer.from(JSON.stringify(replaced)));
    copied = end;
  });
  if (copied === 0) return bytes;
  chunks.push(bytes.subarray(copied));
  return Buffer.concat(chunks);
}

/**
 * The body to store, from the checked text of a resource: `resourceType`, `id` and `meta` first, then every other member
 * in its own text and order. `meta` keeps its members (or takes those of `options.meta`, the text of an object) except
 * versionId and lastUpdated: at byte `stampAt` these two are inserted when the body is committed (store/stamp.ts), before
 * which it is not JSON when meta holds more than them.
 */
export function withIdAndMeta(
  bytes: Uint8Array,
  options: { id: string; meta?: Uint8Array },
): { body: Uint8Array; stampAt: number } {
  const members = memberSpans(bytes);
  const type = members.get('resourceType');
  if (type === undefined || bytes[type.valueStart] !== QUOTE) {
    throw new FhirError('invalid', 'resourceType is missing: the name of a resource type is expected');
  }
  const resourceType = asBuffer(bytes).toString('utf8', type.valueStart, type.valueEnd);
  const head = `{"resourceType":${resourceType},"id":${JSON.stringify(options.id)},"meta":{`;
  const meta = options.meta ?? metaText(bytes, members.get('meta'));
  const metaRuns = meta === undefined ? [] : keptRuns(memberSpans(meta), metaMembersWritten);
  const runs = keptRuns(members, membersWritten);
  const out = Buffer.allocUnsafe(Buffer.byteLength(head) + runsLength(metaRuns) + 1 + runsLength(runs) + 1);
  const stampAt = out.write(head, 0);
  let at = stampAt;
  if (meta !== undefined) at = copyRuns(meta, metaRuns, out, at);
  out[at++] = CLOSE_OBJECT;
  at = copyRuns(bytes, runs, out, at);
  out[at] = CLOSE_OBJECT;
  return { body: out, stampAt };
}

/** Members that the server writes itself, and their extension siblings. */
const membersWritten: ReadonlySet<string> = new Set(['resourceType', 'id', '_id', 'meta']);
const metaMembersWritten: ReadonlySet<string> = new Set(['versionId', '_versionId', 'lastUpdated', '_lastUpdated']);

function metaText(bytes: Uint8Array, span: Span | undefined): Uint8Array | undefined {
  if (span === undefined) return undefined;
  if (bytes[span.valueStart] !== OPEN_OBJECT) throw new FhirError('invalid', 'meta must be an object');
  return bytes.subarray(span.valueStart, span.valueEnd);
}

/** Stretches of text with the members that are not in `dropped`; neighbours make one stretch. */
function keptRuns(members: ReadonlyMap<string, Span>, dropped: ReadonlySet<string>): number[] {
  const runs: number[] = [];
  let isOpen = false;
  for (const [name, span] of members) {
    const isKept = !dropped.has(name);
    if (isKept && isOpen) runs[runs.length - 1] = span.valueEnd;
    else if (isKept) runs.push(span.nameStart, span.valueEnd);
    isOpen = isKept;
  }
  return runs;
}

function runsLength(runs: readonly number[]): number {
  let length = 0;
  for (let i = 0; i < runs.length; i += 2) length += 1 + (runs[i + 1] as number) - (runs[i] as number);
  return length;
}

/** Each run with a comma before it. */
function copyRuns(bytes: Uint8Array, runs: readonly number[], out: Uint8Array, at: number): number {
  let to = at;
  for (let i = 0; i < runs.length; i += 2) {
    out[to++] = COMMA;
    const run = bytes.subarray(runs[i], runs[i + 1]);
    out.set(run, to);
    to += run.length;
  }
  return to;
}

// ---- the strict check -------------------------------------------------------------------------------------------

/** Names seen so far in the objects that are open, the innermost last. */
interface Names {
  /** Hash and start of each name of the small objects that are open. */
  hashes: number[];
  starts: number[];
  /** By depth: where its object's names begin in `hashes` and `starts`, how many members it has. */
  bases: number[];
  counts: number[];
  /** By depth: the names of an object that is large or has escapes in a name. */
  sets: (Set<string> | undefined)[];
}

/** How far a text is checked: a value is to begin at `at`. */
interface Check {
  at: number;
  depth: number;
  /** By depth. */
  isObject: boolean[];
  names: Names;
}

function beginCheck(buffer: Buffer, start: number): Check {
  const names: Names = { hashes: [], starts: [], bases: [0], counts: [0], sets: [undefined] };
  return { at: skipSpace(buffer, start), depth: 0, isObject: [false], names };
}

/** Goes on with a check up to the first value at or after `until`; false when there is one. Throws Fault. */
function checkText(buffer: Buffer, check: Check, until: number): boolean {
  const { isObject, names } = check;
  let { at, depth } = check;
  for (;;) {
    if (at >= until) {
      check.at = at;
      check.depth = depth;
      return false;
    }
    const byte = buffer[at];
    if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      if (++depth > limits.jsonDepthMax) throw refused(at, `more than ${limits.jsonDepthMax} levels of nesting`);
      isObject[depth] = byte === OPEN_OBJECT;
      at = skipSpace(buffer, at + 1);
      if (byte === OPEN_OBJECT) {
        openObject(names, depth);
        if (buffer[at] !== CLOSE_OBJECT) {
          at = checkName(buffer, at, names, depth, 'a member name in double quotes or "}" is expected');
          continue;
        }
      } else if (buffer[at] !== CLOSE_ARRAY) continue;
    } else {
      at = skipSpace(buffer, checkScalar(buffer, at));
    }
    // A value ends before `at`, or the container just opened closes there.
    while (depth > 0 && buffer[at] === (isObject[depth] ? CLOSE_OBJECT : CLOSE_ARRAY)) {
      if (isObject[depth]) closeObject(names, depth);
      depth--;
      at = skipSpace(buffer, at + 1);
    }
    if (depth === 0) break;
    if (buffer[at] !== COMMA) throw malformed(buffer, at, `"," or "${isObject[depth] ? '}' : ']'}" is expected`);
    at = skipSpace(buffer, at + 1);
    if (isObject[depth]) at = checkName(buffer, at, names, depth, 'a member name in double quotes is expected');
  }
  if (at < buffer.length) throw malformed(buffer, at, 'the end of the text is expected');
  return true;
}

function openObject(names: Names, depth: number): void {
  names.bases[depth] = names.hashes.length;
  names.counts[depth] = 0;
  names.sets[depth] = undefined;
}

function closeObject(names: Names, depth: number): void {
  const base = names.bases[depth] as number;
  names.hashes.length = base;
  names.starts.length = base;
}

/** From the name of a member to the start of its value. */
function checkName(buffer: Buffer, at: number, names: Names, depth: number, expected: string): number {
  if (buffer[at] !== QUOTE) throw malformed(buffer, at, expected);
  let end = at + 1;
  let hash = 0;
  for (let byte = byteAt(buffer, end); inString[byte] === 0; byte = byteAt(buffer, ++end)) {
    hash = (Math.imul(hash, 31) + byte) | 0;
  }
  const isPlain = buffer[end] === QUOTE;
  if (!isPlain) end = checkString(buffer, at) - 1;
  const count = (names.counts[depth] as number) + 1;
  names.counts[depth] = count;
  if (count > limits.objectKeysMax) throw refused(at, `more than ${limits.objectKeysMax} members in one object`);
  if (!isPlain || isLengthRefused(end - at - 1)) checkNotRefused(buffer, at, end + 1);
  if (isPlain && count <= SMALL_OBJECT && names.sets[depth] === undefined) {
    noteSmall(buffer, at, end, hash, names, depth);
  } else noteLarge(buffer, at, end + 1, names, depth);
  at = skipSpace(buffer, end + 1);
  if (buffer[at] !== COLON) throw malformed(buffer, at, '":" is expected');
  return skipSpace(buffer, at + 1);
}

/** Most names are cleared by their length, without being decoded. */
function isLengthRefused(length: number): boolean {
  return length === 9 || length === 11;
}

function checkNotRefused(buffer: Buffer, start: number, end: number): void {
  const name = stringAt(buffer, start, end);
  if (namesRefused.has(name)) throw refused(start, `the member name "${name}"`);
}

function noteSmall(buffer: Buffer, at: number, end: number, hash: number, names: Names, depth: number): void {
  const { hashes, starts } = names;
  for (let i = names.bases[depth] as number; i < hashes.length; i++) {
    if (hashes[i] === hash && isSameName(buffer, starts[i] as number, at, end)) throw duplicate(buffer, at, end + 1);
  }
  hashes.push(hash);
  starts.push(at);
}

function isSameName(buffer: Buffer, one: number, other: number, otherEnd: number): boolean {
  for (let i = 1; other + i <= otherEnd; i++) if (buffer[one + i] !== buffer[other + i]) return false;
  return true;
}

/** A Set, because its hashes are seeded: names made to collide cost nothing here. */
function noteLarge(buffer: Buffer, start: number, end: number, names: Names, depth: number): void {
  let set = names.sets[depth];
  if (set === undefined) {
    set = new Set();
    for (let i = names.bases[depth] as number; i < names.starts.length; i++) {
      const known = names.starts[i] as number;
      set.add(stringAt(buffer, known, skipString(buffer, known)));
    }
    names.sets[depth] = set;
  }
  const size = set.size;
  set.add(stringAt(buffer, start, end));
  if (set.size === size) throw duplicate(buffer, start, end);
}

function checkScalar(buffer: Buffer, at: number): number {
  const byte = buffer[at] as number;
  if (byte === QUOTE) return checkString(buffer, at);
  if (byte === MINUS || (byte >= ZERO && byte <= NINE)) return checkNumber(buffer, at);
  if (byte === 0x74) return checkWord(buffer, at, 'true');
  if (byte === 0x66) return checkWord(buffer, at, 'false');
  if (byte === 0x6e) return checkWord(buffer, at, 'null');
  throw malformed(buffer, at, 'a value is expected');
}

function checkString(buffer: Buffer, start: number): number {
  let at = start + 1;
  for (;;) {
    let byte = byteAt(buffer, at);
    while (inString[byte] === 0) byte = byteAt(buffer, ++at);
    if (byte === QUOTE) return at + 1;
    if (byte !== BACKSLASH) {
      if (at >= buffer.length) throw malformed(buffer, at, 'a string is not closed: a double quote is expected');
      throw malformed(buffer, at, 'a control character stands in a string: write it as an escape such as \\n');
    }
    at = checkEscape(buffer, at);
  }
}

/** 0, a control character, past the end: the tables are never asked for `undefined`, which would slow them for good. */
function byteAt(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) | 0;
}

function checkEscape(buffer: Buffer, at: number): number {
  const kind = escapes[byteAt(buffer, at + 1)];
  if (kind === 1) return at + 2;
  if (kind !== 2) throw malformed(buffer, at, 'an escape is one of \\" \\\\ \\/ \\b \\f \\n \\r \\t \\u0000');
  for (let i = at + 2; i < at + 6; i++) {
    if (hexDigits[byteAt(buffer, i)] !== 1) throw malformed(buffer, at, '\\u takes four hexadecimal digits');
  }
  return at + 6;
}

function checkNumber(buffer: Buffer, start: number): number {
  let at = buffer[start] === MINUS ? start + 1 : start;
  if (buffer[at] === ZERO) {
    at++;
    if (isDigit(buffer[at])) throw malformed(buffer, start, 'a number must not begin with a superfluous 0');
  } else at = checkDigits(buffer, at);
  if (buffer[at] === DOT) at = checkDigits(buffer, at + 1);
  if (((buffer[at] as number) | 0x20) === 0x65) {
    at++;
    if (buffer[at] === MINUS || buffer[at] === 0x2b) at++;
    at = checkDigits(buffer, at);
  }
  return at;
}

function checkDigits(buffer: Buffer, at: number): number {
  if (!isDigit(buffer[at])) throw malformed(buffer, at, 'a digit is expected');
  do at++;
  while (isDigit(buffer[at]));
  return at;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO && byte <= NINE;
}

function checkWord(buffer: Buffer, at: number, word: 'true' | 'false' | 'null'): number {
  for (let i = 1; i < word.length; i++) {
    if (buffer[at + i] !== word.charCodeAt(i)) throw malformed(buffer, at, 'a value is expected');
  }
  return at + word.length;
}

// ---- passing over text that was checked -------------------------------------------------------------------------

function skipSpace(bytes: Uint8Array, start: number): number {
  if ((bytes[start] as number) > SPACE) return start;
  let at = start;
  while (at < bytes.length && isSpace[bytes[at] as number] === 1) at++;
  return at;
}

/** End of the string that opens at `start`; the end of the text when it is not closed. */
function skipString(bytes: Uint8Array, start: number): number {
  let at = start + 1;
  while (at < bytes.length) {
    const byte = bytes[at];
    if (byte === QUOTE) return at + 1;
    at += byte === BACKSLASH ? 2 : 1;
  }
  return bytes.length;
}

function skipValue(bytes: Uint8Array, start: number, end: number): number {
  const first = bytes[start];
  if (first === QUOTE) return skipString(bytes, start);
  if (first === OPEN_OBJECT || first === OPEN_ARRAY) return skipContainer(bytes, start, end);
  let at = start;
  while (at < end && !isAfterScalar(bytes[at] as number)) at++;
  return at;
}

function isAfterScalar(byte: number): boolean {
  return byte <= SPACE || byte === COMMA || byte === CLOSE_OBJECT || byte === CLOSE_ARRAY;
}

function skipContainer(bytes: Uint8Array, start: number, end: number): number {
  let depth = 0;
  let at = start;
  while (at < end) {
    const byte = bytes[at] as number;
    if (byte === QUOTE) {
      at = skipString(bytes, at);
      continue;
    }
    at++;
    // With this bit `[` and `]` become `{` and `}`, and no other byte does.
    const folded = byte | 0x20;
    if (folded === OPEN_OBJECT) depth++;
    else if (folded === CLOSE_OBJECT && --depth === 0) return at;
  }
  return end;
}

/** The first whitespace between tokens, or the length of the text. */
function firstSpace(bytes: Uint8Array, start: number): number {
  let at = start;
  while (at < bytes.length) {
    const byte = bytes[at] as number;
    if (byte <= SPACE) return at;
    at = byte === QUOTE ? skipString(bytes, at) : at + 1;
  }
  return bytes.length;
}

/** Short copies byte by byte, because a call into the engine's copy costs more. */
function copyBytes(bytes: Uint8Array, start: number, end: number, out: Uint8Array, at: number): number {
  if (end - start > 128) out.set(bytes.subarray(start, end), at);
  else for (let from = start, to = at; from < end; ) out[to++] = bytes[from++] as number;
  return at + end - start;
}

/** Every string value with its bounds, quotes included, and those of the member name it stands under (-1: none). */
function walkStrings(
  bytes: Uint8Array,
  visit: (start: number, end: number, nameStart: number, nameEnd: number) => void,
): void {
  const outer: number[] = [];
  let nameStart = -1;
  let nameEnd = -1;
  let isObject = false;
  let isName = false;
  for (let at = afterMark(bytes); at < bytes.length; ) {
    const byte = bytes[at] as number;
    if (byte === QUOTE) {
      const end = skipString(bytes, at);
      if (isName) {
        nameStart = at;
        nameEnd = end;
        isName = false;
      } else visit(at, end, nameStart, nameEnd);
      at = end;
      continue;
    }
    if (byte === COMMA) isName = isObject;
    else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      outer.push(nameStart, nameEnd, isObject ? 1 : 0);
      isObject = byte === OPEN_OBJECT;
      isName = isObject;
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
      isObject = outer.pop() === 1;
      nameEnd = outer.pop() ?? -1;
      nameStart = outer.pop() ?? -1;
      isName = false;
    }
    at++;
  }
}

/** The value of the string with its quotes in [start, end). */
function stringAt(buffer: Buffer, start: number, end: number): string {
  for (let at = start + 1; at < end; at++) {
    if (buffer[at] === BACKSLASH) return JSON.parse(buffer.toString('utf8', start, end));
  }
  return buffer.toString('utf8', start + 1, end - 1);
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function afterMark(bytes: Uint8Array): number {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
}

// ---- messages ---------------------------------------------------------------------------------------------------

/** What is wrong with a text at a byte. Where that is for a person is counted when it is told. */
class Fault {
  readonly at: number;
  readonly #kind: 'Not well-formed' | 'Refused';
  readonly #problem: string;

  constructor(at: number, kind: 'Not well-formed' | 'Refused', problem: string) {
    this.at = at;
    this.#kind = kind;
    this.#problem = problem;
  }

  told({ line, column }: Place): FhirError {
    return new FhirError('invalid', `${this.#kind} JSON at line ${line}, column ${column}: ${this.#problem}`);
  }
}

function malformed(bytes: Uint8Array, at: number, problem: string): Fault {
  const ends = at >= bytes.length ? ' (the text ends here)' : '';
  return new Fault(at, 'Not well-formed', `${problem}${ends}`);
}

function refused(at: number, what: string): Fault {
  return new Fault(at, 'Refused', what);
}

function duplicate(buffer: Buffer, start: number, end: number): Fault {
  const isShown = end - start - 2 <= NAME_SHOWN_MAX;
  const name = isShown ? ` ${buffer.toString('utf8', start, end)}` : '';
  return refused(start, `the member name${name} stands twice in one object`);
}

/** Line and column of a byte, both from 1; a column is a character. */
interface Place {
  at: number;
  line: number;
  column: number;
}

const startOf = (bytes: Uint8Array): Place => ({ at: afterMark(bytes), line: 1, column: 1 });

function placeOf(bytes: Uint8Array, at: number): Place {
  const place = startOf(bytes);
  advance(bytes, place, at);
  return place;
}

function advance(bytes: Uint8Array, place: Place, to: number): void {
  let { line, column } = place;
  for (let i = place.at; i < to; i++) {
    const byte = byteAt(bytes, i);
    if (byte === LF) {
      line++;
      column = 1;
    } else if ((byte & 0xc0) !== 0x80) column++;
  }
  place.at = to;
  place.line = line;
  place.column = column;
}

function checkUtf8(buffer: Buffer): void {
  if (!isUtf8(buffer)) throw malformed(buffer, invalidUtf8At(buffer), 'the text is not valid UTF-8');
}

/** The first byte of the first sequence that is not UTF-8: piece by piece, then character by character. */
function invalidUtf8At(buffer: Buffer): number {
  let at = 0;
  while (at < buffer.length) {
    const next = characterStart(buffer, Math.min(at + 4096, buffer.length));
    if (next <= at || !isUtf8(buffer.subarray(at, next))) return firstInvalid(buffer, at);
    at = next;
  }
  return at;
}

/** `at`, or the start of the character whose continuation bytes reach it. */
function characterStart(buffer: Buffer, at: number): number {
  let start = at;
  while (start > at - 3 && start > 0 && start < buffer.length && ((buffer[start] as number) & 0xc0) === 0x80) start--;
  return start;
}

/** From a place where a character begins, one character at a time. */
function firstInvalid(buffer: Buffer, start: number): number {
  let at = start;
  while (at < buffer.length) {
    let length = 1;
    while (length <= 4 && !isUtf8(buffer.subarray(at, at + length))) length++;
    if (length > 4) return at;
    at += length;
  }
  return at;
}

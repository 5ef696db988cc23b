// Files and folders → units to load. A Bundle or a single resource is read whole, NDJSON line by line, a package file by
// file, so that memory does not grow with the file; content goes on as the text it came as.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { limits } from '../base/limits.ts';
import { FhirError } from '../base/outcome.ts';
import { elementSpans, memberSpans, parseJson } from '../model/json.ts';
import { bundleOf } from './bundle.ts';
import { contentOf, LoadError, type ReadOptions, type SourceFile } from './load-content.ts';
import { packageFile, unitsOfPackage } from './load-package.ts';
import { isObject, resourceUnit, type Unit } from './load-unit.ts';

/** A file that is read whole, decompressed. Patient bundles of 70 MB exist; the text, its value and its parts are held. */
const wholeBytesMax = 256 * 1024 * 1024;

const resourceFile = /\.(json|ndjson|jsonl)(\.gz)?$/i;
const lineFile = /\.(ndjson|jsonl)(\.gz)?$/i;

/** The files named, and those in folders named, each once, folders in the order of their paths. */
export async function sourceFiles(operands: readonly string[]): Promise<SourceFile[]> {
  const files: SourceFile[] = [];
  for (const operand of operands) {
    const { size, isFolder } = await look(operand);
    if (!isFolder) {
      files.push({ path: operand, bytes: size, isNamed: true });
      continue;
    }
    const names = (await readdir(operand, { recursive: true })).filter(isSource).sort();
    for (const name of names) {
      const path = join(operand, name);
      files.push({ path, bytes: (await look(path)).size, isNamed: false });
    }
  }
  return [...new Map(files.map((file) => [file.path, file])).values()];
}

const isSource = (name: string): boolean => resourceFile.test(name) || packageFile.test(name);

async function look(path: string): Promise<{ size: number; isFolder: boolean }> {
  const found = await stat(path);
  return { size: found.size, isFolder: found.isDirectory() };
}

/** SHA-256 of the file as it lies there: what was loaded is known again under any name and date. */
export async function contentHash(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest('hex');
}

/** The units of a file. Throws LoadError when it cannot be read as a whole. */
export async function* unitsOf(file: SourceFile, options: ReadOptions): AsyncGenerator<Unit> {
  if (packageFile.test(file.path)) yield* unitsOfPackage(file, options);
  else if (lineFile.test(file.path)) yield* unitsOfLines(contentOf(file.path, options), file.path);
  else yield* unitsOfWhole(await wholeOf(file.path, options), file);
}

async function wholeOf(path: string, options: ReadOptions): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of contentOf(path, options)) {
    bytes += chunk.length;
    if (bytes > wholeBytesMax) {
      throw new LoadError(`${path}: is larger than ${wholeBytesMax} bytes; only NDJSON may be`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes);
}

function* unitsOfWhole(bytes: Buffer, { path, isNamed }: SourceFile): Generator<Unit> {
  const value = parsed(bytes, path);
  if (!isObject(value) || typeof value.resourceType !== 'string') {
    if (isNamed) throw new LoadError(`${path}: is not a FHIR resource`);
    return;
  }
  const text = withoutMark(bytes);
  if (value.resourceType !== 'Bundle') yield resourceUnit(text, value, 0);
  else if (value.type === 'transaction') yield { kind: 'transaction', position: 0, bundle: text };
  else if (value.type === 'batch') yield* batchUnits(text, value);
  else yield* collectionUnits(text, value);
}

/** The text of an object from its brace on: a byte order mark may begin a file, but not a member. */
function withoutMark(bytes: Buffer): Buffer {
  return bytes.subarray(bytes.indexOf(0x7b));
}

function parsed(bytes: Buffer, path: string): unknown {
  try {
    return parseJson(bytes);
  } catch (error) {
    if (error instanceof FhirError) throw new LoadError(`${path}: is not well-formed JSON`, error);
    throw error;
  }
}

/** The entries of a Bundle: value and text. */
function* entriesOf(
  bytes: Buffer,
  bundle: Record<string, unknown>,
): Generator<{ at: number; value: Record<string, unknown>; text: Buffer }> {
  const list = memberSpans(bytes).get('entry');
  if (list === undefined || !Array.isArray(bundle.entry)) return;
  const values: readonly unknown[] = bundle.entry;
  for (const [at, { start, end }] of elementSpans(bytes, list.valueStart, list.valueEnd).entries()) {
    const value = values[at];
    yield { at, value: isObject(value) ? value : {}, text: bytes.subarray(start, end) };
  }
}

/** The entries of a batch have nothing to do with each other, so they need not go together. */
function* batchUnits(bytes: Buffer, bundle: Record<string, unknown>): Generator<Unit> {
  for (const { at, value, text } of entriesOf(bytes, bundle)) {
    const resource = isObject(value.resource) ? value.resource : {};
    const type = typeof resource.resourceType === 'string' ? resource.resourceType : 'other';
    yield { kind: 'entry', position: at, type, identity: undefined, mode: 'batch', entry: text };
  }
}

/**
 * Entries of a Bundle that asks for nothing (collection, searchset, history, document …): each resource is put under
 * its id. Where they call each other by urn: they must go together, so that the references can be rewritten.
 */
function* collectionUnits(bytes: Buffer, bundle: Record<string, unknown>): Generator<Unit> {
  const units: Unit[] = [];
  let areTied = false;
  for (const { at, value, text } of entriesOf(bytes, bundle)) {
    const span = memberSpans(text).get('resource');
    const fullUrl = typeof value.fullUrl === 'string' && value.fullUrl.startsWith('urn:') ? value.fullUrl : undefined;
    if (fullUrl !== undefined) areTied = true;
    if (span === undefined || !isObject(value.resource)) {
      units.push({ kind: 'unreadable', position: at, problem: 'an entry without a resource' });
    } else {
      units.push(resourceUnit(text.subarray(span.valueStart, span.valueEnd), value.resource, at, fullUrl));
    }
  }
  if (!areTied) {
    yield* units;
    return;
  }
  const entries = units.filter((unit) => unit.kind === 'entry').map((unit) => unit.entry);
  yield { kind: 'transaction', position: 0, bundle: bundleOf('transaction', entries) };
}

async function* unitsOfLines(chunks: AsyncIterable<Buffer>, path: string): AsyncGenerator<Unit> {
  let position = 0;
  for await (const line of linesOf(chunks)) {
    if (line === 'too long') {
      yield { kind: 'unreadable', position, problem: `a line of more than ${limits.resourceBytesMax} bytes` };
    } else if (!isBlank(line)) {
      yield lineUnit(line, position, path);
    } else continue;
    position++;
  }
}

function lineUnit(line: Buffer, position: number, path: string): Unit {
  try {
    const value = parsed(line, path);
    if (!isObject(value)) return { kind: 'unreadable', position, problem: 'a line that is not an object' };
    return resourceUnit(withoutMark(line), value, position);
  } catch (error) {
    if (!(error instanceof LoadError)) throw error;
    return { kind: 'unreadable', position, problem: 'a line that is not well-formed JSON' };
  }
}

/** Lines without their ends; one that is longer than a resource may be comes as 'too long' and is not held. */
async function* linesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer | 'too long'> {
  let parts: Buffer[] = [];
  let bytes = 0;
  const take = (): Buffer | 'too long' => {
    const line = bytes > limits.resourceBytesMax ? 'too long' : Buffer.concat(parts, bytes);
    parts = [];
    bytes = 0;
    return line;
  };
  const hold = (part: Buffer) => {
    bytes += part.length;
    if (bytes > limits.resourceBytesMax) parts = [];
    else parts.push(part);
  };
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, start)) {
      hold(chunk.subarray(start, end));
      yield take();
      start = end + 1;
    }
    hold(chunk.subarray(start));
  }
  if (bytes > 0) yield take();
}

function isBlank(line: Buffer): boolean {
  return line.every((byte) => byte <= 0x20);
}

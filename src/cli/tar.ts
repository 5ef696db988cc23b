// Reads the regular files of a tar archive as it streams by: POSIX.1-1988 ustar, with the long names of pax (POSIX.1-2001)
// and GNU tar. Strict, because archives come from anywhere: what is not clear is refused, never guessed.
import { limits } from '../base/limits.ts';

export interface TarFile {
  /** As in `package/a.json`: relative, without `.` and `..`. */
  name: string;
  content: Buffer;
}

/** The archive is none, or is damaged or malicious. The message goes after the archive's path and has no content. */
export class TarError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'TarError';
  }
}

/**
 * The wanted files in the order of the archive, each held as a whole; the others are passed over without being held, as
 * are links, folders and devices. Reads the chunks to their end. Throws TarError.
 */
export async function* tarFiles(
  chunks: AsyncIterable<Buffer>,
  isWanted: (name: string) => boolean,
): AsyncGenerator<TarFile> {
  const bytes = new ByteReader(chunks);
  let entries = 0;
  try {
    for (let entry = await nextEntry(bytes); entry !== undefined; entry = await nextEntry(bytes)) {
      if (++entries > limits.tarEntriesMax) throw new TarError(`has more than ${limits.tarEntriesMax} entries`);
      const { name, size, isFile } = entry;
      if (isFile && isWanted(name)) yield { name, content: await contentOf(entry, bytes) };
      else await bytes.skip(size);
      await bytes.skip(padding(size));
    }
    // To the end, so that the checksum of what it is compressed with is looked at.
    await bytes.drain();
  } finally {
    await bytes.close();
  }
}

interface Entry {
  name: string;
  /** Bytes of content that follow. */
  size: number;
  isFile: boolean;
}

const blockBytes = 512;
const padding = (size: number): number => (blockBytes - (size % blockBytes)) % blockBytes;

/** What pax and GNU tar say of the entry that follows. */
interface Extended {
  path?: string;
  size?: number;
}

/** The header of the next file, link or folder; undefined at the end of the archive, which is a block of zeros. */
async function nextEntry(bytes: ByteReader): Promise<Entry | undefined> {
  const extended: Extended = {};
  for (let records = 0; records <= extensionsMax; records++) {
    const header = await bytes.take(blockBytes);
    if (header.every((byte) => byte === 0)) return undefined;
    checkSum(header);
    const kind = String.fromCharCode(header[kindAt] ?? 0);
    const size = sizeIn(header);
    if (kind === 'L') extended.path = textOf(await extension(size, bytes));
    else if (kind === 'x') Object.assign(extended, paxRecords(await extension(size, bytes)));
    else if (isAside(kind)) await extension(size, bytes);
    else return entryOf(header, kind, { size, ...extended });
  }
  throw new TarError(`has an entry with more than ${extensionsMax} extended headers`);
}

/** One for the name, one for a link's target, one for everything else; and once more for a global one. */
const extensionsMax = 8;

/** Global pax records (a comment, as git writes it) and the long target of a link. */
const isAside = (kind: string): boolean => kind === 'g' || kind === 'K';

const kindAt = 156;
const files = ['0', '\0', '7'];
/** Symbolic links, devices, folders and pipes have no content, whatever their size field says. */
const withoutContent = ['2', '3', '4', '5', '6'];

function entryOf(header: Buffer, kind: string, { size, path = nameIn(header) }: Extended & { size: number }): Entry {
  return { name: safeName(path), size: withoutContent.includes(kind) ? 0 : size, isFile: files.includes(kind) };
}

function nameIn(header: Buffer): string {
  // GNU's own format has times where ustar has the prefix.
  const isUstar = header.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = isUstar ? textOf(header.subarray(345, 500)) : '';
  const name = textOf(header.subarray(0, 100));
  return prefix === '' ? name : `${prefix}/${name}`;
}

function safeName(path: string): string {
  const parts = path.split('/').filter((part) => part !== '.' && part !== '');
  if (path.startsWith('/') || path.includes('\\') || /^[A-Za-z]:/.test(path) || parts.includes('..')) {
    throw new TarError('has an entry whose name leads out of it');
  }
  return parts.join('/');
}

// ---- fields ----

/** The sum of all bytes, the field itself taken as spaces. */
function checkSum(header: Buffer): void {
  const kept = octal(header.subarray(148, 156));
  let sum = 8 * 0x20;
  for (const [at, byte] of header.entries()) if (at < 148 || at >= 156) sum += byte;
  if (kept !== sum) throw new TarError('is no tar archive, or is damaged');
}

/** Sizes of 8 GB and more are written in binary; nothing here has so many bytes. */
function sizeIn(header: Buffer): number {
  const field = header.subarray(124, 136);
  if (((field[0] ?? 0) & 0x80) !== 0) throw new TarError('has an entry of more than 8 GB');
  const size = octal(field);
  if (size === undefined) throw new TarError('has an entry whose size is no number');
  return size;
}

/** Digits between spaces and zero bytes; an empty field is 0. */
function octal(field: Buffer): number | undefined {
  const digits = /^ *([0-7]*)[ \0]*$/.exec(field.toString('latin1'))?.[1];
  return digits === undefined ? undefined : Number.parseInt(`0${digits}`, 8);
}

/** Up to the first zero byte. */
function textOf(field: Buffer): string {
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? field.length : end);
}

/** `path` and `size` of records such as `27 path=package/a.json\n`; the number counts the bytes of its record. */
function paxRecords(content: Buffer): Extended {
  const found: Extended = {};
  for (let at = 0; at < content.length; ) {
    const space = content.indexOf(0x20, at);
    const length = /^[1-9]\d{0,6}$/.exec(content.toString('latin1', at, Math.max(at, space)))?.[0];
    const end = at + Number(length ?? 0);
    const isRecord = length !== undefined && end > space + 1 && end <= content.length && content[end - 1] === 0x0a;
    if (!isRecord) throw new TarError('has a malformed pax header');
    const [, name, value = ''] = /^([^=]*)=(.*)$/s.exec(content.toString('utf8', space + 1, end - 1)) ?? [];
    if (name === 'path') found.path = value;
    if (name === 'size') found.size = paxSize(value);
    at = end;
  }
  return found;
}

function paxSize(value: string): number {
  if (!/^\d{1,10}$/.test(value)) throw new TarError('has an entry whose size is no number, or more than 8 GB');
  return Number(value);
}

// ---- content ----

async function extension(size: number, bytes: ByteReader): Promise<Buffer> {
  const { tarHeaderBytesMax } = limits;
  if (size > tarHeaderBytesMax) throw new TarError(`has an extended header of more than ${tarHeaderBytesMax} bytes`);
  const content = await bytes.take(size);
  await bytes.skip(padding(size));
  return content;
}

async function contentOf({ name, size }: Entry, bytes: ByteReader): Promise<Buffer> {
  const { tarFileBytesMax } = limits;
  if (size > tarFileBytesMax) throw new TarError(`${name}: has more than ${tarFileBytesMax} bytes`);
  return bytes.take(size);
}

/** Takes chunks apart by counts of bytes. Holds no more than was asked for and the chunk that it came in. */
class ByteReader {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterable<Buffer>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** A size that the archive claims costs no memory before so many bytes are there. */
  async take(count: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let left = count; left > 0; ) {
      const part = await this.#some(left);
      parts.push(part);
      left -= part.length;
    }
    return Buffer.concat(parts, count);
  }

  async skip(count: number): Promise<void> {
    for (let left = count; left > 0; ) left -= (await this.#some(left)).length;
  }

  async drain(): Promise<void> {
    while (!(await this.#chunks.next()).done);
  }

  /** Lets go of where the chunks come from. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  /** From 1 to so many of the next bytes. */
  async #some(atMost: number): Promise<Buffer> {
    while (this.#rest.length === 0) {
      const next = await this.#chunks.next();
      if (next.done) throw new TarError('is no complete tar archive: it ends too early');
      this.#rest = next.value;
    }
    const part = this.#rest.subarray(0, atMost);
    this.#rest = this.#rest.subarray(part.length);
    return part;
  }
}

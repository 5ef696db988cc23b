// The content of a file to load, decompressed as it streams, and how a file that cannot be loaded is told.
import { createReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';

/** gzip makes text 10 to 40 times smaller; what claims more than this is a bomb. Measured once it has grown somewhat. */
const expansionMax = 200;
const expansionCheckedFrom = 64 * 1024 * 1024;

export interface SourceFile {
  path: string;
  bytes: number;
  /** False when it was found in a folder: then it is passed over if it holds no FHIR. */
  isNamed: boolean;
}

/** A file as a whole cannot be loaded. The message has its path and no content. */
export class LoadError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'LoadError';
  }
}

export interface ReadOptions {
  signal: AbortSignal;
  /** Gets the bytes of the file read so far. */
  onRead: (bytes: number) => void;
}

/** The content, decompressed, in chunks. */
export async function* contentOf(path: string, { signal, onRead }: ReadOptions): AsyncGenerator<Buffer> {
  const file = createReadStream(path, { highWaterMark: 256 * 1024, signal });
  const isCompressed = /\.(gz|tgz)$/i.test(path);
  const content: AsyncIterable<Buffer> = isCompressed ? file.pipe(createGunzip()) : file;
  // pipe() does not pass errors on.
  if (isCompressed) file.on('error', (error) => (content as ReturnType<typeof createGunzip>).destroy(error));
  let bytes = 0;
  try {
    for await (const chunk of content) {
      bytes += chunk.length;
      onRead(file.bytesRead);
      if (bytes > expansionCheckedFrom && bytes > expansionMax * file.bytesRead) {
        throw new LoadError(`${path}: decompresses to more than ${expansionMax} times its size`);
      }
      yield chunk;
    }
  } catch (error) {
    if (isZlibError(error)) throw new LoadError(`${path}: is no complete gzip file`, error);
    throw error;
  } finally {
    file.destroy();
  }
}

function isZlibError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('Z_');
}

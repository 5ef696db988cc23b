// Files that tests read and the repository does not hold: the shared corpora beside the checkout and the package cache.
// A test skips by name where one is missing.

import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { readTar } from '../../scripts/tar.ts';

/** Path of a file of the shared data, `corpora/r4-examples.tgz`; whether it exists is for the caller to ask. */
export function sharedData(relativePath: string): string {
  const folder = process.env.CARELOOM_SHARED_DATA ?? fileURLToPath(new URL('../../../shared/data', import.meta.url));
  return join(folder, relativePath);
}

/** Path of a file in the package cache, which `npm run definitions` fills. */
export function cached(name: string): string {
  return join(process.env.CARELOOM_CACHE ?? join(homedir(), '.cache', 'careloom'), name);
}

/** The regular files of a gzipped tar archive by name (`package/a.json`), in the order of the archive. */
export function readTgz(path: string): Map<string, Buffer> {
  return readTar(gunzipSync(readFileSync(path)));
}

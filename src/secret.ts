// The one secret of an installation, from which its keys are derived: given by the operator, or made once and kept beside
// the data. A store remembers which one it was set up with, because nothing that was encrypted by another could be read.
import { createHmac, randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Config, ConfigError } from './config.ts';
import type { Records } from './store/store.ts';

const recordKind = 'secret';
const recordId = 'fingerprint';

/** Throws ConfigError when the store was set up with another one. */
export async function installationSecret(
  config: Pick<Config, 'secret' | 'dataDir'>,
  records: Records,
): Promise<string> {
  const secret = config.secret ?? keptSecret(config.dataDir);
  const fingerprint = createHmac('sha256', secret).update('careloom fingerprint').digest('base64url');
  const value = JSON.stringify({ fingerprint });
  const isFirst = (await records.put({ kind: recordKind, id: recordId, value }, 0)) !== undefined;
  if (isFirst || (await records.get(recordKind, recordId))?.value === value) return secret;
  throw new ConfigError([
    config.secret === undefined
      ? `The secret in ${secretFile(config.dataDir)} is not the one that this store was set up with; set CARELOOM_DATA to the folder that has it, or CARELOOM_SECRET`
      : 'CARELOOM_SECRET is not the one that this store was set up with',
  ]);
}

const secretFile = (folder: string): string => join(folder, 'secret');

function keptSecret(folder: string): string {
  const file = secretFile(folder);
  return textOf(file) ?? makeSecret(folder, file);
}

/** Linked into place: another process sees it whole or not at all, and the first one stays. */
function makeSecret(folder: string, file: string): string {
  mkdirSync(folder, { recursive: true });
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600, flush: true });
  try {
    linkSync(draft, file);
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error;
  } finally {
    rmSync(draft, { force: true });
  }
  return textOf(file) ?? '';
}

function textOf(file: string): string | undefined {
  try {
    const text = readFileSync(file, 'utf8').trim();
    if (text.length >= 32) return text;
    throw new ConfigError([`${file} holds no secret of at least 32 characters; restore it, or set CARELOOM_SECRET`]);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

const isCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code;

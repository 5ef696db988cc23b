// Checkpoints: the ends of the audit chains, signed, at a second place. Whoever can write to the store can cut off the
// end of a chain, or hash everything from a row on anew; neither fits a checkpoint that he cannot change. Each is a JWS in
// compact form (RFC 7515) with EdDSA (RFC 8037), one a line.
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { AuditHead } from '../../store/store.ts';

export interface Checkpoint {
  /** Milliseconds since the epoch. */
  at: number;
  /** Ends of chains; those that have not moved since the checkpoint before may be left out. */
  heads: readonly AuditHead[];
}

const TYPE = 'audit-checkpoint';

/** `key`: a private key of Ed25519. */
export function signedCheckpoint(checkpoint: Checkpoint, key: KeyObject): string {
  const header = { alg: 'EdDSA', typ: TYPE, kid: keyId(key) };
  const signed = `${base64url(JSON.stringify(header))}.${base64url(JSON.stringify(checkpoint))}`;
  return `${signed}.${sign(null, Buffer.from(signed), key).toString('base64url')}`;
}

/** The checkpoint in a JWS; undefined where it is none that this key signed. `key`: the private or the public one. */
export function checkpointIn(jws: string, key: KeyObject): Checkpoint | undefined {
  const [header = '', payload = '', signature = '', ...more] = jws.split('.');
  if (more.length > 0) return undefined;
  const signed = Buffer.from(`${header}.${payload}`);
  if (!verify(null, signed, publicHalf(key), Buffer.from(signature, 'base64url'))) return undefined;
  const { alg, typ } = JSON.parse(Buffer.from(header, 'base64url').toString('utf8')) as {
    alg?: unknown;
    typ?: unknown;
  };
  if (alg !== 'EdDSA' || typ !== TYPE) return undefined;
  return JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as Checkpoint;
}

const base64url = (text: string): string => Buffer.from(text).toString('base64url');

const publicHalf = (key: KeyObject): KeyObject => (key.type === 'private' ? createPublicKey(key) : key);

/** RFC 7638 thumbprint of the public key. */
function keyId(key: KeyObject): string {
  const { crv, kty, x } = publicHalf(key).export({ format: 'jwk' });
  return createHash('sha256').update(JSON.stringify({ crv, kty, x })).digest('base64url');
}

/**
 * The key in a PEM file, which is made when absent, readable by its owner alone. With a passphrase it is kept encrypted.
 * A public key serves to verify. Throws an Error for a file that holds no key, or one under another passphrase.
 */
export function checkpointKey(path: string, passphrase?: string): KeyObject {
  if (!existsSync(path)) return newKey(path, passphrase);
  const pem = readFileSync(path, 'utf8');
  if (pem.includes('BEGIN PUBLIC KEY')) return createPublicKey(pem);
  return createPrivateKey({ key: pem, ...(passphrase === undefined ? {} : { passphrase }) });
}

function newKey(path: string, passphrase: string | undefined): KeyObject {
  const { privateKey } = generateKeyPairSync('ed25519');
  const encryption = passphrase === undefined ? {} : { cipher: 'aes-256-cbc', passphrase };
  mkdirSync(dirname(path), { recursive: true });
  try {
    writeFileSync(path, privateKey.export({ type: 'pkcs8', format: 'pem', ...encryption }), {
      mode: 0o600,
      flag: 'wx',
    });
  } catch (error) {
    // Another process was faster.
    if ((error as { code?: unknown }).code === 'EEXIST') return checkpointKey(path, passphrase);
    throw error;
  }
  return privateKey;
}

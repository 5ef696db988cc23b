// Checkpoints: the ends of the audit chains, signed, at a second place. Whoever can write to the store can cut off the
// end of a chain, or hash everything from a row on anew; neither fits a checkpoint that he cannot change. Each is a JWS in
// compact form (RFC 7515) with EdDSA (RFC 8037), one a line.
import { createHash, createPrivateKey, createPublicKey, hkdfSync, type KeyObject, sign, verify } from 'node:crypto';
import type { AuditHead, AuditSegment } from '../../store/store.ts';

export interface Checkpoint {
  /** Milliseconds since the epoch. */
  at: number;
  /** Ends of chains; those that have not moved since the checkpoint before may be left out. */
  heads: readonly AuditHead[];
  /** Sealed rows that are removed on purpose; the chain goes on from the last of them. */
  purged?: readonly PurgedRows[];
}

export type PurgedRows = Pick<AuditSegment, 'chain' | 'from' | 'to' | 'before' | 'hash'>;

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

/** Beginning of an Ed25519 private key in PKCS #8 (RFC 8410); its 32 bytes follow. */
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');

/** The private key of an installation: all its processes derive the same one. */
export function checkpointKeyOf(secret: string): KeyObject {
  const seed = hkdfSync('sha256', secret, '', 'careloom audit checkpoint', 32);
  return createPrivateKey({ key: Buffer.concat([PKCS8_ED25519, Buffer.from(seed)]), format: 'der', type: 'pkcs8' });
}

/** The public half as PEM, for whoever is to verify checkpoints and not to make any. */
export const publicPem = (key: KeyObject): string => publicHalf(key).export({ type: 'spki', format: 'pem' }).toString();

// JSON Web Tokens, signed and verified: the only file that knows the library. Which algorithms, types, audiences and times
// are accepted is said by the caller each time; a token has no say in it.
// https://www.rfc-editor.org/rfc/rfc7519, https://www.rfc-editor.org/rfc/rfc8725
import { constants, createPublicKey, hash, type KeyObject, verify } from 'node:crypto';
import { decodeJwt, decodeProtectedHeader, exportJWK, generateKeyPair, importJWK, SignJWT } from 'jose';
import { limits } from '../base/limits.ts';
import type { PublicJwk } from './clients.ts';

export type SigningAlgorithm = 'RS256' | 'RS384' | 'RS512' | 'PS256' | 'PS384' | 'PS512' | 'ES256' | 'ES384' | 'EdDSA';

export interface Jwt {
  header: { alg: string; kid?: string; typ?: string; jku?: string; jwk?: unknown };
  claims: Readonly<Record<string, unknown>>;
}

/** What a token says of itself, nothing of it verified; undefined when it is no JWT. */
export function readJwt(text: string): Jwt | undefined {
  if (text.length > limits.jwtCharsMax) return undefined;
  try {
    const { alg, kid, typ, jku, jwk, crit } = decodeProtectedHeader(text);
    const optional = { kid, typ, jku };
    if (
      typeof alg !== 'string' ||
      // "If any of the listed extension Header Parameters are not understood, then the JWS is invalid": we know none.
      crit !== undefined ||
      Object.values(optional).some((each) => each !== undefined && typeof each !== 'string')
    )
      return undefined;
    const named = Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined));
    return { header: { alg, ...named, ...(jwk === undefined ? {} : { jwk }) }, claims: decodeJwt(text) };
  } catch {
    return undefined;
  }
}

/** The key type that an algorithm needs. */
const keyTypes: Readonly<Record<SigningAlgorithm, { kty: string; crv?: string }>> = {
  RS256: { kty: 'RSA' },
  RS384: { kty: 'RSA' },
  RS512: { kty: 'RSA' },
  PS256: { kty: 'RSA' },
  PS384: { kty: 'RSA' },
  PS512: { kty: 'RSA' },
  ES256: { kty: 'EC', crv: 'P-256' },
  ES384: { kty: 'EC', crv: 'P-384' },
  EdDSA: { kty: 'OKP', crv: 'Ed25519' },
};

/** The single key with the kid and the type that the header names; undefined when there is none, or several. */
export function keyFor(
  header: Jwt['header'],
  { keys, algorithms }: { keys: readonly PublicJwk[]; algorithms: readonly SigningAlgorithm[] },
): PublicJwk | undefined {
  const algorithm = algorithms.find((each) => each === header.alg);
  if (algorithm === undefined || header.kid === undefined) return undefined;
  const { kty, crv } = keyTypes[algorithm];
  const fitting = keys.filter(
    (key) => key.kid === header.kid && key.kty === kty && (crv === undefined || key.crv === crv),
  );
  return fitting.length === 1 ? fitting[0] : undefined;
}

/**
 * The public key that a header carries, when it fits one of these algorithms: worth something only to whoever knows its
 * thumbprint from elsewhere. Its size is bounded, because whoever sent it chose how long its use takes us.
 */
export function embeddedKey(
  { alg, jwk }: Jwt['header'],
  algorithms: readonly SigningAlgorithm[],
): PublicJwk | undefined {
  const algorithm = algorithms.find((each) => each === alg);
  if (algorithm === undefined || typeof jwk !== 'object' || jwk === null || isPrivateKey(jwk)) return undefined;
  const key = { ...jwk, kid: 'embedded' } as PublicJwk;
  const { kty, crv } = keyTypes[algorithm];
  const isFitting = isPublicKey(key) && key.kty === kty && (crv === undefined || key.crv === crv);
  if (!isFitting || (kty === 'RSA' && (String(key.n).length > RSA_4096_CHARS || key.e !== 'AQAB'))) return undefined;
  return key;
}

const RSA_4096_CHARS = 683;

/** SHA-256 of the key material alone, base64url. https://www.rfc-editor.org/rfc/rfc7638 */
export function thumbprintOf({ kty, crv, n, e, x, y }: PublicJwk): string {
  const members = kty === 'RSA' ? { e, kty, n } : kty === 'EC' ? { crv, kty, x, y } : { crv, kty, x };
  return hash('sha256', JSON.stringify(members), 'base64url');
}

/** What node:crypto is to be told of each algorithm; ECDSA's signatures are of one length, RFC 7518 section 3.4. */
const signatureForms: Readonly<Record<SigningAlgorithm, SignatureForm>> = {
  RS256: { digest: 'sha256' },
  RS384: { digest: 'sha384' },
  RS512: { digest: 'sha512' },
  PS256: { digest: 'sha256', isPss: true },
  PS384: { digest: 'sha384', isPss: true },
  PS512: { digest: 'sha512', isPss: true },
  ES256: { digest: 'sha256', bytes: 64 },
  ES384: { digest: 'sha384', bytes: 96 },
  EdDSA: { digest: null, bytes: 64 },
};

interface SignatureForm {
  digest: string | null;
  isPss?: true;
  bytes?: number;
}

const signatureForm = (name: string): SignatureForm | undefined =>
  Object.hasOwn(signatureForms, name) ? signatureForms[name as SigningAlgorithm] : undefined;

/**
 * Whether the signature is one by this key with the algorithm that the header names, which `keyFor` has checked. In place, by
 * node:crypto: WebCrypto's way to another thread and back takes 40 µs of CPU, as much again as RSA itself.
 */
export function isSignedBy(text: string, { header }: Jwt, key: PublicJwk): boolean {
  const form = signatureForm(header.alg);
  const [, signed, signature] = /^([A-Za-z0-9_-]+\.[A-Za-z0-9_-]*)\.([A-Za-z0-9_-]+)$/.exec(text) ?? [];
  if (form === undefined || signed === undefined || signature === undefined) return false;
  const bytes = Buffer.from(signature, 'base64url');
  if (form.bytes !== undefined && bytes.length !== form.bytes) return false;
  const padding = form.isPss === true ? pssPadding : {};
  try {
    const how = { key: imported(key), dsaEncoding: 'ieee-p1363', ...padding } as const;
    return verify(form.digest, Buffer.from(signed), how, bytes);
  } catch {
    return false;
  }
}

/** "The size of the salt value is the same size as the hash function output." */
const pssPadding = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };

/** Keys in the form that verifies, which takes longer to make than to use, by what they are; the oldest goes first. */
const importedKeys = new Map<string, KeyObject>();

function imported(key: PublicJwk): KeyObject {
  const material = bareKey(key);
  const name = JSON.stringify(material);
  const found = importedKeys.get(name) ?? createPublicKey({ key: material, format: 'jwk' });
  importedKeys.delete(name);
  if (importedKeys.size >= limits.importedKeysMax) importedKeys.delete(importedKeys.keys().next().value ?? '');
  importedKeys.set(name, found);
  return found;
}

/** The key material alone: what else a key set says about a key is not for us to obey. */
function bareKey({ kty, crv, n, e, x, y }: PublicJwk): Record<string, string> & { kty: string } {
  const material = Object.entries({ crv, n, e, x, y }).filter(
    (pair): pair is [string, string] => typeof pair[1] === 'string',
  );
  return { kty, ...Object.fromEntries(material) };
}

export interface TimeRules {
  nowMs: number;
  skewS: number;
  /** The longest time from now that `exp` may lie ahead. */
  lifeMaxS?: number;
}

/** `exp` is there and ahead, but not too far; `nbf` and `iat`, where they are there, are not ahead. */
export function isInTime({ exp, nbf, iat }: Jwt['claims'], { nowMs, skewS, lifeMaxS = Infinity }: TimeRules): boolean {
  const now = nowMs / 1000;
  const begins = [nbf, iat].filter((each) => each !== undefined);
  return (
    typeof exp === 'number' &&
    exp > now - skewS &&
    exp <= now + lifeMaxS + skewS &&
    begins.every((each) => typeof each === 'number' && each <= now + skewS)
  );
}

/** Public keys of a key set from outside, those that are keys for signatures; undefined when it is no key set. */
export function publicKeys(set: unknown): PublicJwk[] | undefined {
  if (typeof set !== 'object' || set === null || !('keys' in set) || !Array.isArray(set.keys)) return undefined;
  const keys: readonly unknown[] = set.keys;
  return keys.length > limits.jwksKeysMax ? undefined : keys.filter(isPublicKey);
}

function isPublicKey(key: unknown): key is PublicJwk {
  if (typeof key !== 'object' || key === null) return false;
  const { kty, kid, use, n } = key as Record<string, unknown>;
  if (typeof kid !== 'string' || kid === '' || typeof kty !== 'string' || (use !== undefined && use !== 'sig'))
    return false;
  // RSA of 2,048 bits has 342 characters of modulus. https://www.rfc-editor.org/rfc/rfc7518#section-3.3
  return kty === 'RSA' ? typeof n === 'string' && n.length >= 342 && n.length <= 2_048 : kty === 'EC' || kty === 'OKP';
}

/** Whether a key holds what only its owner may know. */
export const isPrivateKey = (key: object): boolean =>
  ['d', 'k', 'p', 'q', 'dp', 'dq', 'qi', 'oth'].some((name) => name in key);

/** Bits: as strong as what is encrypted by AES-128, which 2,048 are not. NIST SP 800-57 part 1, table 2 */
const RSA_BITS = 3_072;

/** A new key pair for RS256, as JWKs. */
export async function newSigningKey(): Promise<{
  publicJwk: Record<string, unknown>;
  privateJwk: Record<string, unknown>;
}> {
  const { publicKey, privateKey } = await generateKeyPair('RS256', { modulusLength: RSA_BITS, extractable: true });
  return { publicJwk: { ...(await exportJWK(publicKey)) }, privateJwk: { ...(await exportJWK(privateKey)) } };
}

export type SigningKey = Awaited<ReturnType<typeof importJWK>>;

export const importSigningKey = (privateJwk: Record<string, unknown>): Promise<SigningKey> =>
  importJWK(privateJwk, 'RS256');

/** A compact JWT, RS256. */
export function signJwt(
  claims: Record<string, unknown>,
  { kid, key }: { kid: string; key: SigningKey },
): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: 'RS256', typ: 'JWT', kid }).sign(key);
}

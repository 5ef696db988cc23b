// JSON Web Tokens, signed and verified: the only file that knows the library. Which algorithms, types, audiences and times
// are accepted is said by the caller each time; a token has no say in it.
// https://www.rfc-editor.org/rfc/rfc7519, https://www.rfc-editor.org/rfc/rfc8725
import { compactVerify, decodeJwt, decodeProtectedHeader, exportJWK, generateKeyPair, importJWK, SignJWT } from 'jose';
import { limits } from '../base/limits.ts';
import type { PublicJwk } from './clients.ts';

export type SigningAlgorithm = 'RS256' | 'RS384' | 'RS512' | 'PS256' | 'PS384' | 'PS512' | 'ES256' | 'ES384' | 'EdDSA';

export interface Jwt {
  header: { alg: string; kid?: string; typ?: string; jku?: string };
  claims: Readonly<Record<string, unknown>>;
}

/** What a token says of itself, nothing of it verified; undefined when it is no JWT. */
export function readJwt(text: string): Jwt | undefined {
  if (text.length > limits.jwtCharsMax) return undefined;
  try {
    const { alg, kid, typ, jku } = decodeProtectedHeader(text);
    const optional = { kid, typ, jku };
    if (
      typeof alg !== 'string' ||
      Object.values(optional).some((each) => each !== undefined && typeof each !== 'string')
    )
      return undefined;
    const named = Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined));
    return { header: { alg, ...named }, claims: decodeJwt(text) };
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

/** Whether the signature is one by this key with the algorithm that the header names, which `keyFor` has checked. */
export async function isSignedBy(text: string, { header }: Jwt, key: PublicJwk): Promise<boolean> {
  try {
    await compactVerify(text, await imported(key, header.alg), { algorithms: [header.alg] });
    return true;
  } catch {
    return false;
  }
}

/** Keys in the form that verifies, which takes longer to make than to use, by what they are; the oldest goes first. */
const importedKeys = new Map<string, SigningKey>();

async function imported(key: PublicJwk, algorithm: string): Promise<SigningKey> {
  const material = bareKey(key);
  const name = `${algorithm} ${JSON.stringify(material)}`;
  const found = importedKeys.get(name) ?? (await importJWK(material, algorithm));
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

/** A new key pair for RS256, as JWKs. */
export async function newSigningKey(): Promise<{
  publicJwk: Record<string, unknown>;
  privateJwk: Record<string, unknown>;
}> {
  const { publicKey, privateKey } = await generateKeyPair('RS256', { modulusLength: 2048, extractable: true });
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

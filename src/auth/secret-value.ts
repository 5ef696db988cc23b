// Secret values: codes, tokens, ids of sessions and interactions, client secrets. Each is 256 random bits that we choose,
// handed out once and kept as its SHA-256 alone: with so much entropy a slow hash would add nothing.
import { hash, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import { FhirError } from '../base/outcome.ts';
import { createSeal, type Seal } from '../fhir/seal.ts';

/** 43 characters of base64url. */
export function newSecretValue(): string {
  return randomBytes(32).toString('base64url');
}

/** What is kept of a secret value: SHA-256, base64url. */
export function hashOf(value: string): string {
  return hash('sha256', value, 'base64url');
}

/** Whether a value has this hash, in time that does not depend on where they differ. */
export function matchesHash(value: string, kept: string): boolean {
  const one = Buffer.from(hashOf(value));
  const other = Buffer.from(kept);
  return one.length === other.length && timingSafeEqual(one, other);
}

/** Encrypts what must be read again (private keys, TOTP secrets): AES-256-GCM, with a key of its own for each purpose. */
export function createVault(secret: string, purpose: string): Seal {
  const seal = createSeal(new Uint8Array(hkdfSync('sha256', secret, 'careloom', purpose, 32)));
  return {
    close: seal.close,
    open(sealed) {
      try {
        return seal.open(sealed);
      } catch (cause) {
        throw new FhirError('fault', `What was encrypted for ${purpose} cannot be read with this secret.`, { cause });
      }
    },
  };
}

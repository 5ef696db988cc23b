// Keys made of the one secret of the installation, one for each purpose: what is signed or encrypted for one thing is
// worth nothing for another.
import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import type { Seal } from '../../fhir/seal.ts';
import { createVault } from '../secret-value.ts';

export interface Keys {
  /** HMAC-SHA-256, base64url, under a key of this purpose alone. */
  mac(purpose: string, text: string): string;
  /** Encrypted, readable for the same purpose and owner only. */
  seal(purpose: string, owner: string, text: string): string;
  /** Undefined when it is another owner's, was altered, or was sealed with another secret: a form may have brought it. */
  open(purpose: string, owner: string, sealed: string): string | undefined;
}

/** `secret`: at least 32 characters, the same in every process of an installation. */
export function createKeys(secret: string): Keys {
  const keys = remembered((purpose) => new Uint8Array(hkdfSync('sha256', secret, 'careloom mac', purpose, 32)));
  const vaults = remembered((purpose): Seal => createVault(secret, purpose));
  return {
    mac: (purpose, text) => createHmac('sha256', keys(purpose)).update(text).digest('base64url'),
    seal: (purpose, owner, text) => vaults(purpose).close(JSON.stringify({ owner, text })),
    open(purpose, owner, sealed) {
      try {
        const opened = JSON.parse(vaults(purpose).open(sealed)) as { owner: string; text: string };
        return opened.owner === owner ? opened.text : undefined;
      } catch {
        return undefined;
      }
    },
  };
}

/** Compares without telling by time where the texts differ. */
export function isSame(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function remembered<Value>(make: (purpose: string) => Value): (purpose: string) => Value {
  const known = new Map<string, Value>();
  return (purpose) => {
    const value = known.get(purpose) ?? make(purpose);
    known.set(purpose, value);
    return value;
  };
}

// Sealed text: what the server hands out in a paging link and reads back. It is encrypted and authenticated (AES-256-GCM),
// so a link shows no search values in logs and cannot be altered; several processes share the key through the store.
import { createCipheriv, createDecipheriv, createHash, createSecretKey, randomBytes } from 'node:crypto';
import { FhirError } from '../base/outcome.ts';
import type { Store } from '../store/store.ts';

const IV_BYTES = 12;
const TAG_BYTES = 16;

export interface Seal {
  /** URL-safe text. */
  close(text: string): string;
  /** Throws FhirError('invalid') for anything that `close` did not make. */
  open(sealed: string): string;
}

/** A seal with this 32-byte key. */
export function createSeal(bytes: Uint8Array): Seal {
  // A cipher made of bytes makes a key of them first, each time: three quarters of what it takes to seal a link.
  const key = createSecretKey(bytes);
  return {
    close(text) {
      const iv = randomBytes(IV_BYTES);
      const cipher = createCipheriv('aes-256-gcm', key, iv);
      return Buffer.concat([iv, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]).toString(
        'base64url',
      );
    },
    open(sealed) {
      const bytes = Buffer.from(sealed, 'base64url');
      try {
        if (bytes.length < IV_BYTES + TAG_BYTES) throw new Error('too short');
        const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, IV_BYTES), {
          authTagLength: TAG_BYTES,
        });
        decipher.setAuthTag(bytes.subarray(bytes.length - TAG_BYTES));
        const text = decipher.update(bytes.subarray(IV_BYTES, bytes.length - TAG_BYTES));
        return Buffer.concat([text, decipher.final()]).toString('utf8');
      } catch {
        throw new FhirError(
          'invalid',
          'This paging link was not made by this server or has been altered; begin the search again.',
        );
      }
    },
  };
}

/** The seal's key: derived from the configured secret, else the one that the store's processes share, made on first use. */
export async function sealKey(store: Store, secret: string | undefined): Promise<Uint8Array> {
  if (secret !== undefined) return createHash('sha256').update(`careloom link ${secret}`).digest();
  for (;;) {
    const known = await store.records.get('secret', 'link-key');
    if (known !== undefined) return Buffer.from(JSON.parse(known.value) as string, 'base64');
    const key = randomBytes(32);
    const value = JSON.stringify(key.toString('base64'));
    if ((await store.records.put({ kind: 'secret', id: 'link-key', value }, 0)) !== undefined) return key;
  }
}

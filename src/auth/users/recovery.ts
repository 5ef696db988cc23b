// Recovery codes: ten, for the day the phone is lost. Shown once, kept hashed, each good for one sign-in.
import { randomInt } from 'node:crypto';
import type { Keys } from './keys.ts';

export const RECOVERY_CODES = 10;
/** Without what is taken for another: 31 signs, so that twelve of them are 59 bits. */
const SIGNS = '23456789abcdefghjkmnpqrstuvwxyz';

/** `k3xw-9mfr-pq7z`, as they are shown. */
export function newRecoveryCodes(): string[] {
  const part = (): string => Array.from({ length: 4 }, () => SIGNS[randomInt(SIGNS.length)]).join('');
  return Array.from({ length: RECOVERY_CODES }, () => `${part()}-${part()}-${part()}`);
}

/** What is kept of a code, bound to its owner; undefined when a text cannot be a code. */
export function recoveryHash(keys: Keys, user: string, code: string): string | undefined {
  const plain = code.toLowerCase().replace(/[\s-]/g, '');
  return /^[2-9a-z]{12}$/.test(plain) ? keys.mac('recovery code', `${user} ${plain}`) : undefined;
}

// Authorization codes: one minute, one use. https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2
import type { AuthContext } from './context.ts';
import { createKept } from './kept.ts';
import { lifetimes } from './lifetimes.ts';
import { hashOf, newSecretValue } from './secret-value.ts';

export interface Code {
  grant: string;
  client: string;
  redirectUri: string;
  codeChallenge: string;
  nonce?: string;
  /** Thumbprint of the key that has to be shown for it. */
  jkt?: string;
  isUsed: boolean;
}

export interface Codes {
  issue(code: Omit<Code, 'isUsed'>): Promise<string>;
  /** What a code stands for, used or not; undefined when there is none such. */
  get(code: string): Promise<{ code: Code; version: number } | undefined>;
  /** True for exactly one of those who redeem what they read. */
  use(code: string, read: { code: Code; version: number }): Promise<boolean>;
}

export function createCodes({ records, clock }: Pick<AuthContext, 'records' | 'clock'>): Codes {
  const kept = createKept<Code>(records, 'code');
  return {
    async issue(code) {
      const value = newSecretValue();
      await kept.add(hashOf(value), { ...code, isUsed: false }, clock.now() + lifetimes.code);
      return value;
    },
    async get(value) {
      const found = await kept.get(hashOf(value));
      return found === undefined ? undefined : { code: found.value, version: found.version };
    },
    use: (value, read) =>
      kept.replace(hashOf(value), read, { ...read.code, isUsed: true }, clock.now() + lifetimes.usedCode),
  };
}

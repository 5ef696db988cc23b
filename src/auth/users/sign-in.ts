// A sign-in between the first proof and the session: who gave the right password, and what is still missing. State of the
// server; the browser holds a random value that changes with each step that was passed.
import type { Clock } from '../../base/clock.ts';
import type { Records } from '../../store/store.ts';
import { createKept } from '../kept.ts';
import { hashOf, newSecretValue } from '../secret-value.ts';
import { epochOf } from './sessions.ts';
import type { User } from './user.ts';

export interface SignIn {
  user: string;
  /** Of the person when the first proof was taken: what that proof was worth ends with it. */
  epoch: number;
  /** `second-factor`: it is asked for. `enrol`: there is none yet, and the person must have one. */
  step: 'second-factor' | 'enrol';
  /** What was proved so far, as in RFC 8176. */
  amr: readonly string[];
  /** Where to go after it, below the server's root. */
  next: string;
  /** `enrol`: the secret that the page shows, encrypted. */
  totp?: string;
}

export interface SignIns {
  /** For the person as they were when the proof was taken. Resolves to what the cookie holds. */
  begin(user: User, signIn: Omit<SignIn, 'user' | 'epoch'>): Promise<string>;
  find(token: string | undefined): Promise<SignIn | undefined>;
  /** Ends it: true for one caller alone, who may begin the session. */
  complete(token: string): Promise<boolean>;
}

/** Time to find the phone. */
export const SIGN_IN_MS = 10 * 60 * 1000;

export function createSignIns({ records, clock }: { records: Records; clock: Clock }): SignIns {
  const kept = createKept<SignIn>(records, 'sign-in');
  return {
    async begin(user, signIn) {
      const token = newSecretValue();
      await kept.add(hashOf(token), { user: user.id, epoch: epochOf(user), ...signIn }, clock.now() + SIGN_IN_MS);
      return token;
    },
    find: async (token) => (token === undefined ? undefined : (await kept.get(hashOf(token)))?.value),
    complete: (token) => kept.remove(hashOf(token)),
  };
}

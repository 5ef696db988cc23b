// Changes to an account that administrators make, on a page and on the command line.
import type { User } from './user.ts';

/** Whoever lost phone and codes: the next login leads to enrolment, for roles that need a second factor. */
export function withoutFactors(user: User): User {
  const { totp: _, ...others } = user;
  return { ...others, passkeys: [], recoveryCodes: [] };
}

// Changes to an account that a person or an administrator makes, on a page and on the command line.
import type { ExternalIdentity, User } from './user.ts';

/**
 * Whoever came in by what was before is out with the change that this goes into: all sessions and sign-ins under way, and
 * with `apps` all that apps were granted.
 */
export function signedOut(user: User, { apps }: { apps: boolean }): User {
  const { sessions, grants } = user.ended ?? { sessions: 0, grants: 0 };
  return { ...user, ended: { sessions: sessions + 1, grants: apps ? grants + 1 : grants } };
}

export const withPassword = (user: User, password: string, { apps }: { apps: boolean }): User =>
  signedOut({ ...user, password }, { apps });

/** Whoever lost phone and codes: the next login leads to enrolment, for roles that need a second factor. */
export function withoutFactors(user: User): User {
  const { totp: _, ...others } = user;
  return signedOut({ ...others, passkeys: [], recoveryCodes: [] }, { apps: true });
}

/** Enabling the person again does not bring back what they had. */
export const disabled = (user: User): User => signedOut({ ...user, isEnabled: false }, { apps: true });

/** The same person without this way of signing in. */
export function withoutIdentity(user: User, { issuer, subject }: Pick<ExternalIdentity, 'issuer' | 'subject'>): User {
  const others = (user.identities ?? []).filter((each) => each.issuer !== issuer || each.subject !== subject);
  return { ...user, identities: others };
}

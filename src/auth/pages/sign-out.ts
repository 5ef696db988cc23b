// A change of an account that shows out who came in by what was before: the change itself says so, in every process at once;
// what is left of sessions and grants is then removed, and put on record.
import type { User } from '../users/user.ts';
import type { PageContext } from './context.ts';

export interface SignOut {
  /** Whose account it is. */
  user: string;
  /** Who does it, for the record. */
  by: string;
  /** Id of the session that goes on. */
  keep?: string;
  /** Whether all that apps were granted ends, too. */
  apps: boolean;
}

/** `change` makes its result by `signedOut`. Resolves to the person as changed; undefined when nothing was. */
export async function changeAndSignOut(
  { accounts, grants }: PageContext,
  { user, by, keep, apps }: SignOut,
  change: (user: User) => User | undefined,
): Promise<User | undefined> {
  const { users, sessions } = accounts;
  const changed = await users.change(user, change);
  if (changed === undefined) return undefined;
  if (keep !== undefined) await sessions.keep(keep, changed);
  await sessions.endAllOf(user, keep);
  if (apps) await grants.revokeAllOf(user, by);
  return changed;
}

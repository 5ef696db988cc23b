// Everything about the people who sign in, put together on one store.
import type { Clock } from '../../base/clock.ts';
import type { Records } from '../../store/store.ts';
import { createFirstAdmin, type FirstAdmin } from './first-admin.ts';
import { createKeys, type Keys } from './keys.ts';
import { createLockout, type Lockout } from './lockout.ts';
import { createPasskeys, type Passkeys } from './passkeys.ts';
import { createPasswords, type Passwords } from './password.ts';
import { createSecondFactors, type SecondFactors } from './second-factor.ts';
import { createSessions, type Sessions } from './sessions.ts';
import { createSignIns, type SignIns } from './sign-in.ts';
import { createUsers, type Users } from './user.ts';

export interface Accounts {
  users: Users;
  sessions: Sessions;
  passwords: Passwords;
  secondFactors: SecondFactors;
  passkeys: Passkeys;
  signIns: SignIns;
  lockout: Lockout;
  firstAdmin: FirstAdmin;
  keys: Keys;
}

export interface AccountsOptions {
  records: Records;
  clock: Clock;
  /** The server's root as browsers know it, without a slash at the end: passkeys belong to its origin. */
  issuer: string;
  /** At least 32 characters, the same in every process; what was encrypted with another one cannot be read. */
  secret: string;
}

export function createAccounts({ records, clock, issuer, secret }: AccountsOptions): Accounts {
  const keys = createKeys(secret);
  const users = createUsers({ records, clock });
  return {
    keys,
    users,
    sessions: createSessions({ records, clock, users }),
    passwords: createPasswords(),
    secondFactors: createSecondFactors({ users, keys, clock }),
    passkeys: createPasskeys({ records, clock, users, keys, origin: new URL(issuer).origin }),
    signIns: createSignIns({ records, clock }),
    lockout: createLockout({ records, clock }),
    firstAdmin: createFirstAdmin({ records, clock, users }),
  };
}

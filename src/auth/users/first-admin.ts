// How a new installation gets its first administrator: a link for the terminal, good for a day, while there is nobody.
import type { Clock } from '../../base/clock.ts';
import { FhirError } from '../../base/outcome.ts';
import type { Records } from '../../store/store.ts';
import { createKept } from '../kept.ts';
import { hashOf, newSecretValue } from '../secret-value.ts';
import type { NewUser, User, Users } from './user.ts';

export interface FirstAdmin {
  /** A path below the server's root, `/auth/setup/…`, to show on the terminal; undefined when there are people already. */
  link(): Promise<string | undefined>;
  isOpen(token: string): Promise<boolean>;
  /** Adds the first administrator, once. Throws FhirError('not-found') when the link is over. */
  add(token: string, user: Pick<NewUser, 'login' | 'name' | 'password'>): Promise<User>;
}

const LINK_MS = 24 * 60 * 60 * 1000;
/** A process that dies between the claim and the adding must not close the door. */
const CLAIM_MS = 60 * 1000;

interface Parts {
  records: Records;
  clock: Clock;
  users: Users;
}

export function createFirstAdmin({ records, clock, users }: Parts): FirstAdmin {
  const links = createKept<true>(records, 'setup-link');
  const claims = createKept<true>(records, 'setup-claim');
  const isOpen = async (token: string): Promise<boolean> =>
    (await links.get(hashOf(token))) !== undefined && (await users.isEmpty());
  return {
    isOpen,
    async link() {
      if (!(await users.isEmpty())) return undefined;
      const token = newSecretValue();
      await links.add(hashOf(token), true, clock.now() + LINK_MS);
      return `/auth/setup/${token}`;
    },
    async add(token, user) {
      // Several processes show links of their own: the claim decides who is first.
      if (
        !(await isOpen(token)) ||
        !(await claims.add('first', true, clock.now() + CLAIM_MS)) ||
        !(await users.isEmpty())
      ) {
        throw new FhirError('not-found', 'This link was used, or is too old; start the server again for a new one.');
      }
      try {
        const added = await users.add({ ...user, roles: ['administrator'] });
        await links.remove(hashOf(token));
        return added;
      } finally {
        // A name that is not accepted may be mended at once.
        await claims.remove('first');
      }
    },
  };
}

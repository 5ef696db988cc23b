// What was granted: by whom, to which client, for what. Codes and tokens name a grant, and live no longer than it does; so
// ending it is the removal of one record.
import { allKept } from './change.ts';
import type { AuthContext, AuthUser } from './context.ts';
import type { LaunchContext } from './interaction.ts';
import { createKept, type Kept } from './kept.ts';

export interface Grant {
  /** Not a secret. */
  id: string;
  client: string;
  user: string;
  /** Scope tokens, as granted. */
  scopes: readonly string[];
  /** Id of the patient in context. */
  patient?: string;
  /** What else the EHR said when it launched the app. */
  launch?: Omit<LaunchContext, 'user' | 'patient'>;
  /** How and when the person logged in, ms since the epoch; `amr` as in RFC 8176. */
  authTime: number;
  amr: readonly string[];
  /** The browser session that online_access lasts as long as. */
  session: string;
  /** Of the person when they decided; absent for 0. */
  epoch?: number;
  /** Milliseconds since the epoch. */
  created: number;
  expires: number;
  /** When a token was last issued under it; absent while its code was not redeemed. */
  lastUsed?: number;
}

export interface Grants {
  /** Live grants of a person, newest first: the "my apps" page. */
  ofUser(user: string): Promise<Grant[]>;
  /** Undefined when revoked or over. */
  get(id: string): Promise<Grant | undefined>;
  /** Ends it and all its tokens at once. False when it was over already. `by`: who did it, for the record. */
  revoke(id: string, by: string): Promise<boolean>;
  /** Ends all grants of a person; the number. */
  revokeAllOf(user: string, by: string): Promise<number>;
}

/** What the token endpoint needs beyond that. */
export interface GrantBook extends Grants {
  /** As it is kept, for whoever reads its person as well: it counts if `standsFor` them. */
  kept(id: string): Promise<Grant | undefined>;
  /** Kept until `until`, unless its code is redeemed before. */
  begin(grant: Grant, until: number): Promise<void>;
  /** Its code was redeemed: it lives until it expires. Undefined when it was revoked meanwhile. */
  confirm(id: string): Promise<Grant | undefined>;
  /** Notes the use; does nothing when somebody else changes it now. */
  touch(id: string): Promise<void>;
}

/** Grows whenever all that a person granted is ended: what was granted under another number is over, wherever it is kept. */
export const grantEpochOf = (user: Pick<AuthUser, 'ended'> | undefined): number => user?.ended?.grants ?? 0;

/** Whether it is this person's, who has not ended all that they granted since. */
export const standsFor = ({ user, epoch = 0 }: Grant, person: AuthUser | undefined): boolean =>
  user === person?.id && epoch === grantEpochOf(person);

type Options = Pick<AuthContext, 'records' | 'clock' | 'record' | 'users'> & {
  /** Told of each grant that was ended. */
  onEnd(id: string): void;
};

export function createGrants({ records, clock, record, users, onEnd }: Options, listedMax: number): GrantBook {
  const kept: Kept<Grant> = createKept(records, 'grant');
  /** `<user> <grant>`, so that those of one person stand together. */
  const byUser: Kept<true> = createKept(records, 'grant-of-user');

  const book: GrantBook = {
    kept: async (id) => (await kept.get(id))?.value,
    async get(id) {
      const found = await kept.get(id);
      return found !== undefined && (await isStanding(found.value)) ? found.value : undefined;
    },
    async ofUser(user) {
      const found = await Promise.all((await idsOf(user)).map((id) => book.get(id)));
      return found
        .filter((grant): grant is Grant => grant?.lastUsed !== undefined)
        .sort((one, other) => other.created - one.created);
    },
    async revoke(id, by) {
      const grant = (await kept.get(id))?.value;
      if (grant === undefined || !(await kept.remove(id))) return false;
      onEnd(id);
      await byUser.remove(`${grant.user} ${id}`);
      const { client, user, scopes } = grant;
      await record({
        kind: 'token-revoked',
        at: clock.now(),
        grant: id,
        client,
        user,
        scopes,
        outcome: 'success',
        reason: by,
      });
      return true;
    },
    async revokeAllOf(user, by) {
      let count = 0;
      // A list at a time; each leaves it, also one whose grant was over already.
      for (let ids = await idsOf(user); ids.length > 0; ids = await idsOf(user)) {
        const ended = await Promise.all(ids.map((id) => book.revoke(id, by)));
        await Promise.all(ids.map((id) => byUser.remove(`${user} ${id}`)));
        count += ended.filter(Boolean).length;
      }
      return count;
    },
    async begin(grant, until) {
      await kept.add(grant.id, grant, until);
      await byUser.add(`${grant.user} ${grant.id}`, true, grant.expires);
    },
    async confirm(id) {
      const found = await kept.get(id);
      if (found === undefined || !(await isStanding(found.value))) return undefined;
      const grant = { ...found.value, lastUsed: clock.now() };
      return (await kept.replace(id, found, grant, grant.expires)) ? grant : undefined;
    },
    async touch(id) {
      const found = await kept.get(id);
      if (found !== undefined)
        await kept.replace(id, found, { ...found.value, lastUsed: clock.now() }, found.value.expires);
    },
  };
  return book;

  async function isStanding({ user, epoch = 0 }: Grant): Promise<boolean> {
    return epoch === grantEpochOf(await users.get(user));
  }

  async function idsOf(user: string): Promise<string[]> {
    const ids: string[] = [];
    for await (const { id } of allKept(byUser, `${user} `)) {
      if (ids.length === listedMax) break;
      ids.push(id.slice(user.length + 1));
    }
    return ids;
  }
}

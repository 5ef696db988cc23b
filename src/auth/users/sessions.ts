// Browser sessions: an opaque cookie, kept as its hash, with a new one at each login. It ends by logout, after idleness, at
// the latest after twelve hours, with the person's account, and when what the person came in by was changed or taken away.
import type { Clock } from '../../base/clock.ts';
import type { Records } from '../../store/store.ts';
import { allKept, changeKept } from '../change.ts';
import { createKept } from '../kept.ts';
import { hashOf, newSecretValue } from '../secret-value.ts';
import { needsSecondFactor } from './second-factor.ts';
import type { User, Users } from './user.ts';

export interface Session {
  /** SHA-256 of the cookie: no secret. */
  id: string;
  user: string;
  created: number;
  seen: number;
  /** When the person proved who they are, ms since the epoch, and how, as in RFC 8176. */
  authTime: number;
  amr: readonly string[];
  idleMs: number;
  /** What the browser called itself, for the list that the person sees. */
  agent: string;
  /** Of the person when they proved who they are; see `epochOf`. */
  epoch: number;
}

/** Grows whenever all sessions of a person are ended: what began under another number is over, wherever it is kept. */
export const epochOf = ({ ended }: Pick<User, 'ended'>): number => ended?.sessions ?? 0;

export interface Sessions {
  /** For the person as they were when the proof was taken. `token`: for the cookie. */
  start(user: User, how: { amr: readonly string[]; agent: string }): Promise<{ token: string; session: Session }>;
  /** The session of a cookie, which counts as used by this, with its person; undefined when it has ended. */
  find(token: string | undefined): Promise<{ session: Session; user: User } | undefined>;
  /** Whether a session goes on, without using it. */
  isLive(id: string): Promise<boolean>;
  /** Newest first. */
  listOf(user: string): Promise<Session[]>;
  /** False when it was over. */
  end(id: string): Promise<boolean>;
  /** Ends all of a person but `except`; the number. */
  endAllOf(user: string, except?: string): Promise<number>;
  /** The one session that goes on after a change that ended all of them. */
  keep(id: string, user: User): Promise<void>;
}

const STAFF_IDLE_MS = 15 * 60 * 1000;
const PATIENT_IDLE_MS = 30 * 60 * 1000;
const LIFE_MS = 12 * 60 * 60 * 1000;
/** Use is written down no more often than this: a page with its style and script is one use. */
const SEEN_EVERY_MS = 60 * 1000;

interface Parts {
  records: Records;
  clock: Clock;
  users: Users;
}

export function createSessions({ records, clock, users }: Parts): Sessions {
  const kept = createKept<Session>(records, 'session');
  // Of each person; ids begin with the person's.
  const ofUser = createKept<string>(records, 'session-of');
  const endOf = ({ created, seen, idleMs }: Session): number => Math.min(seen + idleMs, created + LIFE_MS);
  const live = async (id: string): Promise<{ session: Session; version: number; user: User } | undefined> => {
    const found = await kept.get(id);
    if (found === undefined || clock.now() >= endOf(found.value)) return undefined;
    const { value: session, version } = found;
    const user = await users.get(session.user);
    return user?.isEnabled === true && session.epoch === epochOf(user) ? { session, version, user } : undefined;
  };
  const end = async (id: string, user: string): Promise<boolean> => {
    await ofUser.remove(`${user}.${id}`);
    return kept.remove(id);
  };
  const listOf = async (user: string): Promise<Session[]> => {
    const list: Session[] = [];
    for await (const { value: id } of allKept(ofUser, `${user}.`)) {
      const found = await live(id);
      if (found !== undefined) list.push(found.session);
    }
    return list.sort((a, b) => b.created - a.created);
  };

  return {
    listOf,
    async start(user, { amr, agent }) {
      const token = newSecretValue();
      const now = clock.now();
      const session: Session = {
        id: hashOf(token),
        user: user.id,
        created: now,
        seen: now,
        authTime: now,
        amr,
        idleMs: needsSecondFactor(user) ? STAFF_IDLE_MS : PATIENT_IDLE_MS,
        agent: agent.slice(0, 200),
        epoch: epochOf(user),
      };
      await ofUser.add(`${user.id}.${session.id}`, session.id, now + LIFE_MS);
      await kept.add(session.id, session, endOf(session));
      return { token, session };
    },
    async find(token) {
      const found = token === undefined ? undefined : await live(hashOf(token));
      if (found === undefined) return undefined;
      const { session, version, user } = found;
      const now = clock.now();
      if (now - session.seen < SEEN_EVERY_MS) return { session, user };
      const used = { ...session, seen: now };
      // Another request of the same moment may have written it, or the session has just been ended: look again.
      const isWritten = await kept.replace(session.id, { version }, used, endOf(used));
      return isWritten || (await live(session.id)) !== undefined ? { session: used, user } : undefined;
    },
    isLive: async (id) => (await live(id)) !== undefined,
    async end(id) {
      const found = await kept.get(id);
      return found !== undefined && end(id, found.value.user);
    },
    async endAllOf(user, except) {
      let ended = 0;
      for await (const { value: id } of allKept(ofUser, `${user}.`)) {
        if (id !== except && (await end(id, user))) ended++;
      }
      return ended;
    },
    async keep(id, user) {
      await changeKept<Session, undefined>(kept, id, (session) => {
        if (session?.user !== user.id) return { result: undefined };
        const going = { ...session, epoch: epochOf(user) };
        return { keep: going, expires: endOf(going), result: undefined };
      });
    },
  };
}

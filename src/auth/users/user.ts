// The people who may sign in: private records, one a person, changed by compare-and-set. A login name leads to one person,
// and so does a passkey.
import type { Clock } from '../../base/clock.ts';
import { FhirError } from '../../base/outcome.ts';
import { folded } from '../../base/text.ts';
import type { Records } from '../../store/store.ts';
import { allKept, changeKept } from '../change.ts';
import { createKept, type Kept } from '../kept.ts';
import { hashOf } from '../secret-value.ts';

export interface User {
  id: string;
  /** As typed when the person was added; found without regard to case and accents. */
  login: string;
  /** For people. */
  name: string;
  /** `Practitioner/1`, `Patient/1`, `RelatedPerson/1`; absent for an administrator who is none of these. */
  fhirUser?: string;
  roles: readonly string[];
  /** Codes of security labels that this person may see although they are restricted. */
  clearance: readonly string[];
  isEnabled: boolean;
  /** Made up, to try the sample practice with: signs in without a second factor, and never beyond this machine. */
  isDemo?: true;
  /** Milliseconds since the epoch. */
  created: number;
  /** argon2id; absent for a person who signs in by passkey or elsewhere alone. */
  password?: string;
  totp?: Totp;
  passkeys: readonly Passkey[];
  /** Hashes of the recovery codes that are left. */
  recoveryCodes: readonly string[];
  /** Who the person is at other identity providers, by whose word they may sign in. */
  identities?: readonly ExternalIdentity[];
  /** How often all sessions of the person, and all grants, were ended: those that began under another number are over. */
  ended?: Ended;
}

export interface Ended {
  sessions: number;
  grants: number;
}

/** `iss` and `sub` of OpenID Connect: together they name one person for ever. An address of mail does not. */
export interface ExternalIdentity {
  issuer: string;
  subject: string;
  added: number;
}

export interface Totp {
  /** Encrypted. */
  secret: string;
  /** The 30 s step of the last code that was taken: neither it nor an earlier one is taken again. */
  usedStep: number;
  added: number;
}

/** A WebAuthn credential. */
export interface Passkey {
  /** Credential id, base64url. */
  id: string;
  /** COSE key, base64url. */
  publicKey: string;
  /** Of signatures; stays 0 for passkeys that are synchronised. */
  counter: number;
  transports: readonly string[];
  isSynced: boolean;
  name: string;
  added: number;
  used?: number;
}

export type NewUser = Pick<User, 'login' | 'name'> &
  Partial<Pick<User, 'id' | 'fhirUser' | 'roles' | 'clearance' | 'isEnabled' | 'isDemo' | 'password'>>;

export interface Users {
  get(id: string): Promise<User | undefined>;
  byLogin(login: string): Promise<User | undefined>;
  byPasskey(credential: string): Promise<User | undefined>;
  byIdentity(identity: Pick<ExternalIdentity, 'issuer' | 'subject'>): Promise<User | undefined>;
  /** All, by id. */
  list(): AsyncGenerator<User>;
  isEmpty(): Promise<boolean>;
  /** Throws FhirError('conflict') when the login name is taken, 'invalid' when a member cannot be. */
  add(user: NewUser): Promise<User>;
  /**
   * Compare-and-set. `change` may run several times; undefined leaves the person as is. Resolves to the person as changed,
   * or undefined when nothing was.
   */
  change(id: string, change: (user: User) => User | undefined): Promise<User | undefined>;
}

/** Between the claim of a login name and the record of the person. */
const CLAIM_MS = 60_000;

export function createUsers({ records, clock }: { records: Records; clock: Clock }): Users {
  const kept = createKept<User>(records, 'user');
  const logins = createKept<{ user: string; claimed: number }>(records, 'user-login');
  const passkeys = createKept<string>(records, 'user-passkey');

  const identities = createKept<string>(records, 'user-identity');

  const get = async (id: string): Promise<User | undefined> => (await kept.get(id))?.value;
  /** Whom an index leads to. It is never cleaned: only the person's own list says what is valid. */
  const owner = async (index: Kept<string>, key: string): Promise<User | undefined> => {
    const id = (await index.get(hashOf(key)))?.value;
    return id === undefined ? undefined : get(id);
  };
  const point = async (index: Kept<string>, key: string, id: string): Promise<void> => {
    const known = await index.get(hashOf(key));
    if (known === undefined) await index.add(hashOf(key), id);
    else if (known.value !== id) await index.replace(hashOf(key), known, id);
  };
  /** False when the name is a person's, or about to be. One that a process died over before adding the person is free. */
  const claimLogin = async (login: string, user: string): Promise<boolean> => {
    const place = hashOf(folded(login));
    const claim = { user, claimed: clock.now() };
    const known = await logins.get(place);
    if (known === undefined) return logins.add(place, claim);
    if (clock.now() - known.value.claimed < CLAIM_MS || (await get(known.value.user)) !== undefined) return false;
    return logins.replace(place, known, claim);
  };

  return {
    get,
    async byLogin(login) {
      const known = await logins.get(hashOf(folded(login)));
      return known === undefined ? undefined : get(known.value.user);
    },
    async byPasskey(credential) {
      const user = await owner(passkeys, credential);
      return user?.passkeys.some(({ id }) => id === credential) === true ? user : undefined;
    },
    async byIdentity(identity) {
      const user = await owner(identities, identityKey(identity));
      return user?.identities?.some((each) => identityKey(each) === identityKey(identity)) === true ? user : undefined;
    },
    async *list() {
      for await (const { value } of allKept(kept)) yield value;
    },
    isEmpty: async () => (await kept.list({ limit: 1 })).length === 0,
    async add(given) {
      const user = userOf(given, clock);
      if (!(await claimLogin(user.login, user.id))) {
        throw new FhirError('conflict', 'There is a person with this login name already; choose another one.');
      }
      if (await kept.add(user.id, user)) return user;
      throw new FhirError('conflict', 'There is a person with this id already.');
    },
    async change(id, change) {
      const changed = await changeKept<User, User | undefined>(kept, id, (user) => {
        const next = user === undefined ? undefined : change(user);
        return next === undefined ? { result: undefined } : { keep: checked({ ...next, id }), result: next };
      });
      for (const passkey of changed?.passkeys ?? []) await point(passkeys, passkey.id, id);
      for (const identity of changed?.identities ?? []) await point(identities, identityKey(identity), id);
      return changed;
    },
  };
}

const identityKey = ({ issuer, subject }: Pick<ExternalIdentity, 'issuer' | 'subject'>): string =>
  `${issuer}\n${subject}`;

function userOf({ login, name, ...given }: NewUser, clock: Clock): User {
  return checked({
    id: clock.newId(),
    login: login.trim(),
    name: name.trim(),
    roles: [],
    clearance: [],
    isEnabled: true,
    created: clock.now(),
    passkeys: [],
    recoveryCodes: [],
    ...given,
  });
}

const accepted: readonly [member: string, holds: (user: User) => boolean, what: string][] = [
  ['id', ({ id }) => /^[A-Za-z0-9.-]{1,64}$/.test(id), 'a FHIR id'],
  ['login', ({ login }) => isLine(login, 64) && folded(login) !== '', '1 to 64 characters on one line'],
  ['name', ({ name }) => isLine(name, 200), '1 to 200 characters on one line'],
  [
    'fhirUser',
    ({ fhirUser }) =>
      fhirUser === undefined ||
      /^(Patient|Practitioner|PractitionerRole|RelatedPerson|Person)\/[A-Za-z0-9.-]{1,64}$/.test(fhirUser),
    'Practitioner/<id>, PractitionerRole/<id>, Patient/<id>, RelatedPerson/<id> or Person/<id>',
  ],
  ['roles', ({ roles }) => roles.length <= 20 && roles.every(isRole), 'up to 20 names such as clinician or front-desk'],
  [
    'clearance',
    ({ clearance }) => clearance.length <= 50 && clearance.every((code) => /^[A-Za-z0-9._-]{1,64}$/.test(code)),
    'up to 50 codes of security labels such as R or PSY',
  ],
];

function checked(user: User): User {
  const wrong = accepted.find(([, holds]) => !holds(user));
  if (wrong !== undefined) throw new FhirError('invalid', `${wrong[0]} is not accepted; accepted: ${wrong[2]}.`);
  return user;
}

const isLine = (text: string, charsMax: number): boolean =>
  text.trim() !== '' && text.length <= charsMax && !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(text);

const isRole = (role: string): boolean => /^[a-z][a-z0-9-]{0,39}$/.test(role);

// Passkeys: a key pair that stays with the person's device, which asks for a finger or a PIN before it signs. Nothing that
// could be typed into the wrong page or guessed. https://www.w3.org/TR/webauthn-3/
import { randomBytes } from 'node:crypto';
import type { AuthenticationResponseJSON, RegistrationResponseJSON } from '@simplewebauthn/server';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Records } from '../../store/store.ts';
import { createKept } from '../kept.ts';
import { hashOf } from '../secret-value.ts';
import { isSame, type Keys } from './keys.ts';
import type { Passkey, User, Users } from './user.ts';

export interface Passkeys {
  /**
   * What navigator.credentials.create takes, in its JSON form. `binding` names the browser and the page, and only an
   * answer from there will do.
   */
  creationOptions(user: User, binding: string): Promise<object>;
  /** Adds the passkey that a browser made; false when it is not what was asked for. `name`: for people. */
  add(user: User, binding: string, answer: string, name: string): Promise<boolean>;
  /** What navigator.credentials.get takes; without a person, the device offers those that it knows. */
  requestOptions(user: User | undefined, binding: string): Promise<object>;
  /** Whom the answer proves to be there; undefined when it proves nobody. With `user`, only that person will do. */
  take(user: User | undefined, binding: string, answer: string): Promise<{ user: User; amr: string[] } | undefined>;
}

const CHALLENGE_MS = 5 * 60 * 1000;
/** Ed25519, ES256, RS256. */
const ALGORITHMS = [-8, -7, -257];

export interface PasskeyParts {
  records: Records;
  clock: Clock;
  users: Users;
  keys: Keys;
  /** `https://ehr.example.org`: what the browser must say the page's origin is. Its host is the relying party's id. */
  origin: string;
}

export function createPasskeys({ records, clock, users, keys, origin }: PasskeyParts): Passkeys {
  const challenges = createChallenges({ records, clock, keys });
  const rpID = new URL(origin).hostname;
  // Loaded when the first passkey is asked for: it brings a library for certificates along.
  const library = () => import('@simplewebauthn/server');
  return {
    async creationOptions(user, binding) {
      const { generateRegistrationOptions } = await library();
      return generateRegistrationOptions({
        rpName: 'careloom',
        rpID,
        userName: user.login,
        userDisplayName: user.name,
        userID: new Uint8Array(Buffer.from(user.id)),
        challenge: challenges.next(`create ${user.id} ${binding}`),
        attestationType: 'none',
        excludeCredentials: user.passkeys.map(credentialOf),
        authenticatorSelection: { residentKey: 'preferred', userVerification: 'required' },
        supportedAlgorithmIDs: ALGORITHMS,
      });
    },
    async add(user, binding, answer, name) {
      const response = answerOf<RegistrationResponseJSON>(answer, 'attestationObject');
      const challenge = response === undefined ? undefined : challengeIn(response.response.clientDataJSON);
      if (response === undefined || challenge === undefined) return false;
      if (!challenges.isOurs(challenge, `create ${user.id} ${binding}`)) return false;
      const made = await checkedCreation(response, challenge);
      if (made === undefined || !(await challenges.spend(challenge))) return false;
      if ((await users.byPasskey(made.id)) !== undefined) return false;
      const passkey = { ...made, name: name.trim().slice(0, 60) || 'Passkey', added: clock.now() };
      const changed = await users.change(user.id, (now) =>
        now.passkeys.length < limits.passkeysMax ? { ...now, passkeys: [...now.passkeys, passkey] } : undefined,
      );
      return changed !== undefined;
    },
    async requestOptions(user, binding) {
      const { generateAuthenticationOptions } = await library();
      return generateAuthenticationOptions({
        rpID,
        challenge: challenges.next(`get ${binding}`),
        allowCredentials: (user?.passkeys ?? []).map(credentialOf),
        userVerification: 'required',
      });
    },
    async take(user, binding, answer) {
      const response = answerOf<AuthenticationResponseJSON>(answer, 'signature');
      const challenge = response === undefined ? undefined : challengeIn(response.response.clientDataJSON);
      if (response === undefined || challenge === undefined) return undefined;
      if (!challenges.isOurs(challenge, `get ${binding}`)) return undefined;
      const owner = await users.byPasskey(response.id);
      if (owner === undefined || (user !== undefined && owner.id !== user.id)) return undefined;
      const passkey = owner.passkeys.find(({ id }) => id === response.id);
      const counter = passkey === undefined ? undefined : await checkedCounter(response, challenge, passkey);
      if (counter === undefined || !(await challenges.spend(challenge))) return undefined;
      const changed = await users.change(owner.id, (now) => withCounter(now, response.id, counter, clock.now()));
      if (changed === undefined) return undefined;
      return { user: changed, amr: [passkey?.isSynced === true ? 'swk' : 'hwk', 'user', 'mfa'] };
    },
  };

  async function checkedCreation(response: RegistrationResponseJSON, challenge: string) {
    const { verifyRegistrationResponse } = await library();
    const { decodeAttestationObject } = await import('@simplewebauthn/server/helpers');
    try {
      // Any other statement has certificates, which nobody here needs to know, and whose check may ask other servers.
      const statement = decodeAttestationObject(new Uint8Array(bytesOf(response.response.attestationObject)));
      if (statement.get('fmt') !== 'none') return undefined;
      const { registrationInfo } = await verifyRegistrationResponse({
        response,
        expectedChallenge: challenge,
        expectedOrigin: origin,
        expectedRPID: rpID,
        requireUserVerification: true,
        supportedAlgorithmIDs: ALGORITHMS,
      });
      return registrationInfo === undefined ? undefined : passkeyOf(registrationInfo);
    } catch {
      // The library throws whatever it meets in bytes that anybody may send.
      return undefined;
    }
  }

  /** The new counter; undefined when the signature is not one of this passkey's over this challenge. */
  async function checkedCounter(
    response: AuthenticationResponseJSON,
    challenge: string,
    { id, publicKey, counter }: Passkey,
  ): Promise<number | undefined> {
    const { verifyAuthenticationResponse } = await library();
    try {
      const { verified, authenticationInfo } = await verifyAuthenticationResponse({
        response,
        expectedChallenge: challenge,
        expectedOrigin: origin,
        expectedRPID: rpID,
        requireUserVerification: true,
        credential: { id, publicKey: new Uint8Array(bytesOf(publicKey)), counter },
      });
      return verified ? authenticationInfo.newCounter : undefined;
    } catch {
      return undefined;
    }
  }
}

/** Undefined when another signature with this counter or a later one was taken meanwhile: one of the two is a copy. */
function withCounter(user: User, id: string, counter: number, used: number): User | undefined {
  const known = user.passkeys.find((each) => each.id === id);
  if (known === undefined || (known.counter > 0 && counter <= known.counter)) return undefined;
  return { ...user, passkeys: user.passkeys.map((each) => (each === known ? { ...each, counter, used } : each)) };
}

interface Made {
  credential: { id: string; publicKey: Uint8Array; counter: number; transports?: string[] };
  credentialDeviceType: 'singleDevice' | 'multiDevice';
}

const passkeyOf = ({ credential, credentialDeviceType }: Made): Omit<Passkey, 'name' | 'added'> => ({
  id: credential.id,
  publicKey: Buffer.from(credential.publicKey).toString('base64url'),
  counter: credential.counter,
  transports: (credential.transports ?? []).filter((each) => /^[a-z-]{1,20}$/.test(each)).slice(0, 8),
  isSynced: credentialDeviceType === 'multiDevice',
});

const credentialOf = ({ id, transports }: Passkey) => ({ id, transports: [...transports] });

const bytesOf = (text: string): Buffer => Buffer.from(text, 'base64url');

/** The JSON of a browser's answer, as far as its form goes; `needed`: the member that tells the two kinds apart. */
function answerOf<Answer>(text: string, needed: 'attestationObject' | 'signature'): Answer | undefined {
  const answer = text.length > limits.passkeyAnswerCharsMax ? undefined : parsed(text);
  if (!isObject(answer) || !isObject(answer.response)) return undefined;
  const { id, rawId, type, response } = answer;
  const texts = [id, rawId, type, response.clientDataJSON, response[needed]];
  return texts.every((each) => typeof each === 'string') ? (answer as Answer) : undefined;
}

function challengeIn(clientDataJson: string): string | undefined {
  const data = parsed(bytesOf(clientDataJson).toString('utf8'));
  return isObject(data) && typeof data.challenge === 'string' ? data.challenge : undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

interface Challenges {
  next(purpose: string): Uint8Array<ArrayBuffer>;
  isOurs(challenge: string, purpose: string): boolean;
  /** True once. */
  spend(challenge: string): Promise<boolean>;
}

const NONCE_BYTES = 16;

/**
 * A challenge says itself when it was made and for whom (a time, a nonce, a MAC over both and the purpose), so that showing
 * a page writes nothing; that it was used is a record.
 */
function createChallenges({ records, clock, keys }: Pick<PasskeyParts, 'records' | 'clock' | 'keys'>): Challenges {
  const spent = createKept<true>(records, 'challenge-spent');
  const macOf = (head: string, purpose: string): string => keys.mac('challenge', `${head} ${purpose}`);
  const partsOf = (challenge: string): { head: string; mac: string; made: number } => {
    const bytes = bytesOf(challenge);
    const head = bytes.subarray(0, 8 + NONCE_BYTES);
    const made = head.length < 8 + NONCE_BYTES ? 0 : Number(head.readBigUInt64BE(0));
    return { head: head.toString('base64url'), mac: bytes.subarray(8 + NONCE_BYTES).toString('base64url'), made };
  };
  return {
    next(purpose) {
      const head = Buffer.concat([Buffer.alloc(8), randomBytes(NONCE_BYTES)]);
      head.writeBigUInt64BE(BigInt(clock.now()), 0);
      return new Uint8Array(Buffer.concat([head, bytesOf(macOf(head.toString('base64url'), purpose))]));
    },
    isOurs(challenge, purpose) {
      const { head, mac, made } = partsOf(challenge);
      const age = clock.now() - made;
      return isSame(mac, macOf(head, purpose)) && age >= 0 && age < CHALLENGE_MS;
    },
    spend: (challenge) => spent.add(hashOf(challenge), true, partsOf(challenge).made + CHALLENGE_MS),
  };
}

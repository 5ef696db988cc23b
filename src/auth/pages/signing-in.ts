// The steps that all ways of signing in share: what follows on a first proof, and how the session begins.

import { limits } from '../../base/limits.ts';
import { folded } from '../../base/text.ts';
import type { AuthAnswer, AuthRequest, Cookie } from '../exchange.ts';
import { hashOf, newSecretValue } from '../secret-value.ts';
import { isSame } from '../users/keys.ts';
import { hasSecondFactor, needsSecondFactor } from '../users/second-factor.ts';
import { epochOf } from '../users/sessions.ts';
import { SIGN_IN_MS, type SignIn } from '../users/sign-in.ts';
import { newTotpSecret } from '../users/totp.ts';
import type { User } from '../users/user.ts';
import { type PageContext, SESSION_COOKIE, seeOther, told } from './context.ts';

export const SIGN_IN_COOKIE = 'careloom_signin';
const SIGN_IN_PATH = '/auth/login';

export const signInCookie = (token: string): Cookie => ({
  name: SIGN_IN_COOKIE,
  value: token,
  path: SIGN_IN_PATH,
  maxAgeS: SIGN_IN_MS / 1000,
});

/** What forms and passkeys of a sign-in are bound to. */
export const boundToSignIn = (token: string): string => `sign-in ${hashOf(token)}`;

export interface Proved {
  user: User;
  amr: readonly string[];
  /** Where to go after it, below the server's root. */
  next: string;
}

/** After the right password, or a provider's word: the second factor, its enrolment, or the session. */
export async function afterFirstFactor(
  context: PageContext,
  request: AuthRequest,
  { user, amr, next }: Proved,
): Promise<AuthAnswer> {
  const { signIns, secondFactors } = context.accounts;
  if (hasSecondFactor(user)) {
    const token = await signIns.begin(user, { step: 'second-factor', amr, next });
    return { ...seeOther(context, '/auth/login/second-factor'), cookies: [signInCookie(token)] };
  }
  if (needsSecondFactor(user)) {
    const totp = secondFactors.sealTotpSecret(user.id, newTotpSecret());
    const token = await signIns.begin(user, { step: 'enrol', amr, next, totp });
    return { ...seeOther(context, '/auth/login/enrol'), cookies: [signInCookie(token)] };
  }
  return { ...seeOther(context, next), cookies: await beginSession(context, request, { user, amr, next }) };
}

/** The sign-in of a browser that is at this step, with its person; undefined: to be begun anew. */
export async function signInAt(
  { accounts }: PageContext,
  request: AuthRequest,
  step: SignIn['step'],
): Promise<{ token: string; signIn: SignIn; user: User } | undefined> {
  const token = request.cookie(SIGN_IN_COOKIE);
  const signIn = await accounts.signIns.find(token);
  if (token === undefined || signIn?.step !== step) return undefined;
  const user = await accounts.users.get(signIn.user);
  return user?.isEnabled === true && signIn.epoch === epochOf(user) ? { token, signIn, user } : undefined;
}

/** Begins the session in place of the one that this browser may have, and records the login; the cookies of it. */
export async function beginSession(context: PageContext, request: AuthRequest, proved: Proved): Promise<Cookie[]> {
  const { user, amr } = proved;
  const { sessions } = context.accounts;
  const before = await sessions.find(request.cookie(SESSION_COOKIE));
  if (before !== undefined) await sessions.end(before.session.id);
  const { token, session } = await sessions.start(user, { amr, agent: request.header('user-agent') ?? '' });
  try {
    await told(context, request, { kind: 'login', outcome: 'success', user: user.id, amr });
  } catch (error) {
    // Nobody has its cookie, and what is not on record was not done.
    await sessions.end(session.id);
    throw error;
  }
  return [
    { name: SESSION_COOKIE, value: token, path: '/' },
    { name: SIGN_IN_COOKIE, value: '', path: SIGN_IN_PATH },
    deviceCookie(context, user.login),
  ];
}

/** Takes an attempt; a text with how long to wait when there were too many. `device`: see lockout.ts. */
export async function beginAttempt(context: PageContext, request: AuthRequest, account: string, login: string) {
  const device = knownDevice(context, request, login);
  const attempt = await context.accounts.lockout.begin({
    account,
    address: request.address,
    ...(device === undefined ? {} : { device: `${account} ${device}` }),
  });
  if (!('waitMs' in attempt)) return attempt;
  const minutes = Math.ceil(attempt.waitMs / 60_000);
  return `There were too many attempts. Try again in ${minutes === 1 ? 'a minute' : `${minutes} minutes`}.`;
}

const DEVICE_DAYS = 180;

/** One for each login name: the people of a practice share its computers. */
const deviceName = (login: string): string => `careloom_known_${hashOf(folded(login)).slice(0, 12).replace(/-/g, '.')}`;

function deviceCookie({ accounts }: PageContext, login: string): Cookie {
  const nonce = newSecretValue();
  const value = `${nonce}.${accounts.keys.mac('device', `${folded(login)} ${nonce}`)}`;
  return { name: deviceName(login), value, path: SIGN_IN_PATH, maxAgeS: DEVICE_DAYS * 24 * 3600 };
}

/** Names a browser from which this person has signed in before. */
function knownDevice({ accounts }: PageContext, request: AuthRequest, login: string): string | undefined {
  const [nonce = '', mac = ''] = (request.cookie(deviceName(login)) ?? '').split('.');
  return isSame(mac, accounts.keys.mac('device', `${folded(login)} ${nonce}`)) ? nonce : undefined;
}

/** Longest text of a field that holds a code, a login name or a password. */
export const FIELD_CHARS = 300;
export const PASSKEY_CHARS = limits.passkeyAnswerCharsMax;

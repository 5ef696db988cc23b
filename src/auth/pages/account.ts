// My account: the apps that act in my name, how I sign in, and where I am signed in.
import { type Html, html } from '../../base/html.ts';
import type { AuthAnswer, AuthRequest, AuthRoute } from '../exchange.ts';
import type { Grant } from '../grants.ts';
import { PASSWORD_CHARS_MIN, problemWithPassword } from '../users/password.ts';
import { hasSecondFactor, needsSecondFactor } from '../users/second-factor.ts';
import type { Session } from '../users/sessions.ts';
import { newTotpSecret } from '../users/totp.ts';
import type { User } from '../users/user.ts';
import { signedOut, withPassword } from '../users/user-changes.ts';
import { csrfField, field, type PageContext, seeOther, told, type Who } from './context.ts';
import { recoveryCodesPage, totpForm } from './enrol.ts';
import { externalForms } from './external.ts';
import { page, problem, timeText } from './layout.ts';
import { passkeyForm } from './passkey-form.ts';
import { scopeWords } from './scope-words.ts';
import { changeAndSignOut } from './sign-out.ts';
import { boundToSession, signedInForm, signedInPage } from './signed-in.ts';
import { beginAttempt, FIELD_CHARS, PASSKEY_CHARS } from './signing-in.ts';

const HOME = '/auth/account';

export function accountRoutes(context: PageContext): AuthRoute[] {
  const rule = { home: HOME };
  const fresh = { home: HOME, isFresh: true };
  const bind =
    (handle: (context: PageContext, request: AuthRequest, who: Who) => Promise<AuthAnswer>) =>
    (request: AuthRequest, who: Who): Promise<AuthAnswer> =>
      handle(context, request, who);
  return [
    signedInPage(context, HOME, rule, (_, who) => accountPage(context, who)),
    signedInForm(context, `${HOME}/app`, rule, bind(endApp)),
    signedInForm(context, `${HOME}/session`, rule, bind(endSession)),
    signedInForm(context, `${HOME}/sign-out`, rule, bind(signOutElsewhere)),
    signedInForm(context, `${HOME}/password`, rule, bind(changePassword)),
    signedInPage(context, `${HOME}/app-code`, { home: `${HOME}/app-code`, isFresh: true }, (_, who) =>
      totpPage(context, who),
    ),
    signedInForm(context, `${HOME}/app-code`, fresh, bind(addTotp)),
    signedInPage(context, `${HOME}/passkey`, { home: `${HOME}/passkey`, isFresh: true }, (_, who) =>
      passkeyPage(context, who),
    ),
    signedInForm(context, `${HOME}/passkey`, fresh, bind(addPasskey)),
    signedInForm(context, `${HOME}/remove`, fresh, bind(removeFactor)),
    signedInForm(context, `${HOME}/recovery-codes`, fresh, bind(renewCodes)),
  ];
}

async function accountPage(
  context: PageContext,
  who: Who,
  { wrong, status = 200 }: { wrong?: string; status?: number } = {},
): Promise<AuthAnswer> {
  const { user, session } = who;
  const grants = await context.grants.ofUser(user.id);
  const sessions = await context.accounts.sessions.listOf(user.id);
  const admin = user.roles.includes('administrator')
    ? html`<p><a href="${context.root}/auth/admin">Administration</a></p>\n`
    : html``;
  return page(context, {
    title: 'My account',
    status,
    body: html`${problem(wrong)}<p>${user.name}, login name <code>${user.login}</code></p>
${admin}<h2>Apps that may act in your name</h2>
${await appList(context, who, grants)}
<h2>How you sign in</h2>
${factorList(context, who)}
<h2>Where you are signed in</h2>
<ul class="list">${sessions.slice(0, LISTED_MAX).map((each) => sessionItem(context, who, each, each.id === session.id))}</ul>
${action(context, who, { path: '/auth/logout', button: 'Sign out' })}
${action(context, who, { path: `${HOME}/sign-out`, button: 'Sign out everywhere else', fields: appsChoice })}`,
  });
}

/** Keeps the page within bounds; the newest come first, and whoever ends one sees the next. */
const LISTED_MAX = 20;

interface Action {
  path: string;
  button: string;
  fields?: Html;
}

/** A form of one button. */
export function action({ root, ...context }: PageContext, who: Who, { path, button, fields }: Action): Html {
  return html`<form method="post" action="${root}${path}">${csrfField({ root, ...context }, boundToSession(who))}${fields ?? html``}<button class="other small">${button}</button></form>`;
}

const hidden = (name: string, value: string): Html => html`<input type="hidden" name="${name}" value="${value}">`;

/** Ticked unless the person says otherwise: whoever had the password may have let an app in. */
const appsChoice = html`<label class="choice"><input type="checkbox" name="apps" value="end" checked>Sign out of all apps, too</label>
`;

async function appList(context: PageContext, who: Who, grants: readonly Grant[]): Promise<Html> {
  if (grants.length === 0) return html`<p>None.</p>`;
  const items: Html[] = [];
  for (const grant of grants.slice(0, LISTED_MAX)) {
    const client = await context.clients.get(grant.client);
    items.push(html`<li><div>${grantText(grant, client?.name ?? grant.client)}</div>
${action(context, who, { path: `${HOME}/app`, button: 'End', fields: hidden('grant', grant.id) })}</li>\n`);
  }
  return html`<ul class="list">${items}</ul>`;
}

export function grantText({ scopes, created, lastUsed }: Grant, name: string): Html {
  const words = scopes.map((scope) => scopeWords(scope, 'the patient').title);
  return html`<strong>${name}</strong> since ${timeText(created)}${lastUsed === undefined ? '' : `, last used ${timeText(lastUsed)}`}
<details><summary>What it may do</summary><ul>${words.slice(0, LISTED_MAX).map((each) => html`<li>${each}</li>`)}</ul></details>`;
}

function factorList(context: PageContext, who: Who): Html {
  const { user } = who;
  const remove = (what: string): Html =>
    action(context, who, { path: `${HOME}/remove`, button: 'Remove', fields: hidden('factor', what) });
  const app =
    user.totp === undefined
      ? html``
      : html`<li><div>Authenticator app, since ${timeText(user.totp.added)}</div>${remove('totp')}</li>\n`;
  const passkeys = user.passkeys.map(
    ({ id, name, added, used }) =>
      html`<li><div>Passkey ${name}, since ${timeText(added)}${used === undefined ? '' : `, last used ${timeText(used)}`}</div>${remove(id)}</li>\n`,
  );
  const codes = hasSecondFactor(user)
    ? html`<li><div>${user.recoveryCodes.length} recovery codes are left</div>
${action(context, who, { path: `${HOME}/recovery-codes`, button: 'New codes' })}</li>\n`
    : html``;
  const identities = (user.identities ?? []).map(({ issuer, subject, added }) => {
    const name = context.external?.providers.find((provider) => provider.issuer === issuer)?.name ?? issuer;
    return html`<li><div>${name}, since ${timeText(added)}</div>${remove(`${issuer} ${subject}`)}</li>\n`;
  });
  return html`<ul class="list">${app}${passkeys}${identities}${codes}</ul>
<p class="hint">When one is removed or replaced, you are signed out everywhere else, and of all apps.</p>
<p><a href="${context.root}${HOME}/passkey">Add a passkey</a> &middot; <a href="${context.root}${HOME}/app-code">${user.totp === undefined ? 'Add' : 'Replace'} an authenticator app</a></p>
${externalForms(context, csrfField(context, boundToSession(who)), (id) => `${context.root}${HOME}/external/${id}`, 'Sign in from now on also with')}${user.password === undefined ? html`` : passwordForm(context, who)}`;
}

const passwordForm = (
  context: PageContext,
  who: Who,
): Html => html`<details><summary>Change the password</summary><form method="post" action="${context.root}${HOME}/password">
${csrfField(context, boundToSession(who))}<label for="password">Password now</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<label for="new">New password, at least ${PASSWORD_CHARS_MIN} characters</label>
<input id="new" name="new" type="password" autocomplete="new-password" minlength="${PASSWORD_CHARS_MIN}" required>
${appsChoice}<button>Change</button>
</form></details>`;

const sessionItem = (context: PageContext, who: Who, { id, agent, created, seen }: Session, isThis: boolean): Html =>
  html`<li><div>${isThis ? 'This browser' : agent === '' ? 'A browser' : agent}, since ${timeText(created)}, last used ${timeText(seen)}</div>
${isThis ? html`` : action(context, who, { path: `${HOME}/session`, button: 'End', fields: hidden('session', id) })}</li>\n`;

async function endApp(context: PageContext, request: AuthRequest, { user }: Who): Promise<AuthAnswer> {
  const grant = await context.grants.get(field(request, 'grant', 100));
  if (grant?.user === user.id) {
    await context.grants.revoke(grant.id, user.id);
    await told(context, request, {
      kind: 'grant-revoked',
      outcome: 'success',
      user: user.id,
      client: grant.client,
      grant: grant.id,
    });
  }
  return seeOther(context, HOME);
}

async function endSession(context: PageContext, request: AuthRequest, { user }: Who): Promise<AuthAnswer> {
  const { sessions } = context.accounts;
  const id = field(request, 'session', 100);
  const isOwn = (await sessions.listOf(user.id)).some((session) => session.id === id);
  if (isOwn) {
    await told(context, request, { kind: 'session-ended', outcome: 'success', user: user.id });
    await sessions.end(id);
  }
  return seeOther(context, HOME);
}

const signsOutApps = (request: AuthRequest): boolean => field(request, 'apps') === 'end';

async function signOutElsewhere(context: PageContext, request: AuthRequest, who: Who): Promise<AuthAnswer> {
  const apps = signsOutApps(request);
  const reason = apps ? 'all others, and all apps' : 'all others';
  await told(context, request, { kind: 'session-ended', outcome: 'success', user: who.user.id, reason });
  await changeAndSignOut(context, others(who, apps), (now) => signedOut(now, { apps }));
  return seeOther(context, HOME);
}

const others = ({ user, session }: Who, apps: boolean) => ({ user: user.id, by: user.id, keep: session.id, apps });

/** With it all other sessions end: whoever knew the old password is out. */
async function changePassword(context: PageContext, request: AuthRequest, who: Who): Promise<AuthAnswer> {
  const { user } = who;
  const { passwords } = context.accounts;
  const attempt = await beginAttempt(context, request, `change ${user.id}`, user.login);
  if (typeof attempt === 'string') return accountPage(context, who, { wrong: attempt, status: 429 });
  if (!(await passwords.verify(field(request, 'password'), user.password))) {
    await told(context, request, { kind: 'password-changed', outcome: 'refused', user: user.id, reason: 'password' });
    return accountPage(context, who, { wrong: 'The password is wrong.', status: 401 });
  }
  await attempt.succeeded();
  const password = field(request, 'new');
  const wrong = problemWithPassword(password, user);
  if (wrong !== undefined) return accountPage(context, who, { wrong, status: 400 });
  const hash = await passwords.hash(password);
  const apps = signsOutApps(request);
  const reason = apps ? 'signed out elsewhere, and of all apps' : 'signed out elsewhere';
  await told(context, request, { kind: 'password-changed', outcome: 'success', user: user.id, reason });
  await changeAndSignOut(context, others(who, apps), (now) => withPassword(now, hash, { apps }));
  return seeOther(context, HOME);
}

/** The new secret travels in the form, encrypted for this person: it counts when a code proves that the app has it. */
function totpPage(context: PageContext, who: Who, wrong?: string): Promise<AuthAnswer> {
  const { user } = who;
  const secret = newTotpSecret();
  const sealed = context.accounts.secondFactors.sealTotpSecret(user.id, secret);
  const fields = html`${csrfField(context, boundToSession(who))}${hidden('secret', sealed)}`;
  const form = totpForm({ action: `${context.root}${HOME}/app-code`, fields, secret, login: user.login });
  const status = wrong === undefined ? 200 : 400;
  return Promise.resolve(
    page(context, { title: 'Add an authenticator app', status, body: html`${problem(wrong)}${form}` }),
  );
}

async function addTotp(context: PageContext, request: AuthRequest, who: Who): Promise<AuthAnswer> {
  const { user } = who;
  const sealed = field(request, 'secret');
  const isAdded = await context.accounts.secondFactors.addTotp(user.id, sealed, field(request, 'code', FIELD_CHARS));
  if (!isAdded) return totpPage(context, who, 'The code does not fit. Scan the new picture and try again.');
  if (user.totp === undefined) return factorAdded(context, request, user, 'authenticator app added');
  await changeAndSignOut(context, others(who, true), (now) => signedOut(now, { apps: true }));
  return factorAdded(context, request, user, 'authenticator app replaced');
}

async function passkeyPage(context: PageContext, who: Who, wrong?: string): Promise<AuthAnswer> {
  const options = await context.accounts.passkeys.creationOptions(who.user, boundToSession(who));
  const fields = csrfField(context, boundToSession(who));
  return page(context, {
    title: 'Add a passkey',
    status: wrong === undefined ? 200 : 400,
    hasScript: true,
    body: html`${problem(wrong)}<p>Your device keeps it, and asks for your finger, face or PIN.</p>
<noscript><p>Passkeys need JavaScript.</p></noscript>
${passkeyForm({ kind: 'create', action: `${context.root}${HOME}/passkey`, fields, options, button: 'Add a passkey' })}`,
  });
}

async function addPasskey(context: PageContext, request: AuthRequest, who: Who): Promise<AuthAnswer> {
  const { user } = who;
  const answer = field(request, 'passkey', PASSKEY_CHARS);
  const isAdded = await context.accounts.passkeys.add(user, boundToSession(who), answer, field(request, 'name'));
  if (!isAdded) return passkeyPage(context, who, 'This passkey was not made, or you have it already. Try again.');
  return factorAdded(context, request, user, 'passkey added');
}

/** Who had none before gets recovery codes. */
async function factorAdded(
  context: PageContext,
  request: AuthRequest,
  before: User,
  reason: string,
): Promise<AuthAnswer> {
  await told(context, request, { kind: 'factor-changed', outcome: 'success', user: before.id, reason });
  if (before.recoveryCodes.length > 0) return seeOther(context, HOME);
  return recoveryCodesPage(context, await context.accounts.secondFactors.renewRecoveryCodes(before.id), HOME);
}

async function removeFactor(context: PageContext, request: AuthRequest, who: Who): Promise<AuthAnswer> {
  const { user } = who;
  const factor = field(request, 'factor', 2_000);
  const changed = await changeAndSignOut(context, others(who, true), (now) => {
    const next = withoutFactor(now, factor);
    return needsSecondFactor(now) && !hasSecondFactor(next) ? undefined : signedOut(next, { apps: true });
  });
  if (changed === undefined) {
    return accountPage(context, who, { wrong: 'This is your last second factor: add another one first.', status: 400 });
  }
  const reason = factor === 'totp' ? 'authenticator app removed' : 'passkey or identity provider removed';
  await told(context, request, { kind: 'factor-changed', outcome: 'success', user: user.id, reason });
  return seeOther(context, HOME);
}

function withoutFactor(user: User, factor: string): User {
  const { totp, ...others } = user;
  if (factor === 'totp') return others;
  const identities = (user.identities ?? []).filter(({ issuer, subject }) => `${issuer} ${subject}` !== factor);
  const passkeys = user.passkeys.filter(({ id }) => id !== factor);
  return { ...others, ...(totp === undefined ? {} : { totp }), passkeys, identities };
}

async function renewCodes(context: PageContext, request: AuthRequest, { user }: Who): Promise<AuthAnswer> {
  if (!hasSecondFactor(user)) return seeOther(context, HOME);
  await told(context, request, {
    kind: 'factor-changed',
    outcome: 'success',
    user: user.id,
    reason: 'recovery codes renewed',
  });
  return recoveryCodesPage(context, await context.accounts.secondFactors.renewRecoveryCodes(user.id), HOME);
}

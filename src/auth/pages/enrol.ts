// A first second factor, without which nobody of the staff comes in: an authenticator app or a passkey; then the recovery
// codes, which are shown this once.
import { type Html, html } from '../../base/html.ts';
import type { AuthAnswer, AuthRequest, AuthRoute } from '../exchange.ts';
import { qrSvg } from '../users/qr.ts';
import { totpUri } from '../users/totp.ts';
import { csrfField, field, type PageContext, told } from './context.ts';
import { page, problem } from './layout.ts';
import { passkeyForm } from './passkey-form.ts';
import { type Again, type Asked, signInStep } from './sign-in-step.ts';
import { beginAttempt, beginSession, boundToSignIn, FIELD_CHARS, PASSKEY_CHARS } from './signing-in.ts';
import { outOfOrder } from './steps.ts';

const PATH = '/auth/login/enrol';

export const enrolRoutes = (context: PageContext): AuthRoute[] =>
  signInStep(context, { path: PATH, step: 'enrol', show: enrolPage, take: enrol });

async function enrol(context: PageContext, request: AuthRequest, asked: Asked): Promise<AuthAnswer> {
  const { token, signIn, user } = asked;
  const attempt = await beginAttempt(context, request, `enrolment ${user.id}`, user.login);
  if (typeof attempt === 'string') return enrolPage(context, asked, { wrong: attempt, status: 429 });
  const amr = await addedFactor(context, request, asked);
  if (amr === undefined) {
    const wrong = 'This does not fit. Enter the code that the app shows now; it changes every 30 seconds.';
    return enrolPage(context, asked, { wrong, status: 400 });
  }
  await attempt.succeeded();
  if (!(await context.accounts.signIns.complete(token))) return outOfOrder(context, '/auth/login');
  const reason = amr.includes('otp') ? 'authenticator app added' : 'passkey added';
  await told(context, request, { kind: 'factor-changed', outcome: 'success', user: user.id, reason });
  const codes = await context.accounts.secondFactors.renewRecoveryCodes(user.id);
  const cookies = await beginSession(context, request, { user, amr, next: signIn.next });
  return { ...recoveryCodesPage(context, codes, signIn.next), cookies };
}

async function addedFactor(
  { accounts }: PageContext,
  request: AuthRequest,
  { token, signIn, user }: Asked,
): Promise<readonly string[] | undefined> {
  if (request.form.has('passkey')) {
    const answer = field(request, 'passkey', PASSKEY_CHARS);
    const isAdded = await accounts.passkeys.add(user, boundToSignIn(token), answer, field(request, 'name'));
    return isAdded ? [...signIn.amr, 'hwk', 'mfa'] : undefined;
  }
  const isAdded = await accounts.secondFactors.addTotp(user.id, signIn.totp ?? '', field(request, 'code', FIELD_CHARS));
  return isAdded ? [...signIn.amr, 'otp', 'mfa'] : undefined;
}

async function enrolPage(
  context: PageContext,
  { token, signIn, user }: Asked,
  { wrong, status = 200 }: Again = {},
): Promise<AuthAnswer> {
  const { passkeys, secondFactors } = context.accounts;
  const bound = boundToSignIn(token);
  const action = `${context.root}${PATH}`;
  const fields = csrfField(context, bound);
  const secret = secondFactors.openTotpSecret(user.id, signIn.totp ?? '') ?? '';
  const options = await passkeys.creationOptions(user, bound);
  return page(context, {
    title: 'Set up a second factor',
    status,
    hasScript: true,
    body: html`${problem(wrong)}<p>Whoever sees the records of others proves who they are in two ways.</p>
${passkeyForm({ kind: 'create', action, fields, options, button: 'Set up a passkey on this device' })}
${totpForm({ action, fields, secret, login: user.login })}`,
  });
}

export interface TotpForm {
  action: string;
  fields: Html;
  secret: string;
  login: string;
}

export function totpForm({ action, fields, secret, login }: TotpForm): Html {
  const uri = totpUri({ secret, login, issuer: 'careloom' });
  const grouped = secret.match(/.{1,4}/g)?.join(' ') ?? '';
  return html`<h2>With an authenticator app</h2>
<p>Scan this with the app, or <a href="${uri}">open it there</a>.</p>
${qrSvg(uri)}
<p class="hint">Without a camera, enter this key: <code>${grouped}</code></p>
<form method="post" action="${action}">
${fields}<label for="code">Code that the app shows now</label>
<input id="code" name="code" inputmode="numeric" autocomplete="one-time-code" maxlength="7" required autofocus>
<button>Continue</button>
</form>`;
}

export function recoveryCodesPage(context: PageContext, codes: readonly string[], next: string): AuthAnswer {
  return page(context, {
    title: 'Your recovery codes',
    body: html`<p class="note">Print these codes or write them down, and keep them away from your computer. Each lets you in once
 when you do not have your phone. They are not shown again.</p>
<ol class="codes">${codes.map((code) => html`<li><code>${code}</code></li>\n`)}</ol>
<p><a href="${context.root}${next}">I have them: continue</a></p>`,
  });
}

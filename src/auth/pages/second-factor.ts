// After the password: a code of the app, a recovery code, or a passkey.
import { html } from '../../base/html.ts';
import type { AuthAnswer, AuthRequest, AuthRoute } from '../exchange.ts';
import { csrfField, field, formTargetsOf, type PageContext, seeOther, told } from './context.ts';
import { page, problem } from './layout.ts';
import { passkeyForm } from './passkey-form.ts';
import { type Again, type Asked, signInStep } from './sign-in-step.ts';
import { beginAttempt, beginSession, boundToSignIn, FIELD_CHARS, PASSKEY_CHARS } from './signing-in.ts';
import { outOfOrder } from './steps.ts';

const PATH = '/auth/login/second-factor';

export const secondFactorRoutes = (context: PageContext): AuthRoute[] =>
  signInStep(context, { path: PATH, step: 'second-factor', show: secondFactorPage, take });

async function take(context: PageContext, request: AuthRequest, asked: Asked): Promise<AuthAnswer> {
  const { token, signIn, user } = asked;
  const attempt = await beginAttempt(context, request, `second factor ${user.id}`, user.login);
  if (typeof attempt === 'string') return secondFactorPage(context, asked, { wrong: attempt, status: 429 });
  const amr = await takenAs(context, request, asked);
  if (amr === undefined) {
    await told(context, request, { kind: 'second-factor', outcome: 'refused', user: user.id });
    if (attempt.isLast) await told(context, request, { kind: 'lockout', outcome: 'success', user: user.id });
    return secondFactorPage(context, asked, { wrong: 'This code is wrong, or was used before.', status: 401 });
  }
  await attempt.succeeded();
  // A sign-in makes one session: of two requests with two good codes, the second is out of order.
  if (!(await context.accounts.signIns.complete(token))) return outOfOrder(context, '/auth/login');
  const { next } = signIn;
  return { ...seeOther(context, next), cookies: await beginSession(context, request, { user, amr, next }) };
}

/** What it proves together with the password; undefined for a wrong one. */
async function takenAs(
  { accounts, ...context }: PageContext,
  request: AuthRequest,
  { token, signIn, user }: Asked,
): Promise<readonly string[] | undefined> {
  if (request.form.has('passkey')) {
    const answer = field(request, 'passkey', PASSKEY_CHARS);
    const taken = await accounts.passkeys.take(user, boundToSignIn(token), answer);
    return taken && [...signIn.amr, ...taken.amr];
  }
  const code = field(request, 'code', FIELD_CHARS);
  const amr = [...signIn.amr, 'otp', 'mfa'];
  if (await accounts.secondFactors.takeTotp(user, code)) return amr;
  if (!(await accounts.secondFactors.takeRecoveryCode(user, code))) return undefined;
  const reason = 'recovery code';
  await told({ accounts, ...context }, request, { kind: 'second-factor', outcome: 'success', user: user.id, reason });
  return amr;
}

async function secondFactorPage(
  context: PageContext,
  { token, signIn, user }: Asked,
  { wrong, status = 200 }: Again = {},
): Promise<AuthAnswer> {
  const bound = boundToSignIn(token);
  const action = `${context.root}${PATH}`;
  const fields = csrfField(context, bound);
  const hasPasskeys = user.passkeys.length > 0;
  const byPasskey = hasPasskeys
    ? passkeyForm({
        kind: 'get',
        action,
        fields,
        options: await context.accounts.passkeys.requestOptions(user, bound),
        button: 'Use a passkey',
      })
    : html``;
  const what = user.totp === undefined ? 'Recovery code' : 'Code from your authenticator app, or a recovery code';
  return page(context, {
    title: 'Confirm that it is you',
    status,
    hasScript: hasPasskeys,
    formTargets: await formTargetsOf(context, signIn.next),
    body: html`${problem(wrong)}${byPasskey}<form method="post" action="${action}">
${fields}<label for="code">${what}</label>
<input id="code" name="code" autocomplete="one-time-code" autocapitalize="none" spellcheck="false" required autofocus>
<button>Continue</button>
</form>
<p class="hint">Without your phone and your recovery codes, ask an administrator to reset your second factor.</p>`,
  });
}

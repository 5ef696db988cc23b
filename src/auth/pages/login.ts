// Sign in: login name and password, or a passkey. A wrong password and an unknown name get the same answer after the same work.
import { type Html, html } from '../../base/html.ts';
import { folded } from '../../base/text.ts';
import type { AuthAnswer, AuthRequest, AuthRoute } from '../exchange.ts';
import { newSecretValue } from '../secret-value.ts';
import {
  checkCsrf,
  csrfField,
  field,
  formTargetsOf,
  type PageContext,
  pageRoute,
  safeNext,
  seeOther,
  told,
  whoIs,
} from './context.ts';
import { externalForms } from './external.ts';
import { page, problem } from './layout.ts';
import { passkeyForm } from './passkey-form.ts';
import {
  afterFirstFactor,
  beginAttempt,
  beginSession,
  boundToSignIn,
  FIELD_CHARS,
  PASSKEY_CHARS,
  SIGN_IN_COOKIE,
  signInCookie,
} from './signing-in.ts';

const PATH = '/auth/login';

export function loginRoutes(context: PageContext): AuthRoute[] {
  return [
    pageRoute(context, 'GET', PATH, async (request) => {
      const next = safeNext(request.query.get('next'));
      // `again`: what comes needs a fresh proof.
      const isKnown = request.query.get('again') === null && (await whoIs(context, request)) !== undefined;
      const login = request.query.get('login_hint')?.slice(0, FIELD_CHARS) ?? '';
      return isKnown ? seeOther(context, next) : loginPage(context, request, { next, login });
    }),
    pageRoute(
      context,
      'POST',
      PATH,
      async (request) => {
        checkCsrf(context, request, boundToSignIn(request.cookie(SIGN_IN_COOKIE) ?? ''));
        return request.form.has('passkey') ? byPasskey(context, request) : byPassword(context, request);
      },
      'login',
    ),
  ];
}

const REFUSED = 'The login name or the password is wrong.';

async function byPassword(context: PageContext, request: AuthRequest): Promise<AuthAnswer> {
  const { users, passwords } = context.accounts;
  const next = safeNext(field(request, 'next'));
  const login = field(request, 'login', FIELD_CHARS);
  const attempt = await beginAttempt(context, request, folded(login), login);
  if (typeof attempt === 'string') return loginPage(context, request, { next, login, wrong: attempt, status: 429 });
  const user = await users.byLogin(login);
  const isRight = await passwords.verify(field(request, 'password'), user?.password);
  if (user === undefined || !isRight || !user.isEnabled) {
    const who = user === undefined ? {} : { user: user.id };
    const reason = user === undefined ? 'unknown' : isRight ? 'disabled' : 'password';
    await told(context, request, { kind: 'login', outcome: 'refused', ...who, reason });
    if (attempt.isLast) await told(context, request, { kind: 'lockout', outcome: 'success', ...who });
    return loginPage(context, request, { next, login, wrong: REFUSED, status: 401 });
  }
  await attempt.succeeded();
  return afterFirstFactor(context, request, { user, amr: ['pwd'], next });
}

async function byPasskey(context: PageContext, request: AuthRequest): Promise<AuthAnswer> {
  const next = safeNext(field(request, 'next'));
  const bound = boundToSignIn(request.cookie(SIGN_IN_COOKIE) ?? '');
  const taken = await context.accounts.passkeys.take(undefined, bound, field(request, 'passkey', PASSKEY_CHARS));
  if (taken?.user.isEnabled !== true) {
    const who = taken === undefined ? {} : { user: taken.user.id };
    await told(context, request, { kind: 'login', outcome: 'refused', ...who, reason: 'passkey' });
    return loginPage(context, request, { next, wrong: 'This passkey cannot be used here.', status: 401 });
  }
  const cookies = await beginSession(context, request, { ...taken, next });
  return { ...seeOther(context, next), cookies };
}

interface Shown {
  next: string;
  login?: string;
  wrong?: string;
  status?: number;
}

async function loginPage(context: PageContext, request: AuthRequest, shown: Shown): Promise<AuthAnswer> {
  const { next, login = '', wrong, status = 200 } = shown;
  const token = request.cookie(SIGN_IN_COOKIE) ?? newSecretValue();
  const bound = boundToSignIn(token);
  const fields = html`${csrfField(context, bound)}<input type="hidden" name="next" value="${next}">\n`;
  const action = `${context.root}${PATH}`;
  const options = await context.accounts.passkeys.requestOptions(undefined, bound);
  return page(context, {
    title: 'Sign in',
    status,
    hasScript: true,
    cookies: [signInCookie(token)],
    formTargets: await formTargetsOf(context, next),
    body: html`${problem(wrong)}${passwordForm(action, fields, login)}
${passkeyForm({ kind: 'get', action, fields, options, button: 'Sign in with a passkey' })}${externalForms(context, fields, (id) => `${action}/external/${id}`, 'Sign in with')}`,
  });
}

const passwordForm = (action: string, fields: Html, login: string): Html => html`<form method="post" action="${action}">
${fields}<label for="login">Login name</label>
<input id="login" name="login" value="${login}" autocomplete="username webauthn" autocapitalize="none" spellcheck="false" required${focusIf(login === '')}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required${focusIf(login !== '')}>
<button>Sign in</button>
</form>`;

const focusIf = (holds: boolean): Html => (holds ? html` autofocus` : html``);

// The first administrator of a new installation, by the link that the terminal shows once.
import { html } from '../../base/html.ts';
import { FhirError } from '../../base/outcome.ts';
import type { AuthAnswer, AuthRequest, AuthRoute } from '../exchange.ts';
import { PASSWORD_CHARS_MIN, problemWithPassword } from '../users/password.ts';
import { checkCsrf, csrfField, field, type PageContext, pageRoute, told } from './context.ts';
import { page, problem } from './layout.ts';
import { afterFirstFactor, FIELD_CHARS } from './signing-in.ts';

const PATH = '/auth/setup/:token';

export function setupRoutes(context: PageContext): AuthRoute[] {
  return [
    pageRoute(context, 'GET', PATH, async (request) => {
      await checkOpen(context, request);
      return setupPage(context, request);
    }),
    pageRoute(
      context,
      'POST',
      PATH,
      async (request) => {
        const token = await checkOpen(context, request);
        checkCsrf(context, request, `setup ${token}`);
        return setUp(context, request, token);
      },
      'login',
    ),
  ];
}

async function checkOpen({ accounts }: PageContext, { params }: AuthRequest): Promise<string> {
  const token = params.token ?? '';
  if (await accounts.firstAdmin.isOpen(token)) return token;
  throw new FhirError('not-found', 'This link was used, or is too old; start the server again for a new one.');
}

async function setUp(context: PageContext, request: AuthRequest, token: string): Promise<AuthAnswer> {
  const { firstAdmin, passwords } = context.accounts;
  const [name, login] = [field(request, 'name', FIELD_CHARS), field(request, 'login', FIELD_CHARS)];
  const password = field(request, 'password');
  const wrong = problemWithPassword(password, { login });
  if (wrong !== undefined) return setupPage(context, request, wrong);
  if (password !== field(request, 'again')) return setupPage(context, request, 'The two passwords differ.');
  try {
    const user = await firstAdmin.add(token, { name, login, password: await passwords.hash(password) });
    await told(context, request, {
      kind: 'user-added',
      outcome: 'success',
      user: user.id,
      reason: 'first administrator',
    });
    return await afterFirstFactor(context, request, { user, amr: ['pwd'], next: '/auth/admin' });
  } catch (error) {
    if (error instanceof FhirError && error.kind === 'invalid') return setupPage(context, request, error.message);
    throw error;
  }
}

function setupPage(context: PageContext, request: AuthRequest, wrong?: string): AuthAnswer {
  const token = request.params.token ?? '';
  return page(context, {
    title: 'The first administrator',
    status: wrong === undefined ? 200 : 400,
    body: html`${problem(wrong)}<p>Nobody can sign in yet. Whoever fills in this form administers people, roles and apps, and
 sees no patient.</p>
<form method="post" action="${context.root}/auth/setup/${token}">
${csrfField(context, `setup ${token}`)}<label for="name">Your name</label>
<input id="name" name="name" value="${field(request, 'name')}" autocomplete="name" maxlength="200" required autofocus>
<label for="login">Login name</label>
<input id="login" name="login" value="${field(request, 'login')}" autocomplete="username" autocapitalize="none" spellcheck="false" maxlength="64" required>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="new-password" minlength="${PASSWORD_CHARS_MIN}" aria-describedby="rule" required>
<p class="hint" id="rule">At least ${PASSWORD_CHARS_MIN} characters; a few words that you make up are good.</p>
<label for="again">The password again</label>
<input id="again" name="again" type="password" autocomplete="new-password" required>
<button>Continue to the second factor</button>
</form>`,
  });
}

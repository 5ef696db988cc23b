// Sign in by another identity provider, and link an account here with one there. An identity that is nobody's here does not
// become somebody's by itself: who is who is said by the person, signed in here already.
import { type Html, html } from '../../base/html.ts';
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import type { AuthAnswer, AuthRequest, AuthRoute } from '../exchange.ts';
import { newSecretValue } from '../secret-value.ts';
import { callbackPath, type ExternalProof, type IdentityProvider } from '../users/external-login.ts';
import type { ExternalIdentity, User } from '../users/user.ts';
import { withoutIdentity } from '../users/user-changes.ts';
import { checkCsrf, field, type PageContext, pageRoute, safeNext, seeOther, told, whoIs } from './context.ts';
import { page } from './layout.ts';
import { signedInForm } from './signed-in.ts';
import { afterFirstFactor, beginSession, boundToSignIn, SIGN_IN_COOKIE, signInCookie } from './signing-in.ts';

const PATH = '/auth/login/external/:provider';

export function externalRoutes(context: PageContext): AuthRoute[] {
  if (context.external === undefined) return [];
  const home = '/auth/account';
  return [
    pageRoute(
      context,
      'POST',
      PATH,
      async (request) => {
        checkCsrf(context, request, boundToSignIn(request.cookie(SIGN_IN_COOKIE) ?? ''));
        return leave(context, request, { next: safeNext(field(request, 'next')) });
      },
      'login',
    ),
    pageRoute(context, 'GET', callbackPath(':provider'), (request) => comeBack(context, request)),
    signedInForm(context, `${home}/external/:provider`, { home, isFresh: true }, (request, who) =>
      leave(context, request, { next: home, link: who.user.id }),
    ),
  ];
}

/** The buttons of a page; `action` makes the address of a form, as browsers see it. */
export function externalForms(
  { external }: PageContext,
  fields: Html,
  action: (id: string) => string,
  verb: string,
): Html {
  const forms = (external?.providers ?? []).map(
    ({ id, name }) =>
      html`<form method="post" action="${action(id)}">${fields}<button class="other">${verb} ${name}</button></form>\n`,
  );
  return html`${forms}`;
}

function providerOf({ external }: PageContext, request: AuthRequest): IdentityProvider {
  const provider = external?.providers.find(({ id }) => id === request.params.provider);
  if (provider === undefined) throw new FhirError('not-found', 'There is no such way to sign in.');
  return provider;
}

/**
 * On the way there. A page that goes on by itself and no redirect: browsers hold the policy on where a form may lead against
 * every redirect behind it, and where a provider sends its people through is its own affair.
 */
async function leave(
  context: PageContext,
  request: AuthRequest,
  wish: { next: string; link?: string },
): Promise<AuthAnswer> {
  const provider = providerOf(context, request);
  const token = request.cookie(SIGN_IN_COOKIE) ?? newSecretValue();
  const url = (await context.external?.login.begin(provider, { binding: boundToSignIn(token), ...wish })) ?? '';
  const body = html`<p><a href="${url}">Continue at ${provider.name}</a></p>`;
  return {
    ...page(context, { title: 'One moment', body, cookies: [signInCookie(token)] }),
    headers: { Refresh: `0; url=${url}` },
  };
}

async function comeBack(context: PageContext, request: AuthRequest): Promise<AuthAnswer> {
  const provider = providerOf(context, request);
  const binding = boundToSignIn(request.cookie(SIGN_IN_COOKIE) ?? '');
  const proof = (await context.external?.login.complete(provider, request.query, binding)) ?? { refused: 'off' };
  if ('refused' in proof) return refused(context, request, { provider, reason: proof.refused });
  return proof.link === undefined
    ? signIn(context, request, { provider, proof })
    : link(context, request, { provider, proof });
}

interface Proved {
  provider: IdentityProvider;
  proof: ExternalProof;
}

async function signIn(context: PageContext, request: AuthRequest, { provider, proof }: Proved): Promise<AuthAnswer> {
  const user = await context.accounts.users.byIdentity(proof.identity);
  if (user?.isEnabled !== true) {
    const reason = user === undefined ? 'not linked' : 'disabled';
    return refused(context, request, { provider, reason, ...(user === undefined ? {} : { user: user.id }) });
  }
  const { amr, next } = proof;
  if (!amr.includes('mfa')) return afterFirstFactor(context, request, { user, amr, next });
  return { ...seeOther(context, next), cookies: await beginSession(context, request, { user, amr, next }) };
}

/** For the person who asked for it, if they are still the one who is signed in. */
async function link(context: PageContext, request: AuthRequest, { provider, proof }: Proved): Promise<AuthAnswer> {
  const { users } = context.accounts;
  const { identity, next } = proof;
  const who = await whoIs(context, request);
  const kind = 'factor-changed';
  if (who === undefined || who.user.id !== proof.link)
    return refused(context, request, { kind, provider, reason: 'signed out' });
  const user = who.user.id;
  const owner = await users.byIdentity(identity);
  if (owner?.id === user) return seeOther(context, next);
  if (owner !== undefined)
    return refused(context, request, { kind, provider, reason: 'linked with somebody else', user });
  const linked = await users.change(user, (now) => withIdentity(now, { ...identity, added: context.clock.now() }));
  if (linked === undefined) return refused(context, request, { kind, provider, reason: 'too many are linked', user });
  try {
    await told(context, request, { kind, outcome: 'success', user, reason: 'identity provider linked' });
  } catch (error) {
    // What is not on record was not done.
    await users.change(user, (now) => withoutIdentity(now, identity));
    throw error;
  }
  return seeOther(context, next);
}

/** Undefined when the person has as many as one may have. */
function withIdentity(user: User, identity: ExternalIdentity): User | undefined {
  const known = user.identities ?? [];
  return known.length < limits.identitiesMax ? { ...user, identities: [...known, identity] } : undefined;
}

interface Refused {
  kind?: 'login' | 'factor-changed';
  provider: IdentityProvider;
  reason: string;
  user?: string;
}

async function refused(
  context: PageContext,
  request: AuthRequest,
  { kind = 'login', provider, reason, user }: Refused,
): Promise<AuthAnswer> {
  const who = user === undefined ? {} : { user };
  await told(context, request, { kind, outcome: 'refused', ...who, reason: `${provider.id}: ${reason}` });
  return page(context, {
    title: 'This did not work',
    status: 401,
    body: html`<p role="alert">${provider.name} did not lead to an account here. If you have one, sign in with your login name first,
 then link it under “My account”.</p>
<p><a href="${context.root}/auth/login">Sign in</a></p>`,
  });
}

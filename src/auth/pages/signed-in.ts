// Pages for who is signed in: sent to the login when nobody is, and to a fresh one before what matters is changed.
import { FhirError } from '../../base/outcome.ts';
import type { AuthAnswer, AuthRequest, AuthRoute } from '../exchange.ts';
import { needsSecondFactor } from '../users/second-factor.ts';
import { checkCsrf, type PageContext, pageRoute, type Who, whoIs } from './context.ts';

/** How long after the login the ways of signing in may be changed: who finds a screen unlocked cannot make it theirs. */
const FRESH_MS = 10 * 60 * 1000;

type Handle = (request: AuthRequest, who: Who) => Promise<AuthAnswer>;

export interface SignedInRoute {
  /** Needs a login of the last ten minutes. */
  isFresh?: boolean;
  /** Needs this role, and a session with the second factor that it asks for. */
  role?: string;
  /** The page that the person comes back to after signing in. */
  home: string;
}

export function signedInPage(context: PageContext, path: string, rule: SignedInRoute, handle: Handle): AuthRoute {
  return pageRoute(context, 'GET', path, (request) => asSignedIn(context, request, rule, handle));
}

/** A form on such a page, with the session's own token. */
export function signedInForm(context: PageContext, path: string, rule: SignedInRoute, handle: Handle): AuthRoute {
  return pageRoute(context, 'POST', path, (request) =>
    asSignedIn(context, request, rule, async (request, who) => {
      checkCsrf(context, request, boundToSession(who));
      return handle(request, who);
    }),
  );
}

export const boundToSession = ({ session }: Who): string => `session ${session.id}`;

async function asSignedIn(
  context: PageContext,
  request: AuthRequest,
  { isFresh = false, role, home }: SignedInRoute,
  handle: Handle,
): Promise<AuthAnswer> {
  const who = await whoIs(context, request);
  const isOld = isFresh && who !== undefined && context.clock.now() - who.session.authTime > FRESH_MS;
  if (who === undefined || isOld) {
    const Location = `${context.root}/auth/login?next=${home}${isOld ? '&again=1' : ''}`;
    return { status: 303, headers: { Location } };
  }
  const isSure = who.session.amr.includes('mfa') || !needsSecondFactor(who.user);
  if (role !== undefined && !(who.user.roles.includes(role) && isSure)) {
    throw new FhirError('forbidden', 'This page is for administrators who signed in with a second factor.');
  }
  return handle(request, who);
}

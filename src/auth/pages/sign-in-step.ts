// A step between the first proof and the session: its page and its form, for the browser whose sign-in is at it.
import type { AuthAnswer, AuthRequest, AuthRoute } from '../exchange.ts';
import type { SignIn } from '../users/sign-in.ts';
import type { User } from '../users/user.ts';
import { checkCsrf, type PageContext, pageRoute, seeOther } from './context.ts';
import { boundToSignIn, SIGN_IN_COOKIE, signInAt } from './signing-in.ts';
import { outOfOrder } from './steps.ts';

/** Who is at the step. */
export interface Asked {
  token: string;
  signIn: SignIn;
  user: User;
}

/** What went wrong with the form that the page shows again. */
export interface Again {
  wrong?: string;
  status?: number;
}

interface StepOfSignIn {
  path: string;
  step: SignIn['step'];
  show(context: PageContext, asked: Asked, again?: Again): Promise<AuthAnswer>;
  take(context: PageContext, request: AuthRequest, asked: Asked): Promise<AuthAnswer>;
}

/** Who comes too early, too late or from another browser begins anew. */
export function signInStep(context: PageContext, { path, step, show, take }: StepOfSignIn): AuthRoute[] {
  const login = '/auth/login';
  return [
    pageRoute(context, 'GET', path, async (request) => {
      const asked = await signInAt(context, request, step);
      return asked === undefined ? seeOther(context, login) : show(context, asked);
    }),
    pageRoute(context, 'POST', path, async (request) => {
      checkCsrf(context, request, boundToSignIn(request.cookie(SIGN_IN_COOKIE) ?? ''));
      const asked = await signInAt(context, request, step);
      return asked === undefined ? outOfOrder(context, login) : take(context, request, asked);
    }),
  ];
}

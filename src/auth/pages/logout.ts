// Sign out: the session ends on the server, not just in the browser.
import { html } from '../../base/html.ts';
import type { AuthRoute, Cookie } from '../exchange.ts';
import {
  checkCsrf,
  csrfField,
  field,
  type PageContext,
  pageRoute,
  SESSION_COOKIE,
  safeNext,
  seeOther,
  told,
  whoIs,
} from './context.ts';
import { page } from './layout.ts';

const PATH = '/auth/logout';

export const noSession: Cookie = { name: SESSION_COOKIE, value: '', path: '/' };

export function logoutRoutes(context: PageContext): AuthRoute[] {
  const { accounts, root } = context;
  return [
    pageRoute(context, 'GET', PATH, async (request) => {
      const who = await whoIs(context, request);
      if (who === undefined) {
        const body = html`<p>You are signed out. <a href="${root}/auth/login">Sign in again</a></p>`;
        return page(context, { title: 'Signed out', body });
      }
      return page(context, {
        title: 'Sign out?',
        body: html`<form method="post" action="${root}${PATH}">
${csrfField(context, `session ${who.session.id}`)}<p>You are signed in as ${who.user.name}.</p>
<button>Sign out</button>
</form>`,
      });
    }),
    pageRoute(context, 'POST', PATH, async (request) => {
      const who = await whoIs(context, request);
      const next = field(request, 'next') === '' ? PATH : safeNext(field(request, 'next'));
      if (who === undefined) return { ...seeOther(context, next), cookies: [noSession] };
      checkCsrf(context, request, `session ${who.session.id}`);
      await told(context, request, { kind: 'logout', outcome: 'success', user: who.user.id });
      await accounts.sessions.end(who.session.id);
      return { ...seeOther(context, next), cookies: [noSession] };
    }),
  ];
}

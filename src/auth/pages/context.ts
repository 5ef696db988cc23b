// What the pages share: their parts, who is asking, forms that only our own pages can have sent, and refusals as pages.
import type { Clock } from '../../base/clock.ts';
import { type Html, html } from '../../base/html.ts';
import { FhirError } from '../../base/outcome.ts';
import type { Clients } from '../clients.ts';
import type { AuthAnswer, AuthRequest, AuthRoute } from '../exchange.ts';
import type { Grants } from '../grants.ts';
import type { Interactions, PatientChoice } from '../interaction.ts';
import type { Accounts } from '../users/accounts.ts';
import type { AccountEvent, RecordEvent } from '../users/events.ts';
import type { ExternalLogin, IdentityProvider } from '../users/external-login.ts';
import { isSame } from '../users/keys.ts';
import type { Session } from '../users/sessions.ts';
import type { User } from '../users/user.ts';
import { page } from './layout.ts';

export interface PagesOptions {
  accounts: Accounts;
  clock: Clock;
  /** The server's root as browsers know it, without a slash at the end. */
  issuer: string;
  interactions: Interactions;
  clients: Pick<Clients, 'get' | 'list' | 'setState'>;
  grants: Grants;
  /** Patients that this person may see, whose name or birth date begins with the text; '' for the first ones. At most 20. */
  searchPatients(user: string, text: string): Promise<readonly PatientChoice[]>;
  /** Whether this person may, by their own rights, see this patient. */
  canSeePatient(user: string, patient: string): Promise<boolean>;
  /** To name a patient whom the person may see; without it the pages do not. */
  describePatient?(user: string, patient: string): Promise<PatientChoice | undefined>;
  /** Other identity providers that people may sign in by. */
  external?: { login: ExternalLogin; providers: readonly IdentityProvider[] };
  /** Puts an event on record, before what it tells of has an effect. */
  record: RecordEvent;
  /** Told of failures that no person is to see. */
  onFault(error: unknown): void;
}

export interface PageContext extends PagesOptions {
  /** Path of the server's root as browsers see it: '' or '/clinic'. Links and form actions begin with it. */
  root: string;
}

/** Who is signed in. */
export interface Who {
  user: User;
  session: Session;
}

export const SESSION_COOKIE = 'careloom_session';

export function whoIs({ accounts }: PageContext, request: AuthRequest): Promise<Who | undefined> {
  return accounts.sessions.find(request.cookie(SESSION_COOKIE));
}

/** Puts what happened on record, with where the request came from. */
export function told(
  { record, clock }: PageContext,
  request: AuthRequest,
  event: Omit<AccountEvent, 'at' | 'address' | 'request'>,
): Promise<void> {
  return record({ at: clock.now(), address: request.address, request: request.id, ...event });
}

/** 303: the browser goes there with GET. `path` is below the server's root. */
export const seeOther = ({ root }: PageContext, path: string): AuthAnswer => ({
  status: 303,
  headers: { Location: `${root}${path}` },
});

/**
 * The hidden field that proves that a form was shown to this browser: `bound` names the session, sign-in or interaction that
 * it belongs to.
 */
export function csrfField({ accounts }: PageContext, bound: string): Html {
  return html`<input type="hidden" name="csrf" value="${accounts.keys.mac('csrf', bound)}">`;
}

/** Throws FhirError('forbidden') for a form that our page did not send from this browser. */
export function checkCsrf({ accounts }: PageContext, request: AuthRequest, bound: string): void {
  if (!isSame(field(request, 'csrf'), accounts.keys.mac('csrf', bound))) {
    throw new FhirError('forbidden', 'This form is too old, or was not sent by this page. Go back and open it again.');
  }
}

/** The one value of a form's field, '' when it is absent. Throws FhirError('invalid') for several or a longer one. */
export function field({ form }: AuthRequest, name: string, charsMax = 1_000): string {
  const [value = '', ...more] = form.getAll(name);
  if (more.length > 0) throw new FhirError('invalid', `The field ${name} is there more than once.`);
  if (value.length > charsMax) throw new FhirError('invalid', `The field ${name} is too long.`);
  return value;
}

/** Somewhere below /auth, without query: anything else is where nobody should be sent to after signing in. */
export function safeNext(text: string | null | undefined): string {
  return typeof text === 'string' && /^\/auth(\/[A-Za-z0-9_-]+)+$/.test(text) ? text : '/auth/account';
}

/** Where a form on the way to `next` may lead to in the end: the app's address, if it is an interaction. */
export async function formTargetsOf({ interactions }: PageContext, next: string): Promise<string[]> {
  const id = /^\/auth\/interaction\/([A-Za-z0-9_-]+)$/.exec(next)?.[1];
  const interaction = id === undefined ? undefined : await interactions.get(id);
  return interaction === undefined ? [] : [interaction.redirectUri];
}

/** A route whose refusals are pages. */
export function pageRoute(
  context: PageContext,
  method: AuthRoute['method'],
  path: string,
  handle: AuthRoute['handle'],
  rate: AuthRoute['rate'] = 'page',
): AuthRoute {
  return {
    method,
    path,
    rate,
    async handle(request) {
      try {
        return await handle(request);
      } catch (error) {
        return errorPage(context, error);
      }
    },
  };
}

const TITLES: Readonly<Record<number, string>> = {
  400: 'This did not work',
  401: 'Sign in again',
  403: 'Not allowed',
  404: 'Not found',
  409: 'Already taken',
  429: 'Too many attempts',
};

function errorPage(context: PageContext, error: unknown): AuthAnswer {
  const isTold = error instanceof FhirError && (error.status < 500 || error.kind === 'unavailable');
  if (!isTold) context.onFault(error);
  const status = isTold ? error.status : 500;
  const text = isTold ? error.message : 'The server failed on this request; its log has the cause. Try again later.';
  const title = TITLES[status] ?? 'This does not work now';
  const answer = page(context, { title, status, body: html`<p role="alert">${text}</p>` });
  return isTold ? { ...answer, headers: { ...answer.headers, ...error.headers } } : answer;
}

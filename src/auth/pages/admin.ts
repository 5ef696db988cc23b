// Administration: apps that wait for approval, apps in use, and people with what they allowed. No patient is seen here.
import { type Html, html } from '../../base/html.ts';
import { FhirError } from '../../base/outcome.ts';
import type { Client } from '../clients.ts';
import type { AuthAnswer, AuthRequest, AuthRoute } from '../exchange.ts';
import type { User } from '../users/user.ts';
import { disabled, signedOut, withoutFactors } from '../users/user-changes.ts';
import { action, grantText } from './account.ts';
import { field, type PageContext, seeOther, told, type Who } from './context.ts';
import { page, timeText } from './layout.ts';
import { scopeWords } from './scope-words.ts';
import { changeAndSignOut } from './sign-out.ts';
import { signedInForm, signedInPage } from './signed-in.ts';

const HOME = '/auth/admin';
const PERSON = `${HOME}/person/:id`;
const LISTED_MAX = 40;

export function adminRoutes(context: PageContext): AuthRoute[] {
  const rule = { home: HOME, role: 'administrator' };
  return [
    signedInPage(context, HOME, rule, (_, who) => adminPage(context, who)),
    signedInForm(context, `${HOME}/client`, rule, (request, who) => setClient(context, request, who)),
    signedInPage(context, PERSON, rule, (request, who) => personPage(context, request, who)),
    signedInForm(context, PERSON, rule, (request, who) => changePerson(context, request, who)),
  ];
}

const hidden = (name: string, value: string): Html => html`<input type="hidden" name="${name}" value="${value}">`;

async function adminPage(context: PageContext, who: Who): Promise<AuthAnswer> {
  const clients = await context.clients.list();
  const pending = clients.filter(({ state }) => state === 'pending');
  const people: Html[] = [];
  for await (const user of context.accounts.users.list()) {
    if (people.length === LISTED_MAX) break;
    people.push(personItem(context, user));
  }
  const others = clients.filter(({ state }) => state !== 'pending');
  return page(context, {
    title: 'Administration',
    body: html`<p><a href="${context.root}/auth/account">My account</a></p>
<h2>Apps that wait for approval</h2>
${clientList(context, who, pending)}
<h2>Apps</h2>
${clientList(context, who, others)}
<h2>People</h2>
<ul class="list">${people}</ul>
<p class="hint"><code>careloom user</code> on the server adds people and changes roles and passwords.</p>`,
  });
}

function clientList(context: PageContext, who: Who, clients: readonly Client[]): Html {
  if (clients.length === 0) return html`<p>None.</p>`;
  const more = clients.length > LISTED_MAX ? html`<p>${clients.length - LISTED_MAX} more are not shown.</p>` : html``;
  return html`<ul class="list">${clients.slice(0, LISTED_MAX).map((client) => clientItem(context, who, client))}</ul>${more}`;
}

function clientItem(context: PageContext, who: Who, client: Client): Html {
  const to = (state: Client['state'], button: string): Html =>
    action(context, who, {
      path: `${HOME}/client`,
      button,
      fields: html`${hidden('client', client.id)}${hidden('state', state)}`,
    });
  const words = client.scopes
    .slice(0, LISTED_MAX)
    .map((scope) => html`<li>${scopeWords(scope, 'a patient').title}</li>`);
  const buttons =
    client.state === 'pending'
      ? html`${to('active', 'Approve')} ${to('disabled', 'Refuse')}`
      : client.state === 'active'
        ? to('disabled', 'Disable')
        : to('active', 'Enable');
  return html`<li><div><strong>${client.name}</strong> <code>${client.id}</code>${client.isUnverified ? ', registered itself' : ''}${client.state === 'disabled' ? ', disabled' : ''}
<details><summary>Since ${timeText(client.created)}</summary><ul>${client.redirectUris.map((uri) => html`<li>Goes to ${uri}</li>`)}${words}</ul></details></div>
<div>${buttons}</div></li>\n`;
}

const personItem = ({ root }: PageContext, { id, name, login, roles, isEnabled }: User): Html =>
  html`<li><a href="${root}${HOME}/person/${id}">${name}</a> <span>${login}: ${roles.join(', ')}${isEnabled ? '' : ' (disabled)'}</span></li>\n`;

const STATES: readonly Client['state'][] = ['active', 'disabled'];

async function setClient(context: PageContext, request: AuthRequest, { user }: Who): Promise<AuthAnswer> {
  const state = STATES.find((each) => each === field(request, 'state'));
  if (state === undefined) throw new FhirError('invalid', 'An app can be made active or disabled.');
  const client = field(request, 'client', 100);
  await told(context, request, { kind: 'client-changed', outcome: 'success', user: user.id, client, reason: state });
  await context.clients.setState(client, state);
  return seeOther(context, HOME);
}

async function personOf(context: PageContext, request: AuthRequest): Promise<User> {
  const user = await context.accounts.users.get(request.params.id ?? '');
  if (user === undefined) throw new FhirError('not-found', 'There is no such person.');
  return user;
}

async function personPage(context: PageContext, request: AuthRequest, who: Who): Promise<AuthAnswer> {
  const user = await personOf(context, request);
  const grants = await context.grants.ofUser(user.id);
  const sessions = await context.accounts.sessions.listOf(user.id);
  const act = (what: string, button: string, fields = html``): Html =>
    action(context, who, {
      path: `${HOME}/person/${user.id}`,
      button,
      fields: html`${hidden('action', what)}${fields}`,
    });
  const items: Html[] = [];
  for (const grant of grants.slice(0, LISTED_MAX)) {
    const name = (await context.clients.get(grant.client))?.name ?? grant.client;
    items.push(
      html`<li><div>${grantText(grant, name)}</div>${act('end-grant', 'End', hidden('grant', grant.id))}</li>\n`,
    );
  }
  return page(context, {
    title: user.name,
    body: html`<p><a href="${context.root}${HOME}">Administration</a></p>
<p>Login name <code>${user.login}</code>, ${user.roles.join(', ') || 'no role'}${user.fhirUser === undefined ? '' : `, ${user.fhirUser}`}; ${sessions.length} sessions,
 ${user.passkeys.length} passkeys, ${user.totp === undefined ? 'no' : 'an'} authenticator app</p>
<h2>Apps</h2>
<ul class="list">${items}</ul>
<h2>Account</h2>
<p>${user.isEnabled ? act('disable', 'Disable') : act('enable', 'Enable')} ${act('sign-out', 'Sign out everywhere')} ${act('reset-factors', 'Reset the second factor')}</p>`,
  });
}

/** Action → what it does to the account. */
const changes: Readonly<Record<string, (user: User) => User>> = {
  disable: disabled,
  enable: (user) => ({ ...user, isEnabled: true }),
  'reset-factors': withoutFactors,
  'sign-out': (user) => signedOut(user, { apps: true }),
  'end-grant': (user) => user,
};

async function changePerson(context: PageContext, request: AuthRequest, { user: admin }: Who): Promise<AuthAnswer> {
  const person = await personOf(context, request);
  const reason = field(request, 'action');
  const change = Object.hasOwn(changes, reason) ? changes[reason] : undefined;
  if (change === undefined) throw new FhirError('invalid', 'This cannot be done to an account.');
  const isOwn = person.id === admin.id;
  if (isOwn && reason === 'disable') throw new FhirError('invalid', 'Nobody can disable their own account.');
  const about = { user: admin.id, about: person.id };
  if (reason === 'end-grant') {
    const grant = await context.grants.get(field(request, 'grant', 100));
    if (grant?.user === person.id) {
      await told(context, request, {
        kind: 'grant-revoked',
        outcome: 'success',
        ...about,
        client: grant.client,
        grant: grant.id,
      });
      await context.grants.revoke(grant.id, admin.id);
    }
  } else {
    await told(context, request, { kind: 'user-changed', outcome: 'success', ...about, reason });
    if (reason === 'enable') await context.accounts.users.change(person.id, change);
    else await changeAndSignOut(context, { user: person.id, by: admin.id, apps: true }, change);
  }
  return seeOther(context, `${HOME}/person/${person.id}`);
}

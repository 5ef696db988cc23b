// Keeps interactions, and ends them: what the person decided is checked once more against what was asked, then becomes a
// grant and a code. https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2
import { FhirError } from '../base/outcome.ts';
import type { Clients } from './clients.ts';
import type { Codes } from './codes.ts';
import type { AuthContext, AuthEvent, AuthUser } from './context.ts';
import { type Grant, type GrantBook, grantEpochOf } from './grants.ts';
import { type Decision, type Interaction, type Interactions, isFreshFor, type LaunchContext } from './interaction.ts';
import { createKept } from './kept.ts';
import { lifetimes } from './lifetimes.ts';
import { redirectTo } from './redirect.ts';
import { coversToken, parseScope, resourceScopes } from './scopes.ts';
import { hashOf, newSecretValue } from './secret-value.ts';

export interface InteractionBook extends Interactions {
  /** Begins one; `cookie` is for the browser that it is bound to. */
  begin(interaction: Omit<Interaction, 'id' | 'binding' | 'expires' | 'version' | 'step'>): Promise<{
    interaction: Interaction;
    cookie: string;
  }>;
}

type KeptInteraction = Omit<Interaction, 'id' | 'version'>;

interface Parts {
  clients: Clients;
  codes: Codes;
  grants: GrantBook;
}

export function createInteractions(context: AuthContext, parts: Parts): InteractionBook {
  const { records, clock, issuer, record } = context;
  const kept = createKept<KeptInteraction>(records, 'interaction');

  const book: InteractionBook = {
    async begin(asked) {
      const [id, cookie] = [newSecretValue(), newSecretValue()];
      const expires = clock.now() + lifetimes.interaction;
      const value: KeptInteraction = { ...asked, binding: hashOf(cookie), step: 'login', expires };
      await kept.add(hashOf(id), value, expires);
      return { interaction: { ...value, id, version: 1 }, cookie };
    },
    async get(id) {
      const found = await kept.get(hashOf(id));
      return found === undefined ? undefined : { ...found.value, id, version: found.version };
    },
    put: ({ id, version, ...value }) => kept.replace(hashOf(id), { version }, value, value.expires),
    async finish({ id }, decision) {
      // What is kept counts, not what the pages hand back; and it counts once.
      const interaction = await book.get(id);
      if (interaction === undefined || !(await kept.remove(hashOf(id), interaction)))
        throw new FhirError('invalid', 'This sign-in is over; start again from the app.');
      const outcome = await decide(interaction, decision, context, parts);
      await record(eventOf(interaction, decision, outcome, clock.now()));
      if ('refusal' in outcome) {
        const { state, redirectUri } = interaction;
        return redirectTo(redirectUri, {
          error: 'access_denied',
          error_description: outcome.refusal,
          state,
          iss: issuer,
        });
      }
      const { grant } = outcome;
      await parts.grants.begin(grant, clock.now() + lifetimes.code + lifetimes.assertionSkew);
      return redirectTo(interaction.redirectUri, {
        code: await parts.codes.issue(codeOf(interaction, grant)),
        state: interaction.state,
        iss: issuer,
      });
    },
  };
  return book;
}

type Outcome = { grant: Grant } | { refusal: string };

async function decide(
  interaction: Interaction,
  decision: Decision,
  context: AuthContext,
  { clients }: Parts,
): Promise<Outcome> {
  const { launch } = interaction;
  if (decision.scopes.length === 0) return { refusal: 'the user did not allow it' };
  const [client, user] = await Promise.all([clients.get(interaction.client), context.users.get(decision.user)]);
  if (client?.state !== 'active' || user?.isEnabled !== true) return { refusal: 'the app or the user is disabled' };
  if (interaction.user !== undefined && interaction.user !== user.id) return { refusal: 'the user changed meanwhile' };
  if (!isFreshFor(interaction, decision.authTime)) return { refusal: 'the sign-in is older than the app asked for' };
  // Asked after the person was read: who was signed out since grants nothing under the number of what is granted next.
  if (decision.session !== '' && !(await context.isOnline(decision.session)))
    return { refusal: 'the user was signed out meanwhile' };
  if (launch !== undefined && launch.user !== user.id) return { refusal: 'the app was launched for another user' };
  if (!decision.scopes.every((scope) => coversToken(interaction.scopes, scope)))
    return { refusal: 'more was allowed than was asked for' };
  const patient = launch?.patient ?? decision.patient;
  if (decision.patient !== undefined && decision.patient !== patient)
    return { refusal: 'the app was launched for another patient' };
  if (patient !== undefined && !(await mayBeInContext(user, patient, context)))
    return { refusal: 'the user may not see this patient' };
  // Again, with the patient who was chosen where the launch named none: much may have happened since it was made.
  if (launch !== undefined && !(await context.seesOpen(user.id, inContext(launch, patient))))
    return { refusal: 'the user may not see what the app was launched for' };
  const scopes = decision.scopes.filter((scope) => isMeaningful(scope, user, launch?.encounter));
  if (patient === undefined && resourceScopes(scopes).some(({ level }) => level === 'patient'))
    return { refusal: 'no patient was chosen' };
  return scopes.length === 0
    ? { refusal: 'nothing of what was asked for can be had' }
    : { grant: grantOf({ interaction, decision, user, scopes, patient }, context) };
}

const inContext = (launch: LaunchContext, patient: string | undefined): LaunchContext =>
  patient === undefined ? launch : { ...launch, patient };

/** A patient sees their own record alone, whatever launched the app; anybody else those within their reach. */
async function mayBeInContext(user: AuthUser, patient: string, { reaches }: AuthContext): Promise<boolean> {
  if (user.fhirUser?.startsWith('Patient/') === true && user.fhirUser !== `Patient/${patient}`) return false;
  return reaches(user.id, patient);
}

/** A scope that says something of a user or an encounter is granted where there is one. */
function isMeaningful(token: string, user: AuthUser, encounter: string | undefined): boolean {
  const scope = parseScope(token);
  if (typeof scope !== 'object') return false;
  if (scope.text === 'fhirUser') return user.fhirUser !== undefined;
  return !(scope.kind === 'launch' && scope.context === 'encounter' && encounter === undefined);
}

interface Decided {
  interaction: Interaction;
  decision: Decision;
  user: AuthUser;
  scopes: readonly string[];
  patient: string | undefined;
}

function grantOf({ interaction, decision, user, scopes, patient }: Decided, { clock }: AuthContext): Grant {
  const { user: _, patient: __, ...launch } = interaction.launch ?? {};
  const created = clock.now();
  return {
    id: clock.newId(),
    client: interaction.client,
    user: decision.user,
    scopes,
    ...(patient === undefined ? {} : { patient }),
    ...(Object.keys(launch).length === 0 ? {} : { launch }),
    authTime: decision.authTime,
    amr: decision.amr,
    session: decision.session,
    epoch: grantEpochOf(user),
    created,
    expires: created + lifeOf(scopes),
  };
}

/** A grant that cannot be renewed lives as long as its one access token. */
function lifeOf(scopes: readonly string[]): number {
  if (scopes.includes('offline_access')) return lifetimes.offlineGrant;
  return scopes.includes('online_access') ? lifetimes.onlineGrant : lifetimes.code + lifetimes.accessToken;
}

function codeOf({ client, redirectUri, codeChallenge, nonce, jkt }: Interaction, grant: Grant) {
  const optional = { ...(nonce === undefined ? {} : { nonce }), ...(jkt === undefined ? {} : { jkt }) };
  return { grant: grant.id, client, redirectUri, codeChallenge, ...optional };
}

function eventOf(interaction: Interaction, decision: Decision, outcome: Outcome, at: number): AuthEvent {
  const { client } = interaction;
  const user = decision.user === '' ? {} : { user: decision.user };
  if ('refusal' in outcome)
    return { kind: 'authorization-denied', at, client, ...user, outcome: 'refused', reason: outcome.refusal };
  const { id, scopes, patient } = outcome.grant;
  const about = { client, ...user, grant: id, scopes, ...(patient === undefined ? {} : { patient }) };
  return { kind: 'authorization-granted', at, ...about, outcome: 'success' };
}

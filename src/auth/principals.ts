// From a token's grant to who asks: read anew from the records, so that what was revoked or disabled meanwhile counts.
import { EMERGENCY_RECORD, type Emergency } from '../fhir/access/emergencies.ts';
import type { Principal } from '../fhir/caller.ts';
import type { Clients } from './clients.ts';
import type { AuthContext, AuthUser } from './context.ts';
import { type Grant, type GrantBook, standsFor } from './grants.ts';
import { resourceScopes } from './scopes.ts';
import { clientOfStandingGrant, standingGrant } from './tokens.ts';

export interface Principals {
  /**
   * Who acts under a grant now, with these scopes or all that was granted; undefined when the grant, its client or its user
   * is no more. Jobs, subscriptions and paging links that outlive a request ask again with the grant's id alone.
   */
  of(grant: string, scopes?: readonly string[], told?: Told): Promise<Standing | undefined>;
}

/** Whose a grant is, as a token tells of it: with that, all is read at once instead of one after the other. */
export type Told = Partial<Pick<Grant, 'client' | 'user'>>;

/** A principal, and what it stands on. */
export interface Standing {
  principal: Principal;
  grant?: Grant;
  user?: AuthUser;
}

interface Parts {
  clients: Clients;
  grants: GrantBook;
}

export function createPrincipals(
  { users, records }: Pick<AuthContext, 'users' | 'records'>,
  { clients, grants }: Parts,
): Principals {
  return {
    async of(id, scopes, told = {}) {
      const service = clientOfStandingGrant(id);
      return service === undefined ? ofGrant(id, scopes, told) : ofService(service, scopes);
    },
  };

  async function ofService(id: string, scopes: readonly string[] | undefined): Promise<Standing | undefined> {
    const client = await clients.get(id);
    if (client?.state !== 'active') return undefined;
    const system = resourceScopes(scopes ?? client.scopes).filter(({ level }) => level === 'system');
    const { service } = client;
    const principal = { client: id, grant: standingGrant(id), scopes: system, purpose: TREATMENT };
    return { principal: service === undefined ? principal : { ...principal, service } };
  }

  async function ofGrant(id: string, scopes: readonly string[] | undefined, told: Told): Promise<Standing | undefined> {
    const { client: clientId, user: userId } = told;
    const [grant, emergency, ...early] = await Promise.all([
      grants.kept(id),
      records.get(EMERGENCY_RECORD, id),
      clientId === undefined ? undefined : clients.get(clientId),
      userId === undefined ? undefined : users.get(userId),
    ]);
    if (grant === undefined) return undefined;
    const [client, user] = await Promise.all([
      early[0]?.id === grant.client ? early[0] : clients.get(grant.client),
      early[1]?.id === grant.user ? early[1] : users.get(grant.user),
    ]);
    if (client?.state !== 'active' || user?.isEnabled !== true || !standsFor(grant, user)) return undefined;
    const { fhirUser, roles, clearance } = user;
    const principal: Principal = {
      user: {
        id: user.id,
        ...(fhirUser === undefined ? {} : { fhirUser }),
        roles,
        clearance,
        signedIn: { at: grant.authTime, by: grant.amr },
      },
      client: grant.client,
      grant: id,
      scopes: resourceScopes(scopes ?? grant.scopes).filter(({ level }) => level !== 'system'),
      ...(grant.patient === undefined ? {} : { patient: grant.patient }),
      ...(emergency === undefined ? {} : { emergency: (JSON.parse(emergency.value) as Emergency).patient }),
      purpose: TREATMENT,
    };
    return { principal, grant, user };
  }
}

/** https://terminology.hl7.org/ValueSet-v3-PurposeOfUse.html */
const TREATMENT = 'TREAT';

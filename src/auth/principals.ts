// From a token's grant to who asks: read anew from the records, so that what was revoked or disabled meanwhile counts.
import { EMERGENCY_RECORD, type Emergency } from '../fhir/access/emergencies.ts';
import type { Principal } from '../fhir/caller.ts';
import type { Clients } from './clients.ts';
import type { AuthContext, AuthUser } from './context.ts';
import type { Grant, GrantBook } from './grants.ts';
import { resourceScopes } from './scopes.ts';
import { clientOfStandingGrant, standingGrant } from './tokens.ts';

export interface Principals {
  /**
   * Who acts under a grant now, with these scopes or all that was granted; undefined when the grant, its client or its user
   * is no more. Jobs, subscriptions and paging links that outlive a request ask again with the grant's id alone.
   */
  of(grant: string, scopes?: readonly string[]): Promise<Standing | undefined>;
}

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
    async of(id, scopes) {
      const service = clientOfStandingGrant(id);
      return service === undefined ? ofGrant(id, scopes) : ofService(service, scopes);
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

  async function ofGrant(id: string, scopes: readonly string[] | undefined): Promise<Standing | undefined> {
    const grant = await grants.get(id);
    if (grant === undefined) return undefined;
    const [client, user, emergency] = await Promise.all([
      clients.get(grant.client),
      users.get(grant.user),
      records.get(EMERGENCY_RECORD, id),
    ]);
    if (client?.state !== 'active' || user?.isEnabled !== true) return undefined;
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

// The authorization server: SMART App Launch, SMART Backend Services and OpenID Connect's login, over the store's private
// records. It knows no framework and shows no pages: http/ serves its routes, pages/ decides its interactions.
// https://hl7.org/fhir/smart-app-launch/
import { limits } from '../base/limits.ts';
import { createOutbound, type Outbound } from '../base/net.ts';
import type { Principal } from '../fhir/caller.ts';
import { createBearer } from './authenticate.ts';
import { authorizeRoutes } from './authorize.ts';
import { createClientAuthentication } from './client-authentication.ts';
import { type Clients, createClients } from './clients.ts';
import { createCodes } from './codes.ts';
import type { AuthContext } from './context.ts';
import { type DiscoveryOptions, discoveryRoutes } from './discovery.ts';
import { createDpopProofs } from './dpop.ts';
import type { Authentication } from './exchange.ts';
import { createExternalTokens, type ExternalIssuer } from './external-issuers.ts';
import { createGrants, type Grants } from './grants.ts';
import type { Interactions } from './interaction.ts';
import { createInteractions } from './interactions.ts';
import { introspectRoute } from './introspect.ts';
import { createKeySets } from './key-sets.ts';
import { createKeys } from './keys.ts';
import { createLaunches, type Launches } from './launch.ts';
import { launchRoute } from './launch-route.ts';
import { createPrincipals } from './principals.ts';
import { createPushedRequests, pushedRequestRoute } from './pushed-requests.ts';
import { registerRoute } from './register.ts';
import { revokeRoute } from './revoke.ts';
import { tokenRoute } from './token.ts';
import { createTokens } from './tokens.ts';

export interface AuthorizationServerOptions extends AuthContext, Partial<DiscoveryOptions> {
  /** What keys are derived from that encrypt what is kept: private keys for id_tokens. The same for all on one store. */
  secret: string;
  externalIssuers?: readonly ExternalIssuer[];
  /** For requests to others; made here, and strict, unless it is given. */
  outbound?: Outbound;
}

export interface AuthorizationServer extends Authentication<Principal> {
  clients: Clients;
  interactions: Interactions;
  launches: Launches;
  grants: Grants;
  /**
   * Who acts under a grant now: for jobs, subscriptions and links that outlive the request. Undefined when the grant was
   * revoked or is over, its client is disabled, or its user.
   */
  principalOf(grant: string): Promise<Principal | undefined>;
  /** The same for a principal of another issuer's token, which has no grant here. */
  renewedExternal(principal: Principal): Principal | undefined;
  /** A user's rights changed: what is remembered of their tokens is looked up anew. */
  forgetUser(id: string): void;
  close(): Promise<void>;
}

export function createAuthorizationServer(options: AuthorizationServerOptions): AuthorizationServer {
  const { registration = 'off', managementUrl, externalIssuers = [], secret, ...context } = options;
  const outbound = options.outbound ?? createOutbound();
  const keySets = createKeySets({ ...context, outbound });
  const tokens = createTokens(context);
  const codes = createCodes(context);
  const grants = createGrants(
    { ...context, onEnd: (id) => bearer.forget((principal) => principal.grant === id) },
    limits.grantsListedMax,
  );
  const clients = createClients({
    ...context,
    problemOfUrl: outbound.problemOf,
    onChange: (id) => bearer.forget((principal) => principal.client === id),
  });
  const principals = createPrincipals(context, { clients, grants });
  const externalTokens = createExternalTokens(externalIssuers, { ...context, keySets });
  const proofs = createDpopProofs(context);
  const bearer = createBearer(context, { tokens, principals, externalTokens, proofs });
  const authentication = createClientAuthentication(context, { clients, keySets });
  const interactions = createInteractions(context, { clients, codes, grants });
  const launches = createLaunches(context, clients);
  const pushedRequests = createPushedRequests(context);
  const keys = createKeys({ ...context, secret });
  const kept = { clients, codes, grants, tokens, keys, interactions, launches, pushedRequests };
  const parts = { ...kept, principals, bearer, authentication, proofs };

  return {
    clients,
    interactions,
    launches,
    grants,
    routes: [
      ...discoveryRoutes(context, { registration, keys, ...(managementUrl === undefined ? {} : { managementUrl }) }),
      ...authorizeRoutes(context, parts),
      pushedRequestRoute(context, parts),
      tokenRoute(context, parts),
      introspectRoute(context, parts),
      revokeRoute(context, parts),
      launchRoute(context, parts),
      ...(registration === 'off' ? [] : [registerRoute(context, { clients, policy: registration })]),
    ],
    authenticate: (authorization, _address, proof) =>
      bearer.authenticate(authorization, proof && { ...proof, url: `${context.baseUrl}${proof.path}` }),
    principalOf: async (grant) => (await principals.of(grant))?.principal,
    renewedExternal: (principal) => externalTokens.renewed(principal),
    forgetUser: (id) => bearer.forget((principal) => principal.user?.id === id),
    close: () => outbound.close(),
  };
}

// Token introspection: other resource servers ask what a token means; a client may ask about its own.
// https://www.rfc-editor.org/rfc/rfc7662, https://hl7.org/fhir/smart-app-launch/token-introspection.html
import { FhirError } from '../base/outcome.ts';
import type { Bearer } from './authenticate.ts';
import type { ClientAuthentication } from './client-authentication.ts';
import type { Client, Clients } from './clients.ts';
import type { AuthContext } from './context.ts';
import { presentedBy } from './dpop.ts';
import type { AuthAnswer, AuthRequest, AuthRoute } from './exchange.ts';
import { jsonEndpoint, neededParameter, OAuthError, tokenHeaders } from './oauth-error.ts';
import type { Principals, Standing } from './principals.ts';
import { fhirUserOf, launchMembers } from './token-answer.ts';
import type { AccessToken, RefreshToken, Tokens } from './tokens.ts';

interface Parts {
  clients: Clients;
  authentication: ClientAuthentication;
  bearer: Bearer;
  tokens: Tokens;
  principals: Principals;
}

export function introspectRoute(context: AuthContext, parts: Parts): AuthRoute {
  const handle = jsonEndpoint((request) => introspect(request, context, parts), context.onFault);
  return { method: 'POST', path: '/auth/introspect', isCrossOrigin: true, rate: 'token', handle };
}

async function introspect(request: AuthRequest, context: AuthContext, parts: Parts): Promise<AuthAnswer> {
  const caller = await callerOf(request, context, parts);
  const value = neededParameter(request.form, 'token');
  const about = await meaningOf(value, caller, context, parts);
  // "If the token is not active, or the caller may not know of it, the response does not say which."
  return { status: 200, headers: tokenHeaders, body: about ?? { active: false } };
}

/** By a token of its own, "an appropriately-scoped SMART App or SMART Backend Service bearer token", or as at the token endpoint. */
async function callerOf(
  request: AuthRequest,
  context: AuthContext,
  { clients, authentication, bearer }: Parts,
): Promise<Client> {
  const authorization = request.header('authorization');
  if (authorization !== undefined && /^(bearer|dpop)\b/i.test(authorization)) {
    const { client } = await bearer
      .authenticate(authorization, presentedBy(request, context))
      .catch((error: unknown) => {
        if (error instanceof FhirError && error.kind === 'login')
          throw new OAuthError('invalid_token', 'the token in the Authorization header is not valid', error.headers);
        throw error;
      });
    const found = await clients.get(client);
    if (found === undefined) throw new OAuthError('insufficient_scope', 'this token is of no client that may ask');
    return found;
  }
  const client = await authentication.clientOf(request);
  if (client === undefined || client.authentication === 'none')
    throw new OAuthError('invalid_client', 'who asks about a token has to prove who they are', {
      'WWW-Authenticate': 'Bearer realm="careloom", Basic realm="careloom"',
    });
  return client;
}

async function meaningOf(
  value: string,
  caller: Client,
  context: AuthContext,
  { tokens, principals }: Parts,
): Promise<Record<string, unknown> | undefined> {
  const access = await tokens.access(value);
  const refresh = access === undefined ? (await tokens.refresh(value))?.token : undefined;
  const token = access ?? refresh;
  if (token === undefined || refresh?.isUsed === true) return undefined;
  if (token.client !== caller.id && !caller.isResourceServer) return undefined;
  const standing = await principals.of(token.grant);
  return standing === undefined ? undefined : membersOf(token, { access, standing }, context);
}

function membersOf(
  token: AccessToken | RefreshToken,
  { access, standing }: { access: AccessToken | undefined; standing: Standing },
  context: AuthContext,
): Record<string, unknown> {
  const { grant, user } = standing;
  const scopes = access?.scopes ?? grant?.scopes ?? [];
  const fhirUser = fhirUserOf(scopes, user, context);
  const identity = {
    iss: context.issuer,
    sub: user?.id,
    ...(fhirUser === undefined ? {} : { fhirUser }),
  };
  return {
    active: true,
    client_id: token.client,
    scope: scopes.join(' '),
    exp: Math.floor(token.expires / 1000),
    iat: Math.floor(token.issued / 1000),
    aud: context.baseUrl,
    ...(access === undefined ? {} : { token_type: token.jkt === undefined ? 'Bearer' : 'DPoP' }),
    ...(token.jkt === undefined ? {} : { cnf: { jkt: token.jkt } }),
    ...(grant?.scopes.includes('openid') === true ? identity : {}),
    ...(grant === undefined ? {} : launchMembers(grant)),
  };
}

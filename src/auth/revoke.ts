// Token revocation. An access token ends alone; a refresh token takes its grant, and all that came of it, with it.
// https://www.rfc-editor.org/rfc/rfc7009
import type { Bearer } from './authenticate.ts';
import type { ClientAuthentication } from './client-authentication.ts';
import type { AuthContext } from './context.ts';
import type { AuthAnswer, AuthRequest, AuthRoute } from './exchange.ts';
import type { GrantBook } from './grants.ts';
import { jsonEndpoint, neededParameter, OAuthError, tokenHeaders } from './oauth-error.ts';
import type { AccessToken, Tokens } from './tokens.ts';

interface Parts {
  authentication: ClientAuthentication;
  bearer: Bearer;
  grants: GrantBook;
  tokens: Tokens;
}

export function revokeRoute(context: AuthContext, parts: Parts): AuthRoute {
  const handle = jsonEndpoint((request) => revoke(request, context, parts), context.onFault);
  return { method: 'POST', path: '/auth/revoke', isCrossOrigin: true, rate: 'token', handle };
}

/** "The authorization server responds with 200 if the token has been revoked or if the client submitted an invalid token." */
async function revoke(request: AuthRequest, context: AuthContext, parts: Parts): Promise<AuthAnswer> {
  const value = neededParameter(request.form, 'token');
  const client = await parts.authentication.clientOf(request);
  if (client === undefined)
    throw new OAuthError('invalid_client', 'a public app sends client_id, a confidential one proves who it is');
  const access = await parts.tokens.access(value);
  const refresh = access === undefined ? (await parts.tokens.refresh(value))?.token : undefined;
  if (access?.client === client.id) await endAccess(value, access, request, context, parts);
  else if (refresh?.client === client.id) await parts.grants.revoke(refresh.grant, `client ${client.id}`);
  return { status: 200, headers: tokenHeaders, body: {} };
}

async function endAccess(
  value: string,
  { client, grant, scopes }: AccessToken,
  { address, id }: AuthRequest,
  { clock, record }: AuthContext,
  { tokens, bearer }: Parts,
): Promise<void> {
  if (!(await tokens.revokeAccess(value))) return;
  bearer.forget((principal) => principal.grant === grant);
  await record({
    kind: 'token-revoked',
    at: clock.now(),
    client,
    grant,
    scopes,
    outcome: 'success',
    reason: `client ${client}`,
    address,
    request: id,
  });
}

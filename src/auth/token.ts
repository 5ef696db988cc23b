// The token endpoint: codes, refresh tokens and client credentials become access tokens.
// https://hl7.org/fhir/smart-app-launch/app-launch.html#obtain-access-token,
// https://hl7.org/fhir/smart-app-launch/backend-services.html#obtain-access-token, https://www.rfc-editor.org/rfc/rfc6749
import type { ClientAuthentication } from './client-authentication.ts';
import type { Client, Clients, GrantType } from './clients.ts';
import type { Code, Codes } from './codes.ts';
import type { AuthContext, AuthEvent } from './context.ts';
import { type DpopProofs, presentedBy } from './dpop.ts';
import type { AuthAnswer, AuthRequest, AuthRoute } from './exchange.ts';
import type { Grant, GrantBook } from './grants.ts';
import type { Keys } from './keys.ts';
import { lifetimes } from './lifetimes.ts';
import { jsonEndpoint, neededParameter, OAuthError, parameter, tokenHeaders, tooOften } from './oauth-error.ts';
import { coversToken, parseScope, scopeTokens } from './scopes.ts';
import { matchesHash } from './secret-value.ts';
import { idToken, launchMembers } from './token-answer.ts';
import { standingGrant, type Tokens } from './tokens.ts';

interface Parts {
  clients: Clients;
  authentication: ClientAuthentication;
  codes: Codes;
  grants: GrantBook;
  tokens: Tokens;
  keys: Keys;
  proofs: DpopProofs;
}

export function tokenRoute(context: AuthContext, parts: Parts): AuthRoute {
  const ask = (request: AuthRequest) => answer(request, context, parts);
  const handle = jsonEndpoint(ask, context.onFault);
  return { method: 'POST', path: '/auth/token', isCrossOrigin: true, rate: 'token', handle };
}

async function answer(request: AuthRequest, context: AuthContext, parts: Parts): Promise<AuthAnswer> {
  const grantType = neededParameter(request.form, 'grant_type');
  const exchange: Exchange = { request, context, parts };
  switch (grantType) {
    case 'authorization_code':
      return redeemCode(await clientFor(grantType, exchange), exchange);
    case 'refresh_token':
      return refresh(exchange);
    case 'client_credentials':
      return issueToService(await clientFor(grantType, exchange), exchange);
    default:
      throw new OAuthError(
        'unsupported_grant_type',
        'grant_type must be authorization_code, refresh_token or client_credentials',
      );
  }
}

interface Exchange {
  request: AuthRequest;
  context: AuthContext;
  parts: Parts;
}

async function clientFor(grantType: GrantType, { request, parts }: Exchange): Promise<Client> {
  const client = await parts.authentication.clientOf(request);
  if (client === undefined)
    throw new OAuthError('invalid_client', 'a public app sends client_id, a confidential one proves who it is');
  return withGrantType(client, grantType);
}

function withGrantType(client: Client, grantType: GrantType): Client {
  if (client.grantTypes.includes(grantType)) return client;
  throw new OAuthError('unauthorized_client', `this client is not registered for the grant type ${grantType}`);
}

/** Thumbprint of the key that the tokens will be bound to; undefined: to none. */
async function keyShownBy(client: Client, { request, context, parts }: Exchange): Promise<string | undefined> {
  const jkt = await parts.proofs.keyOf(presentedBy(request, context));
  if (jkt === undefined && client.bindsTokens === true)
    throw new OAuthError('invalid_dpop_proof', 'this client is registered to send a DPoP proof');
  return jkt;
}

/**
 * Counted once it is known who asks, so that nobody uses up what another may ask. A public app is many installations under
 * one id that is no secret: each counts for itself, by its grant.
 */
function countRequest({ id, authentication }: Client, grant: string, { context }: Exchange): void {
  const seconds = context.rates?.tokens.take(authentication === 'none' ? `${id} ${grant}` : id) ?? 0;
  if (seconds > 0) throw tooOften(`this client asked for too many tokens; try again in ${seconds} s`, seconds);
}

async function redeemCode(client: Client, exchange: Exchange): Promise<AuthAnswer> {
  const { request, context, parts } = exchange;
  const { codes, grants } = parts;
  const value = neededParameter(request.form, 'code');
  const redirectUri = neededParameter(request.form, 'redirect_uri');
  const verifier = neededParameter(request.form, 'code_verifier');
  const found = await codes.get(value);
  if (found === undefined || found.code.client !== client.id) throw new OAuthError('invalid_grant', codeProblem);
  const { code } = found;
  if (code.isUsed) return reused(code.grant, client, exchange);
  const jkt = await keyShownBy(client, exchange);
  if (code.jkt !== undefined && code.jkt !== jkt)
    throw new OAuthError('invalid_grant', 'the code is bound to another key, by dpop_jkt');
  if (code.redirectUri !== redirectUri || !isVerifier(verifier, code))
    throw new OAuthError('invalid_grant', 'redirect_uri or code_verifier do not belong to this code');
  countRequest(client, code.grant, exchange);
  if (!(await codes.use(value, found))) return reused(code.grant, client, exchange);
  const grant = await grants.confirm(code.grant);
  const user = grant === undefined ? undefined : await context.users.get(grant.user);
  if (grant === undefined || user?.isEnabled !== true) throw new OAuthError('invalid_grant', codeProblem);
  const id = grant.scopes.includes('openid')
    ? { id_token: await idToken({ grant, user, nonce: code.nonce }, context, parts.keys) }
    : {};
  return issueToUser({ client, grant, scopes: grant.scopes, jkt, extra: id, kind: 'token-issued' }, exchange);
}

const codeProblem = 'the code is unknown, expired, used before, or was given to another client';

/** RFC 7636 section 4.6: BASE64URL-ENCODE(SHA256(ASCII(code_verifier))) == code_challenge */
function isVerifier(verifier: string, { codeChallenge }: Code): boolean {
  return /^[A-Za-z0-9._~-]{43,128}$/.test(verifier) && matchesHash(verifier, codeChallenge);
}

/** Somebody else holds what this client holds, and nobody can tell which of them is the thief: both lose it. */
async function reused(id: string, client: Client, { request, context, parts }: Exchange): Promise<never> {
  const grant = await parts.grants.get(id);
  const user = grant === undefined ? {} : { user: grant.user };
  await parts.grants.revoke(id, 'reuse of a code or refresh token');
  await context.record({
    ...eventAt(context, request),
    kind: 'token-reused',
    client: client.id,
    ...user,
    grant: id,
    outcome: 'refused',
  });
  throw new OAuthError('invalid_grant', 'this was used before; what came of it is revoked');
}

async function refresh(exchange: Exchange): Promise<AuthAnswer> {
  const { request, context, parts } = exchange;
  const value = neededParameter(request.form, 'refresh_token');
  const asked = parameter(request.form, 'scope');
  const found = await parts.tokens.refresh(value);
  const client = withGrantType(await refreshingClient(found?.token.client, exchange), 'refresh_token');
  if (found === undefined || found.token.client !== client.id) throw new OAuthError('invalid_grant', refreshProblem);
  const { token } = found;
  const jkt = await keyShownBy(client, exchange);
  // Before its reuse is looked at: who holds a token without its key cannot end the grant by it either.
  if (token.jkt !== undefined && token.jkt !== jkt)
    throw new OAuthError('invalid_grant', 'the refresh token is bound to a key, of which a DPoP proof is needed');
  if (token.isUsed) return reused(token.grant, client, exchange);
  countRequest(client, token.grant, exchange);
  const grant = await parts.grants.get(token.grant);
  if (grant === undefined || !(await isWanted(grant, context))) throw new OAuthError('invalid_grant', refreshProblem);
  const scopes = asked === undefined ? grant.scopes : subsetOf(grant.scopes, asked);
  if (!(await parts.tokens.use(value, found))) return reused(token.grant, client, exchange);
  await parts.grants.touch(grant.id);
  return issueToUser({ client, grant, scopes, jkt, extra: {}, kind: 'token-refreshed' }, exchange);
}

const refreshProblem = 'the refresh token is unknown, expired, revoked, or was given to another client';

/** "For public apps, authentication is not possible (and thus not required)": the token names its app. */
async function refreshingClient(holder: string | undefined, { request, parts }: Exchange): Promise<Client> {
  const client = await parts.authentication.clientOf(request);
  if (client !== undefined) return client;
  const app = holder === undefined ? undefined : await parts.clients.get(holder);
  if (app?.state === 'active' && app.authentication === 'none') return app;
  throw new OAuthError(
    holder === undefined ? 'invalid_grant' : 'invalid_client',
    'the refresh token is unknown, or its client has to prove who it is',
  );
}

async function isWanted(grant: Grant, { users, isOnline }: AuthContext): Promise<boolean> {
  const user = await users.get(grant.user);
  if (user?.isEnabled !== true) return false;
  return grant.scopes.includes('offline_access') || isOnline(grant.session);
}

/** "No new permissions can be obtained at refresh time": by meaning, not by spelling. */
function subsetOf(granted: readonly string[], asked: string): string[] {
  const tokens = scopeTokens(asked);
  if (typeof tokens === 'string') throw new OAuthError('invalid_scope', tokens);
  if (tokens.length === 0 || !tokens.every((token) => coversToken(granted, token)))
    throw new OAuthError('invalid_scope', 'scope must lie within what was granted');
  return tokens;
}

interface Issue {
  client: Client;
  grant: Grant;
  scopes: readonly string[];
  jkt: string | undefined;
  extra: Record<string, unknown>;
  kind: 'token-issued' | 'token-refreshed';
}

async function issueToUser(issue: Issue, exchange: Exchange): Promise<AuthAnswer> {
  const { grant, scopes, jkt, extra, kind } = issue;
  const { request, context, parts } = exchange;
  const { id, client, user, patient } = grant;
  // A confidential client's refresh tokens are bound to the client, which proves itself at each use.
  const renewalKey = issue.client.authentication === 'none' ? boundTo(jkt) : {};
  const { expires, seconds } = expiry(Math.min(context.clock.now() + lifetimes.accessToken, grant.expires), context);
  const isRenewable = ['offline_access', 'online_access'].some((scope) => grant.scopes.includes(scope));
  const [access, renewal] = await Promise.all([
    parts.tokens.issueAccess({ grant: id, client, user, scopes, ...boundTo(jkt), expires }),
    isRenewable ? parts.tokens.issueRefresh({ grant: id, client, ...renewalKey, expires: grant.expires }) : undefined,
  ]);
  const about = { client, user, grant: id, scopes, ...(patient === undefined ? {} : { patient }) };
  await context.record({ ...eventAt(context, request), kind, ...about, outcome: 'success' });
  return {
    status: 200,
    headers: tokenHeaders,
    body: {
      access_token: access,
      token_type: tokenType(jkt),
      expires_in: seconds,
      scope: scopes.join(' '),
      ...(renewal === undefined ? {} : { refresh_token: renewal }),
      ...extra,
      ...launchMembers(grant),
    },
  };
}

async function issueToService(client: Client, exchange: Exchange): Promise<AuthAnswer> {
  const { request, context, parts } = exchange;
  const grant = standingGrant(client.id);
  countRequest(client, grant, exchange);
  const jkt = await keyShownBy(client, exchange);
  const scopes = scopeTokens(neededParameter(request.form, 'scope'));
  if (typeof scopes === 'string') throw new OAuthError('invalid_scope', scopes);
  for (const [index, text] of scopes.entries()) {
    const scope = parseScope(text, context.checkScopeQuery);
    const isForServices = typeof scope === 'object' && scope.kind === 'resource' && scope.resource.level === 'system';
    if (!isForServices || !coversToken(client.scopes, text))
      throw new OAuthError(
        'invalid_scope',
        `scope ${index + 1} is no system/ scope that this client is registered for`,
      );
  }
  if (scopes.length === 0) throw new OAuthError('invalid_scope', 'scope must name what is asked for');
  const { expires, seconds } = expiry(context.clock.now() + lifetimes.systemToken, context);
  const access = await parts.tokens.issueAccess({ grant, client: client.id, scopes, ...boundTo(jkt), expires });
  const about = { client: client.id, grant, scopes };
  await context.record({ ...eventAt(context, request), kind: 'token-issued', ...about, outcome: 'success' });
  const body = { access_token: access, token_type: tokenType(jkt), expires_in: seconds, scope: scopes.join(' ') };
  return { status: 200, headers: tokenHeaders, body };
}

const boundTo = (jkt: string | undefined): { jkt?: string } => (jkt === undefined ? {} : { jkt });

/** https://www.rfc-editor.org/rfc/rfc9449#section-5 */
const tokenType = (jkt: string | undefined): string => (jkt === undefined ? 'Bearer' : 'DPoP');

/** Whole seconds from now: `exp` at introspection then agrees with `expires_in`. */
function expiry(at: number, { clock }: AuthContext): { expires: number; seconds: number } {
  const seconds = Math.floor((at - clock.now()) / 1000);
  return { expires: clock.now() + seconds * 1000, seconds };
}

const eventAt = (
  { clock }: AuthContext,
  { address, id }: AuthRequest,
): Pick<AuthEvent, 'at' | 'address' | 'request'> => ({
  at: clock.now(),
  address,
  request: id,
});

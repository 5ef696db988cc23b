// Dynamic registration, where the operator allows it: with a token that was handed out for it, or open to all and then
// waiting for approval. Never for backend services, and never taken for verified.
// https://www.rfc-editor.org/rfc/rfc7591
import { FhirError } from '../base/outcome.ts';
import { tokenOf } from './authenticate.ts';
import type { Client, ClientAuthenticationMethod, Clients, GrantType, PublicJwk, Registration } from './clients.ts';
import type { AuthContext } from './context.ts';
import type { AuthAnswer, AuthRequest, AuthRoute } from './exchange.ts';
import { jsonEndpoint, OAuthError, tokenHeaders } from './oauth-error.ts';
import { scopeTokens } from './scopes.ts';

/** `token`: with an initial access token, active at once. `approval`: by anybody, pending until somebody approves. */
export type RegistrationPolicy = 'off' | 'token' | 'approval';

interface Parts {
  clients: Clients;
  policy: Exclude<RegistrationPolicy, 'off'>;
}

export function registerRoute(context: AuthContext, parts: Parts): AuthRoute {
  const handle = jsonEndpoint((request) => register(request, parts), context.onFault);
  return { method: 'POST', path: '/auth/register', isCrossOrigin: true, rate: 'register', handle };
}

async function register(request: AuthRequest, { clients, policy }: Parts): Promise<AuthAnswer> {
  const registration = registrationOf(request.json, policy === 'token' ? 'active' : 'pending');
  if (policy === 'token') await spendToken(request, clients);
  try {
    const { client, secret } = await clients.add(registration);
    return { status: 201, headers: tokenHeaders, body: informationOf(client, secret) };
  } catch (error) {
    if (!(error instanceof FhirError) || error.kind !== 'invalid') throw error;
    const isAboutAddress = error.message.startsWith('Redirect URIs');
    throw new OAuthError(isAboutAddress ? 'invalid_redirect_uri' : 'invalid_client_metadata', error.message);
  }
}

async function spendToken(request: AuthRequest, clients: Clients): Promise<void> {
  const token = tokenOf(request.header('authorization') ?? '');
  if (token === undefined || !(await clients.spendRegistrationToken(token)))
    throw new OAuthError('invalid_token', 'registration needs a token that this server handed out for it', {
      'WWW-Authenticate': 'Bearer realm="careloom", error="invalid_token"',
    });
}

const methods: readonly ClientAuthenticationMethod[] = ['none', 'client_secret_basic', 'private_key_jwt'];
const grantTypes: readonly GrantType[] = ['authorization_code', 'refresh_token'];

/** What is of no use to us is passed over, as RFC 7591 says; what we cannot honour is refused. */
function registrationOf(json: unknown, state: 'active' | 'pending'): Registration {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new OAuthError('invalid_client_metadata', 'the body must be a JSON object');
  const body = json as Record<string, unknown>;
  const method = textIn(body, 'token_endpoint_auth_method') ?? 'client_secret_basic';
  const authentication = methods.find((each) => each === method);
  if (authentication === undefined) throw refused(`token_endpoint_auth_method must be one of ${methods.join(', ')}`);
  const asked = textsIn(body, 'grant_types') ?? ['authorization_code'];
  if (!asked.every((each) => grantTypes.some((known) => known === each)))
    throw refused(`grant_types must be of ${grantTypes.join(', ')}`);
  if ((textsIn(body, 'response_types') ?? ['code']).some((each) => each !== 'code'))
    throw refused('response_types must be code');
  const scopes = scopeTokens(textIn(body, 'scope') ?? '');
  if (typeof scopes === 'string') throw refused(scopes);
  const jwksUri = textIn(body, 'jwks_uri');
  const launchUrl = textIn(body, 'launch_url') ?? textIn(body, 'initiate_login_uri');
  return {
    name: textIn(body, 'client_name') ?? '',
    authentication,
    ...(body.jwks === undefined ? {} : { jwks: jwksIn(body.jwks) }),
    ...(jwksUri === undefined ? {} : { jwksUri }),
    redirectUris: textsIn(body, 'redirect_uris') ?? [],
    grantTypes: grantTypes.filter((each) => asked.includes(each)),
    scopes,
    ...(launchUrl === undefined ? {} : { launchUrl }),
    requiresPushedRequests: isTrueIn(body, 'require_pushed_authorization_requests'),
    bindsTokens: isTrueIn(body, 'dpop_bound_access_tokens'),
    isUnverified: true,
    state,
  };
}

const refused = (text: string): OAuthError => new OAuthError('invalid_client_metadata', text);

function textIn(body: Record<string, unknown>, name: string): string | undefined {
  const value = body[name];
  if (value === undefined || typeof value === 'string') return value;
  throw refused(`${name} must be a text`);
}

function isTrueIn(body: Record<string, unknown>, name: string): boolean {
  const value = body[name] ?? false;
  if (typeof value === 'boolean') return value;
  throw refused(`${name} must be true or false`);
}

function textsIn(body: Record<string, unknown>, name: string): string[] | undefined {
  const value = body[name];
  if (value === undefined) return undefined;
  if (Array.isArray(value) && value.every((each) => typeof each === 'string')) return value;
  throw refused(`${name} must be a list of texts`);
}

function jwksIn(value: unknown): PublicJwk[] {
  const keys = typeof value === 'object' && value !== null && 'keys' in value ? value.keys : undefined;
  if (Array.isArray(keys) && keys.every((key) => typeof key === 'object' && key !== null)) return keys as PublicJwk[];
  throw refused('jwks must be a JWK Set');
}

/** https://www.rfc-editor.org/rfc/rfc7591#section-3.2.1 */
function informationOf(client: Client, secret: string | undefined): Record<string, unknown> {
  return {
    client_id: client.id,
    client_id_issued_at: Math.floor(client.created / 1000),
    ...(secret === undefined ? {} : { client_secret: secret, client_secret_expires_at: 0 }),
    client_name: client.name,
    redirect_uris: client.redirectUris,
    grant_types: client.grantTypes,
    response_types: ['code'],
    token_endpoint_auth_method: client.authentication,
    scope: client.scopes.join(' '),
    ...(client.jwks === undefined ? {} : { jwks: { keys: client.jwks } }),
    ...(client.jwksUri === undefined ? {} : { jwks_uri: client.jwksUri }),
    ...(client.launchUrl === undefined ? {} : { launch_url: client.launchUrl }),
    ...(client.requiresPushedRequests === true ? { require_pushed_authorization_requests: true } : {}),
    ...(client.bindsTokens === true ? { dpop_bound_access_tokens: true } : {}),
  };
}

// What an app asks for at the authorization endpoint, or pushes beforehand: read, and checked against its registration.
// https://hl7.org/fhir/smart-app-launch/app-launch.html#obtain-authorization-code, https://www.rfc-editor.org/rfc/rfc7636
import { limits } from '../base/limits.ts';
import type { Client } from './clients.ts';
import type { AuthContext } from './context.ts';
import { neededParameter, OAuthError, parameter } from './oauth-error.ts';
import { coversToken, parseScope, scopeTokens } from './scopes.ts';

export interface AuthorizationRequest {
  redirectUri: string;
  state?: string;
  nonce?: string;
  codeChallenge: string;
  /** Thumbprint of the key that the code is to be bound to. RFC 9449 section 10 */
  jkt?: string;
  /** Scope tokens that the client is registered for, in the order asked. */
  scopes: string[];
  /** The person has to have signed in at this time or later, ms since the epoch. */
  loginSince?: number;
  /** What the app believes the person's login name to be. */
  loginHint?: string;
  /** The person is asked even where an app of ours would not ask. */
  asksConsent?: true;
  /** A launch id, not yet looked at. */
  launch?: string;
}

/** Throws OAuthError for an address that the client has not registered: nobody is sent there. */
export function redirectUriOf(parameters: URLSearchParams, client: Client): string {
  const redirectUri = neededParameter(parameters, 'redirect_uri');
  if (!client.redirectUris.includes(redirectUri))
    throw new OAuthError('invalid_request', 'redirect_uri is none that this app registered');
  return redirectUri;
}

/** Throws OAuthError for the first thing that is not in order. */
export function authorizationRequestOf(
  parameters: URLSearchParams,
  client: Client,
  context: AuthContext,
): AuthorizationRequest {
  const redirectUri = redirectUriOf(parameters, client);
  checkFlow(parameters, client);
  const prompts = promptsOf(parameters);
  checkAudience(neededParameter(parameters, 'aud'), context.baseUrl);
  const codeChallenge = challengeOf(parameters);
  const scopes = askedScopes(neededParameter(parameters, 'scope'), client, context);
  const launch = parameter(parameters, 'launch');
  if (launch !== undefined && !scopes.includes('launch'))
    throw new OAuthError('invalid_scope', 'launch needs the scope launch, which this app must be registered for');
  const optional = {
    state: boundedParameter(parameters, 'state'),
    nonce: boundedParameter(parameters, 'nonce'),
    launch,
    jkt: thumbprintIn(parameters),
    loginSince: loginSince(parameters, prompts, context),
    loginHint: boundedParameter(parameters, 'login_hint'),
    asksConsent: prompts.includes('consent') || undefined,
  };
  return { redirectUri, codeChallenge, scopes, ...withoutUndefined(optional) };
}

function checkFlow(parameters: URLSearchParams, client: Client): void {
  if (neededParameter(parameters, 'response_type') !== 'code')
    throw new OAuthError('unsupported_response_type', 'response_type must be code');
  if (!client.grantTypes.includes('authorization_code'))
    throw new OAuthError('unauthorized_client', 'this client is not registered for the grant type authorization_code');
  const mode = parameter(parameters, 'response_mode');
  if (mode !== undefined && mode !== 'query') throw new OAuthError('invalid_request', 'response_mode must be query');
  if (parameters.has('request')) throw new OAuthError('request_not_supported', 'request is not supported');
  if (parameters.has('request_uri')) throw new OAuthError('request_uri_not_supported', 'request_uri is not supported');
}

export const promptsSupported = ['none', 'login', 'consent', 'select_account'] as const;

/** https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest */
function promptsOf(parameters: URLSearchParams): string[] {
  const prompts = (parameter(parameters, 'prompt') ?? '').split(' ').filter(Boolean);
  if (!prompts.every((prompt) => promptsSupported.some((known) => known === prompt)))
    throw new OAuthError('invalid_request', `prompt must be of ${promptsSupported.join(', ')}`);
  if (!prompts.includes('none')) return prompts;
  if (prompts.length > 1) throw new OAuthError('invalid_request', 'prompt=none stands alone');
  throw new OAuthError('interaction_required', 'access is granted by a person, who has to be asked');
}

/** "If the elapsed time is greater than this value, the OP MUST attempt to actively re-authenticate the End-User." */
function loginSince(parameters: URLSearchParams, prompts: string[], { clock }: AuthContext): number | undefined {
  const maxAge = parameter(parameters, 'max_age');
  if (maxAge !== undefined && !/^\d{1,9}$/.test(maxAge))
    throw new OAuthError('invalid_request', 'max_age must be a number of seconds');
  // Who is to choose an account has to sign in to it.
  if (prompts.includes('login') || prompts.includes('select_account')) return clock.now();
  return maxAge === undefined ? undefined : clock.now() - Number(maxAge) * 1000;
}

/** "This parameter prevents leaking a genuine bearer token to a counterfeit resource server." */
function checkAudience(aud: string, baseUrl: string): void {
  if (aud !== baseUrl && aud !== `${baseUrl}/`)
    throw new OAuthError('invalid_request', `aud must be the FHIR base of this server, ${baseUrl}`);
}

/** "SMART servers SHALL support the S256 code_challenge_method and SHALL NOT support the plain method." */
function challengeOf(parameters: URLSearchParams): string {
  const challenge = neededParameter(parameters, 'code_challenge');
  if (neededParameter(parameters, 'code_challenge_method') !== 'S256')
    throw new OAuthError('invalid_request', 'code_challenge_method must be S256');
  if (!/^[A-Za-z0-9_-]{43}$/.test(challenge))
    throw new OAuthError('invalid_request', 'code_challenge must be a SHA-256 in base64url, 43 characters');
  return challenge;
}

function thumbprintIn(parameters: URLSearchParams): string | undefined {
  const jkt = parameter(parameters, 'dpop_jkt');
  if (jkt === undefined || /^[A-Za-z0-9_-]{43}$/.test(jkt)) return jkt;
  throw new OAuthError('invalid_request', 'dpop_jkt must be a SHA-256 in base64url, 43 characters');
}

/**
 * What was asked for, as far as the client is registered for it. A scope that we do not know is passed over, as one that
 * the client may not have is; one on resources that cannot be understood or enforced is refused.
 */
function askedScopes(text: string, client: Client, { checkScopeQuery }: AuthContext): string[] {
  const tokens = scopeTokens(text);
  if (typeof tokens === 'string') throw new OAuthError('invalid_scope', tokens);
  const asked = tokens.filter((token, index) => {
    const scope = parseScope(token, checkScopeQuery);
    if (typeof scope === 'string') throw new OAuthError('invalid_scope', `scope ${index + 1} ${scope}`);
    if (scope?.kind === 'resource' && scope.resource.level === 'system')
      throw new OAuthError('invalid_scope', 'system/ scopes are for the grant type client_credentials');
    return coversToken(client.scopes, token);
  });
  if (asked.length === 0) throw new OAuthError('invalid_scope', 'this app is registered for none of these scopes');
  return asked;
}

function boundedParameter(parameters: URLSearchParams, name: string): string | undefined {
  const value = parameter(parameters, name);
  if (value !== undefined && value.length > limits.stateCharsMax)
    throw new OAuthError('invalid_request', `${name} has more than ${limits.stateCharsMax} characters`);
  return value;
}

type Given<Values> = { [Name in keyof Values]?: Exclude<Values[Name], undefined> };

function withoutUndefined<Values extends object>(values: Values): Given<Values> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Given<Values>;
}

// The authorization endpoint: checks what an app asks for, then hands over to the pages.
// https://hl7.org/fhir/smart-app-launch/app-launch.html#obtain-authorization-code, https://www.rfc-editor.org/rfc/rfc7636,
// https://www.rfc-editor.org/rfc/rfc9207
import { html } from '../base/html.ts';
import { limits } from '../base/limits.ts';
import type { Client, Clients } from './clients.ts';
import type { AuthContext } from './context.ts';
import type { AuthAnswer, AuthRequest, AuthRoute } from './exchange.ts';
import { bindingCookie } from './interaction.ts';
import type { InteractionBook } from './interactions.ts';
import type { Launches } from './launch.ts';
import { lifetimes } from './lifetimes.ts';
import { neededParameter, OAuthError, parameter, toldOf } from './oauth-error.ts';
import { page } from './pages/layout.ts';
import { redirectTo } from './redirect.ts';
import { coversToken, parseScope, scopeTokens } from './scopes.ts';

interface Parts {
  clients: Clients;
  interactions: InteractionBook;
  launches: Launches;
}

/** "Authorization Servers SHALL support the use of the HTTP GET and POST methods at the Authorization Endpoint." */
export function authorizeRoutes(context: AuthContext, parts: Parts): AuthRoute[] {
  const handle = (request: AuthRequest) => authorize(request, context, parts);
  return (['GET', 'POST'] as const).map((method) => ({ method, path: '/auth/authorize', rate: 'page', handle }));
}

async function authorize(request: AuthRequest, context: AuthContext, parts: Parts): Promise<AuthAnswer> {
  const parameters = request.method === 'GET' ? request.query : request.form;
  let target: { redirectUri: string; client: Client };
  try {
    target = await targetOf(parameters, parts.clients);
  } catch (error) {
    // Nobody has vouched for the address: the person is told, and sent nowhere.
    return refusalPage(toldOf(error, context.onFault), context);
  }
  try {
    return await begin(parameters, { ...target, context, parts });
  } catch (error) {
    const { code, message } = toldOf(error, context.onFault);
    const [state, ...more] = parameters.getAll('state');
    const back = more.length === 0 && (state ?? '').length <= limits.stateCharsMax && state !== '' ? state : undefined;
    const answer = { error: code, error_description: message, state: back, iss: context.issuer };
    return { status: 303, headers: { Location: redirectTo(target.redirectUri, answer) } };
  }
}

/** The client and the address to answer to, both known to us. */
async function targetOf(
  parameters: URLSearchParams,
  clients: Clients,
): Promise<{ redirectUri: string; client: Client }> {
  const client = await clients.get(neededParameter(parameters, 'client_id'));
  if (client?.state !== 'active') throw new OAuthError('invalid_request', 'this app is not registered here');
  const redirectUri = neededParameter(parameters, 'redirect_uri');
  if (!client.redirectUris.includes(redirectUri))
    throw new OAuthError('invalid_request', 'redirect_uri is none that this app registered');
  return { redirectUri, client };
}

interface Asked {
  redirectUri: string;
  client: Client;
  context: AuthContext;
  parts: Parts;
}

async function begin(parameters: URLSearchParams, { redirectUri, client, context, parts }: Asked): Promise<AuthAnswer> {
  checkFlow(parameters, client);
  checkAudience(neededParameter(parameters, 'aud'), context.baseUrl);
  const codeChallenge = challengeOf(parameters);
  const asked = askedScopes(neededParameter(parameters, 'scope'), client, context);
  const [state, nonce] = ['state', 'nonce'].map((name) => boundedParameter(parameters, name));
  const launchId = parameter(parameters, 'launch');
  if (launchId !== undefined && !asked.includes('launch'))
    throw new OAuthError('invalid_scope', 'launch needs the scope launch, which this app must be registered for');
  // Last, because it spends the id.
  const launch = launchId === undefined ? undefined : await parts.launches.take(launchId, client.id);
  if (launchId !== undefined && launch === undefined)
    throw new OAuthError('invalid_request', 'launch is unknown, too old, used before, or of another app');
  // Without a launch id there is no context that the scope could bring.
  const scopes = launch === undefined ? asked.filter((scope) => scope !== 'launch') : asked;
  if (scopes.length === 0) throw new OAuthError('invalid_scope', 'the scope launch needs the parameter launch');
  const { interaction, cookie } = await parts.interactions.begin({
    client: client.id,
    redirectUri,
    codeChallenge,
    scopes,
    ...(state === undefined ? {} : { state }),
    ...(nonce === undefined ? {} : { nonce }),
    ...(launch === undefined ? {} : { launch }),
    ...(launch?.patient === undefined ? {} : { patient: launch.patient }),
  });
  const path = `/auth/interaction/${interaction.id}`;
  return {
    status: 303,
    headers: { Location: `${context.issuer}${path}` },
    cookies: [{ name: bindingCookie, value: cookie, path, maxAgeS: lifetimes.interaction / 1000 }],
  };
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
  if ((parameter(parameters, 'prompt') ?? '').split(' ').includes('none'))
    throw new OAuthError('interaction_required', 'access is granted by a person, who has to be asked');
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

/** Nothing of the request is on it. */
function refusalPage({ message }: OAuthError, { issuer }: AuthContext): AuthAnswer {
  const body = html`<p role="alert">The app sent you here with a request that is not in order: ${message}.</p>
<p>Nothing was shared with it. Close this page, or tell the maker of the app.</p>`;
  const root = new URL(issuer).pathname.replace(/\/$/, '');
  return page({ root }, { title: 'This app cannot be signed in', status: 400, body });
}

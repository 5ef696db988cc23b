// The authorization endpoint: checks what an app asks for, then hands over to the pages.
// https://hl7.org/fhir/smart-app-launch/app-launch.html#obtain-authorization-code, https://www.rfc-editor.org/rfc/rfc9207
import { html } from '../base/html.ts';
import { limits } from '../base/limits.ts';
import { authorizationRequestOf, redirectUriOf } from './authorization-request.ts';
import type { Client, Clients } from './clients.ts';
import type { AuthContext } from './context.ts';
import type { AuthAnswer, AuthRequest, AuthRoute } from './exchange.ts';
import { bindingCookie } from './interaction.ts';
import type { InteractionBook } from './interactions.ts';
import type { Launches } from './launch.ts';
import { lifetimes } from './lifetimes.ts';
import { neededParameter, OAuthError, parameter, toldOf } from './oauth-error.ts';
import { page } from './pages/layout.ts';
import { isPushedUri, type PushedRequests } from './pushed-requests.ts';
import { redirectTo } from './redirect.ts';

interface Parts {
  clients: Clients;
  interactions: InteractionBook;
  launches: Launches;
  pushedRequests: PushedRequests;
}

/** "Authorization Servers SHALL support the use of the HTTP GET and POST methods at the Authorization Endpoint." */
export function authorizeRoutes(context: AuthContext, parts: Parts): AuthRoute[] {
  const handle = (request: AuthRequest) => authorize(request, context, parts);
  return (['GET', 'POST'] as const).map((method) => ({ method, path: '/auth/authorize', rate: 'page', handle }));
}

async function authorize(request: AuthRequest, context: AuthContext, parts: Parts): Promise<AuthAnswer> {
  let asked: Asked;
  try {
    asked = await askedBy(request.method === 'GET' ? request.query : request.form, parts);
  } catch (error) {
    // Nobody has vouched for the address: the person is told, and sent nowhere.
    return refusalPage(toldOf(error, context.onFault), context);
  }
  try {
    return await begin(asked, context, parts);
  } catch (error) {
    const { code, message } = toldOf(error, context.onFault);
    const [state, ...more] = asked.parameters.getAll('state');
    const back = more.length === 0 && (state ?? '').length <= limits.stateCharsMax && state !== '' ? state : undefined;
    const answer = { error: code, error_description: message, state: back, iss: context.issuer };
    return { status: 303, headers: { Location: redirectTo(asked.redirectUri, answer) } };
  }
}

interface Asked {
  parameters: URLSearchParams;
  isPushed: boolean;
  /** The client and the address to answer to, both known to us. */
  client: Client;
  redirectUri: string;
}

async function askedBy(given: URLSearchParams, { clients, pushedRequests }: Parts): Promise<Asked> {
  const client = await clients.get(neededParameter(given, 'client_id'));
  if (client?.state !== 'active') throw new OAuthError('invalid_request', 'this app is not registered here');
  const uri = parameter(given, 'request_uri');
  if (uri === undefined || !isPushedUri(uri))
    return { parameters: given, isPushed: false, client, redirectUri: redirectUriOf(given, client) };
  // What else stands in the address was not pushed, and may be anybody's.
  const parameters = await pushedRequests.take(uri, client.id);
  if (parameters === undefined)
    throw new OAuthError('invalid_request_uri', 'request_uri is unknown, too old, used before, or of another app');
  return { parameters, isPushed: true, client, redirectUri: redirectUriOf(parameters, client) };
}

async function begin({ parameters, isPushed, client }: Asked, context: AuthContext, parts: Parts): Promise<AuthAnswer> {
  if (client.requiresPushedRequests === true && !isPushed)
    throw new OAuthError(
      'invalid_request',
      'this app is registered to push its requests, and to name their request_uri',
    );
  const { launch: launchId, scopes: asked, ...request } = authorizationRequestOf(parameters, client, context);
  // Last, because it spends the id.
  const launch = launchId === undefined ? undefined : await parts.launches.take(launchId, client.id);
  if (launchId !== undefined && launch === undefined)
    throw new OAuthError('invalid_request', 'launch is unknown, too old, used before, or of another app');
  // Without a launch id there is no context that the scope could bring.
  const scopes = launch === undefined ? asked.filter((scope) => scope !== 'launch') : asked;
  if (scopes.length === 0) throw new OAuthError('invalid_scope', 'the scope launch needs the parameter launch');
  const { interaction, cookie } = await parts.interactions.begin({
    client: client.id,
    ...request,
    scopes,
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

/** Nothing of the request is on it. */
function refusalPage({ message }: OAuthError, { issuer }: AuthContext): AuthAnswer {
  const body = html`<p role="alert">The app sent you here with a request that is not in order: ${message}.</p>
<p>Nothing was shared with it. Close this page, or tell the maker of the app.</p>`;
  const root = new URL(issuer).pathname.replace(/\/$/, '');
  return page({ root }, { title: 'This app cannot be signed in', status: 400, body });
}

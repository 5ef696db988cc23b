// Authorization requests that apps push beforehand, over a connection of their own: the browser then carries a reference that
// says nothing, and that nobody can alter. https://www.rfc-editor.org/rfc/rfc9126
import { authorizationRequestOf } from './authorization-request.ts';
import { authenticationParameters, type ClientAuthentication } from './client-authentication.ts';
import type { AuthContext } from './context.ts';
import { type DpopProofs, presentedBy } from './dpop.ts';
import type { AuthAnswer, AuthRequest, AuthRoute } from './exchange.ts';
import { createKept } from './kept.ts';
import { lifetimes } from './lifetimes.ts';
import { jsonEndpoint, OAuthError, tokenHeaders } from './oauth-error.ts';
import { hashOf, newSecretValue } from './secret-value.ts';

export interface PushedRequests {
  /** The `request_uri` that stands for these parameters, for a minute, one use and this client. */
  push(client: string, parameters: URLSearchParams): Promise<string>;
  /** Spends a `request_uri`. Undefined when it is unknown, old, spent, or another client's. */
  take(uri: string, client: string): Promise<URLSearchParams | undefined>;
}

const prefix = 'urn:ietf:params:oauth:request_uri:';

export const isPushedUri = (uri: string): boolean => uri.startsWith(prefix);

interface Pushed {
  client: string;
  /** As a query. */
  parameters: string;
}

export function createPushedRequests({ records, clock }: Pick<AuthContext, 'records' | 'clock'>): PushedRequests {
  const kept = createKept<Pushed>(records, 'pushed-request');
  return {
    async push(client, parameters) {
      const uri = `${prefix}${newSecretValue()}`;
      const pushed = { client, parameters: parameters.toString() };
      await kept.add(hashOf(uri), pushed, clock.now() + lifetimes.pushedRequest);
      return uri;
    },
    async take(uri, client) {
      const id = hashOf(uri);
      const found = await kept.get(id);
      if (found === undefined || found.value.client !== client || !(await kept.remove(id, found))) return undefined;
      return new URLSearchParams(found.value.parameters);
    },
  };
}

interface Parts {
  authentication: ClientAuthentication;
  pushedRequests: PushedRequests;
  proofs: DpopProofs;
}

export function pushedRequestRoute(context: AuthContext, parts: Parts): AuthRoute {
  const handle = jsonEndpoint((request) => push(request, context, parts), context.onFault);
  return { method: 'POST', path: '/auth/par', isCrossOrigin: true, rate: 'token', handle };
}

/** "Validate the pushed request as it would an authorization request sent to the authorization endpoint." */
async function push(request: AuthRequest, context: AuthContext, parts: Parts): Promise<AuthAnswer> {
  const client = await parts.authentication.clientOf(request);
  if (client === undefined)
    throw new OAuthError('invalid_client', 'a public app sends client_id, a confidential one proves who it is');
  if (request.form.has('request_uri'))
    throw new OAuthError('invalid_request', 'what is pushed is the request itself, not a request_uri');
  const parameters = new URLSearchParams(request.form);
  for (const name of authenticationParameters) parameters.delete(name);
  const jkt = await parts.proofs.keyOf(presentedBy(request, context));
  if (jkt !== undefined && (parameters.get('dpop_jkt') ?? jkt) !== jkt)
    throw new OAuthError('invalid_request', 'dpop_jkt is not the key of the proof that came with it');
  if (jkt !== undefined) parameters.set('dpop_jkt', jkt);
  authorizationRequestOf(parameters, client, context);
  const uri = await parts.pushedRequests.push(client.id, parameters);
  const body = { request_uri: uri, expires_in: lifetimes.pushedRequest / 1000 };
  return { status: 201, headers: tokenHeaders, body };
}

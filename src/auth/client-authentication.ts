// Who asks at the token endpoint: a public app by its id, a confidential one by its secret or by a signed assertion, each by
// the one way that it is registered for.
// https://hl7.org/fhir/smart-app-launch/client-confidential-symmetric.html,
// https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html, https://www.rfc-editor.org/rfc/rfc7523#section-3
import type { Client, ClientAuthenticationMethod, Clients } from './clients.ts';
import type { AuthContext } from './context.ts';
import type { AuthRequest } from './exchange.ts';
import { isInTime, isSignedBy, type Jwt, keyFor, readJwt, type SigningAlgorithm } from './jwt.ts';
import { createKept } from './kept.ts';
import type { KeySets } from './key-sets.ts';
import { lifetimes } from './lifetimes.ts';
import { OAuthError, parameter, tooOften } from './oauth-error.ts';
import { hashOf, matchesHash } from './secret-value.ts';
import { networkOf } from './users/lockout.ts';

export const assertionAlgorithms: readonly SigningAlgorithm[] = ['RS384', 'ES384'];

export const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** What of a form is about the client, not about what it asks for. */
export const authenticationParameters = ['client_id', 'client_assertion', 'client_assertion_type'] as const;

export interface ClientAuthentication {
  /** The client; undefined when the request names none. Throws OAuthError when it names one and does not prove it. */
  clientOf(request: AuthRequest): Promise<Client | undefined>;
}

interface Parts {
  clients: Clients;
  keySets: KeySets;
}

export function createClientAuthentication(context: AuthContext, parts: Parts): ClientAuthentication {
  const jtis = createKept<true>(context.records, 'jti');
  return {
    async clientOf(request) {
      const claimed = claimOf(request);
      if (claimed === undefined) return undefined;
      checkGuesses(claimed, request);
      const client = await parts.clients.get(claimed.id);
      const problem = await problemOf(claimed, client, request.path);
      if (problem === undefined && client !== undefined) return client;
      context.rates?.proofs.take(guesserOf(claimed, request));
      const { address, id } = request;
      const about = { ...(client === undefined ? {} : { client: client.id }), address, request: id };
      const reason = problem ?? 'unknown';
      await context.record({ kind: 'client-refused', at: context.clock.now(), ...about, outcome: 'refused', reason });
      const headers = claimed.method === 'client_secret_basic' ? { 'WWW-Authenticate': 'Basic realm="careloom"' } : {};
      throw new OAuthError('invalid_client', 'the client is unknown, disabled, or did not prove who it is', headers);
    },
  };

  /** Whoever was wrong too often is not even looked at, nor put on the record, until some time is over. */
  function checkGuesses(claimed: Claimed, request: AuthRequest): void {
    const seconds = context.rates?.proofs.wait(guesserOf(claimed, request)) ?? 0;
    if (seconds > 0)
      throw tooOften(`this client failed too often to prove who it is; it may try again in ${seconds} s`, seconds);
  }

  async function problemOf(claimed: Claimed, client: Client | undefined, path: string): Promise<string | undefined> {
    if (client === undefined) return 'unknown client';
    if (client.state !== 'active') return `client is ${client.state}`;
    if (client.authentication !== claimed.method) return `client is registered for ${client.authentication}`;
    if (claimed.method === 'none') return undefined;
    if (claimed.method === 'client_secret_basic')
      return client.secretHash !== undefined && matchesHash(claimed.secret, client.secretHash)
        ? undefined
        : 'wrong secret';
    return assertionProblem(claimed, client, path);
  }

  /** The checks that cost nothing come first; the replay check last, so that only a good assertion is remembered. */
  async function assertionProblem(
    { text, jwt }: Claimed & { method: 'private_key_jwt' },
    client: Client,
    path: string,
  ): Promise<string | undefined> {
    const problem = claimsProblem(jwt, client, path, context);
    if (problem !== undefined) return problem;
    const { keySets } = parts;
    const { kid, jku } = jwt.header;
    if (jku !== undefined && jku !== client.jwksUri) return 'jku is not the registered one';
    const keys = client.jwksUri === undefined ? (client.jwks ?? []) : await keySets.keysAt(client.jwksUri, kid);
    const key = keyFor(jwt.header, { keys, algorithms: assertionAlgorithms });
    if (key === undefined) return 'no single key with this kid and type';
    if (!isSignedBy(text, jwt, key)) return 'wrong signature';
    const expires = Number(jwt.claims.exp) * 1000 + lifetimes.assertionSkew + 1;
    const isNew = await jtis.add(hashOf(`${client.id} ${String(jwt.claims.jti)}`), true, expires);
    return isNew ? undefined : 'jti was used before';
  }
}

/** `path`: of the endpoint that is asked. */
function claimsProblem(
  { header, claims }: Jwt,
  client: Client,
  path: string,
  { clock, issuer }: AuthContext,
): string | undefined {
  const skewS = lifetimes.assertionSkew / 1000;
  if (header.typ !== 'JWT') return 'typ is not JWT';
  if (claims.iss !== client.id || claims.sub !== client.id) return 'iss and sub are not the client';
  // One text, not a list: an assertion that is good elsewhere could have been sent here by whoever received it there.
  const { aud } = claims;
  if (aud !== `${issuer}/auth/token` && aud !== issuer && aud !== `${issuer}${path}`)
    return 'aud is not this server alone';
  if (!isInTime(claims, { nowMs: clock.now(), skewS, lifeMaxS: lifetimes.assertion / 1000 })) return 'not in time';
  const { jti } = claims;
  return typeof jti === 'string' && jti !== '' && jti.length <= 512 ? undefined : 'no jti';
}

/** Of one network: wrong proofs from elsewhere, which anybody can send, do not shut out the client itself. */
const guesserOf = ({ id }: Claimed, { address }: AuthRequest): string => `${networkOf(address)} ${id.slice(0, 64)}`;

type Claimed =
  | { method: 'none'; id: string }
  | { method: 'client_secret_basic'; id: string; secret: string }
  | { method: 'private_key_jwt'; id: string; text: string; jwt: Jwt };

/** Which client a request says it comes from, and by what it would prove it. Throws OAuthError for two ways at once. */
function claimOf(request: AuthRequest): Claimed | undefined {
  const { form } = request;
  const id = parameter(form, 'client_id');
  const ways = [basicOf(request.header('authorization')), assertionOf(form)].filter((way) => way !== undefined);
  if (parameter(form, 'client_secret') !== undefined)
    throw new OAuthError('invalid_client', 'a client secret is sent in the Authorization header, by Basic');
  if (ways.length > 1) throw new OAuthError('invalid_request', 'a client proves who it is in one way, not in two');
  const [claimed] = ways;
  if (claimed !== undefined && id !== undefined && id !== claimed.id)
    throw new OAuthError('invalid_request', 'client_id is not the client that authenticates');
  return claimed ?? (id === undefined ? undefined : { method: 'none' satisfies ClientAuthenticationMethod, id });
}

/** https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1: both are form-encoded first, which changes none of ours. */
function basicOf(header: string | undefined): Claimed | undefined {
  const encoded = /^basic +([A-Za-z0-9+/]+={0,2})$/i.exec(header ?? '')?.[1];
  if (encoded === undefined) {
    if (header === undefined) return undefined;
    throw new OAuthError('invalid_client', 'the Authorization header must be Basic, with client id and secret');
  }
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 0)
    throw new OAuthError('invalid_client', 'the Authorization header must be Basic, with client id and secret');
  return {
    method: 'client_secret_basic',
    id: formDecoded(text.slice(0, colon)),
    secret: formDecoded(text.slice(colon + 1)),
  };
}

function formDecoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;
  }
}

function assertionOf(form: URLSearchParams): Claimed | undefined {
  const [type, text] = [parameter(form, 'client_assertion_type'), parameter(form, 'client_assertion')];
  if (type === undefined && text === undefined) return undefined;
  if (type !== assertionType || text === undefined)
    throw new OAuthError('invalid_client', `client_assertion goes with client_assertion_type ${assertionType}`);
  const jwt = readJwt(text);
  if (jwt === undefined || typeof jwt.claims.iss !== 'string')
    throw new OAuthError('invalid_client', 'client_assertion must be a JWT with iss and sub, the client id');
  return { method: 'private_key_jwt', id: jwt.claims.iss, text, jwt };
}

// Sign-in by another identity provider (Keycloak, Entra, Okta): the practice's own people prove there who they are, and are
// known here by issuer and subject. What an app may do is still asked and granted here.
// https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth, https://www.rfc-editor.org/rfc/rfc9700
import { createHash } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Outbound } from '../../base/net.ts';
import type { Records } from '../../store/store.ts';
import { isInTime, isSignedBy, type Jwt, keyFor, readJwt, type SigningAlgorithm } from '../jwt.ts';
import { createKept } from '../kept.ts';
import type { KeySets } from '../key-sets.ts';
import { hashOf, newSecretValue } from '../secret-value.ts';
import { isSame } from './keys.ts';

export interface IdentityProvider {
  /** Short, for addresses: `clinic`. */
  id: string;
  /** For people: `Clinic login`. */
  name: string;
  /** Compared as a text with the claim `iss`. */
  issuer: string;
  authorizationEndpoint: string;
  tokenEndpoint: string;
  jwksUri: string;
  clientId: string;
  clientSecret: string;
  /** Values of `acr`, or of `amr`, by which it says that a second factor was used. None: ours is asked for as well. */
  secondFactor?: { acr?: readonly string[]; amr?: readonly string[] };
}

export interface ExternalLogin {
  /** Where to send the browser. `binding` names it; `link`: the person who wants to sign in this way from now on. */
  begin(provider: IdentityProvider, wish: { binding: string; next: string; link?: string }): Promise<string>;
  /** What comes of the browser's return; a text for the record when nothing does. */
  complete(
    provider: IdentityProvider,
    returned: URLSearchParams,
    binding: string,
  ): Promise<ExternalProof | { refused: string }>;
}

export interface ExternalProof {
  identity: { issuer: string; subject: string };
  amr: readonly string[];
  next: string;
  link?: string;
}

interface Begun {
  provider: string;
  nonce: string;
  verifier: string;
  binding: string;
  next: string;
  link?: string;
}

const LIFE_MS = 10 * 60_000;
const SKEW_S = 60;
/** An id_token tells of a login of this moment. */
const ID_TOKEN_LIFE_S = 24 * 3600;
const ALGORITHMS: readonly SigningAlgorithm[] = ['RS256', 'PS256', 'ES256'];

export interface ExternalLoginParts {
  records: Records;
  clock: Clock;
  /** The server's root as browsers know it. */
  issuer: string;
  outbound: Pick<Outbound, 'send'>;
  keySets: KeySets;
  onFault(error: unknown): void;
}

export const callbackPath = (provider: string): string => `/auth/login/external/${provider}/callback`;

export function createExternalLogin(parts: ExternalLoginParts): ExternalLogin {
  const { records, clock, issuer } = parts;
  const kept = createKept<Begun>(records, 'external-login');
  return {
    async begin(provider, wish) {
      const [state, nonce, verifier] = [newSecretValue(), newSecretValue(), newSecretValue()];
      await kept.add(hashOf(state), { provider: provider.id, nonce, verifier, ...wish }, clock.now() + LIFE_MS);
      const url = new URL(provider.authorizationEndpoint);
      const parameters = {
        response_type: 'code',
        client_id: provider.clientId,
        redirect_uri: `${issuer}${callbackPath(provider.id)}`,
        scope: 'openid',
        state,
        nonce,
        code_challenge: createHash('sha256').update(verifier).digest('base64url'),
        code_challenge_method: 'S256',
      };
      for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
      return url.href;
    },
    async complete(provider, returned, binding) {
      const [state, code, iss] = ['state', 'code', 'iss'].map((name) => single(returned, name));
      const read = state === undefined ? undefined : await kept.get(hashOf(state));
      // Once, whatever comes of it.
      if (state === undefined || read === undefined || !(await kept.remove(hashOf(state), read)))
        return { refused: 'unknown state' };
      const begun = read.value;
      if (begun.provider !== provider.id || !isSame(begun.binding, binding)) return { refused: 'another browser' };
      // RFC 9207: the answer of one provider must not be taken for another's.
      if (iss !== undefined && iss !== provider.issuer) return { refused: 'another issuer' };
      if (code === undefined) return { refused: 'no code' };
      const token = await tokenFor(provider, { code, verifier: begun.verifier }, parts);
      const jwt = token === undefined ? undefined : readJwt(token);
      if (token === undefined || jwt === undefined) return { refused: 'no id_token' };
      const problem = await problemOf(jwt, token, provider, begun.nonce, parts);
      if (problem !== undefined) return { refused: problem };
      const { next, link } = begun;
      const identity = { issuer: provider.issuer, subject: String(jwt.claims.sub) };
      return { identity, amr: amrOf(jwt, provider), next, ...(link === undefined ? {} : { link }) };
    },
  };
}

function single(parameters: URLSearchParams, name: string): string | undefined {
  const values = parameters.getAll(name);
  return values.length === 1 && values[0] !== '' ? values[0] : undefined;
}

/** The id_token for a code; undefined when the provider gives none, which is told to `onFault`. */
async function tokenFor(
  provider: IdentityProvider,
  { code, verifier }: { code: string; verifier: string },
  { issuer, outbound, onFault }: ExternalLoginParts,
): Promise<string | undefined> {
  const form = new URLSearchParams({
    grant_type: 'authorization_code',
    code,
    redirect_uri: `${issuer}${callbackPath(provider.id)}`,
    code_verifier: verifier,
  });
  try {
    const answer = await outbound.send({
      url: provider.tokenEndpoint,
      method: 'POST',
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        accept: 'application/json',
        authorization: basic(provider),
      },
      body: form.toString(),
      bytesMax: limits.tokenAnswerBytesMax,
      timeoutMs: limits.outboundMs,
    });
    if (answer.status !== 200) return undefined;
    const value: unknown = JSON.parse(answer.body.toString('utf8'));
    const token = typeof value === 'object' && value !== null && 'id_token' in value ? value.id_token : undefined;
    return typeof token === 'string' ? token : undefined;
  } catch (error) {
    onFault(error);
    return undefined;
  }
}

/** RFC 6749 section 2.3.1: both are form-encoded first. */
function basic({ clientId, clientSecret }: IdentityProvider): string {
  const encoded = [clientId, clientSecret].map((text) => new URLSearchParams([['', text]]).toString().slice(1));
  return `Basic ${Buffer.from(encoded.join(':')).toString('base64')}`;
}

/** OpenID Connect Core section 3.1.3.7, in its order; undefined when all holds. */
async function problemOf(
  jwt: Jwt,
  token: string,
  provider: IdentityProvider,
  nonce: string,
  { keySets, clock }: ExternalLoginParts,
): Promise<string | undefined> {
  const { header, claims } = jwt;
  const audiences: unknown[] = Array.isArray(claims.aud) ? claims.aud : [claims.aud];
  if (claims.iss !== provider.issuer) return 'iss';
  if (!audiences.includes(provider.clientId)) return 'aud';
  if ((audiences.length > 1 || claims.azp !== undefined) && claims.azp !== provider.clientId) return 'azp';
  // An access token or logout token of the same provider says its type.
  if (header.typ !== undefined && header.typ.toUpperCase() !== 'JWT') return 'typ';
  if (!isInTime(claims, { nowMs: clock.now(), skewS: SKEW_S, lifeMaxS: ID_TOKEN_LIFE_S })) return 'exp';
  if (typeof claims.nonce !== 'string' || !isSame(claims.nonce, nonce)) return 'nonce';
  if (typeof claims.sub !== 'string' || claims.sub === '' || claims.sub.length > 255) return 'sub';
  const keys = await keySets.keysAt(provider.jwksUri, header.kid);
  const key = keyFor(header, { keys, algorithms: ALGORITHMS });
  return key !== undefined && isSignedBy(token, jwt, key) ? undefined : 'signature';
}

/** What the provider says of the login, as in RFC 8176; `mfa` when it is one of the ways that count as that. */
function amrOf({ claims }: Jwt, { secondFactor = {} }: IdentityProvider): string[] {
  const said: unknown[] = Array.isArray(claims.amr) ? claims.amr : [];
  const amr = said.filter((each): each is string => typeof each === 'string' && /^[a-z]{2,10}$/.test(each));
  const { acr: acrs = [], amr: amrs = [] } = secondFactor;
  const isSure =
    (typeof claims.acr === 'string' && acrs.includes(claims.acr)) || amr.some((each) => amrs.includes(each));
  const own = amr.filter((each) => each !== 'mfa');
  return isSure ? [...own, 'mfa'] : own;
}

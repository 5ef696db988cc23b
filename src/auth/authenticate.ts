// From an Authorization header to who asks. This runs for every request: what was found is remembered for some seconds, and
// forgotten at once when this process ends a grant; other processes learn of that when the seconds are over.
// https://www.rfc-editor.org/rfc/rfc6750, https://www.rfc-editor.org/rfc/rfc9449#section-7
import { limits } from '../base/limits.ts';
import { FhirError } from '../base/outcome.ts';
import type { Principal } from '../fhir/caller.ts';
import type { AuthContext } from './context.ts';
import { type DpopProofs, type Presented, proofAlgorithms } from './dpop.ts';
import type { ExternalTokens } from './external-issuers.ts';
import { OAuthError } from './oauth-error.ts';
import type { Principals } from './principals.ts';
import { hashOf } from './secret-value.ts';
import type { Tokens } from './tokens.ts';

export interface Bearer {
  /** `presented`: the request that the token came with. Throws FhirError('login') where there is no valid token. */
  authenticate(authorization: string | undefined, presented?: Presented): Promise<Principal>;
  /** Forgets every token for which this holds. */
  forget(fits: (principal: Principal) => boolean): void;
}

interface Known {
  principal: Principal;
  /** Thumbprint of the key that the token is bound to. */
  jkt?: string;
  /** Ms since the epoch: the token's end, or when to look again. */
  until: number;
}

interface Parts {
  tokens: Tokens;
  principals: Principals;
  externalTokens: ExternalTokens;
  proofs: DpopProofs;
}

export function createBearer({ clock, rates }: Pick<AuthContext, 'clock' | 'rates'>, parts: Parts): Bearer {
  const known = new Map<string, Known>();
  /** Grows with each `forget`: what was looked up before it is not remembered after it. */
  let forgotten = 0;

  return {
    async authenticate(authorization, presented) {
      if (authorization === undefined) throw loginNeeded('Bearer realm="careloom"');
      const token = tokenOf(authorization);
      if (token === undefined) return byProof(authorization, presented);
      const key = hashOf(token);
      const { principal, jkt } = recalled(key) ?? (await lookedUp(token, key)) ?? refuse(invalidToken());
      // "Such a token MUST NOT be accepted as a bearer token": whoever shows it like that may have stolen it.
      return jkt === undefined ? principal : refuse(proofNeeded('invalid_token', 'the token is bound to a key'));
    },
    forget(fits) {
      forgotten++;
      for (const [key, { principal }] of known) if (fits(principal)) known.delete(key);
    },
  };

  /** https://www.rfc-editor.org/rfc/rfc9449#section-7.1 */
  async function byProof(authorization: string, presented: Presented | undefined): Promise<Principal> {
    const token = tokenOf(authorization, boundForm);
    if (token === undefined) throw invalidToken();
    const key = hashOf(token);
    const { principal, jkt } = recalled(key) ?? (await lookedUp(token, key)) ?? refuse(proofNeeded('invalid_token'));
    if (jkt === undefined) throw proofNeeded('invalid_token', 'the token is bound to no key; it is a bearer token');
    countRequest(principal);
    if ((await shownBy(presented, token)) !== jkt) throw proofNeeded('invalid_token', 'the proof is by another key');
    return principal;
  }

  /** Before the proof is verified and written down; the edge counts all requests alike, but only once it knows who asks. */
  function countRequest({ client, user }: Principal): void {
    const seconds = rates?.boundRequests.take(user?.id ?? client) ?? 0;
    if (seconds > 0)
      throw new FhirError('throttled', `Too many requests with this token; try again in ${seconds} s.`, {
        headers: { 'Retry-After': String(seconds) },
      });
  }

  async function shownBy(presented: Presented | undefined, token: string): Promise<string> {
    try {
      const jkt = presented === undefined ? undefined : await parts.proofs.keyOf(presented, token);
      return jkt ?? refuse(proofNeeded('invalid_dpop_proof', 'there is none'));
    } catch (error) {
      throw error instanceof OAuthError ? proofNeeded('invalid_dpop_proof', error.message) : error;
    }
  }

  function recalled(key: string): Known | undefined {
    const found = known.get(key);
    return found !== undefined && found.until > clock.now() ? found : undefined;
  }

  async function lookedUp(token: string, key: string): Promise<Known | undefined> {
    const now = clock.now();
    const before = forgotten;
    const fresh = await lookUp(token);
    if (fresh === undefined || fresh.expires <= now) {
      known.delete(key);
      return undefined;
    }
    const { expires, ...found } = fresh;
    const remembered = { ...found, until: Math.min(expires, now + limits.tokenCacheMs) };
    if (before === forgotten) remember(key, remembered);
    return remembered;
  }

  /** The oldest goes first: whoever is still asked for comes back within seconds. */
  function remember(key: string, found: Known): void {
    known.delete(key);
    if (known.size >= limits.tokenCacheMax) known.delete(known.keys().next().value ?? '');
    known.set(key, found);
  }

  async function lookUp(token: string): Promise<(Omit<Known, 'until'> & { expires: number }) | undefined> {
    if (token.includes('.')) return parts.externalTokens.principalOf(token);
    const found = await parts.tokens.access(token);
    if (found === undefined) return undefined;
    const standing = await parts.principals.of(found.grant, found.scopes, found);
    if (standing === undefined) return undefined;
    const { expires, jkt } = found;
    return { principal: standing.principal, expires, ...(jkt === undefined ? {} : { jkt }) };
  }
}

const bearerForm = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i;
const boundForm = /^dpop +([A-Za-z0-9._~+/-]+=*)$/i;

/** The token of a Bearer header; undefined when it is of another scheme or form. */
export function tokenOf(authorization: string, form = bearerForm): string | undefined {
  if (authorization.length > limits.jwtCharsMax) return undefined;
  return form.exec(authorization)?.[1];
}

function refuse(error: FhirError): never {
  throw error;
}

const invalidToken = (): FhirError => loginNeeded('Bearer realm="careloom", error="invalid_token"');

function proofNeeded(
  code: 'invalid_token' | 'invalid_dpop_proof',
  why = 'it is unknown, expired or revoked',
): FhirError {
  const algorithms = `algs="${proofAlgorithms.join(' ')}"`;
  return loginNeeded(`DPoP realm="careloom", error="${code}", error_description="${why}", ${algorithms}`);
}

function loginNeeded(challenge: string): FhirError {
  return new FhirError('login', 'A valid access token is needed, as Authorization: Bearer …', {
    headers: { 'WWW-Authenticate': challenge },
  });
}

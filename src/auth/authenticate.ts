// From an Authorization header to who asks. This runs for every request: what was found is remembered for some seconds, and
// forgotten at once when this process ends a grant; other processes learn of that when the seconds are over.
// https://www.rfc-editor.org/rfc/rfc6750
import { limits } from '../base/limits.ts';
import { FhirError } from '../base/outcome.ts';
import type { Principal } from '../fhir/caller.ts';
import type { AuthContext } from './context.ts';
import type { ExternalTokens } from './external-issuers.ts';
import type { Principals } from './principals.ts';
import { hashOf } from './secret-value.ts';
import type { Tokens } from './tokens.ts';

export interface Bearer {
  /** Throws FhirError('login') where there is no valid token. */
  authenticate(authorization: string | undefined): Promise<Principal>;
  /** Forgets every token for which this holds. */
  forget(fits: (principal: Principal) => boolean): void;
}

interface Known {
  principal: Principal;
  /** Ms since the epoch: the token's end, or when to look again. */
  until: number;
}

interface Parts {
  tokens: Tokens;
  principals: Principals;
  externalTokens: ExternalTokens;
}

export function createBearer({ clock }: Pick<AuthContext, 'clock'>, parts: Parts): Bearer {
  const known = new Map<string, Known>();
  /** Grows with each `forget`: what was looked up before it is not remembered after it. */
  let forgotten = 0;

  return {
    async authenticate(authorization) {
      if (authorization === undefined) throw loginNeeded('Bearer realm="careloom"');
      const token = tokenOf(authorization);
      if (token === undefined) throw invalidToken();
      const key = hashOf(token);
      const now = clock.now();
      const found = known.get(key);
      if (found !== undefined && found.until > now) return found.principal;
      const before = forgotten;
      const fresh = await lookUp(token);
      if (fresh === undefined || fresh.expires <= now) {
        known.delete(key);
        throw invalidToken();
      }
      if (before === forgotten) remember(key, fresh.principal, Math.min(fresh.expires, now + limits.tokenCacheMs));
      return fresh.principal;
    },
    forget(fits) {
      forgotten++;
      for (const [key, { principal }] of known) if (fits(principal)) known.delete(key);
    },
  };

  /** The oldest goes first: whoever is still asked for comes back within seconds. */
  function remember(key: string, principal: Principal, until: number): void {
    known.delete(key);
    if (known.size >= limits.tokenCacheMax) known.delete(known.keys().next().value ?? '');
    known.set(key, { principal, until });
  }

  async function lookUp(token: string): Promise<{ principal: Principal; expires: number } | undefined> {
    if (token.includes('.')) return parts.externalTokens.principalOf(token);
    const found = await parts.tokens.access(token);
    if (found === undefined) return undefined;
    const standing = await parts.principals.of(found.grant, found.scopes);
    return standing === undefined ? undefined : { principal: standing.principal, expires: found.expires };
  }
}

/** The token of a Bearer header; undefined when it is of another scheme or form. */
export function tokenOf(authorization: string): string | undefined {
  if (authorization.length > limits.jwtCharsMax) return undefined;
  return /^bearer +([A-Za-z0-9._~+/-]+=*)$/i.exec(authorization)?.[1];
}

const invalidToken = (): FhirError => loginNeeded('Bearer realm="careloom", error="invalid_token"');

function loginNeeded(challenge: string): FhirError {
  return new FhirError('login', 'A valid access token is needed, as Authorization: Bearer …', {
    headers: { 'WWW-Authenticate': challenge },
  });
}

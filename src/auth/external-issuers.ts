// Access tokens that other authorization servers issue to machines: JWTs of issuers that were configured by name, each with
// its own keys, audience, algorithms and types, and never more than a ceiling.
// https://www.rfc-editor.org/rfc/rfc9068, https://www.rfc-editor.org/rfc/rfc8725
import type { Principal } from '../fhir/caller.ts';
import type { AuthContext } from './context.ts';
import { isInTime, isSignedBy, type Jwt, keyFor, readJwt, type SigningAlgorithm } from './jwt.ts';
import type { KeySets } from './key-sets.ts';
import { lifetimes } from './lifetimes.ts';
import { coversToken, parseScope, resourceScopes } from './scopes.ts';

export interface ExternalIssuer {
  /** Compared as a text with the claim `iss`. */
  issuer: string;
  jwksUri: string;
  /** What `aud` must be, or hold. */
  audience: string;
  /** Accepted values of the header `typ`, lower case and without `application/`: `at+jwt`. */
  types: readonly string[];
  algorithms: readonly SigningAlgorithm[];
  /** Claims that hold the client's id and its scopes: a text with spaces, or a list. */
  claims: { client: string; scope: string };
  /** system/ scopes that its tokens can at most have; what they ask beyond is not given. */
  scopes: readonly string[];
}

export interface ExternalTokens {
  /** Who a JWT of a configured issuer stands for, and until when (ms); undefined for any other text. */
  principalOf(token: string): Promise<{ principal: Principal; expires: number } | undefined>;
}

type Options = Pick<AuthContext, 'clock' | 'checkScopeQuery'> & { keySets: KeySets };

export function createExternalTokens(issuers: readonly ExternalIssuer[], options: Options): ExternalTokens {
  const byName = new Map(issuers.map((issuer) => [issuer.issuer, issuer]));
  return {
    async principalOf(token) {
      const jwt = readJwt(token);
      const issuer = typeof jwt?.claims.iss === 'string' ? byName.get(jwt.claims.iss) : undefined;
      // Nothing is fetched for an issuer that we do not know, nor for a token that could not be good anyway.
      if (jwt === undefined || issuer === undefined || !isAcceptable(jwt, issuer, options)) return undefined;
      const keys = await options.keySets.keysAt(issuer.jwksUri, jwt.header.kid);
      const key = keyFor(jwt.header, { keys, algorithms: issuer.algorithms });
      if (key === undefined || !(await isSignedBy(token, jwt, key))) return undefined;
      const principal = principalFor(jwt, issuer, options);
      return principal === undefined
        ? undefined
        : { principal, expires: Number(jwt.claims.exp) * 1000 + lifetimes.tokenSkew };
    },
  };
}

function isAcceptable({ header, claims }: Jwt, issuer: ExternalIssuer, { clock }: Options): boolean {
  const type = header.typ?.toLowerCase().replace(/^application\//, '');
  const audiences: unknown[] = Array.isArray(claims.aud) ? claims.aud : [claims.aud];
  return (
    issuer.algorithms.some((algorithm) => algorithm === header.alg) &&
    type !== undefined &&
    issuer.types.includes(type) &&
    audiences.includes(issuer.audience) &&
    isInTime(claims, { nowMs: clock.now(), skewS: lifetimes.tokenSkew / 1000 })
  );
}

/** Machines alone: without a system/ scope within the ceiling there is nothing to stand for. */
function principalFor({ claims }: Jwt, issuer: ExternalIssuer, { checkScopeQuery }: Options): Principal | undefined {
  const client = claims[issuer.claims.client];
  const scope = claims[issuer.claims.scope];
  if (typeof client !== 'string' || client === '' || client.length > 256) return undefined;
  const asked: unknown[] = typeof scope === 'string' ? scope.split(' ') : Array.isArray(scope) ? scope : [];
  const granted = asked.filter(
    (text): text is string =>
      typeof text === 'string' &&
      typeof parseScope(text, checkScopeQuery) === 'object' &&
      coversToken(issuer.scopes, text),
  );
  const scopes = resourceScopes(granted).filter(({ level }) => level === 'system');
  if (scopes.length === 0) return undefined;
  const name = `${issuer.issuer}#${client}`;
  return { client: name, grant: `external:${name}`, scopes, purpose: 'TREAT' };
}

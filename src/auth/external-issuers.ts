// Access tokens that other authorization servers issue to machines: JWTs of issuers that were configured by name, each with
// its own keys, audience, algorithms and types, and never more than a ceiling.
// https://www.rfc-editor.org/rfc/rfc9068, https://www.rfc-editor.org/rfc/rfc8725
import type { Principal } from '../fhir/caller.ts';
import type { AuthContext } from './context.ts';
import { isInTime, isSignedBy, type Jwt, keyFor, readJwt, type SigningAlgorithm } from './jwt.ts';
import type { KeySets } from './key-sets.ts';
import { lifetimes } from './lifetimes.ts';
import { covers, coversToken, parseScope, resourceScopes } from './scopes.ts';

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
  /** Clients whose tokens count; absent: all that the issuer has. */
  clients?: readonly string[];
}

export interface ExternalTokens {
  /**
   * Who a JWT of a configured issuer stands for, until when (ms), and the thumbprint of the key that it is bound to, if any;
   * undefined for any other text.
   */
  principalOf(token: string): Promise<{ principal: Principal; expires: number; jkt?: string } | undefined>;
  /**
   * The principal of such a token as it is by what is configured now; undefined when the token is over, or its issuer or
   * client does not count any more. Whether the issuer revoked it is not known: it would have to be asked.
   */
  renewed(principal: Principal): Principal | undefined;
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
      if (key === undefined || !isSignedBy(token, jwt, key)) return undefined;
      const expires = Number(jwt.claims.exp) * 1000 + lifetimes.tokenSkew;
      const principal = principalFor(jwt, issuer, expires, options);
      return principal === undefined ? undefined : { principal, expires, ...boundTo(jwt) };
    },
    renewed(principal) {
      const { external, client, scopes } = principal;
      const issuer = external === undefined ? undefined : byName.get(external.issuer);
      if (external === undefined || issuer === undefined || options.clock.now() >= external.expires) return undefined;
      if (!counts(issuer, client.slice(nameOf(issuer, '').length))) return undefined;
      const ceiling = resourceScopes(issuer.scopes);
      const left = scopes.filter((scope) => ceiling.some((outer) => covers(outer, scope)));
      return left.length === 0 ? undefined : { ...principal, scopes: left };
    },
  };
}

/** Of a client, here: two issuers may use the same id for two. */
const nameOf = ({ issuer }: ExternalIssuer, client: string): string => `${issuer}#${client}`;

const counts = ({ clients }: ExternalIssuer, client: string): boolean => clients?.includes(client) !== false;

function isAcceptable({ header, claims }: Jwt, issuer: ExternalIssuer, { clock }: Options): boolean {
  const type = header.typ?.toLowerCase().replace(/^application\//, '');
  const audiences: unknown[] = Array.isArray(claims.aud) ? claims.aud : [claims.aud];
  return (
    issuer.algorithms.some((algorithm) => algorithm === header.alg) &&
    type !== undefined &&
    issuer.types.includes(type) &&
    audiences.includes(issuer.audience) &&
    isInTime(claims, { nowMs: clock.now(), skewS: lifetimes.tokenSkew / 1000 }) &&
    (claims.cnf === undefined || thumbprintIn(claims) !== undefined)
  );
}

/** Bound to a key that is shown by DPoP, RFC 9449 section 6.1; what is bound in another way we cannot check, nor take. */
function thumbprintIn({ cnf }: Jwt['claims']): string | undefined {
  if (typeof cnf !== 'object' || cnf === null || Object.keys(cnf).join() !== 'jkt' || !('jkt' in cnf)) return undefined;
  return typeof cnf.jkt === 'string' ? cnf.jkt : undefined;
}

function boundTo({ claims }: Jwt): { jkt?: string } {
  const jkt = thumbprintIn(claims);
  return jkt === undefined ? {} : { jkt };
}

/** Machines alone: without a system/ scope within the ceiling there is nothing to stand for. */
function principalFor(
  { claims }: Jwt,
  issuer: ExternalIssuer,
  expires: number,
  { checkScopeQuery }: Options,
): Principal | undefined {
  const client = claims[issuer.claims.client];
  const scope = claims[issuer.claims.scope];
  if (typeof client !== 'string' || client === '' || client.length > 256 || !counts(issuer, client)) return undefined;
  const asked: unknown[] = typeof scope === 'string' ? scope.split(' ') : Array.isArray(scope) ? scope : [];
  const granted = asked.filter(
    (text): text is string =>
      typeof text === 'string' &&
      typeof parseScope(text, checkScopeQuery) === 'object' &&
      coversToken(issuer.scopes, text),
  );
  const scopes = resourceScopes(granted).filter(({ level }) => level === 'system');
  if (scopes.length === 0) return undefined;
  const name = nameOf(issuer, client);
  const external = { issuer: issuer.issuer, expires };
  return { client: name, grant: `external:${name}`, scopes, purpose: 'TREAT', external };
}

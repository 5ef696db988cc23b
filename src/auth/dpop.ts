// Proofs of possession: an access token that is bound to a key opens nothing without a proof by that key, made for this one
// request. https://www.rfc-editor.org/rfc/rfc9449
import type { AuthContext } from './context.ts';
import type { AuthRequest } from './exchange.ts';
import { embeddedKey, isSignedBy, readJwt, type SigningAlgorithm, thumbprintOf } from './jwt.ts';
import { createKept } from './kept.ts';
import { lifetimes } from './lifetimes.ts';
import { OAuthError } from './oauth-error.ts';
import { hashOf } from './secret-value.ts';

export const proofAlgorithms: readonly SigningAlgorithm[] = [
  'ES256',
  'ES384',
  'EdDSA',
  'RS256',
  'RS384',
  'PS256',
  'PS384',
];

/** A request, and the header `DPoP` that came with it. */
export interface Presented {
  method: string;
  /** As its client knows it; what stands behind `?` does not count. */
  url: string;
  dpop: string | undefined;
}

/** As a request to one of our own endpoints presents itself. */
export const presentedBy = (
  { method, path, header }: AuthRequest,
  { issuer }: Pick<AuthContext, 'issuer'>,
): Presented => ({ method, url: `${issuer}${path}`, dpop: header('dpop') });

export interface DpopProofs {
  /**
   * The thumbprint (RFC 7638) of the key whose possession is shown; undefined where there is no proof. Each proof is taken
   * once. `token`: the access token that it goes with. Throws OAuthError.
   */
  keyOf(presented: Presented, token?: string): Promise<string | undefined>;
}

export function createDpopProofs({ records, clock }: Pick<AuthContext, 'records' | 'clock'>): DpopProofs {
  const used = createKept<true>(records, 'dpop-jti');

  return {
    async keyOf(presented, token) {
      if (presented.dpop === undefined) return undefined;
      const { jkt, jti, iat } = await checked(presented.dpop, presented, token);
      // Last, so that only a good proof is remembered; in the store, so that it is spent for all processes on it.
      const isNew = await used.add(hashOf(`${jkt} ${jti}`), true, iat * 1000 + lifetimes.dpopProof + 1);
      if (!isNew) throw refused('jti was used before');
      return jkt;
    },
  };

  async function checked(text: string, { method, url }: Presented, token: string | undefined) {
    const proof = readJwt(text);
    if (proof === undefined) throw refused('it is no JWT, or there are several');
    const { header, claims } = proof;
    if (header.typ !== 'dpop+jwt') throw refused('typ must be dpop+jwt');
    const key = embeddedKey(header, proofAlgorithms);
    if (key === undefined)
      throw refused(`it must have its public key as jwk, and an alg for it of ${proofAlgorithms.join(' ')}`);
    const { htm, htu, iat, jti, ath } = claims;
    if (htm !== method) throw refused('htm is not the method of this request');
    if (typeof htu !== 'string' || addressOf(htu) !== addressOf(url))
      throw refused('htu is not the URL of this request');
    if (typeof iat !== 'number' || Math.abs(iat * 1000 - clock.now()) > lifetimes.dpopProof)
      throw refused('iat is not now');
    if (typeof jti !== 'string' || jti === '' || jti.length > 512) throw refused('jti is needed');
    if (token !== undefined && ath !== hashOf(token)) throw refused('ath is not the hash of the access token');
    if (!isSignedBy(text, proof, key)) throw refused('its signature is wrong');
    return { jkt: thumbprintOf(key), jti, iat };
  }
}

const refused = (why: string): OAuthError =>
  new OAuthError('invalid_dpop_proof', `the DPoP proof cannot be taken: ${why}`);

/** "Syntax-based and scheme-based normalization", without query and fragment; undefined for what is no URL. */
function addressOf(text: string): string | undefined {
  const url = URL.parse(text);
  if (url === null) return undefined;
  url.search = '';
  url.hash = '';
  return url.href;
}

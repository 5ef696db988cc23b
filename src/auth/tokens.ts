// Access and refresh tokens: random values that mean nothing to whoever holds them. A refresh token is used once; each use
// yields the next. https://www.rfc-editor.org/rfc/rfc6749#section-1.5, https://www.rfc-editor.org/rfc/rfc9700#section-4.14
import type { AuthContext } from './context.ts';
import { createKept } from './kept.ts';
import { hashOf, newSecretValue } from './secret-value.ts';

export interface AccessToken {
  /** The grant it lives by; `standingGrant` of its client for a backend service. */
  grant: string;
  client: string;
  /** Who gave the grant, so that all of it is looked up at once; the grant decides. */
  user?: string;
  scopes: readonly string[];
  /** Thumbprint of the key that it is bound to. */
  jkt?: string;
  /** Milliseconds since the epoch. */
  issued: number;
  expires: number;
}

export interface RefreshToken {
  grant: string;
  client: string;
  isUsed: boolean;
  /** For a public app: thumbprint of the key that has to be shown for it. */
  jkt?: string;
  issued: number;
  expires: number;
}

/** What a client is granted by its registration alone, for as long as it is active. */
export const standingGrant = (client: string): string => `client:${client}`;

/** The client of a standing grant; undefined for a grant that somebody gave. */
export const clientOfStandingGrant = (grant: string): string | undefined =>
  grant.startsWith('client:') ? grant.slice('client:'.length) : undefined;

export interface Tokens {
  issueAccess(token: Omit<AccessToken, 'issued'>): Promise<string>;
  issueRefresh(token: Pick<RefreshToken, 'grant' | 'client' | 'jkt' | 'expires'>): Promise<string>;
  access(value: string): Promise<AccessToken | undefined>;
  refresh(value: string): Promise<{ token: RefreshToken; version: number } | undefined>;
  /** True for exactly one of those who use what they read. */
  use(value: string, read: { token: RefreshToken; version: number }): Promise<boolean>;
  revokeAccess(value: string): Promise<boolean>;
}

export function createTokens({ records, clock }: Pick<AuthContext, 'records' | 'clock'>): Tokens {
  const accessTokens = createKept<AccessToken>(records, 'access-token');
  const refreshTokens = createKept<RefreshToken>(records, 'refresh-token');
  return {
    async issueAccess(token) {
      const value = newSecretValue();
      await accessTokens.add(hashOf(value), { ...token, issued: clock.now() }, token.expires);
      return value;
    },
    async issueRefresh(token) {
      const value = newSecretValue();
      await refreshTokens.add(hashOf(value), { ...token, issued: clock.now(), isUsed: false }, token.expires);
      return value;
    },
    access: async (value) => (await accessTokens.get(hashOf(value)))?.value,
    async refresh(value) {
      const found = await refreshTokens.get(hashOf(value));
      return found === undefined ? undefined : { token: found.value, version: found.version };
    },
    use: (value, read) =>
      refreshTokens.replace(hashOf(value), read, { ...read.token, isUsed: true }, read.token.expires),
    revokeAccess: (value) => accessTokens.remove(hashOf(value)),
  };
}

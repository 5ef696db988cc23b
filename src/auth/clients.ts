// Apps and services that may ask for access: what they registered, and how the registration changes.
// https://hl7.org/fhir/smart-app-launch/app-launch.html#register-app-with-ehr, https://www.rfc-editor.org/rfc/rfc7591#section-2
import { FhirError } from '../base/outcome.ts';
import { changeKept } from './change.ts';
import { checkRegistration, isClientId } from './client-registration.ts';
import type { AuthContext } from './context.ts';
import { createKept } from './kept.ts';
import { lifetimes } from './lifetimes.ts';
import { hashOf, newSecretValue } from './secret-value.ts';

export type GrantType = 'authorization_code' | 'refresh_token' | 'client_credentials';

/** How a client proves at the token endpoint who it is; `none`: a public app. */
export type ClientAuthenticationMethod = 'none' | 'client_secret_basic' | 'private_key_jwt';

/** A public key, RFC 7517, as its owner published it. */
export type PublicJwk = Readonly<Record<string, unknown>> & { kty: string; kid: string };

export interface Client {
  id: string;
  /** As shown to people at consent. */
  name: string;
  authentication: ClientAuthenticationMethod;
  /** SHA-256 of the secret that we made. */
  secretHash?: string;
  /** For private_key_jwt: one of the two. */
  jwks?: readonly PublicJwk[];
  jwksUri?: string;
  /** Compared as texts, without any normalisation. */
  redirectUris: readonly string[];
  grantTypes: readonly GrantType[];
  /** The most it can be granted. */
  scopes: readonly string[];
  /** A backend service with a part of the work: its roles (`lab`), and on whose behalf (`Organization/1`). */
  service?: { reference: string; roles: readonly string[] };
  launchUrl?: string;
  /** Its authorization requests are pushed, or refused. RFC 9126 section 6 */
  requiresPushedRequests?: true;
  /** Its access tokens are bound to a key of its own, or not issued. RFC 9449 section 5.2 */
  bindsTokens?: true;
  /** May learn of tokens that others were given. */
  isResourceServer: boolean;
  /** Ours: may launch other apps, and needs no consent. */
  isFirstParty: boolean;
  /** Registered itself: nobody has checked its name; the consent page says so. */
  isUnverified: boolean;
  /** `pending`: registered itself and waits for approval. */
  state: 'active' | 'pending' | 'disabled';
  /** Milliseconds since the epoch. */
  created: number;
}

/** What is said of a client when it is registered; what is left out is empty or false. */
export interface Registration {
  /** Ours to choose unless it is given: 1 to 64 of A-Z a-z 0-9 . _ - */
  id?: string;
  name: string;
  authentication: ClientAuthenticationMethod;
  jwks?: readonly PublicJwk[];
  jwksUri?: string;
  redirectUris?: readonly string[];
  /** Refresh tokens follow from the scopes offline_access and online_access. */
  grantTypes?: readonly GrantType[];
  scopes: readonly string[];
  service?: Client['service'];
  launchUrl?: string;
  requiresPushedRequests?: boolean;
  bindsTokens?: boolean;
  isResourceServer?: boolean;
  isFirstParty?: boolean;
  isUnverified?: boolean;
  state?: 'active' | 'pending';
}

export interface Clients {
  get(id: string): Promise<Client | undefined>;
  /** In the order of their ids. */
  list(options?: { after?: string; limit?: number }): Promise<Client[]>;
  /** The secret is told once. Throws FhirError('invalid') naming what is wrong, FhirError('conflict') when the id is taken. */
  add(registration: Registration): Promise<{ client: Client; secret?: string }>;
  /** What it was granted is worth nothing while it is disabled. Throws FhirError('not-found'). */
  setState(id: string, state: Client['state']): Promise<Client>;
  /** A new secret; the old one is worth nothing from now on. Throws FhirError('invalid') for a client without one. */
  rotateSecret(id: string): Promise<string>;
  /** A token with which one client may register itself (RFC 7591 initial access token), for a week. */
  newRegistrationToken(): Promise<string>;
  /** True once for each token that `newRegistrationToken` made. */
  spendRegistrationToken(token: string): Promise<boolean>;
}

export interface ClientsOptions extends Pick<AuthContext, 'records' | 'clock' | 'record' | 'checkScopeQuery'> {
  /** Says why the server would never fetch keys from this URL. */
  problemOfUrl(url: string): string | undefined;
  /** Told of each client whose state or secret changes. */
  onChange?(id: string): void;
}

export function createClients(options: ClientsOptions): Clients {
  const { records, clock, record, onChange = () => undefined } = options;
  const kept = createKept<Client>(records, 'client');
  const registrationTokens = createKept<true>(records, 'registration-token');

  return {
    get: async (id) => (isClientId(id) ? (await kept.get(id))?.value : undefined),
    list: async ({ after = '', limit = 1_000 } = {}) => (await kept.list({ after, limit })).map(({ value }) => value),
    async add(registration) {
      checkRegistration(registration, options);
      const secret = registration.authentication === 'client_secret_basic' ? newSecretValue() : undefined;
      const client = clientOf(registration, { id: registration.id ?? clock.newId(), created: clock.now(), secret });
      if (!(await kept.add(client.id, client)))
        throw new FhirError('conflict', 'A client with this id exists already.');
      await told('client-registered', client, client.state);
      return secret === undefined ? { client } : { client, secret };
    },
    async setState(id, state) {
      const client = await change(id, (client) => ({ ...client, state }));
      await told('client-changed', client, state);
      return client;
    },
    async rotateSecret(id) {
      const secret = newSecretValue();
      const client = await change(id, (client) => withSecret(client, secret));
      await told('client-changed', client, 'new secret');
      return secret;
    },
    async newRegistrationToken() {
      const token = newSecretValue();
      await registrationTokens.add(hashOf(token), true, clock.now() + lifetimes.registrationToken);
      return token;
    },
    spendRegistrationToken: (token) => registrationTokens.remove(hashOf(token)),
  };

  async function change(id: string, to: (client: Client) => Client): Promise<Client> {
    const unknown = new FhirError('not-found', 'There is no client with this id.');
    if (!isClientId(id)) throw unknown;
    const changed = await changeKept(kept, id, (client) => {
      if (client === undefined) throw unknown;
      const keep = to(client);
      return { keep, result: keep };
    });
    onChange(id);
    return changed;
  }

  function told(kind: 'client-registered' | 'client-changed', client: Client, reason: string): Promise<void> {
    return record({ kind, at: clock.now(), client: client.id, scopes: client.scopes, outcome: 'success', reason });
  }
}

function clientOf(
  registration: Registration,
  { id, created, secret }: { id: string; created: number; secret: string | undefined },
): Client {
  const { name, authentication, jwks, jwksUri, launchUrl, service } = registration;
  const {
    redirectUris = [],
    scopes,
    isResourceServer = false,
    isFirstParty = false,
    isUnverified = false,
  } = registration;
  return {
    id,
    name,
    authentication,
    ...(secret === undefined ? {} : { secretHash: hashOf(secret) }),
    ...(jwks === undefined ? {} : { jwks }),
    ...(jwksUri === undefined ? {} : { jwksUri }),
    redirectUris,
    grantTypes: registration.grantTypes ?? ['authorization_code', 'refresh_token'],
    scopes,
    ...(service === undefined ? {} : { service }),
    ...(launchUrl === undefined ? {} : { launchUrl }),
    ...(registration.requiresPushedRequests === true ? { requiresPushedRequests: true } : {}),
    ...(registration.bindsTokens === true ? { bindsTokens: true } : {}),
    isResourceServer,
    isFirstParty,
    isUnverified,
    state: registration.state ?? 'active',
    created,
  };
}

function withSecret(client: Client, secret: string): Client {
  if (client.authentication !== 'client_secret_basic') throw new FhirError('invalid', 'This client has no secret.');
  return { ...client, secretHash: hashOf(secret) };
}

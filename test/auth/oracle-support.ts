// One client of two authorization servers: ours and oidc-provider, which is certified for OpenID Connect and stands for what
// OAuth is elsewhere. Both are asked the same, and what they answer is brought to one form.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair } from 'jose';
import { sqlite, type Test } from '../support/stores.ts';
import {
  addService,
  type Bench,
  baseUrl,
  basic,
  benchOn,
  call,
  callback,
  decide,
  issuer,
  type Jar,
  publicApp,
  returned,
  type TestClock,
  type TestKey,
} from './support.ts';

export type Endpoint = 'authorize' | 'par' | 'token' | 'introspect' | 'revoke';

export interface Answered {
  status: number;
  location?: string;
  // biome-ignore lint/suspicious/noExplicitAny: bodies of every kind
  json?: any;
}

export interface Subject {
  name: string;
  /** What an assertion names as its audience. */
  tokenUrl: string;
  pushUrl: string;
  clock: TestClock;
  /** Header by which the confidential client proves itself. */
  secret: Record<string, string>;
  send(endpoint: Endpoint, parameters: URLSearchParams, headers?: Record<string, string>, jar?: Jar): Promise<Answered>;
  /** A person logs in and allows all that was asked; what comes back to the app. */
  allow(location: string, jar: Jar): Promise<Record<string, string>>;
}

const appScopes = ['openid', 'offline_access'];

export const secretOf = 'a-secret-of-the-confidential-client-0123456789';

export async function ours(t: Test, key: TestKey): Promise<Subject> {
  const bench: Bench = await benchOn(t, sqlite);
  for (const id of ['app', 'other']) await bench.server.clients.add(publicApp({ id, scopes: appScopes }));
  await bench.server.clients.add(publicApp({ id: 'pushing', scopes: appScopes, requiresPushedRequests: true }));
  await bench.server.clients.add(publicApp({ id: 'bound', scopes: appScopes, bindsTokens: true }));
  const { secret = '' } = await bench.server.clients.add(
    publicApp({ id: 'portal', authentication: 'client_secret_basic', scopes: appScopes, isResourceServer: true }),
  );
  await addService(bench, [key], { id: 'service' });
  return {
    name: 'careloom',
    tokenUrl: `${issuer}/auth/token`,
    pushUrl: `${issuer}/auth/par`,
    clock: bench.clock,
    secret: basic('portal', secret),
    async send(endpoint, parameters, headers = {}, jar = new Map()) {
      const isPage = endpoint === 'authorize';
      if ((isPage || endpoint === 'par') && !parameters.has('aud')) parameters.set('aud', baseUrl);
      const url = isPage ? `/auth/authorize?${parameters}` : `/auth/${endpoint}`;
      const answer = await call(bench.server, isPage ? 'GET' : 'POST', url, { form: parameters, headers }, jar);
      const { Location: location } = answer.headers;
      return { status: answer.status, json: answer.json, ...(location === undefined ? {} : { location }) };
    },
    allow: async (location, jar) => returned(await decide(bench, location, jar)),
  };
}

export async function oracle(t: Test, key: TestKey): Promise<Subject> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const root = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await startProvider(server, root, key);
  const paths = {
    authorize: '/auth',
    par: '/request',
    token: '/token',
    introspect: '/token/introspection',
    revoke: '/token/revocation',
  };
  return {
    name: 'oidc-provider',
    tokenUrl: `${root}/token`,
    pushUrl: `${root}/request`,
    clock: { now: () => Date.now(), newId: () => crypto.randomUUID(), pass: () => undefined },
    secret: basic('portal', secretOf),
    send(endpoint, parameters, headers = {}, jar = new Map()) {
      const isPage = endpoint === 'authorize';
      const url = isPage ? `${root}${paths[endpoint]}?${parameters}` : `${root}${paths[endpoint]}`;
      return ask(url, { method: isPage ? 'GET' : 'POST', headers, jar, ...(isPage ? {} : { form: parameters }) });
    },
    async allow(location, jar) {
      const forms = [
        new URLSearchParams({ prompt: 'login', login: 'ann', password: 'x' }),
        new URLSearchParams({ prompt: 'consent' }),
      ];
      let next: string | undefined = location;
      // Two pages, each with a way there and a way back.
      for (let step = 0; step < 10 && next !== undefined && !next.startsWith(callback); step++) {
        const isPage = new URL(next, root).pathname.startsWith('/interaction/');
        const form = isPage ? forms.shift() : undefined;
        const answer: Answered = await ask(new URL(next, root).href, {
          method: isPage ? 'POST' : 'GET',
          headers: {},
          jar,
          ...(form === undefined ? {} : { form }),
        });
        next = answer.location;
      }
      return returned(next);
    },
  };
}

async function startProvider(server: Server, root: string, key: TestKey): Promise<void> {
  const { default: Provider } = await import('oidc-provider');
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  const app = {
    redirect_uris: [callback],
    response_types: ['code'],
    grant_types: ['authorization_code', 'refresh_token'],
  };
  const provider = new Provider(root, {
    clients: [
      { ...app, client_id: 'app', token_endpoint_auth_method: 'none', scope: appScopes.join(' ') },
      { ...app, client_id: 'other', token_endpoint_auth_method: 'none', scope: appScopes.join(' ') },
      {
        ...app,
        client_id: 'pushing',
        token_endpoint_auth_method: 'none',
        scope: appScopes.join(' '),
        require_pushed_authorization_requests: true,
      },
      {
        ...app,
        client_id: 'bound',
        token_endpoint_auth_method: 'none',
        scope: appScopes.join(' '),
        dpop_bound_access_tokens: true,
      },
      {
        ...app,
        client_id: 'portal',
        client_secret: secretOf,
        token_endpoint_auth_method: 'client_secret_basic',
        scope: appScopes.join(' '),
      },
      {
        client_id: 'service',
        redirect_uris: [],
        response_types: [],
        grant_types: ['client_credentials'],
        token_endpoint_auth_method: 'private_key_jwt',
        jwks: { keys: [key.publicJwk] },
        scope: 'system/*.rs',
      },
    ],
    scopes: ['openid', 'offline_access', 'system/*.rs', 'system/*.cruds'],
    jwks: { keys: [{ ...(await exportJWK(privateKey)), kid: 'sig', alg: 'RS256', use: 'sig' }] },
    cookies: { keys: ['a key for cookies'] },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    enabledJWA: { clientAuthSigningAlgValues: ['RS384', 'ES384'] },
    features: {
      devInteractions: { enabled: true },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      pushedAuthorizationRequests: { enabled: true },
      dPoP: { enabled: true, requireNonce: () => false },
      revocation: { enabled: true },
    },
  });
  server.on('request', provider.callback());
}

interface Ask {
  method: 'GET' | 'POST';
  headers: Record<string, string>;
  jar: Jar;
  form?: URLSearchParams;
}

async function ask(url: string, { method, headers, jar, form }: Ask): Promise<Answered> {
  const { pathname } = new URL(url);
  const held = [...jar]
    .filter(([, { path }]) => pathname.startsWith(path))
    .map(([name, { value }]) => `${name}=${value}`);
  const answer = await fetch(url, {
    method,
    redirect: 'manual',
    headers: { ...headers, ...(held.length === 0 ? {} : { cookie: held.join('; ') }) },
    ...(form === undefined ? {} : { body: form }),
  });
  for (const cookie of answer.headers.getSetCookie()) {
    const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
    jar.set(name, { value, path: /; path=([^;]+)/i.exec(cookie)?.[1] ?? '/' });
  }
  const text = await answer.text();
  const isJson = answer.headers.get('content-type')?.startsWith('application/json') === true;
  const location = answer.headers.get('location');
  return {
    status: answer.status,
    ...(location === null ? {} : { location }),
    ...(isJson ? { json: JSON.parse(text) } : {}),
  };
}

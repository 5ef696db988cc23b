// An authorization server without sockets: its routes are called as http/ would, a browser keeps its cookies, and a person who
// agrees to what is asked stands in for the pages.
import { createHash, randomBytes } from 'node:crypto';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import {
  type AuthorizationServer,
  type AuthorizationServerOptions,
  createAuthorizationServer,
} from '../../src/auth/authorization-server.ts';
import type { Client, PublicJwk, Registration } from '../../src/auth/clients.ts';
import type { AuthEvent, AuthUser } from '../../src/auth/context.ts';
import type { AuthRequest } from '../../src/auth/exchange.ts';
import { type Decision, isBound } from '../../src/auth/interaction.ts';
import { createOutbound } from '../../src/base/net.ts';
import { openMongoStore } from '../../src/store/mongo/open.ts';
import type { Store } from '../../src/store/store.ts';
import type { Adapter, Test } from '../support/stores.ts';

export const issuer = 'https://ehr.example.org';
export const baseUrl = `${issuer}/fhir`;
export const callback = 'https://app.example.org/callback';

/** A clock that stands still until it is moved. */
export interface TestClock {
  now(): number;
  newId(): string;
  pass(ms: number): void;
}

export function testClock(): TestClock {
  let time = Date.parse('2026-03-01T12:00:00Z');
  return {
    now: () => time,
    newId: () => crypto.randomUUID(),
    pass: (ms) => {
      time += ms;
    },
  };
}

export interface Bench {
  server: AuthorizationServer;
  store: Store;
  clock: TestClock;
  events: AuthEvent[];
  faults: unknown[];
  users: Map<string, AuthUser>;
  /** Sessions that are alive. */
  sessions: Set<string>;
  /** A second server on the same store. */
  another(change?: Partial<AuthorizationServerOptions>): AuthorizationServer;
  /** The same, on MongoDB by a connection of its own, as another process would have. */
  elsewhere(): Promise<AuthorizationServer>;
}

export const practitioner: AuthUser = {
  id: 'user-ann',
  fhirUser: 'Practitioner/ann',
  roles: ['clinician'],
  clearance: [],
  isEnabled: true,
};
export const patientUser: AuthUser = {
  id: 'user-pat',
  fhirUser: 'Patient/pat',
  roles: ['patient'],
  clearance: [],
  isEnabled: true,
};

/** A server on a fresh store, closed with the test. Every user reaches every patient but `far`. */
export async function benchOn(
  t: Test,
  adapter: Adapter,
  more: Partial<AuthorizationServerOptions> = {},
): Promise<Bench> {
  const clock = testClock();
  const { store, url, close } = await adapter.open(clock);
  const others: Store[] = [];
  const events: AuthEvent[] = [];
  const faults: unknown[] = [];
  const users = new Map([practitioner, patientUser].map((user) => [user.id, user]));
  const sessions = new Set(['session-1']);
  const servers: AuthorizationServer[] = [];
  const another = (change: Partial<AuthorizationServerOptions> = {}): AuthorizationServer => {
    const server = createAuthorizationServer({
      records: store.records,
      clock,
      baseUrl,
      issuer,
      secret: 'a secret of at least thirty-two characters',
      users: { get: async (id) => users.get(id) },
      isOnline: async (session) => sessions.has(session),
      reaches: async (_user, patient) => patient !== 'far',
      seesOpen: async (_user, { encounter }) => encounter !== 'unseen',
      record: async (event) => {
        events.push(event);
      },
      onFault: (error) => faults.push(error),
      outbound: createOutbound({ allowLoopback: true }),
      ...more,
      ...change,
    });
    servers.push(server);
    return server;
  };
  const server = another();
  const elsewhere = async (): Promise<AuthorizationServer> => {
    if (!store.isShared) return another();
    const connection = await openMongoStore({ url, clock });
    others.push(connection);
    return another({ records: connection.records });
  };
  t.teardown(async () => {
    await Promise.all(others.map((each) => each.close()));
    await Promise.all(servers.map((each) => each.close()));
    await close();
  });
  return { server, store, clock, events, faults, users, sessions, another, elsewhere };
}

export interface Reply {
  status: number;
  headers: Readonly<Record<string, string>>;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of every kind
  json: any;
  text: string;
}

export interface Call {
  form?: Readonly<Record<string, string>> | URLSearchParams;
  json?: unknown;
  headers?: Readonly<Record<string, string>>;
  address?: string;
}

/** Cookies by name, each with the path that it is sent to. */
export type Jar = Map<string, { value: string; path: string }>;

/** One request to the server, by a path below its root, with a query where it has one. */
export async function call(
  server: AuthorizationServer,
  method: 'GET' | 'POST',
  url: string,
  { form = {}, json, headers = {}, address = '192.0.2.1' }: Call = {},
  jar: Jar = new Map(),
): Promise<Reply> {
  const { pathname, searchParams } = new URL(url, issuer);
  const route = server.routes.find((each) => each.method === method && each.path === pathname);
  if (route === undefined) return { status: 404, headers: {}, json: undefined, text: '' };
  const lower = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  const request: AuthRequest = {
    method,
    path: pathname,
    params: {},
    query: searchParams,
    form: new URLSearchParams(form),
    json,
    header: (name) => lower.get(name),
    cookie: cookieOf(jar, pathname),
    address,
    id: 'request-1',
  };
  const { status, headers: sent = {}, cookies = [], body } = await route.handle(request);
  for (const { name, value, path } of cookies) jar.set(name, { value, path });
  const text = typeof body === 'string' ? body : body === undefined ? '' : JSON.stringify(body);
  return { status, headers: sent, text, json: typeof body === 'object' ? JSON.parse(text) : undefined };
}

const cookieOf =
  (jar: Jar, pathname: string) =>
  (name: string): string | undefined => {
    const held = jar.get(name);
    return held !== undefined && pathname.startsWith(held.path) ? held.value : undefined;
  };

export interface Pkce {
  verifier: string;
  challenge: string;
}

export function pkce(): Pkce {
  const verifier = randomBytes(32).toString('base64url');
  return { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') };
}

export type Parameters = Record<string, string>;

/** What an app sends to the authorization endpoint; undefined in `change` leaves a parameter out. */
export function authorizeParameters(
  client: Client | string,
  scope: string,
  change: Readonly<Record<string, string | undefined>> = {},
): Parameters {
  const all = {
    response_type: 'code',
    client_id: typeof client === 'string' ? client : client.id,
    redirect_uri: callback,
    scope,
    state: 'state-0123456789',
    aud: baseUrl,
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
    ...change,
  };
  return Object.fromEntries(Object.entries(all).filter((pair): pair is [string, string] => pair[1] !== undefined));
}

export const authorizeUrl = (parameters: Parameters): string => `/auth/authorize?${new URLSearchParams(parameters)}`;

/** What comes back at the app's redirect URI: its parameters. */
export const returned = (address: string | undefined): Record<string, string> =>
  Object.fromEntries(new URL(address ?? 'about:blank').searchParams);

export interface Person {
  user?: string;
  patient?: string;
  /** Instead of all that was asked. */
  scopes?: readonly string[];
  session?: string;
  amr?: readonly string[];
}

/** The person at the browser: follows the redirect to the pages and decides there. Yields the address it is sent to. */
export async function decide(
  { server, clock }: Pick<Bench, 'server' | 'clock'>,
  location: string | undefined,
  jar: Jar,
  person: Person = {},
): Promise<string> {
  const { pathname } = new URL(location ?? 'about:blank');
  const id = /^\/auth\/interaction\/([A-Za-z0-9_-]{43})$/.exec(pathname)?.[1];
  const interaction = id === undefined ? undefined : await server.interactions.get(id);
  if (interaction === undefined) throw new Error(`no interaction at ${location}`);
  if (!isBound(interaction, { cookie: cookieOf(jar, pathname) })) throw new Error('not the browser it began in');
  const { user = practitioner.id, scopes = interaction.scopes, session = 'session-1', amr = ['pwd'] } = person;
  const patient = person.patient ?? interaction.patient;
  const decision: Decision = { user, scopes, session, amr, authTime: clock.now() };
  return server.interactions.finish(interaction, { ...decision, ...(patient === undefined ? {} : { patient }) });
}

/** From the app's request to the parameters that come back to it. */
export async function authorize(bench: Pick<Bench, 'server' | 'clock'>, parameters: Parameters, person: Person = {}) {
  const jar: Jar = new Map();
  const { status, headers } = await call(bench.server, 'GET', authorizeUrl(parameters), {}, jar);
  if (status !== 303) throw new Error(`authorize answered ${status}`);
  return returned(await decide(bench, headers.Location, jar, person));
}

/** A code for an app, with the verifier that redeems it. */
export async function codeFor(bench: Pick<Bench, 'server' | 'clock'>, client: Client, asked: Asked) {
  const { verifier, challenge } = pkce();
  const { scope, parameters = {}, ...person } = asked;
  const change = { code_challenge: challenge, ...parameters };
  const { code = '' } = await authorize(bench, authorizeParameters(client, scope, change), person);
  return { grant_type: 'authorization_code', code, redirect_uri: callback, code_verifier: verifier };
}

export interface Asked extends Person {
  scope: string;
  parameters?: Readonly<Record<string, string | undefined>>;
}

/** The whole way of a public app to its tokens. */
export async function tokensFor(bench: Pick<Bench, 'server' | 'clock'>, client: Client, asked: Asked): Promise<Reply> {
  const form = { ...(await codeFor(bench, client, asked)), client_id: client.id };
  return call(bench.server, 'POST', '/auth/token', { form });
}

/** A request to the token endpoint. */
export const postToken = (
  { server }: Pick<Bench, 'server'>,
  form: Record<string, string> | URLSearchParams,
  headers: Record<string, string> = {},
): Promise<Reply> => call(server, 'POST', '/auth/token', { form, headers });

export const refreshed = (
  bench: Pick<Bench, 'server'>,
  token: string,
  more: Record<string, string> = {},
): Promise<Reply> => postToken(bench, { grant_type: 'refresh_token', refresh_token: token, ...more });

/** Whether an access token is one that stands for somebody. */
export const isLive = ({ server }: Pick<Bench, 'server'>, token: string): Promise<boolean> =>
  server.authenticate(`Bearer ${token}`, '').then(
    () => true,
    () => false,
  );

export const everything = [
  'launch',
  'launch/patient',
  'launch/encounter',
  'openid',
  'fhirUser',
  'offline_access',
  'online_access',
  'patient/*.cruds',
  'user/*.cruds',
];

export function publicApp(change: Partial<Registration> = {}): Registration {
  return { name: 'Growth Chart', authentication: 'none', redirectUris: [callback], scopes: everything, ...change };
}

export async function addPublicApp({ server }: Pick<Bench, 'server'>, change: Partial<Registration> = {}) {
  return (await server.clients.add(publicApp(change))).client;
}

export const basic = (id: string, secret: string): Record<string, string> => ({
  authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`,
});

export interface TestKey {
  algorithm: 'RS256' | 'RS384' | 'PS256' | 'ES256' | 'ES384' | 'EdDSA';
  kid: string;
  publicJwk: PublicJwk;
  privateKey: PrivateKey;
}

type PrivateKey = Awaited<ReturnType<typeof generateKeyPair>>['privateKey'];

export async function testKey(algorithm: TestKey['algorithm'], kid = `key-${algorithm}`): Promise<TestKey> {
  const { publicKey, privateKey } = await generateKeyPair(algorithm, { extractable: true });
  const publicJwk = { ...(await exportJWK(publicKey)), kid, alg: algorithm, use: 'sig' } as unknown as PublicJwk;
  return { algorithm, kid, publicJwk, privateKey };
}

export interface Assertion {
  key: TestKey;
  client: string;
  clock: TestClock;
  claims?: Readonly<Record<string, unknown>>;
  header?: Readonly<Record<string, unknown>>;
}

/** A client assertion as SMART wants it; `undefined` among the claims leaves one out. */
export function assertion({ key, client, clock, claims = {}, header = {} }: Assertion): Promise<string> {
  const now = Math.floor(clock.now() / 1000);
  const own = { iss: client, sub: client, aud: `${issuer}/auth/token`, exp: now + 240, jti: crypto.randomUUID() };
  const all = Object.fromEntries(Object.entries({ ...own, ...claims }).filter(([, value]) => value !== undefined));
  const { algorithm, kid, privateKey } = key;
  const head = Object.entries({ alg: algorithm, typ: 'JWT', kid, ...header }).filter(
    ([, value]) => value !== undefined,
  );
  return new SignJWT(all).setProtectedHeader(Object.fromEntries(head) as { alg: string }).sign(privateKey);
}

export async function assertionForm(given: Assertion): Promise<Record<string, string>> {
  return {
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: await assertion(given),
  };
}

export interface DpopProof {
  key: TestKey;
  clock: Pick<TestClock, 'now'>;
  /** Of the token endpoint by default. */
  method?: string;
  url?: string;
  /** The access token that it goes with. */
  token?: string;
  claims?: Readonly<Record<string, unknown>>;
  header?: Readonly<Record<string, unknown>>;
}

/** A DPoP proof; `undefined` among the claims, or in the header, leaves one out. */
export function dpopProof(proof: DpopProof): Promise<string> {
  const { key, clock, method = 'POST', url = `${issuer}/auth/token`, token, claims = {}, header = {} } = proof;
  const { kid: _, alg: __, use: ___, ...jwk } = key.publicJwk;
  const iat = Math.floor(clock.now() / 1000);
  const ath = token === undefined ? undefined : createHash('sha256').update(token).digest('base64url');
  const all = { htm: method, htu: url, iat, jti: crypto.randomUUID(), ath, ...claims };
  const head = { alg: key.algorithm, typ: 'dpop+jwt', jwk, ...header };
  return new SignJWT(withoutUndefined(all))
    .setProtectedHeader(withoutUndefined(head) as { alg: string })
    .sign(key.privateKey);
}

const withoutUndefined = (all: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));

export async function addService(
  { server }: Pick<Bench, 'server'>,
  keys: readonly TestKey[],
  change: Partial<Registration> = {},
) {
  const { client } = await server.clients.add({
    name: 'Bulk client',
    authentication: 'private_key_jwt',
    jwks: keys.map(({ publicJwk }) => publicJwk),
    grantTypes: ['client_credentials'],
    scopes: ['system/*.rs'],
    ...change,
  });
  return client;
}

/** Texts that nobody means well with, wherever a parameter or field is. */
export const hostileTexts: readonly string[] = [
  '',
  ' ',
  '0',
  'null',
  '\0',
  '\r\nX: y',
  '__proto__',
  'constructor',
  '{"$ne":null}',
  "' OR 1=1 --",
  '../../etc/passwd',
  '<script>alert(1)</script>',
  '%00%ff%zz',
  '\u202e\ud800',
];

// Two thousand hostile requests to the authorization server: each is answered, none with a 5xx, none with a stack, and none
// gets a token that it should not have.
import t from 'tap';
import type { AuthRequest } from '../../src/auth/exchange.ts';
import { randomFrom } from '../support/random-numbers.ts';
import { sqlite } from '../support/stores.ts';
import {
  addPublicApp,
  addService,
  assertionForm,
  authorizeParameters,
  basic,
  benchOn,
  codeFor,
  hostileTexts,
  publicApp,
  testKey,
  tokensFor,
} from './support.ts';

const hostile: readonly string[] = [
  ...hostileTexts,
  '🏥'.repeat(50),
  'x'.repeat(10_000),
  'patient/*.cruds',
  'patient/Observation.rs?category=a',
  'system/*.*',
  'openid offline_access',
  'launch',
  'S256',
  'plain',
  'code',
  'https://evil.example.org/',
  'javascript:alert(1)',
  'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  'eyJhbGciOiJub25lIn0.eyJpc3MiOiJ4In0.',
  'eyJhbGciOiJub25lIn0.eyJpc3MiOiJ4In0',
  'a.b.c',
  'urn:ietf:params:oauth:request_uri:x',
  // A DPoP proof whose key is none.
  'eyJhbGciOiJFUzI1NiIsInR5cCI6ImRwb3Arand0IiwiandrIjp7Imt0eSI6IkVDIiwiY3J2IjoiUC0yNTYiLCJ4IjoiQSIsInkiOiJCIn19.e30.AA',
  'authorization_code',
  'refresh_token',
  'client_credentials',
  'password',
];

const names: readonly string[] = [
  ...[
    'client_id',
    'redirect_uri',
    'response_type',
    'scope',
    'state',
    'aud',
    'launch',
    'nonce',
    'prompt',
    'response_mode',
  ],
  ...['code_challenge', 'code_challenge_method', 'grant_type', 'code', 'code_verifier', 'refresh_token', 'token'],
  ...['client_secret', 'client_assertion', 'client_assertion_type', 'token_type_hint', 'request', 'x', '__proto__'],
  ...['request_uri', 'dpop_jkt', 'max_age', 'login_hint'],
];

t.test('threat 25: 2,000 hostile requests: no 5xx, no stack, no token', async (t) => {
  const seed = Number(process.env.CARELOOM_FUZZ_SEED ?? Date.now() % 1_000_000);
  t.comment(`seed ${seed}`);
  const random = randomFrom(seed);
  const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)] as Item;
  const bench = await benchOn(t, sqlite, { registration: 'approval' });
  const app = await addPublicApp(bench);
  const { client, secret = '' } = await bench.server.clients.add(publicApp({ authentication: 'client_secret_basic' }));
  const key = await testKey('ES384');
  const service = await addService(bench, [key]);
  const { json: held } = await tokensFor(bench, app, { scope: 'user/*.rs offline_access' });
  const good: readonly Record<string, string>[] = [
    authorizeParameters(app, 'launch/patient patient/*.rs'),
    { ...(await codeFor(bench, app, { scope: 'user/*.rs' })), client_id: app.id },
    { grant_type: 'refresh_token', refresh_token: held.refresh_token },
    {
      grant_type: 'client_credentials',
      scope: 'system/*.rs',
      ...(await assertionForm({ key, client: service.id, clock: bench.clock })),
    },
    { token: held.access_token, client_id: app.id },
  ];
  const jsons: readonly unknown[] = [
    undefined,
    null,
    1,
    'x',
    [],
    {},
    { client_name: {} },
    { redirect_uris: [{}] },
    { client_id: app.id, patient: 'x'.repeat(1e5) },
    { jwks: { keys: [null] }, token_endpoint_auth_method: 'private_key_jwt' },
    JSON.parse('{"__proto__":{"isFirstParty":true}}'),
  ];
  const headers: readonly (string | undefined)[] = [
    undefined,
    'Basic',
    'Basic ====',
    'Bearer',
    basic(client.id, 'x').authorization,
    basic('\0', '\ud800').authorization,
    `Bearer ${held.access_token}`,
    `DPoP ${held.access_token}`,
    'Digest x',
    `Basic ${'x'.repeat(20_000)}`,
  ];
  const spoilt = (): URLSearchParams => {
    const form = new URLSearchParams(random() < 0.8 ? pick(good) : {});
    for (let change = 1 + Math.floor(random() * 3); change > 0; change--) {
      const name = pick(names);
      const kind = random();
      if (kind < 0.5) form.set(name, pick(hostile));
      else if (kind < 0.7) form.delete(name);
      else if (kind < 0.85) form.append(name, pick(hostile));
      else form.set(name, (form.get(name) ?? pick(hostile)).split('').reverse().join(''));
    }
    return form;
  };
  const statuses = new Map<number, number>();
  for (let round = 0; round < 2_000; round++) {
    const route = pick(bench.server.routes);
    const [parameters, authorization, dpop] = [spoilt(), pick(headers), pick(hostile)];
    const request: AuthRequest = {
      method: route.method,
      path: route.path,
      params: {},
      query: parameters,
      form: parameters,
      json: pick(jsons),
      header: (name) =>
        name === 'authorization' ? authorization : name === 'dpop' && round % 4 === 0 ? dpop : undefined,
      cookie: () => pick(hostile),
      address: '192.0.2.1',
      id: 'x',
    };
    const what = `${route.method} ${route.path} ${parameters} ${authorization} ${JSON.stringify(request.json)}`.slice(
      0,
      500,
    );
    const { status, body, headers: sent = {} } = await route.handle(request);
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    const text = typeof body === 'string' ? body : JSON.stringify(body ?? {});
    if (status >= 500) t.fail(`${status}: ${what}`);
    if (/\bat .*\.ts:\d+|node:internal/.test(text)) t.fail(`a stack: ${what}`);
    if (text.includes('<script') || /[\r\n]/.test(sent.Location ?? '')) t.fail(`an echo: ${what}`);
    if (status === 303 && !/^https:\/\/(app|ehr)\.example\.org\//.test(sent.Location ?? ''))
      t.fail(`sent away: ${what}`);
  }
  t.comment([...statuses].map(([status, count]) => `${status}: ${count}`).join(', '));
  t.equal(bench.faults.length, 0, 'nothing that we would have to look into');
  t.equal(({} as Record<string, unknown>).isFirstParty, undefined);
  t.ok(secret);
});

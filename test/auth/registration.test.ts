// Clients: how they are registered, by the operator and by themselves, and by which keys they are known.
// https://www.rfc-editor.org/rfc/rfc7591, https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import type { Registration } from '../../src/auth/clients.ts';
import { onBothStores, sqlite } from '../support/stores.ts';
import {
  addPublicApp,
  addService,
  assertionForm,
  authorizeParameters,
  authorizeUrl,
  benchOn,
  call,
  callback,
  publicApp,
  type TestKey,
  testKey,
  tokensFor,
} from './support.ts';

const [rsa, ec] = (await Promise.all([testKey('RS384'), testKey('ES384')])) as [TestKey, TestKey];

const metadata = {
  client_name: 'Growth Chart',
  redirect_uris: [callback],
  token_endpoint_auth_method: 'none',
  grant_types: ['authorization_code', 'refresh_token'],
  scope: 'launch/patient patient/*.rs offline_access patient/Observation.rs?category=laboratory',
  logo_uri: 'https://app.example.org/logo.png',
};

await onBothStores(t, async (t, adapter) => {
  await t.test('dynamic registration is off unless it is allowed', async (t) => {
    const bench = await benchOn(t, adapter);
    t.equal((await call(bench.server, 'POST', '/auth/register', { json: metadata })).status, 404);
  });

  await t.test('with an initial access token: used once, active and unverified', async (t) => {
    const bench = await benchOn(t, adapter, { registration: 'token' });
    const discovery = await call(bench.server, 'GET', '/fhir/.well-known/smart-configuration');
    t.match(discovery.json.registration_endpoint, /\/auth\/register$/);
    const token = await bench.server.clients.newRegistrationToken();
    const register = (json: unknown, by = token) =>
      call(bench.server, 'POST', '/auth/register', { json, headers: { authorization: `Bearer ${by}` } });
    t.equal((await register(metadata, 'x')).status, 401);
    const { status, json } = await register(metadata);
    t.equal(status, 201);
    t.equal(json.scope, metadata.scope, 'SMART’s scopes as they are');
    t.notOk('client_secret' in json);
    t.notOk('logo_uri' in json, 'nothing is fetched, and nothing shown');
    const client = await bench.server.clients.get(json.client_id);
    t.match(client, { isUnverified: true, isFirstParty: false, isResourceServer: false, state: 'active' });
    t.equal((await register(metadata)).status, 401, 'the token is spent');
    if (client !== undefined)
      t.equal((await tokensFor(bench, client, { scope: 'launch/patient patient/*.rs', patient: 'pat' })).status, 200);
  });

  await t.test('by anybody, it waits for approval', async (t) => {
    const bench = await benchOn(t, adapter, { registration: 'approval' });
    const { json } = await call(bench.server, 'POST', '/auth/register', {
      json: { ...metadata, token_endpoint_auth_method: 'client_secret_basic' },
    });
    t.match(json.client_secret, /^[A-Za-z0-9_-]{43}$/);
    t.equal(json.client_secret_expires_at, 0);
    const url = authorizeUrl(authorizeParameters(json.client_id, 'patient/*.rs'));
    t.equal((await call(bench.server, 'GET', url)).status, 400, 'pending');
    await bench.server.clients.setState(json.client_id, 'active');
    t.equal((await call(bench.server, 'GET', url)).status, 303, 'approved');
  });

  await t.test(
    'keys at a URL: fetched through the guard, kept as their server says, and anew for a new kid',
    async (t) => {
      let [fetches, control, published] = [0, 'max-age=60', [rsa]];
      const keySet = createServer((_, response) => {
        fetches++;
        const keys = published.map(({ publicJwk }) => publicJwk);
        response.setHeader('cache-control', control).end(JSON.stringify({ keys }));
      });
      await new Promise<void>((resolve) => keySet.listen(0, '127.0.0.1', resolve));
      t.teardown(() => keySet.close());
      const jwksUri = `http://127.0.0.1:${(keySet.address() as AddressInfo).port}/jwks`;
      const bench = await benchOn(t, adapter);
      const { client } = await bench.server.clients.add({
        name: 'Bulk client',
        authentication: 'private_key_jwt',
        jwksUri,
        grantTypes: ['client_credentials'],
        scopes: ['system/*.rs'],
      });
      const ask = async (key: TestKey, header: Record<string, unknown> = {}) => {
        const proof = await assertionForm({ key, client: client.id, clock: bench.clock, header });
        const form = { grant_type: 'client_credentials', scope: 'system/*.rs', ...proof };
        return (await call(bench.server, 'POST', '/auth/token', { form })).status;
      };
      t.equal(await ask(rsa), 200);
      t.equal(await ask(rsa, { jku: jwksUri }), 200, 'a jku that is the registered URL');
      t.equal(fetches, 1);
      t.equal(await ask(ec), 401, 'a kid that is not there');
      published = [rsa, ec];
      bench.clock.pass(31_000);
      t.equal(await ask(ec), 200, 'a new key');
      t.equal(fetches, 2);
      published = [ec];
      bench.clock.pass(61_000);
      t.equal(await ask(rsa), 401, 'a key that was withdrawn');
      control = 'no-store';
      bench.clock.pass(61_000);
      await ask(ec);
      const before = fetches;
      t.equal(await ask(ec), 200);
      t.equal(fetches, before + 1, 'not kept against its server’s will');
      keySet.close();
      keySet.closeAllConnections();
      t.equal(await ask(ec), 401, 'a server that is gone');
      t.equal(bench.faults.length, 1, 'is told to the log');
    },
  );

  await t.test(
    'signing keys change every 90 days; old ones stay published while what they signed may live',
    async (t) => {
      const bench = await benchOn(t, adapter);
      const kids = async (server = bench.server) =>
        (await call(server, 'GET', '/auth/jwks')).json.keys.map(({ kid }: { kid: string }) => kid);
      const [first] = await kids();
      t.same(await kids(bench.another()), [first], 'servers on one store share them');
      const [published] = (await call(bench.server, 'GET', '/auth/jwks')).json.keys;
      t.equal(Buffer.from(published.n, 'base64url').length * 8, 3_072, '128 bits of security');
      t.notMatch(
        JSON.stringify(await bench.store.records.list('signing-keys', { limit: 1 })),
        /"d":/,
        'encrypted where they are kept',
      );
      bench.clock.pass(90 * 24 * 3_600_000);
      const after = await kids();
      t.equal(after.length, 2);
      t.equal(after[1], first, 'the old one is still there');
      bench.clock.pass(90 * 24 * 3_600_000);
      t.notOk((await kids()).includes(first), 'and goes with the next');
      const app = await addPublicApp(bench);
      const stranger = bench.another({ secret: 'another secret of at least thirty-two characters' });
      const before = (await kids()).length;
      t.ok((await tokensFor({ ...bench, server: stranger }, app, { scope: 'openid user/*.rs' })).json.id_token);
      t.equal(bench.faults.length, 1, 'a key that another secret encrypted is told to the log');
      t.equal((await kids(stranger)).length, before + 1, 'and replaced; what it signed is still valid');
    },
  );
});

t.test('registrations that are refused', async (t) => {
  const bench = await benchOn(t, sqlite, { registration: 'approval' });
  const wrong: Record<string, unknown> = {
    'no body': undefined,
    'a list': [],
    'no name': { ...metadata, client_name: '' },
    'a name that turns its direction': { ...metadata, client_name: 'abc\u202Ecba' },
    'a long name': { ...metadata, client_name: 'x'.repeat(101) },
    'no redirect URI': { ...metadata, redirect_uris: [] },
    http: { ...metadata, redirect_uris: ['http://app.example.org/'] },
    script: { ...metadata, redirect_uris: ['javascript:alert(1)'] },
    'a fragment': { ...metadata, redirect_uris: [`${callback}#x`] },
    credentials: { ...metadata, redirect_uris: ['https://a:b@app.example.org/'] },
    'a relative address': { ...metadata, redirect_uris: ['/callback'] },
    'a line feed': { ...metadata, redirect_uris: [`${callback}\r\nX: y`] },
    'too many': { ...metadata, redirect_uris: Array.from({ length: 21 }, (_, at) => `${callback}/${at}`) },
    'a number': { ...metadata, redirect_uris: [1] },
    operators: { ...metadata, client_name: { $ne: '' } },
    'system scopes': { ...metadata, scope: 'system/*.rs' },
    'backend service': { ...metadata, grant_types: ['client_credentials'] },
    implicit: { ...metadata, grant_types: ['implicit'] },
    'another response type': { ...metadata, response_types: ['token'] },
    'no scope': { ...metadata, scope: '' },
    'an unknown scope': { ...metadata, scope: 'profile' },
    'a chained scope': { ...metadata, scope: 'patient/Observation.rs?patient.name=x' },
    'a secret in the form': { ...metadata, token_endpoint_auth_method: 'client_secret_post' },
    'no keys': { ...metadata, token_endpoint_auth_method: 'private_key_jwt' },
    'keys of a public app': { ...metadata, jwks: { keys: [rsa.publicJwk] } },
    'a private key': {
      ...metadata,
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: { keys: [{ ...rsa.publicJwk, d: 'x' }] },
    },
    'a shared key': {
      ...metadata,
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: { keys: [{ kty: 'oct', kid: '1', k: 'x' }] },
    },
    'no kid': {
      ...metadata,
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: { keys: [{ ...ec.publicJwk, kid: undefined }] },
    },
    'one kid twice': {
      ...metadata,
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: { keys: [ec.publicJwk, ec.publicJwk] },
    },
    'threat 14: keys inside': {
      ...metadata,
      token_endpoint_auth_method: 'private_key_jwt',
      jwks_uri: 'https://169.254.169.254/',
    },
    'threat 14: keys by http': {
      ...metadata,
      token_endpoint_auth_method: 'private_key_jwt',
      jwks_uri: 'http://app.example.org/',
    },
  };
  for (const [what, json] of Object.entries(wrong)) {
    const { status, json: answer } = await call(bench.server, 'POST', '/auth/register', { json });
    t.equal(status, 400, what);
    t.match(answer.error, /^invalid_(client_metadata|redirect_uri)$/, `${what}: ${answer.error_description}`);
  }
  t.same(await bench.server.clients.list(), []);
});

t.test('what an operator registers is checked the same', async (t) => {
  const bench = await benchOn(t, sqlite);
  const add = (change: Partial<Registration>) => bench.server.clients.add(publicApp(change));
  t.equal((await add({ id: 'growth-chart' })).client.id, 'growth-chart');
  await t.rejects(add({ id: 'growth-chart' }), { name: 'FhirError', message: /exists/ } as never);
  await t.rejects(add({ id: 'a:b' }));
  await t.rejects(add({ grantTypes: ['client_credentials'] }), 'a backend service proves itself by keys');
  await t.rejects(bench.server.clients.rotateSecret('growth-chart'), 'it has none');
  await t.rejects(bench.server.clients.setState('nobody', 'disabled'));
});

t.test('a client of the operator’s may be listed page by page', async (t) => {
  const bench = await benchOn(t, sqlite);
  for (const id of ['a', 'b', 'c']) await bench.server.clients.add(publicApp({ id }));
  await addService(bench, [rsa], { id: 'd' });
  t.same(
    (await bench.server.clients.list()).map(({ id }) => id),
    ['a', 'b', 'c', 'd'],
  );
  t.same(
    (await bench.server.clients.list({ after: 'b', limit: 1 })).map(({ id }) => id),
    ['c'],
  );
});

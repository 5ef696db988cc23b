// Authorization requests that are pushed beforehand. https://www.rfc-editor.org/rfc/rfc9126
import t from 'tap';
import { onBothStores } from '../support/stores.ts';
import {
  addPublicApp,
  addService,
  assertionForm,
  authorizeParameters,
  authorizeUrl,
  type Bench,
  basic,
  benchOn,
  call,
  callback,
  decide,
  everything,
  issuer,
  type Jar,
  type Parameters,
  pkce,
  postToken,
  publicApp,
  returned,
  testKey,
} from './support.ts';

const scope = 'launch/patient patient/*.rs';

const push = ({ server }: Pick<Bench, 'server'>, form: Parameters, headers: Record<string, string> = {}) =>
  call(server, 'POST', '/auth/par', { form, headers });

const follow = ({ server }: Pick<Bench, 'server'>, client_id: string, request_uri: string, more: Parameters = {}) =>
  call(server, 'GET', authorizeUrl({ client_id, request_uri, ...more }));

await onBothStores(t, async (t, adapter) => {
  await t.test('a request is pushed, named by its request_uri, decided, and its code redeemed', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench);
    const { verifier, challenge } = pkce();
    const { status, json } = await push(bench, authorizeParameters(app, scope, { code_challenge: challenge }));
    t.equal(status, 201);
    t.match(json.request_uri, /^urn:ietf:params:oauth:request_uri:[A-Za-z0-9_-]{43}$/);
    t.equal(json.expires_in, 60);
    const jar: Jar = new Map();
    const asked = { client_id: app.id, request_uri: json.request_uri };
    const { headers } = await call(bench.server, 'POST', '/auth/authorize', { form: asked }, jar);
    const { code = '', state } = returned(await decide(bench, headers.Location, jar, { patient: 'pat' }));
    t.equal(state, 'state-0123456789', 'what was pushed');
    const form = { grant_type: 'authorization_code', code, redirect_uri: callback, code_verifier: verifier };
    t.equal((await postToken(bench, { ...form, client_id: app.id })).json.patient, 'pat');
  });

  await t.test('a request_uri is good once, for a minute, and for its client', async (t) => {
    const bench = await benchOn(t, adapter);
    const [app, other] = [await addPublicApp(bench), await addPublicApp(bench)];
    const pushed = async () => (await push(bench, authorizeParameters(app, scope))).json.request_uri;
    const isRefused = async (client: string, uri: string, why: string) => {
      const { status, headers, text } = await follow(bench, client, uri, { redirect_uri: callback });
      t.match(
        { status, location: headers.Location, text },
        { status: 400, location: undefined, text: /request_uri/ },
        why,
      );
    };
    const one = await pushed();
    await isRefused(other.id, one, 'another client');
    t.equal((await follow(bench, app.id, one)).status, 303, 'which does not spend it');
    await isRefused(app.id, one, 'twice');
    const late = await pushed();
    bench.clock.pass(60_001);
    await isRefused(app.id, late, 'late');
    await isRefused(app.id, `${await pushed()}x`, 'altered');
    const raced = await pushed();
    const elsewhere = await bench.elsewhere();
    const got = await Promise.all(
      Array.from({ length: 6 }, (_, at) => follow({ server: at % 2 === 0 ? bench.server : elsewhere }, app.id, raced)),
    );
    t.equal(got.filter(({ status }) => status === 303).length, 1, 'one of six at once, by two processes');
  });

  await t.test('only what was pushed counts', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench);
    const { json } = await push(bench, authorizeParameters(app, scope));
    const altered = authorizeParameters(app, everything.join(' '), {
      state: 'theirs',
      redirect_uri: 'https://evil.example.org',
    });
    const { headers } = await follow(bench, app.id, json.request_uri, altered);
    const id = headers.Location?.split('/').at(-1) ?? '';
    t.match(await bench.server.interactions.get(id), {
      scopes: scope.split(' '),
      state: 'state-0123456789',
      redirectUri: callback,
    });
  });

  await t.test('what would be refused at the authorization endpoint is not pushed', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench);
    const cases: [change: Readonly<Record<string, string | undefined>>, error: string][] = [
      [{ redirect_uri: 'https://evil.example.org' }, 'invalid_request'],
      [{ aud: 'https://other.example.org/fhir' }, 'invalid_request'],
      [{ code_challenge_method: 'plain' }, 'invalid_request'],
      [{ response_type: 'token' }, 'unsupported_response_type'],
      [{ scope: 'system/*.rs' }, 'invalid_scope'],
      [{ request_uri: 'urn:ietf:params:oauth:request_uri:x' }, 'invalid_request'],
      [{ request: 'e30.e30.' }, 'request_not_supported'],
      [{ client_id: 'nobody' }, 'invalid_client'],
      [{ client_id: undefined }, 'invalid_client'],
    ];
    for (const [change, error] of cases) {
      const { status, json } = await push(bench, authorizeParameters(app, scope, change));
      t.match(
        { status, error: json.error },
        { status: error === 'invalid_client' ? 401 : 400, error },
        JSON.stringify(change),
      );
    }
    t.equal((await bench.store.records.list('pushed-request', { limit: 9 })).length, 0);
  });

  await t.test('clients prove who they are as at the token endpoint', async (t) => {
    const bench = await benchOn(t, adapter);
    const key = await testKey('ES384');
    const { client, secret = '' } = await bench.server.clients.add(
      publicApp({ authentication: 'client_secret_basic' }),
    );
    const own = authorizeParameters(client, scope, { client_id: undefined });
    t.equal((await push(bench, own, basic(client.id, 'wrong'))).status, 401);
    t.equal((await push(bench, authorizeParameters(client, scope))).status, 401, 'no secret');
    t.equal((await push(bench, own, basic(client.id, secret))).status, 201);
    const signing = await addService(bench, [key], {
      redirectUris: [callback],
      grantTypes: ['authorization_code'],
      scopes: everything,
    });
    for (const aud of [issuer, `${issuer}/auth/token`, `${issuer}/auth/par`]) {
      const proof = await assertionForm({ key, client: signing.id, clock: bench.clock, claims: { aud } });
      const { json, status } = await push(bench, { ...authorizeParameters(signing, scope), ...proof });
      t.equal(status, 201, aud);
      t.equal((await follow(bench, signing.id, json.request_uri)).status, 303);
    }
    const claims = { aud: `${issuer}/auth/par` };
    const elsewhere = await assertionForm({ key, client: signing.id, clock: bench.clock, claims });
    const revocation = { token: 'x', ...elsewhere };
    t.equal((await call(bench.server, 'POST', '/auth/revoke', { form: revocation })).status, 401, 'there alone');
    t.notMatch(JSON.stringify(await bench.store.records.list('pushed-request', { limit: 9 })), 'client_assertion');
  });

  await t.test('a client that is registered for it cannot ask in any other way', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench, { requiresPushedRequests: true });
    const { status, headers } = await call(bench.server, 'GET', authorizeUrl(authorizeParameters(app, scope)));
    t.equal(status, 303);
    t.match(returned(headers.Location), { error: 'invalid_request', error_description: /push/ });
    const { json } = await push(bench, authorizeParameters(app, scope));
    t.match((await follow(bench, app.id, json.request_uri)).headers.Location, `${issuer}/auth/interaction/`);
  });

  await t.test('discovery and registration know of it', async (t) => {
    const { server } = await benchOn(t, adapter, { registration: 'approval' });
    for (const url of ['/fhir/.well-known/smart-configuration', '/.well-known/openid-configuration'])
      t.match((await call(server, 'GET', url)).json, {
        pushed_authorization_request_endpoint: `${issuer}/auth/par`,
        require_pushed_authorization_requests: false,
      });
    const body = { client_name: 'App', redirect_uris: [callback], scope, token_endpoint_auth_method: 'none' };
    const register = (json: object) => call(server, 'POST', '/auth/register', { json });
    const asked = { ...body, require_pushed_authorization_requests: true };
    const { json, status } = await register(asked);
    t.match({ json, status }, { json: { require_pushed_authorization_requests: true }, status: 201 });
    t.equal((await server.clients.get(json.client_id))?.requiresPushedRequests, true);
    t.equal((await register({ ...asked, require_pushed_authorization_requests: 'yes' })).status, 400);
  });
});

// What the authorization endpoint refuses, and where it says so.
// https://hl7.org/fhir/smart-app-launch/app-launch.html#obtain-authorization-code, https://www.rfc-editor.org/rfc/rfc9700
import t from 'tap';
import { onBothStores } from '../support/stores.ts';
import {
  addPublicApp,
  addService,
  authorizeParameters,
  authorizeUrl,
  benchOn,
  call,
  callback,
  issuer,
  returned,
  testKey,
} from './support.ts';

await onBothStores(t, async (t, adapter) => {
  await t.test('threat 29: before the redirect URI is known to be the app’s, nobody is sent anywhere', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench);
    const good = authorizeParameters(app, 'user/*.rs');
    const wrong: Record<string, Record<string, string>> = {
      'unknown client': { ...good, client_id: 'nobody' },
      'client id with operators': { ...good, client_id: '{"$ne":null}' },
      'another address': { ...good, redirect_uri: 'https://evil.example.org/' },
      'a longer address': { ...good, redirect_uri: `${callback}/more` },
      'a query added': { ...good, redirect_uri: `${callback}?x=1` },
      'another case': { ...good, redirect_uri: callback.toUpperCase() },
      'user info': { ...good, redirect_uri: callback.replace('https://', 'https://app.example.org@evil.example.org/') },
      'no address': Object.fromEntries(Object.entries(good).filter(([name]) => name !== 'redirect_uri')),
    };
    for (const [what, parameters] of Object.entries(wrong)) {
      for (const method of ['GET', 'POST'] as const) {
        const url = method === 'GET' ? authorizeUrl(parameters) : '/auth/authorize';
        const answer = await call(bench.server, method, url, { form: parameters });
        t.equal(answer.status, 400, `${what}, ${method}`);
        t.notOk('Location' in answer.headers);
        t.match(answer.text, /^<!doctype html>/);
        t.notMatch(answer.text, /evil|nobody|\$ne/, 'nothing of the request is shown');
      }
    }
    const twice = `${authorizeUrl(good)}&redirect_uri=${encodeURIComponent(callback)}`;
    t.equal((await call(bench.server, 'GET', twice)).status, 400, 'given twice');
    await bench.server.clients.setState(app.id, 'disabled');
    t.equal((await call(bench.server, 'GET', authorizeUrl(good))).status, 400, 'disabled app');
  });

  await t.test('other errors go back to the app, with state and iss', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench, { scopes: ['patient/Observation.rs', 'launch/patient', 'openid', 'launch'] });
    const scope = 'launch/patient patient/Observation.rs';
    const cases: [string, Record<string, string | undefined>, string][] = [
      ['no response_type', { response_type: undefined }, 'invalid_request'],
      ['implicit flow', { response_type: 'token' }, 'unsupported_response_type'],
      ['fragment', { response_mode: 'fragment' }, 'invalid_request'],
      ['no PKCE', { code_challenge: undefined }, 'invalid_request'],
      ['no method', { code_challenge_method: undefined }, 'invalid_request'],
      ['plain PKCE', { code_challenge_method: 'plain' }, 'invalid_request'],
      ['a challenge that is no hash', { code_challenge: 'abc' }, 'invalid_request'],
      ['no aud', { aud: undefined }, 'invalid_request'],
      ['another server’s aud', { aud: 'https://other.example.org/fhir' }, 'invalid_request'],
      ['an aud that begins like ours', { aud: `${issuer}/fhir.evil.example.org` }, 'invalid_request'],
      ['no scope', { scope: undefined }, 'invalid_request'],
      ['nothing that it is registered for', { scope: 'user/*.rs profile' }, 'invalid_scope'],
      ['system scopes', { scope: 'system/*.rs' }, 'invalid_scope'],
      ['permissions out of order', { scope: 'patient/Observation.sr' }, 'invalid_scope'],
      ['no permissions', { scope: 'patient/Observation.' }, 'invalid_scope'],
      ['a query with writing', { scope: 'patient/Observation.cu?category=laboratory' }, 'invalid_scope'],
      ['a chained query', { scope: 'patient/Observation.rs?patient.name=x' }, 'invalid_scope'],
      ['a query by _has', { scope: 'patient/Patient.rs?_has:Observation:patient:code=x' }, 'invalid_scope'],
      ['a query on all types', { scope: 'patient/*.rs?category=x' }, 'invalid_scope'],
      ['characters of no scope', { scope: 'patient/Observation.rs?code="x"' }, 'invalid_scope'],
      ['launch without a launch id alone', { scope: 'launch' }, 'invalid_scope'],
      ['a request object', { request: 'eyJ' }, 'request_not_supported'],
      ['a request URI', { request_uri: 'https://evil.example.org' }, 'request_uri_not_supported'],
      ['no person', { prompt: 'none' }, 'interaction_required'],
      ['a long state', { state: 'x'.repeat(3_000) }, 'invalid_request'],
      ['a long nonce', { nonce: 'x'.repeat(3_000) }, 'invalid_request'],
      ['a huge scope', { scope: 'x '.repeat(20_000) }, 'invalid_scope'],
    ];
    for (const [what, change, error] of cases) {
      const { status, headers } = await call(
        bench.server,
        'GET',
        authorizeUrl(authorizeParameters(app, scope, change)),
      );
      t.equal(status, 303, what);
      t.ok(headers.Location?.startsWith(`${callback}?`));
      const back = returned(headers.Location);
      t.equal(back.error, error, `${what}: ${back.error_description}`);
      t.match(back.error_description, /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/, 'in the characters of RFC 6749');
      t.equal(back.iss, issuer);
      t.equal(back.state, change.state === undefined ? 'state-0123456789' : undefined);
      t.notOk('code' in back);
    }
    const twice = `${authorizeUrl(authorizeParameters(app, scope))}&scope=openid`;
    t.equal(
      returned((await call(bench.server, 'GET', twice)).headers.Location).error,
      'invalid_request',
      'given twice',
    );
  });

  await t.test('a backend service is sent back: no person can allow it anything', async (t) => {
    const bench = await benchOn(t, adapter);
    const service = await addService(bench, [await testKey('ES384')], { redirectUris: [callback] });
    const { headers } = await call(bench.server, 'GET', authorizeUrl(authorizeParameters(service, 'system/*.rs')));
    t.equal(returned(headers.Location).error, 'unauthorized_client');
    const both = await addService(bench, [await testKey('ES384')], {
      redirectUris: [callback],
      grantTypes: ['authorization_code', 'client_credentials'],
      scopes: ['system/*.rs', 'user/*.rs'],
    });
    const url = authorizeUrl(authorizeParameters(both, 'user/*.rs system/*.rs'));
    const answer = await call(bench.server, 'GET', url);
    t.equal(returned(answer.headers.Location).error, 'invalid_scope', 'nor hand over what it has without one');
  });

  await t.test('scopes that are not known or not registered are passed over', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench, { scopes: ['patient/*.rs', 'launch/patient'] });
    const asked =
      'launch launch/patient profile patient/Observation.r patient/Observation.cruds openid https://x/y patient/*.read';
    const { headers } = await call(bench.server, 'GET', authorizeUrl(authorizeParameters(app, asked)));
    const interaction = await bench.server.interactions.get(headers.Location?.split('/').at(-1) ?? '');
    t.same(interaction?.scopes, ['launch/patient', 'patient/Observation.r', 'patient/*.read']);
  });

  await t.test('granular scopes are checked against the search parameters', async (t) => {
    const checkScopeQuery = (type: string, query: string) =>
      type === 'Observation' && query.startsWith('category=') ? undefined : 'asks for an unknown parameter';
    const bench = await benchOn(t, adapter, { checkScopeQuery });
    const app = await addPublicApp(bench);
    const ask = async (scope: string) =>
      returned((await call(bench.server, 'GET', authorizeUrl(authorizeParameters(app, scope)))).headers.Location);
    t.equal((await ask('patient/Observation.rs?nonsense=1')).error, 'invalid_scope');
    t.notOk('error' in (await ask('patient/Observation.rs?category=laboratory')));
    await t.rejects(addPublicApp(bench, { scopes: ['patient/Condition.rs?code=x'] }), { name: 'FhirError' });
  });

  await t.test('an address with a query of its own keeps it', async (t) => {
    const bench = await benchOn(t, adapter);
    const redirect = 'http://127.0.0.1:9000/callback?tenant=1';
    const app = await addPublicApp(bench, { redirectUris: [redirect] });
    const wrong = authorizeParameters(app, 'user/*.rs', { redirect_uri: redirect, aud: 'x' });
    const { headers } = await call(bench.server, 'GET', authorizeUrl(wrong));
    t.ok(headers.Location?.startsWith(`${redirect}&error=invalid_request`));
  });
});

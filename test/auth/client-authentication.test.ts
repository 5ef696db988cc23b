// How clients prove who they are at the token endpoint, and what a backend service gets there.
// https://hl7.org/fhir/smart-app-launch/app-launch.html#obtain-access-token,
// https://hl7.org/fhir/smart-app-launch/backend-services.html,
// https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html
import t from 'tap';
import { limits } from '../../src/base/limits.ts';
import { clientRates } from '../../src/http/rate.ts';
import { onBothStores } from '../support/stores.ts';
import {
  addPublicApp,
  addService,
  assertionForm,
  basic,
  benchOn,
  call,
  callback,
  codeFor,
  everything,
  isLive,
  issuer,
  postToken as post,
  publicApp,
  refreshed,
  testKey,
  tokensFor,
} from './support.ts';

const offline = { scope: 'launch/patient patient/*.rs offline_access', patient: 'pat' };

/** Counts at a time of its own, in ms. */
function ratesAt() {
  const time = { now: 0 };
  return { time, rates: clientRates(() => time.now) };
}

const keys = await Promise.all([testKey('RS384'), testKey('ES384')]);
const [rsa, ec] = keys as [(typeof keys)[0], (typeof keys)[0]];

await onBothStores(t, async (t, adapter) => {
  await t.test('a service asks for so many tokens a second, from whatever addresses', async (t) => {
    const { time, rates } = ratesAt();
    const bench = await benchOn(t, adapter, { rates });
    const [one, other] = [await addService(bench, [rsa]), await addService(bench, [rsa])];
    const ask = async (client: string, at: number, secret = rsa) =>
      call(bench.server, 'POST', '/auth/token', {
        form: {
          grant_type: 'client_credentials',
          scope: 'system/*.rs',
          ...(await assertionForm({ key: secret, client, clock: bench.clock })),
        },
        address: `192.0.2.${at}`,
      });
    for (let at = 1; at <= limits.clientTokensBurst; at++) t.equal((await ask(one.id, at)).status, 200);
    const refused = await ask(one.id, 200);
    t.match(refused, { status: 429, headers: { 'Retry-After': '1' }, json: { error: 'temporarily_unavailable' } });
    t.equal((await ask(other.id, 200)).status, 200, 'another client');
    time.now += 1_000;
    for (let at = 1; at <= limits.clientTokensPerS; at++) t.equal((await ask(one.id, at)).status, 200);
    t.equal((await ask(one.id, 200)).status, 429);
  });

  await t.test(
    'installations of a public app are counted each for itself; what was refused is not spent',
    async (t) => {
      const { time, rates } = ratesAt();
      const bench = await benchOn(t, adapter, { rates });
      const app = await addPublicApp(bench);
      let mine = (await tokensFor(bench, app, offline)).json.refresh_token;
      const theirs = (await tokensFor(bench, app, offline)).json.refresh_token;
      // The code was one.
      for (let count = 1; count < limits.clientTokensBurst; count++)
        mine = (await refreshed(bench, mine)).json.refresh_token;
      t.equal((await refreshed(bench, mine)).status, 429);
      t.equal((await refreshed(bench, theirs)).status, 200);
      time.now += 1_000;
      t.equal((await refreshed(bench, mine)).status, 200, 'the refresh token is still good');
    },
  );

  await t.test('wrong secrets: so many from one network, then none is looked at for a while', async (t) => {
    const { time, rates } = ratesAt();
    const bench = await benchOn(t, adapter, { rates });
    const confidential = { authentication: 'client_secret_basic', isResourceServer: true } as const;
    const { client, secret = '' } = await bench.server.clients.add(publicApp(confidential));
    const other = await bench.server.clients.add(publicApp(confidential));
    const ask = (given: string, address: string, id = client.id) =>
      call(bench.server, 'POST', '/auth/introspect', { form: { token: 'x' }, headers: basic(id, given), address });
    const here = (host: number) => `2001:db8:1:2::${host}`;
    for (let count = 0; count < limits.clientProofsBurst; count++)
      t.equal((await ask('wrong', here(count))).json.error, 'invalid_client');
    const told = bench.events.length;
    for (const each of ['wrong', secret]) {
      const refused = await ask(each, here(99));
      t.match(refused, { status: 429, json: { error: 'temporarily_unavailable' } });
      t.equal(Number(refused.headers['Retry-After']), 900 / limits.clientProofsPer15Min);
    }
    t.equal(bench.events.length, told, 'nor does each fill the record');
    t.equal((await ask(secret, '2001:db8:1:3::1')).status, 200, 'the client itself, elsewhere');
    t.equal((await ask(other.secret ?? '', here(99), other.client.id)).status, 200, 'another client from there');
    time.now += (900 / limits.clientProofsPer15Min) * 1_000;
    for (let count = 0; count < limits.clientProofsBurst; count++)
      t.equal((await ask(secret, here(99))).status, 200, 'right ones are not counted');
    t.equal((await ask('wrong', here(99))).status, 401, 'one more');
    t.equal((await ask(secret, here(99))).status, 429);
  });

  await t.test('client-confidential-symmetric: by Basic, with the secret that we made', async (t) => {
    const bench = await benchOn(t, adapter);
    const { client, secret = '' } = await bench.server.clients.add(
      publicApp({ authentication: 'client_secret_basic' }),
    );
    t.match(secret, /^[A-Za-z0-9_-]{43}$/);
    t.notMatch(JSON.stringify(await bench.server.clients.list()), new RegExp(secret), 'it is not kept');
    const form = await codeFor(bench, client, offline);
    const wrong = await post(bench, form, basic(client.id, 'wrong'));
    t.equal(wrong.status, 401);
    t.match(wrong.headers['WWW-Authenticate'], /^Basic/);
    t.equal((await post(bench, form, { authorization: 'Basic !' })).json.error, 'invalid_client');
    t.equal((await post(bench, { ...form, client_id: client.id })).json.error, 'invalid_client', 'no secret');
    t.equal(
      (await post(bench, { ...form, client_id: client.id, client_secret: secret })).json.error,
      'invalid_client',
      'in the form',
    );
    const both = { ...form, ...(await assertionForm({ key: rsa, client: client.id, clock: bench.clock })) };
    t.equal((await post(bench, both, basic(client.id, secret))).json.error, 'invalid_request', 'two ways at once');
    t.equal((await post(bench, form, basic(client.id, secret))).status, 200);
    const next = await bench.server.clients.rotateSecret(client.id);
    const second = await codeFor(bench, client, offline);
    t.equal((await post(bench, second, basic(client.id, secret))).status, 401, 'the old secret');
    t.equal((await post(bench, second, basic(client.id, next))).status, 200, 'the new one');
    t.ok(bench.events.some(({ kind, reason }) => kind === 'client-refused' && reason === 'wrong secret'));
  });

  await t.test('client-confidential-asymmetric: an app redeems its code by RS384 and ES384', async (t) => {
    const bench = await benchOn(t, adapter);
    const grantTypes = ['authorization_code', 'refresh_token'] as const;
    const client = await addService(bench, [rsa, ec], { redirectUris: [callback], grantTypes, scopes: everything });
    for (const key of [rsa, ec]) {
      const form = await codeFor(bench, client, offline);
      const proof = await assertionForm({ key, client: client.id, clock: bench.clock });
      t.equal((await post(bench, { ...form, ...proof })).status, 200, key.algorithm);
    }
  });

  await t.test('backend services: system scopes for five minutes, no refresh token', async (t) => {
    const bench = await benchOn(t, adapter);
    const client = await addService(bench, [rsa, ec], { scopes: ['system/*.rs', 'system/Patient.cruds'] });
    for (const key of [rsa, ec]) {
      const proof = await assertionForm({ key, client: client.id, clock: bench.clock });
      const form = { grant_type: 'client_credentials', scope: 'system/Observation.rs system/Patient.r', ...proof };
      const { status, json } = await post(bench, form);
      t.equal(status, 200, key.algorithm);
      t.same(
        { ...json, access_token: '' },
        { access_token: '', token_type: 'Bearer', expires_in: 300, scope: form.scope },
      );
      const principal = await bench.server.authenticate(`Bearer ${json.access_token}`, '');
      t.notOk('user' in principal);
      t.same(
        principal.scopes.map(({ level, type }) => `${level}/${type}`),
        ['system/Observation', 'system/Patient'],
      );
      t.same((await bench.server.principalOf(principal.grant))?.scopes.length, 2, 'its standing grant');
      bench.clock.pass(300_000);
      t.equal(await isLive(bench, json.access_token), false);
    }
    const ask = async (scope: string) => {
      const proof = await assertionForm({ key: rsa, client: client.id, clock: bench.clock });
      return (await post(bench, { grant_type: 'client_credentials', scope, ...proof })).json.error;
    };
    for (const scope of [
      'system/*.cruds',
      'system/Observation.rs user/*.rs',
      'patient/*.rs',
      'openid',
      'launch',
      'system/*.sr',
      'system/*.rs "',
      ' ',
    ])
      t.equal(await ask(scope), 'invalid_scope', scope);
    t.equal(await ask(''), 'invalid_request', 'none');
    const proof = await assertionForm({ key: rsa, client: client.id, clock: bench.clock });
    const held = await post(bench, { grant_type: 'client_credentials', scope: 'system/*.rs', ...proof });
    t.equal(await isLive(bench, held.json.access_token), true);
    await bench.server.clients.setState(client.id, 'disabled');
    t.equal(await ask('system/*.rs'), 'invalid_client', 'disabled');
    t.equal(await isLive(bench, held.json.access_token), false, 'with the tokens that it has');
    t.equal(await bench.server.principalOf(`client:${client.id}`), undefined, 'and its standing grant');
  });

  await t.test('an assertion is good for one use, here, now, by this client', async (t) => {
    const bench = await benchOn(t, adapter);
    const { clock } = bench;
    const client = await addService(bench, [rsa, ec]);
    const stranger = await testKey('RS384');
    const weak = await testKey('RS256', rsa.kid);
    const form = { grant_type: 'client_credentials', scope: 'system/*.rs' };
    const now = Math.floor(clock.now() / 1000);
    const own = { key: rsa, client: client.id, clock };
    const wrong: Record<string, Parameters<typeof assertionForm>[0]> = {
      'another key with our kid': { ...own, key: stranger },
      'an algorithm that is not on the list': { ...own, key: weak },
      'threat 39: two audiences': { ...own, claims: { aud: [`${issuer}/auth/token`, 'https://other.example.org'] } },
      'threat 39: one audience in a list': { ...own, claims: { aud: [`${issuer}/auth/token`] } },
      'another audience': { ...own, claims: { aud: 'https://other.example.org/token' } },
      'no audience': { ...own, claims: { aud: undefined } },
      'longer than five minutes': { ...own, claims: { exp: now + 306 } },
      'no end': { ...own, claims: { exp: undefined } },
      'an end that is a text': { ...own, claims: { exp: String(now + 100) } },
      over: { ...own, claims: { exp: now - 6 } },
      'from the future': { ...own, claims: { iat: now + 60 } },
      'not yet': { ...own, claims: { nbf: now + 60 } },
      'no jti': { ...own, claims: { jti: undefined } },
      'a jti that is a number': { ...own, claims: { jti: 1 } },
      'iss of somebody else': { ...own, claims: { iss: 'somebody' } },
      'sub of somebody else': { ...own, claims: { sub: 'somebody' } },
      'no kid': { ...own, header: { kid: undefined } },
      'an unknown kid': { ...own, header: { kid: 'other' } },
      'no typ': { ...own, header: { typ: undefined } },
      'another typ': { ...own, header: { typ: 'at+jwt' } },
      'a key set of its own choice': { ...own, header: { jku: 'https://evil.example.org/jwks' } },
    };
    for (const [what, given] of Object.entries(wrong)) {
      const { status, json } = await post(bench, { ...form, ...(await assertionForm(given)) });
      t.equal(status, 401, what);
      t.equal(json.error, 'invalid_client');
    }
    const none = `${Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')}.${Buffer.from(JSON.stringify({ iss: client.id, sub: client.id, aud: `${issuer}/auth/token`, exp: now + 60, jti: '1' })).toString('base64url')}.`;
    const good = await assertionForm(own);
    t.equal((await post(bench, { ...form, ...good, client_assertion: none })).status, 401, 'alg none');
    t.equal((await post(bench, { ...form, ...good, client_assertion: 'x' })).status, 401, 'no JWT');
    t.equal((await post(bench, { ...form, ...good, client_assertion_type: 'other' })).status, 401);
    t.equal((await post(bench, { ...form, ...good, client_id: 'other' })).json.error, 'invalid_request');
    t.equal((await post(bench, { ...form, ...good })).status, 200, 'a good one');
    t.equal((await post(bench, { ...form, ...good })).status, 401, 'its replay');
    t.equal(
      (await call(bench.another(), 'POST', '/auth/token', { form: { ...form, ...good } })).status,
      401,
      'its replay at another server',
    );
    const byIssuer = await assertionForm({ ...own, claims: { aud: issuer } });
    t.equal((await post(bench, { ...form, ...byIssuer })).status, 200, 'aud may be the issuer');
    const raced = await assertionForm({ ...own, claims: { exp: now + 300 } });
    const answers = await Promise.all(Array.from({ length: 12 }, () => post(bench, { ...form, ...raced })));
    t.equal(answers.filter(({ status }) => status === 200).length, 1, 'one of twelve at once');
  });

  await t.test('a client gets what it is registered for, by the grant types it is registered for', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench, { grantTypes: ['authorization_code'] });
    const { json } = await tokensFor(bench, app, offline);
    t.equal((await refreshed(bench, json.refresh_token)).json.error, 'unauthorized_client');
    const service = await addService(bench, [rsa]);
    const proof = await assertionForm({ key: rsa, client: service.id, clock: bench.clock });
    const form = { grant_type: 'authorization_code', code: 'x', redirect_uri: 'x', code_verifier: 'x' };
    t.equal((await post(bench, { ...form, ...proof })).json.error, 'unauthorized_client');
    t.equal(
      (await post(bench, { grant_type: 'client_credentials', scope: 'system/*.rs', client_id: app.id })).json.error,
      'unauthorized_client',
    );
  });
});

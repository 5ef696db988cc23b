// The token endpoint: codes and refresh tokens, once each, whoever is faster.
// https://hl7.org/fhir/smart-app-launch/app-launch.html#obtain-access-token
import t from 'tap';
import { StoreError } from '../../src/store/store.ts';
import { onBothStores } from '../support/stores.ts';
import {
  addPublicApp,
  basic,
  benchOn,
  callback,
  codeFor,
  isLive,
  postToken as post,
  practitioner,
  publicApp,
  refreshed,
  tokensFor,
} from './support.ts';

const offline = { scope: 'launch/patient patient/*.rs offline_access', patient: 'pat' };

await onBothStores(t, async (t, adapter) => {
  await t.test('a code is redeemed by its app, with its redirect URI and its verifier, within a minute', async (t) => {
    const bench = await benchOn(t, adapter);
    const [app, other] = [await addPublicApp(bench), await addPublicApp(bench)];
    const form = { ...(await codeFor(bench, app, offline)), client_id: app.id };
    const refused = async (change: Record<string, string>) => (await post(bench, { ...form, ...change })).json.error;
    t.equal(await refused({ code_verifier: 'x'.repeat(43) }), 'invalid_grant', 'wrong verifier');
    t.equal(await refused({ code_verifier: 'short' }), 'invalid_grant');
    t.equal(await refused({ code_verifier: '' }), 'invalid_request', 'no verifier');
    t.equal(await refused({ redirect_uri: `${callback}2` }), 'invalid_grant');
    t.equal(await refused({ client_id: other.id }), 'invalid_grant', 'another app');
    t.equal(await refused({ client_id: '' }), 'invalid_client');
    t.equal(await refused({ code: 'x' }), 'invalid_grant');
    t.equal(await refused({ grant_type: 'password' }), 'unsupported_grant_type');
    t.equal(await refused({ client_secret: 'x' }), 'invalid_client', 'a secret in the form');
    t.equal((await post(bench, { ...form, client_secret: '' })).status, 200, 'and none of that spent it');
    const late = { ...(await codeFor(bench, app, offline)), client_id: app.id };
    bench.clock.pass(60_001);
    t.equal((await post(bench, late)).json.error, 'invalid_grant', 'after a minute');
  });

  await t.test('threat 28: a code is redeemed once; its second use ends what came of the first', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench);
    const form = { ...(await codeFor(bench, app, offline)), client_id: app.id };
    const { json } = await post(bench, form);
    t.equal(await isLive(bench, json.access_token), true);
    bench.clock.pass(10 * 60_000);
    t.equal((await post(bench, form)).json.error, 'invalid_grant');
    t.equal(await isLive(bench, json.access_token), false, 'at once');
    t.equal((await refreshed(bench, json.refresh_token)).json.error, 'invalid_grant');
    t.ok(bench.events.some(({ kind, outcome }) => kind === 'token-reused' && outcome === 'refused'));
  });

  await t.test('threat 28: of twelve that redeem one code at two servers, at most one wins', async (t) => {
    const bench = await benchOn(t, adapter);
    const servers = [bench.server, await bench.elsewhere()] as const;
    const app = await addPublicApp(bench);
    for (let round = 0; round < 5; round++) {
      const form = { ...(await codeFor(bench, app, offline)), client_id: app.id };
      const answers = await Promise.all(
        Array.from({ length: 12 }, (_, index) => post({ server: servers[index % 2] ?? bench.server }, form)),
      );
      const won = answers.filter(({ status }) => status === 200);
      t.ok(won.length <= 1, `${won.length} of 12`);
      t.ok(answers.every(({ status, json }) => status === 200 || json.error === 'invalid_grant'));
      for (const { json } of won) {
        t.equal((await refreshed(bench, json.refresh_token)).status, 400, 'and the rest have revoked what it got');
        bench.clock.pass(5_001);
        for (const server of servers) t.equal(await isLive({ server }, json.access_token), false);
      }
    }
  });

  await t.test('threat 28: of twelve that use one refresh token at two servers, one wins', async (t) => {
    const bench = await benchOn(t, adapter);
    const servers = [bench.server, await bench.elsewhere()] as const;
    const app = await addPublicApp(bench);
    for (let round = 0; round < 5; round++) {
      const { json } = await tokensFor(bench, app, offline);
      const answers = await Promise.all(
        Array.from({ length: 12 }, (_, index) =>
          refreshed({ server: servers[index % 2] ?? bench.server }, json.refresh_token),
        ),
      );
      const won = answers.filter(({ status }) => status === 200);
      t.ok(won.length <= 1, `${won.length} of 12`);
      bench.clock.pass(5_001);
      for (const { json: next } of won) {
        for (const server of servers)
          t.equal(await isLive({ server }, next.access_token), false, 'and the family is over');
        t.equal((await refreshed(bench, next.refresh_token)).status, 400);
      }
    }
  });

  await t.test('refresh tokens rotate; an old one ends the family', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench);
    const first = (await tokensFor(bench, app, offline)).json;
    const second = await refreshed(bench, first.refresh_token, { client_id: app.id });
    t.equal(second.status, 200);
    t.not(second.json.refresh_token, first.refresh_token);
    t.equal(second.json.patient, 'pat', 'the context comes along');
    t.equal(second.json.scope, offline.scope);
    const third = await refreshed(bench, second.json.refresh_token);
    t.equal(third.status, 200, 'a public app need not name itself');
    t.equal((await refreshed(bench, first.refresh_token)).json.error, 'invalid_grant', 'reuse');
    for (const { json } of [second, third]) t.equal(await isLive(bench, json.access_token), false);
    t.equal((await refreshed(bench, third.json.refresh_token)).json.error, 'invalid_grant');
  });

  await t.test('refresh: scopes may be narrowed, by meaning; nothing may be added', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench);
    let { refresh_token: token } = (await tokensFor(bench, app, offline)).json;
    const narrowed = async (scope: string) => {
      const answer = await refreshed(bench, token, { scope });
      token = answer.json.refresh_token ?? token;
      return answer.json;
    };
    t.equal((await narrowed('patient/Observation.rs')).scope, 'patient/Observation.rs', 'a type within *');
    t.equal(
      (await narrowed('patient/Observation.r?category=laboratory')).scope,
      'patient/Observation.r?category=laboratory',
    );
    t.equal((await narrowed('patient/*.read')).scope, 'patient/*.read', 'the same in v1');
    for (const more of [
      'patient/*.cruds',
      'user/*.rs',
      'openid',
      'system/*.rs',
      'patient/Observation.u',
      'x',
      'a"b',
      ' ',
    ])
      t.equal((await narrowed(more)).error, 'invalid_scope', more);
    const back = await refreshed(bench, token);
    t.equal(back.json.scope, offline.scope, 'the refresh token keeps all that was granted');
  });

  await t.test('offline_access lasts 90 days, online_access as long as the session', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench);
    const online = (await tokensFor(bench, app, { scope: 'user/*.rs online_access' })).json;
    const next = (await refreshed(bench, online.refresh_token)).json;
    bench.sessions.clear();
    t.equal((await refreshed(bench, next.refresh_token)).json.error, 'invalid_grant', 'the session is over');
    bench.sessions.add('session-1');
    let { refresh_token: token } = (await tokensFor(bench, app, offline)).json;
    for (let month = 0; month < 3; month++) {
      bench.clock.pass(29 * 24 * 3_600_000);
      token = (await refreshed(bench, token)).json.refresh_token;
    }
    bench.clock.pass(4 * 24 * 3_600_000);
    t.equal((await refreshed(bench, token)).json.error, 'invalid_grant', 'whatever was renewed meanwhile');
    const kept = (await tokensFor(bench, app, offline)).json.refresh_token;
    bench.users.set(practitioner.id, { ...practitioner, isEnabled: false });
    t.equal((await refreshed(bench, kept)).json.error, 'invalid_grant', 'the user is disabled');
    bench.users.set(practitioner.id, practitioner);
    t.equal((await refreshed(bench, kept)).status, 200, 'which spent nothing');
    const short = (await tokensFor(bench, app, { scope: 'user/*.rs' })).json;
    t.notOk('refresh_token' in short);
    bench.clock.pass(15 * 60_000);
    t.equal(await isLive(bench, short.access_token), false, 'fifteen minutes');
  });

  await t.test('a refresh token is bound to its client', async (t) => {
    const bench = await benchOn(t, adapter);
    const [app, other] = [await addPublicApp(bench), await addPublicApp(bench)];
    const { client, secret = '' } = await bench.server.clients.add(
      publicApp({ authentication: 'client_secret_basic' }),
    );
    const { refresh_token: token } = (await tokensFor(bench, app, offline)).json;
    t.equal((await refreshed(bench, token, { client_id: other.id })).json.error, 'invalid_grant');
    t.equal(
      (await post(bench, { grant_type: 'refresh_token', refresh_token: token }, basic(client.id, secret))).json.error,
      'invalid_grant',
    );
    const form = await codeFor(bench, client, offline);
    const own = (await post(bench, form, basic(client.id, secret))).json;
    t.equal(
      (await refreshed(bench, own.refresh_token)).json.error,
      'invalid_client',
      'a confidential one has to prove itself',
    );
    t.equal((await refreshed(bench, own.refresh_token, { client_id: client.id })).json.error, 'invalid_client');
    const good = { grant_type: 'refresh_token', refresh_token: own.refresh_token };
    t.equal((await post(bench, good, basic(client.id, secret))).status, 200);
    t.equal((await refreshed(bench, 'x'.repeat(43))).json.error, 'invalid_grant');
  });

  await t.test('threat 25: parameters given twice are refused', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench);
    const form = { ...(await codeFor(bench, app, offline)), client_id: app.id };
    for (const name of Object.keys(form)) {
      const twice = new URLSearchParams(form);
      twice.append(name, 'x');
      t.equal((await post(bench, twice)).json.error, 'invalid_request', name);
    }
    t.equal((await post(bench, new URLSearchParams())).json.error, 'invalid_request', 'an empty form');
  });

  await t.test('a store that is away is 503, a fault is 500, and neither says why', async (t) => {
    let failure: Error = new StoreError('unavailable', 'the disk at /secret/path is gone');
    // The record of what happened cannot be written: no answer is given.
    const silent = await benchOn(t, adapter, { record: () => Promise.reject(failure) });
    const refusal = {
      grant_type: 'authorization_code',
      code: 'x',
      redirect_uri: 'x',
      code_verifier: 'x',
      client_id: 'nobody',
    };
    const away = await post(silent, refusal);
    t.equal(away.status, 503);
    t.equal(away.json.error, 'temporarily_unavailable');
    failure = new TypeError('secret detail');
    const fault = await post(silent, refusal);
    t.equal(fault.status, 500);
    t.equal(fault.json.error, 'server_error');
    t.notMatch(`${away.text}${fault.text}`, /secret/);
    t.equal(silent.faults.length, 2);
  });
});

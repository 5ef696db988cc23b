// Who may learn what a token means, and how tokens end. https://hl7.org/fhir/smart-app-launch/token-introspection.html,
// https://www.rfc-editor.org/rfc/rfc7009
import t from 'tap';
import { onBothStores } from '../support/stores.ts';
import {
  addPublicApp,
  addService,
  assertionForm,
  type Bench,
  baseUrl,
  basic,
  benchOn,
  call,
  issuer,
  practitioner,
  publicApp,
  testKey,
  tokensFor,
} from './support.ts';

const key = await testKey('ES384');
const asked = { scope: 'openid fhirUser launch/patient patient/*.rs offline_access', patient: 'pat' };

async function serviceToken(bench: Bench, isResourceServer: boolean): Promise<string> {
  const client = await addService(bench, [key], { isResourceServer });
  const proof = await assertionForm({ key, client: client.id, clock: bench.clock });
  const form = { grant_type: 'client_credentials', scope: 'system/*.rs', ...proof };
  return (await call(bench.server, 'POST', '/auth/token', { form })).json.access_token;
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

await onBothStores(t, async (t, adapter) => {
  await t.test('introspection tells a resource server scope, client, end, context and identity', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench);
    const { json } = await tokensFor(bench, app, asked);
    const headers = bearer(await serviceToken(bench, true));
    const ask = async (token: string) =>
      (await call(bench.server, 'POST', '/auth/introspect', { form: { token }, headers })).json;
    const seconds = Math.floor(bench.clock.now() / 1000);
    t.same(await ask(json.access_token), {
      active: true,
      client_id: app.id,
      scope: asked.scope,
      exp: seconds + json.expires_in,
      iat: seconds,
      aud: baseUrl,
      token_type: 'Bearer',
      iss: issuer,
      sub: practitioner.id,
      fhirUser: `${baseUrl}/Practitioner/ann`,
      patient: 'pat',
    });
    t.equal((await ask(json.refresh_token)).active, true);
    t.same(await ask('x'.repeat(43)), { active: false });
    bench.users.set(practitioner.id, { ...practitioner, isEnabled: false });
    t.same(await ask(json.access_token), { active: false }, 'its user is disabled');
    bench.users.set(practitioner.id, practitioner);
    bench.clock.pass(15 * 60_000);
    const later = bearer(await serviceToken(bench, true));
    const old = await call(bench.server, 'POST', '/auth/introspect', {
      form: { token: json.access_token },
      headers: later,
    });
    t.same(old.json, { active: false }, 'it is over');
  });

  await t.test('introspection tells others of their own tokens alone, and nobody nothing', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench);
    const { client, secret = '' } = await bench.server.clients.add(
      publicApp({ authentication: 'client_secret_basic' }),
    );
    const { json } = await tokensFor(bench, app, asked);
    const ask = (headers: Record<string, string>, form: Record<string, string> = {}) =>
      call(bench.server, 'POST', '/auth/introspect', { form: { token: json.access_token, ...form }, headers });
    t.same((await ask(bearer(await serviceToken(bench, false)))).json, { active: false }, 'another client');
    t.same((await ask(basic(client.id, secret))).json, { active: false });
    t.equal((await ask(bearer(json.access_token))).json.active, true, 'its own');
    t.equal((await ask({})).status, 401);
    t.equal((await ask({}, { client_id: app.id })).status, 401, 'a public app by its name alone');
    const wrong = await ask(bearer('x'));
    t.equal(wrong.status, 401);
    t.match(wrong.headers['WWW-Authenticate'], /invalid_token/);
    t.equal(
      (await call(bench.server, 'POST', '/auth/introspect', { headers: bearer(json.access_token) })).status,
      400,
      'no token',
    );
  });

  await t.test(
    'revocation: an access token ends alone and at once, a refresh token with all that came of it',
    async (t) => {
      const bench = await benchOn(t, adapter);
      const app = await addPublicApp(bench);
      const isLive = (token: string) =>
        bench.server.authenticate(`Bearer ${token}`, '').then(
          () => true,
          () => false,
        );
      const revoke = (token: string, client = app.id) =>
        call(bench.server, 'POST', '/auth/revoke', { form: { token, client_id: client } });
      const one = (await tokensFor(bench, app, asked)).json;
      t.equal(await isLive(one.access_token), true, 'and is remembered from now on');
      t.equal((await revoke(one.access_token)).status, 200);
      t.equal(await isLive(one.access_token), false);
      const form = { grant_type: 'refresh_token', refresh_token: one.refresh_token };
      const two = (await call(bench.server, 'POST', '/auth/token', { form })).json;
      t.equal(await isLive(two.access_token), true, 'the grant goes on');
      const other = await addPublicApp(bench);
      t.equal((await revoke(two.refresh_token, other.id)).status, 200, 'another client’s: nothing is told');
      t.equal(await isLive(two.access_token), true, 'and nothing done');
      t.equal((await revoke(two.refresh_token)).status, 200);
      t.equal(await isLive(two.access_token), false);
      const again = { grant_type: 'refresh_token', refresh_token: two.refresh_token };
      t.equal((await call(bench.server, 'POST', '/auth/token', { form: again })).json.error, 'invalid_grant');
      t.equal((await revoke('unknown')).status, 200);
      t.equal((await call(bench.server, 'POST', '/auth/revoke', { form: { token: 'x' } })).status, 401, 'by nobody');
      t.equal((await revoke('')).status, 400);
      t.equal(bench.events.filter(({ kind }) => kind === 'token-revoked').length, 2);
    },
  );

  await t.test('a person sees the apps that have access, and ends it', async (t) => {
    const bench = await benchOn(t, adapter);
    const [app, other] = [await addPublicApp(bench), await addPublicApp(bench)];
    const { grants } = bench.server;
    const one = (await tokensFor(bench, app, asked)).json;
    bench.clock.pass(1_000);
    await tokensFor(bench, other, asked);
    await tokensFor(bench, other, { ...asked, user: 'user-pat', patient: 'pat' });
    const mine = await grants.ofUser(practitioner.id);
    t.same(
      mine.map(({ client }) => client),
      [other.id, app.id],
      'newest first, and nobody else’s',
    );
    t.ok(mine.every(({ lastUsed }) => lastUsed !== undefined));
    t.match(await bench.server.principalOf(mine[1]?.id ?? ''), { client: app.id, patient: 'pat' });
    await bench.server.authenticate(`Bearer ${one.access_token}`, '');
    t.equal(await grants.revoke(mine[1]?.id ?? '', practitioner.id), true);
    t.equal(await grants.revoke(mine[1]?.id ?? '', practitioner.id), false, 'once');
    await t.rejects(bench.server.authenticate(`Bearer ${one.access_token}`, ''), 'within the same second');
    t.equal(await bench.server.principalOf(mine[1]?.id ?? ''), undefined);
    t.equal(await grants.revokeAllOf(practitioner.id, 'admin'), 1);
    t.same(await grants.ofUser(practitioner.id), []);
    t.equal((await grants.ofUser('user-pat')).length, 1);
  });
});

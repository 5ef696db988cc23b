// From the Authorization header to who asks, request after request. https://www.rfc-editor.org/rfc/rfc6750
import t from 'tap';
import { limits } from '../../src/base/limits.ts';
import { FhirError } from '../../src/base/outcome.ts';
import { onBothStores, sqlite } from '../support/stores.ts';
import { addPublicApp, benchOn, practitioner, tokensFor } from './support.ts';

const asked = { scope: 'launch/patient patient/*.rs', patient: 'pat' };

await onBothStores(t, async (t, adapter) => {
  await t.test('401 without a valid token, saying so as RFC 6750 does', async (t) => {
    const bench = await benchOn(t, adapter);
    const challengeOf = async (authorization: string | undefined) => {
      const error = await bench.server.authenticate(authorization, '').catch((thrown: unknown) => thrown);
      t.ok(error instanceof FhirError && error.status === 401, (authorization ?? 'nothing').slice(0, 20));
      return error instanceof FhirError ? error.headers['WWW-Authenticate'] : '';
    };
    t.equal(await challengeOf(undefined), 'Bearer realm="careloom"', 'no error where nothing was sent');
    const wrong = [
      '',
      'Bearer',
      'Bearer ',
      'Basic eDp5',
      'Bearer a b',
      'Bearer ä',
      'bearer x',
      `Bearer ${'x'.repeat(43)}`,
      `Bearer ${'x'.repeat(100_000)}`,
      'Bearer {"$ne":""}',
    ];
    for (const authorization of wrong) t.match(await challengeOf(authorization), /error="invalid_token"/);
  });

  await t.test('what is disabled or revoked elsewhere ends within five seconds, here at once', async (t) => {
    const bench = await benchOn(t, adapter);
    const other = bench.another();
    const app = await addPublicApp(bench);
    const fresh = async () => `Bearer ${(await tokensFor(bench, app, asked)).json.access_token}`;
    const isLive = (header: string) =>
      bench.server.authenticate(header, '').then(
        () => true,
        () => false,
      );
    const one = await fresh();
    t.equal(await isLive(one), true);
    const [grant] = await other.grants.ofUser(practitioner.id);
    await other.grants.revoke(grant?.id ?? '', practitioner.id);
    bench.clock.pass(limits.tokenCacheMs);
    t.equal(await isLive(one), false, 'revoked at another server');

    const two = await fresh();
    t.equal(await isLive(two), true);
    bench.users.set(practitioner.id, { ...practitioner, isEnabled: false });
    bench.server.forgetUser(practitioner.id);
    t.equal(await isLive(two), false, 'user disabled');
    bench.users.set(practitioner.id, practitioner);
    t.equal(await isLive(two), true);
    bench.users.delete(practitioner.id);
    bench.clock.pass(limits.tokenCacheMs);
    t.equal(await isLive(two), false, 'threat 4: a user who is gone');
    bench.users.set(practitioner.id, practitioner);
    t.equal(await isLive(two), true);
    await bench.server.clients.setState(app.id, 'disabled');
    t.equal(await isLive(two), false, 'client disabled');
  });

  await t.test('threat 4: a token whose grant, client or scopes are damaged stands for nothing', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench);
    const { records } = bench.store;
    const token = (await tokensFor(bench, app, asked)).json.access_token;
    const [kept] = await records.list('access-token', { limit: 10 });
    const value = { ...JSON.parse(kept?.value ?? ''), scopes: ['patient/Observation.nonsense', 'system/*.cruds'] };
    await records.put(
      { kind: 'access-token', id: kept?.id ?? '', value: JSON.stringify(value), expires: value.expires },
      kept?.version ?? 0,
    );
    t.same(
      (await bench.server.authenticate(`Bearer ${token}`, '')).scopes,
      [],
      'what is not understood is not granted',
    );
    bench.clock.pass(limits.tokenCacheMs);
    await records.remove('client', app.id);
    await t.rejects(bench.server.authenticate(`Bearer ${token}`, ''), 'no client');
  });
});

t.test('a token that is looked up while its grant ends is not remembered', async (t) => {
  const bench = await benchOn(t, sqlite);
  const app = await addPublicApp(bench);
  const header = `Bearer ${(await tokensFor(bench, app, asked)).json.access_token}`;
  const [grant] = await bench.server.grants.ofUser(practitioner.id);
  const asking = bench.server.authenticate(header, '').catch(() => undefined);
  await bench.server.grants.revoke(grant?.id ?? '', 'x');
  await asking;
  await t.rejects(bench.server.authenticate(header, ''));
});

t.test('the check is quick: 30 µs on average, and what it remembers is bounded', async (t) => {
  const bench = await benchOn(t, sqlite);
  const app = await addPublicApp(bench);
  const headers: string[] = [];
  for (let at = 0; at < 20; at++) headers.push(`Bearer ${(await tokensFor(bench, app, asked)).json.access_token}`);
  const rounds = 500;
  for (const header of headers) await bench.server.authenticate(header, '');
  const start = performance.now();
  for (let round = 0; round < rounds; round++)
    for (const header of headers) await bench.server.authenticate(header, '');
  const each = ((performance.now() - start) * 1000) / (rounds * headers.length);
  t.comment(`${each.toFixed(1)} µs remembered`);
  t.ok(each < 300, 'even on a loaded machine');
  bench.clock.pass(limits.tokenCacheMs);
  const cold = performance.now();
  for (const header of headers) await bench.server.authenticate(header, '');
  t.comment(`${(((performance.now() - cold) * 1000) / headers.length).toFixed(1)} µs looked up`);
});

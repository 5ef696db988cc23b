// Tokens that are bound to a key of their holder. https://www.rfc-editor.org/rfc/rfc9449
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose';
import t from 'tap';
import { embeddedKey, thumbprintOf } from '../../src/auth/jwt.ts';
import { limits } from '../../src/base/limits.ts';
import { clientRates } from '../../src/http/rate.ts';
import { guardedServer } from '../http/guarded.ts';
import { onBothStores } from '../support/stores.ts';
import {
  addPublicApp,
  addService,
  assertionForm,
  authorizeParameters,
  type Bench,
  baseUrl,
  basic,
  benchOn,
  call,
  codeFor,
  type DpopProof,
  dpopProof,
  issuer,
  postToken,
  publicApp,
  type TestKey,
  testKey,
  tokensFor,
} from './support.ts';

const [key, other, rsa, p384, ed] = (await Promise.all(
  (['ES256', 'ES256', 'RS256', 'ES384', 'EdDSA'] as const).map((algorithm) => testKey(algorithm)),
)) as [TestKey, TestKey, TestKey, TestKey, TestKey];
const jkt = thumbprintOf(key.publicJwk);

const offline = { scope: 'launch/patient patient/*.rs offline_access', patient: 'pat' };
const patientUrl = `${baseUrl}/Patient/pat`;

type Change = Partial<Omit<DpopProof, 'clock'>>;

const proofFor = ({ clock }: Bench, change: Change = {}) => dpopProof({ key, clock, ...change });

async function redeemed(bench: Bench, proof?: string) {
  const app = await addPublicApp(bench);
  const form = { ...(await codeFor(bench, app, offline)), client_id: app.id };
  return postToken(bench, form, proof === undefined ? {} : { dpop: proof });
}

const bound = async (bench: Bench) => (await redeemed(bench, await proofFor(bench))).json;

/** What the FHIR base says to a token: "ok", or its challenge. */
async function asked(bench: Bench, token: string, dpop?: string, scheme = 'DPoP'): Promise<string> {
  const proof = dpop === undefined ? undefined : { dpop, method: 'GET', path: '/Patient/pat?_pretty=true' };
  return bench.server.authenticate(`${scheme} ${token}`, '', proof).then(
    () => 'ok',
    (error) => (error.kind === 'login' ? error.headers['WWW-Authenticate'] : String(error)),
  );
}

const read = (bench: Bench, token: string, change: Change = {}) =>
  proofFor(bench, { method: 'GET', url: patientUrl, token, ...change });

t.test('a thumbprint is that of RFC 7638, and of its key alone', async (t) => {
  // Its section 3.1.
  const n = [
    '0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj',
    'hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQ',
    'vRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK',
    'nqDKgw',
  ].join('');
  t.equal(thumbprintOf({ kty: 'RSA', kid: '2011-04-29', n, e: 'AQAB' }), 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs');
  for (const { publicJwk } of [key, rsa, p384, ed])
    t.equal(thumbprintOf({ ...publicJwk, kid: 'any' }), await calculateJwkThumbprint(publicJwk));
});

t.test('a key that a header brings: public, for its algorithm, and no larger than we choose', async (t) => {
  const of = (alg: string, jwk: unknown) => embeddedKey({ alg, jwk }, ['ES256', 'RS256']);
  t.ok(of('ES256', key.publicJwk));
  t.ok(of('RS256', rsa.publicJwk));
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  const bad: [string, unknown][] = [
    ['ES256', await exportJWK(privateKey)],
    ['ES256', p384.publicJwk],
    ['ES256', rsa.publicJwk],
    ['ES384', p384.publicJwk],
    ['none', key.publicJwk],
    ['HS256', { kty: 'oct', k: 'AAAA' }],
    ['RS256', { ...rsa.publicJwk, e: 'A'.repeat(300) }],
    ['RS256', { ...rsa.publicJwk, n: 'A'.repeat(1_400) }],
    ['RS256', { ...rsa.publicJwk, n: 'AQAB' }],
    ['ES256', undefined],
    ['ES256', null],
    ['ES256', 'key'],
    ['ES256', []],
  ];
  for (const [alg, jwk] of bad) t.equal(of(alg, jwk), undefined, `${alg} ${JSON.stringify(jwk)?.slice(0, 60)}`);
});

await onBothStores(t, async (t, adapter) => {
  await t.test(
    'a token is bound to the key of the proof, and opens the FHIR base with a proof by it alone',
    async (t) => {
      const bench = await benchOn(t, adapter);
      const { access_token: token, token_type } = await bound(bench);
      t.equal(token_type, 'DPoP');
      t.equal(await asked(bench, token, await read(bench, token)), 'ok');
      t.equal(await asked(bench, token, await read(bench, token)), 'ok', 'and again, by another proof');
      t.match(
        await asked(bench, token, undefined, 'Bearer'),
        /^DPoP .*error="invalid_token".*algs="ES256 /,
        'as a bearer',
      );
      t.match(await asked(bench, token), /^DPoP .*error="invalid_dpop_proof"/, 'without a proof');
      t.match(
        await asked(bench, token, await read(bench, token, { key: other })),
        /error="invalid_token"/,
        'another key',
      );
      t.match(await asked(bench, 'x'.repeat(43), await read(bench, 'x'.repeat(43))), /^DPoP .*error="invalid_token"/);
      const plain = (await redeemed(bench)).json;
      t.equal(plain.token_type, 'Bearer');
      t.match(await asked(bench, plain.access_token, await read(bench, plain.access_token)), /bound to no key/);
      t.equal(await asked(bench, plain.access_token, undefined, 'Bearer'), 'ok');
    },
  );

  await t.test('a proof is for one request: method, address, time, token, and once', async (t) => {
    const bench = await benchOn(t, adapter);
    const { access_token: token } = await bound(bench);
    const second = Math.floor(bench.clock.now() / 1000);
    const bad: [what: string, change: Change][] = [
      ['another method', { method: 'DELETE' }],
      ['method in lower case', { method: 'get' }],
      ['another address', { url: `${baseUrl}/Patient/far` }],
      ['another server', { url: 'https://other.example.org/fhir/Patient/pat' }],
      ['no address', { claims: { htu: undefined } }],
      ['an address that is none', { claims: { htu: 'Patient/pat' } }],
      ['too old', { claims: { iat: second - 61 } }],
      ['of the future', { claims: { iat: second + 61 } }],
      ['no time', { claims: { iat: undefined } }],
      ['a time that is a text', { claims: { iat: String(second) } }],
      ['another token', { token: 'x'.repeat(43) }],
      ['no ath', { claims: { ath: undefined } }],
      ['no jti', { claims: { jti: undefined } }],
      ['an empty jti', { claims: { jti: '' } }],
      ['a long jti', { claims: { jti: 'j'.repeat(513) } }],
      ['another typ', { header: { typ: 'JWT' } }],
      ['no typ', { header: { typ: undefined } }],
      ['no key', { header: { jwk: undefined } }],
      ['another key in its header', { header: { jwk: other.publicJwk } }],
    ];
    for (const [what, change] of bad)
      t.match(await asked(bench, token, await read(bench, token, change)), /error="invalid_dpop_proof"/, what);
    const good = await read(bench, token);
    t.match(await asked(bench, token, `${good}, ${await read(bench, token)}`), /invalid_dpop_proof/, 'two of them');
    t.match(await asked(bench, token, good.replace(/[^.]+$/, '')), /invalid_dpop_proof/, 'no signature');
    const also = [
      { iat: second - 60 },
      { htu: `${patientUrl}?x=1#y` },
      { htu: 'HTTPS://EHR.example.org:443/fhir/Patient/pat' },
    ];
    for (const claims of also)
      t.equal(await asked(bench, token, await read(bench, token, { claims })), 'ok', JSON.stringify(claims));
    t.equal(await asked(bench, token, good), 'ok');
    t.match(await asked(bench, token, good), /jti was used before/);
    const early = await read(bench, token, { claims: { iat: second + 60 } });
    t.equal(await asked(bench, token, early), 'ok');
    bench.clock.pass(119_000);
    t.match(await asked(bench, token, early), /jti was used before/, 'as long as it would be taken');
  });

  await t.test('a proof that one process has taken is spent for all of them', async (t) => {
    const bench = await benchOn(t, adapter);
    const { access_token: token } = await bound(bench);
    const elsewhere = { ...bench, server: await bench.elsewhere() };
    const proof = await read(bench, token);
    const all = await Promise.all([bench, elsewhere, bench, elsewhere].map((each) => asked(each, token, proof)));
    t.equal(all.filter((each) => each === 'ok').length, 1);
  });

  await t.test('so many proofs a second are looked at, and no more are written down', async (t) => {
    const bench = await benchOn(t, adapter, { rates: clientRates(() => 0) });
    const { access_token: token } = await bound(bench);
    const wrong = await read(bench, token, { key: other, claims: { ath: undefined } });
    for (let count = 0; count < limits.clientRequestsBurst; count++)
      if (!/invalid_dpop_proof/.test(await asked(bench, token, wrong))) t.fail(`${count}`);
    const before = (await bench.store.records.list('dpop-jti', { limit: 999 })).length;
    t.match(await asked(bench, token, await read(bench, token)), /Too many requests/);
    t.equal((await bench.store.records.list('dpop-jti', { limit: 999 })).length, before);
  });

  await t.test('algorithms', async (t) => {
    const bench = await benchOn(t, adapter);
    for (const each of [key, p384, ed, rsa, await testKey('PS256')]) {
      const { json } = await redeemed(bench, await proofFor(bench, { key: each }));
      t.equal(json.token_type, 'DPoP', each.algorithm);
    }
  });

  await t.test('the token endpoint refuses a bad proof and keeps the code', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench);
    const form = { ...(await codeFor(bench, app, offline)), client_id: app.id };
    for (const change of [{ method: 'GET' }, { url: patientUrl }, { header: { typ: 'JWT' } }]) {
      const { status, json } = await postToken(bench, form, { dpop: await proofFor(bench, change) });
      t.match({ status, json }, { status: 400, json: { error: 'invalid_dpop_proof' } });
    }
    const proof = await proofFor(bench);
    t.equal((await postToken(bench, form, { dpop: proof })).status, 200);
    t.equal((await redeemed(bench, proof)).json.error, 'invalid_dpop_proof', 'the proof is spent');
  });

  await t.test('a public app refreshes with its key alone; who has the token without it can do nothing', async (t) => {
    const bench = await benchOn(t, adapter);
    const { refresh_token, access_token: first } = await bound(bench);
    const refresh = async (token: string, change?: Change) => {
      const headers: Record<string, string> = change === undefined ? {} : { dpop: await proofFor(bench, change) };
      return postToken(bench, { grant_type: 'refresh_token', refresh_token: token }, headers);
    };
    t.equal((await refresh(refresh_token)).json.error, 'invalid_grant');
    t.equal((await refresh(refresh_token, { key: other })).json.error, 'invalid_grant');
    const { json } = await refresh(refresh_token, {});
    t.equal(json.token_type, 'DPoP');
    t.equal(await asked(bench, json.access_token, await read(bench, json.access_token)), 'ok');
    t.equal((await refresh(refresh_token, { key: other })).json.error, 'invalid_grant', 'used before, by a thief');
    t.equal(await asked(bench, first, await read(bench, first)), 'ok', 'the grant goes on');
    t.equal((await refresh(json.refresh_token)).json.error, 'invalid_grant', 'the next is bound as well');
    t.equal((await refresh(refresh_token, {})).json.error, 'invalid_grant', 'used before, by its holder');
    t.match(await asked(bench, first, await read(bench, first)), /invalid_token/, 'now it is over');
  });

  await t.test('a confidential client is bound by its secret, and may change the key', async (t) => {
    const bench = await benchOn(t, adapter);
    const { client, secret = '' } = await bench.server.clients.add(
      publicApp({ authentication: 'client_secret_basic' }),
    );
    const own = basic(client.id, secret);
    const form = await codeFor(bench, client, offline);
    const { json } = await postToken(bench, form, { ...own, dpop: await proofFor(bench) });
    const renewal = { grant_type: 'refresh_token', refresh_token: json.refresh_token };
    const next = await postToken(bench, renewal, { ...own, dpop: await proofFor(bench, { key: other }) });
    const { access_token: token, token_type } = next.json;
    t.equal(token_type, 'DPoP');
    t.equal(await asked(bench, token, await read(bench, token, { key: other })), 'ok');
  });

  await t.test('a code can be bound: by dpop_jkt, or by a proof with the pushed request', async (t) => {
    const bench = await benchOn(t, adapter);
    const app = await addPublicApp(bench);
    const ask = { ...offline, parameters: { dpop_jkt: jkt } };
    const cases: [change: Change | undefined, error: string | undefined][] = [
      [undefined, 'invalid_grant'],
      [{ key: other }, 'invalid_grant'],
      [{}, undefined],
    ];
    for (const [change, error] of cases) {
      const form = { ...(await codeFor(bench, app, ask)), client_id: app.id };
      const headers: Record<string, string> = change === undefined ? {} : { dpop: await proofFor(bench, change) };
      t.equal((await postToken(bench, form, headers)).json.error, error);
    }
    const push = async (form: Record<string, string>, change: Change = {}) => {
      const headers = { dpop: await proofFor(bench, { url: `${issuer}/auth/par`, ...change }) };
      return call(bench.server, 'POST', '/auth/par', { form, headers });
    };
    const parameters = authorizeParameters(app, offline.scope);
    t.equal((await push({ ...parameters, dpop_jkt: thumbprintOf(other.publicJwk) })).json.error, 'invalid_request');
    t.equal((await push({ ...parameters, dpop_jkt: 'short' })).status, 400);
    t.equal((await push(parameters, { url: `${issuer}/auth/token` })).json.error, 'invalid_dpop_proof');
    const { json } = await push(parameters);
    const url = `/auth/authorize?${new URLSearchParams({ client_id: app.id, request_uri: json.request_uri })}`;
    const id = (await call(bench.server, 'GET', url)).headers.Location?.split('/').at(-1) ?? '';
    t.equal((await bench.server.interactions.get(id))?.jkt, jkt);
  });

  await t.test('a client that is registered for bound tokens gets no others', async (t) => {
    const bench = await benchOn(t, adapter, { registration: 'approval' });
    const app = await addPublicApp(bench, { bindsTokens: true });
    t.equal((await tokensFor(bench, app, offline)).json.error, 'invalid_dpop_proof');
    const service = await addService(bench, [p384], { bindsTokens: true });
    const ask = async (headers: Record<string, string>) => {
      const proof = await assertionForm({ key: p384, client: service.id, clock: bench.clock });
      return postToken(bench, { grant_type: 'client_credentials', scope: 'system/*.rs', ...proof }, headers);
    };
    t.equal((await ask({})).json.error, 'invalid_dpop_proof');
    t.equal((await ask({ dpop: await proofFor(bench) })).json.token_type, 'DPoP');
    const { scope } = offline;
    const body = {
      client_name: 'App',
      redirect_uris: ['https://app.example.org/'],
      scope,
      dpop_bound_access_tokens: true,
    };
    const { json } = await call(bench.server, 'POST', '/auth/register', { json: body });
    t.equal(json.dpop_bound_access_tokens, true);
    t.equal((await bench.server.clients.get(json.client_id))?.bindsTokens, true);
  });

  await t.test('introspection tells of the key; discovery tells of the algorithms', async (t) => {
    const bench = await benchOn(t, adapter);
    const { access_token: token, refresh_token } = await bound(bench);
    const { client, secret = '' } = await bench.server.clients.add(
      publicApp({ authentication: 'client_secret_basic', isResourceServer: true }),
    );
    const ask = (value: string, headers = basic(client.id, secret)) =>
      call(bench.server, 'POST', '/auth/introspect', { form: { token: value }, headers });
    t.match((await ask(token)).json, { active: true, token_type: 'DPoP', cnf: { jkt } });
    t.match((await ask(refresh_token)).json, { active: true, cnf: { jkt } });
    t.equal((await ask((await redeemed(bench)).json.access_token)).json.cnf, undefined);
    const url = `${issuer}/auth/introspect`;
    const byToken = async (change: Change) =>
      ask(token, { authorization: `DPoP ${token}`, dpop: await proofFor(bench, { url, token, ...change }) });
    t.match((await byToken({})).json, { active: true }, 'who asks by a bound token shows its key');
    t.equal((await byToken({ url: patientUrl })).status, 401);
    t.equal((await ask(token, { authorization: `Bearer ${token}` })).status, 401);
    for (const path of ['/fhir/.well-known/smart-configuration', '/.well-known/openid-configuration']) {
      const { json } = await call(bench.server, 'GET', path);
      t.match(json.dpop_signing_alg_values_supported, ['ES256', 'ES384']);
    }
  });

  await t.test('over HTTP: method and path are those of the request', async (t) => {
    const bench = await benchOn(t, adapter);
    const { access_token: token } = await bound(bench);
    const { server } = guardedServer({ access: { authentication: bench.server, acceptsPlainHttp: true } });
    const ask = async (url: string, dpop: string | string[]) =>
      server.inject({ url, headers: { authorization: `DPoP ${token}`, dpop } });
    t.equal((await ask('/fhir/Patient/pat?_pretty=true', await read(bench, token))).statusCode, 200);
    const elsewhere = await ask('/fhir/Patient/far', await read(bench, token));
    t.equal(elsewhere.statusCode, 401);
    t.match(elsewhere.headers['www-authenticate'], /^DPoP .*error="invalid_dpop_proof".*htu/);
    const both = await ask('/fhir/Patient/pat', [await read(bench, token), await read(bench, token)]);
    t.equal(both.statusCode, 401, 'two proofs');
    const plain = await server.inject({ url: '/fhir/Patient/pat', headers: { authorization: `Bearer ${token}` } });
    t.match(plain.headers['www-authenticate'], /^DPoP /);
    t.equal(plain.statusCode, 401);
  });
});

// threat 30: access tokens of other authorization servers, and what passes for one.
// https://www.rfc-editor.org/rfc/rfc9068, https://www.rfc-editor.org/rfc/rfc8725
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportSPKI, importJWK, SignJWT } from 'jose';
import t from 'tap';
import type { ExternalIssuer } from '../../src/auth/external-issuers.ts';
import { thumbprintOf } from '../../src/auth/jwt.ts';
import { sqlite } from '../support/stores.ts';
import { baseUrl, benchOn, dpopProof, type TestKey, testKey } from './support.ts';

const keycloak = 'https://keycloak.example.org/realms/clinic';
const [key, ec, stranger] = (await Promise.all([
  testKey('RS256', 'one'),
  testKey('ES256', 'two'),
  testKey('RS256', 'one'),
])) as [TestKey, TestKey, TestKey];

/** A key set on this machine that counts its readers, and a server that trusts it. */
async function trusting(t: { teardown(after: () => unknown): void }, change: Partial<ExternalIssuer> = {}) {
  let fetches = 0;
  const keySet = createServer((_, response) => {
    fetches++;
    response.setHeader('cache-control', 'max-age=600').end(JSON.stringify({ keys: [key.publicJwk, ec.publicJwk] }));
  });
  await new Promise<void>((resolve) => keySet.listen(0, '127.0.0.1', resolve));
  t.teardown(() => keySet.close());
  const jwksUri = `http://127.0.0.1:${(keySet.address() as AddressInfo).port}/jwks`;
  const issuer: ExternalIssuer = {
    issuer: keycloak,
    jwksUri,
    audience: baseUrl,
    types: ['at+jwt'],
    algorithms: ['RS256', 'ES256'],
    claims: { client: 'azp', scope: 'scope' },
    scopes: ['system/*.rs'],
    ...change,
  };
  const bench = await benchOn(t as never, sqlite, {
    externalIssuers: [issuer],
    checkScopeQuery: (_, query) => (query.startsWith('code=') ? undefined : 'is of no known parameter'),
  });
  const ask = (token: string) => bench.server.authenticate(`Bearer ${token}`, '');
  return { bench, ask, fetches: () => fetches };
}

interface Made {
  now: number;
  by?: TestKey;
  claims?: Record<string, unknown>;
  header?: Record<string, unknown>;
}

function token({ now, by = key, claims = {}, header = {} }: Made): Promise<string> {
  const seconds = Math.floor(now / 1000);
  const own = {
    iss: keycloak,
    aud: baseUrl,
    azp: 'gateway',
    scope: 'system/Observation.rs',
    exp: seconds + 300,
    iat: seconds,
  };
  const all = Object.fromEntries(Object.entries({ ...own, ...claims }).filter(([, value]) => value !== undefined));
  const head = Object.entries({ alg: by.algorithm, typ: 'at+jwt', kid: by.kid, ...header });
  return new SignJWT(all)
    .setProtectedHeader(Object.fromEntries(head.filter(([, value]) => value !== undefined)) as { alg: string })
    .sign(by.privateKey);
}

t.test('work that goes on is asked for again, by what is configured now', async (t) => {
  const { bench, ask } = await trusting(t, { clients: ['gateway'] });
  const scope = 'system/Observation.rs system/Condition.rs';
  const principal = await ask(await token({ now: bench.clock.now(), claims: { scope } }));
  t.strictSame(bench.server.renewedExternal(principal), principal);
  const given: ExternalIssuer = {
    issuer: keycloak,
    jwksUri: 'https://keycloak.example.org/jwks',
    audience: baseUrl,
    types: ['at+jwt'],
    algorithms: ['RS256'],
    claims: { client: 'azp', scope: 'scope' },
    scopes: ['system/*.rs'],
  };
  const after = (...externalIssuers: ExternalIssuer[]) => bench.another({ externalIssuers }).renewedExternal(principal);
  t.strictSame(after(given), principal, 'after a restart');
  t.equal(after(), undefined, 'the issuer is trusted no more');
  t.equal(after({ ...given, issuer: 'https://other.example' }), undefined);
  t.equal(after({ ...given, clients: ['another'] }), undefined, 'the client is');
  t.equal(after({ ...given, scopes: ['system/Patient.rs'] }), undefined, 'nothing is left');
  t.strictSame(
    after({ ...given, scopes: ['system/Observation.rs'] })?.scopes.map(({ type }) => type),
    ['Observation'],
    'a ceiling that came down',
  );
  const { external: _, ...unnamed } = principal;
  t.equal(bench.server.renewedExternal(unnamed), undefined);
  bench.clock.pass(359_999);
  t.ok(bench.server.renewedExternal(principal));
  bench.clock.pass(1);
  t.equal(bench.server.renewedExternal(principal), undefined, 'the token is over');
  const others = token({ now: bench.clock.now(), claims: { azp: 'another' } });
  await t.rejects(others.then(ask), 'a client that is not listed');
});

const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

t.test('a token of a configured issuer stands for its client, within the ceiling', async (t) => {
  const { bench, ask } = await trusting(t);
  const now = bench.clock.now();
  const scope =
    'openid system/Goal.rs?nonsense=1 system/Observation.rs system/Patient.cruds user/*.rs system/Condition.r';
  for (const by of [key, ec]) {
    const principal = await ask(await token({ now, by, claims: { scope, aud: ['other', baseUrl] } }));
    t.notOk('user' in principal);
    t.equal(principal.client, `${keycloak}#gateway`);
    t.same(
      principal.scopes.map(({ type, can }) => `${type}.${can.join('')}`),
      ['Observation.rs', 'Condition.r'],
    );
  }
});

t.test('threat 30: what is not such a token is refused', async (t) => {
  const { bench, ask, fetches } = await trusting(t);
  const now = bench.clock.now();
  const seconds = Math.floor(now / 1000);
  const good = await token({ now });
  const [head = '', body = '', signature = ''] = good.split('.');
  const pem = await exportSPKI((await importJWK(key.publicJwk, 'RS256', { extractable: true })) as never);
  const confused = new SignJWT({
    iss: keycloak,
    aud: baseUrl,
    azp: 'gateway',
    scope: 'system/*.rs',
    exp: seconds + 300,
  });
  const wrong: Record<string, string | Promise<string>> = {
    'alg none': `${encoded({ alg: 'none', typ: 'at+jwt', kid: 'one' })}.${body}.`,
    'alg none, signed': `${encoded({ alg: 'none', typ: 'at+jwt', kid: 'one' })}.${body}.${signature}`,
    'another key with the right kid': token({ now, by: stranger }),
    'HS256 with the public key': confused
      .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', kid: 'one' })
      .sign(Buffer.from(pem)),
    'a key in its own header': token({ now, by: stranger, header: { jwk: stranger.publicJwk } }),
    'a key set of its own choice': token({ now, by: stranger, header: { jku: 'https://evil.example.org/jwks' } }),
    'an issuer that is not configured': token({ now, claims: { iss: 'https://evil.example.org' } }),
    'an issuer that begins like one': token({ now, claims: { iss: `${keycloak}.evil.example.org` } }),
    'an issuer in a list': token({ now, claims: { iss: [keycloak] } }),
    garbage: 'a.b.c',
    'an altered typ': `${encoded({ alg: 'RS256', typ: 'JWT', kid: 'one' })}.${body}.${signature}`,
    'an altered body': `${head}.${encoded({ iss: keycloak, aud: baseUrl, azp: 'x', scope: 'system/*.rs', exp: seconds + 300 })}.${signature}`,
    'an id_token, well signed': token({ now, header: { typ: 'JWT' } }),
    'no typ, well signed': token({ now, header: { typ: undefined } }),
    'another audience': token({ now, claims: { aud: 'https://other.example.org' } }),
    'no audience': token({ now, claims: { aud: undefined } }),
    over: token({ now, claims: { exp: seconds - 61 } }),
    'no end': token({ now, claims: { exp: undefined } }),
    'not yet': token({ now, claims: { nbf: seconds + 120 } }),
    'no client': token({ now, claims: { azp: undefined } }),
    'no scope': token({ now, claims: { scope: undefined } }),
    'a scope that is an object': token({ now, claims: { scope: { $ne: '' } } }),
    'user scopes alone': token({ now, claims: { scope: 'user/*.rs patient/*.rs' } }),
    'scopes beyond the ceiling': token({ now, claims: { scope: 'system/*.cruds' } }),
    'no kid': token({ now, header: { kid: undefined } }),
    'the wrong type of key': token({ now, header: { kid: 'two' } }),
    'unknown critical header': token({ now, header: { crit: ['exp'] } }).catch(() => 'a.b.c'),
    huge: `${head}.${'x'.repeat(20_000)}.${signature}`,
  };
  for (const [what, made] of Object.entries(wrong))
    await t.rejects(ask(await made), { name: 'FhirError', kind: 'login' } as never, what);
  t.ok(fetches() <= 1, 'the keys were fetched once, for all of them');
  t.ok((await ask(good)).client, 'and a good one is good still');
});

t.test('threat 30: unknown kids make nobody fetch keys', async (t) => {
  const { bench, ask, fetches } = await trusting(t);
  await ask(await token({ now: bench.clock.now() }));
  t.equal(fetches(), 1);
  for (let kid = 0; kid < 200; kid++)
    await t.rejects(ask(await token({ now: bench.clock.now(), header: { kid: `unknown-${kid}` } })));
  t.equal(fetches(), 1, '200 of them within the cooldown');
  bench.clock.pass(31_000);
  await t.rejects(ask(await token({ now: bench.clock.now(), header: { kid: 'unknown' } })));
  t.equal(fetches(), 2, 'after it, one may be a new key');
});

t.test('a token that its issuer bound to a key needs a proof by that key', async (t) => {
  const { bench, ask } = await trusting(t);
  const { clock } = bench;
  const holder = await testKey('ES256', 'holder');
  const jkt = thumbprintOf(holder.publicJwk);
  const bound = await token({ now: clock.now(), claims: { cnf: { jkt } } });
  const url = `${baseUrl}/Observation`;
  const byProof = async (given: string, by = holder) => {
    const dpop = await dpopProof({ key: by, clock, method: 'GET', url, token: given });
    return bench.server.authenticate(`DPoP ${given}`, '', { dpop, method: 'GET', path: '/Observation' });
  };
  t.match(await byProof(bound), { client: `${keycloak}#gateway` });
  await t.rejects(ask(bound), { kind: 'login' } as never, 'as a bearer token');
  await t.rejects(byProof(bound, key), { kind: 'login' } as never, 'another key');
  for (const cnf of [{ 'x5t#S256': 'x' }, { jkt, 'x5t#S256': 'x' }, { jkt: 1 }, {}, 'x', null]) {
    const other = await token({ now: clock.now(), claims: { cnf } });
    await t.rejects(ask(other), { kind: 'login' } as never, JSON.stringify(cnf));
    await t.rejects(byProof(other), { kind: 'login' } as never);
  }
});

t.test('no issuer is trusted unless it is configured', async (t) => {
  const bench = await benchOn(t, sqlite);
  await t.rejects(bench.server.authenticate(`Bearer ${await token({ now: bench.clock.now() })}`, ''));
});

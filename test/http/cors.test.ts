// Pages of other origins: those with a token may call the FHIR base, nobody may use a cookie.
import t from 'tap';
import { guardedServer } from './guarded.ts';

const app = 'https://app.example';
const evil = 'https://evil.example';
const asks = { 'access-control-request-method': 'PUT', 'access-control-request-headers': 'authorization,if-match' };

t.test('threat 34: the origin matrix', async (t) => {
  const cases: [origins: 'any' | string[], origin: string | undefined, allowed: string | undefined][] = [
    ['any', app, '*'],
    ['any', 'null', '*'],
    ['any', undefined, undefined],
    [[app], app, app],
    [[app], evil, undefined],
    [[app], 'https://app.example.evil.example', undefined],
    [[app], 'http://app.example', undefined],
    [[app], 'https://app.example:444', undefined],
    [[app], 'null', undefined],
    [[app], undefined, undefined],
    [[], app, undefined],
  ];
  for (const [corsOrigins, origin, allowed] of cases) {
    const { server } = guardedServer({ access: { corsOrigins, limitsRates: false } });
    const from = origin === undefined ? {} : { origin };
    const name = `${JSON.stringify(corsOrigins)} ${origin}`;
    for (const headers of [{ ...from, authorization: 'Bearer good' }, from]) {
      const reply = await server.inject({ url: '/fhir/Patient/1', headers });
      t.equal(reply.headers['access-control-allow-origin'], allowed, `${name}: an answer, and a refusal`);
      t.equal(reply.headers['access-control-allow-credentials'], undefined);
      t.equal(
        /ETag.*Location.*X-Request-Id/.test(String(reply.headers['access-control-expose-headers'])),
        allowed !== undefined,
      );
      t.equal(/Origin/.test(String(reply.headers.vary)), allowed === app);
    }
    const preflight = await server.inject({ method: 'OPTIONS', url: '/fhir/Patient/1', headers: { ...from, ...asks } });
    t.equal(preflight.statusCode, 204, `${name}: the preflight needs no token`);
    t.equal(preflight.headers['access-control-allow-origin'], allowed);
    t.equal(preflight.headers['access-control-allow-credentials'], undefined);
    t.equal(preflight.headers['access-control-allow-methods'] !== undefined, allowed !== undefined);
    if (allowed === undefined) continue;
    t.match(preflight.headers['access-control-allow-methods'], /PUT/);
    t.match(preflight.headers['access-control-allow-headers'], /Authorization.*Content-Type.*DPoP.*If-Match.*Prefer/);
  }
});

t.test('preflights reach no engine and are counted', async (t) => {
  const { server, seen, asked } = guardedServer();
  await server.inject({ method: 'OPTIONS', url: '/fhir', headers: { origin: app, ...asks } });
  t.equal(seen.length + asked.length, 0);
  t.match((await server.inject('/metrics')).body, /interaction="preflight",status="204"\} 1/);
  t.equal((await server.inject({ method: 'OPTIONS', url: '/fhir/Patient', headers: { origin: app } })).statusCode, 405);
});

t.test('the token and discovery may be called from elsewhere, pages with cookies may not', async (t) => {
  const handle = async () => ({ status: 200, body: {} });
  const { server } = guardedServer({
    routes: [
      { method: 'POST', path: '/auth/token', isCrossOrigin: true, handle },
      { method: 'GET', path: '/fhir/.well-known/smart-configuration', isCrossOrigin: true, handle },
      { method: 'GET', path: '/auth/login', handle },
      { method: 'POST', path: '/auth/login', handle },
    ],
  });
  const headers = { origin: app };
  const ask = (method: 'GET' | 'POST' | 'OPTIONS', url: string, more = {}) =>
    server.inject({ method, url, headers: { ...headers, ...more } });
  const allowed = (reply: { headers: Record<string, unknown> }) => reply.headers['access-control-allow-origin'];
  t.equal(allowed(await ask('POST', '/auth/token')), '*');
  t.equal(allowed(await ask('GET', '/fhir/.well-known/smart-configuration')), '*');
  t.equal(allowed(await ask('OPTIONS', '/auth/token', asks)), '*');
  t.equal(allowed(await ask('OPTIONS', '/fhir/.well-known/smart-configuration', asks)), '*');
  for (const method of ['GET', 'POST'] as const) t.equal(allowed(await ask(method, '/auth/login')), undefined);
  const preflight = await ask('OPTIONS', '/auth/login', asks);
  t.equal(preflight.statusCode, 404);
  t.equal(allowed(preflight), undefined);
});

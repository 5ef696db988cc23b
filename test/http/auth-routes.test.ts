// The routes of the authorization server and its pages as browsers and apps meet them.
import fc from 'fast-check';
import t from 'tap';
import type { AuthAnswer, AuthRequest, AuthRoute } from '../../src/auth/exchange.ts';
import { limits } from '../../src/base/limits.ts';
import { FhirError } from '../../src/base/outcome.ts';
import { readCookie, setCookie } from '../../src/http/cookies.ts';
import { type GuardedOptions, guardedServer } from './guarded.ts';

const page = '<!doctype html><title>x</title>';

function served(answer: (request: AuthRequest) => AuthAnswer | Promise<AuthAnswer>, options: GuardedOptions = {}) {
  const seen: AuthRequest[] = [];
  const handle = async (request: AuthRequest): Promise<AuthAnswer> => {
    seen.push(request);
    return answer(request);
  };
  const routes: AuthRoute[] = [
    { method: 'GET', path: '/auth/page/:id', rate: 'page', handle },
    { method: 'POST', path: '/auth/page/:id', rate: 'login', handle },
    { method: 'POST', path: '/auth/token', isCrossOrigin: true, rate: 'token', handle },
    { method: 'POST', path: '/auth/register', isCrossOrigin: true, rate: 'register', handle },
  ];
  return { ...guardedServer({ ...options, routes }), seen };
}

const form = { 'content-type': 'application/x-www-form-urlencoded' };
const json = { 'content-type': 'application/json' };

t.test('a page: its headers, and what its policy allows', async (t) => {
  const { server, seen, lines } = served(() => ({ status: 200, body: page }));
  const reply = await server.inject({ url: '/auth/page/abc?x=1&x=2&y=%C3%A9', headers: { 'x-request-id': 'r-1' } });
  t.equal(reply.body, page);
  t.match(reply.headers, {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'x-request-id': 'r-1',
  });
  const policy = String(reply.headers['content-security-policy']);
  for (const part of ["default-src 'none'", "form-action 'self';", "frame-ancestors 'none'", "base-uri 'none'"])
    t.match(policy, part, 'threat 29: clickjacking');
  t.notMatch(policy, /unsafe/);
  const [request] = seen;
  t.match(request, { method: 'GET', path: '/auth/page/abc', params: { id: 'abc' }, address: '127.0.0.1', id: 'r-1' });
  t.strictSame(request?.query.getAll('x'), ['1', '2']);
  t.equal(request?.query.get('y'), 'é');
  t.match(JSON.parse(lines[0] ?? ''), { interaction: '/auth/page/:id', status: 200 });
  t.notMatch(lines.join(''), 'abc', 'no ids in the log');
});

t.test('a form may lead to where the answer says, by origin or scheme', async (t) => {
  const formTargets = ['https://app.example/cb?x=1', "com.example.app:/cb'; script-src *", 'http://127.0.0.1:9999/cb'];
  const { server } = served(() => ({ status: 200, body: page, formTargets }));
  const policy = String((await server.inject('/auth/page/1')).headers['content-security-policy']);
  t.match(policy, "form-action 'self' https://app.example com.example.app: http://127.0.0.1:9999;");
  t.notMatch(policy, 'script-src *');
});

t.test('forms and JSON are taken, other bodies are not', async (t) => {
  const { server, seen } = served(() => ({ status: 200, body: { ok: true } }));
  const post = (headers: Record<string, string>, payload: string | Buffer) =>
    server.inject({ method: 'POST', url: '/auth/token', headers, payload });
  const reply = await post(form, 'grant_type=a+b&code=%C3%A9&code=2');
  t.strictSame(reply.json(), { ok: true });
  t.match(reply.headers['content-type'], 'application/json');
  t.strictSame(
    [...(seen[0]?.form ?? [])],
    [
      ['grant_type', 'a b'],
      ['code', 'é'],
      ['code', '2'],
    ],
  );
  t.equal(seen[0]?.json, undefined);
  await post(json, '{"a":[1]}');
  t.strictSame(seen[1]?.json, { a: [1] });
  t.equal([...(seen[1]?.form ?? [])].length, 0);
  await server.inject({ method: 'POST', url: '/auth/token' });
  t.equal(seen[2]?.json, undefined);
  const refused: [Record<string, string>, string | Buffer, number][] = [
    [json, '{"__proto__":{"polluted":1}}', 400],
    [json, '{"a":{"constructor":{"prototype":{}}}}', 400],
    [json, `${'['.repeat(1_000)}${']'.repeat(1_000)}`, 400],
    [json, '{', 400],
    [{ 'content-type': 'text/plain' }, 'x', 415],
    [{ 'content-type': 'multipart/form-data; boundary=x' }, 'x', 415],
    [form, Buffer.alloc(limits.authBodyBytesMax + 1, 'x'), 413],
  ];
  for (const [headers, payload, status] of refused) {
    const { statusCode, body } = await post(headers, payload);
    t.equal(statusCode, status, `${headers['content-type']} ${payload.slice(0, 30)}`);
    t.match(JSON.parse(body), { error: 'invalid_request', error_description: String });
  }
  t.equal(seen.length, 3);
  t.equal((await post(form, Buffer.alloc(limits.authBodyBytesMax, 'x'))).statusCode, 200, 'the largest');
  t.equal(({} as Record<string, unknown>).polluted, undefined, 'threat 24');
});

t.test('cookies over http and https', async (t) => {
  const cookies = [
    { name: 'session', value: 'abc', path: '/', maxAgeS: 60 },
    { name: 'login', value: 'def', path: '/auth/page/1' },
    { name: 'old', value: '', path: '/' },
  ];
  const plain = served(() => ({ status: 303, headers: { Location: '/x' }, cookies }));
  t.strictSame((await plain.server.inject('/auth/page/1')).headers['set-cookie'], [
    'session=abc; Path=/; Max-Age=60; HttpOnly; SameSite=Lax',
    'login=def; Path=/auth/page/1; HttpOnly; SameSite=Lax',
    'old=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax',
  ]);
  const secure = served(() => ({ status: 303, headers: { Location: '/x' }, cookies }), {
    server: { baseUrl: 'https://ehr.example/clinic/fhir' },
  });
  const reply = await secure.server.inject('/auth/page/1');
  t.strictSame(reply.headers['set-cookie'], [
    '__Secure-session=abc; Path=/clinic/; Max-Age=60; HttpOnly; SameSite=Lax; Secure',
    '__Secure-login=def; Path=/clinic/auth/page/1; HttpOnly; SameSite=Lax; Secure',
    '__Secure-old=; Path=/clinic/; Max-Age=0; HttpOnly; SameSite=Lax; Secure',
  ]);
  t.match(reply.headers['strict-transport-security'], 'max-age=');
  t.match(setCookie({ name: 's', value: 'v', path: '/' }, { isSecure: true, root: '' }), '__Host-s=v; Path=/;');
  t.throws(() => setCookie({ name: 's', value: 'a; Domain=x', path: '/' }, { isSecure: true, root: '' }));
});

t.test(
  'cookies are read by their name, with the prefix where https is served, and not when one comes twice',
  async (t) => {
    t.equal(readCookie('a=1; session=x.y-z; b=2', 'session', false), 'x.y-z');
    t.equal(readCookie('session=x', 'session', true), undefined, 'set over plain http');
    t.equal(readCookie('__Host-session=x', 'session', true), 'x');
    t.equal(readCookie('__Secure-session=x', 'session', true), 'x');
    t.equal(readCookie('__Host-session=x', 'session', false), undefined);
    t.equal(readCookie('session=x; session=y', 'session', false), undefined, 'tossed by a neighbour');
    t.equal(readCookie('xsession=1', 'session', false), undefined);
    t.equal(readCookie(undefined, 'session', false), undefined);
  },
);

t.test('threat 29: the form of another site acts without cookies', async (t) => {
  const { server, seen } = served(() => ({ status: 200 }));
  const post = async (site?: string) => {
    const from = site === undefined ? {} : { 'sec-fetch-site': site };
    await server.inject({
      method: 'POST',
      url: '/auth/page/1',
      headers: { ...form, cookie: 's=1', ...from },
      payload: '',
    });
    return seen.at(-1)?.cookie('s');
  };
  t.equal(await post(), '1');
  t.equal(await post('same-origin'), '1');
  t.equal(await post('cross-site'), undefined);
  t.equal(await post('same-site'), undefined);
  await server.inject({ url: '/auth/page/1', headers: { cookie: 's=1', 'sec-fetch-site': 'cross-site' } });
  t.equal(seen.at(-1)?.cookie('s'), '1', 'a link may lead here');
});

t.test('failures are plain, and say nothing of ours', async (t) => {
  const failing = (error: unknown) =>
    served(() => {
      throw error;
    });
  const { server, lines } = failing(new TypeError('secret <b>detail</b>'));
  const forPeople = await server.inject('/auth/page/1');
  t.equal(forPeople.statusCode, 500);
  t.match(forPeople.headers['content-type'], 'text/plain');
  t.notMatch(forPeople.body, 'detail');
  const forApps = await server.inject({ method: 'POST', url: '/auth/token' });
  t.strictSame(forApps.json().error, 'server_error');
  t.notMatch(lines.join(''), 'detail');
  t.match(lines.join(''), 'TypeError');
  const told = await failing(new FhirError('not-found', 'No "such" page.')).server.inject('/auth/page/1');
  t.equal(told.statusCode, 404);
  t.equal(told.body, 'No "such" page.\n');
  t.equal((await server.inject({ method: 'PUT', url: '/auth/page/1' })).statusCode, 404);
  t.equal((await server.inject('/auth/elsewhere')).statusCode, 404);
});

t.test('whatever is sent is read, or refused with 4xx', async (t) => {
  const { server, lines } = served(
    ({ query, form, json, params, cookie, header }) => ({
      status: 200,
      body: { seen: [[...query], [...form], json === undefined, params, cookie('s') ?? null, header('x-odd') ?? null] },
    }),
    { access: { limitsRates: false } },
  );
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string(),
    fc.constantFrom('%', '%zz', '%00', '..', '__proto__'),
  );
  const visible = fc.string({ unit: fc.constantFrom(...'ab=;,"%& \t{}[]\\é') });
  const type = fc.constantFrom(
    form['content-type'],
    json['content-type'],
    'text/plain',
    'application/json; charset=x',
    '',
  );
  const sent = fc.record({
    path: fc.constantFrom('/auth/page/', '/auth/token', '/auth/register'),
    tail: text,
    query: text,
    body: fc.oneof(text, fc.json(), fc.webQueryParameters()),
    cookie: visible,
    odd: visible,
    type,
    method: fc.constantFrom('GET', 'POST', 'OPTIONS', 'PUT', 'HEAD'),
  });
  const check = fc.asyncProperty(sent, async ({ path, tail, query, body, cookie, odd, type, method }) => {
    const url = `${path}${path.endsWith('/') ? encodeURIComponent(wellFormed(tail)) : ''}?${encodeURI(wellFormed(query))}`;
    const headers = { cookie, 'x-odd': odd, ...(type === '' ? {} : { 'content-type': type }) };
    const payload = method === 'POST' || method === 'PUT' ? { payload: body } : {};
    const reply = await server.inject({ method: method as 'GET', url, headers, ...payload });
    return reply.statusCode < 500;
  });
  await fc.assert(check, {
    interruptAfterTimeLimit: Number(process.env.CARELOOM_PROPERTY_MS ?? 3_000),
    numRuns: 2_000,
  });
  t.notMatch(lines.join(''), '"level":"error"');
});

/** Without halves of surrogate pairs, which no address can have. */
const wellFormed = (text: string): string => text.toWellFormed();

t.test('rates by address: at the limit, and one more', async (t) => {
  let now = 0;
  const options = { server: { clock: { now: () => now, newId: () => 'id' } }, access: { acceptsPlainHttp: true } };
  const { server } = served(() => ({ status: 200 }), options);
  const cases: [method: 'GET' | 'POST', url: string, most: number, waitS: number][] = [
    ['POST', '/auth/page/1', limits.loginRequestsPer15Min, 8],
    ['GET', '/auth/page/1', limits.authPagesBurst, 1],
    ['POST', '/auth/token', limits.tokenRequestsBurst, 1],
    ['POST', '/auth/register', limits.registrationsPerHour, 360],
  ];
  for (const [method, url, most, waitS] of cases) {
    const ask = (remoteAddress = '127.0.0.1') => server.inject({ method, url, remoteAddress });
    for (let count = 0; count < most; count++) if ((await ask()).statusCode !== 200) t.fail(`${url}: ${count}`);
    const refused = await ask();
    t.equal(refused.statusCode, 429, url);
    t.equal(refused.headers['retry-after'], String(waitS));
    if (url === '/auth/token')
      t.match(refused.json(), { error: 'temporarily_unavailable', error_description: /address/ });
    t.equal((await ask('10.0.0.2')).statusCode, 200, 'another address');
    now += waitS * 1000;
    t.equal((await ask()).statusCode, 200, 'after that time');
  }
  const free = served(() => ({ status: 200 }), { access: { limitsRates: false } });
  for (let count = 0; count <= limits.registrationsPerHour; count++)
    t.equal((await free.server.inject({ method: 'POST', url: '/auth/register' })).statusCode, 200);
});

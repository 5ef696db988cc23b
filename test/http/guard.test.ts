// The FHIR base while access control is on: nobody gets in without a token, or too often.
import { connect } from 'node:net';
import t from 'tap';
import { limits } from '../../src/base/limits.ts';
import { FhirError } from '../../src/base/outcome.ts';
import { addressKey, Slots, TokenBuckets } from '../../src/http/rate.ts';
import { guardedServer } from './guarded.ts';

const bearer = { authorization: 'Bearer good' };
type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS';

const addresses: [Method, string][] = [
  ['GET', '/fhir'],
  ['GET', '/fhir/'],
  ['POST', '/fhir'],
  ['GET', '/fhir/Patient'],
  ['GET', '/fhir/Patient/1'],
  ['HEAD', '/fhir/Patient/1'],
  ['GET', '/fhir/Patient/1/_history'],
  ['GET', '/fhir/Patient/1/_history/1'],
  ['GET', '/fhir/Patient/_history'],
  ['GET', '/fhir/_history'],
  ['POST', '/fhir/Patient'],
  ['POST', '/fhir/Patient/_search'],
  ['POST', '/fhir/_search'],
  ['PUT', '/fhir/Patient/1'],
  ['PUT', '/fhir/Patient?identifier=1'],
  ['PATCH', '/fhir/Patient/1'],
  ['DELETE', '/fhir/Patient/1'],
  ['DELETE', '/fhir/Patient?name=x'],
  ['GET', '/fhir/Patient/1/Observation'],
  ['GET', '/fhir/Patient/1/$everything'],
  ['GET', '/fhir/Patient/1/$access-report'],
  ['POST', '/fhir/$graphql'],
  ['GET', '/fhir/$job-status?id=1'],
  ['POST', '/fhir/ViewDefinition/$run'],
  ['GET', '/fhir/Binary/1'],
  ['POST', '/fhir/Binary'],
  ['GET', '/fhir/Nothing/1'],
  ['GET', '/fhir/metadata/1'],
  ['POST', '/fhir/metadata'],
  ['GET', '/fhir/%6detadata'],
  ['GET', '/fhir/metadata%2f'],
  ['GET', '/fhir//metadata'],
  ['OPTIONS', '/fhir/Patient'],
];

t.test(
  'threat 5: every route is refused without a token, with a wrong one, and with one in another place',
  async (t) => {
    const { server, seen } = guardedServer({ access: { limitsRates: false } });
    const wrong: [url: string, headers: Record<string, string>][] = [
      ['', {}],
      ['', { authorization: 'Bearer ' }],
      ['', { authorization: 'Bearer wrong' }],
      ['', { authorization: 'Basic Z29vZDpnb29k' }],
      ['', { authorization: 'good' }],
      ['', { authorization: 'Bearer good good' }],
      ['', { authorization: 'Bearer good, Bearer good' }],
      ['', { cookie: 'access_token=good; __Host-session=good' }],
      ['', { 'x-access-token': 'good' }],
      ['access_token=good', {}],
    ];
    for (const [method, path] of addresses) {
      for (const [query, headers] of wrong) {
        const url = query === '' ? path : `${path}${path.includes('?') ? '&' : '?'}${query}`;
        const reply = await server.inject({ method, url, headers });
        // An address that is none is told so before anything else; it leads nowhere.
        t.ok([400, 401, 405].includes(reply.statusCode), `${method} ${url} ${JSON.stringify(headers)}`);
        if (reply.statusCode !== 401) continue;
        t.match(reply.headers['www-authenticate'], /^Bearer realm="careloom"/);
        if (method !== 'HEAD') t.match(reply.json(), { resourceType: 'OperationOutcome', issue: [{ code: 'login' }] });
      }
    }
    const form = { 'content-type': 'application/x-www-form-urlencoded' };
    const posted = {
      method: 'POST',
      url: '/fhir/Patient/_search',
      headers: form,
      payload: 'access_token=good',
    } as const;
    t.equal((await server.inject(posted)).statusCode, 401, 'in a form');
    t.equal(seen.length, 0, 'nothing reached the engine');
  },
);

t.test('the CapabilityStatement is public, health is, and counts are not', async (t) => {
  const { server, seen } = guardedServer();
  for (const url of ['/fhir/metadata', '/fhir/metadata/', '/fhir/metadata?mode=full'])
    t.equal((await server.inject(url)).statusCode, 200, url);
  t.equal((await server.inject({ method: 'HEAD', url: '/fhir/metadata' })).statusCode, 200);
  t.equal(seen.length, 4);
  for (const url of ['/healthz', '/readyz']) t.equal((await server.inject(url)).statusCode, 200, url);
  const home = (await server.inject('/')).body;
  t.notMatch(home, 'Store:');
  t.notMatch(home, /3 resources/);
  t.notMatch(home, 'Access control is off');
  t.match((await server.inject('/metrics')).body, 'careloom_access_control 1');
  t.equal((await server.inject({ url: '/metrics', remoteAddress: '10.1.1.1' })).statusCode, 403);
});

t.test('off: the home page and the figures say so', async (t) => {
  const { fakeServer } = await import('./support.ts');
  const { server } = fakeServer();
  t.match((await server.inject('/')).body, 'Access control is off');
  t.match((await server.inject('/metrics')).body, 'careloom_access_control 0');
  t.equal((await server.inject({ method: 'OPTIONS', url: '/fhir/Patient' })).statusCode, 405);
  const reply = await server.inject({ url: '/fhir/Patient/1', headers: { origin: 'https://app.example' } });
  t.equal(reply.headers['access-control-allow-origin'], undefined, 'no page of another origin reads along');
});

t.test('a token opens the door, and the engine learns who asks and from where', async (t) => {
  const callers: unknown[] = [];
  const { server, seen, asked } = guardedServer({
    server: {
      engine: {
        async perform(request, caller) {
          seen.push(request);
          callers.push(caller.principal);
          return { status: 200, headers: {}, interaction: 'read' };
        },
      },
    },
  });
  for (const authorization of ['Bearer good', 'bearer good', 'BEARER  good']) {
    const reply = await server.inject({ url: '/fhir/Patient/1', headers: { authorization, 'x-request-id': 'r-1' } });
    t.equal(reply.statusCode, 200, authorization);
  }
  t.match(callers[0], { client: 'good', user: { id: 'u1' } });
  t.strictSame(seen[0]?.origin, { address: '127.0.0.1', requestId: 'r-1' });
  t.strictSame(asked[0], ['Bearer good', '127.0.0.1']);
});

t.test('what was wrong with a token stands in WWW-Authenticate', async (t) => {
  const { server } = guardedServer({
    perform: () => {
      throw new FhirError('forbidden', 'The scopes of the token do not have Patient.');
    },
  });
  const challenge = async (headers: Record<string, string>) =>
    (await server.inject({ url: '/fhir/Patient/1', headers })).headers['www-authenticate'];
  t.equal(await challenge({}), 'Bearer realm="careloom"', 'no error code where nothing was tried');
  t.match(await challenge({ authorization: 'Bearer wrong' }), /error="invalid_token"/);
  t.match(await challenge(bearer), /error="insufficient_scope"/);
});

t.test('401 in the form that was asked for', async (t) => {
  const { server } = guardedServer();
  const reply = await server.inject({ url: '/fhir/Patient/1', headers: { accept: 'application/fhir+xml' } });
  t.equal(reply.statusCode, 401);
  t.match(reply.body, /<OperationOutcome/);
});

t.test('nothing of a body is kept before its sender is known', async (t) => {
  const { server, seen } = guardedServer();
  const payload = Buffer.alloc(limits.resourceBytesMax + 1, ' ');
  const headers = { 'content-type': 'application/fhir+json' };
  const post = (more: object) =>
    server.inject({ method: 'POST', url: '/fhir/Patient', headers: { ...headers, ...more }, payload });
  t.equal((await post({})).statusCode, 401, 'not 413');
  t.equal((await post(bearer)).statusCode, 413);
  t.equal(seen.length, 0);
});

t.test('a fault of the authentication is no open door', async (t) => {
  for (const failure of [new TypeError('x'), new FhirError('unavailable', 'Away.')]) {
    const { server, seen, lines } = guardedServer({
      access: {
        callerOf: () => {
          throw failure;
        },
      },
    });
    const reply = await server.inject({ url: '/fhir/Patient/1', headers: bearer });
    t.equal(reply.statusCode, failure instanceof FhirError ? 503 : 500);
    t.equal(seen.length, 0);
    t.equal(lines.length, 2);
  }
});

t.test('100 requests a second for a client, 200 in one go; the next has to wait', async (t) => {
  let now = 0;
  const { server } = guardedServer({ server: { clock: { now: () => now, newId: () => 'id' } } });
  const ask = (authorization: string) => server.inject({ url: '/fhir/Patient/1', headers: { authorization } });
  for (let count = 0; count < limits.clientRequestsBurst; count++)
    if ((await ask('Bearer app-a')).statusCode !== 200) t.fail(`request ${count}`);
  const refused = await ask('Bearer app-a');
  t.equal(refused.statusCode, 429);
  t.equal(refused.headers['retry-after'], '1');
  t.match(refused.json(), { resourceType: 'OperationOutcome', issue: [{ code: 'throttled' }] });
  t.equal((await ask('Bearer app-b')).statusCode, 200, 'another client does not wait');
  now += 1000;
  for (let count = 0; count < limits.clientRequestsPerS; count++)
    if ((await ask('Bearer app-a')).statusCode !== 200) t.fail(`request ${count} of the next second`);
  t.equal((await ask('Bearer app-a')).statusCode, 429);
  now -= 5000;
  t.equal((await ask('Bearer app-a')).statusCode, 429, 'a clock set back refills nothing');
});

t.test('a person has a rate of their own, an address without a token as well', async (t) => {
  const { server } = guardedServer({ server: { clock: { now: () => 0, newId: () => 'id' } } });
  const statuses = async (count: number, url: string, headers: Record<string, string>, remoteAddress = '127.0.0.1') =>
    Promise.all(
      Array.from({ length: count }, async () => (await server.inject({ url, headers, remoteAddress })).statusCode),
    );
  const person: number[] = [];
  for (let count = 0; count <= limits.userRequestsBurst; count++)
    person.push((await server.inject({ url: '/fhir/Patient/1', headers: bearer })).statusCode);
  t.strictSame(person, [...Array(limits.userRequestsBurst).fill(200), 429]);
  const most = limits.strangerRequestsBurst;
  t.strictSame(await statuses(most + 1, '/fhir/metadata', {}), [...Array(most).fill(200), 429]);
  t.strictSame(await statuses(1, '/fhir/Patient/1', {}), [429], 'which counts together');
  t.strictSame(await statuses(1, '/fhir/Patient/1', { authorization: 'Bearer app-c' }), [200], 'a good token gets in');
  const other = '::ffff:10.0.0.1';
  const lan = guardedServer({ access: { acceptsPlainHttp: true } });
  t.equal((await lan.server.inject({ url: '/fhir/Patient/1', remoteAddress: other })).statusCode, 401);
});

t.test('limits can be off', async (t) => {
  const { server } = guardedServer({
    access: { limitsRates: false },
    server: { clock: { now: () => 0, newId: () => 'id' } },
  });
  for (let count = 0; count <= limits.clientRequestsBurst; count++)
    if ((await server.inject({ url: '/fhir/Patient/1', headers: bearer })).statusCode !== 200)
      t.fail(`request ${count}`);
});

t.test('20 requests of a client in work at once, and one more is told to wait', async (t) => {
  let release: () => void = () => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const { server } = guardedServer({
    perform: async () => {
      await gate;
      return { status: 200, headers: {}, interaction: 'read' };
    },
  });
  const ask = (authorization: string) => server.inject({ url: '/fhir/Patient/1', headers: { authorization } });
  const waiting = Array.from({ length: limits.clientRequestsAtOnceMax }, () => ask('Bearer app-a'));
  await new Promise((resolve) => setTimeout(resolve, 50));
  const refused = await ask('Bearer app-a');
  t.equal(refused.statusCode, 429);
  t.equal(refused.headers['retry-after'], '1');
  const other = ask('Bearer app-b');
  release();
  t.ok((await Promise.all([...waiting, other])).every((reply) => reply.statusCode === 200));
  t.equal((await ask('Bearer app-a')).statusCode, 200, 'what is over is over');
});

t.test('an answer that is not read keeps its slot, until its client is gone', async (t) => {
  const body = Buffer.alloc(8 * 1024 * 1024, ' ');
  const { server } = guardedServer({ perform: () => ({ status: 200, headers: {}, body, interaction: 'read' }) });
  t.teardown(() => server.close(100));
  const { port } = new URL(await server.listen({ host: '127.0.0.1', port: 0 }));
  const sockets = Array.from({ length: limits.clientRequestsAtOnceMax }, () => connect(Number(port), '127.0.0.1'));
  for (const socket of sockets) {
    socket.on('error', () => {}).pause();
    socket.write('GET /fhir/Patient/1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer app-a\r\n\r\n');
  }
  const status = async (headers = { authorization: 'Bearer app-a' }) =>
    (await server.inject({ method: 'HEAD', url: '/fhir/Patient/1', headers })).statusCode;
  t.ok(await becomes(429, status), 'all slots are taken');
  t.equal(await status({ authorization: 'Bearer app-b' }), 200, 'of this client alone');
  for (const socket of sockets) socket.destroy();
  t.ok(await becomes(200, status), 'and come back');
});

async function becomes(wanted: number, status: () => Promise<number>): Promise<boolean> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if ((await status()) === wanted) return true;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return false;
}

t.test('buckets are bounded in number, slots are given back', async (t) => {
  const buckets = new TokenBuckets({ perSecond: 1, burst: 1 }, () => 0);
  t.equal(buckets.take('first'), 0);
  t.equal(buckets.take('first'), 1);
  for (let count = 0; count < limits.rateKeysMax; count++) buckets.take(`k${count}`);
  t.equal(buckets.take('first'), 0, 'forgotten');
  t.equal(new TokenBuckets({ perSecond: 10 / 3600, burst: 1 }, () => 0).take('x'), 0);
  const slots = new Slots(1);
  t.ok(slots.take('a'));
  t.notOk(slots.take('a'));
  slots.release('a');
  t.ok(slots.take('a'));
});

t.test('one subscriber has all addresses of an IPv6 network', async (t) => {
  t.equal(addressKey('10.0.0.1'), '10.0.0.1');
  t.equal(addressKey('2001:db8::1'), addressKey('2001:0DB8:0:0:ffff::2'));
  t.equal(addressKey('2001:db8:0:1::1'), '2001:db8:0:1::/64');
  t.equal(addressKey('::1'), '0:0:0:0::/64');
  t.not(addressKey('2001:db8:0:1::1'), addressKey('2001:db8:0:2::1'));
});

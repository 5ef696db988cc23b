// Whose word counts about where a request comes from, and what may come in the clear.
import type { IncomingMessage } from 'node:http';
import t from 'tap';
import { Networks, Peers } from '../../src/http/peers.ts';
import { guardedServer } from './guarded.ts';

const from = (remoteAddress: string, headers: Record<string, string> = {}, encrypted?: true) =>
  ({ socket: { remoteAddress, encrypted }, headers }) as unknown as IncomingMessage;

t.test('X-Forwarded-For counts from a trusted proxy alone, and as far as trusted proxies tell it', async (t) => {
  const peers = new Peers(['10.0.0.0/8', '2001:db8::/32']);
  const cases: [peer: string, forwarded: string | undefined, address: string][] = [
    ['203.0.113.9', undefined, '203.0.113.9'],
    ['203.0.113.9', '198.51.100.1', '203.0.113.9'],
    ['10.0.0.1', undefined, '10.0.0.1'],
    ['10.0.0.1', '198.51.100.1', '198.51.100.1'],
    ['::ffff:10.0.0.1', '198.51.100.1', '198.51.100.1'],
    ['10.0.0.1', '1.1.1.1, 198.51.100.1', '198.51.100.1'],
    ['10.0.0.1', '198.51.100.1, 10.2.2.2', '198.51.100.1'],
    ['10.0.0.1', '10.3.3.3, 10.2.2.2', '10.3.3.3'],
    ['10.0.0.1', '198.51.100.1:4711', '198.51.100.1'],
    ['10.0.0.1', '[2001:db9::1]:4711', '2001:db9::1'],
    ['2001:db8::5', '2001:db9::1', '2001:db9::1'],
    ['10.0.0.1', 'unknown', '10.0.0.1'],
    ['10.0.0.1', '198.51.100.1, unknown', '10.0.0.1'],
    ['10.0.0.1', '', '10.0.0.1'],
    ['10.0.0.1', `198.51.100.1${', 10.2.2.2'.repeat(30)}`, '10.2.2.2'],
  ];
  for (const [peer, forwarded, address] of cases) {
    const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded };
    t.equal(peers.addressOf(from(peer, headers)), address, `${peer} ${forwarded}`);
  }
});

t.test('private: over TLS, by a trusted proxy over TLS, or from this machine', async (t) => {
  const peers = new Peers(['10.0.0.1']);
  const https = { 'x-forwarded-proto': 'https' };
  t.ok(peers.isPrivate(from('203.0.113.9', {}, true)));
  t.ok(peers.isPrivate(from('10.0.0.1', https)));
  t.ok(peers.isPrivate(from('127.0.0.1')));
  t.ok(peers.isPrivate(from('::1')));
  t.notOk(peers.isPrivate(from('203.0.113.9', https)), 'anybody may say so');
  t.notOk(peers.isPrivate(from('10.0.0.1')));
  t.notOk(peers.isPrivate(from('10.0.0.1', { 'x-forwarded-proto': 'http' })));
  t.notOk(
    new Peers(['127.0.0.1']).isPrivate(from('127.0.0.1', { 'x-forwarded-proto': 'http' })),
    'a proxy on this machine',
  );
});

t.test('networks', async (t) => {
  const networks = new Networks(['192.168.0.0/16', '::1', 'fd00::/8']);
  for (const address of ['192.168.1.1', '::1', 'fd12::1']) t.ok(networks.has(address), address);
  for (const address of ['192.169.1.1', '::2', 'fe80::1', '', 'x']) t.notOk(networks.has(address), address);
});

t.test('a token that could be read on the way is not looked at', async (t) => {
  const handle = async () => ({ status: 200, body: {} });
  const routes = [{ method: 'POST', path: '/auth/token', isCrossOrigin: true, handle }] as const;
  const proxied = guardedServer({ routes, access: { trustedProxies: ['10.0.0.1'] } });
  const ask = async (remoteAddress: string, headers: Record<string, string>) => {
    const all = { authorization: 'Bearer good', ...headers };
    return (await proxied.server.inject({ url: '/fhir/Patient/1', remoteAddress, headers: all })).statusCode;
  };
  t.equal(await ask('203.0.113.9', {}), 403);
  t.equal(await ask('203.0.113.9', { 'x-forwarded-proto': 'https' }), 403);
  t.equal(await ask('10.0.0.1', { 'x-forwarded-proto': 'http', 'x-forwarded-for': '203.0.113.9' }), 403);
  t.equal(proxied.asked.length, 0);
  t.equal(await ask('10.0.0.1', { 'x-forwarded-proto': 'https', 'x-forwarded-for': '203.0.113.9' }), 200);
  t.strictSame(proxied.asked, [['Bearer good', '203.0.113.9']]);
  t.equal(proxied.seen[0]?.origin?.address, '203.0.113.9');
  const token = { method: 'POST', url: '/auth/token', remoteAddress: '203.0.113.9' } as const;
  t.equal((await proxied.server.inject(token)).statusCode, 403);
  const plain = guardedServer({ routes, access: { acceptsPlainHttp: true } });
  t.equal((await plain.server.inject(token)).statusCode, 200);
  t.equal((await proxied.server.inject({ url: '/readyz', remoteAddress: '203.0.113.9' })).statusCode, 200, 'a probe');
});

t.test('HSTS on every answer that goes out by TLS, and on no other', async (t) => {
  const told = 'max-age=31536000; includeSubDomains';
  const handle = async () => ({ status: 200, body: {} });
  const routes = [{ method: 'POST', path: '/auth/token', isCrossOrigin: true, handle }] as const;
  const access = { trustedProxies: ['10.0.0.1'], acceptsPlainHttp: true };
  const { server } = guardedServer({ routes, access });
  const authorization = 'Bearer good';
  const origin = { origin: 'https://app.example', 'access-control-request-method': 'GET' };
  const asks = [
    { url: '/fhir/Patient/1', headers: { authorization } },
    { url: '/fhir/Patient/1', headers: {} },
    { url: '/fhir/Patient?x=%', headers: { authorization } },
    { url: '/fhir/Patient', method: 'OPTIONS', headers: origin },
    { url: '/auth/token', method: 'POST', headers: {} },
    { url: '/auth/token', method: 'OPTIONS', headers: origin },
    { url: '/healthz', headers: {} },
    { url: '/nowhere', headers: {} },
  ] as const;
  const hsts = async (remoteAddress: string, proto: string, on = server): Promise<unknown[]> => {
    const found = [];
    for (const { headers, ...ask } of asks) {
      const all = { ...headers, 'x-forwarded-proto': proto };
      found.push((await on.inject({ ...ask, remoteAddress, headers: all })).headers['strict-transport-security']);
    }
    return found;
  };
  t.strictSame(await hsts('10.0.0.1', 'https'), Array(asks.length).fill(told), 'by a proxy that does the TLS');
  const none = Array(asks.length).fill(undefined);
  t.strictSame(await hsts('10.0.0.1', 'http'), none, 'by one in the clear');
  t.strictSame(await hsts('203.0.113.9', 'https'), none, 'anybody may say so');
  const named = guardedServer({
    routes,
    access: { acceptsPlainHttp: true },
    server: { baseUrl: 'https://ehr.example/fhir' },
  });
  t.strictSame(await hsts('10.0.0.1', '', named.server), Array(asks.length).fill(told), 'a base URL of https');
});

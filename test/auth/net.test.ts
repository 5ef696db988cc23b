// threat 14: requests that others make the server send reach nothing behind its walls.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { createOutbound, isPublicAddress } from '../../src/base/net.ts';

const ask = { bytesMax: 1_000, timeoutMs: 1_000 };

/** A server on this machine that counts who comes; a request that gets here has passed where it must not. */
async function listening(handle: Parameters<typeof createServer>[1] = (_, response) => response.end('{}')) {
  let hits = 0;
  const server: Server = createServer((request, response) => {
    hits++;
    handle?.(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { port, hits: () => hits, close: () => server.close() };
}

const targets: Record<string, string> = {
  http: 'http://example.org/',
  'another scheme': 'file:///etc/passwd',
  data: 'data:text/plain,x',
  loopback: 'https://127.0.0.1/',
  'loopback, short': 'https://127.1/',
  'loopback, decimal': 'https://2130706433/',
  'loopback, hexadecimal': 'https://0x7f000001/',
  'loopback, octal': 'https://0177.0.0.1/',
  'loopback, fullwidth digits': 'https://１２７.0.0.1/',
  'loopback, IPv6': 'https://[::1]/',
  'any address': 'https://0.0.0.0/',
  'any address, IPv6': 'https://[::]/',
  'IPv4-mapped': 'https://[::ffff:127.0.0.1]/',
  'IPv4-mapped, hexadecimal': 'https://[::ffff:7f00:1]/',
  'IPv4-compatible': 'https://[::127.0.0.1]/',
  NAT64: 'https://[64:ff9b::7f00:1]/',
  '6to4': 'https://[2002:7f00:1::]/',
  Teredo: 'https://[2001:0:7f00:1::]/',
  'private 10': 'https://10.0.0.1/',
  'private 172': 'https://172.16.0.1/',
  'private 192': 'https://192.168.1.1/',
  'carrier NAT': 'https://100.64.0.1/',
  metadata: 'https://169.254.169.254/latest/meta-data/',
  'metadata, Azure': 'https://168.63.129.16/',
  'metadata, IPv6': 'https://[fd00:ec2::254]/',
  'link-local, IPv6': 'https://[fe80::1]/',
  multicast: 'https://224.0.0.1/',
  broadcast: 'https://255.255.255.255/',
  'user info': 'https://example.org@127.0.0.1/',
  credentials: 'https://user:secret@example.org/',
  'another port': 'https://example.org:22/',
  'a name without dots': 'https://localhost/',
  'a name of a neighbour': 'https://mongodb/',
  'no URL': 'example.org',
};

t.test('threat 14: addresses that are refused as they stand', async (t) => {
  const outbound = createOutbound({ resolve: () => Promise.reject(new Error('was looked up')) });
  t.teardown(() => outbound.close());
  for (const [what, url] of Object.entries(targets)) {
    t.type(outbound.problemOf(url), 'string', what);
    await t.rejects(outbound.send({ ...ask, url }), { name: 'OutboundError' }, what);
  }
  t.equal(outbound.problemOf('https://app.example.org/jwks'), undefined, 'a plain address is not');
  t.equal(outbound.problemOf('https://app.example.org:8443/jwks'), undefined);
});

t.test('threat 14: names that lead to such addresses are refused where the connection is made', async (t) => {
  const inside = await listening();
  t.teardown(() => inside.close());
  const answers: Record<string, { address: string; family: number }[]> = {
    'loopback.example.org': [{ address: '127.0.0.1', family: 4 }],
    'six.example.org': [{ address: '::1', family: 6 }],
    'mapped.example.org': [{ address: '::ffff:127.0.0.1', family: 6 }],
    'private.example.org': [{ address: '10.1.2.3', family: 4 }],
    'mixed.example.org': [
      { address: '93.184.216.34', family: 4 },
      { address: '127.0.0.1', family: 4 },
    ],
    'nothing.example.org': [],
  };
  const outbound = createOutbound({ ports: [inside.port], resolve: async (name) => answers[name] ?? [] });
  t.teardown(() => outbound.close());
  for (const name of Object.keys(answers))
    await t.rejects(outbound.send({ ...ask, url: `https://${name}:${inside.port}/` }), { name: 'OutboundError' }, name);
  t.equal(inside.hits(), 0, 'nobody came');
});

t.test('threat 14: a name that changes its mind is asked once for each connection', async (t) => {
  let asked = 0;
  const outbound = createOutbound({
    resolve: async () => [{ address: asked++ === 0 ? '127.0.0.1' : '127.0.0.2', family: 4 }],
  });
  t.teardown(() => outbound.close());
  await t.rejects(outbound.send({ ...ask, url: 'https://rebind.example.org/' }), { name: 'OutboundError' });
  t.equal(asked, 1, 'what is checked is what is connected to');
});

t.test('answers: redirects are not followed, size and time are bounded', async (t) => {
  const elsewhere = await listening();
  const server = await listening((request, response) => {
    if (request.url === '/redirect') response.writeHead(302, { location: `http://127.0.0.1:${elsewhere.port}/` }).end();
    else if (request.url === '/large') response.end('x'.repeat(2_000));
    else if (request.url === '/endless') setInterval(() => response.write('x'), 10).unref();
    else if (request.url !== '/silent') response.setHeader('cache-control', 'max-age=5').end('{"a":1}');
  });
  const outbound = createOutbound({ allowLoopback: true });
  t.teardown(async () => {
    server.close();
    elsewhere.close();
    await outbound.close();
  });
  const url = (path: string) => `http://127.0.0.1:${server.port}${path}`;
  const fine = await outbound.send({ ...ask, url: url('/') });
  t.equal(fine.body.toString(), '{"a":1}');
  t.equal(fine.header('cache-control'), 'max-age=5');
  t.equal((await outbound.send({ ...ask, url: url('/redirect') })).status, 302);
  t.equal(elsewhere.hits(), 0);
  await t.rejects(outbound.send({ ...ask, url: url('/large') }), { message: /more than 1000 bytes/ });
  await t.rejects(outbound.send({ ...ask, url: url('/silent'), timeoutMs: 100 }), { message: /in time/ });
  await t.rejects(outbound.send({ ...ask, url: url('/endless'), timeoutMs: 100 }), { message: /in time/ });
  t.type(createOutbound().problemOf(url('/')), 'string', 'and without the tests’ option not even this machine');
});

t.test('public addresses', async (t) => {
  for (const address of ['93.184.216.34', '8.8.8.8', '2606:4700::1111', '2a00:1450:4001::1'])
    t.equal(isPublicAddress(address), true, address);
  for (const address of [
    '198.18.0.1',
    '192.0.2.1',
    '203.0.113.9',
    '2001:db8::1',
    '3fff::1',
    'fc00::1',
    'ff02::1',
    'x',
    '',
  ])
    t.equal(isPublicAddress(address), false, address);
});

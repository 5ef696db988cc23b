// Over real sockets: what inject() cannot send, clients that misbehave, and the end of the server.
import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import type { Perform } from './support.ts';
import { fakeServer, patient } from './support.ts';

async function listening(t: Tap, perform?: Perform) {
  const fake = fakeServer(perform);
  const address = await fake.server.listen({ host: '127.0.0.1', port: 0 });
  t.teardown(() => fake.server.close(100));
  const port = Number(new URL(address).port);
  return { ...fake, port, raw: (text: string) => exchange(port, text) };
}

type Tap = { teardown(work: () => Promise<void>): void };

/** Sends bytes, and hands back all that came until the server closed. */
async function exchange(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let answer = '';
  socket.setEncoding('utf8').on('data', (chunk) => {
    answer += String(chunk);
  });
  socket.on('error', () => {});
  socket.write(text);
  await once(socket, 'close');
  return answer;
}

const get = (target: string, headers = '') =>
  `GET ${target} HTTP/1.1\r\nHost: localhost\r\n${headers}Connection: close\r\n\r\n`;

t.test('400 for addresses that no client means', async (t) => {
  const { raw, seen } = await listening(t);
  const targets = [
    '/fhir/Patient/%',
    '/fhir/Patient/%zz',
    '/fhir/Patient/%ff%fe',
    '/fhir/Patient?name=%',
    '/fhir/Patient?name=%c3%28',
    '/fhir//Patient',
    '/fhir/Patient//1',
    '/fhir/../metrics',
    '/fhir/Patient/..',
    '/fhir/Patient/%2e%2e/1',
    '/fhir/./Patient',
    '/fhir/Patient/a%2fb',
    '/fhir/Patient/%00',
    '/%66hir/Patient/1',
    'http://localhost/fhir/Patient/1',
  ];
  for (const target of targets) {
    const answer = await raw(get(target));
    t.match(answer, /^HTTP\/1\.1 400 /, target);
    t.match(answer, /"resourceType":"OperationOutcome"/, target);
  }
  t.equal(seen.length, 0);
  t.match(await raw(get('//fhir/Patient')), /^HTTP\/1\.1 404 /);
});

t.test('what is no HTTP is answered and cut', async (t) => {
  const { raw, port } = await listening(t);
  t.match(await raw('nonsense\r\n\r\n'), /^HTTP\/1\.1 400 [\s\S]*OperationOutcome/);
  t.match(await raw(get('/fhir/Patient', `X: ${'x'.repeat(30_000)}\r\n`)), /^HTTP\/1\.1 431 /);
  t.match(await raw(get(`/fhir/Patient?name=${'x'.repeat(10_000)}`)), /^HTTP\/1\.1 414 /);
  t.match(await raw(get(`/fhir/Patient?name=${'x'.repeat(60_000)}`)), /^HTTP\/1\.1 414 /);
  t.match(await raw('GET /fhir/Patient/1 HTTP/1.1\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 400 /, 'no Host');
  t.match(
    await raw('PROPFIND /fhir/Patient/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'),
    /^HTTP\/1\.1 405 [\s\S]*Allow: GET/,
  );
  t.equal((await fetch(`http://127.0.0.1:${port}/fhir/Patient/1`)).status, 200, 'and the server is well');
});

t.test('a client that hangs up aborts its request', async (t) => {
  let aborted: () => void = () => {};
  const isAborted = new Promise<void>((resolve) => {
    aborted = resolve;
  });
  const { port, lines } = await listening(t, ({ signal }) => {
    return new Promise((_, reject) => {
      signal.addEventListener('abort', () => {
        aborted();
        reject(signal.reason);
      });
    });
  });
  const socket = connect(port, '127.0.0.1');
  socket.write(get('/fhir/Patient/1'));
  setTimeout(() => socket.destroy(), 50);
  await isAborted;
  await new Promise((resolve) => setImmediate(resolve));
  t.match(lines.join(''), /"status":499/);
});

t.test('a body that breaks off reaches nobody', async (t) => {
  const { port, seen } = await listening(t);
  const socket = connect(port, '127.0.0.1');
  socket.write(
    'POST /fhir/Patient HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"a',
  );
  await new Promise((resolve) => setTimeout(resolve, 50));
  socket.destroy();
  await once(socket, 'close');
  t.equal((await fetch(`http://127.0.0.1:${port}/fhir/Patient/1`)).status, 200);
  t.match(seen, [{ method: 'GET' }]);
});

t.test('a refused body leaves the connection usable', async (t) => {
  const { raw } = await listening(t);
  const post =
    'POST /fhir/Patient HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nContent-Length: 5\r\n\r\na,b,c';
  t.match(await raw(post + get('/fhir/Patient/1')), /^HTTP\/1\.1 415 [\s\S]*HTTP\/1\.1 200 /);
});

t.test('closing lets a request finish, and cuts what takes too long', async (t) => {
  let begun: () => void = () => {};
  const hasBegun = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const fake = fakeServer(async ({ path, signal }) => {
    begun();
    if (path === 'slow') await new Promise((resolve) => setTimeout(resolve, 150));
    else await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    return { status: 200, headers: {}, body: patient, interaction: 'read' };
  });
  const address = await fake.server.listen({ host: '127.0.0.1', port: 0 });
  const slow = fetch(`${address}/fhir/slow`);
  const stuck = fetch(`${address}/fhir/stuck`);
  await hasBegun;
  await new Promise((resolve) => setTimeout(resolve, 50));
  const closed = fake.server.close(500);
  t.equal((await slow).headers.get('connection'), 'close');
  t.equal((await slow).status, 200);
  t.equal((await stuck).status, 503);
  await closed;
  await t.rejects(fetch(`${address}/fhir/slow`));
});

// Compressed bodies in both directions: what is taken, what is given, and what a bomb comes to.
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import {
  brotliCompressSync,
  brotliDecompressSync,
  deflateSync,
  gunzipSync,
  gzipSync,
  zstdCompressSync,
  zstdDecompressSync,
} from 'node:zlib';
import t from 'tap';
import { limits } from '../../src/base/limits.ts';
import { codingFor, isCompressible } from '../../src/http/compress.ts';
import { fakeServer, type Perform } from './support.ts';

const large = Buffer.from(`{"resourceType":"Patient","id":"${'x'.repeat(10_000)}"}`);
const answer = (body: Buffer | Buffer[], headers: Record<string, string> = {}): ReturnType<Perform> => ({
  status: 200,
  headers: { ETag: 'W/"1"', ...headers },
  body,
  interaction: 'read',
});
const inflate: Record<string, (bytes: Buffer) => Buffer> = {
  gzip: gunzipSync,
  br: brotliDecompressSync,
  zstd: zstdDecompressSync,
};

t.test('the coding that a client likes best', async (t) => {
  const cases: [accept: string, coding: string | undefined][] = [
    ['gzip', 'gzip'],
    ['x-gzip', 'gzip'],
    ['GZIP', 'gzip'],
    ['gzip, deflate, br, zstd', 'zstd'],
    ['gzip, deflate, br', 'br'],
    ['gzip;q=1.0, br;q=0.5', 'gzip'],
    ['gzip;q=0.5, br;q=0.5, *;q=0.1', 'br'],
    ['*', 'zstd'],
    ['*;q=0', undefined],
    ['*, zstd;q=0, br;q=0', 'gzip'],
    ['identity', undefined],
    ['identity;q=0.5, gzip;q=0.2', undefined],
    ['identity;q=0.5, gzip;q=0.5', 'gzip'],
    ['gzip;q=0', undefined],
    ['deflate', undefined],
    ['', undefined],
    ['nonsense;q=x,;;,=', undefined],
  ];
  for (const [accept, coding] of cases) t.equal(codingFor(accept), coding, accept);
});

t.test('text is compressed, what is compressed already is not', async (t) => {
  for (const type of [
    undefined,
    'text/csv',
    'application/x-ndjson',
    'application/fhir+ndjson',
    'application/json; charset=utf-8',
    'application/fhir+xml',
  ])
    t.ok(isCompressible(type), String(type));
  for (const type of ['image/png', 'application/pdf', 'application/zip', 'application/octet-stream', 'video/mp4'])
    t.notOk(isCompressible(type), type);
});

t.test('a reply goes out in the coding, and HEAD says the same', async (t) => {
  const { server } = fakeServer(() => answer(large));
  for (const coding of ['gzip', 'br', 'zstd']) {
    const headers = { 'accept-encoding': coding };
    const reply = await server.inject({ url: '/fhir/Patient/1', headers });
    t.equal(reply.headers['content-encoding'], coding);
    t.match(reply.headers.vary, /Accept-Encoding/);
    t.equal(reply.headers['content-length'], undefined);
    t.equal(reply.headers.etag, 'W/"1"');
    t.ok(reply.rawPayload.length < 500);
    t.equal(inflate[coding]?.(reply.rawPayload).compare(large), 0);
    const head = await server.inject({ method: 'HEAD', url: '/fhir/Patient/1', headers });
    t.equal(head.headers['content-encoding'], coding);
    t.equal(head.body, '');
    const xml = await server.inject({ url: '/fhir/Patient/1?_format=xml', headers });
    t.match(inflate[coding]?.(xml.rawPayload).toString(), '<Patient xmlns');
  }
});

t.test('left alone: small bodies, parts, other types, what is encoded, and clients that do not ask', async (t) => {
  const cases: [body: Buffer, headers: Record<string, string>, accept: string | undefined][] = [
    [Buffer.from('{"resourceType":"Patient"}'), {}, 'gzip'],
    [large, { 'Content-Type': 'image/png' }, 'gzip'],
    [large, { 'Content-Encoding': 'gzip' }, 'gzip'],
    [large, { 'Content-Type': 'text/plain', 'Accept-Ranges': 'bytes' }, 'gzip'],
    [large, {}, undefined],
    [large, {}, 'deflate'],
  ];
  for (const [body, headers, accept] of cases) {
    const { server } = fakeServer(() => answer(body, headers));
    const reply = await server.inject({
      url: '/fhir/Patient/1',
      headers: accept === undefined ? {} : { 'accept-encoding': accept },
    });
    t.equal(reply.headers['content-length'], String(body.length));
    t.equal(reply.rawPayload.compare(body), 0);
    t.match(reply.headers.vary, /Accept-Encoding/);
  }
});

t.test('many pieces and large ones', async (t) => {
  const pieces = Array.from({ length: 5_000 }, (_, at) => Buffer.from(`{"piece":${at}}`)).concat(
    Buffer.alloc(3_000_000, 'ab'),
    Buffer.from(']'),
  );
  const { server } = fakeServer(() => answer(pieces));
  for (const coding of ['gzip', 'br', 'zstd']) {
    const reply = await server.inject({ url: '/fhir/Patient', headers: { 'accept-encoding': coding } });
    t.equal(inflate[coding]?.(reply.rawPayload).compare(Buffer.concat(pieces)), 0);
  }
});

t.test('over a socket, and a client that goes away in the middle', async (t) => {
  const noise = Buffer.from(Array.from({ length: 2_000_000 }, (_, at) => (at * 7919 * ((at >> 3) + 1)) % 251));
  const { server } = fakeServer(() => answer([noise, noise]));
  const address = await server.listen({ host: '127.0.0.1', port: 0 });
  t.teardown(() => server.close(100));
  const port = Number(new URL(address).port);
  const reply = await fetch(`${address}/fhir/Patient`, { headers: { 'accept-encoding': 'br' } });
  t.equal(reply.headers.get('content-encoding'), 'br');
  t.equal((await reply.arrayBuffer()).byteLength, 2 * noise.length);
  for (let at = 0; at < 5; at++) {
    await new Promise<void>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.write('GET /fhir/Patient HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n');
      });
      socket.once('data', () => socket.destroy());
      socket.on('close', () => resolve());
    });
  }
  t.equal((await fetch(`${address}/fhir/Patient`)).status, 200, 'and the server is well');
});

t.test('a compressed body is inflated before the engine sees it', async (t) => {
  const { server, seen } = fakeServer();
  const payload = Buffer.from(`{"resourceType":"Patient","language":"${'x'.repeat(5_000)}"}`);
  const cases: [coding: string, bytes: Buffer][] = [
    ['gzip', gzipSync(payload)],
    ['x-gzip', gzipSync(payload)],
    ['GZIP', gzipSync(payload)],
    ['deflate', deflateSync(payload)],
    ['br', brotliCompressSync(payload)],
    ['zstd', zstdCompressSync(payload)],
    ['identity', payload],
  ];
  const address = await server.listen({ host: '127.0.0.1', port: 0 });
  t.teardown(() => server.close(100));
  for (const [coding, bytes] of cases) {
    const headers = { 'content-type': 'application/fhir+json', 'content-encoding': coding };
    const reply = await server.inject({ method: 'POST', url: '/fhir/Patient', headers, payload: bytes });
    t.equal(reply.statusCode, 200, coding);
    t.equal(Buffer.from(seen.at(-1)?.body ?? []).compare(payload), 0);
    const real = await fetch(`${address}/fhir/Patient`, { method: 'POST', headers, body: new Uint8Array(bytes) });
    t.equal(real.status, 200, `${coding} over a socket`);
    t.equal(Buffer.from(seen.at(-1)?.body ?? []).compare(payload), 0);
  }
});

t.test('threat 18: a bomb is 413, whatever its size on the wire; what is no such coding 400', async (t) => {
  const { server, seen } = fakeServer();
  const address = await server.listen({ host: '127.0.0.1', port: 0 });
  t.teardown(() => server.close(100));
  const bomb = Buffer.alloc(limits.bundleBytesMax + 1, ' ');
  const post = (path: string, coding: string, bytes: Buffer) =>
    fetch(`${address}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/fhir+json', 'content-encoding': coding },
      body: new Uint8Array(bytes),
    });
  for (const [coding, bytes] of [
    ['gzip', gzipSync(bomb)],
    ['br', brotliCompressSync(bomb)],
    ['zstd', zstdCompressSync(bomb)],
    ['deflate', deflateSync(bomb)],
  ] as const) {
    t.ok(bytes.length < 100_000);
    const rss = process.memoryUsage().rss;
    t.equal((await post('/fhir/Patient', coding, bytes)).status, 413, coding);
    t.ok(process.memoryUsage().rss - rss < 60 * 1024 * 1024, 'and is not inflated to its end');
    t.equal((await post('/fhir', coding, bytes)).status, 413);
  }
  const whole = gzipSync(Buffer.from('{"resourceType":"Patient"}'));
  for (const [coding, bytes] of [
    ['gzip', Buffer.from('{"resourceType":"Patient"}')],
    ['gzip', whole.subarray(0, whole.length - 4)],
    ['gzip', whole.subarray(0, 5)],
    ['br', Buffer.from('nonsense')],
    ['zstd', whole],
    ['deflate', whole],
  ] as const) {
    const reply = await post('/fhir/Patient', coding, bytes);
    t.equal(reply.status, 400, coding);
    t.match(await reply.json(), { issue: [{ diagnostics: /Content-Encoding|complete/ }] });
  }
  t.equal(seen.length, 0);
  t.equal((await post('/fhir/Patient', 'gzip', whole)).status, 200, 'and the server is well');
});

t.test('a compressed body that breaks off reaches nobody and is forgotten', async (t) => {
  const { server, seen } = fakeServer();
  const address = await server.listen({ host: '127.0.0.1', port: 0 });
  t.teardown(() => server.close(100));
  const bytes = gzipSync(Buffer.from(`{"resourceType":"Patient","language":"${'x'.repeat(5_000)}"}`));
  for (let at = 0; at < 3; at++) {
    await new Promise<void>((resolve) => {
      const request = httpRequest(`${address}/fhir/Patient`, {
        method: 'POST',
        headers: {
          'content-type': 'application/fhir+json',
          'content-encoding': 'gzip',
          'content-length': bytes.length,
        },
      });
      request.on('error', () => resolve());
      request.write(bytes.subarray(0, 20), () => setTimeout(() => request.destroy(), 20));
      request.on('close', () => resolve());
    });
  }
  t.equal((await fetch(`${address}/fhir/Patient/1`)).status, 200);
  t.equal(seen.length, 1);
});

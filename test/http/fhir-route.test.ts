// The FHIR base as clients meet it: addresses, methods, headers, failures.
import t from 'tap';
import { limits } from '../../src/base/limits.ts';
import { FhirError } from '../../src/base/outcome.ts';
import { fakeServer, patient } from './support.ts';

t.test('an answer goes out as the engine gave it', async (t) => {
  const { server, seen } = fakeServer();
  const reply = await server.inject({ url: '/fhir/Patient/1?_summary=true', headers: { 'x-request-id': 'mine-1' } });
  t.equal(reply.statusCode, 200);
  t.equal(reply.body, patient.toString());
  t.match(reply.headers, {
    etag: 'W/"1"',
    'content-length': String(patient.length),
    'x-request-id': 'mine-1',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'content-security-policy': /default-src 'none'; base-uri 'none'/,
  });
  t.match(seen[0], { method: 'GET', path: 'Patient/1', query: '_summary=true' });
  t.equal(seen[0]?.header('x-request-id'), 'mine-1');
  t.equal(seen[0]?.header('absent'), undefined);
});

t.test('an ill-formed X-Request-Id is replaced', async (t) => {
  const { server } = fakeServer();
  for (const id of ['has space', 'x'.repeat(65), 'é']) {
    const reply = await server.inject({ url: '/fhir/Patient/1', headers: { 'x-request-id': id } });
    t.match(reply.headers['x-request-id'], /^[0-9a-f-]{36}$/);
  }
});

t.test('pieces are sent one after another, small and large', async (t) => {
  for (const size of [10, 5_000, 100_000]) {
    const pieces = ['[', 'a'.repeat(size), ',', 'ü'.repeat(size), ']'].map((text) => Buffer.from(text));
    const { server } = fakeServer(() => ({ status: 200, headers: {}, body: pieces, interaction: 'search-type' }));
    const reply = await server.inject('/fhir/Patient');
    t.equal(reply.rawPayload.compare(Buffer.concat(pieces)), 0);
    t.equal(reply.headers['content-length'], String(Buffer.concat(pieces).length));
  }
});

t.test('a body that is no Buffer goes out as well', async (t) => {
  const { server } = fakeServer(() => ({
    status: 200,
    headers: {},
    body: new Uint8Array(patient),
    interaction: 'read',
  }));
  t.equal((await server.inject('/fhir/Patient/1')).body, patient.toString());
});

t.test('HEAD has the headers of GET and no body', async (t) => {
  const { server, seen } = fakeServer();
  const reply = await server.inject({ method: 'HEAD', url: '/fhir/Patient/1' });
  t.equal(reply.body, '');
  t.equal(reply.headers['content-length'], String(patient.length));
  t.equal(seen[0]?.method, 'HEAD');
  const failing = fakeServer(() => {
    throw new FhirError('not-found', 'No such resource.');
  });
  t.equal((await failing.server.inject({ method: 'HEAD', url: '/fhir/Patient/1' })).body, '');
});

t.test('204 and 304 have neither body nor length', async (t) => {
  for (const status of [204, 304]) {
    const { server } = fakeServer(() => ({ status, headers: {}, interaction: 'delete' }));
    const reply = await server.inject({ method: 'DELETE', url: '/fhir/Patient/1' });
    t.equal(reply.statusCode, status);
    t.equal(reply.headers['content-length'], undefined);
  }
  const { server } = fakeServer(() => ({ status: 201, headers: { Location: 'x' }, interaction: 'create' }));
  t.equal((await server.inject({ method: 'POST', url: '/fhir/Patient' })).headers['content-length'], '0');
});

t.test('the base is the empty path, with and without a slash', async (t) => {
  const { server, seen } = fakeServer();
  for (const url of ['/fhir', '/fhir/', '/fhir?_type=Patient', '/fhir/?_type=Patient']) {
    t.equal((await server.inject(url)).statusCode, 200);
    t.equal(seen.at(-1)?.path, '');
  }
});

t.test('405 names the methods that there are', async (t) => {
  const { server, seen } = fakeServer();
  const reply = await server.inject({ method: 'OPTIONS', url: '/fhir/Patient/1' });
  t.equal(reply.statusCode, 405);
  t.equal(reply.headers.allow, 'GET, HEAD, POST, PUT, PATCH, DELETE');
  t.match(reply.json(), { resourceType: 'OperationOutcome' });
  t.equal(seen.length, 0);
});

t.test('414 for a long address', async (t) => {
  const { server } = fakeServer();
  const reply = await server.inject(`/fhir/Patient?name=${'x'.repeat(limits.urlBytesMax)}`);
  t.equal(reply.statusCode, 414);
  t.match(reply.json(), { resourceType: 'OperationOutcome', issue: [{ diagnostics: /_search/ }] });
});

t.test('404 outside of the base is for people', async (t) => {
  const { server } = fakeServer();
  const reply = await server.inject('/elsewhere');
  t.equal(reply.statusCode, 404);
  t.match(reply.headers['content-type'], /text\/plain/);
});

t.test('a FhirError is answered with its status, issues and headers', async (t) => {
  const { server } = fakeServer(() => {
    throw new FhirError('method-not-allowed', 'Not offered.', {
      expression: 'Patient.name',
      headers: { Allow: 'GET' },
    });
  });
  const reply = await server.inject('/fhir/Patient/1');
  t.equal(reply.statusCode, 405);
  t.equal(reply.headers.allow, 'GET');
  t.match(reply.json(), { issue: [{ severity: 'error', diagnostics: 'Not offered.', expression: ['Patient.name'] }] });
});

t.test('503 has Retry-After', async (t) => {
  const { server } = fakeServer(() => {
    throw new FhirError('unavailable', 'Away.');
  });
  const reply = await server.inject('/fhir/Patient/1');
  t.equal(reply.statusCode, 503);
  t.ok(Number(reply.headers['retry-after']) > 0);
});

t.test('any other error is 500 without details, and its cause is logged', async (t) => {
  const { server, lines } = fakeServer(() => {
    throw new TypeError('Smith, John was not expected');
  });
  const reply = await server.inject('/fhir/Patient/1');
  t.equal(reply.statusCode, 500);
  t.notMatch(reply.body, /Smith|TypeError/);
  t.match(lines.join(''), /TypeError/);
  t.notMatch(lines.join(''), /Smith/);
});

t.test('a header that cannot be written is a fault, not a crash', async (t) => {
  const { server } = fakeServer(() => ({
    status: 200,
    headers: { Location: 'a\nb' },
    body: patient,
    interaction: 'read',
  }));
  t.equal((await server.inject('/fhir/Patient/1')).statusCode, 500);
});

t.test('503 when there is too much to do, and none of it is lost', async (t) => {
  let release: () => void = () => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const { server } = fakeServer(async () => {
    await gate;
    return { status: 200, headers: {}, interaction: 'read' };
  });
  const waiting = Array.from({ length: limits.requestsAtOnceMax }, () => server.inject('/fhir/Patient/1'));
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.equal((await server.inject('/fhir/Patient/1')).statusCode, 503);
  release();
  const statuses = (await Promise.all(waiting)).map((reply) => reply.statusCode);
  t.ok(statuses.every((status) => status === 200));
  t.equal((await server.inject('/fhir/Patient/1')).statusCode, 200);
});

t.test('another Host is refused while there is no access control', async (t) => {
  const { server, seen } = fakeServer();
  const ask = async (host: string) => (await server.inject({ url: '/fhir/Patient/1', headers: { host } })).statusCode;
  for (const host of ['localhost', 'localhost:9999', '127.0.0.1:8080', '[::1]:8080', 'LOCALHOST'])
    t.equal(await ask(host), 200);
  const reached = seen.length;
  for (const host of ['evil.example', 'localhost.evil.example:8080', '10.0.0.1']) t.equal(await ask(host), 403);
  t.equal(seen.length, reached);
  const open = fakeServer(undefined, { checkHost: false });
  t.equal((await open.server.inject({ url: '/fhir/Patient/1', headers: { host: 'any.example' } })).statusCode, 200);
});

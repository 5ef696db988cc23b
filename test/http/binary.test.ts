// Binary in its native form: content in, content out, parts of it, and nothing of it running in the server's name.
import t from 'tap';
import { limits } from '../../src/base/limits.ts';
import { contentWish, isBinaryRead } from '../../src/http/binary.ts';
import { type Ask, askApp } from '../support/app.ts';
import { onBothStores } from '../support/stores.ts';
import { fakeServer } from './support.ts';

const pdf = Buffer.from(Array.from({ length: 1_000 }, (_, at) => (at * 31) % 256));
const fhir = 'application/fhir+json';

async function stored(ask: Ask, contentType: string, body: Buffer | string): Promise<string> {
  const reply = await ask('/fhir/Binary', { method: 'POST', headers: { 'content-type': contentType }, body });
  if (reply.status !== 201) throw new Error(reply.text);
  return `/fhir/Binary/${reply.json.id}`;
}

await onBothStores(t, async (t, adapter) => {
  const { store, close } = await adapter.open();
  t.teardown(close);
  const ask = await askApp(store);

  await t.test('content is stored as a Binary, and comes back as content or as the resource', async (t) => {
    const url = await stored(ask, 'application/pdf', pdf);
    const resource = await ask(url, { headers: { accept: fhir } });
    t.match(resource.json, { resourceType: 'Binary', contentType: 'application/pdf', data: pdf.toString('base64') });
    for (const accept of [
      undefined,
      '*/*',
      'application/pdf',
      'image/*',
      'text/html,application/xml;q=0.9,*/*;q=0.8',
    ]) {
      const reply = await ask(url, { headers: accept === undefined ? {} : { accept } });
      t.equal(reply.status, 200, String(accept));
      t.equal(reply.headers['content-type'], 'application/pdf');
      t.equal(reply.headers['content-length'], '1000');
      t.equal(reply.headers.etag, '"1"', 'strong: byte for byte the same');
      t.match(reply.headers['last-modified'], /GMT$/);
      t.match(reply.headers['accept-ranges'], 'bytes');
    }
    t.match(
      (await ask(url, { headers: { accept: 'application/fhir+xml' } })).text,
      /<contentType value="application\/pdf"\/>/,
    );
    t.match((await ask(`${url}?_format=json`, { headers: { accept: 'application/pdf' } })).json, {
      resourceType: 'Binary',
    });
    t.match((await ask(url, { headers: { accept: 'application/json' } })).json, { resourceType: 'Binary' });
    t.match((await ask(url, { headers: { accept: 'application/fhir+json, */*' } })).json, { resourceType: 'Binary' });
    t.equal((await ask(`${url}/_history/1`)).headers['content-type'], 'application/pdf', 'vread as well');
    t.equal((await ask(url, { headers: { 'if-none-match': 'W/"1"' } })).status, 304);
    t.equal((await ask('/fhir/Binary?_id=none', { headers: { accept: '*/*' } })).json.resourceType, 'Bundle');
    const missing = await ask('/fhir/Binary/none', { headers: { accept: 'application/pdf' } });
    t.equal(missing.status, 404);
    t.equal(missing.json.resourceType, 'OperationOutcome');
  });

  await t.test('a generic type is the content only where that is of this type', async (t) => {
    const cda = '<?xml version="1.0"?><?xml-stylesheet href="x"?><!-- c --><ClinicalDocument xmlns="urn:hl7-org:v3"/>';
    const url = await stored(ask, 'application/xml', cda);
    t.equal((await ask(url, { headers: { accept: 'application/xml' } })).text, cda);
    t.match((await ask(url, { headers: { accept: 'text/xml' } })).text, /<Binary xmlns/);
    t.match((await ask(url, { headers: { accept: 'application/fhir+xml' } })).text, /<Binary xmlns/);
    const json = await stored(ask, 'application/json', '{"a":1.50}');
    t.equal((await ask(json, { headers: { accept: 'application/json' } })).text, '{"a":1.50}');
    const patient = '{"resourceType":"Patient"}';
    const other = await stored(ask, fhir, patient);
    t.match((await ask(other, { headers: { accept: fhir } })).json, { resourceType: 'Binary', contentType: fhir });
    t.equal((await ask(other)).text, patient, 'a resource that is no Binary is content');
  });

  await t.test('a Binary that is a resource stays one', async (t) => {
    const binary = { resourceType: 'Binary', contentType: 'text/plain', data: 'aGVsbG8=' };
    for (const type of [fhir, 'application/json'])
      t.equal((await ask(await stored(ask, type, JSON.stringify(binary)))).text, 'hello');
    const xml =
      '<f:Binary xmlns:f="http://hl7.org/fhir"><f:contentType value="text/plain"/><f:data value="aGVsbG8="/></f:Binary>';
    for (const type of ['application/fhir+xml', 'text/xml'])
      t.equal((await ask(await stored(ask, type, xml))).text, 'hello');
    for (const [type, body] of [
      [fhir, '{"resourceType":"Binary"'],
      ['application/fhir+xml', '<Binary'],
      ['application/fhir+xml', 'x'],
    ] as const)
      t.equal(
        (await ask('/fhir/Binary', { method: 'POST', headers: { 'content-type': type }, body })).status,
        400,
        body,
      );
  });

  await t.test('PUT replaces it, with its context', async (t) => {
    const headers = { 'content-type': 'text/plain; charset=utf-8', 'x-security-context': 'Patient/p1' };
    const put = await ask('/fhir/Binary/b1', { method: 'PUT', headers, body: 'one' });
    t.equal(put.status, 201);
    t.match(put.json, {
      id: 'b1',
      contentType: 'text/plain; charset=utf-8',
      securityContext: { reference: 'Patient/p1' },
    });
    t.equal((await ask('/fhir/Binary/b1', { method: 'PUT', headers, body: 'two' })).status, 200);
    const read = await ask('/fhir/Binary/b1');
    t.equal(read.text, 'two');
    t.equal(read.headers.etag, '"2"');
    t.equal(read.headers['x-security-context'], 'Patient/p1');
    const stale = await ask('/fhir/Binary/b1', {
      method: 'PUT',
      headers: { ...headers, 'if-match': '"1"' },
      body: 'three',
    });
    t.equal(stale.status, 412);
    t.equal(
      (await ask('/fhir/Binary/b1', { method: 'PUT', headers: { ...headers, 'if-match': '"2"' }, body: 'three' }))
        .status,
      200,
    );
  });

  await t.test('parts', async (t) => {
    const url = await stored(ask, 'application/pdf', pdf);
    const cases: [range: string, first: number, last: number][] = [
      ['bytes=0-9', 0, 9],
      ['bytes=990-', 990, 999],
      ['bytes=-5', 995, 999],
      ['bytes=-5000', 0, 999],
      ['bytes=999-999999', 999, 999],
      ['BYTES = 1 - 2', 1, 2],
    ];
    for (const [range, first, last] of cases) {
      const reply = await ask(url, { headers: { range } });
      t.equal(reply.status, 206, range);
      t.equal(reply.headers['content-range'], `bytes ${first}-${last}/1000`);
      t.equal(reply.headers['content-length'], String(last - first + 1));
    }
    for (const range of ['bytes=1000-', 'bytes=5000-6000', 'bytes=-0']) {
      const reply = await ask(url, { headers: { range } });
      t.equal(reply.status, 416, range);
      t.equal(reply.headers['content-range'], 'bytes */1000');
      t.equal(reply.json.resourceType, 'OperationOutcome');
    }
    for (const range of [
      'bytes=5-2',
      'bytes=0-1,5-6',
      'lines=0-1',
      'bytes=',
      'bytes=-',
      'bytes=a-b',
      `bytes=${'9'.repeat(40)}-`,
    ])
      t.equal((await ask(url, { headers: { range } })).status, 200, `${range} is ignored`);
    const modified = String((await ask(url)).headers['last-modified']);
    for (const [ifRange, status] of [
      ['"1"', 206],
      [modified, 206],
      ['W/"1"', 200],
      ['"2"', 200],
      ['x', 200],
    ] as const)
      t.equal((await ask(url, { headers: { range: 'bytes=0-9', 'if-range': ifRange } })).status, status, ifRange);
    const head = await ask(url, { method: 'HEAD', headers: { range: 'bytes=0-9' } });
    t.equal(head.status, 200, 'a range is for GET');
    t.equal(head.headers['content-length'], '1000');
    t.equal(head.text, '');
    t.equal((await ask(url, { headers: { range: 'bytes=0-9', accept: fhir } })).status, 200, 'and for content');
  });

  await t.test('nothing of it runs', async (t) => {
    const page = await ask(await stored(ask, 'text/html', '<script>alert(1)</script>'), {
      headers: { accept: 'text/html' },
    });
    t.equal(page.headers['content-type'], 'text/html');
    t.equal(page.headers['content-disposition'], 'attachment');
    t.match(page.headers['content-security-policy'], /^sandbox; default-src 'none'/);
    t.equal(page.headers['x-content-type-options'], 'nosniff');
    for (const [type, disposition] of [
      ['image/svg+xml', 'attachment'],
      ['application/xhtml+xml', 'attachment'],
      ['text/xml', 'attachment'],
      ['text/plain', 'inline'],
      ['image/png', 'inline'],
      ['application/pdf', 'inline'],
    ] as const) {
      const reply = await ask(await stored(ask, type, 'x'), { headers: { accept: 'text/html, */*' } });
      t.equal(reply.headers['content-disposition'], disposition, type);
      t.match(reply.headers['content-security-policy'], /default-src 'none'/);
      t.equal(/sandbox/.test(String(reply.headers['content-security-policy'])), type !== 'application/pdf');
    }
    const odd = { resourceType: 'Binary', contentType: 'té/xt', data: 'aGVsbG8=' };
    const reply = await ask(await stored(ask, fhir, JSON.stringify(odd)));
    t.equal(reply.headers['content-type'], 'application/octet-stream', 'a type that no header can carry');
  });

  await t.test('empty content, missing type, too much', async (t) => {
    const empty = await stored(ask, fhir, '{"resourceType":"Binary","contentType":"text/plain"}');
    t.equal((await ask(empty)).text, '');
    t.equal((await ask(empty, { headers: { range: 'bytes=0-' } })).status, 416);
    t.equal(
      (await ask('/fhir/Binary', { method: 'POST', headers: { 'content-type': 'text/plain', 'content-length': '0' } }))
        .status,
      201,
    );
    t.equal((await ask('/fhir/Binary', { method: 'POST', headers: { 'content-type': '' }, body: 'x' })).status, 415);
    t.equal(
      (await ask('/fhir/Binary', { method: 'POST', headers: { 'content-type': 'nonsense' }, body: 'x' })).status,
      415,
    );
    t.equal(
      (await ask('/fhir/Patient', { method: 'POST', headers: { 'content-type': 'text/plain' }, body: 'x' })).status,
      415,
    );
    const most = Math.floor(((limits.resourceBytesMax - 4096) * 3) / 4);
    const url = await stored(ask, 'application/zip', Buffer.alloc(most, 'x'));
    t.equal((await ask(url)).headers['content-length'], String(most));
    const resource = await ask(url, { headers: { accept: fhir } });
    t.equal((await ask(url, { method: 'PUT', body: resource.json })).status, 200, 'as a resource it fits as well');
    const more = {
      method: 'POST',
      headers: { 'content-type': 'application/zip' },
      body: Buffer.alloc(most + 1),
    } as const;
    const refused = await ask('/fhir/Binary', more);
    t.equal(refused.status, 413);
    t.match(refused.says, String(most));
  });
});

t.test('a page of another site has no browser store its text here', async (t) => {
  const { server, seen } = fakeServer();
  const post = async (site: string | undefined, type: string) =>
    (
      await server.inject({
        method: 'POST',
        url: '/fhir/Binary',
        headers: { 'content-type': type, ...(site === undefined ? {} : { 'sec-fetch-site': site }) },
        payload: 'x',
      })
    ).statusCode;
  for (const type of ['text/plain', 'multipart/form-data; boundary=x', 'application/x-www-form-urlencoded']) {
    t.equal(await post('cross-site', type), 403, type);
    t.equal(await post('same-site', type), 403, type);
    t.equal(await post('same-origin', type), 200, type);
    t.equal(await post(undefined, type), 200, type);
  }
  t.equal(await post('cross-site', 'application/pdf'), 200, 'for which a browser asks first');
  t.equal(seen.length, 7);
});

t.test('which reads are of a Binary, and what is wished for', async (t) => {
  for (const path of ['Binary/1', 'Binary/1/_history/2']) t.ok(isBinaryRead({ method: 'GET', path }), path);
  for (const path of [
    'Binary',
    'Binary/_history',
    'Binary/_search',
    'Binary/$x',
    'Binary/1/$x',
    'Binary/1/_history',
    'BinaryX/1',
  ])
    t.notOk(isBinaryRead({ method: 'GET', path }), path);
  t.notOk(isBinaryRead({ method: 'DELETE', path: 'Binary/1' }));
  t.equal(contentWish(undefined, undefined), 'content');
  t.equal(contentWish('application/pdf', 'json'), undefined);
  t.equal(contentWish('application/fhir+json;q=0, application/pdf', undefined), 'content');
  t.strictSame(contentWish('application/json, text/plain, */*', undefined), ['application/json', 'text/plain']);
});

t.test('content is not compressed, and large parts are whole', async (t) => {
  const data = Buffer.alloc(300_000, 'text ').toString('base64');
  const body = Buffer.from(JSON.stringify({ resourceType: 'Binary', contentType: 'text/plain', data }));
  const { server } = fakeServer(() => ({
    status: 200,
    headers: { ETag: 'W/"1"' },
    body: [body.subarray(0, 50), body.subarray(50)],
    interaction: 'read',
  }));
  const headers = { 'accept-encoding': 'gzip', accept: 'text/plain' };
  const whole = await server.inject({ url: '/fhir/Binary/1', headers });
  t.equal(whole.headers['content-encoding'], undefined);
  t.equal(whole.rawPayload.length, 300_000);
  const part = await server.inject({ url: '/fhir/Binary/1', headers: { ...headers, range: 'bytes=100-200099' } });
  t.equal(part.statusCode, 206);
  t.equal(part.rawPayload.compare(whole.rawPayload.subarray(100, 200_100)), 0);
});

// XML at the edge: what comes in as XML reaches the engine as JSON, and answers go out as they were asked for.
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { FhirError } from '../../src/base/outcome.ts';
import { askApp } from '../support/app.ts';
import { onBothStores } from '../support/stores.ts';
import { fakeServer } from './support.ts';

const type = 'application/fhir+xml';
const sent = { 'content-type': type, accept: type };
const xmlReply = `${type}; charset=utf-8`;
const ns = 'xmlns="http://hl7.org/fhir"';
const patientXml = `<Patient ${ns}><active value="true"/><name><family value="Ä &amp; B"/></name></Patient>`;

await onBothStores(t, async (t, adapter) => {
  const { store, close } = await adapter.open();
  t.teardown(close);
  const ask = await askApp(store);

  await t.test('create, read, vread, update, history and delete', async (t) => {
    const created = await ask('/fhir/Patient', { method: 'POST', headers: sent, body: patientXml });
    t.equal(created.status, 201, created.text);
    t.equal(created.headers['content-type'], xmlReply);
    t.match(
      created.text,
      /^<\?xml version="1.0" encoding="UTF-8"\?><Patient xmlns="http:\/\/hl7.org\/fhir"><id value="/,
    );
    const id = /<id value="([^"]+)"/.exec(created.text)?.[1];
    const url = `/fhir/Patient/${id}`;
    t.match((await ask(url)).json, { active: true, name: [{ family: 'Ä & B' }] });
    const read = await ask(url, { headers: { accept: type } });
    t.equal(read.text, created.text);
    t.equal(read.headers.etag, 'W/"1"');
    const body = patientXml.replace('<active', `<id value="${id}"/><active`);
    t.equal((await ask(url, { method: 'PUT', headers: sent, body })).status, 200);
    t.match((await ask(`${url}/_history/1?_format=xml`)).text, '<versionId value="1"/>');
    t.match(
      (await ask(`${url}/_history`, { headers: { accept: 'text/xml' } })).text,
      /<type value="history"\/>.*<entry>/,
    );
    const known = await ask(url, { headers: { accept: type, 'if-none-match': 'W/"2"' } });
    t.equal(known.status, 304);
    t.equal(known.text, '');
    t.equal((await ask(url, { method: 'DELETE', headers: { accept: type } })).status, 204);
    const gone = await ask(url, { headers: { accept: type } });
    t.equal(gone.status, 410);
    t.equal(gone.headers['content-type'], xmlReply);
    t.match(
      gone.text,
      /<OperationOutcome xmlns="http:\/\/hl7.org\/fhir"><issue><severity value="error"\/><code value="deleted"\/>/,
    );
  });

  await t.test('transaction, batch and searches', async (t) => {
    const entry = (family: string) =>
      `<entry><resource><Patient><name><family value="${family}"/></name></Patient></resource>` +
      '<request><method value="POST"/><url value="Patient"/></request></entry>';
    const bundle = (kind: string, entries: string) => `<Bundle ${ns}><type value="${kind}"/>${entries}</Bundle>`;
    const done = await ask('/fhir', {
      method: 'POST',
      headers: sent,
      body: bundle('transaction', entry('Xaver') + entry('Xenia')),
    });
    t.equal(done.status, 200, done.text);
    t.match(done.text, /<type value="transaction-response"\/><entry>.*<status value="201/);
    const batch = await ask('/fhir', {
      method: 'POST',
      headers: sent,
      body: bundle(
        'batch',
        '<entry><request><method value="GET"/><url value="Patient?family=Xaver"/></request></entry>',
      ),
    });
    t.match(batch.text, /<type value="batch-response"\/>.*<Bundle>.*<family value="Xaver"\/>/);
    const found = await ask('/fhir/Patient?family=X&_sort=family', { headers: { accept: type } });
    t.match(found.text, /<total value="2"\/>|<family value="Xaver"\/>.*<family value="Xenia"\/>/);
    const posted = await ask('/fhir/Patient/_search', {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', accept: type },
      body: 'family=Xenia',
    });
    t.match(posted.text, /<Bundle .*<family value="Xenia"\/>/);
    t.match((await ask('/fhir/metadata?_format=xml')).text, /<format value="application\/fhir\+xml"\/>/);
  });

  await t.test('what is wrong with it is said in XML', async (t) => {
    const cases: [body: string, says: RegExp][] = [
      ['<Patient', /Not well-formed XML at line 1/],
      [
        `<Patient ${ns}><activ value="true"/></Patient>`,
        /did you mean &quot;active&quot;.*<expression value="Patient"\/>/,
      ],
      [`<Patient ${ns}><birthDate value="x"/></Patient>`, /<expression value="Patient.birthDate"\/>/],
      [`<!DOCTYPE x><Patient ${ns}/>`, /DOCTYPE/],
      [JSON.stringify({ resourceType: 'Patient' }), /Not well-formed/],
    ];
    for (const [body, says] of cases) {
      const reply = await ask('/fhir/Patient', { method: 'POST', headers: sent, body });
      t.equal(reply.status, 400, body);
      t.equal(reply.headers['content-type'], xmlReply);
      t.match(reply.text, says);
    }
    t.match((await ask('/fhir/Patient?nonsense=1&_format=xml')).text, /^<\?xml.*<OperationOutcome/);
    const empty = await ask('/fhir/Patient', { method: 'POST', headers: { ...sent, 'content-length': '0' } });
    t.equal(empty.status, 400);
  });
});

t.test('a body of any XML type reaches the engine as JSON', async (t) => {
  const { server, seen } = fakeServer();
  const payload = `<Parameters ${ns}><parameter><name value="operation"/></parameter></Parameters>`;
  for (const contentType of [
    type,
    'application/xml',
    'text/xml; charset=utf-8',
    'Application/FHIR+XML;fhirVersion=4.0',
  ]) {
    for (const method of ['POST', 'PUT', 'PATCH'] as const) {
      const headers = { 'content-type': contentType };
      const reply = await server.inject({ method, url: '/fhir/Patient/1/$x', headers, payload });
      t.equal(reply.statusCode, 200, contentType);
      t.equal(reply.headers['content-type'], 'application/fhir+json; charset=utf-8');
      const request = seen.at(-1);
      t.equal(
        Buffer.from(request?.body ?? []).toString(),
        '{"resourceType":"Parameters","parameter":[{"name":"operation"}]}',
      );
      t.equal(request?.header('content-type'), 'application/fhir+json');
    }
  }
  const patch = {
    method: 'PATCH',
    url: '/fhir/Patient/1',
    headers: { 'content-type': 'application/json-patch+json' },
    payload: '[]',
  } as const;
  await server.inject(patch);
  t.equal(seen.at(-1)?.header('content-type'), 'application/json-patch+json', 'a JSON Patch stays');
});

t.test('an answer of a type of its own is passed on as it is', async (t) => {
  const csv = Buffer.from('a,b\n');
  const { server } = fakeServer(() => ({
    status: 200,
    headers: { 'Content-Type': 'text/csv' },
    body: csv,
    interaction: 'operation',
  }));
  for (const [url, accept] of [
    ['/fhir/ViewDefinition/$run?_format=csv', '*/*'],
    ['/fhir/ViewDefinition/$run', 'text/csv'],
    ['/fhir/ViewDefinition/$run?_pretty=true', type],
  ] as const) {
    const reply = await server.inject({ url, headers: { accept } });
    t.equal(reply.statusCode, 200, url);
    t.equal(reply.headers['content-type'], 'text/csv');
    t.equal(reply.body, 'a,b\n');
  }
  t.equal((await server.inject('/fhir/Patient?_format=csv')).statusCode, 406, 'asked of an operation alone');
});

t.test('HEAD has the headers of the XML', async (t) => {
  const { server } = fakeServer();
  const url = '/fhir/Patient/1?_format=xml';
  const get = await server.inject(url);
  const head = await server.inject({ method: 'HEAD', url });
  t.equal(head.body, '');
  t.equal(head.headers['content-length'], String(Buffer.byteLength(get.body)));
  t.equal(head.headers['content-type'], get.headers['content-type']);
});

t.test('what XML cannot show is 406, in XML', async (t) => {
  const { server } = fakeServer(() => ({
    status: 200,
    headers: {},
    body: Buffer.from('{"resourceType":"ViewDefinition"}'),
    interaction: 'read',
  }));
  const reply = await server.inject('/fhir/ViewDefinition/1?_format=xml');
  t.equal(reply.statusCode, 406);
  t.match(reply.body, /<OperationOutcome.*application\/fhir\+json/);
});

t.test('failures are in the form that was asked for, with their headers', async (t) => {
  const { server, seen } = fakeServer(() => {
    throw new FhirError('not-found', 'No <such> resource.', { headers: { 'X-A': 'b' } });
  });
  const reply = await server.inject({ url: '/fhir/Patient/1?_pretty=true', headers: { accept: type } });
  t.equal(reply.statusCode, 404);
  t.equal(reply.headers['x-a'], 'b');
  t.match(reply.body, '\n    <diagnostics value="No &lt;such&gt; resource."/>\n');
  const pretty = await server.inject('/fhir/Patient/1?_pretty=true');
  t.match(pretty.body, '{\n  "resourceType": "OperationOutcome",\n  "issue": [\n    {\n');
  const reached = seen.length;
  const large = await server.inject({
    method: 'POST',
    url: '/fhir/Patient',
    headers: sent,
    payload: Buffer.alloc(5_000_000),
  });
  t.equal(large.statusCode, 413);
  t.equal(large.headers['content-type'], xmlReply);
  const odd = await server.inject({
    method: 'POST',
    url: '/fhir/Patient',
    headers: { ...sent, 'content-type': 'text/csv' },
    payload: 'x',
  });
  t.equal(odd.statusCode, 415);
  t.match(odd.body, /<OperationOutcome/);
  t.equal(seen.length, reached);
});

t.test('large XML is converted on a thread of its own, and the others do not wait', async (t) => {
  const entries = 12_000;
  const bundle = {
    resourceType: 'Bundle',
    type: 'searchset',
    entry: Array.from({ length: entries }, (_, at) => ({
      fullUrl: `http://a.example/Patient/${at}`,
      resource: {
        resourceType: 'Patient',
        id: String(at),
        name: [{ family: 'x', given: ['y', 'z'] }],
        birthDate: '2000',
      },
    })),
  };
  const json = Buffer.from(JSON.stringify(bundle));
  const { server, seen } = fakeServer(({ path }) => ({
    status: 200,
    headers: {},
    body: path === '' ? json : Buffer.from('{"resourceType":"Patient"}'),
    interaction: 'x',
  }));
  t.teardown(() => server.close());
  // The thread takes a moment to start.
  await server.inject('/fhir?_format=xml');
  let longest = 0;
  let last = performance.now();
  const watch = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  }, 1);
  const reply = await server.inject({ url: '/fhir?_format=xml', headers: { 'accept-encoding': 'identity' } });
  t.equal(reply.statusCode, 200);
  const back = await server.inject({
    method: 'POST',
    url: '/fhir',
    headers: { 'content-type': type, 'content-encoding': 'gzip' },
    payload: gzipSync(reply.rawPayload),
  });
  clearInterval(watch);
  t.equal(back.statusCode, 200);
  t.strictSame(JSON.parse(Buffer.from(seen.at(-1)?.body ?? []).toString()), bundle);
  t.comment(`${reply.rawPayload.length} bytes of XML; the event loop was held for ${Math.round(longest)} ms at most`);
  const refused = await server.inject({
    method: 'POST',
    url: '/fhir',
    headers: { 'content-type': type },
    payload: reply.rawPayload.toString().replace('</Bundle>', '<nonsense/></Bundle>'),
  });
  t.equal(refused.statusCode, 400);
  t.match(refused.json().issue[0], { diagnostics: /"nonsense" is not an element of Bundle/, expression: ['Bundle'] });
});

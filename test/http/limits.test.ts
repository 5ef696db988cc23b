// Each bound of base/limits.ts through the whole app: what is still taken, and how one more is refused.
import { connect } from 'node:net';
import t from 'tap';
import { createApp } from '../../src/app.ts';
import { limits } from '../../src/base/limits.ts';
import { readConfig } from '../../src/config.ts';
import { askApp } from '../support/app.ts';
import { freePort } from '../support/server-process.ts';
import { sqlite } from '../support/stores.ts';

t.setTimeout(120_000);
const { store, close } = await sqlite.open();
t.teardown(close);
const ask = await askApp(store);

/** JSON followed by blanks up to so many bytes. */
const padded = (value: object, bytes: number): Buffer => {
  const body = Buffer.alloc(bytes, ' ');
  body.write(JSON.stringify(value));
  return body;
};
const list = (length: number, text: (at: number) => string): string =>
  Array.from({ length }, (_, at) => text(at)).join(',');

await t.test('the body of a resource and of a Bundle: 413', async (t) => {
  const patient = { resourceType: 'Patient' };
  t.equal((await ask('/fhir/Patient', { method: 'POST', body: padded(patient, limits.resourceBytesMax) })).status, 201);
  const tooLarge = await ask('/fhir/Patient', { method: 'POST', body: padded(patient, limits.resourceBytesMax + 1) });
  t.equal(tooLarge.status, 413);
  t.match(tooLarge.says, String(limits.resourceBytesMax));
  const bundle = { resourceType: 'Bundle', type: 'batch' };
  t.equal((await ask('/fhir', { method: 'POST', body: padded(bundle, limits.bundleBytesMax) })).status, 200);
  t.equal((await ask('/fhir', { method: 'POST', body: padded(bundle, limits.bundleBytesMax + 1) })).status, 413);
});

await t.test('entries of a Bundle: 422', async (t) => {
  const bundle = (type: string, entries: number) => ({
    resourceType: 'Bundle',
    type,
    entry: Array.from({ length: entries }, (_, at) => ({ request: { method: 'GET', url: `Patient/none-${at}` } })),
  });
  const most = await ask('/fhir', { method: 'POST', body: bundle('batch', limits.bundleEntriesMax) });
  t.equal(most.status, 200);
  t.equal(most.json.entry.length, limits.bundleEntriesMax);
  for (const type of ['batch', 'transaction']) {
    const more = await ask('/fhir', { method: 'POST', body: bundle(type, limits.bundleEntriesMax + 1) });
    t.equal(more.status, 422, type);
    t.match(more.json.issue[0], { code: 'too-costly', diagnostics: String(limits.bundleEntriesMax) });
  }
});

await t.test('threat 19: depth of JSON: 64 levels are read, 65 refused', async (t) => {
  /** An odd number of levels by nested extensions; what the innermost holds adds one or two. */
  const nested = (innermost: object) => {
    let extension: object = { url: 'urn:x', ...innermost };
    for (let level = 3; level < 63; level += 2) extension = { url: 'urn:x', extension: [extension] };
    return { resourceType: 'Patient', extension: [extension] };
  };
  const deepest = await ask('/fhir/Patient', { method: 'POST', body: nested({ valuePeriod: { start: '2020' } }) });
  t.equal(deepest.status, 201, deepest.says);
  const deeper = await ask('/fhir/Patient', { method: 'POST', body: nested({ valueHumanName: { given: ['x'] } }) });
  t.equal(deeper.status, 400);
  t.match(deeper.says, String(limits.jsonDepthMax));
  const flood = await ask('/fhir/Patient', { method: 'POST', body: '['.repeat(1_000_000) });
  t.equal(flood.status, 400);
  t.match(flood.says, String(limits.jsonDepthMax));
});

await t.test('threat 20: members of a JSON object', async (t) => {
  const object = (members: number) => `{"resourceType":"Patient",${list(members - 1, (at) => `"m${at}":1`)}}`;
  const most = await ask('/fhir/Patient', { method: 'POST', body: object(limits.objectKeysMax) });
  t.equal(most.status, 400);
  t.match(most.says, /m0/, 'read, and refused for what it holds');
  const more = await ask('/fhir/Patient', { method: 'POST', body: object(limits.objectKeysMax + 1) });
  t.equal(more.status, 400);
  t.match(more.says, /10000|10,000/);
});

await t.test('the address: 414', async (t) => {
  const address = (bytes: number) => '/fhir/Patient?name:exact='.padEnd(bytes, 'a');
  t.equal((await ask(address(limits.urlBytesMax))).status, 200);
  const longer = await ask(address(limits.urlBytesMax + 1));
  t.equal(longer.status, 414);
  t.match(longer.says, /POST _search/);
  const form = { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' } } as const;
  t.equal((await ask('/fhir/Patient/_search', { ...form, body: 'name:exact='.padEnd(20_000, 'a') })).status, 200);
});

await t.test('headers: 431, and an address beyond all bounds: 414', async (t) => {
  const port = await freePort();
  const app = await createApp(
    readConfig({ CARELOOM_AUTH: 'off', CARELOOM_LOG_LEVEL: 'silent', CARELOOM_PORT: String(port) }),
    {
      store: unclosable(),
    },
  );
  await app.listen();
  t.teardown(() => app.close());
  const get = (path: string, header: string) =>
    rawStatus(port, `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${header}\r\n\r\n`);
  t.equal(await get('/fhir/Patient/none', `X-Filler: ${'a'.repeat(limits.headerBytesMax - 100)}`), 404, 'read');
  t.equal(await get('/fhir/Patient/none', `X-Filler: ${'a'.repeat(limits.headerBytesMax + limits.urlBytesMax)}`), 431);
  t.equal(await get(`/fhir/Patient?name=${'a'.repeat(40_000)}`, 'X-Filler: a'), 414);
});

await t.test('the page: _count goes up to 500', async (t) => {
  const entry = Array.from({ length: limits.pageSizeMax + 1 }, (_, at) => ({
    request: { method: 'PUT', url: `Basic/page-${at}` },
    resource: { resourceType: 'Basic', id: `page-${at}`, code: { text: 'x' } },
  }));
  t.equal(
    (await ask('/fhir', { method: 'POST', body: { resourceType: 'Bundle', type: 'transaction', entry } })).status,
    200,
  );
  const most = await ask(`/fhir/Basic?_count=${limits.pageSizeMax}`);
  t.equal(most.json.entry.length, limits.pageSizeMax);
  const more = await ask(`/fhir/Basic?_count=${limits.pageSizeMax + 1}`);
  t.equal(more.status, 200);
  t.equal(more.json.entry.length, limits.pageSizeMax, 'brought down to the largest page');
  t.ok(more.json.link.some((link: { relation: string }) => link.relation === 'next'));
  t.equal((await ask('/fhir/Basic')).json.entry.length, limits.pageSizeDefault);
  for (const count of ['-1', 'x', '1.5', '1e3', '9'.repeat(30)])
    t.equal((await ask(`/fhir/Basic?_count=${count}`)).status, 400, count);
});

await t.test('threat 27: a search: parameters, values, chains, _has, sort', async (t) => {
  const parameters = (length: number) => Array.from({ length }, (_, at) => `name=a${at}`).join('&');
  const has = (depth: number) =>
    `_has:Observation:patient:${'_has:Observation:has-member:'.repeat(depth - 1)}status=final`;
  const chain = 'encounter.subject:Patient.organization.name=x';
  const sort = 'family,-given,birthdate,gender,_lastUpdated';
  const cases: [taken: string, refused: string][] = [
    [`Patient?${parameters(limits.searchParametersMax)}`, `Patient?${parameters(limits.searchParametersMax + 1)}`],
    [
      `Patient?name=${list(limits.orValuesMax, (at) => `a${at}`)}`,
      `Patient?name=${list(limits.orValuesMax + 1, (at) => `a${at}`)}`,
    ],
    [`Observation?${chain}`, `Observation?${chain.replace('.name', '.partof.name')}`],
    [`Patient?${has(limits.hasDepthMax)}`, `Patient?${has(limits.hasDepthMax + 1)}`],
    [`Patient?_sort=${sort}`, `Patient?_sort=${sort},phone`],
  ];
  for (const [taken, refused] of cases) {
    t.equal((await ask(`/fhir/${taken}`)).status, 200, taken.slice(0, 60));
    const reply = await ask(`/fhir/${refused}`);
    t.equal(reply.status, 422, refused.slice(0, 60));
    t.equal(reply.json.issue[0].code, 'too-costly');
    t.match(reply.says, /\d/, 'the bound is named');
  }
});

await t.test('included resources of a page: 422', async (t) => {
  const observation = (at: number) => ({
    request: { method: 'PUT', url: `Observation/included-${at}` },
    resource: {
      resourceType: 'Observation',
      id: `included-${at}`,
      status: 'final',
      code: { text: 'x' },
      subject: { reference: 'Patient/centre' },
    },
  });
  const entry: object[] = [
    { request: { method: 'PUT', url: 'Patient/centre' }, resource: { resourceType: 'Patient', id: 'centre' } },
    ...Array.from({ length: limits.includesMax }, (_, at) => observation(at)),
  ];
  t.equal(
    (await ask('/fhir', { method: 'POST', body: { resourceType: 'Bundle', type: 'transaction', entry } })).status,
    200,
  );
  const search = '/fhir/Patient?_id=centre&_revinclude=Observation:patient';
  t.equal((await ask(search)).json.entry.length, 1 + limits.includesMax);
  const { request, resource } = observation(limits.includesMax);
  t.equal((await ask(`/fhir/${request.url}`, { method: 'PUT', body: resource })).status, 201);
  const more = await ask(search);
  t.equal(more.status, 422);
  t.match(more.json.issue[0], { code: 'too-costly', diagnostics: String(limits.includesMax) });
});

await t.test('malformed JSON: line and column', async (t) => {
  const cases: [text: string, says: RegExp][] = [
    ['{"resourceType":"Patient",\n "active": tru}', /line 2.*column 1[0-4]/],
    ['{"resourceType":"Patient"', /line 1/],
    ['{"resourceType":"Patient",}', /line 1.*column 2[67]/],
    ['{"resourceType":"Patient"}\n\n x', /line 3.*column 2/],
    ['{"resourceType":"Patient","birthDate":"\u0001"}', /line 1/],
    ['{"resourceType":"Patient","multipleBirthInteger":01}', /line 1/],
    ["{'resourceType':'Patient'}", /line 1.*column 2/],
    ['\ufeff\ufeff{}', /line 1/],
    ['[', /line 1/],
    ['nul', /line 1/],
  ];
  for (const [text, says] of cases) {
    const reply = await ask('/fhir/Patient', { method: 'POST', body: text });
    t.equal(reply.status, 400, text);
    t.match(reply.says, says, text);
  }
  const invalid = Buffer.concat([
    Buffer.from('{"resourceType":"Patient","language":"'),
    Buffer.from([0xff, 0xfe]),
    Buffer.from('"}'),
  ]);
  t.equal((await ask('/fhir/Patient', { method: 'POST', body: invalid })).status, 400, 'bytes that are no UTF-8');
});

await t.test('threat 24: __proto__ and its friends are refused wherever they stand, and change nothing', async (t) => {
  const bodies = [
    '{"resourceType":"Patient","__proto__":{"polluted":1}}',
    '{"resourceType":"Patient","__pr\\u006fto__":{"polluted":1}}',
    '{"resourceType":"Patient","constructor":{"prototype":{"polluted":1}}}',
    '{"resourceType":"Patient","name":[{"__proto__":{"polluted":1}}]}',
    '{"resourceType":"Patient","contained":[{"resourceType":"Patient","prototype":{"polluted":1}}]}',
    '{"__proto__":{"resourceType":"Patient"}}',
    '{"resourceType":"__proto__"}',
    '{"resourceType":"constructor"}',
  ];
  for (const body of bodies) {
    t.equal((await ask('/fhir/Patient', { method: 'POST', body })).status, 400, body);
    const entry = `{"resource":${body},"request":{"method":"POST","url":"Patient"}}`;
    const bundle = `{"resourceType":"Bundle","type":"transaction","entry":[${entry}]}`;
    t.equal((await ask('/fhir', { method: 'POST', body: bundle })).status, 400, `in a transaction: ${body}`);
  }
  for (const name of ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty']) {
    const addresses = [
      `${name}`,
      `${name}/1`,
      `${name}/1/_history`,
      `Patient?${name}=1`,
      `Patient?${name}.name=1`,
      `Patient?_has:${name}:patient:code=1`,
      `Patient?_has:Observation:${name}:code=1`,
      `Patient?name:${name}=1`,
      `Patient?_sort=${name}`,
      `Patient?_include=${name}:${name}`,
      `Patient?_include=Patient:${name}`,
      `Patient?_total=${name}`,
      `Patient?general-practitioner:${name}.name=1`,
      `?_type=${name}`,
      `Patient/1/${name}`,
      `${name}/1/Patient`,
      `Patient/$${name}`,
    ];
    for (const address of addresses) {
      const { status } = await ask(`/fhir/${address}`);
      t.ok(status >= 400 && status < 500, `${address}: ${status}`);
    }
    t.ok((await ask(`/fhir/Patient/${name}`)).status < 500, 'as an id');
  }
  t.equal(({} as { polluted?: number }).polluted, undefined);
});

await t.test('media types: 415 and 406', async (t) => {
  const body = JSON.stringify({ resourceType: 'Patient' });
  const refused: Record<string, string>[] = [
    { 'content-encoding': 'compress' },
    { 'content-encoding': 'gzip, identity' },
    { 'content-type': 'text/plain' },
    { 'content-type': 'application/xhtml+xml' },
    { 'content-type': 'application/x-www-form-urlencoded' },
    { 'content-type': 'application/fhir+json; charset=iso-8859-1' },
    { 'content-type': 'application/fhir+json; fhirVersion=3.0' },
    { 'content-type': 'application/jsonx' },
    { 'content-type': 'nonsense' },
    { 'content-type': '' },
  ];
  for (const headers of refused)
    t.equal((await ask('/fhir/Patient', { method: 'POST', body, headers })).status, 415, JSON.stringify(headers));
  t.equal((await ask('/fhir/Patient/_search', { method: 'POST', body })).status, 415, 'JSON is no form');
  for (const type of [
    'application/fhir+json',
    'application/json',
    'application/fhir+json;charset=UTF-8;fhirVersion=4.0',
  ])
    t.equal(
      (await ask('/fhir/Patient', { method: 'POST', body, headers: { 'content-type': type } })).status,
      201,
      type,
    );
  for (const accept of [
    'application/turtle',
    'text/html',
    'image/*',
    'application/fhir+json; fhirVersion=3.0',
    'application/fhir+json;q=0',
  ])
    t.equal((await ask('/fhir/metadata', { headers: { accept } })).status, 406, accept);
  for (const accept of ['*/*', 'application/*', 'application/json', 'text/html, application/fhir+json;q=0.5', ''])
    t.equal((await ask('/fhir/metadata', { headers: { accept } })).status, 200, accept);
  t.equal((await ask('/fhir/metadata?_format=xml')).status, 200);
  t.equal((await ask('/fhir/metadata?_format=ttl')).status, 406);
  t.equal((await ask('/fhir/metadata?_format=json', { headers: { accept: 'text/html' } })).status, 200, '_format wins');
});

/** The store for a second app, which closes what it was given. */
function unclosable(): typeof store {
  return new Proxy(store, {
    get: (target, name) => {
      const value = Reflect.get(target, name, target);
      if (name === 'close') return async () => {};
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

function rawStatus(port: number, text: string): Promise<number> {
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      answer += chunk;
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(Number(answer.slice(9, 12))));
  });
}

// Interactions on single resources, on both stores. https://hl7.org/fhir/R4/http.html
import t from 'tap';
import { engineOn } from '../support/engine.ts';
import { onBothStores } from '../support/stores.ts';

const patient = (members: object = {}) => ({ resourceType: 'Patient', ...members });

await onBothStores(t, async (t, adapter) => {
  const { store, close } = await adapter.open();
  t.teardown(close);
  const { ask } = await engineOn(store);

  t.test('create: 201, Location, ETag, Last-Modified, the resource with id and meta', async (t) => {
    const created = await ask(
      'POST',
      'Patient',
      patient({ id: 'mine', active: true, meta: { tag: [{ code: 'x' }], versionId: '9' } }),
    );
    t.equal(created.status, 201);
    t.match(created.headers.Location, /\/Patient\/[\w-]{36}\/_history\/1$/, 'a server-made id, not the one sent');
    t.equal(created.headers.ETag, 'W/"1"');
    t.ok(Date.parse(created.headers['Last-Modified'] ?? ''));
    t.equal(created.json.meta.versionId, '1');
    t.match(created.json.meta.lastUpdated, /^\d{4}-.*Z$/);
    t.strictSame(created.json.meta.tag, [{ code: 'x' }]);
    const read = await ask('GET', `Patient/${created.json.id}`);
    t.equal(read.status, 200);
    t.equal(read.text, created.text, 'what create answered is what read gives');
  });

  t.test('Prefer: return=minimal sends no body, return=OperationOutcome an outcome', async (t) => {
    const minimal = await ask('POST', 'Patient', patient(), { Prefer: 'return=minimal' });
    t.equal(minimal.text, '');
    t.ok(minimal.headers.Location);
    const outcome = await ask('POST', 'Patient', patient(), { Prefer: 'return=OperationOutcome' });
    t.equal(outcome.json.resourceType, 'OperationOutcome');
  });

  t.test('decimals and text come back as written', async (t) => {
    const text =
      '{"resourceType":"Observation","id":"dec","status":"final","code":{"text":"\\u00e9 / \\/"},"valueQuantity":{"value":1.50,"unit":"mg"},"component":[{"code":{"text":"a"},"valueQuantity":{"value":1e-7}}]}';
    t.equal((await ask('PUT', 'Observation/dec', text)).status, 201);
    const read = await ask('GET', 'Observation/dec');
    t.match(read.text, '"value":1.50,');
    t.match(read.text, '"value":1e-7}');
    t.match(read.text, '\\u00e9 / \\/');
  });

  t.test('update: versions count up, created by PUT is 201, If-Match is honoured', async (t) => {
    t.equal((await ask('PUT', 'Patient/u1', patient({ id: 'u1' }))).status, 201);
    const second = await ask('PUT', 'Patient/u1', patient({ id: 'u1', active: true }), { 'If-Match': 'W/"1"' });
    t.equal(second.status, 200);
    t.equal(second.headers.ETag, 'W/"2"');
    t.equal((await ask('PUT', 'Patient/u1', patient({ id: 'u1' }), { 'If-Match': 'W/"1"' })).status, 412);
    t.equal((await ask('PUT', 'Patient/u1', patient({ id: 'other' }))).status, 400, 'another id in the body');
    t.equal((await ask('PUT', 'Patient/u1', patient())).status, 400, 'no id in the body');
    t.equal(
      (await ask('PUT', 'Patient/u1', { resourceType: 'Observation', id: 'u1' })).status,
      400,
      'another type in the body',
    );
    t.equal(
      (await ask('PUT', 'Patient/u1', patient({ id: 'u1' }), { 'If-None-Match': '*' })).status,
      412,
      'create only',
    );
    t.equal((await ask('PUT', 'Patient/u1', patient({ id: 'u1' }), { 'If-Match': 'nonsense' })).status, 400);
  });

  t.test('vread gives each version; a version that never was is 404', async (t) => {
    await ask('PUT', 'Patient/v1', patient({ id: 'v1', gender: 'male' }));
    await ask('PUT', 'Patient/v1', patient({ id: 'v1', gender: 'female' }));
    t.equal((await ask('GET', 'Patient/v1/_history/1')).json.gender, 'male');
    t.equal((await ask('GET', 'Patient/v1/_history/2')).json.gender, 'female');
    t.equal((await ask('GET', 'Patient/v1/_history/3')).status, 404);
    t.equal((await ask('GET', 'Patient/v1/_history/x')).status, 404);
  });

  t.test('delete: 204, then read is 410, the deletion is a version, PUT brings it back', async (t) => {
    await ask('PUT', 'Patient/d1', patient({ id: 'd1' }));
    const gone = await ask('DELETE', 'Patient/d1');
    t.equal(gone.status, 204);
    t.equal(gone.headers.ETag, 'W/"2"');
    t.equal((await ask('GET', 'Patient/d1')).status, 410);
    t.equal((await ask('GET', 'Patient/d1/_history/2')).status, 410);
    t.equal((await ask('GET', 'Patient/d1/_history/1')).status, 200);
    t.equal((await ask('DELETE', 'Patient/d1')).status, 204, 'again');
    t.equal((await ask('DELETE', 'Patient/never')).status, 204, 'what never was');
    const back = await ask('PUT', 'Patient/d1', patient({ id: 'd1' }));
    t.equal(back.status, 201);
    t.equal(back.headers.ETag, 'W/"3"');
    t.equal((await ask('GET', 'Patient/never')).status, 404);
  });

  t.test('conditional read: 304 for a version that the client has', async (t) => {
    const { headers } = await ask('PUT', 'Patient/c1', patient({ id: 'c1' }));
    t.equal((await ask('GET', 'Patient/c1', undefined, { 'If-None-Match': 'W/"1"' })).status, 304);
    t.equal((await ask('GET', 'Patient/c1', undefined, { 'If-None-Match': 'W/"2"' })).status, 200);
    t.equal(
      (await ask('GET', 'Patient/c1', undefined, { 'If-Modified-Since': headers['Last-Modified'] ?? '' })).status,
      304,
    );
    t.equal(
      (await ask('GET', 'Patient/c1', undefined, { 'If-Modified-Since': 'Mon, 01 Jan 2001 00:00:00 GMT' })).status,
      200,
    );
  });

  t.test('history of an instance, a type and the system: newest first, deletions included', async (t) => {
    await ask('PUT', 'Flag/h1', {
      resourceType: 'Flag',
      id: 'h1',
      status: 'active',
      code: { text: 'a' },
      subject: { reference: 'Patient/1' },
    });
    await ask('PUT', 'Flag/h1', {
      resourceType: 'Flag',
      id: 'h1',
      status: 'inactive',
      code: { text: 'a' },
      subject: { reference: 'Patient/1' },
    });
    await ask('DELETE', 'Flag/h1');
    const versions = await ask('GET', 'Flag/h1/_history');
    t.equal(versions.json.type, 'history');
    t.equal(versions.json.total, 3);
    t.strictSame(
      versions.json.entry.map((entry: { request: { method: string } }) => entry.request.method),
      ['DELETE', 'PUT', 'POST'],
    );
    t.notOk(versions.json.entry[0].resource);
    t.equal(versions.json.entry[1].resource.meta.versionId, '2');
    t.equal((await ask('GET', 'Flag/_history')).json.entry.length, 3);
    const paged = await ask('GET', '_history?_count=2');
    t.equal(paged.json.entry.length, 2);
    const next = await ask('GET', paged.json.link.find((link: { relation: string }) => link.relation === 'next').url);
    t.equal(next.json.entry.length, 2);
    t.not(
      next.json.entry[0].fullUrl + next.json.entry[0].response.etag,
      paged.json.entry[1].fullUrl + paged.json.entry[1].response.etag,
    );
    const since = versions.json.entry[1].response.lastModified;
    t.equal((await ask('GET', `Flag/h1/_history?_since=${since}`)).json.entry.length, 2);
    t.equal((await ask('GET', 'Flag/unknown/_history')).status, 404);
  });

  t.test('conditional create: none creates, one answers 200, several 412, no criteria 412', async (t) => {
    const body = patient({ identifier: [{ system: 'urn:s', value: 'cc1' }] });
    const condition = { 'If-None-Exist': 'identifier=urn:s|cc1' };
    const first = await ask('POST', 'Patient', body, condition);
    t.equal(first.status, 201);
    const second = await ask('POST', 'Patient', body, condition);
    t.equal(second.status, 200);
    t.equal(second.json.id, first.json.id);
    await ask('POST', 'Patient', body);
    t.equal((await ask('POST', 'Patient', body, condition)).status, 412);
    t.equal((await ask('POST', 'Patient', body, { 'If-None-Exist': '' })).status, 412);
    t.equal(
      (await ask('POST', 'Patient', body, { 'If-None-Exist': 'identfier=1' })).status,
      400,
      'a misspelt condition',
    );
  });

  t.test('conditional update and delete', async (t) => {
    const body = patient({ identifier: [{ system: 'urn:s', value: 'cu1' }] });
    const created = await ask('PUT', 'Patient?identifier=urn:s|cu1', body);
    t.equal(created.status, 201);
    const updated = await ask('PUT', 'Patient?identifier=urn:s|cu1', { ...body, active: true });
    t.equal(updated.status, 200);
    t.equal(updated.json.id, created.json.id);
    t.equal((await ask('PUT', 'Patient?identifier=urn:s|cu1', { ...body, id: 'other' })).status, 400);
    const own = await ask(
      'PUT',
      'Patient?identifier=urn:s|cu2',
      patient({ id: 'own-id', identifier: [{ system: 'urn:s', value: 'cu2' }] }),
    );
    t.equal(own.status, 201);
    t.equal(own.json.id, 'own-id');
    t.equal((await ask('DELETE', 'Patient?identifier=urn:s|cu2', undefined, { 'If-Match': 'W/"7"' })).status, 412);
    t.equal((await ask('DELETE', 'Patient?identifier=urn:s|cu2', undefined, { 'If-Match': 'W/"1"' })).status, 204);
    t.equal((await ask('GET', 'Patient/own-id')).status, 410);
    await ask('POST', 'Patient', body);
    t.equal((await ask('PUT', 'Patient?identifier=urn:s|cu1', body)).status, 412);
    t.equal((await ask('DELETE', 'Patient?identifier=urn:s|cu1')).status, 412);
  });

  t.test('conditional delete of many: with _count, at most so many in one commit', async (t) => {
    const many = async (value: string, n: number) => {
      for (let i = 0; i < n; i++) await ask('POST', 'Patient', patient({ identifier: [{ system: 'urn:s', value }] }));
    };
    const left = async (value: string) => (await ask('GET', `Patient?identifier=urn:s|${value}`)).json.total ?? 0;
    await many('dm1', 5);
    t.equal((await ask('DELETE', 'Patient?identifier=urn:s|dm1')).status, 412, 'several without _count');
    const three = await ask('DELETE', 'Patient?identifier=urn:s|dm1&_count=3');
    t.equal(three.status, 200);
    t.equal(three.json.resourceType, 'OperationOutcome');
    t.match(three.json.issue[0].diagnostics, /^3 Patient resources were deleted\. There may be more/);
    const rest = await ask('DELETE', 'Patient?_count=10&identifier=urn:s|dm1');
    t.match(rest.json.issue[0].diagnostics, /^2 Patient resources were deleted\.$/);
    t.equal(await left('dm1'), 0);
    t.equal((await ask('DELETE', 'Patient?identifier=urn:s|dm1&_count=10')).status, 204, 'none');
    t.equal((await ask('DELETE', 'Patient?_count=10')).status, 412, 'no criteria');
    for (const count of ['0', '-1', 'x', '1.5', '501', '9999999999']) {
      t.equal((await ask('DELETE', `Patient?identifier=urn:s|dm1&_count=${count}`)).status, 400, count);
    }
    const tagged = await ask('DELETE', 'Patient?identifier=urn:s|dm1&_count=2', undefined, { 'If-Match': 'W/"1"' });
    t.equal(tagged.status, 400, 'a version of which?');
    await many('dm2', 12);
    const parallel = await Promise.all(
      Array.from({ length: 6 }, () => ask('DELETE', 'Patient?identifier=urn:s|dm2&_count=3')),
    );
    const said = parallel.map(({ status, json }) =>
      status === 204 ? 0 : Number.parseInt(json.issue[0].diagnostics, 10),
    );
    t.equal(
      said.reduce((sum, n) => sum + n, 0),
      12,
      'each deletion is counted once',
    );
    t.equal(await left('dm2'), 0);
  });

  t.test('32 parallel conditional creates make one; 32 parallel If-Match updates have one winner', async (t) => {
    const body = patient({ identifier: [{ system: 'urn:s', value: 'race' }] });
    const creates = await Promise.all(
      Array.from({ length: 32 }, () => ask('POST', 'Patient', body, { 'If-None-Exist': 'identifier=urn:s|race' })),
    );
    t.equal(creates.filter(({ status }) => status === 201).length, 1);
    t.equal(creates.filter(({ status }) => status === 200).length, 31);
    t.equal(new Set(creates.map(({ json }) => json.id)).size, 1);
    await ask('PUT', 'Patient/race', patient({ id: 'race' }));
    const updates = await Promise.all(
      Array.from({ length: 32 }, () => ask('PUT', 'Patient/race', patient({ id: 'race' }), { 'If-Match': 'W/"1"' })),
    );
    t.equal(updates.filter(({ status }) => status === 200).length, 1);
    t.equal(updates.filter(({ status }) => status === 412).length, 31);
    t.equal((await ask('GET', 'Patient/race')).headers.ETag, 'W/"2"');
  });

  t.test('bad input is a 4xx that says what to do', async (t) => {
    const cases: [
      string,
      Promise<{ status: number; json: { issue: { diagnostics: string; expression?: string[] }[] } }>,
      number,
      RegExp,
    ][] = [
      ['malformed JSON', ask('POST', 'Patient', '{"resourceType":"Patient",\n "active": tru}'), 400, /line 2/],
      [
        'duplicate member',
        ask('POST', 'Patient', '{"resourceType":"Patient","active":true,"active":false}'),
        400,
        /active/,
      ],
      ['prototype', ask('POST', 'Patient', '{"resourceType":"Patient","__proto__":{"x":1}}'), 400, /__proto__/],
      ['unknown element', ask('POST', 'Patient', '{"resourceType":"Patient","actve":true}'), 400, /active/],
      ['bad date', ask('POST', 'Patient', '{"resourceType":"Patient","birthDate":"1.2.2000"}'), 400, /date|YYYY/],
      ['no body', ask('POST', 'Patient', ''), 400, /body/],
      ['unknown type', ask('GET', 'Patiant/1'), 404, /Patient/],
      ['bad id', ask('GET', 'Patient/a_b'), 404, /id/],
      ['method', ask('POST', 'Patient/1', patient()), 405, /PUT/],
      ['operation', ask('GET', 'Patient/$nothing'), 404, /operation/],
      ['percent', ask('GET', 'Patient/%zz'), 400, /%/],
    ];
    for (const [title, asked, status, says] of cases) {
      const reply = await asked;
      t.equal(reply.status, status, title);
      t.match(reply.json.issue[0]?.diagnostics, says, title);
    }
    t.equal(({} as { x?: number }).x, undefined);
  });

  t.test('capabilities name what is registered', async (t) => {
    const { json } = await ask('GET', 'metadata');
    t.equal(json.resourceType, 'CapabilityStatement');
    t.equal(json.rest[0].resource.length, 146);
    t.same(json.patchFormat, ['application/fhir+json', 'application/json-patch+json']);
    t.equal(json.rest[0].resource[0].conditionalDelete, 'multiple');
    t.ok(json.rest[0].resource[0].interaction.some(({ code }: { code: string }) => code === 'patch'));
    t.equal((await ask('GET', 'metadata?mode=terminology')).status, 400);
  });
});

// patch and conditional patch, JSON and FHIRPath, alone and in Bundles, on both stores.
// https://hl7.org/fhir/R4/http.html#patch
import t from 'tap';
import { limits } from '../../src/base/limits.ts';
import { engineOn, type Reply, type TestEngine } from '../support/engine.ts';
import { type Adapter, onBothStores, type Test } from '../support/stores.ts';

const JSON_PATCH = 'application/json-patch+json';
const FHIR_JSON = 'application/fhir+json';

const patient = (members: object = {}) => ({ resourceType: 'Patient', ...members });
const parameters = (...operations: [type: string, path: string, ...parts: object[]][]) => ({
  resourceType: 'Parameters',
  parameter: operations.map(([type, path, ...parts]) => ({
    name: 'operation',
    part: [{ name: 'type', valueCode: type }, { name: 'path', valueString: path }, ...parts],
  })),
});
const replaced = (path: string, value: object) => parameters(['replace', path, { name: 'value', ...value }]);

interface Patching {
  ask: TestEngine['ask'];
  jsonPatch(url: string, patch: unknown, headers?: Record<string, string>): Promise<Reply>;
  pathPatch(url: string, patch: unknown, headers?: Record<string, string>): Promise<Reply>;
  versions(url: string): Promise<number>;
}

async function fresh(t: Test, adapter: Adapter): Promise<Patching> {
  const { store, close } = await adapter.open();
  t.teardown(close);
  const { ask } = await engineOn(store);
  const typed =
    (contentType: string) =>
    (url: string, patch: unknown, headers: Record<string, string> = {}) =>
      ask('PATCH', url, patch, { 'Content-Type': contentType, ...headers });
  return {
    ask,
    jsonPatch: typed(JSON_PATCH),
    pathPatch: typed(`${FHIR_JSON}; charset=utf-8`),
    versions: async (url) => (await ask('GET', `${url}/_history`)).json.total,
  };
}

const says = (reply: Reply): string =>
  reply.json.issue?.map((issue: { diagnostics: string }) => issue.diagnostics).join();

t.setTimeout(120_000);
await onBothStores(t, async (t, adapter) => {
  const { ask, jsonPatch, pathPatch, versions } = await fresh(t, adapter);

  await t.test('200 with the patched resource, its version, and what is searched by', async (t) => {
    await ask('PUT', 'Patient/p1', patient({ id: 'p1', gender: 'male', name: [{ family: 'Before' }] }));
    const first = await jsonPatch('Patient/p1', [{ op: 'replace', path: '/name/0/family', value: 'After' }]);
    t.equal(first.status, 200, first.text.slice(0, 300));
    t.equal(first.headers.ETag, 'W/"2"');
    t.ok(Date.parse(first.headers['Last-Modified'] ?? ''));
    t.equal(first.json.meta.versionId, '2');
    t.equal(first.json.name[0].family, 'After');
    t.equal(first.text, (await ask('GET', 'Patient/p1')).text);
    t.equal((await ask('GET', 'Patient?family=after')).json.entry.length, 1);
    t.notOk((await ask('GET', 'Patient?family=before')).json.entry);
    const second = await pathPatch('Patient/p1', replaced('Patient.gender', { valueCode: 'female' }));
    t.equal(second.status, 200, second.text.slice(0, 300));
    t.equal(second.json.gender, 'female');
    t.equal((await ask('GET', 'Patient/p1/_history/1')).json.name[0].family, 'Before');
  });

  await t.test('what is not patched keeps its text', async (t) => {
    const text =
      '{"resourceType":"Observation","id":"dec","status":"final","code":{"text":"\\u00e9 \\/"},"valueQuantity":{"value":1.50,"unit":"mg"}}';
    await ask('PUT', 'Observation/dec', text);
    const byJson = await jsonPatch('Observation/dec', [{ op: 'replace', path: '/status', value: 'amended' }]);
    const byPath = await pathPatch('Observation/dec', replaced('Observation.status', { valueCode: 'corrected' }));
    for (const reply of [byJson, byPath]) {
      t.equal(reply.status, 200);
      t.match(reply.text, '"text":"\\u00e9 \\/"');
      t.match(reply.text, '"value":1.50,');
    }
    const decimal = '[{"op":"replace","path":"/valueQuantity/value","value":2.00}]';
    t.match((await jsonPatch('Observation/dec', decimal)).text, '"value":2.00,');
  });

  await t.test('404 for what never was, 410 for what was deleted', async (t) => {
    const patch = [{ op: 'add', path: '/active', value: true }];
    t.equal((await jsonPatch('Patient/never', patch)).status, 404);
    await ask('PUT', 'Patient/gone', patient({ id: 'gone' }));
    await ask('DELETE', 'Patient/gone');
    t.equal((await jsonPatch('Patient/gone', patch)).status, 410);
  });

  await t.test('415 names both kinds; a body that is neither is 400', async (t) => {
    await ask('PUT', 'Patient/m1', patient({ id: 'm1' }));
    for (const type of ['application/merge-patch+json', 'application/xml-patch+xml', '']) {
      const reply = await ask('PATCH', 'Patient/m1', '{}', type === '' ? {} : { 'Content-Type': type });
      t.equal(reply.status, 415, type);
      t.match(says(reply), JSON_PATCH);
      t.match(says(reply), FHIR_JSON);
    }
    t.equal((await pathPatch('Patient/m1', patient())).status, 400, 'a resource that is no Parameters');
    t.equal((await pathPatch('Patient/m1', [{ op: 'add', path: '/active', value: true }])).status, 400);
    t.equal((await pathPatch('Patient/m1', { resourceType: 'Parameters', parameter: [{ part: 1 }] })).status, 400);
    t.equal((await jsonPatch('Patient/m1', '[{"op":')).status, 400);
    t.equal((await jsonPatch('Patient/m1', '')).status, 400);
    t.equal((await jsonPatch('Patient/m1', parameters())).status, 400);
    t.equal(await versions('Patient/m1'), 1);
  });

  await t.test('422 for what cannot be applied or leaves no sound resource', async (t) => {
    await ask('PUT', 'Patient/b1', patient({ id: 'b1', gender: 'male', name: [{ family: 'x' }] }));
    const refused: [string, unknown, RegExp][] = [
      ['a place that is not there', [{ op: 'remove', path: '/telecom/0' }], /operation 0 \(remove "\/telecom\/0"\)/],
      ['a test that fails', [{ op: 'test', path: '/gender', value: 'female' }], /operation 0 \(test/],
      ['an unknown element', [{ op: 'add', path: '/actve', value: true }], /actve/],
      ['a bad date', [{ op: 'add', path: '/birthDate', value: '1.2.2000' }], /date|YYYY/],
      ['another id', [{ op: 'replace', path: '/id', value: 'b2' }], /the type or the id/],
      ['no id', [{ op: 'remove', path: '/id' }], /the type or the id/],
      ['another type', [{ op: 'replace', path: '/resourceType', value: 'Person' }], /./],
      ['no resource at all', [{ op: 'replace', path: '', value: 1 }], /./],
      ['prototypes', [{ op: 'add', path: '/__proto__', value: { x: 1 } }], /__proto__/],
    ];
    for (const [title, patch, message] of refused) {
      const reply = await jsonPatch('Patient/b1', patch);
      t.equal(reply.status, 422, title);
      t.match(says(reply), message, title);
    }
    const several = await pathPatch('Patient/b1', replaced('Patient.name.given', { valueString: 'a' }));
    t.equal(several.status, 422);
    t.same(several.json.issue[0].expression, ['Parameters.parameter[0]']);
    t.equal((await pathPatch('Patient/b1', replaced('Patient.id', { valueId: 'b2' }))).status, 422);
    t.equal((await pathPatch('Patient/b1', replaced('Patient.name[', { valueString: 'a' }))).status, 400);
    t.equal(await versions('Patient/b1'), 1, 'nothing was written');
  });

  await t.test('a patch without effect makes no version', async (t) => {
    await ask('PUT', 'Patient/s1', patient({ id: 's1', gender: 'male' }));
    const same = await jsonPatch('Patient/s1', [
      { op: 'test', path: '/gender', value: 'male' },
      { op: 'replace', path: '/gender', value: 'male' },
    ]);
    t.equal(same.status, 200);
    t.equal(same.headers.ETag, 'W/"1"');
    t.equal(same.json.gender, 'male');
    const nothing = await pathPatch('Patient/s1', parameters(['delete', 'Patient.birthDate']), {
      Prefer: 'return=minimal',
    });
    t.equal(nothing.status, 200);
    t.equal(nothing.text, '');
    t.equal(await versions('Patient/s1'), 1);
  });

  await t.test('Prefer', async (t) => {
    await ask('PUT', 'Patient/f1', patient({ id: 'f1' }));
    const minimal = await jsonPatch('Patient/f1', [{ op: 'add', path: '/active', value: true }], {
      Prefer: 'return=minimal',
    });
    t.equal(minimal.text, '');
    t.equal(minimal.headers.ETag, 'W/"2"');
    const outcome = await jsonPatch('Patient/f1', [{ op: 'remove', path: '/active' }], {
      Prefer: 'return=OperationOutcome',
    });
    t.equal(outcome.json.resourceType, 'OperationOutcome');
    t.match(says(outcome), /version 3/);
  });

  await t.test('If-Match: 412 for another version', async (t) => {
    await ask('PUT', 'Patient/i1', patient({ id: 'i1' }));
    const patch = [{ op: 'add', path: '/active', value: true }];
    t.equal((await jsonPatch('Patient/i1', patch, { 'If-Match': 'W/"2"' })).status, 412);
    t.equal((await jsonPatch('Patient/i1', patch, { 'If-Match': 'nonsense' })).status, 400);
    t.equal((await jsonPatch('Patient/i1', patch, { 'If-Match': 'W/"1"' })).status, 200);
    t.equal((await jsonPatch('Patient/i1', patch, { 'If-Match': 'W/"1"' })).status, 412);
  });

  await t.test('32 parallel patches all take effect; of 32 with If-Match, one', async (t) => {
    await ask('PUT', 'Patient/r1', patient({ id: 'r1', name: [{ family: 'x' }] }));
    const numbers = Array.from({ length: 32 }, (_, i) => String(i));
    const added = await Promise.all(
      numbers.map((i) =>
        Number(i) % 2 === 0
          ? jsonPatch('Patient/r1', [{ op: 'add', path: '/name/-', value: { family: i } }])
          : pathPatch(
              'Patient/r1',
              parameters([
                'add',
                'Patient',
                { name: 'name', valueString: 'name' },
                { name: 'value', valueHumanName: { family: i } },
              ]),
            ),
      ),
    );
    t.same([...new Set(added.map(({ status }) => status))], [200]);
    const { json } = await ask('GET', 'Patient/r1');
    t.same(json.name.map((name: { family: string }) => name.family).sort(), ['x', ...numbers].sort());
    t.equal(json.meta.versionId, '33');
    const tagged = await Promise.all(
      numbers.map((i) =>
        jsonPatch('Patient/r1', [{ op: 'add', path: '/birthDate', value: `19${i.padStart(2, '0')}` }], {
          'If-Match': 'W/"33"',
        }),
      ),
    );
    t.equal(tagged.filter(({ status }) => status === 200).length, 1);
    t.equal(tagged.filter(({ status }) => status === 412).length, 31);
  });

  await t.test('conditional patch: one match is patched, none is 404, several or no criteria 412', async (t) => {
    const identified = (value: string) => patient({ identifier: [{ system: 'urn:s', value }] });
    const { json } = await ask('POST', 'Patient', identified('cp1'));
    const patch = [{ op: 'add', path: '/active', value: true }];
    const patched = await jsonPatch('Patient?identifier=urn:s|cp1', patch);
    t.equal(patched.status, 200, patched.text.slice(0, 300));
    t.equal(patched.json.id, json.id);
    t.equal(patched.json.active, true);
    t.equal(
      (await pathPatch('Patient?identifier=urn:s|cp1', replaced('Patient.active', { valueBoolean: false }))).json
        .active,
      false,
    );
    t.equal((await jsonPatch('Patient?identifier=urn:s|none', patch)).status, 404);
    await ask('POST', 'Patient', identified('cp1'));
    t.equal((await jsonPatch('Patient?identifier=urn:s|cp1', patch)).status, 412);
    t.equal((await jsonPatch('Patient', patch)).status, 412);
    t.equal((await jsonPatch('Patient?identfier=x', patch)).status, 400, 'a misspelt condition');
  });

  await t.test('threat 23: a costly expression is 422 and does not hold the server for long', async (t) => {
    await ask('PUT', 'Patient/x1', patient({ id: 'x1', name: [{ family: 'x' }] }));
    const slow = replaced(`Patient.name.where('${'a'.repeat(60)}b'.matches('(a+)+$')).family`, { valueString: 'y' });
    const start = performance.now();
    const reply = await pathPatch('Patient/x1', slow);
    t.equal(reply.status, 422);
    t.equal(reply.json.issue[0].code, 'too-costly');
    t.ok(performance.now() - start < 4 * limits.pathBudgetMs);
  });
});

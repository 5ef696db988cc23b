// Halves of surrogate pairs, which JSON may carry anywhere and no encoding of text can: whatever takes them, in names,
// values and content, answers with what FHIR has for it.
import t from 'tap';
import { operations } from '../../src/fhir/operations/table.ts';
import { loadDefinitions } from '../../src/model/definitions.ts';
import { engineOn } from '../support/engine.ts';
import { onBothStores } from '../support/stores.ts';

const halves = ['\ud800', 'x\udfffy', '\udc00\ud800'];
const json = { 'content-type': 'application/fhir+json' };
const definitions = loadDefinitions();

/** Parameters that operations take besides those that they list: what a search of Observation takes. */
const searched = ['patient', 'subject', 'code', 'category', 'date', '_lastUpdated', '_include', '_filter', '_id'];
const valueNames = ['valueString', 'valueCode', 'valueUri', 'valueReference', 'valueCoding', 'valuePeriod'];

function withHalf(half: string, valueName: string): unknown {
  if (valueName === 'valueReference') return { reference: `Patient/${half}` };
  if (valueName === 'valueCoding') return { system: half, code: half };
  return valueName === 'valuePeriod' ? { start: half } : half;
}

await onBothStores(t, async (t, adapter) => {
  const { store, close } = await adapter.open();
  t.teardown(close);
  const { ask } = await engineOn(store);
  await ask('PUT', 'Patient/p', { resourceType: 'Patient', id: 'p', name: [{ family: 'Known' }] });

  await t.test('as names and values of what operations take', async (t) => {
    for (const { code, system, types, instances, parameters = searched } of operations) {
      const type = types === 'all' ? 'Observation' : types?.[0];
      const instance = instances === 'all' ? 'Patient' : instances?.[0];
      const paths = [
        ...(system === true ? [`$${code}`] : []),
        ...(type === undefined ? [] : [`${type}/$${code}`]),
        ...(instance === undefined ? [] : [`${instance}/p/$${code}`]),
      ];
      const given = [
        { name: 'patient', valueString: 'Patient/p' },
        { name: 'code', valueString: 'x' },
        { name: 'statistic', valueString: 'count' },
      ];
      for (const half of halves) {
        const asked = [...parameters, ...searched].flatMap((name) =>
          valueNames.map((valueName) => [
            ...given.filter((one) => one.name !== name),
            { name, [valueName]: withHalf(half, valueName) },
          ]),
        );
        asked.push([...given, { name: half, valueString: 'x' }]);
        for (const path of paths) {
          for (const parameter of asked) {
            const { status } = await ask('POST', path, { resourceType: 'Parameters', parameter }, json);
            if (status >= 500) t.fail(`${path}: ${status} for ${JSON.stringify(parameter)}`);
          }
        }
      }
    }
    t.pass('were answered');
  });

  await t.test('within a query of GraphQL', async (t) => {
    const queries = [
      'query($x: String){PatientList(_filter: $x){id}}',
      'query($x: [String]){PatientList(name: $x){id}}',
      'query($x: String){PatientConnection(_cursor: $x){count}}',
      'query($x: String){PatientList(fhirpath: $x){id}}',
    ];
    for (const half of halves) {
      for (const query of queries) {
        const body = JSON.stringify({ query, variables: { x: half } });
        const { status } = await ask('POST', '$graphql', body, { 'content-type': 'application/json' });
        t.ok(status < 500, `${status} ${query}`);
      }
    }
  });

  await t.test('within content, which is found by what they stand in', async (t) => {
    for (const [at, half] of halves.entries()) {
      const text = `Half${at}${half}`;
      const patient = {
        resourceType: 'Patient',
        id: `h${at}`,
        meta: { tag: [{ system: `urn:${half}`, code: text }], profile: [`http://example.org/${text}`] },
        text: { status: 'generated', div: `<div xmlns="http://www.w3.org/1999/xhtml">${text}</div>` },
        identifier: [{ system: `urn:${half}`, value: text }],
        name: [{ family: text }],
        telecom: [{ system: 'phone', value: text }],
        managingOrganization: { display: text },
        contact: [{ name: { text } }],
      };
      const written = await ask('PUT', `Patient/h${at}`, patient, json);
      t.ok(written.status === 201 || written.status === 400 || written.status === 422, `${written.status}`);
      if (written.status !== 201) continue;
      t.match((await ask('GET', `Patient?name=half${at}`)).json, { total: 1 });
      t.equal((await ask('GET', `Patient/h${at}/$everything`)).status, 200);
      t.ok((await ask('GET', `Patient/h${at}/$meta`)).status < 500);
      for (const { code } of definitions.searchParameters('Patient').values()) {
        const { status } = await ask('GET', `Patient?_sort=${code}&_count=1`);
        t.ok(status < 500, `_sort=${code}: ${status}`);
      }
    }
  });

  await t.test('within conditions and entries of Bundles', async (t) => {
    for (const half of halves) {
      for (const type of ['batch', 'transaction']) {
        const resource = { resourceType: 'Patient', name: [{ family: half }] };
        const entry = [
          { fullUrl: `urn:uuid:${half}`, resource, request: { method: 'POST', url: 'Patient', ifNoneExist: half } },
          { resource, request: { method: 'PUT', url: `Patient?identifier=${half}` } },
          { request: { method: 'DELETE', url: `Patient/${half}` } },
          { request: { method: 'GET', url: `Patient?name=${half}&${half}=1`, ifMatch: half } },
        ];
        for (const one of entry) {
          const { status } = await ask('POST', '', { resourceType: 'Bundle', type, entry: [one] }, json);
          t.ok(status < 500, `${type}: ${status}`);
        }
      }
    }
  });
});

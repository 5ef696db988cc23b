// FHIRPath of clients, however costly: the answer says so, other requests go on meanwhile, and the next one is answered.
import t from 'tap';
import { limits } from '../../src/base/limits.ts';
import { engineOn } from '../support/engine.ts';
import { watchStalls } from '../support/stalls.ts';
import { onBothStores } from '../support/stores.ts';

/** Processor time of the main thread in one go, ms. */
const STALL_MS_MAX = 100;
const json = { 'content-type': 'application/fhir+json' };

/** Each in its own way too much for the time, the memory or the text of one evaluation; all of them are FHIRPath. */
const costly: Record<string, string> = {
  'a product of all with all': 'descendants().select(%resource.descendants()).select(%resource.descendants()).exists()',
  'a sum without end': 'repeat($this.name | %resource).select(%resource.descendants()).combine(descendants()).exists()',
  'a text that doubles': `iif(true, 'a')${'.select($this & $this)'.repeat(40)}.exists()`,
  'a regular expression': "('a' & 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!').matches('(a+)+$')",
  'many steps': `${'descendants().exists() and '.repeat(150)}descendants().exists()`,
  'many brackets': `${'('.repeat(600)}active${')'.repeat(600)}`,
  'the longest that is read': `${'active.not().not() and '.repeat(170)}active`.slice(0, 3_900),
};

const view = (path: string) => ({
  resourceType: 'ViewDefinition',
  resource: 'Patient',
  select: [{ column: [{ name: 'found', path, type: 'boolean' }] }],
});
const run = (path: string, resources: readonly object[] = []) => ({
  resourceType: 'Parameters',
  parameter: [
    { name: 'viewResource', resource: view(path) },
    ...resources.map((resource) => ({ name: 'resource', resource })),
  ],
});
const graphql = (selection: string, path: string) => ({
  query: `query($path: String!){${selection}}`,
  variables: { path },
});
const patchOf = (path: string) => ({
  resourceType: 'Parameters',
  parameter: [
    {
      name: 'operation',
      part: [
        { name: 'type', valueCode: 'delete' },
        { name: 'path', valueString: path },
      ],
    },
  ],
});

t.setTimeout(0);
await onBothStores(t, async (t, adapter) => {
  const { store, close } = await adapter.open();
  t.teardown(close);
  const { ask } = await engineOn(store);
  const names = Array.from({ length: 200 }, (_, at) => ({ family: `Family${at}`, given: ['A', 'B', 'C'] }));
  const wide = { resourceType: 'Patient', active: true, name: names };
  for (let at = 0; at < 5; at++) await ask('PUT', `Patient/p${at}`, { ...wide, id: `p${at}` });
  // Threads and statements that the first request starts are no stall of the ones after it.
  t.equal((await ask('POST', 'ViewDefinition/$run?_format=json', run('active'), json)).status, 200);
  await ask('PATCH', 'Patient/p0', patchOf('name.where(false)'), json);
  t.equal((await ask('POST', '$graphql', graphql('PatientList(fhirpath: $path){id}', 'active'), json)).status, 200);
  const stalls = watchStalls();
  t.teardown(() => stalls.stop());

  for (const [name, path] of Object.entries(costly)) {
    await t.test(`threats 22, 23: ${name}`, async (t) => {
      stalls.worstMs();
      const asked = {
        'a view of what is stored': ask('POST', 'ViewDefinition/$run?_format=json', run(path), json),
        'a view of what is sent': ask('POST', 'ViewDefinition/$run?_format=json', run(path, [wide]), json),
        'a patch': ask('PATCH', 'Patient/p1', patchOf(`name.where(${path})`), json),
        'a patch in a transaction': ask('POST', '', {
          resourceType: 'Bundle',
          type: 'transaction',
          entry: [{ request: { method: 'PATCH', url: 'Patient/p2' }, resource: patchOf(`name.where(${path})`) }],
        }),
        'a list of GraphQL': ask('POST', '$graphql', graphql('PatientList(fhirpath: $path){id}', path), json),
        'an element of GraphQL': ask(
          'POST',
          '$graphql',
          graphql('PatientList{name(fhirpath: $path){family}}', path),
          json,
        ),
        'a slice of GraphQL': ask(
          'POST',
          '$graphql',
          graphql('PatientList{name @slice(path: $path){given}}', path),
          json,
        ),
      };
      for (const [kind, reply] of Object.entries(asked)) {
        const { status, text } = await reply;
        t.ok(status === 200 || status === 400 || status === 422, `${kind}: ${status}`);
        if (status === 200) continue;
        t.match(text, /"diagnostics":"\S/, 'it is said why');
        t.notMatch(text, 'Family', 'nothing of the content is told');
      }
      const worst = stalls.worstMs();
      t.ok(worst < STALL_MS_MAX, `held for ${Math.round(worst)} ms`);
    });
  }

  await t.test('threat 23: others are answered meanwhile, and afterwards', async (t) => {
    const slow = Array.from({ length: 4 }, () =>
      ask('POST', 'ViewDefinition/$run?_format=json', run(costly['a product of all with all'] ?? ''), json),
    );
    const start = performance.now();
    t.equal((await ask('GET', 'Patient/p3')).status, 200);
    t.ok(performance.now() - start < limits.pathBudgetMs, 'a read does not wait for them');
    await Promise.all(slow);
    t.equal((await ask('POST', 'ViewDefinition/$run?_format=json', run('active'), json)).json.length, 5);
  });
});

// Prefer: dry-run, on both stores: each request is rehearsed, then done; both must be answered alike, and the rehearsal
// must have left nothing behind.
import t from 'tap';
import type { Store } from '../../src/store/store.ts';
import { engineOn, type Reply, type TestEngine } from '../support/engine.ts';
import { onBothStores, type Test } from '../support/stores.ts';

const JSON_PATCH = { 'Content-Type': 'application/json-patch+json' };

const patient = (members: object = {}) => ({ resourceType: 'Patient', ...members });
const named = (value: string, members: object = {}) =>
  patient({ identifier: [{ system: 'urn:s', value }], ...members });
const parameters = (...coding: string[]) => ({
  resourceType: 'Parameters',
  parameter: [{ name: 'meta', valueMeta: { tag: coding.map((code) => ({ system: 'urn:t', code })) } }],
});
const bundle = (type: string, ...entry: object[]) => ({ resourceType: 'Bundle', type, entry });
const entry = (method: string, url: string, resource?: object, more: object = {}) => ({
  ...(resource === undefined ? {} : { resource }),
  request: { method, url, ...more },
});

interface Asked {
  title: string;
  status: number;
  method: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  url: string;
  body?: unknown;
  headers?: Record<string, string>;
  /** Although it succeeds. */
  changesNothing?: true;
}

const requests: Asked[] = [
  { title: 'create', status: 201, method: 'POST', url: 'Patient', body: named('new') },
  { title: 'create of what is not sound', status: 400, method: 'POST', url: 'Patient', body: patient({ colour: 1 }) },
  {
    title: 'create where none exists',
    status: 201,
    method: 'POST',
    url: 'Patient',
    body: named('b'),
    headers: { 'If-None-Exist': 'identifier=urn:s|b' },
  },
  {
    changesNothing: true,
    title: 'create where one exists',
    status: 200,
    method: 'POST',
    url: 'Patient',
    body: named('one'),
    headers: { 'If-None-Exist': 'identifier=urn:s|one' },
  },
  {
    title: 'create where several exist',
    status: 412,
    method: 'POST',
    url: 'Patient',
    body: named('two'),
    headers: { 'If-None-Exist': 'identifier=urn:s|two' },
  },
  { title: 'update that creates', status: 201, method: 'PUT', url: 'Patient/fresh', body: patient({ id: 'fresh' }) },
  { title: 'update', status: 200, method: 'PUT', url: 'Patient/p1', body: named('one', { id: 'p1', gender: 'male' }) },
  {
    title: 'update of another version',
    status: 412,
    method: 'PUT',
    url: 'Patient/p1',
    body: patient({ id: 'p1' }),
    headers: { 'If-Match': 'W/"7"' },
  },
  {
    title: 'update that would only create',
    status: 412,
    method: 'PUT',
    url: 'Patient/p1',
    body: patient({ id: 'p1' }),
    headers: { 'If-None-Match': '*' },
  },
  { title: 'update that brings back', status: 201, method: 'PUT', url: 'Patient/gone', body: patient({ id: 'gone' }) },
  { title: 'update with another id', status: 400, method: 'PUT', url: 'Patient/p1', body: patient({ id: 'p2' }) },
  {
    title: 'conditional update',
    status: 200,
    method: 'PUT',
    url: 'Patient?identifier=urn:s|one',
    body: named('one', { active: true }),
  },
  {
    title: 'conditional update that creates',
    status: 201,
    method: 'PUT',
    url: 'Patient?identifier=urn:s|c',
    body: named('c'),
  },
  {
    title: 'conditional update of several',
    status: 412,
    method: 'PUT',
    url: 'Patient?identifier=urn:s|two',
    body: named('two'),
  },
  {
    title: 'patch',
    status: 200,
    method: 'PATCH',
    url: 'Patient/p1',
    body: [{ op: 'add', path: '/deceasedBoolean', value: false }],
    headers: JSON_PATCH,
  },
  {
    changesNothing: true,
    title: 'patch without effect',
    status: 200,
    method: 'PATCH',
    url: 'Patient/p2',
    body: [{ op: 'test', path: '/id', value: 'p2' }],
    headers: JSON_PATCH,
  },
  {
    title: 'patch that fails',
    status: 422,
    method: 'PATCH',
    url: 'Patient/p1',
    body: [{ op: 'remove', path: '/telecom' }],
    headers: JSON_PATCH,
  },
  {
    title: 'patch of another version',
    status: 412,
    method: 'PATCH',
    url: 'Patient/p1',
    body: [{ op: 'add', path: '/active', value: true }],
    headers: { ...JSON_PATCH, 'If-Match': 'W/"9"' },
  },
  {
    title: 'patch of what is not there',
    status: 404,
    method: 'PATCH',
    url: 'Patient/never',
    body: [{ op: 'add', path: '/active', value: true }],
    headers: JSON_PATCH,
  },
  {
    title: 'conditional patch',
    status: 200,
    method: 'PATCH',
    url: 'Patient?identifier=urn:s|one',
    body: [{ op: 'add', path: '/language', value: 'de' }],
    headers: JSON_PATCH,
  },
  { title: '$meta-add', status: 200, method: 'POST', url: 'Patient/p1/$meta-add', body: parameters('x', 'y') },
  { title: '$meta-delete', status: 200, method: 'POST', url: 'Patient/p2/$meta-delete', body: parameters('kept') },
  {
    title: 'a reference to nothing',
    status: 422,
    method: 'PUT',
    url: 'Patient/r',
    body: patient({ id: 'r', managingOrganization: { reference: 'Organization/no' } }),
  },
  {
    title: 'batch',
    status: 200,
    method: 'POST',
    url: '',
    body: bundle(
      'batch',
      entry('POST', 'Patient', named('d')),
      entry('PUT', 'Patient/p1', patient({ id: 'p2' })),
      entry('DELETE', 'Patient/p3'),
      entry('PUT', 'Patient/seen', patient({ id: 'seen', active: true })),
      entry('GET', 'Patient/seen'),
    ),
  },
  {
    title: 'transaction',
    status: 200,
    method: 'POST',
    url: '',
    body: bundle(
      'transaction',
      {
        fullUrl: 'urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a',
        ...entry('PUT', 'Patient/made', patient({ id: 'made' })),
      },
      entry('PUT', 'Observation/of', {
        resourceType: 'Observation',
        id: 'of',
        status: 'final',
        code: { text: 'x' },
        subject: { reference: 'urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a' },
      }),
      entry('POST', 'Patient', named('one'), { ifNoneExist: 'identifier=urn:s|one' }),
      entry('DELETE', 'Patient/p4'),
      entry('GET', 'Observation/of'),
      entry('GET', 'Patient/p2'),
    ),
  },
  {
    title: 'transaction of which one entry fails',
    status: 412,
    method: 'POST',
    url: '',
    body: bundle(
      'transaction',
      entry('POST', 'Patient', named('e')),
      entry('PUT', 'Patient/p1', patient({ id: 'p1' }), { ifMatch: 'W/"99"' }),
    ),
  },
  {
    title: 'transaction that reads what it deletes',
    status: 410,
    method: 'POST',
    url: '',
    body: bundle('transaction', entry('DELETE', 'Patient/p2'), entry('GET', 'Patient/p2')),
  },
  {
    title: 'delete of another version',
    status: 412,
    method: 'DELETE',
    url: 'Patient/p1',
    headers: { 'If-Match': 'W/"1000"' },
  },
  { title: 'delete', status: 204, method: 'DELETE', url: 'Patient/p2' },
  { changesNothing: true, title: 'delete of what is not there', status: 204, method: 'DELETE', url: 'Patient/never' },
  { title: 'conditional delete of several', status: 412, method: 'DELETE', url: 'Patient?identifier=urn:s|two' },
  { title: 'conditional delete of one', status: 204, method: 'DELETE', url: 'Patient?identifier=urn:s|one' },
  {
    changesNothing: true,
    title: 'conditional delete of none',
    status: 204,
    method: 'DELETE',
    url: 'Patient?identifier=urn:s|none',
  },
  { title: 'delete of many', status: 200, method: 'DELETE', url: 'Patient?identifier=urn:s|two&_count=10' },
];

/** Everything that a write could have left. */
async function traces(ask: TestEngine['ask'], store: Store): Promise<unknown> {
  const history = await ask('GET', '_history?_count=500');
  const found = await ask('GET', '?_type=Patient,Observation&_count=500');
  return {
    history: history.json.entry.map((one: { fullUrl: string; response: object }) => [one.fullUrl, one.response]),
    found: found.json.entry.map((one: { fullUrl: string }) => one.fullUrl).sort(),
    changes: (await store.outbox.after('', 1_000)).map(({ type, id, version }) => `${type}/${id}/${version}`),
    live: [...(await store.stats())],
  };
}

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g;
const INSTANT = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g;

/** An answer without what no two requests have in common: ids made by the server, and times. */
function comparable({ status, headers, text }: Reply): unknown {
  const { 'Last-Modified': modified, 'Preference-Applied': _, Location, ...others } = headers;
  return {
    status,
    headers: { ...others, Location: Location?.replace(UUID, 'ID'), hasDate: modified !== undefined },
    text: text.replace(UUID, 'ID').replace(INSTANT, 'NOW'),
  };
}

async function filled(t: Test, ask: TestEngine['ask']): Promise<void> {
  for (const [id, value] of [
    ['p1', 'one'],
    ['p2', 'x'],
    ['p3', 'two'],
    ['p4', 'two'],
    ['p5', 'two'],
    ['p6', 'two'],
    ['gone', 'gone'],
  ] as const) {
    const meta = { tag: [{ system: 'urn:t', code: 'kept' }] };
    t.equal((await ask('PUT', `Patient/${id}`, named(value, { id, meta }))).status, 201);
  }
  await ask('DELETE', 'Patient/gone');
}

t.setTimeout(60_000);
await onBothStores(t, async (t, adapter) => {
  const { store, close } = await adapter.open();
  t.teardown(close);
  const { ask } = await engineOn(store, { checkReferences: true });
  await filled(t, ask);

  for (const { title, status, method, url, body, headers, changesNothing } of requests) {
    await t.test(title, async (t) => {
      const before = await traces(ask, store);
      const [dry] = await Promise.all(
        ['return=representation', 'return=minimal', 'return=OperationOutcome'].map(async (prefer) => {
          const reply = await ask(method, url, body, { ...headers, Prefer: `${prefer}, dry-run` });
          t.equal(reply.status, status, reply.text.slice(0, 300));
          if (status < 400) t.equal(reply.headers['Preference-Applied'], 'dry-run');
          return reply;
        }),
      );
      t.same(await traces(ask, store), before, 'it leaves nothing behind');
      const real = await ask(method, url, body, { ...headers, Prefer: 'return=representation' });
      t.same(comparable(dry as Reply), comparable(real), 'it is answered as if it were done');
      const isChanged = JSON.stringify(await traces(ask, store)) !== JSON.stringify(before);
      t.equal(isChanged, status < 300 && changesNothing !== true, 'and then it is done');
    });
  }

  await t.test('what is only read is answered as ever', async (t) => {
    const plain = await ask('GET', 'Patient');
    const dry = await ask('GET', 'Patient', undefined, { Prefer: 'dry-run' });
    t.equal(dry.text, plain.text);
    t.equal((await ask('GET', 'Patient/never', undefined, { Prefer: 'dry-run' })).status, 404);
  });

  await t.test('many rehearsals and writes at once do not disturb each other', async (t) => {
    await ask('PUT', 'Patient/busy', patient({ id: 'busy' }));
    const replies = await Promise.all(
      Array.from({ length: 40 }, (_, at) =>
        ask(
          'PUT',
          'Patient/busy',
          patient({ id: 'busy', active: at % 2 === 0 }),
          at % 2 === 0 ? {} : { Prefer: 'dry-run' },
        ),
      ),
    );
    t.same([...new Set(replies.map(({ status }) => status))], [200]);
    t.equal((await ask('GET', 'Patient/busy')).json.meta.versionId, '21');
    t.equal((await ask('GET', 'Patient/busy')).json.active, true);
  });
});

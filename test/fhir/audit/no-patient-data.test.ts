// A made-up patient goes through the whole app, in every way that a request can go right or wrong; nothing of that
// patient may be left in a log line, a metric, or an error text that did not come from the request's own address.
import t from 'tap';
import { createApp } from '../../../src/app.ts';
import { createLog } from '../../../src/base/log.ts';
import { readConfig } from '../../../src/config.ts';
import type { Store } from '../../../src/store/store.ts';
import { type Adapter, onBothStores, type Test } from '../../support/stores.ts';

/** Whatever belongs to the patient has this word in it. */
const CANARY = /canary/i;

const patient = {
  resourceType: 'Patient',
  id: 'canary-1',
  text: { status: 'generated', div: '<div xmlns="http://www.w3.org/1999/xhtml">Canary Birdsong</div>' },
  identifier: [{ system: 'http://hospital.example/mrn', value: 'CANARY-MRN-1' }],
  name: [{ family: 'Canarybird', given: ['Canarina'] }],
  telecom: [{ system: 'email', value: 'canary@mail.example' }],
  address: [{ line: ['1 Canary Lane'], city: 'Canaryville' }],
  birthDate: '1931-07-23',
};
const observation = {
  resourceType: 'Observation',
  status: 'final',
  code: { text: 'canarylevel' },
  subject: { reference: 'Patient/canary-1', display: 'Canarina Canarybird' },
  valueString: 'canary positive',
};

interface Sent {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'PATCH';
  url: string;
  body?: unknown;
  type?: string;
  headers?: Record<string, string>;
}

const get = (url: string): Sent => ({ method: 'GET', url });
const post = (url: string, body: unknown, more: Partial<Sent> = {}): Sent => ({ method: 'POST', url, body, ...more });
const bundle = (type: string, ...entry: object[]) => ({ resourceType: 'Bundle', type, entry });
const FORM = 'application/x-www-form-urlencoded';

const requests: readonly Sent[] = [
  { method: 'PUT', url: 'Patient/canary-1', body: patient },
  { method: 'PUT', url: 'Patient/canary-2', body: { ...patient, id: 'canary-2' } },
  post('Observation', observation),
  ...[
    'Patient/canary-1',
    'Patient/canary-1/_history',
    'Patient/canary-1/_history/9',
    'Patient/canary-absent',
    'Patient/canary%zz',
    'Patient/canary_not_an_id',
    'Canary/1',
    'Patient/canary-1/$canary',
    'Patient/canary-1/canary',
    'Patient?name=canarybird&_summary=count',
    'Patient?name=canarybird&_include=Patient:organization&_revinclude=Observation:subject',
    'Patient?birthdate=canary',
    'Patient?canary=1',
    'Patient?name:canary=1',
    'Patient?_count=canary',
    'Patient?_page=canary',
    'Patient?_sort=canary',
    'Patient?_filter=canary eq eq',
    'Patient?name=%zz-canary',
    'Observation?subject=Patient/canary-1&_elements=status',
    'Observation?value-quantity=canary',
    'Observation?code:in=http://canary.example/vs',
    'Patient/canary-1/$everything',
    'Patient/canary-1/$everything?start=canary',
    'Patient/canary-1/$graphql?query={name{family}}',
    'Patient/canary-1/$graphql?query={canary}',
    'AuditEvent?patient=canary-1',
    'AuditEvent?date=canary',
    'metadata?mode=canary',
  ].map(get),
  post('Patient/_search', 'name=canarybird', { type: FORM }),
  post('Patient/_search', 'birthdate=canary', { type: FORM }),
  post('Patient', '{"resourceType":"Patient","name":"canary'),
  post('Patient', { ...patient, gender: 'canary' }),
  post('Patient', { ...patient, birthDate: 'canary' }),
  post('Patient', { ...patient, nonsense: 'canary' }),
  post('Observation', patient),
  post('Patient', '<Patient xmlns="http://hl7.org/fhir"><name><family value="canary"/></nam></Patient>', {
    type: 'application/fhir+xml',
  }),
  post('Patient', '<Patient xmlns="http://hl7.org/fhir"><nonsense value="canary"/></Patient>', {
    type: 'application/fhir+xml',
  }),
  post('Patient', patient, { type: 'text/nonsense' }),
  post('Patient', patient, { headers: { 'if-none-exist': 'name=canarybird' } }),
  { method: 'PUT', url: 'Patient/canary-1', body: patient, headers: { 'if-match': 'W/"99"' } },
  { method: 'PUT', url: 'Patient/canary-1', body: patient, headers: { 'if-match': 'canary' } },
  { method: 'PUT', url: 'Patient/canary-3', body: patient },
  {
    method: 'PATCH',
    url: 'Patient/canary-1',
    body: [{ op: 'test', path: '/name/0/family', value: 'not-canary' }],
    type: 'application/json-patch+json',
  },
  {
    method: 'PATCH',
    url: 'Patient/canary-1',
    body: [{ op: 'replace', path: '/canary', value: 1 }],
    type: 'application/json-patch+json',
  },
  post('', bundle('transaction', { request: { method: 'PUT', url: 'Patient/canary-9' }, resource: patient })),
  post('', bundle('transaction', { request: { method: 'GET', url: 'Patient?birthdate=canary' } })),
  post(
    '',
    bundle(
      'batch',
      { request: { method: 'GET', url: 'Patient/canary-1' } },
      { request: { method: 'PUT', url: 'Patient/canary-9' }, resource: patient },
    ),
  ),
  post('', bundle('canary')),
  post('Patient/$canary', patient),
  post('$graphql', { query: '{ Patient(id: "canary-1") { nonsense } }' }, { type: 'application/json' }),
  { method: 'DELETE', url: 'Patient?name=canarybird' },
  { method: 'DELETE', url: 'Patient/canary-2' },
  get('Patient/canary-2'),
];

/** What an error may repeat: the words of its own request's line, which the client has before its eyes. */
function repeated({ url, headers = {} }: Sent): string[] {
  const text = [decoded(url), ...Object.values(headers)].join(' ');
  return [...text.matchAll(/[\w-]*canary[\w-]*/gi)].map(([word]) => word.toLowerCase());
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function appOn(store: Store) {
  const lines: string[] = [];
  const log = createLog({ level: 'trace', destination: { write: (line) => lines.push(line) } });
  const config = readConfig({ CARELOOM_AUTH: 'off', CARELOOM_AUDIT: 'on', CARELOOM_TIME_ZONE: 'UTC' });
  const app = await createApp(config, { store, log });
  const server = await app.server();
  const ask = async ({ method, url, body, type = 'application/fhir+json', headers = {} }: Sent) => {
    const payload = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
    const reply = await server.inject({
      method,
      url: url.startsWith('/') ? url : `/fhir/${url}`,
      headers: { ...(payload === undefined ? {} : { 'content-type': type }), ...headers },
      ...(payload === undefined ? {} : { payload }),
    });
    return { status: reply.statusCode, text: reply.payload };
  };
  return { ask, lines };
}

t.test('threat 33: nor where the server fails, whatever the failure says', async (t) => {
  const { sqlite } = await import('../../support/stores.ts');
  const { store, close } = await sqlite.open();
  t.teardown(close);
  let fails = false;
  const failing = new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (fails && (name === 'read' || name === 'search' || name === 'commit')) {
        return async () => {
          throw new TypeError('cannot read Canarina Canarybird', { cause: new Error('duplicate key canary-1') });
        };
      }
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const { ask, lines } = await appOn(failing);
  fails = true;
  for (const sent of [get('Patient/1'), get('Patient?name=x'), post('Patient', patient)]) {
    const { status, text } = await ask(sent);
    t.equal(status, 500);
    t.notMatch(text, CANARY);
  }
  t.ok(lines.some((line) => line.includes('"level":"error"')));
  for (const line of lines) t.notMatch(line, CANARY);
});

const cases: Record<string, (t: Test, adapter: Adapter) => Promise<void>> = {
  'threat 33: a patient is in no log line, metric or error text': async (t, adapter) => {
    const { store, close } = await adapter.open();
    t.teardown(close);
    const { ask, lines } = await appOn(store);
    let failures = 0;
    for (const sent of requests) {
      const { status, text } = await ask(sent);
      t.ok(status < 500, `${status} ${sent.method} ${sent.url}`);
      if (status < 400) continue;
      failures += 1;
      const own = repeated(sent);
      const told = [...text.matchAll(/[\w-]*canary[\w-]*/gi)].map(([word]) => word.toLowerCase());
      t.same(
        told.filter((word) => !own.some((one) => one.includes(word))),
        [],
        `${status} ${sent.method} ${sent.url}: ${text.slice(0, 300)}`,
      );
    }
    t.ok(failures > 25, `${failures} failures`);
    t.ok(lines.length >= requests.length, `${lines.length} lines logged`);
    for (const line of lines) t.notMatch(line, CANARY);
    t.notMatch((await ask(get('/metrics'))).text, CANARY);
    t.notMatch((await ask(get('/health'))).text, CANARY);
  },
};

t.test('on both stores', (t) =>
  onBothStores(t, async (t: Test, adapter) => {
    for (const [title, run] of Object.entries(cases)) await t.test(title, (t: Test) => run(t, adapter));
  }),
);

// What scopes, roles and the other facts of a principal come to: tables of truth, and what becomes of each fact's absence.
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { publicCaller } from '../../../src/fhir/access/callers.ts';
import { roles } from '../../../src/fhir/access/roles.ts';
import { PERMISSIONS, type Principal } from '../../../src/fhir/caller.ts';
import { onBothStores } from '../../support/stores.ts';
import {
  clinician,
  clinicianFor,
  clinicianOfAll,
  observation,
  patientA,
  practice,
  RESTRICTED,
  scope,
  userOf,
} from './setting.ts';

t.setTimeout(300_000);

/** Of each role, what it may do with some resources of a type, if the token lets it do everything. */
const TRUTH: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  clinician: row('crus', 'cruds', 'cruds', 'cruds', 'rs', '', 'rs', 'cruds'),
  'clinician-all': row('crus', 'cruds', 'cruds', 'cruds', 'rs', '', 'rs', 'cruds'),
  'front-desk': row('crus', '', 'rs', 'crus', '', '', 'rs', 'rs'),
  biller: row('rs', '', 'rs', '', 'crus', '', 'rs', 'rs'),
  patient: row('rs', 'rs', 'rs', 'crs', 'rs', '', 'rs', 'rs'),
  proxy: row('rs', 'rs', 'rs', 'crs', 'rs', '', 'rs', 'rs'),
  administrator: row('', '', '', '', '', '', 'cruds', 'cruds'),
  lab: row('rs', 'crus', '', '', '', '', 'rs', 'crus'),
  pharmacy: row('rs', '', '', '', '', '', 'rs', 'rs'),
  'privacy-officer': row('', '', '', '', '', 'rs', 'rs', 'rs'),
};

function row(...can: string[]): Record<string, string> {
  const types = ['Patient', 'Observation', 'Encounter', 'Appointment', 'Claim', 'AuditEvent', 'Practitioner', 'Binary'];
  return Object.fromEntries(types.map((type, at) => [type, can[at] ?? '']));
}

const personOf: Readonly<Record<string, string>> = { patient: 'Patient/a', proxy: 'RelatedPerson/r' };

const roled = (...names: string[]): Principal => ({
  ...clinician,
  user: userOf(names, personOf[names[0] ?? ''] ?? 'Practitioner/1'),
});

/** A request for each interaction, and the permissions without which it is refused. */
const INTERACTIONS: readonly [
  needs: string,
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  url: string,
  headers?: Record<string, string>,
][] = [
  ['r', 'GET', 'Observation/oa'],
  ['r', 'GET', 'Observation/oa/_history/1'],
  ['r', 'GET', 'Observation/oa/_history'],
  ['s', 'GET', 'Observation'],
  ['s', 'GET', 'Observation/_history'],
  ['s', 'POST', 'Observation/_search'],
  ['s', 'GET', 'Patient/a/Observation'],
  ['c', 'POST', 'Observation'],
  ['c', 'POST', 'Observation', { 'If-None-Exist': 'code=x' }],
  ['s', 'POST', 'Observation', { 'If-None-Exist': 'code=x' }],
  ['cu', 'PUT', 'Observation/oa'],
  ['s', 'PUT', 'Observation?code=x'],
  ['cu', 'PUT', 'Observation?code=x'],
  ['u', 'PATCH', 'Observation/oa', { 'Content-Type': 'application/json-patch+json' }],
  ['s', 'PATCH', 'Observation?code=x', { 'Content-Type': 'application/json-patch+json' }],
  ['u', 'PATCH', 'Observation?code=x', { 'Content-Type': 'application/json-patch+json' }],
  ['d', 'DELETE', 'Observation/oa'],
  ['s', 'DELETE', 'Observation?code=x'],
  ['d', 'DELETE', 'Observation?code=x'],
  ['d', 'DELETE', 'Observation?code=x&_count=5'],
  ['rs', 'GET', 'Observation/$lastn?patient=a'],
  ['rs', 'GET', 'Observation/$stats?subject=Patient/a&code=x&statistic=count'],
  ['rs', 'GET', 'Observation/oa/$meta'],
];

await onBothStores(t, async (t, adapter) => {
  t.setTimeout(0);
  await t.test('threat 6: a role may do what a rule of it says, and nothing else', async (t) => {
    const { engine } = await practice(t, adapter);
    t.same(Object.keys(roles).sort(), Object.keys(TRUTH).sort(), 'every role is in the table');
    for (const [name, can] of Object.entries(TRUTH)) {
      const { filters } = engine.callerOf(roled(name));
      for (const [type, expected] of Object.entries(can)) {
        const found = PERMISSIONS.filter((permission) => filters[permission].of(type).kind !== 'none').join('');
        t.equal(found, expected, `${name}: ${type}`);
      }
    }
  });

  await t.test('threat 6: a type that a role names is not opened by its rule for all others', async (t) => {
    const { engine } = await practice(t, adapter);
    for (const [name, { rules }] of Object.entries(roles)) {
      const { filters } = engine.callerOf(roled(name));
      for (const type of rules.filter(({ can }) => can.length === 0).flatMap(({ types }) => types)) {
        t.ok(
          PERMISSIONS.every((permission) => filters[permission].of(type).kind === 'none'),
          `${name}: ${type}`,
        );
      }
    }
  });

  await t.test('a permission that is missing is refused, known from the token alone', async (t) => {
    const { askAs } = await practice(t, adapter);
    for (const [needs, method, url, headers = {}] of INTERACTIONS) {
      const left = [...'cruds'].filter((permission) => !needs.includes(permission)).join('');
      const body = method === 'POST' || method === 'PUT' ? observation('oa', 'a') : method === 'PATCH' ? [] : undefined;
      const isForm = url.endsWith('_search');
      const reply = await askAs(clinicianFor('', scope('user', 'Observation', left)))(
        method,
        url,
        isForm ? undefined : body,
        headers,
      );
      t.equal(reply.status, 403, `${method} ${url} without ${needs}`);
      t.match(reply.text, /with this token/);
    }
  });

  await t.test('a type that no scope names is refused', async (t) => {
    const { askAs } = await practice(t, adapter);
    const ask = askAs(clinicianFor('', scope('user', 'Patient', 'cruds')));
    for (const [, method, url, headers = {}] of INTERACTIONS) {
      const body = method === 'POST' || method === 'PUT' ? observation('oa', 'a') : [];
      const reply = await ask(method, url, url.endsWith('_search') || method === 'GET' ? undefined : body, headers);
      t.equal(reply.status, 403, `${method} ${url}`);
    }
    const view = {
      resourceType: 'ViewDefinition',
      resource: 'Observation',
      status: 'active',
      select: [{ column: [{ name: 'id', path: 'id' }] }],
    };
    const run = { resourceType: 'Parameters', parameter: [{ name: 'viewResource', resource: view }] };
    t.equal((await ask('POST', '$viewdefinition-run', run)).status, 403, 'nor read by a view');
    const whole = await ask('GET', '?_type=Patient,Observation');
    t.notMatch(whole.text, /Observation\/o/, 'search of the system leaves it out');
    t.notMatch((await ask('GET', '_history')).text, /Observation\/o/);
    t.notMatch((await ask('GET', 'Patient/a/$everything')).text, /Observation\/o/);
    t.notMatch((await ask('GET', '$meta')).text, /"R"/);
  });

  await t.test('threat 5: whoever has no token may read what is public, and nothing else', async (t) => {
    const { ask: server, engine } = await practice(t, adapter);
    engine.background.start();
    const ask: typeof server = (method, url, body, headers = {}) => server(method, url, body, headers, publicCaller);
    t.equal((await ask('GET', 'metadata')).status, 200);
    for (const [, method, url, headers = {}] of INTERACTIONS) {
      const body = method === 'POST' || method === 'PUT' ? observation('oa', 'a') : [];
      const reply = await ask(method, url, url.endsWith('_search') || method === 'GET' ? undefined : body, headers);
      t.equal(reply.status, 403, `${method} ${url}`);
    }
    t.equal((await ask('GET', '')).json.entry, undefined);
    t.equal((await ask('GET', '_history')).json.entry, undefined);
    const entry = [{ resource: observation(undefined, 'a'), request: { method: 'POST', url: 'Observation' } }];
    t.equal((await ask('POST', '', { resourceType: 'Bundle', type: 'transaction', entry })).status, 403);
    const later = await ask('GET', '', undefined, { Prefer: 'respond-async' });
    const url = later.headers['Content-Location'] ?? '$job-status?id=none';
    let answer = await ask('GET', url);
    for (let tries = 0; answer.status === 202 && tries < 200; tries++) {
      await pause(50);
      answer = await ask('GET', url);
    }
    t.equal(answer.status, 200);
    t.notMatch(answer.text, /Observation/, 'nor by a job');
  });

  await t.test('threat 4: a fact that is missing closes', async (t) => {
    const { askAs } = await practice(t, adapter);
    const seen = async (principal: Principal): Promise<number> => {
      const { status, json } = await askAs(principal)('GET', 'Observation');
      return status === 200 ? json.total : 0;
    };
    const { user: person, patient: _p, ...patientLess } = patientA;
    const { user: staff, ...userLess } = clinician;
    const { fhirUser: _f, ...nobody } = staff ?? userOf([], '');
    const withUser = (principal: Principal, user: Principal['user']): Principal => ({
      ...principal,
      ...(user && { user }),
    });
    t.equal(await seen(patientA), 2, 'their own, under any label');
    t.equal(await seen(clinician), 1);
    t.equal(await seen(withUser(patientLess, person)), 0, 'no patient of the launch');
    t.equal(
      await seen({ ...patientA, patient: 'b' }),
      0,
      'threat 38: the launch does not widen what the person may see',
    );
    t.equal(await seen({ ...patientA, patient: '' }), 0);
    t.equal(await seen(userLess), 0, 'no user');
    t.equal(await seen(withUser(clinician, nobody)), 0, 'no fhirUser');
    for (const fhirUser of ['', 'Practitioner/', 'Patient/a', 'Practitioner/2', 'RelatedPerson/1', 'nonsense']) {
      t.equal(await seen(withUser(clinician, { ...nobody, fhirUser })), 0, `fhirUser "${fhirUser}"`);
    }
    t.equal(await seen(withUser(clinicianOfAll, { ...nobody, roles: [] })), 0, 'no role');
    for (const name of ['unknown', '', 'constructor', '__proto__', 'toString', 'Clinician']) {
      t.equal(await seen(withUser(clinicianOfAll, { ...nobody, roles: [name] })), 0, `the role "${name}"`);
    }
    t.equal(await seen({ ...clinician, scopes: [] }), 0, 'no scope');
    t.equal(await seen({ ...clinician, scopes: [scope('system', '*', 'cruds')] }), 0, 'system scopes are for services');
    t.equal(await seen({ ...userLess, scopes: [scope('user', '*', 'cruds')] }), 0);
    t.equal(await seen({ ...userLess, scopes: [scope('system', '*', 'rs')] }), 2, 'and labels hold for them, too');
    const service = { reference: 'Organization/1', roles: ['unknown'] };
    t.equal(await seen({ ...userLess, service, scopes: [scope('system', '*', 'rs')] }), 0, 'of an unknown role');
    t.equal(await seen({ ...clinician, emergency: 'b' }), 2, 'an emergency opens one record');
    t.equal(await seen({ ...withUser(clinician, { ...nobody, roles: ['front-desk'] }), emergency: 'b' }), 0);
    t.equal(await seen({ ...clinician, emergency: '' }), 1);
    t.equal(await seen({ ...clinician, emergency: 'none' }), 1);
  });

  await t.test('threat 4: a query of a scope that cannot narrow it closes it', async (t) => {
    const { askAs } = await practice(t, adapter);
    for (const query of [
      'unknown=1',
      'category',
      'category=',
      'patient.gender=male',
      '_has:Provenance:target:agent=x',
      '_id:not=none&_sort=date',
      '_lastUpdated=lt2100',
      '_list=1',
      '_filter=status%20eq%20final',
      '_text=x',
      '_count=1',
      '%',
      'code:in=http://x.example',
      'code:text=x',
      'code=http://loinc.org|',
      'near=1|1',
      '&',
      '=',
    ]) {
      const reply = await askAs(clinicianFor('', scope('user', 'Observation', 'rs', query)))('GET', 'Observation');
      t.equal(reply.status, 403, query);
    }
    const everyType = clinicianFor('', scope('user', '*', 'rs', 'category=x'));
    t.equal((await askAs(everyType)('GET', 'Patient')).status, 403, 'of a type without the parameter');
  });

  await t.test('a query of a scope holds for past versions and for what is written', async (t) => {
    const { ask: server, askAs, put } = await practice(t, adapter);
    const dated = (effectiveDateTime: string): Record<string, unknown> => observation('d', 'a', { effectiveDateTime });
    await put(dated('2001-01-01'));
    await put(dated('2024-05-05'));
    const ask = askAs(clinicianFor('', scope('user', 'Observation', 'crus', 'date=ge2020')));
    t.equal((await ask('GET', 'Observation/d')).status, 200);
    t.equal((await ask('GET', 'Observation/d/_history/1')).status, 404);
    t.equal((await ask('GET', 'Observation/d/_history')).json.entry.length, 1);
    t.equal((await ask('PUT', 'Observation/d', dated('2021'))).status, 200);
    t.equal((await ask('PUT', 'Observation/d', dated('2001'))).status, 403);
    await server('DELETE', 'Observation/d');
    t.equal((await ask('GET', 'Observation/d')).status, 410);
  });

  await t.test('rights add up within a layer, and layers narrow each other', async (t) => {
    const { askAs, put } = await practice(t, adapter);
    await put(observation('rb', 'b', { meta: RESTRICTED }));
    const total = async (principal: Principal): Promise<number> =>
      (await askAs(principal)('GET', 'Observation?_summary=count')).json.total;
    const two = {
      ...clinician,
      patient: 'b',
      scopes: [scope('patient', '*', 'rs'), scope('user', 'Observation', 'rs', 'status=final')],
    };
    t.equal(await total(two), 1, 'the care team still narrows what the launch opens');
    t.equal(await total({ ...two, user: userOf(['clinician-all'], 'Practitioner/2') }), 2);
    t.equal(await total({ ...two, user: userOf(['clinician', 'clinician-all'], 'Practitioner/1', ['R']) }), 4);
    const both = { ...clinician, user: userOf(['front-desk', 'clinician'], 'Practitioner/1') };
    t.match((await askAs(both)('GET', 'Encounter/ea')).text, /secret reason/, 'what one of the roles shows is shown');
  });
});

// What may be written, interaction by interaction, on both stores.
import t from 'tap';
import type { Principal } from '../../../src/fhir/caller.ts';
import type { Reply } from '../../support/engine.ts';
import { onBothStores } from '../../support/stores.ts';
import {
  alike,
  clinician,
  clinicianFor,
  clinicianOfAll,
  observation,
  officer,
  patientA,
  practice,
  RESTRICTED,
  scope,
} from './setting.ts';

const PATCH = { 'Content-Type': 'application/json-patch+json' };
const toB = [{ op: 'replace', path: '/subject/reference', value: 'Patient/b' }];
const isFinal = [{ op: 'replace', path: '/status', value: 'amended' }];
const bundle = (type: string, ...entry: object[]): object => ({ resourceType: 'Bundle', type, entry });
const entryOf = (method: string, url: string, resource?: object, more: object = {}): object => ({
  ...(resource === undefined ? {} : { resource }),
  request: { method, url, ...more },
});
const statuses = (reply: Reply): string[] =>
  reply.json.entry.map(({ response }: { response: { status: string } }) => response.status.slice(0, 3));

const PROVENANCE = {
  'X-Provenance': '{"resourceType":"Provenance","recorded":"2026-01-01T00:00:00Z","agent":[{"who":{"display":"x"}}]}',
};

const message = (patient: string): object => ({
  resourceType: 'Communication',
  status: 'completed',
  subject: { reference: `Patient/${patient}` },
});

t.setTimeout(300_000);

await onBothStores(t, async (t, adapter) => {
  t.setTimeout(0);
  await t.test('create: what lies outside of reach is refused', async (t) => {
    const { askAs } = await practice(t, adapter);
    const ask = askAs(clinician);
    t.equal((await ask('POST', 'Observation', observation(undefined, 'a'))).status, 201);
    const outside = await ask('POST', 'Observation', observation(undefined, 'b'));
    t.equal(outside.status, 403);
    const nobody = await ask('POST', 'Observation', observation(undefined, 'none'));
    t.equal(nobody.status, 403);
    t.equal(outside.text, nobody.text, 'threat 9: whether the patient is there is not told');
    t.equal((await ask('POST', 'Observation', observation(undefined, 'a', { meta: RESTRICTED }))).status, 403);
    const { Location = '' } = (await askAs(patientA)('POST', 'Communication', message('a'))).headers;
    t.match(Location, /Communication/);
    t.equal((await askAs(patientA)('POST', 'Communication', message('b'))).status, 403);
    t.equal(
      (await askAs(patientA)('POST', 'Observation', observation(undefined, 'a'))).status,
      403,
      'no right of the role',
    );
  });

  await t.test('threat 10: neither what is there nor what it becomes may lie outside', async (t) => {
    const { ask: server, askAs } = await practice(t, adapter);
    const ask = askAs(clinician);
    t.equal((await ask('PUT', 'Observation/oa', observation('oa', 'a', { status: 'amended' }))).status, 200);
    t.equal((await ask('PUT', 'Observation/oa', observation('oa', 'b'))).status, 403, 'moved away');
    t.equal((await ask('PATCH', 'Observation/oa', toB, PATCH)).status, 403, 'patched away');
    t.equal((await ask('PUT', 'Observation/ob', observation('ob', 'a'))).status, 404, 'taken from another');
    t.equal((await ask('PATCH', 'Observation/ob', isFinal, PATCH)).status, 404);
    const batch = bundle('batch', entryOf('PUT', 'Observation/oa', observation('oa', 'b')));
    t.same(statuses(await ask('POST', '', batch)), ['403']);
    const moved = { resourceType: 'Parameters', parameter: [{ name: 'meta', valueMeta: RESTRICTED }] };
    t.equal((await ask('POST', 'Observation/oa/$meta-add', moved)).status, 403, 'hidden from oneself');
    t.equal((await server('GET', 'Observation/oa')).json.subject.reference, 'Patient/a');
    t.equal((await server('GET', 'Observation/ob')).json.meta.versionId, '1');
  });

  await t.test('threat 10: restricted labels are taken away by who may relabel alone', async (t) => {
    const { askAs } = await practice(t, adapter);
    const { user } = clinician;
    const cleared: Principal = { ...clinician, ...(user && { user: { ...user, clearance: ['R'] } }) };
    const ask = askAs(cleared);
    t.equal((await ask('PUT', 'Observation/secret', observation('secret', 'a'))).status, 403);
    t.equal((await ask('PATCH', 'Observation/secret', [{ op: 'remove', path: '/meta/security' }], PATCH)).status, 403);
    const meta = { resourceType: 'Parameters', parameter: [{ name: 'meta', valueMeta: RESTRICTED }] };
    t.equal((await ask('POST', 'Observation/secret/$meta-delete', meta)).status, 403);
    const kept = observation('secret', 'a', { meta: RESTRICTED, status: 'amended' });
    t.equal((await ask('PUT', 'Observation/secret', kept)).status, 200, 'what keeps them is no matter');
    t.equal((await askAs(officer)('POST', 'Observation/secret/$meta-delete', meta)).status, 200);
  });

  await t.test('threat 9: which ids are taken is not told to who sees a part', async (t) => {
    const { askAs } = await practice(t, adapter);
    const own = (id: string): object => observation(id, 'a');
    const part = clinicianFor('', scope('user', 'Observation', 'rus'), scope('user', 'Provenance', 'c'));
    for (const principal of [clinician, part, clinicianFor('', scope('user', 'Observation', 'crs'))]) {
      const ask = askAs(principal);
      const asked: [string, (id: string) => Promise<Reply>][] = [
        ['PUT', (id) => ask('PUT', `Observation/${id}`, own(id))],
        ['PUT If-Match', (id) => ask('PUT', `Observation/${id}`, own(id), { 'If-Match': 'W/"1"' })],
        ['PUT If-None-Match', (id) => ask('PUT', `Observation/${id}`, own(id), { 'If-None-Match': '*' })],
        ['PUT with X-Provenance', (id) => ask('PUT', `Observation/${id}`, own(id), PROVENANCE)],
        ['PUT with an id, by a condition', (id) => ask('PUT', 'Observation?identifier=none', own(id))],
        ['PATCH', (id) => ask('PATCH', `Observation/${id}`, isFinal, PATCH)],
        ['DELETE', (id) => ask('DELETE', `Observation/${id}`)],
        ['DELETE If-Match', (id) => ask('DELETE', `Observation/${id}`, undefined, { 'If-Match': 'W/"1"' })],
        ['in a batch', (id) => ask('POST', '', bundle('batch', entryOf('PUT', `Observation/${id}`, own(id))))],
        [
          'in a transaction',
          (id) => ask('POST', '', bundle('transaction', entryOf('PUT', `Observation/${id}`, own(id)))),
        ],
      ];
      for (const [name, write] of asked) {
        const [taken, free] = [await write('ob'), await write('none')];
        t.ok(alike(taken, 'ob', free, 'none'), `${name}: ${taken.status} and ${free.status}`);
      }
    }
  });

  await t.test('a deletion of what may not be seen deletes nothing, as of what is not there', async (t) => {
    const { ask: server, askAs } = await practice(t, adapter);
    const ask = askAs(clinician);
    const [hidden, absent] = [await ask('DELETE', 'Observation/ob'), await ask('DELETE', 'Observation/none')];
    t.equal(hidden.status, 204);
    t.same(hidden, absent);
    t.equal((await server('GET', 'Observation/ob')).json.meta.versionId, '1');
    t.equal((await ask('DELETE', 'Observation/oa')).status, 204);
    t.equal((await server('GET', 'Observation/oa')).status, 410);
    t.equal((await askAs(patientA)('DELETE', 'Encounter/ea')).status, 403);
  });

  await t.test('threat 8: a condition finds nothing that may not be seen', async (t) => {
    const { ask: server, askAs, put } = await practice(t, adapter);
    const mine = { identifier: [{ system: 'urn:x', value: '7' }] };
    await put(observation('twin', 'b', mine));
    const ask = askAs(clinician);
    const condition = 'identifier=urn:x|7';
    const made = await ask('POST', 'Observation', observation(undefined, 'a', mine), { 'If-None-Exist': condition });
    t.equal(made.status, 201, 'If-None-Exist: as if the twin were not there');
    const again = await ask('POST', 'Observation', observation(undefined, 'a', mine), { 'If-None-Exist': condition });
    t.equal(again.status, 200);
    t.equal(
      (await ask('PUT', `Observation?${condition}`, observation(undefined, 'a', mine))).status,
      200,
      'no two match',
    );
    t.equal((await ask('DELETE', `Observation?${condition}&_count=5`)).status, 200);
    t.equal((await ask('DELETE', `Observation?${condition}`)).status, 204);
    t.equal((await server('GET', 'Observation/twin')).status, 200, 'and the twin is untouched');
    t.equal((await ask('PATCH', `Observation?${condition}`, isFinal, PATCH)).status, 404);
    const entry = entryOf('POST', 'Observation', observation(undefined, 'a', mine), { ifNoneExist: condition });
    t.same(statuses(await ask('POST', '', bundle('transaction', entry))), ['201'], 'in a transaction, too');
    const writer = askAs(clinicianFor('', scope('user', 'Observation', 'cud')));
    for (const reply of [
      await writer('POST', 'Observation', observation(undefined, 'a'), { 'If-None-Exist': condition }),
      await writer('PUT', `Observation?${condition}`, observation(undefined, 'a')),
      await writer('DELETE', `Observation?${condition}`),
      await writer('PATCH', `Observation?${condition}`, isFinal, PATCH),
      await writer('POST', '', bundle('transaction', entry)),
    ]) {
      t.equal(reply.status, 403, 'without s there is no condition');
    }
  });

  await t.test('a conditional reference finds nothing that may not be seen', async (t) => {
    const { askAs, put } = await practice(t, adapter);
    await put({ resourceType: 'Patient', id: 'b', identifier: [{ system: 'urn:p', value: 'b' }] });
    const linked = { ...observation(undefined, 'a'), focus: [{ reference: 'Patient?identifier=urn:p|b' }] };
    const none = { ...observation(undefined, 'a'), focus: [{ reference: 'Patient?identifier=urn:p|none' }] };
    const ask = askAs(clinician);
    const [hidden, absent] = [
      await ask('POST', '', bundle('transaction', entryOf('POST', 'Observation', linked))),
      await ask('POST', '', bundle('transaction', entryOf('POST', 'Observation', none))),
    ];
    t.equal(hidden.status, absent.status);
    t.equal(hidden.text.replaceAll('|b', '|none'), absent.text);
  });

  await t.test('a transaction is refused whole for one entry, a batch decides on each', async (t) => {
    const { ask: server, askAs } = await practice(t, adapter);
    const entries = [
      entryOf('PUT', 'Observation/oa', observation('oa', 'a', { status: 'amended' })),
      entryOf('POST', 'Observation', observation(undefined, 'b')),
    ];
    const whole = await askAs(clinician)('POST', '', bundle('transaction', ...entries));
    t.equal(whole.status, 403);
    t.equal((await server('GET', 'Observation/oa')).json.meta.versionId, '1');
    t.same(statuses(await askAs(clinician)('POST', '', bundle('batch', ...entries))), ['200', '403']);
    t.equal((await server('GET', 'Observation/oa')).json.meta.versionId, '2');
  });

  await t.test('a care team that one writes oneself into opens nothing in the same transaction', async (t) => {
    const { askAs } = await practice(t, adapter);
    const team = {
      resourceType: 'CareTeam',
      status: 'active',
      subject: { reference: 'Patient/b' },
      participant: [{ member: { reference: 'Practitioner/1' } }],
    };
    const ask = askAs(clinician);
    t.equal((await ask('POST', 'CareTeam', team)).status, 403);
    const both = bundle(
      'transaction',
      entryOf('POST', 'CareTeam', team),
      entryOf('POST', 'Observation', observation(undefined, 'b')),
    );
    t.equal((await ask('POST', '', both)).status, 403);
    const gp = { resourceType: 'Patient', id: 'b', generalPractitioner: [{ reference: 'Practitioner/1' }] };
    t.equal((await ask('PUT', 'Patient/b', gp)).status, 404, 'nor by being named as general practitioner');
    const encounter = {
      resourceType: 'Encounter',
      status: 'in-progress',
      class: { code: 'AMB' },
      subject: { reference: 'Patient/b' },
      participant: [{ individual: { reference: 'Practitioner/1' } }],
      period: { start: new Date().toISOString() },
    };
    t.equal((await ask('POST', 'Encounter', encounter)).status, 403);
  });

  await t.test('a laboratory writes results of its orders, on the patients that they are about', async (t) => {
    const { askAs, put } = await practice(t, adapter);
    const order = { resourceType: 'ServiceRequest', status: 'active', intent: 'order' };
    const performer = [{ reference: 'Organization/lab' }];
    await put({ ...order, id: 'mine', subject: { reference: 'Patient/a' }, performer });
    await put({ ...order, id: 'theirs', subject: { reference: 'Patient/b' } });
    const ask = askAs({
      client: 'lab',
      grant: 'grant-l',
      purpose: 'TREAT',
      service: { reference: 'Organization/lab', roles: ['lab'] },
      scopes: [scope('system', '*', 'cruds')],
    });
    const result = async (id: string, patient: string): Promise<number> => {
      const basedOn = [{ reference: `ServiceRequest/${id}` }];
      return (await ask('POST', 'Observation', observation(undefined, patient, { basedOn }))).status;
    };
    t.equal(await result('mine', 'a'), 201);
    t.equal(await result('mine', 'b'), 403, 'of the order, but about somebody else');
    t.equal(await result('theirs', 'b'), 403);
    t.equal((await ask('GET', 'Patient/a')).status, 200);
    t.equal((await ask('GET', 'Patient/b')).status, 404);
    t.equal((await ask('GET', 'Observation/oa')).status, 404, 'not what others measured');
  });

  await t.test('X-Provenance needs the right to create one', async (t) => {
    const { askAs } = await practice(t, adapter);
    const without = clinicianFor('', scope('user', 'Observation', 'cruds'));
    t.equal((await askAs(without)('PUT', 'Observation/oa', observation('oa', 'a'), PROVENANCE)).status, 403);
    t.equal((await askAs(clinicianOfAll)('PUT', 'Observation/oa', observation('oa', 'a'), PROVENANCE)).status, 200);
  });
});

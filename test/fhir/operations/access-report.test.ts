// Patient/[id]/$access-report: who saw a patient's data, told to the patient, a representative and the privacy officer.
import t from 'tap';
import { FhirError } from '../../../src/base/outcome.ts';
import { daysOfAccess } from '../../../src/fhir/audit/patient-report.ts';
import type { Principal } from '../../../src/fhir/caller.ts';
import { loadDefinitions } from '../../../src/model/definitions.ts';
import { structureIssues } from '../../../src/validation/structure.ts';
import type { Reply } from '../../support/engine.ts';
import { type Adapter, onBothStores, type Test } from '../../support/stores.ts';
import { observation, scope, userOf } from '../access/setting.ts';
import { recordingOn } from '../audit/support.ts';

const person = (roles: readonly string[], fhirUser: string, ...scopes: [level: 'user' | 'patient', type: string][]) =>
  ({
    client: 'app',
    grant: `grant-${fhirUser}`,
    purpose: 'TREAT',
    user: userOf(roles, fhirUser),
    patient: 'a',
    scopes: (scopes.length === 0 ? [['user', '*'] as const] : scopes).map(([level, type]) => scope(level, type, 'rs')),
  }) satisfies Principal;

const anna = person(['patient'], 'Patient/a', ['patient', '*']);
const doctor = person(['clinician-all'], 'Practitioner/1');
const officer = person(['privacy-officer'], 'Practitioner/9');

const RESOURCES = [
  { resourceType: 'Organization', id: 'clinic', name: 'Clinic at the Lake' },
  { resourceType: 'Practitioner', id: '1', name: [{ given: ['Ada'], family: 'Byron' }] },
  {
    resourceType: 'PractitionerRole',
    id: 'r',
    practitioner: { reference: 'Practitioner/1' },
    organization: { reference: 'Organization/clinic' },
  },
  { resourceType: 'Patient', id: 'a', name: [{ family: 'Able' }] },
  { resourceType: 'Patient', id: 'b', name: [{ family: 'Baker' }] },
  {
    resourceType: 'RelatedPerson',
    id: 'mother',
    active: true,
    name: [{ text: 'Mother Able' }],
    patient: { reference: 'Patient/a' },
  },
  {
    resourceType: 'RelatedPerson',
    id: 'stranger',
    active: true,
    name: [{ text: 'Father Baker' }],
    patient: { reference: 'Patient/b' },
  },
  observation('oa', 'a'),
  observation('ob', 'b'),
  { resourceType: 'Condition', id: 'cb', subject: { reference: 'Patient/b' }, code: { text: 'x' } },
];

// biome-ignore lint/suspicious/noExplicitAny: parts are looked into as loosely as other answers
type Part = any;

/** Each access as an object: name of a part → its values. */
const accessesIn = ({ json }: Reply): Record<string, Part[]>[] =>
  json.parameter
    .filter(({ name }: Part) => name === 'access')
    .map(({ part }: Part) => {
      const values: Record<string, Part[]> = {};
      for (const { name, ...value } of part) values[name] = [...(values[name] ?? []), Object.values(value)[0]];
      return values;
    });

async function practice(t: Test, adapter: Adapter) {
  const { store, close } = await adapter.open();
  t.teardown(close);
  const recording = await recordingOn(store, { outsideClients: ['exchange'] });
  for (const body of RESOURCES) {
    const { status, text } = await recording.ask(`${body.resourceType}/${body.id}`, { method: 'PUT', body });
    if (status !== 201) throw new Error(text);
  }
  const as = (principal: Principal) => (url: string) =>
    recording.ask(url, { caller: recording.engine.callerOf(principal) });
  return { ...recording, store, as };
}

const cases: Record<string, (t: Test, adapter: Adapter) => Promise<void>> = {
  'who, when, which kinds of data and why; repeats of a day are one': async (t, adapter) => {
    const { as } = await practice(t, adapter);
    for (let times = 0; times < 3; times++) await as(doctor)('Patient/a');
    await as(doctor)('Observation?patient=a');
    await as({ ...doctor, client: 'exchange' })('Patient/a');
    await as({ ...doctor, purpose: 'HRESCH' })('Observation/oa');
    const reply = await as(anna)('Patient/a/$access-report');
    t.equal(reply.status, 200);
    t.same(structureIssues(reply.json, loadDefinitions()), []);
    t.match(reply.json.parameter[0], { name: 'patient', valueReference: { reference: 'Patient/a' } });
    const [research, exchange, treatment, loaded] = accessesIn(reply);
    t.match(treatment, {
      day: [/^\d{4}-\d\d-\d\d$/],
      times: [4],
      who: [{ reference: 'Practitioner/1', display: 'Ada Byron' }],
      role: ['Clinician with the whole clinic in reach'],
      organization: [{ reference: 'Organization/clinic', display: 'Clinic at the Lake' }],
      application: ['app'],
      action: ['seen'],
      data: ['Patient', 'Observation'],
      purpose: [{ code: 'TREAT', display: 'treatment' }],
    });
    t.ok((treatment?.first?.[0] ?? '') <= (treatment?.last?.[0] ?? ''));
    t.equal(treatment?.disclosure, undefined);
    t.match(exchange, { application: ['exchange'], disclosure: [true], times: [1] });
    t.match(research, { purpose: [{ code: 'HRESCH', display: 'healthcare research' }], disclosure: [true] });
    t.match(loaded, { who: [{ display: /access control was off/ }], action: ['written'] });
    t.equal(loaded?.role, undefined);
  },
  'nothing of other patients is told': async (t, adapter) => {
    const { as, ask, engine } = await practice(t, adapter);
    await as(doctor)('Patient?_id=a,b&_revinclude=Condition:patient');
    await as(doctor)('Observation/ob');
    await as(doctor)('Patient/b/$everything');
    await as(person(['patient'], 'Patient/b', ['patient', '*']))('Patient?_id=a');
    await as(person(['proxy'], 'RelatedPerson/stranger'))('Patient?_id=a');
    await as(person(['proxy'], 'RelatedPerson/mother'))('Patient?_id=a');
    const refused = engine.callerOf(person(['clinician'], 'Practitioner/1'));
    t.equal((await ask('Patient/a', { caller: refused })).status, 404);
    const reply = await as(anna)('Patient/a/$access-report');
    t.notMatch(reply.text, /Patient\/b|Baker|Condition/);
    const [mother, stranger, other, shared, ...rest] = accessesIn(reply);
    t.match(mother, { who: [{ reference: 'RelatedPerson/mother', display: 'Mother Able' }] });
    t.same(stranger?.who, [{ display: 'a representative' }]);
    t.match(
      other,
      { who: [{ display: 'another patient' }], data: ['Patient'] },
      'who asked for this one, and found none',
    );
    t.match(shared, { who: [{ reference: 'Practitioner/1' }], data: ['Patient'], times: [1] });
    t.equal(rest.length, 1, 'besides what was loaded');
  },
  'the patient, a representative and the privacy officer may ask; 403 for those who never may, 404 for other patients':
    async (t, adapter) => {
      const { as, ask, linesOf } = await practice(t, adapter);
      const status = async (who: Principal, id = 'a') => (await as(who)(`Patient/${id}/$access-report`)).status;
      t.equal(await status(anna), 200);
      t.equal(await status(anna, 'b'), 404);
      t.equal(
        (await as(anna)('Patient/b/$access-report')).text,
        (await as(anna)('Patient/none/$access-report')).text.replaceAll('none', 'b'),
      );
      const mother = person(['proxy'], 'RelatedPerson/mother');
      t.equal(await status(mother), 200);
      t.equal(await status(mother, 'b'), 404);
      t.equal(await status(officer), 200);
      t.equal(await status(officer, 'b'), 200);
      for (const role of ['clinician', 'clinician-all', 'front-desk', 'biller', 'administrator', 'lab', 'pharmacy'])
        t.equal(await status(person([role], 'Practitioner/1')), 403, role);
      // A patient of the practice who works there sees the own report, and no other by that.
      t.equal(await status(person(['clinician-all', 'patient'], 'Practitioner/1')), 403);
      t.equal(await status(person(['clinician-all', 'patient'], 'Patient/a'), 'b'), 404);
      t.equal(await status(person(['clinician-all', 'patient'], 'Patient/a')), 200);
      const system: Principal = {
        client: 'lab',
        grant: 'g',
        purpose: 'TREAT',
        scopes: [scope('system', 'Patient', 'rs')],
      };
      t.equal(await status(system), 403);
      t.equal((await ask('Patient/a/$access-report')).status, 200, 'access control is off');
      t.equal((await ask('Patient/none/$access-report')).status, 404);

      const [line] = await linesOf(() => status(officer, 'b'));
      t.match(line, { agent: 'Practitioner/9', patients: ['b'], body: { k: '$access-report', s: 200, i: 'b' } });
      const [refused] = await linesOf(() => status(doctor));
      t.match(refused, { patients: ['a'], body: { k: '$access-report', s: 403, d: 1 } });
    },
  'the token must reach as far: Patient and AuditEvent, to be read, of this patient': async (t, adapter) => {
    const { as } = await practice(t, adapter);
    const status = async (...scopes: [level: 'user' | 'patient', type: string][]) =>
      (await as(person(['patient'], 'Patient/a', ...scopes))('Patient/a/$access-report')).status;
    t.equal(await status(['patient', 'Patient'], ['patient', 'AuditEvent']), 200);
    t.equal(await status(['user', '*']), 200);
    t.equal(await status(['patient', 'Patient']), 403);
    t.equal(await status(['patient', 'AuditEvent']), 403);
    t.equal(await status(['patient', 'Observation']), 403);
    const elsewhere = { ...anna, patient: 'b' };
    t.equal((await as(elsewhere)('Patient/a/$access-report')).status, 404, 'launched for another patient');
    t.equal(
      (await as(person(['privacy-officer'], 'Practitioner/9', ['user', 'Task']))('Patient/a/$access-report')).status,
      403,
    );
  },
  'a period; what is too much for one answer is refused': async (t, adapter) => {
    const { as, store } = await practice(t, adapter);
    const at = Date.parse('2020-02-29T23:30:00Z');
    const body = JSON.stringify({ k: 'read', s: 200, n: { Patient: 1 } });
    for (const minutes of [0, 10, 60])
      await store.audit.append([{ at: at + minutes * 60_000, patients: ['a'], agent: 'system', body }]);
    const of = async (query: string) => accessesIn(await as(anna)(`Patient/a/$access-report?${query}`));
    const found = await of('start=2020&end=2020-12');
    t.match(found, [
      { day: ['2020-03-01'], times: [1], who: [{ display: 'this server' }] },
      { day: ['2020-02-29'], times: [2] },
    ]);
    t.same(await of('start=2021&end=2021'), []);
    t.equal((await of('end=2020-02-29')).length, 1);
    t.equal((await as(anna)('Patient/a/$access-report?start=soon')).status, 400);
    t.equal((await as(anna)('Patient/a/$access-report?since=2020')).status, 400);
    const options = { patient: 'a', timeZone: 'UTC', outsideClients: [] };
    await t.rejects(daysOfAccess(store.audit, { ...options, linesMax: 3 }), FhirError);
    await t.rejects(daysOfAccess(store.audit, { ...options, entriesMax: 2 }), FhirError);
    const asked = { ...options, linesMax: 3, entriesMax: 2, to: Date.parse('2021-01-01') };
    t.equal((await daysOfAccess(store.audit, asked)).length, 2, 'at the bound');
    const days = await daysOfAccess(store.audit, { ...asked, timeZone: 'America/Chicago' });
    t.match(days, [{ day: '2020-02-29', access: { count: 3 } }], 'days are those of the practice');
  },
};

t.test('on both stores', (t) =>
  onBothStores(t, async (t: Test, adapter) => {
    for (const [title, run] of Object.entries(cases)) await t.test(title, (t: Test) => run(t, adapter));
  }),
);

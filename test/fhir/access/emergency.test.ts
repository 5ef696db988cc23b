// Emergency access, Patient/[id]/$break-the-glass, and what a patient's Consent refuses, on both stores.
import t from 'tap';
import type { Clock } from '../../../src/base/clock.ts';
import type { Permission, Principal } from '../../../src/fhir/caller.ts';
import { engineOn, matchIds, type TestEngine } from '../../support/engine.ts';
import { type Adapter, onBothStores, type Test } from '../../support/stores.ts';

type Resource = { resourceType: string; id: string; [member: string]: unknown };

const RESTRICTED = { security: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality', code: 'R' }] };
const EVERYTHING: readonly Permission[] = ['c', 'r', 'u', 'd', 's'];

interface Clinic extends TestEngine {
  put(...resources: Resource[]): Promise<void>;
  time: { ms: number };
}

/** Two patients with an observation each, one of them restricted; Dr Own treats the first. */
async function clinic(t: Test, adapter: Adapter): Promise<Clinic> {
  const time = { ms: Date.parse('2026-03-01T12:00:00Z') };
  let ids = 0;
  const clock: Clock = { now: () => time.ms, newId: () => `made-${ids++}` };
  const { store, close } = await adapter.open(clock);
  t.teardown(close);
  const engine = await engineOn(store, { clock });
  const put = async (...resources: Resource[]): Promise<void> => {
    for (const resource of resources) {
      const { status, text } = await engine.ask('PUT', `${resource.resourceType}/${resource.id}`, resource);
      if (status > 201) throw new Error(text);
    }
  };
  const observation = (id: string, patient: string, meta?: object): Resource => ({
    resourceType: 'Observation',
    id,
    ...(meta === undefined ? {} : { meta }),
    status: 'final',
    code: { text: 'x' },
    subject: { reference: `Patient/${patient}` },
  });
  await put(
    { resourceType: 'Practitioner', id: 'own' },
    { resourceType: 'Practitioner', id: 'other' },
    { resourceType: 'Patient', id: 'a', generalPractitioner: [{ reference: 'Practitioner/own' }] },
    { resourceType: 'Patient', id: 'b' },
    observation('a1', 'a'),
    observation('b1', 'b'),
    observation('b2', 'b', RESTRICTED),
  );
  return { ...engine, put, time };
}

const clinician = (time: { ms: number }, by: readonly string[] = ['pwd', 'otp', 'mfa']): Principal => ({
  user: {
    id: 'u',
    fhirUser: 'Practitioner/own',
    roles: ['clinician'],
    clearance: [],
    signedIn: { at: time.ms, by },
  },
  client: 'chart',
  grant: 'grant-1',
  scopes: [{ level: 'user', type: '*', can: EVERYTHING }],
  purpose: 'TREAT',
});

const because = (valueString: string) => ({
  resourceType: 'Parameters',
  parameter: [{ name: 'reason', valueString }],
});

const REASON = because('unconscious on arrival, medication unknown');

await onBothStores(t, async (t, adapter) => {
  await t.test('emergency access opens one record for an hour, for reading, and asks for a review', async (t) => {
    const { askAs, ask, time } = await clinic(t, adapter);
    const own = askAs(clinician(time));
    t.equal((await own('GET', 'Observation/b1')).status, 404, 'before');
    const { status, json } = await own('POST', 'Patient/b/$break-the-glass', REASON);
    t.equal(status, 200);
    t.equal(json.parameter[1].valueInstant, '2026-03-01T13:00:00.000Z');
    t.same(matchIds(await own('GET', 'Observation')).sort(), ['a1', 'b1', 'b2'], 'restricted ones, too');
    t.equal((await own('GET', 'Patient/b')).status, 200);
    const changed = await own('PUT', 'Patient/b', { resourceType: 'Patient', id: 'b', active: true });
    t.equal(changed.status, 403, 'it may be read, not changed');
    const tasks = await ask('GET', 'Task?patient=b&status=requested');
    t.equal(tasks.json.entry.length, 1);
    t.match(tasks.json.entry[0].resource, {
      requester: { reference: 'Practitioner/own' },
      restriction: { period: { end: '2026-03-04T12:00:00.000Z' } },
    });
    t.equal((await askAs({ ...clinician(time), grant: 'grant-2' })('GET', 'Observation/b1')).status, 404, 'one grant');
    time.ms += 60 * 60 * 1000;
    t.equal((await own('GET', 'Observation/b1')).status, 404, 'an hour later');
  });

  await t.test('emergency access takes a fresh second factor, a clinician, a reason and a patient', async (t) => {
    const { askAs, ask, time } = await clinic(t, adapter);
    const asked = async (principal: Principal, body: object = REASON, id = 'b'): Promise<number> =>
      (await askAs(principal)('POST', `Patient/${id}/$break-the-glass`, body)).status;
    const now = clinician(time);
    t.equal(await asked(clinician({ ms: time.ms - 6 * 60 * 1000 })), 401, 'signed in too long ago');
    t.equal(await asked(clinician(time, ['pwd'])), 401, 'one factor');
    const { user } = now;
    if (user === undefined) throw new Error('a clinician is a person');
    const { signedIn: _, ...unknown } = user;
    t.equal(await asked({ ...now, user: unknown }), 401, 'nobody knows when');
    t.equal(await asked({ ...now, user: { ...user, roles: ['front-desk'] } }), 403);
    t.equal(await asked({ client: 'bot', grant: 'g', scopes: now.scopes, purpose: 'TREAT' }), 403, 'no person');
    t.equal(await asked(now, because('why not')), 400);
    t.equal(await asked(now, REASON, 'nobody'), 404);
    t.notOk((await ask('GET', 'Task')).json.entry, 'no review of what was refused');
  });

  await t.test('threat 4: what an active Consent refuses is not there, from the commit on', async (t) => {
    const { askAs, put, time } = await clinic(t, adapter);
    const scopes: Principal['scopes'] = [{ level: 'system', type: '*', can: ['r', 's'] }];
    const registry = askAs({ client: 'registry', grant: 'r', scopes, purpose: 'HRESCH' });
    const own = askAs(clinician(time));
    const consent = (provision: object, status = 'active'): Resource => ({
      resourceType: 'Consent',
      id: 'c',
      status,
      scope: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/consentscope', code: 'patient-privacy' }] },
      category: [{ text: 'privacy' }],
      policyRule: { text: 'opt out' },
      patient: { reference: 'Patient/a' },
      provision,
    });
    const actor = (reference: string) => ({ actor: [{ role: { text: 'recipient' }, reference: { reference } }] });
    const another = (_: unknown, at: number): object => ({ type: 'deny', ...actor(`Device/d${at}`) });
    const around = (provision: object): object => ({ provision: [provision] });
    const seen = async (): Promise<[number, number]> => [
      (await registry('GET', 'Observation/a1')).status,
      (await own('GET', 'Observation/a1')).status,
    ];
    t.same(await seen(), [200, 200]);
    const cases: readonly [name: string, provision: object, seen: [number, number]][] = [
      ['everyone, which is about disclosure', { type: 'deny' }, [404, 200]],
      ['one person', { type: 'permit', provision: [{ type: 'deny', ...actor('Practitioner/own') }] }, [200, 404]],
      ['a version of one person', { type: 'deny', ...actor('Practitioner/own/_history/1') }, [200, 404]],
      ['another person', { type: 'deny', ...actor('Practitioner/other') }, [200, 200]],
      ['a role, which may be anybody', { type: 'deny', ...actor('PractitionerRole/1') }, [404, 404]],
      ['somebody elsewhere', { type: 'deny', ...actor('https://other.example/Practitioner/1') }, [404, 404]],
      [
        'somebody in words',
        { type: 'deny', actor: [{ role: { text: 'r' }, reference: { display: 'Dr Own' } }] },
        [404, 404],
      ],
      ['a purpose', { type: 'deny', purpose: [{ code: 'HRESCH' }] }, [404, 200]],
      ['another purpose', { type: 'deny', purpose: [{ code: 'HMARKT' }] }, [200, 200]],
      ['a type', { type: 'deny', class: [{ code: 'Observation' }] }, [404, 200]],
      ['another type', { type: 'deny', class: [{ code: 'Condition' }] }, [200, 200]],
      ['what is restricted', { type: 'deny', securityLabel: [{ code: 'R' }] }, [200, 200]],
      ['until last year', { type: 'deny', period: { end: '2025-12-31' } }, [200, 200]],
      ['since last year', { type: 'deny', period: { start: '2025' } }, [404, 200]],
      [
        'all but one system',
        { type: 'deny', provision: [{ type: 'permit', ...actor('Device/registry') }] },
        [200, 200],
      ],
      [
        'all but one elsewhere',
        { type: 'deny', provision: [{ type: 'permit', ...actor('https://x.example/Device/registry') }] },
        [404, 200],
      ],
      ['more than can be told apart', { type: 'permit', provision: Array.from({ length: 201 }, another) }, [404, 404]],
      [
        'rules too deep to follow',
        Array.from({ length: 9 }).reduce<object>(around, { type: 'deny', ...actor('Device/x') }),
        [404, 404],
      ],
      ['nobody', { type: 'permit' }, [200, 200]],
    ];
    for (const [name, provision, expected] of cases) {
      await put(consent(provision));
      t.same(await seen(), expected, name);
    }
    await put(consent({ type: 'deny' }, 'inactive'));
    t.same(await seen(), [200, 200], 'a Consent that is not active');
    await put(consent({ type: 'deny' }));
    t.same(matchIds(await registry('GET', 'Observation')), ['b1'], 'not counted, not listed');
    t.equal((await registry('GET', 'Observation?_summary=count')).json.total, 1);
    t.same(matchIds(await registry('GET', 'Patient?_has:Observation:subject:status=final')), ['b']);
    const patient: Principal = {
      user: { id: 'p', fhirUser: 'Patient/a', roles: ['patient'], clearance: [] },
      client: 'app',
      grant: 'p',
      scopes: [{ level: 'patient', type: '*', can: ['r', 's'] }],
      patient: 'a',
      purpose: 'PATRQT',
    };
    t.equal((await askAs(patient)('GET', 'Observation/a1')).status, 200, 'the patient sees the own record');
  });
});

// EHR launches of the whole server: what a launch has open is what its user sees, of the launch's patient.
import t from 'tap';
import { demoClient } from '../../src/cli/demo.ts';
import { systemCaller } from '../../src/fhir/access/callers.ts';
import { guardedApp, tokenFor } from '../support/guarded-app.ts';
import { onBothStores } from '../support/stores.ts';

const resources = [
  { resourceType: 'Patient', id: 'far', name: [{ family: 'Away' }] },
  ...['patient-001', 'patient-002', 'far'].flatMap((id) => [
    {
      resourceType: 'Encounter',
      id: `visit-${id}`,
      status: 'in-progress',
      class: { code: 'AMB' },
      subject: { reference: `Patient/${id}` },
    },
    { resourceType: 'ImagingStudy', id: `study-${id}`, status: 'available', subject: { reference: `Patient/${id}` } },
  ]),
  { resourceType: 'Encounter', id: 'visit-of-nobody', status: 'planned', class: { code: 'AMB' } },
  { resourceType: 'ImagingStudy', id: 'gone', status: 'available', subject: { reference: 'Patient/patient-001' } },
  { resourceType: 'Questionnaire', id: 'intake', status: 'active' },
];

await onBothStores(t, async (t, adapter) => {
  const { store, close } = await adapter.open();
  const served = await guardedApp(store, { settings: { CARELOOM_RATE_LIMITS: 'off' } });
  t.teardown(async () => {
    await served.close();
    await close();
  });
  const { server } = served.control;
  const perform = async (method: 'PUT' | 'DELETE', path: string, resource?: object) => {
    const body = resource === undefined ? new Uint8Array(0) : Buffer.from(JSON.stringify(resource));
    const header = (name: string) => (name === 'content-type' ? 'application/fhir+json' : undefined);
    const signal = new AbortController().signal;
    await served.app.engine.perform({ method, path, query: '', header, body, signal }, systemCaller);
  };
  for (const resource of resources) await perform('PUT', `${resource.resourceType}/${resource.id}`, resource);
  await perform('DELETE', 'ImagingStudy/gone');
  const app = (
    await server.clients.add({
      name: 'Viewer',
      authentication: 'none',
      redirectUris: ['https://app.example.org/back'],
      scopes: ['launch', 'user/*.rs', 'patient/*.rs'],
    })
  ).client;
  await server.clients.add({ ...demoClient, isFirstParty: true });
  const post = async (login: 'doctor' | 'anna', body: object) => {
    const token = await tokenFor(served, login, 'user/*.rs');
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
    const init = { method: 'POST', headers, body: JSON.stringify({ client_id: app.id, ...body }) };
    const reply = await fetch(`${served.url}/auth/launch`, init);
    return { status: reply.status, text: await reply.text() };
  };
  const context = (...references: string[]) => ({ fhirContext: references.map((reference) => ({ reference })) });

  await t.test('threat 38: what the user sees, of the launch’s patient, is launched with', async (t) => {
    for (const body of [
      { patient: 'patient-001' },
      { patient: 'patient-001', encounter: 'visit-patient-001' },
      { encounter: 'visit-patient-002' },
      { patient: 'patient-002', ...context('ImagingStudy/study-patient-002', 'Questionnaire/intake') },
      context('ImagingStudy/study-patient-001', 'Practitioner/practitioner-1'),
    ]) {
      t.equal((await post('doctor', body)).status, 201, JSON.stringify(body));
    }
    t.equal((await post('anna', { patient: 'patient-001', encounter: 'visit-patient-001' })).status, 201, 'one’s own');
  });

  await t.test('threat 38: what is another’s, hidden or unknown is refused alike', async (t) => {
    const patient = 'patient-001';
    const unknown = await post('doctor', { patient, encounter: 'nowhere' });
    t.equal(unknown.status, 403);
    t.match(unknown.text, /access_denied/);
    for (const body of [
      { patient, encounter: 'visit-patient-002' },
      { patient, encounter: 'visit-far' },
      { patient, encounter: 'visit-of-nobody' },
      { encounter: 'visit-far' },
      { patient, ...context('ImagingStudy/study-patient-002') },
      { patient, ...context('ImagingStudy/study-far') },
      { patient, ...context('Questionnaire/intake', 'ImagingStudy/nowhere') },
      { patient, ...context('Nothing/1') },
      { patient, ...context('AuditEvent/1') },
      { patient, ...context('ImagingStudy/gone') },
      context('ImagingStudy/study-far'),
    ]) {
      t.strictSame(await post('doctor', body), unknown, JSON.stringify(body));
    }
    const others = { patient, encounter: 'visit-patient-002' };
    t.strictSame(await post('anna', others), unknown, 'a patient with another one’s encounter');
    t.strictSame(await post('anna', { encounter: 'visit-patient-002' }), unknown);
    t.equal((await post('anna', { patient: 'patient-002' })).status, 403);
  });

  await t.test('threat 38: it is looked at again when the launch is taken up', async (t) => {
    const user = served.people.doctor;
    const request = { client: app.id, user, patient: 'patient-001', encounter: 'visit-patient-001' };
    const takeUp = async (): Promise<URLSearchParams> => {
      const { launch } = await server.launches.create(request);
      const query = new URLSearchParams({
        response_type: 'code',
        client_id: app.id,
        redirect_uri: app.redirectUris[0] ?? '',
        scope: 'launch patient/*.rs',
        state: 'state-0123456789',
        aud: `${served.url}/fhir`,
        code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
        code_challenge_method: 'S256',
        launch,
      });
      const reply = await fetch(`${served.url}/auth/authorize?${query}`, { redirect: 'manual' });
      const id = new URL(reply.headers.get('location') ?? '', served.url).pathname.split('/').at(-1) ?? '';
      if (isToBeMoved) await perform('PUT', 'Encounter/visit-patient-001', moved);
      const interaction = await server.interactions.get(id);
      if (interaction === undefined) throw new Error(await reply.text());
      const decision = { user, authTime: Date.now(), amr: ['pwd'], scopes: interaction.scopes, session: '' };
      return new URL(await server.interactions.finish(interaction, decision)).searchParams;
    };
    const moved = { ...resources.find(({ id }) => id === 'visit-patient-002'), id: 'visit-patient-001' };
    let isToBeMoved = false;
    t.ok((await takeUp()).get('code'));
    isToBeMoved = true;
    t.equal((await takeUp()).get('error'), 'access_denied', 'the encounter became another patient’s');
  });

  await t.test('nobody but our own application makes a launch', async (t) => {
    const body = { patient: 'patient-001' };
    t.equal((await post('doctor', body)).status, 201);
    await server.clients.setState(demoClient.id, 'disabled');
    await t.rejects(post('doctor', body), 'not even it, once it is disabled');
    const headers = { 'content-type': 'application/json' };
    const init = { method: 'POST', headers, body: JSON.stringify({ client_id: app.id, ...body }) };
    const reply = await fetch(`${served.url}/auth/launch`, init);
    t.equal(reply.status, 401);
  });
});

// Binary, attachments: a Binary is seen by who sees what it belongs to, and written by who may write that; the resource
// that its securityContext names, or without one what it is attached to. https://hl7.org/fhir/R4/binary.html#security
import t from 'tap';
import type { Principal } from '../../../src/fhir/caller.ts';
import { baseUrl, engineOn, type Reply, type TestEngine } from '../../support/engine.ts';
import { onBothStores } from '../../support/stores.ts';
import {
  alike,
  clinician,
  clinicianFor,
  clinicianOfAll,
  frontDesk,
  patientA,
  practice,
  RESTRICTED,
  scope,
  userOf,
} from './setting.ts';

t.setTimeout(300_000);

const binary = (id: string | undefined, context?: string, more: object = {}): Record<string, unknown> => ({
  resourceType: 'Binary',
  ...(id === undefined ? {} : { id }),
  contentType: 'text/plain',
  ...(context === undefined ? {} : { securityContext: { reference: context } }),
  data: 'aGVsbG8=',
  ...more,
});

const document = (
  id: string | undefined,
  patient: string,
  url: string,
  more: object = {},
): Record<string, unknown> => ({
  resourceType: 'DocumentReference',
  ...(id === undefined ? {} : { id }),
  status: 'current',
  subject: { reference: `Patient/${patient}` },
  content: [{ attachment: { url } }],
  ...more,
});

const photo = (id: string, url: string): Record<string, unknown> => ({ resourceType: 'Patient', id, photo: [{ url }] });

const lab: Principal = {
  client: 'lab',
  grant: 'grant-l',
  purpose: 'TREAT',
  service: { reference: 'Organization/lab', roles: ['lab'] },
  scopes: [scope('system', '*', 'cruds')],
};

const order = (id: string, performer: string): Record<string, unknown> => ({
  resourceType: 'ServiceRequest',
  id,
  status: 'active',
  intent: 'order',
  subject: { reference: 'Patient/a' },
  performer: [{ reference: performer }],
});

const report = (id: string | undefined, basedOn: string, more: object = {}): Record<string, unknown> => ({
  resourceType: 'DiagnosticReport',
  ...(id === undefined ? {} : { id }),
  status: 'final',
  code: { text: 'x' },
  subject: { reference: 'Patient/a' },
  basedOn: [{ reference: basedOn }],
  ...more,
});

const statuses = async (ask: (id: string) => Promise<Reply>, ids: readonly string[]): Promise<string> =>
  (await Promise.all(ids.map(async (id) => `${id} ${(await ask(id)).status}`))).join(', ');

const all = (ids: readonly string[], status: number): string => ids.map((id) => `${id} ${status}`).join(', ');

await onBothStores(t, async (t, adapter) => {
  t.setTimeout(0);

  await t.test('threat 3: a Binary: its securityContext decides in its place', async (t) => {
    const { askAs, put } = await practice(t, adapter);
    const open: Record<string, string> = {
      patient: 'Patient/a',
      version: 'Patient/a/_history/1',
      absolute: `${baseUrl}/Observation/oa`,
      shared: 'Practitioner/1',
    };
    const closed: Record<string, string> = {
      other: 'Patient/b',
      elsewhere: 'http://elsewhere.example/fhir/Patient/a',
      missing: 'Patient/none',
      self: 'Binary/self',
      binary: 'Binary/patient',
      inside: '#inside',
      query: 'Patient?name=able',
    };
    for (const [id, context] of Object.entries({ ...open, ...closed, secret: 'Observation/secret' }))
      await put(binary(id, context));
    await put(binary('named', undefined, { securityContext: { identifier: { value: 'x' } } }));
    await put(binary('labelled', 'Patient/a', { meta: RESTRICTED }));
    await put(binary('orphan'));
    const shown = Object.keys(open);
    const hidden = [...Object.keys(closed), 'named', 'orphan'];
    for (const who of [clinician, patientA]) {
      const ask = askAs(who);
      t.equal(await statuses((id) => ask('GET', `Binary/${id}`), shown), all(shown, 200));
      t.equal(await statuses((id) => ask('GET', `Binary/${id}`), hidden), all(hidden, 404));
      t.equal(await statuses((id) => ask('GET', `Binary/${id}/_history/1`), [...shown]), all(shown, 200));
      t.equal(await statuses((id) => ask('GET', `Binary/${id}/_history`), hidden), all(hidden, 404));
      const found = await ask('GET', `Binary?_id=${[...shown, ...hidden]}&_total=accurate`);
      t.equal(found.json.total, shown.length);
      t.ok(alike(await ask('GET', 'Binary/other'), 'other', await ask('GET', 'Binary/absent'), 'absent'));
    }
    const labelled = ['secret', 'labelled'];
    t.equal(await statuses((id) => askAs(clinician)('GET', `Binary/${id}`), labelled), all(labelled, 404));
    t.equal(await statuses((id) => askAs(patientA)('GET', `Binary/${id}`), labelled), all(labelled, 200));
    t.equal(await statuses((id) => askAs(clinicianOfAll)('GET', `Binary/${id}`), labelled), all(labelled, 404));
    const seen = [...shown, 'other', 'orphan'];
    t.equal(await statuses((id) => askAs(clinicianOfAll)('GET', `Binary/${id}`), seen), all(seen, 200));
    const types = (await askAs(clinician)('GET', '_history?_count=200')).json.entry as { resource: { id: string } }[];
    t.notOk(types.some(({ resource }) => hidden.includes(resource.id)));
  });

  await t.test('threat 3: a Binary without a context is seen through what it is attached to', async (t) => {
    const { askAs, put } = await practice(t, adapter);
    const ids = ['da', 'db', 'face', 'secret', 'context', 'contained'];
    for (const id of ids) await put(binary(id, id === 'context' ? 'Patient/b' : undefined));
    await put(document('da', 'a', `${baseUrl}/Binary/da/_history/1`));
    await put(document('db', 'b', 'Binary/db'));
    await put(document('ds', 'a', 'Binary/secret', { meta: RESTRICTED }));
    await put(document('dc', 'a', 'Binary/context'));
    await put(photo('a', 'Binary/face'));
    const contained = [{ ...document('x', 'a', 'Binary/contained') }];
    await put({ resourceType: 'Basic', id: 'x', contained, code: { text: 'x' }, subject: { reference: 'Patient/a' } });
    const see = (who: Principal) => statuses((id) => askAs(who)('GET', `Binary/${id}`), ids);
    t.equal(await see(clinician), 'da 200, db 404, face 200, secret 404, context 404, contained 404');
    t.equal(await see(patientA), 'da 200, db 404, face 200, secret 200, context 404, contained 404');
    t.equal(await see(frontDesk), 'da 404, db 404, face 200, secret 404, context 200, contained 404');
    t.equal(await see(clinicianOfAll), 'da 200, db 200, face 200, secret 404, context 200, contained 200');
    const narrow = clinicianFor('', scope('user', 'Binary', 'rs'), scope('user', 'Patient', 'rs'));
    t.equal(await see(narrow), 'da 404, db 404, face 200, secret 404, context 404, contained 404');
    const isMember = (await askAs(patientA)('GET', 'Patient/a/$everything')).json.entry as { fullUrl: string }[];
    t.ok(isMember.some(({ fullUrl }) => fullUrl.endsWith('Binary/da')));
    t.notOk(isMember.some(({ fullUrl }) => fullUrl.endsWith('Binary/db')));
  });

  await t.test('threat 12: an element that is hidden opens no Binary', async (t) => {
    const { askAs, put } = await practice(t, adapter);
    for (const id of ['face', 'result', 'foreign']) await put(binary(id));
    await put(order('sr', 'Organization/lab'));
    await put(order('so', 'Organization/other'));
    await put(report('r', 'ServiceRequest/sr', { presentedForm: [{ url: 'Binary/result' }] }));
    await put(report('ro', 'ServiceRequest/so', { presentedForm: [{ url: 'Binary/foreign' }] }));
    await put(photo('a', 'Binary/face'));
    const ask = askAs(lab);
    t.equal((await ask('GET', 'Patient/a')).status, 200);
    const ids = ['face', 'result', 'foreign'];
    t.equal(await statuses((id) => ask('GET', `Binary/${id}`), ids), 'face 404, result 200, foreign 404');
  });

  await t.test('Binary: what becomes of its context or document becomes of it', async (t) => {
    const { ask: askFreely, askAs, put } = await practice(t, adapter);
    const ask = askAs(clinician);
    const see = () => statuses((id) => ask('GET', `Binary/${id}`), ['of', 'by']);
    await put(document('d', 'a', 'Binary/by'));
    await put(binary('of', 'DocumentReference/d'));
    await put(binary('by'));
    t.equal(await see(), 'of 200, by 200');
    await put(document('d', 'b', 'Binary/by'));
    t.equal(await see(), 'of 404, by 404', 'moved');
    await put(document('d', 'a', 'Binary/by', { meta: RESTRICTED }));
    t.equal(await see(), 'of 404, by 404', 'labelled');
    await put(document('d', 'a', 'Binary/none'));
    t.equal(await see(), 'of 200, by 404', 'taken away');
    await put(document('d', 'a', 'Binary/by'));
    const deny = { type: 'deny', actor: [{ role: { text: 'x' }, reference: { reference: 'Practitioner/1' } }] };
    const kinds = { class: [{ code: 'DocumentReference' }] };
    const consent = (status: string) => ({
      resourceType: 'Consent',
      id: 'c',
      status,
      scope: { text: 'privacy' },
      category: [{ text: 'x' }],
      policy: [{ uri: 'urn:x' }],
      patient: { reference: 'Patient/a' },
      provision: { ...deny, ...kinds },
    });
    await put(consent('active'));
    t.equal(await see(), 'of 404, by 404', 'refused');
    await put(consent('inactive'));
    t.equal(await see(), 'of 200, by 200');
    await askFreely('DELETE', 'DocumentReference/d');
    t.equal(await see(), 'of 404, by 404', 'deleted');
    t.equal((await askAs(clinicianOfAll)('GET', 'Binary/of')).status, 404, 'its context is not here');
  });

  await t.test(
    'threat 11: versions of a Binary are seen by their own contexts, deletions by who saw the last',
    async (t) => {
      const { ask: askFreely, askAs, put } = await practice(t, adapter);
      const ask = askAs(clinician);
      await put(binary('v', 'Patient/b'));
      await put(binary('v', 'Patient/a'));
      const seen = (reply: Reply) => reply.json.entry?.map((one: { fullUrl: string }) => one.fullUrl).length;
      t.equal((await ask('GET', 'Binary/v/_history/1')).status, 404);
      t.equal((await ask('GET', 'Binary/v/_history/2')).status, 200);
      t.equal(seen(await ask('GET', 'Binary/v/_history')), 1);
      await askFreely('DELETE', 'Binary/v');
      t.equal((await ask('GET', 'Binary/v')).status, 410);
      await put(binary('w', 'Patient/b'));
      await askFreely('DELETE', 'Binary/w');
      t.equal((await ask('GET', 'Binary/w')).status, 404);
    },
  );

  await t.test('Binary: written by who may write what it belongs to', async (t) => {
    const { askAs, put } = await practice(t, adapter);
    const ask = askAs(clinician);
    const created = await ask('POST', 'Binary', binary(undefined, 'Patient/a'));
    t.equal(created.status, 201, created.text);
    const { id } = created.json;
    for (const context of [undefined, 'Patient/b', 'Patient/none', 'Binary/x', 'Claim/none', 'urn:uuid:x']) {
      const refused = await ask('POST', 'Binary', binary(undefined, context));
      t.equal(refused.status, 403, String(context));
      t.match(refused.text, /X-Security-Context/);
    }
    t.equal((await ask('PUT', `Binary/${id}`, binary(id, 'Patient/b'))).status, 403, 'not out of reach');
    t.equal((await ask('PUT', `Binary/${id}`, binary(id))).status, 403, 'nor to nobody');
    t.equal((await ask('PUT', `Binary/${id}`, binary(id, 'Observation/oa'))).status, 200);
    t.equal((await ask('DELETE', `Binary/${id}`)).status, 204);
    await put(binary('b', 'Patient/b'));
    t.equal((await ask('PUT', 'Binary/b', binary('b', 'Patient/a'))).status, 404, 'not from out of reach');
    t.equal((await ask('PUT', 'Binary/new', binary('new', 'Patient/a'))).status, 404);
    t.equal((await ask('DELETE', 'Binary/b')).status, 204, 'as if it were not there');
    t.equal((await askAs(clinicianOfAll)('GET', 'Binary/b')).status, 200);
    t.equal((await askAs(patientA)('POST', 'Binary', binary(undefined, 'Patient/a'))).status, 403);
    t.equal((await askAs(clinicianOfAll)('POST', 'Binary', binary(undefined))).status, 201);
    t.equal((await askAs(clinicianOfAll)('POST', 'Binary', binary(undefined, 'Observation/secret'))).status, 403);
    await put(order('sr', 'Organization/lab'));
    await put(report('r', 'ServiceRequest/sr'));
    t.equal((await askAs(lab)('POST', 'Binary', binary(undefined, 'DiagnosticReport/r'))).status, 201);
    t.equal((await askAs(lab)('POST', 'Binary', binary(undefined, 'Patient/a'))).status, 403);
  });

  await t.test('Binary: a document and its content come in one transaction', async (t) => {
    const { askAs } = await practice(t, adapter);
    const [one, other] = [
      'urn:uuid:0b1b1ee6-2f2d-4f21-8a61-2d4d7a7dd4f0',
      'urn:uuid:0b1b1ee6-2f2d-4f21-8a61-2d4d7a7dd4f1',
    ];
    const bundle = (patient: string) => ({
      resourceType: 'Bundle',
      type: 'transaction',
      entry: [
        { fullUrl: one, resource: binary(undefined, other), request: { method: 'POST', url: 'Binary' } },
        {
          fullUrl: other,
          resource: document(undefined, patient, one),
          request: { method: 'POST', url: 'DocumentReference' },
        },
      ],
    });
    const done = await askAs(clinician)('POST', '', bundle('a'));
    t.equal(done.status, 200, done.text);
    const [place] = done.json.entry.map((entry: { response: { location: string } }) => entry.response.location);
    t.equal((await askAs(clinician)('GET', place.replace(/^.*(Binary\/[^/]+).*$/, '$1'))).status, 200);
    t.equal((await askAs(clinician)('POST', '', bundle('b'))).status, 403);
  });

  await t.test('threat 10: nobody opens a Binary for themselves by attaching it', async (t) => {
    const { askAs, put } = await practice(t, adapter);
    await put(binary('b'));
    await put(document('db', 'b', 'Binary/b'));
    await put(binary('a', 'Patient/a'));
    await put(binary('labelled', undefined, { meta: RESTRICTED }));
    const ask = askAs(clinician);
    const own = await ask('POST', 'DocumentReference', document(undefined, 'a', 'Binary/a'));
    t.equal(own.status, 201, own.text);
    const hidden = await ask('POST', 'DocumentReference', document(undefined, 'a', 'Binary/b'));
    const absent = await ask('POST', 'DocumentReference', document(undefined, 'a', 'Binary/absent'));
    t.equal(hidden.status, 403);
    t.ok(alike(hidden, 'Binary/b', absent, 'Binary/absent'));
    const { id } = own.json;
    const url = `${baseUrl}/Binary/b`;
    t.equal((await ask('PUT', `DocumentReference/${id}`, document(id, 'a', url))).status, 403);
    const patch = [{ op: 'replace', path: '/content/0/attachment/url', value: 'Binary/b' }];
    const headers = { 'Content-Type': 'application/json-patch+json' };
    t.equal((await ask('PATCH', `DocumentReference/${id}`, patch, headers)).status, 403);
    const answer = {
      resourceType: 'Communication',
      status: 'completed',
      subject: { reference: 'Patient/a' },
      payload: [{ contentAttachment: { url: 'Binary/b' } }],
    };
    t.equal((await askAs(patientA)('POST', 'Communication', answer)).status, 403);
    t.equal((await ask('GET', 'Binary/b')).status, 404);
    await put(document('kept', 'a', 'Binary/absent'));
    const changed = document('kept', 'a', 'Binary/absent', { description: 'x' });
    t.equal((await ask('PUT', 'DocumentReference/kept', changed)).status, 200, 'what was attached before stays');
    const everywhere = askAs(clinicianOfAll);
    const attach = (url: string) => everywhere('POST', 'DocumentReference', document(undefined, 'a', url));
    t.equal((await attach('Binary/labelled')).status, 403);
    t.equal((await attach('Binary/later')).status, 201, 'who sees all of them may send the content later');
  });

  await t.test('Binary: emergency access shows what belongs to the one patient, whatever labels say', async (t) => {
    const { askAs, put } = await practice(t, adapter);
    await put(binary('b', 'Patient/b', { meta: RESTRICTED }));
    await put(binary('a', 'Patient/a', { meta: RESTRICTED }));
    const helper: Principal = { ...clinician, grant: 'grant-e', emergency: 'b' };
    t.equal(await statuses((id) => askAs(helper)('GET', `Binary/${id}`), ['a', 'b']), 'a 404, b 200');
  });

  await t.test('Binary: whether there are any is not told by who may read none', async (t) => {
    const { askAs, put } = await practice(t, adapter);
    const nobody: Principal = { ...clinician, user: userOf(['clinician'], 'Practitioner/9') };
    const before = await askAs(nobody)('GET', 'Binary/x');
    t.equal(before.status, 404);
    await put(binary('x', 'Patient/a'));
    t.strictSame(await askAs(nobody)('GET', 'Binary/x'), before);
    t.equal((await askAs({ ...clinician, scopes: [scope('user', 'Patient', 'rs')] })('GET', 'Binary/x')).status, 403);
  });

  await t.test('Binary: engines that start later, on a store of an older index, too', async (t) => {
    const { store, close } = await adapter.open();
    t.teardown(close);
    const first = await engineOn(store);
    const put = (resource: Record<string, unknown>) =>
      first.ask('PUT', `${resource.resourceType}/${resource.id}`, resource);
    await put({ resourceType: 'Patient', id: 'a' });
    const subject = { reference: 'Patient/a' };
    await put({ resourceType: 'Media', id: 'm', status: 'completed', subject, content: { url: 'Binary/by' } });
    await put(binary('of', 'Media/m'));
    await put(binary('by'));
    const see = ({ askAs }: TestEngine) => statuses((id) => askAs(patientA)('GET', `Binary/${id}`), ['of', 'by']);
    t.equal(await see(first), 'of 200, by 200', 'of a type that none belonged to before');
    t.equal(await see(await engineOn(store)), 'of 200, by 200');
    const { rows } = await store.scan({ limit: 10 });
    const older = rows.map(({ type, id, version, ord, allKeys }) => {
      const keys = allKeys.filter((key) => !/^@(ctx|att|tie):/.test(key));
      return { type, id, version, ord, keys, terms: [] };
    });
    t.equal(await store.reindex(older), 4);
    await store.records.put({ kind: 'setting', id: 'index', value: '3' }, 0);
    const later = await engineOn(store);
    t.equal(await see(later), 'of 404, by 404');
    t.equal(await later.engine.upgradeIndex(), 4);
    t.equal(await see(later), 'of 200, by 200');
    t.equal(await later.engine.upgradeIndex(), 0);
  });
});

// The whole server with access control on, over sockets: who gets in, how far, and what becomes of it when rights end.
import t from 'tap';
import { createLog } from '../../src/base/log.ts';
import { demoClient } from '../../src/cli/demo.ts';
import { guardedApp, tokenFor } from '../support/guarded-app.ts';
import { onBothStores } from '../support/stores.ts';

const fhirJson = { 'content-type': 'application/fhir+json' };

await onBothStores(t, async (t, adapter) => {
  const lines: string[] = [];
  const log = createLog({ level: 'trace', destination: { write: (line) => lines.push(line) } });
  const { store, close } = await adapter.open();
  const served = await guardedApp(store, { log, settings: { CARELOOM_RATE_LIMITS: 'off' } });
  t.teardown(async () => {
    await served.close();
    await close();
  });
  await served.control.server.clients.add(demoClient);
  const ask = async (path: string, token?: string, init: RequestInit = {}) => {
    const authorization: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const headers = { ...authorization, ...(init.headers as Record<string, string> | undefined) };
    const reply = await fetch(served.url + path, { redirect: 'manual', ...init, headers });
    const text = await reply.text();
    const isJson = reply.headers.get('content-type')?.includes('json') === true;
    return { status: reply.status, headers: reply.headers, text, json: isJson ? JSON.parse(text) : undefined };
  };

  await t.test(
    'threat 5: every interaction is refused without a token, and leaves no trace in the store',
    async (t) => {
      const before = [...(await store.stats())];
      const patient = JSON.stringify({ resourceType: 'Patient', id: 'patient-001' });
      const bundle = JSON.stringify({
        resourceType: 'Bundle',
        type: 'batch',
        entry: [{ request: { method: 'GET', url: 'Patient/patient-001' } }],
      });
      const requests: [method: string, path: string, body?: string, type?: string][] = [
        ['GET', ''],
        ['POST', '', bundle],
        ['GET', '/Patient'],
        ['GET', '/Patient/patient-001'],
        ['GET', '/Patient/patient-001/_history'],
        ['GET', '/Patient/patient-001/_history/1'],
        ['GET', '/Patient/_history'],
        ['GET', '/_history'],
        ['POST', '/Patient', patient],
        ['POST', '/Patient/_search', 'name=smith', 'application/x-www-form-urlencoded'],
        ['PUT', '/Patient/patient-001', patient],
        ['PUT', '/Patient?name=smith', patient],
        ['PATCH', '/Patient/patient-001', '[]', 'application/json-patch+json'],
        ['DELETE', '/Patient/patient-001'],
        ['DELETE', '/Patient?name=smith'],
        ['GET', '/Patient/patient-001/Observation'],
        ['GET', '/Patient/patient-001/$everything'],
        ['GET', '/Patient/patient-001/$access-report'],
        ['GET', '/Observation/$lastn?patient=patient-001'],
        ['GET', '/Observation/$explain?patient=patient-001'],
        ['GET', '/$job-status?id=1'],
        ['POST', '/$graphql', '{"query":"{PatientList{id}}"}', 'application/json'],
        ['POST', '/ViewDefinition/$run', '{}'],
        ['GET', '/AuditEvent'],
        ['POST', '/Binary', 'x', 'text/plain'],
      ];
      for (const [method, path, body, type = fhirJson['content-type']] of requests) {
        const init = body === undefined ? { method } : { method, body, headers: { 'content-type': type } };
        for (const token of [undefined, 'A'.repeat(43)]) {
          const reply = await ask(`/fhir${path}`, token, init);
          t.equal(reply.status, 401, `${method} ${path}`);
          t.match(reply.json, { resourceType: 'OperationOutcome', issue: [{ code: 'login' }] });
        }
      }
      t.strictSame([...(await store.stats())], before);
      t.equal((await ask('/fhir/metadata')).json.rest[0].security.service[0].text, 'SMART-on-FHIR');
      t.match((await ask('/fhir/.well-known/smart-configuration')).json, {
        token_endpoint: `${served.url}/auth/token`,
      });
    },
  );

  await t.test('threat 5: no route beside the FHIR base tells anything to nobody', async (t) => {
    for (const { method, path, isCrossOrigin } of served.control.authentication.routes) {
      const reply = await ask(path.replace(/:\w+/g, 'x'), undefined, { method });
      t.ok(reply.status < 500, `${method} ${path}: ${reply.status}`);
      t.notMatch(reply.text, /Smith|Jones|patient-00|Practitioner\//, path);
      t.equal(reply.headers.get('access-control-allow-origin'), null);
      const origin = { origin: 'https://app.example' };
      const crossed = await ask(path.replace(/:\w+/g, 'x'), undefined, { method, headers: origin });
      t.equal(crossed.headers.get('access-control-allow-origin'), isCrossOrigin === true ? '*' : null, path);
    }
  });

  await t.test("threat 3: another patient's record answers as one that does not exist", async (t) => {
    const token = await tokenFor(served, 'anna', 'launch/patient patient/*.rs', 'patient-001');
    t.equal((await ask('/fhir/Patient/patient-001', token)).status, 200);
    t.match((await ask('/fhir/Observation', token)).json.entry, [{ resource: { id: 'of-patient-001' } }]);
    for (const path of ['Patient/patient-002', 'Observation/of-patient-002', 'Patient/patient-002/_history/1']) {
      const reply = await ask(`/fhir/${path}`, token);
      const missing = await ask(`/fhir/${path.replace('patient-002', 'patient-999')}`, token);
      t.equal(reply.status, 404, path);
      t.equal(reply.text.replaceAll('patient-002', '*'), missing.text.replaceAll('patient-999', '*'));
    }
    const refused = await ask('/fhir/Patient', token, {
      method: 'POST',
      headers: fhirJson,
      body: '{"resourceType":"Patient"}',
    });
    t.equal(refused.status, 403);
    t.match(refused.headers.get('www-authenticate'), 'insufficient_scope');
  });

  await t.test('who saw a record is told to its patient alone, and to no app that was not given as much', async (t) => {
    const report = async (login: 'anna' | 'doctor' | 'admin', scope: string, id = 'patient-001') => {
      const token = await tokenFor(served, login, scope, login === 'anna' ? 'patient-001' : undefined);
      return ask(`/fhir/Patient/${id}/$access-report`, token);
    };
    const own = await report('anna', 'launch/patient patient/*.rs');
    t.equal(own.status, 200);
    t.match(own.json, { resourceType: 'Parameters', parameter: [{ name: 'patient' }, { name: 'access' }] });
    t.equal((await report('anna', 'launch/patient patient/Patient.rs patient/AuditEvent.rs')).status, 200);
    t.equal((await report('anna', 'launch/patient patient/*.rs', 'patient-002')).status, 404);
    t.equal((await report('anna', 'launch/patient patient/Patient.rs')).status, 403, 'the wrong scope');
    for (const login of ['doctor', 'admin'] as const) t.equal((await report(login, 'user/*.rs')).status, 403, login);
    const token = await tokenFor(served, 'anna', 'launch/patient patient/*.rs', 'patient-001');
    t.equal((await ask('/fhir/AuditEvent?patient=patient-001', token)).status, 403, 'no raw lines');
  });

  await t.test('the administrator has no clinical read', async (t) => {
    const token = await tokenFor(served, 'admin', 'user/*.cruds');
    t.equal((await ask('/fhir/Patient/patient-001', token)).status, 403);
    t.equal((await ask('/fhir/Practitioner/practitioner-1', token)).status, 200);
  });

  await t.test('a page of another origin uses its token, within the same bounds', async (t) => {
    const token = await tokenFor(served, 'doctor', 'user/*.rs');
    const origin = { origin: 'https://app.example' };
    const read = await ask('/fhir/Patient/patient-001', token, { headers: origin });
    t.equal(read.headers.get('access-control-allow-origin'), '*');
    const refused = await ask('/fhir/AuditEvent', token, { headers: origin });
    t.equal(refused.status, 403);
    t.equal(refused.headers.get('access-control-allow-origin'), '*', 'who may see that it was refused');
  });

  await t.test('what ends a right ends it at once: the grant, the person, the app', async (t) => {
    const { server, accounts } = served.control;
    const works = async (token: string) => (await ask('/fhir/Practitioner/practitioner-1', token)).status;
    const revoked = await tokenFor(served, 'doctor', 'user/*.rs');
    t.equal(await works(revoked), 200);
    t.ok((await server.grants.revokeAllOf(served.people.doctor, 'test')) > 0);
    t.equal(await works(revoked), 401);
    const disabled = await tokenFor(served, 'doctor', 'user/*.rs');
    t.equal(await works(disabled), 200);
    await accounts.users.change(served.people.doctor, (user) => ({ ...user, isEnabled: false }));
    t.equal(await works(disabled), 401);
    await accounts.users.change(served.people.doctor, (user) => ({ ...user, isEnabled: true }));
    t.equal(await works(disabled), 200);
    await server.clients.setState(demoClient.id, 'disabled');
    t.equal(await works(disabled), 401);
    await server.clients.setState(demoClient.id, 'active');
  });

  await t.test('the record says who, from where, under which request', async (t) => {
    const token = await tokenFor(served, 'doctor', 'user/*.rs');
    await ask('/fhir/Patient/patient-002', token, { headers: { 'x-request-id': 'seen-1' } });
    const { rows } = await store.audit.rows({ patient: 'patient-002', descending: true, limit: 5 });
    const row = rows.find(({ body }) => body.includes('seen-1'));
    t.equal(row?.agent, 'Practitioner/practitioner-1');
    t.match(row?.body, '127.0.0.1');
    const { rows: all } = await store.audit.rows({ descending: false, limit: 200 });
    t.ok(
      all.some(({ body }) => body.includes('"k":"token"')),
      'tokens are on record as well',
    );
    t.notMatch(all.map(({ body }) => body).join(''), token);
  });

  await t.test('threat 33: the log knows no token, name, id or address', async (t) => {
    const token = await tokenFor(served, 'anna', 'patient/*.rs', 'patient-001');
    await ask('/fhir/Patient/patient-001?_summary=true', token);
    await ask('/fhir/Patient/patient-001', `${token}x`);
    await ask('/auth/setup/of-the-canary');
    await log.flush();
    const text = lines.join('');
    t.ok(lines.length > 50);
    for (const canary of [token, 'patient-001', 'Smith', 'practitioner-1', 'of-the-canary', '127.0.0.1', 'doctor'])
      t.notMatch(text, canary);
  });
});

// What may be seen, interaction by interaction, on both stores.
import t from 'tap';
import { matchIds, nextLink, type Reply } from '../../support/engine.ts';
import { onBothStores } from '../../support/stores.ts';
import {
  alike,
  clinician,
  clinicianFor,
  clinicianOfAll,
  encounter,
  frontDesk,
  observation,
  patientA,
  practice,
  RESTRICTED,
  scope,
} from './setting.ts';

const ids = (reply: Reply): string[] =>
  (reply.json.entry ?? []).map((entry: { resource: { id: string } }) => entry.resource.id).sort();

const versions = (reply: Reply): string[] =>
  (reply.json.entry ?? []).map((entry: { response: { etag: string } }) => entry.response.etag);

t.setTimeout(300_000);

await onBothStores(t, async (t, adapter) => {
  t.setTimeout(0);
  await t.test('threats 3, 9: what may not be seen is answered as what is not there', async (t) => {
    const { askAs } = await practice(t, adapter);
    for (const principal of [patientA, clinician]) {
      const ask = askAs(principal);
      t.equal((await ask('GET', 'Observation/oa')).status, 200);
      const hidden = await ask('GET', 'Observation/ob');
      const absent = await ask('GET', 'Observation/none');
      t.equal(hidden.status, 404);
      t.ok(alike(hidden, 'ob', absent, 'none'), 'read: the same answer but for the id');
      for (const rest of ['_history', '_history/1', '$meta']) {
        const [one, other] = [await ask('GET', `Observation/ob/${rest}`), await ask('GET', `Observation/none/${rest}`)];
        t.equal(one.status, 404, rest);
        t.ok(alike(one, 'ob', other, 'none'), `${rest}: the same answer`);
      }
      const everything = await ask('GET', 'Patient/b/$everything');
      t.ok(alike(everything, 'Patient/b', await ask('GET', 'Patient/none/$everything'), 'Patient/none'), '$everything');
    }
  });

  await t.test('threat 3: labels hide from read, search, totals and includes, unless cleared', async (t) => {
    const { askAs } = await practice(t, adapter);
    const ask = askAs(clinicianOfAll);
    t.equal((await ask('GET', 'Observation/secret')).status, 404);
    t.same(matchIds(await ask('GET', 'Observation?_id=secret,oa')), ['oa']);
    t.equal((await ask('GET', 'Observation?_summary=count')).json.total, 2);
    t.same(ids(await ask('GET', 'Patient?_id=a&_revinclude=Observation:subject')), ['a', 'oa']);
    const { user } = clinicianOfAll;
    const cleared = askAs({ ...clinicianOfAll, ...(user && { user: { ...user, clearance: ['R'] } }) });
    t.equal((await cleared('GET', 'Observation/secret')).status, 200);
  });

  await t.test('threat 11: a record that was moved shows the versions of its patient alone', async (t) => {
    const { askAs, put } = await practice(t, adapter);
    await put(observation('moves', 'b'));
    await put(observation('moves', 'a'));
    const ask = askAs(patientA);
    t.equal((await ask('GET', 'Observation/moves')).status, 200);
    t.equal((await ask('GET', 'Observation/moves/_history/1')).status, 404);
    t.same(versions(await ask('GET', 'Observation/moves/_history')), ['W/"2"']);
    await put(observation('moves', 'b'));
    t.equal((await ask('GET', 'Observation/moves/_history/2')).status, 404, 'it is not theirs any more');
    t.equal((await ask('GET', 'Observation/moves/_history')).status, 404);
    t.notOk(ids(await ask('GET', 'Observation/_history')).includes('moves'));
  });

  await t.test('threat 11: a record that was relabelled shows no version of before or after', async (t) => {
    const { askAs, put } = await practice(t, adapter);
    const ask = askAs(clinician);
    await put(observation('label', 'a', { meta: RESTRICTED }));
    await put(observation('label', 'a'));
    t.same(versions(await ask('GET', 'Observation/label/_history')), ['W/"2"']);
    t.equal((await ask('GET', 'Observation/label/_history/1')).status, 404);
    await put(observation('label', 'a', { meta: RESTRICTED }));
    t.equal((await ask('GET', 'Observation/label/_history')).status, 404);
    t.equal((await ask('GET', 'Observation/label/_history/2')).status, 404);
  });

  await t.test('threat 9: 410 only where the last version was to be seen', async (t) => {
    const { ask: server, askAs } = await practice(t, adapter);
    const ask = askAs(patientA);
    await server('DELETE', 'Observation/oa');
    await server('DELETE', 'Observation/ob');
    t.equal((await ask('GET', 'Observation/oa')).status, 410);
    t.equal((await ask('GET', 'Observation/oa/_history/2')).status, 410);
    t.equal((await ask('GET', 'Observation/ob')).status, 404);
    t.equal((await ask('GET', 'Observation/ob/_history/2')).status, 404);
    t.notOk((await ask('GET', 'Observation/_history')).text.includes('Observation/ob'));
  });

  await t.test('threat 1: a chain or _has over a type without s is refused, naming the type', async (t) => {
    const { askAs } = await practice(t, adapter);
    const ask = askAs(clinicianFor('', scope('user', 'Observation', 'rs'), scope('user', 'Patient', 'r')));
    for (const url of [
      'Observation?patient.gender=male',
      'Observation?subject:Patient._has:Observation:subject:status=final',
      'Observation?_sort=patient.family',
      'Observation?_filter=patient.gender%20eq%20male',
      'Patient?_has:Observation:subject:status=final',
    ]) {
      const reply = await ask('GET', url);
      t.equal(reply.status, 403, url);
      t.match(reply.text, /You may not search Patient/);
    }
    const patients = askAs(clinicianFor('', scope('user', 'Patient', 'rs')));
    t.equal((await patients('GET', 'Patient?_has:Observation:subject:status=final')).status, 403);
    t.same(ids(await patients('GET', 'Patient?_revinclude=Observation:subject')), ['a'], 'and brings nothing along');
  });

  await t.test('threat 2: includes do not leave the compartment', async (t) => {
    const { askAs, put } = await practice(t, adapter);
    await put(
      observation('focus', 'a', { focus: [{ reference: 'Patient/b' }], hasMember: [{ reference: 'Observation/ob' }] }),
    );
    const ask = askAs(patientA);
    t.same(ids(await ask('GET', 'Observation?_id=focus&_include=*')), ['a', 'focus']);
    t.same(ids(await ask('GET', 'Observation?_id=focus&_include:iterate=Observation:focus&_revinclude=*')), ['focus']);
    t.same(ids(await ask('GET', 'Patient/a/$everything')).includes('b'), false);
    t.equal((await askAs(clinician)('GET', 'Observation?focus.gender=female')).json.total, 0);
  });

  await t.test('threat 12: hidden elements are shown nowhere', async (t) => {
    const { askAs } = await practice(t, adapter);
    const ask = askAs(frontDesk);
    const view = {
      resourceType: 'ViewDefinition',
      resource: 'Encounter',
      status: 'active',
      select: [{ column: [{ name: 'why', path: 'reasonCode.text.first()' }] }],
    };
    const run = {
      resourceType: 'Parameters',
      parameter: [
        { name: 'viewResource', resource: view },
        { name: '_format', valueCode: 'json' },
      ],
    };
    const query = '{ Encounter(id: "ea") { id reasonCode { text } diagnosis { condition { reference } } } }';
    const json = { 'Content-Type': 'application/json' };
    const answers = [
      await ask('GET', 'Encounter/ea'),
      await ask('GET', 'Encounter/ea/_history'),
      await ask('GET', 'Encounter/ea/_history/1'),
      await ask('GET', 'Encounter?_elements=reasonCode,diagnosis'),
      await ask('GET', 'Patient?_revinclude=Encounter:subject'),
      await ask('GET', 'Patient/a/$everything'),
      await ask('POST', '$graphql', { query }, json),
      await ask('POST', '$viewdefinition-run', run),
      await ask('GET', `Encounter/ea?_asOf=${new Date(Date.now() + 1000).toISOString()}`),
      await ask('POST', '', {
        resourceType: 'Bundle',
        type: 'batch',
        entry: [{ request: { method: 'GET', url: 'Encounter/ea' } }],
      }),
    ];
    for (const [at, { status, text }] of answers.entries()) {
      t.equal(status, 200, `answer ${at}`);
      t.match(text, /ea|why/, `answer ${at} tells of the encounter`);
      t.notMatch(text, /secret reason|Condition\/ca/, `answer ${at}`);
    }
    t.match(answers[0]?.text, /SUBSETTED/, 'what was cut is told');
    t.equal((await ask('GET', 'Encounter?_summary=count')).json.total, 2, 'they are counted all the same');
  });

  await t.test('threat 12: by hidden elements nothing is searched or sorted', async (t) => {
    const { askAs, put } = await practice(t, adapter);
    await put(encounter('ea', 'a'));
    const ask = askAs(frontDesk);
    for (const url of [
      'Encounter?reason-code=x',
      'Encounter?reason-code:missing=true',
      'Encounter?diagnosis=Condition/ca',
      'Encounter?_sort=reason-code',
      'Encounter?_text=secret',
      'Encounter?_content=secret',
      'Encounter?_filter=reason-code%20eq%20x',
      'Patient?_has:Encounter:subject:reason-code=x',
      'Encounter/$why-not?resource=Encounter/ea&reason-code=x',
    ]) {
      const reply = await ask('GET', url);
      t.equal(reply.status, 403, url);
      t.match(reply.text, /what you may not see/, url);
    }
    const included = await ask('GET', 'Encounter?_include=Encounter:diagnosis');
    t.notMatch(included.text, /Condition/);
  });

  await t.test('threat 13: a paging link of another grant is refused', async (t) => {
    const { askAs, put } = await practice(t, adapter);
    await put(observation('more', 'a'));
    const first = await askAs(patientA)('GET', 'Observation?_count=1');
    const next = nextLink(first) ?? '';
    t.equal((await askAs(patientA)('GET', next)).status, 200);
    for (const other of [{ ...patientA, grant: 'another' }, clinicianOfAll]) {
      const reply = await askAs(other)('GET', next);
      t.equal(reply.status, 400);
      t.notMatch(reply.text, /Observation\/|oa/);
    }
  });

  await t.test('threat 13: a page shows what may be seen when it is asked for', async (t) => {
    const { ask: server, askAs, put } = await practice(t, adapter);
    await put(observation('more', 'a'));
    const next = nextLink(await askAs(clinician)('GET', 'Observation?_count=1')) ?? '';
    await server('DELETE', 'CareTeam/t');
    t.same(matchIds(await askAs(clinician)('GET', next)), []);
  });

  await t.test('threat 13: the status of a job is for the grant that began it', async (t) => {
    const { askAs } = await practice(t, adapter);
    const begun = await askAs(patientA)('GET', 'Observation', undefined, { Prefer: 'respond-async' });
    t.equal(begun.status, 202);
    const url = begun.headers['Content-Location'] ?? '';
    t.not((await askAs(patientA)('GET', url)).status, 404);
    for (const method of ['GET', 'DELETE'] as const) {
      const reply = await askAs({ ...patientA, grant: 'another' })(method, url);
      t.equal(reply.status, 404);
      t.equal(reply.text, (await askAs(patientA)('GET', '$job-status?id=none')).text, 'as for a job that is not there');
    }
  });

  await t.test('granular scopes: what the query does not find is not there', async (t) => {
    const { askAs, put } = await practice(t, adapter);
    const laboratory = [{ coding: [{ system: 'http://c.example', code: 'laboratory' }] }];
    await put(observation('lab', 'a', { category: laboratory }));
    const ask = askAs(clinicianFor('', scope('user', 'Observation', 'rs', 'category=http://c.example|laboratory')));
    t.equal((await ask('GET', 'Observation/lab')).status, 200);
    t.equal((await ask('GET', 'Observation/oa')).status, 404);
    t.same(matchIds(await ask('GET', 'Observation')), ['lab']);
    t.equal((await ask('GET', 'Observation?_summary=count')).json.total, 1);
    await put(observation('lab', 'a'));
    t.equal((await ask('GET', 'Observation/lab/_history/1')).status, 404);
  });
});

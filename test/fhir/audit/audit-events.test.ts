// AuditEvents: read, searched and added to; rendered as IHE's Basic Audit Log Patterns have them.
import t from 'tap';
import type { Caller } from '../../../src/fhir/caller.ts';
import { compartmentKey } from '../../../src/fhir/search/keys.ts';
import { loadDefinitions } from '../../../src/model/definitions.ts';
import { structureIssues } from '../../../src/validation/structure.ts';
import { callerWith } from '../../support/callers.ts';
import { baseUrl, matchIds, nextLink, type Reply } from '../../support/engine.ts';
import { type Adapter, onBothStores, type Test } from '../../support/stores.ts';
import { type Asked, allLines, principal, recordingOn } from './support.ts';

const clinician: Caller = {
  ...callerWith({ of: () => ({ kind: 'all' }) }),
  principal: principal(),
};
const auditor: Caller = {
  ...callerWith({ of: () => ({ kind: 'all' }) }),
  principal: principal({ user: { id: 'u9', roles: ['auditor'], clearance: [] }, client: 'desk' }),
};

// biome-ignore lint/suspicious/noExplicitAny: events are looked into as loosely as other answers
type Event = any;
const eventsIn = (reply: Reply): Event[] =>
  (reply.json.entry ?? []).map(({ resource }: { resource: Event }) => resource);

const patient = (id: string) => ({ resourceType: 'Patient', id, name: [{ family: 'Quennell' }] });

async function filled(t: Test, adapter: Adapter) {
  const { store, close } = await adapter.open();
  t.teardown(close);
  const { ask: askAs, engine, linesOf } = await recordingOn(store);
  const ask = (url: string, asked: Asked = {}) => askAs(url, { caller: clinician, ...asked });
  for (const id of ['a', 'b']) await ask(`Patient/${id}`, { method: 'PUT', body: patient(id) });
  await ask('Patient/a');
  await ask('Patient?name=quennell');
  await ask('Patient/a', { method: 'DELETE' });
  await ask('Patient/x');
  const search = (query: string) => askAs(`AuditEvent?${query}`, { caller: auditor });
  return { store, ask, askAs, engine, search, linesOf };
}

const cases: Record<string, (t: Test, adapter: Adapter) => Promise<void>> = {
  'lines are rendered as BALP AuditEvents, one for each patient': async (t, adapter) => {
    const { search, ask } = await filled(t, adapter);
    const found = await search('_count=100&_sort=date');
    t.equal(found.status, 200);
    const events = eventsIn(found);
    t.equal(events.length, 7, 'the search of two patients is two events');
    for (const event of events) t.same(structureIssues(event, loadDefinitions()), [], event.id);

    const [create, , read, query] = events;
    t.match(create, {
      type: { system: 'http://terminology.hl7.org/CodeSystem/audit-event-type', code: 'rest' },
      subtype: [{ system: 'http://hl7.org/fhir/restful-interaction', code: 'update' }],
      action: 'U',
      outcome: '0',
      meta: { profile: ['https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientUpdate'] },
    });
    t.match(read, { action: 'R', subtype: [{ code: 'read' }], meta: { profile: [/PatientRead$/] } });
    const [client, server, user] = read.agent;
    t.match(client, {
      type: { coding: [{ code: '110152' }] },
      who: { identifier: { value: 'app' } },
      network: { address: '192.0.2.7', type: '2' },
    });
    t.match(server, { type: { coding: [{ code: '110153' }] }, network: { address: baseUrl } });
    t.match(user, {
      type: { coding: [{ code: 'IRCP' }] },
      who: { reference: 'Practitioner/1' },
      requestor: true,
      role: [{ text: 'clinician' }],
      purposeOfUse: [{ coding: [{ code: 'TREAT' }] }],
    });
    t.equal(read.agent.filter((one: Event) => one.requestor).length, 1, 'there is one initiator');
    t.match(read.entity, [
      { what: { reference: 'Patient/a' }, type: { code: '1' }, role: { code: '1' } },
      { what: { reference: 'Patient/a' }, type: { code: '2' }, role: { code: '4' } },
      { what: { identifier: { value: /^request-/ } }, type: { code: 'XrequestId' } },
    ]);
    t.match(query, { action: 'E', subtype: [{ code: 'search-type' }], meta: { profile: [/PatientQuery$/] } });
    const raw = query.entity.find((one: Event) => one.query !== undefined);
    t.equal(Buffer.from(raw.query, 'base64').toString(), `GET ${baseUrl}/Patient?name=quennell`);
    t.match(raw, { role: { code: '24' }, type: { code: '2' } });
    const patients = events.slice(3, 5).map((one) => one.entity[0].what.reference);
    t.same(patients.sort(), ['Patient/a', 'Patient/b'], 'one event for each patient in a result set');
    const deletion = events.find((one) => one.action === 'D');
    t.match(deletion.agent, [
      { type: { coding: [{ code: '110150' }] } },
      { type: { coding: [{ code: 'custodian' }] } },
      {},
    ]);
    const failed = events.at(-1);
    t.match(failed, { outcome: '4', action: 'R' });
    t.equal(failed.meta.profile, undefined, 'a failure does not claim the pattern of a success');
    t.equal(JSON.stringify(events).includes('Quennell'), false, 'no content');

    const one = await ask(`AuditEvent/${events[4].id}`, { caller: auditor });
    t.same(one.json, events[4]);
    t.equal(one.headers.ETag, 'W/"1"');
    t.equal((await ask(`AuditEvent/${events[4].id}/_history/1`, { caller: auditor })).status, 200);
    t.equal((await ask(`AuditEvent/${events[4].id}/_history/2`, { caller: auditor })).status, 404);
    for (const id of [
      'x',
      `${events[4].id}9`,
      `${events[0].id}.7`,
      'x-0',
      '-1',
      `${events[0].id.replace(/-\d+$/, '')}-999`,
    ]) {
      t.equal((await ask(`AuditEvent/${id}`, { caller: auditor })).status, 404, id);
    }
    const part = await ask(`AuditEvent/${events[4].id}?_elements=action`, { caller: auditor });
    t.equal(part.json.agent?.length, 3, 'mandatory elements stay');
    t.equal(part.json.entity, undefined);
  },
  'search parameters of AuditEvent': async (t, adapter) => {
    const { search, askAs } = await filled(t, adapter);
    const count = async (query: string): Promise<number | string> => {
      const reply = await search(`_count=200&agent=Practitioner/1${query === '' ? '' : `&${query}`}`);
      return reply.status === 200 ? eventsIn(reply).length : reply.json.issue[0].diagnostics;
    };
    t.equal(await count(''), 7);
    t.equal(await count('patient=a'), 4);
    t.equal(await count('patient=Patient/a,Patient/b'), 6);
    t.equal(await count('patient=a&patient=b'), 0);
    t.equal(await count('entity=Patient/b'), 2);
    t.equal(await count('entity=Observation/b'), 0);
    t.equal(await count('action=U'), 2);
    t.equal(await count('action=R,D'), 3);
    t.equal(await count('type=rest'), 7);
    t.equal(await count('type=http://terminology.hl7.org/CodeSystem/audit-event-type|rest'), 7);
    t.equal(await count('type=|rest'), 0);
    t.equal(await count('subtype=search-type'), 2);
    t.equal(await count('outcome=4'), 1);
    t.equal(await count('entity-role=24'), 2);
    t.equal(await count('address=192.0.2'), 7);
    t.equal(await count('agent:identifier=app'), 7);
    t.equal(await count('agent:identifier=desk'), 0);
    t.equal(await count('date=ge2020-01-01&date=lt2999'), 7);
    t.equal(await count('date=lt2020'), 0);
    t.equal(await count('date=ne2020'), 7);
    t.equal(await count(`date=${new Date().toISOString().slice(0, 4)}`), 7);
    t.equal(await count('date=2020,2999'), 0);
    t.equal(await count('_lastUpdated=gt2020'), 7);
    t.equal(await count('action:not=U'), 5);
    t.equal(await count('subtype:not=search-type&action:not=U'), 3);
    t.equal(await count('agent:Practitioner=1&patient:Patient=a'), 4);
    t.equal(await count('agent-role=clinician'), 7);
    t.equal(await count('agent-role=urn:careloom:role|biller'), 0);
    t.equal(await count('altid=u1'), 7);
    t.equal(await count('policy=urn:careloom:grant:grant-1'), 7);
    t.equal(await count('agent-name=x'), 0);
    t.equal(await count('entity-name=x'), 0);
    t.equal(await count('site=x'), 0);
    t.equal(await count('source=Device/1'), 0);
    t.equal(
      await count('_profile=https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientUpdate'),
      2,
    );
    t.match(await count('nonsense=x'), /accepted: .*patient/);
    t.match(await count('_total=x'), /accurate/);
    t.match(await count('date=x'), /date/);
    t.match(await count('agent=1'), /Practitioner\/1/);
    t.match(await count('_sort=action'), /-date/);
    const own = await askAs('Patient/a/AuditEvent?agent=Practitioner/1', { caller: auditor });
    t.equal(eventsIn(own).length, 4);
    const posted = await askAs('AuditEvent/_search', {
      method: 'POST',
      body: 'patient=b&agent=Practitioner/1',
      caller: auditor,
    });
    t.equal(eventsIn(posted).length, 2);
    const [id = ''] = matchIds(await search('patient=b&agent=Practitioner/1'));
    t.same(matchIds(await search(`_id=${id},x`)), [id]);
    t.same(matchIds(await search(`_id=${id}&action=C`)), []);
  },
  'identifiers, as IHE asks by them: of the event itself, and of what it refers to': async (t, adapter) => {
    const { search, ask, askAs, engine } = await filled(t, adapter);
    const npi = { system: 'http://hl7.org/fhir/sid/us-npi', value: '1234567893' };
    await ask('Practitioner/1', { method: 'PUT', body: { resourceType: 'Practitioner', id: '1', identifier: [npi] } });
    await ask('Patient/b', {
      method: 'PUT',
      body: { ...patient('b'), identifier: [{ system: 'urn:mrn', value: '7' }] },
    });
    const count = async (query: string) => {
      const reply = await search(`_count=200&${query}`);
      return reply.status === 200 ? eventsIn(reply).length : reply.json.issue[0].diagnostics;
    };
    const byNpi = 'agent.identifier=http://hl7.org/fhir/sid/us-npi|1234567893';
    t.equal(await count(byNpi), 9);
    t.equal(await count(`${byNpi}&patient.identifier=urn:mrn|7`), 3);
    t.equal(await count('agent.identifier=app'), await count('agent:identifier=app'));
    t.equal(await count('patient.identifier=urn:mrn|8'), 0);
    t.equal(await count('entity.identifier=7&agent=Practitioner/1'), 3);
    t.equal(await count('entity.identifier=request-1'), 1, 'X-Request-Id');
    t.equal(await count('source.identifier=x'), 0);
    const officer = engine.callerOf(
      principal({
        user: { id: 'o', roles: ['privacy-officer'], clearance: [] },
        scopes: [{ level: 'user', type: '*', can: ['r', 's'] }],
      }),
    );
    t.equal((await askAs(`AuditEvent?${byNpi}`, { caller: officer })).status, 200);
    t.equal((await askAs('AuditEvent?patient.identifier=7', { caller: officer })).status, 403, 'sees no Patient');
  },
  'how many there are': async (t, adapter) => {
    const { search } = await filled(t, adapter);
    const total = async (query: string) => {
      const { status, json } = await search(`agent=Practitioner/1${query}`);
      return [status, json.total, json.entry?.length];
    };
    t.same(await total('&_count=2'), [200, undefined, 2]);
    t.same(await total('&_count=2&_total=accurate'), [200, 7, 2]);
    t.same(await total('&_count=2&_total=estimate'), [200, 7, 2]);
    t.same(await total('&_count=200'), [200, 7, 7], 'where all are there');
    t.same(await total('&_count=0'), [200, 7, undefined]);
    t.same(await total('&_summary=count&action=U'), [200, 2, undefined]);
    const { json } = await search('agent=Practitioner/1&_count=2&_total=accurate');
    t.match(json.link[1].relation, 'next');
  },
  'a disclosure is an event of its own beside the access': async (t, adapter) => {
    const { store, close } = await adapter.open();
    t.teardown(close);
    const { ask: askAs } = await recordingOn(store, { outsideClients: ['exchange'] });
    const by = (more: object): Caller => ({ ...clinician, principal: principal(more) });
    for (const id of ['a', 'b']) await askAs(`Patient/${id}`, { method: 'PUT', body: patient(id), caller: clinician });
    const study = by({ client: 'study', purpose: 'HRESCH' });
    await askAs('Patient/a', { caller: study });
    await askAs('Patient?name=quennell', { caller: by({ client: 'exchange' }) });
    // None of these is one: treatment, a write, what was not shown, the patient's own look.
    await askAs('Patient/a', { caller: clinician });
    await askAs('Patient/a', { method: 'PUT', body: patient('a'), caller: study });
    await askAs('Patient/none', { caller: study });
    await askAs('Observation?patient=a', { caller: study });
    await askAs('Patient/a', {
      caller: by({ client: 'exchange', user: { id: 'p', fhirUser: 'Patient/a', roles: ['patient'], clearance: [] } }),
    });
    const representative = { id: 'r', fhirUser: 'RelatedPerson/r', roles: ['proxy'], clearance: [] };
    await askAs('Patient/a', { caller: by({ client: 'exchange', user: representative }) });

    const found = await askAs('AuditEvent?subtype=disclose&_sort=date', { caller: auditor });
    const [read, ...searched] = eventsIn(found);
    for (const event of eventsIn(found)) t.same(structureIssues(event, loadDefinitions()), [], event.id);
    t.equal(searched.length, 2, 'one for each patient');
    t.match(read, {
      id: /-\d+\.d$/,
      meta: { profile: [/IHE\.BasicAudit\.PrivacyDisclosure\.Source$/] },
      type: { system: 'http://dicom.nema.org/resources/ontology/DCM', code: '110106', display: 'Export' },
      subtype: [
        { system: 'http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle', code: 'disclose' },
        { system: 'http://hl7.org/fhir/restful-interaction', code: 'read' },
      ],
      action: 'R',
      outcome: '0',
      purposeOfEvent: [{ coding: [{ code: 'HRESCH' }] }],
    });
    const agentOf = (code: string) => read.agent.find(({ type }: Event) => type.coding[0].code === code);
    t.match(agentOf('110152'), { who: { identifier: { value: 'study' } }, network: { address: '192.0.2.7' } });
    t.same(agentOf('110153').who, read.source.observer, 'the source is who tells of it');
    t.ok(agentOf('110153').network.address);
    t.match(agentOf('IRCP'), { who: { reference: 'Practitioner/1' }, requestor: true });
    t.match(read.entity, [
      { what: { reference: 'Patient/a' }, type: { code: '1' }, role: { code: '1' } },
      { type: { system: 'http://hl7.org/fhir/resource-types', code: 'Patient' }, detail: [{ valueString: '1' }] },
      {},
      {},
    ]);
    t.same(searched.map(({ entity }: Event) => entity[0].what.reference).sort(), ['Patient/a', 'Patient/b']);
    t.equal(searched[0].entity[1].detail, undefined, 'how many of them are whose is not known');
    for (const { id } of eventsIn(found)) {
      const one = await askAs(`AuditEvent/${id}`, { caller: auditor });
      t.equal(one.json.id, id);
    }
    t.equal((await askAs(`AuditEvent/${read.id.replace('.d', '.2.d')}`, { caller: auditor })).status, 404);
    t.equal(eventsIn(await askAs('AuditEvent?patient=b&type=110106', { caller: auditor })).length, 1);
    const all = matchIds(await askAs('AuditEvent?_count=200&_sort=date&date=le2999', { caller: auditor }));
    t.equal(new Set(all).size, all.length);
  },
  'pages follow each other and lose nothing, in both directions': async (t, adapter) => {
    const { search, askAs, ask } = await filled(t, adapter);
    for (const sort of ['date', '-date']) {
      const whole = matchIds(await search(`agent=Practitioner/1&_sort=${sort}&_count=200`));
      const paged: string[] = [];
      let reply = await search(`agent=Practitioner/1&_sort=${sort}&_count=2`);
      for (;;) {
        paged.push(...matchIds(reply));
        const next = nextLink(reply);
        if (next === undefined) break;
        t.equal(reply.json.entry.length, 2);
        reply = await askAs(next, { caller: auditor });
        // What comes meanwhile is not shown, and moves nothing.
        if (sort === '-date') await ask('Patient/b');
      }
      t.same(paged.slice(0, whole.length), whole, sort);
    }
  },
  'the CapabilityStatement says what is offered': async (t, adapter) => {
    const { askAs } = await filled(t, adapter);
    const { json } = await askAs('metadata');
    const own = json.rest[0].resource.find(({ type }: { type: string }) => type === 'AuditEvent');
    const codes = own.interaction.map(({ code }: { code: string }) => code);
    t.same(codes, ['read', 'vread', 'search-type', 'create']);
    for (const { name } of own.searchParam) {
      const value =
        name.endsWith('ate') || name === '_lastUpdated'
          ? '2026'
          : name === 'agent' || name === 'entity' || name === 'source'
            ? 'Patient/a'
            : 'x';
      t.equal((await askAs(`AuditEvent?${name}=${value}`, { caller: auditor })).status, 200, name);
    }
    t.ok(own.searchParam.length >= 9);
    t.same(structureIssues(json, loadDefinitions()), []);
  },
  '405 for whatever would change an AuditEvent': async (t, adapter) => {
    const { search, ask, linesOf } = await filled(t, adapter);
    const [event] = eventsIn(await search('_count=1'));
    const asAuditor = (url: string, asked: Asked) => ask(url, { caller: auditor, ...asked });
    const headers = { 'content-type': 'application/json-patch+json' };
    const attempts: [string, Asked][] = [
      [`AuditEvent/${event.id}`, { method: 'PUT', body: event }],
      [`AuditEvent/${event.id}`, { method: 'DELETE' }],
      [`AuditEvent/${event.id}`, { method: 'PATCH', body: [{ op: 'remove', path: '/entity' }], headers }],
      ['AuditEvent?action=R', { method: 'DELETE' }],
      ['AuditEvent?action=R', { method: 'PUT', body: event }],
      ['AuditEvent/_history', {}],
    ];
    for (const [url, asked] of attempts) {
      const [line] = await linesOf(async () => {
        t.equal((await asAuditor(url, asked)).status, 405, `${asked.method} ${url}`);
      });
      t.match(line?.body, { s: 405, t: 'AuditEvent' });
    }
    const entry = [{ request: { method: 'POST', url: 'AuditEvent' }, resource: event }];
    const bundle = { resourceType: 'Bundle', type: 'transaction', entry };
    t.equal((await asAuditor('', { method: 'POST', body: bundle })).status, 400);
    t.same(await asAuditor(`AuditEvent/${event.id}`, {}).then(({ json }) => json), event);
  },
  'POST adds to the record; the client has no say in who it was': async (t, adapter) => {
    const { store, ask, askAs, search, linesOf } = await filled(t, adapter);
    const sent = {
      resourceType: 'AuditEvent',
      id: 'mine',
      type: { system: 'http://dicom.nema.org/resources/ontology/DCM', code: '110106' },
      recorded: '2026-01-01T10:00:00.123Z',
      agent: [{ who: { reference: 'Practitioner/7' }, requestor: true }],
      source: { observer: { display: 'viewer' } },
      entity: [{ what: { reference: 'Patient/b' } }],
    };
    const lines = await linesOf(async () => {
      const { status, headers, json } = await ask('AuditEvent', { method: 'POST', body: sent });
      t.equal(status, 201);
      t.not(json.id, 'mine');
      t.equal(headers.Location, `${baseUrl}/AuditEvent/${json.id}/_history/1`);
      const { id: _, meta: __, ...kept } = json;
      const { id: ___, ...asSent } = sent;
      t.same(kept, asSent);
      t.same((await askAs(`AuditEvent/${json.id}`, { caller: auditor })).json, json);
    });
    t.match(lines[0], { agent: 'Practitioner/1', patients: ['b'], body: { k: 'external', c: 'app' } });
    t.equal(lines.length, 2, 'the event, and reading it');
    t.ok(matchIds(await search('patient=b&type=110106')).length === 1);
    t.equal((await ask('AuditEvent', { method: 'POST', body: { ...sent, recorded: 'yesterday' } })).status, 400);
    const large = { ...sent, outcomeDesc: 'x'.repeat(70_000) };
    t.equal((await ask('AuditEvent', { method: 'POST', body: large })).status, 413);
    t.equal(
      (await ask('AuditEvent', { method: 'POST', body: sent, headers: { 'if-none-exist': 'action=R' } })).status,
      400,
    );
    t.equal((await store.stats()).get('AuditEvent'), undefined, 'nothing of it is a resource');
  },
  'who may not see the record sees nothing of it': async (t, adapter) => {
    const { askAs, linesOf, search } = await filled(t, adapter);
    const [id = ''] = matchIds(await search('_count=1&patient=b'));
    const own = (patient: string): Caller => ({
      ...callerWith({ of: (type) => ({ kind: 'key', key: compartmentKey(patient, type) }) }),
      principal: principal({ user: { id: 'p', fhirUser: `Patient/${patient}`, roles: [], clearance: [] } }),
    });
    const found = await askAs('AuditEvent?_count=200', { caller: own('a') });
    const about = eventsIn(found).map((one) => one.entity[0].what.reference);
    t.ok(about.length > 0);
    t.same([...new Set(about)], ['Patient/a'], 'a patient sees who saw it, and nothing of others');
    t.equal((await askAs(`AuditEvent/${id}`, { caller: own('a') })).status, 404);
    t.equal((await askAs(`AuditEvent/${id}`, { caller: own('b') })).status, 200);

    const none: Caller = { ...callerWith({ of: () => ({ kind: 'none' }) }), principal: principal() };
    for (const url of ['AuditEvent', `AuditEvent/${id}`, 'Patient/a/AuditEvent']) {
      const [line] = await linesOf(async () => {
        t.equal((await askAs(url, { caller: none })).status, 403, url);
      });
      t.match(line?.body, { s: 403, d: 1 });
    }
  },
  'by role: the privacy officer sees the record, clinicians do not, a patient sees its own part': async (
    t,
    adapter,
  ) => {
    const { askAs, engine } = await filled(t, adapter);
    const all = [{ level: 'user' as const, type: '*', can: ['c', 'r', 'u', 'd', 's'] as const }];
    const as = (role: string, fhirUser?: string): Caller =>
      engine.callerOf(
        principal({
          user: { id: role, roles: [role], clearance: [], ...(fhirUser === undefined ? {} : { fhirUser }) },
          scopes: all,
        }),
      );
    const officer = await askAs('AuditEvent?_count=200', { caller: as('privacy-officer') });
    t.equal(officer.status, 200);
    t.ok(eventsIn(officer).length >= 7);
    t.equal((await askAs('AuditEvent', { caller: as('clinician', 'Practitioner/1') })).status, 403);
    t.equal((await askAs('AuditEvent', { caller: as('admin') })).status, 403);
    const own = await askAs('AuditEvent?_count=200', { caller: as('patient', 'Patient/b') });
    if (own.status === 200) {
      for (const event of eventsIn(own)) t.equal(event.entity[0].what.reference, 'Patient/b');
    } else t.equal(own.status, 403);
  },
  'events of other layers': async (t, adapter) => {
    const { store, engine, search } = await filled(t, adapter);
    await engine.record({
      kind: 'login',
      outcome: 'success',
      user: 'Practitioner/1',
      client: 'app',
      address: '192.0.2.9',
      requestId: 'r',
    });
    await engine.record({
      kind: 'login',
      outcome: 'denied',
      user: 'user:u7',
      detail: 'wrong password',
      address: '192.0.2.9',
    });
    await engine.record({ kind: 'token', outcome: 'success', client: 'lab', scopes: 'system/*.rs' });
    await engine.record({ kind: 'clock-step', outcome: 'success', detail: '1500 ms' });
    const events = eventsIn(await search('subtype=login,token,clock-step&_sort=date'));
    t.equal(events.length, 4);
    for (const event of events) t.same(structureIssues(event, loadDefinitions()), []);
    t.match(events[0], { type: { code: '110114' }, subtype: [{ code: '110122' }, { code: 'login' }], outcome: '0' });
    t.match(events[1], { outcome: '8', outcomeDesc: 'wrong password' });
    t.match(
      (await allLines(store)).find(({ body }) => body.k === 'token'),
      { agent: 'client:lab', body: { sc: 'system/*.rs' } },
    );
  },
};

t.test('on both stores', (t) =>
  onBothStores(t, async (t: Test, adapter) => {
    for (const [title, run] of Object.entries(cases)) await t.test(title, (t: Test) => run(t, adapter));
  }),
);

// Requests whose every value holds a word that nobody else says, to an engine on the SQLite file that is named: for a
// process in which each SQL text is noted. Ends with 1 when too few of them were answered.
import { systemClock } from '../../src/base/clock.ts';
import type { Principal } from '../../src/fhir/caller.ts';
import { openSqliteStore } from '../../src/store/sqlite/open.ts';
import { engineOn, nextLink } from './engine.ts';

/** What to look for in SQL: this, and the number; the texts made of it try to end a text within a statement. */
const CANARY = 'qzcanary';
const NUMBER = '918273645';
const breaking = [
  CANARY,
  `${CANARY}' OR '1'='1`,
  `'; DROP TABLE resource; --${CANARY}`,
  `${CANARY}") OR ("1"="1`,
  `${CANARY}%_*?[a`,
  `${CANARY}\u0000x`,
  `é${CANARY.toUpperCase()}`,
];

const security = [{ system: 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality', code: `${CANARY}-label` }];
const coded = (text: string) => ({ coding: [{ system: `urn:${CANARY}`, code: CANARY, display: text }], text });

function resourcesWith(text: string, at: number): Record<string, unknown>[] {
  const id = `${CANARY}-${at}`;
  const subject = { reference: `Patient/${id}`, identifier: { system: `urn:${CANARY}`, value: text } };
  return [
    {
      resourceType: 'Patient',
      id,
      meta: { security, tag: [{ system: `urn:${CANARY}`, code: CANARY }], profile: [`http://${CANARY}.example`] },
      name: [{ family: text, given: [text] }],
      identifier: [{ system: `urn:${CANARY}`, value: text }],
      telecom: [{ system: 'phone', value: text }],
      generalPractitioner: [{ reference: `Practitioner/${CANARY}` }],
    },
    {
      resourceType: 'Observation',
      id,
      status: 'final',
      code: coded(text),
      category: [coded(text)],
      subject,
      effectiveDateTime: '2024-02-03',
      valueQuantity: { value: Number(NUMBER), code: 'mg', system: 'http://unitsofmeasure.org' },
      note: [{ text }],
    },
    { resourceType: 'List', id, status: 'current', mode: 'working', subject, entry: [{ item: subject }] },
    { resourceType: 'ValueSet', id, status: 'active', url: `http://${CANARY}.example/${at}`, name: CANARY },
  ];
}

/** Searches, each with the value where a `~` stands. */
const SEARCHES = [
  ...['name=~', 'name:contains=~', 'name:exact=~', '_id=~', '_id:not=~', 'identifier=~', 'identifier=urn:x|~'],
  ...['identifier:not=~', 'phone=~', '_tag=~', '_profile=~', '_security=~', 'general-practitioner=Practitioner/~'],
  ...['general-practitioner=~&_sort=family,-birthdate', 'organization.name=~', 'general-practitioner:missing=~'],
  ...['_has:Observation:patient:code=~', '_has:Observation:patient:code:not=~', '_filter=name%20co%20"~"'],
  ...['_text=~', '_content=~', '_list=~', '_page=~', '_elements=~', '_include=Patient:~', '_total=accurate&name=~'],
  ...['name=~,a,b,c,d,e,f,g', 'name:contains=~,a,b,c,d,e,f,g,h,i&_count=1', '_lastUpdated=gt2000&name=~'],
  ...['_revinclude=Observation:subject&name=~', '~=1', 'name:~=1', '_sort=~', '_has:~:patient:code=x', '_type=~'],
].map((query) => `Patient?${query}`);
const OTHERS = [
  ...['Observation?code=~', 'Observation?subject=Patient/~', 'Observation?subject:identifier=urn:x|~'],
  ...[`Observation?value-quantity=gt${NUMBER}`, `Observation?value-quantity=${NUMBER}|http://unitsofmeasure.org|~`],
  ...['Observation?code-value-quantity=~$5', 'Observation?patient.name=~', 'Observation?patient.name:contains=~'],
  ...['Observation?patient._has:List:patient:code=~', 'Observation?code:text=~', 'ValueSet?url:below=http://~'],
  ...['Patient/~', 'Patient/~/_history/~', 'Patient/~/_history', '~/1', 'Patient/~/Observation?code=~'],
  ...['Patient/~/$everything', 'Patient/~/$~', 'Observation/$lastn?subject=Patient/~&code=~', 'AuditEvent?agent=~'],
  ...['AuditEvent?patient=Patient/~', 'AuditEvent?entity=Patient/~&_lastUpdated=gt2000', '_history?_since=~'],
  ...['Patient/$meta?x=~', 'Patient/~/$meta', 'Patient/$explain?name=~', '$job-status?id=~'],
];

/** A person whose scopes, patient, labels and emergency say the word, too. */
const principal: Principal = {
  client: CANARY,
  grant: CANARY,
  purpose: CANARY,
  user: {
    id: CANARY,
    fhirUser: `Practitioner/${CANARY}`,
    roles: ['clinician', 'privacy-officer'],
    clearance: [CANARY],
  },
  patient: `${CANARY}-0`,
  scopes: [
    { level: 'patient', type: '*', can: ['c', 'r', 'u', 'd', 's'] },
    { level: 'user', type: 'Observation', can: ['r', 's'], query: `category=urn:${CANARY}|${CANARY}` },
  ],
  emergency: `${CANARY}-1`,
};

export async function sqlLoad(path: string): Promise<number> {
  const store = await openSqliteStore({ path, clock: systemClock });
  const { engine, ask, askAs } = await engineOn(store, { audit: true });
  let answered = 0;
  for (const asking of [ask, askAs(principal)]) {
    const send = async (...request: Parameters<typeof ask>): Promise<string | undefined> => {
      const reply = await asking(...request);
      if (reply.status < 300) answered++;
      return reply.json === undefined ? undefined : nextLink(reply);
    };
    for (const [at, text] of breaking.entries()) {
      const value = encodeURIComponent(text);
      for (const resource of resourcesWith(text, at)) {
        await send('PUT', `${resource.resourceType}/${resource.id}`, resource);
        await send('POST', String(resource.resourceType), resource, { 'If-None-Exist': `_tag=${value}` });
        await send(
          'PATCH',
          `${resource.resourceType}/${resource.id}`,
          [{ op: 'add', path: '/language', value: text }],
          {
            'Content-Type': 'application/json-patch+json',
          },
        );
      }
      for (const url of [...SEARCHES, ...OTHERS]) {
        const next = await send('GET', url.replaceAll('~', value));
        if (next !== undefined) await send('GET', next);
      }
      await send('DELETE', `Patient?name:exact=${value}&_count=5`);
      await send('PUT', `Observation?code=${value}`, resourcesWith(text, at)[1]);
    }
  }
  await store.records.put({ kind: CANARY, id: CANARY, value: JSON.stringify(breaking) }, 0);
  await store.records.list(CANARY, { after: CANARY, limit: 1 });
  await store.records.remove(CANARY, CANARY, 1);
  await engine.background.stop();
  await store.close();
  return answered;
}

if (import.meta.main) {
  const answered = await sqlLoad(process.argv[2] ?? '');
  process.stdout.write(`${answered}`);
}

// Eighteen synthetic patients of Synthea, loaded as their Bundles were made: hospitals and practitioners as batches, each
// patient as one transaction that refers to them by conditional references. https://hl7.org/fhir/R4/http.html#transaction
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { sharedData } from '../support/corpora.ts';
import { engineOn, matchIds, nextLink, type Reply, type TestEngine } from '../support/engine.ts';
import { type Adapter, onBothStores, type Test } from '../support/stores.ts';

const folder = sharedData('synthea-small');
const PATIENTS = 18;
const RESOURCES_MIN = 5600;
const REFERENCES_MIN = 20_000;
/** What the two batches hold with ifNoneExist; their PractitionerRoles have none. */
const SHARED = ['Organization', 'Location', 'Practitioner'];

type Ask = TestEngine['ask'];

const bundleFiles = (): string[] =>
  readdirSync(folder)
    .filter((file) => file.endsWith('.json.gz'))
    .sort();

const bundleOf = (file: string): Buffer => gunzipSync(readFileSync(`${folder}/${file}`));

async function load(t: Test, ask: Ask): Promise<Map<string, number>> {
  const statuses = new Map<string, number>();
  for (const file of bundleFiles()) {
    const reply = await ask('POST', '', bundleOf(file));
    t.equal(reply.status, 200, `${file}: ${reply.status === 200 ? '' : reply.text.slice(0, 300)}`);
    for (const { response } of reply.json.entry ?? [])
      statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
  }
  return statuses;
}

async function countsByType(types: readonly string[], ask: Ask): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const type of types) counts[type] = (await ask('GET', `${type}?_summary=count`)).json.total;
  return counts;
}

/** Every page of a search. */
async function* pages(url: string, ask: Ask): AsyncGenerator<Reply> {
  for (let next: string | undefined = url; next !== undefined; ) {
    const page = await ask('GET', next);
    yield page;
    next = nextLink(page);
  }
}

async function everyId(url: string, ask: Ask): Promise<string[]> {
  const ids: string[] = [];
  for await (const page of pages(url, ask)) ids.push(...matchIds(page));
  return ids;
}

/** Every Reference.reference within a value. */
function* referencesIn(value: unknown): Generator<string> {
  if (typeof value !== 'object' || value === null) return;
  for (const [name, member] of Object.entries(value)) {
    if (name === 'reference' && typeof member === 'string') yield member;
    else yield* referencesIn(member);
  }
}

async function check(t: Test, { open }: Adapter): Promise<void> {
  const { store, close } = await open();
  t.teardown(close);
  const { ask } = await engineOn(store);
  const { byType } = JSON.parse(readFileSync(`${folder}/counts.json`, 'utf8')) as { byType: Record<string, number> };
  const types = Object.keys(byType);

  await t.test('all Bundles go in; the counts by type are those of counts.json', async (t) => {
    const statuses = await load(t, ask);
    t.same([...statuses.keys()], ['201 Created']);
    t.ok((statuses.get('201 Created') ?? 0) >= RESOURCES_MIN);
    t.ok(types.length >= 24);
    t.same(await countsByType(types, ask), byType);
  });

  await t.test('every reference leads to a resource that is here; conditional ones have been replaced', async (t) => {
    const stored = new Set<string>();
    const references = new Map<string, string>();
    let count = 0;
    for (const type of types) {
      for await (const page of pages(`${type}?_count=500`, ask)) {
        for (const { resource } of page.json.entry ?? []) {
          stored.add(`${type}/${resource.id}`);
          for (const reference of referencesIn(resource)) {
            count++;
            references.set(reference, `${type}/${resource.id}`);
          }
        }
      }
    }
    t.ok(stored.size >= RESOURCES_MIN, `${stored.size} resources, by pages`);
    t.ok(count >= REFERENCES_MIN, `${count} references`);
    const dangling = [...references].filter(([to]) => !to.startsWith('#') && !stored.has(to));
    t.same(dangling.slice(0, 5), []);
    t.notOk([...references.keys()].some((reference) => reference.includes('?') || reference.startsWith('urn:')));
  });

  await t.test('the compartment of each patient agrees with searching by patient', async (t) => {
    const patients = await everyId('Patient', ask);
    t.equal(patients.length, PATIENTS);
    let compared = 0;
    for (const id of patients) {
      const whole = await ask('GET', `Patient/${id}/*?_summary=count`);
      let sum = 1; // the patient itself
      for (const [type, parameter] of Object.entries(COMPARTMENT)) {
        const total = (await ask('GET', `${type}?${parameter}=Patient/${id}&_summary=count`)).json.total;
        const inside = (await ask('GET', `Patient/${id}/${type}?_summary=count`)).json.total;
        t.equal(inside, total, `Patient/${id}/${type}`);
        sum += total;
        compared += total;
      }
      t.equal(whole.json.total, sum, `Patient/${id}/*`);
    }
    t.ok(compared >= 4500, `${compared} resources in compartments`);
    const [first = ''] = patients;
    const ids = await everyId(`Patient/${first}/Observation?_count=100`, ask);
    t.same(ids.sort(), (await everyId(`Observation?patient=${first}&_count=70`, ask)).sort(), 'the same ones');
    t.equal(new Set(ids).size, ids.length, 'none twice');
  });

  await t.test('loaded again: what has ifNoneExist is found, the patients’ transactions add new ones', async (t) => {
    const statuses = await load(t, ask);
    const found = SHARED.reduce((sum, type) => sum + (byType[type] ?? 0), 0);
    t.equal(statuses.get('200 OK'), found);
    t.ok(found >= 80);
    const again = await countsByType(types, ask);
    for (const type of types) {
      const expected = (byType[type] ?? 0) * (SHARED.includes(type) ? 1 : 2);
      t.equal(again[type], expected, type);
    }
    t.equal((await ask('GET', 'Organization/_history?_count=500')).json.total, byType.Organization, 'no new versions');
  });
}

/** Types of the Bundles that are in a patient's compartment, and a parameter by which each is. */
const COMPARTMENT: Record<string, string> = {
  AllergyIntolerance: 'patient',
  CarePlan: 'patient',
  CareTeam: 'patient',
  Claim: 'patient',
  Condition: 'patient',
  DiagnosticReport: 'patient',
  DocumentReference: 'patient',
  Encounter: 'patient',
  ExplanationOfBenefit: 'patient',
  ImagingStudy: 'patient',
  Immunization: 'patient',
  MedicationAdministration: 'patient',
  MedicationRequest: 'patient',
  Observation: 'patient',
  Procedure: 'patient',
  Provenance: 'patient',
  SupplyDelivery: 'patient',
};

t.setTimeout(240_000);
const skip = existsSync(`${folder}/counts.json`) ? false : 'no synthea-small in the shared data';
await t.test('eighteen Synthea patients', { skip }, (t) => onBothStores(t, check));

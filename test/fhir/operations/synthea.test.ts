// $everything, $lastn and $stats on eighteen synthetic patients, against what searches and the bodies themselves tell.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { sharedData } from '../../support/corpora.ts';
import { engineOn, matchIds, nextLink, type Reply, type TestEngine } from '../../support/engine.ts';
import { type Adapter, onBothStores, type Test } from '../../support/stores.ts';
import { allPages, refsOf } from './support.ts';

const folder = sharedData('synthea-small');
const PATIENTS = 18;

type Get = (url: string) => Promise<Reply>;

async function load(ask: TestEngine['ask']): Promise<void> {
  for (const file of readdirSync(folder).sort()) {
    if (!file.endsWith('.json.gz')) continue;
    const reply = await ask('POST', '', gunzipSync(readFileSync(`${folder}/${file}`)));
    if (reply.status !== 200) throw new Error(reply.text.slice(0, 300));
  }
}

interface Resource {
  resourceType: string;
  id: string;
  [member: string]: unknown;
}

/** Every resource of a search, over all pages. */
async function everyResource(get: Get, url: string): Promise<Resource[]> {
  const all: Resource[] = [];
  for (let next: string | undefined = url; next !== undefined; ) {
    const reply = await get(next);
    all.push(...(reply.json.entry ?? []).map(({ resource }: { resource: Resource }) => resource));
    next = nextLink(reply);
  }
  return all;
}

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
  await load(ask);
  const get: Get = (url) => ask('GET', url);
  const patients = matchIds(await get('Patient?_count=100'));
  t.equal(patients.length, PATIENTS);

  await t.test('$everything is the compartment, and what it refers to outside of it', async (t) => {
    let compared = 0;
    for (const [at, id] of patients.entries()) {
      const compartment = await everyResource(get, `Patient/${id}/*?_count=500`);
      const members = new Set(compartment.map(({ resourceType, id }) => `${resourceType}/${id}`));
      const referred = new Set(compartment.flatMap((resource) => [...referencesIn(resource)]));
      const outside = [...referred].filter((one) => !one.startsWith('#') && !members.has(one));
      const size = [50, 1000, 7][at % 3];
      const { matches, includes, sizes } = await allPages(get, `Patient/${id}/$everything?_count=${size}`);
      t.equal(matches[0], `Patient/${id}`);
      t.strictSame([...matches].sort(), [...members].sort(), `Patient ${at} in pages of ${size}`);
      t.strictSame([...includes].sort(), outside.sort());
      t.equal(sizes.length, Math.ceil(matches.length / (size ?? 1)));
      compared += matches.length + includes.length;
    }
    t.ok(compared >= 5_500, `${compared} resources`);
  });

  await t.test('all patients together are each of them', async (t) => {
    const { matches, includes } = await allPages(get, 'Patient/$everything');
    t.equal(new Set(matches).size, matches.length);
    t.equal(new Set([...matches, ...includes]).size, matches.length + includes.length);
    const member = patients.map((id) => ({ entity: { reference: `Patient/${id}` } }));
    await ask('PUT', 'Group/all', { resourceType: 'Group', id: 'all', type: 'person', actual: true, member });
    const group = await allPages(get, 'Group/all/$everything?_count=333');
    t.strictSame(group.matches.sort(), [...matches, 'Group/all'].sort());
    t.strictSame(group.includes.sort(), includes.sort());
  });

  await t.test('an encounter with what refers to it', async (t) => {
    const [first] = matchIds(await get(`Encounter?patient=${patients[3]}&_count=1`));
    const compartment = await everyResource(get, `Encounter/${first}/*?_count=500`);
    const { matches, includes } = await allPages(get, `Encounter/${first}/$everything?_count=3`);
    t.equal(matches[0], `Encounter/${first}`);
    t.strictSame([...matches].sort(), compartment.map(({ resourceType, id }) => `${resourceType}/${id}`).sort());
    t.ok(includes.includes(`Patient/${patients[3]}`));
  });

  await t.test('dates of care: what the clinical date of each type tells', async (t) => {
    const [id = ''] = patients;
    const whole = await everyResource(get, `Patient/${id}/Observation?_count=500`);
    const dates = whole.map(({ effectiveDateTime }) => String(effectiveDateTime)).sort();
    const [from, to] = [dates[Math.floor(dates.length / 3)], dates[Math.floor((dates.length * 2) / 3)]];
    const url = `Patient/${id}/$everything?_type=Observation&start=${encodeURIComponent(from ?? '')}&end=${encodeURIComponent(to ?? '')}`;
    const { matches } = await allPages(get, url);
    const expected = dates.filter((date) => date >= (from ?? '') && date <= (to ?? '')).length;
    t.equal(matches.length, expected);
    t.ok(expected > 5 && expected < dates.length);
  });

  await t.test('$lastn: the newest of each code, as the whole history tells', async (t) => {
    for (const id of patients.slice(0, 6)) {
      const all = await everyResource(get, `Observation?patient=${id}&category=vital-signs,laboratory&_count=500`);
      const newest = new Map<string, { date: string; ids: string[] }>();
      for (const { id, code, effectiveDateTime } of all) {
        const [coding] = (code as { coding: { system: string; code: string }[] }).coding;
        const name = `${coding?.system}|${coding?.code}`;
        const date = String(effectiveDateTime);
        const known = newest.get(name);
        if (known === undefined || Date.parse(date) > Date.parse(known.date)) newest.set(name, { date, ids: [id] });
        else if (Date.parse(date) === Date.parse(known.date)) known.ids.push(id);
      }
      const reply = await get(`Observation/$lastn?patient=${id}&category=vital-signs,laboratory`);
      const expected = [...newest.values()].flatMap(({ ids }) => ids.map((one) => `Observation/${one}`));
      t.strictSame(refsOf(reply, 'match').sort(), expected.sort());
      t.ok(expected.length > 5);
    }
  });

  await t.test('$stats: blood pressures, which are components', async (t) => {
    for (const id of patients.slice(0, 6)) {
      const all = await everyResource(get, `Observation?patient=${id}&code=85354-9&_count=500`);
      const values = all.flatMap(({ component }) =>
        (component as { code: { coding: { code: string }[] }; valueQuantity: { value: number } }[])
          .filter(({ code }) => code.coding[0]?.code === '8480-6')
          .map(({ valueQuantity }) => valueQuantity.value),
      );
      const query = 'code=8480-6&system=http://loinc.org&statistic=count&statistic=maximum&statistic=average';
      const { parameter } = (await get(`Observation/$stats?subject=Patient/${id}&${query}`)).json;
      const [count, maximum, average] = parameter[0].resource.component.map(
        (one: { valueQuantity?: { value: number } }) => one.valueQuantity?.value,
      );
      t.equal(count, values.length);
      t.equal(maximum, Math.max(...values));
      t.ok(Math.abs(average - values.reduce((a, b) => a + b, 0) / values.length) < 1e-9);
    }
  });

  await t.test('$meta: the profiles in use are those of the bodies', async (t) => {
    const profiles = new Set<string>();
    for (const { meta } of await everyResource(get, 'Observation?_count=500')) {
      for (const one of (meta as { profile?: string[] }).profile ?? []) profiles.add(one);
    }
    const { parameter } = (await get('Observation/$meta')).json;
    t.strictSame(parameter[0].valueMeta.profile, [...profiles].sort());
    t.ok(profiles.size > 3);
    const system = (await get('$meta')).json.parameter[0].valueMeta.profile;
    t.ok([...profiles].every((one) => system.includes(one)));
  });
}

t.setTimeout(240_000);
const skip = existsSync(`${folder}/counts.json`) ? false : 'no synthea-small in the shared data';
await t.test('eighteen Synthea patients', { skip }, (t) => onBothStores(t, check));

// Paging links: all pages together are the whole, whatever is written meanwhile; a link that is altered, old or used
// elsewhere is refused. https://hl7.org/fhir/R4/http.html#paging
import t from 'tap';
import type { Clock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { baseUrl, engineOn, matchIds, nextLink, type Reply, type TestEngine } from '../support/engine.ts';
import { below, pick, type Random, seeded } from '../support/random-search.ts';
import { onBothStores } from '../support/stores.ts';

const COUNT = 23;
const ids = Array.from({ length: COUNT }, (_, at) => `p${String(at).padStart(2, '0')}`);

/** Resources of each type: never touched; written all the time but for what they are found and sorted by; and all else. */
const STEADY = 40;
const REWRITTEN = 15;
const CHANGING = 30;
const WRITERS = 8;
const READERS = 2;
/** Walks of each search while others write. */
const WALKS = 3;
/** A walk that goes on for longer than this goes round in circles. */
const PAGES_MAX = 2000;

const FAMILIES = ['Adams', 'Adams', 'Baker', 'Chalmers', 'Ångström', 'Zander'];
const DATES = ['1980', '1980-05', '1980-05-01', '1990-12-31', '2001'];

/** Searches that find every steady resource of their types; the size of a page is not what this is about. */
const SEARCHES = [
  'Patient?_count=7',
  'Patient?active=true&_count=4',
  'Patient?active=true&_sort=family&_count=5',
  'Patient?active=true&_sort=-family,birthdate&_count=3',
  'Patient?_sort=birthdate&_count=6',
  'Patient?_sort=-birthdate&_count=6',
  'Patient?_sort=-_lastUpdated&_count=5',
  'Observation?_count=6',
  'Observation?status=final&_sort=date&_count=4',
  'Observation?status=final&_sort=-date&_count=9',
  'Observation?_sort=value-quantity&_count=5',
  'Observation?_sort=patient.family,-date&_count=8',
  '?_type=Patient,Observation&_count=11',
  '?_type=Patient,Observation&_sort=-_lastUpdated&_count=7',
];
/** What is written goes to its end, so that it ends only after the writing has. */
const CHASING = 'Patient?_sort=_lastUpdated&_count=9';

t.setTimeout(120_000);

await onBothStores(t, async (t, adapter) => {
  let now = Date.UTC(2024, 0, 1);
  const clock: Clock = { now: () => now, newId: () => `made-${now}` };
  const { store, close } = await adapter.open(clock);
  t.teardown(close);
  const tested = await engineOn(store, { clock });
  const { ask } = tested;
  for (const [at, id] of ids.entries()) {
    now += 1000;
    // Few values, so that many have the same; some have none.
    const birthDate = at % 4 === 0 ? {} : { birthDate: `198${at % 3}` };
    const patient = {
      resourceType: 'Patient',
      id,
      active: true,
      gender: at % 2 === 0 ? 'male' : 'female',
      ...birthDate,
    };
    await ask('PUT', `Patient/${id}`, patient);
    if (at < 5) await ask('PUT', `Practitioner/${id}`, { resourceType: 'Practitioner', id, active: true });
  }

  t.test('every page once, none twice, in the order of the whole', async (t) => {
    for (const order of [
      '',
      '_lastUpdated',
      '-_lastUpdated',
      'birthdate',
      '-birthdate',
      'gender,-birthdate',
      '-gender',
    ]) {
      const url = `Patient?active=true${order === '' ? '' : `&_sort=${order}`}`;
      const whole = matchIds(await ask('GET', url));
      t.strictSame([...whole].sort(), ids, url);
      for (const size of [1, 2, 5, COUNT - 1, COUNT, COUNT + 1]) {
        const { joined, sizes } = await allPages(tested, `${url}&_count=${size}`);
        t.strictSame(joined, whole, `${url}, pages of ${size}`);
        t.ok(sizes.slice(0, -1).every((one) => one === size));
        t.equal(sizes.length, Math.ceil(COUNT / size), 'no empty page at the end');
      }
    }
  });

  t.test('several types, with and without an order', async (t) => {
    for (const query of ['', '&_sort=_lastUpdated', '&_sort=-_lastUpdated']) {
      for (const size of [1, 3, 10, 27]) {
        const { joined } = await allPages(tested, `?_type=Patient,Practitioner&active=true${query}&_count=${size}`);
        t.equal(joined.length, COUNT + 5, `${query} in pages of ${size}`);
      }
    }
    const { joined } = await allPages(tested, '?_type=Patient,Practitioner&_sort=-_lastUpdated&_count=4');
    t.strictSame(joined.slice(0, 3), ['p22', 'p21', 'p20']);
  });

  t.test('POST _search pages by links that are followed with GET', async (t) => {
    const first = await ask('POST', 'Patient/_search', 'active=true&_count=20');
    const second = await ask('GET', nextLink(first) ?? '');
    t.equal(second.status, 200);
    t.strictSame([...matchIds(first), ...matchIds(second)].sort(), ids);
  });

  t.test('a page holds what it includes', async (t) => {
    await ask('PUT', 'Observation/of-p01', {
      resourceType: 'Observation',
      id: 'of-p01',
      status: 'final',
      code: { text: 'x' },
      subject: { reference: 'Patient/p01' },
    });
    const url = 'Patient?_sort=_lastUpdated&_count=1&_revinclude=Observation:subject';
    const first = await ask('GET', url);
    t.equal(first.json.entry.length, 1);
    const second = await ask('GET', nextLink(first) ?? '');
    t.strictSame(
      second.json.entry.map((entry: { resource: { id: string } }) => entry.resource.id),
      ['p01', 'of-p01'],
    );
  });

  t.test('what is deleted or written meanwhile moves no other across a page', async (t) => {
    const first = await ask('GET', 'Patient?_sort=_lastUpdated&_count=10');
    await ask('DELETE', 'Patient/p00');
    now += 1000;
    await ask('PUT', 'Patient/p22', { resourceType: 'Patient', id: 'p22', active: true, gender: 'male' });
    const { joined } = await allPages(tested, nextLink(first) ?? '');
    t.strictSame(joined, ids.slice(10), 'p22 was the last and still is');
  });

  t.test('400 for a link that is altered, used elsewhere, joined with other parameters or too old', async (t) => {
    const link = nextLink(await ask('GET', 'Patient?_count=2')) ?? '';
    t.match(link, new RegExp(`^${baseUrl}/Patient\\?_page=[\\w-]+$`), 'opaque');
    t.equal((await ask('GET', link)).status, 200);
    const refused = async (url: string, said: RegExp): Promise<void> => {
      const reply = await ask('GET', url);
      t.equal(reply.status, 400, url.slice(0, 60));
      t.match(reply.json.issue?.[0]?.diagnostics, said);
    };
    const at = link.indexOf('_page=') + '_page='.length;
    for (const place of [at, at + 20, link.length - 3]) {
      const letter = link[place] === 'A' ? 'B' : 'A';
      await refused(link.slice(0, place) + letter + link.slice(place + 1), /altered/);
    }
    await refused(link.slice(0, -4), /altered/);
    await refused(link.slice(0, at), /altered/);
    await refused(`${link.slice(0, at)}kept.nosuch`, /altered|too old/);
    await refused(link.replace('/Patient?', '/Practitioner?'), /another search/);
    await refused(link.replace('/Patient?', '?'), /another search/);
    await refused(`${link}&_count=5`, /stands alone/);
    t.equal((await ask('GET', `${link}&_format=json`)).status, 200, '_format may be added');
    now += limits.cursorLifeMs + 1;
    await refused(link, /too old/);
  });

  t.test('while others create, change and delete: none twice, and none missing that stayed as it was', async (t) => {
    const { store, close } = await adapter.open();
    t.teardown(close);
    const tested = await engineOn(store);
    const random = seeded(7);
    const rewritten: Record<string, unknown>[] = [];
    for (const type of ['Patient', 'Observation']) {
      for (const id of idsOf('steady', STEADY)) await put(tested, found(type, id, random));
      for (const id of idsOf('changing', CHANGING)) await put(tested, found(type, id, random));
      rewritten.push(...idsOf('rewritten', REWRITTEN).map((id) => found(type, id, random)));
    }
    for (const resource of rewritten) await put(tested, resource);

    let isOver = false;
    const writers = Array.from({ length: WRITERS }, (_, at) =>
      writeOn({ tested, random: seeded(at), rewritten, isOver: () => isOver }),
    );
    const chasing = walk(tested, CHASING);
    const wrong: string[] = [];
    let resources = 0;
    const left = Array.from({ length: WALKS }, () => SEARCHES)
      .flat()
      .values();
    const reader = async (): Promise<void> => {
      for (const url of left) {
        const shown = await walk(tested, url);
        resources += shown.length;
        wrong.push(...wrongWith(url, shown));
      }
    };
    await Promise.all(Array.from({ length: READERS }, reader));
    isOver = true;
    const writes = (await Promise.all(writers)).reduce((sum, count) => sum + count, 0);
    wrong.push(...wrongWith(CHASING, await chasing));
    t.comment(`${writes} writes, ${resources} resources shown`);
    t.strictSame(wrong.slice(0, 10), []);
    t.ok(writes > 100, `${writes} writes in between`);
    t.strictSame(await Array.fromAsync(store.verify({})), [], 'rows and index agree');
  });

  t.test('a search too long for a link is kept, and its pages are found', async (t) => {
    const long = Array.from({ length: 95 }, (_, at) => `${'x'.repeat(60)}${at}`).join(',');
    const form = `_id=${ids.join(',')},${long.slice(0, 60 * 70)}&gender=male,female,${long}&_count=2`;
    const first = await ask('POST', 'Patient/_search', form);
    t.equal(first.status, 200);
    const link = nextLink(first) ?? '';
    t.ok(link.length < 500, `${link.length} characters`);
    const second = await ask('GET', link);
    t.equal(second.status, 200);
    t.equal(matchIds(second).length, 2);
    t.notOk(matchIds(second).some((id) => matchIds(first).includes(id)));
  });
});

// ---- while others write ----

function idsOf(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, at) => `${name}${at}`);
}

/** A Patient or Observation that the searches find; `random` makes what they sort by. */
function found(type: string, id: string, random: Random): Record<string, unknown> {
  const date = random() < 0.2 ? undefined : pick(random, DATES);
  if (type === 'Patient') {
    const birthDate = date === undefined ? {} : { birthDate: date };
    return { resourceType: type, id, active: true, name: [{ family: pick(random, FAMILIES) }], ...birthDate };
  }
  const effectiveDateTime = date === undefined ? {} : { effectiveDateTime: date };
  const subject = { reference: `Patient/steady${below(random, STEADY)}` };
  const valueQuantity = { value: below(random, 5) };
  return { resourceType: type, id, status: 'final', code: { text: 'x' }, subject, valueQuantity, ...effectiveDateTime };
}

async function put({ ask }: TestEngine, resource: Record<string, unknown>): Promise<void> {
  const reply = await ask('PUT', `${resource.resourceType}/${resource.id}`, resource);
  if (reply.status >= 300) throw new Error(reply.text);
}

interface Writing {
  tested: TestEngine;
  random: Random;
  rewritten: readonly Record<string, unknown>[];
  isOver: () => boolean;
}

/** Creates, changes and deletes, and writes others again as they were; the number of writes. */
async function writeOn({ tested, random, rewritten, isOver }: Writing): Promise<number> {
  let writes = 0;
  for (; !isOver(); writes++) {
    const type = pick(random, ['Patient', 'Observation']);
    const id = `changing${below(random, CHANGING)}`;
    const kind = random();
    if (kind < 0.3) await put(tested, { ...pick(random, rewritten), language: pick(random, ['en', 'de']) });
    else if (kind < 0.5) await tested.ask('DELETE', `${type}/${id}`);
    else await put(tested, found(type, id, random));
  }
  return writes;
}

/** Every version that the pages of a search show, as "Type/id/version". */
async function walk({ ask }: TestEngine, url: string): Promise<string[]> {
  const shown: string[] = [];
  let next: string | undefined = url;
  for (let pages = 0; next !== undefined; pages++) {
    const reply: Reply = await ask('GET', next);
    if (reply.status !== 200) throw new Error(`${url}, page ${pages}: ${reply.text}`);
    if (pages > PAGES_MAX) throw new Error(`${url} has no end`);
    for (const { resource } of reply.json.entry ?? [])
      shown.push(`${resource.resourceType}/${resource.id}/${resource.meta.versionId}`);
    next = nextLink(reply);
  }
  return shown;
}

/** What is wrong with a walk: a version that came twice, or one that came not once though nothing about it changed. */
function wrongWith(url: string, shown: readonly string[]): string[] {
  const versions = new Map<string, number>();
  const resources = new Map<string, number>();
  for (const version of shown) {
    versions.set(version, (versions.get(version) ?? 0) + 1);
    const resource = version.slice(0, version.lastIndexOf('/'));
    resources.set(resource, (resources.get(resource) ?? 0) + 1);
  }
  const twice = [...versions].filter(([, count]) => count > 1).map(([version]) => `${version} twice`);
  const kept = url.includes('_lastUpdated') ? [] : idsOf('rewritten', REWRITTEN);
  const types = ['Patient', 'Observation'].filter((type) => url.includes(type));
  const expected = types.flatMap((type) => [...idsOf('steady', STEADY), ...kept].map((id) => `${type}/${id}`));
  const missed = expected.filter((resource) => resources.get(resource) !== 1);
  return [...twice, ...missed.map((resource) => `${resource} ${resources.get(resource) ?? 0} times`)].map(
    (text) => `${url}: ${text}`,
  );
}

async function allPages({ ask }: TestEngine, url: string): Promise<{ joined: string[]; sizes: number[] }> {
  const joined: string[] = [];
  const sizes: number[] = [];
  for (let next: string | undefined = url; next !== undefined && sizes.length < 100; ) {
    const reply: Reply = await ask('GET', next);
    if (reply.status !== 200) throw new Error(`${reply.status}: ${reply.text}`);
    joined.push(...matchIds(reply));
    sizes.push(matchIds(reply).length);
    next = nextLink(reply);
  }
  return { joined, sizes };
}

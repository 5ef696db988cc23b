// Paging links: all pages together are the whole, whatever is written meanwhile; a link that is altered, old or used
// elsewhere is refused. https://hl7.org/fhir/R4/http.html#paging
import t from 'tap';
import type { Clock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { baseUrl, engineOn, matchIds, nextLink, type Reply, type TestEngine } from '../support/engine.ts';
import { onBothStores } from '../support/stores.ts';

const COUNT = 23;
const ids = Array.from({ length: COUNT }, (_, at) => `p${String(at).padStart(2, '0')}`);

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

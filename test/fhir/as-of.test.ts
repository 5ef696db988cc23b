// What was there at an instant: _asOf on reads and searches; history with _since, _at and _list. On both stores.
// https://hl7.org/fhir/R4/http.html#history
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { limits } from '../../src/base/limits.ts';
import { engineOn, matchIds, nextLink, type Reply, type TestEngine } from '../support/engine.ts';
import { type Adapter, onBothStores, type Test } from '../support/stores.ts';

interface Setting {
  ask: TestEngine['ask'];
  /** Writes, and resolves to the instant at which it was. */
  put(resource: { resourceType: string; id: string }): Promise<string>;
  remove(url: string): Promise<string>;
}

async function setting(t: Test, adapter: Adapter): Promise<Setting> {
  const { store, close } = await adapter.open();
  t.teardown(close);
  const { ask } = await engineOn(store);
  const latest = async (url: string): Promise<string> =>
    (await ask('GET', `${url}/_history?_count=1`)).json.entry[0].response.lastModified;
  return {
    ask,
    async put(resource) {
      const url = `${resource.resourceType}/${resource.id}`;
      // So that the instant before a write is none of another.
      await pause(2);
      const reply = await ask('PUT', url, resource);
      t.ok(reply.status < 300, reply.text.slice(0, 300));
      return reply.json.meta.lastUpdated;
    },
    async remove(url) {
      await pause(2);
      t.equal((await ask('DELETE', url)).status, 204);
      return latest(url);
    },
  };
}

const patient = (id: string, family: string, more: object = {}) => ({
  resourceType: 'Patient',
  id,
  name: [{ family }],
  ...more,
});

const before = (instant: string, ms = 1): string => new Date(Date.parse(instant) - ms).toISOString();
const says = (reply: Reply): string =>
  (reply.json.issue ?? []).map((issue: { diagnostics: string }) => issue.diagnostics).join(' ');

/** All pages of a search. */
async function pages(ask: TestEngine['ask'], url: string): Promise<string[][]> {
  const found: string[][] = [];
  for (let next: string | undefined = url; next !== undefined && found.length < 50; ) {
    const reply: Reply = await ask('GET', next);
    if (reply.status !== 200) throw new Error(says(reply));
    found.push(matchIds(reply));
    next = nextLink(reply);
  }
  return found;
}

t.setTimeout(60_000);
await onBothStores(t, async (t, adapter) => {
  await t.test('a read shows the version of then: 404 before it was there, 410 while it was deleted', async (t) => {
    const { ask, put, remove } = await setting(t, adapter);
    const first = await put(patient('a', 'Eins'));
    const second = await put(patient('a', 'Zwei'));
    const deleted = await remove('Patient/a');
    const back = await put(patient('a', 'Drei'));
    const cases: [instant: string, status: number, family?: string][] = [
      [before(first), 404],
      [first, 200, 'Eins'],
      [before(second), 200, 'Eins'],
      [second, 200, 'Zwei'],
      [before(deleted), 200, 'Zwei'],
      [deleted, 410],
      [before(back), 410],
      [back, 200, 'Drei'],
      ['2999-01-01T00:00:00Z', 200, 'Drei'],
      ['1970-01-01T00:00:00Z', 404],
    ];
    for (const [instant, status, family] of cases) {
      const reply = await ask('GET', `Patient/a?_asOf=${instant}`);
      t.equal(reply.status, status, instant);
      if (family !== undefined) t.equal(reply.json.name[0].family, family);
    }
    const zoned = new Date(Date.parse(second) + 3_600_000).toISOString().replace('Z', '%2B01:00');
    t.equal((await ask('GET', `Patient/a?_asOf=${zoned}`)).json.name[0].family, 'Zwei');
    const old = await ask('GET', `Patient/a?_asOf=${first}`);
    t.equal(old.headers.ETag, 'W/"1"');
    t.equal((await ask('GET', `Patient/a?_asOf=${first}`, undefined, { 'If-None-Match': 'W/"1"' })).status, 304);
    const part = await ask('GET', `Patient/a?_asOf=${first}&_elements=active`);
    t.notOk(part.json.name);
    t.equal((await ask('GET', `Patient/b?_asOf=${first}`)).status, 404);
  });

  await t.test('only an instant will do', async (t) => {
    const { ask } = await setting(t, adapter);
    const wrong = [
      '',
      'yesterday',
      '2024',
      '2024-02-01',
      '2024-02-01T10:00',
      '2024-02-01T10:00:00',
      '2024-02-30T10:00:00Z',
      '2024-01-01T00:00:00+01:00',
    ];
    for (const value of wrong) {
      for (const url of [`Patient?_asOf=${value}`, `Patient/a?_asOf=${value}`]) {
        const reply = await ask('GET', url);
        t.equal(reply.status, 400, url);
        t.match(says(reply), /_asOf=.*: an instant is accepted/, url);
      }
    }
  });

  await t.test('a search finds what it found then, whatever came after', async (t) => {
    const { ask, put, remove } = await setting(t, adapter);
    // After each write: what is there, as the search itself says at that time.
    const moments: [instant: string, found: Record<string, string[]>][] = [];
    const searches = [
      'Patient?_sort=family',
      'Patient?family=m',
      'Patient?gender=male&_sort=-birthdate',
      'Patient?gender:not=male&_sort=_lastUpdated',
      'Patient?birthdate=lt1980&_sort=-_lastUpdated,family',
      'Patient?_filter=family sw "m" or not (gender eq "male")&_sort=gender,-family',
      'Patient?_tag=x&_sort=family',
      'Patient?family:contains=ei&_sort=family',
      'Patient?birthdate:missing=true&_sort=family',
      'Patient/p1/Patient?_sort=family',
      'Patient?_id=p1,p2,p3&_sort=family',
      'Patient?_content=meier&_sort=family',
    ];
    const families = ['Meier', 'Müller', 'Maier', 'Schmidt', 'Weiß', 'Adam'];
    for (let step = 0; step < 24; step++) {
      const id = `p${(step * 7) % 5}`;
      const instant =
        step % 9 === 8
          ? await remove(`Patient/${id}`)
          : await put(
              patient(id, families[(step * 5) % families.length] ?? '', {
                gender: step % 3 === 0 ? 'male' : 'female',
                ...(step % 4 === 0 ? {} : { birthDate: `19${60 + step}-01-01` }),
                ...(step % 5 === 0 ? { meta: { tag: [{ code: 'x' }] } } : {}),
              }),
            );
      const found: Record<string, string[]> = {};
      for (const search of searches) found[search] = matchIds(await ask('GET', search));
      moments.push([instant, found]);
    }
    for (const [at, [instant, found]] of moments.entries()) {
      const next = moments[at + 1]?.[0];
      for (const [search, ids] of Object.entries(found)) {
        const then = await ask('GET', `${search}&_asOf=${instant}`);
        t.equal(then.status, 200, says(then));
        // The order is another test's: here some sort alike.
        t.same([...matchIds(then)].sort(), [...ids].sort(), `${search} at ${at}`);
        t.equal(then.json.total, ids.length);
      }
      if (next !== undefined && at % 6 === 0) {
        const last = await ask('GET', `Patient?_sort=family&_asOf=${before(next)}`);
        t.same([...matchIds(last)].sort(), [...(found['Patient?_sort=family'] ?? [])].sort(), 'until the next write');
      }
    }
    t.same(matchIds(await ask('GET', `Patient?_asOf=${before(moments[0]?.[0] ?? '')}`)), [], 'before the first');
  });

  await t.test('its order is that of then', async (t) => {
    const { ask, put } = await setting(t, adapter);
    await put(patient('a', 'Cäsar', { birthDate: '2001' }));
    await put(patient('b', 'Bertha', { birthDate: '2002' }));
    await put(patient('d', 'Dora'));
    const then = await put(patient('c', 'Anton', { birthDate: '2003' }));
    await put(patient('c', 'Zacharias', { birthDate: '1900' }));
    await put(patient('a', 'Yak'));
    const sorted = async (order: string) => matchIds(await ask('GET', `Patient?_sort=${order}&_asOf=${then}`));
    t.same(await sorted('family'), ['c', 'b', 'a', 'd']);
    t.same(await sorted('-family'), ['d', 'a', 'b', 'c']);
    t.same(await sorted('birthdate'), ['a', 'b', 'c', 'd'], 'what is missing comes last');
    t.same(await sorted('-birthdate'), ['c', 'b', 'a', 'd']);
    t.same(await sorted('_lastUpdated'), ['a', 'b', 'd', 'c']);
    const shown = await ask('GET', `Patient?_sort=family&_asOf=${then}`);
    t.equal(shown.json.entry[0].resource.name[0].family, 'Anton', 'and so is what is shown');
    t.equal(shown.json.entry[0].resource.meta.versionId, '1');
    t.equal((await ask('GET', `Patient?_sort=nothing&_asOf=${then}`)).status, 400);
  });

  await t.test('pages neither repeat nor lose one while others write', async (t) => {
    const { ask, put, remove } = await setting(t, adapter);
    const all = Array.from({ length: 23 }, (_, at) => `p${String(at).padStart(2, '0')}`);
    let then = '';
    for (const id of all) then = await put(patient(id, `N${id}`));
    const url = `Patient?_sort=family&_count=5&_asOf=${then}`;
    const first = await ask('GET', url);
    t.equal(first.json.total, 23);
    const found = [matchIds(first)];
    let next = nextLink(first);
    for (let page = 1; next !== undefined; page++) {
      await put(patient(`p0${page}`, 'changed'));
      await remove(`Patient/p1${page}`);
      await put(patient(`new${page}`, 'N'));
      const reply = await ask('GET', next);
      t.equal(reply.status, 200, says(reply));
      t.equal(reply.json.total, 23);
      t.ok(
        reply.json.entry.every(
          (entry: { resource: { meta: { versionId: string } } }) => entry.resource.meta.versionId === '1',
        ),
      );
      found.push(matchIds(reply));
      next = nextLink(reply);
    }
    t.same(found.flat(), all);
    t.same(
      found.map(({ length }) => length),
      [5, 5, 5, 5, 3],
    );
    t.same((await pages(ask, url)).flat(), all, 'asked for anew it is still the same');
    t.equal((await ask('GET', `${url}&_summary=count`)).json.total, 23);
    t.notOk((await ask('GET', `Patient?_count=0&_asOf=${then}`)).json.entry);
  });

  await t.test('what looks at other resources is refused by name', async (t) => {
    const { ask } = await setting(t, adapter);
    const instant = '2024-01-01T00:00:00Z';
    const cases: [search: string, name: RegExp][] = [
      ['Observation?subject:Patient.family=x', /"subject\.…"/],
      ['Patient?_has:Observation:subject:code=x', /"_has:Observation:subject"/],
      ['Patient?_list=1', /"_list"/],
      ['Location?near=1|2|3|km', /"near"/],
      ['Patient?_filter=organization.name eq "x"', /"organization\.…"/],
      ['Observation?_sort=subject:Patient.family', /"_sort=subject\.family"/],
      ['Patient?_include=Patient:organization', /_include/],
      ['Patient?_revinclude=Observation:subject', /_revinclude/],
      ['?_type=Patient,Observation', /one type/],
      ['Patient?_contained=true', /_asOf/],
    ];
    for (const [search, name] of cases) {
      const reply = await ask('GET', `${search}&_asOf=${instant}`);
      t.equal(reply.status, 400, search);
      t.equal(reply.json.issue[0].code, 'not-supported', search);
      t.match(says(reply), name, search);
    }
    t.equal((await ask('DELETE', `Patient?family=x&_asOf=${instant}`)).status, 400, 'and it is no condition');
  });

  await t.test('more than can be looked at is refused', async (t) => {
    const { ask, put } = await setting(t, adapter);
    const then = await put(patient('first', 'First'));
    const count = limits.asOfMatchesMax + 1;
    const sizes = Array.from({ length: Math.ceil(count / 4_000) }, (_, at) => Math.min(4_000, count - at * 4_000));
    // What decides is the same on both, and so many take their time.
    if (adapter.name === 'MongoDB') return;
    for (const [part, size] of sizes.entries()) {
      const entry = Array.from({ length: size }, (_, at) => ({
        resource: { resourceType: 'Basic', id: `b${part}-${at}`, code: { text: 'x' } },
        request: { method: 'PUT', url: `Basic/b${part}-${at}` },
      }));
      t.equal((await ask('POST', '', { resourceType: 'Bundle', type: 'transaction', entry })).status, 200);
    }
    for (const instant of [then, '2999-01-01T00:00:00Z']) {
      const reply = await ask('GET', `Basic?_asOf=${instant}`);
      t.equal(reply.status, 422, instant);
      t.match(says(reply), /_asOf looks at up to 10000 resources/);
    }
    t.equal((await ask('GET', `Basic?_id=b0-0&_asOf=2999-01-01T00:00:00Z`)).json.total, 1);
  });

  await t.test('history: _since, _at and _list, together and page by page', async (t) => {
    const { ask, put, remove } = await setting(t, adapter);
    const times = new Map<string, string>();
    for (const [name, id] of [
      ['a1', 'a'],
      ['b1', 'b'],
      ['a2', 'a'],
      ['c1', 'c'],
    ] as const)
      times.set(name, await put(patient(id, name)));
    times.set('b2', await remove('Patient/b'));
    times.set('a3', await put(patient('a', 'a3')));
    const list = { resourceType: 'List', id: 'l', status: 'current', mode: 'working' };
    const item = (reference: string, more: object = {}) => ({ item: { reference }, ...more });
    await put({
      ...list,
      entry: [item('Patient/a'), item('Patient/b'), item('Patient/c', { deleted: true })],
    } as never);
    const at = (name: string): string => times.get(name) ?? '';
    /** "a3", "b2", …: newest first. */
    const versions = async (url: string): Promise<string[]> => {
      const found: string[] = [];
      for (let next: string | undefined = url; next !== undefined; ) {
        const reply: Reply = await ask('GET', next);
        t.equal(reply.status, 200, `${url}: ${says(reply)}`);
        for (const { fullUrl, response } of reply.json.entry ?? []) {
          found.push(`${fullUrl.split('/').at(-1)}${response.etag.replace(/\D/g, '')}`);
        }
        next = nextLink(reply);
      }
      return found;
    };
    const cases: [url: string, expected: string[]][] = [
      ['Patient/_history', ['a3', 'b2', 'c1', 'a2', 'b1', 'a1']],
      ['Patient/_history?_count=2', ['a3', 'b2', 'c1', 'a2', 'b1', 'a1']],
      [`Patient/_history?_since=${at('c1')}`, ['a3', 'b2', 'c1']],
      [`Patient/_history?_since=${before(at('c1'))}`, ['a3', 'b2', 'c1']],
      [`Patient/_history?_since=${at('a3')}&_count=1`, ['a3']],
      ['Patient/_history?_since=2999', []],
      [`Patient/_history?_at=${at('a2')}`, ['a2', 'b1']],
      [`Patient/_history?_at=${before(at('a2'))}`, ['b1', 'a1']],
      [`Patient/_history?_at=${at('b2')}&_count=1`, ['b2', 'c1', 'a2']],
      ['Patient/_history?_at=2999', ['a3', 'b2', 'c1']],
      ['Patient/_history?_at=1970-01-01', []],
      [`Patient/a/_history?_at=${at('c1')}`, ['a2']],
      [`Patient/a/_history?_since=${at('a2')}`, ['a3', 'a2']],
      ['Patient/_history?_list=l', ['a3', 'b2', 'a2', 'b1', 'a1']],
      ['Patient/_history?_list=List/l&_count=2', ['a3', 'b2', 'a2', 'b1', 'a1']],
      ['_history?_list=l', ['a3', 'b2', 'a2', 'b1', 'a1']],
      ['Patient/_history?_list=nothing', []],
      ['Observation/_history?_list=l', []],
      ['Patient/c/_history?_list=l', []],
      ['Patient/a/_history?_list=l', ['a3', 'a2', 'a1']],
      [`Patient/_history?_list=l&_since=${at('b2')}`, ['a3', 'b2']],
      [`Patient/_history?_list=l&_at=${at('c1')}`, ['a2', 'b1']],
      [`Patient/_history?_at=${at('c1')}&_since=${at('a2')}`, ['c1', 'a2']],
      [`Patient/_history?_list=l&_at=${at('c1')}&_since=${at('a2')}&_count=1`, ['a2']],
      // b is deleted, and nothing finds it now.
      ['Patient/_history?_id=a,b,c', ['a3', 'c1', 'a2', 'a1']],
      [`Patient/_history?_id=a&_since=${at('c1')}`, ['a3']],
      ['Patient/_history?_id=a,c&_list=l&_count=1', ['a3', 'a2', 'a1']],
      ['Patient/_history?_filter=_id eq "a"', ['a3', 'a2', 'a1']],
      ['Patient/_history?family=nobody-has-this', []],
      ['Patient/_history?_count=0', ['a3', 'b2', 'c1', 'a2', 'b1', 'a1']],
    ];
    for (const [url, expected] of cases) t.same(await versions(url), expected, url);
    const day = at('a1').slice(0, 10);
    t.same(
      await versions(`Patient/_history?_at=${day}`),
      ['a3', 'b2', 'c1', 'a2', 'b1', 'a1'],
      'at some time of a day',
    );
    const wrong = [
      '_since=yesterday',
      '_since=gt2024',
      '_at=x',
      '_at=',
      '_list=$current-problems',
      '_list=',
      '_count=x',
      '_sort=family',
      '_elements=id',
      '_include=Patient:link',
      'famly=x',
      'family:exactly=x',
    ];
    for (const query of wrong) {
      const reply = await ask('GET', `Patient/_history?${query}`);
      t.equal(reply.status, 400, query);
      t.ok(says(reply).length > 20, says(reply));
    }
    t.equal((await ask('GET', 'Patient/never/_history')).status, 404);
    t.equal((await ask('GET', 'Patient/never/_history?_since=2020')).status, 200);
  });
});

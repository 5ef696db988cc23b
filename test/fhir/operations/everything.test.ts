// $everything: what belongs to a record, what comes with it, by dates, types and pages, for whom it may be seen.
// https://hl7.org/fhir/R4/operation-patient-everything.html
import t from 'tap';
import type { Clock } from '../../../src/base/clock.ts';
import { limits } from '../../../src/base/limits.ts';
import { baseUrl, engineOn, nextLink, type Reply } from '../../support/engine.ts';
import { type Adapter, onBothStores, type Test } from '../../support/stores.ts';
import { allPages, askAs, parameters, refsOf, SECRET, said, withoutSecrets, withoutTypes } from './support.ts';

const ref = (reference: string): object => ({ reference });

/** A patient with something of everything; what is not theirs; and those that they know. */
const resources: Record<string, object> = {
  'Organization/o1': { name: 'Practice' },
  'Location/l1': { name: 'Room', managingOrganization: ref('Organization/far') },
  'Organization/far': { name: 'Two steps away' },
  'Practitioner/d1': { active: true },
  'Practitioner/d2': { active: true },
  'Practitioner/d3': { active: true },
  'Device/dv1': { status: 'active' },
  'Medication/m1': { status: 'active' },
  'Binary/bin1': { contentType: 'text/plain', data: 'aGk=' },
  'Patient/p1': {
    managingOrganization: ref('Organization/o1'),
    generalPractitioner: [ref('Practitioner/d1')],
    extension: [{ url: 'urn:x', valueString: 'not one: "reference":"Practitioner/d3"' }],
  },
  'Patient/p2': { link: [{ other: ref('Patient/p1'), type: 'seealso' }] },
  'Patient/p3': { active: true },
  'Encounter/e1': {
    status: 'finished',
    class: { code: 'IMP' },
    subject: ref('Patient/p1'),
    period: { start: '2019-12-01', end: '2020-02-01' },
    location: [{ location: ref('Location/l1') }],
  },
  'Encounter/e2': {
    status: 'finished',
    class: { code: 'AMB' },
    subject: ref('Patient/p1'),
    period: { start: '2022-05-05T10:00:00Z', end: '2022-05-05T10:30:00Z' },
  },
  'Observation/b1': {
    status: 'final',
    code: { text: 'x' },
    subject: ref('Patient/p1'),
    encounter: ref('Encounter/e1'),
    effectiveDateTime: '2020-01-15',
    performer: [ref('Practitioner/d1')],
    device: ref('Device/dv1'),
    hasMember: [ref('Observation/stray')],
  },
  'Observation/b2': {
    status: 'final',
    code: { text: 'x' },
    subject: ref('Patient/p1'),
    encounter: ref('Encounter/e2'),
    effectiveDateTime: '2021-06-01',
    performer: [ref(`${baseUrl}/Practitioner/d2/_history/1`), ref('https://elsewhere.org/fhir/Practitioner/d3')],
  },
  'Observation/b3': { status: 'final', code: { text: 'undated' }, subject: ref('Patient/p1') },
  'Observation/stray': { status: 'final', code: { text: 'of nobody' }, effectiveDateTime: '2020-01-15' },
  'Observation/other': { status: 'final', code: { text: 'x' }, subject: ref('Patient/p3') },
  'DocumentReference/dr1': {
    status: 'current',
    subject: ref('Patient/p1'),
    date: '2021-01-01T00:00:00Z',
    content: [{ attachment: { url: 'Binary/bin1' } }, { attachment: { url: 'Practitioner/d3' } }],
  },
  'MedicationRequest/mr1': {
    status: 'active',
    intent: 'order',
    subject: ref('Patient/p1'),
    medicationReference: ref('Medication/m1'),
    authoredOn: '2020-01-20',
  },
  'Provenance/pr1': {
    target: [ref('Patient/p1'), ref('Patient/p2'), ref('Patient/p3')],
    recorded: '2023-01-01T00:00:00Z',
    agent: [{ who: ref('Practitioner/none') }],
  },
};

const COMPARTMENT = [
  'Patient/p1',
  'DocumentReference/dr1',
  'Encounter/e1',
  'Encounter/e2',
  'MedicationRequest/mr1',
  'Observation/b1',
  'Observation/b2',
  'Observation/b3',
  'Patient/p2',
  'Provenance/pr1',
];
const ALONG = [
  'Binary/bin1',
  'Device/dv1',
  'Location/l1',
  'Medication/m1',
  'Observation/stray',
  'Organization/o1',
  'Patient/p3',
  'Practitioner/d1',
  'Practitioner/d2',
];

t.setTimeout(240_000);

await onBothStores(t, async (t, adapter) => {
  await smallRecord(t, adapter);
  await longRecord(t, adapter);
});

async function smallRecord(t: Test, adapter: Adapter): Promise<void> {
  let now = Date.UTC(2024, 0, 1);
  const clock: Clock = { now: () => now, newId: () => `made-${now}` };
  const { store, close } = await adapter.open(clock);
  t.teardown(close);
  const tested = await engineOn(store, { clock });
  const { ask } = tested;
  const put = async (ref: string, content: object): Promise<void> => {
    now += 1000;
    const [resourceType, id] = ref.split('/');
    const reply = await ask('PUT', ref, { resourceType, id, ...content });
    if (reply.status >= 300) throw new Error(reply.text);
  };
  for (const [ref, content] of Object.entries(resources)) await put(ref, content);
  const get = (url: string): Promise<Reply> => ask('GET', url);
  const sorted = (refs: readonly string[]): string[] => [...refs].sort();

  await t.test('the patient, the compartment, and what these refer to one step out, each once', async (t) => {
    const reply = await get('Patient/p1/$everything');
    t.equal(reply.status, 200);
    t.equal(reply.json.type, 'searchset');
    t.equal(reply.json.total, COMPARTMENT.length);
    t.equal(refsOf(reply, 'match')[0], 'Patient/p1');
    t.strictSame(sorted(refsOf(reply, 'match')), sorted(COMPARTMENT));
    t.strictSame(sorted(refsOf(reply, 'include')), ALONG);
    t.equal(nextLink(reply), undefined);
    t.strictSame(reply.json.link, [{ relation: 'self', url: `${baseUrl}/Patient/p1/$everything` }]);
    t.ok(reply.json.entry.every(({ fullUrl }: { fullUrl: string }) => fullUrl.startsWith(`${baseUrl}/`)));
  });

  await t.test('POST with Parameters is the same', async (t) => {
    const body = parameters({ name: '_type', valueCode: 'Observation' }, { name: '_count', valueInteger: 2 });
    const first = await ask('POST', 'Patient/p1/$everything', body);
    t.equal(first.json.link[0].url, `${baseUrl}/Patient/p1/$everything?_type=Observation&_count=2`);
    t.equal(refsOf(first, 'match').length, 2);
    const second = await get(nextLink(first) ?? '');
    t.strictSame(sorted([...refsOf(first, 'match'), ...refsOf(second, 'match')]), [
      'Observation/b1',
      'Observation/b2',
      'Observation/b3',
    ]);
  });

  await t.test('all pages together are the whole, each resource once, no page empty', async (t) => {
    for (let size = 1; size <= COMPARTMENT.length + 1; size++) {
      const { matches, includes, sizes } = await allPages(get, `Patient/p1/$everything?_count=${size}`);
      t.strictSame(sorted(matches), sorted(COMPARTMENT), `pages of ${size}`);
      t.strictSame(sorted(includes), ALONG, 'what was brought along once is not again');
      t.equal(sizes.length, Math.ceil(COMPARTMENT.length / size));
      t.ok(sizes.slice(0, -1).every((one) => one === size));
    }
  });

  await t.test('a page that takes long ends where it is, and the next goes on', async (t) => {
    for (const tickMs of [300, 5_000]) {
      let ticks = now;
      const slow = await engineOn(store, { clock: { now: () => (ticks += tickMs), newId: () => `slow-${ticks}` } });
      const { matches, includes, sizes } = await allPages((url) => slow.ask('GET', url), 'Patient/p1/$everything');
      t.strictSame(sorted(matches), sorted(COMPARTMENT));
      t.strictSame(sorted(includes), ALONG);
      t.ok(sizes.length > 1, `${sizes.length} pages`);
    }
  });

  await t.test('what is written meanwhile moves no other across a page', async (t) => {
    const first = await get('Patient/p1/$everything?_count=5');
    await put('Observation/new', { status: 'final', code: { text: 'x' }, subject: ref('Patient/p1') });
    for (const one of refsOf(first, 'match')) await put(one, resources[one] ?? {});
    await ask('DELETE', 'Observation/new');
    const rest = await allPages(get, nextLink(first) ?? '');
    t.strictSame(sorted([...refsOf(first, 'match'), ...rest.matches]), sorted(COMPARTMENT));
  });

  await t.test('start and end are dates of care: what overlaps them, and what has no date', async (t) => {
    const UNDATED = ['Observation/b3', 'Patient/p1', 'Patient/p2'];
    const cases: [string, string[]][] = [
      ['start=2020-01-01&end=2020-01-31', ['Encounter/e1', 'MedicationRequest/mr1', 'Observation/b1']],
      ['start=2020-02-02', ['DocumentReference/dr1', 'Encounter/e2', 'Observation/b2', 'Provenance/pr1']],
      ['end=2019-12-31', ['Encounter/e1']],
      ['start=2022&end=2022', ['Encounter/e2']],
      ['end=2018', []],
      ['start=2021-06-01&end=2021-06-01', ['Observation/b2']],
    ];
    for (const [query, dated] of cases) {
      const reply = await get(`Patient/p1/$everything?${query}`);
      t.strictSame(sorted(refsOf(reply, 'match')), sorted([...UNDATED, ...dated]), query);
      const along = refsOf(reply, 'include');
      t.notOk(
        along.some((one) => COMPARTMENT.includes(one)),
        'a member outside of the dates is not brought along',
      );
    }
  });

  await t.test('_since: what was stored or changed from then on, and what it refers to', async (t) => {
    const since = new Date(now + 1000).toISOString();
    await put('Observation/b2', resources['Observation/b2'] ?? {});
    const reply = await get(`Patient/p1/$everything?_since=${since}`);
    t.strictSame(refsOf(reply, 'match'), ['Observation/b2'], 'the instant itself is in');
    t.strictSame(refsOf(reply, 'include'), ['Practitioner/d2']);
    const none = await get(`Patient/p1/$everything?_since=${new Date(now + 1).toISOString()}`);
    t.equal(none.json.total, 0);
    t.notOk('entry' in none.json);
  });

  await t.test('_type: of the compartment and of what it refers to', async (t) => {
    const of = async (query: string): Promise<[string[], string[]]> => {
      const reply = await get(`Patient/p1/$everything?${query}`);
      return [sorted(refsOf(reply, 'match')), sorted(refsOf(reply, 'include'))];
    };
    const observations = ['Observation/b1', 'Observation/b2', 'Observation/b3'];
    t.strictSame(await of('_type=Observation'), [observations, ['Observation/stray']]);
    t.strictSame(await of('_type=Encounter,Observation'), [
      ['Encounter/e1', 'Encounter/e2', ...observations],
      ['Observation/stray'],
    ]);
    t.strictSame(await of('_type=Encounter&_type=Location'), [['Encounter/e1', 'Encounter/e2'], ['Location/l1']]);
    t.strictSame(
      await of('_type=Practitioner'),
      [[], ['Practitioner/d1', 'Practitioner/d2']],
      'whatever refers to them',
    );
    t.strictSame(await of('_type=Practitioner,Observation'), [
      observations,
      ['Observation/stray', 'Practitioner/d1', 'Practitioner/d2'],
    ]);
    t.strictSame(await of('_type=Patient'), [['Patient/p1', 'Patient/p2'], []], 'nothing but what patients refer to');
    t.strictSame(await of('_type=Slot'), [[], []]);
    const { matches, includes } = await allPages(get, 'Patient/p1/$everything?_type=Observation,Practitioner&_count=1');
    t.strictSame(sorted(matches), observations);
    t.strictSame(sorted(includes), ['Observation/stray', 'Practitioner/d1', 'Practitioner/d2']);
  });

  await t.test('an encounter: what refers to it, and what these refer to', async (t) => {
    const reply = await get('Encounter/e1/$everything');
    t.strictSame(refsOf(reply, 'match'), ['Encounter/e1', 'Observation/b1']);
    t.strictSame(sorted(refsOf(reply, 'include')), [
      'Device/dv1',
      'Location/l1',
      'Observation/stray',
      'Patient/p1',
      'Practitioner/d1',
    ]);
    t.equal((await get('Encounter/e1/$everything?start=2020')).status, 400, 'R4 has no dates there');
    t.equal((await get('Encounter/$everything')).status, 404);
  });

  await t.test('a practitioner: what names them', async (t) => {
    const reply = await get('Practitioner/d1/$everything');
    t.equal(refsOf(reply, 'match')[0], 'Practitioner/d1');
    t.strictSame(sorted(refsOf(reply, 'match')), ['Observation/b1', 'Patient/p1', 'Practitioner/d1']);
    t.ok(
      refsOf(reply, 'include').includes('Encounter/e1'),
      'not in the compartment of a practitioner by this reference',
    );
  });

  await t.test('all patients: the compartments of all, each resource once', async (t) => {
    const whole = [...COMPARTMENT, 'Patient/p3', 'Observation/other'];
    for (const size of [1, 4, 100]) {
      const { matches, includes } = await allPages(get, `Patient/$everything?_count=${size}`);
      t.strictSame(sorted(matches), sorted(whole), `pages of ${size}`);
      t.strictSame(
        sorted(includes),
        ALONG.filter((one) => one !== 'Patient/p3'),
      );
    }
    const bound = askAs(tested, {
      of: (type) => (type === 'Patient' ? { kind: 'ids', ids: ['p3'] } : { kind: 'none' }),
    });
    t.strictSame(refsOf(await bound('Patient/$everything'), 'match'), ['Patient/p3'], 'those that the caller may see');
  });

  await t.test('a group: its patients, those that have left excepted', async (t) => {
    const member = (id: string, more: object = {}): object => ({ entity: ref(id), ...more });
    await put('Group/g1', {
      type: 'person',
      actual: true,
      member: [
        member('Patient/p3', { period: { end: '2023-12-31' } }),
        member('Patient/p1', { period: { start: '2020-01-01' } }),
        member('Patient/p2'),
        member('Practitioner/d1'),
        member('Patient/gone'),
        member('https://elsewhere.org/fhir/Patient/p3'),
        member('Patient/p1'),
      ],
    });
    await put('Group/g2', { type: 'person', actual: true, member: [member('Patient/p3', { inactive: true })] });
    const { matches, includes } = await allPages(get, 'Group/g1/$everything?_count=3');
    t.strictSame(
      sorted(matches),
      sorted([...COMPARTMENT, 'Group/g1']),
      'the group is in the compartments of its patients',
    );
    t.strictSame(sorted(includes), ALONG);
    t.equal((await get('Group/g2/$everything')).json.total, 0);
    t.equal((await get('Group/none/$everything')).status, 404);
    await ask('DELETE', 'Group/g1');
    await ask('DELETE', 'Group/g2');
  });

  await t.test('400 for parameters that do not fit, each naming what is accepted', async (t) => {
    const refused = async (query: string, pattern: RegExp): Promise<void> => {
      const reply = await get(`Patient/p1/$everything?${query}`);
      t.equal(reply.status, 400, query);
      t.match(said(reply), pattern);
    };
    await refused('_count=0', /"_count" takes a whole number from 1 to 1000/);
    await refused('_count=many', /"_count"/);
    await refused('start=yesterday', /"start" takes a date such as/);
    await refused('end=2024-13', /"end" takes a date/);
    await refused('_since=now', /"_since" takes an instant/);
    await refused('start=2024-02&end=2024-01', /end=2024-01 lies before start=2024-02/);
    await refused('_type=Pateint', /Did you mean "Patient"/);
    await refused('_type=Observation,', /not a resource type/);
    await refused('code=x', /"code" is not a parameter of this operation. Accepted: start, end, _since, _type, _count/);
    await refused('start=2020&start=2021', /"start" is given 2 times/);
    const link = nextLink(await get('Patient/p1/$everything?_count=1')) ?? '';
    const other = await get(link.replace('Patient/p1', 'Patient/p2'));
    t.match(said(other), /belongs to another search/);
    t.match(said(await get(link.slice(0, -4))), /altered/);
    now += limits.cursorLifeMs + 1;
    t.match(said(await get(link)), /too old/);
  });

  await t.test('404 for what never was, 410 for what was deleted', async (t) => {
    t.equal((await get('Patient/never/$everything')).status, 404);
    await put('Patient/gone', {});
    await ask('DELETE', 'Patient/gone');
    t.equal((await get('Patient/gone/$everything')).status, 410);
    t.equal((await get('Medication/m1/$everything')).status, 404, 'not offered there');
  });

  await t.test('what a caller may not see is neither there nor brought along', async (t) => {
    const reply = await askAs(tested, withoutTypes('Practitioner', 'Encounter'))('Patient/p1/$everything');
    const shown = [...refsOf(reply, 'match'), ...refsOf(reply, 'include')];
    t.strictSame(
      sorted(shown),
      sorted([...COMPARTMENT, ...ALONG].filter((one) => !/^(Practitioner|Encounter|Location)\//.test(one))),
      'nor what only an encounter refers to',
    );
    t.equal((await askAs(tested, withoutTypes('Patient'))('Patient/p1/$everything')).status, 403);
    const hidden = ['Observation/b1', 'Practitioner/d2', 'Location/l1'];
    for (const one of hidden) await put(one, { ...resources[one], meta: SECRET });
    const { matches, includes } = await allPages(askAs(tested, withoutSecrets), 'Patient/p1/$everything?_count=2');
    const seen = [...matches, ...includes];
    t.notOk(hidden.some((one) => seen.includes(one)));
    t.notOk(seen.includes('Device/dv1'), 'nor what only the hidden refer to');
    t.equal(matches.length, COMPARTMENT.length - 1);
    const group = { type: 'person', actual: true, member: [{ entity: ref('Patient/p1') }] };
    await put('Group/g', { ...group, meta: SECRET });
    t.equal((await askAs(tested, withoutSecrets)('Group/g/$everything')).status, 404);
  });
}

/** More references than one page brings along, and a group of more patients than are walked at once. */
async function longRecord(t: Test, adapter: Adapter): Promise<void> {
  const { store, close } = await adapter.open();
  t.teardown(close);
  const { ask } = await engineOn(store);
  const get = (url: string): Promise<Reply> => ask('GET', url);
  const load = async (all: Record<string, object>): Promise<void> => {
    const entry = Object.entries(all).map(([url, content]) => {
      const [resourceType, id] = url.split('/');
      return { resource: { resourceType, id, ...content }, request: { method: 'PUT', url } };
    });
    const reply = await ask('POST', '', { resourceType: 'Bundle', type: 'transaction', entry });
    if (reply.status !== 200) throw new Error(reply.text);
  };
  const COUNT = limits.includesMax + 250;
  const devices = Array.from({ length: COUNT }, (_, at) => `Device/d${at}`);
  const list = { status: 'current', mode: 'working', subject: ref('Patient/1') };
  await load({
    'Patient/1': {},
    'List/long': { ...list, entry: devices.map((device) => ({ item: ref(device) })) },
    ...Object.fromEntries(devices.map((device) => [device, {}])),
  });

  await t.test('what does not fit on a page comes with the next', async (t) => {
    const first = await get('Patient/1/$everything');
    t.ok(refsOf(first, 'include').length < COUNT);
    // Where a page ends also depends on how long it took; what all of them hold does not.
    const { matches, includes } = await allPages(get, 'Patient/1/$everything');
    t.strictSame(matches, ['Patient/1', 'List/long']);
    t.equal(includes.length, COUNT);
    t.equal(new Set(includes).size, COUNT);
  });

  await t.test('a record that refers to too many at once is refused with a way out', async (t) => {
    const entry = Array.from({ length: limits.everythingReferencesMax + 1 }, (_, at) => ({
      item: ref(`Device/x${at}`),
    }));
    await load({ 'List/long': { ...list, entry } });
    const reply = await get('Patient/1/$everything');
    t.equal(reply.status, 422);
    t.match(said(reply), /_type/);
    t.equal((await get('Patient/1/$everything?_type=Patient')).status, 200);
  });

  await t.test(
    'a large group: what several share comes once; who joins or leaves meanwhile changes nothing',
    async (t) => {
      const ids = Array.from({ length: 70 }, (_, at) => `many-${String(at).padStart(2, '0')}`);
      const member = ids.map((id) => ({ entity: ref(`Patient/${id}`) })).reverse();
      const link = [{ other: ref(`Patient/${ids[0]}`), type: 'seealso' }];
      const record = { status: 'final', code: { text: 'x' } };
      const all: Record<string, object> = {
        'Practitioner/d1': {},
        'Group/many': { type: 'person', actual: true, member },
        'Provenance/shared': {
          target: ids.map((id) => ref(`Patient/${id}`)),
          recorded: '2023-01-01T00:00:00Z',
          agent: [{ who: ref('Practitioner/d1') }],
        },
        ...Object.fromEntries(ids.map((id, at) => [`Patient/${id}`, at % 10 === 9 ? { link } : {}])),
        ...Object.fromEntries(ids.map((id) => [`Observation/of-${id}`, { ...record, subject: ref(`Patient/${id}`) }])),
      };
      await load(all);
      const expected = Object.keys(all).slice(1).sort();
      for (const size of [30, 1000]) {
        const { matches, includes } = await allPages(get, `Group/many/$everything?_count=${size}`);
        t.strictSame(matches.sort(), expected, `pages of ${size}`);
        t.strictSame(includes, ['Practitioner/d1']);
      }
      const first = await get('Group/many/$everything?_count=50');
      await load({ 'Group/many': { type: 'person', actual: true, member: [{ entity: ref('Patient/1') }] } });
      const rest = await allPages(get, nextLink(first) ?? '');
      t.strictSame(
        [...refsOf(first, 'match'), ...rest.matches].sort(),
        expected,
        'the members that the first page saw',
      );
    },
  );
}

// _contained and _containedType, and _sort by a chained parameter: searches that no list of the index answers.
// On both stores. https://hl7.org/fhir/R4/search.html#contained
import t from 'tap';
import { limits } from '../../src/base/limits.ts';
import { baseUrl, engineOn, matchIds, nextLink, type Reply, type TestEngine } from '../support/engine.ts';
import { onBothStores } from '../support/stores.ts';

const medication = (id: string, code: string, text: string) => ({
  resourceType: 'Medication',
  id,
  status: 'active',
  code: { text, coding: [{ system: 'urn:m', code }] },
});

const request = (id: string, ...contained: object[]) => ({
  resourceType: 'MedicationRequest',
  id,
  status: 'active',
  intent: 'order',
  subject: { reference: 'Patient/p' },
  medicationReference: { reference: '#m' },
  ...(contained.length === 0 ? {} : { contained }),
});

const says = (reply: Reply): string =>
  (reply.json.issue ?? []).map((issue: { diagnostics: string }) => issue.diagnostics).join(' ');

const fullUrls = (reply: Reply): string[] =>
  (reply.json.entry ?? []).map((entry: { fullUrl: string }) => entry.fullUrl.slice(baseUrl.length + 1));

async function everyUrl(ask: TestEngine['ask'], search: string): Promise<string[][]> {
  const found: string[][] = [];
  for (let next: string | undefined = search; next !== undefined && found.length < 50; ) {
    const reply: Reply = await ask('GET', next);
    if (reply.status !== 200) throw new Error(says(reply));
    found.push(fullUrls(reply));
    next = nextLink(reply);
  }
  return found;
}

t.setTimeout(60_000);
await onBothStores(t, async (t, adapter) => {
  await t.test('_contained', async (t) => {
    const { store, close } = await adapter.open();
    t.teardown(close);
    const { ask } = await engineOn(store);
    const put = async (resource: { resourceType: string; id: string }): Promise<void> => {
      const reply = await ask('PUT', `${resource.resourceType}/${resource.id}`, resource);
      t.ok(reply.status < 300, reply.text.slice(0, 300));
    };
    await put(medication('free', 'a', 'Free'));
    await put(request('r1', medication('m', 'a', 'Within one')));
    await put(request('r2', medication('m', 'a', 'Within two'), medication('n', 'b', 'Beside')));
    await put(
      request('r3', medication('m', 'b', 'Within three'), { resourceType: 'Organization', id: 'o', name: 'a' }),
    );
    await put({ ...request('r4'), medicationReference: { reference: 'Medication/free' } } as never);

    const cases: [search: string, expected: string[]][] = [
      ['Medication?code=a', ['Medication/free']],
      ['Medication?code=a&_contained=false', ['Medication/free']],
      ['Medication?code=a&_contained=true', ['MedicationRequest/r1', 'MedicationRequest/r2']],
      ['Medication?code=a&_contained=true&_containedType=container', ['MedicationRequest/r1', 'MedicationRequest/r2']],
      [
        'Medication?code=a&_contained=true&_containedType=contained',
        ['MedicationRequest/r1#m', 'MedicationRequest/r2#m'],
      ],
      [
        'Medication?code=b&_contained=true&_containedType=contained',
        ['MedicationRequest/r2#n', 'MedicationRequest/r3#m'],
      ],
      ['Medication?_contained=true', ['MedicationRequest/r1', 'MedicationRequest/r2', 'MedicationRequest/r3']],
      [
        'Medication?code:text=within&_contained=true&_containedType=contained',
        ['MedicationRequest/r1#m', 'MedicationRequest/r2#m', 'MedicationRequest/r3#m'],
      ],
      ['Medication?_id=n&_contained=true&_containedType=contained', ['MedicationRequest/r2#n']],
      [
        'Medication?code:not=a&_contained=true&_containedType=contained',
        ['MedicationRequest/r2#n', 'MedicationRequest/r3#m'],
      ],
      ['Medication?code=b,c&status=active&_contained=true', ['MedicationRequest/r2', 'MedicationRequest/r3']],
      ['Medication?code=a&_contained=both', ['Medication/free', 'MedicationRequest/r1', 'MedicationRequest/r2']],
      [
        'Medication?code=a&_contained=both&_containedType=contained',
        ['Medication/free', 'MedicationRequest/r1#m', 'MedicationRequest/r2#m'],
      ],
      ['Organization?name=a&_contained=true', ['MedicationRequest/r3']],
      ['Medication?code=x&_contained=both', []],
      ['Patient?_contained=true', []],
      [
        'Patient/p/MedicationRequest?_contained=false',
        ['MedicationRequest/r1', 'MedicationRequest/r2', 'MedicationRequest/r3', 'MedicationRequest/r4'],
      ],
    ];
    for (const [at, [search, expected]] of cases.entries()) {
      t.same((await everyUrl(ask, search)).flat().sort(), expected, search);
      // Each looks into every type, which takes a real database its time.
      if (adapter.name === 'MongoDB' && at % 5 !== 3) continue;
      for (const count of [1, 2]) {
        const paged = await everyUrl(ask, `${search}&_count=${count}`);
        t.same(paged.flat().sort(), expected, `${search} by ${count}`);
        t.ok(paged.every((page) => page.length <= count));
      }
      const counted = await ask('GET', `${search}&_summary=count`);
      t.equal(counted.json.total, expected.length, `${search}: counted`);
      t.notOk(counted.json.entry);
      t.equal((await ask('GET', `${search}&_count=0`)).json.total, expected.length);
    }

    const shown = await ask('GET', 'Medication?code=b&_contained=true&_containedType=contained');
    const entry = shown.json.entry.find(({ fullUrl }: { fullUrl: string }) => fullUrl.endsWith('/r2#n'));
    t.same(entry, {
      fullUrl: `${baseUrl}/MedicationRequest/r2#n`,
      resource: medication('n', 'b', 'Beside'),
      search: { mode: 'match' },
    });
    t.equal(shown.json.total, 2);
    const part = await ask('GET', 'Medication?code=b&_contained=true&_containedType=contained&_elements=status');
    t.notOk(part.json.entry[0].resource.code);
    t.equal(part.json.entry[0].resource.meta.tag[0].code, 'SUBSETTED');
    const lenient = await ask('GET', 'Medication?colour=x&_contained=true', undefined, { Prefer: 'handling=lenient' });
    t.equal(lenient.json.entry.at(-1).search.mode, 'outcome');

    const refused: [search: string, name: RegExp][] = [
      ['Medication?manufacturer.name=x', /manufacturer\.…/],
      ['Medication?_has:MedicationRequest:medication:status=active', /_has:MedicationRequest:medication/],
      ['Medication?_list=1', /_list/],
      ['Medication?_sort=code', /_sort/],
      ['Medication?_include=Medication:manufacturer', /_include/],
      ['Medication?_revinclude=MedicationRequest:medication', /_revinclude/],
      ['Location?near=1|2|3|km', /near/],
      ['?_type=Medication,Organization', /one type/],
    ];
    for (const [search, name] of refused) {
      const reply = await ask('GET', `${search}&_contained=true`);
      t.equal(reply.status, 400, search);
      t.match(says(reply), name, search);
    }
    for (const query of ['_contained=yes', '_contained=', '_containedType=x'])
      t.equal((await ask('GET', `Medication?${query}`)).status, 400, query);
    await ask('DELETE', 'MedicationRequest/r1');
    await put(request('r2', medication('m', 'c', 'Changed')));
    t.same((await everyUrl(ask, 'Medication?code=a&_contained=true')).flat(), [], 'what is gone is not found');
  });

  await t.test('_sort by a parameter of what a reference leads to', async (t) => {
    const { store, close } = await adapter.open();
    t.teardown(close);
    const { ask } = await engineOn(store);
    const put = async (resource: { resourceType: string; id: string }): Promise<void> => {
      const reply = await ask('PUT', `${resource.resourceType}/${resource.id}`, resource);
      t.ok(reply.status < 300, reply.text.slice(0, 300));
    };
    const families = ['Dora', 'Anton', 'Cäsar', 'Bertha', 'anton'];
    for (const [at, family] of families.entries())
      await put({ resourceType: 'Patient', id: `p${at}`, name: [{ family }], birthDate: `200${at}` } as never);
    await put({ resourceType: 'Patient', id: 'nameless' } as never);
    await put({ resourceType: 'Group', id: 'g', type: 'person', actual: true } as never);
    const observation = (id: string, subject: string | undefined, status = 'final') =>
      ({
        resourceType: 'Observation',
        id,
        status,
        code: { text: 'x' },
        ...(subject ? { subject: { reference: subject } } : {}),
      }) as never;
    for (let at = 0; at < 10; at++)
      await put(observation(`o${at}`, `Patient/p${at % 5}`, at < 5 ? 'final' : 'amended'));
    await put(observation('x-nameless', 'Patient/nameless'));
    await put(observation('x-none', undefined));
    await put(observation('x-group', 'Group/g'));
    await put(observation('x-away', 'http://elsewhere.org/fhir/Patient/p0'));
    await put(observation('x-absent', 'Patient/absent'));
    const rest = ['x-absent', 'x-away', 'x-group', 'x-nameless', 'x-none'];
    const cases: [sort: string, expected: string[]][] = [
      ['subject:Patient.family', ['o1', 'o4', 'o6', 'o9', 'o3', 'o8', 'o2', 'o7', 'o0', 'o5', ...rest]],
      ['patient.family', ['o1', 'o4', 'o6', 'o9', 'o3', 'o8', 'o2', 'o7', 'o0', 'o5', ...rest]],
      ['-patient.birthdate', ['o4', 'o9', 'o3', 'o8', 'o2', 'o7', 'o1', 'o6', 'o0', 'o5', ...rest]],
      ['status,patient.birthdate', ['o5', 'o6', 'o7', 'o8', 'o9', 'o0', 'o1', 'o2', 'o3', 'o4', ...rest]],
      [
        'patient.birthdate,-_lastUpdated',
        [
          'o5',
          'o0',
          'o6',
          'o1',
          'o7',
          'o2',
          'o8',
          'o3',
          'o9',
          'o4',
          'x-absent',
          'x-away',
          'x-group',
          'x-none',
          'x-nameless',
        ],
      ],
    ];
    for (const [sort, expected] of cases) {
      const ids = matchIds(await ask('GET', `Observation?_sort=${sort}`));
      // Folded, "Anton" and "anton" differ only in the text as written.
      const alike = (id: string): string => (/family/.test(sort) ? id.replace(/[146]/, '1').replace('9', '1') : id);
      t.same(ids.map(alike), expected.map(alike), sort);
    }
    const paged: string[] = [];
    let pages = 0;
    for (
      let next: string | undefined = 'Observation?_sort=patient.birthdate&_count=4&_include=Observation:patient';
      next;
      pages++
    ) {
      const reply: Reply = await ask('GET', next);
      t.equal(reply.status, 200, says(reply));
      paged.push(...matchIds(reply));
      const patients = reply.json.entry.filter(
        (entry: { search: { mode: string } }) => entry.search.mode === 'include',
      );
      if (pages === 0) t.equal(patients.length, 2, 'with what is included');
      // Neither a new first nor another order moves anything.
      if (pages === 0) {
        await put({ resourceType: 'Patient', id: 'p4', birthDate: '1900' } as never);
        await put(observation('early', 'Patient/p4'));
        await ask('DELETE', 'Observation/o2');
      }
      next = nextLink(reply);
    }
    t.same(paged, ['o0', 'o5', 'o1', 'o6', 'o7', 'o3', 'o8', 'o4', 'o9', ...rest]);
    t.equal(pages, 4);
    t.same(matchIds(await ask('GET', 'Observation?_sort=patient.birthdate&status=amended')), [
      'o9',
      'o5',
      'o6',
      'o7',
      'o8',
    ]);
    t.equal((await ask('GET', 'Observation?_sort=patient.birthdate&_summary=count')).json.total, 15);
    const refused: [sort: string, message: RegExp][] = [
      ['patient.nothing', /nothing/],
      ['nothing.family', /nothing/],
      ['status.family', /only references can be followed/],
      ['subject:Device.family', /family/],
      ['subject:Practitioner.family', /Practitioner/],
      ['patient.organization.name', /one reference and a parameter of its target/],
      ['patient._lastUpdated', /one reference and a parameter of its target/],
      ['patient._id', /one reference and a parameter of its target/],
      ['patient.', /./],
      ['.family', /./],
    ];
    for (const [sort, message] of refused) {
      const reply = await ask('GET', `Observation?_sort=${sort}`);
      t.equal(reply.status, 400, sort);
      t.match(says(reply), message, sort);
    }
    t.equal((await ask('GET', '?_type=Observation,Condition&_sort=patient.family')).status, 400);

    const count = limits.chainSortedMax + 1;
    const entry = Array.from({ length: count }, (_, at) => ({
      resource: {
        resourceType: 'Basic',
        id: `b${at}`,
        code: { text: 'x' },
        subject: { reference: `Patient/p${at % 5}` },
      },
      request: { method: 'PUT', url: `Basic/b${at}` },
    }));
    t.equal((await ask('POST', '', { resourceType: 'Bundle', type: 'transaction', entry })).status, 200);
    const many = await ask('GET', 'Basic?_sort=patient.birthdate');
    t.equal(many.status, 422);
    t.match(says(many), new RegExp(`up to ${limits.chainSortedMax} matches`));
    await ask('DELETE', 'Basic/b0');
    const first = await ask('GET', 'Basic?_sort=-patient.birthdate&_count=3');
    t.equal(first.status, 200, says(first));
    t.ok(
      first.json.entry.every(
        (one: { resource: { subject: { reference: string } } }) => one.resource.subject.reference === 'Patient/p3',
      ),
    );
  });
});

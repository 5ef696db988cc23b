// $explain and $why-not, on both stores.
import t from 'tap';
import { engineOn, matchIds, type Reply, type TestEngine } from '../support/engine.ts';
import { onBothStores, type Test } from '../support/stores.ts';

interface Part {
  name: string;
  valueString?: string;
  valueInteger?: number;
  valueBoolean?: boolean;
  valueDecimal?: number;
  part?: Part[];
}

const says = (reply: Reply): string =>
  (reply.json.issue ?? []).map((issue: { diagnostics: string }) => issue.diagnostics).join(' ');

const partsOf = (reply: Reply): Part[] => reply.json.parameter;
const named = (parts: readonly Part[] | undefined, name: string): Part[] =>
  (parts ?? []).filter((part) => part.name === name);

async function filled(ask: TestEngine['ask']): Promise<void> {
  const system = 'http://loinc.org';
  const entry = [
    {
      resourceType: 'Patient',
      id: 'p',
      text: { status: 'generated', div: '<div xmlns="http://www.w3.org/1999/xhtml">secretword</div>' },
      identifier: [{ system: 'urn:mrn', value: '7', type: { coding: [{ system: 'urn:t', code: 'MR' }] } }],
      name: [{ family: 'Geheim', given: ['Eva'] }],
      gender: 'female',
      birthDate: '1980-05-01',
      managingOrganization: { reference: 'Organization/o' },
    },
    { resourceType: 'Patient', id: 'q', name: [{ family: 'Other' }] },
    { resourceType: 'Organization', id: 'o', name: 'Praxis' },
    { resourceType: 'Location', id: 'near', position: { latitude: 50, longitude: 8 } },
    {
      resourceType: 'Observation',
      id: 'a',
      status: 'final',
      code: { coding: [{ system, code: '8480-6', display: 'Systolic' }] },
      subject: { reference: 'Patient/p' },
      effectiveDateTime: '2024-02-01',
      valueQuantity: { value: 140, unit: 'mmHg', system: 'http://unitsofmeasure.org', code: 'mm[Hg]' },
    },
    {
      resourceType: 'List',
      id: 'l',
      status: 'current',
      mode: 'working',
      entry: [{ item: { reference: 'Patient/p' } }],
    },
    { resourceType: 'Questionnaire', id: 'f', status: 'draft', url: 'http://example.org/f/1' },
    {
      resourceType: 'ValueSet',
      id: 'v',
      url: 'http://example.org/vs',
      status: 'active',
      compose: { include: [{ system, concept: [{ code: '8480-6' }] }] },
    },
  ].map((resource) => ({ resource, request: { method: 'PUT', url: `${resource.resourceType}/${resource.id}` } }));
  const reply = await ask('POST', '', { resourceType: 'Bundle', type: 'transaction', entry });
  if (reply.status !== 200) throw new Error(reply.text);
}

/** Search → whether it finds the resource named, for every kind of criterion there is. */
const questions: [type: string, id: string, criterion: string, holds: boolean][] = [
  ['Patient', 'p', 'family=geheim', true],
  ['Patient', 'p', 'family=other', false],
  ['Patient', 'p', 'family=other,geheim', true],
  ['Patient', 'p', 'family:exact=geheim', false],
  ['Patient', 'p', 'family:contains=heim', true],
  ['Patient', 'p', 'family:missing=true', false],
  ['Patient', 'q', 'gender:missing=true', true],
  ['Patient', 'p', 'gender:not=male', true],
  ['Patient', 'p', 'identifier=urn:mrn|7', true],
  ['Patient', 'p', 'identifier=urn:mrn|', true],
  ['Patient', 'p', 'identifier=urn:x|', false],
  ['Patient', 'p', 'identifier:of-type=urn:t|MR|7', true],
  ['Patient', 'p', 'birthdate=ge1980', true],
  ['Patient', 'p', 'birthdate=lt1980', false],
  ['Patient', 'p', '_id=p,x', true],
  ['Patient', 'p', '_id:not=p', false],
  ['Patient', 'p', '_lastUpdated=ge2020', true],
  ['Patient', 'p', '_lastUpdated=lt2020', false],
  ['Patient', 'p', '_text=secretword', true],
  ['Patient', 'p', '_content=nothing', false],
  ['Patient', 'p', 'organization.name=praxis', true],
  ['Patient', 'p', 'organization.name=klinik', false],
  ['Patient', 'p', '_has:Observation:patient:code=8480-6', true],
  ['Patient', 'q', '_has:Observation:patient:code=8480-6', false],
  ['Patient', 'p', '_list=l', true],
  ['Patient', 'q', '_list=l', false],
  ['Patient', 'p', '_list=l,nothing', true],
  ['Patient', 'p', '_filter=family eq "geheim" and not (gender eq "male")', true],
  ['Patient', 'p', '_filter=family eq "other" or birthdate lt 1980', false],
  ['Location', 'near', 'near=50|8|1|km', true],
  ['Location', 'near', 'near=51|8|1|km', false],
  ['Observation', 'a', 'value-quantity=gt139|http://unitsofmeasure.org|mm[Hg]', true],
  ['Observation', 'a', 'value-quantity=lt139', false],
  ['Observation', 'a', 'code-value-quantity=http://loinc.org|8480-6$140', true],
  ['Observation', 'a', 'code-value-quantity=http://loinc.org|8480-6$141', false],
  ['Observation', 'a', 'code:text=sys', true],
  ['Observation', 'a', 'code:in=http://example.org/vs', true],
  ['Observation', 'a', 'code:not-in=http://example.org/vs', false],
  ['Observation', 'a', 'subject:Patient.organization.name=praxis', true],
  ['Observation', 'a', 'subject=Patient/q', false],
  ['Questionnaire', 'f', 'url:below=http://example.org/f', true],
  ['Questionnaire', 'f', 'url=http://example.org/f', false],
];

t.setTimeout(60_000);
await onBothStores(t, async (t, adapter) => {
  const { store, close } = await adapter.open();
  t.teardown(close);
  const { ask } = await engineOn(store);
  await filled(ask);

  const ok = async (t: Test, url: string): Promise<Part[]> => {
    const reply = await ask('GET', url);
    t.equal(reply.status, 200, `${url}: ${says(reply)}`);
    return partsOf(reply);
  };

  await t.test('$explain of values in any script, however long', async (t) => {
    for (const character of ['a', 'ß', '日', '😀']) {
      for (const before of ['', 'x', 'xy', 'xyz']) {
        const value = encodeURIComponent(before + character.repeat(400));
        for (const name of ['identifier', 'family:exact', '_tag', 'general-practitioner'])
          await ok(t, `Patient/$explain?${name}=${value}`);
      }
    }
  });

  await t.test('$why-not says of every kind of criterion whether it holds, as the search would', async (t) => {
    for (const [type, id, criterion, holds] of questions) {
      const found = matchIds(await ask('GET', `${type}?${criterion}`));
      t.equal(found.includes(id), holds, `the search itself: ${criterion}`);
      const parts = await ok(t, `${type}/$why-not?resource=${type}/${id}&${criterion}`);
      t.equal(named(parts, 'matches')[0]?.valueBoolean, holds, criterion);
      const [one, ...more] = named(parts, 'parameter');
      t.same(more, [], criterion);
      t.equal(named(one?.part, 'holds')[0]?.valueBoolean, holds, criterion);
      t.ok((named(one?.part, 'name')[0]?.valueString ?? '').length > 1, criterion);
    }
    const both = await ok(
      t,
      'Patient/$why-not?resource=p&family=geheim&gender=male&birthdate=1980&_sort=family&_count=5',
    );
    t.equal(named(both, 'matches')[0]?.valueBoolean, false);
    t.same(
      named(both, 'parameter').map(({ part }) => [
        named(part, 'name')[0]?.valueString,
        named(part, 'holds')[0]?.valueBoolean,
      ]),
      [
        ['family=geheim', true],
        ['gender=male', false],
        ['birthdate=1980', true],
      ],
    );
    const names = async (criterion: string): Promise<string | undefined> =>
      named(named(await ok(t, `Patient/$why-not?resource=p&${criterion}`), 'parameter')[0]?.part, 'name')[0]
        ?.valueString;
    t.equal(await names('organization.name=x'), 'organization.name=x');
    t.equal(await names('_has:Observation:patient:code=x'), '_has:Observation:patient:code=x');
    t.equal(await names('_list=l'), '_list=l');
    t.equal(await names('gender:not=male,other'), 'gender:not=male,other');
    t.same(
      named(await ok(t, 'Patient/$why-not?resource=Patient/p'), 'matches')[0]?.valueBoolean,
      true,
      'nothing is asked',
    );
    const posted = await ask('POST', 'Patient/$why-not', 'resource=p&family=other', {
      'Content-Type': 'application/x-www-form-urlencoded',
    });
    t.equal(named(partsOf(posted), 'matches')[0]?.valueBoolean, false);
  });

  await t.test('$why-not: what it cannot tell is said', async (t) => {
    await ask('PUT', 'Patient/gone', { resourceType: 'Patient', id: 'gone' });
    await ask('DELETE', 'Patient/gone');
    const cases: [url: string, status: number, message: RegExp][] = [
      ['Patient/$why-not?family=x', 400, /"resource" takes the resource/],
      ['Patient/$why-not?resource=', 400, /"resource"/],
      ['Patient/$why-not?resource=Observation/a', 400, /as in Patient\/1/],
      ['Patient/$why-not?resource=p&resource=q', 400, /"resource"/],
      ['Patient/$why-not?resource=a_b', 400, /"resource"/],
      ['Patient/$why-not?resource=never&family=x', 404, /does not exist/],
      ['Patient/$why-not?resource=gone&family=x', 410, /deleted/],
      ['Patient/$why-not?resource=p&fmaily=x', 400, /Did you mean "family"/],
      ['Patient/$why-not?resource=p&_asOf=2024-01-01T00:00:00Z', 400, /_asOf/],
      ['Patient/$why-not?resource=p&_contained=true', 400, /_contained/],
    ];
    for (const [url, status, message] of cases) {
      const reply = await ask('GET', url);
      t.equal(reply.status, status, url);
      t.match(says(reply), message, url);
    }
    t.equal((await ask('POST', 'Patient/$why-not', { resourceType: 'Parameters' })).status, 400);
  });

  await t.test('$explain tells what each parameter is taken for, what was followed and looked at', async (t) => {
    for (const [type, id, criterion, holds] of questions) {
      const reply = await ask('GET', `${type}/$explain?${criterion}`);
      t.equal(reply.status, 200, `${criterion}: ${says(reply)}`);
      const parts = partsOf(reply);
      const [parameter] = named(parts, 'parameter');
      t.equal(
        `${named(parameter?.part, 'name')[0]?.valueString}=${named(parameter?.part, 'value')[0]?.valueString}`,
        criterion,
      );
      t.ok(named(parameter?.part, 'condition')[0]?.valueString, criterion);
      const [plan] = named(parts, 'plan');
      t.ok(named(plan?.part, 'kind')[0]?.valueString, criterion);
      t.notMatch(JSON.stringify(parts), /(of|by|=) a list/, `${criterion}: every list has its name`);
      const found = named(parts, 'found')[0]?.valueInteger ?? 0;
      t.equal(found > 0, holds || matchIds(await ask('GET', `${type}?${criterion}`)).length > 0, `${criterion} ${id}`);
      t.equal(named(parts, 'more')[0]?.valueBoolean, false);
    }
    const parts = await ok(t, 'Observation/$explain?patient=Patient/p&code=8480-6&_sort=-date&_count=1');
    t.equal(named(parts, 'parameter').length, 2);
    const [plan] = named(parts, 'plan');
    t.match(JSON.stringify(plan), /Observation\.(subject|code) \((reference|code)\)|patient compartment/);
    t.ok((named(plan?.part, 'examined')[0]?.valueInteger ?? -1) >= 0);
    t.ok((named(plan?.part, 'milliseconds')[0]?.valueDecimal ?? -1) >= 0);
    const none = await ok(t, 'Patient/$explain?_list=nothing');
    t.match(JSON.stringify(named(none, 'plan')), /nothing/);
    const chained = await ok(t, 'Observation/$explain?_sort=subject:Patient.family');
    t.match(named(named(chained, 'plan')[0]?.part, 'sorted')[0]?.valueString, /by what their references lead to/);
    const posted = await ask('POST', 'Patient/$explain?gender=female', 'family=geheim', {
      'Content-Type': 'application/x-www-form-urlencoded',
    });
    t.equal(named(partsOf(posted), 'parameter').length, 2);
    t.equal(named(partsOf(posted), 'found')[0]?.valueInteger, 1);
    const all = await ok(t, 'Patient/$explain');
    t.equal(named(all, 'found')[0]?.valueInteger, 2);
    const words = await ok(t, 'Patient/$explain?_text=secretword&identifier=urn:mrn|');
    t.match(JSON.stringify(words), /a term of Patient\._text \(word\)/);
    t.match(JSON.stringify(words), /a term of Patient\.identifier \(system\)/);
  });

  await t.test('$explain tells what is ignored, and nothing of what is in the resources', async (t) => {
    const parts = await ok(t, 'Patient/$explain?fmaily=x&family=geheim&_count=x');
    t.equal(named(parts, 'ignored').length, 2);
    t.match(named(parts, 'ignored')[0]?.valueString, /Did you mean "family"/);
    t.equal(named(parts, 'found')[0]?.valueInteger, 1);
    for (const url of [
      'Patient/$explain?_id=p&_has:Observation:patient:code=8480-6',
      'Patient/$explain?birthdate=ge1900',
      'Patient/$why-not?resource=p&gender=male',
    ]) {
      t.notMatch((await ask('GET', url)).text, /geheim|secretword|1980/i, url);
    }
    for (const url of ['Patient/$explain?_asOf=2024-01-01T00:00:00Z', 'Patient/$explain?_contained=both'])
      t.equal((await ask('GET', url)).status, 400, url);
    t.equal((await ask('POST', 'Patient/$explain', { resourceType: 'Parameters' })).status, 400);
    t.equal((await ask('GET', '$explain')).status, 404, 'it is of a type');
    t.equal((await ask('DELETE', 'Patient/$explain')).status, 405);
  });

  await t.test('_summary=text goes without includes', async (t) => {
    for (const include of ['_include=Patient:organization', '_revinclude=Observation:subject']) {
      const reply = await ask('GET', `Patient?_summary=text&${include}`);
      t.equal(reply.status, 400);
      t.match(says(reply), /cannot be combined with _summary=text/);
      const lenient = await ask('GET', `Patient?${include}&_summary=text`, undefined, { Prefer: 'handling=lenient' });
      t.equal(lenient.status, 200);
      t.notMatch(lenient.json.link[0].url, 'include');
      t.same(matchIds(lenient).length, 2);
      t.equal(lenient.json.entry.length, 3, 'with an outcome, and nothing included');
    }
  });
});

// $lastn: the newest observations of each code. https://hl7.org/fhir/R4/observation-operation-lastn.html
import t from 'tap';
import { CodeGroups, newestOfEach } from '../../../src/fhir/operations/lastn-groups.ts';
import { baseUrl, engineOn, type Reply } from '../../support/engine.ts';
import { onBothStores } from '../../support/stores.ts';
import { askAs, parameters, refsOf, SECRET, said, withoutSecrets, withoutTypes } from './support.ts';

t.setTimeout(120_000);

const coding = (code: string, system = 'urn:c'): object => ({ system, code });
const concept = (...codes: (string | object)[]): object => ({
  coding: codes.map((one) => (typeof one === 'string' ? coding(one) : one)),
});
const vital = [{ coding: [{ system: 'urn:cat', code: 'vital-signs' }] }];

await t.test('the examples of the specification', async (t) => {
  const groupsOf = (...codes: string[][]): string[][] => {
    const groups = new CodeGroups();
    const names = codes.map((one) => groups.join(one));
    return [...Map.groupBy(codes, (_, at) => groups.groupOf(names[at] ?? '')).values()].map((some) =>
      [...new Set(some.flat())].sort(),
    );
  };
  t.strictSame(groupsOf(['a'], ['b'], ['c']), [['a'], ['b'], ['c']]);
  t.strictSame(groupsOf(['a'], ['b'], ['a', 'c']), [['a', 'c'], ['b']]);
  t.strictSame(groupsOf(['a'], ['b'], ['a', 'b']), [['a', 'b']]);
  t.strictSame(groupsOf(['a', 'b'], ['c', 'd'], ['e'], ['d', 'b'], ['e', 'f']), [
    ['a', 'b', 'c', 'd'],
    ['e', 'f'],
  ]);
  const chain = Array.from({ length: 20_000 }, (_, at) => [`k${at}`, `k${at + 1}`]);
  t.equal(groupsOf(...chain).length, 1, 'a long chain is walked in time');
  const at = (id: string, group: string, date?: string) => ({ id, group, ...(date === undefined ? {} : { date }) });
  t.strictSame(newestOfEach([at('1', 'a', '3'), at('2', 'a', '2'), at('3', 'a', '2'), at('4', 'a', '1')], 2), [
    '1',
    '2',
    '3',
  ]);
  t.strictSame(newestOfEach([at('1', 'a'), at('2', 'a')], 1), ['1'], 'without a date there is no tie');
});

await onBothStores(t, async (t, adapter) => {
  const { store, close } = await adapter.open();
  t.teardown(close);
  const tested = await engineOn(store);
  const { ask } = tested;
  const observation = (code: object, effectiveDateTime: string | undefined, more: object = {}): object => ({
    status: 'final',
    subject: { reference: 'Patient/1' },
    category: vital,
    code,
    ...(effectiveDateTime === undefined ? {} : { effectiveDateTime }),
    ...more,
  });
  const all: Record<string, object> = {
    'Patient/1': {},
    'Observation/hr1': observation(concept('hr'), '2024-01-01T08:00:00Z'),
    'Observation/hr2': observation(concept('hr', coding('HR', 'urn:d')), '2024-01-02T08:00:00Z'),
    'Observation/hr3': observation(concept(coding('HR', 'urn:d')), '2024-01-03T08:00:00Z'),
    'Observation/hr4': observation(concept(coding('hr', 'urn:e')), '2024-01-04T08:00:00Z'),
    'Observation/bp1': observation(concept('bp'), '2024-02-01'),
    'Observation/bp2': observation(concept('bp'), '2024-02-02', { status: 'entered-in-error' }),
    'Observation/tie1': observation(concept('tie'), '2024-03-01T10:00:00Z'),
    'Observation/tie2': observation(concept('tie'), '2024-03-01T10:00:00Z'),
    'Observation/tie3': observation(concept('tie'), '2024-02-01T10:00:00Z'),
    'Observation/text1': observation({ text: 'pain' }, '2024-01-05'),
    'Observation/text2': observation({ text: 'pain' }, '2024-01-06'),
    'Observation/text3': observation({ text: 'Pain' }, '2024-01-01'),
    'Observation/no1': observation(concept('no'), undefined),
    'Observation/no2': observation(concept('no'), undefined),
    'Observation/lab1': observation(concept('lab'), '2024-01-01', { category: [concept('laboratory')] }),
    'Observation/other': observation(concept('hr'), '2024-06-01', { subject: { reference: 'Patient/2' } }),
  };
  const load = async (some: Record<string, object>): Promise<void> => {
    const entry = Object.entries(some).map(([url, content]) => {
      const [resourceType, id] = url.split('/');
      return { resource: { resourceType, id, ...content }, request: { method: 'PUT', url } };
    });
    const reply = await ask('POST', '', { resourceType: 'Bundle', type: 'transaction', entry });
    if (reply.status !== 200) throw new Error(reply.text);
  };
  await load(all);
  const lastn = (query: string): Promise<Reply> => ask('GET', `Observation/$lastn?${query}`);
  const ids = (reply: Reply): string[] => {
    if (reply.status !== 200) throw new Error(reply.text);
    return refsOf(reply, 'match').map((one) => one.slice('Observation/'.length));
  };

  await t.test('one of each code when nothing is said, newest first; codes equal by any coding are one', async (t) => {
    const reply = await lastn('patient=1&category=vital-signs');
    const found = ids(reply);
    t.strictSame(found.slice(0, 3).sort(), ['bp2', 'tie1', 'tie2'], 'both of a tie; entered-in-error if not excluded');
    t.strictSame(found.slice(3, -1), ['text2', 'hr4', 'hr3', 'text3']);
    t.match(found.at(-1), /^no[12]$/);
    t.equal(reply.json.total, found.length);
    t.equal(reply.json.type, 'searchset');
    t.equal(reply.json.link[0].url, `${baseUrl}/Observation/$lastn?patient=1&category=vital-signs`);
  });

  await t.test('max: so many of each group, and those that tie with the last', async (t) => {
    const of = async (max: number, code: string): Promise<string[]> =>
      ids(await lastn(`subject=Patient/1&max=${max}&code=${code}`));
    t.strictSame(await of(2, 'hr'), ['hr4', 'hr3', 'hr2'], 'of two systems: two groups');
    t.strictSame(await of(2, 'urn:c|hr'), ['hr2', 'hr1']);
    t.strictSame(await of(1, 'urn:c|hr'), ['hr2']);
    t.strictSame((await of(1, 'urn:c|tie')).sort(), ['tie1', 'tie2']);
    t.strictSame((await of(2, 'urn:c|tie')).sort(), ['tie1', 'tie2']);
    t.strictSame((await of(3, 'urn:c|tie')).at(-1), 'tie3');
    t.strictSame(await of(1, 'urn:c|hr,urn:d|HR,bp'), ['bp2', 'hr3']);
    t.equal((await of(1, 'urn:c|no')).length, 1);
    t.equal((await of(1_000_000, 'urn:c|hr')).length, 2);
  });

  await t.test('other parameters of Observation narrow what is looked at', async (t) => {
    t.strictSame(ids(await lastn('patient=1&code=bp&status:not=entered-in-error')), ['bp1']);
    t.strictSame(ids(await lastn('patient=1&code=hr&date=lt2024-01-03')), ['hr2']);
    t.strictSame(ids(await lastn('patient=1&category=laboratory')), ['lab1']);
    t.strictSame(ids(await lastn('patient=Patient/3&category=vital-signs')), []);
    t.equal((await lastn('patient=3&category=vital-signs')).json.total, 0);
    t.equal(ids(await lastn('subject:Patient=1&category:not=laboratory&max=100')).length, 14);
    const included = await lastn('patient=1&code=bp&_include=Observation:subject');
    t.strictSame(refsOf(included, 'include'), ['Patient/1']);
    const elements = await lastn('patient=1&code=bp&_elements=status');
    t.notOk('subject' in elements.json.entry[0].resource);
    t.equal(elements.json.entry[0].resource.status, 'entered-in-error');
  });

  await t.test('parameters that have to be looked up first: a list, a value set', async (t) => {
    const compose = { include: [{ system: 'urn:c', concept: [{ code: 'bp' }, { code: 'tie' }] }] };
    await load({
      'ValueSet/vs': { url: 'urn:vs', status: 'active', compose },
      'List/l': { status: 'current', mode: 'working', entry: [{ item: { reference: 'Observation/hr1' } }] },
    });
    t.strictSame(ids(await lastn('patient=1&code:in=urn:vs')).sort(), ['bp2', 'tie1', 'tie2']);
    t.strictSame(ids(await lastn('patient=1&code=hr&_list=l')), ['hr1']);
  });

  await t.test('POST with Parameters, and with a form', async (t) => {
    const body = parameters(
      { name: 'patient', valueString: 'Patient/1' },
      { name: 'code', valueString: 'hr' },
      { name: 'max', valuePositiveInt: 2 },
    );
    t.strictSame(ids(await ask('POST', 'Observation/$lastn', body)), ['hr4', 'hr3', 'hr2']);
    const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
    t.strictSame(ids(await ask('POST', 'Observation/$lastn', 'patient=1&code=urn:c|hr', form)), ['hr2']);
  });

  await t.test('400 without subject or code, and for what has no meaning here', async (t) => {
    const refused = async (query: string, pattern: RegExp): Promise<void> => {
      const reply = await lastn(query);
      t.equal(reply.status, 400, query);
      t.match(said(reply), pattern);
    };
    await refused('category=vital-signs', /needs "patient" or "subject"/);
    await refused('subject:missing=true&category=vital-signs', /needs "patient" or "subject"/);
    await refused('patient=1', /needs "category" or a parameter about codes/);
    await refused('patient=1&encoder=x', /needs "category"/);
    await refused('patient=1&code=x&max=0', /"max" takes a whole number from 1/);
    await refused('patient=1&code=x&max=1.5', /"max"/);
    await refused('patient=1&code=x&max=1&max=2', /"max" is given 2 times/);
    await refused('patient=1&code=x&_sort=date', /"_sort" is not accepted by \$lastn/);
    await refused('patient=1&code=x&_count=5', /"_count" is not accepted/);
    await refused('patient=1&code=x&_summary=count', /"_summary=count" is not accepted/);
    await refused('patient=1&code=x&colour=red', /"colour" is not a search parameter of Observation/);
    await refused('patient=1&code=x&date=yesterday', /"date" takes a date/);
    t.equal((await ask('GET', 'Patient/$lastn')).status, 404);
    t.equal((await ask('GET', 'Observation/hr1/$lastn')).status, 404);
  });

  await t.test('what a caller may not see does not count', async (t) => {
    await load({ 'Observation/bp3': observation(concept('bp'), '2025-01-01', { meta: SECRET }) });
    t.strictSame(ids(await lastn('patient=1&code=bp')), ['bp3']);
    const bound = askAs(tested, withoutSecrets);
    t.strictSame(ids(await bound('Observation/$lastn?patient=1&code=bp')), ['bp2']);
    t.strictSame(ids(await bound('Observation/$lastn?patient=1&code=urn:c|bp')), ['bp2']);
    const none = await askAs(tested, withoutTypes('Observation'))('Observation/$lastn?patient=1&code=bp');
    t.equal(none.status, 403);
  });

  await t.test('a long history of few codes: pages of it are grouped together', async (t) => {
    const some: Record<string, object> = { 'Patient/long': {} };
    for (let at = 0; at < 2_500; at++) {
      const date = new Date(Date.UTC(2020, 0, 1) + at * 60_000).toISOString();
      const code = at === 3 ? concept('one', 'rare') : concept(at % 2 === 0 ? 'one' : 'two');
      some[`Observation/l${at}`] = observation(code, date, { subject: { reference: 'Patient/long' } });
    }
    await load(some);
    t.strictSame(ids(await lastn('patient=long&category=vital-signs')), ['l2499', 'l2498']);
    t.strictSame(ids(await lastn('patient=long&code=urn:c|one&max=3')), ['l2498', 'l2496', 'l2494']);
    t.strictSame(ids(await lastn('patient=long&code=urn:c|rare')), ['l3']);
    t.strictSame(
      ids(await lastn('patient=long&code=urn:c|rare,urn:c|two')),
      ['l2499', 'l3'],
      'not linked by what does not match',
    );
    const tooMany = await lastn('patient=long&category=vital-signs&max=2500');
    t.equal(tooMany.status, 422);
    t.match(said(tooMany), /smaller max/);
  });
});

// $stats: statistics of measurements by code. https://hl7.org/fhir/R4/observation-operation-stats.html
import t from 'tap';
import type { Clock } from '../../../src/base/clock.ts';
import { Sample, statistics } from '../../../src/fhir/operations/stats-math.ts';
import { inOneUnit } from '../../../src/fhir/operations/stats-units.ts';
import { engineOn, type Reply } from '../../support/engine.ts';
import { onBothStores } from '../../support/stores.ts';
import { askAs, parameters, SECRET, said, withoutSecrets, withoutTypes } from './support.ts';

t.setTimeout(120_000);

const ALL = [...statistics.keys()];
const DAY_MS = 86_400_000;

await t.test('the statistics of a list, as a spreadsheet gives them', async (t) => {
  const values = [2, 4, 4, 5, 7, 9, 11, 14];
  const sample = new Sample(
    values.map((value, at) => ({ value, at: at * DAY_MS })),
    10,
  );
  const expected: Record<string, number[]> = {
    average: [7],
    maximum: [14],
    minimum: [2],
    count: [8],
    'total-count': [10],
    median: [6],
    'std-dev': [4.070802],
    sum: [56],
    variance: [16.571428571],
    '20-percent': [4],
    '80-percent': [10.2],
    '4-lower': [4],
    '4-upper': [9.5],
    '4-dev': [2.75],
    '5-1': [4],
    '5-2': [4.8],
    '5-3': [7.4],
    '5-4': [10.2],
    skew: [0.643777],
    kurtosis: [-0.560166],
    regression: [1.619048, 1.333333],
  };
  t.strictSame(Object.keys(expected), ALL, 'every code of the code system');
  for (const [code, numbers] of Object.entries(expected)) {
    const found = statistics.get(code)?.results.map(({ of }) => of(sample)) ?? [];
    t.equal(found.length, numbers.length, code);
    for (const [at, number] of numbers.entries()) {
      t.ok(Math.abs((found[at] ?? Number.NaN) - number) < 1e-6, `${code}: ${found[at]} is ${number}`);
    }
  }
  const of = (code: string, ...some: number[]) =>
    statistics.get(code)?.results[0]?.of(
      new Sample(
        some.map((value) => ({ value })),
        some.length,
      ),
    );
  for (const code of ALL) {
    const isCount = code === 'count' || code === 'total-count';
    t.equal(of(code), isCount ? 0 : undefined, `${code} of nothing`);
    const isDefined = isCount || !['std-dev', 'variance', 'skew', 'kurtosis', 'regression'].includes(code);
    t.equal(of(code, 5) !== undefined, isDefined, `${code} of one`);
  }
  t.equal(of('skew', 1, 1, 1), undefined, 'of a constant');
  t.equal(of('sum', ...new Array<number>(10).fill(0.1)), 1, 'without what binary fractions lose');
  // The example in the documentation of the spreadsheet functions SKEW and KURT.
  const documented = [3, 4, 5, 2, 3, 4, 5, 6, 4, 7];
  t.equal(of('skew', ...documented)?.toFixed(6), '0.359543');
  t.equal(of('kurtosis', ...documented)?.toFixed(9), '-0.151799637');
});

await t.test('units: the one that most have; those that UCUM can convert join them', async (t) => {
  const ucum = (value: number, code: string) => ({ value, system: 'http://unitsofmeasure.org', code });
  t.strictSame(inOneUnit([]), { values: [] });
  const mixed = inOneUnit([ucum(1, 'g/L'), ucum(90, 'mg/dL'), ucum(5, 'mmol/L'), ucum(110, 'mg/dL')]);
  t.equal(mixed.unit?.code, 'mg/dL');
  t.strictSame(mixed.values, [100, 90, undefined, 110]);
  const [fahrenheit = 0] = inOneUnit([ucum(98.6, '[degF]'), ucum(36, 'Cel'), ucum(37, 'Cel')]).values;
  t.ok(Math.abs(fahrenheit - 37) < 1e-9);
  t.strictSame(inOneUnit([ucum(7, '[pH]'), ucum(7.4, '[pH]'), ucum(1, 'mol/L')]).values, [7, 7.4, undefined]);
  t.strictSame(inOneUnit([{ value: 1, unit: 'cups' }, { value: 2, unit: 'cups' }, { value: 3 }]).values, [
    1,
    2,
    undefined,
  ]);
  t.strictSame(inOneUnit([{ value: 1 }, { value: 2 }]), { unit: {}, values: [1, 2] });
});

const LOINC = 'http://loinc.org';
const coded = (code: string): object => ({ coding: [{ system: LOINC, code }] });
const quantity = (value: number, code = 'mm[Hg]', more: object = {}): object => ({
  valueQuantity: { value, unit: code, system: 'http://unitsofmeasure.org', code, ...more },
});

await onBothStores(t, async (t, adapter) => {
  const now = Date.UTC(2024, 5, 15, 12);
  const clock: Clock = { now: () => now, newId: () => 'made' };
  const { store, close } = await adapter.open(clock);
  t.teardown(close);
  const tested = await engineOn(store, { clock });
  const { ask } = tested;
  const observation = (code: string, hoursAgo: number | undefined, more: object): object => ({
    status: 'final',
    subject: { reference: 'Patient/1' },
    code: coded(code),
    ...(hoursAgo === undefined ? {} : { effectiveDateTime: new Date(now - hoursAgo * 3_600_000).toISOString() }),
    ...more,
  });
  const pressure = (systolic: object, diastolic: object): object => ({
    component: [
      { code: coded('8480-6'), ...systolic },
      { code: coded('8462-4'), ...diastolic },
    ],
  });
  const load = async (some: Record<string, object>): Promise<void> => {
    const entry = Object.entries(some).map(([url, content]) => {
      const [resourceType, id] = url.split('/');
      return { resource: { resourceType, id, ...content }, request: { method: 'PUT', url } };
    });
    const reply = await ask('POST', '', { resourceType: 'Bundle', type: 'transaction', entry });
    if (reply.status !== 200) throw new Error(reply.text);
  };
  await load({
    'Patient/1': {},
    'Observation/w1': observation('29463-7', 1, quantity(80, 'kg')),
    'Observation/w2': observation('29463-7', 2, quantity(82000, 'g')),
    'Observation/w3': observation('29463-7', 48, quantity(84, 'kg')),
    'Observation/w4': observation('29463-7', 3, quantity(1, 'kg', { comparator: '<' })),
    'Observation/w5': observation('29463-7', 3, { dataAbsentReason: { text: 'refused' } }),
    'Observation/w6': observation('29463-7', 3, quantity(6, 'm')),
    'Observation/w7': observation('29463-7', 3, { ...quantity(700, 'kg'), status: 'entered-in-error' }),
    'Observation/w8': observation('29463-7', 3, {
      ...quantity(800, 'kg'),
      modifierExtension: [{ url: 'urn:not', valueBoolean: true }],
    }),
    'Observation/w9': observation('29463-7', undefined, quantity(90, 'kg')),
    'Observation/of2': observation('29463-7', 1, { ...quantity(50, 'kg'), subject: { reference: 'Patient/2' } }),
    'Observation/bp1': observation('85354-9', 1, pressure(quantity(120), quantity(80))),
    'Observation/bp2': observation('85354-9', 2, pressure(quantity(130), { dataAbsentReason: { text: 'none' } })),
    'Observation/sys': observation('8480-6', 5, quantity(140)),
    'Observation/m1': observation('2339-0', 6, quantity(90, 'mg/dL')),
    'Observation/m2': observation('2339-0', 6, { ...quantity(900, 'mg/dL'), subject: { reference: 'Patient/2' } }),
    'Observation/panel': observation('24323-8', 6, {
      hasMember: [
        { reference: 'Observation/m1' },
        { reference: 'Observation/m2' },
        { reference: 'Observation/none' },
        { reference: 'Patient/1' },
      ],
    }),
  });
  const stats = (query: string): Promise<Reply> => ask('GET', `Observation/$stats?${query}`);
  const W = `subject=Patient/1&code=29463-7&system=${LOINC}`;

  interface Told {
    code: string;
    values: Record<string, number | string | undefined>;
  }
  const told = (reply: Reply): Told[] => {
    if (reply.status !== 200) throw new Error(reply.text);
    return reply.json.parameter
      .filter(({ name }: { name: string }) => name === 'statistics')
      .map(({ resource }: { resource: { code: { coding: { code: string }[] }; component: Component[] } }) => ({
        code: resource.code.coding[0]?.code,
        values: Object.fromEntries(
          resource.component.map((one) => [
            one.code.coding[0]?.code,
            one.valueQuantity?.value ?? one.dataAbsentReason?.coding[0]?.code,
          ]),
        ),
      }));
  };
  interface Component {
    code: { coding: { code: string; system: string }[]; text?: string };
    valueQuantity?: { value: number; unit?: string; code?: string };
    dataAbsentReason?: { coding: { code: string }[] };
  }

  await t.test('one observation for the code, one component for each statistic', async (t) => {
    const reply = await stats(
      `${W}&statistic=average&statistic=maximum&statistic=minimum&statistic=count&statistic=total-count`,
    );
    t.strictSame(told(reply), [
      { code: '29463-7', values: { average: 84, maximum: 90, minimum: 80, count: 4, 'total-count': 8 } },
    ]);
    const [{ resource }, ...more] = reply.json.parameter;
    t.equal(more.length, 0, 'sources are sent where they are asked for');
    t.equal(resource.resourceType, 'Observation');
    t.equal(resource.status, 'final');
    t.strictSame(resource.subject, { reference: 'Patient/1' });
    t.strictSame(resource.code, { coding: [{ code: '29463-7', system: LOINC }] });
    t.notOk('effectivePeriod' in resource);
    t.strictSame(resource.component[0], {
      code: {
        coding: [
          {
            system: 'http://terminology.hl7.org/CodeSystem/observation-statistics',
            code: 'average',
            display: 'Average',
          },
        ],
      },
      valueQuantity: { value: 84, unit: 'kg', system: 'http://unitsofmeasure.org', code: 'kg' },
    });
    t.match(resource.note[0].text, /^1 measurements are left out because their unit cannot be converted into kg/);
  });

  await t.test('every statistic there is, with units', async (t) => {
    const reply = await stats(`${W}&${ALL.map((code) => `statistic=${code}`).join('&')}`);
    const { component } = reply.json.parameter[0].resource as { component: Component[] };
    t.equal(component.length, ALL.length + 1, 'a regression has a gradient and an intercept');
    t.ok(component.every(({ valueQuantity }) => valueQuantity !== undefined));
    const unitOf = (code: string): (string | undefined)[] =>
      component.filter((one) => one.code.coding[0]?.code === code).map(({ valueQuantity }) => valueQuantity?.unit);
    t.strictSame(unitOf('variance'), ['(kg)²']);
    t.strictSame(unitOf('regression'), ['(kg)/d', 'kg']);
    t.strictSame(unitOf('skew'), ['1']);
    const texts = component.flatMap(({ code }) => code.text ?? []);
    t.strictSame(texts, ['Regression: Gradient', 'Regression: Intercept, at the first measurement']);
  });

  await t.test('duration in hours up to now, or a period; the undated are in neither', async (t) => {
    const day = await stats(`${W}&duration=24&statistic=count&statistic=average`);
    t.strictSame(told(day), [{ code: '29463-7', values: { count: 2, average: 81 } }]);
    t.strictSame(day.json.parameter[0].resource.effectivePeriod, {
      start: '2024-06-14T12:00:00.000Z',
      end: '2024-06-15T12:00:00.000Z',
    });
    t.strictSame(told(await stats(`${W}&duration=1.5&statistic=count`)), [{ code: '29463-7', values: { count: 1 } }]);
    const body = (period: object): object =>
      parameters(
        { name: 'subject', valueUri: 'Patient/1' },
        { name: 'coding', valueCoding: { system: LOINC, code: '29463-7' } },
        { name: 'statistic', valueCode: 'count' },
        { name: 'period', valuePeriod: period },
      );
    const count = async (period: object): Promise<unknown> =>
      told(await ask('POST', 'Observation/$stats', body(period)))[0]?.values.count;
    t.equal(await count({ start: '2024-06-13', end: '2024-06-13' }), 1);
    t.equal(await count({ start: '2024-06-13' }), 3);
    t.equal(await count({ end: '2024-06-14' }), 1);
    t.equal(await count({}), 4, 'all time');
  });

  await t.test('a code is looked for in components, too; a panel is told of by what it holds', async (t) => {
    const S = 'statistic=count&statistic=average&statistic=total-count';
    t.strictSame(told(await stats(`subject=Patient/1&code=8480-6&system=${LOINC}&${S}`)), [
      { code: '8480-6', values: { count: 3, average: 130, 'total-count': 3 } },
    ]);
    t.strictSame(told(await stats(`subject=Patient/1&coding=${LOINC}|85354-9&${S}`)), [
      { code: '8480-6', values: { count: 2, average: 125, 'total-count': 2 } },
      { code: '8462-4', values: { count: 1, average: 80, 'total-count': 2 } },
    ]);
    t.strictSame(
      told(await stats(`subject=Patient/1&code=85354-9&code=8480-6&statistic=count`)),
      [
        { code: '8480-6', values: { count: 3 } },
        { code: '8462-4', values: { count: 2 - 1 } },
      ],
      'nothing is counted twice',
    );
    t.strictSame(
      told(await stats(`subject=Patient/1&code=24323-8&${S}`)),
      [{ code: '2339-0', values: { count: 1, average: 90, 'total-count': 1 } }],
      'members of the same subject',
    );
  });

  await t.test('nothing measured: counts of 0, and no number for the rest', async (t) => {
    const reply = await stats(`subject=Patient/1&code=none&statistic=count&statistic=average&statistic=skew`);
    t.strictSame(told(reply), [{ code: 'none', values: { count: 0, average: 'not-a-number', skew: 'not-a-number' } }]);
    t.strictSame(told(await stats(`subject=Patient/none&code=29463-7&statistic=count`))[0]?.values, { count: 0 });
  });

  await t.test('include and limit: the observations themselves, evenly chosen', async (t) => {
    const sources = async (query: string): Promise<string[]> =>
      (await stats(`${W}&statistic=count${query}`)).json.parameter
        .filter(({ name }: { name: string }) => name === 'source')
        .map(({ resource }: { resource: { id: string } }) => resource.id);
    t.equal((await sources('&include=true')).length, 8);
    t.strictSame(await sources('&include=false&limit=2'), [], 'the limit is ignored');
    t.strictSame(await sources('&limit=x'), [], 'whatever it is');
    t.strictSame(await sources('&include=true&limit=2'), ['w1', 'w9'], 'the first and the last');
    t.equal((await sources('&include=true&limit=5')).length, 5);
    t.equal((await sources('&include=true&limit=1')).length, 1);
    t.equal((await sources('&include=true&limit=100')).length, 8);
  });

  await t.test('400 for parameters that are missing or do not fit, each naming what is accepted', async (t) => {
    const refused = async (query: string, pattern: RegExp): Promise<void> => {
      const reply = await stats(query);
      t.equal(reply.status, 400, query);
      t.match(said(reply), pattern);
    };
    await refused('code=x&statistic=count', /needs "subject"/);
    await refused('subject=me&code=x&statistic=count', /needs "subject": one reference such as Patient\/123/);
    await refused('subject=Patient/1&statistic=count', /needs "code"/);
    await refused('subject=Patient/1&system=x&statistic=count', /"system" is the one of "code"/);
    await refused('subject=Patient/1&code=&statistic=count', /needs "code"/);
    await refused('subject=Patient/1&code=x', /needs "statistic".*Accepted: average, maximum/);
    await refused('subject=Patient/1&code=x&statistic=averege', /Did you mean "average"/);
    await refused('subject=Patient/1&code=x&statistic=constructor', /needs "statistic"/);
    await refused('subject=Patient/1&code=x&statistic=count&duration=0', /"duration" takes hours/);
    await refused('subject=Patient/1&code=x&statistic=count&duration=1e9', /"duration" takes hours/);
    await refused('subject=Patient/1&code=x&statistic=count&period=2024', /"period" takes one Period/);
    await refused('subject=Patient/1&code=x&statistic=count&period=2024&duration=1', /not both/);
    await refused('subject=Patient/1&code=x&statistic=count&include=yes', /"include" takes true or false/);
    await refused('subject=Patient/1&code=x&statistic=count&include=true&limit=0', /"limit" takes a whole number/);
    await refused('subject=Patient/1&code=x&statistic=count&colour=red', /"colour" is not a parameter/);
    const body = (more: object): object =>
      parameters({ name: 'subject', valueUri: 'Patient/1' }, { name: 'statistic', valueCode: 'count' }, more);
    const posted = async (more: object, pattern: RegExp): Promise<void> => {
      const reply = await ask('POST', 'Observation/$stats', body(more));
      t.equal(reply.status, 400, JSON.stringify(more));
      t.match(said(reply), pattern);
    };
    await posted({ name: 'coding', valueCoding: { system: LOINC } }, /"coding" takes a Coding with a code/);
    await posted({ name: 'code', valueQuantity: { value: 1 } }, /"code" takes a simple value/);
    t.equal((await stats('subject=Patient/1&code=x&statistic=max&statistic=min')).status, 200, 'names of STU3');
    t.equal(
      (await stats(`subject=Patient/1&code=${'a%2Cb%7Cc%5C'}&statistic=count`)).status,
      200,
      'separators in a code',
    );
  });

  await t.test('what a caller may not see does not count', async (t) => {
    await load({ 'Observation/w1': observation('29463-7', 1, { ...quantity(80, 'kg'), meta: SECRET }) });
    const bound = askAs(tested, withoutSecrets);
    t.strictSame(told(await bound(`Observation/$stats?${W}&statistic=minimum&statistic=total-count`))[0]?.values, {
      minimum: 82,
      'total-count': 7,
    });
    t.notMatch((await bound(`Observation/$stats?${W}&statistic=count&include=true`)).text, /secret/);
    const none = await askAs(tested, withoutTypes('Observation'))(`Observation/$stats?${W}&statistic=count`);
    t.equal(none.status, 403);
    await load({ 'Observation/m1': observation('2339-0', 6, { ...quantity(90, 'mg/dL'), meta: SECRET }) });
    t.strictSame(told(await bound('Observation/$stats?subject=Patient/1&code=24323-8&statistic=count')), [
      { code: '24323-8', values: { count: 0 } },
    ]);
  });
});

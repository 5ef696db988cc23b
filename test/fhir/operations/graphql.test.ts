// $graphql on both stores: the specification's examples, lists, pages, references both ways, what a caller may not see,
// and queries that ask for too much. https://hl7.org/fhir/R4/graphql.html
import { existsSync } from 'node:fs';
import fc from 'fast-check';
import t from 'tap';
import { limits } from '../../../src/base/limits.ts';
import { FhirError, operationOutcome } from '../../../src/base/outcome.ts';
import { anonymousCaller } from '../../../src/fhir/access/callers.ts';
import type { Caller, Engine } from '../../../src/fhir/interaction.ts';
import { Budget } from '../../../src/fhir/operations/graphql/budget.ts';
import { isContent, parseContent, type Resource } from '../../../src/fhir/operations/graphql/content.ts';
import { performQuery } from '../../../src/fhir/operations/graphql/perform-query.ts';
import { FhirSchema, schemaOf } from '../../../src/fhir/operations/graphql/schema.ts';
import type { OperationCall, OperationContext } from '../../../src/fhir/operations/operation.ts';
import { loadDefinitions } from '../../../src/model/definitions.ts';
import type { Condition, Filter, Store } from '../../../src/store/store.ts';
import { callerWith } from '../../support/callers.ts';
import { readTgz, sharedData } from '../../support/corpora.ts';
import { baseUrl, engineOn, type Reply, type TestEngine } from '../../support/engine.ts';
import { onBothStores, type Test } from '../../support/stores.ts';

t.setTimeout(240_000);

const patient = {
  resourceType: 'Patient',
  id: 'example',
  identifier: [{ use: 'usual', system: 'urn:oid:1.2.36.146.595.217.0.1', value: '12345' }],
  active: true,
  name: [
    { use: 'official', family: 'Chalmers', given: ['Peter', 'James'] },
    { use: 'usual', given: ['Jim'] },
    { use: 'maiden', family: 'Windsor', given: ['Peter', 'James'] },
  ],
  telecom: [
    { use: 'home', value: '1' },
    { use: 'work', value: '2' },
    { use: 'work', value: '3' },
  ],
  birthDate: '2016-05-18',
  _birthDate: { extension: [{ url: 'http://x.test/time', valueDateTime: '2016-05-18T10:28:45Z' }] },
  extension: [
    { url: 'http://x.test/one', valueString: 'some value' },
    { url: 'http://x.test/two', valueString: 'another value' },
  ],
  contact: [{ telecom: [{ use: 'home', value: 'c1' }] }, { telecom: [{ use: 'work', value: 'c2' }] }],
  managingOrganization: { reference: 'Organization/secret' },
  generalPractitioner: [{ reference: '#gp' }, { reference: `${baseUrl}/Practitioner/p1` }],
  contained: [
    { resourceType: 'Practitioner', id: 'gp', name: [{ family: 'Within' }] },
    { resourceType: 'PractitionerRole', id: 'role', practitioner: { reference: '#gp' } },
  ],
};

const observation = `{"resourceType":"Observation","id":"weight","status":"final","code":{"text":"weight"},
  "subject":{"reference":"Patient/example"},
  "performer":[{"reference":"Practitioner/p1"},{"reference":"Organization/none"},{"display":"somebody"}],
  "valueQuantity":{"value":1.50,"unit":"kg"},
  "referenceRange":[{"low":{"value":1.0},"high":{"value":2e2}},{"low":{"value":3}}]}`;

const clinical = (code: string) => ({
  coding: [{ system: 'http://terminology.hl7.org/CodeSystem/condition-clinical', code }],
});
const condition = (id: string, code: string, of = 'example') => ({
  resourceType: 'Condition',
  id,
  clinicalStatus: clinical(code),
  code: { text: `condition, ${id}` },
  subject: { reference: `Patient/${of}` },
});
const CONDITIONS = 7;

/** The query of a list of many patients finds these; each has one condition. */
const MANY = 60;

type Ask = (path: string, text: string, variables?: Record<string, unknown>, operationName?: string) => Promise<Reply>;

await onBothStores(t, async (t, adapter) => {
  const { store, close } = await adapter.open();
  t.teardown(close);
  const counted = countingStore(store);
  const { ask, engine } = await engineOn(counted.store);
  const put = async (resource: object | string): Promise<void> => {
    const { resourceType, id } = (typeof resource === 'string' ? JSON.parse(resource) : resource) as Record<
      string,
      string
    >;
    const reply = await ask('PUT', `${resourceType}/${id}`, resource);
    t.match(String(reply.status), /^20[01]$/, `${resourceType}/${id}: ${reply.text.slice(0, 300)}`);
  };
  await put({ resourceType: 'Organization', id: 'secret', name: 'Secret' });
  await put({ resourceType: 'Practitioner', id: 'p1', name: [{ family: 'Careful' }] });
  await put(patient);
  await put(observation);
  for (let at = 0; at < CONDITIONS; at++) await put(condition(`c${at}`, at % 2 === 0 ? 'relapse' : 'active'));
  for (let at = 0; at < MANY; at++) {
    await put({ resourceType: 'Patient', id: `m${at}`, active: false, name: [{ family: 'Many' }] });
    await put(condition(`of-m${at}`, 'active', `m${at}`));
  }

  await t.test('the examples of the specification', (t) => examples(t, clientOf(t, ask)));
  await t.test('lists: what is left of them, and in which order', (t) => lists(t, clientOf(t, ask)));
  await t.test('numbers stay as they were sent', async (t) => {
    const { query, data } = clientOf(t, ask);
    const { text } = await query('Observation/weight', '{valueQuantity{value} referenceRange{low{value} high{value}}}');
    t.equal(
      text,
      '{"data":{"valueQuantity":{"value":1.50},"referenceRange":[{"low":{"value":1.0},"high":{"value":2e2}},{"low":{"value":3}}]}}',
    );
    const range =
      '{referenceRange(fhirpath: "low.value < 2.5"){low{value}} ranges: referenceRange{low(value: 1){value}}}';
    t.strictSame(await data('Observation/weight', range), {
      referenceRange: [{ low: { value: 1 } }],
      ranges: [{ low: { value: 1 } }, {}],
    });
  });
  await t.test('references', (t) => references(t, clientOf(t, ask), counted.reads));
  await t.test('searches', (t) => searches(t, clientOf(t, ask)));
  await t.test('a connection is walked from end to end and back', (t) => connections(t, clientOf(t, ask)));
  await t.test('fragments, variables, directives', (t) => documents(t, clientOf(t, ask)));
  await t.test('each way of asking', (t) => requests(t, ask));
  await t.test('the schema tells about itself', (t) => introspection(t, clientOf(t, ask)));
  await t.test('what is wrong with a query is said with its place', (t) => mistakes(t, clientOf(t, ask)));
  await t.test('queries that ask for too much', (t) => tooMuch(clientOf(t, ask)));
  await t.test('what a caller may not see', (t) => hidden(t, engine));
  await t.test('a list has all of its matches or is refused', async (t) => {
    const { data, refused } = clientOf(t, ask);
    const entry = Array.from({ length: limits.graphqlListMax + 1 }, () => ({
      resource: { resourceType: 'Basic', code: { text: 'one of many' } },
      request: { method: 'POST', url: 'Basic' },
    }));
    t.equal((await ask('POST', '', { resourceType: 'Bundle', type: 'transaction', entry })).status, 200);
    await refused('', '{BasicList{id}}', 422, /BasicList has more than 1000 matches.*BasicConnection/);
    t.equal((await data('', '{BasicList(_count: 600){id}}')).BasicList.length, 600);
    await refused('', '{BasicList(_count: 2000){id}}', 422, /more than 1000 matches/);
    const six = Array.from({ length: 6 }, (_, at) => `a${at}: BasicList(_count: 900){id}`).join(' ');
    await refused('', `{${six}}`, 422, /reads more than 5000 resources/);
  });
  await t.test('no query is answered with a fault', (t) => mutated(t, clientOf(t, ask)));
});

t.test('what one query may use', async (t) => {
  const over = (use: (budget: Budget) => void, said: RegExp): void => {
    const budget = new Budget(new AbortController().signal);
    t.throws(() => use(budget), said);
  };
  over((budget) => {
    for (let at = 0; at <= limits.graphqlValuesMax; at++) budget.value(1);
  }, /values/);
  over((budget) => {
    for (let at = 0; at <= 32; at++) budget.value('x'.repeat(1024 * 1024));
  }, /more text/);
  over((budget) => {
    for (let at = 0; at <= 16; at++) budget.resource(limits.resourceBytesMax);
  }, /more content/);
  t.throws(() => new Budget(AbortSignal.abort()).time(), /given up/);
});

const archive = sharedData('corpora/r4-examples.tgz');
const skip = existsSync(archive) ? false : 'no corpora/r4-examples.tgz in the shared data';
t.test('the official R4 examples: who selects everything gets everything', { skip }, async (t) => {
  const definitions = loadDefinitions();
  let compared = 0;
  for (const [file, bytes] of readTgz(archive)) {
    if (!file.endsWith('.json')) continue;
    const resource = parseContent(bytes) as Resource;
    const text = everythingOf(resource);
    if (!fitsLimits(text)) continue;
    const row = { type: resource.resourceType, id: 'x', version: 1, lastUpdated: 0, body: bytes };
    const context = { definitions, baseUrl, store: { read: async () => row } } as unknown as OperationContext;
    const { signal } = new AbortController();
    const request = { method: 'POST', query: '', header: () => 'application/graphql', body: Buffer.from(text), signal };
    const call = { type: resource.resourceType, id: 'x', request } as unknown as OperationCall;
    const { body } = await performQuery(call, anonymousCaller, context);
    const answered = parseContent(body as Uint8Array) as { data: unknown };
    if (sorted(answered.data) !== sorted(resource)) t.fail(`${file}: ${JSON.stringify(answered).slice(0, 500)}`);
    compared++;
  }
  t.ok(compared > 400, `${compared} examples`);
});

/** A selection of every member that a resource has. */
function everythingOf(resource: object): string {
  const merged = (objects: readonly object[]): string => {
    const members = new Map<string, unknown[]>();
    for (const object of objects) {
      for (const [name, value] of Object.entries(object)) {
        members.set(name, [...(members.get(name) ?? []), ...[value].flat()]);
      }
    }
    const fields = [...members].map(([name, values]) => {
      const below = values.filter(isContent);
      return below.length === 0 ? name : `${name}${selection(name, below)}`;
    });
    return fields.join(' ');
  };
  const selection = (name: string, objects: readonly object[]): string => {
    const types = new Set(objects.map((one) => (one as Partial<Resource>).resourceType));
    if (types.has(undefined) || (name !== 'contained' && name !== 'resource')) return `{${merged(objects)}}`;
    const each = [...types].map((type) => {
      const of = objects.filter((one) => (one as Partial<Resource>).resourceType === type);
      return `... on ${type} {${merged(of)}}`;
    });
    return `{${each.join(' ')}}`;
  };
  return `{${merged([resource])}}`;
}

function fitsLimits(text: string): boolean {
  const words = text.match(/\w+|[{}]|\.{3}/g)?.length ?? 0;
  return words <= limits.graphqlFieldsMax && text.length <= limits.graphqlCharsMax;
}

/** The text of a value with its members in the order of the alphabet. */
function sorted(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(sorted).join()}]`;
  if (!isContent(value)) return JSON.stringify(value);
  const members = Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}:${sorted(one)}`);
  return `{${members.sort().join()}}`;
}

/** Queries that were right, with a few characters changed. */
async function mutated(t: Test, { query }: Client): Promise<void> {
  const seeds = [
    'query A($n: String = "x") { PatientList(family: $n, _count: 3) { ...f name(use: official) @flatten { family @singleton } } } fragment f on Patient { id }',
    '{ ConditionConnection(patient: example, _count: 2) { count edges { mode resource { subject { resource(type: Patient) { id } } } } } }',
    '{ Patient(id: "example") { name @slice(path: "use") { given @first } telecom(fhirpath: "use = \'home\'", _offset: 0) { value } } }',
  ];
  const pieces = [
    '',
    '{',
    '}',
    '(',
    ')',
    '[',
    '@',
    '$',
    '"',
    '"""',
    '...',
    ':',
    '!',
    'null',
    '-1',
    '1e999',
    'on',
    '\u0000',
    '#',
  ];
  const change = fc.tuple(fc.nat(200), fc.constantFrom(...pieces));
  const changes = fc.array(change, { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...seeds), changes, async (seed, changed) => {
      let text = seed;
      for (const [at, put] of changed) text = text.slice(0, at) + put + text.slice(at + 1);
      const { status, json } = await query('', text);
      if (status === 200 ? json.data === undefined : status >= 500 || json.errors.length === 0)
        throw new Error(`${status}`);
    }),
    { numRuns: 300, interruptAfterTimeLimit: 20_000 },
  );
  t.pass('300 queries');
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
type Any = any;

interface Client {
  query: Ask;
  /** What a query answers, which must be 200. */
  data(...asked: Parameters<Ask>): Promise<Any>;
  /** A query must fail so. */
  refused(path: string, text: string, status: number, said: RegExp): Promise<void>;
}

function clientOf(t: Test, ask: TestEngine['ask']): Client {
  const query: Ask = (path, text, variables, operationName) =>
    ask(
      'POST',
      `${path === '' ? '' : `${path}/`}$graphql`,
      { query: text, variables, operationName },
      { 'Content-Type': 'application/json' },
    );
  const data: Client['data'] = async (path, text, variables, operationName) => {
    const reply = await query(path, text, variables, operationName);
    t.equal(reply.status, 200, `${text}: ${reply.text.slice(0, 400)}`);
    return reply.json.data;
  };
  const refused: Client['refused'] = async (path, text, status, said) => {
    const reply = await query(path, text);
    const told = reply.json.errors?.[0];
    t.equal(reply.status, status, `${text.slice(0, 100)}: ${reply.text.slice(0, 300)}`);
    t.match(told?.message, said);
    t.equal(told?.extensions.resource.resourceType, 'OperationOutcome');
    t.equal(told?.extensions.resource.issue[0].diagnostics, told?.message);
    t.equal(reply.json.data, null);
    t.match(reply.headers['Content-Type'], /^application\/json/);
  };
  return { query, data, refused };
}

async function examples(t: Test, { data }: Client): Promise<void> {
  const same = async (text: string, expected: unknown): Promise<void> => {
    t.equal(JSON.stringify(await data('Patient/example', text)), JSON.stringify(expected), text);
  };
  const [official, usual, maiden] = [
    { given: ['Peter', 'James'], family: 'Chalmers' },
    { given: ['Jim'] },
    { given: ['Peter', 'James'], family: 'Windsor' },
  ];
  const identifier = { system: ['urn:oid:1.2.36.146.595.217.0.1'], value: ['12345'] };
  await same('{ name { text given family } }', { name: [official, usual, maiden] });
  await same('{ birthDate _birthDate { extension {valueDateTime} } }', {
    birthDate: '2016-05-18',
    _birthDate: { extension: [{ valueDateTime: '2016-05-18T10:28:45Z' }] },
  });
  await same('{ name(fhirpath: "family.exists()") { text given family } }', { name: [official, maiden] });
  await same('{ name(use: official) { text given family } }', { name: [official] });
  await same('{ myext: extension(url: "http://x.test/one") { value : valueString } }', {
    myext: [{ value: 'some value' }],
  });
  await same('{ identifier { system value } active name { text given family } }', {
    identifier: [{ system: identifier.system[0], value: '12345' }],
    active: true,
    name: [official, usual, maiden],
  });
  await same('{ identifier @flatten { system value } active name @flatten { text given family } }', {
    ...identifier,
    active: true,
    given: ['Peter', 'James', 'Jim', 'Peter', 'James'],
    family: ['Chalmers', 'Windsor'],
  });
  await same('{ identifier @flatten { system value } active name @flatten { text given @first family } }', {
    ...identifier,
    active: true,
    given: ['Peter', 'Jim', 'Peter'],
    family: ['Chalmers', 'Windsor'],
  });
  await same(
    '{ identifier @flatten { system @singleton value @singleton } active name @flatten @first { text given family @singleton } }',
    { system: identifier.system[0], value: '12345', active: true, given: ['Peter', 'James'], family: 'Chalmers' },
  );
  await same('{ name @slice(path: "$index") @flatten {given @first @singleton family} }', {
    'given.0': 'Peter',
    'family.0': ['Chalmers'],
    'given.1': 'Jim',
    'given.2': 'Peter',
    'family.2': ['Windsor'],
  });
  const sliced = (by: (at: number) => string) => ({
    ...identifier,
    active: true,
    [`given.${by(0)}`]: ['Peter', 'James'],
    [`family.${by(0)}`]: 'Chalmers',
    [`given.${by(1)}`]: ['Jim'],
    [`given.${by(2)}`]: ['Peter', 'James'],
    [`family.${by(2)}`]: 'Windsor',
  });
  const around = (path: string): string =>
    `{ identifier @flatten { system value } active name @flatten @slice(path: "${path}") { given family @singleton } }`;
  await same(
    around('use'),
    sliced((at) => patient.name[at]?.use ?? ''),
  );
  await same(around('$index'), sliced(String));
  t.strictSame(await data('Observation/weight', '{ subject { reference, resource {active} } }'), {
    subject: { reference: 'Patient/example', resource: { active: true } },
  });
  const either = { id: 'weight', subject: { reference: 'Patient/example', resource: { birthDate: '2016-05-18' } } };
  const fragments = '{ id subject { reference resource { ...on Patient { birthDate } ...on Group { name } } } }';
  t.strictSame(await data('Observation/weight', fragments), either);
  const types =
    '{ id subject { reference resource(type : Patient) { birthDate } resource(type : Practitioner) { qualification { period { start } } } } }';
  t.strictSame(await data('Observation/weight', types), either);
  t.strictSame(await data('', '{ Patient(id: example) { id, active } }'), { Patient: { id: 'example', active: true } });
  const relapses = await data(
    '',
    '{ ConditionList(clinical_status: relapse, patient: example) { id, clinicalStatus { coding { code } } } }',
  );
  t.equal(relapses.ConditionList.length, 4);
  t.strictSame(relapses.ConditionList[0].clinicalStatus, { coding: [{ code: 'relapse' }] });
}

async function lists(t: Test, { data, refused }: Client): Promise<void> {
  const of = async (text: string) => data('Patient/example', text);
  t.strictSame(await of('{telecom(_offset: 1, _count: 1){value}}'), { telecom: [{ value: '2' }] });
  t.strictSame(
    await of('{telecom(use: work, _offset: 1){value}}'),
    { telecom: [{ value: '3' }] },
    'of the filtered list',
  );
  t.strictSame(await of('{telecom(use: work, value: "2"){value}}'), { telecom: [{ value: '2' }] });
  t.strictSame(
    await of('{name(given: "Jim"){given}}'),
    { name: [{ given: ['Jim'] }] },
    'one value of several is enough',
  );
  t.strictSame(await of('{telecom(use: old){value}}'), {}, 'an element without values is left out');
  t.strictSame(await of('{telecom @first {value}}'), { telecom: [{ value: '1' }] });
  t.strictSame(await of('{telecom @first @singleton {value}}'), { telecom: { value: '1' } });
  t.strictSame(await of('{telecom @slice(path: "use") {value}}'), {
    'telecom.home': [{ value: '1' }],
    'telecom.work': [{ value: '2' }, { value: '3' }],
  });
  t.strictSame(
    await of('{contact @flatten @slice(path: "$index") {telecom @flatten @slice(path: "use") {value}}}'),
    { 'value.0.home': ['c1'], 'value.1.work': ['c2'] },
    'suffixes add up',
  );
  t.strictSame(await of('{name(fhirpath: "%resource.active and use = \'usual\'"){given}}'), {
    name: [{ given: ['Jim'] }],
  });
  t.strictSame(await of('{home: telecom(use: home){value} work: telecom(use: work) @flatten {work: value}}'), {
    home: [{ value: '1' }],
    work: ['2', '3'],
  });
  t.strictSame(await of('{telecom(use: home){value} telecom(use: work){value use}}'), {
    telecom: [{ value: '1' }, { value: '2', use: 'work' }, { value: '3', use: 'work' }],
  });
  t.strictSame(await of('{telecom{value} telecom{use}}'), {
    telecom: patient.telecom.map(({ use, value }) => ({ value, use })),
  });
  await refused(
    'Patient/example',
    '{telecom @flatten {value @singleton}}',
    400,
    /"value" would hold more than one value.*line 1/,
  );
  await refused(
    'Patient/example',
    '{active: birthDate active}',
    400,
    /"active" would hold values of type date and boolean/,
  );
  await refused(
    'Patient/example',
    '{name @flatten {x: family} telecom @flatten {x: use}}',
    400,
    /type string and code/,
  );
  await refused('Patient/example', '{active @flatten}', 400, /no children/);
  await refused('Patient/example', '{telecom(_count: -1){value}}', 400, /_count is a whole number/);
  await refused('Patient/example', '{telecom(fhirpath: "value.("){value}}', 400, /FHIRPath/);
  await refused('Patient/example', '{telecom @slice(path: "use | value"){value}}', 400, /one simple value/);
}

async function references(t: Test, { data, refused }: Client, reads: { count: number }): Promise<void> {
  const inside = '{generalPractitioner{resource{resourceType ... on Practitioner{name{family}}}}}';
  t.strictSame(await data('Patient/example', inside), {
    generalPractitioner: [
      { resource: { resourceType: 'Practitioner', name: [{ family: 'Within' }] } },
      { resource: { resourceType: 'Practitioner', name: [{ family: 'Careful' }] } },
    ],
  });
  const contained =
    '{contained{id ... on PractitionerRole{practitioner{resource{... on Practitioner{name{family}}}}}}}';
  t.strictSame(
    await data('Patient/example', contained),
    { contained: [{ id: 'gp' }, { id: 'role', practitioner: { resource: { name: [{ family: 'Within' }] } } }] },
    'a contained resource refers to another of the same container',
  );
  t.strictSame(await data('Patient/example', '{contained(fhirpath: "practitioner.exists()"){id}}'), {
    contained: [{ id: 'role' }],
  });
  const performer = (args: string) => `{performer{reference resource${args}{... on Practitioner{name{family}}}}}`;
  t.strictSame(await data('Observation/weight', performer('(optional: true)')), {
    performer: [
      { reference: 'Practitioner/p1', resource: { name: [{ family: 'Careful' }] } },
      { reference: 'Organization/none' },
      {},
    ],
  });
  t.strictSame(
    await data(
      'Observation/weight',
      '{performer(fhirpath: "reference.exists()"){resource(type: [Practitioner, Group]){id}}}',
    ),
    { performer: [{ resource: { id: 'p1' } }, {}] },
    'of another type: passed over, whether it exists or not',
  );
  t.strictSame(
    await data('Observation/weight', '{subject{resource{name{family} nothing: name(use: old){family}}}}'),
    { subject: { resource: { name: [{ family: 'Chalmers' }, {}, { family: 'Windsor' }] } } },
    'fields of a resource whose type is not said',
  );
  await refused('Observation/weight', performer(''), 404, /without a literal reference.*line 1, column 22/);
  await refused(
    'Observation/weight',
    '{performer(_offset: 1, _count: 1){resource{id}}}',
    404,
    /"Organization\/none" leads/,
  );
  await refused('Observation/weight', performer('(type: Person2)'), 400, /"Person2" is not a resource type/);
  await refused('Observation/weight', '{subject{resource{nosuch}}}', 400, /Resource has no field "nosuch"/);
  await refused('Observation/weight', '{subject{resource{name{nosuch}}}}', 400, /HumanName has no field "nosuch"/);
  await refused(
    'Observation/weight',
    '{subject{resource{name(nosuch: 1){family}}}}',
    400,
    /"name" has no argument "nosuch"/,
  );
  await refused('Observation/weight', '{subject{resource{name}}}', 400, /"name" needs a selection/);
  await refused(
    'Patient/example',
    '{contained{... on Practitioner{ObservationList(_reference: performer){id}}}}',
    400,
    /within another/,
  );

  reads.count = 0;
  const many = await data(
    '',
    `{ConditionList(clinical_status: active, _count: ${MANY}){id subject{resource{... on Patient{id}}}}}`,
  );
  t.equal(new Set(many.ConditionList.map((one: Any) => one.subject.resource.id)).size > 50, true);
  t.equal(reads.count, 1, 'fifty references are one read');
}

async function searches(t: Test, { data, refused }: Client): Promise<void> {
  const idsOf = (list: { id: string }[]): string[] => list.map(({ id }) => id).sort();
  const all = Array.from({ length: CONDITIONS }, (_, at) => `c${at}`);
  const reverse = await data('Patient/example', '{id ConditionList(_reference: patient){id}}');
  t.strictSame(idsOf(reverse.ConditionList), all);
  const narrowed = await data('Patient/example', '{ConditionList(_reference: subject, clinical_status: active){id}}');
  t.strictSame(idsOf(narrowed.ConditionList), ['c1', 'c3', 'c5']);
  t.strictSame(await data('Patient/example', '{EncounterList(_reference: patient){id}}'), { EncounterList: [] });
  const two = await data('', '{ConditionList(_id: [c1, "c2", nosuch]){id}}');
  t.strictSame(idsOf(two.ConditionList), ['c1', 'c2'], 'values of an array are alternatives');
  t.strictSame((await data('', '{PatientList(active: true){id}}')).PatientList, [{ id: 'example' }]);
  t.strictSame((await data('', '{PatientList(family: "Chal,mers"){id}}')).PatientList, [], 'a comma is a comma');
  t.strictSame((await data('', '{PatientList(family: ["Nobody", "chalmers"]){id}}')).PatientList, [{ id: 'example' }]);
  t.strictSame((await data('', '{PatientList(family: "Many", _sort: "-_lastUpdated", _count: 2){id}}')).PatientList, [
    { id: `m${MANY - 1}` },
    { id: `m${MANY - 2}` },
  ]);
  const filtered =
    '{PatientList(fhirpath: "name.given.exists()"){id} PatientConnection(fhirpath: "active", _count: 500){edges{resource{id}}}}';
  t.strictSame(await data('', filtered), {
    PatientList: [{ id: 'example' }],
    PatientConnection: { edges: [{ resource: { id: 'example' } }] },
  });
  const both = '{ConditionList(_filter: "patient eq Patient/example and clinical-status eq active"){id}}';
  t.strictSame(idsOf((await data('', both)).ConditionList), ['c1', 'c3', 'c5']);
  const nested = await data('', '{PatientList(family: "Many"){id ConditionList(_reference: patient){id}}}');
  t.ok(
    nested.PatientList.every(
      (one: Any) => one.ConditionList.length === 1 && one.ConditionList[0].id === `of-${one.id}`,
    ),
  );
  t.equal(nested.PatientList.length, MANY);
  t.strictSame(await data('', '{PatientList(family: "Chalmers") @flatten {id name @flatten {family}}}'), {
    id: ['example'],
    family: ['Chalmers', 'Windsor'],
  });
  await refused('', '{ConditionList(clinical_statuss: active){id}}', 400, /clinical_statuss.*clinical_status/);
  await refused('', '{ConditionList(onset_date: "yesterday"){id}}', 400, /yesterday|date/);
  await refused('', '{ConditionList(_id: []){id}}', 400, /"_id" has no value/);
  await refused('Patient/example', '{ConditionList(_reference: encounter){id}}', 400, /accepted: .*patient/);
  await refused('Patient/example', '{ConditionList{id}}', 400, /_reference/);
  await refused('Patient/example', '{ValueSetList(_reference: x){id}}', 400, /no field "ValueSetList"/);
  await refused('', '{Patient(id: "nosuch"){id}}', 404, /Patient\/nosuch/);
  await refused('Patient/nosuch', '{id}', 404, /Patient\/nosuch does not exist/);
}

async function connections(t: Test, { data, refused }: Client): Promise<void> {
  const fields = 'count offset pagesize first previous next last edges{mode score resource{id}}';
  const start = `{ConditionConnection(patient: example, _count: 3){${fields}}}`;
  const page = async (cursor: string) =>
    (await data('', `query($c: String){ConditionConnection(_cursor: $c){${fields}}}`, { c: cursor }))
      .ConditionConnection;
  const first = (await data('', start)).ConditionConnection;
  t.match(first, { count: CONDITIONS, offset: 0, pagesize: 3, edges: [{ mode: 'match' }] });
  t.notOk('previous' in first || 'last' in first);
  const pages = [first];
  while (pages.at(-1).next !== undefined) pages.push(await page(pages.at(-1).next));
  const ids = (one: Any): string[] => one.edges.map((edge: Any) => edge.resource.id);
  t.strictSame(
    pages.map((one) => [one.offset, one.count, one.edges.length]),
    [
      [0, 7, 3],
      [3, 7, 3],
      [6, 7, 1],
    ],
  );
  t.equal(new Set(pages.flatMap(ids)).size, CONDITIONS, 'every match once');
  const last = pages.at(-1);
  t.strictSame(ids(await page(last.last)), ids(last));
  const second = await page(last.previous);
  t.strictSame([second.offset, ids(second)], [3, ids(pages[1])]);
  const again = await page(second.previous);
  t.strictSame([again.offset, ids(again)], [0, ids(first)]);
  t.notOk('previous' in again);
  t.strictSame(ids(await page(last.first)), ids(first));
  t.strictSame(ids(await page(second.next)), ids(last), 'forward again after going back');

  const reverse = await data('Patient/example', `{ConditionConnection(_reference: patient, _count: 5){${fields}}}`);
  t.equal(reverse.ConditionConnection.edges.length, 5);
  t.equal(
    (await page(reverse.ConditionConnection.next)).edges.length,
    2,
    'a page of a reverse search, asked for on its own',
  );
  t.strictSame(await data('', '{ConditionConnection(patient: example, _count: 0){count edges{resource{id}}}}'), {
    ConditionConnection: { count: CONDITIONS, edges: [] },
  });
  const cursor = first.next;
  const changed = `${cursor.slice(0, 20)}${cursor[20] === 'A' ? 'B' : 'A'}${cursor.slice(21)}`;
  await refused('', `{ConditionConnection(_cursor: "${changed}"){count}}`, 400, /altered/);
  await refused('', `{ConditionConnection(_cursor: ""){count}}`, 400, /./);
  await refused('', `{PatientConnection(_cursor: "${cursor}"){count}}`, 400, /another search/);
  await refused('', `{ConditionConnection(_cursor: "${cursor}", patient: "m1"){count}}`, 400, /_cursor stands alone/);
  await refused(
    'Patient/example',
    `{ConditionConnection(_reference: patient, _cursor: "${cursor}"){count}}`,
    400,
    /_cursor/,
  );
}

async function documents(t: Test, { data, refused }: Client): Promise<void> {
  const text = `query A($n: String!, $with: Boolean = false) {
      PatientList(family: $n) { ...who telecom @include(if: $with) { value } active @skip(if: $with) __typename }
    }
    query B($id: ID!) { Patient(id: $id) { ...who again: id } }
    fragment who on Patient { id ...names }
    fragment names on Patient { name(use: official) { ... on HumanName { family } ... { given } } }`;
  const who = { id: 'example', name: [{ family: 'Chalmers', given: ['Peter', 'James'] }] };
  const a = async (variables: object) =>
    (await data('', text, variables as Record<string, unknown>, 'A')).PatientList[0];
  t.strictSame(await a({ n: 'Chalmers' }), { ...who, active: true, __typename: 'Patient' });
  const telecom = patient.telecom.map(({ value }) => ({ value }));
  t.strictSame(await a({ n: 'Chalmers', with: true }), { ...who, telecom, __typename: 'Patient' });
  t.strictSame(await data('', text, { id: 'example' }, 'B'), { Patient: { ...who, again: 'example' } });
  t.strictSame(
    await data('', 'query($s: [token], $p: String){ConditionList(clinical_status: $s, patient: $p){id}}', {
      s: ['relapse', 'remission'],
      p: 'example',
    }).then(({ ConditionList }) => ConditionList.length),
    4,
  );
  t.strictSame(
    await data('Observation/weight', '{subject{resource{...any}}} fragment any on Resource{id ... on Patient{active}}'),
    { subject: { resource: { id: 'example', active: true } } },
  );
  await refused('', text, 400, /operationName.*A, B/);
  await refused(
    '',
    'query($n: Int){PatientList(family: $n){id}}',
    400,
    /"\$n" of type "Int" is used where "\[String\]"/,
  );
  await refused('', 'query($n: [ID!]!){Patient(id: $n){id}}', 400, /"\$n" of type/);
  await refused('', 'query($n: ID){Patient(id: $n){id}}', 400, /"\$n" of type "ID" is used where "ID!"/);
  await refused('', 'query($n: ID!){Patient(id: $n){id}}', 400, /"\$n" of required type/);
  await refused('', '{Patient(id: $n){id}}', 400, /"\$n" is not defined/);
  await refused('', 'mutation{PatientDelete(id: "example"){id}}', 400, /mutation is not offered/);
  await refused('', 'subscription{Patient(id: "example"){id}}', 400, /subscription is not offered/);
}

async function requests(t: Test, ask: TestEngine['ask']): Promise<void> {
  const document = 'query One($id: ID!) { Patient(id: $id) { id } } query Other { Patient(id: "m1") { id } }';
  const variables = { id: 'example' };
  const expected = '{"data":{"Patient":{"id":"example"}}}';
  const post = (body: unknown, type: string, path = '$graphql') => ask('POST', path, body, { 'Content-Type': type });
  const asJson = { query: document, variables, operationName: 'One', extensions: {} };
  const parameters = {
    resourceType: 'Parameters',
    parameter: [
      { name: 'query', valueString: document },
      { name: 'variables', valueString: JSON.stringify(variables) },
      { name: 'operationName', valueString: 'One' },
    ],
  };
  const form = `query=${encodeURIComponent(document)}&variables=${JSON.stringify(variables)}&operationName=One`;
  t.equal((await post(asJson, 'application/json')).text, expected);
  t.equal((await post({ ...asJson, extensions: null }, 'application/json; charset=utf-8')).text, expected);
  t.equal((await post(parameters, 'application/fhir+json')).text, expected);
  t.equal((await post(form, 'application/x-www-form-urlencoded')).text, expected);
  t.equal(
    (await post(document, 'application/graphql', `$graphql?variables=${JSON.stringify(variables)}&operationName=One`))
      .text,
    expected,
  );
  t.equal((await ask('GET', `$graphql?${form}&_format=json`)).text, expected);
  const reply = await post('{ id name(use: usual) { given } }', 'application/graphql', 'Patient/example/$graphql');
  t.equal(reply.text, '{"data":{"id":"example","name":[{"given":["Jim"]}]}}');
  t.equal(reply.headers['Content-Type'], 'application/json; charset=utf-8');

  const refused = async (answer: Promise<Reply>, said: RegExp): Promise<void> => {
    const { status, json } = await answer;
    t.equal(status, 400);
    t.match(json.errors[0].message, said);
  };
  await refused(ask('GET', '$graphql'), /A GraphQL query is expected/);
  await refused(ask('GET', '$graphql?query='), /A GraphQL query is expected/);
  await refused(ask('GET', '$graphql?qery={x}'), /"qery" is not a part/);
  await refused(post('{"query": 1}', 'application/json'), /"query" of a GraphQL request is a text/);
  await refused(post('["{x}"]', 'application/json'), /object with "query"/);
  await refused(post('{"query":', 'application/json'), /./);
  await refused(post({ query: '{__typename}', variables: [] }, 'application/json'), /"variables" .* is a JSON object/);
  await refused(post('{"query":"{__typename}","variables":{"__proto__":1}}', 'application/json'), /__proto__/);
  t.equal((await ask('GET', 'Patient/$graphql?query={id}')).status, 404, 'not on a type');
}

async function introspection(t: Test, { data, refused }: Client): Promise<void> {
  const type = (
    await data(
      '',
      '{__type(name:"Patient"){kind name interfaces{name} fields{name args{name} type{name kind ofType{name}}}}}',
    )
  ).__type;
  t.match(type, { kind: 'OBJECT', name: 'Patient', interfaces: [{ name: 'Resource' }] });
  const field = (name: string) => type.fields.find((one: Any) => one.name === name);
  t.match(field('birthDate'), { args: [], type: { name: 'date', kind: 'SCALAR' } });
  t.match(field('_birthDate'), { type: { name: 'ElementBase' } });
  t.match(field('contact'), { type: { kind: 'LIST', ofType: { name: 'PatientContact' } } });
  t.ok(
    ['fhirpath', '_offset', '_count', 'use', 'family'].every((name) =>
      field('name').args.some((one: Any) => one.name === name),
    ),
  );
  t.ok(field('ConditionList').args.some((one: Any) => one.name === '_reference'));
  const own = await data('Patient/example', '{__schema{queryType{name} mutationType{name} directives{name}}}');
  t.match(own.__schema, { queryType: { name: 'Patient' }, mutationType: null });
  t.strictSame(
    own.__schema.directives.map(({ name }: Any) => name),
    ['include', 'skip', 'flatten', 'first', 'singleton', 'slice'],
  );
  const names = (await data('', '{__schema{types{name}}}')).__schema.types.map(({ name }: Any) => name);
  t.equal(new Set(names).size, names.length);
  t.ok(names.length > 900);
  t.strictSame(await data('', '{__type(name:"Nosuch"){name}}'), { __type: null });
  await refused('', '{__schema{types{fields{args{type{name}}}}}}', 422, /ask for one type at a time/);
  await refused('', '{__schema{types{fields{type{fields{type{fields{name}}}}}}}}', 400, /introspection depth/);

  const schema = schemaOf(loadDefinitions());
  t.ok(schema instanceof FhirSchema);
  for (const name of names) {
    const one = schema.getType(name);
    t.equal(one?.name, name);
    if (one !== undefined && 'getFields' in one) {
      for (const part of Object.values(one.getFields())) {
        if (part.type === undefined || part.args === null) t.fail(`${name}.${part.name}`);
      }
    }
  }
}

async function mistakes(t: Test, { query, refused }: Client): Promise<void> {
  await refused('Patient/example', '{ name { family }', 400, /Syntax Error: .*line 1, column 18/);
  await refused('Patient/example', '', 400, /A GraphQL query is expected/);
  await refused('Patient/example', 'fragment a on Patient { id }', 400, /no query/);
  await refused('Patient/example', '{ nam { family } }', 400, /Patient has no field "nam". Did you mean "name"\?/);
  await refused('Patient/example', '{ ... on Nosuch { id } }', 400, /"Nosuch" is not a type/);
  await refused('Patient/example', '{ ... on Group { id } }', 400, /can never be of type "Group"/);
  await refused('Patient/example', '{ id @nosuch }', 400, /@nosuch/);
  await refused(
    'Patient/example',
    '{ ...a } fragment a on Patient { ...b } fragment b on Patient { ...a }',
    400,
    /Cannot spread fragment "a" within itself/,
  );
  await refused('Patient/example', '{ id(x: 1) }', 400, /Unknown argument "x"/);
  const reply = await query('Patient/example', '{\n  id\n  nosuch\n  another\n}');
  t.strictSame(
    reply.json.errors.map((one: Any) => one.locations),
    [[{ line: 3, column: 3 }], [{ line: 4, column: 3 }]],
  );
}

async function tooMuch({ refused }: Client): Promise<void> {
  const times = (count: number, text: (at: number) => string): string =>
    Array.from({ length: count }, (_, at) => text(at)).join(' ');
  const { graphqlTokensMax, graphqlFieldsMax, graphqlDepthMax, graphqlCharsMax } = limits;
  await refused('Patient/example', `{${'{'.repeat(200_000 / 4)}`, 422, /levels deep/);
  await refused('Patient/example', `{id @skip(if: ${'['.repeat(3000)}`, 422, /levels deep/);
  await refused(
    'Patient/example',
    `{${'extension{'.repeat(graphqlDepthMax)}url${'}'.repeat(graphqlDepthMax)}}`,
    422,
    /levels deep/,
  );
  await refused('Patient/example', `{${times(graphqlTokensMax, () => 'id')}}`, 422, /words and signs/);
  await refused(
    'Patient/example',
    `{${times(graphqlFieldsMax + 1, (at) => `a${at}: id`)}}`,
    422,
    /at most 1000 fields/,
  );
  await refused('Patient/example', `{id #${'x'.repeat(graphqlCharsMax)}\n}`, 422, /characters/);
  const doubling = times(
    40,
    (at) => `fragment f${at} on Patient { ...f${at + 1} a${at}: name { family } ...f${at + 1} }`,
  );
  await refused('Patient/example', `{ ...f0 } ${doubling} fragment f40 on Patient { id }`, 422, /at most 1000 fields/);
  const nested = `fragment e0 on Extension { extension { extension { extension { extension { ...e1 } } } } }
    ${times(6, (at) => `fragment e${at + 1} on Extension { extension { extension { extension { extension { ${at === 5 ? 'url' : `...e${at + 2}`} } } } } }`)}`;
  await refused('Patient/example', `{ extension { ...e0 } } ${nested}`, 422, /levels deep/);
  await refused(
    '',
    `{${times(9, (at) => `a${at}: PatientList(_count: 60){ConditionList(_reference: patient){id}}`)}}`,
    422,
    /more than 500 searches/,
  );
  await refused(
    'Patient/example',
    "{name(fhirpath: \"('a' & 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!').matches('(a+)+$')\"){family}}",
    422,
    /FHIRPath|longer/,
  );
  const evil = '{__proto__: id constructor: active toString: birthDate hasOwnProperty: name{__proto__: family}}';
  await refused('Patient/example', `query($__proto__: String){id(x: $__proto__)} ${evil}`, 400, /./);
}

async function hidden(t: Test, engine: Engine): Promise<void> {
  const filter: Filter = {
    of(type): Condition {
      if (type === 'Organization') return { kind: 'none' };
      if (type === 'Condition') return { kind: 'not', of: { kind: 'ids', ids: ['c1', 'c2'] } };
      if (type === 'Patient') return { kind: 'not', of: { kind: 'ids', ids: ['m1', 'm2'] } };
      return { kind: 'all' };
    },
  };
  const ask = asCaller(engine, callerWith(filter));
  const ids = (list: { id: string }[]): string[] => list.map(({ id }) => id).sort();

  t.equal((await ask('', '{Condition(id: "c1"){id}}')).status, 404);
  t.equal((await ask('', '{Condition(id: "c3"){id}}')).status, 200);
  t.equal((await ask('Condition/c1', '{id}')).status, 404);
  t.equal((await ask('Patient/m1', '{id}')).status, 404);
  const { json } = await ask('', '{ConditionList(patient: example){id}}');
  t.strictSame(ids(json.data.ConditionList), ['c0', 'c3', 'c4', 'c5', 'c6']);
  t.equal((await ask('', '{OrganizationList{id}}')).status, 403);
  const reverse = await ask(
    'Patient/example',
    '{ConditionList(_reference: patient){id} ConditionConnection(_reference: patient, _count: 2){count edges{resource{id}} next}}',
  );
  t.strictSame(ids(reverse.json.data.ConditionList), ['c0', 'c3', 'c4', 'c5', 'c6']);
  t.equal(reverse.json.data.ConditionConnection.count, 5, 'a count does not tell either');
  let next = reverse.json.data.ConditionConnection.next;
  const seen = reverse.json.data.ConditionConnection.edges.map((edge: Any) => edge.resource.id);
  while (next !== undefined) {
    const page = (await ask('', `{ConditionConnection(_cursor: "${next}"){edges{resource{id}} next count}}`)).json.data
      .ConditionConnection;
    t.equal(page.count, 5);
    seen.push(...page.edges.map((edge: Any) => edge.resource.id));
    next = page.next;
  }
  t.strictSame(seen.sort(), ['c0', 'c3', 'c4', 'c5', 'c6']);

  const toHidden = await ask('Patient/example', '{managingOrganization{resource{id}}}');
  const toNothing = await ask('Observation/weight', '{performer(reference: "Organization/none"){resource{id}}}');
  t.strictSame([toHidden.status, toNothing.status], [404, 404]);
  const saidOf = (reply: Reply): string => reply.json.errors[0].message.replace(/Organization\/\w+|column \d+/g, '');
  t.equal(saidOf(toHidden), saidOf(toNothing), 'the hidden and the missing cannot be told apart');
  const optional = await ask('Patient/example', '{managingOrganization{reference resource(optional: true){id}}}');
  t.strictSame(optional.json.data, { managingOrganization: { reference: 'Organization/secret' } });
  const subjects = await ask(
    '',
    '{ConditionList(_id: ["of-m1", "of-m2", "of-m3"]){subject{resource(optional: true){id}}}}',
  );
  t.strictSame(
    subjects.json.data.ConditionList.flatMap((one: Any) => one.subject.resource?.id ?? []),
    ['m3'],
    'not even after another reference was read',
  );
}

/** Queries of a caller, as an edge would answer them. */
function asCaller(engine: Engine, caller: Caller): (path: string, text: string) => Promise<Reply> {
  return async (path, text) => {
    const request = {
      method: 'GET' as const,
      path: `${path === '' ? '' : `${path}/`}$graphql`,
      query: `query=${encodeURIComponent(text)}`,
      header: () => undefined,
      body: new Uint8Array(0),
      signal: new AbortController().signal,
    };
    try {
      const { status, headers, body = [] } = await engine.perform(request, caller);
      const answered = Buffer.concat(body instanceof Uint8Array ? [body] : [...body]).toString('utf8');
      return { status, headers, text: answered, json: JSON.parse(answered) };
    } catch (error) {
      if (!(error instanceof FhirError)) throw error;
      return { status: error.status, headers: {}, text: error.message, json: operationOutcome(error.issues) };
    }
  };
}

/** The store, and how often it was asked for many resources at once. */
function countingStore(store: Store): { store: Store; reads: { count: number } } {
  const reads = { count: 0 };
  const counting = new Proxy(store, {
    get(target, name) {
      if (name === 'readMany') reads.count++;
      const value = Reflect.get(target, name, target) as unknown;
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return { store: counting, reads };
}

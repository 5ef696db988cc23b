// Search parameters that clients add, on both stores. https://hl7.org/fhir/R4/searchparameter.html
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { nextState } from '../../src/fhir/parameter-index.ts';
import { canHold } from '../../src/fhir/search-parameters.ts';
import { loadDefinitions } from '../../src/model/definitions.ts';
import { selectedTypes } from '../../src/model/search-accessors.ts';
import { openMongoStore } from '../../src/store/mongo/open.ts';
import type { Store } from '../../src/store/store.ts';
import { engineOn, matchIds, type Reply, type TestEngine } from '../support/engine.ts';
import { type Adapter, type Opened, onBothStores, type Test } from '../support/stores.ts';

const LOOK_MS = 10;
const WAIT_MS = 20_000;

const RACE = 'http://hl7.org/fhir/us/core/StructureDefinition/us-core-race';
const URL = 'http://example.org/SearchParameter/';

interface Members {
  code: string;
  type: string;
  base: string[];
  expression?: string;
  status?: string;
  url?: string;
  [member: string]: unknown;
}

const parameter = ({ code, ...members }: Members): Members & { resourceType: string; id: string } => ({
  resourceType: 'SearchParameter',
  id: code,
  url: URL + code,
  name: code,
  status: 'active',
  description: code,
  code,
  ...members,
});

const race = parameter({
  code: 'race',
  type: 'token',
  base: ['Patient'],
  expression: `Patient.extension.where(url = '${RACE}').extension.value.code`,
});

const ofRace = (id: string, code: string, more: object = {}) => ({
  resourceType: 'Patient',
  id,
  extension: [
    {
      url: RACE,
      extension: [{ url: 'ombCategory', valueCoding: { system: 'urn:oid:2.16.840.1.113883.6.238', code } }],
    },
  ],
  ...more,
});

interface Setting extends Omit<TestEngine, 'askAs'> {
  opened: Opened;
  put(resource: { resourceType: string; id: string }): Promise<Reply>;
  /** Of store and index, and faults in the background. */
  problems(): Promise<string[]>;
  /** Waits until a search is no longer refused because its parameter is being built. */
  built(search: string): Promise<void>;
  ids(search: string): Promise<string[]>;
}

async function setting(t: Test, adapter: Adapter): Promise<Setting> {
  const opened = await adapter.open();
  t.teardown(opened.close);
  const engine = await engineOf(t, opened.store);
  return { opened, ...engine };
}

async function engineOf(t: Test, store: Store, lookMs = LOOK_MS): Promise<Omit<Setting, 'opened'>> {
  const faults: unknown[] = [];
  const { ask, engine } = await engineOn(store, { lookMs, onFault: (error) => faults.push(error) });
  t.teardown(() => engine.background.stop());
  return {
    ask,
    engine,
    put: async (resource) => {
      const reply = await ask('PUT', `${resource.resourceType}/${resource.id}`, resource);
      t.ok(reply.status < 300, `${resource.id}: ${reply.text.slice(0, 300)}`);
      return reply;
    },
    async built(search) {
      const end = Date.now() + WAIT_MS;
      while (Date.now() < end) {
        const { status } = await ask('GET', search);
        if (status === 200) return;
        await pause(5);
      }
      t.fail(`${search} is not built`);
    },
    ids: async (search) => {
      const reply = await ask('GET', search);
      t.equal(reply.status, 200, `${search}: ${reply.text.slice(0, 300)}`);
      return matchIds(reply);
    },
    async problems() {
      const found = faults.map(String);
      for await (const problem of engine.verify()) found.push(problem);
      return found;
    },
  };
}

const says = (reply: Reply): string =>
  (reply.json.issue ?? []).map((issue: { diagnostics: string }) => issue.diagnostics).join(' ');

const advertised = (reply: Reply, type: string, code: string) =>
  reply.json.rest[0].resource
    .find((resource: { type: string }) => resource.type === type)
    .searchParam.find(({ name }: { name: string }) => name === code);

t.setTimeout(60_000);

t.test('what each type of parameter can hold includes what R4 has for it', async (t) => {
  const definitions = loadDefinitions();
  // These two select resources within a Bundle, whose type the expression does not tell.
  const without = ['Bundle.composition', 'Bundle.message'];
  for (const type of definitions.resourceTypes) {
    for (const { code, type: kind, expression } of definitions.searchParameters(type).values()) {
      if (expression === '' || kind === 'composite' || kind === 'special' || without.includes(`${type}.${code}`))
        continue;
      const selected = [...selectedTypes(definitions, type, expression)];
      if (!selected.some((one) => canHold(kind, one, definitions))) t.fail(`${type}.${code}: ${selected.join(', ')}`);
    }
  }
});

t.test('what is built and left over when something else is wanted', async (t) => {
  const first = nextState(undefined, { list: 'a', types: ['Patient', 'Person'] });
  t.same(first, { list: 'a', types: ['Patient', 'Person'], built: [], leftovers: [] });
  const built = { ...first, built: first.types };
  t.equal(nextState(built, { list: 'a', types: ['Person', 'Patient'] }), built, 'the same is wanted');
  t.same(nextState(built, { list: 'a', types: ['Person', 'Group'] }), {
    list: 'a',
    types: ['Person', 'Group'],
    built: ['Person'],
    leftovers: ['Patient'],
  });
  const other = nextState(built, { list: 'b', types: ['Patient'] });
  t.same(other, { list: 'b', types: ['Patient'], built: [], leftovers: ['Patient', 'Person'] });
  t.same(nextState(other, { list: 'a', types: ['Patient'] }).built, [], 'back again it is not what it was');
  t.same(nextState(built), { list: '', types: [], built: [], leftovers: ['Patient', 'Person'] });
});

await onBothStores(t, async (t, adapter) => {
  await t.test(
    'until all rows are indexed it is "building": 503 on search; then it finds what was there',
    async (t) => {
      const { ask, put, built, ids, problems, engine } = await setting(t, adapter);
      await put(ofRace('w1', '2106-3'));
      await put(ofRace('b1', '2054-5'));
      t.equal((await ask('GET', 'Patient?race=2106-3')).status, 400, 'nobody knows it yet');
      t.equal((await put(race)).status, 201);
      await put(ofRace('w2', '2106-3'));
      const refused: string[] = [
        'Patient?race=2106-3',
        'Patient?race:missing=true',
        'Patient?_sort=race',
        'Observation?subject:Patient.race=2106-3',
        'Group?_has:Patient:link:race=x'.replace('Group', 'Patient'),
        'Patient?_filter=race eq 2106-3',
      ];
      for (const search of refused) {
        const reply = await ask('GET', search);
        t.equal(reply.status, 503, search);
        t.match(says(reply), /"race" is still being built/);
        t.ok(reply.headers['Retry-After']);
      }
      t.match(advertised(await ask('GET', 'metadata'), 'Patient', 'race').documentation, /^Building/);
      engine.background.start();
      await built('Patient?race=2106-3');
      t.same((await ids('Patient?race=2106-3')).sort(), ['w1', 'w2']);
      t.same(await ids('Patient?race=urn:oid:2.16.840.1.113883.6.238|2054-5'), ['b1']);
      t.same(await ids('Patient?race:not=2106-3'), ['b1']);
      await put(ofRace('w3', '2106-3'));
      t.same((await ids('Patient?race=2106-3')).sort(), ['w1', 'w2', 'w3'], 'read your own writes');
      t.same(advertised(await ask('GET', 'metadata'), 'Patient', 'race'), {
        name: 'race',
        definition: `${URL}race`,
        type: 'token',
      });
      t.same(await problems(), []);
    },
  );

  await t.test('every type of parameter, chains, _has, includes and _sort by them', async (t) => {
    const { put, built, ids, problems, engine, ask } = await setting(t, adapter);
    const extension = (url: string, value: object): object => ({ url: `urn:x:${url}`, ...value });
    for (const [id, n] of [
      ['p1', 1],
      ['p2', 2],
      ['p3', 3],
    ] as const) {
      await put({
        resourceType: 'Patient',
        id,
        multipleBirthInteger: n,
        extension: [
          extension('since', { valueDate: `200${n}-05-01` }),
          extension('nick', { valueString: ['Zoë', 'Ada', 'Max'][n - 1] }),
          extension('height', {
            valueQuantity: { value: n * 100, unit: 'cm', system: 'http://unitsofmeasure.org', code: 'cm' },
          }),
          extension('home', { valueUri: `http://example.org/${id}` }),
          ...(n === 1 ? [] : [extension('friend', { valueReference: { reference: `Patient/p${n - 1}` } })]),
        ],
      } as { resourceType: string; id: string });
    }
    await put({
      resourceType: 'Observation',
      id: 'o1',
      status: 'final',
      code: { text: 'x' },
      subject: { reference: 'Patient/p2' },
    } as { resourceType: string; id: string });
    const of = (code: string, type: string, expression: string, more: object = {}) =>
      parameter({ code, type, base: ['Patient'], expression, ...more });
    const value = (url: string): string => `Patient.extension('urn:x:${url}').value`;
    for (const one of [
      of('birth-order', 'number', 'Patient.multipleBirth.as(integer)'),
      of('since', 'date', value('since')),
      of('nick', 'string', `${value('nick')}.as(string)`),
      of('height', 'quantity', value('height')),
      of('home', 'uri', value('home')),
      of('friend', 'reference', value('friend'), { target: ['Patient'] }),
      of('is-twin', 'token', 'Patient.multipleBirth.exists()'),
    ]) {
      await put(one);
    }
    engine.background.start();
    for (const code of ['birth-order', 'since', 'nick', 'height', 'home', 'friend', 'is-twin'])
      await built(`Patient?${code}:missing=true`);
    const cases: [search: string, expected: string[]][] = [
      ['Patient?birth-order=2', ['p2']],
      ['Patient?birth-order=gt1', ['p2', 'p3']],
      ['Patient?since=2001', ['p1']],
      ['Patient?since=ge2002-05-01', ['p2', 'p3']],
      ['Patient?nick=zoe', ['p1']],
      ['Patient?nick:exact=Zoë', ['p1']],
      ['Patient?nick:contains=a', ['p2', 'p3']],
      ['Patient?height=2|http://unitsofmeasure.org|m', ['p2']],
      ['Patient?height=lt250|http://unitsofmeasure.org|cm', ['p1', 'p2']],
      ['Patient?home=http://example.org/p3', ['p3']],
      ['Patient?home:below=http://example.org', ['p1', 'p2', 'p3']],
      ['Patient?friend=Patient/p1', ['p2']],
      ['Patient?friend=p2', ['p3']],
      ['Patient?friend:missing=true', ['p1']],
      ['Patient?is-twin=true', ['p1', 'p2', 'p3']],
      ['Patient?friend.nick=ada', ['p3']],
      ['Patient?friend.friend.birth-order=1', ['p3']],
      ['Patient?_has:Patient:friend:nick=max', ['p2']],
      ['Patient?_filter=nick sw "z" or birth-order eq 3', ['p1', 'p3']],
      ['Observation?subject:Patient.height=200|http://unitsofmeasure.org|cm', ['o1']],
      ['Observation?subject.friend.nick=zoe', ['o1']],
    ];
    for (const [search, expected] of cases) t.same((await ids(search)).sort(), expected, search);
    t.same(await ids('Patient?_sort=nick'), ['p2', 'p3', 'p1']);
    t.same(await ids('Patient?_sort=-since'), ['p3', 'p2', 'p1']);
    t.same(await ids('Patient?_sort=-height'), ['p3', 'p2', 'p1']);
    t.same(await ids('Patient?_sort=friend.nick'), ['p3', 'p2', 'p1'], 'who has no friend comes last');
    const included = async (search: string): Promise<string[]> =>
      (await ask('GET', search)).json.entry
        .filter((entry: { search: { mode: string } }) => entry.search.mode === 'include')
        .map((entry: { resource: { id: string } }) => entry.resource.id);
    t.same(await included('Patient?_id=p3&_include=Patient:friend'), ['p2']);
    t.same((await included('Patient?_id=p3&_include:iterate=Patient:friend')).sort(), ['p1', 'p2']);
    t.same(await included('Patient?_id=p1&_revinclude=Patient:friend'), ['p2']);
    const explained = await ask('GET', 'Patient/$explain?nick=zoe');
    t.match(explained.text, /Patient\.nick/, 'by its name');
    t.same(await problems(), []);
  });

  await t.test('several bases, and bases that stand for all types', async (t) => {
    const { ask, put, built, ids, problems, engine } = await setting(t, adapter);
    const note = (resourceType: string, id: string, more: object = {}) =>
      ({ resourceType, id, extension: [{ url: 'urn:x:note', valueString: `note of ${id}` }], ...more }) as {
        resourceType: string;
        id: string;
      };
    await put(note('Patient', 'a', { name: [{ family: 'Meier' }] }));
    await put(note('Practitioner', 'b', { name: [{ family: 'Meier' }] }));
    await put(note('Observation', 'c', { status: 'final', code: { text: 'x' } }));
    await put(
      parameter({
        code: 'any-family',
        type: 'string',
        base: ['Patient', 'Practitioner'],
        expression: 'Patient.name.family | Practitioner.name.family',
      }),
    );
    await put(
      parameter({
        code: 'note',
        type: 'string',
        base: ['DomainResource'],
        expression: "DomainResource.extension('urn:x:note').value",
      }),
    );
    await put(parameter({ code: 'lang', type: 'token', base: ['Resource'], expression: 'Resource.language' }));
    engine.background.start();
    for (const search of [
      'Patient?any-family:missing=true',
      'Practitioner?any-family:missing=true',
      'Observation?note=x',
      'Bundle?lang=x',
    ])
      await built(search);
    t.same(await ids('Patient?any-family=meier'), ['a']);
    t.same(await ids('Practitioner?any-family=meier'), ['b']);
    t.same(await ids('Observation?note=note of c'), ['c']);
    t.same((await ids('?_type=Patient,Practitioner&any-family=mei')).sort(), ['a', 'b']);
    t.equal((await ask('GET', 'Observation?any-family=meier')).status, 400);
    t.equal((await ask('GET', 'Bundle?note=x')).status, 400, 'a Bundle is no DomainResource');
    t.same(await problems(), []);
  });

  await t.test('changed, narrowed and deleted ones leave nothing behind', async (t) => {
    const { ask, put, built, ids, problems, engine } = await setting(t, adapter);
    engine.background.start();
    const patient = { resourceType: 'Patient', id: 'a', gender: 'male', name: [{ family: 'Meier', given: ['Eva'] }] };
    await put(patient);
    await put({ ...patient, resourceType: 'Practitioner', id: 'b' });
    const both = 'Patient.name.family | Practitioner.name.family';
    await put(parameter({ code: 'x', type: 'string', base: ['Patient'], expression: both }));
    await built('Patient?x=meier');
    await put(parameter({ code: 'x', type: 'string', base: ['Patient', 'Practitioner'], expression: both }));
    await built('Practitioner?x=meier');
    t.same(await ids('Practitioner?x=meier'), ['b'], 'a base that was added is indexed');
    t.same(await ids('Patient?x=meier'), ['a']);
    await put(parameter({ code: 'x', type: 'string', base: ['Practitioner'], expression: both }));
    t.equal((await ask('GET', 'Patient?x=meier')).status, 400);
    await put(parameter({ code: 'x', type: 'string', base: ['Practitioner'], expression: 'Practitioner.name.given' }));
    t.equal((await ask('GET', 'Practitioner?x=meier')).status, 503, 'the old entries are not taken for its own');
    await built('Practitioner?x=meier');
    t.same(await ids('Practitioner?x=meier'), []);
    t.same(await ids('Practitioner?x=eva'), ['b']);
    await ask('DELETE', 'SearchParameter/x');
    t.equal((await ask('GET', 'Practitioner?x=eva')).status, 400);
    await put(parameter({ code: 'x', type: 'string', base: ['Practitioner'], expression: 'Practitioner.name.given' }));
    t.equal((await ask('GET', 'Practitioner?x=eva')).status, 503, 'brought back it is built anew');
    await built('Practitioner?x=eva');
    await put(
      parameter({
        code: 'x',
        type: 'string',
        base: ['Practitioner'],
        expression: 'Practitioner.name.given',
        status: 'retired',
      }),
    );
    t.equal((await ask('GET', 'Practitioner?x=eva')).status, 400);
    const end = Date.now() + WAIT_MS;
    while ((await problems()).length > 0 && Date.now() < end) await pause(10);
    t.same(await problems(), []);
  });

  await t.test('drafts, and codes that R4 has, change nothing', async (t) => {
    const { ask, put, built, ids, engine } = await setting(t, adapter);
    engine.background.start();
    const before = (await ask('GET', 'metadata')).text;
    await put(
      parameter({ code: 'draft', type: 'string', base: ['Patient'], expression: 'Patient.nonsense', status: 'draft' }),
    );
    await put(parameter({ code: 'family', type: 'token', base: ['Patient'], expression: 'Patient.gender' }));
    await put({ ...parameter({ code: 'gender', type: 'token', base: ['Patient', 'Person'] }), id: 'g' });
    t.equal((await ask('GET', 'metadata')).text, before);
    await put({ resourceType: 'Patient', id: 'a', gender: 'male', name: [{ family: 'male' }] } as never);
    t.same(await ids('Patient?family=male'), ['a']);
    t.equal((await ask('GET', 'Patient?draft=x')).status, 400);
    // On Patient R4 has it, on Group it has not.
    await put(
      parameter({
        code: 'birthdate',
        type: 'token',
        base: ['Patient', 'Group'],
        expression: 'Patient.gender | Group.type',
      }),
    );
    await put({ resourceType: 'Group', id: 'g', type: 'person', actual: true } as never);
    await built('Group?birthdate=person');
    t.same(await ids('Group?birthdate=person'), ['g']);
    t.same(await ids('Patient?birthdate=2001'), []);
    // A canonical that looks like the specification's own makes no parameter of the specification.
    const posing = {
      ...parameter({ code: 'id2', type: 'token', base: ['Patient'], expression: 'Patient.identifier' }),
    };
    await put({ ...posing, url: 'http://hl7.org/fhir/SearchParameter/Patient-id2' } as typeof posing);
    await put({ resourceType: 'Patient', id: 'i', identifier: [{ value: '7' }] } as never);
    t.same(await ids('Patient?identifier=7'), ['i']);
    await built('Patient?id2=7');
    t.same(await ids('Patient?id2=7'), ['i']);
  });

  await t.test('422 naming the element for an active one that could not work', async (t) => {
    const { ask, put } = await setting(t, adapter);
    const cases: [title: string, members: Partial<Members>, element: string, message: RegExp][] = [
      ['no such element', { expression: 'Patient.nonsense' }, 'expression', /selects nothing in Patient/],
      ['no expression at all', { expression: 'Patient.name.' }, 'expression', /is not understood/],
      ['a function that is not there', { expression: 'Patient.name.ofNothing()' }, 'expression', /ofNothing/],
      ['none', { expression: undefined as never }, 'expression', /needs an expression/],
      ['a type that cannot be added', { type: 'composite' }, 'type', /number, date, string/],
      ['a name of a method', { type: 'constructor' }, 'type', /number, date, string/],
      ['a type that cannot hold it', { type: 'date' }, 'type', /HumanName.*cannot be searched as date/],
      ['a code with a colon', { code: 'a:b' }, 'code', /letters, digits/],
      ['a code that is too long', { code: 'a'.repeat(65) }, 'code', /64/],
      ['no base that exists', { base: ['Pation'] }, 'base', /None of the bases/],
      ['one base of two', { base: ['Patient', 'Observation'] }, 'expression', /selects nothing in Observation/],
      ['all bases', { base: ['Resource'], expression: 'Resource.nonsense' }, 'expression', /selects nothing/],
      [
        'a huge expression',
        { expression: Array(400).fill('Patient.name').join(' | ') },
        'expression',
        /is not understood/,
      ],
    ];
    for (const [title, members, element, message] of cases) {
      const sent = {
        ...parameter({ code: 'x', type: 'string', base: ['Patient'], expression: 'Patient.name' }),
        id: 'x',
        ...members,
      };
      const reply = await ask('PUT', 'SearchParameter/x', sent);
      t.equal(reply.status, 422, title);
      t.same(reply.json.issue[0].expression, [`SearchParameter.${element}`], title);
      t.match(says(reply), message, title);
    }
    await put(parameter({ code: 'x', type: 'string', base: ['Patient'], expression: 'Patient.name' }));
    const changed = await ask(
      'PUT',
      'SearchParameter/x',
      parameter({ code: 'x', type: 'string', base: ['Patient'], expression: 'Patient.nonsense' }),
    );
    t.equal(changed.status, 422, 'an update is looked at as well');
    const taken = await ask('PUT', 'SearchParameter/y', {
      ...parameter({ code: 'x', type: 'string', base: ['Patient'], expression: 'Patient.name.given' }),
      id: 'y',
      url: `${URL}y`,
    });
    t.equal(taken.status, 422);
    t.match(says(taken), /has a parameter "x" already: http:\/\/example.org\/SearchParameter\/x/);
    const inBundle = await ask('POST', '', {
      resourceType: 'Bundle',
      type: 'transaction',
      entry: [
        {
          resource: { ...race, expression: 'Patient.nonsense' },
          request: { method: 'PUT', url: 'SearchParameter/race' },
        },
      ],
    });
    t.equal(inBundle.status, 422);
    t.match(inBundle.json.issue[0].expression[0], /^Bundle\.entry\[0\]/);
  });

  await t.test('threat 23: a hostile expression holds nobody up for long', async (t) => {
    const { ask } = await setting(t, adapter);
    const deep = `Resource.${Array(150).fill('extension').join('.')}.value`;
    const wide = Array(40).fill('Resource.extension.extension.value.where($this.exists())').join(' | ');
    for (const expression of [deep, wide]) {
      const start = performance.now();
      const reply = await ask(
        'PUT',
        'SearchParameter/x',
        parameter({ code: 'x', type: 'string', base: ['Resource'], expression }),
      );
      t.ok(reply.status === 201 || reply.status === 422, `${reply.status} ${says(reply).slice(0, 200)}`);
      t.ok(performance.now() - start < 3_000, `${performance.now() - start} ms`);
    }
  });

  await t.test('created inside a transaction, conditionally, and rehearsed', async (t) => {
    const { ask, put, built, ids, problems, engine } = await setting(t, adapter);
    engine.background.start();
    await put(ofRace('old', '2106-3'));
    const { id: _, ...anonymous } = race;
    const dry = await ask('POST', 'SearchParameter', anonymous, { Prefer: 'dry-run' });
    t.equal(dry.status, 201);
    t.equal((await ask('GET', 'Patient?race=2106-3')).status, 400, 'a dry run adds nothing');
    const entry = [
      { resource: anonymous, request: { method: 'POST', url: 'SearchParameter', ifNoneExist: `url=${race.url}` } },
      { resource: ofRace('new', '2106-3'), request: { method: 'PUT', url: 'Patient/new' } },
    ];
    const sent = { resourceType: 'Bundle', type: 'transaction', entry };
    t.equal((await ask('POST', '', sent)).json.entry[0].response.status, '201 Created');
    await built('Patient?race=2106-3');
    t.same((await ids('Patient?race=2106-3')).sort(), ['new', 'old']);
    t.equal((await ask('POST', '', sent)).json.entry[0].response.status, '200 OK');
    const again = await ask('POST', 'SearchParameter', anonymous, { 'If-None-Exist': `url=${race.url}` });
    t.equal(again.status, 200);
    t.same((await ids('Patient?race=2106-3')).sort(), ['new', 'old'], 'it was not built anew');
    t.same(await problems(), []);
  });

  await t.test('the same canonical twice is one parameter, and comes to rest', async (t) => {
    const { put, built, ids, problems, engine, opened } = await setting(t, adapter);
    engine.background.start();
    await put({ resourceType: 'Patient', id: 'a', name: [{ family: 'Meier', given: ['Eva'] }] } as never);
    const same: Pick<Members, 'url' | 'type' | 'base'> = { url: `${URL}same`, type: 'string', base: ['Patient'] };
    await put({ ...parameter({ ...same, code: 'x', expression: 'Patient.name.family' }), id: 'one' });
    await put({ ...parameter({ ...same, code: 'y', expression: 'Patient.name.given' }), id: 'two' });
    await put({ ...parameter({ ...same, code: 'x', expression: 'Patient.name.given' }), id: 'three' });
    await built('Patient?x=eva');
    await built('Patient?y=eva');
    t.same(await ids('Patient?x=eva'), ['a'], 'the one written last');
    t.same(await ids('Patient?x=meier'), []);
    const jobs = async (): Promise<unknown> => (await opened.store.records.get('job', 'index'))?.version;
    const end = Date.now() + WAIT_MS;
    let before: unknown;
    do {
      before = await jobs();
      await pause(20 * LOOK_MS);
    } while (before !== (await jobs()) && Date.now() < end);
    t.equal(await jobs(), before, 'nothing is indexed again and again');
    t.same(await problems(), []);
  });

  await t.test('after a restart in the middle the job goes on where it was', async (t) => {
    const opened = await adapter.open();
    t.teardown(opened.close);
    const { store } = opened;
    const entry = Array.from({ length: 1_200 }, (_, at) => ({
      resource: ofRace(`p${at}`, at % 2 === 0 ? '2106-3' : '2054-5'),
      request: { method: 'PUT', url: `Patient/p${at}` },
    }));
    const scans: (string | undefined)[] = [];
    let mayGoOn = 1;
    const watched: Store = new Proxy(store, {
      get(target, name) {
        if (name === 'scan') {
          return async (options: Parameters<Store['scan']>[0]) => {
            scans.push(options.after);
            while (mayGoOn === 0) await pause(5);
            mayGoOn--;
            return target.scan(options);
          };
        }
        const value = target[name as keyof Store];
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const first = await engineOf(t, watched);
    const sent = await first.ask('POST', '', { resourceType: 'Bundle', type: 'transaction', entry });
    t.equal(sent.status, 200, sent.text.slice(0, 200));
    await first.put(race);
    first.engine.background.start();
    const end = Date.now() + WAIT_MS;
    while (scans.length < 2 && Date.now() < end) await pause(5);
    const stopped = first.engine.background.stop();
    await pause(20);
    mayGoOn = 1;
    await stopped;
    t.equal((await first.ask('GET', 'Patient?race=2106-3')).status, 503);
    scans.length = 0;
    mayGoOn = 1_000;
    const next = await engineOf(t, watched);
    t.equal((await next.ask('GET', 'Patient?race=2106-3')).status, 503);
    next.engine.background.start();
    await next.built('Patient?race=2106-3');
    t.ok(scans[0] !== undefined, 'not from the beginning');
    t.equal((await next.ask('GET', 'Patient?race=2106-3&_summary=count')).json.total, 600);
    t.same(await next.problems(), []);
    const third = await engineOf(t, store);
    t.equal((await third.ask('GET', 'Patient?race=2106-3&_summary=count')).json.total, 600, 'known from the start');
  });

  await t.test('what was prepared before a parameter was added is indexed by it', async (t) => {
    const opened = await adapter.open();
    t.teardown(opened.close);
    let gate: Promise<void> | undefined;
    const slow: Store = new Proxy(opened.store, {
      get(target, name) {
        if (name === 'readMany') {
          return async (...given: Parameters<Store['readMany']>) => {
            if (given[0].some(({ type }) => type === 'Organization')) await gate;
            return target.readMany(...given);
          };
        }
        const value = target[name as keyof Store];
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const { ask, engine } = await engineOn(slow, { lookMs: LOOK_MS, checkReferences: true });
    t.teardown(() => engine.background.stop());
    engine.background.start();
    await ask('PUT', 'Organization/o', { resourceType: 'Organization', id: 'o', name: 'o' });
    let open = (): void => {};
    gate = new Promise((resolve) => {
      open = resolve;
    });
    const managed = { managingOrganization: { reference: 'Organization/o' } };
    const writing = ask('PUT', 'Patient/late', ofRace('late', '2106-3', managed));
    await pause(10);
    await ask('PUT', 'SearchParameter/race', race);
    const end = Date.now() + WAIT_MS;
    while ((await ask('GET', 'Patient?race=x')).status !== 200 && Date.now() < end) await pause(5);
    open();
    t.equal((await writing).status, 201);
    t.same(matchIds(await ask('GET', 'Patient?race=2106-3')), ['late']);
  });

  if (adapter.name === 'MongoDB') {
    await t.test(
      'another process on the database learns of it, and nothing it wrote meanwhile is missed',
      async (t) => {
        const opened = await adapter.open();
        t.teardown(opened.close);
        const otherStore = await openMongoStore({ url: opened.url, clock: systemClock });
        t.teardown(() => otherStore.close());
        const one = await engineOf(t, opened.store);
        const other = await engineOf(t, otherStore);
        one.engine.background.start();
        other.engine.background.start();
        let written = 0;
        let isOver = false;
        const writing = Array.from({ length: 4 }, async () => {
          while (!isOver) {
            const id = `p${written++}`;
            await other.put(ofRace(id, '2106-3'));
          }
        });
        while (written < 30) await pause(5);
        await one.put(race);
        await other.built('Patient?race=2106-3');
        await one.built('Patient?race=2106-3');
        isOver = true;
        await Promise.all(writing);
        const count = 'Patient?race=2106-3&_summary=count';
        t.equal((await one.ask('GET', count)).json.total, written, `${written} were written`);
        t.equal((await other.ask('GET', count)).json.total, written);
        t.same(await one.problems(), []);
        await one.ask('DELETE', 'SearchParameter/race');
        const end = Date.now() + WAIT_MS;
        while ((await other.ask('GET', 'Patient?race=x')).status !== 400 && Date.now() < end) await pause(5);
        t.equal((await other.ask('GET', 'Patient?race=x')).status, 400, 'and that it is gone');
      },
    );

    await t.test('a process that does not look looks before it writes', async (t) => {
      const opened = await adapter.open();
      t.teardown(opened.close);
      const otherStore = await openMongoStore({ url: opened.url, clock: systemClock });
      t.teardown(() => otherStore.close());
      const one = await engineOf(t, opened.store);
      // As a command that loads files: without work in the background.
      const loader = await engineOf(t, otherStore);
      one.engine.background.start();
      await one.put(race);
      await one.built('Patient?race=x');
      await loader.put(ofRace('late', '2106-3'));
      t.same(await one.ids('Patient?race=2106-3'), ['late']);
      t.same(await one.problems(), []);
    });
    return;
  }
  // What decides is the same on both.
  await t.test('one more than the server works with is refused', async (t) => {
    const { ask, put, problems } = await setting(t, adapter);
    const most = limits.addedParametersMax;
    const at = (n: number, status = 'active') => ({
      resource: parameter({
        code: `c${n}`,
        type: 'token',
        base: ['Basic'],
        expression: `Basic.extension('urn:${n}').value`,
        status,
      }),
      request: { method: 'PUT', url: `SearchParameter/c${n}` },
    });
    const bundle = (entry: object[]): object => ({ resourceType: 'Bundle', type: 'transaction', entry });
    const all = await ask('POST', '', bundle(Array.from({ length: most }, (_, n) => at(n))));
    t.equal(all.status, 200, all.text.slice(0, 200));
    const more = await ask('POST', '', bundle([at(most)]));
    t.equal(more.status, 422);
    t.equal(more.json.issue[0].code, 'too-costly');
    t.match(says(more), new RegExp(`up to ${most} active SearchParameter`));
    t.equal((await ask('POST', '', bundle([at(most, 'draft'), at(0)]))).status, 200, 'drafts and those that are there');
    await ask('DELETE', 'SearchParameter/c7');
    await put(at(most).resource);
    await put({ resourceType: 'Basic', id: 'b', code: { text: 'x' } } as never);
    t.equal((await ask('GET', `Basic?c${most}=x`)).status, 503);
    t.same(await problems(), []);
  });
});

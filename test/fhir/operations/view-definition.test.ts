// ViewDefinition/$run: what views yield, how rows are written, which views and parameters are refused, and views that
// mean harm. The kinds of cases are those of the test suite of SQL on FHIR. https://sql-on-fhir.org/ig/
import { existsSync, readFileSync } from 'node:fs';
import t from 'tap';
import { limits } from '../../../src/base/limits.ts';
import { FhirError, operationOutcome } from '../../../src/base/outcome.ts';
import { anonymousCaller } from '../../../src/fhir/access/callers.ts';
import type { Caller } from '../../../src/fhir/interaction.ts';
import { textLiteral } from '../../../src/fhir/operations/view-definition/constants.ts';
import { analysePath } from '../../../src/fhir/operations/view-definition/plain-path.ts';
import { compileViewPath } from '../../../src/fhir/operations/view-definition/view-path.ts';
import { loadDefinitions } from '../../../src/model/definitions.ts';
import { compilePath, pathBudget } from '../../../src/model/path.ts';
import { callerWith } from '../../support/callers.ts';
import { readTgz, sharedData } from '../../support/corpora.ts';
import { baseUrl, engineOn, type TestEngine } from '../../support/engine.ts';
import { onBothStores, sqlite, type Test } from '../../support/stores.ts';

const definitions = loadDefinitions();
const pathScope = { definitions, baseUrl, constants: new Map() };

interface Reply {
  status: number;
  headers: Record<string, string>;
  text: string;
}

interface Ask {
  path?: string;
  headers?: Record<string, string>;
  caller?: Caller;
  signal?: AbortSignal;
  method?: 'GET' | 'POST';
}

/** The answer as text: it need not be JSON. */
async function ask({ engine }: TestEngine, body: unknown, options: Ask = {}): Promise<Reply> {
  const { path = 'ViewDefinition/$run', headers = {}, caller = anonymousCaller, method = 'POST' } = options;
  const [resourcePath = '', query = ''] = path.split('?');
  const request = {
    method,
    path: resourcePath,
    query,
    header: (name: string) => headers[name],
    body: body === undefined ? Buffer.alloc(0) : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
    signal: options.signal ?? new AbortController().signal,
  };
  try {
    const answer = await engine.perform(request, caller);
    const pieces = answer.body instanceof Uint8Array ? [answer.body] : [...(answer.body ?? [])];
    return { status: answer.status, headers: answer.headers, text: Buffer.concat(pieces).toString('utf8') };
  } catch (error) {
    if (!(error instanceof FhirError)) throw error;
    return { status: error.status, headers: {}, text: JSON.stringify(operationOutcome(error.issues)) };
  }
}

type Parameter = Record<string, unknown> & { name: string };

const parametersOf = (...parameter: Parameter[]): object => ({ resourceType: 'Parameters', parameter });

const viewOf = (view: object): Parameter => ({
  name: 'viewResource',
  resource: { resourceType: 'ViewDefinition', ...view },
});

const given = (resources: readonly object[]): Parameter[] =>
  resources.map((resource) => ({ name: 'resource', resource }));

const asJson: Parameter = { name: '_format', valueCode: 'json' };

/** `c0`, `c1`, … */
const columns = (...paths: string[]): object[] => [{ column: paths.map((path, at) => ({ name: `c${at}`, path })) }];

const idColumn = { column: [{ name: 'id', path: 'id', type: 'id' }] };

/** A file of test/cases/view-definition/. */
function casesOf<Case>(name: string): { resources: Record<string, object[]>; cases: Case[] } {
  return JSON.parse(readFileSync(new URL(`../../cases/view-definition/${name}.json`, import.meta.url), 'utf8'));
}

const { resources: stock, cases: viewCases } = casesOf<{
  title: string;
  view: object;
  on: string | object[];
  rows: object[];
}>('views');
const { people = [], observations = [] } = stock;

// ---- what views yield ----

t.setTimeout(240_000);

t.test('what views yield', async (t) => {
  const opened = await sqlite.open();
  t.teardown(() => opened.close());
  const engine = await engineOn(opened.store);
  for (const { title, view, on, rows } of viewCases) {
    const resources = typeof on === 'string' ? (stock[on] ?? []) : on;
    const { status, text } = await ask(engine, parametersOf(viewOf(view), ...given(resources), asJson));
    t.equal(status, 200, `${title}: ${text.slice(0, 300)}`);
    const found: unknown = JSON.parse(text);
    t.same(found, rows, title);
    t.equal(JSON.stringify(found), JSON.stringify(rows), `${title}: in the order of the columns`);
  }
});

t.test('constants of every type', async (t) => {
  const opened = await sqlite.open();
  t.teardown(() => opened.close());
  const engine = await engineOn(opened.store);
  const { cases } = casesOf<{ constant: object; path: string; on: object; isEqual: boolean }>('constants');
  for (const { constant, path, on, isEqual } of cases) {
    const view = {
      resource: 'Patient',
      constant: [{ name: 'c', ...constant }],
      select: columns(`${path} = %c`, `${path}.where($this = %\`c\`).exists()`, "'%c'"),
    };
    const resources = [{ resourceType: 'Patient', ...on }, { resourceType: 'Patient' }];
    const { text } = await ask(engine, parametersOf(viewOf(view), ...given(resources), asJson));
    const rows = [
      { c0: isEqual, c1: isEqual, c2: '%c' },
      { c0: null, c1: false, c2: '%c' },
    ];
    t.same(JSON.parse(text), rows, JSON.stringify(constant));
  }
  const view = {
    resource: 'Patient',
    constant: [
      { name: 'use', valueCode: 'usual' },
      { name: 'at', valueInteger: 0 },
    ],
    where: [{ path: 'name.where(use = %use).exists()' }],
    select: [
      {
        forEach: 'name.where(use = %use)',
        column: [
          { name: 'f', path: 'family' },
          { name: 'g', path: '%resource.name[%at].family' },
        ],
      },
    ],
  };
  const { text } = await ask(engine, parametersOf(viewOf(view), ...given(people), asJson));
  t.same(
    JSON.parse(text),
    [
      { f: 'Birch', g: 'Ash' },
      { f: 'Fir', g: 'Fir' },
    ],
    'in where, forEach and an index',
  );
});

// ---- views that are refused ----

interface Refusal {
  title: string;
  view: object;
  place: string;
  says: string;
}

t.test('a view that is wrong is refused with the place', async (t) => {
  const opened = await sqlite.open();
  t.teardown(() => opened.close());
  const engine = await engineOn(opened.store);
  for (const { title, view, place, says } of casesOf<Refusal>('refused').cases) {
    const { status, text } = await ask(engine, parametersOf(viewOf(view)));
    t.equal(status, 422, title);
    const { issue } = JSON.parse(text) as { issue: { expression: string[]; diagnostics: string }[] };
    const found = issue.find(({ expression }) => expression[0] === place);
    t.match(found?.diagnostics, new RegExp(says), `${title}: ${text}`);
  }
  const many = { resource: 'Patient', select: Array.from({ length: 60 }, () => ({ column: [{ name: '1' }] })) };
  const { text } = await ask(engine, parametersOf(viewOf(many)));
  t.equal(JSON.parse(text).issue.length, 50, 'so many problems are told at once');
});

t.test('a view that does not fit the content says where, and for which resource', async (t) => {
  const opened = await sqlite.open();
  t.teardown(() => opened.close());
  const engine = await engineOn(opened.store);
  for (const { title, view, place, says } of casesOf<Refusal>('misfits').cases) {
    const { status, text } = await ask(engine, parametersOf(viewOf(view), ...given(people)));
    t.equal(status, 422, title);
    const [issue] = (JSON.parse(text) as { issue: { expression: string[]; diagnostics: string }[] }).issue;
    t.equal(issue?.expression[0], place, title);
    t.match(issue?.diagnostics, new RegExp(says), title);
    t.notMatch(text, /Ash|Birch/, 'no content is told');
  }
});

// ---- plain paths ----

/** Paths that lead to the values of a resource, as somebody would write them, each with one of the values. */
function pathsIn(value: unknown, path: string, found: Map<string, unknown>): void {
  if (Array.isArray(value)) for (const item of value) pathsIn(item, path, found);
  else if (typeof value === 'object' && value !== null) {
    for (const [name, member] of Object.entries(value)) {
      if (name === 'resourceType' || name === 'contained' || name === 'div' || name.startsWith('_')) continue;
      pathsIn(member, path === '' ? stepOf(name) : `${path}.${stepOf(name)}`, found);
    }
  } else found.set(path, value);
}

/** `value.ofType(Quantity)` for `valueQuantity`. */
function stepOf(name: string): string {
  const choice = /^(value|effective|onset|deceased|occurrence|medication|performed)([A-Z]\w*)$/.exec(name);
  if (choice === null) return name;
  const [, own = '', type = ''] = choice;
  const isComplex = definitions.type(type) !== undefined;
  return `${own}.ofType(${isComplex ? type : type.charAt(0).toLowerCase() + type.slice(1)})`;
}

/** Expressions over the values of a resource. */
function expressionsOver(resource: object): string[] {
  const leaves = new Map<string, unknown>();
  pathsIn(resource, '', leaves);
  return [...leaves].flatMap(([leaf, value]) => {
    const parent = leaf.slice(0, Math.max(leaf.lastIndexOf('.'), 0));
    const last = leaf.slice(parent === '' ? 0 : parent.length + 1);
    const equals = `${last} = ${textLiteral(value)}`;
    if (parent === '') return [leaf, equals];
    return [
      leaf,
      `${leaf} != 'x'`,
      `${parent}.first().${last}`,
      `${parent}.exists()`,
      `${parent}.where(${equals}).${last}`,
    ];
  });
}

const archive = sharedData('corpora/r4-examples.tgz');
const skip = existsSync(archive) ? false : 'the official examples are not at hand';

t.test('plain paths yield what the FHIRPath engine yields', { skip }, async (t) => {
  let plain = 0;
  for (const [name, bytes] of readTgz(archive)) {
    if (!name.endsWith('.json') || bytes.length > 30_000) continue;
    const resource = JSON.parse(bytes.toString('utf8')) as { resourceType: string };
    const { resourceType: type } = resource;
    if (!definitions.isResourceType(type)) continue;
    const texts = expressionsOver(resource).filter(
      (text) => text.length < 500 && analysePath(definitions, type, text).kind === 'plain',
    );
    plain += texts.length;
    pathBudget(() => {
      for (const text of texts) {
        const path = compileViewPath(text, new Set([type]), pathScope);
        const values = path.evaluate({ type, value: resource }, { resource, rowIndex: 0 }).map(({ value }) => value);
        const wanted = compilePath(text)(resource);
        if (JSON.stringify(values) !== JSON.stringify(wanted)) t.same(values, wanted, `${name}: ${text}`);
      }
    }, 60_000);
  }
  t.ok(plain > 30_000, `${plain} plain expressions`);
});

t.test('criteria of plain paths select what the FHIRPath engine selects', async (t) => {
  const texts = [
    "name.where(use = 'official').family",
    "name.where(use = 'official' and family = 'Ash').given",
    "name.where(use = 'old' or family = 'Fir').family",
    "name.where(given = 'Ann').family",
    'name.where(period.exists()).family',
    "contact.where(telecom.exists(system = 'sms')).name.family",
    "contact.exists(name.where(family = 'Elm').exists())",
    "telecom.where(system != 'phone').value",
    "gender = 'female' and name.exists()",
    "gender = 'male' or photo.empty()",
    "extension('urn:race').extension('omb').value.ofType(Coding).display",
    "extension('urn:sex').value.ofType(string)",
    'name[1].family',
    'contact.telecom[2].value',
    'contact.first().telecom.value',
    'Patient.contact.name.family',
    'Person.name.family',
    'ofType(Patient).id',
    'ofType(Observation).id',
    'deceased.ofType(boolean)',
  ];
  for (const text of texts) {
    t.equal(analysePath(definitions, 'Patient', text).kind, 'plain', text);
    const path = compileViewPath(text, new Set(['Patient']), pathScope);
    for (const resource of people) {
      const found = path.evaluate({ type: 'Patient', value: resource }, { resource, rowIndex: 0 });
      t.same(
        found.map(({ value }) => value),
        compilePath(text)(resource),
        text,
      );
    }
  }
});

// ---- how rows are written ----

const odd = {
  resource: 'Patient',
  select: [
    {
      column: [
        { name: 'id', path: 'getResourceKey()' },
        { name: 'text', path: 'name.text' },
        { name: 'given', path: 'name.given', collection: true },
        { name: 'amount', path: "extension('d').value.ofType(decimal)" },
        { name: 'quantity', path: "extension('q').value.ofType(Quantity)", type: 'Quantity' },
        { name: 'active', path: 'active' },
      ],
    },
  ],
};

/** As text: JSON.stringify would not write 1.50. */
const oddPeople = [
  String.raw`{"resourceType":"Patient","id":"a","active":true,"name":[{"text":"say \"hi\",\r\nthen =1+1","given":["x","y, z"]}],"extension":[{"url":"d","valueDecimal":1.50},{"url":"q","valueQuantity":{"value":100.00,"unit":"m,g"}}]}`,
  String.raw`{"resourceType":"Patient","id":"b","name":[{"text":" \u00e9 "}],"extension":[{"url":"d","valueDecimal":1e3}]}`,
  `{"resourceType":"Patient","id":"c","extension":[{"url":"d","valueDecimal":0.1234567890123456789}]}`,
];
const oddBody = (...more: object[]): string => {
  const text = JSON.stringify(parametersOf(viewOf(odd), ...(more as Parameter[])));
  const resources = oddPeople.map((one) => `{"name":"resource","resource":${one}}`).join(',');
  return `${text.slice(0, -2)},${resources}]}`;
};

t.test('how rows are written', async (t) => {
  const opened = await sqlite.open();
  t.teardown(() => opened.close());
  const engine = await engineOn(opened.store);
  const csv = [
    'id,text,given,amount,quantity,active',
    'a,"say ""hi"",\r\nthen =1+1","[""x"",""y, z""]",1.50,"{""value"":100.00,""unit"":""m,g""}",true',
    'b, é ,[],1e3,,',
    'c,,[],0.1234567890123456789,,',
    '',
  ];
  const lines = [
    '{"id":"a","text":"say \\"hi\\",\\r\\nthen =1+1","given":["x","y, z"],"amount":1.50,"quantity":{"value":100.00,"unit":"m,g"},"active":true}',
    '{"id":"b","text":" é ","given":[],"amount":1e3,"quantity":null,"active":null}',
    '{"id":"c","text":null,"given":[],"amount":0.1234567890123456789,"quantity":null,"active":null}',
  ];

  t.test('CSV as RFC 4180 has it, with the names of the columns unless header is false', async (t) => {
    const reply = await ask(engine, oddBody({ name: '_format', valueCode: 'csv' }));
    t.equal(reply.headers['Content-Type'], 'text/csv; charset=utf-8; header=present');
    t.equal(reply.text, csv.join('\r\n'));
    const bare = await ask(
      engine,
      oddBody({ name: '_format', valueCode: 'text/csv' }, { name: 'header', valueBoolean: false }),
    );
    t.equal(bare.headers['Content-Type'], 'text/csv; charset=utf-8; header=absent');
    t.equal(bare.text, csv.slice(1).join('\r\n'));
    const single = { resource: 'Patient', select: columns('gender') };
    const empty = await ask(
      engine,
      parametersOf(viewOf(single), ...given(people.slice(2)), { name: '_format', valueCode: 'csv' }),
    );
    t.equal(empty.text, 'c0\r\n""\r\n', 'a record is not an empty line');
  });

  t.test('lines of JSON unless something else is asked for', async (t) => {
    for (const more of [[], [{ name: '_format', valueCode: 'ndjson' }]]) {
      const reply = await ask(engine, oddBody(...more));
      t.equal(reply.headers['Content-Type'], 'application/x-ndjson');
      t.equal(reply.text, `${lines.join('\n')}\n`);
    }
  });

  t.test('one JSON array', async (t) => {
    const reply = await ask(engine, oddBody(asJson));
    t.equal(reply.headers['Content-Type'], 'application/json');
    t.equal(reply.text, `[\n${lines.join(',\n')}\n]\n`);
    const none = await ask(engine, parametersOf(viewOf(odd), ...given(observations), asJson));
    t.same(JSON.parse(none.text), []);
  });

  t.test('Accept decides where _format does not', async (t) => {
    const types: Record<string, string> = {
      'text/csv': 'text/csv; charset=utf-8; header=present',
      'application/json': 'application/json',
      'application/fhir+json;q=0.1, text/csv': 'text/csv; charset=utf-8; header=present',
      '*/*': 'application/x-ndjson',
    };
    for (const [accept, type] of Object.entries(types)) {
      t.equal((await ask(engine, oddBody(), { headers: { accept } })).headers['Content-Type'], type, accept);
    }
    const both = await ask(engine, oddBody(asJson), { headers: { accept: 'text/csv' } });
    t.equal(both.headers['Content-Type'], 'application/json');
    const inQuery = await ask(engine, oddBody(), { path: 'ViewDefinition/$run?_format=csv' });
    t.equal(inQuery.text, csv.join('\r\n'));
    const refused = await ask(engine, oddBody({ name: '_format', valueCode: 'parquet' }));
    t.equal(refused.status, 400);
    t.match(refused.text, /_format is not supported: accepted are ndjson, csv and json/);
  });

  t.test('a client that takes FHIR alone gets a Binary', async (t) => {
    const reply = await ask(engine, oddBody({ name: '_format', valueCode: 'csv' }), {
      headers: { accept: 'application/fhir+json' },
    });
    const binary = JSON.parse(reply.text) as { resourceType: string; contentType: string; data: string };
    t.equal(binary.resourceType, 'Binary');
    t.equal(binary.contentType, 'text/csv; charset=utf-8; header=present');
    t.equal(Buffer.from(binary.data, 'base64').toString('utf8'), csv.join('\r\n'));
    const none = await ask(engine, parametersOf(viewOf(odd), ...given(observations)), {
      headers: { accept: 'application/fhir+json' },
    });
    t.same(JSON.parse(none.text), { resourceType: 'Binary', contentType: 'application/x-ndjson' });
  });

  t.test('so does an entry of a batch', async (t) => {
    const entry = [
      { request: { method: 'POST', url: 'ViewDefinition/$run' }, resource: JSON.parse(oddBody()) as object },
    ];
    const reply = await ask(engine, { resourceType: 'Bundle', type: 'batch', entry }, { path: '' });
    t.match(JSON.parse(reply.text), {
      entry: [{ resource: { resourceType: 'Binary' }, response: { status: '200 OK' } }],
    });
  });
});

// ---- parameters ----

t.test('parameters', async (t) => {
  const opened = await sqlite.open();
  t.teardown(() => opened.close());
  const engine = await engineOn(opened.store);
  const view = viewOf({ resource: 'Patient', select: [idColumn] });

  t.test('both names, at the type and at the base', async (t) => {
    for (const path of ['ViewDefinition/$run', 'ViewDefinition/$viewdefinition-run', '$viewdefinition-run']) {
      const reply = await ask(engine, parametersOf(view, ...given(people), asJson), { path });
      t.same(JSON.parse(reply.text), [{ id: 'ann' }, { id: 'bob' }, { id: 'cid' }], path);
    }
  });

  t.test('nothing else is offered on ViewDefinition', async (t) => {
    for (const path of [
      'ViewDefinition',
      'ViewDefinition/1',
      'ViewDefinition/1/$run',
      'ViewDefinition/$meta',
      '$run',
      'Foo/$run',
    ]) {
      t.equal((await ask(engine, parametersOf(view), { path })).status, 404, path);
    }
  });

  t.test('the view may be the body, with the rest in the query', async (t) => {
    t.equal((await ask(engine, view.resource, { path: 'ViewDefinition/$run?_format=csv&_limit=1' })).text, 'id\r\n');
    const uri = 'https://sql-on-fhir.org/ig/StructureDefinition/ViewDefinition';
    const published = { ...(view.resource as object), resourceType: uri, resourceDefinition: uri, status: 'draft' };
    t.equal((await ask(engine, published)).status, 200);
    const wrong = await ask(engine, { resourceType: 'ViewDefinition', resource: 'Patient' });
    t.match(wrong.text, /"ViewDefinition\.select"/);
  });

  t.test('a Bundle stands for the resources in it', async (t) => {
    const bundle = {
      resourceType: 'Bundle',
      type: 'collection',
      entry: [{ resource: people[0] }, {}, { resource: { resourceType: 'Bundle', entry: [{ resource: people[1] }] } }],
    };
    const reply = await ask(engine, parametersOf(view, ...given([bundle, ...people.slice(2)]), asJson));
    t.same(JSON.parse(reply.text), [{ id: 'ann' }, { id: 'cid' }]);
  });

  t.test('_limit counts rows', async (t) => {
    const names = viewOf({
      resource: 'Patient',
      select: [{ forEach: 'name', column: [{ name: 'f', path: 'family' }] }],
    });
    const reply = await ask(engine, parametersOf(names, ...given(people), asJson, { name: '_limit', valueInteger: 2 }));
    t.same(JSON.parse(reply.text), [{ f: 'Ash' }, { f: 'Birch' }]);
  });

  const resource = { name: 'resource', resource: people[0] };
  const wrong: readonly (readonly [title: string, parameters: readonly Parameter[], status: number, says: RegExp])[] = [
    ['no view', [], 400, /viewResource of a Parameters resource/],
    ['two views', [view, view], 400, /one viewResource/],
    ['a view that is none', [{ name: 'viewResource', resource: people[0] }], 400, /it is a ViewDefinition/],
    [
      'viewReference',
      [{ name: 'viewReference', valueReference: { reference: 'ViewDefinition/1' } }],
      400,
      /viewReference is not supported/,
    ],
    [
      'viewCanonical',
      [{ name: 'viewCanonical', valueCanonical: 'http://a.example' }],
      400,
      /viewCanonical is not supported/,
    ],
    ['source', [view, { name: 'source', valueString: 's3://x' }], 400, /source is not supported/],
    ['an unknown parameter', [view, { name: 'limit', valueInteger: 1 }], 400, /limit\\" is not a parameter/],
    ['a limit of nothing', [view, { name: '_limit', valueInteger: 0 }], 400, /1 or more/],
    ['a header that is neither', [view, { name: 'header', valueString: 'yes' }], 400, /true or false/],
    ['a date for an instant', [view, { name: '_since', valueDate: '2020-01-01' }], 400, /an instant/],
    [
      'a patient that is none',
      [view, { name: 'patient', valueReference: { reference: 'Group/1' } }],
      400,
      /a reference to a Patient/,
    ],
    ['a patient without a reference', [view, { name: 'patient', valueReference: {} }], 400, /a reference to a Patient/],
    [
      'a patient that is not there',
      [view, { name: 'patient', valueReference: { reference: 'Patient/nobody' } }],
      400,
      /no Patient\/nobody/,
    ],
    [
      'a group that is not there',
      [view, { name: 'group', valueReference: { reference: 'Group/none' } }],
      400,
      /no Group\/none/,
    ],
    [
      'a filter beside resources',
      [view, resource, { name: '_since', valueInstant: '2020-01-01T00:00:00Z' }],
      400,
      /among stored resources/,
    ],
    ['a resource that is none', [view, { name: 'resource', valueString: 'x' }], 400, /resource\[0\]/],
  ];
  t.test('what is wrong is named', async (t) => {
    for (const [title, parameters, status, says] of wrong) {
      const reply = await ask(engine, parametersOf(...parameters));
      t.equal(reply.status, status, title);
      t.match(reply.text, says, title);
    }
    t.match((await ask(engine, undefined, { method: 'GET' })).text, /by POST/);
  });
});

// ---- stored resources ----

t.test('stored resources', async (t) => {
  await onBothStores(t, async (t: Test, adapter) => {
    const opened = await adapter.open();
    t.teardown(() => opened.close());
    const engine = await engineOn(opened.store);
    const entry: object[] = [];
    for (const id of ['p1', 'p2', 'p3']) entry.push({ resource: { resourceType: 'Patient', id, birthDate: '1980' } });
    for (let at = 0; at < 450; at++) {
      const subject = { reference: `Patient/p${(at % 3) + 1}` };
      const performer = at === 0 ? [{ reference: 'Patient/p2' }] : undefined;
      const code = { text: 'c' };
      entry.push({
        resource: { resourceType: 'Observation', id: `o${at}`, status: 'final', code, subject, performer },
      });
    }
    const member = ['p1', 'p3'].map((id) => ({ entity: { reference: `Patient/${id}` } }));
    const former = { entity: { reference: 'Patient/p2' }, inactive: true };
    entry.push({
      resource: { resourceType: 'Group', id: 'g', type: 'person', actual: true, member: [...member, former] },
    });
    const nested = [{ entity: { reference: 'Group/g' } }];
    entry.push({ resource: { resourceType: 'Group', id: 'gg', type: 'person', actual: true, member: nested } });
    for (const one of entry as { resource: { resourceType: string; id: string }; request?: object }[]) {
      one.request = { method: 'PUT', url: `${one.resource.resourceType}/${one.resource.id}` };
    }
    t.equal((await ask(engine, { resourceType: 'Bundle', type: 'transaction', entry }, { path: '' })).status, 200);
    const exact =
      '{"resourceType":"Observation","id":"exact","status":"final","code":{"text":"c"},"valueQuantity":{"value":7.500}}';
    await engine.ask('PUT', 'Observation/exact', exact);

    const view = viewOf({
      resource: 'Observation',
      select: columns('getResourceKey()', 'subject.getReferenceKey(Patient)', 'value.ofType(Quantity).value'),
    });
    const rowsOf = async (parameters: Parameter[], options: Ask = {}): Promise<string[]> => {
      const reply = await ask(
        engine,
        parametersOf(view, ...parameters, { name: '_format', valueCode: 'csv' }),
        options,
      );
      t.equal(reply.status, 200, reply.text.slice(0, 200));
      return reply.text.split('\r\n').slice(1, -1);
    };
    const of = (id: string): Parameter => ({ name: 'patient', valueReference: { reference: `Patient/${id}` } });

    t.test('all of them, page after page, each once', async (t) => {
      const rows = await rowsOf([]);
      t.equal(rows.length, 451);
      t.equal(new Set(rows).size, 451);
      t.ok(rows.includes('exact,,7.500'), 'decimals as they were written');
    });
    t.test('patient: those in the compartment', async (t) => {
      const rows = await rowsOf([of('p2')]);
      t.equal(rows.length, 151, 'as subject or performer');
      t.equal((await rowsOf([of('p1'), of('p2')])).length, 300, 'of either, each once');
      const url = { name: 'patient', valueReference: { reference: `${baseUrl}/Patient/p3` } };
      t.equal((await rowsOf([url])).length, 150);
      const inQuery = { path: 'ViewDefinition/$run?patient=Patient/p3' };
      t.equal((await rowsOf([], inQuery)).length, 150);
    });
    t.test('group: those of its members now', async (t) => {
      const group = { name: 'group', valueReference: { reference: 'Group/g' } };
      const rows = await rowsOf([group]);
      t.equal(rows.length, 300);
      t.notOk(rows.some((row) => row.includes(',p2,')));
      t.equal((await rowsOf([group, of('p2'), of('p3')])).length, 150, 'and of these patients');
      const groups = await ask(
        engine,
        parametersOf(view, { name: 'group', valueReference: { reference: 'Group/gg' } }),
      );
      t.match(groups.text, /group of groups is not supported/);
      const organizations = viewOf({ resource: 'Organization', select: [idColumn] });
      t.match((await ask(engine, parametersOf(organizations, of('p1')))).text, /Organization is in none/);
    });
    t.test('_since: those changed after it', async (t) => {
      const body = (
        await engine.ask('PUT', 'Observation/o5', {
          resourceType: 'Observation',
          id: 'o5',
          status: 'amended',
          code: { text: 'c' },
        })
      ).json;
      const since = (ms: number): Parameter => ({ name: '_since', valueInstant: new Date(ms).toISOString() });
      const changed = Date.parse(body.meta.lastUpdated);
      t.same(await rowsOf([since(changed - 1)]), ['o5,,']);
      t.same(await rowsOf([since(changed)]), []);
    });
    t.test('_limit: the first rows', async (t) => {
      t.equal((await rowsOf([{ name: '_limit', valueInteger: 210 }])).length, 210);
    });
    t.test('nothing that the caller may not see', async (t) => {
      const caller = callerWith({
        of: (type) => (type === 'Observation' ? { kind: 'ids', ids: ['o1', 'o2'] } : { kind: 'none' }),
      });
      t.same((await rowsOf([], { caller })).sort(), ['o1,p2,', 'o2,p3,']);
      t.match((await ask(engine, parametersOf(view, of('p1')), { caller })).text, /no Patient\/p1/);
    });
    t.test('it ends when the request does', async (t) => {
      const { status, text } = await ask(engine, parametersOf(view), { signal: AbortSignal.abort() });
      t.equal(status, 408);
      t.match(text, /given up/);
    });
  });
});

// ---- views that mean harm ----

t.test('views that mean harm', async (t) => {
  const opened = await sqlite.open();
  t.teardown(() => opened.close());
  const engine = await engineOn(opened.store);
  const names = Array.from({ length: 400 }, (_, at) => ({ family: `f${at}` }));
  const crowd = { resourceType: 'Patient', id: 'crowd', name: names };
  const refuse = async (
    t: { match: Test['match'] },
    view: object,
    on: readonly object[],
    says: RegExp,
  ): Promise<void> => {
    const { status, text } = await ask(engine, parametersOf(viewOf({ resource: 'Patient', ...view }), ...given(on)));
    t.match(`${status} ${text}`, says);
  };

  t.test('rows that multiply', async (t) => {
    const beside = (count: number): object[] =>
      Array.from({ length: count }, (_, at) => ({ forEach: 'name', column: [{ name: `c${at}`, path: 'family' }] }));
    await refuse(t, { select: beside(2) }, [crowd], /^422 .*Patient\/crowd: the view makes too many rows/);
    await refuse(t, { select: beside(8) }, [crowd], /^422 .*too many rows/);
    const wide = {
      forEach: 'name',
      column: Array.from({ length: 100 }, (_, at) => ({ name: `w${at}`, path: 'family' })),
    };
    await refuse(t, { select: [wide, { forEach: 'name' }] }, [crowd], /^422 .*too many rows/);
  });
  t.test('more rows than one answer holds', async (t) => {
    const view = {
      select: [{ forEach: 'name', column: [{ name: 'f', path: 'family' }] }, { forEach: 'name.take(100)' }],
    };
    const three = [crowd, crowd, crowd];
    await refuse(t, view, three, /^422 .*more than 100000 rows.*_limit/);
    const reply = await ask(
      engine,
      parametersOf(viewOf({ resource: 'Patient', ...view }), ...given(three), { name: '_limit', valueInteger: 90_000 }),
    );
    t.equal(reply.text.split('\n').length, 90_001);
  });
  t.test('selections within selections, and many beside each other', async (t) => {
    let deep: object = idColumn;
    for (let at = 0; at < 28; at++) deep = { select: [deep] };
    const { text } = await ask(
      engine,
      parametersOf(viewOf({ resource: 'Patient', select: [deep] }), ...given(people), asJson),
    );
    t.equal(JSON.parse(text).length, 3);
    for (let at = 0; at < 40; at++) deep = { select: [deep] };
    t.match(
      (await ask(engine, parametersOf(viewOf({ resource: 'Patient', select: [deep] })))).text,
      /64 levels of nesting/,
    );
    const many = Array.from({ length: limits.viewSelectionsMax + 1 }, () => idColumn);
    await refuse(t, { select: [{ unionAll: many }] }, people, /^422 .*at most 1000 selections/);
    const wide = Array.from({ length: limits.viewColumnsMax + 1 }, (_, at) => ({ name: `c${at}`, path: 'id' }));
    await refuse(t, { select: [{ column: wide }] }, people, /^422 .*at most 1600 columns/);
    const huge = Array.from({ length: 900 }, () => ({ forEach: 'name', ...idColumn }));
    await refuse(
      t,
      { select: [{ unionAll: huge }] },
      [{ resourceType: 'Patient', name: names }],
      /^422 .*(?:visits|makes)/,
    );
  });
  t.test('expressions without end', async (t) => {
    await refuse(t, { select: columns('('.repeat(3000)) }, people, /^422 .*invalid/);
    await refuse(
      t,
      { select: columns(`${'name.where('.repeat(300)}true${')'.repeat(300)}.exists()`) },
      people,
      /^(?:200|422) /,
    );
    await refuse(
      t,
      { select: columns(...Array.from({ length: 11 }, () => `'${'x'.repeat(3990)}'`)) },
      people,
      /^422 .*40000 characters/,
    );
    await refuse(t, { select: columns(`/*${'/*'.repeat(1500)}`) }, people, /^422 /);
    await refuse(
      t,
      { constant: [{ name: 'c', valueString: 'x'.repeat(3000) }], select: columns('%c & %c') },
      people,
      /^422 .*4000 characters/,
    );
  });
  t.test('repeats that go round', async (t) => {
    await refuse(t, { select: [{ repeat: ['$this', '$this'], ...idColumn }] }, people, /^422 .*lead downwards/);
    await refuse(
      t,
      { select: [{ repeat: ['%resource'], column: [{ name: 'i', path: '%rowIndex' }] }] },
      people,
      /^422 .*lead downwards/,
    );
    await refuse(
      t,
      { select: [{ repeat: ['%resource.name', 'name'], column: [{ name: 'i', path: '%rowIndex' }] }] },
      [crowd],
      /^422 .*(?:downwards|repeats more)/,
    );
  });
  t.test('expressions that never come to an end are stopped', async (t) => {
    const started = performance.now();
    const bomb = { resourceType: 'Patient', id: 'bomb', name: [{ text: `${'a'.repeat(40)}!` }] };
    await refuse(t, { select: columns("name.text.matches('^(a+)+$')") }, [bomb], /^(?:200|422) /);
    await refuse(t, { select: columns("name.text.matches('^(a|aa)+(?=x)$')") }, [bomb], /^422 .*take more than/);
    await refuse(
      t,
      {
        where: [
          {
            path: `name.select(${'%resource.name.select('.repeat(8)}%resource.name.family.count()${')'.repeat(8)}).exists()`,
          },
        ],
        select: [idColumn],
      },
      [crowd],
      /^422 .*(?:take more than|produces more)/,
    );
    t.ok(performance.now() - started < 20_000);
  });
  t.test('names that reach into JavaScript', async (t) => {
    await refuse(
      t,
      { select: columns('name.__proto__', 'constructor', '%constructor', '`__proto__`') },
      people,
      /^422 /,
    );
    await refuse(
      t,
      { select: [{ column: [{ name: '__proto__', path: 'id' }] }] },
      people,
      /^422 .*begins with a letter/,
    );
    await refuse(
      t,
      { select: [{ column: [{ name: 'x', path: 'id', type: '__proto__' }] }] },
      people,
      /^422 .*one of FHIR R4/,
    );
    const { text } = await ask(
      engine,
      parametersOf(
        viewOf({ resource: 'Patient', select: [{ column: [{ name: 'constructor', path: 'id' }] }] }),
        ...given(people),
        asJson,
      ),
    );
    t.equal(JSON.parse(text)[0].constructor, 'ann');
  });
  t.test('resources that are none', async (t) => {
    const strange = [
      { resourceType: 'Patient', id: 7, name: 'x', birthDate: { a: 1 }, active: [[true]], gender: null },
      { resourceType: 'Patient', name: [null, 5, [{ family: 'x' }], { family: { family: 'y' } }] },
    ];
    for (const path of [
      'id',
      'name.family',
      'birthDate',
      'active',
      'gender',
      "name.where(use = 'x').family",
      'name.given.join()',
      'link.other.getReferenceKey()',
    ]) {
      await refuse(t, { select: columns(path) }, strange, /^(?:200|422) /);
    }
  });
});

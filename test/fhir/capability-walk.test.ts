// The server's own CapabilityStatement, taken at its word: every interaction, search parameter, include, operation,
// compartment and format that it names is called over HTTP, for every type that it names it for.
// https://hl7.org/fhir/R4/capabilitystatement.html
import t from 'tap';
import { type Definitions, loadDefinitions, type Member, type SearchParameter } from '../../src/model/definitions.ts';
import { r4Tables, type ValueSetRow } from '../../src/terminology/r4-tables.ts';
import { type Ask, askApp, type Reply, type Sent } from '../support/app.ts';
import { type Adapter, onBothStores, type Test } from '../support/stores.ts';

/** Requests under way at once. */
const AT_ONCE = 16;
/** Includes of one request; a search has at most 30 parameters. */
const INCLUDES_AT_ONCE = 25;
/** Of the one resource of each type that is there throughout. */
const ID = 'the-one';
/** Each include is a query or two: on MongoDB, where what they mean is decided by the same code, so many are left out. */
const MONGO_SHARE = 8;
/** Types and parameters that R4 has between them. */
const PAIRS = 3_165;

/** Parameters that R4 defines and no server can search by without more; what the statement leaves out is only these. */
const NOT_OFFERED: Readonly<Record<string, string>> = {
  _query: 'a named query is what a server makes of it; none is defined here',
  _filter: 'it is no criterion of its own; it is tried as what it is',
  'Patient.age': 'R4 has no expression for it',
  'Patient.birthOrderBoolean': 'R4 has no expression for it',
};

// biome-ignore lint/suspicious/noExplicitAny: the statement is walked
type Json = any;

const definitions = loadDefinitions();

async function walk(t: Test, { open, name }: Adapter): Promise<void> {
  const { store, close } = await open();
  t.teardown(close);
  const ask = await askApp(store);
  const { json: statement } = await ask('/fhir/metadata');
  const [rest] = statement.rest;
  t.equal(rest.resource.length, 146);

  const all: Request[] = rest.resource.map(({ type }: Json) => ({
    path: `/fhir/${type}/${ID}`,
    sent: put({ ...leastResource(type), id: ID }),
    status: 201,
  }));
  await t.test('one of each type', (t) => answered(t, all, ask));
  await t.test('interactions and conditional interactions of every type', (t) => everyInteraction(t, rest, ask));
  await t.test('interactions of the system', (t) => systemInteractions(t, rest, ask));
  await t.test('search parameters of every type and of all types', (t) => everyParameter(t, rest, ask));
  await t.test('includes', (t) => everyInclude(t, rest, ask, name === 'SQLite' ? 1 : MONGO_SHARE));
  await t.test('compartments', (t) => everyCompartment(t, rest, ask));
  await t.test('operations', (t) => everyOperation(t, rest, ask));
  await t.test('formats', (t) => everyFormat(t, statement, ask));
  await t.test('patch formats', (t) => everyPatchFormat(t, statement, ask));
}

/** Asks for everything, and tells which answers were other ones than expected. */
async function answered(t: Test, requests: readonly Request[], ask: Ask): Promise<void> {
  const problems: string[] = [];
  const rest = requests.values();
  const worker = async (): Promise<void> => {
    for (const { path, sent, status = 200 } of rest) {
      const reply = await ask(path, sent);
      if (reply.status !== status)
        problems.push(`${sent?.method ?? 'GET'} ${path}: ${reply.status} ${reply.text.slice(0, 300)}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  t.same(problems.slice(0, 20), [], `${requests.length} requests, ${problems.length} answered otherwise`);
}

interface Request {
  path: string;
  sent?: Sent;
  /** Expected; 200 when absent. */
  status?: number;
}

// ---- interactions ----

/** Each expects what its kind of interaction gives, on one resource from its creation to its deletion. */
const INTERACTIONS: Readonly<Record<string, (type: string, id: string, content: Json) => Request>> = {
  create: (type, _, content) => ({ path: `/fhir/${type}`, sent: { method: 'POST', body: content }, status: 201 }),
  update: (type, id, content) => ({ path: `/fhir/${type}/${id}`, sent: put({ ...content, id }), status: 201 }),
  patch: (type, id) => ({
    path: `/fhir/${type}/${id}`,
    sent: jsonPatch([{ op: 'add', path: '/implicitRules', value: 'urn:patched' }]),
  }),
  read: (type, id) => ({ path: `/fhir/${type}/${id}` }),
  vread: (type, id) => ({ path: `/fhir/${type}/${id}/_history/1` }),
  'history-instance': (type, id) => ({ path: `/fhir/${type}/${id}/_history` }),
  'history-type': (type) => ({ path: `/fhir/${type}/_history?_count=1` }),
  'search-type': (type, id) => ({ path: `/fhir/${type}?_id=${id}` }),
  delete: (type, id) => ({ path: `/fhir/${type}/${id}`, sent: { method: 'DELETE' }, status: 204 }),
};

const put = (body: object): Sent => ({ method: 'PUT', body });

const jsonPatch = (body: object): Sent => ({
  method: 'PATCH',
  body,
  headers: { 'content-type': 'application/json-patch+json' },
});

async function everyInteraction(t: Test, rest: Json, ask: Ask): Promise<void> {
  const problems: string[] = [];
  let count = 0;
  const tryType = async (resource: Json): Promise<void> => {
    const { type, interaction } = resource;
    const offered: string[] = interaction.map(({ code }: Json) => code);
    const unknown = offered.filter((code) => !(code in INTERACTIONS));
    const content = leastResource(type);
    const requests = [
      ...Object.entries(INTERACTIONS).filter(([code]) => offered.includes(code) && code !== 'delete'),
      ...Object.entries(CONDITIONAL).filter(([name]) => resource[name] !== undefined && resource[name] !== false),
      ...Object.entries(INTERACTIONS).filter(([code]) => offered.includes(code) && code === 'delete'),
    ];
    for (const [name, make] of requests) {
      for (const { path, sent, status = 200 } of [make(type, 'walked', content)].flat()) {
        const reply = await ask(path, sent);
        count++;
        if (reply.status !== status) problems.push(`${name} of ${type}: ${reply.status} ${reply.text.slice(0, 300)}`);
      }
    }
    for (const code of unknown) problems.push(`${code} of ${type} is offered and unknown here`);
  };
  const types = rest.resource.values();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (const resource of types) await tryType(resource);
    }),
  );
  t.same(problems.slice(0, 20), [], `${count} requests`);
}

/** What a type's other members promise. `updateCreate` is what the update above does. */
const CONDITIONAL: Readonly<Record<string, (type: string, id: string, content: Json) => Request[]>> = {
  conditionalCreate: (type, id, content) => [
    { path: `/fhir/${type}`, sent: { method: 'POST', body: content, headers: { 'if-none-exist': `_id=${id}` } } },
  ],
  conditionalUpdate: (type, id, content) => [{ path: `/fhir/${type}?_id=${id}`, sent: put({ ...content, id }) }],
  conditionalRead: (type, id) => [
    { path: `/fhir/${type}/${id}`, sent: { headers: { 'if-none-match': 'W/"3"' } }, status: 304 },
    {
      path: `/fhir/${type}/${id}`,
      sent: { headers: { 'if-modified-since': new Date(Date.now() + 60_000).toUTCString() } },
      status: 304,
    },
  ],
  versioning: (type, id, content) => [
    {
      path: `/fhir/${type}/${id}`,
      sent: { ...put({ ...content, id }), headers: { 'if-match': 'W/"1"' } },
      status: 412,
    },
  ],
  conditionalDelete: (type) => [
    { path: `/fhir/${type}?_id=nothing-has-this`, sent: { method: 'DELETE' }, status: 204 },
  ],
};

async function systemInteractions(t: Test, rest: Json, ask: Ask): Promise<void> {
  const bundle = (type: string): Sent => ({
    method: 'POST',
    body: { resourceType: 'Bundle', type, entry: [{ request: { method: 'GET', url: 'Patient?_count=1' } }] },
  });
  const requests: Readonly<Record<string, Request>> = {
    transaction: { path: '/fhir', sent: bundle('transaction') },
    batch: { path: '/fhir', sent: bundle('batch') },
    'search-system': { path: '/fhir?_count=1' },
    'history-system': { path: '/fhir/_history?_count=1' },
  };
  for (const { code } of rest.interaction) {
    t.ok(code in requests, `${code} is known here`);
    await answered(t, [requests[code] ?? { path: code }], ask);
  }
}

// ---- searches ----

async function everyParameter(t: Test, rest: Json, ask: Ask): Promise<void> {
  const requests: Request[] = [];
  const left = new Set<string>();
  let pairs = 0;
  for (const { type, searchParam } of rest.resource) {
    const offered = new Map(searchParam.map((param: Json) => [param.name, param]));
    for (const parameter of definitions.searchParameters(type).values()) {
      pairs++;
      const shown = offered.get(parameter.code) as Json;
      offered.delete(parameter.code);
      if (shown === undefined) left.add(parameter.code in NOT_OFFERED ? parameter.code : `${type}.${parameter.code}`);
      else t.same([shown.type, shown.definition], [parameter.type, parameter.url], `${type}.${parameter.code}`);
      if (shown !== undefined || parameter.code === '_filter') requests.push(searchBy(type, parameter));
    }
    t.same([...offered.keys()], [], `${type} offers nothing that R4 does not know`);
  }
  t.equal(pairs, PAIRS);
  t.same([...left].sort(), Object.keys(NOT_OFFERED).sort());
  for (const name of left) t.comment(`not offered: ${name}: ${NOT_OFFERED[name]}`);
  for (const { name, type } of rest.searchParam) {
    const parameter = definitions.searchParameters('Patient').get(name);
    t.equal(parameter?.type, type, name);
    if (parameter !== undefined) requests.push({ path: `/fhir?_type=Patient,Basic&${name}=${valueFor(parameter)}` });
  }
  await answered(t, requests, ask);
}

const searchBy = (type: string, parameter: SearchParameter): Request => ({
  path: `/fhir/${type}?${parameter.code}=${encodeURIComponent(valueFor(parameter))}`,
});

/** Some value of the parameter's type. */
function valueFor({ code, type, targets, components = [], base }: SearchParameter): string {
  switch (type) {
    case 'number':
      return 'gt5.40';
    case 'date':
      return 'ge2020-02-29T12:00:00Z';
    case 'string':
      return 'ab';
    case 'token':
      return code === '_id' ? ID : 'http://a.example/s|a';
    case 'reference':
      return `${targets[0] ?? 'Patient'}/${ID}`;
    case 'quantity':
      return 'lt5.4|http://unitsofmeasure.org|mg';
    case 'uri':
      return 'http://a.example/x';
    case 'special':
      return code === 'near' ? '42.25|-83.69|11|km' : `_id eq ${ID}`;
    case 'composite':
      return components.map((component) => componentValue(base, component.definition)).join('$');
  }
}

function componentValue(base: string, definition: string): string {
  const types = [base, ...definitions.resourceTypes];
  const found = types.flatMap((type) => [...definitions.searchParameters(type).values()]);
  const parameter = found.find(({ url }) => url === definition);
  return parameter === undefined ? 'ab' : valueFor(parameter).replace(/^(?:gt|ge|lt)/, '');
}

async function everyInclude(t: Test, rest: Json, ask: Ask, share: number): Promise<void> {
  const requests: Request[] = [];
  let count = 0;
  for (const { type, searchInclude, searchRevInclude } of rest.resource) {
    for (const [name, texts] of [
      ['_include', searchInclude],
      ['_revinclude', searchRevInclude],
    ] as const) {
      count += texts.length;
      for (let at = 0; at < texts.length; at += INCLUDES_AT_ONCE) {
        const some: string[] = texts.slice(at, at + INCLUDES_AT_ONCE);
        requests.push({ path: `/fhir/${type}?_id=${ID}&${some.map((text) => `${name}=${text}`).join('&')}` });
      }
    }
  }
  t.ok(count > 13_000, `${count} includes`);
  await answered(
    t,
    requests.filter((_, at) => at % share === 0),
    ask,
  );
}

async function everyCompartment(t: Test, rest: Json, ask: Ask): Promise<void> {
  const requests: Request[] = [];
  for (const canonical of rest.compartment) {
    const name = canonical.slice(canonical.lastIndexOf('/') + 1);
    const [type, members] = [...definitions.compartments].find(([one]) => one.toLowerCase() === name) ?? [];
    t.ok(members !== undefined, canonical);
    for (const [member, codes] of members ?? []) {
      if (codes.length > 0) requests.push({ path: `/fhir/${type}/${ID}/${member}?_count=1` });
    }
    requests.push({ path: `/fhir/${type}/${ID}/*?_count=1` });
  }
  t.ok(requests.length > 200);
  await answered(t, requests, ask);
}

// ---- operations ----

const view = {
  resourceType: 'ViewDefinition',
  resource: 'Patient',
  status: 'active',
  select: [{ column: [{ name: 'id', path: 'id' }] }],
};

const posted = (...parameter: object[]): Sent => ({
  method: 'POST',
  body: { resourceType: 'Parameters', parameter },
});

const tag = { name: 'meta', valueMeta: { tag: [{ system: 'urn:walk', code: 'x' }] } };

/** How each operation is called; `at` is the type or the instance, '' for the base. */
const OPERATIONS: Readonly<Record<string, (at: { type: string; id: string }) => Request[]>> = {
  explain: ({ type }) => [{ path: `/fhir/${type}/$explain?_id=${ID}` }],
  'why-not': ({ type, id }) => [{ path: `/fhir/${type}/$why-not?resource=${type}/${id}&_id=other` }],
  meta: ({ type, id }) => [{ path: `/fhir/${type}/$meta` }, { path: `/fhir/${type}/${id}/$meta` }],
  'meta-add': ({ type, id }) => [{ path: `/fhir/${type}/${id}/$meta-add`, sent: posted(tag) }],
  'meta-delete': ({ type, id }) => [{ path: `/fhir/${type}/${id}/$meta-delete`, sent: posted(tag) }],
  graphql: ({ type, id }) => [{ path: `/fhir/${type}/${id}/$graphql?query={id}` }],
  'access-report': ({ type, id }) => [{ path: `/fhir/${type}/${id}/$access-report` }],
  everything: ({ type, id }) => [{ path: `/fhir/${type}/${id}/$everything?_count=5` }],
  // Nobody is signed in where there is no access control.
  'break-the-glass': ({ type, id }) => [
    {
      path: `/fhir/${type}/${id}/$break-the-glass`,
      sent: posted({ name: 'reason', valueString: 'unconscious on arrival' }),
      status: 403,
    },
  ],
  lastn: ({ type }) => [{ path: `/fhir/${type}/$lastn?subject=Patient/${ID}&code=http://loinc.org|8480-6` }],
  stats: ({ type }) => [
    {
      path: `/fhir/${type}/$stats?subject=Patient/${ID}&code=8480-6&system=http://loinc.org&duration=1&statistic=average`,
    },
  ],
};

const SYSTEM_OPERATIONS: Readonly<Record<string, (ask: Ask) => Promise<Request[]>>> = {
  meta: async () => [{ path: '/fhir/$meta' }],
  graphql: async () => [{ path: '/fhir/$graphql?query={PatientList{id}}' }],
  'viewdefinition-run': async () => [
    { path: '/fhir/$viewdefinition-run?_format=json', sent: posted({ name: 'viewResource', resource: view }) },
  ],
  async 'job-status'(ask) {
    const { status, headers } = await ask('/fhir/Patient?_count=1', { headers: { prefer: 'respond-async' } });
    if (status !== 202) throw new Error(`respond-async was answered ${status}`);
    // Nothing works in the background here.
    return [{ path: String(headers['content-location']).replace(/^.*(?=\/fhir\/)/, ''), status: 202 }];
  },
};

async function everyOperation(t: Test, rest: Json, ask: Ask): Promise<void> {
  const requests: Request[] = [];
  for (const { type, operation = [] } of rest.resource) {
    for (const { name, definition } of operation) {
      t.match(definition, /^(http|urn):/);
      t.ok(name in OPERATIONS, `how to call ${name} of ${type} is known here`);
      requests.push(...(OPERATIONS[name]?.({ type, id: ID }) ?? []));
    }
  }
  for (const { name } of rest.operation) {
    t.ok(name in SYSTEM_OPERATIONS, `how to call ${name} is known here`);
    requests.push(...((await SYSTEM_OPERATIONS[name]?.(ask)) ?? []));
  }
  t.ok(requests.length > 1_000);
  await answered(t, requests, ask);
}

// ---- formats ----

async function everyFormat(t: Test, { format }: Json, ask: Ask): Promise<void> {
  const paths = ['/fhir/metadata', `/fhir/Patient?_id=${ID}`, `/fhir/Patient/${ID}`, '/fhir/Basic/none'];
  for (const one of format) {
    const isXml = one.includes('xml');
    const mediaType = isXml ? 'application/fhir+xml' : 'application/fhir+json';
    for (const path of paths) {
      const byName = await ask(`${path}${path.includes('?') ? '&' : '?'}_format=${encodeURIComponent(one)}`);
      t.match(byName.headers['content-type'], mediaType, `${path} by _format=${one}`);
      t.equal(byName.text.startsWith('<'), isXml);
      if (!one.includes('/')) continue;
      const byHeader = await ask(path, { headers: { accept: one } });
      t.match(byHeader.headers['content-type'], mediaType, `${path} by Accept: ${one}`);
    }
    if (one.includes('/')) await putInFormat(t, one, ask);
  }
}

/** What was read in a format can be sent in it. */
async function putInFormat(t: Test, mediaType: string, ask: Ask): Promise<void> {
  for (const type of ['Patient', 'Observation', 'Questionnaire', 'Parameters']) {
    const { text } = await ask(`/fhir/${type}/${ID}`, { headers: { accept: mediaType } });
    const headers = { 'content-type': mediaType, accept: mediaType };
    const reply: Reply = await ask(`/fhir/${type}/${ID}`, { method: 'PUT', body: text, headers });
    t.equal(reply.status, 200, `${type} as ${mediaType}: ${reply.status === 200 ? '' : reply.text.slice(0, 300)}`);
  }
}

async function everyPatchFormat(t: Test, { patchFormat }: Json, ask: Ask): Promise<void> {
  const part = (name: string, value: object): object => ({ name, ...value });
  const bodies: Readonly<Record<string, object>> = {
    'application/json-patch+json': [{ op: 'add', path: '/language', value: 'en' }],
    'application/fhir+json': {
      resourceType: 'Parameters',
      parameter: [
        {
          name: 'operation',
          part: [
            part('type', { valueCode: 'add' }),
            part('path', { valueString: 'Patient' }),
            part('name', { valueString: 'gender' }),
            part('value', { valueCode: 'female' }),
          ],
        },
      ],
    },
  };
  for (const one of patchFormat) {
    const body = bodies[one];
    t.ok(body, `${one} is known here`);
    const sent: Sent = { method: 'PATCH', headers: { 'content-type': one }, ...(body === undefined ? {} : { body }) };
    const reply = await ask(`/fhir/Patient/${ID}`, sent);
    t.equal(reply.status, 200, reply.text.slice(0, 300));
  }
  const { json } = await ask(`/fhir/Patient/${ID}`);
  t.same([json.language, json.gender], ['en', 'female']);
}

// ---- the least that a resource must have ----

function leastResource(type: string): Json {
  return { resourceType: type, ...leastMembers(type, definitions) };
}

function leastMembers(name: string, { type }: Definitions): object {
  const members = [...(type(name)?.members.values() ?? [])].filter(({ min }) => min > 0);
  const chosen = new Map(members.toReversed().map((member) => [member.choice ?? member.name, member]));
  return Object.fromEntries([...chosen.values()].map((member) => [member.name, leastValue(member)]));
}

function leastValue(member: Member): unknown {
  const value = oneValue(member);
  return member.many ? [value] : value;
}

const PRIMITIVES: Readonly<Record<string, unknown>> = {
  boolean: true,
  integer: 1,
  positiveInt: 1,
  unsignedInt: 1,
  decimal: 1.5,
  date: '2020-02-29',
  dateTime: '2020-02-29',
  instant: '2020-02-29T12:00:00Z',
  time: '12:00:00',
  id: 'a',
  uri: 'urn:a',
  url: 'http://a.example/x',
  canonical: 'http://a.example/x',
  oid: 'urn:oid:1.2',
  uuid: 'urn:uuid:c757873d-ec9a-4326-a141-556f43239520',
  base64Binary: 'YQ==',
};

function oneValue({ type, binding, targets }: Member): unknown {
  if (type === 'code') return firstCode(binding?.valueSet) ?? 'a';
  if (type === 'Reference') return { reference: `${targets?.[0] ?? 'Patient'}/${ID}` };
  if (type === 'Resource') return { resourceType: 'Basic', code: { text: 'a' } };
  if (definitions.type(type)?.kind === 'primitive') return PRIMITIVES[type] ?? 'a';
  const least = leastMembers(type, definitions);
  return Object.keys(least).length > 0 ? least : someMember(type);
}

/** An object is not empty. */
function someMember(type: string): object {
  const members = [...(definitions.type(type)?.members.values() ?? [])];
  const member = members.find(({ name }) => ['text', 'value', 'display', 'system', 'start', 'unit'].includes(name));
  const other = members.find(({ name }) => !['id', 'extension', 'modifierExtension'].includes(name));
  const chosen = member ?? other;
  return chosen === undefined ? {} : { [chosen.name]: leastValue(chosen) };
}

/** A code of a value set: the first that it or its code system lists. */
function firstCode(valueSet: string | undefined): string | undefined {
  const tables = r4Tables();
  const text = tables.valueSets[valueSet?.split('|')[0] ?? ''];
  if (text === undefined) return undefined;
  const [include] = (JSON.parse(text) as ValueSetRow).include;
  const [listed] = include?.codes ?? [];
  if (listed !== undefined) return typeof listed === 'string' ? listed : listed[0];
  const system = tables.codeSystems[include?.system ?? ''];
  return system === undefined ? undefined : JSON.parse(system).concepts[0]?.[0];
}

t.setTimeout(240_000);
await onBothStores(t, walk);

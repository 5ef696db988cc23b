// US Core 6.1.0: its examples and search parameters are put into the server, and everything that its server
// CapabilityStatement names is done with them: each interaction, search parameter, combination, include and operation.
// What a search must find is decided by test/support/us-core.ts, not by the server.
// https://hl7.org/fhir/us/core/STU6.1/CapabilityStatement-us-core-server.html
import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import type { Background } from '../../src/fhir/engine.ts';
import { loadDefinitions } from '../../src/model/definitions.ts';
import { contentOf } from '../support/content.ts';
import { baseUrl, engineOn, matchIds, type Reply, type TestEngine } from '../support/engine.ts';
import { type Adapter, onBothStores, type Test } from '../support/stores.ts';
import {
  type Example,
  type Expectation,
  type ExpectedType,
  type Json,
  type Parameter,
  type Question,
  questionsFor,
  readUsCore,
  type UsCore,
  usCoreArchive,
  type Value,
  valuesOf,
} from '../support/us-core.ts';

/** Requests under way at once. */
const AT_ONCE = 16;
const QUESTIONS_MIN = 1_900;
const INDEXED_MS_MAX = 60_000;

/** What the statement names and this server does not do yet. Where one of them works, its line here fails the test. */
const NOT_THERE: Readonly<Record<string, string>> = {
  'DocumentReference/$docref': 'no $docref yet',
  'ValueSet/$expand': 'no $expand yet: value sets are there for searches alone',
  supportedProfile: 'no profiles are loaded yet, and none is claimed',
};

type Ask = TestEngine['ask'];

async function walk(t: Test, { open }: Adapter): Promise<void> {
  const { store, close } = await open();
  const { ask, engine } = await engineOn(store);
  const { background } = engine as typeof engine & { background: Background };
  t.teardown(async () => {
    await background.stop();
    await close();
  });
  const usCore = readUsCore();
  const { types } = usCore.server;
  t.ok(
    usCore.examples.length >= 185 && types.length >= 28,
    `${usCore.examples.length} examples, ${types.length} types`,
  );

  await t.test('the examples come back as they were sent', (t) => putExamples(t, usCore, ask));
  await t.test('what is not indexed yet is refused', (t) => addParameters(t, usCore, ask));
  background.start();
  await t.test('every interaction of every type', (t) => everyInteraction(t, usCore, ask));
  await t.test('the interactions of the whole system', (t) => systemInteractions(t, usCore, ask));
  await t.test('what was added is indexed', (t) => indexed(t, usCore, ask));
  await t.test('every search parameter', (t) => everyParameter(t, usCore, ask));
  await t.test('several values, and a parameter several times', (t) => severalValues(t, usCore, ask));
  await t.test('every combination of search parameters', (t) => everyCombination(t, usCore, ask));
  await t.test('every chain', (t) => everyChain(t, usCore, ask));
  await t.test('every _include', (t) => everyInclude(t, usCore, ask));
  await t.test('every _revinclude', (t) => everyRevInclude(t, usCore, ask));
  await t.test('every operation', (t) => everyOperation(t, usCore, ask));
  await t.test('this server offers what a US Core server SHALL', (t) => offersAll(t, usCore, ask));
  await t.test('content and index agree', async (t) => {
    const problems: string[] = [];
    for await (const problem of engine.verify()) problems.push(problem);
    t.same(problems, []);
  });
}

/** What of the statement was done, by expectation, and what the examples have nothing for. */
class Coverage {
  readonly #done: Record<Expectation, number> = { SHALL: 0, SHOULD: 0, MAY: 0 };
  readonly #without: string[] = [];

  done({ expectation }: { expectation: Expectation }): void {
    this.#done[expectation]++;
  }

  without(name: string, { expectation }: { expectation: Expectation }): void {
    this.#without.push(`${name} (${expectation})`);
  }

  report(t: Test, more = ''): void {
    const { SHALL, SHOULD, MAY } = this.#done;
    t.comment(`done: ${SHALL} SHALL, ${SHOULD} SHOULD, ${MAY} MAY${more}`);
    for (const name of this.#without) t.comment(`no example has a value for ${name}`);
  }
}

async function severalAtOnce<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  const worker = async (): Promise<void> => {
    for (const item of rest) await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

// ---- loading ----

async function putExamples(t: Test, { examples }: UsCore, ask: Ask): Promise<void> {
  await severalAtOnce(examples, async ({ type, id, bytes }) => {
    const sent = await ask('PUT', `${type}/${id}`, bytes);
    const read = await ask('GET', `${type}/${id}`);
    t.same([sent.status, contentOf(Buffer.from(read.text))], [201, contentOf(bytes)], `${type}/${id}`);
  });
}

/** Parameters of the package that R4 lacks. */
function addedParameters({ parameters }: UsCore): { type: string; code: string }[] {
  const definitions = loadDefinitions();
  return [...parameters.values()].flatMap(({ base, code }) =>
    base.filter((type) => !definitions.searchParameters(type).has(code)).map((type) => ({ type, code })),
  );
}

async function addParameters(t: Test, usCore: UsCore, ask: Ask): Promise<void> {
  for (const [id, bytes] of usCore.parameterFiles) {
    t.equal((await ask('PUT', `SearchParameter/${id}`, bytes)).status, 201, id);
  }
  const added = addedParameters(usCore);
  t.ok(added.length >= 7, added.map(({ type, code }) => `${type}.${code}`).join(', '));
  const shown = await statement(ask);
  for (const { type, code } of added) {
    const reply = await ask('GET', `${type}?${code}=x`);
    t.equal(reply.status, 503, `${type}?${code}`);
    t.ok(Number(reply.headers['Retry-After']) > 0, 'with the time to ask again');
    t.match(searchParam(shown, type, code)?.documentation, /^Building/);
  }
}

async function indexed(t: Test, usCore: UsCore, ask: Ask): Promise<void> {
  const added = addedParameters(usCore);
  const building = async (): Promise<string[]> => {
    const shown = await statement(ask);
    return added
      .filter(({ type, code }) => searchParam(shown, type, code)?.documentation !== undefined)
      .map(({ type, code }) => `${type}.${code}`);
  };
  const deadline = Date.now() + INDEXED_MS_MAX;
  while ((await building()).length > 0 && Date.now() < deadline) await pause(50);
  t.same(await building(), []);
}

const statement = async (ask: Ask): Promise<Json> => (await ask('GET', 'metadata')).json.rest[0];

const shownType = (shown: Json, type: string): Json => shown.resource.find((one: Json) => one.type === type) ?? {};

const searchParam = (shown: Json, type: string, code: string): Json =>
  shownType(shown, type).searchParam?.find(({ name }: Json) => name === code);

// ---- interactions ----

type Interact = (content: Json, ask: Ask, made: Made) => Promise<[actual: unknown, expected: unknown]>;

/** The resource that one type's interactions are tried on, from its creation to its deletion. */
interface Made {
  type: string;
  id: string;
}

/** In the order in which they are done. Each hands back what was seen and what should have been. */
const INTERACTIONS: Readonly<Record<string, Interact>> = {
  async create({ id: _, ...content }, ask, made) {
    const { status, headers, json } = await ask('POST', made.type, content);
    made.id = json.id;
    const isLocated = headers.Location === `${baseUrl}/${made.type}/${made.id}/_history/1`;
    return [
      [status, isLocated, plain(json)],
      [201, true, plain(content)],
    ];
  },
  async read(content, ask, { type, id }) {
    const { status, json } = await ask('GET', `${type}/${id}`);
    return [
      [status, plain(json)],
      [200, plain(content)],
    ];
  },
  async update(content, ask, { type, id }) {
    const { status, json } = await ask('PUT', `${type}/${id}`, { ...content, id, language: 'en' });
    return [
      [status, json.meta.versionId, plain(json)],
      [200, '2', { ...plain(content), language: 'en' }],
    ];
  },
  async patch(content, ask, { type, id }) {
    const patch = [{ op: 'replace', path: '/language', value: 'fr' }];
    const headers = { 'Content-Type': 'application/json-patch+json' };
    const { status, json } = await ask('PATCH', `${type}/${id}`, patch, headers);
    return [
      [status, json.meta.versionId, plain(json)],
      [200, '3', { ...plain(content), language: 'fr' }],
    ];
  },
  async vread(content, ask, { type, id }) {
    const { status, json } = await ask('GET', `${type}/${id}/_history/1`);
    return [
      [status, plain(json)],
      [200, plain(content)],
    ];
  },
  async 'search-type'(_, ask, { type, id }) {
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
    const [got, posted] = [
      await ask('GET', `${type}?_id=${id}`),
      await ask('POST', `${type}/_search`, `_id=${id}`, headers),
    ];
    return [
      [got.status, matchIds(got), matchIds(posted)],
      [200, [id], [id]],
    ];
  },
  async 'history-instance'(_, ask, { type, id }) {
    return [versionsIn(await ask('GET', `${type}/${id}/_history`), id), ['3', '2', '1']];
  },
  async 'history-type'(_, ask, { type, id }) {
    return [versionsIn(await ask('GET', `${type}/_history?_count=500`), id), ['3', '2', '1']];
  },
  async delete(_, ask, { type, id }) {
    const { status } = await ask('DELETE', `${type}/${id}`);
    const gone = await ask('GET', `${type}/${id}`);
    return [
      [status, gone.status],
      [204, 410],
    ];
  },
};

/** A resource without what the server writes. */
function plain({ id: _, meta, ...content }: Json): Json {
  const { versionId: __, lastUpdated: ___, ...rest } = meta ?? {};
  return Object.keys(rest).length === 0 ? content : { ...content, meta: rest };
}

const versionsIn = (reply: Reply, id: string): string[] =>
  (reply.json.entry ?? [])
    .filter(({ resource }: Json) => resource?.id === id)
    .map(({ resource }: Json) => resource.meta.versionId);

async function everyInteraction(t: Test, { server, examples }: UsCore, ask: Ask): Promise<void> {
  const coverage = new Coverage();
  for (const { type, interactions } of server.types) {
    const content = examples.find((example) => example.type === type)?.resource ?? { resourceType: type };
    const made: Made = { type, id: '' };
    for (const { code } of interactions) t.ok(code in INTERACTIONS, `${code} is known here`);
    for (const [code, interact] of Object.entries(INTERACTIONS)) {
      const expected = interactions.find((one) => one.code === code);
      if (expected === undefined) continue;
      t.strictSame(...(await interact(content, ask, made)), `${code} of ${type}`);
      coverage.done(expected);
    }
  }
  coverage.report(t);
}

async function systemInteractions(t: Test, { server, examples }: UsCore, ask: Ask): Promise<void> {
  const some = examples.filter(({ type }) => type === 'Patient');
  const entry = some.map(({ type, id, resource }) => ({ request: { method: 'PUT', url: `${type}/${id}` }, resource }));
  const bundle = async (type: string): Promise<void> => {
    const { status, json } = await ask('POST', '', { resourceType: 'Bundle', type, entry });
    t.same(
      [status, json.type, json.entry.map(({ response }: Json) => response.status.slice(0, 3))],
      [200, `${type}-response`, some.map(() => '200')],
    );
  };
  const tried: Record<string, () => Promise<unknown>> = {
    transaction: () => bundle('transaction'),
    batch: () => bundle('batch'),
    'search-system': async () => {
      const { id } = some[0] as Example;
      t.same(matchIds(await ask('GET', `?_type=Patient,Observation&_id=${id}`)), [id]);
    },
    'history-system': async () => {
      const { json } = await ask('GET', '_history?_count=500');
      t.equal(json.type, 'history');
      t.ok(json.entry.length > examples.length);
    },
  };
  for (const { code } of server.interactions) {
    await t.test(code, async () => {
      await tried[code]?.();
      t.ok(code in tried);
    });
  }
}

// ---- searches ----

/** The examples of one type with what a parameter selects in them. */
class Answers {
  readonly parameter: Parameter;
  readonly values: ReadonlyMap<string, readonly Value[]>;

  constructor(usCore: UsCore, { type, definition }: { type: string; definition: string }) {
    this.parameter = usCore.parameters.get(definition) ?? standard(type, definition);
    const own = usCore.examples.filter((example) => example.type === type);
    this.values = new Map(own.map(({ id, resource }) => [id, valuesOf(this.parameter, resource)]));
  }

  get isEmpty(): boolean {
    return [...this.values.values()].every((values) => values.length === 0);
  }

  /** The questions that one example's values give, none twice. */
  questions(id: string): Question[] {
    const all = (this.values.get(id) ?? []).flatMap((value) => questionsFor(this.parameter, value, baseUrl));
    return [...new Map(all.map((question) => [question.text, question])).values()];
  }

  verdict(id: string, question: Question): boolean | 'maybe' {
    return question.fits(this.values.get(id) ?? []);
  }
}

/** The statement names R4's own definition where US Core has none of its own. */
function standard(type: string, definition: string): Parameter {
  const found = [...loadDefinitions().searchParameters(type).values()].find(({ url }) => url === definition);
  if (found === undefined) throw new RangeError(`${definition} is not defined for ${type}`);
  const { url, code, expression, targets } = found;
  return { url, code, base: [type], type: found.type as Parameter['type'], expression, target: [...targets] };
}

type Verdict = boolean | 'maybe';
const all = (verdicts: readonly Verdict[]): Verdict =>
  verdicts.includes(false) ? false : verdicts.includes('maybe') ? 'maybe' : true;
const any = (verdicts: readonly Verdict[]): Verdict =>
  verdicts.includes(true) ? true : verdicts.includes('maybe') ? 'maybe' : false;

/** What is wrong with the answer to a search; undefined when it finds what it must and nothing else. */
async function wrong(url: string, verdicts: ReadonlyMap<string, Verdict>, ask: Ask): Promise<string | undefined> {
  const reply = await ask('GET', `${url}&_count=500`);
  if (reply.status !== 200) return `${decodeURIComponent(url)}: ${reply.status} ${reply.text.slice(0, 300)}`;
  const found = new Set(matchIds(reply));
  const missing = [...verdicts].filter(([id, verdict]) => verdict === true && !found.has(id)).map(([id]) => id);
  const surplus = [...found].filter((id) => (verdicts.get(id) ?? false) === false);
  if (missing.length === 0 && surplus.length === 0) return undefined;
  return `${decodeURIComponent(url)}: missing ${missing.join()}, too many ${surplus.join()}`;
}

interface Search {
  url: string;
  verdicts: Map<string, Verdict>;
}

async function holds(t: Test, searches: readonly Search[], ask: Ask): Promise<void> {
  const problems: string[] = [];
  await severalAtOnce(searches, async ({ url, verdicts }) => {
    const problem = await wrong(url, verdicts, ask);
    if (problem !== undefined) problems.push(problem);
  });
  t.same(problems.slice(0, 20), [], `${problems.length} of ${searches.length} wrong`);
}

const asked = (name: string, text: string): string => `${name}=${encodeURIComponent(text)}`;

async function everyParameter(t: Test, usCore: UsCore, ask: Ask): Promise<void> {
  const coverage = new Coverage();
  const searches = new Map<string, Search>();
  for (const { type, searchParams } of usCore.server.types) {
    for (const expected of searchParams) {
      const answers = new Answers(usCore, { type, definition: expected.definition });
      if (answers.isEmpty) {
        coverage.without(`${type}.${expected.name}`, expected);
        continue;
      }
      coverage.done(expected);
      for (const id of answers.values.keys()) {
        for (const question of answers.questions(id)) {
          const url = `${type}?${asked(expected.name, question.text)}`;
          const verdicts = [...answers.values.keys()].map((one) => [one, answers.verdict(one, question)] as const);
          searches.set(url, { url, verdicts: new Map(verdicts) });
        }
      }
    }
  }
  t.ok(searches.size >= QUESTIONS_MIN, `${searches.size} searches`);
  await holds(t, [...searches.values()], ask);
  coverage.report(t, `, ${searches.size} searches`);
}

/** Parameters may have several values where the package says so, of which one must fit; given twice, both must fit. */
async function severalValues(t: Test, usCore: UsCore, ask: Ask): Promise<void> {
  const searches: Search[] = [];
  for (const { type, searchParams } of usCore.server.types) {
    for (const { name, definition } of searchParams) {
      const answers = new Answers(usCore, { type, definition });
      const ids = [...answers.values.keys()];
      const [one, other] = distinct(
        ids.map((id) => answers.questions(id)[0]).filter((question) => question !== undefined),
      );
      if (one === undefined || other === undefined) continue;
      const verdicts = (how: typeof all): Search['verdicts'] =>
        new Map(ids.map((id) => [id, how([answers.verdict(id, one), answers.verdict(id, other)])]));
      const { multipleOr, multipleAnd } = answers.parameter;
      if (multipleOr === true)
        searches.push({ url: `${type}?${asked(name, `${one.text},${other.text}`)}`, verdicts: verdicts(any) });
      if (multipleAnd === true)
        searches.push({ url: `${type}?${asked(name, one.text)}&${asked(name, other.text)}`, verdicts: verdicts(all) });
    }
  }
  t.ok(searches.length >= 80, `${searches.length} searches`);
  await holds(t, searches, ask);
}

const distinct = (questions: readonly Question[]): Question[] => [
  ...new Map(questions.map((question) => [question.text, question])).values(),
];

async function everyCombination(t: Test, usCore: UsCore, ask: Ask): Promise<void> {
  const coverage = new Coverage();
  const searches = new Map<string, Search>();
  for (const { type, searchParams, combinations } of usCore.server.types) {
    for (const combination of combinations) {
      const answers = combination.names.map((name) => {
        const { definition = '' } = searchParams.find((param) => param.name === name) ?? {};
        return new Answers(usCore, { type, definition });
      });
      const found = combined(type, combination.names, answers);
      if (found.length === 0) coverage.without(`${type}: ${combination.names.join(' + ')}`, combination);
      else coverage.done(combination);
      for (const search of found) searches.set(search.url, search);
    }
  }
  t.ok(searches.size >= 300, `${searches.size} searches`);
  await holds(t, [...searches.values()], ask);
  coverage.report(t, `, ${searches.size} searches`);
}

/** For each example that has all of them, its own values asked together: by the first question of each, then the second. */
function combined(type: string, names: readonly string[], answers: readonly Answers[]): Search[] {
  const ids = [...(answers[0]?.values.keys() ?? [])];
  const searches: Search[] = [];
  for (const id of ids) {
    const own = answers.map((one) => one.questions(id));
    if (own.some((questions) => questions.length === 0)) continue;
    for (const at of [0, 1, 3]) {
      const chosen = own.map((questions) => questions[Math.min(at, questions.length - 1)] as Question);
      const verdicts = ids.map((one) => {
        return [one, all(chosen.map((question, which) => answers[which]?.verdict(one, question) ?? false))] as const;
      });
      const url = `${type}?${chosen.map(({ text }, which) => asked(names[which] ?? '', text)).join('&')}`;
      searches.push({ url, verdicts: new Map(verdicts) });
    }
  }
  return searches;
}

/** "SHALL support chained searching of practitioner.identifier and practitioner.name": `chain` of the SearchParameter. */
async function everyChain(t: Test, usCore: UsCore, ask: Ask): Promise<void> {
  const searches: Search[] = [];
  for (const { type, searchParams } of usCore.server.types) {
    for (const { name, definition } of searchParams) {
      const answers = new Answers(usCore, { type, definition });
      for (const code of answers.parameter.chain ?? []) searches.push(...chained(type, name, code, answers, usCore));
    }
  }
  t.ok(searches.length >= 2, `${searches.length} searches`);
  await holds(t, searches, ask);
}

function chained(type: string, name: string, code: string, answers: Answers, usCore: UsCore): Search[] {
  const searches: Search[] = [];
  for (const target of answers.parameter.target ?? []) {
    const { definition = '' } = typeNamed(usCore, target)?.searchParams.find((param) => param.name === code) ?? {};
    const further = new Answers(usCore, { type: target, definition });
    for (const id of further.values.keys()) {
      const refers = (values: readonly Value[]) =>
        values.some((value) => value.kind === 'reference' && value.text === `${target}/${id}`);
      if (![...answers.values.values()].some(refers)) continue;
      for (const question of further.questions(id)) {
        const verdicts = [...answers.values].map(([one, values]) => {
          const targets = values.map((value) =>
            value.kind === 'reference' ? value.text.slice(target.length + 1) : '',
          );
          return [one, any(targets.map((each) => further.verdict(each, question)))] as const;
        });
        for (const chain of [`${name}.${code}`, `${name}:${target}.${code}`])
          searches.push({ url: `${type}?${asked(chain, question.text)}`, verdicts: new Map(verdicts) });
      }
    }
  }
  return searches;
}

const typeNamed = ({ server }: UsCore, name: string): ExpectedType | undefined =>
  server.types.find(({ type }) => type === name);

// ---- includes ----

async function everyInclude(t: Test, usCore: UsCore, ask: Ask): Promise<void> {
  const coverage = new Coverage();
  for (const { type, includes } of usCore.server.types) {
    for (const expected of includes) {
      const expectedIds = includedBy(expected.text, usCore);
      const { status, json } = await ask('GET', `${type}?_count=500&_include=${expected.text}`);
      const seen = (json.entry ?? [])
        .filter(({ search }: Json) => search.mode === 'include')
        .map(({ resource }: Json) => `${resource.resourceType}/${resource.id}`);
      t.same([status, seen.sort()], [200, expectedIds], expected.text);
      if (expectedIds.length === 0) coverage.without(expected.text, expected);
      else coverage.done(expected);
    }
  }
  coverage.report(t);
}

/** "Type/id" of the examples that others refer to by `Source:parameter[:Target]`. */
function includedBy(include: string, usCore: UsCore): string[] {
  const [source = '', code = '', target] = include.split(':');
  const { url = '' } = loadDefinitions().searchParameters(source).get(code) ?? {};
  const { values } = new Answers(usCore, { type: source, definition: url });
  const known = new Set(usCore.examples.map(({ type, id }) => `${type}/${id}`));
  const texts = [...values.values()].flat().map((value) => (value.kind === 'reference' ? value.text : ''));
  return [...new Set(texts)]
    .filter((text) => known.has(text) && (target ?? text.split('/')[0]) === text.split('/')[0])
    .sort();
}

/** The package has one Provenance; the same is made here for an example of each type. */
async function everyRevInclude(t: Test, { server, examples }: UsCore, ask: Ask): Promise<void> {
  const coverage = new Coverage();
  const pattern = examples.find(({ type }) => type === 'Provenance')?.resource;
  for (const { type, revIncludes } of server.types) {
    for (const expected of revIncludes) {
      t.equal(expected.text, 'Provenance:target');
      const [one, other] = examples.filter((example) => example.type === type);
      if (one === undefined) {
        coverage.without(`${expected.text} of ${type}`, expected);
        continue;
      }
      const id = `of-${type}`;
      const made = { ...pattern, id, target: [{ reference: `${type}/${one.id}` }] };
      t.equal((await ask('PUT', `Provenance/${id}`, made)).status, 201);
      const brought = await provenances(`${type}?_id=${one.id}&_revinclude=${expected.text}`, ask);
      t.ok(brought.includes(id), `${expected.text} of ${type}`);
      if (other !== undefined) {
        const notBrought = await provenances(`${type}?_id=${other.id}&_revinclude=${expected.text}`, ask);
        t.notOk(notBrought.includes(id), 'and of no other');
      }
      coverage.done(expected);
    }
  }
  coverage.report(t);
}

const provenances = async (url: string, ask: Ask): Promise<string[]> =>
  ((await ask('GET', url)).json.entry ?? [])
    .filter(({ search, resource }: Json) => search.mode === 'include' && resource.resourceType === 'Provenance')
    .map(({ resource }: Json) => resource.id);

// ---- operations and the statement ----

async function everyOperation(t: Test, { server }: UsCore, ask: Ask): Promise<void> {
  const shown = await statement(ask);
  for (const { type, operations } of server.types) {
    for (const { name, expectation } of operations) {
      const called = `${type}/$${name}`;
      const { status } = await ask('GET', called);
      const isOffered = shownType(shown, type).operation?.some((one: Json) => one.name === name) === true;
      if (NOT_THERE[called] === undefined) {
        t.ok(isOffered && status !== 404 && status < 500, `${called} (${expectation})`);
      } else {
        t.comment(`${called} (${expectation}): ${NOT_THERE[called]}`);
        t.ok(!isOffered && status >= 400, `${called} works now: take it from NOT_THERE`);
      }
    }
  }
}

async function offersAll(t: Test, { server }: UsCore, ask: Ask): Promise<void> {
  const { json } = await ask('GET', 'metadata');
  const [shown] = json.rest;
  const coverage = new Coverage();
  const missing: string[] = [];
  const need = (one: { expectation: Expectation }, isThere: boolean, name: string): void => {
    if (isThere) coverage.done(one);
    else if (one.expectation === 'SHALL' && !(name in NOT_THERE)) missing.push(name);
  };
  for (const format of server.formats) need(format, json.format.includes(format.text), `format ${format.text}`);
  for (const one of server.patchFormats) need(one, json.patchFormat.includes(one.text), `patchFormat ${one.text}`);
  for (const one of server.interactions) need(one, hasCode(shown.interaction, one.code), one.code);
  for (const expected of server.types) {
    const { type } = expected;
    const own = shownType(shown, type);
    for (const one of expected.interactions) need(one, hasCode(own.interaction, one.code), `${one.code} of ${type}`);
    for (const one of expected.searchParams) {
      need(
        one,
        own.searchParam?.some(({ name, type }: Json) => name === one.name && type === one.type),
        `${type}.${one.name}`,
      );
    }
    for (const one of expected.includes) need(one, offersInclude(own.searchInclude, one.text), `_include=${one.text}`);
    for (const one of expected.revIncludes) {
      need(one, own.searchRevInclude?.includes(one.text), `_revinclude=${one.text} of ${type}`);
    }
    for (const { name, expectation } of expected.operations) {
      need(
        { expectation },
        own.operation?.some((one: Json) => one.name === name),
        `${type}/$${name}`,
      );
    }
    for (const one of expected.profiles) need(one, own.supportedProfile?.includes(one.text), 'supportedProfile');
  }
  t.same(missing, []);
  const isClaimed = shown.resource.some(({ supportedProfile }: Json) => supportedProfile !== undefined);
  t.notOk(isClaimed, 'supportedProfile is there now: take it from NOT_THERE');
  t.comment(`supportedProfile: ${NOT_THERE.supportedProfile}`);
  coverage.report(t);
}

const hasCode = (list: Json[] = [], code: string): boolean => list.some((one) => one.code === code);

/** An include of all targets includes that of each. */
const offersInclude = (offered: string[] = [], text: string): boolean =>
  offered.some((one) => text === one || text.startsWith(`${one}:`));

t.setTimeout(240_000);
const skip = existsSync(usCoreArchive) ? false : 'no igs/hl7.fhir.us.core-6.1.0.tgz in the shared data';
await t.test('US Core 6.1.0', { skip }, (t) => onBothStores(t, walk));

// The official R4 examples on both stores: what was sent comes back byte for byte, and each resource is found by the
// value of every search parameter that it has. https://hl7.org/fhir/R4/search.html
import { existsSync } from 'node:fs';
import t from 'tap';
import { loadDefinitions, type SearchParameter } from '../../src/model/definitions.ts';
import { parseJson } from '../../src/model/json.ts';
import type { TypedValue } from '../../src/model/search-accessors.ts';
import { indexedParameters } from '../../src/model/search-parameters.ts';
import { contentOf } from '../support/content.ts';
import { readTgz, sharedData } from '../support/corpora.ts';
import { baseUrl, engineOn, type TestEngine } from '../support/engine.ts';
import type { StoredResource } from '../support/slow-criteria.ts';
import { SlowSearch } from '../support/slow-search.ts';
import { readableTexts } from '../support/slow-values.ts';
import { wordsIn } from '../support/slow-words.ts';
import { type Adapter, onBothStores, type Test } from '../support/stores.ts';

const archive = sharedData('corpora/r4-examples.tgz');
/** Requests under way at once. */
const AT_ONCE = 16;
const SEARCHES_MIN = 11_000;
const PARAMETERS_MIN = 1100;

interface Example {
  file: string;
  type: string;
  id: string;
  bytes: Buffer;
  resource: { resourceType: string; id: string };
}

function readExamples(): Example[] {
  return [...readTgz(archive)]
    .filter(([file]) => file.endsWith('.json'))
    .map(([file, sent]) => {
      const value = parseJson(sent) as { resourceType: string; id?: string };
      const id = value.id ?? `made-${file.replace(/[^A-Za-z0-9]/g, '-')}`.slice(0, 64);
      const bytes = value.id === undefined ? withId(sent, id) : sent;
      return { file, type: value.resourceType, id, bytes, resource: { ...value, id } };
    });
}

const withId = (bytes: Buffer, id: string): Buffer =>
  Buffer.from(bytes.toString('utf8').replace('{', `{"id":${JSON.stringify(id)},`));

// ---- searches for a resource's own values ----

interface Search {
  example: Example;
  parameter: string;
  /** `name:modifier=value`, encoded. */
  query: string;
}

const escaped = (text: string): string => text.replace(/[\\,|$]/g, (character) => `\\${character}`);
const isText = (value: unknown): value is string => typeof value === 'string' && value.trim() !== '';
const parts = (value: unknown): Record<string, unknown> => (value ?? {}) as Record<string, unknown>;

/** What follows a parameter's name, modifier included: `:exact=…` or `=…`. Empty for a value that is not searchable. */
function questions({ type: kind }: SearchParameter, { type, value }: TypedValue): string[] {
  if (type === 'Extension') return [];
  switch (kind) {
    case 'token':
      return [...tokens(type, value).map((text) => `=${text}`), ...texts({ type, value }), ...typed(type, value)];
    case 'string':
      return strings(value).flatMap((text) => [`:exact=${escaped(text)}`, `=${escaped(text.split(/\s/)[0] ?? '')}`]);
    case 'reference':
      return references(type, value);
    case 'uri':
      return isText(value) ? [`=${escaped(value)}`] : [];
    case 'date':
      // A schedule in words is no date, and has no key.
      return type === 'string' ? [] : dates(value);
    case 'number':
      return typeof value === 'number' ? [`=${value}`, `=ge${value}`, `=le${value}`] : [];
    case 'quantity':
      return quantities(value);
    default:
      return [];
  }
}

function tokens(type: string, value: unknown): string[] {
  if (typeof value === 'boolean' || isText(value)) return [escaped(String(value))];
  if (type === 'CodeableConcept') {
    const { coding } = parts(value);
    return Array.isArray(coding) ? coding.flatMap((one) => tokens('Coding', one)) : [];
  }
  const { system, code, value: content } = parts(value);
  if (type === 'ContactPoint') return isText(content) ? [escaped(content)] : [];
  const token = type === 'Identifier' ? content : code;
  if (isText(token)) {
    return isText(system)
      ? [`${escaped(system)}|${escaped(token)}`, escaped(token), `${escaped(system)}|`]
      : [`|${escaped(token)}`, escaped(token)];
  }
  return isText(system) ? [`${escaped(system)}|`] : [];
}

/** What people read of a token, by its beginning. */
const texts = (value: TypedValue): string[] =>
  readableTexts(value)
    .filter(isText)
    .map((text) => `:text=${escaped(text.slice(0, 30))}`);

/** An identifier by its type. */
function typed(type: string, value: unknown): string[] {
  const { type: kind, value: content } = parts(value);
  const { coding } = parts(kind);
  if (type !== 'Identifier' || !Array.isArray(coding) || !isText(content)) return [];
  return coding
    .map(parts)
    .filter(({ system, code }) => isText(system) && isText(code))
    .map(({ system, code }) => `:of-type=${[system, code, content].map((one) => escaped(String(one))).join('|')}`);
}

function strings(value: unknown): string[] {
  if (isText(value)) return [value];
  const { family, given, text, line, city, postalCode, country } = parts(value);
  return [family, given, text, line, city, postalCode, country].flat().filter(isText);
}

function references(type: string, value: unknown): string[] {
  if (isText(value)) {
    const url = type === 'canonical' ? (value.split(/[|#]/)[0] ?? '') : value;
    return isText(url) ? [`=${escaped(url)}`] : [];
  }
  const { reference, identifier } = parts(value);
  const { system, value: name } = parts(identifier);
  const found: string[] = [];
  if (isText(reference) && !reference.startsWith('#')) found.push(`=${escaped(reference)}`);
  if (isText(name)) found.push(`:identifier=${isText(system) ? escaped(system) : ''}|${escaped(name)}`);
  return found;
}

function dates(value: unknown): string[] {
  if (isText(value)) return [`=${value}`, `=ge${value}`, `=le${value}`];
  const { start, end, event } = parts(value);
  const found: string[] = [];
  if (isText(start)) found.push(`=ge${start}`);
  if (isText(end)) found.push(`=le${end}`);
  if (Array.isArray(event) && isText(event[0])) found.push(`=ge${event[0]}`);
  return found;
}

function quantities(value: unknown): string[] {
  const { value: number, system, code, unit, currency } = parts(value);
  if (typeof number !== 'number') return [];
  const found = [`=${number}`];
  if (isText(system) && isText(code)) found.push(`=${number}|${escaped(system)}|${escaped(code)}`);
  if (isText(code ?? unit ?? currency)) found.push(`=${number}||${escaped(String(code ?? unit ?? currency))}`);
  return found;
}

const definitions = loadDefinitions();
const slow = new SlowSearch({ definitions, baseUrl, timeZone: 'UTC' });

/** A value of each component of each element that has them all, joined by "$". */
function combined(resource: StoredResource, code: string): string[] {
  const components = slow.components(resource.resourceType, code);
  return slow.componentValues(resource, code).flatMap((row) => {
    const asked = components.map(({ parameter }, at) => row[at]?.flatMap((value) => component(parameter, value))[0]);
    return asked.every((text) => text !== undefined) ? [asked.join('$')] : [];
  });
}

/** A component by its own parameter, without a modifier. */
const component = (parameter: SearchParameter, value: TypedValue): string[] =>
  questions(parameter, value).flatMap((text) => (text.startsWith('=') ? [text.slice(1)] : []));

/** Words of each text; in quotes, because some are "and", "or" and "not". */
const WORDS_MAX = 4;

function searchesFor(example: Example): Search[] {
  const found = new Map<string, Search>();
  const add = (parameter: string, question: string): void => {
    const equals = question.indexOf('=');
    const query = `${parameter}${question.slice(0, equals)}=${encodeURIComponent(question.slice(equals + 1))}`;
    found.set(query, { example, parameter, query });
  };
  const resource = example.resource as StoredResource;
  const { narrative, content } = wordsIn(resource);
  for (const word of [...narrative].slice(0, WORDS_MAX)) add('_text', `="${word}"`);
  for (const word of [...content].slice(-WORDS_MAX)) add('_content', `="${word}"`);
  for (const { code, type } of definitions.searchParameters(example.type).values()) {
    if (type === 'composite') for (const text of combined(resource, code)) add(code, `=${text}`);
  }
  for (const { parameter, accessor } of indexedParameters(definitions, example.type)) {
    for (const value of accessor(example.resource)) {
      for (const question of questions(parameter, value)) add(parameter.code, question);
    }
  }
  return [...found.values()];
}

async function severalAtOnce<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  const worker = async (): Promise<void> => {
    for (const item of rest) await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** Whether each search, together with the id, finds its resource; what it did not find. */
async function unfound(searches: readonly Search[], ask: TestEngine['ask']): Promise<string[]> {
  const missed: string[] = [];
  await severalAtOnce(searches, async ({ example, query }) => {
    const reply = await ask('GET', `${example.type}?_id=${example.id}&${query}`);
    const ids = (reply.json.entry ?? []).map((entry: { resource: { id: string } }) => entry.resource.id);
    if (reply.status === 200 && ids.length === 1 && ids[0] === example.id) return;
    const problem = reply.status === 200 ? `found ${ids.length}` : reply.text.slice(0, 200);
    missed.push(`${example.type}/${example.id}?${decodeURIComponent(query)}: ${problem}`);
  });
  return missed;
}

async function check(t: Test, { open }: Adapter): Promise<void> {
  const { store, close } = await open();
  t.teardown(close);
  const { ask, engine } = await engineOn(store);
  const examples = readExamples();
  t.ok(examples.length >= 420, `${examples.length} examples`);

  await t.test('PUT then GET gives what was sent', async (t) => {
    await severalAtOnce(examples, async ({ file, type, id, bytes }) => {
      const sent = await ask('PUT', `${type}/${id}`, bytes);
      const read = await ask('GET', `${type}/${id}`);
      const statuses = [sent.status, read.status, read.json.meta?.versionId];
      t.same([statuses, contentOf(Buffer.from(read.text))], [[201, 200, '1'], contentOf(bytes)], file);
    });
  });

  await t.test('each is found by the values of its own search parameters', async (t) => {
    const searches = examples.flatMap(searchesFor);
    const parameters = new Set(searches.map(({ example, parameter }) => `${example.type}.${parameter}`));
    const missed = await unfound(searches, ask);
    t.comment(`${searches.length} searches, ${parameters.size} parameters, ${missed.length} missed`);
    t.same(missed.slice(0, 20), []);
    t.ok(searches.length >= SEARCHES_MIN, `${searches.length} searches`);
    t.ok(parameters.size >= PARAMETERS_MIN, `${parameters.size} parameters`);
  });

  await t.test('content and index agree', async (t) => {
    const problems: string[] = [];
    for await (const problem of engine.verify()) problems.push(problem);
    t.same(problems, []);
  });
}

t.setTimeout(240_000);
const skip = existsSync(archive) ? false : 'no corpora/r4-examples.tgz in the shared data';
await t.test('the official R4 examples', { skip }, (t) => onBothStores(t, check));

// Requests that nobody sends by mistake: hostile values, searches made up by a grammar, and damaged resources.
import { loadDefinitions, type SearchParameter } from '../../src/model/definitions.ts';
import { samplePractice } from '../../src/practice/sample.ts';
import type { Ask, Reply } from './app.ts';
import { below, pick, type Random } from './random-search.ts';

const definitions = loadDefinitions();
// biome-ignore lint/suspicious/noExplicitAny: resources are there to be damaged
type Json = any;

/** Some of every type that the sample has: wide enough to find something, small enough to load in a moment. */
export const resources: Json[] = [];
const perType = new Map<string, number>();
for (const resource of samplePractice({ seed: 1, today: '2026-01-31' })) {
  const count = (perType.get(resource.resourceType) ?? 0) + 1;
  perType.set(resource.resourceType, count);
  if (count <= 25) resources.push(resource);
}
const types = [...perType.keys()];

/** Values as they stand in a URL. */
export const rawValues = [
  '%00',
  '%ED%A0%80',
  '%ED%A0%80%ED%B0%80',
  '%',
  '%zz',
  '%FF',
  '%C0%AF',
  '%F8%88%80%80%80',
  '%F4%90%80%80',
  '+',
  '&',
  '#x',
  '%0D%0ASet-Cookie:x=1',
  '%EF%BF%BF',
  '%E2%80%AE',
  '%F0%9F%98%80',
];
/** Values that are escaped before they go into a URL. */
export const values = [
  '',
  ' ',
  '\t',
  '\0',
  '\0\0x',
  '%',
  '\\',
  '\\\\',
  '\\,',
  '|',
  '||',
  '|||',
  '$',
  '$$',
  ',',
  ',,,',
  '$ne',
  '{"$ne":null}',
  '[$ne]=1',
  '$where',
  '$regex',
  '.*',
  '^(a+)+$',
  '(((((((((',
  '[a-',
  '*',
  '?',
  '\\d\\Q\\E',
  "' OR 1=1 --",
  "'; DROP TABLE resource; --",
  '") OR ("1"="1',
  '\u{10FFFF}',
  '\uFFFF',
  'Ａ',
  'İıſß',
  'e\u0301'.repeat(80),
  '\u202E',
  'a'.repeat(190),
  'a'.repeat(7_000),
  'ß'.repeat(1_000),
  '9'.repeat(400),
  '-',
  '--1',
  '+1',
  '1e400',
  '-1e-400',
  '1e999999999',
  '0x10',
  'NaN',
  'Infinity',
  '1.'.padEnd(300, '0'),
  '99999-01-01',
  '0000-00-00',
  '2020-02-30',
  '2020-01-01T24:00:00Z',
  '2020-01-01T23:59:60Z',
  '2020-01-01T10:00:00+99:99',
  'ge',
  'gege2020',
  'sa9999',
  'ap',
  'eb',
  'true',
  'null',
  'undefined',
  '[object Object]',
  '__proto__',
  'constructor',
  'toString',
  '../../etc/passwd',
  'Patient/../Patient/1',
  'http://x/'.repeat(100),
  'Patient/1/_history/1',
  '#',
  'urn:uuid:',
  'javascript:alert(1)',
  '<script>',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: that is the point
  '${7*7}',
  '%s%n%x',
];

// ---- searches by grammar ----

const suffixes: Record<SearchParameter['type'], readonly string[]> = {
  string: ['', ':exact', ':contains', ':missing', ':not'],
  token: ['', ':not', ':missing', ':text', ':in'],
  reference: ['', ':identifier', ':missing', ':Patient', ':Practitioner', ':nonsense'],
  date: ['', ':missing'],
  number: ['', ':missing'],
  quantity: ['', ':missing'],
  uri: ['', ':below', ':above', ':missing'],
  composite: [''],
  special: [''],
};
const prefixes = ['', '', 'eq', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap', 'xx'];

export function randomSearch(random: Random): string {
  const type = random() < 0.8 ? pick(random, types) : pick(random, definitions.resourceTypes);
  const parts = Array.from({ length: below(random, 4) }, () => randomCriterion(random, type));
  if (random() < 0.3)
    parts.push(`_sort=${list(random, 3, () => (random() < 0.5 ? '-' : '') + parameterOf(random, type).code)}`);
  if (random() < 0.2) parts.push(`_include=${type}:${parameterOf(random, type).code}`);
  if (random() < 0.1)
    parts.push(pick(random, ['_include=*', '_include:iterate=*', '_revinclude=*', '_revinclude:iterate=*']));
  if (random() < 0.2) parts.push(`_revinclude=${otherReference(random)}`);
  if (random() < 0.2) parts.push(`_count=${pick(random, ['0', '1', '3', '500', '1000'])}`);
  if (random() < 0.1) parts.push(`_total=${pick(random, ['none', 'estimate', 'accurate', 'x'])}`);
  if (random() < 0.05) parts.push('_summary=count');
  const at = random();
  if (at < 0.05) return `/fhir?_type=${list(random, 4, () => pick(random, types))}&${parts.join('&')}`;
  if (at < 0.1) return `/fhir/Patient/${pick(random, resources).id}/${pick(random, [type, '*'])}?${parts.join('&')}`;
  return `/fhir/${type}?${parts.join('&')}`;
}

function otherReference(random: Random): string {
  const other = pick(random, types);
  return `${other}:${parameterOf(random, other, 'reference').code}`;
}

function randomCriterion(random: Random, type: string): string {
  const how = random();
  if (how < 0.1) {
    const source = pick(random, types);
    return `_has:${source}:${parameterOf(random, source, 'reference').code}:${randomCriterion(random, source)}`;
  }
  const parameter = parameterOf(random, type, how < 0.25 ? 'reference' : undefined);
  if (how < 0.25) {
    const target = pick(random, parameter.targets.length > 0 ? parameter.targets : types);
    return `${parameter.code}${random() < 0.5 ? `:${target}` : ''}.${randomCriterion(random, target)}`;
  }
  const value = list(random, 3, () => randomValue(random, parameter));
  return `${parameter.code}${pick(random, suffixes[parameter.type])}=${random() < 0.02 ? pick(random, rawValues) : encodeURIComponent(value)}`;
}

function parameterOf(random: Random, type: string, kind?: SearchParameter['type']): SearchParameter {
  const all = [...definitions.searchParameters(type).values()];
  const fitting = kind === undefined ? all : all.filter((parameter) => parameter.type === kind);
  return pick(random, fitting.length > 0 ? fitting : all);
}

function randomValue(random: Random, parameter: SearchParameter): string {
  if (random() < 0.25) return pick(random, values).slice(0, 500);
  const resource = pick(random, resources);
  switch (parameter.type) {
    case 'date':
      return `${pick(random, prefixes)}${2020 + below(random, 8)}${pick(random, ['', '-02', '-02-28', '-12-31T23:59:59Z', '-01-01T00:00:00.001-05:00'])}`;
    case 'number':
    case 'quantity':
      return `${pick(random, prefixes)}${(random() * 10 ** below(random, 6)).toFixed(below(random, 4))}${pick(random, ['', '||mg', '|http://unitsofmeasure.org|mm[Hg]', '|'])}`;
    case 'reference':
      return pick(random, [
        `${resource.resourceType}/${resource.id}`,
        resource.id,
        'urn:uuid:1',
        'http://example.org/fhir/Patient/1',
      ]);
    case 'token':
      return pick(random, ['final', '|final', 'http://loinc.org|', 'http://loinc.org|8480-6', 'true', 'male', 'x|y']);
    default:
      return pick(random, ['a', 'an', 'smi', 'http://', 'Ä', 'true', 'false']);
  }
}

function list(random: Random, atMost: number, item: () => string): string {
  return Array.from({ length: 1 + below(random, atMost) }, item).join(',');
}

// ---- damaged resources ----

export async function randomWrite(random: Random, ask: Ask): Promise<Reply> {
  const resource = structuredClone(pick(random, resources));
  for (let damage = below(random, 4); damage > 0; damage--) damageSomewhere(random, resource);
  const sent = String(resource.resourceType);
  const type = pick(random, [sent, sent, pick(random, types)]);
  const text = random() < 0.1 ? broken(random, JSON.stringify(resource)) : JSON.stringify(resource);
  const how = random();
  if (how < 0.3) return ask(`/fhir/${segment(type)}`, { method: 'POST', body: text });
  if (how < 0.8)
    return ask(`/fhir/${segment(type)}/${segment(resource.id)}`, {
      method: 'PUT',
      body: text,
    });
  const entry = `{"fullUrl":"urn:uuid:${below(random, 3)}","resource":${text},"request":{"method":"${pick(random, ['POST', 'PUT', 'PATCH', 'DELETE', 'GET'])}","url":"${pick(random, ['Patient', `${type}/${resource.id}`, '', 'Patient?name=x', '../x'])}"}}`;
  return ask('/fhir', {
    method: 'POST',
    body: `{"resourceType":"Bundle","type":"${pick(random, ['batch', 'transaction'])}","entry":[${entry},${entry}]}`,
  });
}

/** A segment of a path; half a surrogate pair cannot be escaped. */
function segment(value: unknown): string {
  return encodeURIComponent(String(value).toWellFormed());
}

function broken(random: Random, text: string): string {
  const at = below(random, text.length);
  return (
    text.slice(0, at) +
    pick(random, ['', '"', '{', '}', ',', '\u0000', '\\u', '1e', '\\ud800']) +
    text.slice(at + below(random, 3))
  );
}

/** Walks down at random and does something unkind to one member. */
function damageSomewhere(random: Random, resource: Json): void {
  let place: Json = resource;
  for (;;) {
    const names = Object.keys(place);
    if (names.length === 0) return;
    const name = pick(random, names);
    const value = place[name];
    if (typeof value === 'object' && value !== null && random() < 0.7) {
      place = value;
      continue;
    }
    damage(random, place, name);
    return;
  }
}

function damage(random: Random, place: Json, name: string): void {
  const value = place[name];
  const choices: (() => void)[] = [
    () => delete place[name],
    () => (place[name] = null),
    () => (place[name] = pick(random, values)),
    () => (place[name] = pick(random, [0, -1, 1e308, 1e-308, 2 ** 53, 1.5, true, false])),
    () => (place[name] = [value]),
    () => (place[name] = [value, value, value]),
    () => (place[name] = { value }),
    () => (place[name] = []),
    () => (place[name] = {}),
    () => (place[`_${name}`] = { extension: [{ url: 'urn:x', valueString: 'x' }] }),
    () => (place[`${name}x`] = value),
    () => (place[name] = Array.from({ length: 200 }, () => value)),
    () => (place[name] = '\ud800'),
    () => (place[name] = { resourceType: 'Patient', contained: [place.contained] }),
  ];
  pick(random, choices)();
}

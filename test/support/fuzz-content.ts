// Damaged bodies: resources that were sound before something unkind was done to them, as JSON and as XML, patches, Bundles.
import { loadDefinitions } from '../../src/model/definitions.ts';
import { xmlOfJson } from '../../src/model/xml.ts';
import { type FuzzRequest, json, type Target } from './fuzz-request.ts';
import { anyType, randomQuery, randomSearch } from './fuzz-search.ts';
import {
  chance,
  dateText,
  hostileText,
  inAddress,
  many,
  names,
  oops,
  referenceText,
  type Wild,
  weighted,
} from './fuzz-values.ts';
import { below, pick } from './random-search.ts';

// biome-ignore lint/suspicious/noExplicitAny: resources are there to be damaged
export type Json = any;

const definitions = loadDefinitions();

/** Ids of what is written: few, so that they meet, and so that the store does not grow. */
const fuzzId = (random: Wild): string => `f-${below(random, 60)}`;

/** Somewhat more than a resource may have. */
const TEXT_CHARS_MAX = 4_500_000;

// ---- resources ----

/** JSON text of a resource after up to five kinds of damage; `resource` is what it was. */
export function damagedText(random: Wild, { samples }: Target): { text: string; resource: Json } {
  const resource = structuredClone(pick(random, samples));
  if (chance(random, 0.7)) resource.id = fuzzId(random);
  const raws: string[] = [];
  for (let left = chance(random, 0.3) ? 0 : below(random, 5); left > 0; left--)
    damageSomewhere(random, resource, samples, raws);
  let room = TEXT_CHARS_MAX;
  const text = JSON.stringify(resource).replace(/"@@raw-(\d+)@@"/g, (_, at) => {
    const raw = raws[at] ?? 'null';
    room -= raw.length;
    return room < 0 ? 'null' : raw;
  });
  return { text: oops(random, 0.15) ? brokenText(random, text) : text, resource };
}

/** Walks down at random and does something to one member. */
function damageSomewhere(random: Wild, resource: Json, samples: readonly Json[], raws: string[]): void {
  let place: Json = resource;
  for (;;) {
    const members = Object.keys(place);
    if (members.length === 0) return;
    const name = pick(random, members);
    const value = place[name];
    if (typeof value === 'object' && value !== null && chance(random, 0.7)) {
      place = value;
      continue;
    }
    place[name] = damaged(random, { place, name, value }, samples, raws);
    if (place[name] === undefined) delete place[name];
    return;
  }
}

function damaged(
  random: Wild,
  { place, name, value }: { place: Json; name: string; value: Json },
  samples: readonly Json[],
  raws: string[],
): Json {
  const raw = (text: string): string => `@@raw-${raws.push(text) - 1}@@`;
  return weighted<Json>(random, [
    [2, () => undefined],
    [1, () => pick(random, [null, true, false, 0, -1, 1e308, 2 ** 53, 1.5, '', [], {}, [[]], [null], [{}], ''])],
    [3, () => hostileText(random)],
    [1, () => dateText(random)],
    [1, () => raw(pick(random, RAW_VALUES))],
    [1, () => raw(deep(random))],
    [1, () => raw(`{"${pick(random, names).replace(/[\\"\0]/g, '')}":${JSON.stringify(value)},"a":1,"a":2}`)],
    [1, () => [value]],
    [1, () => ({ value })],
    [
      0.5,
      () =>
        Array.from(
          { length: below(random, Math.min(3_000, 1_000_000 / JSON.stringify(value ?? null).length)) },
          () => value,
        ),
    ],
    [0.3, () => raw(JSON.stringify('x'.repeat(below(random, 400_000))))],
    [2, () => partOf(random, pick(random, samples))],
    [1, () => ({ reference: referenceText(random, ['Patient/1', 'Foo/1', 'Observation/f-1']) })],
    [1, () => ({ resourceType: 'Patient', id: 'x', contained: [{ resourceType: 'Patient', contained: value }] })],
    [0.5, () => pick(random, NARRATIVES)],
    [
      1,
      () => {
        place[`_${name}`] = pick(random, [
          { extension: [{ url: 'urn:x', valueString: 'x' }] },
          { id: 'a' },
          [null],
          {},
          'x',
        ]);
        return value;
      },
    ],
    [
      1,
      () => {
        place[`${name}${pick(random, ['x', 'String', 'Quantity', 'CodeableConcept', 'DateTime'])}`] = value;
        return value;
      },
    ],
  ]);
}

/** JSON values that JSON.stringify would never write. */
const RAW_VALUES = [
  '1e400',
  '-0',
  '1.000000000000000000000000000000001',
  '123456789012345678901234567890',
  '1E5',
  '1e-400',
  '-1e999999',
  `1${'0'.repeat(5_000)}`,
  `0.${'0'.repeat(5_000)}1`,
  '01',
  '.5',
  '1.',
  '0x1',
  'NaN',
  'Infinity',
  '+1',
  "'a'",
  'undefined',
  '"\\ud800"',
  '"\\u0000"',
  '"\\x41"',
  '"\t"',
  '"\\ud83d\\ude00"',
  '{"__proto__":{"isAdmin":true}}',
  '{"constructor":{"prototype":{"x":1}}}',
  '{"a":1,}',
  '[1,]',
  '[,]',
  '{"a" 1}',
  '/* */1',
  '{"":1}',
  '{"a":{"a":{"a":[[[[]]]]}}}',
];

const deep = (random: Wild): string => {
  const levels = pick(random, [10, 40, 62, 63, 64, 65, 200, 5_000, 60_000]);
  return chance(random, 0.5)
    ? '['.repeat(levels) + ']'.repeat(levels)
    : `${'{"extension":[{"url":"urn:x","valueString":"x"},'.repeat(levels)}{}${']}'.repeat(levels)}`;
};

const NARRATIVES = [
  '<div xmlns="http://www.w3.org/1999/xhtml"><script>alert(1)</script></div>',
  '<div xmlns="http://www.w3.org/1999/xhtml"><a href="javascript:x" onclick="x">x</a>&nbsp;&unknown;</div>',
  `<div xmlns="http://www.w3.org/1999/xhtml">${'<b>'.repeat(3_000)}x${'</b>'.repeat(3_000)}</div>`,
  `<div xmlns="http://www.w3.org/1999/xhtml">${'<p>word </p>'.repeat(5_000)}</div>`,
  '<div>',
  '<div xmlns="http://www.w3.org/1999/xhtml"><!-- x --><![CDATA[ x ]]></div>',
  `<${'div '.repeat(10_000)}`,
  `${'&'.repeat(20_000)}`,
  `<div xmlns="http://www.w3.org/1999/xhtml">${'<'.repeat(20_000)}</div>`,
];

function partOf(random: Wild, resource: Json): Json {
  let place = resource;
  for (let depth = below(random, 5); depth >= 0; depth--) {
    const members = typeof place === 'object' && place !== null ? Object.values(place) : [];
    if (members.length === 0) break;
    place = pick(random, members);
  }
  return structuredClone(place);
}

/** Letters lost, added or turned. */
function brokenText(random: Wild, text: string): string {
  const at = below(random, text.length);
  return (
    text.slice(0, at) +
    pick(random, ['', '"', '{', '}', ',', '\u0000', '\\u', '1e', '\ufeff', '<']) +
    text.slice(at + below(random, 4))
  );
}

/** Bytes: now and then not even UTF-8. */
function bytesOf(random: Wild, text: string): Buffer {
  const bytes = Buffer.from(text);
  if (!oops(random, 0.1) || bytes.length === 0) return bytes;
  return weighted(random, [
    [1, () => Buffer.concat([Buffer.from('\ufeff'), bytes])],
    [
      1,
      () => {
        bytes[below(random, bytes.length)] = 0x80 + below(random, 0x80);
        return bytes;
      },
    ],
    [1, () => bytes.subarray(0, below(random, bytes.length))],
    [0.3, () => Buffer.from(text, 'utf16le')],
  ]);
}

// ---- XML ----

function xmlText(random: Wild, resource: Json): string {
  let text: string;
  try {
    text = Buffer.from(xmlOfJson(Buffer.from(JSON.stringify(resource)), definitions)).toString('utf8');
  } catch {
    // What JSON can say and XML cannot.
    text = '<Patient xmlns="http://hl7.org/fhir"><active value="true"/></Patient>';
  }
  for (let left = below(random, 3); left > 0; left--) text = damagedXml(random, text);
  return text;
}

function damagedXml(random: Wild, text: string): string {
  const at = below(random, text.length);
  const put = (inserted: string): string => text.slice(0, at) + inserted + text.slice(at);
  const between = (inserted: string): string => text.replace('>', `>${inserted}`);
  return weighted(random, [
    [2, () => brokenText(random, text)],
    [
      1,
      () =>
        `<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>${text.replace('value="', 'value="&c;')}`,
    ],
    [1, () => `<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>${between('&a;')}`],
    [
      1,
      () =>
        put(
          pick(random, [
            '<?php x ?>',
            '<!-- x -->',
            '<![CDATA[x]]>',
            '&nbsp;',
            '&#0;',
            '&#xD800;',
            '&lt;',
            '</x>',
            '<a/>',
            ' a="b"',
            'xmlns="x"',
          ]),
        ),
    ],
    [1, () => between(`${'<extension>'.repeat(pick(random, [10, 120, 130, 3_000]))}`)],
    [
      1,
      () =>
        between(
          pick(random, [
            '<active value="x"/>',
            '<name/>',
            '<id value="a"/><id value="b"/>',
            '<text><div/></text>',
            '<contained/>',
            'text',
          ]),
        ),
    ],
    [1, () => text.replaceAll('value=', pick(random, ['valu=', 'value ="a" value=', 'VALUE=', 'x:value=']))],
    [1, () => text.replace('http://hl7.org/fhir', pick(random, ['', 'urn:x', 'http://hl7.org/fhir/']))],
    [1, () => text.replace(/value="[^"]*"/, `value="${hostileText(random).replace(/["<&]/g, '')}"`)],
    [
      0.5,
      () =>
        text.replace(
          /<(\w+)/,
          `<$1 ${Array.from({ length: below(random, 2_000) }, (_, one) => `a${one}="x"`).join(' ')}`,
        ),
    ],
  ]);
}

const JSON_TYPES = ['application/fhir+json', 'application/json', 'text/json', 'application/fhir+json; charset=utf-8'];
const XML_TYPES = ['application/fhir+xml', 'application/xml', 'text/xml', 'application/fhir+xml;fhirVersion=4.0'];
const WRONG_TYPES = [
  'text/plain',
  'application/octet-stream',
  'multipart/form-data; boundary=x',
  '',
  'application/json; charset=latin1',
  'application/x-www-form-urlencoded',
  ';;;',
  'image/png',
];

/** A resource as a body, with its media type. */
function body(random: Wild, target: Target): { bytes: Buffer; headers: Record<string, string>; resource: Json } {
  const { text, resource } = damagedText(random, target);
  return weighted(random, [
    [16, () => ({ bytes: bytesOf(random, text), headers: { 'content-type': pick(random, JSON_TYPES) }, resource })],
    [
      4,
      () => ({
        bytes: bytesOf(random, xmlText(random, resource)),
        headers: { 'content-type': pick(random, XML_TYPES) },
        resource,
      }),
    ],
    [
      1,
      () => ({
        bytes: bytesOf(random, text),
        headers: { 'content-type': pick(random, [...WRONG_TYPES, ...XML_TYPES]) },
        resource,
      }),
    ],
  ]);
}

// ---- writes ----

export function randomWrite(random: Wild, target: Target): FuzzRequest {
  const { bytes, headers, resource } = body(random, target);
  const type = oops(random, 0.1) ? anyType(random, target) : String(resource.resourceType);
  const id = oops(random, 0.1) ? hostileText(random, 80) : String(resource.id ?? fuzzId(random));
  const condition = (): string => randomQuery(random, type, target);
  return weighted(random, [
    [6, () => ({ method: 'PUT', path: `${segment(type)}/${segment(id)}`, headers, body: bytes })],
    [2, () => ({ method: 'POST', path: segment(type), headers, body: bytes })],
    [1, () => ({ method: 'PUT', path: `${segment(type)}?${condition()}`, headers, body: bytes })],
    [
      1,
      () => ({
        method: 'POST',
        path: segment(type),
        headers: { ...headers, 'if-none-exist': condition().slice(0, 3_000) },
        body: bytes,
      }),
    ],
    [0.3, () => ({ method: 'POST', path: '', headers, body: bytes })],
  ]);
}

/** A segment of a path. */
const segment = (text: string): string => encodeURIComponent(text.toWellFormed());

export function randomDelete(random: Wild, target: Target): FuzzRequest {
  const type = anyType(random, target);
  return weighted(random, [
    [6, () => ({ method: 'DELETE', path: `${segment(type)}/${fuzzId(random)}`, headers: {} })],
    // Without a narrow condition there would soon be nothing left to search.
    [
      2,
      () => ({
        method: 'DELETE',
        path: `${segment(type)}?_id=${fuzzId(random)}&${randomQuery(random, type, target)}`,
        headers: {},
      }),
    ],
    [
      1,
      () => ({
        method: 'DELETE',
        path: `${segment(type)}?_id=${fuzzId(random)}&_count=${below(random, 600)}`,
        headers: {},
      }),
    ],
  ]);
}

/** Added parameters, value sets with rules, lists and groups, under a few ids: what they say, searches then work with. */
export function randomDefinition(random: Wild, target: Target): FuzzRequest {
  const [path, resource] = weighted<[string, Json]>(random, [
    [1, () => [`SearchParameter/f-${below(random, 4)}`, searchParameter(random, target)]],
    [1, () => [`ValueSet/f-${below(random, 4)}`, valueSet(random)]],
    [1, () => [`CodeSystem/f-${below(random, 4)}`, codeSystem(random)]],
    [
      1,
      () => [
        `List/f-${below(random, 2)}`,
        {
          resourceType: 'List',
          status: 'current',
          mode: 'working',
          entry: many(random, 200, () => ({ item: { reference: referenceText(random, target.known) } })),
        },
      ],
    ],
    [
      1,
      () => [
        'Group/f-1',
        {
          resourceType: 'Group',
          type: 'person',
          actual: true,
          member: many(random, 50, () => ({ entity: { reference: referenceText(random, target.known) } })),
        },
      ],
    ],
  ]);
  return {
    method: 'PUT',
    path,
    headers: { 'content-type': 'application/fhir+json' },
    body: json({ ...resource, id: path.split('/')[1] }),
  };
}

const EXPRESSIONS = [
  'Patient.name.given',
  'Patient.extension.value',
  "Patient.extension.where(url = 'urn:x').value",
  'Observation.component.value',
  'Patient.contained',
  'Resource.meta.tag',
  '%resource',
  "Patient.name.where(use = 'official').family | Patient.name.text",
  `Patient${'.extension'.repeat(12)}.value`,
  `${'('.repeat(30)}Patient.name${')'.repeat(30)}`,
  "Patient.name.matches('(a+)+$')",
  'Patient.descendants()',
  'Patient.children()',
  'Patient.managingOrganization.resolve().name',
  'Patient.birthDate as date',
  '',
  'x',
  'Observation.value as Quantity',
  'Observation.value.ofType(Period)',
  'Encounter.period.start',
];

const searchParameter = (random: Wild, target: Target): Json => ({
  resourceType: 'SearchParameter',
  url: `urn:fuzz:${below(random, 4)}`,
  name: 'Fuzz',
  status: pick(random, ['active', 'active', 'draft', 'retired']),
  description: 'x',
  code: pick(random, ['fuzz', 'fuzz-2', 'name', '_id', pick(random, names)]),
  base: many(random, 3, () =>
    pick(random, ['Patient', 'Observation', 'Resource', 'DomainResource', anyType(random, target)]),
  ),
  type: pick(random, ['string', 'token', 'date', 'reference', 'quantity', 'number', 'uri', 'composite', 'special']),
  expression: chance(random, 0.9) ? pick(random, EXPRESSIONS) : hostileText(random),
  target: ['Patient'],
});

const valueSet = (random: Wild): Json => ({
  resourceType: 'ValueSet',
  url: `urn:fuzz:vs:${below(random, 4)}`,
  status: 'active',
  compose: {
    include: many(random, 3, () =>
      weighted<Json>(random, [
        [
          1,
          () => ({
            system: 'http://loinc.org',
            concept: many(random, 5, () => ({ code: pick(random, ['8480-6', 'x', '']) })),
          }),
        ],
        [1, () => ({ valueSet: [`urn:fuzz:vs:${below(random, 4)}`] })],
        [
          1,
          () => ({
            system: `urn:fuzz:cs:${below(random, 4)}`,
            filter: [
              {
                property: pick(random, ['concept', 'code', 'display', 'x']),
                op: pick(random, ['is-a', 'descendent-of', 'regex', '=', 'in', 'exists', 'is-not-a', 'generalizes']),
                value: pick(random, ['c1', '(a+)+$', '(((', '.*'.repeat(100), '', hostileText(random, 300)]),
              },
            ],
          }),
        ],
        [
          1,
          () => ({
            system: pick(random, [
              'http://hl7.org/fhir/observation-status',
              'http://snomed.info/sct',
              'http://hl7.org/fhir/resource-types',
            ]),
          }),
        ],
      ]),
    ),
  },
});

const codeSystem = (random: Wild): Json => ({
  resourceType: 'CodeSystem',
  url: `urn:fuzz:cs:${below(random, 4)}`,
  status: 'active',
  content: 'complete',
  concept: Array.from({ length: below(random, 800) }, (_, at) => ({
    code: `c${at}`,
    display: 'a'.repeat(below(random, 60)),
    property: [{ code: 'parent', valueCode: `c${below(random, 800)}` }],
  })),
});

// ---- patches ----

export function randomPatch(random: Wild, target: Target): FuzzRequest {
  const [sample] = many(random, 1, () => pick(random, target.samples));
  const path = weighted(random, [
    [6, () => `${sample.resourceType}/${sample.id}`],
    [2, () => `${anyType(random, target)}/${fuzzId(random)}`],
    [1, () => `${sample.resourceType}?_id=${sample.id}`],
    [1, () => randomSearch(random, target)],
  ]);
  return weighted<FuzzRequest>(random, [
    [
      3,
      () => ({
        method: 'PATCH',
        path,
        headers: { 'content-type': 'application/json-patch+json' },
        body: bytesOf(random, jsonPatch(random, sample)),
      }),
    ],
    [
      3,
      () => ({
        method: 'PATCH',
        path,
        headers: { 'content-type': 'application/fhir+json' },
        body: bytesOf(random, JSON.stringify(pathPatch(random, sample))),
      }),
    ],
    [
      1,
      () => ({
        method: 'PATCH',
        path,
        headers: { 'content-type': 'application/fhir+xml' },
        body: bytesOf(random, xmlText(random, pathPatch(random, sample))),
      }),
    ],
    [
      0.5,
      () => ({
        method: 'PATCH',
        path,
        headers: { 'content-type': pick(random, [...WRONG_TYPES, ...XML_TYPES]) },
        body: bytesOf(random, jsonPatch(random, sample)),
      }),
    ],
  ]);
}

const jsonPatch = (random: Wild, sample: Json): string =>
  weighted(random, [
    [10, () => JSON.stringify(many(random, chance(random, 0.03) ? 1_200 : 4, () => jsonOperation(random, sample)))],
    [1, () => pick(random, ['[]', '{}', 'null', '[null]', '[[]]', '""', '[{}]', ''])],
    [1, () => brokenText(random, JSON.stringify([jsonOperation(random, sample)]))],
  ]);

const jsonOperation = (random: Wild, sample: Json): Json => ({
  op: pick(random, ['add', 'remove', 'replace', 'move', 'copy', 'test', 'add', 'x', '']),
  path: pointer(random, sample),
  from: pointer(random, sample),
  value: chance(random, 0.5)
    ? partOf(random, sample)
    : pick(random, [null, 1, 'x', [], {}, { reference: 'Patient/1' }, hostileText(random)]),
});

function pointer(random: Wild, sample: Json): string {
  const steps: string[] = [];
  let place = sample;
  for (let depth = 1 + below(random, 4); depth > 0 && typeof place === 'object' && place !== null; depth--) {
    const members = Object.keys(place);
    if (members.length === 0) break;
    const name = pick(random, members);
    steps.push(name.replaceAll('~', '~0').replaceAll('/', '~1'));
    place = place[name];
  }
  const text = `/${steps.join('/')}`;
  return weighted(random, [
    [8, () => text],
    [1, () => `${text}/-`],
    [1, () => `${text}/${below(random, 5)}`],
    [
      1,
      () =>
        pick(random, [
          '',
          '/',
          '-',
          '/-',
          '/__proto__/x',
          '/constructor/prototype',
          '/~2',
          '/id',
          '/resourceType',
          '/meta',
          '/meta/versionId',
          `/${'a/'.repeat(500)}`,
          hostileText(random, 200),
        ]),
    ],
  ]);
}

const PATHS = [
  'Patient',
  'Patient.name',
  'Patient.name[0]',
  'Patient.name.first()',
  "Patient.name.where(use = 'official')",
  'Patient.birthDate',
  'Observation.value',
  'Observation.component',
  'Patient.contained',
  'Patient.descendants()',
  '1 + 1',
  "'a'",
  'Patient.name.given',
  'Patient.extension',
  'Resource.meta',
  'Patient.id',
  '%resource',
  'iif(true, Patient.name, Patient)',
  'Patient.name.aggregate($total + 1, 0)',
  'Patient.name.repeat(given)',
  "('x' & 'y').replaceMatches('(x+)+', 'x')",
  'Patient.text.`div`',
  '(1 | 2 | 3).repeat($this)',
  "Patient.trace('x')",
  'now()',
  'Patient.name[99999999999]',
  'Patient.name.where(',
  '{}',
  '$this',
  'Patient.resolve()',
  "'a'.matches('(a+)+$')",
];

export const anyPath = (random: Wild): string =>
  weighted(random, [
    [8, () => pick(random, PATHS)],
    [
      1,
      () =>
        `${pick(random, PATHS)}.${pick(random, ['first()', 'where($this)', 'descendants()', 'repeat(children())', 'select(%resource)', 'combine(%resource)', 'all(true)', 'toString()', 'length()'])}`,
    ],
    [1, () => hostileText(random, 300)],
    [0.5, () => `${'('.repeat(below(random, 1_500))}Patient`],
    [0.5, () => Array.from({ length: below(random, 300) }, () => 'Patient.name').join(' | ')],
  ]);

const pathPatch = (random: Wild, sample: Json): Json => ({
  resourceType: chance(random, 0.97) ? 'Parameters' : sample.resourceType,
  parameter: many(random, 4, () => ({
    name: chance(random, 0.95) ? 'operation' : hostileText(random, 20),
    part: [
      { name: 'type', valueCode: pick(random, ['add', 'insert', 'delete', 'replace', 'move', 'x']) },
      { name: 'path', valueString: chance(random, 0.5) ? ownPath(random, sample) : anyPath(random) },
      { name: 'name', valueString: pick(random, [...Object.keys(sample), ...names]) },
      {
        name: 'value',
        ...pick(random, [
          { valueString: 'x' },
          { valueBoolean: true },
          { valueDateTime: dateText(random) },
          { valueHumanName: { family: 'X' } },
          { part: [{ name: 'given', valueString: 'x' }] },
          {},
          { valueCode: 'x' },
          { valueReference: { reference: 'Patient/1' } },
        ]),
      },
      { name: 'index', valueInteger: below(random, 5) - 1 },
      { name: 'source', valueInteger: below(random, 5) - 1 },
      { name: 'destination', valueInteger: below(random, 5) - 1 },
    ].filter(() => chance(random, 0.9)),
  })),
});

const ownPath = (random: Wild, sample: Json): string =>
  pointer(random, sample)
    .split('/')
    .map((step) => (/^\d+$/.test(step) ? `[${step}]` : `.${step}`))
    .join('')
    .replace(/^\.?\.?/, `${sample.resourceType}.`);

// ---- Bundles ----

export function randomBundle(random: Wild, target: Target): FuzzRequest {
  const entries = weighted(random, [
    [20, () => many(random, 6, () => entryText(random, target))],
    [
      0.3,
      () =>
        Array.from(
          { length: 1_500 },
          (_, at) =>
            `{"fullUrl":"urn:uuid:${at}","resource":{"resourceType":"Basic","code":{"text":"x"},"subject":{"reference":"urn:uuid:${at + 1}"}},"request":{"method":"PUT","url":"Basic/f-${at % 60}"}}`,
        ),
    ],
    [0.5, () => []],
  ]);
  const text = `{"resourceType":"Bundle","type":${JSON.stringify(pick(random, ['batch', 'batch', 'transaction', 'transaction', 'transaction', 'collection', 'document', 'x']))},"entry":[${entries.join(',')}]}`;
  const headers = { 'content-type': 'application/fhir+json' };
  return {
    method: 'POST',
    path: '',
    headers,
    body: bytesOf(random, chance(random, 0.05) ? brokenText(random, text) : text),
  };
}

function entryText(random: Wild, target: Target): string {
  const { text, resource } = damagedText(random, target);
  const type = String(resource.resourceType);
  const method = pick(random, ['POST', 'PUT', 'PUT', 'GET', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS', 'x']);
  const url = weighted(random, [
    [4, () => (method === 'POST' ? type : `${type}/${resource.id}`)],
    [2, () => `${type}/${fuzzId(random)}`],
    [2, () => randomSearch(random, target)],
    [1, () => `${type}/${fuzzId(random)}/_history/${below(random, 4)}`],
    [
      1,
      () =>
        pick(random, [
          '',
          '/',
          'metadata',
          '$meta',
          'Patient/$everything',
          'Patient/f-1/$everything',
          '../x',
          'http://x/y',
          'Patient/_search',
          '$graphql',
          'Observation/$lastn',
          'Bundle',
          hostileText(random, 100),
        ]),
    ],
  ]);
  const request = {
    method,
    url: method === 'DELETE' && url.includes('?') ? `${type}?_id=${fuzzId(random)}` : url,
    ...(chance(random, 0.2) ? { ifNoneExist: randomQuery(random, type, target).slice(0, 2_000) } : {}),
    ...(chance(random, 0.2) ? { ifMatch: pick(random, ['W/"1"', '"1"', 'x', '']) } : {}),
  };
  const fullUrl = pick(random, [
    'urn:uuid:a',
    'urn:uuid:b',
    'urn:oid:1.2',
    `http://example.org/${type}/1`,
    `${type}/1`,
    'x',
    '',
  ]);
  const patch =
    method === 'PATCH'
      ? {
          resourceType: 'Binary',
          contentType: 'application/json-patch+json',
          data: Buffer.from(jsonPatch(random, resource)).toString('base64'),
        }
      : undefined;
  const parts = [
    ...(chance(random, 0.7) ? [`"fullUrl":${JSON.stringify(fullUrl)}`] : []),
    ...(chance(random, 0.9) ? [`"resource":${patch === undefined ? text : JSON.stringify(patch)}`] : []),
    ...(chance(random, 0.97) ? [`"request":${JSON.stringify(request)}`] : []),
  ];
  return `{${parts.join(',')}}`;
}

/** Anything under a name in an address. */
export const parameterText = (random: Wild, name: string, value: string): string =>
  `${name}=${inAddress(random, value)}`;

// Patches: JSON Patch and FHIRPath Patch, right ones and wrong ones.
import type { FuzzRequest, Json, Target } from './fuzz-request.ts';
import { brokenText, bytesOf, partOf, xmlText } from './fuzz-resource.ts';
import { anyType, randomSearch } from './fuzz-search.ts';
import { chance, dateText, fuzzId, hostileText, many, names, type Wild, weighted } from './fuzz-values.ts';
import { WRONG_TYPES, XML_TYPES } from './fuzz-write.ts';
import { below, pick } from './random-search.ts';

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

export const jsonPatch = (random: Wild, sample: Json): string =>
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

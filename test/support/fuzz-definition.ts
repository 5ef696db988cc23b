// Resources that change what other requests mean: added search parameters, value sets with rules, lists and groups.
import { type FuzzRequest, type Json, json, type Target } from './fuzz-request.ts';
import { anyType } from './fuzz-search.ts';
import { chance, hostileText, many, names, referenceText, type Wild, weighted } from './fuzz-values.ts';
import { below, pick } from './random-search.ts';

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

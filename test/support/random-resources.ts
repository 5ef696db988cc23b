// Made-up resources of several linked types, from a seed, and the codes that they may have.
import { below, pick, type Random } from './random-search.ts';
import {
  address,
  age,
  calendarDate,
  chance,
  coding,
  concept,
  dateTime,
  humanName,
  identifier,
  instant,
  maybe,
  NUMBERS,
  narrative,
  period,
  position,
  quantity,
  range,
  reference,
  some,
  TREE,
  telecom,
  timing,
  URIS,
  valueSetUrls,
  word,
} from './random-values.ts';

export const madeTypes = [
  'Patient',
  'Practitioner',
  'Organization',
  'Encounter',
  'Observation',
  'Observation',
  'Condition',
  'MedicationRequest',
  'Claim',
  'RiskAssessment',
  'ChargeItem',
  'QuestionnaireResponse',
  'ValueSet',
  'Location',
  'List',
  'Group',
  'DocumentReference',
  'MolecularSequence',
] as const;

/** A resource that the structure check accepts. */
export function randomResource(random: Random, type: string, id: string): Record<string, unknown> {
  const meta = {
    ...maybe(random, 0.3, 'tag', () => some(random, 2, () => coding(random))),
    ...maybe(random, 0.2, 'security', () => [coding(random)]),
    ...maybe(random, 0.3, 'profile', () => [pick(random, URIS)]),
    ...maybe(random, 0.2, 'source', () => pick(random, URIS)),
  };
  const body = contentOf(random, type);
  const isInside = JSON.stringify(body).includes('"#inside"');
  return {
    resourceType: type,
    id,
    ...(Object.keys(meta).length === 0 ? {} : { meta }),
    ...maybe(random, 0.3, 'text', () => narrative(random)),
    ...(isInside ? { contained: [{ resourceType: 'Patient', id: 'inside', gender: 'male' }] } : {}),
    ...body,
  };
}

function contentOf(r: Random, type: string): Record<string, unknown> {
  const identifiers = maybe(r, 0.4, 'identifier', () => some(r, 2, () => identifier(r)));
  switch (type) {
    case 'Patient':
      return {
        ...identifiers,
        ...person(r),
        ...pick(r, [{}, { deceasedBoolean: true }, { deceasedBoolean: false }, { deceasedDateTime: dateTime(r) }]),
        ...maybe(r, 0.4, 'managingOrganization', () => reference(r, 'Organization')),
        ...maybe(r, 0.5, 'generalPractitioner', () =>
          some(r, 2, () => reference(r, 'Practitioner', 'Organization', 'PractitionerRole')),
        ),
        ...maybe(r, 0.2, 'link', () => [{ other: reference(r, 'Patient'), type: 'seealso' }]),
      };
    case 'Practitioner':
      return { ...identifiers, ...person(r) };
    case 'Organization':
      return {
        ...identifiers,
        ...maybe(r, 0.7, 'active', () => chance(r, 0.5)),
        name: word(r),
        ...maybe(r, 0.3, 'alias', () => [word(r)]),
        ...maybe(r, 0.4, 'address', () => [address(r)]),
        ...maybe(r, 0.6, 'partOf', () => reference(r, 'Organization')),
      };
    case 'Encounter':
      return {
        ...identifiers,
        status: pick(r, ['planned', 'finished']),
        class: coding(r),
        ...maybe(r, 0.8, 'subject', () => reference(r, 'Patient')),
        ...maybe(r, 0.8, 'period', () => period(r)),
        ...maybe(r, 0.4, 'length', () => quantity(r)),
        ...maybe(r, 0.4, 'participant', () =>
          some(r, 2, () => ({ individual: reference(r, 'Practitioner', 'RelatedPerson') })),
        ),
        ...maybe(r, 0.3, 'serviceProvider', () => reference(r, 'Organization')),
        ...maybe(r, 0.3, 'diagnosis', () => [{ condition: reference(r, 'Condition') }]),
        ...maybe(r, 0.3, 'location', () => [{ location: reference(r, 'Location') }]),
        ...maybe(r, 0.2, 'partOf', () => reference(r, 'Encounter')),
      };
    case 'Observation':
      return {
        ...identifiers,
        status: pick(r, ['final', 'amended']),
        code: concept(r),
        ...maybe(r, 0.4, 'category', () => some(r, 2, () => concept(r))),
        ...maybe(r, 0.9, 'subject', () => reference(r, 'Patient', 'Patient', 'Patient', 'Device', 'Location')),
        ...maybe(r, 0.5, 'encounter', () => reference(r, 'Encounter')),
        ...maybe(r, 0.4, 'performer', () => some(r, 2, () => reference(r, 'Practitioner', 'Organization', 'Patient'))),
        ...pick(r, [
          {},
          { effectiveDateTime: dateTime(r) },
          { effectivePeriod: period(r) },
          { effectiveTiming: timing(r) },
          { effectiveInstant: instant(r) },
        ]),
        ...observedValue(r),
        ...maybe(r, 0.4, 'component', () => some(r, 3, () => ({ code: concept(r), ...observedValue(r) }))),
        ...maybe(r, 0.2, 'hasMember', () => [reference(r, 'Observation')]),
        ...maybe(r, 0.2, 'note', () => [{ text: word(r) }]),
      };
    case 'Condition':
      return {
        ...identifiers,
        subject: reference(r, 'Patient', 'Patient', 'Group'),
        ...maybe(r, 0.8, 'code', () => concept(r)),
        ...maybe(r, 0.4, 'encounter', () => reference(r, 'Encounter')),
        ...pick(r, [
          {},
          { onsetDateTime: dateTime(r) },
          { onsetPeriod: period(r) },
          { onsetAge: age(r) },
          { onsetRange: range(r) },
          { onsetString: word(r) },
        ]),
        ...maybe(r, 0.4, 'recordedDate', () => dateTime(r)),
        ...maybe(r, 0.3, 'asserter', () => reference(r, 'Practitioner', 'Patient')),
      };
    case 'MedicationRequest':
      return {
        ...identifiers,
        status: pick(r, ['active', 'stopped']),
        intent: 'order',
        ...(chance(r, 0.7)
          ? { medicationCodeableConcept: concept(r) }
          : { medicationReference: reference(r, 'Medication') }),
        subject: reference(r, 'Patient'),
        ...maybe(r, 0.6, 'authoredOn', () => dateTime(r)),
        ...maybe(r, 0.4, 'requester', () => reference(r, 'Practitioner', 'Patient')),
        ...maybe(r, 0.3, 'dosageInstruction', () => some(r, 2, () => ({ timing: timing(r) }))),
      };
    case 'Claim':
      return {
        ...identifiers,
        status: 'active',
        type: concept(r),
        use: pick(r, ['claim', 'preauthorization']),
        patient: reference(r, 'Patient'),
        created: dateTime(r),
        provider: reference(r, 'Practitioner', 'Organization'),
        priority: concept(r),
        insurance: [{ sequence: 1, focal: true, coverage: { display: 'x' } }],
        ...maybe(r, 0.4, 'item', () => [
          { sequence: 1, productOrService: concept(r), encounter: [reference(r, 'Encounter')] },
        ]),
      };
    case 'RiskAssessment':
      return {
        ...identifiers,
        status: 'final',
        subject: reference(r, 'Patient', 'Group'),
        ...maybe(r, 0.5, 'occurrenceDateTime', () => dateTime(r)),
        ...maybe(r, 0.5, 'condition', () => reference(r, 'Condition')),
        ...maybe(r, 0.9, 'prediction', () =>
          some(r, 2, () => pick(r, [{ probabilityDecimal: pick(r, NUMBERS) }, { probabilityRange: range(r) }])),
        ),
      };
    case 'ChargeItem':
      return {
        status: 'billable',
        code: concept(r),
        subject: reference(r, 'Patient'),
        ...maybe(r, 0.4, 'context', () => reference(r, 'Encounter')),
        ...pick(r, [
          {},
          { occurrenceDateTime: dateTime(r) },
          { occurrencePeriod: period(r) },
          { occurrenceTiming: timing(r) },
        ]),
        ...maybe(r, 0.6, 'quantity', () => quantity(r)),
        ...maybe(r, 0.6, 'factorOverride', () => pick(r, NUMBERS)),
        ...maybe(r, 0.6, 'priceOverride', () => ({ value: pick(r, NUMBERS), currency: pick(r, ['EUR', 'USD']) })),
        ...maybe(r, 0.3, 'service', () => [reference(r, 'Observation')]),
      };
    case 'QuestionnaireResponse':
      return {
        status: 'completed',
        questionnaire: `${pick(r, URIS)}${pick(r, ['', '', '|1.0', '|2'])}`,
        ...maybe(r, 0.7, 'subject', () => reference(r, 'Patient')),
        ...maybe(r, 0.5, 'authored', () => dateTime(r)),
        ...maybe(r, 0.5, 'author', () => reference(r, 'Practitioner', 'Patient', 'Organization')),
      };
    case 'Location':
      return {
        ...identifiers,
        ...maybe(r, 0.6, 'name', () => word(r)),
        ...maybe(r, 0.8, 'position', () => position(r)),
        ...maybe(r, 0.4, 'address', () => address(r)),
        ...maybe(r, 0.4, 'partOf', () => reference(r, 'Location')),
      };
    case 'List':
      return {
        ...identifiers,
        status: 'current',
        mode: 'changes',
        ...maybe(r, 0.4, 'code', () => concept(r)),
        ...maybe(r, 0.9, 'entry', () =>
          some(r, 12, () => ({
            item: reference(r, ...madeTypes),
            ...maybe(r, 0.2, 'deleted', () => chance(r, 0.6)),
          })),
        ),
      };
    case 'Group':
      return {
        ...identifiers,
        type: 'person',
        actual: chance(r, 0.5),
        ...maybe(r, 0.8, 'characteristic', () =>
          some(r, 3, () => ({
            code: concept(r),
            ...pick(r, [
              { valueCodeableConcept: concept(r) },
              { valueCodeableConcept: concept(r) },
              { valueBoolean: chance(r, 0.5) },
              { valueQuantity: quantity(r) },
              { valueRange: range(r) },
              { valueReference: reference(r, 'Patient') },
            ]),
            exclude: chance(r, 0.3),
          })),
        ),
        ...maybe(r, 0.5, 'member', () => some(r, 3, () => ({ entity: reference(r, 'Patient', 'Practitioner') }))),
      };
    case 'DocumentReference':
      return {
        ...identifiers,
        status: 'current',
        ...maybe(r, 0.5, 'subject', () => reference(r, 'Patient')),
        ...maybe(r, 0.7, 'relatesTo', () =>
          some(r, 3, () => ({
            code: pick(r, ['replaces', 'appends', 'signs']),
            target: reference(r, 'DocumentReference'),
          })),
        ),
        ...maybe(r, 0.3, 'description', () => word(r)),
        content: [{ attachment: { title: word(r) } }],
      };
    case 'MolecularSequence':
      return {
        ...identifiers,
        coordinateSystem: 0,
        ...maybe(r, 0.9, 'referenceSeq', () => ({
          ...maybe(r, 0.8, 'chromosome', () => concept(r)),
          ...maybe(r, 0.8, 'referenceSeqId', () => concept(r)),
          windowStart: below(r, 10) * 10,
          windowEnd: below(r, 10) * 10,
        })),
        ...maybe(r, 0.8, 'variant', () => some(r, 3, () => ({ start: below(r, 10) * 10, end: below(r, 10) * 10 }))),
      };
    default:
      return {
        ...identifiers,
        status: 'active',
        ...maybe(r, 0.9, 'url', () => pick(r, URIS)),
        ...maybe(r, 0.5, 'date', () => dateTime(r)),
        ...maybe(r, 0.5, 'name', () => word(r)),
        ...maybe(r, 0.6, 'useContext', () =>
          some(r, 3, () => ({
            code: coding(r),
            ...pick(r, [
              { valueQuantity: quantity(r) },
              { valueRange: range(r) },
              { valueCodeableConcept: concept(r) },
              { valueReference: reference(r, 'Location') },
            ]),
          })),
        ),
      };
  }
}

const observedValue = (r: Random): object =>
  pick(r, [
    {},
    { valueQuantity: quantity(r) },
    { valueQuantity: quantity(r) },
    { valueCodeableConcept: concept(r) },
    { valueString: word(r) },
    { valueDateTime: dateTime(r) },
    { valuePeriod: period(r) },
    { valueSampledData: { origin: quantity(r), period: 1, dimensions: 1 } },
    { valueRange: range(r) },
  ]);

const person = (r: Random): Record<string, unknown> => ({
  ...maybe(r, 0.6, 'active', () => chance(r, 0.5)),
  ...maybe(r, 0.85, 'name', () => some(r, 2, () => humanName(r))),
  ...maybe(r, 0.4, 'telecom', () => some(r, 2, () => telecom(r))),
  ...maybe(r, 0.7, 'gender', () => pick(r, ['male', 'female', 'other'])),
  ...maybe(r, 0.7, 'birthDate', () => calendarDate(r)),
  ...maybe(r, 0.4, 'address', () => [address(r)]),
});

// ---- code systems and value sets ----

/** The code system TREE, or one of the value sets that select from it, in one of its versions. */
export function randomTerminology(random: Random, at: number): Record<string, unknown> {
  if (at === 0) return randomTree(random);
  const url = valueSetUrls[at - 1];
  const compose = pick(random, COMPOSITIONS[at - 1] ?? []);
  return { resourceType: 'ValueSet', id: `set${at}`, url, status: 'active', compose };
}

export const terminologyCount = 1 + valueSetUrls.length;

/** Either of two hierarchies, with and without regard to capitals. */
function randomTree(random: Random): Record<string, unknown> {
  const [first, second] = chance(random, 0.5) ? ['t12', 't2'] : ['t2', 't12'];
  const concept = [
    {
      code: 't1',
      concept: [{ code: 't11' }, { code: first, concept: [{ code: 't121' }, { code: 'a' }] }],
    },
    { code: second, concept: [{ code: 'b' }] },
  ];
  const caseSensitive = chance(random, 0.5);
  return {
    resourceType: 'CodeSystem',
    id: 'tree',
    url: TREE,
    status: 'active',
    content: 'complete',
    caseSensitive,
    concept,
  };
}

const isA = (value: string, op = 'is-a'): object => ({
  system: TREE,
  filter: [{ property: 'concept', op, value }],
});
const LISTED = { system: 'http://loinc.org', concept: [{ code: 'a' }, { code: '1234-5' }, { code: 'male' }] };

/** What each value set may say. */
const COMPOSITIONS: readonly (readonly object[])[] = [
  [{ include: [isA('t1')] }, { include: [isA('t2', 'descendent-of')] }, { include: [{ system: TREE }] }],
  [
    { include: [LISTED] },
    { include: [LISTED, { system: TREE, concept: [{ code: 't1' }, { code: 'b' }] }] },
    { include: [{ system: 'urn:oid:1.2.3' }] },
  ],
  [
    { include: [{ valueSet: [valueSetUrls[0]] }], exclude: [isA('t12')] },
    { include: [{ valueSet: [valueSetUrls[0]] }, LISTED] },
    {
      include: [{ ...isA('t1'), valueSet: [valueSetUrls[0]] }],
      exclude: [{ system: TREE, concept: [{ code: 't11' }] }],
    },
  ],
];

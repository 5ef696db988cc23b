// Made-up resources of several linked types, and made-up searches for them, from a seed. Values come from small pools, so
// that they meet; searches are mostly made from values that some resource has.
import type { Definitions } from '../../src/model/definitions.ts';
import type { TypedValue } from '../../src/model/search-accessors.ts';
import { baseUrl } from './engine.ts';
import { below, pick, type Random } from './random-search.ts';
import type { Prefix, SearchValue, SlowCriterion, SlowSearch } from './slow-search.ts';

export const madeTypes = [
  'Patient',
  'Practitioner',
  'Organization',
  'Encounter',
  'Observation',
  'Condition',
  'MedicationRequest',
  'Claim',
  'RiskAssessment',
  'ChargeItem',
  'QuestionnaireResponse',
  'ValueSet',
] as const;

export const madeIds = Array.from({ length: 12 }, (_, at) => `r${at}`);

const chance = (random: Random, share: number): boolean => random() < share;

/** A member that is there with some probability; to be spread. */
function maybe<T>(random: Random, share: number, name: string, make: () => T): Record<string, T> {
  return chance(random, share) ? { [name]: make() } : {};
}

function some<T>(random: Random, most: number, make: () => T): T[] {
  return Array.from({ length: 1 + below(random, most) }, make);
}

// ---- values ----

const WORDS = [
  'Anna',
  'ANNA',
  'Änna',
  'anna maria',
  "O'Brien",
  'Müller-Lüdenscheidt',
  'Łukasz',
  'Straße',
  'ΣΊΣΥΦΟΣ',
  'José',
  'Jose\u0301',
  'Nguyễn',
  'Ἀθηνᾶ',
  'Иванова',
  '山田',
  '山田 太郎',
  '山𠮷',
  '한국',
  '𠮷田',
  '𠮷',
  'Zoë 😀',
  'z\uFFFD',
  'z😀',
  'z',
  'a,b|c\\d$e',
  'a,b',
  '50% & more = "x"+#',
  'two  spaces',
  ' edge ',
  `long ${'x'.repeat(230)} one`,
  `long ${'x'.repeat(230)} two`,
];
const CODES = ['a', 'A', 'b', 'a-1', 'final', '1234-5', 'x|y', 'é', 'true'];
const SYSTEMS = ['http://loinc.org', 'http://snomed.info/sct', 'urn:oid:1.2.3', 'http://a.example/x'];
const URIS = [
  'http://acme.org/fhir/ValueSet/123',
  'http://acme.org/fhir/ValueSet',
  'http://acme.org/fhir',
  'http://acme.org/fhirs',
  'http://acme.org',
  'urn:oid:1.2.3.4',
  'http://acme.org/fhir/ValueSet/123/x',
  'http://Acme.org/fhir',
];
const UNITS = [
  { unit: 'mg', system: 'http://unitsofmeasure.org', code: 'mg' },
  { unit: 'milligram', system: 'http://unitsofmeasure.org', code: 'mg' },
  { unit: 'mmol/L', system: 'http://unitsofmeasure.org', code: 'mmol/L' },
  { unit: 'mg' },
  { unit: 'tablet', system: 'http://a.example/units', code: 'mg' },
  {},
];
const NUMBERS = [0, 1, 2, 5.4, 5.39, 5.35, 5.45, 99.5, 100, 100.5, 95, 105, -5.4, -5, 0.1, 1e-7, 1000000, 0.8, 90, 110];
const ZONES = ['Z', 'Z', 'Z', '+00:00', '-05:00', '-05:00', '+05:45', '+14:00', '-11:30'];

const word = (random: Random): string => pick(random, WORDS);

function coding(random: Random): object {
  return {
    userSelected: true,
    ...maybe(random, 0.7, 'system', () => pick(random, SYSTEMS)),
    ...maybe(random, 0.9, 'code', () => pick(random, CODES)),
    ...maybe(random, 0.2, 'display', () => word(random)),
  };
}

const concept = (random: Random): object => ({
  ...maybe(random, 0.85, 'coding', () => some(random, 2, () => coding(random))),
  text: word(random),
});

const identifier = (random: Random): object => ({
  ...maybe(random, 0.7, 'system', () => pick(random, SYSTEMS)),
  value: pick(random, CODES),
});

const humanName = (random: Random): object => ({
  use: 'official',
  ...maybe(random, 0.7, 'family', () => word(random)),
  ...maybe(random, 0.7, 'given', () => some(random, 2, () => word(random))),
  ...maybe(random, 0.2, 'text', () => word(random)),
});

const address = (random: Random): object => ({
  use: pick(random, ['home', 'work']),
  ...maybe(random, 0.5, 'line', () => [word(random)]),
  ...maybe(random, 0.6, 'city', () => word(random)),
  ...maybe(random, 0.3, 'country', () => pick(random, ['DE', 'de', 'US'])),
});

const telecom = (random: Random): object => ({
  system: pick(random, ['phone', 'email']),
  value: pick(random, ['555-1', '555-12', 'A@example.org', 'a@example.org']),
});

const quantity = (random: Random): object => ({ value: pick(random, NUMBERS), ...pick(random, UNITS) });

const age = (random: Random): object => ({
  value: below(random, 5) * 10,
  unit: 'a',
  system: 'http://unitsofmeasure.org',
  code: 'a',
});

function range(random: Random): object {
  const low = below(random, 6) * 20;
  const unit = pick(random, UNITS);
  const ends = { low: { value: low, ...unit }, high: { value: low + below(random, 50), ...unit } };
  return pick(random, [ends, ends, { low: ends.low }, { high: ends.high }]);
}

/** Dates crowd around a few days, in several precisions, so that ranges touch, overlap and hold one another. */
const DAYS = ['2023-12-31', '2024-01-01', '2024-02-28', '2024-02-29', '2024-03-10', '2024-11-03', '1969-12-31'];

function calendarDate(random: Random): string {
  return pick(random, DAYS).slice(0, pick(random, [4, 7, 10, 10, 10]));
}

const clock = (random: Random): string =>
  pick(random, ['00:00:00', '00:00:01', '23:59:59', '23:59:00', '12:30:00', '02:30:00', '01:30:00', '05:00:00']);

const instant = (random: Random): string =>
  `${pick(random, DAYS)}T${clock(random)}${pick(random, ['', '', '.5', '.25', '.999', '.000', '.1239'])}${pick(random, ZONES)}`;

const dateTime = (random: Random): string => (chance(random, 0.5) ? calendarDate(random) : instant(random));

function period(random: Random): object {
  const [start, end] = [dateTime(random), dateTime(random)].sort();
  const open = random();
  if (open < 0.2) return { start };
  return open < 0.35 ? { end } : { start, end };
}

const timing = (random: Random): object => ({
  ...maybe(random, 0.7, 'event', () => some(random, 3, () => dateTime(random))),
  ...maybe(random, 0.3, 'repeat', () => ({ boundsPeriod: period(random) })),
  code: { text: 'x' },
});

function reference(random: Random, ...types: readonly string[]): object {
  const type = pick(random, types);
  const id = pick(random, madeIds);
  const kind = below(random, 20);
  if (kind < 12) return { reference: `${type}/${id}` };
  if (kind < 14) return { reference: `${baseUrl}/${type}/${id}`, display: 'own base' };
  if (kind < 16) return { reference: `http://other.example/fhir/${type}/${id}` };
  if (kind === 16) return { reference: `${type}/${id}/_history/2` };
  if (kind === 17) return { type, identifier: identifier(random) };
  if (kind === 18) return { reference: `${type}/${id}`, identifier: identifier(random) };
  return chance(random, 0.5) ? { reference: '#inside' } : { display: 'somebody' };
}

// ---- resources ----

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
        ...pick(r, [
          {},
          { valueQuantity: quantity(r) },
          { valueQuantity: quantity(r) },
          { valueCodeableConcept: concept(r) },
          { valueString: word(r) },
          { valueDateTime: dateTime(r) },
          { valuePeriod: period(r) },
          { valueSampledData: { origin: quantity(r), period: 1, dimensions: 1 } },
        ]),
        ...maybe(r, 0.3, 'component', () =>
          some(r, 2, () => ({ code: concept(r), ...maybe(r, 0.8, 'valueQuantity', () => quantity(r)) })),
        ),
        ...maybe(r, 0.2, 'hasMember', () => [reference(r, 'Observation')]),
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
    default:
      return {
        ...identifiers,
        status: 'active',
        ...maybe(r, 0.9, 'url', () => pick(r, URIS)),
        ...maybe(r, 0.5, 'date', () => dateTime(r)),
        ...maybe(r, 0.5, 'name', () => word(r)),
        ...maybe(r, 0.4, 'useContext', () => [
          { code: coding(r), ...pick(r, [{ valueQuantity: quantity(r) }, { valueRange: range(r) }]) },
        ]),
      };
  }
}

const person = (r: Random): Record<string, unknown> => ({
  ...maybe(r, 0.6, 'active', () => chance(r, 0.5)),
  ...maybe(r, 0.85, 'name', () => some(r, 2, () => humanName(r))),
  ...maybe(r, 0.4, 'telecom', () => some(r, 2, () => telecom(r))),
  ...maybe(r, 0.7, 'gender', () => pick(r, ['male', 'female', 'other'])),
  ...maybe(r, 0.7, 'birthDate', () => calendarDate(r)),
  ...maybe(r, 0.4, 'address', () => [address(r)]),
});

// ---- searches ----

export interface MadeSearch {
  type: string;
  criteria: SlowCriterion[];
  sort: { code: string; descending: boolean }[];
}

export function randomSearch(random: Random, slow: SlowSearch, definitions: Definitions): MadeSearch {
  const type = pick(random, madeTypes);
  const criteria = Array.from({ length: pick(random, [0, 1, 1, 1, 1, 2, 2, 3]) }, () =>
    randomCriterion(random, type, slow, definitions, 2),
  );
  const sortable = codesOf(type, definitions).filter((code) => code !== '_id');
  const sort = Array.from({ length: pick(random, [0, 0, 0, 1, 1, 2]) }, () => ({
    code: pick(random, sortable),
    descending: chance(random, 0.5),
  }));
  return { type, criteria, sort };
}

/** Parameters that are about content and can be searched. */
function codesOf(type: string, definitions: Definitions): string[] {
  return [...definitions.searchParameters(type).values()]
    .filter(
      (parameter) => parameter.expression !== '' && parameter.type !== 'composite' && parameter.type !== 'special',
    )
    .map(({ code }) => code);
}

/** A parameter of a kind picked first, since there are few numbers; one that has values here, in most cases. */
function randomCode(random: Random, type: string, slow: SlowSearch, codes: readonly string[]): string {
  const kinds = [...new Set(codes.map((code) => slow.parameter(type, code).type))];
  for (let tries = 0; tries < 6; tries++) {
    const kind = pick(random, kinds);
    const code = pick(
      random,
      codes.filter((one) => slow.parameter(type, one).type === kind),
    );
    if (code === '_id' || slow.ofType(type).some((resource) => slow.values(resource, code).length > 0)) return code;
  }
  return pick(random, codes);
}

function randomCriterion(
  random: Random,
  type: string,
  slow: SlowSearch,
  definitions: Definitions,
  depth: number,
): SlowCriterion {
  const kind = random();
  if (depth > 0 && kind < 0.15) {
    const chain = randomChain(random, type, slow, definitions, depth);
    if (chain !== undefined) return chain;
  }
  if (depth > 0 && kind > 0.85) {
    const has = randomHas(random, type, slow, definitions, depth);
    if (has !== undefined) return has;
  }
  const code = randomCode(random, type, slow, codesOf(type, definitions));
  return randomParameter(random, type, code, slow);
}

function randomChain(
  random: Random,
  type: string,
  slow: SlowSearch,
  definitions: Definitions,
  depth: number,
): SlowCriterion | undefined {
  const references = codesOf(type, definitions).filter((code) => slow.parameter(type, code).type === 'reference');
  if (references.length === 0) return undefined;
  const code = randomCode(random, type, slow, references);
  const { targets } = slow.parameter(type, code);
  const made = madeTypes.filter((one) => targets.length === 0 || targets.includes(one));
  if (made.length === 0) return undefined;
  const target = pick(random, made);
  const next = randomCriterion(random, target, slow, definitions, depth - 1);
  const untyped = next.kind === 'parameter' && chance(random, 0.5) && meansTheSame(target, next.code);
  return untyped ? { kind: 'chain', code, next } : { kind: 'chain', code, target, next };

  /** Without a target type the step is read on each type that has the parameter: its kind must be the same. */
  function meansTheSame(of: string, step: string): boolean {
    const kinds = targets.flatMap((one) => definitions.searchParameters(one).get(step)?.type ?? []);
    return targets.length > 0 && kinds.every((one) => one === slow.parameter(of, step).type);
  }
}

function randomHas(
  random: Random,
  type: string,
  slow: SlowSearch,
  definitions: Definitions,
  depth: number,
): SlowCriterion | undefined {
  const referring = madeTypes.flatMap((other) =>
    codesOf(other, definitions)
      .filter((code) => slow.parameter(other, code).type === 'reference')
      .filter((code) => slow.parameter(other, code).targets.includes(type))
      .map((code) => ({ other, code })),
  );
  if (referring.length === 0) return undefined;
  const { other, code } = pick(random, referring);
  return { kind: 'has', type: other, code, next: randomCriterion(random, other, slow, definitions, depth - 1) };
}

function randomParameter(random: Random, type: string, code: string, slow: SlowSearch): SlowCriterion {
  const parameter = slow.parameter(type, code);
  if (code === '_id') {
    const values = some(random, 4, (): SearchValue => ({ kind: 'text', text: pick(random, madeIds) }));
    return { kind: 'parameter', code, ...(chance(random, 0.2) ? { modifier: 'not' } : {}), values };
  }
  if (chance(random, 0.08) && code !== '_lastUpdated') {
    const text = pick(random, ['true', 'false']);
    return { kind: 'parameter', code, modifier: 'missing', values: [{ kind: 'text', text }] };
  }
  const stored = slow.ofType(type).flatMap((resource) => slow.values(resource, code));
  const modifier = modifierFor(random, parameter.type, parameter.targets);
  const value = (): SearchValue => {
    const like = stored.length > 0 && chance(random, 0.85) ? pick(random, stored) : undefined;
    return valueFor(random, parameter.type, modifier, like);
  };
  const values = chance(random, 0.25) ? some(random, 3, value) : [value()];
  return { kind: 'parameter', code, ...(modifier === undefined ? {} : { modifier }), values };
}

function modifierFor(random: Random, type: string, targets: readonly string[]): string | undefined {
  if (chance(random, 0.6)) return undefined;
  if (type === 'string') return pick(random, ['exact', 'contains']);
  if (type === 'token') return 'not';
  if (type === 'uri') return pick(random, ['below', 'above']);
  if (type !== 'reference') return undefined;
  return chance(random, 0.5) ? 'identifier' : pick(random, targets.length > 0 ? targets : madeTypes);
}

function valueFor(
  random: Random,
  type: string,
  modifier: string | undefined,
  like: TypedValue | undefined,
): SearchValue {
  switch (type) {
    case 'string':
      return { kind: 'text', text: textFor(random, modifier, like) };
    case 'token':
      return tokenFor(random, like);
    case 'reference':
      return modifier === 'identifier'
        ? tokenFor(random, identifierIn(like))
        : { kind: 'text', text: referenceFor(random, modifier, like) };
    case 'uri':
      return { kind: 'text', text: typeof like?.value === 'string' ? like.value : pick(random, URIS) };
    case 'date':
      return { kind: 'ordered', prefix: prefixFor(random), text: dateFor(random, like) };
    case 'number':
      return { kind: 'ordered', prefix: prefixFor(random), text: numberFor(random, like) };
    default:
      return { kind: 'ordered', prefix: prefixFor(random), text: numberFor(random, like), ...unitFor(random, like) };
  }
}

function textFor(random: Random, modifier: string | undefined, like: TypedValue | undefined): string {
  const text = textIn(random, like) ?? word(random);
  if (modifier === 'exact') return chance(random, 0.8) ? text : text.toUpperCase();
  // :contains looks at the whole of a long text for so much of it; without it a text is compared by its beginning.
  const letters = modifier === 'contains' ? [...text] : [...text].slice(0, 190);
  const start = modifier === 'contains' ? below(random, letters.length) : 0;
  const length = 1 + below(random, modifier === 'contains' ? 45 : letters.length);
  const part = letters.slice(start, start + length).join('');
  // A text of nothing but spaces or accents would ask for everything.
  if (part.normalize('NFKD').replace(/[\p{M}\s]/gu, '') === '') return 'a';
  return pick(random, [part, part, part.toUpperCase(), part.toLowerCase(), part.normalize('NFD')]);
}

function textIn(random: Random, like: TypedValue | undefined): string | undefined {
  if (typeof like?.value === 'string') return like.value;
  if (typeof like?.value !== 'object' || like.value === null) return undefined;
  const texts = Object.entries(like.value)
    .filter(([name]) => name !== 'use' && name !== 'period')
    .flatMap(([, value]) => value as string | string[]);
  return texts.length === 0 ? undefined : pick(random, texts);
}

function tokenFor(random: Random, like: TypedValue | undefined): SearchValue {
  const value = like?.value;
  const isObject = typeof value === 'object' && value !== null;
  const object = (isObject ? value : {}) as { coding?: object[]; system?: string; code?: string; value?: string };
  const inside = (object.coding === undefined ? object : pick(random, object.coding)) as typeof object;
  const system = inside.system ?? (chance(random, 0.5) ? '' : pick(random, SYSTEMS));
  const code =
    (isObject ? (inside.code ?? inside.value) : value === undefined ? undefined : String(value)) ?? pick(random, CODES);
  const cased = chance(random, 0.2) ? code.toUpperCase() : code;
  const kind = random();
  if (kind < 0.5) return { kind: 'token', code: cased };
  if (kind < 0.75) return { kind: 'token', system, code: cased };
  if (kind < 0.85) return { kind: 'token', system: '', code: cased };
  return { kind: 'token', system: system === '' ? pick(random, SYSTEMS) : system };
}

function identifierIn(like: TypedValue | undefined): TypedValue | undefined {
  const value = (like?.value as { identifier?: object } | undefined)?.identifier;
  return value === undefined ? undefined : { type: 'Identifier', value };
}

function referenceFor(random: Random, modifier: string | undefined, like: TypedValue | undefined): string {
  const id = pick(random, madeIds);
  if (typeof like?.value === 'string') return chance(random, 0.7) ? like.value : (like.value.split('|')[0] ?? '');
  const text = (like?.value as { reference?: string } | undefined)?.reference ?? `Patient/${id}`;
  if (text.startsWith('#')) return 'Patient/inside';
  const local = text.startsWith(baseUrl) ? text.slice(baseUrl.length + 1) : text;
  const [type = '', own = ''] = local.split('/');
  if (local.startsWith('http')) return chance(random, 0.7) ? local : local.split('/').slice(-2).join('/');
  const bare = `${type}/${own}`;
  if (modifier !== undefined) return pick(random, [own, own, bare]);
  return pick(random, [bare, bare, own, `${baseUrl}/${bare}`, `http://other.example/fhir/${bare}`]);
}

const PREFIXES: readonly Prefix[] = ['', '', '', 'eq', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap'];
const prefixFor = (random: Random): Prefix => pick(random, PREFIXES);

function dateFor(random: Random, like: TypedValue | undefined): string {
  const texts = like === undefined ? [] : datesIn(like.value);
  const text = texts.length > 0 ? pick(random, texts) : dateTime(random);
  const clockAt = text.indexOf('T');
  const zoneAt = /(?:Z|[+-]\d\d:\d\d)$/.exec(text)?.index ?? -1;
  if (clockAt < 0) {
    const cut = text.slice(
      0,
      pick(
        random,
        [4, 7, 10, 10].filter((length) => length <= text.length),
      ),
    );
    return cut.length === 10 && chance(random, 0.2) ? `${cut}T${clock(random)}${pick(random, ZONES)}` : cut;
  }
  const zone = pick(random, [text.slice(zoneAt), text.slice(zoneAt), 'Z', '', '+02:00']);
  switch (below(random, 9)) {
    case 0:
      return text.slice(0, 4);
    case 1:
      return text.slice(0, 7);
    case 2:
      return text.slice(0, 10);
    case 3:
      return text.slice(0, 16) + zone;
    case 4:
      return text.slice(0, 19) + zone;
    default:
      return text.slice(0, zoneAt) + zone;
  }
}

function datesIn(value: unknown): string[] {
  if (typeof value === 'string') return /^\d{4}/.test(value) ? [value] : [];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(datesIn) : [];
}

function numberFor(random: Random, like: TypedValue | undefined): string {
  const numbers = like === undefined ? [] : numbersIn(like.value);
  const number = numbers.length > 0 ? pick(random, numbers) : pick(random, NUMBERS);
  const moved = chance(random, 0.3) ? number * pick(random, [0.9, 1.1, 1.01, -1]) : number;
  const digits = Number(moved.toPrecision(6));
  return pick(random, [
    String(digits),
    String(digits),
    digits.toFixed(below(random, 4)),
    digits.toExponential(below(random, 4)),
    digits.toExponential(),
  ]).replace('e+', pick(random, ['e+', 'e', 'E']));
}

function numbersIn(value: unknown): number[] {
  if (typeof value === 'number') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(numbersIn) : [];
}

function unitFor(random: Random, like: TypedValue | undefined): { system?: string; code?: string } {
  const kind = random();
  if (kind < 0.4) return {};
  const value = (like?.value ?? {}) as { origin?: object; low?: object; high?: object };
  const own = (value.origin ?? value.low ?? value.high ?? value) as Record<string, string | undefined>;
  const made = pick(random, UNITS) as Record<string, string | undefined>;
  const { system, code, unit, currency } = chance(random, 0.8) ? own : made;
  if (currency !== undefined) return { system: 'urn:iso:std:iso:4217', code: currency };
  if (kind < 0.7) return { system: system ?? 'http://unitsofmeasure.org', code: code ?? 'mg' };
  return { system: '', code: (chance(random, 0.5) ? unit : code) ?? 'mg' };
}

// ---- as a query ----

const escaped = (text: string): string => text.replace(/[\\,|$]/g, '\\$&');

/** `name=value` of a criterion, encoded. */
export function queryOf(criterion: SlowCriterion): string {
  const [name, value] = pairOf(criterion);
  return `${encodeURIComponent(name).replaceAll('%3A', ':')}=${encodeURIComponent(value)}`;
}

function pairOf(criterion: SlowCriterion): [string, string] {
  switch (criterion.kind) {
    case 'chain': {
      const [name, value] = pairOf(criterion.next);
      return [`${criterion.code}${criterion.target === undefined ? '' : `:${criterion.target}`}.${name}`, value];
    }
    case 'has': {
      const [name, value] = pairOf(criterion.next);
      return [`_has:${criterion.type}:${criterion.code}:${name}`, value];
    }
    case 'parameter': {
      const name = criterion.modifier === undefined ? criterion.code : `${criterion.code}:${criterion.modifier}`;
      return [name, criterion.values.map(valueText).join(',')];
    }
  }
}

function valueText(value: SearchValue): string {
  switch (value.kind) {
    case 'text':
      return escaped(value.text);
    case 'token':
      return value.system === undefined
        ? escaped(value.code ?? '')
        : `${escaped(value.system)}|${escaped(value.code ?? '')}`;
    case 'ordered': {
      const unit = value.code === undefined ? '' : `|${escaped(value.system ?? '')}|${escaped(value.code)}`;
      return `${value.prefix}${value.text}${unit}`;
    }
  }
}

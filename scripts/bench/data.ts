// Made-up linked records for the benchmark: 100 resources for each patient, from a seed. Ids follow from the patient's
// number and the resource's place, so the driver knows what is stored without asking.
export const RESOURCES_PER_PATIENT = 100;

export interface Resource {
  resourceType: string;
  id: string;
  [member: string]: unknown;
}

/** How resources refer to each other: by "Type/id" once they are stored, by urn:uuid within a transaction. */
type Refer = (type: string, id: string) => { reference: string };

const stored: Refer = (type, id) => ({ reference: `${type}/${id}` });
const inBundle: Refer = (_type, id) => ({ reference: `urn:uuid:${id}` });

export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Mulberry32: [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  below(bound: number): number {
    return Math.floor(this.next() * bound);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }
}

// ---- vocabulary ----

const STARTS = ['Al', 'Ber', 'Cal', 'Dor', 'Ed', 'Far', 'Gar', 'Hol', 'Ives', 'Jar', 'Kel', 'Lam', 'Mar', 'Nor', 'Os'];
const ENDS = ['ber', 'dale', 'field', 'ley', 'man', 'son', 'ton', 'wood'];
export const families: readonly string[] = STARTS.flatMap((start) => ENDS.map((end) => start + end));
const GIVEN = [
  'Ann',
  'Bo',
  'Clara',
  'Dev',
  'Elif',
  'Femi',
  'Grace',
  'Hana',
  'Ivan',
  'Jo',
  'Kofi',
  'Lena',
  'Max',
  'Nora',
];
const CITIES = ['Brookfield', 'Eastham', 'Lakewood', 'Milton'];
export const loinc = 'http://loinc.org';
const SNOMED = 'http://snomed.info/sct';
const RXNORM = 'http://www.nlm.nih.gov/research/umls/rxnorm';
const TERMINOLOGY = 'http://terminology.hl7.org/CodeSystem';

type Measure = readonly [code: string, display: string, unit: string, low: number, high: number];
export const labs: readonly Measure[] = [
  ['4548-4', 'Hemoglobin A1c', '%', 4, 12],
  ['2345-7', 'Glucose', 'mg/dL', 60, 240],
  ['2160-0', 'Creatinine', 'mg/dL', 0.4, 2.4],
  ['718-7', 'Hemoglobin', 'g/dL', 9, 18],
  ['6690-2', 'Leukocytes', '10*3/uL', 3, 14],
  ['777-3', 'Platelets', '10*3/uL', 120, 450],
  ['2951-2', 'Sodium', 'mmol/L', 130, 148],
  ['2823-3', 'Potassium', 'mmol/L', 3, 6],
  ['2093-3', 'Cholesterol', 'mg/dL', 110, 320],
  ['2571-8', 'Triglyceride', 'mg/dL', 40, 400],
  ['1742-6', 'ALT', 'U/L', 5, 120],
  ['3016-3', 'TSH', 'm[IU]/L', 0.2, 9],
];
const VITALS: readonly Measure[] = [
  ['8867-4', 'Heart rate', '/min', 50, 120],
  ['8310-5', 'Body temperature', 'Cel', 36, 40],
  ['29463-7', 'Body weight', 'kg', 45, 130],
  ['9279-1', 'Respiratory rate', '/min', 10, 28],
];
const PROBLEMS = [
  ['44054006', 'Diabetes mellitus type 2'],
  ['38341003', 'Hypertensive disorder'],
  ['195967001', 'Asthma'],
  ['13645005', 'Chronic obstructive lung disease'],
  ['55822004', 'Hyperlipidemia'],
] as const;
const DRUGS = [
  ['860975', 'metformin 500 MG'],
  ['314076', 'lisinopril 10 MG'],
  ['617310', 'atorvastatin 20 MG'],
  ['745679', 'albuterol inhaler'],
] as const;

const DAY_MS = 86_400_000;
const FROM = Date.UTC(2021, 0, 1);
const DAYS = 1826;

const instant = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, '+00:00');
export const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
/** Some day of the five years that the records cover. */
export const someDay = (random: Random): number => FROM + random.below(DAYS) * DAY_MS;
const someTime = (random: Random): number => FROM + random.next() * DAYS * DAY_MS;

const concept = (system: string, code: string, display: string) => ({
  coding: [{ system, code, display }],
  text: display,
});
const narrative = (text: string) => ({
  status: 'generated',
  div: `<div xmlns="http://www.w3.org/1999/xhtml">${text}</div>`,
});

// ---- ids ----

const PLACES = { Patient: 0, Practitioner: 1, Coverage: 2, Encounter: 3, Observation: 11 } as const;
export const OBSERVATIONS_PER_PATIENT = 58;

/** The id of the resource at a place (0 to 99) of a patient's record: a UUID like those that the server gives. */
export function idAt(patient: number, place: number): string {
  const random = new Random(patient * RESOURCES_PER_PATIENT + place + 1);
  const hex = (digits: number) =>
    Math.floor(random.next() * 16 ** digits)
      .toString(16)
      .padStart(digits, '0');
  return `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(8)}${hex(4)}`;
}

export const patientId = (patient: number): string => idAt(patient, PLACES.Patient);
export const observationId = (patient: number, at: number): string => idAt(patient, PLACES.Observation + at);

// ---- resources ----

/** A patient's resources as they are stored. */
export const patientRecord = (patient: number): Resource[] => record(patient, stored);

/** A transaction that creates a patient's resources; the ids in it are those of its fullUrls alone. */
export function transactionBundle(patient: number): object {
  const entry = record(patient, inBundle).map(({ id, ...resource }) => ({
    fullUrl: `urn:uuid:${id}`,
    resource,
    request: { method: 'POST', url: resource.resourceType },
  }));
  return { resourceType: 'Bundle', type: 'transaction', entry };
}

/** An Observation of a stored patient, without an id. */
export function looseObservation(patient: number, serial: string, random: Random): Omit<Resource, 'id'> {
  const { id: _, ...rest } = observation(random, {
    id: '',
    subject: stored('Patient', patientId(patient)),
    encounter: stored('Encounter', idAt(patient, PLACES.Encounter)),
    serial,
    isLab: true,
  });
  return rest as Omit<Resource, 'id'>;
}

function record(patient: number, refer: Refer): Resource[] {
  const random = new Random(patient * 7919 + 17);
  const resources: Resource[] = [];
  const add = (resourceType: string, members: object): string => {
    const id = idAt(patient, resources.length);
    resources.push({ resourceType, id, ...members });
    return id;
  };
  const subject = refer('Patient', idAt(patient, PLACES.Patient));
  const doctor = refer('Practitioner', idAt(patient, PLACES.Practitioner));
  const coverage = refer('Coverage', idAt(patient, PLACES.Coverage));
  const encounter = (at: number) => refer('Encounter', idAt(patient, PLACES.Encounter + (at % 8)));
  const people = { patient, random, subject, doctor, coverage, encounter };

  add('Patient', person(people));
  add('Practitioner', {
    active: true,
    identifier: [{ system: 'urn:bench:npi', value: `n${patient}` }],
    name: [{ family: random.pick(families), given: [random.pick(GIVEN)], prefix: ['Dr.'] }],
  });
  add('Coverage', {
    status: 'active',
    subscriberId: `s${patient}`,
    beneficiary: subject,
    payor: [subject],
    period: { start: '2021-01-01' },
  });
  for (let at = 0; at < 8; at++) add('Encounter', visit(people));
  for (let at = 0; at < OBSERVATIONS_PER_PATIENT; at++) {
    const id = idAt(patient, resources.length);
    const isLab = at % 4 !== 3;
    resources.push(observation(random, { id, subject, encounter: encounter(at), serial: `${patient}-${at}`, isLab }));
  }
  for (let at = 0; at < 8; at++) add('Condition', condition(people, at));
  const drugs = Array.from({ length: 8 }, () => random.pick(DRUGS));
  const orders = drugs.map((drug, at) => add('MedicationRequest', order(people, drug, at)));
  for (let at = 0; at < 6; at++) {
    const [code, display] = drugs[at] ?? DRUGS[0];
    add('MedicationDispense', {
      text: narrative('Dispensed'),
      status: 'completed',
      medicationCodeableConcept: concept(RXNORM, code, display),
      subject,
      authorizingPrescription: [refer('MedicationRequest', orders[at] ?? '')],
      quantity: { value: 30 },
      whenHandedOver: instant(someTime(random)),
    });
  }
  for (let at = 0; at < 5; at++) add('Claim', claim(people, at));
  for (let at = 0; at < 3; at++) {
    const start = someTime(random);
    add('Appointment', {
      text: narrative('Appointment'),
      status: random.pick(['booked', 'fulfilled']),
      description: 'Check up',
      start: instant(start),
      end: instant(start + 1_800_000),
      minutesDuration: 30,
      participant: [
        { actor: subject, status: 'accepted' },
        { actor: doctor, status: 'accepted' },
      ],
    });
  }
  add('AllergyIntolerance', {
    text: narrative('Allergy'),
    clinicalStatus: { coding: [{ system: `${TERMINOLOGY}/allergyintolerance-clinical`, code: 'active' }] },
    verificationStatus: { coding: [{ system: `${TERMINOLOGY}/allergyintolerance-verification`, code: 'confirmed' }] },
    code: concept(SNOMED, '91936005', 'Allergy to penicillin'),
    patient: subject,
  });
  return resources;
}

interface People {
  patient: number;
  random: Random;
  subject: { reference: string };
  doctor: { reference: string };
  coverage: { reference: string };
  encounter: (at: number) => { reference: string };
}

function person({ patient, random }: People): object {
  const family = families[patient % families.length] ?? '';
  const given = random.pick(GIVEN);
  return {
    text: narrative(`${given} ${family}`),
    active: true,
    identifier: [{ system: 'urn:bench:mrn', value: `m${patient}` }],
    name: [{ use: 'official', family, given: [given, random.pick(GIVEN)] }],
    telecom: [
      { system: 'phone', value: `555-${1000 + random.below(9000)}`, use: 'home' },
      { system: 'email', value: `p${patient}@example.org` },
    ],
    gender: random.pick(['male', 'female']),
    birthDate: dayOf(Date.UTC(1935 + random.below(85), random.below(12), 1 + random.below(28))),
    address: [
      {
        line: [`${1 + random.below(900)} Main St`],
        city: random.pick(CITIES),
        state: 'MA',
        postalCode: `0${1000 + random.below(9000)}`,
        country: 'US',
      },
    ],
  };
}

function visit({ random, subject, doctor }: People): object {
  const start = someTime(random);
  return {
    text: narrative('Visit'),
    status: 'finished',
    class: { system: `${TERMINOLOGY}/v3-ActCode`, code: 'AMB', display: 'ambulatory' },
    type: [concept(SNOMED, '185349003', 'Encounter for check up')],
    subject,
    participant: [{ individual: doctor }],
    period: { start: instant(start), end: instant(start + 1_800_000) },
  };
}

interface About {
  id: string;
  subject: { reference: string };
  encounter: { reference: string };
  serial: string;
  isLab: boolean;
}

function observation(random: Random, { id, subject, encounter, serial, isLab }: About): Resource {
  const [code, display, unit, low, high] = random.pick(isLab ? labs : VITALS);
  const at = someTime(random);
  const cents = (part: number) => Math.round((low + part * (high - low)) * 100) / 100;
  const value = cents(random.next());
  const quantity = (amount: number) => ({ value: amount, unit, system: 'http://unitsofmeasure.org', code: unit });
  const isHigh = value > cents(0.7);
  return {
    resourceType: 'Observation',
    id,
    text: narrative(`${display}: ${value} ${unit}`),
    identifier: [{ system: 'urn:bench:observation', value: serial }],
    status: 'final',
    category: [
      { coding: [{ system: `${TERMINOLOGY}/observation-category`, code: isLab ? 'laboratory' : 'vital-signs' }] },
    ],
    code: concept(loinc, code, display),
    subject,
    encounter,
    effectiveDateTime: instant(at),
    issued: instant(at + 3_600_000),
    performer: [{ display: 'Bench Laboratory' }],
    valueQuantity: quantity(value),
    ...(isLab
      ? {
          interpretation: [
            concept(`${TERMINOLOGY}/v3-ObservationInterpretation`, isHigh ? 'H' : 'N', isHigh ? 'High' : 'Normal'),
          ],
          referenceRange: [{ low: quantity(cents(0.2)), high: quantity(cents(0.7)) }],
        }
      : {}),
  };
}

function condition({ random, subject, encounter }: People, at: number): object {
  const [code, display] = random.pick(PROBLEMS);
  const onset = someTime(random);
  const status = random.pick(['active', 'resolved', 'inactive']);
  return {
    text: narrative(display),
    clinicalStatus: { coding: [{ system: `${TERMINOLOGY}/condition-clinical`, code: status }] },
    verificationStatus: { coding: [{ system: `${TERMINOLOGY}/condition-ver-status`, code: 'confirmed' }] },
    category: [{ coding: [{ system: `${TERMINOLOGY}/condition-category`, code: 'encounter-diagnosis' }] }],
    code: concept(SNOMED, code, display),
    subject,
    encounter: encounter(at),
    onsetDateTime: instant(onset),
    ...(status === 'active' ? {} : { abatementDateTime: instant(onset + 30 * DAY_MS) }),
    recordedDate: instant(onset),
  };
}

function order({ random, subject, doctor, encounter }: People, drug: readonly [string, string], at: number): object {
  const [code, display] = drug;
  return {
    text: narrative(display),
    status: random.pick(['active', 'completed']),
    intent: 'order',
    medicationCodeableConcept: concept(RXNORM, code, display),
    subject,
    encounter: encounter(at),
    authoredOn: instant(someTime(random)),
    requester: doctor,
    dosageInstruction: [{ text: 'one tablet daily', timing: { repeat: { frequency: 1, period: 1, periodUnit: 'd' } } }],
  };
}

function claim({ patient, random, subject, doctor, coverage, encounter }: People, at: number): object {
  const money = { value: (5_000 + random.below(40_000)) / 100, currency: 'USD' };
  return {
    text: narrative('Claim'),
    identifier: [{ system: 'urn:bench:claim', value: `${patient}-${at}` }],
    status: 'active',
    type: concept(`${TERMINOLOGY}/claim-type`, 'professional', 'Professional'),
    use: 'claim',
    patient: subject,
    created: instant(someTime(random)),
    provider: doctor,
    priority: { coding: [{ system: `${TERMINOLOGY}/processpriority`, code: 'normal' }] },
    insurance: [{ sequence: 1, focal: true, coverage }],
    item: [
      {
        sequence: 1,
        productOrService: concept('http://www.ama-assn.org/go/cpt', '99213', 'Office visit'),
        encounter: [encounter(at)],
        net: money,
      },
    ],
    total: money,
  };
}

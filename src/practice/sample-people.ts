// The sample practice's patients: who they are, who answers for the children, and how they are insured.
import type {
  Address,
  ContactPoint,
  Coverage,
  FhirResource,
  HumanName,
  Patient,
  Reference,
  RelatedPerson,
} from 'fhir/r4.js';
import {
  ageGroups,
  familyNames,
  givenNames,
  type KnownName,
  notableNames,
  type Payer,
  type Problem,
  type Provider,
  payers,
  problems,
  providers,
  streets,
  systems,
} from './sample-data.ts';
import { addDays, addMonths, ageMonths, laterDay } from './sample-days.ts';
import { clinic, payerReference, providerReference } from './sample-office.ts';
import { at } from './sample-random.ts';
import { coding, concept, refer, sampleMeta, usd, type World } from './sample-world.ts';

/** A coverage with the days on which it is good, both included. */
export interface Insurance {
  resource: Coverage;
  payer: Payer;
  from: string;
  to?: string;
}

export interface Person {
  patient: Patient;
  birthDate: string;
  stage: 'adult' | 'child';
  provider: Provider;
  problems: readonly Problem[];
  /** The child's parent or guardian. */
  guardian?: RelatedPerson;
  insurances: readonly Insurance[];
}

export function patientReference(person: Person): Reference {
  return refer(`Patient/${person.patient.id}`, person.patient.name?.[0]?.text);
}

/** Age in whole years on `day`. */
export function ageYears(person: Person, day: string): number {
  return Math.floor(ageMonths(person.birthDate, day) / 12);
}

/** The insurance that is good on `day`: both ends of its period count. */
export function insuranceOn(person: Person, day: string): Insurance | undefined {
  return person.insurances.find(({ from, to }) => from <= day && (to === undefined || day <= to));
}

/** All patients, adults before children. */
export function createPeople(world: World): Person[] {
  const names = nameSource(world);
  const people: Person[] = [];
  for (const { count, fromMonths, toMonths, stage } of ageGroups) {
    for (let made = 0; made < count; made++) {
      const birthDate = pickBirthDate(world, { fromMonths, toMonths });
      people.push(
        stage === 'adult'
          ? createAdult(world, { name: names.next(), birthDate })
          : createChild(world, { names, birthDate, people }),
      );
    }
  }
  return people;
}

/** A person's own resources, in an order in which each refers to earlier ones only. */
export function* personResources(person: Person): Generator<FhirResource> {
  yield person.patient;
  if (person.guardian) yield person.guardian;
  for (const insurance of person.insurances) yield insurance.resource;
}

interface NameSource {
  next(): KnownName;
  /** A given name for a child; the family name comes from the parent. */
  given(gender: 'female' | 'male'): string;
}

/** Every third name is one of the notable ones, the others are put together from the lists, none of them twice. */
function nameSource({ random }: World): NameSource {
  const given = { female: random.shuffled(givenNames.female), male: random.shuffled(givenNames.male) };
  const families = random.shuffled(familyNames);
  const takeGiven = (gender: 'female' | 'male') => given[gender].pop() ?? random.pick(givenNames[gender]);
  let count = 0;
  return {
    given: takeGiven,
    next: () => {
      count++;
      const notable = count % 3 === 2 ? notableNames[(count - 2) / 3] : undefined;
      if (notable) return notable;
      const gender = random.chance(0.52) ? 'female' : 'male';
      return { given: [takeGiven(gender)], family: families.pop() ?? random.pick(familyNames), gender };
    },
  };
}

function pickBirthDate(
  { random, today }: World,
  { fromMonths, toMonths }: { fromMonths: number; toMonths: number },
): string {
  // The newborn is two to four weeks old: old enough for a first check-up, too young for a vaccine.
  if (toMonths === 0) return addDays(today, -random.between(16, 27));
  return addDays(addMonths(today, -random.between(fromMonths, toMonths)), -random.between(1, 27));
}

function createAdult(world: World, { name, birthDate }: { name: KnownName; birthDate: string }): Person {
  const { random, today } = world;
  const years = Math.floor(ageMonths(birthDate, today) / 12);
  const provider = random.pick(providers.filter((candidate) => candidate.sees !== 'children'));
  const patient = createPatient(world, {
    name,
    birthDate,
    provider,
    address: createAddress(world),
    phone: createPhone(world),
  });
  patient.maritalStatus = maritalStatus(
    years < 25 ? 'S' : random.pick(['M', 'M', 'M', 'S', 'D', years > 70 ? 'W' : 'M']),
  );
  const person = { patient, birthDate, stage: 'adult', provider, problems: pickProblems(world, years) } as const;
  return {
    ...person,
    insurances: createInsurances(world, { patient, payer: years >= 65 ? payers.public : pickPayer(world) }),
  };
}

function createChild(
  world: World,
  { names, birthDate, people }: { names: NameSource; birthDate: string; people: readonly Person[] },
): Person {
  const { random, today } = world;
  const years = Math.floor(ageMonths(birthDate, today) / 12);
  const parent = pickParent(world, { birthDate, people });
  const gender = random.pick(['female', 'male'] as const);
  const family = parent.patient.name?.[0]?.family ?? '';
  const provider = random.pick(providers.filter((candidate) => candidate.sees !== 'adults'));
  const patient = createPatient(world, {
    name: { given: [names.given(gender)], family, gender },
    birthDate,
    provider,
    address: parent.patient.address?.[0] ?? createAddress(world),
    phone: parent.patient.telecom?.[0]?.value ?? createPhone(world),
  });
  const guardian = createGuardian(world, { patient, parent });
  const payer = parent.insurances.at(-1)?.payer ?? payers.public;
  return {
    patient,
    birthDate,
    stage: 'child',
    provider,
    guardian,
    problems: pickProblems(world, years),
    insurances: createInsurances(world, { patient, payer, guardian }),
  };
}

/** An adult patient who was 19 to 45 years old when the child was born. */
function pickParent(
  { random }: World,
  { birthDate, people }: { birthDate: string; people: readonly Person[] },
): Person {
  const youngest = addMonths(birthDate, -19 * 12);
  const oldest = addMonths(birthDate, -45 * 12);
  return random.pick(people.filter((adult) => oldest <= adult.birthDate && adult.birthDate <= youngest));
}

function createPatient(
  world: World,
  {
    name,
    birthDate,
    provider,
    address,
    phone,
  }: { name: KnownName; birthDate: string; provider: Provider; address: Address; phone: string },
): Patient {
  const id = world.nextId('Patient');
  const number = Number(id.slice(-3));
  const isMinor = ageMonths(birthDate, world.today) < 18 * 12;
  return {
    resourceType: 'Patient',
    id,
    meta: sampleMeta,
    identifier: [
      {
        use: 'usual',
        type: concept('http://terminology.hl7.org/CodeSystem/v2-0203', 'MR', 'Medical record number'),
        system: systems.mrn,
        value: String(100000 + number * 7),
        assigner: clinic,
      },
    ],
    active: true,
    name: [humanName(name)],
    telecom: telecom(world, { name, phone, hasEmail: !isMinor }),
    gender: name.gender,
    birthDate,
    address: [address],
    communication: [{ language: concept('urn:ietf:bcp:47', ...world.random.pick(languages)), preferred: true }],
    generalPractitioner: [providerReference(provider)],
    managingOrganization: clinic,
  };
}

const languages: readonly [string, string][] = [
  ['en', 'English'],
  ['en', 'English'],
  ['en', 'English'],
  ['es', 'Spanish'],
];

function humanName({ given, family, text }: KnownName): HumanName {
  const shown = text ?? [...given, family].join(' ');
  return { use: 'official', text: shown, family, ...(given.length > 0 ? { given: [...given] } : {}) };
}

function telecom(
  { random }: World,
  { name, phone, hasEmail }: { name: KnownName; phone: string; hasEmail: boolean },
): ContactPoint[] {
  const points: ContactPoint[] = [{ system: 'phone', value: phone, use: 'mobile', rank: 1 }];
  if (hasEmail && random.chance(0.85)) points.push({ system: 'email', value: emailAddress(name), use: 'home' });
  return points;
}

/** Letters that do not come apart into a base letter and a mark. */
const plainLetters: Readonly<Record<string, string>> = { ł: 'l', ß: 'ss', ø: 'o', đ: 'd' };

function emailAddress({ given, family }: KnownName): string {
  const words = [...given.slice(0, 1), family].map((word) =>
    word
      .toLowerCase()
      .normalize('NFD')
      .replace(/[łßøđ]/g, (letter) => plainLetters[letter] ?? letter)
      .replace(/[^a-z]/g, ''),
  );
  return `${words.join('.')}@example.org`;
}

function createAddress({ random }: World): Address {
  return {
    use: 'home',
    line: [`${random.between(101, 9899)} ${random.pick(streets)}`],
    city: 'Tucson',
    state: 'AZ',
    postalCode: String(random.between(85701, 85750)),
    country: 'US',
  };
}

/** Numbers from 555-0100 to 555-0199 are given to nobody; the first thirty are the clinic's and its partners'. */
function createPhone({ random }: World): string {
  return `+1-${random.pick(['520', '602', '480'])}-555-01${String(random.between(30, 99))}`;
}

const maritalStatuses = { M: 'Married', S: 'Never Married', D: 'Divorced', W: 'Widowed' } as const;

function maritalStatus(code: keyof typeof maritalStatuses) {
  return concept('http://terminology.hl7.org/CodeSystem/v3-MaritalStatus', code, maritalStatuses[code]);
}

function pickProblems({ random }: World, years: number): Problem[] {
  return problems.filter(({ chances }) => {
    const chance = chances.findLast(({ fromYears }) => years >= fromYears)?.chance ?? 0;
    return random.chance(chance);
  });
}

function pickPayer({ random }: World): Payer | undefined {
  return random.pick([
    payers.commercial,
    payers.commercial,
    payers.commercial,
    payers.public,
    payers.commercial,
    undefined,
  ]);
}

function createGuardian(world: World, { patient, parent }: { patient: Patient; parent: Person }): RelatedPerson {
  const isMother = parent.patient.gender === 'female';
  return {
    resourceType: 'RelatedPerson',
    id: world.nextId('RelatedPerson'),
    meta: sampleMeta,
    active: true,
    patient: refer(`Patient/${patient.id}`, patient.name?.[0]?.text),
    relationship: [
      isMother
        ? concept('http://terminology.hl7.org/CodeSystem/v3-RoleCode', 'MTH', 'mother')
        : concept('http://terminology.hl7.org/CodeSystem/v3-RoleCode', 'FTH', 'father'),
    ],
    name: parent.patient.name ?? [],
    telecom: parent.patient.telecom ?? [],
    gender: isMother ? 'female' : 'male',
    birthDate: parent.birthDate,
    address: parent.patient.address ?? [],
  };
}

/** One coverage, or two when the patient changed plan within the years of the charts; none without a payer. */
function createInsurances(
  world: World,
  { patient, payer, guardian }: { patient: Patient; payer: Payer | undefined; guardian?: RelatedPerson },
): Insurance[] {
  if (payer === undefined) return [];
  const { random, today, since } = world;
  const birthDate = patient.birthDate ?? since;
  const start = birthDate > since ? birthDate : addDays(since, -random.between(30, 900));
  const first = laterDay(start, birthDate);
  const changed = addDays(today, -random.between(200, 500));
  if (changed <= first || payer.plans.length < 2 || !random.chance(0.2)) {
    return [
      createInsurance(world, {
        patient,
        payer,
        guardian,
        plan: random.between(0, payer.plans.length - 1),
        from: first,
      }),
    ];
  }
  return [
    createInsurance(world, { patient, payer, guardian, plan: 0, from: first, to: addDays(changed, -1) }),
    createInsurance(world, { patient, payer, guardian, plan: 1, from: changed }),
  ];
}

function createInsurance(
  world: World,
  {
    patient,
    payer,
    guardian,
    plan,
    from,
    to,
  }: { patient: Patient; payer: Payer; guardian: RelatedPerson | undefined; plan: number; from: string; to?: string },
): Insurance {
  const { code, name } = at(payer.plans, plan);
  const memberId = `${payer.payerId.slice(0, 2)}${world.random.between(10_000_000, 99_999_999)}`;
  const self = refer(`Patient/${patient.id}`, patient.name?.[0]?.text);
  const resource: Coverage = {
    resourceType: 'Coverage',
    id: world.nextId('Coverage'),
    meta: sampleMeta,
    identifier: [{ system: systems.memberId, value: memberId }],
    status: to === undefined ? 'active' : 'cancelled',
    type: concept(
      'http://terminology.hl7.org/CodeSystem/v3-ActCode',
      payer.coverageType.code,
      payer.coverageType.display,
    ),
    subscriber: guardian ? refer(`RelatedPerson/${guardian.id}`, guardian.name?.[0]?.text) : self,
    subscriberId: memberId,
    beneficiary: self,
    relationship: guardian
      ? concept('http://terminology.hl7.org/CodeSystem/subscriber-relationship', 'child', 'Child')
      : concept('http://terminology.hl7.org/CodeSystem/subscriber-relationship', 'self', 'Self'),
    period: to === undefined ? { start: from } : { start: from, end: to },
    payor: [payerReference(payer)],
    class: [
      {
        type: { coding: [coding('http://terminology.hl7.org/CodeSystem/coverage-class', 'plan', 'Plan')] },
        value: code,
        name,
      },
    ],
    order: 1,
    ...(payer.copayCents > 0
      ? {
          costToBeneficiary: [
            {
              type: concept('http://terminology.hl7.org/CodeSystem/coverage-copay-type', 'gpvisit', 'GP Office Visit'),
              valueMoney: usd(payer.copayCents),
            },
          ],
        }
      : {}),
  };
  return { resource, payer, from, ...(to === undefined ? {} : { to }) };
}

// One sample patient's chart: problems, allergies, then visit after visit with all that belongs to it.
import type {
  AllergyIntolerance,
  Appointment,
  Condition,
  DocumentReference,
  Encounter,
  FhirResource,
  MedicationRequest,
  Reference,
} from 'fhir/r4.js';
import { appointment, place } from './sample-calendar.ts';
import { visitClaim } from './sample-claims.ts';
import {
  allergies,
  type MedicineKey,
  type ProcedureKey,
  problemProcedures,
  systems,
  visitKinds,
} from './sample-data.ts';
import { addDays, ageMonths, daysBetween, instant, laterDay } from './sample-days.ts';
import { type Build, createBuild, labResult, vitalSigns } from './sample-measures.ts';
import { clinic, clinicSite, providerReference } from './sample-office.ts';
import { type Person, patientReference } from './sample-people.ts';
import { immunization, medicationRequest, planWritings, procedure, type Writing } from './sample-treatment.ts';
import { earlierVaccines, planVisits, type Visit } from './sample-visits.ts';
import type { Worklist } from './sample-worklist.ts';
import { coding, concept, refer, sampleMeta, type World } from './sample-world.ts';

/** What stays known from one visit to the next. */
interface Chart {
  person: Person;
  build: Build;
  /** The patient's long-term problems by key. */
  conditions: ReadonlyMap<string, Condition>;
  /** The newest prescription of each medicine. */
  prescriptions: Map<MedicineKey, MedicationRequest>;
  worklist: Worklist;
}

/** The past of one patient. What somebody at the clinic still has to look at is added to `worklist`. */
export function* chartResources(
  world: World,
  { person, worklist }: { person: Person; worklist: Worklist },
): Generator<FhirResource> {
  const visits = planVisits(world, person);
  const conditions = new Map(
    person.problems.map(({ key, icd10, display }) => [
      key as string,
      problemCondition(world, { person, icd10, display }),
    ]),
  );
  yield* conditions.values();
  yield* allergyList(world, person);
  for (const { day, vaccine } of earlierVaccines(world, person)) yield immunization(world, { person, vaccine, day });
  const writings = planWritings(world, { person, visits });
  const chart: Chart = { person, build: createBuild(world, person), conditions, prescriptions: new Map(), worklist };
  for (const visit of visits) {
    yield* visitResources(world, {
      chart,
      visit,
      writings: writings.get(visit) ?? [],
      isLatest: visit === visits.at(-1),
    });
  }
  yield* missedAppointment(world, { person, worklist });
}

/** A visit as it goes on, with what its parts refer to. */
interface Going {
  chart: Chart;
  visit: Visit;
  encounter: Reference;
  illness: Condition | undefined;
}

function* visitResources(
  world: World,
  { chart, visit, writings, isLatest }: { chart: Chart; visit: Visit; writings: readonly Writing[]; isLatest: boolean },
): Generator<FhirResource> {
  const { person, worklist } = chart;
  const kept = pastAppointment(world, { person, visit });
  yield kept;
  const illness = visit.illness ? illnessCondition(world, { person, visit, ...visit.illness }) : undefined;
  if (illness) yield illness;
  const problems = visit.problems.flatMap(({ key }) => chart.conditions.get(key) ?? []);
  const treated = illness ? [...problems, illness] : problems;
  const visited = encounterOf(world, { person, visit, kept, treated });
  yield visited;
  const encounter = refer(`Encounter/${visited.id}`);
  yield* measurements(world, { chart, visit, encounter, illness });
  yield* treatments(world, { chart, visit, encounter, illness, writings });
  if (isLatest) yield visitNote(world, { person, visit, encounter, treated });
  yield* visitClaim(world, { person, visit, encounter, treated, worklist });
}

function* measurements(world: World, { chart, visit, encounter }: Going): Generator<FhirResource> {
  const { person, build, worklist } = chart;
  yield* vitalSigns(world, { person, visit, encounter, build });
  for (const panel of visit.panels) {
    const { report, results, isAbnormal } = labResult(world, { person, visit, encounter, panel });
    yield* results;
    yield report;
    if (isAbnormal) worklist.reports.push({ person, day: visit.time.day, report });
  }
}

function* treatments(
  world: World,
  { writings, ...going }: Going & { writings: readonly Writing[] },
): Generator<FhirResource> {
  const { chart, visit, encounter } = going;
  const { person } = chart;
  for (const writing of writings) yield prescribe(world, { ...going, writing });
  for (const vaccine of visit.vaccines) {
    yield immunization(world, { person, vaccine, day: visit.time.day, given: { visit, encounter } });
  }
  if (visit.procedure === undefined) return;
  const reason = procedureReason(visit.procedure, going);
  yield procedure(world, { person, visit, encounter, key: visit.procedure, reason: conditionReference(reason) });
}

/** The problem that the procedure comes with, or else the illness. */
function procedureReason(key: ProcedureKey, { chart, visit, illness }: Going): Condition {
  const problem = visit.problems.find((candidate) => problemProcedures[candidate.key] === key);
  const reason = problem ? chart.conditions.get(problem.key) : illness;
  if (reason === undefined) throw new Error(`${key} is done without a reason`);
  return reason;
}

function conditionReference(condition: Condition): Reference {
  return refer(`Condition/${condition.id}`, condition.code?.text);
}

function conditionStatus(code: 'active' | 'resolved', display: string) {
  return { coding: [coding('http://terminology.hl7.org/CodeSystem/condition-clinical', code, display)] };
}

const confirmed = {
  coding: [coding('http://terminology.hl7.org/CodeSystem/condition-ver-status', 'confirmed', 'Confirmed')],
};

function conditionCategory(code: 'problem-list-item' | 'encounter-diagnosis', display: string) {
  return [{ coding: [coding('http://terminology.hl7.org/CodeSystem/condition-category', code, display)] }];
}

/** A long-term problem that began up to eight years before the charts, but not before its owner's second birthday. */
function problemCondition(
  world: World,
  { person, icd10, display }: { person: Person; icd10: string; display: string },
): Condition {
  const wished = addDays(world.since, -world.random.between(0, 2900));
  const earliest = addDays(person.birthDate, 730);
  const onset = laterDay(wished, earliest);
  return {
    resourceType: 'Condition',
    id: world.nextId('Condition'),
    meta: sampleMeta,
    clinicalStatus: conditionStatus('active', 'Active'),
    verificationStatus: confirmed,
    category: conditionCategory('problem-list-item', 'Problem List Item'),
    code: concept(systems.icd10, icd10, display),
    subject: patientReference(person),
    onsetDateTime: onset.slice(0, 7),
    recordedDate: laterDay(onset, world.since),
    recorder: providerReference(person.provider),
  };
}

function illnessCondition(
  world: World,
  {
    person,
    visit,
    icd10,
    display,
    days,
  }: { person: Person; visit: Visit; icd10: string; display: string; days: number },
): Condition {
  const { day, provider } = visit.time;
  const wellOn = addDays(day, days);
  const isOver = wellOn < world.today;
  return {
    resourceType: 'Condition',
    id: world.nextId('Condition'),
    meta: sampleMeta,
    clinicalStatus: isOver ? conditionStatus('resolved', 'Resolved') : conditionStatus('active', 'Active'),
    verificationStatus: confirmed,
    category: conditionCategory('encounter-diagnosis', 'Encounter Diagnosis'),
    code: concept(systems.icd10, icd10, display),
    subject: patientReference(person),
    onsetDateTime: addDays(day, -world.random.between(1, 5)),
    ...(isOver ? { abatementDateTime: wellOn } : {}),
    recordedDate: day,
    recorder: providerReference(provider),
  };
}

/** One or two allergies for three in ten; for most others the statement that there are none. */
function* allergyList(world: World, person: Person): Generator<AllergyIntolerance> {
  const { random } = world;
  if (ageMonths(person.birthDate, world.today) < 12) return;
  if (!random.chance(0.35)) {
    if (random.chance(0.7)) yield allergy(world, { person, code: { text: 'No known allergies' } });
    return;
  }
  for (const { rxnorm, display, category, reaction, severity } of random
    .shuffled(allergies)
    .slice(0, random.between(1, 2))) {
    yield {
      ...allergy(world, { person, code: rxnorm ? concept(systems.rxnorm, rxnorm, display) : { text: display } }),
      type: 'allergy',
      category: [category],
      criticality: severity === 'severe' ? 'high' : 'low',
      reaction: [{ manifestation: [{ text: reaction }], severity }],
    };
  }
}

function allergy(
  world: World,
  { person, code }: { person: Person; code: NonNullable<AllergyIntolerance['code']> },
): AllergyIntolerance {
  return {
    resourceType: 'AllergyIntolerance',
    id: world.nextId('AllergyIntolerance'),
    meta: sampleMeta,
    clinicalStatus: {
      coding: [coding('http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical', 'active', 'Active')],
    },
    verificationStatus: {
      coding: [
        coding('http://terminology.hl7.org/CodeSystem/allergyintolerance-verification', 'confirmed', 'Confirmed'),
      ],
    },
    code,
    patient: patientReference(person),
    recordedDate: laterDay(person.birthDate, world.since),
    recorder: providerReference(person.provider),
  };
}

/** A day on which the appointment can have been made: up to a month before it, but not before birth. */
function madeBefore(world: World, { person, day }: { person: Person; day: string }): string {
  return addDays(day, -Math.min(world.random.between(1, 30), daysBetween(person.birthDate, day)));
}

function pastAppointment(world: World, { person, visit }: { person: Person; visit: Visit }): Appointment {
  const madeOn = visit.kind === 'illness' ? visit.time.day : madeBefore(world, { person, day: visit.time.day });
  return appointment(world, { person, time: visit.time, kind: visit.kind, status: 'fulfilled', madeOn });
}

/** One in three patients has missed or called off an appointment. */
function* missedAppointment(
  world: World,
  { person, worklist }: { person: Person; worklist: Worklist },
): Generator<FhirResource> {
  const { random, today, since } = world;
  if (!random.chance(0.35) || person.birthDate > addDays(today, -120)) return;
  const from = person.birthDate > since ? addDays(person.birthDate, 30) : since;
  const day = addDays(from, random.between(0, daysBetween(from, today) - 15));
  const time = world.book.takeFirst({ provider: person.provider, day, until: today });
  if (time === undefined) return;
  const status = random.pick(['noshow', 'cancelled'] as const);
  const kind = person.stage === 'child' ? 'child-checkup' : 'follow-up';
  const missed = appointment(world, {
    person,
    time,
    kind,
    status,
    madeOn: madeBefore(world, { person, day: time.day }),
  });
  yield missed;
  if (status === 'noshow') worklist.noshows.push({ person, day: time.day, appointment: missed });
}

function encounterOf(
  world: World,
  { person, visit, kept, treated }: { person: Person; visit: Visit; kept: Appointment; treated: readonly Condition[] },
): Encounter {
  const { time, kind } = visit;
  const { display, service, reason } = visitKinds[kind];
  const period = {
    start: instant(time.day, time.minute),
    end: instant(time.day, time.minute + world.random.between(18, 30)),
  };
  return {
    resourceType: 'Encounter',
    id: world.nextId('Encounter'),
    meta: sampleMeta,
    status: 'finished',
    class:
      kind === 'telehealth'
        ? coding('http://terminology.hl7.org/CodeSystem/v3-ActCode', 'VR', 'virtual')
        : coding('http://terminology.hl7.org/CodeSystem/v3-ActCode', 'AMB', 'ambulatory'),
    type: [concept(systems.service, service, display)],
    subject: patientReference(person),
    participant: [
      {
        type: [concept('http://terminology.hl7.org/CodeSystem/v3-ParticipationType', 'PPRF', 'primary performer')],
        period,
        individual: providerReference(time.provider),
      },
    ],
    appointment: [refer(`Appointment/${kept.id}`)],
    period,
    ...(reason ? { reasonCode: [concept(systems.icd10, reason.icd10, reason.display)] } : {}),
    ...(treated.length > 0
      ? {
          diagnosis: treated.map((condition, index) => ({
            condition: conditionReference(condition),
            use: concept('http://terminology.hl7.org/CodeSystem/diagnosis-role', 'billing', 'Billing'),
            rank: index + 1,
          })),
        }
      : {}),
    location: [{ location: place(time, kind), status: 'completed', period }],
    serviceProvider: clinic,
  };
}

function prescribe(
  world: World,
  { chart, visit, encounter, illness, writing }: Going & { writing: Writing },
): MedicationRequest {
  const { person, prescriptions, worklist } = chart;
  const condition = writing.problem === undefined ? illness : chart.conditions.get(writing.problem);
  if (condition === undefined) throw new Error(`${writing.medicine} is written without a reason`);
  const prior = writing.problem === undefined ? undefined : prescriptions.get(writing.medicine);
  const request = medicationRequest(world, {
    person,
    visit,
    encounter,
    writing,
    reason: conditionReference(condition),
    ...(prior ? { prior } : {}),
  });
  prescriptions.set(writing.medicine, request);
  if (writing.problem !== undefined && writing.status === 'active')
    worklist.prescriptions.push({ person, day: visit.time.day, request });
  return request;
}

function visitNote(
  world: World,
  {
    person,
    visit,
    encounter,
    treated,
  }: { person: Person; visit: Visit; encounter: Reference; treated: readonly Condition[] },
): DocumentReference {
  const { time, kind } = visit;
  const written = instant(time.day, time.minute + 40);
  const text = noteText({
    title: visitKinds[kind].display,
    day: time.day,
    subjects: treated.map(({ code }) => code?.text ?? ''),
  });
  const bytes = Buffer.from(text, 'utf8');
  return {
    resourceType: 'DocumentReference',
    id: world.nextId('DocumentReference'),
    meta: sampleMeta,
    status: 'current',
    docStatus: 'final',
    type: concept(systems.loinc, '11506-3', 'Progress note'),
    category: [
      concept(
        'http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category',
        'clinical-note',
        'Clinical Note',
      ),
    ],
    subject: patientReference(person),
    date: written,
    author: [providerReference(time.provider)],
    custodian: clinic,
    content: [
      {
        attachment: {
          contentType: 'text/plain; charset=utf-8',
          language: 'en',
          data: bytes.toString('base64'),
          size: bytes.length,
          title: `${visitKinds[kind].display}, ${time.day}`,
          creation: written,
        },
      },
    ],
    context: { encounter: [encounter], facilityType: concept(systems.service, 'clinic', clinicSite.display ?? '') },
  };
}

function noteText({ title, day, subjects }: { title: string; day: string; subjects: readonly string[] }): string {
  const about = subjects.length > 0 ? `Seen for: ${subjects.join('; ')}.` : 'No complaints today.';
  return [
    `${title}, ${day}`,
    '',
    about,
    'Examined; measurements are in the chart. Questions were answered and the next steps agreed upon.',
    'Plan: go on as before, come back earlier if anything gets worse.',
    '',
  ].join('\n');
}

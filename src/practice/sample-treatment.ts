// What was done in a visit: prescriptions, vaccines and small procedures.
import type { Immunization, MedicationRequest, Procedure, Reference } from 'fhir/r4.js';
import {
  type Medicine,
  type MedicineKey,
  medicines,
  type ProcedureKey,
  procedures,
  systems,
  type VaccineKey,
  vaccines,
} from './sample-data.ts';
import { addDays, daysBetween, instant } from './sample-days.ts';
import { clinic, clinicSite, providerReference } from './sample-office.ts';
import { type Person, patientReference } from './sample-people.ts';
import type { Visit } from './sample-visits.ts';
import { coding, concept, quantity, refer, sampleMeta, type World } from './sample-world.ts';

/** A medicine that is written in a visit, for a problem or an illness. */
export interface Writing {
  medicine: MedicineKey;
  /** Key of the problem; absent for the visit's illness. */
  problem?: string;
  status: 'active' | 'completed' | 'stopped';
}

/** Long-term medicines are written in the first visit that deals with the problem and again about once a year. */
export function planWritings(
  { random, today }: World,
  { person, visits }: { person: Person; visits: readonly Visit[] },
): Map<Visit, Writing[]> {
  const writings = new Map<Visit, Writing[]>(visits.map((visit) => [visit, []]));
  for (const { key, medicines: choices } of person.problems) {
    for (const medicine of choices.filter((_, index) => index === 0 || random.chance(0.4))) {
      const written = yearly(visits.filter(({ problems }) => problems.some((problem) => problem.key === key)));
      const last = random.chance(0.92) ? 'active' : 'stopped';
      written.forEach((visit, index) => {
        writings
          .get(visit)
          ?.push({ medicine, problem: key, status: index === written.length - 1 ? last : 'completed' });
      });
    }
  }
  for (const visit of visits) {
    const medicine = visit.illness?.medicine;
    const isOver = daysBetween(visit.time.day, today) > 10;
    if (medicine) writings.get(visit)?.push({ medicine, status: isOver ? 'completed' : 'active' });
  }
  return writings;
}

function yearly(visits: readonly Visit[]): Visit[] {
  const chosen: Visit[] = [];
  for (const visit of visits) {
    const last = chosen.at(-1);
    if (last === undefined || daysBetween(last.time.day, visit.time.day) >= 320) chosen.push(visit);
  }
  return chosen;
}

export function medicationRequest(
  world: World,
  {
    person,
    visit,
    encounter,
    writing,
    reason,
    prior,
  }: {
    person: Person;
    visit: Visit;
    encounter: Reference;
    writing: Writing;
    reason: Reference;
    prior?: MedicationRequest;
  },
): MedicationRequest {
  const medicine: Medicine = medicines[writing.medicine];
  const isLongTerm = writing.problem !== undefined;
  return {
    resourceType: 'MedicationRequest',
    id: world.nextId('MedicationRequest'),
    meta: sampleMeta,
    status: writing.status,
    ...(writing.status === 'stopped' ? { statusReason: { text: 'Not needed any more' } } : {}),
    intent: 'order',
    category: [concept('http://terminology.hl7.org/CodeSystem/medicationrequest-category', 'community', 'Community')],
    medicationCodeableConcept: concept(systems.rxnorm, medicine.rxnorm, medicine.display),
    subject: patientReference(person),
    encounter,
    authoredOn: instant(visit.time.day, visit.time.minute + 25),
    requester: providerReference(visit.time.provider),
    reasonReference: [reason],
    courseOfTherapyType: isLongTerm
      ? concept(
          'http://terminology.hl7.org/CodeSystem/medicationrequest-course-of-therapy',
          'continuous',
          'Continuous long term therapy',
        )
      : concept(
          'http://terminology.hl7.org/CodeSystem/medicationrequest-course-of-therapy',
          'acute',
          'Short course (acute) therapy',
        ),
    dosageInstruction: [
      {
        sequence: 1,
        text: medicine.text,
        timing: { repeat: { frequency: medicine.perDay, period: 1, periodUnit: 'd' } },
        ...(medicine.asNeeded ? { asNeededBoolean: true } : {}),
        doseAndRate: [{ doseQuantity: doseQuantity(medicine) }],
      },
    ],
    dispenseRequest: {
      validityPeriod: { start: visit.time.day, end: addDays(visit.time.day, isLongTerm ? 365 : 30) },
      numberOfRepeatsAllowed: isLongTerm ? 3 : 0,
      quantity: { value: medicine.quantity, unit: medicine.asNeeded ? 'inhaler' : medicine.unit },
    },
    ...(prior ? { priorPrescription: refer(`MedicationRequest/${prior.id}`) } : {}),
  };
}

function doseQuantity({ unit, asNeeded }: Medicine) {
  if (unit === 'mL') return quantity({ value: 5, unit: 'mL', ucum: 'mL' });
  return { value: asNeeded ? 2 : 1, unit };
}

/** A vaccine given in a visit, or, without one, known from an earlier record. */
export function immunization(
  world: World,
  {
    person,
    vaccine,
    day,
    given,
  }: { person: Person; vaccine: VaccineKey; day: string; given?: { visit: Visit; encounter: Reference } },
): Immunization {
  const { cvx, display } = vaccines[vaccine];
  const base = {
    resourceType: 'Immunization',
    id: world.nextId('Immunization'),
    meta: sampleMeta,
    status: 'completed',
    vaccineCode: concept(systems.cvx, cvx, display),
    patient: patientReference(person),
  } as const;
  if (given === undefined) {
    return {
      ...base,
      occurrenceDateTime: day,
      primarySource: false,
      reportOrigin: concept('http://terminology.hl7.org/CodeSystem/immunization-origin', 'record', 'Written Record'),
    };
  }
  return {
    ...base,
    encounter: given.encounter,
    occurrenceDateTime: instant(day, given.visit.time.minute + 22),
    recorded: day,
    primarySource: true,
    location: clinicSite,
    lotNumber: `L${world.random.between(1000, 9999)}${world.random.pick(['A', 'B', 'C'])}`,
    expirationDate: addDays(day, world.random.between(90, 500)),
    route: concept('http://terminology.hl7.org/CodeSystem/v3-RouteOfAdministration', ...route(vaccine)),
    performer: [
      {
        function: { coding: [coding('http://terminology.hl7.org/CodeSystem/v2-0443', 'AP', 'Administering Provider')] },
        actor: providerReference(given.visit.time.provider),
      },
    ],
  };
}

function route(vaccine: VaccineKey): [string, string] {
  return vaccine === 'rota' ? ['PO', 'Swallow, oral'] : ['IM', 'Injection, intramuscular'];
}

export function procedure(
  world: World,
  {
    person,
    visit,
    encounter,
    key,
    reason,
  }: { person: Person; visit: Visit; encounter: Reference; key: ProcedureKey; reason: Reference },
): Procedure {
  return {
    resourceType: 'Procedure',
    id: world.nextId('Procedure'),
    meta: sampleMeta,
    status: 'completed',
    code: concept(systems.procedure, key, procedures[key].display),
    subject: patientReference(person),
    encounter,
    performedPeriod: {
      start: instant(visit.time.day, visit.time.minute + 10),
      end: instant(visit.time.day, visit.time.minute + 18),
    },
    performer: [{ actor: providerReference(visit.time.provider), onBehalfOf: clinic }],
    location: clinicSite,
    reasonReference: [reason],
  };
}

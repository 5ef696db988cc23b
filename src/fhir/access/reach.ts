// Reach as conditions on keys: a patient's compartment, the patients somebody treats, whom somebody stands for.
// https://hl7.org/fhir/R4/compartmentdefinition-patient.html
import type { Definitions } from '../../model/definitions.ts';
import type { Condition, Key } from '../../store/store.ts';
import { and, key, not, or, span } from '../search/conditions.ts';
import { compartmentKey, encodeTime, keys, parameterPrefix, referencePrefix, spans } from '../search/keys.ts';
import { listsOf } from '../search/lists.ts';
import { SHARED_TYPES } from './roles.ts';

const NONE: Condition = { kind: 'none' };
const ALL: Condition = { kind: 'all' };

/** What a resource of `type` must be to belong to one of these patients. */
export function ofPatients(type: string, patients: readonly string[], definitions: Definitions): Condition {
  if (SHARED_TYPES.has(type)) return ALL;
  if (type === 'Device') {
    const refers = patients.map((patient) =>
      key(keys.reference(parameterPrefix(type, 'patient'), `Patient/${patient}`)),
    );
    return or([...refers, ofNobody(type)]);
  }
  if (!isMember(type, definitions)) return NONE;
  return or(patients.map((patient) => key(compartmentKey(patient, type))));
}

/** The same for patients that are told by a condition on the Patient. */
export function ofPatientsWho(type: string, who: Condition, definitions: Definitions): Condition {
  if (SHARED_TYPES.has(type)) return ALL;
  const about = aboutPatientsWho(type, who, definitions);
  return type === 'Device' ? or([about, ofNobody(type)]) : about;
}

/** Resources that are in the record of such a patient. */
export function aboutPatientsWho(type: string, who: Condition, definitions: Definitions): Condition {
  if (type === 'Patient') return who;
  const references = type === 'Device' ? [parameterPrefix(type, 'patient')] : memberLists(type, definitions);
  return or(
    references.map(
      (prefix): Condition => ({ kind: 'refers', prefix: referencePrefix(prefix), to: { type: 'Patient', where: who } }),
    ),
  );
}

/** A Device may be nobody's, and then tells of nobody. */
const ofNobody = (type: string): Condition => not(span(spans.present(parameterPrefix(type, 'patient'))));

const isMember = (type: string, definitions: Definitions): boolean =>
  type === 'Patient' || memberLists(type, definitions).length > 0;

/** Lists of the references that make a resource of a type a member of a patient's compartment. */
function memberLists(type: string, definitions: Definitions): Key[] {
  const codes = definitions.compartments.get('Patient')?.get(type) ?? [];
  const lists = codes.flatMap((code) => listsOf(definitions, type, code).lists);
  const mayBePatient = lists.filter(({ target, isRemote }) => isRemote !== true && (target ?? 'Patient') === 'Patient');
  return [...new Set(mayBePatient.map(({ prefix }) => prefix))];
}

const ENCOUNTER_DAYS = 30;
const DAY_MS = 86_400_000;

/** A Patient that this practitioner treats: as general practitioner, in an active care team, in a recent encounter. */
export function treatedBy(practitioner: string, now: number): Condition {
  const names = (type: string, parameter: string): Condition =>
    key(keys.reference(parameterPrefix(type, parameter), practitioner));
  const patientOf = (type: string): Key => referencePrefix(parameterPrefix(type, subjectList[type] ?? 'patient'));
  const active = key(keys.token(parameterPrefix('CareTeam', 'status'), 'active', undefined));
  const since = encodeTime(now - ENCOUNTER_DAYS * DAY_MS);
  const dates = parameterPrefix('Encounter', 'date');
  // What is open has no end, which sorts after every instant.
  const recent = or([
    span({ from: `${dates}l${since}`, to: `${dates}m` }),
    span({ from: `${dates}h${since}`, to: `${dates}i` }),
  ]);
  return or([
    names('Patient', 'general-practitioner'),
    {
      kind: 'referred',
      prefix: patientOf('CareTeam'),
      by: { type: 'CareTeam', where: and([names('CareTeam', 'participant'), active]) },
    },
    {
      kind: 'referred',
      prefix: patientOf('Encounter'),
      by: { type: 'Encounter', where: and([names('Encounter', 'participant'), recent]) },
    },
  ]);
}

/** Where the references to the patient stand (see search/lists.ts). */
const subjectList: Readonly<Record<string, string>> = { CareTeam: 'subject', Encounter: 'subject' };

/** A Patient for whom this RelatedPerson, which is active, stands. */
export function representedBy(relatedPerson: string): Condition {
  const active = key(keys.token(parameterPrefix('RelatedPerson', 'active'), 'true', undefined));
  return {
    kind: 'referred',
    prefix: referencePrefix(parameterPrefix('RelatedPerson', 'patient')),
    by: {
      type: 'RelatedPerson',
      where: and([{ kind: 'ids', ids: [relatedPerson.slice('RelatedPerson/'.length)] }, active]),
    },
  };
}

/** Orders of one kind: who is to carry them out, and what results refer back to them. */
export interface Orders {
  type: string;
  /** Parameter that names who carries it out. */
  performer: string;
  /** Parameter by which a result of a type refers to its order. */
  results: Readonly<Record<string, string>>;
}

export const LAB_ORDERS: Orders = {
  type: 'ServiceRequest',
  performer: 'performer',
  results: { DiagnosticReport: 'based-on', Observation: 'based-on' },
};

export const PRESCRIPTIONS: Orders = {
  type: 'MedicationRequest',
  performer: 'intended-dispenser',
  results: { MedicationDispense: 'prescription' },
};

/** The active orders that somebody is to carry out, results that refer to them, and what belongs to their patients. */
export function ofOrders(type: string, orders: Orders, performer: string, definitions: Definitions): Condition {
  if (SHARED_TYPES.has(type)) return ALL;
  const isTheirs = and([
    key(keys.reference(parameterPrefix(orders.type, orders.performer), performer)),
    key(keys.token(parameterPrefix(orders.type, 'status'), 'active', undefined)),
  ]);
  if (type === orders.type) return isTheirs;
  const patients: Condition = {
    kind: 'referred',
    prefix: referencePrefix(parameterPrefix(orders.type, 'subject')),
    by: { type: orders.type, where: isTheirs },
  };
  const ofTheirPatients = ofPatientsWho(type, patients, definitions);
  const basis = orders.results[type];
  if (basis === undefined) return ofTheirPatients;
  // A result of an order that is about somebody else would stand in a record that the order does not open.
  const prefix = referencePrefix(parameterPrefix(type, basis));
  return and([{ kind: 'refers', prefix, to: { type: orders.type, where: isTheirs } }, ofTheirPatients]);
}

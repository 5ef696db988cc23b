// What each role may do, as data: deny is the absence of a rule. A rule of a role reaches some resources of some types;
// the rules of all roles of a person add up, and are then met by the token's scopes, the launch and the labels.
import type { Permission } from '../caller.ts';

/**
 * Which resources a rule reaches.
 * `all`: every one of the type. `own`: the compartment of the patient that the person is. `represented`: of the patient
 * whom the person (a RelatedPerson) stands for. `care-team`: of patients for whom the person is general practitioner, in
 * an active care team, or in an encounter of the last 30 days.
 * `lab-orders`: ServiceRequests that the person or organization is to perform, results based on them, and the patients and
 * specimens they are about. `prescriptions`: MedicationRequests that it is to dispense, and likewise.
 * `shown`: a Binary by what it belongs to, which is how every reach but `all` is meant of Binaries (see binaries.ts).
 */
export type Reach = 'all' | 'own' | 'represented' | 'care-team' | 'lab-orders' | 'prescriptions' | 'shown';

export interface RoleRule {
  /** `*`: every type that no other rule of the role names. */
  types: readonly string[];
  can: readonly Permission[];
  reach: Reach;
  /** Search parameters that narrow it, as in a scope. */
  query?: string;
  /** Elements that are left out of what is shown, and that nothing may be searched by. */
  hidden?: readonly string[];
}

export interface Role {
  /** For people. */
  name: string;
  rules: readonly RoleRule[];
  /** Restricted labels hide nothing that the role reaches: it is the person's own. */
  labels?: 'all';
  /** What is marked as not to be disclosed to the patient is kept from it. */
  forPatients?: true;
  /** May take restricted labels away. */
  mayRelabel?: true;
  /** May ask for emergency access. */
  mayBreakGlass?: true;
}

const READ: readonly Permission[] = ['r', 's'];
const KEEP: readonly Permission[] = ['c', 'r', 'u', 's'];
const ALL: readonly Permission[] = ['c', 'r', 'u', 'd', 's'];

/** Types about the practice and about knowledge, not about a patient. */
const DIRECTORY = [
  'Endpoint',
  'HealthcareService',
  'InsurancePlan',
  'Location',
  'Medication',
  'MedicationKnowledge',
  'Organization',
  'OrganizationAffiliation',
  'Practitioner',
  'PractitionerRole',
  'Substance',
] as const;

const KNOWLEDGE = [
  'ActivityDefinition',
  'CapabilityStatement',
  'ChargeItemDefinition',
  'CodeSystem',
  'CompartmentDefinition',
  'ConceptMap',
  'ImplementationGuide',
  'Library',
  'Measure',
  'NamingSystem',
  'OperationDefinition',
  'PlanDefinition',
  'Questionnaire',
  'SearchParameter',
  'StructureDefinition',
  'StructureMap',
  'TerminologyCapabilities',
  'ValueSet',
] as const;

/** What anyone with any right at all may read: it tells of no patient. */
export const SHARED_TYPES: ReadonlySet<string> = new Set([...DIRECTORY, ...KNOWLEDGE]);

const SHARED: RoleRule = { types: [...SHARED_TYPES], can: READ, reach: 'all' };
/** What is attached to what the role may read. */
const ATTACHED: RoleRule = { types: ['Binary'], can: READ, reach: 'shown' };
const CALENDAR = ['Appointment', 'AppointmentResponse', 'Schedule', 'Slot'] as const;
const MONEY = [
  'Account',
  'ChargeItem',
  'Claim',
  'ClaimResponse',
  'Contract',
  'Coverage',
  'CoverageEligibilityRequest',
  'CoverageEligibilityResponse',
  'ExplanationOfBenefit',
  'Invoice',
  'PaymentNotice',
  'PaymentReconciliation',
] as const;

/** Not for clinicians: what administration and oversight are made of. */
const OVERSIGHT = ['AuditEvent', 'Subscription'] as const;

export const roles: Readonly<Record<string, Role>> = {
  clinician: {
    name: 'Clinician',
    mayBreakGlass: true,
    rules: [
      SHARED,
      { types: CALENDAR, can: ALL, reach: 'all' },
      { types: ['Patient'], can: KEEP, reach: 'care-team' },
      { types: MONEY, can: READ, reach: 'care-team' },
      { types: [...OVERSIGHT], can: [], reach: 'all' },
      { types: ['*'], can: ALL, reach: 'care-team' },
    ],
  },
  'clinician-all': {
    name: 'Clinician with the whole clinic in reach',
    mayBreakGlass: true,
    rules: [
      SHARED,
      { types: CALENDAR, can: ALL, reach: 'all' },
      { types: ['Patient'], can: KEEP, reach: 'all' },
      { types: MONEY, can: READ, reach: 'all' },
      { types: [...OVERSIGHT], can: [], reach: 'all' },
      { types: ['*'], can: ALL, reach: 'all' },
    ],
  },
  'front-desk': {
    name: 'Front desk',
    rules: [
      SHARED,
      { types: ['Patient', 'RelatedPerson', 'Coverage', ...CALENDAR], can: KEEP, reach: 'all' },
      { types: ['Encounter'], can: READ, reach: 'all', hidden: ['reasonCode', 'reasonReference', 'diagnosis', 'text'] },
      ATTACHED,
    ],
  },
  biller: {
    name: 'Biller',
    rules: [
      SHARED,
      { types: [...MONEY], can: KEEP, reach: 'all' },
      { types: ['Patient', 'RelatedPerson'], can: READ, reach: 'all' },
      { types: ['Encounter', 'Condition', 'Procedure'], can: READ, reach: 'all', hidden: ['note', 'text'] },
      ATTACHED,
    ],
  },
  patient: {
    name: 'Patient',
    labels: 'all',
    forPatients: true,
    rules: [
      SHARED,
      {
        types: ['QuestionnaireResponse', 'Communication', 'Appointment', 'Consent'],
        can: ['c', 'r', 's'],
        reach: 'own',
      },
      { types: [...OVERSIGHT], can: [], reach: 'own' },
      { types: ['*'], can: READ, reach: 'own' },
    ],
  },
  proxy: {
    name: 'Representative of a patient',
    forPatients: true,
    rules: [
      SHARED,
      {
        types: ['QuestionnaireResponse', 'Communication', 'Appointment'],
        can: ['c', 'r', 's'],
        reach: 'represented',
      },
      { types: [...OVERSIGHT], can: [], reach: 'represented' },
      { types: ['*'], can: READ, reach: 'represented' },
    ],
  },
  /** Users, roles, clients and settings are no resources; of those it sees what tells of no patient. */
  administrator: {
    name: 'Administrator',
    rules: [
      { types: [...SHARED_TYPES], can: ALL, reach: 'all' },
      { types: ['Binary'], can: ALL, reach: 'shown' },
    ],
  },
  lab: {
    name: 'Laboratory system',
    rules: [
      SHARED,
      { types: ['ServiceRequest', 'Specimen'], can: READ, reach: 'lab-orders' },
      {
        types: ['Patient'],
        can: READ,
        reach: 'lab-orders',
        hidden: ['contact', 'communication', 'link', 'maritalStatus', 'photo', 'text'],
      },
      { types: ['DiagnosticReport', 'Observation'], can: ['c', 'r', 'u', 's'], reach: 'lab-orders' },
      { types: ['Binary'], can: ['c', 'r', 'u', 's'], reach: 'shown' },
    ],
  },
  pharmacy: {
    name: 'Pharmacy system',
    rules: [
      SHARED,
      { types: ['MedicationRequest', 'AllergyIntolerance', 'Patient'], can: READ, reach: 'prescriptions' },
      { types: ['MedicationDispense'], can: ['c', 'r', 'u', 's'], reach: 'prescriptions' },
      ATTACHED,
    ],
  },
  'privacy-officer': {
    name: 'Privacy officer',
    mayRelabel: true,
    rules: [
      SHARED,
      { types: ['AuditEvent'], can: READ, reach: 'all' },
      { types: ['Task'], can: KEEP, reach: 'all' },
      ATTACHED,
    ],
  },
};

export type RoleName = keyof typeof roles;

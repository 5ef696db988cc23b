// Scopes in the words of people who never heard of them.
// https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
import type { Permission, ResourceScope } from '../../fhir/caller.ts';
import { parseScope } from '../scopes.ts';

export interface ScopeWords {
  title: string;
  /** What is easily overlooked; '' when there is nothing. */
  hint: string;
}

/** `patient`: how to call the patient in context, such as `Anna Smith`. */
export function scopeWords(token: string, patient: string): ScopeWords {
  const scope = parseScope(token);
  if (typeof scope !== 'object') return { title: token, hint: '' };
  switch (scope.kind) {
    case 'resource':
      return resourceWords(scope.resource, patient);
    case 'identity':
      return scope.text === 'openid'
        ? { title: 'Know that it is you who signs in', hint: '' }
        : { title: 'Know who you are: your name and your record as a person of this practice', hint: '' };
    case 'refresh':
      return scope.text === 'offline_access'
        ? {
            title: 'Keep this access for up to 90 days, also while you are not there',
            hint: 'You can end it at any time under “My account”.',
          }
        : { title: 'Keep this access while you are signed in', hint: '' };
    case 'launch':
      return { title: launchWords[scope.context ?? ''] ?? token, hint: '' };
  }
}

const launchWords: Readonly<Record<string, string>> = {
  '': 'Know what is open where the app was started',
  patient: 'Know which patient is chosen',
  encounter: 'Know which visit is chosen',
};

const verbs: Readonly<Record<Permission, string>> = { r: 'see', s: 'see', c: 'add', u: 'change', d: 'delete' };

function resourceWords({ level, type, can, query }: ResourceScope, patient: string): ScopeWords {
  const doing = [...new Set(can.map((permission) => verbs[permission]))];
  const of = level === 'patient' ? `of ${patient}` : 'of all patients that you may see';
  const what = type === '*' ? 'all records' : typeWords(type);
  const only = query === undefined ? '' : `, only ${queryWords(query)}`;
  const title = `${listWords(doing)} ${what} ${of}${only}`;
  const hint =
    type === '*'
      ? 'That is every kind of record: conditions, medications, results, notes and billing, and kinds that are added later.'
      : '';
  return { title: title.charAt(0).toUpperCase() + title.slice(1), hint };
}

function listWords(words: readonly string[]): string {
  const last = words.at(-1) ?? '';
  return words.length < 2 ? last : `${words.slice(0, -1).join(', ')} and ${last}`;
}

const types: Readonly<Record<string, string>> = {
  AllergyIntolerance: 'allergies and intolerances',
  Appointment: 'appointments',
  CarePlan: 'care plans',
  CareTeam: 'care teams',
  Claim: 'claims to insurers',
  Communication: 'messages',
  Condition: 'conditions and diagnoses',
  Consent: 'consents',
  Coverage: 'insurance',
  Device: 'implants and devices',
  DiagnosticReport: 'reports of laboratory and imaging',
  DocumentReference: 'documents and clinical notes',
  Encounter: 'visits',
  ExplanationOfBenefit: 'payments of insurers',
  FamilyMemberHistory: 'family history',
  Goal: 'goals',
  Immunization: 'vaccinations',
  Location: 'places',
  Media: 'pictures',
  Medication: 'medicines',
  MedicationDispense: 'medicines handed out',
  MedicationRequest: 'prescriptions',
  MedicationStatement: 'medicines taken',
  Observation: 'results, vital signs and other observations',
  Organization: 'organizations',
  Patient: 'name, address, birth date and other personal data',
  Practitioner: 'doctors, nurses and other professionals',
  PractitionerRole: 'roles of professionals',
  Procedure: 'procedures',
  Provenance: 'who wrote which record',
  QuestionnaireResponse: 'answered questionnaires',
  RelatedPerson: 'relatives and carers',
  ServiceRequest: 'orders and referrals',
  Specimen: 'samples',
};

/** FamilyMemberHistory → records of type “family member history”, where no better words are known. */
function typeWords(type: string): string {
  return types[type] ?? `records of type “${type.replace(/(?<=[a-z])(?=[A-Z])/g, ' ').toLowerCase()}”`;
}

function queryWords(query: string): string {
  return listWords(query.split('&').map(constraintWords));
}

function constraintWords(item: string): string {
  const at = item.indexOf('=');
  const [name, value] = [decoded(item.slice(0, at)), decoded(item.slice(at + 1))];
  const known = categoriesOf(value);
  return name === 'category' && known !== undefined ? known : `those with ${name} ${value}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export interface Category {
  /** `system|code` */
  token: string;
  title: string;
}

const terminology = 'http://terminology.hl7.org/CodeSystem';
const usCore = 'http://hl7.org/fhir/us/core/CodeSystem';

/** What a whole type may be narrowed to: https://hl7.org/fhir/us/core/scopes.html */
export const categories: Readonly<Record<string, readonly Category[]>> = {
  Condition: [
    { token: `${terminology}/condition-category|encounter-diagnosis`, title: 'diagnoses of visits' },
    { token: `${terminology}/condition-category|problem-list-item`, title: 'the problem list' },
    { token: `${usCore}/condition-category|health-concern`, title: 'health concerns' },
  ],
  Observation: [
    { token: `${terminology}/observation-category|laboratory`, title: 'laboratory results' },
    { token: `${terminology}/observation-category|vital-signs`, title: 'vital signs' },
    { token: `${terminology}/observation-category|social-history`, title: 'social history' },
    { token: `${terminology}/observation-category|survey`, title: 'answers to surveys' },
    { token: `${usCore}/us-core-category|sdoh`, title: 'living conditions (social determinants of health)' },
  ],
};

function categoriesOf(value: string): string | undefined {
  const known = Object.values(categories).flat();
  const titles = value.split(',').map((token) => known.find((each) => each.token === token)?.title);
  return titles.every((title) => title !== undefined) ? listWords(titles) : undefined;
}

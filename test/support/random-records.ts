// Made-up records of patients from a seed: what random-resources.ts makes, and what rights depend on besides: care teams,
// recent encounters, representatives, devices, what is about several patients, security labels, and Binaries that belong to
// other resources or are attached to them.
import { baseUrl } from './engine.ts';
import { madeTypes, randomResource } from './random-resources.ts';
import { pick, type Random } from './random-search.ts';
import { chance, concept, madeIds, maybe, narrative, reference, some, word } from './random-values.ts';

const FURTHER = [
  'CareTeam',
  'RelatedPerson',
  'Device',
  'Appointment',
  'Coverage',
  'Procedure',
  'Provenance',
  'AuditEvent',
  'Task',
  'Medication',
  'ServiceRequest',
  'DiagnosticReport',
  'MedicationDispense',
  'AllergyIntolerance',
  'Consent',
  'Binary',
] as const;

/** Each once. */
export const recordTypes: readonly string[] = [...new Set<string>([...madeTypes, ...FURTHER])];

/** `now`: ms since the epoch; encounters are around it. */
export function randomRecord(random: Random, type: string, id: string, now: number): Record<string, unknown> {
  const isFurther = FURTHER.some((one) => one === type);
  const made = isFurther
    ? { resourceType: type, id, ...furtherContent(random, type) }
    : randomResource(random, type, id);
  const resource = type === 'Encounter' && chance(random, 0.7) ? recent(random, made, now) : made;
  if (type === 'Condition' && chance(random, 0.3)) Object.assign(resource, { note: [{ text: word(random) }] });
  if (type === 'Observation' && chance(random, 0.3)) {
    Object.assign(resource, { basedOn: [reference(random, 'ServiceRequest', 'MedicationRequest')] });
  }
  if (type === 'MedicationRequest' && chance(random, 0.5)) {
    Object.assign(resource, { dispenseRequest: { performer: { reference: `Organization/${pick(random, madeIds)}` } } });
  }
  Object.assign(resource, attachmentOf(random, type));
  if (!chance(random, 0.25)) return resource;
  const { meta = {} } = resource as { meta?: object };
  return { ...resource, meta: { ...meta, security: some(random, 2, () => pick(random, LABELS)) } };
}

function attachmentOf(r: Random, type: string): object {
  const attachment = (): object => ({ url: binaryUrl(r) });
  switch (type) {
    case 'DocumentReference':
      return maybe(r, 0.7, 'content', () => some(r, 2, () => ({ attachment: attachment() })));
    case 'DiagnosticReport':
      return maybe(r, 0.5, 'presentedForm', () => [attachment()]);
    case 'Patient':
    case 'Practitioner':
      return maybe(r, 0.3, 'photo', () => [attachment()]);
    case 'Consent':
      return maybe(r, 0.2, 'sourceAttachment', attachment);
    default:
      return {};
  }
}

function binaryUrl(r: Random): string {
  const name = `Binary/${pick(r, madeIds)}`;
  return pick(r, [name, name, name, `${baseUrl}/${name}`, `${name}/_history/1`, `http://other.example/fhir/${name}`]);
}

/** Here, elsewhere, or not to be found out. */
function securityContext(r: Random): object {
  const types = ['Patient', 'Patient', 'Observation', 'DocumentReference', 'DiagnosticReport', 'Encounter'] as const;
  const name = `${pick(r, [...types, 'Practitioner', 'Binary'])}/${pick(r, madeIds)}`;
  if (chance(r, 0.05)) return { identifier: { value: 'x' } };
  const references = [
    name,
    name,
    name,
    name,
    `${baseUrl}/${name}`,
    `${name}/_history/2`,
    `http://other.example/${name}`,
  ];
  return { reference: pick(r, references) };
}

function recent(random: Random, made: Record<string, unknown>, now: number): Record<string, unknown> {
  const day = (days: number): string => new Date(now + days * 86_400_000).toISOString();
  const start = pick(random, [-400, -60, -40, -10, -1]);
  const period = { start: day(start), ...maybe(random, 0.7, 'end', () => day(start + pick(random, [0, 5, 20]))) };
  return {
    ...made,
    period,
    subject: { reference: `Patient/${pick(random, madeIds)}` },
    participant: some(random, 2, () => ({ individual: reference(random, 'Practitioner') })),
    ...maybe(random, 0.4, 'reasonCode', () => [concept(random)]),
  };
}

const ACT = 'http://terminology.hl7.org/CodeSystem/v3-ActCode';
const CONFIDENTIALITY = 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality';
const LABELS = [
  { system: CONFIDENTIALITY, code: 'R' },
  { system: CONFIDENTIALITY, code: 'V' },
  { system: CONFIDENTIALITY, code: 'N' },
  { system: ACT, code: 'HIV' },
  { system: ACT, code: 'PSY' },
  { system: ACT, code: 'SUD', display: 'substance use disorder' },
  { system: ACT, code: 'NOPAT' },
  { system: 'http://a.example/x', code: 'HIV' },
  { code: 'R' },
];

function furtherContent(r: Random, type: string): Record<string, unknown> {
  const patient = (): { reference?: string } => reference(r, 'Patient');
  switch (type) {
    case 'CareTeam':
      return {
        ...maybe(r, 0.9, 'status', () => pick(r, ['active', 'active', 'inactive', 'proposed'])),
        ...maybe(r, 0.9, 'subject', patient),
        participant: some(r, 3, () => ({ member: reference(r, 'Practitioner', 'Practitioner', 'Organization') })),
      };
    case 'RelatedPerson':
      return { ...maybe(r, 0.8, 'active', () => chance(r, 0.7)), patient: patient(), ...named(r) };
    case 'Device':
      return { ...maybe(r, 0.6, 'patient', () => ({ reference: `Patient/${pick(r, madeIds)}` })), type: concept(r) };
    case 'Appointment':
      return {
        status: pick(r, ['booked', 'cancelled']),
        ...maybe(r, 0.3, 'text', () => narrative(r)),
        participant: some(r, 3, () => ({
          actor: reference(r, 'Patient', 'Patient', 'Practitioner', 'Location'),
          status: 'accepted',
        })),
      };
    case 'Coverage':
      return {
        status: 'active',
        beneficiary: patient(),
        payor: [reference(r, 'Organization', 'Patient')],
        ...maybe(r, 0.3, 'subscriber', patient),
      };
    case 'Procedure':
      return {
        status: 'completed',
        subject: patient(),
        ...maybe(r, 0.6, 'code', () => concept(r)),
        ...maybe(r, 0.5, 'encounter', () => reference(r, 'Encounter')),
        ...maybe(r, 0.3, 'performer', () => [{ actor: reference(r, 'Practitioner', 'Patient') }]),
        ...maybe(r, 0.4, 'note', () => [{ text: word(r) }]),
        ...maybe(r, 0.3, 'text', () => narrative(r)),
      };
    case 'Provenance':
      return {
        target: some(r, 3, () => reference(r, 'Observation', 'Condition', 'Patient')),
        recorded: '2024-02-28T12:00:00Z',
        agent: [{ who: reference(r, 'Practitioner', 'Patient') }],
      };
    case 'AuditEvent':
      return {
        type: { code: 'rest' },
        recorded: '2024-02-28T12:00:00Z',
        agent: [{ who: reference(r, 'Practitioner', 'Patient'), requestor: true }],
        source: { observer: { display: 'here' } },
        entity: [{ what: reference(r, 'Patient', 'Observation') }],
      };
    case 'Task':
      return {
        status: 'requested',
        intent: 'order',
        ...maybe(r, 0.5, 'for', patient),
        ...maybe(r, 0.5, 'owner', () => reference(r, 'Practitioner', 'Patient')),
        ...maybe(r, 0.5, 'focus', () => reference(r, 'Observation', 'MedicationRequest')),
      };
    case 'ServiceRequest':
      return {
        status: pick(r, ['active', 'active', 'completed']),
        intent: 'order',
        subject: patient(),
        ...maybe(r, 0.7, 'performer', () => [reference(r, 'Organization', 'Practitioner')]),
      };
    case 'DiagnosticReport':
      return {
        status: 'final',
        code: concept(r),
        subject: patient(),
        ...maybe(r, 0.7, 'basedOn', () => [reference(r, 'ServiceRequest')]),
        ...maybe(r, 0.5, 'result', () => [reference(r, 'Observation')]),
      };
    case 'MedicationDispense':
      return {
        status: 'completed',
        medicationCodeableConcept: concept(r),
        ...maybe(r, 0.8, 'subject', patient),
        ...maybe(r, 0.8, 'authorizingPrescription', () => [reference(r, 'MedicationRequest')]),
      };
    case 'Consent':
      return {
        status: pick(r, ['active', 'active', 'inactive']),
        scope: { text: 'privacy' },
        category: [{ text: 'x' }],
        policy: [{ uri: 'urn:x' }],
        ...maybe(r, 0.9, 'patient', patient),
        ...maybe(r, 0.8, 'provision', () => provision(r, 2)),
      };
    case 'Binary':
      return { contentType: 'text/plain', ...maybe(r, 0.6, 'securityContext', () => securityContext(r)) };
    case 'AllergyIntolerance':
      return { patient: patient(), ...maybe(r, 0.5, 'code', () => concept(r)) };
    default:
      return { ...maybe(r, 0.7, 'code', () => concept(r)), ...maybe(r, 0.5, 'status', () => 'active') };
  }
}

const named = (r: Random): object => maybe(r, 0.7, 'name', () => [{ family: word(r) }]);

function provision(r: Random, depth: number): object {
  const role = { text: 'x' };
  const codings = (...codes: string[]): object[] => [{ system: 'http://a.example/x', code: pick(r, codes) }];
  return {
    type: pick(r, ['deny', 'deny', 'permit']),
    ...maybe(r, 0.7, 'actor', () => some(r, 3, () => ({ role, reference: actor(r) }))),
    ...maybe(r, 0.2, 'purpose', () => codings('TREAT', 'HPAYMT', 'BTG')),
    ...maybe(r, 0.3, 'class', () => codings('Observation', 'Condition', 'Encounter', 'Patient')),
    ...maybe(r, 0.2, 'securityLabel', () => codings('R')),
    ...maybe(r, 0.2, 'period', () =>
      pick(r, [{ start: '2024-01-01' }, { end: '2023-12-31' }, { start: '2024-12-31' }]),
    ),
    ...(depth > 0 ? maybe(r, 0.4, 'provision', () => some(r, 2, () => provision(r, depth - 1))) : {}),
  };
}

const actor = (r: Random): object =>
  chance(r, 0.15) ? { reference: 'Device/app' } : reference(r, 'Practitioner', 'Organization', 'Practitioner');

// What kind of AuditEvent a line of the record is: type, subtypes and action.
// https://profiles.ihe.net/ITI/BALP/, https://hl7.org/fhir/R4/valueset-audit-event-type.html

export interface Coding {
  system: string;
  code: string;
  display?: string;
}

export interface EventCodes {
  type: Coding;
  subtype: Coding[];
  action: 'C' | 'R' | 'U' | 'D' | 'E';
  /** Name of the BALP profile of a success, without `Patient` in front. */
  profile?: 'Read' | 'Query' | 'Create' | 'Update' | 'Delete';
}

export const DCM = 'http://dicom.nema.org/resources/ontology/DCM';
const RESTFUL = 'http://hl7.org/fhir/restful-interaction';
/** Kinds that have no code elsewhere. */
export const KIND_SYSTEM = 'urn:careloom:audit-kind';

const REST: Coding = {
  system: 'http://terminology.hl7.org/CodeSystem/audit-event-type',
  code: 'rest',
  display: 'Restful Operation',
};

/** Interaction → code of restful-interaction, action, profile. */
const interactions: Readonly<Record<string, [code: string, action: EventCodes['action'], EventCodes['profile']?]>> = {
  read: ['read', 'R', 'Read'],
  vread: ['vread', 'R', 'Read'],
  'history-instance': ['history-instance', 'R'],
  'history-type': ['history-type', 'R'],
  'history-system': ['history-system', 'R'],
  'search-type': ['search-type', 'E', 'Query'],
  'search-system': ['search-system', 'E', 'Query'],
  'search-compartment': ['search-type', 'E', 'Query'],
  create: ['create', 'C', 'Create'],
  update: ['update', 'U', 'Update'],
  'conditional-update': ['update', 'U', 'Update'],
  patch: ['patch', 'U'],
  'conditional-patch': ['patch', 'U'],
  delete: ['delete', 'D', 'Delete'],
  'conditional-delete': ['delete', 'D', 'Delete'],
  bundle: ['batch', 'E'],
  batch: ['batch', 'E'],
  transaction: ['transaction', 'E'],
};

/** Kind of SecurityEvent → DICOM's event id and type (DICOM PS3.15 A.5), action. */
const events: Readonly<Record<string, [type: string, subtype: string | undefined, action: EventCodes['action']]>> = {
  login: ['110114', '110122', 'E'],
  logout: ['110114', '110123', 'E'],
  token: ['110114', '110126', 'E'],
  'token-refused': ['110114', '110126', 'E'],
  refused: ['110113', '110132', 'E'],
  throttled: ['110113', '110132', 'E'],
  'recording-stopped': ['110113', '110133', 'E'],
  'recording-started': ['110113', '110134', 'E'],
  consent: ['110113', '110137', 'U'],
  '$break-the-glass': ['110113', '110127', 'E'],
  configuration: ['110113', '110129', 'U'],
  user: ['110113', '110137', 'U'],
  role: ['110113', '110136', 'U'],
  start: ['110100', '110120', 'E'],
  stop: ['110100', '110121', 'E'],
  export: ['110106', undefined, 'R'],
  import: ['110107', undefined, 'C'],
  report: ['110101', undefined, 'R'],
  verify: ['110101', undefined, 'R'],
  seal: ['110101', undefined, 'U'],
  purge: ['110101', undefined, 'D'],
  hold: ['110101', undefined, 'U'],
};

const displays: Readonly<Record<string, string>> = {
  '110100': 'Application Activity',
  '110101': 'Audit Log Used',
  '110106': 'Export',
  '110107': 'Import',
  '110113': 'Security Alert',
  '110114': 'User Authentication',
  '110120': 'Application Start',
  '110121': 'Application Stop',
  '110122': 'Login',
  '110123': 'Logout',
  '110126': 'Node Authentication',
  '110127': 'Emergency Override Started',
  '110129': 'Security Configuration',
  '110132': 'Use of Restricted Function',
  '110133': 'Audit Recording Stopped',
  '110134': 'Audit Recording Started',
  '110136': 'Security Roles Changed',
  '110137': 'User Security Attributes Changed',
};

const DISCLOSE: Coding = {
  system: 'http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle',
  code: 'disclose',
  display: 'Disclose Record Lifecycle Event',
};

/** The codes of the disclosure that a line of the kind was. */
export function disclosureCodes(kind: string): Pick<EventCodes, 'type' | 'subtype' | 'action'> {
  return { type: dicom('110106'), subtype: [DISCLOSE, ...eventCodes(kind).subtype], action: 'R' };
}

/** The codes of a line's kind. Every kind that has no code in FHIR is a subtype of its own, so that it can be searched. */
export function eventCodes(kind: string): EventCodes {
  const interaction = Object.hasOwn(interactions, kind) ? interactions[kind] : undefined;
  if (interaction !== undefined) {
    const [code, action, profile] = interaction;
    const subtype = [{ system: RESTFUL, code, display: code }];
    if (code !== kind) subtype.push(own(kind));
    return { type: REST, subtype, action, ...(profile === undefined ? {} : { profile }) };
  }
  const event = Object.hasOwn(events, kind) ? events[kind] : undefined;
  if (event === undefined && kind.startsWith('$')) {
    const operation = { system: RESTFUL, code: 'operation', display: 'operation' };
    return { type: REST, subtype: [operation, own(kind)], action: 'E' };
  }
  const [type, subtype, action] = event ?? ['110113', undefined, 'E'];
  return { type: dicom(type), subtype: [...(subtype === undefined ? [] : [dicom(subtype)]), own(kind)], action };
}

const own = (kind: string): Required<Coding> => ({ system: KIND_SYSTEM, code: kind, display: kind });

function dicom(code: string): Coding {
  const display = displays[code];
  return { system: DCM, code, ...(display === undefined ? {} : { display }) };
}

// A line of the record as AuditEvents in the form of IHE's Basic Audit Log Patterns: one for each patient whom the line
// names, or a single one where it names none. https://profiles.ihe.net/ITI/BALP/
import type { AuditEvent, AuditEventAgent, AuditEventEntity, CodeableConcept } from 'fhir/r4.js';
import type { AuditRow } from '../../store/store.ts';
import { isDisclosure, type Outside } from './disclosure.ts';
import type { AuditBody } from './entry.ts';
import { DCM, disclosureCodes, type EventCodes, eventCodes } from './event-codes.ts';

/** A rendered event, and whom it is about: one patient or none, where a client did not name several itself. */
export interface Rendered {
  event: AuditEvent & { id: string };
  patients: readonly string[];
}

export interface RenderOptions extends Outside {
  /** The server, as clients know it. */
  baseUrl: string;
}

export function renderRow(row: AuditRow, options: RenderOptions): Rendered[] {
  const body = JSON.parse(row.body) as AuditBody;
  if (body.ev !== undefined) {
    const event = { ...(body.ev as AuditEvent), id: eventId(row, 0) };
    return [{ event: stamped(event, row), patients: row.patients }];
  }
  const disclosed = row.patients
    .map((patient, at) => ({ patient, at }))
    .filter(({ patient }) => isDisclosure(row, body, patient, options))
    .map(({ patient, at }) => disclosure(row, body, patient, at, options));
  return [...accesses(row, body, options), ...disclosed];
}

/** What was done, as the pattern of its interaction has it. */
function accesses(row: AuditRow, body: AuditBody, { baseUrl }: RenderOptions): Rendered[] {
  const patients = row.patients.length === 0 ? [undefined] : row.patients;
  const codes = eventCodes(body.k);
  const shared = {
    type: codes.type,
    subtype: codes.subtype,
    action: codes.action,
    recorded: new Date(row.at).toISOString(),
    ...outcomeOf(body),
    agent: agentsOf(row, body, codes, baseUrl),
    source: sourceOf(baseUrl),
  };
  const entities = entitiesOf(body, baseUrl);
  return patients.map((patient, at) => {
    const entity = patient === undefined ? entities : [patientEntity(patient), ...entities];
    const profile = profileOf(body, codes, patient);
    const event: Rendered['event'] = {
      resourceType: 'AuditEvent',
      id: eventId(row, at),
      ...(profile === undefined ? {} : { meta: { profile: [`${PROFILES}${profile}`] } }),
      ...shared,
      ...(entity.length === 0 ? {} : { entity }),
    };
    return { event: stamped(event, row), patients: patient === undefined ? [] : [patient] };
  });
}

/**
 * The same as a disclosure from here to the client, to be found by `subtype=disclose`.
 * https://profiles.ihe.net/ITI/BALP/StructureDefinition-IHE.BasicAudit.PrivacyDisclosure.Source.html
 */
function disclosure(row: AuditRow, body: AuditBody, patient: string, at: number, { baseUrl }: RenderOptions): Rendered {
  const { p, a } = body;
  const event: Rendered['event'] = {
    resourceType: 'AuditEvent',
    id: `${eventId(row, at)}${DISCLOSURE_SUFFIX}`,
    // The profile asks for addresses on both sides.
    ...(a === undefined ? {} : { meta: { profile: [`${PROFILES}PrivacyDisclosure.Source`] } }),
    ...disclosureCodes(body.k),
    recorded: new Date(row.at).toISOString(),
    ...outcomeOf(body),
    ...(p === undefined ? {} : { purposeOfEvent: [purposeOf(p)] }),
    agent: agentsOf(row, body, eventCodes('read'), baseUrl),
    source: sourceOf(baseUrl),
    entity: [patientEntity(patient), ...shownEntities(row, body), ...entitiesOf(body, baseUrl)],
  };
  return { event: stamped(event, row), patients: [patient] };
}

export const isDisclosureEvent = ({ event }: Rendered): boolean => event.id.endsWith(DISCLOSURE_SUFFIX);

const PROFILES = 'https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.';
const DISCLOSURE_SUFFIX = '.d';

/**
 * `chain-seq` for the first patient of a line, `chain-seq.n` for the others; of a disclosure with `.d` behind it. An id may
 * hold no `_`, and a chain no `.`.
 */
export function eventId({ chain, seq }: Pick<AuditRow, 'chain' | 'seq'>, at: number): string {
  const place = `${chain.replaceAll('_', '.')}-${seq}`;
  return at === 0 ? place : `${place}.${at + 1}`;
}

/** The line that an id would be of; undefined for what is no id of an event. */
export function placeOfId(id: string): { chain: string; seq: number } | undefined {
  const [, chain, seq] = /^(.{1,48})-([1-9]\d{0,14})(?:\.[1-9]\d{0,3})?(?:\.d)?$/.exec(id) ?? [];
  return chain === undefined || seq === undefined ? undefined : { chain: chain.replaceAll('.', '_'), seq: Number(seq) };
}

function stamped(event: AuditEvent & { id: string }, { at }: AuditRow): Rendered['event'] {
  const { resourceType, id, meta, ...others } = event;
  return {
    resourceType,
    id,
    meta: { ...meta, versionId: '1', lastUpdated: new Date(at).toISOString() },
    ...others,
  };
}

/** 0 success, 4 what the client did wrong, 8 what was denied or the server failed at. */
function outcomeOf({ s, d, x }: AuditBody): Pick<AuditEvent, 'outcome' | 'outcomeDesc'> {
  const outcome = d === 1 || s >= 500 ? '8' : s >= 400 ? '4' : '0';
  return { outcome, ...(x === undefined || x === '' ? {} : { outcomeDesc: x }) };
}

/** Name of the profile. It speaks of a success, and asks for addresses on both sides. */
function profileOf(
  { s, d, a, t, q }: AuditBody,
  { profile }: EventCodes,
  patient: string | undefined,
): string | undefined {
  if (profile === undefined || s >= 400 || d === 1 || a === undefined) return undefined;
  if (profile === 'Query' ? q === undefined && t === undefined : false) return undefined;
  return `${patient === undefined ? '' : 'Patient'}${profile}`;
}

const sourceOf = (baseUrl: string): AuditEvent['source'] => ({
  observer: serverOf(baseUrl),
  type: [{ system: 'http://terminology.hl7.org/CodeSystem/security-source-type', code: '4' }],
});

const serverOf = (baseUrl: string): { display: string } => ({ display: baseUrl });

/** BALP gives client and server the roles of the direction in which the data go; of a deletion, others. */
const roles: Readonly<
  Record<NonNullable<EventCodes['profile']>, [client: AuditEventAgent['type'], server: AuditEventAgent['type']]>
> = {
  Read: [dicomRole('110152', 'Destination Role ID'), dicomRole('110153', 'Source Role ID')],
  Query: [dicomRole('110153', 'Source Role ID'), dicomRole('110152', 'Destination Role ID')],
  Create: [dicomRole('110153', 'Source Role ID'), dicomRole('110152', 'Destination Role ID')],
  Update: [dicomRole('110153', 'Source Role ID'), dicomRole('110152', 'Destination Role ID')],
  Delete: [
    dicomRole('110150', 'Application'),
    {
      coding: [
        {
          system: 'http://terminology.hl7.org/CodeSystem/provenance-participant-type',
          code: 'custodian',
          display: 'Custodian',
        },
      ],
    },
  ],
};

function dicomRole(code: string, display: string): NonNullable<AuditEventAgent['type']> {
  return { coding: [{ system: DCM, code, display }] };
}

function agentsOf(
  { agent }: AuditRow,
  body: AuditBody,
  { profile, action }: EventCodes,
  baseUrl: string,
): [AuditEventAgent, ...AuditEventAgent[]] {
  const { a, c, g } = body;
  const [clientType, serverType] = roles[profile ?? 'Query'];
  const isPerson = !agent.startsWith('client:') && agent !== 'anonymous' && agent !== 'system';
  const client: AuditEventAgent = {
    ...(clientType === undefined ? {} : { type: clientType }),
    who: { identifier: { value: c ?? (isPerson ? 'unknown' : agent) } },
    requestor: !isPerson,
    ...(g === undefined ? {} : { policy: [`urn:careloom:grant:${encodeURIComponent(g)}`] }),
    ...(a === undefined ? {} : { network: { address: a, type: '2' as const } }),
  };
  const server: AuditEventAgent = {
    ...(serverType === undefined ? {} : { type: serverType }),
    who: serverOf(baseUrl),
    requestor: false,
    network: { address: baseUrl, type: '5' },
  };
  return isPerson ? [client, server, personOf(agent, body, action)] : [client, server];
}

const PARTICIPATION = 'http://terminology.hl7.org/CodeSystem/v3-ParticipationType';

function personOf(agent: string, { u, o, p, b }: AuditBody, action: EventCodes['action']): AuditEventAgent {
  const writes = action === 'C' || action === 'U' || action === 'D';
  const type = writes ? { code: 'AUT', display: 'author' } : { code: 'IRCP', display: 'information recipient' };
  const purposes = [...(p === undefined ? [] : [p]), ...(b === 1 && p !== 'BTG' ? ['BTG'] : [])];
  return {
    type: { coding: [{ system: PARTICIPATION, ...type }] },
    who: agent.includes('/') ? { reference: agent } : { identifier: { value: agent.replace(/^user:/, '') } },
    ...(u === undefined ? {} : { altId: u }),
    ...(o === undefined ? {} : { role: o.map((code) => ({ coding: [{ system: ROLES, code }], text: code })) }),
    requestor: true,
    ...(purposes.length === 0 ? {} : { purposeOfUse: purposes.map(purposeOf) }),
  };
}

/** The roles of src/fhir/access/roles.ts. */
const ROLES = 'urn:careloom:role';

const purposeOf = (code: string): CodeableConcept => ({
  coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-ActReason', code }],
});

const ENTITY_TYPE = 'http://terminology.hl7.org/CodeSystem/audit-entity-type';
const OBJECT_ROLE = 'http://terminology.hl7.org/CodeSystem/object-role';
const OBJECT = { system: ENTITY_TYPE, code: '2', display: 'System Object' };

function patientEntity(id: string): AuditEventEntity {
  return {
    what: { reference: `Patient/${id}` },
    type: { system: ENTITY_TYPE, code: '1', display: 'Person' },
    role: { system: OBJECT_ROLE, code: '1', display: 'Patient' },
  };
}

/** What was shown, by type; how many of each where all of them are this patient's. */
function shownEntities({ patients }: AuditRow, { n = {} }: AuditBody): AuditEventEntity[] {
  return Object.entries(n).map(([code, count]) => ({
    type: { system: 'http://hl7.org/fhir/resource-types', code, display: code },
    role: { system: OBJECT_ROLE, code: '4', display: 'Domain Resource' },
    ...(patients.length === 1 ? { detail: [{ type: 'count', valueString: String(count) }] } : {}),
  }));
}

function entitiesOf(body: AuditBody, baseUrl: string): AuditEventEntity[] {
  const { r, q, f } = body;
  const entities = namesOf(body).map(dataEntity);
  if (q !== undefined || f !== undefined || body.k.startsWith('search-')) entities.push(queryEntity(body, baseUrl));
  if (r !== undefined) {
    entities.push({
      what: { identifier: { value: r } },
      type: {
        system: 'https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType',
        code: 'XrequestId',
      },
    });
  }
  return entities;
}

/** References to the resources that the line names. */
function namesOf({ written, t, i, v }: AuditBody): readonly string[] {
  if (written !== undefined) return written;
  if (t === undefined || i === undefined) return [];
  return [v === undefined || !/^[1-9]\d*$/.test(v) ? `${t}/${i}` : `${t}/${i}/_history/${v}`];
}

const dataEntity = (reference: string): AuditEventEntity => ({
  what: { reference },
  type: OBJECT,
  role: { system: OBJECT_ROLE, code: '4', display: 'Domain Resource' },
});

/** "The raw search request is base64 encoded and placed in the .entity[query].query element." */
function queryEntity({ t, q, f }: AuditBody, baseUrl: string): AuditEventEntity {
  const request = `${f === undefined ? 'GET' : 'POST'} ${baseUrl}/${q ?? t ?? ''}${f === undefined ? '' : `\r\n\r\n${f}`}`;
  return {
    type: OBJECT,
    role: { system: OBJECT_ROLE, code: '24', display: 'Query' },
    query: Buffer.from(request).toString('base64'),
  };
}

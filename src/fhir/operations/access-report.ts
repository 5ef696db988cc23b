// Patient/[id]/$access-report: who saw or changed the patient's data, when, which kinds of it and why. For the patient,
// for whoever stands for the patient, and for the privacy officer, who may see the record itself.
import { FhirError } from '../../base/outcome.ts';
import { dateRange } from '../../model/dates.ts';
import { matchesKeys } from '../../store/match.ts';
import { typeKey } from '../../store/store.ts';
import { isUnrestricted } from '../access/callers.ts';
import { compileCaller } from '../access/compile.ts';
import { may } from '../access/require.ts';
import { roles } from '../access/roles.ts';
import { json } from '../answer.ts';
import { purposeText } from '../audit/disclosure.ts';
import { type DayOfAccess, daysOfAccess } from '../audit/patient-report.ts';
import { type Known, peopleBehind } from '../audit/people.ts';
import type { Principal } from '../caller.ts';
import type { EngineContext } from '../context.ts';
import type { Answer, Caller } from '../interaction.ts';
import { present } from '../read.ts';
import { compartmentKey } from '../search/keys.ts';
import type { OperationInput } from './input.ts';
import type { Operation, OperationCall } from './operation.ts';

export const accessReport: Operation = {
  code: 'access-report',
  definition: 'urn:careloom:OperationDefinition:access-report',
  instances: ['Patient'],
  affectsState: false,
  // The privacy officer sees the record, and no Patient.
  isOpen: true,
  parameters: ['start', 'end'],
  perform,
};

/** 200 with Parameters: `patient`, and an `access` for each kind of access of a day, the latest first. */
async function perform({ id = '', input }: OperationCall, caller: Caller, context: EngineContext): Promise<Answer> {
  await requireReport(id, caller, context);
  const { store, timeZone, outsideClients } = context;
  const period = periodOf(input(), timeZone);
  const days = await daysOfAccess(store.audit, { patient: id, timeZone, outsideClients, ...period });
  const agents = days.flatMap(({ access: { agent, behalf = agent } }) => [agent, behalf]);
  const people = await peopleBehind(await mayBeNamed(new Set(agents), id, caller, context), store);
  context.trail?.showEvent([id]);
  const parameter = [
    { name: 'patient', valueReference: { reference: `Patient/${id}` } },
    ...days.map((day) => ({ name: 'access', part: partsOf(day, id, people) })),
  ];
  return { status: 200, headers: {}, body: json({ resourceType: 'Parameters', parameter }), interaction: 'operation' };
}

/** FhirError('forbidden') for a token that may see no such report, 'not-found' where it may not see this one. */
async function requireReport(id: string, caller: Caller, context: EngineContext): Promise<void> {
  const { principal } = caller;
  if (isUnrestricted(caller)) {
    present(await context.store.read('Patient', id, caller.filter), 'Patient', id);
    return;
  }
  if (may(caller, 's', 'AuditEvent')) {
    const keys = [typeKey('AuditEvent'), compartmentKey(id, 'AuditEvent')];
    const row = { type: 'AuditEvent', id, lastUpdated: context.clock.now(), keys, terms: [] };
    if (matchesKeys(row, caller.filters.s.of('AuditEvent'), () => false)) return;
  }
  const person = principal === undefined ? undefined : inOwnRight(principal);
  if (person === undefined) throw refusal('Who saw a record is told to its patient and to the privacy officer.');
  const { filter } = compileCaller(person, context);
  if (filter.of('Patient').kind === 'none' || !coversRecord(person))
    throw refusal('This report needs a token of the patient, with scopes that read Patient and AuditEvent.');
  present(await context.store.read('Patient', id, filter), 'Patient', id);
}

const refusal = (text: string): FhirError => new FhirError('forbidden', text);

/** The person as a patient or for one alone, whatever other roles there are; undefined for one who is neither. */
function inOwnRight(principal: Principal): Principal | undefined {
  const { user } = principal;
  const own = user?.roles.filter((name) => Object.hasOwn(roles, name) && roles[name]?.forPatients === true) ?? [];
  return user === undefined || own.length === 0 ? undefined : { ...principal, user: { ...user, roles: own } };
}

/** No role lets patients see AuditEvents as such; the app must have been given them all the same. */
const coversRecord = ({ scopes }: Principal): boolean =>
  scopes.some(
    ({ type, can, query }) => (type === '*' || type === 'AuditEvent') && can.includes('r') && query === undefined,
  );

function periodOf(input: OperationInput, timeZone: string): { from?: number; to?: number } {
  const [start, end] = [input.text('start'), input.text('end')];
  return {
    ...(start === undefined ? {} : { from: dateRange(start, timeZone).from }),
    ...(end === undefined ? {} : { to: dateRange(end, timeZone).to }),
  };
}

/**
 * Whoever works here or for somebody is named to everybody who may ask. Other patients are not, and of representatives only
 * those whom the caller may see: somebody may have asked about this patient for another one, and found nothing.
 */
async function mayBeNamed(
  agents: ReadonlySet<string>,
  patient: string,
  caller: Caller,
  { store }: EngineContext,
): Promise<readonly string[]> {
  const related = [...agents].filter((agent) => agent.startsWith('RelatedPerson/'));
  const refs = related.map((agent) => ({ type: 'RelatedPerson', id: agent.slice('RelatedPerson/'.length) }));
  const rows = await store.readMany(refs, caller.filter);
  const others = [...agents].filter(
    (agent) => !/^(?:RelatedPerson|Patient)\//.test(agent) || agent === `Patient/${patient}`,
  );
  return [...others, ...related.filter((_, at) => rows[at] !== undefined)];
}

type Part = { name: string } & Record<string, unknown>;

function partsOf({ day, access, data }: DayOfAccess, patient: string, people: ReadonlyMap<string, Known>): Part[] {
  const { first, last, count, agent, behalf, client, purpose, isEmergency, isWrite, isDisclosure } = access;
  const known = people.get(agent) ?? {};
  const organization = known.organization ?? behalf;
  return [
    { name: 'day', valueDate: day },
    { name: 'first', valueInstant: new Date(first).toISOString() },
    { name: 'last', valueInstant: new Date(last).toISOString() },
    { name: 'times', valuePositiveInt: count },
    { name: 'who', valueReference: whoOf(agent, patient, known) },
    ...access.roles.map((role) => ({ name: 'role', valueString: roleName(role) })),
    ...(organization === undefined
      ? []
      : [{ name: 'organization', valueReference: namedReference(organization, people.get(organization)) }]),
    ...(client === undefined ? [] : [{ name: 'application', valueString: client }]),
    { name: 'action', valueCode: isWrite ? 'written' : 'seen' },
    ...data.map((type) => ({ name: 'data', valueCode: type })),
    ...(purpose === undefined ? [] : [{ name: 'purpose', valueCoding: purposeCoding(purpose) }]),
    ...(isEmergency ? [{ name: 'emergency', valueBoolean: true }] : []),
    ...(isDisclosure ? [{ name: 'disclosure', valueBoolean: true }] : []),
  ];
}

/** A name where there is one; what is no resource is told by what it is. */
function whoOf(agent: string, patient: string, known: Known): object {
  if (agent.startsWith('Patient/') && agent !== `Patient/${patient}`) return { display: 'another patient' };
  if (agent.startsWith('RelatedPerson/') && known.name === undefined) return { display: 'a representative' };
  if (agent.includes('/') && !agent.includes(':')) return namedReference(agent, known);
  if (agent === 'system') return { display: 'this server' };
  if (agent === 'anonymous') return { display: 'not known: access control was off' };
  return { display: agent.startsWith('client:') ? 'a system' : 'a member of staff' };
}

const namedReference = (reference: string, known: Known | undefined): object => ({
  reference,
  ...(known?.name === undefined ? {} : { display: known.name }),
});

const roleName = (role: string): string => (Object.hasOwn(roles, role) ? (roles[role]?.name ?? role) : role);

const purposeCoding = (code: string): object => ({
  system: 'http://terminology.hl7.org/CodeSystem/v3-ActReason',
  code,
  display: purposeText(code),
});

// AuditEvents are not stored as such: they are lines of the audit record, which nobody changes. So they can be read,
// searched and added to, by those to whom the type is open. https://hl7.org/fhir/R4/auditevent.html
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import { compactJson } from '../../model/json.ts';
import { matchesKeys } from '../../store/match.ts';
import { type Filter, typeKey } from '../../store/store.ts';
import { requireAny } from '../access/require.ts';
import { json, preferredBody, versionHeaders } from '../answer.ts';
import type { EngineContext } from '../context.ts';
import type { Answer, Caller, FhirRequest } from '../interaction.ts';
import { parseResource } from '../prepare.ts';
import type { Interaction } from '../route.ts';
import { indexResource } from '../search/index-resource.ts';
import { compartmentKey } from '../search/keys.ts';
import { searchQuery } from '../search/search.ts';
import { selectionOf, subset } from '../subset.ts';
import { eventId, type Rendered } from './audit-event.ts';
import { eventOf, searchAuditEvents } from './audit-search.ts';
import { agentOf, auditEntries, circumstances } from './entry.ts';
import { addPatients } from './patients.ts';

const TYPE = 'AuditEvent';

export const isAboutAuditEvents = (interaction: Interaction): boolean =>
  'type' in interaction && interaction.type === TYPE && interaction.kind !== 'operation';

/** The interaction has AuditEvent as its type. Throws FhirError('method-not-allowed') for whatever would change one. */
export async function answerAuditEvents(
  interaction: Interaction,
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
): Promise<Answer> {
  switch (interaction.kind) {
    case 'read':
    case 'vread':
      requireAny(caller, ['r'], TYPE);
      return readEvent(interaction, request, caller, context);
    case 'search-type':
      requireAny(caller, ['s'], TYPE);
      return searchAuditEvents(
        searchQuery(request, interaction.posted),
        undefined,
        visibleTo(caller.filters.s),
        caller,
        context,
      );
    case 'search-compartment':
      requireAny(caller, ['s'], TYPE);
      if (interaction.compartment !== 'Patient') throw notOffered();
      return searchAuditEvents(
        searchQuery(request, interaction.posted),
        interaction.id,
        visibleTo(caller.filters.s),
        caller,
        context,
      );
    case 'create':
      requireAny(caller, ['c'], TYPE);
      return createEvent(request, caller, context);
    default:
      throw notOffered();
  }
}

const notOffered = (): FhirError =>
  new FhirError(
    'method-not-allowed',
    'AuditEvents are the audit record, which nobody changes: they can be read, searched by type or patient, and created.',
    { headers: { Allow: 'GET, HEAD, POST' } },
  );

/** Whether a filter lets an event be seen. It may ask for the type and the patient; what else it asks for, no event has. */
function visibleTo(filter: Filter): (rendered: Rendered) => boolean {
  const condition = filter.of(TYPE);
  if (condition.kind === 'all') return () => true;
  return ({ event: { id, recorded }, patients }) => {
    const keys = [typeKey(TYPE), ...patients.map((patient) => compartmentKey(patient, TYPE))];
    const row = { type: TYPE, id, lastUpdated: Date.parse(recorded), keys, terms: [] };
    return matchesKeys(row, condition, () => false);
  };
}

async function readEvent(
  interaction: Extract<Interaction, { kind: 'read' | 'vread' }>,
  { query }: FhirRequest,
  caller: Caller,
  context: EngineContext,
): Promise<Answer> {
  const { id, kind } = interaction;
  const isVersion = kind === 'read' || interaction.version === '1';
  const rendered = isVersion ? await eventOf(id, context) : undefined;
  if (rendered === undefined || !visibleTo(caller.filter)(rendered))
    throw new FhirError('not-found', `${TYPE}/${id} does not exist.`);
  context.trail?.showEvent(rendered.patients);
  const selection = selectionOf(TYPE, query, context.definitions);
  const body = json(rendered.event);
  return {
    status: 200,
    headers: versionHeaders({ version: 1, lastUpdated: Date.parse(rendered.event.recorded) }),
    body: selection === undefined ? body : subset(body, selection, context.definitions),
    interaction: kind,
  };
}

/** 201 with the id under which the client's event stands in the record, beside what the server says of who sent it. */
async function createEvent(request: FhirRequest, caller: Caller, context: EngineContext): Promise<Answer> {
  const { store, clock, baseUrl } = context;
  if (request.header('if-none-exist') !== undefined)
    throw new FhirError('not-supported', 'AuditEvents are not created conditionally; leave If-None-Exist out.');
  if (request.body.length > limits.auditEventBytesMax)
    throw new FhirError('too-large', `An AuditEvent has at most ${limits.auditEventBytesMax} bytes.`);
  const resource = parseResource(request.body, TYPE, context);
  const e = clock.newId();
  const patients = new Set<string>();
  addPatients(indexResource({ ...resource, id: e }, context).keys, patients);
  const { id: _, ...event } = JSON.parse(Buffer.from(compactJson(request.body)).toString('utf8')) as { id?: unknown };
  const body = { k: 'external', s: 201, e, ev: event, ...circumstances(caller, request) };
  const entries = auditEntries(clock.now(), agentOf(caller), patients, body);
  await store.audit.append(entries);
  const [{ at }] = entries;
  const id = await idOfEntry(e, { at, agent: agentOf(caller) }, context);
  const stored = await eventOf(id, context);
  const sent = preferredBody(stored && json(stored.event), `${TYPE}/${id} was recorded.`, request);
  if (context.trail !== undefined) context.trail.isCommitted = true;
  return {
    status: 201,
    headers: { ...versionHeaders({ version: 1, lastUpdated: at }), Location: `${baseUrl}/${TYPE}/${id}/_history/1` },
    ...(sent === undefined ? {} : { body: sent }),
    interaction: 'create',
  };
}

/** Where the line was put that names itself so. */
async function idOfEntry(
  e: string,
  { at, agent }: { at: number; agent: string },
  { store }: EngineContext,
): Promise<string> {
  const search = { agent, from: at, to: at + 1, descending: true, limit: limits.pageSizeMax };
  let after: string | undefined;
  do {
    const page = await store.audit.rows({ ...search, ...(after === undefined ? {} : { after }) });
    const row = page.rows.find(({ body }) => body.includes(e) && (JSON.parse(body) as { e?: unknown }).e === e);
    if (row !== undefined) return eventId(row, 0);
    after = page.next;
  } while (after !== undefined);
  throw new FhirError('fault', 'The event was recorded but cannot be found.');
}

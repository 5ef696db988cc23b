// $everything: the record of a patient, an encounter, a practitioner, the patients of a group, or all patients.
// https://hl7.org/fhir/R4/operation-patient-everything.html
//
// A page has at most _count resources of the compartment (`match`, the one asked about first) and after them what they
// refer to outside of it (`include`). Without _count a page has as many as the server gives at once, which for nearly all
// records is the whole. What was sent along with one page is not sent with the next: the link carries marks of the last
// everythingMarksMax of them, so that only beyond these a resource may come again.
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import type { Row } from '../../store/store.ts';
import { type BundleLink, bundlePieces, searchEntry } from '../bundle.ts';
import type { EngineContext } from '../context.ts';
import type { Answer, Caller } from '../interaction.ts';
import { pagePosition, pageUrl } from '../page-link.ts';
import { queryPairs } from '../search/query.ts';
import { broughtAlong, type Sent } from './everything-references.ts';
import { everythingRequest } from './everything-request.ts';
import { allPatientsScope, compartmentScope, groupScope, type Scope } from './everything-scope.ts';
import { type LiveRow, type Place, walkPage } from './everything-walk.ts';
import { OperationInput } from './input.ts';
import type { Operation, OperationCall } from './operation.ts';

const DEFINITIONS = 'http://hl7.org/fhir/OperationDefinition/';
const parameters = ['start', 'end', '_since', '_type', '_count'];

export const everythingOperations: readonly Operation[] = [
  {
    code: 'everything',
    definition: `${DEFINITIONS}Patient-everything`,
    // "The actual list of patients is all patients that the user associated with the request has access to."
    types: ['Patient'],
    instances: ['Patient'],
    affectsState: false,
    parameters,
    perform: everything,
  },
  {
    code: 'everything',
    definition: `${DEFINITIONS}Group-everything`,
    instances: ['Group'],
    affectsState: false,
    parameters,
    perform: everything,
  },
  {
    code: 'everything',
    definition: `${DEFINITIONS}Encounter-everything`,
    instances: ['Encounter'],
    affectsState: false,
    parameters: ['_since', '_type', '_count'],
    perform: everything,
  },
  {
    // R4 defines none for this type; it works as that of a patient.
    code: 'everything',
    definition: 'urn:careloom:operation:Practitioner-everything',
    instances: ['Practitioner'],
    affectsState: false,
    parameters,
    perform: everything,
  },
];

/** What a next link carries. */
interface Position {
  place: Place;
  sent: Sent;
  /** The version of the group whose members are walked, and when they were members (ms): what the first page saw. */
  group?: { version: number; at: number };
}

const START: Position = { place: { part: 0, at: 0 }, sent: { marks: [], pending: [] } };

/** One page of the searchset; 404 and 410 for a resource that is not there to ask about. */
async function everything(call: OperationCall, caller: Caller, context: EngineContext): Promise<Answer> {
  const path = [call.type, call.id, '$everything'].filter((part) => part !== undefined).join('/');
  const linked = await pagePosition(path, call.request.query, context);
  const asked = everythingRequest(linked === undefined ? call.input() : queryInput(linked.query), context);
  const position = linked === undefined ? START : (JSON.parse(linked.cursor) as Position);
  const { scope, group } = await scopeOf(
    call,
    { isFirst: linked === undefined, group: position.group },
    caller,
    context,
  );

  const { place, sent } = position;
  // What is left from a page before goes first; a page that is full with it has no room for what would add to it.
  const walked =
    sent.pending.length >= limits.includesMax
      ? { rows: [], next: place }
      : await walkPage({ scope, asked, from: place }, caller, context);
  const along = await broughtAlong(walked.rows, sent, { scope, asked }, caller, context);

  const matches = walked.rows.filter(({ type }) => asked.types?.has(type) !== false);
  const end: Place | undefined = along.sent.pending.length > 0 ? { part: scope.parts, at: 0 } : undefined;
  const next = walked.next ?? end;
  const links: BundleLink[] = [{ relation: 'self', url: selfUrl(path, asked.query, context) }];
  if (next !== undefined) {
    const cursor = JSON.stringify({ place: next, sent: along.sent, ...(group === undefined ? {} : { group }) });
    links.push({ relation: 'next', url: await pageUrl({ path, query: asked.query, cursor }, context) });
  }
  const isWhole = linked === undefined && next === undefined;
  const entries = [
    ...matches.map((row) => searchEntry(row, 'match', context.baseUrl)),
    ...along.rows.map((row) => searchEntry(row, 'include', context.baseUrl)),
  ];
  const head = { type: 'searchset', ...(isWhole ? { total: matches.length } : {}), link: links };
  return { status: 200, headers: {}, body: bundlePieces(head, entries), interaction: 'operation' };
}

const queryInput = (query: string): OperationInput =>
  new OperationInput(queryPairs(query).map(([name, value]) => ({ name, value })));

const selfUrl = (path: string, query: string, { baseUrl }: EngineContext): string =>
  `${baseUrl}/${path}${query === '' ? '' : `?${query}`}`;

/** What is walked; the first page looks whether the resource asked about is there. */
async function scopeOf(
  { type = '', id }: OperationCall,
  { isFirst, group }: { isFirst: boolean; group: Position['group'] },
  caller: Caller,
  context: EngineContext,
): Promise<{ scope: Scope; group?: Position['group'] }> {
  if (id === undefined) return { scope: allPatientsScope(context) };
  if (type !== 'Group') {
    if (isFirst) present(await context.store.read(type, id, caller.filter), { type, id });
    return { scope: compartmentScope({ type, id }, context) };
  }
  const { store, clock } = context;
  const at = group?.at ?? clock.now();
  const row = present(
    group === undefined
      ? await store.read(type, id, caller.filter)
      : await store.readVersion(type, id, group.version, caller.filter),
    { type, id },
  );
  return { scope: groupScope(row, context, at), group: { version: row.version, at } };
}

function present(row: Row | undefined, { type, id }: { type: string; id: string }): LiveRow {
  if (row === undefined) throw new FhirError('not-found', `${type}/${id} does not exist.`);
  if (row.body === null)
    throw new FhirError('deleted', `${type}/${id} was deleted; its history has the versions before.`);
  return row as LiveRow;
}

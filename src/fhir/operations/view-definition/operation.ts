// $run of SQL on FHIR: a ViewDefinition applied to resources, its rows as a table. R4 has no ViewDefinition, so the view
// comes with the request. https://sql-on-fhir.org/ig/OperationDefinition-ViewDefinitionRun.html
import { setImmediate } from 'node:timers/promises';
import { FhirError } from '../../../base/outcome.ts';
import { pathBudget } from '../../../model/path.ts';
import { json } from '../../answer.ts';
import type { Answer, Caller } from '../../interaction.ts';
import type { Operation, OperationCall, OperationContext } from '../operation.ts';
import { parseContent } from './content.ts';
import { formatRows } from './formats.ts';
import { type RunRequest, runParameters, runRequest } from './request.ts';
import { type Resource, rowsOf } from './rows.ts';
import { checkCompartment, groupPatientIds, patientIds, type StoredSource, storedBodies } from './sources.ts';
import { createTable, type Table } from './table.ts';
import { parseView, type View } from './view.ts';

const run = {
  definition: 'http://sql-on-fhir.org/OperationDefinition/$viewdefinition-run',
  types: ['ViewDefinition'],
  affectsState: false,
  parameters: runParameters,
  perform: runView,
} as const;

/** One operation under its two names: the second is the one that a server of R4 has at its base. */
export const viewDefinitionOperations: readonly Operation[] = [
  { code: 'run', ...run },
  { code: 'viewdefinition-run', system: true, ...run },
];

async function runView(call: OperationCall, caller: Caller, context: OperationContext): Promise<Answer> {
  const request = runRequest(call, context);
  const view = parseView(request.view, request.place, context);
  const names = view.root.allColumns.map(({ name }) => name);
  const format = formatRows(request.format, names, request.header);
  const table = createTable(format, request.limit);
  for await (const contents of pages(request, view, caller, context)) {
    await addRows(table, view, contents, call.request.signal);
    if (table.isFull()) break;
  }
  const body = table.end();
  return request.isEnveloped
    ? { status: 200, headers: {}, body: binary(body, format.mediaType), interaction: 'operation' }
    : { status: 200, headers: { 'Content-Type': format.mediaType }, body, interaction: 'operation' };
}

/** A stored body, or a resource that came with the request. */
type Content = Uint8Array | Resource;

async function* pages(
  request: RunRequest,
  view: View,
  caller: Caller,
  context: OperationContext,
): AsyncGenerator<readonly Content[]> {
  const { resources, since } = request;
  if (resources !== undefined) {
    yield resources;
    return;
  }
  const patients = await patientsAskedFor(request, view, caller, context);
  const source: StoredSource = {
    type: view.resource,
    ...(patients === undefined ? {} : { patients }),
    ...(since === undefined ? {} : { since }),
  };
  yield* storedBodies(source, caller, context);
}

/** Those of `patient` that are also in one of the groups; undefined: everybody. */
async function patientsAskedFor(
  { patients, groups }: RunRequest,
  view: View,
  caller: Caller,
  context: OperationContext,
): Promise<string[] | undefined> {
  if (patients.length === 0 && groups.length === 0) return undefined;
  checkCompartment(view.resource, context);
  const named = await patientIds(patients, caller, context);
  if (groups.length === 0) return named;
  const members = await groupPatientIds(groups, caller, context);
  if (named.length === 0) return members;
  const wanted = new Set(named);
  return members.filter((id) => wanted.has(id));
}

/** For so long other requests wait, ms. */
const SLICE_MS = 20;

/** Rows of all of them, in slices between which other requests have their turn. */
async function addRows(table: Table, view: View, contents: readonly Content[], signal: AbortSignal): Promise<void> {
  let at = 0;
  while (at < contents.length && !table.isFull()) {
    if (signal.aborted) throw new FhirError('timeout', 'The request was given up.');
    pathBudget(() => {
      const end = performance.now() + SLICE_MS;
      while (at < contents.length && !table.isFull() && performance.now() < end) {
        table.add(rowsOf(view, resourceOf(contents[at++] as Content)));
      }
    });
    await setImmediate();
  }
}

function resourceOf(content: Content): Resource {
  if (!(content instanceof Uint8Array)) return content;
  return parseContent(Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString('utf8')) as Resource;
}

/** https://hl7.org/fhir/R4/binary.html */
function binary(pieces: readonly Uint8Array[], mediaType: string): Uint8Array {
  const data = Buffer.concat(pieces).toString('base64');
  return json({ resourceType: 'Binary', contentType: mediaType, ...(data === '' ? {} : { data }) });
}

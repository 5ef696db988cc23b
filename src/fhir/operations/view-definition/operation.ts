// $run of SQL on FHIR: a ViewDefinition applied to resources, its rows as a table. R4 has no ViewDefinition, so the view
// comes with the request. https://sql-on-fhir.org/ig/OperationDefinition-ViewDefinitionRun.html
import { setImmediate } from 'node:timers/promises';
import { FhirError } from '../../../base/outcome.ts';
import type { Answer, Caller } from '../../interaction.ts';
import { onPathThread } from '../../path-threads.ts';
import type { Operation, OperationCall, OperationContext } from '../operation.ts';
import { formatRows } from './formats.ts';
import { type RunRequest, runParameters, runRequest } from './request.ts';
import { checkCompartment, groupPatientIds, patientIds, type StoredSource, storedBodies } from './sources.ts';
import type { Filled } from './table.ts';
import type { ViewRead } from './thread.ts';

const run = {
  definition: 'http://sql-on-fhir.org/OperationDefinition/$viewdefinition-run',
  types: ['ViewDefinition'],
  affectsState: false,
  // A ViewDefinition is no resource of R4: it is sent along, and what it reads is read with the caller's rights.
  isOpen: true,
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
  const source = { view: JSON.stringify(request.view), place: request.place, baseUrl: context.baseUrl };
  const view = await onPathThread({ kind: 'view', ...source });
  const format = formatRows(request.format, view.names, request.header);
  const rows = { kind: 'rows', ...source, format: request.format, header: request.header } as const;
  const body: Uint8Array[] = [Buffer.from(format.head)];
  const limit = request.limit ?? Number.POSITIVE_INFINITY;
  let filled: Filled = { rows: 0, bytes: format.head.length };
  for await (const contents of pages(request, view, caller, context)) {
    for (let done = 0; done < contents.length && filled.rows < limit; ) {
      if (call.request.signal.aborted) throw new FhirError('timeout', 'The request was given up.');
      const { texts, ends } = jobFrom(contents, done);
      const made = await onPathThread({ ...rows, limit, filled, texts, ends }, { transfer: [texts.buffer] });
      body.push(made.text);
      done += made.done;
      filled = made.filled;
    }
    if (filled.rows >= limit) break;
  }
  body.push(Buffer.from(format.tail));
  const pieces = body.filter(({ length }) => length > 0);
  return request.isEnveloped
    ? { status: 200, headers: {}, body: await binary(pieces, format.mediaType), interaction: 'operation' }
    : { status: 200, headers: { 'Content-Type': format.mediaType }, body: pieces, interaction: 'operation' };
}

/** What goes to a thread together, as far as it is more than one resource; what the thread does not get to is sent again. */
const JOB_RESOURCES = 100;
const JOB_BYTES = 1024 * 1024;

function jobFrom(
  contents: readonly Uint8Array[],
  from: number,
): { texts: Uint8Array<ArrayBuffer>; ends: readonly number[] } {
  const ends: number[] = [];
  let bytes = 0;
  for (const { length } of contents.slice(from, from + JOB_RESOURCES)) {
    if (ends.length > 0 && bytes + length > JOB_BYTES) break;
    bytes += length;
    ends.push(bytes);
  }
  const texts = new Uint8Array(bytes);
  for (const at of ends.keys()) texts.set(contents[from + at] ?? new Uint8Array(), ends[at - 1] ?? 0);
  return { texts, ends };
}

async function* pages(
  request: RunRequest,
  view: ViewRead,
  caller: Caller,
  context: OperationContext,
): AsyncGenerator<readonly Uint8Array[]> {
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
  view: ViewRead,
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

/** Bytes that become base64 between two turns of everything else: a multiple of three. */
const BASE64_BYTES = 3 * 1024 * 1024;

/** https://hl7.org/fhir/R4/binary.html */
async function binary(pieces: readonly Uint8Array[], mediaType: string): Promise<Uint8Array[]> {
  const bytes = Buffer.concat(pieces);
  const head = `{"resourceType":"Binary","contentType":${JSON.stringify(mediaType)}`;
  if (bytes.length === 0) return [Buffer.from(`${head}}`)];
  const written: Uint8Array[] = [Buffer.from(`${head},"data":"`)];
  for (let at = 0; at < bytes.length; at += BASE64_BYTES) {
    written.push(Buffer.from(bytes.toString('base64', at, at + BASE64_BYTES), 'latin1'));
    await setImmediate();
  }
  written.push(Buffer.from('"}'));
  return written;
}

// patch, plain and conditional: JSON Patch or FHIRPath Patch, by the media type. https://hl7.org/fhir/R4/http.html#patch
import { limits } from '../base/limits.ts';
import { FhirError } from '../base/outcome.ts';
import { parseJson } from '../model/json.ts';
import { applyJsonPatch } from '../model/json-patch.ts';
import { type Check, type Row, StoreError } from '../store/store.ts';
import { preferredBody, versionHeaders, versionInHeader } from './answer.ts';
import { matchOne, untilSettled } from './conditional.ts';
import type { EngineContext } from './context.ts';
import type { Answer, Caller, FhirRequest } from './interaction.ts';
import { onPathThread } from './path-threads.ts';
import { checkedResource, type Resource, writeOf } from './prepare.ts';
import { present } from './read.ts';
import { commitWrite, writeAnswer } from './write.ts';

/**
 * 200 with the patched resource; 404 or 410 for what is not there, 412 for another version than If-Match names, 422 for a
 * patch that cannot be applied or leaves no sound resource. A write that comes between is no failure: the patch is then
 * applied to what that left. One that changes nothing makes no version, as with HAPI and Microsoft's server.
 */
export async function patch(
  type: string,
  id: string,
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
): Promise<Answer> {
  const change = changeOf(request, context);
  return untilSettled(async () => {
    const row = present(await context.store.read(type, id, caller.filter), type, id);
    return patchRow(row, change, [], request, caller, context);
  });
}

/** The same for the one match of the query: 404 for none, 412 for several. */
export async function conditionalPatch(
  type: string,
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
): Promise<Answer> {
  const change = changeOf(request, context);
  return untilSettled(async () => {
    const { row, check } = await matchToPatch(type, request.query, caller, context);
    return patchRow(row, change, [check], request, caller, context);
  });
}

type LiveRow = Row & { body: Uint8Array };

/** The one resource that a condition means. */
export async function matchToPatch(
  type: string,
  query: string,
  caller: Caller,
  context: EngineContext,
): Promise<{ row: LiveRow; check: Check }> {
  const { id, check } = await matchOne(type, query, caller, context);
  if (id === undefined)
    throw new FhirError('not-found', `No ${type} matches the condition; there is nothing to patch.`);
  const row = await context.store.read(type, id, caller.filter);
  if (row === undefined || row.body === null) throw new StoreError('check', 'the match is gone');
  return { row: row as LiveRow, check };
}

/** What a patch does to the JSON text of a resource. */
export type Change = (body: Uint8Array) => Promise<Uint8Array>;

const JSON_PATCH = 'application/json-patch+json';
const FHIR_JSON = 'application/fhir+json';

/** What is sent as XML has become JSON at the edge. */
const RESOURCE_TYPES: readonly string[] = [
  FHIR_JSON,
  'application/json',
  'text/json',
  'application/fhir+xml',
  'application/xml',
  'text/xml',
];

/** The patch in a request. Throws FhirError('unsupported-media-type') for another kind, FhirError('invalid') for a faulty one. */
export function changeOf(request: FhirRequest, context: EngineContext): Change {
  const [mediaType = ''] = (request.header('content-type') ?? '').split(';');
  const kind = mediaType.trim().toLowerCase();
  if (request.body.length === 0) throw new FhirError('invalid', 'The request has no body; a patch is expected.');
  if (kind === JSON_PATCH) return async (body) => applyJsonPatch(body, request.body);
  if (!RESOURCE_TYPES.includes(kind)) {
    throw new FhirError(
      'unsupported-media-type',
      `A patch is a JSON Patch (${JSON_PATCH}) or a FHIRPath Patch (Parameters as ${FHIR_JSON}).`,
    );
  }
  const parameters = parseJson(request.body) as Partial<Resource> | null;
  if (parameters?.resourceType !== 'Parameters') {
    throw new FhirError('invalid', `A patch as ${FHIR_JSON} is a Parameters resource; a JSON Patch is ${JSON_PATCH}.`);
  }
  checkedResource(parameters, 'Parameters', context);
  return (resource) => fhirPathPatched(resource, request);
}

const spentMs = new WeakMap<AbortSignal, number>();

/** The patches of a Bundle share a budget, which its entries' common signal stands for. */
async function fhirPathPatched(resource: Uint8Array, { body, signal }: FhirRequest): Promise<Uint8Array> {
  const spent = spentMs.get(signal) ?? 0;
  if (spent > limits.patchBundleBudgetMs) {
    throw new FhirError(
      'too-costly',
      'The FHIRPath patches of this Bundle take too long together; send them in several.',
    );
  }
  const onSpent = (ms: number): void => void spentMs.set(signal, spent + ms);
  // Copies: what they are cut out of would cross as a whole.
  const job = { kind: 'patch', resource: new Uint8Array(resource), parameters: new Uint8Array(body) } as const;
  return onPathThread(job, { transfer: [job.resource.buffer, job.parameters.buffer], onSpent });
}

/**
 * What a change makes of a stored resource, checked; undefined when it leaves it as it is. Throws FhirError('precondition')
 * for another version than `ifMatch` names, and FhirError('unprocessable') where the outcome is no sound resource or
 * another one: "Servers SHALL return an error if the outcome of the patch operation is not a valid resource."
 */
export async function changedContent(
  row: LiveRow,
  change: Change,
  ifMatch: string | undefined,
  context: EngineContext,
): Promise<{ bytes: Uint8Array; resource: Resource } | undefined> {
  const { type, id, body, version } = row;
  const expected = versionInHeader('If-Match', ifMatch);
  if (expected !== undefined && expected !== version) {
    throw new FhirError(
      'precondition',
      `${type}/${id} is not at version ${expected} any more; read it and decide again.`,
    );
  }
  const bytes = await change(body);
  if (Buffer.compare(bytes, body) === 0) return undefined;
  if (bytes.length > limits.resourceBytesMax) {
    throw new FhirError('too-large', `The patched resource would have more than ${limits.resourceBytesMax} bytes.`);
  }
  const resource = soundResource(bytes, context);
  if (resource.resourceType !== type || resource.id !== id) {
    throw new FhirError('unprocessable', 'A patch cannot change the type or the id of a resource.');
  }
  return { bytes, resource };
}

function soundResource(bytes: Uint8Array, context: EngineContext): Resource {
  try {
    return checkedResource(parseJson(bytes), undefined, context);
  } catch (error) {
    if (error instanceof FhirError && error.kind === 'invalid') throw new FhirError('unprocessable', error.issues);
    throw error;
  }
}

async function patchRow(
  row: LiveRow,
  change: Change,
  checks: readonly Check[],
  request: FhirRequest,
  caller: Caller,
  context: EngineContext,
): Promise<Answer> {
  const content = await changedContent(row, change, request.header('if-match'), context);
  if (content === undefined) return unchanged(row, request);
  const write = writeOf(content.bytes, content.resource, row.id, context, row.version);
  return writeAnswer(write, await commitWrite(write, checks, caller, context), request, context, 'patch');
}

function unchanged(row: LiveRow, request: FhirRequest): Answer {
  const body = preferredBody(row.body, `${row.type}/${row.id} is as the patch wants it; nothing was written.`, request);
  return { status: 200, headers: versionHeaders(row), ...(body === undefined ? {} : { body }), interaction: 'patch' };
}

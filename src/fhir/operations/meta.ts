// $meta, $meta-add and $meta-delete: the profiles, tags and security labels of a resource, or those in use.
// https://hl7.org/fhir/R4/resource-operation-meta.html
//
// $meta-add and $meta-delete make a new version. R4 lets labels "be updated without changing the stated version of the
// resource", and does not ask for it: here history, version-aware updates, _since and subscriptions go by versions, and a
// label that decides on access should leave a trace of when it came. What changes nothing makes none.
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import { elementSpans, memberSpans } from '../../model/json.ts';
import type { Row } from '../../store/store.ts';
import { etag, versionHeaders, versionInHeader } from '../answer.ts';
import type { EngineContext } from '../context.ts';
import type { Answer, Caller, FhirRequest } from '../interaction.ts';
import { type Change, withLabels } from './meta-change.ts';
import { labelsInUse } from './meta-labels.ts';
import type { Operation, OperationCall, OperationContext } from './operation.ts';

const DEFINITIONS = 'http://hl7.org/fhir/OperationDefinition/';

export const metaOperations: readonly Operation[] = [
  {
    code: 'meta',
    definition: `${DEFINITIONS}Resource-meta`,
    system: true,
    types: 'all',
    instances: 'all',
    affectsState: false,
    parameters: [],
    perform: meta,
  },
  {
    code: 'meta-add',
    definition: `${DEFINITIONS}Resource-meta-add`,
    instances: 'all',
    affectsState: true,
    parameters: ['meta'],
    perform: (call, caller, context) => change('add', call, caller, context),
  },
  {
    code: 'meta-delete',
    definition: `${DEFINITIONS}Resource-meta-delete`,
    instances: 'all',
    affectsState: true,
    parameters: ['meta'],
    perform: (call, caller, context) => change('delete', call, caller, context),
  },
];

/** The meta of the current version; of a type and of the system the labels in use, without version and time. */
async function meta({ type, id }: OperationCall, caller: Caller, context: EngineContext): Promise<Answer> {
  if (type !== undefined && id !== undefined) {
    const row = await current(type, id, caller, context);
    return metaAnswer(metaIn(row.body), versionHeaders(row));
  }
  const types = type === undefined ? context.definitions.resourceTypes : [type];
  return metaAnswer(await labelsInUse(types, caller, context), {});
}

/** The meta that the change leaves. If-Match is honoured as by an update; without it a concurrent write is waited out. */
async function change(how: Change, call: OperationCall, caller: Caller, context: OperationContext): Promise<Answer> {
  const { type = '', id = '', request } = call;
  const labels = givenMeta(call);
  const expected = versionInHeader('If-Match', request.header('if-match'));
  for (let tries = 0; ; tries++) {
    const row = await current(type, id, caller, context);
    if (expected !== undefined && expected !== row.version) {
      throw new FhirError('precondition', `${type}/${id} is not at version ${expected}; read it and decide again.`);
    }
    const changed = withLabels(metaIn(row.body), labels, how);
    if (changed === undefined) return metaAnswer(metaIn(row.body), versionHeaders(row));
    try {
      const answer = await context.perform(updateOf(row, changed, request), caller);
      return metaAnswer(metaIn(bytesOf(answer)), answer.headers);
    } catch (error) {
      const isOvertaken = error instanceof FhirError && error.kind === 'precondition' && expected === undefined;
      if (!isOvertaken || tries >= limits.writeAttemptsMax) throw error;
    }
  }
}

async function current(
  type: string,
  id: string,
  caller: Caller,
  context: EngineContext,
): Promise<Row & { body: Uint8Array }> {
  const row = await context.store.read(type, id, caller.filter);
  if (row === undefined) throw new FhirError('not-found', `${type}/${id} does not exist.`);
  if (row.body === null) throw new FhirError('deleted', `${type}/${id} was deleted.`);
  return row as Row & { body: Uint8Array };
}

/** The text of a stored body's meta; each has one. */
function metaIn(body: Uint8Array): Uint8Array {
  const span = memberSpans(body).get('meta');
  if (span === undefined) throw new Error('a stored body has no meta');
  return body.subarray(span.valueStart, span.valueEnd);
}

/** The text of the one parameter `meta`: its codings keep the numbers of their extensions as they were sent. */
function givenMeta({ input, request }: OperationCall): Uint8Array {
  const [given, ...more] = input().all('meta');
  if (given?.valueName !== 'valueMeta' || more.length > 0) {
    throw new FhirError(
      'invalid',
      'The operation takes a Parameters resource with one parameter "meta", a valueMeta.',
      {
        expression: 'Parameters.parameter',
      },
    );
  }
  const list = memberSpans(request.body).get('parameter');
  const parameters = list === undefined ? [] : elementSpans(request.body, list.valueStart, list.valueEnd);
  for (const { start, end } of parameters) {
    const value = memberSpans(request.body, start, end).get('valueMeta');
    if (value !== undefined) return request.body.subarray(value.valueStart, value.valueEnd);
  }
  throw new FhirError('invalid', 'The parameter "meta" has no valueMeta.', { expression: 'Parameters.parameter' });
}

/** The same resource with another meta, as an update of the version seen: it passes through all that updates do. */
function updateOf(row: Row & { body: Uint8Array }, changed: Uint8Array, { signal }: FhirRequest): FhirRequest {
  const { valueStart = 0, valueEnd = 0 } = memberSpans(row.body).get('meta') ?? {};
  const headers = new Map([
    ['content-type', 'application/fhir+json'],
    ['if-match', etag(row.version)],
    ['prefer', 'return=representation'],
  ]);
  return {
    method: 'PUT',
    path: `${row.type}/${row.id}`,
    query: '',
    header: (name) => headers.get(name),
    body: Buffer.concat([row.body.subarray(0, valueStart), changed, row.body.subarray(valueEnd)]),
    signal,
  };
}

function bytesOf({ body }: Answer): Uint8Array {
  if (body === undefined) throw new Error('the update was answered without the resource');
  return body instanceof Uint8Array ? body : Buffer.concat(body);
}

function metaAnswer(text: Uint8Array, headers: Record<string, string>): Answer {
  const start = Buffer.from('{"resourceType":"Parameters","parameter":[{"name":"return","valueMeta":');
  return { status: 200, headers, body: [start, text, Buffer.from('}]}')], interaction: 'operation' };
}

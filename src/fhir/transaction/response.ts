// What a batch or transaction answers for each of its entries. https://hl7.org/fhir/R4/http.html#transaction-response
import { STATUS_CODES } from 'node:http';
import { FhirError, operationOutcome } from '../../base/outcome.ts';
import type { Row } from '../../store/store.ts';
import { etag, preferences } from '../answer.ts';
import { entryWith } from '../bundle.ts';
import type { EngineContext } from '../context.ts';
import type { Answer, FhirRequest } from '../interaction.ts';
import { storeFailure } from '../store-failure.ts';
import { versionUrl } from '../write.ts';

const statusLine = (status: number): string => `${status} ${STATUS_CODES[status] ?? ''}`.trim();

/** The response that says nothing but its status. `fullUrl`: of the resource it is about. */
export function statusResponse(status: number, fullUrl?: string): Uint8Array[] {
  return entryWith(fullUrl, undefined, { response: { status: statusLine(status) } });
}

/** The response for a resource that was written, deleted (204) or found to be there already. */
export function writtenResponse(
  { type, id, version, lastUpdated, status }: Pick<Row, 'type' | 'id' | 'version' | 'lastUpdated'> & { status: number },
  bodyNow: () => Uint8Array | undefined,
  request: FhirRequest,
  context: EngineContext,
): Uint8Array[] {
  const isDeleted = status === 204;
  const response = {
    status: statusLine(status),
    ...(isDeleted ? {} : { location: versionUrl({ type, id, version }, context) }),
    ...(version === 0 ? {} : { etag: etag(version), lastModified: new Date(lastUpdated).toISOString() }),
  };
  // A Bundle's response repeats the resources only where the client asks for them: it sent them a moment ago.
  const wanted = /\breturn=representation\b/.test(request.header('prefer') ?? '');
  const body = wanted ? bodyNow() : undefined;
  return entryWith(isDeleted ? undefined : `${context.baseUrl}/${type}/${id}`, body && [body], {
    response:
      preferences(request.header('prefer')).return === 'OperationOutcome'
        ? { ...response, outcome: operationOutcome([]) }
        : response,
  });
}

/** An answer as the response of an entry; used for reads here and for every entry of a batch. `show`: its body as what. */
export function answerResponse(answer: Answer, show: 'resource' | 'outcome' | 'nothing' = 'resource'): Uint8Array[] {
  const { status, headers, body } = answer;
  const lastModified = headers['Last-Modified'];
  const response = {
    status: statusLine(status),
    ...(headers.Location === undefined ? {} : { location: headers.Location }),
    ...(headers.ETag === undefined ? {} : { etag: headers.ETag }),
    ...(lastModified === undefined ? {} : { lastModified: new Date(lastModified).toISOString() }),
  };
  const pieces = body === undefined ? undefined : body instanceof Uint8Array ? [body] : [...body];
  if (show === 'outcome' && pieces !== undefined) {
    const outcome: unknown = JSON.parse(Buffer.concat(pieces).toString('utf8'));
    return entryWith(undefined, undefined, { response: { ...response, outcome } });
  }
  return entryWith(undefined, show === 'resource' ? pieces : undefined, { response });
}

/** A failure as the response of an entry of a batch. */
export function failureResponse(error: FhirError): Uint8Array[] {
  return entryWith(undefined, undefined, {
    response: { status: statusLine(error.status), outcome: operationOutcome(error.issues) },
  });
}

/**
 * An error of one entry, as that entry's response tells it. What is not the client's doing goes to `faults` as well, for
 * the log of the edge, and its details go there alone.
 */
export function entryFailure(error: unknown, faults: unknown[]): FhirError {
  const failure = failureOf(error);
  if (failure.status >= 500) faults.push(failure.cause ?? failure);
  return failure;
}

function failureOf(error: unknown): FhirError {
  try {
    return storeFailure(error);
  } catch (cause) {
    return new FhirError('fault', 'The server failed on this entry; its log has the cause.', { cause });
  }
}

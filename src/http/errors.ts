// From anything thrown to what the client is told: a status, an OperationOutcome, and the headers that belong to it.
// https://hl7.org/fhir/R4/http.html#Status-Codes
import { type ErrorKind, FhirError, type Issue, operationOutcome } from '../base/outcome.ts';

export interface Failure {
  status: number;
  headers: Readonly<Record<string, string>>;
  /** The OperationOutcome, JSON. */
  body: Uint8Array;
  /** What to log; absent when the client's own doing explains it. */
  cause?: unknown;
}

/** Seconds: whatever made the server refuse work, a store that went away or too much at once, is usually over by then. */
const retryAfter = '5';

/** What the client is told about an error; the details of a fault of ours stay here, for the log. */
export function failureOf(error: unknown): Failure {
  const told = asFhirError(error);
  const isOurs = told.status >= 500;
  const isTransient = told.kind === 'unavailable' || told.kind === 'throttled';
  return {
    status: told.status,
    headers: isTransient ? { 'Retry-After': retryAfter, ...told.headers } : told.headers,
    body: outcomeBody(told.issues),
    ...(isOurs ? { cause: told.cause ?? told } : {}),
  };
}

export function outcomeBody(issues: readonly Issue[]): Uint8Array {
  return Buffer.from(JSON.stringify(operationOutcome(issues)));
}

/** Fastify's own refusals, by the status it means. */
const frameworkKinds: Readonly<Record<number, ErrorKind>> = {
  400: 'invalid',
  413: 'too-large',
  414: 'uri-too-long',
  415: 'unsupported-media-type',
};

/** The engine throws FhirError alone; anything else is a fault, or Fastify refusing what it could not read. */
export function asFhirError(error: unknown): FhirError {
  if (error instanceof FhirError) return error;
  const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500;
  const kind = frameworkKinds[status];
  if (kind !== undefined) return new FhirError(kind, 'The request could not be read; check its address and headers.');
  return new FhirError('fault', 'The server failed on this request; its log has the cause under this X-Request-Id.', {
    cause: error,
  });
}

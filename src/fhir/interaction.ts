// What passes between an edge (http, mllp, the command line) and the engine: one request in, one answer out.
import type { Caller } from './caller.ts';

export type { Caller } from './caller.ts';

export interface FhirRequest {
  method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Path relative to the FHIR base, no leading slash, still percent-encoded: `Patient/1/_history/2`, '' for the base. */
  path: string;
  /** Raw query string without `?`. */
  query: string;
  /** Lower-case header name → value. */
  header(name: string): string | undefined;
  /** Body bytes, empty when none. */
  body: Uint8Array;
  /** Where it comes from, for the audit record; absent for work of the server's own. */
  origin?: { address: string; requestId: string };
  /** Aborted when the client goes away or the request's time is over. */
  signal: AbortSignal;
}

export interface Answer {
  status: number;
  /** Extra headers: ETag, Last-Modified, Location, … (names in their usual spelling). */
  headers: Record<string, string>;
  /** JSON text of the resource in pieces to be sent one after another; absent for an empty body. */
  body?: Uint8Array | readonly Uint8Array[];
  /** Names the interaction for logs and metrics: 'read', 'search-type', 'transaction', … no ids. */
  interaction: string;
  /** Faults of entries that did not stop the whole Bundle, for the edge to log; the client is told nothing of them. */
  faults?: readonly unknown[];
}

export interface Engine {
  perform(request: FhirRequest, caller: Caller): Promise<Answer>;
}

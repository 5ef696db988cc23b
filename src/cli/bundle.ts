// Bundles made of JSON text, so that content goes on exactly as it came, and their way into the engine.
import type { FhirRequest } from '../fhir/interaction.ts';

/** A batch or transaction of entries that are JSON text. */
export function bundleOf(type: 'batch' | 'transaction', entries: readonly Uint8Array[]): Uint8Array {
  const pieces: Uint8Array[] = [Buffer.from(`{"resourceType":"Bundle","type":"${type}","entry":[`)];
  entries.forEach((entry, index) => {
    if (index > 0) pieces.push(comma);
    pieces.push(entry);
  });
  pieces.push(end);
  return Buffer.concat(pieces);
}

const comma = Buffer.from(',');
const end = Buffer.from(']}');

export interface Put {
  type: string;
  /** '' to let the server choose one. */
  id: string;
  /** JSON text. */
  resource: Uint8Array;
  /** What references in the same bundle call it. */
  fullUrl?: string | undefined;
}

/** An entry that writes a resource: under its id, or as a new one when it has none. */
export function putEntry({ type, id, resource, fullUrl }: Put): Uint8Array {
  const request = id === '' ? { method: 'POST', url: type } : { method: 'PUT', url: `${type}/${id}` };
  return Buffer.concat([
    Buffer.from(fullUrl === undefined ? '{"resource":' : `{"fullUrl":${JSON.stringify(fullUrl)},"resource":`),
    resource,
    Buffer.from(`,"request":${JSON.stringify(request)}}`),
  ]);
}

const headers: Readonly<Record<string, string>> = {
  'content-type': 'application/fhir+json',
  prefer: 'return=minimal',
};

/** POST of a bundle to the base. */
export function bundleRequest(body: Uint8Array, signal: AbortSignal): FhirRequest {
  return { method: 'POST', path: '', query: '', header: (name) => headers[name], body, signal };
}

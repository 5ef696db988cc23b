// Whether what is to be loaded is there already: then it gets no new version.
import { FhirError } from '../base/outcome.ts';
import { systemCaller } from '../fhir/access/callers.ts';
import type { Engine, FhirRequest } from '../fhir/interaction.ts';
import { compactJson, withIdAndMeta } from '../model/json.ts';

/** True when the resource that is stored under "Type/id" has this text, whitespace, versionId and lastUpdated aside. */
export async function isThere(identity: string, resource: Uint8Array, engine: Engine): Promise<boolean> {
  try {
    const { body = [] } = await engine.perform(readRequest(identity), systemCaller);
    const stored = Buffer.concat(body instanceof Uint8Array ? [body] : body);
    return contentOf(stored, identity).equals(contentOf(resource, identity));
  } catch (error) {
    // Not there, deleted, or not to be reached: the write will tell.
    if (error instanceof FhirError && error.kind !== 'fault') return false;
    throw error;
  }
}

const readRequest = (path: string): FhirRequest => ({
  method: 'GET',
  path,
  query: '',
  header: () => undefined,
  body: Buffer.alloc(0),
  signal: new AbortController().signal,
});

/** As it is written, before the stamp of the commit. */
function contentOf(text: Uint8Array, identity: string): Buffer {
  const id = identity.slice(identity.indexOf('/') + 1);
  return Buffer.from(withIdAndMeta(compactJson(text), { id }).body);
}

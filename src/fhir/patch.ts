// patch, plain and conditional. https://hl7.org/fhir/R4/http.html#patch
import { FhirError } from '../base/outcome.ts';
import type { EngineContext } from './context.ts';
import type { Answer, Caller, FhirRequest } from './interaction.ts';

/** 200 with the patched resource; 404 for what is not there, 412 for another version than If-Match names. */
export async function patch(
  _type: string,
  _id: string,
  _request: FhirRequest,
  _caller: Caller,
  _context: EngineContext,
): Promise<Answer> {
  throw new FhirError('not-supported', 'Patches are not offered.');
}

/** The same for the one match of the query. https://hl7.org/fhir/R4/http.html#conditional-patch */
export async function conditionalPatch(
  _type: string,
  _request: FhirRequest,
  _caller: Caller,
  _context: EngineContext,
): Promise<Answer> {
  throw new FhirError('not-supported', 'Patches are not offered.');
}

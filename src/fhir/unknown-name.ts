// Names from outside that mean nothing here, and how they are told back.
import { type ErrorKind, FhirError } from '../base/outcome.ts';
import { nearest } from '../base/text.ts';
import type { Definitions } from '../model/definitions.ts';

/** Error for a name that is no resource type, with the nearest that is one. `kind`: 404 where it stands in a path. */
export function unknownType(type: string, definitions: Definitions, kind: ErrorKind = 'invalid'): FhirError {
  const near = nearest(type, definitions.resourceTypes);
  return new FhirError(
    kind,
    `"${printable(type)}" is not a resource type of FHIR R4.${near === undefined ? '' : ` Did you mean "${near}"?`}`,
  );
}

/** Names from outside are shown back cut short and without control characters. */
export function printable(text: string): string {
  const clean = text.replace(/\p{C}/gu, '?');
  return clean.length <= 80 ? clean : `${clean.slice(0, 77)}...`;
}

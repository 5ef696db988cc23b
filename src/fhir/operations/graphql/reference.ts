// Where a Reference leads. https://hl7.org/fhir/R4/graphql.html#references, https://hl7.org/fhir/R4/references.html
import { FhirError } from '../../../base/outcome.ts';
import type { Definitions } from '../../../model/definitions.ts';
import { parseReference } from '../../../model/references.ts';
import { type Content, isResource, type Resource } from './content.ts';
import type { ResourceKey } from './loader.ts';

/** other: to a resource of a type that is not asked for. */
export type ReferenceTarget =
  | { kind: 'other' }
  | { kind: 'contained'; resource: Resource }
  | { kind: 'stored'; key: ResourceKey }
  | { kind: 'unresolved'; reference: string };

/**
 * `wanted` is the argument `type`, `around` the resource in which `#id` is looked for. Throws FhirError('invalid') for a
 * type that does not exist.
 */
export function referenceTarget(
  reference: Content,
  wanted: unknown,
  around: Resource,
  { definitions, baseUrl }: { definitions: Definitions; baseUrl: string },
): ReferenceTarget {
  const types = acceptedTypes(wanted, definitions);
  const text = typeof reference.reference === 'string' ? reference.reference : '';
  const { kind, type, id, version } = parseReference(text, baseUrl, definitions.isResourceType);
  const said = type ?? reference.type;
  if (typeof said === 'string' && types?.includes(said) === false) return { kind: 'other' };
  if (kind === 'contained') {
    const resource = id === '' ? around : containedIn(around, id);
    if (resource === undefined) return { kind: 'unresolved', reference: text };
    return types?.includes(resource.resourceType) === false ? { kind: 'other' } : { kind: 'contained', resource };
  }
  if (kind !== 'relative' || type === undefined || id === undefined) return { kind: 'unresolved', reference: text };
  return { kind: 'stored', key: { type, id, ...(version === undefined ? {} : { version }) } };
}

/** The same to one who may not see a resource as to all where there is none. */
export function unresolved(reference: string): FhirError {
  const what = reference === '' ? 'A reference without a literal reference' : `"${reference.slice(0, 200)}"`;
  return new FhirError('not-found', `${what} leads to no resource of this server.`);
}

/** One name or several; a variable may bring either. */
function acceptedTypes(wanted: unknown, definitions: Definitions): readonly string[] | undefined {
  if (wanted === undefined || wanted === null) return undefined;
  const types = [wanted].flat().map(String);
  const unknown = types.find((type) => !definitions.isResourceType(type));
  if (unknown === undefined) return types;
  throw new FhirError('invalid', `type: "${unknown.slice(0, 40)}" is not a resource type of FHIR R4.`);
}

function containedIn({ contained }: Resource, id: string | undefined): Resource | undefined {
  return Array.isArray(contained) ? contained.filter(isResource).find((one) => one.id === id) : undefined;
}

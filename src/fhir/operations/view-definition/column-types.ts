// Types of columns: what a column may hold, and which columns of a unionAll go together.
// https://sql-on-fhir.org/ig/StructureDefinition-ViewDefinition.html#column-types
import type { Definitions } from '../../../model/definitions.ts';

/** How values of a type look in a table: one of these for a primitive, the type's own name for anything else. */
export type Kind = string;

const kinds: readonly (readonly [Kind, readonly string[]])[] = [
  ['boolean', ['boolean']],
  ['number', ['integer', 'integer64', 'unsignedInt', 'positiveInt', 'decimal']],
  ['date', ['date', 'dateTime', 'instant']],
  ['time', ['time']],
  ['string', ['string', 'code', 'id', 'markdown', 'uri', 'url', 'canonical', 'oid', 'uuid', 'base64Binary', 'xhtml']],
];

const kindByType: ReadonlyMap<string, Kind> = new Map(
  kinds.flatMap(([kind, types]) => types.map((type) => [type, kind] as const)),
);

/** FHIRPath's own types by their names in a URI, http://hl7.org/fhirpath/System.String. */
const systemTypes: ReadonlyMap<string, string> = new Map([
  ['Boolean', 'boolean'],
  ['String', 'string'],
  ['Integer', 'integer'],
  ['Long', 'integer64'],
  ['Decimal', 'decimal'],
  ['Date', 'date'],
  ['DateTime', 'dateTime'],
  ['Time', 'time'],
]);

/** The type that `column.type` names; undefined when there is no such type. */
export function declaredType(uri: string, definitions: Definitions): string | undefined {
  const system = /^(?:http:\/\/hl7\.org\/fhirpath\/)?System\.([A-Za-z]+)$/.exec(uri)?.[1];
  if (system !== undefined) return systemTypes.get(system);
  const name = uri.replace(/^http:\/\/hl7\.org\/fhir\/StructureDefinition\//, '');
  return name === 'integer64' || definitions.type(name) !== undefined ? name : undefined;
}

export const kindOf = (type: string): Kind => kindByType.get(type) ?? type;

export const isPrimitiveType = (type: string): boolean => kindByType.has(type);

/** True when values of `actual` may stand in a column of `declared`: every primitive that JSON writes as text is a string. */
export function fits(actual: string, declared: string, definitions: Definitions): boolean {
  const [kind, wanted] = [kindOf(actual), kindOf(declared)];
  if (kind === wanted) return true;
  if (wanted === 'string') return kind === 'date' || kind === 'time';
  return definitions.isA(actual, declared);
}

/** The kind that all of the types have in common; undefined where they differ or there are none. */
export function commonKind(types: Iterable<string>): Kind | undefined {
  const found = new Set([...types].map(kindOf));
  const [kind] = found;
  return found.size === 1 ? kind : undefined;
}

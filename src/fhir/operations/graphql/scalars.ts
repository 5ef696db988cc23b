// The scalar types of the FHIR GraphQL schema: FHIR's primitive types, and the types of search parameters.
// https://hl7.org/fhir/R4/graphql.html
import {
  GraphQLBoolean,
  GraphQLError,
  GraphQLFloat,
  GraphQLInt,
  GraphQLScalarType,
  GraphQLString,
  Kind,
  type ValueNode,
} from 'graphql';

/** FHIR primitive → its scalar in the schema, which mostly has its name. */
export function scalarOf(primitive: string): GraphQLScalarType {
  return byPrimitive.get(primitive) ?? GraphQLString;
}

/** Type of a search parameter → the scalar of its values. */
export function searchScalar(type: string): GraphQLScalarType {
  return scalars.get(type) ?? GraphQLString;
}

/** A text that may also be written as a name, a number or true: `use: official`, `birthdate: 1970`, `Patient(id: example)`. */
const textTypes = [
  ...['base64Binary', 'canonical', 'code', 'date', 'dateTime', 'instant', 'markdown', 'oid', 'time', 'uri', 'url'],
  ...['uuid', 'xhtml', 'ID'],
  ...['number', 'token', 'reference', 'composite', 'quantity', 'special'],
];

const numberTypes = ['decimal', 'positiveInt', 'unsignedInt'];

/** Every scalar by its name in the schema. */
export const scalars: ReadonlyMap<string, GraphQLScalarType> = new Map([
  ...[GraphQLString, GraphQLBoolean, GraphQLInt, GraphQLFloat].map((type) => [type.name, type] as const),
  ...textTypes.map((name) => [name, textScalar(name)] as const),
  ...numberTypes.map((name) => [name, numberScalar(name)] as const),
]);

const byPrimitive: ReadonlyMap<string, GraphQLScalarType> = new Map([
  ...[...textTypes, ...numberTypes].map((name) => [name, scalarNamed(name)] as const),
  ['boolean', GraphQLBoolean],
  ['integer', GraphQLInt],
  ['string', GraphQLString],
  ['id', scalarNamed('ID')],
]);

/** `code`, the scalar of whatever FHIR names: types, parameters, modes. */
export const codeScalar = scalarNamed('code');
export const idScalar = scalarNamed('ID');

/** Whether a variable of one scalar may stand where the other is expected: all texts are one to a client. */
export function isText(type: unknown): boolean {
  return type === GraphQLString || (type instanceof GraphQLScalarType && textTypes.includes(type.name));
}

function scalarNamed(name: string): GraphQLScalarType {
  const scalar = scalars.get(name);
  if (scalar === undefined) throw new Error(`no scalar ${name}`);
  return scalar;
}

function textScalar(name: string): GraphQLScalarType {
  return new GraphQLScalarType<string>({
    name,
    parseValue(value) {
      if (typeof value === 'string') return value;
      if (typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value))) return String(value);
      throw new GraphQLError(`${name} is a text.`);
    },
    parseLiteral: (node) => literalText(node, name),
  });
}

function literalText(node: ValueNode, name: string): string {
  switch (node.kind) {
    case Kind.STRING:
    case Kind.ENUM:
    case Kind.INT:
    case Kind.FLOAT:
      return node.value;
    case Kind.BOOLEAN:
      return String(node.value);
    default:
      throw new GraphQLError(`${name} is a text, a name or a number.`, { nodes: node });
  }
}

function numberScalar(name: string): GraphQLScalarType {
  return new GraphQLScalarType<number>({
    name,
    parseValue(value) {
      if (typeof value === 'number' && Number.isFinite(value)) return value;
      throw new GraphQLError(`${name} is a number.`);
    },
    parseLiteral(node) {
      if (node.kind === Kind.INT || node.kind === Kind.FLOAT) return Number(node.value);
      throw new GraphQLError(`${name} is a number.`, { nodes: node });
    },
  });
}

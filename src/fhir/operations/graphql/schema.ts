// The GraphQL schema over FHIR's definitions. https://hl7.org/fhir/R4/graphql.html
import {
  DirectiveLocation,
  GraphQLDirective,
  GraphQLIncludeDirective,
  type GraphQLInterfaceType,
  type GraphQLNamedType,
  GraphQLNonNull,
  GraphQLObjectType,
  GraphQLSchema,
  GraphQLSkipDirective,
  GraphQLString,
  introspectionTypes,
} from 'graphql';
import type { Definitions } from '../../../model/definitions.ts';
import { FhirTypes } from './types.ts';

/** The schema of a query: what it begins with is the whole server, or a resource of a type. */
export function schemaOf(definitions: Definitions, focus?: string): FhirSchema {
  let { types, byFocus } = known.get(definitions) ?? {};
  if (types === undefined || byFocus === undefined) {
    types = new FhirTypes(definitions);
    byFocus = new Map();
    known.set(definitions, { types, byFocus });
  }
  let schema = byFocus.get(focus ?? '');
  if (schema === undefined) {
    schema = new FhirSchema(types, focus === undefined ? types.query : types.object(focus));
    byFocus.set(focus ?? '', schema);
  }
  return schema;
}

const known = new WeakMap<Definitions, { types: FhirTypes; byFocus: Map<string, FhirSchema> }>();

/** The children of a field take its place. */
export const flatten = onField('flatten');
/** The first of the values alone. */
export const first = onField('first');
/** One value in place of a list of one. */
export const singleton = onField('singleton');
/** The value of a path, after a point, is added to the name: a list becomes several lists. */
export const slice = onField('slice', { path: { type: new GraphQLNonNull(GraphQLString) } });

function onField(name: string, args: ConstructorParameters<typeof GraphQLDirective>[0]['args'] = {}): GraphQLDirective {
  return new GraphQLDirective({ name, locations: [DirectiveLocation.FIELD], args });
}

/**
 * GraphQLSchema collects every type when it is made, which here takes seconds; this one looks types up when they are
 * asked for.
 */
export class FhirSchema extends GraphQLSchema {
  readonly types: FhirTypes;
  readonly #query: GraphQLObjectType;

  constructor(types: FhirTypes, query: GraphQLObjectType) {
    const directives = [GraphQLIncludeDirective, GraphQLSkipDirective, flatten, first, singleton, slice];
    super({ directives, assumeValid: true });
    this.types = types;
    this.#query = query;
  }

  override getQueryType(): GraphQLObjectType {
    return this.#query;
  }

  override getType(name: string): GraphQLNamedType | undefined {
    return this.types.named(name) ?? introspectionTypes.find((type) => type.name === name);
  }

  override getTypeMap(): Record<string, GraphQLNamedType> {
    const map = Object.create(null) as Record<string, GraphQLNamedType>;
    for (const name of [...this.types.names(), ...introspectionTypes.map(({ name }) => name)]) {
      const type = this.getType(name);
      if (type !== undefined) map[name] = type;
    }
    return map;
  }

  /** Resource is the only abstract type. */
  override getPossibleTypes(): readonly GraphQLObjectType[] {
    return this.types.definitions.resourceTypes.map((type) => this.types.object(type));
  }

  override getImplementations(): {
    objects: readonly GraphQLObjectType[];
    interfaces: readonly GraphQLInterfaceType[];
  } {
    return { objects: this.getPossibleTypes(), interfaces: [] };
  }

  override isSubType(_abstract: unknown, maybeSubType: GraphQLObjectType | GraphQLInterfaceType): boolean {
    return maybeSubType instanceof GraphQLObjectType && this.types.definitions.isResourceType(maybeSubType.name);
  }
}

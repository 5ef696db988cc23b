// Object types whose fields are made one by one when they are asked for: the schema has some 13,000 fields with 300,000
// arguments, of which a query names a dozen.
import {
  type GraphQLArgument,
  type GraphQLField,
  type GraphQLFieldMap,
  type GraphQLInputType,
  GraphQLInterfaceType,
  GraphQLObjectType,
  type GraphQLOutputType,
} from 'graphql';

/** Where the values of a field come from. */
export type Source =
  /** An element of the object, by its JSON name; `type` is its FHIR type. */
  | { kind: 'element'; name: string; type: string }
  /** `_birthDate`: id and extensions of a primitive element. */
  | { kind: 'sibling'; name: string }
  | { kind: 'resourceType' }
  /** What a Reference refers to. */
  | { kind: 'reference' }
  /** A resource by its id. */
  | { kind: 'read'; type: string }
  /** Matches of a search; `isReverse`: those that refer to the object. */
  | { kind: 'list' | 'connection'; type: string; isReverse: boolean }
  /** A part of what a search hands back around its matches. */
  | { kind: 'property' };

export interface FieldPlan {
  type: GraphQLOutputType;
  source: Source;
  /** Asked for when the field is used; fields that take the same arguments share one list. */
  args?: () => readonly GraphQLArgument[];
}

/** Name → how to make the field of that name. */
export type FieldPlans = ReadonlyMap<string, () => FieldPlan>;

type Field = GraphQLField<unknown, unknown>;

export class LazyObjectType extends GraphQLObjectType {
  readonly #plans: () => FieldPlans;
  #fields: GraphQLFieldMap<unknown, unknown> | undefined;

  constructor(name: string, plans: () => FieldPlans, interfaces: readonly GraphQLInterfaceType[] = []) {
    super({ name, fields: {}, interfaces });
    this.#plans = plans;
  }

  override getFields(): GraphQLFieldMap<unknown, unknown> {
    this.#fields ??= lazyFields(this.#plans());
    return this.#fields;
  }
}

export class LazyInterfaceType extends GraphQLInterfaceType {
  readonly #plans: () => FieldPlans;
  #fields: GraphQLFieldMap<unknown, unknown> | undefined;

  constructor(name: string, plans: () => FieldPlans) {
    super({ name, fields: {} });
    this.#plans = plans;
  }

  override getFields(): GraphQLFieldMap<unknown, unknown> {
    this.#fields ??= lazyFields(this.#plans());
    return this.#fields;
  }
}

/** Arguments by their name and type. */
export function argumentList(types: Readonly<Record<string, GraphQLInputType>>): readonly GraphQLArgument[] {
  return Object.entries(types).map(([name, type]) => ({
    name,
    type,
    extensions: {},
    defaultValue: undefined,
    description: undefined,
    deprecationReason: undefined,
    astNode: undefined,
  }));
}

/** The source of a field; undefined for those of GraphQL's own introspection. */
export function sourceOf(field: Field): Source | undefined {
  return field.extensions.source as Source | undefined;
}

function lazyFields(plans: FieldPlans): GraphQLFieldMap<unknown, unknown> {
  const fields = Object.create(null) as GraphQLFieldMap<unknown, unknown>;
  for (const [name, plan] of plans) {
    Object.defineProperty(fields, name, {
      enumerable: true,
      configurable: true,
      get() {
        const value = fieldOf(name, plan());
        Object.defineProperty(fields, name, { enumerable: true, value });
        return value;
      },
    });
  }
  return fields;
}

function fieldOf(name: string, { type, source, args = noArguments }: FieldPlan): Field {
  return {
    name,
    type,
    get args() {
      return args();
    },
    extensions: { source },
    description: undefined,
    deprecationReason: undefined,
    astNode: undefined,
  };
}

const nothing: readonly GraphQLArgument[] = [];
const noArguments = (): readonly GraphQLArgument[] => nothing;

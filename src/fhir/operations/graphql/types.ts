// The types of the schema, from the definitions of FHIR: an object type for each resource type, data type and inline
// element, and what a search of each resource type gives. https://hl7.org/fhir/R4/graphql.html#fields
import {
  type GraphQLArgument,
  GraphQLBoolean,
  GraphQLFloat,
  type GraphQLInputType,
  GraphQLInt,
  type GraphQLInterfaceType,
  GraphQLList,
  type GraphQLNamedType,
  GraphQLNonNull,
  type GraphQLObjectType,
  type GraphQLOutputType,
  GraphQLString,
} from 'graphql';
import type { Definitions, Member, TypeDefinition } from '../../../model/definitions.ts';
import { argumentList, type FieldPlan, LazyInterfaceType, LazyObjectType } from './lazy-type.ts';
import { codeScalar, idScalar, scalarOf, scalars } from './scalars.ts';
import { referringTypes, searchArguments } from './search-arguments.ts';

/** No type has a longer name; the beginnings of one from outside are tried one after another. */
const NAME_CHARS_MAX = 100;

type ArgumentTypes = Readonly<Record<string, GraphQLInputType>>;
type Plans = Map<string, () => FieldPlan>;

/** Every type of the schema; each is made when it is first asked for. */
export class FhirTypes {
  readonly definitions: Definitions;
  /** What a query of the whole server begins with. */
  readonly query: GraphQLObjectType;
  /** Any resource: what a reference leads to, what is contained. */
  readonly resource: GraphQLInterfaceType;
  readonly #byName = new Map<string, GraphQLObjectType>();
  readonly #argumentLists = new Map<string, readonly GraphQLArgument[]>();

  constructor(definitions: Definitions) {
    this.definitions = definitions;
    this.resource = new LazyInterfaceType('Resource', () => this.#elementPlans('Resource'));
    this.query = new LazyObjectType('Query', () => this.#queryPlans());
  }

  /** A resource type, a data type, or an inline type by its path. */
  object(fhirType: string): GraphQLObjectType {
    const name = graphqlName(fhirType);
    return this.#made(name, () => {
      const isResource = this.definitions.isResourceType(fhirType);
      return new LazyObjectType(name, () => this.#elementPlans(fhirType), isResource ? [this.resource] : []);
    });
  }

  /** By its name in the schema; undefined when there is none. */
  named(name: string): GraphQLNamedType | undefined {
    if (name.length > NAME_CHARS_MAX) return undefined;
    if (name === 'Query') return this.query;
    if (name === 'Resource') return this.resource;
    if (name === 'ElementBase') return this.#elementBase();
    const around = /^(\w+)(Connection|Edge)$/.exec(name);
    if (around?.[1] !== undefined && this.definitions.isResourceType(around[1])) {
      return around[2] === 'Edge' ? this.#edge(around[1]) : this.#connection(around[1]);
    }
    return scalars.get(name) ?? this.#fhirType(name);
  }

  /** Every name that `named` knows. */
  *names(): Generator<string> {
    yield* ['Query', 'Resource', 'ElementBase', ...scalars.keys()];
    for (const type of this.definitions.resourceTypes) yield* [`${type}Connection`, `${type}Edge`];
    const seen = new Set<string>();
    for (const type of this.definitions.resourceTypes) yield* this.#complexTypes(type, seen);
  }

  #made(name: string, make: () => GraphQLObjectType): GraphQLObjectType {
    let type = this.#byName.get(name);
    if (type === undefined) {
      type = make();
      this.#byName.set(name, type);
    }
    return type;
  }

  /** One list for all fields that take the same arguments, which are named by `key`. */
  #arguments(key: string, types: () => ArgumentTypes): readonly GraphQLArgument[] {
    let args = this.#argumentLists.get(key);
    if (args === undefined) {
      args = argumentList(types());
      this.#argumentLists.set(key, args);
    }
    return args;
  }

  /** `PatientContact` is an inline type of Patient: the beginnings of the name are tried from the longest. */
  #fhirType(name: string): GraphQLObjectType | undefined {
    for (let end = name.length; end > 0; end--) {
      if (end < name.length && !/[A-Z]/.test(name.charAt(end))) continue;
      const outermost = this.definitions.type(name.slice(0, end));
      if (outermost === undefined || outermost.kind === 'primitive' || outermost.isAbstract) continue;
      for (const type of this.#inlineTypes(outermost)) if (graphqlName(type) === name) return this.object(type);
    }
    return undefined;
  }

  /** The type itself and the inline types below it. */
  *#inlineTypes({ name, members }: TypeDefinition, seen: Set<string> = new Set()): Generator<string> {
    if (seen.has(name)) return;
    seen.add(name);
    yield name;
    for (const { type } of members.values()) {
      const inline = type.includes('.') ? this.definitions.type(type) : undefined;
      if (inline?.kind === 'complex') yield* this.#inlineTypes(inline, seen);
    }
  }

  *#complexTypes(fhirType: string, seen: Set<string>): Generator<string> {
    const definition = this.definitions.type(fhirType);
    if (seen.has(fhirType) || definition === undefined || definition.kind === 'primitive' || fhirType === 'Resource')
      return;
    seen.add(fhirType);
    yield graphqlName(fhirType);
    for (const { type } of definition.members.values()) yield* this.#complexTypes(type, seen);
  }

  // ---- elements ----

  #elementPlans(fhirType: string): Plans {
    const definition = this.definitions.type(fhirType);
    if (definition === undefined) throw new Error(`no definition of ${fhirType}`);
    const plans: Plans = new Map();
    if (definition.kind === 'resource') plans.set('resourceType', resourceTypePlan);
    for (const member of definition.members.values()) {
      plans.set(member.name, () => this.#elementPlan(member));
      if (this.#isPrimitive(member.type) && member.name !== 'id') {
        plans.set(`_${member.name}`, () => this.#siblingPlan(member));
      }
    }
    if (fhirType === 'Reference') plans.set('resource', () => this.#referencePlan());
    if (this.definitions.isResourceType(fhirType)) this.#addReferring(plans, fhirType);
    return plans;
  }

  #elementPlan(member: Member): FieldPlan {
    const { name, type } = member;
    const source = { kind: 'element', name, type } as const;
    if (this.#isPrimitive(type)) return { type: listed(scalarOf(type), member.many), source };
    const object = type === 'Resource' ? this.resource : this.object(type);
    const args = (): readonly GraphQLArgument[] => this.#navigation(type, member.many);
    return { type: listed(object, member.many), source, args };
  }

  #siblingPlan({ name, many }: Member): FieldPlan {
    return { type: listed(this.#elementBase(), many), source: { kind: 'sibling', name } };
  }

  /** https://hl7.org/fhir/R4/graphql.html#list */
  #navigation(type: string, many: boolean): readonly GraphQLArgument[] {
    return this.#arguments(`${type} ${many}`, () => {
      const parts = [...(this.definitions.type(type)?.members.values() ?? [])].filter((part) =>
        this.#isPrimitive(part.type),
      );
      return {
        fhirpath: GraphQLString,
        ...(many ? { _offset: GraphQLInt, _count: GraphQLInt } : {}),
        ...Object.fromEntries(parts.map((part) => [part.name, scalarOf(part.type)])),
      };
    });
  }

  /** https://hl7.org/fhir/R4/graphql.html#references */
  #referencePlan(): FieldPlan {
    const types = (): ArgumentTypes => ({ optional: GraphQLBoolean, type: new GraphQLList(codeScalar) });
    return { type: this.resource, source: { kind: 'reference' }, args: () => this.#arguments('Reference', types) };
  }

  #isPrimitive(type: string): boolean {
    return this.definitions.type(type)?.kind === 'primitive';
  }

  /** Id and extensions of a primitive. */
  #elementBase(): GraphQLObjectType {
    const plans = (): Plans => {
      const { members } = this.definitions.type('Element') as TypeDefinition;
      return new Map([...members.values()].map((member) => [member.name, () => this.#elementPlan(member)]));
    };
    return this.#made('ElementBase', () => new LazyObjectType('ElementBase', plans));
  }

  // ---- searches ----

  #queryPlans(): Plans {
    const plans: Plans = new Map();
    for (const type of this.definitions.resourceTypes) {
      plans.set(type, () => this.#readPlan(type));
      plans.set(`${type}List`, () => this.#searchPlan('list', type, {}));
      plans.set(`${type}Connection`, () => this.#searchPlan('connection', type, { _cursor: GraphQLString }));
    }
    return plans;
  }

  /** https://hl7.org/fhir/R4/graphql.html#reverse */
  #addReferring(plans: Plans, target: string): void {
    const isReverse = { _reference: new GraphQLNonNull(codeScalar) };
    for (const type of referringTypes(target, this.definitions)) {
      plans.set(`${type}List`, () => this.#searchPlan('list', type, isReverse));
      plans.set(`${type}Connection`, () => this.#searchPlan('connection', type, isReverse));
    }
  }

  #readPlan(type: string): FieldPlan {
    const types = (): ArgumentTypes => ({ id: new GraphQLNonNull(idScalar) });
    return { type: this.object(type), source: { kind: 'read', type }, args: () => this.#arguments('id', types) };
  }

  #searchPlan(kind: 'list' | 'connection', type: string, more: ArgumentTypes): FieldPlan {
    const types = (): ArgumentTypes => ({ ...more, ...searchArguments(type, this.definitions) });
    return {
      type: kind === 'list' ? new GraphQLList(this.object(type)) : this.#connection(type),
      source: { kind, type, isReverse: '_reference' in more },
      args: () => this.#arguments([type, ...Object.keys(more)].join(' '), types),
    };
  }

  #connection(type: string): GraphQLObjectType {
    const plans = (): Plans =>
      new Map([
        ...['count', 'offset', 'pagesize'].map((name) => [name, () => property(GraphQLInt)] as const),
        ...['first', 'previous', 'next', 'last'].map((name) => [name, () => property(idScalar)] as const),
        ['edges', () => property(new GraphQLList(this.#edge(type)))],
      ]);
    return this.#made(`${type}Connection`, () => new LazyObjectType(`${type}Connection`, plans));
  }

  #edge(type: string): GraphQLObjectType {
    const plans = (): Plans =>
      new Map([
        ['mode', () => property(codeScalar)],
        ['score', () => property(GraphQLFloat)],
        ['resource', () => property(this.object(type))],
      ]);
    return this.#made(`${type}Edge`, () => new LazyObjectType(`${type}Edge`, plans));
  }
}

/** `Patient.contact` → `PatientContact`. */
function graphqlName(fhirType: string): string {
  return fhirType
    .split('.')
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join('');
}

const resourceTypePlan = (): FieldPlan => ({ type: codeScalar, source: { kind: 'resourceType' } });

const property = (type: GraphQLOutputType): FieldPlan => ({ type, source: { kind: 'property' } });

const listed = (type: GraphQLOutputType, many: boolean): GraphQLOutputType => (many ? new GraphQLList(type) : type);

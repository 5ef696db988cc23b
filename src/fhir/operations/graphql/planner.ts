// Selections of a query → the steps to take on an object of a type: fragments expanded, arguments and directives read.
// Each selection is planned once for a type, however many objects it is taken on.
// https://spec.graphql.org/October2021/#sec-Executing-Selection-Sets
import {
  type FieldNode,
  type FragmentDefinitionNode,
  GraphQLError,
  type GraphQLField,
  GraphQLIncludeDirective,
  type GraphQLNamedOutputType,
  type GraphQLObjectType,
  GraphQLSkipDirective,
  getArgumentValues,
  getDirectiveValues,
  getNamedType,
  getNullableType,
  type InlineFragmentNode,
  isLeafType,
  isListType,
  Kind,
  SchemaMetaFieldDef,
  type SelectionNode,
  type SelectionSetNode,
  TypeMetaFieldDef,
  TypeNameMetaFieldDef,
} from 'graphql';
import type { Fragments } from './document.ts';
import { queryError } from './errors.ts';
import { type Source, sourceOf } from './lazy-type.ts';
import { type FhirSchema, first, flatten, singleton, slice } from './schema.ts';

/** Selection sets that belong together: those of all fields that have one name in the answer. */
export type Selections = readonly SelectionSetNode[];

/** One field to be answered. */
export interface Step {
  /** Its name in the answer. */
  key: string;
  field: GraphQLField<unknown, unknown>;
  source: Source | undefined;
  /** Type of a value. */
  type: GraphQLNamedOutputType;
  isList: boolean;
  args: Readonly<Record<string, unknown>>;
  /** Empty for a field that is a leaf. */
  selections: Selections;
  isFlattened: boolean;
  isFirst: boolean;
  isSingleton: boolean;
  /** FHIRPath of what is added to the name. */
  slicePath?: string;
  /** Where it stands in the query. */
  node: FieldNode;
}

export class Planner {
  readonly #schema: FhirSchema;
  readonly #fragments: Fragments;
  readonly #variables: Record<string, unknown>;
  readonly #planned = new WeakMap<Selections, Map<GraphQLObjectType, readonly Step[]>>();

  constructor(schema: FhirSchema, fragments: Fragments, variables: Record<string, unknown>) {
    this.#schema = schema;
    this.#fragments = fragments;
    this.#variables = variables;
  }

  /**
   * The steps of selections on an object of a type, in order. `isAny`: the selections were written for any resource, and
   * fields that this type lacks are passed over. Throws FhirError('invalid') for what is not in the schema.
   */
  steps(selections: Selections, type: GraphQLObjectType, isAny: boolean): readonly Step[] {
    let byType = this.#planned.get(selections);
    if (byType === undefined) {
      byType = new Map();
      this.#planned.set(selections, byType);
    }
    let steps = byType.get(type);
    if (steps === undefined) {
      try {
        steps = this.#plan(selections, type, isAny);
      } catch (error) {
        throw error instanceof GraphQLError ? queryError([error]) : error;
      }
      byType.set(type, steps);
    }
    return steps;
  }

  #plan(selections: Selections, type: GraphQLObjectType, isAny: boolean): Step[] {
    const steps = new Map<string, Step>();
    const seen = new Set<FragmentDefinitionNode>();
    const collect = (sets: Selections, any: boolean): void => {
      for (const selection of sets.flatMap((set) => set.selections)) {
        if (!this.#isIncluded(selection)) continue;
        if (selection.kind === Kind.FIELD) this.#add(steps, selection, type, any);
        else {
          const fragment = this.#fragment(selection);
          const condition = fragment?.typeCondition?.name.value;
          if (fragment === undefined || !applies(condition, type)) continue;
          if (fragment.kind === Kind.FRAGMENT_DEFINITION && seen.size === seen.add(fragment).size) continue;
          collect([fragment.selectionSet], condition === undefined ? any : condition === 'Resource');
        }
      }
    };
    collect(selections, isAny);
    return [...steps.values()];
  }

  #fragment(selection: Exclude<SelectionNode, FieldNode>): InlineFragmentNode | FragmentDefinitionNode | undefined {
    return selection.kind === Kind.INLINE_FRAGMENT ? selection : this.#fragments.get(selection.name.value);
  }

  #isIncluded(node: SelectionNode): boolean {
    return (
      getDirectiveValues(GraphQLSkipDirective, node, this.#variables)?.if !== true &&
      getDirectiveValues(GraphQLIncludeDirective, node, this.#variables)?.if !== false
    );
  }

  /** Fields that are the same in all but what they select become one. */
  #add(steps: Map<string, Step>, node: FieldNode, type: GraphQLObjectType, isAny: boolean): void {
    const step = this.#step(node, type, isAny);
    if (step === undefined) return;
    const { key, field, args, isFlattened, isFirst, isSingleton, slicePath } = step;
    const same = JSON.stringify([key, field.name, args, isFlattened, isFirst, isSingleton, slicePath]);
    const known = steps.get(same);
    steps.set(same, known === undefined ? step : { ...known, selections: [...known.selections, ...step.selections] });
  }

  #step(node: FieldNode, type: GraphQLObjectType, isAny: boolean): Step | undefined {
    const field = this.#field(node, type);
    if (field === undefined) {
      if (isAny) return undefined;
      throw new GraphQLError(`${type.name} has no field "${node.name.value}".`, { nodes: node });
    }
    const named = getNamedType(field.type);
    checkNode(node, field, isLeafType(named));
    const slicePath = getDirectiveValues(slice, node, this.#variables)?.path;
    const has = (directive: { name: string }): boolean =>
      node.directives?.some(({ name }) => name.value === directive.name) === true;
    return {
      key: node.alias?.value ?? node.name.value,
      field,
      source: sourceOf(field),
      type: named,
      isList: isListType(getNullableType(field.type)),
      args: getArgumentValues(field, node, this.#variables),
      selections: node.selectionSet === undefined ? [] : [node.selectionSet],
      isFlattened: has(flatten),
      isFirst: has(first),
      isSingleton: has(singleton),
      ...(typeof slicePath === 'string' ? { slicePath } : {}),
      node,
    };
  }

  #field(node: FieldNode, type: GraphQLObjectType): GraphQLField<unknown, unknown> | undefined {
    const name = node.name.value;
    if (name === TypeNameMetaFieldDef.name) return TypeNameMetaFieldDef;
    if (type === this.#schema.getQueryType()) {
      if (name === SchemaMetaFieldDef.name) return SchemaMetaFieldDef;
      if (name === TypeMetaFieldDef.name) return TypeMetaFieldDef;
    }
    return type.getFields()[name];
  }
}

/** A fragment without a condition is for every type. */
function applies(condition: string | undefined, type: GraphQLObjectType): boolean {
  return (
    condition === undefined || condition === type.name || type.getInterfaces().some(({ name }) => name === condition)
  );
}

/** What validation has not seen: fields below one whose type depends on the resource that is found. */
function checkNode(node: FieldNode, field: GraphQLField<unknown, unknown>, isLeaf: boolean): void {
  const unknown = node.arguments?.find(({ name }) => !field.args.some((argument) => argument.name === name.value));
  if (unknown !== undefined) {
    throw new GraphQLError(`"${field.name}" has no argument "${unknown.name.value}".`, { nodes: unknown });
  }
  if (isLeaf && node.selectionSet !== undefined) {
    throw new GraphQLError(`"${field.name}" is a simple value; nothing can be selected of it.`, { nodes: node });
  }
  if (!isLeaf && node.selectionSet === undefined) {
    throw new GraphQLError(`"${field.name}" needs a selection of its fields: { … }`, { nodes: node });
  }
  if (isLeaf && node.directives?.some(({ name }) => name.value === flatten.name)) {
    throw new GraphQLError(`"${field.name}" has no children that @flatten could put in its place.`, { nodes: node });
  }
}

// The rules that a document is checked by: GraphQL's own, but for those that FHIR's queries do not keep.
// https://spec.graphql.org/October2021/#sec-Validation, https://hl7.org/fhir/R4/graphql.html#references
import {
  type ASTVisitor,
  FieldsOnCorrectTypeRule,
  GraphQLError,
  type GraphQLType,
  getNamedType,
  getNullableType,
  isListType,
  isNonNullType,
  isTypeSubTypeOf,
  Kind,
  KnownTypeNamesRule,
  OverlappingFieldsCanBeMergedRule,
  specifiedRules,
  typeFromAST,
  type ValidationContext,
  type ValidationRule,
  type VariableDefinitionNode,
  VariablesInAllowedPositionRule,
} from 'graphql';
import { nearest } from '../../../base/text.ts';
import { isText } from './scalars.ts';
import { FhirSchema } from './schema.ts';

/**
 * OverlappingFieldsCanBeMerged is left out: FHIR's own example selects `resource(type: Patient)` beside
 * `resource(type: Group)`. The three below stand in for rules that are stricter, or that ask for every type there is.
 */
export const validationRules: readonly ValidationRule[] = [
  ...specifiedRules.filter(
    (rule) =>
      rule !== OverlappingFieldsCanBeMergedRule &&
      rule !== KnownTypeNamesRule &&
      rule !== FieldsOnCorrectTypeRule &&
      rule !== VariablesInAllowedPositionRule,
  ),
  KnownTypesRule,
  FieldsOfTypeRule,
  VariablesInPositionRule,
];

/** A type is looked up by its name. */
function KnownTypesRule(context: ValidationContext): ASTVisitor {
  return {
    NamedType(node) {
      const name = node.name.value;
      if (context.getSchema().getType(name) !== undefined) return;
      context.reportError(new GraphQLError(`"${name}" is not a type of this schema.`, { nodes: node }));
    },
  };
}

/**
 * A field is one of its type. On Resource it may be one of any resource type: `subject { resource { birthDate } }`; what
 * is below is then checked when the type is known, and nothing comes of it for resources that lack the field.
 */
function FieldsOfTypeRule(context: ValidationContext): ASTVisitor {
  return {
    Field(node) {
      const type = context.getParentType();
      if (type === undefined || type === null || context.getFieldDef()) return;
      const name = node.name.value;
      const names = 'getFields' in type ? Object.keys(type.getFields()) : [];
      if (type.name === 'Resource' && isResourceField(name, context.getSchema())) return;
      const near = nearest(name, names);
      const hint = near === undefined ? '' : ` Did you mean "${near}"?`;
      context.reportError(new GraphQLError(`${type.name} has no field "${name}".${hint}`, { nodes: node }));
    },
  };
}

function isResourceField(name: string, schema: unknown): boolean {
  return schema instanceof FhirSchema && schema.getPossibleTypes().some((type) => name in type.getFields());
}

/** Variables of the right type, a String counting as every kind of text and one value as a list of one. */
function VariablesInPositionRule(context: ValidationContext): ASTVisitor {
  const definitions = new Map<string, VariableDefinitionNode>();
  return {
    VariableDefinition(node) {
      definitions.set(node.variable.name.value, node);
    },
    OperationDefinition: {
      enter: () => definitions.clear(),
      leave(operation) {
        for (const { node, type: expected, defaultValue } of context.getRecursiveVariableUsages(operation)) {
          const definition = definitions.get(node.name.value);
          const given = definition && typeFromAST(context.getSchema(), definition.type);
          if (definition === undefined || !given || !expected) continue;
          const hasDefault = defaultValue !== undefined || (definition.defaultValue?.kind ?? Kind.NULL) !== Kind.NULL;
          if (fits(given, expected, hasDefault, context)) continue;
          const said = `Variable "$${node.name.value}" of type "${given}" is used where "${expected}" is expected.`;
          context.reportError(new GraphQLError(said, { nodes: [definition, node] }));
        }
      },
    },
  };
}

function fits(given: GraphQLType, expected: GraphQLType, hasDefault: boolean, context: ValidationContext): boolean {
  if (isNonNullType(expected) && !isNonNullType(given) && !hasDefault) return false;
  const to = getNullableType(expected);
  const from = getNullableType(given);
  if (isTypeSubTypeOf(context.getSchema(), from, to)) return true;
  if (isListType(from) && !isListType(to)) return false;
  const [named, namedTo] = [getNamedType(from), getNamedType(to)];
  return named === namedTo || (isText(named) && isText(namedTo));
}

// The text of a query → the operation to perform, checked: its grammar, its size, and that everything it names is in the
// schema. https://spec.graphql.org/October2021/#sec-Validation
import {
  type DocumentNode,
  type FragmentDefinitionNode,
  GraphQLError,
  Kind,
  Lexer,
  type OperationDefinitionNode,
  parse,
  type SelectionSetNode,
  Source,
  TokenKind,
  validate,
} from 'graphql';
import { limits } from '../../../base/limits.ts';
import { FhirError } from '../../../base/outcome.ts';
import { queryError } from './errors.ts';
import type { FhirSchema } from './schema.ts';
import { validationRules } from './validation-rules.ts';

export type Fragments = ReadonlyMap<string, FragmentDefinitionNode>;

export interface QueryDocument {
  operation: OperationDefinitionNode;
  fragments: Fragments;
}

/** Problems of a document that are told at once. */
const ERRORS_MAX = 20;

/** Throws FhirError: 'invalid' with the places of what is wrong, 'too-costly' for a query beyond the limits. */
export function queryDocument(text: string, operationName: string | undefined, schema: FhirSchema): QueryDocument {
  const document = parsed(text);
  const operation = operationNamed(operationName, document);
  if (operation.operation !== 'query') {
    throw new FhirError(
      'not-supported',
      `A ${operation.operation} is not offered, only queries; write by create, update and delete.`,
    );
  }
  const errors = validate(schema, document, validationRules, { maxErrors: ERRORS_MAX });
  if (errors.length > 0) throw queryError(errors);
  const fragments = new Map(
    document.definitions.filter((one) => one.kind === Kind.FRAGMENT_DEFINITION).map((one) => [one.name.value, one]),
  );
  checkSize(operation.selectionSet, fragments);
  return { operation, fragments };
}

function parsed(text: string): DocumentNode {
  try {
    const source = new Source(text, 'query');
    checkTokens(source);
    return parse(source);
  } catch (error) {
    throw error instanceof GraphQLError ? queryError([error]) : error;
  }
}

/** The parser calls itself for each bracket within a bracket, so these are counted before. */
function checkTokens(source: Source): void {
  const lexer = new Lexer(source);
  let tokens = 0;
  let depth = 0;
  for (let token = lexer.advance(); token.kind !== TokenKind.EOF; token = lexer.advance()) {
    if (++tokens > limits.graphqlTokensMax) {
      throw new FhirError('too-costly', `A GraphQL query has at most ${limits.graphqlTokensMax} words and signs.`);
    }
    if (opening.has(token.kind)) depth++;
    else if (closing.has(token.kind)) depth--;
    if (depth > limits.graphqlDepthMax) throw tooDeep();
  }
}

const opening: ReadonlySet<TokenKind> = new Set([TokenKind.BRACE_L, TokenKind.BRACKET_L, TokenKind.PAREN_L]);
const closing: ReadonlySet<TokenKind> = new Set([TokenKind.BRACE_R, TokenKind.BRACKET_R, TokenKind.PAREN_R]);

function tooDeep(): FhirError {
  return new FhirError('too-costly', `A GraphQL query nests at most ${limits.graphqlDepthMax} levels deep.`);
}

function operationNamed(name: string | undefined, document: DocumentNode): OperationDefinitionNode {
  const operations = document.definitions.filter((one) => one.kind === Kind.OPERATION_DEFINITION);
  const found = name === undefined ? operations : operations.filter((one) => one.name?.value === name);
  const [operation, ...more] = found;
  if (operation !== undefined && more.length === 0) return operation;
  const names = operations.map((one) => one.name?.value ?? '(without a name)').slice(0, 10);
  throw new FhirError(
    'invalid',
    names.length === 0
      ? 'The document has no query.'
      : `operationName says which one of the document's queries is meant, one of: ${names.join(', ')}.`,
  );
}

interface Size {
  fields: number;
  depth: number;
}

/** Fields and depth once fragments are expanded, each fragment being measured once. */
function checkSize(selections: SelectionSetNode, fragments: Fragments): void {
  const measured = new Map<string, Size>();

  const fragmentSize = (name: string): Size => {
    let size = measured.get(name);
    if (size === undefined) {
      size = sizeOf(fragments.get(name)?.selectionSet);
      measured.set(name, size);
    }
    return size;
  };

  const sizeOf = (set: SelectionSetNode | undefined): Size => {
    const size = { fields: 0, depth: 0 };
    for (const one of set?.selections ?? []) {
      const isField = one.kind === Kind.FIELD;
      const below = one.kind === Kind.FRAGMENT_SPREAD ? fragmentSize(one.name.value) : sizeOf(one.selectionSet);
      size.fields += below.fields + (isField ? 1 : 0);
      size.depth = Math.max(size.depth, below.depth + (isField ? 1 : 0));
    }
    return size;
  };

  const { fields, depth } = sizeOf(selections);
  if (depth > limits.graphqlDepthMax) throw tooDeep();
  if (fields > limits.graphqlFieldsMax) {
    throw new FhirError(
      'too-costly',
      `A GraphQL query selects at most ${limits.graphqlFieldsMax} fields, those of fragments counted wherever they are used.`,
    );
  }
}

// What a client is told when a query fails: GraphQL errors, each with the OperationOutcome that says the same, and a
// status that is not 200. https://hl7.org/fhir/R4/graphql.html#errors
import type { ASTNode, GraphQLError, SourceLocation } from 'graphql';
import { type ErrorKind, FhirError, type Issue, operationOutcome } from '../../../base/outcome.ts';
import { json } from '../../answer.ts';
import type { Answer } from '../../interaction.ts';

/** GraphQL's messages quote whole values; this much of one is told. */
const MESSAGE_CHARS_MAX = 400;

type Places = readonly SourceLocation[];

/** A failure with the places in the query that caused it, one list for each issue. */
export class QueryError extends FhirError {
  readonly places: readonly Places[];

  constructor(
    kind: ErrorKind,
    problems: readonly { issue: Issue; places: Places }[],
    options: { cause?: unknown; headers?: Record<string, string> } = {},
  ) {
    super(kind, problems.map(withPlace), options);
    this.places = problems.map(({ places }) => places);
  }
}

/** What the GraphQL library found wrong with a query. */
export function queryError(errors: readonly GraphQLError[]): QueryError {
  return new QueryError(
    'invalid',
    errors.map(({ message, locations = [] }) => {
      const diagnostics = message.length > MESSAGE_CHARS_MAX ? `${message.slice(0, MESSAGE_CHARS_MAX)}…` : message;
      return { issue: { severity: 'error', code: 'invalid', diagnostics }, places: locations };
    }),
  );
}

/** Does work for a part of the query; a failure, now or later, then says where that part stands. */
export function located<T>(node: ASTNode, work: () => T): T {
  const fail = (error: unknown): never => {
    throw error instanceof FhirError ? locatedError(error, node) : error;
  };
  try {
    const result = work();
    return result instanceof Promise ? (result.catch(fail) as T) : result;
  } catch (error) {
    return fail(error);
  }
}

function locatedError(error: FhirError, node: ASTNode): FhirError {
  if (error instanceof QueryError) return error;
  const { line = 1, column = 1 } = node.loc?.startToken ?? {};
  const problems = error.issues.map((issue) => ({ issue, places: [{ line, column }] }));
  return new QueryError(error.kind, problems, { cause: error.cause, headers: { ...error.headers } });
}

function withPlace({ issue, places: [place] }: { issue: Issue; places: Places }): Issue {
  if (place === undefined) return issue;
  return { ...issue, diagnostics: `${issue.diagnostics} (line ${place.line}, column ${place.column})` };
}

/** The answer to a query that failed. */
export function errorAnswer(error: FhirError): Answer {
  const places = error instanceof QueryError ? error.places : [];
  const errors = error.issues.map((issue, at) => ({
    message: issue.diagnostics,
    ...(places[at]?.length ? { locations: places[at] } : {}),
    extensions: { resource: operationOutcome([issue]) },
  }));
  return {
    status: error.status,
    headers: { ...error.headers, ...jsonType },
    body: json({ data: null, errors }),
    interaction: 'operation',
  };
}

/** The answer is no resource: application/json, not application/fhir+json. */
export const jsonType = { 'Content-Type': 'application/json; charset=utf-8' };

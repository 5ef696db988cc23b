// What a client is told when a query fails: GraphQL errors, each with the OperationOutcome that says the same, and a
// status that is not 200. https://hl7.org/fhir/R4/graphql.html#errors
import type { ASTNode, GraphQLError, SourceLocation } from 'graphql';
import { type ErrorKind, FhirError, operationOutcome } from '../../../base/outcome.ts';
import { json } from '../../answer.ts';
import type { Answer } from '../../interaction.ts';

/** A message quotes this much of a query; GraphQL's own quote whole values. */
const MESSAGE_CHARS_MAX = 400;

/** A failure with the places in the query that caused it, one list for each issue. */
export class QueryError extends FhirError {
  readonly locations: readonly (readonly SourceLocation[])[];

  constructor(kind: ErrorKind, problems: readonly { message: string; locations?: readonly SourceLocation[] }[]) {
    super(
      kind,
      problems.map(({ message, locations }) => ({
        severity: 'error',
        code: new FhirError(kind, '').issues[0]?.code ?? 'invalid',
        diagnostics: withPlace(message, locations?.[0]),
      })),
    );
    this.locations = problems.map(({ locations = [] }) => locations);
  }
}

/** What the GraphQL library found wrong with a query. */
export function queryError(errors: readonly GraphQLError[]): QueryError {
  return new QueryError(
    'invalid',
    errors.map(({ message, locations }) => ({ message, ...(locations === undefined ? {} : { locations }) })),
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
  return new QueryError(
    error.kind,
    error.issues.map(({ diagnostics }) => ({ message: diagnostics, locations: [{ line, column }] })),
  );
}

/** The answer to a query that failed. */
export function errorAnswer(error: FhirError): Answer {
  const locations = error instanceof QueryError ? error.locations : [];
  const errors = error.issues.map((issue, at) => ({
    message: issue.diagnostics,
    ...(locations[at]?.length ? { locations: locations[at] } : {}),
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

function withPlace(message: string, location: SourceLocation | undefined): string {
  const short = message.length > MESSAGE_CHARS_MAX ? `${message.slice(0, MESSAGE_CHARS_MAX)}…` : message;
  return location === undefined ? short : `${short} (line ${location.line}, column ${location.column})`;
}

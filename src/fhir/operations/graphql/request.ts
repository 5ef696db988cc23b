// A GraphQL request as it came: by GET with a query, by POST as text, as JSON or as a Parameters resource.
// https://hl7.org/fhir/R4/graphql.html#invoking, https://graphql.org/learn/serving-over-http/
import { limits } from '../../../base/limits.ts';
import { FhirError } from '../../../base/outcome.ts';
import { parseJson } from '../../../model/json.ts';
import type { FhirRequest } from '../../interaction.ts';
import { queryPairs } from '../../search/query.ts';
import { operationInput } from '../input.ts';

export interface QueryRequest {
  /** The GraphQL document. */
  document: string;
  variables: Record<string, unknown>;
  operationName?: string;
}

/** `extensions` belongs to clients and servers that agreed on something; careloom never did. */
const ACCEPTED = ['query', 'variables', 'operationName', 'extensions'];

/** Answered by the edge. */
const ELSEWHERE: ReadonlySet<string> = new Set(['_format', '_pretty']);

type Given = Map<string, unknown>;

/** What is in the URL, and what is in the body in its place. Throws FhirError('invalid') for anything else. */
export function queryRequest(request: FhirRequest): QueryRequest {
  const given: Given = new Map(queryPairs(request.query).filter(([name]) => !ELSEWHERE.has(name)));
  if (request.method === 'POST' && request.body.length > 0)
    for (const [name, value] of inBody(request)) given.set(name, value);
  const unknown = [...given.keys()].find((name) => !ACCEPTED.includes(name));
  if (unknown !== undefined) {
    throw new FhirError(
      'invalid',
      `"${unknown.slice(0, 40)}" is not a part of a GraphQL request; accepted: ${ACCEPTED.join(', ')}.`,
    );
  }
  const operationName = textOf(given, 'operationName');
  return {
    document: documentOf(given),
    variables: variablesOf(given.get('variables')),
    ...(operationName === undefined || operationName === '' ? {} : { operationName }),
  };
}

function inBody(request: FhirRequest): Iterable<[string, unknown]> {
  const contentType = request.header('content-type')?.toLowerCase() ?? '';
  if (contentType.startsWith('application/graphql')) return [['query', Buffer.from(request.body).toString('utf8')]];
  if (contentType.startsWith('application/x-www-form-urlencoded'))
    return queryPairs(Buffer.from(request.body).toString('utf8'));
  const body = parseJson(request.body);
  if (!isObject(body)) {
    throw new FhirError(
      'invalid',
      'The body of a GraphQL request is an object with "query", or the query as application/graphql.',
    );
  }
  if (body.resourceType === undefined) return Object.entries(body).filter(([, value]) => value !== null);
  return operationInput(request).parameters.map(({ name, value }): [string, unknown] => [name, value]);
}

function documentOf(given: Given): string {
  const document = textOf(given, 'query');
  if (document === undefined || document.trim() === '') {
    throw new FhirError(
      'invalid',
      'A GraphQL query is expected: ?query= of a GET, "query" of a JSON body, or a body of type application/graphql.',
    );
  }
  if (document.length > limits.graphqlCharsMax) {
    throw new FhirError(
      'too-costly',
      `A GraphQL query has at most ${limits.graphqlCharsMax} characters; this one has ${document.length}.`,
    );
  }
  return document;
}

function textOf(given: Given, name: string): string | undefined {
  const value = given.get(name);
  if (value === undefined || typeof value === 'string') return value;
  throw new FhirError('invalid', `"${name}" of a GraphQL request is a text.`);
}

/** An object; in a URL or a Parameters resource its JSON text. */
function variablesOf(value: unknown): Record<string, unknown> {
  if (value === undefined || value === '') return {};
  const variables = typeof value === 'string' ? parseJson(Buffer.from(value)) : value;
  if (variables === null) return {};
  if (isObject(variables)) return variables;
  throw new FhirError('invalid', '"variables" of a GraphQL request is a JSON object: {"name": value}.');
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

// A call of $graphql from request to answer. https://hl7.org/fhir/R4/graphql.html
import { getVariableValues } from 'graphql';
import { FhirError } from '../../../base/outcome.ts';
import { json } from '../../answer.ts';
import type { Answer, Caller } from '../../interaction.ts';
import { storeFailure } from '../../store-failure.ts';
import type { OperationCall, OperationContext } from '../operation.ts';
import { Budget } from './budget.ts';
import { parseContent, type Resource } from './content.ts';
import { type QueryDocument, queryDocument } from './document.ts';
import { errorAnswer, jsonType, queryError } from './errors.ts';
import { Loader } from './loader.ts';
import { Paths } from './paths.ts';
import { Planner } from './planner.ts';
import { queryRequest } from './request.ts';
import { Resolver } from './resolver.ts';
import { type FhirSchema, schemaOf } from './schema.ts';
import { shaped } from './shape.ts';

/**
 * 200 with `data`, or the status of what went wrong with GraphQL errors. What is our own fault, or will pass, is thrown:
 * the edge logs the one and says when to try again for the other.
 */
export async function performQuery(call: OperationCall, caller: Caller, context: OperationContext): Promise<Answer> {
  try {
    const data = await answerData(call, caller, context);
    return { status: 200, headers: jsonType, body: json({ data }), interaction: 'operation' };
  } catch (error) {
    const failure = storeFailure(error);
    if (failure.status >= 500) throw failure;
    return errorAnswer(failure);
  }
}

async function answerData(call: OperationCall, caller: Caller, context: OperationContext): Promise<unknown> {
  const { document, variables, operationName } = queryRequest(call.request);
  const schema = schemaOf(context.definitions, call.type);
  const query = queryDocument(document, operationName, schema);
  const planner = new Planner(schema, query.fragments, variableValues(query, variables, schema));
  const budget = new Budget(call.request.signal);
  const loader = new Loader(context.store, caller, budget);
  const search = { context, caller, budget, signal: call.request.signal };
  const resolver = new Resolver({ schema, planner, loader, paths: new Paths(), search });
  const focus = await focusOf(call, caller, context, budget);
  return shaped(await resolver.resolve([query.operation.selectionSet], focus));
}

const VARIABLE_ERRORS_MAX = 20;

function variableValues(
  { operation }: QueryDocument,
  inputs: Record<string, unknown>,
  schema: FhirSchema,
): Record<string, unknown> {
  const options = { maxErrors: VARIABLE_ERRORS_MAX };
  const { coerced, errors } = getVariableValues(schema, operation.variableDefinitions ?? [], inputs, options);
  if (errors !== undefined) throw queryError(errors);
  return coerced;
}

/** The resource that a query at the instance level is about. */
async function focusOf(
  { type, id }: OperationCall,
  caller: Caller,
  { store }: OperationContext,
  budget: Budget,
): Promise<Resource | undefined> {
  if (type === undefined || id === undefined) return undefined;
  const row = await store.read(type, id, caller.filter);
  if (row === undefined) throw new FhirError('not-found', `${type}/${id} does not exist.`);
  if (row.body === null)
    throw new FhirError('deleted', `${type}/${id} was deleted; its history has the versions before.`);
  budget.resource(row.body.length);
  return parseContent(row.body) as Resource;
}

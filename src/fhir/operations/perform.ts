// Calls an operation that a request was routed to.
import { FhirError } from '../../base/outcome.ts';
import type { Answer, Caller, FhirRequest } from '../interaction.ts';
import { type OperationInput, operationInput } from './input.ts';
import type { Operation, OperationContext } from './operation.ts';

/** Throws FhirError('invalid') for parameters that the operation does not take. */
export async function performOperation(
  operation: Operation,
  on: { type?: string; id?: string },
  request: FhirRequest,
  caller: Caller,
  context: OperationContext,
): Promise<Answer> {
  if (operation.affectsState && request.method !== 'POST') {
    throw new FhirError('method-not-allowed', `$${operation.code} changes what is stored; call it by POST.`, {
      headers: { Allow: 'POST' },
    });
  }
  let input: OperationInput | undefined;
  const read = (): OperationInput => {
    input ??= operationInput(request);
    return input;
  };
  if (operation.parameters !== undefined) read().allowOnly(operation.parameters);
  const answer = await operation.perform({ ...on, request, input: read }, caller, context);
  return { ...answer, interaction: 'operation' };
}

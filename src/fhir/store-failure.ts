// What a failure of the store means to a client.
import { FhirError } from '../base/outcome.ts';
import { StoreError } from '../store/store.ts';

/** Seconds after which a client may try again when the store cannot be reached. */
const RETRY_AFTER_S = 5;

/** The error to answer with; whatever is neither FhirError nor StoreError is a fault and is thrown on. */
export function storeFailure(error: unknown): FhirError {
  if (error instanceof FhirError) return error;
  if (!(error instanceof StoreError)) throw error;
  switch (error.kind) {
    case 'version':
      return new FhirError('precondition', 'The resource has changed; read it and decide again.', { cause: error });
    case 'check':
      return new FhirError('conflict', 'Another client changed what this decision was based on; try again.', {
        cause: error,
      });
    case 'cursor':
      return new FhirError('invalid', 'This paging link does not fit; begin the search again.', { cause: error });
    case 'too-costly':
      return new FhirError(
        'too-costly',
        'This would take longer than a query may; narrow it with another parameter, such as a patient, a code or a date.',
        { cause: error },
      );
    case 'unavailable':
    case 'newer-schema':
      return new FhirError('unavailable', 'The store cannot be reached at the moment; try again later.', {
        cause: error,
        headers: { 'Retry-After': String(RETRY_AFTER_S) },
      });
    case 'damaged':
      // Nothing that a client could do about it.
      throw error;
  }
}

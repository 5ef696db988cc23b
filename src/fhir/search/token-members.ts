// :in, :not-in, :above and :below on tokens: the codes that a value set or a code system says are meant.
// https://hl7.org/fhir/R4/search.html#modifiers
import { FhirError } from '../../base/outcome.ts';
import type { EngineContext } from '../context.ts';
import type { Caller } from '../interaction.ts';
import type { Criterion } from './criteria.ts';

export async function tokenMembers(
  criterion: Extract<Criterion, { kind: 'parameter' }>,
  _caller: Caller,
  _context: EngineContext,
): Promise<Criterion> {
  throw new FhirError('not-supported', `"${criterion.name}" is not offered.`);
}

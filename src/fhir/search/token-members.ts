// :in, :not-in, :above and :below on tokens: the codes that a value set or a code system says are meant.
// https://hl7.org/fhir/R4/search.html#modifiers
import { FhirError } from '../../base/outcome.ts';
import type { CodeSource } from '../../terminology/code-source.ts';
import { ancestors, descendants } from '../../terminology/code-systems.ts';
import { valueSetMembers } from '../../terminology/value-sets.ts';
import type { EngineContext } from '../context.ts';
import type { Caller } from '../interaction.ts';
import { storedCodes } from '../stored-codes.ts';
import type { Criterion, Member } from './criteria.ts';
import { literalValue, splitUnescaped } from './query.ts';

type ParameterCriterion = Extract<Criterion, { kind: 'parameter' }>;

/** The criterion with the codes that its modifier and values stand for. */
export async function tokenMembers(
  criterion: ParameterCriterion,
  caller: Caller,
  context: EngineContext,
): Promise<Criterion> {
  const source = storedCodes(caller, context);
  const members: Member[] = [];
  const systems: string[] = [];
  for (const value of criterion.values) {
    const found = await membersOf(criterion, literalValue(value), splitUnescaped(value, '|').map(literalValue), source);
    members.push(...found.codes);
    systems.push(...found.systems);
  }
  const isOne: Criterion = { kind: 'members', parameter: criterion.parameter, members, systems };
  return criterion.modifier === 'not-in' ? { kind: 'not', of: isOne } : isOne;
}

interface Found {
  codes: Member[];
  systems: string[];
}

async function membersOf(
  { modifier, name }: ParameterCriterion,
  value: string,
  parts: readonly string[],
  source: CodeSource,
): Promise<Found> {
  if (modifier === 'above' || modifier === 'below') return hierarchyOf(modifier, parts, name, source);
  try {
    const { codes, systems } = await valueSetMembers(value, source);
    const cut = systems.find(({ except }) => except.length > 0);
    if (cut !== undefined) {
      throw new FhirError(
        'not-supported',
        `"${name}": the value set has all of ${cut.system} but some codes, and its other codes are not known here; load the code system.`,
      );
    }
    return { codes, systems: systems.map(({ system }) => system) };
  } catch (error) {
    throw inSearch(error, name);
  }
}

async function hierarchyOf(
  modifier: 'above' | 'below',
  parts: readonly string[],
  name: string,
  source: CodeSource,
): Promise<Found> {
  const [system = '', ...rest] = parts;
  const code = rest.join('|');
  if (system === '' || code === '') throw new FhirError('invalid', `"${name}" takes system|code.`);
  const codes = await (modifier === 'above' ? ancestors : descendants)(system, code, source);
  if (codes === undefined) {
    throw new FhirError(
      'not-supported',
      `"${name}": the hierarchy of ${system.slice(0, 200)} is not known here; load its CodeSystem.`,
    );
  }
  return { codes: [...codes].map((one) => ({ system, code: one })), systems: [] };
}

/** What is not found is not the search: 404 would say that. */
function inSearch(error: unknown, name: string): unknown {
  if (!(error instanceof FhirError) || error.kind !== 'not-found') return error;
  return new FhirError(
    'invalid',
    error.issues.map((issue) => ({ ...issue, diagnostics: `"${name}": ${issue.diagnostics ?? 'not found'}` })),
  );
}

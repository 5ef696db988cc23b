// What a thread does for the expressions of a query. See paths.ts.
import { FhirError } from '../../../base/outcome.ts';
import { compilePath, pathBudget } from '../../../model/path.ts';

export interface PathsJob {
  kind: 'paths';
  wanted: 'holds' | 'text';
  expression: string;
  /** FHIR type of the values; '' where they are resources. */
  type: string;
  values: readonly unknown[];
  /** `%resource`. */
  resource?: unknown;
  ms: number;
}

/** For each value whether the expression holds, or its one value as text. Throws FhirError as `evaluate` does. */
export function pathsInThread(job: PathsJob): (boolean | string)[] {
  const { wanted, expression, type, values, resource, ms } = job;
  return pathBudget(() => {
    const run = compilePath(expression, type);
    return values.map((value) => {
      const found = resource === undefined ? run(value) : run(value, { resource });
      return wanted === 'holds' ? isTrue(found) : textOf(expression, found);
    });
  }, ms);
}

const isTrue = (found: readonly unknown[]): boolean => found.length > 0 && !(found.length === 1 && found[0] === false);

function textOf(expression: string, [found, ...more]: readonly unknown[]): string {
  if (more.length > 0 || (typeof found === 'object' && found !== null)) {
    throw new FhirError(
      'invalid',
      `@slice: "${expression.slice(0, 80)}" must yield one simple value for each element.`,
    );
  }
  return found === undefined || found === null ? '' : String(found);
}

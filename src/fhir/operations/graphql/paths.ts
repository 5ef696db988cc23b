// FHIRPath within a query: the argument `fhirpath`, which keeps some values of a list, and the path of @slice. Evaluated
// on a thread, some values at a time, so that other requests have their turn.
import { limits } from '../../../base/limits.ts';
import { onPathThread } from '../../path-threads.ts';
import { type Content, withNumbers } from './content.ts';
import type { PathsJob } from './paths-thread.ts';

/** Where values are: their FHIR type (`Resource` for every resource), and the resource around them. */
export interface PathPlace {
  type: string;
  around?: Content;
}

/** Values that go to a thread together: each is copied. */
const VALUES_TOGETHER = 50;

/** The expressions of one query; together they have `pathBudgetMs`. */
export class Paths {
  readonly #converted = new WeakMap<object, unknown>();
  #msLeft: number = limits.pathBudgetMs;

  /** For each value whether an expression holds for it: it is true, or it yields something that is no boolean. */
  async holds(expression: string, values: readonly unknown[], place: PathPlace): Promise<boolean[]> {
    return (await this.#evaluated('holds', expression, values, place)) as boolean[];
  }

  /** For each value the one value of an expression as text; '' for none. Throws FhirError('invalid') for several. */
  async texts(expression: string, values: readonly unknown[], place: PathPlace): Promise<string[]> {
    return (await this.#evaluated('text', expression, values, place)) as string[];
  }

  async #evaluated(
    wanted: PathsJob['wanted'],
    expression: string,
    values: readonly unknown[],
    { type, around }: PathPlace,
  ): Promise<(boolean | string)[]> {
    const found: (boolean | string)[] = [];
    for (let at = 0; at < values.length; at += VALUES_TOGETHER) {
      const some = values.slice(at, at + VALUES_TOGETHER).map((value) => this.#withNumbers(value));
      const job: PathsJob = {
        kind: 'paths',
        wanted,
        expression,
        type: type === 'Resource' ? '' : type,
        values: some,
        ...(around === undefined || type === 'Resource' ? {} : { resource: this.#withNumbers(around) }),
        ms: Math.max(1, Math.floor(this.#msLeft)),
      };
      const onSpent = (ms: number): void => {
        this.#msLeft -= ms;
      };
      found.push(...(await onPathThread(job, { onSpent })));
    }
    return found;
  }

  #withNumbers(value: unknown): unknown {
    if (typeof value !== 'object' || value === null) return value;
    let converted = this.#converted.get(value);
    if (converted === undefined) {
      converted = withNumbers(value);
      this.#converted.set(value, converted);
    }
    return converted;
  }
}

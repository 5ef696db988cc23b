// FHIRPath within a query: the argument `fhirpath`, which keeps some values of a list, and the path of @slice.

import { limits } from '../../../base/limits.ts';
import { FhirError } from '../../../base/outcome.ts';
import { compilePath, pathBudget } from '../../../model/path.ts';
import { type Content, withNumbers } from './content.ts';

/** A value, its FHIR type (`Resource` for every resource), and the resource around it. */
export interface PathFocus {
  value: unknown;
  type: string;
  around: Content;
}

/** The expressions of one query; together they have `pathBudgetMs`. */
export class Paths {
  readonly #converted = new WeakMap<object, unknown>();
  readonly #mayOccur: boolean;
  #msLeft: number = limits.pathBudgetMs;

  /** `document` is the text of the query: one that has no expression needs no budget for them. */
  constructor(document: string) {
    this.#mayOccur = document.includes('fhirpath') || document.includes('slice');
  }

  /** Does work that may evaluate expressions. Throws FhirError('too-costly') when it takes too long, all of it together. */
  within<T>(work: () => T): T {
    if (!this.#mayOccur) return work();
    const startedAt = performance.now();
    const result = pathBudget(work, Math.max(1, Math.floor(this.#msLeft)));
    this.#msLeft -= performance.now() - startedAt;
    return result;
  }

  /** Whether an expression holds for a value: it is true, or it yields something that is no boolean. */
  holds(expression: string, focus: PathFocus): boolean {
    const found = this.#evaluate(expression, focus);
    return found.length > 0 && !(found.length === 1 && found[0] === false);
  }

  /** The one value of an expression as text; '' for none. Throws FhirError('invalid') for several. */
  text(expression: string, focus: PathFocus): string {
    const [found, ...more] = this.#evaluate(expression, focus);
    if (more.length > 0 || (typeof found === 'object' && found !== null)) {
      throw new FhirError(
        'invalid',
        `@slice: "${expression.slice(0, 80)}" must yield one simple value for each element.`,
      );
    }
    return found === undefined || found === null ? '' : String(found);
  }

  #evaluate(expression: string, { value, type, around }: PathFocus): unknown[] {
    const focus = this.#withNumbers(value);
    if (type === 'Resource') return compilePath(expression)(focus);
    return compilePath(expression, type)(focus, { resource: this.#withNumbers(around) });
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

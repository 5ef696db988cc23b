// What one query has used of what it may use. A query of three lines can ask for everything the server has.
import { limits } from '../../../base/limits.ts';
import { FhirError } from '../../../base/outcome.ts';

/** Every method throws FhirError('too-costly') when what it counts is used up. */
export class Budget {
  readonly #signal: AbortSignal;
  readonly #startedAt = performance.now();
  #resources = 0;
  #bytes = 0;
  #searches = 0;
  #typesListed = 0;
  #values = 0;
  #chars = 0;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  resource(bytes: number): void {
    this.#bytes += bytes;
    if (++this.#resources > limits.graphqlResourcesMax) {
      throw tooCostly(`reads more than ${limits.graphqlResourcesMax} resources`);
    }
    if (this.#bytes > limits.graphqlBytesMax) throw tooCostly('reads more content than one query may');
  }

  search(): void {
    if (++this.#searches > limits.graphqlSearchesMax) {
      throw tooCostly(
        `makes more than ${limits.graphqlSearchesMax} searches; a list within a list is one for each resource`,
      );
    }
    this.time();
  }

  /** A type of the schema whose fields are listed. */
  typeListed(): void {
    if (++this.#typesListed > limits.graphqlTypesListedMax) {
      throw tooCostly(
        `lists the fields of more than ${limits.graphqlTypesListedMax} types; ask for one type at a time: __type(name: "Patient")`,
      );
    }
  }

  value(value: unknown): void {
    if (++this.#values > limits.graphqlValuesMax) {
      throw tooCostly(
        `selects more than ${limits.graphqlValuesMax} values; of a schema, ask for one type at a time: __type(name: "Patient")`,
      );
    }
    if (typeof value === 'string') this.#text(value.length);
    if (this.#values % 1000 === 0) this.time();
  }

  time(): void {
    if (this.#signal.aborted) throw new FhirError('timeout', 'The request was given up.');
    if (performance.now() - this.#startedAt > limits.graphqlBudgetMs)
      throw tooCostly(`takes longer than ${limits.graphqlBudgetMs / 1000} s`);
  }

  #text(chars: number): void {
    this.#chars += chars;
    if (this.#chars > limits.graphqlAnswerCharsMax) throw tooCostly('selects more text than one answer may hold');
  }
}

function tooCostly(what: string): FhirError {
  return new FhirError('too-costly', `This query ${what}. Ask for less, or for fewer at a time with _count.`);
}

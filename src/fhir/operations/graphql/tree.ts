// What a query has found, before it takes the shape of the answer.
import type { Step } from './planner.ts';

/** What the steps of a selection have found on one object, in the order of the query. */
export class Branch {
  readonly found: Found[] = [];
}

export interface Found {
  step: Step;
  /** Simple values, or branches; null for a null that the answer shows (GraphQL's introspection has them). */
  values: unknown[] | null;
  /** For each value what @slice adds to the name. */
  slices?: string[];
}

// What a made-up search asks for, by its meaning: between the generator, the slow matcher and the query that is sent.

export interface StoredResource {
  resourceType: string;
  id: string;
  meta: { lastUpdated: string };
  [member: string]: unknown;
}

export type Prefix = '' | 'eq' | 'ne' | 'gt' | 'lt' | 'ge' | 'le' | 'sa' | 'eb' | 'ap';

/** A search value; no text in it is escaped. */
export type SearchValue =
  | { kind: 'text'; text: string }
  /** `system` absent: any; '': none. `code` absent: any code of the system. */
  | { kind: 'token'; system?: string; code?: string }
  | OrderedValue
  | { kind: 'of-type'; system: string; code: string; value: string }
  /** Degrees; without a distance, and without a unit, the server's own. */
  | { kind: 'near'; latitude: number; longitude: number; distance?: number; unit?: string };

export interface OrderedValue {
  kind: 'ordered';
  prefix: Prefix;
  text: string;
  system?: string;
  code?: string;
}

export type SlowCriterion =
  | { kind: 'parameter'; code: string; modifier?: string; values: readonly SearchValue[] }
  /** Each alternative has a value for each component. */
  | { kind: 'composite'; code: string; values: readonly (readonly SearchValue[])[] }
  | { kind: 'words'; code: '_text' | '_content'; asked: WordQuery }
  | { kind: 'list'; ids: readonly string[] }
  | { kind: 'filter'; filter: SlowFilter }
  | { kind: 'chain'; code: string; target?: string; next: SlowCriterion }
  | { kind: 'has'; type: string; code: string; next: SlowCriterion };

export type WordQuery =
  | { kind: 'word'; text: string; isBeginning: boolean }
  | { kind: 'not'; of: WordQuery }
  | { kind: 'and' | 'or'; of: readonly WordQuery[] };

export type SlowFilter =
  | { kind: 'and' | 'or'; left: SlowFilter; right: SlowFilter }
  | { kind: 'not'; of: SlowFilter }
  | FilterComparison
  | FilterStep;

export interface FilterComparison {
  kind: 'compare';
  code: string;
  operator: string;
  /** Several for the components of a composite. */
  values: readonly SearchValue[];
}

/** A reference followed to one resource that meets both `where` and `next`. */
export interface FilterStep {
  kind: 'step';
  code: string;
  target?: string;
  where?: SlowFilter;
  next: FilterComparison | FilterStep;
}

/** What a search shows of each resource. */
export type SlowSelection = { kind: 'true' | 'text' | 'data' } | { kind: 'elements'; elements: readonly string[] };

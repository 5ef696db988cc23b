// Every bound on what comes from outside, with its reason. A bound that is met is answered with a clear 4xx.

export const limits = {
  /** One resource. The largest official example has 2 MB; Synthea's largest single resources stay under 1 MB. */
  resourceBytesMax: 4 * 1024 * 1024,
  /** A Bundle. Real patient bundles reach 70 MB and go through `careloom load`; over HTTP this is one request's memory. */
  bundleBytesMax: 64 * 1024 * 1024,
  /** Nesting of JSON. The deepest official example has 14 levels; recursive walkers are safe far beyond 64. */
  jsonDepthMax: 64,
  /** Members of one JSON object: a flood of names costs hash collisions. */
  objectKeysMax: 10_000,
  /** Entries of a batch or transaction: all of them are held in memory and, for a transaction, in one commit. */
  bundleEntriesMax: 20_000,
  /** Path and query. Longer searches go by POST _search. */
  urlBytesMax: 8 * 1024,
  headerBytesMax: 16 * 1024,
  /** Parameters of one search, and values after commas of one parameter: each is one probe of an index. */
  searchParametersMax: 30,
  orValuesMax: 100,
  /** Folded characters of a search string that take part in the comparison; index keys are cut there. */
  stringKeyCharsMax: 200,
  /** Characters that :contains may ask for: long texts are indexed in stretches that overlap by so many. */
  containsCharsMax: 100,
  /** a.b.c.d=…: each step multiplies the work by the fan-out of a reference. */
  chainDepthMax: 3,
  hasDepthMax: 2,
  pageSizeDefault: 50,
  pageSizeMax: 500,
  /** Resources that _include and _revinclude may add to one page. */
  includesMax: 1000,
  /** References that one _revinclude looks up for a page: a wildcard over all types asks for some 180 a patient. */
  includeKeysMax: 10_000,
  /** Rounds of :iterate. */
  iterateRoundsMax: 3,
  sortKeysMax: 5,
  /** A paging link lives this long. */
  cursorLifeMs: 60 * 60 * 1000,
  /** The time that one query may take in the store; a search that needs more is answered 422 too-costly. */
  queryBudgetMs: 2_000,
  /** `_total=accurate` counts so far, then says it is an estimate. */
  totalMax: 50_000,
  /** One request from first byte to answer. */
  requestMs: 60_000,
  /** Attempts of a write that meets a concurrent change before 409 goes to the client; each loser means one winner. */
  writeAttemptsMax: 64,
  /** Requests in work at once; more are answered 503 with Retry-After. */
  requestsAtOnceMax: 500,
} as const;

// Every bound on what comes from outside, with its reason. A bound that is met is answered with a clear 4xx.

export const limits = {
  /** One resource. The largest official example has 2 MB; Synthea's largest single resources stay under 1 MB. */
  resourceBytesMax: 4 * 1024 * 1024,
  /** A Bundle. Real patient bundles reach 70 MB and go through `careloom load`; over HTTP this is one request's memory. */
  bundleBytesMax: 64 * 1024 * 1024,
  /** One entry of a Bundle: a resource of the largest size, and what is said around it. */
  bundleEntryBytesMax: 4 * 1024 * 1024 + 64 * 1024,
  /** Nesting of JSON. The deepest official example has 14 levels; recursive walkers are safe far beyond 64. */
  jsonDepthMax: 64,
  /** Nesting of XML. Each level of FHIR has two of JSON; the rest is room for tables and lists in a narrative. */
  xmlDepthMax: 128,
  /** Elements of an XML document: 64 MB of Synthea have 1.5 million. */
  xmlElementsMax: 4_000_000,
  /** A body that `_pretty` applies to: beyond it nobody reads, and margins make short values several times as long. */
  prettyBytesMax: 4 * 1024 * 1024,
  /** XML that is made of an answer: a text of ampersands becomes five times as long. */
  xmlReplyBytesMax: 256 * 1024 * 1024,
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
  /** Words of one narrative, and of one resource, that full-text search knows: a long letter has some 2,000. */
  narrativeWordsMax: 5_000,
  contentWordsMax: 8_000,
  /** Words that one value of _text or _content asks for. */
  searchWordsMax: 20,
  /** Brackets within brackets of a _filter, and of _text and _content. */
  filterDepthMax: 10,
  /** Search parameters that may be added: each costs every write of its types. */
  addedParametersMax: 2_000,
  /** Steps that the expression of one takes on one type: R4's have up to 17, US Core's race, by way of an extension, 200. */
  addedExpressionPartsMax: 1_000,
  /** Resources that an _asOf search may find, and those changed since that it may look at. */
  asOfMatchesMax: 10_000,
  /** Resources of a type whose history is asked for by search parameters: each list of versions is looked up. */
  historyMatchesMax: 1_000,
  /** Versions since that are walked over to find those: a resource may have changed often. */
  asOfVersionsMax: 50_000,
  /** Matches that _sort by a chained parameter sorts in memory. */
  chainSortedMax: 2_000,
  /** Resources that _contained looks into. */
  containersMax: 5_000,
  /** Locations that one near may look at. */
  placesMax: 10_000,
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
  /** All that a search asks the store for its matches and their number together: over all types these are some hundred queries. */
  searchBudgetMs: 4_000,
  /** `_total=accurate` counts so far, then says it is an estimate. */
  totalMax: 50_000,
  /** One request from first byte to answer. */
  requestMs: 60_000,
  /** Attempts of a write that meets a concurrent change before 409 goes to the client; each loser means one winner. */
  writeAttemptsMax: 64,
  /** Body of a request that is answered later, and its answer: both are kept in the store. */
  asyncBodyBytesMax: 10 * 1024 * 1024,
  asyncAnswerBytesMax: 100 * 1024 * 1024,
  /** Requests that wait to be answered later, or are in work: each may hold as much of the store as its body has. */
  asyncOpenMax: 200,
  /** Requests in work at once; more are answered 503 with Retry-After. */
  requestsAtOnceMax: 500,
  /** A FHIRPath expression: the longest of US Core and Da Vinci has 687 characters; parsing so many takes some 0.1 s. */
  pathCharsMax: 4_000,
  /** Brackets within brackets of one: the parser takes half a second for a thousand. R4's own have up to 12. */
  pathNestingMax: 100,
  /** Parsed expressions that are kept, by the sum of their lengths: a character costs up to 0.3 KB. */
  pathCacheCharsMax: 200_000,
  /** What the FHIRPath expressions of one request, or of a view on one resource, may take. */
  pathBudgetMs: 1_000,
  /** A thread for FHIRPath that takes longer for a job is ended: its expressions have stopped long before. */
  pathThreadMs: 10_000,
  /** Its memory: the items of an evaluation, and the largest resource as objects. */
  pathThreadMb: 512,
  /** Items that the steps of one FHIRPath evaluation produce together: some 150 bytes each. */
  pathItemsMax: 2_000_000,
  /** A text that a FHIRPath expression builds: doubling it twenty times takes a line. */
  pathTextCharsMax: 5_000_000,
  /** What all FHIRPath patches of one Bundle may take: some thousands of usual ones, or ten that use up their budget. */
  patchBundleBudgetMs: 10_000,
  /** Operations of one patch: each may walk the whole resource. */
  patchOperationsMax: 1_000,
  /** Resources that one conditional delete with _count removes, in one commit. */
  deletionsMax: 500,
  /** A UCUM code: the longest in use have some 60 characters. Parentheses can nest no deeper than half of it. */
  ucumCodeCharsMax: 200,
  /** An exponent in a UCUM code, and the bits of a conversion factor's numerator and denominator: a double ends at 1,024. */
  ucumExponentMax: 999,
  ucumFactorBitsMax: 2_048,
  /** UCUM codes whose conversion is remembered: a practice uses a few hundred. */
  ucumCodesCachedMax: 5_000,
  /** A GraphQL document; tools that write queries for a whole screen stay under 30,000 characters. */
  graphqlCharsMax: 64 * 1024,
  /** Its tokens: checking a document takes time for each. */
  graphqlTokensMax: 5_000,
  /** Brackets within brackets of a document, and fields within fields once fragments are expanded. */
  graphqlDepthMax: 24,
  /** Fields of an operation once fragments are expanded: fragments that use fragments double with each line. */
  graphqlFieldsMax: 1_000,
  /** Resources that one GraphQL query reads, and their bytes: all of them are parsed and in memory. */
  graphqlResourcesMax: 5_000,
  graphqlBytesMax: 64 * 1024 * 1024,
  /** Searches of one GraphQL query: a list within a list is a search for each outer resource. */
  graphqlSearchesMax: 500,
  /** Types whose fields one query lists: all 988 of them hold the thread for 0.2 s. */
  graphqlTypesListedMax: 100,
  /** Matches of one list, which has no pages. */
  graphqlListMax: 1_000,
  /** Values that a GraphQL query selects, and characters of their texts: aliases can ask for one text a thousand times. */
  graphqlValuesMax: 100_000,
  graphqlAnswerCharsMax: 32 * 1024 * 1024,
  /** The time that one GraphQL query may take. */
  graphqlBudgetMs: 10_000,
  /** Pages that a GraphQL cursor remembers for going back. */
  graphqlPagesBackMax: 100,
  /** Codes that one value set, or one code with all below it, stands for: a search asks an index for each of them. */
  valueSetCodesMax: 20_000,
  /** How deep value sets include each other, and how many of them, and code systems, one may need: each is a read. */
  valueSetDepthMax: 16,
  valueSetsMax: 200,
  /** Codes that are looked at to put one value set together: some 0.1 to 0.2 µs each. */
  valueSetStepsMax: 2_000_000,
  /** A regular expression in a value set: its length, the states it grows into, and the steps of all its matches (0.5 s). */
  regexCharsMax: 500,
  regexStatesMax: 2_000,
  regexStepsMax: 10_000_000,
  /** Resources of the compartment on one page of $everything: "unless the client requests otherwise, the entire result set". */
  everythingPageMax: 1_000,
  /** Such a page ends where it is when its resources, or those that it brings along, have so many bytes. */
  everythingPageBytesMax: 32 * 1024 * 1024,
  /** It also ends after so long: a group's patients may have few resources each, of 66 types. */
  everythingPageMs: 1_000,
  /** Resources that the link to the next page remembers as sent along: a mark has eleven characters. */
  everythingMarksMax: 1_000,
  /** References that the resources of one page may hold to others: those that do not fit wait in the link. */
  everythingReferencesMax: 10_000,
  /** Different tags, profiles and labels that $meta lists for a type or the system: finding each takes a query. */
  metaLabelsMax: 1_000,
  /** Observations that one $lastn groups: four weeks of a value a minute. Only their keys are read. */
  lastnObservationsMax: 50_000,
  /** Observations that one $lastn sends: it has no pages. */
  lastnAnswersMax: 2_000,
  /** Observations that one $stats parses: ten years of five values a day. */
  statsObservationsMax: 20_000,
  /** Codes of one $stats, and the measurements of panels that become statistics of their own. */
  statsCodesMax: 100,
  /** Source observations that one $stats sends along. */
  statsSourcesMax: 1_000,
  /** Rows of one ViewDefinition/$run: with its text, an answer is in memory until it is sent. */
  viewRowsMax: 100_000,
  viewBytesMax: 64 * 1024 * 1024,
  /** Cells that a view makes of one resource: forEach beside forEach multiplies. */
  viewCellsMax: 1_000_000,
  /** Elements of one resource that a view visits. */
  viewFociMax: 100_000,
  /** Columns of a view, each branch of a unionAll counted: databases end at 1,600. */
  viewColumnsMax: 1_600,
  viewSelectionsMax: 1_000,
  /** All expressions of a view together: parsing them takes some 25 µs a character. */
  viewExpressionCharsMax: 40_000,
  /** Patients that a view is run for: what is theirs is looked up for a hundred at a time. */
  viewPatientsMax: 10_000,
  /** Entries of a tar archive: US Core has 500, packages of terminology some thousands. */
  tarEntriesMax: 200_000,
  /** One file of it that is read, held in memory: US Core's largest has 0.3 MB, a code system has as many as it has codes. */
  tarFileBytesMax: 64 * 1024 * 1024,
  /** A long name or a pax header: file systems end at 4,096 bytes a path. */
  tarHeaderBytesMax: 64 * 1024,
  /** Requests of one client, and of one person, a second, and in one go after a pause; an app opens with some dozens. */
  clientRequestsPerS: 100,
  clientRequestsBurst: 200,
  userRequestsPerS: 30,
  userRequestsBurst: 60,
  /** Requests from one address without a valid token: the CapabilityStatement, and guessing. */
  strangerRequestsPerS: 5,
  strangerRequestsBurst: 20,
  /** Requests of one client in work at once: one that hangs does not take all of requestsAtOnceMax. */
  clientRequestsAtOnceMax: 20,
  /** Clients, people or addresses that are counted at once: some 150 bytes each. */
  rateKeysMax: 10_000,
  /** Body of a login, token or registration request. */
  authBodyBytesMax: 64 * 1024,
  /** Logins, passwords and codes sent from one address in 15 minutes: a clinic's staff share one, at the start of a shift. */
  loginRequestsPer15Min: 120,
  /** Token requests from one address a second, and in one go. */
  tokenRequestsPerS: 10,
  tokenRequestsBurst: 50,
  /** Token requests of one client a second, from wherever, and in one go: a service needs one every five minutes. */
  clientTokensPerS: 10,
  clientTokensBurst: 50,
  /** Wrong proofs of who a client is, from one network, in one go and in 15 minutes: a deployment with the secret of yesterday. */
  clientProofsBurst: 10,
  clientProofsPer15Min: 30,
  /** Clients registered from one address in an hour. */
  registrationsPerHour: 10,
  /** Pages of login and consent for one address a second, and in one go: each brings a style sheet and a script. */
  authPagesPerS: 10,
  authPagesBurst: 60,
  /** A `scope` parameter, and the scopes in it: an app for one purpose asks for some 20, one for everything for 150. */
  scopeCharsMax: 16 * 1024,
  scopesMax: 300,
  /** A `state` or `nonce`: apps put signed JSON there; it goes back in an address. */
  stateCharsMax: 2_048,
  /** A JWT that a client sends: assertions have some 700 characters, access tokens of others up to 4,000. */
  jwtCharsMax: 16 * 1024,
  /** What another server may answer to one request for its keys, and how long that may take. */
  jwksBytesMax: 64 * 1024,
  outboundMs: 3_000,
  /** Keys of one set: a handful, and those being rotated. */
  jwksKeysMax: 50,
  /** Redirect URIs, and characters of each, that a client registers. */
  redirectUrisMax: 20,
  redirectUriCharsMax: 1_024,
  /** Characters of a name that is shown to people. */
  clientNameCharsMax: 100,
  /** Public keys of clients and issuers that are kept ready to verify with. */
  importedKeysMax: 1_000,
  /** Tokens whose check is remembered, and for how long: other processes may revoke one. */
  tokenCacheMax: 10_000,
  tokenCacheMs: 5_000,
  /** Live grants of one person that are looked at. */
  grantsListedMax: 1_000,
  /** Wrong passwords or codes for one account before each further one has to wait; a person mistypes two or three times. */
  loginFailuresMax: 5,
  /** Those from one network (an IPv6 /64), over all accounts, in the window. */
  loginFailuresPerAddressMax: 30,
  /** How long they count, and the longest wait. */
  loginWindowMs: 15 * 60 * 1000,
  /** Passkeys of one person: a phone, a computer, two keys, and those that replaced them. */
  passkeysMax: 20,
  /** What a browser sends of a passkey: an attestation of none has some 800 characters. */
  passkeyAnswerCharsMax: 16 * 1024,
  /** Characters of a query or form that the audit record keeps: longer ones come by POST. */
  auditQueryCharsMax: 8 * 1024,
  /** Patients that one line of the audit record names; what touches more takes several lines. */
  auditPatientsMax: 1_000,
  /** Lines of the audit record that one page of a search of AuditEvents looks at; the next page goes on from there. */
  auditLinesMax: 10_000,
  /** Rows of a report from the audit record that are held in memory, to sort or to collapse them: some 100 MB. */
  auditReportRowsMax: 200_000,
  /** Lines that one $access-report looks at, a second's work, and entries of its answer, some 4 MB. */
  accessReportLinesMax: 50_000,
  accessReportEntriesMax: 5_000,
  /** Lines that are counted for _total=accurate of AuditEvents. */
  auditTotalLinesMax: 50_000,
  /**
   * Refusals before the engine that are told apart until they are put on record, once a minute; what comes beyond them is
   * counted together. Whoever has no token can so add 32 MB a day to the record at most.
   */
  refusalKeysMax: 60,
  refusalFlushMs: 60_000,
  /** An AuditEvent that a client sends. */
  auditEventBytesMax: 64 * 1024,
  /** Identity providers that one person signs in by. */
  identitiesMax: 10,
  /**
   * The conditions under which Binaries are seen by what they belong to, each way, as JSON: SQLite takes 200,000 characters
   * of a statement, and a version is decided on by two of them. Some seven types fit that a care team is asked for.
   */
  binaryConditionCharsMax: 48_000,
  /** Answer of another identity provider to a code: its tokens may have 10,000 characters each. */
  tokenAnswerBytesMax: 128 * 1024,
} as const;

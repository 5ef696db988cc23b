// What can go wrong, in FHIR's words: issues, the error that carries them, and the one table from a kind of error to
// its HTTP status and issue code. https://hl7.org/fhir/R4/operationoutcome.html, https://hl7.org/fhir/R4/http.html

/** A code of https://hl7.org/fhir/R4/valueset-issue-type.html that careloom uses. */
export type IssueCode =
  | 'invalid'
  | 'structure'
  | 'required'
  | 'value'
  | 'invariant'
  | 'code-invalid'
  | 'extension'
  | 'not-found'
  | 'deleted'
  | 'conflict'
  | 'duplicate'
  | 'multiple-matches'
  | 'forbidden'
  | 'login'
  | 'not-supported'
  | 'business-rule'
  | 'too-costly'
  | 'too-long'
  | 'throttled'
  | 'timeout'
  | 'transient'
  | 'exception'
  | 'informational';

/** One entry of OperationOutcome.issue. `diagnostics` is for the client: what was wrong, and what is accepted. */
export interface Issue {
  severity: 'fatal' | 'error' | 'warning' | 'information';
  code: IssueCode;
  diagnostics: string;
  /** FHIRPath of the element, such as `Patient.name[0].family`. */
  expression?: string;
}

export interface OperationOutcome {
  resourceType: 'OperationOutcome';
  issue: { severity: string; code: string; diagnostics: string; expression?: string[] }[];
}

/** Kind of failure → HTTP status and the issue code used when the thrower named none. The only place with statuses. */
const kinds = {
  invalid: { status: 400, code: 'invalid' },
  unprocessable: { status: 422, code: 'invalid' },
  login: { status: 401, code: 'login' },
  forbidden: { status: 403, code: 'forbidden' },
  'not-found': { status: 404, code: 'not-found' },
  'method-not-allowed': { status: 405, code: 'not-supported' },
  'not-acceptable': { status: 406, code: 'not-supported' },
  conflict: { status: 409, code: 'conflict' },
  deleted: { status: 410, code: 'deleted' },
  precondition: { status: 412, code: 'conflict' },
  'multiple-matches': { status: 412, code: 'multiple-matches' },
  'too-large': { status: 413, code: 'too-long' },
  'uri-too-long': { status: 414, code: 'too-long' },
  'unsupported-media-type': { status: 415, code: 'not-supported' },
  'range-not-satisfiable': { status: 416, code: 'not-supported' },
  'not-supported': { status: 400, code: 'not-supported' },
  'too-costly': { status: 422, code: 'too-costly' },
  throttled: { status: 429, code: 'throttled' },
  timeout: { status: 408, code: 'timeout' },
  unavailable: { status: 503, code: 'transient' },
  fault: { status: 500, code: 'exception' },
} as const satisfies Record<string, { status: number; code: IssueCode }>;

export type ErrorKind = keyof typeof kinds;

/** Abort with an outcome that the client can act on. The cause goes to the log, never to the client. */
export class FhirError extends Error {
  readonly kind: ErrorKind;
  readonly issues: readonly Issue[];
  /** Headers that belong to the answer, such as Allow for 405. */
  readonly headers: Readonly<Record<string, string>>;

  /** `problem` is either the issues found or one sentence of diagnostics for a single error issue. */
  constructor(
    kind: ErrorKind,
    problem: string | readonly Issue[],
    options: { cause?: unknown; expression?: string; headers?: Record<string, string> } = {},
  ) {
    const issues: readonly Issue[] =
      typeof problem === 'string'
        ? [
            {
              severity: 'error',
              code: kinds[kind].code,
              diagnostics: problem,
              ...(options.expression === undefined ? {} : { expression: options.expression }),
            },
          ]
        : problem;
    super(issues.map((issue) => issue.diagnostics).join('; '), { cause: options.cause });
    this.name = 'FhirError';
    this.kind = kind;
    this.issues = issues;
    this.headers = options.headers ?? {};
  }

  get status(): number {
    return kinds[this.kind].status;
  }
}

/** The FHIR resource for a list of issues; an empty list becomes one "all ok" information issue. */
export function operationOutcome(issues: readonly Issue[]): OperationOutcome {
  const told: readonly Issue[] =
    issues.length > 0 ? issues : [{ severity: 'information', code: 'informational', diagnostics: 'All OK' }];
  return {
    resourceType: 'OperationOutcome',
    issue: told.map(({ severity, code, diagnostics, expression }) => ({
      severity,
      code,
      diagnostics,
      ...(expression === undefined ? {} : { expression: [expression] }),
    })),
  };
}

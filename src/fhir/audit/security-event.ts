// Events that are no interaction: of logins, tokens and consent, of settings, and of the server itself.

/** What happened. The kinds with a code in DICOM's list of audit events are in event-codes.ts; others are allowed. */
export interface SecurityEvent {
  /** `login`, `logout`, `token`, `consent`, `configuration`, `start`, `stop`, `clock-step`, `export`, … */
  kind: string;
  outcome: 'success' | 'denied' | 'failed';
  /** `Practitioner/1`, or `user:<id>` of one who is no resource. */
  user?: string;
  client?: string;
  scopes?: string;
  /** Ids of patients whom it is about. */
  patients?: readonly string[];
  purpose?: string;
  address?: string;
  requestId?: string;
  /** A sentence for the reader of the record. */
  detail?: string;
}

/** The HTTP status that stands for the outcome. */
export const statusOf = (outcome: SecurityEvent['outcome']): number =>
  ({ success: 200, denied: 403, failed: 500 })[outcome];

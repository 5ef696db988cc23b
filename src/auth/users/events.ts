// What people did at this layer, for the audit record: who came in, who did not, what they allowed, what was changed.

export interface AccountEvent {
  kind: AccountEventKind;
  /** Milliseconds since the epoch. */
  at: number;
  outcome: 'success' | 'refused';
  /** Who did it, if that is known. A login name that is nobody's is left out: people type passwords there. */
  user?: string;
  /** Whose account, session or grant it was about, where that is another person. */
  about?: string;
  client?: string;
  grant?: string;
  /** Id of the patient in context. */
  patient?: string;
  scopes?: readonly string[];
  /** How they proved who they are, as in RFC 8176. */
  amr?: readonly string[];
  /** Why it was refused, or what was changed. No data. */
  reason?: string;
  /** Network address and X-Request-Id of the request; absent for the command line. */
  address?: string;
  request?: string;
}

export type AccountEventKind =
  | 'login'
  | 'second-factor'
  | 'lockout'
  | 'logout'
  | 'session-ended'
  | 'consent'
  | 'grant-revoked'
  | 'client-changed'
  | 'user-added'
  | 'user-changed'
  | 'password-changed'
  | 'factor-changed';

/**
 * Resolves when the event is on record; what it tells of has an effect only then. A login and an identity that is linked
 * are tried first, so that the record tells what came of it, and taken back where this fails.
 */
export type RecordEvent = (event: AccountEvent) => Promise<void>;

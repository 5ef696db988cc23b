// What the parts of the authorization server share, and what it needs of the world around it.
import type { Clock } from '../base/clock.ts';
import type { Records } from '../store/store.ts';
import type { CheckScopeQuery } from './scopes.ts';

export interface AuthContext {
  records: Records;
  clock: Clock;
  /** The FHIR base as clients know it: the audience of every token. */
  baseUrl: string;
  /** The server's root as clients know it, without a slash at the end. */
  issuer: string;
  users: UserPort;
  /** Whether a browser session is still alive: `online_access` lasts as long. */
  isOnline(session: string): Promise<boolean>;
  /** Whether this person may, by their own rights, see this patient: no launch and no choice of a patient widens them. */
  reaches(user: string, patient: string): Promise<boolean>;
  checkScopeQuery?: CheckScopeQuery;
  /** Puts an event on the record, before the answer that tells of it is given. */
  record(event: AuthEvent): Promise<void>;
  /** Told of failures that no client is to see. */
  onFault(error: unknown): void;
}

export interface UserPort {
  get(id: string): Promise<AuthUser | undefined>;
}

export interface AuthUser {
  id: string;
  /** `Practitioner/1` */
  fhirUser?: string;
  roles: readonly string[];
  clearance: readonly string[];
  isEnabled: boolean;
}

export type AuthEventKind =
  | 'launch-created'
  | 'authorization-granted'
  | 'authorization-denied'
  | 'token-issued'
  | 'token-refreshed'
  | 'token-reused'
  | 'token-revoked'
  | 'client-refused'
  | 'client-registered'
  | 'client-changed';

/** What happened here, for the audit record. No secrets. */
export interface AuthEvent {
  kind: AuthEventKind;
  /** Milliseconds since the epoch. */
  at: number;
  client?: string;
  user?: string;
  /** Id of the patient in context. */
  patient?: string;
  grant?: string;
  scopes?: readonly string[];
  outcome: 'success' | 'refused';
  /** Why it was refused, or what was changed. */
  reason?: string;
  /** Network address and X-Request-Id of the request. */
  address?: string;
  request?: string;
}

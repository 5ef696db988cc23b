// What the parts of the authorization server share, and what it needs of the world around it.
import type { Clock } from '../base/clock.ts';
import type { Records } from '../store/store.ts';
import type { LaunchContext } from './interaction.ts';
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
  /**
   * Whether this person sees, by their own rights, what else a launch has open, and it is the launch's patient's. What they
   * do not see is as what there is not.
   */
  seesOpen(user: string, launch: Omit<LaunchContext, 'user'>): Promise<boolean>;
  checkScopeQuery?: CheckScopeQuery;
  /** How often clients may ask; without it there is no limit. */
  rates?: ClientRates;
  /** Puts an event on the record, before the answer that tells of it is given. */
  record(event: AuthEvent): Promise<void>;
  /** Told of failures that no client is to see. */
  onFault(error: unknown): void;
}

export interface ClientRates {
  /** Requests for tokens. */
  tokens: Rate;
  /** Wrong proofs of who a client is. */
  proofs: Rate;
  /** Requests with a token that is bound to a key, each of which is written down. */
  boundRequests: Rate;
}

/** Counts by key. Both answer the seconds that the key has to wait; 0: it may go on. */
export interface Rate {
  take(key: string): number;
  /** Takes nothing. */
  wait(key: string): number;
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
  /** How often all that apps were granted was ended: what was granted under another number is over. */
  ended?: { grants: number };
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

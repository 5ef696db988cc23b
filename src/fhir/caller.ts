// Who asks, and by what right: what an edge hands to the engine with each request.
// https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
import type { Filter } from '../store/store.ts';

/** SMART's letters. r: read, vread and the history of one resource; s: search and the history of a type. */
export type Permission = 'c' | 'r' | 'u' | 'd' | 's';

export const PERMISSIONS: readonly Permission[] = ['c', 'r', 'u', 'd', 's'];

/** A scope on resources, in the form of SMART v2, which v1's are brought to. */
export interface ResourceScope {
  level: 'patient' | 'user' | 'system';
  /** A resource type, or `*`. */
  type: string;
  can: readonly Permission[];
  /** Search parameters that narrow it, as in a URL, still percent-encoded: `category=laboratory`. */
  query?: string;
}

/** What is known of who asks, from a token that was checked; auth/ makes it, access/ turns it into conditions. */
export interface Principal {
  /** The person; absent for a backend service. */
  user?: {
    id: string;
    /** `Practitioner/1`, `Patient/1`, `RelatedPerson/1`; absent for an administrator who is none of these. */
    fhirUser?: string;
    roles: readonly string[];
    /** Codes of security labels that this person may see although they are restricted. */
    clearance: readonly string[];
    /** When and how the person signed in: ms since the epoch, and the methods of RFC 8176. */
    signedIn?: { at: number; by: readonly string[] };
  };
  /** A system that is registered for a part of the work; absent for one whose scopes alone say what it may do. */
  service?: {
    /** `Organization/1`: on whose behalf it works. */
    reference: string;
    roles: readonly string[];
  };
  client: string;
  /** Names the grant: jobs and paging links are bound to it, and revoking it ends them. */
  grant: string;
  scopes: readonly ResourceScope[];
  /** Id of the launch context's patient. */
  patient?: string;
  /** v3-PurposeOfUse: TREAT unless something else was said. */
  purpose: string;
  /** Id of the one patient for whom the glass was broken. */
  emergency?: string;
  /** Of a token that another issuer made: which, and the token's end, ms since the epoch, to which its work lasts, too. */
  external?: { issuer: string; expires: number };
}

/** Who asks, with the conditions that hold for it. Made in access/ alone. */
export interface Caller {
  /** For logs. */
  kind: 'anonymous' | 'public' | 'system' | 'principal';
  principal?: Principal;
  /** What it may read: the filter of reads, versions, and of what an answer leads to. */
  filter: Filter;
  /** What it may do otherwise: the conditions under which a permission holds; `none` where it never does. */
  filters: Readonly<Record<Permission, Filter>>;
  /** Whether the permission, where it holds at all, is for some resources of the type only (labels aside). */
  isBound(permission: Permission, type: string): boolean;
  /** Elements of a type that are left out of what it is shown. */
  hidden(type: string): readonly string[];
  /** Whether it is so of any type. */
  hidesElements: boolean;
  /** May take restricted labels away. */
  mayRelabel: boolean;
  /** Of work that goes on after its request: who that is now. FhirError('forbidden') once the right to it is over. */
  asOfNow?(): Promise<Caller>;
}

// An authorization request under way: checked by the authorize endpoint, then decided page by page by the person who sits
// at the browser. Which step comes next is state of the server; the browser holds only a random binding.
// https://www.rfc-editor.org/rfc/rfc6749#section-4.1, https://hl7.org/fhir/smart-app-launch/app-launch.html
import { hash } from 'node:crypto';
import type { AuthRequest } from './exchange.ts';

/** Steps in their order; one that does not apply is passed over. */
export type Step = 'login' | 'second-factor' | 'patient' | 'consent';

export interface Interaction {
  /** 256 random bits, base64url; kept as its SHA-256. */
  id: string;
  /** SHA-256, base64url, of the cookie `careloom_binding` that the browser was given with it. */
  binding: string;
  client: string;
  redirectUri: string;
  state?: string;
  nonce?: string;
  codeChallenge: string;
  /** Thumbprint of the key that the app wants its code bound to. */
  jkt?: string;
  /** The person has to have signed in at this time or later, ms since the epoch. */
  loginSince?: number;
  /** What the app believes the person's login name to be. */
  loginHint?: string;
  /** The person is asked even where an app of ours would not ask. */
  asksConsent?: true;
  /** As asked for: scope tokens that the client is registered for, in the order asked. */
  scopes: readonly string[];
  /** What the EHR said when it launched the app; the launch id is spent. */
  launch?: LaunchContext;
  step: Step;
  /** After `login`; `authTime` in ms since the epoch, `amr` as in RFC 8176. */
  user?: string;
  authTime?: number;
  amr?: readonly string[];
  /** Id, after `patient` (or from the launch). */
  patient?: string;
  expires: number;
  /** What `put` compares. */
  version: number;
}

/** The cookie that ties an interaction to its browser; its path is that of the interaction's pages. */
export const bindingCookie = 'careloom_binding';

/** Whether a request comes from the browser that the interaction began in: a link handed to somebody else leads nowhere. */
export function isBound({ binding }: Interaction, request: Pick<AuthRequest, 'cookie'>): boolean {
  const held = request.cookie(bindingCookie);
  return held !== undefined && hash('sha256', held, 'base64url') === binding;
}

/** Whether a login is as fresh as the app wants it. `authTime`: ms since the epoch. */
export const isFreshFor = ({ loginSince }: Pick<Interaction, 'loginSince'>, authTime: number): boolean =>
  loginSince === undefined || authTime >= loginSince;

/** What a launch fixes before the app asks. `user`: for whom it was made; nobody else may use it. */
export interface LaunchContext {
  user: string;
  patient?: string;
  encounter?: string;
  fhirContext?: readonly { reference: string; role?: string; type?: string }[];
  intent?: string;
  needPatientBanner?: boolean;
  smartStyleUrl?: string;
  tenant?: string;
}

/** What the person decided. */
export interface Decision {
  user: string;
  authTime: number;
  amr: readonly string[];
  patient?: string;
  /** Granted scope tokens, each covered by one that was asked for; empty: access denied. */
  scopes: readonly string[];
  /** The browser session it happened in, which `online_access` ends with; '' for the command line, which has none. */
  session: string;
}

/** Given by the authorization server to the pages. */
export interface Interactions {
  /** Undefined when it is unknown, over or expired. */
  get(id: string): Promise<Interaction | undefined>;
  /** Compare-and-set: false when another request of the same browser was faster. */
  put(interaction: Interaction): Promise<boolean>;
  /** Ends the interaction and yields the address to send the browser to: with a code, or with `access_denied`. */
  finish(interaction: Interaction, decision: Decision): Promise<string>;
}

/** A patient that a person may choose, for the picker. */
export interface PatientChoice {
  id: string;
  name: string;
  birthDate?: string;
  gender?: string;
}

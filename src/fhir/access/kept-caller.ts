// Who asked for work that goes on after the answer: kept with the work, and asked for anew when it is taken up and again and
// again while it lasts, so that a right that was withdrawn meanwhile is withdrawn from the work, too.
import { FhirError } from '../../base/outcome.ts';
import type { Caller, Principal } from '../caller.ts';
import { anonymousCaller, publicCaller, systemCaller } from './callers.ts';

/** What a job remembers of a caller; JSON. */
export interface KeptCaller {
  kind: Caller['kind'];
  principal?: Principal;
}

/** The principal as it is now, never with more than it had; undefined once its grant, or another issuer's token, is over. */
export type Renew = (principal: Principal) => Promise<Principal | undefined>;

export const keptCaller = ({ kind, principal }: Caller): KeptCaller =>
  principal === undefined ? { kind } : { kind, principal };

/** Whether somebody may ask for what another began: the same grant, or no access control at all. */
export const isSameCaller = (kept: KeptCaller, caller: Caller): boolean =>
  kept.kind === caller.kind && kept.principal?.grant === caller.principal?.grant;

const WITHOUT_PRINCIPAL: Readonly<Record<Caller['kind'], Caller>> = {
  anonymous: anonymousCaller,
  system: systemCaller,
  public: publicCaller,
  principal: publicCaller,
};

/** How long an answer holds, ms: asking takes some reads, and the work may ask thousands of times a second. */
const HOLDS_MS = 1_000;

interface Parts {
  callerOf(principal: Principal): Caller;
  /** Absent: everybody stays who they were. */
  renew?: Renew;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** The caller of kept work, now and as it goes on. FhirError('forbidden') where the right to it is over. */
export function keptCallers({ callerOf, renew = async (principal) => principal, now }: Parts) {
  return async ({ kind, principal: was }: KeptCaller): Promise<Caller> => {
    if (was === undefined) return WITHOUT_PRINCIPAL[kind];
    const ask = async (): Promise<Caller> => {
      const principal = await renew(was);
      if (principal === undefined) throw new FhirError('forbidden', 'The right to this was withdrawn.');
      return { ...callerOf(withoutMore(principal, was)), asOfNow };
    };
    let asked = { at: now(), answer: ask() };
    const asOfNow = (): Promise<Caller> => {
      if (Math.abs(now() - asked.at) >= HOLDS_MS) asked = { at: now(), answer: ask() };
      return asked.answer;
    };
    return asked.answer;
  };
}

/** A glass that was broken since is not broken for the work that began before. */
function withoutMore({ emergency, ...principal }: Principal, was: Principal): Principal {
  return emergency !== undefined && emergency === was.emergency ? { ...principal, emergency } : principal;
}

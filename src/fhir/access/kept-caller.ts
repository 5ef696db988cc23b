// Who asked for work that goes on after the answer: kept with the work, and asked for anew when it is taken up, so that a
// right that was withdrawn meanwhile is withdrawn from the work, too.
import { FhirError } from '../../base/outcome.ts';
import type { Caller, Principal } from '../caller.ts';
import { anonymousCaller, publicCaller, systemCaller } from './callers.ts';

/** What a job remembers of a caller; JSON. */
export interface KeptCaller {
  kind: Caller['kind'];
  principal?: Principal;
}

/** The principal that a grant stands for now; undefined once it is revoked. */
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

/** The caller of kept work as it is now. FhirError('forbidden') where the grant is no more. */
export const keptCallers =
  (callerOf: (principal: Principal) => Caller, renew: Renew = async (principal) => principal) =>
  async (kept: KeptCaller): Promise<Caller> => {
    if (kept.principal === undefined) return WITHOUT_PRINCIPAL[kept.kind];
    const principal = await renew(kept.principal);
    if (principal === undefined) throw new FhirError('forbidden', 'The right to this was withdrawn.');
    return callerOf({ ...principal, scopes: kept.principal.scopes });
  };

// Breaking the glass: for an hour one person, by one grant, may read one patient's record whatever reach and labels say.
// It is kept as a private record, which the grant's tokens are looked up with, and at hand here for the process in which
// it was begun, where it counts at once.
import type { Clock } from '../../base/clock.ts';
import type { Records } from '../../store/store.ts';

export const EMERGENCY_RECORD = 'emergency';
export const EMERGENCY_MS = 60 * 60 * 1000;

export interface Emergency {
  /** Id. */
  patient: string;
  /** Ms since the epoch. */
  until: number;
}

export interface Emergencies {
  /** Durable when it resolves; ends an earlier one of the same grant. */
  begin(grant: string, patient: string): Promise<Emergency>;
  /** The one that a grant is in, as far as this process knows. */
  of(grant: string): Emergency | undefined;
}

export function createEmergencies(records: Records, clock: Clock): Emergencies {
  const begun = new Map<string, Emergency>();
  return {
    async begin(grant, patient) {
      const emergency = { patient, until: clock.now() + EMERGENCY_MS };
      const kept = { kind: EMERGENCY_RECORD, id: grant, value: JSON.stringify(emergency), expires: emergency.until };
      for (;;) {
        const version = (await records.get(EMERGENCY_RECORD, grant))?.version ?? 0;
        if ((await records.put(kept, version)) !== undefined) break;
      }
      for (const [other, { until }] of begun) if (until <= clock.now()) begun.delete(other);
      begun.set(grant, emergency);
      return emergency;
    },
    of(grant) {
      const emergency = begun.get(grant);
      return emergency !== undefined && emergency.until > clock.now() ? emergency : undefined;
    },
  };
}

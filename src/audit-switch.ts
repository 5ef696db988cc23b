// Turning the audit record off and on is itself on record: a server that starts without it leaves a line that says so, and
// the next one that starts with it says since when nothing was recorded. 45 CFR 170.315(d)(2)
import type { Clock } from './base/clock.ts';
import { createRecorder } from './fhir/audit/recorder.ts';
import { operator } from './operator.ts';
import type { Store } from './store/store.ts';

/** Kind and id of the record that is there while the audit record is off: its value is since when, ms. */
const OFF = { kind: 'audit-recording', id: 'off' };

interface Parts {
  store: Pick<Store, 'audit' | 'records'>;
  clock: Clock;
  /** Whether this server records. */
  isOn: boolean;
}

/** Durable when it resolves; rejects where nothing can be recorded. */
export async function recordSwitch({ store: { audit, records }, clock, isOn }: Parts): Promise<void> {
  const { record } = createRecorder({ audit, clock });
  const by = `by ${operator()}`;
  const known = await records.get(OFF.kind, OFF.id);
  if (!isOn) {
    const detail = `Nothing is recorded from now on: a server was started with CARELOOM_AUDIT=off, ${by}.`;
    await record({ kind: 'recording-stopped', outcome: 'success', detail });
    if (known === undefined) await records.put({ ...OFF, value: JSON.stringify(clock.now()) }, 0);
    return;
  }
  if (known === undefined) return;
  const since = new Date(Number(JSON.parse(known.value))).toISOString();
  const detail = `Recorded again from now on, ${by}; nothing may have been since ${since}.`;
  await record({ kind: 'recording-started', outcome: 'success', detail });
  await records.remove(OFF.kind, OFF.id, known.version);
}

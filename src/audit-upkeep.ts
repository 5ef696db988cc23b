// The audit record while a server runs: that it started and stopped is in it, checkpoints of it are made, what is old is
// sealed, and what is older than it must be kept is purged.
import type { Clock } from './base/clock.ts';
import type { Log } from './base/log.ts';
import type { Config } from './config.ts';
import { checkpointKeyOf } from './fhir/audit/checkpoint.ts';
import { createCheckpoints } from './fhir/audit/checkpoints.ts';
import { createDailyRetention } from './fhir/audit/daily-retention.ts';
import type { SecurityEvent } from './fhir/audit/security-event.ts';
import { installationSecret } from './secret.ts';
import type { Store } from './store/store.ts';

export interface AuditUpkeep {
  /** Records the stop, and makes the last checkpoint. */
  stop(): Promise<void>;
}

interface Parts {
  config: Config;
  store: Store;
  clock: Clock;
  log: Log;
  version: string;
  record(event: SecurityEvent): Promise<void>;
}

/** Records the start; rejects where nothing can be recorded, since nothing could be answered then. */
export async function startAuditUpkeep({ config, store, clock, log, version, record }: Parts): Promise<AuditUpkeep> {
  const parts = {
    store,
    clock,
    key: checkpointKeyOf(await installationSecret(config, store.records)),
    path: config.auditCheckpoints,
    record,
    onFault: (error: unknown, kind: string) => log.error('upkeep of the audit record failed', error, { kind }),
  };
  const checkpoints = createCheckpoints(parts);
  const retention = createDailyRetention({ ...parts, months: config.auditHotMonths, years: config.auditYears });
  const detail = `careloom ${version}`;
  await record({ kind: 'start', outcome: 'success', detail });
  checkpoints.start();
  retention.start();
  return {
    async stop() {
      await retention.stop();
      await record({ kind: 'stop', outcome: 'success', detail }).catch((error) =>
        log.error('the stop could not be recorded', error),
      );
      await checkpoints.stop();
    },
  };
}

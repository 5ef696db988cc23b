// careloom audit seal, purge and hold: what the server does by itself once a day, by hand, and the legal hold.
import type { App } from '../app.ts';
import { checkpointKeyOf } from '../fhir/audit/checkpoint.ts';
import { createRecorder } from '../fhir/audit/recorder.ts';
import { type Dealt, legalHold, purgeOld, type Retention, sealOld, setLegalHold } from '../fhir/audit/retention.ts';
import type { SecurityEvent } from '../fhir/audit/security-event.ts';
import { operator } from '../operator.ts';
import { installationSecret } from '../secret.ts';
import { StoreError } from '../store/store.ts';
import { exitCodes, type Invocation, inWords, UsageError } from './command.ts';
import { createProgress } from './progress.ts';

export async function seal(app: App, { io }: Invocation): Promise<number> {
  const progress = createProgress(io, { label: 'audit seal', total: undefined });
  let steps = 0;
  const step = async (): Promise<void> => {
    io.signal.throwIfAborted();
    progress.update(++steps);
  };
  try {
    const { segments, rows, bytes } = await sealOld({ ...(await retentionOf(app)), step });
    progress.end();
    io.out.write(`${rows} rows sealed in ${segments} segments of ${bytes} bytes\n`);
    return exitCodes.ok;
  } catch (error) {
    if (!(error instanceof StoreError) || error.kind !== 'damaged') throw error;
    progress.end();
    io.out.write(`${error.message}\n`);
    return exitCodes.failed;
  }
}

export async function purge(app: App, { values, io }: Invocation): Promise<number> {
  const retention = await retentionOf(app);
  const isDryRun = values['dry-run'] === true;
  const step = async (): Promise<void> => io.signal.throwIfAborted();
  const said = await inWords(async () => {
    const dealt = await purgeOld({ ...retention, step }, { isDryRun });
    const held = isDryRun ? await legalHold(app.store) : undefined;
    return `${amount(dealt)} ${isDryRun ? 'would be purged' : 'purged'}${held === undefined ? '' : ', but for a legal hold'}`;
  });
  io.out.write(`${said}\n`);
  return exitCodes.ok;
}

const amount = ({ rows, segments }: Dealt): string => `${rows} rows in ${segments} segments`;

/** Without `on` or `off` it tells what is so. */
export async function hold(app: App, { operands, values, io }: Invocation): Promise<number> {
  const [, way] = operands;
  const retention = await retentionOf(app);
  if (way === undefined) {
    const held = await legalHold(app.store);
    const since = held === undefined ? '' : ` since ${new Date(held.since).toISOString()}: ${held.reason}`;
    io.out.write(held === undefined ? 'no legal hold\n' : `legal hold${since}\n`);
    return exitCodes.ok;
  }
  const { reason } = values;
  if ((way !== 'on' && way !== 'off') || typeof reason !== 'string' || reason === '')
    throw new UsageError('audit hold takes on or off, with --reason TEXT');
  await retention.record({ kind: 'hold', outcome: 'success', detail: `legal hold ${way}: ${reason}` });
  const isNew = await setLegalHold(retention, way === 'on' ? reason : undefined);
  io.out.write(isNew ? `legal hold ${way}\n` : `there ${way === 'on' ? 'is one already' : 'was none'}\n`);
  return exitCodes.ok;
}

async function retentionOf({ store, clock, config }: App): Promise<Retention> {
  const recorder = createRecorder({ audit: store.audit, clock });
  return {
    store,
    clock,
    key: checkpointKeyOf(await installationSecret(config, store.records)),
    path: config.auditCheckpoints,
    months: config.auditHotMonths,
    years: config.auditYears,
    record: (event: SecurityEvent) =>
      recorder.record({ ...event, detail: `${event.detail}; by ${operator()} at the command line` }),
  };
}

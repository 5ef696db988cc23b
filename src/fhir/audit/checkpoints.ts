// When checkpoints are made while the server runs: every thousand lines, at least once a minute while anything is
// recorded, and at the end. On the same beat the clock is watched: whoever sets it back redates what is recorded.
import type { KeyObject } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { Clock } from '../../base/clock.ts';
import type { AuditHead, Store } from '../../store/store.ts';
import { signedCheckpoint } from './checkpoint.ts';
import type { SecurityEvent } from './security-event.ts';

export interface CheckpointOptions {
  store: Pick<Store, 'audit' | 'records'>;
  clock: Clock;
  key: KeyObject;
  /** File to add to, best on another volume; undefined: they are kept in the store alone. */
  path: string | undefined;
  record: (event: SecurityEvent) => Promise<void>;
  onFault: (error: unknown, kind: string) => void;
}

export interface Checkpoints {
  start(): void;
  /** Makes the last one. */
  stop(): Promise<void>;
  /** Makes one where anything was recorded since the one before. */
  make(): Promise<void>;
  /** Looks whether one is due, and at the clock. */
  beat(): Promise<void>;
}

/** Kind and id of the record that holds the latest one. */
export const LATEST = { kind: 'audit-checkpoint', id: 'latest' };

const BEAT_MS = 5_000;
const EVERY_LINES = 1_000;
const EVERY_MS = 60_000;
/** NTP slews what is less. */
const CLOCK_STEP_MS = 1_000;

export function createCheckpoints({ store, clock, key, path, record, onFault }: CheckpointOptions): Checkpoints {
  /** Chain → end, as the last checkpoint has it. */
  let known = new Map<string, number>();
  let lines = 0;
  let madeAt = clock.now();
  let timer: NodeJS.Timeout | undefined;
  let working: Promise<void> = Promise.resolve();
  let seen = { clock: clock.now(), steady: performance.now() };

  const made = async (isDue: (added: number) => boolean): Promise<void> => {
    const heads = await store.audit.heads();
    const moved = heads.filter(({ chain, seq }) => known.get(chain) !== seq && seq > 0);
    const total = heads.reduce((sum, { seq }) => sum + seq, 0);
    if (moved.length === 0 || !isDue(total - lines)) return;
    await keep(moved);
    known = new Map(heads.map(({ chain, seq }) => [chain, seq]));
    lines = total;
    madeAt = clock.now();
  };

  const keep = async (heads: readonly AuditHead[]): Promise<void> => {
    const jws = signedCheckpoint({ at: clock.now(), heads }, key);
    if (path !== undefined) await addLine(path, jws);
    const before = await store.records.get(LATEST.kind, LATEST.id);
    // Where another process was faster, its checkpoint is as good.
    await store.records.put({ ...LATEST, value: JSON.stringify(jws) }, before?.version ?? 0);
  };

  const watchClock = async (): Promise<void> => {
    const now = { clock: clock.now(), steady: performance.now() };
    const stepMs = Math.round(now.clock - seen.clock - (now.steady - seen.steady));
    seen = now;
    if (Math.abs(stepMs) > CLOCK_STEP_MS) {
      await record({ kind: 'clock-step', outcome: 'success', detail: `The clock was set by ${stepMs} ms.` });
    }
  };

  /** One after the other; what goes wrong is told and tried again on the next beat. */
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    working = working.then(work).catch((error) => onFault(error, 'audit-checkpoint'));
    return working;
  };
  const make = (): Promise<void> => inTurn(() => made(() => true));
  const beat = (): Promise<void> =>
    inTurn(async () => {
      await watchClock();
      await made((added) => added >= EVERY_LINES || clock.now() - madeAt >= EVERY_MS);
    });
  return {
    start() {
      clearInterval(timer);
      timer = setInterval(() => void beat(), BEAT_MS);
      timer.unref();
    },
    async stop() {
      clearInterval(timer);
      await make();
    },
    make,
    beat,
  };
}

/** Adds to the file of checkpoints; on the disk when it resolves. */
export async function addLine(path: string, line: string): Promise<void> {
  const file = await open(path, 'a', 0o640);
  try {
    await file.appendFile(`${line}\n`);
    await file.datasync();
  } finally {
    await file.close();
  }
}

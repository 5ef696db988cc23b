// Sealing and purging while the server runs: once a day, by one process of those on a store, a segment at a time with a
// pause after each, so that requests hardly notice.
import { setTimeout as pause } from 'node:timers/promises';
import { StoreError } from '../../store/store.ts';
import { legalHold, purgeOld, type Retention, sealOld } from './retention.ts';

export interface DailyRetention {
  start(): void;
  /** Ends what is under way after the segment that it is at. */
  stop(): Promise<void>;
  /** Does the work of the day, unless that was done, or another process is at it. */
  beat(): Promise<void>;
}

export interface DailyOptions extends Omit<Retention, 'step'> {
  onFault: (error: unknown, kind: string) => void;
}

/** Kind and id of the record that says who may work: while somebody does, and until the next day when it is done. */
export const DAILY = { kind: 'audit-retention', id: 'daily' };

const BEAT_MS = 10 * 60_000;
const DAY_MS = 24 * 3_600_000;
/** A process that has not renewed its hold for so long is dead. */
const HOLD_MS = 2 * 60_000;
/** After each segment, whose rows take SQLite's writer 30 ms to move, and MongoDB 0.2 s. */
const PAUSE_MS = 200;

export function createDailyRetention({ onFault, ...retention }: DailyOptions): DailyRetention {
  const { clock, store } = retention;
  const stopping = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let working: Promise<void> = Promise.resolve();

  /** Resolves to a version to expect next; undefined where the hold is another's. */
  const hold = (expect: number, ms: number): Promise<number | undefined> =>
    store.records.put({ ...DAILY, value: '{}', expires: clock.now() + ms }, expect);

  const work = async (): Promise<void> => {
    let version = await hold(0, HOLD_MS);
    if (version === undefined) return;
    const step = async (): Promise<void> => {
      await pause(PAUSE_MS, undefined, { signal: stopping.signal });
      version = version === undefined ? undefined : await hold(version, HOLD_MS);
      if (version === undefined) throw new StoreError('unavailable', 'another process has taken this up');
    };
    let isOver = false;
    try {
      await workOfTheDay({ ...retention, step }, onFault);
      isOver = true;
    } finally {
      // What was ended is taken up again by whoever comes first.
      if (version !== undefined && isOver) await hold(version, DAY_MS);
      else if (version !== undefined) await store.records.remove(DAILY.kind, DAILY.id, version);
    }
  };

  const beat = (): Promise<void> => {
    working = working.then(work).catch((error) => {
      if (!stopping.signal.aborted) onFault(error, 'audit-retention');
    });
    return working;
  };

  return {
    start() {
      clearInterval(timer);
      timer = setInterval(() => void beat(), BEAT_MS);
      timer.unref();
    },
    async stop() {
      clearInterval(timer);
      stopping.abort();
      await working;
    },
    beat,
  };
}

/** Rows that are damaged are told of, and no reason to try again before the next day. */
async function workOfTheDay(retention: Retention, onFault: DailyOptions['onFault']): Promise<void> {
  try {
    await sealOld(retention);
  } catch (error) {
    if (!(error instanceof StoreError) || error.kind !== 'damaged') throw error;
    onFault(error, 'audit-retention');
  }
  if ((await legalHold(retention.store)) === undefined) await purgeOld(retention);
}

// How far long work has come: a bar that is redrawn for a person, a line every few seconds for a log.
import type { Io } from './command.ts';

export interface Progress {
  /** `done` of the total; `note` is shown beside it. */
  update(done: number, note?: string): void;
  /** Takes the bar away, so that what is written next stands alone. */
  end(): void;
}

export interface ProgressOptions {
  label: string;
  /** undefined: not known; only the count is shown. */
  total: number | undefined;
  now?: () => number;
}

const redrawMs = 100;
const lineMs = 5_000;
const barWidth = 30;

export function createProgress(io: Pick<Io, 'err' | 'isTerminal'>, options: ProgressOptions): Progress {
  const { label, total, now = Date.now } = options;
  const every = io.isTerminal ? redrawMs : lineMs;
  let shownAt = io.isTerminal ? Number.NEGATIVE_INFINITY : now();
  let isDrawn = false;
  return {
    update(done, note = '') {
      if (now() - shownAt < every) return;
      shownAt = now();
      const text = [label, ...figures(done, total, io.isTerminal), note].filter((part) => part !== '').join(' ');
      io.err.write(io.isTerminal ? `\r\x1b[2K${text}` : `${text}\n`);
      isDrawn = io.isTerminal;
    },
    end() {
      if (isDrawn) io.err.write('\r\x1b[2K');
      isDrawn = false;
    },
  };
}

function figures(done: number, total: number | undefined, withBar: boolean): string[] {
  if (total === undefined || total === 0) return [String(done)];
  const share = Math.min(1, done / total);
  const percent = `${Math.floor(share * 100)} %`;
  const filled = Math.round(share * barWidth);
  return withBar ? [`[${'#'.repeat(filled)}${'.'.repeat(barWidth - filled)}]`, percent] : [percent];
}

/** Two columns, numbers to the right. */
export function countTable(counts: ReadonlyMap<string, number>): string {
  const rows = [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
  const nameWidth = Math.max(5, ...rows.map(([name]) => name.length));
  const total = rows.reduce((sum, [, count]) => sum + count, 0);
  return [...rows, ['total', total] as const]
    .map(([name, count]) => `${name.padEnd(nameWidth)} ${String(count).padStart(10)}\n`)
    .join('');
}

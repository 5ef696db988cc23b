// The result as one Markdown table.
import type { Figures } from './measure.ts';

/** A ratio and what it should be; `atLeast` or `atMost`. */
export interface Aim {
  atLeast?: number;
  atMost?: number;
}

/** One comparison on one store. */
export interface Compared {
  operation: string;
  against: string;
  figures?: Figures;
  /** Named numbers in the order shown: a ratio, or p50 and p95 ratios. */
  ratios: { value: number; aim?: Aim }[];
  /** A single number with its unit instead of figures: start, memory, disk. */
  value?: string;
  note?: string;
}

export interface StoreResult {
  store: string;
  rows: Compared[];
}

/** A row for each operation, four columns for each store. A ratio that misses its aim is bold. */
export function markdown(results: readonly StoreResult[]): string {
  const names = [...new Set(results.flatMap(({ rows }) => rows.map(keyOf)))];
  const head = [
    'operation',
    'against',
    ...results.flatMap(({ store }) => [`${store}: /s`, 'p50 ms', 'CPU ms', 'ratio']),
  ];
  const lines = names.map((name) => {
    const found = results.map(({ rows }) => rows.find((row) => keyOf(row) === name));
    const first = found.find((row) => row !== undefined);
    return [first?.operation ?? '', first?.against ?? '', ...found.flatMap(cells)];
  });
  return [head, head.map(() => '---'), ...lines].map((line) => `| ${line.join(' | ')} |`).join('\n');
}

const keyOf = ({ operation, against }: Compared): string => `${operation}\n${against}`;

function cells(row: Compared | undefined): string[] {
  if (row === undefined) return ['', '', '', ''];
  const { figures, ratios, value, note } = row;
  const shown = ratios.map(({ value: ratio, aim }) => (isMissed(ratio, aim) ? `**${digits(ratio)}**` : digits(ratio)));
  const last = [shown.join(' / '), note ?? ''].filter((text) => text !== '').join(' ');
  if (figures === undefined) return [value ?? '', '', '', last];
  return [Math.round(figures.perSecond).toLocaleString('en'), digits(figures.p50Ms), digits(figures.cpuMs), last];
}

export function isMissed(value: number, aim: Aim | undefined): boolean {
  return value < (aim?.atLeast ?? Number.NEGATIVE_INFINITY) || value > (aim?.atMost ?? Number.POSITIVE_INFINITY);
}

/** Two significant digits and a bit: 0.031, 0.54, 1.2, 13, 250. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return '';
  return value >= 10 ? String(Math.round(value)) : value >= 1 ? value.toFixed(1) : value.toFixed(value < 0.1 ? 3 : 2);
}

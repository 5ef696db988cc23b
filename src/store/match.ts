// Conditions decided on one row in memory: byte order of keys, and the conditions that need no other row.
import type { Condition, Key, OrdRange, Slice, Term, Within } from './store.ts';
import { NO_ORD } from './store.ts';

/** What a condition looks at in a row. */
export interface MatchedRow {
  type: string;
  id: string;
  lastUpdated: number;
  keys: readonly Key[];
  /** Needed where a condition asks for the clinical date. */
  ord?: number;
  /** Needed where a condition asks for terms. */
  terms?: readonly Term[];
}

/** Decides `refers` and `referred`, which need other rows; without it they throw. */
export type Joins = (condition: Extract<Condition, { kind: 'refers' | 'referred' }>, row: MatchedRow) => boolean;

/**
 * Order of keys by their UTF-8 bytes: <0, 0, >0. Where two UTF-16 units differ and one is a surrogate, the surrogate
 * belongs to a character above U+FFFF and sorts last; everywhere else units and bytes sort alike.
 */
export function compareKeys(a: Key, b: Key): number {
  const shared = Math.min(a.length, b.length);
  for (let at = 0; at < shared; at++) {
    const left = a.charCodeAt(at);
    const right = b.charCodeAt(at);
    if (left === right) continue;
    const leftHigh = left >= 0xd800 && left <= 0xdfff;
    const rightHigh = right >= 0xd800 && right <= 0xdfff;
    if (leftHigh !== rightHigh) return leftHigh ? 1 : -1;
    return left - right;
  }
  return a.length - b.length;
}

/** The keys that begin with one of the prefixes. */
export function keysStarting(keys: readonly Key[], prefixes: readonly Key[]): Key[] {
  return keys.filter((key) => prefixes.some((prefix) => key.startsWith(prefix)));
}

/** Whether a key lies in from ≤ key < to and fits `within`. */
export function inSpan(key: Key, span: { from: Key; to: Key; within?: Within }): boolean {
  if (compareKeys(key, span.from) < 0 || compareKeys(key, span.to) >= 0) return false;
  return span.within === undefined || fits(key, span.within);
}

function fits(key: Key, within: Within): boolean {
  if (within.kind === 'slices') return within.of.every((slice) => fitsSlice(key, slice));
  const tab = key.indexOf('\t', 5);
  const part = key.slice(5, tab < 0 ? undefined : tab);
  return within.kind === 'ends' ? part.endsWith(within.text) : part.includes(within.text);
}

function fitsSlice(key: Key, { at, length, atLeast, atMost }: Slice): boolean {
  const text = key.slice(at, at + length);
  return (
    (atLeast === undefined || compareKeys(text, atLeast) >= 0) &&
    (atMost === undefined || compareKeys(text, atMost) <= 0)
  );
}

function inRange(value: number, { from, to }: OrdRange): boolean {
  return (from === undefined || value >= from) && (to === undefined || value < to);
}

/** Whether the condition holds for the row; ranges of time are half-open like spans. */
export function matchesKeys(row: MatchedRow, condition: Condition, joins?: Joins): boolean {
  switch (condition.kind) {
    case 'all':
      return true;
    case 'none':
      return false;
    case 'key':
      return row.keys.includes(condition.key);
    case 'span':
      return row.keys.some((key) => inSpan(key, condition));
    case 'term':
      if (row.terms === undefined) throw new TypeError('the terms of this row are not at hand');
      return condition.prefix === true
        ? row.terms.some((term) => term.startsWith(condition.term))
        : row.terms.includes(condition.term);
    case 'ids':
      return condition.ids.includes(row.id);
    case 'ord':
      if (row.ord === undefined) throw new TypeError('the clinical date of this row is not at hand');
      return row.ord !== NO_ORD && inRange(row.ord, condition);
    case 'lastUpdated':
      return inRange(row.lastUpdated, condition);
    case 'and':
      return condition.of.every((part) => matchesKeys(row, part, joins));
    case 'or':
      return condition.of.some((part) => matchesKeys(row, part, joins));
    case 'not':
      return !matchesKeys(row, condition.of, joins);
    case 'refers':
    case 'referred':
      if (joins === undefined) throw new TypeError(`${condition.kind} needs other rows`);
      return joins(condition, row);
  }
}

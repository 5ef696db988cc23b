// Cursors: where a page ended, as an opaque string. A position is the sort values of the last row and the store's
// tie-break, so it means the same whichever way the next page is found. The core signs cursors; here only their shape
// is checked, and their values are only ever compared with.
import { prefixSpan } from './conditions.ts';
import { inSpan } from './match.ts';
import type { SortKey } from './store.ts';
import { StoreError } from './store.ts';

export type SortValue = number | string | null;

/** Stands for "no such key" where keys ascend: above every key, as null is below every key where they descend. */
export const NO_KEY_ASCENDING = '\u{10ffff}';

/** One value per sort key (a key, or what stands for none), then the tie-break: a number (row id) or a string. */
export interface Position {
  values: readonly SortValue[];
  tie: number | string;
}

const CURSOR_CHARS_MAX = 8192;

/** The opaque text of a list of plain values; `about` ties it to what it is a cursor of. */
export function writeCursor(about: string, values: readonly SortValue[]): string {
  return Buffer.from(JSON.stringify([fingerprint(about), ...values])).toString('base64url');
}

/** The values of a cursor written for the same `about`. Throws StoreError('cursor') for anything else. */
export function readCursor(about: string, text: string): SortValue[] {
  if (text.length > CURSOR_CHARS_MAX) throw badCursor();
  let values: unknown;
  try {
    values = JSON.parse(Buffer.from(text, 'base64url').toString());
  } catch (cause) {
    throw badCursor(cause);
  }
  if (!Array.isArray(values) || values.shift() !== fingerprint(about) || !values.every(isSortValue)) throw badCursor();
  return values;
}

/** The cursor of a search of `type` in this order. */
export function searchCursor(type: string, order: readonly SortKey[], position: Position): string {
  return writeCursor(aboutSearch(type, order), [...position.values, position.tie]);
}

/** The position in a cursor of the same type and order. Throws StoreError('cursor') for anything else. */
export function searchPosition(
  type: string,
  order: readonly SortKey[],
  text: string,
  tie: 'number' | 'string',
): Position {
  const values = readCursor(aboutSearch(type, order), text);
  const last = values.pop();
  if (values.length !== order.length || last === undefined || last === null || typeof last !== tie) throw badCursor();
  if (typeof last === 'number' && !Number.isSafeInteger(last)) throw badCursor();
  if (!order.every((sort, at) => isValueOf(sort, values[at]))) throw badCursor();
  return { values, tie: last };
}

export function badCursor(cause?: unknown): StoreError {
  return new StoreError('cursor', 'This paging link does not belong to this search', { cause });
}

function isSortValue(value: unknown): value is SortValue {
  return value === null || typeof value === 'string' || (typeof value === 'number' && Number.isFinite(value));
}

function isValueOf(sort: SortKey, value: SortValue | undefined): boolean {
  if (sort.by !== 'keys') return Number.isSafeInteger(value);
  if (value === (sort.descending ? null : NO_KEY_ASCENDING)) return true;
  return typeof value === 'string' && inSpan(value, prefixSpan(sort.prefix));
}

function aboutSearch(type: string, order: readonly SortKey[]): string {
  return `search ${type} ${JSON.stringify(order)}`;
}

/** FNV-1a, 32 bits: tells honest mistakes apart, no protection against forgery. */
function fingerprint(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}

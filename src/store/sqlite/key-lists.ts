// One of many keys, as the references to the people of an access rule or the codes of a value set make them: one function
// of SQL that looks into the text of a row's keys, at a quarter of the cost of taking it apart and comparing each key.
import type { Key } from '../store.ts';
import { StoreError } from '../store.ts';

/** What of a text of keys may be one of the list: `"` and the five characters of their lists. */
interface KeyList {
  /** Undefined where a key stands in JSON otherwise than it is, or the keys are of many lists: then all are taken apart. */
  marks: readonly string[] | undefined;
  keys: ReadonlySet<Key>;
}

/** Keys of all lists of one statement: some 100 bytes each. */
const KEYS_MAX = 1_000_000;
const MARKS_MAX = 8;
const LIST_CHARS = 5;

let lists: KeyList[] = [];
let kept = 0;

/** The place of the keys of a JSON array, by which `hasKeyOf` knows them until the statement ends. */
export function keyList(json: string): number {
  const keys = new Set(JSON.parse(json) as Key[]);
  kept += keys.size;
  if (kept > KEYS_MAX) throw new StoreError('too-costly', 'The search has more conditions than one query takes');
  const marks = new Set([...keys].map((key) => `"${key.slice(0, LIST_CHARS)}`));
  const isPlain = marks.size <= MARKS_MAX && !json.includes('\\');
  return lists.push({ keys, marks: isPlain ? [...marks] : undefined }) - 1;
}

/** After each statement. */
export function forgetLists(): void {
  if (lists.length === 0) return;
  lists = [];
  kept = 0;
}

/** Whether one of a row's keys, as its column has them, is in the list. */
export function hasKeyOf(text: string, id: number): boolean {
  const list = lists[id];
  if (list === undefined) throw new RangeError('no such list');
  if (list.marks === undefined) return (JSON.parse(text) as Key[]).some((key) => list.keys.has(key));
  return list.marks.some((mark) => hasKeyAt(text, mark, list.keys));
}

/**
 * A quote that begins a key comes after a bracket or a comma. One within a key comes after a backslash, and one at its end
 * before a comma or a bracket, as no key of the list begins. Up to the next quote it is the key, or the part of it before a
 * quote of its own, which ends in a backslash as none of the list does.
 */
function hasKeyAt(text: string, mark: string, keys: ReadonlySet<Key>): boolean {
  for (let at = text.indexOf(mark); at >= 0; at = text.indexOf(mark, at + 1)) {
    const before = text[at - 1];
    if (before !== ',' && before !== '[') continue;
    if (keys.has(text.slice(at + 1, text.indexOf('"', at + 1)))) return true;
  }
  return false;
}

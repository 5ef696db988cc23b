// Rules about the inside of a key as regular expressions, which the server checks beside the span that the key lies in.
// Comparisons are spelt out as patterns because an expression on the array ($map, $substrBytes) took 2.3 times as long
// as span and pattern together. The server reads patterns as UTF-8; `(?s)`: a dot is any character.
import type { Slice } from '../store.ts';

/** "`text` occurs between the fifth character and the first TAB"; undefined when it cannot. */
export function containsPattern(text: string): string | undefined {
  return CONTROL.test(text) ? undefined : `(?s)^.{5}[^\\t]*${escaped(text)}`;
}

/** The same, right before the TAB or the end of the key. */
export function endsPattern(text: string): string | undefined {
  return CONTROL.test(text) ? undefined : `(?s)^.{5}[^\\t]*${escaped(text)}(?:\\t|\\z)`;
}

/** A TAB is never in that part of a key, and a pattern ends at a NUL. */
const CONTROL = /[\0\t]/;

/** Each slice lies within its bounds: a look ahead from the beginning of the key for each bound. */
export function slicesPattern(slices: readonly Slice[]): string {
  return `(?s)^${slices.map((slice) => equal(slice) ?? atLeast(slice) + atMost(slice)).join('')}`;
}

/** Where both bounds are the same whole text. */
function equal({ at, length, atLeast, atMost }: Slice): string | undefined {
  return atLeast !== undefined && atLeast === atMost && atLeast.length === length
    ? `(?=.{${at}}${literal(atLeast)})`
    : undefined;
}

/** What has no character at the place is empty and comes before everything. */
function atMost({ at, length, atMost: bound }: Slice): string {
  if (bound === undefined) return '';
  const start = bound.slice(0, length);
  const rest = `(?:${smaller(start)}|${literal(start)}${bound.length < length ? '\\z' : ''})`;
  return at === 0 ? `(?=${rest})` : `(?=.{${at}}${rest}|.{0,${at - 1}}\\z)`;
}

function atLeast({ at, length, atLeast: bound }: Slice): string {
  if (bound === undefined || bound === '') return '';
  const start = bound.slice(0, length);
  // Cut to its length the stretch can be no more than equal to the start of a longer bound, which is less.
  return `(?=.{${at}}(?:${greater(start)}${bound.length <= length ? `|${literal(start)}` : ''}))`;
}

/**
 * What comes before `text` by a smaller character or by ending. Halves, not characters one within the other: the server
 * allows 250 parentheses within each other.
 */
function smaller(text: string): string {
  if (text.length > 1) return halves(text, smaller);
  const code = text.charCodeAt(0);
  return text === '' ? NEVER : code === 0 ? '\\z' : `(?:\\z|[\\x{0}-${hex(code - 1)}])`;
}

/** What comes after `text` by a greater character. */
function greater(text: string): string {
  if (text.length > 1) return halves(text, greater);
  return text === '' ? NEVER : `[^\\x{0}-${hex(text.charCodeAt(0))}]`;
}

function halves(text: string, differs: (half: string) => string): string {
  const middle = text.length >> 1;
  const first = text.slice(0, middle);
  return `(?:${differs(first)}|${literal(first)}${differs(text.slice(middle))})`;
}

const NEVER = '(?!)';

function literal(text: string): string {
  return text.replace(/[^A-Za-z0-9]/g, (char) => hex(char.charCodeAt(0)));
}

function hex(code: number): string {
  return `\\x{${code.toString(16)}}`;
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}

// SQL as fragments with bound values, and prepared statements by their text. Values never become SQL text, so the text
// of a query depends on its shape alone and few statements serve all searches.
import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite';
import type { Key } from '../store.ts';
import { StoreError } from '../store.ts';
import { forgetLists, hasKeyOf, keyList } from './key-lists.ts';
import { Snapshot } from './snapshot.ts';
import { hasKeyIn } from './spans.ts';

export interface Sql {
  readonly text: string;
  readonly values: readonly SQLInputValue[];
}

export type Columns = SQLOutputValue[];

/** Fixed text, from the program alone. */
export const raw = (text: string): Sql => ({ text, values: [] });

/** Text with `?` for each value and the fragments put in their places. */
export function sql(strings: TemplateStringsArray, ...parts: readonly (Sql | SQLInputValue)[]): Sql {
  let text = strings[0] ?? '';
  const values: SQLInputValue[] = [];
  for (const [at, part] of parts.entries()) {
    if (isFragment(part)) {
      text += part.text;
      for (const value of part.values) values.push(value);
    } else {
      text += '?';
      values.push(part);
    }
    text += strings[at + 1] ?? '';
  }
  return { text, values };
}

/**
 * Conditions joined by AND or OR, in a tree as flat as can be: written one after another they are one that is as deep as
 * they are many, and SQLite takes a depth of 1,000. https://sqlite.org/limits.html#max_expr_depth
 */
export function balanced(parts: readonly Sql[], operator: 'AND' | 'OR'): Sql {
  if (parts.length < BALANCED_FROM) return sql`(${joined(parts, ` ${operator} `)})`;
  const half = Math.ceil(parts.length / 2);
  return sql`(${balanced(parts.slice(0, half), operator)} ${raw(operator)} ${balanced(parts.slice(half), operator)})`;
}

const BALANCED_FROM = 16;

/**
 * LIMIT with a bound number. SQLite's planner looks at a number that is bound right there, and would plan the statement
 * anew for each binding, which is half the time of a short one.
 */
export const limited = (count: number): Sql => sql`LIMIT ${count} + 0`;

export function joined(parts: readonly Sql[], separator: string): Sql {
  return { text: parts.map((part) => part.text).join(separator), values: parts.flatMap((part) => part.values) };
}

function isFragment(part: Sql | SQLInputValue): part is Sql {
  return typeof part === 'object' && part !== null && 'text' in part;
}

/**
 * Keys as the column holds them and as a list of them is bound. Half a surrogate pair, as cutting a text may leave it, becomes U+FFFD, which is what
 * binding the same text in a search makes of it.
 */
export function keysText(keys: readonly Key[]): string {
  const text = JSON.stringify(keys);
  return text.includes('\\ud') ? JSON.stringify(keys.map((key) => key.toWellFormed())) : text;
}

/** SQLite's codes for what may be otherwise later: busy, locked, no memory, I/O, damage, full, cannot open, no database. */
const TRANSIENT: ReadonlySet<unknown> = new Set([5, 6, 7, 10, 11, 13, 14, 26]);

/** StoreError('unavailable') for what the file or the system did; a mistake of the program stays what it is. */
export function readable(error: unknown): unknown {
  const isTransient = error instanceof Error && 'errcode' in error && TRANSIENT.has(Number(error.errcode) & 0xff);
  return isTransient ? new StoreError('unavailable', `SQLite: ${error.message}`, { cause: error }) : error;
}

/** What SQLite says of a statement with more values, text or columns than it takes. */
const BEYOND_LIMITS = /^too many|too large|too big|too long|parser stack overflow/;

function tooManyConditions(cause?: unknown): StoreError {
  return new StoreError('too-costly', 'The search has more conditions than one query takes', { cause });
}

/** Characters of a statement: planning it takes some ms for each of these, and nothing interrupts that. */
const TEXT_MAX = 200_000;
const CHARS_PER_MS = 2_500;
const PLAIN_TEXT_MAX = 10_000;

const STATEMENTS_MAX = 500;

/** Calls of in_time() between two glances at the clock, which cost ten times as much. */
const CALLS_UNSEEN = 64;

class Late extends Error {}

/** A connection with its prepared statements; the oldest one is dropped when there are too many. */
export class Connection {
  readonly db: DatabaseSync;
  /** What the statements of a connection of the main thread share; others begin anew with each. */
  readonly snapshot: Snapshot | undefined;
  readonly #watch: DatabaseSync | undefined;
  readonly #statements = new Map<string, StatementSync>();
  #until = Number.POSITIVE_INFINITY;
  #calls = 0;

  /** `watch`: see Snapshot; it is closed with this one. */
  constructor(db: DatabaseSync, watch?: DatabaseSync) {
    this.db = db;
    this.#watch = watch;
    this.snapshot = watch === undefined ? undefined : new Snapshot(db, watch);
    db.function('in_time', () => this.#inTime());
    // Of a text that is bound, and of nothing else: SQLite asks for it once in a statement.
    db.function('key_list', { deterministic: true }, (keys) => keyList(String(keys)));
    db.function('has_key_of', { deterministic: true }, (keys, id) => Number(hasKeyOf(String(keys), Number(id))));
    db.function('in_spans', { deterministic: true }, (keys, id) => Number(hasKeyIn(String(keys), Number(id))));
  }

  /**
   * Does the work, and gives it up when `ms` have passed: then it is what `late` gives. What may look at many rows has
   * `in_time()` among its conditions, which is true until then and costs 50 ns.
   */
  within<T>(ms: number, work: () => T, late: () => T): T {
    this.#until = performance.now() + ms;
    try {
      return work();
    } catch (error) {
      if (!(error instanceof Late)) throw error;
      return late();
    } finally {
      this.#until = Number.POSITIVE_INFINITY;
    }
  }

  #inTime(): number {
    if (++this.#calls % CALLS_UNSEEN === 0 && performance.now() > this.#until) throw new Late();
    return 1;
  }

  /** All rows, each an array of its columns. */
  all(query: Sql): Columns[] {
    try {
      // Statements return arrays, which the type of `all` does not know.
      this.snapshot?.hold();
      return this.statement(query.text).all(...query.values) as unknown as Columns[];
    } catch (error) {
      throw readable(error);
    } finally {
      forgetLists();
    }
  }

  get(query: Sql): Columns | undefined {
    try {
      this.snapshot?.hold();
      return this.statement(query.text).get(...query.values) as unknown as Columns | undefined;
    } catch (error) {
      throw readable(error);
    } finally {
      forgetLists();
    }
  }

  /** The number in the only column of the only row. */
  number(query: Sql): number {
    return Number(this.get(query)?.[0] ?? 0);
  }

  /** The number of rows changed. */
  run(query: Sql): number {
    return Number(this.statement(query.text).run(...query.values).changes);
  }

  statement(text: string): StatementSync {
    let statement = this.#statements.get(text);
    if (statement === undefined) {
      statement = this.#prepared(text);
      statement.setReturnArrays(true);
      if (this.#statements.size >= STATEMENTS_MAX) this.#drop();
      this.#statements.set(text, statement);
    }
    return statement;
  }

  #prepared(text: string): StatementSync {
    if (text.length > TEXT_MAX) throw tooManyConditions();
    if (text.length > PLAIN_TEXT_MAX && text.length > (this.#until - performance.now()) * CHARS_PER_MS)
      throw new Late();
    try {
      return this.db.prepare(text);
    } catch (error) {
      throw error instanceof Error && BEYOND_LIMITS.test(error.message) ? tooManyConditions(error) : error;
    }
  }

  close(): void {
    this.snapshot?.renew();
    this.#statements.clear();
    this.#watch?.close();
    this.db.close();
  }

  #drop(): void {
    for (const text of this.#statements.keys()) {
      this.#statements.delete(text);
      return;
    }
  }
}

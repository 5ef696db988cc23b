// Terms in the file: each is one token of a full-text index, which is written as a log and merged in the background, so
// that thirty terms cost a commit a few pages where thirty keys cost thirty. https://sqlite.org/fts5.html
import { prefixSpan } from '../conditions.ts';
import type { Term } from '../store.ts';
import type { Connection, Sql } from './sql.ts';
import { sql } from './sql.ts';

/**
 * The index, of live resources alone: `rowid` is the resource's, and `tokens` is kept there. `term_entry` reads it in the
 * order of the tokens, entry by entry, where a query for a prefix would gather all rows before it gave the first.
 * Segments are merged four at a time (FTS5's own setting): without that, a commit in some thousand waits a second.
 */
export const TERM_TABLES = `
CREATE VIRTUAL TABLE term USING fts5(
  tokens, content = '', contentless_delete = 1, detail = none, tokenize = "ascii tokenchars '!#$%&()*+,-./:;<=>?@[\\]^_\`{|}~'"
);
CREATE VIRTUAL TABLE term_entry USING fts5vocab(term, 'instance');
`;

/**
 * Terms as a row keeps them and the index takes them: one token each, with a space before and after every one; no terms
 * are an empty text. Every character has a code of its own and no code begins another, so tokens are equal, or begin with
 * one another, just as their terms do; the tokenizer's folding finds nothing to fold.
 */
export function tokensOf(terms: readonly Term[]): string {
  let tokens = '';
  for (const term of terms) tokens += ` ${tokenOf(term)}`;
  return tokens === '' ? '' : `${tokens} `;
}

const CODED = /[^a-z0-9!#$%&()*+,\-./:;<=>?@[\\\]_`{|}]/g;

function tokenOf(term: Term): string {
  // A token that is empty is none: the term of no characters has one all the same.
  return `.${term.replace(CODED, codeOf)}`;
}

/** One UTF-16 unit: "^a" for "A", "^_" for a space, "^^", "^~", and "~" with four digits for all others. */
function codeOf(char: string): string {
  const code = char.charCodeAt(0);
  if (code >= 0x41 && code <= 0x5a) return `^${String.fromCharCode(code + 0x20)}`;
  if (char === ' ') return '^_';
  if (char === '^' || char === '~') return `^${char}`;
  return `~${code.toString(16).padStart(4, '0')}`;
}

/** Row ids of the resources with a term; a row with several terms of that beginning comes several times. */
export function entriesOf({ term, prefix }: { term: Term; prefix?: true }): Sql {
  const token = tokenOf(term);
  if (prefix !== true) return sql`SELECT doc AS rid FROM term_entry WHERE term = ${token}`;
  const { from, to } = prefixSpan(token);
  return sql`SELECT doc AS rid FROM term_entry WHERE term >= ${from} AND term < ${to}`;
}

/**
 * An SQL expression: the tokens in the column have the term. The index would have to be entered anew for each row, at
 * 15 to 500 µs: where its lists are short of four pages, it reads them from their start.
 */
export function hasTerm({ term, prefix }: { term: Term; prefix?: true }, column: Sql): Sql {
  return sql`instr(${column}, ${` ${tokenOf(term)}${prefix === true ? '' : ' '}`}) > 0`;
}

/** What becomes of a row's entries: `isIndexed` when it has some now; `tokens` are those that it gets, or empty. */
interface Change {
  isIndexed: boolean;
  tokens: string;
}

/**
 * Changes to the index that wait for the end of a transaction: each savepoint would make a segment of its own, and a
 * group of a hundred commits cost three times as much. What waits is found by no query.
 */
export class WaitingTerms {
  #changes = new Map<number, Change>();
  #undecided = new Map<number, Change>();

  /** The row had the tokens `before`, and has `tokens` now. */
  set(rid: number, before: string, tokens: string): void {
    if (before === tokens) return;
    const waiting = this.#undecided.get(rid) ?? this.#changes.get(rid);
    this.#undecided.set(rid, { isIndexed: waiting?.isIndexed ?? before !== '', tokens });
  }

  /** Everything set since the last decision is meant. */
  keep(): void {
    for (const [rid, change] of this.#undecided) this.#changes.set(rid, change);
    this.#undecided.clear();
  }

  /** Everything set since the last decision is forgotten. */
  drop(): void {
    this.#undecided.clear();
  }

  /** Writes what was kept; in the order of rows, which the index takes without a segment for each. */
  write(connection: Connection): void {
    if (this.#changes.size === 0) return;
    const changes = [...this.#changes].sort(([a], [b]) => a - b);
    this.#changes.clear();
    for (const [rid, { isIndexed, tokens }] of changes) {
      if (isIndexed) connection.statement('DELETE FROM term WHERE rowid = ?').run(rid);
      if (tokens !== '') connection.statement('INSERT INTO term (rowid, tokens) VALUES (?, ?)').run(rid, tokens);
    }
  }

  /** The transaction came to nothing. */
  clear(): void {
    this.#changes.clear();
    this.#undecided.clear();
  }
}

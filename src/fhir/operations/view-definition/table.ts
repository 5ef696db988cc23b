// A part of the table that a run puts together: its text, within the bounds of one answer.
import { limits } from '../../../base/limits.ts';
import { FhirError } from '../../../base/outcome.ts';
import type { Format } from './formats.ts';
import type { Row } from './rows.ts';

/** How much of a table there is. */
export interface Filled {
  rows: number;
  bytes: number;
}

export interface Table {
  /** Takes rows as long as there are fewer than asked for. Throws FhirError('too-costly') beyond what one answer holds. */
  add(rows: readonly Row[]): void;
  /** It has as many rows as were asked for. */
  isFull(): boolean;
  /** The text of what was added, and how much there is with what was before. */
  end(): { text: Uint8Array; filled: Filled };
}

/** Small enough to come and go, large enough to be few. */
const PIECE_CHARS = 64 * 1024;

/** `limit`: of rows, as asked for; `before`: what other parts hold already. */
export function createTable(format: Format, limit: number, before: Filled): Table {
  const pieces: Uint8Array[] = [];
  let text = '';
  let rowCount = before.rows;
  let bytes = before.bytes;

  const flush = (): void => {
    if (text === '') return;
    const piece = Buffer.from(text);
    bytes += piece.length;
    if (bytes > limits.viewBytesMax) throw tooMuch(`${limits.viewBytesMax / 1024 / 1024} MB`);
    pieces.push(piece);
    text = '';
  };

  return {
    add(rows) {
      for (const row of rows) {
        if (rowCount >= limit) return;
        if (rowCount >= limits.viewRowsMax) throw tooMuch(`${limits.viewRowsMax} rows`);
        text += format.row(row, rowCount === 0);
        rowCount++;
        if (text.length >= PIECE_CHARS) flush();
      }
    },
    isFull: () => rowCount >= limit,
    end() {
      flush();
      return { text: Buffer.concat(pieces), filled: { rows: rowCount, bytes } };
    },
  };
}

function tooMuch(bound: string): FhirError {
  return new FhirError(
    'too-costly',
    `The view has more than ${bound}, which is what one answer holds; narrow it with where, patient, group or _since, or take the first rows with _limit.`,
  );
}

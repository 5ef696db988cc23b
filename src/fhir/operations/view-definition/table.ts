// The table that a run puts together: text in pieces, within the bounds of one answer.
import { limits } from '../../../base/limits.ts';
import { FhirError } from '../../../base/outcome.ts';
import type { Format } from './formats.ts';
import type { Row } from './rows.ts';

export interface Table {
  /** Takes rows as long as there are fewer than asked for. Throws FhirError('too-costly') beyond what one answer holds. */
  add(rows: readonly Row[]): void;
  /** It has as many rows as were asked for. */
  isFull(): boolean;
  /** The pieces, to be sent one after another. */
  end(): readonly Uint8Array[];
}

/** Small enough to come and go, large enough to be few. */
const PIECE_CHARS = 64 * 1024;

/** `limit`: of rows, as asked for. */
export function createTable(format: Format, limit = Number.POSITIVE_INFINITY): Table {
  const pieces: Uint8Array[] = [];
  let text = format.head;
  let rowCount = 0;
  let bytes = 0;

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
      text += format.tail;
      flush();
      return pieces;
    },
  };
}

function tooMuch(bound: string): FhirError {
  return new FhirError(
    'too-costly',
    `The view has more than ${bound}, which is what one answer holds; narrow it with where, patient, group or _since, or take the first rows with _limit.`,
  );
}

// Rows as text: CSV (RFC 4180), one JSON object a line, or one JSON array of objects. A cell that begins with "=" goes out
// as it is: what a spreadsheet makes of it is not known here.
import { writtenText } from '../../../model/path.ts';
import { contentText } from './content.ts';
import type { Cell, Row } from './rows.ts';

export type FormatName = 'csv' | 'ndjson' | 'json';

/** How the rows of one view are written. */
export interface Format {
  mediaType: string;
  /** Before the first row. */
  head: string;
  /** A row; `isFirst`: no other was before it. */
  row(row: Row, isFirst: boolean): string;
  /** After the last row. */
  tail: string;
}

/** `names`: of the columns. `header`: with a first line of these, for CSV. */
export function formatRows(format: FormatName, names: readonly string[], header: boolean): Format {
  switch (format) {
    case 'csv':
      return {
        mediaType: `text/csv; charset=utf-8; header=${header ? 'present' : 'absent'}`,
        head: header ? `${names.join(',')}\r\n` : '',
        row: (row) => `${csvLine(row)}\r\n`,
        tail: '',
      };
    case 'ndjson':
      return { mediaType: 'application/x-ndjson', head: '', row: objectWriter(names, '\n'), tail: '' };
    case 'json': {
      const object = objectWriter(names, '');
      return {
        mediaType: 'application/json',
        head: '[',
        row: (row, isFirst) => `${isFirst ? '\n' : ',\n'}${object(row)}`,
        tail: '\n]\n',
      };
    }
  }
}

// ---- CSV ----

/** No value is nothing, an empty string is quoted; a line with nothing at all would be no record. */
function csvLine(row: Row): string {
  const line = row.map(csvField).join(',');
  return line === '' ? '""' : line;
}

function csvField(cell: Cell): string {
  if (cell === null) return '';
  if (typeof cell === 'number' || typeof cell === 'boolean') return String(cell);
  const text = typeof cell === 'string' ? cell : (writtenText(cell) ?? contentText(cell));
  return text === '' || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

// ---- JSON ----

function objectWriter(names: readonly string[], end: string): (row: Row) => string {
  const members = names.map((name, at) => `${at === 0 ? '{' : ','}${JSON.stringify(name)}:`);
  return (row) => {
    let text = '';
    members.forEach((member, at) => {
      text += member + cellText(row[at] ?? null);
    });
    return `${text}}${end}`;
  };
}

function cellText(cell: Cell): string {
  if (typeof cell === 'object' && cell !== null) return writtenText(cell) ?? contentText(cell);
  return JSON.stringify(cell);
}

// Reports from the audit record as text for people, or as CSV (RFC 4180).
import { type Access, accessesTo, disclosuresOf, withNames } from '../fhir/audit/report.ts';
import type { Store } from '../store/store.ts';

export interface ReportAsked {
  patient: string;
  from?: number;
  to?: number;
  /** Clients outside of the practice. */
  outside: readonly string[];
  isDisclosures: boolean;
  format: 'text' | 'csv';
}

/** Accesses whose names are looked up at once. */
const AT_ONCE = 500;

export async function* reportLines(store: Store, asked: ReportAsked): AsyncGenerator<string> {
  const { isDisclosures, format } = asked;
  const columns = isDisclosures ? disclosureColumns : accessColumns;
  yield lineOf(Object.keys(columns), format);
  let some: Access[] = [];
  for await (const access of isDisclosures ? await disclosuresOf(store.audit, asked) : accessesTo(store.audit, asked)) {
    some.push(access);
    if (some.length < AT_ONCE) continue;
    yield* lines(some, columns, store, format);
    some = [];
  }
  yield* lines(some, columns, store, format);
}

type Columns = Readonly<Record<string, (access: Access) => string>>;

const time = (ms: number): string => new Date(ms).toISOString();
const who = ({ agent, name }: Access): string => (name === undefined ? agent : `${name} (${agent})`);
const purpose = (access: Access): string =>
  access.isEmergency ? `${access.purpose ?? ''} emergency`.trim() : (access.purpose ?? '');

const accessColumns: Columns = {
  time: ({ first }) => time(first),
  who,
  client: ({ client = '' }) => client,
  purpose,
  what: ({ what }) => what,
  outcome: ({ outcome }) => outcome,
};

const disclosureColumns: Columns = {
  first: ({ first }) => time(first),
  recipient: who,
  client: ({ client = '' }) => client,
  what: ({ what }) => what,
  purpose,
  times: ({ count }) => String(count),
  last: ({ last }) => time(last),
};

async function* lines(
  accesses: readonly Access[],
  columns: Columns,
  store: Store,
  format: ReportAsked['format'],
): AsyncGenerator<string> {
  for (const access of await withNames(accesses, store)) {
    const cells = Object.values(columns).map((cell) => cell(access));
    yield lineOf(cells, format);
  }
}

const lineOf = (cells: readonly string[], format: ReportAsked['format']): string =>
  format === 'csv' ? cells.map(csvCell).join(',') : cells.map((cell) => (cell === '' ? '-' : cell)).join('  ');

/** A spreadsheet takes what begins like a formula for one. */
function csvCell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

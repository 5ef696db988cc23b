// Reports from the audit record as text for people, or as CSV (RFC 4180). "Sort entries according to each of the data"
// (45 CFR 170.315(d)(3)): every column may be sorted by.
import { limits } from '../base/limits.ts';
import { purposeText } from '../fhir/audit/disclosure.ts';
import { type Known, peopleBehind } from '../fhir/audit/people.ts';
import { type Access, accessesTo, disclosuresOf, type ReportOptions, tooMany } from '../fhir/audit/report.ts';
import type { Store } from '../store/store.ts';

export interface ReportAsked extends ReportOptions {
  isDisclosures: boolean;
  format: 'text' | 'csv';
  /** Name of a column, with `-` in front for the highest first; absent: by time. */
  sort?: string;
  /** Name of a client, as it was registered. */
  clientName(id: string): Promise<string | undefined>;
  /** Rows that may be sorted or collapsed. */
  rowsMax?: number;
}

/** Accesses whose names are looked up at once. */
const AT_ONCE = 500;

/** Throws FhirError('too-costly') where more rows would have to be held to be sorted than memory is for. */
export async function* reportLines(store: Store, asked: ReportAsked): AsyncGenerator<string> {
  const { isDisclosures, format } = asked;
  const columns = isDisclosures ? disclosureColumns : accessColumns;
  yield lineOf(Object.keys(columns), format);
  const all = isDisclosures ? await disclosuresOf(store.audit, asked) : accessesTo(store.audit, asked);
  const shown = shownOf(all, store, asked);
  for await (const one of asked.sort === undefined ? shown : await sorted(shown, asked.sort, columns, asked))
    yield lineOf(
      Object.values(columns).map((cell) => cell(one)),
      format,
    );
}

/** The columns of a report, which are what it can be sorted by. */
export const columnsOf = (isDisclosures: boolean): readonly string[] =>
  Object.keys(isDisclosures ? disclosureColumns : accessColumns);

/** An access with what is known of who is behind it. */
interface Shown extends Access, Known {
  clientName?: string;
}

type Columns = Readonly<Record<string, (access: Shown) => string>>;

const time = (ms: number): string => new Date(ms).toISOString();
const who = ({ agent, name }: Shown): string => (name === undefined ? agent : `${name} (${agent})`);
const client = ({ client = '', clientName }: Shown): string =>
  clientName === undefined || clientName === client ? client : `${clientName} (${client})`;
const purpose = ({ purpose = '', isEmergency }: Shown): string =>
  isEmergency ? `${purpose} emergency`.trim() : purpose;

const accessColumns: Columns = {
  when: ({ first }) => time(first),
  patient: ({ patient = '' }) => patient,
  who,
  client,
  from: ({ network = '' }) => network,
  purpose,
  what: ({ what }) => what,
  outcome: ({ outcome }) => outcome,
};

/** What 164.528(b)(2) and (3) ask for. */
const disclosureColumns: Columns = {
  first: ({ first }) => time(first),
  patient: ({ patient = '' }) => patient,
  recipient: who,
  address: ({ address = '' }) => address,
  client,
  what: disclosed,
  purpose: ({ purpose = '' }) => (purpose === '' ? '' : `${purposeText(purpose)} (${purpose})`),
  times: ({ count }) => String(count),
  last: ({ last }) => time(last),
};

/** Resources by type; how many of each, where none of them were other patients'. */
function disclosed({ types, isAlone }: Shown): string {
  const parts = Object.entries(types).map(([type, count]) => (isAlone ? `${count} ${type}` : type));
  return `${parts.join(', ')}${isAlone ? '' : ', together with other patients'}`;
}

async function* shownOf(
  accesses: AsyncIterable<Access> | Iterable<Access>,
  store: Store,
  asked: ReportAsked,
): AsyncGenerator<Shown> {
  let some: Access[] = [];
  for await (const access of accesses) {
    if (some.push(access) < AT_ONCE) continue;
    yield* await withNames(some, store, asked);
    some = [];
  }
  yield* await withNames(some, store, asked);
}

/** A client that works by itself stands for the organization on whose behalf it does. */
async function withNames(accesses: readonly Access[], store: Store, { clientName }: ReportAsked): Promise<Shown[]> {
  const people = await peopleBehind(
    accesses.flatMap(({ agent, behalf = agent }) => [agent, behalf]),
    store,
  );
  const clients = new Map<string, string | undefined>();
  for (const { client } of accesses)
    if (client !== undefined && !clients.has(client)) clients.set(client, await clientName(client));
  return accesses.map((access): Shown => {
    const { agent, client = '', behalf = '' } = access;
    const known = people.get(agent) ?? people.get(behalf);
    const name = clients.get(client);
    const place = people.get(known?.organization ?? '');
    const address = known?.address ?? place?.address;
    return {
      ...access,
      ...known,
      ...(address === undefined ? {} : { address }),
      ...(name === undefined ? {} : { clientName: name }),
    };
  });
}

async function sorted(
  all: AsyncIterable<Shown>,
  sort: string,
  columns: Columns,
  { rowsMax = limits.auditReportRowsMax }: ReportAsked,
): Promise<Shown[]> {
  const rows: [cell: string, one: Shown][] = [];
  const cell = columns[sort.replace(/^-/, '')] ?? (() => '');
  for await (const one of all) {
    if (rows.push([cell(one), one]) > rowsMax) throw tooMany(rowsMax);
  }
  const { compare } = new Intl.Collator('en', { numeric: true });
  const sign = sort.startsWith('-') ? -1 : 1;
  // Those that are alike stay in the order of time.
  return rows.sort(([a], [b]) => sign * compare(a, b)).map(([, one]) => one);
}

const lineOf = (cells: readonly string[], format: ReportAsked['format']): string =>
  format === 'csv' ? cells.map(csvCell).join(',') : cells.map((cell) => (cell === '' ? '-' : cell)).join('  ');

/** A spreadsheet takes what begins like a formula for one. */
function csvCell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

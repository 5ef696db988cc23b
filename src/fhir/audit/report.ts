// Reports from the audit record: who saw a patient's data, and the accounting of disclosures (45 CFR 164.528).
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import type { AuditRow, AuditSearch, Store } from '../../store/store.ts';
import { isDisclosure, type Outside } from './disclosure.ts';
import type { AuditBody } from './entry.ts';

/** One access to a patient's data, or several of the same kind. */
export interface Access {
  /** Milliseconds since the epoch; of the first and of the last one. */
  first: number;
  last: number;
  count: number;
  /** Id; absent where nobody's data was touched. */
  patient?: string;
  agent: string;
  /** Roles of the person. */
  roles: readonly string[];
  client?: string;
  /** On whose behalf a client without a person works, as a reference. */
  behalf?: string;
  /** Network address of the client. */
  network?: string;
  purpose?: string;
  isEmergency: boolean;
  /** Interaction and what it was about, without criteria: `read Observation/1`. */
  what: string;
  /** Type that the request names. */
  asked?: string;
  isSearch: boolean;
  /** Resources that were shown or written, by type. */
  types: Readonly<Record<string, number>>;
  /** All of those are this patient's: other patients' were not among them. */
  isAlone: boolean;
  isWrite: boolean;
  isDisclosure: boolean;
  outcome: 'success' | 'denied' | 'failed';
}

export interface ReportOptions extends Outside {
  /** Id; absent: of all patients. */
  patient?: string;
  /** from ≤ at < to, ms since the epoch. */
  from?: number;
  to?: number;
}

/** Every access, oldest first; of a line without `patient`, one for each patient it names. */
export async function* accessesTo(audit: Store['audit'], options: ReportOptions): AsyncGenerator<Access> {
  for await (const row of rowsOf(audit, options)) {
    const body = JSON.parse(row.body) as AuditBody;
    const all = row.patients.length === 0 ? [undefined] : row.patients;
    for (const patient of options.patient === undefined ? all : [options.patient])
      yield accessOf(row, body, patient, options);
  }
}

/**
 * "(b)(3): multiple disclosures to the same person or entity for a single purpose: the first in full, the frequency, and
 * the date of the last." What was disclosed is added up by type.
 * Throws FhirError('too-costly') beyond limits.auditReportRowsMax of them.
 */
export async function disclosuresOf(audit: Store['audit'], options: ReportOptions): Promise<Access[]> {
  const found = new Map<string, Access>();
  for await (const access of accessesTo(audit, options)) {
    if (!access.isDisclosure) continue;
    const { patient, agent, client, purpose, types } = access;
    const key = JSON.stringify([patient, agent, client, purpose, Object.keys(types).sort()]);
    const known = found.get(key);
    found.set(key, known === undefined ? access : together(known, access));
    if (found.size > limits.auditReportRowsMax) throw tooMany(limits.auditReportRowsMax);
  }
  return [...found.values()];
}

/** Several accesses as one: the first in full, how many, and the last. */
export function together(first: Access, next: Access): Access {
  const types = { ...first.types };
  for (const [type, count] of Object.entries(next.types)) types[type] = (types[type] ?? 0) + count;
  const isAlone = first.isAlone && next.isAlone;
  return { ...first, types, isAlone, count: first.count + next.count, last: next.last };
}

export function tooMany(most: number): FhirError {
  return new FhirError(
    'too-costly',
    `The record has more than ${most} rows for this report; ask for a shorter period.`,
  );
}

async function* rowsOf(audit: Store['audit'], { patient, from, to }: ReportOptions): AsyncGenerator<AuditRow> {
  const search: AuditSearch = {
    ...(patient === undefined ? {} : { patient }),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    descending: false,
    limit: 1_000,
  };
  let after: string | undefined;
  do {
    const page = await audit.rows({ ...search, ...(after === undefined ? {} : { after }) });
    yield* page.rows;
    after = page.next;
  } while (after !== undefined);
}

function accessOf(row: AuditRow, body: AuditBody, patient: string | undefined, outside: Outside): Access {
  const { at, agent, patients } = row;
  const { c, w, a, p, b, t, i, o, n, s, d, written } = body;
  const about = i !== undefined ? `${t}/${i}` : (written?.join(' ') ?? t ?? '');
  return {
    first: at,
    last: at,
    count: 1,
    ...(patient === undefined ? {} : { patient }),
    agent,
    roles: o ?? [],
    ...(c === undefined ? {} : { client: c }),
    ...(w === undefined ? {} : { behalf: w }),
    ...(a === undefined ? {} : { network: a }),
    ...(p === undefined ? {} : { purpose: p }),
    isEmergency: b === 1,
    what: `${body.k} ${about}`.trim(),
    ...(t === undefined ? {} : { asked: t }),
    isSearch: body.k.startsWith('search-'),
    types: n ?? {},
    isAlone: patients.length <= 1,
    isWrite: written !== undefined,
    isDisclosure: patient !== undefined && isDisclosure(row, body, patient, outside),
    outcome: d === 1 ? 'denied' : s >= 400 ? 'failed' : 'success',
  };
}

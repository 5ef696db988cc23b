// Reports from the audit record: who saw a patient's data, and the accounting of disclosures (45 CFR 164.528).
import type { AuditRow, AuditSearch, Store } from '../../store/store.ts';
import { everything } from '../access/callers.ts';
import type { AuditBody } from './entry.ts';

/** One access to a patient's data, or several of the same kind. */
export interface Access {
  /** Milliseconds since the epoch; of the first and of the last one. */
  first: number;
  last: number;
  count: number;
  agent: string;
  /** Of the agent, as far as its resource tells. */
  name?: string;
  client?: string;
  purpose?: string;
  isEmergency: boolean;
  /** Interaction and what it was about, without criteria: `read Observation/1`. */
  what: string;
  outcome: 'success' | 'denied' | 'failed';
}

export interface ReportOptions {
  patient: string;
  /** from ≤ at < to, ms since the epoch. */
  from?: number;
  to?: number;
}

/** Every access, oldest first. */
export async function* accessesTo(audit: Store['audit'], options: ReportOptions): AsyncGenerator<Access> {
  for await (const row of rowsOf(audit, options)) yield accessOf(row, JSON.parse(row.body) as AuditBody);
}

/**
 * "(b)(3): multiple disclosures to the same person for a single purpose: the first in full, the frequency, and the date of
 * the last." Disclosures are what was shown for another purpose than treatment, payment and health care operations, or
 * to one of the clients that are outside of the practice; not what patients were shown of themselves.
 */
export async function disclosuresOf(
  audit: Store['audit'],
  options: ReportOptions & { outside: readonly string[] },
): Promise<Access[]> {
  const found = new Map<string, Access>();
  for await (const row of rowsOf(audit, options)) {
    const body = JSON.parse(row.body) as AuditBody;
    if (!isDisclosure(row, body, options)) continue;
    const access = { ...accessOf(row, body), what: kindOfAccess(body) };
    const key = JSON.stringify([access.agent, access.client, access.purpose, access.what]);
    const known = found.get(key);
    if (known === undefined) found.set(key, access);
    else found.set(key, { ...known, count: known.count + 1, last: access.last });
  }
  return [...found.values()];
}

async function* rowsOf(audit: Store['audit'], { patient, from, to }: ReportOptions): AsyncGenerator<AuditRow> {
  const search: AuditSearch = {
    patient,
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

function accessOf({ at, agent }: AuditRow, body: AuditBody): Access {
  const { c, p, b, t, i, s, d, written } = body;
  const about = i !== undefined ? `${t}/${i}` : (written?.join(' ') ?? t ?? '');
  return {
    first: at,
    last: at,
    count: 1,
    agent,
    ...(c === undefined ? {} : { client: c }),
    ...(p === undefined ? {} : { purpose: p }),
    isEmergency: b === 1,
    what: `${body.k} ${about}`.trim(),
    outcome: d === 1 ? 'denied' : s >= 400 ? 'failed' : 'success',
  };
}

const kindOfAccess = ({ k, t, n }: AuditBody): string => `${k} ${t ?? Object.keys(n ?? {}).join(' ')}`.trim();

/** Kinds that write, and show nobody anything new. */
const WRITES: ReadonlySet<string> = new Set([
  ...['create', 'update', 'conditional-update', 'patch', 'conditional-patch', 'delete', 'conditional-delete'],
  ...['external', 'report', 'login', 'logout', 'token', 'consent', 'user', 'role'],
]);

function isDisclosure(
  { agent }: AuditRow,
  { k, s, d, y, c, p }: AuditBody,
  { patient, outside }: ReportOptions & { outside: readonly string[] },
): boolean {
  if (s >= 400 || d === 1 || y === 1 || WRITES.has(k) || agent === `Patient/${patient}`) return false;
  return (c !== undefined && outside.includes(c)) || (p !== undefined && !WITHIN.has(p));
}

/** Codes of v3-PurposeOfUse for treatment, payment and operations, and for the patient's own wish. */
const WITHIN: ReadonlySet<string> = new Set([
  ...['TREAT', 'ETREAT', 'BTG', 'ERTREAT', 'CAREMGT', 'COC'],
  ...['HPAYMT', 'CLMATTCH', 'COVAUTH', 'COVERAGE', 'ELIGDTRM', 'ELIGVER', 'ENROLLM', 'REMITADV'],
  ...['HOPERAT', 'HACCRED', 'HCOMPL', 'HDM', 'HOUTCOMS', 'HPRGRP', 'HQUALIMP', 'HSYSADMIN', 'LABELING', 'MEMADMIN'],
  ...['METAMGT', 'PATADMIN', 'PATSFTY', 'PERFMSR', 'RECORDMGT', 'SYSDEV', 'TRAIN', 'PATRQT', 'PWATRNY', 'FAMRQT'],
]);

/** The same accesses with the names of people, as their resources have them now. */
export async function withNames(accesses: readonly Access[], store: Pick<Store, 'readMany'>): Promise<Access[]> {
  const agents = [...new Set(accesses.map(({ agent }) => agent))].filter((agent) => /^[A-Z]\w+\/[^/]+$/.test(agent));
  const refs = agents.map((agent) => ({ type: agent.split('/')[0] ?? '', id: agent.split('/')[1] ?? '' }));
  const rows = await store.readMany(refs, everything);
  const names = new Map<string, string>();
  for (const row of rows) {
    const name = row?.body && nameIn(JSON.parse(Buffer.from(row.body).toString('utf8')));
    if (row !== undefined && typeof name === 'string' && name !== '') names.set(`${row.type}/${row.id}`, name);
  }
  return accesses.map((access) => {
    const name = names.get(access.agent);
    return name === undefined ? access : { ...access, name };
  });
}

interface HumanName {
  text?: string;
  given?: readonly string[];
  family?: string;
}

function nameIn({ name }: { name?: string | readonly HumanName[] }): string | undefined {
  if (typeof name === 'string' || name === undefined) return name;
  const [first] = name;
  return first?.text ?? [...(first?.given ?? []), first?.family ?? ''].join(' ').trim();
}

// Which lines of the record are disclosures that a patient may ask an account of: what was shown for another purpose than
// treatment, payment and health care operations, or to somebody outside. 45 CFR 164.528(a)(1)
import type { AuditRow } from '../../store/store.ts';
import type { AuditBody } from './entry.ts';

/** Clients outside of the covered entity: whatever they are shown was disclosed. */
export interface Outside {
  outsideClients: readonly string[];
}

/** Whether the line tells of a disclosure of this patient's data. What patients or their representatives saw is none. */
export function isDisclosure(
  { agent, patients }: Pick<AuditRow, 'agent' | 'patients'>,
  body: AuditBody,
  patient: string,
  { outsideClients }: Outside,
): boolean {
  const { s, d, y, c, p, o, n, written } = body;
  if (s >= 400 || d === 1 || y === 1 || !patients.includes(patient)) return false;
  // What was only asked, written, or told of the server itself showed nobody anything.
  if (n === undefined || written !== undefined) return false;
  if (agent === `Patient/${patient}` || o?.includes('proxy') === true) return false;
  return (c !== undefined && outsideClients.includes(c)) || (p !== undefined && !WITHIN.has(p));
}

/** Codes of v3-PurposeOfUse for treatment, payment and operations, and for the patient's own wish. */
const WITHIN: ReadonlySet<string> = new Set([
  ...['TREAT', 'ETREAT', 'BTG', 'ERTREAT', 'CAREMGT', 'COC'],
  ...['HPAYMT', 'CLMATTCH', 'COVAUTH', 'COVERAGE', 'ELIGDTRM', 'ELIGVER', 'ENROLLM', 'REMITADV'],
  ...['HOPERAT', 'HACCRED', 'HCOMPL', 'HDM', 'HOUTCOMS', 'HPRGRP', 'HQUALIMP', 'HSYSADMIN', 'LABELING', 'MEMADMIN'],
  ...['METAMGT', 'PATADMIN', 'PATSFTY', 'PERFMSR', 'RECORDMGT', 'SYSDEV', 'TRAIN', 'PATRQT', 'PWATRNY', 'FAMRQT'],
]);

/** Code of v3-ActReason → the purpose in words, for the codes that tokens come with. Others stand for themselves. */
const PURPOSES: Readonly<Record<string, string>> = {
  TREAT: 'treatment',
  ETREAT: 'emergency treatment',
  BTG: 'emergency access',
  ERTREAT: 'emergency treatment',
  CAREMGT: 'care management',
  COC: 'coordination of care',
  HPAYMT: 'healthcare payment',
  HOPERAT: 'healthcare operations',
  HRESCH: 'healthcare research',
  CLINTRCH: 'clinical trial research',
  HMARKT: 'healthcare marketing',
  HLEGAL: 'legal',
  PUBHLTH: 'public health',
  DISASTER: 'disaster',
  THREAT: 'threat',
  DONAT: 'donation',
  FRAUD: 'fraud',
  GOV: 'government',
  HSYSADMIN: 'health system administration',
  PATADMIN: 'patient administration',
  PATSFTY: 'patient safety',
  TRAIN: 'training',
  PATRQT: 'patient requested',
  PWATRNY: 'power of attorney',
  FAMRQT: 'family requested',
  SUPNWK: 'support network',
};

export const purposeText = (code: string): string =>
  Object.hasOwn(PURPOSES, code) ? (PURPOSES[code] as string) : code;

// Who saw or changed a patient's data, as the patient is told: one entry for each day, person, app, purpose and kind of
// access. It tells which kinds of data, and nothing of any other patient.
import { limits } from '../../base/limits.ts';
import type { AuditRecord } from '../../store/store.ts';
import { type Access, accessesTo, type ReportOptions, together, tooMany } from './report.ts';

/** Several accesses of a day, or one. */
export interface DayOfAccess {
  /** YYYY-MM-DD. */
  day: string;
  access: Access;
  /** Resource types. */
  data: readonly string[];
}

export interface PatientReportOptions extends ReportOptions {
  patient: string;
  /** IANA name of the zone that days are told by. */
  timeZone: string;
  linesMax?: number;
  entriesMax?: number;
}

/** The latest first. Throws FhirError('too-costly') for a period of more lines or entries than one answer is made of. */
export async function daysOfAccess(audit: AuditRecord, options: PatientReportOptions): Promise<DayOfAccess[]> {
  const { timeZone, linesMax = limits.accessReportLinesMax, entriesMax = limits.accessReportEntriesMax } = options;
  const dayOf = new Intl.DateTimeFormat('en-CA', { timeZone, year: 'numeric', month: '2-digit', day: '2-digit' });
  const found = new Map<string, DayOfAccess>();
  let lines = 0;
  for await (const access of accessesTo(audit, options)) {
    if (++lines > linesMax) throw tooMany(linesMax);
    const data = dataOf(access);
    if (access.outcome !== 'success' || data.length === 0) continue;
    const day = dayOf.format(access.first);
    const { agent, client, purpose, isEmergency, isWrite, isDisclosure } = access;
    const key = JSON.stringify([day, agent, client, purpose, isEmergency, isWrite, isDisclosure]);
    const known = found.get(key);
    if (known === undefined) found.set(key, { day, access, data });
    else {
      const all = new Set([...known.data, ...data]);
      found.set(key, { day, access: together(known.access, access), data: [...all] });
    }
    if (found.size > entriesMax) throw tooMany(entriesMax);
  }
  return [...found.values()].reverse();
}

/**
 * What was looked at. Where other patients' data was shown along with this one's, some of the types may be theirs alone:
 * then only what was asked for is told.
 */
function dataOf({ types, isAlone, asked, isSearch }: Access): string[] {
  const shown = Object.keys(types);
  if (isAlone && shown.length > 0) return shown.sort();
  // Who asked about somebody learned something, also where nothing was found.
  return asked !== undefined && (isSearch || shown.length > 0) ? [asked] : [];
}

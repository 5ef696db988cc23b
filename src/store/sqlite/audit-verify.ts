// Verification of the audit record in the file, in steps, so that no transaction stands open for long: is the chain
// unbroken, and are each patient's rows those that name the patient?
import type { Link } from '../audit-chain.ts';
import { finish, follow, linkAt } from '../audit-chain.ts';
import { auditRowOf } from './audit.ts';
import { lastSegments } from './audit-segments.ts';
import type { Columns, Connection } from './sql.ts';
import { limited, raw, sql } from './sql.ts';

/** Rows of a step: some 50 ms. */
const STEP = 2_000;

/** A row whose list is none is found by its hash. */
const LIST = raw("CASE WHEN json_valid(a.patients) THEN a.patients ELSE '[]' END");

/** Where a verification stands; `chain` comes first, then `patients`. */
export type AuditStep = { part: 'chain'; link: Link } | { part: 'patients'; after: Columns };

export interface AuditStepResult {
  problems: readonly string[];
  /** Absent when all is done. */
  next?: AuditStep;
}

/** Goes on from `step`; the first one begins where the sealed rows end. */
export function auditStep(connection: Connection, step: AuditStep): AuditStepResult {
  return step.part === 'patients' ? patientStep(connection, step.after) : chainStep(connection, step.link);
}

function chainStep(connection: Connection, before: Link): AuditStepResult {
  const [sealed] = lastSegments(connection);
  // What was sealed meanwhile was checked by that.
  const link = sealed === undefined || sealed.to <= before.seq ? before : linkAt({ ...sealed, seq: sealed.to });
  const rows = connection.all(
    sql`SELECT seq, at, agent, patients, body, hash FROM audit WHERE seq > ${link.seq} ORDER BY seq ${limited(STEP)}`,
  );
  const last = rows.at(-1);
  if (last === undefined) {
    return { problems: finish(link).map(({ message }) => message), next: { part: 'patients', after: ['', 0, 0] } };
  }
  const unlisted = connection.all(sql`SELECT DISTINCT a.seq FROM audit a CROSS JOIN json_each(${LIST}) j
    WHERE a.seq > ${link.seq} AND a.seq <= ${last[0] ?? 0}
    AND NOT EXISTS (SELECT 1 FROM audit_patient p WHERE p.patient = j.value AND p.at = a.at AND p.seq = a.seq)`);
  const problems = unlisted.map(([seq]) => `audit row ${seq}: not among the rows of one of its patients`);
  for (const columns of rows) {
    for (const { message } of follow(link, auditRowOf(link.chain, columns)) ?? []) problems.push(message);
  }
  return { problems, next: { part: 'chain', link } };
}

/** Entries of patients that no row has. */
function patientStep(connection: Connection, [patient, at, seq]: Columns): AuditStepResult {
  const page = connection.all(sql`SELECT p.patient, p.at, p.seq,
      coalesce(a.at = p.at AND EXISTS (SELECT 1 FROM json_each(${LIST}) j WHERE j.value = p.patient), 0)
    FROM (SELECT patient, at, seq FROM audit_patient WHERE (patient, at, seq) > (${patient ?? ''}, ${at ?? 0}, ${seq ?? 0})
      ORDER BY patient, at, seq ${limited(STEP)}) p LEFT JOIN audit a ON a.seq = p.seq`);
  const problems = page.flatMap(([, , row, isRight]) =>
    isRight === 1 ? [] : [`audit row ${row}: among the rows of a patient that it does not name`],
  );
  const last = page.at(-1);
  return page.length < STEP || last === undefined
    ? { problems }
    : { problems, next: { part: 'patients', after: last } };
}

// Wide reads with a budget: what the reader thread does, and the main thread where it is known to be little.

import { typeKey } from '../store.ts';
import { auditRows } from './audit.ts';
import { auditStep } from './audit-verify.ts';
import type { Found, Stretch } from './find.ts';
import { countMatches, countSource, fewMatches, sortedPage, walkStep } from './find.ts';
import { deadline, historyPage, typesPresent } from './history.ts';
import type { ReadJob, ReadResults } from './jobs.ts';
import type { Connection } from './sql.ts';
import { sql } from './sql.ts';
import { termProblems } from './verify.ts';

/** Candidates between two glances at the clock: at most some 0.2 s with costly conditions. */
const STEP = 20_000;

/** Throws StoreError('too-costly') when the budget does not suffice. */
export function runRead(connection: Connection, job: ReadJob): ReadResults[ReadJob['kind']] {
  switch (job.kind) {
    case 'walk':
      return walkOn(connection, job);
    case 'sort':
      return sortedOn(connection, job);
    case 'count':
      return countMatches(connection, job.plan, job.cap, deadline(job.budgetMs));
    case 'history':
      return historyPage(connection, job.query, deadline(job.budgetMs));
    case 'audit':
      return auditRows(connection, job.search);
    case 'audit-step':
      return auditStep(connection, job.step);
    case 'size':
      return countSource(connection, job.source, job.type, job.cap);
    case 'few':
      return { matches: fewMatches(connection, job.plan, job.options) };
    case 'terms':
      return termProblems(connection);
    case 'stats':
      return typesPresent(connection).map((type) => [type, liveOf(connection, type)] as const);
  }
}

function liveOf(connection: Connection, type: string): number {
  return connection.number(sql`SELECT count(*) FROM idx WHERE k = ${typeKey(type)}`);
}

function sortedOn(connection: Connection, job: Extract<ReadJob, { kind: 'sort' }>): Stretch {
  return sortedPage(connection, job.plan, { ...job, late: deadline(job.budgetMs) });
}

function walkOn(connection: Connection, job: Extract<ReadJob, { kind: 'walk' }>): Stretch {
  const late = deadline(job.budgetMs);
  const rows: Found[] = [];
  let examined = 0;
  let after = job.after;
  while (rows.length < job.limit) {
    const options = { after, limit: job.limit - rows.length, candidates: STEP, shape: job.shape, explain: job.explain };
    const step = walkStep(connection, job.plan, options);
    for (const row of step.rows) rows.push(row);
    examined += step.examined ?? 0;
    if (step.resume === undefined) break;
    after = step.resume;
    if (rows.length < job.limit) late();
  }
  return { rows, examined };
}

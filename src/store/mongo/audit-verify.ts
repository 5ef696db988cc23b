// Verification of the audit record: every chain, row by row.
import { verifyChain } from '../audit-chain.ts';
import type { AuditRow } from '../store.ts';
import { auditHeads, auditRowOf } from './audit.ts';
import { told } from './faults.ts';
import { AUDIT_BY_CHAIN, type Collections } from './layout.ts';

const BATCH = 1_000;

/** One sentence per problem. */
export async function* auditProblems(on: Collections): AsyncGenerator<string> {
  for (const { chain } of await auditHeads(on)) {
    for await (const { message } of verifyChain(rowsOf(on, chain))) yield message;
  }
}

async function* rowsOf(on: Collections, chain: string): AsyncGenerator<AuditRow> {
  const options = { hint: AUDIT_BY_CHAIN, projection: { _id: 0 }, batchSize: BATCH, readConcern: 'majority' } as const;
  const cursor = on.audit.find({ chain }, options).sort({ seq: 1 });
  try {
    while (await told(() => cursor.hasNext())) for (const doc of cursor.readBufferedDocuments()) yield auditRowOf(doc);
  } finally {
    await cursor.close();
  }
}

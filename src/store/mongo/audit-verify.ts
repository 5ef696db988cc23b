// Verification of the audit record: every chain, row by row, from the sealed ones on.
import { verifyChain } from '../audit-chain.ts';
import { rowsAfter, sealedProblems } from '../audit-verify.ts';
import type { AuditRecord } from '../store.ts';

/** One sentence per problem. */
export async function* auditProblems(audit: AuditRecord): AsyncGenerator<string> {
  for (const { chain } of await audit.heads()) {
    const end = yield* sealedProblems(audit, chain);
    for await (const { message } of verifyChain(rowsAfter(audit, chain, end.seq), end)) yield message;
  }
}

// The audit record of the file, as store/audit-record.ts needs it: rows are found on the reader thread, segments here,
// and everything is written by the writer.
import { createAuditRecord } from '../audit-record.ts';
import type { AuditRecord, AuditRow, AuditSearch } from '../store.ts';
import { headOf } from './audit.ts';
import { chainSegments, lastSegments, monthSegments, packedRows, segmentNames } from './audit-segments.ts';
import type { WriteJob } from './jobs.ts';
import type { Connection } from './sql.ts';

/** The ways to the writer, to the reader thread and to the connection of this thread. */
interface Ways {
  send(job: Extract<WriteJob, { kind: 'append' | 'seal' | 'purge' }>): Promise<number>;
  rows(search: AuditSearch): Promise<AuditRow[]>;
  connection(): Connection;
}

export function createAudit({ send, rows, connection }: Ways): AuditRecord {
  /** What is sealed by now is seen: rows that have been looked for before are not missed. */
  const fresh = (): Connection => {
    const open = connection();
    open.snapshot?.renew();
    return open;
  };
  return createAuditRecord({
    append: async (entries) => {
      await send({ kind: 'append', entries });
    },
    rows,
    heads: async () => {
      const head = headOf(fresh());
      return head.seq === 0 ? [] : [head];
    },
    lastSegments: async () => lastSegments(fresh()),
    chainSegments: async (chain, begin, descending) => chainSegments(fresh(), chain, begin, descending),
    monthSegments: async (names, month, descending) => monthSegments(fresh(), names, month, descending),
    packed: async (segment) => packedRows(fresh(), segment),
    names: async (segment, of) => segmentNames(fresh(), segment, of),
    seal: async (segment) => (await send({ kind: 'seal', segment })) > 0,
    purge: async (segment, names, signed) => (await send({ kind: 'purge', segment, names, signed })) > 0,
  });
}

// The audit record of the database, as store/audit-record.ts needs it.
import type { MongoClient } from 'mongodb';
import { createAuditRecord } from '../audit-record.ts';
import type { AuditRecord } from '../store.ts';
import { auditHeads, auditRows } from './audit.ts';
import type { Appender } from './audit-appender.ts';
import {
  chainSegments,
  lastSegments,
  monthSegments,
  packedRows,
  purgeSegment,
  sealRows,
  segmentNames,
} from './audit-segments.ts';
import type { Collections } from './layout.ts';

type WhileOpen = <A extends unknown[], R>(work: (...args: A) => Promise<R>) => (...args: A) => Promise<R>;

/** `whileOpen`: what each of its works is wrapped in. */
export function createAudit(
  client: MongoClient,
  on: Collections,
  { appender, whileOpen }: { appender: Appender; whileOpen: WhileOpen },
): AuditRecord {
  return createAuditRecord({
    append: whileOpen((entries) => appender.append(entries)),
    rows: whileOpen((search) => auditRows(on, search)),
    heads: whileOpen(() => auditHeads(on)),
    lastSegments: whileOpen(() => lastSegments(on)),
    chainSegments: whileOpen((chain, begin, descending) => chainSegments(on, chain, begin, descending)),
    monthSegments: whileOpen((names, month, descending) => monthSegments(on, names, month, descending)),
    packed: whileOpen((segment) => packedRows(on, segment)),
    names: whileOpen((segment, of) => segmentNames(on, segment, of)),
    seal: whileOpen((segment) => sealRows(client, on, segment)),
    purge: whileOpen((segment, _, signed) => purgeSegment(client, on, segment, signed)),
  });
}

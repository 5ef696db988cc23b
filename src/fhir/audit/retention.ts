// How long the audit record is kept: whole months of it are sealed when they are old, and whole segments of sealed rows
// are purged when the time is over for which they must be kept. HIPAA asks for six years (45 CFR 164.316(b)(2), 164.528).
// A legal hold keeps everything. Both is on the record itself.
import type { KeyObject } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import { FhirError } from '../../base/outcome.ts';
import { monthOf } from '../../store/audit-segment.ts';
import type { AuditSegment, Store } from '../../store/store.ts';
import { signedCheckpoint } from './checkpoint.ts';
import { addLine } from './checkpoints.ts';
import type { SecurityEvent } from './security-event.ts';

export interface Retention {
  store: Pick<Store, 'audit' | 'records'>;
  clock: Clock;
  /** Signs what is purged. */
  key: KeyObject;
  /** File of checkpoints, to which that is added. */
  path: string | undefined;
  /** Whole months since the end of a month after which it is sealed. */
  months: number;
  /** Years since its last row after which a segment is purged; undefined: never. */
  years: number | undefined;
  record(event: SecurityEvent): Promise<void>;
  /** Runs before each segment; what it throws ends the work. */
  step?(): Promise<void>;
}

/** Segments and rows that were dealt with. */
export interface Dealt {
  segments: number;
  rows: number;
  bytes: number;
}

/** Seals all whole months that are older than the setting says. Throws StoreError('damaged'). */
export async function sealOld({ store, clock, months, record, step }: Retention): Promise<Dealt> {
  const dealt: Dealt = { segments: 0, rows: 0, bytes: 0 };
  try {
    await step?.();
    for await (const segment of store.audit.seal({ before: sealedBefore(clock.now(), months) })) {
      add(dealt, segment);
      await step?.();
    }
  } finally {
    if (dealt.segments > 0) {
      await record({ kind: 'seal', outcome: 'success', detail: `${dealt.rows} rows in ${dealt.segments} segments` });
    }
  }
  return dealt;
}

/** The beginning of the month before which all is sealed. */
function sealedBefore(now: number, months: number): number {
  const date = new Date(monthOf(now));
  return date.setUTCMonth(date.getUTCMonth() - months);
}

/**
 * Purges the segments whose time is over; with `isDryRun` it only counts them. Throws FhirError('conflict') under a legal
 * hold. What is purged is on record and signed before it is removed.
 */
export async function purgeOld(retention: Retention, { isDryRun = false } = {}): Promise<Dealt> {
  const dealt: Dealt = { segments: 0, rows: 0, bytes: 0 };
  for await (const segment of overdue(retention)) {
    await retention.step?.();
    if (isDryRun || (await purge(retention, segment))) add(dealt, segment);
  }
  return dealt;
}

async function* overdue({ store: { audit }, clock, years }: Retention): AsyncGenerator<AuditSegment> {
  if (years === undefined) return;
  const date = new Date(clock.now());
  const before = date.setUTCFullYear(date.getUTCFullYear() - years);
  for (const { chain } of await audit.heads()) {
    for await (const segment of audit.segments(chain)) {
      if (segment.purged !== undefined) continue;
      // The rows of a chain are purged in their order.
      if (segment.latest >= before) break;
      yield segment;
    }
  }
}

async function purge({ store, clock, key, path, record }: Retention, segment: AuditSegment): Promise<boolean> {
  const held = await legalHold(store);
  if (held !== undefined) throw new FhirError('conflict', `A legal hold keeps the audit record: ${held.reason}`);
  const { chain, from, to, before, hash } = segment;
  const last = new Date(segment.latest).toISOString();
  await record({ kind: 'purge', outcome: 'success', detail: `rows ${from} to ${to} of chain ${chain}, until ${last}` });
  const signed = signedCheckpoint({ at: clock.now(), heads: [], purged: [{ chain, from, to, before, hash }] }, key);
  if (path !== undefined) await addLine(path, signed);
  return store.audit.purge(segment, signed);
}

function add(dealt: Dealt, { from, to, bytes }: AuditSegment): void {
  dealt.segments += 1;
  dealt.rows += to - from + 1;
  dealt.bytes += bytes;
}

// ---- legal hold ----

export interface LegalHold {
  reason: string;
  /** Milliseconds since the epoch. */
  since: number;
}

const HOLD = { kind: 'audit-hold', id: 'legal' };

export async function legalHold({ records }: Pick<Store, 'records'>): Promise<LegalHold | undefined> {
  const found = await records.get(HOLD.kind, HOLD.id);
  return found === undefined ? undefined : (JSON.parse(found.value) as LegalHold);
}

/** `reason`: why it begins; undefined ends it. False when that is so already. */
export async function setLegalHold(
  { store: { records }, clock }: Pick<Retention, 'store' | 'clock'>,
  reason: string | undefined,
): Promise<boolean> {
  if (reason === undefined) return records.remove(HOLD.kind, HOLD.id);
  const hold: LegalHold = { reason, since: clock.now() };
  return (await records.put({ ...HOLD, value: JSON.stringify(hold) }, 0)) !== undefined;
}

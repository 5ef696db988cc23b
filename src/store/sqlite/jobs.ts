// What crosses between the main thread and the two workers.
import type { PackedSegment } from '../audit-segment.ts';
import type { Position } from '../cursor.ts';
import type { Few, Plan, Probe } from '../planner.ts';
import type { AuditEntry, AuditRow, AuditSearch, AuditSegment, Source, StoreErrorKind, Written } from '../store.ts';
import { StoreError } from '../store.ts';
import type { AuditStep, AuditStepResult } from './audit-verify.ts';
import type { Shape, SortPlan, Stretch, WalkPlan } from './find.ts';
import type { FoundVersion, HistoryQuery } from './history.ts';
import type { PackedCheck, PackedWrite } from './write.ts';

/** A job for the writer. Jobs of one batch share a transaction; each one alone takes effect wholly or not at all. */
export type WriteJob =
  | {
      kind: 'commit';
      writes: readonly PackedWrite[];
      /** The writes of a large one have come before, in so many messages. */
      parts?: { of: number; count: number };
      checks: readonly PackedCheck[];
      audit?: readonly AuditEntry[];
      dryRun?: true;
    }
  | { kind: 'append'; entries: readonly AuditEntry[] }
  | { kind: 'seal'; segment: PackedSegment }
  | { kind: 'purge'; segment: AuditSegment; names: readonly number[]; signed: string }
  | { kind: 'put'; record: { kind: string; id: string; value: string; expires: number | null }; expect: number }
  | { kind: 'remove'; record: { kind: string; id: string }; expect: number | null }
  | { kind: 'sweep' }
  | { kind: 'forget'; seq: string }
  | { kind: 'reindex'; rows: readonly ReindexedRow[] };

/** See Reindexed; keys and terms as the file has them. */
export interface ReindexedRow {
  type: string;
  id: string;
  version: number;
  ord: number;
  keys: string;
  tokens: string;
}

/**
 * What a job of each kind resolves to; `put` gives 0 when another was faster, `remove` the number removed,
 * `append` the number added, `seal` that of rows, `purge` that of segments.
 */
export type WriteResult = readonly Written[] | number;

export interface WriteBatch {
  jobs: readonly WriteJob[];
  /** All bodies one after the other. */
  bytes: Uint8Array;
  now: number;
}

/** Some of the writes of a commit that is to follow, with their own bodies. One message with all would hold the main thread. */
export interface WritePart {
  /** Number of the commit. */
  of: number;
  writes: readonly PackedWrite[];
  bytes: Uint8Array;
}

/** What became of the jobs of a batch, in their order. */
export interface BatchAnswer {
  answers: readonly Answer<WriteResult>[];
  /** The log of the file should begin anew, for which no snapshot may be held. */
  isLogLong: boolean;
  /** Another process has committed since the batch before. */
  othersWrote: boolean;
}

export type Answer<T> = { ok: T } | { error: PackedError };

export interface PackedError {
  kind: StoreErrorKind;
  message: string;
  at: number;
}

/** A job for the reader. */
export type ReadJob =
  | {
      kind: 'walk';
      plan: WalkPlan;
      after: Position | undefined;
      limit: number;
      shape: Shape;
      explain: boolean;
      budgetMs: number;
    }
  | {
      kind: 'sort';
      plan: SortPlan;
      after: Position | undefined;
      limit: number;
      shape: Shape;
      explain: boolean;
      budgetMs: number;
    }
  | { kind: 'count'; plan: SortPlan; cap: number; budgetMs: number }
  | { kind: 'history'; query: HistoryQuery; budgetMs: number }
  | { kind: 'audit'; search: AuditSearch }
  | { kind: 'size'; source: Source; type: string; cap: number; budgetMs: number }
  | { kind: 'few'; plan: Plan; options: Parameters<Probe['few']>[1]; budgetMs: number }
  | { kind: 'audit-step'; step: AuditStep }
  | { kind: 'stats' }
  | { kind: 'terms' };

export interface ReadResults {
  walk: Stretch;
  sort: Stretch;
  count: number;
  history: FoundVersion[];
  audit: AuditRow[];
  size: number;
  few: { matches: Few | undefined };
  'audit-step': AuditStepResult;
  stats: readonly (readonly [type: string, count: number])[];
  /** Problems of the index of terms. */
  terms: readonly string[];
}

/** An error as it crosses threads. What is no StoreError came from SQLite: full disk, lock, damage. */
export function packError(error: unknown): PackedError {
  if (error instanceof StoreError) return { kind: error.kind, message: error.message, at: error.at };
  return { kind: 'unavailable', message: error instanceof Error ? error.message : String(error), at: -1 };
}

export function unpackError({ kind, message, at }: PackedError): StoreError {
  return new StoreError(kind, message, { at });
}

// What crosses between the main thread and the two workers.
import type { Position } from '../cursor.ts';
import type { Few, Plan, Probe } from '../planner.ts';
import type { AuditEntry, AuditPage, AuditSearch, Source, StoreErrorKind, Written } from '../store.ts';
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
      checks: readonly PackedCheck[];
      audit?: readonly AuditEntry[];
      dryRun?: true;
    }
  | { kind: 'append'; entries: readonly AuditEntry[] }
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
 * `append` the number added.
 */
export type WriteResult = readonly Written[] | number;

export interface WriteBatch {
  jobs: readonly WriteJob[];
  /** All bodies one after the other. */
  bytes: Uint8Array;
  now: number;
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
  | { kind: 'audit-step'; step: AuditStep | undefined }
  | { kind: 'stats' }
  | { kind: 'terms' };

export interface ReadResults {
  walk: Stretch;
  sort: Stretch;
  count: number;
  history: FoundVersion[];
  audit: AuditPage;
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

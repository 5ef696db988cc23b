// Checks of commits, made again within the transaction: the locks that keep two of them apart, and what does not hold.
import type { ClientSession } from 'mongodb';
import { limits } from '../../base/limits.ts';
import type { Check, Commit, Condition, Key, Term } from '../store.ts';
import { StoreError, typeKey } from '../store.ts';
import { type Collections, hash } from './layout.ts';
import { isHolding } from './search.ts';

/** Slots for locks: so many that two unrelated keys rarely share one, so few that they need no tidying. */
const LOCK_SLOTS = 65_536;

/**
 * Snapshot reads do not stop phantoms: two commits may each find nothing and each insert. So each writes to a lock per
 * key and term that its checks ask for; two checks that share one then conflict, and the second sees the first one's
 * insert. A check that found something needs none: who changes that meets it in the document itself, and commits that
 * refer to the same practitioner by a condition do not wait for each other.
 */
export async function lockChecks(on: Collections, commits: readonly Commit[], session: ClientSession): Promise<void> {
  const absent = commits.flatMap(({ checks = [] }) => checks.filter(({ ids }) => ids.length === 0));
  if (absent.length === 0) return;
  const names = absent.flatMap((check) => {
    const own = equalNames(check.where).filter((name) => name !== typeKey(check.type));
    return own.length > 0 ? own : [typeKey(check.type)];
  });
  const slots = [...new Set(names.map((name) => hash(name) % LOCK_SLOTS))].sort((a, b) => a - b);
  const operations = slots.map((_id) => ({ updateOne: { filter: { _id }, update: { $inc: { n: 1 } }, upsert: true } }));
  await on.lock.bulkWrite(operations, { session });
}

/** The keys and whole terms that a match has or may have. */
function equalNames(condition: Condition): (Key | Term)[] {
  if (condition.kind === 'key') return [condition.key];
  if (condition.kind === 'term' && condition.prefix !== true) return [condition.term];
  return condition.kind === 'and' || condition.kind === 'or' ? condition.of.flatMap(equalNames) : [];
}

/** By index of the commit: the error of its first check that does not hold. */
export async function failedChecks(
  on: Collections,
  commits: readonly Commit[],
  session: ClientSession,
): Promise<Map<number, StoreError>> {
  const failures = new Map<number, StoreError>();
  for (const [at, commit] of commits.entries()) {
    const failed = await firstFailed(on, commit.checks ?? [], session);
    if (failed >= 0) failures.set(at, new StoreError('check', 'What was found before has changed', { at: failed }));
  }
  return failures;
}

/** Index of the first check that does not hold, or -1. */
async function firstFailed(on: Collections, checks: readonly Check[], session: ClientSession): Promise<number> {
  for (const [at, check] of checks.entries()) {
    if (!(await isHolding(on, check, { session, budgetMs: limits.queryBudgetMs }))) return at;
  }
  return -1;
}

// Which commits may share a transaction: all their checks are made before any of their writes, so none may be able to
// change what a check of a later one finds.
import { matchesKeys } from '../match.ts';
import { narrow } from '../planner.ts';
import type { Check, Commit, Condition, Write } from '../store.ts';

/** A group is closed above this; a single larger commit still goes, alone. One such transaction takes some 20 ms. */
const WRITES_MAX = 128;
const BYTES_MAX = 8 * 1024 * 1024;
/** Each check is a query of its own, one after the other. */
const CHECKS_MAX = 32;

/** How many commits of the front of the queue can go together; at least one when there is one. */
export function groupSize(queue: readonly { commit: Commit }[]): number {
  const writes: Write[] = [];
  let count = 0;
  let bytes = 0;
  let checks = 0;
  for (const { commit } of queue) {
    const own = commit.checks ?? [];
    for (const { body } of commit.writes) bytes += body?.length ?? 0;
    checks += own.length;
    const isFull = writes.length + commit.writes.length > WRITES_MAX || bytes > BYTES_MAX || checks > CHECKS_MAX;
    if (count > 0 && (isFull || own.some((check) => isTouched(check, writes)))) break;
    for (const write of commit.writes) writes.push(write);
    count += 1;
  }
  return count;
}

/** Whether one of the writes may change what the check finds; true when in doubt. */
function isTouched(check: Check, writes: readonly Write[]): boolean {
  if (writes.length === 0) return false;
  const { type, where } = narrow(check, check.filter);
  if (!isOfKeysAlone(where)) return true;
  return writes.some((write) => {
    if (write.type !== type) return false;
    if (check.ids.includes(write.id)) return true;
    const { id, body, keys, ord, terms } = write;
    return body !== null && matchesKeys({ type, id, lastUpdated: 0, keys, ord, terms }, where);
  });
}

function isOfKeysAlone(condition: Condition): boolean {
  switch (condition.kind) {
    case 'and':
    case 'or':
      return condition.of.every(isOfKeysAlone);
    case 'not':
      return isOfKeysAlone(condition.of);
    case 'refers':
    case 'referred':
    case 'lastUpdated':
      return false;
    default:
      return true;
  }
}

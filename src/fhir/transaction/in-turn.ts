// Work on the entries of a Bundle, several at once but never all.
import { FhirError } from '../../base/outcome.ts';

/** Enough to fill a group commit, few enough to leave room for others. */
const AT_ONCE = 32;

/** `work` on each item, begun in order; the results in that order. Rejects with the first failure and begins no more. */
export async function inTurn<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = new Array(items.length);
  const rest = items.entries();
  let failed = false;
  const worker = async (): Promise<void> => {
    for (const [at, item] of rest) {
      if (failed) return;
      try {
        results[at] = await work(item);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, worker));
  return results;
}

/** FhirError('timeout') when the client went away or its time is over: the rest of a Bundle is then not worth the work. */
export function requireClient(signal: AbortSignal): void {
  if (signal.aborted) throw new FhirError('timeout', 'The request ended before its Bundle was processed.');
}

// Compare-and-set as a loop: read, decide, write, and again when another process was faster.
import { setTimeout as wait } from 'node:timers/promises';
import { FhirError } from '../base/outcome.ts';
import type { Kept } from './kept.ts';

/** What to do with a value, and what the caller is told. */
export type Change<Value, Result> =
  | { keep: Value; expires?: number; result: Result }
  | { remove: true; result: Result }
  | { result: Result };

/** Each loser means one winner: so many at once on one account or address are an attack, which is to be refused. */
const ATTEMPTS_MAX = 32;

/**
 * Applies `decide` to what is kept (undefined: nothing) until no other was faster; it may run several times.
 * Throws FhirError('throttled') when too many change the same value at once.
 */
export async function changeKept<Value, Result>(
  kept: Kept<Value>,
  id: string,
  decide: (value: Value | undefined) => Change<Value, Result>,
): Promise<Result> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const read = await kept.get(id);
    const change = decide(read?.value);
    if (await isDone(kept, id, read, change)) return change.result;
    await wait(Math.random() * attempt);
  }
  throw new FhirError('throttled', 'Too many requests for the same account at once; try again in a moment.');
}

async function isDone<Value>(
  kept: Kept<Value>,
  id: string,
  read: { version: number } | undefined,
  change: Change<Value, unknown>,
): Promise<boolean> {
  if ('keep' in change) {
    return read === undefined
      ? kept.add(id, change.keep, change.expires)
      : kept.replace(id, read, change.keep, change.expires);
  }
  return 'remove' in change && read !== undefined ? kept.remove(id, read) : true;
}

const PAGE = 200;

/** All that is kept whose id begins with `prefix`, page by page. */
export async function* allKept<Value>(kept: Kept<Value>, prefix = ''): AsyncGenerator<{ id: string; value: Value }> {
  let after: string | undefined;
  do {
    const page = await kept.list({ prefix, limit: PAGE, ...(after === undefined ? {} : { after }) });
    yield* page;
    after = page.length < PAGE ? undefined : page.at(-1)?.id;
  } while (after !== undefined);
}

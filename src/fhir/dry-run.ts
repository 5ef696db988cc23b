// Prefer: dry-run: everything is decided and answered as if it were done, and the store is left as it is. What would have
// been written can be read in the same Bundle; searches find what is there.
import type { Commit, Row, Written } from '../store/store.ts';
import { writtenBody } from './answer.ts';
import type { EngineContext } from './context.ts';

/** The same context, whose commits are rehearsals. `commit` is the store's own, with what has to be done before it. */
export function dryRunContext(context: EngineContext, commit: EngineContext['commit']): EngineContext {
  const rehearsed = context.rehearsed ?? new Map<string, Row>();
  return {
    ...context,
    rehearsed,
    async commit(asked) {
      const written = await commit({ ...asked, dryRun: true });
      for (const row of rowsOf(asked, written)) rehearsed.set(`${row.type}/${row.id}`, row);
      return written;
    },
  };
}

function rowsOf({ writes }: Commit, written: readonly Written[]): Row[] {
  return writes.flatMap((write, at): Row[] => {
    const done = written[at];
    // A deletion of what was not there.
    if (done === undefined || done.version === 0) return [];
    const { version, lastUpdated } = done;
    return [{ type: write.type, id: write.id, version, lastUpdated, body: writtenBody(write, done) ?? null }];
  });
}

// Commands that look after the store as a whole: stats, reindex, verify.
import { exitCodes, type Invocation, withApp } from './command.ts';
import { countTable, createProgress } from './progress.ts';

export function stats(invocation: Invocation): Promise<number> {
  return withApp(invocation, async ({ store }) => {
    invocation.io.out.write(`${store.name}\n${countTable(await store.stats())}`);
    return exitCodes.ok;
  });
}

export function reindex(invocation: Invocation): Promise<number> {
  const { io } = invocation;
  return withApp(invocation, async ({ store, engine }) => {
    const progress = createProgress(io, { label: 'reindex', total: totalOf(await store.stats()) });
    const changed = await engine.reindex((done) => progress.update(done)).finally(() => progress.end());
    io.out.write(`${changed} resources had another index than they should; all have the right one now\n`);
    return exitCodes.ok;
  });
}

export function verify(invocation: Invocation): Promise<number> {
  const { io } = invocation;
  return withApp(invocation, async ({ store, engine }) => {
    const total = totalOf(await store.stats());
    const progress = createProgress(io, { label: 'verify', total });
    let problems = 0;
    for await (const problem of engine.verify((done) => progress.update(done))) {
      problems++;
      progress.end();
      io.out.write(`${problem}\n`);
    }
    progress.end();
    io.out.write(`${total} resources checked, ${problems} problems\n`);
    return problems === 0 ? exitCodes.ok : exitCodes.failed;
  });
}

function totalOf(counts: ReadonlyMap<string, number>): number {
  let total = 0;
  for (const count of counts.values()) total += count;
  return total;
}

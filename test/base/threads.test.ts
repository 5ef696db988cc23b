// Threads for work that may take too long: what they answer, and what becomes of those that do not.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { ThreadLost, Threads } from '../../src/base/threads.ts';
import { watchStalls } from '../support/stalls.ts';

const MODULE = `
import { parentPort } from 'node:worker_threads';
parentPort.on('message', ({ work, value }) => {
  if (work === 'throw') throw new Error('a fault');
  if (work === 'exit') process.exit(3);
  if (work === 'hang') for (;;);
  if (work === 'fill') for (const all = []; ; ) all.push(new Array(10_000).fill({ all }));
  const end = performance.now() + (work === 'spin' ? 200 : 0);
  while (performance.now() < end);
  parentPort.postMessage(value);
});
parentPort.postMessage('ready');
`;

const folder = mkdtempSync(join(tmpdir(), 'careloom-threads-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
const path = join(folder, 'module.mjs');
writeFileSync(path, MODULE);
const open = (): Threads => new Threads(pathToFileURL(path), { heapMb: 32, jobMs: 1_500 });

t.test('jobs are answered, each with its own answer', async (t) => {
  const threads = open();
  const values = Array.from({ length: 200 }, (_, value) => value);
  t.same(await Promise.all(values.map((value) => threads.ask({ value }))), values);
  const bytes = new Uint8Array(1_000);
  t.equal(((await threads.ask({ value: bytes }, [bytes.buffer])) as Uint8Array).length, 1_000);
  t.equal(bytes.length, 0, 'what is transferred is not copied');
});

t.test('the main thread goes on while they work', async (t) => {
  const threads = open();
  await threads.ask({});
  const stalls = watchStalls();
  await Promise.all([1, 2, 3].map((value) => threads.ask({ work: 'spin', value })));
  t.ok(stalls.worstMs() < 100);
  stalls.stop();
});

for (const work of ['hang', 'fill', 'throw', 'exit']) {
  t.test(`one that does "${work}" is lost, and the next job has another thread`, async (t) => {
    const threads = open();
    const jobs = [{ value: 1 }, { work, value: 2 }, { value: 3 }, { work, value: 4 }, { value: 5 }];
    const settled = await Promise.allSettled(jobs.map((job) => threads.ask(job)));
    t.same(
      settled.map((one) => (one.status === 'fulfilled' ? one.value : one.reason instanceof ThreadLost)),
      [1, true, 3, true, 5],
    );
  });
}

// Jobs as records, on both stores, with a clock that the tests move.
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import type { Clock } from '../../src/base/clock.ts';
import { FhirError } from '../../src/base/outcome.ts';
import type { Job } from '../../src/jobs/job.ts';
import { createJobs, type JobHandler, type Jobs, type RunningJob } from '../../src/jobs/jobs.ts';
import type { Records } from '../../src/store/store.ts';
import { type Adapter, onBothStores, type Test } from '../support/stores.ts';

const LEASE_MS = 30_000;
const DAY_MS = 24 * 60 * 60 * 1000;
/** Real time: how often the runners look, and how long a test waits for what must come. */
const LOOK_MS = 5;
const WAIT_MS = 20_000;

interface MovedClock extends Clock {
  move(ms: number): void;
}

function movedClock(): MovedClock {
  let now = Date.UTC(2026, 0, 1);
  let ids = 0;
  return {
    now: () => now,
    newId: () => `id-${String(++ids).padStart(6, '0')}`,
    move: (ms) => {
      now += ms;
    },
  };
}

interface Setting {
  clock: MovedClock;
  records: Records;
  /** Faults that the runners told of. */
  faults: string[];
  runner(handlers: Record<string, JobHandler>, options?: { lookMs?: number; records?: Records }): Jobs;
}

async function setting(t: Test, adapter: Adapter): Promise<Setting> {
  const clock = movedClock();
  const { store, close } = await adapter.open(clock);
  const faults: string[] = [];
  const runners: Jobs[] = [];
  t.teardown(async () => {
    await Promise.all(runners.map((runner) => runner.stop()));
    await close();
  });
  return {
    clock,
    records: store.records,
    faults,
    runner(handlers, { lookMs = LOOK_MS, records = store.records } = {}) {
      const onFault = (error: unknown, kind: string): number => faults.push(`${kind}: ${(error as Error).message}`);
      const runner = createJobs({ records, clock, handlers, onFault, lookMs });
      runners.push(runner);
      return runner;
    },
  };
}

/** Waits until something holds; fails the test when it never does. */
async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + WAIT_MS;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`${what}: it did not come to that`);
    await pause(2);
  }
}

const untilState = (jobs: Jobs, id: string, state: Job['state']): Promise<void> =>
  until(`${id} is ${state}`, async () => (await jobs.get(id))?.state === state);

/** A handler that waits for a word, and tells of the jobs it was given. */
function held(): {
  handler: JobHandler;
  given: RunningJob[];
  finish(result?: unknown): void;
  fail(error: unknown): void;
} {
  const given: RunningJob[] = [];
  const waiting: { resolve(result: unknown): void; reject(error: unknown): void }[] = [];
  return {
    given,
    handler: (job) => {
      given.push(job);
      return new Promise((resolve, reject) => {
        waiting.push({ resolve, reject });
        job.signal.addEventListener('abort', () => reject(new Error('told to stop')));
      });
    },
    finish: (result) => waiting.shift()?.resolve(result),
    fail: (error) => waiting.shift()?.reject(error),
  };
}

t.setTimeout(60_000);
await onBothStores(t, async (t, adapter) => {
  await t.test('a job is run once, and what became of it is known', async (t) => {
    const { runner, faults } = await setting(t, adapter);
    const jobs = runner({ add: async ({ input }) => (input as number[]).reduce((a, b) => a + b) });
    const id = await jobs.submit('add', [1, 2, 3]);
    t.match(await jobs.get(id), { id, kind: 'add', state: 'waiting', input: [1, 2, 3], attempts: 0 });
    jobs.start();
    await untilState(jobs, id, 'done');
    t.match(await jobs.get(id), { state: 'done', result: 6, attempts: 1 });
    t.notOk((await jobs.get(id))?.leasedUntil, 'nobody holds it any more');
    t.equal(await jobs.get('other'), undefined);
    t.same(faults, []);
  });

  await t.test('of several runners one runs a job', async (t) => {
    const { runner } = await setting(t, adapter);
    const runs: string[] = [];
    const note: JobHandler = async ({ id }) => {
      runs.push(id);
      await pause(1);
    };
    const runners = Array.from({ length: 4 }, () => runner({ note }));
    for (const one of runners) one.start();
    const [first] = runners as [Jobs];
    const ids = await Promise.all(Array.from({ length: 12 }, (_, at) => first.submit('note', at)));
    for (const id of ids) await untilState(first, id, 'done');
    t.same([...runs].sort(), [...ids].sort(), 'each once');
  });

  await t.test(
    'submitted again under its id it is one job while it lasts, and a new one when it has ended',
    async (t) => {
      const { runner } = await setting(t, adapter);
      const work = held();
      const jobs = runner({ work: work.handler });
      await Promise.all(Array.from({ length: 8 }, (_, at) => jobs.submit('work', at, 'same')));
      jobs.start();
      await until('it runs', () => work.given.length === 1);
      t.equal(await jobs.submit('work', 'later', 'same'), 'same');
      work.finish('first');
      await untilState(jobs, 'same', 'done');
      t.equal(work.given.length, 1);
      await jobs.submit('work', 'again', 'same');
      await until('it runs anew', () => work.given.length === 2);
      t.equal(work.given[1]?.input, 'again');
      t.equal(work.given[1]?.saved, undefined, 'with nothing of the job before');
      work.finish();
      await untilState(jobs, 'same', 'done');
    },
  );

  await t.test('a job of a runner that died is taken up when its lease is over, with what it saved', async (t) => {
    const { clock, runner } = await setting(t, adapter);
    const lost = held();
    // It never looks at the time, so it sends no heartbeat: as if it were dead.
    const dead = runner({ walk: lost.handler }, { lookMs: 1_000_000 });
    const next = held();
    const living = runner({ walk: next.handler });
    dead.start();
    const id = await dead.submit('walk', {});
    await until('it runs', () => lost.given.length === 1);
    await lost.given[0]?.save({ at: 500 }, 0.5);
    living.start();
    clock.move(LEASE_MS - 1_000);
    await pause(10 * LOOK_MS);
    t.equal(next.given.length, 0, 'the lease still holds');
    t.match(await living.get(id), { state: 'running', progress: 0.5, attempts: 1 });
    clock.move(2_000);
    await until('it is taken up', () => next.given.length === 1);
    t.same(next.given[0]?.saved, { at: 500 });
    t.equal((await living.get(id))?.attempts, 2);
    await t.rejects(async () => lost.given[0]?.save({ at: 900 }), /taken over/, 'who was taken for dead cannot save');
    t.ok(lost.given[0]?.signal.aborted, 'and is told to stop');
    lost.finish('too late');
    next.finish('done by another');
    await untilState(living, id, 'done');
    t.equal((await living.get(id))?.result, 'done by another');
  });

  await t.test('heartbeats keep a job that saves nothing', async (t) => {
    const { clock, runner } = await setting(t, adapter);
    const long = held();
    const [jobs, other] = [runner({ long: long.handler }), runner({ long: long.handler })];
    jobs.start();
    const id = await jobs.submit('long', {});
    await until('it runs', () => long.given.length === 1);
    other.start();
    for (let minute = 0; minute < 6; minute++) {
      clock.move(10_000);
      const heard = clock.now();
      await until('a heartbeat', async () => ((await jobs.get(id))?.leasedUntil ?? 0) >= heard + LEASE_MS);
    }
    t.equal(long.given.length, 1, 'nobody else took it up in a minute');
    long.finish();
    await untilState(jobs, id, 'done');
  });

  await t.test('a store that fails for a moment does not cost a runner its job', async (t) => {
    const { clock, records, runner, faults } = await setting(t, adapter);
    let isAway = false;
    const shaky: Records = {
      ...records,
      get: (kind, id) => records.get(kind, id),
      list: (kind, options) => records.list(kind, options),
      remove: (kind, id, expect) => records.remove(kind, id, expect),
      put: (record, expect) => (isAway ? Promise.reject(new Error('away')) : records.put(record, expect)),
    };
    const long = held();
    const jobs = runner({ long: long.handler }, { records: shaky });
    jobs.start();
    const id = await jobs.submit('long', {});
    await until('it runs', () => long.given.length === 1);
    isAway = true;
    clock.move(12_000);
    await pause(10 * LOOK_MS);
    t.notOk(long.given[0]?.signal.aborted, 'the lease still holds');
    isAway = false;
    long.finish('kept');
    await untilState(jobs, id, 'done');
    t.match(await jobs.get(id), { result: 'kept', attempts: 1 });
    const second = await jobs.submit('long', {});
    await until('the next runs', () => long.given.length === 2);
    isAway = true;
    clock.move(2 * LEASE_MS);
    await until('it is told to stop', () => long.given[1]?.signal.aborted === true);
    isAway = false;
    await until('it is taken up anew', () => long.given.length === 3);
    long.finish();
    long.finish();
    await untilState(jobs, second, 'done');
    t.ok(faults.every((fault) => fault.endsWith('away')));
  });

  await t.test('cancelled while it waits it is never run', async (t) => {
    const { runner } = await setting(t, adapter);
    const work = held();
    const jobs = runner({ work: work.handler });
    const id = await jobs.submit('work', {});
    t.equal(await jobs.cancel(id), true);
    t.equal(await jobs.cancel(id), false, 'it has ended');
    t.equal(await jobs.cancel('never'), false);
    jobs.start();
    const other = await jobs.submit('work', {});
    await until('another runs', () => work.given.length === 1);
    t.equal(work.given[0]?.id, other);
    work.finish();
    await untilState(jobs, other, 'done');
    t.match(await jobs.get(id), { state: 'cancelled', attempts: 0 });
  });

  await t.test('cancelled while it runs its handler is told, whoever cancels', async (t) => {
    const { clock, runner, faults } = await setting(t, adapter);
    const work = held();
    const [holder, other] = [runner({ work: work.handler }), runner({})];
    holder.start();
    const own = await holder.submit('work', {});
    await until('it runs', () => work.given.length === 1);
    t.equal(await holder.cancel(own), true);
    t.ok(work.given[0]?.signal.aborted, 'at once in the same process');
    await t.rejects(async () => work.given[0]?.save({}), /cancelled/);
    const foreign = await holder.submit('work', {});
    await until('the next runs', () => work.given.length === 2);
    t.equal(await other.cancel(foreign), true);
    clock.move(6_000);
    await until('told with the next heartbeat', () => work.given[1]?.signal.aborted === true);
    await pause(5 * LOOK_MS);
    t.equal((await holder.get(own))?.state, 'cancelled');
    t.equal((await holder.get(foreign))?.state, 'cancelled');
    t.equal(work.given.length, 2, 'neither is taken up again');
    t.same(faults, [], 'giving up is no fault');
  });

  await t.test('a FhirError fails a job for good, with its issues', async (t) => {
    const { runner, faults } = await setting(t, adapter);
    let runs = 0;
    const jobs = runner({
      refuse: async () => {
        runs++;
        throw new FhirError('too-costly', 'More than can be done.', { expression: 'Patient' });
      },
    });
    jobs.start();
    const id = await jobs.submit('refuse', {});
    await untilState(jobs, id, 'failed');
    t.match((await jobs.get(id))?.issues, [{ code: 'too-costly', diagnostics: 'More than can be done.' }]);
    await pause(10 * LOOK_MS);
    t.equal(runs, 1);
    t.same(faults, []);
  });

  await t.test('after a fault a job is tried again, later and later, and given up after five times', async (t) => {
    const { clock, runner, faults } = await setting(t, adapter);
    const starts: number[] = [];
    const jobs = runner({
      break: async () => {
        starts.push(clock.now());
        throw new Error('broken');
      },
    });
    jobs.start();
    const begun = clock.now();
    const id = await jobs.submit('break', {});
    for (let attempt = 1; attempt < 5; attempt++) {
      await until('it is put off', async () => ((await jobs.get(id))?.notBefore ?? 0) > clock.now());
      t.equal(starts.length, attempt, 'not tried at once');
      await pause(4 * LOOK_MS);
      t.equal(starts.length, attempt);
      clock.move(2_000 * 2 ** (attempt - 1));
      await until('it is tried again', () => starts.length > attempt);
    }
    await untilState(jobs, id, 'failed');
    t.same(
      starts.map((start) => start - begun),
      [0, 2_000, 6_000, 14_000, 30_000],
    );
    t.match((await jobs.get(id))?.issues, [{ code: 'exception' }]);
    t.notMatch(JSON.stringify(await jobs.get(id)), 'broken', 'the cause is for the log alone');
    t.same(faults, Array(5).fill('break: broken'));
  });

  await t.test('a job that its process dies of is given up as well', async (t) => {
    const { clock, runner } = await setting(t, adapter);
    const deaths: Jobs[] = [];
    const deadly = held();
    const watcher = runner({});
    const id = await watcher.submit('deadly', {});
    for (let death = 1; death <= 5; death++) {
      const victim = runner({ deadly: deadly.handler }, { lookMs: 1_000_000 });
      deaths.push(victim);
      victim.start();
      await until('it runs', () => deadly.given.length === death);
      clock.move(LEASE_MS + 1);
    }
    const last = runner({ deadly: deadly.handler });
    last.start();
    await untilState(watcher, id, 'failed');
    t.equal(deadly.given.length, 5);
    t.match((await watcher.get(id))?.issues, [{ code: 'exception' }]);
  });

  await t.test('stop lets go of what runs, for the next start', async (t) => {
    const { runner, faults } = await setting(t, adapter);
    const work = held();
    const jobs = runner({ work: work.handler });
    jobs.start();
    const id = await jobs.submit('work', {});
    await until('it runs', () => work.given.length === 1);
    await work.given[0]?.save({ at: 7 });
    await jobs.stop();
    t.match(await jobs.get(id), { state: 'waiting', saved: { at: 7 }, attempts: 0 });
    t.notOk((await jobs.get(id))?.holder);
    await jobs.submit('work', {});
    await pause(5 * LOOK_MS);
    t.equal(work.given.length, 1, 'nothing is taken up while it is stopped');
    const next = runner({ work: work.handler });
    next.start();
    await until('it goes on', () => work.given.length === 3);
    t.ok(work.given.slice(1).some(({ saved }) => (saved as { at?: number })?.at === 7));
    work.finish();
    work.finish();
    work.finish();
    await untilState(next, id, 'done');
    t.same(faults, []);
    const refusing = runner({
      refuse: ({ signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(new FhirError('timeout', 'It is over.')));
        }),
    });
    refusing.start();
    const told = await refusing.submit('refuse', {});
    await untilState(refusing, told, 'running');
    await refusing.stop();
    t.match(await refusing.get(told), { state: 'waiting' }, 'what a handler says that was told to stop is no failure');
  });

  await t.test('many jobs are run in the order they came, two of a kind at once', async (t) => {
    const { clock, records, runner } = await setting(t, adapter);
    const order: number[] = [];
    let running = 0;
    let most = 0;
    const count: JobHandler = async ({ input }) => {
      most = Math.max(most, ++running);
      order.push(input as number);
      await pause(0);
      running--;
    };
    const jobs = runner({ count });
    const ids: string[] = [];
    for (let at = 0; at < 120; at++) {
      ids.push(await jobs.submit('count', at));
      clock.move(1);
    }
    t.equal(await jobs.countOpen('count', 1_000), 120);
    t.equal(await jobs.countOpen('count', 50), 50);
    t.equal(await jobs.countOpen('other', 50), 0);
    jobs.start();
    await until('all are done', () => order.length === 120);
    for (const id of ids.slice(-3)) await untilState(jobs, id, 'done');
    t.ok(
      order.every((input, at) => Math.abs(input - at) <= 2),
      'oldest first',
    );
    t.ok(most <= 2, `${most} at once`);
    await until('the list is empty', async () => (await jobs.countOpen('count', 1_000)) === 0);
    t.same(await records.list('job-open-count', { limit: 10 }), []);
  });

  await t.test('long work of one kind keeps no other waiting', async (t) => {
    const { runner } = await setting(t, adapter);
    const long = held();
    const jobs = runner({ long: long.handler, short: async () => 'quick' });
    jobs.start();
    for (let at = 0; at < 4; at++) await jobs.submit('long', at);
    const id = await jobs.submit('short', {});
    await untilState(jobs, id, 'done');
    t.equal(long.given.length, 2, 'the others wait for their turn');
    t.equal((await jobs.get(await jobs.submit('unknown', {})))?.state, 'waiting', 'nobody here can do it');
  });

  await t.test('looking for work when there is none costs a list of each kind, and no more', async (t) => {
    const { records, runner } = await setting(t, adapter);
    const calls = { get: 0, list: 0, put: 0 };
    const counted: Records = {
      ...records,
      get: (...given) => {
        calls.get++;
        return records.get(...given);
      },
      list: (...given) => {
        calls.list++;
        return records.list(...given);
      },
      put: (...given) => {
        calls.put++;
        return records.put(...given);
      },
      remove: (...given) => records.remove(...given),
    };
    const jobs = runner({ a: async () => 1, b: async () => 2 }, { records: counted, lookMs: 20 });
    jobs.start();
    await untilState(jobs, await jobs.submit('a', {}), 'done');
    await until('the list is empty', async () => (await jobs.countOpen('a', 1)) === 0);
    await pause(40);
    Object.assign(calls, { get: 0, list: 0, put: 0 });
    await pause(210);
    t.ok(calls.list > 0 && calls.list <= 2 * 12, `${calls.list} lists in ten looks`);
    t.same([calls.get, calls.put], [0, 0]);
  });

  await t.test('what became of a job is known for a day, or until it is forgotten', async (t) => {
    const { clock, runner } = await setting(t, adapter);
    const jobs = runner({ quick: async () => 'x' });
    const waiting = await jobs.submit('quick', {});
    t.equal(await jobs.forget(waiting), false, 'it has not ended');
    jobs.start();
    await untilState(jobs, waiting, 'done');
    const other = await jobs.submit('quick', {});
    await untilState(jobs, other, 'done');
    t.equal(await jobs.forget(waiting), true);
    t.equal(await jobs.get(waiting), undefined);
    t.equal(await jobs.forget(waiting), false);
    clock.move(DAY_MS - 1_000);
    t.ok(await jobs.get(other));
    clock.move(2_000);
    t.equal(await jobs.get(other), undefined);
  });

  await t.test('a place in the list without its job goes when nobody can be about to write it', async (t) => {
    const { clock, records, runner } = await setting(t, adapter);
    const jobs = runner({ work: async () => 1 });
    await records.put({ kind: 'job-open-work', id: `${String(clock.now()).padStart(14, '0')}-x`, value: '"lost"' }, 0);
    jobs.start();
    await pause(10 * LOOK_MS);
    t.equal(await jobs.countOpen('work', 9), 1, 'its process may be about to write the job');
    clock.move(61_000);
    await until('it is gone', async () => (await jobs.countOpen('work', 9)) === 0);
  });
});

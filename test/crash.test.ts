// kill -9 at random moments under load: nothing acknowledged is lost, nothing is done by half, and the next start needs
// no help. CARELOOM_CRASH_ROUNDS sets the number of rounds, CARELOOM_CRASH_SEED repeats a run's load.
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { systemClock } from '../src/base/clock.ts';
import { openMongoStore } from '../src/store/mongo/open.ts';
import { openSqliteStore } from '../src/store/sqlite/open.ts';
import type { Store } from '../src/store/store.ts';
import { type Acknowledged, auditContradictions, killWriter, sealedSegments } from './support/audit-load.ts';
import { CrashLoad, send } from './support/crash-load.ts';
import { engineOn } from './support/engine.ts';
import { type Mongod, startMongod, withDatabase } from './support/mongod.ts';
import { below, type Random, seeded } from './support/random-search.ts';
import { type ServerProcess, startServer } from './support/server-process.ts';
import type { Test } from './support/stores.ts';

const given = Number(process.env.CARELOOM_CRASH_ROUNDS ?? 0);
const rounds = given > 0 ? given : 50;
/** Without a number of rounds asked for, a slow machine does fewer. */
const budgetMs = given > 0 ? Number.POSITIVE_INFINITY : 50_000;
const roundsMin = 8;
const databaseRounds = given > 0 ? Math.ceil(given / 10) : 3;
/** Kills of a process that writes to the store without a server before it. */
const writerRounds = given > 0 ? given : 6;
const workers = 12;
const seed = Number(process.env.CARELOOM_CRASH_SEED ?? Date.now() % 1_000_000);

t.setTimeout(given > 0 ? 0 : 280_000);
t.comment(`CARELOOM_CRASH_SEED=${seed}`);
const folder = mkdtempSync(join(tmpdir(), 'careloom-crash-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
const mongod = await startMongod().catch((error: Error) => error);

await t.test('the server is killed: SQLite', async (t) => {
  const path = join(folder, 'careloom.db');
  await killServers(t, { url: `sqlite:${path}`, open: () => openSqliteStore({ path, clock: systemClock }) });
});

await t.test('a writer is killed: its audit record, SQLite', async (t) => {
  const path = join(folder, 'audit.db');
  await killWriters(t, { url: `sqlite:${path}`, open: () => openSqliteStore({ path, clock: systemClock }) });
});

if (mongod instanceof Error) {
  await t.test('a writer is killed: its audit record, MongoDB', { skip: `no mongod: ${mongod.message}` }, () => {});
  await t.test('the server is killed: MongoDB', { skip: `no mongod: ${mongod.message}` }, () => {});
  await t.test('the database is killed', { skip: `no mongod: ${mongod.message}` }, () => {});
} else {
  t.teardown(() => mongod.stop());
  await t.test('the server is killed: MongoDB', async (t) => {
    const url = withDatabase(mongod.url);
    await killServers(t, { url, open: () => openMongoStore({ url, clock: systemClock }) });
  });
  await t.test('a writer is killed: its audit record, MongoDB', async (t) => {
    const url = withDatabase(mongod.url);
    await killWriters(t, { url, open: () => openMongoStore({ url, clock: systemClock }) });
  });
  await t.test('the database is killed: 503 with Retry-After while it is away, recovery without a restart', (t) =>
    killDatabase(t, mongod),
  );
}

interface Place {
  url: string;
  /** A second look at the same store, from this process. */
  open(): Promise<Store>;
}

async function killServers(t: Test, place: Place): Promise<void> {
  const random = seeded(seed);
  const load = new CrashLoad(random);
  const startedAt = performance.now();
  let round = 0;
  for (; round < rounds; round++) {
    if (round >= roundsMin && performance.now() - startedAt > budgetMs) break;
    const server = await startOn(place.url);
    t.teardown(() => server.kill('SIGKILL'));
    await load.retry(server.url);
    await load.check(server.url, { all: false });
    if (round % 5 === 4) await verify(t, place);
    await killUnderLoad(load, server, random);
    if (load.problems.length > 0) break;
  }
  const server = await startOn(place.url);
  await load.check(server.url, { all: true });
  await verify(t, place);
  t.equal((await server.kill('SIGTERM')).code, 0, 'the last one stops by itself');
  t.strictSame(load.problems.slice(0, 10), [], 'nothing contradicts what was acknowledged');
  t.ok(load.counts.acknowledged > round * 20, 'there was load');
  t.ok(load.counts.unanswered > 0, 'the kills met requests under way');
  t.comment(
    `${round} kills in ${Math.round((performance.now() - startedAt) / 1000)} s, ${JSON.stringify(load.counts)}`,
  );
}

/** Each write has its row in the audit record, each row its write, and no chain has a gap, sealed or not. */
async function killWriters(t: Test, { url, open }: Place): Promise<void> {
  const random = seeded(seed);
  const acknowledged: Acknowledged[] = [];
  let segments = 0;
  for (let round = 0; round < writerRounds; round++) {
    acknowledged.push(...(await killWriter(url, { round, ms: 50 + below(random, 400) })));
    const store = await open();
    const problems = await auditContradictions(store, acknowledged);
    for await (const problem of store.verify({})) problems.push(problem);
    segments = await sealedSegments(store);
    await store.close();
    t.strictSame(problems.slice(0, 10), [], `round ${round + 1}: ${acknowledged.length} acknowledged so far`);
    if (problems.length > 0) break;
  }
  t.ok(acknowledged.length > writerRounds * 10, 'there was load');
  t.ok(segments > 0, 'and rows were sealed meanwhile');
  t.comment(`${acknowledged.length} acknowledged, ${segments} segments`);
}

function startOn(url: string): Promise<ServerProcess> {
  return startServer({ cwd: folder, env: { CARELOOM_STORE: url, CARELOOM_AUDIT: 'on', CARELOOM_LOG_LEVEL: 'error' } });
}

async function killUnderLoad(load: CrashLoad, server: ServerProcess, random: Random): Promise<void> {
  const stop = new AbortController();
  const driven = load.drive(server.url, { workers, until: stop.signal });
  await pause(100 + below(random, 500));
  const ended = server.kill('SIGKILL');
  stop.abort();
  await Promise.all([driven, ended]);
}

/** Closed before the next kill: an open connection would spare SQLite the recovery. */
async function verify(t: Test, place: Place): Promise<void> {
  const store = await place.open();
  const { engine } = await engineOn(store);
  const problems = [];
  for await (const problem of engine.verify()) problems.push(problem);
  problems.push(...(await auditContradictions(store, [])));
  await store.close();
  t.strictSame(problems.slice(0, 10), [], 'index, rows, history and audit record agree');
}

async function killDatabase(t: Test, mongod: Mongod): Promise<void> {
  const url = withDatabase(mongod.url);
  const random = seeded(seed);
  const load = new CrashLoad(random);
  const server = await startOn(url);
  t.teardown(() => server.kill('SIGKILL'));
  const agent = new Agent({ keepAlive: true });
  const ask = (path: string, method = 'GET', body?: object) =>
    send(`${server.url}/${path}`, { method, agent, body, headers: {} });
  const probe = { resourceType: 'Patient', id: 'probe' };
  t.equal((await ask('fhir/Patient/probe', 'PUT', probe))?.status, 201);
  for (let round = 1; round <= databaseRounds; round++) {
    const stop = new AbortController();
    const driven = load.drive(server.url, { workers, until: stop.signal });
    await pause(200 + below(random, 500));
    await mongod.kill();
    const away = await Promise.all([
      ask('fhir/Patient/probe'),
      ask('fhir/Patient?name=x'),
      ask('fhir/Patient/probe', 'PUT', probe),
      ask('fhir/Patient/probe/_history'),
    ]);
    t.strictSame(
      away.map((answer) => answer?.status),
      [503, 503, 503, 503],
      'read, search, update and history while it is away',
    );
    t.ok(
      away.every((answer) => Number(answer?.headers['retry-after']) > 0),
      'with Retry-After',
    );
    t.equal((await ask('readyz'))?.status, 503, 'not ready');
    t.equal((await ask('healthz'))?.status, 200, 'alive all the same');
    await mongod.restart();
    const recoveredMs = await recovered(() => ask('fhir/Patient/probe', 'PUT', probe));
    t.ok(recoveredMs < 10_000, 'a write succeeds again soon');
    t.comment(`round ${round}: recovered in ${Math.round(recoveredMs)} ms`);
    stop.abort();
    await driven;
    t.equal((await ask('readyz'))?.status, 200, 'ready again');
    await load.check(server.url, { all: true });
  }
  await verify(t, { url, open: () => openMongoStore({ url, clock: systemClock }) });
  agent.destroy();
  t.equal((await server.kill('SIGTERM')).code, 0);
  t.strictSame(load.problems.slice(0, 10), [], 'nothing contradicts what was acknowledged');
  t.comment(JSON.stringify(load.counts));
}

/** Milliseconds until an update is answered 200 again; the wait ends after 30 s. */
async function recovered(update: () => ReturnType<typeof send>): Promise<number> {
  const startedAt = performance.now();
  while (performance.now() - startedAt < 30_000) {
    if ((await update())?.status === 200) break;
    await pause(50);
  }
  return performance.now() - startedAt;
}

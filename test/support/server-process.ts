// careloom as its own process, as an operator runs it: started on a free port, watched, killed. Ends with this process.
import { type ChildProcess, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const FLAGS = ['--enable-experimental-regexp-engine-on-excessive-backtracks', '--disable-warning=ExperimentalWarning'];
const START_MS_MAX = 60_000;
/** What is kept of each output; a test that looks at it logs less. */
const OUTPUT_CHARS_MAX = 4_000_000;

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface CareloomProcess {
  pid: number;
  stdout(): string;
  stderr(): string;
  ended: Promise<Ended>;
  /** Sends the signal and waits until the process is gone. */
  kill(signal: NodeJS.Signals): Promise<Ended>;
}

export interface ServerProcess extends CareloomProcess {
  /** `http://127.0.0.1:port`, without the FHIR path. */
  url: string;
}

export interface ProcessOptions {
  /** Settings; nothing else of this process's environment reaches the child but where programs and folders are. */
  env?: Record<string, string>;
  cwd: string;
}

/** `careloom <args>`. */
export function spawnCareloom(args: readonly string[], { env = {}, cwd }: ProcessOptions): CareloomProcess {
  const child = spawn(process.execPath, [...FLAGS, MAIN, ...args], {
    cwd,
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const dog = watchdog(child.pid ?? 0);
  const end = (): void => void child.kill('SIGKILL');
  process.once('exit', end);
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    // `close` rather than `exit`: by then all output was read.
    child.once('close', (code, signal) => {
      process.off('exit', end);
      dog.kill('SIGKILL');
      resolve({ code, signal });
    });
  });
  ended.catch(() => {});
  return {
    pid: child.pid ?? 0,
    stdout: collected(child.stdout),
    stderr: collected(child.stderr),
    ended,
    kill: (signal) => {
      child.kill(signal);
      return ended;
    },
  };
}

/** Runs a command to its end. */
export async function runCareloom(
  args: readonly string[],
  options: ProcessOptions,
): Promise<Ended & { stdout: string; stderr: string }> {
  const child = spawnCareloom(args, options);
  const ended = await child.ended;
  return { ...ended, stdout: child.stdout(), stderr: child.stderr() };
}

/** `careloom serve`, answering when this resolves. Throws with the process's last words when it does not start. */
export async function startServer(options: ProcessOptions & { args?: readonly string[] }): Promise<ServerProcess> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    const env = { CARELOOM_SAMPLE: 'off', CARELOOM_AUTH: 'off', ...options.env, CARELOOM_PORT: String(port) };
    const child = spawnCareloom(['serve', ...(options.args ?? [])], { ...options, env });
    if (await greets(child)) return { ...child, url: `http://127.0.0.1:${port}` };
    await child.kill('SIGKILL');
    // Between looking for a free port and using it somebody else may take it.
    if (attempt < 3 && child.stderr().includes('port is in use')) continue;
    throw new Error(`the server did not start: ${child.stderr().slice(-2_000)}`);
  }
}

/** True when the process says that it serves; false when it ends or says nothing for too long. */
async function greets(child: CareloomProcess): Promise<boolean> {
  const deadline = Date.now() + START_MS_MAX;
  let isOver = false;
  child.ended.then(
    () => {
      isOver = true;
    },
    () => {
      isOver = true;
    },
  );
  while (!child.stdout().includes('start here')) {
    if (isOver || Date.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return true;
}

function collected(stream: NodeJS.ReadableStream | null): () => string {
  let text = '';
  stream?.setEncoding('utf8').on('data', (chunk: string) => {
    text = (text + chunk).slice(-OUTPUT_CHARS_MAX);
  });
  return () => text;
}

/** Its standard input ends when this process dies, even by SIGKILL; then it ends the child. */
function watchdog(pid: number): ChildProcess {
  const dog = spawn('/bin/sh', ['-c', 'cat >/dev/null; kill -9 "$1"', 'sh', String(pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  dog.unref();
  const { stdin } = dog;
  if (stdin !== null && 'unref' in stdin && typeof stdin.unref === 'function') stdin.unref();
  dog.on('error', () => {});
  return dog;
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

// A server process that is watched from inside through its inspector: how long its event loop stood still by the
// processor time of its own thread, whatever else the machine was doing, and what its memory is when all garbage is gone.
import { readFileSync } from 'node:fs';
import { type ServerProcess, startServer } from './server-process.ts';

export interface WatchedServer extends ServerProcess {
  /** The longest that the event loop stood still since the last call, ms of processor time. */
  worstStallMs(): Promise<number>;
  /** After a forced collection of garbage. */
  memory(): Promise<Memory>;
}

/** Bytes. */
export interface Memory {
  heap: number;
  /** Memory of the process itself; without files that are mapped, where the system tells them apart. */
  resident: number;
}

export async function startWatchedServer(cwd: string, env: Record<string, string>): Promise<WatchedServer> {
  const server = await startServer({ cwd, env: { ...env, NODE_OPTIONS: '--inspect=127.0.0.1:0' } });
  const url = /Debugger listening on (ws:\S+)/.exec(server.stderr())?.[1] ?? '';
  const { call, close } = await openInspector(url);
  await call('Runtime.evaluate', { expression: PROBE });
  return {
    ...server,
    kill(signal) {
      // A process that is looked into does not end.
      close();
      return server.kill(signal);
    },
    async worstStallMs() {
      const { result } = await call('Runtime.evaluate', { expression: 'careloomProbe()', returnByValue: true });
      return Number(result.value);
    },
    async memory() {
      // The first one frees what finalizers then let go of.
      for (let round = 0; round < 3; round++) await call('HeapProfiler.collectGarbage');
      const { usedSize } = await call('Runtime.getHeapUsage');
      return { heap: Number(usedSize), resident: residentBytes(server.pid) };
    },
  };
}

/**
 * Runs in the server. Between two beats of a timer the loop does its work; what of that was processor time of this thread
 * is a stall that no other process is to blame for.
 */
const PROBE = `{
  let worst = 0, at = performance.now(), used = process.threadCpuUsage();
  const beat = () => {
    const now = performance.now(), { user, system } = process.threadCpuUsage(used);
    worst = Math.max(worst, Math.min(now - at, (user + system) / 1000));
    at = now;
    used = process.threadCpuUsage();
  };
  setInterval(beat, 5).unref();
  globalThis.careloomProbe = () => {
    const found = worst;
    worst = 0;
    return found;
  };
}`;

// biome-ignore lint/suspicious/noExplicitAny: answers of the inspector
type Call = (method: string, params?: object) => Promise<any>;

/** https://chromedevtools.github.io/devtools-protocol/v8/ */
async function openInspector(url: string): Promise<{ call: Call; close: () => void }> {
  const socket = new WebSocket(url);
  const waiting = new Map<number, (result: unknown) => void>();
  let last = 0;
  socket.addEventListener('message', ({ data }) => {
    const { id, result } = JSON.parse(String(data));
    waiting.get(id)?.(result);
    waiting.delete(id);
  });
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve);
    socket.addEventListener('error', () => reject(new Error('the inspector does not answer')));
  });
  const call: Call = (method, params = {}) =>
    new Promise((resolve) => {
      waiting.set(++last, resolve);
      socket.send(JSON.stringify({ id: last, method, params }));
    });
  return { call, close: () => socket.close() };
}

function residentBytes(pid: number): number {
  try {
    const kilobytes = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return Number(kilobytes ?? 0) * 1024;
  } catch {
    return 0;
  }
}

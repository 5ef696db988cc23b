// Clients that take their time: they hold a socket, and nothing else.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { startServer } from '../support/server-process.ts';

t.setTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), 'careloom-slow-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
const socketsMax = 1_000;
const growthMax = 100 * 1024 * 1024;

t.test('a thousand half-open sockets and slow senders: the others are answered, and memory stays', async (t) => {
  const server = await startServer({
    cwd: folder,
    env: {
      CARELOOM_AUTH: 'on',
      CARELOOM_DATA: folder,
      CARELOOM_AUDIT: 'off',
    },
  });
  t.teardown(() => server.kill('SIGKILL'));
  const port = Number(new URL(server.url).port);
  const healthy = async () => (await fetch(`${server.url}/healthz`)).status;
  for (let count = 0; count < 50; count++) t.equal(await healthy(), 200);
  const before = residentBytes(server.pid);
  const sockets = await Promise.all(Array.from({ length: socketsMax }, () => opened(port)));
  t.teardown(() => sockets.forEach((socket) => void socket.destroy()));
  const starts = [
    '',
    'GET /fhir/Patient HTTP/1.1\r\nHost: x\r\nX-Slow: ',
    `POST /auth/token HTTP/1.1\r\nHost: x\r\n${form}a=`,
  ];
  sockets.forEach((socket, at) => void socket.write(starts[at % starts.length] ?? ''));
  for (let count = 0; count < 50; count++) t.equal(await healthy(), 200);
  const growth = residentBytes(server.pid) - before;
  t.ok(growth < growthMax, `${Math.round(growth / 1024 / 1024)} MB more`);
});

t.test('a body without a token is answered before it came', async (t) => {
  const server = await startServer({ cwd: folder, env: { CARELOOM_AUTH: 'on', CARELOOM_DATA: folder } });
  t.teardown(() => server.kill('SIGKILL'));
  const socket = await opened(Number(new URL(server.url).port));
  t.teardown(() => socket.destroy());
  const said = new Promise<string>((resolve) => socket.once('data', (part) => resolve(part.toString('latin1'))));
  socket.write(
    'POST /fhir HTTP/1.1\r\nHost: x\r\nContent-Type: application/fhir+json\r\nContent-Length: 60000000\r\n\r\n{"re',
  );
  t.match(await said, /^HTTP\/1\.1 401 /);
});

const form = 'Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 60000\r\n\r\n';

function opened(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket));
    socket.on('error', reject);
  });
}

/** Resident memory; 0 where there is no /proc. */
function residentBytes(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * 4096;
  } catch {
    return 0;
  }
}

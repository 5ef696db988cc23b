// TLS by files: what is spoken, what is refused, and a certificate that is renewed while the server runs.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { connect as connectPlain } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import t from 'tap';
import { startServer } from '../support/server-process.ts';
import { guardedServer } from './guarded.ts';

const folder = mkdtempSync(join(tmpdir(), 'careloom-tls-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

/** A self-signed certificate for 127.0.0.1, in two PEM files; undefined without openssl. */
function certificate(name: string): { certFile: string; keyFile: string; cert: Buffer; key: Buffer } | undefined {
  const [certFile, keyFile] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1'];
  try {
    execFileSync('openssl', ['req', '-x509', ...curve, ...subject, '-keyout', keyFile, '-out', certFile], {
      stdio: 'ignore',
    });
  } catch {
    return undefined;
  }
  return { certFile, keyFile, cert: readFileSync(certFile), key: readFileSync(keyFile) };
}

const made = [certificate('first'), certificate('second')].filter((each) => each !== undefined);
const skip = made.length === 2 ? false : 'there is no openssl to make a certificate with';
const none = { certFile: '', keyFile: '', cert: Buffer.alloc(0), key: Buffer.alloc(0) };
const [first = none, second = none] = made;

interface Reply {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}

const ask = (port: number, path: string, options: { headers?: Record<string, string>; ca: Buffer }): Promise<Reply> =>
  new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, path, agent: false, ...options }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        body += part;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    sent.on('error', reject).end();
  });

/** The name in the certificate that a server shows. */
const shownName = (port: number, options: ConnectionOptions = {}): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket: TLSSocket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN));
      socket.destroy();
    });
    socket.on('error', reject);
  });

const portOf = (address: string): number => Number(new URL(address).port);

t.test('FHIR, pages and cookies over TLS', { skip }, async (t) => {
  const cookies = [{ name: 'session', value: 'x', path: '/' }];
  const { server, seen } = guardedServer({
    routes: [
      { method: 'GET', path: '/auth/x', handle: async () => ({ status: 200, cookies, body: '<!doctype html>' }) },
    ],
    server: { tls: first, baseUrl: 'https://127.0.0.1/fhir' },
  });
  t.teardown(() => server.close(100));
  const port = portOf(await server.listen({ host: '127.0.0.1', port: 0 }));
  const headers = { authorization: 'Bearer good' };
  t.equal((await ask(port, '/fhir/Patient/1', { headers, ca: first.cert })).status, 200);
  t.equal(seen.length, 1);
  t.equal((await ask(port, '/fhir/Patient/1', { ca: first.cert })).status, 401);
  t.equal((await ask(port, `/fhir/Patient?x=${'y'.repeat(9_000)}`, { headers, ca: first.cert })).status, 414);
  const page = await ask(port, '/auth/x', { ca: first.cert });
  t.strictSame(page.headers['set-cookie'], ['__Host-session=x; Path=/; HttpOnly; SameSite=Lax; Secure']);
  t.match(page.headers['strict-transport-security'], /max-age/);
  const told = 'max-age=31536000; includeSubDomains';
  for (const path of [
    '/',
    '/healthz',
    '/nowhere',
    '/auth/x',
    '/fhir/metadata',
    '/fhir/Patient/1',
    '/fhir/Patient?x=%',
  ]) {
    for (const authorization of ['Bearer good', 'Bearer bad']) {
      const reply = await ask(port, path, { headers: { authorization }, ca: first.cert });
      t.equal(reply.headers['strict-transport-security'], told, `${path} ${reply.status}`);
    }
  }
});

t.test('TLS 1.2 and 1.3, nothing older and nothing plain', { skip }, async (t) => {
  const { server } = guardedServer({ server: { tls: first } });
  t.teardown(() => server.close(100));
  const port = portOf(await server.listen({ host: '127.0.0.1', port: 0 }));
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
    t.equal(await shownName(port, { minVersion: version, maxVersion: version }), 'first');
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' } as const;
  await t.rejects(shownName(port, old));
  const said = await new Promise<string>((resolve) => {
    let text = '';
    const socket = connectPlain(port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'));
    socket.on('data', (part) => {
      text += part.toString('latin1');
    });
    socket.on('error', () => {}).on('close', () => resolve(text));
  });
  t.notMatch(said, 'careloom');
  t.notMatch(said, '200 OK');
});

t.test(
  'a renewed certificate is for new connections, and one that does not fit changes nothing',
  { skip },
  async (t) => {
    const { server } = guardedServer({ server: { tls: first } });
    t.teardown(() => server.close(100));
    const port = portOf(await server.listen({ host: '127.0.0.1', port: 0 }));
    t.equal(await shownName(port), 'first');
    t.throws(() => server.renewTls({ cert: second.cert, key: first.key }));
    t.equal(await shownName(port), 'first');
    server.renewTls(second);
    t.equal(await shownName(port), 'second');
    await t.rejects(shownName(port, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' }));
  },
);

t.test('SIGHUP reads the files anew', { skip }, async (t) => {
  const [certFile, keyFile] = [join(folder, 'used.pem'), join(folder, 'used.key')];
  const use = ({ cert, key }: { cert: Buffer; key: Buffer }) => {
    writeFileSync(certFile, cert);
    writeFileSync(keyFile, key);
  };
  use(first);
  const server = await startServer({
    cwd: folder,
    env: { CARELOOM_AUTH: 'on', CARELOOM_TLS_CERT: certFile, CARELOOM_TLS_KEY: keyFile },
  });
  t.teardown(() => server.kill('SIGKILL'));
  const port = portOf(server.url);
  t.match(server.stdout(), `https://127.0.0.1:${port}/`);
  t.equal(await shownName(port), 'first');
  use(second);
  process.kill(server.pid, 'SIGHUP');
  let name = 'first';
  for (let attempt = 0; name === 'first' && attempt < 200; attempt++) {
    await new Promise((resolve) => setTimeout(resolve, 25));
    name = await shownName(port);
  }
  t.equal(name, 'second');
  copyFileSync(second.keyFile, certFile);
  process.kill(server.pid, 'SIGHUP');
  await new Promise((resolve) => setTimeout(resolve, 200));
  t.equal(await shownName(port), 'second');
  t.strictSame(await server.kill('SIGTERM'), { code: 0, signal: null });
});

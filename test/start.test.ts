// The process from outside: what an operator sees from the first start to the last signal, and what the log keeps quiet.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { send } from './support/crash-load.ts';
import { runCareloom, startServer } from './support/server-process.ts';
import type { Test } from './support/stores.ts';

t.setTimeout(200_000);
const folder = mkdtempSync(join(tmpdir(), 'careloom-start-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
const env = { CARELOOM_DATA: join(folder, 'data'), CARELOOM_SAMPLE: '', CARELOOM_AUTH: 'off' };
const agent = new Agent({ keepAlive: true });
t.teardown(() => agent.destroy());

const ask = (url: string, method = 'GET', body?: object, headers: Record<string, string> = {}) =>
  send(url, { method, agent, body, headers });

/** Patients in the store of the first start; what comes after must find the same. */
let patients = 0;

await t.test('the first start on an empty folder with --sample', async (t) => {
  const server = await startServer({ cwd: folder, env, args: ['--sample'] });
  t.teardown(() => server.kill('SIGKILL'));
  const ready = await ask(`${server.url}/readyz`);
  t.equal(ready?.status, 200);
  t.same(JSON.parse(ready?.text ?? ''), { status: 'ready', store: 'reachable' });
  t.equal((await ask(`${server.url}/healthz`))?.status, 200);
  patients = JSON.parse((await ask(`${server.url}/fhir/Patient?_summary=count`))?.text ?? '').total;
  t.ok(patients > 10, 'the sample patients are there');
  const home = await ask(server.url);
  t.match(home?.headers['content-type'], 'text/html');
  t.match(home?.text, join(folder, 'data', 'careloom.db'), 'the page names the store');
  const all = JSON.parse((await ask(`${server.url}/fhir/?_summary=count`))?.text ?? '').total;
  t.ok(
    home?.text.replace(/\D/g, ' ').includes(String(all)) || home?.text.includes(all.toLocaleString('en-US')),
    'and how many resources',
  );
  t.match((await ask(`${server.url}/metrics`))?.text, /# TYPE/);
  t.match(server.stdout(), `http://127.0.0.1:`);

  const wide = (at: number) => ask(`${server.url}/fhir/Observation?_count=500&_sort=code&_include=*&status:not=x${at}`);
  const bundle = (at: number) => ({
    resourceType: 'Bundle',
    type: 'transaction',
    entry: Array.from({ length: 300 }, (_, entry) => ({
      request: { method: 'PUT', url: `Basic/stop-${at}-${entry}` },
      resource: { resourceType: 'Basic', id: `stop-${at}-${entry}`, code: { text: 'x' } },
    })),
  });
  await Promise.all([0, 1, 2, 3, 4, 5].map(() => ask(`${server.url}/healthz`)));
  const underWay = [...[0, 1, 2].map(wide), ...[0, 1, 2].map((at) => ask(`${server.url}/fhir`, 'POST', bundle(at)))];
  await pause(60);
  const ended = server.kill('SIGTERM');
  t.strictSame(
    (await Promise.all(underWay)).map((answer) => answer?.status),
    [200, 200, 200, 200, 200, 200],
    'SIGTERM finishes requests',
  );
  t.strictSame(await ended, { code: 0, signal: null }, 'and ends with 0');
});

await t.test('the second start keeps the data and loads no sample again', async (t) => {
  const server = await startServer({ cwd: folder, env, args: ['--sample'] });
  t.teardown(() => server.kill('SIGKILL'));
  t.notMatch(server.stderr(), 'sample practice');
  t.equal(JSON.parse((await ask(`${server.url}/fhir/Patient?_summary=count`))?.text ?? '').total, patients);
  t.equal(
    JSON.parse((await ask(`${server.url}/fhir/Basic?_summary=count`))?.text ?? '').total,
    900,
    'what was acknowledged at the end',
  );
  const versions = JSON.parse((await ask(`${server.url}/fhir/Patient?_count=1`))?.text ?? '').entry[0].resource.meta;
  t.equal(versions.versionId, '1');
  t.strictSame(await server.kill('SIGINT'), { code: 0, signal: null });
});

await t.test('stats, verify, reindex and export on that store', async (t) => {
  const stats = await runCareloom(['stats'], { cwd: folder, env });
  t.equal(stats.code, 0, stats.stderr);
  t.match(stats.stdout, new RegExp(`Patient\\s+${patients}\\b`));
  const verify = await runCareloom(['verify'], { cwd: folder, env });
  t.equal(verify.code, 0, verify.stderr);
  t.match(verify.stdout, / 0 problems/);
  const reindex = await runCareloom(['reindex'], { cwd: folder, env });
  t.equal(reindex.code, 0, reindex.stderr);
  t.match(reindex.stdout, /^0 resources/, 'the index was right already');
  const out = join(folder, 'out');
  const exported = await runCareloom(['export', '--out', out], { cwd: folder, env });
  t.equal(exported.code, 0, exported.stderr);
  t.ok(readdirSync(out).every((name) => name.endsWith('.ndjson')));
  const lines = readFileSync(join(out, 'Patient.ndjson'), 'utf8').trimEnd().split('\n');
  t.equal(lines.length, patients);
  t.ok(lines.every((line) => JSON.parse(line).resourceType === 'Patient'));
});

await t.test('a wrong setting ends the start: name, value, what is accepted', async (t) => {
  const wrong: [Record<string, string>, RegExp][] = [
    [{ CARELOOM_PORT: '99999' }, /CARELOOM_PORT is '99999'.*accepted: a port from 1 to 65535/],
    [{ CARELOOM_HOST: '0.0.0.0', CARELOOM_AUTH: 'off' }, /CARELOOM_HOST is '0\.0\.0\.0'.*CARELOOM_AUTH=off.*loopback/],
    [{ CARELOOM_HOST: '0.0.0.0' }, /CARELOOM_HOST is '0\.0\.0\.0'.*CARELOOM_TLS_CERT/],
    [{ CARELOOM_HOST: 'example.org' }, /CARELOOM_HOST is 'example\.org'.*localhost/],
    [{ CARELOOM_STORE: 'postgres://x' }, /CARELOOM_STORE is 'postgres:\/\/x'.*mongodb:/],
    [{ CARELOOM_AUTH: 'no' }, /CARELOOM_AUTH is 'no'.*accepted: on or off/],
    [{ CARELOOM_TLS_CERT: 'none.pem', CARELOOM_TLS_KEY: 'none.pem' }, /CARELOOM_TLS_CERT: none\.pem cannot be read/],
    [{ CARELOOM_ISSUERS: 'none.json' }, /CARELOOM_ISSUERS: none\.json cannot be read/],
    [{ CARELOOM_SECRET: 'short-canary' }, /CARELOOM_SECRET has a value.*32 characters/],
    [{ CARELOOM_TIME_ZONE: 'Mars/Olympus' }, /CARELOOM_TIME_ZONE is 'Mars\/Olympus'.*IANA/],
    [{ CARELOOM_SAMPEL: 'on' }, /CARELOOM_SAMPEL is not a setting; did you mean CARELOOM_SAMPLE/],
    [{ CARELOOM_LINK_SECRET: 'short-canary' }, /CARELOOM_LINK_SECRET has a value.*32 characters/],
  ];
  for (const [setting, says] of wrong) {
    const ended = await runCareloom(['serve'], { cwd: folder, env: { ...env, CARELOOM_AUTH: 'on', ...setting } });
    t.equal(ended.code, 2, JSON.stringify(setting));
    t.match(ended.stderr, says);
    t.notMatch(ended.stderr, 'short-canary', 'a secret is not shown');
  }
  const missing = await runCareloom(['serve'], {
    cwd: folder,
    env: { ...env, CARELOOM_STORE: 'mongodb://127.0.0.1:1/none?serverSelectionTimeoutMS=500' },
  });
  t.equal(missing.code, 1, 'a database that is not there');
  t.match(missing.stderr, /^careloom: .*database/i);
});

await t.test('npm start: demo logins, a line that works, and a door for everybody else', async (t) => {
  const data = join(folder, 'guarded');
  const guarded = { ...env, CARELOOM_DATA: data, CARELOOM_AUTH: 'on', CARELOOM_RATE_LIMITS: 'off' };
  const first = await startServer({ cwd: folder, env: guarded, args: ['--sample'] });
  t.teardown(() => first.kill('SIGKILL'));
  for (const login of ['admin', 'clinician', 'frontdesk', 'biller', 'patient'])
    t.match(first.stdout(), new RegExp(`^ +${login} +\\S{19} `, 'm'), login);
  const token = await works(t, first.stdout());
  t.equal((await ask(`${first.url}/fhir/Patient?_count=1`))?.status, 401);
  t.notMatch(first.stderr(), token, 'the token is not in the log');
  t.equal(statSync(join(data, 'secret')).mode & 0o777, 0o600, 'the secret is for the owner alone');
  t.strictSame(await first.kill('SIGTERM'), { code: 0, signal: null });

  const second = await startServer({ cwd: folder, env: guarded, args: ['--sample'] });
  t.teardown(() => second.kill('SIGKILL'));
  t.notMatch(second.stdout(), 'demo logins', 'passwords are shown once');
  await works(t, second.stdout());
  const again = await ask(`${second.url}/fhir/Patient?_count=1`, 'GET', undefined, {
    authorization: `Bearer ${token}`,
  });
  t.equal(again?.status, 200, 'a token outlives the process');
  t.strictSame(await second.kill('SIGTERM'), { code: 0, signal: null });

  const other = { ...guarded, CARELOOM_SECRET: 'x'.repeat(32) };
  t.match(await runCareloom(['serve'], { cwd: folder, env: other }), { code: 2, stderr: /set up with/ });

  const plain = { CARELOOM_HOST: '0.0.0.0', CARELOOM_BASE_URL: 'http://127.0.0.1/fhir', CARELOOM_PLAIN_HTTP: 'accept' };
  const open = await startServer({ cwd: folder, env: { ...guarded, ...plain }, args: ['--sample'] });
  t.teardown(() => open.kill('SIGKILL'));
  t.match(open.stderr(), '5 demo logins are shut out');
  t.notMatch(open.stdout(), 'Bearer');
  const late = await ask(`${open.url}/fhir/Patient?_count=1`, 'GET', undefined, { authorization: `Bearer ${token}` });
  t.equal(late?.status, 401, 'with their tokens');
  await open.kill('SIGTERM');
});

/** Runs the line that the terminal shows; its token. */
async function works(t: Test, shown: string): Promise<string> {
  const [, token = '', url = ''] = /Authorization: Bearer (\S+)' '(\S+)'/.exec(shown) ?? [];
  const answer = await ask(url, 'GET', undefined, { authorization: `Bearer ${token}` });
  t.equal(answer?.status, 200);
  t.equal(JSON.parse(answer?.text ?? '{}').total, 40);
  return token;
}

await t.test('without anybody: the link for the first administrator', async (t) => {
  const guarded = { ...env, CARELOOM_DATA: join(folder, 'empty'), CARELOOM_AUTH: 'on' };
  const server = await startServer({ cwd: folder, env: guarded });
  t.teardown(() => server.kill('SIGKILL'));
  const link = /http:\/\/127\.0\.0\.1:\d+\/auth\/setup\/\S+/.exec(server.stdout())?.[0] ?? '';
  t.equal((await ask(link))?.status, 200);
  t.equal((await ask(`${link}x`))?.status, 404);
  t.notMatch(server.stderr(), link, 'not in the log');
  t.notMatch(server.stderr(), /setup\/[A-Za-z0-9_-]{20}/);
  await server.kill('SIGTERM');
});

await t.test('off is said loudly', async (t) => {
  const server = await startServer({ cwd: folder, env });
  t.teardown(() => server.kill('SIGKILL'));
  t.match(server.stderr(), 'ACCESS CONTROL IS OFF');
  t.match((await ask(server.url))?.text, 'Access control is off');
  t.match((await ask(`${server.url}/metrics`))?.text, 'careloom_access_control 0');
  await server.kill('SIGTERM');
});

await t.test('the log holds no ids, query values, headers or bodies', async (t) => {
  const server = await startServer({ cwd: folder, env: { ...env, CARELOOM_LOG_LEVEL: 'trace' } });
  t.teardown(() => server.kill('SIGKILL'));
  const canary = 'Canary7193';
  const fhir = `${server.url}/fhir`;
  const patient = { resourceType: 'Patient', id: canary, name: [{ family: canary }], birthDate: '1971-09-03' };
  const answers = await Promise.all([
    ask(`${fhir}/Patient/${canary}`, 'PUT', patient),
    ask(`${fhir}/Patient`, 'POST', patient, { 'if-none-exist': `name=${canary}` }),
    ask(`${fhir}/Patient?name=${canary}&birthdate=1971-09-03`),
    ask(`${fhir}/Patient?${canary}=1`),
    ask(`${fhir}/${canary}/1`),
    ask(`${fhir}/Patient/$${canary}`),
    ask(`${fhir}/Patient/${canary}/_history/1`),
    ask(`${fhir}/Patient/${canary}`, 'PUT', { ...patient, nmae: canary }),
    ask(`${fhir}/Patient/${canary}`, 'PUT', patient, { 'if-match': canary }),
    ask(`${fhir}/Patient`, 'POST', { resourceType: canary }),
    ask(`${fhir}?_page=${canary}`),
    ask(`${fhir}`, 'POST', {
      resourceType: 'Bundle',
      type: 'batch',
      entry: [{ request: { method: 'GET', url: `Patient/${canary}` } }],
    }),
    ask(`${fhir}/Patient`, 'GET', undefined, {
      accept: canary,
      authorization: canary,
      cookie: canary,
      'user-agent': canary,
    }),
    ask(`${server.url}/${canary}`),
    ask(`${server.url}/${canary}%zz`),
  ]);
  t.ok(answers.every((answer) => answer !== undefined && answer.status < 500));
  t.equal((await server.kill('SIGTERM')).code, 0);
  const log = server.stderr();
  const lines = log.split('\n').filter((line) => line.includes('"requestId"'));
  t.ok(lines.length >= answers.length, 'a line for each request, written before the end');
  t.ok(
    lines.every((line) => JSON.parse(line) !== undefined),
    'each of them JSON',
  );
  t.notMatch(log, canary);
  t.notMatch(log, '1971');
});

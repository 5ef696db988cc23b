// The process from outside: what an operator sees from the first start to the last signal, and what the log keeps quiet.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { send } from './support/crash-load.ts';
import { runCareloom, startServer } from './support/server-process.ts';

t.setTimeout(200_000);
const folder = mkdtempSync(join(tmpdir(), 'careloom-start-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
const env = { CARELOOM_DATA: join(folder, 'data'), CARELOOM_SAMPLE: '' };
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
    [{ CARELOOM_HOST: '0.0.0.0' }, /CARELOOM_HOST is '0\.0\.0\.0'.*loopback/],
    [{ CARELOOM_HOST: 'example.org' }, /CARELOOM_HOST is 'example\.org'.*loopback/],
    [{ CARELOOM_STORE: 'postgres://x' }, /CARELOOM_STORE is 'postgres:\/\/x'.*mongodb:/],
    [{ CARELOOM_AUTH: 'on' }, /CARELOOM_AUTH is 'on'.*accepted: off/],
    [{ CARELOOM_TIME_ZONE: 'Mars/Olympus' }, /CARELOOM_TIME_ZONE is 'Mars\/Olympus'.*IANA/],
    [{ CARELOOM_SAMPEL: 'on' }, /CARELOOM_SAMPEL is not a setting; did you mean CARELOOM_SAMPLE/],
    [{ CARELOOM_LINK_SECRET: 'short-canary' }, /CARELOOM_LINK_SECRET has a value.*32 characters/],
  ];
  for (const [setting, says] of wrong) {
    const ended = await runCareloom(['serve'], { cwd: folder, env: { ...env, ...setting } });
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

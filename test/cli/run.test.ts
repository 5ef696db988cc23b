// The command line itself: commands, options, help, exit codes.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import { commands } from '../../src/cli/commands.ts';
import { createProgress } from '../../src/cli/progress.ts';
import { settings } from '../../src/config.ts';
import { bench } from './support.ts';

t.test('help has every command, option and setting', async (t) => {
  const { run } = bench(t);
  for (const argv of [['help'], ['--help'], []]) {
    const { code, out } = await run(...argv);
    t.equal(code, 0);
    for (const { name, options } of commands) {
      t.match(out, `careloom ${name}`);
      for (const option of Object.keys(options)) t.match(out, `--${option}`);
    }
    for (const { name } of settings) t.match(out, name);
  }
  const one = await run('load', '--help');
  t.match(one, { code: 0, out: /--again/ });
  t.notMatch(one.out, 'reindex');
});

t.test('2 for what is not understood', async (t) => {
  const { run, runWith } = bench(t);
  t.match(await run('lood'), { code: 2, err: /did you mean 'load'/ });
  t.match(await run('load', '--nonsense'), { code: 2, err: /--nonsense/ });
  t.match(await run('load'), { code: 2, err: /files or folders/ });
  t.match(await run('load', 'x', '--parallel', '0'), { code: 2, err: /1 to 32/ });
  t.match(await run('stats', 'operand'), { code: 2 });
  t.match(await run('export'), { code: 2, err: /--out/ });
  t.match(await run('export', '--out', '-', '--type', '../etc'), { code: 2 });
  const environment = { CARELOOM_HOST: '0.0.0.0' };
  t.match(await runWith({ io: { environment } }, 'stats'), { code: 2, err: /CARELOOM_HOST/ });
});

t.test('load, stats, export, reindex and verify on one store', async (t) => {
  const { run, file, folder } = bench(t);
  const patients = ['a', 'b'].map((id) => `{"resourceType":"Patient","id":"${id}"}`).join('\n');
  t.match(await run('load', file('patients.ndjson', patients)), { code: 0, out: /Patient +2\n/ });
  t.match(await run('stats'), { code: 0, out: /SQLite .*\nPatient +2\ntotal +2\n/ });
  const out = join(folder, 'out');
  t.match(await run('export', '--out', out), { code: 0, out: /Patient +2/ });
  const lines = readFileSync(join(out, 'Patient.ndjson'), 'utf8').trimEnd().split('\n');
  t.match(lines.map((line) => JSON.parse(line).id).sort(), ['a', 'b']);
  t.equal((await run('export', '--out', '-', '--type', 'Patient')).out.split('\n').length, 3);
  t.equal((await run('export', '--out', '-', '--type', 'Observation')).out, '');
  t.match(await run('reindex'), { code: 0, out: /^0 resources/ });
  t.match(await run('verify'), { code: 0, out: /2 resources checked, 0 problems/ });
});

t.test('serve answers until it is stopped', async (t) => {
  const { runWith, folder } = bench(t);
  const port = String(await freePort());
  const stop = new AbortController();
  const environment = {
    CARELOOM_DATA: folder,
    CARELOOM_LOG_LEVEL: 'silent',
    PORT: port,
    CARELOOM_SAMPLE: 'off',
    CARELOOM_AUTH: 'off',
  };
  const served = runWith({ io: { signal: stop.signal, environment } }, 'serve', '--sample');
  const reply = await answerFrom(`http://127.0.0.1:${port}/fhir/Patient`);
  t.match(await reply.json(), { resourceType: 'Bundle', total: 0 });
  const second = await runWith({ io: { environment } }, 'serve');
  t.match(second, { code: 1, err: /in use/ });
  stop.abort();
  t.match(await served, { code: 0, out: /serves FHIR R4 at http:\/\/127\.0\.0\.1/ });
});

t.test('the sample practice fills an empty store, once', async (t) => {
  const { runWith, run, folder } = bench(t);
  const stop = new AbortController();
  const port = String(await freePort());
  const environment = { CARELOOM_DATA: folder, CARELOOM_LOG_LEVEL: 'silent', PORT: port, CARELOOM_AUTH: 'off' };
  const serve = async (signal: AbortSignal) => runWith({ io: { signal, environment } }, 'serve', '--sample');
  const served = serve(stop.signal);
  await answerFrom(`http://127.0.0.1:${port}/fhir/Patient`);
  stop.abort();
  t.match((await served).err, /made-up resources/);
  const { out } = await run('stats');
  t.match(out, /Patient +40/);
  t.notMatch((await serve(AbortSignal.abort())).err, /made-up/);
  t.equal((await run('stats')).out, out);
});

t.test('progress: a bar for a person, a line now and then for a log', async (t) => {
  let now = 0;
  let text = '';
  const err = { write: (part: string) => (text += part) };
  const log = createProgress({ err, isTerminal: false }, { label: 'work', total: 200, now: () => now });
  log.update(1);
  t.equal(text, '', 'nothing for what is over soon');
  now = 6_000;
  log.update(100, 'half');
  log.end();
  t.equal(text, 'work 50 % half\n');
  text = '';
  const bar = createProgress({ err, isTerminal: true }, { label: 'work', total: 200, now: () => now });
  bar.update(100);
  bar.update(101);
  bar.end();
  t.match(text, /^\r.*work \[#{15}\.{15}\] 50 %\r.{4}$/);
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function answerFrom(url: string): Promise<Response> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await fetch(url);
    } catch (error) {
      if (attempt > 200) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

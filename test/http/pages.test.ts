// The pages beside the FHIR base, the figures, and what the log must not know.
import t from 'tap';
import { html } from '../../src/base/html.ts';
import { fakeServer } from './support.ts';

t.test('the home page says what runs, what it holds, and where to go', async (t) => {
  const { server } = fakeServer();
  const reply = await server.inject('/');
  t.equal(reply.statusCode, 200);
  t.match(reply.headers['content-type'], /text\/html/);
  t.match(reply.body, 'a &lt;fake&gt; store');
  t.match(reply.body, 'fhir/metadata');
  t.match(reply.body, /3 resources/);
  t.notMatch(reply.body, /<script/);
  const policy = String(reply.headers['content-security-policy']);
  t.match(policy, /default-src 'none'/);
  t.match(policy, /style-src 'sha256-/);
  t.equal((await server.inject({ method: 'HEAD', url: '/' })).statusCode, 200);
});

t.test('a store that does not answer does not take the page along', async (t) => {
  const away = async () => {
    throw new Error('away');
  };
  const { server } = fakeServer(undefined, { store: { name: 'x', stats: away, ping: away } });
  t.match((await server.inject('/')).body, 'The store does not answer');
  t.equal((await server.inject('/readyz')).statusCode, 503);
  t.equal((await server.inject('/healthz')).statusCode, 200);
});

t.test('counts are asked for once in a while', async (t) => {
  let asked = 0;
  let now = 0;
  const stats = async () => {
    asked++;
    return new Map<string, number>();
  };
  const { server } = fakeServer(undefined, {
    store: { name: 'x', stats, ping: async () => {} },
    clock: { now: () => now, newId: () => 'id' },
  });
  await server.inject('/');
  t.match((await server.inject('/')).body, 'No resources yet');
  t.equal(asked, 1);
  now = 6_000;
  await server.inject('/');
  t.equal(asked, 2);
});

t.test('a store that answers is ready', async (t) => {
  const { server } = fakeServer();
  t.same((await server.inject('/readyz')).json(), { status: 'ready', store: 'reachable' });
});

t.test('neither log nor metrics know ids, queries or bodies', async (t) => {
  const canary = 'CanaryPatient';
  const { server, lines } = fakeServer(({ path }) => {
    if (path.endsWith('fault')) throw new Error(`no ${canary}`, { cause: new SyntaxError(`at ${canary}`) });
    return { status: 200, headers: {}, body: Buffer.from(canary), interaction: 'read' };
  });
  const headers = { 'content-type': 'application/fhir+json', 'user-agent': canary, referer: canary };
  const addresses = [
    `/fhir/Patient/${canary}`,
    `/fhir/Patient?name=${canary}`,
    `/fhir/${canary}`,
    `/fhir/${canary}/fault`,
  ];
  for (const url of [...addresses, `/${canary}`, `/fhir/Patient/%zz${canary}`]) {
    await server.inject({ url, headers });
    await server.inject({ method: 'POST', url, headers, payload: `{"name":"${canary}"}` });
  }
  t.ok(lines.length >= 10);
  t.notMatch(lines.join(''), canary);
  const figures = (await server.inject('/metrics')).body;
  t.match(figures, /careloom_request_duration_seconds_count\{interaction="read",status="200"\}/);
  t.match(figures, /process_cpu_user_seconds_total/);
  t.notMatch(figures, canary);
});

t.test('one line for each request', async (t) => {
  const { server, lines } = fakeServer();
  await server.inject({ url: '/fhir/Patient/1', headers: { 'x-request-id': 'a"b' } });
  await server.inject('/healthz');
  await server.inject('/fhir/Patient/%zz');
  const told = lines.map((line) => JSON.parse(line));
  t.match(told[0], { level: 'info', requestId: 'a"b', interaction: 'read', status: 200, ms: Number });
  t.match(told[1], { interaction: '/healthz', status: 200 });
  t.match(told[2], { status: 400 });
  t.equal(told.length, 3);
});

t.test('html escapes what is not html', async (t) => {
  const items = ['<a>', '"&\''].map((text) => html`<li>${text}</li>`);
  t.equal(html`<ul>${items}</ul>${1}`.text, '<ul><li>&lt;a&gt;</li><li>&quot;&amp;&#39;</li></ul>1');
});

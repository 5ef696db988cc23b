// Requests that nobody sends by mistake, and made-up ones by the thousand: whatever comes, the answer is no 5xx, comes
// soon, and the store is in order afterwards. CARELOOM_FUZZ_SEED repeats a run, CARELOOM_FUZZ_MS makes it longer.
import t from 'tap';
import { type Ask, askApp, type Reply } from '../support/app.ts';
import { engineOn } from '../support/engine.ts';
import { randomSearch, randomWrite, rawValues, resources, values } from '../support/hostile.ts';
import { seeded } from '../support/random-search.ts';
import { onBothStores } from '../support/stores.ts';

const seed = Number(process.env.CARELOOM_FUZZ_SEED ?? Date.now() % 1_000_000);
const fuzzMs = Number(process.env.CARELOOM_FUZZ_MS ?? 10_000);
/** The main thread may be busy with one thing for so long. */
const stallMsMax = 500;
const rssGrowthMax = 200 * 1024 * 1024;

t.setTimeout(0);
t.comment(`CARELOOM_FUZZ_SEED=${seed}`);
await onBothStores(t, async (t, adapter) => {
  const { store, close } = await adapter.open();
  t.teardown(close);
  const ask = await askApp(store);
  await load(ask);

  await t.test('hostile values in searches, paths and conditions', async (t) => {
    const watch = watchOf(ask);
    const names = [
      'name',
      'name:contains',
      'name:exact',
      'identifier',
      'identifier:not',
      '_id',
      'birthdate',
      'phone',
      'general-practitioner',
      'organization.name',
      '_lastUpdated',
      '_tag',
      '_profile',
      '_source',
      'active:missing',
      '_count',
      '_sort',
      '_include',
      '_revinclude',
      '_total',
      '_summary',
      '_page',
      '_format',
      '_has:Observation:patient:code',
    ];
    const others = [
      'Observation?code',
      'Observation?value-quantity',
      'Observation?value-string',
      'Observation?date',
      'Observation?subject',
      'Observation?subject:identifier',
      'RiskAssessment?probability',
      'ValueSet?url:below',
      'Location?near',
      'Composition?_text',
      'Patient?_content',
      'Observation?code-value-quantity',
      'Patient?_filter',
      'Patient?_list',
    ];
    for (const value of [...values.map(encodeURIComponent), ...rawValues]) {
      for (const name of names) await watch(`/fhir/Patient?${name}=${value}`);
      for (const search of others) await watch(`/fhir/${search}=${value}`);
      await watch(`/fhir/Patient?${value}=1`);
      await watch(`/fhir/Patient?name:${value}=1`);
      await watch(`/fhir/Patient/${value}`);
      await watch(`/fhir/${value}`);
      await watch(`/fhir/${value}/1/_history/${value}`);
      await watch(`/fhir/Patient/1/${value}`);
      await watch(`/fhir/Patient/1/_history?_since=${value}`);
      await watch(`/fhir/Patient?name=x`, { method: 'DELETE', headers: { 'if-match': headerOf(value) } });
      await watch(`/fhir/Patient?identifier=${value}`, { method: 'PUT', body: { resourceType: 'Patient' } });
      await watch('/fhir/Patient', {
        method: 'POST',
        body: { resourceType: 'Patient' },
        headers: { 'if-none-exist': `identifier=${headerOf(value)}` },
      });
      await watch('/fhir/Patient', {
        headers: { prefer: headerOf(value), accept: headerOf(value), 'if-none-match': headerOf(value) },
      });
      await watch('/fhir/Patient/_search', {
        method: 'POST',
        body: `name:contains=${value}`,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
      });
    }
    t.strictSame(watch.failures.slice(0, 10), [], 'no 5xx, each answered soon');
    t.comment(`${watch.count()} requests`);
  });

  await t.test('hostile text in resources comes back as it was sent and can be found', async (t) => {
    const watch = watchOf(ask);
    const texts = [...values.filter((text) => text.trim() !== ''), '\ud800', 'a\udfffb', '\ufeff'];
    for (const [at, text] of texts.entries()) {
      const patient = {
        resourceType: 'Patient',
        id: `hostile-${at}`,
        identifier: [{ system: text, value: text }],
        name: [{ family: text, given: [text] }],
      };
      const put = await watch(`/fhir/Patient/hostile-${at}`, { method: 'PUT', body: patient });
      if (put.status !== 201) continue;
      t.strictSame(
        (await watch(`/fhir/Patient/hostile-${at}`)).json.name,
        patient.name,
        JSON.stringify(text.slice(0, 40)),
      );
    }
    t.strictSame(watch.failures.slice(0, 10), []);
  });

  await t.test('made-up searches and damaged resources', async (t) => {
    const random = seeded(seed);
    const watch = watchOf(ask);
    for (let warm = 0; warm < 200; warm++) await watch(randomSearch(random));
    const rss = process.memoryUsage().rss;
    const until = performance.now() + fuzzMs;
    const statuses = new Map<number, number>();
    while (performance.now() < until) {
      const asked = Array.from({ length: 4 }, () =>
        random() < 0.5 ? watch(randomSearch(random)) : randomWrite(random, watch),
      );
      for (const { status } of await Promise.all(asked)) statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
    t.strictSame(watch.failures.slice(0, 10), [], 'no 5xx, each answered soon');
    t.ok((statuses.get(200) ?? 0) > 20 && (statuses.get(400) ?? 0) > 20, 'some are understood, some are not');
    const grown = process.memoryUsage().rss - rss;
    t.ok(grown < rssGrowthMax, `memory stays flat: ${Math.round(grown / 1024 / 1024)} MB`);
    t.comment(`${watch.count()} requests: ${JSON.stringify(Object.fromEntries(statuses))}`);
  });

  await t.test('the store is in order afterwards', async (t) => {
    const { engine } = await engineOn(store);
    const problems = [];
    for await (const problem of engine.verify()) problems.push(problem);
    t.strictSame(problems.slice(0, 10), []);
  });
});

async function load(ask: Ask): Promise<void> {
  const entry = resources.map((resource) => ({
    request: { method: 'PUT', url: `${resource.resourceType}/${resource.id}` },
    resource,
  }));
  const { status, says } = await ask('/fhir', {
    method: 'POST',
    body: { resourceType: 'Bundle', type: 'transaction', entry },
  });
  if (status !== 200) throw new Error(`the sample was not taken: ${says}`);
}

type Watch = Ask & { failures: string[]; count(): number };

/**
 * Asks, and keeps what went wrong. The time is that of this thread's own work, so that a busy machine is no failure;
 * with several requests at once it is an upper bound for each.
 */
function watchOf(ask: Ask): Watch {
  const failures: string[] = [];
  let count = 0;
  const watch = async (...[path, sent]: Parameters<Ask>): Promise<Reply> => {
    count++;
    const before = process.threadCpuUsage();
    const reply = await ask(path, sent);
    const { user, system } = process.threadCpuUsage(before);
    const ms = (user + system) / 1000;
    const about = `${sent?.method ?? 'GET'} ${path.slice(0, 300)} ${JSON.stringify(sent?.body ?? '').slice(0, 1_000)}`;
    if (reply.status >= 500) failures.push(`${reply.status} ${about}`);
    if (ms > stallMsMax) failures.push(`${Math.round(ms)} ms: ${about}`);
    return reply;
  };
  return Object.assign(watch, { failures, count: () => count });
}

/** What a header line can carry of a value. */
function headerOf(value: string): string {
  return value.slice(0, 4_000);
}

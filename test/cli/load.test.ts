// `careloom load`: every kind of file, what fails, what is done twice, and what was interrupted.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { createApp } from '../../src/app.ts';
import { readConfig } from '../../src/config.ts';
import { bench } from './support.ts';

const patient = (id: string, more = {}) => ({ resourceType: 'Patient', id, ...more });
const lines = (...resources: object[]) => resources.map((each) => JSON.stringify(each)).join('\n');
const bundle = (type: string, entry: object[]) => JSON.stringify({ resourceType: 'Bundle', type, entry });

t.test('single resources, NDJSON and collections are put under their ids', async (t) => {
  const { run, file } = bench(t);
  const paths = [
    file('one.json', `\ufeff${JSON.stringify(patient('one'), null, 2)}`),
    file('many.ndjson', `${lines(patient('a'), patient('b'))}\n\n`),
    file('zipped.ndjson.gz', Buffer.concat([gzipSync(`${lines(patient('c'))}\n`), gzipSync(lines(patient('d')))])),
    file('set.json', bundle('collection', [{ fullUrl: 'http://x/Patient/e', resource: patient('e') }])),
    file('new.json', '{"resourceType":"Patient"}'),
  ];
  t.match(await run('load', ...paths), { code: 0, out: /Patient +7\n/, err: '' });
  const exported = await run('export', '--out', '-');
  for (const id of ['one', 'a', 'b', 'c', 'd', 'e']) t.match(exported.out, `"id":"${id}"`);
});

t.test('what was sent is what is kept', async (t) => {
  const { run, file } = bench(t);
  const text = `{"resourceType":"Observation","id":"o","status":"final","code":{"text":"\\u00fc"},"valueQuantity":{"value":1.50}}`;
  t.match(await run('load', file('o.ndjson', text)), { code: 0 });
  t.match((await run('export', '--out', '-')).out, '"code":{"text":"\\u00fc"},"valueQuantity":{"value":1.50}}');
});

t.test('a transaction goes in as a whole, a collection tied by urn: as well', async (t) => {
  const { run, file } = bench(t);
  const urn = 'urn:uuid:11111111-1111-4111-8111-111111111111';
  const observation = {
    resourceType: 'Observation',
    status: 'final',
    code: { text: 'x' },
    subject: { reference: urn },
  };
  const post = (resource: { resourceType: string }, fullUrl?: string) => ({
    ...(fullUrl === undefined ? {} : { fullUrl }),
    resource,
    request: { method: 'POST', url: resource.resourceType },
  });
  const transaction = bundle('transaction', [post({ resourceType: 'Patient' }, urn), post(observation)]);
  const collection = bundle('collection', [
    { fullUrl: urn, resource: patient('tied') },
    { fullUrl: 'urn:uuid:22222222-2222-4222-8222-222222222222', resource: { ...observation, id: 'o' } },
  ]);
  const ran = await run('load', file('a.json', transaction), file('b.json.gz', gzipSync(collection)));
  t.match(ran, { code: 0, out: /Observation +2\nPatient +2\n/ });
  t.match((await run('export', '--out', '-')).out, '"reference":"Patient/tied"');
});

t.test('what was loaded is not loaded again, under whatever name, unless asked for', async (t) => {
  const { run, file } = bench(t);
  const text = lines(...Array.from({ length: 250 }, (_, index) => patient(`p${index}`)));
  const path = file('a.ndjson', text);
  t.match(await run('load', path), { code: 0, out: /Patient +250/ });
  t.match(await run('load', path, file('renamed.ndjson', text)), { code: 0, out: /2 files were loaded before/ });
  t.match(await run('load', path, '--again'), { code: 0, out: /Patient +250/ });
});

t.test('a failed entry is told without its content, hinders no other, and is tried again', async (t) => {
  const { run, file } = bench(t);
  const text = lines(patient('a'), patient('b', { birthDate: 'Canary' }), patient('c'), {
    resourceType: 'Patient',
    id: '!',
  });
  const path = file('a.ndjson', `${text}\n{"resourceType":\n[]`);
  const ran = await run('load', path);
  t.match(ran, { code: 1, out: /Patient +2\n/ });
  t.match(ran.err, /a\.ndjson: entry 2: 400 .*Patient\.birthDate/);
  t.match(ran.err, /entry 4: its id/);
  t.match(ran.err, /entry 5: a line that is not well-formed/);
  t.match(ran.err, /entry 6: /);
  t.equal(ran.err.trimEnd().split('\n').length, 4);
  t.notMatch(ran.err, 'Canary');
  t.match(await run('load', path), { code: 1, out: /total +0/, err: /entry 2: 400/ });
  t.match((await run('load', path, '--diagnostics')).err, /entry 2: .*A date is expected/);
});

t.test('what fails for want of a later file is tried once more at the end', async (t) => {
  const { run, folder } = bench(t);
  const data = join(folder, 'in');
  mkdirSync(data);
  const reference = 'Organization?identifier=urn:x|1';
  const observation = { resourceType: 'Patient', managingOrganization: { reference } };
  const needs = bundle('transaction', [{ resource: observation, request: { method: 'POST', url: 'Patient' } }]);
  const organization = { resourceType: 'Organization', identifier: [{ system: 'urn:x', value: '1' }] };
  const request = { method: 'POST', url: 'Organization', ifNoneExist: 'identifier=urn:x|1' };
  writeFileSync(join(data, '00-needs.json'), needs);
  writeFileSync(join(data, '01-has.json'), bundle('batch', [{ resource: organization, request }]));
  writeFileSync(join(data, 'counts.json'), '{"no":"FHIR"}');
  writeFileSync(join(data, 'README.txt'), 'passed over');
  t.match(await run('load', data), { code: 0, out: /Organization +1\nPatient +1\n/, err: '' });
});

t.test('a file that cannot be read is told, and the others go in', async (t) => {
  const { run, file } = bench(t);
  const bad = [
    file('bad.json', '{"resourceType":'),
    file('none.json', '{"a":1}'),
    file('cut.ndjson.gz', gzipSync(lines(patient('x'))).subarray(0, 30)),
  ];
  const ran = await run('load', ...bad, file('good.json', JSON.stringify(patient('good'))));
  t.match(ran, { code: 1, out: /Patient +1\n/ });
  for (const path of bad) t.match(ran.err, path);
  t.match(await run('load', '/no/such/file'), { code: 1, err: /ENOENT/ });
});

t.test('threat 18: a decompression bomb is refused', async (t) => {
  const { run, file } = bench(t);
  const bomb = gzipSync(Buffer.alloc(80 * 1024 * 1024, 0x20));
  t.match(await run('load', file('bomb.ndjson.gz', bomb)), { code: 1, err: /decompresses to more/ });
});

t.test('an interrupted load goes on where it was', async (t) => {
  const { runWith, run, file, folder } = bench(t);
  const path = file('a.ndjson', lines(...Array.from({ length: 1_000 }, (_, index) => patient(`p${index}`))));
  const stop = new AbortController();
  const app = await createApp(
    readConfig({ CARELOOM_AUTH: 'off', CARELOOM_DATA: folder, CARELOOM_LOG_LEVEL: 'silent' }),
  );
  let performed = 0;
  const engine = {
    ...app.engine,
    perform: (...args: Parameters<typeof app.engine.perform>) => {
      if (++performed === 3) stop.abort();
      return app.engine.perform(...args);
    },
  };
  const overrides = { store: app.store, engine };
  const first = await runWith({ overrides, io: { signal: stop.signal } }, 'load', path, '--parallel', '1');
  t.match(first, { code: 1, err: /interrupted/ });
  const second = await run('load', path);
  t.equal(second.code, 0);
  t.notMatch(second.out, /Patient +1000/, 'not all of it once more');
  t.match((await run('stats')).out, /Patient +1000/);
  t.match(await run('load', path), { out: /1 files were loaded before/ });
});

// The record while a server runs: start and stop are in it, and its end is signed.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { createApp } from '../../../src/app.ts';
import { createLog } from '../../../src/base/log.ts';
import { readConfig } from '../../../src/config.ts';
import { checkpointIn, checkpointKeyOf } from '../../../src/fhir/audit/checkpoint.ts';
import type { Store } from '../../../src/store/store.ts';
import { type Adapter, onBothStores, type Test } from '../../support/stores.ts';
import { allLines } from './support.ts';

const secret = 'a secret of thirty-two characters or more';

t.test('nothing is recorded where the record is off', async (t) => {
  const { sqlite } = await import('../../support/stores.ts');
  const { store, close } = await sqlite.open();
  t.teardown(close);
  const config = readConfig({ CARELOOM_AUTH: 'off' });
  const app = await createApp(config, { store, log: createLog({ level: 'silent' }) });
  const server = await app.server();
  const body = {
    resourceType: 'AuditEvent',
    type: { code: 'x' },
    recorded: '2026-01-01T00:00:00Z',
    agent: [{ requestor: true }],
    source: { observer: { display: 'x' } },
  };
  const headers = { 'content-type': 'application/fhir+json' };
  const made = await server.inject({ method: 'POST', url: '/fhir/AuditEvent', payload: JSON.stringify(body), headers });
  t.equal(made.statusCode, 201, 'AuditEvent is a resource like any other');
  t.equal((await store.stats()).get('AuditEvent'), 1);
  await app.engine.record({ kind: 'login', outcome: 'success' });
  t.same(await allLines(store), []);
});

const cases: Record<string, (t: Test, adapter: Adapter) => Promise<void>> = {
  'start and stop are recorded, and the end of the record is signed when the server stops': async (t, adapter) => {
    const { store, close } = await adapter.open();
    t.teardown(close);
    const folder = t.testdir({});
    const path = join(folder, 'checkpoints');
    const config = readConfig({
      CARELOOM_DATA: folder,
      CARELOOM_AUTH: 'off',
      CARELOOM_AUDIT: 'on',
      CARELOOM_AUDIT_CHECKPOINTS: path,
      CARELOOM_SECRET: secret,
    });
    const log = createLog({ level: 'silent' });
    const kept = leftOpen(store);
    const app = await createApp({ ...config, port: 0 }, { store: kept, log });
    await app.listen();
    const reply = await (await app.server()).inject({ method: 'GET', url: '/fhir/Patient/none' });
    t.equal(reply.statusCode, 404);
    await app.close();
    const lines = await allLines(store);
    t.same(
      lines.map(({ body }) => body.k),
      ['start', 'read', 'stop'],
    );
    t.match(lines[1]?.body, { a: '127.0.0.1', s: 404, r: reply.headers['x-request-id'] });
    const last = readFileSync(path, 'utf8').trimEnd().split('\n').at(-1) ?? '';
    const signed = checkpointIn(last, checkpointKeyOf(secret))?.heads.reduce((sum, { seq }) => sum + seq, 0);
    t.equal(signed, 3);
  },
  'that nothing was recorded for a while is on record, with who turned it off': async (t, adapter) => {
    const { store, close } = await adapter.open();
    t.teardown(close);
    const folder = t.testdir({});
    const log = createLog({ level: 'silent' });
    const serveWith = async (audit: 'on' | 'off') => {
      const settings = { CARELOOM_DATA: folder, CARELOOM_AUTH: 'off', CARELOOM_AUDIT: audit, CARELOOM_SECRET: secret };
      const app = await createApp({ ...readConfig(settings), port: 0 }, { store: leftOpen(store), log });
      await app.listen();
      await (await app.server()).inject({ method: 'GET', url: '/fhir/Patient/none' });
      await app.close();
    };
    for (const audit of ['on', 'off', 'off', 'on', 'on'] as const) await serveWith(audit);
    const lines = await allLines(store);
    t.same(
      lines.map(({ body }) => body.k),
      [
        ...['start', 'read', 'stop'],
        ...['recording-stopped', 'recording-stopped'],
        ...['recording-started', 'start', 'read', 'stop'],
        ...['start', 'read', 'stop'],
      ],
    );
    const [stopped, , started] = lines.slice(3);
    t.match(stopped?.body.x, /CARELOOM_AUDIT=off, by \S+/);
    t.match(started?.body.x, /nothing may have been since 2\d{3}-/);
    const since = /since (\S+)\.$/.exec(started?.body.x ?? '')?.[1] ?? '';
    t.ok(Math.abs(Date.parse(since) - (stopped?.at ?? 0)) < 5_000, 'since the first time');
  },
  'a token that is none is on record when the server stops, at the latest': async (t, adapter) => {
    const { store, close } = await adapter.open();
    t.teardown(close);
    const config = readConfig({ CARELOOM_DATA: t.testdir({}), CARELOOM_SECRET: secret });
    const app = await createApp(config, { store: leftOpen(store), log: createLog({ level: 'silent' }) });
    const headers = { authorization: `Bearer ${'A'.repeat(43)}` };
    for (let count = 0; count < 3; count++) {
      const { statusCode } = await (await app.server()).inject({ method: 'GET', url: '/fhir/Patient/1', headers });
      t.equal(statusCode, 401);
    }
    t.same(await allLines(store), [], 'no answer waited for the disk');
    await app.close();
    const lines = await allLines(store);
    t.equal(lines.length, 1);
    t.match(lines[0], {
      agent: 'system',
      patients: [],
      body: { k: 'token-refused', s: 403, d: 1, a: '127.0.0.1', x: /: 3 times/ },
    });
  },
};

/** What the app closes is still to be looked at. */
function leftOpen(store: Store): Store {
  return new Proxy(store, {
    get(target, name) {
      if (name === 'close') return async () => {};
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

t.test('on both stores', (t) =>
  onBothStores(t, async (t: Test, adapter) => {
    for (const [title, run] of Object.entries(cases)) await t.test(title, (t: Test) => run(t, adapter));
  }),
);

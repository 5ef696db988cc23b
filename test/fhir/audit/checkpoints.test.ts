// Checkpoints and verification: what was changed or cut off is found.
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { checkpointIn, checkpointKeyOf, publicPem, signedCheckpoint } from '../../../src/fhir/audit/checkpoint.ts';
import { createCheckpoints } from '../../../src/fhir/audit/checkpoints.ts';
import type { SecurityEvent } from '../../../src/fhir/audit/security-event.ts';
import { verifyRecord } from '../../../src/fhir/audit/verify-record.ts';
import type { AuditEntry, Store } from '../../../src/store/store.ts';
import { type Adapter, onBothStores, type Test } from '../../support/stores.ts';
import { tampering } from './tamper.ts';

const key = checkpointKeyOf('a secret of an installation');

const line = (at: number): AuditEntry => ({
  at,
  patients: ['p'],
  agent: 'Practitioner/1',
  body: '{"k":"read","s":200}',
});

async function* linesOf(path: string): AsyncGenerator<string> {
  yield* readFileSync(path, 'utf8').trimEnd().split('\n');
}

async function problems(store: Store, folder: string): Promise<string[]> {
  return Array.fromAsync(verifyRecord({ store, key, checkpoints: linesOf(join(folder, 'checkpoints')) }));
}

async function recorded(t: Test, adapter: Adapter) {
  const { store, close, url } = await adapter.open();
  t.teardown(close);
  const folder = t.testdir({ checkpoints: '' });
  const time = { now: 1_000_000 };
  const events: SecurityEvent[] = [];
  const faults: unknown[] = [];
  const checkpoints = createCheckpoints({
    store,
    clock: { now: () => time.now, newId: () => '' },
    key,
    path: join(folder, 'checkpoints'),
    record: async (event) => {
      events.push(event);
    },
    onFault: (error) => faults.push(error),
  });
  const made = (): number => readFileSync(join(folder, 'checkpoints'), 'utf8').split('\n').length - 1;
  return { store, url, folder, time, checkpoints, events, faults, made };
}

t.test('a checkpoint is a JWS that its key alone signs', async (t) => {
  t.ok(key.equals(checkpointKeyOf('a secret of an installation')), 'every process derives the same');
  t.notOk(key.equals(checkpointKeyOf('a secret of an installation.')));
  const checkpoint = { at: 5, heads: [{ chain: 'c', seq: 3, at: 4, hash: 'ff' }] };
  const jws = signedCheckpoint(checkpoint, key);
  t.match(JSON.parse(Buffer.from(jws.split('.')[0] ?? '', 'base64url').toString()), {
    alg: 'EdDSA',
    kid: /^[\w-]{43}$/,
  });
  t.same(checkpointIn(jws, key), checkpoint);
  t.same(checkpointIn(jws, createPublicKey(publicPem(key))), checkpoint, 'its public half verifies');
  const [header, payload, signature] = jws.split('.');
  const other = Buffer.from(JSON.stringify({ ...checkpoint, at: 6 })).toString('base64url');
  t.equal(checkpointIn(`${header}.${other}.${signature}`, key), undefined);
  t.equal(checkpointIn(`${header}.${payload}.`, key), undefined);
  t.equal(checkpointIn(`${jws}.x`, key), undefined);
  t.equal(checkpointIn(jws, generateKeyPairSync('ed25519').privateKey), undefined);
});

t.test('a file that cannot be written is told, and tried again', async (t) => {
  const { sqlite } = await import('../../support/stores.ts');
  const { store, close } = await sqlite.open();
  t.teardown(close);
  const folder = t.testdir({});
  const faults: unknown[] = [];
  const path = join(folder, 'absent', 'checkpoints');
  const options = { store, key, path, record: async () => {} };
  const clock = { now: () => 1, newId: () => '' };
  const checkpoints = createCheckpoints({ ...options, clock, onFault: (error) => faults.push(error) });
  await store.audit.append([line(1)]);
  await checkpoints.make();
  t.equal(faults.length, 1);
  await checkpoints.make();
  t.equal(faults.length, 2);
});

const cases: Record<string, (t: Test, adapter: Adapter) => Promise<void>> = {
  'one every thousand lines, or every minute in which anything was recorded': async (t, adapter) => {
    const { store, time, checkpoints, made, faults } = await recorded(t, adapter);
    await checkpoints.beat();
    t.equal(made(), 0, 'nothing to sign');
    await store.audit.append([line(1)]);
    await checkpoints.beat();
    t.equal(made(), 0);
    time.now += 60_000;
    await checkpoints.beat();
    t.equal(made(), 1);
    time.now += 60_000;
    await checkpoints.beat();
    t.equal(made(), 1, 'nothing new');
    await store.audit.append(Array.from({ length: 1_000 }, (_, at) => line(at)));
    await checkpoints.beat();
    t.equal(made(), 2);
    await store.audit.append([line(3)]);
    await checkpoints.stop();
    t.equal(made(), 3, 'the end is signed');
    t.same(faults, []);
  },
  'a step of the clock is recorded': async (t, adapter) => {
    const { time, checkpoints, events } = await recorded(t, adapter);
    await checkpoints.beat();
    t.same(events, []);
    time.now -= 3_600_000;
    await checkpoints.beat();
    t.match(events, [{ kind: 'clock-step', detail: /-3[56]\d{5} ms/ }]);
    await checkpoints.beat();
    t.equal(events.length, 1);
  },
  'threat 40: a record that is as it was written verifies; a changed line is named': async (t, adapter) => {
    const { store, url, folder, checkpoints } = await recorded(t, adapter);
    for (let at = 0; at < 20; at++) await store.audit.append([line(at)]);
    await checkpoints.make();
    for (let at = 20; at < 25; at++) await store.audit.append([line(at)]);
    t.same(await problems(store, folder), []);
    await tampering(url).change(4);
    const [problem, ...more] = await problems(store, folder);
    t.match(problem, /^audit chain .*row \d+ changed/);
    t.same(more, []);
    t.notMatch(problem, /Practitioner|somebody/);
  },
  'threat 40: a truncated end is found by the checkpoints alone': async (t, adapter) => {
    const { store, url, folder, checkpoints } = await recorded(t, adapter);
    for (let at = 0; at < 20; at++) await store.audit.append([line(at)]);
    await checkpoints.make();
    await tampering(url).cutOff(3);
    t.same(await Array.fromAsync(verifyRecord({ store })), [], 'the chain itself is sound');
    const found = await problems(store, folder);
    t.ok(found.length > 0);
    for (const problem of found) t.match(problem, /cut off/);
    await tampering(url).cutOff(17);
    t.match((await problems(store, folder)).join(), /cut off/, 'all of it is gone');
  },
  'threat 40: checkpoints that were changed or cut off are found': async (t, adapter) => {
    const { store, folder, checkpoints, time } = await recorded(t, adapter);
    await store.audit.append([line(1)]);
    await checkpoints.make();
    time.now += 5;
    await store.audit.append([line(2)]);
    await checkpoints.make();
    const path = join(folder, 'checkpoints');
    const [first = '', second = ''] = readFileSync(path, 'utf8').split('\n');
    writeFileSync(path, `${first}\n`);
    t.match((await problems(store, folder)).join(), /lacks the one of/);
    writeFileSync(
      path,
      `${first}\n${second.replace(/\..*\./, `.${Buffer.from('{"at":1,"heads":[]}').toString('base64url')}.`)}\n`,
    );
    t.match((await problems(store, folder)).join(), /line 2 was not signed/);
    writeFileSync(path, `${first}\nnonsense\n`);
    t.match((await problems(store, folder)).join(), /line 2 was not signed/);
  },
};

t.test('on both stores', (t) =>
  onBothStores(t, async (t: Test, adapter) => {
    for (const [title, run] of Object.entries(cases)) await t.test(title, (t: Test) => run(t, adapter));
  }),
);

// Several processes on one store: two engines, each in a process of its own, with nothing in common but the database.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { nextLink } from '../support/engine.ts';
import { type EngineProcess, startEngineProcess } from '../support/engine-process.ts';
import { sharedMongod } from '../support/mongod.ts';
import type { Test } from '../support/stores.ts';

t.setTimeout(200_000);
const mongod = await sharedMongod();
const folder = mkdtempSync(join(tmpdir(), 'careloom-processes-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

if (mongod.skip !== undefined) {
  await t.test('two processes on MongoDB', { skip: mongod.skip }, async () => {});
} else {
  t.teardown(() => mongod.stop());
  await t.test('two processes on MongoDB', (t) => twoProcesses(t, mongod.url()));
}
// WAL and a write lock for each batch: what one process wrote is in the other's next transaction.
await t.test('two processes on one SQLite file', (t) => twoProcesses(t, `sqlite:${join(folder, 'careloom.db')}`));

async function twoProcesses(t: Test, url: string): Promise<void> {
  // Both start on a store that is not there yet.
  const pair = await Promise.all([startEngineProcess(url), startEngineProcess(url)]);
  t.teardown(() => Promise.all(pair.map((one) => one.close())));
  const [one, other] = pair;
  const either = (at: number): EngineProcess => (at % 2 === 0 ? one : other);
  const patient = (members: object = {}) => ({ resourceType: 'Patient', ...members });
  const many = <T>(count: number, work: (at: number) => Promise<T>): Promise<T[]> =>
    Promise.all(Array.from({ length: count }, (_, at) => work(at)));

  await t.test('each reads and finds at once what the other wrote', async (t) => {
    for (let at = 0; at < 20; at++) {
      const [writer, reader] = [either(at), either(at + 1)];
      const id = `seen-${at}`;
      t.equal((await writer.ask('PUT', `Patient/${id}`, patient({ id, name: [{ family: id }] }))).status, 201);
      t.equal((await reader.ask('GET', `Patient/${id}`)).headers.ETag, 'W/"1"');
      t.equal((await reader.ask('GET', `Patient?family:exact=${id}`)).json.entry?.length, 1);
      t.equal((await reader.ask('PUT', `Patient/${id}`, patient({ id, active: true }))).headers.ETag, 'W/"2"');
      t.equal((await writer.ask('GET', `Patient/${id}`)).headers.ETag, 'W/"2"');
      t.equal((await writer.ask('DELETE', `Patient/${id}`)).status, 204);
      t.equal((await reader.ask('GET', `Patient/${id}`)).status, 410);
      t.equal((await reader.ask('GET', `Patient/${id}/_history`)).json.entry.length, 3);
    }
  });

  await t.test('64 conditional creates over both make one, for each of several conditions', async (t) => {
    for (let key = 0; key < 4; key++) {
      const body = patient({ identifier: [{ system: 'urn:once', value: `${key}` }] });
      const replies = await many(64, (at) =>
        either(at).ask('POST', 'Patient', body, { 'If-None-Exist': `identifier=urn:once|${key}` }),
      );
      t.equal(replies.filter(({ status }) => status === 201).length, 1);
      t.equal(replies.filter(({ status }) => status === 200).length, 63);
      t.equal(new Set(replies.map(({ json }) => json.id)).size, 1);
    }
  });

  await t.test('the same in transactions', async (t) => {
    const bundle = {
      resourceType: 'Bundle',
      type: 'transaction',
      entry: [
        {
          fullUrl: 'urn:uuid:00000000-0000-4000-8000-000000000001',
          request: { method: 'POST', url: 'Patient', ifNoneExist: 'identifier=urn:once|bundle' },
          resource: patient({ identifier: [{ system: 'urn:once', value: 'bundle' }] }),
        },
        {
          request: { method: 'POST', url: 'Flag' },
          resource: {
            resourceType: 'Flag',
            status: 'active',
            code: { text: 'x' },
            subject: { reference: 'urn:uuid:00000000-0000-4000-8000-000000000001' },
          },
        },
      ],
    };
    const replies = await many(16, (at) => either(at).ask('POST', '', bundle));
    t.ok(replies.every(({ status }) => status === 200));
    const found = (await one.ask('GET', 'Patient?identifier=urn:once|bundle&_revinclude=Flag:patient')).json.entry;
    t.equal(found.length, 17, 'one patient, and sixteen flags that refer to it');
  });

  await t.test('If-Match has one winner in each round', async (t) => {
    await one.ask('PUT', 'Patient/contended', patient({ id: 'contended' }));
    for (let version = 1; version <= 5; version++) {
      const replies = await many(32, (at) =>
        either(at).ask('PUT', 'Patient/contended', patient({ id: 'contended', name: [{ text: `${at}` }] }), {
          'If-Match': `W/"${version}"`,
        }),
      );
      t.equal(replies.filter(({ status }) => status === 200).length, 1);
      t.equal(replies.filter(({ status }) => status === 412).length, 31);
    }
    const updates = await many(32, (at) =>
      either(at).ask('PUT', 'Patient/contended', patient({ id: 'contended', active: at % 2 === 0 })),
    );
    t.strictSame(
      updates.map(({ headers }) => Number(/\d+/.exec(headers.ETag ?? '')?.[0])).sort((a, b) => a - b),
      Array.from({ length: 32 }, (_, at) => 7 + at),
      'unconditional updates all count, each once',
    );
  });

  await t.test('versions and their instants grow together, whoever writes', async (t) => {
    const writes = 200;
    await many(writes, (at) => either(at).ask('PUT', 'Patient/clock', patient({ id: 'clock' })));
    const { entry } = (await one.ask('GET', `Patient/clock/_history?_count=${writes}`)).json;
    const versions = entry.map(({ resource }: { resource: { meta: object } }) => resource.meta);
    t.strictSame(
      versions.map(({ versionId }: { versionId: string }) => Number(versionId)),
      Array.from({ length: writes }, (_, at) => writes - at),
      'history has them newest first',
    );
    const instants = versions.map(({ lastUpdated }: { lastUpdated: string }) => lastUpdated);
    t.strictSame(instants, [...instants].sort().reverse(), 'and none is older than the one before');
  });

  await t.test('a paging link made by one leads on at the other', async (t) => {
    await many(25, (at) =>
      either(at).ask('PUT', `Basic/page-${at}`, { resourceType: 'Basic', id: `page-${at}`, code: { text: 'x' } }),
    );
    const ids: string[] = [];
    let link: string | undefined = 'Basic?_count=4';
    for (let page = 0; link !== undefined; page++) {
      const reply = await either(page).ask('GET', link);
      t.equal(reply.status, 200);
      ids.push(...reply.json.entry.map((entry: { resource: { id: string } }) => entry.resource.id));
      link = nextLink(reply);
    }
    t.equal(new Set(ids).size, 25);
    t.equal(ids.length, 25);
  });

  await t.test('who follows the outbox misses nothing that either wrote, and sees versions in order', async (t) => {
    const expected = new Set<string>();
    let isOver = false;
    const write = async (worker: number): Promise<void> => {
      for (let round = 0; round < 12; round++) {
        const id = `outbox-${worker % 6}-${round % 3}`;
        const entry = [id, `${id}-more`].map((own) => ({
          request: { method: 'PUT', url: `Basic/${own}` },
          resource: { resourceType: 'Basic', id: own, code: { text: `${worker}-${round}` } },
        }));
        const reply = await either(worker).ask('POST', '', { resourceType: 'Bundle', type: 'transaction', entry });
        t.equal(reply.status, 200);
        for (const [at, { response }] of reply.json.entry.entries())
          expected.add(`${at === 0 ? id : `${id}-more`} ${/\d+/.exec(response.etag)?.[0]}`);
      }
    };
    const follow = async (reader: EngineProcess): Promise<{ seen: string[]; disorder: string[] }> => {
      const seen: string[] = [];
      const disorder: string[] = [];
      const latest = new Map<string, number>();
      let after = '';
      for (let last = false; ; ) {
        const changes = await reader.changes(after, 7);
        for (const { seq, id, version } of changes) {
          after = seq;
          if (version !== (latest.get(id) ?? 0) + 1) disorder.push(`${id}: ${version} after ${latest.get(id)}`);
          latest.set(id, version);
          seen.push(`${id} ${version}`);
        }
        if (changes.length > 0) continue;
        if (last) return { seen, disorder };
        last = isOver;
      }
    };
    const writing = many(12, write).then(() => {
      isOver = true;
    });
    const followers = await Promise.all([follow(one), follow(other), follow(one)]);
    await writing;
    for (const { seen, disorder } of followers) {
      t.strictSame(disorder.slice(0, 5), [], 'in order');
      const mine = seen.filter((change) => change.startsWith('outbox-'));
      t.strictSame(
        [...expected].filter((change) => !mine.includes(change)),
        [],
        'nothing missed',
      );
      t.equal(mine.length, expected.size, 'nothing twice');
    }
  });
}

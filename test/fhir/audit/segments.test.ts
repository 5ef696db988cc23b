// Sealed rows of the audit record: what was done to them is found, and only what is old is sealed and purged.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import t from 'tap';
import { checkpointIn, checkpointKeyOf, signedCheckpoint } from '../../../src/fhir/audit/checkpoint.ts';
import { createCheckpoints } from '../../../src/fhir/audit/checkpoints.ts';
import { createDailyRetention, DAILY } from '../../../src/fhir/audit/daily-retention.ts';
import { legalHold, purgeOld, type Retention, sealOld, setLegalHold } from '../../../src/fhir/audit/retention.ts';
import type { SecurityEvent } from '../../../src/fhir/audit/security-event.ts';
import { verifyRecord } from '../../../src/fhir/audit/verify-record.ts';
import type { AuditSegment, Store } from '../../../src/store/store.ts';
import { type Adapter, onBothStores, type Test } from '../../support/stores.ts';
import { allLines } from './support.ts';
import { type SegmentTampering, tampering } from './tamper.ts';

const key = checkpointKeyOf('a secret of an installation');
const JANUARY = Date.UTC(2020, 0);
const DAY = 86_400_000;

/** Thirty days from January on, a line each at noon; three segments of ten, and ten lines that are not sealed. */
async function recorded(t: Test, adapter: Adapter) {
  const time = { now: JANUARY };
  const clock = { now: () => time.now, newId: () => '' };
  const { store, close, url } = await adapter.open(clock);
  t.teardown(close);
  const line = (day: number) => ({
    at: JANUARY + day * DAY + DAY / 2,
    patients: ['p', `p${day % 3}`],
    agent: 'Practitioner/1',
    body: `{"k":"read","s":200,"i":"${day}"}`,
  });
  for (let day = 0; day < 40; day++) await store.audit.append([line(day)]);
  const folder = t.testdir({ checkpoints: '' });
  const path = join(folder, 'checkpoints');
  const events: SecurityEvent[] = [];
  const record = async (event: SecurityEvent): Promise<void> => {
    events.push(event);
  };
  const onFault = (error: unknown): void => {
    throw error;
  };
  const checkpoints = createCheckpoints({ store, clock, key, path, record, onFault });
  await checkpoints.make();
  const retention: Retention = { store, clock, key, path, record, months: 13, years: 6 };
  const problems = async (from = path): Promise<string[]> =>
    Array.fromAsync(verifyRecord({ store, key, checkpoints: linesOf(from) }));
  return { store, url, time, retention, problems, events, path, checkpoints };
}

async function* linesOf(path: string): AsyncGenerator<string> {
  yield* readFileSync(path, 'utf8').trimEnd().split('\n');
}

/** Three segments of ten, and ten lines that are not sealed; the last of the third is of January. */
async function sealedTo30(store: Store): Promise<AuditSegment[]> {
  const segments: AuditSegment[] = [];
  for await (const segment of store.audit.seal({ before: JANUARY + 30 * DAY, rowsMax: 10 })) segments.push(segment);
  return segments;
}

/** The rows with somebody else in them, packed as well as those before. */
const rewritten = (packed: Buffer): Buffer => {
  const text = zstdDecompressSync(packed).toString('latin1').replace('Practitioner/1', 'Practitioner/2');
  return zstdCompressSync(Buffer.from(text, 'latin1'));
};

const cut = (packed: Buffer): Buffer => {
  const changed = Buffer.from(packed);
  changed[changed.length >> 1] = (changed[changed.length >> 1] ?? 0) ^ 0xff;
  return changed;
};

/** What is done to the second of three segments, and the sentences that tell of it. */
const drills: Record<string, { forge: (segments: SegmentTampering) => Promise<unknown>; finds: RegExp[] }> = {
  'a byte is changed': {
    forge: (segments) => segments.change(11, cut),
    finds: [/sealed rows 11 to 20 cannot be unpacked$/],
  },
  'a row is rewritten': {
    forge: (segments) => segments.change(11, rewritten),
    finds: [/: row 11 changed/, /sealed rows 11 to 20 are not as the segment says: patients and agents$/],
  },
  'the rows are those of another segment': {
    forge: async (segments) => {
      let other: Buffer = Buffer.alloc(0);
      await segments.change(1, (packed) => {
        other = packed;
        return packed;
      });
      await segments.change(11, () => other);
    },
    // The row after them followed from the one that was last.
    finds: [
      /: rows 11 to 20 changed/,
      /11 to 20 are not as the segment says: hash, at, earliest, latest$/,
      /21 to 30 do not follow from/,
      /row 21 changed/,
    ],
  },
  'the segment is removed': {
    forge: (segments) => segments.remove(11),
    finds: [/: rows 11 to 20 missing$/],
  },
  'its rows are removed': {
    forge: (segments) => segments.empty(11),
    finds: [/: rows 11 to 20 missing$/],
  },
  'it is said to have fewer rows': {
    forge: (segments) => segments.say(11, 'to', 19),
    finds: [/sealed rows 11 to 19 are not as the segment says: to$/],
  },
  'it is said to end otherwise': {
    forge: (segments) => segments.say(11, 'hash', 'ff'.repeat(32)),
    finds: [/11 to 20 are not as the segment says: hash$/],
  },
  'it is said to begin otherwise': {
    forge: (segments) => segments.say(11, 'before', 'ff'.repeat(32)),
    finds: [/11 to 20 do not follow from the row before$/],
  },
  'it is said to be of another time': {
    forge: (segments) => segments.say(11, 'latest', JANUARY),
    finds: [/11 to 20 are not as the segment says: latest$/],
  },
  'it is not found by its patients any more': {
    forge: (segments) => segments.unname(11),
    finds: [/11 to 20 are not as the segment says: patients and agents$/],
  },
  'it is said to have been purged': {
    forge: async (segments) => {
      await segments.say(11, 'purged', 'nonsense');
      await segments.empty(11);
    },
    finds: [/11 to 20 were removed, and no signed checkpoint says that they were purged$/],
  },
  'it is said to have been purged by who has another key': {
    forge: async (segments) => {
      const purged = [{ chain: 'c', from: 11, to: 20, before: '', hash: '' }];
      const other = checkpointKeyOf('another');
      await segments.say(11, 'purged', signedCheckpoint({ at: 1, heads: [], purged }, other));
    },
    finds: [/11 to 20 were removed, and no signed checkpoint/],
  },
};

const cases: Record<string, (t: Test, adapter: Adapter) => Promise<void>> = {
  'threat 40: a sealed record verifies; rows removed without a segment are missing': async (t, adapter) => {
    const { store, url, problems } = await recorded(t, adapter);
    t.equal((await sealedTo30(store)).length, 3);
    t.same(await problems(), []);
    t.same(await Array.fromAsync(store.verify({})), []);
    await tampering(url).remove(31);
    t.match(await problems(), [/: row 31 missing$/]);
  },
  'what fails in between leaves nothing by half': async (t, adapter) => {
    const { store, url, problems } = await recorded(t, adapter);
    const mend = await tampering(url).breakSealing();
    await t.rejects(sealedTo30(store));
    const [{ chain = '' } = {}] = await store.audit.heads();
    t.same(await Array.fromAsync(store.audit.segments(chain)), []);
    t.equal((await allLines(store)).length, 40);
    t.same(await problems(), []);
    await mend();
    t.equal((await sealedTo30(store)).length, 3);
    t.equal((await allLines(store)).length, 40);
    t.same(await problems(), []);
  },
  'whole months are sealed when they are old, with a line on record': async (t, adapter) => {
    const { store, retention, time, events, problems } = await recorded(t, adapter);
    time.now = Date.UTC(2021, 1, 28);
    t.match(await sealOld(retention), { segments: 0 });
    t.same(events, []);
    time.now = Date.UTC(2021, 2, 1);
    t.match(await sealOld(retention), { segments: 1, rows: 31 });
    t.match(events, [{ kind: 'seal', detail: '31 rows in 1 segments' }]);
    t.match(await sealOld(retention), { segments: 0 });
    t.equal((await allLines(store)).length, 40);
    t.same(await problems(), []);
  },
  'segments are purged after their years: signed, on record, and the chain goes on': async (t, adapter) => {
    const { store, retention, time, events, problems, path, checkpoints } = await recorded(t, adapter);
    await sealedTo30(store);
    time.now = Date.UTC(2026, 0, 11);
    t.match(await purgeOld(retention, { isDryRun: true }), { segments: 1, rows: 10 });
    t.equal((await allLines(store)).length, 40);
    t.match(await purgeOld(retention), { segments: 1, rows: 10 });
    t.match(events, [{ kind: 'purge', detail: /^rows 1 to 10 of chain .*, until 2020-01-10T12:00:00.000Z$/ }]);
    t.equal((await allLines(store)).length, 30);
    t.same(await problems(), []);
    t.same(await Array.fromAsync(store.verify({})), []);
    t.match(await purgeOld({ ...retention, years: undefined }), { segments: 0 });
    time.now = Date.UTC(2030, 0);
    t.match(await purgeOld(retention), { segments: 2, rows: 20 });
    await checkpoints.make();
    t.same(await problems(), []);
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    const purged = lines.flatMap((line) => checkpointIn(line, key)?.purged ?? []);
    t.match(purged, [
      { from: 1, to: 10 },
      { from: 11, to: 20 },
      { from: 21, to: 30 },
    ]);
    const without = lines.filter((line) => checkpointIn(line, key)?.purged?.[0]?.from !== 11);
    writeFileSync(`${path}-2`, without.join('\n'));
    t.match(await problems(`${path}-2`), [/11 to 20 were purged, which the file of checkpoints lacks$/]);
  },
  'a legal hold keeps everything': async (t, adapter) => {
    const { store, retention, time } = await recorded(t, adapter);
    await sealedTo30(store);
    time.now = Date.UTC(2030, 0);
    t.equal(await legalHold(store), undefined);
    t.equal(await setLegalHold(retention, 'Smith v. clinic'), true);
    t.equal(await setLegalHold(retention, 'another'), false);
    t.same(await legalHold(store), { reason: 'Smith v. clinic', since: time.now });
    await t.rejects(purgeOld(retention), { status: 409, message: /legal hold/ });
    t.equal((await allLines(store)).length, 40);
    t.equal(await setLegalHold(retention, undefined), true);
    t.match(await purgeOld(retention), { segments: 3 });
  },
  'once a day one process seals and purges': async (t, adapter) => {
    const { store, retention, time } = await recorded(t, adapter);
    time.now = Date.UTC(2030, 0);
    const onFault = (error: unknown): void => {
      t.fail('a fault', { error });
    };
    const [one, other] = [
      createDailyRetention({ ...retention, onFault }),
      createDailyRetention({ ...retention, onFault }),
    ];
    await Promise.all([one.beat(), other.beat()]);
    const [{ chain = '' } = {}] = await store.audit.heads();
    const segments = (): Promise<AuditSegment[]> => Array.fromAsync(store.audit.segments(chain));
    t.match(await segments(), [{ purged: /./ }, { purged: /./ }]);
    await store.audit.append([{ at: Date.UTC(2029, 0), patients: [], agent: 'x', body: '{}' }]);
    await other.beat();
    await sealOld({ ...retention, months: 1, record: async () => {} });
    t.equal((await segments()).length, 3);
    time.now = Date.UTC(2040, 0);
    await setLegalHold(retention, 'why');
    await one.beat();
    t.equal((await segments()).at(-1)?.purged, undefined, 'a legal hold');
    await setLegalHold(retention, undefined);
    await one.beat();
    t.equal((await segments()).at(-1)?.purged, undefined, 'the work of the day is done');
    time.now += DAY;
    await one.beat();
    t.match((await segments()).at(-1)?.purged, /./);
    time.now += DAY;
    await one.stop();
    await one.beat();
    t.equal(await store.records.get(DAILY.kind, DAILY.id), undefined, 'who is stopped lets others');
  },
};

for (const [title, { forge, finds }] of Object.entries(drills)) {
  cases[`threat 40: ${title}`] = async (t, adapter) => {
    const { store, url, problems } = await recorded(t, adapter);
    await sealedTo30(store);
    await forge(tampering(url).segments);
    const found = await problems();
    t.match(found, finds);
    t.equal(found.length, finds.length);
    for (const problem of found) t.notMatch(problem, /Practitioner/);
    const whole = await Array.fromAsync(store.verify({}));
    if (!/purged/.test(title)) t.ok(whole.includes(found[0] ?? ''), 'verify of the store says so too');
  };
}

t.test('on both stores', (t) =>
  onBothStores(t, async (t: Test, adapter) => {
    for (const [title, run] of Object.entries(cases)) await t.test(title, (t: Test) => run(t, adapter));
  }),
);

// Measures careloom beside what it stands on, in one run: a bare Fastify route, the database's own client, and itself
// with a tenth of the data. Prints a Markdown table; ratios travel between machines, the rest does not.
//   node scripts/bench.ts [--store sqlite|mongo|both] [--scale 1|10] [--quick] [--only read,search,…] [--json FILE]
//                         [--profile DIR]
//   --only takes read, create, update, transaction, search, start, security, and the names of searches as the table shows
//   them;
//   --profile leaves CPU profiles of the measured servers in a folder, to be opened in a browser's developer tools.
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { MongoClient } from 'mongodb';
import { startMongod } from '../test/support/mongod.ts';
import { requestBytes } from './bench/client.ts';
import { RESOURCES_PER_PATIENT } from './bench/data.ts';
import { figures, latencyAt, median, type Round, rate, ratio, Target, takeTurns } from './bench/measure.ts';
import * as operations from './bench/operations.ts';
import {
  fill,
  memoryMb,
  type RawStore,
  type Served,
  startBareFastify,
  startRawStore,
  startServer,
} from './bench/processes.ts';
import type { RawCommand } from './bench/raw-store.ts';
import { type Aim, type Compared, digits, markdown, type StoreResult } from './bench/report.ts';
import { measureSecurity } from './bench/security.ts';

const { values: flags } = parseArgs({
  options: {
    store: { type: 'string', default: 'both' },
    scale: { type: 'string' },
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    json: { type: 'string' },
    profile: { type: 'string' },
  },
});

const PATIENTS = flags.quick ? 100 : 200;
const scale = Number(flags.scale ?? (flags.quick ? 1 : 10));
const only = flags.only?.split(',');
/** Rounds a side, and how long one takes: enough for a median, short enough that both sides meet the same machine. */
const effort = flags.quick
  ? { rounds: 2, ms: 120, starts: 1, warmMs: 120 }
  : { rounds: 7, ms: 250, starts: 3, warmMs: 400 };

/** Where the stores of one kind are kept. */
interface Place {
  name: string;
  /** Aim of a read against the bare route. */
  readAim: number;
  /** The URL of a store of its own by this name. */
  url(name: string): string;
  /** Bytes on disk of the store with this name, after everything is written. */
  bytes(name: string): Promise<number>;
}

const folder = mkdtempSync(join(tmpdir(), 'careloom-bench-'));
const results: StoreResult[] = [];
try {
  if (flags.store !== 'mongo') results.push(await benchStore(sqlitePlace()));
  if (flags.store !== 'sqlite') {
    const mongod = await startMongod();
    try {
      results.push(await benchStore(await mongoPlace(mongod.url)));
    } finally {
      await mongod.stop();
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(`\n${heading()}\n\n${markdown(results)}`);
if (flags.json !== undefined) {
  writeFileSync(flags.json, `${JSON.stringify({ heading: heading(), scale, results }, undefined, 1)}\n`);
}

function heading(): string {
  const sizes = scale > 1 ? ` and ${(PATIENTS * RESOURCES_PER_PATIENT * scale).toLocaleString('en')}` : '';
  const data = (PATIENTS * RESOURCES_PER_PATIENT).toLocaleString('en');
  return (
    `${operations.CONNECTIONS} connections, ${data}${sizes} resources, Node ${process.version}, ` +
    `${cpus().length} cores shared by server, driver and database. CPU is that of careloom's process. Ratios are medians over neighbouring rounds of one run; bold misses its aim.`
  );
}

function sqlitePlace(): Place {
  const path = (name: string) => join(folder, `${name}.db`);
  return {
    name: 'SQLite',
    readAim: 0.5,
    url: (name) => `sqlite:${path(name)}`,
    bytes: async (name) => statSync(path(name)).size,
  };
}

async function mongoPlace(url: string): Promise<Place> {
  const at = (name: string) => {
    const parsed = new URL(url);
    parsed.pathname = `/${name}`;
    return parsed.href;
  };
  const admin = async <T>(work: (client: MongoClient) => Promise<T>): Promise<T> => {
    const client = new MongoClient(url);
    try {
      return await work(client);
    } finally {
      await client.close();
    }
  };
  // As the tests start it, its cache is a quarter of a GB: less than the larger store.
  const cache = { setParameter: 1, wiredTigerEngineRuntimeConfig: 'cache_size=1G' };
  await admin((client) => client.db('admin').command(cache));
  return {
    name: 'MongoDB',
    readAim: 0.3,
    url: at,
    bytes: (name) =>
      admin(async (client) => {
        await client.db('admin').command({ fsync: 1 });
        const stats = await client.db(name).command({ dbStats: 1 });
        return Number(stats.storageSize) + Number(stats.indexSize);
      }),
  };
}

// ---- one store ----

async function benchStore(place: Place): Promise<StoreResult> {
  // Searches are measured first, before writes change what is stored, and shown second.
  const rows = {
    basics: [] as Compared[],
    searches: [] as Compared[],
    security: [] as Compared[],
    facts: [] as Compared[],
  };
  const adder = (to: Compared[]) => (row: Compared) => {
    to.push(row);
    const shown = row.ratios.map(({ value }) => digits(value)).join(' / ');
    tell(`${place.name} ${row.operation}: ${row.value ?? shown}`);
  };
  const addFact = adder(rows.facts);
  tell(`${place.name}: filled ${PATIENTS} patients in ${seconds(await fill(place.url('one'), PATIENTS))}`);
  const isGrown = scale > 1 && (wantedSearches().length > 0 || wants('security'));
  if (isGrown) {
    const took = await fill(place.url('many'), PATIENTS * scale);
    tell(`${place.name}: filled ${PATIENTS * scale} patients in ${seconds(took)}`);
  }
  const biggest = isGrown ? 'many' : 'one';
  const resources = PATIENTS * RESOURCES_PER_PATIENT * (isGrown ? scale : 1);
  addFact(plain('disk a resource', `${((await place.bytes(biggest)) / resources / 1024).toFixed(2)} KB`));
  if (wants('start')) for (const row of await startAndIdle(place.url('one'))) addFact(row);

  const server = await startServer(place.url('one'), flags.profile);
  const target = await Target.open(server, operations.CONNECTIONS);
  try {
    await measureSearches(target, place, { add: adder(rows.searches), addFact });
    await measureBasics(target, place, adder(rows.basics));
    const { rss, anonymous } = memoryMb(server.pid);
    addFact({ ...plain('memory after the run', `${rss} MB`), note: `${anonymous} MB without mapped files` });
  } finally {
    target.close();
    await server.stop();
  }
  if (wants('security')) {
    await measureSecurity({
      url: place.url,
      biggest: { store: place.url(biggest), patients: isGrown ? PATIENTS * scale : PATIENTS },
      patients: PATIENTS,
      effort,
      isQuick: flags.quick,
      profileDir: flags.profile,
      add: adder(rows.security),
    });
  }
  return { store: place.name, rows: [...rows.basics, ...rows.searches, ...rows.security, ...rows.facts] };
}

async function startAndIdle(store: string): Promise<Compared[]> {
  const times: number[] = [];
  let server: Served | undefined;
  for (let start = 0; start < effort.starts; start++) {
    await server?.stop();
    server = await startServer(store);
    times.push(server.startMs);
  }
  await pause(2_000);
  const { rss, anonymous } = memoryMb(server?.pid ?? 0);
  await server?.stop();
  return [
    { ...plain('start to first answer', `${Math.round(median(times))} ms`), note: aimed(median(times) <= 1000, '1 s') },
    {
      ...plain('memory idle', `${rss} MB`),
      note: `${anonymous} MB without mapped files${aimed(rss <= 150, '150 MB')}`,
    },
  ];
}

function aimed(isMet: boolean, aim: string): string {
  return isMet ? '' : ` **(aim ${aim})**`;
}

function plain(operation: string, value: string): Compared {
  return { operation, against: '', ratios: [], value };
}

// ---- reads and writes against what they stand on ----

async function measureBasics(target: Target, place: Place, add: (row: Compared) => void): Promise<void> {
  const wanted = ['read', 'create', 'update', 'transaction'].filter(wants);
  if (wanted.length === 0) return;
  const stored = await storedIn(target, PATIENTS);
  const raw = await startRawStore({ filled: place.url('one'), fresh: place.url('raw'), patients: PATIENTS });
  try {
    if (wants('read')) for (const row of await compareRead(target, raw, stored, place)) add(row);
    const writes = {
      create: { requests: () => operations.creates(stored), each: 1, longer: 1 },
      update: { requests: () => operations.updates(stored), each: 1, longer: 1 },
      transaction: { requests: () => operations.transactions(), each: RESOURCES_PER_PATIENT, longer: 3 },
    };
    for (const [operation, { requests, each, longer }] of Object.entries(writes)) {
      if (!wants(operation)) continue;
      const name = each > 1 ? `transaction of ${each} entries` : `${operation} Observation`;
      const aim = each > 1 ? { atLeast: 0.15 } : undefined;
      add(await compareWrite(target, raw, { name, requests: requests(), each, ms: effort.ms * longer, aim }));
    }
  } finally {
    await raw.stop();
  }
}

async function compareRead(
  target: Target,
  raw: RawStore,
  stored: operations.Stored,
  place: Place,
): Promise<Compared[]> {
  const requests = operations.reads(stored);
  const bare = await startBareFastify(await medianReplyBytes(target, requests));
  const constant = await Target.open(bare, operations.CONNECTIONS);
  try {
    const sides = [
      () => target.drive(requests, effort.ms),
      () => constant.drive(operations.constant(), effort.ms),
      () => rawRound(raw, { work: 'get', ms: effort.ms }),
    ];
    await target.drive(requests, effort.warmMs * 2);
    await constant.drive(operations.constant(), effort.warmMs * 2);
    const [ours = [], bares = [], gets = []] = await takeTurns(sides, effort.rounds);
    const aim: Aim = { atLeast: place.readAim };
    const costs = `CPU ${digits(figures(ours).cpuMs / figures(bares).cpuMs)}x`;
    return [
      { ...ratioRow('read', 'bare Fastify route', ours, bares, aim), note: `(bare ${times(bares)}, ${costs})` },
      { ...ratioRow('read', 'raw gets', ours, gets), note: `(raw ${times(gets)})` },
    ];
  } finally {
    constant.close();
    await bare.stop();
  }
}

async function compareWrite(
  target: Target,
  raw: RawStore,
  options: { name: string; requests: operations.Requests; each: number; ms: number; aim: Aim | undefined },
): Promise<Compared> {
  const { name, requests, each, ms, aim } = options;
  await target.drive(requests, effort.warmMs);
  const [ours = [], raws = []] = await takeTurns(
    [() => target.drive(requests, ms), () => rawRound(raw, { work: 'insert', ms })],
    effort.rounds,
  );
  const row = ratioRow(
    name,
    'raw inserts',
    ours.map((round) => ({ ...round, count: round.count * each })),
    raws,
    aim,
  );
  const own = figures(ours);
  const note = `(${digits(figures(raws).perSecond / 1000)}k raw${each > 1 ? `, ${digits((own.perSecond * each) / 1000)}k resources` : ''}/s)`;
  return { ...row, figures: own, note };
}

function ratioRow(operation: string, against: string, ours: Round[], others: Round[], aim?: Aim): Compared {
  const value = ratio(ours, others, rate);
  return { operation, against, figures: figures(ours), ratios: [{ value, ...(aim === undefined ? {} : { aim }) }] };
}

async function rawRound(raw: RawStore, command: RawCommand): Promise<Round> {
  const { count, ms } = await raw.run(command);
  return { count, ms, latencies: [], cpu: Number.NaN };
}

async function medianReplyBytes(target: Target, requests: operations.Requests): Promise<number> {
  const sizes: number[] = [];
  for (let at = 0; at < 51; at++) sizes.push((await target.ask(requests(0))).body.length);
  return median(sizes);
}

function times(rounds: Round[]): string {
  return `${Math.round(figures(rounds).perSecond).toLocaleString('en')}/s`;
}

// ---- searches against themselves with a tenth of the data ----

async function measureSearches(
  small: Target,
  place: Place,
  { add, addFact }: { add: (row: Compared) => void; addFact: (row: Compared) => void },
): Promise<void> {
  const wanted = wantedSearches();
  if (wanted.length === 0) return;
  const server = scale > 1 ? await startServer(place.url('many'), flags.profile) : undefined;
  const large = server === undefined ? undefined : await Target.open(server, operations.CONNECTIONS);
  try {
    const storedSmall = await storedIn(small, PATIENTS);
    const storedLarge = large === undefined ? undefined : await storedIn(large, PATIENTS * scale);
    for (const [name, make] of wanted) {
      const requests = operations.variantsOf(make, storedSmall);
      const own: Side = { target: small, requests };
      const other =
        large === undefined || storedLarge === undefined
          ? undefined
          : { target: large, requests: operations.variantsOf(make, storedLarge) };
      add(await compareSearch(name, own, other));
    }
    if (server !== undefined) {
      const { rss, anonymous } = memoryMb(server.pid);
      const note = `${anonymous} MB without mapped files`;
      addFact({ ...plain(`memory after searches at ${scale}x`, `${rss} MB`), note });
    }
  } finally {
    large?.close();
    await server?.stop();
  }
}

interface Side {
  target: Target;
  requests: operations.Requests;
}

/** The figures are those of the small store; the ratios are large over small: p50, p95, per hit where answers grow. */
async function compareSearch(name: string, small: Side, large: Side | undefined): Promise<Compared> {
  const hits = await hitsOf(small);
  await small.target.drive(small.requests, effort.warmMs);
  const ours = () => small.target.drive(small.requests, effort.ms);
  if (large === undefined) {
    const [rounds = []] = await takeTurns([ours], effort.rounds);
    return { operation: name, against: '', figures: figures(rounds), ratios: [], note: entries(hits) };
  }
  const more = await hitsOf(large);
  await large.target.drive(large.requests, effort.warmMs);
  const theirs = () => large.target.drive(large.requests, effort.ms);
  const [these = [], others = []] = await takeTurns([ours, theirs], effort.rounds);
  const growth = more / hits;
  const perHit = growth > 1.1 ? growth : 1;
  const ratios = [0.5, 0.95].map((part) => ({
    value: ratio(others, these, latencyAt(part)) / perHit,
    aim: { atMost: 1.5 },
  }));
  const note = perHit > 1 ? `per hit (${digits(hits)} → ${digits(more)})` : entries(hits);
  return { operation: name, against: `itself at ${scale}x: p50 / p95`, figures: figures(these), ratios, note };
}

function entries(hits: number): string {
  return `(${digits(hits)} entries)`;
}

/** Mean number of entries of an answer; also the first check that the search is answered at all. */
async function hitsOf({ target, requests }: Side): Promise<number> {
  let found = 0;
  const samples = 40;
  for (let at = 0; at < samples; at++) {
    const { status, body } = await target.ask(requests(0));
    const text = body.toString('utf8');
    if (status !== 200) throw new Error(`${status}: ${text.slice(0, 600)}`);
    found += text.split('"fullUrl"').length - 1;
  }
  return Math.max(found / samples, 1);
}

/** What the requests are made from: the middle instant is read from a resource that was stored then. */
async function storedIn(target: Target, patients: number): Promise<operations.Stored> {
  const { status, body } = await target.ask(operations.middleRead(patients));
  if (status !== 200) throw new Error(`the middle patient: ${status}`);
  const { meta } = JSON.parse(body.toString('utf8')) as { meta: { lastUpdated: string } };
  await target.ask(requestBytes({ method: 'GET', url: '/fhir/metadata' }));
  return { patients, middle: meta.lastUpdated };
}

// ---- small things ----

function wantedSearches() {
  return Object.entries(operations.searches).filter(([name]) => wants('search') || wants(name));
}

function wants(operation: string): boolean {
  return only === undefined || only.includes(operation);
}

function tell(text: string): void {
  console.error(text);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

// What access control and the audit record cost: the same requests with both, with access control alone and with neither;
// the bearer check and the token endpoint by themselves; what each role's conditions add to a search; and how fast the
// record is verified.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { App } from '../../src/app.ts';
import { createTokens } from '../../src/auth/tokens.ts';
import { verifyRecord } from '../../src/fhir/audit/verify-record.ts';
import {
  ASKERS,
  type Asker,
  addAskers,
  openApp,
  type Signer,
  serviceToken,
  settingsOf,
  signers,
  tokenRequest,
} from './askers.ts';
import { figures, latencyAt, median, type Round, rate, ratio, Target, takeTurns } from './measure.ts';
import {
  CONNECTIONS,
  create,
  get,
  type Make,
  type Requests,
  read,
  type Stored,
  searches,
  someLab,
  variantsOf,
} from './operations.ts';
import { fill, type Served, startServer } from './processes.ts';
import { type Aim, type Compared, digits } from './report.ts';

export interface SecurityOptions {
  /** The URL of a store of its own by this name. */
  url(name: string): string;
  /** A filled store for searches, and the patients in it; people are added to it. */
  biggest: { store: string; patients: number };
  /** Patients in the stores that are made here. */
  patients: number;
  effort: { rounds: number; ms: number; warmMs: number };
  isQuick: boolean;
  profileDir: string | undefined;
  add(row: Compared): void;
}

/** Which of the two are on. */
const MODES = { off: [false, false], auth: [true, false], both: [true, true] } as const;
type Mode = keyof typeof MODES;

const BOTH = 'neither: access control and audit';
const AUTH = 'neither: access control alone';
const AUDIT = 'access control alone: and audit';

export async function measureSecurity(options: SecurityOptions): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'careloom-bench-data-'));
  try {
    await measureRoles(options, dataDir);
    const tokens = {} as Record<Mode, Record<Asker, string>>;
    for (const mode of ['off', 'auth', 'both'] as const) {
      await fill(options.url(`security-${mode}`), options.patients);
      tokens[mode] = await inApp(options.url(`security-${mode}`), dataDir, (app) => addAskers(app, options.patients));
    }
    await measureServed(options, tokens, dataDir);
    await inApp(options.url('security-auth'), dataDir, (app) => measureBearer(app, options));
    await inApp(options.url('security-both'), dataDir, (app) => measureVerify(app, options));
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function inApp<T>(store: string, dataDir: string, work: (app: App) => Promise<T>): Promise<T> {
  const app = await openApp(store, dataDir);
  try {
    return await work(app);
  } finally {
    await app.close();
  }
}

const start = (store: string, mode: Mode, dataDir: string, { profileDir }: SecurityOptions): Promise<Served> => {
  const [auth, audit] = MODES[mode];
  return startServer(store, profileDir, settingsOf(dataDir, { auth, audit }));
};

// ---- requests with both, one or neither ----

async function measureServed(
  options: SecurityOptions,
  tokens: Record<Mode, Record<Asker, string>>,
  dataDir: string,
): Promise<void> {
  const servers: Served[] = [];
  const served = {} as Record<Mode, Served>;
  try {
    for (const mode of ['off', 'auth', 'both'] as const) {
      served[mode] = await start(options.url(`security-${mode}`), mode, dataDir, options);
      servers.push(served[mode]);
    }
    const search = 'Observation?patient&category&_sort=-date';
    const half: Aim = { atLeast: 0.5 };
    const all = { tokens, served };
    await compareModes({ ...all, name: 'read', make: read, connections: CONNECTIONS, aim: half }, options);
    await compareModes({ ...all, name: 'read', make: read, connections: 64, aim: half }, options);
    await compareModes({ ...all, name: search, make: searches[search] as Make, connections: CONNECTIONS }, options);
    await compareModes(
      { ...all, name: 'create Observation', make: create, connections: CONNECTIONS, auditAim: half },
      options,
    );
    for (const signer of signers) await measureTokens(signer, served, options);
  } finally {
    for (const server of servers) await server.stop();
  }
}

interface Modes {
  name: string;
  make: Make;
  connections: number;
  /** Of both over neither, and of both over access control alone. */
  aim?: Aim;
  auditAim?: Aim;
  tokens: Record<Mode, Record<Asker, string>>;
  served: Record<Mode, Served>;
}

async function compareModes(modes: Modes, { patients, effort, add }: SecurityOptions): Promise<void> {
  const { make, connections, tokens, served } = modes;
  const targets: Target[] = [];
  try {
    const side = async (mode: Mode) => {
      const target = await Target.open(served[mode], connections);
      targets.push(target);
      const token = mode === 'off' ? undefined : tokens[mode]['clinician, whole clinic'];
      const requests = variantsOf(withToken(make, token), { patients, middle: '' });
      await target.drive(requests, effort.warmMs * 2);
      return () => target.drive(requests, effort.ms);
    };
    const sides = [await side('off'), await side('auth'), await side('both')];
    const [off = [], auth = [], both = []] = await takeTurns(sides, effort.rounds);
    const operation = `${modes.name}, ${connections} connections`;
    const row = (against: string, ours: Round[], others: Round[], aim?: Aim): Compared => ({
      operation,
      against,
      figures: figures(ours),
      ratios: [{ value: ratio(ours, others, rate), ...(aim === undefined ? {} : { aim }) }],
      note: `(${digits(figures(others).perSecond)}/s, CPU ${digits(figures(ours).cpuMs / figures(others).cpuMs)}x)`,
    });
    add(row(AUTH, auth, off));
    add(row(BOTH, both, off, modes.aim));
    add(row(AUDIT, both, auth, modes.auditAim));
  } finally {
    for (const target of targets) target.close();
  }
}

const withToken =
  (make: Make, token: string | undefined): Make =>
  (random, stored) => ({ ...make(random, stored), token });

// ---- the token endpoint ----

/** More than a server answers in a millisecond. */
const ASSERTIONS_PER_MS = 4;
const TOKEN_CPU_MS = 0.7;

async function measureTokens(signer: Signer, served: Record<Mode, Served>, options: SecurityOptions): Promise<void> {
  const { effort, add } = options;
  const targets: Target[] = [];
  try {
    const side = async (mode: 'auth' | 'both') => {
      const target = await Target.open(served[mode], CONNECTIONS);
      targets.push(target);
      const round = () => target.drive(freshRequests(signer, target.port, effort.ms), effort.ms);
      await round();
      return round;
    };
    const [auth = [], both = []] = await takeTurns([await side('auth'), await side('both')], effort.rounds);
    const { cpuMs } = figures(both);
    add({
      operation: `token by private_key_jwt, ${signer.algorithm}`,
      against: AUDIT,
      figures: figures(both),
      ratios: [{ value: ratio(both, auth, rate) }],
      note: `(${digits(figures(auth).perSecond)}/s, CPU ${digits(figures(auth).cpuMs)} ms)${aimed(cpuMs <= TOKEN_CPU_MS, `CPU ${TOKEN_CPU_MS} ms`)}`,
    });
  } finally {
    for (const target of targets) target.close();
  }
}

/** An assertion is good for one request: they are signed before the round, and there are enough of them. */
function freshRequests(signer: Signer, port: number, ms: number): Requests {
  const pool = Array.from({ length: ASSERTIONS_PER_MS * ms }, () => tokenRequest(signer, port));
  return () => pool.pop() ?? tokenRequest(signer, port);
}

// ---- the bearer check ----

const BEARER_US = 30;

async function measureBearer(app: App, { isQuick, effort, add }: SecurityOptions): Promise<void> {
  const control = await app.accessControl();
  const { store, clock } = app;
  const authenticate = async (token: string): Promise<void> => {
    await control?.authentication.authenticate(`Bearer ${token}`, '127.0.0.1');
  };
  const tokens = createTokens({ records: store.records, clock });
  const someTokens = (count: number) =>
    Promise.all(Array.from({ length: count }, () => serviceToken(tokens, clock.now() + 3_600_000)));
  const [known = ''] = await someTokens(1);
  const lookedUp: number[] = [];
  const remembered: number[] = [];
  for (let round = -1; round < effort.rounds; round++) {
    const fresh = await someTokens(isQuick ? 100 : 400);
    const first = await meanUs(fresh, authenticate);
    await authenticate(known);
    const again = await meanUs(
      Array.from({ length: isQuick ? 5_000 : 20_000 }, () => known),
      authenticate,
    );
    if (round < 0) continue;
    lookedUp.push(first);
    remembered.push(again);
  }
  const row = (operation: string, values: number[]): Compared => {
    const us = median(values);
    return {
      operation,
      against: '',
      ratios: [],
      value: `${digits(us)} µs`,
      note: aimed(us <= BEARER_US, `${BEARER_US} µs`),
    };
  };
  add(row('bearer check, remembered', remembered));
  add(row('bearer check, looked up', lookedUp));
}

async function meanUs(tokens: readonly string[], check: (token: string) => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  for (const token of tokens) await check(token);
  return ((performance.now() - startedAt) * 1000) / tokens.length;
}

// ---- what each role's conditions add ----

const page =
  (query: (lab: string) => string): Make =>
  (random) =>
    get(query(someLab(random)));

/** With the aims of those who see more than one patient. */
const asked: readonly { name: string; make: Make; aim?: Aim }[] = [
  {
    name: 'Observation?code, page of 50',
    make: page((lab) => `Observation?code=${lab}&_count=50`),
    aim: { atMost: 3 },
  },
  {
    name: 'Observation?code&_total=accurate',
    make: page((lab) => `Observation?code=${lab}&_count=50&_total=accurate`),
  },
  {
    name: 'Patient?_has:Observation:subject:code',
    make: page((lab) => `Patient?_has:Observation:subject:code=${lab}&_count=50`),
    aim: { atMost: 8 },
  },
];

const PATIENT_MS = 1;

/** One request at a time: the latency is that of the request, and not of those that wait with it. */
async function measureRoles(options: SecurityOptions, dataDir: string): Promise<void> {
  const { store, patients } = options.biggest;
  const tokens = await inApp(store, dataDir, (app) => addAskers(app, patients));
  const servers: Served[] = [];
  const targets: Target[] = [];
  try {
    for (const mode of ['off', 'auth'] as const) {
      servers.push(await start(store, mode, dataDir, options));
      targets.push(await Target.open(servers.at(-1) as Served, 1));
    }
    for (const search of asked) await compareRoles(search, targets, tokens, options);
  } finally {
    for (const target of targets) target.close();
    for (const server of servers) await server.stop();
  }
}

async function compareRoles(
  { name, make, aim }: (typeof asked)[number],
  [open, guarded]: readonly Target[],
  tokens: Record<Asker, string>,
  { biggest, effort, add }: SecurityOptions,
): Promise<void> {
  if (open === undefined || guarded === undefined) return;
  const stored: Stored = { patients: biggest.patients, middle: '' };
  const sideOf = async (target: Target, token: string | undefined): Promise<RoleSide | undefined> => {
    const requests = variantsOf(withToken(make, token), stored);
    const hits = await hitsOf(target, requests);
    if (hits === undefined) return undefined;
    await target.drive(requests, effort.warmMs);
    return { run: () => target.drive(requests, effort.ms), hits };
  };
  const against = 'no access control';
  const anyone = await sideOf(open, undefined);
  if (anyone === undefined) return;
  const theirs: { asker: Asker; side: RoleSide | undefined }[] = [];
  // They share a connection, which has one request at a time.
  for (const asker of ASKERS) theirs.push({ asker, side: await sideOf(guarded, tokens[asker]) });
  const sides = [anyone, ...theirs.flatMap(({ side }) => side ?? [])];
  const [base = [], ...rounds] = await takeTurns(
    sides.map(({ run }) => run),
    effort.rounds,
  );
  add({ operation: `${name}: anyone`, against, figures: figures(base), ratios: [], note: hitsNote(anyone.hits) });
  for (const { asker, side } of theirs) {
    const operation = `${name}: ${asker}`;
    const ours = side === undefined ? undefined : rounds.shift();
    if (side === undefined || ours === undefined) {
      add({ operation, against, ratios: [], value: '**refused: too costly**' });
      continue;
    }
    const isPatient = asker === 'a patient’s scope';
    const value = ratio(ours, base, latencyAt(0.5));
    const missed = isPatient ? aimed(figures(ours).p50Ms <= PATIENT_MS, `p50 ${PATIENT_MS} ms`) : '';
    const ratios = [{ value, ...(aim === undefined || isPatient ? {} : { aim }) }];
    add({ operation, against, figures: figures(ours), ratios, note: hitsNote(side.hits) + missed });
  }
}

interface RoleSide {
  run: () => Promise<Round>;
  hits: number;
}

/** HTTP status of it. */
const TOO_COSTLY = 422;

const hitsNote = (hits: number): string => `(${digits(hits)} entries)`;

/** Mean number of entries of an answer; undefined where the search would take longer than a query may. */
async function hitsOf(target: Target, requests: Requests): Promise<number | undefined> {
  let found = 0;
  const samples = 12;
  for (let at = 0; at < samples; at++) {
    const { status, body } = await target.ask(requests(0));
    const text = body.toString('utf8');
    if (status === TOO_COSTLY) return undefined;
    if (status !== 200) throw new Error(`${status}: ${text.slice(0, 600)}`);
    found += text.split('"fullUrl"').length - 1;
  }
  return found / samples;
}

// ---- the record ----

const VERIFY_ROWS_PER_S = 40_000;

async function measureVerify({ store, clock }: App, { isQuick, add }: SecurityOptions): Promise<void> {
  const lines = async () => (await store.audit.heads()).reduce((sum, { seq }) => sum + seq, 0);
  const sample = await store.audit.rows({ descending: true, limit: 1_000 });
  const entries = sample.rows.map(({ patients, agent, body }) => ({ at: clock.now(), patients, agent, body }));
  // Written by the servers before; here only so many more that a second passes.
  while (entries.length > 0 && (await lines()) < (isQuick ? 20_000 : 100_000)) await store.audit.append(entries);
  const total = await lines();
  const rates: number[] = [];
  const rounds = isQuick ? 1 : 3;
  const before = process.cpuUsage();
  for (let round = 0; round < rounds; round++) {
    const startedAt = performance.now();
    for await (const problem of verifyRecord({ store })) throw new Error(problem);
    rates.push((total * 1000) / (performance.now() - startedAt));
  }
  const perSecond = median(rates);
  const { user, system } = process.cpuUsage(before);
  const perCpu = (total * rounds * 1000) / (user + system);
  add({
    operation: 'verify the audit record',
    against: '',
    ratios: [],
    value: `${Math.round(perSecond / 1000)}k lines/s`,
    note: `(${Math.round(total / 1000)}k lines, ${Math.round(perCpu)}k a CPU second)${aimed(perSecond >= VERIFY_ROWS_PER_S, '40k')}`,
  });
}

function aimed(isMet: boolean, aim: string): string {
  return isMet ? '' : ` **(aim ${aim})**`;
}

// A process that writes to a store, each commit with a row of the audit record and rows of reads among them, seals what
// was written before, and tells its parent what was acknowledged, until it is killed; and what must hold of the record
// afterwards.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../src/base/clock.ts';
import { verifyChain } from '../../src/store/audit-chain.ts';
import { openMongoStore } from '../../src/store/mongo/open.ts';
import { openSqliteStore } from '../../src/store/sqlite/open.ts';
import type { AuditRow, AuditSearch, Store, Write } from '../../src/store/store.ts';
import { NO_ORD, typeKey } from '../../src/store/store.ts';
import { everything } from './memory-store.ts';

const WORKERS = 12;
const SHARED = 3;
const SEALED_ROWS = 20;
const PAGE = 1_000;
const BUDGET_MS = 20_000;

/** What was acknowledged: the row of the audit record by its marker, and the versions that it must name, none for a read. */
export interface Acknowledged {
  marker: string;
  versions: readonly string[];
}

/** Writes from a process of its own and kills it with SIGKILL after `ms`; resolves to what it acknowledged. */
export async function killWriter(url: string, options: { round: number; ms: number }): Promise<Acknowledged[]> {
  const child = fork(fileURLToPath(import.meta.url), [url, String(options.round)], {
    execArgv: ['--disable-warning=ExperimentalWarning'],
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '' },
  });
  const exit = once(child, 'exit');
  const acknowledged: Acknowledged[] = [];
  await once(child, 'message');
  child.on('message', (one: Acknowledged) => acknowledged.push(one));
  await pause(options.ms);
  child.kill('SIGKILL');
  await exit;
  return acknowledged;
}

/** What contradicts the promise that each write has its row, each row its write, and each chain every row. */
export async function auditContradictions(store: Store, acknowledged: readonly Acknowledged[]): Promise<string[]> {
  const problems: string[] = [];
  const rows: AuditRow[] = [];
  for (const { chain, seq } of await store.audit.heads()) {
    const own = await Array.fromAsync(rowsOf(store, { chain, descending: false, limit: PAGE }));
    for await (const { message } of verifyChain(each(own))) problems.push(message);
    if (own.length !== seq) problems.push(`chain ${chain} has ${own.length} rows, its head is ${seq}`);
    rows.push(...own);
  }
  const rowOf = new Map<string, string>();
  const versionsOf = new Map<string, readonly string[]>();
  for (const { body } of rows) {
    const { marker = '', written = [] } = JSON.parse(body);
    if (marker !== '' && versionsOf.has(marker)) problems.push(`${marker} has two rows`);
    versionsOf.set(marker, written);
    for (const version of written) {
      if (rowOf.has(version)) problems.push(`${version} has two rows`);
      rowOf.set(version, marker);
    }
  }
  for (const { marker, versions } of acknowledged) {
    const named = versionsOf.get(marker);
    if (named === undefined) problems.push(`${marker} was acknowledged and has no row`);
    else if (named.join() !== versions.join()) problems.push(`${marker} wrote ${versions}, its row says ${named}`);
  }
  for await (const version of versionsIn(store)) {
    if (!rowOf.delete(version)) problems.push(`${version} has no row`);
  }
  for (const [version, marker] of rowOf) problems.push(`${marker} names ${version}, which is not there`);
  return problems;
}

/** Segments in the record. */
export async function sealedSegments({ audit }: Store): Promise<number> {
  let count = 0;
  for (const { chain } of await audit.heads()) for await (const _ of audit.segments(chain)) count += 1;
  return count;
}

async function* rowsOf(store: Store, search: AuditSearch): AsyncGenerator<AuditRow> {
  let after: string | undefined;
  do {
    const page = await store.audit.rows(after === undefined ? search : { ...search, after });
    yield* page.rows;
    after = page.next;
  } while (after !== undefined);
}

async function* versionsIn(store: Store): AsyncGenerator<string> {
  let after: string | undefined;
  do {
    const search = { limit: PAGE, budgetMs: BUDGET_MS, ...(after === undefined ? {} : { after }) };
    const page = await store.history(search, everything);
    for (const { type, id, version } of page.rows) yield `${type}/${id}/_history/${version}`;
    after = page.next;
  } while (after !== undefined);
}

async function* each<T>(of: readonly T[]): AsyncGenerator<T> {
  yield* of;
}

// ---- the process that is killed ----

async function writeForParent(url: string, round: string): Promise<void> {
  const store = url.startsWith('sqlite:')
    ? await openSqliteStore({ path: url.slice('sqlite:'.length), clock: systemClock })
    : await openMongoStore({ url, clock: systemClock });
  process.on('disconnect', () => process.exit(0));
  process.send?.('ready');
  await Promise.all([
    seal(store),
    ...Array.from({ length: WORKERS }, (_, worker) => work(store, `${round}-${worker}`)),
  ]);
}

async function seal(store: Store): Promise<void> {
  for (;;) {
    for await (const _ of store.audit.seal({ before: Number.POSITIVE_INFINITY, rowsMax: SEALED_ROWS }));
    await pause(1);
  }
}

async function work(store: Store, name: string): Promise<void> {
  for (let turn = 0; ; turn++) {
    const marker = `${name}-${turn}`;
    const entry = { at: Date.now(), patients: [name], agent: 'system', body: JSON.stringify({ marker }) };
    if (turn % 4 === 3) {
      await store.audit.append([entry]);
      process.send?.({ marker, versions: [] });
      continue;
    }
    const writes = writesOf(name, turn);
    const written = await store.commit({ writes, audit: [entry] });
    const versions = writes.map(({ type, id }, at) => `${type}/${id}/_history/${written[at]?.version}`);
    process.send?.({ marker, versions });
  }
}

/** A create; an update of what others update too; several at once, a deletion of what is there among them. */
function writesOf(name: string, turn: number): Write[] {
  if (turn % 4 === 0) return [write(`new-${name}-${turn}`)];
  if (turn % 4 === 1) return [write(`shared-${turn % SHARED}`)];
  const again = write(`own-${name}`);
  return [again, { ...again, body: null, keys: [] }, write(`other-${name}-${turn}`), write(`own-${name}`)];
}

function write(id: string): Write {
  const head = `{"resourceType":"Alpha","id":"${id}","meta":{`;
  return {
    type: 'Alpha',
    id,
    body: Buffer.from(`${head}}}`),
    stampAt: head.length,
    ord: NO_ORD,
    keys: [typeKey('Alpha')],
    terms: [],
    owner: `Alpha/${id}`,
  };
}

const [, program, url, round] = process.argv;
if (program === fileURLToPath(import.meta.url) && url !== undefined) await writeForParent(url, round ?? '');

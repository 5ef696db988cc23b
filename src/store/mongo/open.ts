// The MongoDB adapter: opens a database and puts the store together. Needs a replica set, because commits are
// transactions; one node is enough. See README.md beside this file for the layout and the guarantees.
import { MongoClient } from 'mongodb';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { sizesRemembered } from '../sizes.ts';
import type { Alias, Commit, Filter, HistorySearch, Key, Search, Store } from '../store.ts';
import { StoreError } from '../store.ts';
import { Appender } from './audit-appender.ts';
import { Chains } from './audit-chains.ts';
import { createAudit } from './audit-kept.ts';
import { auditProblems } from './audit-verify.ts';
import { Committer } from './commit.ts';
import { faultOf, told } from './faults.ts';
import { historyPage } from './history.ts';
import { Joined } from './joined.ts';
import { KeyWalker } from './key-walk.ts';
import { collectionsOf, prepareLayout } from './layout.ts';
import { mongoOutbox } from './outbox.ts';
import { Reader, readCurrent, readVersion } from './read.ts';
import { mongoRecords } from './records.ts';
import { rowOf } from './rows.ts';
import { countMatches, keysWithin, searchPage } from './search.ts';
import { countByType, latestUpdate, reindexRows, scanPage, verifyAll } from './upkeep.ts';

const DATABASE = 'careloom';
/** Without a primary a request waits this long, then it is answered 503. */
const SELECTION_MS = 2_500;
const PING_MS = 3_000;
/** Longer than a transaction may live on the server. */
const SOCKET_MS = 75_000;
/** Connections: searches in flight; reads and commits are grouped and need few. */
const POOL_MAX = 24;
const POOL_WAIT_MS = 10_000;

export interface MongoStoreOptions {
  /** mongodb:// or mongodb+srv://, the path names the database (default `careloom`). */
  url: string;
  clock: Clock;
}

/**
 * Opens the store; collections and indexes are created when missing. Throws StoreError('unavailable') when there is no
 * primary or the server is no member of a replica set, StoreError('newer-schema') for a newer careloom's database.
 */
export async function openMongoStore({ url, clock }: MongoStoreOptions): Promise<Store> {
  const { database, name } = placeOf(url);
  const client = new MongoClient(url, {
    appName: 'careloom',
    serverSelectionTimeoutMS: SELECTION_MS,
    connectTimeoutMS: SELECTION_MS,
    socketTimeoutMS: SOCKET_MS,
    waitQueueTimeoutMS: POOL_WAIT_MS,
    maxPoolSize: POOL_MAX,
    writeConcern: { w: 'majority', journal: true },
    readConcern: { level: 'local' },
    readPreference: 'primary',
    retryWrites: true,
    retryReads: true,
    promoteBuffers: true,
  });
  try {
    await client.connect();
    await refuseStandalone(client);
    await prepareLayout(client.db(database));
    const after = await latestUpdate(collectionsOf(client.db(database)));
    return storeOf(client, { database, name, clock, after });
  } catch (error) {
    await client.close();
    throw faultOf(error);
  }
}

interface Ref {
  type: string;
  id: string;
}

interface StoreParts {
  database: string;
  name: string;
  clock: Clock;
  /** The latest lastUpdated in the database. */
  after: number;
}

function storeOf(client: MongoClient, options: StoreParts): Store {
  const { clock } = options;
  const db = client.db(options.database);
  const on = collectionsOf(db);
  // Each count is a round trip.
  const remembered = { sizes: sizesRemembered(0), walker: new KeyWalker() };
  const chains = new Chains();
  const committer = new Committer({ client, on, clock, chains }, options.after);
  const appender = new Appender(on, chains);
  const context = { on, reader: new Reader(on), joined: new Joined(on) };
  let closing: Promise<void> | undefined;
  /** The driver would connect anew. */
  const whileOpen =
    <A extends unknown[], R>(work: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      if (closing !== undefined) throw new StoreError('unavailable', 'The store is closed');
      return work(...args);
    };
  const audit = createAudit(client, on, { appender, whileOpen });
  return {
    name: options.name,
    isShared: true,
    read: whileOpen(async (type: string, id: string, filter: Filter, keysOf?: readonly Key[]) => {
      const doc = await readCurrent(context, { type, id }, filter, keysOf !== undefined);
      return doc === undefined ? undefined : rowOf(doc, keysOf);
    }),
    readMany: whileOpen(async (refs: readonly Ref[], filter: Filter, keysOf?: readonly Key[]) => {
      const docs = await Promise.all(refs.map((ref) => readCurrent(context, ref, filter, keysOf !== undefined)));
      return docs.map((doc) => (doc === undefined || doc.body === null ? undefined : rowOf(doc, keysOf)));
    }),
    readVersion: whileOpen((type: string, id: string, version: number, filter: Filter, keysOf?: readonly Key[]) =>
      readVersion(context, { type, id, version }, filter, keysOf),
    ),
    search: whileOpen((search: Search, filter: Filter) => searchPage(on, search, filter, remembered)),
    count: whileOpen((alias: Alias, options: Parameters<Store['count']>[1], filter: Filter) =>
      countMatches(on, alias, options, filter, remembered),
    ),
    history: whileOpen((search: HistorySearch, filter: Filter) => historyPage(context, search, filter)),
    keysIn: whileOpen((span: { from: Key; to: Key }, max: number) =>
      keysWithin(on, span, { max, budgetMs: limits.queryBudgetMs }),
    ),
    commit: whileOpen(async (commit: Commit) =>
      commit.writes.length === 0 && (commit.checks ?? []).length === 0 ? [] : committer.commit(commit),
    ),
    records: mongoRecords(on, clock),
    outbox: mongoOutbox(client, on),
    audit,
    stats: whileOpen(() => countByType(on)),
    scan: whileOpen((scan: Parameters<Store['scan']>[0]) => scanPage(on, scan)),
    reindex: whileOpen((rows: Parameters<Store['reindex']>[0]) => reindexRows(on, rows)),
    verify: async function* (verify) {
      yield* verifyAll(on, verify);
      yield* auditProblems(audit);
    },
    ping: whileOpen(async () => {
      await told(() => db.command({ ping: 1 }, { timeoutMS: PING_MS }));
    }),
    close() {
      closing ??= Promise.all([committer.idle(), appender.idle()]).then(() => client.close());
      return closing;
    },
  };
}

async function refuseStandalone(client: MongoClient): Promise<void> {
  const hello = await client.db('admin').command({ hello: 1 });
  // A shard router names itself so, and is no member of a set.
  if (typeof hello.setName === 'string' || hello.msg === 'isdbgrid') return;
  const message =
    'This MongoDB is a standalone server, which has no transactions. Start it with --replSet and run rs.initiate(): ' +
    'a replica set of one node is enough';
  throw new StoreError('unavailable', message);
}

/** The database named in the URL, and the place for people to read: hosts and database, without user and password. */
function placeOf(url: string): { database: string; name: string } {
  const match = /^mongodb(?:\+srv)?:\/\/(?:[^@/]*@)?([^/?]*)(?:\/([^?]*))?/.exec(url);
  const named = match?.[2] ?? '';
  const database = named === '' ? DATABASE : decodeURIComponent(named);
  return { database, name: `MongoDB ${match?.[1] ?? ''}/${database}` };
}

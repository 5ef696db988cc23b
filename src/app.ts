// The composition root: the only place that knows which store, which engine and which edge work together.
import { existsSync, readFileSync } from 'node:fs';
import { type Clock, systemClock } from './base/clock.ts';
import { createLog, type Log } from './base/log.ts';
import type { Config } from './config.ts';
import { anonymousCaller } from './fhir/access.ts';
import type { Background } from './fhir/engine.ts';
import type { Engine } from './fhir/interaction.ts';
import type { Maintenance } from './fhir/maintenance.ts';
import { createHttpServer, type HttpServer } from './http/server.ts';
import { loadDefinitions } from './model/definitions.ts';
import type { Store } from './store/store.ts';

/** What the server needs of an engine, and what the command line needs beyond that. */
export type AppEngine = Engine & Omit<Maintenance, 'definitions'> & { background?: Background };

export interface App {
  config: Config;
  store: Store;
  engine: AppEngine;
  log: Log;
  clock: Clock;
  /** Made at first use: commands that do not serve do not need it. */
  server(): HttpServer;
  /** Starts to serve; resolves to the address. */
  listen(): Promise<string>;
  /** Stops serving, finishes what is under way, closes the store, writes the log out. Calling it twice is fine. */
  close(): Promise<void>;
}

/** Parts given from outside, in tests above all. */
export interface Overrides {
  store?: Store;
  engine?: AppEngine;
  log?: Log;
  clock?: Clock;
}

export const version = readVersion();

/** When this version came out, for the CapabilityStatement. */
const releaseDate = '2026-01-31';

export async function createApp(config: Config, overrides: Overrides = {}): Promise<App> {
  const clock = overrides.clock ?? systemClock;
  const log = overrides.log ?? createLog({ level: config.logLevel });
  const store = overrides.store ?? (await openStore(config, clock));
  const engine = overrides.engine ?? (await openEngine({ config, store, clock, log }));
  let server: HttpServer | undefined;
  let closing: Promise<void> | undefined;

  const app: App = {
    config,
    store,
    engine,
    log,
    clock,
    server: () => {
      server ??= createHttpServer({
        engine,
        caller: anonymousCaller,
        store,
        log,
        clock,
        definitions: loadDefinitions,
        baseUrl: config.baseUrl,
        version,
        checkHost: config.auth === 'off',
      });
      return server;
    },
    async listen() {
      await engine.upgradeIndex();
      const address = await app.server().listen({ host: config.host, port: config.port });
      engine.background?.start();
      return address;
    },
    close: () => {
      closing ??= closeAll();
      return closing;
    },
  };
  return app;

  async function closeAll(): Promise<void> {
    await server?.close();
    await engine.background?.stop();
    await store.close();
    await log.flush();
  }
}

/** Only the adapter in use is loaded: the MongoDB driver alone takes longer to load than SQLite to open. */
async function openStore({ store }: Config, clock: Clock): Promise<Store> {
  if (store.kind === 'mongo') {
    const { openMongoStore } = await import('./store/mongo/open.ts');
    return openMongoStore({ url: store.url, clock });
  }
  const { openSqliteStore } = await import('./store/sqlite/open.ts');
  return openSqliteStore({ path: store.path, clock });
}

interface EngineParts {
  config: Config;
  store: Store;
  clock: Clock;
  log: Log;
}

async function openEngine({ config, store, clock, log }: EngineParts): Promise<AppEngine> {
  const { createEngine } = await import('./fhir/engine.ts');
  return createEngine({
    store,
    definitions: loadDefinitions(),
    clock,
    baseUrl: config.baseUrl,
    timeZone: config.timeZone,
    software: { name: 'careloom', version, date: releaseDate },
    checkReferences: config.references === 'check',
    onFault: (error, kind) => log.error('background work failed', error, { interaction: kind }),
    ...(config.linkSecret === undefined ? {} : { linkSecret: config.linkSecret }),
  });
}

function readVersion(): string {
  // src/ and dist/ are one level deep, dist/src/ two (when tests are compiled along).
  const candidates = ['../package.json', '../../package.json'].map((path) => new URL(path, import.meta.url));
  const found = candidates.find((candidate) => existsSync(candidate));
  const parsed: unknown = found === undefined ? {} : JSON.parse(readFileSync(found, 'utf8'));
  const text = typeof parsed === 'object' && parsed !== null && 'version' in parsed ? parsed.version : undefined;
  return typeof text === 'string' ? text : 'unknown';
}

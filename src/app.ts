// The composition root: the only place that knows which store, which engine and which edge work together.
import { existsSync, readFileSync } from 'node:fs';
import type { AccessControl, GuardedEngine } from './access-control.ts';
import type { AuditUpkeep } from './audit-upkeep.ts';
import { type Clock, systemClock } from './base/clock.ts';
import { createLog, type Log } from './base/log.ts';
import { type Config, ConfigError } from './config.ts';
import { anonymousCaller } from './fhir/access/callers.ts';
import type { Renew } from './fhir/access/kept-caller.ts';
import type { Security } from './fhir/capabilities.ts';
import type { Background } from './fhir/engine.ts';
import type { Maintenance } from './fhir/maintenance.ts';
import type { Access } from './http/guard.ts';
import { createHttpServer, type HttpServer, type Tls } from './http/server.ts';
import { loadDefinitions } from './model/definitions.ts';
import type { Store } from './store/store.ts';

/** What the server needs of an engine, and what the command line needs beyond that. */
export type AppEngine = GuardedEngine & Omit<Maintenance, 'definitions'> & { background?: Background };

export interface App {
  config: Config;
  store: Store;
  engine: AppEngine;
  log: Log;
  clock: Clock;
  /** Made at first use: commands that do not serve do not need it. */
  server(): Promise<HttpServer>;
  /** Who may do what, made at first use; undefined while access control is off. */
  accessControl(): Promise<AccessControl | undefined>;
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
  const renew: Renew = async (principal) => (await app.accessControl())?.renew(principal);
  const engine = overrides.engine ?? (await openEngine({ config, store, clock, log, renew }));
  let server: Promise<HttpServer> | undefined;
  let accessControl: Promise<AccessControl | undefined> | undefined;
  let auditUpkeep: AuditUpkeep | undefined;
  let closing: Promise<void> | undefined;

  const app: App = {
    config,
    store,
    engine,
    log,
    clock,
    server: () => {
      server ??= openServer();
      return server;
    },
    accessControl: () => {
      accessControl ??= config.auth === 'off' ? Promise.resolve(undefined) : openControl();
      return accessControl;
    },
    async listen() {
      await engine.upgradeIndex();
      await recordWhetherOn();
      if (config.audit) auditUpkeep = await openAuditUpkeep();
      const address = await (await app.server()).listen({ host: config.host, port: config.port });
      engine.background?.start();
      return address;
    },
    close: () => {
      closing ??= closeAll();
      return closing;
    },
  };
  return app;

  async function openServer(): Promise<HttpServer> {
    return createHttpServer({
      engine,
      access: accessOf(config, engine, await app.accessControl()),
      store,
      log,
      clock,
      definitions: loadDefinitions,
      baseUrl: config.baseUrl,
      version,
      checkHost: config.auth === 'off',
      ...(config.tls === undefined ? {} : { tls: readTls(config.tls) }),
    });
  }

  async function openControl(): Promise<AccessControl> {
    const { openAccessControl } = await import('./access-control.ts');
    const onFault = (error: unknown) => log.error('access control failed', error);
    return openAccessControl({ config, store, engine, clock, onFault });
  }

  async function recordWhetherOn(): Promise<void> {
    const { recordSwitch } = await import('./audit-switch.ts');
    await recordSwitch({ store, clock, isOn: config.audit });
  }

  async function openAuditUpkeep(): Promise<AuditUpkeep> {
    const { startAuditUpkeep } = await import('./audit-upkeep.ts');
    return startAuditUpkeep({ config, store, clock, log, version, record: engine.record });
  }

  async function closeAll(): Promise<void> {
    // What could not be opened was told by whoever asked for it.
    await (await server?.catch(() => undefined))?.close();
    await engine.background?.stop();
    await auditUpkeep?.stop();
    await (await accessControl?.catch(() => undefined))?.close();
    await store.close();
    await log.flush();
  }
}

function accessOf(config: Config, engine: GuardedEngine, control: AccessControl | undefined): Access {
  if (control === undefined) return { kind: 'open', caller: anonymousCaller };
  const { trustedProxies, corsOrigins, acceptsPlainHttp, limitsRates, metricsFrom } = config;
  return {
    kind: 'guarded',
    authentication: control.authentication,
    callerOf: engine.callerOf,
    trustedProxies,
    corsOrigins,
    acceptsPlainHttp,
    limitsRates,
    metricsFrom,
    ...(config.audit ? { record: engine.record } : {}),
  };
}

/** Throws ConfigError where a file cannot be read. */
export function readTls({ certFile, keyFile }: NonNullable<Config['tls']>): Tls {
  const read = (name: string, file: string): Buffer => {
    try {
      return readFileSync(file);
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : '';
      throw new ConfigError([`${name}: ${file} cannot be read (${code})`]);
    }
  };
  return { cert: read('CARELOOM_TLS_CERT', certFile), key: read('CARELOOM_TLS_KEY', keyFile) };
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
  renew: Renew;
}

async function openEngine({ config, store, clock, log, renew }: EngineParts): Promise<AppEngine> {
  const { createEngine } = await import('./fhir/engine.ts');
  return createEngine({
    store,
    definitions: loadDefinitions(),
    clock,
    baseUrl: config.baseUrl,
    timeZone: config.timeZone,
    software: { name: 'careloom', version, date: releaseDate },
    checkReferences: config.references === 'check',
    audit: config.audit,
    outsideClients: config.outsideClients,
    ...(config.auth === 'off' ? {} : { renew, security: securityOf(config.baseUrl) }),
    onFault: (error, kind) => log.error('background work failed', error, { interaction: kind }),
    ...(config.linkSecret === undefined ? {} : { linkSecret: config.linkSecret }),
  });
}

/** Where tokens are to be had, as the CapabilityStatement tells it. */
function securityOf(baseUrl: string): Security {
  const auth = `${baseUrl.replace(/\/fhir$/, '')}/auth`;
  return {
    authorize: `${auth}/authorize`,
    token: `${auth}/token`,
    introspect: `${auth}/introspect`,
    revoke: `${auth}/revoke`,
    manage: `${auth}/account`,
  };
}

function readVersion(): string {
  // src/ and dist/ are one level deep, dist/src/ two (when tests are compiled along).
  const candidates = ['../package.json', '../../package.json'].map((path) => new URL(path, import.meta.url));
  const found = candidates.find((candidate) => existsSync(candidate));
  const parsed: unknown = found === undefined ? {} : JSON.parse(readFileSync(found, 'utf8'));
  const text = typeof parsed === 'object' && parsed !== null && 'version' in parsed ? parsed.version : undefined;
  return typeof text === 'string' ? text : 'unknown';
}

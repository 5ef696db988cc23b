// Settings: environment variables with the prefix CARELOOM_, checked once at start. The table below is their only home;
// `careloom help` and the README print it.
import { BlockList, isIP } from 'node:net';
import { Ajv, type ErrorObject } from 'ajv';
import { type LogLevel, logLevels } from './base/log.ts';
import { nearest } from './base/text.ts';

export type StoreSetting = { kind: 'sqlite'; path: string } | { kind: 'mongo'; url: string };

export interface Config {
  store: StoreSetting;
  /** Folder for what the server keeps beside the store. */
  dataDir: string;
  host: string;
  port: number;
  /** The FHIR base as clients know it, without a slash at the end. */
  baseUrl: string;
  /** IANA name of the zone in which dates and times without one are read. */
  timeZone: string;
  /** Sample practice on an empty store; undefined: the command decides. */
  sample: boolean | undefined;
  auth: 'on' | 'off';
  /** What keys are derived from; undefined: made once and kept in the data folder. */
  secret: string | undefined;
  /** Every request is put on record. */
  audit: boolean;
  /** File that signed checkpoints of the audit record are added to. */
  auditCheckpoints: string | undefined;
  /** Whole months of the audit record that are not sealed. */
  auditHotMonths: number;
  /** Years after which the audit record is purged; undefined: never. */
  auditYears: number | undefined;
  /** Ids of clients outside of the covered entity: what they are shown is a disclosure. */
  outsideClients: readonly string[];
  /** File that names other authorization servers whose tokens count. */
  issuers: string | undefined;
  /** File that names other identity providers that people may sign in by. */
  identityProviders: string | undefined;
  /** Whether apps may register themselves, and with what. */
  registration: 'off' | 'token' | 'approval';
  /** PEM files; undefined: plain HTTP. */
  tls: { certFile: string; keyFile: string } | undefined;
  /** Addresses and networks of proxies whose X-Forwarded-For and X-Forwarded-Proto count. */
  trustedProxies: readonly string[];
  /** Tokens and passwords are taken also where they could be read on the way. */
  acceptsPlainHttp: boolean;
  corsOrigins: 'any' | readonly string[];
  limitsRates: boolean;
  /** Addresses and networks that get /metrics while access control is on. */
  metricsFrom: readonly string[];
  logLevel: LogLevel;
  references: 'check' | 'accept';
  /** Key that paging links are signed with, when several processes must share one that is not in the store. */
  linkSecret: string | undefined;
}

export interface Setting {
  name: string;
  /** What holds when it is not set, for people. */
  fallback: string;
  /** What is accepted, for people. */
  accepts: string;
  description: string;
  /** JSON Schema of the text. */
  schema: Readonly<Record<string, unknown>>;
  /** Its value is never shown. */
  isSecret?: boolean;
}

export const settings: readonly Setting[] = [
  {
    name: 'CARELOOM_STORE',
    fallback: 'sqlite:<CARELOOM_DATA>/careloom.db',
    accepts: 'sqlite:<file>, mongodb://<host>/<database> or mongodb+srv://<host>/<database>',
    description: 'Where resources are kept.',
    schema: { type: 'string', pattern: '^(sqlite:.+|mongodb(\\+srv)?://.+)$' },
  },
  {
    name: 'CARELOOM_DATA',
    fallback: './data',
    accepts: 'a folder; it is made when absent',
    description: 'Folder of the SQLite file and of what else the server keeps.',
    schema: { type: 'string', minLength: 1 },
  },
  {
    name: 'CARELOOM_HOST',
    fallback: '127.0.0.1',
    accepts: 'localhost, or an address of this machine; 0.0.0.0 or :: for all of them',
    description:
      'Address to listen at. Any but loopback needs access control, and TLS, a trusted proxy or CARELOOM_PLAIN_HTTP=accept.',
    schema: { type: 'string', format: 'host' },
  },
  {
    name: 'CARELOOM_PORT',
    fallback: 'PORT, or 8080',
    accepts: 'a port from 1 to 65535',
    description: 'Port to listen at.',
    schema: { type: 'string', format: 'port' },
  },
  {
    name: 'PORT',
    fallback: '8080',
    accepts: 'a port from 1 to 65535',
    description: 'The same, as platforms set it; CARELOOM_PORT wins.',
    schema: { type: 'string', format: 'port' },
  },
  {
    name: 'CARELOOM_BASE_URL',
    fallback: 'http://<host>:<port>/fhir',
    accepts: 'an http or https URL without query or fragment',
    description: 'The FHIR base as clients see it, behind a proxy for example; links and Location use it.',
    schema: { type: 'string', format: 'base-url' },
  },
  {
    name: 'CARELOOM_TIME_ZONE',
    fallback: "the system's zone",
    accepts: 'an IANA time zone such as America/Chicago',
    description: 'Zone in which dates and times without one are read.',
    schema: { type: 'string', format: 'time-zone' },
  },
  {
    name: 'CARELOOM_SAMPLE',
    fallback: 'on for `npm start`, off for `careloom serve`',
    accepts: 'on or off',
    description: 'Fill an empty store with a small made-up practice.',
    schema: { type: 'string', enum: ['on', 'off'] },
  },
  {
    name: 'CARELOOM_AUTH',
    fallback: 'on',
    accepts: 'on or off; off on loopback only',
    description: 'Access control: SMART on FHIR tokens, users, roles. Off: whoever reaches the server may do anything.',
    schema: { type: 'string', enum: ['on', 'off'] },
  },
  {
    name: 'CARELOOM_SECRET',
    fallback: 'made once and kept in <CARELOOM_DATA>/secret',
    accepts: 'at least 32 characters; the same for all processes on one store',
    description: 'What the keys are derived from that encrypt second factors and signing keys.',
    schema: { type: 'string', minLength: 32, maxLength: 4096 },
    isSecret: true,
  },
  {
    name: 'CARELOOM_AUDIT',
    fallback: 'as CARELOOM_AUTH',
    accepts: 'on or off',
    description: 'Put every request on record: who did what to whose data.',
    schema: { type: 'string', enum: ['on', 'off'] },
  },
  {
    name: 'CARELOOM_AUDIT_CHECKPOINTS',
    fallback: 'none',
    accepts: 'a file, best on another machine or volume',
    description: 'Where signed checkpoints of the audit record are added, which show if its end was cut off.',
    schema: { type: 'string', minLength: 1 },
  },
  {
    name: 'CARELOOM_AUDIT_HOT_MONTHS',
    fallback: '13',
    accepts: 'a whole number from 1 to 120',
    description: 'Whole months of the audit record that stay as rows; older ones are sealed in packed segments.',
    schema: { type: 'string', pattern: '^([1-9]|[1-9][0-9]|1[01][0-9]|120)$' },
  },
  {
    name: 'CARELOOM_AUDIT_YEARS',
    fallback: '6',
    accepts: 'a whole number from 1 to 100, or forever',
    description: 'Years after which segments of the audit record are purged, unless there is a legal hold.',
    schema: { type: 'string', pattern: '^([1-9]|[1-9][0-9]|100|forever)$' },
  },
  {
    name: 'CARELOOM_OUTSIDE_CLIENTS',
    fallback: 'none',
    accepts: 'ids of clients, with commas between them',
    description: 'Clients of others, outside of the practice: what they are shown is on record as a disclosure.',
    schema: { type: 'string', minLength: 1 },
  },
  {
    name: 'CARELOOM_ISSUERS',
    fallback: 'none',
    accepts: 'a JSON file: a list of issuers, see the section on access',
    description: 'Other authorization servers whose tokens for machines are accepted.',
    schema: { type: 'string', minLength: 1 },
  },
  {
    name: 'CARELOOM_IDENTITY_PROVIDERS',
    fallback: 'none',
    accepts: 'a JSON file: a list of providers, see the section on access',
    description: 'OpenID Connect providers that people may sign in by.',
    schema: { type: 'string', minLength: 1 },
  },
  {
    name: 'CARELOOM_REGISTRATION',
    fallback: 'off',
    accepts: 'off, token (one that an administrator hands out) or approval (an administrator approves the app)',
    description: 'Whether apps may register themselves.',
    schema: { type: 'string', enum: ['off', 'token', 'approval'] },
  },
  {
    name: 'CARELOOM_TLS_CERT',
    fallback: 'none: plain HTTP',
    accepts: 'a PEM file, with CARELOOM_TLS_KEY',
    description: 'Certificate, with its chain. SIGHUP reads it anew.',
    schema: { type: 'string', minLength: 1 },
  },
  {
    name: 'CARELOOM_TLS_KEY',
    fallback: 'none: plain HTTP',
    accepts: 'a PEM file, with CARELOOM_TLS_CERT',
    description: "The certificate's private key.",
    schema: { type: 'string', minLength: 1 },
  },
  {
    name: 'CARELOOM_TRUSTED_PROXIES',
    fallback: 'none',
    accepts: 'addresses and networks such as 10.0.0.5, 10.1.0.0/16, with commas between them',
    description: 'Proxies whose X-Forwarded-For and X-Forwarded-Proto count; they are to do the TLS.',
    schema: { type: 'string', format: 'networks' },
  },
  {
    name: 'CARELOOM_PLAIN_HTTP',
    fallback: 'refuse',
    accepts: 'refuse or accept',
    description: 'Whether tokens and passwords are taken from other machines without TLS, where others can read them.',
    schema: { type: 'string', enum: ['refuse', 'accept'] },
  },
  {
    name: 'CARELOOM_CORS_ORIGINS',
    fallback: '*',
    accepts: '*, none, or origins such as https://app.example with commas between them',
    description: 'Web pages of which origins may call with a token. Never with cookies.',
    schema: { type: 'string', format: 'origins' },
  },
  {
    name: 'CARELOOM_RATE_LIMITS',
    fallback: 'on',
    accepts: 'on or off',
    description: 'Limits on requests of one client, person or address, while access control is on.',
    schema: { type: 'string', enum: ['on', 'off'] },
  },
  {
    name: 'CARELOOM_METRICS_FROM',
    fallback: '127.0.0.0/8, ::1',
    accepts: 'addresses and networks, with commas between them',
    description: 'Who gets /metrics while access control is on.',
    schema: { type: 'string', format: 'networks' },
  },
  {
    name: 'CARELOOM_LOG_LEVEL',
    fallback: 'info',
    accepts: logLevels.join(', '),
    description: 'Lowest level that is logged, to standard error; requests are logged at info.',
    schema: { type: 'string', enum: logLevels },
  },
  {
    name: 'CARELOOM_REFERENCES',
    fallback: 'accept',
    accepts: 'check or accept',
    description: 'Whether a write is refused when a local reference leads to nothing.',
    schema: { type: 'string', enum: ['check', 'accept'] },
  },
  {
    name: 'CARELOOM_LINK_SECRET',
    fallback: 'made once and kept in the store',
    accepts: 'at least 32 characters',
    description: 'Key that paging links are signed with.',
    schema: { type: 'string', minLength: 32 },
    isSecret: true,
  },
];

/** Names with our prefix that belong to the tests and to no server. */
const testNames: readonly string[] = [
  'CARELOOM_CACHE',
  'CARELOOM_CRASH_ROUNDS',
  'CARELOOM_CRASH_SEED',
  'CARELOOM_FUZZ_MS',
  'CARELOOM_FUZZ_SEED',
  'CARELOOM_MONGOD',
  'CARELOOM_PROPERTY_MS',
  'CARELOOM_SEED',
  'CARELOOM_SHARED_DATA',
  'CARELOOM_TEST_MONGO',
];

/** One or more settings are wrong; the message has a line for each. */
export class ConfigError extends Error {
  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.name = 'ConfigError';
  }
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The settings in an environment. Throws ConfigError naming each wrong one, its value and what is accepted. */
export function readConfig(environment: Environment): Config {
  const given = givenSettings(environment);
  const problems = problemsOf(given);
  if (problems.length > 0) throw new ConfigError(problems);
  const dataDir = given.CARELOOM_DATA ?? './data';
  const host = given.CARELOOM_HOST ?? '127.0.0.1';
  const port = Number(given.CARELOOM_PORT ?? given.PORT ?? '8080');
  const tls = tlsSetting(given);
  const config: Config = {
    store: storeSetting(given.CARELOOM_STORE ?? `sqlite:${dataDir}/careloom.db`),
    dataDir,
    host,
    port,
    baseUrl: (given.CARELOOM_BASE_URL ?? `${rootUrl({ host, port, tls })}/fhir`).replace(/\/$/, ''),
    timeZone: given.CARELOOM_TIME_ZONE ?? Intl.DateTimeFormat().resolvedOptions().timeZone,
    sample: given.CARELOOM_SAMPLE === undefined ? undefined : given.CARELOOM_SAMPLE === 'on',
    logLevel: logLevels.find((level) => level === given.CARELOOM_LOG_LEVEL) ?? 'info',
    references: given.CARELOOM_REFERENCES === 'check' ? 'check' : 'accept',
    linkSecret: given.CARELOOM_LINK_SECRET,
    tls,
    ...accessSettings(given),
  };
  const exposures = exposureProblems(config, given);
  if (exposures.length > 0) throw new ConfigError(exposures);
  return config;
}

/** Where the server itself is reached, without a slash at the end. */
export function rootUrl({ host, port, tls }: Pick<Config, 'host' | 'port' | 'tls'>): string {
  return `${tls === undefined ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

type AccessSetting =
  | 'auth'
  | 'secret'
  | 'audit'
  | 'auditCheckpoints'
  | 'auditHotMonths'
  | 'auditYears'
  | 'outsideClients'
  | 'issuers'
  | 'identityProviders'
  | 'registration'
  | 'trustedProxies'
  | 'acceptsPlainHttp'
  | 'corsOrigins'
  | 'limitsRates'
  | 'metricsFrom';

function accessSettings(given: Record<string, string>): Pick<Config, AccessSetting> {
  const auth = given.CARELOOM_AUTH === 'off' ? 'off' : 'on';
  const registration = given.CARELOOM_REGISTRATION;
  return {
    auth,
    secret: given.CARELOOM_SECRET,
    audit: (given.CARELOOM_AUDIT ?? auth) === 'on',
    auditCheckpoints: given.CARELOOM_AUDIT_CHECKPOINTS,
    auditHotMonths: Number(given.CARELOOM_AUDIT_HOT_MONTHS ?? '13'),
    auditYears: given.CARELOOM_AUDIT_YEARS === 'forever' ? undefined : Number(given.CARELOOM_AUDIT_YEARS ?? '6'),
    outsideClients: listOf(given.CARELOOM_OUTSIDE_CLIENTS ?? ''),
    issuers: given.CARELOOM_ISSUERS,
    identityProviders: given.CARELOOM_IDENTITY_PROVIDERS,
    registration: registration === 'token' || registration === 'approval' ? registration : 'off',
    trustedProxies: listOf(given.CARELOOM_TRUSTED_PROXIES ?? ''),
    acceptsPlainHttp: given.CARELOOM_PLAIN_HTTP === 'accept',
    corsOrigins: corsSetting(given.CARELOOM_CORS_ORIGINS ?? '*'),
    limitsRates: given.CARELOOM_RATE_LIMITS !== 'off',
    metricsFrom: listOf(given.CARELOOM_METRICS_FROM ?? '127.0.0.0/8, ::1'),
  };
}

/** What is accepted by itself, and not together with the rest. */
function exposureProblems({ auth, host, tls, ...config }: Config, given: Record<string, string>): string[] {
  const problems: string[] = [];
  if ((given.CARELOOM_TLS_CERT === undefined) !== (given.CARELOOM_TLS_KEY === undefined)) {
    problems.push('CARELOOM_TLS_CERT and CARELOOM_TLS_KEY need each other; set both');
  }
  if (auth === 'on' && !new URL(config.baseUrl).pathname.endsWith('/fhir')) {
    problems.push(
      `CARELOOM_BASE_URL is '${config.baseUrl}', which is not accepted with CARELOOM_AUTH=on; accepted: an address that ends in /fhir, as the pages for signing in are beside it`,
    );
  }
  if (isLoopback(host)) return problems;
  const isShielded = tls !== undefined || config.trustedProxies.length > 0 || config.acceptsPlainHttp;
  if (auth === 'off') {
    problems.push(
      `CARELOOM_HOST is '${host}', which is not accepted with CARELOOM_AUTH=off; accepted: a loopback address: 127.0.0.1, ::1 or localhost`,
    );
  } else if (!isShielded) {
    problems.push(
      `CARELOOM_HOST is '${host}', where tokens and passwords could be read on the way; set CARELOOM_TLS_CERT and CARELOOM_TLS_KEY, or CARELOOM_TRUSTED_PROXIES, or CARELOOM_PLAIN_HTTP=accept, or use a loopback address`,
    );
  }
  if (given.CARELOOM_BASE_URL === undefined && (host === '0.0.0.0' || host === '::')) {
    problems.push(`CARELOOM_BASE_URL is needed with CARELOOM_HOST=${host}: how clients are to reach the server`);
  }
  return problems;
}

/** Nobody but this machine reaches the address. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}

function tlsSetting({ CARELOOM_TLS_CERT: certFile, CARELOOM_TLS_KEY: keyFile }: Record<string, string>): Config['tls'] {
  return certFile === undefined || keyFile === undefined ? undefined : { certFile, keyFile };
}

function corsSetting(text: string): Config['corsOrigins'] {
  if (text === '*') return 'any';
  return text === 'none' ? [] : listOf(text);
}

function listOf(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** The settings table as Markdown, for the README. */
export function settingsMarkdown(): string {
  const rows = settings.map(
    ({ name, fallback, accepts, description }) => `| \`${name}\` | ${description} | ${accepts} | ${fallback} |`,
  );
  return ['| name | what it sets | accepted | default |', '|---|---|---|---|', ...rows].join('\n');
}

/** What is ours in the environment. An empty text counts as not set: compose files and shells write unset ones so. */
function givenSettings(environment: Environment): Record<string, string> {
  const given: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) {
    const isOurs = name === 'PORT' || name.startsWith('CARELOOM_');
    if (isOurs && value !== undefined && value !== '' && !testNames.includes(name)) given[name] = value;
  }
  return given;
}

function problemsOf(given: Record<string, string>): string[] {
  const ajv = new Ajv({ allErrors: true, allowUnionTypes: true });
  ajv.addFormat('port', (text: string) => /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65_535);
  ajv.addFormat('base-url', isBaseUrl);
  ajv.addFormat('time-zone', isTimeZone);
  ajv.addFormat('host', (text: string) => text === 'localhost' || isIP(text) !== 0);
  ajv.addFormat('networks', (text: string) => listOf(text).every(isNetwork));
  ajv.addFormat('origins', (text: string) => text === '*' || text === 'none' || listOf(text).every(isOrigin));
  const properties = Object.fromEntries(settings.map(({ name, schema }) => [name, schema]));
  const check = ajv.compile({ type: 'object', properties, additionalProperties: false });
  if (check(given)) return [];
  return (check.errors ?? []).map((error) => problemOf(error, given));
}

function problemOf(error: ErrorObject, given: Record<string, string>): string {
  if (error.keyword === 'additionalProperties') {
    const name = String(error.params.additionalProperty);
    const names = settings.map((setting) => setting.name);
    return `${name} is not a setting; did you mean ${nearest(name, names) ?? `one of ${names.join(', ')}`}?`;
  }
  const name = error.instancePath.slice(1);
  const setting = settings.find((each) => each.name === name);
  const shown = setting?.isSecret === true ? 'has a value that' : `is '${withoutPassword(given[name] ?? '')}', which`;
  return `${name} ${shown} is not accepted; accepted: ${setting?.accepts ?? ''}`;
}

function withoutPassword(text: string): string {
  return text.replace(/\/\/[^@/]*@/, '//…@');
}

function isBaseUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, search, hash, username } = new URL(text);
  return (protocol === 'http:' || protocol === 'https:') && search === '' && hash === '' && username === '';
}

function isNetwork(text: string): boolean {
  const [address = '', bits, ...more] = text.split('/');
  const version = isIP(address);
  if (version === 0 || more.length > 0 || (bits !== undefined && !/^\d{1,3}$/.test(bits))) return false;
  try {
    new BlockList().addSubnet(address, Number(bits ?? 32), version === 6 ? 'ipv6' : 'ipv4');
    return true;
  } catch {
    return false;
  }
}

function isOrigin(text: string): boolean {
  return URL.canParse(text) && new URL(text).origin === text;
}

function isTimeZone(text: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: text });
    return true;
  } catch {
    return false;
  }
}

function storeSetting(text: string): StoreSetting {
  return text.startsWith('sqlite:')
    ? { kind: 'sqlite', path: text.slice('sqlite:'.length) }
    : { kind: 'mongo', url: text };
}

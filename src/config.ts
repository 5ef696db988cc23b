// Settings: environment variables with the prefix CARELOOM_, checked once at start. The table below is their only home;
// `careloom help` and the README print it.
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
  auth: 'off';
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
    accepts: 'a loopback address: 127.0.0.1, ::1 or localhost (careloom has no access control yet)',
    description: 'Address to listen at.',
    schema: { type: 'string', pattern: '^(localhost|::1|127\\.\\d{1,3}\\.\\d{1,3}\\.\\d{1,3})$' },
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
    fallback: 'off',
    accepts: 'off (careloom has no access control yet, and listens on loopback only)',
    description: 'Access control.',
    schema: { type: 'string', enum: ['off'] },
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
  return {
    store: storeSetting(given.CARELOOM_STORE ?? `sqlite:${dataDir}/careloom.db`),
    dataDir,
    host,
    port,
    baseUrl: (given.CARELOOM_BASE_URL ?? defaultBaseUrl(host, port)).replace(/\/$/, ''),
    timeZone: given.CARELOOM_TIME_ZONE ?? Intl.DateTimeFormat().resolvedOptions().timeZone,
    sample: given.CARELOOM_SAMPLE === undefined ? undefined : given.CARELOOM_SAMPLE === 'on',
    auth: 'off',
    logLevel: logLevels.find((level) => level === given.CARELOOM_LOG_LEVEL) ?? 'info',
    references: given.CARELOOM_REFERENCES === 'check' ? 'check' : 'accept',
    linkSecret: given.CARELOOM_LINK_SECRET,
  };
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

function defaultBaseUrl(host: string, port: number): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}/fhir`;
}

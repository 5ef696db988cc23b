// Settings: what is accepted, what is refused, and in which words.
import { readFileSync } from 'node:fs';
import t from 'tap';
import { ConfigError, readConfig, settings, settingsMarkdown } from '../src/config.ts';

const problem = (environment: Record<string, string>): string => {
  try {
    readConfig(environment);
    return '';
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
};

t.test('nothing set: SQLite in ./data on loopback', async (t) => {
  t.match(readConfig({ PATH: '/bin', CARELOOM_STORE: '' }), {
    store: { kind: 'sqlite', path: './data/careloom.db' },
    dataDir: './data',
    host: '127.0.0.1',
    port: 8080,
    baseUrl: 'http://127.0.0.1:8080/fhir',
    timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    sample: undefined,
    auth: 'on',
    secret: undefined,
    audit: true,
    auditCheckpoints: undefined,
    auditHotMonths: 13,
    auditYears: 6,
    issuers: undefined,
    identityProviders: undefined,
    registration: 'off',
    tls: undefined,
    trustedProxies: [],
    acceptsPlainHttp: false,
    corsOrigins: 'any',
    limitsRates: true,
    metricsFrom: ['127.0.0.0/8', '::1'],
    logLevel: 'info',
    references: 'accept',
    linkSecret: undefined,
  });
});

t.test('everything set', async (t) => {
  const config = readConfig({
    CARELOOM_STORE: 'mongodb://u:p@db.example/careloom',
    CARELOOM_DATA: '/srv',
    CARELOOM_HOST: '10.1.2.3',
    PORT: '1',
    CARELOOM_PORT: '9000',
    CARELOOM_BASE_URL: 'https://ehr.example/api/fhir/',
    CARELOOM_TIME_ZONE: 'America/Chicago',
    CARELOOM_SAMPLE: 'off',
    CARELOOM_AUTH: 'on',
    CARELOOM_SECRET: 's'.repeat(32),
    CARELOOM_AUDIT: 'off',
    CARELOOM_AUDIT_CHECKPOINTS: '/mnt/checkpoints',
    CARELOOM_AUDIT_HOT_MONTHS: '24',
    CARELOOM_AUDIT_YEARS: 'forever',
    CARELOOM_ISSUERS: '/etc/issuers.json',
    CARELOOM_IDENTITY_PROVIDERS: '/etc/providers.json',
    CARELOOM_REGISTRATION: 'token',
    CARELOOM_TLS_CERT: '/etc/cert.pem',
    CARELOOM_TLS_KEY: '/etc/key.pem',
    CARELOOM_TRUSTED_PROXIES: '10.0.0.5, 10.1.0.0/16,::1',
    CARELOOM_PLAIN_HTTP: 'accept',
    CARELOOM_CORS_ORIGINS: 'https://app.example, http://localhost:3000',
    CARELOOM_RATE_LIMITS: 'off',
    CARELOOM_METRICS_FROM: '10.9.0.0/16',
    CARELOOM_LOG_LEVEL: 'warn',
    CARELOOM_REFERENCES: 'check',
    CARELOOM_LINK_SECRET: 'x'.repeat(32),
    CARELOOM_CACHE: 'for tests, and passed over',
  });
  t.match(config, {
    store: { kind: 'mongo', url: 'mongodb://u:p@db.example/careloom' },
    host: '10.1.2.3',
    port: 9000,
    baseUrl: 'https://ehr.example/api/fhir',
    timeZone: 'America/Chicago',
    sample: false,
    auth: 'on',
    secret: 's'.repeat(32),
    audit: false,
    auditCheckpoints: '/mnt/checkpoints',
    auditHotMonths: 24,
    auditYears: undefined,
    issuers: '/etc/issuers.json',
    identityProviders: '/etc/providers.json',
    registration: 'token',
    tls: { certFile: '/etc/cert.pem', keyFile: '/etc/key.pem' },
    trustedProxies: ['10.0.0.5', '10.1.0.0/16', '::1'],
    acceptsPlainHttp: true,
    corsOrigins: ['https://app.example', 'http://localhost:3000'],
    limitsRates: false,
    metricsFrom: ['10.9.0.0/16'],
    logLevel: 'warn',
    references: 'check',
    linkSecret: 'x'.repeat(32),
  });
});

t.test('the data folder and the port go into what is derived from them', async (t) => {
  t.match(readConfig({ CARELOOM_DATA: '/srv' }).store, { path: '/srv/careloom.db' });
  t.equal(readConfig({ PORT: '81', CARELOOM_HOST: '::1' }).baseUrl, 'http://[::1]:81/fhir');
});

t.test('a wrong value is told with its name, itself and what is accepted', async (t) => {
  const wrong: Record<string, string> = {
    CARELOOM_STORE: 'postgres://x',
    CARELOOM_HOST: 'ehr.example',
    CARELOOM_PORT: '65536',
    PORT: 'http',
    CARELOOM_BASE_URL: 'ftp://x/fhir',
    CARELOOM_TIME_ZONE: 'Mars/Olympus',
    CARELOOM_SAMPLE: 'yes',
    CARELOOM_AUTH: 'maybe',
    CARELOOM_AUDIT: 'sometimes',
    CARELOOM_AUDIT_HOT_MONTHS: '0',
    CARELOOM_AUDIT_YEARS: 'never',
    CARELOOM_REGISTRATION: 'open',
    CARELOOM_TRUSTED_PROXIES: '10.0.0.0/33',
    CARELOOM_PLAIN_HTTP: 'yes',
    CARELOOM_CORS_ORIGINS: 'https://app.example/',
    CARELOOM_RATE_LIMITS: 'low',
    CARELOOM_METRICS_FROM: 'anybody',
    CARELOOM_LOG_LEVEL: 'loud',
    CARELOOM_REFERENCES: 'maybe',
  };
  for (const [name, value] of Object.entries(wrong)) {
    const accepts = settings.find((setting) => setting.name === name)?.accepts ?? 'missing';
    t.equal(problem({ [name]: value }), `${name} is '${value}', which is not accepted; accepted: ${accepts}`);
  }
  t.equal(problem(wrong).split('\n').length, Object.keys(wrong).length, 'all of them at once');
});

t.test('beyond loopback: never without access control, and not where others could read along', async (t) => {
  const hosts = ['0.0.0.0', '::', '192.168.1.5', 'fd00::5'];
  const base = { CARELOOM_BASE_URL: 'https://ehr.example/fhir' };
  const tls = { CARELOOM_TLS_CERT: '/c', CARELOOM_TLS_KEY: '/k' };
  for (const CARELOOM_HOST of hosts) {
    const off = problem({ CARELOOM_HOST, ...base, ...tls, CARELOOM_AUTH: 'off', CARELOOM_PLAIN_HTTP: 'accept' });
    t.match(off, `CARELOOM_HOST is '${CARELOOM_HOST}', which is not accepted with CARELOOM_AUTH=off`);
    t.match(problem({ CARELOOM_HOST, ...base }), 'could be read on the way');
    t.equal(problem({ CARELOOM_HOST, ...base, ...tls }), '');
    t.equal(problem({ CARELOOM_HOST, ...base, CARELOOM_TRUSTED_PROXIES: '10.0.0.1' }), '');
    t.equal(problem({ CARELOOM_HOST, ...base, CARELOOM_PLAIN_HTTP: 'accept' }), '');
  }
  for (const CARELOOM_HOST of ['127.0.0.1', '127.8.8.8', '::1', 'localhost'])
    for (const CARELOOM_AUTH of ['on', 'off']) t.equal(problem({ CARELOOM_HOST, CARELOOM_AUTH }), '', CARELOOM_HOST);
  t.match(problem({ CARELOOM_HOST: '0.0.0.0', ...tls }), 'CARELOOM_BASE_URL is needed');
  t.match(problem({ CARELOOM_TLS_CERT: '/c' }), 'need each other');
  t.equal(readConfig({ CARELOOM_HOST: '10.0.0.1', ...tls }).baseUrl, 'https://10.0.0.1:8080/fhir');
});

t.test('access control needs to know the root above the FHIR base', async (t) => {
  const wrong = { CARELOOM_BASE_URL: 'https://ehr.example/api/r4' };
  t.match(problem(wrong), /CARELOOM_BASE_URL is 'https:\/\/ehr.example\/api\/r4'.*ends in \/fhir/);
  t.equal(problem({ ...wrong, CARELOOM_AUTH: 'off' }), '');
});

t.test('an unknown name is told with the nearest one', async (t) => {
  t.equal(problem({ CARELOOM_STROE: 'x' }), 'CARELOOM_STROE is not a setting; did you mean CARELOOM_STORE?');
});

t.test('secrets are not repeated', async (t) => {
  t.notMatch(problem({ CARELOOM_SECRET: 'short' }), 'short');
  t.notMatch(problem({ CARELOOM_LINK_SECRET: 'short' }), 'short');
  t.notMatch(problem({ CARELOOM_STORE: 'mongo://user:hunter2@db/x' }), 'hunter2');
});

t.test('the README table has every setting', async (t) => {
  for (const { name } of settings) t.match(settingsMarkdown(), `\`${name}\``);
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  for (const row of settingsMarkdown().split('\n').slice(2)) t.match(readme, row);
});

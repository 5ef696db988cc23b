// Settings: what is accepted, what is refused, and in which words.
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
    auth: 'off',
    logLevel: 'info',
    references: 'accept',
    linkSecret: undefined,
  });
});

t.test('everything set', async (t) => {
  const config = readConfig({
    CARELOOM_STORE: 'mongodb://u:p@db.example/careloom',
    CARELOOM_DATA: '/srv',
    CARELOOM_HOST: '::1',
    PORT: '1',
    CARELOOM_PORT: '9000',
    CARELOOM_BASE_URL: 'https://ehr.example/api/fhir/',
    CARELOOM_TIME_ZONE: 'America/Chicago',
    CARELOOM_SAMPLE: 'off',
    CARELOOM_AUTH: 'off',
    CARELOOM_LOG_LEVEL: 'warn',
    CARELOOM_REFERENCES: 'check',
    CARELOOM_LINK_SECRET: 'x'.repeat(32),
    CARELOOM_CACHE: 'for tests, and passed over',
  });
  t.match(config, {
    store: { kind: 'mongo', url: 'mongodb://u:p@db.example/careloom' },
    host: '::1',
    port: 9000,
    baseUrl: 'https://ehr.example/api/fhir',
    timeZone: 'America/Chicago',
    sample: false,
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
    CARELOOM_HOST: '0.0.0.0',
    CARELOOM_PORT: '65536',
    PORT: 'http',
    CARELOOM_BASE_URL: 'ftp://x/fhir',
    CARELOOM_TIME_ZONE: 'Mars/Olympus',
    CARELOOM_SAMPLE: 'yes',
    CARELOOM_AUTH: 'on',
    CARELOOM_LOG_LEVEL: 'loud',
    CARELOOM_REFERENCES: 'maybe',
  };
  for (const [name, value] of Object.entries(wrong)) {
    const accepts = settings.find((setting) => setting.name === name)?.accepts ?? 'missing';
    t.equal(problem({ [name]: value }), `${name} is '${value}', which is not accepted; accepted: ${accepts}`);
  }
  t.equal(problem(wrong).split('\n').length, Object.keys(wrong).length, 'all of them at once');
});

t.test('only loopback is listened at, and the message says why', async (t) => {
  for (const host of ['0.0.0.0', '::', '192.168.1.5', 'ehr.example']) {
    t.match(problem({ CARELOOM_HOST: host }), /no access control/);
  }
});

t.test('an unknown name is told with the nearest one', async (t) => {
  t.equal(problem({ CARELOOM_STROE: 'x' }), 'CARELOOM_STROE is not a setting; did you mean CARELOOM_STORE?');
});

t.test('secrets are not repeated', async (t) => {
  t.notMatch(problem({ CARELOOM_LINK_SECRET: 'short' }), 'short');
  t.notMatch(problem({ CARELOOM_STORE: 'mongo://user:hunter2@db/x' }), 'hunter2');
});

t.test('the README table has every setting', async (t) => {
  for (const { name } of settings) t.match(settingsMarkdown(), `\`${name}\``);
});

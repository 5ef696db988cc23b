// The layers of src/README.md, held: which folder may import which, and where each third-party package lives.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const source = fileURLToPath(new URL('../src/', import.meta.url));

/** Folder → folders it may import, itself always among them. Files directly under src/ wire everything. */
const layers: Record<string, readonly string[]> = {
  base: [],
  model: ['base'],
  store: ['model', 'base'],
  terminology: ['model', 'base'],
  validation: ['terminology', 'model', 'base'],
  jobs: ['store', 'base'],
  fhir: ['validation', 'terminology', 'store', 'jobs', 'model', 'base'],
  auth: ['fhir', 'store', 'base'],
  exchange: ['model', 'base'],
  practice: ['fhir', 'exchange', 'jobs', 'model', 'base'],
  mllp: ['exchange', 'fhir', 'base'],
  ui: ['practice', 'fhir', 'model', 'base'],
  http: ['ui', 'auth', 'fhir', 'model', 'base'],
};

/** Package (or Node module) → the files or folders that alone may import it. */
const homes: Record<string, readonly string[]> = {
  fastify: ['http/'],
  '@fastify/helmet': ['http/'],
  mongodb: ['store/mongo/'],
  'node:sqlite': ['store/sqlite/'],
  pino: ['base/log.ts'],
  ajv: ['config.ts', 'external-issuers.ts', 'identity-providers.ts'],
  'prom-client': ['http/metrics.ts'],
  saxes: ['model/xml.ts'],
  fhirpath: ['model/path.ts'],
  graphql: ['fhir/operations/graphql/'],
  '@lhncbc/ucum-lhc': ['terminology/ucum.ts'],
  jose: ['auth/jwt.ts'],
  undici: ['base/net.ts'],
  otpauth: ['auth/users/totp.ts'],
  '@simplewebauthn/server': ['auth/users/passkeys.ts'],
};

const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
const imports = files.flatMap((file) => {
  const text = readFileSync(join(source, file), 'utf8');
  const found = text.matchAll(/^(?:import|export)\s[^'"]*?from '([^']+)';|^import '([^']+)';|\bimport\('([^']+)'\)/gm);
  return [...found].map(([, from, bare, lazy]) => ({ file, what: from ?? bare ?? lazy ?? '' }));
});

t.ok(files.length >= 60, `all of src was read (${files.length} files)`);
t.ok(imports.length >= 200, `its imports were found (${imports.length})`);

t.test('a folder imports only the layers below it', async (t) => {
  for (const { file, what } of imports) {
    if (!what.startsWith('.')) continue;
    const from = file.split('/')[0] ?? '';
    const target = relative(source, join(source, dirname(file), what));
    t.notOk(target.startsWith('..') && !target.endsWith('package.json'), `${file} stays within src: ${what}`);
    const to = target.includes('/') ? (target.split('/')[0] ?? '') : '';
    const allowed = layers[from];
    if (allowed === undefined || !file.includes('/')) continue;
    t.ok(to === from || allowed.includes(to), `${file} may import ${target}`);
  }
});

t.test('a package is imported in its home alone', async (t) => {
  for (const { file, what } of imports) {
    if (what.startsWith('.')) continue;
    const name = what.startsWith('node:')
      ? what
      : what
          .split('/')
          .slice(0, what.startsWith('@') ? 2 : 1)
          .join('/');
    const home = homes[name];
    if (home !== undefined)
      t.ok(
        home.some((one) => file.startsWith(one)),
        `${name} is imported in ${file}`,
      );
    else t.ok(name.startsWith('node:') || name === 'fhir', `${name}, imported in ${file}, has no home in this table`);
  }
});

t.test('every folder of src is a layer', async (t) => {
  const folders = new Set(files.filter((file) => file.includes('/')).map((file) => file.split('/')[0] ?? ''));
  for (const folder of folders) t.ok(folder === 'cli' || layers[folder] !== undefined, folder);
});

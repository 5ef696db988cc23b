// threat 36: what others wrote and we run. The lock file names it all, with a digest for each; next to none of it runs
// anything when it is installed; and what the server needs to run is few enough to be listed.
import { readFileSync } from 'node:fs';
import t from 'tap';

interface Locked {
  version?: string;
  resolved?: string;
  integrity?: string;
  link?: boolean;
  dev?: boolean;
  optional?: boolean;
  hasInstallScript?: boolean;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}

const textOf = (name: string): string => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');
const own = JSON.parse(textOf('package.json')) as {
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
  allowScripts: Record<string, boolean>;
};
const lock = JSON.parse(textOf('package-lock.json')) as { lockfileVersion: number; packages: Record<string, Locked> };
const { '': root, ...packages } = lock.packages;
const installed = Object.entries(packages);
const nameOf = (path: string): string => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);

/** What src/ is built on: one more is a decision, made here and in test/layout.test.ts. */
const RUNTIME = [
  '@fastify/helmet',
  '@lhncbc/ucum-lhc',
  '@simplewebauthn/server',
  'ajv',
  'fastify',
  'fhirpath',
  'graphql',
  'jose',
  'mongodb',
  'otpauth',
  'pino',
  'prom-client',
  'saxes',
  'temporal-polyfill',
  'undici',
];
/** With all that these need. */
const RUNTIME_PACKAGES_MAX = 140;

t.test('threat 36: the lock file says what package.json asks for', async (t) => {
  t.equal(lock.lockfileVersion, 3);
  t.same(root?.dependencies, own.dependencies);
  t.same(root?.devDependencies, own.devDependencies);
  t.ok(installed.length > 100, 'it was read');
});

t.test('threat 36: dependencies are listed, come from the registry, and are few', async (t) => {
  t.same(Object.keys(own.dependencies).sort(), RUNTIME);
  const asked = [
    ...Object.values({ ...own.dependencies, ...own.devDependencies }),
    ...installed.flatMap(([, { dependencies = {} }]) => Object.values(dependencies)),
  ];
  t.same(
    asked.filter((range) => /[:/]/.test(range.replace(/^npm:(@[\w-]+\/)?[\w.-]+@/, ''))),
    [],
    'no address, no folder',
  );
  const running = installed.filter(([, { dev, optional }]) => dev !== true && optional !== true);
  t.ok(running.length <= RUNTIME_PACKAGES_MAX, `${running.length} packages run with the server`);
});

t.test('threat 36: each package has a digest, and none an address to be fetched from', async (t) => {
  const without = installed.filter(([, { integrity }]) => !/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity ?? ''));
  // npm leaves the digest out for programs of machines that the lock file was not made on.
  t.same(
    without.filter(([, { dev, optional }]) => dev !== true || optional !== true).map(([path]) => path),
    [],
  );
  for (const [path, { resolved, link }] of installed) {
    if (resolved !== undefined || link === true) t.fail(`${path} comes from ${resolved ?? 'a link'}`);
  }
  t.match(textOf('.npmrc'), 'omit-lockfile-registry-resolved=true');
});

t.test('threat 36: nothing runs when it is installed but what is allowed', async (t) => {
  const scripted = installed.filter(([, { hasInstallScript }]) => hasInstallScript === true);
  t.same(
    scripted.filter(([, { dev }]) => dev !== true).map(([path]) => path),
    [],
    'of what runs with the server',
  );
  t.same(scripted.map(([path]) => nameOf(path)).sort(), ['core-js', 'node'], 'of what the tests need');
  t.same(own.allowScripts, { node: true }, 'the binary that the tests run on, and no other');
  const installs = [...textOf('Dockerfile').matchAll(/npm (?:ci|install|i)\b.*/g)].map(([line]) => line);
  t.ok(installs.length > 0);
  for (const line of installs) t.match(line, '--ignore-scripts');
});

// `careloom client`: what an operator does about apps and backend services.
import t from 'tap';
import { testKey } from '../auth/support.ts';
import { bench } from './support.ts';

const id = (out: string): string => /^client {2}(\S+)$/m.exec(out)?.[1] ?? '';
const secret = (out: string): string => /^secret {2}(\S+)$/m.exec(out)?.[1] ?? '';

t.test('a public app, a confidential one and a backend service', async (t) => {
  const { run, file } = bench(t);
  t.equal((await run('client', 'list')).out, 'no clients\n');
  const redirect = 'https://app.example.org/callback';
  const app = await run(
    'client',
    'add',
    '--name',
    'Growth Chart',
    '--redirect',
    redirect,
    '--scope',
    'launch/patient patient/*.rs',
    '--id',
    'growth',
  );
  t.equal(app.code, 0, app.err);
  t.equal(id(app.out), 'growth');
  t.equal(secret(app.out), '');
  const portal = await run(
    'client',
    'add',
    '--name',
    'Portal',
    '--redirect',
    redirect,
    '--scope',
    'user/*.rs',
    '--secret',
    '--first-party',
    '--pushed-requests',
    '--dpop',
  );
  t.match(secret(portal.out), /^[A-Za-z0-9_-]{43}$/);
  const { publicJwk } = await testKey('ES384');
  const keys = file('keys.json', JSON.stringify({ keys: [publicJwk] }));
  const bulk = await run('client', 'add', '--name', 'Bulk', '--service', '--keys', keys, '--scope', 'system/*.rs');
  t.equal(bulk.code, 0, bulk.err);
  const hosted = await run(
    'client',
    'add',
    '--name',
    'Hosted',
    '--service',
    '--keys',
    'https://bulk.example.org/jwks',
    '--scope',
    'system/*.rs',
  );
  t.equal(hosted.code, 0, hosted.err);

  const service = ['--service', '--keys', keys, '--scope', 'system/*.cruds'];
  const bound = ['client', 'add', '--name', 'Lab', ...service, '--on-behalf-of', 'Organization/1', '--role'];
  const lab = await run(...bound, 'lab');
  t.equal(lab.code, 0, lab.err);
  t.match((await run(...bound, 'landlord')).err, /one of .*lab/);

  const next = await run('client', 'rotate-secret', id(portal.out));
  t.match(secret(next.out), /^[A-Za-z0-9_-]{43}$/);
  t.not(secret(next.out), secret(portal.out));
  t.match((await run('client', 'disable', 'growth')).out, /shut out/);
  const listed = (await run('client', 'list')).out;
  t.match(listed, /growth {2}Growth Chart \(disabled, public\)/);
  t.match(listed, /Portal \(client_secret_basic, pushed requests, DPoP, first party\)/);
  t.match(listed, /Lab \(private_key_jwt, lab for Organization\/1\)/);
  t.match(listed, /Bulk \(private_key_jwt\)\n {4}system\/\*\.rs/);
  t.notMatch(listed, new RegExp(secret(next.out)));
  t.match((await run('client', 'enable', 'growth')).out, /may ask/);
  t.match((await run('client', 'registration-token')).out, /^token {3}[A-Za-z0-9_-]{43}$/m);
  const audited = await run('audit', 'export', '--out', '-');
  t.match(audited.out, /client-registered/, 'on the audit record');
});

t.test('what is wrong is said, and nothing is done', async (t) => {
  const { run, file } = bench(t);
  const redirect = ['--redirect', 'https://app.example.org/'];
  const wrong: [string[], RegExp][] = [
    [[], /one of add, list/],
    [['constructor'], /one of add, list/],
    [['disable'], /needs the id/],
    [['list', 'x'], /takes no id/],
    [['disable', 'nobody'], /no client with this id/],
    [['add'], /--name/],
    [['add', '--name', 'x', '--scope', 'user/*.rs', '--role', 'lab', ...redirect], /go together/],
    [
      ['add', '--name', 'x', '--scope', 'user/*.rs', '--role', 'lab', '--on-behalf-of', 'Organization/1', ...redirect],
      /client_credentials/,
    ],
    [['add', '--name', 'x', ...redirect], /scopes/],
    [['add', '--name', 'x', '--scope', 'user/*.rs'], /redirect URI/],
    [['add', '--name', 'x', '--scope', 'user/*.sr', ...redirect], /Scope 1/],
    [['add', '--name', 'x', '--scope', 'user/Observation.rs?nonsense=1', ...redirect], /nonsense/],
    [['add', '--name', 'x', '--scope', 'system/*.rs', '--service'], /private_key_jwt/],
    [['add', '--name', 'x', '--scope', 'system/*.rs', '--service', '--keys', 'http://10.0.0.1/'], /https/],
    [['add', '--name', 'x', '--scope', 'system/*.rs', '--service', '--keys', file('x.json', '{}')], /JWK Set/],
    [['add', '--name', 'x', '--scope', 'system/*.rs', '--service', '--keys', file('y.json', '{')], /no JSON/],
  ];
  for (const [argv, words] of wrong) {
    const { code, err } = await run('client', ...argv);
    t.equal(code, 2, argv.join(' '));
    t.match(err, words);
  }
  t.equal((await run('client', 'list')).out, 'no clients\n');
});

// threat 35: no endpoint answers with a secret, whoever asks: neither one that is kept, nor by a member that would hold one.
import t from 'tap';
import { demoClient } from '../../src/cli/demo.ts';
import { guardedApp, tokenFor } from '../support/guarded-app.ts';
import { onBothStores } from '../support/stores.ts';

const SECRET = 'of the tests alone, and of nothing else';
const TOTP = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP';
/** Kinds whose records are found by the hash of what somebody holds. */
const HELD = ['access-token', 'refresh-token', 'code', 'registration-token', 'setup-link'];
/** Kinds with members that nobody is to see, and what these are called. */
const KEPT = ['user', 'client', 'signing-keys', 'secret', 'interaction', 'sign-in', ...HELD];
const SECRET_MEMBER = /secret|password|sealed|hash|private|recovery|verifier|binding|fingerprint|cookie|totp/i;
/** Members of answers that are called so and hold none: what is supported, and times. */
const HARMLESS = /_supported$|_expires_at$/;

await onBothStores(t, async (t, adapter) => {
  const { store, close } = await adapter.open();
  const settings = { CARELOOM_RATE_LIMITS: 'off', CARELOOM_SECRET: SECRET, CARELOOM_REGISTRATION: 'token' };
  const served = await guardedApp(store, { settings });
  t.teardown(async () => {
    await served.close();
    await close();
  });
  const { accounts, server } = served.control;
  await server.clients.add(demoClient);
  const confidential = await server.clients.add({
    name: 'Confidential',
    authentication: 'client_secret_basic',
    redirectUris: ['https://app.example.org/callback'],
    scopes: ['user/*.rs', 'offline_access'],
    isResourceServer: true,
  });
  const cookies: string[] = [];
  for (const id of Object.values(served.people)) {
    await accounts.secondFactors.renewRecoveryCodes(id);
    const secret = accounts.secondFactors.sealTotpSecret(id, TOTP);
    const user = await accounts.users.change(id, (now) => ({ ...now, totp: { secret, usedStep: 0, added: 1 } }));
    if (user !== undefined)
      cookies.push((await accounts.sessions.start(user, { amr: ['pwd', 'otp', 'mfa'], agent: 'x' })).token);
  }
  const tokens = [
    await tokenFor(served, 'doctor', 'launch/patient openid fhirUser offline_access user/*.cruds'),
    await tokenFor(served, 'anna', 'patient/*.rs offline_access', 'patient-001'),
    await tokenFor(served, 'admin', 'user/*.cruds'),
  ];
  const registration = await server.clients.newRegistrationToken();

  const secrets = new Set([SECRET, TOTP, served.password, registration, ...tokens, ...cookies]);
  if (confidential.secret !== undefined) secrets.add(confidential.secret);
  for (const kind of KEPT) {
    for (const { id, value } of await store.records.list(kind, { limit: 1_000 })) {
      if (HELD.includes(kind)) secrets.add(id);
      for (const text of secretsIn(JSON.parse(value), kind === 'secret')) secrets.add(text);
    }
  }
  t.ok(secrets.size > 45, `${secrets.size} secrets are known`);

  const asking: Record<string, Record<string, string>> = {
    nobody: {},
    'the doctor’s app': { authorization: `Bearer ${tokens[0]}` },
    'the patient’s app': { authorization: `Bearer ${tokens[1]}` },
    'the administrator’s app': { authorization: `Bearer ${tokens[2]}` },
    'a confidential client': {
      authorization: `Basic ${Buffer.from(`${confidential.client.id}:${confidential.secret}`).toString('base64')}`,
    },
    'a doctor at the pages': { cookie: `careloom_session=${cookies[0]}` },
    'an administrator at the pages': { cookie: `careloom_session=${cookies[2]}` },
  };
  const forms: Record<string, string> = { '/auth/introspect': `token=${tokens[0]}`, '/auth/revoke': 'token=x' };
  const requests = [
    ...served.control.authentication.routes.map(({ method, path }) => ({ method, path: path.replace(/:\w+/g, 'x') })),
    ...[
      ...[
        '/',
        '/livez',
        '/readyz',
        '/healthz',
        '/health',
        '/metrics',
        '/settings',
        '/config',
        '/env',
        '/.env',
        '/admin',
      ],
      ...['/fhir/metadata', '/fhir/.well-known/smart-configuration', '/.well-known/openid-configuration', '/debug'],
      ...[
        '/fhir/Patient',
        '/fhir/Practitioner',
        '/fhir/AuditEvent?_count=100',
        '/fhir/Basic',
        '/fhir/$job-status?id=x',
      ],
    ].map((path) => ({ method: 'GET' as const, path })),
  ];

  await t.test('threat 35: no answer holds a secret, nor a member that is named like one', async (t) => {
    const answered = new Set<string>();
    for (const [who, headers] of Object.entries(asking)) {
      for (const { method, path } of requests) {
        const body = method === 'POST' ? { body: forms[path] ?? '' } : {};
        const type: Record<string, string> =
          method === 'POST' ? { 'content-type': 'application/x-www-form-urlencoded' } : {};
        const reply = await fetch(served.url + path, {
          method,
          redirect: 'manual',
          headers: { ...headers, ...type },
          ...body,
        });
        const text = `${JSON.stringify([...reply.headers])}\n${await reply.text()}`;
        const told = [...secrets].filter((secret) => text.includes(secret));
        if (told.length > 0) t.fail(`${who}: ${method} ${path} tells ${told.length} secrets`);
        if (reply.headers.get('content-type')?.includes('json') === true) {
          const members = membersOf(JSON.parse(text.slice(text.indexOf('\n') + 1)));
          const named = members.filter((name) => SECRET_MEMBER.test(name) && !HARMLESS.test(name));
          t.same(named, [], `${who}: ${method} ${path}`);
        }
        if (reply.status === 200) answered.add(`${method} ${path}`);
      }
    }
    t.ok(answered.size > 15, `${answered.size} routes answered`);
    for (const path of ['/auth/account', '/auth/admin', '/auth/jwks', '/fhir/metadata'])
      t.ok(answered.has(`GET ${path}`), path);
    t.ok(answered.has('POST /auth/introspect'));
  });

  await t.test('threat 35: the answers that hand out a secret do so once, to whom it is for', async (t) => {
    const json = { 'content-type': 'application/json' };
    const metadata = {
      client_name: 'Registered',
      redirect_uris: ['https://app.example.org/callback'],
      token_endpoint_auth_method: 'client_secret_basic',
      scope: 'user/*.rs',
    };
    const register = () =>
      fetch(`${served.url}/auth/register`, {
        method: 'POST',
        headers: { ...json, authorization: `Bearer ${registration}` },
        body: JSON.stringify(metadata),
      });
    const made = (await (await register()).json()) as Record<string, string>;
    t.match(made.client_secret, /^[\w-]{43}$/);
    t.equal((await register()).status, 401);
    const [kept] = (await store.records.list('client', { limit: 1_000 })).filter(({ id }) => id === made.client_id);
    t.notMatch(kept?.value, made.client_secret ?? '-', 'only its hash is kept');
    const keys = (await (await fetch(`${served.url}/auth/jwks`)).json()) as { keys: object[] };
    t.ok(keys.keys.length > 0);
    for (const key of keys.keys) t.same(Object.keys(key).sort(), ['alg', 'e', 'kid', 'kty', 'n', 'use']);
  });
});

/** Texts that stand under a member that is named like a secret; all of them where `isAll`. */
function secretsIn(value: unknown, isAll = false): string[] {
  if (typeof value === 'string') return isAll && value.length >= 12 ? [value] : [];
  if (Array.isArray(value)) return value.flatMap((each) => secretsIn(each, isAll));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => secretsIn(inner, isAll || SECRET_MEMBER.test(name)));
}

function membersOf(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => [name, ...membersOf(inner)]);
}

// Two thousand hostile requests to the pages, most of them by people who are signed in, with good tokens and bad fields:
// each is answered, none with a 5xx, none with a stack or with markup that was sent.
import t from 'tap';
import { randomFrom } from '../support/random-numbers.ts';
import { sqlite } from '../support/stores.ts';
import { Browser, password, siteOn } from './browser.ts';
import { authorizeParameters, authorizeUrl, callback, everything, hostileTexts } from './support.ts';

t.setTimeout(240_000);

const values: readonly string[] = [
  ...hostileTexts,
  ...['"><b x=', '🏥'.repeat(90), 'x'.repeat(3_000), '-1', '1e999'],
  ...[
    'allow',
    'deny',
    'pat',
    'kim',
    'far',
    'totp',
    'active',
    'disabled',
    'pending',
    'disable',
    'toString',
    'hasOwnProperty',
  ],
  ...[
    'patient/*.cruds',
    'openid',
    'launch',
    'patient/Observation.rs?category=%zz',
    'system/*.*',
    '/auth/admin',
    '//evil',
  ],
  ...[
    '{"id":"x","rawId":"x","type":"public-key","response":{"clientDataJSON":"e30","signature":"x","attestationObject":"oA"}}',
    '[]',
    '{',
  ],
];
const names: readonly string[] = [
  ...[
    'login',
    'password',
    'next',
    'passkey',
    'code',
    'name',
    'patient',
    'text',
    'scope',
    'decision',
    'grant',
    'session',
    'new',
  ],
  ...['secret', 'factor', 'client', 'state', 'action', 'again', 'csrf', '__proto__', 'constructor', '$where'],
];

t.test('2,000 hostile requests to the pages', async (t) => {
  const seed = Number(process.env.CARELOOM_FUZZ_SEED ?? Date.now() % 1_000_000);
  t.comment(`CARELOOM_FUZZ_SEED=${seed}`);
  const random = randomFrom(seed);
  const pick = <Value>(list: readonly Value[]): Value => list[Math.floor(random() * list.length)] as Value;
  const site = await siteOn(t, sqlite);
  const { client } = await site.server.clients.add({
    name: 'App',
    authentication: 'none',
    redirectUris: [callback],
    scopes: [...everything, 'patient/Observation.rs'],
  });
  const people = [
    await site.person({ login: 'root', roles: ['administrator'], fhirUser: 'Practitioner/root' }),
    await site.person({ login: 'pat', roles: ['patient'], fhirUser: 'Patient/pat' }),
    await site.person({ login: 'new' }),
  ];
  const paths = site.routes.filter(
    ({ path }) => path.startsWith('/auth/') && !/token|introspect|revoke|launch|register/.test(path),
  );
  const statuses = new Map<number, number>();
  const begin = async (): Promise<Browser> => {
    const browser = site.browser();
    const user = pick(people);
    // What the administrator among them did.
    await site.server.clients.setState(client.id, 'active');
    for (const { id } of people) await site.accounts.users.change(id, (now) => ({ ...now, isEnabled: true }));
    site.clock.pass(60_000);
    const isIn = random() < 0.7;
    const { token } = await site.accounts.sessions.start(user, { amr: ['pwd', 'otp', 'mfa'], agent: pick(values) });
    if (isIn) browser.jar.push({ name: 'careloom_session', value: token, path: '/' });
    const scope = pick([
      'launch/patient patient/Observation.rs openid',
      'user/Patient.rs',
      'patient/*.rs offline_access',
    ]);
    await browser.open(authorizeUrl(authorizeParameters(client, scope)));
    if (!isIn && random() < 0.2) await browser.submit('password', { login: 'new', password });
    return browser;
  };
  let browser = await begin();
  for (let i = 0; i < 2_000; i++) {
    if (i % 20 === 0) browser = await begin();
    const { forms } = browser.page;
    const form = random() < 0.6 && forms.length > 0 ? pick(forms) : undefined;
    const route = pick(paths);
    const url =
      form?.action ??
      route.path.replace(/:\w+/g, () => encodeURIComponent(pick([...values, people[0]?.id ?? '']).toWellFormed()));
    const fields: [string, string][] = (form?.fields ?? []).filter(() => random() < 0.9);
    for (let more = Math.floor(random() * 4); more > 0; more--) fields.push([pick(names), pick(values)]);
    // A hash is 40 ms of this machine.
    const isHash = fields.some(([name]) => name === 'password') && random() < 0.8;
    const isGet = form === undefined && route.method === 'GET';
    if (isHash && !isGet) continue;
    if (isGet) await browser.open(`${url}?${new URLSearchParams(fields)}`);
    else await browser.post(url, fields);
    const { status, html } = browser.page;
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    const isBad = status >= 500 || /\n\s+at |<script>|"><b x=/.test(html) || site.faults.length > 0;
    if (isBad) {
      t.fail(
        `${isGet ? 'GET' : 'POST'} ${url} ${JSON.stringify(fields).slice(0, 500)}: ${status} ${String(site.faults[0])}`,
      );
      return;
    }
  }
  t.comment(JSON.stringify([...statuses]));
  t.ok((statuses.get(200) ?? 0) > 50, 'some got far');
  t.notOk(await site.accounts.users.get('__proto__'));
  t.equal(({} as Record<string, unknown>).polluted, undefined);
  t.ok(browser instanceof Browser);
});

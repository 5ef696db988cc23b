// An app asks for access: login, patient and consent as a person goes through them, with the real authorization server.
import { randomBytes } from 'node:crypto';
import t from 'tap';
import type { Client, Registration } from '../../src/auth/clients.ts';
import { consentedScopes } from '../../src/auth/pages/consented.ts';
import { scopeWords } from '../../src/auth/pages/scope-words.ts';
import type { User } from '../../src/auth/users/user.ts';
import { onBothStores, type Test } from '../support/stores.ts';
import { type Browser, password, patients, type Shown, type Site, siteOn } from './browser.ts';
import { authorizeParameters, authorizeUrl, callback, everything, issuer, pkce } from './support.ts';

t.setTimeout(240_000);

const minute = 60_000;
const laboratory = 'http://terminology.hl7.org/CodeSystem/observation-category|laboratory';
const problems = 'http://terminology.hl7.org/CodeSystem/condition-category|problem-list-item';

/** Attempts at running script, in what people and apps are called. */
const xss = [
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  "' onmouseover='alert(1)",
  '</title><svg/onload=alert(1)>',
  '<!--',
  '&lt;b&gt;',
  '$'.concat('{alert(1)}'),
  '{{constructor.constructor("alert(1)")()}}',
  'javascript:alert(1)',
];

async function app(site: Site, more: Partial<Registration> = {}): Promise<Client> {
  const { client } = await site.server.clients.add({
    name: `App ${randomBytes(4).toString('hex')}`,
    authentication: 'none',
    redirectUris: [callback],
    scopes: [...everything, 'patient/Observation.rs', 'patient/Condition.rs'],
    ...more,
  });
  return client;
}

/** The app opens the browser: to the login, or wherever a session leads. */
const ask = (browser: Browser, client: Client, scope: string, more: Record<string, string> = {}): Promise<Shown> =>
  browser.open(authorizeUrl(authorizeParameters(client, scope, more)));

const signIn = (browser: Browser, user: User): Promise<Shown> =>
  browser.submit('password', { login: user.login, password });

const back = (browser: Browser): Record<string, string> => {
  if (!browser.page.url.startsWith(callback))
    throw new Error(`not back at the app: ${browser.page.url} ${browser.page.html}`);
  return Object.fromEntries(new URL(browser.page.url).searchParams);
};

const titleOf = (browser: Browser): string => /<h1>([^<]*)<\/h1>/.exec(browser.page.html)?.[1] ?? '';

t.test('scopes in words', async (t) => {
  for (const [scope, words] of [
    ['patient/Observation.rs', 'See results, vital signs and other observations of Anna'],
    ['patient/Condition.read', 'See conditions and diagnoses of Anna'],
    ['patient/*.cruds', 'Add, see, change and delete all records of Anna'],
    ['user/Appointment.cu', 'Add and change appointments of all patients that you may see'],
    ['patient/ImagingStudy.r', 'See records of type “imaging study” of Anna'],
    [
      `patient/Observation.rs?category=${laboratory}`,
      'See results, vital signs and other observations of Anna, only laboratory results',
    ],
    ['patient/Observation.rs?code=http%3A%2F%2Floinc.org%7C1234-5', 'those with code http://loinc.org|1234-5'],
    ['offline_access', '90 days'],
    ['fhirUser', 'who you are'],
  ] as const) {
    t.ok(scopeWords(scope, 'Anna').title.includes(words), `${scope}: ${scopeWords(scope, 'Anna').title}`);
  }
  t.match(
    scopeWords('patient/*.rs', 'Anna').hint,
    /kinds that are added later/,
    'wildcards say that they are for the future too',
  );
});

t.test('what is ticked is granted, when it was asked for', async (t) => {
  const asked = ['launch/patient', 'openid', 'patient/Observation.rs', 'patient/Condition.cruds', 'patient/Patient.r'];
  const part = `patient/Observation.rs?category=${laboratory}`;
  t.strictSame(consentedScopes(asked, asked.slice(1)), asked);
  t.strictSame(
    consentedScopes(asked, ['patient/Patient.r']),
    ['launch/patient', 'patient/Patient.r'],
    'context comes along',
  );
  t.strictSame(consentedScopes(asked, []), [], 'nothing is nothing');
  t.strictSame(consentedScopes(['launch/patient'], []), ['launch/patient'], 'where there is nothing to tick');
  t.strictSame(consentedScopes(asked, [part]), ['launch/patient', part], 'a category in place of the whole');
  t.strictSame(
    consentedScopes(asked, [part, 'patient/Observation.rs']),
    ['launch/patient', 'patient/Observation.rs'],
    'the whole wins',
  );
  const reading = `patient/Condition.rs?category=${problems}`;
  t.strictSame(
    consentedScopes(asked, [reading]),
    ['launch/patient', reading],
    'categories of a writing scope are for reading',
  );
  t.strictSame(consentedScopes(['patient/*.rs', 'patient/Condition.rs'], ['patient/*.rs', reading]), ['patient/*.rs']);
  t.strictSame(consentedScopes(['patient/Condition.read'], [reading]), [reading], 'v1');
  for (const smuggled of [
    'patient/*.cruds',
    'user/Observation.rs',
    'patient/Observation.cruds',
    'system/*.rs',
    'offline_access',
    'x',
    '',
    'patient/Observation.rs?category=x',
    `patient/Patient.r?category=${laboratory}`,
    'launch',
    'patient/Observation.r',
    'profile',
  ]) {
    t.throws(
      () => consentedScopes(asked, ['openid', smuggled]),
      { kind: 'invalid', message: /did not ask/ },
      `smuggled: ${smuggled}`,
    );
  }
});

await onBothStores(t, async (t, adapter) => {
  const site = await siteOn(t, adapter, [...patients, ...xss.map((name, i) => ({ id: `xss-${i}`, name }))]);
  const { clock, events, accounts, server } = site;
  const ann = await site.person({ login: 'ann', name: 'Ann <i>Doe</i>' });
  const code = await site.withTotp(ann);
  const pat = await site.person({ login: 'pat', name: 'Pat', roles: ['patient'], fhirUser: 'Patient/pat' });
  const part = (title: string, body: (t: Test) => Promise<unknown>) =>
    t.test(title, (t) => {
      clock.pass(16 * minute);
      events.length = 0;
      return body(t);
    });

  const staffBrowser = async (): Promise<Browser> => {
    const browser = site.browser();
    await browser.open('/auth/login');
    await signIn(browser, ann);
    clock.pass(30_000);
    await browser.submit('code', { code: code() });
    return browser;
  };

  part('standalone: login, second factor, patient, consent, code', async (t) => {
    const client = await app(site, { name: 'Growth Chart' });
    const browser = site.browser();
    const { verifier, challenge } = pkce();
    await ask(browser, client, 'launch/patient patient/Observation.rs openid fhirUser offline_access', {
      code_challenge: challenge,
    });
    t.equal(browser.page.url, '/auth/login');
    t.strictSame(browser.page.answer.formTargets, [callback], 'the policy of the page lets the form end at the app');
    await signIn(browser, ann);
    t.equal(browser.page.url, '/auth/login/second-factor');
    t.strictSame(browser.page.answer.formTargets, [callback]);
    await browser.submit('code', { code: code() });
    t.equal(titleOf(browser), 'Choose a patient');
    t.match(browser.page.html, /Growth Chart/);
    t.match(browser.page.html, /Pat Example, born 1970-12-31, female/);
    t.notMatch(browser.page.html, /Far Away/, 'only those within reach');
    await browser.submit('text', { text: '2001-02-03' });
    t.match(browser.page.html, /Kim Sample/);
    t.notMatch(browser.page.html, /Pat Example/);
    t.notMatch(browser.page.url, /2001/, 'what was searched for is in no address');
    await browser.submit('decision', { patient: 'kim' });
    t.equal(titleOf(browser), 'Allow Growth Chart?');
    t.match(browser.page.html, /Kim Sample, born 2001-02-03/);
    t.match(browser.page.html, /Keep this access for up to 90 days/);
    t.notMatch(browser.page.html, /Nobody at this practice/);
    await browser.submit('decision', { decision: 'allow' });
    const { code: given = '', state, iss } = back(browser);
    t.equal(state, 'state-0123456789');
    t.equal(iss, issuer);
    t.match(events.at(-1), {
      kind: 'consent',
      outcome: 'success',
      user: ann.id,
      client: client.id,
      patient: 'kim',
      scopes: ['launch/patient', 'patient/Observation.rs', 'openid', 'fhirUser', 'offline_access'],
    });
    const token = server.routes.find(({ path }) => path === '/auth/token');
    const form = new URLSearchParams({
      grant_type: 'authorization_code',
      code: given,
      redirect_uri: callback,
      client_id: client.id,
      code_verifier: verifier,
    });
    const answer = await token?.handle({
      method: 'POST',
      path: '/auth/token',
      params: {},
      query: new URLSearchParams(),
      form,
      json: undefined,
      header: () => undefined,
      cookie: () => undefined,
      address: '192.0.2.1',
      id: '1',
    });
    t.match(answer?.body, { patient: 'kim', scope: String, access_token: String, refresh_token: String });

    t.test('and it can be ended under my account', async (t) => {
      await browser.open('/auth/account');
      t.match(browser.page.html, /<strong>Growth Chart<\/strong>/);
      t.match(browser.page.html, /See results, vital signs/);
      const other = site.browser();
      await other.open('/auth/login');
      await signIn(other, pat);
      const grant = (await server.grants.ofUser(ann.id))[0]?.id ?? '';
      const csrf = other.form('/auth/logout').fields.find(([name]) => name === 'csrf')?.[1] ?? '';
      await other.post('/auth/account/app', { csrf, grant });
      t.ok(await server.grants.get(grant), 'not by somebody else');
      await browser.submit('/auth/account/app');
      t.equal(await server.grants.get(grant), undefined);
      t.match(events.at(-1), { kind: 'grant-revoked', user: ann.id, client: client.id });
    });
  });

  part('single sign-on: the second app asks for patient and consent, not for the login', async (t) => {
    const browser = await staffBrowser();
    for (const _ of [1, 2]) {
      await ask(browser, await app(site), 'launch/patient patient/Patient.r');
      t.equal(titleOf(browser), 'Choose a patient');
      await browser.submit('decision', { patient: 'pat' });
      t.match(titleOf(browser), /^Allow App/);
      await browser.submit('decision', { decision: 'allow' });
      t.type(back(browser).code, 'string');
    }
  });

  part('a scope on a patient asks for one, also without launch/patient; user scopes do not', async (t) => {
    const browser = await staffBrowser();
    await ask(browser, await app(site), 'patient/Patient.r');
    t.equal(titleOf(browser), 'Choose a patient');
    await ask(browser, await app(site), 'user/Patient.rs');
    t.match(titleOf(browser), /^Allow App/);
    t.notMatch(browser.page.html, /It would be about/);
  });

  part('a patient is asked for consent alone: there is nobody to choose', async (t) => {
    const browser = site.browser();
    await ask(browser, await app(site), 'launch/patient patient/Observation.rs');
    await signIn(browser, pat);
    t.match(titleOf(browser), /^Allow App/);
    t.match(browser.page.html, /Pat Example/);
    await browser.submit('decision', { decision: 'allow' });
    t.type(back(browser).code, 'string');
    t.match(events.at(-1), { kind: 'consent', patient: 'pat' });
  });

  part('what is our own needs no consent, but a patient', async (t) => {
    const browser = await staffBrowser();
    await ask(browser, await app(site, { isFirstParty: true }), 'launch/patient patient/*.cruds');
    t.equal(titleOf(browser), 'Choose a patient');
    await browser.submit('decision', { patient: 'pat' });
    t.type(back(browser).code, 'string');
  });

  part('declining leads back with access_denied, at each step', async (t) => {
    const browser = await staffBrowser();
    await ask(browser, await app(site), 'launch/patient patient/Patient.r');
    await browser.submit('decision', { decision: 'deny' });
    t.match(back(browser), { error: 'access_denied', state: 'state-0123456789', iss: issuer });
    await ask(browser, await app(site), 'user/Patient.rs');
    await browser.submit('decision', { decision: 'deny' });
    t.match(back(browser), { error: 'access_denied' });
    await ask(browser, await app(site), 'user/Patient.rs openid');
    await browser.submit('decision', { decision: 'allow', scope: [] });
    t.match(back(browser), { error: 'access_denied' }, 'nothing ticked');
    t.match(
      events.filter(({ kind }) => kind === 'consent').map(({ outcome }) => outcome),
      ['refused', 'refused', 'refused'],
    );
  });

  part('granular consent: whole resources may be narrowed to US Core’s categories', async (t) => {
    const browser = site.browser();
    await ask(browser, await app(site), 'launch/patient patient/Observation.rs patient/Condition.rs openid');
    await signIn(browser, pat);
    for (const word of [
      'laboratory',
      'vital-signs',
      'social-history',
      'survey',
      'sdoh',
      'encounter-diagnosis',
      'problem-list-item',
      'health-concern',
    ]) {
      t.match(browser.page.html, new RegExp(`\\|${word}"`), word);
    }
    const scope = [`patient/Observation.rs?category=${laboratory}`, `patient/Condition.rs?category=${problems}`];
    await browser.submit('decision', { decision: 'allow', scope });
    t.type(back(browser).code, 'string');
    t.strictSame(events.at(-1)?.scopes, ['launch/patient', ...scope]);
  });

  part('smuggled scopes are refused', async (t) => {
    const browser = site.browser();
    await ask(browser, await app(site), 'launch/patient patient/Observation.rs');
    await signIn(browser, pat);
    for (const smuggled of ['patient/*.cruds', 'user/*.rs', 'offline_access', 'patient/Observation.rs?code=x']) {
      await browser.submit('decision', { decision: 'allow', scope: ['patient/Observation.rs', smuggled] });
      t.match(browser.page, { status: 400, html: /did not ask for/ }, smuggled);
      await browser.open(browser.page.url.replace('/consent', ''));
    }
    t.strictSame(
      events.filter(({ kind }) => kind === 'consent'),
      [],
    );
    await browser.submit('decision', { decision: 'allow' });
    t.type(back(browser).code, 'string', 'what was asked for still can be had');
  });

  part('a step out of order is 400', async (t) => {
    const browser = await staffBrowser();
    await ask(browser, await app(site), 'launch/patient patient/Patient.r');
    const path = browser.page.url;
    const csrf = browser.form('decision').fields[0] ?? ['csrf', ''];
    t.match(await browser.post(`${path}/consent`, [csrf, ['decision', 'allow'], ['scope', 'patient/Patient.r']]), {
      status: 400,
      html: /step is over/,
    });
    await browser.open(path);
    await browser.submit('decision', { patient: 'pat' });
    t.match(await browser.post(`${path}/patient`, [csrf, ['patient', 'kim']]), { status: 400 }, 'no way back');
    await browser.open(path);
    const form = browser.form('decision');
    await browser.submit('decision', { decision: 'allow' });
    t.type(back(browser).code, 'string');
    t.match(await browser.post(form.action, [...form.fields, ['decision', 'allow']]), { status: 400 }, 'over');
    t.match(await browser.open(path), { status: 400 });
    const fresh = site.browser();
    await ask(fresh, await app(site), 'user/Patient.rs');
    const id = [...fresh.jar].find(({ name }) => name === 'careloom_binding')?.path ?? '';
    t.match(await fresh.post(`${id}/consent`, { decision: 'allow' }), { status: 400 }, 'before the login');
  });

  part('threat 29: an interaction belongs to the browser that began it, and its forms to the session', async (t) => {
    const victim = await staffBrowser();
    const attacker = site.browser();
    await ask(attacker, await app(site), 'user/Patient.rs');
    const path = attacker.jar.find(({ name }) => name === 'careloom_binding')?.path ?? '';
    t.match(await victim.open(path), { status: 400, html: /another browser/ });
    t.match(await victim.post(`${path}/consent`, { decision: 'allow', scope: 'user/Patient.rs' }), { status: 400 });
    const thief = site.browser();
    thief.jar = [...victim.jar, { name: 'careloom_binding', value: 'A'.repeat(43), path }];
    t.match(await thief.open(path), { status: 400 }, 'a guessed binding');
    await ask(victim, await app(site), 'user/Patient.rs');
    const form = victim.form('decision');
    const fields = form.fields.filter(([name]) => name !== 'csrf');
    for (const csrf of [[], [['csrf', '']], [['csrf', 'x'.repeat(43)]]] as [string, string][][]) {
      t.match(await victim.post(form.action, [...csrf, ...fields, ['decision', 'allow']]), { status: 403 }, 'CSRF');
      t.match(await victim.post(form.action, [...csrf, ['decision', 'deny']]), { status: 403 }, 'CSRF, declining');
    }
  });

  part('who signs in as somebody else meanwhile begins anew', async (t) => {
    const browser = await staffBrowser();
    await ask(browser, await app(site), 'launch/patient patient/Patient.r');
    await browser.submit('decision', { patient: 'kim' });
    const form = browser.form('decision');
    await browser.submit('next');
    t.equal(browser.page.url, '/auth/login', 'somebody else?');
    await signIn(browser, pat);
    t.match(titleOf(browser), /^Allow App/);
    t.match(browser.page.html, /Pat Example/, 'the patient that was chosen is forgotten');
    t.notMatch(browser.page.html, /Kim Sample/);
    t.match(
      await browser.post(form.action, [...form.fields, ['decision', 'allow']]),
      { status: 403 },
      'the form of the one before',
    );
  });

  part('threat 38: a launch is for the person and within the reach that it was made for', async (t) => {
    const client = await app(site);
    const start = async (user: User, patient: string, browser: Browser) => {
      const { launch } = await server.launches.create({ client: client.id, user: user.id, patient });
      return ask(browser, client, 'launch patient/Patient.r', { launch });
    };
    const browser = await staffBrowser();
    await start(ann, 'kim', browser);
    t.match(titleOf(browser), /^Allow App/, 'no choice: the patient is open');
    t.match(browser.page.html, /Kim Sample/);
    await browser.submit('decision', { decision: 'allow' });
    t.type(back(browser).code, 'string');
    await start(pat, 'pat', browser);
    t.match(back(browser), { error: 'access_denied' }, 'launched for somebody else');
    t.match(events.at(-1), { kind: 'consent', outcome: 'refused', reason: 'launched for somebody else' });
  });

  part('threat 38: no form makes a patient out of reach the chosen one', async (t) => {
    const browser = await staffBrowser();
    await ask(browser, await app(site), 'launch/patient patient/Patient.r');
    for (const patient of ['far', 'nobody', '../x', 'kim/../far', 'x'.repeat(64)]) {
      await browser.submit('decision', { patient });
      t.match(browser.page, { status: 403, html: /cannot be chosen/ }, patient);
    }
    t.match(await browser.submit('decision', { patient: 'x'.repeat(65) }), { status: 400 });
  });

  part('an interaction ends after ten minutes', async (t) => {
    const browser = await staffBrowser();
    await ask(browser, await app(site), 'user/Patient.rs');
    clock.pass(10 * minute);
    t.match(await browser.submit('decision', { decision: 'allow' }), { status: 400, html: /is over/ });
  });

  part('an app that is disabled meanwhile gets nothing, one that registered itself is marked', async (t) => {
    const browser = await staffBrowser();
    const client = await app(site, { isUnverified: true });
    await ask(browser, client, 'user/Patient.rs');
    t.match(browser.page.html, /Nobody at this practice has checked this app/);
    await server.clients.setState(client.id, 'disabled');
    t.match(await browser.submit('decision', { decision: 'allow' }), { status: 403 });
  });

  part('threat 32: what people, patients and apps are called stays text', async (t) => {
    for (const [i, name] of xss.entries()) {
      const shown = name.replace(/[\p{Cc}\p{Cf}]/gu, '');
      const person = await site.person({
        login: `xss${i}`,
        name: shown,
        roles: ['patient', 'proxy'],
        fhirUser: 'RelatedPerson/x',
      });
      await accounts.users.change(person.id, (user) => ({ ...user, roles: ['patient'] }));
      const client = await app(site, { name: shown });
      const browser = site.browser();
      browser.headers = { 'user-agent': name };
      await ask(browser, client, 'launch/patient patient/Patient.r offline_access');
      const pages = [browser.page.html];
      pages.push((await signIn(browser, person)).html);
      pages.push((await browser.submit('text', { text: name })).html);
      pages.push((await browser.submit('decision', { patient: `xss-${i}` })).html);
      const { url } = await browser.submit('decision', { decision: 'allow' });
      t.match(url, /^https:\/\/app\.example\.org\/callback\?code=/);
      pages.push((await browser.open('/auth/account')).html);
      pages.push((await browser.open('/auth/logout')).html);
      await browser.open('/auth/login?again=1');
      pages.push((await browser.submit('password', { login: name, password: 'wrong' })).html);
      for (const html of pages) {
        const bare = html.replace(/="[^"]*"/g, '');
        t.notMatch(bare, /<(img|svg\/|b>|!--|script>)|<[a-z]+[^>]*\son\w/, `${name} in a page`);
        t.equal(html.match(/<script/g)?.length ?? 0, html.includes('passkey.js') ? 1 : 0);
        for (const [, value = ''] of html.matchAll(/="([^"]*)"/g)) t.notMatch(value, /[<>]/, 'attributes are closed');
        t.ok(Buffer.byteLength(html) < 20_000, `${Buffer.byteLength(html)} bytes`);
      }
      t.ok(
        pages.some((html) =>
          html.includes(
            shown.replace(
              /[&<>"']/g,
              (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' })[c] ?? c,
            ),
          ),
        ),
        'shown as it is',
      );
    }
  });

  part('no request was a fault of the server', async (t) => {
    t.strictSame(site.faults, []);
  });
});

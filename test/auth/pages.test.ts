// Signing in by the pages: every flow as a browser goes through it, and what a hostile one tries.
import t from 'tap';
import type { User } from '../../src/auth/users/user.ts';
import { limits } from '../../src/base/limits.ts';
import { onBothStores, type Test } from '../support/stores.ts';
import { Authenticator } from './authenticator.ts';
import { type Browser, codeAt, passkeyOptions, password, type Site, siteOn } from './browser.ts';
import { issuer } from './support.ts';

t.setTimeout(240_000);

const minute = 60_000;
const SESSION = 'careloom_session';

const signedOut = (browser: Browser): boolean => browser.cookie(SESSION) === undefined;

async function login(browser: Browser, name: string, word = password) {
  await browser.open('/auth/login');
  return browser.submit('password', { login: name, password: word });
}

/** Milliseconds; the least of several, because other work of the machine only adds. */
async function fastest(work: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 3; i++) {
    const before = performance.now();
    await work();
    times.push(performance.now() - before);
  }
  return Math.min(...times);
}

const keyOn = (browser: Browser): string =>
  /<code>([A-Z2-7 ]{39})<\/code>/.exec(browser.page.html)?.[1]?.replace(/ /g, '') ?? '';

/** A browser in which this person is signed in. */
async function signedIn(site: Site, user: User, code?: () => string): Promise<Browser> {
  const browser = site.browser();
  await login(browser, user.login);
  if (code !== undefined) {
    site.clock.pass(30_000);
    await browser.submit('code', { code: code() });
  }
  if (signedOut(browser)) throw new Error(browser.page.html);
  return browser;
}

await onBothStores(t, async (t, adapter) => {
  const site = await siteOn(t, adapter);
  const { accounts, clock, events } = site;
  /** Each has a quarter of an hour of its own, in which attempts are counted. */
  const part = (title: string, body: (t: Test) => Promise<unknown>) =>
    t.test(title, (t) => {
      clock.pass(16 * minute);
      return body(t);
    });

  part('the link of the terminal makes the first administrator, who sets up a second factor', async (t) => {
    const browser = site.browser();
    const path = (await accounts.firstAdmin.link()) ?? '';
    await browser.open(path);
    t.equal(browser.page.status, 200);
    const given = { name: 'Root <b>', login: 'root', password, again: password };
    t.match(await browser.submit('again', { ...given, password: 'short' }), { status: 400, html: /at least 12/ });
    t.match(await browser.submit('again', { ...given, again: 'x' }), { status: 400, html: /differ/ });
    t.match(await browser.submit('again', { ...given, login: 'a\u0000b' }), {
      status: 400,
      html: /login is not accepted/,
    });
    t.match(await browser.post(path, given), { status: 403 }, 'CSRF: without the token of the form');
    await browser.open(path);
    await browser.submit('again', given);
    t.equal(browser.page.url, '/auth/login/enrol');
    t.ok(signedOut(browser));
    await browser.submit('code', { code: codeAt(keyOn(browser), clock.now()) });
    t.match(browser.page.html, /recovery codes/);
    t.equal(browser.page.html.match(/<li><code>/g)?.length, 10);
    t.notOk(signedOut(browser));
    t.match(await browser.open('/auth/admin'), { status: 200, html: /Root &lt;b&gt;/ });
    t.match(await site.browser().open(path), { status: 404 }, 'the link works once');
    t.match(
      events.map(({ kind }) => kind),
      ['user-added', 'factor-changed', 'login'],
    );
  });

  part('a patient signs in with login name and password', async (t) => {
    const user = await site.person({ login: 'pat', roles: ['patient'], fhirUser: 'Patient/pat', name: 'Pat Example' });
    const browser = site.browser();
    events.length = 0;
    await login(browser, 'PAT');
    t.match(browser.page, { status: 200, url: '/auth/account', html: /Pat Example/ });
    t.match(events, [{ kind: 'login', outcome: 'success', user: user.id, amr: ['pwd'], address: browser.address }]);
    t.match(await browser.open('/auth/login'), { url: '/auth/account' }, 'who is signed in is not asked again');

    t.test('and out: the session is over on the server', async (t) => {
      const token = browser.cookie(SESSION) ?? '';
      await browser.open('/auth/logout');
      await browser.submit('Sign out');
      t.match(browser.page.html, /You are signed out/);
      t.ok(signedOut(browser));
      t.equal(await accounts.sessions.find(token), undefined);
    });
  });

  part('a new session id at each login; the one before ends', async (t) => {
    const user = await site.person({ login: 'fix', roles: ['patient'] });
    const browser = await signedIn(site, user);
    const before = browser.cookie(SESSION) ?? '';
    await browser.open('/auth/login?again=1');
    await browser.submit('password', { login: 'fix', password });
    t.not(browser.cookie(SESSION), before);
    t.equal(await accounts.sessions.find(before), undefined);
    const planted = site.browser();
    planted.jar.push({ name: SESSION, value: 'A'.repeat(43), path: '/' });
    await login(planted, 'fix');
    t.not(planted.cookie(SESSION), 'A'.repeat(43), 'a planted id is never taken over');
  });

  part('threat 31: unknown name, wrong password and disabled account are told alike, after alike work', async (t) => {
    const known = await site.person({ login: 'known', roles: ['patient'] });
    const disabled = await site.person({ login: 'disabled', roles: ['patient'], isEnabled: false });
    const passkeyOnly = await site.person({ login: 'keyed', roles: ['patient'] });
    await accounts.users.change(passkeyOnly.id, ({ password: _, ...user }) => user);
    const shown = async (name: string, word: string) => {
      const browser = site.browser();
      const before = performance.now();
      await login(browser, name, word);
      const { status, html } = browser.page;
      const plain = html
        .replaceAll(name, '')
        .replace(/(name="csrf" value=)"[^"]*"/g, '$1')
        .replace(/data-options="[^"]*"/g, '');
      return { status, plain, cookies: browser.jar.map((held) => held.name), ms: performance.now() - before };
    };
    const hashMs = await fastest(() => accounts.passwords.verify('wrong', known.password));
    events.length = 0;
    const wrong = await shown('known', 'wrong');
    t.equal(wrong.status, 401);
    t.match(wrong.plain, /The login name or the password is wrong/);
    for (const [name, word] of [
      ['nobody', 'wrong'],
      ['disabled', password],
      ['keyed', 'wrong'],
      ['keyed', ''],
    ] as const) {
      const other = await shown(name, word);
      t.strictSame({ ...other, ms: 0 }, { ...wrong, ms: 0 }, `${name}: the same page and cookies`);
      t.ok(other.ms > hashMs / 2, `${name}: ${other.ms.toFixed(1)} ms, a hash takes ${hashMs.toFixed(1)} ms`);
    }
    t.match(
      events.map(({ outcome, user, reason }) => [outcome, user, reason]),
      [
        ['refused', known.id, 'password'],
        ['refused', undefined, 'unknown'],
        ['refused', disabled.id, 'disabled'],
        ['refused', passkeyOnly.id, 'password'],
        ['refused', passkeyOnly.id, 'password'],
      ],
    );
    t.notOk(JSON.stringify(events).includes('nobody'), 'what was typed is not on record');
  });

  part('threat 31: after five failures nobody gets in with the right password, but who was there before', async (t) => {
    const user = await site.person({ login: 'locked', roles: ['patient'] });
    const own = await signedIn(site, user);
    const stranger = site.browser();
    stranger.address = '192.0.2.66';
    events.length = 0;
    for (let i = 0; i < limits.loginFailuresMax; i++) {
      await login(stranger, 'locked', 'wrong');
      t.equal(stranger.page.status, 401);
    }
    t.equal(events.filter(({ kind }) => kind === 'lockout').length, 1, 'on record');
    await login(stranger, 'locked');
    t.match(stranger.page, { status: 429, html: /Try again in a minute/ });
    t.ok(signedOut(stranger));
    await own.open('/auth/logout');
    await own.submit('Sign out');
    await login(own, 'locked');
    t.notOk(signedOut(own), 'the browser of the person has a count of its own');
    const nobody = site.browser();
    nobody.address = '192.0.2.67';
    for (let i = 0; i <= limits.loginFailuresMax; i++) await login(nobody, 'not a person', 'wrong');
    t.equal(nobody.page.status, 429, 'an unknown name is locked like a known one');
    clock.pass(minute);
    await login(stranger, 'locked');
    t.notOk(signedOut(stranger), 'after the wait');
  });

  part('staff without a second factor are led to set one up, and see nothing before', async (t) => {
    const user = await site.person({ login: 'new', name: 'New' });
    const browser = site.browser();
    await login(browser, 'new');
    t.equal(browser.page.url, '/auth/login/enrol');
    t.match(browser.page.html, /<svg class="qr"/);
    t.match(browser.page.html, /href="otpauth:\/\/totp\//);
    t.ok(signedOut(browser));
    t.match(await browser.open('/auth/account'), { url: '/auth/login' }, 'no page but these');
    t.match(
      await browser.open('/auth/login/second-factor'),
      { url: '/auth/login' },
      'nor is there a factor to ask for',
    );
    await browser.open('/auth/login/enrol');
    const base32 = keyOn(browser);
    t.match(await browser.submit('code', { code: '000000' }), { status: 400, html: /does not fit/ });
    t.equal(keyOn(browser), base32, 'the same key is shown again');
    const [sent] = [browser.form('code')];
    await browser.submit('code', { code: codeAt(base32, clock.now()) });
    const codes = [...browser.page.html.matchAll(/<li><code>([^<]+)<\/code>/g)].map(([, code = '']) => code);
    t.equal(codes.length, 10);
    t.notOk(signedOut(browser));
    t.match(await browser.post(sent.action, sent.fields), { status: 403 }, 'the form is over');
    t.match(await accounts.users.get(user.id), { totp: { secret: String }, recoveryCodes: { length: 10 } });

    t.test('then the code is asked for at each login', async (t) => {
      const browser = site.browser();
      events.length = 0;
      await login(browser, 'new');
      t.equal(browser.page.url, '/auth/login/second-factor');
      t.ok(signedOut(browser));
      t.match(await browser.open('/auth/login/enrol'), { url: '/auth/login' }, 'no way around by a second enrolment');
      await browser.open('/auth/login/second-factor');
      t.match(await browser.submit('code', { code: '000000' }), { status: 401, html: /wrong/ });
      clock.pass(30_000);
      const code = codeAt(base32, clock.now());
      await browser.submit('code', { code });
      t.equal(browser.page.url, '/auth/account');
      t.match(events, [
        { kind: 'second-factor', outcome: 'refused' },
        { kind: 'login', amr: ['pwd', 'otp', 'mfa'] },
      ]);
      const second = site.browser();
      await login(second, 'new');
      t.match(await second.submit('code', { code }), { status: 401 }, 'a code that was used is refused');
      t.match(await second.submit('code', { code: codes[0] ?? '' }), { url: '/auth/account' }, 'a recovery code');
      const third = site.browser();
      await login(third, 'new');
      t.match(await third.submit('code', { code: codes[0] ?? '' }), { status: 401 }, 'works once');
    });

    t.test('and guessing codes ends after five', async (t) => {
      const browser = site.browser();
      await login(browser, 'new');
      for (let i = 0; i < limits.loginFailuresMax; i++) await browser.submit('code', { code: `00000${i}` });
      clock.pass(30_000);
      t.match(await browser.submit('code', { code: codeAt(base32, clock.now()) }), { status: 429 });
      t.ok(signedOut(browser));
    });

    t.test('two requests with a good code make one session', async (t) => {
      clock.pass(16 * minute);
      const browser = site.browser();
      await login(browser, 'new');
      const form = browser.form('code');
      const other = site.browser();
      other.jar = [...browser.jar];
      const fields = form.fields.filter(([name]) => name !== 'code');
      await Promise.all([
        browser.post(form.action, [...fields, ['code', codeAt(base32, clock.now())]]),
        other.post(form.action, [...fields, ['code', codes[1] ?? '']]),
      ]);
      t.equal([browser, other].filter((each) => !signedOut(each)).length, 1);
    });
  });

  part('steps: each needs the one before it, in the same browser', async (t) => {
    const user = await site.person({ login: 'steps' });
    const code = await site.withTotp(user);
    const browser = site.browser();
    t.match(await browser.open('/auth/login/second-factor'), { url: '/auth/login' });
    t.match(await browser.post('/auth/login/second-factor', { code: code() }), { status: 403 });
    await login(browser, 'steps');
    const form = browser.form('code');
    const other = site.browser();
    await other.open('/auth/login');
    t.match(await other.post(form.action, [...form.fields, ['code', code()]]), { status: 403 }, 'another browser');
    clock.pass(10 * minute);
    t.match(await browser.submit('code', { code: code() }), { status: 400, html: /step is over/ }, 'too late');
    await login(browser, 'steps');
    await accounts.users.change(user.id, (now) => ({ ...now, isEnabled: false }));
    clock.pass(30_000);
    t.match(await browser.submit('code', { code: code() }), { status: 400 }, 'disabled meanwhile');
    t.ok(signedOut(browser));
  });

  part('CSRF: no form acts without the token of this browser', async (t) => {
    const user = await site.person({ login: 'csrf', roles: ['patient'] });
    const browser = site.browser();
    t.match(await browser.post('/auth/login', { login: 'csrf', password }), { status: 403 }, 'login without cookie');
    await browser.open('/auth/login');
    t.match(await browser.post('/auth/login', { login: 'csrf', password, csrf: 'x' }), { status: 403 });
    const other = site.browser();
    await other.open('/auth/login');
    const foreign = other.form('password').fields.find(([name]) => name === 'csrf')?.[1] ?? '';
    t.match(
      await browser.post('/auth/login', { login: 'csrf', password, csrf: foreign }),
      { status: 403 },
      'another one’s',
    );
    t.ok(signedOut(browser));
    const mine = await signedIn(site, user);
    for (const path of ['app', 'session', 'password', 'app-code', 'passkey', 'remove', 'recovery-codes']) {
      t.match(await mine.post(`/auth/account/${path}`, { csrf: foreign }), { status: 403 }, path);
    }
    t.match(await mine.post('/auth/logout', {}), { status: 403 });
    t.ok(await accounts.sessions.find(mine.cookie(SESSION)), 'still signed in');
  });

  part('hostile fields get a clear 4xx', async (t) => {
    const browser = site.browser();
    await browser.open('/auth/login');
    const csrf = browser.form('password').fields.find(([name]) => name === 'csrf')?.[1] ?? '';
    for (const form of [
      [
        ['csrf', csrf],
        ['login', 'a'],
        ['login', 'b'],
        ['password', 'x'],
      ],
      [
        ['csrf', csrf],
        ['csrf', csrf],
        ['login', 'a'],
      ],
      [
        ['csrf', csrf],
        ['login', 'x'.repeat(301)],
      ],
      [
        ['csrf', csrf],
        ['login', 'a'],
        ['password', 'x'.repeat(1_001)],
      ],
      [
        ['csrf', csrf],
        ['passkey', 'x'.repeat(20_000)],
      ],
    ] as [string, string][][]) {
      t.match(await browser.post('/auth/login', form), { status: 400 });
    }
    for (const form of [
      [
        ['csrf', csrf],
        ['login[$ne]', ''],
        ['password[$ne]', ''],
      ],
      [
        ['csrf', csrf],
        ['login', '{"$ne":null}'],
        ['password', '{"$ne":null}'],
      ],
      [
        ['csrf', csrf],
        ['passkey', '{"id":{"$ne":1}}'],
      ],
      [
        ['csrf', csrf],
        ['__proto__', 'x'],
        ['login', '__proto__'],
        ['password', 'x'],
      ],
    ] as [string, string][][]) {
      t.match(await browser.post('/auth/login', form), { status: 401 });
    }
    t.match(await browser.open('/auth/setup/..%2f'), { status: 404 });
    t.match(await browser.open('/auth/interaction/x'), { status: 400 });
  });

  part('threat 29: after signing in nobody is sent anywhere else', async (t) => {
    await site.person({ login: 'next', roles: ['patient'] });
    for (const next of [
      'https://evil.example',
      '//evil.example',
      '/auth/../fhir',
      '/auth/x?y=z',
      '/auth//evil',
      'javascript:alert(1)',
      '\\\\evil',
      '',
    ]) {
      const browser = site.browser();
      await browser.open(`/auth/login?next=${encodeURIComponent(next)}`);
      await browser.submit('password', { login: 'next', password });
      t.equal(browser.page.url, '/auth/account', next);
      const form = site.browser();
      await form.open('/auth/login');
      await form.submit('password', { login: 'next', password, next });
      t.equal(form.page.url, '/auth/account', `${next} in the form`);
    }
  });

  part('passkeys', async (t) => {
    const user = await site.person({ login: 'passkey' });
    const device = new Authenticator({ origin: issuer });
    const browser = site.browser();
    await login(browser, 'passkey');
    const made = device.create(passkeyOptions(browser.form('Set up a passkey on this device')));
    await browser.submit('Set up a passkey on this device', { passkey: made, name: 'My <laptop>' });
    t.match(browser.page.html, /recovery codes/, 'one is a second factor');
    t.match(await browser.open('/auth/account'), { html: /My &lt;laptop&gt;/ });

    t.test('sign in alone, without a name', async (t) => {
      const browser = site.browser();
      events.length = 0;
      await browser.open('/auth/login');
      const options = passkeyOptions(browser.form('Sign in with a passkey'));
      t.match(options, { rpId: 'ehr.example.org', userVerification: 'required', allowCredentials: [] });
      const passkey = device.get(options);
      await browser.submit('Sign in with a passkey', { passkey });
      t.equal(browser.page.url, '/auth/account');
      t.match(events, [{ kind: 'login', user: user.id, amr: ['hwk', 'user', 'mfa'] }]);
      const thief = site.browser();
      thief.jar = browser.jar.filter(({ name }) => name !== SESSION);
      await thief.open('/auth/login');
      await thief.submit('Sign in with a passkey', { passkey });
      t.match(thief.page, { status: 401, html: /cannot be used/ }, 'not twice');
    });

    t.test('confirm a password', async (t) => {
      const browser = site.browser();
      await login(browser, 'passkey');
      const options = passkeyOptions(browser.form('Use a passkey'));
      t.equal(options.allowCredentials.length, 1);
      await browser.submit('Use a passkey', { passkey: device.get(options) });
      t.equal(browser.page.url, '/auth/account');
    });

    t.test('are not locked by who guesses at the password', async (t) => {
      const stranger = site.browser();
      stranger.address = '192.0.2.68';
      for (let i = 0; i < 6; i++) await login(stranger, 'passkey', 'wrong');
      const browser = site.browser();
      await browser.open('/auth/login');
      await browser.submit('Sign in with a passkey', {
        passkey: device.get(passkeyOptions(browser.form('Sign in with a passkey'))),
      });
      t.notOk(signedOut(browser));
    });

    t.test('of a disabled person do not', async (t) => {
      await accounts.users.change(user.id, (now) => ({ ...now, isEnabled: false }));
      const browser = site.browser();
      await browser.open('/auth/login');
      await browser.submit('Sign in with a passkey', {
        passkey: device.get(passkeyOptions(browser.form('Sign in with a passkey'))),
      });
      t.match(browser.page, { status: 401 });
    });
  });

  part('my account', async (t) => {
    const user = await site.person({ login: 'mine', name: 'Mine' });
    const code = await site.withTotp(user);
    const browser = await signedIn(site, user, code);

    t.test('another session is ended from here, nobody else’s', async (t) => {
      const second = await signedIn(site, user, code);
      const other = await site.person({ login: 'else', roles: ['patient'] });
      const theirs = await signedIn(site, other);
      await browser.open('/auth/account');
      const form = browser.form('/auth/account/session');
      const theirId = (await accounts.sessions.listOf(other.id))[0]?.id ?? '';
      await browser.submit('/auth/account/session', { session: theirId });
      t.ok(await accounts.sessions.find(theirs.cookie(SESSION)));
      await browser.post(form.action, form.fields);
      t.equal(await accounts.sessions.find(second.cookie(SESSION)), undefined);
      t.ok(await accounts.sessions.find(browser.cookie(SESSION)));
    });

    t.test('the last second factor of staff stays', async (t) => {
      await browser.open('/auth/account');
      await browser.submit('/auth/account/remove', { factor: 'totp' });
      t.match(browser.page, { status: 400, html: /last second factor/ });
      t.ok((await accounts.users.get(user.id))?.totp);
    });

    t.test('a passkey is added, and removed', async (t) => {
      const device = new Authenticator({ origin: issuer });
      await browser.open('/auth/account/passkey');
      await browser.submit('Add a passkey', {
        passkey: device.create(passkeyOptions(browser.form('Add a passkey'))),
        name: 'Key',
      });
      t.equal((await accounts.users.get(user.id))?.passkeys.length, 1);
      await browser.open('/auth/account');
      await browser.submit('/auth/account/remove', { factor: device.id.toString('base64url') });
      t.equal((await accounts.users.get(user.id))?.passkeys.length, 0);
    });

    t.test('the app is replaced when the new one shows its code', async (t) => {
      await browser.open('/auth/account/app-code');
      const base32 = keyOn(browser);
      t.match(await browser.submit('code', { code: '000000' }), { status: 400 });
      const next = keyOn(browser);
      t.not(next, base32);
      await browser.submit('code', { code: codeAt(next, clock.now()) });
      const sealed = (await accounts.users.get(user.id))?.totp?.secret ?? '';
      t.equal(accounts.secondFactors.openTotpSecret(user.id, sealed), next);
    });

    t.test('a new password needs the old one, and ends the other sessions', async (t) => {
      const elsewhere = (await accounts.sessions.start(user, { amr: ['pwd', 'otp', 'mfa'], agent: '' })).token;
      await browser.open('/auth/account');
      const fresh = 'another heron in the reeds';
      t.match(await browser.submit('new', { password: 'wrong', new: fresh }), { status: 401 });
      t.match(await browser.submit('new', { password, new: 'password1234' }), { status: 400, html: /tried first/ });
      await browser.submit('new', { password, new: fresh });
      t.equal(browser.page.status, 200);
      t.equal(await accounts.sessions.find(elsewhere), undefined);
      const after = site.browser();
      t.match(await login(after, 'mine'), { status: 401 });
      t.match(await login(after, 'mine', fresh), { url: '/auth/login/second-factor' });
    });

    t.test('what matters needs a login of the last ten minutes', async (t) => {
      clock.pass(11 * minute);
      t.match(await browser.open('/auth/account'), { url: '/auth/account', status: 200 });
      for (const path of ['passkey', 'app-code'])
        t.match(await browser.open(`/auth/account/${path}`), { url: '/auth/login' });
      await browser.open('/auth/account');
      t.match(await browser.submit('/auth/account/recovery-codes'), { url: '/auth/login' });
    });
  });

  part('administration', async (t) => {
    const root = await site.person({ login: 'admin', name: 'Admin', roles: ['administrator'] });
    const code = await site.withTotp(root);
    const admin = await signedIn(site, root, code);
    const other = await site.person({ login: 'other', name: 'Other', roles: ['patient'] });
    const theirs = await signedIn(site, other);

    t.test('is for administrators with a second factor', async (t) => {
      for (const path of ['/auth/admin', `/auth/admin/person/${other.id}`]) {
        t.match(await theirs.open(path), { status: 403 });
        t.match(await site.browser().open(path), { url: '/auth/login' });
        t.match(await admin.open(path), { status: 200 });
      }
      const weak = site.browser();
      const { token } = await accounts.sessions.start(root, { amr: ['pwd'], agent: '' });
      weak.jar.push({ name: SESSION, value: token, path: '/' });
      t.match(await weak.open('/auth/admin'), { status: 403 });
    });

    t.test('apps that registered themselves wait for approval', async (t) => {
      const { client } = await site.server.clients.add({
        name: '<img src=x onerror=alert(1)>',
        authentication: 'none',
        redirectUris: ['https://app.example.org/cb'],
        scopes: ['patient/*.rs'],
        isUnverified: true,
        state: 'pending',
      });
      await admin.open('/auth/admin');
      t.match(admin.page.html, /&lt;img src=x/);
      t.notMatch(admin.page.html, /<img/);
      await admin.submit('Approve');
      t.equal((await site.server.clients.get(client.id))?.state, 'active');
      await admin.submit('Disable');
      t.equal((await site.server.clients.get(client.id))?.state, 'disabled');
      t.match(await admin.submit('Enable', { state: 'pending' }), { status: 400 });
    });

    t.test('an account is disabled with its sessions, and its second factor reset', async (t) => {
      await admin.open(`/auth/admin/person/${other.id}`);
      await admin.submit('Disable');
      t.equal((await accounts.users.get(other.id))?.isEnabled, false);
      t.equal(await accounts.sessions.find(theirs.cookie(SESSION)), undefined);
      await admin.submit('Enable');
      t.equal((await accounts.users.get(other.id))?.isEnabled, true);
      const staff = await site.person({ login: 'lost' });
      await site.withTotp(staff);
      await admin.open(`/auth/admin/person/${staff.id}`);
      await admin.submit('Reset the second factor');
      const { totp } = (await accounts.users.get(staff.id)) ?? {};
      t.equal(totp, undefined);
      t.match(await login(site.browser(), 'lost'), { url: '/auth/login/enrol' });
      await admin.open(`/auth/admin/person/${root.id}`);
      t.match(await admin.submit('Disable'), { status: 400 }, 'not one’s own');
      t.match(
        await admin.post(`/auth/admin/person/${other.id}`, [...admin.jar.map((): [string, string] => ['x', 'y'])]),
        { status: 403 },
      );
      t.match(await admin.open('/auth/admin/person/nobody'), { status: 404 });
    });
  });

  part('pages are small, plain and accessible', async (t) => {
    const user = await site.person({ login: 'page', name: 'Page' });
    const browser = site.browser();
    const pages: string[] = [];
    for (const path of ['/auth/login', '/auth/logout']) pages.push((await browser.open(path)).html);
    pages.push((await login(browser, 'page')).html);
    await browser.submit('code', { code: codeAt(keyOn(browser), clock.now()) });
    pages.push(browser.page.html);
    for (const path of ['/auth/account', '/auth/account/passkey', '/auth/account/app-code'])
      pages.push((await browser.open(path)).html);
    t.ok(await accounts.users.get(user.id));
    for (const html of pages) {
      t.ok(Buffer.byteLength(html) < 20_000, `${Buffer.byteLength(html)} bytes`);
      t.match(html, /^<!doctype html>\n<html lang="en">/);
      t.match(html, /<title>[^<]+<\/title>/);
      t.notMatch(html, /<script>|<style|\son[a-z]+=|\sstyle=/, 'nothing that the policy would have to allow inline');
      for (const [, id] of html.matchAll(/<input id="([^"]+)"/g))
        t.ok(html.includes(`<label for="${id}">`), `${id} has a label`);
      for (const [tag] of html.matchAll(/<form[^>]*>/g)) t.match(tag, /method="post"/);
    }
    for (const [path, type] of [
      ['/auth/style.css', 'text/css'],
      ['/auth/passkey.js', 'text/javascript'],
    ] as const) {
      const { status, answer } = await browser.open(path);
      t.equal(status, 200);
      t.match(answer.headers?.['Content-Type'], type);
    }
    t.doesNotThrow(() => new Function(String(browser.page.answer.body)), 'the script is JavaScript');
  });

  part('no request was a fault of the server', async (t) => {
    t.strictSame(site.faults, []);
  });
});

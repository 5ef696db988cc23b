// Sign-in by another identity provider: what is believed of it, and what is not.
import { createHash } from 'node:crypto';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import t from 'tap';
import { createKeySets } from '../../src/auth/key-sets.ts';
import { createExternalLogin, type IdentityProvider } from '../../src/auth/users/external-login.ts';
import { limits } from '../../src/base/limits.ts';
import type { Outbound } from '../../src/base/net.ts';
import { onBothStores } from '../support/stores.ts';
import { type Browser, password, patients, siteOn } from './browser.ts';
import { issuer } from './support.ts';

t.setTimeout(240_000);

const idp = 'https://idp.example.org';
const provider: IdentityProvider = {
  id: 'clinic',
  name: 'Clinic <login>',
  issuer: idp,
  authorizationEndpoint: `${idp}/authorize`,
  tokenEndpoint: `${idp}/token`,
  jwksUri: `${idp}/jwks`,
  clientId: 'careloom:prod',
  clientSecret: 'a secret/with signs',
  secondFactor: { amr: ['mfa'], acr: ['strong'] },
};

const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true });
const stranger = (await generateKeyPair('RS256', { extractable: true })).privateKey;
const jwk = { ...(await exportJWK(publicKey)), kid: 'k1', use: 'sig' };

/** What the provider will put into the next token, and what it was asked. */
const next = {
  claims: {} as Record<string, unknown>,
  header: {} as Record<string, unknown>,
  key: privateKey,
  status: 200,
  asked: [] as { form: URLSearchParams; authorization: string | undefined }[],
};
let challenge = '';
let nonce = '';
let now = 0;

const outbound: Pick<Outbound, 'send'> = {
  async send({ url, body, headers }) {
    const json = (status: number, value: object) => ({
      status,
      header: () => undefined,
      body: Buffer.from(JSON.stringify(value)),
    });
    if (url === provider.jwksUri) return json(200, { keys: [jwk] });
    const form = new URLSearchParams(String(body));
    next.asked.push({ form, authorization: headers?.authorization });
    const verified =
      createHash('sha256')
        .update(form.get('code_verifier') ?? '')
        .digest('base64url') === challenge;
    if (!verified || next.status !== 200) return json(400, { error: 'invalid_grant' });
    const seconds = Math.floor(now / 1000);
    const claims = {
      iss: idp,
      sub: 'ann-at-idp',
      aud: provider.clientId,
      exp: seconds + 300,
      iat: seconds,
      nonce,
      ...next.claims,
    };
    const known = Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined));
    const header = { alg: 'RS256', kid: 'k1', typ: 'JWT', ...next.header };
    return json(200, {
      id_token: await new SignJWT(known).setProtectedHeader(header).sign(next.key),
      access_token: 'x',
    });
  },
};

/** The person at the provider: comes back with a code. */
async function comesBack(browser: Browser, change: Record<string, string> = {}, to = provider.id): Promise<void> {
  const refresh = browser.page.answer.headers?.Refresh ?? '';
  const asked = new URL(refresh.replace(/^0; url=/, ''));
  challenge = asked.searchParams.get('code_challenge') ?? '';
  nonce = asked.searchParams.get('nonce') ?? '';
  const back = new URL(asked.searchParams.get('redirect_uri') ?? '');
  const parameters = { state: asked.searchParams.get('state') ?? '', code: 'code-1', ...change };
  for (const [name, value] of Object.entries(parameters)) back.searchParams.set(name, value);
  await browser.open(back.href.replace(`/${provider.id}/`, `/${to}/`));
}

await onBothStores(t, async (t, adapter) => {
  // The same provider under another registration.
  const other: IdentityProvider = { ...provider, id: 'other' };
  const site = await siteOn(t, adapter, patients, ({ records, clock }) => {
    const onFault = (): void => {};
    const keySets = createKeySets({ outbound: outbound as Outbound, clock, onFault });
    return {
      login: createExternalLogin({ records, clock, issuer, outbound, keySets, onFault }),
      providers: [provider, other],
    };
  });
  const { accounts, clock, events } = site;
  const ann = await site.person({ login: 'ann', name: 'Ann' });
  const code = await site.withTotp(ann);
  const isIn = (browser: Browser): boolean => browser.cookie('careloom_session') !== undefined;
  const reset = (): void => {
    Object.assign(next, { claims: {}, header: {}, key: privateKey, status: 200, asked: [] });
    now = clock.now();
    events.length = 0;
  };
  const leave = async (): Promise<Browser> => {
    const browser = site.browser();
    await browser.open('/auth/login');
    await browser.submit('Sign in with Clinic &lt;login&gt;');
    return browser;
  };
  const linked = async (): Promise<Browser> => {
    const browser = site.browser();
    await browser.open('/auth/login');
    await browser.submit('password', { login: 'ann', password });
    clock.pass(30_000);
    await browser.submit('code', { code: code() });
    now = clock.now();
    return browser;
  };

  t.test('an identity that nobody linked is nobody', async (t) => {
    reset();
    const browser = await leave();
    await comesBack(browser);
    t.match(browser.page, { status: 401, html: /Clinic &lt;login&gt; did not lead to an account/ });
    t.notOk(isIn(browser));
    t.match(events, [{ kind: 'login', outcome: 'refused', reason: 'clinic: not linked' }]);
    t.notOk(JSON.stringify(events).includes('ann-at-idp'));
    const [asked] = next.asked;
    t.equal(asked?.form.get('redirect_uri'), `${issuer}/auth/login/external/clinic/callback`);
    t.equal(
      Buffer.from(asked?.authorization?.slice(6) ?? '', 'base64').toString(),
      'careloom%3Aprod:a+secret%2Fwith+signs',
    );
  });

  t.test('is linked by the person who is signed in here, and signs in from then on', async (t) => {
    reset();
    const browser = await linked();
    await browser.open('/auth/account');
    await browser.submit('Sign in from now on also with Clinic &lt;login&gt;');
    await comesBack(browser);
    t.equal(browser.page.url, '/auth/account');
    t.match(browser.page.html, /Clinic &lt;login&gt;, since/);
    reset();
    next.claims = { amr: ['pwd', 'mfa'] };
    const second = await leave();
    await comesBack(second);
    t.equal(second.page.url, '/auth/account');
    t.match(events, [{ kind: 'login', outcome: 'success', user: ann.id, amr: ['pwd', 'mfa'] }]);
    reset();
    next.claims = { acr: 'strong' };
    const third = await leave();
    await comesBack(third);
    t.ok(isIn(third));
  });

  t.test('without a second factor there, the one here is asked for', async (t) => {
    for (const claims of [{}, { amr: ['pwd'] }, { acr: 'weak' }, { amr: 'mfa' }, { amr: [1] }]) {
      reset();
      next.claims = claims;
      const browser = await leave();
      await comesBack(browser);
      t.equal(browser.page.url, '/auth/login/second-factor', JSON.stringify(claims));
      t.notOk(isIn(browser));
    }
  });

  t.test('threat 30: an id_token that is not quite right is not believed', async (t) => {
    const seconds = Math.floor(clock.now() / 1000);
    const good = { amr: ['mfa'] };
    for (const [what, change] of Object.entries({
      'another issuer': { claims: { iss: 'https://evil.example' } },
      'another audience': { claims: { aud: 'another' } },
      'several audiences, for another party': { claims: { aud: [provider.clientId, 'x'], azp: 'x' } },
      'several audiences, for nobody': { claims: { aud: [provider.clientId, 'x'] } },
      'no nonce': { claims: { nonce: undefined } },
      'another nonce': { claims: { nonce: 'x' } },
      'no subject': { claims: { sub: undefined } },
      'a subject that is no text': { claims: { sub: 1 } },
      over: { claims: { exp: seconds - 61 } },
      'without an end': { claims: { exp: undefined } },
      'for ever': { claims: { exp: seconds + 10 * 365 * 86_400 } },
      'of tomorrow': { claims: { iat: seconds + 3_600 } },
      'an access token': { header: { typ: 'at+jwt' } },
      'another key': { key: stranger },
      'an unknown key': { header: { kid: 'k2' } },
      'no token': { status: 400 },
    })) {
      reset();
      next.claims = good;
      Object.assign(next, change, 'claims' in change ? { claims: { ...good, ...change.claims } } : {});
      const browser = await leave();
      await comesBack(browser);
      t.match(browser.page, { status: 401 }, what);
      t.notOk(isIn(browser), what);
    }
    reset();
    next.claims = good;
    const browser = await leave();
    await comesBack(browser);
    t.ok(isIn(browser), 'while a right one is');
  });

  t.test('threat 29: the way back is for one browser, one provider and one time', async (t) => {
    reset();
    next.claims = { amr: ['mfa'] };
    const victim = await leave();
    const attacker = await leave();
    const theirs = attacker.page.answer.headers?.Refresh ?? '';
    victim.page = { ...victim.page, answer: { ...victim.page.answer, headers: { Refresh: theirs } } };
    await comesBack(victim);
    t.match(victim.page, { status: 401 }, 'a login that somebody else began');
    const browser = await leave();
    const { answer } = browser.page;
    await comesBack(browser, { iss: 'https://other.example.org' });
    t.match(browser.page, { status: 401 }, 'mix-up');
    const again = await leave();
    const page = again.page;
    await comesBack(again);
    t.ok(isIn(again));
    again.page = page;
    await comesBack(again);
    t.match(again.page, { status: 401 }, 'a second time');
    const late = await leave();
    clock.pass(10 * 60_000);
    now = clock.now();
    await comesBack(late);
    t.match(late.page, { status: 401 }, 'too late');
    const cross = await leave();
    await comesBack(cross, {}, 'other');
    t.match(cross.page, { status: 401 }, 'at another provider');
    t.match(await cross.open('/auth/login/external/nobody/callback?code=x&state=x'), { status: 404 });
    t.match(await cross.open('/auth/login/external/clinic/callback'), { status: 401 });
    t.match(await cross.post('/auth/login/external/clinic', {}), { status: 403 }, 'CSRF');
    t.ok(answer);
  });

  t.test('linking is for the session that asked, and an identity is one person’s', async (t) => {
    reset();
    const bob = await site.person({ login: 'bob', roles: ['patient'] });
    const browser = site.browser();
    await browser.open('/auth/login');
    await browser.submit('password', { login: 'bob', password });
    await browser.open('/auth/account');
    await browser.submit('Sign in from now on also with Clinic &lt;login&gt;');
    const { page } = browser;
    await comesBack(browser);
    t.match(browser.page, { status: 401 }, 'it is Ann’s');
    next.claims = { sub: 'bob-at-idp' };
    await browser.open('/auth/account');
    await browser.submit('Sign in from now on also with Clinic &lt;login&gt;');
    browser.jar = browser.jar.filter(({ name }) => name !== 'careloom_session');
    await comesBack(browser);
    t.match(browser.page, { status: 401 }, 'signed out meanwhile');
    const shared = site.browser();
    await shared.open('/auth/login');
    await shared.submit('password', { login: 'bob', password });
    await shared.open('/auth/account');
    await shared.submit('Sign in from now on also with Clinic &lt;login&gt;');
    const begun = shared.page;
    const eve = await site.person({ login: 'eve', roles: ['patient'] });
    const { token } = await accounts.sessions.start(eve, { amr: ['pwd'], agent: '' });
    shared.jar = shared.jar.map((held) => (held.name === 'careloom_session' ? { ...held, value: token } : held));
    shared.page = begun;
    await comesBack(shared);
    t.match(shared.page, { status: 401 }, 'somebody else signed in meanwhile');
    t.equal((await accounts.users.get(eve.id))?.identities, undefined);
    t.equal((await accounts.users.get(bob.id))?.identities, undefined);
    t.ok(page);
  });

  t.test('what is on record was done, and what cannot be put on record was not', async (t) => {
    reset();
    const dan = await site.person({ login: 'dan', roles: ['patient'] });
    const browser = site.browser();
    await browser.open('/auth/login');
    await browser.submit('password', { login: 'dan', password });
    const link = async (sub: string): Promise<void> => {
      events.length = 0;
      next.claims = { sub, amr: ['mfa'] };
      await browser.open('/auth/account');
      await browser.submit('Sign in from now on also with Clinic &lt;login&gt;');
      await comesBack(browser);
    };
    const identities = async () => (await accounts.users.get(dan.id))?.identities ?? [];
    site.unrecordable.add('factor-changed').add('login');
    await link('dan-at-idp');
    t.match(browser.page, { status: 500 });
    t.strictSame(await identities(), []);
    site.unrecordable.delete('factor-changed');
    await link('dan-at-idp');
    t.match(events, [{ kind: 'factor-changed', outcome: 'success', reason: 'identity provider linked' }]);
    t.equal((await identities()).length, 1);
    await link('dan-at-idp');
    t.strictSame(events, [], 'a second time there is nothing to tell of');
    next.claims = { sub: 'dan-at-idp', amr: ['mfa'] };
    const late = await leave();
    const before = (await accounts.sessions.listOf(dan.id)).length;
    await comesBack(late);
    t.match(late.page, { status: 500 }, 'a login that cannot be put on record');
    t.notOk(isIn(late));
    t.equal((await accounts.sessions.listOf(dan.id)).length, before, 'begins no session');
    site.unrecordable.clear();
    for (let i = 1; i < limits.identitiesMax; i++) await link(`dan-${i}`);
    await link('one-too-many');
    t.match(browser.page, { status: 401 });
    t.match(events, [{ kind: 'factor-changed', outcome: 'refused', reason: 'clinic: too many are linked' }]);
    t.equal((await identities()).length, limits.identitiesMax);
    t.equal(site.faults.splice(0).length, 2, 'the two that could not be recorded');
  });

  t.test('a disabled person, and an identity that was removed, do not sign in', async (t) => {
    reset();
    next.claims = { amr: ['mfa'] };
    await accounts.users.change(ann.id, (user) => ({ ...user, isEnabled: false }));
    const browser = await leave();
    await comesBack(browser);
    t.match(browser.page, { status: 401 });
    await accounts.users.change(ann.id, (user) => ({ ...user, isEnabled: true }));
    const own = await linked();
    await own.open('/auth/account');
    await own.submit('/auth/account/remove', { factor: `${idp} ann-at-idp` });
    t.strictSame((await accounts.users.get(ann.id))?.identities, []);
    const after = await leave();
    await comesBack(after);
    t.match(after.page, { status: 401 });
    t.strictSame(site.faults, []);
  });
});

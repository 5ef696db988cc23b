// Who came in by a password or factor that was changed or taken away is out: sessions, sign-ins under way, and apps.
import t from 'tap';
import { createAuthorizationServer } from '../../src/auth/authorization-server.ts';
import type { User } from '../../src/auth/users/user.ts';
import { limits } from '../../src/base/limits.ts';
import { onBothStores } from '../support/stores.ts';
import { Authenticator } from './authenticator.ts';
import { type Browser, codeAt, passkeyOptions, password, type Site, secret, siteOn } from './browser.ts';
import { addPublicApp, isLive, issuer, postToken, refreshed, tokensFor } from './support.ts';

t.setTimeout(240_000);

const scope = 'user/*.rs offline_access';
const fresh = 'another heron in the reeds';

/** A person with an authenticator app, a browser in which they are signed in, and another one somewhere else. */
async function personAt(site: Site, login: string) {
  const user = await site.person({ login });
  const code = await site.withTotp(user);
  return { user, code, own: await signedIn(site, login, code), elsewhere: await signedIn(site, login, code) };
}

async function signedIn(site: Site, login: string, code: () => string): Promise<Browser> {
  const browser = await atSecondFactor(site, login);
  site.clock.pass(30_000);
  await browser.submit('code', { code: code() });
  if (browser.page.url !== '/auth/account') throw new Error(browser.page.html);
  return browser;
}

async function atSecondFactor(site: Site, login: string): Promise<Browser> {
  const browser = site.browser();
  await browser.open('/auth/login');
  await browser.submit('password', { login, password });
  return browser;
}

/** What an app holds that acts for this person: an access token, and one to renew it. */
async function appOf(site: Site, user: User): Promise<{ access: string; refresh: string }> {
  const { json } = await tokensFor(site, await addPublicApp(site), { scope, user: user.id, session: '' });
  return { access: json.access_token, refresh: json.refresh_token };
}

const isIn = async (browser: Browser): Promise<boolean> =>
  (await browser.open('/auth/account')).url === '/auth/account';

/** The server of another process on the same store, which learns of changes from there alone. */
function anotherServer({ store, clock, accounts }: Site) {
  return createAuthorizationServer({
    records: store.records,
    clock,
    issuer,
    baseUrl: `${issuer}/fhir`,
    secret,
    users: accounts.users,
    isOnline: accounts.sessions.isLive,
    reaches: async () => true,
    seesOpen: async () => true,
    record: async () => {},
    onFault: () => {},
  });
}

await onBothStores(t, async (t, adapter) => {
  const site = await siteOn(t, adapter);
  const { accounts, clock, events } = site;

  t.test('a new password: other sessions end, sign-ins under way, and apps', async (t) => {
    const { user, code, own, elsewhere } = await personAt(site, 'new-password');
    const app = await appOf(site, user);
    const begun = await atSecondFactor(site, 'new-password');
    await own.open('/auth/account');
    events.length = 0;
    await own.submit('new', { password, new: fresh });
    t.equal(own.page.status, 200);
    t.ok(await isIn(own), 'who changed it stays');
    t.notOk(await isIn(elsewhere));
    clock.pass(30_000);
    t.match(await begun.submit('code', { code: code() }), { status: 400 }, 'the old password leads no further');
    t.notOk(await isLive(site, app.access));
    t.match((await refreshed(site, app.refresh)).json, { error: 'invalid_grant' });
    t.match(events, [{ kind: 'password-changed', outcome: 'success', reason: /of all apps/ }]);
    t.same(await site.server.grants.ofUser(user.id), []);
  });

  t.test('a new password without “sign out of all apps”: they go on', async (t) => {
    const { user, own, elsewhere } = await personAt(site, 'apps-stay');
    const app = await appOf(site, user);
    await own.open('/auth/account');
    t.ok(
      own.form('new').fields.some(([name, value]) => name === 'apps' && value === 'end'),
      'ticked by default',
    );
    await own.submit('new', { password, new: fresh, apps: [] });
    t.notOk(await isIn(elsewhere));
    t.ok(await isIn(own));
    t.ok(await isLive(site, app.access));
    t.equal((await refreshed(site, app.refresh)).status, 200);
  });

  t.test('a factor that is removed or replaced takes with it what came in by it', async (t) => {
    const { user, code, own, elsewhere } = await personAt(site, 'factor');
    const device = new Authenticator({ origin: issuer });
    await own.open('/auth/account/passkey');
    const passkey = device.create(passkeyOptions(own.form('Add a passkey')));
    await own.submit('Add a passkey', { passkey, name: 'Lost laptop' });
    t.ok(await isIn(elsewhere), 'a factor more ends nothing');
    const first = await appOf(site, user);
    await own.open('/auth/account');
    await own.submit('/auth/account/remove', { factor: device.id.toString('base64url') });
    t.notOk(await isIn(elsewhere));
    t.notOk(await isLive(site, first.access));
    t.ok(await isIn(own));
    const again = await signedIn(site, 'factor', code);
    const second = await appOf(site, user);
    await own.open('/auth/account/app-code');
    const key = /<code>([A-Z2-7 ]{39})<\/code>/.exec(own.page.html)?.[1]?.replace(/ /g, '') ?? '';
    await own.submit('code', { code: codeAt(key, clock.now()) });
    t.notOk(await isIn(again));
    t.notOk(await isLive(site, second.access));
    t.ok(await isIn(own));
  });

  t.test('by hand: everywhere else, with the apps or without', async (t) => {
    const { user, code, own, elsewhere } = await personAt(site, 'by-hand');
    const app = await appOf(site, user);
    await own.open('/auth/account');
    await own.submit('Sign out everywhere else', { apps: [] });
    t.notOk(await isIn(elsewhere));
    t.ok(await isLive(site, app.access));
    const again = await signedIn(site, 'by-hand', code);
    await own.open('/auth/account');
    await own.submit('Sign out everywhere else');
    t.notOk(await isIn(again));
    t.notOk(await isLive(site, app.access));
    t.ok(await isIn(own));
  });

  t.test('by an administrator: always all, and enabling the person brings nothing back', async (t) => {
    const { own: admin, user: root } = await personAt(site, 'root');
    await accounts.users.change(root.id, (now) => ({ ...now, roles: ['administrator'] }));
    for (const [login, button] of [
      ['reset', 'Reset the second factor'],
      ['out', 'Sign out everywhere'],
      ['disabled', 'Disable'],
    ] as const) {
      const { user, own } = await personAt(site, login);
      const app = await appOf(site, user);
      await admin.open(`/auth/admin/person/${user.id}`);
      await admin.submit(button);
      t.notOk(await isIn(own), button);
      if (button === 'Disable') await admin.submit('Enable');
      t.notOk(await isIn(own), button);
      t.notOk(await isLive(site, app.access), button);
      t.match((await refreshed(site, app.refresh)).json, { error: 'invalid_grant' }, button);
    }
  });

  t.test('in another process: sessions at once, tokens within 5 s', async (t) => {
    const { user, own, elsewhere } = await personAt(site, 'process');
    const app = await appOf(site, user);
    const server = anotherServer(site);
    t.teardown(() => server.close());
    t.ok(await isLive({ server }, app.access), 'remembered there');
    await own.open('/auth/account');
    await own.submit('new', { password, new: fresh });
    t.notOk(await isIn(elsewhere));
    t.equal((await refreshed({ server }, app.refresh)).status, 400, 'a refresh is looked up');
    clock.pass(limits.tokenCacheMs);
    t.notOk(await isLive({ server }, app.access));
  });

  t.test('what a process did not come to remove is over all the same', async (t) => {
    const { user, own } = await personAt(site, 'crash');
    const app = await appOf(site, user);
    const stale = await accounts.users.get(user.id);
    // The change alone, as it is when a process dies right after it, or when the command line made it.
    await accounts.users.change(user.id, (now) => ({ ...now, ended: { sessions: 1, grants: 1 } }));
    t.notOk(await isIn(own));
    t.match((await refreshed(site, app.refresh)).json, { error: 'invalid_grant' });
    const late = await accounts.sessions.start(stale ?? user, { amr: ['pwd'], agent: '' });
    t.equal(await accounts.sessions.find(late.token), undefined, 'a session for the old proof begins dead');
  });

  t.test('who was signed out while an app asked grants it nothing', async (t) => {
    const { user } = await personAt(site, 'asked');
    const { session } = await accounts.sessions.start(user, { amr: ['pwd'], agent: '' });
    const client = await addPublicApp(site);
    const asked = { scope, user: user.id, session: session.id };
    t.equal((await tokensFor(site, client, asked)).status, 200);
    await accounts.sessions.endAllOf(user.id);
    t.equal((await tokensFor(site, client, asked)).status, 400);
    t.equal((await postToken(site, { grant_type: 'refresh_token', refresh_token: 'x' })).status, 400);
  });

  t.test('no request was a fault of the server', async (t) => {
    t.strictSame(site.faults, []);
  });
});

// How an app says whether, and how freshly, the person is to sign in.
// https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest
import { decodeJwt } from 'jose';
import t from 'tap';
import type { Client } from '../../src/auth/clients.ts';
import { onBothStores } from '../support/stores.ts';
import { type Browser, password, type Site, siteOn } from './browser.ts';
import { authorizeParameters, authorizeUrl, call, callback, everything, issuer, pkce, returned } from './support.ts';

const scope = 'openid launch/patient patient/*.rs';
const minute = 60_000;
const { verifier, challenge } = pkce();

const ask = (browser: Browser, client: Client, more: Record<string, string> = {}) =>
  browser.open(authorizeUrl(authorizeParameters(client, scope, { code_challenge: challenge, ...more })));

const isAtLogin = ({ page }: Browser): boolean => page.forms.some(({ action }) => action === '/auth/login');
const isAtConsent = ({ page }: Browser): boolean => page.forms.some(({ action }) => action.endsWith('/consent'));
const signIn = (browser: Browser) => browser.submit('password', { login: 'pat', password });

async function siteWithPatient(...given: Parameters<typeof siteOn>) {
  const site = await siteOn(...given);
  await site.person({ login: 'pat', roles: ['patient'], fhirUser: 'Patient/pat' });
  const app = async (isFirstParty = false) => {
    const registration = { name: 'App', redirectUris: [callback], scopes: everything, isFirstParty };
    return (await site.server.clients.add({ ...registration, authentication: 'none' })).client;
  };
  const browser = site.browser();
  const client = await app();
  await ask(browser, client);
  await signIn(browser);
  return { site, browser, client, app };
}

/** Seconds since the epoch, of the id_token that comes of the consent. */
async function authTime({ server }: Site, browser: Browser, client: Client): Promise<number> {
  await browser.submit('decision', { decision: 'allow' });
  const { code = '' } = returned(browser.page.url);
  const form = { grant_type: 'authorization_code', code, redirect_uri: callback, code_verifier: verifier };
  const { json } = await call(server, 'POST', '/auth/token', { form: { ...form, client_id: client.id } });
  return Number(decodeJwt(json.id_token).auth_time);
}

await onBothStores(t, async (t, adapter) => {
  await t.test('max_age: a login that is older is done again, and auth_time tells when', async (t) => {
    const { site, browser, client } = await siteWithPatient(t, adapter);
    site.clock.pass(5 * minute);
    await ask(browser, client);
    t.ok(isAtConsent(browser), 'whoever is signed in is not asked again');
    await ask(browser, client, { max_age: '300' });
    t.ok(isAtConsent(browser), 'five minutes are not more than five');
    site.clock.pass(1);
    await ask(browser, client, { max_age: '300' });
    t.ok(isAtLogin(browser));
    site.clock.pass(minute);
    await signIn(browser);
    t.ok(isAtConsent(browser));
    t.equal(await authTime(site, browser, client), Math.floor(site.clock.now() / 1000));
    await ask(browser, client, { max_age: '0' });
    site.clock.pass(1);
    await ask(browser, client, { max_age: '0' });
    t.ok(isAtLogin(browser), 'at all costs');
  });

  await t.test('prompt=login and prompt=select_account: the person signs in, whoever was', async (t) => {
    const { site, browser, client } = await siteWithPatient(t, adapter);
    for (const prompt of ['login', 'select_account', 'consent login']) {
      site.clock.pass(1);
      await ask(browser, client, { prompt });
      t.ok(isAtLogin(browser), prompt);
      const { url } = browser.page;
      await browser.open(browser.form('next').fields.find(([name]) => name === 'next')?.[1] ?? '');
      t.ok(isAtLogin(browser), `${url}: the way around leads back`);
      await signIn(browser);
      t.ok(isAtConsent(browser));
    }
  });

  await t.test('prompt=consent: the person is asked even by an app of ours', async (t) => {
    const { browser, app } = await siteWithPatient(t, adapter);
    const client = await app(true);
    await ask(browser, client);
    t.ok(browser.page.url.startsWith(callback), 'which is else not asked');
    await ask(browser, client, { prompt: 'consent' });
    t.ok(isAtConsent(browser));
    await browser.submit('decision', { decision: 'allow' });
    t.type(returned(browser.page.url).code, 'string');
  });

  await t.test('login_hint: the name stands there, as text', async (t) => {
    const { site, client } = await siteWithPatient(t, adapter);
    for (const hint of ['pat', '"><script>alert(1)</script>', 'p@t & co.']) {
      const browser = site.browser();
      await ask(browser, client, { login_hint: hint });
      t.equal(browser.form('password').fields.find(([name]) => name === 'login')?.[1], hint);
      t.notMatch(browser.page.html, '<script>alert');
      await signIn(browser);
      t.ok(isAtConsent(browser), 'whoever it is');
    }
  });

  await t.test('what the pages did not ask again for is not granted', async (t) => {
    const { site, client } = await siteWithPatient(t, adapter);
    const url = authorizeUrl(authorizeParameters(client, scope, { prompt: 'login' }));
    const id = (await call(site.server, 'GET', url)).headers.Location?.split('/').at(-1) ?? '';
    const interaction = await site.server.interactions.get(id);
    if (interaction === undefined) return t.fail('no interaction');
    const user = await site.accounts.users.byLogin('pat');
    const decision = { user: user?.id ?? '', scopes: ['openid'], session: '', amr: ['pwd'] };
    const authTime = site.clock.now() - 1;
    const back = returned(await site.server.interactions.finish(interaction, { ...decision, authTime }));
    t.match(back, { error: 'access_denied', error_description: /older/ });
  });

  await t.test('what is no number of seconds, and no prompt, is refused', async (t) => {
    const { site, client } = await siteWithPatient(t, adapter);
    const cases: [change: Record<string, string>, error: string][] = [
      [{ max_age: '-1' }, 'invalid_request'],
      [{ max_age: '1.5' }, 'invalid_request'],
      [{ max_age: '9'.repeat(20) }, 'invalid_request'],
      [{ prompt: 'none' }, 'interaction_required'],
      [{ prompt: 'none login' }, 'invalid_request'],
      [{ prompt: 'dance' }, 'invalid_request'],
      [{ login_hint: 'x'.repeat(3_000) }, 'invalid_request'],
    ];
    for (const [change, error] of cases) {
      const { headers } = await call(site.server, 'GET', authorizeUrl(authorizeParameters(client, scope, change)));
      t.equal(returned(headers.Location).error, error, JSON.stringify(change).slice(0, 60));
    }
    const { json } = await call(site.server, 'GET', `${issuer}/.well-known/openid-configuration`);
    t.match(json.prompt_values_supported, ['none', 'login', 'consent']);
  });
});

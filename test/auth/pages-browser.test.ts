// The pages in a real browser: passkeys by the page's script under the policy that the server sends, and all else without
// script.
import { type BrowserContext, chromium, type Page } from 'playwright-core';
import t from 'tap';
import { createApp } from '../../src/app.ts';
import { readConfig } from '../../src/config.ts';
import { executablePath } from '../support/chromium.ts';
import { freePort } from '../support/server-process.ts';
import { onBothStores, type Test } from '../support/stores.ts';
import { codeAt, password } from './browser.ts';

t.setTimeout(240_000);

/** A device that confirms with a finger, whoever asks. */
async function addAuthenticator(context: BrowserContext, page: Page): Promise<void> {
  const session = await context.newCDPSession(page);
  await session.send('WebAuthn.enable');
  await session.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
}

async function setUp(page: Page, link: string): Promise<void> {
  await page.goto(link);
  await page.fill('#name', 'Root');
  await page.fill('#login', 'root');
  await page.fill('#password', password);
  await page.fill('#again', password);
  await page.click('text=Continue to the second factor');
}

if (executablePath === undefined) {
  await t.test('pages in a browser', { skip: 'no Chromium or Chrome is on the PATH' }, async () => {});
} else {
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
  await onBothStores(t, async (t, adapter) => {
    for (const javaScriptEnabled of [true, false]) {
      const title = javaScriptEnabled ? 'a passkey is set up, and signs in' : 'without script, an app’s code does';
      await t.test(title, async (t) => {
        const { store, close } = await adapter.open();
        const port = await freePort();
        // Passkeys belong to a name, not to an address.
        const root = `http://localhost:${port}`;
        const config = readConfig({
          CARELOOM_LOG_LEVEL: 'silent',
          CARELOOM_SECRET: 'of the tests alone, and of nothing else',
          CARELOOM_PORT: String(port),
          CARELOOM_BASE_URL: `${root}/fhir`,
        });
        const app = await createApp(config, { store });
        const control = await app.accessControl();
        await app.listen();
        const context = await browser.newContext({ javaScriptEnabled });
        t.teardown(async () => {
          await context.close();
          await app.close();
          await close();
        });
        const page = await context.newPage();
        page.setDefaultTimeout(20_000);
        const problems: string[] = [];
        page.on('console', (message) => {
          if (/Content Security Policy/i.test(message.text())) problems.push(message.text());
        });
        page.on('pageerror', (error) => problems.push(String(error)));
        const link = `${root}${await control?.accounts.firstAdmin.link()}`;

        if (javaScriptEnabled) {
          await addAuthenticator(context, page);
          await setUp(page, link);
          await page.click('text=Set up a passkey on this device');
        } else {
          await setUp(page, link);
          t.notOk(await page.isVisible('text=Set up a passkey on this device'), 'passkeys need the script');
          const key = (await page.textContent('main code'))?.replace(/ /g, '') ?? '';
          t.ok(await page.isVisible('svg.qr'));
          await page.fill('#code', codeAt(key, Date.now()));
          await page.click('button:has-text("Continue")');
        }
        await shows(t, page, 'Your recovery codes');
        const recovery = (await page.textContent('ol.codes code')) ?? '';
        await page.click('text=I have them: continue');
        await shows(t, page, 'Administration');
        await page.goto(`${root}/auth/logout`);
        await page.click('button:has-text("Sign out")');

        await page.goto(`${root}/auth/login`);
        if (javaScriptEnabled) {
          await page.click('text=Sign in with a passkey');
        } else {
          t.notOk(await page.isVisible('text=Sign in with a passkey'));
          await page.fill('#login', 'root');
          await page.fill('#password', password);
          await page.click('button:has-text("Sign in")');
          await page.fill('#code', recovery);
          await page.click('button:has-text("Continue")');
        }
        await page.locator('h1', { hasText: 'My account' }).waitFor();
        const color = await page.evaluate('getComputedStyle(document.querySelector("main")).backgroundColor');
        t.equal(color, 'rgb(255, 255, 255)', 'the style sheet is in use');
        const [cookie] = (await context.cookies()).filter(({ name }) => name === 'careloom_session');
        t.match(cookie, { httpOnly: true, sameSite: 'Lax' });
        t.strictSame(problems, [], 'nothing that the policy forbids');
      });
    }
  });
  await browser.close();
}

/** A page with this heading comes, sooner or later: what a script does takes its time. */
async function shows(t: Test, page: Page, heading: string | RegExp): Promise<void> {
  await page.locator('h1', { hasText: heading }).waitFor();
  t.pass(String(heading));
}

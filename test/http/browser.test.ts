// A real browser, a real app of somebody else's and our own pages between them: what a person sees of SMART App Launch.
// https://hl7.org/fhir/smart-app-launch/app-launch.html
import { type Browser, chromium, type Page } from 'playwright-core';
import t from 'tap';
import { type SampleApp, serveSampleApp } from '../../scripts/sample-app.ts';
import { demoClient } from '../../src/cli/demo.ts';
import { executablePath } from '../support/chromium.ts';
import { type GuardedApp, guardedApp } from '../support/guarded-app.ts';
import { onBothStores, type Test } from '../support/stores.ts';

t.setTimeout(240_000);

if (executablePath === undefined) {
  await t.test('SMART apps in a browser', { skip: 'no Chromium or Chrome is on the PATH' }, async () => {});
} else {
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
  const sample = await serveSampleApp(0);
  await onBothStores(t, async (t, adapter) => {
    const { store, close } = await adapter.open();
    const served = await guardedApp(store);
    t.teardown(async () => {
      await served.close();
      await close();
    });
    await served.control.server.clients.add({
      ...demoClient,
      redirectUris: [`${sample.url}/`],
      launchUrl: `${sample.url}/launch.html`,
    });
    await launches(t, { browser, sample, served });
  });
  await browser.close();
  sample.close();
}

interface Stage {
  browser: Browser;
  sample: SampleApp;
  served: GuardedApp;
}

async function launches(t: Test, { browser, sample, served }: Stage): Promise<void> {
  const iss = `${served.url}/fhir`;
  const begin = `${sample.url}/launch.html?${new URLSearchParams({ iss })}`;

  const stage = async (t: Test): Promise<{ page: Page; problems: string[] }> => {
    const context = await browser.newContext();
    t.teardown(() => context.close());
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    const problems: string[] = [];
    page.on('console', (message) => {
      if (/Content Security Policy|CORS/i.test(message.text())) problems.push(message.text());
    });
    page.on('pageerror', (error) => problems.push(String(error)));
    return { page, problems };
  };
  const signIn = async (page: Page, login: string): Promise<void> => {
    await page.fill('#login', login);
    await page.fill('#password', served.password);
    await page.click('button:has-text("Sign in"):not(:has-text("passkey"))');
  };
  const saysNext = async (page: Page, text: string): Promise<void> => {
    await page.locator('#said', { hasText: text }).waitFor();
  };

  await t.test(
    'standalone launch: sign in, choose a patient, allow, read, refresh, and one read that is refused',
    async (t: Test) => {
      const { page, problems } = await stage(t);
      await page.goto(begin);
      await signIn(page, 'doctor');
      await shows(t, page, 'Choose a patient');
      t.match(await page.textContent('body'), /Anna Smith, born 1971-09-03[\s\S]*|Ben Jones/);
      await page.fill('#text', 'smi');
      await page.click('button:has-text("Search")');
      t.notMatch(await page.textContent('body'), 'Ben Jones');
      await page.click('button:has-text("Anna Smith")');
      await shows(t, page, 'Allow Sample app?');
      await page.click('button:has-text("Allow"):not(:has-text("not"))');
      await saysNext(page, 'connected');
      t.equal(await page.textContent('#name'), 'Anna Smith');
      t.match(await page.textContent('#facts'), 'Practitioner/practitioner-1');
      t.match(await page.textContent('#observations'), /Heart rate72 \/min/);
      t.notMatch(page.url(), 'code=', 'the code is gone from the address');
      await page.click('#refresh');
      await saysNext(page, 'renewed');
      await page.click('#other');
      await saysNext(page, 'refused: 404');
      await page.reload();
      await saysNext(page, 'connected');
      t.strictSame(problems, [], 'neither policy nor origin stood in the way');
    },
  );

  await t.test(
    'EHR launch: the patient is given, and who is signed in already is asked for consent alone',
    async (t: Test) => {
      const { page, problems } = await stage(t);
      await page.goto(`${served.url}/auth/login`);
      await signIn(page, 'doctor');
      await page.waitForURL('**/auth/account');
      const launched = await served.control.server.launches.create({
        client: demoClient.id,
        user: served.people.doctor,
        patient: 'patient-002',
      });
      await page.goto(`${begin}&launch=${launched.launch}`);
      await shows(t, page, 'Allow Sample app?');
      t.match(await page.textContent('body'), 'Ben Jones');
      await page.click('button:has-text("Allow"):not(:has-text("not"))');
      await saysNext(page, 'connected');
      t.equal(await page.textContent('#name'), 'Ben Jones');
      await page.goto(`${begin}&launch=${launched.launch}`);
      await saysNext(page, 'Not allowed: invalid_request');
      t.strictSame(problems, []);
    },
  );

  await t.test(
    'a patient connects an app to their own record, sees it among their apps, and ends it',
    async (t: Test) => {
      const { page } = await stage(t);
      await page.goto(begin);
      await signIn(page, 'anna');
      await shows(t, page, 'Allow Sample app?');
      await page.click('button:has-text("Allow"):not(:has-text("not"))');
      await saysNext(page, 'connected');
      t.equal(await page.textContent('#name'), 'Anna Smith');
      const account = await page.context().newPage();
      await account.goto(`${served.url}/auth/account`);
      t.match(await account.textContent('body'), 'Sample app');
      await account.click('li:has-text("Sample app") button');
      await account.waitForLoadState();
      await page.click('#other');
      await saysNext(page, 'refused: 401');
    },
  );

  await t.test('saying no leads back to the app, with nothing', async (t: Test) => {
    const { page } = await stage(t);
    await page.goto(begin);
    await signIn(page, 'anna');
    await page.click('button:has-text("Do not allow")');
    await saysNext(page, 'Not allowed: access_denied');
  });

  await t.test('threat 29: our pages show in no frame, and an app cannot use their cookies', async (t: Test) => {
    const { page } = await stage(t);
    await page.goto(`${served.url}/auth/login`);
    await signIn(page, 'anna');
    await page.goto(`${sample.url}/`);
    const url = JSON.stringify(`${served.url}/auth/account`);
    // As text: it is for the page, and has the page's names.
    await page.evaluate(`new Promise((resolve) => {
      const frame = document.createElement('iframe');
      frame.addEventListener('load', resolve);
      frame.src = ${url};
      document.body.append(frame);
    })`);
    t.match(page.frames()[1]?.url(), 'chrome-error:');
    const fetched = `fetch(${url}, { credentials: 'include' }).then(() => 'read', () => 'blocked')`;
    t.equal(await page.evaluate(fetched), 'blocked');
  });
}

/** A page with this heading comes, sooner or later: what a script does takes its time. */
async function shows(t: Test, page: Page, heading: string | RegExp): Promise<void> {
  await page.locator('h1', { hasText: heading }).waitFor();
  t.pass(String(heading));
}

// People, passwords, second factors, attempts and sessions, without their pages.
import t from 'tap';
import { hashOf } from '../../src/auth/secret-value.ts';
import { createAccounts } from '../../src/auth/users/accounts.ts';
import { createPasswords, problemWithPassword } from '../../src/auth/users/password.ts';
import { qrModules, qrSvg } from '../../src/auth/users/qr.ts';
import { newTotpSecret, totpStep, totpUri } from '../../src/auth/users/totp.ts';
import { limits } from '../../src/base/limits.ts';
import { onBothStores } from '../support/stores.ts';
import { Authenticator } from './authenticator.ts';
import { codeAt, password, secret, siteOn } from './browser.ts';
import { issuer } from './support.ts';

t.setTimeout(240_000);

const minute = 60_000;

t.test('passwords', async (t) => {
  const passwords = createPasswords();

  t.test('are kept as argon2id of 19 MiB and two passes at least, with a salt of their own', async (t) => {
    const [one, other] = [await passwords.hash(password), await passwords.hash(password)];
    t.match(one, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
    t.not(one, other);
    t.ok(await passwords.verify(password, one));
    t.notOk(await passwords.verify(`${password}!`, one));
    t.notOk(await passwords.verify('', one));
  });

  t.test('are the same however a keyboard composes them', async (t) => {
    const hash = await passwords.hash('sieben Häher über dem See');
    t.ok(await passwords.verify('sieben Häher über dem See'.normalize('NFD'), hash));
  });

  t.test('threat 31: no password, an unknown person and a long text take the work of a wrong one', async (t) => {
    const hash = await passwords.hash(password);
    const works: Record<string, () => Promise<boolean>> = {
      wrong: () => passwords.verify('wrong', hash),
      unknown: () => passwords.verify('wrong', undefined),
      long: () => passwords.verify('x'.repeat(100_000), hash),
    };
    // In turn, and the least of each: other work of the machine comes in waves, and only adds.
    const least: Record<string, number> = {};
    for (let round = 0; round < 8; round++) {
      for (const [what, work] of Object.entries(works)) {
        const before = performance.now();
        t.notOk(await work());
        least[what] = Math.min(least[what] ?? Number.POSITIVE_INFINITY, performance.now() - before);
      }
    }
    const { wrong = 0, ...others } = least;
    for (const [what, ms] of Object.entries(others)) {
      t.ok(ms > wrong / 3 && ms < wrong * 3, `${what}: ${ms.toFixed(1)} ms, wrong: ${wrong.toFixed(1)} ms`);
    }
    t.notOk(await passwords.verify('', undefined), 'the stand-in is nobody’s hash');
  });

  t.test('two are hashed at once, some wait, and more are refused at once', async (t) => {
    const busy = createPasswords();
    const asked = Array.from({ length: 70 }, () =>
      busy.verify('x', undefined).then(
        () => 'done',
        (e) => e.kind,
      ),
    );
    const answers = await Promise.all(asked);
    t.equal(answers.filter((answer) => answer === 'done').length, 62);
    t.equal(answers.filter((answer) => answer === 'unavailable').length, 8);
    t.notOk(await busy.verify('x', undefined), 'and afterwards all is well');
  });

  t.test('have 12 characters or more, and are none of the commonest; nothing else is asked of them', async (t) => {
    const login = 'm.mustermann';
    for (const bad of [
      'short',
      'elevenchars',
      '🦩🦩🦩🦩🦩🦩🦩🦩🦩🦩🦩',
      'password1234',
      'P@ssw0rd2026!',
      'PasswordPassword',
      '123456789012',
      'aaaaaaaaaaaa',
      'abcabcabcabcabc',
      'qwertyuiop12',
      'Welcome2026!!',
      'Summer2026!!!',
      'iloveyou2026',
      'careloomcareloom',
      'Mustermann2026',
      'letmeinplease1',
      'correcthorsebatterystaple',
      'abcdefghijklm',
      'x'.repeat(129),
    ]) {
      t.type(problemWithPassword(bad, { login }), 'string', bad);
    }
    for (const good of [
      password,
      'tr0ub4dor&3xyz',
      'all lower case letters',
      'eine Tüte Mücken',
      'kqzvbdnwtrpl',
      `${'🦩'.repeat(6)}abcdefg`,
    ]) {
      t.equal(problemWithPassword(good, { login }), undefined, good);
    }
  });
});

t.test('codes of an app', async (t) => {
  const base32 = newTotpSecret();
  const now = Date.parse('2026-03-01T12:00:10Z');

  t.test('have a secret of 160 bits and an address that apps know', async (t) => {
    t.match(base32, /^[A-Z2-7]{32}$/);
    const uri = new URL(totpUri({ secret: base32, login: 'jo doe', issuer: 'careloom' }));
    t.equal(uri.protocol, 'otpauth:');
    t.equal(uri.searchParams.get('secret'), base32);
  });

  t.test('are good for their step, one before and one after', async (t) => {
    const step = Math.floor(now / 30_000);
    for (const [off, expected] of [
      [0, step],
      [-30_000, step - 1],
      [30_000, step + 1],
      [-60_000, undefined],
      [60_000, undefined],
    ] as const) {
      t.equal(totpStep({ secret: base32, code: codeAt(base32, now + off), now }), expected, `${off}`);
    }
    const code = codeAt(base32, now);
    t.equal(totpStep({ secret: base32, code: `${code.slice(0, 3)} ${code.slice(3)}`, now }), step, 'with a space');
    for (const bad of ['', '12345', '1234567', 'abcdef', '１２３４５６'])
      t.equal(totpStep({ secret: base32, code: bad, now }), undefined);
  });

  t.test('are scanned from a QR code, of any length up to 858 bytes', async (t) => {
    t.equal(qrModules(Buffer.from('x'))?.length, 21, 'version 1');
    t.equal(qrModules(Buffer.alloc(858))?.length, 97, 'version 20');
    t.equal(qrModules(Buffer.alloc(859)), undefined);
    t.match(qrSvg('otpauth://totp/x').text, /^<svg class="qr".*<\/svg>$/);
    t.equal(qrSvg('x'.repeat(859)).text, '');
    // Read back by another program once (jsQR, 24 lengths); this is what it read.
    const dark = qrModules(Buffer.from('careloom'))?.map((row) => row.map((each) => (each ? '#' : '.')).join(''));
    t.equal(dark?.[0]?.slice(0, 8), '#######.');
    t.equal(dark?.[6], '#######.#.#.#.#######');
  });
});

await onBothStores(t, async (t, adapter) => {
  const site = await siteOn(t, adapter);
  const { accounts, clock, store } = site;
  const { users, sessions, lockout, secondFactors, firstAdmin } = accounts;

  t.test('the first administrator', async (t) => {
    const path = await firstAdmin.link();
    t.match(path, /^\/auth\/setup\/[A-Za-z0-9_-]{43}$/);
    const token = path?.slice('/auth/setup/'.length) ?? '';
    t.ok(await firstAdmin.isOpen(token));
    t.notOk(await firstAdmin.isOpen('x'.repeat(43)));
    const other = (await firstAdmin.link())?.slice('/auth/setup/'.length) ?? '';
    await t.rejects(
      firstAdmin.add(token, { login: '', name: 'x' }),
      { kind: 'invalid', message: /^login/ },
      'a slip may be mended',
    );
    const race = await Promise.allSettled(
      [token, other, token].map((each, i) => firstAdmin.add(each, { login: `root${i}`, name: 'Root' })),
    );
    t.equal(race.filter(({ status }) => status === 'fulfilled').length, 1, 'threat 28: one of several links wins');
    const all = [];
    for await (const user of users.list()) all.push(user);
    t.equal(all.length, 1);
    t.strictSame(all[0]?.roles, ['administrator']);
    t.equal(await firstAdmin.link(), undefined, 'there is no link when there is somebody');
    t.notOk(await firstAdmin.isOpen(other));
  });

  t.test('the link to set up is good for a day', async (t) => {
    const empty = await siteOn(t, adapter);
    const token = (await empty.accounts.firstAdmin.link())?.slice('/auth/setup/'.length) ?? '';
    empty.clock.pass(24 * 60 * minute - 1);
    t.ok(await empty.accounts.firstAdmin.isOpen(token));
    empty.clock.pass(1);
    t.notOk(await empty.accounts.firstAdmin.isOpen(token));
  });

  t.test('people', async (t) => {
    const jo = await site.person({ login: 'Jörg.Müller', name: 'Jörg', fhirUser: 'Practitioner/jo', clearance: ['R'] });
    t.match(await users.get(jo.id), {
      id: jo.id,
      fhirUser: 'Practitioner/jo',
      roles: ['clinician'],
      clearance: ['R'],
      isEnabled: true,
    });
    t.equal(
      (await users.byLogin(' jorg.muller '))?.id,
      jo.id,
      'are found by login name without case, accents and spaces',
    );
    t.equal(await users.byLogin('nobody'), undefined);
    await t.rejects(site.person({ login: 'JÖRG.MÜLLER' }), { kind: 'conflict', message: /already/ });
    await t.rejects(site.person({ login: 'other', id: jo.id }), { kind: 'conflict', message: /already/ });
    for (const [member, bad] of [
      ['login', 'a\u202eb'],
      ['login', ''],
      ['login', 'x'.repeat(65)],
      ['name', '\n'],
      ['fhirUser', 'Group/1'],
      ['fhirUser', 'Patient/1/x'],
      ['roles', ['Clinician']],
      ['clearance', ['<']],
      ['id', '../x'],
    ] as const) {
      await t.rejects(
        site.person({ login: 'new', [member]: bad }),
        { kind: 'invalid', message: new RegExp(`^${member}`) },
        `${member} ${bad}`,
      );
    }
    const racers = await Promise.allSettled(Array.from({ length: 8 }, () => site.person({ login: 'racer' })));
    t.equal(racers.filter(({ status }) => status === 'fulfilled').length, 1, 'one of eight gets the login name');
    const claim = {
      kind: 'user-login',
      id: hashOf('claimed'),
      value: JSON.stringify({ user: 'x', claimed: clock.now() }),
    };
    await store.records.put(claim, 0);
    await t.rejects(site.person({ login: 'claimed' }), { kind: 'conflict', message: /already/ }, 'about to be added');
    clock.pass(minute);
    t.equal((await site.person({ login: 'claimed' })).login, 'claimed', 'unless the process that claimed it died');
    await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        users.change(jo.id, (user) => ({ ...user, clearance: [...user.clearance, `C${i}`] })),
      ),
    );
    t.equal((await users.get(jo.id))?.clearance.length, 9, 'changes at once are all kept');
    t.equal(await users.change('nobody', (user) => user), undefined);
  });

  t.test('a code of the app is taken once, and none that is older', async (t) => {
    const user = await site.person({ login: 'totp' });
    const code = await site.withTotp(user);
    const base32 = secondFactors.openTotpSecret(user.id, (await users.get(user.id))?.totp?.secret ?? '') ?? '';
    const before = codeAt(base32, clock.now() - 30_000);
    const taken = await Promise.all(Array.from({ length: 6 }, () => secondFactors.takeTotp(user, code())));
    t.equal(taken.filter(Boolean).length, 1, 'threat 28: one of six at once');
    t.notOk(await secondFactors.takeTotp(user, before), 'the one before it');
    clock.pass(30_000);
    t.ok(await secondFactors.takeTotp(user, code()));
    const kept = JSON.stringify(await store.records.get('user', user.id));
    t.notOk(kept.includes(base32), 'the secret is encrypted');
    const other = await site.person({ login: 'totp2' });
    t.equal(
      secondFactors.openTotpSecret(other.id, (await users.get(user.id))?.totp?.secret ?? ''),
      undefined,
      'for one person',
    );
    const wrong = createAccounts({ records: store.records, clock, issuer, secret: 'x'.repeat(40) });
    t.notOk(await wrong.secondFactors.takeTotp(user, code()), 'another secret of the installation opens nothing');
  });

  t.test('recovery codes are ten, kept as hashes, and each is taken once', async (t) => {
    const user = await site.person({ login: 'recovery' });
    const codes = await secondFactors.renewRecoveryCodes(user.id);
    t.equal(new Set(codes).size, 10);
    const kept = JSON.stringify(await store.records.get('user', user.id));
    for (const code of codes) t.notOk(kept.includes(code) || kept.includes(code.replace(/-/g, '')));
    const [first = '', second = ''] = codes;
    const taken = await Promise.all(
      Array.from({ length: 6 }, () => secondFactors.takeRecoveryCode(user, first.toUpperCase())),
    );
    t.equal(taken.filter(Boolean).length, 1, 'one of six at once');
    t.notOk(await secondFactors.takeRecoveryCode(user, first));
    const other = await site.person({ login: 'recovery2' });
    t.notOk(await secondFactors.takeRecoveryCode(other, second), 'nobody else’s');
    await secondFactors.renewRecoveryCodes(user.id);
    t.notOk(await secondFactors.takeRecoveryCode(user, second), 'new ones take the place of what was left');
  });

  t.test('threat 31: attempts', async (t) => {
    const fail = (account: string, address = '192.0.2.1', device?: string) =>
      lockout.begin({ account, address, ...(device === undefined ? {} : { device }) });
    const waits = async (...of: Parameters<typeof fail>): Promise<number> => {
      const attempt = await fail(...of);
      return 'waitMs' in attempt ? attempt.waitMs : 0;
    };

    t.test('five for one account, then one after 1, 2, 4, 8 and never more than 15 minutes', async (t) => {
      for (let i = 1; i <= limits.loginFailuresMax; i++) {
        const attempt = await fail('a', `192.0.2.${i}`);
        t.match(attempt, { isLast: i === limits.loginFailuresMax }, `attempt ${i}`);
      }
      for (const minutes of [1, 2, 4, 8, 15, 15, 15]) {
        t.equal(await waits('a', '192.0.2.9'), minutes * minute);
        clock.pass(minutes * minute);
        t.equal(await waits('a', '192.0.2.9'), 0, `after ${minutes} minutes`);
      }
    });

    t.test('other accounts, and a browser that the person has used before, go on', async (t) => {
      for (let i = 0; i < limits.loginFailuresMax; i++) await fail('b');
      t.ok((await waits('b')) > 0);
      t.equal(await waits('b2'), 0);
      t.equal(await waits('b', '192.0.2.1', 'own browser'), 0);
    });

    t.test('what was right does not count', async (t) => {
      for (let i = 0; i < 50; i++) {
        const attempt = await fail('c', '192.0.2.77');
        if ('waitMs' in attempt) return t.fail(`refused at ${i}`);
        await attempt.succeeded();
      }
    });

    t.test('all is forgotten after 15 quiet minutes', async (t) => {
      for (let i = 0; i < limits.loginFailuresMax - 1; i++) await fail('d', '192.0.2.78');
      clock.pass(15 * minute);
      t.match(await fail('d', '192.0.2.78'), { isLast: false });
    });

    t.test('thirty from one network, over all accounts, and at once', async (t) => {
      const tries = await Promise.all(
        Array.from({ length: 40 }, (_, i) =>
          waits(`e${i}`, i % 2 === 0 ? '2001:db8:1:2::1' : '2001:db8:1:2:ffff::9').catch(() => -1),
        ),
      );
      const allowed = tries.filter((ms) => ms === 0).length;
      t.ok(allowed <= limits.loginFailuresPerAddressMax, `${allowed} allowed`);
      while ((await waits(`e${Math.random()}`, '2001:db8:1:2::3')) === 0);
      t.equal(await waits('e-other', '2001:db8:1:3::1'), 0, 'another network goes on');
      clock.pass(15 * minute);
      t.equal(await waits('e-again', '2001:db8:1:2::1'), 0);
    });

    t.test('two processes agree', async (t) => {
      const other = createAccounts({ records: store.records, clock, issuer, secret });
      const tries = await Promise.all(
        Array.from({ length: 10 }, (_, i) =>
          (i % 2 === 0 ? lockout : other.lockout).begin({ account: 'f', address: `192.0.2.${i}` }),
        ),
      );
      t.equal(tries.filter((each) => !('waitMs' in each)).length, limits.loginFailuresMax);
    });
  });

  t.test('sessions', async (t) => {
    const staff = await site.person({ login: 'staff' });
    const patient = await site.person({ login: 'pat', roles: ['patient'], fhirUser: 'Patient/pat' });
    const start = async (user: typeof staff) => (await sessions.start(user, { amr: ['pwd'], agent: 'x' })).token;

    t.test('are kept as hashes', async (t) => {
      const { token, session } = await sessions.start(staff, { amr: ['pwd'], agent: 'x'.repeat(5_000) });
      t.match(token, /^[A-Za-z0-9_-]{43}$/);
      t.notOk(JSON.stringify(await store.records.get('session', session.id)).includes(token));
      t.equal(session.agent.length, 200);
      t.equal(await sessions.find('x'.repeat(43)), undefined);
      t.equal(await sessions.find(undefined), undefined);
      t.equal(await sessions.find(session.id), undefined, 'their name opens nothing');
    });

    t.test('end after 15 idle minutes for staff, 30 for patients', async (t) => {
      for (const [user, minutes] of [
        [staff, 15],
        [patient, 30],
      ] as const) {
        const token = await start(user);
        for (let i = 0; i < 4; i++) {
          clock.pass(minutes * minute - 1);
          t.equal((await sessions.find(token))?.user.id, user.id, 'used in time');
        }
        clock.pass(minutes * minute);
        t.equal(await sessions.find(token), undefined, `${minutes} minutes idle`);
      }
    });

    t.test('end after twelve hours, however they are used', async (t) => {
      const token = await start(staff);
      for (let passed = 10; passed < 12 * 60; passed += 10) {
        clock.pass(10 * minute);
        t.ok(await sessions.find(token), `${passed}`);
      }
      clock.pass(10 * minute);
      t.equal(await sessions.find(token), undefined);
    });

    t.test('end with the account, by hand, and all but one', async (t) => {
      const tokens = [await start(patient), await start(patient), await start(patient)];
      const list = await sessions.listOf(patient.id);
      t.equal(list.length, 3);
      t.ok(await sessions.isLive(list[0]?.id ?? ''));
      t.ok(await sessions.end(list[0]?.id ?? ''));
      t.notOk(await sessions.end(list[0]?.id ?? ''));
      t.notOk(await sessions.isLive(list[0]?.id ?? ''));
      const kept = (await sessions.listOf(patient.id))[0]?.id;
      t.equal(await sessions.endAllOf(patient.id, kept), 1);
      t.equal((await sessions.listOf(patient.id)).length, 1);
      const still = [];
      for (const token of tokens) if ((await sessions.find(token)) !== undefined) still.push(token);
      t.equal(still.length, 1);
      await users.change(patient.id, (user) => ({ ...user, isEnabled: false }));
      t.equal(await sessions.find(still[0]), undefined, 'a disabled person has no session');
    });
  });

  t.test('passkeys', async (t) => {
    const user = await site.person({ login: 'key' });
    const { passkeys } = accounts;
    const device = new Authenticator({ origin: issuer });
    // biome-ignore lint/suspicious/noExplicitAny: WebAuthn's JSON
    const asked = async (binding: string): Promise<any> => passkeys.creationOptions(user, binding);
    // biome-ignore lint/suspicious/noExplicitAny: WebAuthn's JSON
    const wanted = async (binding: string): Promise<any> => passkeys.requestOptions(undefined, binding);

    t.test('are added when device, origin and challenge fit', async (t) => {
      t.notOk(await passkeys.add(user, 'a', 'no json', ''), 'no JSON');
      for (const bad of [
        'null',
        '[]',
        '{}',
        '{"id":1}',
        '{"id":"x","rawId":"x","type":"public-key","response":{"clientDataJSON":"e30","attestationObject":"AA"}}',
      ]) {
        t.notOk(await passkeys.add(user, 'a', bad, ''), bad);
      }
      t.notOk(await passkeys.add(user, 'b', device.create(await asked('a')), ''), 'another browser');
      t.notOk(
        await passkeys.add(
          user,
          'a',
          new Authenticator({ origin: 'https://evil.example' }).create(await asked('a')),
          '',
        ),
        'another origin',
      );
      t.notOk(
        await passkeys.add(
          user,
          'a',
          new Authenticator({ origin: issuer, isVerified: false }).create(await asked('a')),
          '',
        ),
        'without finger or PIN',
      );
      t.notOk(await passkeys.add(user, 'a', device.create(await asked('a'), 'packed'), ''), 'with certificates');
      t.notOk(
        await passkeys.add(user, 'a', device.create(await wanted('a').then((o) => ({ ...o, rp: { id: o.rpId } }))), ''),
        'a challenge for a login',
      );
      const old = device.create(await asked('a'));
      clock.pass(5 * minute);
      t.notOk(await passkeys.add(user, 'a', old, ''), 'an old challenge');
      const made = device.create(await asked('a'));
      t.ok(await passkeys.add(user, 'a', made, 'Laptop'));
      t.notOk(await passkeys.add(user, 'a', made, ''), 'not twice');
      t.match((await users.get(user.id))?.passkeys, [{ name: 'Laptop', counter: 0, isSynced: false }]);
      const other = await site.person({ login: 'key2' });
      // biome-ignore lint/suspicious/noExplicitAny: WebAuthn's JSON
      const again = device.create((await passkeys.creationOptions(other, 'a')) as any);
      t.notOk(await passkeys.add(other, 'a', again, ''), 'a credential is one person’s');
    });

    t.test('prove their owner, once for each challenge, with a counter that grows', async (t) => {
      const answer = device.get(await wanted('a'));
      t.match(await passkeys.take(undefined, 'a', answer), { user: { id: user.id }, amr: ['hwk', 'user', 'mfa'] });
      t.equal(await passkeys.take(undefined, 'a', answer), undefined, 'replayed');
      t.equal(await passkeys.take(undefined, 'b', device.get(await wanted('a'))), undefined, 'in another browser');
      const stranger = await site.person({ login: 'key3' });
      t.equal(await passkeys.take(stranger, 'a', device.get(await wanted('a'))), undefined, 'for somebody else');
      const race = device.get(await wanted('a'));
      const taken = await Promise.all(Array.from({ length: 5 }, () => passkeys.take(undefined, 'a', race)));
      t.equal(taken.filter((each) => each !== undefined).length, 1, 'threat 28: one of five at once');
      device.counter = 0;
      t.equal(
        await passkeys.take(undefined, 'a', device.get(await wanted('a'))),
        undefined,
        'a copy that counts from the start',
      );
      device.counter = 100;
      const forged = JSON.parse(device.get(await wanted('a')));
      forged.response.signature = `${forged.response.signature.slice(0, -4)}AAAA`;
      t.equal(await passkeys.take(undefined, 'a', JSON.stringify(forged)), undefined, 'a forged signature');
    });

    t.test('do not without finger or PIN', async (t) => {
      device.counter = 200;
      device.isVerified = false;
      t.equal(await passkeys.take(undefined, 'a', device.get(await wanted('a'))), undefined);
      device.isVerified = true;
      t.ok(await passkeys.take(undefined, 'a', device.get(await wanted('a'))));
    });

    t.test(
      'that are synchronised do not count, and prove their owner once for each challenge all the same',
      async (t) => {
        const synced = new Authenticator({ origin: issuer, isSynced: true });
        t.ok(await passkeys.add(user, 'a', synced.create(await asked('a')), ''));
        for (let i = 0; i < 2; i++) {
          synced.counter = -1;
          const answer = synced.get(await wanted('a'));
          t.match(await passkeys.take(undefined, 'a', answer), { amr: ['swk', 'user', 'mfa'] });
          t.equal(await passkeys.take(undefined, 'a', answer), undefined, 'replayed');
        }
      },
    );
  });
});

// `careloom user`: what it says, what it does to people, and where passwords come from.
import { Readable } from 'node:stream';
import t from 'tap';
import { createPasswords } from '../../src/auth/users/password.ts';
import type { User } from '../../src/auth/users/user.ts';
import { createUsers } from '../../src/auth/users/user.ts';
import { systemClock } from '../../src/base/clock.ts';
import { openSqliteStore } from '../../src/store/sqlite/open.ts';
import { type Bench, bench, type Ran } from './support.ts';

const password = 'seven herons cross the lake';

const withInput = ({ runWith }: Bench, text: string, ...argv: string[]): Promise<Ran> =>
  runWith({ io: { input: Readable.from([Buffer.from(text)]) } }, 'user', ...argv);

async function kept({ folder }: Bench, login: string): Promise<User | undefined> {
  const store = await openSqliteStore({ path: `${folder}/careloom.db`, clock: systemClock });
  try {
    return await createUsers({ records: store.records, clock: systemClock }).byLogin(login);
  } finally {
    await store.close();
  }
}

t.test('people are added, listed, changed and shut out', async (t) => {
  const site = bench(t);
  t.match(await site.run('user', 'list'), { code: 0, out: 'nobody\n' });
  const added = await withInput(
    site,
    `${password}\nmore`,
    'add',
    'ann',
    '--name',
    'Ann Doe',
    '--role',
    'clinician',
    '--fhir-user',
    'Practitioner/1',
    '--clearance',
    'R',
  );
  t.match(added, { code: 0, out: /ann may sign in as clinician; the first login sets up a second factor/ });
  t.notMatch(`${added.out}${added.err}`, password);
  const ann = await kept(site, 'ann');
  t.match(ann, {
    name: 'Ann Doe',
    fhirUser: 'Practitioner/1',
    roles: ['clinician'],
    clearance: ['R'],
    isEnabled: true,
  });
  t.ok(await createPasswords().verify(password, ann?.password), 'the first line is the password');
  t.match(await site.run('user', 'list'), {
    out: 'ann  Ann Doe (clinician; Practitioner/1; no second factor; sees R)\n',
  });
  t.match(await site.run('user', 'roles', 'ann', 'biller', 'front-desk'), { code: 0 });
  t.strictSame((await kept(site, 'ann'))?.roles, ['biller', 'front-desk']);
  t.match(await site.run('user', 'disable', 'ANN'), { code: 0, out: /shut out/ });
  t.equal((await kept(site, 'ann'))?.isEnabled, false);
  t.match(await site.run('user', 'enable', 'ann'), { code: 0 });
  t.equal((await kept(site, 'ann'))?.isEnabled, true);
  t.match(await withInput(site, 'another heron in the reeds', 'password', 'ann'), { code: 0, out: /new password/ });
  t.ok(await createPasswords().verify('another heron in the reeds', (await kept(site, 'ann'))?.password));
  t.match(await site.run('user', 'reset-factors', 'ann'), { code: 0 });
  t.match((await kept(site, 'ann'))?.ended, { sessions: 4, grants: 3 }, 'roles end sessions alone, the others all');
});

t.test('2 for what is not accepted, in words', async (t) => {
  const site = bench(t);
  const add = (...argv: string[]) => withInput(site, password, 'add', ...argv);
  t.match(await add('ann', '--name', 'Ann', '--role', 'patient'), { code: 0, out: 'ann may sign in as patient\n' });
  for (const [ran, words] of [
    [await site.run('user'), /add, list, disable/],
    [await site.run('user', 'constructor', 'x'), /add, list, disable/],
    [await site.run('user', 'add'), /needs a login name/],
    [await site.run('user', 'list', 'x'), /nothing more/],
    [await site.run('user', 'disable', 'ann', 'bob'), /nothing more/],
    [await site.run('user', 'disable', 'bob'), /nobody with the login name/],
    [await add('bob', '--role', 'patient'), /--name/],
    [await add('bob', '--name', 'Bob'), /needs a role: clinician/],
    [await add('bob', '--name', 'Bob', '--role', 'clinican'), /did you mean 'clinician'/],
    [await add('bob', '--name', 'Bob', '--role', 'patient', '--fhir-user', 'Group/1'), /fhirUser is not accepted/],
    [await add('Ann', '--name', 'Ann', '--role', 'patient'), /already/],
    [await withInput(site, 'short', 'add', 'bob', '--name', 'Bob', '--role', 'patient'), /at least 12/],
    [await withInput(site, 'password1234', 'add', 'bob', '--name', 'Bob', '--role', 'patient'), /tried first/],
    [await withInput(site, '', 'add', 'bob', '--name', 'Bob', '--role', 'patient'), /no password came/],
  ] as const) {
    t.match(ran, { code: 2, err: words }, String(words));
  }
});

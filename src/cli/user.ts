// `careloom user`: the people who may sign in. What is done to them is on the audit record.
import type { App } from '../app.ts';
import { problemWithPassword } from '../auth/users/password.ts';
import { hasSecondFactor } from '../auth/users/second-factor.ts';
import type { Sessions } from '../auth/users/sessions.ts';
import type { User, Users } from '../auth/users/user.ts';
import { disabled, signedOut, withoutFactors, withPassword } from '../auth/users/user-changes.ts';
import { nearest } from '../base/text.ts';
import { roles } from '../fhir/access/roles.ts';
import { exitCodes, type Invocation, inWords, textsOf, UsageError, withApp } from './command.ts';
import { readPassword } from './read-password.ts';

interface People {
  users: Users;
  sessions: Sessions;
  /** Puts what is done on the audit record, before it is. */
  note(detail: string): Promise<void>;
}

type Work = (people: People, invocation: Invocation, login: string, rest: readonly string[]) => Promise<string>;

const works: Readonly<Record<string, Work>> = {
  add,
  list,
  disable: (people, _, login) => setEnabled(people, login, false),
  enable: (people, _, login) => setEnabled(people, login, true),
  password: setPassword,
  roles: setRoles,
  'reset-factors': resetFactors,
};

export async function user(invocation: Invocation): Promise<number> {
  const [name = '', login, ...rest] = invocation.operands;
  const work = Object.hasOwn(works, name) ? works[name] : undefined;
  if (work === undefined) throw new UsageError(`user needs one of ${Object.keys(works).join(', ')}`);
  if ((login === undefined) !== (name === 'list')) {
    throw new UsageError(name === 'list' ? 'user list takes nothing more' : `user ${name} needs a login name`);
  }
  if (rest.length > 0 && name !== 'roles') throw new UsageError(`user ${name} takes one login name and nothing more`);
  return withApp(invocation, async (app) => {
    const people = await peopleOf(app);
    invocation.io.out.write(await inWords(() => work(people, invocation, login ?? '', rest)));
    return exitCodes.ok;
  });
}

async function peopleOf({ store, clock }: App): Promise<People> {
  const [{ createUsers }, { createSessions }, { createRecorder }] = await Promise.all([
    import('../auth/users/user.ts'),
    import('../auth/users/sessions.ts'),
    import('../fhir/audit/recorder.ts'),
  ]);
  const { records } = store;
  const users = createUsers({ records, clock });
  const recorder = createRecorder({ audit: store.audit, clock });
  return {
    users,
    sessions: createSessions({ records, clock, users }),
    note: (detail) => recorder.record({ kind: 'user', outcome: 'success', detail: `${detail}; by the command line` }),
  };
}

async function add({ users, note }: People, invocation: Invocation, login: string): Promise<string> {
  const { name, role, clearance, ...values } = invocation.values;
  if (typeof name !== 'string') throw new UsageError('user add needs --name');
  const fhirUser = values['fhir-user'];
  const person = {
    login,
    name,
    roles: knownRoles(textsOf(role)),
    clearance: textsOf(clearance),
    ...(typeof fhirUser === 'string' ? { fhirUser } : {}),
  };
  const password = await newPassword(invocation, login);
  const added = await users.add({ ...person, password });
  await note(`user-added; about ${added.id}; ${added.roles.join(', ')}`);
  return `${added.login} may sign in as ${added.roles.join(', ')}${secondFactorNote(added)}\n`;
}

const secondFactorNote = (person: User): string =>
  person.roles.every((role) => role === 'patient') ? '' : '; the first login sets up a second factor';

function knownRoles(names: readonly string[]): string[] {
  const known = Object.keys(roles);
  if (names.length === 0) throw new UsageError(`a person needs a role: ${known.join(', ')}`);
  for (const name of names) {
    if (known.includes(name)) continue;
    const near = nearest(name, known);
    throw new UsageError(
      `no role '${name}'${near === undefined ? '' : `; did you mean '${near}'?`} (${known.join(', ')})`,
    );
  }
  return [...new Set(names)];
}

async function newPassword({ io }: Invocation, login: string): Promise<string> {
  const password = await readPassword(io, `New password for ${login}: `);
  const problem = problemWithPassword(password, { login });
  if (problem !== undefined) throw new UsageError(problem);
  const { createPasswords } = await import('../auth/users/password.ts');
  return createPasswords().hash(password);
}

async function list({ users }: People): Promise<string> {
  let lines = '';
  for await (const person of users.list()) lines += lineOf(person);
  return lines === '' ? 'nobody\n' : lines;
}

function lineOf(person: User): string {
  const marks = [
    person.roles.join(', '),
    person.fhirUser,
    person.isEnabled ? undefined : 'disabled',
    hasSecondFactor(person) ? 'second factor' : 'no second factor',
    person.clearance.length === 0 ? undefined : `sees ${person.clearance.join(', ')}`,
  ].filter((mark) => mark !== undefined);
  return `${person.login}  ${person.name} (${marks.join('; ')})\n`;
}

async function setEnabled(people: People, login: string, isEnabled: boolean): Promise<string> {
  const what = isEnabled ? 'enable' : 'disable';
  await change(people, login, what, (person) => (isEnabled ? { ...person, isEnabled } : disabled(person)));
  return isEnabled ? `${login} may sign in\n` : `${login} is shut out; sessions ended, tokens end within 5 s\n`;
}

async function setPassword(people: People, invocation: Invocation, login: string): Promise<string> {
  await named(people, login);
  const password = await newPassword(invocation, login);
  await change(people, login, 'password-changed', (person) => withPassword(person, password, { apps: true }));
  return `${login} has a new password; sessions ended, tokens end within 5 s\n`;
}

async function setRoles(people: People, _: Invocation, login: string, names: readonly string[]): Promise<string> {
  const known = knownRoles(names);
  await change(people, login, `roles ${known.join(', ')}`, (person) =>
    signedOut({ ...person, roles: known }, { apps: false }),
  );
  return `${login} is ${known.join(', ')}; sessions ended\n`;
}

async function resetFactors(people: People, _: Invocation, login: string): Promise<string> {
  await change(people, login, 'reset-factors', withoutFactors);
  return `${login} has no second factor any more; the next login sets one up where the role needs it\n`;
}

async function named({ users }: People, login: string): Promise<User> {
  const person = await users.byLogin(login);
  if (person === undefined) throw new UsageError(`there is nobody with the login name '${login}'`);
  return person;
}

/** Every change but letting somebody in again ends the sessions that began under what was before. */
async function change(people: People, login: string, what: string, to: (person: User) => User): Promise<void> {
  const { id } = await named(people, login);
  await people.note(`user-changed; about ${id}; ${what}`);
  await people.users.change(id, to);
  await people.sessions.endAllOf(id);
}

// A browser without sockets for the pages of sign-in: calls routes as http/ would, keeps cookies by path, follows redirects
// within the server, and fills in the forms that it is shown.
import { createHmac, randomBytes } from 'node:crypto';
import { createAuthorizationServer } from '../../src/auth/authorization-server.ts';
import type { AuthAnswer, AuthRequest, AuthRoute } from '../../src/auth/exchange.ts';
import type { PatientChoice } from '../../src/auth/interaction.ts';
import { createPages, type PagesOptions } from '../../src/auth/pages/pages.ts';
import { createAccounts } from '../../src/auth/users/accounts.ts';
import type { AccountEvent } from '../../src/auth/users/events.ts';
import type { ExternalLoginParts } from '../../src/auth/users/external-login.ts';
import type { NewUser, User } from '../../src/auth/users/user.ts';
import type { Adapter, Test } from '../support/stores.ts';
import { issuer, type TestClock, testClock } from './support.ts';

export const secret = 'a secret of at least thirty-two characters';
export const password = 'seven herons cross the lake';

export const patients: readonly PatientChoice[] = [
  { id: 'pat', name: 'Pat Example', birthDate: '1970-12-31', gender: 'female' },
  { id: 'kim', name: 'Kim Sample', birthDate: '2001-02-03' },
  { id: 'far', name: 'Far Away', birthDate: '1950-01-01' },
];

export type Site = Awaited<ReturnType<typeof siteOn>>;

/** The authorization server and its pages on a fresh store. Nobody sees the patient `far`; Patient/x sees x alone. */
export async function siteOn(
  t: Test,
  adapter: Adapter,
  names: readonly PatientChoice[] = patients,
  external?: (parts: Pick<ExternalLoginParts, 'records' | 'clock'>) => NonNullable<PagesOptions['external']>,
) {
  const clock = testClock();
  const { store, close } = await adapter.open(clock);
  const { records } = store;
  const events: AccountEvent[] = [];
  const faults: unknown[] = [];
  /** Kinds of events that cannot be put on record. */
  const unrecordable = new Set<AccountEvent['kind']>();
  const accounts = createAccounts({ records, clock, issuer, secret });
  const canSeePatient = async (id: string, patient: string): Promise<boolean> => {
    const user = await accounts.users.get(id);
    const [type, own] = user?.fhirUser?.split('/') ?? [];
    return patient !== 'far' && (type !== 'Patient' || own === patient) && names.some((each) => each.id === patient);
  };
  const searchPatients = async (user: string, text: string): Promise<PatientChoice[]> => {
    const found: PatientChoice[] = [];
    for (const each of names) {
      const fits = each.name.toLowerCase().includes(text.toLowerCase()) || each.birthDate === text;
      if (fits && (await canSeePatient(user, each.id))) found.push(each);
    }
    return found;
  };
  const onFault = (error: unknown): void => {
    faults.push(error);
  };
  const server = createAuthorizationServer({
    records,
    clock,
    issuer,
    baseUrl: `${issuer}/fhir`,
    secret,
    users: accounts.users,
    isOnline: accounts.sessions.isLive,
    reaches: canSeePatient,
    seesOpen: async () => true,
    record: async () => {},
    onFault,
  });
  const { routes } = createPages({
    accounts,
    clock,
    issuer,
    interactions: server.interactions,
    clients: server.clients,
    grants: server.grants,
    searchPatients,
    canSeePatient,
    describePatient: async (_, id) => names.find((each) => each.id === id),
    record: async (event) => {
      if (unrecordable.has(event.kind)) throw new Error('the record cannot be written');
      events.push(event);
    },
    onFault,
    ...(external === undefined ? {} : { external: external({ records, clock }) }),
  });
  t.teardown(async () => {
    await server.close();
    await close();
  });
  const all = [...server.routes, ...routes];
  const kept = { clock, store, accounts, server, events, faults, unrecordable };
  const site = { ...kept, routes: all, browser: () => new Browser(all) };
  return { ...site, ...peopleOf(site) };
}

interface People {
  accounts: ReturnType<typeof createAccounts>;
  clock: TestClock;
}

function peopleOf({ accounts, clock }: People) {
  let hash: string | undefined;
  return {
    /** A person with `password`. */
    async person(more: Partial<NewUser> = {}): Promise<User> {
      hash ??= await accounts.passwords.hash(password);
      const own = { login: 'ann', name: 'Ann Doe', roles: ['clinician'], fhirUser: 'Practitioner/ann', password: hash };
      return accounts.users.add({ ...own, ...more });
    },
    /** Gives a person an authenticator app; yields the code that it shows at each moment. */
    async withTotp(user: User): Promise<() => string> {
      const base32 = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP';
      const sealed = accounts.secondFactors.sealTotpSecret(user.id, base32);
      await accounts.users.change(user.id, (now) => ({
        ...now,
        totp: { secret: sealed, usedStep: 0, added: clock.now() },
      }));
      return () => codeAt(base32, clock.now());
    },
  };
}

/** What an authenticator app shows: RFC 6238 by hand. */
export function codeAt(base32: string, now: number): string {
  const bits = [...base32].map((sign) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(sign).toString(2).padStart(5, '0'));
  const key = Buffer.from((bits.join('').match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(now / 30_000)));
  const mac = createHmac('sha1', key).update(step).digest();
  const at = (mac[19] ?? 0) & 0xf;
  return String((mac.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

interface Held {
  name: string;
  value: string;
  path: string;
}

export interface Form {
  action: string;
  fields: [string, string][];
  buttons: { name: string; value: string; text: string }[];
  attributes: string;
}

export interface Shown {
  status: number;
  /** Where it was read, or where a redirect leads outside. */
  url: string;
  html: string;
  answer: AuthAnswer;
  forms: Form[];
}

export class Browser {
  readonly #routes: readonly AuthRoute[];
  jar: Held[] = [];
  address = '192.0.2.7';
  /** What forms are sent as if they came from. */
  headers: Record<string, string> = { 'user-agent': 'A <browser>' };
  page: Shown = { status: 0, url: '', html: '', answer: { status: 0 }, forms: [] };

  constructor(routes: readonly AuthRoute[]) {
    this.#routes = routes;
  }

  open(url: string): Promise<Shown> {
    return this.#go('GET', url, new URLSearchParams());
  }

  post(url: string, form: Record<string, string> | [string, string][] | URLSearchParams): Promise<Shown> {
    return this.#go('POST', url, new URLSearchParams(form));
  }

  /** Sends the form that has this field or button, with what is filled in; a list takes the place of all ticks. */
  submit(has: string, given: Record<string, string | readonly string[]> = {}): Promise<Shown> {
    const form = this.form(has);
    const kept = form.fields.filter(([name]) => !(name in given));
    const filled = Object.entries(given).flatMap(([name, value]) =>
      (typeof value === 'string' ? [value] : [...value]).map((each): [string, string] => [name, each]),
    );
    return this.post(form.action, [...kept, ...filled]);
  }

  form(has: string): Form {
    const found = this.page.forms.find(
      ({ fields, buttons, action }) =>
        fields.some(([name]) => name === has) ||
        buttons.some(({ name, text }) => name === has || text === has) ||
        action.endsWith(has),
    );
    if (found === undefined) throw new Error(`no form with ${has} on ${this.page.url}: ${this.page.html}`);
    return found;
  }

  cookie(name: string, path = '/'): string | undefined {
    return this.jar.find((held) => held.name === name && path.startsWith(held.path))?.value;
  }

  async #go(method: 'GET' | 'POST', url: string, form: URLSearchParams): Promise<Shown> {
    for (let hops = 0; hops < 10; hops++) {
      const { origin, pathname, searchParams } = new URL(url, issuer);
      if (origin !== issuer) {
        this.page = { ...this.page, url, html: '', forms: [] };
        return this.page;
      }
      const answer = await this.#ask(method, pathname, searchParams, form);
      for (const { name, value, path } of answer.cookies ?? []) {
        this.jar = this.jar.filter((held) => held.name !== name || held.path !== path);
        if (value !== '') this.jar.push({ name, value, path });
      }
      const to = answer.headers?.Location;
      if (to === undefined) {
        const html = typeof answer.body === 'string' ? answer.body : '';
        this.page = { status: answer.status, url: pathname, html, answer, forms: formsOf(html) };
        return this.page;
      }
      this.page = { status: answer.status, url: to, html: '', answer, forms: [] };
      [method, url, form] = ['GET', new URL(to, issuer).href, new URLSearchParams()];
    }
    throw new Error('too many redirects');
  }

  async #ask(method: 'GET' | 'POST', path: string, query: URLSearchParams, form: URLSearchParams): Promise<AuthAnswer> {
    for (const route of this.#routes) {
      const params = route.method === method ? paramsOf(route.path, path) : undefined;
      if (params === undefined) continue;
      const request: AuthRequest = {
        method,
        path,
        params,
        query,
        form,
        json: undefined,
        header: (name) => this.headers[name],
        cookie: (name) => this.cookie(name, path),
        address: this.address,
        id: randomBytes(4).toString('hex'),
      };
      return route.handle(request);
    }
    return { status: 404 };
  }
}

function paramsOf(template: string, path: string): Record<string, string> | undefined {
  const [wanted, given] = [template.split('/'), path.split('/')];
  if (wanted.length !== given.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, part] of wanted.entries()) {
    const value = decodeURIComponent(given[index] ?? '');
    if (part.startsWith(':')) params[part.slice(1)] = value;
    else if (part !== value) return undefined;
  }
  return params;
}

const unescaped = (text: string): string =>
  text
    .replace(/&lt;/g, '<')
    .replace(/&gt;/g, '>')
    .replace(/&quot;/g, '"')
    .replace(/&#39;/g, "'")
    .replace(/&amp;/g, '&');

const attribute = (tag: string, name: string): string =>
  unescaped(new RegExp(`\\s${name}="([^"]*)"`).exec(tag)?.[1] ?? '');

function formsOf(html: string): Form[] {
  return [...html.matchAll(/<form([^>]*)>(.*?)<\/form>/gs)].map(([, attributes = '', body = '']) => ({
    attributes,
    action: attribute(attributes, 'action'),
    fields: [...body.matchAll(/<input[^>]*>/g)].flatMap(([tag]): [string, string][] => {
      const isUnticked = /type="checkbox"/.test(tag) && !/\schecked/.test(tag);
      return isUnticked ? [] : [[attribute(tag, 'name'), attribute(tag, 'value')]];
    }),
    buttons: [...body.matchAll(/<button([^>]*)>(.*?)<\/button>/gs)].map(([, tag = '', text = '']) => ({
      name: attribute(tag, 'name'),
      value: attribute(tag, 'value'),
      text,
    })),
  }));
}

/** The options that a page holds for the passkey script. */
// biome-ignore lint/suspicious/noExplicitAny: WebAuthn's JSON, whose members the tests know
export const passkeyOptions = (form: Form): any => JSON.parse(attribute(form.attributes, 'data-options'));

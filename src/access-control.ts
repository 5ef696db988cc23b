// Access control put together: the authorization server, the people and their pages, on the store and before the engine.
import { atThePages, seesOpen } from './at-the-pages.ts';
import { type AuthorizationServer, createAuthorizationServer } from './auth/authorization-server.ts';
import type { AuthEvent, AuthEventKind } from './auth/context.ts';
import type { Authentication } from './auth/exchange.ts';
import type { PatientChoice } from './auth/interaction.ts';
import { createKeySets } from './auth/key-sets.ts';
import { createPages, type PagesOptions } from './auth/pages/pages.ts';
import { covers } from './auth/scopes.ts';
import { type Accounts, createAccounts } from './auth/users/accounts.ts';
import type { AccountEvent, AccountEventKind } from './auth/users/events.ts';
import { createExternalLogin } from './auth/users/external-login.ts';
import type { Clock } from './base/clock.ts';
import { createOutbound } from './base/net.ts';
import { FhirError } from './base/outcome.ts';
import type { Config } from './config.ts';
import { readIssuers } from './external-issuers.ts';
import { scopeQueryProblem } from './fhir/access/scope-query.ts';
import type { SecurityEvent } from './fhir/audit/security-event.ts';
import type { Caller, Principal } from './fhir/caller.ts';
import type { Engine, FhirRequest } from './fhir/interaction.ts';
import { clientRates } from './http/rate.ts';
import { readIdentityProviders } from './identity-providers.ts';
import { loadDefinitions } from './model/definitions.ts';
import { installationSecret } from './secret.ts';
import type { Store } from './store/store.ts';

/** What access control needs of an engine. */
export interface GuardedEngine extends Engine {
  callerOf(principal: Principal): Caller;
  record(event: SecurityEvent): Promise<void>;
}

export interface AccessControl {
  authentication: Authentication<Principal>;
  server: AuthorizationServer;
  accounts: Accounts;
  /** The principal of kept work as it is now: never more than it was; undefined once its grant or token is over. */
  renew(principal: Principal): Promise<Principal | undefined>;
  close(): Promise<void>;
}

export interface AccessControlParts {
  config: Config;
  store: Store;
  engine: GuardedEngine;
  clock: Clock;
  /** Told of failures that no client is to see. */
  onFault(error: unknown): void;
}

export async function openAccessControl(parts: AccessControlParts): Promise<AccessControl> {
  const { config, store, engine, clock, onFault } = parts;
  const { records } = store;
  const { baseUrl } = config;
  const issuer = baseUrl.replace(/\/fhir$/, '');
  const secret = await installationSecret(config, records);
  const accounts = createAccounts({ records, clock, issuer, secret });
  const patients = patientsOf(engine, accounts);
  const record = recordOf(engine, accounts);
  const server = createAuthorizationServer({
    records,
    clock,
    baseUrl,
    issuer,
    secret,
    users: accounts.users,
    isOnline: (session) => accounts.sessions.isLive(session),
    reaches: patients.isSeen,
    seesOpen: seesOpen({ store, users: accounts.users, callerOf: engine.callerOf }),
    checkScopeQuery: (type, query) => scopeQueryProblem(type, query, loadDefinitions()),
    record,
    onFault,
    ...(config.limitsRates ? { rates: clientRates(clock.now) } : {}),
    registration: config.registration,
    managementUrl: `${issuer}/auth/account`,
    externalIssuers: config.issuers === undefined ? [] : readIssuers(config.issuers),
  });
  const known: Accounts = { ...accounts, users: { ...accounts.users, change: changeOf(accounts, server) } };
  const external = openExternal(parts, issuer);
  const pages = createPages({
    accounts: known,
    clock,
    issuer,
    interactions: server.interactions,
    clients: server.clients,
    grants: server.grants,
    searchPatients: patients.search,
    canSeePatient: patients.isSeen,
    describePatient: patients.describe,
    ...external.pages,
    record,
    onFault,
  });
  return {
    authentication: {
      ...server,
      routes: [...server.routes, ...pages.routes],
    },
    server,
    accounts: known,
    renew: (principal) => renewed(principal, server),
    async close() {
      await external.close();
      await server.close();
    },
  };
}

/** Other identity providers that people may sign in by, and the client that speaks with them. */
function openExternal({ config, store, clock, onFault }: AccessControlParts, issuer: string): External {
  if (config.identityProviders === undefined) return { pages: {}, close: async () => {} };
  const providers = readIdentityProviders(config.identityProviders);
  const outbound = createOutbound();
  const keySets = createKeySets({ outbound, clock, onFault });
  const login = createExternalLogin({ records: store.records, clock, issuer, outbound, keySets, onFault });
  return { pages: { external: { login, providers } }, close: () => outbound.close() };
}

interface External {
  pages: Pick<PagesOptions, 'external'>;
  close(): Promise<void>;
}

/** What is remembered of a person's tokens is forgotten as soon as the person changed. */
function changeOf({ users }: Accounts, server: AuthorizationServer): Accounts['users']['change'] {
  return async (id, change) => {
    try {
      return await users.change(id, change);
    } finally {
      server.forgetUser(id);
    }
  };
}

async function renewed(principal: Principal, server: AuthorizationServer): Promise<Principal | undefined> {
  if (principal.grant.startsWith('external:')) return server.renewedExternal(principal);
  const now = await server.principalOf(principal.grant);
  if (now === undefined) return undefined;
  return { ...now, scopes: principal.scopes.filter((scope) => now.scopes.some((outer) => covers(outer, scope))) };
}

// ---- patients, as the people at the pages may see them ----

interface Patients {
  search(user: string, text: string): Promise<readonly PatientChoice[]>;
  isSeen(user: string, patient: string): Promise<boolean>;
  describe(user: string, patient: string): Promise<PatientChoice | undefined>;
}

function patientsOf(engine: GuardedEngine, { users }: Accounts): Patients {
  const ask = async (user: string, path: string, query: string): Promise<unknown> => {
    const person = await users.get(user);
    if (person?.isEnabled !== true) return undefined;
    try {
      const { body } = await engine.perform(requestFor(path, query), engine.callerOf(atThePages(person, 'Patient')));
      return body === undefined ? undefined : JSON.parse(textOf(body));
    } catch (error) {
      // What the person may not see is not there.
      if (error instanceof FhirError && error.status < 500) return undefined;
      throw error;
    }
  };
  const describe = async (user: string, patient: string): Promise<PatientChoice | undefined> =>
    /^[A-Za-z0-9.-]{1,64}$/.test(patient) ? choiceOf(await ask(user, `Patient/${patient}`, '')) : undefined;
  return {
    async search(user, text) {
      const parameter = /^\d{4}(-\d{2}){0,2}$/.test(text.trim()) ? 'birthdate' : 'name';
      const words = text.trim().split(/\s+/).filter(Boolean).slice(0, 5).map(asSearchValue);
      const query = words.map((word) => `${parameter}=${encodeURIComponent(word)}&`).join('');
      const found = await ask(user, 'Patient', `${query}_sort=family&_count=20`);
      return entriesOf(found)
        .map(choiceOf)
        .filter((choice) => choice !== undefined);
    },
    isSeen: async (user, patient) => (await describe(user, patient)) !== undefined,
    describe,
  };
}

/** https://hl7.org/fhir/R4/search.html#escaping */
const asSearchValue = (word: string): string => word.replace(/[\\$,|]/g, '\\$&');

function requestFor(path: string, query: string): FhirRequest {
  const signal = AbortSignal.timeout(10_000);
  return { method: 'GET', path, query, header: () => undefined, body: new Uint8Array(0), signal };
}

function textOf(body: Uint8Array | readonly Uint8Array[]): string {
  return body instanceof Uint8Array ? Buffer.from(body).toString('utf8') : Buffer.concat(body).toString('utf8');
}

function entriesOf(bundle: unknown): unknown[] {
  const entry = memberOf(bundle, 'entry');
  return Array.isArray(entry) ? entry.map((each) => memberOf(each, 'resource')) : [];
}

function choiceOf(resource: unknown): PatientChoice | undefined {
  const id = memberOf(resource, 'id');
  if (memberOf(resource, 'resourceType') !== 'Patient' || typeof id !== 'string') return undefined;
  const [birthDate, gender] = [memberOf(resource, 'birthDate'), memberOf(resource, 'gender')];
  return {
    id,
    name: nameOf(memberOf(resource, 'name')) ?? 'without a name',
    ...(typeof birthDate === 'string' ? { birthDate } : {}),
    ...(typeof gender === 'string' ? { gender } : {}),
  };
}

/** "Anna Smith", of the first name that has any. */
function nameOf(names: unknown): string | undefined {
  for (const name of Array.isArray(names) ? names : []) {
    const given = memberOf(name, 'given');
    const parts = [...(Array.isArray(given) ? given : []), memberOf(name, 'family')];
    const text = parts.filter((part) => typeof part === 'string').join(' ');
    const whole = text === '' ? memberOf(name, 'text') : text;
    if (typeof whole === 'string' && whole !== '') return whole;
  }
  return undefined;
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

// ---- the record ----

/** Kinds of event → those of the audit record that have codes of their own; others go by their own name. */
const kinds: Readonly<Partial<Record<AuthEventKind | AccountEventKind, string>>> = {
  'token-issued': 'token',
  'token-refreshed': 'token',
  'client-changed': 'configuration',
  'client-registered': 'configuration',
  'user-added': 'user',
  'user-changed': 'user',
  'password-changed': 'user',
  'factor-changed': 'user',
};

/** Puts an event on the audit record; resolves when it is there. */
function recordOf(engine: GuardedEngine, { users }: Accounts): (event: AuthEvent | AccountEvent) => Promise<void> {
  const referenceOf = async (id: string): Promise<string> => (await users.get(id))?.fhirUser ?? `user:${id}`;
  return async (event) => {
    const { kind, outcome, user, client, patient, scopes, address, request } = event;
    const amr = 'amr' in event ? event.amr : undefined;
    const about = 'about' in event ? event.about : undefined;
    const detail = [
      kinds[kind] === undefined ? undefined : kind,
      event.reason,
      event.grant === undefined ? undefined : `grant ${event.grant}`,
      amr === undefined ? undefined : `by ${amr.join(', ')}`,
      about === undefined || about === user ? undefined : `about ${about}`,
    ].filter((part) => part !== undefined);
    await engine.record({
      kind: kinds[kind] ?? kind,
      outcome: outcome === 'success' ? 'success' : 'denied',
      ...(user === undefined ? {} : { user: await referenceOf(user) }),
      ...(client === undefined ? {} : { client }),
      ...(scopes === undefined ? {} : { scopes: scopes.join(' ') }),
      ...(patient === undefined ? {} : { patients: [patient] }),
      ...(address === undefined ? {} : { address }),
      ...(request === undefined ? {} : { requestId: request }),
      ...(detail.length === 0 ? {} : { detail: detail.join('; ') }),
    });
  };
}

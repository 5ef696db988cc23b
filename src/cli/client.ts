// `careloom client`: registers apps and backend services, lists them, shuts them out and lets them in again.
// https://hl7.org/fhir/smart-app-launch/app-launch.html#register-app-with-ehr
import { readFileSync } from 'node:fs';
import type { App } from '../app.ts';
import type { Client, ClientAuthenticationMethod, Clients, PublicJwk, Registration } from '../auth/clients.ts';
import { exitCodes, type Invocation, inWords, textsOf, UsageError, withApp } from './command.ts';

type Work = (clients: Clients, invocation: Invocation, id: string) => Promise<string>;

/** What can be done, and whether it is done to a client named by its id. */
const works: Readonly<Record<string, { needsId: boolean; work: Work }>> = {
  add: { needsId: false, work: add },
  list: { needsId: false, work: list },
  enable: { needsId: true, work: (clients, _, id) => setState(clients, id, 'active') },
  disable: { needsId: true, work: (clients, _, id) => setState(clients, id, 'disabled') },
  'rotate-secret': { needsId: true, work: rotateSecret },
  'registration-token': { needsId: false, work: registrationToken },
};

export async function client(invocation: Invocation): Promise<number> {
  const [name = '', id, ...more] = invocation.operands;
  const chosen = Object.hasOwn(works, name) ? works[name] : undefined;
  if (chosen === undefined) throw new UsageError(`client needs one of ${Object.keys(works).join(', ')}`);
  if (chosen.needsId !== (id !== undefined) || more.length > 0)
    throw new UsageError(
      chosen.needsId ? `client ${name} needs the id of a client` : `client ${name} takes no id here`,
    );
  return withApp(invocation, async (app) => {
    invocation.io.out.write(await inWords(async () => chosen.work(await clientsOf(app), invocation, id ?? '')));
    return exitCodes.ok;
  });
}

/** The same clients as the server's; what is done to them is on the audit record. */
export async function clientsOf({ store, clock }: App): Promise<Clients> {
  const [{ createClients }, { createOutbound }, { createRecorder }, { scopeQueryProblem }, { loadDefinitions }] =
    await Promise.all([
      import('../auth/clients.ts'),
      import('../base/net.ts'),
      import('../fhir/audit/recorder.ts'),
      import('../fhir/access/scope-query.ts'),
      import('../model/definitions.ts'),
    ]);
  const recorder = createRecorder({ audit: store.audit, clock });
  return createClients({
    records: store.records,
    clock,
    checkScopeQuery: (type, query) => scopeQueryProblem(type, query, loadDefinitions()),
    problemOfUrl: createOutbound().problemOf,
    record: ({ kind, client = '', scopes = [], reason = '' }) =>
      recorder.record({
        kind: 'configuration',
        outcome: 'success',
        client,
        scopes: scopes.join(' '),
        detail: `${kind}; ${reason}; by the command line`,
      }),
  });
}

async function add(clients: Clients, { values }: Invocation): Promise<string> {
  const { client, secret } = await clients.add(registrationOf(values));
  const told = secret === undefined ? '' : `secret  ${secret}\n        (shown this once; it is sent by HTTP Basic)\n`;
  return `client  ${client.id}\n${told}`;
}

function registrationOf(values: Invocation['values']): Registration {
  const [id, name, launchUrl, keys] = ['id', 'name', 'launch', 'keys'].map((option) => textOf(values[option]));
  if (name === undefined) throw new UsageError('client add needs --name');
  const isService = values.service === true;
  return {
    ...(id === undefined ? {} : { id }),
    name,
    authentication: methodOf(values, keys),
    ...(keys === undefined ? {} : keysOf(keys)),
    redirectUris: textsOf(values.redirect),
    ...(isService ? { grantTypes: ['client_credentials'] } : {}),
    scopes: textsOf(values.scope).flatMap((text) => text.split(/\s+/).filter(Boolean)),
    ...(launchUrl === undefined ? {} : { launchUrl }),
    ...serviceOf(values),
    requiresPushedRequests: values['pushed-requests'] === true,
    bindsTokens: values.dpop === true,
    isFirstParty: values['first-party'] === true,
    isResourceServer: values['resource-server'] === true,
  };
}

function serviceOf(values: Invocation['values']): Pick<Registration, 'service'> {
  const [reference, names] = [textOf(values['on-behalf-of']), textsOf(values.role)];
  if (reference === undefined && names.length === 0) return {};
  if (reference === undefined || names.length === 0) throw new UsageError('--role and --on-behalf-of go together');
  return { service: { reference, roles: names } };
}

/** By its keys where it has some, by a secret where one is asked for, else not at all. */
function methodOf(values: Invocation['values'], keys: string | undefined): ClientAuthenticationMethod {
  if (keys !== undefined) return 'private_key_jwt';
  return values.secret === true ? 'client_secret_basic' : 'none';
}

function keysOf(place: string): Pick<Registration, 'jwks' | 'jwksUri'> {
  if (/^https?:\/\//.test(place)) return { jwksUri: place };
  const set: unknown = parsed(place);
  const keys = typeof set === 'object' && set !== null && 'keys' in set ? set.keys : undefined;
  if (!Array.isArray(keys)) throw new UsageError(`--keys ${place} holds no JWK Set: {"keys": […]}`);
  return { jwks: keys as PublicJwk[] };
}

function parsed(path: string): unknown {
  const text = readFileSync(path, 'utf8');
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError(`--keys ${path} holds no JSON`);
  }
}

async function list(clients: Clients): Promise<string> {
  const found = await clients.list();
  return found.length === 0 ? 'no clients\n' : found.map(clientLine).join('');
}

function clientLine({ id, name, state, authentication, scopes, ...client }: Client): string {
  const marks = [
    state === 'active' ? undefined : state,
    authentication === 'none' ? 'public' : authentication,
    client.service && `${client.service.roles.join(', ')} for ${client.service.reference}`,
    client.requiresPushedRequests ? 'pushed requests' : undefined,
    client.bindsTokens ? 'DPoP' : undefined,
    client.isFirstParty ? 'first party' : undefined,
    client.isResourceServer ? 'resource server' : undefined,
    client.isUnverified ? 'unverified' : undefined,
  ].filter((mark) => mark !== undefined);
  const places = client.redirectUris.map((uri) => `    ${uri}\n`).join('');
  return `${id}  ${name} (${marks.join(', ')})\n    ${scopes.join(' ')}\n${places}`;
}

async function setState(clients: Clients, id: string, state: 'active' | 'disabled'): Promise<string> {
  await clients.setState(id, state);
  return state === 'active' ? `${id} may ask for access\n` : `${id} is shut out; its tokens end within 5 s\n`;
}

async function rotateSecret(clients: Clients, _: Invocation, id: string): Promise<string> {
  return `secret  ${await clients.rotateSecret(id)}\n        (shown this once; the one before is worth nothing now)\n`;
}

async function registrationToken(clients: Clients): Promise<string> {
  return `token   ${await clients.newRegistrationToken()}\n        (for one registration at /auth/register, within 7 days)\n`;
}

const textOf = (value: Invocation['values'][string]): string | undefined =>
  typeof value === 'string' ? value : undefined;

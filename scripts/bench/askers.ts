// Who asks in the part on security: people with roles, an app and a service, with tokens that last as long as the
// benchmark; and what their rights hang on: care teams, and Consents that refuse.
import { generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto';
import { type App, createApp } from '../../src/app.ts';
import type { PublicJwk } from '../../src/auth/clients.ts';
import type { Grant } from '../../src/auth/grants.ts';
import { createKept } from '../../src/auth/kept.ts';
import { createTokens, standingGrant, type Tokens } from '../../src/auth/tokens.ts';
import { createLog } from '../../src/base/log.ts';
import { type Config, readConfig } from '../../src/config.ts';
import { type RequestParts, requestBytes } from './client.ts';
import { idAt, patientId, type Resource } from './data.ts';
import { createWrite } from './rows.ts';

/** How the servers of this part are set up; `auth` and `audit` differ. */
export const settingsOf = (dataDir: string, { auth, audit }: { auth: boolean; audit: boolean }) => ({
  CARELOOM_DATA: dataDir,
  CARELOOM_SECRET: 'only for the benchmark, and nothing else',
  CARELOOM_AUTH: auth ? 'on' : 'off',
  CARELOOM_AUDIT: audit ? 'on' : 'off',
  CARELOOM_RATE_LIMITS: 'off',
  CARELOOM_TIME_ZONE: 'UTC',
});

/** Those who ask, by the names that the table shows; each reaches what the name says. */
export const ASKERS = ['a patient’s scope', 'clinician, care team', 'clinician, whole clinic', 'system scope'] as const;
export type Asker = (typeof ASKERS)[number];

const SERVICE = 'bench-service';
const APP = 'bench-app';
/** Of so many patients one is the clinician's. */
const CARED_FOR = 10;
/** Of so many patients one refuses. */
const REFUSING = 50;
const LIFE_MS = 3_600_000;

/** The application on a store in this process, without a server; `dataDir` is its own. */
export function openApp(store: string, dataDir: string): Promise<App> {
  const config: Config = readConfig({
    ...settingsOf(dataDir, { auth: true, audit: false }),
    CARELOOM_STORE: store,
  });
  return createApp(config, { log: createLog({ level: 'error' }) });
}

/** Adds them to a filled store; the tokens. */
export async function addAskers(app: App, patients: number): Promise<Record<Asker, string>> {
  const control = await app.accessControl();
  if (control === undefined) throw new Error('access control is off');
  const { store, clock } = app;
  const write = createWrite();
  const resources = Array.from({ length: patients }, (_, patient) => rightsOf(patient)).flat();
  for (let at = 0; at < resources.length; at += 100)
    await store.commit({ writes: resources.slice(at, at + 100).map(write) });
  await control.server.clients.add({
    id: APP,
    name: 'App of the benchmark',
    authentication: 'none',
    redirectUris: ['http://127.0.0.1:1/'],
    scopes: ['patient/*.rs', 'user/*.cruds'],
  });
  await control.server.clients.add({
    id: SERVICE,
    name: 'Service of the benchmark',
    authentication: 'private_key_jwt',
    grantTypes: ['client_credentials'],
    jwks: signers.map(({ jwk }) => jwk),
    scopes: ['system/*.cruds'],
  });
  const grants = createKept<Grant>(store.records, 'grant');
  const tokens = createTokens({ records: store.records, clock });
  const expires = clock.now() + LIFE_MS;
  const person = async (id: string, fhirUser: string, role: string, scopes: string[], patient?: string) => {
    await control.accounts.users.add({ id, login: id, name: id, fhirUser, roles: [role] });
    const about = { client: APP, user: id, scopes, ...(patient === undefined ? {} : { patient }) };
    const times = { authTime: clock.now(), created: clock.now(), expires };
    await grants.add(`grant-${id}`, { id: `grant-${id}`, ...about, ...times, amr: ['swk'], session: '' }, expires);
    return tokens.issueAccess({ grant: `grant-${id}`, client: APP, scopes, expires });
  };
  const own = patientId(0);
  return {
    'a patient’s scope': await person('patient', `Patient/${own}`, 'patient', ['patient/*.rs'], own),
    'clinician, care team': await person('clinician', CLINICIAN, 'clinician', ['user/*.cruds']),
    'clinician, whole clinic': await person('clinician-all', COLLEAGUE, 'clinician-all', ['user/*.cruds']),
    'system scope': await serviceToken(tokens, expires),
  };
}

/** A token of the service; many of them to look up. */
export const serviceToken = (tokens: Tokens, expires: number): Promise<string> =>
  tokens.issueAccess({ grant: standingGrant(SERVICE), client: SERVICE, scopes: ['system/*.cruds'], expires });

const CLINICIAN = `Practitioner/${idAt(0, 1)}`;
/** Whom nobody refuses by name: every patient can be read. */
const COLLEAGUE = `Practitioner/${idAt(1, 1)}`;

/** A care team with the clinician; refusals of everybody else's systems, and of the clinician by name. */
function rightsOf(patient: number): Resource[] {
  const subject = { reference: `Patient/${patientId(patient)}` };
  const found: Resource[] = [];
  if (patient % CARED_FOR === 0) {
    const participant = [{ member: { reference: CLINICIAN } }];
    found.push({ resourceType: 'CareTeam', id: `team-${patient}`, status: 'active', subject, participant });
  }
  if (patient % REFUSING === CARED_FOR) {
    const actor = [{ role: { text: 'doctor' }, reference: { reference: CLINICIAN } }];
    found.push(refusal(`consent-a-${patient}`, subject, { type: 'deny' }));
    found.push(refusal(`consent-b-${patient}`, subject, { type: 'deny', actor }));
  }
  return found;
}

const refusal = (id: string, patient: object, provision: object): Resource => ({
  resourceType: 'Consent',
  id,
  status: 'active',
  scope: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/consentscope', code: 'patient-privacy' }] },
  category: [{ coding: [{ system: 'http://loinc.org', code: '59284-0' }] }],
  patient,
  policyRule: { text: 'the benchmark' },
  provision,
});

// ---- assertions ----

export interface Signer {
  algorithm: 'RS384' | 'ES384';
  key: KeyObject;
  jwk: PublicJwk;
}

export const signers: readonly Signer[] = [
  signerOf('RS384', generateKeyPairSync('rsa', { modulusLength: 2048 })),
  signerOf('ES384', generateKeyPairSync('ec', { namedCurve: 'P-384' })),
];

function signerOf(
  algorithm: Signer['algorithm'],
  { publicKey, privateKey }: { publicKey: KeyObject; privateKey: KeyObject },
): Signer {
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: algorithm, use: 'sig', alg: algorithm } as PublicJwk;
  return { algorithm, key: privateKey, jwk };
}

/** The bytes of a token request with an assertion that was never used. */
export function tokenRequest({ algorithm, key }: Signer, port: number): Buffer {
  const now = Math.floor(Date.now() / 1000);
  const audience = `http://127.0.0.1:${port}/auth/token`;
  const claims = { iss: SERVICE, sub: SERVICE, aud: audience, exp: now + 240, jti: randomUUID() };
  const head = `${encoded({ alg: algorithm, kid: algorithm, typ: 'JWT' })}.${encoded(claims)}`;
  const signature = sign('sha384', Buffer.from(head), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url');
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    scope: 'system/*.rs',
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: `${head}.${signature}`,
  });
  const parts: RequestParts = { method: 'POST', url: '/auth/token', body: form.toString() };
  return requestBytes({ ...parts, contentType: 'application/x-www-form-urlencoded' });
}

const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

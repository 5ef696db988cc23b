// The whole app with access control on, on a store and a port of its own, with a few people and patients.
import type { AccessControl } from '../../src/access-control.ts';
import { type App, createApp } from '../../src/app.ts';
import type { Clock } from '../../src/base/clock.ts';
import type { Log } from '../../src/base/log.ts';
import { demoClient } from '../../src/cli/demo.ts';
import { demoToken } from '../../src/cli/demo-token.ts';
import { readConfig } from '../../src/config.ts';
import { systemCaller } from '../../src/fhir/access/callers.ts';
import type { Store } from '../../src/store/store.ts';
import { freePort } from './server-process.ts';

export interface GuardedApp {
  app: App;
  control: AccessControl;
  /** `http://127.0.0.1:port` */
  url: string;
  /** Of every person below. */
  password: string;
  /** Login name → id of the person. */
  people: Readonly<Record<'doctor' | 'anna' | 'admin', string>>;
  /** Leaves the store open. */
  close(): Promise<void>;
}

const password = 'a fine long sentence of nobody';

/** Two patients of one doctor: patient-001, who is `anna`, and patient-002, each with an Observation. */
export async function guardedApp(
  store: Store,
  { settings = {}, ...overrides }: { settings?: Record<string, string>; clock?: Clock; log?: Log } = {},
): Promise<GuardedApp> {
  const port = await freePort();
  const config = readConfig({
    CARELOOM_LOG_LEVEL: 'silent',
    CARELOOM_TIME_ZONE: 'UTC',
    CARELOOM_SECRET: 'of the tests alone, and of nothing else',
    CARELOOM_PORT: String(port),
    ...settings,
  });
  const kept: Store = new Proxy(store, {
    get(target, name) {
      if (name === 'close') return async () => {};
      const value = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const app = await createApp(config, { store: kept, ...overrides });
  const control = await app.accessControl();
  if (control === undefined) throw new Error('access control is off');
  await fill(app);
  const people = await addPeople(control);
  await app.listen();
  return { app, control, url: `http://127.0.0.1:${port}`, password, people, close: () => app.close() };
}

async function addPeople({ accounts }: AccessControl): Promise<GuardedApp['people']> {
  const hash = await accounts.passwords.hash(password);
  const add = async (login: string, role: string, fhirUser?: string): Promise<string> => {
    const reference = fhirUser === undefined ? {} : { fhirUser };
    const user = await accounts.users.add({
      login,
      name: login,
      roles: [role],
      isDemo: true,
      password: hash,
      ...reference,
    });
    return user.id;
  };
  return {
    doctor: await add('doctor', 'clinician', 'Practitioner/practitioner-1'),
    anna: await add('anna', 'patient', 'Patient/patient-001'),
    admin: await add('admin', 'administrator'),
  };
}

async function fill({ engine }: App): Promise<void> {
  const practitioner = { resourceType: 'Practitioner', id: 'practitioner-1', name: [{ family: 'Rao' }] };
  const patients = [
    { id: 'patient-001', family: 'Smith', given: 'Anna' },
    { id: 'patient-002', family: 'Jones', given: 'Ben' },
  ].flatMap(({ id, family, given }) => [
    {
      resourceType: 'Patient',
      id,
      name: [{ family, given: [given] }],
      birthDate: '1971-09-03',
      generalPractitioner: [{ reference: 'Practitioner/practitioner-1' }],
    },
    {
      resourceType: 'Observation',
      id: `of-${id}`,
      status: 'final',
      code: { text: 'Heart rate' },
      subject: { reference: `Patient/${id}` },
      effectiveDateTime: '2026-01-01',
      valueQuantity: { value: 72, unit: '/min' },
    },
  ]);
  const entry = [practitioner, ...patients].map((resource) => ({
    resource,
    request: { method: 'PUT', url: `${resource.resourceType}/${resource.id}` },
  }));
  const body = Buffer.from(JSON.stringify({ resourceType: 'Bundle', type: 'transaction', entry }));
  const headers: Record<string, string> = { 'content-type': 'application/fhir+json' };
  const signal = new AbortController().signal;
  const header = (name: string) => headers[name];
  await engine.perform({ method: 'POST', path: '', query: '', header, body, signal }, systemCaller);
}

/** An access token of one of the people, by way of the app that comes with the server. */
export async function tokenFor(served: GuardedApp, login: keyof GuardedApp['people'], scope: string, patient?: string) {
  return demoToken(served.control, {
    user: served.people[login],
    client: demoClient.id,
    redirectUri: demoClient.redirectUris[0],
    scope,
    audience: `${served.url}/fhir`,
    now: Date.now(),
    ...(patient === undefined ? {} : { patient }),
  });
}

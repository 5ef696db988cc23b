// What the tests of access share: some principals, and a small practice with two patients.
import type { Permission, Principal, ResourceScope } from '../../../src/fhir/caller.ts';
import { engineOn, type Reply, type TestEngine } from '../../support/engine.ts';
import type { Adapter, Test } from '../../support/stores.ts';

export const scope = (level: ResourceScope['level'], type: string, can: string, query?: string): ResourceScope => ({
  level,
  type,
  can: [...can] as Permission[],
  ...(query === undefined ? {} : { query }),
});

const base = { client: 'app', purpose: 'TREAT' };

type User = NonNullable<Principal['user']>;

export const userOf = (roles: readonly string[], fhirUser: string, clearance: readonly string[] = []): User => ({
  id: 'u',
  fhirUser,
  roles,
  clearance,
});

/** Patient a, with an app that may do all that the person may. */
export const patientA: Principal = {
  ...base,
  grant: 'grant-a',
  user: userOf(['patient'], 'Patient/a'),
  patient: 'a',
  scopes: [scope('patient', '*', 'cruds')],
};

export const clinicianFor = (can = 'cruds', ...scopes: ResourceScope[]): Principal => ({
  ...base,
  grant: 'grant-c',
  user: userOf(['clinician'], 'Practitioner/1'),
  scopes: scopes.length > 0 ? scopes : [scope('user', '*', can)],
});

/** Treats patient a alone, by a care team. */
export const clinician = clinicianFor();

/** Reaches everybody, but no restricted labels. */
export const clinicianOfAll: Principal = {
  ...clinician,
  grant: 'grant-all',
  user: userOf(['clinician-all'], 'Practitioner/2'),
};

export const frontDesk: Principal = { ...clinician, grant: 'grant-f', user: userOf(['front-desk'], 'Practitioner/3') };

export const officer: Principal = {
  ...clinician,
  grant: 'grant-o',
  user: userOf(['clinician-all', 'privacy-officer'], 'Practitioner/4', ['R']),
};

export const RESTRICTED = {
  security: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality', code: 'R' }],
};

export const observation = (id: string | undefined, patient: string, more: object = {}): Record<string, unknown> => ({
  resourceType: 'Observation',
  ...(id === undefined ? {} : { id }),
  status: 'final',
  code: { coding: [{ system: 'http://loinc.org', code: '1234-5' }] },
  subject: { reference: `Patient/${patient}` },
  ...more,
});

export const encounter = (id: string, patient: string): Record<string, unknown> => ({
  resourceType: 'Encounter',
  id,
  status: 'finished',
  class: { code: 'AMB' },
  subject: { reference: `Patient/${patient}` },
  reasonCode: [{ text: 'a secret reason' }],
  diagnosis: [{ condition: { reference: 'Condition/ca' } }],
});

const RECORDS = [
  { resourceType: 'Patient', id: 'a', gender: 'male', name: [{ family: 'Able' }] },
  { resourceType: 'Patient', id: 'b', gender: 'female', name: [{ family: 'Baker' }] },
  { resourceType: 'Practitioner', id: '1', name: [{ family: 'Cook' }] },
  {
    resourceType: 'CareTeam',
    id: 't',
    status: 'active',
    subject: { reference: 'Patient/a' },
    participant: [{ member: { reference: 'Practitioner/1' } }],
  },
  observation('oa', 'a'),
  observation('ob', 'b'),
  observation('secret', 'a', { meta: RESTRICTED }),
  encounter('ea', 'a'),
  encounter('eb', 'b'),
  { resourceType: 'Condition', id: 'ca', subject: { reference: 'Patient/a' }, code: { text: 'x' } },
];

export interface Practice extends TestEngine {
  /** As the server itself: accepted. */
  put(resource: object): Promise<Reply>;
}

export async function practice(t: Test, adapter: Adapter): Promise<Practice> {
  const { store, close } = await adapter.open();
  const tested = await engineOn(store, { lookMs: 10 });
  t.teardown(async () => {
    await tested.engine.background.stop();
    await close();
  });
  const put = async (resource: object): Promise<Reply> => {
    const { resourceType, id } = resource as { resourceType: string; id: string };
    const reply = await tested.ask('PUT', `${resourceType}/${id}`, resource);
    if (reply.status >= 300) throw new Error(reply.text);
    return reply;
  };
  const entry = RECORDS.map((resource) => ({
    resource,
    request: { method: 'PUT', url: `${resource.resourceType}/${(resource as { id: string }).id}` },
  }));
  const loaded = await tested.ask('POST', '', { resourceType: 'Bundle', type: 'transaction', entry });
  if (loaded.status !== 200) throw new Error(loaded.text);
  return { ...tested, put };
}

/** The answer about something else reads the same, but for the name. */
export const alike = (one: Reply, name: string, other: Reply, otherName: string): boolean =>
  one.status === other.status && one.text.replaceAll(name, otherName) === other.text;

// What a person may see who sits at our own pages, or for whom the EHR launches an app: all that their roles reach, to be
// read, and nothing that came with a token. https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
import type { LaunchContext } from './auth/interaction.ts';
import type { User, Users } from './auth/users/user.ts';
import { addPatients, PATIENT_KEYS } from './fhir/audit/patients.ts';
import type { Caller, Principal } from './fhir/caller.ts';
import type { Store } from './store/store.ts';

export function atThePages({ id, fhirUser, roles, clearance }: User, type: string): Principal {
  return {
    user: { id, ...(fhirUser === undefined ? {} : { fhirUser }), roles, clearance },
    client: 'careloom',
    grant: `pages:${id}`,
    scopes: [{ level: 'user', type, can: ['r', 's'] }],
    purpose: 'TREAT',
  };
}

interface Parts {
  store: Pick<Store, 'read'>;
  users: Pick<Users, 'get'>;
  callerOf(principal: Principal): Caller;
}

/**
 * Whether a person sees the encounter and the other resources that a launch has open, and these are the patient's: what is
 * somebody else's, hidden or unknown is the same. An encounter is of this patient or it is refused; of the others, those that
 * are of no patient at all (a Practitioner, a Questionnaire) belong to everybody.
 */
export function seesOpen({ store, users, callerOf }: Parts) {
  return async (
    id: string,
    { patient, encounter, fhirContext = [] }: Omit<LaunchContext, 'user'>,
  ): Promise<boolean> => {
    const user = await users.get(id);
    if (user?.isEnabled !== true) return false;
    const isOpen = async (reference: string, isOf: (patients: ReadonlySet<string>) => boolean): Promise<boolean> => {
      const patients = await patientsOf(reference, user);
      return patients !== undefined && isOf(patients);
    };
    const isTheirs = (patients: ReadonlySet<string>): boolean => patient === undefined || patients.has(patient);
    const isNobodysElse = (patients: ReadonlySet<string>): boolean => patients.size === 0 || isTheirs(patients);
    if (encounter !== undefined && !(await isOpen(`Encounter/${encounter}`, isTheirs))) return false;
    for (const { reference } of fhirContext) if (!(await isOpen(reference, isNobodysElse))) return false;
    return true;
  };

  /** In whose compartments a resource is; undefined when the person does not see it. */
  async function patientsOf(reference: string, user: User): Promise<ReadonlySet<string> | undefined> {
    const [, type = '', name = ''] = /^([A-Z][A-Za-z]{1,60})\/([A-Za-z0-9.-]{1,64})$/.exec(reference) ?? [];
    if (type === '') return undefined;
    const row = await store.read(type, name, callerOf(atThePages(user, type)).filter, PATIENT_KEYS);
    if (row === undefined || row.body === null) return undefined;
    const patients = new Set<string>();
    addPatients(row.keys ?? [], patients);
    return patients;
  }
}

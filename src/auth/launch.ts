// The EHR launches an app: what is open on the user's screen is kept under a random id, which the app hands back when it
// asks for access. https://hl7.org/fhir/smart-app-launch/app-launch.html#launch-app-ehr-launch
import type { Clients } from './clients.ts';
import type { AuthContext } from './context.ts';
import type { LaunchContext } from './interaction.ts';
import { createKept } from './kept.ts';
import { lifetimes } from './lifetimes.ts';
import { OAuthError } from './oauth-error.ts';
import { hashOf, newSecretValue } from './secret-value.ts';

export interface LaunchRequest extends LaunchContext {
  /** The app that is launched: nobody else may use the id. */
  client: string;
}

export interface Launches {
  /**
   * A launch id for five minutes and one use, by this app and this user alone; and the address to open the app at, where
   * the app registered one. Throws OAuthError when there is no such app, or the user may not see what the launch is about.
   */
  create(launch: LaunchRequest): Promise<{ launch: string; url?: string }>;
  /** Spends an id. Undefined when it is unknown, old, spent, or another app's. */
  take(launch: string, client: string): Promise<LaunchContext | undefined>;
}

export function createLaunches(context: AuthContext, clients: Clients): Launches {
  const { records, clock, baseUrl, record, reaches, seesOpen } = context;
  const kept = createKept<LaunchRequest>(records, 'launch');
  return {
    async create(launch) {
      const app = await clients.get(launch.client);
      if (app?.state !== 'active') throw new OAuthError('invalid_request', 'there is no such app');
      if (launch.patient !== undefined && !(await reaches(launch.user, launch.patient)))
        throw new OAuthError('access_denied', 'this user may not see this patient');
      if (!(await seesOpen(launch.user, launch)))
        throw new OAuthError('access_denied', 'this user sees no such encounter or fhirContext of this patient');
      const id = newSecretValue();
      await kept.add(hashOf(id), launch, clock.now() + lifetimes.launch);
      const { client, user, patient } = launch;
      const about = { client, user, ...(patient === undefined ? {} : { patient }) };
      await record({ kind: 'launch-created', at: clock.now(), ...about, outcome: 'success' });
      if (app.launchUrl === undefined) return { launch: id };
      const url = new URL(app.launchUrl);
      url.searchParams.set('iss', baseUrl);
      url.searchParams.set('launch', id);
      return { launch: id, url: url.href };
    },
    async take(launch, client) {
      const id = hashOf(launch);
      const found = await kept.get(id);
      if (found === undefined || found.value.client !== client || !(await kept.remove(id, found))) return undefined;
      const { client: _, ...context } = found.value;
      return context;
    },
  };
}

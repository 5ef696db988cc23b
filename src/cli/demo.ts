// People and an app to try the sample practice with. Their passwords are random and shown once; they need no second factor,
// and are shut out as soon as the server can be reached from elsewhere.
import { randomInt } from 'node:crypto';
import type { AccessControl } from '../access-control.ts';
import type { App } from '../app.ts';
import { isLoopback } from '../config.ts';
import { demoToken } from './demo-token.ts';

interface DemoPerson {
  login: string;
  name: string;
  roles: readonly string[];
  fhirUser?: string;
}

const people: readonly DemoPerson[] = [
  { login: 'admin', name: 'Demo Administrator', roles: ['administrator'] },
  {
    login: 'clinician',
    name: 'Demo Clinician',
    roles: ['clinician-all'],
    fhirUser: 'Practitioner/practitioner-1',
  },
  { login: 'frontdesk', name: 'Demo Front Desk', roles: ['front-desk'] },
  { login: 'biller', name: 'Demo Biller', roles: ['biller'] },
  { login: 'patient', name: 'Demo Patient', roles: ['patient'], fhirUser: 'Patient/patient-001' },
];

/** Where `npm run sample-app` serves it. */
const sampleApp = 'http://127.0.0.1:9090';

export const demoClient = {
  id: 'sample-app',
  name: 'Sample app',
  authentication: 'none',
  redirectUris: [`${sampleApp}/`],
  launchUrl: `${sampleApp}/launch.html`,
  scopes: [
    ...['launch', 'launch/patient', 'openid', 'fhirUser', 'offline_access', 'online_access'],
    ...['patient/*.rs', 'user/*.cruds'],
  ],
} as const;

/** Adds them to a sample practice in which there is nobody yet. What to show: the logins, or nothing. */
export async function addDemoPeople({ store }: App, { accounts, server }: AccessControl): Promise<string> {
  const hasSample = (await store.records.get('sample', 'practice')) !== undefined;
  if (!hasSample || !(await accounts.users.isEmpty())) return '';
  const lines: string[] = [];
  for (const person of people) {
    const password = newPassword();
    await accounts.users.add({ ...person, isDemo: true, password: await accounts.passwords.hash(password) });
    lines.push(`    ${person.login.padEnd(10)} ${password}   ${person.roles.join(', ')}\n`);
  }
  if ((await server.clients.get(demoClient.id)) === undefined) await server.clients.add(demoClient);
  return `  demo logins (shown this once; without a second factor):\n${lines.join('')}`;
}

/** A line to try the server with, by a token that lives for a quarter of an hour; '' where there is nobody to have one. */
export async function tryLine({ config, clock }: App, control: AccessControl): Promise<string> {
  const user = await control.accounts.users.byLogin('clinician');
  if (user?.isDemo !== true || !user.isEnabled) return '';
  if ((await control.server.clients.get(demoClient.id))?.state !== 'active') return '';
  const token = await demoToken(control, {
    user: user.id,
    client: demoClient.id,
    redirectUri: demoClient.redirectUris[0],
    scope: 'user/*.cruds',
    audience: config.baseUrl,
    now: clock.now(),
  });
  return `  try it, for 15 minutes:\n    curl -s -H 'Authorization: Bearer ${token}' '${config.baseUrl}/Patient?_summary=count'\n`;
}

/** Shuts them out where others than this machine could use them; the number. */
export async function shutOutDemoPeople({ config }: App, { accounts, server }: AccessControl): Promise<number> {
  if (isLoopback(config.host)) return 0;
  let count = 0;
  for await (const { id, isDemo, isEnabled } of accounts.users.list()) {
    if (isDemo !== true || !isEnabled) continue;
    await accounts.users.change(id, (user) => ({ ...user, isEnabled: false }));
    await server.grants.revokeAllOf(id, 'the server can be reached from elsewhere');
    count++;
  }
  return count;
}

/** Four groups of four of 28 signs that are not taken for one another: 76 bits. */
function newPassword(): string {
  const signs = 'abcdefghjkmnpqrstuvwxyz23456';
  const group = () => Array.from({ length: 4 }, () => signs[randomInt(signs.length)]).join('');
  return [group(), group(), group(), group()].join('-');
}

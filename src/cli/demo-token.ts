// A token for a demo person, had as an app has one: authorization request, decision, code, token.
// https://hl7.org/fhir/smart-app-launch/app-launch.html
import { createHash, randomBytes } from 'node:crypto';
import type { AccessControl } from '../access-control.ts';
import type { AuthAnswer, AuthRequest } from '../auth/exchange.ts';

export interface TokenWish {
  user: string;
  client: string;
  redirectUri: string;
  scope: string;
  /** Id of the patient in context. */
  patient?: string;
  /** The FHIR base. */
  audience: string;
  /** Milliseconds since the epoch. */
  now: number;
}

/** Throws when the authorization server refuses: the person, the client or the scopes are not what they should be. */
export async function demoToken({ server }: AccessControl, wish: TokenWish): Promise<string> {
  const verifier = randomBytes(32).toString('base64url');
  const begun = await ask(server, 'GET', '/auth/authorize', {
    response_type: 'code',
    client_id: wish.client,
    redirect_uri: wish.redirectUri,
    scope: wish.scope,
    state: 'demo',
    aud: wish.audience,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
  const id = /\/auth\/interaction\/([\w-]+)$/.exec(begun.headers?.Location ?? '')?.[1] ?? '';
  const interaction = await server.interactions.get(id);
  if (interaction === undefined) throw new Error('no token for the demo: the request was refused');
  const back = await server.interactions.finish(interaction, {
    user: wish.user,
    authTime: wish.now,
    amr: ['swk'],
    scopes: interaction.scopes,
    session: '',
    ...(wish.patient === undefined ? {} : { patient: wish.patient }),
  });
  const answer = await ask(server, 'POST', '/auth/token', {
    grant_type: 'authorization_code',
    code: new URL(back).searchParams.get('code') ?? '',
    redirect_uri: wish.redirectUri,
    client_id: wish.client,
    code_verifier: verifier,
  });
  const token = typeof answer.body === 'object' && 'access_token' in answer.body ? answer.body.access_token : undefined;
  if (typeof token !== 'string') throw new Error('no token for the demo: the code was refused');
  return token;
}

/** A request that never was on a socket. */
async function ask(
  { routes }: AccessControl['server'],
  method: AuthRequest['method'],
  path: string,
  parameters: Record<string, string>,
): Promise<AuthAnswer> {
  const route = routes.find((each) => each.method === method && each.path === path);
  if (route === undefined) throw new Error(`no route ${path}`);
  const given = new URLSearchParams(parameters);
  const none = new URLSearchParams();
  return route.handle({
    method,
    path,
    params: {},
    query: method === 'GET' ? given : none,
    form: method === 'POST' ? given : none,
    json: undefined,
    header: () => undefined,
    cookie: () => undefined,
    address: '127.0.0.1',
    id: 'demo',
  });
}

// POST /auth/launch: our own clinical application, by the token of the user at its screen, asks for a launch id for another
// app. The body has the names of the token response.
import type { Bearer } from './authenticate.ts';
import type { Clients } from './clients.ts';
import type { AuthContext } from './context.ts';
import { presentedBy } from './dpop.ts';
import type { AuthAnswer, AuthRequest, AuthRoute } from './exchange.ts';
import type { Launches, LaunchRequest } from './launch.ts';
import { lifetimes } from './lifetimes.ts';
import { jsonEndpoint, OAuthError, tokenHeaders } from './oauth-error.ts';

interface Parts {
  clients: Clients;
  bearer: Bearer;
  launches: Launches;
}

export function launchRoute(context: AuthContext, parts: Parts): AuthRoute {
  const handle = jsonEndpoint((request) => launch(request, context, parts), context.onFault);
  return { method: 'POST', path: '/auth/launch', isCrossOrigin: true, rate: 'token', handle };
}

async function launch(
  request: AuthRequest,
  context: AuthContext,
  { clients, bearer, launches }: Parts,
): Promise<AuthAnswer> {
  const authorization = request.header('authorization');
  const principal = await bearer.authenticate(authorization, presentedBy(request, context)).catch(() => {
    throw new OAuthError('invalid_token', 'a bearer token is needed', {
      'WWW-Authenticate': 'Bearer realm="careloom"',
    });
  });
  const caller = await clients.get(principal.client);
  if (caller?.isFirstParty !== true || principal.user === undefined)
    throw new OAuthError('insufficient_scope', 'apps are launched by our own clinical application, for its user');
  const { launch, url } = await launches.create(launchOf(request.json, principal.user.id));
  return {
    status: 201,
    headers: tokenHeaders,
    body: { launch, ...(url === undefined ? {} : { launch_url: url }), expires_in: lifetimes.launch / 1000 },
  };
}

const FHIR_CONTEXTS_MAX = 20;

function launchOf(json: unknown, user: string): LaunchRequest {
  const body = objectOf(json, 'the body');
  const client = idOf(body, 'client_id');
  if (client === undefined) throw new OAuthError('invalid_request', 'client_id, the app to be launched, is needed');
  const banner = body.need_patient_banner;
  if (banner !== undefined && typeof banner !== 'boolean')
    throw new OAuthError('invalid_request', 'need_patient_banner must be true or false');
  const optional = {
    patient: idOf(body, 'patient'),
    encounter: idOf(body, 'encounter'),
    fhirContext: fhirContextOf(body.fhirContext),
    intent: textOf(body, 'intent', /^[\x21-\x7e]{1,200}$/),
    needPatientBanner: banner,
    smartStyleUrl: textOf(body, 'smart_style_url', /^https?:\/\/[\x21-\x7e]{1,500}$/),
    tenant: textOf(body, 'tenant', /^[\x21-\x7e]{1,200}$/),
  };
  return { client, user, ...Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)) };
}

function objectOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new OAuthError('invalid_request', `${what} must be a JSON object`);
}

function textOf(body: Record<string, unknown>, name: string, form: RegExp): string | undefined {
  const value = body[name];
  if (value === undefined) return undefined;
  if (typeof value === 'string' && form.test(value)) return value;
  throw new OAuthError('invalid_request', `${name} is not of the form that it must have`);
}

const idOf = (body: Record<string, unknown>, name: string): string | undefined =>
  textOf(body, name, /^[A-Za-z0-9._-]{1,64}$/);

/** https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html#fhir-context */
function fhirContextOf(value: unknown): LaunchRequest['fhirContext'] {
  if (value === undefined) return undefined;
  if (!Array.isArray(value) || value.length > FHIR_CONTEXTS_MAX)
    throw new OAuthError('invalid_request', `fhirContext must be a list of at most ${FHIR_CONTEXTS_MAX} objects`);
  return value.map((item: unknown) => {
    const each = objectOf(item, 'each of fhirContext');
    const reference = textOf(each, 'reference', /^[A-Z][A-Za-z]{1,60}\/[A-Za-z0-9.-]{1,64}$/);
    const role = textOf(each, 'role', /^[\x21-\x7e]{1,200}$/);
    const type = textOf(each, 'type', /^[A-Z][A-Za-z]{1,60}$/);
    if (reference === undefined) throw new OAuthError('invalid_request', 'each of fhirContext needs a reference');
    // "They will not be permitted within the fhirContext array unless they include a role other than launch."
    if (/^(Patient|Encounter)\//.test(reference) && (role ?? 'launch') === 'launch')
      throw new OAuthError('invalid_request', 'a Patient or Encounter in fhirContext needs a role');
    return { reference, ...(role === undefined ? {} : { role }), ...(type === undefined ? {} : { type }) };
  });
}

// What a client learns with an access token: the context of its launch, and who the user is.
// https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html#launch-context-arrives-with-your-access_token
import type { AuthContext, AuthUser } from './context.ts';
import type { Grant } from './grants.ts';
import type { Keys } from './keys.ts';
import { lifetimes } from './lifetimes.ts';

/** The launch context in the members' names of the token response. */
export function launchMembers({ patient, launch = {} }: Pick<Grant, 'patient' | 'launch'>): Record<string, unknown> {
  const { encounter, fhirContext, intent, needPatientBanner, smartStyleUrl, tenant } = launch;
  const members = {
    patient,
    encounter,
    fhirContext,
    intent,
    need_patient_banner: needPatientBanner,
    smart_style_url: smartStyleUrl,
    tenant,
  };
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

/** The absolute URL of the resource that the user is; undefined when the scope fhirUser was not granted. */
export function fhirUserOf(
  scopes: readonly string[],
  user: AuthUser | undefined,
  { baseUrl }: Pick<AuthContext, 'baseUrl'>,
): string | undefined {
  const reference = scopes.includes('fhirUser') ? user?.fhirUser : undefined;
  return reference === undefined ? undefined : `${baseUrl}/${reference}`;
}

interface IdTokenFacts {
  grant: Grant;
  user: AuthUser;
  nonce: string | undefined;
}

/** https://openid.net/specs/openid-connect-core-1_0.html#IDToken */
export function idToken({ grant, user, nonce }: IdTokenFacts, context: AuthContext, keys: Keys): Promise<string> {
  const now = Math.floor(context.clock.now() / 1000);
  const claims = {
    iss: context.issuer,
    sub: user.id,
    aud: grant.client,
    iat: now,
    exp: now + lifetimes.idToken / 1000,
    auth_time: Math.floor(grant.authTime / 1000),
    amr: grant.amr,
    nonce,
    fhirUser: fhirUserOf(grant.scopes, user, context),
  };
  return keys.sign(Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined)));
}

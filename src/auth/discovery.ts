// What an app learns before it begins: endpoints and capabilities, for SMART and for OpenID Connect, and the public keys.
// https://hl7.org/fhir/smart-app-launch/conformance.html, https://openid.net/specs/openid-connect-discovery-1_0.html
import { promptsSupported } from './authorization-request.ts';
import { assertionAlgorithms } from './client-authentication.ts';
import type { AuthContext } from './context.ts';
import { proofAlgorithms } from './dpop.ts';
import type { AuthAnswer, AuthRoute } from './exchange.ts';
import type { Keys } from './keys.ts';
import { jsonEndpoint } from './oauth-error.ts';
import type { RegistrationPolicy } from './register.ts';
import { otherScopes } from './scopes.ts';

export interface DiscoveryOptions {
  registration: RegistrationPolicy;
  /** Where people see which apps have access, and end it; told where there is such a page. */
  managementUrl?: string;
}

/** Where the FHIR base is served, whatever address a proxy shows to the outside. */
const FHIR_PATH = '/fhir';

export function discoveryRoutes(
  context: AuthContext,
  { keys, ...options }: DiscoveryOptions & { keys: Keys },
): AuthRoute[] {
  const smart = smartConfiguration(context, options);
  const openId = openIdConfiguration(context, options);
  const headers = { 'Cache-Control': 'public, max-age=300' };
  const constant = (path: string, body: object): AuthRoute => ({
    method: 'GET',
    path,
    isCrossOrigin: true,
    handle: async (): Promise<AuthAnswer> => ({ status: 200, headers, body }),
  });
  return [
    constant(`${FHIR_PATH}/.well-known/smart-configuration`, smart),
    constant('/.well-known/openid-configuration', openId),
    {
      method: 'GET',
      path: '/auth/jwks',
      isCrossOrigin: true,
      handle: jsonEndpoint(async () => ({ status: 200, headers, body: await keys.published() }), context.onFault),
    },
  ];
}

/** What this server can do, and nothing else. */
export const capabilities: readonly string[] = [
  'launch-ehr',
  'launch-standalone',
  'authorize-post',
  'client-public',
  'client-confidential-symmetric',
  'client-confidential-asymmetric',
  'sso-openid-connect',
  'context-banner',
  'context-style',
  'context-ehr-patient',
  'context-ehr-encounter',
  'context-standalone-patient',
  'permission-offline',
  'permission-online',
  'permission-patient',
  'permission-user',
  'permission-v1',
  'permission-v2',
];

const resourceScopesSupported = [
  ...['patient', 'user'].flatMap((level) => [
    `${level}/*.cruds`,
    `${level}/*.rs`,
    `${level}/*.read`,
    `${level}/*.write`,
  ]),
  'system/*.cruds',
  'system/*.rs',
];

function smartConfiguration(context: AuthContext, options: DiscoveryOptions): Record<string, unknown> {
  const { managementUrl } = options;
  return {
    ...endpoints(context, options),
    scopes_supported: [...otherScopes, ...resourceScopesSupported],
    ...(managementUrl === undefined ? {} : { management_endpoint: managementUrl }),
    capabilities,
  };
}

function openIdConfiguration(context: AuthContext, options: DiscoveryOptions): Record<string, unknown> {
  return {
    ...endpoints(context, options),
    scopes_supported: [...otherScopes],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
    prompt_values_supported: promptsSupported,
    claims_supported: ['iss', 'sub', 'aud', 'exp', 'iat', 'auth_time', 'amr', 'nonce', 'fhirUser'],
    request_parameter_supported: false,
    request_uri_parameter_supported: false,
    claims_parameter_supported: false,
  };
}

/** https://www.rfc-editor.org/rfc/rfc8414#section-2 */
function endpoints({ issuer }: AuthContext, { registration }: DiscoveryOptions): Record<string, unknown> {
  const methods = ['client_secret_basic', 'private_key_jwt'];
  return {
    issuer,
    jwks_uri: `${issuer}/auth/jwks`,
    authorization_endpoint: `${issuer}/auth/authorize`,
    pushed_authorization_request_endpoint: `${issuer}/auth/par`,
    require_pushed_authorization_requests: false,
    token_endpoint: `${issuer}/auth/token`,
    token_endpoint_auth_methods_supported: methods,
    token_endpoint_auth_signing_alg_values_supported: assertionAlgorithms,
    introspection_endpoint: `${issuer}/auth/introspect`,
    introspection_endpoint_auth_methods_supported: methods,
    revocation_endpoint: `${issuer}/auth/revoke`,
    revocation_endpoint_auth_methods_supported: methods,
    ...(registration === 'off' ? {} : { registration_endpoint: `${issuer}/auth/register` }),
    grant_types_supported: ['authorization_code', 'refresh_token', 'client_credentials'],
    response_types_supported: ['code'],
    response_modes_supported: ['query'],
    dpop_signing_alg_values_supported: proofAlgorithms,
    code_challenge_methods_supported: ['S256'],
    authorization_response_iss_parameter_supported: true,
  };
}

// What a registration must be before a client comes of it.
// https://www.rfc-editor.org/rfc/rfc7591#section-2, https://www.rfc-editor.org/rfc/rfc9700#section-4.1
import { limits } from '../base/limits.ts';
import { FhirError } from '../base/outcome.ts';
import { roles } from '../fhir/access/roles.ts';
import type { ClientsOptions, PublicJwk, Registration } from './clients.ts';
import { isPrivateKey, publicKeys } from './jwt.ts';
import { parseScope } from './scopes.ts';

type Checks = Pick<ClientsOptions, 'checkScopeQuery' | 'problemOfUrl'>;

/** Throws FhirError('invalid') for the first thing that is wrong. */
export function checkRegistration(registration: Registration, checks: Checks): void {
  const problem =
    nameProblem(registration) ??
    grantProblem(registration) ??
    redirectProblem(registration) ??
    serviceProblem(registration) ??
    keyProblem(registration, checks) ??
    scopeProblem(registration, checks);
  if (problem !== undefined) throw new FhirError('invalid', problem);
}

/** Ids stay within what can stand in a Basic header, in a log and in a key of the store. */
export const isClientId = (text: string): boolean => /^[A-Za-z0-9._-]{1,64}$/.test(text);

function nameProblem({ id, name }: Registration): string | undefined {
  if (id !== undefined && !isClientId(id))
    return 'A client id has 1 to 64 letters, digits, dots, underscores and hyphens.';
  // Marks that turn the direction of text, or are not seen, would let one name look like another.
  if (name.trim() === '' || name.length > limits.clientNameCharsMax || /[\p{Cc}\p{Cf}]/u.test(name))
    return `A client needs a name of 1 to ${limits.clientNameCharsMax} visible characters.`;
  return undefined;
}

function grantProblem({ authentication, grantTypes = [], scopes }: Registration): string | undefined {
  const isSystem = grantTypes.includes('client_credentials');
  if (isSystem && authentication !== 'private_key_jwt')
    return 'The grant type client_credentials needs authentication by private_key_jwt.';
  if (!isSystem && scopes.some((scope) => scope.startsWith('system/')))
    return 'Scopes that begin with system/ need the grant type client_credentials.';
  if (
    grantTypes.length > 0 &&
    !grantTypes.includes('authorization_code') &&
    !scopes.every((s) => s.startsWith('system/'))
  )
    return 'Without the grant type authorization_code there are no other scopes than system/.';
  return undefined;
}

/** Without a role a service may do what its scopes say; with one that nobody knows it may do nothing. */
function serviceProblem({ service, grantTypes = [] }: Registration): string | undefined {
  if (service === undefined) return undefined;
  if (!grantTypes.includes('client_credentials')) return 'Roles of a client are for the grant type client_credentials.';
  if (!/^[A-Z][A-Za-z]+\/[A-Za-z0-9.-]{1,64}$/.test(service.reference))
    return 'A client with a role works on behalf of a resource such as Organization/1.';
  const known = Object.keys(roles);
  return service.roles.length > 0 && service.roles.every((role) => known.includes(role))
    ? undefined
    : `A role of a client is one of ${known.join(', ')}.`;
}

function redirectProblem({ redirectUris = [], grantTypes, launchUrl }: Registration): string | undefined {
  const needsOne = grantTypes === undefined || grantTypes.includes('authorization_code');
  if (needsOne && redirectUris.length === 0) return 'The grant type authorization_code needs a redirect URI.';
  if (redirectUris.length > limits.redirectUrisMax) return `There may be ${limits.redirectUrisMax} redirect URIs.`;
  if (![...redirectUris, ...(launchUrl === undefined ? [] : [launchUrl])].every(isAppUrl))
    return 'Redirect URIs and the launch URL are https, or http at 127.0.0.1, [::1] or localhost, without fragment and credentials.';
  return undefined;
}

function isAppUrl(text: string): boolean {
  if (text.length > limits.redirectUriCharsMax || !/^[\x21-\x7e]+$/.test(text) || /["<>\\^`{|}#]/.test(text))
    return false;
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password } = new URL(text);
  const isHere = hostname === 'localhost' || hostname === '127.0.0.1' || hostname === '[::1]';
  return (protocol === 'https:' || (protocol === 'http:' && isHere)) && username === '' && password === '';
}

function keyProblem({ authentication, jwks, jwksUri }: Registration, { problemOfUrl }: Checks): string | undefined {
  const ways = [jwks, jwksUri].filter((way) => way !== undefined).length;
  if (authentication !== 'private_key_jwt') return ways > 0 ? 'Keys go with private_key_jwt alone.' : undefined;
  if (ways !== 1) return 'private_key_jwt needs a key set: its URL, or the set itself.';
  if (jwks !== undefined) return keySetProblem(jwks);
  const problem = jwksUri === undefined ? undefined : problemOfUrl(jwksUri);
  return problem === undefined ? undefined : `The URL of the key set cannot be used: ${problem}.`;
}

function keySetProblem(keys: readonly PublicJwk[]): string | undefined {
  if (keys.some(isPrivateKey)) return 'The key set holds private keys; make new ones and send their public halves.';
  const usable = (publicKeys({ keys }) ?? []).filter(({ kty, crv }) => kty === 'RSA' || crv === 'P-384');
  if (usable.length === 0)
    return 'The key set needs a public key with a kid: RSA of 2,048 bits or more, or EC on P-384.';
  const names = new Set(usable.map(({ kid, kty }) => `${kty} ${kid}`));
  return names.size < usable.length ? 'Each kid of the key set must be there once.' : undefined;
}

function scopeProblem({ scopes }: Registration, { checkScopeQuery }: Checks): string | undefined {
  if (scopes.length === 0 || scopes.length > limits.scopesMax)
    return 'A client needs the scopes that it may be granted.';
  for (const [index, text] of scopes.entries()) {
    const scope = parseScope(text, checkScopeQuery);
    if (scope === undefined) return `Scope ${index + 1} is not known.`;
    if (typeof scope === 'string') return `Scope ${index + 1} ${scope}.`;
  }
  return undefined;
}

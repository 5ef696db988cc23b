// Refusals in OAuth's words, and the answers of endpoints that speak JSON.
// https://www.rfc-editor.org/rfc/rfc6749#section-5.2
import { FhirError } from '../base/outcome.ts';
import { StoreError } from '../store/store.ts';
import type { AuthAnswer, AuthRequest } from './exchange.ts';

/** Codes of RFC 6749, 6750, 7009, 7591, 9101, 9449 and OpenID Connect Core, and the status that goes with each. */
const statuses = {
  invalid_request: 400,
  invalid_client: 401,
  invalid_grant: 400,
  unauthorized_client: 400,
  unsupported_grant_type: 400,
  invalid_scope: 400,
  invalid_token: 401,
  insufficient_scope: 403,
  access_denied: 403,
  unsupported_response_type: 400,
  interaction_required: 400,
  request_not_supported: 400,
  request_uri_not_supported: 400,
  invalid_request_uri: 400,
  invalid_dpop_proof: 400,
  invalid_redirect_uri: 400,
  invalid_client_metadata: 400,
  temporarily_unavailable: 503,
  server_error: 500,
} as const;

export type OAuthErrorCode = keyof typeof statuses;

export class OAuthError extends Error {
  readonly code: OAuthErrorCode;
  readonly headers: Readonly<Record<string, string>>;
  readonly status: number;

  /** `description` is for the developer of the client: what was wrong, and what is accepted. */
  constructor(
    code: OAuthErrorCode,
    description: string,
    headers: Readonly<Record<string, string>> = {},
    status: number = statuses[code],
  ) {
    super(inPlainCharacters(description));
    this.name = 'OAuthError';
    this.code = code;
    this.headers = headers;
    this.status = status;
  }
}

/** 429. RFC 6749 has no code of its own for it: the nearest says "temporary overloading", and to come again. */
export function tooOften(description: string, seconds: number): OAuthError {
  return new OAuthError('temporarily_unavailable', description, { 'Retry-After': String(seconds) }, 429);
}

/** RFC 6749 appendix A.8: neither quotation marks nor backslashes, and nothing beyond ASCII. */
function inPlainCharacters(text: string): string {
  return text
    .replaceAll('"', "'")
    .replace(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, '?')
    .slice(0, 500);
}

/** The one value of a parameter; undefined when it is absent or empty. Throws OAuthError when it is given twice. */
export function parameter(parameters: URLSearchParams, name: string): string | undefined {
  const [value, ...more] = parameters.getAll(name);
  if (more.length > 0) throw new OAuthError('invalid_request', `${name} is given more than once`);
  return value === '' ? undefined : value;
}

export function neededParameter(parameters: URLSearchParams, name: string): string {
  const value = parameter(parameters, name);
  if (value === undefined) throw new OAuthError('invalid_request', `${name} is needed`);
  return value;
}

/** An endpoint whose refusals are OAuth's JSON. What is our fault goes to `onFault`. */
export function jsonEndpoint(
  handle: (request: AuthRequest) => Promise<AuthAnswer>,
  onFault: (error: unknown) => void,
): (request: AuthRequest) => Promise<AuthAnswer> {
  return async (request) => {
    try {
      return await handle(request);
    } catch (error) {
      return errorAnswer(toldOf(error, onFault));
    }
  };
}

/** "no-store" stands on every answer; "no-cache" is for those that know HTTP/1.0 alone, and asked for by RFC 6749. */
export const tokenHeaders: Readonly<Record<string, string>> = { Pragma: 'no-cache' };

export function errorAnswer({ code, message, headers, status }: OAuthError): AuthAnswer {
  const retry = code === 'temporarily_unavailable' ? { 'Retry-After': '5' } : {};
  return {
    status,
    headers: { ...tokenHeaders, ...retry, ...headers },
    body: { error: code, error_description: message },
  };
}

/** What may be told of an error. */
export function toldOf(error: unknown, onFault: (error: unknown) => void): OAuthError {
  if (error instanceof OAuthError) return error;
  if (error instanceof FhirError && error.status < 500) return new OAuthError('invalid_request', error.message);
  onFault(error);
  const isPassing =
    (error instanceof StoreError && error.kind === 'unavailable') ||
    (error instanceof FhirError && error.kind === 'unavailable');
  return isPassing
    ? new OAuthError('temporarily_unavailable', 'the server cannot do this now; try again')
    : new OAuthError('server_error', 'the server failed on this request; its log has the cause');
}

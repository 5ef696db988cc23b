// Cookies, always HttpOnly and SameSite=Lax; over https with a prefix that keeps other hosts and plain http from setting them.
// https://www.rfc-editor.org/rfc/rfc6265, https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-4.1.3
import type { Cookie } from '../auth/exchange.ts';

/** Characters of a value: what base64url and dotted ids are made of. */
const plainValue = /^[A-Za-z0-9._~-]*$/;

export interface CookieOptions {
  /** The server is reached over https. */
  isSecure: boolean;
  /** Path at which the server's root is seen from outside, without a slash at the end: '' or '/clinic'. */
  root: string;
}

/** The value of a Set-Cookie header. */
export function setCookie({ name, value, path, maxAgeS }: Cookie, { isSecure, root }: CookieOptions): string {
  if (!plainValue.test(value)) throw new TypeError(`The value of cookie ${name} needs other characters`);
  const seenPath = `${root}${path}`;
  const age = value === '' ? 0 : maxAgeS;
  return [
    `${prefixFor(seenPath, isSecure)}${name}=${value}`,
    `Path=${seenPath}`,
    ...(age === undefined ? [] : [`Max-Age=${age}`]),
    'HttpOnly',
    'SameSite=Lax',
    ...(isSecure ? ['Secure'] : []),
  ].join('; ');
}

/** A cookie's value by its name without prefix; undefined also when it comes twice, of which one was put there by somebody else. */
export function readCookie(header: string | undefined, name: string, isSecure: boolean): string | undefined {
  if (header === undefined) return undefined;
  const names = isSecure ? [`__Host-${name}`, `__Secure-${name}`] : [name];
  const found = header
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => names.some((each) => pair.startsWith(`${each}=`)));
  const [only] = found;
  if (only === undefined || found.length > 1) return undefined;
  return only.slice(only.indexOf('=') + 1);
}

/** `__Host-` is the stronger one, and for the whole host alone. */
function prefixFor(path: string, isSecure: boolean): string {
  if (!isSecure) return '';
  return path === '/' ? '__Host-' : '__Secure-';
}

// The query string of a search, and the small grammar inside its values. https://hl7.org/fhir/R4/search.html#escaping
import { FhirError } from '../../base/outcome.ts';

/** Decoded name and value pairs in the order sent. A malformed escape is 400. */
export function queryPairs(query: string): [string, string][] {
  const pairs: [string, string][] = [];
  for (const part of query.split('&')) {
    if (part === '') continue;
    const equals = part.indexOf('=');
    const name = equals < 0 ? part : part.slice(0, equals);
    pairs.push([decoded(name), equals < 0 ? '' : decoded(part.slice(equals + 1))]);
  }
  return pairs;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw new FhirError(
      'invalid',
      'The query has a "%" that does not begin an escape of UTF-8; write a literal "%" as "%25".',
    );
  }
}

/** `name=value` pairs as a query string again. */
export function queryString(pairs: readonly (readonly [string, string])[]): string {
  return pairs.map(([name, value]) => `${encodedName(name)}=${encodedValue(value)}`).join('&');
}

/** JSON may carry half a surrogate pair, which no encoding of text can: it becomes U+FFFD, as it does in the keys. */
export const encoded = (text: string): string => encodeURIComponent(text.toWellFormed());

const encodedName = (text: string): string => encoded(text).replaceAll('%3A', ':');
const encodedValue = (text: string): string =>
  encoded(text).replace(/%(?:3A|2F|2C|7C)/g, (code) => decodeURIComponent(code));

/** Splits at separators that no backslash escapes; the parts keep their escapes. */
export function splitUnescaped(text: string, separator: ',' | '|' | '$'): string[] {
  if (!text.includes('\\')) return text.split(separator);
  const parts: string[] = [];
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === separator) {
      parts.push(text.slice(start, at));
      start = at + 1;
    }
  }
  parts.push(text.slice(start));
  return parts;
}

/** Takes the backslashes off `\,` `\|` `\$` and `\\`. */
export const literalValue = (text: string): string => (text.includes('\\') ? text.replace(/\\([,|$\\])/g, '$1') : text);

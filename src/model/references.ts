// What a reference and a canonical say, by their text alone.
// https://hl7.org/fhir/R4/references.html#literal, https://hl7.org/fhir/R4/datatypes.html#canonical
import { isId } from './primitives.ts';

/**
 * relative: `Patient/1`, also when written with our own base URL; absolute: any other http(s) URL, with type and id when
 * it ends like one of a FHIR server; contained: `#id` (id '' for the resource around it); urn: `urn:uuid:…`;
 * conditional: `Patient?identifier=…`; other: none of these, such as an unknown type.
 */
export type ReferenceKind = 'relative' | 'absolute' | 'contained' | 'urn' | 'conditional' | 'other';

export interface ParsedReference {
  kind: ReferenceKind;
  type?: string;
  id?: string;
  version?: string;
  /** For absolute and urn: the text as it stands, without `/_history/version`. */
  url?: string;
  /** For conditional: what follows the question mark. */
  query?: string;
}

export interface ParsedCanonical {
  url: string;
  version?: string;
  fragment?: string;
}

/**
 * Parts of a literal reference. An absolute URL under `baseUrl` counts as relative. `isResourceType` says which names
 * are types; without it any capitalised word is.
 */
export function parseReference(
  text: string,
  baseUrl?: string,
  isResourceType: (name: string) => boolean = isCapitalised,
): ParsedReference {
  if (text.startsWith('#')) return { kind: 'contained', id: text.slice(1) };
  if (text.startsWith('urn:')) return { kind: 'urn', url: text };
  if (!text.startsWith('http://') && !text.startsWith('https://')) return parseLocal(text, isResourceType);
  const own = baseUrl === undefined ? undefined : withoutBase(text, baseUrl);
  const local = own === undefined ? undefined : parseLocal(own, isResourceType);
  return local !== undefined && local.kind !== 'other' ? local : parseAbsolute(text, isResourceType);
}

/** `url|version#fragment`; what is not there is left out. */
export function parseCanonical(text: string): ParsedCanonical {
  const hash = text.indexOf('#');
  const bar = text.indexOf('|');
  const urlEnd = Math.min(hash < 0 ? text.length : hash, bar < 0 ? text.length : bar);
  const canonical: ParsedCanonical = { url: text.slice(0, urlEnd) };
  if (bar >= 0) canonical.version = text.slice(bar + 1, hash > bar ? hash : text.length);
  if (hash >= 0) canonical.fragment = text.slice(hash + 1, bar > hash ? bar : text.length);
  return canonical;
}

/** `Type/id`, `Type/id/_history/version` or `Type?query`. */
function parseLocal(text: string, isResourceType: (name: string) => boolean): ParsedReference {
  const slash = text.indexOf('/');
  const mark = text.indexOf('?');
  if (mark > 0 && (slash < 0 || mark < slash)) {
    const type = text.slice(0, mark);
    return isResourceType(type) ? { kind: 'conditional', type, query: text.slice(mark + 1) } : { kind: 'other' };
  }
  if (slash <= 0) return { kind: 'other' };
  const type = text.slice(0, slash);
  if (!isResourceType(type)) return { kind: 'other' };
  const history = text.indexOf('/_history/', slash + 1);
  const id = text.slice(slash + 1, history < 0 ? text.length : history);
  if (!isId(id)) return { kind: 'other' };
  if (history < 0) return { kind: 'relative', type, id };
  const version = text.slice(history + '/_history/'.length);
  return isId(version) ? { kind: 'relative', type, id, version } : { kind: 'other' };
}

/** The URL, and type, id and version when its end reads like a resource on a FHIR server. */
function parseAbsolute(text: string, isResourceType: (name: string) => boolean): ParsedReference {
  const history = text.indexOf('/_history/');
  const url = history < 0 ? text : text.slice(0, history);
  const idStart = url.lastIndexOf('/') + 1;
  const typeStart = url.lastIndexOf('/', idStart - 2) + 1;
  // The type must stand behind a host, not be one.
  if (typeStart <= 'https://'.length) return { kind: 'absolute', url: text };
  const local = parseLocal(text.slice(typeStart), isResourceType);
  return local.kind === 'relative' ? { ...local, kind: 'absolute', url } : { kind: 'absolute', url: text };
}

function withoutBase(text: string, baseUrl: string): string | undefined {
  const length = baseUrl.endsWith('/') ? baseUrl.length - 1 : baseUrl.length;
  if (text.charCodeAt(length) !== 0x2f || !text.startsWith(baseUrl.slice(0, length))) return undefined;
  return text.slice(length + 1);
}

function isCapitalised(name: string): boolean {
  return /^[A-Z][A-Za-z]+$/.test(name);
}

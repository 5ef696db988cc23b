// Bundles put together from stored bytes: no stored body is ever parsed to be sent. https://hl7.org/fhir/R4/bundle.html
import type { Row } from '../store/store.ts';
import { etag } from './answer.ts';

export interface BundleLink {
  relation: 'self' | 'next';
  url: string;
}

const text = (value: string): Uint8Array => Buffer.from(value);
const COMMA = text(',');
const CLOSE = text('}');
const END = text(']}');
const NO_ENTRIES = text('}');

/** The pieces of a Bundle: head, entries, end. Each entry is itself a list of pieces. `entry` is left out when empty. */
export function bundlePieces(
  head: { type: string; total?: number; link?: readonly BundleLink[] },
  entries: readonly (readonly Uint8Array[])[],
): Uint8Array[] {
  const start = JSON.stringify({ resourceType: 'Bundle', ...head }).slice(0, -1);
  if (entries.length === 0) return [text(start), NO_ENTRIES];
  const pieces: Uint8Array[] = [text(`${start},"entry":[`)];
  entries.forEach((entry, at) => {
    if (at > 0) pieces.push(COMMA);
    pieces.push(...entry);
  });
  pieces.push(END);
  return pieces;
}

/** An entry of a searchset. */
export function searchEntry(row: Row & { body: Uint8Array }, mode: 'match' | 'include', baseUrl: string): Uint8Array[] {
  return [
    text(`{"fullUrl":"${baseUrl}/${row.type}/${row.id}","resource":`),
    row.body,
    mode === 'match' ? SEARCH_MATCH : SEARCH_INCLUDE,
  ];
}

const SEARCH_MATCH = text(',"search":{"mode":"match"}}');
const SEARCH_INCLUDE = text(',"search":{"mode":"include"}}');

/** An entry that tells about the search itself. */
export const outcomeEntry = (outcome: unknown): Uint8Array[] => [
  text(`{"resource":${JSON.stringify(outcome)},"search":{"mode":"outcome"}}`),
];

/** An entry of any Bundle: the resource, when there is one, then the other members as a JSON object. */
export function entryWith(
  fullUrl: string | undefined,
  resource: readonly Uint8Array[] | undefined,
  members: object,
): Uint8Array[] {
  const rest = JSON.stringify(members).slice(1, -1);
  const url = fullUrl === undefined ? '' : `"fullUrl":${JSON.stringify(fullUrl)}`;
  if (resource === undefined) return [text(`{${[url, rest].filter((part) => part !== '').join(',')}}`)];
  return [text(`{${url === '' ? '' : `${url},`}"resource":`), ...resource, rest === '' ? CLOSE : text(`,${rest}}`)];
}

/** An entry of a history Bundle: what was done, and the resource as it was afterwards. */
export function historyEntry(row: Row, baseUrl: string): Uint8Array[] {
  const method = row.body === null ? 'DELETE' : row.version === 1 ? 'POST' : 'PUT';
  const status = row.body === null ? '204 No Content' : row.version === 1 ? '201 Created' : '200 OK';
  return entryWith(`${baseUrl}/${row.type}/${row.id}`, row.body === null ? undefined : [row.body], {
    request: { method, url: method === 'POST' ? row.type : `${row.type}/${row.id}` },
    response: { status, etag: etag(row.version), lastModified: new Date(row.lastUpdated).toISOString() },
  });
}

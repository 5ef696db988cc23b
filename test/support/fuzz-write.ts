// Creates, updates and deletions, with and without conditions, of damaged resources.
import type { FuzzRequest, Json, Target } from './fuzz-request.ts';
import { bytesOf, damagedText, xmlText } from './fuzz-resource.ts';
import { anyType, randomQuery } from './fuzz-search.ts';
import { fuzzId, hostileText, oops, type Wild, weighted } from './fuzz-values.ts';
import { below, pick } from './random-search.ts';

const JSON_TYPES = ['application/fhir+json', 'application/json', 'text/json', 'application/fhir+json; charset=utf-8'];
export const XML_TYPES = [
  'application/fhir+xml',
  'application/xml',
  'text/xml',
  'application/fhir+xml;fhirVersion=4.0',
];
export const WRONG_TYPES = [
  'text/plain',
  'application/octet-stream',
  'multipart/form-data; boundary=x',
  '',
  'application/json; charset=latin1',
  'application/x-www-form-urlencoded',
  ';;;',
  'image/png',
];

/** A resource as a body, with its media type. */
function body(random: Wild, target: Target): { bytes: Buffer; headers: Record<string, string>; resource: Json } {
  const { text, resource } = damagedText(random, target);
  return weighted(random, [
    [16, () => ({ bytes: bytesOf(random, text), headers: { 'content-type': pick(random, JSON_TYPES) }, resource })],
    [
      4,
      () => ({
        bytes: bytesOf(random, xmlText(random, resource)),
        headers: { 'content-type': pick(random, XML_TYPES) },
        resource,
      }),
    ],
    [
      1,
      () => ({
        bytes: bytesOf(random, text),
        headers: { 'content-type': pick(random, [...WRONG_TYPES, ...XML_TYPES]) },
        resource,
      }),
    ],
  ]);
}

export function randomWrite(random: Wild, target: Target): FuzzRequest {
  const { bytes, headers, resource } = body(random, target);
  const type = oops(random, 0.1) ? anyType(random, target) : String(resource.resourceType);
  const id = oops(random, 0.1) ? hostileText(random, 80) : String(resource.id ?? fuzzId(random));
  const condition = (): string => randomQuery(random, type, target);
  return weighted(random, [
    [6, () => ({ method: 'PUT', path: `${segment(type)}/${segment(id)}`, headers, body: bytes })],
    [2, () => ({ method: 'POST', path: segment(type), headers, body: bytes })],
    [1, () => ({ method: 'PUT', path: `${segment(type)}?${condition()}`, headers, body: bytes })],
    [
      1,
      () => ({
        method: 'POST',
        path: segment(type),
        headers: { ...headers, 'if-none-exist': condition().slice(0, 3_000) },
        body: bytes,
      }),
    ],
    [0.3, () => ({ method: 'POST', path: '', headers, body: bytes })],
  ]);
}

/** A segment of a path. */
const segment = (text: string): string => encodeURIComponent(text.toWellFormed());

export function randomDelete(random: Wild, target: Target): FuzzRequest {
  const type = anyType(random, target);
  return weighted(random, [
    [6, () => ({ method: 'DELETE', path: `${segment(type)}/${fuzzId(random)}`, headers: {} })],
    // Without a narrow condition there would soon be nothing left to search.
    [
      2,
      () => ({
        method: 'DELETE',
        path: `${segment(type)}?_id=${fuzzId(random)}&${randomQuery(random, type, target)}`,
        headers: {},
      }),
    ],
    [
      1,
      () => ({
        method: 'DELETE',
        path: `${segment(type)}?_id=${fuzzId(random)}&_count=${below(random, 600)}`,
        headers: {},
      }),
    ],
  ]);
}

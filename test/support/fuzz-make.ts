// Request number so-and-so of a seed: the same numbers give the same request, so that any one of them can be sent again.
import { gzipSync } from 'node:zlib';

import { randomBundle } from './fuzz-bundle.ts';
import { randomDefinition } from './fuzz-definition.ts';
import { randomHeaders } from './fuzz-headers.ts';
import { randomOperation } from './fuzz-operations.ts';
import { randomPatch } from './fuzz-patch.ts';
import { randomRead } from './fuzz-read.ts';
import type { FuzzRequest, Target } from './fuzz-request.ts';
import { anyType, randomQuery, randomSearch } from './fuzz-search.ts';
import { chance, type Wild, weighted } from './fuzz-values.ts';
import { randomDelete, randomWrite } from './fuzz-write.ts';
import { pick, seeded } from './random-search.ts';

export function requestAt(seed: number, at: number, target: Target): FuzzRequest {
  const made = seeded(Math.imul(seed, 0x9e3779b1) + at);
  const random: Wild = Object.assign(made, { wild: pick(made, [0, 0, 0.2, 0.5, 1]) });
  const request = weighted<FuzzRequest>(random, [
    [30, () => ({ method: chance(random, 0.95) ? 'GET' : 'HEAD', path: randomSearch(random, target), headers: {} })],
    [5, () => postedSearch(random, target)],
    [18, () => randomWrite(random, target)],
    [2, () => restored(random, target)],
    [3, () => randomDelete(random, target)],
    [2, () => randomDefinition(random, target)],
    [8, () => randomPatch(random, target)],
    [6, () => randomBundle(random, target)],
    [16, () => randomOperation(random, target)],
    [10, () => randomRead(random, target)],
  ]);
  return onTheWire(random, request);
}

const form = { 'content-type': 'application/x-www-form-urlencoded' };

/** By POST a search may be longer than an address. */
function postedSearch(random: Wild, target: Target): FuzzRequest {
  const type = anyType(random, target);
  const query = Array.from({ length: chance(random, 0.1) ? 30 : 1 }, () => randomQuery(random, type, target)).join('&');
  const path = `${pick(random, [`${encodeURIComponent(type)}/`, `${encodeURIComponent(type)}/`, ''])}_search`;
  return { method: 'POST', path, headers: { ...form }, body: Buffer.from(query) };
}

/** What was there at first, so that there always is something. */
function restored(random: Wild, { samples }: Target): FuzzRequest {
  const resource = pick(random, samples);
  const headers = { 'content-type': 'application/fhir+json' };
  return {
    method: 'PUT',
    path: `${resource.resourceType}/${resource.id}`,
    headers,
    body: Buffer.from(JSON.stringify(resource)),
  };
}

/** Within what a client can send: addresses in visible Latin-1, headers of one line, bodies compressed now and then. */
function onTheWire(random: Wild, request: FuzzRequest): FuzzRequest {
  const headers: Record<string, string> = { ...(chance(random, 0.4) ? randomHeaders(random) : {}), ...request.headers };
  let { body } = request;
  if (body !== undefined && chance(random, 0.05)) {
    body = gzipSync(body);
    headers['content-encoding'] = 'gzip';
  }
  for (const [name, value] of Object.entries(headers))
    headers[name] = value.replace(/[^\t\x20-\x7e\x80-\xff]/g, '?').slice(0, 6_000);
  // To a HEAD that is no HTTP the server answers as to any other bytes, with a body.
  const unfit = request.method === 'HEAD' ? /[^\x21-\x7e]/g : /[^\x21-\xff]/g;
  const path = request.path.replace(unfit, (character) => encodeURIComponent(character.toWellFormed()));
  return { ...request, path: path.slice(0, 9_000), headers, ...(body === undefined ? {} : { body }) };
}

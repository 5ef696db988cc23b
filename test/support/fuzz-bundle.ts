// Batches and transactions of everything else.
import { jsonPatch } from './fuzz-patch.ts';
import type { FuzzRequest, Target } from './fuzz-request.ts';
import { brokenText, bytesOf, damagedText } from './fuzz-resource.ts';
import { randomQuery, randomSearch } from './fuzz-search.ts';
import { chance, fuzzId, hostileText, many, type Wild, weighted } from './fuzz-values.ts';
import { below, pick } from './random-search.ts';

export function randomBundle(random: Wild, target: Target): FuzzRequest {
  const entries = weighted(random, [
    [20, () => many(random, 6, () => entryText(random, target))],
    [
      0.3,
      () =>
        Array.from(
          { length: 1_500 },
          (_, at) =>
            `{"fullUrl":"urn:uuid:${at}","resource":{"resourceType":"Basic","code":{"text":"x"},"subject":{"reference":"urn:uuid:${at + 1}"}},"request":{"method":"PUT","url":"Basic/f-${at % 60}"}}`,
        ),
    ],
    [0.5, () => []],
  ]);
  const text = `{"resourceType":"Bundle","type":${JSON.stringify(pick(random, ['batch', 'batch', 'transaction', 'transaction', 'transaction', 'collection', 'document', 'x']))},"entry":[${entries.join(',')}]}`;
  const headers = { 'content-type': 'application/fhir+json' };
  return {
    method: 'POST',
    path: '',
    headers,
    body: bytesOf(random, chance(random, 0.05) ? brokenText(random, text) : text),
  };
}

function entryText(random: Wild, target: Target): string {
  const { text, resource } = damagedText(random, target);
  const type = String(resource.resourceType);
  const method = pick(random, ['POST', 'PUT', 'PUT', 'GET', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS', 'x']);
  const url = weighted(random, [
    [4, () => (method === 'POST' ? type : `${type}/${resource.id}`)],
    [2, () => `${type}/${fuzzId(random)}`],
    [2, () => randomSearch(random, target)],
    [1, () => `${type}/${fuzzId(random)}/_history/${below(random, 4)}`],
    [
      1,
      () =>
        pick(random, [
          '',
          '/',
          'metadata',
          '$meta',
          'Patient/$everything',
          'Patient/f-1/$everything',
          '../x',
          'http://x/y',
          'Patient/_search',
          '$graphql',
          'Observation/$lastn',
          'Bundle',
          hostileText(random, 100),
        ]),
    ],
  ]);
  const request = {
    method,
    url: method === 'DELETE' && url.includes('?') ? `${type}?_id=${fuzzId(random)}` : url,
    ...(chance(random, 0.2) ? { ifNoneExist: randomQuery(random, type, target).slice(0, 2_000) } : {}),
    ...(chance(random, 0.2) ? { ifMatch: pick(random, ['W/"1"', '"1"', 'x', '']) } : {}),
  };
  const fullUrl = pick(random, [
    'urn:uuid:a',
    'urn:uuid:b',
    'urn:oid:1.2',
    `http://example.org/${type}/1`,
    `${type}/1`,
    'x',
    '',
  ]);
  const patch =
    method === 'PATCH'
      ? {
          resourceType: 'Binary',
          contentType: 'application/json-patch+json',
          data: Buffer.from(jsonPatch(random, resource)).toString('base64'),
        }
      : undefined;
  const parts = [
    ...(chance(random, 0.7) ? [`"fullUrl":${JSON.stringify(fullUrl)}`] : []),
    ...(chance(random, 0.9) ? [`"resource":${patch === undefined ? text : JSON.stringify(patch)}`] : []),
    ...(chance(random, 0.97) ? [`"request":${JSON.stringify(request)}`] : []),
  ];
  return `{${parts.join(',')}}`;
}

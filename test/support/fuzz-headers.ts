// Headers as anybody might send them: preferences, conditions, media types, encodings, ranges.
import { chance, hostileText, many, type Wild, weighted } from './fuzz-values.ts';
import { pick } from './random-search.ts';

/** Headers as anybody might send them, one in three requests has some. Bytes beyond Latin-1 cannot go into a header. */
export function randomHeaders(random: Wild): Record<string, string> {
  const headers: Record<string, string> = {};
  while (chance(random, 0.3)) {
    const [name, value] = weighted<[string, string]>(random, [
      [3, () => ['prefer', many(random, 3, () => preference(random)).join(pick(random, [', ', '; ', ',']))]],
      [2, () => ['accept', many(random, 3, () => mediaRange(random)).join(', ')]],
      [
        3,
        () => [
          'accept-encoding',
          pick(random, [
            'gzip',
            'br',
            'zstd',
            'deflate',
            'identity',
            'gzip;q=0',
            '*',
            'x',
            'gzip, br;q=0.5',
            '*;q=0',
            '',
          ]),
        ],
      ],
      [
        1,
        () => [
          'range',
          pick(random, [
            'bytes=0-0',
            'bytes=5-',
            'bytes=-5',
            'bytes=9-1',
            'bytes=0-1,3-4',
            'x',
            'bytes=99999999999999999999-',
          ]),
        ],
      ],
      [1, () => ['if-range', pick(random, [entityTag(random), httpDate(random)])]],
      [1, () => ['if-match', entityTag(random)]],
      [1, () => ['if-none-match', entityTag(random)]],
      [1, () => ['if-modified-since', httpDate(random)]],
      [0.5, () => ['x-request-id', pick(random, ['a', 'x'.repeat(100), 'a b', '"'])]],
      [0.5, () => ['x-provenance', pick(random, ['{}', '{"resourceType":"Provenance"}', 'x'])]],
      [0.5, () => ['content-encoding', pick(random, ['gzip', 'br', 'identity', 'x', 'gzip, gzip'])]],
      [0.3, () => ['host', pick(random, ['example.org', '127.0.0.1', 'localhost', 'x y'])]],
      [
        0.5,
        () => [
          pick(random, [
            'x-forwarded-host',
            'authorization',
            'cookie',
            'origin',
            'x-http-method-override',
            'if-unmodified-since',
            'te',
            'forwarded',
          ]),
          pick(random, ['x', 'Bearer x', 'DELETE', 'null', 'host=x']),
        ],
      ],
      [0.3, () => [pick(random, ['prefer', 'accept', 'if-match', 'if-none-exist']), hostileText(random, 500)]],
    ]);
    headers[name] = value.replace(/[^\t\x20-\x7e\x80-\xff]/g, '?');
  }
  return headers;
}

const preference = (random: Wild): string =>
  pick(random, [
    'return=minimal',
    'return=representation',
    'return=OperationOutcome',
    'return=x',
    'handling=lenient',
    'handling=strict',
    'handling="lenient"',
    'respond-async',
    'dry-run',
    'wait=5',
    'x',
    '=',
    'return',
    'return=minimal; return=representation',
  ]);

const mediaRange = (random: Wild): string =>
  pick(random, [
    'application/fhir+json',
    'application/fhir+xml',
    'application/json',
    'text/html',
    '*/*',
    'application/*',
    'text/csv',
    'application/x-ndjson',
    'application/fhir+json;q=0',
    'application/fhir+xml;fhirVersion=4.0',
    'application/fhir+json;fhirVersion=3.0',
    'image/png',
    'x',
    ';',
    'application/xml;q=x',
    'application/graphql-response+json',
  ]);

const entityTag = (random: Wild): string =>
  pick(random, ['W/"1"', 'W/"2"', '"1"', '*', 'W/"x"', '1', '', 'W/"1", W/"2"', '"', 'W/"99999999999999999999"']);
const httpDate = (random: Wild): string =>
  pick(random, ['Sun, 06 Nov 1994 08:49:37 GMT', 'Fri, 31 Dec 9999 23:59:59 GMT', 'x', '2026-01-01', '']);

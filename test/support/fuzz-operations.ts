// Operations called with made-up parameters, reads of made-up addresses, and headers of every kind.
import { anyPath, type Json } from './fuzz-content.ts';
import { type FuzzRequest, json, type Target } from './fuzz-request.ts';
import { anyType, randomQuery } from './fuzz-search.ts';
import {
  chance,
  dateText,
  hostileText,
  inAddress,
  many,
  names,
  oops,
  referenceText,
  tokenText,
  type Wild,
  weighted,
} from './fuzz-values.ts';
import { below, pick } from './random-search.ts';

// ---- operations ----

export function randomOperation(random: Wild, target: Target): FuzzRequest {
  const type = anyType(random, target);
  const one = pick(random, target.known);
  const calls: readonly (readonly [number, () => FuzzRequest])[] = [
    [
      2,
      () =>
        called(
          random,
          `${pick(random, ['Patient', one, 'Group/f-1'])}/$everything`,
          ['start', 'end', '_since', '_type', '_count', '_page'],
          target,
        ),
    ],
    [3, () => graphql(random, target)],
    [
      2,
      () =>
        called(
          random,
          'Observation/$lastn',
          ['subject', 'patient', 'code', 'category', 'max', 'date', '_include', '_summary'],
          target,
        ),
    ],
    [
      2,
      () =>
        called(
          random,
          'Observation/$stats',
          ['subject', 'code', 'system', 'coding', 'duration', 'period', 'statistic', 'include', 'limit'],
          target,
        ),
    ],
    [2, () => called(random, `${pick(random, ['', `${type}/`, `${one}/`])}$meta`, ['x'], target)],
    [
      2,
      () => ({
        method: 'POST',
        path: `${one}/$meta-${pick(random, ['add', 'delete'])}`,
        headers: jsonHeaders,
        body: json(metaParameters(random)),
      }),
    ],
    [3, () => viewRun(random, target)],
    [3, () => plain('GET', `${type}/$explain?${randomQuery(random, type, target)}`)],
    [2, () => plain('GET', `${type}/$why-not?resource=${one}&${randomQuery(random, type, target)}`)],
    [
      2,
      () =>
        plain(
          pick(random, ['GET', 'GET', 'DELETE']),
          `$job-status?id=${pick(random, [...target.jobs, 'x', '%00', hostileEscaped(random)])}`,
        ),
    ],
    [
      1,
      () =>
        plain(
          pick(random, ['GET', 'POST']),
          `${pick(random, ['', `${type}/`, `${one}/`])}$${pick(random, ['x', 'validate', '', '$', 'everything/x', 'meta-add', hostileEscaped(random)])}`,
        ),
    ],
  ];
  return weighted(random, calls);
}

const jsonHeaders = { 'content-type': 'application/fhir+json' };
const plain = (method: string, path: string): FuzzRequest => ({ method, path, headers: {} });
const hostileEscaped = (random: Wild): string => encodeURIComponent(hostileText(random, 200).toWellFormed());

/** By GET with a query, or by POST with Parameters. */
function called(random: Wild, path: string, parameters: readonly string[], target: Target): FuzzRequest {
  const given = many(random, 5, (): [string, string] => {
    const name = oops(random, 0.1) ? pick(random, names) : pick(random, parameters);
    return [name, operationValue(random, name, target)];
  });
  if (chance(random, 0.7)) {
    return plain(
      'GET',
      `${path}?${given.map(([name, value]) => `${encodeURIComponent(name)}=${inAddress(random, value)}`).join('&')}`,
    );
  }
  const kinds = [
    'valueString',
    'valueCode',
    'valueInteger',
    'valueReference',
    'valueCoding',
    'valueDate',
    'valuePeriod',
    'valueUri',
  ];
  const parameter = given.map(([name, value]) => ({
    name,
    [pick(random, kinds)]: chance(random, 0.8) ? value : { system: 'x', code: value },
  }));
  const text = JSON.stringify({ resourceType: 'Parameters', parameter });
  return {
    method: 'POST',
    path,
    headers: jsonHeaders,
    body: Buffer.from(chance(random, 0.05) ? text.slice(0, below(random, text.length)) : text),
  };
}

function operationValue(random: Wild, name: string, target: Target): string {
  if (oops(random, 0.3)) return hostileText(random, 1_000);
  if (['start', 'end', '_since', 'date', 'period'].includes(name)) return dateText(random);
  if (['subject', 'patient'].includes(name)) return referenceText(random, target.known);
  if (name === '_type') return many(random, 5, () => anyType(random, target)).join(',');
  if (name === 'statistic')
    return pick(random, [
      'average',
      'maximum',
      'minimum',
      'count',
      'median',
      'std-dev',
      'skew',
      'kurtosis',
      'regression',
      '20-percent',
      'x',
    ]);
  if (['code', 'coding', 'category', 'system'].includes(name)) return tokenText(random);
  return pick(random, ['0', '1', '5', '-1', '999999999', 'true', 'x', '1.5']);
}

const metaParameters = (random: Wild): Json => ({
  resourceType: 'Parameters',
  parameter: many(random, 2, () => ({
    name: pick(random, ['meta', 'meta', 'x']),
    valueMeta: {
      tag: many(random, 3, () => ({
        system: pick(random, ['urn:x', 'urn:y']),
        code: chance(random, 0.8) ? `t${below(random, 5)}` : hostileText(random, 300),
      })),
      profile: ['http://example.org/p'],
      ...(chance(random, 0.1) ? { [pick(random, names)]: hostileText(random, 50) } : {}),
    },
  })),
});

// ---- $graphql ----

function graphql(random: Wild, target: Target): FuzzRequest {
  const one = pick(random, target.known);
  const [type = 'Patient'] = one.split('/');
  const isInstance = chance(random, 0.5);
  const document = weighted(random, [
    [8, () => (isInstance ? selection(random, type, target, 0) : `{${lists(random, target)}}`)],
    [1, () => `${'{a'.repeat(below(random, 4_000))}`],
    [
      1,
      () =>
        `query ($a: ${pick(random, ['Int', 'String', '[[[Int]]]'])}) {Patient(id: $a) {id ...F}} fragment F on Patient {id ...F}`,
    ],
    [
      1,
      () => `{${Array.from({ length: below(random, 1_200) }, (_, at) => `a${at}: Patient(id:"f-1"){id}`).join(' ')}}`,
    ],
    [1, () => '{__schema{types{name fields{name type{name ofType{name}}}}}}'],
    [1, () => hostileText(random)],
  ]);
  const path = isInstance ? `${one}/$graphql` : '$graphql';
  return weighted<FuzzRequest>(random, [
    [4, () => plain('GET', `${path}?query=${encodeURIComponent(document.toWellFormed()).slice(0, 7_000)}`)],
    [
      3,
      () => ({ method: 'POST', path, headers: { 'content-type': 'application/graphql' }, body: Buffer.from(document) }),
    ],
    [
      3,
      () => ({
        method: 'POST',
        path,
        headers: { 'content-type': 'application/json' },
        body: json({
          query: document,
          variables: pick(random, [{}, { a: 1 }, { a: 'f-1' }, null, 'x', []]),
          ...(chance(random, 0.1) ? { operationName: 'x' } : {}),
        }),
      }),
    ],
  ]);
}

const FIELDS = [
  'id',
  'resourceType',
  'status',
  'name{family given}',
  'identifier{system value}',
  'code{coding{code} text}',
  'text{div}',
  'meta{tag{code}}',
  'subject{reference resource{...on Patient{id}}}',
  'extension{url}',
  'contact(fhirpath:"true"){name{family}}',
  'name(use:official _first:true){family @flatten}',
  'x',
  '__typename',
  'name @first {family}',
  'birthDate @skip(if:true)',
  'component @slice(path:"code"){code{text}}',
];

function selection(random: Wild, type: string, target: Target, depth: number): string {
  const fields = many(random, 6, () =>
    chance(random, 0.2) && depth < 6
      ? `subject{resource{...on ${anyType(random, target) || 'Patient'} ${selection(random, type, target, depth + 1)}}}`
      : pick(random, FIELDS),
  );
  return `{${fields.join(' ')}}`;
}

function lists(random: Wild, target: Target): string {
  const type = pick(random, target.types);
  return many(random, 4, () =>
    weighted(random, [
      [3, () => `${type}List(_count:${below(random, 50)}){id ${selection(random, type, target, 0).slice(1, -1)}}`],
      [1, () => `${type}Connection(first:${below(random, 50)}){count edges{resource{id}} pageinfo{next}}`],
      [
        1,
        () =>
          `PatientList(name:"a" _sort:"${pick(random, ['name', '-birthdate', 'x'])}"){id ObservationList(_reference:subject){id}}`,
      ],
      [1, () => `${type}(id:"${pick(random, ['f-1', '1', '', '__proto__'])}"){id}`],
      [
        1,
        () =>
          `x${below(random, 9)}:${type}List(${pick(random, names).replace(/[^A-Za-z_]/g, '') || 'a'}:"${hostileText(random, 40).replace(/["\\\n\r]/g, '')}"){id}`,
      ],
    ]),
  ).join(' ');
}

// ---- ViewDefinition/$run ----

function viewRun(random: Wild, target: Target): FuzzRequest {
  const parameter = [
    { name: 'viewResource', resource: view(random, target) },
    ...(chance(random, 0.3) ? [{ name: '_limit', valueInteger: below(random, 100) }] : []),
    ...(chance(random, 0.2)
      ? [{ name: 'patient', valueReference: { reference: referenceText(random, target.known) } }]
      : []),
    ...(chance(random, 0.2)
      ? many(random, 10, () => ({ name: 'resource', resource: pick(random, target.samples) }))
      : []),
  ];
  const path = `${pick(random, ['ViewDefinition/$run', '$viewdefinition-run'])}?_format=${pick(random, ['json', 'csv', 'ndjson', 'xml', 'x'])}`;
  return { method: 'POST', path, headers: jsonHeaders, body: json({ resourceType: 'Parameters', parameter }) };
}

const VIEW_PATHS = [
  'id',
  'getResourceKey()',
  'name.family',
  "name.where(use = 'official').given.first()",
  'birthDate',
  'subject.getReferenceKey(Patient)',
  'value.ofType(Quantity).value',
  "code.coding.code.join(',')",
  'extension.exists()',
  '%x',
  '$this',
  '%rowIndex',
  'name.given.count()',
];

const view = (random: Wild, target: Target): Json => ({
  resourceType: 'ViewDefinition',
  status: 'active',
  resource: chance(random, 0.95) ? pick(random, target.types) : hostileText(random, 30),
  constant: chance(random, 0.3)
    ? [{ name: chance(random, 0.8) ? 'x' : pick(random, names), valueString: 'x' }]
    : undefined,
  where: chance(random, 0.3) ? [{ path: viewPath(random) }] : undefined,
  select: many(random, 3, () => viewSelect(random, 0)),
});

const viewPath = (random: Wild): string => (chance(random, 0.7) ? pick(random, VIEW_PATHS) : anyPath(random));

function viewSelect(random: Wild, depth: number): Json {
  const column = (): Json => ({
    name: chance(random, 0.95) ? `c${below(random, 1_000)}` : hostileText(random, 30),
    path: viewPath(random),
    ...(chance(random, 0.3) ? { type: pick(random, ['string', 'boolean', 'integer', 'dateTime', 'x']) } : {}),
    ...(chance(random, 0.2) ? { collection: chance(random, 0.5) } : {}),
  });
  return {
    column: many(random, 3, column),
    ...(chance(random, 0.3) ? { forEach: viewPath(random) } : {}),
    ...(chance(random, 0.2) ? { forEachOrNull: pick(random, ['name', 'contact', 'component', 'x']) } : {}),
    ...(chance(random, 0.05) ? { repeat: ['item', 'contained', 'extension'] } : {}),
    ...(depth < 6 && chance(random, 0.3) ? { select: many(random, 2, () => viewSelect(random, depth + 1)) } : {}),
    ...(depth < 6 && chance(random, 0.1) ? { unionAll: many(random, 3, () => viewSelect(random, depth + 1)) } : {}),
  };
}

// ---- reads ----

export function randomRead(random: Wild, target: Target): FuzzRequest {
  const one = pick(random, target.known);
  const type = anyType(random, target);
  const hostile = (): string => inAddress(random, hostileText(random, 300));
  const history = (): string =>
    `${pick(random, ['_since', '_at', '_count', '_list', '_page', '_sort'])}=${inAddress(random, pick(random, [dateText(random), '1', 'x', '-1', hostileText(random, 60)]))}`;
  const path = weighted(random, [
    [5, () => one],
    [2, () => `${one}/_history/${pick(random, ['1', '2', '99', '0', 'x', '%00', '1'.repeat(70)])}`],
    [2, () => `${one}/_history?${history()}&${history()}`],
    [2, () => `${type}/_history?${history()}`],
    [1, () => `_history?${history()}`],
    [
      1,
      () => `metadata?${pick(random, ['', 'mode=full', 'mode=x', '_format=xml', '_summary=true', '_elements=rest'])}`,
    ],
    [
      1,
      () =>
        `${one}?${pick(random, ['_summary=text', '_elements=id', '_format=xml', '_pretty=true', '_asOf=2026-01-01T00:00:00Z', 'x=y', '_format=%00'])}`,
    ],
    [1, () => `Binary/${pick(random, ['f-1', 'f-2', 'example'])}`],
    [1, () => `${type}/${hostile()}`],
    [1, () => `${hostile()}/${hostile()}`],
    [
      1,
      () =>
        many(random, 8, () =>
          pick(random, [type, 'f-1', '_history', '1', '*', '..', '.', '', '$meta', '_search', hostile()]),
        ).join('/'),
    ],
  ]);
  return {
    method: pick(random, ['GET', 'GET', 'GET', 'GET', 'HEAD', 'OPTIONS', 'POST', 'TRACE', 'PROPFIND']),
    path,
    headers: {},
  };
}

// ---- headers ----

const entityTag = (random: Wild): string =>
  pick(random, ['W/"1"', 'W/"2"', '"1"', '*', 'W/"x"', '1', '', 'W/"1", W/"2"', '"', 'W/"99999999999999999999"']);
const httpDate = (random: Wild): string =>
  pick(random, ['Sun, 06 Nov 1994 08:49:37 GMT', 'Fri, 31 Dec 9999 23:59:59 GMT', 'x', '2026-01-01', '']);

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

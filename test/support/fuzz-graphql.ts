// $graphql: queries with fields that are there and that are not, deep ones, wide ones, and no GraphQL at all.
import { type FuzzRequest, json, type Target } from './fuzz-request.ts';
import { anyType } from './fuzz-search.ts';
import { chance, hostileText, many, names, type Wild, weighted } from './fuzz-values.ts';
import { below, pick } from './random-search.ts';

export function randomGraphql(random: Wild, target: Target): FuzzRequest {
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
    [4, () => get(`${path}?query=${encodeURIComponent(document.toWellFormed()).slice(0, 7_000)}`)],
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

const get = (path: string): FuzzRequest => ({ method: 'GET', path, headers: {} });

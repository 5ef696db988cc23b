// Searches made up by a grammar: all parameters, modifiers, prefixes, chains, _has, _filter and composites of R4, right
// ones and wrong ones. https://hl7.org/fhir/R4/search.html, https://hl7.org/fhir/R4/search_filter.html
import { loadDefinitions, type SearchParameter } from '../../src/model/definitions.ts';
import {
  chance,
  dateText,
  hostileText,
  inAddress,
  many,
  names,
  numberText,
  prefixes,
  quantityText,
  referenceText,
  tokenText,
  weighted,
  wordText,
} from './fuzz-values.ts';
import { below, pick, type Random } from './random-search.ts';

/** What made-up requests are about. */
export interface Subjects {
  /** `Type/id` of what is there. */
  known: readonly string[];
  /** Types of what is there. */
  types: readonly string[];
}

const definitions = loadDefinitions();
const allTypes = definitions.resourceTypes;
const wrongTypes = [
  'patient',
  'Foo',
  '__proto__',
  'constructor',
  '*',
  'Resource',
  'DomainResource',
  'Patient ',
  'Ä',
  '',
];

export function anyType(random: Random, { types }: Subjects): string {
  return weighted(random, [
    [16, () => pick(random, types)],
    [4, () => pick(random, allTypes)],
    [0.3, () => pick(random, wrongTypes)],
  ]);
}

/** A query for a type: `name=value&…`, in the characters of an address. */
export function randomQuery(random: Random, type: string, subjects: Subjects): string {
  const count = weighted(random, [
    [4, () => 1],
    [4, () => below(random, 4)],
    [0.1, () => 40],
  ]);
  const parts = Array.from({ length: count }, () => criterion(random, type, subjects));
  while (chance(random, 0.4)) parts.push(resultParameter(random, type, subjects));
  if (chance(random, 0.02)) parts.push(pick(random, ['', '=', '=x', '&', 'a', '%', ';a=b', '_count', '?x=1']));
  return parts.join('&');
}

/** Path and query of a search, relative to the base; an address has 8 KB. */
export function randomSearch(random: Random, subjects: Subjects): string {
  const type = anyType(random, subjects);
  const query = randomQuery(random, type, subjects);
  return weighted(random, [
    [12, () => `${type}?${query}`],
    [1, () => `?_type=${many(random, 4, () => anyType(random, subjects)).join(',')}&${query}`],
    [1, () => `?${query}`],
    [2, () => `${compartment(random, subjects)}/${chance(random, 0.3) ? '*' : type}?${query}`],
  ]);
}

const compartment = (random: Random, { known }: Subjects): string =>
  pick(
    random,
    known.filter((one) => /^(Patient|Encounter|Practitioner|Device|RelatedPerson)\//.test(one)),
  );

// ---- criteria ----

function criterion(random: Random, type: string, subjects: Subjects, depth = 0): string {
  const asked = weighted<[name: string, value: string]>(random, [
    [10, () => plain(random, type, subjects)],
    [3, () => chain(random, type, subjects, depth)],
    [2, () => has(random, type, subjects, depth)],
    [1.5, () => ['_filter', filter(random, type, subjects, 0)]],
    [1, () => common(random, subjects)],
    [0.3, () => [pick(random, names), hostileText(random)]],
  ]);
  const [name, value] = asked;
  return `${chance(random, 0.03) ? inAddress(random, name) : nameInAddress(name)}=${inAddress(random, value)}`;
}

const nameInAddress = (name: string): string => encodeURIComponent(name.toWellFormed()).replaceAll('%3A', ':');

const MODIFIERS = [
  'missing',
  'exact',
  'contains',
  'text',
  'not',
  'in',
  'not-in',
  'above',
  'below',
  'of-type',
  'identifier',
  'iterate',
  'Patient',
  'Practitioner',
  'Foo',
  '',
  'x',
  '__proto__',
  'exact:exact',
];

function plain(random: Random, type: string, subjects: Subjects): [string, string] {
  const parameter = parameterOf(random, type);
  const modifier = chance(random, 0.3) ? `:${pick(random, MODIFIERS)}` : '';
  if (modifier === ':missing' && chance(random, 0.8))
    return [parameter.code + modifier, pick(random, ['true', 'false'])];
  const value = (): string => valueFor(random, parameter, subjects);
  const values = chance(random, 0.02) ? Array.from({ length: 130 }, value) : many(random, 3, value);
  return [parameter.code + modifier, values.join(',')];
}

function parameterOf(random: Random, type: string, kind?: SearchParameter['type']): SearchParameter {
  const all = [...definitions.searchParameters(definitions.isResourceType(type) ? type : 'Patient').values()];
  const fitting = kind === undefined ? all : all.filter((parameter) => parameter.type === kind);
  return pick(random, fitting.length > 0 ? fitting : all);
}

function valueFor(random: Random, parameter: SearchParameter, subjects: Subjects): string {
  if (chance(random, 0.15)) return hostileText(random);
  switch (parameter.type) {
    case 'date':
      return pick(random, prefixes) + dateText(random);
    case 'number':
      return pick(random, prefixes) + numberText(random);
    case 'quantity':
      return quantityText(random);
    case 'token':
      return tokenText(random);
    case 'reference':
      return referenceText(random, subjects.known);
    case 'uri':
      return pick(random, [
        'http://hl7.org/fhir',
        'urn:oid:1.2',
        'http://example.org/a/b/c',
        '/',
        'http://',
        wordText(random),
      ]);
    case 'string':
      return wordText(random);
    case 'composite':
      return composite(random, parameter, subjects);
    case 'special':
      return (
        many(random, 5, () => numberText(random)).join('|') + pick(random, ['', '|km', '|[mi_us]', '|parsec', '|'])
      );
  }
}

function composite(random: Random, { base, components = [] }: SearchParameter, subjects: Subjects): string {
  const all = [...definitions.searchParameters(base).values()];
  const parts = components.map(({ definition }) => {
    const part = all.find(({ url }) => url === definition) ?? pick(random, all);
    return part.type === 'composite' ? 'a' : valueFor(random, part, subjects);
  });
  if (chance(random, 0.1)) parts.push('x');
  if (chance(random, 0.1)) parts.pop();
  return parts.join('$');
}

function chain(random: Random, type: string, subjects: Subjects, depth: number): [string, string] {
  const parameter = parameterOf(random, type, chance(random, 0.9) ? 'reference' : undefined);
  const target = pick(random, parameter.targets.length > 0 ? parameter.targets : subjects.types);
  const [name, value] =
    depth < 5 && chance(random, 0.35)
      ? chain(random, target, subjects, depth + 1)
      : chance(random, 0.1) && depth < 5
        ? has(random, target, subjects, depth + 1)
        : plain(random, target, subjects);
  return [`${parameter.code}${chance(random, 0.5) ? `:${target}` : ''}.${name}`, value];
}

function has(random: Random, _type: string, subjects: Subjects, depth: number): [string, string] {
  const source = anyType(random, subjects);
  const reference = parameterOf(random, source, chance(random, 0.95) ? 'reference' : undefined);
  const [name, value] =
    depth < 4 && chance(random, 0.25)
      ? has(random, source, subjects, depth + 1)
      : chance(random, 0.2) && depth < 4
        ? chain(random, source, subjects, depth + 1)
        : plain(random, source, subjects);
  const head = weighted(random, [
    [20, () => `_has:${source}:${reference.code}`],
    [1, () => pick(random, ['_has', '_has:', `_has:${source}`, '_has::', `_has:${source}:${reference.code}:_has`])],
  ]);
  return [`${head}:${name}`, value];
}

const common = (random: Random, subjects: Subjects): [string, string] =>
  weighted<[string, string]>(random, [
    [2, () => [pick(random, ['_text', '_content']), many(random, 25, () => wordText(random)).join(' ')]],
    [1, () => ['_list', pick(random, ['1', 'List/f-1', '$current-problems', hostileText(random, 80)])]],
    [1, () => ['_lastUpdated', pick(random, prefixes) + dateText(random)]],
    [1, () => ['_id', many(random, 4, () => referenceText(random, subjects.known).split('/').at(-1) ?? '').join(',')]],
    [
      1,
      () => [
        pick(random, ['_tag', '_security', '_profile', '_source', '_tag:not', '_profile:below']),
        tokenText(random),
      ],
    ],
    [1, () => ['_page', hostileText(random)]],
  ]);

// ---- _filter ----

const OPERATORS = [
  'eq',
  'ne',
  'co',
  'sw',
  'ew',
  'gt',
  'lt',
  'ge',
  'le',
  'ap',
  'sa',
  'eb',
  'pr',
  'po',
  'ss',
  'sb',
  'in',
  'ni',
  're',
  'xx',
];

function filter(random: Random, type: string, subjects: Subjects, depth: number): string {
  if (depth > 14) return 'a eq b';
  const inner = (): string => filter(random, type, subjects, depth + 1);
  return weighted(random, [
    [6, () => comparison(random, type, subjects, depth)],
    [1, () => `${inner()} and ${inner()}`],
    [1, () => `${inner()} or ${inner()}`],
    [1, () => `not (${inner()})`],
    [1, () => `(${inner()})`],
    [0.2, () => '('.repeat(below(random, 2_000))],
    [0.2, () => hostileText(random)],
  ]);
}

function comparison(random: Random, type: string, subjects: Subjects, depth: number): string {
  const parameter = parameterOf(random, type);
  const further = parameterOf(random, parameter.targets[0] ?? type);
  const path = weighted(random, [
    [6, () => parameter.code],
    [1, () => `${parameter.code}.${further.code}`],
    [
      1,
      () => `${parameter.code}[${filter(random, parameter.targets[0] ?? type, subjects, depth + 4)}].${further.code}`,
    ],
    [0.3, () => pick(random, names)],
  ]);
  const value = valueFor(random, parameter, subjects);
  const quoted = weighted(random, [
    [4, () => `"${value.replace(/["\\]/g, '\\$&')}"`],
    [3, () => value],
    [0.3, () => `"${value}`],
  ]);
  return `${path} ${pick(random, OPERATORS)} ${quoted}`;
}

// ---- how the answer is to look ----

function resultParameter(random: Random, type: string, subjects: Subjects): string {
  const own = (): string => parameterOf(random, type).code;
  const reference = (source: string): string => parameterOf(random, source, 'reference').code;
  const [name, value] = weighted<[string, string]>(random, [
    [4, () => ['_sort', many(random, 3, () => `${chance(random, 0.5) ? '-' : ''}${sortKey(random, type)}`).join(',')]],
    [3, () => ['_count', pick(random, ['0', '1', '3', '500', '1000000', '-1', '1.5', '', 'x', '9'.repeat(30)])]],
    [
      3,
      () => [
        includeName(random, '_include'),
        pick(random, ['*', `${type}:*`, '*:*', `${type}:${reference(type)}`, `${type}:${own()}:Patient`]),
      ],
    ],
    [
      3,
      () => {
        const source = anyType(random, subjects);
        return [
          includeName(random, '_revinclude'),
          pick(random, [
            '*',
            '*:*',
            `${source}:*`,
            `${source}:${reference(source)}`,
            `${source}:${reference(source)}:${type}`,
          ]),
        ];
      },
    ],
    [
      2,
      () => [
        '_elements',
        many(random, 6, () =>
          pick(random, ['id', 'name', 'status', 'code.coding', 'subject', own(), pick(random, names)]),
        ).join(','),
      ],
    ],
    [2, () => ['_summary', pick(random, ['true', 'text', 'data', 'count', 'false', 'x', ''])]],
    [2, () => ['_total', pick(random, ['none', 'estimate', 'accurate', 'x'])]],
    [1, () => ['_contained', pick(random, ['true', 'false', 'both', 'x'])]],
    [1, () => ['_containedType', pick(random, ['container', 'contained', 'x'])]],
    [
      1,
      () => [
        '_asOf',
        pick(random, [
          `${dateText(random)}`,
          '2999-01-01T00:00:00Z',
          '1970-01-01T00:00:00Z',
          '2026-06-01T00:00:00+02:00',
        ]),
      ],
    ],
    [
      2,
      () => [
        '_format',
        pick(random, [
          'json',
          'xml',
          'application/fhir+xml',
          'text/html',
          'html',
          'turtle',
          'ndjson',
          'csv',
          '',
          hostileText(random, 60),
        ]),
      ],
    ],
    [1, () => ['_pretty', pick(random, ['true', 'false', 'x'])]],
    [
      0.5,
      () => [pick(random, ['_query', '_maxresults', '_include:x', '_since', '_at', '_type']), hostileText(random, 60)],
    ],
  ]);
  return `${name}=${chance(random, 0.1) ? inAddress(random, value) : encodeURIComponent(value.toWellFormed())}`;
}

const includeName = (random: Random, name: string): string =>
  name + pick(random, ['', '', '', ':iterate', ':iterate', ':recurse', ':x']);

function sortKey(random: Random, type: string): string {
  const parameter = parameterOf(random, type);
  return weighted(random, [
    [6, () => parameter.code],
    [2, () => '_lastUpdated'],
    [
      2,
      () => {
        const reference = parameterOf(random, type, 'reference');
        const target = reference.targets[0] ?? 'Patient';
        return `${reference.code}${chance(random, 0.5) ? `:${target}` : ''}.${parameterOf(random, target).code}`;
      },
    ],
    [0.5, () => pick(random, names)],
  ]);
}

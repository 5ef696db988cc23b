// Searches made up by a grammar: all parameters, modifiers, prefixes, chains, _has, _filter and composites of R4, right
// ones and wrong ones. https://hl7.org/fhir/R4/search.html, https://hl7.org/fhir/R4/search_filter.html
import { loadDefinitions, type SearchParameter } from '../../src/model/definitions.ts';
import {
  chance,
  dateText,
  hostileText,
  inAddress,
  many,
  mostly,
  names,
  numberText,
  oops,
  prefixedDate,
  prefixedNumber,
  quantityText,
  referenceText,
  tokenText,
  type Wild,
  weighted,
  wordText,
} from './fuzz-values.ts';
import { below, pick } from './random-search.ts';

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

export const anyType = (random: Wild, { types }: Subjects): string =>
  mostly(
    random,
    0.05,
    () => (chance(random, 0.8) ? pick(random, types) : pick(random, allTypes)),
    () => pick(random, wrongTypes),
  );

/** A query for a type: `name=value&…`, in the characters of an address. */
export function randomQuery(random: Wild, type: string, subjects: Subjects): string {
  const count = oops(random, 0.01) ? 40 : below(random, 4);
  const parts = Array.from({ length: count }, () => criterion(random, type, subjects));
  while (chance(random, 0.4)) parts.push(resultParameter(random, type, subjects));
  if (oops(random, 0.05)) parts.push(pick(random, ['', '=', '=x', '&', 'a', '%', ';a=b', '_count', '?x=1']));
  return parts.join('&');
}

/** Path and query of a search, relative to the base. */
export function randomSearch(random: Wild, subjects: Subjects): string {
  const type = anyType(random, subjects);
  const query = randomQuery(random, type, subjects);
  return weighted(random, [
    [12, () => `${type}?${query}`],
    [1, () => `?_type=${many(random, 4, () => anyType(random, subjects)).join(',')}&${query}`],
    [0.5, () => `?${query}`],
    [2, () => `${compartment(random, subjects)}/${chance(random, 0.3) ? '*' : type}?${query}`],
  ]);
}

const compartment = (random: Wild, { known }: Subjects): string =>
  pick(
    random,
    known.filter((one) => /^(Patient|Encounter|Practitioner|Device|RelatedPerson)\//.test(one)),
  );

// ---- criteria ----

function criterion(random: Wild, type: string, subjects: Subjects): string {
  const [name, value] = oops(random, 0.04)
    ? [pick(random, names), hostileText(random)]
    : weighted(random, [
        [10, () => plain(random, type, subjects)],
        [3, () => chain(random, type, subjects, 0)],
        [2, () => has(random, type, subjects, 0)],
        [1.5, () => ['_filter', filter(random, type, subjects, 0)] as const],
        [1, () => common(random, subjects)],
      ]);
  return `${oops(random, 0.05) ? inAddress(random, name) : nameInAddress(name)}=${inAddress(random, value)}`;
}

const nameInAddress = (name: string): string => encodeURIComponent(name.toWellFormed()).replaceAll('%3A', ':');

type Asked = readonly [name: string, value: string];

const MODIFIERS: Readonly<Record<SearchParameter['type'], readonly string[]>> = {
  string: ['exact', 'contains', 'missing'],
  token: ['not', 'text', 'in', 'not-in', 'above', 'below', 'of-type', 'missing'],
  reference: ['identifier', 'Patient', 'Practitioner', 'missing'],
  uri: ['above', 'below', 'missing'],
  date: ['missing'],
  number: ['missing'],
  quantity: ['missing'],
  composite: ['missing'],
  special: ['missing'],
};
const wrongModifiers = ['exact', 'contains', 'in', 'iterate', 'Foo', '', 'x', '__proto__', 'exact:exact', 'Patient'];

function plain(random: Wild, type: string, subjects: Subjects): Asked {
  const parameter = parameterOf(random, type);
  const modifiers = MODIFIERS[parameter.type];
  const modifier = chance(random, 0.25)
    ? mostly(
        random,
        0.3,
        () => pick(random, modifiers),
        () => pick(random, wrongModifiers),
      )
    : undefined;
  const name = modifier === undefined ? parameter.code : `${parameter.code}:${modifier}`;
  if (modifier === 'missing' && !oops(random, 0.2)) return [name, pick(random, ['true', 'false'])];
  const value = (): string => valueFor(random, parameter, subjects);
  return [name, (oops(random, 0.04) ? Array.from({ length: 130 }, value) : many(random, 3, value)).join(',')];
}

function parameterOf(random: Wild, type: string, kind?: SearchParameter['type']): SearchParameter {
  const all = [...definitions.searchParameters(definitions.isResourceType(type) ? type : 'Patient').values()];
  const fitting = kind === undefined ? all : all.filter((parameter) => parameter.type === kind);
  const usable = fitting.filter(
    ({ code, expression }) => expression !== '' || code.startsWith('_i') || oops(random, 0.2),
  );
  return pick(random, usable.length > 0 ? usable : all);
}

function valueFor(random: Wild, parameter: SearchParameter, subjects: Subjects): string {
  if (oops(random, 0.2)) return hostileText(random);
  switch (parameter.type) {
    case 'date':
      return prefixedDate(random);
    case 'number':
      return prefixedNumber(random);
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
        'http://',
        wordText(random),
      ]);
    case 'string':
      return wordText(random);
    case 'composite':
      return composite(random, parameter, subjects);
    case 'special':
      return mostly(
        random,
        0.4,
        () =>
          `${below(random, 90)}.5|-${below(random, 180)}.25|${below(random, 9_000)}|${pick(random, ['km', '[mi_us]', 'm'])}`,
        () => many(random, 5, () => numberText(random)).join('|') + pick(random, ['', '|km', '|parsec', '|']),
      );
  }
}

function composite(random: Wild, { base, components = [] }: SearchParameter, subjects: Subjects): string {
  const all = [...definitions.searchParameters(base).values()];
  const parts = components.map(({ definition }) => {
    const part = all.find(({ url }) => url === definition) ?? pick(random, all);
    return part.type === 'composite' ? 'a' : valueFor(random, part, subjects);
  });
  if (oops(random, 0.2)) parts.push('x');
  if (oops(random, 0.2)) parts.pop();
  return parts.join('$');
}

function chain(random: Wild, type: string, subjects: Subjects, depth: number): Asked {
  const parameter = parameterOf(random, type, oops(random, 0.1) ? undefined : 'reference');
  const target = pick(random, parameter.targets.length > 0 ? parameter.targets : subjects.types);
  const isDeep = depth < 1 || (depth < 5 && oops(random, 0.5));
  const [name, value] =
    isDeep && chance(random, 0.35)
      ? chain(random, target, subjects, depth + 1)
      : isDeep && chance(random, 0.1)
        ? has(random, target, subjects, depth + 1)
        : plain(random, target, subjects);
  return [`${parameter.code}${chance(random, 0.7) ? `:${target}` : ''}.${name}`, value];
}

/** What refers to the type by one of its parameters. */
function has(random: Wild, type: string, subjects: Subjects, depth: number): Asked {
  const referring = subjects.types.filter((one) => referencesTo(type, one).length > 0);
  const isRight = referring.length > 0 && !oops(random, 0.15);
  const source = isRight ? pick(random, referring) : anyType(random, subjects);
  const code = isRight ? pick(random, referencesTo(type, source)) : parameterOf(random, source, 'reference').code;
  const isDeep = depth < 1 || (depth < 4 && oops(random, 0.5));
  const [name, value] =
    isDeep && chance(random, 0.2)
      ? has(random, source, subjects, depth + 1)
      : isDeep && chance(random, 0.2)
        ? chain(random, source, subjects, depth + 1)
        : plain(random, source, subjects);
  const head = mostly(
    random,
    0.05,
    () => `_has:${source}:${code}`,
    () => pick(random, ['_has', '_has:', `_has:${source}`, '_has::', `_has:${source}:${code}:_has`]),
  );
  return [`${head}:${name}`, value];
}

const referencesTo = (type: string, source: string): string[] =>
  [...definitions.searchParameters(source).values()]
    .filter((parameter) => parameter.type === 'reference' && parameter.targets.includes(type))
    .map(({ code }) => code);

const common = (random: Wild, subjects: Subjects): Asked =>
  weighted<Asked>(random, [
    [
      2,
      () => [
        pick(random, ['_text', '_content']),
        many(random, oops(random, 0.1) ? 25 : 3, () => wordText(random)).join(' '),
      ],
    ],
    [
      1,
      () => [
        '_list',
        mostly(
          random,
          0.5,
          () => 'f-1',
          () => hostileText(random, 80),
        ),
      ],
    ],
    [1, () => ['_lastUpdated', prefixedDate(random)]],
    [1, () => ['_id', many(random, 4, () => pick(random, subjects.known).split('/')[1] ?? '').join(',')]],
    [1, () => [pick(random, ['_tag', '_security', '_tag:not']), tokenText(random)]],
    [1, () => [pick(random, ['_profile', '_source', '_profile:below']), 'http://hl7.org/fhir/StructureDefinition/x']],
    [random.wild, () => ['_page', hostileText(random)]],
  ]);

// ---- _filter ----

const OPERATORS = 'eq ne co sw ew gt lt ge le ap sa eb pr po ss sb in ni re xx'.split(' ');

function filter(random: Wild, type: string, subjects: Subjects, depth: number): string {
  if (depth > 14) return 'a eq b';
  if (oops(random, 0.03)) return pick(random, ['('.repeat(below(random, 2_000)), hostileText(random)]);
  const inner = (): string => filter(random, type, subjects, depth + 1);
  return weighted(random, [
    [6, () => comparison(random, type, subjects, depth)],
    [1, () => `${inner()} and ${inner()}`],
    [1, () => `${inner()} or ${inner()}`],
    [1, () => `not (${inner()})`],
    [1, () => `(${inner()})`],
  ]);
}

function comparison(random: Wild, type: string, subjects: Subjects, depth: number): string {
  const parameter = parameterOf(random, type);
  const target = parameter.targets[0] ?? type;
  const isReference = parameter.type === 'reference' || oops(random, 0.1);
  const further = parameterOf(random, target);
  const path = weighted(random, [
    [4, () => parameter.code],
    [isReference ? 1 : 0, () => `${parameter.code}.${further.code}`],
    [isReference ? 1 : 0, () => `${parameter.code}[${filter(random, target, subjects, depth + 4)}].${further.code}`],
    [0.3 * random.wild, () => pick(random, names)],
  ]);
  const compared = path === parameter.code ? parameter : further;
  const value = valueFor(random, compared, subjects).replace(/^(?:eq|ne|gt|lt|ge|le|sa|eb|ap)(?=\d)/, '');
  const quoted = chance(random, 0.6) ? `"${value.replace(/["\\]/g, '\\$&')}"` : value.replace(/[ ()]/g, '');
  const operator = chance(random, 0.5) ? 'eq' : pick(random, OPERATORS);
  return `${path} ${operator} ${oops(random, 0.05) ? `"${value}` : quoted}`;
}

// ---- how the answer is to look ----

function resultParameter(random: Wild, type: string, subjects: Subjects): string {
  const own = (): string => parameterOf(random, type).code;
  const either = (right: readonly string[], wrong: readonly string[]): string =>
    mostly(
      random,
      0.3,
      () => pick(random, right),
      () => pick(random, wrong),
    );
  const [name, value] = weighted<Asked>(random, [
    [4, () => ['_sort', many(random, 3, () => `${chance(random, 0.5) ? '-' : ''}${sortKey(random, type)}`).join(',')]],
    [3, () => ['_count', either(['0', '1', '3', '500', '1000000'], ['-1', '1.5', '', 'x', '9'.repeat(30)])]],
    [
      3,
      () => [
        includeName(random, '_include'),
        either(['*', `${type}:*`, includeOf(random, type)], ['*:*', `${type}:${own()}:Patient`, 'x']),
      ],
    ],
    [
      3,
      () => {
        const source = anyType(random, subjects);
        const include = includeOf(random, source);
        return [
          includeName(random, '_revinclude'),
          either([`${source}:*`, include], ['*', '*:*', `${include}:${type}`, `${include}:x`]),
        ];
      },
    ],
    [
      2,
      () => [
        '_elements',
        many(random, 6, () =>
          either(['id', 'meta', 'text', 'identifier'], ['name', 'status', 'code.coding', own(), pick(random, names)]),
        ).join(','),
      ],
    ],
    [2, () => ['_summary', either(['true', 'text', 'data', 'count', 'false'], ['x', ''])]],
    [2, () => ['_total', either(['none', 'estimate', 'accurate'], ['x'])]],
    [1, () => ['_contained', either(['true', 'false', 'both'], ['x'])]],
    [1, () => ['_containedType', either(['container', 'contained'], ['x'])]],
    [
      1,
      () => [
        '_asOf',
        either(['1970-01-01T00:00:00Z', '2026-06-01T00:00:00+02:00', '2999-01-01T00:00:00Z'], [dateText(random)]),
      ],
    ],
    [
      2,
      () => [
        '_format',
        either(
          ['json', 'xml', 'application/fhir+xml'],
          ['text/html', 'html', 'turtle', 'ndjson', 'csv', '', hostileText(random, 60)],
        ),
      ],
    ],
    [1, () => ['_pretty', either(['true', 'false'], ['x'])]],
    [
      0.5 * random.wild,
      () => [pick(random, ['_query', '_maxresults', '_include:x', '_since', '_at', '_type']), hostileText(random, 60)],
    ],
  ]);
  return `${name}=${oops(random, 0.1) ? inAddress(random, value) : encodeURIComponent(value.toWellFormed())}`;
}

const includeOf = (random: Wild, source: string): string => {
  const parameter = parameterOf(random, source, 'reference');
  return parameter.type === 'reference' ? `${source}:${parameter.code}` : `${source}:*`;
};

const includeName = (random: Wild, name: string): string =>
  name +
  mostly(
    random,
    0.1,
    () => pick(random, ['', '', ':iterate', ':recurse']),
    () => ':x',
  );

function sortKey(random: Wild, type: string): string {
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
    [0.5 * random.wild, () => pick(random, names)],
  ]);
}

// What made-up requests are made of: texts that break things, and ways to write them into an address.
import { rawValues, values } from './hostile.ts';
import { below, pick, type Random } from './random-search.ts';

export const chance = (random: Random, share: number): boolean => random() < share;

export const many = <T>(random: Random, most: number, make: () => T): T[] =>
  Array.from({ length: 1 + below(random, most) }, make);

/** One of several makers, each with its weight. */
export function weighted<T>(random: Random, choices: readonly (readonly [weight: number, make: () => T])[]): T {
  let rest = random() * choices.reduce((sum, [weight]) => sum + weight, 0);
  for (const [weight, make] of choices) {
    rest -= weight;
    if (rest < 0) return make();
  }
  throw new RangeError('no choices');
}

/** Names that mean something to JavaScript, to a query language or to FHIR where they do not belong. */
export const names = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  '__defineGetter__',
  '$where',
  '$ne',
  'resourceType',
  'id',
  'meta',
  'extension',
  'contained',
  'text',
  'div',
  'length',
  '',
  ' ',
  '.',
  '_',
  '_id',
  'fhir_comments',
  'Ä',
  '\u0000',
  'a'.repeat(300),
];

/** A text as hostile as any, at most `most` characters long. */
export function hostileText(random: Random, most = 2_000): string {
  return weighted(random, [
    [6, () => pick(random, values)],
    [1, () => pick(random, names)],
    [1, () => pick(random, ['a', ' ', '\\', ',', '(', '[', '"', '😀', 'é', '%', '<a>']).repeat(below(random, most))],
    [1, () => many(random, 30, () => String.fromCodePoint(below(random, 0x10ffff))).join('')],
    [1, () => String.fromCharCode(0xd800 + below(random, 0x800)).repeat(1 + below(random, 3))],
    [1, () => `${'9'.repeat(below(random, 400))}.${'1'.repeat(below(random, 400))}`],
  ]).slice(0, most);
}

/** A value as it goes into an address: mostly well escaped, now and then not. */
export function inAddress(random: Random, text: string): string {
  const well = text.toWellFormed();
  return weighted(random, [
    [20, () => encodeURIComponent(well)],
    [3, () => encodeURIComponent(well).replace(/%(?:3A|2F|2C|7C|24|20)/g, (code) => decodeURIComponent(code))],
    [1, () => encodeURIComponent(well).replaceAll('%20', '+')],
    [1, () => encodeURIComponent(encodeURIComponent(well))],
    [1, () => encodeURIComponent(well).toLowerCase()],
    [1, () => [...Buffer.from(well)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')],
    [1, () => encodeURIComponent(well).slice(0, below(random, 30))],
    [1, () => pick(random, rawValues) + encodeURIComponent(well)],
    [1, () => `${encodeURIComponent(well)}%`],
    [1, () => pick(random, rawValues)],
  ]);
}

/** Prefixes, dates and numbers, right and wrong ones. */
export const prefixes = ['', '', '', 'eq', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap', 'xx', 'GE', 'gege'];

export function dateText(random: Random): string {
  const year = String(
    weighted(random, [
      [8, () => 2019 + below(random, 9)],
      [1, () => below(random, 9_999)],
      [1, () => 99_999],
    ]),
  );
  const part = (most: number): string => String(below(random, most + 3)).padStart(2, '0');
  return weighted(random, [
    [2, () => year],
    [2, () => `${year}-${part(12)}`],
    [4, () => `${year}-${part(12)}-${part(31)}`],
    [
      4,
      () =>
        `${year}-${part(12)}-${part(28)}T${part(23)}:${part(59)}:${part(59)}${pick(random, ['', 'Z', '+05:30', '-14:00', '.123Z', `.${'9'.repeat(40)}Z`, '+99:99'])}`,
    ],
    [1, () => `${year}-${part(12)}-${part(28)}T${part(23)}:${part(59)}`],
    [1, () => `-${year}`],
  ]);
}

export function numberText(random: Random): string {
  return weighted(random, [
    [6, () => (random() * 10 ** below(random, 8)).toFixed(below(random, 6))],
    [2, () => String(below(random, 300))],
    [1, () => `-${below(random, 300)}.${'0'.repeat(below(random, 60))}1`],
    [
      1,
      () =>
        pick(random, [
          '1e308',
          '1e-308',
          '1e309',
          '-0',
          '0',
          '5e-324',
          '1E+2',
          '.5',
          '5.',
          '1e99999',
          'NaN',
          '0x10',
          '١',
        ]),
    ],
    [1, () => '9'.repeat(1 + below(random, 400))],
  ]);
}

const units = [
  '',
  '||mg',
  '|http://unitsofmeasure.org|mg',
  '|http://unitsofmeasure.org|mm[Hg]',
  '|http://unitsofmeasure.org|kg.m/s2',
  '||',
  '|',
  '|||',
  '|http://unitsofmeasure.org|((((((m',
  '|http://unitsofmeasure.org|10*999m',
  '|x|y',
];

export const quantityText = (random: Random): string =>
  pick(random, prefixes) + numberText(random) + pick(random, units);

export const tokenText = (random: Random): string =>
  pick(random, [
    'final',
    'active',
    'true',
    'male',
    '|final',
    'http://loinc.org|',
    'http://loinc.org|8480-6',
    '8480-6',
    'x|y',
    'x|y|z',
    '|',
    '||',
    'http://terminology.hl7.org/CodeSystem/observation-category|vital-signs',
    'ValueSet/f-1',
    'http://hl7.org/fhir/ValueSet/observation-status',
    'http://hl7.org/fhir/ValueSet/all-types',
    'http://snomed.info/sct?fhir_vs=isa/1',
    'http://terminology.hl7.org/CodeSystem/v2-0203|MR|123',
    'A\\|b',
  ]);

export const wordText = (random: Random): string =>
  pick(random, [
    'a',
    'an',
    'smi',
    'Smith',
    'http://',
    'Ä',
    'der',
    'blood pressure',
    'blood AND pressure',
    '"blood pressure"',
    'bl*',
    '-blood',
    'NEAR(a b)',
    'a OR',
    '(((',
    'ŝ',
    '山',
    '\u202e',
  ]);

/** `Type/id`, bare id, absolute, canonical or nonsense. */
export function referenceText(random: Random, known: readonly string[]): string {
  const one = pick(random, known);
  return weighted(random, [
    [6, () => one],
    [2, () => one.split('/')[1] ?? one],
    [1, () => `http://127.0.0.1:8080/fhir/${one}`],
    [1, () => `${one}/_history/${below(random, 4)}`],
    [1, () => `http://example.org/fhir/${one}`],
    [1, () => `${one}|${below(random, 4)}`],
    [1, () => `#${one}`],
    [1, () => `${one.split('/')[0]}?identifier=x`],
    [
      1,
      () =>
        pick(random, [
          'urn:uuid:1',
          'urn:uuid:c757873d-ec9a-4326-a141-556f43239520',
          '/',
          'Patient/',
          '/Patient',
          'Patient/1/2/3',
        ]),
    ],
  ]);
}

// What made-up requests are made of: texts that break things, and ways to write them into an address.
import { rawValues, values } from './hostile.ts';
import { below, pick, type Random } from './random-search.ts';

/** The base as clients know it, wherever the process listens: references to it are references to here. */
export const fuzzBaseUrl = 'http://fuzz.example/fhir';

/** `wild`: from 0, nothing wrong that a grammar can avoid, to 1. */
export type Wild = Random & { readonly wild: number };

/** Whether to do something wrong here. */
export const oops = (random: Wild, share: number): boolean => random() < share * random.wild;

/** What is right, or now and then what is not. */
export const mostly = <T>(random: Wild, share: number, right: () => T, wrong: () => T): T =>
  oops(random, share) ? wrong() : right();

export const chance = (random: Wild, share: number): boolean => random() < share;

export const many = <T>(random: Wild, most: number, make: () => T): T[] =>
  Array.from({ length: 1 + below(random, most) }, make);

/** One of several makers, each with its weight. */
export function weighted<T>(random: Wild, choices: readonly (readonly [weight: number, make: () => T])[]): T {
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
export function hostileText(random: Wild, most = 2_000): string {
  return weighted(random, [
    [6, () => pick(random, values)],
    [1, () => pick(random, names)],
    [1, () => pick(random, ['a', ' ', '\\', ',', '(', '[', '"', '😀', 'é', '%', '<a>']).repeat(below(random, most))],
    [1, () => many(random, 30, () => String.fromCodePoint(below(random, 0x10ffff))).join('')],
    [1, () => String.fromCharCode(0xd800 + below(random, 0x800)).repeat(1 + below(random, 3))],
    [1, () => `${'9'.repeat(below(random, 400))}.${'1'.repeat(below(random, 400))}`],
  ]).slice(0, most);
}

/** A value as it goes into an address: well escaped, or not. */
export function inAddress(random: Wild, text: string): string {
  const well = text.toWellFormed();
  const escaped = encodeURIComponent(well);
  return mostly(
    random,
    0.3,
    () =>
      weighted(random, [
        [6, () => escaped],
        [2, () => escaped.replace(/%(?:3A|2F|2C|7C|24)/g, (code) => decodeURIComponent(code))],
        [1, () => escaped.replaceAll('%20', '+')],
        [1, () => [...Buffer.from(well)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')],
      ]),
    () =>
      pick(random, [
        encodeURIComponent(escaped),
        escaped.toLowerCase(),
        escaped.slice(0, below(random, 30)),
        pick(random, rawValues) + escaped,
        `${escaped}%`,
        pick(random, rawValues),
      ]),
  );
}

const PREFIXES = ['', '', '', 'eq', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap'];
const prefix = (random: Wild): string =>
  mostly(
    random,
    0.2,
    () => pick(random, PREFIXES),
    () => pick(random, ['xx', 'GE', 'gege', ' ge']),
  );

export const prefixedDate = (random: Wild): string => prefix(random) + dateText(random);
export const prefixedNumber = (random: Wild): string => prefix(random) + numberText(random);

export function dateText(random: Wild): string {
  const year = String(
    mostly(
      random,
      0.2,
      () => 2019 + below(random, 9),
      () => pick(random, [below(random, 9_999), 99_999, -1]),
    ),
  );
  const part = (from: number, most: number): string =>
    String(from + below(random, most + (oops(random, 0.2) ? 3 : 1) - from)).padStart(2, '0');
  const time = (): string => `${year}-${part(1, 12)}-${part(1, 28)}T${part(0, 23)}:${part(0, 59)}:${part(0, 59)}`;
  return weighted(random, [
    [2, () => year],
    [2, () => `${year}-${part(1, 12)}`],
    [4, () => `${year}-${part(1, 12)}-${part(1, 28)}`],
    [4, () => time() + pick(random, ['Z', 'Z', '+05:30', '-14:00', '.123Z', ''])],
    [
      1,
      () =>
        oops(random, 1) ? time() + pick(random, [`.${'9'.repeat(40)}Z`, '+99:99', ' ', 'z']) : `${time().slice(0, -3)}`,
    ],
  ]);
}

export function numberText(random: Wild): string {
  const right = (): string =>
    weighted(random, [
      [6, () => (random() * 10 ** below(random, 8)).toFixed(below(random, 6))],
      [2, () => String(below(random, 300))],
      [1, () => `-${below(random, 300)}.${'0'.repeat(below(random, 60))}1`],
      [1, () => pick(random, ['1e308', '1e-308', '0', '5e-324', '1e5'])],
    ]);
  const wrong = ['1e309', '-0', '1E+2', '.5', '5.', '1e99999', 'NaN', '0x10', '١', '9'.repeat(1 + below(random, 400))];
  return mostly(random, 0.3, right, () => pick(random, wrong));
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

export const quantityText = (random: Wild): string =>
  prefixedNumber(random) +
  mostly(
    random,
    0.3,
    () => pick(random, units.slice(0, 6)),
    () => pick(random, units),
  );

export const tokenText = (random: Wild): string =>
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

export const wordText = (random: Wild): string =>
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
export function referenceText(random: Wild, known: readonly string[]): string {
  const one = pick(random, known);
  return weighted(random, [
    [6, () => one],
    [2, () => one.split('/')[1] ?? one],
    [1, () => `${fuzzBaseUrl}/${one}`],
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

/** Ids of what is written: few, so that they meet, and so that the store does not grow. */
export const fuzzId = (random: Wild): string => `f-${below(random, 60)}`;

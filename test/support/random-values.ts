// Values of made-up resources, from small pools, so that they meet.
import { baseUrl } from './engine.ts';
import { below, pick, type Random } from './random-search.ts';

export const madeIds = Array.from({ length: 12 }, (_, at) => `r${at}`);

export const chance = (random: Random, share: number): boolean => random() < share;

/** A member that is there with some probability; to be spread. */
export function maybe<T>(random: Random, share: number, name: string, make: () => T): Record<string, T> {
  return chance(random, share) ? { [name]: make() } : {};
}

export function some<T>(random: Random, most: number, make: () => T): T[] {
  return Array.from({ length: 1 + below(random, most) }, make);
}

// ---- texts ----

const WORDS = [
  'Anna',
  'ANNA',
  'Änna',
  'anna maria',
  "O'Brien",
  'Müller-Lüdenscheidt',
  'Łukasz',
  'Straße',
  'ΣΊΣΥΦΟΣ',
  'José',
  'Jose\u0301',
  'Nguyễn',
  'Ἀθηνᾶ',
  'Иванова',
  '山田',
  '山田 太郎',
  '山𠮷',
  '한국',
  '𠮷田',
  '𠮷',
  'Zoë 😀',
  'z\uFFFD',
  'z😀',
  'z',
  'a,b|c\\d$e',
  'a,b',
  '50% & more = "x"+#',
  'two  spaces',
  ' edge ',
  `long ${'x'.repeat(230)} one`,
  `long ${'x'.repeat(230)} two`,
  `long ${'y z '.repeat(80)} end`,
];

export const word = (random: Random): string => pick(random, WORDS);

/** XHTML with tags, numbered and named characters between the words. */
export function narrative(random: Random): object {
  const escaped = (text: string): string =>
    text.replace(/[<>&"]/g, (sign) => ({ '<': '&lt;', '>': '&gt;', '&': '&amp;', '"': '&quot;' })[sign] ?? sign);
  const part = (): string =>
    pick(random, [
      escaped(word(random)),
      `<b>${escaped(word(random))}</b>`,
      'caf&#233;',
      'na&#xef;ve',
      '<br/>',
      'bone',
    ]);
  const parts = some(random, 5, part);
  const div = `<div xmlns="http://www.w3.org/1999/xhtml"><p>${parts.join(pick(random, [' ', '', '&#32;']))}</p></div>`;
  return { status: 'generated', div };
}

// ---- codes ----

/** A code system and value sets that are stored; their content changes while searches run. */
export const TREE = 'http://a.example/tree';
export const valueSetUrls = ['http://a.example/vs/below', 'http://a.example/vs/listed', 'http://a.example/vs/mixed'];
export const CODES = ['a', 'A', 'b', 'a-1', 'final', '1234-5', 'x|y', 'é', 'true', 't1', 't11', 't12', 't121', 't2'];
export const SYSTEMS = [
  'http://loinc.org',
  'http://snomed.info/sct',
  'urn:oid:1.2.3',
  'http://a.example/x',
  TREE,
  TREE,
];
export const URIS = [
  'http://acme.org/fhir/ValueSet/123',
  'http://acme.org/fhir/ValueSet',
  'http://acme.org/fhir',
  'http://acme.org/fhirs',
  'http://acme.org',
  'urn:oid:1.2.3.4',
  'http://acme.org/fhir/ValueSet/123/x',
  'http://Acme.org/fhir',
];

export function coding(random: Random): object {
  return {
    userSelected: true,
    ...maybe(random, 0.7, 'system', () => pick(random, SYSTEMS)),
    ...maybe(random, 0.9, 'code', () => pick(random, CODES)),
    ...maybe(random, 0.3, 'display', () => word(random)),
  };
}

export const concept = (random: Random): object => ({
  ...maybe(random, 0.85, 'coding', () => some(random, 2, () => coding(random))),
  text: word(random),
});

export const identifier = (random: Random): object => ({
  ...maybe(random, 0.4, 'type', () => concept(random)),
  ...maybe(random, 0.7, 'system', () => pick(random, SYSTEMS)),
  value: pick(random, CODES),
});

// ---- people ----

export const humanName = (random: Random): object => ({
  use: 'official',
  ...maybe(random, 0.7, 'family', () => word(random)),
  ...maybe(random, 0.7, 'given', () => some(random, 2, () => word(random))),
  ...maybe(random, 0.2, 'text', () => word(random)),
});

export const address = (random: Random): object => ({
  use: pick(random, ['home', 'work']),
  ...maybe(random, 0.5, 'line', () => [word(random)]),
  ...maybe(random, 0.6, 'city', () => word(random)),
  ...maybe(random, 0.3, 'country', () => pick(random, ['DE', 'de', 'US'])),
});

export const telecom = (random: Random): object => ({
  system: pick(random, ['phone', 'email']),
  value: pick(random, ['555-1', '555-12', 'A@example.org', 'a@example.org']),
});

// ---- quantities ----

const UCUM = 'http://unitsofmeasure.org';
const ucum = (code: string, unit = code): { unit: string; system: string; code: string } => ({
  unit,
  system: UCUM,
  code,
});
export const UNITS = [
  ucum('mg'),
  ucum('mg', 'milligram'),
  ucum('g'),
  ucum('kg'),
  ucum('[lb_av]', 'lb'),
  ucum('Cel', '°C'),
  ucum('[degF]', 'F'),
  ucum('K'),
  ucum('mm[Hg]', 'mmHg'),
  ucum('kPa'),
  ucum('mmol/L'),
  ucum('umol/L'),
  ucum('/min'),
  ucum('{beats}/min', 'bpm'),
  ucum('%'),
  ucum('1'),
  ucum('{score}'),
  ucum('grams'),
  { unit: 'mg' },
  { unit: 'tablet', system: 'http://a.example/units', code: 'mg' },
  {},
];
export const NUMBERS = [
  0, 1, 2, 5.4, 5.39, 5.35, 5.45, 99.5, 100, 100.5, 95, 105, -5.4, -5, 0.1, 1e-7, 1000000, 0.8, 90, 110, 37, 98.6,
  310.15, 0.0054, 5400, 5350, 120, 16, 0.5, 50, 72,
];

export const quantity = (random: Random): object => ({ value: pick(random, NUMBERS), ...pick(random, UNITS) });

export const age = (random: Random): object => ({
  value: below(random, 5) * 10,
  ...ucum(pick(random, ['a', 'mo', 'd'])),
});

export function range(random: Random): object {
  const low = below(random, 6) * 20;
  const unit = pick(random, UNITS);
  const ends = { low: { value: low, ...unit }, high: { value: low + below(random, 50), ...unit } };
  return pick(random, [ends, ends, { low: ends.low }, { high: ends.high }]);
}

// ---- dates ----

const ZONES = ['Z', 'Z', 'Z', '+00:00', '-05:00', '-05:00', '+05:45', '+14:00', '-11:30'];

/** Dates crowd around a few days, in several precisions, so that ranges touch, overlap and hold one another. */
const DAYS = ['2023-12-31', '2024-01-01', '2024-02-28', '2024-02-29', '2024-03-10', '2024-11-03', '1969-12-31'];

export function calendarDate(random: Random): string {
  return pick(random, DAYS).slice(0, pick(random, [4, 7, 10, 10, 10]));
}

export const timeZone = (random: Random): string => pick(random, ZONES);

export const clock = (random: Random): string =>
  pick(random, ['00:00:00', '00:00:01', '23:59:59', '23:59:00', '12:30:00', '02:30:00', '01:30:00', '05:00:00']);

export const instant = (random: Random): string =>
  `${pick(random, DAYS)}T${clock(random)}${pick(random, ['', '', '.5', '.25', '.999', '.000', '.1239'])}${timeZone(random)}`;

export const dateTime = (random: Random): string => (chance(random, 0.5) ? calendarDate(random) : instant(random));

export function period(random: Random): object {
  const [start, end] = [dateTime(random), dateTime(random)].sort();
  const open = random();
  if (open < 0.2) return { start };
  return open < 0.35 ? { end } : { start, end };
}

export const timing = (random: Random): object => ({
  ...maybe(random, 0.7, 'event', () => some(random, 3, () => dateTime(random))),
  ...maybe(random, 0.3, 'repeat', () => ({ boundsPeriod: period(random) })),
  code: { text: 'x' },
});

// ---- references and places ----

export function reference(random: Random, ...types: readonly string[]): { reference?: string } {
  const type = pick(random, types);
  const id = pick(random, madeIds);
  const kind = below(random, 20);
  if (kind < 12) return { reference: `${type}/${id}` };
  if (kind < 14) return { reference: `${baseUrl}/${type}/${id}`, display: 'own base' } as object;
  if (kind < 16) return { reference: `http://other.example/fhir/${type}/${id}` };
  if (kind === 16) return { reference: `${type}/${id}/_history/2` };
  if (kind === 17) return { type, identifier: identifier(random) } as object;
  if (kind === 18) return { reference: `${type}/${id}`, identifier: identifier(random) } as object;
  return chance(random, 0.5) ? { reference: '#inside' } : ({ display: 'somebody' } as object);
}

/** Latitude and longitude: around one town, over the 180th meridian, at the poles. */
export const PLACES = [
  [51.5074, -0.1278],
  [51.47, -0.4543],
  [51.1537, -0.1821],
  [52.2053, 0.1218],
  [-16.8, 179.95],
  [-16.8, -179.95],
  [-16.8, 180],
  [89.95, 0],
  [89.95, 180],
  [-90, 77],
  [0, 0],
] as const;

export function position(random: Random): object {
  const [latitude, longitude] = pick(random, PLACES);
  return { latitude, longitude };
}

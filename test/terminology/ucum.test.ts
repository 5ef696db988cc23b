// UCUM: what is a code, what is comparable with what, and that conversions are exact.
// https://ucum.org/ucum, https://hl7.org/fhir/R4/search.html#quantity
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import t from 'tap';
import { limits } from '../../src/base/limits.ts';
import { parseDecimal, scaled, scaleOf, sum } from '../../src/terminology/exact.ts';
import { canonicalQuantity } from '../../src/terminology/ucum.ts';
import { sharedData } from '../support/corpora.ts';

t.test('the same quantity in other units is the same number', async (t) => {
  const same: [string, string][][] = [
    [
      ['5.4', 'g'],
      ['5400', 'mg'],
      ['0.0054', 'kg'],
      ['5400000', 'ug'],
      ['54e-1', 'g{dry}'],
      ['5.40', 'g'],
    ],
    [
      ['70', 'kg'],
      ['70000', 'g'],
      ['0.07', 't'],
    ],
    [
      ['1', '[lb_av]'],
      ['16', '[oz_av]'],
      ['453.59237', 'g'],
      ['7000', '[gr]'],
    ],
    [
      ['1', '[in_i]'],
      ['2.54', 'cm'],
      ['0.0254', 'm'],
      ['1000', '[mil_i]'],
    ],
    [
      ['1', '[mi_i]'],
      ['5280', '[ft_i]'],
      ['1609.344', 'm'],
    ],
    [
      ['120', 'mm[Hg]'],
      ['15.99864', 'kPa'],
      ['15998.64', 'Pa'],
      ['12', 'cm[Hg]'],
    ],
    [
      ['1', 'bar'],
      ['100', 'kPa'],
      ['1000', 'mbar'],
    ],
    [
      ['37', 'Cel'],
      ['98.6', '[degF]'],
      ['310.15', 'K'],
      ['37000', 'mCel'],
      ['37', 'Cel{oral}'],
      ['29.6', '[degRe]'],
    ],
    [
      ['-40', 'Cel'],
      ['-40', '[degF]'],
      ['233.15', 'K'],
    ],
    [
      ['0', 'K'],
      ['-273.15', 'Cel'],
      ['-459.67', '[degF]'],
    ],
    [
      ['95', 'mg/dL'],
      ['0.95', 'g/L'],
      ['0.95', 'kg/m3'],
      ['950', 'ug/mL'],
      ['95', 'mg/(100.mL)'],
    ],
    [
      ['5.5', 'mmol/L'],
      ['5500', 'umol/L'],
      ['5.5', 'mol/m3'],
      ['5.5', 'meq/L'],
    ],
    [
      ['60', '/min'],
      ['1', '/s'],
      ['1', 'Hz'],
      ['1', 's-1'],
      ['60', '{beats}/min'],
      ['3600', '1/h'],
    ],
    [
      ['4.5', '10*3/uL'],
      ['4.5', '10*9/L'],
      ['4500', '/mm3'],
      ['4500', '{cells}/uL'],
      ['4.5', '10^9/L'],
    ],
    [
      ['50', '%'],
      ['0.5', '1'],
      ['500', '[ppth]'],
      ['0.5', 'g/g'],
      ['500', 'mL/L'],
    ],
    [
      ['1', 'wk'],
      ['7', 'd'],
      ['168', 'h'],
      ['604800', 's'],
    ],
    [
      ['1', 'a'],
      ['12', 'mo'],
      ['365.25', 'd'],
    ],
    [
      ['1', 'kcal'],
      ['4184', 'J'],
      ['4.184', 'kJ'],
      ['1', '[Cal]'],
    ],
    [
      ['1', 'U'],
      ['1', 'umol/min'],
    ],
    [
      ['1', 'kat'],
      ['60e6', 'U'],
    ],
    [
      ['180', 'deg'],
      ['10800', "'"],
      ['0.5', 'circ'],
      ['200', 'gon'],
    ],
    [
      ['5', '[iU]/L'],
      ['5', 'm[iU]/mL'],
      ['5', '[IU]/L'],
      ['0.005', 'k[IU]/L'],
    ],
    [
      ['10', 'dB'],
      ['1', 'B'],
      ['10', '1'],
    ],
    [
      ['20', 'dB[V]'],
      ['10', 'V'],
      ['1e4', 'mV'],
    ],
    [
      ['30', 'dB[W]'],
      ['0', 'B[kW]'],
      ['1', 'kW'],
    ],
    [
      ['100', '%[slope]'],
      ['45', 'deg'],
    ],
    [
      ['10', 'bit_s'],
      ['1024', '1'],
    ],
    [
      ['2', '[m/s2/Hz^(1/2)]'],
      ['4', 'm2/s4/Hz'],
    ],
    [
      ['1', 'KiBy'],
      ['1024', 'By'],
      ['8192', 'bit'],
    ],
    [
      ['0', 'Np'],
      ['1', '1'],
    ],
    [
      ['1', '[mu_0]'],
      ['4', '[pi].10*-7.N/A2'],
    ],
    [
      ['1', '[diop]'],
      ['1', 'm-1'],
      ['1', '/m'],
    ],
    [
      ['1', 's/m.g'],
      ['1', '(s/m).g'],
      ['1', 'g.s/m'],
    ],
    [
      ['1', 'J/(s.m2)'],
      ['1', 'W/m2'],
    ],
    [
      ['1', 'l'],
      ['1', 'L'],
      ['1', 'dm3'],
      ['1000', 'cm3'],
      ['1', '(((L)))'],
    ],
  ];
  for (const [first, ...others] of same) {
    const [value = '', code = ''] = first ?? [];
    const expected = canonicalQuantity(value, code);
    t.ok(expected, `${value} ${code}`);
    for (const other of others) t.same(canonicalQuantity(...other), expected, `${value} ${code} = ${other.join(' ')}`);
  }
});

t.test('base units are those of UCUM', async (t) => {
  const cases: [string | number, string, number][] = [
    ['5.40', 'g', 5.4],
    [5.4, 'g', 5.4],
    ['1', 'm[Hg]', 133_322_000],
    ['1', '[ly]', 9_460_730_472_580_800],
    ['1', 'mol', 6.0221367e23],
    ['1', 'Pa', 1000],
    ['1', 'S', 0.001],
    ['6.3', 's.mm-2', 6_300_000],
    ['6.3', 's/4/m', 1.575],
    ['180', 'deg', Math.PI],
    ['1', '[mu_0]', 0.0012566370614359172],
    ['-0', 'g', 0],
    ['1e-400', 'g', 0],
    ['9007199254740993', 'g', 9007199254740992],
  ];
  for (const [value, code, expected] of cases)
    t.equal(canonicalQuantity(value, code)?.value, expected, `${value} ${code}`);
  t.ok(Object.is(canonicalQuantity('-0', 'g')?.value, 0), 'no negative zero');
});

t.test('units of unlike things are not comparable', async (t) => {
  const kinds = [
    ['g', 'kg', '[lb_av]'],
    ['m', 'km'],
    ['m2'],
    ['m3', 'L'],
    ['K', 'Cel', '[degF]'],
    ['mg/dL'],
    ['mmol/L', '/uL'],
    ['1', '%', 'g/g', '10*3', '2{score}', 'dB', 'Np', 'mol'],
    ['{score}'],
    ['{Score}'],
    ['[pH]', '[pH]{venous}'],
    ["[hp'_X]"],
    ['[hp_X]'],
    ['[iU]', 'm[iU]', '[IU]{x}'],
    ["[arb'U]"],
    ['[iU]/L', '[IU]/mL'],
    ['s-1', 'Hz', 'kat'],
    ['rad', 'deg', '%[slope]'],
  ];
  const unitOf = (code: string): string => canonicalQuantity('1', code)?.unit ?? `${code} is not known`;
  for (const codes of kinds) t.equal(new Set(codes.map(unitOf)).size, 1, codes.join(' '));
  t.equal(new Set(kinds.map(([code]) => unitOf(code ?? ''))).size, kinds.length);
});

t.test('special units have a scale of their own where it falls as the quantity rises', async (t) => {
  t.same(canonicalQuantity('7.4', '[pH]'), { value: 7.4, unit: '[pH]' });
});

const notCodes = [
  '',
  ' ',
  'm ',
  ' m',
  'G ',
  'Gauss',
  'iU',
  'molv',
  'M',
  'KG',
  'mmin',
  'k%',
  'm[in_i]',
  '[iIU]',
  '[H2O]',
  'm[H20]',
  'ccm',
  'm/',
  '/',
  '//m',
  'm//s',
  'm.',
  '.m',
  'm..s',
  '()',
  '(m',
  'm)',
  '(m)2',
  '(/m)',
  'ug(8.h)',
  'g/12h',
  '10+3/ul',
  'm+',
  'm-',
  'm2.',
  '{}',
  '{',
  '}',
  '{a',
  '{a}{b}',
  '{a}rad2',
  '{|}1',
  'rad2{錠}',
  '{a b}',
  'm{a}2',
  'm{a{b}}',
  '-1',
  '10*3.5m',
  'Cel2',
  'Cel/m',
  'm.Cel',
  '2.Cel',
  '/Cel',
  '[pH]/L',
  'dB.m',
  'B-1',
  '0',
  '0.m',
  'm/0',
  'µg',
  'μg',
  'm²',
  '°C',
  'Ω',
  'm1000',
  'm999999',
  'm-1000',
  `m${'9'.repeat(150)}`,
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '\u0000',
  'm\n',
];

t.test('what is no UCUM code has no canonical form', async (t) => {
  for (const code of notCodes) t.equal(canonicalQuantity('1', code), undefined, JSON.stringify(code));
});

t.test('a value that is no decimal, or too large, has none either', async (t) => {
  for (const value of [
    '',
    'a',
    '1,5',
    '+1',
    '.5',
    '5.',
    '01',
    '1e',
    'NaN',
    'Infinity',
    '1e400',
    `1e${'9'.repeat(200)}`,
    '9'.repeat(400),
  ]) {
    t.equal(canonicalQuantity(value, 'g'), undefined, value.slice(0, 20));
  }
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) t.equal(canonicalQuantity(value, 'g'), undefined);
  t.equal(canonicalQuantity('1e308', 'kg'), undefined);
  t.equal(canonicalQuantity('4000', 'B'), undefined);
  t.same(canonicalQuantity('1e-999999999', 'Cel'), { value: 273.15, unit: 'K' });
});

t.test('hostile codes are refused at once', async (t) => {
  const hostile = [
    `${'('.repeat(5000)}m${')'.repeat(5000)}`,
    '('.repeat(5000),
    '{'.repeat(10_000),
    'm.'.repeat(5000),
    '[in_i]'.repeat(1500),
    '10*'.repeat(3000),
    `${'[psi]99.'.repeat(24)}m`,
    '/[psi]9/[lb_av]9'.repeat(12),
    `${'[pi]99.'.repeat(28)}m`,
    `${'(m.'.repeat(60)}`,
  ];
  const started = performance.now();
  for (const code of hostile) t.equal(canonicalQuantity('1.5', code), undefined, `${code.slice(0, 20)}…`);
  t.ok(canonicalQuantity('1', `${'('.repeat(99)}m${')'.repeat(99)}`), 'as deep as a code is long');
  t.ok(canonicalQuantity('1', `${'m999.'.repeat(39)}m`));
  t.ok(performance.now() - started < 5000);
  for (let i = 0; i < 3 * limits.ucumCodesCachedMax; i++) canonicalQuantity('1', `m{${i}}`);
  t.same(canonicalQuantity('5400', 'mg'), { value: 5.4, unit: 'g' }, 'also when many codes came in between');
});

// ---- exactness ----

interface Rational {
  num: bigint;
  den: bigint;
}

const view = new DataView(new ArrayBuffer(8));

function rationalOfDouble(value: number): Rational {
  view.setFloat64(0, Math.abs(value));
  const bits = view.getBigUint64(0);
  const exponent = Number(bits >> 52n);
  const mantissa = (bits & ((1n << 52n) - 1n)) | (exponent === 0 ? 0n : 1n << 52n);
  const shift = Math.max(exponent, 1) - 1075;
  const num = value < 0 ? -mantissa : mantissa;
  return shift < 0 ? { num, den: 1n << BigInt(-shift) } : { num: num << BigInt(shift), den: 1n };
}

function rationalOfText(text: string): Rational {
  const [mantissa = '', exponent = '0'] = text.split('e');
  const [whole = '', fraction = ''] = mantissa.split('.');
  const shift = Number(exponent) - fraction.length;
  const num = BigInt(whole + fraction);
  return shift < 0 ? { num, den: 10n ** BigInt(-shift) } : { num: num * 10n ** BigInt(shift), den: 1n };
}

/** Distance between a double and the exact value, times a positive number that is the same for all doubles given. */
function distances(exact: Rational, ...values: number[]): bigint[] {
  const shared = 1n << 1200n;
  return values.map((value) => {
    const { num, den } = rationalOfDouble(value);
    const gap = (num * exact.den - exact.num * den) * (shared / den);
    return gap < 0n ? -gap : gap;
  });
}

function neighbours(value: number): [number, number] {
  view.setFloat64(0, value);
  const bits = view.getBigInt64(0);
  view.setBigInt64(0, bits + 1n);
  const above = view.getFloat64(0);
  view.setBigInt64(0, bits - 1n);
  return [above, view.getFloat64(0)];
}

const decimals = fc
  .tuple(fc.constantFrom('', '-'), fc.bigInt(0n, 10n ** 24n), fc.nat(30), fc.integer({ min: -40, max: 40 }), fc.nat(24))
  .map(([sign, digits, places, exponent, cut]) => {
    const all = String(digits)
      .slice(0, Math.max(1, cut))
      .padStart(places + 1, '0');
    const point = all.length - places;
    const whole = all.slice(0, point).replace(/^0+(?=\d)/, '');
    return `${sign}${whole}${places === 0 ? '' : `.${all.slice(point)}`}${exponent === 0 ? '' : `e${exponent}`}`;
  });

t.test('a conversion by a fraction gives the nearest double', async () => {
  const factors: [string, bigint, bigint][] = [
    ['g', 1n, 1n],
    ['mg', 1n, 1000n],
    ['kg', 1000n, 1n],
    ['mg/dL', 10n, 1n],
    ['/min', 1n, 60n],
    ['/wk', 1n, 604800n],
    ['[in_i]', 254n, 10_000n],
    ['[lb_av]', 45_359_237n, 100_000n],
    ['mmol/L', 60_221_367n * 10n ** 16n, 1n],
    ['/[lb_av]', 100_000n, 45_359_237n],
    ['10*-3/(7.mol)', 1n, 7n * 1000n * 60_221_367n * 10n ** 16n],
    ['13.s/(17.[ft_i])', 13n * 10_000n, 17n * 3048n],
  ];
  fc.assert(
    fc.property(decimals, fc.constantFrom(...factors), (text, [code, num, den]) => {
      const value = canonicalQuantity(text, code)?.value;
      assert(value !== undefined);
      const decimal = rationalOfText(text);
      if (decimal.num === 0n) return value === 0;
      const exact = { num: decimal.num * num, den: decimal.den * den };
      const [at, ...beside] = distances(exact, value, ...neighbours(value));
      return beside.every((distance) => (at as bigint) <= distance);
    }),
    { numRuns: 3000 },
  );
});

t.test('a conversion of temperatures gives the nearest double', async () => {
  const scales: [string, string, bigint, bigint][] = [
    ['Cel', '273.15', 1n, 1n],
    ['[degF]', '459.67', 5n, 9n],
    ['[degRe]', '218.52', 5n, 4n],
  ];
  fc.assert(
    fc.property(decimals, fc.constantFrom(...scales), (text, [code, offset, num, den]) => {
      const value = canonicalQuantity(text, code)?.value;
      assert(value !== undefined);
      const [a, b] = [rationalOfText(text), rationalOfText(offset)];
      const exact = { num: (a.num * b.den + b.num * a.den) * num, den: a.den * b.den * den };
      if (exact.num === 0n) return value === 0;
      const [at, ...beside] = distances(exact, value, ...neighbours(value));
      return beside.every((distance) => (at as bigint) <= distance);
    }),
    { numRuns: 2000 },
  );
});

t.test('ties go to the even double', async (t) => {
  const scale = scaleOf({ num: 1n, den: 3n, exp: 0 });
  const third = (text: string): number => scaled(parseDecimal(text) ?? { digits: 0, exp: 0 }, scale);
  t.equal(third(String(3n * (2n ** 54n + 2n))), 2 ** 54);
  t.equal(third(String(3n * (2n ** 54n + 6n))), 2 ** 54 + 8);
  t.equal(third(`${3n * (2n ** 54n + 2n)}.1`), 2 ** 54 + 4);
  t.same(sum({ digits: 1, exp: 20 }, { digits: 5, exp: -3 }), { digits: 10n ** 23n + 5n, exp: -3 });
});

t.test('conversions rise with the value', async () => {
  const codes = [
    'g',
    'mmol/L',
    'Cel',
    '[degF]',
    '[degRe]',
    'mm[Hg]',
    'deg',
    'dB',
    'Np',
    'B[SPL]',
    'bit_s',
    '[pH]',
    '%[slope]',
    '/min',
  ];
  const steps = fc.tuple(
    fc.integer({ min: -5000, max: 5000 }),
    fc.integer({ min: 1, max: 100 }),
    fc.integer({ min: -3, max: 0 }),
  );
  fc.assert(
    fc.property(steps, fc.constantFrom(...codes), ([from, more, exponent], code) => {
      const low = canonicalQuantity(`${from}e${exponent}`, code)?.value ?? Number.POSITIVE_INFINITY;
      const high = canonicalQuantity(`${from + more}e${exponent}`, code)?.value ?? Number.POSITIVE_INFINITY;
      return low <= high;
    }),
    { numRuns: 3000 },
  );
});

t.test('any text is taken without throwing', async () => {
  const pieces = fc.constantFrom(
    ..."()./{}[]+-*^%'0129mgskCel",
    '10*',
    '[in_i]',
    '{a}',
    'mol',
    'Cel',
    '[iU]',
    'dB',
    'é',
  );
  const texts = fc.oneof(
    fc.array(pieces, { maxLength: 40 }).map((parts) => parts.join('')),
    fc.string({ unit: 'binary' }),
  );
  fc.assert(
    fc.property(texts, (code) => {
      const one = canonicalQuantity('1', code);
      assert.equal(one === undefined, canonicalQuantity(2.5, code) === undefined);
      if (one !== undefined)
        assert.equal(canonicalQuantity('1', `(${code})`)?.value, code.startsWith('/') ? undefined : one.value);
    }),
    { numRuns: 3000 },
  );
});

// ---- UCUM's own table ----

const essence = sharedData('terminology/ucum-essence.xml');
const skip = existsSync(essence) ? false : 'no terminology/ucum-essence.xml in the shared data';

interface EssenceUnit {
  code: string;
  isMetric: boolean;
  isSpecial: boolean;
  isArbitrary: boolean;
  value?: string;
  unit?: string;
}

function essenceUnits(xml: string): EssenceUnit[] {
  const unescaped = (text: string): string =>
    text.replace(
      /&(apos|quot|lt|gt|amp);/g,
      (_, name) => ({ apos: "'", quot: '"', lt: '<', gt: '>', amp: '&' })[name as 'amp'],
    );
  const attribute = (text: string, name: string): string | undefined => {
    const found = new RegExp(`\\s${name}="([^"]*)"`).exec(text)?.[1];
    return found === undefined ? undefined : unescaped(found);
  };
  return [...xml.matchAll(/<(base-unit|unit)(\s[^>]*)>([\s\S]*?)<\/\1>/g)].map(([, element, head = '', body = '']) => {
    const valueTag = /<value\s[^>]*>/.exec(body)?.[0] ?? '';
    const value = attribute(valueTag, 'value');
    const unit = attribute(valueTag, 'Unit');
    return {
      code: attribute(head, 'Code') ?? '',
      isMetric: element === 'base-unit' || attribute(head, 'isMetric') === 'yes',
      isSpecial: attribute(head, 'isSpecial') === 'yes',
      isArbitrary: attribute(head, 'isArbitrary') === 'yes',
      ...(value === undefined ? {} : { value }),
      ...(unit === undefined ? {} : { unit }),
    };
  });
}

t.test('every unit is what UCUM defines it as', { skip }, async (t) => {
  const units = essenceUnits(readFileSync(essence, 'utf8'));
  t.equal(units.length, 310);
  for (const { code, isSpecial, isArbitrary, value, unit } of units) {
    const found = canonicalQuantity('1', code);
    if (value === undefined || unit === undefined || isSpecial) t.ok(found, code);
    else if (isArbitrary && unit === '1') t.same(found, { value: 1, unit: code });
    else t.same(found, canonicalQuantity(value, unit), `${code} = ${value} ${unit}`);
  }
});

t.test('prefixes are accepted on metric units and on no others', { skip }, async (t) => {
  const xml = readFileSync(essence, 'utf8');
  const units = essenceUnits(xml);
  const codes = new Set(units.map(({ code }) => code));
  const prefixes = [...xml.matchAll(/<prefix Code="(\w+)"[\s\S]*?<value value="([^"]+)"/g)];
  t.equal(prefixes.length, 24);
  for (const [, prefix = '', factor = ''] of prefixes) {
    for (const { code, isMetric, isSpecial } of units) {
      const prefixed = prefix + code;
      if (codes.has(prefixed)) continue; // such as cd, the candela
      const found = canonicalQuantity('1', prefixed);
      if (isMetric && isSpecial) t.ok(canonicalQuantity('0', prefixed), prefixed);
      else if (isMetric) t.same(found, canonicalQuantity(factor, code), prefixed);
      else if (found !== undefined) t.ok(canReadOtherwise(prefixed, prefix, units), `${prefixed} has another meaning`);
    }
  }
});

/** `dar` is deca-r or deci-ar: another prefix may leave a metric unit. */
function canReadOtherwise(text: string, prefix: string, units: readonly EssenceUnit[]): boolean {
  return units.some(
    ({ code, isMetric }) => isMetric && text.endsWith(code) && code.length !== text.length - prefix.length,
  );
}

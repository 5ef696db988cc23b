// Decimals as text: accepted forms, and the range of values that a search number stands for.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { FhirError } from '../../src/base/outcome.ts';
import { decimalRange, isDecimalText } from '../../src/model/decimal.ts';

t.test('a number stands for the values that round to it at its own precision', async (t) => {
  const cases: [string, number, number][] = [
    ['100', 99.5, 100.5],
    ['100.00', 99.995, 100.005],
    ['1e2', 95, 105],
    ['1E+2', 95, 105],
    ['1.0e2', 95, 105],
    ['1.00e2', 99.5, 100.5],
    ['12e1', 115, 125],
    ['1.5e-3', 0.00145, 0.00155],
    ['5.40', 5.395, 5.405],
    ['0', -0.5, 0.5],
    ['-0', -0.5, 0.5],
    ['-5', -5.5, -4.5],
    ['-5.4', -5.45, -5.35],
    ['0.1', 0.05, 0.15],
  ];
  for (const [text, from, to] of cases) t.same(decimalRange(text), { from, to }, text);
});

t.test('more digits than a double tells apart still find the value', async (t) => {
  for (const text of [
    '0.1000000000000000000001',
    '9007199254740993',
    '1e-400',
    '-1e-400',
    '1e-99999999',
    `0.${'1'.repeat(200)}`,
  ]) {
    const { from, to } = decimalRange(text);
    t.ok(from <= Number(text) && Number(text) < to, text);
  }
});

t.test('texts that are no decimals are refused', async (t) => {
  const texts = [
    '',
    '-',
    '+5',
    '007',
    '-01',
    '.5',
    '5.',
    '1e',
    '1e+',
    '1e1.5',
    '1,5',
    ' 1',
    '1 ',
    '0x10',
    'NaN',
    'Infinity',
    '--1',
    '1_000',
    '٣',
  ];
  for (const text of [...texts, '1'.repeat(300)]) {
    t.notOk(isDecimalText(text), text);
    t.throws(() => decimalRange(text), FhirError, text);
  }
  for (const text of ['1e400', '-1e400', '1e99999999999999999999999', '1.7976931348623157e308']) {
    t.throws(() => decimalRange(text), /magnitude/, text);
  }
});

t.test('property: what JSON prints is a decimal, and lies in its own range', async () => {
  fc.assert(
    fc.property(fc.double({ noDefaultInfinity: true, noNaN: true, min: -1e300, max: 1e300 }), (value) => {
      const text = JSON.stringify(value);
      assert.ok(isDecimalText(text), text);
      const { from, to } = decimalRange(text);
      assert.ok(from <= value && value < to, text);
    }),
    { numRuns: 1_000, interruptAfterTimeLimit: 2_000 },
  );
});

t.test('property: ranges of neighbours of one precision touch', async () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1e9 }), fc.integer({ min: 1, max: 8 }), (value, digits) => {
      const text = (shifted: number) => {
        const padded = String(shifted).padStart(digits + 1, '0');
        return `${padded.slice(0, -digits)}.${padded.slice(-digits)}`;
      };
      assert.equal(decimalRange(text(value)).to, decimalRange(text(value + 1)).from, text(value));
    }),
    { numRuns: 500, interruptAfterTimeLimit: 2_000 },
  );
});

// Index keys: encoded numbers and times sort as their values do, no two parameters share a list, and a span of strings
// holds exactly the texts that start with the one asked for.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { folded } from '../../src/base/text.ts';
import {
  codedUnitLists,
  compartmentKey,
  encodeNumber,
  encodeTime,
  keys,
  numberKey,
  numberLists,
  numberRangeKeys,
  parameterPrefix,
  spans,
  unitLists,
} from '../../src/fhir/search/keys.ts';
import { MAX_TIME, MIN_TIME } from '../../src/model/dates.ts';
import { loadDefinitions } from '../../src/model/definitions.ts';
import { typeKey } from '../../src/store/store.ts';

/** What the stores compare by. */
const byBytes = (a: string, b: string): number => Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b)));
const inSpan = (key: string, { from, to }: { from: string; to: string }): boolean =>
  byBytes(key, from) >= 0 && byBytes(key, to) < 0;

const PREFIX = parameterPrefix('Patient', 'name');
const NUMBERS = [
  Number.NEGATIVE_INFINITY,
  -Number.MAX_VALUE,
  -1e300,
  -4_294_967_296.5,
  -2,
  -1.000_000_000_000_000_2,
  -1,
  -0.1,
  -2.225_073_858_507_201_4e-308,
  -Number.MIN_VALUE,
  0,
  Number.MIN_VALUE,
  2.225_073_858_507_201e-308,
  2.225_073_858_507_201_4e-308,
  0.1,
  0.300_000_000_000_000_04,
  1,
  1.000_000_000_000_000_2,
  2,
  10,
  4_294_967_295,
  4_294_967_296,
  Number.MAX_SAFE_INTEGER,
  1e300,
  Number.MAX_VALUE,
  Number.POSITIVE_INFINITY,
];

t.test('numbers: byte order is numeric order, at the edges of doubles', async (t) => {
  for (const [at, a] of NUMBERS.entries()) {
    for (const [other, b] of NUMBERS.entries()) {
      assert.equal(byBytes(encodeNumber(a), encodeNumber(b)), Math.sign(at - other), `${a} and ${b}`);
    }
  }
  t.equal(encodeNumber(-0), encodeNumber(0), '-0 is 0');
  const lengths = new Set(NUMBERS.map((number) => encodeNumber(number).length));
  t.strictSame([...lengths], [11], 'fixed length');
});

t.test('numbers: byte order is numeric order, any two doubles', async (t) => {
  const number = fc.oneof(
    fc.double({ noNaN: true }),
    fc.double({ noNaN: true, min: -1e-300, max: 1e-300 }),
    fc.integer(),
  );
  const property = fc.property(number, number, (a, b) => {
    assert.equal(byBytes(encodeNumber(a), encodeNumber(b)), a === b ? 0 : Math.sign(a - b) || (a < b ? -1 : 1));
  });
  t.doesNotThrow(() => fc.assert(property, { numRuns: 20_000 }));
});

t.test('numbers: neighbours differ', async (t) => {
  const view = new DataView(new ArrayBuffer(8));
  const next = (value: number): number => {
    view.setFloat64(0, value);
    view.setBigInt64(0, view.getBigInt64(0) + 1n);
    return view.getFloat64(0);
  };
  const property = fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
    if (value === 0) return;
    const neighbour = next(value);
    assert.equal(byBytes(encodeNumber(neighbour), encodeNumber(value)), Math.sign(value));
  });
  t.doesNotThrow(() => fc.assert(property, { numRuns: 5_000 }));
});

t.test('times: byte order is the order of instants from year 1 to year 10000', async (t) => {
  const edges = [MIN_TIME, MIN_TIME + 1, -1, 0, 1, 0xffffff, 0x1000000, 0x1000001, MAX_TIME - 1, MAX_TIME];
  const time = fc.oneof(fc.integer({ min: MIN_TIME, max: MAX_TIME }), fc.constantFrom(...edges));
  const property = fc.property(time, time, (a, b) => {
    assert.equal(byBytes(encodeTime(a), encodeTime(b)), Math.sign(a - b));
    assert.equal(encodeTime(a).length, 9);
  });
  t.doesNotThrow(() => fc.assert(property, { numRuns: 20_000 }));
  t.equal(encodeTime(MIN_TIME - 1), encodeTime(MIN_TIME), 'before the first is the first');
  t.equal(encodeTime(MAX_TIME + 1), encodeTime(MAX_TIME), 'after the last is the last');
});

t.test('no two parameters of R4 share a prefix, and none is taken for a list of the store', async (t) => {
  const definitions = loadDefinitions();
  const seen = new Map<string, string>();
  for (const type of definitions.resourceTypes) {
    for (const code of definitions.searchParameters(type).keys()) {
      const prefix = parameterPrefix(type, code);
      assert.match(prefix, /^[-\w]{4}$/, `${type}.${code}`);
      assert.equal(seen.get(prefix), undefined, `${type}.${code}`);
      seen.set(prefix, `${type}.${code}`);
    }
  }
  t.ok(seen.size > 3_000, `${seen.size} parameters seen`);
  t.equal(seen.get(typeKey('Patient').slice(0, 4)), undefined);
  t.equal(seen.get(compartmentKey('1', 'Observation').slice(0, 4)), undefined);
});

// Letters of every length in UTF-8, among them those that sort differently by UTF-16 units: U+FFxx and astral ones.
const letter = fc.constantFrom(...'abzAÉ ñß~\u{7f}éłµ中한\uFF5E\uFFFD𝒜😀𐐀\u{10FFFD}', '\t', 'e\u0301');
const text = fc.array(letter, { maxLength: 8 }).map((letters) => letters.join(''));

t.test(
  'strings: the span of a text holds exactly the keys of texts that start with it, without case and accents',
  async (t) => {
    const property = fc.property(text, text, (stored, asked) => {
      const found = inSpan(keys.string(PREFIX, stored), spans.startsWith(PREFIX, asked));
      assert.equal(found, folded(stored).startsWith(folded(asked)), JSON.stringify([stored, asked]));
    });
    t.doesNotThrow(() => fc.assert(property, { numRuns: 20_000 }));
    const own = fc.property(text, text, (start, rest) => {
      if (folded(start + rest).startsWith(folded(start))) {
        assert.ok(inSpan(keys.string(PREFIX, start + rest), spans.startsWith(PREFIX, start)));
      }
    });
    t.doesNotThrow(() => fc.assert(own, { numRuns: 20_000 }));
  },
);

t.test('strings: keys of different texts differ, also beyond the length that a key holds', async (t) => {
  const long = 'x'.repeat(300);
  t.not(keys.string(PREFIX, `${long}a`), keys.string(PREFIX, `${long}b`));
  t.not(keys.string(PREFIX, 'Anna'), keys.string(PREFIX, 'anna'));
  t.ok(inSpan(keys.string(PREFIX, `${long}a`), spans.startsWith(PREFIX, 'x'.repeat(200))));
  t.ok(keys.string(PREFIX, '\u{1F600}'.repeat(300)).isWellFormed(), 'no character is cut in two');
  t.ok(keys.token(PREFIX, `a${'\u{1F600}'.repeat(300)}`, '').isWellFormed());
  t.ok(keys.uri(PREFIX, `http://a/${'\u{1F600}'.repeat(900)}`).isWellFormed());
  t.ok(
    inSpan(keys.string(PREFIX, `a${'\u{1F600}'.repeat(300)}`), spans.startsWith(PREFIX, `a${'\u{1F600}'.repeat(99)}`)),
  );
});

t.test('tokens: one key for a code in any case and its system, one for the code under any system', async (t) => {
  const code = fc.array(fc.constantFrom(...'abAB|-1é😀'), { minLength: 1, maxLength: 4 }).map((all) => all.join(''));
  const system = fc.constantFrom('', 'http://a', 'http://b', undefined);
  const property = fc.property(code, system, code, system, (one, of, other, from) => {
    const isSame = one.toLowerCase() === other.toLowerCase();
    assert.equal(keys.token(PREFIX, one, of) === keys.token(PREFIX, other, from), isSame && of === from);
    assert.equal(keys.anySystem(PREFIX, one) === keys.anySystem(PREFIX, other), isSame);
    assert.notEqual(keys.anySystem(PREFIX, one), keys.token(PREFIX, other, from));
  });
  t.doesNotThrow(() => fc.assert(property, { numRuns: 5_000 }));
});

t.test('uris: what lies below begins with the uri and a slash', async (t) => {
  const below = (stored: string, asked: string): boolean =>
    inSpan(keys.uri(PREFIX, stored), spans.uriBelow(PREFIX, asked));
  t.ok(below('http://a.org/fhir/ValueSet/1', 'http://a.org/fhir'));
  t.ok(below('http://a.org/fhir/ValueSet/1', 'http://a.org/fhir/'));
  t.notOk(below('http://a.org/fhirs', 'http://a.org/fhir'));
  t.notOk(below('http://a.org/fhir', 'http://a.org/fhir'));
});

t.test('lists of one parameter do not overlap', async (t) => {
  const number = numberLists(PREFIX);
  const coded = codedUnitLists(PREFIX, 'http://unitsofmeasure.org', 'mg');
  const unit = unitLists(PREFIX, 'mg');
  const all = [
    keys.present(PREFIX),
    keys.string(PREFIX, 'x'),
    keys.token(PREFIX, 'x', ''),
    keys.token(PREFIX, 'x', '', 'i'),
    keys.tokenSystem(PREFIX, 'x'),
    keys.tokenSystem(PREFIX, 'x', 'j'),
    keys.reference(PREFIX, 'Patient/1'),
    keys.uri(PREFIX, 'http://x'),
    ...keys.date(PREFIX, 0, 1),
    ...[number, coded, unit].flatMap((lists) => [numberKey(lists, 1), ...numberRangeKeys(lists, 1, 2)]),
  ];
  t.equal(new Set(all.map((key) => key.slice(0, 5))).size, all.length, 'a letter of its own for each');
  for (const key of all) t.ok(inSpan(key, spans.present(PREFIX)), 'present');
  const others = all.filter((key) => !key.startsWith(`${PREFIX}s`));
  for (const key of others) t.notOk(inSpan(key, spans.allStrings(PREFIX)));
});

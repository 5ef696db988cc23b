// Index keys: encoded numbers and times sort as their values do, no two parameters share a list, and a span of strings
// holds exactly the texts that start with the one asked for. Terms never meet a key or each other by accident.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { limits } from '../../src/base/limits.ts';
import { folded } from '../../src/base/text.ts';
import {
  codedUnitLists,
  compartmentKey,
  DIGEST_CHARS,
  decodeNumber,
  digest,
  encodeNumber,
  encodeTime,
  keys,
  NO_DIGEST,
  NUMBER_CHARS,
  numberKey,
  numberKeys,
  numberLists,
  numberRangeKeys,
  parameterPrefix,
  referencePrefix,
  SHORT_MS,
  shortDigest,
  sortPrefix,
  spans,
  stringStart,
  TIME_CHARS,
  terms,
} from '../../src/fhir/search/keys.ts';
import { listsOf } from '../../src/fhir/search/lists.ts';
import { positionKey } from '../../src/fhir/search/near.ts';
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
  t.strictSame([...lengths], [NUMBER_CHARS], 'fixed length');
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

t.test('numbers: what was encoded is read back, to the last bit', async (t) => {
  for (const number of NUMBERS) t.equal(decodeNumber(encodeNumber(number)), number);
  t.ok(Object.is(decodeNumber(encodeNumber(-0)), 0), '-0 comes back as 0');
  const property = fc.property(fc.double({ noNaN: true }), (value) => {
    assert.equal(decodeNumber(encodeNumber(value)), value === 0 ? 0 : value);
  });
  t.doesNotThrow(() => fc.assert(property, { numRuns: 10_000 }));
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
    assert.equal(encodeTime(a).length, TIME_CHARS);
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

t.test(
  'tokens: one key for a code in any case and its system; the span of a code has it under every system',
  async (t) => {
    const code = fc.array(fc.constantFrom(...'abAB|-1é😀'), { minLength: 1, maxLength: 4 }).map((all) => all.join(''));
    const system = fc.constantFrom('', 'http://a', 'http://b', undefined);
    const property = fc.property(code, system, code, system, (one, of, other, from) => {
      const isSame = one.toLowerCase() === other.toLowerCase();
      assert.equal(keys.token(PREFIX, one, of) === keys.token(PREFIX, other, from), isSame && of === from);
      assert.equal(inSpan(keys.token(PREFIX, one, of), spans.tokens(PREFIX, other)), isSame);
      assert.ok(!inSpan(keys.token(PREFIX, one, of, 'i'), spans.tokens(PREFIX, other)), 'identifiers stand elsewhere');
    });
    t.doesNotThrow(() => fc.assert(property, { numRuns: 5_000 }));
  },
);

t.test('terms: one for each meaning, in a list of its own', async (t) => {
  const all = [
    terms.tokenSystem(PREFIX, 'x'),
    terms.identifierSystem(PREFIX, 'x'),
    terms.display(PREFIX, 'x'),
    terms.ofType(PREFIX, 'x', 'x', 'x'),
    terms.word(PREFIX, 'x'),
  ];
  t.equal(new Set(all.map((term) => term.slice(0, 5))).size, all.length, 'a letter of its own for each');
  for (const term of all) t.ok(term.startsWith(PREFIX));
  t.equal(terms.display(PREFIX, 'Änne  Müller'), terms.display(PREFIX, 'anne muller'), 'as readers compare');
  t.equal(terms.ofType(PREFIX, 's', 'MR', 'A1'), terms.ofType(PREFIX, 's', 'mr', 'a1'), 'as tokens are compared');
  t.not(terms.ofType(PREFIX, 's', 'a', 'b'), terms.ofType(PREFIX, 's', 'b', 'a'));
  t.not(terms.ofType(PREFIX, 's|a', 'b', 'c'), terms.ofType(PREFIX, 's', 'a', 'b|c'));
  t.not(terms.tokenSystem(PREFIX, 'http://a'), terms.tokenSystem(PREFIX, 'http://A'), 'systems are exact');
});

t.test('digests: fixed length, of characters that keys are sliced at', async (t) => {
  for (const text of ['', 'a', 'http://unitsofmeasure.org', '\u{1F600}']) {
    t.match(shortDigest(text), new RegExp(`^[-\\w]{${DIGEST_CHARS}}$`));
    t.equal(shortDigest(text), shortDigest(text));
    t.equal(shortDigest(text), digest(text, DIGEST_CHARS));
  }
  t.not(shortDigest('mg'), shortDigest('Mg'));
  t.equal(NO_DIGEST.length, DIGEST_CHARS);
});

t.test(
  'quantities: the same number under each unit that it is found by; a unit stands behind the number',
  async (t) => {
    const lists = numberLists(PREFIX, 'mg');
    t.strictSame(numberKeys(PREFIX, 5.4), [`${lists.point}${encodeNumber(5.4)}${NO_DIGEST}`]);
    const found = numberKeys(PREFIX, 5.4, ['mg', 'milligram']);
    t.strictSame(
      found.map((key) => key.slice(lists.point.length + NUMBER_CHARS)),
      [shortDigest('mg'), shortDigest('milligram')],
    );
    t.equal(lists.unit, shortDigest('mg'));
    const range = numberRangeKeys(lists, 1, 2, ['mg', 'milligram']);
    t.equal(range.length, 4, 'by each end and unit');
    for (const key of range) t.equal(key.length, lists.low.length + 2 * NUMBER_CHARS + DIGEST_CHARS);
    const coded = codedUnitLists(PREFIX, 'http://unitsofmeasure.org', 'g');
    t.equal(numberKey(coded, 1).length, coded.point.length + NUMBER_CHARS);
    t.not(coded.point, codedUnitLists(PREFIX, 'http://example.org', 'g').point, 'a code belongs to its system');
  },
);

t.test('dates: a second key for what lasts longer than a day', async (t) => {
  const hour = 3_600_000;
  for (const [length, count] of [
    [1, 1],
    [24 * hour, 1],
    [SHORT_MS, 1],
    [SHORT_MS + 1, 2],
    [MAX_TIME, 2],
  ] as const) {
    t.equal(keys.date(PREFIX, 0, length).length, count, `${length} ms`);
  }
  t.strictSame(keys.date(PREFIX, 1, MAX_TIME), [
    `${PREFIX}l${encodeTime(1)}${encodeTime(MAX_TIME)}`,
    `${PREFIX}h${encodeTime(MAX_TIME)}${encodeTime(1)}`,
  ]);
});

t.test('long texts: every stretch that :contains may ask for lies within one key', async (t) => {
  const word = fc.array(fc.constantFrom(...'abcde é'), { minLength: 1, maxLength: 30 }).map((all) => all.join(''));
  const long = fc.array(word, { minLength: 1, maxLength: 40 }).map((all) => all.join(' '));
  const property = fc.property(
    long,
    fc.nat(),
    fc.integer({ min: 1, max: limits.containsCharsMax }),
    (text, from, length) => {
      const whole = folded(text);
      const at = whole.length === 0 ? 0 : from % whole.length;
      const asked = whole.slice(at, at + length);
      const stretches = [stringStart(text), ...keys.stringWindows(PREFIX, text).map((key) => key.slice(5))];
      assert.ok(stretches.some((stretch) => stretch.includes(asked)));
      for (const stretch of stretches) assert.ok(stretch.length <= limits.stringKeyCharsMax + 1);
    },
  );
  t.doesNotThrow(() => fc.assert(property, { numRuns: 3_000 }));
  t.strictSame(keys.stringWindows(PREFIX, 'x'.repeat(limits.stringKeyCharsMax)), [], 'none for what one key holds');
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
  const all = [
    keys.present(PREFIX),
    keys.string(PREFIX, 'x'),
    ...keys.stringWindows(PREFIX, 'x'.repeat(limits.stringKeyCharsMax + 1)),
    keys.token(PREFIX, 'x', ''),
    keys.token(PREFIX, 'x', '', 'i'),
    keys.reference(PREFIX, 'Patient/1'),
    keys.uri(PREFIX, 'http://x'),
    ...keys.date(PREFIX, 0, 2 * SHORT_MS),
    numberKey(number, 1),
    ...numberRangeKeys(number, 1, 2),
    numberKey(coded, 1),
    ...numberRangeKeys(coded, 1, 2),
    positionKey(PREFIX, 1, 2),
  ];
  t.equal(new Set(all.map((key) => key.slice(0, 5))).size, all.length, 'a letter of its own for each');
  for (const key of all) t.ok(inSpan(key, spans.present(PREFIX)), 'present');
  const others = all.filter((key) => !key.startsWith(`${PREFIX}s`));
  for (const key of others) t.notOk(inSpan(key, spans.allStrings(PREFIX)));
});

t.test('_sort follows the list that has one entry for a value', async (t) => {
  const [date = ''] = keys.date(PREFIX, 0, 1);
  for (const [type, key] of [
    ['string', keys.string(PREFIX, 'x')],
    ['token', keys.token(PREFIX, 'x', '')],
    ['reference', keys.reference(PREFIX, 'Patient/1')],
    ['uri', keys.uri(PREFIX, 'http://x')],
    ['date', date],
    ['number', numberKey(numberLists(PREFIX), 1)],
    ['quantity', numberKey(numberLists(PREFIX), 1)],
  ] as const) {
    t.ok(key.startsWith(sortPrefix(PREFIX, type)), type);
  }
  t.equal(referencePrefix(PREFIX), sortPrefix(PREFIX, 'reference'));
});

t.test('parameters of the specification that others answer have no list of their own', async (t) => {
  const definitions = loadDefinitions();
  const codes = (type: string, code: string): string[] => {
    const names = new Map(
      [...definitions.searchParameters(type).keys()].map((one) => [parameterPrefix(type, one), one]),
    );
    const { lists } = listsOf(definitions, type, code);
    return lists.map(({ prefix, target, isRemote }) => {
      const kept = target === undefined ? '' : ` to ${target}`;
      return `${names.get(prefix)}${kept}${isRemote === true ? ' elsewhere' : ''}`;
    });
  };
  t.strictSame(codes('Patient', 'phonetic'), ['name'], 'the same under a shorter name');
  t.strictSame(codes('Observation', 'patient'), ['patient elsewhere', 'subject to Patient'], 'one type of another');
  t.strictSame(codes('Observation', 'combo-code').sort(), ['code', 'component-code'], 'a union');
  t.strictSame(codes('Observation', 'combo-code-value-quantity').sort(), [
    'code-value-quantity',
    'component-code-value-quantity',
  ]);
  t.strictSame(codes('Patient', 'birthdate'), ['birthdate'], 'its own');
  let derived = 0;
  for (const type of definitions.resourceTypes) {
    for (const [code, { type: kind }] of definitions.searchParameters(type)) {
      const { lists, writes } = listsOf(definitions, type, code);
      assert.ok(lists.length > 0, `${type}.${code}`);
      const own = parameterPrefix(type, code);
      if (writes === 'all') assert.deepEqual(lists, [{ prefix: own }], `${type}.${code}`);
      else derived++;
      for (const list of lists) {
        // What a list is taken from is kept: nobody leans on one that leans on others.
        const other = [...definitions.searchParameters(type).values()].find(
          (one) => parameterPrefix(type, one.code) === list.prefix,
        );
        assert.equal(other?.type, kind, `${type}.${code}`);
        if (list.prefix !== own && other !== undefined)
          assert.equal(listsOf(definitions, type, other.code).writes, 'all', `${type}.${code} leans on ${other.code}`);
      }
    }
  }
  t.ok(derived > 60, `${derived} parameters are answered from others' lists`);
});

// Strict JSON over bytes: what is refused and where, and rewriting that leaves every other byte as it was.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { limits } from '../../src/base/limits.ts';
import { FhirError } from '../../src/base/outcome.ts';
import {
  checkJson,
  compactJson,
  elementSpans,
  listSpans,
  memberSpans,
  parseJson,
  replaceStrings,
  withIdAndMeta,
} from '../../src/model/json.ts';
import { stamped } from '../../src/store/stamp.ts';

const bytesOf = (text: string): Buffer => Buffer.from(text, 'utf8');
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');
const bound = { interruptAfterTimeLimit: 2_000 };

function refusal(bytes: Uint8Array): string {
  try {
    parseJson(bytes);
  } catch (error) {
    if (!(error instanceof FhirError) || error.status !== 400) throw error;
    return error.message;
  }
  return 'accepted';
}

function outcomeOfNative(text: string): unknown {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return 'refused';
  }
}

/** Texts that JSON.parse takes and parseJson refuses on purpose. */
const isExtraRefusal = (message: string): boolean => message.startsWith('Refused JSON');

t.test('a text is refused with line, column and what is expected', async (t) => {
  const cases: [string, string][] = [
    ['', 'line 1, column 1: a value is expected (the text ends here)'],
    ['{', 'line 1, column 2: a member name in double quotes or "}" is expected (the text ends here)'],
    ['{"a":1,}', 'line 1, column 8: a member name in double quotes is expected'],
    ['{"a" 1}', 'line 1, column 6: ":" is expected'],
    ['{"a":1 "b":2}', 'line 1, column 8: "," or "}" is expected'],
    ['[1 2]', 'line 1, column 4: "," or "]" is expected'],
    ['[1,]', 'line 1, column 4: a value is expected'],
    ['[1]]', 'line 1, column 4: the end of the text is expected'],
    ['{"é":\n  x}', 'line 2, column 3: a value is expected'],
    ['["é😀" x]', 'line 1, column 7: "," or "]" is expected'],
    ['tru', 'line 1, column 1: a value is expected'],
    ['01', 'line 1, column 1: a number must not begin with a superfluous 0'],
    ['1.', 'line 1, column 3: a digit is expected (the text ends here)'],
    ['-', 'line 1, column 2: a digit is expected (the text ends here)'],
    ['1e+', 'line 1, column 4: a digit is expected (the text ends here)'],
    ['"abc', 'line 1, column 5: a string is not closed: a double quote is expected (the text ends here)'],
    ['"\\x"', 'line 1, column 2: an escape is one of'],
    ['"\\u12g4"', 'line 1, column 2: \\u takes four hexadecimal digits'],
    ['"a\tb"', 'line 1, column 3: a control character stands in a string'],
    ['{"a":1,"b":{"a":1},"a":2}', 'line 1, column 20: the member name "a" stands twice in one object'],
    ['{"a":1,"\\u0061":2}', 'line 1, column 8: the member name "\\u0061" stands twice in one object'],
    ['{"__proto__":1}', 'line 1, column 2: the member name "__proto__"'],
    ['{"a":{"\\u0063onstructor":1}}', 'line 1, column 7: the member name "constructor"'],
    ['{"prototype":1}', 'line 1, column 2: the member name "prototype"'],
  ];
  for (const [text, expected] of cases) {
    const message = refusal(bytesOf(text));
    t.ok(message.includes(expected), `${JSON.stringify(text)}: ${message}`);
  }
});

t.test('text that is not UTF-8 is refused at its place', async (t) => {
  const bad = [[0xff], [0xc3], [0xe2, 0x82], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xc0, 0x80], [0x80]];
  for (const sequence of bad) {
    for (const lead of ['', 'é', 'x'.repeat(4094), `${'é'.repeat(3000)}€`]) {
      const message = refusal(Buffer.concat([bytesOf(`"${lead}`), Buffer.from(sequence), bytesOf('"')]));
      const place = `column ${[...lead].length + 2}:`;
      t.ok(
        message.includes('not valid UTF-8') && message.includes(place),
        `${sequence} after ${lead.length}: ${message}`,
      );
    }
  }
});

t.test('content is not repeated in a message', async (t) => {
  t.notMatch(refusal(bytesOf('{"name":"Secret" x}')), /Secret/);
  const long = 'secret'.repeat(20);
  t.notMatch(refusal(bytesOf(`{"${long}":1,"${long}":2}`)), /secret/);
});

t.test('a byte order mark, lone surrogates and empty names are tolerated', async (t) => {
  t.same(parseJson(bytesOf('\ufeff{"a":1}')), { a: 1 });
  t.same(parseJson(bytesOf('["\\ud800"]')), ['\ud800']);
  t.same(parseJson(bytesOf('{"\\ud800":1,"\\ud801":2,"":3}')), { '\ud800': 1, '\ud801': 2, '': 3 });
  t.equal(textOf(compactJson(bytesOf('\ufeff{"a":1}'))), '{"a":1}');
  t.equal(textOf(compactJson(bytesOf('\ufeff { "a":1}'))), '{"a":1}');
  t.same([...memberSpans(bytesOf('\ufeff{"a":1}')).keys()], ['a']);
});

t.test('threats 19, 20: hostile texts are refused quickly', async (t) => {
  const hostile: [string, Buffer][] = [
    ['a million levels', bytesOf('['.repeat(1e6) + ']'.repeat(1e6))],
    ['a million objects', bytesOf(`${'{"a":'.repeat(1e6)}1${'}'.repeat(1e6)}`)],
    ['4 MB of [', Buffer.alloc(4 << 20, '[')],
    ['4 MB of quotes', Buffer.alloc(4 << 20, '"')],
    ['200,000 keys', bytesOf(`{${Array.from({ length: 200_000 }, (_, i) => `"k${i}":1`).join()}}`)],
    ['an open string of 4 MB', bytesOf(`"${'a'.repeat(4 << 20)}`)],
    ['backslashes to the end', bytesOf(`"${'\\'.repeat((1 << 20) + 1)}`)],
  ];
  for (const [title, bytes] of hostile) {
    const start = performance.now();
    const message = refusal(bytes);
    const elapsedMs = performance.now() - start;
    t.not(message, 'accepted', title);
    t.ok(elapsedMs < 1_000, `${title}: ${elapsedMs.toFixed(0)} ms`);
  }
});

t.test('threats 19, 20: depth and members are accepted up to the limit', async (t) => {
  const nested = (depth: number) => bytesOf('['.repeat(depth) + ']'.repeat(depth));
  t.equal(refusal(nested(limits.jsonDepthMax)), 'accepted');
  t.match(refusal(nested(limits.jsonDepthMax + 1)), /levels of nesting/);
  const wide = (count: number) => bytesOf(`{${Array.from({ length: count }, (_, i) => `"k${i}":1`).join()}}`);
  t.equal(refusal(wide(limits.objectKeysMax)), 'accepted');
  t.match(refusal(wide(limits.objectKeysMax + 1)), /members in one object/);
});

t.test('duplicates are found in objects of any size', async (t) => {
  for (const count of [2, 23, 24, 25, 26, 500]) {
    const names = Array.from({ length: count }, (_, i) => `"${i % 2 ? 'k' : 'é'}${i}":{"k1":0}`);
    t.equal(refusal(bytesOf(`{${names.join()}}`)), 'accepted');
    t.match(refusal(bytesOf(`{${names.join()},${names[count >> 1]}}`)), /stands twice/);
    t.match(refusal(bytesOf(`{${names.join()},"\\u006b1":1}`)), /stands twice/);
  }
});

t.test('property: a text is accepted and read as JSON.parse does', async () => {
  const mutated = fc
    .tuple(fc.json({ maxDepth: 5 }), fc.nat(), fc.constantFrom(...'{}[]",:\\0123.eE+-tfn \n\u0000é', ''), fc.boolean())
    .map(([text, at, piece, isReplaced]) => {
      const place = at % (text.length + 1);
      return text.slice(0, place) + piece + text.slice(place + (isReplaced ? 1 : 0));
    });
  const texts = fc.oneof(
    fc.json({ maxDepth: 5 }),
    mutated,
    fc.string({ unit: fc.constantFrom(...'{}[]",:\\u01.e-truefalsn ') }),
  );
  fc.assert(
    fc.property(texts, (text) => {
      const bytes = bytesOf(text);
      const message = refusal(bytes);
      if (isExtraRefusal(message)) return;
      const own = message === 'accepted' ? { value: parseJson(bytes) } : 'refused';
      assert.deepEqual(own, outcomeOfNative(bytes.toString('utf8')));
    }),
    { ...bound, numRuns: 3_000 },
  );
});

t.test('property: in steps a text is refused as it is at once, in the same words', async () => {
  const inserted = fc.constantFrom(
    ...'{}[]",:\\0123.eE+-tfn \n\u0000é😀',
    '',
    '"a":1,',
    '"__proto__":1,',
    '[['.repeat(40),
  );
  const mutated = fc
    .tuple(fc.json({ maxDepth: 5, noUnicodeString: false }), fc.nat(), inserted, fc.boolean())
    .map(([text, at, piece, isReplaced]) => {
      const place = at % (text.length + 1);
      return bytesOf(text.slice(0, place) + piece + text.slice(place + (isReplaced ? 1 : 0)));
    });
  const broken = fc
    .tuple(mutated, fc.nat(), fc.integer({ min: 0, max: 255 }))
    .map(([bytes, at, byte]) => Buffer.concat([bytes.subarray(0, at % (bytes.length + 1)), Buffer.of(byte), bytes]));
  const marked = mutated.map((bytes) => Buffer.concat([bytesOf('\ufeff'), bytes]));
  await fc.assert(
    fc.asyncProperty(fc.oneof(mutated, broken, marked), fc.integer({ min: 1, max: 9 }), async (bytes, stepBytes) => {
      let turns = 0;
      const message = await checkJson(bytes, () => void turns++ as undefined, stepBytes).then(
        () => 'accepted',
        (error: FhirError) => error.message,
      );
      assert.equal(message, refusal(bytes));
      assert.ok(turns <= bytes.length * 2);
    }),
    { ...bound, numRuns: 3_000 },
  );
});

t.test('property: the elements of a list are those of the value', async () => {
  const spaced = fc.constantFrom(undefined, 1, '\t');
  const value = fc.record(
    { a: fc.jsonValue(), 'e"é': fc.array(fc.jsonValue()), z: fc.jsonValue() },
    { requiredKeys: [] },
  );
  await fc.assert(
    fc.asyncProperty(value, spaced, fc.nat({ max: 5 }), async (value, indent, atMost) => {
      const bytes = bytesOf(JSON.stringify(value, null, indent));
      const found = await listSpans(bytes, { name: 'e"é', atMost }, () => undefined);
      const list = (JSON.parse(textOf(bytes)) as typeof value)['e"é'];
      const texts = found?.elements.map(({ start, end }) => JSON.parse(textOf(bytes.subarray(start, end))));
      assert.deepEqual(texts, (list ?? []).slice(0, atMost));
      assert.equal(found?.count, list?.length ?? 0);
      const span = found?.list;
      const whole = span && JSON.parse(textOf(bytes.subarray(span.valueStart, span.valueEnd)));
      assert.deepEqual(whole, list);
    }),
    { ...bound, numRuns: 500 },
  );
  assert.equal(await listSpans(bytesOf(' [1]'), { name: 'a', atMost: 1 }, () => undefined), undefined);
});

t.test('a text of megabytes is checked with turns for others, up to where it is refused', async (t) => {
  const long = bytesOf(`[${'{"a":[1,"é\\n"]},'.repeat(200_000)}0]`);
  const count = async (bytes: Uint8Array): Promise<[number, string]> => {
    let turns = 0;
    const checked = checkJson(bytes, () => void turns++ as undefined);
    const message = await checked.then(
      () => 'accepted',
      (error: FhirError) => error.message,
    );
    return [turns, message];
  };
  const [turns, message] = await count(long);
  t.equal(message, 'accepted');
  t.ok(turns >= Math.floor(long.length / 2 ** 20), `${turns} turns`);
  const [more, refused] = await count(long.subarray(0, long.length - 1));
  t.match(refused, /line 1, column 3200003: "," or "]" is expected \(the text ends here\)/);
  t.ok(more >= 2 * turns - 2, `${more} turns: to find the place takes as long`);
});

t.test('property: spans slice out the members and elements', async () => {
  const spaced = fc.tuple(fc.jsonValue({ maxDepth: 4 }), fc.constantFrom(0, 2, '\t'));
  fc.assert(
    fc.property(fc.array(spaced), fc.dictionary(fc.string(), fc.jsonValue()), (values, object) => {
      for (const [value, indent] of [...values, [object, 0], [object, 2]] as [unknown, number][]) {
        const bytes = bytesOf(JSON.stringify({ a: value, '"\\é': [value, 1], o: object }, null, indent));
        const members = memberSpans(bytes);
        const read = (start: number, end: number) => JSON.parse(textOf(bytes.subarray(start, end)));
        assert.deepEqual([...members.keys()], ['a', '"\\é', 'o']);
        const a = members.get('a');
        const list = members.get('"\\é');
        const o = members.get('o');
        if (a === undefined || list === undefined || o === undefined) throw new Error('unreachable');
        assert.deepEqual(read(a.valueStart, a.valueEnd), JSON.parse(JSON.stringify(value)));
        assert.equal(bytes[list.nameStart], 0x22);
        const elements = elementSpans(bytes, list.valueStart, list.valueEnd);
        assert.deepEqual(
          elements.map(({ start, end }) => read(start, end)),
          JSON.parse(JSON.stringify([value, 1])),
        );
        assert.deepEqual([...memberSpans(bytes, o.valueStart, o.valueEnd).keys()], Object.keys(object));
      }
    }),
    { ...bound, numRuns: 100 },
  );
});

t.test('property: compacting removes whitespace between tokens and nothing else', async (t) => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), fc.constantFrom(1, 2, '\t', ' \n'), (value, indent) => {
      const compact = JSON.stringify(value);
      assert.equal(textOf(compactJson(bytesOf(JSON.stringify(value, null, indent)))), compact);
      const bytes = bytesOf(compact);
      assert.equal(compactJson(bytes), bytes, 'the same array');
    }),
    { ...bound, numRuns: 500 },
  );
  t.equal(textOf(compactJson(bytesOf('{ "a" : [ 1.50 , 1e2 , "x  \\" y" ] }\r\n'))), '{"a":[1.50,1e2,"x  \\" y"]}');
});

t.test('replaceStrings rewrites string values by the member they stand under', async (t) => {
  const text =
    '{ "reference":"urn:1", "n":1.50, "list":["urn:1",{"reference":"urn:\\u0032"},["urn:1"],"k"], "urn:1":"x", "z":"urn:1" }';
  const seen: string[] = [];
  const replaced = replaceStrings(bytesOf(text), (name, value) => {
    seen.push(`${name}=${value}`);
    return value.startsWith('urn:') && name !== 'z' ? `P/"${value.slice(4)}` : undefined;
  });
  t.same(seen, ['reference=urn:1', 'list=urn:1', 'reference=urn:2', 'list=urn:1', 'list=k', 'urn:1=x', 'z=urn:1']);
  t.equal(
    textOf(replaced),
    '{ "reference":"P/\\"1", "n":1.50, "list":["P/\\"1",{"reference":"P/\\"2"},["P/\\"1"],"k"], "urn:1":"x", "z":"urn:1" }',
  );
  const bytes = bytesOf(text);
  t.equal(
    replaceStrings(bytes, () => undefined),
    bytes,
    'the same array when nothing changes',
  );
  const isUrn = (all: Uint8Array, start: number, end: number) => textOf(all.subarray(start, end)).startsWith('urn:');
  const asked: string[] = [];
  replaceStrings(bytes, (_, value) => void asked.push(value) as undefined, isUrn);
  t.same(asked, ['urn:1', 'urn:1', 'urn:2', 'urn:1', 'urn:1'], 'only those that may match are asked for');
  t.equal(textOf(replaceStrings(bytesOf('"a"'), () => 'b')), '"b"');
});

t.test('property: replaceStrings equals a rewrite of the parsed value', async () => {
  const change = (text: string) => (text.length % 2 ? `${text}é"` : undefined);
  const rewrite = (value: unknown): unknown => {
    if (typeof value === 'string') return change(value) ?? value;
    if (Array.isArray(value)) return value.map(rewrite);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, rewrite(member)]));
  };
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
      const rewritten = replaceStrings(bytesOf(JSON.stringify(value, null, 1)), (_, text) => change(text));
      const expected = JSON.stringify(rewrite(JSON.parse(JSON.stringify(value))), null, 1);
      assert.equal(textOf(rewritten), expected);
    }),
    { ...bound, numRuns: 500 },
  );
});

t.test('withIdAndMeta builds the body to stamp', async (t) => {
  const built = (text: string, meta?: string) =>
    withIdAndMeta(bytesOf(text), meta === undefined ? { id: 'new-1' } : { id: 'new-1', meta: bytesOf(meta) });
  const cases: [string, string][] = [
    ['{"resourceType":"Patient"}', '{"resourceType":"Patient","id":"new-1","meta":{<>}}'],
    [
      '{"active":true,"id":"x","resourceType":"Patient","meta":{"versionId":"9","profile":["p"],"lastUpdated":"y","id":"m"},"_id":{"id":"z"},"a":1.50,"b":1e2}',
      '{"resourceType":"Patient","id":"new-1","meta":{<>,"profile":["p"],"id":"m"},"active":true,"a":1.50,"b":1e2}',
    ],
    [
      '{"resourceType":"Observation","meta":{"lastUpdated":"y","versionId":"9"},"valueDecimal":0.1000000000000000000001}',
      '{"resourceType":"Observation","id":"new-1","meta":{<>},"valueDecimal":0.1000000000000000000001}',
    ],
    ['{"resourceType":"Patient","meta":{}}', '{"resourceType":"Patient","id":"new-1","meta":{<>}}'],
  ];
  for (const [text, expected] of cases) {
    const { body, stampAt } = built(text);
    t.equal(`${textOf(body.subarray(0, stampAt))}<>${textOf(body.subarray(stampAt))}`, expected);
    t.ok(parseJson(stamped(body, stampAt, 1, 0)));
  }
  const other = built('{"resourceType":"Patient","meta":{"tag":[]},"active":true}', '{"tag":[{"code":"t"}]}');
  t.equal(textOf(other.body), '{"resourceType":"Patient","id":"new-1","meta":{,"tag":[{"code":"t"}]},"active":true}');
  t.throws(() => built('{"resourceType":"Patient","meta":[]}'), FhirError);
  t.throws(() => built('{"resourceType":"Patient","meta":null}'), FhirError);
  t.throws(() => built('{"meta":{}}'), FhirError);
  t.throws(() => built('{"resourceType":5}'), FhirError);
  t.throws(() => built('[]'), FhirError);
});

t.test('property: a stamped body holds the members in their order and text', async () => {
  const decimals = fc.constantFrom('1.50', '1e2', '0.1000000000000000000001', '-0', '100');
  const members = fc.dictionary(fc.string(), decimals);
  fc.assert(
    fc.property(members, members, (rest, meta) => {
      for (const name of ['resourceType', 'id', '_id', 'meta', '__proto__']) delete rest[name];
      for (const name of ['versionId', '_versionId', 'lastUpdated', '_lastUpdated', '__proto__']) delete meta[name];
      const print = (object: Record<string, string>) =>
        Object.entries(object)
          .map(([name, text]) => `,${JSON.stringify(name)}:${text}`)
          .join('');
      const metaText = `{"versionId":"7"${print(meta)}}`;
      const text = `{"meta":${metaText}${print(rest)},"id":"old","resourceType":"Basic"}`;
      const { body, stampAt } = withIdAndMeta(bytesOf(text), { id: 'i' });
      const stamp = '"versionId":"3","lastUpdated":"1970-01-01T00:00:00.000Z"';
      const expected = `{"resourceType":"Basic","id":"i","meta":{${stamp}${print(meta)}}${print(rest)}}`;
      assert.equal(textOf(stamped(body, stampAt, 3, 0)), expected);
    }),
    { ...bound, numRuns: 500 },
  );
});

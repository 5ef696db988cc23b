// Every R4 primitive: values that are accepted and values that are not.
import t from 'tap';
import { primitiveChecks, primitiveProblem } from '../../src/model/primitives.ts';

const cases: Record<string, { right: unknown[]; wrong: unknown[] }> = {
  boolean: { right: [true, false], wrong: ['true', 1, 0, null, undefined, {}, []] },
  integer: {
    right: [0, -1, 2147483647, -2147483648, -0],
    wrong: [1.5, 2147483648, -2147483649, '1', null, Number.NaN],
  },
  unsignedInt: { right: [0, 5, 2147483647], wrong: [-1, 0.5, 2147483648, '0'] },
  positiveInt: { right: [1, 2147483647], wrong: [0, -1, 1.5, '1'] },
  decimal: { right: [0, 1.5, -1e20, 1e-300], wrong: ['1.5', Number.POSITIVE_INFINITY, Number.NaN, null, {}] },
  string: {
    right: ['a', ' ', 'a\tb\r\nc', '😀', '\ud800'],
    wrong: ['', 5, null, 'a\u0000b', 'a\u001fb', {}, 'x'.repeat(1024 * 1024 + 1)],
  },
  markdown: { right: ['# a\n\nb'], wrong: ['', 5, '\u0007'] },
  code: { right: ['a', 'a b', '>=', 'a-b c d'], wrong: ['', ' a', 'a ', 'a  b', 'a\tb', 'a\nb', '\u00a0', 5] },
  id: { right: ['a', 'A-1.b', 'x'.repeat(64)], wrong: ['', 'x'.repeat(65), 'a_b', 'a/b', 'a b', 'é', 5] },
  oid: {
    right: ['urn:oid:1.2.3', 'urn:oid:2.16.840.1.113883', 'urn:oid:0.0'],
    wrong: [
      '1.2.3',
      'urn:oid:3.1',
      'urn:oid:1',
      'urn:oid:1.02',
      'urn:oid:1..2',
      'urn:oid:1.2.',
      'urn:oid:',
      'urn:oid:12.3',
    ],
  },
  uuid: {
    right: ['urn:uuid:c757873d-ec9a-4326-a141-556f43239520'],
    wrong: [
      'c757873d-ec9a-4326-a141-556f43239520',
      'urn:uuid:c757873d-ec9a-4326-a141',
      'urn:uuid:C757873D-ec9a-4326-a141-556f43239520',
      '',
    ],
  },
  uri: { right: ['http://a/b', 'urn:oid:1.2', '#a', 'a|b', 'é'], wrong: ['', 'a b', ' a', 'a\n', 5, null] },
  url: { right: ['http://a/b', 'mailto:a@b'], wrong: ['', 'http://a b'] },
  canonical: { right: ['http://a/b|1.0#x', '#x'], wrong: ['', 'http://a b', 5] },
  base64Binary: {
    right: ['YQ==', 'YWI=', 'YWJj', ' YW\r\nJj\t', '+/+/'],
    wrong: ['', ' ', 'YQ=', 'YQ', 'Y===', '====', 'YQ==YQ==', 'YQ=a', 'Y-_a', 'YWJ\u00e9', 5],
  },
  instant: {
    right: ['2024-01-01T10:00:00Z', '2024-01-01T10:00:00.123+01:00'],
    wrong: ['2024-01-01', '2024-01-01T10:00Z', '2024-01-01T10:00:00', 5],
  },
  date: { right: ['2024', '2024-02', '2024-02-29'], wrong: ['2023-02-29', '2024-1', '2024-01-01T10:00:00Z', '', 2024] },
  dateTime: { right: ['2024', '2024-01-01T10:00:00Z'], wrong: ['2024-01-01T10:00', '2024-01-01T10:00:00', '24', 2024] },
  time: { right: ['10:00:00', '10:00:00.5'], wrong: ['10:00', '24:00:00', '10:00:00Z', 10] },
  xhtml: {
    right: ['<div>a</div>', '<div xmlns="http://www.w3.org/1999/xhtml">a</div>', ' <div/>\n'],
    wrong: ['', 'a', '<p>a</p>', '<divx></divx>', '<div>a', 5],
  },
};

t.same([...primitiveChecks.keys()].sort(), Object.keys(cases).sort(), 'every primitive has cases');

for (const [type, { right, wrong }] of Object.entries(cases)) {
  t.test(type, async (t) => {
    for (const value of right) t.equal(primitiveProblem(type, value), undefined, JSON.stringify(value).slice(0, 60));
    for (const value of wrong)
      t.type(primitiveProblem(type, value), 'string', String(JSON.stringify(value)).slice(0, 60));
  });
}

t.test('messages say what is accepted', async (t) => {
  t.match(primitiveProblem('date', 'yesterday'), /YYYY-MM-DD/);
  t.match(primitiveProblem('id', 'a_b'), /1 to 64/);
  t.match(primitiveProblem('HumanName', 'x'), /not a primitive type/);
  t.notMatch(primitiveProblem('code', ' secret'), /secret/);
});

t.test('threat 21: checks take linear time on hostile values', async (t) => {
  const start = performance.now();
  for (const type of primitiveChecks.keys()) {
    for (const piece of ['A', 'YWJj ', ' ', 'a ', '1.', '=', '-']) primitiveProblem(type, `${piece.repeat(200_000)}!`);
  }
  t.ok(performance.now() - start < 5_000);
});

t.test('threat 21: the expressions that R4 gives for its primitives are not run', async (t) => {
  // R4's own for base64Binary: 131 characters of this take longer than anybody waits.
  const hostile = `${'AAAA '.repeat(200_000)}!`;
  for (const type of primitiveChecks.keys()) {
    const start = performance.now();
    primitiveProblem(type, hostile);
    t.ok(performance.now() - start < 1_000, `${type}: 1 MB in one go`);
  }
  t.type(primitiveProblem('base64Binary', `${'A'.repeat(131)}!`), 'string');
  t.equal(primitiveProblem('base64Binary', 'AAAA '.repeat(200_000)), undefined);
});

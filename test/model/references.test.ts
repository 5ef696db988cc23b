// What the text of a reference or canonical says.
import t from 'tap';
import { type ParsedReference, parseCanonical, parseReference } from '../../src/model/references.ts';

const BASE = 'https://example.org/fhir';
const isType = (name: string): boolean => ['Patient', 'Observation'].includes(name);

t.test('references by kind', async (t) => {
  const patient = { type: 'Patient', id: '1' };
  const cases: [string, ParsedReference][] = [
    ['Patient/1', { kind: 'relative', ...patient }],
    ['Patient/1/_history/2', { kind: 'relative', ...patient, version: '2' }],
    ['https://example.org/fhir/Patient/1', { kind: 'relative', ...patient }],
    ['https://example.org/fhir/Patient/1/_history/2', { kind: 'relative', ...patient, version: '2' }],
    [
      'https://example.org/fhir/Patient?identifier=a|b/c',
      { kind: 'conditional', type: 'Patient', query: 'identifier=a|b/c' },
    ],
    ['https://other.org/fhir/Patient/1', { kind: 'absolute', ...patient, url: 'https://other.org/fhir/Patient/1' }],
    [
      'https://example.org/fhirx/Patient/1',
      { kind: 'absolute', ...patient, url: 'https://example.org/fhirx/Patient/1' },
    ],
    [
      'http://other.org/Patient/1/_history/7',
      { kind: 'absolute', ...patient, version: '7', url: 'http://other.org/Patient/1' },
    ],
    ['http://other.org/a.pdf', { kind: 'absolute', url: 'http://other.org/a.pdf' }],
    ['http://Patient/1', { kind: 'absolute', url: 'http://Patient/1' }],
    ['https://example.org/fhir', { kind: 'absolute', url: 'https://example.org/fhir' }],
    ['https://example.org/fhir/Thing/1', { kind: 'absolute', url: 'https://example.org/fhir/Thing/1' }],
    ['http://', { kind: 'absolute', url: 'http://' }],
    ['#p1', { kind: 'contained', id: 'p1' }],
    ['#', { kind: 'contained', id: '' }],
    [
      'urn:uuid:c757873d-ec9a-4326-a141-556f43239520',
      { kind: 'urn', url: 'urn:uuid:c757873d-ec9a-4326-a141-556f43239520' },
    ],
    ['urn:oid:1.2.3', { kind: 'urn', url: 'urn:oid:1.2.3' }],
    ['Patient?identifier=http://a/b|1', { kind: 'conditional', type: 'Patient', query: 'identifier=http://a/b|1' }],
    ['Thing/1', { kind: 'other' }],
    ['Thing?a=b', { kind: 'other' }],
    ['Patient', { kind: 'other' }],
    ['Patient/', { kind: 'other' }],
    ['/Patient/1', { kind: 'other' }],
    ['Patient/a_b', { kind: 'other' }],
    ['Patient/1/', { kind: 'other' }],
    ['Patient/1/x', { kind: 'other' }],
    ['Patient/1/_history/', { kind: 'other' }],
    [`Patient/${'1'.repeat(65)}`, { kind: 'other' }],
    ['ftp://a/Patient/1', { kind: 'other' }],
    ['', { kind: 'other' }],
  ];
  for (const [text, expected] of cases) t.same(parseReference(text, BASE, isType), expected, text);
  t.same(parseReference('https://example.org/fhir/Patient/1', `${BASE}/`, isType), { kind: 'relative', ...patient });
});

t.test('without base URL every http URL is absolute; without predicate any capitalised word is a type', async (t) => {
  t.equal(parseReference('https://example.org/fhir/Patient/1').kind, 'absolute');
  t.equal(parseReference('Thing/1').kind, 'relative');
  t.equal(parseReference('thing/1').kind, 'other');
});

t.test('canonicals', async (t) => {
  t.same(parseCanonical('http://a/b'), { url: 'http://a/b' });
  t.same(parseCanonical('http://a/b|1.0'), { url: 'http://a/b', version: '1.0' });
  t.same(parseCanonical('http://a/b#c'), { url: 'http://a/b', fragment: 'c' });
  t.same(parseCanonical('http://a/b|1.0#c'), { url: 'http://a/b', version: '1.0', fragment: 'c' });
  t.same(parseCanonical('http://a/b#c|1.0'), { url: 'http://a/b', version: '1.0', fragment: 'c' });
  t.same(parseCanonical('#c'), { url: '', fragment: 'c' });
});

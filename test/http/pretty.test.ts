// `_pretty=true`: a line for each value, and every value as it was.
import t from 'tap';
import { prettyJson } from '../../src/http/pretty.ts';
import { fakeServer } from './support.ts';

const pretty = (text: string): string => Buffer.from(prettyJson(Buffer.from(text))).toString();

t.test('JSON with lines and margins, values untouched', async (t) => {
  t.equal(
    pretty('{"a":1.50,"b":[{"c":"x, {y}: [\\"z\\"]"},1e3,null],"d":{},"e":[],"f":true}'),
    '{\n  "a": 1.50,\n  "b": [\n    {\n      "c": "x, {y}: [\\"z\\"]"\n    },\n    1e3,\n    null\n  ],\n  "d": {},\n  "e": [],\n  "f": true\n}\n',
  );
  t.equal(pretty('{ "a" : [ ] ,\n"b":{ } }'), '{\n  "a": [],\n  "b": {}\n}\n', 'spaces that were there are gone');
  t.equal(pretty('"ä\\\\"'), '"ä\\\\"\n');
});

t.test('the same value as JSON.stringify makes of it', async (t) => {
  const value = { a: [1, [2, [], {}], { b: 'c "d" \\', e: null }], ü: { f: true } };
  t.equal(pretty(JSON.stringify(value)), `${JSON.stringify(value, null, 2)}\n`);
});

t.test('a hostile text does not explode, a large one is left alone', async (t) => {
  const deep = `${'['.repeat(60)}${'1,'.repeat(10_000)}1${']'.repeat(60)}`;
  const made = pretty(deep);
  t.ok(made.length < 20 * deep.length);
  t.strictSame(JSON.parse(made), JSON.parse(deep));
  const large = Buffer.from(`{"resourceType":"Patient","id":"${'x'.repeat(5_000_000)}"}`);
  const { server } = fakeServer(() => ({ status: 200, headers: {}, body: large, interaction: 'read' }));
  t.equal((await server.inject('/fhir/Patient/1?_pretty=true')).rawPayload.compare(large), 0);
});

t.test('asked for by a query or a form, and by true alone', async (t) => {
  const body = [Buffer.from('{"resourceType":"Patient",'), Buffer.from('"id":"1"}')];
  const { server } = fakeServer(() => ({ status: 200, headers: {}, body, interaction: 'read' }));
  const expected = '{\n  "resourceType": "Patient",\n  "id": "1"\n}\n';
  t.equal((await server.inject('/fhir/Patient/1?_pretty=true')).body, expected);
  t.equal((await server.inject('/fhir/Patient/1?_pretty=false')).body, '{"resourceType":"Patient","id":"1"}');
  const posted = await server.inject({
    method: 'POST',
    url: '/fhir/Patient/_search',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: 'name=x&_pretty=true',
  });
  t.equal(posted.body, expected);
  t.match(
    (await server.inject('/fhir/Patient/1?_pretty=true&_format=xml')).body,
    '<Patient xmlns="http://hl7.org/fhir">\n  <id value="1"/>\n</Patient>\n',
  );
});

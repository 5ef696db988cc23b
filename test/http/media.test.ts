// What comes in and what goes out: Accept, _format, Content-Type.
import t from 'tap';
import { limits } from '../../src/base/limits.ts';
import { fakeServer } from './support.ts';

const plain = 'application/fhir+json; charset=utf-8';
const versioned = 'application/fhir+json; charset=utf-8; fhirVersion=4.0';
const xml = 'application/fhir+xml; charset=utf-8';

t.test('an Accept header is answered in what it takes', async (t) => {
  const { server } = fakeServer();
  const cases: [accept: string, type: string | 406][] = [
    ['*/*', plain],
    ['', plain],
    ['application/fhir+json', plain],
    ['application/json', plain],
    ['text/json', plain],
    ['application/*', plain],
    ['Application/FHIR+JSON;charset=utf-8', plain],
    ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', plain],
    ['text/html,application/xhtml+xml,application/xml;q=0.9,application/fhir+xml', xml],
    ['application/fhir+xml', xml],
    ['application/xml', xml],
    ['text/xml', xml],
    ['application/fhir+xml, */*', xml],
    ['application/fhir+xml, application/fhir+json;q=0.1', xml],
    ['application/fhir+xml;q=0.5, application/fhir+json', plain],
    ['application/fhir+xml, application/fhir+json', plain],
    ['application/fhir+json;q=0, */*', xml],
    ['application/fhir+json; fhirVersion=3.0, application/fhir+xml; fhirVersion=4.0', `${xml}; fhirVersion=4.0`],
    ['application/fhir+json; fhirVersion=4.0', versioned],
    ['application/fhir+json; fhirVersion="4.0"', versioned],
    ['application/fhir+json; fhirVersion=5.0, application/fhir+json; fhirVersion=4.0', versioned],
    ['application/fhir+json; fhirVersion=3.0', 406],
    ['application/fhir+xml; fhirVersion=5.0', 406],
    ['application/json+fhir', 406],
    ['text/csv', 406],
    ['text/turtle', 406],
    ['application/fhir+json;q=0', 406],
    ['application/json;q=0, text/json;q=0, application/xml;q=0, text/xml;q=0, text/*', 406],
  ];
  for (const [accept, expected] of cases) {
    const reply = await server.inject({ url: '/fhir/Patient/1', headers: { accept } });
    if (expected === 406) {
      t.equal(reply.statusCode, 406, accept);
      t.match(reply.json(), { resourceType: 'OperationOutcome', issue: [{ diagnostics: /application\/fhir\+json/ }] });
      t.equal(reply.headers['content-type'], plain);
    } else {
      t.equal(reply.statusCode, 200, accept);
      t.equal(reply.headers['content-type'], expected, accept);
    }
  }
});

t.test('_format wins over Accept', async (t) => {
  const { server } = fakeServer();
  const reply = (format: string, accept = '*/*') =>
    server.inject({ url: `/fhir/Patient?_format=${format}`, headers: { accept } });
  const ask = async (format: string, accept = '*/*') => (await reply(format, accept)).statusCode;
  t.equal(await ask('json', 'application/fhir+xml'), 200);
  t.equal(await ask('application/fhir+json'), 200, 'an unescaped plus sign is a plus sign');
  t.equal(await ask('application%2Ffhir%2Bjson'), 200);
  t.equal(await ask('application/json'), 200);
  t.equal(await ask(''), 200);
  for (const format of ['xml', 'text/xml', 'application/xml', 'application/fhir+xml', 'application/fhir%2Bxml']) {
    t.equal((await reply(format, 'application/fhir+json')).headers['content-type'], xml, format);
  }
  for (const format of ['ttl', 'html', 'csv', 'xml;fhirVersion=3.0']) t.equal(await ask(format), 406, format);
  t.equal(await ask('application/fhir%2Bjson;fhirVersion=5.0'), 406);
  const posted = await server.inject({
    method: 'POST',
    url: '/fhir/Patient/_search',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: 'name=x&_format=xml',
  });
  t.equal(posted.headers['content-type'], xml, 'in the form of a POST _search as well');
});

t.test('a body is taken in JSON or XML, and refused with what is accepted', async (t) => {
  const { server, seen } = fakeServer();
  const post = async (
    type: string | undefined,
    more: { url?: string; method?: 'PATCH' | 'POST'; encoding?: string } = {},
  ) => {
    const { url = '/fhir/Patient', method = 'POST', encoding } = more;
    const reply = await server.inject({
      method,
      url,
      headers: {
        ...(type === undefined ? {} : { 'content-type': type }),
        ...(encoding === undefined ? {} : { 'content-encoding': encoding }),
      },
      payload: Buffer.from('{}'),
    });
    if (reply.statusCode === 415) t.match(reply.json(), { resourceType: 'OperationOutcome' });
    return reply.statusCode;
  };
  t.equal(await post('application/fhir+json'), 200);
  t.equal(await post('application/fhir+json; charset=UTF-8; fhirVersion=4.0'), 200);
  t.equal(await post('application/json'), 200);
  t.equal(await post('text/json'), 200);
  t.equal(await post('application/json-patch+json', { method: 'PATCH' }), 200);
  for (const type of ['application/graphql', 'application/json; charset=utf-8']) {
    t.equal(await post(type, { url: '/fhir/$graphql' }), 200, type);
    t.equal(await post(type, { url: '/fhir/Patient/1/$graphql' }), 200, type);
  }
  t.equal(Buffer.from(seen[0]?.body ?? []).toString(), '{}');
  const reached = seen.length;
  t.equal(await post('application/json-patch+json'), 415, 'a patch is for PATCH');
  t.equal(await post('application/graphql'), 415);
  t.equal(await post('application/xhtml+xml'), 415);
  t.equal(await post('text/plain'), 415);
  t.equal(await post('nonsense'), 415);
  t.equal(await post(undefined), 415);
  t.equal(await post('application/fhir+json; charset=latin1'), 415);
  t.equal(await post('application/fhir+json; fhirVersion=5.0'), 415);
  t.equal(await post('application/fhir+json', { encoding: 'compress' }), 415);
  t.equal(await post('application/fhir+json', { encoding: 'gzip, br' }), 415);
  t.equal(await post('application/x-www-form-urlencoded'), 415, 'a form is for _search');
  t.equal(await post('application/fhir+json', { url: '/fhir/Patient/_search' }), 415, 'and _search is for a form');
  t.equal(seen.length, reached, 'none of these reached the engine');
  t.equal(await post('application/x-www-form-urlencoded', { url: '/fhir/_search' }), 200);
});

t.test('413 for a body beyond its bound; a Bundle at the base may be larger', async (t) => {
  const { server, seen } = fakeServer();
  const payload = Buffer.alloc(limits.resourceBytesMax + 1, 0x20);
  const headers = { 'content-type': 'application/fhir+json' };
  const refused = await server.inject({ method: 'POST', url: '/fhir/Patient', headers, payload });
  t.equal(refused.statusCode, 413);
  t.match(refused.json(), { issue: [{ code: 'too-long' }] });
  for (const url of ['/fhir', '/fhir/']) {
    t.equal((await server.inject({ method: 'POST', url, headers, payload })).statusCode, 200, url);
  }
  t.equal(seen.at(-1)?.body.length, payload.length);
});

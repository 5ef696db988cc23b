// $meta, $meta-add and $meta-delete: labels of one resource, of a type and of the system.
// https://hl7.org/fhir/R4/resource-operation-meta.html
import t from 'tap';
import type { Clock } from '../../../src/base/clock.ts';
import { limits } from '../../../src/base/limits.ts';
import { operations } from '../../../src/fhir/operations/table.ts';
import { engineOn, type Reply } from '../../support/engine.ts';
import { onBothStores } from '../../support/stores.ts';
import { askAs, parameters, SECRET, said, withoutSecrets, withoutTypes } from './support.ts';

const tag = (code: string, more: object = {}): object => ({ system: 'urn:tags', code, ...more });

t.setTimeout(240_000);

await onBothStores(t, async (t, adapter) => {
  let now = Date.UTC(2024, 0, 1);
  const clock: Clock = { now: () => now, newId: () => `made-${now}` };
  const { store, close } = await adapter.open(clock);
  t.teardown(close);
  const tested = await engineOn(store, { clock });
  const { ask } = tested;
  const put = async (ref: string, content: object): Promise<void> => {
    now += 1000;
    const [resourceType, id] = ref.split('/');
    const reply = await ask('PUT', ref, { resourceType, id, ...content });
    if (reply.status >= 300) throw new Error(reply.text);
  };
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of every kind
  const metaOf = (reply: Reply): any => {
    if (reply.status !== 200) throw new Error(reply.text);
    return reply.json.parameter[0].valueMeta;
  };
  const change = (how: 'add' | 'delete', ref: string, meta: object, headers?: Record<string, string>) =>
    ask('POST', `${ref}/$meta-${how}`, parameters({ name: 'meta', valueMeta: meta }), headers);

  await t.test('with nothing stored: nothing is in use', async (t) => {
    const meta = metaOf(await ask('GET', '$meta'));
    t.strictSame(Object.keys(meta), ['extension'], 'an element is never empty');
    t.equal((await ask('GET', 'Patient/$meta')).status, 200);
  });

  await t.test('of an instance: its meta, with version and time', async (t) => {
    await put('Patient/1', { meta: { profile: ['urn:p1'], tag: [tag('a', { display: 'A' })] } });
    const reply = await ask('GET', 'Patient/1/$meta');
    t.equal(reply.json.resourceType, 'Parameters');
    t.equal(reply.json.parameter[0].name, 'return');
    t.strictSame(metaOf(reply), (await ask('GET', 'Patient/1')).json.meta);
    t.equal(reply.headers.ETag, 'W/"1"');
    t.strictSame(metaOf(await ask('POST', 'Patient/1/$meta')), metaOf(reply));
    t.equal((await ask('GET', 'Patient/none/$meta')).status, 404);
    t.equal((await ask('GET', 'Patient/1/$meta?x=1')).status, 400);
  });

  await t.test('adding: sets without duplicates, by system and code, or the whole URL', async (t) => {
    const added = await change('add', 'Patient/1', {
      profile: ['urn:p1', 'urn:p2', 'urn:p1|2.0', 'urn:p2'],
      tag: [tag('a', { display: 'another name', version: '2' }), tag('b'), { code: 'b' }],
      security: [{ system: 'urn:sec', code: 'R' }],
    });
    const meta = metaOf(added);
    t.strictSame(meta.profile, ['urn:p1', 'urn:p2', 'urn:p1|2.0']);
    t.strictSame(meta.tag, [tag('a', { display: 'A' }), tag('b'), { code: 'b' }]);
    t.strictSame(meta.security, [{ system: 'urn:sec', code: 'R' }]);
    t.equal(meta.versionId, '2', 'a new version');
    t.equal(added.headers.ETag, 'W/"2"');
    t.strictSame((await ask('GET', 'Patient/1')).json.meta, meta);
    t.equal((await ask('GET', 'Patient?_tag=urn:tags|b&_security=R&_profile=urn:p2')).json.total, 1, 'found by them');
    t.equal((await ask('GET', 'Patient/1/_history')).json.total, 2);
  });

  await t.test('what is there already makes no new version', async (t) => {
    const meta = metaOf(await change('add', 'Patient/1', { tag: [tag('b')] }));
    t.equal(meta.versionId, '2');
    t.equal(metaOf(await change('delete', 'Patient/1', { tag: [tag('nosuch')] })).versionId, '2');
  });

  await t.test('deleting: "it is not an error if these tags, profiles, and labels do not exist"', async (t) => {
    const meta = metaOf(
      await change('delete', 'Patient/1', {
        profile: ['urn:p2', 'urn:none'],
        tag: [tag('b', { display: 'whatever' })],
        security: [{ system: 'urn:sec', code: 'R' }],
      }),
    );
    t.strictSame(meta.profile, ['urn:p1', 'urn:p1|2.0']);
    t.strictSame(meta.tag, [tag('a', { display: 'A' }), { code: 'b' }]);
    t.notOk('security' in meta);
    t.equal(meta.versionId, '3');
    t.equal((await ask('GET', 'Patient?_security=R')).json.total, 0);
  });

  await t.test('the rest stays as it was sent, to the digit', async (t) => {
    const text =
      '{"resourceType":"Observation","id":"o","meta":{"source":"urn:s","extension":[{"url":"urn:x","valueDecimal":1.50}],' +
      '"profile":["urn:a",null,"urn:c"],"_profile":[null,{"id":"b"},{"id":"c"}],"tag":[{"display":"a text alone"}]},' +
      '"status":"final","code":{"text":"x"},"valueQuantity":{"value":10.0}}';
    const stored = await ask('PUT', 'Observation/o', text);
    t.equal(stored.status, 201, stored.text);
    const body =
      '{"resourceType":"Parameters","parameter":[{"name":"meta","valueMeta":' +
      '{"profile":["urn:d"],"tag":[{"code":"n","extension":[{"url":"urn:x","valueDecimal":2.00}]}]}}]}';
    t.equal((await ask('POST', 'Observation/o/$meta-add', body)).status, 200);
    const after = (await ask('GET', 'Observation/o')).text;
    t.match(after, '"valueQuantity":{"value":10.0}');
    t.match(after, '"extension":[{"url":"urn:x","valueDecimal":1.50}]');
    t.match(after, '"tag":[{"display":"a text alone"},{"code":"n","extension":[{"url":"urn:x","valueDecimal":2.00}]}]');
    t.match(after, '"profile":["urn:a",null,"urn:c","urn:d"]');
    t.match(after, '"_profile":[null,{"id":"b"},{"id":"c"},null]');
    t.match(after, '"source":"urn:s"');
    await change('delete', 'Observation/o', { profile: ['urn:a', 'urn:c'] });
    const { meta } = (await ask('GET', 'Observation/o')).json;
    t.strictSame(
      [meta.profile, meta._profile],
      [
        [null, 'urn:d'],
        [{ id: 'b' }, null],
      ],
    );
    t.equal(metaOf(await ask('GET', 'Observation/$meta')).tag.length, 1, 'a tag without a code is no label in use');
  });

  await t.test('If-Match is honoured; without it concurrent changes all come through', async (t) => {
    await put('Patient/2', {});
    const refused = await change('add', 'Patient/2', { tag: [tag('x')] }, { 'If-Match': 'W/"7"' });
    t.equal(refused.status, 412);
    t.equal((await change('add', 'Patient/2', { tag: [tag('x')] }, { 'If-Match': 'W/"1"' })).status, 200);
    const codes = Array.from({ length: 8 }, (_, at) => `c${at}`);
    const replies = await Promise.all(codes.map((code) => change('add', 'Patient/2', { tag: [tag(code)] })));
    t.ok(replies.every(({ status }) => status === 200));
    const { tag: tags } = metaOf(await ask('GET', 'Patient/2/$meta'));
    t.strictSame(tags.map(({ code }: { code: string }) => code).sort(), [...codes, 'x']);
  });

  await t.test('what a change needs: POST, one meta, labels of the right kind, a resource that is there', async (t) => {
    t.equal((await ask('GET', 'Patient/1/$meta-add')).status, 405);
    t.equal((await ask('POST', 'Patient/$meta-add', parameters())).status, 404, 'of an instance alone');
    const refused = async (body: object, pattern: RegExp): Promise<void> => {
      const reply = await ask('POST', 'Patient/1/$meta-add', body);
      t.equal(reply.status, 400, JSON.stringify(body));
      t.match(said(reply), pattern);
    };
    const one = { name: 'meta', valueMeta: { tag: [tag('a')] } };
    await refused(parameters(), /one parameter "meta", a valueMeta/);
    await refused(parameters(one, one), /one parameter "meta"/);
    await refused(parameters({ name: 'meta', valueString: 'x' }), /valueMeta/);
    await refused(parameters({ name: 'tag', valueMeta: {} }), /"tag" is not a parameter.*Accepted: meta/);
    await refused({ resourceType: 'Patient' }, /one parameter "meta"/);
    await refused(parameters({ name: 'meta', valueMeta: { source: 'urn:x' } }), /has no labels/);
    await refused(parameters({ name: 'meta', valueMeta: { profile: [1] } }), /"meta.profile" takes canonical URLs/);
    await refused(parameters({ name: 'meta', valueMeta: { tag: [{ display: 'x' }] } }), /"meta.tag" takes Codings/);
    await refused(parameters({ name: 'meta', valueMeta: { tag: { code: 'x' } } }), /array is expected/);
    await refused(parameters({ name: 'meta', valueMeta: 'x' }), /object is expected/);
    await refused(parameters({ name: 'meta', valueMeta: { tag: [{ code: 'x', wrong: 1 }] } }), /wrong/);
    t.equal((await change('add', 'Patient/none', { tag: [tag('a')] })).status, 404);
    await put('Patient/gone', {});
    await ask('DELETE', 'Patient/gone');
    t.equal((await change('add', 'Patient/gone', { tag: [tag('a')] })).status, 410);
  });

  await t.test('of a type and of the system: every label in use, each once', async (t) => {
    for (let at = 0; at < 30; at++) {
      await put(`Practitioner/${at}`, { meta: { tag: [tag(`t${at % 7}`), tag('all')], profile: [`urn:q${at % 2}`] } });
    }
    const meta = metaOf(await ask('GET', 'Practitioner/$meta'));
    t.strictSame(
      meta.tag.map(({ code }: { code: string }) => code),
      ['all', 't0', 't1', 't2', 't3', 't4', 't5', 't6'],
    );
    t.strictSame(meta.profile, ['urn:q0', 'urn:q1']);
    t.notOk('security' in meta || 'versionId' in meta || 'lastUpdated' in meta);
    const system = metaOf(await ask('GET', '$meta'));
    for (const code of ['all', 't3', 'a', 'c7']) {
      t.ok(
        system.tag.some((one: { code: string }) => one.code === code),
        code,
      );
    }
    t.strictSame(system.profile, ['urn:d', 'urn:p1', 'urn:p1|2.0', 'urn:q0', 'urn:q1']);
    await ask('DELETE', 'Practitioner/0');
    t.equal(metaOf(await ask('GET', 'Practitioner/$meta')).tag.length, 8, 'others have it still');
  });

  await t.test('what a caller may not see is not told of', async (t) => {
    await put('Practitioner/secret', { meta: { tag: [...SECRET.tag, tag('onlyhere')], profile: ['urn:hidden'] } });
    const bound = askAs(tested, withoutSecrets);
    for (const url of ['Practitioner/$meta', '$meta']) {
      const meta = metaOf(await bound(url));
      t.notMatch(JSON.stringify(meta), /onlyhere|urn:hidden|secret/);
      t.match(JSON.stringify(meta), /urn:q0/);
    }
    t.equal((await bound('Practitioner/secret/$meta')).status, 404);
    const add = parameters({ name: 'meta', valueMeta: { tag: [tag('x')] } });
    t.equal((await bound('Practitioner/secret/$meta-add', add)).status, 404);
    t.equal((await askAs(tested, withoutTypes('Practitioner'))('Practitioner/$meta')).status, 403);
  });

  await t.test('422 where there are too many labels to list', async (t) => {
    const many = Array.from({ length: limits.metaLabelsMax + 1 }, (_, at) => tag(`many${at}`));
    await put('Device/1', { meta: { tag: many } });
    const reply = await ask('GET', 'Device/$meta');
    t.equal(reply.status, 422);
    t.match(said(reply), /Device has more than/);
    t.equal((await ask('GET', 'Device/1/$meta')).status, 200);
  });

  await t.test('the CapabilityStatement lists every operation where it may be called', async (t) => {
    const [rest] = (await ask('GET', 'metadata')).json.rest;
    const ofType = (type: string): string[] =>
      rest.resource
        .find((one: { type: string }) => one.type === type)
        .operation.map(({ name }: { name: string }) => name);
    t.ok(rest.operation.some(({ name }: { name: string }) => name === 'meta'));
    t.ok(['everything', 'meta', 'meta-add', 'meta-delete'].every((name) => ofType('Patient').includes(name)));
    t.ok(['lastn', 'stats', 'meta'].every((name) => ofType('Observation').includes(name)));
    t.notOk(ofType('Device').includes('everything'));
    t.equal(ofType('Patient').filter((name) => name === 'everything').length, 1);
    const listed = [rest, ...rest.resource].flatMap(({ operation = [] }) => operation);
    for (const { code, definition } of operations.filter(({ types }) => types === 'all' || types === undefined)) {
      t.ok(
        listed.some((one) => one.name === code && one.definition === definition),
        code,
      );
    }
  });
});

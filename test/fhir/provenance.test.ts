// X-Provenance, on both stores. https://hl7.org/fhir/R4/provenance.html#header
import t from 'tap';
import { engineOn, matchIds, type Reply } from '../support/engine.ts';
import { onBothStores, type Test } from '../support/stores.ts';

const JSON_PATCH = { 'Content-Type': 'application/json-patch+json' };
const patient = (members: object = {}) => ({ resourceType: 'Patient', ...members });

const provenance = (members: object = {}) => ({
  resourceType: 'Provenance',
  recorded: '2026-01-31T10:00:00Z',
  agent: [{ who: { display: 'Dr. Größe' } }],
  ...members,
});
const header = (members: object = {}): Record<string, string> => ({
  'X-Provenance': onWire(JSON.stringify(provenance(members))),
});

/** A header as a socket hands it over: UTF-8, a character a byte. */
const onWire = (text: string): string => Buffer.from(text).toString('latin1');

const says = (reply: Reply): string =>
  (reply.json.issue ?? []).map((issue: { diagnostics: string }) => issue.diagnostics).join(' ');

t.setTimeout(60_000);
await onBothStores(t, async (t, adapter) => {
  const { store, close } = await adapter.open();
  t.teardown(close);
  const { ask } = await engineOn(store);

  /** Targets of the Provenances about a resource. */
  async function targets(t: Test, about: string): Promise<string[]> {
    const found = await ask('GET', `Provenance?target=${about}`);
    t.equal(found.status, 200);
    return (found.json.entry ?? [])
      .map((entry: { resource: { target: { reference: string }[] } }) => entry.resource.target[0]?.reference)
      .sort();
  }

  await t.test('create, update, patch and conditional forms bring the Provenance of their version', async (t) => {
    const created = await ask('POST', 'Patient', patient({ identifier: [{ system: 'urn:s', value: '1' }] }), header());
    t.equal(created.status, 201, created.text);
    t.match(created.headers.Location, /\/Patient\/[^/]+\/_history\/1$/);
    const { id } = created.json;
    const about = `Patient/${id}`;
    t.same(await targets(t, about), [`${about}/_history/1`]);
    await ask('PUT', about, { ...created.json, active: true }, header());
    await ask('PUT', about, { ...created.json, active: false }, { ...header(), 'If-Match': 'W/"2"' });
    await ask('PATCH', about, [{ op: 'add', path: '/gender', value: 'male' }], { ...header(), ...JSON_PATCH });
    const where = 'Patient?identifier=urn:s|1';
    await ask('PATCH', where, [{ op: 'replace', path: '/gender', value: 'female' }], { ...header(), ...JSON_PATCH });
    t.equal((await ask('PUT', where, { ...created.json, active: true }, header())).headers.ETag, 'W/"6"');
    t.same(
      await targets(t, about),
      [1, 2, 3, 4, 5, 6].map((version) => `${about}/_history/${version}`),
    );
    const byPut = await ask('PUT', 'Patient/new', patient({ id: 'new' }), header());
    t.equal(byPut.status, 201);
    t.same(await targets(t, 'Patient/new'), ['Patient/new/_history/1']);
    const condition = { 'If-None-Exist': 'identifier=urn:s|2' };
    const conditional = await ask('POST', 'Patient', patient(), { ...condition, ...header() });
    t.same(await targets(t, `Patient/${conditional.json.id}`), [`Patient/${conditional.json.id}/_history/1`]);
    const [stored] = matchIds(await ask('GET', `Provenance?target=Patient/new`));
    const read = await ask('GET', `Provenance/${stored}`);
    t.match(read.json, provenance({ meta: { versionId: '1' } }), 'as it was sent');
    const included = await ask('GET', 'Patient?_id=new&_revinclude=Provenance:target');
    t.equal(included.json.entry[1].resource.id, stored);
  });

  await t.test('what comes back after a deletion is meant without its version', async (t) => {
    await ask('PUT', 'Patient/back', patient({ id: 'back' }));
    await ask('DELETE', 'Patient/back');
    t.equal((await ask('PUT', 'Patient/back', patient({ id: 'back' }), header())).status, 201);
    t.same(await targets(t, 'Patient/back'), ['Patient/back']);
  });

  await t.test('the text of the header is kept: decimals, letters, and what it says of itself', async (t) => {
    const text =
      '{"resourceType":"Provenance","id":"mine","recorded":"2026-01-31T10:00:00.10Z","agent":[{"who":{"display":"Größe"},"extension":[{"url":"urn:x","valueDecimal":1.50}]}]}';
    const sent = { 'X-Provenance': onWire(text) };
    await ask('PUT', 'Patient/text', patient({ id: 'text' }), sent);
    const found = await ask('GET', 'Provenance?target=Patient/text');
    t.match(found.text, '"valueDecimal":1.50');
    t.match(found.text, '"display":"Größe"');
    t.not(found.json.entry[0].resource.id, 'mine', 'the id is the server’s to give');
  });

  await t.test('where nothing is written nothing is kept', async (t) => {
    const count = async (): Promise<number> => (await ask('GET', 'Provenance?_summary=count')).json.total;
    await ask('PUT', 'Patient/same', patient({ id: 'same', identifier: [{ system: 'urn:s', value: 'same' }] }));
    const before = await count();
    const cases: [status: number, reply: Reply][] = [
      [200, await ask('POST', 'Patient', patient(), { 'If-None-Exist': 'identifier=urn:s|same', ...header() })],
      [
        200,
        await ask('PATCH', 'Patient/same', [{ op: 'test', path: '/id', value: 'same' }], {
          ...JSON_PATCH,
          ...header(),
        }),
      ],
      [412, await ask('PUT', 'Patient/same', patient({ id: 'same' }), { 'If-Match': 'W/"9"', ...header() })],
      [412, await ask('PUT', 'Patient/same', patient({ id: 'same' }), { 'If-None-Match': '*', ...header() })],
      [400, await ask('PUT', 'Patient/same', patient({ id: 'same', colour: 1 }), header())],
      [201, await ask('POST', 'Patient', patient(), { Prefer: 'dry-run', ...header() })],
      [204, await ask('DELETE', 'Patient/never', undefined, header())],
      [200, await ask('GET', 'Patient/same', undefined, header())],
    ];
    for (const [status, reply] of cases) t.equal(reply.status, status, reply.text.slice(0, 200));
    const entry = [{ resource: patient(), request: { method: 'POST', url: 'Patient' } }];
    for (const type of ['batch', 'transaction']) {
      t.equal((await ask('POST', '', { resourceType: 'Bundle', type, entry }, header())).status, 200);
    }
    t.equal(await count(), before, 'entries of a Bundle have entries for their Provenances');
  });

  await t.test('400 naming the header for what is no Provenance, and nothing is written', async (t) => {
    const cases: [string, RegExp][] = [
      ['', /X-Provenance/],
      ['{"resourceType":"Provenance"', /X-Provenance/],
      ['null', /a Provenance is expected/],
      ['[]', /a Provenance is expected/],
      [JSON.stringify(patient()), /a Provenance is expected/],
      [JSON.stringify(provenance({ colour: 'red' })), /X-Provenance.*colour/],
      [JSON.stringify(provenance({ agent: 'me' })), /X-Provenance/],
      [JSON.stringify(provenance({ recorded: 'yesterday' })), /X-Provenance/],
      [JSON.stringify(provenance({ target: [{ reference: 'Patient/2' }] })), /leave Provenance.target out/],
      ['{"resourceType":"Provenance","__proto__":{}}', /X-Provenance/],
      ['{"resourceType":"Provenance","\xff":1}', /X-Provenance.*UTF-8/],
    ];
    for (const [sent, message] of cases) {
      const reply = await ask('PUT', 'Patient/none', patient({ id: 'none' }), {
        'X-Provenance': sent.includes('\xff') ? sent : onWire(sent),
      });
      t.equal(reply.status, 400, sent);
      t.match(says(reply), message, sent);
    }
    t.equal((await ask('GET', 'Patient/none')).status, 404);
  });

  await t.test('its references are checked where those of others are', async (t) => {
    const strict = await engineOn(store, { checkReferences: true });
    const who = (reference: string) => header({ agent: [{ who: { reference } }] });
    const refused = await strict.ask('PUT', 'Patient/ref', patient({ id: 'ref' }), who('Practitioner/nobody'));
    t.equal(refused.status, 422);
    t.match(says(refused), /Practitioner\/nobody/);
    t.equal((await ask('GET', 'Patient/ref')).status, 404);
    const own = await strict.ask('PUT', 'Patient/ref', patient({ id: 'ref' }), who('Patient/ref'));
    t.equal(own.status, 201, 'what is written with it is there');
  });

  await t.test('of many at once each has its own version', async (t) => {
    const replies = await Promise.all(
      Array.from({ length: 16 }, () => ask('PUT', 'Patient/race', patient({ id: 'race' }), header())),
    );
    t.same(replies.map(({ status }) => status).sort(), [...Array(15).fill(200), 201]);
    const versions = (await targets(t, 'Patient/race')).map((target) => Number(target.split('/')[3]));
    t.same(
      versions.sort((a, b) => a - b),
      Array.from({ length: 16 }, (_, at) => at + 1),
    );
  });
});

// Transactions and batches, made by hand, on both stores. https://hl7.org/fhir/R4/http.html#transaction
import t from 'tap';
import { limits } from '../../src/base/limits.ts';
import { anonymousCaller } from '../../src/fhir/access/callers.ts';
import type { FhirRequest } from '../../src/fhir/interaction.ts';
import type { Store } from '../../src/store/store.ts';
import { baseUrl, engineOn, matchIds, type Reply, type TestEngine } from '../support/engine.ts';
import { type Adapter, onBothStores, type Test } from '../support/stores.ts';

interface Entry {
  fullUrl?: string;
  resource?: object;
  request: { method: string; url: string; ifNoneExist?: string; ifMatch?: string; ifNoneMatch?: string };
}

type Conditions = Omit<Entry['request'], 'method' | 'url'>;

const entry = (method: string, url: string, resource?: object, more: { fullUrl?: string } & Conditions = {}): Entry => {
  const { fullUrl, ...conditions } = more;
  return {
    ...(fullUrl === undefined ? {} : { fullUrl }),
    ...(resource === undefined ? {} : { resource }),
    request: { method, url, ...conditions },
  };
};

const bundle = (type: string, entries: readonly object[]): object => ({
  resourceType: 'Bundle',
  type,
  ...(entries.length === 0 ? {} : { entry: entries }),
});

const uuid = (n: number): string => `urn:uuid:00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

const patient = (members: object = {}) => ({ resourceType: 'Patient', ...members });
const identified = (value: string, members: object = {}) =>
  patient({ identifier: [{ system: 'urn:s', value }], ...members });
const observation = (members: object = {}) => ({
  resourceType: 'Observation',
  status: 'final',
  code: { text: 'x' },
  ...members,
});

const jsonPatch = (...operations: object[]) => ({
  resourceType: 'Binary',
  contentType: 'application/json-patch+json',
  data: Buffer.from(JSON.stringify(operations)).toString('base64'),
});

/** A value is a code, or a Reference. */
const pathPatch = (type: string, path: string, value?: string | object, name?: string) => ({
  resourceType: 'Parameters',
  parameter: [
    {
      name: 'operation',
      part: [
        { name: 'type', valueCode: type },
        { name: 'path', valueString: path },
        ...(name === undefined ? [] : [{ name: 'name', valueString: name }]),
        ...(value === undefined
          ? []
          : [{ name: 'value', ...(typeof value === 'string' ? { valueCode: value } : { valueReference: value }) }]),
      ],
    },
  ],
});

/** "Type/id" in the location of a response entry. */
const placeOf = (reply: Reply, at: number): string => {
  const location: string = reply.json.entry[at].response.location;
  const [, place = ''] = /\/fhir\/([A-Za-z]+\/[^/]+)\/_history\/\d+$/.exec(location) ?? [];
  return place;
};

const statuses = (reply: Reply): string[] =>
  reply.json.entry.map(({ response }: { response: { status: string } }) => response.status.slice(0, 3));

interface Posting {
  ask: TestEngine['ask'];
  /** Everything that a failed transaction could have left: live resources, versions, search hits. */
  traces(): Promise<string>;
  transaction(entries: readonly object[], headers?: Record<string, string>): Promise<Reply>;
  batch(entries: readonly object[], headers?: Record<string, string>): Promise<Reply>;
  /** What the transaction stored for an entry. */
  stored(reply: Reply, at: number): Promise<Reply>;
}

async function fresh(t: Test, adapter: Adapter, options: { checkReferences?: boolean } = {}): Promise<Posting> {
  const { store, close } = await adapter.open();
  t.teardown(close);
  const { ask } = await engineOn(store, options);
  return {
    ask,
    traces: () => traces(store, ask),
    transaction: (entries, headers) => ask('POST', '', bundle('transaction', entries), headers),
    batch: (entries, headers) => ask('POST', '', bundle('batch', entries), headers),
    stored: (reply, at) => ask('GET', placeOf(reply, at)),
  };
}

async function traces(store: Store, ask: Posting['ask']): Promise<string> {
  const history = await ask('GET', '_history?_count=500');
  const versions = (history.json.entry ?? []).map(
    ({ fullUrl, response }: { fullUrl: string; response: { etag: string } }) => `${fullUrl} ${response.etag}`,
  );
  return JSON.stringify([
    versions,
    matchIds(await ask('GET', 'Patient?_count=500')).sort(),
    [...(await store.stats())],
  ]);
}

const refusedNaming = async (
  t: Test,
  reply: Reply,
  { status, at }: { status: number; at: number | string },
  title: string,
): Promise<void> => {
  t.equal(reply.status, status, `${title}: ${reply.text.slice(0, 300)}`);
  const expression = typeof at === 'string' ? at : `Bundle.entry[${at}]`;
  t.ok(
    reply.json.issue?.some((issue: { expression?: string[] }) => issue.expression?.[0]?.startsWith(expression)),
    `${title}: names ${expression}, says ${JSON.stringify(reply.json.issue)?.slice(0, 300)}`,
  );
};

t.setTimeout(120_000);
await onBothStores(t, async (t, adapter) => {
  await t.test('identities', async (t) => {
    const { ask, transaction, stored, traces } = await fresh(t, adapter);

    await t.test('a urn:uuid fullUrl is replaced in References wherever they stand', async (t) => {
      const reply = await transaction([
        entry(
          'POST',
          'Observation',
          observation({
            subject: { reference: uuid(1) },
            performer: [{ reference: uuid(2) }, { reference: 'Practitioner/elsewhere' }],
            extension: [{ url: 'urn:x:ext', valueReference: { reference: uuid(1) } }],
            hasMember: [{ reference: uuid(3) }],
          }),
          { fullUrl: uuid(3) },
        ),
        entry('POST', 'Patient', patient({ managingOrganization: { reference: uuid(4) } }), { fullUrl: uuid(1) }),
        entry('POST', 'Practitioner', { resourceType: 'Practitioner', active: true }, { fullUrl: uuid(2) }),
        entry('POST', 'Organization', { resourceType: 'Organization', name: 'o' }, { fullUrl: uuid(4) }),
      ]);
      t.equal(reply.status, 200, reply.text.slice(0, 300));
      const { json } = await stored(reply, 0);
      t.equal(json.subject.reference, placeOf(reply, 1), 'a reference to a later entry');
      t.equal(json.performer[0].reference, placeOf(reply, 2));
      t.equal(json.performer[1].reference, 'Practitioner/elsewhere', 'what is not in the Bundle stays');
      t.equal(json.extension[0].valueReference.reference, placeOf(reply, 1));
      t.equal(json.extension[0].url, 'urn:x:ext');
      t.equal(json.hasMember[0].reference, placeOf(reply, 0), 'to itself');
      t.equal((await stored(reply, 1)).json.managingOrganization.reference, placeOf(reply, 3), 'a chain of entries');
      const found = await ask('GET', `Observation?subject=${placeOf(reply, 1)}`);
      t.strictSame(matchIds(found), [json.id], 'the index has the final reference');
    });

    await t.test('circular references are kept', async (t) => {
      const group = (other: string) => ({
        resourceType: 'List',
        status: 'current',
        mode: 'working',
        entry: [{ item: { reference: other } }],
      });
      const reply = await transaction([
        entry('POST', 'List', group(uuid(2)), { fullUrl: uuid(1) }),
        entry('POST', 'List', group(uuid(1)), { fullUrl: uuid(2) }),
      ]);
      t.equal((await stored(reply, 0)).json.entry[0].item.reference, placeOf(reply, 1));
      t.equal((await stored(reply, 1)).json.entry[0].item.reference, placeOf(reply, 0));
    });

    await t.test('"elements of type uri, url, oid, uuid … elements of type canonical are not replaced"', async (t) => {
      const reply = await transaction([
        entry(
          'POST',
          'Binary',
          { resourceType: 'Binary', contentType: 'text/plain', data: 'eA==' },
          { fullUrl: uuid(1) },
        ),
        entry(
          'POST',
          'Questionnaire',
          { resourceType: 'Questionnaire', status: 'draft', url: uuid(2) },
          { fullUrl: uuid(2) },
        ),
        entry('POST', 'DocumentReference', {
          resourceType: 'DocumentReference',
          status: 'current',
          content: [{ attachment: { url: uuid(1) } }, { attachment: { url: `${uuid(1)}#page` } }],
          extension: [
            { url: 'urn:x:uri', valueUri: uuid(1) },
            { url: 'urn:x:uuid', valueUuid: uuid(1) },
            { url: 'urn:x:url', valueUrl: uuid(1) },
          ],
        }),
        entry('POST', 'QuestionnaireResponse', {
          resourceType: 'QuestionnaireResponse',
          meta: { profile: [uuid(1)] },
          status: 'completed',
          questionnaire: uuid(2),
        }),
      ]);
      t.equal(reply.status, 200, reply.text.slice(0, 300));
      const document = (await stored(reply, 2)).json;
      t.equal(document.content[0].attachment.url, placeOf(reply, 0));
      t.equal(document.content[1].attachment.url, `${placeOf(reply, 0)}#page`, 'the part before "#" is replaced');
      for (const extension of document.extension) {
        const value = extension.valueUri ?? extension.valueUuid ?? extension.valueUrl;
        t.equal(value, placeOf(reply, 0), extension.url);
      }
      const response = (await stored(reply, 3)).json;
      t.equal(response.questionnaire, uuid(2), 'a canonical names the url of a definition, which stays');
      t.strictSame(response.meta.profile, [uuid(1)]);
      t.equal((await stored(reply, 1)).json.url, uuid(2), "a definition's own url");
    });

    await t.test('links of a narrative are replaced, its text is not', async (t) => {
      const div = `<div xmlns="http://www.w3.org/1999/xhtml"><a href="${uuid(1)}">${uuid(1)}</a><img src='${uuid(1)}' alt="${uuid(1)}"/><a href="#x">x</a></div>`;
      const reply = await transaction([
        entry('POST', 'Patient', patient(), { fullUrl: uuid(1) }),
        entry('POST', 'Observation', observation({ text: { status: 'generated', div } })),
      ]);
      const place = placeOf(reply, 0);
      const expected = div
        .replace(`href="${uuid(1)}"`, `href="${place}"`)
        .replace(`src='${uuid(1)}'`, `src='${place}'`);
      t.equal((await stored(reply, 1)).json.text.div, expected);
    });

    await t.test(
      'contained resources keep their ids and #fragments; references inside them are replaced',
      async (t) => {
        const reply = await transaction([
          entry('POST', 'Patient', patient(), { fullUrl: uuid(1) }),
          entry(
            'POST',
            'Observation',
            observation({
              contained: [
                { resourceType: 'Specimen', id: 's', subject: { reference: uuid(1) } },
                { resourceType: 'Device', id: 'd', owner: { reference: '#' } },
              ],
              specimen: { reference: '#s' },
              device: { reference: '#d' },
            }),
          ),
        ]);
        const { json } = await stored(reply, 1);
        t.equal(json.specimen.reference, '#s');
        t.equal(json.contained[0].id, 's');
        t.equal(json.contained[0].subject.reference, placeOf(reply, 0));
        t.equal(json.contained[1].owner.reference, '#');
      },
    );

    await t.test('a text that equals a fullUrl is no reference', async (t) => {
      const reply = await transaction([
        entry('POST', 'Patient', patient(), { fullUrl: uuid(1) }),
        entry(
          'POST',
          'Observation',
          observation({
            identifier: [{ system: 'urn:ietf:rfc:3986', value: uuid(1) }],
            valueString: uuid(1),
            note: [{ text: uuid(1) }],
            subject: { reference: uuid(1), display: uuid(1), identifier: { value: uuid(1) } },
          }),
        ),
      ]);
      const { json } = await stored(reply, 1);
      t.equal(json.identifier[0].value, uuid(1));
      t.equal(json.valueString, uuid(1));
      t.equal(json.note[0].text, uuid(1));
      t.strictSame(json.subject, { reference: placeOf(reply, 0), display: uuid(1), identifier: { value: uuid(1) } });
    });

    await t.test(
      'fullUrls of another server: absolute references, and relative ones resolved against them',
      async (t) => {
        const foreign = 'http://elsewhere.example/fhir';
        const reply = await transaction([
          entry('POST', 'Patient', patient({ id: '77' }), { fullUrl: `${foreign}/Patient/77` }),
          entry(
            'POST',
            'Observation',
            observation({ subject: { reference: 'Patient/77' }, encounter: { reference: 'Encounter/78' } }),
            { fullUrl: `${foreign}/Observation/1` },
          ),
          entry('POST', 'Observation', observation({ subject: { reference: `${foreign}/Patient/77` } })),
          entry('POST', 'Observation', observation({ subject: { reference: 'Patient/77' } }), { fullUrl: uuid(9) }),
          entry('POST', 'Observation', observation({ subject: { reference: 'Patient/77' } }), {
            fullUrl: 'https://third.example/Observation/1',
          }),
        ]);
        t.equal(reply.status, 200, reply.text.slice(0, 300));
        t.not(placeOf(reply, 0), 'Patient/77', 'POST makes a new id');
        t.equal((await stored(reply, 1)).json.subject.reference, placeOf(reply, 0), 'relative to the same server');
        t.equal((await stored(reply, 1)).json.encounter.reference, 'Encounter/78', 'not in the Bundle');
        t.equal((await stored(reply, 2)).json.subject.reference, placeOf(reply, 0), 'absolute');
        t.equal((await stored(reply, 3)).json.subject.reference, 'Patient/77', 'from a urn nothing is relative');
        t.equal((await stored(reply, 4)).json.subject.reference, 'Patient/77', 'relative to a third server');
      },
    );

    await t.test('a fullUrl below this server, and an update whose fullUrl is a urn', async (t) => {
      const reply = await transaction([
        entry('PUT', 'Patient/put-1', patient({ id: 'put-1' }), { fullUrl: `${baseUrl}/Patient/put-1` }),
        entry('PUT', 'Patient/put-2', patient({ id: 'put-2' }), { fullUrl: uuid(2) }),
        entry('POST', 'Observation', observation({ subject: { reference: 'Patient/put-1' } })),
        entry('POST', 'Observation', observation({ subject: { reference: uuid(2) } })),
      ]);
      t.equal((await stored(reply, 2)).json.subject.reference, 'Patient/put-1');
      t.equal((await stored(reply, 3)).json.subject.reference, 'Patient/put-2');
    });

    await t.test('decimals and escapes inside a rewritten resource stay as they were written', async (t) => {
      const text = `{"resourceType":"Bundle","type":"transaction","entry":[
        {"fullUrl":"${uuid(1)}","resource":{"resourceType":"Patient"},"request":{"method":"POST","url":"Patient"}},
        {"resource":{"resourceType" : "Observation","status":"final","code":{"text":"\\u00e9 \\/ 1.50"},
          "subject":{"reference":"${uuid(1)}"},"valueQuantity":{"value":1.50,"unit":"mg"},"component":[{"code":{"text":"b"},"valueQuantity":{"value":1.0e2}}]},
         "request":{"method":"POST","url":"Observation"}}]}`;
      const reply = await ask('POST', '', text);
      t.equal(reply.status, 200, reply.text.slice(0, 300));
      const read = await stored(reply, 1);
      t.match(read.text, '"value":1.50,');
      t.match(read.text, '"value":1.0e2}');
      t.match(read.text, '"text":"\\u00e9 \\/ 1.50"');
      t.match(read.text, `"reference":"${placeOf(reply, 0)}"`);
    });

    await t.test('two entries with one fullUrl are refused', async (t) => {
      const before = await traces();
      const reply = await transaction([
        entry('POST', 'Patient', patient(), { fullUrl: uuid(1) }),
        entry('POST', 'Patient', patient(), { fullUrl: uuid(1) }),
      ]);
      await refusedNaming(t, reply, { status: 400, at: 'Bundle.entry[1].fullUrl' }, 'duplicate');
      t.equal(await traces(), before);
    });
  });

  await t.test('conditional references', async (t) => {
    const { ask, transaction, stored, traces } = await fresh(t, adapter);
    await ask('PUT', 'Patient/one', identified('one', { id: 'one' }));
    await ask('PUT', 'Patient/two-a', identified('two', { id: 'two-a' }));
    await ask('PUT', 'Patient/two-b', identified('two', { id: 'two-b' }));
    const about = (reference: string) => observation({ subject: { reference } });

    await t.test('one match: replaced', async (t) => {
      const reply = await transaction([
        entry('POST', 'Observation', about('Patient?identifier=urn:s|one')),
        entry('POST', 'Observation', about('Patient?identifier=urn%3As%7Cone')),
      ]);
      t.equal(reply.status, 200, reply.text.slice(0, 300));
      t.equal((await stored(reply, 0)).json.subject.reference, 'Patient/one');
      t.equal((await stored(reply, 1)).json.subject.reference, 'Patient/one', 'with escapes');
    });

    await t.test('none, several, unknown type or parameter: refused, naming the entry, nothing written', async (t) => {
      const before = await traces();
      const cases: [string, string, number][] = [
        ['no match', 'Patient?identifier=urn:s|none', 412],
        ['several', 'Patient?identifier=urn:s|two', 412],
        ['no criteria', 'Patient?_count=1', 412],
        ['unknown type', 'Patientt?identifier=1', 400],
        ['unknown parameter', 'Patient?identfier=1', 400],
      ];
      for (const [title, reference, status] of cases) {
        const reply = await transaction([
          entry('POST', 'Patient', patient()),
          entry('POST', 'Observation', about(reference)),
        ]);
        await refusedNaming(t, reply, { status, at: 1 }, title);
      }
      t.equal(await traces(), before);
    });

    await t.test('"5. Resolve any conditional references": what the transaction itself writes is found', async (t) => {
      const reply = await transaction([
        entry('POST', 'Observation', about('Patient?identifier=urn:s|fresh')),
        entry('POST', 'Patient', identified('fresh')),
      ]);
      t.equal(reply.status, 200, reply.text.slice(0, 300));
      t.equal((await stored(reply, 0)).json.subject.reference, placeOf(reply, 1));
    });

    await t.test('… and what it deletes or changes is not found any more', async (t) => {
      const deleted = await transaction([
        entry('DELETE', 'Patient/two-b'),
        entry('POST', 'Observation', about('Patient?identifier=urn:s|two')),
      ]);
      t.equal(deleted.status, 200, deleted.text.slice(0, 300));
      t.equal((await stored(deleted, 1)).json.subject.reference, 'Patient/two-a');
      const changed = await transaction([
        entry('PUT', 'Patient/two-a', identified('three', { id: 'two-a' })),
        entry('POST', 'Observation', about('Patient?identifier=urn:s|two')),
      ]);
      await refusedNaming(t, changed, { status: 412, at: 1 }, 'changed');
    });
  });

  await t.test('conditional entries', async (t) => {
    const { ask, transaction, stored, traces } = await fresh(t, adapter);

    await t.test('If-None-Exist creates, then finds; references follow it', async (t) => {
      const entries = [
        entry('POST', 'Patient', identified('ine'), { fullUrl: uuid(1), ifNoneExist: 'identifier=urn:s|ine' }),
        entry('POST', 'Observation', observation({ subject: { reference: uuid(1) } })),
      ];
      const first = await transaction(entries);
      t.strictSame(statuses(first), ['201', '201'], first.text.slice(0, 300));
      const second = await transaction(entries);
      t.strictSame(statuses(second), ['200', '201']);
      t.equal(placeOf(second, 0), placeOf(first, 0));
      t.equal(second.json.entry[0].response.etag, 'W/"1"', 'what is found stays as it is');
      t.ok(second.json.entry[0].response.lastModified);
      t.equal((await stored(second, 1)).json.subject.reference, placeOf(first, 0));
      const full = await transaction(entries, { Prefer: 'return=representation' });
      t.equal(`Patient/${full.json.entry[0].resource?.id}`, placeOf(first, 0), 'shown when asked for');
    });

    await t.test(
      'If-None-Exist with several matches, without criteria or with a misspelt one is refused',
      async (t) => {
        await transaction([entry('POST', 'Patient', identified('dup')), entry('POST', 'Patient', identified('dup'))]);
        const before = await traces();
        const cases: [string, number][] = [
          ['identifier=urn:s|dup', 412],
          ['', 412],
          ['identfier=1', 400],
        ];
        for (const [ifNoneExist, status] of cases) {
          const reply = await transaction([
            entry('POST', 'Patient', patient()),
            entry('POST', 'Patient', identified('dup'), { ifNoneExist }),
          ]);
          // An empty string is no FHIR string, so the structure check is the first to see it.
          await refusedNaming(t, reply, { status: ifNoneExist === '' ? 400 : status, at: 1 }, ifNoneExist);
        }
        t.equal(await traces(), before);
      },
    );

    await t.test('the same condition twice in one transaction makes one resource', async (t) => {
      const entries = [
        entry('POST', 'Patient', identified('same'), { fullUrl: uuid(1), ifNoneExist: 'identifier=urn:s|same' }),
        entry('POST', 'Patient', identified('same'), { fullUrl: uuid(2), ifNoneExist: 'identifier=urn:s|same' }),
        entry('POST', 'Observation', observation({ subject: { reference: uuid(2) } })),
      ];
      const first = await transaction(entries);
      t.strictSame(statuses(first), ['201', '200', '201'], first.text.slice(0, 300));
      t.equal(placeOf(first, 1), placeOf(first, 0));
      t.equal((await stored(first, 2)).json.subject.reference, placeOf(first, 0));
      t.strictSame(statuses(await transaction(entries)), ['200', '200', '201'], 'as when it is there already');
      t.equal((await ask('GET', 'Patient?identifier=urn:s|same')).json.total, 1);
      const contrary = await transaction([
        entry('PUT', 'Patient?identifier=urn:s|contrary', identified('contrary')),
        entry('POST', 'Patient', identified('contrary'), { ifNoneExist: 'identifier=urn:s|contrary' }),
      ]);
      await refusedNaming(t, contrary, { status: 400, at: 1 }, 'an update and a create on one condition');
      t.equal((await ask('GET', 'Patient?identifier=urn:s|contrary')).json.total, 0);
    });

    await t.test('conditional PUT creates, updates, and several matches are 412', async (t) => {
      const put = (members: object = {}) =>
        entry('PUT', 'Patient?identifier=urn:s|cput', identified('cput', members), { fullUrl: uuid(1) });
      const about = entry('POST', 'Observation', observation({ subject: { reference: uuid(1) } }));
      const first = await transaction([put(), about]);
      t.strictSame(statuses(first), ['201', '201'], first.text.slice(0, 300));
      const second = await transaction([put({ active: true }), about]);
      t.strictSame(statuses(second), ['200', '201']);
      t.equal(placeOf(second, 0), placeOf(first, 0));
      t.equal(second.json.entry[0].response.etag, 'W/"2"');
      t.equal((await stored(second, 1)).json.subject.reference, placeOf(first, 0));
      t.equal((await stored(second, 0)).json.active, true);
      await refusedNaming(t, await transaction([put({ id: 'other' })]), { status: 400, at: 0 }, 'another id');
      await ask('POST', 'Patient', identified('cput'));
      await refusedNaming(t, await transaction([about, put()]), { status: 412, at: 1 }, 'several');
    });

    await t.test('conditional DELETE deletes the one match; none is no failure; several are 412', async (t) => {
      await ask('PUT', 'Patient/cdel', identified('cdel', { id: 'cdel' }));
      const remove = entry('DELETE', 'Patient?identifier=urn:s|cdel');
      t.strictSame(statuses(await transaction([remove])), ['204']);
      t.equal((await ask('GET', 'Patient/cdel')).status, 410);
      t.strictSame(statuses(await transaction([remove])), ['204'], 'again');
      await ask('POST', 'Patient', identified('cdel'));
      await ask('POST', 'Patient', identified('cdel'));
      await refusedNaming(t, await transaction([remove]), { status: 412, at: 0 }, 'several');
    });

    await t.test('16 parallel transactions with the same If-None-Exist make one', async (t) => {
      const replies = await Promise.all(
        Array.from({ length: 16 }, (_, n) =>
          transaction([
            entry('POST', 'Patient', identified('race'), { fullUrl: uuid(1), ifNoneExist: 'identifier=urn:s|race' }),
            entry('POST', 'Observation', observation({ subject: { reference: uuid(1) }, valueInteger: n })),
          ]),
        ),
      );
      t.strictSame(new Set(replies.map(({ status }) => status)), new Set([200]));
      t.equal(replies.filter((reply) => statuses(reply)[0] === '201').length, 1);
      const [winner = ''] = replies.map((reply) => placeOf(reply, 0));
      t.equal(new Set(replies.map((reply) => placeOf(reply, 0))).size, 1);
      t.equal((await ask('GET', 'Patient?identifier=urn:s|race')).json.total, 1);
      t.equal((await ask('GET', `Observation?subject=${winner}`)).json.total, 16);
    });
  });

  await t.test('updates, deletions and reads', async (t) => {
    const { ask, transaction, stored, traces } = await fresh(t, adapter);

    await t.test('PUT creates and updates; ifMatch holds or nothing is written', async (t) => {
      const put = (members: object, conditions: Conditions = {}) =>
        entry('PUT', 'Patient/p', patient({ id: 'p', ...members }), conditions);
      t.strictSame(statuses(await transaction([put({})])), ['201']);
      t.strictSame(statuses(await transaction([put({ active: true }, { ifMatch: 'W/"1"' })])), ['200']);
      const before = await traces();
      const stale = await transaction([
        entry('POST', 'Patient', patient()),
        put({ active: false }, { ifMatch: 'W/"1"' }),
      ]);
      await refusedNaming(t, stale, { status: 412, at: 1 }, 'an old version');
      const exists = await transaction([entry('POST', 'Patient', patient()), put({}, { ifNoneMatch: '*' })]);
      await refusedNaming(t, exists, { status: 412, at: 1 }, 'If-None-Match: *');
      const nonsense = await transaction([put({}, { ifMatch: 'nonsense' })]);
      await refusedNaming(t, nonsense, { status: 400, at: 0 }, 'no version');
      const gone = await transaction([entry('DELETE', 'Patient/p', undefined, { ifMatch: 'W/"1"' })]);
      await refusedNaming(t, gone, { status: 412, at: 0 }, 'DELETE of an old version');
      t.equal(await traces(), before);
    });

    await t.test('DELETE, also of what never was; PUT brings it back', async (t) => {
      await transaction([entry('PUT', 'Patient/del', patient({ id: 'del' }))]);
      const reply = await transaction([entry('DELETE', 'Patient/del'), entry('DELETE', 'Patient/never')]);
      t.strictSame(statuses(reply), ['204', '204']);
      t.equal(reply.json.entry[0].response.etag, 'W/"2"');
      t.notOk(reply.json.entry[0].resource);
      t.equal((await ask('GET', 'Patient/del')).status, 410);
      t.equal((await ask('GET', 'Patient/never')).status, 404);
      const back = await transaction([entry('PUT', 'Patient/del', patient({ id: 'del' }))]);
      t.strictSame(statuses(back), ['201']);
      t.equal(back.json.entry[0].response.etag, 'W/"3"');
    });

    await t.test('reads come last and see what was written', async (t) => {
      await transaction([entry('PUT', 'Patient/r0', identified('reads', { id: 'r0' }))]);
      const reply = await transaction([
        entry('GET', 'Patient/r1'),
        entry('GET', 'Patient?identifier=urn:s|reads'),
        entry('GET', 'Patient/r1/_history/1'),
        entry('PUT', 'Patient/r1', identified('reads', { id: 'r1', active: true })),
        entry('DELETE', 'Patient/r0'),
        entry('GET', 'Patient/r1', undefined, { ifNoneMatch: 'W/"1"' }),
      ]);
      t.strictSame(statuses(reply), ['200', '200', '200', '201', '204', '304'], reply.text.slice(0, 300));
      t.equal(reply.json.entry[0].resource.active, true);
      t.strictSame(
        reply.json.entry[1].resource.entry.map((one: { resource: { id: string } }) => one.resource.id),
        ['r1'],
      );
      t.equal(reply.json.entry[1].resource.type, 'searchset');
      t.equal(reply.json.entry[2].resource.meta.versionId, '1');
      t.notOk(reply.json.entry[5].resource);
    });

    await t.test('a read is done once, and again only where the commit may change its answer', async (t) => {
      const { store, close } = await adapter.open();
      t.teardown(close);
      const done: string[] = [];
      const counting = new Proxy(store, {
        get(target, name) {
          const member = Reflect.get(target, name);
          if (typeof member !== 'function') return member;
          return (...given: unknown[]) => {
            const [first] = given as [{ type?: string } | string];
            const type = typeof first === 'string' ? first : first?.type;
            if ((name === 'read' || name === 'search') && type === 'Patient') done.push(name);
            return member.apply(target, given);
          };
        },
      });
      const counted = await engineOn(counting);
      await counted.ask('PUT', 'Patient/once', patient({ id: 'once' }));
      const reads = [entry('GET', 'Patient/once'), entry('GET', 'Patient?active=true')];
      const alone = await counted.ask('POST', '', bundle('transaction', reads));
      t.strictSame(statuses(alone), ['200', '200']);
      t.strictSame(done.splice(0).sort(), ['read', 'search'], 'nothing is written');
      await counted.ask(
        'POST',
        '',
        bundle('transaction', [...reads, entry('POST', 'Patient', patient({ active: true }))]),
      );
      t.strictSame(done.splice(0).sort(), ['read', 'search', 'search'], 'the search may find what is written');
    });

    await t.test('a read that fails fails the whole', async (t) => {
      await transaction([entry('PUT', 'Patient/rf', patient({ id: 'rf' }))]);
      const before = await traces();
      const cases: [string, string, number][] = [
        ['not there', 'Patient/nowhere', 404],
        ['not there', 'Patient/nowhere/_history/1', 404],
        ['deleted by the same transaction', 'Patient/rf', 410],
        ['a misspelt search', 'Patient?nmae=x', 400],
      ];
      for (const [title, url, status] of cases) {
        const reply = await transaction([
          entry('POST', 'Patient', patient()),
          entry('DELETE', 'Patient/rf'),
          entry('GET', url),
        ]);
        await refusedNaming(t, reply, { status, at: 2 }, `${title}: ${url}`);
        t.equal(await traces(), before, `${title}: nothing is left`);
      }
    });

    await t.test('one resource twice is refused, whichever way it is named', async (t) => {
      await ask('PUT', 'Patient/twice', identified('twice', { id: 'twice' }));
      const put = entry('PUT', 'Patient/twice', identified('twice', { id: 'twice' }));
      const conditional = entry('PUT', 'Patient?identifier=urn:s|twice', identified('twice'));
      const remove = entry('DELETE', 'Patient/twice');
      const conditionalRemove = entry('DELETE', 'Patient?identifier=urn:s|twice');
      const before = await traces();
      for (const second of [put, conditional, remove, conditionalRemove]) {
        const reply = await transaction([put, second]);
        await refusedNaming(t, reply, { status: 400, at: 1 }, `${second.request.method} ${second.request.url}`);
      }
      t.equal(await traces(), before);
    });

    await t.test(
      'meta.versionId and meta.lastUpdated of the client are the server’s business, even ill-formed',
      async (t) => {
        const meta = { versionId: 'not a version!', lastUpdated: '2012-13-45', tag: [{ code: 'kept' }] };
        const reply = await transaction([
          entry('POST', 'Patient', patient({ meta })),
          entry('PUT', 'Patient/m', patient({ id: 'm', meta: { ...meta, lastUpdated: 7, versionId: null } })),
        ]);
        t.equal(reply.status, 200, reply.text.slice(0, 300));
        for (const at of [0, 1]) {
          const { json } = await stored(reply, at);
          t.equal(json.meta.versionId, '1');
          t.match(json.meta.lastUpdated, /^20\d\d-.*Z$/);
          t.strictSame(json.meta.tag, [{ code: 'kept' }]);
        }
        t.equal((await ask('POST', 'Patient', patient({ meta }))).status, 201, 'also in a create');
        t.equal((await ask('PUT', 'Patient/m', patient({ id: 'm', meta }))).status, 200, 'and an update');
        const sloppy = patient({ meta: { lastUpdated: 'x', profile: ['no spaces here'] } });
        const refused = await ask('POST', 'Patient', sloppy);
        t.equal(refused.status, 400, 'everything else in meta is checked');
        t.strictSame(
          refused.json.issue.map((issue: { expression: string[] }) => issue.expression[0]),
          ['Patient.meta.profile[0]'],
        );
        const inner = { resourceType: 'Bundle', type: 'collection', entry: [{ resource: patient({ meta }) }] };
        t.equal((await ask('POST', 'Bundle', inner)).status, 400, 'inside a Bundle that is stored they are content');
      },
    );
  });

  await t.test('patches', async (t) => {
    const { ask, transaction, batch, stored, traces } = await fresh(t, adapter);
    await ask('PUT', 'Patient/p1', identified('p1', { id: 'p1', active: true }));
    await ask('PUT', 'Patient/p2', identified('p2', { id: 'p2' }));
    await ask('PUT', 'Observation/o1', observation({ id: 'o1', valueQuantity: { value: 1 } }));

    await t.test(
      'a Binary with a JSON Patch, a Parameters with a FHIRPath Patch, by id or by a condition',
      async (t) => {
        const reply = await transaction(
          [
            entry('GET', 'Patient/p1'),
            entry('PATCH', 'Patient/p1', jsonPatch({ op: 'replace', path: '/active', value: false }), {
              ifMatch: 'W/"1"',
            }),
            entry('PATCH', 'Patient?identifier=urn:s|p2', pathPatch('add', 'Patient', 'male', 'gender')),
          ],
          { Prefer: 'return=representation' },
        );
        t.equal(reply.status, 200, reply.text.slice(0, 300));
        t.strictSame(statuses(reply), ['200', '200', '200']);
        t.equal(reply.json.entry[0].resource.active, false, 'reads see it');
        t.equal(reply.json.entry[1].response.etag, 'W/"2"');
        t.equal(reply.json.entry[1].resource.active, false);
        t.equal(reply.json.entry[2].resource.gender, 'male');
        t.equal(placeOf(reply, 2), 'Patient/p2');
      },
    );

    await t.test('what a patch refers to gets its final identity', async (t) => {
      const reply = await transaction([
        entry('POST', 'Patient', patient(), { fullUrl: uuid(1) }),
        entry('PATCH', 'Observation/o1', jsonPatch({ op: 'add', path: '/subject', value: { reference: uuid(1) } })),
        entry(
          'PATCH',
          'Patient/p1',
          pathPatch('add', 'Patient', { reference: 'Patient?identifier=urn:s|p2' }, 'managingOrganization'),
        ),
      ]);
      t.equal(reply.status, 200, reply.text.slice(0, 300));
      t.equal((await stored(reply, 1)).json.subject.reference, placeOf(reply, 0));
      t.equal((await ask('GET', 'Patient/p1')).json.managingOrganization.reference, 'Patient/p2');
      t.equal(matchIds(await ask('GET', `Observation?subject=${placeOf(reply, 0)}`)).length, 1, 'the index has it');
    });

    await t.test('a patch without effect makes no version', async (t) => {
      const before = (await ask('GET', 'Patient/p2')).headers.ETag;
      const reply = await transaction([entry('PATCH', 'Patient/p2', pathPatch('delete', 'Patient.birthDate'))]);
      t.strictSame(statuses(reply), ['200']);
      t.equal(reply.json.entry[0].response.etag, before);
      t.equal((await ask('GET', 'Patient/p2')).headers.ETag, before);
    });

    await t.test('one that fails fails the whole, by name, and nothing is left', async (t) => {
      const before = await traces();
      const good = entry('POST', 'Patient', patient());
      const there = { op: 'add', path: '/birthDate', value: '1980' };
      const cases: [string, object, number][] = [
        ['what never was', entry('PATCH', 'Patient/never', jsonPatch(there)), 404],
        ['no match', entry('PATCH', 'Patient?identifier=urn:s|none', jsonPatch(there)), 404],
        ['another version', entry('PATCH', 'Patient/p1', jsonPatch(there), { ifMatch: 'W/"9"' }), 412],
        ['a test that fails', entry('PATCH', 'Patient/p1', jsonPatch({ op: 'test', path: '/active', value: 1 })), 422],
        ['no sound resource', entry('PATCH', 'Patient/p1', jsonPatch({ ...there, value: 'x' })), 422],
        ['no patch', entry('PATCH', 'Patient/p1', patient()), 400],
        ['another kind', entry('PATCH', 'Patient/p1', { ...jsonPatch(there), contentType: 'text/plain' }), 415],
        ['no base64', entry('PATCH', 'Patient/p1', { ...jsonPatch(there), data: '*' }), 400],
        ['without resource', entry('PATCH', 'Patient/p1'), 400],
        ['a DELETE of many', entry('DELETE', 'Patient?identifier=urn:s|p1&_count=5'), 400],
      ];
      for (const [title, bad, status] of cases) {
        await refusedNaming(t, await transaction([good, bad]), { status, at: 1 }, title);
        t.equal(await traces(), before, `${title}: nothing is left`);
      }
      const twice = [entry('PATCH', 'Patient/p1', jsonPatch(there)), entry('PUT', 'Patient/p1', patient({ id: 'p1' }))];
      await refusedNaming(t, await transaction(twice), { status: 400, at: 1 }, 'with an update of the same');
    });

    await t.test('16 parallel transactions patch the same resource, and none is lost', async (t) => {
      await ask('PUT', 'Patient/p3', patient({ id: 'p3', name: [{ family: 'x' }] }));
      const replies = await Promise.all(
        Array.from({ length: 16 }, (_, i) =>
          transaction([
            entry('PATCH', 'Patient/p3', jsonPatch({ op: 'add', path: '/name/-', value: { family: `${i}` } })),
          ]),
        ),
      );
      t.strictSame([...new Set(replies.map(({ status }) => status))], [200]);
      t.equal((await ask('GET', 'Patient/p3')).json.name.length, 17);
    });

    await t.test('in a batch each for itself', async (t) => {
      const reply = await batch([
        entry('PATCH', 'Patient/p1', jsonPatch({ op: 'add', path: '/birthDate', value: '1980' })),
        entry('PATCH', 'Patient/never', jsonPatch({ op: 'add', path: '/birthDate', value: '1980' })),
        entry('PATCH', 'Patient?identifier=urn:s|p2', pathPatch('replace', 'Patient.gender', 'female')),
        entry('PATCH', 'Patient/p2', patient()),
      ]);
      t.strictSame(statuses(reply), ['200', '404', '200', '400']);
      t.equal((await ask('GET', 'Patient/p1')).json.birthDate, '1980');
    });
  });

  await t.test('what cannot be processed is refused by name, and nothing is left', async (t) => {
    const { ask, transaction, traces } = await fresh(t, adapter);
    await ask('PUT', 'Patient/kept', identified('kept', { id: 'kept' }));
    const before = await traces();
    const good = entry('POST', 'Patient', patient(), { fullUrl: uuid(1) });
    const cases: [string, object, number][] = [
      ['no request', { resource: patient() }, 400],
      ['no method', { resource: patient(), request: { url: 'Patient' } }, 400],
      ['unknown method', entry('POKE', 'Patient', patient()), 400],
      ['method in lower case', entry('post', 'Patient', patient()), 400],
      ['no url', { resource: patient(), request: { method: 'POST' } }, 400],
      ['unknown type', entry('POST', 'Patiant', patient()), 404],
      ['unknown resource', entry('POST', 'Patient', { resourceType: 'Patiant' }), 400],
      ['another type than the url', entry('POST', 'Observation', patient()), 400],
      ['POST to an instance', entry('POST', 'Patient/1', patient({ id: '1' })), 405],
      ['PUT without resource', entry('PUT', 'Patient/1'), 400],
      ['POST without resource', entry('POST', 'Patient'), 400],
      ['PUT with another id', entry('PUT', 'Patient/1', patient({ id: '2' })), 400],
      ['PUT without id', entry('PUT', 'Patient/1', patient()), 400],
      ['PUT to a bad id', entry('PUT', 'Patient/a_b', patient({ id: 'a_b' })), 400],
      ['DELETE of a type without criteria', entry('DELETE', 'Patient'), 412],
      ['PUT to a type without criteria', entry('PUT', 'Patient', patient()), 412],
      ['an operation that is not there', entry('POST', 'Patient/$nothing', patient()), 404],
      ['another server', entry('POST', 'http://elsewhere.example/fhir/Patient', patient()), 404],
      ['a transaction in a transaction', entry('POST', '', bundle('transaction', [good])), 400],
      ['an unknown element', entry('POST', 'Patient', patient({ actve: true })), 400],
      ['an unknown element of the entry', { ...good, fulUrl: 'urn:x' }, 400],
      ['a url that is no text', { resource: patient(), request: { method: 'POST', url: 7 } }, 400],
    ];
    for (const [title, bad, status] of cases) {
      const reply = await transaction([good, entry('DELETE', 'Patient/kept'), bad]);
      await refusedNaming(t, reply, { status, at: 2 }, title);
      t.equal(await traces(), before, `${title}: nothing is left`);
    }
    const malformed: [string, unknown, RegExp][] = [
      ['entry is no list', { resourceType: 'Bundle', type: 'transaction', entry: {} }, /Bundle\.entry/],
      ['a misspelt member', { resourceType: 'Bundle', type: 'transaction', entries: [good] }, /Bundle\.entries/],
      ['the same in a batch', { resourceType: 'Bundle', type: 'batch', entries: [good] }, /Bundle\.entries/],
      ['another type of Bundle', bundle('collection', [good]), /Bundle\.type/],
      ['no type', { resourceType: 'Bundle', entry: [good] }, /Bundle\.type/],
    ];
    for (const [title, body, expression] of malformed) {
      const reply = await ask('POST', '', body);
      t.equal(reply.status, 400, `${title}: ${reply.text.slice(0, 200)}`);
      t.match(reply.json.issue[0].expression?.[0], expression, title);
    }
    t.equal((await ask('POST', '', patient())).status, 400, 'no Bundle');
    t.equal((await ask('POST', '')).status, 400, 'no body');
    t.equal((await ask('POST', '', '[]')).status, 400, 'a list');
    t.equal((await ask('POST', '', 'null')).status, 400, 'null');
    const many = Array.from({ length: limits.bundleEntriesMax + 1 }, () => ({
      request: { method: 'GET', url: 'Patient/1' },
    }));
    for (const type of ['transaction', 'batch']) {
      const reply = await ask('POST', '', bundle(type, many));
      t.equal(reply.status, 422, `${type}: more entries than are taken`);
      t.match(reply.json.issue[0].diagnostics, String(limits.bundleEntriesMax));
    }
    t.equal(await traces(), before);
  });

  await t.test('the response mirrors the entries', async (t) => {
    const { transaction } = await fresh(t, adapter);
    const entries = [
      entry('GET', 'Patient?_summary=count'),
      entry('PUT', 'Patient/a', patient({ id: 'a' })),
      entry('DELETE', 'Patient/never'),
      entry('POST', 'Observation', observation()),
    ];
    const reply = await transaction(entries);
    t.equal(reply.status, 200, reply.text.slice(0, 300));
    t.equal(reply.json.type, 'transaction-response');
    t.strictSame(
      reply.json.entry.map(({ response }: { response: { status: string } }) => response.status),
      ['200 OK', '201 Created', '204 No Content', '201 Created'],
    );
    const [search, put, removed, post] = reply.json.entry;
    t.equal(search.resource.total, 1);
    t.equal(put.response.location, `${baseUrl}/Patient/a/_history/1`);
    t.equal(put.response.etag, 'W/"1"');
    t.match(put.response.lastModified, /^\d{4}-\d\d-\d\dT.*Z$/);
    t.equal(put.fullUrl, `${baseUrl}/Patient/a`);
    t.notOk(put.resource, 'the client sent it a moment ago');
    t.notOk(removed.response.location);
    t.match(post.response.location, /\/Observation\/[\w-]{36}\/_history\/1$/);
    t.equal(put.response.lastModified, post.response.lastModified, 'one instant for all');

    const full = await transaction(entries, { Prefer: 'return=representation' });
    t.equal(full.json.entry[1].resource.meta.versionId, '2');
    t.equal(full.json.entry[3].resource.resourceType, 'Observation');
    t.notOk(full.json.entry[2].resource);
    const minimal = await transaction(entries, { Prefer: 'return=minimal' });
    t.notOk(minimal.json.entry[1].resource);
    t.equal(minimal.json.entry[1].response.etag, 'W/"3"');
    const outcome = await transaction(entries, { Prefer: 'return=OperationOutcome' });
    t.equal(outcome.json.entry[1].response.outcome.resourceType, 'OperationOutcome');
    t.notOk(outcome.json.entry[1].resource);

    const empty = await transaction([]);
    t.equal(empty.status, 200);
    t.strictSame(empty.json, { resourceType: 'Bundle', type: 'transaction-response' });
  });

  await t.test('a store that checks references sees those of the same transaction', async (t) => {
    const { transaction, traces } = await fresh(t, adapter, { checkReferences: true });
    const about = (reference: string) => entry('POST', 'Observation', observation({ subject: { reference } }));
    t.equal(
      (await transaction([entry('POST', 'Patient', patient(), { fullUrl: uuid(1) }), about(uuid(1))])).status,
      200,
    );
    const before = await traces();
    const missing = await transaction([entry('POST', 'Patient', patient()), about('Patient/nowhere')]);
    t.equal(missing.status, 422);
    t.match(missing.json.issue[0].diagnostics, 'Patient/nowhere');
    t.equal(await traces(), before);
  });

  await t.test('batch', async (t) => {
    const { ask, batch } = await fresh(t, adapter);
    await ask('PUT', 'Patient/there', identified('there', { id: 'there' }));

    await t.test('each entry succeeds or fails for itself', async (t) => {
      const cases: [Entry | object, string][] = [
        [entry('POST', 'Patient', patient()), '201'],
        [entry('POST', 'Patient', patient({ actve: true })), '400'],
        [entry('PUT', 'Patient/b1', patient({ id: 'b1' })), '201'],
        [entry('PUT', 'Patient/b2', patient({ id: 'other' })), '400'],
        [entry('PUT', 'Patient/there', patient({ id: 'there' }), { ifMatch: 'W/"9"' }), '412'],
        [entry('DELETE', 'Patient/never'), '204'],
        [entry('GET', 'Patient/nowhere'), '404'],
        [entry('GET', 'Patient/there'), '200'],
        [entry('GET', 'Patient?identifier=urn:s|there'), '200'],
        [entry('GET', 'Patient?idntifier=1'), '400'],
        [entry('GET', 'Patient/b1'), '200'],
        [entry('POST', 'Patient', identified('there'), { ifNoneExist: 'identifier=urn:s|there' }), '200'],
        [entry('POST', 'Patient/$nothing', patient()), '404'],
        [entry('POST', '', bundle('batch', [])), '400'],
        [entry('POST', '', bundle('transaction', [])), '400'],
        [entry('POKE', 'Patient', patient()), '400'],
        [{ resource: patient() }, '400'],
        [{ ...entry('POST', 'Patient', patient()), fulUrl: 'urn:x' }, '400'],
        [entry('POST', 'Patient'), '400'],
      ];
      const reply = await batch(cases.map(([one]) => one));
      t.equal(reply.status, 200, reply.text.slice(0, 300));
      t.equal(reply.json.type, 'batch-response');
      t.equal(reply.json.entry?.length, cases.length);
      for (const [at, [sent, status]] of cases.entries()) {
        const { response, resource } = reply.json.entry[at];
        const title = `${at}: ${JSON.stringify(sent).slice(0, 90)}`;
        t.equal(response.status.slice(0, 3), status, title);
        t.equal(response.outcome?.resourceType, status >= '400' ? 'OperationOutcome' : undefined, title);
        if (status >= '400') t.ok(response.outcome?.issue[0].diagnostics, title);
        t.equal(resource !== undefined, (sent as Entry).request?.method === 'GET' && status === '200', title);
      }
      t.match(reply.json.entry[0].response.location, /\/Patient\/[\w-]{36}\/_history\/1$/);
      t.equal(reply.json.entry[2].response.etag, 'W/"1"');
      t.ok(reply.json.entry[2].response.lastModified);
      t.equal(reply.json.entry[8].resource.total, 1);
      t.equal((await ask('GET', 'Patient/b1')).status, 200);
    });

    await t.test('reads see what the batch wrote, however many entries there are', async (t) => {
      const puts = Array.from({ length: 60 }, (_, n) =>
        entry('PUT', `Patient/many-${n}`, patient({ id: `many-${n}` })),
      );
      const gets = puts.map(({ request }) => entry('GET', request.url));
      const reply = await batch([...gets, ...puts]);
      t.strictSame(new Set(statuses(reply).slice(0, 60)), new Set(['200']));
      t.strictSame(new Set(statuses(reply).slice(60)), new Set(['201']));
      t.equal(reply.json.entry[7].resource.id, 'many-7');
    });

    await t.test('resources are repeated only when asked for', async (t) => {
      const entries = [entry('POST', 'Patient', patient({ active: true }))];
      t.notOk((await batch(entries)).json.entry[0].resource);
      const full = await batch(entries, { Prefer: 'return=representation' });
      t.equal(full.json.entry[0].resource.active, true);
      const outcome = await batch(entries, { Prefer: 'return=OperationOutcome' });
      t.equal(outcome.json.entry[0].response.outcome?.resourceType, 'OperationOutcome', 'an outcome has its own place');
      t.notOk(outcome.json.entry[0].resource);
      t.strictSame((await batch([])).json, { resourceType: 'Bundle', type: 'batch-response' });
    });

    await t.test('a deletion of many says how many', async (t) => {
      for (const n of [1, 2, 3]) await ask('PUT', `Patient/dm-${n}`, identified('dm', { id: `dm-${n}` }));
      const reply = await batch([
        entry('DELETE', 'Patient?identifier=urn:s|dm&_count=2'),
        entry('DELETE', 'Patient?identifier=urn:s|none&_count=2'),
        entry('DELETE', 'Patient?identifier=urn:s|none'),
      ]);
      t.strictSame(statuses(reply), ['200', '204', '204']);
      t.match(reply.json.entry[0].response.outcome.issue[0].diagnostics, '2 Patient resources were deleted');
      t.equal(matchIds(await ask('GET', 'Patient?identifier=urn:s|dm')).length, 1);
    });

    await t.test('a fault in one entry is of that entry alone, and goes to the log without its details', async (t) => {
      const { store, close } = await adapter.open();
      t.teardown(close);
      const fault = new Error('a secret of the store');
      const failing = new Proxy(store, {
        get(target, name) {
          if (name === 'read') return () => Promise.reject(fault);
          const member = Reflect.get(target, name);
          return typeof member === 'function' ? member.bind(target) : member;
        },
      });
      const { ask, engine } = await engineOn(failing);
      const entries = [entry('PUT', 'Patient/f1', patient({ id: 'f1' })), entry('GET', 'Patient/f1')];
      const reply = await ask('POST', '', bundle('batch', entries));
      t.strictSame(statuses(reply), ['201', '500']);
      t.equal(reply.json.entry[1].response.outcome.issue[0].code, 'exception');
      t.notMatch(reply.text, 'secret');
      const body = Buffer.from(JSON.stringify(bundle('batch', entries)));
      const signal = new AbortController().signal;
      const asked = { method: 'POST' as const, path: '', query: '', header: () => undefined, body, signal };
      t.strictSame((await engine.perform(asked, anonymousCaller)).faults, [fault]);
      const gone = { ...asked, signal: AbortSignal.abort() };
      await t.rejects(
        engine.perform(gone, anonymousCaller),
        { message: /ended before/ },
        'nobody waits for the answer',
      );
    });

    await t.test('every method and url is answered with a status, never a fault', async (t) => {
      const methods: FhirRequest['method'][] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
      const urls = [
        '',
        '/',
        '?',
        'metadata',
        'Patient',
        'Patient/x',
        'Patient/x/_history',
        '%',
        '_history',
        'x?y=%',
        '//',
      ];
      const entries = methods.flatMap((method) => urls.map((url) => entry(method, url, patient())));
      const sent = entries.filter(({ request }) => request.url !== '');
      const reply = await batch(sent);
      t.equal(reply.status, 200, reply.text.slice(0, 300));
      t.equal(reply.json.entry.length, sent.length);
      for (const status of statuses(reply)) t.match(status, /^[234]\d\d$/);
    });
  });
});

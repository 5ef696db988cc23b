// Resources and Bundles of another server's own tests, whose file names tell the case; where its expectation and the
// specification differ, the specification decides. https://hl7.org/fhir/R4/http.html#transaction
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import t from 'tap';
import { parseJson } from '../../src/model/json.ts';
import { contentOf } from '../support/content.ts';
import { readTgz, sharedData } from '../support/corpora.ts';
import { engineOn, type Reply, type TestEngine } from '../support/engine.ts';
import { type Adapter, onBothStores, type Test } from '../support/stores.ts';

const archive = sharedData('corpora/rest-fixtures.tgz');
const STORED_MIN = 130;

/** Not a resource in JSON by intent. */
const APART: Record<string, string> = {
  'ObservationWithInvalidStatus.xml': 'XML is not offered yet',
  'Patient.xml': 'XML is not offered yet',
  'Import-DupPatientTemplate.ndjson': 'templates for $import, with ids to be filled in',
  'Import-Observation.ndjson': 'templates for $import, with ids to be filled in',
  'Import-Patient.ndjson': 'templates for $import, with ids to be filled in',
  'ObservationWithNoCode.json': 'a missing required element is found by full validation',
  'InvalidCompartmentDefinition.json': 'invariants belong to full validation',
  'SearchParameterInvalidType.json': 'a code outside its value set is found by full validation',
  'SearchParameterBadSyntax.json': 'an expression is looked at where search parameters can be added',
  'SearchParameterUnsupportedType.json': 'an expression is looked at where search parameters can be added',
};

/** File → the element that is named, '' for the whole. */
const REFUSED: Record<string, string> = {
  'CompositeCustomReferenceTokenSearchParameterStu3.json': 'SearchParameter.component[0].definition',
  'CompositeCustomTokenDateTimeSearchParameterStu3.json': 'SearchParameter.component[0].definition',
  'CompositeCustomTokenQuantitySearchParameterStu3.json': 'SearchParameter.component[0].definition',
  'CompositeCustomTokenStringSearchParameterStu3.json': 'SearchParameter.component[0].definition',
  'DocumentReference-example-relatesTo-code-appends.indexes.json': '',
  'DocumentReference-example-relatesTo-code-transforms-replaces-target.indexes.json': '',
  'DocumentReference-example-relatesTo-code-transforms.indexes.json': '',
  'Includes-TestResources.json': 'Bundle.entry[30].resource.result', // DSTU2 to STU3: one result where R4 has a list
  'LegacyRawReindexJobRecord.json': '',
  'MoneyWithWrongDecimal.json': '', // a data type, not a resource
  'Observation-For-Patient-f001.json': 'Observation.interpretation', // STU3: not a list
  'ObservationWithBloodPressure.json': 'Observation.interpretation',
  'ObservationWithTemperature.json': 'Observation.interpretation',
  'PatientWithUnknownElements.json': 'Patient.name1',
  'SearchParameterMissingExpression.json': 'SearchParameter.expression', // an empty string
  'SearchParameterMissingType.json': 'SearchParameter.type',
  'TokenOverflowChargeItem.json': 'ChargeItem.encounter', // R5
  'plandefinition-example.json': 'PlanDefinition.text.div', // the div is not closed
};

/** Processed below, one by one. */
const PROCESSED = /^Bundle-/;

type Fixtures = ReadonlyMap<string, Buffer>;

const readFixtures = (): Fixtures => new Map([...readTgz(archive)].map(([path, bytes]) => [basename(path), bytes]));

interface Processing {
  ask: TestEngine['ask'];
  post(name: string): Promise<Reply>;
  /** Versions stored, over all types. */
  versions(): Promise<number>;
  isEmpty(): Promise<boolean>;
}

async function fresh(t: Test, adapter: Adapter, fixtures: Fixtures): Promise<Processing> {
  const { store, close } = await adapter.open();
  t.teardown(close);
  const { ask } = await engineOn(store);
  const versions = async (): Promise<number> => (await ask('GET', '_history?_count=500')).json.entry?.length ?? 0;
  return {
    ask,
    versions,
    post: (name) => ask('POST', '', fixtures.get(`Bundle-${name}.json`)),
    isEmpty: async () => (await versions()) === 0 && (await ask('GET', '?_summary=count')).json.total === 0,
  };
}

const statuses = (reply: Reply): string[] =>
  reply.json.entry?.map(({ response }: { response: { status: string } }) => response.status.slice(0, 3)) ?? [
    reply.text,
  ];

const expressionOf = (reply: Reply): string => reply.json.issue?.[0]?.expression?.[0] ?? '';

const placeOf = (reply: Reply, at: number): string =>
  /([A-Za-z]+\/[^/]+)\/_history/.exec(reply.json.entry[at].response.location)?.[1] ?? '';

async function transactions(t: Test, adapter: Adapter, fixtures: Fixtures): Promise<void> {
  const start = (t: Test): Promise<Processing> => fresh(t, adapter, fixtures);

  const refused: [string, number, string][] = [
    ['TransactionForRollBack', 404, 'Bundle.entry[1]'],
    ['TransactionWithInvalidProcessingRoutes', 404, 'Bundle.entry[1]'],
    ['TransactionWithInvalidProcessingRecord', 400, 'Bundle.entry[5].resource.id'],
    ['TransactionWithInvalidResourceType', 400, 'Bundle.entry[0]'],
    ['TransactionWithConditionalReferenceReferringToSameResource', 400, 'Bundle.entry[1]'],
    // "Attributes can never be empty": its system is an empty string. https://hl7.org/fhir/R4/json.html
    ['TransactionWithConditionalUpdateAndReference', 400, 'Bundle.entry[0].resource.identifier[0].system'],
  ];
  for (const [name, status, expression] of refused) {
    await t.test(`${name} is refused with ${status}, and nothing is stored`, async (t) => {
      const { post, isEmpty } = await start(t);
      const reply = await post(name);
      t.equal(reply.status, status, reply.text.slice(0, 300));
      t.equal(expressionOf(reply), expression);
      t.ok(await isEmpty());
    });
  }

  await t.test('TransactionWithConditionalReferenceReferringToSameResource, where that exists', async (t) => {
    const { ask, post, versions } = await start(t);
    const identifier = [{ system: 'http:/example.org/fhir/ids', value: '234234' }];
    await ask('PUT', 'Patient/same', { resourceType: 'Patient', id: 'same', identifier });
    const reply = await post('TransactionWithConditionalReferenceReferringToSameResource');
    t.equal(reply.status, 400);
    t.equal(await versions(), 1);
  });

  await t.test('TransactionWithConditionalUpdateAndReference without its empty member', async (t) => {
    const { ask } = await start(t);
    const sent = fixtures.get('Bundle-TransactionWithConditionalUpdateAndReference.json')?.toString('utf8') ?? '';
    const repaired = sent.replace(/"system": "",\s*/, '');
    t.not(repaired, sent);
    const first = await ask('POST', '', repaired);
    t.same(statuses(first), ['201', '201']);
    t.equal((await ask('GET', placeOf(first, 1))).json.subject.reference, placeOf(first, 0));
    const second = await ask('POST', '', repaired);
    t.same(statuses(second), ['200', '201'], 'identifier=|value finds what has no system');
    t.equal(placeOf(second, 0), placeOf(first, 0));
    t.equal((await ask('GET', placeOf(second, 1))).json.subject.reference, placeOf(first, 0));
  });

  await t.test('TransactionWithAllValidRoutes is processed', async (t) => {
    const { post, ask } = await start(t);
    const reply = await post('TransactionWithAllValidRoutes');
    t.same(statuses(reply), ['201', '201', '201', '201', '200', '200']);
    t.equal((await ask('GET', 'Patient/456456')).status, 200);
    t.equal(reply.json.entry[4].resource.total, 4, 'the search sees what was written');
  });

  await t.test('TransactionWithValidBundleEntry is processed; the second time its conditions match', async (t) => {
    const { post, ask } = await start(t);
    const first = await post('TransactionWithValidBundleEntry');
    t.same(statuses(first), ['201', '201', '201', '201']);
    t.equal((await ask('GET', 'Patient/123')).status, 200);
    const second = await post('TransactionWithValidBundleEntry');
    t.same(statuses(second), ['201', '200', '200', '200']);
    t.equal(placeOf(second, 1), placeOf(first, 1));
    t.equal(placeOf(second, 3), placeOf(first, 3));
  });

  await t.test('TransactionWithReferenceInResourceBody: each reference is that of the resource made', async (t) => {
    const { post, ask, isEmpty } = await start(t);
    const early = await post('TransactionWithReferenceInResourceBody');
    t.equal(early.status, 412, 'it refers to a patient by a condition');
    t.ok(await isEmpty());
    const known = {
      resourceType: 'Patient',
      id: 'known',
      identifier: [{ system: 'http:/example.org/fhir/ids', value: '234234' }],
    };
    await ask('PUT', 'Patient/known', known);
    const reply = await post('TransactionWithReferenceInResourceBody');
    t.same(new Set(statuses(reply)), new Set(['201']), reply.text.slice(0, 300));
    const places: string[] = ['Patient/known', ...reply.json.entry.map((_: unknown, at: number) => placeOf(reply, at))];
    let count = 0;
    for (const place of places) {
      const { text } = await ask('GET', place);
      for (const [, reference] of text.matchAll(/"reference":"([^"]*)"/g)) {
        t.ok(places.includes(reference ?? ''), `${place} refers to ${reference}`);
        count++;
      }
    }
    t.ok(count >= 5, `${count} references`);
  });

  await t.test('TransactionWithForeignReferenceInResourceBody: what is not in the Bundle stays', async (t) => {
    const { post, ask } = await start(t);
    const reply = await post('TransactionWithForeignReferenceInResourceBody');
    t.same(statuses(reply), ['201']);
    const { json } = await ask('GET', placeOf(reply, 0));
    t.equal(json.subject.reference, 'urn:uuid:4a089b8a-b0a0-46a9-92da-c8b653aa2e73');
  });
}

async function batches(t: Test, adapter: Adapter, fixtures: Fixtures): Promise<void> {
  await t.test('Batch: each entry has its own status', async (t) => {
    const { post, ask } = await fresh(t, adapter, fixtures);
    const reply = await post('Batch');
    t.same(statuses(reply), ['201', '201', '201', '201', '412', '204', '204', '404', '200', '404']);
    t.equal((await ask('GET', 'Patient/123')).headers.ETag, 'W/"1"');
    t.equal(reply.json.entry[8].resource.type, 'searchset');
    t.ok(reply.json.entry[4].response.outcome.issue[0].diagnostics);
  });

  await t.test('BatchWithInvalidEleEnums: the entries with unknown elements alone are refused', async (t) => {
    const { post } = await fresh(t, adapter, fixtures);
    const reply = await post('BatchWithInvalidEleEnums');
    t.same(statuses(reply), ['400', '201', '400', '201', '400', '204', '204', '404', '200', '404']);
    const named = [0, 2, 4].map((at) => reply.json.entry[at].response.outcome.issue[0].expression[0]);
    t.same(named, ['Patient.gender1', 'Patient.gender1', 'Patient.name[0].use1']);
  });

  await t.test('FhirPatch: the PATCHes see the PUT', async (t) => {
    const { ask, post } = await fresh(t, adapter, fixtures);
    t.same(statuses(await post('FhirPatch')), ['201', '200', '200']);
    const { json } = await ask('GET', 'Patient/9F746C86-48B4-424D-9F92-1E46215E35D5');
    t.equal(json.gender, 'female');
    t.same(json.extension[0].extension[0].valueCoding.code, '2054-5');
    t.equal(json.meta.versionId, '3');
  });
}

async function singles(t: Test, adapter: Adapter, fixtures: Fixtures): Promise<void> {
  const { ask, isEmpty } = await fresh(t, adapter, fixtures);
  const send = (bytes: Buffer): Promise<Reply> => {
    const { resourceType = 'Basic', id } = (parseJson(bytes) ?? {}) as { resourceType?: string; id?: string };
    // What is no resource goes where the server looks at it first: to a type that exists.
    const type = /^[A-Z]/.test(resourceType) && resourceType !== 'Money' ? resourceType : 'Basic';
    return id === undefined ? ask('POST', type, bytes) : ask('PUT', `${type}/${id}`, bytes);
  };

  await t.test('what is not R4 is refused with the element', async (t) => {
    for (const [file, expression] of Object.entries(REFUSED)) {
      const reply = await send(fixtures.get(file) ?? Buffer.of());
      t.equal(reply.status, 400, `${file}: ${reply.text.slice(0, 200)}`);
      t.equal(expressionOf(reply), expression, file);
      t.ok(reply.json.issue[0].diagnostics, file);
    }
    t.ok(await isEmpty());
  });

  await t.test('everything else is stored and comes back as it was sent', async (t) => {
    const files = [...fixtures].filter(
      ([file]) => !PROCESSED.test(file) && REFUSED[file] === undefined && APART[file] === undefined,
    );
    for (const [file, bytes] of files) {
      const sent = await send(bytes);
      if (sent.status !== 201 && sent.status !== 200) {
        t.fail(`${file}: ${sent.status} ${sent.text.slice(0, 300)}`);
        continue;
      }
      const read = await ask('GET', `${sent.json.resourceType}/${sent.json.id}`);
      t.same(contentOf(Buffer.from(read.text)), contentOf(bytes), file);
    }
    t.ok(files.length >= STORED_MIN, `${files.length} files`);
  });

  for (const [file, skip] of Object.entries(APART)) await t.test(file, { skip }, () => {});
}

t.setTimeout(120_000);
const skip = existsSync(archive) ? false : 'no corpora/rest-fixtures.tgz in the shared data';
await t.test('fixtures of another server', { skip }, async (t) => {
  const fixtures = readFixtures();
  t.ok(fixtures.size >= 180, `${fixtures.size} files`);
  t.equal([...fixtures.keys()].filter((file) => PROCESSED.test(file)).length, 13, 'Bundles to process');
  for (const file of [...Object.keys(REFUSED), ...Object.keys(APART)]) t.ok(fixtures.has(file), file);
  await onBothStores(t, async (t, adapter) => {
    await transactions(t, adapter, fixtures);
    await batches(t, adapter, fixtures);
    await singles(t, adapter, fixtures);
  });
});

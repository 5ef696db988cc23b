// _summary and _elements: every official example compared with a simple reading of its JSON, then reads and searches on
// both stores. https://hl7.org/fhir/R4/search.html#summary, https://hl7.org/fhir/R4/search.html#elements
import { existsSync } from 'node:fs';
import t from 'tap';
import { type Selection, subset } from '../../src/fhir/subset.ts';
import { loadDefinitions, type Member } from '../../src/model/definitions.ts';
import { compactJson, parseJson } from '../../src/model/json.ts';
import { readTgz, sharedData } from '../support/corpora.ts';
import { engineOn, type Reply } from '../support/engine.ts';
import { onBothStores } from '../support/stores.ts';

const definitions = loadDefinitions();
const SYSTEM = 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue';

// ---- the simple reading ----

/** A number as it was written: JSON.parse would forget that 1.50 is not 1.5. */
interface Written {
  number: string;
}

type Value = string | boolean | null | Written | Value[] | Obj;
interface Obj {
  [name: string]: Value;
}

/** JSON with numbers kept as they were written, in marks that no example has. */
function read(bytes: Uint8Array): Obj {
  const text = Buffer.from(bytes)
    .toString('utf8')
    .replace(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g, (token) => (token.startsWith('"') ? token : `{"number":"${token}"}`));
  return JSON.parse(text) as Obj;
}

const isObject = (value: Value | undefined): value is Obj =>
  typeof value === 'object' &&
  value !== null &&
  !Array.isArray(value) &&
  !('number' in value && Object.keys(value).length === 1);

/** The element that a JSON member belongs to: `_birthDate` to birthDate, `valueString` to value[x]. */
function elementOf(type: string, name: string): Member | undefined {
  return definitions.type(type)?.members.get(name.replace(/^_/, ''));
}

type IsWanted = (name: string, element: Member | undefined) => boolean;

const isMandatory = (element: Member | undefined): boolean => (element?.min ?? 0) > 0 || element?.isModifier === true;

const wantedBy: Record<'true' | 'text' | 'data', IsWanted> = {
  true: (_, element) => element?.isSummary === true || isMandatory(element),
  text: (name, element) => name === 'text' || isMandatory(element),
  data: (name) => name !== 'text',
};

/** Members of an object that are wanted; of elements without a type of their own those that the summary has. */
function part(of: Obj, type: string, isWanted: IsWanted, deep: boolean): Obj {
  const kept: Obj = {};
  for (const [name, value] of Object.entries(of)) {
    const element = elementOf(type, name);
    if (!isWanted(name, element) && name !== 'id' && name !== 'resourceType') continue;
    const inline = deep && element?.type.includes('.') === true && !element.type.startsWith('System.');
    const inner = (one: Value): Value => (inline && isObject(one) ? part(one, element.type, isWanted, deep) : one);
    const found = Array.isArray(value)
      ? value.map(inner).filter((one) => !isObject(one) || Object.keys(one).length > 0)
      : inner(value);
    if (isObject(found) && Object.keys(found).length === 0) continue;
    if (Array.isArray(found) && found.length === 0) continue;
    kept[name] = found;
  }
  return kept;
}

function expected(resource: Obj, selection: Selection): Obj {
  const type = String(resource.resourceType);
  const isWanted: IsWanted =
    selection.kind === 'elements'
      ? (name, element) =>
          isMandatory(element) ||
          selection.elements.includes(name.replace(/^_/, '')) ||
          (element?.choice !== undefined && selection.elements.includes(element.choice))
      : selection.kind === 'without'
        ? (name) => !selection.elements.includes(name.replace(/^_/, ''))
        : wantedBy[selection.kind];
  const { meta, ...rest } = resource;
  const known = isObject(meta) ? meta : {};
  const tags = Array.isArray(known.tag) ? known.tag : [];
  const tag = { system: SYSTEM, code: 'SUBSETTED', display: 'subsetted' };
  return { ...part(rest, type, isWanted, selection.kind === 'true'), meta: { ...known, tag: [...tags, tag] } };
}

// ---- all examples ----

const archive = sharedData('corpora/r4-examples.tgz');
const skip = existsSync(archive) ? false : `no ${archive}`;

t.test('of every official example what is wanted is kept, and nothing else, as it was written', { skip }, async (t) => {
  let resources = 0;
  let compared = 0;
  for (const [file, sent] of readTgz(archive)) {
    if (!file.endsWith('.json')) continue;
    resources++;
    const body = compactJson(sent);
    const resource = read(body);
    const names = Object.keys(resource).filter((name) => !/^(_.*|resourceType|id|meta)$/.test(name));
    const choices = names.flatMap((name) => elementOf(String(resource.resourceType), name)?.choice ?? []);
    const selections: Selection[] = [
      { kind: 'true' },
      { kind: 'text' },
      { kind: 'data' },
      { kind: 'elements', elements: [] },
      ...[...names, ...choices].map((name): Selection => ({ kind: 'elements', elements: [name] })),
      { kind: 'elements', elements: names.filter((_, at) => at % 2 === 0) },
    ];
    for (const selection of selections) {
      const found = subset(body, selection, definitions);
      // parseJson: what is sent is sound JSON, without a member twice.
      parseJson(found);
      const same = JSON.stringify(sorted(read(found))) === JSON.stringify(sorted(expected(resource, selection)));
      compared++;
      if (!same) t.same(read(found), expected(resource, selection), `${file} ${JSON.stringify(selection)}`);
    }
  }
  t.ok(resources >= 400 && compared >= 4_000, `${resources} resources, ${compared} parts`);
});

/** Members in one order: `meta` may come at another place. */
function sorted(value: Value): Value {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, one]) => [name, sorted(one)]),
  );
}

// ---- reads and searches ----

const says = (reply: Reply): string =>
  (reply.json.issue ?? []).map((issue: { diagnostics: string }) => issue.diagnostics).join(' ');

t.setTimeout(60_000);
await onBothStores(t, async (t, adapter) => {
  const { store, close } = await adapter.open();
  t.teardown(close);
  const { ask } = await engineOn(store);
  const narrative = { status: 'generated', div: '<div xmlns="http://www.w3.org/1999/xhtml">x</div>' };
  await ask('PUT', 'Patient/p', {
    resourceType: 'Patient',
    id: 'p',
    meta: { profile: ['urn:x'] },
    text: narrative,
    name: [{ family: 'Meier' }],
    birthDate: '2000-01-01',
    _birthDate: { extension: [{ url: 'urn:t', valueString: 'dawn' }] },
    contact: [{ name: { family: 'Kontakt' } }],
  });
  const observation =
    '{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/p"},"valueQuantity":{"value":1.50,"unit":"mg"},"note":[{"text":"n"}]}';
  await ask('PUT', 'Observation/o', observation);
  await ask('PUT', 'Observation/o', observation);

  const members = (resource: object): string[] => Object.keys(resource).sort();

  await t.test('on read and vread', async (t) => {
    for (const url of ['Observation/o', 'Observation/o/_history/1']) {
      const whole = await ask('GET', url);
      t.equal(whole.text, (await ask('GET', `${url}?_summary=false`)).text);
      const part = await ask('GET', `${url}?_elements=value,note`);
      t.same(
        members(part.json),
        ['code', 'id', 'meta', 'note', 'resourceType', 'status', 'valueQuantity'],
        'mandatory ones as well',
      );
      t.match(part.text, '"value":1.50');
      t.same(part.json.meta.tag, [{ system: SYSTEM, code: 'SUBSETTED', display: 'subsetted' }]);
      t.equal(part.headers.ETag, whole.headers.ETag);
      const summary = await ask('GET', `${url}?_summary=true`);
      t.same(members(summary.json), ['code', 'id', 'meta', 'resourceType', 'status', 'subject', 'valueQuantity']);
    }
    const born = await ask('GET', 'Patient/p?_elements=birthDate');
    t.same(members(born.json), ['_birthDate', 'birthDate', 'id', 'meta', 'resourceType']);
    t.same(born.json.meta.profile, ['urn:x'], 'meta is kept');
    t.same(members((await ask('GET', 'Patient/p?_summary=text')).json), ['id', 'meta', 'resourceType', 'text']);
    t.notOk((await ask('GET', 'Patient/p?_summary=data')).json.text);
    t.same(members((await ask('GET', 'Patient/p?_elements=Patient.name,contact')).json), [
      'contact',
      'id',
      'meta',
      'name',
      'resourceType',
    ]);
    const known = await ask('GET', 'Patient/p?_summary=true', undefined, { 'If-None-Match': 'W/"1"' });
    t.equal(known.status, 304);
  });

  await t.test('on search, its pages and what it includes', async (t) => {
    const found = await ask(
      'GET',
      'Observation?_elements=status&_include=Observation:subject&_revinclude=Provenance:target',
    );
    const [match, include] = found.json.entry;
    t.same(members(match.resource), ['code', 'id', 'meta', 'resourceType', 'status']);
    t.equal(include.search.mode, 'include');
    t.equal(include.resource.meta.tag[0].code, 'SUBSETTED');
    const summary = await ask('GET', 'Observation?_summary=true&_include=Observation:subject');
    t.ok(
      summary.json.entry.every(
        (entry: { resource: { meta: { tag: object[] } } }) => entry.resource.meta.tag.length === 1,
      ),
    );
    t.notOk(summary.json.entry[0].resource.note);
    t.notOk(summary.json.entry[1].resource.contact);
    for (const id of ['a', 'b', 'c'])
      await ask('PUT', `Basic/${id}`, { resourceType: 'Basic', id, code: { text: 'x' }, created: '2020-01-01' });
    let url: string | undefined = 'Basic?_elements=author&_count=1';
    let pages = 0;
    for (; url !== undefined && pages < 9; pages++) {
      const page: Reply = await ask('GET', url);
      t.same(members(page.json.entry[0].resource), ['code', 'id', 'meta', 'resourceType']);
      url = page.json.link.find(({ relation }: { relation: string }) => relation === 'next')?.url;
    }
    t.equal(pages, 3);
    const counted = await ask('GET', 'Basic?_summary=count');
    t.equal(counted.json.total, 3);
    t.notOk(counted.json.entry);
    t.equal(
      (await ask('GET', '?_type=Patient,Observation&_elements=birthDate')).status,
      200,
      'an element of one of the types',
    );
  });

  await t.test('a part that was stored as it is has the tag once, and what is left empty is left out', async (t) => {
    const part = await ask('GET', 'Patient/p?_elements=name');
    await ask('PUT', 'Patient/copy', { ...part.json, id: 'copy' });
    const copy = await ask('GET', 'Patient/copy?_elements=name');
    t.equal(copy.json.meta.tag.length, 1);
    const consent = {
      resourceType: 'Consent',
      id: 'c',
      status: 'active',
      scope: { text: 'x' },
      category: [{ text: 'x' }],
      provision: { provision: [{ extension: [{ url: 'urn:x', valueString: 'x' }] }] },
    };
    t.equal((await ask('PUT', 'Consent/c', consent)).status, 201);
    const summary = await ask('GET', 'Consent/c?_summary=true');
    t.notMatch(summary.text, '{}');
    t.notMatch(summary.text, '[]');
  });

  await t.test('400 naming what is accepted', async (t) => {
    const cases: [url: string, message: RegExp][] = [
      ['Patient/p?_summary=all', /true, text, data, false/],
      ['Patient/p?_summary=count', /true, text, data, false/],
      ['Patient?_summary=all', /true, text, data, count, false/],
      ['Patient?_summary=', /count/],
      ['Patient?_elements=', /no element ""/],
      ['Patient/p?_elements=colour', /no element "colour"/],
      ['Patient?_elements=name,colour', /no element "colour"/],
      ['Patient?_elements=__proto__', /no element/],
      ['Patient?_elements=constructor', /no element/],
      ['Patient?_elements=Observation.code', /no element/],
    ];
    for (const [url, message] of cases) {
      const reply = await ask('GET', url);
      t.equal(reply.status, 400, url);
      t.match(says(reply), message, url);
    }
  });
});

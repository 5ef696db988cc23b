// Code systems: where they are found, and which code is above which. https://hl7.org/fhir/R4/codesystem.html
import type { CodeSystem } from 'fhir/r4.js';
import t from 'tap';
import { limits } from '../../src/base/limits.ts';
import { type CodeSource, createCodeSource } from '../../src/terminology/code-source.ts';
import { ancestors, conceptOf, descendants } from '../../src/terminology/code-systems.ts';
import { r4Tables } from '../../src/terminology/r4-tables.ts';

const r4 = createCodeSource();
const actCode = 'http://terminology.hl7.org/CodeSystem/v3-ActCode';
const roleCode = 'http://terminology.hl7.org/CodeSystem/v3-RoleCode';

function sorted(codes: ReadonlySet<string> | undefined): string[] | undefined {
  return codes === undefined ? undefined : [...codes].sort();
}

/** A source that knows these resources besides R4's. */
function stored(...resources: Partial<CodeSystem>[]): CodeSource {
  return createCodeSource(async (type, url, version) =>
    type === 'CodeSystem'
      ? resources.find((one) => one.url === url && (version === undefined || one.version === version))
      : undefined,
  );
}

function codeSystem(concept: CodeSystem['concept'], more: Partial<CodeSystem> = {}): Partial<CodeSystem> {
  return {
    resourceType: 'CodeSystem',
    url: 'http://example.org/animals',
    status: 'active',
    content: 'complete',
    ...(concept === undefined ? {} : { concept }),
    ...more,
  };
}

const animals = 'http://example.org/animals';

t.test("R4's own hierarchies", async (t) => {
  t.same(sorted(await descendants(actCode, '_ActEncounterCode', r4)), [
    'ACUTE',
    'AMB',
    'EMER',
    'FLD',
    'HH',
    'IMP',
    'NONAC',
    'OBSENC',
    'PRENC',
    'SS',
    'VR',
    '_ActEncounterCode',
  ]);
  t.same(sorted(await descendants(actCode, 'AMB', r4)), ['AMB'], 'a leaf');
  t.same(sorted(await ancestors(actCode, 'ACUTE', r4)), ['ACUTE', 'IMP', '_ActCareProvisionCode', '_ActEncounterCode']);
  t.same(sorted(await ancestors(roleCode, 'DAU', r4)), [
    'CHILD',
    'DAU',
    'DAUC',
    'FAMMEMB',
    'NCHILD',
    '_PersonalRelationshipRoleType',
  ]);
  t.ok((await descendants(roleCode, 'FAMMEMB', r4))?.has('DAU'));
});

t.test('a code stands below several others where the table says so', async (t) => {
  const { codeSystems } = r4Tables();
  t.equal(Object.keys(codeSystems).length, 1060);
  const system = await r4.codeSystem(actCode);
  t.ok([...(system?.parents.values() ?? [])].some((parents) => parents.size > 1));
  t.equal(system?.concepts.size, 1116);
});

t.test('undefined when the system is not known or has no hierarchy', async (t) => {
  t.equal(await descendants('http://example.org/none', 'x', r4), undefined);
  t.equal(await descendants('http://snomed.info/sct', '73211009', r4), undefined);
  t.equal(await ancestors('http://hl7.org/fhir/administrative-gender', 'male', r4), undefined);
  for (const name of ['__proto__', 'constructor', 'toString', '']) t.equal(await descendants(name, 'x', r4), undefined);
});

t.test('versions are those asked for', async (t) => {
  t.ok(await r4.codeSystem('http://hl7.org/fhir/administrative-gender|4.0.1'));
  t.equal(await r4.codeSystem('http://hl7.org/fhir/administrative-gender|3.0.0'), undefined);
});

t.test('a code that the system does not have stands for itself', async (t) => {
  t.same(sorted(await descendants(actCode, 'nonsense', r4)), ['nonsense']);
});

t.test('the hierarchy of nested concepts and of properties', async (t) => {
  const nested = codeSystem([
    { code: 'animal', concept: [{ code: 'cat', concept: [{ code: 'kitten' }] }, { code: 'dog' }] },
  ]);
  const byParent = codeSystem([
    { code: 'kitten', property: [{ code: 'parent', valueCode: 'cat' }] },
    { code: 'cat', property: [{ code: 'parent', valueCode: 'animal' }] },
    { code: 'dog', property: [{ code: 'subsumedBy', valueCode: 'animal' }] },
    { code: 'animal' },
  ]);
  const byChild = codeSystem([
    {
      code: 'animal',
      property: [
        { code: 'child', valueCode: 'cat' },
        { code: 'child', valueCode: 'dog' },
      ],
    },
    {
      code: 'cat',
      property: [
        { code: 'child', valueCode: 'kitten' },
        { code: 'child', valueCode: 'not there' },
      ],
    },
    { code: 'dog' },
    { code: 'kitten' },
  ]);
  const byOwnProperty = codeSystem(
    [
      { code: 'animal' },
      { code: 'cat', property: [{ code: 'oberbegriff', valueCode: 'animal' }] },
      { code: 'dog', property: [{ code: 'oberbegriff', valueCode: 'animal' }] },
      { code: 'kitten', property: [{ code: 'oberbegriff', valueCode: 'cat' }] },
    ],
    { property: [{ code: 'oberbegriff', type: 'code', uri: 'http://hl7.org/fhir/concept-properties#parent' }] },
  );
  for (const system of [nested, byParent, byChild, byOwnProperty]) {
    const source = stored(system);
    t.same(sorted(await descendants(animals, 'animal', source)), ['animal', 'cat', 'dog', 'kitten']);
    t.same(sorted(await descendants(animals, 'cat', source)), ['cat', 'kitten']);
    t.same(sorted(await ancestors(animals, 'kitten', source)), ['animal', 'cat', 'kitten']);
  }
});

t.test('several parents, and circles', async (t) => {
  const source = stored(
    codeSystem([
      { code: 'a', property: [{ code: 'parent', valueCode: 'c' }] },
      {
        code: 'b',
        property: [
          { code: 'parent', valueCode: 'a' },
          { code: 'parent', valueCode: 'x' },
        ],
      },
      { code: 'c', property: [{ code: 'parent', valueCode: 'b' }] },
      { code: 'x' },
    ]),
  );
  t.same(sorted(await ancestors(animals, 'b', source)), ['a', 'b', 'c', 'x']);
  t.same(sorted(await descendants(animals, 'x', source)), ['a', 'b', 'c', 'x']);
});

t.test('a hierarchy that is not is-a is none', async (t) => {
  const concept = [{ code: 'hand', concept: [{ code: 'finger' }] }];
  const partOf = stored(codeSystem(concept, { hierarchyMeaning: 'part-of' }));
  const isA = stored(codeSystem(concept, { hierarchyMeaning: 'is-a' }));
  t.equal(await descendants(animals, 'hand', partOf), undefined);
  t.same(sorted(await descendants(animals, 'hand', isA)), ['finger', 'hand']);
});

t.test('codes in other letters, where the system does not tell them apart', async (t) => {
  const concept = [{ code: 'Cat', concept: [{ code: 'kitten' }] }];
  t.same(sorted(await descendants(animals, 'CAT', stored(codeSystem(concept)))), ['Cat', 'kitten']);
  t.same(sorted(await descendants(animals, 'CAT', stored(codeSystem(concept, { caseSensitive: true })))), ['CAT']);
});

t.test('what is stored comes before what R4 has, unless it is only a stub', async (t) => {
  const url = 'http://hl7.org/fhir/administrative-gender';
  const own = stored(codeSystem([{ code: 'any' }], { url }));
  t.same([...((await own.codeSystem(url))?.concepts.keys() ?? [])], ['any']);
  const stub = stored(codeSystem(undefined, { url, content: 'not-present' }));
  t.equal((await stub.codeSystem(url))?.concepts.size, 4);
  const wrong = createCodeSource(async () => ({ resourceType: 'Patient' }));
  t.equal((await wrong.codeSystem(url))?.concepts.size, 4, 'a resource of another type is not one');
});

t.test('a resource given twice is read once', async (t) => {
  const source = stored(codeSystem([{ code: 'a' }]));
  t.equal(await source.codeSystem(animals), await source.codeSystem(animals));
});

t.test('what a concept says of itself', async (t) => {
  const source = stored(
    codeSystem(
      [
        { code: 'old', display: 'Old', property: [{ code: 'status', valueCode: 'retired' }] },
        { code: 'older', property: [{ code: 'inactive', valueBoolean: true }] },
        { code: 'gone', property: [{ code: 'aus', valueBoolean: true }] },
        { code: 'deprecated', property: [{ code: 'status', valueCode: 'deprecated' }] },
        {
          code: 'new',
          property: [
            { code: 'legs', valueInteger: 4 },
            { code: 'colour', valueCoding: { code: 'red' } },
          ],
        },
      ],
      { property: [{ code: 'aus', type: 'boolean', uri: 'http://hl7.org/fhir/concept-properties#inactive' }] },
    ),
  );
  const system = await source.codeSystem(animals);
  const inactive = [...(system?.concepts.values() ?? [])]
    .filter(({ isInactive }) => isInactive)
    .map(({ code }) => code);
  t.same(inactive, ['old', 'older', 'gone']);
  t.equal(system && conceptOf(system, 'old')?.display, 'Old');
  t.same(
    [...(system?.concepts.get('new')?.properties ?? [])],
    [
      ['legs', ['4']],
      ['colour', ['red']],
    ],
  );
});

t.test('more codes than a search can ask for are refused', async (t) => {
  const concept = Array.from({ length: limits.valueSetCodesMax + 1 }, (_, i) => ({ code: `c${i}` }));
  const source = stored(codeSystem([{ code: 'all', concept }]));
  await t.rejects(descendants(animals, 'all', source), {
    kind: 'too-costly',
    message: /all of CodeSystem http:\/\/example.org\/animals/,
  });
  t.same(sorted(await ancestors(animals, 'c7', source)), ['all', 'c7']);
});

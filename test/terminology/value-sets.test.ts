// Value sets: what is in them, and what is said when that cannot be told. https://hl7.org/fhir/R4/valueset.html#compositions
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { CodeSystem, ValueSet, ValueSetComposeInclude } from 'fhir/r4.js';
import t from 'tap';
import { limits } from '../../src/base/limits.ts';
import { FhirError } from '../../src/base/outcome.ts';
import { createCodeSource } from '../../src/terminology/code-source.ts';
import {
  allOf,
  codeCount,
  codesOf,
  difference,
  growingUnion,
  intersection,
  type MemberSet,
  type Members,
  membersList,
} from '../../src/terminology/members.ts';
import { r4Tables } from '../../src/terminology/r4-tables.ts';
import { compileRegex } from '../../src/terminology/regex.ts';
import { valueSetMembers } from '../../src/terminology/value-sets.ts';

const r4 = createCodeSource();
const base = 'http://example.org/';
const animals = `${base}animals`;

/** `cat dog` for codes of the animals, `system|code` for others, `system|*-code` for whole systems. */
function shown({ codes, systems }: Members): string[] {
  return [
    ...codes.map(({ system, code }) => (system === animals ? code : `${system.replace(base, '')}|${code}`)),
    ...systems.map(({ system, except }) => `${system.replace(base, '')}|*${except.map((code) => `-${code}`).join('')}`),
  ].sort();
}

const zoo: CodeSystem = {
  resourceType: 'CodeSystem',
  url: animals,
  version: '2',
  status: 'active',
  content: 'complete',
  property: [{ code: 'legs', type: 'integer' }],
  concept: [
    {
      code: 'mammal',
      display: 'Mammal',
      concept: [
        { code: 'cat', display: 'Cat', property: [{ code: 'legs', valueInteger: 4 }], concept: [{ code: 'kitten' }] },
        { code: 'dog', display: 'Dog', property: [{ code: 'legs', valueInteger: 4 }] },
        { code: 'aurochs', property: [{ code: 'status', valueCode: 'retired' }] },
      ],
    },
    { code: 'bird', concept: [{ code: 'duck', property: [{ code: 'legs', valueInteger: 2 }] }] },
  ],
};
const allAnimals = ['aurochs', 'bird', 'cat', 'dog', 'duck', 'kitten', 'mammal'];

type Part = Partial<ValueSetComposeInclude>;

function valueSet(id: string, include: Part[] | undefined, more: Partial<ValueSet> = {}, exclude?: Part[]): ValueSet {
  const compose = include === undefined ? {} : { compose: { include, ...(exclude === undefined ? {} : { exclude }) } };
  return { resourceType: 'ValueSet', url: base + id, status: 'active', ...compose, ...more };
}

function sourceOf(...resources: (ValueSet | CodeSystem)[]) {
  const all = [...resources, zoo];
  return createCodeSource(async (type, url, version) =>
    all.find(
      (one) => one.resourceType === type && one.url === url && (version === undefined || one.version === version),
    ),
  );
}

async function members(include: Part[], exclude?: Part[], ...others: (ValueSet | CodeSystem)[]): Promise<string[]> {
  const source = sourceOf(valueSet('vs', include, {}, exclude), ...others);
  return shown(await valueSetMembers(`${base}vs`, source));
}

const codes = (...list: string[]): Part => ({ system: animals, concept: list.map((code) => ({ code })) });
const filter = (property: string, op: string, value: string): Part => ({
  system: animals,
  filter: [{ property, op: op as 'is-a', value }],
});

// ---- R4's own ----

t.test("R4's own value sets", async (t) => {
  const gender = await valueSetMembers('http://hl7.org/fhir/ValueSet/administrative-gender', r4);
  t.same(
    gender.codes.map(({ system, code }) => `${system}|${code}`),
    ['male', 'female', 'other', 'unknown'].map((code) => `http://hl7.org/fhir/administrative-gender|${code}`),
  );
  t.same(await valueSetMembers('http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1', r4), gender);
  const category = await valueSetMembers('http://hl7.org/fhir/ValueSet/observation-category', r4);
  t.same(
    category.codes.map(({ code }) => code),
    ['social-history', 'vital-signs', 'imaging', 'laboratory', 'procedure', 'survey', 'exam', 'therapy', 'activity'],
  );
  const encounter = await valueSetMembers('http://terminology.hl7.org/ValueSet/v3-ActEncounterCode', r4);
  t.same(
    encounter.codes.map(({ code }) => code).sort(),
    ['ACUTE', 'AMB', 'EMER', 'FLD', 'HH', 'IMP', 'NONAC', 'OBSENC', 'PRENC', 'SS', 'VR'],
    'is-a without the abstract code above them, which is excluded',
  );
  const inactive = await valueSetMembers('http://hl7.org/fhir/ValueSet/inactive', r4);
  t.ok(inactive.codes.some(({ code }) => code === 'GOL'));
  t.notOk(inactive.codes.some(({ code }) => code === '_ActMoodPredicate'));
});

t.test('systems that are not shipped are taken whole, or must be stored', async (t) => {
  const loinc = await valueSetMembers('http://hl7.org/fhir/ValueSet/observation-codes', r4);
  t.same(loinc, { codes: [], systems: [{ system: 'http://loinc.org', except: [] }] });
  await t.rejects(valueSetMembers('http://hl7.org/fhir/ValueSet/condition-code', r4), {
    kind: 'not-found',
    message:
      /ValueSet http:\/\/hl7.org\/fhir\/ValueSet\/condition-code selects codes of CodeSystem http:\/\/snomed.info\/sct.*store/,
  });
});

t.test('every value set of R4 is told, or says which canonical is missing', async (t) => {
  const urls = Object.keys(r4Tables().valueSets);
  let told = 0;
  for (const url of urls) {
    try {
      await valueSetMembers(url, r4);
      told++;
    } catch (error) {
      if (!(error instanceof FhirError) || error.kind !== 'not-found' || !error.message.includes(url))
        t.fail(url, { error });
    }
  }
  t.equal(urls.length, 1311);
  t.equal(told, 1255);
});

t.test('implicit value sets of a code system', async (t) => {
  const source = sourceOf();
  t.same(shown(await valueSetMembers(`${animals}?fhir_vs`, source)), allAnimals);
  t.same(shown(await valueSetMembers(`${animals}?fhir_vs=isa/cat`, source)), ['cat', 'kitten']);
  t.same((await valueSetMembers('http://snomed.info/sct?fhir_vs', source)).systems, [
    { system: 'http://snomed.info/sct', except: [] },
  ]);
  t.same((await valueSetMembers('http://loinc.org/vs', source)).systems, [{ system: 'http://loinc.org', except: [] }]);
  for (const url of [`${animals}?fhir_vs=ecl/<cat`, `${animals}?fhir_vs=isa/`, '?fhir_vs']) {
    await t.rejects(valueSetMembers(url, source), { kind: 'not-found', message: /ValueSet/ });
  }
});

// ---- composition ----

t.test('includes are added up, excludes taken away', async (t) => {
  t.same(await members([{ system: animals }]), allAnimals);
  t.same(await members([codes('cat', 'dog'), codes('duck', 'dog')]), ['cat', 'dog', 'duck']);
  t.same(await members([{ system: animals }], [codes('cat'), filter('concept', 'is-a', 'bird')]), [
    'aurochs',
    'dog',
    'kitten',
    'mammal',
  ]);
  t.same(await members([codes('cat')], [{ system: animals }]), []);
  t.same(await members([codes('unheard-of')]), ['unheard-of'], 'a list needs no code system');
});

t.test('a system whose codes are not known is a member as a whole', async (t) => {
  const other = `${base}other`;
  t.same(await members([{ system: other }, codes('cat')]), ['cat', 'other|*']);
  t.same(await members([{ system: other }], [{ system: other, concept: [{ code: 'x' }, { code: 'y' }] }]), [
    'other|*-x-y',
  ]);
  t.same(await members([{ system: other }, { system: other, concept: [{ code: 'x' }] }]), ['other|*']);
  t.same(await members([{ system: other, concept: [{ code: 'x' }] }], [{ system: other }]), []);
  const fragment: CodeSystem = { ...zoo, url: other, content: 'fragment' };
  t.same(await members([{ system: other }], undefined, fragment), ['other|*']);
  t.same(
    await members(
      [{ system: other, filter: [{ property: 'concept', op: 'is-a', value: 'bird' }] }],
      undefined,
      fragment,
    ),
    ['other|bird', 'other|duck'],
  );
});

t.test('all conditions of an include must be met', async (t) => {
  const pets = valueSet('pets', [codes('cat', 'dog', 'fish')]);
  const cats = valueSet('cats', [filter('concept', 'is-a', 'cat')]);
  const name = (...ids: string[]): string[] => ids.map((id) => base + id);
  t.same(await members([{ valueSet: name('pets') }], undefined, pets), ['cat', 'dog', 'fish']);
  t.same(await members([{ valueSet: name('pets', 'cats') }], undefined, pets, cats), ['cat']);
  t.same(await members([{ system: animals, valueSet: name('pets') }], undefined, pets), ['cat', 'dog']);
  t.same(await members([{ ...codes('dog', 'duck'), valueSet: name('pets') }], undefined, pets), ['dog']);
  t.same(await members([{ system: `${base}other`, valueSet: name('pets') }], undefined, pets), []);
  t.same(await members([{ system: animals }], [{ valueSet: name('pets') }], pets), [
    'aurochs',
    'bird',
    'duck',
    'kitten',
    'mammal',
  ]);
  const two: Part = {
    system: animals,
    filter: [
      { property: 'concept', op: 'is-a', value: 'mammal' },
      { property: 'legs', op: '=', value: '4' },
    ],
  };
  t.same(await members([two]), ['cat', 'dog']);
});

t.test('filters', async (t) => {
  const cases: [string, string, string, string[]][] = [
    ['concept', 'is-a', 'cat', ['cat', 'kitten']],
    ['code', 'is-a', 'mammal', ['aurochs', 'cat', 'dog', 'kitten', 'mammal']],
    ['concept', 'descendent-of', 'mammal', ['aurochs', 'cat', 'dog', 'kitten']],
    ['concept', 'is-not-a', 'mammal', ['bird', 'duck']],
    ['concept', 'generalizes', 'kitten', ['cat', 'kitten', 'mammal']],
    ['concept', '=', 'cat', ['cat']],
    ['concept', 'in', 'cat, duck,none', ['cat', 'duck']],
    ['concept', 'not-in', 'cat,dog,aurochs', ['bird', 'duck', 'kitten', 'mammal']],
    ['legs', '=', '2', ['duck']],
    ['legs', 'in', '2,4', ['cat', 'dog', 'duck']],
    ['legs', 'not-in', '4', ['aurochs', 'bird', 'duck', 'kitten', 'mammal']],
    ['legs', 'exists', 'true', ['cat', 'dog', 'duck']],
    ['legs', 'exists', 'false', ['aurochs', 'bird', 'kitten', 'mammal']],
    ['parent', '=', 'mammal', ['aurochs', 'cat', 'dog']],
    ['child', 'exists', 'true', ['bird', 'cat', 'mammal']],
    ['inactive', '=', 'true', ['aurochs']],
    ['status', '=', 'retired', ['aurochs']],
    ['display', '=', 'Dog', ['dog']],
    ['display', 'regex', '[CD].*', ['cat', 'dog']],
    ['code', 'regex', '(c|d)[a-z]{2}', ['cat', 'dog']],
  ];
  for (const [property, op, value, expected] of cases) {
    t.same(await members([filter(property, op, value)]), expected, `${property} ${op} ${value}`);
  }
});

t.test('a filter that is not understood is refused with what is accepted', async (t) => {
  const cases: [string, string, string, RegExp][] = [
    ['concept', 'is-a', 'unicorn', /has no such code/],
    ['legs', 'is-a', '4', /accepted for the property concept/],
    ['wings', '=', '2', /can be filtered by concept, display, .*legs/],
    ['__proto__', '=', '2', /can be filtered by/],
    ['legs', 'exists', 'yes', /true or false/],
    ['concept', 'child-of', 'cat', /accepted operators are =, is-a/],
    ['code', 'regex', '(a+)\\1', /a regular expression may have/],
    ['code', 'regex', '('.repeat(1000), /a regular expression may have/],
  ];
  for (const [property, op, value, message] of cases) {
    await t.rejects(members([filter(property, op, value)]), { kind: 'unprocessable', message });
    await t.rejects(members([filter(property, op, value)]), {
      message: /^ValueSet http:\/\/example.org\/vs has the filter/,
    });
  }
});

t.test('codes no longer in use are members unless compose.inactive is false', async (t) => {
  const inactive = (value: boolean, include: Part[]): ValueSet => ({
    ...valueSet('vs', []),
    compose: { inactive: value, include },
  });
  const shownOf = async (value: boolean, include: Part[]): Promise<string[]> =>
    shown(await valueSetMembers(`${base}vs`, sourceOf(inactive(value, include))));
  t.same(await shownOf(true, [{ system: animals }]), allAnimals);
  t.same(await shownOf(false, [{ system: animals }]), allAnimals.slice(1));
  t.same(await shownOf(false, [codes('cat', 'aurochs', 'CAT')]), ['CAT', 'cat']);
  t.same(await shownOf(false, [{ system: `${base}other`, concept: [{ code: 'x' }] }]), ['other|x']);
});

t.test('a version that is asked for is needed to select, not to list', async (t) => {
  t.same(await members([{ ...filter('concept', 'is-a', 'cat'), version: '2' }]), ['cat', 'kitten']);
  t.same(await members([{ ...filter('concept', 'is-a', 'cat'), version: '*' }]), ['cat', 'kitten']);
  t.same(await members([{ ...codes('cat'), version: '1' }]), ['cat']);
  for (const part of [filter('concept', 'is-a', 'cat'), { system: animals }]) {
    await t.rejects(members([{ ...part, version: '1' }]), {
      kind: 'not-found',
      message: /CodeSystem http:\/\/example.org\/animals\|1, which is not known here \(version 2 is\)/,
    });
  }
  t.same(await members([{ system: `${base}other`, version: '1' }]), ['other|*']);
});

t.test('an expansion is used where there is no definition, or one that cannot be followed', async (t) => {
  const contains = [
    { system: animals, code: 'mammal', abstract: true, contains: [{ system: animals, code: 'cat' }] },
    { display: 'a heading', contains: [{ system: `${base}other`, code: 'x' }] },
  ];
  const expansion = { timestamp: '2024-01-01', contains };
  const membersOf = async (set: ValueSet): Promise<string[]> =>
    shown(await valueSetMembers(`${base}vs`, sourceOf(set)));
  t.same(await membersOf(valueSet('vs', undefined, { expansion })), ['cat', 'mammal', 'other|x']);
  t.same(await membersOf(valueSet('vs', [codes('dog')], { expansion })), ['dog'], 'compose comes first');
  const unknown: Part = { system: `${base}other`, filter: [{ property: 'concept', op: 'is-a', value: 'x' }] };
  t.same(await membersOf(valueSet('vs', [unknown], { expansion })), ['cat', 'mammal', 'other|x']);
  const partial = [
    { ...expansion, total: 5 },
    { ...expansion, offset: 2 },
    {
      ...expansion,
      extension: [{ url: 'http://hl7.org/fhir/StructureDefinition/valueset-toocostly', valueBoolean: true }],
    },
  ];
  for (const part of partial) {
    await t.rejects(membersOf(valueSet('vs', undefined, { expansion: part })), {
      kind: 'unprocessable',
      message: /only a part/,
    });
    await t.rejects(membersOf(valueSet('vs', [unknown], { expansion: part })), {
      kind: 'not-found',
      message: /ValueSet/,
    });
  }
});

t.test('definitions that say nothing', async (t) => {
  await t.rejects(valueSetMembers(`${base}vs`, sourceOf(valueSet('vs', undefined))), {
    kind: 'unprocessable',
    message: /neither compose nor expansion/,
  });
  await t.rejects(members([{}]), { kind: 'unprocessable', message: /without system and without valueSet/ });
  await t.rejects(members([{ ...codes('cat'), ...filter('concept', 'is-a', 'cat') }]), {
    kind: 'unprocessable',
    message: /both codes and filters/,
  });
});

t.test('value sets that are not known are named, with the one that includes them', async (t) => {
  for (const url of [`${base}none`, '__proto__', '']) {
    await t.rejects(valueSetMembers(url, sourceOf()), {
      kind: 'not-found',
      message: `ValueSet ${url} is not known here: store it as a ValueSet resource with this url, or use another one`,
    });
  }
  await t.rejects(members([{ valueSet: [`${base}none`] }]), {
    kind: 'not-found',
    message:
      /^ValueSet http:\/\/example.org\/none, which ValueSet http:\/\/example.org\/vs includes, is not known here/,
  });
});

t.test('circles are refused, diamonds are not', async (t) => {
  const naming = (id: string, ...ids: string[]): ValueSet =>
    valueSet(
      id,
      ids.map((one) => ({ valueSet: [base + one] })),
    );
  await t.rejects(valueSetMembers(`${base}a`, sourceOf(naming('a', 'b'), naming('b', 'c'), naming('c', 'a'))), {
    kind: 'unprocessable',
    message:
      'ValueSet includes itself: http://example.org/a → http://example.org/b → http://example.org/c → http://example.org/a',
  });
  await t.rejects(valueSetMembers(`${base}a`, sourceOf(naming('a', 'a'))), {
    kind: 'unprocessable',
    message: /ValueSet/,
  });
  const diamond = sourceOf(naming('a', 'b', 'c'), naming('b', 'd'), naming('c', 'd'), valueSet('d', [codes('cat')]));
  t.same(shown(await valueSetMembers(`${base}a`, diamond)), ['cat']);
});

t.test('what would take too long is refused', async (t) => {
  const many = (count: number, prefix = 'c') => Array.from({ length: count }, (_, i) => ({ code: `${prefix}${i}` }));
  const most = limits.valueSetCodesMax;
  await t.rejects(members([{ system: animals, concept: many(most + 1) }]), {
    kind: 'too-costly',
    message: /ValueSet http:\/\/example.org\/vs has more than 20000 codes/,
  });
  t.equal((await members([{ system: animals, concept: many(most) }])).length, most);
  const contains = many(most + 1).map(({ code }) => ({ system: animals, code }));
  const expanded = valueSet('vs', undefined, { expansion: { timestamp: '2024-01-01', contains } });
  await t.rejects(valueSetMembers(`${base}vs`, sourceOf(expanded)), { kind: 'too-costly', message: /ValueSet/ });

  const large: CodeSystem = { ...zoo, url: `${base}large`, concept: many(most + 1) };
  t.same(
    await members([{ system: large.url as string }], undefined, large),
    ['large|*'],
    'a large system is taken whole',
  );
  const large2: CodeSystem = { ...zoo, url: `${base}large`, concept: many(most - 1) };
  const started = performance.now();
  const again: Part[] = Array.from({ length: 2000 }, () => ({ system: `${base}large` }));
  await t.rejects(members(again, undefined, large2), { kind: 'too-costly', message: /takes too long/ });
  const filters = Array.from({ length: 2000 }, () => ({ property: 'inactive', op: '=' as const, value: 'false' }));
  await t.rejects(members([{ system: `${base}large`, filter: filters }], undefined, large2), {
    kind: 'too-costly',
    message: /ValueSet/,
  });
  const regex: Part = {
    system: `${base}large`,
    filter: [{ property: 'code', op: 'regex', value: `${'.?'.repeat(240)}!` }],
  };
  await t.rejects(members([regex], undefined, { ...large2, concept: many(most - 1, 'x'.repeat(60)) }), {
    kind: 'too-costly',
    message: /ValueSet http:\/\/example.org\/vs has the filter "code regex .*takes too long/,
  });
  const imports = Array.from({ length: 3000 }, () => `${base}many`);
  const manyCodes = valueSet('many', [{ system: animals, concept: many(most) }]);
  await t.rejects(members([{ valueSet: imports }], undefined, manyCodes), { kind: 'too-costly', message: /too long/ });
  const systems = Array.from({ length: 300 }, (_, i) => ({ system: `${base}s${i}` }));
  await t.rejects(members(systems), { kind: 'too-costly', message: /more than 200 code systems/ });
  t.same((await members(many(5000).map(({ code }) => codes(code)))).length, 5000, 'many includes of one code each');
  t.ok(performance.now() - started < 30_000);

  const chain = Array.from({ length: 30 }, (_, i) => valueSet(`v${i}`, [{ valueSet: [`${base}v${i + 1}`] }]));
  await t.rejects(valueSetMembers(`${base}v0`, sourceOf(...chain)), {
    kind: 'too-costly',
    message: /v0 includes others more than 16 deep/,
  });
  const leaves = Array.from({ length: 300 }, (_, i) => valueSet(`leaf${i}`, [codes('cat')]));
  const wide = valueSet(
    'wide',
    leaves.map(({ url = '' }) => ({ valueSet: [url] })),
  );
  await t.rejects(valueSetMembers(`${base}wide`, sourceOf(wide, ...leaves)), {
    kind: 'too-costly',
    message: /ValueSet/,
  });
});

// ---- sets and expressions ----

const universe = ['a', 'b', 'c', 'd'];
const memberSets: fc.Arbitrary<MemberSet> = fc
  .dictionary(fc.constantFrom('x', 'y', 'z'), fc.tuple(fc.boolean(), fc.subarray(universe)))
  .map((systems) => {
    const set = growingUnion();
    for (const [system, [isAll, some]] of Object.entries(systems)) {
      set.add(isAll ? difference(allOf(system), codesOf(system, some)) : codesOf(system, some));
    }
    return set.members;
  });

/** Whether a code is in a set; `other` stands for the codes of a system that nobody names. */
function has(set: MemberSet, system: string, code: string): boolean {
  const part = set.get(system);
  return part !== undefined && (part.isAll ? !part.except.has(code) : part.codes.has(code));
}

t.test('sets of codes and of whole systems obey the laws of sets', async () => {
  fc.assert(
    fc.property(memberSets, memberSets, memberSets, (a, b, c) => {
      const sum = growingUnion();
      for (const set of [a, b, c]) sum.add(set);
      const [both, less] = [intersection(a, b), difference(a, b)];
      assert.equal(sum.count, codeCount(sum.members));
      for (const system of ['x', 'y', 'z']) {
        for (const code of [...universe, 'other']) {
          const [inA, inB, inC] = [a, b, c].map((set) => has(set, system, code));
          assert.equal(has(sum.members, system, code), inA || inB || inC);
          assert.equal(has(both, system, code), inA && inB);
          assert.equal(has(less, system, code), inA && !inB);
        }
      }
      const { codes, systems } = membersList(a);
      assert.equal(codes.length + systems.reduce((count, { except }) => count + except.length, 0), codeCount(a));
    }),
    { numRuns: 2000 },
  );
});

const compiled = (pattern: string) => compileRegex(pattern, () => new Error('too long'));

t.test('regular expressions match as they do elsewhere', async (t) => {
  const leaf = fc.constantFrom(
    'a',
    'b',
    '.',
    '[ab]',
    '[^a]',
    '[a-c1]',
    '\\d',
    '\\w',
    '\\S',
    '\\.',
    '-',
    '[-a]',
    '[\\]b]',
  );
  const pattern = fc.letrec<{ node: string }>((tie) => ({
    node: fc.oneof(
      { depthSize: 'small' },
      leaf,
      fc.array(tie('node'), { maxLength: 3 }).map((nodes) => nodes.join('')),
      fc.array(tie('node'), { minLength: 1, maxLength: 3 }).map((nodes) => `(${nodes.join('|')})`),
      fc
        .tuple(tie('node'), fc.constantFrom('*', '+', '?', '{2}', '{0,2}', '{1,}', '*?', '+?'))
        .map(([node, count]) => `(?:${node})${count}`),
    ),
  })).node;
  const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '1', '.', '-', ']'), maxLength: 8 });
  fc.assert(
    fc.property(pattern, fc.array(text, { maxLength: 5 }), (source, texts) => {
      const matches = compiled(source);
      assert(matches, source);
      const expected = new RegExp(`^(?:${source})$`);
      for (const one of texts) assert.equal(matches(one), expected.test(one), `${source} on ${one}`);
    }),
    { numRuns: 2000 },
  );
  t.equal(compiled('^[A-Z]{3}$')?.('USA'), true);
  t.equal(compiled('^[A-Z]{3}$')?.('USAX'), false, 'the whole text');
});

t.test('threat 22: regular expressions that explode elsewhere do not', async (t) => {
  const started = performance.now();
  for (const pattern of ['(a+)+b', '(a|a)*b', '(a|aa)+b', 'a*a*a*a*a*a*a*b', '((a*)*)*b', '(.*)(.*)(.*)(.*)x']) {
    t.equal(compiled(pattern)?.('a'.repeat(300)), false, pattern);
  }
  t.ok(performance.now() - started < 10_000);
  const refused = [
    '(a)\\1',
    '(?=a)',
    '(?<n>a)',
    '\\ba',
    'a**',
    '*',
    '+a',
    '[',
    '[]',
    '[a',
    '[b-a]',
    '(',
    ')',
    'a)',
    'a{2,1}',
    'a{',
    '{1}',
    '\\p{L}',
    '\\',
    'a^',
    '$a',
    '[a-z&&b]',
    '[a[b]]',
    '(a{999}){999}',
    'a'.repeat(501),
  ];
  for (const pattern of refused) t.equal(compiled(pattern), undefined, pattern.slice(0, 20));
});

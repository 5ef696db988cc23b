// The structure walk: official examples pass, seeded faults are found where they stand.
import { existsSync } from 'node:fs';
import t from 'tap';
import { nearest } from '../../src/base/text.ts';
import { loadDefinitions } from '../../src/model/definitions.ts';
import { parseJson } from '../../src/model/json.ts';
import { structureIssues } from '../../src/validation/structure.ts';
import { readTgz, sharedData } from '../support/corpora.ts';

const definitions = loadDefinitions();
const found = (resource: unknown) => structureIssues(resource, definitions);
const patient = (members: object) => ({ resourceType: 'Patient', ...members });

const archive = sharedData('corpora/r4-examples.tgz');
const skip = existsSync(archive) ? false : 'the official examples are not at hand';

t.test('the official examples have no issue', { skip }, async (t) => {
  const examples = readTgz(archive);
  t.ok(examples.size >= 422);
  for (const [name, bytes] of examples) t.same(found(parseJson(bytes)), [], name);
});

t.test('a fault seeded into each member of an official example is found where it stands', { skip }, async (t) => {
  const missed: string[] = [];
  let seeded = 0;
  for (const [name, bytes] of readTgz(archive)) {
    const resource = parseJson(bytes) as Record<string, unknown>;
    for (const member of Object.keys(resource)) {
      if (member === 'resourceType' || member.startsWith('_')) continue;
      for (const fault of [[], {}, null, [[resource[member]]]]) {
        seeded++;
        if (!isFoundAt(member, { ...resource, [member]: fault })) missed.push(`${name} ${member}`);
      }
    }
    const [issue, ...more] = found({ ...resource, xyzzy: 1 });
    if (issue?.expression !== `${resource.resourceType}.xyzzy` || more.length > 0) missed.push(`${name} xyzzy`);
  }
  t.ok(seeded > 10_000);
  t.same(missed, []);
});

/** For a choice, the first step is `value` for `valueString`. */
function isFoundAt(member: string, resource: unknown): boolean {
  const step = found(resource)[0]?.expression?.split('.')[1]?.replace(/\[.*/, '');
  return step !== undefined && member.startsWith(step);
}

t.test('shapes and formats that are accepted', async (t) => {
  const accepted: object[] = [
    patient({ active: true, birthDate: '2020', _birthDate: { extension: [{ url: 'u', valueDateTime: '2020' }] } }),
    patient({ _birthDate: { id: 'a' } }),
    patient({ name: [{ given: ['a', null], _given: [null, { id: 'x' }] }] }),
    patient({ name: [{ given: [null], _given: [{ extension: [{ url: 'u', valueCode: 'masked' }] }] }] }),
    patient({ name: [{ given: ['a', 'b'], _given: [{ id: 'x' }] }] }),
    patient({ deceasedBoolean: true, _deceasedBoolean: { id: 'x' }, multipleBirthInteger: 2 }),
    patient({ id: 'A-1.b', contained: [{ resourceType: 'Organization', id: 'o', name: 'x' }] }),
    { resourceType: 'Bundle', type: 'batch', entry: [{ resource: patient({ active: true }) }] },
    {
      resourceType: 'Parameters',
      parameter: [{ name: 'a', part: [{ name: 'b', resource: patient({ active: true }) }] }],
    },
    { resourceType: 'Patient' },
  ];
  for (const resource of accepted) t.same(found(resource), [], JSON.stringify(resource));
});

t.test('seeded faults are found at their expression', async (t) => {
  const contained = (resource: object) => patient({ contained: [resource] });
  const cases: [unknown, string | undefined, RegExp][] = [
    [
      patient({ name: [{ famly: 'x' }] }),
      'Patient.name[0].famly',
      /"famly" is not an element of HumanName; did you mean "family"\?/,
    ],
    [patient({ name: [{ xyz: 'x' }] }), 'Patient.name[0].xyz', /accepted are .*family, given/],
    [patient({ 'a b': 1 }), 'Patient', /"a b" is not an element of Patient/],
    [patient({ ['x'.repeat(100)]: 1 }), 'Patient', /x…" is not/],
    [patient({ name: { family: 'x' } }), 'Patient.name', /An array is expected for "name"/],
    [patient({ birthDate: ['2020'] }), 'Patient.birthDate', /A single value is expected/],
    [patient({ name: [] }), 'Patient.name', /empty array/],
    [patient({ name: [{}] }), 'Patient.name[0]', /HumanName is empty/],
    [patient({ name: [null] }), 'Patient.name[0]', /null/],
    [patient({ name: [[{ family: 'x' }]] }), 'Patient.name[0]', /array within/],
    [patient({ name: ['x'] }), 'Patient.name[0]', /An object \(HumanName\) is expected/],
    [patient({ name: [{ given: ['a', null] }] }), 'Patient.name[0].given[1]', /null/],
    [patient({ name: [{ given: [null], _given: [null] }] }), 'Patient.name[0].given[0]', /null/],
    [patient({ name: [{ given: ['a'], _given: [{ id: 'x' }, null] }] }), 'Patient.name[0].given[1]', /null/],
    [patient({ name: [{ given: [['a']] }] }), 'Patient.name[0].given[0]', /array within/],
    [patient({ birthDate: null }), 'Patient.birthDate', /null/],
    [patient({ birthDate: '2020-13' }), 'Patient.birthDate', /A date is expected/],
    [patient({ birthDate: { value: '2020' } }), 'Patient.birthDate', /A date is expected/],
    [patient({ active: 'true' }), 'Patient.active', /True or false/],
    [patient({ gender: '' }), 'Patient.gender', /A code is expected/],
    [patient({ id: 'a/b' }), 'Patient.id', /An id is expected/],
    [patient({ _id: { extension: [] } }), 'Patient._id', /not an element/],
    [patient({ _birthDate: '2020' }), 'Patient.birthDate', /id and extension/],
    [patient({ _birthDate: {} }), 'Patient.birthDate', /empty/],
    [patient({ _birthDate: { value: '2020' } }), 'Patient.birthDate.value', /not an element/],
    [patient({ _name: [{ id: 'x' }] }), 'Patient._name', /not an element/],
    [patient({ deceasedBoolean: true, deceasedDateTime: '2020' }), 'Patient.deceased', /Only one of deceased\[x\]/],
    [patient({ deceasedBoolean: true, _deceasedDateTime: { id: 'x' } }), 'Patient.deceased', /Only one of/],
    [patient({ deceasedDateTime: 'x' }), 'Patient.deceased.ofType(dateTime)', /A dateTime is expected/],
    [patient({ deceasedString: 'x' }), 'Patient.deceasedString', /not an element/],
    [
      patient({ extension: [{ url: 'u', valueQuantity: { vlue: 1 } }] }),
      'Patient.extension[0].value.ofType(Quantity).vlue',
      /"value"/,
    ],
    [patient({ text: { status: 'generated', div: 'plain' } }), 'Patient.text.div', /XHTML/],
    [
      patient({ text: { status: 'generated', div: '<div>x</div>', _div: { id: 'x' } } }),
      'Patient.text._div',
      /not an element/,
    ],
    [patient({ managingOrganization: 'Organization/1' }), 'Patient.managingOrganization', /An object \(Reference\)/],
    [patient({ link: [{ other: { reference: 5 }, type: 'refer' }] }), 'Patient.link[0].other.reference', /string/],
    [contained({ resourceType: 'Pateint' }), 'Patient.contained[0]', /did you mean "Patient"\?/],
    [contained({ id: 'x' }), 'Patient.contained[0]', /resourceType is missing/],
    [contained({ resourceType: 'Observation', valueString: 5 }), 'Patient.contained[0].value.ofType(string)', /string/],
    [patient({ contained: ['x'] }), 'Patient.contained[0]', /A resource is expected/],
    [
      { resourceType: 'Bundle', type: 'batch', entry: [{ resource: { resourceType: 'Resource' } }] },
      'Bundle.entry[0].resource',
      /not a resource type/,
    ],
    [
      { resourceType: 'Bundle', type: 'batch', entry: [{ resource: patient({ nme: [] }) }] },
      'Bundle.entry[0].resource.nme',
      /"name"/,
    ],
    [
      { resourceType: 'Parameters', parameter: [{ name: 'a', part: [{ name: 'b', valueInteger: 1.5 }] }] },
      'Parameters.parameter[0].part[0].value.ofType(integer)',
      /whole number/,
    ],
    [
      { resourceType: 'Questionnaire', status: 'draft', item: [{ item: [{ linkId: 1 }] }] },
      'Questionnaire.item[0].item[0].linkId',
      /string/,
    ],
    [{ resourceType: 'HumanName' }, undefined, /not a resource type/],
    [{ resourceType: 'constructor' }, undefined, /not a resource type/],
    [{ resourceType: 5 }, undefined, /resourceType is missing/],
    [{}, undefined, /resourceType is missing/],
    [[], undefined, /A resource is expected/],
    [null, undefined, /A resource is expected/],
    ['x', undefined, /A resource is expected/],
  ];
  for (const [resource, expression, diagnostics] of cases) {
    const issues = found(resource);
    const title = JSON.stringify(resource);
    t.equal(issues.length, 1, title);
    t.equal(issues[0]?.expression, expression, title);
    t.match(issues[0]?.diagnostics, diagnostics, title);
  }
});

t.test('several faults are told at once, a hundred at most', async (t) => {
  t.equal(found(patient({ active: 1, gender: 2, nme: 3 })).length, 3);
  t.equal(found(patient({ name: Array.from({ length: 500 }, () => ({ famly: 'x', give: 'y' })) })).length, 100);
});

t.test('an object that holds itself is refused', async (t) => {
  const extension: { url: string; extension: unknown[] } = { url: 'u', extension: [] };
  extension.extension.push(extension);
  t.match(found(patient({ extension: [extension] })), [{ diagnostics: 'Nested too deeply' }]);
});

t.test('the nearest name is found by slips, and only when near', async (t) => {
  const names = ['family', 'given', 'text', 'use', 'period', 'birthDate'];
  for (const [name, expected] of [
    ['famly', 'family'],
    ['familly', 'family'],
    ['faimly', 'family'],
    ['birthdate', 'birthDate'],
    ['us', 'use'],
    ['x', undefined],
    ['telephone', undefined],
    ['x'.repeat(100), undefined],
  ] as const) {
    t.equal(nearest(name, names), expected, name);
  }
});
